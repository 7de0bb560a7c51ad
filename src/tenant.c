#include "tenant.h"

#include "clock.h"
#include "commit.h"

#include <stdlib.h>
#include <string.h>

/* ----- From the keys -------------------------------------------------------------------------- */

typedef struct listing {
    popoto_db *db;
    const model *of;
    arena *memory;
    buffer cursor;
    popoto_text *segments; /* as they stand between braces */
    size_t count;
    size_t room;
} listing;

static bool add_segment(listing *it, popoto_text segment) {
    if (it->count == it->room) {
        size_t room = it->room ? it->room * 2 : 64;
        popoto_text *bigger =
            popoto__reallocate(&it->db->allocator, it->segments, room * sizeof *bigger);
        if (bigger == NULL)
            return false;
        it->segments = bigger;
        it->room = room;
    }
    const char *copy = popoto__arena_copy(it->memory, segment.data, segment.size);
    if (copy == NULL)
        return false;
    it->segments[it->count++] = (popoto_text){ copy, segment.size };
    return true;
}

/* Of "{project-a}:$Class:Episode" project-a; data NULL: the key is none of these, though it matches. */
static popoto_text segment_of(const model *of, popoto_text key) {
    popoto_text segment = popoto__key_tenant(key), prefix = of->class_prefix;
    if (segment.data == NULL || key.size != segment.size + 3 + prefix.size ||
        memcmp(key.data + segment.size + 3, prefix.data, prefix.size) != 0)
        return (popoto_text){ NULL, 0 };
    return segment;
}

static popoto_status take_keys(void *context, size_t index, const reply *answer) {
    listing *it = context;
    (void)index;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "looking for tenants", &it->db->why);
    if (answer->type != REPLY_ARRAY || answer->count != 2 ||
        answer->items[0]->type != REPLY_STRING || answer->items[1]->type != REPLY_ARRAY)
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered SCAN with no page");
    popoto__buffer_clear(&it->cursor);
    popoto__buffer_append(&it->cursor, answer->items[0]->text, answer->items[0]->size);
    if (it->cursor.failed)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < answer->items[1]->count; i++) {
        const reply *key = answer->items[1]->items[i];
        popoto_text segment = segment_of(it->of, (popoto_text){ key->text, key->size });
        if (segment.data != NULL && !add_segment(it, segment))
            return popoto__fail_memory(&it->db->why);
    }
    return POPOTO_OK;
}

