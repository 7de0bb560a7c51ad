/* decimal - see decimal.h. */
#include "decimal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest exponent that Python's decimals have (decimal.MAX_EMAX). */
#define LARGEST_EXPONENT INT64_C(999999999999999999)

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* ----- reading -------------------------------------------------------------------------------- */

/* The digits from `at` to `end`, of which at most one may be a point: the leading zeros are left out.
 * False where there is no digit, or something else. */
static bool read_coefficient(decimal *it, const char *at, const char *end) {
    const char *point = NULL;
    const char *last_digit = NULL;
    it->first = NULL;
    it->end = end;
    it->count = 0;
    for (; at < end; at++) {
        if (*at == '.' && point == NULL) {
            point = at;
            continue;
        }
        if (!is_digit(*at))
            return false;
        last_digit = at;
        if (it->first == NULL && *at != '0')
            it->first = at;
        it->count += it->first != NULL;
    }
    if (last_digit == NULL)
        return false;
    it->zero = it->first == NULL;
    if (it->zero) {
        it->first = last_digit;
        it->count = 1;
    }
    it->exponent = point == NULL ? 0 : -(int64_t)(end - point - 1);
    return true;
}

/* +12 or -3 or 4; false for anything else and for what is too large to be an exponent. */
static bool read_exponent(const char *at, const char *end, int64_t *exponent) {
    bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    if (at == end)
        return false;
    int64_t number = 0;
    for (; at < end; at++) {
        if (!is_digit(*at) || number > LARGEST_EXPONENT / 10)
            return false;
        number = number * 10 + (*at - '0');
    }
    *exponent = negative ? -number : number;
    return true;
}

static bool is_special(const char *at, const char *end) {
    return at < end &&
           (*at == 'N' || *at == 'n' || *at == 'I' || *at == 'i' || *at == 's' || *at == 'S');
}

bool popoto__decimal_read(decimal *it, const char *text, size_t size, const char **why) {
    const char *at = text;
    const char *end = text + size;
    *why = "a decimal is written like 12.50 or -1E+3";
    it->negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    if (is_special(at, end)) {
        *why = "a decimal must be a finite number, not NaN or Infinity";
        return false;
    }
    const char *e = at;
    while (e < end && *e != 'e' && *e != 'E')
        e++;
    if (!read_coefficient(it, at, e))
        return false;
    int64_t exponent = 0;
    if (e < end && !read_exponent(e + 1, end, &exponent))
        return false;
    it->exponent += exponent;
    int64_t adjusted = it->exponent + (int64_t)it->count - 1;
    if (adjusted > LARGEST_EXPONENT || adjusted < -LARGEST_EXPONENT) {
        *why = "the exponent of a decimal must be within 18 digits";
        return false;
    }
    return true;
}

/* ----- writing -------------------------------------------------------------------------------- */

/* `count` digits from *at on, stepping over the point. */
static void append_digits(buffer *out, const char **at, size_t count) {
    char *room = popoto__buffer_grow(out, count);
    if (room == NULL)
        return;
    for (size_t i = 0; i < count; (*at)++)
        if (**at != '.')
            room[i++] = **at;
}

static void append_zeros(buffer *out, size_t count) {
    char *room = popoto__buffer_grow(out, count);
    if (room != NULL)
        memset(room, '0', count);
}

/* The to-scientific-string of the decimal arithmetic specification, which is what str() prints. */
void popoto__decimal_append(buffer *out, const decimal *it) {
    const char *at = it->first;
    int64_t left = it->exponent + (int64_t)it->count; /* digits left of the point */
    bool plain = it->exponent <= 0 && left > -6;
    if (it->negative)
        popoto__buffer_append(out, "-", 1);
    if (plain && left <= 0) {
        popoto__buffer_append(out, "0.", 2);
        append_zeros(out, (size_t)-left);
        append_digits(out, &at, it->count);
        return;
    }
    size_t before = plain ? (size_t)left : 1;
    append_digits(out, &at, before);
    if (before < it->count) {
        popoto__buffer_append(out, ".", 1);
        append_digits(out, &at, it->count - before);
    }
    if (!plain) {
        char exponent[24];
        snprintf(exponent, sizeof(exponent), "E%+" PRId64, left - 1);
        popoto__buffer_append_text(out, exponent);
    }
}

