/* model - descriptors, checked once when first used, and the names of every key that a model has (the
 * dialects are one table in model.c). Pure: knows neither commands nor connections. */
#ifndef POPOTO_MODEL_H
#define POPOTO_MODEL_H

#include "codec.h"
#include "failure.h"
#include "key.h"
#include "memory.h"

#define MODEL_MAX_FIELDS 256
#define MODEL_MAX_NAME   128
/* The longest text or bytes that Redis stores. */
#define MODEL_MAX_LENGTH ((size_t)512 * 1024 * 1024)
/* Beyond this a double no longer tells neighbouring integers apart. */
#define MODEL_MAX_EXACT  ((int64_t)1 << 53)

typedef struct model model;

typedef struct field {
    const popoto_field *declared;
    const char *name;
    size_t name_size;
    popoto_text argument; /* the name as an argument of a command: "$5\r\ntitle\r\n" */
    size_t index;         /* in model.fields */
    popoto_kind kind;
    popoto_type type; /* POPOTO_ANY, or what its values are */
    size_t max_length;
    bool is_key;         /* one of the kinds that make the record's key */
    bool is_partition;   /* some other field's partition_by names it */
    bool places_index;   /* its segment stands in the key of some index */
    size_t key_position; /* is_key: which segment of the key, the model's name being segment 0 */
    popoto_text prefix;  /* of its index keys: "$KeyF:Episode:project_id"; empty: not indexed */
    const size_t *partition; /* SORTED, CONFIDENCE: indexes of the fields that partition_by names */
    size_t partition_count;
    bool raw_partition; /* the partition's values stand in its key as they are, not escaped */
    double initial_confidence;
    int64_t evidence_cap;
    popoto_text entry;          /* CONFIDENCE: what a new record has in the companion hash */
    popoto_value default_value; /* in the field's type */
} field;

/* What records are members of: the set of all of them, or the index of a field. */
typedef struct model_index {
    const field *about; /* NULL: of all records */
    const size_t *by;   /* the fields whose segments its key is made of, besides the tenant's */
    size_t by_count;
    bool is_sorted;
    size_t score; /* SORTED: which of a record's scores is for it */
} model_index;

struct model {
    const popoto_model *declared;
    popoto_text name;
    popoto_text class_prefix;                          /* "$Class:Episode" */
    popoto_text time_to_live;                          /* as a number; data NULL: there is none */
    popoto_text kind_prefixes[POPOTO_KIND_TENANT + 1]; /* "$KeyF"; empty: no index */
    const field *tenant;      /* the TENANT; NULL: the model is not strict */
    const char *escapes;      /* of key segments */
    const char *null_segment; /* of a KEY that is null; NULL: none can be */
    field *fields;
    size_t field_count;
    const size_t *keys; /* indexes of the key fields, in the order of the key's segments */
    size_t key_count;
    const model_index *indexes; /* that of all records first, then by field */
    size_t index_count;
    size_t sorted_count;  /* of them */
    const size_t *placed; /* the fields whose segments stand in the key of some index */
    size_t placed_count;
    bool has_auto_key;
    bool has_unique_key;
    bool raw_partitions; /* of some field */
    bool moves; /* some index is partitioned by a field that is no part of the key, so a record can
                   move between partitions without changing its key */
};

bool popoto__model_has_dialect(popoto_dialect which);

/* Check the declaration and build its compiled form in memory. POPOTO_BAD_MODEL with a sentence. */
popoto_status popoto__model_compile(const popoto_model *declared, popoto_dialect dialect,
                                    arena *memory, const model **out, failure *why);

/* NULL where the model has no such field. */
const field *popoto__model_field(const model *of, const char *name, size_t size);
/* The names of the fields, "project_id, episode_id, title", for sentences; cut where long. */
void popoto__model_field_names(const model *of, char *out, size_t size);

/* "title,score" -> chosen[i] for each field of the model; `status` is that of a bad list. */
popoto_status popoto__model_choose(const model *of, const char *list, bool *chosen,
                                   popoto_status status, failure *why);
/* The next name of such a list, moving *at past it; size 0 at the end. */
const char *popoto__list_next(const char **at, size_t *size);

/* Whether a field takes a value as it is, as most are taken: text that only its length could forbid, or a number. */
static inline bool popoto__field_takes(const field *it, const popoto_value *given) {
    return given->type == it->type &&
           ((given->type == POPOTO_TEXT && given->as.text.size <= it->max_length &&
             it->kind != POPOTO_KIND_SORTED) ||
            (given->type == POPOTO_FLOAT && it->kind != POPOTO_KIND_CONFIDENCE &&
             given->as.real == given->as.real));
}
/* The type with which a field takes `given`: converts what C's literals make necessary (an int for a
 * float, 0 and 1 for a bool, text for a decimal, an item list...), checks type, length and what its
 * kind forbids. Null is taken where the field allows it. POPOTO_BAD_VALUE with a sentence. */
