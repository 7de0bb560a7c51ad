#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

popoto_rows *popoto__rows_new(popoto_db *db, const model *of) {
    popoto_rows *it = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it);
    if (it == NULL)
        return NULL;
    it->allocator = db->allocator;
    popoto__arena_init(&it->memory, &it->allocator);
    popoto__arena_init(&it->names, &it->allocator);
    it->holds_records = of->declared->size == 0;
    it->field_count = of->field_count;
    it->stride = it->holds_records ? sizeof(popoto_record) : of->declared->size;
    popoto__db_add_source(db, &it->source);
    return it;
}

static void clear_records(popoto_rows *it) {
    for (size_t i = 0; it->holds_records && i < it->count; i++)
        popoto__record_clear((popoto_record *)(void *)(it->objects + i * it->stride));
}

void popoto__rows_reset(popoto_rows *it) {
    clear_records(it);
    popoto__arena_reset(&it->memory);
    it->count = 0;
    it->problem_count = 0;
    it->problems = NULL;
    it->problem_room = 0;
    it->source.count = 0;
}

void popoto_rows_free(popoto_rows *it) {
    if (it == NULL)
        return;
    popoto_allocator allocator = it->allocator;
    popoto__db_remove_source(&it->source);
    clear_records(it);
    popoto__arena_free(&it->memory);
    popoto__arena_free(&it->names);
    popoto__release(&allocator, it->objects);
    popoto__release(&allocator, it->keys);
    popoto__release(&allocator, it->sort_values);
    popoto__release(&allocator, it);
}

size_t popoto_rows_count(const popoto_rows *it) {
    return it == NULL ? 0 : it->count;
}

void *popoto_rows_at(popoto_rows *it, size_t index) {
    return it == NULL || index >= it->count ? NULL : it->objects + index * it->stride;
}

size_t popoto_rows_problem_count(const popoto_rows *it) {
    return it == NULL ? 0 : it->problem_count;
}

const char *popoto_rows_problem(const popoto_rows *it, size_t index) {
    return it == NULL || index >= it->problem_count ? NULL : it->problems[index];
}

/* ----- Room ----------------------------------------------------------------------------------- */

static bool resize(popoto_rows *it, void **block, size_t room, size_t size) {
    if (size != 0 && room > SIZE_MAX / size)
        return false;
    void *bigger = popoto__reallocate(&it->allocator, *block, room * size);
    if (bigger == NULL)
        return false;
    *block = bigger;
    return true;
}

static bool make_room(popoto_rows *it) {
    if (it->count < it->room)
        return true;
    size_t room = it->room ? it->room * 2 : 16;
    void *objects = it->objects, *keys = it->keys, *values = it->sort_values;
    bool ok = resize(it, &objects, room, it->stride);
    it->objects = objects;
    ok = ok && resize(it, &keys, room, sizeof *it->keys);
    it->keys = keys;
    if (it->sorts) {
        ok = ok && resize(it, &values, room, sizeof *it->sort_values);
        it->sort_values = values;
    }
    it->source.keys = it->keys;
    if (ok)
        it->room = room;
    return ok;
}

static bool add_problem(popoto_rows *it, const char *text) {
    if (it->problem_count == it->problem_room) {
        size_t room = it->problem_room ? it->problem_room * 2 : 8;
        const char **bigger = popoto__arena_allocate(&it->memory, room * sizeof *bigger);
        if (bigger == NULL)
            return false;
        if (it->problem_count > 0)
            memcpy(bigger, it->problems, it->problem_count * sizeof *bigger);
        it->problems = bigger;
        it->problem_room = room;
    }
    const char *copy = popoto__arena_copy(&it->memory, text, strlen(text));
    if (copy == NULL)
        return false;
    it->problems[it->problem_count++] = copy;
    return true;
}

