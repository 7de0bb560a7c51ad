/* cases - each operation of the library beside the rivals', on the same server, first checked for being
 * the same work and then timed in turns. See bench.h and harness.h. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENANT       "project-0007"
#define MOST_IN_PART ((size_t)10000)

static const char *const hiredis_multi = "hiredis, MULTI and EXEC";
static const char *const hiredis_pipelined = "hiredis, pipelined, not atomic";
static const char *const hiredis_grouped = "hiredis, pipelined and grouped";
static const char *const hiredis_script = "hiredis, a script for this model";
static const char *const hiredis_getall = "hiredis, HGETALL into structs";
static const char *const hiredis_get = "hiredis, HMGET, ids from the names";
static const char *const hiredis_same = "hiredis, the same script";
static const char *const popoto_1_10 = "Popoto 1.10.1";

/* What the sides of the cases work on. */
typedef struct work {
    bench *of;
    episode *fresh;      /* MOST_IN_PART records to be created */
    void **pointers;     /* to them */
    size_t number;       /* of the next record that ours creates */
    size_t their_number; /* that theirs creates */
    popoto_rows *rows;   /* our loaded records */
    episode *copies;     /* the rival's */
    size_t row_count;
    size_t at, their_at; /* the next of them */
    double low;          /* of a query */
    size_t matches;      /* of it */
    memory_record *memories, *their_memories;
    void **their_pointers;
    popoto_signal *signals;
    popoto_confidence *entries;
    double server_share[2][MOST_ROUNDS]; /* ours, theirs */
} work;

static work the;

static void *zeroed(size_t count, size_t size) {
    void *made = calloc(count, size);
    if (made == NULL)
        give_up("no memory");
    return made;
}

/* ----- create --------------------------------------------------------------------------------- */

static void flush_ours(void *context) {
    work *it = context;
    database_flush(it->of->admin, OUR_DATABASE);
    it->number = 0;
}

static void flush_theirs(void *context) {
    work *it = context;
    database_flush(it->of->admin, HAND_DATABASE);
    it->their_number = 0;
}

static void flush_popoto(void *context) {
    work *it = context;
    database_flush(it->of->admin, POPOTO_DATABASE);
    python_ask(it->of->popoto, "flush");
}

static void create_one_ours(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++) {
        episode one;
        data_episode(&one, TENANT, it->number++);
        must(it->of->ours, popoto_create(it->of->ours, &Episode, &one), "popoto_create");
    }
}

static void create_one_theirs(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++) {
        episode one;
        data_episode(&one, TENANT, it->their_number++);
        hand_create(it->of->theirs, &one);
    }
}

static void create_one_popoto(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    python_ask(it->of->popoto, "create_one %zu " TENANT, count);
}

static void fill(work *it, size_t count, size_t *number) {
    for (size_t i = 0; i < count; i++)
        data_episode(&it->fresh[i], TENANT, (*number)++);
}

static void create_many_ours(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    fill(it, count, &it->number);
    must(it->of->ours, popoto_create_many(it->of->ours, &Episode, it->pointers, count, NULL),
         "popoto_create_many");
}

static void create_many_theirs(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    fill(it, count, &it->their_number);
    hand_create_many(it->of->theirs, (episode *const *)it->pointers, count);
}

static void create_grouped_theirs(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    fill(it, count, &it->their_number);
    hand_create_grouped(it->of->theirs, (episode *const *)it->pointers, count);
}

static void create_many_popoto(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    python_ask(it->of->popoto, "create_many %zu " TENANT, count);
}

/* Both sides make `count` records of one kind, and the databases are compared. */
static void check_create(work *it, void (*ours)(void *, size_t, size_t),
                         void (*theirs)(void *, size_t, size_t), size_t count, const char *what) {
    size_t keys, their_keys;
    flush_ours(it);
    flush_theirs(it);
    ours(it, 0, count);
    theirs(it, 0, count);
    harness_check(database_same(it->of->admin, OUR_DATABASE, HAND_DATABASE), what);
    database_bytes(it->of->admin, OUR_DATABASE, &keys);
    database_bytes(it->of->admin, HAND_DATABASE, &their_keys);
    harness_check(keys == count + 3 && keys == their_keys, what);
}

