/* read - query, get, load, count and streams: candidates from the indexes page by page, their records
 * fetched in pipelines, entries of records that are gone cleared away. Builds no command. */
#include "commit.h"
#include "mistyped.h"
#include "name_set.h"
#include "tenant.h"

#include <stddef.h>
#include <string.h>

/* So many candidates are asked for and fetched at once. A stream, which must stay small, takes fewer. */
#define PAGE        8192
#define STREAM_PAGE 256
/* So many records are fetched in one pipeline. */
#define FETCH       1024
/* With a limit up to this, a set is read by steps and repetitions are found by looking. */
#define SMALL_LIMIT 1000
/* So many entries of records that are gone are cleared away by one call. */
#define MAX_CLEARED 256
/* So many records are fetched without asking for their scores before. */
#define FEW_RECORDS 32
/* So many names need no memory of their own. */
#define FEW         40

/* A read under way. Its memory is that of the call, or the stream's. */
typedef struct reading {
    popoto_db *db;
    query what;
    read_plan plan;
    popoto_rows *rows;
    size_t page;
    bool in_steps; /* sets are read by SSCAN */
    bool finished; /* the source has no more candidates */
    const reply
        *ready; /* all names of the source: they came when it was chosen; NULL: they did not */
    popoto_value *tenants; /* a query of all tenants: those, and how many of them were read */
    size_t tenant_count, tenant;
    bool skips_names;  /* the candidates are the answer, so that an offset is counted by them */
    size_t skip;       /* candidates, or rows of a stream, that are still to be left out */
    size_t grown;      /* how long a page of a range is by now */
    bool is_bare;      /* the page of a range was the first so many names, without scores */
    bool needs_scores; /* the range is longer than that */
    bool keeps_names;  /* all pages' names are needed: they are the rows' keys */
    /* The page of candidates; their text is in rows->names, or with the rows where all pages' are kept. */
    popoto_text *names;
    size_t name_count;
    size_t name_room;
    bool strange,
        starved;  /* the index had something else than names; there was no memory for one */
    size_t asked; /* entries of the index that made this page, before names were looked at */
    /* Where the source has come to. */
    size_t index;  /* of sets or ranges */
    buffer cursor; /* SSCAN's; or the score of the last entry, as the server wrote it */
    buffer last;   /* the last entry's name */
    size_t ties;   /* the place of that name among the entries with that score */
    size_t passed; /* how many of them the server left out of this page */
    name_set met;  /* where plan.names_repeat */
    /* While candidates are fetched. */
    size_t first; /* of them in names */
    /* Of candidates whose records are gone, or no hashes. */
    size_t gone_count, mistyped_count;
    /* Only zeroed up to here. */
    popoto_text few[FEW];
    popoto_text gone[MAX_CLEARED];
    popoto_text mistyped[MISTYPED_MOST];
} reading;

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static arena *memory_of_names(const reading *it) {
    return it->keeps_names ? &it->rows->memory : &it->rows->names;
}

static popoto_status fail_reply(reading *it, const reply *answer, const char *what) {
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, what, &it->db->why);
    return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                        "%s: the server's answer has another shape than "
                        "that command's",
                        what);
}

/* ----- Starting ------------------------------------------------------------------------------- */

/* What is learned before a source is chosen. The lists hold names where they are whole. */
typedef struct probe {
    reading *of;
    int64_t *sizes;
    const reply *range, *set;
} probe;

/* Lists as they came, in the memory of the call; NULL: it is not to be had. */
static const reply *keep_list(const reading *it, const reply *list) {
    reply *copy = popoto__arena_allocate(it->what.memory, sizeof *copy);
    reply **items = popoto__arena_allocate(it->what.memory, (list->count + 1) * sizeof *items);
    reply *each = popoto__arena_allocate(it->what.memory, (list->count + 1) * sizeof *each);
    if (copy == NULL || items == NULL || each == NULL)
        return NULL;
    *copy = *list;
    copy->items = items;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->type != REPLY_STRING)
            return NULL;
        each[i] = *list->items[i];
        items[i] = &each[i];
    }
    return copy;
}

/* (What is no list of the shape that belongs there is read again, and found out then.) */
static popoto_status take_probe(void *context, size_t index, const reply *answer) {
    probe *it = context;
    const read_plan *from = &it->of->plan;
    size_t sizes = from->set_count + from->range_count;
    if (index >= sizes && answer->type == REPLY_ERROR)
        return fail_reply(it->of, answer, "reading an index");
    if (index < sizes) {
        if (answer->type != REPLY_INTEGER)
            return fail_reply(it->of, answer, "asking for the size of an index");
        it->sizes[index] = answer->integer;
    } else if (index == sizes && from->range_count == 1) {
        if (answer->type == REPLY_ARRAY && answer->count < PROBE)
            it->range = keep_list(it->of, answer);
    } else if (answer->type == REPLY_ARRAY && answer->count == 2 &&
               answer->items[0]->type == REPLY_STRING && answer->items[1]->type == REPLY_ARRAY &&
               answer->items[0]->size == 1 && answer->items[0]->text[0] == '0') {
        it->set = keep_list(it->of, answer->items[1]);
    }
    return POPOTO_OK;
}

static popoto_status choose_source(reading *it) {
    probe asked = { .of = it };
    asked.sizes = popoto__arena_zeroed(
        it->what.memory, it->plan.set_count + it->plan.range_count + 1, sizeof *asked.sizes);
    if (asked.sizes == NULL)
        return popoto__fail_memory(&it->db->why);
    popoto__buffer_clear(&it->db->request);
    size_t count = popoto__query_render_probe(&it->what, &it->plan, &it->db->request);
    popoto_status status =
        popoto__db_exchange(it->db, count, false, it->what.memory, take_probe, &asked);
    if (status != POPOTO_OK)
        return status;
    popoto__query_choose(&it->what, &it->plan, asked.sizes);
    it->ready = it->plan.source == SOURCE_SORTED ? asked.range : asked.set;
    return POPOTO_OK;
}

