/* key.h: segments escaped, joined, split and unescaped. What Popoto's DB_key says is in
 * tests/support/python_segments.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_allocator.h"
#include "key.h"
#include "python_segments.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

static const char *const dialects[] = { KEY_ESCAPES_DOCUMENTED, KEY_ESCAPES_POPOTO };

static int set_up(void **state) {
    failing_allocator *memory = malloc(sizeof(*memory));
    failing_allocator_init(memory, 0);
    *state = memory;
    return 0;
}

static int tear_down(void **state) {
    failing_allocator *memory = *state;
    size_t left = memory->live_blocks;
    free(memory);
    return left == 0 ? 0 : -1;
}

static void assert_holds(buffer *it, const char *expected) {
    assert_int_equal(it->size, strlen(expected));
    if (it->size > 0)
        assert_memory_equal(it->data, expected, it->size);
    popoto__buffer_clear(it);
}

static void test_escapes_are_popoto_s(void **state) {
    failing_allocator *memory = *state;
    buffer it;
    popoto__buffer_init(&it, &memory->allocator);
    for (size_t i = 0; i < sizeof(python_segments) / sizeof(python_segments[0]); i++) {
        const char *segment = python_segments[i].segment;
        const char *cleaned = python_segments[i].cleaned;
        popoto__key_escape(&it, KEY_ESCAPES_POPOTO, segment, strlen(segment));
        assert_holds(&it, cleaned);
        popoto__key_unescape(&it, cleaned, strlen(cleaned));
        assert_holds(&it, segment);
    }
    for (size_t i = 0; i < sizeof(python_odd_segments) / sizeof(python_odd_segments[0]); i++) {
        popoto__key_unescape(&it, python_odd_segments[i].odd, strlen(python_odd_segments[i].odd));
        assert_holds(&it, python_odd_segments[i].uncleaned);
    }
    popoto__buffer_free(&it);
}

static void test_documented_dialect_leaves_dashes(void **state) {
    failing_allocator *memory = *state;
    buffer it;
    popoto__buffer_init(&it, &memory->allocator);
    popoto__key_escape(&it, KEY_ESCAPES_DOCUMENTED, "project-a", 9);
    assert_holds(&it, "project-a");
    popoto__key_escape(&it, KEY_ESCAPES_DOCUMENTED, "a/-b*:", 6);
    assert_holds(&it, "a//-b/*{&#58;}");
    popoto__buffer_free(&it);
}

/* Each byte at each place of texts of many sizes: what is called plain is escaped to itself. */
static void test_what_is_plain_needs_no_escape(void **state) {
    popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    buffer out;
    char text[40];
    (void)state;
    popoto__buffer_init(&out, &allocator);
    for (size_t d = 0; d < 2; d++)
        for (size_t size = 1; size <= sizeof text; size++)
            for (size_t at = 0; at < size; at++)
                for (int byte = 0; byte < 256; byte++) {
                    memset(text, byte & 1 ? 'a' : '0', sizeof text);
                    text[at] = (char)byte;
                    popoto__buffer_clear(&out);
                    popoto__key_escape(&out, dialects[d], text, size);
                    bool same = out.size == size && memcmp(out.data, text, size) == 0;
                    /* A { alone is nothing, but taken for what may be something. */
                    if (popoto__key_is_plain(dialects[d], text, size) != (same && byte != '{'))
                        fail_msg("byte %d at %zu of %zu", byte, at, size);
                }
    popoto__buffer_free(&out);
}

static void test_nothing_is_an_empty_segment(void **state) {
    failing_allocator *memory = *state;
    buffer it;
    popoto__buffer_init(&it, &memory->allocator);
    popoto__key_escape(&it, KEY_ESCAPES_POPOTO, NULL, 0);
    popoto__key_unescape(&it, NULL, 0);
    popoto__key_pattern_literal(&it, NULL, 0);
    assert_int_equal(it.size, 0);
    popoto__buffer_free(&it);
}

