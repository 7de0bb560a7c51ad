#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Everything in `from` is the rows', and `from` is empty. Rows may outlive their db. */
static void take_memory(popoto_rows *it, row_memory *from) {
    it->memory = from->memory;
    it->names = from->names;
    it->memory.allocator = it->names.allocator = &it->allocator;
    it->objects = from->objects;
    it->object_space = from->object_space;
    it->keys = from->keys;
    it->key_room = from->key_room;
    const popoto_allocator *allocator = from->memory.allocator;
    *from = (row_memory){ .memory.allocator = allocator, .names.allocator = allocator };
}

/* And back, if it is little and the db has none. */
static void leave_memory(popoto_rows *it, popoto_db *db) {
    if (db == NULL || db->spare.objects != NULL || it->object_space > SPARE_SIZE ||
        it->key_room > SPARE_SIZE / sizeof *it->keys)
        return;
    popoto__arena_free(&db->spare.memory);
    popoto__arena_free(&db->spare.names);
    popoto__release(&db->allocator, db->spare.keys);
    popoto__arena_reset_to(&it->memory, SPARE_SIZE);
    popoto__arena_reset_to(&it->names, SPARE_SIZE);
    db->spare = (row_memory){ it->memory,       it->names, it->objects,
                              it->object_space, it->keys,  it->key_room };
    db->spare.memory.allocator = db->spare.names.allocator = &db->allocator;
    popoto__arena_init(&it->memory, &it->allocator);
    popoto__arena_init(&it->names, &it->allocator);
    it->objects = NULL;
    it->keys = NULL;
}

popoto_rows *popoto__rows_new(popoto_db *db, const model *of) {
    popoto_rows *it = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it);
    if (it == NULL)
        return NULL;
    it->allocator = db->allocator;
    it->holds_records = of->declared->size == 0;
    it->field_count = of->field_count;
    it->stride = it->holds_records ? sizeof(popoto_record) : of->declared->size;
    take_memory(it, &db->spare);
    it->room = least(it->object_space / it->stride, it->key_room);
    popoto__db_add_source(db, &it->source);
    it->source.keys = it->keys;
    return it;
}

void popoto__rows_will_sort(popoto_rows *it) {
    it->sorts = true;
    it->room = 0; /* there is none for the values that they are sorted by */
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
    it->now = (arriving){ .object = NULL };
    it->source.count = 0;
}

