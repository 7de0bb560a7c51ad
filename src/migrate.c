/* migrate - moves the entries of an unpartitioned companion hash to the partitions of their records, one
 * atomic step an entry, and reports what it did or, on a dry run, would do. */
#include "commit.h"
#include "migration_report.h"
#include "read_commands.h"

#include <string.h>

/* Writers that still use the unpartitioned hash may add to it meanwhile; each pass takes what is there. */
#define MAX_PASSES 16

typedef struct migration {
    popoto_db *db;
    const model *of;
    const field *about;
    popoto_text hash; /* the unpartitioned one */
    const popoto_migration_desc *how;
    migration_report *result;
    arena page; /* of the page under way; the callback may use the db's scratch memory */
    buffer cursor;
    popoto_text *members;
    bool *readable; /* by member: its entry is one */
    size_t member_count;
    size_t placed; /* so far: moved, or with a place on a dry run */
    size_t stuck;  /* most errors that a pass listed */
} migration;

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
    it->readable = popoto__arena_zeroed(&it->page, it->member_count + 1, sizeof *it->readable);
    if (it->members == NULL || it->readable == NULL || it->cursor.failed)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < it->member_count; i++) {
        const reply *member = entries->items[2 * i], *entry = entries->items[2 * i + 1];
        popoto_confidence ignored;
        it->members[i] = (popoto_text){ member->text, member->size };
        it->readable[i] = entry->type == REPLY_STRING &&
                          popoto__codec_read_confidence(entry->text, entry->size,
                                                        it->about->initial_confidence, &ignored);
    }
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

/* ----- The move of an entry ------------------------------------------------------------------- */

typedef struct move {
    commit done;
    record_write write;
    placement where;
    popoto_text to; /* data NULL: not known */
    bool moved;     /* on a dry run: would be */
} move;

typedef struct move_batch {
    commit_batch run;
    const migration *of;
} move_batch;

/* The record must be there, and its partition be what this plan says. Of a partition that its key does
 * not tell, the first try only asks. A dry run asks all there is to ask, and has no command. */
static popoto_status plan_move(commit_batch *run, commit *one) {
    move *it = (move *)one;
    const migration *whole = ((move_batch *)run)->of;
    popoto_status status =
        popoto__commit_locate(run, one, &it->write, whole->about, &it->where, &it->to);
    if (status == POPOTO_OK && it->to.data != NULL && !whole->how->dry_run)
        popoto__plan_merge(&one->planned, whole->hash, it->to, it->write.old_key, whole->about);
    return status == POPOTO_OK && one->planned.failed ? popoto__fail_memory(&run->db->why) : status;
}

static void render_move(commit_batch *run, commit *one) {
    popoto__plan_render_commit(&one->planned, popoto__db_script(run->db, SCRIPT_MERGE),
                               &run->db->request);
}

static popoto_status take_move(commit_batch *run, commit *one, const reply *answer) {
    move *it = (move *)one;
    const migration *whole = ((move_batch *)run)->of;
    shown room;
    if (popoto__reply_is_error(answer, "CORRUPTENTRY")) {
        const char *where = answer->text + strlen("CORRUPTENTRY in ");
        return popoto__fail(&run->db->why, POPOTO_CORRUPT, "its entry in %s is no confidence entry",
                            popoto__show(&room, where, strlen(where)));
    }
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, run->doing, &run->db->why);
    if (it->to.data == NULL) /* says what the record lacks */
        return popoto__partition_key(whole->of, whole->about, it->where.segments, it->write.memory,
                                     &it->to, &run->db->why);
    it->moved = whole->how->dry_run || strcmp(answer->text, "OK") == 0;
    return POPOTO_OK;
}

/* Whether an outcome is the entry's own, to be listed; others end the migration. */
static bool is_of_entry(popoto_status status) {
    return status == POPOTO_NOT_FOUND || status == POPOTO_CORRUPT || status == POPOTO_BAD_VALUE ||
           status == POPOTO_BAD_ARGUMENT || status == POPOTO_CHANGED;
}

/* A strict model's hash is one tenant's, whose own user may write any name into it. */
static bool is_foreign(const migration *it, popoto_text member) {
    popoto_text own = popoto__key_tenant(it->hash), is = popoto__key_tenant(member);
    return it->of->tenant != NULL &&
           (is.size != own.size || memcmp(is.data, own.data, own.size) != 0);
}

static popoto_status prepare_move(migration *it, size_t index, popoto_value *nothing, move *out) {
    shown room;
    out->write = (record_write){
        .of = it->of,
        .kind = WRITE_TOUCH,
        .memory = &it->db->scratch,
        .values = nothing,
        .old_key = it->members[index],
    };
    if (is_foreign(it, it->members[index]))
        return popoto__fail(&it->db->why, POPOTO_BAD_ARGUMENT, "it is no key of this %s's records",
                            it->of->tenant->name);
    if (it->how->dry_run && !it->readable[index])
        return popoto__fail(&it->db->why, POPOTO_CORRUPT, "its entry in %s is no confidence entry",
                            popoto__show(&room, it->hash.data, it->hash.size));
    return popoto__write_prepare(&out->write, &it->db->why);
}

