/* codec.h: MessagePack both ways, byte for byte as Popoto's; texts, scores, order. What Python says
 * is in tests/support/python_*.h, so that these tests need none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec.h"
#include "decimal.h"
#include "failing_allocator.h"
#include "moment.h"
#include "python_doubles.h"
#include "python_times.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----- values in short ------------------------------------------------------------------------ */

#define SIZED(literal)             popoto_of_sized_text((popoto_text){ literal, sizeof(literal) - 1 })
#define BYTES(literal)             popoto_of_bytes((popoto_bytes){ literal, sizeof(literal) - 1 })
#define DECIMAL(literal)           popoto_of_decimal((popoto_decimal){ literal })
#define TIME(microseconds, offset) popoto_of_time((popoto_time){ microseconds, offset })
#define DAY(year, month, day)      popoto_of_day((popoto_day){ year, month, day })
#define CLOCK(h, m, s, us)         popoto_of_clock((popoto_clock){ h, m, s, us })
#define ITEMS(type, ...)                                   \
    popoto_of_items(type, (popoto_value[]){ __VA_ARGS__ }, \
                    sizeof((popoto_value[]){ __VA_ARGS__ }) / sizeof(popoto_value))
#define text(literal) popoto_of_text(literal)

/* Everything a test needs, over an allocator that knows what is left. */
typedef struct bench {
    failing_allocator memory;
    arena values;
    buffer bytes;
} bench;

static int set_up(void **state) {
    bench *it = malloc(sizeof(*it));
    failing_allocator_init(&it->memory, 0);
    popoto__arena_init(&it->values, &it->memory.allocator);
    popoto__buffer_init(&it->bytes, &it->memory.allocator);
    *state = it;
    return 0;
}

static int tear_down(void **state) {
    bench *it = *state;
    popoto__arena_free(&it->values);
    popoto__buffer_free(&it->bytes);
    size_t left = it->memory.live_blocks;
    free(it);
    return left == 0 ? 0 : -1;
}

/* Read from a block of exactly the right size, so that a sanitizer sees every byte too far. The value
 * points into *copy, which the caller frees. */
static bool read_copy(arena *memory, const void *data, size_t size, char **copy,
                      popoto_value *value, const char **why) {
    *copy = malloc(size + 1);
    if (size > 0)
        memcpy(*copy, data, size);
    (*copy)[size] = '\0';
    return popoto__codec_read(memory, *copy, size, value, why);
}

/* Every text has its NUL, in whatever depth. */
static void assert_terminated(const popoto_value *value) {
    if (value->type == POPOTO_TEXT || value->type == POPOTO_DECIMAL)
        assert_int_equal(value->as.text.data[value->as.text.size], '\0');
    if (value->type >= POPOTO_LIST)
        for (size_t i = 0; i < value->as.list.count; i++)
            assert_terminated(&value->as.list.items[i]);
}

static void assert_reads(bench *it, const void *data, size_t size, popoto_value expected) {
    char *copy;
    popoto_value value;
    const char *why = NULL;
    if (!read_copy(&it->values, data, size, &copy, &value, &why))
        fail_msg("not read: %s", why);
    assert_true(popoto_value_equal(&value, &expected));
    assert_terminated(&value);
    if (value.type == POPOTO_FLOAT) /* -0.0 equals 0.0, but must come back as it was */
        assert_memory_equal(&value.as.real, &expected.as.real, sizeof(double));
    if (value.type == POPOTO_TIME)
        assert_int_equal(value.as.time.offset, expected.as.time.offset);
    free(copy);
}
#define ASSERT_READS(it, literal, expected) assert_reads(it, literal, sizeof(literal) - 1, expected)

static void assert_unreadable(bench *it, const void *data, size_t size, const char *reason) {
    char *copy;
    popoto_value value;
    const char *why = NULL;
    assert_false(read_copy(&it->values, data, size, &copy, &value, &why));
    assert_non_null(why);
    assert_non_null(strstr(why, reason));
    assert_int_equal(value.type, POPOTO_NULL);
    free(copy);
}
#define ASSERT_UNREADABLE(it, literal, reason) \
    assert_unreadable(it, literal, sizeof(literal) - 1, reason)

static void assert_unwritable(bench *it, popoto_value value, const char *reason) {
    const char *why = NULL;
    popoto__buffer_clear(&it->bytes);
    popoto__buffer_append_text(&it->bytes, "before");
    assert_false(popoto__codec_write(&it->bytes, &value, &why));
    assert_non_null(why);
    assert_non_null(strstr(why, reason));
    assert_int_equal(it->bytes.size, 6); /* nothing half-written */
    assert_false(it->bytes.failed);
}

/* ----- against Python ------------------------------------------------------------------------- */

static void test_bytes_are_python_s(void **state) {
    bench *it = *state;
    static const struct {
        const char *data;
        size_t size;
    } expected[] = {
#define VECTOR(value, bytes) { bytes, sizeof(bytes) - 1 },
#include "python_values.h"
#undef VECTOR
    };
    popoto_value values[] = {
#define VECTOR(value, bytes) value,
#include "python_values.h"
#undef VECTOR
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        const char *why = NULL;
        popoto__buffer_clear(&it->bytes);
        assert_true(popoto__codec_write(&it->bytes, &values[i], &why));
        assert_int_equal(it->bytes.size, expected[i].size);
        assert_memory_equal(it->bytes.data, expected[i].data, expected[i].size);
        assert_reads(it, expected[i].data, expected[i].size, values[i]);
    }
}

static void test_times_are_python_s(void **state) {
    bench *it = *state;
    for (size_t i = 0; i < sizeof(python_times) / sizeof(python_times[0]); i++) {
        popoto_value value = popoto_of_time(python_times[i].time);
        char iso[MOMENT_TEXT_SIZE];
        assert_int_equal(popoto__moment_text(&value, iso), strlen(python_times[i].iso));
        assert_string_equal(iso, python_times[i].iso);

        popoto_time read;
        const char *why = NULL;
        assert_true(popoto__moment_read_time(iso, strlen(iso), &read, &why));
        assert_true(read.microseconds == python_times[i].time.microseconds);
        assert_int_equal(read.offset, python_times[i].time.offset);

        popoto__buffer_clear(&it->bytes);
        assert_true(popoto__codec_key_text(&it->bytes, &value, &why));
        popoto__buffer_append(&it->bytes, "", 1);
        assert_string_equal(it->bytes.data, python_times[i].key);

        double score;
        bool exact;
        char printed[CODEC_DOUBLE_SIZE];
        assert_true(popoto__codec_score(&value, &score, &exact, &why));
        popoto__codec_double_text(score, printed);
        assert_string_equal(printed, python_times[i].score);
    }
}

