/* object - structs and records <-> values, one per field of the model; and the header in which an
 * object remembers what it was saved as. Pure: knows neither keys nor commands. */
#ifndef POPOTO_OBJECT_H
#define POPOTO_OBJECT_H

#include "model.h"

/* Objects of a model without a struct. values[i] is that of field i; it lives in fields[i] where that
 * arena exists, else in memory that outlives the record (the rows'). */
struct popoto_record {
    popoto_object object;
    const popoto_model *model;
    popoto_value *values;
    arena *fields; /* one per field, made by the first popoto_record_set; NULL before */
    popoto_allocator allocator;
};

/* popoto_object.flags */
#define OBJECT_PARTIAL ((uint64_t)1) /* loaded with a choice of fields: the others hold nothing */

popoto_object *popoto__object_header(const model *of, const void *object);

/* The values that the object's members hold, unchecked but for what no value can express: a char array
 * without its NUL, an integer above INT64_MAX. They point into the object. */
popoto_status popoto__object_values(const model *of, const void *object, popoto_value *values,
                                    failure *why);

/* Put a value of the field's type (or null) into its member; memory owns what a member points at,
 * unless the value's own text already lives there with a NUL behind it, as that of a reply does.
 * False: it does not fit (`reason`, static text), or there is no memory (CODEC_NO_MEMORY). */
bool popoto__object_set(const model *of, void *object, const field *it, const popoto_value *value,
                        arena *memory, const char **reason);

/* Make a zeroed row into an empty object of the model. `values` has room for its values, and is only
 * used by records. */
void popoto__object_init(const model *of, void *object, popoto_value *values,
                         const popoto_allocator *allocator);
/* Release what popoto_record_set made in a record that lives in rows. */
void popoto__record_clear(popoto_record *record);

/* Write a generated key into the object. */
popoto_status popoto__object_set_generated(const model *of, void *object, const field *it,
                                           const popoto_id *id, failure *why);

#endif