static void case_create_one(work *it) {
    check_create(it, create_one_ours, create_one_theirs, 50, "create_one");
    if (it->of->quick)
        return;
    harness_compare(
        &(timing){
            .name = "create_one",
            .unit = "records/s",
            .slices = 20,
            .side_count = it->of->popoto != NULL ? 3 : 2,
            .sides = { { NULL, flush_ours, create_one_ours, it, 100, 0, 1 },
                       { hiredis_multi, flush_theirs, create_one_theirs, it, 100, 1.0, 1 },
                       { popoto_1_10, flush_popoto, create_one_popoto, it, 20, 6, 1 } },
        },
        it->of->rounds);
}

static void case_create_many(work *it) {
    check_create(it, create_many_ours, create_many_theirs, 300, "create_many");
    check_create(it, create_many_ours, create_grouped_theirs, 300, "create_many, grouped");
    if (it->of->quick)
        return;
    harness_compare(
        &(timing){
            .name = "create_many",
            .unit = "records/s",
            .slices = 10,
            .side_count = it->of->popoto != NULL ? 3 : 2,
            .sides = { { NULL, flush_ours, create_many_ours, it, MOST_IN_PART, 0, 1 },
                       { hiredis_pipelined, flush_theirs, create_many_theirs, it, MOST_IN_PART, 1.0,
                         1 },
                       { popoto_1_10, flush_popoto, create_many_popoto, it, 500, 15, 1 } },
        },
        it->of->rounds);
    harness_compare(
        &(timing){
            .name = "create_many",
            .unit = "records/s",
            .slices = 10,
            .side_count = 2,
            .sides = { { NULL, flush_ours, create_many_ours, it, MOST_IN_PART, 0, 1 },
                       { hiredis_grouped, flush_theirs, create_grouped_theirs, it, MOST_IN_PART, 0,
                         1 } },
        },
        it->of->rounds);
}

/* The share of the wall time in which the server ran. */
static double share_of(work *it, void (*run)(void *, size_t, size_t)) {
    double cpu = server_cpu_seconds(it->of->server), start = harness_seconds();
    run(it, 0, MOST_IN_PART);
    return (server_cpu_seconds(it->of->server) - cpu) / (harness_seconds() - start);
}

static void case_server_share(work *it) {
    if (it->of->quick)
        return;
    size_t rounds = it->of->rounds;
    for (size_t i = 0; i <= rounds; i++) { /* the first warms up, and is written over */
        size_t slot = i == 0 ? 0 : i - 1;
        flush_ours(it);
        flush_theirs(it);
        it->server_share[0][slot] = share_of(it, create_many_ours);
        it->server_share[1][slot] = share_of(it, create_many_theirs);
    }
    double ours = harness_median(it->server_share[0], rounds);
    harness_report(&(result){
        .name = "server_share",
        .unit = "of the time",
        .against = "create_many, and hiredis pipelined",
        .ours = ours,
        .theirs = harness_median(it->server_share[1], rounds),
        .ratio = ours,
        .goal = 0.9,
    });
}

/* ----- loaded records ------------------------------------------------------------------------- */

/* Every side gets `count` records of the tenant, and some of others. */
static void make_records(work *it, size_t count) {
    static const char *const tenants[] = { "project-0001", "project-0002", "project-0003" };
    episode *all = zeroed(count, sizeof(*all));
    void **pointers = zeroed(count, sizeof(*pointers));
    popoto_rows_free(it->rows);
    free(it->copies);
    it->rows = NULL;
    flush_ours(it);
    flush_theirs(it);
    for (size_t t = 0; t < 4; t++)
        for (size_t side = 0; side < 2; side++) {
            for (size_t i = 0; i < count; i++) {
                data_episode(&all[i], t < 3 ? tenants[t] : TENANT, t * count + i);
                pointers[i] = &all[i];
            }
            if (side == 0)
                must(it->of->ours,
                     popoto_create_many(it->of->ours, &Episode, pointers, count, NULL),
                     "popoto_create_many");
            else
                hand_create_many(it->of->theirs, (episode *const *)pointers, count);
        }
    it->copies = all; /* the last ones: the tenant's own, as the rival made them */
    it->row_count = count;
    it->at = it->their_at = 0;
    free(pointers);
    popoto_status status = popoto_query(it->of->ours,
                                        &(popoto_query_desc){
                                            .model = &Episode,
                                            .where = { POPOTO_IS("project_id", TENANT) },
                                        },
                                        &it->rows);
    must(it->of->ours, status, "popoto_query");
    harness_check(popoto_rows_count(it->rows) == count, "our loaded records");
    if (it->of->popoto == NULL)
        return;
    flush_popoto(it);
    for (size_t t = 0; t < 4; t++)
        python_ask(it->of->popoto, "create_many %zu %s", count, t < 3 ? tenants[t] : TENANT);
    python_ask(it->of->popoto, "prepare_rows " TENANT);
}