static row_outcome problem(popoto_rows *it, const model *of, popoto_text key, const field *about,
                           const char *reason) {
    char text[FAILURE_TEXT_SIZE];
    shown room;
    if (reason == CODEC_NO_MEMORY)
        return ROW_NO_MEMORY;
    snprintf(text, sizeof text, "%s%s%s: %s", popoto__show(&room, key.data, key.size),
             about ? ", field " : ", model ", about ? about->name : of->name.data, reason);
    return add_problem(it, text) ? ROW_PROBLEM : ROW_NO_MEMORY;
}

/* ----- Decoding ------------------------------------------------------------------------------- */

/* A stored field's value in the field's type; a field that the record lacks gets its default. */
static bool read_field(popoto_rows *it, const field *about, const reply *stored,
                       popoto_value *value, const char **reason) {
    popoto_value given;
    if (stored->type == REPLY_NULL) {
        *value = about->default_value;
        *reason = "the record lacks it, and it is part of the key";
        return !about->is_key;
    }
    *reason = "the server answered no text for it";
    if (stored->type != REPLY_STRING ||
        !popoto__codec_read(&it->memory, stored->text, stored->size, &given, reason))
        return false;
    if (given.type == POPOTO_NULL) {
        *value = given;
        *reason = "it is null, and part of the key";
        return !about->is_key || about->declared->null;
    }
    *reason = NULL;
    return popoto__field_convert(about, &given, value);
}

static void describe_type(const field *about, char *text, size_t size) {
    snprintf(text, size, "what is stored is not %s", popoto__type_name(about->type));
}

static bool is_gone(const reply *answer) {
    for (size_t i = 0; i < answer->count; i++)
        if (answer->items[i]->type != REPLY_NULL)
            return false;
    return true;
}

/* A member that has no null, of a record that lacks the field and has no default: left zero. */
static bool leaves_zero(const field *about, const reply *stored) {
    return stored->type == REPLY_NULL && about->default_value.type == POPOTO_NULL;
}

static row_outcome fill(popoto_rows *it, const query *what, popoto_text key, const reply *answer,
                        const popoto_value *values, void *object) {
    popoto_value *own = NULL;
    memset(object, 0, it->stride);
    if (it->holds_records) {
        own = popoto__arena_zeroed(&it->memory, it->field_count, sizeof *own);
        if (own == NULL)
            return ROW_NO_MEMORY;
    }
    popoto__object_init(what->of, object, own, &it->allocator);
    uint64_t content = 0;
    size_t at = 0;
    for (size_t i = 0; i < it->field_count; i++) {
        const reply *stored = what->fetched[i] ? answer->items[at++] : NULL;
        const char *reason = NULL;
        if (stored == NULL || !what->chosen[i])
            continue;
        content += popoto__content_digest(
            i, (popoto_text){ stored->type == REPLY_STRING ? stored->text : NULL, stored->size });
        if (!popoto__object_set(what->of, object, &what->of->fields[i], &values[i], &it->memory,
                                &reason) &&
            !leaves_zero(&what->of->fields[i], stored))
            return problem(it, what->of, key, &what->of->fields[i], reason);
    }
    popoto_object *header = popoto__object_header(what->of, object);
    header->key = popoto__digest(key.data, key.size);
    header->content = what->partial ? 0 : content;
    header->flags = what->partial ? OBJECT_PARTIAL : 0;
    header->origin = popoto__row_origin(&it->source, it->count);
    return ROW_TAKEN;
}