void popoto_rows_free(popoto_rows *it) {
    if (it == NULL)
        return;
    popoto_allocator allocator = it->allocator;
    popoto_db *db = it->source.db; /* NULL: it was closed */
    popoto__db_remove_source(&it->source);
    clear_records(it);
    leave_memory(it, db);
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

bool popoto__rows_expect(popoto_rows *it, size_t count) {
    if (count <= it->room - it->count)
        return true;
    if (count > SIZE_MAX / 2 - it->count)
        return false;
    size_t room = it->room <= it->count + count - it->room ? it->count + count : it->room * 2;
    void *objects = it->objects, *keys = it->keys, *values = it->sort_values;
    bool ok = resize(it, &objects, room, it->stride);
    it->objects = objects;
    it->object_space = ok ? room * it->stride : it->object_space;
    ok = ok && resize(it, &keys, room, sizeof *it->keys);
    it->keys = keys;
    it->key_room = ok ? room : it->key_room;
    it->source.keys = it->keys;
    if (it->sorts) {
        ok = ok && resize(it, &values, room, sizeof *it->sort_values);
        it->sort_values = values;
    }
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

bool popoto__rows_note(popoto_rows *it, const model *of, popoto_text key, const char *reason) {
    return problem(it, of, key, NULL, reason) == ROW_PROBLEM;
}

/* ----- Decoding ------------------------------------------------------------------------------- */

/* Stored bytes as a value in the field's type. Text of a short value still stands among the bytes that
 * came; what a row needs of it must stay. */
static bool read_stored(popoto_rows *it, const fetched_field *one, popoto_text stored,
                        popoto_value *value, const char **reason) {
    const field *about = one->about;
    bool is_short = popoto__codec_read_short(stored.data, stored.size, value);
    *reason = CODEC_NO_MEMORY;
    if (!is_short) {
        const char *copy = popoto__arena_copy(&it->memory, stored.data, stored.size);
        if (copy == NULL || !popoto__codec_read(&it->memory, copy, stored.size, value, reason))
            return false;
    } else if (value->type == POPOTO_TEXT && one->keeps_text) {
        popoto_text *text = &value->as.text;
        text->data = popoto__arena_copy(&it->memory, text->data, text->size);
        if (text->data == NULL)
            return false;
    }
    if (value->type == about->type)
        return true;
    if (value->type == POPOTO_NULL) {
        *reason = "it is null, and part of the key";
        return !about->is_key || about->declared->null;
    }
    popoto_value given = *value;
    *reason = NULL;
    return popoto__field_convert(about, &given, value);
}

/* A stored field's value; a field that the record lacks gets its default. */
static bool read_field(popoto_rows *it, const fetched_field *one, reply_type type,
                       popoto_text stored, popoto_value *value, const char **reason) {
    if (type == REPLY_STRING)
        return read_stored(it, one, stored, value, reason);
    *value = one->about->default_value;
    *reason = type == REPLY_NULL ? "the record lacks it, and it is part of the key"
                                 : "the server answered no text for it";
    return type == REPLY_NULL && !one->about->is_key;
}

/* (Member by member: to zero all of it at once costs more than half a row.) */
static void begin_row(popoto_rows *it, const query *what) {
    arriving *now = &it->now;
    now->content = 0;
    now->there = now->unfit = false;
    now->unread = now->unset = now->other = NULL;
    now->starved = !popoto__rows_expect(it, 1);
    if (now->starved)
        return;
    now->object = it->objects + it->count * it->stride;
    memset(now->object, 0, it->stride);
    if (!it->holds_records)
        return;
    if (now->own == NULL) /* else it is that of a record that became no row */
        now->own = popoto__arena_allocate(&it->memory, (it->field_count + 1) * sizeof *now->own);
    now->starved = now->own == NULL;
    if (now->starved)
        return;
    memset(now->own, 0, it->field_count * sizeof *now->own);
    popoto__object_init(what->of, now->object, now->own, &it->allocator);
}

/* A condition on a part of the key does not hold: the key, which is known at the end, tells why. */
static void note_other(popoto_rows *it, const query *what, const field *about,
                       const popoto_value *value) {
    failure ignored;
    popoto_text segment;
    it->now.other = about;
    it->now.other_segment = (popoto_text){ NULL, 0 };
    popoto_status status = popoto__segment(what->of, about, value, &it->memory, &segment, &ignored);
    if (status == POPOTO_OK) { /* it may be a part of what came, which does not stay */
        const char *copy = popoto__arena_copy(&it->memory, segment.data, segment.size);
        it->now.other_segment = (popoto_text){ copy, segment.size };
        it->now.starved = copy == NULL;
    } else if (status == POPOTO_NO_MEMORY) {
        it->now.starved = true;
    }
}

/* A record whose name promised that the condition would hold contradicts its own key, and is not to be left out
 * without a word. Others stand in the wrong index. */
static row_outcome unfit(popoto_rows *it, const query *what, popoto_text key) {
    const field *about = it->now.other;
    popoto_text segment = it->now.other_segment;
    placement where;
    if (about == NULL)
        return ROW_UNFIT;
    if (!popoto__placement_of_key(what->of, key, &it->memory, &where))
        return where.segments == NULL ? ROW_NO_MEMORY : ROW_UNFIT;
    popoto_text own = where.segments[about->index];
    if (segment.data != NULL && segment.size == own.size &&
        memcmp(segment.data, own.data, own.size) == 0)
        return ROW_UNFIT;
    return problem(it, what->of, key, about, "what is stored is another than its key's");
}

static void take_field(popoto_rows *it, const query *what, const fetched_field *one,
                       reply_type type, popoto_text stored) {
    arriving *now = &it->now;
    popoto_value value;
    const char *reason = NULL;
    if (now->starved || now->unread != NULL)
        return;
    if (!read_field(it, one, type, stored, &value, &reason)) {
        now->unread = one->about;
        now->why_unread = reason;
        return;
    }
    for (const condition *by = one->first; by != NULL && !now->unfit; by = by->next) {
        now->unfit = !popoto__condition_holds(by, &value);
        /* By these, names are looked at before records. */
        if (now->unfit && by->about->is_key && (by->how == LOOKUP_IS || by->how == LOOKUP_IN))
            note_other(it, what, one->about, &value);
    }
    if (what->order == one->about)
        now->sort_value = value;
    if (!one->chosen || now->unfit)
        return;
    now->content += popoto__content_digest(one->about->index, stored);
    /* A member that has no null, of a record that lacks the field and has no default, is left zero. */
    if (!popoto__object_set(what->of, now->object, one->about, &value, &it->memory, &reason) &&
        !(type == REPLY_NULL && value.type == POPOTO_NULL) && now->unset == NULL) {
        now->unset = one->about;
        now->why_unset = reason;
    }
}

void popoto__rows_take(popoto_rows *it, const query *what, size_t place, reply_type type,
                       const char *text, size_t size) {
    if (place == 0)
        begin_row(it, what);
    if (type != REPLY_NULL)
        it->now.there = true;
    if (place < what->fetched_count)
        take_field(it, what, &what->fetched[place], type, (popoto_text){ text, size });
}

/* The text that a segment of a key stands for. data NULL: no memory. */
static popoto_text unescaped(popoto_rows *it, const query *what, const field *about,
                             popoto_text segment) {
    bool is_plain = popoto__key_is_unescaped(segment.data, segment.size);
    buffer plain;
    if (is_plain && !popoto__points_at_text(what->of, about))
        return segment;
    popoto__buffer_init(&plain, &it->allocator);
    if (!is_plain)
        popoto__key_unescape(&plain, segment.data, segment.size);
    popoto_text text = is_plain ? segment : (popoto_text){ plain.data, plain.size };
    text.data = plain.failed ? NULL : popoto__arena_copy(&it->memory, text.data, text.size);
    popoto__buffer_free(&plain);
    return text;
}

/* The bytes in which a text is stored. data NULL: no memory; size 0: it is no text. */
static popoto_text stored_text(popoto_rows *it, const popoto_value *value, char *room,
                               size_t room_size) {
    size_t size = popoto__codec_scalar_size(value);
    char *stored = size <= room_size ? room : popoto__arena_bytes(&it->memory, size);
    bool is_text = stored != NULL && size > 0 && popoto__codec_write_scalar(stored, value);
    return (popoto_text){ stored, is_text ? size : 0 };
}

/* The fields that were not asked for, because the key tells them. */
static row_outcome take_told(popoto_rows *it, const query *what, popoto_text key) {
    arriving *now = &it->now;
    char room[64];
    for (size_t i = 0; i < what->told_count; i++) {
        const field *about = what->told[i];
        popoto_text segment = popoto__key_segment(what->of, about, key);
        if (segment.data == NULL)
            return problem(it, what->of, key, NULL, "it is no name of a record of this model");
        popoto_text text = unescaped(it, what, about, segment);
        if (text.data == NULL)
            return ROW_NO_MEMORY;
        popoto_value value = popoto_of_sized_text(text);
        popoto_text stored = stored_text(it, &value, room, sizeof room);
        const char *reason = "what the record's name has for it is no text";
        if (stored.data == NULL)
            return ROW_NO_MEMORY;
        if (stored.size == 0 ||
            !popoto__object_set(what->of, now->object, about, &value, &it->memory, &reason))
            return problem(it, what->of, key, about, reason);
        now->content += popoto__content_digest(about->index, stored);
    }
    return ROW_TAKEN;
}

static row_outcome end_row(popoto_rows *it, const query *what, popoto_text key, size_t count) {
    arriving *now = &it->now;
    char other_type[96];
    if (now->starved)
        return ROW_NO_MEMORY;
    if (now->unread != NULL) {
        snprintf(other_type, sizeof other_type, "what is stored is not %s",
                 popoto__type_name(now->unread->type));
        return problem(it, what->of, key, now->unread,
                       now->why_unread != NULL ? now->why_unread : other_type);
    }
    if (count < what->fetched_count)
        return problem(it, what->of, key, NULL, "the server answered too few fields");
    if (now->unfit)
        return unfit(it, what, key);
    if (now->unset != NULL)
        return problem(it, what->of, key, now->unset, now->why_unset);
    row_outcome told = take_told(it, what, key);
    if (told != ROW_TAKEN)
        return told;
    popoto_object *header = popoto__object_header(what->of, now->object);
    header->key = popoto__digest(key.data, key.size);
    header->content = what->partial ? 0 : now->content;
    header->flags = what->partial ? OBJECT_PARTIAL : 0;
    header->origin = popoto__row_origin(&it->source, it->count);
    it->keys[it->count] = key;
    if (it->sorts)
        it->sort_values[it->count] = now->sort_value;
    it->source.count = ++it->count;
    now->own = NULL;
    return ROW_TAKEN;
}

row_outcome popoto__rows_end(popoto_rows *it, const query *what, popoto_text key,
                             const reply *answer) {
    if (answer->type == REPLY_ERROR)
        return problem(it, what->of, key, NULL, "it holds something that is no hash");
    if (answer->type != REPLY_ARRAY)
        return problem(it, what->of, key, NULL, "the server answered no list of fields");
    return answer->count == 0 || !it->now.there ? ROW_GONE : end_row(it, what, key, answer->count);
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
    it->room = it->key_room = it->count + 1;
    it->object_space = it->room * it->stride;
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