static int by_title(const void *a, const void *b) {
    return strcmp(((const episode *)a)->title, ((const episode *)b)->title);
}

/* Our rows in the order of the rival's copies, so that both change the same records. */
static void sort_rows(work *it) {
    episode *first = popoto_rows_at(it->rows, 0);
    qsort(first, it->row_count, sizeof(*first), by_title);
}

/* ----- save ----------------------------------------------------------------------------------- */

static void save_score_ours(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++, it->at++) {
        episode *one = popoto_rows_at(it->rows, it->at % it->row_count);
        one->score = data_score(it->at + 17);
        must(it->of->ours,
             popoto_save_with(it->of->ours, &Episode, one, &(popoto_save_desc){ .only = "score" }),
             "popoto_save_with");
    }
}

static void save_all_ours(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++, it->at++) {
        episode *one = popoto_rows_at(it->rows, it->at % it->row_count);
        one->score = data_score(it->at + 17);
        must(it->of->ours, popoto_save(it->of->ours, &Episode, one), "popoto_save");
    }
}

static void save_score_theirs(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++, it->their_at++) {
        episode *one = &it->copies[it->their_at % it->row_count];
        one->score = data_score(it->their_at + 17);
        if (!hand_save_score(it->of->theirs, one))
            give_up("a record is gone");
    }
}

static void save_all_theirs(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++, it->their_at++) {
        episode *one = &it->copies[it->their_at % it->row_count];
        one->score = data_score(it->their_at + 17);
        if (!hand_save_all(it->of->theirs, one))
            give_up("a record is gone");
    }
}

static void save_one_popoto(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    python_ask(it->of->popoto, "save_one %zu", count);
}

static void check_save(work *it, void (*ours)(void *, size_t, size_t),
                       void (*theirs)(void *, size_t, size_t), const char *what) {
    make_records(it, it->of->quick ? 60 : 200);
    sort_rows(it);
    ours(it, 0, it->row_count / 2);
    theirs(it, 0, it->row_count / 2);
    harness_check(database_same(it->of->admin, OUR_DATABASE, HAND_DATABASE), what);
    /* A record that is gone stays gone, on both sides. */
    episode *one = popoto_rows_at(it->rows, 3), copy = *one;
    must(it->of->ours, popoto_delete(it->of->ours, &Episode, &copy), "popoto_delete");
    bool refused = popoto_save(it->of->ours, &Episode, one) == POPOTO_NOT_FOUND;
    episode absent = it->copies[3];
    memset(absent.episode_id.text, '0', 32);
    harness_check(refused && !hand_save_score(it->of->theirs, &absent) &&
                      !hand_save_all(it->of->theirs, &absent),
                  what);
}

static void case_save_one(work *it) {
    check_save(it, save_score_ours, save_score_theirs, "save_one");
    check_save(it, save_all_ours, save_all_theirs, "save_one, all fields");
    if (it->of->quick)
        return;
    make_records(it, 2000);
    harness_compare(
        &(timing){
            .name = "save_one",
            .unit = "records/s",
            .slices = 20,
            .side_count = it->of->popoto != NULL ? 3 : 2,
            .sides = { { NULL, NULL, save_score_ours, it, 100, 0, 1 },
                       { hiredis_script, NULL, save_score_theirs, it, 100, 0.95, 1 },
                       { popoto_1_10, NULL, save_one_popoto, it, 20, 6, 1 } },
        },
        it->of->rounds);
    harness_compare(
        &(timing){
            .name = "save_one_all_fields",
            .unit = "records/s",
            .slices = 20,
            .side_count = 2,
            .sides = { { NULL, NULL, save_all_ours, it, 100, 0, 1 },
                       { hiredis_script, NULL, save_all_theirs, it, 100, 0.95, 1 } },
        },
        it->of->rounds);
}

