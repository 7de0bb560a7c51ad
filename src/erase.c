/* erase - removes everything of one tenant, and looks afterwards for what is left.
 *
 * In sweeps, each of which may be interrupted and begun again:
 *
 *   records   found by their keys, whatever the indexes say, and removed with their entries, some at
 *             a time in one atomic step
 *   entries   those that still name a record of the tenant are stray; each is removed if its record is
 *             still gone, so that a record that somebody writes meanwhile keeps its entries
 *   others    a strict tenant's: what is left under its prefix, where all of it is asked for; else it is
 *             counted, and only what stands in the place of one of the models' indexes goes
 *
 * The last sweeps are the same ones, looking instead of removing. Builds no key. */
#include "commit.h"
#include "owner.h"
#include "read_commands.h"
#include "walk.h"

#include <string.h>
#include <sys/time.h>

/* So many records are removed in one atomic step, and by so many commands: about a millisecond of the
 * server's time. */
#define RECORDS_A_STEP   64
#define COMMANDS_A_STEP  512
#define KEYS_A_STEP      256
/* The same where what is stored is to be asked: so many in a pipeline, so many of these in a step, whose
 * commands take three times as long. */
#define RECORDS_ASKED    256
#define RECORDS_A_SCRIPT 16

typedef struct erasure {
    popoto_db *db;
    const popoto_tenant_desc *desc;
    popoto_erase_receipt *receipt;
    owner *owners;
    size_t owner_count;
    const owner *now;
    bool looks; /* and removes nothing */
    size_t total;
    arena memory; /* of the owners and patterns */
    /* Of the step under way. */
    const plan *plans;
    size_t plan_count;
} erasure;

static popoto_time this_moment(void) {
    struct timeval now;
    gettimeofday(&now, NULL);
    return (popoto_time){ (int64_t)now.tv_sec * 1000000 + (int64_t)now.tv_usec, 0 };
}

static popoto_status report_progress(erasure *it) {
    size_t done = it->receipt->records;
    if (it->desc->progress == NULL || it->looks ||
        it->desc->progress(it->desc->context, done, done > it->total ? done : it->total))
        return POPOTO_OK;
    return popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
}

/* ----- Keys as a whole ------------------------------------------------------------------------ */

static popoto_status take_unlinked(void *context, size_t index, const reply *answer) {
    erasure *it = context;
    (void)index;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "removing keys", &it->db->why);
    it->receipt->other_keys += answer->integer > 0 ? (size_t)answer->integer : 0;
    return POPOTO_OK;
}

static popoto_status unlink_keys(erasure *it, const popoto_text *keys, size_t count) {
    popoto_status status = POPOTO_OK;
    for (size_t at = 0; at < count && status == POPOTO_OK; at += KEYS_A_STEP) {
        size_t part = count - at < KEYS_A_STEP ? count - at : KEYS_A_STEP;
        popoto__buffer_clear(&it->db->request);
        popoto__render_unlink(keys + at, part, &it->db->request);
        status = popoto__db_exchange(it->db, 1, true, NULL, take_unlinked, it);
    }
    return status;
}

/* ----- Records -------------------------------------------------------------------------------- */

/* MULTI, so many commands, EXEC: of its replies only the last matters, unless one is an error. */
static popoto_status take_removals(void *context, size_t index, const reply *answer) {
    erasure *it = context;
    size_t at = 0;
    (void)index;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "removing records", &it->db->why);
    if (answer->type != REPLY_ARRAY)
        return POPOTO_OK;
    for (size_t i = 0; i < it->plan_count; i++)
        for (size_t c = 0; c < it->plans[i].command_count && at < answer->count; c++, at++) {
            const reply *one = answer->items[at];
            if (one->type == REPLY_INTEGER && one->integer > 0)
                *(c == 0 ? &it->receipt->records : &it->receipt->index_entries) +=
                    (size_t)one->integer;
        }
    return POPOTO_OK; /* what failed for an index of another type is found when looking */
}

