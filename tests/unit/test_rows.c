/* Rows: whatever is stored, and in whatever pieces the server's bytes come, a record becomes the same row
 * or the same problem; and its values are those that the general decoder reads. No server. */
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* ----- Two models of the same fields, a struct's and a record's -------------------------------- */

typedef struct all {
    popoto_object object;
    popoto_id id;
    const char *string;
    char array[12];
    popoto_text text;
    bool truth;
    int16_t i16;
    int64_t i64;
    uint32_t u32;
    float f32;
    double f64;
    popoto_bytes bytes;
    popoto_time time;
    popoto_day day;
    popoto_clock clock;
    popoto_decimal decimal;
    popoto_value any;
    const int64_t *int_pointer;
} all;

static const popoto_field struct_fields[] = {
    POPOTO_AUTO_KEY(all, id),
    POPOTO_FIELD(all, string, .null = true),
    POPOTO_FIELD(all, array),
    POPOTO_FIELD(all, text, .null = true),
    POPOTO_FIELD(all, truth),
    POPOTO_FIELD(all, i16),
    POPOTO_FIELD(all, i64, .default_value = POPOTO_DEFAULT_INT(7)),
    POPOTO_FIELD(all, u32),
    POPOTO_FIELD(all, f32),
    POPOTO_FIELD(all, f64),
    POPOTO_FIELD(all, bytes, .null = true),
    POPOTO_FIELD(all, time),
    POPOTO_FIELD(all, day, .null = true),
    POPOTO_FIELD(all, clock),
    POPOTO_FIELD(all, decimal, .null = true),
    POPOTO_FIELD(all, any, .null = true),
    POPOTO_FIELD(all, int_pointer, .null = true),
};
#define FIELDS (sizeof(struct_fields) / sizeof(*struct_fields))
static const popoto_model Struct = POPOTO_MODEL("All", all, struct_fields);

static const popoto_field record_fields[FIELDS] = {
    { .name = "id", .kind = POPOTO_KIND_AUTO_KEY, .type = POPOTO_TEXT },
    { .name = "string", .type = POPOTO_TEXT, .null = true },
    { .name = "array", .type = POPOTO_TEXT, .null = true },
    { .name = "text", .type = POPOTO_TEXT, .null = true },
    { .name = "truth", .type = POPOTO_BOOL, .null = true },
    { .name = "i16", .type = POPOTO_INT, .null = true },
    { .name = "i64", .type = POPOTO_INT, .null = true },
    { .name = "u32", .type = POPOTO_INT, .null = true },
    { .name = "f32", .type = POPOTO_FLOAT, .null = true },
    { .name = "f64", .type = POPOTO_FLOAT, .null = true },
    { .name = "bytes", .type = POPOTO_BYTES, .null = true },
    { .name = "time", .type = POPOTO_TIME, .null = true },
    { .name = "day", .type = POPOTO_DAY, .null = true },
    { .name = "clock", .type = POPOTO_CLOCK, .null = true },
    { .name = "decimal", .type = POPOTO_DECIMAL, .null = true },
    { .name = "any", .type = POPOTO_ANY, .null = true },
    { .name = "int_pointer", .type = POPOTO_INT, .null = true },
};
static const popoto_model Record = { .name = "All",
                                     .fields = record_fields,
                                     .field_count = FIELDS };

/* ----- Random answers -------------------------------------------------------------------------- */

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

static popoto_value random_value(popoto_type type) {
    static const char *const texts[] = {
        "a",
        "",
        "hello",
        "\xc3\xa9",
        "0123456789ab",
        "+1.50",
        "a text that is longer than thirty-one bytes, with \xe2\x82\xac"
    };
    uint64_t bits = random_bits();
    double real;
    switch (type) {
    case POPOTO_BOOL: return popoto_of_bool(bits & 1);
    case POPOTO_INT:
        return popoto_of_int((int64_t)(bits >> random_below(64)) * (bits & 1 ? -1 : 1));
    case POPOTO_FLOAT:
        memcpy(&real, &bits, sizeof(real));
        return popoto_of_float(random_below(2) ? real : (double)random_below(100) / 4);
    case POPOTO_BYTES: return popoto_of_bytes((popoto_bytes){ "\0\xff\r\n", 1 + random_below(4) });
    case POPOTO_TIME:
        return popoto_of_time(
            (popoto_time){ .microseconds = (int64_t)random_below(1u << 30) * 999 });
    case POPOTO_DAY:
        return popoto_of_day((popoto_day){ (int16_t)(1 + bits % 9999), (uint8_t)(1 + bits % 12),
                                           (uint8_t)(1 + bits % 28) });
    case POPOTO_DECIMAL: return popoto_of_decimal((popoto_decimal){ "12.50" });
    case POPOTO_TEXT:
        if (random_below(20) == 0)
            return popoto_of_sized_text((popoto_text){ "nul\0inside", 10 });
        return popoto_of_text(texts[random_below(sizeof(texts) / sizeof(*texts))]);
    default: return (popoto_value){ POPOTO_NULL, { 0 } };
    }
}