static void test_a_failure_shows_in_the_buffer(void **state) {
    (void)state;
    char text[500];
    memset(text, ':', sizeof(text));
    for (size_t n = 1;; n++) {
        failing_allocator memory;
        failing_allocator_init(&memory, n);
        buffer it;
        popoto__buffer_init(&it, &memory.allocator);
        popoto__key_escape(&it, KEY_ESCAPES_POPOTO, text, sizeof(text));
        assert_int_equal(it.failed, memory.failed);
        bool done = !it.failed;
        popoto__buffer_free(&it);
        assert_int_equal(memory.live_blocks, 0);
        if (done)
            break;
    }
}

/* ----- splitting ------------------------------------------------------------------------------ */

static void assert_splits(const char *key, size_t size, const char *const *expected, size_t count) {
    key_rest rest = popoto__key_split(key, size);
    const char *segment;
    size_t length;
    for (size_t i = 0; i < count; i++) {
        assert_true(popoto__key_next(&rest, &segment, &length));
        assert_int_equal(length, strlen(expected[i]));
        assert_memory_equal(segment, expected[i], length);
    }
    assert_false(popoto__key_next(&rest, &segment, &length));
    assert_false(popoto__key_next(&rest, &segment, &length));
    assert_null(segment);
    assert_int_equal(length, 0);
}

static void test_split(void **state) {
    (void)state;
    assert_splits(NULL, 0, (const char *[]){ "" }, 1);
    assert_splits("a", 1, (const char *[]){ "a" }, 1);
    assert_splits("a:b", 2, (const char *[]){ "a", "" }, 2);
    assert_splits("a:b", 3, (const char *[]){ "a", "b" }, 2);
    assert_splits(":", 1, (const char *[]){ "", "" }, 2);
    assert_splits("::x", 3, (const char *[]){ "", "", "x" }, 3);
    assert_splits("Episode:a{&#58;}b:c", 19, (const char *[]){ "Episode", "a{&#58;}b", "c" }, 3);
}

/* ----- random tuples -------------------------------------------------------------------------- */

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

#define MOST_SEGMENTS 4
#define MOST_BYTES    200

typedef struct tuple {
    size_t count;
    struct {
        size_t size;
        char data[MOST_BYTES];
    } segments[MOST_SEGMENTS];
} tuple;

/* Short segments out of few pieces, so that tuples that might be confused come up often; some of any
 * bytes, some long. */
static void random_segment(char *data, size_t *size) {
    static const char *const pieces[] = {
        "/", ":",  "{",  "&#58;", "}", "{&#58;}", "/{&#58;}", "-",
        "*", "//", "/-", "/{",    "a", "'",       "[",        "?"
    };
    *size = 0;
    size_t style = random_below(20);
    if (style == 0) {
        *size = random_below(MOST_BYTES);
        for (size_t i = 0; i < *size; i++)
            data[i] = (char)random_bits();
        return;
    }
    for (size_t left = random_below(style == 1 ? 25 : 5); left > 0; left--) {
        const char *piece = pieces[random_below(16)];
        memcpy(data + *size, piece, strlen(piece));
        *size += strlen(piece);
    }
}

static void random_tuple(tuple *it) {
    it->count = 1 + random_below(MOST_SEGMENTS);
    for (size_t i = 0; i < it->count; i++)
        random_segment(it->segments[i].data, &it->segments[i].size);
}

/* One byte more, less, other, or moved across a boundary between segments. */
static void mutate(tuple *it) {
    size_t i = random_below(it->count);
    size_t *size = &it->segments[i].size;
    char *data = it->segments[i].data;
    switch (random_below(5)) {
    case 0:
        if (*size < MOST_BYTES)
            data[(*size)++] = "/:{}-&"[random_below(6)];
        break;
    case 1:
        if (*size > 0)
            --*size;
        break;
    case 2:
        if (*size > 0)
            data[random_below(*size)] = "/:{}-&"[random_below(6)];
        break;
    case 3:
        if (i + 1 < it->count && *size > 0 && it->segments[i + 1].size < MOST_BYTES) {
            memmove(it->segments[i + 1].data + 1, it->segments[i + 1].data,
                    it->segments[i + 1].size);
            it->segments[i + 1].data[0] = data[--*size];
            it->segments[i + 1].size++;
        }
        break;
    default:
        if (it->count < MOST_SEGMENTS)
            it->segments[it->count++].size = 0;
    }
}