/* Where a record stands in the indexes is told by its key: no question is to be asked, and many records
 * go in one step. */
static popoto_status remove_told(erasure *it, const popoto_text *keys, size_t count) {
    popoto_db *db = it->db;
    const model *of = it->now->of;
    popoto__arena_reset(&db->scratch);
    popoto__buffer_clear(&db->request);
    popoto_value *nothing = popoto__arena_zeroed(&db->scratch, of->field_count, sizeof *nothing);
    plan *plans = popoto__arena_zeroed(&db->scratch, count, sizeof *plans);
    if (nothing == NULL || plans == NULL)
        return popoto__fail_memory(&db->why);
    size_t replies = 2;
    popoto__render_word("MULTI", &db->request);
    for (size_t i = 0; i < count; i++) {
        record_write removal = { .of = of,
                                 .kind = WRITE_DELETE,
                                 .memory = &db->scratch,
                                 .values = nothing,
                                 .old_key = keys[i] };
        popoto_status status = popoto__write_prepare(&removal, &db->why);
        if (status == POPOTO_OK)
            status = popoto__plan_write(&removal, &plans[i], &db->why);
        if (status != POPOTO_OK)
            return status;
        replies += popoto__plan_render_commands(&plans[i], &db->request);
    }
    popoto__render_word("EXEC", &db->request);
    it->plans = plans;
    it->plan_count = count;
    return popoto__db_exchange(db, replies, true, NULL, take_removals, it);
}

typedef struct removal {
    commit done;
    record_write write;
    popoto_status planned;
    size_t entries; /* that it was found to have */
} removal;

/* What is stored does not tell the record's place: what its key tells goes with it, the rest is found
 * with the entries. */
static popoto_status plan_forced(record_write *it, plan *out, failure *why) {
    popoto_status status =
        popoto__plan_forget(it->of, it->old_key, (popoto_text){ NULL, 0 }, out, why);
    /* It forgets records that are gone; this one is to go. */
    out->expectation_count = 0;
    popoto__plan_command(out, (const popoto_text[]){ TEXT("DEL"), it->old_key }, 2, 1);
    return status == POPOTO_OK && out->failed ? popoto__fail_memory(why) : status;
}

static popoto_status plan_removal(commit_batch *run, commit *one) {
    removal *it = (removal *)one;
    popoto_status status = popoto__plan_learn(&it->write, &one->planned, one->refusals,
                                              one->refusal_count, &run->db->why);
    if (status != POPOTO_OK)
        return status;
    status = popoto__plan_write(&it->write, &one->planned, &run->db->why);
    if (status == POPOTO_CORRUPT || status == POPOTO_BAD_VALUE) {
        popoto__plan_init(&one->planned, it->write.memory);
        status = plan_forced(&it->write, &one->planned, &run->db->why);
    }
    return status;
}

static void render_commit(commit_batch *run, commit *one) {
    popoto__plan_render_commit(&one->planned, popoto__db_script(run->db, SCRIPT_COMMIT),
                               &run->db->request);
}

static popoto_status prepare_removal(erasure *it, popoto_text key, removal *out) {
    popoto_db *db = it->db;
    popoto_value *nothing =
        popoto__arena_zeroed(&db->scratch, it->now->of->field_count, sizeof *nothing);
    if (nothing == NULL)
        return popoto__fail_memory(&db->why);
    out->write = (record_write){ .of = it->now->of,
                                 .kind = WRITE_DELETE,
                                 .memory = &db->scratch,
                                 .values = nothing,
                                 .old_key = key };
    return popoto__write_prepare(&out->write, &db->why);
}

/* Take over what is stored of the fields that tell partitions, so that the first try need not ask. */
typedef struct prefetch {
    popoto_db *db;
    removal *items;
    size_t fields[MODEL_MAX_FIELDS];
    size_t count;
} prefetch;

