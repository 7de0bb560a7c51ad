/* memory.h and value.c's makers: allocator, arena, buffer, copies of values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_allocator.h"
#include "memory.h"

#include <stdalign.h>
#include <string.h>

static void test_default_allocator(void **state) {
    (void)state;
    popoto_allocator it = popoto__allocator_or_default((popoto_allocator){ 0 });
    char *block = popoto__allocate(&it, 3);
    assert_non_null(block);
    memcpy(block, "ab", 3);
    block = popoto__reallocate(&it, block, 5000);
    assert_string_equal(block, "ab");
    popoto__release(&it, block);
    popoto__release(&it, NULL);

    unsigned char *zeros = popoto__allocate_zeroed(&it, 10, 10);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeros[i], 0);
    popoto__release(&it, zeros);
    popoto__release(&it, popoto__allocate(&it, 0));
}

static void test_given_allocator_is_kept(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory, 0);
    popoto_allocator it = popoto__allocator_or_default(memory.allocator);
    void *block = popoto__allocate(&it, 0);
    assert_non_null(block);
    assert_int_equal(memory.live_blocks, 1);
    block = popoto__reallocate(&it, block, 0);
    assert_non_null(block);
    popoto__release(&it, block);
    assert_int_equal(memory.live_blocks, 0);
}

static void test_sizes_that_overflow_are_no_memory(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory, 0);
    assert_null(popoto__allocate_zeroed(&memory.allocator, SIZE_MAX / 2, 3));
    arena blocks;
    popoto__arena_init(&blocks, &memory.allocator);
    assert_null(popoto__arena_zeroed(&blocks, SIZE_MAX / 2, 3));
    assert_null(popoto__arena_allocate(&blocks, SIZE_MAX));
    assert_null(popoto__arena_allocate(&blocks, SIZE_MAX - 8));
    assert_null(popoto__arena_bytes(&blocks, SIZE_MAX));
    assert_null(popoto__arena_copy(&blocks, "x", SIZE_MAX));
    popoto__arena_free(&blocks);
    buffer bytes;
    popoto__buffer_init(&bytes, &memory.allocator);
    popoto__buffer_append(&bytes, "abc", 3);
    assert_null(popoto__buffer_grow(&bytes, SIZE_MAX - 1));
    assert_true(bytes.failed);
    popoto__buffer_free(&bytes);
    assert_int_equal(memory.live_blocks, 0);
}

/* Many sizes: each piece is aligned, filled with its own byte, and still has it at the end. */
static void test_arena_pieces_do_not_overlap(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory, 0);
    arena it;
    popoto__arena_init(&it, &memory.allocator);
    enum {
        COUNT = 3000
    };
    static char *pieces[COUNT];
    static size_t sizes[COUNT];
    uint32_t random = 1;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            random = random * 1664525 + 1013904223;
            sizes[i] = random >> 24 == 0 ? random % 100000 : random % 100;
            if (i % 3 == 0) {
                pieces[i] = popoto__arena_bytes(&it, sizes[i]);
            } else {
                pieces[i] = popoto__arena_allocate(&it, sizes[i]);
                assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
            }
            assert_non_null(pieces[i]);
            memset(pieces[i], i % 251, sizes[i]);
        }
        for (int i = 0; i < COUNT; i++)
            for (size_t at = 0; at < sizes[i]; at++)
                assert_int_equal((unsigned char)pieces[i][at], i % 251);
        popoto__arena_reset(&it);
        assert_int_equal(memory.live_blocks, 1);
    }
    popoto__arena_free(&it);
    assert_int_equal(memory.live_blocks, 0);
    popoto__arena_free(&it);
    popoto__arena_reset(&it);
}

static void test_arena_grows_in_few_blocks(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory, 0);
    arena it;
    popoto__arena_init(&it, &memory.allocator);
    for (int i = 0; i < 1000000 / 32; i++)
        assert_non_null(popoto__arena_allocate(&it, 32));
    assert_in_range(memory.live_blocks, 1, 25);
    assert_in_range(memory.live_bytes, 1000000 - 32, 1100000);
    popoto__arena_free(&it);
}

/* A large piece has a block of its own, and the free space of the newest block stays in use. */
static void test_arena_large_piece_wastes_nothing(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory, 0);
    arena it;
    popoto__arena_init(&it, &memory.allocator);
    char *small = popoto__arena_bytes(&it, 1);
    popoto__arena_bytes(&it, 100000);
    assert_ptr_equal(popoto__arena_bytes(&it, 1), small + 1);
    assert_int_equal(memory.live_blocks, 2);
    popoto__arena_free(&it);
}