/* Mostly what belongs there; also what does not, and bytes that mean nothing. */
static void add_stored(buffer *out, popoto_type type) {
    static const popoto_type types[] = { POPOTO_NULL,  POPOTO_BOOL, POPOTO_INT, POPOTO_FLOAT,
                                         POPOTO_BYTES, POPOTO_TIME, POPOTO_DAY, POPOTO_TEXT };
    const char *why;
    size_t start = out->size;
    if (type == POPOTO_ANY || random_below(12) == 0)
        type = types[random_below(sizeof(types) / sizeof(*types))];
    popoto_value value = random_value(type), item = popoto_of_text("x");
    if (random_below(10) == 0)
        value = popoto_of_items(POPOTO_LIST, &item, 1);
    if (!popoto__codec_write(out, &value, &why))
        popoto__buffer_append(out, "\xc0", 1);
    if (random_below(10) == 0)
        out->data[start + random_below(out->size - start)] = (char)random_bits();
    if (random_below(25) == 0)
        out->size = start + random_below(out->size - start);
}

static void add_element(buffer *out, const field *about) {
    static const char *const others[] = {
        ":5\r\n", "+OK\r\n", "-ERR no\r\n", "*-1\r\n", "*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "*0\r\n"
    };
    char head[32];
    if (random_below(60) == 0) {
        popoto__buffer_append_text(out, others[random_below(6)]);
        return;
    }
    if (random_below(12) == 0) {
        popoto__buffer_append_text(out, "$-1\r\n");
        return;
    }
    buffer stored;
    popoto__buffer_init(&stored, out->allocator);
    add_stored(&stored, about->type);
    snprintf(head, sizeof(head), "$%zu\r\n", stored.size);
    popoto__buffer_append_text(out, head);
    popoto__buffer_append(out, stored.data, stored.size);
    popoto__buffer_append_text(out, "\r\n");
    popoto__buffer_free(&stored);
}

static void add_answer(buffer *out, const query *what) {
    static const char *const others[] = { "-WRONGTYPE no hash\r\n", "*0\r\n", "*-1\r\n", ":1\r\n",
                                          "$1\r\na\r\n" };
    char head[32];
    if (random_below(40) == 0) {
        popoto__buffer_append_text(out, others[random_below(5)]);
        return;
    }
    size_t count = what->fetched_count;
    if (random_below(40) == 0)
        count = random_below(count + 3);
    snprintf(head, sizeof(head), "*%zu\r\n", count);
    popoto__buffer_append_text(out, head);
    bool gone = random_below(30) == 0;
    for (size_t i = 0; i < count; i++) {
        if (gone)
            popoto__buffer_append_text(out, "$-1\r\n");
        else
            add_element(out, what->fetched[i < what->fetched_count ? i : 0].about);
    }
}

/* (A decimal that text was stored for need be no number, and is then equal to nothing.) */
static void assert_same(const field *about, const popoto_value *a, const popoto_value *b) {
    bool same = a->type == POPOTO_DECIMAL && b->type == POPOTO_DECIMAL
                    ? a->as.text.size == b->as.text.size &&
                          memcmp(a->as.text.data, b->as.text.data, a->as.text.size) == 0
                    : popoto_value_equal(a, b);
    if (!same)
        fail_msg("%s differs", about->name);
}

/* ----- Ways in which it comes ------------------------------------------------------------------ */

#define ANSWERS 12

typedef struct taking {
    popoto_rows *rows;
    const query *what;
    row_outcome outcomes[ANSWERS];
    exchange by_elements; /* whose handlers the whole lists are handed to */
} taking;

static void take_element(void *context, size_t index, size_t place, reply_type type,
                         const char *text, size_t size) {
    taking *it = context;
    (void)index;
    popoto__rows_take(it->rows, it->what, place, type, text, size);
}

