/* Reading: whatever is asked, by whichever index, the answer is what a plain loop over the same records
 * gives. Random queries against a model of two hundred records kept in an array. */
#include "databases.h"
#include "failing_allocator.h"
#include "index_checker.h"
#include "server.h"
#include "test_models.h"

#include <popoto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct thing {
    popoto_object object;
    const char *tag;
    int level;
    int64_t id;
    double score;
    int64_t rank;
    int32_t weight;
    popoto_day day;
    popoto_time time;
    const char *label;
    bool flag;
    const int64_t *maybe;
} thing;

static const popoto_field thing_fields[] = {
    POPOTO_KEY(thing, tag),
    POPOTO_KEY(thing, level),
    POPOTO_KEY(thing, id),
    POPOTO_SORTED(thing, score),
    POPOTO_SORTED(thing, rank, .partition_by = "tag"),
    POPOTO_SORTED(thing, weight, .partition_by = "tag,flag"),
    POPOTO_SORTED(thing, day),
    POPOTO_SORTED(thing, time),
    POPOTO_FIELD(thing, label, .null = true),
    POPOTO_FIELD(thing, flag),
    POPOTO_FIELD(thing, maybe, .null = true),
};
static const popoto_model Thing = POPOTO_MODEL("Thing", thing, thing_fields);

enum {
    TAG,
    LEVEL,
    ID,
    SCORE,
    RANK,
    WEIGHT,
    DAY,
    TIME,
    LABEL,
    FLAG,
    MAYBE,
    FIELDS
};

/* ----- the model ------------------------------------------------------------------------------ */