static void test_doubles_are_python_s(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(python_doubles) / sizeof(python_doubles[0]); i++) {
        double value;
        char printed[CODEC_DOUBLE_SIZE];
        memcpy(&value, &python_doubles[i].bits, sizeof(value));
        assert_int_equal(popoto__codec_double_text(value, printed), strlen(python_doubles[i].text));
        assert_string_equal(printed, python_doubles[i].text);
    }
    char printed[CODEC_DOUBLE_SIZE];
    popoto__codec_double_text((double)NAN, printed);
    assert_string_equal(printed, "nan");
}

/* ----- random --------------------------------------------------------------------------------- */

static uint64_t random_state;

/* splitmix64 */
static uint64_t random_bits(void) {
    uint64_t z = random_state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static size_t random_below(size_t limit) {
    return (size_t)(random_bits() % limit);
}

static void test_doubles_read_back(void **state) {
    (void)state;
    random_state = 1;
    for (int i = 0; i < 1000000; i++) {
        double value;
        uint64_t bits = random_bits();
        if (i % 4 == 0)
            bits >>= 12; /* subnormal */
        memcpy(&value, &bits, sizeof(value));
        if (i % 4 == 1)
            value = (double)(int64_t)(bits >> 20) / 1e6;
        if (isnan(value))
            continue;
        char printed[CODEC_DOUBLE_SIZE];
        popoto__codec_double_text(value, printed);
        double again;
        assert_true(popoto__codec_read_double(printed, strlen(printed), &again));
        if (memcmp(&again, &value, sizeof(value)) != 0)
            fail_msg("%s is not %a", printed, value);
    }
}

static void test_doubles_as_servers_answer_them(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        { "3", 3 },
        { "-0.5", -0.5 },
        { "0.84999999999999998", 0.85 },
        { "1e+22", 1e22 },
        { "1.7976931348623157e+308", 1.7976931348623157e308 },
        { "4.9406564584124654e-324", 5e-324 },
        { "inf", (double)INFINITY },
        { "-inf", (double)-INFINITY },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double value;
        assert_true(popoto__codec_read_double(cases[i].text, strlen(cases[i].text), &value));
        assert_true(value == cases[i].value);
    }
    static const char *const bad[] = { "", "-", "nan", "in", "inf ", "--inf", "1,5", "0x1p3", "x" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        double value = 1;
        assert_false(popoto__codec_read_double(bad[i], strlen(bad[i]), &value));
        assert_true(value == 0);
    }
}

static popoto_value random_text(arena *memory) {
    static const char *const pieces[] = {
        "a", "hello ", "\0", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\xa6\x9b", "__date__", "\n"
    };
    buffer out;
    popoto__buffer_init(&out, memory->allocator);
    for (size_t left = random_below(random_below(20) == 0 ? 60 : 6); left > 0; left--) {
        const char *piece = pieces[random_below(8)];
        popoto__buffer_append(&out, piece, piece[0] == '\0' ? 1 : strlen(piece));
    }
    popoto_text copy = { popoto__arena_copy(memory, out.data, out.size), out.size };
    popoto__buffer_free(&out);
    return popoto_of_sized_text(copy);
}

static popoto_value random_decimal(arena *memory) {
    char room[40];
    int size =
        snprintf(room, sizeof(room), "%s%" PRIu64 ".%02zuE%d", random_below(2) ? "-" : "",
                 random_bits() >> random_below(64), random_below(100), (int)random_below(60) - 30);
    buffer out;
    popoto__buffer_init(&out, memory->allocator);
    decimal number;
    const char *why;
    assert_true(popoto__decimal_read(&number, room, (size_t)size, &why));
    popoto__decimal_append(&out, &number);
    popoto_text copy = { popoto__arena_copy(memory, out.data, out.size), out.size };
    popoto__buffer_free(&out);
    popoto_value value = popoto_of_sized_text(copy);
    value.type = POPOTO_DECIMAL;
    return value;
}

static popoto_value random_scalar(arena *memory) {
    double real;
    uint64_t bits = random_bits();
    switch (random_below(6)) {
    case 0: return (popoto_value){ POPOTO_NULL, { 0 } };
    case 1: return popoto_of_bool(bits & 1);
    case 2: return popoto_of_int((int64_t)(bits >> random_below(64)) * (bits & 1 ? -1 : 1));
    case 3: memcpy(&real, &bits, sizeof(real)); return popoto_of_float(real);
    case 4: return random_text(memory);
    default: {
        popoto_value value = random_text(memory);
        return popoto_of_bytes((popoto_bytes){ value.as.text.data, value.as.text.size });
    }
    }
}

static popoto_value random_value(arena *memory, int depth) {
    const int64_t span = INT64_C(315537897600) - 86400; /* seconds of 9999 years, less a day */
    switch (random_below(depth > 0 ? 12 : 8)) {
    case 4: return random_decimal(memory);
    case 5: {
        int64_t second = (int64_t)(random_bits() % (uint64_t)span) - INT64_C(62135510400);
        int32_t offset = (int32_t)random_below(2 * 86399) - 86398;
        if (second < -INT64_C(62135510400) + 86400)
            second = 0;
        return TIME(second * 1000000 + (int64_t)random_below(3) * 123456,
                    random_below(3) == 0 ? POPOTO_NAIVE : offset);
    }
    case 6:
        return DAY((int16_t)(1 + random_below(9999)), (uint8_t)(1 + random_below(12)),
                   (uint8_t)(1 + random_below(28)));
    case 7:
        return CLOCK((uint8_t)random_below(24), (uint8_t)random_below(60),
                     (uint8_t)random_below(60), (uint32_t)random_below(1000000));
    case 8:
    case 9:
    case 10:
    case 11: {
        static const popoto_type types[] = { POPOTO_LIST, POPOTO_TUPLE, POPOTO_SET, POPOTO_MAP };
        popoto_type type = types[random_below(4)];
        size_t count = random_below(random_below(30) == 0 ? 40 : 5) * 2;
        popoto_value *items = popoto__arena_zeroed(memory, count, sizeof(*items));
        for (size_t i = 0; i < count; i++)
            items[i] = type == POPOTO_MAP && i % 2 == 0 ? random_scalar(memory)
                                                        : random_value(memory, depth - 1);
        return popoto_of_items(type, items, count);
    }
    default: return random_scalar(memory);
    }
}

static void test_random_values_come_back(void **state) {
    bench *it = *state;
    random_state = 2;
    for (int i = 0; i < 20000; i++) {
        popoto__arena_reset(&it->values);
        popoto__buffer_clear(&it->bytes);
        popoto_value value = random_value(&it->values, 4);
        const char *why = NULL;
        if (!popoto__codec_write(&it->bytes, &value, &why))
            fail_msg("not written: %s", why);
        assert_reads(it, it->bytes.data, it->bytes.size, value);
    }
}