static void test_arena_copies_and_zeroes(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory, 0);
    arena it;
    popoto__arena_init(&it, &memory.allocator);
    assert_string_equal(popoto__arena_copy(&it, "abcdef", 3), "abc");
    assert_string_equal(popoto__arena_copy(&it, NULL, 0), "");
    assert_non_null(popoto__arena_bytes(&it, 0));
    memset(popoto__arena_allocate(&it, 200), 0xFF, 200);
    popoto__arena_reset(&it);
    const unsigned char *zeros = popoto__arena_zeroed(&it, 20, 10);
    for (int i = 0; i < 200; i++)
        assert_int_equal(zeros[i], 0);
    popoto__arena_free(&it);
}

static void test_arena_without_memory(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory, 1);
    arena it;
    popoto__arena_init(&it, &memory.allocator);
    assert_null(popoto__arena_allocate(&it, 8));
    assert_non_null(popoto__arena_allocate(&it, 8)); /* the next one is granted */
    popoto__arena_free(&it);
    assert_int_equal(memory.live_blocks, 0);
}

static void test_buffer_appends(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory, 0);
    buffer it;
    popoto__buffer_init(&it, &memory.allocator);
    popoto__buffer_append(&it, NULL, 0);
    assert_int_equal(it.size, 0);
    for (int i = 0; i < 100000; i++) {
        popoto__buffer_append(&it, "\0a", 2);
        popoto__buffer_append_text(&it, "bc");
    }
    assert_int_equal(it.size, 400000);
    assert_in_range(memory.allocations, 1, 16);
    for (size_t i = 0; i < it.size; i += 4)
        assert_memory_equal(it.data + i, "\0abc", 4);
    memcpy(popoto__buffer_grow(&it, 2), "yz", 2);
    assert_memory_equal(it.data + 400000, "yz", 2);
    size_t allocations = memory.allocations;
    popoto__buffer_clear(&it);
    assert_int_equal(it.size, 0);
    popoto__buffer_append_text(&it, "again");
    assert_memory_equal(it.data, "again", 5);
    assert_int_equal(memory.allocations, allocations);
    popoto__buffer_free(&it);
    popoto__buffer_free(&it);
    assert_int_equal(memory.live_blocks, 0);
}

static void test_buffer_remembers_a_failure(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory, 2);
    buffer it;
    popoto__buffer_init(&it, &memory.allocator);
    popoto__buffer_append_text(&it, "first");
    char large[1000] = { 0 };
    popoto__buffer_append(&it, large, sizeof(large));
    assert_true(it.failed);
    popoto__buffer_append_text(&it, "x");
    assert_null(popoto__buffer_grow(&it, 1));
    assert_int_equal(it.size, 5);
    popoto__buffer_clear(&it);
    assert_false(it.failed);
    popoto__buffer_append_text(&it, "x");
    assert_int_equal(it.size, 1);
    popoto__buffer_free(&it);
    assert_int_equal(memory.live_blocks, 0);
}

/* ----- values --------------------------------------------------------------------------------- */

/* {"name": ["a", b"\0b", (1.50, None)], 7: {"x"}} */
static popoto_value sample(void) {
    static popoto_value pair[2], list[3], set[1], map[4];
    pair[0] = popoto_of_decimal((popoto_decimal){ "1.50" });
    pair[1] = popoto_of_text(NULL);
    list[0] = popoto_of_text("a");
    list[1] = popoto_of_bytes((popoto_bytes){ "\0b", 2 });
    list[2] = popoto_of_items(POPOTO_TUPLE, pair, 2);
    set[0] = popoto_of_text("x");
    map[0] = popoto_of_text("name");
    map[1] = popoto_of_items(POPOTO_LIST, list, 3);
    map[2] = popoto_of_int(7);
    map[3] = popoto_of_items(POPOTO_SET, set, 1);
    return popoto_of_items(POPOTO_MAP, map, 4);
}

static void test_value_copy_is_deep(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory, 0);
    arena it;
    popoto__arena_init(&it, &memory.allocator);
    popoto_value from = sample();
    popoto_value to;
    assert_true(popoto__value_copy(&it, &from, &to));
    assert_true(popoto_value_equal(&from, &to));
    const popoto_value *name = &to.as.list.items[0];
    assert_ptr_not_equal(name->as.text.data, from.as.list.items[0].as.text.data);
    assert_string_equal(name->as.text.data, "name");
    assert_ptr_not_equal(to.as.list.items[1].as.list.items, from.as.list.items[1].as.list.items);

    popoto_value nothing = { POPOTO_BYTES, { 0 } };
    assert_true(popoto__value_copy(&it, &nothing, &to));
    assert_null(to.as.bytes.data);
    popoto__arena_free(&it);
}