/* From the conditions to a source whose first page can be read. */
static popoto_status plan_source(reading *it) {
    const model *of = it->what.of;
    popoto_status status = popoto__query_plan(&it->what, &it->plan, &it->db->why);
    bool needs_range = it->page == STREAM_PAGE && it->what.order != NULL;
    it->ready = NULL;
    if (status == POPOTO_OK && it->plan.has_choice && !needs_range)
        status = choose_source(it);
    if (status != POPOTO_OK)
        return status;
    if (it->plan.source == SOURCE_CLASS) {
        it->plan.sets = popoto__arena_allocate(it->what.memory, sizeof *it->plan.sets);
        if (it->plan.sets == NULL)
            return popoto__fail_memory(&it->db->why);
        it->plan.sets[0] = popoto__class_key(of, it->what.tenant_segments, it->what.memory);
        if (it->plan.sets[0].data == NULL)
            return popoto__fail_memory(&it->db->why);
        it->plan.set_count = 1;
    }
    it->finished = false;
    it->index = 0;
    it->ties = 0;
    popoto__buffer_clear(&it->cursor);
    it->skips_names = it->plan.exact && !it->plan.sort_here && it->plan.source != SOURCE_KEY &&
                      it->what.each_tenant == NULL && of->declared->time_to_live == 0;
    return POPOTO_OK;
}

/* Of all tenants, one after the other. At the end `finished` stays true. */
static popoto_status next_tenant(reading *it) {
    if (it->tenant == it->tenant_count)
        return POPOTO_OK;
    it->what.each_tenant->value = it->tenants[it->tenant++];
    return plan_source(it);
}

static bool is_over(const reading *it) {
    return it->finished && it->tenant == it->tenant_count;
}

static popoto_status plan_first(reading *it) {
    if (it->what.each_tenant == NULL)
        return plan_source(it);
    popoto_status status =
        popoto__tenants_read(it->db, it->what.of, it->what.memory, &it->tenants, &it->tenant_count);
    it->plan.sort_here = it->what.order != NULL;
    it->finished = true;
    return status == POPOTO_OK ? next_tenant(it) : status;
}

static void prepare(reading *it, popoto_db *db) {
    memset(it, 0, offsetof(reading, few));
    it->db = db;
    it->page = PAGE;
    it->names = it->few;
    it->name_room = FEW;
    popoto__buffer_init(&it->cursor, &db->allocator);
    popoto__buffer_init(&it->last, &db->allocator);
    popoto__name_set_init(&it->met, &db->allocator);
}

/* it->what is known. */
static popoto_status start(reading *it) {
    popoto_status status = plan_first(it);
    bool is_stream = it->page == STREAM_PAGE;
    if (status != POPOTO_OK)
        return status;
    if (is_stream && it->plan.sort_here && it->what.order != NULL)
        return popoto__fail(
            &it->db->why, POPOTO_BAD_QUERY,
            "a stream of %s cannot be ordered by %s: only the SORTED field whose index "
            "answers the query gives an order without all rows in memory",
            it->what.of->name.data, it->what.order->name);
    it->in_steps = is_stream || (!it->plan.sort_here && it->what.limit <= SMALL_LIMIT &&
                                 it->what.offset <= SMALL_LIMIT);
    it->skip = it->what.offset;
    it->rows = popoto__rows_new(it->db, it->what.of);
    if (it->rows == NULL)
        return popoto__fail_memory(&it->db->why);
    if (it->plan.sort_here)
        popoto__rows_will_sort(it->rows);
    return POPOTO_OK;
}

static popoto_status start_query(reading *it, popoto_db *db, const popoto_query_desc *desc,
                                 const model *of) {
    prepare(it, db);
    popoto_status status = popoto__query_parse(db, of, desc, &db->scratch, &it->what);
    return status == POPOTO_OK ? start(it) : status;
}

static void stop(reading *it) {
    if (it->names != it->few)
        popoto__release(&it->db->allocator, it->names);
    popoto__buffer_free(&it->cursor);
    popoto__buffer_free(&it->last);
    popoto__name_set_free(&it->met);
}

/* ----- Candidates ----------------------------------------------------------------------------- */

static bool room_for_names(reading *it, size_t count) {
    if (count <= it->name_room)
        return true;
    if (count > SIZE_MAX / sizeof *it->names)
        return false;
    bool moves = it->names == it->few;
    popoto_text *names =
        popoto__reallocate(&it->db->allocator, moves ? NULL : it->names, count * sizeof *names);
    if (names == NULL)
        return false;
    if (moves)
        memcpy(names, it->few, sizeof it->few);
    it->names = names;
    it->name_room = count;
    return true;
}

static bool room_for_name(reading *it) {
    if (it->name_count < it->name_room)
        return true;
    return it->name_room <= SIZE_MAX / 2 && room_for_names(it, it->name_room * 2);
}

/* Where the index is one of a partition that answers all conditions on names, there is nothing to look
 * for in them but the tenant. */
static bool has_fitting_name(const reading *it, popoto_text name) {
    bool told = it->plan.source == SOURCE_SORTED && !it->plan.names_matter;
    return told ? popoto__query_tenant_fits(&it->what, name)
                : popoto__query_name_fits(&it->what, name);
}

static void add_name(reading *it, popoto_text name) {
    if (has_fitting_name(it, name))
        it->names[it->name_count++] = name;
}

