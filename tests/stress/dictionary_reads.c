/* dictionary_reads - wishes, which are queries that the dictionary understands too; the rows that must come of
 * them; and the reads themselves. */
#include "dictionary.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct wish {
    popoto_query_desc desc;
    popoto_value list[3], more[3];
    const char *group[3]; /* allowed; group[0] NULL: all */
    const char *room[3];
    bool has_low, has_high, has_scores, has_rank, has_note, note_null, has_name, has_prefix;
    double low, high;
    bool low_open, high_open;
    double score[3];
    int64_t rank_low, rank_high;
    const char *note, *name;
    int64_t num;
    bool has_num;
} wish;

static void add(wish *it, const char *lookup, popoto_value value) {
    size_t at = 0;
    while (it->desc.where[at].lookup != NULL)
        at++;
    it->desc.where[at] = (popoto_filter){ lookup, value };
}

static void wish_group(world *it, wish *out) {
    if (below(it, 2) || dictionary_kinds[it->kind].strict) {
        for (int i = 0; i < 3; i++)
            out->group[i] = dictionary_groups[below(it, 1) + below(it, COUNT(dictionary_groups))];
        out->group[1] = out->group[2] = out->group[0];
        add(out, "group", POPOTO_VALUE(out->group[0]));
        return;
    }
    for (int i = 0; i < 3; i++) {
        out->group[i] = dictionary_groups[below(it, COUNT(dictionary_groups))];
        out->list[i] = POPOTO_VALUE(out->group[i]);
    }
    if (below(it, 2)) {
        out->group[2] = out->group[1];
        out->list[2] = out->list[1];
    }
    add(out, "group__in", popoto_of_items(POPOTO_LIST, out->list, 3));
}

static void wish_room(world *it, wish *out) {
    for (int i = 0; i < 3; i++) {
        out->room[i] = dictionary_rooms[below(it, COUNT(dictionary_rooms) - 1)];
        out->more[i] = POPOTO_VALUE(out->room[i]);
    }
    if (below(it, 2)) {
        out->room[1] = out->room[2] = out->room[0];
        add(out, "room", POPOTO_VALUE(out->room[0]));
    } else {
        add(out, "room__in", popoto_of_items(POPOTO_LIST, out->more, 3));
    }
}

static void wish_score(world *it, wish *out) {
    static popoto_value values[3];
    unsigned a = below(it, COUNT(dictionary_scores)), b = below(it, COUNT(dictionary_scores));
    switch (below(it, 4)) {
    case 0:
        out->has_low = true;
        out->low = dictionary_scores[a];
        out->low_open = below(it, 2);
        add(out, out->low_open ? "score__gt" : "score__gte", POPOTO_VALUE(out->low));
        break;
    case 1:
        out->has_high = true;
        out->high = dictionary_scores[a];
        out->high_open = below(it, 2);
        add(out, out->high_open ? "score__lt" : "score__lte", POPOTO_VALUE(out->high));
        break;
    case 2:
        out->has_low = out->has_high = true;
        out->low = dictionary_scores[a];
        out->high = dictionary_scores[b];
        values[0] = POPOTO_VALUE(out->low);
        values[1] = POPOTO_VALUE(out->high);
        add(out, "score__between", popoto_of_items(POPOTO_LIST, values, 2));
        break;
    default:
        out->has_scores = true;
        for (int i = 0; i < 3; i++) {
            out->score[i] = dictionary_scores[below(it, COUNT(dictionary_scores))];
            values[i] = POPOTO_VALUE(out->score[i]);
        }
        add(out, "score__in", popoto_of_items(POPOTO_LIST, values, 3));
    }
}

