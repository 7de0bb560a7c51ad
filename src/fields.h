/* fields - what a record stores as arguments of HSET, "title", its value, "score", its value: each value is encoded
 * and digested where it is sent from. For the writes that need no plan; see fresh and kept. */
#ifndef POPOTO_FIELDS_H
#define POPOTO_FIELDS_H

#include "plan.h"

typedef struct stored_fields {
    size_t count;
    size_t room;      /* that they need at most, as arguments with their names */
    uint64_t content; /* the digest of what the record holds then; 0: more than these */
} stored_fields;

/* Count and measure what a write stores. False: a value cannot be stored, or there is no memory. */
bool popoto__fields_measure(record_write *it, stored_fields *out);
/* Write them where there is so much room; returns their end. NULL: a text is not UTF-8. */
char *popoto__fields_put(const record_write *it, stored_fields *out, char *at);

#endif
