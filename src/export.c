/* export - one tenant's records as lines of JSON: what is stored, exactly, and the confidence figures, between
 * a line that describes the models and one that tells how many records there are. Builds no key; how values
 * are written is json's. */
#include "catalog.h"
#include "json.h"
#include "owner.h"
#include "read_commands.h"
#include "walk.h"

#include <stdio.h>
#include <string.h>

#define RECORDS_A_STEP 128
/* Somebody may move a record to another partition between the looks at it and at its figures: look
 * again, so often. */
#define MAX_LOOKS      10

typedef struct exported {
    popoto_text key;
    placement where;
    popoto_text *stored;    /* by field; data NULL: the record lacks it */
    popoto_text *entries;   /* by field: its confidence entry; data NULL: none */
    const char *unreadable; /* what is wrong with it, in the page's memory */
    int64_t time_to_live;   /* seconds; -1: for ever */
    bool gone;
    bool settled;
} exported;

typedef struct exporting {
    popoto_db *db;
    const popoto_tenant_desc *desc;
    const owner *now;
    popoto_line_callback *write;
    void *context;
    size_t count;
    size_t done, total;
    size_t problem_count;
    char first_problem[FAILURE_TEXT_SIZE];
    arena memory;
    arena page;
    buffer line;
    pace pace;
    exported *records;
    size_t record_count;
    size_t *asked; /* the records, in the order of the exchange's replies */
} exporting;

/* ----- Reading -------------------------------------------------------------------------------- */

/* Two replies a record: what it holds, and how long yet. */
static popoto_status take_record(void *context, size_t index, const reply *answer) {
    exporting *it = context;
    exported *one = &it->records[it->asked[index / 2]];
    const model *of = it->now->of;
    if (index % 2 == 1) {
        one->time_to_live = answer->integer;
        return answer->type == REPLY_ERROR
                   ? popoto__reply_failure(answer, "exporting times to live", &it->db->why)
                   : POPOTO_OK;
    }
    popoto__pace_note(&it->pace, answer);
    one->unreadable = NULL;
    one->gone = answer->type == REPLY_ARRAY;
    if (popoto__reply_is_error(answer, "WRONGTYPE"))
        one->unreadable = "it is no hash";
    else if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "exporting records", &it->db->why);
    else if (answer->type != REPLY_ARRAY || answer->count != of->field_count)
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered HMGET with no list of the fields asked for");
    for (size_t i = 0; one->unreadable == NULL && i < of->field_count; i++) {
        const reply *stored = answer->items[i];
        bool is_there = stored->type == REPLY_STRING;
        one->stored[i] = (popoto_text){ is_there ? stored->text : NULL, stored->size };
        one->gone = one->gone && !is_there;
    }
    return POPOTO_OK;
}

static popoto_status read_records(exporting *it) {
    size_t count = 0;
    popoto__buffer_clear(&it->db->request);
    for (size_t i = 0; i < it->record_count; i++) {
        if (it->records[i].settled)
            continue;
        popoto__render_fetch(it->now->of, it->records[i].key, &it->db->request);
        popoto__render_time_to_live(it->records[i].key, &it->db->request);
        it->asked[count++] = i;
    }
    return count == 0 ? POPOTO_OK
                      : popoto__db_exchange(it->db, 2 * count, false, &it->page, take_record, it);
}

/* The places of what partitions the record; a value that cannot be read is found when it is written. */
static popoto_status place(exporting *it, exported *one) {
    const model *of = it->now->of;
    if (!popoto__placement_of_key(of, one->key, &it->page, &one->where))
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < of->field_count; i++) {
        const field *about = &of->fields[i];
        popoto_value given, value;
        const char *reason = NULL;
        if (!about->is_partition || about->is_key || one->stored[i].data == NULL)
            continue;
        if (!popoto__codec_read(&it->page, one->stored[i].data, one->stored[i].size, &given,
                                &reason)) {
            if (reason == CODEC_NO_MEMORY)
                return popoto__fail_memory(&it->db->why);
            continue;
        }
        if (!popoto__field_convert(about, &given, &value) || value.type == POPOTO_NULL)
            continue;
        popoto_status status =
            popoto__placement_set(of, &one->where, i, &value, &it->page, &it->db->why);
        if (status != POPOTO_OK && status != POPOTO_BAD_VALUE)
            return status;
    }
    return POPOTO_OK;
}

/* The answers to the second look: an entry for each CONFIDENCE field, and once more what partitions. */
typedef struct second_look {
    exporting *of;
    struct {
        size_t record, field;
    } * asked;
    size_t count;
} second_look;