/* ----- load ----------------------------------------------------------------------------------- */

static void load_one_ours(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++, it->at++) {
        const episode *known = popoto_rows_at(it->rows, it->at * 7 % it->row_count);
        episode asked = { .project_id = TENANT, .episode_id = known->episode_id };
        popoto_rows *rows;
        must(it->of->ours, popoto_load(it->of->ours, &Episode, &asked, &rows), "popoto_load");
        popoto_rows_free(rows);
    }
}

static void load_one_theirs(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++, it->their_at++) {
        const episode *row;
        if (!hand_load(it->of->theirs, TENANT,
                       &it->copies[it->their_at * 7 % it->row_count].episode_id, &row))
            give_up("a record is gone");
    }
}

static void load_one_popoto(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    python_ask(it->of->popoto, "load_one %zu", count);
}

static void check_load(work *it) {
    sort_rows(it);
    for (size_t i = 0; i < 20; i++) {
        const episode *known = popoto_rows_at(it->rows, i), *theirs;
        popoto_rows *rows;
        must(it->of->ours, popoto_load(it->of->ours, &Episode, known, &rows), "popoto_load");
        bool there = hand_load(it->of->theirs, TENANT, &it->copies[i].episode_id, &theirs);
        harness_check(there && rows_same(popoto_rows_at(rows, 0), 1, theirs, 1), "load_one");
        popoto_rows_free(rows);
    }
}

static void case_load_one(work *it) {
    make_records(it, it->of->quick ? 60 : 2000);
    check_load(it);
    if (it->of->quick)
        return;
    harness_compare(
        &(timing){
            .name = "load_one",
            .unit = "records/s",
            .slices = 20,
            .side_count = it->of->popoto != NULL ? 3 : 2,
            .sides = { { NULL, NULL, load_one_ours, it, 100, 0, 1 },
                       { hiredis_getall, NULL, load_one_theirs, it, 100, 0.97, 1 },
                       { popoto_1_10, NULL, load_one_popoto, it, 20, 0, 1 } },
        },
        it->of->rounds);
}

/* ----- query ---------------------------------------------------------------------------------- */

static popoto_rows *query_ours_once(work *it) {
    popoto_rows *rows;
    must(it->of->ours,
         popoto_query(
             it->of->ours,
             &(popoto_query_desc){
                 .model = &Episode,
                 .where = { POPOTO_IS("project_id", TENANT), POPOTO_IS("score__gte", it->low) },
             },
             &rows),
         "popoto_query");
    return rows;
}

static void query_ours(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++)
        popoto_rows_free(query_ours_once(it));
}

static void query_theirs(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++)
        if (hand_query(it->of->theirs, TENANT, it->low, false).count != it->matches)
            give_up("rows are gone");
}

static void query_values_theirs(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++)
        if (hand_query(it->of->theirs, TENANT, it->low, true).count != it->matches)
            give_up("rows are gone");
}

static void query_popoto(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    python_ask(it->of->popoto, "query %zu " TENANT " %.4f", count, it->low);
}

static void query_values_popoto(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    python_ask(it->of->popoto, "query_values %zu " TENANT " %.4f", count, it->low);
}

