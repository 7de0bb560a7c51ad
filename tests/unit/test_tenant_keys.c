/* Strict tenants, before any server: what a tenant's name becomes between the braces that begin its keys,
 * so that no two share a slot, a prefix or an access pattern; what a model with a TENANT may be; and the
 * names of its keys, of every kind. */
#include "model.h"
#include "placements.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static popoto_allocator plain_allocator(void) {
    return popoto__allocator_or_default((popoto_allocator){ 0 });
}

/* ----- Names ---------------------------------------------------------------------------------- */

static void escape(buffer *out, const char *data, size_t size) {
    popoto__buffer_clear(out);
    popoto__key_escape_tenant(out, data, size);
    popoto__buffer_append(out, "", 1); /* for strcmp */
    assert_false(out->failed);
    out->size--;
}

static void assert_comes_back(buffer *escaped, buffer *back, const char *data, size_t size) {
    escape(escaped, data, size);
    popoto__buffer_clear(back);
    assert_true(popoto__key_unescape_tenant(back, escaped->data, escaped->size));
    assert_int_equal(size, back->size);
    if (size > 0)
        assert_memory_equal(data, back->data, size);
}

/* What Redis Cluster, patterns and ACL files would take for theirs. */
static const char dangerous[] = "{}*?[]^\\:/ \t\r\n\v\f'\"~+-&%()<>#$!,;|=`";

static void test_every_byte_comes_back_and_none_that_means_something_stays(void **state) {
    popoto_allocator allocator = plain_allocator();
    buffer escaped, back;
    (void)state;
    popoto__buffer_init(&escaped, &allocator);
    popoto__buffer_init(&back, &allocator);
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        assert_comes_back(&escaped, &back, &byte, 1);
        bool stays = escaped.size == 1;
        assert_true(stays || (escaped.size == 3 && escaped.data[0] == '/'));
        if (c <= ' ' || c == 127 || (c != '-' && strchr(dangerous, c) != NULL))
            assert_false(stays);
        /* Whatever stays is the byte itself. */
        if (stays)
            assert_int_equal(byte, escaped.data[0]);
    }
    /* All pairs of bytes, too: an escape and what follows it do not run into each other. */
    for (int c = 0; c < 65536; c++) {
        char bytes[2] = { (char)(c >> 8), (char)(c & 255) };
        assert_comes_back(&escaped, &back, bytes, 2);
    }
    popoto__buffer_free(&escaped);
    popoto__buffer_free(&back);
}

static void test_names_are_escaped_so(void **state) {
    static const struct {
        const char *name, *segment;
    } names[] = {
        { "project-a", "project-a" },
        { "Project_A.b@example.com", "Project_A.b@example.com" },
        { "a:b", "a/3ab" },
        { "*", "/2a" },
        { "{x}", "/7bx/7d" },
        { "}", "/7d" },
        { "..", ".." },
        { " ", "/20" },
        { "\n", "/0a" },
        { "a/b", "a/2fb" },
        { "/2a", "/2f2a" },
        { "\x7f", "/7f" },
        { "\xf0\x9f\xa6\x9b", "\xf0\x9f\xa6\x9b" },
        { "", "" },
    };
    popoto_allocator allocator = plain_allocator();
    buffer escaped;
    (void)state;
    popoto__buffer_init(&escaped, &allocator);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        escape(&escaped, names[i].name, strlen(names[i].name));
        assert_string_equal(names[i].segment, escaped.data);
    }
    escape(&escaped, "a\0b", 3);
    assert_string_equal("a/00b", escaped.data);
    popoto__buffer_free(&escaped);
}

static void test_nothing_else_is_a_segment(void **state) {
    static const char *const none[] = {
        "/",   "/2",  "a/2", "/2A", "/7D",  "/zz",      "/61" /* a stays a */,
        "/2d", "/ff", "/80", "a b", "a:b",  "{x}",      "}",
        "*",   "//",  "a\n", "/-1", "/+20", "/2f2a/0g", "\x7f",
    };
    popoto_allocator allocator = plain_allocator();
    buffer back;
    (void)state;
    popoto__buffer_init(&back, &allocator);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (popoto__key_unescape_tenant(&back, none[i], strlen(none[i])))
            fail_msg("'%s' is taken for a segment", none[i]);
    assert_false(popoto__key_unescape_tenant(&back, "/2f\0", 4));
    assert_true(popoto__key_unescape_tenant(&back, "", 0));
    popoto__buffer_free(&back);
}

