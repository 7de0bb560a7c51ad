/* key - see key.h. */
#include "key.h"

#include <stdint.h>
#include <string.h>

static const char COLON[] = "{&#58;}";
#define COLON_SIZE (sizeof(COLON) - 1)

/* The characters that may follow a / in an escaped segment, besides the { of an escaped {&#58;}. */
static const char ESCAPED[] = "/" KEY_ESCAPES_POPOTO "{";

static bool is_colon(const char *at, const char *end) {
    return (size_t)(end - at) >= COLON_SIZE && memcmp(at, COLON, COLON_SIZE) == 0;
}

/* What is special about a byte: all escapes know the first half, those with a - the second, too. A { alone is
 * nothing, but may begin what is. */
#define ALWAYS 3U
#define DASH   2U
static const unsigned char escaped_by[256] = {
    ['/'] = ALWAYS, [':'] = ALWAYS, ['{'] = ALWAYS, ['\''] = ALWAYS, ['?'] = ALWAYS,
    ['*'] = ALWAYS, ['^'] = ALWAYS, ['['] = ALWAYS, [']'] = ALWAYS,  ['-'] = DASH,
};

/* Whether some of sixteen bytes may be special, eight at a time and by ranges that hold a few others, too: a byte
 * below 128 plus so much has its highest bit set from a certain one on, and none carries into the next. */
#define EACH(byte)         (UINT64_C(0x0101010101010101) * (byte))
#define FROM(first, bytes) ((bytes) + EACH(0x80 - (first)))
static bool are_suspicious(const unsigned char *at) {
    uint64_t found = 0;
    for (size_t i = 0; i < 2; i++) {
        uint64_t bytes;
        memcpy(&bytes, at + 8 * i, sizeof bytes);
        bytes = (bytes | EACH(0x20)) & EACH(0x7F); /* [ ] and ^ are then between { and ~ */
        found |= (FROM('\'', bytes) & ~FROM('/' + 1, bytes)) |
                 (FROM(':', bytes) & ~FROM('?' + 1, bytes)) | FROM('{', bytes);
    }
    return (found & EACH(0x80)) != 0;
}

bool popoto__key_is_plain(const char *escapes, const char *data, size_t size) {
    unsigned found = 0;
    const unsigned char *at = (const unsigned char *)data, *end = at + size;
    while (end - at >= 16 && !are_suspicious(at))
        at += 16;
    for (; end - at >= 4; at += 4)
        found |= escaped_by[at[0]] | escaped_by[at[1]] | escaped_by[at[2]] | escaped_by[at[3]];
    for (; at < end; at++)
        found |= escaped_by[*at];
    return found == 0 || (found == DASH && strchr(escapes, '-') == NULL);
}

void popoto__key_escape(buffer *out, const char *escapes, const char *data, size_t size) {
    if (size == 0)
        return;
    unsigned wanted = strchr(escapes, '-') != NULL ? DASH : ALWAYS & ~DASH;
    const char *end = data + size;
    const char *plain = data; /* what was not yet appended and needs no escape */
    for (const char *at = data; at < end; at++) {
        if ((escaped_by[(unsigned char)*at] & wanted) == 0)
            continue;
        if (*at == ':') {
            popoto__buffer_append(out, plain, (size_t)(at - plain));
            popoto__buffer_append(out, COLON, COLON_SIZE);
            plain = at + 1;
        } else if (*at != '{' || is_colon(at, end)) {
            popoto__buffer_append(out, plain, (size_t)(at - plain));
            popoto__buffer_append(out, "/", 1);
            plain = at;
        }
    }
    popoto__buffer_append(out, plain, (size_t)(end - plain));
}

void popoto__key_unescape(buffer *out, const char *data, size_t size) {
    if (size == 0)
        return;
    const char *end = data + size;
    const char *plain = data;
    for (const char *at = data; at < end; at++) {
        if (*at == '/' && at + 1 < end && memchr(ESCAPED, at[1], sizeof(ESCAPED) - 1) != NULL) {
            popoto__buffer_append(out, plain, (size_t)(at - plain));
            plain = ++at; /* the character behind the / stands for itself */
        } else if (*at == '{' && is_colon(at, end)) {
            popoto__buffer_append(out, plain, (size_t)(at - plain));
            popoto__buffer_append(out, ":", 1);
            at += COLON_SIZE - 1;
            plain = at + 1;
        }
    }
    popoto__buffer_append(out, plain, (size_t)(end - plain));
}

void popoto__key_pattern_literal(buffer *out, const char *data, size_t size) {
    static const char special[] = "*?[]^-\\";
    for (size_t i = 0; i < size; i++) {
        if (memchr(special, data[i], sizeof(special) - 1) != NULL)
            popoto__buffer_append(out, "\\", 1);
        popoto__buffer_append(out, data + i, 1);
    }
}

/* ----- Tenants -------------------------------------------------------------------------------- */

static bool stays_in_tenant(unsigned char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '_' || byte == '.' ||
           byte == '@' || byte > 127;
}

static const char hexadecimal[] = "0123456789abcdef";

void popoto__key_escape_tenant(buffer *out, const char *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)data[i];
        char escaped[3] = { '/', hexadecimal[byte >> 4], hexadecimal[byte & 15] };
        if (stays_in_tenant(byte))
            popoto__buffer_append(out, data + i, 1);
        else
            popoto__buffer_append(out, escaped, sizeof escaped);
    }
}

static int hexadecimal_value(char digit) {
    const char *at = digit == '\0' ? NULL : strchr(hexadecimal, digit);
    return at == NULL ? -1 : (int)(at - hexadecimal);
}

bool popoto__key_unescape_tenant(buffer *out, const char *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)data[i];
        if (byte == '/') {
            int high = i + 2 < size ? hexadecimal_value(data[i + 1]) : -1;
            int low = i + 2 < size ? hexadecimal_value(data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            byte = (unsigned char)(high << 4 | low);
            if (stays_in_tenant(byte))
                return false;
            i += 2;
        } else if (!stays_in_tenant(byte)) {
            return false;
        }
        if (out != NULL)
            popoto__buffer_append(out, &byte, 1);
    }
    return true;
}

popoto_text popoto__key_kind(popoto_text key) {
    popoto_text tenant = popoto__key_tenant(key);
    const char *begin = tenant.data != NULL ? tenant.data + tenant.size + 2 : key.data;
    key_rest rest = popoto__key_split(begin, (size_t)(key.data + key.size - begin));
    popoto_text kind, behind;
    popoto__key_next(&rest, &kind.data, &kind.size);
    bool is_index = kind.size > 0 && kind.data[0] == '$';
    if (is_index && popoto__key_next(&rest, &behind.data, &behind.size) && behind.size > 0)
        kind = behind;
    return kind;
}

popoto_text popoto__key_tenant(popoto_text key) {
    const char *end = key.size > 1 ? memchr(key.data, '}', key.size) : NULL;
    if (end == NULL || key.data[0] != '{' || end == key.data + 1 ||
        end + 1 == key.data + key.size || end[1] != ':')
        return (popoto_text){ NULL, 0 };
    return (popoto_text){ key.data + 1, (size_t)(end - key.data) - 1 };
}