static popoto_status take_second(void *context, size_t index, const reply *answer) {
    second_look *it = context;
    exported *one = &it->of->records[it->asked[index].record];
    size_t about = it->asked[index].field;
    if (popoto__reply_is_error(answer, "WRONGTYPE"))
        return POPOTO_OK;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "exporting confidence figures", &it->of->db->why);
    if (answer->type != REPLY_ARRAY || answer->count != 1)
        return popoto__fail(&it->of->db->why, POPOTO_BAD_REPLY,
                            "the server answered HMGET with no list of one");
    const reply *item = answer->items[0];
    popoto_text found = { item->type == REPLY_STRING ? item->text : NULL, item->size };
    if (it->of->now->of->fields[about].kind == POPOTO_KIND_CONFIDENCE) {
        one->entries[about] = found;
        return POPOTO_OK;
    }
    popoto_text before = one->stored[about];
    bool same = (before.data == NULL) == (found.data == NULL) &&
                (found.data == NULL ||
                 (found.size == before.size && memcmp(found.data, before.data, found.size) == 0));
    one->settled = one->settled && same;
    return POPOTO_OK;
}

static popoto_status ask_second(second_look *it, size_t number, const field *about) {
    exporting *of = it->of;
    exported *one = &of->records[number];
    if (about->kind == POPOTO_KIND_CONFIDENCE) {
        one->entries[about->index] = (popoto_text){ NULL, 0 };
        if (!popoto__partition_is_told(about, &one->where))
            return POPOTO_OK;
        popoto_text hash = popoto__index_key(of->now->of, about, one->where.segments, &of->page);
        if (hash.data == NULL)
            return popoto__fail_memory(&of->db->why);
        popoto__render_entries(SHAPE_HASH, hash, &one->key, 1, &of->db->request);
    } else if (about->is_partition && !about->is_key) {
        popoto__render_fetch_fields(of->now->of, &about->index, 1, one->key, &of->db->request);
    } else {
        return POPOTO_OK;
    }
    it->asked[it->count].record = number;
    it->asked[it->count++].field = about->index;
    return POPOTO_OK;
}

static popoto_status read_figures(exporting *it) {
    const model *of = it->now->of;
    second_look look = { .of = it };
    popoto_status status = POPOTO_OK;
    look.asked = popoto__arena_allocate(&it->page, (it->record_count * of->field_count + 1) *
                                                       sizeof *look.asked);
    if (look.asked == NULL)
        return popoto__fail_memory(&it->db->why);
    popoto__buffer_clear(&it->db->request);
    for (size_t i = 0; i < it->record_count && status == POPOTO_OK; i++) {
        exported *one = &it->records[i];
        if (one->settled)
            continue;
        one->settled = true;
        if (one->gone || one->unreadable != NULL)
            continue;
        status = place(it, one);
        for (size_t f = 0; f < of->field_count && status == POPOTO_OK; f++)
            status = ask_second(&look, i, &of->fields[f]);
    }
    return status != POPOTO_OK || look.count == 0
               ? status
               : popoto__db_exchange(it->db, look.count, false, &it->page, take_second, &look);
}

/* ----- Writing -------------------------------------------------------------------------------- */

static void note_problem(exporting *it, const exported *one, const char *where,
                         const char *reason) {
    shown room;
    if (it->problem_count++ == 0)
        snprintf(it->first_problem, sizeof it->first_problem, "%s%s%s: %s",
                 popoto__show(&room, one->key.data, one->key.size), where[0] ? ", field " : "",
                 where, reason);
}

static void write_figures(buffer *out, const popoto_confidence *figures) {
    popoto_value count;
    popoto_value confidence = popoto_of_float(figures->confidence);
    const struct {
        const char *name;
        int64_t value;
    } counts[] = { { "evidence_count", figures->evidence_count },
                   { "corroborations", figures->corroborations },
                   { "contradictions", figures->contradictions } };
    popoto__buffer_append_text(out, "{\"confidence\": ");
    popoto__json_write(out, &confidence);
    for (size_t i = 0; i < 3; i++) {
        popoto__buffer_append_text(out, ", \"");
        popoto__buffer_append_text(out, counts[i].name);
        popoto__buffer_append_text(out, "\": ");
        count = popoto_of_int(counts[i].value);
        popoto__json_write(out, &count);
    }
    popoto__buffer_append_text(out, "}");
}

static void write_name(buffer *out, const field *about, bool first) {
    popoto__buffer_append_text(out, first ? "\"" : ", \"");
    popoto__buffer_append(out, about->name, about->name_size);
    popoto__buffer_append_text(out, "\": ");
}

