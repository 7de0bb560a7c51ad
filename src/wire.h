/* wire - the server's protocol where there is room for it already: the parts of commands, each written behind the
 * last one. Where there is none, see popoto__request_begin and its like. In the header, because every byte of a
 * write goes through here. */
#ifndef POPOTO_WIRE_H
#define POPOTO_WIRE_H

#include <popoto.h>
#include <string.h>

/* "$12345\r\n" and the end of an argument, at most. */
#define WIRE_HEAD ((size_t)24)

static inline char *popoto__wire_put(char *at, const char *data, size_t size) {
    memcpy(at, data, size);
    return at + size;
}

static inline char *popoto__wire_end(char *at) {
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static inline char *popoto__wire_number(char *at, size_t number) {
    char digits[WIRE_HEAD], *head = digits + WIRE_HEAD;
    if (number < 10) {
        *at++ = (char)('0' + number);
    } else if (number < 100) {
        *at++ = (char)('0' + number / 10);
        *at++ = (char)('0' + number % 10);
    } else {
        for (; number != 0; number /= 10)
            *--head = (char)('0' + number % 10);
        at = popoto__wire_put(at, head, (size_t)(digits + WIRE_HEAD - head));
    }
    return at;
}

/* "$12\r\n" or "*12\r\n". */
static inline char *popoto__wire_head(char *at, char mark, size_t number) {
    *at++ = mark;
    return popoto__wire_end(popoto__wire_number(at, number));
}

/* "$3\r\nabc\r\n". */
static inline char *popoto__wire_argument(char *at, popoto_text text) {
    at = popoto__wire_head(at, '$', text.size);
    return popoto__wire_end(popoto__wire_put(at, text.data, text.size));
}

#endif
