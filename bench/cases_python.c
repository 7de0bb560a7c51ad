/* cases_python - our Python package beside Popoto, one script run by two interpreters. What the package
 * stores is first compared with what the C library stores and, in Popoto's dialect, with what Popoto stores;
 * what it reads, with figures. See bench.h and harness.h. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENANT      "project-0007"
#define PROJECT     "atlas"
#define ANSWER_SIZE 256

static const char *const popoto_1_10 = "Popoto 1.10.1";
static const char *const popoto_read = "Popoto 1.10.1, every field read";

/* One of the two processes, and what it is to be asked. */
typedef struct side {
    python *process;
    redisContext *admin;
    int database;
    const char *operation, *rest; /* "create_one", how often, "project-0007" */
} side;

typedef struct sides {
    bench *of;
    side ours, popoto;
} sides;

static void flush(void *context) {
    const side *it = context;
    database_flush(it->admin, it->database);
    python_ask(it->process, "flush");
}

static void run(void *context, size_t slice, size_t count) {
    const side *it = context;
    (void)slice;
    python_ask(it->process, "%s %zu %s", it->operation, count, it->rest);
}

/* ----- the same work -------------------------------------------------------------------------- */

/* What a step of a check leaves is compared at its end: the answer, and the database that it was in. */
typedef struct step {
    const char *name;
    void (*by_library)(sides *it, char *answer, size_t room);
    const char
        *asked[4]; /* of a Python process, after its database was emptied; the last one answers */
} step;

#define CHECKED     40 /* records; those of the query are all but a few */
#define CHECKED_LOW 0.1

static const char *ask_all(side *it, const char *const *asked, size_t count) {
    const char *answer = "";
    flush(it);
    for (size_t i = 0; i < count && asked[i] != NULL; i++)
        answer = python_ask(it->process, "%s", asked[i]);
    return answer;
}

static void create_by_library(sides *it, char *answer, size_t room) {
    popoto_db *db = it->of->ours;
    for (size_t i = 0; i < CHECKED; i++) {
        episode one;
        data_episode(&one, TENANT, i);
        must(db, popoto_create(db, &Episode, &one), "popoto_create");
    }
    snprintf(answer, room, "ok");
}

/* The figures that the script answers: rows, scores, letters. */
static void query_by_library(sides *it, char *answer, size_t room) {
    popoto_db *db = it->of->ours;
    popoto_rows *rows;
    double scores = 0;
    size_t letters = 0;
    create_by_library(it, answer, room);
    must(db,
         popoto_query(
             db,
             &(popoto_query_desc){
                 .model = &Episode,
                 .where = { POPOTO_IS("project_id", TENANT), POPOTO_IS("score__gte", CHECKED_LOW) },
             },
             &rows),
         "popoto_query");
    for (size_t i = 0; i < popoto_rows_count(rows); i++) {
        const episode *one = popoto_rows_at(rows, i);
        scores += one->score;
        for (const char *letter = one->title; *letter != '\0'; letter++)
            letters += (unsigned char)*letter;
    }
    snprintf(answer, room, "%zu %.4f %zu", popoto_rows_count(rows), scores, letters);
    popoto_rows_free(rows);
}

static void confidence_by_library(sides *it, char *answer, size_t room) {
    popoto_db *db = it->of->ours;
    memory_record memories[10];
    popoto_confidence after;
    double sum = 0;
    for (size_t i = 0; i < 10; i++) {
        data_memory(&memories[i], PROJECT, i);
        must(db, popoto_create(db, &Memory, &memories[i]), "popoto_create");
    }
    for (size_t i = 0; i < 25; i++) {
        must(db, popoto_confidence_update(db, &Memory, &memories[i % 10], "certainty", 0.9, &after),
             "popoto_confidence_update");
        sum += after.confidence;
    }
    snprintf(answer, room, "%.12f", sum);
}

static const step steps[] = {
    { "python_create_one", create_by_library, { "create_one 40 " TENANT } },
    { "python_create_many", create_by_library, { "create_many 40 " TENANT } },
    { "python_query", query_by_library, { "create_many 40 " TENANT, "query 2 " TENANT " 0.1" } },
    { "python_confidence_one",
      confidence_by_library,
      { "prepare_memories 10 " PROJECT, "confidence_one 25" } },
};

/* The package writes the documented keys as the library does, and Popoto's (`twin`) as Popoto does. */
static void check(sides *it, side *twin, const step *what) {
    char expected[ANSWER_SIZE], answer[ANSWER_SIZE];
    redisContext *admin = it->of->admin;
    size_t most = sizeof(what->asked) / sizeof(*what->asked);
    database_flush(admin, OUR_DATABASE);
    what->by_library(it, expected, sizeof(expected));
    bool told = strcmp(ask_all(&it->ours, what->asked, most), expected) == 0;
    harness_check(told, what->name);
    harness_check(database_same(admin, OUR_DATABASE, PACKAGE_DATABASE), what->name);
    if (it->popoto.process == NULL)
        return;
    snprintf(answer, sizeof(answer), "%s", ask_all(twin, what->asked, most));
    harness_check(strcmp(answer, expected) == 0, what->name);
    harness_check(strcmp(answer, ask_all(&it->popoto, what->asked, most)) == 0, what->name);
    harness_check(database_same(admin, PACKAGE_DATABASE, POPOTO_DATABASE), what->name);
}