static popoto_status take_fields(void *context, size_t index, const reply *answer) {
    prefetch *it = context;
    if (answer->type != REPLY_ARRAY || answer->count != it->count)
        return POPOTO_OK; /* no hash: the removal itself finds that out */
    for (size_t i = 0; i < it->count; i++) {
        const reply *one = answer->items[i];
        bool is_there = one->type == REPLY_STRING;
        popoto__plan_correct(&it->items[index].write, it->fields[i],
                             (popoto_text){ is_there ? one->text : NULL, one->size });
    }
    return POPOTO_OK;
}

static popoto_status ask_partitions(erasure *it, removal *items, size_t count) {
    popoto_db *db = it->db;
    const model *of = it->now->of;
    prefetch asked = { .db = db, .items = items };
    for (size_t i = 0; i < of->field_count; i++)
        if (of->fields[i].is_partition && !of->fields[i].is_key)
            asked.fields[asked.count++] = i;
    popoto__buffer_clear(&db->request);
    for (size_t i = 0; i < count; i++)
        popoto__render_fetch_fields(of, asked.fields, asked.count, items[i].write.old_key,
                                    &db->request);
    return popoto__db_exchange(db, count, false, &db->scratch, take_fields, &asked);
}

/* The script tells no numbers, so that what its commands will take out is looked at before. */
typedef struct census {
    popoto_db *db;
    removal **asked; /* by reply */
    size_t count;
} census;

static popoto_status take_entry(void *context, size_t index, const reply *answer) {
    census *it = context;
    it->asked[index]->entries +=
        answer->type == REPLY_STRING || (answer->type == REPLY_INTEGER && answer->integer == 1);
    return POPOTO_OK;
}

/* ZSCORE and its like in place of ZREM and its like. */
static void ask_entry(census *it, removal *of, const command *leaving) {
    static const char *const questions[][2] = { { "SREM", "SISMEMBER" },
                                                { "ZREM", "ZSCORE" },
                                                { "HDEL", "HEXISTS" } };
    popoto_text name = leaving->arguments[0];
    for (size_t i = 0; i < 3; i++)
        if (memcmp(name.data, questions[i][0], name.size) == 0 && name.size == 4) {
            popoto__request_begin(&it->db->request, 3);
            popoto__request_text(&it->db->request, questions[i][1]);
            for (size_t a = 1; a < 3; a++)
                popoto__request_argument(&it->db->request, leaving->arguments[a].data,
                                         leaving->arguments[a].size);
            it->asked[it->count++] = of;
        }
}

static popoto_status count_entries(erasure *it, removal *items, size_t count) {
    popoto_db *db = it->db;
    census all = { .db = db };
    size_t most = count * (it->now->of->field_count + 1);
    all.asked = popoto__arena_allocate(&db->scratch, most * sizeof(removal *));
    if (all.asked == NULL)
        return popoto__fail_memory(&db->why);
    popoto__buffer_clear(&db->request);
    for (size_t i = 0; i < count; i++) {
        plan *it_all = &items[i].done.planned;
        items[i].planned = popoto__plan_write(&items[i].write, it_all, &db->why);
        if (items[i].planned == POPOTO_CORRUPT || items[i].planned == POPOTO_BAD_VALUE)
            continue;
        if (items[i].planned != POPOTO_OK)
            return items[i].planned;
        for (size_t c = 0; c < it_all->command_count && all.count < most; c++)
            ask_entry(&all, &items[i], &it_all->commands[c]);
    }
    return all.count == 0 ? POPOTO_OK
                          : popoto__db_exchange(db, all.count, false, NULL, take_entry, &all);
}

/* What a step of several records came to as one plan: all that each expects, and all commands. */
typedef struct joint {
    commit done;
    removal *items;
    size_t count;
} joint;

static popoto_status plan_joint(commit_batch *run, commit *one) {
    joint *it = (joint *)one;
    if (one->refusal_count > 0) /* somebody changed one of them: each by itself, then */
        return popoto__fail(&run->db->why, POPOTO_CHANGED, "a record changed meanwhile");
    popoto__plan_init(&one->planned, &run->db->scratch);
    for (size_t i = 0; i < it->count; i++) {
        if (it->items[i].planned != POPOTO_OK)
            return popoto__fail(&run->db->why, it->items[i].planned, "a record cannot be read");
        popoto__plan_append(&one->planned, &it->items[i].done.planned);
    }
    return one->planned.failed ? popoto__fail_memory(&run->db->why) : POPOTO_OK;
}

