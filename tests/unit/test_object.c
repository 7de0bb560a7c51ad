/* Objects: what a struct's members hold becomes values and comes back; what a member cannot hold is
 * refused. */
#include "codec.h"
#include "object.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct all {
    popoto_object object;
    const char *string;
    char array[8];
    popoto_text text;
    bool truth;
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    long long longest;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    float f32;
    double f64;
    popoto_bytes bytes;
    popoto_time time;
    popoto_day day;
    popoto_clock clock;
    popoto_decimal decimal;
    popoto_value any;
    popoto_id id;
    const bool *bool_pointer;
    const int64_t *int_pointer;
    const double *float_pointer;
    const popoto_time *time_pointer;
} all;

static const popoto_field fields[] = {
    POPOTO_FIELD(all, string, .null = true),
    POPOTO_FIELD(all, array),
    POPOTO_FIELD(all, text, .null = true),
    POPOTO_FIELD(all, truth),
    POPOTO_FIELD(all, i8),
    POPOTO_FIELD(all, i16),
    POPOTO_FIELD(all, i32),
    POPOTO_FIELD(all, i64),
    POPOTO_FIELD(all, longest),
    POPOTO_FIELD(all, u8),
    POPOTO_FIELD(all, u16),
    POPOTO_FIELD(all, u32),
    POPOTO_FIELD(all, u64),
    POPOTO_FIELD(all, f32),
    POPOTO_FIELD(all, f64),
    POPOTO_FIELD(all, bytes, .null = true),
    POPOTO_FIELD(all, time),
    POPOTO_FIELD(all, day, .null = true),
    POPOTO_FIELD(all, clock),
    POPOTO_FIELD(all, decimal, .null = true),
    POPOTO_FIELD(all, any, .null = true),
    POPOTO_AUTO_KEY(all, id),
    POPOTO_FIELD(all, bool_pointer, .null = true),
    POPOTO_FIELD(all, int_pointer, .null = true),
    POPOTO_FIELD(all, float_pointer, .null = true),
    POPOTO_FIELD(all, time_pointer, .null = true),
};
static const popoto_model All = POPOTO_MODEL("All", all, fields);
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

typedef struct workshop {
    popoto_allocator allocator;
    arena memory;
    const model *of;
    failure why;
    popoto_value values[FIELD_COUNT];
} workshop;

static int set_up(void **state) {
    workshop *it = calloc(1, sizeof(*it));
    it->allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    popoto__arena_init(&it->memory, &it->allocator);
    *state = it;
    return popoto__model_compile(&All, POPOTO_DOCUMENTED, &it->memory, &it->of, &it->why) ==
                   POPOTO_OK
               ? 0
               : -1;
}

static int tear_down(void **state) {
    workshop *it = *state;
    popoto__arena_free(&it->memory);
    free(it);
    return 0;
}

static const field *field_named(const workshop *it, const char *name) {
    return popoto__model_field(it->of, name, strlen(name));
}

/* All values out of one struct and into another. */
static void copy(workshop *it, const all *from, all *to) {
    memset(to, 0, sizeof(*to));
    assert_int_equal(POPOTO_OK, popoto__object_values(it->of, from, it->values, &it->why));
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const char *reason = NULL;
        if (!popoto__object_set(it->of, to, &it->of->fields[i], &it->values[i], &it->memory,
                                &reason))
            fail_msg("%s: %s", it->of->fields[i].name, reason);
    }
}