/* The names that an index holds come one by one. */
static void take_member(void *context, size_t index, size_t place, reply_type type,
                        const char *text, size_t size) {
    reading *it = context;
    (void)index;
    if (place == 0) {
        it->name_count = 0;
        it->strange = it->starved = false;
    }
    if (type != REPLY_STRING) {
        it->strange = true;
        return;
    }
    if (!has_fitting_name(it, (popoto_text){ text, size }))
        return;
    const char *copy = popoto__arena_copy(memory_of_names(it), text, size);
    if (copy == NULL || !room_for_name(it))
        it->starved = true;
    else
        it->names[it->name_count++] = (popoto_text){ copy, size };
}

static popoto_status take_members(void *context, size_t index, const reply *answer) {
    reading *it = context;
    (void)index;
    if (answer->type != REPLY_ARRAY || it->strange)
        return fail_reply(it, answer, "reading an index");
    it->asked = answer->count;
    return it->starved ? popoto__fail_memory(&it->db->why) : POPOTO_OK;
}

static bool has_name(const reading *it, popoto_text name) {
    for (size_t i = 0; i < it->name_count; i++)
        if (it->names[i].size == name.size && memcmp(it->names[i].data, name.data, name.size) == 0)
            return true;
    for (size_t i = 0; i < it->rows->count; i++)
        if (it->rows->keys[i].size == name.size &&
            memcmp(it->rows->keys[i].data, name.data, name.size) == 0)
            return true;
    return false;
}

static popoto_status take_step(void *context, size_t index, const reply *answer) {
    reading *it = context;
    (void)index;
    if (answer->type != REPLY_ARRAY || answer->count != 2 ||
        answer->items[0]->type != REPLY_STRING || answer->items[1]->type != REPLY_ARRAY)
        return fail_reply(it, answer, "reading an index");
    const reply *cursor = answer->items[0], *members = answer->items[1];
    popoto__buffer_clear(&it->cursor);
    popoto__buffer_append(&it->cursor, cursor->text, cursor->size);
    if (it->cursor.failed || !room_for_names(it, members->count))
        return popoto__fail_memory(&it->db->why);
    it->asked = members->count;
    for (size_t i = 0; i < members->count; i++) {
        popoto_text name = { members->items[i]->text, members->items[i]->size };
        if (it->page == STREAM_PAGE || !has_name(it, name))
            add_name(it, name);
    }
    return POPOTO_OK;
}

/* Whether an entry that has the last one's score comes after it, in the order that the range is read. */
static bool is_after(const reading *it, const reply *name) {
    size_t size = name->size < it->last.size ? name->size : it->last.size;
    int order = size ? memcmp(name->text, it->last.data, size) : 0;
    if (order == 0)
        order = (name->size > it->last.size) - (name->size < it->last.size);
    return it->what.descending ? order < 0 : order > 0;
}

static bool is_zero(const char *text, size_t size) {
    return (size == 1 && text[0] == '0') || (size == 2 && memcmp(text, "-0", 2) == 0);
}

/* Whether a score is the last entry's. The server prints equal ones alike, but for the two zeros. */
static bool is_last_score(const reading *it, const reply *score) {
    const buffer *last = &it->cursor;
    if (last->size == 0)
        return false;
    return (last->size == score->size && memcmp(last->data, score->text, score->size) == 0) ||
           (is_zero(last->data, last->size) && is_zero(score->text, score->size));
}

static popoto_status take_range(void *context, size_t index, const reply *answer) {
    reading *it = context;
    (void)index;
    if (answer->type != REPLY_ARRAY || answer->count % 2 != 0)
        return fail_reply(it, answer, "reading a sorted index");
    if (!room_for_names(it, answer->count / 2))
        return popoto__fail_memory(&it->db->why);
    it->asked = answer->count / 2;
    bool first_score =
        it->cursor.size > 0; /* the entries are still those of the last page's score */
    for (size_t i = 0; i < answer->count; i += 2) {
        const reply *name = answer->items[i], *score = answer->items[i + 1];
        bool ties = is_last_score(it, score);
        first_score = first_score && ties;
        /* By its place, not by what was seen: entries may have come in before it, and each page must
         * get further than the last one. */
        it->ties = first_score ? it->passed + i / 2 + 1 : ties ? it->ties + 1 : 1;
        if (ties && !is_after(it, name))
            continue;
        it->cursor.size = it->last.size = 0; /* a failure stays */
        popoto__buffer_append(&it->cursor, score->text, score->size);
        popoto__buffer_append(&it->last, name->text, name->size);
        add_name(it, (popoto_text){ name->text, name->size });
    }
    return it->cursor.failed || it->last.failed ? popoto__fail_memory(&it->db->why) : POPOTO_OK;
}

static popoto_status next_set(reading *it, size_t wanted) {
    if (!it->in_steps) {
        it->finished = true;
        if (it->plan.set_count == 0)
            return POPOTO_OK;
        popoto__render_members(&it->plan, &it->db->request);
        return popoto__db_read_lists(it->db, 1, take_member, take_members, it);
    }
    /* Of an intersection one set is stepped through, and names and rows tell of the others. */
    size_t sets = it->plan.any_set ? it->plan.set_count : 1;
    if (it->plan.set_count == 0 || it->index >= sets) {
        it->finished = true;
        return POPOTO_OK;
    }
    size_t page = wanted < STREAM_PAGE ? STREAM_PAGE : wanted < it->page ? wanted : it->page;
    popoto_text cursor =
        it->cursor.size ? (popoto_text){ it->cursor.data, it->cursor.size } : TEXT("0");
    popoto__render_scan(it->plan.sets[it->index], cursor, page, &it->db->request);
    popoto_status status =
        popoto__db_exchange(it->db, 1, false, memory_of_names(it), take_step, it);
    if (status == POPOTO_OK && it->cursor.size == 1 && it->cursor.data[0] == '0') {
        popoto__buffer_clear(&it->cursor);
        it->index++;
        it->finished = it->index >= sets;
    }
    return status;
}