#define THINGS 200
static thing things[THINGS];
static popoto_text names[THINGS]; /* their keys, by which ties are ordered */
static int64_t numbers[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
static const char *const tags[] = { "a", "a:b", "*", "{x}", "{&#58;}", "/", "-", "" };
static const char *const labels[] = { NULL, "", "alpha", "alphabet", "beta", "al", "pha" };
static unsigned seed;

static unsigned random_below(unsigned limit) {
    seed = seed * 1103515245U + 12345U;
    return (seed >> 16) % limit;
}

static void make_things(popoto_db *db) {
    seed = 7;
    for (int i = 0; i < THINGS; i++) {
        things[i] = (thing){
            .tag = tags[random_below(8)],
            .level = (int)random_below(4) - 1,
            .id = i,
            .score = (double)random_below(20) / 4 - 1,
            .rank = random_below(10),
            .weight = (int32_t)random_below(6) - 3,
            .day = { 2024, (uint8_t)(1 + random_below(3)), (uint8_t)(1 + random_below(9)) },
            .time = { (int64_t)random_below(30) * 500000 - 4000000, (int)random_below(3) * 3600 },
            .label = labels[random_below(7)],
            .flag = random_below(2) == 0,
            .maybe = random_below(3) == 0 ? NULL : &numbers[random_below(8)],
        };
        assert_int_equal(POPOTO_OK, popoto_create(db, &Thing, &things[i]));
        assert_int_equal(POPOTO_OK, popoto_key(db, &Thing, &things[i], &names[i]));
    }
}

static void free_names(popoto_db *db) {
    for (int i = 0; i < THINGS; i++)
        popoto_free(db, names[i].data);
}

/* A field as a number or a text, so that a plain comparison does for all. */
typedef struct plain {
    bool null;
    bool is_text;
    double number;
    const char *text;
} plain;

static plain number_of(double number) {
    return (plain){ .number = number };
}

static plain field_of(const thing *it, int field) {
    switch (field) {
    case TAG: return (plain){ .is_text = true, .text = it->tag };
    case LEVEL: return number_of(it->level);
    case ID: return number_of((double)it->id);
    case SCORE: return number_of(it->score);
    case RANK: return number_of((double)it->rank);
    case WEIGHT: return number_of(it->weight);
    case DAY: return number_of(it->day.year * 400 + it->day.month * 32 + it->day.day);
    case TIME: return number_of((double)it->time.microseconds);
    case LABEL: return (plain){ .null = it->label == NULL, .is_text = true, .text = it->label };
    case FLAG: return number_of(it->flag);
    default:
        return (plain){ .null = it->maybe == NULL, .number = it->maybe ? (double)*it->maybe : 0 };
    }
}

static int compare(plain a, plain b) {
    if (a.null || b.null)
        return b.null - a.null; /* null first */
    if (a.is_text)
        return strcmp(a.text, b.text);
    return (a.number > b.number) - (a.number < b.number);
}

/* ----- random conditions ---------------------------------------------------------------------- */

enum {
    IS,
    IN,
    GT,
    GTE,
    LT,
    LTE,
    BETWEEN,
    ISNULL,
    STARTSWITH,
    ENDSWITH,
    CONTAINS,
    LOOKUPS
};
static const char *const words[] = { "",           "__in",      "__gt",
                                     "__gte",      "__lt",      "__lte",
                                     "__between",  "__isnull",  "__startswith",
                                     "__endswith", "__contains" };

typedef struct asked {
    int field, lookup;
    char text[40];
    thing from[3]; /* whose values are compared with: 1, 2 (between) or `count` (in) */
    unsigned count;
    bool truth;
    popoto_value items[3];
} asked;

static popoto_value value_of(const thing *it, int field) {
    switch (field) {
    case TAG: return popoto_of_text(it->tag);
    case LEVEL: return popoto_of_int(it->level);
    case ID: return popoto_of_int(it->id);
    case SCORE: return popoto_of_float(it->score);
    case RANK: return popoto_of_int(it->rank);
    case WEIGHT: return popoto_of_int(it->weight);
    case DAY: return popoto_of_day(it->day);
    case TIME: return popoto_of_time(it->time);
    case LABEL: return popoto_of_text(it->label ? it->label : "ph");
    case FLAG: return popoto_of_bool(it->flag);
    default: return popoto_of_int(it->maybe ? *it->maybe : 4);
    }
}

static plain asked_value(const asked *it, unsigned which) {
    thing whole = it->from[which];
    whole.label = whole.label ? whole.label : "ph";
    whole.maybe = whole.maybe ? whole.maybe : &numbers[4];
    return field_of(&whole, it->field);
}

static popoto_filter ask(asked *it) {
    bool is_text;
    do {
        it->field = (int)random_below(FIELDS);
        it->lookup = random_below(2) ? (int)random_below(2) : (int)random_below(LOOKUPS);
        is_text = it->field == TAG || it->field == LABEL;
    } while ((it->lookup >= STARTSWITH && !is_text) ||
             (it->field == FLAG && it->lookup >= GT && it->lookup <= BETWEEN));
    snprintf(it->text, sizeof(it->text), "%s%s", thing_fields[it->field].name, words[it->lookup]);
    it->count = it->lookup == IN ? random_below(4) : it->lookup == BETWEEN ? 2 : 1;
    for (unsigned i = 0; i < it->count; i++) {
        it->from[i] = things[random_below(THINGS)];
        it->items[i] = value_of(&it->from[i], it->field);
    }
    it->truth = random_below(2) == 0;
    popoto_filter made = { .lookup = it->text };
    if (it->lookup == IN || it->lookup == BETWEEN)
        made.value = popoto_of_items(POPOTO_LIST, it->items, it->count);
    else
        made.value = it->lookup == ISNULL ? popoto_of_bool(it->truth) : it->items[0];
    return made;
}

static bool text_holds(const asked *it, const char *text, const char *part) {
    size_t size = strlen(text), part_size = strlen(part);
    if (it->lookup == STARTSWITH)
        return strncmp(text, part, part_size) == 0;
    if (it->lookup == ENDSWITH)
        return size >= part_size && strcmp(text + size - part_size, part) == 0;
    return strstr(text, part) != NULL;
}

static bool holds(const asked *it, const thing *of) {
    plain value = field_of(of, it->field);
    if (it->lookup == ISNULL)
        return value.null == it->truth;
    if (value.null)
        return false;
    switch (it->lookup) {
    case IS: return compare(value, asked_value(it, 0)) == 0;
    case IN:
        for (unsigned i = 0; i < it->count; i++)
            if (compare(value, asked_value(it, i)) == 0)
                return true;
        return false;
    case GT: return compare(value, asked_value(it, 0)) > 0;
    case GTE: return compare(value, asked_value(it, 0)) >= 0;
    case LT: return compare(value, asked_value(it, 0)) < 0;
    case LTE: return compare(value, asked_value(it, 0)) <= 0;
    case BETWEEN:
        return compare(value, asked_value(it, 0)) >= 0 && compare(value, asked_value(it, 1)) <= 0;
    default: return text_holds(it, value.text, asked_value(it, 0).text);
    }
}

/* ----- the plain loop ------------------------------------------------------------------------- */

typedef struct answer {
    int items[THINGS];
    size_t count;
} answer;

static int order_field;

static int by_order(const void *left, const void *right) {
    int a = *(const int *)left, b = *(const int *)right;
    int result = compare(field_of(&things[a], order_field), field_of(&things[b], order_field));
    if (result != 0)
        return result;
    size_t size = names[a].size < names[b].size ? names[a].size : names[b].size;
    result = memcmp(names[a].data, names[b].data, size);
    return result != 0 ? result : (names[a].size > names[b].size) - (names[a].size < names[b].size);
}

static answer loop(const asked *conditions, unsigned count, int order, bool descending) {
    answer it = { .count = 0 };
    for (int i = 0; i < THINGS; i++) {
        bool fits = true;
        for (unsigned k = 0; k < count; k++)
            fits = fits && holds(&conditions[k], &things[i]);
        if (fits)
            it.items[it.count++] = i;
    }
    if (order < 0)
        return it;
    order_field = order;
    qsort(it.items, it.count, sizeof(int), by_order);
    for (size_t i = 0; descending && i < it.count / 2; i++) {
        int swapped = it.items[i];
        it.items[i] = it.items[it.count - 1 - i];
        it.items[it.count - 1 - i] = swapped;
    }
    return it;
}

static void show_query(const popoto_query_desc *desc, const asked *conditions, unsigned count) {
    fprintf(stderr, "asked, ordered by %s, limit %zu, offset %zu:",
            desc->order_by ? desc->order_by : "nothing", desc->limit, desc->offset);
    for (unsigned i = 0; i < count; i++) {
        fprintf(stderr, " %s", conditions[i].text);
        for (unsigned k = 0; k < conditions[i].count; k++) {
            plain value = asked_value(&conditions[i], k);
            if (value.is_text)
                fprintf(stderr, " '%s'", value.text);
            else
                fprintf(stderr, " %g", value.number);
        }
    }
    fprintf(stderr, "\n");
}

static bool same_thing(const thing *a, const thing *b) {
    for (int field = 0; field < FIELDS; field++)
        if (compare(field_of(a, field), field_of(b, field)) != 0)
            return false;
    return a->time.offset == b->time.offset;
}

/* Rows without an order are found by their id; each once. */
static bool rows_fit(popoto_rows *rows, const popoto_query_desc *desc, const answer *right) {
    size_t after = right->count > desc->offset ? right->count - desc->offset : 0;
    size_t wanted = desc->limit != 0 && desc->limit < after ? desc->limit : after;
    bool seen[THINGS] = { false };
    if (popoto_rows_count(rows) != wanted)
        return false;
    for (size_t i = 0; i < wanted; i++) {
        const thing *row = popoto_rows_at(rows, i);
        bool matches = false;
        for (size_t k = 0; k < right->count; k++)
            matches = matches || right->items[k] == row->id;
        if (!matches || seen[row->id] || !same_thing(row, &things[row->id]))
            return false;
        if (desc->order_by != NULL && right->items[desc->offset + i] != row->id)
            return false;
        seen[row->id] = true;
    }
    return true;
}

/* A partitioned range needs its partition named (that is a mistake of the random query), unless the
 * whole key is; so does a partitioned order that no other index drives. */
static bool partition_is_missing(const asked *conditions, unsigned count, int order) {
    bool by_tag = false, by_flag = false, ranked = order == RANK, weighed = order == WEIGHT;
    bool keyed[FIELDS] = { false };
    for (unsigned i = 0; i < count; i++)
        keyed[conditions[i].field] = keyed[conditions[i].field] || conditions[i].lookup == IS;
    if (keyed[TAG] && keyed[LEVEL] && keyed[ID])
        return false;
    for (unsigned i = 0; i < count; i++) {
        bool exact = conditions[i].lookup == IS || conditions[i].lookup == IN;
        by_tag = by_tag || (conditions[i].field == TAG && exact);
        by_flag = by_flag || (conditions[i].field == FLAG && exact);
        ranked = ranked || (conditions[i].field == RANK && conditions[i].lookup <= BETWEEN);
        weighed = weighed || (conditions[i].field == WEIGHT && conditions[i].lookup <= BETWEEN);
    }
    return (ranked && !by_tag) || (weighed && !(by_tag && by_flag));
}

static bool stream_fits(popoto_db *db, const popoto_query_desc *desc, const answer *right) {
    popoto_stream *stream;
    popoto_status status = popoto_stream_open(db, desc, &stream);
    size_t after = right->count > desc->offset ? right->count - desc->offset : 0;
    size_t wanted = desc->limit != 0 && desc->limit < after ? desc->limit : after;
    bool seen[THINGS] = { false };
    size_t count = 0;
    if (status == POPOTO_BAD_QUERY) /* that order needs all rows in memory */
        return desc->order_by != NULL && strstr(popoto_error(db), "a stream of Thing") != NULL;
    for (;; count++) {
        void *row;
        if (popoto_stream_next(stream, &row) != POPOTO_OK)
            break;
        const thing *it = row;
        if (it == NULL || count == wanted || seen[it->id] || !same_thing(it, &things[it->id]) ||
            (desc->order_by != NULL && right->items[desc->offset + count] != it->id)) {
            count += it == NULL ? 0 : THINGS;
            break;
        }
        seen[it->id] = true;
    }
    popoto_stream_free(stream);
    return count == wanted;
}

static void ask_at_random(popoto_db *db, unsigned rounds) {
    unsigned answered = 0;
    for (unsigned round = 0; round < rounds; round++) {
        asked conditions[3];
        char order[20];
        unsigned count = random_below(4);
        popoto_query_desc desc = { .model = &Thing, .allow_scan = true };
        for (unsigned i = 0; i < count; i++)
            desc.where[i] = ask(&conditions[i]);
        int order_by = random_below(2) ? -1 : (int)random_below(FIELDS);
        bool descending = random_below(2) == 0;
        if (order_by >= 0) {
            snprintf(order, sizeof(order), "%s%s", descending ? "-" : "",
                     thing_fields[order_by].name);
            desc.order_by = order;
        }
        desc.limit = random_below(3) ? 0 : 1 + random_below(30);
        desc.offset = random_below(3) ? 0 : random_below(20);
        popoto_rows *rows;
        size_t counted;
        popoto_status status = popoto_query(db, &desc, &rows);
        if (status == POPOTO_BAD_QUERY && strstr(popoto_error(db), "is partitioned by") != NULL) {
            assert_true(partition_is_missing(conditions, count, order_by));
            continue;
        }
        assert_false(partition_is_missing(conditions, count, -1));
        answered++;
        answer right = loop(conditions, count, order_by, descending);
        bool fits = status == POPOTO_OK && rows_fit(rows, &desc, &right);
        popoto_rows_free(rows);
        if (!fits) {
            show_query(&desc, conditions, count);
            fail_msg("round %u: %s, %s; %zu records match", round, popoto_status_name(status),
                     status == POPOTO_OK ? "other rows than they should be" : popoto_error(db),
                     right.count);
        }
        status = popoto_count(db, &desc, &counted);
        if (status != POPOTO_OK || counted != right.count) {
            show_query(&desc, conditions, count);
            fail_msg("round %u: %s, counted %zu of %zu", round, popoto_status_name(status), counted,
                     right.count);
        }
        if (!stream_fits(db, &desc, &right)) {
            show_query(&desc, conditions, count);
            fail_msg("round %u: the stream gives other rows than the query", round);
        }
    }
    assert_true(answered > rounds / 2);
}

static void test_every_query_answers_what_a_loop_over_the_records_does(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    make_things(db);
    assert_indexes_match(s, &Thing);
    seed = 20240801;
    ask_at_random(db, 2000);
    assert_indexes_match(s, &Thing);
    free_names(db);
    popoto_close(db);
    server_flush(s);
}

/* Those are cleared away between the pages of a query, which must not move the others out of its sight. */
static void test_expired_records_among_ties_hide_no_other(void **state) {
    server *s = *state;
    enum {
        ALL = 200,
        LIVING = 20
    };
    static const popoto_model Lasting =
        POPOTO_MODEL("Session", session, session_fields, .time_to_live = 1000);
    static const char *const orders[] = { "seen", "-seen" };
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (int turn = 0; turn < 4; turn++) {
        char users[ALL][8];
        for (int i = 0; i < ALL; i++) {
            snprintf(users[i], sizeof users[i], "u%03d", i);
            session it = { .site = "x", .user = users[i], .seen = 1 };
            assert_int_equal(POPOTO_OK, popoto_create(db, &Lasting, &it));
            if (i % 10 != 9)
                assert_string_equal("1", server_command(s, "DEL Session:x:%s", users[i]));
        }
        popoto_query_desc desc = { .model = &Lasting,
                                   .where = { POPOTO_IS("site", "x") },
                                   .order_by = orders[turn % 2],
                                   .limit = turn < 2 ? 5 : LIVING };
        popoto_rows *rows;
        assert_int_equal(POPOTO_OK, popoto_query(db, &desc, &rows));
        assert_int_equal(desc.limit, popoto_rows_count(rows));
        for (size_t i = 0; i < popoto_rows_count(rows); i++) {
            const session *row = popoto_rows_at(rows, i);
            size_t place = turn % 2 == 0 ? i : LIVING - 1 - i;
            assert_string_equal(users[10 * place + 9], row->user);
        }
        popoto_rows_free(rows);
        server_flush(s);
    }
    popoto_close(db);
}

/* Its entry in the partition that it expired in is still there when it comes again in another. */
static void test_a_record_that_is_met_in_two_partitions_comes_once(void **state) {
    server *s = *state;
    static const popoto_field fields[] = {
        POPOTO_KEY(session, user),
        POPOTO_FIELD(session, site),
        POPOTO_SORTED(session, seen, .partition_by = "site"),
    };
    static const popoto_model Moving =
        POPOTO_MODEL("Moving", session, fields, .time_to_live = 1000);
    enum {
        ALL = 300
    };
    popoto_db *db = popoto_open(server_url(s), NULL);
    char users[ALL][8];
    for (int i = 0; i < ALL; i++) {
        snprintf(users[i], sizeof users[i], "u%03d", i);
        session first = { .site = "a", .user = users[i], .seen = i };
        session again = { .site = "b", .user = users[i], .seen = i };
        assert_int_equal(POPOTO_OK, popoto_create(db, &Moving, &first));
        assert_string_equal("1", server_command(s, "DEL Moving:%s", users[i]));
        assert_int_equal(POPOTO_OK, popoto_create(db, &Moving, &again));
    }
    popoto_query_desc desc = { .model = &Moving,
                               .where = { POPOTO_IS("site__in", POPOTO_LIST("a", "b")),
                                          POPOTO_IS("seen__gte", 0) } };
    for (size_t limit = 0; limit <= 2 * ALL; limit += ALL / 2) {
        popoto_rows *rows;
        size_t count = 0;
        bool seen[ALL] = { false };
        desc.limit = limit;
        desc.order_by = limit == ALL ? "seen" : NULL;
        assert_int_equal(POPOTO_OK, popoto_query(db, &desc, &rows));
        assert_int_equal(limit == 0 || limit > ALL ? ALL : limit, popoto_rows_count(rows));
        for (size_t i = 0; i < popoto_rows_count(rows); i++) {
            const session *row = popoto_rows_at(rows, i);
            assert_false(seen[row->seen]);
            seen[row->seen] = true;
        }
        popoto_rows_free(rows);
        assert_int_equal(POPOTO_OK, popoto_count(db, &desc, &count));
        assert_int_equal(ALL, count);
    }
    popoto_close(db);
    server_flush(s);
}

static void test_no_tie_is_left_out_for_lack_of_memory(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    char users[30][8];
    for (int i = 0; i < 30; i++) {
        snprintf(users[i], sizeof users[i], "u%03d", i);
        session it = { .site = "x", .user = users[i], .seen = i / 5 };
        assert_int_equal(POPOTO_OK, popoto_create(db, &Session, &it));
        server_command(s, "PERSIST Session:x:%s", users[i]);
    }
    popoto_close(db);
    popoto_query_desc desc = {
        .model = &Session, .where = { POPOTO_IS("site", "x") }, .order_by = "-seen", .limit = 10
    };
    failing_allocator memory;
    for (size_t n = 1;; n++) {
        popoto_rows *rows;
        db = opened_to_fail(s, &memory, n);
        popoto_status status = popoto_query(db, &desc, &rows);
        assert_true(status == POPOTO_OK || status == POPOTO_NO_MEMORY);
        for (size_t i = 0; status == POPOTO_OK && i < 10; i++) {
            const session *row = popoto_rows_at(rows, i);
            assert_non_null(row);
            assert_string_equal(users[29 - i], row->user);
        }
        popoto_rows_free(rows);
        if (!closed_after_failure(db, &memory))
            break;
    }
    server_flush(s);
}

/* An offset that the server counts, then a record that does not fit: the page after it must get on. */
static void test_ties_behind_an_offset_do_not_stop_a_query(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (int i = 10; i < 60; i++) {
        trade it = { .number = i, .exchange = "nyse", .symbol = "ibm", .volume = 1 };
        assert_int_equal(POPOTO_OK, popoto_create(db, &Trade, &it));
    }
    server_command(s, "HSET Trade:33 note %b", "\xc1", (size_t)1);
    server_command(s, "HSET Trade:34 note %b", "\xc1", (size_t)1);
    popoto_rows *rows;
    popoto_query_desc desc = { .model = &Trade, .order_by = "volume", .offset = 20, .limit = 10 };
    assert_int_equal(POPOTO_CORRUPT, popoto_query(db, &desc, &rows));
    assert_int_equal(10, popoto_rows_count(rows));
    assert_int_equal(2, popoto_rows_problem_count(rows));
    for (int i = 0; i < 10; i++)
        assert_int_equal(30 + i + (i >= 3 ? 2 : 0),
                         ((trade *)popoto_rows_at(rows, (size_t)i))->number);
    popoto_rows_free(rows);
    popoto_close(db);
    server_flush(s);
}

/* Scores are printed by the server for none but who goes on from them: records that expired, and a longer range. */
static void test_a_limit_asks_for_no_scores_that_nobody_needs(void **state) {
    static const struct {
        size_t offset, limit;
        int damaged; /* a record that is none */
        bool scores;
    } cases[] = { { 0, 10, -1, false }, { 5, 10, -1, false }, { 45, 10, -1, false },
                  { 0, 0, -1, false },  { 0, 10, 3, true },   { 5, 10, 7, true },
                  { 5, 10, 3, false } };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    server_command(s, "CONFIG SET slowlog-log-slower-than 0");
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (int i = 0; i < 50; i++) {
            trade it = { .number = i, .exchange = "nyse", .symbol = "ibm", .volume = i };
            assert_int_equal(POPOTO_OK, popoto_create(db, &Trade, &it));
        }
        if (cases[c].damaged >= 0)
            server_command(s, "HSET Trade:%d note %b", cases[c].damaged, "\xc1", (size_t)1);
        server_command(s, "SLOWLOG RESET");
        popoto_rows *rows;
        popoto_query_desc desc = { .model = &Trade,
                                   .order_by = "volume",
                                   .offset = cases[c].offset,
                                   .limit = cases[c].limit };
        assert_int_equal(cases[c].scores ? POPOTO_CORRUPT : POPOTO_OK,
                         popoto_query(db, &desc, &rows));
        size_t wanted = cases[c].limit == 0 ? 50 : cases[c].limit, left = 50 - cases[c].offset;
        assert_int_equal(wanted < left ? wanted : left, popoto_rows_count(rows));
        assert_int_equal(cases[c].scores, popoto_rows_problem_count(rows));
        popoto_rows_free(rows);
        const char *log = server_command(s, "SLOWLOG GET -1");
        assert_non_null(strstr(log, "ZRANGEBYSCORE"));
        assert_int_equal(cases[c].scores, strstr(log, "WITHSCORES") != NULL);
        server_flush(s);
    }
    server_command(s, "CONFIG SET slowlog-log-slower-than 10000");
    popoto_close(db);
}