typedef struct name {
    const char *data;
    size_t size;
} name;
#define NAME(literal) \
    { literal, sizeof(literal) - 1 }

static const name hostile[] = {
    NAME("a"),         NAME("b"),
    NAME("A"),         NAME("a "),
    NAME(" a"),        NAME("a:b"),
    NAME("a/b"),       NAME("a/3ab"),
    NAME("/3a"),       NAME(":"),
    NAME("::"),        NAME("*"),
    NAME("a*"),        NAME("?"),
    NAME("[a]"),       NAME("[ab]"),
    NAME("\\"),        NAME("\\*"),
    NAME("{"),         NAME("}"),
    NAME("{}"),        NAME("}{"),
    NAME("{a}"),       NAME("{a}:"),
    NAME("a}"),        NAME("a}:b"),
    NAME("a}:{b"),     NAME("{x}"),
    NAME(".."),        NAME("."),
    NAME("/"),         NAME("//"),
    NAME("/2f"),       NAME("\0"),
    NAME("a\0"),       NAME("a\0b"),
    NAME("\n"),        NAME("\r\n"),
    NAME("a\n"),       NAME("\t"),
    NAME("~*"),        NAME("~{b}:*"),
    NAME("allkeys"),   NAME("+@all"),
    NAME(">x"),        NAME("on ~*"),
    NAME("%R~*"),      NAME("(~*)"),
    NAME("&#58;"),     NAME("{&#58;}"),
    NAME("$Class"),    NAME("Episode"),
    NAME("None"),      NAME("\xff"),
    NAME("\xff\xfe"),  NAME("\xc3\xa9"),
    NAME("e\xcc\x81"), NAME("\xf0\x9f\xa6\x9b"),
    NAME("\xc2\xa0"),  NAME("\xc2\x85"),
    NAME("project-a"), NAME("project-ab"),
    NAME("0"),         NAME("00"),
    NAME("-1"),
};
#define HOSTILE_COUNT (sizeof hostile / sizeof *hostile)

/* Redis' own rule: what is between the first { and the first } after it, if that is not empty. */
static bool slot_tag(const char *key, size_t size, const char **tag, size_t *tag_size) {
    const char *open = memchr(key, '{', size);
    const char *close = open == NULL ? NULL : memchr(open, '}', size - (size_t)(open - key));
    if (close == NULL || close == open + 1)
        return false;
    *tag = open + 1;
    *tag_size = (size_t)(close - open) - 1;
    return true;
}

/* Redis' stringmatchlen, for the pattern of an access rule: not copied from there. */
static bool glob(const char *pattern, size_t p, const char *text, size_t t) {
    for (; p > 0; pattern++, p--) {
        if (*pattern == '*') {
            for (size_t skipped = 0; skipped <= t; skipped++)
                if (glob(pattern + 1, p - 1, text + skipped, t - skipped))
                    return true;
            return false;
        }
        if (t == 0)
            return false;
        if (*pattern == '[') {
            bool negated = p > 1 && pattern[1] == '^', found = false;
            pattern += 1 + negated;
            p -= p > 1 + (size_t)negated ? 1 + (size_t)negated : p;
            for (; p > 0 && *pattern != ']'; pattern++, p--)
                found = found || *pattern == *text;
            if (found == negated)
                return false;
            if (p == 0)
                return t == 1;
        } else {
            if (*pattern == '\\' && p > 1)
                pattern++, p--;
            else if (*pattern == '?')
                goto any;
            if (*pattern != *text)
                return false;
        }
    any:
        text++;
        t--;
    }
    return t == 0;
}

static size_t make_key(char *out, const buffer *segment, const char *rest) {
    size_t size = strlen(rest);
    out[0] = '{';
    memcpy(out + 1, segment->data, segment->size);
    memcpy(out + 1 + segment->size, rest, size);
    return 1 + segment->size + size;
}

