/* strict_migration - moves the records of an ordinary model to a strict one, each in one atomic step with its
 * indexes and its confidence entries. Records are found by their keys, whatever the indexes say; what
 * writers of the ordinary model add meanwhile comes in further passes. */
#include "commit.h"
#include "migration_report.h"
#include "owner.h"
#include "read_commands.h"
#include "tenant.h"

#include <stdio.h>
#include <string.h>

#define MAX_PASSES 16

typedef struct strict_migration {
    popoto_db *db;
    const popoto_strict_migration_desc *how;
    const model *from, *to;
    const field *tenant;                 /* of `from` */
    size_t from_field[MODEL_MAX_FIELDS]; /* by field of `to` */
    size_t
        asked[MODEL_MAX_FIELDS]; /* fields of `from` that are read: what partitions, and scores */
    size_t asked_count;
    migration_report *result;
    arena memory;
    bool is_counted; /* how many there are */
    size_t placed;
    size_t stuck; /* most errors that a pass listed */
} strict_migration;

typedef struct move {
    commit done;
    placement before, after;
    popoto_text *stored; /* by field of `from`: what was read; data NULL: it lacks it */
    popoto_text *scores; /* by field of `to` */
    bool gone;
} move;

typedef struct move_batch {
    commit_batch run;
    strict_migration *of;
} move_batch;

/* ----- The two models ------------------------------------------------------------------------- */

static popoto_status refuse(strict_migration *it, const char *what) {
    return popoto__fail(&it->db->why, POPOTO_BAD_ARGUMENT, "%s cannot become strict: %s",
                        it->from->name.data, what);
}

static popoto_status match_field(strict_migration *it, const field *to) {
    const field *from = popoto__model_field(it->from, to->name, to->name_size);
    char text[256];
    const char *wrong = NULL;
    if (from == NULL)
        wrong = "the ordinary model has no such field";
    else if (from->type != to->type)
        wrong = "it is of another type in the ordinary model";
    else if (to == it->to->tenant && from->kind != POPOTO_KIND_KEY)
        wrong = "it is no KEY in the ordinary model";
    else if (to != it->to->tenant && from->kind != to->kind)
        wrong = "it is of another kind in the ordinary model";
    if (wrong != NULL) {
        snprintf(text, sizeof text, "%s: %s", to->name, wrong);
        return refuse(it, text);
    }
    it->from_field[to->index] = from->index;
    if (to == it->to->tenant)
        it->tenant = from;
    return POPOTO_OK;
}

static void choose_asked(strict_migration *it) {
    for (size_t i = 0; i < it->from->field_count; i++) {
        const field *from = &it->from->fields[i];
        const field *to = popoto__model_field(it->to, from->name, from->name_size);
        bool partitions = (from->is_partition || to->is_partition) && !from->is_key;
        if (partitions || from->kind == POPOTO_KIND_SORTED || from == it->tenant)
            it->asked[it->asked_count++] = i;
    }
}

static popoto_status match_models(strict_migration *it) {
    popoto_status status = POPOTO_OK;
    if (it->from->tenant != NULL)
        return refuse(it, "it is strict already");
    if (it->to->tenant == NULL)
        return refuse(it, "the model that it is to become has no TENANT");
    if (it->from->name.size != it->to->name.size ||
        memcmp(it->from->name.data, it->to->name.data, it->to->name.size) != 0)
        return refuse(it, "the strict model has another name");
    if (it->from->field_count != it->to->field_count)
        return refuse(it, "the strict model has other fields");
    for (size_t i = 0; i < it->to->field_count && status == POPOTO_OK; i++)
        status = match_field(it, &it->to->fields[i]);
    if (status == POPOTO_OK)
        choose_asked(it);
    return status;
}

/* ----- Where a record goes -------------------------------------------------------------------- */

static popoto_status corrupt(strict_migration *it, const move *one, const field *about,
                             const char *reason) {
    shown room;
    if (reason == CODEC_NO_MEMORY)
        return popoto__fail_memory(&it->db->why);
    return popoto__fail(&it->db->why, POPOTO_CORRUPT, "%s: the stored %s cannot be used: %s",
                        popoto__show(&room, one->before.key.data, one->before.key.size),
                        about->name, reason);
}