static void test_every_member_comes_back(void **state) {
    workshop *it = *state;
    const bool truth = true;
    const int64_t whole = INT64_MIN;
    const double real = -0.5;
    const popoto_time moment = { -1, 3600 };
    const all from = {
        .string = "text",
        .array = "7 bytes",
        .text = { "a\0b", 3 },
        .truth = true,
        .i8 = INT8_MIN,
        .i16 = INT16_MIN,
        .i32 = INT32_MIN,
        .i64 = INT64_MIN,
        .longest = INT64_MAX,
        .u8 = UINT8_MAX,
        .u16 = UINT16_MAX,
        .u32 = UINT32_MAX,
        .u64 = INT64_MAX,
        .f32 = 0.1F,
        .f64 = 0.1,
        .bytes = { "\0\xff", 2 },
        .time = { 1, POPOTO_NAIVE },
        .day = { 2024, 2, 29 },
        .clock = { 23, 59, 58, 999999 },
        .decimal = { "-1E+3" },
        .any = { POPOTO_INT, { .integer = 5 } },
        .id = { "0123" },
        .bool_pointer = &truth,
        .int_pointer = &whole,
        .float_pointer = &real,
        .time_pointer = &moment,
    };
    all to;
    copy(it, &from, &to);
    assert_string_equal("text", to.string);
    assert_string_equal("7 bytes", to.array);
    assert_int_equal(3, to.text.size);
    assert_memory_equal("a\0b", to.text.data, 3);
    assert_true(to.truth);
    assert_true(to.i8 == INT8_MIN && to.i16 == INT16_MIN && to.i32 == INT32_MIN);
    assert_true(to.i64 == INT64_MIN && to.longest == INT64_MAX);
    assert_true(to.u8 == UINT8_MAX && to.u16 == UINT16_MAX && to.u32 == UINT32_MAX);
    assert_true(to.u64 == INT64_MAX);
    assert_true(to.f32 == 0.1F && to.f64 == 0.1);
    assert_int_equal(2, to.bytes.size);
    assert_true(to.time.microseconds == 1 && to.time.offset == POPOTO_NAIVE);
    assert_true(to.day.year == 2024 && to.day.month == 2 && to.day.day == 29);
    assert_true(to.clock.hour == 23 && to.clock.microsecond == 999999);
    assert_string_equal("-1E+3", to.decimal.text);
    assert_true(to.any.type == POPOTO_INT && to.any.as.integer == 5);
    assert_string_equal("0123", to.id.text);
    /* Pointers point at memory of the rows, not at the first struct's. */
    assert_true(to.bool_pointer != &truth && *to.bool_pointer);
    assert_true(to.int_pointer != &whole && *to.int_pointer == INT64_MIN);
    assert_true(to.float_pointer != &real && *to.float_pointer == -0.5);
    assert_true(to.time_pointer != &moment && to.time_pointer->microseconds == -1);
}

static void test_what_is_null_comes_back_as_null(void **state) {
    static const char *const nullable[] = { "string",       "text",        "bytes",
                                            "day",          "decimal",     "any",
                                            "bool_pointer", "int_pointer", "float_pointer",
                                            "time_pointer" };
    workshop *it = *state;
    all from = { .i8 = 0 }, to;
    memset(&to, 0xAA, sizeof(to));
    assert_int_equal(POPOTO_OK, popoto__object_values(it->of, &from, it->values, &it->why));
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        bool null = false;
        for (size_t k = 0; k < sizeof(nullable) / sizeof(nullable[0]); k++)
            null = null || strcmp(nullable[k], it->of->fields[i].name) == 0;
        assert_true((it->values[i].type == POPOTO_NULL) == null);
        const popoto_value value = { POPOTO_NULL, { 0 } };
        const char *reason = NULL;
        /* A member without a null is left zero, and says that it cannot. */
        assert_true(popoto__object_set(it->of, &to, &it->of->fields[i], &value, &it->memory,
                                       &reason) == null);
        if (!null)
            assert_string_equal("it is null, which its member cannot hold", reason);
    }
    assert_null(to.string);
    assert_null(to.time_pointer);
    assert_int_equal(0, to.day.month);
    assert_int_equal(0, to.i64);
}

static void test_ranges_of_narrow_integers_are_checked(void **state) {
    static const struct {
        const char *name;
        int64_t low, high;
    } ranges[] = {
        { "i8", INT8_MIN, INT8_MAX },    { "i16", INT16_MIN, INT16_MAX },
        { "i32", INT32_MIN, INT32_MAX }, { "u8", 0, UINT8_MAX },
        { "u16", 0, UINT16_MAX },        { "u32", 0, UINT32_MAX },
    };
    workshop *it = *state;
    all to = { .i8 = 0 };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        const field *about = field_named(it, ranges[i].name);
        const int64_t tried[] = { ranges[i].low, ranges[i].high, ranges[i].low - 1,
                                  ranges[i].high + 1 };
        for (int k = 0; k < 4; k++) {
            popoto_value value = popoto_of_int(tried[k]);
            const char *reason = NULL;
            assert_true(popoto__object_set(it->of, &to, about, &value, &it->memory, &reason) ==
                        (k < 2));
            if (k >= 2)
                assert_string_equal("it is out of the member's range", reason);
        }
    }
    popoto_value negative = popoto_of_int(-1);
    const char *reason = NULL;
    assert_false(
        popoto__object_set(it->of, &to, field_named(it, "u64"), &negative, &it->memory, &reason));
}

