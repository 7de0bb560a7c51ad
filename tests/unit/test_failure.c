/* failure.h: sentences, and how data is shown in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "failure.h"
#include "utf8.h"

#include <string.h>

static void test_fail_sets_status_and_sentence(void **state) {
    (void)state;
    failure it = { 0 };
    assert_int_equal(popoto__fail(&it, POPOTO_BAD_VALUE, "%s is %d", "score", 7), POPOTO_BAD_VALUE);
    assert_int_equal(it.status, POPOTO_BAD_VALUE);
    assert_string_equal(it.text, "score is 7");
    assert_int_equal(popoto__fail_memory(&it), POPOTO_NO_MEMORY);
    assert_string_equal(it.text, "out of memory");
}

static void test_fail_may_extend_its_own_sentence(void **state) {
    (void)state;
    failure it = { 0 };
    popoto__explain(&it, POPOTO_BAD_VALUE, "inner");
    popoto__explain(&it, POPOTO_CORRUPT, "outer: %s", it.text);
    assert_string_equal(it.text, "outer: inner");
}

/* Cut at every place in a run of two-, three- and four-byte characters: what is left is UTF-8. */
static void test_fail_cuts_between_characters(void **state) {
    (void)state;
    char text[800];
    for (size_t shift = 0; shift < 9; shift++) {
        size_t size = shift;
        memset(text, 'a', shift);
        while (size < 700) {
            memcpy(text + size, "\xc3\xa9\xe2\x82\xac\xf0\x9f\xa6\x9b", 9);
            size += 9;
        }
        text[size] = '\0';
        failure it;
        popoto__explain(&it, POPOTO_BAD_VALUE, "%s", text);
        assert_in_range(strlen(it.text), FAILURE_TEXT_SIZE - 4, FAILURE_TEXT_SIZE - 1);
        assert_true(popoto__utf8_valid(it.text, strlen(it.text)));
        assert_memory_equal(it.text, text, strlen(it.text));
    }
}

static void test_show_quotes_and_escapes(void **state) {
    (void)state;
    shown room;
    assert_string_equal(popoto__show(&room, "abc", 3), "'abc'");
    assert_string_equal(popoto__show(&room, "", 0), "''");
    assert_string_equal(popoto__show(&room, NULL, 0), "null");
    assert_string_equal(popoto__show(&room, "a\0\n\x7f", 4), "'a\\x00\\x0a\\x7f'");
    assert_string_equal(popoto__show(&room, "it's \\", 6), "'it\\'s \\\\'");
    assert_string_equal(popoto__show(&room, "\xc3\xa9\xff\xe2\x82", 5),
                        "'\xc3\xa9\\xff\\xe2\\x82'");
    assert_string_equal(popoto__show(&room, "\xc2\x9b", 2), "'\\xc2\\x9b'"); /* a terminal's CSI */
}

static void test_show_cuts_what_is_long(void **state) {
    (void)state;
    shown room;
    char text[200];
    memset(text, 'x', sizeof(text));
    for (size_t size = 0; size <= sizeof(text); size++) {
        size_t length = strlen(popoto__show(&room, text, size));
        assert_true(length < sizeof(room.text));
        assert_int_equal(room.text[0], '\'');
        assert_int_equal(room.text[length - 1], '\'');
        if (length < size + 2)
            assert_memory_equal(room.text + length - 4, "...'", 4);
    }
    memset(text, 0, sizeof(text));
    assert_true(strlen(popoto__show(&room, text, sizeof(text))) < sizeof(room.text));
}

static void assert_shown(popoto_value value, const char *expected) {
    shown room;
    assert_string_equal(popoto__show_value(&room, &value), expected);
}

