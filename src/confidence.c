/* confidence - the Bayesian figures of records in their companion hashes: updates, reads, scans, and the
 * keys by which isolation can be audited. The rule itself is in plan's script. */
#include "commit.h"
#include "read_commands.h"

#include <string.h>

static popoto_status find_field(popoto_db *db, const model *of, const char *name,
                                const field **out) {
    shown room;
    *out = name == NULL ? NULL : popoto__model_field(of, name, strlen(name));
    if (*out != NULL && (*out)->kind == POPOTO_KIND_CONFIDENCE)
        return POPOTO_OK;
    return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "%s has no CONFIDENCE field %s",
                        of->name.data,
                        name == NULL ? "(NULL)" : popoto__show(&room, name, strlen(name)));
}

popoto_status popoto__confidence_begin(popoto_db *db, const popoto_model *declared,
                                       const char *name, const model **of, const field **about) {
    popoto_status status = popoto__db_begin(db, declared, of);
    return status == POPOTO_OK ? find_field(db, *of, name, about) : status;
}

/* The write that stands for "this record, wherever it is": its key, and what the object says of its
 * partition. */
static popoto_status locate(popoto_db *db, const model *of, const void *object, record_write *out) {
    popoto_text current;
    if (object == NULL)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                            "an object of %s is needed, and NULL was given", of->name.data);
    popoto_value *values = popoto__arena_zeroed(&db->scratch, of->field_count, sizeof *values);
    if (values == NULL)
        return popoto__fail_memory(&db->why);
    *out =
        (record_write){ .of = of, .kind = WRITE_TOUCH, .memory = &db->scratch, .values = values };
    popoto_status status = popoto__db_values(db, of, object, values);
    if (status == POPOTO_OK && !popoto__scope_pins(db, of, &out->pinned))
        status = popoto__fail_memory(&db->why);
    if (status == POPOTO_OK)
        status = popoto__key_of_values(of, values, &db->scratch, &current, &db->why);
    if (status == POPOTO_OK)
        status =
            popoto__db_old_key(db, of, popoto__object_header(of, object), current, &out->old_key);
    if (status != POPOTO_OK)
        return status;
    if (out->old_key.data == NULL)
        out->old_key = current;
    for (size_t i = 0; i < of->field_count; i++)
        popoto__guess_value(of, &of->fields[i], &values[i]);
    return popoto__write_prepare(out, &db->why);
}

/* ----- Updates -------------------------------------------------------------------------------- */

typedef struct update {
    commit done;
    record_write write;
    placement where;
    confidence_update what;
    popoto_confidence after;
} update;

typedef struct update_batch {
    commit_batch run;
    const field *about;
    popoto_signal *signals;
} update_batch;

static popoto_status plan_update(commit_batch *run, commit *one) {
    update *it = (update *)one;
    return popoto__commit_locate(run, one, &it->write, ((update_batch *)run)->about, &it->where,
                                 &it->what.hash);
}

static void render_update(commit_batch *run, commit *one) {
    popoto__plan_render_confidence(&one->planned, &((update *)one)->what,
                                   popoto__db_script(run->db, SCRIPT_CONFIDENCE),
                                   &run->db->request);
}

static popoto_status corrupt_entry(popoto_db *db, const field *about, popoto_text member) {
    shown room;
    return popoto__fail(&db->why, POPOTO_CORRUPT, "%s: its entry for %s is no confidence entry",
                        popoto__show(&room, member.data, member.size), about->name);
}

static popoto_status take_entry(commit_batch *run, commit *one, const reply *answer) {
    update *it = (update *)one;
    const field *about = ((update_batch *)run)->about;
    if (answer->type == REPLY_STRING &&
        popoto__codec_read_confidence(answer->text, answer->size, it->what.initial, &it->after))
        return POPOTO_OK;
    if (popoto__reply_is_error(answer, "CORRUPTENTRY"))
        return corrupt_entry(run->db, about, it->what.member);
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, run->doing, &run->db->why);
    if (answer->type == REPLY_STATUS && it->what.hash.data == NULL)
        return popoto__partition_key(it->write.of, about, it->where.segments, it->write.memory,
                                     &it->what.hash, &run->db->why); /* says what it lacks */
    return popoto__fail(&run->db->why, POPOTO_BAD_REPLY,
                        "a script answered something that no script of ours does");
}