static int by_score(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The score from which on `matches` of the tenant's records lie. */
static void choose_low(work *it, size_t matches) {
    double *scores = zeroed(it->row_count, sizeof(*scores));
    for (size_t i = 0; i < it->row_count; i++)
        scores[i] = it->copies[i].score;
    qsort(scores, it->row_count, sizeof(*scores), by_score);
    it->low = scores[matches - 1];
    it->matches = matches;
    free(scores);
}

/* Popoto's tenant has the same number of records, but its own scores: what it finds is told in figures,
 * which the rows of ours are added up to as well. */
static void check_popoto_rows(work *it) {
    const char *answer = python_ask(it->of->popoto, "query 1 " TENANT " %.4f", it->low);
    size_t count = 0;
    harness_check(sscanf(answer, "%zu", &count) == 1 && count == it->matches, "query, Popoto");
}

static void check_query(work *it) {
    popoto_rows *rows = query_ours_once(it);
    episode *ours = rows_copy(rows);
    for (int values_only = 0; values_only < 2; values_only++) {
        hand_rows theirs = hand_query(it->of->theirs, TENANT, it->low, values_only);
        harness_check(rows_same(ours, popoto_rows_count(rows), theirs.rows, theirs.count) &&
                          theirs.count == it->matches,
                      "query");
    }
    free(ours);
    popoto_rows_free(rows);
    if (it->of->popoto != NULL)
        check_popoto_rows(it);
}

static void case_query_rows(work *it) {
    make_records(it, it->of->quick ? 60 : 2000);
    choose_low(it, it->row_count / 2);
    check_query(it);
    if (it->of->quick)
        return;
    size_t rows = it->matches;
    harness_compare(
        &(timing){
            .name = "query_rows",
            .unit = "rows/s",
            .slices = 20,
            .side_count = it->of->popoto != NULL ? 3 : 2,
            .sides = { { NULL, NULL, query_ours, it, 5, 0, rows },
                       { hiredis_getall, NULL, query_theirs, it, 5, 1.0, rows },
                       { popoto_1_10, NULL, query_popoto, it, 1, 15, rows } },
        },
        it->of->rounds);
    harness_compare(
        &(timing){
            .name = "query_rows",
            .unit = "rows/s",
            .slices = 20,
            .side_count = it->of->popoto != NULL ? 3 : 2,
            .sides = { { NULL, NULL, query_ours, it, 5, 0, rows },
                       { hiredis_get, NULL, query_values_theirs, it, 5, 0, rows },
                       { "Popoto 1.10.1, dicts, no instances", NULL, query_values_popoto, it, 1, 0,
                         rows } },
        },
        it->of->rounds);
}

static void case_query_small(work *it) {
    make_records(it, it->of->quick ? 60 : 2000);
    choose_low(it, 30);
    check_query(it);
    if (it->of->quick)
        return;
    harness_compare(
        &(timing){
            .name = "query_small",
            .unit = "queries/s",
            .slices = 20,
            .side_count = it->of->popoto != NULL ? 3 : 2,
            .sides = { { NULL, NULL, query_ours, it, 50, 0, 1 },
                       { hiredis_getall, NULL, query_theirs, it, 50, 1.0, 1 },
                       { popoto_1_10, NULL, query_popoto, it, 10, 10, 1 } },
        },
        it->of->rounds);
}

/* ----- confidence ----------------------------------------------------------------------------- */

static void confidence_one_ours(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++, it->at++) {
        popoto_confidence after;
        must(it->of->ours,
             popoto_confidence_update(it->of->ours, &Memory, &it->memories[it->at % it->row_count],
                                      "certainty", 0.9, &after),
             "popoto_confidence_update");
    }
}

static void confidence_one_theirs(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++, it->their_at++)
        (void)hand_confidence(it->of->theirs, &it->their_memories[it->their_at % it->row_count],
                              0.9);
}

static void confidence_one_popoto(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    python_ask(it->of->popoto, "confidence_one %zu", count);
}

static void confidence_many_ours(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    for (size_t i = 0; i < count; i++)
        it->signals[i] = (popoto_signal){ .object = &it->memories[i], .signal = 0.9 };
    must(it->of->ours,
         popoto_confidence_update_many(it->of->ours, &Memory, "certainty", it->signals, count),
         "popoto_confidence_update_many");
}

static void confidence_many_theirs(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    hand_confidence_many(it->of->theirs, (memory_record *const *)it->their_pointers, count, 0.9,
                         it->entries);
}

static void confidence_many_popoto(void *context, size_t slice, size_t count) {
    work *it = context;
    (void)slice;
    python_ask(it->of->popoto, "confidence_many %zu", count);
}