/* What was read without scores is read again with them, in each of two partitions. */
static void test_a_limit_over_two_partitions_starts_again(void **state) {
    static const char *const exchanges[] = { "lse", "nyse" };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    for (int i = 0; i < 20; i++) {
        trade it = { .number = i, .exchange = exchanges[i % 2], .symbol = "ibm", .price = i };
        assert_int_equal(POPOTO_OK, popoto_create(db, &Trade, &it));
    }
    server_command(s, "HSET Trade:3 note %b", "\xc1", (size_t)1);
    popoto_query_desc desc = { .model = &Trade,
                               .where = { POPOTO_IS("exchange__in", POPOTO_LIST("lse", "nyse")),
                                          POPOTO_IS("symbol", "ibm"), POPOTO_IS("price__gte", 0) },
                               .limit = 15 };
    assert_int_equal(POPOTO_CORRUPT, popoto_query(db, &desc, &rows));
    assert_int_equal(15, popoto_rows_count(rows));
    popoto_rows_free(rows);
    popoto_close(db);
    server_flush(s);
}

/* Exactly what is in the index, in its order, from both ends. */
static void assert_all_in_order(popoto_db *db, int count) {
    for (int backwards = 0; backwards < 2; backwards++)
        for (int offset = 0; offset < 8; offset += 7) {
            popoto_rows *rows;
            popoto_query_desc desc = { .model = &Trade,
                                       .where = { POPOTO_IS("volume__gte", 0) },
                                       .order_by = backwards ? "-volume" : "volume",
                                       .offset = (size_t)offset };
            assert_int_equal(POPOTO_OK, popoto_query(db, &desc, &rows));
            assert_int_equal(count - offset, popoto_rows_count(rows));
            for (int i = 0; i < count - offset; i++) {
                const trade *it = popoto_rows_at(rows, (size_t)i);
                assert_int_equal(backwards ? count - 1 - offset - i : offset + i, it->number);
            }
            popoto_rows_free(rows);
        }
}