static void test_cut_short_is_refused(void **state) {
    bench *it = *state;
    random_state = 3;
    for (int i = 0; i < 1000; i++) {
        popoto__buffer_clear(&it->bytes);
        popoto_value value = random_value(&it->values, 3);
        const char *why = NULL;
        assert_true(popoto__codec_write(&it->bytes, &value, &why));
        for (size_t size = 0; size < it->bytes.size && size < 300; size++)
            assert_unreadable(it, it->bytes.data, size, "it ");
        popoto__arena_reset(&it->values);
    }
}

/* Whatever the bytes: a value, which can be written again, or a reason. */
static void test_corruption_is_a_value_or_a_reason(void **state) {
    bench *it = *state;
    random_state = 4;
    size_t read_count = 0;
    for (int i = 0; i < 100000; i++) {
        if (i % 10 == 0) {
            popoto__arena_reset(&it->values);
            popoto__buffer_clear(&it->bytes);
            popoto_value value = random_value(&it->values, 3);
            const char *why;
            assert_true(popoto__codec_write(&it->bytes, &value, &why));
        }
        char *copy = malloc(it->bytes.size + 1);
        memcpy(copy, it->bytes.data, it->bytes.size);
        copy[it->bytes.size] = '\0';
        for (size_t hits = 1 + random_below(4); hits > 0; hits--)
            copy[random_below(it->bytes.size)] = (char)random_bits();
        popoto_value value;
        const char *why = NULL;
        if (popoto__codec_read(&it->values, copy, it->bytes.size, &value, &why)) {
            read_count++;
            assert_terminated(&value);
            buffer again;
            popoto__buffer_init(&again, &it->memory.allocator);
            if (!popoto__codec_write(&again, &value, &why))
                fail_msg("read, but not written: %s", why);
            popoto__buffer_free(&again);
        } else {
            assert_non_null(why);
            assert_ptr_not_equal(why, CODEC_NO_MEMORY);
        }
        popoto_confidence figures;
        popoto__codec_read_confidence(copy, it->bytes.size, 0.5, &figures);
        free(copy);
    }
    assert_in_range(read_count, 1000, 99000);
}

/* ----- what else is read ---------------------------------------------------------------------- */

static void test_every_width_is_read(void **state) {
    bench *it = *state;
    ASSERT_READS(it, "\xcc\x01", popoto_of_int(1)); /* wider than need be */
    ASSERT_READS(it, "\xcf\0\0\0\0\0\0\0\x07", popoto_of_int(7));
    ASSERT_READS(it, "\xd3\xff\xff\xff\xff\xff\xff\xff\xff", popoto_of_int(-1));
    ASSERT_READS(it, "\xca\x3f\x00\x00\x00", popoto_of_float(0.5));
    ASSERT_READS(it,
                 "\xd9\x01"
                 "a",
                 text("a"));
    ASSERT_READS(it,
                 "\xdb\0\0\0\x01"
                 "a",
                 text("a"));
    ASSERT_READS(it, "\xd9\x00", text(""));
    ASSERT_READS(it,
                 "\xc6\0\0\0\x01"
                 "a",
                 BYTES("a"));
    ASSERT_READS(it, "\xdd\0\0\0\x01\xc0", ITEMS(POPOTO_LIST, { POPOTO_NULL, { 0 } }));
    ASSERT_READS(it, "\xdf\0\0\0\x01\x01\x02",
                 ITEMS(POPOTO_MAP, popoto_of_int(1), popoto_of_int(2)));
    ASSERT_UNREADABLE(it, "\xcf\x80\0\0\0\0\0\0\0", "an integer above 9223372036854775807");
    ASSERT_UNREADABLE(it, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "an integer above");
}

static void test_what_is_refused_when_read(void **state) {
    bench *it = *state;
    ASSERT_UNREADABLE(it, "", "it is empty");
    ASSERT_UNREADABLE(it, "\xc1", "it is no MessagePack");
    ASSERT_UNREADABLE(it, "\x92\x01\xc1", "it is no MessagePack");
    ASSERT_UNREADABLE(it, "\xc0\xc0", "bytes follow");
    ASSERT_UNREADABLE(it, "$IndexF:User:email", "bytes follow"); /* a fixint with a tail */
    ASSERT_UNREADABLE(it, "\xa2\xc3(", "UTF-8");
    ASSERT_UNREADABLE(it, "\xa3\xed\xa0\x80", "UTF-8"); /* a surrogate */
    ASSERT_UNREADABLE(it, "\xd4\x05z", "extension");
    ASSERT_UNREADABLE(it, "\xc7\x00\x05", "extension");
    ASSERT_UNREADABLE(it, "\xd6\xff\0\0\0\0", "extension"); /* MessagePack's own timestamp */
    ASSERT_UNREADABLE(it, "\xdd\xff\xff\xff\xff", "more items than it has bytes");
    ASSERT_UNREADABLE(it, "\xdf\xff\xff\xff\xff", "more items than it has bytes");
    ASSERT_UNREADABLE(it, "\x9f\xdc\x00\x08\x01\x01\x01\x01\x01", "more items than it has bytes");
    ASSERT_UNREADABLE(it, "\x81\x91\x01\x01", "a key in a map must be");
    ASSERT_UNREADABLE(it, "\x81\x80\x01", "a key in a map must be");
    assert_int_equal(it->memory.live_blocks, it->values.newest == NULL ? 0 : 1);
    assert_true(it->memory.live_bytes < 4096);
}

#define TAGGED(name_size, name, text_size, text_) \
    "\x82" name_size name "\xc3\xac"              \
    "as_encodable" text_size text_

static void test_times_as_older_popotos_wrote_them(void **state) {
    bench *it = *state;
    ASSERT_READS(it, TAGGED("\xac", "__datetime__", "\xb8", "20200102T03:04:05.000006"),
                 TIME(INT64_C(1577934245000006), 0));
    ASSERT_READS(it, TAGGED("\xac", "__datetime__", "\xb3", "20200102T03:04:05.5"),
                 TIME(INT64_C(1577934245500000), 0));
    ASSERT_READS(it, TAGGED("\xac", "__datetime__", "\xb4", "2020-01-02T03:04:05Z"),
                 TIME(INT64_C(1577934245000000), 0));
    ASSERT_READS(it, TAGGED("\xa8", "__time__", "\xaf", "03:04:05.000000"), CLOCK(3, 4, 5, 0));
}