static void test_what_no_value_can_express_is_refused(void **state) {
    workshop *it = *state;
    all from = { .u64 = (uint64_t)INT64_MAX + 1 };
    assert_int_equal(POPOTO_BAD_VALUE, popoto__object_values(it->of, &from, it->values, &it->why));
    assert_string_equal("All.u64 is 9223372036854775808: integers go up to 2^63 - 1", it->why.text);
    from.u64 = 0;
    memcpy(from.array, "8 bytes!", 8);
    assert_int_equal(POPOTO_BAD_VALUE, popoto__object_values(it->of, &from, it->values, &it->why));
    assert_string_equal("All.array: its 8 characters do not end in a NUL", it->why.text);
}

static void test_text_that_a_member_cannot_hold_is_refused(void **state) {
    static const struct {
        const char *name;
        popoto_text text;
        const char *reason; /* NULL: it fits */
    } cases[] = {
        { "array", { "1234567", 7 }, NULL },
        { "array", { "12345678", 8 }, "does not fit into the char array" },
        { "array", { "a\0b", 3 }, "does not fit into the char array" },
        { "string", { "", 0 }, NULL },
        { "string", { "a\0b", 3 }, "a C string cannot" },
        { "decimal", { "1\0", 2 }, "a C string cannot" },
        { "id", { "0123456789012345678901234567890123456789", 40 }, "does not fit" },
        { "text", { "a\0b", 3 }, NULL },
    };
    workshop *it = *state;
    all to = { .i8 = 0 };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        popoto_value value = popoto_of_sized_text(cases[i].text);
        const char *reason = NULL;
        bool fits = popoto__object_set(it->of, &to, field_named(it, cases[i].name), &value,
                                       &it->memory, &reason);
        assert_true(fits == (cases[i].reason == NULL));
        if (!fits && strstr(reason, cases[i].reason) == NULL)
            fail_msg("%s: %s", cases[i].name, reason);
    }
}

static void test_text_without_a_nul_behind_it_is_copied(void **state) {
    workshop *it = *state;
    all to = { .i8 = 0 };
    const char *reason = NULL;
    popoto_value part = popoto_of_sized_text((popoto_text){ "abcdef", 3 });
    assert_true(
        popoto__object_set(it->of, &to, field_named(it, "string"), &part, &it->memory, &reason));
    assert_string_equal("abc", to.string);
}

static void test_setting_a_record_to_part_of_itself_keeps_it(void **state) {
    workshop *it = *state;
    popoto_record record = { .model = &All };
    popoto_value values[FIELD_COUNT] = { { POPOTO_NULL, { 0 } } };
    popoto__object_init(it->of, &record, values, &it->allocator);
    record.model = &All;
    record.values = values;
    record.allocator = it->allocator;
    const popoto_model loose = { .name = "Loose",
                                 .fields = (const popoto_field[]){ { .name = "any",
                                                                     .type = POPOTO_ANY } },
                                 .field_count = 1 };
    record.model = &loose;
    assert_int_equal(POPOTO_OK, popoto_record_set(&record, "any", POPOTO_LIST("a", "bc", 3)));
    popoto_value inner = popoto_record_get(&record, "any")->as.list.items[1];
    assert_int_equal(POPOTO_OK, popoto_record_set(&record, "any", inner));
    assert_string_equal("bc", popoto_record_get(&record, "any")->as.text.data);
    assert_int_equal(POPOTO_OK,
                     popoto_record_set(&record, "any", *popoto_record_get(&record, "any")));
    assert_string_equal("bc", popoto_record_get(&record, "any")->as.text.data);
    popoto__record_clear(&record);
}

#define object_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        object_test(test_every_member_comes_back),
        object_test(test_what_is_null_comes_back_as_null),
        object_test(test_ranges_of_narrow_integers_are_checked),
        object_test(test_what_no_value_can_express_is_refused),
        object_test(test_text_that_a_member_cannot_hold_is_refused),
        object_test(test_text_without_a_nul_behind_it_is_copied),
        object_test(test_setting_a_record_to_part_of_itself_keeps_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