static popoto_status prepare_update(popoto_db *db, const model *of, const field *about,
                                    const popoto_signal *signal, update *out) {
    if (!(signal->signal >= 0 && signal->signal <= 1))
        return popoto__fail(&db->why, POPOTO_BAD_VALUE,
                            "%s.%s: a signal is a number between 0 and 1, not %g", of->name.data,
                            about->name, signal->signal);
    popoto_status status = locate(db, of, signal->object, &out->write);
    out->what = (confidence_update){
        .member = out->write.old_key,
        .signal = signal->signal,
        .initial = about->initial_confidence,
        .evidence_cap = about->evidence_cap,
    };
    return status;
}

/* The updates of one call. */
typedef struct course {
    popoto_db *db;
    const model *of;
    const field *about;
    popoto_signal *signals;
    update_batch parts[2];
} course;

static popoto_status begin_part(void *context, size_t turn, size_t start, size_t count) {
    course *it = context;
    update_batch *part = &it->parts[turn];
    popoto__arena_reset(&it->db->scratch);
    update *items = popoto__arena_zeroed(&it->db->scratch, count, sizeof *items);
    *part = (update_batch){ .about = it->about, .signals = it->signals + start };
    part->run = (commit_batch){
        .db = it->db,
        .items = items,
        .count = count,
        .stride = sizeof *items,
        .script = SCRIPT_CONFIDENCE,
        .doing = "updating a confidence",
        .plan = plan_update,
        .render = render_update,
        .take = take_entry,
    };
    for (size_t i = 0; items != NULL && i < count; i++) {
        popoto_status status =
            prepare_update(it->db, it->of, it->about, &part->signals[i], &items[i]);
        if (status != POPOTO_OK)
            popoto__commit_settle(&part->run, &items[i].done, status);
    }
    return items == NULL ? POPOTO_OK : popoto__commit_begin(&part->run);
}

static popoto_status finish_part(void *context, size_t turn, popoto_status *lost) {
    course *it = context;
    update_batch *part = &it->parts[turn];
    const update *items = part->run.items;
    if (items != NULL)
        popoto__commit_finish(&part->run);
    *lost = part->run.lost;
    for (size_t i = 0; i < part->run.count; i++) {
        part->signals[i].status = items == NULL ? POPOTO_NO_MEMORY : items[i].done.status;
        if (part->signals[i].status == POPOTO_OK)
            part->signals[i].after = items[i].after;
    }
    if (items == NULL)
        return popoto__fail_memory(&it->db->why);
    if (part->run.first.status != POPOTO_OK)
        it->db->why = part->run.first;
    return part->run.first.status;
}

/* Updates of one record count in their order, so that none must be left behind to be asked again: the
 * record's key has to tell where its figures are. */
static bool part_waits(void *context, size_t turn, size_t start, size_t count) {
    const course *it = context;
    bool waits = false;
    (void)turn, (void)start, (void)count;
    for (size_t i = 0; i < it->about->partition_count; i++)
        waits = waits || !it->of->fields[it->about->partition[i]].is_key;
    return waits;
}

