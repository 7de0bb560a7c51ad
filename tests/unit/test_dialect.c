/* model.h, the dialects: every name that a model's keys have, and what each dialect refuses. What Popoto
 * itself writes is compared in tests/conformance; here it is written out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_allocator.h"
#include "model.h"
#include "placements.h"

#include <stdlib.h>
#include <string.h>

typedef struct bench {
    failing_allocator memory;
    arena arena;
    failure why;
} bench;

static int set_up(void **state) {
    bench *it = calloc(1, sizeof *it);
    failing_allocator_init(&it->memory, 0);
    popoto__arena_init(&it->arena, &it->memory.allocator);
    *state = it;
    return 0;
}

static int tear_down(void **state) {
    bench *it = *state;
    popoto__arena_free(&it->arena);
    size_t left = it->memory.live_blocks;
    free(it);
    return left == 0 ? 0 : -1;
}

/* The key's fields in an order that is not the alphabet's. */
static const popoto_field memory_fields[] = {
    { .name = "project", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },
    { .name = "key", .kind = POPOTO_KIND_UNIQUE_KEY, .type = POPOTO_TEXT },
    { .name = "episode_id", .kind = POPOTO_KIND_AUTO_KEY, .type = POPOTO_TEXT },
    { .name = "score",
      .kind = POPOTO_KIND_SORTED,
      .type = POPOTO_FLOAT,
      .partition_by = "project,topic" },
    { .name = "rank", .kind = POPOTO_KIND_SORTED, .type = POPOTO_INT },
    { .name = "certainty",
      .kind = POPOTO_KIND_CONFIDENCE,
      .type = POPOTO_FLOAT,
      .partition_by = "project" },
    { .name = "belief",
      .kind = POPOTO_KIND_CONFIDENCE,
      .type = POPOTO_FLOAT,
      .partition_by = "topic,at" },
    { .name = "alone", .kind = POPOTO_KIND_CONFIDENCE, .type = POPOTO_FLOAT },
    { .name = "topic", .kind = POPOTO_KIND_FIELD, .type = POPOTO_TEXT },
    { .name = "at", .kind = POPOTO_KIND_FIELD, .type = POPOTO_TIME },
};
enum {
    PROJECT,
    KEY,
    EPISODE_ID,
    SCORE,
    RANK,
    CERTAINTY,
    BELIEF,
    ALONE,
    TOPIC,
    AT,
    FIELDS
};
static const popoto_model Memory = { .name = "Memory",
                                     .fields = memory_fields,
                                     .field_count = FIELDS };

static const popoto_field maybe_fields[] = {
    { .name = "name", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT, .null = true },
    { .name = "number", .kind = POPOTO_KIND_KEY, .type = POPOTO_INT, .null = true },
    { .name = "zone", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },
};
static const popoto_model Maybe = { .name = "Maybe", .fields = maybe_fields, .field_count = 3 };

static const model *compiled(bench *it, const popoto_model *declared, popoto_dialect dialect) {
    const model *of;
    assert_int_equal(popoto__model_compile(declared, dialect, &it->arena, &of, &it->why),
                     POPOTO_OK);
    return of;
}

static void assert_text(popoto_text text, const char *expected) {
    assert_non_null(text.data);
    assert_string_equal(text.data, expected);
    assert_int_equal(text.size, strlen(expected));
}

static void fill(popoto_value *values, const char *project, const char *key, const char *topic) {
    memset(values, 0, FIELDS * sizeof *values);
    values[PROJECT] = popoto_of_text(project);
    values[KEY] = popoto_of_text(key);
    values[EPISODE_ID] = popoto_of_text("e-1");
    values[TOPIC] = popoto_of_text(topic);
    values[AT] = popoto_of_time((popoto_time){ .microseconds = 1, .offset = 3600 });
}

static popoto_status place(bench *it, const model *of, const popoto_value *values, placement *out) {
    return placement_of_values(of, values, NULL, &it->arena, out, &it->why);
}

