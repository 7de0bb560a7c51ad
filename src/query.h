/* query - pure: a description of what is wanted -> conditions on fields, and the steps by which the
 * indexes answer them. Which Redis commands read an index is known here and nowhere else (plan has those
 * that write). Touches no socket: where the better of two ways depends on sizes, it says what to ask. */
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

/* Whether a condition holds for a value of its field. */
bool popoto__condition_holds(const condition *it, const popoto_value *value);

/* A range of a sorted index. Bounds as the server takes them: "0.5", "(0.5", "-inf". */
typedef struct sorted_range {
    popoto_text key;
    popoto_text low, high;
    double low_score, high_score; /* the same as numbers */
    bool low_exclusive, high_exclusive;
} sorted_range;
bool popoto__range_holds(const sorted_range *it, double score);

typedef enum source_kind {
    SOURCE_KEY,    /* the conditions name one key */
    SOURCE_SETS,   /* the members of sets: of all of them (IS), or of any (IN) */
    SOURCE_SORTED, /* the members of ranges, in the order of their scores within each */
    SOURCE_CLASS,  /* all records of the model */
} source_kind;

/* Where the keys of candidates come from, and what narrows them down before any record is read. */
typedef struct read_plan {
    source_kind source;
    popoto_text key;
    popoto_text *sets;
    size_t set_count;
    bool any_set; /* the union, not the intersection */
    sorted_range *ranges;
    size_t range_count;
    const field *sorted; /* the field of ranges */
    /* A sorted index whose scores the candidates of sets must have: ranges, asked by ZMSCORE. */
    bool check_scores;
    bool sort_here; /* the order is not the source's: sort the rows after reading them all */
    bool exact; /* the candidates, narrowed down by their names, are the answer: counting needs no
                       record */
    bool names_matter; /* the source brings candidates whose names do not fit the conditions */
    bool has_choice; /* sets and ranges both would do: ask their sizes, then popoto__query_choose */
} read_plan;

popoto_status popoto__query_plan(query *it, read_plan *out, failure *why);
/* Append the commands that ask the sizes, SCARDs then ZCOUNTs; how many. */
size_t popoto__query_render_sizes(const read_plan *it, buffer *out);
/* The same, and with them the first PROBE names of the range, if it is one, and a step through the set, if it is
 * one: what turns out to be whole needs no other round trip. */
#define PROBE 64
#define PROBE_STEP \
    16 /* a set that is no larger is whole; a step through a large one costs as much */
size_t popoto__query_render_probe(const query *it, const read_plan *from, buffer *out);
void popoto__query_choose(query *it, read_plan *out, const int64_t *sizes);

/* The conditions but for the one by which a strict model's query names its tenant. */
size_t popoto__query_other_conditions(const query *it);

/* Whether a sorted field's partition_by names a field. */
bool popoto__partitioned_by(const field *sorted, const field *by);

/* Whether a candidate's key agrees with the IS and IN conditions on key fields. */
bool popoto__query_name_fits(const query *it, popoto_text key);
/* Whether it is of the tenant that is asked: what a tenant's own user wrote into its indexes is not
 * believed to lead to another tenant's records. */
bool popoto__query_tenant_fits(const query *it, popoto_text key);

/* ----- The commands that read ----------------------------------------------------------------- */

/* All members of the sets of a plan: SMEMBERS, SINTER or SUNION. */
void popoto__render_members(const read_plan *it, buffer *out);
/* A step through one set, SSCAN. */
void popoto__render_scan(popoto_text set, popoto_text cursor, size_t about, buffer *out);
/* A page of a range with scores; `from` replaces the bound that the page starts at, where not NULL. */
void popoto__render_range(const sorted_range *range, bool descending, const popoto_text *from,
                          size_t skip, size_t count, buffer *out);
/* The first `count` names of a range, without scores. */
void popoto__render_names(const sorted_range *range, bool descending, size_t count, buffer *out);
/* ZMSCORE of these members. */
void popoto__render_scores(popoto_text key, const popoto_text *members, size_t count, buffer *out);
/* A step through the entries of a companion hash, HSCAN; pattern NULL: all. */
void popoto__render_hash_scan(popoto_text hash, popoto_text cursor, const char *pattern,
                              buffer *out);
void popoto__render_hash_size(popoto_text hash, buffer *out);
/* Whether the record is there (EXISTS) and what it has in these fields (HMGET, unless there are none), its
 * entry in a companion hash (HGET, unless data is NULL), and the first two once more. Returns how many
 * replies that brings. */
size_t popoto__render_entry(const model *of, popoto_text record, const size_t *fields, size_t count,
                            popoto_text hash, buffer *out);
/* HMGET of these fields, in this order. */
void popoto__render_fetch_fields(const model *of, const size_t *fields, size_t count,
                                 popoto_text key, buffer *out);
/* A step through all keys, SCAN, for the sets of all records that the tenants of a model have. */
void popoto__render_class_scan(const model *of, popoto_text cursor, buffer *out);
void popoto__render_type(popoto_text key, buffer *out);
/* SADD of a tenant to the list of them, which is kept outside their keys. */
void popoto__render_tenant_note(const model *of, popoto_text segment, buffer *out);
/* Append HMGET of all fields. */
void popoto__render_fetch(const model *of, popoto_text key, buffer *out);
/* The same for many records, and for the fields that a query fetches (NULL: all): `count` commands. */
void popoto__render_fetches(const model *of, const query *what, const popoto_text *keys,
                            size_t count, buffer *out);

#endif