static popoto_status read_value(strict_migration *it, const move *one, const field *about,
                                popoto_value *value) {
    popoto_text stored = one->stored[about->index];
    popoto_value given = { POPOTO_NULL, { 0 } };
    const char *reason = "it is of another type";
    *value = given;
    if (stored.data == NULL)
        return POPOTO_OK;
    if (!popoto__codec_read(&it->db->scratch, stored.data, stored.size, &given, &reason) ||
        !popoto__field_convert(about, &given, value))
        return corrupt(it, one, about, reason);
    return POPOTO_OK;
}

static popoto_status set_score(strict_migration *it, move *one, const field *to,
                               const popoto_value *value) {
    char text[CODEC_DOUBLE_SIZE];
    const char *reason = NULL;
    double score;
    bool exact;
    one->scores[to->index] = (popoto_text){ NULL, 0 };
    if (value->type == POPOTO_NULL)
        return POPOTO_OK;
    if (!popoto__codec_score(value, &score, &exact, &reason))
        return corrupt(it, one, to, reason);
    size_t size = popoto__codec_double_text(score, text);
    one->scores[to->index] =
        (popoto_text){ popoto__arena_copy(&it->db->scratch, text, size), size };
    return one->scores[to->index].data != NULL ? POPOTO_OK : popoto__fail_memory(&it->db->why);
}

/* By what is stored, which has to be what the key says: so a value that names no tenant is found as any call
 * with it would find it. */
static popoto_status place_tenant(strict_migration *it, move *one) {
    popoto_value stored, taken;
    popoto_text in_key = one->before.segments[it->tenant->index], made;
    popoto_status status = read_value(it, one, it->tenant, &stored);
    if (status == POPOTO_OK)
        status = popoto__field_accept(it->to, it->to->tenant, &stored, &taken, &it->db->why);
    if (status == POPOTO_OK)
        status =
            popoto__segment(it->from, it->tenant, &taken, &it->db->scratch, &made, &it->db->why);
    if (status == POPOTO_OK &&
        (made.size != in_key.size || memcmp(made.data, in_key.data, made.size) != 0))
        return corrupt(it, one, it->tenant, "it is another than its key's");
    return status == POPOTO_OK
               ? popoto__segment(it->to, it->to->tenant, &taken, &it->db->scratch,
                                 &one->after.segments[it->to->tenant->index], &it->db->why)
               : status;
}

static popoto_status place_field(strict_migration *it, move *one, const field *to) {
    const field *from = &it->from->fields[it->from_field[to->index]];
    popoto_value value;
    if (to == it->to->tenant)
        return place_tenant(it, one);
    if (to->is_key) {
        one->after.segments[to->index] = one->before.segments[from->index];
        return POPOTO_OK;
    }
    bool partitions = from->is_partition || to->is_partition;
    if (!partitions && to->kind != POPOTO_KIND_SORTED)
        return POPOTO_OK;
    popoto_status status = read_value(it, one, from, &value);
    if (status == POPOTO_OK && to->kind == POPOTO_KIND_SORTED)
        status = set_score(it, one, to, &value);
    if (status == POPOTO_OK && partitions && value.type != POPOTO_NULL)
        status = popoto__placement_set(it->from, &one->before, from->index, &value,
                                       &it->db->scratch, &it->db->why);
    if (status == POPOTO_OK && partitions)
        one->after.segments[to->index] = one->before.segments[from->index];
    return status;
}

/* Figures are not left behind because the strict model parts them by what the record lacks. */
static popoto_status check_figures(strict_migration *it, const move *one) {
    popoto_text ignored;
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < it->to->field_count && status == POPOTO_OK; i++) {
        const field *to = &it->to->fields[i], *from = &it->from->fields[it->from_field[i]];
        if (to->kind == POPOTO_KIND_CONFIDENCE && popoto__partition_is_told(from, &one->before))
            status = popoto__partition_key(it->to, to, one->after.segments, &it->db->scratch,
                                           &ignored, &it->db->why);
    }
    return status;
}