/* A page of a range has 8192 entries: around that, a query without a limit goes another way. */
static void test_a_range_of_about_a_page_comes_whole_and_in_order(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    static trade all[8194];
    static void *pointers[8194];
    for (int i = 0; i < 8194; i++) {
        all[i] = (trade){ .number = i, .exchange = "nyse", .symbol = "ibm", .volume = i };
        pointers[i] = &all[i];
    }
    assert_int_equal(POPOTO_OK, popoto_create_many(db, &Trade, pointers, 8191, NULL));
    for (int count = 8191; count < 8194; count++) {
        assert_all_in_order(db, count);
        assert_int_equal(POPOTO_OK, popoto_create(db, &Trade, &all[count]));
    }
    assert_all_in_order(db, 8194);
    popoto_close(db);
    server_flush(s);
}

/* ----- two indexes that would do ---------------------------------------------------------------- */

/* Tag i has amounts[i] records of 1,000, spread over all scores. What is asked to choose between the set and
 * the range brings names along, and these may be all of either, some, or none. */
static const size_t amounts[] = { 0, 1, 15, 16, 17, 32, 33, 64, 150, 672 };
#define AMOUNTS (sizeof(amounts) / sizeof(*amounts))
#define CHOICES 1000

static thing choices[CHOICES];

