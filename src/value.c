/* value - values from C expressions, and comparing values. Owns no memory: every value points at
 * what it was made from. */
#include "codec.h"
#include "decimal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ----- making --------------------------------------------------------------------------------- */

popoto_value popoto_of_text(const char *text) {
    popoto_value value = { text != NULL ? POPOTO_TEXT : POPOTO_NULL, { 0 } };
    value.as.text = (popoto_text){ text, text != NULL ? strlen(text) : 0 };
    return value;
}

popoto_value popoto_of_unsigned(uint64_t number) {
    if (number <= INT64_MAX)
        return popoto_of_int((int64_t)number);
    return (popoto_value){ POPOTO_ANY,
                           { 0 } }; /* a type that no value has, so that no field takes it */
}

popoto_value popoto_of_decimal(popoto_decimal number) {
    popoto_value value = popoto_of_text(number.text);
    if (value.type == POPOTO_TEXT)
        value.type = POPOTO_DECIMAL;
    return value;
}

popoto_value popoto_of_id(const popoto_id *id) {
    return popoto_of_text(id != NULL && id->text[0] != '\0' ? id->text : NULL);
}

/* ----- numbers -------------------------------------------------------------------------------- */

static int order(bool less, bool greater) {
    return less ? -1 : greater ? 1 : 0;
}

/* A total order: -0 and 0 are the same, NaN is the same as itself and above all numbers. */
static int compare_floats(double a, double b) {
    if (isnan(a) || isnan(b))
        return (isnan(a) != 0) - (isnan(b) != 0);
    return order(a<b, a> b);
}

/* By value, also where the integer has no double of its own. */
static int compare_int_with_float(int64_t a, double b) {
    if (isnan(b) || b >= 9223372036854775808.0)
        return -1;
    if (b < -9223372036854775808.0)
        return 1;
    int64_t whole = (int64_t)b;
    if (a != whole)
        return order(a<whole, a> whole);
    double rest = b - (double)whole;
    return order(rest > 0, rest < 0);
}

static bool is_number(popoto_type type) {
    return type == POPOTO_INT || type == POPOTO_FLOAT || type == POPOTO_DECIMAL;
}

/* The exact decimal of a number; `room` may hold its digits. False: it is not finite, or its text is
 * no number. */
static bool decimal_of(const popoto_value *value, char room[DECIMAL_DOUBLE_SIZE], decimal *number) {
    const char *why;
    if (value->type == POPOTO_DECIMAL)
        return value->as.text.data != NULL &&
               popoto__decimal_read(number, value->as.text.data, value->as.text.size, &why);
    if (value->type == POPOTO_INT) {
        int size = snprintf(room, DECIMAL_DOUBLE_SIZE, "%" PRId64, value->as.integer);
        return popoto__decimal_read(number, room, (size_t)size, &why);
    }
    if (!isfinite(value->as.real))
        return false;
    *number = popoto__decimal_of_double(value->as.real, room);
    return true;
}

static int compare_decimals(const popoto_value *a, const popoto_value *b, bool *comparable) {
    char room_a[DECIMAL_DOUBLE_SIZE];
    char room_b[DECIMAL_DOUBLE_SIZE];
    decimal decimal_a;
    decimal decimal_b;
    bool finite_a = decimal_of(a, room_a, &decimal_a);
    bool finite_b = decimal_of(b, room_b, &decimal_b);
    if (finite_a && finite_b)
        return popoto__decimal_compare(&decimal_a, &decimal_b);
    /* Infinity and NaN stand at the ends; a decimal that is no number stands nowhere. */
    if (finite_a && b->type == POPOTO_FLOAT)
        return b->as.real < 0 ? 1 : -1;
    if (finite_b && a->type == POPOTO_FLOAT)
        return a->as.real < 0 ? -1 : 1;
    *comparable = false;
    return 0;
}

static int compare_numbers(const popoto_value *a, const popoto_value *b, bool *comparable) {
    if (a->type == POPOTO_INT && b->type == POPOTO_INT)
        return order(a->as.integer<b->as.integer, a->as.integer> b->as.integer);
    if (a->type == POPOTO_FLOAT && b->type == POPOTO_FLOAT)
        return compare_floats(a->as.real, b->as.real);
    if (a->type == POPOTO_INT && b->type == POPOTO_FLOAT)
        return compare_int_with_float(a->as.integer, b->as.real);
    if (a->type == POPOTO_FLOAT && b->type == POPOTO_INT)
        return -compare_int_with_float(b->as.integer, a->as.real);
    return compare_decimals(a, b, comparable);
}

/* ----- order ---------------------------------------------------------------------------------- */