static popoto_status place(strict_migration *it, move *one) {
    popoto_status status = POPOTO_OK;
    if (!popoto__placement_of_key(it->from, one->before.key, &it->db->scratch, &one->before))
        return popoto__fail_memory(&it->db->why); /* its key was looked at before */
    one->after.segments =
        popoto__arena_zeroed(&it->db->scratch, it->to->field_count, sizeof(popoto_text));
    if (one->after.segments == NULL)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < it->to->field_count && status == POPOTO_OK; i++)
        status = place_field(it, one, &it->to->fields[i]);
    if (status == POPOTO_OK)
        status = check_figures(it, one);
    if (status != POPOTO_OK)
        return status;
    one->after.key = popoto__key_of_segments(it->to, one->after.segments, &it->db->scratch);
    return one->after.key.data != NULL ? POPOTO_OK : popoto__fail_memory(&it->db->why);
}

/* ----- The move of a record ------------------------------------------------------------------- */

/* Take over what the server found instead of what was expected. */
static popoto_status learn(strict_migration *it, move *one) {
    const plan *tried = &one->done.planned;
    shown room;
    for (size_t i = 0; i < one->done.refusal_count; i++) {
        const refusal *what = &one->done.refusals[i];
        if (what->expectation >= tried->expectation_count)
            return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                                "the server refused an expectation that it was not given");
        const expectation *expected = &tried->expectations[what->expectation];
        if (expected->kind == EXPECT_PRESENT) {
            one->gone = true;
            return popoto__fail(&it->db->why, POPOTO_NOT_FOUND, "it was deleted meanwhile");
        }
        if (expected->kind == EXPECT_ABSENT)
            return popoto__fail(&it->db->why, POPOTO_EXISTS, "%s is there already",
                                popoto__show(&room, expected->key.data, expected->key.size));
        if (expected->kind == EXPECT_UNIQUE)
            return popoto__fail(&it->db->why, POPOTO_DUPLICATE, "its %s is taken: %s holds it",
                                it->to->fields[expected->about].name,
                                popoto__show(&room, what->found.data, what->found.size));
        one->stored[expected->about] = what->found; /* in the scratch memory, as all of the batch */
    }
    return POPOTO_OK;
}

static popoto_status plan_move(commit_batch *run, commit *commit_of_it) {
    move *one = (move *)commit_of_it;
    strict_migration *it = ((move_batch *)run)->of;
    popoto_status status = learn(it, one);
    if (status == POPOTO_OK)
        status = place(it, one);
    if (status != POPOTO_OK)
        return status;
    adoption over = { .from = it->from,
                      .to = it->to,
                      .before = &one->before,
                      .after = &one->after,
                      .from_field = it->from_field,
                      .scores = one->scores };
    plan *out = &one->done.planned;
    popoto__plan_init(out, &it->db->scratch);
    popoto__plan_adopt(&over, out);
    for (size_t i = 0; i < it->asked_count; i++) {
        const field *about = &it->from->fields[it->asked[i]];
        popoto__plan_expect(out, (expectation){ .kind = EXPECT_FIELD,
                                                .key = one->before.key,
                                                .field = { about->name, about->name_size },
                                                .value = one->stored[about->index],
                                                .about = about->index });
    }
    if (it->how->dry_run)
        out->command_count = 0;
    return out->failed ? popoto__fail_memory(&it->db->why) : POPOTO_OK;
}

static void render_move(commit_batch *run, commit *one) {
    popoto__plan_render_commit(&one->planned, popoto__db_script(run->db, SCRIPT_COMMIT),
                               &run->db->request);
}

typedef struct fetch {
    strict_migration *of;
    move *items;
} fetch;

static popoto_status take_fields(void *context, size_t index, const reply *answer) {
    fetch *it = context;
    if (answer->type != REPLY_ARRAY || answer->count != it->of->asked_count)
        return POPOTO_OK; /* no hash: the move finds that out */
    for (size_t i = 0; i < answer->count; i++) {
        const reply *stored = answer->items[i];
        it->items[index].stored[it->of->asked[i]] =
            (popoto_text){ stored->type == REPLY_STRING ? stored->text : NULL, stored->size };
    }
    return POPOTO_OK;
}