static void test_show_values(void **state) {
    (void)state;
    popoto_value items[4] = { { POPOTO_NULL, { 0 } } };
    assert_shown(POPOTO_VALUE("text"), "'text'");
    assert_shown(POPOTO_VALUE(12), "12");
    assert_shown(POPOTO_VALUE(INT64_MIN), "-9223372036854775808");
    assert_shown(POPOTO_VALUE(0.5), "0.5");
    assert_shown(POPOTO_VALUE((bool)true), "true");
    assert_shown((popoto_value){ POPOTO_NULL, { 0 } }, "null");
    assert_shown(POPOTO_VALUE(((popoto_bytes){ "\1", 1 })), "'\\x01'");
    assert_shown(POPOTO_VALUE(((popoto_decimal){ "1.50" })), "'1.50'");
    assert_shown(POPOTO_VALUE(((popoto_time){ 0, 0 })), "1970-01-01T00:00:00+00:00");
    assert_shown(POPOTO_VALUE(((popoto_time){ INT64_MAX, 0 })), "a moment out of range");
    assert_shown(POPOTO_VALUE(((popoto_day){ 2024, 2, 29 })), "2024-02-29");
    assert_shown(POPOTO_VALUE(((popoto_day){ 2023, 2, 29 })), "a day out of range");
    assert_shown(POPOTO_VALUE(((popoto_clock){ 1, 2, 3, 0 })), "01:02:03");
    assert_shown(popoto_of_items(POPOTO_LIST, items, 3), "a list of 3");
    assert_shown(popoto_of_items(POPOTO_MAP, items, 4), "a map of 2");
    assert_shown(popoto_of_unsigned(UINT64_MAX), "a value of no type");
}

/* Every sequence of up to four bytes from the edges of the ranges, against a decoder written the
 * plain way. */
static bool plainly_valid(const unsigned char *it, size_t size) {
    for (size_t i = 0; i < size;) {
        size_t length = it[i] < 0x80             ? 1
                        : (it[i] & 0xE0) == 0xC0 ? 2
                        : (it[i] & 0xF0) == 0xE0 ? 3
                        : (it[i] & 0xF8) == 0xF0 ? 4
                                                 : 0;
        if (length == 0 || size - i < length)
            return false;
        uint32_t code = length == 1 ? it[i] : it[i] & (0x7Fu >> length);
        for (size_t k = 1; k < length; k++) {
            if ((it[i + k] & 0xC0) != 0x80)
                return false;
            code = code << 6 | (it[i + k] & 0x3Fu);
        }
        static const uint32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
        if (code < lowest[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
            return false;
        i += length;
    }
    return true;
}

static void test_utf8_at_the_edges(void **state) {
    (void)state;
    static const unsigned char edges[] = { 0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                           0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
                                           0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFF };
    enum {
        EDGES = sizeof(edges)
    };
    /* Behind a prefix of each size up to 9, so that the quick path meets each alignment. */
    for (size_t number = 0; number < EDGES * EDGES * EDGES * EDGES; number++) {
        unsigned char text[16];
        size_t prefix = number % 10;
        memset(text, 'a', sizeof(text));
        size_t rest = number;
        for (size_t i = 0; i < 4; i++, rest /= EDGES)
            text[prefix + i] = edges[rest % EDGES];
        for (size_t size = prefix + 1; size <= prefix + 4; size++)
            if (popoto__utf8_valid((const char *)text, size) != plainly_valid(text, size))
                fail_msg("%02x %02x %02x %02x behind %zu, %zu bytes", text[prefix],
                         text[prefix + 1], text[prefix + 2], text[prefix + 3], prefix, size);
    }
    assert_true(popoto__utf8_valid(NULL, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_sets_status_and_sentence),
        cmocka_unit_test(test_fail_may_extend_its_own_sentence),
        cmocka_unit_test(test_fail_cuts_between_characters),
        cmocka_unit_test(test_show_quotes_and_escapes),
        cmocka_unit_test(test_show_cuts_what_is_long),
        cmocka_unit_test(test_show_values),
        cmocka_unit_test(test_utf8_at_the_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
