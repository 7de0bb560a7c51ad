/* codec_text - the half of codec.h that writes values as text and as scores, for keys and sorted
 * sets. The other half, MessagePack, is in codec.c. Never escapes: that is key's. */
#include "codec.h"

#include "decimal.h"
#include "moment.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char NOT_REPRESENTABLE[] = "it is an integer above 9223372036854775807";

/* ----- doubles -------------------------------------------------------------------------------- */

/* The digits of a positive double and where its point is: 0.DIGITS * 10^point. */
typedef struct shortest {
    char digits[20];
    int count;
    int point;
} shortest;

static void drop_trailing_zeros(shortest *it) {
    while (it->count > 1 && it->digits[it->count - 1] == '0')
        it->count--;
}

/* Most numbers that people store have few decimals: value = n / 10^k with n below 10^15. Both are
 * exact doubles, so the division is rounded once, and if it gives the value, then n's digits are its
 * only text of at most 15 digits. Some twenty times as fast as printf and strtod. */
static bool digits_of_short_decimal(double value, shortest *it) {
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
    static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    for (size_t k = 0; k < sizeof(powers) / sizeof(powers[0]); k++) {
        double scaled = value * powers[k];
        if (!(scaled < 1e15))
            return false;
        uint64_t number = (uint64_t)(scaled + 0.5);
        if ((double)number / powers[k] != value)
            continue;
        char reversed[20];
        int count = 0;
        for (uint64_t rest = number; rest != 0; rest /= 10)
            reversed[count++] = (char)('0' + rest % 10);
        for (int i = 0; i < count; i++)
            it->digits[i] = reversed[count - 1 - i];
        it->count = count;
        it->point = count - (int)k;
        drop_trailing_zeros(it);
        return true;
    }
#else
    (void)value;
    (void)it;
#endif
    return false;
}

/* The value printed with `precision` digits. Neither the locale's point nor its size matters: only the
 * digits are kept. */
static void print_digits(double value, int precision, shortest *it) {
    char printed[48];
    snprintf(printed, sizeof(printed), "%.*e", precision - 1, value);
    const char *at = printed;
    it->count = 0;
    for (; *at != 'e'; at++)
        if (*at >= '0' && *at <= '9')
            it->digits[it->count++] = *at;
    it->point = (int)strtol(at + 1, NULL, 10) + 1;
}

/* Read as an integer with an exponent, which needs no point. */
static bool reads_back(const shortest *it, double value) {
    char text[48];
    snprintf(text, sizeof(text), "%.*se%d", it->count, it->digits, it->point - it->count);
    return strtod(text, NULL) == value;
}

/* One more in the last place. False where all digits are nines. */
static bool step_up(shortest *it) {
    int last = it->count - 1;
    while (last >= 0 && it->digits[last] == '9')
        last--;
    if (last < 0)
        return false;
    it->digits[last]++;
    memset(it->digits + last + 1, '0', (size_t)(it->count - 1 - last));
    return true;
}

/* Print with ever more digits until they read back. */
static void digits_by_printing(double value, shortest *it) {
    /* A normal double with at most 15 digits shows them at 15, zeros behind them; a subnormal one has
     * less precision and shows others. */
    int precision = value < DBL_MIN ? 1 : 15;
    for (; precision < 17; precision++) {
        print_digits(value, precision, it);
        if (reads_back(it, value))
            break;
        /* Above a power of two doubles lie twice as far apart as below: the nearest 16 digits may be
         * too far below it to read back while the next ones above it do. */
        int exponent;
        if (frexp(value, &exponent) == 0.5 && step_up(it) && reads_back(it, value))
            break;
    }
    if (precision == 17)
        print_digits(value, precision, it);
    drop_trailing_zeros(it);
}

static char *put(char *at, const char *from, int count) {
    memcpy(at, from, (size_t)count);
    return at + count;
}

static char *put_zeros(char *at, int count) {
    memset(at, '0', (size_t)count);
    return at + count;
}