static popoto_status take_end(void *context, size_t index, const reply *answer) {
    taking *it = context;
    static const char *const keys[] = { "All:1", "All:2", "All:another" };
    const char *key = keys[index % 3];
    assert_int_equal(0, answer->type == REPLY_ARRAY && answer->items != NULL);
    it->outcomes[index] =
        popoto__rows_end(it->rows, it->what, (popoto_text){ key, strlen(key) }, answer);
    return POPOTO_OK;
}

static popoto_status take_whole(void *context, size_t index, const reply *answer) {
    taking *it = context;
    return popoto__exchange_hand_over(&it->by_elements, index, answer);
}

/* step 0: built whole first. */
static void take(taking *it, popoto_db *db, const query *what, const buffer *bytes, size_t step) {
    *it = (taking){ .rows = popoto__rows_new(db, what->of), .what = what };
    assert_non_null(it->rows);
    it->by_elements =
        (exchange){ .count = ANSWERS, .handle = take_end, .context = it, .element = take_element };
    exchange whole = { .count = ANSWERS, .handle = take_whole, .context = it };
    assert_int_equal(POPOTO_OK,
                     popoto__reply_parse(step ? &it->by_elements : &whole, &db->allocator,
                                         bytes->data, bytes->size, step ? step : bytes->size));
}

static void compare(taking *one, taking *other) {
    popoto_rows *a = one->rows, *b = other->rows;
    popoto_value of_a[FIELDS], of_b[FIELDS];
    failure why;
    assert_memory_equal(one->outcomes, other->outcomes, sizeof(one->outcomes));
    assert_int_equal(popoto_rows_count(a), popoto_rows_count(b));
    assert_int_equal(popoto_rows_problem_count(a), popoto_rows_problem_count(b));
    for (size_t i = 0; i < popoto_rows_problem_count(a); i++)
        assert_string_equal(popoto_rows_problem(a, i), popoto_rows_problem(b, i));
    for (size_t i = 0; i < popoto_rows_count(a); i++) {
        const void *x = popoto_rows_at(a, i), *y = popoto_rows_at(b, i);
        assert_true(popoto__object_header(one->what->of, x)->content ==
                    popoto__object_header(one->what->of, y)->content);
        assert_int_equal(POPOTO_OK, popoto__object_values(one->what->of, x, of_a, &why));
        assert_int_equal(POPOTO_OK, popoto__object_values(one->what->of, y, of_b, &why));
        for (size_t k = 0; k < FIELDS; k++)
            assert_same(&one->what->of->fields[k], &of_a[k], &of_b[k]);
    }
}

#define QUESTIONS 6

static popoto_query_desc question(size_t which) {
    switch (which) {
    case 0: return (popoto_query_desc){ .allow_scan = true };
    case 1: return (popoto_query_desc){ .where = { POPOTO_IS("i64__gte", 0) } };
    case 2:
        return (popoto_query_desc){ .where = { POPOTO_IS("i64__gte", 0),
                                               POPOTO_IS("i64__lt", 1000000000),
                                               POPOTO_IS("string__startswith", "a") } };
    case 3:
        return (popoto_query_desc){ .where = { POPOTO_IS("f64__gt", 3.5) },
                                    .fields = "string,any" };
    case 4: return (popoto_query_desc){ .order_by = "string" };
    default: return (popoto_query_desc){ .order_by = "-text", .fields = "array,f32" };
    }
}

static void try_question(const popoto_model *of, popoto_query_desc desc) {
    static const size_t steps[] = { 100000, 1, 7, 64, 300 };
    popoto_db *db = popoto_open("unix:/no/such/socket", NULL);
    arena memory;
    buffer bytes;
    const model *compiled;
    query what;
    desc.model = of;
    popoto__arena_init(&memory, &db->allocator);
    popoto__buffer_init(&bytes, &db->allocator);
    assert_int_equal(POPOTO_OK, popoto__db_begin(db, of, &compiled));
    assert_int_equal(POPOTO_OK, popoto__query_parse(db, compiled, &desc, &memory, &what));
    for (size_t i = 0; i < ANSWERS; i++)
        add_answer(&bytes, &what);
    taking whole;
    take(&whole, db, &what, &bytes, 0);
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        taking cut;
        take(&cut, db, &what, &bytes, steps[i]);
        compare(&whole, &cut);
        popoto_rows_free(cut.rows);
    }
    popoto_rows_free(whole.rows);
    popoto__buffer_free(&bytes);
    popoto__arena_free(&memory);
    popoto_close(db);
}

