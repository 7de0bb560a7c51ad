/* rows - records as they come back: replies decoded into structs or records, in an arena that goes with
 * the rows. Knows no command and no index. */
#ifndef POPOTO_ROWS_H
#define POPOTO_ROWS_H

#include "query.h"

struct popoto_rows {
    popoto_allocator allocator;
    arena memory; /* every text and value of the rows, and their problems */
    arena names;  /* the keys of candidates, rows among them */
    bool holds_records;
    size_t field_count;
    size_t stride; /* of one object */
    char *objects;
    popoto_text *keys;         /* under which each is stored */
    popoto_value *sort_values; /* of the order's field, where the rows are sorted here; else NULL */
    bool sorts;
    size_t count;
    size_t room;
    const char **problems;
    size_t problem_count;
    size_t problem_room;
    row_source source;
};

typedef enum row_outcome {
    ROW_TAKEN,
    ROW_GONE,    /* no such record */
    ROW_UNFIT,   /* some condition does not hold (any more) */
    ROW_PROBLEM, /* it does not fit the model: listed in problems */
    ROW_NO_MEMORY,
} row_outcome;

popoto_rows *popoto__rows_new(popoto_db *db, const model *of);
/* Empty them, but for their names; keep their memory. */
void popoto__rows_reset(popoto_rows *it);

/* Add the record under `key` from the answer to its fetch (see popoto__render_fetch). The key is in
 * it->names, the answer's strings are in it->memory. */
row_outcome popoto__rows_add(popoto_rows *it, const query *what, popoto_text key,
                             const reply *answer);
/* By what->order. False: no memory, and nothing changed. */
bool popoto__rows_sort(popoto_rows *it, const query *what);
/* Leave out the first `offset` rows and all after `limit` more. */
void popoto__rows_cut(popoto_rows *it, const query *what, size_t offset, size_t limit);

#endif