/* As many as rows are wanted; where some of them may not fit, more and more. */
static size_t page_length(reading *it, size_t wanted) {
    if (it->plan.names_matter && wanted < it->page) {
        it->grown = it->grown ? it->grown * 2 : 64;
        wanted = it->grown > wanted ? it->grown : wanted;
    }
    return wanted < it->page ? wanted : it->page;
}

/* Whether the server can leave out what an offset says. */
static bool server_skips(const reading *it) {
    return it->skips_names && !it->plan.names_matter && it->plan.range_count == 1 &&
           it->cursor.size == 0;
}

/* A range is read without scores where its names are likely all that is needed, because it ends within a page, or
 * because each of them is a row and so many are wanted: scores are there for the next page to begin at, and
 * the server takes several times as long to print them as to find the names. *done false: it is to be
 * read with scores, from its start. */
static popoto_status read_bare_range(reading *it, size_t wanted, bool *done) {
    bool is_limited = wanted <= PAGE, skips = it->skips_names && it->skip > 0;
    size_t skip = skips && is_limited ? it->skip : 0, count = is_limited ? wanted - skip : PAGE;
    *done = false;
    if (it->page != PAGE || it->needs_scores || it->cursor.size > 0 ||
        (is_limited && (!it->plan.exact || it->plan.names_matter)) ||
        (skips && !(is_limited && server_skips(it))))
        return POPOTO_OK;
    popoto__render_names(&it->plan.ranges[it->index], it->what.descending, skip, count,
                         &it->db->request);
    popoto_status status = popoto__db_read_lists(it->db, 1, take_member, take_members, it);
    popoto__buffer_clear(&it->db->request);
    bool ends = status == POPOTO_OK && it->asked < count;
    *done = ends || (status == POPOTO_OK && is_limited);
    if (!*done) {
        it->name_count = it->asked = 0;
        return status;
    }
    it->skip -= skip;
    it->is_bare = !ends;
    if (ends) {
        it->index++;
        it->finished = it->index >= it->plan.range_count;
    }
    return status;
}

/* Some of a bare range's names became no rows, and there is no score to go on from: once more, with scores, from the
 * first of all tenants too. */
static void start_again(reading *it) {
    popoto__rows_reset(it->rows);
    popoto__name_set_clear(&it->met);
    it->is_bare = false;
    it->needs_scores = true;
    it->index = 0;
    it->skip = it->what.offset;
    it->tenant = 0;
    it->finished = it->what.each_tenant != NULL;
}

/* The next page of a range starts at the last entry's score, and leaves out what was seen of it: by
 * name as long as that is less than a page; else all but a page's worth are skipped, so that entries
 * that were removed meanwhile do not shift unseen ones out of sight. */
static popoto_status next_range(reading *it, size_t wanted) {
    if (it->index >= it->plan.range_count) {
        it->finished = true;
        return POPOTO_OK;
    }
    bool done, server_counts = server_skips(it);
    popoto_status status = read_bare_range(it, wanted, &done);
    if (status != POPOTO_OK || done)
        return status;
    size_t seen = it->cursor.size ? it->ties : 0;
    if (server_counts && wanted < SIZE_MAX)
        wanted -= it->skip;
    size_t page = page_length(it, wanted), count = page;
    if (server_counts) {
        it->passed = it->skip;
        it->skip = 0;
    } else {
        it->passed = seen > page ? seen - page : 0;
        count += seen - it->passed;
    }
    popoto_text from = { it->cursor.data, it->cursor.size };
    popoto__render_range(&it->plan.ranges[it->index], it->what.descending,
                         it->cursor.size ? &from : NULL, it->passed, count, &it->db->request);
    status = popoto__db_exchange(it->db, 1, false, memory_of_names(it), take_range, it);
    if (status == POPOTO_OK && it->asked < count) {
        popoto__buffer_clear(&it->cursor);
        it->ties = 0;
        it->index++;
        it->finished = it->index >= it->plan.range_count;
    }
    return status;
}

static popoto_status take_scores(void *context, size_t index, const reply *answer) {
    reading *it = context;
    size_t kept = 0;
    (void)index;
    if (answer->type != REPLY_ARRAY || answer->count != it->name_count)
        return fail_reply(it, answer, "asking a sorted index for scores");
    for (size_t i = 0; i < it->name_count; i++) {
        const reply *score = answer->items[i];
        double value;
        if (score->type == REPLY_STRING &&
            popoto__codec_read_double(score->text, score->size, &value) &&
            popoto__range_holds(&it->plan.ranges[0], value))
            it->names[kept++] = it->names[i];
    }
    it->name_count = kept;
    return POPOTO_OK;
}

/* SSCAN may name a member twice. */
static popoto_status take_ready(reading *it) {
    const reply *names = it->ready;
    it->ready = NULL;
    it->finished = true;
    if (!room_for_names(it, names->count))
        return popoto__fail_memory(&it->db->why);
    it->asked = names->count;
    for (size_t i = 0; i < names->count; i++) {
        popoto_text name = { names->items[i]->text, names->items[i]->size };
        if (!has_fitting_name(it, name) || (it->plan.source == SOURCE_SETS && has_name(it, name)))
            continue;
        name.data = popoto__arena_copy(memory_of_names(it), name.data, name.size);
        if (name.data == NULL)
            return popoto__fail_memory(&it->db->why);
        it->names[it->name_count++] = name;
    }
    return POPOTO_OK;
}