popoto_status popoto_confidence_update_many(popoto_db *db, const popoto_model *declared,
                                            const char *name, popoto_signal *signals,
                                            size_t count) {
    course it = { .db = db, .signals = signals };
    popoto_status status = popoto__confidence_begin(db, declared, name, &it.of, &it.about);
    if (status == POPOTO_OK && signals == NULL && count > 0)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                            "signals are needed, and NULL was given");
    for (size_t i = 0; signals != NULL && i < count; i++) {
        signals[i].after = (popoto_confidence){ 0 };
        signals[i].status = status;
    }
    if (status != POPOTO_OK)
        return status;
    commit_parts all = { .db = db,
                         .count = count,
                         .context = &it,
                         .begin = begin_part,
                         .finish = finish_part,
                         .waits = part_waits };
    for (size_t i = popoto__commit_all(&all); i < count; i++)
        signals[i].status = popoto__commit_not_sent(all.lost);
    return all.first.status;
}

popoto_status popoto_confidence_update(popoto_db *db, const popoto_model *declared,
                                       const void *object, const char *name, double signal,
                                       popoto_confidence *after) {
    popoto_signal one = { .object = object, .signal = signal };
    popoto_status status = popoto_confidence_update_many(db, declared, name, &one, 1);
    if (after != NULL)
        *after = one.after;
    return status;
}

/* ----- Reads ---------------------------------------------------------------------------------- */

/* One look at a record and its entry: what tells where the record is comes before and after the entry, so
 * that an entry that is not there, or not there any more, is not taken for none. No transaction: whoever
 * may read may read this. */
typedef struct entry_read {
    popoto_db *db;
    const field *about;
    record_write write;
    popoto_text hash; /* where the entry is looked for; data NULL: its place is not known yet */
    bool asks_fields; /* the key alone does not tell the partition */
    bool record_is_there;
    bool moved;       /* the record is elsewhere than was believed, or was at one of the moments */
    failure of_entry; /* why the entry cannot be used */
    popoto_confidence figures;
} entry_read;

static popoto_status take_partition(entry_read *it, const reply *fields) {
    if (fields->type != REPLY_ARRAY || fields->count != it->about->partition_count)
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered HMGET with no list of the fields asked for");
    for (size_t i = 0; i < fields->count; i++) {
        const field *by = &it->write.of->fields[it->about->partition[i]];
        const reply *one = fields->items[i];
        popoto_text found = { NULL, 0 };
        if (by->is_key)
            continue; /* the key tells it */
        if (one->type == REPLY_STRING)
            found = (popoto_text){ one->text, one->size };
        it->moved = popoto__plan_correct(&it->write, by->index, found) || it->moved;
    }
    return POPOTO_OK;
}

static popoto_status take_presence(entry_read *it, bool is_first, const reply *answer) {
    bool is_there = answer->type == REPLY_INTEGER && answer->integer > 0;
    it->moved = it->moved || (!is_first && is_there != it->record_is_there);
    it->record_is_there = is_there;
    return POPOTO_OK;
}

/* What it means is known only when the record turns out to be here. */
static popoto_status take_entry_read(entry_read *it, const reply *answer) {
    failure kept = it->db->why;
    if (answer->type == REPLY_NULL)
        return POPOTO_OK;
    if (answer->type == REPLY_ERROR)
        (void)popoto__reply_failure(answer, "reading a confidence", &it->db->why);
    else if (answer->type == REPLY_STRING &&
             popoto__codec_read_confidence(answer->text, answer->size,
                                           it->about->initial_confidence, &it->figures))
        return POPOTO_OK;
    else
        (void)corrupt_entry(it->db, it->about, it->write.old_key);
    it->of_entry = it->db->why;
    it->db->why = kept;
    return POPOTO_OK;
}

/* EXISTS, HMGET (asks_fields), HGET (hash), EXISTS, HMGET (asks_fields): see popoto__render_entry. */
static popoto_status take_figures(void *context, size_t index, const reply *answer) {
    entry_read *it = context;
    size_t entry_at = 1 + (size_t)it->asks_fields;
    size_t second = entry_at + (it->hash.data != NULL);
    if (index == entry_at && index < second)
        return take_entry_read(it, answer);
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "reading a confidence", &it->db->why);
    if (index == 0 || index == second)
        return take_presence(it, index == 0, answer);
    return take_partition(it, answer);
}

