/* utf8 - see utf8.h. */
#include "utf8.h"

#include <stdint.h>
#include <string.h>

static bool continues(unsigned char byte) {
    return (byte & 0xC0) == 0x80;
}

size_t popoto__utf8_sequence(const char *data, size_t size) {
    const unsigned char *it = (const unsigned char *)data;
    unsigned char first = it[0];
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || size < 2) /* a stray continuation, or an overlong pair */
        return 0;
    if (first < 0xE0)
        return continues(it[1]) ? 2 : 0;
    /* The second byte's range keeps out overlong forms, surrogates and what is above U+10FFFF. */
    unsigned char low = 0x80, high = 0xBF;
    switch (first) {
    case 0xE0: low = 0xA0; break;
    case 0xED: high = 0x9F; break;
    case 0xF0: low = 0x90; break;
    case 0xF4: high = 0x8F; break;
    default: break;
    }
    if (it[1] < low || it[1] > high || size < 3 || !continues(it[2]))
        return 0;
    if (first < 0xF0)
        return 3;
    return first <= 0xF4 && size >= 4 && continues(it[3]) ? 4 : 0;
}

bool popoto__utf8_valid(const char *data, size_t size) {
    const uint64_t high_bits = 0x8080808080808080u;
    size_t i = 0;
    while (i < size) {
        /* Nearly all text is ASCII: eight bytes at a time while none has its high bit set. */
        uint64_t eight;
        if (size - i >= sizeof(eight)) {
            memcpy(&eight, data + i, sizeof(eight));
            if ((eight & high_bits) == 0) {
                i += sizeof(eight);
                continue;
            }
        } else if (size >= sizeof(eight)) {
            /* The rest is seen to be ASCII by the last eight bytes, whose first were seen before. */
            memcpy(&eight, data + size - sizeof(eight), sizeof(eight));
            if ((eight & high_bits) == 0)
                return true;
        }
        size_t length = popoto__utf8_sequence(data + i, size - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}