/* The next page of candidates; `wanted` is how many rows are still asked for. */
static popoto_status next_page(reading *it, size_t wanted) {
    popoto_status status = POPOTO_OK;
    it->name_count = it->asked = 0;
    popoto__buffer_clear(&it->db->request);
    if (!it->keeps_names)
        popoto__arena_reset(&it->rows->names);
    if (it->ready != NULL) {
        status = take_ready(it);
    } else if (it->plan.source == SOURCE_KEY) {
        it->finished = true;
        if (!room_for_names(it, 1))
            return popoto__fail_memory(&it->db->why);
        char *name = popoto__arena_copy(memory_of_names(it), it->plan.key.data, it->plan.key.size);
        if (name == NULL)
            return popoto__fail_memory(&it->db->why);
        it->names[it->name_count++] = (popoto_text){ name, it->plan.key.size };
    } else if (it->plan.source == SOURCE_SORTED) {
        status = next_range(it, wanted);
        if (status == POPOTO_OK && it->plan.names_repeat &&
            !popoto__name_set_drop_met(&it->met, it->names, &it->name_count))
            status = popoto__fail_memory(&it->db->why);
    } else {
        status = next_set(it, wanted);
    }
    if (status != POPOTO_OK || !it->plan.check_scores || it->name_count <= FEW_RECORDS)
        return status;
    popoto__buffer_clear(&it->db->request);
    popoto__render_scores(it->plan.ranges[0].key, it->names, it->name_count, &it->db->request);
    return popoto__db_exchange(it->db, 1, false, NULL, take_scores, it);
}

/* ----- Records -------------------------------------------------------------------------------- */

static void take_field(void *context, size_t index, size_t place, reply_type type, const char *text,
                       size_t size) {
    reading *it = context;
    (void)index;
    popoto__rows_take(it->rows, &it->what, place, type, text, size);
}

static popoto_status take_record(void *context, size_t index, const reply *answer) {
    reading *it = context;
    popoto_text name = it->names[it->first + index];
    /* A foreign key in the record's place is a problem of that record; anything else is one of the call. */
    if (answer->type == REPLY_ERROR && !popoto__reply_is_error(answer, "WRONGTYPE"))
        return popoto__reply_failure(answer, "reading a record", &it->db->why);
    if (answer->type != REPLY_ERROR && answer->type != REPLY_ARRAY)
        return fail_reply(it, answer, "reading a record");
    if (answer->type == REPLY_ERROR && it->mistyped_count < MISTYPED_MOST) {
        it->mistyped[it->mistyped_count++] = name;
        return POPOTO_OK;
    }
    switch (popoto__rows_end(it->rows, &it->what, name, answer)) {
    case ROW_GONE:
        if (it->gone_count < MAX_CLEARED)
            it->gone[it->gone_count++] = name;
        return POPOTO_OK;
    case ROW_NO_MEMORY: return popoto__fail_memory(&it->db->why);
    default: return POPOTO_OK;
    }
}

static popoto_status take_cleared(void *context, size_t index, const reply *answer) {
    popoto_db *db = context;
    (void)index;
    if (popoto__reply_is_error(answer, "NOSCRIPT"))
        db->sha[SCRIPT_COMMIT][0] = '\0'; /* to be loaded when next needed */
    return POPOTO_OK;
}

/* Index entries of records that are gone (expired, mostly) go too, each if its record is still gone. A
 * failure is no matter: nobody asked for this, and the next reader tries again. */
static void clear_gone(reading *it, size_t range) {
    popoto_db *db = it->db;
    failure kept = db->why;
    size_t count = 0;
    popoto_text found_in = { NULL, 0 };
    if (it->plan.source == SOURCE_KEY || it->gone_count == 0)
        return;
    if (it->plan.source == SOURCE_SORTED)
        found_in = it->plan.ranges[range].key;
    if (db->sha[SCRIPT_COMMIT][0] == '\0' &&
        popoto__db_load_script(db, SCRIPT_COMMIT) != POPOTO_OK) {
        db->why = kept;
        return;
    }
    popoto__buffer_clear(&db->request);
    for (size_t i = 0; i < it->gone_count; i++) {
        plan removal;
        popoto__plan_init(&removal, &it->rows->memory);
        if (popoto__plan_forget(it->what.of, it->gone[i], found_in, &removal, &db->why) !=
            POPOTO_OK)
            break;
        popoto__plan_render_commit(&removal, popoto__db_script(db, SCRIPT_COMMIT), &db->request);
        count++;
    }
    (void)popoto__db_exchange(db, count, true, NULL, take_cleared, db);
    db->why = kept;
    /* The next page is counted from the entries that are left. */
    it->ties = it->ties > count ? it->ties - count : 0;
}

/* Fetch candidates first..first + count. */
static popoto_status fetch(reading *it, size_t range, size_t first, size_t count) {
    it->gone_count = it->mistyped_count = 0;
    it->first = first;
    popoto__buffer_clear(&it->db->request);
    popoto__render_fetches(it->what.of, &it->what, it->names + first, count, &it->db->request);
    if (!popoto__rows_expect(it->rows, count))
        return popoto__fail_memory(&it->db->why);
    popoto_status status = popoto__db_read_lists(it->db, count, take_field, take_record, it);
    if (status == POPOTO_OK && it->mistyped_count > 0)
        status = popoto__mistyped_records(it->db, it->what.of, it->rows, it->mistyped,
                                          it->mistyped_count);
    if (status == POPOTO_OK)
        clear_gone(it, range);
    return status;
}

/* How many more rows are wanted, with those that are still to be left out. */
static size_t wanted(const reading *it) {
    size_t all = it->what.limit;
    if (it->plan.sort_here || all > SIZE_MAX - it->what.offset)
        return SIZE_MAX;
    if (!it->skips_names)
        all += it->what.offset;
    return it->rows->count < all ? all - it->rows->count : 0;
}

