/* Any bytes are a confidence entry or are not; one that was read is written and read as the same. */
#include "codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void require(bool condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    char *copy = malloc(size > 0 ? size : 1);
    if (size > 0)
        memcpy(copy, data, size);
    popoto_confidence figures, again;
    if (popoto__codec_read_confidence(copy, size, 0.5, &figures)) {
        require(!isnan(figures.confidence));
        buffer out;
        popoto__buffer_init(&out, &allocator);
        popoto__codec_write_confidence(&out, &figures);
        require(popoto__codec_read_confidence(out.data, out.size, 0.25, &again));
        require(figures.confidence == again.confidence);
        require(figures.evidence_count == again.evidence_count);
        require(figures.corroborations == again.corroborations);
        require(figures.contradictions == again.contradictions);
        popoto__buffer_free(&out);
    }
    free(copy);
    return 0;
}