/* ----- comparing ------------------------------------------------------------------------------ */

/* The next digit, or 0 behind the last: trailing zeros say nothing about the value. */
static char next_digit(const char **at, const char *end) {
    if (*at < end && **at == '.')
        (*at)++;
    return *at < end ? *(*at)++ : '0';
}

static int compare_magnitudes(const decimal *a, const decimal *b) {
    int64_t left_a = a->exponent + (int64_t)a->count;
    int64_t left_b = b->exponent + (int64_t)b->count;
    if (left_a != left_b)
        return left_a < left_b ? -1 : 1;
    const char *at_a = a->first;
    const char *at_b = b->first;
    size_t digits = a->count > b->count ? a->count : b->count;
    for (size_t i = 0; i < digits; i++) {
        char digit_a = next_digit(&at_a, a->end);
        char digit_b = next_digit(&at_b, b->end);
        if (digit_a != digit_b)
            return digit_a < digit_b ? -1 : 1;
    }
    return 0;
}

int popoto__decimal_compare(const decimal *a, const decimal *b) {
    int sign_a = a->zero ? 0 : a->negative ? -1 : 1;
    int sign_b = b->zero ? 0 : b->negative ? -1 : 1;
    if (sign_a != sign_b)
        return sign_a < sign_b ? -1 : 1;
    return sign_a < 0 ? compare_magnitudes(b, a) : sign_a == 0 ? 0 : compare_magnitudes(a, b);
}

/* ----- doubles -------------------------------------------------------------------------------- */

/* No double, and no number half way between two, has more significant digits than this; whatever
 * follows them matters only by being there. */
#define DIGITS_THAT_MATTER 768

double popoto__decimal_to_double(const decimal *it) {
    /* Digits and an exponent without a point, because strtod's point depends on the locale. */
    char text[DIGITS_THAT_MATTER + 32];
    size_t written = 0;
    const char *at = it->first;
    size_t kept = it->count < DIGITS_THAT_MATTER ? it->count : DIGITS_THAT_MATTER;
    if (it->negative)
        text[written++] = '-';
    for (size_t i = 0; i < kept; i++)
        text[written++] = next_digit(&at, it->end);
    int64_t exponent = it->exponent + (int64_t)(it->count - kept);
    for (size_t i = kept; i < it->count; i++) {
        if (next_digit(&at, it->end) != '0') {
            text[written++] = '1';
            exponent--;
            break;
        }
    }
    if (exponent > 10000)
        exponent = 10000;
    if (exponent < -10000)
        exponent = -10000;
    snprintf(text + written, sizeof(text) - written, "e%d", (int)exponent);
    return strtod(text, NULL);
}

decimal popoto__decimal_of_double(double value, char room[DECIMAL_DOUBLE_SIZE]) {
    /* 766 digits behind the point are all that a double can have. The point is the locale's, and may
     * be of several bytes: only digits, the sign and the exponent are kept, and the exponent mended. */
    enum {
        DIGITS = 766
    };
    char printed[DECIMAL_DOUBLE_SIZE];
    snprintf(printed, sizeof(printed), "%.*e", DIGITS, value);
    size_t written = 0;
    const char *at = printed;
    for (; *at != 'e'; at++)
        if (is_digit(*at) || *at == '-')
            room[written++] = *at;
    snprintf(room + written, DECIMAL_DOUBLE_SIZE - written, "e%d",
             (int)strtol(at + 1, NULL, 10) - DIGITS);
    decimal read = { 0 };
    const char *why;
    popoto__decimal_read(&read, room, strlen(room), &why);
    return read;
}