static void skip_names(reading *it) {
    size_t count = it->skips_names ? least(it->skip, it->name_count) : 0;
    if (count == 0)
        return;
    it->skip -= count;
    it->name_count -= count;
    memmove(it->names, it->names + count, it->name_count * sizeof *it->names);
}

/* Of more candidates than rows are wanted only so many are fetched: the others come next, if some of
 * these are gone or do not fit. */
static popoto_status read_all(reading *it) {
    popoto_status status = POPOTO_OK;
    it->keeps_names = true;
    while (status == POPOTO_OK && !is_over(it) && wanted(it) > 0) {
        if (it->is_bare)
            start_again(it);
        size_t range = it->index, at = 0;
        if (it->finished) {
            status = next_tenant(it);
            continue;
        }
        size_t more = wanted(it) < SIZE_MAX - it->skip ? wanted(it) + it->skip : SIZE_MAX;
        status = next_page(it, more);
        skip_names(it);
        while (status == POPOTO_OK && at < it->name_count && wanted(it) > 0) {
            size_t count = least(least(wanted(it), it->name_count - at), FETCH);
            status = fetch(it, range, at, count);
            at += count;
        }
    }
    if (status == POPOTO_OK && it->plan.sort_here && !popoto__rows_sort(it->rows, &it->what))
        status = popoto__fail_memory(&it->db->why);
    if (status == POPOTO_OK)
        popoto__rows_cut(it->rows, &it->what, it->skips_names ? 0 : it->what.offset,
                         it->what.limit);
    return status;
}

/* ----- The calls ------------------------------------------------------------------------------ */

static popoto_status begin(popoto_db *db, const popoto_query_desc *desc, const model **of) {
    if (db != NULL && desc == NULL)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "a description of a query is needed");
    return popoto__db_begin(db, desc == NULL ? NULL : desc->model, of);
}

static popoto_status report_problems(popoto_db *db, const popoto_rows *rows) {
    if (rows->problem_count == 0)
        return POPOTO_OK;
    if (rows->problem_count == 1)
        return popoto__fail(&db->why, POPOTO_CORRUPT, "%.500s", rows->problems[0]);
    return popoto__fail(&db->why, POPOTO_CORRUPT,
                        "%zu stored records do not fit the model; the first: "
                        "%.400s",
                        rows->problem_count, rows->problems[0]);
}

popoto_status popoto_query(popoto_db *db, const popoto_query_desc *desc, popoto_rows **rows) {
    const model *of;
    reading it;
    if (rows == NULL)
        return popoto__db_needs(db, "a place for the rows");
    *rows = NULL;
    popoto_status status = begin(db, desc, &of);
    if (status != POPOTO_OK)
        return status;
    status = start_query(&it, db, desc, of);
    if (status == POPOTO_OK)
        status = read_all(&it);
    if (status == POPOTO_OK) {
        *rows = it.rows;
        status = report_problems(db, it.rows);
    } else {
        status = popoto__mistyped_index(db, &it.plan, status);
        popoto_rows_free(it.rows);
    }
    stop(&it);
    return status;
}

static popoto_status keep_one(popoto_db *db, popoto_status status, const char *what,
                              popoto_rows **rows) {
    popoto_status outcome = status;
    if (status == POPOTO_OK && popoto_rows_count(*rows) == 1)
        return POPOTO_OK;
    if (status == POPOTO_OK)
        outcome =
            popoto_rows_count(*rows) == 0
                ? popoto__fail(&db->why, POPOTO_NOT_FOUND, "no record of %s matches", what)
                : popoto__fail(&db->why, POPOTO_SEVERAL,
                               "more than one record of %s matches, and one is asked for", what);
    popoto_rows_free(*rows);
    *rows = NULL;
    return outcome;
}

popoto_status popoto_get(popoto_db *db, const popoto_query_desc *desc, popoto_rows **rows) {
    popoto_query_desc two;
    if (rows == NULL)
        return popoto__db_needs(db, "a place for the rows");
    *rows = NULL;
    if (desc == NULL || desc->model == NULL)
        return popoto_query(db, desc, rows);
    two = *desc;
    two.limit = 2;
    popoto_status status = popoto_query(db, &two, rows);
    return keep_one(db, status, desc->model->name, rows);
}

popoto_status popoto_load(popoto_db *db, const popoto_model *declared, const void *object,
                          popoto_rows **rows) {
    const model *of;
    popoto_value values[MODEL_MAX_FIELDS];
    reading it;
    if (rows == NULL)
        return popoto__db_needs(db, "a place for the rows");
    *rows = NULL;
    popoto_status status = popoto__db_begin(db, declared, &of);
    if (status == POPOTO_OK && object == NULL)
        status =
            popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "an object is needed, and NULL was given");
    if (status == POPOTO_OK)
        status = popoto__db_values(db, of, object, values);
    if (status != POPOTO_OK)
        return status;
    prepare(&it, db);
    status = popoto__query_of_key(db, of, values, &db->scratch, &it.what);
    if (status == POPOTO_OK)
        status = start(&it);
    if (status == POPOTO_OK)
        status = read_all(&it);
    if (status == POPOTO_OK) {
        *rows = it.rows;
        status = report_problems(db, it.rows);
        if (status == POPOTO_OK && it.rows->count == 0) {
            shown room;
            status = popoto__fail(&db->why, POPOTO_NOT_FOUND, "there is no %s",
                                  popoto__show(&room, it.plan.key.data, it.plan.key.size));
        }
        if (status != POPOTO_OK) {
            popoto_rows_free(it.rows);
            *rows = NULL;
        }
    } else {
        popoto_rows_free(it.rows);
    }
    stop(&it);
    return status;
}

