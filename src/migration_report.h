/* migration_report - what migrations gather for their callers: how many entries or records went to which
 * partition or tenant, and what stayed, and why. */
#ifndef POPOTO_MIGRATION_REPORT_H
#define POPOTO_MIGRATION_REPORT_H

#include "db.h"

/* Partitions by name: open addressing, at most half full. */
typedef struct tally {
    popoto_migration_partition *slots;
    size_t count;
    size_t room; /* a power of two */
} tally;

typedef struct migration_report {
    popoto_migration_report public; /* first: it is what the caller holds */
    popoto_allocator allocator;
    arena memory;
    tally partitions;
    popoto_migration_error *errors;
    size_t error_room;
} migration_report;

/* NULL: no memory. To be released with popoto_migration_report_free, by whoever gets `public`. */
migration_report *popoto__report_new(popoto_db *db);
/* One more in that partition. False: no memory. */
bool popoto__report_count(migration_report *it, popoto_text name);
/* List something that stayed; both texts are copied. False: no memory. */
bool popoto__report_error(migration_report *it, popoto_text member, const char *reason);
/* Names of partitions that were counted as keys have them become those of the values. Before they are put in
 * order, and after the last was counted. */
void popoto__report_unescape(migration_report *it);
/* Put the partitions in order, once, when all is counted. */
void popoto__report_finish(migration_report *it);

#endif