static void test_however_it_comes_it_is_the_same(void **state) {
    (void)state;
    random_state = 20260801;
    for (size_t i = 0; i < 600; i++)
        for (size_t k = 0; k < QUESTIONS; k++)
            try_question(i % 2 ? &Struct : &Record, question(k));
}

/* What is no reply is found out as soon as when lists are built whole. */
static void ignore_element(void *context, size_t index, size_t place, reply_type type,
                           const char *text, size_t size) {
    (void)context, (void)index, (void)place, (void)type, (void)text, (void)size;
}

static void test_broken_lists_are_refused(void **state) {
    static const struct {
        const char *bytes;
        popoto_status status;
    } cases[] = {
        { "*1\r\n$1\r\na\r\n", POPOTO_OK },
        { "*0\r\n", POPOTO_OK },
        { "*", POPOTO_DISCONNECTED },
        { "*12", POPOTO_DISCONNECTED },
        { "*1\r", POPOTO_DISCONNECTED },
        { "*1\r\n$", POPOTO_DISCONNECTED },
        { "*1\r\n$-1\r", POPOTO_DISCONNECTED },
        { "*1\r\n$3\r\nabc", POPOTO_DISCONNECTED },
        { "*3\r\n$\r\nx", POPOTO_BAD_REPLY },
        { "*1\r\n$-2\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n$-\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n$01\r\na\r\n", POPOTO_BAD_REPLY },
        { "*01\r\n$1\r\na\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n$1\r\nabc", POPOTO_BAD_REPLY },
        { "*1\r\n$1x\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n?1\r\n", POPOTO_BAD_REPLY },
        { "*999999999\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n$99999999999999999999\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n$1\r\na\r\n$", POPOTO_BAD_REPLY },
    };
    popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        size_t size = strlen(cases[i].bytes);
        exchange whole = { .count = 1 }, pieces = { .count = 1, .element = ignore_element };
        for (size_t step = 1; step <= size; step++) {
            /* What comes behind the last reply is only seen where it comes with it. */
            bool surplus = i + 1 == sizeof(cases) / sizeof(*cases) && step < size;
            popoto_status status =
                popoto__reply_parse(&pieces, &allocator, cases[i].bytes, size, step);
            if (!surplus && status != cases[i].status)
                fail_msg("%s, %zu at a time: %s", cases[i].bytes, step, popoto_status_name(status));
            assert_int_equal(popoto__reply_parse(&whole, &allocator, cases[i].bytes, size, step),
                             status);
        }
    }
}

/* ----- Values ---------------------------------------------------------------------------------- */

/* By the decoder that knows everything: in a list nothing is short. */
static bool read_generally(arena *memory, const buffer *stored, popoto_value *value) {
    const char *why;
    popoto_value list;
    char *wrapped = popoto__arena_allocate(memory, stored->size + 2);
    assert_non_null(wrapped);
    wrapped[0] = '\x91';
    memcpy(wrapped + 1, stored->data, stored->size);
    wrapped[stored->size + 1] = '\0';
    if (!popoto__codec_read(memory, wrapped, stored->size + 1, &list, &why))
        return false;
    *value = list.as.list.items[0];
    return true;
}

static void test_short_values_are_what_the_general_decoder_reads(void **state) {
    (void)state;
    popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    static const popoto_type types[] = { POPOTO_NULL, POPOTO_BOOL, POPOTO_INT, POPOTO_FLOAT,
                                         POPOTO_TEXT };
    size_t short_ones = 0;
    random_state = 7;
    for (size_t i = 0; i < 100000; i++) {
        arena memory;
        buffer stored;
        popoto_value value, general;
        popoto__arena_init(&memory, &allocator);
        popoto__buffer_init(&stored, &allocator);
        if (i % 3 == 0) {
            for (size_t left = random_below(6); left > 0; left--)
                popoto__buffer_append(&stored, &(char){ (char)random_bits() }, 1);
        } else {
            add_stored(&stored, types[random_below(5)]);
        }
        popoto__buffer_append(&stored, "", 1);
        stored.size--;
        if (popoto__codec_read_short(stored.data, stored.size, &value)) {
            short_ones++;
            assert_true(read_generally(&memory, &stored, &general));
            assert_true(popoto_value_equal(&value, &general));
        }
        popoto__buffer_free(&stored);
        popoto__arena_free(&memory);
    }
    assert_true(short_ones > 25000);
}