static void make_choices(popoto_db *db) {
    static const char *const choice_tags[AMOUNTS] = { "0", "1", "2", "3", "4",
                                                      "5", "6", "7", "8", "9" };
    void *pointers[CHOICES];
    size_t left[AMOUNTS], tag = 0;
    memcpy(left, amounts, sizeof left);
    for (size_t i = 0; i < CHOICES; i++) {
        do
            tag = (tag + 1) % AMOUNTS;
        while (left[tag] == 0);
        left[tag]--;
        choices[i] = (thing){ .tag = choice_tags[tag],
                              .id = (int64_t)i,
                              .score = (double)(i * 7 % CHOICES),
                              .day = { 2020, 1, 1 } };
        pointers[i] = &choices[i];
    }
    assert_int_equal(POPOTO_OK, popoto_create_many(db, &Thing, pointers, CHOICES, NULL));
}

static popoto_status ask_choice(popoto_db *db, const char *tag, double low, double high,
                                const char *order, size_t limit, popoto_rows **rows) {
    return popoto_query(
        db,
        &(popoto_query_desc){
            .model = &Thing,
            .where = { POPOTO_IS("tag", tag), POPOTO_IS("score__between", POPOTO_LIST(low, high)) },
            .order_by = order,
            .limit = limit,
        },
        rows);
}