static void test_tagged_maps_with_bad_content_are_refused(void **state) {
    bench *it = *state;
    ASSERT_UNREADABLE(it, TAGGED("\xac", "__datetime__", "\xa3", "now"), "no moment");
    ASSERT_UNREADABLE(it, TAGGED("\xac", "__datetime__", "\xb3", "2020-02-30T03:04:05"),
                      "no moment");
    ASSERT_UNREADABLE(it, TAGGED("\xac", "__datetime__", "\xb3", "2020-01-02T24:00:00"),
                      "no moment");
    ASSERT_UNREADABLE(it, TAGGED("\xac", "__datetime__", "\xb3", "0000-01-02T03:04:05"),
                      "no moment");
    ASSERT_UNREADABLE(it, TAGGED("\xac", "__datetime__", "\xb9", "2020-01-02T03:04:05+24:00"),
                      "no moment");
    ASSERT_UNREADABLE(it, TAGGED("\xac", "__datetime__", "\xbb", "2020-01-02T03:04:05.0000001"),
                      "no moment");
    ASSERT_UNREADABLE(it, TAGGED("\xa8", "__date__", "\xaa", "2020-01-02"), "no day");
    ASSERT_UNREADABLE(it, TAGGED("\xa8", "__date__", "\xa8", "20210229"), "no day");
    ASSERT_UNREADABLE(it, TAGGED("\xa8", "__date__", "\xa0", ""), "no day");
    ASSERT_UNREADABLE(it, TAGGED("\xa8", "__time__", "\xa5", "25:00"), "no time of day");
    ASSERT_UNREADABLE(it, TAGGED("\xa8", "__time__", "\xae", "03:04:05+02:00"), "with an offset");
    ASSERT_UNREADABLE(it, TAGGED("\xab", "__Decimal__", "\xa3", "NaN"), "finite");
    ASSERT_UNREADABLE(it, TAGGED("\xab", "__Decimal__", "\xa8", "Infinity"), "finite");
    ASSERT_UNREADABLE(it, TAGGED("\xab", "__Decimal__", "\xa5", "1_000"), "written like");
}

/* Popoto takes any map with "as_encodable" and a tag for a tagged one; a user's own map that merely
 * looks like one is left alone here. */
static void test_maps_that_merely_resemble(void **state) {
    bench *it = *state;
    popoto_value tag_text = text("__date__"), encodable = text("as_encodable");
    popoto_value yes = popoto_of_bool(true), no = popoto_of_bool(false);
    popoto_value day = text("20200102");
    popoto_value maps[] = {
        ITEMS(POPOTO_MAP, tag_text, no, encodable, day),
        ITEMS(POPOTO_MAP, tag_text, popoto_of_int(1), encodable, day),
        ITEMS(POPOTO_MAP, tag_text, yes, encodable, popoto_of_int(20200102)),
        ITEMS(POPOTO_MAP, text("__set__"), yes, encodable, day),
        ITEMS(POPOTO_MAP, text("__dataframe__"), yes, encodable, text("{}")),
        ITEMS(POPOTO_MAP, tag_text, yes, text("as_encodable "), day),
        ITEMS(POPOTO_MAP, tag_text, yes, encodable, day, text("more"), yes),
        ITEMS(POPOTO_MAP, tag_text, yes),
        ITEMS(POPOTO_MAP, encodable, day),
        ITEMS(POPOTO_MAP, encodable, day, encodable, day),
        ITEMS(POPOTO_MAP, tag_text, yes, tag_text, yes),
    };
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        const char *why;
        popoto__buffer_clear(&it->bytes);
        assert_true(popoto__codec_write(&it->bytes, &maps[i], &why));
        assert_reads(it, it->bytes.data, it->bytes.size, maps[i]);
    }
    /* The order of the two entries says nothing. */
    ASSERT_READS(it,
                 "\x82\xac"
                 "as_encodable\xa4"
                 "1.50\xab__Decimal__\xc3",
                 DECIMAL("1.50"));
}

/* ----- what is written ------------------------------------------------------------------------ */

static void test_what_is_refused_when_written(void **state) {
    bench *it = *state;
    popoto_value missing = popoto_of_items(POPOTO_LIST, NULL, 2);
    assert_unwritable(it, text("\xff"), "UTF-8");
    assert_unwritable(it, ITEMS(POPOTO_LIST, text("good"), text("\xc3")), "UTF-8");
    assert_unwritable(it, popoto_of_unsigned(UINT64_MAX), "above 9223372036854775807");
    assert_unwritable(it, (popoto_value){ (popoto_type)99, { 0 } }, "no type");
    assert_unwritable(it, missing, "missing");
    assert_unwritable(it, ITEMS(POPOTO_MAP, text("k")), "a value for every key");
    assert_unwritable(it, ITEMS(POPOTO_MAP, DAY(2020, 1, 2), text("v")), "a key in a map");
    assert_unwritable(it, ITEMS(POPOTO_MAP, popoto_of_items(POPOTO_LIST, NULL, 0), text("v")),
                      "a key in a map");
    assert_unwritable(it, DAY(2021, 2, 29), "no such day");
    assert_unwritable(it, DAY(0, 1, 1), "no such day");
    assert_unwritable(it, DAY(10000, 1, 1), "no such day");
    assert_unwritable(it, DAY(2020, 13, 1), "no such day");
    assert_unwritable(it, CLOCK(24, 0, 0, 0), "no such time of day");
    assert_unwritable(it, CLOCK(0, 0, 0, 1000000), "no such time of day");
    assert_unwritable(it, TIME(INT64_MAX, 0), "outside of the years");
    assert_unwritable(it, TIME(INT64_MIN, POPOTO_NAIVE), "outside of the years");
    assert_unwritable(it, TIME(0, 86400), "offset");
    assert_unwritable(it, TIME(0, INT32_MAX), "offset");
    static const char *const bad_decimals[] = { "",
                                                ".",
                                                "-",
                                                "1.2.3",
                                                "1e",
                                                "1e+",
                                                "e5",
                                                "abc",
                                                "1 ",
                                                " 1",
                                                "1_0",
                                                "0x1",
                                                "1e99999999999999999999",
                                                "1E1.5",
                                                "--1",
                                                "1e5e5" };
    for (size_t i = 0; i < sizeof(bad_decimals) / sizeof(bad_decimals[0]); i++)
        assert_unwritable(it, DECIMAL(bad_decimals[i]), i == 12 ? "" : "written like 12.50");
    static const char *const infinite[] = { "NaN", "-nan", "sNaN", "Infinity", "-inf" };
    for (size_t i = 0; i < sizeof(infinite) / sizeof(infinite[0]); i++)
        assert_unwritable(it, DECIMAL(infinite[i]), "finite");
    assert_unwritable(it, DECIMAL("1E+999999999999999999000"), "");
    assert_unwritable(it, DECIMAL("10E+999999999999999999"), "18 digits");
}