/* A record's values are those that are stored, in the field's type. */
static void test_rows_hold_what_the_general_decoder_reads(void **state) {
    (void)state;
    random_state = 11;
    size_t taken = 0;
    for (size_t i = 0; i < 20000; i++) {
        popoto_db *db = popoto_open("unix:/no/such/socket", NULL);
        arena memory;
        const model *of;
        query what;
        popoto__arena_init(&memory, &db->allocator);
        assert_int_equal(POPOTO_OK, popoto__db_begin(db, &Record, &of));
        popoto_query_desc desc = { .model = &Record, .allow_scan = true };
        assert_int_equal(POPOTO_OK, popoto__query_parse(db, of, &desc, &memory, &what));
        popoto_rows *rows = popoto__rows_new(db, of);
        popoto_value expected[FIELDS];
        bool fits = true;
        for (size_t k = 0; k < FIELDS; k++) {
            buffer stored;
            popoto_value given;
            popoto__buffer_init(&stored, &db->allocator);
            add_stored(&stored, of->fields[k].type);
            if (k == 0 && random_below(8) != 0)
                stored.size = 0, popoto__buffer_append(&stored, "\xa2id", 3);
            popoto__buffer_append(&stored, "", 1);
            stored.size--;
            fits = fits && read_generally(&memory, &stored, &given) &&
                   popoto__field_convert(&of->fields[k], &given, &expected[k]) &&
                   (k > 0 || given.type != POPOTO_NULL);
            popoto__rows_take(rows, &what, k, REPLY_STRING, stored.data, stored.size);
            popoto__buffer_free(&stored); /* what rows need of it, they have kept */
        }
        reply end = { .type = REPLY_ARRAY, .count = FIELDS };
        row_outcome outcome = popoto__rows_end(rows, &what, (popoto_text){ "All:id", 6 }, &end);
        assert_int_equal(fits ? ROW_TAKEN : ROW_PROBLEM, outcome);
        const popoto_record *record = popoto_rows_at(rows, 0);
        for (size_t k = 0; fits && k < FIELDS; k++)
            assert_same(&of->fields[k], popoto_record_get(record, of->fields[k].name),
                        &expected[k]);
        taken += fits;
        popoto_rows_free(rows);
        popoto__arena_free(&memory);
        popoto_close(db);
    }
    assert_true(taken > 100);
}

/* ----- Memory ---------------------------------------------------------------------------------- */

static void *resize_counting(void *context, void *block, size_t size) {
    size_t *calls = context;
    if (size > 0)
        ++*calls;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

/* The rows of a query take over the memory of those that were freed before; large ones give it back. */
static void test_rows_use_the_memory_of_those_before(void **state) {
    (void)state;
    size_t calls = 0;
    popoto_options options = { .allocator = { resize_counting, &calls } };
    popoto_db *db = popoto_open("unix:/no/such/socket", &options);
    const model *of;
    assert_int_equal(POPOTO_OK, popoto__db_begin(db, &Struct, &of));
    for (size_t i = 0; i < 4; i++) {
        size_t before = calls;
        popoto_rows *rows = popoto__rows_new(db, of);
        assert_true(popoto__rows_expect(rows, 100));
        assert_non_null(popoto__arena_copy(&rows->memory, "text", 4));
        popoto_rows_free(rows);
        assert_int_equal(i == 0 ? 4 : 1, calls - before);
    }
    popoto_rows *large = popoto__rows_new(db, of);
    assert_true(popoto__rows_expect(large, 100000));
    popoto_rows_free(large);
    assert_true(db->spare.object_space <= SPARE_SIZE);
    popoto_rows *outliving = popoto__rows_new(db, of);
    assert_true(popoto__rows_expect(outliving, 1));
    popoto_close(db);
    assert_int_equal(0, popoto_rows_count(outliving));
    popoto_rows_free(outliving);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_however_it_comes_it_is_the_same),
        cmocka_unit_test(test_broken_lists_are_refused),
        cmocka_unit_test(test_short_values_are_what_the_general_decoder_reads),
        cmocka_unit_test(test_rows_hold_what_the_general_decoder_reads),
        cmocka_unit_test(test_rows_use_the_memory_of_those_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