static popoto_status fetch_fields(strict_migration *it, move *items, size_t count) {
    fetch from = { it, items };
    if (it->asked_count == 0)
        return POPOTO_OK;
    popoto__buffer_clear(&it->db->request);
    for (size_t i = 0; i < count; i++)
        popoto__render_fetch_fields(it->from, it->asked, it->asked_count, items[i].before.key,
                                    &it->db->request);
    return popoto__db_exchange(it->db, count, false, &it->db->scratch, take_fields, &from);
}

/* ----- What became of it ---------------------------------------------------------------------- */

static bool is_of_record(popoto_status status) {
    return status == POPOTO_EXISTS || status == POPOTO_DUPLICATE || status == POPOTO_CORRUPT ||
           status == POPOTO_BAD_VALUE || status == POPOTO_CHANGED;
}

/* A tenant is counted by its own name, not by what keys make of it. */
static bool count_tenant(strict_migration *it, popoto_text segment) {
    buffer name;
    popoto__buffer_init(&name, &it->db->allocator);
    (void)popoto__key_unescape_tenant(&name, segment.data, segment.size);
    bool counted =
        !name.failed && popoto__report_count(it->result, (popoto_text){ name.data, name.size });
    popoto__buffer_free(&name);
    return counted;
}

static popoto_status take_outcome(strict_migration *it, const move *one) {
    popoto_status status = one->done.status;
    bool noted = true;
    if (status == POPOTO_OK) {
        it->placed++;
        if (!it->how->dry_run)
            it->result->public.migrated++;
        noted = count_tenant(it, one->after.segments[it->to->tenant->index]);
    } else if (is_of_record(status)) {
        noted =
            popoto__report_error(it->result, one->before.key,
                                 one->done.reason ? one->done.reason : popoto_status_name(status));
    } else if (status != POPOTO_NOT_FOUND || !one->gone) {
        return status;
    }
    return noted ? POPOTO_OK : popoto__fail_memory(&it->db->why);
}

static void note_tenants(strict_migration *it, const move *items, size_t count) {
    popoto_text segments[COMMIT_PIPELINE];
    for (size_t i = 0; i < count; i++)
        segments[i] = items[i].done.status == POPOTO_OK
                          ? items[i].after.segments[it->to->tenant->index]
                          : (popoto_text){ NULL, 0 };
    if (!it->how->dry_run)
        popoto__tenants_note(it->db, it->to, segments, count);
}

static popoto_status move_records(strict_migration *it, const popoto_text *keys, size_t count) {
    popoto_db *db = it->db;
    popoto__arena_reset(&db->scratch);
    move *items = popoto__arena_zeroed(&db->scratch, count, sizeof *items);
    if (items == NULL)
        return popoto__fail_memory(&db->why);
    for (size_t i = 0; i < count; i++) {
        items[i].before.key = keys[i];
        items[i].stored =
            popoto__arena_zeroed(&db->scratch, it->from->field_count, sizeof(popoto_text));
        items[i].scores =
            popoto__arena_zeroed(&db->scratch, it->to->field_count, sizeof(popoto_text));
        if (items[i].stored == NULL || items[i].scores == NULL)
            return popoto__fail_memory(&db->why);
    }
    popoto_status status = fetch_fields(it, items, count);
    if (status != POPOTO_OK)
        return status;
    move_batch batch = { .of = it };
    batch.run = (commit_batch){ .db = db,
                                .items = items,
                                .count = count,
                                .stride = sizeof *items,
                                .script = SCRIPT_COMMIT,
                                .doing = "moving a record",
                                .only_asks = it->how->dry_run,
                                .plan = plan_move,
                                .render = render_move };
    popoto__commit_run(&batch.run);
    /* All outcomes are noted, also where one of them ends the migration. */
    for (size_t i = 0; i < count; i++) {
        popoto_status outcome = take_outcome(it, &items[i]);
        if (status == POPOTO_OK && outcome != POPOTO_OK) {
            status = outcome;
            if (items[i].done.reason != NULL && outcome == items[i].done.status)
                popoto__explain(&db->why, outcome, "%s", items[i].done.reason);
        }
    }
    failure why = db->why;
    note_tenants(it, items, count);
    db->why = why;
    return status;
}

/* ----- The whole ------------------------------------------------------------------------------ */

