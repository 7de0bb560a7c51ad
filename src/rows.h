/* rows - records as they come back: replies decoded into structs or records, in an arena that goes with
 * the rows. Knows no command and no index. */
#ifndef POPOTO_ROWS_H
#define POPOTO_ROWS_H

#include "query.h"

/* A record whose fields are coming in, and what is wrong with it so far. */
typedef struct arriving {
    void *object;      /* the next of the rows, while its members are filled */
    popoto_value *own; /* a record's values */
    uint64_t content;  /* the digest of its fields so far */
    popoto_value sort_value;
    bool there;                /* some field is */
    bool unfit;                /* some condition does not hold */
    const field *other;        /* the part of the key that it is on */
    popoto_text other_segment; /* what is stored, as a key has it; data NULL: as none has */
    bool starved;              /* there was no memory */
    const field *unread;       /* the first field that cannot be read */
    const field *unset;        /* the first one whose member cannot hold it */
    const char *why_unread, *why_unset; /* NULL: it is of another type */
} arriving;

struct popoto_rows {
    popoto_allocator allocator;
    arena memory; /* every text and value of the rows, and their problems */
    arena names;  /* the keys of candidates, rows among them */
    bool holds_records;
    size_t field_count;
    size_t stride; /* of one object */
    char *objects;
    size_t object_space; /* its bytes */
    popoto_text *keys;   /* under which each is stored */
    size_t key_room;
    popoto_value *sort_values; /* of the order's field, where the rows are sorted here; else NULL */
    bool sorts;
    size_t count;
    size_t room;
    const char **problems;
    size_t problem_count;
    size_t problem_room;
    arriving now;
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

/* The rows will be sorted: before the first one. */
void popoto__rows_will_sort(popoto_rows *it);
/* Make room for so many more rows at once. False: no memory. */
bool popoto__rows_expect(popoto_rows *it, size_t count);
/* The answer to a record's fetch (see popoto__render_fetch), as it comes: element by element, from place 0
 * on (see element_handler), each decoded right into the next row; and its end. */
void popoto__rows_take(popoto_rows *it, const query *what, size_t place, reply_type type,
                       const char *text, size_t size);
/* What became of it. Its key is in it->names. The answer has no items: they were taken. */
row_outcome popoto__rows_end(popoto_rows *it, const query *what, popoto_text key,
                             const reply *answer);
/* List a problem of the record under `key`. False: no memory. */
bool popoto__rows_note(popoto_rows *it, const model *of, popoto_text key, const char *reason);
/* By what->order. False: no memory, and nothing changed. */
bool popoto__rows_sort(popoto_rows *it, const query *what);
/* Leave out the first `offset` rows and all after `limit` more. */
void popoto__rows_cut(popoto_rows *it, const query *what, size_t offset, size_t limit);

#endif
