/* migrate - moves the entries of an unpartitioned companion hash to the partitions of their records, one
 * atomic step an entry, and reports what it did or, on a dry run, would do. */
#include "commit.h"
#include "query.h"

#include <string.h>

/* Writers that still use the unpartitioned hash may add to it meanwhile; each pass takes what is there. */
#define MAX_PASSES 16

/* Partitions by name: open addressing, at most half full. */
typedef struct tally {
    popoto_migration_partition *slots;
    size_t count;
    size_t room; /* a power of two */
} tally;

typedef struct report {
    popoto_migration_report public; /* first: it is what the caller holds */
    popoto_allocator allocator;
    arena memory;
    tally partitions;
    popoto_migration_error *errors;
    size_t error_room;
} report;

typedef struct migration {
    popoto_db *db;
    const model *of;
    const field *about;
    popoto_text hash; /* the unpartitioned one */
    const popoto_migration_desc *how;
    report *result;
    arena page; /* of the page under way; the callback may use the db's scratch memory */
    buffer cursor;
    popoto_text *members;
    size_t member_count;
    size_t first; /* of the part of the page under way */
    size_t done;  /* entries seen in this pass */
    size_t moved; /* in this pass */
} migration;

/* ----- The report ----------------------------------------------------------------------------- */

static popoto_migration_partition *slot_of(tally *it, popoto_text name) {
    size_t at = (size_t)popoto__digest(name.data, name.size) & (it->room - 1);
    while (it->slots[at].name.data != NULL &&
           (it->slots[at].name.size != name.size ||
            memcmp(it->slots[at].name.data, name.data, name.size) != 0))
        at = (at + 1) & (it->room - 1);
    return &it->slots[at];
}

static bool grow_tally(report *it) {
    tally bigger = { .room = it->partitions.room ? it->partitions.room * 2 : 16 };
    bigger.slots = popoto__arena_zeroed(&it->memory, bigger.room, sizeof *bigger.slots);
    if (bigger.slots == NULL)
        return false;
    for (size_t i = 0; i < it->partitions.room; i++)
        if (it->partitions.slots[i].name.data != NULL)
            *slot_of(&bigger, it->partitions.slots[i].name) = it->partitions.slots[i];
    bigger.count = it->partitions.count;
    it->partitions = bigger;
    return true;
}

static bool count_partition(report *it, popoto_text name) {
    if (2 * it->partitions.count >= it->partitions.room && !grow_tally(it))
        return false;
    popoto_migration_partition *slot = slot_of(&it->partitions, name);
    if (slot->name.data == NULL) {
        char *copy = popoto__arena_copy(&it->memory, name.data, name.size);
        if (copy == NULL)
            return false;
        slot->name = (popoto_text){ copy, name.size };
        it->partitions.count++;
    }
    slot->count++;
    return true;
}

static bool add_error(report *it, popoto_text member, const char *reason) {
    size_t count = it->public.error_count;
    if (count == it->error_room) {
        size_t room = it->error_room ? it->error_room * 2 : 16;
        popoto_migration_error *bigger = popoto__arena_allocate(&it->memory, room * sizeof *bigger);
        if (bigger == NULL)
            return false;
        if (count > 0)
            memcpy(bigger, it->errors, count * sizeof *bigger);
        it->errors = bigger;
        it->error_room = room;
    }
    char *name = popoto__arena_copy(&it->memory, member.data, member.size);
    char *text = popoto__arena_copy(&it->memory, reason, strlen(reason));
    if (name == NULL || text == NULL)
        return false;
    it->errors[count] = (popoto_migration_error){ { name, member.size }, text };
    it->public.error_count++;
    it->public.errors = it->errors;
    return true;
}

/* The slots without the empty ones. */
static void list_partitions(report *it) {
    size_t count = 0;
    for (size_t i = 0; i < it->partitions.room; i++)
        if (it->partitions.slots[i].name.data != NULL)
            it->partitions.slots[count++] = it->partitions.slots[i];
    it->public.partitions = it->partitions.slots;
    it->public.partition_count = count;
}

void popoto_migration_report_free(popoto_migration_report *given) {
    if (given == NULL)
        return;
    report *it = (report *)given;
    popoto_allocator allocator = it->allocator;
    popoto__arena_free(&it->memory);
    popoto__release(&allocator, it);
}

/* ----- One page ------------------------------------------------------------------------------- */