/* A key must be one of the model's, and agree with the scopes of this thread. */
static popoto_status check_key(reading *it, popoto_text key) {
    placement where;
    shown room;
    if (key.data == NULL || !popoto__placement_of_key(it->what.of, key, it->what.memory, &where))
        return key.data != NULL && where.segments == NULL
                   ? popoto__fail_memory(&it->db->why)
                   : popoto__fail(&it->db->why, POPOTO_BAD_ARGUMENT, "%s is no key of %s",
                                  popoto__show(&room, key.data, key.size), it->what.of->name.data);
    for (size_t i = 0; i < it->what.condition_count; i++) {
        const condition *scoped = &it->what.conditions[i];
        popoto_text segment, *own = &where.segments[scoped->about->index];
        if (own->data == NULL)
            continue; /* no part of the key: the record will tell */
        popoto_status status = popoto__segment(it->what.of, scoped->about, &scoped->value,
                                               it->what.memory, &segment, &it->db->why);
        if (status != POPOTO_OK)
            return status;
        if (segment.size != own->size || memcmp(segment.data, own->data, own->size) != 0)
            return popoto__fail(&it->db->why, POPOTO_BAD_SCOPE,
                                "%s is outside the scope that this thread is in, of another %s",
                                popoto__show(&room, key.data, key.size), scoped->about->name);
    }
    return POPOTO_OK;
}

/* What is read is one tenant's, also where keys name it. */
static popoto_status check_one_tenant(reading *it, popoto_text one, popoto_text other) {
    shown room;
    popoto_text a = popoto__key_tenant(one), b = popoto__key_tenant(other);
    if (it->what.of->tenant == NULL || (a.size == b.size && memcmp(a.data, b.data, a.size) == 0))
        return POPOTO_OK;
    return popoto__fail(&it->db->why, POPOTO_BAD_ARGUMENT,
                        "the keys name two %s of %s: %s is not the first one's",
                        it->what.of->tenant->name, it->what.of->name.data,
                        popoto__show(&room, other.data, other.size));
}

static popoto_status take_names(reading *it, const popoto_text *keys, size_t count) {
    it->keeps_names = true;
    if (!room_for_names(it, count + 1))
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < count; i++) {
        popoto_status status = check_key(it, keys[i]);
        if (status == POPOTO_OK)
            status = check_one_tenant(it, keys[0], keys[i]);
        if (status != POPOTO_OK)
            return status;
        char *copy = popoto__arena_copy(memory_of_names(it), keys[i].data, keys[i].size);
        if (copy == NULL)
            return popoto__fail_memory(&it->db->why);
        it->names[it->name_count++] = (popoto_text){ copy, keys[i].size };
    }
    return POPOTO_OK;
}

popoto_status popoto_load_keys(popoto_db *db, const popoto_model *declared, const popoto_text *keys,
                               size_t count, popoto_rows **rows) {
    const model *of;
    reading it;
    popoto_query_desc desc = { .model = declared };
    if (rows == NULL)
        return POPOTO_BAD_ARGUMENT;
    *rows = NULL;
    popoto_status status = begin(db, &desc, &of);
    if (status == POPOTO_OK && keys == NULL && count > 0)
        status = popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "keys are needed, and NULL was given");
    if (status != POPOTO_OK)
        return status;
    prepare(&it, db);
    it.plan.source = SOURCE_KEY;
    it.rows = popoto__rows_new(db, of);
    status = it.rows == NULL ? popoto__fail_memory(&db->why)
                             : popoto__query_parse(db, of, &desc, &db->scratch, &it.what);
    if (status == POPOTO_OK)
        status = take_names(&it, keys, count);
    for (size_t at = 0; status == POPOTO_OK && at < count; at += FETCH)
        status = fetch(&it, 0, at, least(count - at, FETCH));
    if (status == POPOTO_OK) {
        *rows = it.rows;
        status = report_problems(db, it.rows);
    } else {
        popoto_rows_free(it.rows);
    }
    stop(&it);
    return status;
}

/* ----- Counting ------------------------------------------------------------------------------- */

typedef struct counting {
    reading *of;
    size_t total;
    popoto_status broken; /* POPOTO_CORRUPT: one of the indexes could not be counted */
} counting;

static popoto_status take_count(void *context, size_t index, const reply *answer) {
    counting *it = context;
    (void)index;
    if (popoto__reply_is_error(answer, "WRONGTYPE")) {
        it->broken = fail_reply(it->of, answer, "asking for the size of an index");
        return POPOTO_OK;
    }
    if (answer->type != REPLY_INTEGER || answer->integer < 0)
        return fail_reply(it->of, answer, "asking for the size of an index");
    it->total += (size_t)answer->integer;
    return POPOTO_OK;
}

/* The sizes of the indexes are the answer where these hold exactly the records that match, and none that
 * may have expired. */
static bool sizes_answer(const reading *it) {
    return it->plan.exact && !it->plan.names_matter && it->what.of->declared->time_to_live == 0;
}

static popoto_status count_sizes(reading *it, size_t *count) {
    counting answer = { .of = it, .broken = POPOTO_OK };
    read_plan asked = it->plan;
    if (asked.source == SOURCE_SORTED)
        asked.set_count = 0;
    else
        asked.range_count = 0;
    popoto__buffer_clear(&it->db->request);
    size_t commands = popoto__query_render_sizes(&asked, &it->db->request);
    popoto_status status =
        commands == 0 ? POPOTO_OK
                      : popoto__db_exchange(it->db, commands, false, NULL, take_count, &answer);
    *count = status == POPOTO_OK ? answer.total : 0;
    return status == POPOTO_OK ? answer.broken : status;
}