static bool same(const tuple *a, const tuple *b) {
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->segments[i].size != b->segments[i].size ||
            memcmp(a->segments[i].data, b->segments[i].data, a->segments[i].size) != 0)
            return false;
    return true;
}

static void join(buffer *out, const char *escapes, const tuple *it) {
    popoto__buffer_clear(out);
    for (size_t i = 0; i < it->count; i++) {
        if (i > 0)
            popoto__buffer_append(out, ":", 1);
        popoto__key_escape(out, escapes, it->segments[i].data, it->segments[i].size);
    }
}

/* The segments of a key are those that it was joined from, byte for byte. */
static void assert_comes_back(const buffer *key, buffer *segment_room, const tuple *it) {
    key_rest rest = popoto__key_split(key->data, key->size);
    const char *segment;
    size_t size;
    for (size_t i = 0; i < it->count; i++) {
        if (!popoto__key_next(&rest, &segment, &size))
            fail_msg("segment %zu is missing", i);
        popoto__buffer_clear(segment_room);
        popoto__key_unescape(segment_room, segment, size);
        if (segment_room->size != it->segments[i].size ||
            (segment_room->size > 0 &&
             memcmp(segment_room->data, it->segments[i].data, segment_room->size) != 0))
            fail_msg("segment %zu of %.*s", i, (int)key->size, key->data);
    }
    if (popoto__key_next(&rest, &segment, &size))
        fail_msg("one segment too many in %.*s", (int)key->size, key->data);
}

static void test_a_million_tuples_come_back(void **state) {
    failing_allocator *memory = *state;
    for (size_t dialect = 0; dialect < 2; dialect++) {
        buffer key, other_key, room;
        popoto__buffer_init(&key, &memory->allocator);
        popoto__buffer_init(&other_key, &memory->allocator);
        popoto__buffer_init(&room, &memory->allocator);
        random_state = dialect;
        for (int i = 0; i < 500000; i++) {
            tuple it, other;
            random_tuple(&it);
            join(&key, dialects[dialect], &it);
            assert_comes_back(&key, &room, &it);

            other = it;
            mutate(&other);
            join(&other_key, dialects[dialect], &other);
            assert_comes_back(&other_key, &room, &other);
            bool same_key = key.size == other_key.size &&
                            (key.size == 0 || memcmp(key.data, other_key.data, key.size) == 0);
            if (same_key != same(&it, &other))
                fail_msg("two tuples, one key: %.*s", (int)key.size, key.data);
        }
        popoto__buffer_free(&key);
        popoto__buffer_free(&other_key);
        popoto__buffer_free(&room);
    }
}

/* All tuples of up to three short segments, their keys in one table: no key twice. */
static uint64_t digest(const char *data, size_t size) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

typedef struct key_table {
    char **keys;
    size_t *sizes;
    size_t capacity; /* a power of two */
} key_table;

static bool add_key(key_table *table, const buffer *key) {
    size_t at = (size_t)digest(key->data, key->size) & (table->capacity - 1);
    for (; table->keys[at] != NULL; at = (at + 1) & (table->capacity - 1))
        if (table->sizes[at] == key->size && memcmp(table->keys[at], key->data, key->size) == 0)
            return false;
    table->keys[at] = malloc(key->size + 1);
    if (key->size > 0)
        memcpy(table->keys[at], key->data, key->size);
    table->sizes[at] = key->size;
    return true;
}