static void count_removed(erasure *it, const removal *one) {
    it->receipt->records++;
    it->receipt->index_entries += one->entries;
}

static popoto_status remove_singly(erasure *it, removal *items, size_t count) {
    popoto_db *db = it->db;
    popoto_text mistyped[RECORDS_A_SCRIPT]; /* no hashes at all */
    size_t mistyped_count = 0;
    commit_batch run = { .db = db,
                         .items = items,
                         .count = count,
                         .stride = sizeof *items,
                         .script = SCRIPT_COMMIT,
                         .doing = "removing a record",
                         .plan = plan_removal,
                         .render = render_commit };
    popoto__commit_run(&run);
    for (size_t i = 0; i < count; i++) {
        popoto_status status = items[i].done.status;
        if (status == POPOTO_OK) {
            count_removed(it, &items[i]);
        } else if (status == POPOTO_CORRUPT) {
            mistyped[mistyped_count++] = items[i].write.old_key;
        } else if (status != POPOTO_NOT_FOUND) {
            db->why = run.first;
            return status;
        }
    }
    it->receipt->records += mistyped_count;
    size_t others = it->receipt->other_keys;
    popoto_status status = unlink_keys(it, mistyped, mistyped_count);
    it->receipt->other_keys = others;
    return status;
}

/* DEL, and for each index a command. */
static size_t commands_a_record(const model *of) {
    size_t count = 2;
    for (size_t i = 0; i < of->field_count; i++)
        count += of->fields[i].prefix.data != NULL;
    return count;
}

static size_t records_a_step(const model *of, size_t most, size_t commands) {
    size_t step = commands / commands_a_record(of);
    return step < 1 ? 1 : step > most ? most : step;
}

/* Records that stand in partitions that only what is stored tells: on the expectation that this is so;
 * several in one step, and those of a step in which somebody changed one each by itself. */
static popoto_status remove_asking(erasure *it, const popoto_text *keys, size_t count) {
    popoto_db *db = it->db;
    popoto__arena_reset(&db->scratch);
    removal *items = popoto__arena_zeroed(&db->scratch, count, sizeof *items);
    joint *steps = popoto__arena_zeroed(&db->scratch, count, sizeof *steps);
    size_t step_count = 0;
    size_t together = records_a_step(it->now->of, RECORDS_A_SCRIPT, COMMANDS_A_STEP / 3);
    if (items == NULL || steps == NULL)
        return popoto__fail_memory(&db->why);
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < count && status == POPOTO_OK; i++)
        status = prepare_removal(it, keys[i], &items[i]);
    if (status == POPOTO_OK)
        status = ask_partitions(it, items, count);
    if (status == POPOTO_OK)
        status = count_entries(it, items, count);
    if (status != POPOTO_OK)
        return status;
    for (size_t i = 0; i < count; i += together)
        steps[step_count++] =
            (joint){ .items = items + i, .count = count - i < together ? count - i : together };
    commit_batch run = { .db = db,
                         .items = steps,
                         .count = step_count,
                         .stride = sizeof *steps,
                         .script = SCRIPT_COMMIT,
                         .doing = "removing records",
                         .plan = plan_joint,
                         .render = render_commit };
    popoto__commit_run(&run);
    for (size_t i = 0; i < step_count && status == POPOTO_OK; i++) {
        popoto_status outcome = steps[i].done.status;
        for (size_t r = 0; outcome == POPOTO_OK && r < steps[i].count; r++)
            count_removed(it, &steps[i].items[r]);
        if (outcome == POPOTO_CHANGED || outcome == POPOTO_CORRUPT || outcome == POPOTO_BAD_VALUE)
            status = remove_singly(it, steps[i].items, steps[i].count);
        else
            status = outcome;
        if (outcome == status && outcome != POPOTO_OK)
            db->why = run.first;
    }
    return status;
}