static void make_wish(world *it, wish *out) {
    static const char *const lists[] = { NULL, NULL, NULL, "note", "rank,room", "" };
    static const char *const orders[] = {
        NULL, "score", "-score", "rank", "-rank", "note", "-note"
    };
    memset(out, 0, sizeof *out);
    out->desc.model = it->model;
    const char *order = out->desc.order_by = orders[below(it, COUNT(orders))];
    bool by_score = order != NULL && strstr(order, "score"),
         by_rank = order != NULL && strstr(order, "rank");
    bool score = below(it, 3) == 0, rank = below(it, 5) == 0;
    bool strict = dictionary_kinds[it->kind].strict;
    out->desc.all_tenants = strict && below(it, 4) == 0;
    strict = strict && !out->desc.all_tenants;
    if ((below(it, 3) == 0 && !out->desc.all_tenants) || strict ||
        ((score || by_score) && same_text(dictionary_kinds[it->kind].score_by, "group")))
        wish_group(it, out);
    bool room = below(it, 5) == 0 ||
                ((score || by_score) && same_text(dictionary_kinds[it->kind].score_by, "room")) ||
                ((rank || by_rank) && same_text(dictionary_kinds[it->kind].rank_by, "room"));
    if (room)
        wish_room(it, out);
    if (score)
        wish_score(it, out);
    if (rank) {
        out->has_rank = true;
        out->rank_low = dictionary_ranks[below(it, COUNT(dictionary_ranks))];
        out->rank_high = dictionary_ranks[below(it, COUNT(dictionary_ranks))];
        add(out, "rank__gte", POPOTO_VALUE(out->rank_low));
        add(out, "rank__lte", POPOTO_VALUE(out->rank_high));
    }
    if (below(it, 8) == 0) {
        out->has_note = true;
        out->note = dictionary_notes[1 + below(it, COUNT(dictionary_notes) - 1)];
        out->has_prefix = below(it, 2);
        add(out, out->has_prefix ? "note__startswith" : "note", POPOTO_VALUE(out->note));
    } else if (below(it, 8) == 0) {
        out->note_null = true;
        add(out, "note__isnull", POPOTO_VALUE((bool)true));
    }
    if (dictionary_kinds[it->kind].unique && below(it, 4) == 0) {
        out->has_name = true;
        out->name = dictionary_name(below(it, NAMES));
        add(out, "name", POPOTO_VALUE(out->name));
    }
    if (it->kind == NUM && below(it, 4) == 0) {
        out->has_num = true;
        out->num = below(it, NAMES);
        add(out, "num", POPOTO_VALUE(out->num));
    }
    out->desc.allow_scan = true;
    out->desc.fields = lists[below(it, COUNT(lists))];
    static const size_t limits[] = { 0, 0, 1, 2, 15, 63, 64, 65, 255, 256, 257, 1000, 1001 };
    out->desc.limit = limits[below(it, COUNT(limits))];
    if (below(it, 3) == 0)
        out->desc.offset = limits[below(it, COUNT(limits))];
}

static bool is_among(const char *const *list, const char *text) {
    return list[0] == NULL || same_text(list[0], text) || same_text(list[1], text) ||
           same_text(list[2], text);
}

static bool fulfils(const wish *it, const thing *one) {
    if (!is_among(it->group, one->group) || !is_among(it->room, one->room))
        return false;
    if (it->has_low && !(it->low_open ? one->score > it->low : one->score >= it->low))
        return false;
    if (it->has_high && !(it->high_open ? one->score < it->high : one->score <= it->high))
        return false;
    if (it->has_scores && one->score != it->score[0] && one->score != it->score[1] &&
        one->score != it->score[2])
        return false;
    if (it->has_rank && (one->rank < it->rank_low || one->rank > it->rank_high))
        return false;
    if (it->has_note &&
        (one->note == NULL || (it->has_prefix ? strncmp(one->note, it->note, strlen(it->note)) != 0
                                              : strcmp(one->note, it->note) != 0)))
        return false;
    if (it->note_null && one->note != NULL)
        return false;
    if (it->has_num && one->num != it->num)
        return false;
    return !it->has_name || strcmp(one->name, it->name) == 0;
}

typedef struct expected_row {
    const record *is;
    char key[96];
    const char *order;
} expected_row;

static int by_order(const void *a, const void *b) {
    const expected_row *x = a, *y = b;
    const char *order = x->order;
    bool down = order[0] == '-';
    int way = 0;
    if (strstr(order, "score"))
        way = (x->is->is.score > y->is->is.score) - (x->is->is.score < y->is->is.score);
    else if (strstr(order, "rank"))
        way = (x->is->is.rank > y->is->is.rank) - (x->is->is.rank < y->is->is.rank);
    else if (x->is->is.note == NULL || y->is->is.note == NULL)
        way = (x->is->is.note != NULL) - (y->is->is.note != NULL);
    else
        way = strcmp(x->is->is.note, y->is->is.note);
    if (way == 0)
        way = strcmp(x->key, y->key);
    return down ? -way : way;
}

