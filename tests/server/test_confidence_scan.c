/* Confidence, against a real server: what companion hashes hold, scanned by pattern, by partition and in a
 * scope, in bounded memory; and the names of these hashes. */
#include "confidence_entries.h"
#include "databases.h"
#include "failing_allocator.h"
#include "memories.h"
#include "server.h"

#include <popoto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* ----- scans ---------------------------------------------------------------------------------- */

static void test_scan_by_pattern_and_partition(void **state) {
    static const char *const projects[] = { "atlas", "hermes", "at*", "a:b", "[at]las", "-" };
    popoto_db *db = opened(*state);
    for (size_t p = 0; p < 6; p++)
        for (int i = 0; i < 3; i++) {
            char key[32];
            snprintf(key, sizeof(key), "%zu/%d", p, i);
            OK(popoto_create(db, &Memory, (&(memory){ .project = projects[p], .key = key })));
            OK(popoto_create(db, &Open, (&(memory){ .project = projects[p], .key = key })));
        }
    for (size_t p = 0; p < 6; p++) {
        seen all = { 0 };
        OK(scan(db, &Memory, projects[p], NULL, &all));
        assert_int_equal(3, all.count); /* glob characters in a name are only characters */
    }
    seen atlas = { .only = BYTES("Open:atlas:") }, every = { 0 }, none = { 0 }, one = { 0 },
         escaped = { .only = BYTES("Open:at/*:") };
    OK(scan(db, &Open, NULL, "Open:atlas:*", &atlas));
    assert_int_equal(3, atlas.count);
    OK(scan(db, &Open, NULL, NULL, &every));
    assert_int_equal(18, every.count);
    OK(scan(db, &Open, NULL, "Open:nobody:*", &none));
    OK(scan(db, &Open, NULL, "", &none));
    OK(scan(db, &Memory, "nobody", NULL, &none));
    assert_int_equal(0, none.count);
    OK(scan(db, &Memory, "hermes", "*//2", &one));
    assert_int_equal(1, one.count);
    OK(scan(db, &Open, NULL, "Open:at/\\**", &escaped));
    assert_int_equal(3, escaped.count);
    popoto_close(db);
    server_flush(*state);
}

static void test_scan_of_tenants_with_nul_and_newline(void **state) {
    typedef struct {
        popoto_object object;
        popoto_text project;
        popoto_text key;
        double certainty;
    } odd;
    static const popoto_field fields[] = {
        POPOTO_KEY(odd, project),
        POPOTO_KEY(odd, key),
        POPOTO_CONFIDENCE(odd, certainty, .partition_by = "project"),
    };
    static const popoto_model Odd = POPOTO_MODEL("Odd", odd, fields);
    static const popoto_text names[] = { BYTES("a\0b"), BYTES("a\0c"), BYTES("a"),
                                         BYTES("a\nb"), BYTES("a%sb"), BYTES("") };
    popoto_db *db = opened(*state);
    for (size_t i = 0; i < 6; i++) {
        odd o = { .project = names[i], .key = names[5 - i] };
        popoto_confidence is;
        popoto_text key;
        OK(popoto_create(db, &Odd, &o));
        for (size_t n = 0; n <= i; n++)
            OK(popoto_confidence_update(db, &Odd, &o, "certainty", 1, &is));
        assert_int_equal(i + 1, is.evidence_count);
        OK(popoto_confidence_key(db, &Odd, &o, "certainty", &key));
        assert_int_equal(strlen("$ConfidencF:Odd:certainty:data:") + names[i].size, key.size);
        assert_memory_equal(names[i].data, key.data + key.size - names[i].size, names[i].size);
        assert_string_equal("1", server_command(*state, "HLEN %b", key.data, key.size));
        popoto_free(db, key.data);
    }
    for (size_t i = 0; i < 6; i++) {
        seen all = { 0 };
        popoto_confidence_scan_desc desc = { .model = &Odd,
                                             .field = "certainty",
                                             .callback = see,
                                             .context = &all,
                                             .where = { POPOTO_IS("project", names[i]) } };
        OK(popoto_confidence_scan(db, &desc));
        assert_int_equal(1, all.count);
    }
    popoto_close(db);
    server_flush(*state);
}