static void test_no_two_share_a_slot_tag_a_prefix_or_a_pattern(void **state) {
    static const char *const rests[] = {
        "}:", "}:Episode:x", "}:$Class:Episode", "}:$SortedF:Episode:score:{b}", "}:X:}:{a}:Y",
    };
    popoto_allocator allocator = plain_allocator();
    buffer one, other;
    (void)state;
    popoto__buffer_init(&one, &allocator);
    popoto__buffer_init(&other, &allocator);
    for (size_t i = 0; i < HOSTILE_COUNT; i++)
        for (size_t k = 0; k < HOSTILE_COUNT; k++) {
            char key[128], prefix[128], pattern[128];
            const char *tag = NULL;
            size_t tag_size = 0;
            escape(&one, hostile[i].data, hostile[i].size);
            escape(&other, hostile[k].data, hostile[k].size);
            size_t prefix_size = make_key(prefix, &other, "}:");
            size_t pattern_size = make_key(pattern, &other, "}:*");
            for (size_t r = 0; r < sizeof rests / sizeof *rests; r++) {
                size_t size = make_key(key, &one, rests[r]);
                assert_true(slot_tag(key, size, &tag, &tag_size));
                assert_int_equal(one.size, tag_size);
                assert_memory_equal(one.data, tag, tag_size);
                bool same_tag = tag_size == other.size && memcmp(tag, other.data, tag_size) == 0;
                bool same_prefix = size >= prefix_size && memcmp(key, prefix, prefix_size) == 0;
                if (same_tag != (i == k) || same_prefix != (i == k) ||
                    glob(pattern, pattern_size, key, size) != (i == k))
                    fail_msg("names %zu and %zu, key %s", i, k, key);
            }
        }
    popoto__buffer_free(&one);
    popoto__buffer_free(&other);
}

static void test_a_megabyte_comes_back(void **state) {
    popoto_allocator allocator = plain_allocator();
    buffer escaped, back;
    size_t size = (size_t)1 << 20;
    char *data = malloc(size);
    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 7 % 251);
    popoto__buffer_init(&escaped, &allocator);
    popoto__buffer_init(&back, &allocator);
    assert_comes_back(&escaped, &back, data, size);
    popoto__buffer_free(&escaped);
    popoto__buffer_free(&back);
    free(data);
}

/* ----- Models --------------------------------------------------------------------------------- */

typedef struct thing {
    popoto_object object;
    const char *owner;
    const char *other;
    char array[8];
    popoto_text sized;
    popoto_bytes bytes;
    int64_t whole;
    int16_t small;
    uint64_t natural;
    const int64_t *maybe;
    double real;
    bool truth;
    popoto_time time;
    popoto_day day;
    popoto_decimal decimal;
    popoto_value any;
    popoto_id id;
} thing;

typedef struct workshop {
    popoto_allocator allocator;
    arena memory;
    const model *of;
    failure why;
} workshop;

static popoto_status compile(workshop *it, const popoto_model *declared, popoto_dialect dialect) {
    it->allocator = plain_allocator();
    popoto__arena_init(&it->memory, &it->allocator);
    return popoto__model_compile(declared, dialect, &it->memory, &it->of, &it->why);
}

