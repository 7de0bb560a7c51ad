/* python_cases - the Python package beside Popoto: the same script (popoto_side.py) under the same Python, in
 * two processes that take turns, each with its own package and its own database. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#define TENANT "project-a"

static const char *const popoto_1_10 = "Popoto 1.10.1";

/* One of the two, and what it is told: a line in which the number of operations has its place. */
typedef struct told {
    bench *of;
    python *who;
    int database;
    const char *line;
} told;

static void flush(void *context) {
    const told *it = context;
    database_flush(it->of->admin, it->database);
    python_ask(it->who, "flush");
}

static void tell(void *context, size_t slice, size_t count) {
    const told *it = context;
    (void)slice;
    python_ask(it->who, it->line, count);
}

typedef struct python_case {
    const char *name, *unit;
    const char
        *prepare; /* what both are told before; NULL: they begin with nothing in each round */
    const char *line;
    size_t ours, theirs; /* operations in a slice */
    size_t each;
    double goal;
} python_case;

/* Queries match all of the tenant's records. */
static const python_case cases[] = {
    { "python_create_one", "records/s", NULL, "create_one %zu " TENANT, 200, 20, 1, 4 },
    { "python_create_many", "records/s", NULL, "create_many %zu " TENANT, 2000, 200, 1, 8 },
    { "python_query_rows", "rows/s", "create_many 1000 " TENANT, "query %zu " TENANT " 0.0", 5, 1,
      1000, 6 },
    { "python_query_small", "queries/s", "create_many 30 " TENANT, "query %zu " TENANT " 0.0", 50,
      5, 1, 6 },
    { "python_confidence_one", "updates/s", "prepare_memories 200 atlas", "confidence_one %zu", 200,
      20, 1, 3 },
};

/* Both did what the line says: the same number of keys, and the same figures of what was found. */
static void check_same(bench *it, const python_case *of, const told sides[2]) {
    char first[256];
    for (int i = 0; i < 2; i++) {
        flush((void *)(uintptr_t)&sides[i]);
        if (of->prepare != NULL)
            python_ask(sides[i].who, of->prepare, (size_t)0);
    }
    snprintf(first, sizeof(first), "%s", python_ask(sides[0].who, of->line, (size_t)3));
    harness_check(strcmp(first, python_ask(sides[1].who, of->line, (size_t)3)) == 0, of->name);
    harness_check(database_keys(it->admin, sides[0].database) ==
                      database_keys(it->admin, sides[1].database),
                  of->name);
}

void bench_python(bench *it) {
    bool any = false;
    if (it->package == NULL || it->popoto == NULL)
        return;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const python_case *of = &cases[i];
        told sides[2] = { { it, it->package, PACKAGE_DATABASE, of->line },
                          { it, it->popoto, POPOTO_DATABASE, of->line } };
        if (!bench_wants(it, of->name))
            continue;
        if (!any)
            harness_heading("The Python package, work per second");
        any = true;
        check_same(it, of, sides);
        void (*start)(void *) = of->prepare == NULL ? flush : NULL;
        harness_compare(
            &(timing){
                .name = of->name,
                .unit = of->unit,
                .slices = 20,
                .side_count = 2,
                .sides = { { NULL, start, tell, &sides[0], of->ours, 0, of->each },
                           { popoto_1_10, start, tell, &sides[1], of->theirs, of->goal,
                             of->each } },
            },
            it->rounds);
    }
}
