/* walk - steps through the keys of a database and through the entries of its indexes, page by page, with
 * memory for one page. Knows SCAN and its family, and no meaning of what it finds. What is there
 * throughout a walk is found at least once; what comes or goes meanwhile, perhaps. */
#ifndef POPOTO_WALK_H
#define POPOTO_WALK_H

#include "operator_commands.h"

/* Keys that match a pattern. */
typedef struct key_walk {
    popoto_db *db;
    popoto_text pattern; /* must outlive the walk; data NULL: all */
    arena page;          /* of the keys of this page */
    buffer cursor;
    bool begun;
    popoto_text *keys; /* of this page, possibly none */
    size_t count;
} key_walk;

void popoto__key_walk_begin(key_walk *it, popoto_db *db, popoto_text pattern);
/* The next page. *more is false when there is none. */
popoto_status popoto__key_walk_next(key_walk *it, bool *more);
void popoto__key_walk_end(key_walk *it);

/* An index that is to be walked through. */
typedef struct index_ref {
    popoto_text key;
    const field *about; /* NULL: the set of all records */
    int64_t size;       /* set by the walk: how many entries; -1: the key holds another type */
} index_ref;

typedef struct index_entry {
    const index_ref *of;
    popoto_text member;
    popoto_text extra; /* SORTED: the score as text; CONFIDENCE: the entry */
} index_entry;

/* A page of entries, those of one index side by side. The texts hold during the call, in which the db may
 * be used. A status other than POPOTO_OK ends the walk with it. */
typedef popoto_status entries_handler(void *context, const index_entry *entries, size_t count);

/* Set the sizes of some indexes. */
popoto_status popoto__walk_sizes(popoto_db *db, index_ref *indexes, size_t count);

/* POPOTO_CORRUPT while a move to this strict model is not finished: a tenant has records in the ordinary form then, that
 * no call with this model sees. (A user who may not ask is told nothing.) */
popoto_status popoto__refuse_half_moved(popoto_db *db, const model *of);
/* Hand over all entries of some indexes (whose sizes are set first) whose members match (data NULL: all):
 * those of many small ones together, those of a large one in many pages. */
popoto_status popoto__walk_entries(popoto_db *db, index_ref *indexes, size_t count,
                                   popoto_text pattern, entries_handler *handle, void *context);

/* ----- How many records at a time --------------------------------------------------------------- */

/* Records are read many at a time, and how large they are is known only then: those of one page tell how many
 * the next may have. */
typedef struct pace {
    size_t step;           /* so many; 0: not begun */
    size_t records, bytes; /* of the page under way */
} pace;

/* How many records to read next, at least 1 and at most `most`; begins a page. */
size_t popoto__pace_next(pace *it, size_t most);
/* A record of the page was read. */
void popoto__pace_note(pace *it, const reply *record);

#endif