/* Looks where the record is believed to be. */
static popoto_status look(entry_read *it) {
    popoto_db *db = it->db;
    plan located;
    placement where;
    popoto_status status = popoto__plan_locate(&it->write, &located, &where, &db->why);
    bool told = status == POPOTO_OK && popoto__partition_is_told(it->about, &where);
    it->hash = (popoto_text){ NULL, 0 };
    it->moved = false;
    it->of_entry.status = POPOTO_OK;
    it->figures = (popoto_confidence){ .confidence = it->about->initial_confidence };
    if (told)
        status = popoto__partition_key(it->write.of, it->about, where.segments, &db->scratch,
                                       &it->hash, &db->why);
    if (status != POPOTO_OK)
        return status;
    popoto__buffer_clear(&db->request);
    size_t replies = popoto__render_entry(it->write.of, it->write.old_key, it->about->partition,
                                          it->asks_fields ? it->about->partition_count : 0,
                                          it->hash, &db->request);
    status = popoto__db_exchange(db, replies, false, &db->scratch, take_figures, it);
    if (status != POPOTO_OK || it->moved)
        return status;
    shown room;
    if (!it->record_is_there)
        return popoto__fail(&db->why, POPOTO_NOT_FOUND,
                            "%s is not there: it was deleted, or expired",
                            popoto__show(&room, it->write.old_key.data, it->write.old_key.size));
    if (!told) /* says what the record lacks */
        return popoto__partition_key(it->write.of, it->about, where.segments, &db->scratch,
                                     &it->hash, &db->why);
    if (it->of_entry.status != POPOTO_OK)
        db->why = it->of_entry;
    return it->of_entry.status;
}

/* Where a record's partition is told by fields that are no part of its key, the stored ones count, not
 * those of an object that may be older or newer; each look after the first is due to somebody who moved
 * the record since the one before. */
#define MAX_LOOKS 1000

static popoto_status read_figures(popoto_db *db, const model *of, const field *about,
                                  const void *object, popoto_confidence *figures) {
    entry_read it = { .db = db, .about = about };
    for (size_t i = 0; i < about->partition_count; i++)
        it.asks_fields = it.asks_fields || !of->fields[about->partition[i]].is_key;
    popoto_status status = locate(db, of, object, &it.write);
    if (status == POPOTO_OK)
        status = look(&it);
    for (size_t looks = 1; status == POPOTO_OK && it.moved && looks < MAX_LOOKS; looks++)
        status = look(&it);
    if (status == POPOTO_OK && it.moved)
        status =
            popoto__fail(&db->why, POPOTO_CHANGED,
                         "others kept moving the same record: given up after %d tries", MAX_LOOKS);
    if (status == POPOTO_OK)
        *figures = it.figures;
    return status;
}

popoto_status popoto_confidence_figures(popoto_db *db, const popoto_model *declared,
                                        const void *object, const char *name,
                                        popoto_confidence *figures) {
    const model *of;
    const field *about;
    if (figures == NULL)
        return POPOTO_BAD_ARGUMENT;
    *figures = (popoto_confidence){ 0 };
    popoto_status status = popoto__confidence_begin(db, declared, name, &of, &about);
    return status == POPOTO_OK ? read_figures(db, of, about, object, figures) : status;
}

popoto_status popoto_confidence_get(popoto_db *db, const popoto_model *declared, const void *object,
                                    const char *name, double *confidence) {
    popoto_confidence figures;
    if (confidence == NULL)
        return POPOTO_BAD_ARGUMENT;
    popoto_status status = popoto_confidence_figures(db, declared, object, name, &figures);
    *confidence = figures.confidence;
    return status;
}

/* ----- Keys ----------------------------------------------------------------------------------- */

