/* Any bytes, escaped, come back, hold no separator and nothing that a pattern would take for its own;
 * any bytes can be split and unescaped. */
#include "key.h"

#include <stdlib.h>
#include <string.h>

static void require(bool condition) {
    if (!condition)
        abort();
}

static void comes_back(const char *escapes, const char *data, size_t size,
                       const popoto_allocator *allocator) {
    buffer escaped, back;
    popoto__buffer_init(&escaped, allocator);
    popoto__buffer_init(&back, allocator);
    popoto__key_escape(&escaped, escapes, data, size);
    require(escaped.size == 0 || memchr(escaped.data, ':', escaped.size) == NULL);
    popoto__key_unescape(&back, escaped.data, escaped.size);
    require(back.size == size && (size == 0 || memcmp(back.data, data, size) == 0));
    popoto__buffer_free(&escaped);
    popoto__buffer_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    const char *text = (const char *)data;
    comes_back(KEY_ESCAPES_DOCUMENTED, text, size, &allocator);
    comes_back(KEY_ESCAPES_POPOTO, text, size, &allocator);

    key_rest rest = popoto__key_split(text, size);
    const char *segment;
    size_t length, total = 0, count = 0;
    while (popoto__key_next(&rest, &segment, &length)) {
        buffer out;
        popoto__buffer_init(&out, &allocator);
        popoto__key_unescape(&out, segment, length);
        require(out.size <= length);
        popoto__buffer_clear(&out);
        popoto__key_pattern_literal(&out, segment, length);
        require(out.size >= length);
        popoto__buffer_free(&out);
        total += length;
        count++;
    }
    require(count >= 1 && total + count - 1 == size);
    return 0;
}