static void seed(server *s, const char *hash, const char *prefix, int count) {
    static const char script[] =
        "local e = cmsgpack.pack({confidence = 0.75, evidence_count = 2, corroborations = 2, "
        "contradictions = 0}) for i = 0, ARGV[2] - 1 do "
        "redis.call('HSET', KEYS[1], ARGV[1] .. i, e) end return 1";
    assert_string_equal("1", server_command(s, "EVAL %s 1 %s %s %d", script, hash, prefix, count));
}

static void test_scan_of_a_large_hash_in_bounded_memory(void **state) {
    failing_allocator counted;
    failing_allocator_init(&counted, 0);
    popoto_options options = { .allocator = counted.allocator };
    popoto_db *db = popoto_open(server_url(*state), &options);
    const size_t count = 100000;
    seed(*state, "$ConfidencF:Open:certainty:data", "Open:atlas:", (int)count);
    seen all = { .memory = &counted, .marks = calloc(count, 1) };
    OK(scan(db, &Open, NULL, NULL, &all));
    assert_true(all.count >= count);
    size_t distinct = 0;
    for (size_t i = 0; i < count; i++)
        distinct += (size_t)all.marks[i];
    assert_int_equal(count, distinct);
    assert_true(all.most < (size_t)1 << 20);
    /* A hash so large is not read whole to find a few. */
    seen few = { .memory = &counted };
    OK(scan(db, &Open, NULL, "Open:atlas:7777?", &few));
    assert_int_equal(10, few.count);
    free(all.marks);
    popoto_close(db);
    assert_int_equal(0, counted.live_blocks);
    server_flush(*state);
}

static void test_scan_stopped_by_its_callback(void **state) {
    popoto_db *db = opened(*state);
    seed(*state, "$ConfidencF:Open:certainty:data", "Open:atlas:", 2000);
    for (size_t n = 1; n <= 2000; n += 333) {
        seen some = { .stop_after = n };
        FAILS(POPOTO_STOPPED, scan(db, &Open, NULL, NULL, &some));
        assert_int_equal(n, some.count);
    }
    popoto_close(db);
    server_flush(*state);
}

/* The callback may use the db, a scan in a scan included. */
static bool use_db(void *context, popoto_text member, const popoto_confidence *figures) {
    seen *it = context;
    popoto_db *db = it->db;
    char copy[64];
    snprintf(copy, sizeof(copy), "%s", member.data);
    memory m = { .project = "atlas", .key = copy + strlen("Memory:atlas:") };
    popoto_confidence is;
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_figures(figures, &is);
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 1, NULL));
    FAILS(POPOTO_BAD_VALUE, popoto_confidence_update(db, &Memory, &m, "certainty", 2, NULL));
    seen inner = { 0 };
    if (it->count % 100 == 0) {
        OK(scan(db, &Memory, "atlas", "*", &inner));
        assert_true(inner.count >= 300);
    }
    assert_string_equal(copy, member.data);
    it->count++;
    return true;
}

static void test_scan_whose_callback_uses_the_db(void **state) {
    popoto_db *db = opened(*state);
    static memory objects[300];
    static char keys[300][60];
    for (size_t i = 0; i < 300; i++) {
        snprintf(keys[i], sizeof(keys[i]), "a-rather-long-key-so-that-the-hash-is-a-table-%zu", i);
        objects[i] = (memory){ .project = "atlas", .key = keys[i] };
        OK(popoto_create(db, &Memory, &objects[i]));
    }
    seen all = { .db = db };
    OK(popoto_confidence_scan(
        db, &(popoto_confidence_scan_desc){ .model = &Memory,
                                            .field = "certainty",
                                            .where = { POPOTO_IS("project", "atlas") },
                                            .callback = use_db,
                                            .context = &all }));
    assert_true(all.count >= 300);
    popoto_close(db);
    server_flush(*state);
}