static void test_a_type_s_own_null(void **state) {
    bench *it = *state;
    popoto_value nulls[] = { { POPOTO_TEXT, { 0 } },
                             { POPOTO_BYTES, { 0 } },
                             { POPOTO_DECIMAL, { 0 } },
                             { POPOTO_DAY, { 0 } } };
    for (size_t i = 0; i < 4; i++) {
        const char *why;
        popoto__buffer_clear(&it->bytes);
        assert_true(popoto__codec_write(&it->bytes, &nulls[i], &why));
        assert_int_equal(it->bytes.size, 1);
        assert_int_equal((unsigned char)it->bytes.data[0], 0xc0);
    }
}

/* 32 lists and maps one inside the other are stored and read; one more is refused both ways. A tuple
 * is a list in a map. */
static void test_depth_is_bounded(void **state) {
    bench *it = *state;
    popoto_value nested[40] = { { POPOTO_NULL, { 0 } } };
    const char *why;
    for (int i = 1; i < 40; i++)
        nested[i] = popoto_of_items(POPOTO_LIST, &nested[i - 1], 1);
    assert_true(popoto__codec_write(&it->bytes, &nested[32], &why));
    assert_reads(it, it->bytes.data, it->bytes.size, nested[32]);
    assert_unwritable(it, nested[33], "32");
    char deep[40];
    memset(deep, 0x91, sizeof(deep));
    deep[33] = 0x01;
    assert_unreadable(it, deep, 34, "32");

    for (int i = 1; i < 40; i++)
        nested[i].type = POPOTO_TUPLE;
    popoto__buffer_clear(&it->bytes);
    assert_true(popoto__codec_write(&it->bytes, &nested[16], &why));
    assert_reads(it, it->bytes.data, it->bytes.size, nested[16]);
    assert_unwritable(it, nested[17], "32");
    for (int i = 1; i < 40; i++)
        nested[i].type = POPOTO_LIST;
    popoto_value leaves[] = { DAY(2020, 1, 2), DECIMAL("1"), TIME(0, 0),
                              popoto_of_items(POPOTO_LIST, NULL, 0) };
    for (size_t i = 0; i < 4; i++) {
        nested[0] = leaves[i];
        popoto__buffer_clear(&it->bytes);
        assert_true(popoto__codec_write(&it->bytes, &nested[31], &why));
        assert_reads(it, it->bytes.data, it->bytes.size, nested[31]);
        assert_unwritable(it, nested[32], "32");
    }
}

/* ----- memory --------------------------------------------------------------------------------- */

static void test_scalars_need_no_memory(void **state) {
    bench *it = *state;
    ASSERT_READS(it, "\xc0", ((popoto_value){ POPOTO_NULL, { 0 } }));
    ASSERT_READS(it, "\xcb\x3f\xe0\0\0\0\0\0\0", popoto_of_float(0.5));
    ASSERT_READS(it, "\xa5hello", text("hello"));
    ASSERT_READS(it, "\xc4\x01x", BYTES("x"));
    assert_int_equal(it->memory.allocations, 0);
    /* A decimal's text is where the data ends as well; only the map around it takes room. */
    ASSERT_READS(it, TAGGED("\xab", "__Decimal__", "\xa4", "1.50"), DECIMAL("1.50"));
    assert_int_equal(it->memory.allocations, 1);
}

static void test_text_points_into_the_data(void **state) {
    bench *it = *state;
    static const char data[] = "\xa5hello";
    popoto_value value;
    const char *why;
    assert_true(popoto__codec_read(&it->values, data, 6, &value, &why));
    assert_ptr_equal(value.as.text.data, data + 1);
}

static popoto_value large_value(arena *memory) {
    random_state = 5;
    popoto_value *items = popoto__arena_zeroed(memory, 200, sizeof(*items));
    for (size_t i = 0; i < 200; i++)
        items[i] = random_value(memory, 2);
    return popoto_of_items(POPOTO_LIST, items, 200);
}

static void test_without_memory(void **state) {
    bench *it = *state;
    popoto_value value = large_value(&it->values);
    const char *why = NULL;
    assert_true(popoto__codec_write(&it->bytes, &value, &why));
    for (size_t n = 1;; n++) {
        failing_allocator memory;
        failing_allocator_init(&memory, n);
        buffer out;
        popoto__buffer_init(&out, &memory.allocator);
        why = NULL;
        assert_true(popoto__codec_write(&out, &value, &why));
        assert_int_equal(out.failed, memory.failed);
        bool done = !out.failed;
        popoto__buffer_free(&out);
        assert_int_equal(memory.live_blocks, 0);
        if (done)
            break;
    }
    popoto__buffer_append(&it->bytes, "", 1);
    for (size_t n = 1;; n++) {
        failing_allocator memory;
        failing_allocator_init(&memory, n);
        arena values;
        popoto__arena_init(&values, &memory.allocator);
        popoto_value read;
        why = NULL;
        bool done = popoto__codec_read(&values, it->bytes.data, it->bytes.size - 1, &read, &why);
        assert_int_equal(done, !memory.failed);
        if (!done)
            assert_ptr_equal(why, CODEC_NO_MEMORY);
        popoto__arena_free(&values);
        assert_int_equal(memory.live_blocks, 0);
        if (done) {
            assert_true(n > 3);
            break;
        }
    }
}

/* ----- confidence ----------------------------------------------------------------------------- */

static void assert_figures(const char *data, size_t size, double confidence, int64_t evidence,
                           int64_t corroborations, int64_t contradictions) {
    popoto_confidence figures;
    assert_true(popoto__codec_read_confidence(data, size, 0.25, &figures));
    assert_true(figures.confidence == confidence);
    assert_int_equal(figures.evidence_count, evidence);
    assert_int_equal(figures.corroborations, corroborations);
    assert_int_equal(figures.contradictions, contradictions);
}
#define ASSERT_FIGURES(literal, ...) assert_figures(literal, sizeof(literal) - 1, __VA_ARGS__)

