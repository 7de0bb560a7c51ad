/* Models: every contradiction in a declaration is refused by a sentence that names the model and the
 * field; and the names of keys are, character for character, those that the specification prints. */
#include "model.h"
#include "placements.h"
#include "test_models.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct thing {
    popoto_object object;
    const char *id;
    popoto_id generated;
    char text[8];
    char short_id[20];
    double real;
    int64_t whole;
    int8_t tiny;
    bool truth;
    popoto_value any;
    popoto_clock clock;
    const int64_t *maybe;
} thing;

static popoto_status compile(const popoto_model *declared, failure *why) {
    popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    arena memory;
    const model *of;
    popoto__arena_init(&memory, &allocator);
    popoto_status status = popoto__model_compile(declared, POPOTO_DOCUMENTED, &memory, &of, why);
    assert_true((status == POPOTO_OK) == (of != NULL));
    popoto__arena_free(&memory);
    return status;
}

static void assert_refused(const popoto_model *declared, const char *sentence) {
    failure why = { .text = "" };
    popoto_status status = compile(declared, &why);
    if (status != POPOTO_BAD_MODEL || strstr(why.text, sentence) == NULL)
        fail_msg("%d, '%s' instead of '%s'", status, why.text, sentence);
}

#define LONG_NAME                                                                                  \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaa"                                                                                         \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Each beside a key that is fine. */
static const struct {
    popoto_field field;
    const char *sentence;
} bad_fields[] = {
    { { .name = NULL, .member = POPOTO_MEMBER_STRING }, "Bad.(no name)" },
    { { .name = "", .member = POPOTO_MEMBER_STRING }, "Bad.'': a field's name" },
    { { .name = "a b", .member = POPOTO_MEMBER_STRING }, "Bad.'a b': a field's name" },
    { { .name = "a:b", .member = POPOTO_MEMBER_STRING }, "Bad.'a:b'" },
    { { .name = "a__b", .member = POPOTO_MEMBER_STRING }, "and no __" },
    { { .name = LONG_NAME, .member = POPOTO_MEMBER_STRING }, "1 to 128" },
    { { .name = "id", .member = POPOTO_MEMBER_STRING }, "Bad.'id': two fields have this name" },
    { { .name = "x", .kind = (popoto_kind)17, .member = POPOTO_MEMBER_STRING }, "unknown kind" },
    { { .name = "x", .member = (popoto_member)99 }, "unknown member" },
    { { .name = "x", .member = POPOTO_MEMBER_STRING, .type = (popoto_type)40 }, "unknown member" },
    { { .name = "x", .type = POPOTO_TEXT }, "POPOTO_KEY, POPOTO_FIELD and their like" },
    { { .name = "x", .member = POPOTO_MEMBER_STRING, .offset = sizeof(thing), .size = 8 },
      "lies outside the model's struct" },
    { { .name = "x", .member = POPOTO_MEMBER_STRING, .offset = SIZE_MAX - 2, .size = 8 },
      "lies outside" },
    { POPOTO_FIELD(thing, real, .type = POPOTO_INT), "Bad.'real': its .type contradicts" },
    { POPOTO_KEY(thing, any), "a KEY must be text" },
    { POPOTO_KEY(thing, clock), "not a time of day" },
    { POPOTO_UNIQUE_KEY(thing, clock), "a UNIQUE_KEY must be" },
    { POPOTO_AUTO_KEY(thing, whole), "an AUTO_KEY must be a popoto_id" },
    { POPOTO_AUTO_KEY(thing, short_id), "Bad.'short_id': an AUTO_KEY is generated" },
    { POPOTO_KEY(thing, generated), "a popoto_id is for AUTO_KEY" },
    { POPOTO_SORTED(thing, text), "a SORTED field must be a number" },
    { POPOTO_SORTED(thing, truth), "a SORTED field must be a number" },
    { POPOTO_CONFIDENCE(thing, whole), "a CONFIDENCE field must be a double" },
    { { .name = "x", .member = POPOTO_MEMBER_STRING, .reserved = 1 }, ".reserved must be 0" },
    { POPOTO_FIELD(thing, real, .partition_by = "id"),
      "partition_by is for SORTED and CONFIDENCE" },
    { POPOTO_KEY(thing, maybe, .null = true), "only a FIELD can be null" },
    { POPOTO_FIELD(thing, real, .null = true), "its member (a double) cannot hold null" },
    { POPOTO_SORTED(thing, real, .default_value = POPOTO_DEFAULT_INT(1)),
      "only a FIELD can have a default" },
    { POPOTO_FIELD(thing, real, .max_length = 3), ".max_length is for text and bytes" },
    { POPOTO_FIELD(thing, text, .max_length = (size_t)1 << 30), "512 MiB" },
    { POPOTO_FIELD(thing, real, .initial_confidence = 0.5), "are for CONFIDENCE fields" },
    { POPOTO_FIELD(thing, real, .evidence_cap = 5), "are for CONFIDENCE fields" },
    { POPOTO_CONFIDENCE(thing, real, .initial_confidence = 1.5), "between 0 and 1" },
    { POPOTO_CONFIDENCE(thing, real, .initial_confidence = -0.5), "between 0 and 1" },
    { POPOTO_CONFIDENCE(thing, real, .initial_confidence = 0.0 / 0.0), "between 0 and 1" },
    { POPOTO_CONFIDENCE(thing, real, .evidence_cap = -1), "at least 1" },
    { POPOTO_AUTO_KEY(thing, generated, .generate = (popoto_auto)9),
      "POPOTO_UUID4 or POPOTO_ULID" },
    { POPOTO_AUTO_KEY(thing, generated, .max_length = 31), "below the length of a generated key" },
    { POPOTO_FIELD(thing, text, .generate = POPOTO_ULID), ".generate is for AUTO_KEY" },
    { POPOTO_SORTED(thing, real, .partition_by = "nobody"),
      "Bad.real: partition_by names 'nobody', no field of Bad" },
    { POPOTO_SORTED(thing, real, .partition_by = "id,id"), "partition_by names id twice" },
    { POPOTO_SORTED(thing, real, .partition_by = "real"), "it cannot partition itself" },
    { POPOTO_SORTED(thing, real, .partition_by = " , "), "partition_by names no field" },
    { POPOTO_FIELD(thing, real, .default_value = POPOTO_DEFAULT_TEXT("x")),
      "Bad.real cannot be 'x'" },
    { POPOTO_FIELD(thing, text, .max_length = 2, .default_value = POPOTO_DEFAULT_TEXT("abc")),
      "Bad.text cannot be 'abc': it has 3 bytes and may have 2" },
    { POPOTO_FIELD(thing, short_id, .default_value = POPOTO_DEFAULT_TEXT("twenty bytes it takes")),
      "Bad.'short_id': the default value does not fit into its member" },
    { POPOTO_FIELD(thing, tiny, .default_value = POPOTO_DEFAULT_INT(128)),
      "Bad.'tiny': the default value does not fit into its member" },
};

