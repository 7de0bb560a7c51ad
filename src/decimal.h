/* decimal - exact decimal numbers as text: reading them, writing them as Python's str(Decimal) does,
 * comparing them. No arithmetic; no NaN and no infinity. */
#ifndef POPOTO_DECIMAL_H
#define POPOTO_DECIMAL_H

#include "memory.h"

/* A number that was read, in the text it was read from:
 *
 *     - 0 0 1 2 . 5 0 E + 3          (-1)^negative * 1250 * 10^exponent
 *           ^ first     ^ end        count 4, exponent 1
 *
 * `first` is the first digit that is not 0, or the last digit where all are. Between first and end
 * there may be a point, which is no digit. */
typedef struct decimal {
    const char *first;
    const char *end;
    size_t count;
    int64_t exponent;
    bool negative;
    bool zero;
} decimal;

/* Digits, a point, an exponent, a sign, as Python's Decimal takes them. False: *why is set. */
bool popoto__decimal_read(decimal *it, const char *text, size_t size, const char **why);

/* Append the text that Python's str(Decimal(..)) gives. */
void popoto__decimal_append(buffer *out, const decimal *it);

/* By value: -1, 0, 1. */
int popoto__decimal_compare(const decimal *a, const decimal *b);

/* The nearest double; infinite where it is too large. */
double popoto__decimal_to_double(const decimal *it);

/* The exact value of a finite double, read from `room`. */
#define DECIMAL_DOUBLE_SIZE 800
decimal popoto__decimal_of_double(double value, char room[DECIMAL_DOUBLE_SIZE]);

#endif