static void test_confidence_entries(void **state) {
    bench *it = *state;
    /* msgpack.packb({"confidence": 0.75, "evidence_count": 3, "corroborations": 2,
     *                "contradictions": 1}) */
    static const char packed[] = "\x84\xaa"
                                 "confidence\xcb\x3f\xe8\0\0\0\0\0\0\xae"
                                 "evidence_count\x03\xae"
                                 "corroborations\x02\xae"
                                 "contradictions\x01";
    const popoto_confidence figures = { 0.75, 3, 2, 1 };
    popoto__codec_write_confidence(&it->bytes, &figures);
    assert_int_equal(it->bytes.size, sizeof(packed) - 1);
    assert_memory_equal(it->bytes.data, packed, sizeof(packed) - 1);
    ASSERT_FIGURES(packed, 0.75, 3, 2, 1);
    /* As Redis' cmsgpack writes the script's table: any order, whole numbers as ints, others as
     * float32 where that is exact. */
    ASSERT_FIGURES("\x84\xae"
                   "contradictions\x00\xaa"
                   "confidence\xca\x3f\x40\x00\x00\xae"
                   "corroborations\xcd\x01\x00\xae"
                   "evidence_count\xcd\x01\x00",
                   0.75, 256, 256, 0);
    ASSERT_FIGURES("\x81\xaa"
                   "confidence\x01",
                   1.0, 0, 0, 0);
    ASSERT_FIGURES("\x82\xae"
                   "evidence_count\xcb\x40\x08\0\0\0\0\0\0\xa5other\x92\x01\x02",
                   0.25, 3, 0, 0);
    ASSERT_FIGURES("\x81\xaa"
                   "confidence\xc0",
                   0.25, 0, 0, 0);
    ASSERT_FIGURES("\x80", 0.25, 0, 0, 0);
    ASSERT_FIGURES("\x94\xca\x3f\x40\x00\x00\x03\x02\x01", 0.75, 3, 2, 1);
    ASSERT_FIGURES("\x92\x01\x03", 1.0, 3, 0, 0);
}

static void test_what_is_no_confidence_entry(void **state) {
    (void)state;
    static const struct {
        const char *data;
        size_t size;
    } bad[] = {
        { "", 0 },
        { "\xc0", 1 },
        { "\x03", 1 },
        { "\xa1x", 2 },
        { "\x95\x01\x01\x01\x01\x01", 6 },
        { "\x91\xa1x", 3 },
        { "\x81\xaa"
          "confidence\xa1x",
          14 },
        { "\x81\xaa"
          "confidence\xcb\x7f\xf8\0\0\0\0\0\0",
          21 },                                               /* NaN */
        { "\x92\x01\xcb\x7e\x37\xe4\x3c\x88\0\x75\x9c", 11 }, /* 1e300 pieces of evidence */
        { "\x84\xaa"
          "confidence",
          12 },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        popoto_confidence figures;
        assert_false(popoto__codec_read_confidence(bad[i].data, bad[i].size, 0.25, &figures));
        assert_true(figures.confidence == 0.25 && figures.evidence_count == 0);
    }
    /* What does not fit into a small room is none either, and takes no memory. */
    size_t size = 3 + 1000;
    char *large = malloc(size + 1);
    memset(large, 1, size + 1);
    memcpy(large, "\xdc\x03\xe8", 3);
    popoto_confidence figures;
    assert_false(popoto__codec_read_confidence(large, size, 0.25, &figures));
    free(large);
}

/* ----- texts and scores ----------------------------------------------------------------------- */

static void test_key_texts(void **state) {
    bench *it = *state;
    const struct {
        popoto_value value;
        const char *expected; /* str(value) in Python */
    } cases[] = {
        { popoto_of_int(INT64_MIN), "-9223372036854775808" },
        { popoto_of_int(0), "0" },
        { popoto_of_bool(true), "True" },
        { popoto_of_bool(false), "False" },
        { popoto_of_float(1.5), "1.5" },
        { popoto_of_float(-0.0), "-0.0" },
        { popoto_of_float((double)INFINITY), "inf" },
        { text(""), "" },
        { text("a:b"), "a:b" },
        { BYTES("\xff"), "\xff" },
        { DAY(2020, 1, 2), "2020-01-02" },
        { DAY(999, 1, 2), "0999-01-02" },
        { CLOCK(1, 2, 3, 0), "01:02:03" },
        { CLOCK(1, 2, 3, 4), "01:02:03.000004" },
        { TIME(0, POPOTO_NAIVE), "1970-01-01T00:00:00.000000Z" },
        /* str(Decimal(..)) */
        { DECIMAL("1e3"), "1E+3" },
        { DECIMAL("+007.50"), "7.50" },
        { DECIMAL(".5"), "0.5" },
        { DECIMAL("5."), "5" },
        { DECIMAL("000"), "0" },
        { DECIMAL("0.00"), "0.00" },
        { DECIMAL("0.0000000"), "0E-7" },
        { DECIMAL("-0E-7"), "-0E-7" },
        { DECIMAL("1E+0"), "1" },
        { DECIMAL("12e-2"), "0.12" },
        { DECIMAL("1234E-10"), "1.234E-7" },
        { DECIMAL("0e5"), "0E+5" },
        { DECIMAL("1.23e5"), "1.23E+5" },
        { DECIMAL("00100.00e+2"), "10000" },
        { DECIMAL("0.000001"), "0.000001" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why;
        popoto__buffer_clear(&it->bytes);
        assert_true(popoto__codec_key_text(&it->bytes, &cases[i].value, &why));
        popoto__buffer_append(&it->bytes, "", 1);
        assert_string_equal(it->bytes.data, cases[i].expected);
    }
    const popoto_value refused[] = { { POPOTO_NULL, { 0 } },
                                     { POPOTO_TEXT, { 0 } },
                                     popoto_of_float((double)NAN),
                                     popoto_of_unsigned(UINT64_MAX),
                                     popoto_of_items(POPOTO_LIST, NULL, 0),
                                     DAY(2021, 2, 29),
                                     TIME(INT64_MAX, 0),
                                     DECIMAL("x") };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const char *why = NULL;
        assert_false(popoto__codec_key_text(&it->bytes, &refused[i], &why));
        assert_non_null(why);
    }
}

static void test_scores(void **state) {
    (void)state;
    /* float(SortedFieldMixin.convert_to_numeric(field, value)) */
    const struct {
        popoto_value value;
        double score;
        bool exact;
    } cases[] = {
        { popoto_of_int(7), 7, true },
        { popoto_of_int(INT64_C(9007199254740991)), 9007199254740991.0, true },
        { popoto_of_int(INT64_C(9007199254740992)), 9007199254740992.0, false },
        { popoto_of_int(INT64_C(9007199254740993)), 9007199254740992.0, false },
        { popoto_of_int(INT64_MIN), -9223372036854775808.0, false },
        { popoto_of_float(0.1), 0.1, true },
        { popoto_of_float((double)-INFINITY), (double)-INFINITY, true },
        { DAY(2020, 1, 2), 737426, true },
        { DAY(1, 1, 1), 1, true },
        { DAY(9999, 12, 31), 3652059, true },
        { CLOCK(23, 59, 59, 999999), 86399.999999, true },
        { CLOCK(1, 2, 3, 4), 3723.000004, true },
        { DECIMAL("0.1"), 0.1, false },
        { DECIMAL("1e400"), (double)INFINITY, false },
        { DECIMAL("-1e400"), (double)-INFINITY, false },
        { DECIMAL("1e-400"), 0, false },
        { DECIMAL("123456789012345678901234567890.5"), 1.2345678901234568e+29, false },
        { DECIMAL("5e-324"), 5e-324, false },
        { DECIMAL("2.4703282292062327e-324"), 0, false },
        { DECIMAL("9007199254740993.0000000000000000000000000001"), 9007199254740994.0, false },
        { TIME(INT64_C(8589934591999999), 0), 8589934591.999999, true },
        { TIME(INT64_C(8589934592000001), 0), 8589934592.000001, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double score;
        bool exact;
        const char *why;
        assert_true(popoto__codec_score(&cases[i].value, &score, &exact, &why));
        assert_true(score == cases[i].score);
        assert_int_equal(exact, cases[i].exact);
    }
    const popoto_value refused[] = { { POPOTO_NULL, { 0 } },   popoto_of_float((double)NAN),
                                     popoto_of_bool(true),     text("1"),
                                     DAY(2021, 2, 29),         DECIMAL("x"),
                                     TIME(INT64_MAX, 0),       popoto_of_unsigned(UINT64_MAX),
                                     { POPOTO_DECIMAL, { 0 } } };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        double score;
        bool exact;
        const char *why = NULL;
        assert_false(popoto__codec_score(&refused[i], &score, &exact, &why));
        assert_non_null(why);
    }
}