static void test_all_small_tuples_have_keys_of_their_own(void **state) {
    failing_allocator *memory = *state;
    static const char *const segments[] = { "",
                                            "/",
                                            ":",
                                            "-",
                                            "{",
                                            "}",
                                            "{&#58;}",
                                            "/{&#58;}",
                                            "//",
                                            "/-",
                                            "-/",
                                            "/:",
                                            ":/",
                                            "::",
                                            "{&#58;",
                                            "&#58;}",
                                            "{/&#58;",
                                            "{&#58;}:",
                                            ":{&#58;}",
                                            "//-",
                                            "/{",
                                            "{{&#58;}}",
                                            "a",
                                            "a:",
                                            ":a",
                                            "/a",
                                            "a/",
                                            "*",
                                            "/*",
                                            "//{&#58;}",
                                            "{&#58;}/",
                                            "'",
                                            "/'",
                                            "///{&#58;}",
                                            "--",
                                            "/-/-",
                                            "{&#58;{&#58;}}" };
    enum {
        COUNT = sizeof(segments) / sizeof(segments[0])
    };
    for (size_t dialect = 0; dialect < 2; dialect++) {
        key_table table = { .capacity = 1 << 17 };
        table.keys = calloc(table.capacity, sizeof(*table.keys));
        table.sizes = calloc(table.capacity, sizeof(*table.sizes));
        buffer key;
        popoto__buffer_init(&key, &memory->allocator);
        /* COUNT as a segment's number: no such segment. */
        for (size_t number = 0; number < COUNT * (COUNT + 1) * (COUNT + 1); number++) {
            const size_t chosen[] = { number % COUNT, number / COUNT % (COUNT + 1),
                                      number / COUNT / (COUNT + 1) };
            if (chosen[1] == COUNT && chosen[2] != COUNT)
                continue;
            popoto__buffer_clear(&key);
            for (size_t i = 0; i < 3 && chosen[i] < COUNT; i++) {
                if (i > 0)
                    popoto__buffer_append(&key, ":", 1);
                popoto__key_escape(&key, dialects[dialect], segments[chosen[i]],
                                   strlen(segments[chosen[i]]));
            }
            if (!add_key(&table, &key))
                fail_msg("%.*s stands for two tuples", (int)key.size, key.data);
        }
        popoto__buffer_free(&key);
        for (size_t i = 0; i < table.capacity; i++)
            free(table.keys[i]);
        free(table.keys);
        free(table.sizes);
    }
}

/* ----- patterns ------------------------------------------------------------------------------- */

static void test_pattern_literal(void **state) {
    failing_allocator *memory = *state;
    buffer it;
    popoto__buffer_init(&it, &memory->allocator);
    popoto__key_pattern_literal(&it, "a*b?[c-d]^\\e:/{", 15);
    assert_holds(&it, "a\\*b\\?\\[c\\-d\\]\\^\\\\e:/{");
    popoto__buffer_free(&it);
}

/* Against the C library's patterns, which have the same special characters as Redis'. */
static void test_pattern_literals_match_only_themselves(void **state) {
    failing_allocator *memory = *state;
    buffer it;
    popoto__buffer_init(&it, &memory->allocator);
    random_state = 7;
    for (int i = 0; i < 20000; i++) {
        char text[2][12] = { "", "" };
        for (int k = 0; k < 2; k++)
            for (size_t at = 0, size = random_below(10); at < size; at++)
                text[k][at] = "*?[]^-\\ab"[random_below(9)];
        popoto__buffer_clear(&it);
        popoto__key_pattern_literal(&it, text[0], strlen(text[0]));
        popoto__buffer_append(&it, "", 1);
        assert_int_equal(fnmatch(it.data, text[0], 0), 0);
        assert_int_equal(fnmatch(it.data, text[1], 0) == 0, strcmp(text[0], text[1]) == 0);
    }
    popoto__buffer_free(&it);
}

static void test_what_a_key_is_of(void **state) {
    static const char *const keys[][2] = {
        { "{a}:Episode:x", "Episode" },
        { "{a}:$KeyF:Episode:name:x", "Episode" },
        { "{a}:$Class:Tag", "Tag" },
        { "{a}:", "" },
        { "{a}:$", "$" },
        { "{a}:$x:", "$x" },
        { "{a}:session", "session" },
        { "plain:key", "plain" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        popoto_text kind = popoto__key_kind((popoto_text){ keys[i][0], strlen(keys[i][0]) });
        assert_int_equal(strlen(keys[i][1]), kind.size);
        assert_memory_equal(keys[i][1], kind.data, kind.size);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_escapes_are_popoto_s),
        TEST(test_documented_dialect_leaves_dashes),
        TEST(test_what_is_plain_needs_no_escape),
        TEST(test_nothing_is_an_empty_segment),
        TEST(test_a_failure_shows_in_the_buffer),
        TEST(test_split),
        TEST(test_what_a_key_is_of),
        TEST(test_a_million_tuples_come_back),
        TEST(test_all_small_tuples_have_keys_of_their_own),
        TEST(test_pattern_literal),
        TEST(test_pattern_literals_match_only_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