static popoto_status remove_records(erasure *it, const popoto_text *keys, size_t count) {
    popoto_status status = POPOTO_OK;
    size_t step = it->now->of->moves ? RECORDS_ASKED
                                     : records_a_step(it->now->of, RECORDS_A_STEP, COMMANDS_A_STEP);
    for (size_t at = 0; at < count && status == POPOTO_OK; at += step) {
        size_t part = count - at < step ? count - at : step;
        status = (it->now->of->moves ? remove_asking : remove_told)(it, keys + at, part);
    }
    return status == POPOTO_OK ? report_progress(it) : status;
}

static popoto_status sweep_records(erasure *it) {
    key_walk walk;
    bool more;
    popoto__key_walk_begin(&walk, it->db, it->now->records);
    popoto_status status = popoto__key_walk_next(&walk, &more);
    for (; status == POPOTO_OK && more; status = popoto__key_walk_next(&walk, &more)) {
        size_t count = 0;
        for (size_t i = 0; i < walk.count; i++)
            if (popoto__owner_has(it->now, walk.keys[i]))
                walk.keys[count++] = walk.keys[i];
        if (it->looks)
            it->receipt->left += count;
        else if (count > 0)
            status = remove_records(it, walk.keys, count);
        if (status != POPOTO_OK)
            break;
    }
    popoto__key_walk_end(&walk);
    return status;
}

/* ----- Entries -------------------------------------------------------------------------------- */

static popoto_status take_left_entries(void *context, size_t index, const reply *answer) {
    erasure *it = context;
    (void)index;
    if (popoto__reply_is_error(answer, "NOSCRIPT"))
        it->db->sha[SCRIPT_COMMIT][0] = '\0';
    else if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "removing index entries", &it->db->why);
    else if (answer->type == REPLY_STATUS)
        it->receipt->index_entries++;
    return POPOTO_OK;
}

/* Each if its record is gone; what is no record's of the tenant and stands under its prefix goes. */
static popoto_status remove_entries(erasure *it, const index_entry *entries, size_t count) {
    popoto_db *db = it->db;
    popoto_status status = POPOTO_OK;
    if (db->sha[SCRIPT_COMMIT][0] == '\0')
        status = popoto__db_load_script(db, SCRIPT_COMMIT);
    if (status != POPOTO_OK)
        return status;
    popoto__arena_reset(&db->scratch);
    popoto__buffer_clear(&db->request);
    for (size_t i = 0; i < count; i++) {
        plan leaving;
        popoto__plan_init(&leaving, &db->scratch);
        if (popoto__owner_has(it->now, entries[i].member))
            popoto__plan_expect(&leaving,
                                (expectation){ .kind = EXPECT_ABSENT, .key = entries[i].member });
        popoto__plan_leave(&leaving, popoto__index_shape(entries[i].of->about), entries[i].of->key,
                           entries[i].member);
        popoto__plan_render_commit(&leaving, popoto__db_script(db, SCRIPT_COMMIT), &db->request);
        if (leaving.failed)
            return popoto__fail_memory(&db->why);
    }
    return popoto__db_exchange(db, count, true, NULL, take_left_entries, it);
}

static popoto_status take_entries(void *context, const index_entry *entries, size_t count) {
    erasure *it = context;
    index_entry part[KEYS_A_STEP];
    size_t size = 0;
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < count && status == POPOTO_OK; i++) {
        if (it->now->of->tenant == NULL && !popoto__owner_has(it->now, entries[i].member))
            continue;
        it->receipt->left += it->looks;
        if (!it->looks)
            part[size++] = entries[i];
        if (size == KEYS_A_STEP) {
            status = remove_entries(it, part, size);
            size = 0;
        }
    }
    return status == POPOTO_OK && size > 0 ? remove_entries(it, part, size) : status;
}