/* A digit that matters only by being there, a thousand places on. */
static void test_long_decimals_round_once(void **state) {
    (void)state;
    char digits[2000];
    memset(digits, '0', sizeof(digits));
    memcpy(digits, "9007199254740993.", 17);
    double score;
    bool exact;
    const char *why;
    popoto_value value = popoto_of_sized_text((popoto_text){ digits, sizeof(digits) });
    value.type = POPOTO_DECIMAL;
    assert_true(popoto__codec_score(&value, &score, &exact, &why));
    assert_true(score == 9007199254740992.0); /* half way: to even */
    digits[sizeof(digits) - 1] = '1';
    assert_true(popoto__codec_score(&value, &score, &exact, &why));
    assert_true(score == 9007199254740994.0);
}

/* Every day there is, one after the other. */
static void test_the_whole_calendar(void **state) {
    (void)state;
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int32_t ordinal = 0;
    for (int year = 1; year <= 9999; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (int month = 1; month <= 12; month++) {
            int length = lengths[month - 1] + (month == 2 && leap);
            for (int day = 1; day <= length; day++) {
                popoto_day it = { (int16_t)year, (uint8_t)month, (uint8_t)day };
                char expected[MOMENT_TEXT_SIZE], iso[MOMENT_TEXT_SIZE];
                popoto_value noon =
                    TIME(((int64_t)(ordinal + 1 - 719163) * 86400 + 43200) * 1000000, POPOTO_NAIVE);
                if (!popoto__moment_is_day(it) || popoto__moment_ordinal(it) != ++ordinal)
                    fail_msg("%d-%d-%d", year, month, day);
                popoto__moment_text(&noon, iso);
                if (day == 1 || day == length) {
                    snprintf(expected, sizeof(expected), "%04d-%02d-%02dT12:00:00", year, month,
                             day);
                    assert_string_equal(iso, expected);
                } else if ((iso[8] - '0') * 10 + iso[9] - '0' != day) {
                    fail_msg("%d-%d-%d is %s", year, month, day, iso);
                }
            }
            assert_false(popoto__moment_is_day(
                (popoto_day){ (int16_t)year, (uint8_t)month, (uint8_t)(length + 1) }));
        }
    }
    assert_int_equal(ordinal, 3652059);
}

/* ----- order and equality --------------------------------------------------------------------- */

/* Ascending, with equals in one row; every pair is compared. */
static void test_numbers_compare_by_value(void **state) {
    (void)state;
    const popoto_value rows[][3] = {
        { popoto_of_float((double)-INFINITY), popoto_of_float((double)-INFINITY),
          popoto_of_float((double)-INFINITY) },
        { DECIMAL("-1e400"), DECIMAL("-10E+399"), DECIMAL("-0.1e401") },
        { popoto_of_int(INT64_MIN), popoto_of_float(-9223372036854775808.0),
          DECIMAL("-9223372036854775808.000") },
        { popoto_of_int(INT64_MIN + 1), DECIMAL("-9223372036854775807"),
          popoto_of_int(INT64_MIN + 1) },
        { popoto_of_float(-1.5), DECIMAL("-1.5"), DECIMAL("-15E-1") },
        { popoto_of_int(-1), popoto_of_float(-1), DECIMAL("-1.0") },
        { popoto_of_float(-5e-324), popoto_of_float(-5e-324), popoto_of_float(-5e-324) },
        { popoto_of_int(0), popoto_of_float(-0.0), DECIMAL("-0.000E+7") },
        { DECIMAL("1e-999"), DECIMAL("0.1e-998"), DECIMAL("10e-1000") },
        { popoto_of_float(5e-324), popoto_of_float(5e-324), popoto_of_float(5e-324) },
        { DECIMAL("0.1"), DECIMAL("0.100"), DECIMAL("1E-1") },
        { popoto_of_float(0.1), popoto_of_float(0.1),
          DECIMAL("0.1000000000000000055511151231257827021181583404541015625") },
        { popoto_of_int(1), popoto_of_float(1), DECIMAL("01") },
        { popoto_of_int(INT64_C(9007199254740992)), popoto_of_float(9007199254740992.0),
          DECIMAL("9007199254740992") },
        { popoto_of_int(INT64_C(9007199254740993)), DECIMAL("9007199254740993"),
          DECIMAL("9007199254740993.0") },
        { popoto_of_int(INT64_MAX), DECIMAL("9223372036854775807"), popoto_of_int(INT64_MAX) },
        { popoto_of_float(9223372036854775808.0), DECIMAL("9223372036854775808"),
          popoto_of_float(9223372036854775808.0) },
        { DECIMAL("1e400"), DECIMAL("1e400"), DECIMAL("1e400") },
        { popoto_of_float((double)INFINITY), popoto_of_float((double)INFINITY),
          popoto_of_float((double)INFINITY) },
        { popoto_of_float((double)NAN), popoto_of_float((double)NAN),
          popoto_of_float((double)NAN) },
    };
    const int count = sizeof(rows) / sizeof(rows[0]);
    for (int i = 0; i < count * 3; i++)
        for (int k = 0; k < count * 3; k++) {
            bool comparable;
            int result =
                popoto__value_compare(&rows[i / 3][i % 3], &rows[k / 3][k % 3], &comparable);
            int expected = (i / 3 > k / 3) - (i / 3 < k / 3);
            if (!comparable || result != expected)
                fail_msg("%d.%d with %d.%d: %d", i / 3, i % 3, k / 3, k % 3, result);
        }
}