static void test_every_contradiction_of_a_field_is_named(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(bad_fields) / sizeof(bad_fields[0]); i++) {
        const popoto_field fields[] = { POPOTO_KEY(thing, id), bad_fields[i].field };
        const popoto_model bad = POPOTO_MODEL("Bad", thing, fields);
        assert_refused(&bad, bad_fields[i].sentence);
    }
}

static void test_a_partition_must_be_able_to_stand_in_a_key(void **state) {
    (void)state;
    const popoto_field nullable[] = { POPOTO_KEY(thing, id),
                                      POPOTO_FIELD(thing, maybe, .null = true),
                                      POPOTO_SORTED(thing, real, .partition_by = "maybe") };
    const popoto_model one = POPOTO_MODEL("Bad", thing, nullable);
    assert_refused(&one, "partition_by names maybe, which can be null");
    const popoto_field untyped[] = { POPOTO_KEY(thing, id), POPOTO_FIELD(thing, any),
                                     POPOTO_SORTED(thing, real, .partition_by = "any") };
    const popoto_model other = POPOTO_MODEL("Bad", thing, untyped);
    assert_refused(&other, "partition_by names any, which is of no such type");
}

static void test_every_contradiction_of_a_model_is_named(void **state) {
    (void)state;
    const popoto_field fields[] = { POPOTO_KEY(thing, id) };
    const popoto_field keyless[] = { POPOTO_FIELD(thing, real) };
    const popoto_field typed[] = { { .name = "id", .kind = POPOTO_KIND_KEY } };
    const popoto_model good = POPOTO_MODEL("Good", thing, fields);
    popoto_model it = good;
    failure why;
    assert_int_equal(POPOTO_OK, compile(&it, &why));
    it.name = NULL;
    assert_refused(&it, "a model cannot be named null");
    it.name = "no:colon";
    assert_refused(&it, "a model cannot be named 'no:colon'");
    it.name = "$Class";
    assert_refused(&it, "'$Class'");
    it.name = LONG_NAME;
    assert_refused(&it, "1 to 128 letters, digits and _");
    it = good;
    it.fields = NULL;
    assert_refused(&it, "Good has 0 fields");
    it.fields = fields;
    it.field_count = 257;
    assert_refused(&it, "Good has 257 fields; a model has 1 to 256");
    it = good;
    it.reserved = 1;
    assert_refused(&it, "Good: .reserved must be 0");
    it = good;
    it.object_offset = sizeof(thing) - 8;
    assert_refused(&it, "no room for a popoto_object");
    it.object_offset = 3;
    assert_refused(&it, "no room for a popoto_object at offset 3");
    it = good;
    it.fields = keyless;
    assert_refused(&it, "Good has no key");
    it = good;
    it.size = 0;
    assert_refused(&it, "Good.'id': a model of records (size 0) has no struct members");
    it.fields = typed;
    assert_refused(&it, "Good.'id': a record's field needs a .type");
}