static popoto_status sweep_entries(erasure *it) {
    const model *of = it->now->of;
    index_ref *indexes = NULL;
    key_walk walk;
    bool more;
    popoto_text pattern = popoto__index_pattern(of, it->now->segment, &it->memory);
    if (pattern.data == NULL)
        return popoto__fail_memory(&it->db->why);
    popoto__key_walk_begin(&walk, it->db, pattern);
    popoto_status status = popoto__key_walk_next(&walk, &more);
    for (; status == POPOTO_OK && more; status = popoto__key_walk_next(&walk, &more)) {
        size_t count = 0;
        indexes = popoto__arena_zeroed(&walk.page, walk.count + 1, sizeof *indexes);
        for (size_t i = 0; indexes != NULL && i < walk.count; i++) {
            index_kind kind = popoto__index_of_key(of, walk.keys[i], &indexes[count].about);
            indexes[count].key = walk.keys[i];
            count += kind == INDEX_CLASS || kind == INDEX_FIELD;
        }
        /* The server leaves out the members that are not this tenant's. */
        status = indexes == NULL
                     ? popoto__fail_memory(&it->db->why)
                     : popoto__walk_entries(it->db, indexes, count,
                                            of->tenant == NULL ? it->now->records
                                                               : (popoto_text){ NULL, 0 },
                                            take_entries, it);
        if (status == POPOTO_OK)
            status = report_progress(it);
        if (status != POPOTO_OK)
            break;
    }
    popoto__key_walk_end(&walk);
    return status;
}

/* ----- Other keys under a strict tenant's prefix ---------------------------------------------- */

static bool is_accounted_for(const erasure *it, popoto_text key) {
    const field *about;
    for (size_t i = 0; i < it->owner_count; i++) {
        const owner *one = &it->owners[i];
        index_kind kind = popoto__index_of_key(one->of, key, &about);
        if (one->of->tenant != NULL &&
            (popoto__owner_has(one, key) || kind == INDEX_CLASS || kind == INDEX_FIELD))
            return true;
    }
    return false;
}

/* Key of none of the models: told once, and kept among `keys` if it goes. */
static void take_other(erasure *it, popoto_text key, popoto_text *keys, size_t *kept) {
    const popoto_tenant_desc *desc = it->desc;
    if (!it->looks && desc->other != NULL)
        desc->other(desc->context, key, popoto__key_kind(key));
    if (desc->everything)
        keys[(*kept)++] = key;
    else
        it->receipt->other_left += !it->looks;
}

/* Those that go. Indexes that hold another type than they should are no indexes: they go as what they
 * are. */
static popoto_status keep_others(erasure *it, popoto_text *keys, size_t count, size_t *kept) {
    index_ref *indexes = popoto__arena_zeroed(&it->db->scratch, count + 1, sizeof *indexes);
    size_t index_count = 0;
    if (indexes == NULL)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < count; i++)
        for (size_t o = 0; o < it->owner_count; o++) {
            index_ref *one = &indexes[index_count];
            index_kind kind = popoto__index_of_key(it->owners[o].of, keys[i], &one->about);
            one->key = keys[i];
            if (it->owners[o].of->tenant != NULL && (kind == INDEX_CLASS || kind == INDEX_FIELD)) {
                index_count++;
                break;
            }
        }
    popoto_status status = popoto__walk_sizes(it->db, indexes, index_count);
    for (size_t i = 0; i < count && status == POPOTO_OK; i++) {
        popoto_text key = keys[i];
        if (!is_accounted_for(it, key)) {
            take_other(it, key, keys, kept);
            continue;
        }
        bool goes = false;
        for (size_t x = 0; !goes && x < index_count; x++)
            goes = indexes[x].key.data == key.data && indexes[x].size == -1;
        if (goes)
            keys[(*kept)++] = key;
    }
    return status;
}