static popoto_status report_progress(strict_migration *it) {
    if (it->result->public.error_count > it->stuck)
        it->stuck = it->result->public.error_count;
    if (it->how->progress == NULL ||
        it->how->progress(it->how->context, it->placed + it->stuck,
                          it->is_counted ? it->result->public.total : 0))
        return POPOTO_OK;
    return popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
}

static size_t placed_left(const strict_migration *it) {
    return it->how->limit == 0 ? SIZE_MAX : it->how->limit - it->placed;
}

static popoto_status take_page(strict_migration *it, popoto_text *keys, size_t count,
                               bool counts_only) {
    popoto_status status = POPOTO_OK;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (popoto__key_has(it->from, NULL, (popoto_text){ NULL, 0 }, keys[i]))
            keys[kept++] = keys[i];
    if (counts_only) {
        it->result->public.total += kept;
        status = report_progress(it);
    }
    for (size_t at = 0, part; !counts_only && at < kept && status == POPOTO_OK; at += part) {
        part = kept - at < COMMIT_PIPELINE ? kept - at : COMMIT_PIPELINE;
        if (part > placed_left(it))
            part = placed_left(it);
        if (part == 0)
            break;
        status = move_records(it, keys + at, part);
        if (status == POPOTO_OK)
            status = report_progress(it);
    }
    return status;
}

static popoto_status one_pass(strict_migration *it, popoto_text pattern, bool counts_only) {
    key_walk walk;
    bool more;
    it->result->public.error_count = 0;
    popoto__key_walk_begin(&walk, it->db, pattern);
    popoto_status status = popoto__key_walk_next(&walk, &more);
    while (status == POPOTO_OK && more && placed_left(it) > 0) {
        status = take_page(it, walk.keys, walk.count, counts_only);
        if (status == POPOTO_OK)
            status = popoto__key_walk_next(&walk, &more);
    }
    popoto__key_walk_end(&walk);
    return status;
}

static popoto_status run(strict_migration *it) {
    popoto_text pattern =
        popoto__record_pattern(it->from, NULL, (popoto_text){ NULL, 0 }, &it->memory);
    if (pattern.data == NULL)
        return popoto__fail_memory(&it->db->why);
    popoto_status status = one_pass(it, pattern, true);
    it->is_counted = true;
    if (status == POPOTO_OK)
        status = one_pass(it, pattern, false);
    /* What writers of the ordinary model added behind the walk's back, until a pass moves nothing. */
    size_t before = 0;
    for (size_t pass = 1; status == POPOTO_OK && !it->how->dry_run && it->placed > before &&
                          placed_left(it) > 0 && pass < MAX_PASSES;
         pass++) {
        before = it->placed;
        status = one_pass(it, pattern, false);
    }
    return status;
}

static popoto_status begin(strict_migration *it) {
    if (it->how == NULL)
        return popoto__db_needs(it->db, "a description of the migration");
    if (popoto__db_is_cluster(it->db))
        return popoto__fail(&it->db->why, POPOTO_UNSUPPORTED,
                            "on a cluster a record cannot change its slot: export and import it");
    popoto_status status = popoto__db_begin(it->db, it->how->from, &it->from);
    if (status == POPOTO_OK)
        status = popoto__db_begin(it->db, it->how->to, &it->to);
    if (status == POPOTO_OK)
        status = match_models(it);
    return status == POPOTO_OK ? popoto__refuse_scopes(it->db, it->from, "a migration") : status;
}

popoto_status popoto_migrate_to_strict(popoto_db *db, const popoto_strict_migration_desc *desc,
                                       popoto_migration_report **out) {
    if (out == NULL)
        return POPOTO_BAD_ARGUMENT;
    *out = NULL;
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    strict_migration *it = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it);
    if (it == NULL)
        return popoto__fail_memory(&db->why);
    it->db = db;
    it->how = desc;
    popoto__arena_init(&it->memory, &db->allocator);
    popoto_status status = begin(it);
    if (status == POPOTO_OK) {
        it->result = popoto__report_new(db);
        status = it->result != NULL ? run(it) : popoto__fail_memory(&db->why);
    }
    if (it->result != NULL) {
        popoto__report_finish(it->result);
        *out = &it->result->public;
    }
    popoto__arena_free(&it->memory);
    popoto__release(&db->allocator, it);
    return status;
}