static void check_choice(popoto_db *db, size_t which, double low, double high, const char *order,
                         size_t limit) {
    char tag[2] = { (char)('0' + which), '\0' };
    popoto_rows *rows;
    size_t expected = 0;
    double last = order != NULL && order[0] == '-' ? high : low;
    for (size_t i = 0; i < CHOICES; i++)
        expected +=
            choices[i].tag[0] == tag[0] && choices[i].score >= low && choices[i].score <= high;
    if (limit > 0 && limit < expected)
        expected = limit;
    assert_int_equal(POPOTO_OK, ask_choice(db, tag, low, high, order, limit, &rows));
    assert_int_equal(expected, popoto_rows_count(rows));
    for (size_t i = 0; i < expected; i++) {
        const thing *one = popoto_rows_at(rows, i);
        assert_string_equal(tag, one->tag);
        assert_true(one->score >= low && one->score <= high);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(one->id, ((const thing *)popoto_rows_at(rows, k))->id);
        if (order == NULL)
            continue;
        assert_true(order[0] == '-' ? one->score <= last : one->score >= last);
        last = one->score;
    }
    popoto_rows_free(rows);
}

static void test_what_comes_with_the_sizes_is_as_good(void **state) {
    static const double widths[] = { 0, 5, 62, 63, 64, 200, CHOICES };
    static const char *const orders[] = { NULL, "score", "-score" };
    static const size_t limits[] = { 0, 1, 20 };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    make_choices(db);
    for (size_t tag = 0; tag < AMOUNTS; tag++)
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
            for (size_t o = 0; o < 3; o++)
                for (size_t l = 0; l < 3; l++)
                    check_choice(db, tag, 100, 100 + widths[i], orders[o], limits[l]);
    popoto_close(db);
    for (size_t n = 1;; n++) { /* without memory for one thing or the other */
        failing_allocator memory;
        popoto_rows *rows = NULL;
        failing_allocator_init(&memory, n);
        db = popoto_open(server_url(s), &(popoto_options){ .allocator = memory.allocator });
        bool open = db != NULL && popoto_error_status(db) == POPOTO_OK;
        popoto_status status =
            open ? ask_choice(db, "2", 0, CHOICES, NULL, 0, &rows) : POPOTO_NO_MEMORY;
        popoto_rows_free(rows);
        rows = NULL;
        if (open && status == POPOTO_OK)
            status = ask_choice(db, "9", 100, 120, "score", 0, &rows) == POPOTO_OK
                         ? status
                         : POPOTO_NO_MEMORY;
        popoto_close(db);
        popoto_rows_free(rows);
        assert_int_equal(0, memory.live_blocks);
        /* Names for which there was no room are asked for again. */
        assert_true(status == POPOTO_OK || (memory.failed && status == POPOTO_NO_MEMORY));
        if (!memory.failed)
            break;
    }
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_what_comes_with_the_sizes_is_as_good),
        server_test(test_a_range_of_about_a_page_comes_whole_and_in_order),
        server_test(test_a_limit_asks_for_no_scores_that_nobody_needs),
        server_test(test_a_limit_over_two_partitions_starts_again),
        server_test(test_expired_records_among_ties_hide_no_other),
        server_test(test_a_record_that_is_met_in_two_partitions_comes_once),
        server_test(test_no_tie_is_left_out_for_lack_of_memory),
        server_test(test_ties_behind_an_offset_do_not_stop_a_query),
        server_test(test_every_query_answers_what_a_loop_over_the_records_does),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