/* Records for both sides are made by us: there is no rival in that here. */
static void make_memories(work *it, size_t count) {
    popoto_db *second = open_ours(server_socket(it->of->server), HAND_DATABASE, NULL);
    flush_ours(it);
    flush_theirs(it);
    it->row_count = count;
    it->at = it->their_at = 0;
    free(it->memories);
    free(it->their_memories);
    free(it->their_pointers);
    it->memories = zeroed(count, sizeof(*it->memories));
    it->their_memories = zeroed(count, sizeof(*it->their_memories));
    it->their_pointers = zeroed(count, sizeof(*it->their_pointers));
    for (size_t i = 0; i < count; i++) {
        data_memory(&it->memories[i], "atlas", i);
        data_memory(&it->their_memories[i], "atlas", i);
        it->their_pointers[i] = &it->their_memories[i];
        must(it->of->ours, popoto_create(it->of->ours, &Memory, &it->memories[i]), "popoto_create");
        must(second, popoto_create(second, &Memory, &it->their_memories[i]), "popoto_create");
    }
    popoto_close(second);
    free(it->signals);
    free(it->entries);
    it->signals = zeroed(count, sizeof(*it->signals));
    it->entries = zeroed(count, sizeof(*it->entries));
    if (it->of->popoto == NULL)
        return;
    flush_popoto(it);
    python_ask(it->of->popoto, "prepare_memories %zu atlas", count);
}

static void check_confidence(work *it) {
    confidence_one_ours(it, 0, it->row_count / 2);
    confidence_one_theirs(it, 0, it->row_count / 2);
    confidence_many_ours(it, 0, it->row_count);
    confidence_many_theirs(it, 0, it->row_count);
    for (size_t i = 0; i < it->row_count; i++) {
        const popoto_confidence *ours = &it->signals[i].after, *theirs = &it->entries[i];
        harness_check(ours->confidence == theirs->confidence &&
                          ours->evidence_count == theirs->evidence_count &&
                          ours->corroborations == theirs->corroborations &&
                          ours->contradictions == theirs->contradictions,
                      "confidence, the new figures");
    }
    harness_check(database_same(it->of->admin, OUR_DATABASE, HAND_DATABASE), "confidence");
}

static void case_confidence(work *it) {
    make_memories(it, it->of->quick ? 20 : 1000);
    check_confidence(it);
    if (it->of->quick)
        return;
    size_t sides = it->of->popoto != NULL ? 3 : 2;
    bench_share_processor(it->of, true);
    harness_compare(
        &(timing){
            .name = "confidence_one",
            .unit = "updates/s",
            .slices = 20,
            .side_count = sides,
            .sides = { { NULL, NULL, confidence_one_ours, it, 100, 0, 1 },
                       { hiredis_same, NULL, confidence_one_theirs, it, 100, 0.97, 1 },
                       { popoto_1_10, NULL, confidence_one_popoto, it, 20, 4, 1 } },
        },
        it->of->rounds);
    bench_share_processor(it->of, false);
    harness_compare(
        &(timing){
            .name = "confidence_many",
            .unit = "updates/s",
            .slices = 20,
            .side_count = sides,
            .sides = { { NULL, NULL, confidence_many_ours, it, 1000, 0, 1 },
                       { hiredis_same, NULL, confidence_many_theirs, it, 1000, 0.97, 1 },
                       { popoto_1_10, NULL, confidence_many_popoto, it, 100, 0, 1 } },
        },
        it->of->rounds);
}

/* ----- all of them ---------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(work *it);
    bool by_turns; /* one question, one answer: see bench_share_processor */
} all_cases[] = {
    { "create_one", case_create_one, true },  { "create_many", case_create_many, false },
    { "save_one", case_save_one, true },      { "load_one", case_load_one, true },
    { "query_rows", case_query_rows, false }, { "query_small", case_query_small, true },
    { "confidence", case_confidence, false }, { "server_share", case_server_share, false },
};

void bench_cases(bench *it) {
    bool any = false;
    the = (work){ .of = it };
    the.fresh = zeroed(MOST_IN_PART, sizeof(*the.fresh));
    the.pointers = zeroed(MOST_IN_PART, sizeof(*the.pointers));
    for (size_t i = 0; i < MOST_IN_PART; i++)
        the.pointers[i] = &the.fresh[i];
    for (size_t i = 0; i < sizeof(all_cases) / sizeof(*all_cases); i++) {
        if (!bench_wants(it, all_cases[i].name))
            continue;
        if (!any && !it->quick)
            harness_heading("Operations, work per second (medians; the sides take turns)");
        any = true;
        bench_share_processor(it, all_cases[i].by_turns);
        all_cases[i].run(&the);
        bench_share_processor(it, false);
    }
    popoto_rows_free(the.rows);
    free(the.fresh);
    free(the.pointers);
    free(the.copies);
    free(the.memories);
    free(the.their_memories);
    free(the.their_pointers);
    free(the.signals);
    free(the.entries);
}
