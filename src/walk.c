#include "walk.h"

#include <string.h>

/* So many keys does the server look at for one SCAN: a few milliseconds of its time, by the pattern. */
#define KEYS_A_STEP    500
/* So many entries for one SSCAN, ZSCAN or HSCAN. */
#define ENTRIES_A_STEP 512
/* So many entries make a page, roughly, and so many indexes at most share one. */
#define PAGE_ENTRIES   2048
#define PAGE_INDEXES   256

/* ----- Keys ----------------------------------------------------------------------------------- */

void popoto__key_walk_begin(key_walk *it, popoto_db *db, popoto_text pattern) {
    *it = (key_walk){ .db = db, .pattern = pattern };
    popoto__arena_init(&it->page, &db->allocator);
    popoto__buffer_init(&it->cursor, &db->allocator);
}

void popoto__key_walk_end(key_walk *it) {
    popoto__arena_free(&it->page);
    popoto__buffer_free(&it->cursor);
}

static bool is_page(const reply *answer) {
    return answer->type == REPLY_ARRAY && answer->count == 2 &&
           answer->items[0]->type == REPLY_STRING && answer->items[1]->type == REPLY_ARRAY;
}

static popoto_status take_keys(void *context, size_t index, const reply *answer) {
    key_walk *it = context;
    (void)index;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "looking through the keys", &it->db->why);
    if (!is_page(answer))
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered SCAN with no page");
    const reply *cursor = answer->items[0], *keys = answer->items[1];
    popoto__buffer_clear(&it->cursor);
    popoto__buffer_append(&it->cursor, cursor->text, cursor->size);
    it->keys = popoto__arena_zeroed(&it->page, keys->count + 1, sizeof *it->keys);
    if (it->keys == NULL || it->cursor.failed)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < keys->count; i++)
        if (keys->items[i]->type == REPLY_STRING)
            it->keys[it->count++] = (popoto_text){ keys->items[i]->text, keys->items[i]->size };
    return POPOTO_OK;
}

popoto_status popoto__key_walk_next(key_walk *it, bool *more) {
    *more = !it->begun || !(it->cursor.size == 1 && it->cursor.data[0] == '0');
    it->count = 0;
    if (!*more)
        return POPOTO_OK;
    popoto_text cursor = it->begun ? (popoto_text){ it->cursor.data, it->cursor.size } : TEXT("0");
    it->begun = true;
    popoto__arena_reset(&it->page);
    popoto__buffer_clear(&it->db->request);
    popoto__render_key_scan(it->pattern, cursor, KEYS_A_STEP, &it->db->request);
    return popoto__db_exchange(it->db, 1, false, &it->page, take_keys, it);
}

/* ----- Sizes ---------------------------------------------------------------------------------- */

typedef struct sizes {
    popoto_db *db;
    index_ref *indexes;
} sizes;

static popoto_status take_size(void *context, size_t index, const reply *answer) {
    sizes *it = context;
    it->indexes[index].size = answer->integer;
    if (popoto__reply_is_error(answer, "WRONGTYPE"))
        it->indexes[index].size = -1;
    else if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "asking for the size of an index", &it->db->why);
    else if (answer->type != REPLY_INTEGER)
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered the question for a size with no number");
    return POPOTO_OK;
}

popoto_status popoto__walk_sizes(popoto_db *db, index_ref *indexes, size_t count) {
    popoto_status status = POPOTO_OK;
    for (size_t at = 0; at < count && status == POPOTO_OK; at += PAGE_INDEXES) {
        size_t part = count - at < PAGE_INDEXES ? count - at : PAGE_INDEXES;
        sizes it = { db, indexes + at };
        popoto__buffer_clear(&db->request);
        for (size_t i = at; i < at + part; i++)
            popoto__render_index_size(popoto__index_shape(indexes[i].about), indexes[i].key,
                                      &db->request);
        status = popoto__db_exchange(db, part, false, NULL, take_size, &it);
    }
    return status;
}

popoto_status popoto__refuse_half_moved(popoto_db *db, const model *of) {
    index_ref left = { .key = of->class_prefix };
    failure kept = db->why;
    shown room;
    if (of->tenant == NULL || popoto__db_is_cluster(db)) /* where no ordinary ones can be */
        return POPOTO_OK;
    popoto_status status = popoto__walk_sizes(db, &left, 1);
    if (status == POPOTO_DENIED) {
        db->why = kept;
        return POPOTO_OK;
    }
    if (status != POPOTO_OK || left.size <= 0)
        return status;
    return popoto__fail(
        &db->why, POPOTO_CORRUPT,
        "%lld records of an ordinary %s are left, in %s: a move to the strict one was "
        "not finished, and some of them may be this tenant's; run it again first",
        (long long)left.size, of->name.data, popoto__show(&room, left.key.data, left.key.size));
}

/* ----- Entries -------------------------------------------------------------------------------- */

/* An index that is under way, with the server's place in it. */
typedef struct visit {
    const index_ref *of;
    char cursor[24];
} visit;

typedef struct entry_walk {
    popoto_db *db;
    popoto_text pattern;
    arena page;
    visit visits[PAGE_INDEXES]; /* of this page, and the first ones of the next */
    size_t visit_count;
    index_entry *entries;
    size_t entry_count;
    size_t entry_room;
} entry_walk;