static void test_what_a_tenant_can_be(void **state) {
    static const struct {
        popoto_field field;
        const char *sentence; /* NULL: fine */
    } tenants[] = {
        { POPOTO_TENANT(thing, owner), NULL },
        { POPOTO_TENANT(thing, array), NULL },
        { POPOTO_TENANT(thing, sized), NULL },
        { POPOTO_TENANT(thing, bytes), NULL },
        { POPOTO_TENANT(thing, whole), NULL },
        { POPOTO_TENANT(thing, small), NULL },
        { POPOTO_TENANT(thing, natural), NULL },
        { POPOTO_TENANT(thing, maybe), NULL },
        { POPOTO_TENANT(thing, owner, .max_length = 40), NULL },
        { POPOTO_TENANT(thing, any, .type = POPOTO_TEXT), NULL },
        { POPOTO_TENANT(thing, real), "a TENANT must be text, bytes or an integer, not" },
        { POPOTO_TENANT(thing, truth), "a TENANT must be text, bytes or an integer, not" },
        { POPOTO_TENANT(thing, time), "a TENANT must be text, bytes or an integer, not" },
        { POPOTO_TENANT(thing, day), "a TENANT must be text, bytes or an integer, not" },
        { POPOTO_TENANT(thing, decimal), "a TENANT must be text, bytes or an integer, not" },
        { POPOTO_TENANT(thing, any), "a TENANT must be text, bytes or an integer, not" },
        { POPOTO_TENANT(thing, id), "a popoto_id is for AUTO_KEY" },
        { POPOTO_TENANT(thing, owner, .null = true), "only a FIELD can be null" },
        { POPOTO_TENANT(thing, owner, .partition_by = "other"), "partition_by is for SORTED" },
        { POPOTO_TENANT(thing, owner, .default_value = POPOTO_DEFAULT_TEXT("x")),
          "only a FIELD can have a default value" },
        { POPOTO_TENANT(thing, owner, .generate = POPOTO_ULID), ".generate is for AUTO_KEY" },
        { POPOTO_TENANT(thing, owner, .evidence_cap = 3), "are for CONFIDENCE fields" },
        { POPOTO_TENANT(thing, whole, .max_length = 3), ".max_length is for text and bytes" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof tenants / sizeof *tenants; i++)
        for (int dialect = POPOTO_DOCUMENTED; dialect <= POPOTO_AS_POPOTO; dialect++) {
            const popoto_field fields[] = { tenants[i].field, POPOTO_KEY(thing, other) };
            const popoto_model declared = POPOTO_MODEL("Thing", thing, fields);
            workshop it;
            popoto_status status = compile(&it, &declared, (popoto_dialect)dialect);
            if (tenants[i].sentence == NULL) {
                assert_int_equal(POPOTO_OK, status);
                assert_ptr_equal(&it.of->fields[0], it.of->tenant);
                assert_int_equal(1, it.of->key_count);
            } else if (status != POPOTO_BAD_MODEL ||
                       strstr(it.why.text, tenants[i].sentence) == NULL) {
                fail_msg("%zu: %d, '%s' instead of '%s'", i, status, it.why.text,
                         tenants[i].sentence);
            }
            popoto__arena_free(&it.memory);
        }
}

static void test_a_record_has_one_tenant(void **state) {
    const popoto_field two[] = { POPOTO_TENANT(thing, owner), POPOTO_TENANT(thing, other) };
    const popoto_field alone[] = { POPOTO_TENANT(thing, owner), POPOTO_FIELD(thing, real) };
    const popoto_model pair = POPOTO_MODEL("Pair", thing, two);
    const popoto_model single = POPOTO_MODEL("Single", thing, alone);
    workshop it;
    (void)state;
    assert_int_equal(POPOTO_BAD_MODEL, compile(&it, &pair, POPOTO_DOCUMENTED));
    assert_non_null(strstr(it.why.text, "Pair.'other': a record has one tenant"));
    popoto__arena_free(&it.memory);
    /* No other key: each tenant has one record of the model. */
    assert_int_equal(POPOTO_OK, compile(&it, &single, POPOTO_DOCUMENTED));
    popoto_value values[2] = { POPOTO_VALUE("a"), POPOTO_VALUE(1.5) };
    popoto_text key;
    assert_int_equal(POPOTO_OK, popoto__key_of_values(it.of, values, &it.memory, &key, &it.why));
    assert_string_equal("{a}:Single", key.data);
    placement place;
    assert_true(popoto__placement_of_key(it.of, key, &it.memory, &place));
    assert_string_equal("a", place.segments[0].data == NULL ? "" : "a");
    popoto__arena_free(&it.memory);
}

/* A model at run time says the same by .kind. */
static void test_a_model_of_records_has_a_tenant(void **state) {
    const popoto_field fields[] = {
        { .name = "rank", .kind = POPOTO_KIND_SORTED, .type = POPOTO_INT },
        { .name = "owner", .kind = POPOTO_KIND_TENANT, .type = POPOTO_INT },
        { .name = "id", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },
    };
    const popoto_model declared = { .name = "Note", .fields = fields, .field_count = 3 };
    popoto_value values[3] = { POPOTO_VALUE(1), POPOTO_VALUE(-42), POPOTO_VALUE("x") };
    popoto_text key;
    workshop it;
    (void)state;
    assert_int_equal(POPOTO_OK, compile(&it, &declared, POPOTO_DOCUMENTED));
    assert_int_equal(POPOTO_OK, popoto__key_of_values(it.of, values, &it.memory, &key, &it.why));
    assert_string_equal("{-42}:Note:x", key.data);
    values[1] = (popoto_value){ POPOTO_NULL, { 0 } };
    assert_int_equal(POPOTO_BAD_VALUE,
                     popoto__key_of_values(it.of, values, &it.memory, &key, &it.why));
    assert_non_null(strstr(it.why.text, "Note.owner is null: every call names its tenant"));
    popoto__arena_free(&it.memory);
}

/* A member that has no null says nothing where it is 0 or empty: that is no tenant. */
static void test_a_forgotten_tenant_is_none(void **state) {
    static const popoto_field unset[] = {
        POPOTO_TENANT(thing, array),   POPOTO_TENANT(thing, whole), POPOTO_TENANT(thing, small),
        POPOTO_TENANT(thing, natural), POPOTO_TENANT(thing, owner), POPOTO_TENANT(thing, bytes),
        POPOTO_TENANT(thing, maybe),
    };
    static const int64_t zero = 0;
    const popoto_value values[] = {
        POPOTO_VALUE(""),   POPOTO_VALUE(0),  POPOTO_VALUE(0),
        POPOTO_VALUE(0),    POPOTO_VALUE(""), popoto_of_bytes((popoto_bytes){ "", 0 }),
        POPOTO_VALUE(zero),
    };
    (void)state;
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) {
        const popoto_field fields[] = { unset[i], POPOTO_KEY(thing, other) };
        const popoto_model declared = POPOTO_MODEL("Thing", thing, fields);
        workshop it;
        popoto_text key;
        popoto_value both[2] = { values[i], POPOTO_VALUE("x") };
        assert_int_equal(POPOTO_OK, compile(&it, &declared, POPOTO_DOCUMENTED));
        popoto_status status = popoto__key_of_values(it.of, both, &it.memory, &key, &it.why);
        /* A pointer to 0 says 0. */
        if (status != (i == 6 ? POPOTO_OK : POPOTO_BAD_VALUE))
            fail_msg("%s: %d, %s", unset[i].name, status, it.why.text);
        popoto__arena_free(&it.memory);
    }
}