static void test_value_copy_without_memory(void **state) {
    (void)state;
    popoto_value list[300];
    for (size_t i = 0; i < 300; i++)
        list[i] = popoto_of_text("some text that takes room");
    popoto_value from = popoto_of_items(POPOTO_LIST, list, 300);
    for (size_t n = 1;; n++) {
        failing_allocator memory;
        failing_allocator_init(&memory, n);
        arena it;
        popoto__arena_init(&it, &memory.allocator);
        popoto_value to;
        bool copied = popoto__value_copy(&it, &from, &to);
        assert_int_equal(copied, !memory.failed);
        assert_int_equal(to.type, copied ? POPOTO_LIST : POPOTO_NULL);
        popoto__arena_free(&it);
        assert_int_equal(memory.live_blocks, 0);
        if (copied) {
            assert_in_range(n, 3, 20);
            break;
        }
    }
}

static void test_value_copy_bounds_depth(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory, 0);
    arena it;
    popoto__arena_init(&it, &memory.allocator);
    popoto_value nested[VALUE_MAX_DEPTH + 2] = { { POPOTO_NULL, { 0 } } };
    for (size_t i = 1; i < VALUE_MAX_DEPTH + 2; i++)
        nested[i] = popoto_of_items(POPOTO_LIST, &nested[i - 1], 1);
    popoto_value to;
    assert_true(popoto__value_copy(&it, &nested[VALUE_MAX_DEPTH], &to));
    assert_true(popoto_value_equal(&nested[VALUE_MAX_DEPTH], &to));
    assert_false(popoto__value_copy(&it, &nested[VALUE_MAX_DEPTH + 1], &to));
    assert_int_equal(to.type, POPOTO_NULL);
    popoto__arena_free(&it);
}

static void test_values_from_expressions(void **state) {
    (void)state;
    assert_int_equal(POPOTO_VALUE((const char *)NULL).type, POPOTO_NULL);
    assert_int_equal(POPOTO_VALUE("abc").as.text.size, 3);
    assert_int_equal(POPOTO_VALUE(7u).type, POPOTO_INT);
    assert_int_equal(POPOTO_VALUE((uint64_t)INT64_MAX).as.integer, INT64_MAX);
    assert_int_equal(POPOTO_VALUE((uint64_t)INT64_MAX + 1).type, POPOTO_ANY);
    assert_int_equal(POPOTO_VALUE((popoto_decimal){ NULL }).type, POPOTO_NULL);
    assert_int_equal(POPOTO_VALUE((popoto_decimal){ "1.5" }).type, POPOTO_DECIMAL);
    popoto_id id = { "" };
    assert_int_equal(POPOTO_VALUE(&id).type, POPOTO_NULL);
    assert_int_equal(popoto_of_id(NULL).type, POPOTO_NULL);
    memcpy(id.text, "abc", 4);
    assert_ptr_equal(POPOTO_VALUE(&id).as.text.data, id.text);
}

static void test_every_type_has_a_name(void **state) {
    (void)state;
    assert_string_equal(popoto__type_name(POPOTO_TIME), "a moment");
    assert_string_equal(popoto__type_name(POPOTO_LIST), "a list");
    for (int type = POPOTO_NULL; type <= POPOTO_ANY; type++)
        assert_string_not_equal(popoto__type_name((popoto_type)type), "an unknown type");
    assert_string_equal(popoto__type_name((popoto_type)99), "an unknown type");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_allocator),
        cmocka_unit_test(test_given_allocator_is_kept),
        cmocka_unit_test(test_sizes_that_overflow_are_no_memory),
        cmocka_unit_test(test_arena_pieces_do_not_overlap),
        cmocka_unit_test(test_arena_grows_in_few_blocks),
        cmocka_unit_test(test_arena_large_piece_wastes_nothing),
        cmocka_unit_test(test_arena_copies_and_zeroes),
        cmocka_unit_test(test_arena_without_memory),
        cmocka_unit_test(test_buffer_appends),
        cmocka_unit_test(test_buffer_remembers_a_failure),
        cmocka_unit_test(test_value_copy_is_deep),
        cmocka_unit_test(test_value_copy_without_memory),
        cmocka_unit_test(test_value_copy_bounds_depth),
        cmocka_unit_test(test_values_from_expressions),
        cmocka_unit_test(test_every_type_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
