/* codec - values <-> MessagePack, byte for byte as Popoto (Python, msgpack 1.x, use_bin_type) stores
 * them, and the text of values as key segments and sorted-set scores. Pure: no I/O, no model.
 *
 * Tagged maps, in this order of entries:
 *     {"__datetime__": true, "as_encodable": "2020-01-02T03:04:05.000006+02:00"}   (isoformat)
 *     {"__date__": true,     "as_encodable": "20200102"}
 *     {"__time__": true,     "as_encodable": "01:02:03"}                           (isoformat)
 *     {"__Decimal__": true,  "as_encodable": "1.50"}
 *     {"__tuple__": true,    "as_encodable": [..]}
 *     {"__set__": true,      "as_encodable": [..]}
 */
#ifndef POPOTO_CODEC_H
#define POPOTO_CODEC_H

#include "failure.h"
#include "memory.h"

/* Append the MessagePack of a value. False where the value cannot be stored: `why` (static text that
 * completes "... cannot be stored: ") is then set. Out of memory shows in out->failed alone. Checked:
 * UTF-8 of text, ranges of days and times, syntax of decimals, depth, set/map shape. */
bool popoto__codec_write(buffer *out, const popoto_value *value, const char **why);

/* How many bytes the number has that stands behind a value's first byte: 0, 1, 2, 4 or 8. */
static inline size_t popoto__codec_integer_width(int64_t value) {
    if (value >= -32 && value < 128)
        return 0;
    if (value < 0)
        return value >= INT8_MIN ? 1 : value >= INT16_MIN ? 2 : value >= INT32_MIN ? 4 : 8;
    return value <= UINT8_MAX ? 1 : value <= UINT16_MAX ? 2 : value <= UINT32_MAX ? 4 : 8;
}
static inline size_t popoto__codec_text_width(size_t size) {
    return size < 32 ? 0 : size <= UINT8_MAX ? 1 : size <= UINT16_MAX ? 2 : 4;
}

/* The same for null, bools, integers, floats and text, where the caller has room: how much is needed, 0 for other
 * values; and writing that, false where it is text that is not UTF-8. */
static inline size_t popoto__codec_scalar_size(const popoto_value *value) {
    switch (value->type) {
    case POPOTO_NULL:
    case POPOTO_BOOL: return 1;
    case POPOTO_INT: return 1 + popoto__codec_integer_width(value->as.integer);
    case POPOTO_FLOAT: return 1 + sizeof(double);
    case POPOTO_TEXT:
        if (value->as.text.data == NULL || value->as.text.size > UINT32_MAX)
            return 0;
        return 1 + popoto__codec_text_width(value->as.text.size) + value->as.text.size;
    default: return 0;
    }
}
bool popoto__codec_write_scalar(char *out, const popoto_value *value);

/* Read exactly one value from data[0..size). The value points into `data` for text and bytes and into
 * `memory` for the rest (items; the decimal's text is in data). data[size] must be readable and NUL,
 * as the replies' strings are, so that text at the very end of data is NUL-terminated in place; text
 * elsewhere (inside lists and maps) is copied to `memory` with a NUL. False: `why` is set, static;
 * "out of memory" there is CODEC_NO_MEMORY (compare pointers). */
extern const char CODEC_NO_MEMORY[];
bool popoto__codec_read(arena *memory, const char *data, size_t size, popoto_value *value,
                        const char **why);

/* The same for a value that is a short scalar (null, a bool, a number, text of up to 255 bytes), read where
 * it stands: text points into `data`, and no NUL need stand behind it. False: it is none, or not right in
 * every byte; popoto__codec_read reads the one and says what is wrong with the other. */
bool popoto__codec_read_short(const char *data, size_t size, popoto_value *value);

/* A confidence entry: written as Popoto's packb does (a map of four, order confidence, evidence_count,
 * corroborations, contradictions; confidence as float64); read whatever the order of the entries,
 * with ints or floats of any width for every figure, missing ones as initial_confidence and 0, also as
 * an array of four. False: not a confidence entry. */
void popoto__codec_write_confidence(buffer *out, const popoto_confidence *figures);
bool popoto__codec_read_confidence(const char *data, size_t size, double initial_confidence,
                                   popoto_confidence *figures);

/* The text that stands for a value in a key, before escaping, as Popoto's canonical_key_str and, but
 * for times, Python's str() write it: ints in decimal; floats as repr (shortest that reads back; 1.5,
 * 1e+22, 0.1, -0.0, inf); True, False; decimals as str(Decimal) (1E+3, 0.000001); days 2020-01-02;
 * times of day 03:04:05 or 03:04:05.000006; times as their UTC instant with all six digits,
 * 2020-01-02T01:04:05.000006Z, naive ones as if they were UTC's (with the Z); text and bytes as they
 * are. False: the type cannot stand in a key (null, NaN, lists and their like), or it is outside of
 * the calendar: `why` is set. */
bool popoto__codec_key_text(buffer *out, const popoto_value *value, const char **why);

/* The score of a value in a sorted set, as Popoto's convert_to_numeric: ints, floats, decimals, times
 * (seconds since 1970 with microseconds; naive as if UTC), days (counted from 0001-01-01, which is 1:
 * toordinal), times of day (seconds since midnight). False: no score, `why` is set (NaN, type).
 * *exact: whether no two different values of the type near this one share the score. */
bool popoto__codec_score(const popoto_value *value, double *score, bool *exact, const char **why);

/* The shortest decimal text of a double that reads back as the same, as Python's repr writes it. */
#define CODEC_DOUBLE_SIZE 32
size_t popoto__codec_double_text(double value, char text[CODEC_DOUBLE_SIZE]);

/* The other way, for the scores that a server answers, whatever the locale: 12, 0.5, 1e+22, inf, -inf;
 * not nan. False, and 0: it is no such text. */
bool popoto__codec_read_double(const char *text, size_t size, double *value);

/* Total order within a type (ints and floats and decimals compare with one another by numeric value,
 * exactly; NaN is above all numbers; times by instant; text and bytes bytewise; lists and tuples item
 * by item). *comparable is false, and the result 0, across other types, for sets and maps, and for
 * decimals whose text is no number. In value.c. */
int popoto__value_compare(const popoto_value *a, const popoto_value *b, bool *comparable);

#endif
