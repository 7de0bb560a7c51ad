/* fresh - pure: records whose keys were generated a moment ago, put together as one transaction: a HSET for each,
 * then one SADD, ZADD or HSET for each key of an index, with all its members. What one of them is made of
 * alone is plan's; nothing here touches a socket. */
#ifndef POPOTO_FRESH_H
#define POPOTO_FRESH_H

#include "plan.h"

typedef struct fresh_record fresh_record;
typedef struct fresh_stretch fresh_stretch;
typedef struct fresh_run fresh_run;
typedef struct fresh_link fresh_link;

typedef struct fresh_group {
    const model *of;
    arena *memory;
    buffer *out;
    size_t start; /* of the transaction in `out` */
    fresh_record *records;
    size_t count;
    size_t room;
    popoto_text *scores;      /* of each record, for those that are sorted */
    fresh_stretch *stretches; /* of records that follow each other and stand at the same places */
    size_t stretch_count;
    fresh_link *links; /* of each stretch and index */
    fresh_run *runs;   /* the index commands */
    size_t run_count;
    size_t *newest; /* of each index: its latest run, plus one; 0: none */
} fresh_group;

/* For `room` records at most. False: no memory. */
bool popoto__fresh_begin(fresh_group *it, const model *of, size_t room, arena *memory, buffer *out);
/* One more, which is WRITE_FRESH and prepared. False: it has to go by itself, and nothing was changed. */
bool popoto__fresh_add(fresh_group *it, record_write *write);
/* The digest of what a record holds; 0: it does not hold all of the model's fields. */
uint64_t popoto__fresh_content(const fresh_group *it, size_t record);
/* Append the rest; returns how many replies all will bring, and how they look when all goes well. */
size_t popoto__fresh_end(fresh_group *it, popoto_text *expected);
/* Whether the command of which EXEC's list has the answer at `index` was about a record. */
bool popoto__fresh_concerns(const fresh_group *it, size_t index, size_t record);

#endif