popoto_status popoto__field_accept_other(const model *of, const field *it,
                                         const popoto_value *given, popoto_value *taken,
                                         failure *why);
static inline popoto_status popoto__field_accept(const model *of, const field *it,
                                                 const popoto_value *given, popoto_value *taken,
                                                 failure *why) {
    if (!popoto__field_takes(it, given))
        return popoto__field_accept_other(of, it, given, taken, why);
    *taken = *given;
    return POPOTO_OK;
}
/* Make null what the field would not accept, else convert it: what an object says of a stored record
 * that need not agree with it. */
void popoto__guess_value(const model *of, const field *it, popoto_value *value);
/* The conversion alone, for filters' values: no length, no null. False: of another type. */
bool popoto__field_convert(const field *it, const popoto_value *given, popoto_value *taken);

/* Where one record stands: its key, and the escaped segment of every field that is part of a key or of
 * a partition (by field index; data NULL for the others). All text is in the arena it was made in. */
typedef struct placement {
    popoto_text key;
    popoto_text *segments;
} placement;

/* A record of the same arena: where its text is the same text, so is the segment. */
typedef struct neighbour {
    const popoto_value *values;
    const popoto_text *segments; /* NULL: there is none */
} neighbour;
/* From values (by field index), in two steps: the key, with the segments that are parts of it, from the key's own fields;
 * and the segments of the partitions that the key does not tell, but for fields that are not named (named NULL: all
 * are). out->segments is NULL before the first, or zeroed. POPOTO_BAD_VALUE where a value cannot stand in a key. */
popoto_status popoto__place_key(const model *of, const popoto_value *values, neighbour last,
                                arena *memory, placement *out, failure *why);
popoto_status popoto__place_partitions(const model *of, const popoto_value *values,
                                       const bool *named, arena *memory, placement *out,
                                       failure *why);
/* The segments of a field's partition alone; the key stays empty. */
popoto_status popoto__placement_of_partition(const model *of, const field *it,
                                             const popoto_value *values, arena *memory,
                                             placement *out, failure *why);
/* The key alone, for calls that need no more than the key's own fields. */
popoto_status popoto__key_of_values(const model *of, const popoto_value *values, arena *memory,
                                    popoto_text *key, failure *why);
/* From a key alone: the segments of fields that are no part of the key stay empty, to be set with
 * popoto__placement_set. False: the key is not one of this model's, or there is no memory. */
bool popoto__placement_of_key(const model *of, popoto_text key, arena *memory, placement *out);
/* One of a key's segments, of the TENANT or a key field; about NULL: the model's name. data NULL: the key is not one
 * of this model's. Takes no memory. */
popoto_text popoto__key_segment(const model *of, const field *about, popoto_text key);
popoto_status popoto__placement_set(const model *of, placement *it, size_t field_index,
                                    const popoto_value *value, arena *memory, failure *why);

/* The escaped segment of a value. */
popoto_status popoto__segment(const model *of, const field *it, const popoto_value *value,
                              arena *memory, popoto_text *out, failure *why);

/* The key of a partitioned index or companion hash. POPOTO_CORRUPT where the placement lacks a
 * partition's segment: the stored record has no such field. POPOTO_BAD_VALUE where another partition's
 * key could be the same. */
popoto_status popoto__partition_key(const model *of, const field *it, const popoto_text *segments,
                                    arena *memory, popoto_text *out, failure *why);

/* "$KeyF" and its like, with which the indexes of fields of a kind begin; empty where they have none. */
popoto_text popoto__index_prefix(const model *of, popoto_kind kind);

/* The key that a companion hash would have without a partition. data NULL: no memory. */
popoto_text popoto__unpartitioned_key(const model *of, const field *it, const popoto_text *segments,
                                      arena *memory);

/* The key of the set of all records: of the model, or of the placement's tenant. data NULL: no memory. */
popoto_text popoto__class_key(const model *of, const popoto_text *segments, arena *memory);

/* The key of a record whose key's segments are these. data NULL: no memory. */
popoto_text popoto__key_of_segments(const model *of, const popoto_text *segments, arena *memory);

/* The index key of a field for a record: key and unique indexes end in the field's own segment,
 * sorted indexes and companion hashes in their partition's. data NULL: no memory. */
popoto_text popoto__index_key(const model *of, const field *it, const popoto_text *segments,
                              arena *memory);

#endif