static bool add_entries(entry_walk *it, const index_ref *of, const reply *page, size_t step) {
    size_t wanted = it->entry_count + page->count / step;
    if (wanted > it->entry_room) {
        size_t room = wanted > 2 * it->entry_room ? wanted : 2 * it->entry_room;
        index_entry *bigger =
            popoto__reallocate(&it->db->allocator, it->entries, room * sizeof *bigger);
        if (bigger == NULL)
            return false;
        it->entries = bigger;
        it->entry_room = room;
    }
    for (size_t i = 0; i + step <= page->count; i += step) {
        const reply *member = page->items[i];
        index_entry *entry = &it->entries[it->entry_count++];
        *entry = (index_entry){ of, { member->text, member->size }, { NULL, 0 } };
        if (step == 2)
            entry->extra = (popoto_text){ page->items[i + 1]->text, page->items[i + 1]->size };
    }
    return true;
}

static popoto_status take_entries(void *context, size_t index, const reply *answer) {
    entry_walk *it = context;
    visit *one = &it->visits[index];
    index_shape shape = popoto__index_shape(one->of->about);
    if (popoto__reply_is_error(answer, "WRONGTYPE")) { /* since its size was asked */
        strcpy(one->cursor, "0");
        return POPOTO_OK;
    }
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "looking through an index", &it->db->why);
    if (!is_page(answer) || answer->items[0]->size >= sizeof one->cursor)
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered a scan of an index with no page");
    memcpy(one->cursor, answer->items[0]->text, answer->items[0]->size + 1);
    return add_entries(it, one->of, answer->items[1], shape == SHAPE_SET ? 1 : 2)
               ? POPOTO_OK
               : popoto__fail_memory(&it->db->why);
}

/* One step of each visit; those that came to their end are dropped. */
static popoto_status step(entry_walk *it) {
    popoto__buffer_clear(&it->db->request);
    popoto__arena_reset(&it->page);
    it->entry_count = 0;
    for (size_t i = 0; i < it->visit_count; i++) {
        const visit *one = &it->visits[i];
        popoto__render_entry_scan(popoto__index_shape(one->of->about), one->of->key,
                                  (popoto_text){ one->cursor, strlen(one->cursor) }, it->pattern,
                                  ENTRIES_A_STEP, &it->db->request);
    }
    popoto_status status =
        popoto__db_exchange(it->db, it->visit_count, false, &it->page, take_entries, it);
    size_t kept = 0;
    for (size_t i = 0; i < it->visit_count; i++)
        if (strcmp(it->visits[i].cursor, "0") != 0)
            it->visits[kept++] = it->visits[i];
    it->visit_count = kept;
    return status;
}

static size_t share_of_page(const index_ref *of) {
    return of->size < ENTRIES_A_STEP ? (size_t)of->size : ENTRIES_A_STEP;
}

popoto_status popoto__walk_entries(popoto_db *db, index_ref *indexes, size_t count,
                                   popoto_text pattern, entries_handler *handle, void *context) {
    popoto_status status = popoto__walk_sizes(db, indexes, count);
    entry_walk *it = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it);
    if (status != POPOTO_OK || it == NULL) {
        popoto__release(&db->allocator, it);
        return status != POPOTO_OK ? status : popoto__fail_memory(&db->why);
    }
    it->db = db;
    it->pattern = pattern;
    popoto__arena_init(&it->page, &db->allocator);
    size_t next = 0;
    while (status == POPOTO_OK && (next < count || it->visit_count > 0)) {
        size_t expected = 0;
        for (size_t i = 0; i < it->visit_count; i++)
            expected += share_of_page(it->visits[i].of);
        for (; next < count && it->visit_count < PAGE_INDEXES; next++) {
            if (indexes[next].size <= 0)
                continue;
            expected += share_of_page(&indexes[next]);
            if (expected > PAGE_ENTRIES && it->visit_count > 0)
                break;
            it->visits[it->visit_count++] = (visit){ &indexes[next], "0" };
        }
        if (it->visit_count == 0)
            break;
        status = step(it);
        if (status == POPOTO_OK && it->entry_count > 0)
            status = handle(context, it->entries, it->entry_count);
    }
    popoto__arena_free(&it->page);
    popoto__release(&db->allocator, it->entries);
    popoto__release(&db->allocator, it);
    return status;
}

/* ----- How many records at a time --------------------------------------------------------------- */

/* What a page of records may hold in bytes, as far as that can be foreseen. */
#define PAGE_BYTES ((size_t)2 << 20)
#define FIRST_STEP 16

size_t popoto__pace_next(pace *it, size_t most) {
    size_t step = it->step == 0 ? FIRST_STEP : 2 * it->step;
    if (it->records > 0) {
        size_t fit = PAGE_BYTES / (it->bytes / it->records + 1);
        step = fit < step ? fit : step;
    }
    it->step = step < 1 ? 1 : step > most ? most : step;
    it->records = it->bytes = 0;
    return it->step;
}

void popoto__pace_note(pace *it, const reply *record) {
    it->records++;
    for (size_t i = 0; i < record->count; i++)
        it->bytes += record->items[i]->size;
}
