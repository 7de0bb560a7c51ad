/* bench - what the parts of the benchmark share: the server, our connection and the rivals' to it, each
 * with a database of its own, and the settings of this run. */
#ifndef POPOTO_BENCH_BENCH_H
#define POPOTO_BENCH_BENCH_H

#include "data.h"
#include "harness.h"
#include "hiredis_side.h"
#include "server.h"

#include <sys/types.h>

#define OUR_DATABASE     0
#define HAND_DATABASE    1
#define POPOTO_DATABASE  2
#define PACKAGE_DATABASE 3

typedef struct python python;

typedef struct bench {
    server *server;
    redisContext *admin; /* to look at what both sides made */
    popoto_db *ours;
    hand *theirs;
    python *popoto;      /* NULL: not measured */
    const char *package; /* the interpreter that has our Python package; NULL: not measured */
    const char *script;  /* what both run */
    bool quick;          /* every case once, small: nothing is timed */
    const char *only;    /* cases whose name contains this; NULL: all */
    size_t rounds;
    const char *program; /* ours, to be run again for what is counted apart */
    const char *folder;  /* for results and plots */
} bench;

bool bench_wants(const bench *it, const char *name);
/* Put the server and all sides on one processor, or leave them to the system. For what is asked and answered by
 * turns, so that never two of them have work at once: else a figure tells mostly whether the system woke up
 * another processor for each turn, which costs more than the operation. */
void bench_share_processor(const bench *it, bool shared);

/* ----- cases.c, cases_python.c, counts.c, growth.c: the parts ----- */
void bench_cases(bench *it);
void bench_python(bench *it);
void bench_counts(bench *it);
void bench_growth(bench *it);
/* What a child that counts.c starts does; returns the program's status. */
int bench_work(const char *side, const char *what, size_t count, const char *socket);

/* ----- database.c: looking at a database ----- */
void database_flush(redisContext *admin, int database);
/* All keys with what they hold as text, sorted, generated ids replaced by their records' titles. To be
 * freed. */
char *database_text(redisContext *admin, int database);
/* Whether two databases hold the same keys and bytes, up to generated ids. */
bool database_same(redisContext *admin, int one, int other);
/* What the server reports for all keys together, in bytes, and the number of keys. */
size_t database_bytes(redisContext *admin, int database, size_t *keys);
size_t database_keys(redisContext *admin, int database);
/* Whether two lists of decoded rows are the same, object headers aside; in any order. */
bool rows_same(const episode *one, size_t one_count, const episode *other, size_t other_count);
/* A copy of the result of a query of ours as an array; texts stay where they are. To be freed. */
episode *rows_copy(popoto_rows *rows);

/* ----- python.c: a Python package called popoto, ours or the other, in a process of its own ----- */
python *python_start(const char *program, const char *script, const char *socket, int database,
                     const char *dialect);
void python_stop(python *it);
pid_t python_pid(const python *it);
/* Sends a line and waits for the one that answers; the answer holds until the next call. */
const char *python_ask(python *it, const char *format, ...);

/* Ends the program where a call of ours failed. */
void must(popoto_db *db, popoto_status status, const char *what);
popoto_db *open_ours(const char *socket, int database, const popoto_options *options);
/* The CPU time that the server has had, in seconds. */
double server_cpu_seconds(const server *it);

#endif
