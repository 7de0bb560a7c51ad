/* calls - each kind of call of the library that talks to the server, as the stress programs use them: what
 * it needs to find, the call, and how to see whether it was done. */
#ifndef POPOTO_STRESS_CALLS_H
#define POPOTO_STRESS_CALLS_H

#include "support.h"

typedef struct note {
    popoto_object object;
    const char *tenant;
    const char *name;
    const char *room;
    const char *title;
    double score;
    double rank;
    double trust;
} note;
extern const popoto_model Note;
/* The same before its confidence had partitions. */
extern const popoto_model OldNote;

typedef struct memo {
    popoto_object object;
    const char *tenant;
    popoto_id id;
    const char *room;
    double score;
    double trust;
} memo;
extern const popoto_model Memo;

#define CHECKED 2
extern const checked_model checked[CHECKED];

#define BULK 3

/* What a call works on. */
typedef struct round {
    popoto_db *db;
    redisContext *raw;
    note notes[BULK];
    memo memos[BULK];
    popoto_status statuses[BULK]; /* of a bulk call */
    size_t found;                 /* what a read brought */
} round_of;

typedef struct call {
    const char *name;
    void (*prepare)(round_of *it);
    popoto_status (*run)(round_of *it);
    bool (*is_done)(round_of *it, size_t i); /* of a bulk call, each by itself */
    size_t finds;                            /* of a read */
    bool migrates;
    bool needs_own_db; /* only the db that made the object can do it */
} call;

extern const call calls[];
extern const size_t call_count;

/* Whether each of the migration's entries is somewhere, once, with all its evidence. */
bool evidence_is_whole(round_of *it);
/* Ends the program unless the status is POPOTO_OK. */
void must(const round_of *it, popoto_status status, const char *what);

#endif