popoto_status popoto_confidence_key(popoto_db *db, const popoto_model *declared, const void *object,
                                    const char *name, popoto_text *key) {
    const model *of;
    const field *about;
    popoto_value values[MODEL_MAX_FIELDS];
    placement where;
    if (key == NULL)
        return POPOTO_BAD_ARGUMENT;
    *key = (popoto_text){ NULL, 0 };
    popoto_status status = popoto__confidence_begin(db, declared, name, &of, &about);
    if (status == POPOTO_OK && object == NULL)
        status =
            popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "an object is needed, and NULL was given");
    if (status == POPOTO_OK)
        status = popoto__db_values(db, of, object, values);
    if (status == POPOTO_OK)
        status = popoto__placement_of_partition(of, about, values, &db->scratch, &where, &db->why);
    popoto_text made = { NULL, 0 };
    if (status == POPOTO_OK)
        status = popoto__partition_key(of, about, where.segments, &db->scratch, &made, &db->why);
    return status == POPOTO_OK ? popoto__db_hand_out(db, made, key) : status;
}

/* A value that the filters left out may come from a scope. */
static popoto_status need_value(popoto_db *db, const model *of, const field *about, const field *by,
                                popoto_value *values) {
    popoto_status status = popoto__scope_complete(db, of, by, &values[by->index]);
    if (status != POPOTO_OK || values[by->index].type != POPOTO_NULL)
        return status;
    if (by == of->tenant)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                            "%s belongs to tenants: a value for %s is needed", of->name.data,
                            by->name);
    return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                        "%s.%s is partitioned by %s: a value for %s is needed", of->name.data,
                        about->name, about->declared->partition_by, by->name);
}

/* The values of a partition's fields, from filters and scopes; every one is needed, exactly. */
static popoto_status partition_values(popoto_db *db, const model *of, const field *about,
                                      const popoto_filter *filters, size_t count,
                                      popoto_text *hash) {
    popoto_value values[MODEL_MAX_FIELDS];
    placement where;
    memset(values, 0, sizeof values);
    for (size_t i = 0; i < count; i++) {
        shown room;
        const field *by =
            filters[i].lookup == NULL
                ? NULL
                : popoto__model_field(of, filters[i].lookup, strlen(filters[i].lookup));
        if (by == NULL || (by != of->tenant && !popoto__partitioned_by(about, by)))
            return popoto__fail(
                &db->why, POPOTO_BAD_ARGUMENT,
                "%s.%s is partitioned by %s: no value of %s is needed", of->name.data, about->name,
                about->declared->partition_by ? about->declared->partition_by : "nothing",
                filters[i].lookup == NULL
                    ? "(NULL)"
                    : popoto__show(&room, filters[i].lookup, strlen(filters[i].lookup)));
        popoto_value taken;
        popoto_status status = popoto__field_accept(of, by, &filters[i].value, &taken, &db->why);
        if (status != POPOTO_OK)
            return status;
        if (values[by->index].type != POPOTO_NULL &&
            !popoto_value_equal(&values[by->index], &taken))
            return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                                "%s.%s: two values of %s are given, and one is needed",
                                of->name.data, about->name, by->name);
        values[by->index] = taken;
    }
    popoto_status status = POPOTO_OK;
    if (of->tenant != NULL)
        status = need_value(db, of, about, of->tenant, values);
    for (size_t i = 0; i < about->partition_count && status == POPOTO_OK; i++)
        status = need_value(db, of, about, &of->fields[about->partition[i]], values);
    if (status == POPOTO_OK)
        status = popoto__placement_of_partition(of, about, values, &db->scratch, &where, &db->why);
    return status == POPOTO_OK
               ? popoto__partition_key(of, about, where.segments, &db->scratch, hash, &db->why)
               : status;
}

popoto_status popoto_confidence_key_from_values(popoto_db *db, const popoto_model *declared,
                                                const char *name, const popoto_filter *values,
                                                size_t count, popoto_text *key) {
    const model *of;
    const field *about;
    popoto_text made;
    if (key == NULL)
        return POPOTO_BAD_ARGUMENT;
    *key = (popoto_text){ NULL, 0 };
    popoto_status status = popoto__confidence_begin(db, declared, name, &of, &about);
    if (status == POPOTO_OK && values == NULL && count > 0)
        status =
            popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "values are needed, and NULL was given");
    if (status == POPOTO_OK)
        status = partition_values(db, of, about, values, count, &made);
    return status == POPOTO_OK ? popoto__db_hand_out(db, made, key) : status;
}