/* 0.00012, 12.5, 1200.0; and from 1e16 up and below 1e-4 with an exponent: as Python's repr. */
static char *lay_out(char *at, const shortest *it) {
    if (it->point <= -4 || it->point > 16) {
        at = put(at, it->digits, 1);
        if (it->count > 1) {
            *at++ = '.';
            at = put(at, it->digits + 1, it->count - 1);
        }
        return at + sprintf(at, "e%c%02d", it->point <= 0 ? '-' : '+', abs(it->point - 1));
    }
    if (it->point <= 0) {
        at = put(at, "0.", 2);
        at = put_zeros(at, -it->point);
        return put(at, it->digits, it->count);
    }
    if (it->point >= it->count) {
        at = put(at, it->digits, it->count);
        at = put_zeros(at, it->point - it->count);
        return put(at, ".0", 2);
    }
    at = put(at, it->digits, it->point);
    *at++ = '.';
    return put(at, it->digits + it->point, it->count - it->point);
}

/* The same for what has four decimals at most, as most scores: 0.75, 12.0. NULL: it has more. */
static char *put_few_decimals(double value, char *at) {
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
    if (!(value > 0 && value < 1e9))
        return NULL;
    uint64_t number = (uint64_t)(value * 1e4 + 0.5), whole = number / 10000;
    unsigned part = (unsigned)(number % 10000);
    if ((double)number / 1e4 != value)
        return NULL;
    char reversed[10];
    int count = 0;
    do
        reversed[count++] = (char)('0' + whole % 10);
    while ((whole /= 10) != 0);
    while (count > 0)
        *at++ = reversed[--count];
    *at++ = '.';
    do {
        *at++ = (char)('0' + part / 1000);
        part = part % 1000 * 10;
    } while (part != 0);
    return at;
#else
    (void)value, (void)at;
    return NULL;
#endif
}

size_t popoto__codec_double_text(double value, char text[CODEC_DOUBLE_SIZE]) {
    char *at = put_few_decimals(value, text);
    if (at != NULL) {
        *at = '\0';
        return (size_t)(at - text);
    }
    at = text;
    if (isnan(value))
        return strlen(strcpy(text, "nan"));
    if (signbit(value)) {
        *at++ = '-';
        value = -value;
    }
    if (isinf(value)) {
        at = put(at, "inf", 3);
    } else if (value == 0) {
        at = put(at, "0.0", 3);
    } else {
        shortest digits;
        if (!digits_of_short_decimal(value, &digits))
            digits_by_printing(value, &digits);
        at = lay_out(at, &digits);
    }
    *at = '\0';
    return (size_t)(at - text);
}

static bool is_word(const char *text, size_t size, const char *word) {
    return size == strlen(word) && memcmp(text, word, size) == 0;
}

bool popoto__codec_read_double(const char *text, size_t size, double *value) {
    decimal number;
    const char *why;
    bool negative = size > 0 && text[0] == '-';
    *value = 0;
    if (is_word(text + negative, size - negative, "inf")) {
        *value = negative ? (double)-INFINITY : (double)INFINITY;
        return true;
    }
    if (!popoto__decimal_read(&number, text, size, &why))
        return false;
    *value = popoto__decimal_to_double(&number);
    return true;
}

/* ----- key segments --------------------------------------------------------------------------- */

static bool decimal_key_text(buffer *out, popoto_text text, const char **why) {
    decimal number;
    if (!popoto__decimal_read(&number, text.data, text.size, why))
        return false;
    popoto__decimal_append(out, &number);
    return true;
}

static bool moment_key_text(buffer *out, const popoto_value *value, const char **why) {
    char text[MOMENT_TEXT_SIZE];
    size_t size = value->type == POPOTO_TIME ? popoto__moment_utc_text(value->as.time, text)
                                             : popoto__moment_text(value, text);
    if (size == 0) {
        *why = "it is not in the calendar, which has the days and moments of the years 1 to 9999";
        return false;
    }
    popoto__buffer_append(out, text, size);
    return true;
}

static bool number_key_text(buffer *out, const popoto_value *value, const char **why) {
    char text[CODEC_DOUBLE_SIZE];
    if (value->type == POPOTO_INT) {
        snprintf(text, sizeof(text), "%" PRId64, value->as.integer);
    } else if (isnan(value->as.real)) {
        *why = "it is not a number";
        return false;
    } else {
        popoto__codec_double_text(value->as.real, text);
    }
    popoto__buffer_append_text(out, text);
    return true;
}