static void assert_index(bench *it, const model *of, const placement *at, size_t field_index,
                         const char *expected) {
    assert_text(popoto__index_key(of, &of->fields[field_index], at->segments, &it->arena),
                expected);
}

static void test_documented_keys(void **state) {
    bench *it = *state;
    const model *of = compiled(it, &Memory, POPOTO_DOCUMENTED);
    popoto_value values[FIELDS];
    placement at;
    fill(values, "at-las:*", "fact1", "a:b");
    assert_int_equal(place(it, of, values, &at), POPOTO_OK);
    assert_text(of->class_prefix, "$Class:Memory");
    assert_text(at.key, "Memory:at-las{&#58;}/*:fact1:e-1");
    assert_index(it, of, &at, PROJECT, "$KeyF:Memory:project:at-las{&#58;}/*");
    assert_index(it, of, &at, KEY, "$UniqueKeyF:Memory:key:fact1");
    assert_index(it, of, &at, SCORE, "$SortedF:Memory:score:at-las{&#58;}/*:a{&#58;}b");
    assert_index(it, of, &at, RANK, "$SortedF:Memory:rank");
    assert_index(it, of, &at, CERTAINTY, "$ConfidencF:Memory:certainty:data:at-las{&#58;}/*");
    assert_index(it, of, &at, ALONE, "$ConfidencF:Memory:alone:data");
    assert_null(of->fields[EPISODE_ID].prefix.data);
}

static void test_popoto_keys(void **state) {
    bench *it = *state;
    const model *of = compiled(it, &Memory, POPOTO_AS_POPOTO);
    popoto_value values[FIELDS];
    placement at;
    fill(values, "at-las:*", "fact1", "t-1");
    assert_int_equal(place(it, of, values, &at), POPOTO_OK);
    assert_text(of->class_prefix, "$Class:Memory");
    assert_text(at.key, "Memory:e/-1:fact1:at/-las{&#58;}/*");
    assert_index(it, of, &at, PROJECT, "$KeyF:Memory:project:at/-las{&#58;}/*");
    assert_index(it, of, &at, KEY, "$UniqueKeyF:Memory:key:fact1");
    assert_index(it, of, &at, SCORE, "$SortF:Memory:score:at/-las{&#58;}/*:t/-1");
    assert_index(it, of, &at, RANK, "$SortF:Memory:rank");
    assert_index(it, of, &at, CERTAINTY, "$ConfidencF:Memory:certainty:data:at-las:*");
    assert_index(it, of, &at, BELIEF,
                 "$ConfidencF:Memory:belief:data:t-1:1970-01-01T00:00:00.000001Z");
    assert_index(it, of, &at, ALONE, "$ConfidencF:Memory:alone:data");
    assert_null(of->fields[EPISODE_ID].prefix.data);
}

/* The key's segments in their places, whichever way it is looked at. */
static void test_key_positions(void **state) {
    bench *it = *state;
    const model *of = compiled(it, &Memory, POPOTO_AS_POPOTO);
    placement at;
    assert_int_equal(of->fields[EPISODE_ID].key_position, 1);
    assert_int_equal(of->fields[KEY].key_position, 2);
    assert_int_equal(of->fields[PROJECT].key_position, 3);
    popoto_text key = { "Memory:e:k:p", 12 };
    assert_true(popoto__placement_of_key(of, key, &it->arena, &at));
    assert_int_equal(at.segments[PROJECT].size, 1);
    assert_memory_equal(at.segments[PROJECT].data, "p", 1);
    assert_memory_equal(at.segments[KEY].data, "k", 1);
    assert_memory_equal(at.segments[EPISODE_ID].data, "e", 1);
    of = compiled(it, &Memory, POPOTO_DOCUMENTED);
    assert_int_equal(of->fields[PROJECT].key_position, 1);
    assert_int_equal(of->fields[KEY].key_position, 2);
    assert_int_equal(of->fields[EPISODE_ID].key_position, 3);
}