static bool write_values(exporting *it, const exported *one, bool *no_memory) {
    const model *of = it->now->of;
    bool first = true;
    for (size_t i = 0; i < of->field_count; i++) {
        popoto_value value, converted;
        const char *reason = NULL;
        if (one->stored[i].data == NULL)
            continue;
        bool fits = popoto__codec_read(&it->page, one->stored[i].data, one->stored[i].size, &value,
                                       &reason);
        *no_memory = reason == CODEC_NO_MEMORY;
        if (fits && !popoto__field_convert(&of->fields[i], &value, &converted)) {
            reason = "it is of another type than the field";
            fits = false;
        }
        if (!fits) {
            note_problem(it, one, of->fields[i].name, reason);
            return false;
        }
        write_name(&it->line, &of->fields[i], first);
        popoto__json_write(&it->line, &value);
        first = false;
    }
    return true;
}

static bool write_confidence(exporting *it, const exported *one) {
    const model *of = it->now->of;
    bool first = true;
    for (size_t i = 0; i < of->field_count; i++) {
        popoto_confidence figures;
        if (of->fields[i].kind != POPOTO_KIND_CONFIDENCE || one->entries[i].data == NULL)
            continue;
        if (!popoto__codec_read_confidence(one->entries[i].data, one->entries[i].size,
                                           of->fields[i].initial_confidence, &figures)) {
            note_problem(it, one, of->fields[i].name, "its entry is no confidence entry");
            return false;
        }
        if (first)
            popoto__buffer_append_text(&it->line, ", \"confidence\": {");
        write_name(&it->line, &of->fields[i], first);
        write_figures(&it->line, &figures);
        first = false;
    }
    if (!first)
        popoto__buffer_append_text(&it->line, "}");
    return true;
}

/* That a record of a model with a time to live has none of its own is said too. */
static void write_time_to_live(exporting *it, const exported *one) {
    popoto_value seconds = popoto_of_int(one->time_to_live > 0 ? one->time_to_live : 1);
    if (one->time_to_live == -1 && it->now->of->declared->time_to_live == 0)
        return;
    popoto__buffer_append_text(&it->line, ", \"time_to_live\": ");
    if (one->time_to_live == -1)
        popoto__buffer_append_text(&it->line, "null");
    else
        popoto__json_write(&it->line, &seconds);
}

/* Hands over what the line holds. */
static popoto_status write_line(exporting *it) {
    popoto__buffer_append(&it->line, "", 1); /* a NUL behind it */
    if (it->line.failed)
        return popoto__fail_memory(&it->db->why);
    return it->write(it->context, it->line.data, it->line.size - 1)
               ? POPOTO_OK
               : popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
}

static popoto_status write_record(exporting *it, const exported *one) {
    bool no_memory = false;
    if (one->gone)
        return POPOTO_OK;
    if (one->unreadable != NULL) {
        note_problem(it, one, "", one->unreadable);
        return POPOTO_OK;
    }
    popoto__buffer_clear(&it->line);
    popoto__buffer_append_text(&it->line, "{\"model\": \"");
    popoto__buffer_append_text(&it->line, it->now->of->name.data);
    popoto__buffer_append_text(&it->line, "\", \"fields\": {");
    bool whole = write_values(it, one, &no_memory);
    popoto__buffer_append_text(&it->line, "}");
    whole = whole && write_confidence(it, one);
    write_time_to_live(it, one);
    popoto__buffer_append_text(&it->line, "}");
    if (it->line.failed || no_memory)
        return popoto__fail_memory(&it->db->why);
    if (!whole)
        return POPOTO_OK;
    it->count++;
    return write_line(it);
}

/* The first line: what the others are records of. */
static popoto_status write_models(exporting *it, const owner *owners) {
    popoto_value described;
    popoto__buffer_clear(&it->line);
    popoto__buffer_append_text(&it->line, "{\"models\": [");
    for (size_t i = 0; i < it->desc->model_count; i++) {
        if (!popoto__catalog_describe(owners[i].of, it->db->options.dialect, &it->memory,
                                      &described))
            return popoto__fail_memory(&it->db->why);
        popoto__buffer_append_text(&it->line, i > 0 ? ", " : "");
        popoto__json_write(&it->line, &described);
    }
    popoto__buffer_append_text(&it->line, "]}");
    return write_line(it);
}

/* The last line: without it, an export is not whole. */
static popoto_status write_end(exporting *it) {
    char text[80];
    popoto__buffer_clear(&it->line);
    snprintf(text, sizeof text, "{\"end\": true, \"records\": %zu, \"left_out\": %zu}", it->count,
             it->problem_count);
    popoto__buffer_append_text(&it->line, text);
    return write_line(it);
}