/* An entry that is neither moved nor refused is gone: a scan may come upon it twice, and records are
 * deleted meanwhile. */
static popoto_status take_outcome(migration *it, const move *one) {
    popoto_status status = one->done.status;
    bool noted = true;
    if (status == POPOTO_OK && one->moved) {
        it->placed++;
        if (!it->how->dry_run)
            it->result->public.migrated++;
        noted = popoto__report_count(it->result, partition_name(it, one->to));
    } else if (is_of_entry(status)) {
        noted = popoto__report_error(it->result, one->write.old_key,
                                     one->done.reason != NULL ? one->done.reason
                                                              : popoto_status_name(status));
    } else {
        return status;
    }
    return noted ? POPOTO_OK : popoto__fail_memory(&it->db->why);
}

/* All outcomes are noted, also where one of them ends the migration. */
static popoto_status take_outcomes(migration *it, const move *items, size_t count) {
    popoto_status first = POPOTO_OK;
    for (size_t i = 0; i < count; i++) {
        popoto_status status = take_outcome(it, &items[i]);
        if (first == POPOTO_OK)
            first = status;
    }
    return first;
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
        .script = SCRIPT_MERGE,
        .doing = "moving a confidence entry",
        .only_asks = it->how->dry_run,
        .plan = plan_move,
        .render = render_move,
        .take = take_move,
    };
    for (size_t i = 0; i < count; i++) {
        popoto_status status = prepare_move(it, first + i, nothing, &items[i]);
        if (status != POPOTO_OK)
            popoto__commit_settle(&batch.run, &items[i].done, status);
    }
    popoto__commit_run(&batch.run);
    popoto_status status = take_outcomes(it, items, count);
    for (size_t i = 0; i < count && status != POPOTO_OK && status != POPOTO_NO_MEMORY; i++)
        if (items[i].done.status == status) {
            const char *reason = items[i].done.reason;
            popoto__fail(&db->why, status, "%s",
                         reason != NULL ? reason : popoto_status_name(status));
            break;
        }
    return status;
}

/* ----- The whole ------------------------------------------------------------------------------ */

/* What the callback is told: entries that are placed or cannot be. A pass lists the latter anew. */
static size_t done_of(migration *it) {
    if (it->result->public.error_count > it->stuck)
        it->stuck = it->result->public.error_count;
    return it->placed + it->stuck;
}

static size_t placed_left(const migration *it) {
    return it->how->limit == 0 ? SIZE_MAX : it->how->limit - it->placed;
}

static popoto_status one_pass(migration *it) {
    popoto_status status = POPOTO_OK;
    it->result->public.error_count = 0;
    popoto__buffer_clear(&it->cursor);
    do {
        status = read_page(it);
        for (size_t at = 0, part; status == POPOTO_OK && at < it->member_count; at += part) {
            part = it->member_count - at;
            if (part > COMMIT_PIPELINE)
                part = COMMIT_PIPELINE;
            if (part > placed_left(it))
                part = placed_left(it);
            if (part == 0)
                return POPOTO_OK;
            status = move_entries(it, at, part);
            if (status == POPOTO_OK && it->how->progress != NULL &&
                !it->how->progress(it->how->context, done_of(it), it->result->public.total))
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
    size_t before = 0;
    for (size_t pass = 1; status == POPOTO_OK && !it->how->dry_run && it->placed > before &&
                          placed_left(it) > 0 && pass < MAX_PASSES;
         pass++) {
        before = it->placed;
        status = one_pass(it);
    }
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

/* A migration is about all tenants, or, where the model is strict, about the one whose scope this is. */
static popoto_status refuse_scopes(const migration *it) {
    for (size_t i = 0; i < it->of->field_count; i++) {
        const field *by = &it->of->fields[i];
        const popoto_value *given = popoto__scope_value(it->db, by);
        shown room;
        if (given != NULL && by != it->of->tenant)
            return popoto__fail(
                &it->db->why, POPOTO_BAD_SCOPE,
                "a migration moves the entries of every %s, and this thread is in the "
                "scope %s = %s: leave that first",
                by->name, by->name, popoto__show_value(&room, given));
    }
    return POPOTO_OK;
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
    status = refuse_scopes(&it);
    if (status != POPOTO_OK)
        return status;
    it.result = popoto__report_new(db);
    if (it.result == NULL)
        return popoto__fail_memory(&db->why);
    popoto__arena_init(&it.page, &db->allocator);
    popoto__buffer_init(&it.cursor, &db->allocator);
    status = name_hash(&it);
    if (status == POPOTO_OK)
        status = run(&it);
    popoto__report_unescape(it.result);
    popoto__report_finish(it.result);
    *out = &it.result->public;
    popoto__buffer_free(&it.cursor);
    popoto__arena_free(&it.page);
    return status;
}