/* Two texts as they are could make two partitions one; one text, and a moment beside it, cannot. */
static void test_raw_partitions_stay_apart(void **state) {
    bench *it = *state;
    const model *of = compiled(it, &Memory, POPOTO_AS_POPOTO);
    popoto_value values[FIELDS];
    placement at;
    popoto_text hash;
    fill(values, "a:b", "k", "a:b");
    assert_int_equal(place(it, of, values, &at), POPOTO_BAD_VALUE);
    assert_non_null(strstr(it->why.text, "Memory.topic"));
    assert_non_null(strstr(it->why.text, "belief"));
    assert_int_equal(
        popoto__placement_of_partition(of, &of->fields[BELIEF], values, &it->arena, &at, &it->why),
        POPOTO_OK);
    assert_int_equal(
        popoto__partition_key(of, &of->fields[BELIEF], at.segments, &it->arena, &hash, &it->why),
        POPOTO_BAD_VALUE);
    assert_null(hash.data);
    fill(values, "a:b", "k", "t");
    assert_int_equal(place(it, of, values, &at), POPOTO_OK);
    assert_index(it, of, &at, CERTAINTY, "$ConfidencF:Memory:certainty:data:a:b");
    /* What is not being stored is not looked at. */
    bool named[FIELDS] = { false };
    fill(values, "p", "k", "a:b");
    assert_int_equal(placement_of_values(of, values, named, &it->arena, &at, &it->why), POPOTO_OK);
    /* The documented dialect escapes, and refuses nothing. */
    of = compiled(it, &Memory, POPOTO_DOCUMENTED);
    assert_int_equal(place(it, of, values, &at), POPOTO_OK);
    assert_index(
        it, of, &at, BELIEF,
        "$ConfidencF:Memory:belief:data:a{&#58;}b:1970-01-01T00{&#58;}00{&#58;}00.000001Z");
}

static void test_null_keys(void **state) {
    bench *it = *state;
    const model *of;
    popoto_value values[3] = { { .type = POPOTO_NULL } };
    placement at;
    assert_int_equal(popoto__model_compile(&Maybe, POPOTO_DOCUMENTED, &it->arena, &of, &it->why),
                     POPOTO_BAD_MODEL);
    assert_null(of);
    of = compiled(it, &Maybe, POPOTO_AS_POPOTO);
    values[2] = popoto_of_text("None");
    assert_int_equal(place(it, of, values, &at), POPOTO_OK);
    assert_text(at.key, "Maybe:None:None:None");
    values[0] = popoto_of_text("none");
    values[1] = popoto_of_int(-5);
    assert_int_equal(place(it, of, values, &at), POPOTO_OK);
    assert_text(at.key, "Maybe:none:/-5:None");
    values[0] = popoto_of_text("None"); /* would be the key of the null */
    assert_int_equal(place(it, of, values, &at), POPOTO_BAD_VALUE);
    assert_non_null(strstr(it->why.text, "Maybe.name"));
    values[0] = popoto_of_text("n");
    values[2].type = POPOTO_NULL; /* was not declared so */
    assert_int_equal(place(it, of, values, &at), POPOTO_BAD_VALUE);
}

/* Only a KEY can be null, and only where it partitions nothing. */
static void test_other_nulls_are_refused(void **state) {
    bench *it = *state;
    static const popoto_kind kinds[] = { POPOTO_KIND_UNIQUE_KEY, POPOTO_KIND_AUTO_KEY,
                                         POPOTO_KIND_SORTED, POPOTO_KIND_CONFIDENCE };
    const model *of;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const popoto_field fields[] = {
            { .name = "a", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },
            { .name = "b",
              .kind = kinds[i],
              .type = i < 2 ? POPOTO_TEXT : POPOTO_FLOAT,
              .null = true },
        };
        const popoto_model bad = { .name = "Bad", .fields = fields, .field_count = 2 };
        assert_int_equal(popoto__model_compile(&bad, POPOTO_AS_POPOTO, &it->arena, &of, &it->why),
                         POPOTO_BAD_MODEL);
    }
    const popoto_field fields[] = {
        { .name = "a", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT, .null = true },
        { .name = "b", .kind = POPOTO_KIND_SORTED, .type = POPOTO_FLOAT, .partition_by = "a" },
    };
    const popoto_model bad = { .name = "Bad", .fields = fields, .field_count = 2 };
    assert_int_equal(popoto__model_compile(&bad, POPOTO_AS_POPOTO, &it->arena, &of, &it->why),
                     POPOTO_BAD_MODEL);
}

