/* read_plan - pure: the conditions of a query -> the keys and ranges of the indexes that answer it, and
 * whether a candidate's name fits. Where the better of two ways depends on sizes, it takes those. */
#ifndef POPOTO_READ_PLAN_H
#define POPOTO_READ_PLAN_H

#include "query.h"

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
    /* Ranges of several partitions between which a record moves without changing its name: it may be met in two,
     * having moved meanwhile, or expired in one and come again in another. */
    bool names_repeat;
    bool sort_here; /* the order is not the source's: sort the rows after reading them all */
    bool exact; /* the candidates, narrowed down by their names, are the answer: counting needs no
                       record */
    bool names_matter; /* the source brings candidates whose names do not fit the conditions */
    bool has_choice; /* sets and ranges both would do: ask their sizes, then popoto__query_choose */
} read_plan;

popoto_status popoto__query_plan(query *it, read_plan *out, failure *why);
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

#endif
