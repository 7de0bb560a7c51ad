/* digest - a number that stands for some bytes, for what an object remembers of its record. Not secret, and no
 * proof against somebody who looks for collisions: it tells an object's own changes, and what is stored is
 * checked by its bytes. In the header, because every field of every row comes through here. */
#ifndef POPOTO_DIGEST_H
#define POPOTO_DIGEST_H

#include <popoto.h>
#include <string.h>

/* Every bit of the two has its part in every bit of the result: the halves of their whole product. */
static inline uint64_t popoto__digest_mix(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t high_a = a >> 32, low_a = (uint32_t)a, high_b = b >> 32, low_b = (uint32_t)b;
    uint64_t low = low_a * low_b, middle = high_a * low_b + (low >> 32);
    uint64_t other = low_a * high_b + (uint32_t)middle;
    return (other << 32 | (uint32_t)low) ^ (high_a * high_b + (middle >> 32) + (other >> 32));
#endif
}

#define DIGEST_ONE UINT64_C(0x9E3779B97F4A7C15)
#define DIGEST_TWO UINT64_C(0xC4CEB9FE1A85EC53)

static inline uint64_t popoto__digest_eight(const char *at) {
    uint64_t part;
    memcpy(&part, at, sizeof part);
    return part;
}

/* Never 0. */
static inline uint64_t popoto__digest(const void *data, size_t size) {
    const char *at = data;
    uint64_t hash = DIGEST_ONE ^ size;
    size_t left = size;
    for (; left > 16; at += 16, left -= 16)
        hash = popoto__digest_mix(popoto__digest_eight(at) ^ hash,
                                  popoto__digest_eight(at + 8) ^ DIGEST_TWO);
    /* The last bytes are taken as two eights that may overlap. */
    uint64_t first = 0, last = 0;
    if (left >= 8) {
        first = popoto__digest_eight(at);
        last = popoto__digest_eight(at + left - 8);
    } else {
        for (size_t i = 0; i < left; i++)
            first = first << 8 | (unsigned char)at[i];
    }
    hash = popoto__digest_mix(first ^ hash, last ^ DIGEST_TWO);
    hash = popoto__digest_mix(hash ^ DIGEST_ONE, DIGEST_TWO);
    return hash ? hash : 1;
}

/* The digest of what a record holds is the sum of these over its fields (data NULL: it lacks it). */
static inline uint64_t popoto__content_digest(size_t field_index, popoto_text bytes) {
    uint64_t digest = bytes.data == NULL ? 1 : popoto__digest(bytes.data, bytes.size);
    digest = (digest ^ (field_index + 1)) * DIGEST_ONE;
    return digest ^ digest >> 31;
}

#endif