static int by_bytes(const void *a, const void *b) {
    const popoto_text *x = a, *y = b;
    size_t size = x->size < y->size ? x->size : y->size;
    int order = memcmp(x->data, y->data, size);
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static popoto_value value_of(const model *of, popoto_text text) {
    if (of->tenant->type == POPOTO_INT)
        return popoto_of_int(strtoll(text.data, NULL, 10));
    if (of->tenant->type == POPOTO_BYTES)
        return popoto_of_bytes((popoto_bytes){ text.data, text.size });
    return popoto_of_sized_text(text);
}

/* The value that a segment stands for; null where it is not what this library writes for a tenant of this
 * model: anybody may have made a key. */
static popoto_status tenant_value(listing *it, popoto_text segment, popoto_value *value) {
    buffer plain;
    failure ignored;
    popoto_text back;
    popoto__buffer_init(&plain, &it->db->allocator);
    *value = (popoto_value){ POPOTO_NULL, { 0 } };
    bool valid = popoto__key_unescape_tenant(&plain, segment.data, segment.size);
    const char *copy = popoto__arena_copy(it->memory, plain.data, plain.size);
    popoto_value found = value_of(it->of, (popoto_text){ copy, plain.size });
    bool failed = plain.failed || copy == NULL;
    popoto__buffer_free(&plain);
    if (failed)
        return popoto__fail_memory(&it->db->why);
    if (!valid)
        return POPOTO_OK;
    popoto_status status =
        popoto__segment(it->of, it->of->tenant, &found, it->memory, &back, &ignored);
    if (status == POPOTO_NO_MEMORY)
        return popoto__fail_memory(&it->db->why);
    if (status == POPOTO_OK && by_bytes(&segment, &back) == 0)
        *value = found;
    return POPOTO_OK;
}

static popoto_status sort_and_convert(listing *it, popoto_value **tenants, size_t *count) {
    if (it->count > 0)
        qsort(it->segments, it->count, sizeof *it->segments, by_bytes);
    popoto_value *values = popoto__arena_allocate(it->memory, (it->count + 1) * sizeof *values);
    if (values == NULL)
        return popoto__fail_memory(&it->db->why);
    *tenants = values;
    for (size_t i = 0; i < it->count; i++) {
        if (i > 0 && by_bytes(&it->segments[i - 1], &it->segments[i]) == 0)
            continue; /* SCAN may give a key twice */
        popoto_status status = tenant_value(it, it->segments[i], &values[*count]);
        if (status != POPOTO_OK)
            return status;
        *count += values[*count].type != POPOTO_NULL;
    }
    return POPOTO_OK;
}

popoto_status popoto__tenants_read(popoto_db *db, const model *of, arena *memory,
                                   popoto_value **tenants, size_t *count) {
    listing it = { .db = db, .of = of, .memory = memory };
    popoto_status status = POPOTO_OK;
    *tenants = NULL;
    *count = 0;
    popoto__buffer_init(&it.cursor, &db->allocator);
    do {
        popoto_text cursor =
            it.cursor.size ? (popoto_text){ it.cursor.data, it.cursor.size } : TEXT("0");
        popoto__buffer_clear(&db->request);
        popoto__render_class_scan(of, cursor, &db->request);
        status = popoto__db_exchange(db, 1, false, NULL, take_keys, &it);
    } while (status == POPOTO_OK && !(it.cursor.size == 1 && it.cursor.data[0] == '0'));
    if (status == POPOTO_OK)
        status = sort_and_convert(&it, tenants, count);
    popoto__release(&db->allocator, it.segments);
    popoto__buffer_free(&it.cursor);
    return status;
}

/* ----- The list ------------------------------------------------------------------------------- */

/* After a failure nothing is noted for so many milliseconds: on a cluster, the list may be on a node
 * that is lost while those that hold the records are well, and writes must not wait for it each time. */
#define NOTE_AGAIN 10000

void popoto__tenants_note(popoto_db *db, const model *of, const popoto_text *segments,
                          size_t count) {
    size_t commands = 0;
    if (db->note_after != 0 && popoto__clock_left(db->note_after) > 0)
        return;
    popoto__buffer_clear(&db->request);
    for (size_t i = 0; i < count; i++) {
        if (segments[i].data == NULL)
            continue;
        uint64_t digest = popoto__digest(segments[i].data, segments[i].size) ^
                          popoto__digest(of->name.data, of->name.size);
        uint64_t *noted = &db->noted_tenants[digest % NOTED_TENANTS];
        if (*noted == digest)
            continue;
        *noted = digest;
        popoto__render_tenant_note(of, segments[i], &db->request);
        commands++;
    }
    failure kept = db->why;
    if (commands > 0 &&
        popoto__db_exchange(db, commands, true, NULL, popoto__ignore_reply, NULL) != POPOTO_OK) {
        memset(db->noted_tenants, 0, sizeof db->noted_tenants);
        db->note_after = popoto__clock_in(NOTE_AGAIN);
    }
    db->why = kept;
}

/* ----- The call ------------------------------------------------------------------------------- */

popoto_status popoto_tenants(popoto_db *db, const popoto_model *declared,
                             popoto_tenant_callback *callback, void *context) {
    const model *of;
    arena memory;
    popoto_value *tenants;
    size_t count;
    popoto_status status = popoto__db_begin(db, declared, &of);
    if (status != POPOTO_OK)
        return status;
    if (callback == NULL)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                            "a callback is needed, and NULL was given");
    if (of->tenant == NULL)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                            "%s has no TENANT: only strict models know their tenants",
                            of->name.data);
    if (popoto__scope_value(db, of->tenant) != NULL)
        return popoto__fail(&db->why, POPOTO_BAD_SCOPE,
                            "all tenants of %s are asked for in the scope of one %s", of->name.data,
                            of->tenant->name);
    popoto__arena_init(&memory, &db->allocator);
    status = popoto__tenants_read(db, of, &memory, &tenants, &count);
    for (size_t i = 0; status == POPOTO_OK && i < count; i++)
        if (!callback(context, &tenants[i]))
            status = popoto__fail(&db->why, POPOTO_STOPPED, "the callback asked to stop");
    popoto__arena_free(&memory);
    return status;
}