/* ----- The names of keys ---------------------------------------------------------------------- */

typedef struct episode {
    popoto_object object;
    const char *project_id;
    const char *season;
    const char *title;
    popoto_id episode_id;
    double score;
    int64_t views;
    double certainty;
    double belief;
    const char *mood;
} episode;

static const popoto_field episode_fields[] = {
    POPOTO_KEY(episode, season),
    POPOTO_TENANT(episode, project_id),
    POPOTO_AUTO_KEY(episode, episode_id),
    POPOTO_UNIQUE_KEY(episode, title),
    POPOTO_SORTED(episode, score),
    POPOTO_SORTED(episode, views, .partition_by = "project_id,mood"),
    POPOTO_CONFIDENCE(episode, certainty, .partition_by = "project_id"),
    POPOTO_CONFIDENCE(episode, belief, .partition_by = "season"),
    POPOTO_FIELD(episode, mood),
};
static const popoto_model Episode = POPOTO_MODEL("Episode", episode, episode_fields);

static void test_keys_of_every_kind_begin_with_the_tenant(void **state) {
    static const struct {
        const char *field, *documented, *popoto;
    } expected[] = {
        { "season", "{a/3ab}:$KeyF:Episode:season:one-1", "{a/3ab}:$KeyF:Episode:season:one/-1" },
        { "title", "{a/3ab}:$UniqueKeyF:Episode:title:t{&#58;}u",
          "{a/3ab}:$UniqueKeyF:Episode:title:t{&#58;}u" },
        { "score", "{a/3ab}:$SortedF:Episode:score", "{a/3ab}:$SortF:Episode:score" },
        { "views", "{a/3ab}:$SortedF:Episode:views:sad", "{a/3ab}:$SortF:Episode:views:sad" },
        { "certainty", "{a/3ab}:$ConfidencF:Episode:certainty:data",
          "{a/3ab}:$ConfidencF:Episode:certainty:data" },
        { "belief", "{a/3ab}:$ConfidencF:Episode:belief:data:one-1",
          "{a/3ab}:$ConfidencF:Episode:belief:data:one-1" },
    };
    popoto_value values[9] = {
        POPOTO_VALUE("one-1"), POPOTO_VALUE("a:b"), POPOTO_VALUE("abc123"),
        POPOTO_VALUE("t:u"),   POPOTO_VALUE(0.5),   POPOTO_VALUE(3),
        POPOTO_VALUE(0.5),     POPOTO_VALUE(0.5),   POPOTO_VALUE("sad"),
    };
    (void)state;
    for (int dialect = POPOTO_DOCUMENTED; dialect <= POPOTO_AS_POPOTO; dialect++) {
        bool documented = dialect == POPOTO_DOCUMENTED;
        workshop it;
        placement place;
        assert_int_equal(POPOTO_OK, compile(&it, &Episode, (popoto_dialect)dialect));
        assert_int_equal(POPOTO_OK,
                         placement_of_values(it.of, values, NULL, &it.memory, &place, &it.why));
        assert_string_equal(documented ? "{a/3ab}:Episode:one-1:abc123:t{&#58;}u"
                                       : "{a/3ab}:Episode:abc123:one/-1:t{&#58;}u",
                            place.key.data);
        assert_string_equal("{a/3ab}:$Class:Episode",
                            popoto__class_key(it.of, place.segments, &it.memory).data);
        for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
            const field *about =
                popoto__model_field(it.of, expected[i].field, strlen(expected[i].field));
            assert_string_equal(documented ? expected[i].documented : expected[i].popoto,
                                popoto__index_key(it.of, about, place.segments, &it.memory).data);
        }
        const field *belief = popoto__model_field(it.of, "belief", 6);
        assert_string_equal(
            "{a/3ab}:$ConfidencF:Episode:belief:data",
            popoto__unpartitioned_key(it.of, belief, place.segments, &it.memory).data);
        /* And back. */
        placement back;
        assert_true(popoto__placement_of_key(it.of, place.key, &it.memory, &back));
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(place.segments[i].size, back.segments[i].size);
            assert_memory_equal(place.segments[i].data, back.segments[i].data,
                                back.segments[i].size);
        }
        popoto__arena_free(&it.memory);
    }
}