static popoto_status take_page(void *context, size_t index, const reply *answer) {
    migration *it = context;
    (void)index;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "scanning a companion hash", &it->db->why);
    if (answer->type != REPLY_ARRAY || answer->count != 2 ||
        answer->items[0]->type != REPLY_STRING || answer->items[1]->type != REPLY_ARRAY ||
        answer->items[1]->count % 2 != 0)
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered HSCAN with no page");
    const reply *cursor = answer->items[0], *entries = answer->items[1];
    popoto__buffer_clear(&it->cursor);
    popoto__buffer_append(&it->cursor, cursor->text, cursor->size);
    it->member_count = entries->count / 2;
    it->members = popoto__arena_zeroed(&it->page, it->member_count + 1, sizeof *it->members);
    if (it->members == NULL || it->cursor.failed)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < it->member_count; i++)
        it->members[i] = (popoto_text){ entries->items[2 * i]->text, entries->items[2 * i]->size };
    return POPOTO_OK;
}

static popoto_status read_page(migration *it) {
    popoto_text cursor =
        it->cursor.size ? (popoto_text){ it->cursor.data, it->cursor.size } : TEXT("0");
    popoto__arena_reset(&it->page);
    popoto__buffer_clear(&it->db->request);
    popoto__render_hash_scan(it->hash, cursor, NULL, &it->db->request);
    return popoto__db_exchange(it->db, 1, false, &it->page, take_page, it);
}

/* The end of a partition's key, "atlas": what tells it from the unpartitioned one. */
static popoto_text partition_name(const migration *it, popoto_text hash) {
    size_t skipped = it->hash.size + 1;
    return (popoto_text){ hash.data + skipped, hash.size - skipped };
}

/* ----- Dry run: where each entry would go ------------------------------------------------------ */

static popoto_status place_dry(migration *it, popoto_text member, const reply *answer) {
    placement where;
    popoto_text hash;
    failure why = { .status = POPOTO_OK };
    bool there = false;
    popoto_status status = POPOTO_OK;
    if (!popoto__placement_of_key(it->of, member, &it->page, &where))
        return where.segments == NULL ? popoto__fail_memory(&it->db->why)
               : add_error(it->result, member, "it is no key of the model")
                   ? POPOTO_OK
                   : popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < answer->count && status == POPOTO_OK; i++) {
        const field *by = &it->of->fields[it->about->partition[i]];
        const reply *stored = answer->items[i];
        popoto_value given, value;
        const char *reason = "what is stored is of another type";
        there = there || stored->type == REPLY_STRING;
        if (by->is_key || stored->type != REPLY_STRING)
            continue;
        if (popoto__codec_read(&it->page, stored->text, stored->size, &given, &reason) &&
            given.type != POPOTO_NULL && popoto__field_convert(by, &given, &value))
            status = popoto__placement_set(it->of, &where, by->index, &value, &it->page, &why);
        else
            status =
                popoto__fail(&why, reason == CODEC_NO_MEMORY ? POPOTO_NO_MEMORY : POPOTO_CORRUPT,
                             "its field %s cannot be used: %s", by->name, reason);
    }
    if (status == POPOTO_OK && !there)
        status = popoto__fail(&why, POPOTO_NOT_FOUND, "there is no such record");
    if (status == POPOTO_OK)
        status = popoto__partition_key(it->of, it->about, where.segments, &it->page, &hash, &why);
    bool added = status == POPOTO_OK ? count_partition(it->result, partition_name(it, hash))
                                     : add_error(it->result, member, why.text);
    return added && status != POPOTO_NO_MEMORY ? POPOTO_OK : popoto__fail_memory(&it->db->why);
}

static popoto_status take_dry(void *context, size_t index, const reply *answer) {
    migration *it = context;
    popoto_text member = it->members[it->first + index];
    if (answer->type == REPLY_ERROR)
        return add_error(it->result, member, answer->text) ? POPOTO_OK
                                                           : popoto__fail_memory(&it->db->why);
    if (answer->type != REPLY_ARRAY || answer->count != it->about->partition_count)
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered HMGET with no list of the fields asked for");
    return place_dry(it, member, answer);
}

static popoto_status look_at(migration *it, size_t first, size_t count) {
    it->first = first;
    popoto__buffer_clear(&it->db->request);
    for (size_t i = 0; i < count; i++)
        popoto__render_fetch_fields(it->of, it->about->partition, it->about->partition_count,
                                    it->members[first + i], &it->db->request);
    return popoto__db_exchange(it->db, count, false, NULL, take_dry, it);
}

/* ----- The move of an entry ------------------------------------------------------------------- */