static int compare_bytes(const void *a, size_t size_a, const void *b, size_t size_b) {
    size_t common = size_a < size_b ? size_a : size_b;
    int result = common == 0 ? 0 : memcmp(a, b, common);
    return result != 0 ? order(result<0, result> 0) : order(size_a<size_b, size_a> size_b);
}

static int compare_days(popoto_day a, popoto_day b) {
    int number_a = a.year * 512 + a.month * 32 + a.day;
    int number_b = b.year * 512 + b.month * 32 + b.day;
    return order(number_a<number_b, number_a> number_b);
}

static int compare_clocks(popoto_clock a, popoto_clock b) {
    int second_a = a.hour * 3600 + a.minute * 60 + a.second;
    int second_b = b.hour * 3600 + b.minute * 60 + b.second;
    if (second_a != second_b)
        return order(second_a<second_b, second_a> second_b);
    return order(a.microsecond<b.microsecond, a.microsecond> b.microsecond);
}

/* Item by item, as Python orders lists; the shorter one first where it is the start of the other. */
static int compare_lists(popoto_items a, popoto_items b, bool *comparable) {
    for (size_t i = 0; i < a.count && i < b.count; i++) {
        int result = popoto__value_compare(&a.items[i], &b.items[i], comparable);
        if (result != 0 || !*comparable)
            return result;
    }
    return order(a.count<b.count, a.count> b.count);
}

int popoto__value_compare(const popoto_value *a, const popoto_value *b, bool *comparable) {
    *comparable = true;
    if (is_number(a->type) && is_number(b->type))
        return compare_numbers(a, b, comparable);
    if (a->type == b->type) {
        switch (a->type) {
        case POPOTO_NULL: return 0;
        case POPOTO_BOOL: return (int)a->as.boolean - (int)b->as.boolean;
        case POPOTO_TEXT:
            return compare_bytes(a->as.text.data, a->as.text.size, b->as.text.data,
                                 b->as.text.size);
        case POPOTO_BYTES:
            return compare_bytes(a->as.bytes.data, a->as.bytes.size, b->as.bytes.data,
                                 b->as.bytes.size);
        case POPOTO_TIME:
            return order(
                a->as.time.microseconds<b->as.time.microseconds, a->as.time.microseconds> b->as.time
                    .microseconds);
        case POPOTO_DAY: return compare_days(a->as.day, b->as.day);
        case POPOTO_CLOCK: return compare_clocks(a->as.clock, b->as.clock);
        case POPOTO_LIST:
        case POPOTO_TUPLE: return compare_lists(a->as.list, b->as.list, comparable);
        default: break; /* sets and maps have no order */
        }
    }
    *comparable = false;
    return 0;
}

/* ----- equality ------------------------------------------------------------------------------- */

/* How many of the groups of `width` items in `list` equal the one at `wanted`: an entry of a map is
 * two items wide, one of a set is one. */
static size_t occurrences(popoto_items list, const popoto_value *wanted, size_t width) {
    size_t found = 0;
    for (size_t i = 0; i + width <= list.count; i += width)
        if (popoto_value_equal(&list.items[i], wanted) &&
            (width == 1 || popoto_value_equal(&list.items[i + 1], wanted + 1)))
            found++;
    return found;
}

static bool equal_in_order(popoto_items a, popoto_items b) {
    for (size_t i = 0; i < a.count; i++)
        if (!popoto_value_equal(&a.items[i], &b.items[i]))
            return false;
    return true;
}

/* Sets and maps are nearly always in the same order, so that is tried first; otherwise each is
 * counted in both, which takes time but no memory. */
static bool equal_in_any_order(popoto_items a, popoto_items b, size_t width) {
    if (equal_in_order(a, b))
        return true;
    for (size_t i = 0; i + width <= a.count; i += width)
        if (occurrences(a, &a.items[i], width) != occurrences(b, &a.items[i], width))
            return false;
    return true;
}

bool popoto_value_equal(const popoto_value *a, const popoto_value *b) {
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case POPOTO_LIST:
    case POPOTO_TUPLE:
        return a->as.list.count == b->as.list.count && equal_in_order(a->as.list, b->as.list);
    case POPOTO_SET:
        return a->as.list.count == b->as.list.count &&
               equal_in_any_order(a->as.list, b->as.list, 1);
    case POPOTO_MAP:
        return a->as.list.count == b->as.list.count &&
               equal_in_any_order(a->as.list, b->as.list, 2);
    default: {
        bool comparable;
        return popoto__value_compare(a, b, &comparable) == 0 && comparable;
    }
    }
}