/* ----- The whole ------------------------------------------------------------------------------ */

static popoto_status export_records(exporting *it, const index_entry *entries, size_t count) {
    const model *of = it->now->of;
    popoto__arena_reset(&it->page);
    it->records = popoto__arena_zeroed(&it->page, count, sizeof *it->records);
    it->asked = popoto__arena_zeroed(&it->page, count, sizeof *it->asked);
    it->record_count = count;
    if (it->records == NULL || it->asked == NULL)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < count; i++) {
        exported *one = &it->records[i];
        one->key = entries[i].member;
        one->settled = !popoto__owner_has(it->now, one->key);
        one->gone = one->settled;
        one->stored = popoto__arena_zeroed(&it->page, of->field_count, sizeof *one->stored);
        one->entries = popoto__arena_zeroed(&it->page, of->field_count, sizeof *one->entries);
        if (one->stored == NULL || one->entries == NULL)
            return popoto__fail_memory(&it->db->why);
    }
    popoto_status status = POPOTO_OK;
    for (int looks = 0; looks < MAX_LOOKS && status == POPOTO_OK; looks++) {
        status = read_records(it);
        if (status == POPOTO_OK)
            status = read_figures(it);
        if (!of->moves)
            break;
    }
    for (size_t i = 0; i < count && status == POPOTO_OK; i++)
        status = write_record(it, &it->records[i]);
    return status;
}

static popoto_status take_entries(void *context, const index_entry *entries, size_t count) {
    exporting *it = context;
    popoto_status status = POPOTO_OK;
    for (size_t at = 0, step; at < count && status == POPOTO_OK; at += step) {
        step = popoto__pace_next(&it->pace, RECORDS_A_STEP);
        size_t part = count - at < step ? count - at : step;
        status = export_records(it, entries + at, part);
        it->done += part;
        if (status == POPOTO_OK && it->desc->progress != NULL &&
            !it->desc->progress(it->desc->context, it->done,
                                it->done > it->total ? it->done : it->total))
            status = popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
    }
    return status;
}

static popoto_status export_owner(exporting *it, const owner *of, bool size_only) {
    index_ref index;
    popoto_status status = popoto__owner_index(it->db, of, &it->memory, &index);
    it->now = of;
    if (status != POPOTO_OK)
        return status;
    if (!size_only)
        /* In the set of all records of an ordinary model, the server leaves out what is not theirs. */
        return popoto__walk_entries(it->db, &index, 1,
                                    of->of->tenant == NULL ? of->records : (popoto_text){ NULL, 0 },
                                    take_entries, it);
    status = popoto__walk_sizes(it->db, &index, 1);
    it->total += index.size > 0 ? (size_t)index.size : 0;
    return status;
}

static popoto_status run(exporting *it) {
    owner *owners;
    popoto_status status = popoto__owners(it->db, it->desc, &it->memory, &owners);
    for (size_t i = 0; status == POPOTO_OK && i < it->desc->model_count; i++)
        status = popoto__refuse_half_moved(it->db, owners[i].of);
    for (size_t i = 0; status == POPOTO_OK && i < it->desc->model_count; i++)
        status = export_owner(it, &owners[i], true);
    if (status == POPOTO_OK)
        status = write_models(it, owners);
    for (size_t i = 0; status == POPOTO_OK && i < it->desc->model_count; i++)
        status = export_owner(it, &owners[i], false);
    if (status == POPOTO_OK)
        status = write_end(it);
    if (status == POPOTO_OK && it->problem_count > 0)
        status = popoto__fail(&it->db->why, POPOTO_CORRUPT,
                              "%zu records were not exported, because they do not fit the model; "
                              "the first: %.400s",
                              it->problem_count, it->first_problem);
    return status;
}

popoto_status popoto_export(popoto_db *db, const popoto_tenant_desc *desc,
                            popoto_line_callback *write, void *context, size_t *count) {
    if (count != NULL)
        *count = 0;
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    if (write == NULL)
        return popoto__db_needs(db, "a callback that takes lines");
    exporting *it = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it);
    if (it == NULL)
        return popoto__fail_memory(&db->why);
    it->db = db;
    it->desc = desc;
    it->write = write;
    it->context = context;
    popoto__arena_init(&it->memory, &db->allocator);
    popoto__arena_init(&it->page, &db->allocator);
    popoto__buffer_init(&it->line, &db->allocator);
    popoto_status status = run(it);
    if (count != NULL)
        *count = it->count;
    popoto__buffer_free(&it->line);
    popoto__arena_free(&it->page);
    popoto__arena_free(&it->memory);
    popoto__release(&db->allocator, it);
    return status;
}