static popoto_status sweep_others(erasure *it) {
    key_walk walk;
    bool more;
    popoto_text pattern = popoto__tenant_pattern(it->now->segment, &it->memory);
    if (pattern.data == NULL)
        return popoto__fail_memory(&it->db->why);
    popoto__key_walk_begin(&walk, it->db, pattern);
    popoto_status status = popoto__key_walk_next(&walk, &more);
    for (; status == POPOTO_OK && more; status = popoto__key_walk_next(&walk, &more)) {
        size_t count = 0;
        popoto__arena_reset(&it->db->scratch);
        status = keep_others(it, walk.keys, walk.count, &count);
        if (it->looks)
            it->receipt->left += count;
        else if (status == POPOTO_OK)
            status = unlink_keys(it, walk.keys, count);
        if (status == POPOTO_OK)
            status = report_progress(it);
        if (status != POPOTO_OK)
            break;
    }
    popoto__key_walk_end(&walk);
    return status;
}

/* ----- The whole ------------------------------------------------------------------------------ */

static bool is_first_of_prefix(const erasure *it, size_t index) {
    if (it->owners[index].of->tenant == NULL)
        return false;
    for (size_t i = 0; i < index; i++)
        if (it->owners[i].of->tenant != NULL &&
            it->owners[i].segment.size == it->owners[index].segment.size &&
            memcmp(it->owners[i].segment.data, it->owners[index].segment.data,
                   it->owners[index].segment.size) == 0)
            return false;
    return true;
}

static popoto_status sweep(erasure *it, bool looks) {
    popoto_status status = POPOTO_OK;
    it->looks = looks;
    for (size_t i = 0; i < it->owner_count && status == POPOTO_OK; i++) {
        it->now = &it->owners[i];
        status = sweep_records(it);
        if (status == POPOTO_OK)
            status = sweep_entries(it);
    }
    for (size_t i = 0; i < it->owner_count && status == POPOTO_OK; i++) {
        it->now = &it->owners[i];
        if (is_first_of_prefix(it, i))
            status = sweep_others(it);
    }
    return status;
}

/* How many records there are to be removed, as far as an index tells that at once. */
static popoto_status estimate_total(erasure *it) {
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < it->owner_count && status == POPOTO_OK; i++) {
        index_ref index;
        status = popoto__owner_index(it->db, &it->owners[i], &it->memory, &index);
        if (status != POPOTO_OK)
            return status;
        status = popoto__walk_sizes(it->db, &index, 1);
        it->total += index.size > 0 ? (size_t)index.size : 0;
    }
    return status;
}

/* A tenant that has nothing is on no list. */
static popoto_status leave_lists(erasure *it) {
    size_t count = 0;
    popoto__buffer_clear(&it->db->request);
    for (size_t i = 0; i < it->owner_count; i++)
        if (it->owners[i].of->tenant != NULL) {
            popoto__render_tenant_forget(it->owners[i].of, it->owners[i].segment, &it->db->request);
            count++;
        }
    memset(it->db->noted_tenants, 0, sizeof it->db->noted_tenants);
    return count == 0 ? POPOTO_OK
                      : popoto__db_exchange(it->db, count, true, NULL, popoto__ignore_reply, NULL);
}

popoto_status popoto_erase(popoto_db *db, const popoto_tenant_desc *desc,
                           popoto_erase_receipt *receipt) {
    popoto_erase_receipt ignored;
    erasure it = { .db = db, .desc = desc, .receipt = receipt != NULL ? receipt : &ignored };
    *it.receipt = (popoto_erase_receipt){ .started = this_moment() };
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    popoto__arena_init(&it.memory, &db->allocator);
    popoto_status status = popoto__owners(db, desc, &it.memory, &it.owners);
    for (size_t i = 0; status == POPOTO_OK && i < desc->model_count; i++)
        status = popoto__refuse_half_moved(db, it.owners[i].of);
    if (status == POPOTO_OK) {
        it.owner_count = desc->model_count;
        status = estimate_total(&it);
    }
    if (status == POPOTO_OK)
        status = sweep(&it, false);
    if (status == POPOTO_OK)
        status = sweep(&it, true);
    if (status == POPOTO_OK && it.receipt->left == 0)
        status = leave_lists(&it);
    it.receipt->finished = this_moment();
    popoto__arena_free(&it.memory);
    return status;
}