/* ----- Scans ---------------------------------------------------------------------------------- */

/* One step of HSCAN, taken whole before a callback runs, so that the callback may use the db. */
typedef struct scan {
    popoto_db *db;
    const field *about;
    arena memory; /* of a step */
    buffer cursor;
    popoto_text *members;
    popoto_confidence *figures;
    size_t count;
    popoto_text corrupt; /* the first member whose entry is none; data NULL: none */
    const model *of;
    popoto_text
        *own; /* by field: what the scopes and the hash say of the key's fields; NULL: nothing */
    arena own_memory;
} scan;

static bool room_for_own(scan *it) {
    if (it->own == NULL)
        it->own = popoto__arena_zeroed(&it->own_memory, it->of->field_count, sizeof *it->own);
    return it->own != NULL;
}

/* A strict model's hash is one tenant's: its own user may write any name into it. */
static popoto_status keep_to_tenant(scan *it, popoto_text hash) {
    if (it->of->tenant == NULL)
        return POPOTO_OK;
    if (!room_for_own(it))
        return popoto__fail_memory(&it->db->why);
    it->own[it->of->tenant->index] = popoto__key_tenant(hash);
    return POPOTO_OK;
}

/* Scopes on fields that are no part of the partition: the members' names tell whose they are, or nothing
 * does. */
static popoto_status keep_to_scopes(scan *it) {
    popoto_db *db = it->db;
    for (size_t i = 0; i < it->of->field_count; i++) {
        const field *by = &it->of->fields[i];
        const popoto_value *given = popoto__scope_value(db, by);
        popoto_value value = { POPOTO_NULL, { 0 } };
        shown room;
        if (given == NULL || by == it->of->tenant || popoto__partitioned_by(it->about, by))
            continue;
        if (!by->is_key)
            return popoto__fail(&db->why, POPOTO_BAD_SCOPE,
                                "%s.%s is not partitioned by %s, so that a scan cannot keep to the "
                                "scope that this thread is in, %s = %s",
                                it->of->name.data, it->about->name, by->name, by->name,
                                popoto__show_value(&room, given));
        popoto_status status = popoto__scope_complete(db, it->of, by, &value);
        if (status == POPOTO_OK && !room_for_own(it))
            status = popoto__fail_memory(&db->why);
        if (status == POPOTO_OK)
            status = popoto__segment(it->of, by, &value, &it->own_memory, &it->own[i], &db->why);
        if (status != POPOTO_OK)
            return status;
    }
    return POPOTO_OK;
}

/* POPOTO_NOT_FOUND: the member is another tenant's. */
static popoto_status check_own(scan *it, popoto_text member) {
    placement where;
    if (it->own == NULL)
        return POPOTO_OK;
    if (!popoto__placement_of_key(it->of, member, &it->memory, &where))
        return where.segments == NULL ? popoto__fail_memory(&it->db->why) : POPOTO_NOT_FOUND;
    for (size_t i = 0; i < it->of->field_count; i++)
        if (it->own[i].data != NULL &&
            (it->own[i].size != where.segments[i].size ||
             memcmp(it->own[i].data, where.segments[i].data, it->own[i].size) != 0))
            return POPOTO_NOT_FOUND;
    return POPOTO_OK;
}