/* Read what the conditions need and the key, part by part. */
static popoto_status count_rows(reading *it, size_t *count) {
    popoto_status status = POPOTO_OK, broken = POPOTO_OK;
    size_t total = 0;
    while (status == POPOTO_OK && !it->finished) { /* of this tenant */
        size_t range = it->index, at = 0;
        status = next_page(it, SIZE_MAX);
        while (status == POPOTO_OK && at < it->name_count) {
            size_t part = least(it->name_count - at, FETCH);
            popoto__rows_reset(it->rows);
            status = fetch(it, range, at, part);
            total += it->rows->count;
            at += part;
            if (status == POPOTO_OK && report_problems(it->db, it->rows) != POPOTO_OK)
                broken = POPOTO_CORRUPT;
        }
    }
    *count = status == POPOTO_OK || status == POPOTO_CORRUPT ? total : 0;
    return status == POPOTO_OK ? broken : status;
}

popoto_status popoto_count(popoto_db *db, const popoto_query_desc *desc, size_t *count) {
    const model *of;
    reading it;
    popoto_query_desc plain;
    failure broken;
    broken.status = POPOTO_OK;
    if (count == NULL)
        return popoto__db_needs(db, "a place for the count");
    *count = 0;
    popoto_status status = begin(db, desc, &of);
    if (status != POPOTO_OK)
        return status;
    plain = *desc;
    plain.order_by = NULL;
    plain.limit = 0;
    plain.offset = 0;
    plain.fields = "";
    status = start_query(&it, db, &plain, of);
    while (status == POPOTO_OK && !is_over(&it)) {
        size_t part = 0;
        if (it.finished)
            status = next_tenant(&it);
        if (status == POPOTO_OK)
            status = sizes_answer(&it) ? count_sizes(&it, &part) : count_rows(&it, &part);
        status = popoto__mistyped_index(db, &it.plan, status);
        if (status == POPOTO_CORRUPT) { /* the others are counted all the same */
            broken = broken.status == POPOTO_OK ? db->why : broken;
            status = POPOTO_OK;
        }
        it.finished = true;
        *count += part;
    }
    if (status != POPOTO_OK)
        *count = 0;
    if (status == POPOTO_OK && broken.status != POPOTO_OK) {
        db->why = broken;
        status = broken.status;
    }
    popoto_rows_free(it.rows);
    stop(&it);
    return status;
}

/* ----- Streams -------------------------------------------------------------------------------- */

struct popoto_stream {
    reading it;
    arena memory;
    size_t at;         /* the next row of the page */
    size_t at_problem; /* and the next problem */
    size_t given;      /* rows handed out */
};

/* A stream outlives what its filters and its scopes point at. */
static popoto_status keep_values(reading *it, arena *memory) {
    for (size_t i = 0; i < it->what.condition_count; i++) {
        popoto_value *value = &it->what.conditions[i].value;
        if (!popoto__value_copy(memory, value, value))
            return popoto__fail_memory(&it->db->why);
    }
    return POPOTO_OK;
}

popoto_status popoto_stream_open(popoto_db *db, const popoto_query_desc *desc,
                                 popoto_stream **stream) {
    const model *of;
    if (stream == NULL)
        return popoto__db_needs(db, "a place for the stream");
    *stream = NULL;
    popoto_status status = begin(db, desc, &of);
    if (status != POPOTO_OK)
        return status;
    popoto_stream *it = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it);
    if (it == NULL)
        return popoto__fail_memory(&db->why);
    popoto__arena_init(&it->memory, &db->allocator);
    prepare(&it->it, db);
    it->it.page = STREAM_PAGE;
    status = popoto__query_parse(db, of, desc, &it->memory, &it->it.what);
    if (status == POPOTO_OK)
        status = keep_values(&it->it, &it->memory);
    if (status == POPOTO_OK)
        status = start(&it->it);
    if (status == POPOTO_OK)
        *stream = it;
    else
        popoto_stream_free(it);
    return status;
}

popoto_status popoto_stream_next(popoto_stream *stream, void **row) {
    if (row == NULL)
        return popoto__db_needs(stream == NULL ? NULL : stream->it.db, "a place for the row");
    *row = NULL;
    if (stream == NULL)
        return POPOTO_BAD_ARGUMENT;
    reading *it = &stream->it;
    popoto_rows *rows = it->rows;
    for (;;) {
        if (stream->at_problem < rows->problem_count)
            return popoto__fail(&it->db->why, POPOTO_CORRUPT, "%.500s",
                                rows->problems[stream->at_problem++]);
        if (stream->given >= it->what.limit)
            return POPOTO_OK;
        if (stream->at < rows->count) {
            size_t index = stream->at++;
            if (!it->skips_names && it->skip > 0) {
                it->skip--;
                continue;
            }
            stream->given++;
            *row = popoto_rows_at(rows, index);
            return POPOTO_OK;
        }
        if (is_over(it))
            return POPOTO_OK;
        if (it->finished) {
            popoto_status status = next_tenant(it);
            if (status != POPOTO_OK)
                return status;
            continue;
        }
        popoto__rows_reset(rows);
        stream->at = stream->at_problem = 0;
        size_t range = it->index;
        size_t more = it->skip < SIZE_MAX - STREAM_PAGE ? STREAM_PAGE + it->skip : SIZE_MAX;
        popoto_status status = next_page(it, more);
        skip_names(it);
        if (status == POPOTO_OK && it->name_count > 0)
            status = fetch(it, range, 0, it->name_count);
        if (status != POPOTO_OK)
            return popoto__mistyped_index(it->db, &it->plan, status);
    }
}

void popoto_stream_free(popoto_stream *stream) {
    if (stream == NULL)
        return;
    popoto_allocator allocator = stream->it.db->allocator;
    popoto_rows_free(stream->it.rows);
    stop(&stream->it);
    popoto__arena_free(&stream->memory);
    popoto__release(&allocator, stream);
}