/* ----- the names of keys ---------------------------------------------------------------------- */

typedef struct workshop {
    popoto_allocator allocator;
    arena memory;
    const model *of;
    failure why;
} workshop;

static void set_up(workshop *it, const popoto_model *declared) {
    it->allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    popoto__arena_init(&it->memory, &it->allocator);
    assert_int_equal(POPOTO_OK, popoto__model_compile(declared, POPOTO_DOCUMENTED, &it->memory,
                                                      &it->of, &it->why));
}

static const char *index_key(workshop *it, const placement *place, const char *name) {
    const field *about = popoto__model_field(it->of, name, strlen(name));
    return popoto__index_key(it->of, about, place->segments, &it->memory).data;
}

static void test_keys_are_those_that_the_specification_prints(void **state) {
    workshop it;
    placement place;
    (void)state;
    set_up(&it, &Episode);
    popoto_value episode_values[] = { POPOTO_VALUE("project-a"), POPOTO_VALUE("abc123"),
                                      POPOTO_VALUE("First meeting"), POPOTO_VALUE(0.8) };
    assert_int_equal(POPOTO_OK,
                     placement_of_values(it.of, episode_values, NULL, &it.memory, &place, &it.why));
    assert_string_equal("Episode:project-a:abc123", place.key.data);
    assert_string_equal("$Class:Episode", it.of->class_prefix.data);
    assert_string_equal("$KeyF:Episode:project_id:project-a", index_key(&it, &place, "project_id"));
    assert_string_equal("$SortedF:Episode:score:project-a", index_key(&it, &place, "score"));
    popoto__arena_free(&it.memory);

    set_up(&it, &Memory);
    popoto_value memory_values[] = { POPOTO_VALUE("atlas"), POPOTO_VALUE("fact1"),
                                     POPOTO_VALUE("The sky is blue"), POPOTO_VALUE(0.5) };
    assert_int_equal(POPOTO_OK,
                     placement_of_values(it.of, memory_values, NULL, &it.memory, &place, &it.why));
    assert_string_equal("Memory:atlas:fact1", place.key.data);
    assert_string_equal("$UniqueKeyF:Memory:key:fact1", index_key(&it, &place, "key"));
    assert_string_equal("$ConfidencF:Memory:certainty:data:atlas",
                        index_key(&it, &place, "certainty"));
    popoto__arena_free(&it.memory);
}

static void test_partitions_stand_in_the_order_that_partition_by_names(void **state) {
    static const popoto_field fields[] = { POPOTO_KEY(trade, number),
                                           POPOTO_FIELD(trade, symbol),
                                           POPOTO_FIELD(trade, exchange),
                                           POPOTO_SORTED(trade, price,
                                                         .partition_by = "exchange, symbol,number"),
                                           POPOTO_SORTED(trade, volume),
                                           POPOTO_CONFIDENCE(trade, belief) };
    static const popoto_model Partitioned = POPOTO_MODEL("Partitioned", trade, fields);
    workshop it;
    placement place;
    (void)state;
    set_up(&it, &Partitioned);
    popoto_value values[] = { POPOTO_VALUE(-7),   POPOTO_VALUE("b:c"), POPOTO_VALUE("n/y*"),
                              POPOTO_VALUE(0.25), POPOTO_VALUE(1),     POPOTO_VALUE(0.5) };
    assert_int_equal(POPOTO_OK,
                     placement_of_values(it.of, values, NULL, &it.memory, &place, &it.why));
    assert_string_equal("Partitioned:-7", place.key.data);
    assert_string_equal("$SortedF:Partitioned:price:n//y/*:b{&#58;}c:-7",
                        index_key(&it, &place, "price"));
    assert_string_equal("$SortedF:Partitioned:volume", index_key(&it, &place, "volume"));
    assert_string_equal("$ConfidencF:Partitioned:belief:data", index_key(&it, &place, "belief"));
    popoto__arena_free(&it.memory);
}