static void test_scan_refuses_what_makes_no_sense(void **state) {
    popoto_db *db = opened(*state);
    popoto_confidence_scan_desc desc = { .model = &Memory, .field = "certainty" };
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_confidence_scan(NULL, &desc));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_scan(db, NULL));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_scan(db, &desc));
    desc.callback = see;
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_scan(db, &desc));
    assert_string_equal("Memory.certainty is partitioned by project: a value for project is needed",
                        popoto_error(db));
    desc.field = "key";
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_scan(db, &desc));
    desc.field = NULL;
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_scan(db, &desc));
    desc.model = NULL;
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_scan(db, &desc));
    desc = (popoto_confidence_scan_desc){ .model = &Memory,
                                          .field = "certainty",
                                          .callback = see,
                                          .where = { POPOTO_IS("project__in", POPOTO_LIST("a")) } };
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_scan(db, &desc));
    desc.where[0] = (popoto_filter)POPOTO_IS("project", 7);
    FAILS(POPOTO_BAD_VALUE, popoto_confidence_scan(db, &desc));
    popoto_close(db);
}

static const popoto_model BareFact = POPOTO_MODEL("BareFact", fact, undivided_fact_fields);

/* One hash for all tenants: in a scope, only the own tenant's entries are shown. */
static void test_scope_holds_in_an_unpartitioned_scan(void **state) {
    popoto_db *db = opened(*state);
    memory a = { .project = "atlas", .key = "a" }, b = { .project = "hermes", .key = "b" },
           c = { .project = "atlas:x", .key = "c" };
    fact f = { .id = "f", .owner = "atlas" };
    OK(popoto_create(db, &Open, &a));
    OK(popoto_create(db, &Open, &b));
    OK(popoto_create(db, &Open, &c));
    OK(popoto_create(db, &BareFact, &f));
    server_command(*state, "HSET $ConfidencF:Open:certainty:data stranger %b", "\x80", (size_t)1);
    OK(popoto_scope_enter(db, "project", "atlas"));
    seen own = { .only = BYTES("Open:atlas:a") };
    OK(scan(db, &Open, NULL, NULL, &own));
    OK(scan(db, &Open, NULL, "Open:*", &own));
    assert_int_equal(2, own.count);
    OK(popoto_scope_leave(db));
    /* Whose entries these are, their names do not tell. */
    OK(popoto_scope_enter(db, "owner", "hermes"));
    seen none = { 0 };
    popoto_confidence_scan_desc desc = {
        .model = &BareFact, .field = "trust", .callback = see, .context = &none
    };
    FAILS(POPOTO_BAD_SCOPE, popoto_confidence_scan(db, &desc));
    assert_int_equal(0, none.count);
    OK(popoto_scope_leave(db));
    OK(popoto_confidence_scan(db, &desc));
    assert_int_equal(1, none.count);
    popoto_close(db);
    server_flush(*state);
}

/* ----- keys ----------------------------------------------------------------------------------- */

static void assert_key(popoto_db *db, const char *expected, const popoto_filter *values,
                       size_t count, const popoto_model *model, const char *field) {
    popoto_text key;
    OK(popoto_confidence_key_from_values(db, model, field, values, count, &key));
    assert_int_equal(strlen(expected), key.size);
    assert_string_equal(expected, key.data);
    popoto_free(db, key.data);
}

static void refuse_key(popoto_db *db, const char *sentence, const popoto_filter *values,
                       size_t count, const popoto_model *model, const char *field) {
    popoto_text key = { "untouched", 9 };
    popoto_status status = popoto_confidence_key_from_values(db, model, field, values, count, &key);
    assert_true(status == POPOTO_BAD_ARGUMENT || status == POPOTO_BAD_VALUE);
    assert_null(key.data);
    assert_int_equal(0, key.size);
    assert_string_equal(sentence, popoto_error(db));
}