typedef struct move {
    commit done;
    record_write write;
    popoto_text to;
} move;

typedef struct move_batch {
    commit_batch run;
    const migration *of;
} move_batch;

/* The record must be there, and its partition be what this plan says. Of a partition that its key does
 * not tell, the first try says nothing, and the refusal tells it. */
static popoto_status plan_move(commit_batch *run, commit *one) {
    move *it = (move *)one;
    const migration *whole = ((move_batch *)run)->of;
    placement where;
    popoto_status status = popoto__plan_learn(&it->write, &one->planned, one->refusals,
                                              one->refusal_count, &run->db->why);
    if (status == POPOTO_OK)
        status = popoto__plan_locate(&it->write, &one->planned, &where, &run->db->why);
    if (status != POPOTO_OK)
        return status;
    if (one->planned.expectation_count > 1 && one->refusal_count == 0) {
        it->to = whole->hash; /* only to ask: this cannot hold unless the record lacks the field */
    } else {
        status = popoto__partition_key(whole->of, whole->about, where.segments, it->write.memory,
                                       &it->to, &run->db->why);
    }
    if (status == POPOTO_OK)
        popoto__plan_merge(&one->planned, whole->hash, it->to, it->write.old_key, whole->about);
    return status == POPOTO_OK && one->planned.failed ? popoto__fail_memory(&run->db->why) : status;
}

static void render_move(commit_batch *run, commit *one) {
    popoto__plan_render_commit(&one->planned, popoto__db_script(run->db, SCRIPT_COMMIT),
                               &run->db->request);
}

/* Whether an outcome is the entry's own, to be listed; others end the migration. */
static bool is_of_entry(popoto_status status) {
    return status == POPOTO_NOT_FOUND || status == POPOTO_CORRUPT || status == POPOTO_BAD_VALUE ||
           status == POPOTO_BAD_ARGUMENT || status == POPOTO_CHANGED;
}

static popoto_status prepare_move(migration *it, popoto_text member, popoto_value *nothing,
                                  move *out) {
    out->write = (record_write){
        .of = it->of,
        .kind = WRITE_TOUCH,
        .memory = &it->db->scratch,
        .values = nothing,
        .old_key = member,
    };
    return popoto__write_prepare(&out->write, &it->db->why);
}

static popoto_status take_outcome(migration *it, const move *one) {
    popoto_status status = one->done.status;
    bool noted = true;
    if (status == POPOTO_OK && one->to.size > it->hash.size) {
        it->moved++;
        it->result->public.migrated++;
        noted = count_partition(it->result, partition_name(it, one->to));
    } else if (status == POPOTO_OK) {
        noted = add_error(it->result, one->write.old_key, "its record lacks a partition field");
    } else if (is_of_entry(status)) {
        noted = add_error(it->result, one->write.old_key,
                          one->done.reason != NULL ? one->done.reason : popoto_status_name(status));
    } else {
        return status;
    }
    return noted ? POPOTO_OK : popoto__fail_memory(&it->db->why);
}

static popoto_status move_entries(migration *it, size_t first, size_t count) {
    popoto_db *db = it->db;
    popoto__arena_reset(&db->scratch);
    popoto_value *nothing =
        popoto__arena_zeroed(&db->scratch, it->of->field_count, sizeof *nothing);
    move *items = popoto__arena_zeroed(&db->scratch, count, sizeof *items);
    if (nothing == NULL || items == NULL)
        return popoto__fail_memory(&db->why);
    move_batch batch = { .of = it };
    batch.run = (commit_batch){
        .db = db,
        .items = items,
        .count = count,
        .stride = sizeof *items,
        .script = SCRIPT_COMMIT,
        .doing = "moving a confidence entry",
        .plan = plan_move,
        .render = render_move,
    };
    for (size_t i = 0; i < count; i++) {
        popoto_status status = prepare_move(it, it->members[first + i], nothing, &items[i]);
        if (status != POPOTO_OK)
            popoto__commit_settle(&batch.run, &items[i].done, status);
    }
    popoto__commit_run(&batch.run);
    for (size_t i = 0; i < count; i++) {
        popoto_status status = take_outcome(it, &items[i]);
        if (status != POPOTO_OK) {
            if (status != POPOTO_NO_MEMORY && batch.run.first.status == status)
                db->why = batch.run.first;
            return status;
        }
    }
    return POPOTO_OK;
}

/* ----- The whole ------------------------------------------------------------------------------ */