static void test_unknown_dialects_are_refused(void **state) {
    (void)state;
    assert_true(popoto__model_has_dialect(POPOTO_DOCUMENTED));
    assert_true(popoto__model_has_dialect(POPOTO_AS_POPOTO));
    assert_false(popoto__model_has_dialect((popoto_dialect)1000));
    popoto_options options = { .dialect = (popoto_dialect)1000, .connect_timeout = 100 };
    popoto_db *db = popoto_open("redis://127.0.0.1:1", &options);
    assert_non_null(db);
    assert_int_equal(popoto_error_status(db), POPOTO_BAD_ARGUMENT);
    assert_int_equal(popoto_ping(db), POPOTO_BAD_ARGUMENT);
    popoto_close(db);
}

/* The same by the calls that need no server. */
static void test_public_calls(void **state) {
    (void)state;
    popoto_options options = { .dialect = POPOTO_AS_POPOTO, .connect_timeout = 100 };
    popoto_db *db = popoto_open("redis://127.0.0.1:1", &options);
    popoto_record *record;
    popoto_text key;
    assert_int_equal(popoto_record_new(db, &Memory, &record), POPOTO_OK);
    assert_int_equal(popoto_record_set(record, "project", popoto_of_text("at-las")), POPOTO_OK);
    assert_int_equal(popoto_record_set(record, "key", popoto_of_text("k")), POPOTO_OK);
    assert_int_equal(popoto_record_set(record, "episode_id", popoto_of_text("e")), POPOTO_OK);
    assert_int_equal(popoto_key(db, &Memory, record, &key), POPOTO_OK);
    assert_text(key, "Memory:e:k:at/-las");
    popoto_free(db, key.data);
    assert_int_equal(popoto_confidence_key(db, &Memory, record, "certainty", &key), POPOTO_OK);
    assert_text(key, "$ConfidencF:Memory:certainty:data:at-las");
    popoto_free(db, key.data);
    const popoto_filter where[] = { POPOTO_IS("topic", "a:b"),
                                    POPOTO_IS("at", ((popoto_time){ .microseconds = 1 })) };
    assert_int_equal(popoto_confidence_key_from_values(db, &Memory, "belief", where, 2, &key),
                     POPOTO_BAD_VALUE);
    assert_null(key.data);
    popoto_record_free(record);
    popoto_close(db);
}

/* Whatever allocation fails, it is said, and nothing leaks. */
static void test_memory_runs_out(void **state) {
    (void)state;
    for (size_t fail_at = 1;; fail_at++) {
        failing_allocator memory;
        arena arena_;
        failure why;
        const model *of;
        popoto_value values[FIELDS];
        placement at;
        failing_allocator_init(&memory, fail_at);
        popoto__arena_init(&arena_, &memory.allocator);
        fill(values, "a:b", "k", "t");
        popoto_status status = popoto__model_compile(&Memory, POPOTO_AS_POPOTO, &arena_, &of, &why);
        if (status == POPOTO_OK)
            status = placement_of_values(of, values, NULL, &arena_, &at, &why);
        if (status == POPOTO_OK &&
            popoto__index_key(of, &of->fields[CERTAINTY], at.segments, &arena_).data == NULL)
            status = POPOTO_NO_MEMORY;
        popoto__arena_free(&arena_);
        assert_int_equal(memory.live_blocks, 0);
        if (status == POPOTO_OK)
            break;
        assert_int_equal(status, POPOTO_NO_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_documented_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_popoto_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_key_positions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_raw_partitions_stay_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_null_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_nulls_are_refused, set_up, tear_down),
        cmocka_unit_test(test_unknown_dialects_are_refused),
        cmocka_unit_test(test_public_calls),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests_name("dialect", tests, NULL, NULL);
}