bool popoto__codec_key_text(buffer *out, const popoto_value *value, const char **why) {
    static const char a_null[] = "it is null";
    switch (value->type) {
    case POPOTO_NULL: *why = a_null; return false;
    case POPOTO_BOOL:
        popoto__buffer_append_text(out, value->as.boolean ? "True" : "False");
        return true;
    case POPOTO_INT:
    case POPOTO_FLOAT: return number_key_text(out, value, why);
    case POPOTO_TEXT:
    case POPOTO_BYTES:
    case POPOTO_DECIMAL: {
        popoto_text text = value->as.text;
        if (value->type == POPOTO_BYTES)
            text = (popoto_text){ value->as.bytes.data, value->as.bytes.size };
        if (text.data == NULL) {
            *why = a_null;
            return false;
        }
        if (value->type == POPOTO_DECIMAL)
            return decimal_key_text(out, text, why);
        popoto__buffer_append(out, text.data, text.size);
        return true;
    }
    case POPOTO_TIME:
    case POPOTO_DAY:
    case POPOTO_CLOCK: return moment_key_text(out, value, why);
    case POPOTO_ANY: *why = NOT_REPRESENTABLE; return false;
    default: break;
    }
    *why = "lists, tuples, sets and maps have no text that could stand in a key";
    return false;
}

/* ----- scores --------------------------------------------------------------------------------- */

/* Seconds, rounded once as Python's timestamp() does. Up to 2^53 microseconds (the year 2255) both
 * operands of the division are exact; beyond it would round twice, and strtod does not. */
static double seconds_of(int64_t microseconds) {
    const int64_t exact = INT64_C(1) << 53;
    if (microseconds >= -exact && microseconds <= exact)
        return (double)microseconds / 1e6;
    char text[32];
    snprintf(text, sizeof(text), "%" PRId64 "e-6", microseconds);
    return strtod(text, NULL);
}

static bool decimal_score(popoto_text text, double *score, const char **why) {
    decimal number;
    if (text.data == NULL || !popoto__decimal_read(&number, text.data, text.size, why))
        return false;
    *score = popoto__decimal_to_double(&number);
    return true;
}

static bool calendar_score(const popoto_value *value, double *score, bool *exact) {
    if (value->type == POPOTO_TIME && popoto__moment_is_time(value->as.time)) {
        *score = seconds_of(value->as.time.microseconds);
        /* Below 2^33 seconds (the year 2242) neighbouring doubles are less than a microsecond apart,
         * so that two times never share one. */
        *exact = fabs(*score) < 8589934592.0;
        return true;
    }
    if (value->type == POPOTO_DAY && popoto__moment_is_day(value->as.day)) {
        *score = popoto__moment_ordinal(value->as.day);
        return true;
    }
    if (value->type == POPOTO_CLOCK && popoto__moment_is_clock(value->as.clock)) {
        popoto_clock clock = value->as.clock;
        *score = clock.hour * 3600 + clock.minute * 60 + clock.second + clock.microsecond / 1e6;
        return true;
    }
    return false;
}

bool popoto__codec_score(const popoto_value *value, double *score, bool *exact, const char **why) {
    const int64_t limit = INT64_C(1) << 53;
    *score = 0;
    *exact = true;
    *why = "only numbers, moments, days and times of day have an order in a sorted index";
    switch (value->type) {
    case POPOTO_INT:
        *score = (double)value->as.integer;
        *exact = value->as.integer > -limit && value->as.integer < limit;
        return true;
    case POPOTO_FLOAT:
        if (isnan(value->as.real)) {
            *why = "it is not a number";
            return false;
        }
        *score = value->as.real;
        return true;
    case POPOTO_DECIMAL:
        *exact = false; /* between any two doubles there are decimals without end */
        return decimal_score(value->as.text, score, why);
    case POPOTO_TIME:
    case POPOTO_DAY:
    case POPOTO_CLOCK:
        if (calendar_score(value, score, exact))
            return true;
        *why = "it is not in the calendar, which has the days and moments of the years 1 to 9999";
        return false;
    case POPOTO_ANY: *why = NOT_REPRESENTABLE; return false;
    default: return false;
    }
}