static void test_keys_that_are_none_of_a_strict_model(void **state) {
    static const char *const none[] = {
        "",
        "Episode:s:i:t",    /* no tenant */
        "{}:Episode:s:i:t", /* an empty one */
        "{a:Episode:s:i:t", /* no end */
        "a}:Episode:s:i:t",
        "{a}Episode:s:i:t",
        "{a}:Episode:s:i",
        "{a}:Episode:s:i:t:u",
        "{a}:Episodes:s:i:t",
        "{a}:$Class:Episode",
        "{a}:Episode",
        "x{a}:Episode:s:i:t",
        "{a}x:Episode:s:i:t",
        "{{a}}:Episode:s:i:t", /* no name that is ever written */
        "{a}{b}:Episode:s:i:t",
        "{a b}:Episode:s:i:t",
        "{*}:Episode:s:i:t",
        "{/61}:Episode:s:i:t",
    };
    workshop it;
    placement place;
    (void)state;
    assert_int_equal(POPOTO_OK, compile(&it, &Episode, POPOTO_DOCUMENTED));
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (popoto__placement_of_key(it.of, (popoto_text){ none[i], strlen(none[i]) }, &it.memory,
                                     &place))
            fail_msg("'%s' is taken for a key of Episode", none[i]);
    assert_true(popoto__placement_of_key(it.of, (popoto_text){ "{a}:Episode:s:i:t", 17 },
                                         &it.memory, &place));
    popoto__arena_free(&it.memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_comes_back_and_none_that_means_something_stays),
        cmocka_unit_test(test_names_are_escaped_so),
        cmocka_unit_test(test_nothing_else_is_a_segment),
        cmocka_unit_test(test_no_two_share_a_slot_tag_a_prefix_or_a_pattern),
        cmocka_unit_test(test_a_megabyte_comes_back),
        cmocka_unit_test(test_what_a_tenant_can_be),
        cmocka_unit_test(test_a_record_has_one_tenant),
        cmocka_unit_test(test_a_model_of_records_has_a_tenant),
        cmocka_unit_test(test_a_forgotten_tenant_is_none),
        cmocka_unit_test(test_keys_of_every_kind_begin_with_the_tenant),
        cmocka_unit_test(test_keys_that_are_none_of_a_strict_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