static expected_row *expect(world *it, const wish *what, size_t *count) {
    static expected_row rows[MOST_RECORDS];
    *count = 0;
    for (size_t i = 0; i < it->count; i++) {
        if (!it->records[i].there || !fulfils(what, &it->records[i].is))
            continue;
        expected_row *one = &rows[(*count)++];
        one->is = &it->records[i];
        one->order = what->desc.order_by;
        dictionary_key_of(it->kind, &it->records[i].is, one->key, sizeof one->key);
    }
    if (what->desc.order_by != NULL)
        qsort(rows, *count, sizeof *rows, by_order);
    return rows;
}

bool dictionary_is_row(world *it, const thing *row, const record *is, const char *fields) {
    thing wanted = is->is;
    if (fields != NULL && strstr(fields, "note") == NULL)
        wanted.note = NULL;
    if (fields != NULL && strstr(fields, "rank") == NULL)
        wanted.rank = 0, wanted.room = NULL;
    if (fields != NULL)
        wanted.score = 0;
    return dictionary_same_key(it->kind, row, &is->is) && dictionary_same_rest(row, &wanted);
}

static void describe(const wish *what, char *out, size_t size) {
    size_t at = (size_t)snprintf(
        out, size,
        "query%s order %s limit %zu offset %zu:", what->desc.all_tenants ? " of all tenants" : "",
        what->desc.order_by ? what->desc.order_by : "-", what->desc.limit, what->desc.offset);
    for (size_t i = 0; i < POPOTO_MAX_WHERE && what->desc.where[i].lookup && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, " %s", what->desc.where[i].lookup);
}

/* One row of an answer, in its place; seen[] by record. */
static bool check_row(world *it, const wish *what, const expected_row *rows, size_t total,
                      size_t at, const thing *row, bool *seen) {
    if (what->desc.order_by != NULL) {
        size_t place = what->desc.offset + at;
        return place < total && dictionary_is_row(it, row, rows[place].is, what->desc.fields);
    }
    for (size_t i = 0; i < total; i++)
        if (!seen[i] && dictionary_is_row(it, row, rows[i].is, what->desc.fields))
            return seen[i] = true;
    return false;
}

/* A row of an answer is changed and saved, by the connection that found it or by another. */
static void change_row(world *it, int by, thing *row) {
    keeper one = { .it = *row, .saved = true, .was = *row, .home = by };
    record *is = dictionary_find(it, row);
    one.stored = is->stored;
    one.was.group = is->is.group, one.was.name = is->is.name, one.was.room = is->is.room;
    one.was.note = is->is.note;
    dictionary_change_rest(it, row);
    if (below(it, 3) == 0)
        dictionary_change_key(it, row);
    one.it = *row;
    one.it.room = row->room;
    int other = below(it, 2) ? by : (int)below(it, CONNECTIONS);
    /* Text that the row had before is in the rows' memory. */
    if (one.it.group != one.was.group && same_text(one.it.group, one.was.group))
        one.it.group = one.was.group;
    if (same_text(one.it.name, one.was.name))
        one.it.name = one.was.name;
    if (same_text(one.it.room, one.was.room))
        one.it.room = one.was.room;
    if (same_text(one.it.note, one.was.note))
        one.it.note = one.was.note;
    popoto_status wish_status = dictionary_foresee(it, &one, SAVE, other);
    const popoto_save_desc careful = { .if_unchanged = below(it, 2) };
    popoto_status is_status = popoto_save_with(it->db[other], it->model, row, &careful);
    if (dictionary_check(it, wish_status == is_status,
                         "a row that was changed:", popoto_error(it->db[other])) &&
        is_status == POPOTO_OK)
        dictionary_apply(it, &one, SAVE, other);
}