static popoto_status take_scan(void *context, size_t index, const reply *answer) {
    scan *it = context;
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
    it->members = popoto__arena_zeroed(&it->memory, entries->count / 2 + 1, sizeof *it->members);
    it->figures = popoto__arena_zeroed(&it->memory, entries->count / 2 + 1, sizeof *it->figures);
    if (it->members == NULL || it->figures == NULL || it->cursor.failed)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < entries->count; i += 2) {
        const reply *member = entries->items[i], *entry = entries->items[i + 1];
        popoto_text name = { member->text, member->size };
        popoto_status own = check_own(it, name);
        if (own == POPOTO_NOT_FOUND)
            continue;
        if (own != POPOTO_OK)
            return own;
        if (entry->type == REPLY_STRING &&
            popoto__codec_read_confidence(entry->text, entry->size, it->about->initial_confidence,
                                          &it->figures[it->count]))
            it->members[it->count++] = name;
        else if (it->corrupt.data == NULL)
            it->corrupt = name;
    }
    return POPOTO_OK;
}

static popoto_status scan_step(scan *it, popoto_text hash, const popoto_confidence_scan_desc *desc,
                               bool *finished) {
    popoto_text cursor =
        it->cursor.size ? (popoto_text){ it->cursor.data, it->cursor.size } : TEXT("0");
    it->count = 0;
    it->corrupt = (popoto_text){ NULL, 0 };
    popoto__arena_reset(&it->memory);
    popoto__buffer_clear(&it->db->request);
    popoto__render_hash_scan(hash, cursor, desc->pattern, &it->db->request);
    popoto_status status = popoto__db_exchange(it->db, 1, false, &it->memory, take_scan, it);
    *finished = it->cursor.size == 1 && it->cursor.data[0] == '0';
    return status;
}

static popoto_status scan_all(scan *it, popoto_text hash, const popoto_confidence_scan_desc *desc) {
    popoto_status status = POPOTO_OK, corrupt = POPOTO_OK;
    failure kept = { .status = POPOTO_OK };
    for (bool finished = false; !finished && status == POPOTO_OK;) {
        status = scan_step(it, hash, desc, &finished);
        if (status == POPOTO_OK && it->corrupt.data != NULL && corrupt == POPOTO_OK) {
            corrupt = corrupt_entry(it->db, it->about, it->corrupt);
            kept = it->db->why;
        }
        for (size_t i = 0; i < it->count && status == POPOTO_OK; i++)
            if (!desc->callback(desc->context, it->members[i], &it->figures[i]))
                status = popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
    }
    if (status == POPOTO_OK && corrupt != POPOTO_OK)
        it->db->why = kept;
    return status == POPOTO_OK ? corrupt : status;
}

popoto_status popoto_confidence_scan(popoto_db *db, const popoto_confidence_scan_desc *desc) {
    const model *of;
    const field *about;
    popoto_text made;
    size_t count = 0;
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    if (desc == NULL || desc->callback == NULL)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                            "a scan needs a description with a callback");
    popoto_status status = popoto__confidence_begin(db, desc->model, desc->field, &of, &about);
    if (status == POPOTO_OK && !popoto__count_where(desc->where, &count, &db->why))
        status = POPOTO_BAD_ARGUMENT;
    if (status == POPOTO_OK)
        status = partition_values(db, of, about, desc->where, count, &made);
    if (status != POPOTO_OK)
        return status;
    scan it = { .db = db, .about = about, .of = of };
    popoto__arena_init(&it.memory, &db->allocator);
    popoto__arena_init(&it.own_memory, &db->allocator);
    popoto__buffer_init(&it.cursor, &db->allocator);
    /* The callback's own calls empty the scratch memory. */
    popoto_text hash = { NULL, 0 };
    status = popoto__db_hand_out(db, made, &hash);
    if (status == POPOTO_OK)
        status = keep_to_tenant(&it, hash);
    if (status == POPOTO_OK)
        status = keep_to_scopes(&it);
    if (status == POPOTO_OK)
        status = scan_all(&it, hash, desc);
    popoto_free(db, hash.data);
    popoto__arena_free(&it.memory);
    popoto__arena_free(&it.own_memory);
    popoto__buffer_free(&it.cursor);
    return status;
}