static void test_a_key_comes_apart_into_the_segments_it_was_made_of(void **state) {
    workshop it;
    placement place;
    (void)state;
    set_up(&it, &Episode);
    popoto_text key = { "Episode:a{&#58;}b:", 18 };
    assert_true(popoto__placement_of_key(it.of, key, &it.memory, &place));
    assert_int_equal(9, place.segments[0].size);
    assert_int_equal(0, place.segments[1].size);
    static const char *const others[] = { "Episode",      "Episode:a", "Episode:a:b:c",
                                          "Episodes:a:b", "",          ":a:b" };
    for (size_t i = 0; i < 6; i++) {
        popoto_text other = { others[i], strlen(others[i]) };
        assert_false(popoto__placement_of_key(it.of, other, &it.memory, &place));
    }
    popoto__arena_free(&it.memory);
}

/* ----- values that fields take ---------------------------------------------------------------- */

static void test_fields_take_what_fits_and_say_what_does_not(void **state) {
    static const popoto_field fields[] = {
        { .name = "id", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT, .max_length = 4 },
        { .name = "real", .type = POPOTO_FLOAT },
        { .name = "truth", .type = POPOTO_BOOL, .null = true },
        { .name = "exact", .type = POPOTO_DECIMAL },
        { .name = "rank", .kind = POPOTO_KIND_SORTED, .type = POPOTO_INT },
        { .name = "score", .kind = POPOTO_KIND_SORTED, .type = POPOTO_FLOAT },
        { .name = "belief", .kind = POPOTO_KIND_CONFIDENCE, .type = POPOTO_FLOAT },
    };
    static const popoto_model Fields = { .name = "Fields", .fields = fields, .field_count = 7 };
    static const popoto_value null = { POPOTO_NULL, { 0 } };
    const int64_t most = (int64_t)1 << 53;
    const struct {
        size_t field;
        popoto_value value;
        const char *refusal; /* NULL: taken */
    } cases[] = {
        { 0, POPOTO_VALUE("abcd"), NULL },
        { 0, POPOTO_VALUE("abcde"), "it has 5 bytes and may have 4" },
        { 0, POPOTO_VALUE(5), "it holds text" },
        { 0, null, "a key needs a value" },
        { 1, POPOTO_VALUE(3), NULL },
        { 1, popoto_of_int(most), NULL },
        { 1, popoto_of_int(most + 1), "it holds" },
        { 1, null, "give it a value, or declare it .null = true" },
        { 2, POPOTO_VALUE(1), NULL },
        { 2, POPOTO_VALUE(2), "it holds" },
        { 2, null, NULL },
        { 3, POPOTO_VALUE("1.50"), NULL },
        { 4, popoto_of_int(most - 1), NULL },
        { 4, popoto_of_int(most + 1), "2^53" },
        { 4, null, "it needs a value" },
        { 5, POPOTO_VALUE(1.0 / 0.0), NULL },
        { 5, POPOTO_VALUE(0.0 / 0.0), "cannot be nan" },
        { 6, POPOTO_VALUE(1.0), NULL },
        { 6, POPOTO_VALUE(1.01), "a confidence is between 0 and 1" },
        { 6, POPOTO_VALUE(0.0 / 0.0), "a confidence is between 0 and 1" },
        { 1, POPOTO_VALUE(UINT64_MAX), "a value of no type" },
    };
    workshop it;
    (void)state;
    set_up(&it, &Fields);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        popoto_value taken;
        const field *about = &it.of->fields[cases[i].field];
        popoto_status status = popoto__field_accept(it.of, about, &cases[i].value, &taken, &it.why);
        if ((status == POPOTO_OK) != (cases[i].refusal == NULL))
            fail_msg("case %zu: status %d", i, status);
        if (status == POPOTO_OK) {
            assert_true(taken.type == about->type || taken.type == POPOTO_NULL);
            continue;
        }
        assert_int_equal(POPOTO_BAD_VALUE, status);
        assert_non_null(strstr(it.why.text, about->name));
        if (strstr(it.why.text, cases[i].refusal) == NULL)
            fail_msg("case %zu says: %s", i, it.why.text);
    }
    popoto__arena_free(&it.memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_contradiction_of_a_field_is_named),
        cmocka_unit_test(test_a_partition_must_be_able_to_stand_in_a_key),
        cmocka_unit_test(test_every_contradiction_of_a_model_is_named),
        cmocka_unit_test(test_keys_are_those_that_the_specification_prints),
        cmocka_unit_test(test_partitions_stand_in_the_order_that_partition_by_names),
        cmocka_unit_test(test_a_key_comes_apart_into_the_segments_it_was_made_of),
        cmocka_unit_test(test_fields_take_what_fits_and_say_what_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
