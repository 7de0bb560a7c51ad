/* query - pure: a description of what is wanted -> conditions on the model's fields, completed with the
 * scopes of this thread, and whether a value fulfils them. How indexes answer them is read_plan's. */
#ifndef POPOTO_QUERY_H
#define POPOTO_QUERY_H

#include "db.h"

typedef enum lookup {
    LOOKUP_IS,
    LOOKUP_IN,
    LOOKUP_GT,
    LOOKUP_GTE,
    LOOKUP_LT,
    LOOKUP_LTE,
    LOOKUP_BETWEEN,
    LOOKUP_ISNULL,
    LOOKUP_STARTSWITH,
    LOOKUP_ENDSWITH,
    LOOKUP_CONTAINS,
    LOOKUP_COUNT,
} lookup;

typedef struct lookup_rule {
    const char *word; /* after the field's name and "__" */
    unsigned types;   /* of fields that have this lookup, a bit each */
    bool sorted;      /* a sorted index answers it */
    bool key;         /* a key index answers it */
} lookup_rule;
const lookup_rule *popoto__lookup(lookup how);

/* One thing that must hold. The value is of the field's type; of IN and BETWEEN it is a list of such;
 * of ISNULL a bool. */
typedef struct condition condition;
struct condition {
    const field *about;
    lookup how;
    popoto_value value;
    /* IS and IN on a key field: the segments that a fitting record's key has in its place. */
    popoto_text *segments;
    size_t segment_count;
    const condition *next; /* about the same field */
};

/* A field that is read, and what for. */
typedef struct fetched_field {
    const field *about;
    bool chosen;            /* to be filled in the rows */
    const condition *first; /* that is about it */
    bool keeps_text;        /* its text has to stay: a member points at it, or the order is by it */
} fetched_field;

typedef struct query {
    const model *of;
    arena *memory;
    condition *conditions;
    size_t condition_count;
    const field *order; /* NULL: none */
    bool descending;
    size_t limit; /* SIZE_MAX: none */
    size_t offset;
    bool partial;           /* not all fields are to be filled in the rows */
    fetched_field *fetched; /* those, the key's, the conditions' and the order's, as in the model */
    size_t fetched_count;
    const field *
        *told; /* those of them that the record's key tells, so that nobody asks for them */
    size_t told_count;
    bool allow_scan;
    condition *each_tenant; /* all tenants: the condition that names them by turns */
    popoto_text
        *tenant_segments; /* by field, with the tenant's alone; NULL: the model is not strict */
} query;

/* The description, completed with the scopes of this thread. POPOTO_BAD_QUERY, POPOTO_BAD_SCOPE or
 * POPOTO_BAD_VALUE with a sentence. */
popoto_status popoto__query_parse(popoto_db *db, const model *of, const popoto_query_desc *desc,
                                  arena *memory, query *out);

/* The record that these values' tenant and key fields name, completed likewise. */
popoto_status popoto__query_of_key(popoto_db *db, const model *of, const popoto_value *values,
                                   arena *memory, query *out);

/* How many filters .where has. False: there is a hole in them, and what stands behind it would be lost,
 * a tenant perhaps; `why` is set. */
bool popoto__count_where(const popoto_filter *where, size_t *count, failure *why);

/* Whether the rows point at a field's text, so that it has to stay as long as they do. (A char array has its own
 * copy.) */
bool popoto__points_at_text(const model *of, const field *about);

/* Whether a condition holds for a value of its field. */
bool popoto__condition_holds(const condition *it, const popoto_value *value);

/* POPOTO_BAD_QUERY: what was given cannot be compared with; `right` says what could. */
popoto_status popoto__bad_operand(const model *of, const condition *it, const popoto_value *given,
                                  const char *right, failure *why);

#endif
