#include "placements.h"

popoto_status placement_of_values(const model *of, const popoto_value *values, const bool *named,
                                  arena *memory, placement *out, failure *why) {
    const neighbour nobody = { NULL, NULL };
    out->segments = NULL;
    popoto_status status = popoto__place_key(of, values, nobody, memory, out, why);
    return status == POPOTO_OK ? popoto__place_partitions(of, values, named, memory, out, why)
                               : status;
}