static void check_all(sides *it) {
    const char *socket = server_socket(it->of->server);
    side twin = it->ours;
    twin.process =
        python_start(it->of->package, it->of->script, socket, PACKAGE_DATABASE, "popoto");
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
        check(it, &twin, &steps[i]);
    python_stop(twin.process);
    if (it->popoto.process == NULL)
        return;
    char version[ANSWER_SIZE];
    snprintf(version, sizeof(version), "%s", python_ask(it->ours.process, "interpreter"));
    harness_check(strcmp(version, python_ask(it->popoto.process, "interpreter")) == 0,
                  "the same Python");
}

/* ----- timed ---------------------------------------------------------------------------------- */

typedef struct timed {
    const char *name, *unit, *against, *operation, *rest;
    double goal;
    size_t count, popoto_count; /* operations in a slice */
    size_t slices, each;
    bool flushes;
} timed;

static void compare(sides *it, const timed *what) {
    it->ours.operation = it->popoto.operation = what->operation;
    it->ours.rest = it->popoto.rest = what->rest;
    void (*start)(void *) = what->flushes ? flush : NULL;
    harness_compare(
        &(timing){
            .name = what->name,
            .unit = what->unit,
            .slices = what->slices,
            .side_count = 2,
            .sides = { { NULL, start, run, &it->ours, what->count, 0, what->each },
                       { what->against, start, run, &it->popoto, what->popoto_count, what->goal,
                         what->each } },
        },
        it->of->rounds);
}

static void create_one(sides *it) {
    compare(it, &(timed){ "python_create_one", "records/s", popoto_1_10, "create_one", TENANT, 4,
                          100, 20, 20, 1, true });
}

/* Calls of one size, for Popoto sends a thousand at a time. */
static void create_many(sides *it) {
    compare(it, &(timed){ "python_create_many", "records/s", popoto_1_10, "create_many", TENANT, 8,
                          1000, 1000, 5, 1, true });
}

/* Both get the same records, of the tenant and of others; `rest` becomes what a query that finds `matches`
 * of them is told beside its number. */
static void make_records(sides *it, size_t matches, char rest[ANSWER_SIZE]) {
    side *both[] = { &it->ours, &it->popoto };
    char answer[ANSWER_SIZE];
    for (size_t i = 0; i < 2; i++) {
        flush(both[i]);
        for (size_t tenant = 4; tenant < 8; tenant++)
            python_ask(both[i]->process, "create_many 2000 project-%04zu", tenant);
        if (i == 0)
            snprintf(rest, ANSWER_SIZE, TENANT " %s",
                     python_ask(both[i]->process, "lowest %zu " TENANT, matches));
        snprintf(answer, sizeof(answer), "%s", python_ask(it->ours.process, "query 1 %s", rest));
        harness_check(strtoul(answer, NULL, 10) == matches &&
                          strcmp(answer, python_ask(both[i]->process, "query 1 %s", rest)) == 0,
                      "python_query, what is timed");
    }
}

static void query_rows(sides *it) {
    char rest[ANSWER_SIZE];
    make_records(it, 1000, rest);
    compare(it, &(timed){ "python_query_rows", "rows/s", popoto_1_10, "query", rest, 6, 5, 1, 20,
                          1000, false });
    compare(it, &(timed){ "python_query_rows", "rows/s", popoto_read, "query_read", rest, 0, 5, 1,
                          20, 1000, false });
}

static void query_small(sides *it) {
    char rest[ANSWER_SIZE];
    make_records(it, 30, rest);
    compare(it, &(timed){ "python_query_small", "queries/s", popoto_1_10, "query", rest, 6, 50, 10,
                          20, 1, false });
}

static void confidence_one(sides *it) {
    side *both[] = { &it->ours, &it->popoto };
    for (size_t i = 0; i < 2; i++) {
        flush(both[i]);
        python_ask(both[i]->process, "prepare_memories 1000 " PROJECT);
    }
    compare(it, &(timed){ "python_confidence_one", "updates/s", popoto_1_10, "confidence_one", "",
                          3, 100, 20, 20, 1, false });
}

static const struct {
    const char *name;
    void (*run)(sides *it);
} all_cases[] = {
    { "python_create_one", create_one },         { "python_create_many", create_many },
    { "python_query_rows", query_rows },         { "python_query_small", query_small },
    { "python_confidence_one", confidence_one },
};

void bench_python(bench *it) {
    sides both = {
        .of = it,
        .ours = { .admin = it->admin, .database = PACKAGE_DATABASE },
        .popoto = { .process = it->popoto, .admin = it->admin, .database = POPOTO_DATABASE },
    };
    for (size_t i = 0; it->package != NULL && i < sizeof(all_cases) / sizeof(*all_cases); i++) {
        if (!bench_wants(it, all_cases[i].name))
            continue;
        if (both.ours.process == NULL) {
            both.ours.process = python_start(it->package, it->script, server_socket(it->server),
                                             PACKAGE_DATABASE, "documented");
            check_all(&both);
            if (it->quick || it->popoto == NULL)
                break;
            harness_heading("Python, work per second (medians; the sides take turns)");
        }
        all_cases[i].run(&both);
    }
    python_stop(both.ours.process);
}