static void assert_compares(popoto_value a, popoto_value b, int expected) {
    bool comparable;
    assert_int_equal(popoto__value_compare(&a, &b, &comparable), expected);
    assert_true(comparable);
    assert_int_equal(popoto__value_compare(&b, &a, &comparable), -expected);
    assert_true(comparable);
}

static void test_others_compare_within_their_type(void **state) {
    (void)state;
    assert_compares(text("a"), text("b"), -1);
    assert_compares(text("a"), text("aa"), -1);
    assert_compares(text(""), text(""), 0);
    assert_compares(SIZED("a\0b"), SIZED("a\0c"), -1);
    assert_compares(BYTES("\x7f"), BYTES("\x80"), -1);
    assert_compares(popoto_of_bool(false), popoto_of_bool(true), -1);
    assert_compares(TIME(0, 0), TIME(0, 7200), 0);
    assert_compares(TIME(0, 0), TIME(1, POPOTO_NAIVE), -1);
    assert_compares(DAY(2020, 1, 31), DAY(2020, 2, 1), -1);
    assert_compares(DAY(2019, 12, 31), DAY(2020, 1, 1), -1);
    assert_compares(CLOCK(1, 59, 59, 9), CLOCK(2, 0, 0, 0), -1);
    assert_compares(CLOCK(1, 2, 3, 4), CLOCK(1, 2, 3, 5), -1);
    assert_compares(ITEMS(POPOTO_LIST, popoto_of_int(1), popoto_of_int(2)),
                    ITEMS(POPOTO_LIST, popoto_of_int(1), popoto_of_float(2.5)), -1);
    assert_compares(ITEMS(POPOTO_TUPLE, popoto_of_int(1)),
                    ITEMS(POPOTO_TUPLE, popoto_of_int(1), popoto_of_int(0)), -1);

    const popoto_value apart[][2] = {
        { text("a"), BYTES("a") },
        { popoto_of_int(1), text("1") },
        { popoto_of_int(1), popoto_of_bool(true) },
        { popoto_of_int(1), { POPOTO_NULL, { 0 } } },
        { DAY(2020, 1, 1), TIME(0, 0) },
        { ITEMS(POPOTO_LIST, text("a")), ITEMS(POPOTO_LIST, popoto_of_int(1)) },
        { ITEMS(POPOTO_SET, text("a")), ITEMS(POPOTO_SET, text("a")) },
        { DECIMAL("x"), DECIMAL("1") },
        { DECIMAL("x"), popoto_of_float((double)INFINITY) },
    };
    for (size_t i = 0; i < sizeof(apart) / sizeof(apart[0]); i++) {
        bool comparable = true;
        assert_int_equal(popoto__value_compare(&apart[i][0], &apart[i][1], &comparable), 0);
        assert_false(comparable);
    }
}

static bool equal(popoto_value a, popoto_value b) {
    bool result = popoto_value_equal(&a, &b);
    assert_int_equal(popoto_value_equal(&b, &a), result);
    return result;
}

static void test_equality(void **state) {
    (void)state;
    popoto_value one = popoto_of_int(1), two = popoto_of_int(2), a = text("a"), b = text("b");
    assert_true(equal(one, one));
    assert_false(equal(one, popoto_of_float(1)));
    assert_false(equal(a, BYTES("a")));
    assert_true(equal(popoto_of_float((double)NAN), popoto_of_float((double)NAN)));
    assert_true(equal(TIME(5, 0), TIME(5, 3600)));
    assert_true(equal(DECIMAL("1.50"), DECIMAL("1.5")));
    assert_true(equal((popoto_value){ POPOTO_NULL, { 0 } }, (popoto_value){ POPOTO_NULL, { 0 } }));
    assert_true(equal(ITEMS(POPOTO_LIST, a, b), ITEMS(POPOTO_LIST, a, b)));
    assert_false(equal(ITEMS(POPOTO_LIST, a, b), ITEMS(POPOTO_LIST, b, a)));
    assert_false(equal(ITEMS(POPOTO_LIST, a), ITEMS(POPOTO_TUPLE, a)));
    assert_false(equal(ITEMS(POPOTO_LIST, a), ITEMS(POPOTO_LIST, a, b)));
    assert_true(equal(ITEMS(POPOTO_SET, a, b), ITEMS(POPOTO_SET, b, a)));
    assert_false(equal(ITEMS(POPOTO_SET, a, a, b), ITEMS(POPOTO_SET, a, b, b)));
    assert_true(equal(ITEMS(POPOTO_MAP, a, one, b, two), ITEMS(POPOTO_MAP, b, two, a, one)));
    assert_false(equal(ITEMS(POPOTO_MAP, a, one, b, two), ITEMS(POPOTO_MAP, a, two, b, one)));
    assert_false(equal(ITEMS(POPOTO_MAP, a, b), ITEMS(POPOTO_MAP, b, a)));
}

/* A program may have set a locale whose point is a comma: nothing here may notice. */
static void test_the_locale_does_not_matter(void **state) {
    static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8",
                                         "ps_AF.UTF-8" };
    size_t i = 0;
    while (i < 4 && setlocale(LC_NUMERIC, names[i]) == NULL)
        i++;
    if (i == 4)
        skip();
    test_doubles_are_python_s(state);
    test_times_are_python_s(state);
    test_doubles_as_servers_answer_them(state);
    test_numbers_compare_by_value(state);
    test_scores(state);
    setlocale(LC_NUMERIC, "C");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_are_python_s),
        TEST(test_times_are_python_s),
        TEST(test_doubles_are_python_s),
        TEST(test_doubles_read_back),
        TEST(test_random_values_come_back),
        TEST(test_cut_short_is_refused),
        TEST(test_corruption_is_a_value_or_a_reason),
        TEST(test_every_width_is_read),
        TEST(test_what_is_refused_when_read),
        TEST(test_times_as_older_popotos_wrote_them),
        TEST(test_tagged_maps_with_bad_content_are_refused),
        TEST(test_maps_that_merely_resemble),
        TEST(test_what_is_refused_when_written),
        TEST(test_a_type_s_own_null),
        TEST(test_depth_is_bounded),
        TEST(test_scalars_need_no_memory),
        TEST(test_text_points_into_the_data),
        TEST(test_without_memory),
        TEST(test_confidence_entries),
        TEST(test_what_is_no_confidence_entry),
        TEST(test_key_texts),
        TEST(test_scores),
        TEST(test_long_decimals_round_once),
        TEST(test_the_whole_calendar),
        TEST(test_numbers_compare_by_value),
        TEST(test_others_compare_within_their_type),
        TEST(test_equality),
        TEST(test_doubles_as_servers_answer_them),
        TEST(test_the_locale_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
