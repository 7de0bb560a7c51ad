/* placements - where a record stands, from its values at once, as a write finds it in two steps. */
#ifndef POPOTO_TESTS_PLACEMENTS_H
#define POPOTO_TESTS_PLACEMENTS_H

#include "model.h"

/* See popoto__place_key and popoto__place_partitions. */
popoto_status placement_of_values(const model *of, const popoto_value *values, const bool *named,
                                  arena *memory, placement *out, failure *why);

#endif