static void test_keys_from_values(void **state) {
    popoto_db *db = opened(*state);
    assert_key(db, ATLAS, (popoto_filter[]){ POPOTO_IS("project", "atlas") }, 1, &Memory,
               "certainty");
    assert_key(db, "$ConfidencF:Memory:certainty:data:a{&#58;}b",
               (popoto_filter[]){ POPOTO_IS("project", "a:b") }, 1, &Memory, "certainty");
    assert_key(db, "$ConfidencF:Memory:certainty:data:project-a",
               (popoto_filter[]){ POPOTO_IS("project", "project-a") }, 1, &Memory, "certainty");
    assert_key(db, "$ConfidencF:Open:certainty:data", NULL, 0, &Open, "certainty");
    /* In the declared order, whatever the order they are given in; numbers as keys write them. */
    assert_key(db, "$ConfidencF:Fact:trust:data:atlas:7",
               (popoto_filter[]){ POPOTO_IS("shelf", 7), POPOTO_IS("owner", "atlas") }, 2, &Fact,
               "trust");
    refuse_key(db, "Memory.certainty is partitioned by project: a value for project is needed",
               NULL, 0, &Memory, "certainty");
    refuse_key(db, "Fact.trust is partitioned by owner,shelf: a value for shelf is needed",
               (popoto_filter[]){ POPOTO_IS("owner", "atlas") }, 1, &Fact, "trust");
    refuse_key(db, "Memory.certainty is partitioned by project: no value of 'key' is needed",
               (popoto_filter[]){ POPOTO_IS("key", "a") }, 1, &Memory, "certainty");
    refuse_key(db,
               "Memory.certainty is partitioned by project: no value of 'project__in' is needed",
               (popoto_filter[]){ POPOTO_IS("project__in", "a") }, 1, &Memory, "certainty");
    refuse_key(db, "Memory.certainty is partitioned by project: no value of (NULL) is needed",
               (popoto_filter[]){ { NULL, { POPOTO_NULL, { 0 } } } }, 1, &Memory, "certainty");
    refuse_key(db, "Open.certainty is partitioned by nothing: no value of 'project' is needed",
               (popoto_filter[]){ POPOTO_IS("project", "a") }, 1, &Open, "certainty");
    refuse_key(db, "Memory has no CONFIDENCE field 'nonsense'", NULL, 0, &Memory, "nonsense");
    refuse_key(db, "Memory has no CONFIDENCE field (NULL)", NULL, 0, &Memory, NULL);
    refuse_key(db, "Memory has no CONFIDENCE field 'project'", NULL, 0, &Memory, "project");
    refuse_key(db, "values are needed, and NULL was given", NULL, 1, &Memory, "certainty");
    refuse_key(db, "a model is needed, and NULL was given", NULL, 0, NULL, "certainty");
    refuse_key(db, "Memory.project is null: a key needs a value",
               (popoto_filter[]){ POPOTO_IS("project", (const char *)NULL) }, 1, &Memory,
               "certainty");
    refuse_key(db, "Memory.project cannot be 7: it holds text",
               (popoto_filter[]){ POPOTO_IS("project", 7) }, 1, &Memory, "certainty");
    popoto_close(db);
}

static void test_keys_from_objects(void **state) {
    popoto_db *db = opened(*state);
    popoto_text key = { "untouched", 9 };
    memory m = { .project = "atlas" };
    fact f = { .owner = "atlas", .shelf = -3 };
    OK(popoto_confidence_key(db, &Memory, &m, "certainty", &key));
    assert_string_equal(ATLAS, key.data);
    popoto_free(db, key.data);
    OK(popoto_confidence_key(db, &Fact, &f, "trust", &key));
    assert_string_equal("$ConfidencF:Fact:trust:data:atlas:-3", key.data);
    popoto_free(db, key.data);
    m.project = NULL;
    FAILS(POPOTO_BAD_VALUE, popoto_confidence_key(db, &Memory, &m, "certainty", &key));
    assert_null(key.data);
    assert_string_equal("Memory.project is null: a key needs a value", popoto_error(db));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_key(db, &Memory, NULL, "certainty", &key));
    assert_string_equal("an object is needed, and NULL was given", popoto_error(db));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_key(db, &Memory, &m, "key", &key));
    assert_string_equal("Memory has no CONFIDENCE field 'key'", popoto_error(db));
    popoto_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_scan_by_pattern_and_partition),
        server_test(test_scan_of_tenants_with_nul_and_newline),
        server_test(test_scan_of_a_large_hash_in_bounded_memory),
        server_test(test_scan_stopped_by_its_callback),
        server_test(test_scan_whose_callback_uses_the_db),
        server_test(test_scan_refuses_what_makes_no_sense),
        server_test(test_scope_holds_in_an_unpartitioned_scan),
        server_test(test_keys_from_values),
        server_test(test_keys_from_objects),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