void dictionary_ask(world *it) {
    wish what;
    size_t total;
    char text[400];
    static bool seen[MOST_RECORDS];
    make_wish(it, &what);
    describe(&what, text, sizeof text);
    const expected_row *rows = expect(it, &what, &total);
    size_t left = total > what.desc.offset ? total - what.desc.offset : 0;
    size_t wanted = what.desc.limit != 0 && what.desc.limit < left ? what.desc.limit : left;
    memset(seen, 0, total * sizeof *seen);
    int by = dictionary_begin_call(it);
    popoto_db *db = it->db[by];
    size_t found = 0;
    popoto_status status = POPOTO_OK;
    bool right = true;
    if (below(it, 3) == 0) {
        popoto_stream *stream;
        status = popoto_stream_open(db, &what.desc, &stream);
        void *row = stream;
        while (status == POPOTO_OK && row != NULL && found <= wanted) {
            status = popoto_stream_next(stream, &row);
            if (status == POPOTO_OK && row != NULL)
                right = right && check_row(it, &what, rows, total, found++, row, seen);
        }
        popoto_stream_free(stream);
        if (status == POPOTO_BAD_QUERY && what.desc.order_by != NULL) {
            dictionary_end_call(it);
            return;
        }
    } else {
        popoto_rows *answer;
        status = popoto_query(db, &what.desc, &answer);
        found = popoto_rows_count(answer);
        for (size_t i = 0; i < found; i++)
            right = right && check_row(it, &what, rows, total, i, popoto_rows_at(answer, i), seen);
        for (size_t i = 0;
             i < found && i < 3 && right && it->weather == CALM && what.desc.fields == NULL; i++)
            change_row(it, by, popoto_rows_at(answer, i));
        popoto_rows_free(answer);
    }
    dictionary_end_call(it);
    it->statuses[status]++;
    it->rows += found;
    if (status != POPOTO_OK) {
        dictionary_check(it, dictionary_is_weather(it, status) && status != POPOTO_UNKNOWN_OUTCOME,
                         text, popoto_error(db));
        return;
    }
    dictionary_check(it, right, text, "a row is wrong, or out of its place");
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%zu rows, not %zu of %zu", found, wanted, total);
    dictionary_check(it, found == wanted, text, numbers);
}

void dictionary_count(world *it) {
    wish what;
    size_t total, is;
    char text[400], numbers[64];
    make_wish(it, &what);
    describe(&what, text, sizeof text);
    (void)expect(it, &what, &total);
    int by = dictionary_begin_call(it);
    popoto_status status = popoto_count(it->db[by], &what.desc, &is);
    dictionary_end_call(it);
    it->statuses[status]++;
    if (status != POPOTO_OK) {
        dictionary_check(it, dictionary_is_weather(it, status) && status != POPOTO_UNKNOWN_OUTCOME,
                         text, popoto_error(it->db[by]));
        return;
    }
    snprintf(numbers, sizeof numbers, "counted %zu, not %zu", is, total);
    dictionary_check(it, is == total, text, numbers);
}

void dictionary_load_keys(world *it) {
    enum {
        MOST = 600
    };
    static char texts[MOST][96];
    static popoto_text keys[MOST];
    static const record *wanted[MOST];
    size_t n = below(it, MOST), expected = 0;
    const char *group = dictionary_groups[below(it, COUNT(dictionary_groups))];
    if (it->count == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        const record *one = &it->records[below(it, (unsigned)it->count)];
        thing named = one->is;
        bool there = one->there;
        if (dictionary_kinds[it->kind].strict && !same_text(named.group, group)) {
            named.group = group;
            snprintf(named.id.text, sizeof named.id.text, "none");
            named.name = "none";
            there = false;
        }
        there = dictionary_find(it, &named) != NULL;
        dictionary_key_of(it->kind, &named, texts[i], sizeof texts[i]);
        keys[i] = (popoto_text){ texts[i], strlen(texts[i]) };
        if (there)
            wanted[expected++] = dictionary_find(it, &named);
    }
    int by = dictionary_begin_call(it);
    popoto_rows *rows;
    popoto_status status = popoto_load_keys(it->db[by], it->model, keys, n, &rows);
    dictionary_end_call(it);
    if (status != POPOTO_OK)
        dictionary_check(it, dictionary_is_weather(it, status) && status != POPOTO_UNKNOWN_OUTCOME,
                         "load_keys", popoto_error(it->db[by]));
    if (status == POPOTO_OK &&
        dictionary_check(it, popoto_rows_count(rows) == expected, "load_keys:", "other rows"))
        for (size_t i = 0; i < expected; i++)
            dictionary_check(it, dictionary_is_row(it, popoto_rows_at(rows, i), wanted[i], NULL),
                             "load_keys:", "a row is wrong");
    popoto_rows_free(rows);
}
