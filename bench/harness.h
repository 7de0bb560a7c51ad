/* harness - times what the benchmarks run, side by side, and reports it: slices of our work and of the
 * rivals' take turns within every round, so that a noisy machine hits all of them; the medians of the
 * rounds make the table and results.json. Knows nothing of Redis. */
#ifndef POPOTO_BENCH_HARNESS_H
#define POPOTO_BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOST_SIDES  8
#define MOST_ROUNDS 32
#define MOST_SLICES 64

/* One of the programs that are compared in a case. `run` does `count` operations, the slice's share of
 * a round; `start` comes before each round, untimed, and may be NULL. */
typedef struct contender {
    const char *against; /* what the table calls it; NULL: ours */
    void (*start)(void *context);
    void (*run)(void *context, size_t slice, size_t count);
    void *context;
    size_t slice; /* operations in a slice */
    double goal;  /* ours must be so many times as fast; 0: no goal */
    size_t each;  /* units that one operation counts for (a query's rows); 0: 1 */
} contender;

typedef struct timing {
    const char *name; /* of the case */
    const char *unit; /* what is counted: "records/s" */
    size_t slices;    /* in a round */
    size_t side_count;
    contender sides[MOST_SIDES]; /* the first is ours */
} timing;

/* Units per second of each side: a round's figure is the median of its slices, so that one in which
 * somebody else had the processor does not count, and the result is the median of the rounds. The first
 * round warms up and is dropped. */
void harness_time(const timing *what, size_t rounds, double *rates);
/* The same, and a line of the report for each rival. */
void harness_compare(const timing *what, size_t rounds);

/* One line of the report. */
typedef struct result {
    const char *name;
    const char *unit;
    const char *against;
    double ours;
    double theirs; /* NAN: nothing to compare with */
    double ratio;  /* what the goal is about: ours to theirs, or ours alone */
    double goal;   /* NAN: none */
    bool at_most;  /* the ratio must not be above the goal, instead of not below it */
} result;

/* Keeps and prints it. The texts must live as long as the program. */
void harness_report(const result *line);
void harness_heading(const char *text);

/* All that was reported as an array in a file. */
void harness_write_results(const char *path);
/* Those with a goal for work per second beside rivals whose name begins so, as gnuplot's data: name,
 * ratio, goal. */
void harness_write_ratios(const char *path, const char *rival);
size_t harness_goals(size_t *met);

/* Checks that both sides did the same work: counted, and told when one fails. */
void harness_check(bool holds, const char *what);
size_t harness_checks(size_t *failed);

double harness_seconds(void); /* by a clock that only goes forward */
double harness_median(double *values, size_t count);

/* Ends the program with a message: a measurement that went wrong has no result. */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
_Noreturn void
give_up(const char *format, ...);

#endif