row_outcome popoto__rows_add(popoto_rows *it, const query *what, popoto_text key,
                             const reply *answer) {
    popoto_value values[MODEL_MAX_FIELDS];
    size_t at = 0;
    if (answer->type == REPLY_ERROR)
        return problem(it, what->of, key, NULL, answer->text);
    if (answer->type != REPLY_ARRAY)
        return problem(it, what->of, key, NULL, "the server answered no list of fields");
    if (is_gone(answer))
        return ROW_GONE;
    for (size_t i = 0; i < it->field_count; i++) {
        const char *reason;
        char type[96];
        if (!what->fetched[i])
            continue;
        if (at == answer->count)
            return problem(it, what->of, key, NULL, "the server answered too few fields");
        if (read_field(it, &what->of->fields[i], answer->items[at++], &values[i], &reason))
            continue;
        if (reason == NULL) {
            describe_type(&what->of->fields[i], type, sizeof type);
            reason = type;
        }
        return problem(it, what->of, key, &what->of->fields[i], reason);
    }
    for (size_t i = 0; i < what->condition_count; i++)
        if (!popoto__condition_holds(&what->conditions[i],
                                     &values[what->conditions[i].about->index]))
            return ROW_UNFIT;
    if (!make_room(it))
        return ROW_NO_MEMORY;
    row_outcome outcome = fill(it, what, key, answer, values, it->objects + it->count * it->stride);
    if (outcome != ROW_TAKEN)
        return outcome;
    it->keys[it->count] = key;
    if (it->sorts)
        it->sort_values[it->count] = values[what->order->index];
    it->count++;
    it->source.count = it->count;
    return ROW_TAKEN;
}

/* ----- Order and cut -------------------------------------------------------------------------- */

typedef struct sort_entry {
    const popoto_value *value;
    const popoto_text *key;
    size_t index;
} sort_entry;

/* Nulls first; equal values by key, so that the order is the same each time. */
static int by_value(const void *a, const void *b) {
    const sort_entry *x = a, *y = b;
    bool comparable;
    int order = (x->value->type != POPOTO_NULL) - (y->value->type != POPOTO_NULL);
    if (order == 0 && x->value->type != POPOTO_NULL)
        order = popoto__value_compare(x->value, y->value, &comparable);
    if (order == 0) {
        size_t size = x->key->size < y->key->size ? x->key->size : y->key->size;
        order = memcmp(x->key->data, y->key->data, size);
        if (order == 0)
            order = (x->key->size > y->key->size) - (x->key->size < y->key->size);
    }
    return order;
}

/* Objects know under which index their rows remember their key. */
static void number_rows(popoto_rows *it, const model *of) {
    for (size_t i = 0; i < it->count; i++)
        popoto__object_header(of, it->objects + i * it->stride)->origin =
            popoto__row_origin(&it->source, i);
}

bool popoto__rows_sort(popoto_rows *it, const query *what) {
    sort_entry *entries = popoto__allocate(&it->allocator, (it->count + 1) * sizeof *entries);
    char *objects = popoto__allocate(&it->allocator, (it->count + 1) * it->stride);
    popoto_text *keys = popoto__allocate(&it->allocator, (it->count + 1) * sizeof *keys);
    if (entries == NULL || objects == NULL || keys == NULL) {
        popoto__release(&it->allocator, objects);
        popoto__release(&it->allocator, keys);
        popoto__release(&it->allocator, entries);
        return false;
    }
    for (size_t i = 0; i < it->count; i++)
        entries[i] = (sort_entry){ &it->sort_values[i], &it->keys[i], i };
    qsort(entries, it->count, sizeof *entries, by_value);
    for (size_t i = 0; i < it->count; i++) {
        const sort_entry *from = &entries[what->descending ? it->count - 1 - i : i];
        memcpy(objects + i * it->stride, it->objects + from->index * it->stride, it->stride);
        keys[i] = *from->key;
    }
    popoto__release(&it->allocator, it->objects);
    popoto__release(&it->allocator, it->keys);
    popoto__release(&it->allocator, entries);
    it->objects = objects;
    it->keys = keys;
    it->source.keys = keys;
    it->room = it->count + 1;
    it->sorts = false; /* what sort_values hold belongs to the former order */
    number_rows(it, what->of);
    return true;
}

void popoto__rows_cut(popoto_rows *it, const query *what, size_t offset, size_t limit) {
    size_t first = offset < it->count ? offset : it->count;
    size_t kept = it->count - first < limit ? it->count - first : limit;
    if (first > 0) {
        memmove(it->objects, it->objects + first * it->stride, kept * it->stride);
        memmove(it->keys, it->keys + first, kept * sizeof *it->keys);
    }
    it->count = kept;
    it->source.count = kept;
    if (first > 0)
        number_rows(it, what->of);
}