static popoto_status one_pass(migration *it) {
    popoto_status status = POPOTO_OK;
    it->done = it->moved = 0;
    it->result->public.error_count = 0;
    popoto__buffer_clear(&it->cursor);
    do {
        status = read_page(it);
        for (size_t at = 0; status == POPOTO_OK && at < it->member_count; at += COMMIT_PIPELINE) {
            size_t part = it->member_count - at;
            if (part > COMMIT_PIPELINE)
                part = COMMIT_PIPELINE;
            status = it->how->dry_run ? look_at(it, at, part) : move_entries(it, at, part);
            it->done += part;
            if (status == POPOTO_OK && it->how->progress != NULL &&
                !it->how->progress(it->how->context, it->done, it->result->public.total))
                status = popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
        }
    } while (status == POPOTO_OK && !(it->cursor.size == 1 && it->cursor.data[0] == '0'));
    return status;
}

static popoto_status take_total(void *context, size_t index, const reply *answer) {
    migration *it = context;
    (void)index;
    if (answer->type != REPLY_INTEGER)
        return popoto__reply_failure(answer, "asking for the size of a companion hash",
                                     &it->db->why);
    it->result->public.total = (size_t)answer->integer;
    return POPOTO_OK;
}

static popoto_status run(migration *it) {
    popoto__buffer_clear(&it->db->request);
    popoto__render_hash_size(it->hash, &it->db->request);
    popoto_status status = popoto__db_exchange(it->db, 1, false, NULL, take_total, it);
    if (status == POPOTO_OK)
        status = one_pass(it);
    /* What writers of the unpartitioned hash added behind the scan's back comes in further passes, until
     * one finds nothing that can be moved. */
    for (size_t pass = 1;
         status == POPOTO_OK && !it->how->dry_run && it->moved > 0 && pass < MAX_PASSES; pass++)
        status = one_pass(it);
    return status;
}

/* The unpartitioned hash: of the model, or, where it is strict, of the tenant whose scope this is. Its
 * name is kept in the db's own memory, because the scratch memory goes with each batch. */
static popoto_status name_hash(migration *it) {
    popoto_text segments[MODEL_MAX_FIELDS];
    const field *tenant = it->of->tenant;
    popoto_value value = { POPOTO_NULL, { 0 } };
    popoto_status status = POPOTO_OK;
    if (tenant != NULL)
        status = popoto__scope_complete(it->db, it->of, tenant, &value);
    if (status == POPOTO_OK && tenant != NULL && value.type == POPOTO_NULL)
        status = popoto__fail(&it->db->why, POPOTO_BAD_ARGUMENT,
                              "%s belongs to tenants: enter the scope of the %s to be migrated",
                              it->of->name.data, tenant->name);
    if (status == POPOTO_OK && tenant != NULL)
        status = popoto__segment(it->of, tenant, &value, &it->result->memory,
                                 &segments[tenant->index], &it->db->why);
    if (status == POPOTO_OK)
        it->hash = popoto__unpartitioned_key(it->of, it->about, segments, &it->result->memory);
    return status == POPOTO_OK && it->hash.data == NULL ? popoto__fail_memory(&it->db->why)
                                                        : status;
}

popoto_status popoto_confidence_migrate(popoto_db *db, const popoto_model *declared,
                                        const char *name, const popoto_migration_desc *desc,
                                        popoto_migration_report **out) {
    static const popoto_migration_desc plain = { 0 };
    migration it = { .db = db, .how = desc != NULL ? desc : &plain };
    if (out == NULL)
        return POPOTO_BAD_ARGUMENT;
    *out = NULL;
    popoto_status status = popoto__confidence_begin(db, declared, name, &it.of, &it.about);
    if (status == POPOTO_OK && it.about->partition_count == 0)
        status = popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                              "%s.%s has no partition_by: there are no partitions to migrate to",
                              it.of->name.data, it.about->name);
    if (status != POPOTO_OK)
        return status;
    it.result = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it.result);
    if (it.result == NULL)
        return popoto__fail_memory(&db->why);
    it.result->allocator = db->allocator;
    popoto__arena_init(&it.result->memory, &it.result->allocator);
    popoto__arena_init(&it.page, &db->allocator);
    popoto__buffer_init(&it.cursor, &db->allocator);
    status = name_hash(&it);
    if (status == POPOTO_OK)
        status = run(&it);
    list_partitions(it.result);
    *out = &it.result->public;
    popoto__buffer_free(&it.cursor);
    popoto__arena_free(&it.page);
    return status;
}
