/* Confidence, against a real server: the rule itself compared with a second implementation, entries of
 * other writers, moves between partitions, scopes, and what happens when things go wrong. */
#include "confidence_entries.h"
#include "databases.h"
#include "failing_allocator.h"
#include "memories.h"
#include "server.h"

#include <math.h>
#include <popoto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* ----- helpers -------------------------------------------------------------------------------- */

/* The rule, written a second time. */
static void learn(popoto_confidence *it, double signal, int64_t cap) {
    int64_t n = it->evidence_count + 1;
    if (n > cap)
        n = cap;
    it->confidence += (signal - it->confidence) / (double)(n + 1);
    it->confidence = it->confidence < 0 ? 0 : it->confidence > 1 ? 1 : it->confidence;
    it->evidence_count++;
    if (signal >= 0.5)
        it->corroborations++;
    else
        it->contradictions++;
}

static uint64_t random_state = 0x9E3779B97F4A7C15;

static uint64_t random_number(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double random_signal(void) {
    static const double special[] = { 0, 1, 0.5, 0.49999999999999994, 5e-324, 1 - 1e-16 };
    uint64_t choice = random_number() % 12;
    if (choice < sizeof(special) / sizeof(*special))
        return special[choice];
    return (double)(random_number() >> 11) / 9007199254740992.0;
}

/* ----- the rule ------------------------------------------------------------------------------- */

/* All combinations of caps and priors that are told apart; a model each. */
static void follow_rule(popoto_db *db, double declared, int64_t declared_cap) {
    const popoto_field fields[] = {
        POPOTO_KEY(memory, project),
        POPOTO_KEY(memory, key),
        POPOTO_CONFIDENCE(memory, certainty, .partition_by = "project",
                          .initial_confidence = declared, .evidence_cap = declared_cap),
    };
    const popoto_model model = POPOTO_MODEL("Rule", memory, fields);
    double prior = declared == 0 ? 0.5 : declared < 0 ? 0 : declared;
    int64_t cap = declared_cap == 0 ? 20 : declared_cap;
    memory m = { .project = "atlas", .key = "a" };
    popoto_confidence expected = { .confidence = prior }, is;
    double got, sum = prior;
    OK(popoto_create(db, &model, &m));
    OK(popoto_confidence_get(db, &model, &m, "certainty", &got));
    assert_true(got == prior);
    for (int i = 0; i < 60; i++) {
        double signal = random_signal();
        sum += signal;
        learn(&expected, signal, cap);
        OK(popoto_confidence_update(db, &model, &m, "certainty", signal, &is));
        assert_figures(&expected, &is);
        OK(popoto_confidence_figures(db, &model, &m, "certainty", &is));
        assert_figures(&expected, &is);
        /* Up to the cap it is the mean of the prior and all signals. */
        if (i + 1 <= cap)
            assert_true(fabs(is.confidence - sum / (i + 2)) < 1e-12);
    }
    OK(popoto_confidence_get(db, &model, &m, "certainty", &got));
    assert_true(got == expected.confidence);
    OK(popoto_delete(db, &model, &m));
}

static void test_rule_for_every_cap_and_prior(void **state) {
    static const double priors[] = { 0, POPOTO_ZERO, 0.1, 0.5, 0.9, 1 };
    static const int64_t caps[] = { 0, 1, 2, 20, 1000000 };
    for (size_t p = 0; p < sizeof(priors) / sizeof(*priors); p++)
        for (size_t c = 0; c < sizeof(caps) / sizeof(*caps); c++) {
            popoto_db *db = opened(*state); /* models must outlive the db that knows them */
            follow_rule(db, priors[p], caps[c]);
            popoto_close(db);
        }
    assert_string_equal("", server_dump(*state));
}

static void test_signals_at_the_edges(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" };
    popoto_confidence is;
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.5, &is));
    assert_int_equal(1, is.corroborations); /* 0.5 corroborates */
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", nextafter(0.5, 0), &is));
    assert_int_equal(1, is.contradictions);
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", -0.0, &is));
    assert_int_equal(2, is.contradictions);
    for (int i = 0; i < 200; i++)
        OK(popoto_confidence_update(db, &Memory, &m, "certainty", 1, &is));
    assert_true(is.confidence > 0.99 && is.confidence <= 1);
    for (int i = 0; i < 2000; i++)
        OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0, NULL));
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_true(is.confidence >= 0 && is.confidence < 1e-9);
    assert_int_equal(203 + 2000, is.evidence_count);
    OK(popoto_delete(db, &Memory, &m));
    popoto_close(db);
}

static void test_refused_signals_change_nothing(void **state) {
    static const double refused[] = {
        -0.1, 1.1, NAN, INFINITY, -INFINITY, -5e-324, 1.0000000000000002
    };
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" };
    popoto_confidence after;
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, NULL));
    char *before = strdup(server_dump(*state));
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        after.evidence_count = 77;
        FAILS(POPOTO_BAD_VALUE,
              popoto_confidence_update(db, &Memory, &m, "certainty", refused[i], &after));
        assert_int_equal(0, after.evidence_count); /* an output is always set */
        assert_non_null(
            strstr(popoto_error(db), "Memory.certainty: a signal is a number between 0 and 1"));
    }
    FAILS(POPOTO_BAD_VALUE, popoto_confidence_update(db, &Memory, &m, "certainty", -0.1, NULL));
    assert_string_equal("Memory.certainty: a signal is a number between 0 and 1, not -0.1",
                        popoto_error(db));
    assert_string_equal(before, server_dump(*state));
    free(before);
    OK(popoto_delete(db, &Memory, &m));
    popoto_close(db);
}

/* ----- missing records ------------------------------------------------------------------------ */

static void test_no_record_no_entry(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "never" };
    fact f = { .id = "never", .owner = "atlas", .shelf = 1 };
    popoto_confidence is = { .evidence_count = 9 };
    double got = 7;
    FAILS(POPOTO_NOT_FOUND, popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, &is));
    assert_int_equal(0, is.evidence_count);
    assert_non_null(strstr(popoto_error(db), "'Memory:atlas:never' is not there"));
    FAILS(POPOTO_NOT_FOUND, popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    FAILS(POPOTO_NOT_FOUND, popoto_confidence_get(db, &Memory, &m, "certainty", &got));
    assert_true(got == 0);
    FAILS(POPOTO_NOT_FOUND, popoto_confidence_update(db, &Fact, &f, "trust", 0.9, NULL));
    FAILS(POPOTO_NOT_FOUND, popoto_confidence_get(db, &Fact, &f, "trust", &got));
    assert_string_equal("", server_dump(*state));
    popoto_close(db);
}

static void test_deleted_record_leaves_no_entry(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" };
    fact f = { .id = "a", .owner = "atlas", .shelf = 1 };
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_create(db, &Fact, &f));
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, NULL));
    OK(popoto_confidence_update(db, &Fact, &f, "trust", 0.9, NULL));
    OK(popoto_delete(db, &Memory, &m));
    OK(popoto_delete(db, &Fact, &f));
    assert_string_equal("", server_dump(*state));
    FAILS(POPOTO_NOT_FOUND, popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, NULL));
    assert_string_equal("", server_dump(*state));
    /* A record of that name starts anew. */
    popoto_confidence is;
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_figures(&(popoto_confidence){ .confidence = 0.5 }, &is);
    OK(popoto_delete(db, &Memory, &m));
    popoto_close(db);
}

/* A record that lacks the entry (it was stored before the field was declared, or by another program). */
static void test_record_without_entry_has_the_initial_figures(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" };
    popoto_confidence is, expected = { .confidence = 0.5 };
    OK(popoto_create(db, &Memory, &m));
    server_command(*state, "DEL " ATLAS);
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_figures(&expected, &is);
    assert_string_equal("0", server_command(*state, "EXISTS " ATLAS)); /* reading writes nothing */
    learn(&expected, 0.8, 20);
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.8, &is));
    assert_figures(&expected, &is);
    OK(popoto_delete(db, &Memory, &m));
    popoto_close(db);
}

/* ----- entries of other writers --------------------------------------------------------------- */

#define NAME_CONFIDENCE \
    "\xaa"              \
    "confidence"
#define NAME_EVIDENCE \
    "\xae"            \
    "evidence_count"
#define NAME_PRO \
    "\xae"       \
    "corroborations"
#define NAME_CONTRA \
    "\xae"          \
    "contradictions"

typedef struct foreign {
    popoto_text bytes;
    popoto_confidence figures;
} foreign;

static const foreign foreign_entries[] = {
    /* clang-format off */
    /* msgpack.packb of Popoto's get_default entry */
    { BYTES("\x84" NAME_CONFIDENCE "\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00" NAME_EVIDENCE "\x00"
            NAME_PRO "\x00" NAME_CONTRA "\x00"), { 0.5, 0, 0, 0 } },
    /* cmsgpack.pack in Popoto's Lua: any order, whole numbers as integers, short floats */
    { BYTES("\x84" NAME_CONTRA "\x01" NAME_CONFIDENCE "\xca\x3f\x40\x00\x00" NAME_PRO "\x02"
            NAME_EVIDENCE "\x03"), { 0.75, 3, 2, 1 } },
    { BYTES("\x84" NAME_EVIDENCE "\x02" NAME_PRO "\x02" NAME_CONTRA "\x00" NAME_CONFIDENCE "\x01"),
      { 1, 2, 2, 0 } },
    { BYTES("\x84" NAME_EVIDENCE "\x02" NAME_PRO "\x00" NAME_CONTRA "\x02" NAME_CONFIDENCE "\x00"),
      { 0, 2, 0, 2 } },
    /* counts as floats, and of any width */
    { BYTES("\x84" NAME_CONFIDENCE "\xca\x3e\x80\x00\x00" NAME_EVIDENCE "\xcb\x40\x08\x00\x00\x00\x00\x00\x00"
            NAME_PRO "\xca\x3f\x80\x00\x00" NAME_CONTRA "\xcd\x00\x02"), { 0.25, 3, 1, 2 } },
    { BYTES("\x84" NAME_CONFIDENCE "\xca\x3e\x80\x00\x00" NAME_EVIDENCE "\xce\x00\x01\x11\x70"
            NAME_PRO "\xcd\x11\x70" NAME_CONTRA "\xcf\x00\x00\x00\x00\x00\x01\x00\x00"),
      { 0.25, 70000, 4464, 65536 } },
    /* the four figures as an array, and fewer of them */
    { BYTES("\x94\xca\x3f\x40\x00\x00\x04\x03\x01"), { 0.75, 4, 3, 1 } },
    { BYTES("\x94\x01\x01\x01\x00"), { 1, 1, 1, 0 } },
    { BYTES("\x91\xca\x3f\x40\x00\x00"), { 0.75, 0, 0, 0 } },
    /* names that came later, or are not there yet */
    { BYTES("\x82" NAME_CONFIDENCE "\xca\x3f\x40\x00\x00" NAME_EVIDENCE "\x07"), { 0.75, 7, 0, 0 } },
    { BYTES("\x85" NAME_CONFIDENCE "\xca\x3f\x40\x00\x00" NAME_EVIDENCE "\x07" NAME_PRO "\x04"
            NAME_CONTRA "\x03" "\xac" "last_updated" "\xcb\x41\xd9\x54\xfc\x40\x00\x00\x00"),
      { 0.75, 7, 4, 3 } },
    { BYTES("\x81" NAME_EVIDENCE "\x02"), { 0.5, 2, 0, 0 } },
    { BYTES("\x80"), { 0.5, 0, 0, 0 } },
    /* clang-format on */
};

static void test_entries_of_other_writers(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" };
    OK(popoto_create(db, &Memory, &m));
    for (size_t i = 0; i < sizeof(foreign_entries) / sizeof(*foreign_entries); i++) {
        const foreign *entry = &foreign_entries[i];
        popoto_confidence expected = entry->figures, is;
        double signal = random_signal();
        server_command(*state, "HSET " ATLAS " Memory:atlas:a %b", entry->bytes.data,
                       entry->bytes.size);
        OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
        assert_figures(&expected, &is);
        learn(&expected, signal, 20);
        OK(popoto_confidence_update(db, &Memory, &m, "certainty", signal, &is));
        assert_figures(&expected, &is);
        OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
        assert_figures(&expected, &is);
    }
    OK(popoto_delete(db, &Memory, &m));
    popoto_close(db);
}

/* What is stored is what msgpack.unpackb and cmsgpack.unpack make a map of the four names of. */
static void test_entries_for_other_readers(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" };
    static const char read[] = "local e = cmsgpack.unpack(redis.call('HGET', KEYS[1], ARGV[1])) "
                               "local names = {} for k in pairs(e) do names[#names + 1] = k end "
                               "table.sort(names) return table.concat(names, ' ') .. ' ' .. "
                               "e.confidence .. ' ' .. e.evidence_count .. ' ' .. "
                               "e.corroborations .. ' ' .. e.contradictions";
    OK(popoto_create(db, &Memory, &m));
    assert_string_equal("confidence contradictions corroborations evidence_count 0.5 0 0 0",
                        server_command(*state, "EVAL %s 1 " ATLAS " Memory:atlas:a", read));
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, NULL));
    assert_string_equal("confidence contradictions corroborations evidence_count 0.7 1 1 0",
                        server_command(*state, "EVAL %s 1 " ATLAS " Memory:atlas:a", read));
    OK(popoto_delete(db, &Memory, &m));
    popoto_close(db);
}

static const popoto_text corrupt_entries[] = {
    /* clang-format off */
    BYTES(""),
    BYTES("hello"),
    BYTES("0.5"),
    BYTES("\xc0"),
    BYTES("\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00"),
    BYTES("{\"confidence\": 0.5}"),
    BYTES("\x84" NAME_CONFIDENCE "\xcb\x3f\xe0"),
    BYTES("\x81" NAME_CONFIDENCE "\xc3"),
    BYTES("\x81" NAME_CONFIDENCE "\xa3" "0.5"),
    BYTES("\x81" NAME_EVIDENCE "\xa1" "1"),
    BYTES("\x81" NAME_CONFIDENCE "\x90"),
    BYTES("\x81" NAME_CONFIDENCE "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"),
    BYTES("\x81" NAME_EVIDENCE "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"),
    BYTES("\x81" NAME_CONFIDENCE "\x01" "trailing"),
    BYTES("\x95\x01\x01\x01\x00\x00"),
    /* clang-format on */
};

/* Reads, updates and scans agree on what is no entry, and leave it alone. */
static void test_corrupt_entry_is_left_as_it_is(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" }, other = { .project = "atlas", .key = "b" };
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_create(db, &Memory, &other));
    for (size_t i = 0; i < sizeof(corrupt_entries) / sizeof(*corrupt_entries); i++) {
        popoto_confidence is = { .evidence_count = 9 };
        seen all = { 0 };
        popoto_signal signals[] = { { .object = &m, .signal = 0.9 },
                                    { .object = &other, .signal = 0.9 } };
        server_command(*state, "HSET " ATLAS " Memory:atlas:a %b", corrupt_entries[i].data,
                       corrupt_entries[i].size);
        char *before = strdup(server_command(*state, "HGET " ATLAS " Memory:atlas:a"));
        FAILS(POPOTO_CORRUPT, popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
        assert_int_equal(0, is.evidence_count);
        assert_non_null(strstr(popoto_error(db), "Memory:atlas:a"));
        FAILS(POPOTO_CORRUPT, popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, &is));
        assert_int_equal(0, is.evidence_count);
        assert_non_null(strstr(popoto_error(db), "Memory:atlas:a"));
        assert_non_null(strstr(popoto_error(db), "certainty"));
        /* The others of the pipeline and of the scan are not concerned. */
        FAILS(POPOTO_CORRUPT, popoto_confidence_update_many(db, &Memory, "certainty", signals, 2));
        assert_int_equal(POPOTO_CORRUPT, signals[0].status);
        assert_int_equal(POPOTO_OK, signals[1].status);
        assert_int_equal(i + 1, signals[1].after.evidence_count);
        FAILS(POPOTO_CORRUPT, scan(db, &Memory, "atlas", NULL, &all));
        assert_int_equal(1, all.count);
        assert_non_null(strstr(popoto_error(db), "Memory:atlas:a"));
        assert_string_equal(before, server_command(*state, "HGET " ATLAS " Memory:atlas:a"));
        free(before);
    }
    OK(popoto_delete(db, &Memory, &m));
    OK(popoto_delete(db, &Memory, &other));
    popoto_close(db);
}

static void test_another_type_at_the_companion_key(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" };
    popoto_confidence is;
    seen all = { 0 };
    OK(popoto_create(db, &Memory, &m));
    server_command(*state, "DEL " ATLAS);
    server_command(*state, "SET " ATLAS " precious");
    FAILS(POPOTO_CORRUPT, popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, NULL));
    FAILS(POPOTO_CORRUPT, popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    FAILS(POPOTO_CORRUPT, scan(db, &Memory, "atlas", NULL, &all));
    assert_string_equal("precious", server_command(*state, "GET " ATLAS));
    server_command(*state, "DEL " ATLAS);
    OK(popoto_delete(db, &Memory, &m));
    popoto_close(db);
}

/* ----- many at once --------------------------------------------------------------------------- */

#define MANY 700 /* more than one pipeline */

static void test_update_many_with_mixed_outcomes(void **state) {
    popoto_db *db = opened(*state);
    static memory objects[MANY];
    static char keys[MANY][16];
    static popoto_signal signals[MANY + 3];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
        objects[i] = (memory){ .project = i % 2 ? "atlas" : "hermes", .key = keys[i] };
        signals[i] = (popoto_signal){ .object = &objects[i], .signal = (double)(i % 11) / 10 };
        if (i % 10 == 3)
            signals[i].signal = NAN;
        if (i % 10 != 5)
            OK(popoto_create(db, &Memory, &objects[i]));
    }
    signals[MANY] = (popoto_signal){ .object = NULL, .signal = 0.5 };
    signals[MANY + 1] = (popoto_signal){ .object = &objects[0], .signal = 1 };
    signals[MANY + 2] = (popoto_signal){ .object = &objects[0], .signal = 0 };
    FAILS(POPOTO_BAD_VALUE,
          popoto_confidence_update_many(db, &Memory, "certainty", signals, MANY + 3));
    assert_string_equal("Memory.certainty: a signal is a number between 0 and 1, not nan",
                        popoto_error(db)); /* the first that failed */
    for (size_t i = 0; i < MANY; i++) {
        popoto_confidence expected = { .confidence = 0.5 };
        if (i % 10 == 3 || i % 10 == 5) {
            assert_int_equal(i % 10 == 3 ? POPOTO_BAD_VALUE : POPOTO_NOT_FOUND, signals[i].status);
            assert_figures(&(popoto_confidence){ 0 }, &signals[i].after);
            continue;
        }
        assert_int_equal(POPOTO_OK, signals[i].status);
        learn(&expected, signals[i].signal, 20);
        assert_figures(&expected, &signals[i].after);
    }
    assert_int_equal(POPOTO_BAD_ARGUMENT, signals[MANY].status);
    /* The same record thrice in one call: one after the other. */
    assert_int_equal(2, signals[MANY + 1].after.evidence_count);
    assert_int_equal(3, signals[MANY + 2].after.evidence_count);
    OK(popoto_confidence_update_many(db, &Memory, "certainty", NULL, 0));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_update_many(db, &Memory, "certainty", NULL, 1));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_update_many(db, &Memory, "project", signals, 2));
    assert_int_equal(POPOTO_BAD_ARGUMENT, signals[0].status);
    assert_string_equal("Memory has no CONFIDENCE field 'project'", popoto_error(db));
    popoto_close(db);
    server_flush(*state);
}

/* ----- records that move ---------------------------------------------------------------------- */

static const char *hash_of(server *s, const char *member) {
    static char found[256];
    char *dump = strdup(server_dump(s));
    found[0] = '\0';
    char *key = NULL;
    for (char *line = strtok(dump, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (line[0] != ' ')
            key = line;
        else if (key != NULL && strncmp(key, "$ConfidencF:", 12) == 0 &&
                 strncmp(line + 2, member, strlen(member)) == 0 && line[2 + strlen(member)] == ' ')
            snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%.*s",
                     found[0] ? " " : "", (int)strcspn(key, " "), key);
    }
    free(dump);
    return found;
}

static void test_key_change_carries_the_entry(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" };
    popoto_confidence is, expected = { .confidence = 0.5 };
    OK(popoto_create(db, &Memory, &m));
    learn(&expected, 0.9, 20);
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, NULL));
    char *at_home = strdup(server_dump(*state));
    m.project = "hermes"; /* the partition, and the key */
    OK(popoto_save(db, &Memory, &m));
    assert_null(strstr(server_dump(*state), "atlas"));
    assert_string_equal(HERMES, hash_of(*state, "Memory:hermes:a"));
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_figures(&expected, &is);
    m.key = "b"; /* the key alone */
    OK(popoto_save(db, &Memory, &m));
    assert_null(strstr(server_dump(*state), ":hermes:a"));
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_figures(&expected, &is);
    m = (memory){ .object = m.object, .project = "atlas", .key = "a" };
    OK(popoto_save(db, &Memory, &m));
    assert_string_equal(at_home, server_dump(*state));
    free(at_home);
    /* An object whose key members were changed and not saved: the record is where it was. */
    m.project = "hermes";
    learn(&expected, 0.1, 20);
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.1, &is));
    assert_figures(&expected, &is);
    assert_string_equal(ATLAS, hash_of(*state, "Memory:atlas:a"));
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_figures(&expected, &is);
    OK(popoto_delete(db, &Memory, &m));
    popoto_close(db);
}

static void test_partition_change_carries_the_entry(void **state) {
    popoto_db *db = opened(*state);
    fact f = { .id = "a", .owner = "atlas", .shelf = 1 };
    popoto_confidence is, expected = { .confidence = 0.5 };
    OK(popoto_create(db, &Fact, &f));
    learn(&expected, 0.9, 20);
    OK(popoto_confidence_update(db, &Fact, &f, "trust", 0.9, NULL));
    assert_string_equal("$ConfidencF:Fact:trust:data:atlas:1", hash_of(*state, "Fact:a"));
    f.owner = "hermes";
    OK(popoto_save(db, &Fact, &f));
    assert_string_equal("$ConfidencF:Fact:trust:data:hermes:1", hash_of(*state, "Fact:a"));
    f.shelf = 2;
    OK(popoto_save_with(db, &Fact, &f, &(popoto_save_desc){ .only = "shelf" }));
    assert_string_equal("$ConfidencF:Fact:trust:data:hermes:2", hash_of(*state, "Fact:a"));
    OK(popoto_confidence_figures(db, &Fact, &f, "trust", &is));
    assert_figures(&expected, &is);
    OK(popoto_delete(db, &Fact, &f));
    assert_string_equal("", server_dump(*state));
    popoto_close(db);
}

/* Somebody else moved the record since this object was loaded: the stored partition counts. */
static void test_stale_object_finds_the_right_hash(void **state) {
    popoto_db *db = opened(*state), *other = opened(*state);
    fact f = { .id = "a", .owner = "atlas", .shelf = 1 };
    popoto_confidence is, expected = { .confidence = 0.5 };
    OK(popoto_create(db, &Fact, &f));
    fact stale = f, blank = { .id = "a" };
    for (int64_t shelf = 2; shelf < 6; shelf++) {
        double signal = random_signal();
        f.owner = shelf % 2 ? "atlas" : "hermes";
        f.shelf = shelf;
        OK(popoto_save(db, &Fact, &f));
        learn(&expected, signal, 20);
        OK(popoto_confidence_update(other, &Fact, &stale, "trust", signal, &is));
        assert_figures(&expected, &is);
        learn(&expected, signal, 20);
        OK(popoto_confidence_update(other, &Fact, &blank, "trust", signal, &is));
        assert_figures(&expected, &is);
        char hash[80];
        snprintf(hash, sizeof(hash), "$ConfidencF:Fact:trust:data:%s:%d", f.owner, (int)shelf);
        assert_string_equal(hash, hash_of(*state, "Fact:a"));
        OK(popoto_confidence_figures(other, &Fact, &stale, "trust", &is));
        assert_figures(&expected, &is);
        OK(popoto_confidence_figures(other, &Fact, &blank, "trust", &is));
        assert_figures(&expected, &is);
    }
    OK(popoto_delete(db, &Fact, &f));
    FAILS(POPOTO_NOT_FOUND, popoto_confidence_update(db, &Fact, &stale, "trust", 1, NULL));
    popoto_close(other);
    popoto_close(db);
}

/* A stored record whose partition cannot be told is no missing one. */
static void test_record_without_its_partition_field(void **state) {
    popoto_db *db = opened(*state);
    fact f = { .id = "a", .owner = "atlas", .shelf = 1 };
    popoto_confidence is;
    OK(popoto_create(db, &Fact, &f));
    server_command(*state, "HDEL Fact:a owner shelf");
    FAILS(POPOTO_CORRUPT, popoto_confidence_update(db, &Fact, &f, "trust", 0.9, NULL));
    assert_non_null(strstr(popoto_error(db), "lacks owner"));
    FAILS(POPOTO_CORRUPT, popoto_confidence_figures(db, &Fact, &f, "trust", &is));
    assert_non_null(strstr(popoto_error(db), "lacks owner"));
    server_command(*state, "HSET Fact:a owner %b shelf %b",
                   "\xa5"
                   "atlas",
                   (size_t)6, "\xa1x", (size_t)2);
    FAILS(POPOTO_CORRUPT, popoto_confidence_update(db, &Fact, &f, "trust", 0.9, NULL));
    FAILS(POPOTO_CORRUPT, popoto_confidence_figures(db, &Fact, &f, "trust", &is));
    assert_string_equal("1", server_command(*state, "EXISTS $ConfidencF:Fact:trust:data:atlas:1"));
    popoto_close(db);
    server_flush(*state);
}

/* One thread moves the record to and fro while another one reads: no read finds a figure of nowhere. */
typedef struct mover {
    server *s;
    bool of_key;
    atomic_bool stop;
} mover;

static void *move_to_and_fro(void *context) {
    mover *it = context;
    popoto_db *db = opened(it->s);
    fact f = { .id = "a", .owner = "one", .shelf = 1 };
    memory m = { .project = "atlas", .key = "a" };
    popoto_rows *rows;
    OK(it->of_key ? popoto_load(db, &Memory, &m, &rows) : popoto_load(db, &Fact, &f, &rows));
    for (int i = 0; !atomic_load(&it->stop); i++) {
        if (it->of_key) {
            ((memory *)popoto_rows_at(rows, 0))->project = i % 2 ? "atlas" : "hermes";
            OK(popoto_save(db, &Memory, popoto_rows_at(rows, 0)));
        } else {
            ((fact *)popoto_rows_at(rows, 0))->owner = i % 2 ? "one" : "two";
            OK(popoto_save(db, &Fact, popoto_rows_at(rows, 0)));
        }
    }
    popoto_rows_free(rows);
    popoto_close(db);
    return NULL;
}

static void test_reads_while_the_record_moves(void **state) {
    popoto_db *db = opened(*state);
    fact f = { .id = "a", .owner = "one", .shelf = 1 };
    popoto_confidence is, expected = { .confidence = 0.5 };
    mover other = { .s = *state };
    pthread_t thread;
    OK(popoto_create(db, &Fact, &f));
    learn(&expected, 0.9, 20);
    OK(popoto_confidence_update(db, &Fact, &f, "trust", 0.9, NULL));
    assert_int_equal(0, pthread_create(&thread, NULL, move_to_and_fro, &other));
    int wrong = 0;
    for (int i = 0; i < 4000; i++) {
        OK(popoto_confidence_figures(db, &Fact, &f, "trust", &is));
        wrong += is.evidence_count != 1;
    }
    atomic_store(&other.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(0, wrong);
    popoto_close(db);
    server_flush(*state);
}

/* The same for the key: the record is here with its figures, or it is not here. */
static void test_reads_while_the_key_moves(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" }, same = m;
    popoto_confidence is;
    mover other = { .s = *state, .of_key = true };
    pthread_t thread;
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, NULL));
    assert_int_equal(0, pthread_create(&thread, NULL, move_to_and_fro, &other));
    int here = 0, away = 0, wrong = 0;
    for (int i = 0; i < 4000; i++) {
        popoto_status status = popoto_confidence_figures(db, &Memory, &same, "certainty", &is);
        here += status == POPOTO_OK && is.evidence_count == 1;
        away += status == POPOTO_NOT_FOUND;
        wrong += status == POPOTO_OK && is.evidence_count != 1;
    }
    atomic_store(&other.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(0, wrong);
    assert_int_equal(4000, here + away);
    popoto_close(db);
    server_flush(*state);
}

/* ----- scopes --------------------------------------------------------------------------------- */

static void test_scopes_complete_the_partition(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .key = "a" }, foreigner = { .project = "hermes", .key = "b" };
    popoto_text key;
    popoto_confidence is;
    seen all = { 0 };
    OK(popoto_create(db, &Memory, &foreigner));
    OK(popoto_scope_enter(db, "project", "atlas"));
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, &is));
    assert_int_equal(1, is.evidence_count);
    assert_string_equal(ATLAS, hash_of(*state, "Memory:atlas:a"));
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_int_equal(1, is.evidence_count);
    OK(scan(db, &Memory, NULL, NULL, &all));
    OK(scan(db, &Memory, "atlas", NULL, &all));
    assert_int_equal(2, all.count);
    OK(popoto_confidence_key(db, &Memory, &m, "certainty", &key));
    assert_string_equal(ATLAS, key.data);
    popoto_free(db, key.data);
    OK(popoto_confidence_key_from_values(db, &Memory, "certainty", NULL, 0, &key));
    assert_string_equal(ATLAS, key.data);
    popoto_free(db, key.data);
    /* Another tenant's name is refused, wherever it stands. */
    char *before = strdup(server_dump(*state));
    popoto_filter hermes = POPOTO_IS("project", "hermes");
    popoto_signal signals[] = { { .object = &foreigner, .signal = 1 },
                                { .object = &m, .signal = 2 } };
    double got;
    FAILS(POPOTO_BAD_SCOPE,
          popoto_confidence_update(db, &Memory, &foreigner, "certainty", 0.9, &is));
    assert_non_null(strstr(popoto_error(db), "hermes"));
    FAILS(POPOTO_BAD_SCOPE, popoto_confidence_update_many(db, &Memory, "certainty", signals, 2));
    FAILS(POPOTO_BAD_SCOPE, popoto_confidence_figures(db, &Memory, &foreigner, "certainty", &is));
    FAILS(POPOTO_BAD_SCOPE, popoto_confidence_get(db, &Memory, &foreigner, "certainty", &got));
    FAILS(POPOTO_BAD_SCOPE, scan(db, &Memory, "hermes", NULL, &all));
    FAILS(POPOTO_BAD_SCOPE, popoto_confidence_key(db, &Memory, &foreigner, "certainty", &key));
    assert_null(key.data);
    FAILS(POPOTO_BAD_SCOPE,
          popoto_confidence_key_from_values(db, &Memory, "certainty", &hermes, 1, &key));
    assert_null(key.data);
    assert_string_equal(before, server_dump(*state));
    free(before);
    OK(popoto_scope_leave(db));
    OK(popoto_confidence_update(db, &Memory, &foreigner, "certainty", 0.9, &is));
    FAILS(POPOTO_BAD_ARGUMENT, scan(db, &Memory, NULL, NULL, &all));
    popoto_close(db);
    server_flush(*state);
}

/* ----- arguments ------------------------------------------------------------------------------ */

static void test_every_call_without_its_arguments(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" };
    popoto_confidence is = { .evidence_count = 9 };
    popoto_text key = { "untouched", 9 };
    double got = 7;
    assert_int_equal(POPOTO_BAD_ARGUMENT,
                     popoto_confidence_update(NULL, &Memory, &m, "certainty", 1, &is));
    assert_int_equal(POPOTO_BAD_ARGUMENT,
                     popoto_confidence_figures(NULL, &Memory, &m, "certainty", &is));
    assert_int_equal(POPOTO_BAD_ARGUMENT,
                     popoto_confidence_get(NULL, &Memory, &m, "certainty", &got));
    assert_int_equal(POPOTO_BAD_ARGUMENT,
                     popoto_confidence_key(NULL, &Memory, &m, "certainty", &key));
    assert_int_equal(POPOTO_BAD_ARGUMENT,
                     popoto_confidence_key_from_values(NULL, &Memory, "certainty", NULL, 0, &key));
    assert_int_equal(0, is.evidence_count);
    assert_null(key.data);
    assert_true(got == 0);
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_update(db, &Memory, NULL, "certainty", 1, &is));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_figures(db, &Memory, NULL, "certainty", &is));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_figures(db, &Memory, &m, "certainty", NULL));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_get(db, &Memory, &m, "certainty", NULL));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_key(db, &Memory, &m, "certainty", NULL));
    FAILS(POPOTO_BAD_ARGUMENT,
          popoto_confidence_key_from_values(db, &Memory, "certainty", NULL, 0, NULL));
    m.key = NULL;
    FAILS(POPOTO_BAD_VALUE, popoto_confidence_update(db, &Memory, &m, "certainty", 1, &is));
    FAILS(POPOTO_BAD_VALUE, popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    popoto_close(db);
}

/* ----- memory that runs out -------------------------------------------------------------------- */

typedef popoto_status operation(popoto_db *db);

static popoto_status update_memory(popoto_db *db) {
    memory m = { .project = "atlas", .key = "a" };
    popoto_confidence is;
    popoto_status status = popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, &is);
    assert_true(status == POPOTO_OK || is.evidence_count == 0);
    return status;
}

static popoto_status update_stale_fact(popoto_db *db) {
    fact f = { .id = "a", .owner = "elsewhere", .shelf = 9 };
    return popoto_confidence_update(db, &Fact, &f, "trust", 0.9, NULL);
}

static popoto_status update_both(popoto_db *db) {
    memory a = { .project = "atlas", .key = "a" }, b = { .project = "hermes", .key = "b" };
    popoto_signal signals[] = { { .object = &a, .signal = 0.9 }, { .object = &b, .signal = 0.1 } };
    popoto_status status = popoto_confidence_update_many(db, &Memory, "certainty", signals, 2);
    for (size_t i = 0; i < 2; i++)
        assert_true(signals[i].status == POPOTO_OK || signals[i].status == POPOTO_NO_MEMORY ||
                    signals[i].status == POPOTO_UNKNOWN_OUTCOME);
    return status;
}

static popoto_status read_memory(popoto_db *db) {
    memory m = { .project = "atlas", .key = "a" };
    double got;
    return popoto_confidence_get(db, &Memory, &m, "certainty", &got);
}

static popoto_status read_fact(popoto_db *db) {
    fact f = { .id = "a", .owner = "elsewhere", .shelf = 9 };
    popoto_confidence is;
    return popoto_confidence_figures(db, &Fact, &f, "trust", &is);
}

static popoto_status scan_memory(popoto_db *db) {
    seen all = { 0 };
    popoto_status status = scan(db, &Memory, "atlas", "Memory:*", &all);
    assert_true(status != POPOTO_OK || all.count == 1);
    return status;
}

static popoto_status scan_scoped(popoto_db *db) {
    seen all = { 0 };
    popoto_status status = popoto_scope_enter(db, "project", "atlas");
    if (status != POPOTO_OK)
        return status;
    status = scan(db, &Open, NULL, NULL, &all);
    assert_true(status != POPOTO_OK || all.count == 1);
    assert_int_equal(POPOTO_OK, popoto_scope_leave(db));
    return status;
}

static popoto_status make_keys(popoto_db *db) {
    memory m = { .project = "atlas", .key = "a" };
    popoto_filter atlas = POPOTO_IS("project", "atlas");
    popoto_text one, other;
    popoto_status status = popoto_confidence_key(db, &Memory, &m, "certainty", &one);
    assert_true((status == POPOTO_OK) == (one.data != NULL));
    if (status == POPOTO_OK) {
        status = popoto_confidence_key_from_values(db, &Memory, "certainty", &atlas, 1, &other);
        assert_true((status == POPOTO_OK) == (other.data != NULL));
        popoto_free(db, other.data);
    }
    popoto_free(db, one.data);
    return status;
}

static void test_every_allocation_failing_in_turn(void **state) {
    static operation *const operations[] = { update_memory, update_stale_fact, update_both,
                                             read_memory,   read_fact,         scan_memory,
                                             scan_scoped,   make_keys };
    popoto_db *setup = opened(*state), *db = setup;
    memory a = { .project = "atlas", .key = "a" }, b = { .project = "hermes", .key = "b" };
    memory open = { .project = "atlas", .key = "a" };
    fact f = { .id = "a", .owner = "atlas", .shelf = 1 };
    OK(popoto_create(db, &Memory, &a));
    OK(popoto_create(db, &Memory, &b));
    OK(popoto_create(db, &Open, &open));
    OK(popoto_create(db, &Fact, &f));
    for (size_t o = 0; o < sizeof(operations) / sizeof(*operations); o++)
        for (size_t n = 1;; n++) {
            failing_allocator counted;
            failing_allocator_init(&counted, n);
            popoto_options options = { .allocator = counted.allocator };
            db = popoto_open(server_url(*state), &options);
            popoto_status status = db == NULL ? POPOTO_NO_MEMORY : operations[o](db);
            /* Without memory for an answer, what became of a write is not known. */
            if (!counted.failed)
                OK(status);
            else if (status != POPOTO_OK) /* some allocations are only welcome */
                assert_true(status == POPOTO_NO_MEMORY || status == POPOTO_UNKNOWN_OUTCOME);
            if (db != NULL && status == POPOTO_NO_MEMORY && operations[o] != scan_scoped)
                OK(operations[o](db)); /* and the next time it is there again */
            popoto_close(db);
            assert_int_equal(0, counted.live_blocks);
            if (!counted.failed)
                break;
            assert_true(n < 500);
        }
    popoto_close(setup);
    server_flush(*state);
}

/* ----- servers that forget, threads ------------------------------------------------------------ */

static void test_scripts_that_the_server_forgot(void **state) {
    popoto_db *db = opened(*state);
    memory a = { .project = "atlas", .key = "a" }, b = { .project = "hermes", .key = "b" };
    fact f = { .id = "a", .owner = "atlas", .shelf = 1 };
    popoto_confidence is;
    OK(popoto_create(db, &Memory, &a));
    OK(popoto_create(db, &Memory, &b));
    OK(popoto_create(db, &Fact, &f));
    for (int i = 1; i <= 3; i++) {
        popoto_signal signals[] = { { .object = &a, .signal = 1 },
                                    { .object = &b, .signal = 1 },
                                    { .object = &a, .signal = 1 } };
        server_command(*state, "SCRIPT FLUSH");
        OK(popoto_confidence_update_many(db, &Memory, "certainty", signals, 3));
        assert_int_equal(2 * i, signals[2].after.evidence_count);
        server_command(*state, "SCRIPT FLUSH");
        fact stale = { .id = "a", .owner = "elsewhere" };
        OK(popoto_confidence_update(db, &Fact, &stale, "trust", 1, &is));
        assert_int_equal(i, is.evidence_count);
    }
    popoto_close(db);
    server_flush(*state);
}

#define THREADS 4
#define UPDATES 250
#define SHARED  3

typedef struct worker {
    server *s;
    unsigned number;
    int64_t acknowledged[SHARED];
} worker;

static void *update_shared(void *context) {
    worker *it = context;
    popoto_db *db = opened(it->s);
    static const char *const keys[SHARED] = { "a", "b", "c" };
    for (unsigned i = 0; i < UPDATES; i++) {
        memory objects[SHARED];
        popoto_signal signals[SHARED];
        for (size_t k = 0; k < SHARED; k++) {
            objects[k] = (memory){ .project = "atlas", .key = keys[k] };
            signals[k] = (popoto_signal){ .object = &objects[k], .signal = (i + it->number) % 2 };
        }
        OK(popoto_confidence_update_many(db, &Memory, "certainty", signals, SHARED));
        for (size_t k = 0; k < SHARED; k++)
            it->acknowledged[k] += signals[k].status == POPOTO_OK;
    }
    popoto_close(db);
    return NULL;
}

static void test_threads_update_the_same_records(void **state) {
    popoto_db *db = opened(*state);
    static const char *const keys[SHARED] = { "a", "b", "c" };
    memory objects[SHARED];
    for (size_t k = 0; k < SHARED; k++) {
        objects[k] = (memory){ .project = "atlas", .key = keys[k] };
        OK(popoto_create(db, &Memory, &objects[k]));
    }
    worker workers[THREADS];
    pthread_t threads[THREADS];
    for (unsigned t = 0; t < THREADS; t++) {
        workers[t] = (worker){ .s = *state, .number = t };
        assert_int_equal(0, pthread_create(&threads[t], NULL, update_shared, &workers[t]));
    }
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    for (size_t k = 0; k < SHARED; k++) {
        popoto_confidence is;
        int64_t acknowledged = 0;
        for (unsigned t = 0; t < THREADS; t++)
            acknowledged += workers[t].acknowledged[k];
        OK(popoto_confidence_figures(db, &Memory, &objects[k], "certainty", &is));
        assert_int_equal(THREADS * UPDATES, acknowledged);
        assert_int_equal(acknowledged, is.evidence_count);
        assert_int_equal(acknowledged / 2, is.corroborations);
        assert_int_equal(acknowledged / 2, is.contradictions);
    }
    popoto_close(db);
    server_flush(*state);
}

/* ----- users who may only read ------------------------------------------------------------------ */

static void test_a_user_who_may_only_read(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "a" };
    fact f = { .id = "a", .owner = "atlas", .shelf = 1 };
    popoto_confidence is;
    popoto_migration_report *report;
    seen all = { 0 };
    char url[80];
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_create(db, &Fact, &f));
    popoto_close(db);
    assert_string_equal("OK",
                        server_command(*state, "ACL SETUSER reader on >secret ~* +@read +ping"));
    snprintf(url, sizeof(url), "redis://reader:secret@127.0.0.1:%d", server_port(*state));
    db = popoto_open(url, NULL);
    OK(popoto_ping(db));
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    f.owner = "elsewhere";
    OK(popoto_confidence_figures(db, &Fact, &f, "trust", &is));
    OK(scan(db, &Memory, "atlas", NULL, &all));
    assert_int_equal(1, all.count);
    char *before = strdup(server_dump(*state));
    FAILS(POPOTO_DENIED, popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, &is));
    /* There is nothing in the old hash, and so nothing to be denied. */
    OK(popoto_confidence_migrate(db, &Fact, "trust", NULL, &report));
    popoto_migration_report_free(report);
    assert_string_equal(before, server_dump(*state));
    free(before);
    popoto_close(db);
    server_command(*state, "ACL DELUSER reader");
    server_flush(*state);
}

/* ----- servers that do not answer, records, the other dialect ----------------------------------- */

static void test_a_server_that_does_not_answer(void **state) {
    popoto_options options = { .command_timeout = 150 };
    popoto_db *db = popoto_open(server_url(*state), &options);
    memory m = { .project = "atlas", .key = "a" };
    popoto_confidence is = { .evidence_count = 9 };
    popoto_signal signals[] = { { .object = &m, .signal = 1 }, { .object = &m, .signal = 2 } };
    seen all = { 0 };
    double got = 7;
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 1, NULL));
    server_freeze(*state);
    FAILS(POPOTO_UNKNOWN_OUTCOME, popoto_confidence_update(db, &Memory, &m, "certainty", 1, &is));
    assert_int_equal(0, is.evidence_count);
    server_thaw(*state);
    OK(popoto_ping(db));
    server_freeze(*state);
    FAILS(POPOTO_UNKNOWN_OUTCOME,
          popoto_confidence_update_many(db, &Memory, "certainty", signals, 2));
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME, signals[0].status);
    assert_int_equal(POPOTO_BAD_VALUE, signals[1].status);
    server_thaw(*state);
    OK(popoto_ping(db));
    server_freeze(*state);
    FAILS(POPOTO_TIMED_OUT, popoto_confidence_get(db, &Memory, &m, "certainty", &got));
    assert_true(got == 0);
    server_thaw(*state);
    OK(popoto_ping(db));
    server_freeze(*state);
    FAILS(POPOTO_TIMED_OUT, scan(db, &Memory, "atlas", NULL, &all));
    server_thaw(*state);
    assert_int_equal(0, all.count);
    /* Each update happened once or not at all. */
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_in_range(is.evidence_count, 1, 3);
    popoto_close(db);
    server_flush(*state);
}

static void test_records_described_at_run_time(void **state) {
    static const popoto_field fields[] = {
        { .name = "project", .kind = POPOTO_KIND_FIELD, .type = POPOTO_TEXT },
        { .name = "id", .kind = POPOTO_KIND_KEY, .type = POPOTO_INT },
        { .name = "trust",
          .kind = POPOTO_KIND_CONFIDENCE,
          .type = POPOTO_FLOAT,
          .partition_by = "project" },
    };
    static const popoto_model model = { .name = "Loose", .fields = fields, .field_count = 3 };
    popoto_db *db = opened(*state);
    popoto_record *record, *bare;
    popoto_confidence is;
    popoto_text key;
    OK(popoto_record_new(db, &model, &record));
    OK(popoto_record_set(record, "project", popoto_of_text("atlas")));
    OK(popoto_record_set(record, "id", popoto_of_int(7)));
    OK(popoto_create(db, &model, record));
    OK(popoto_confidence_update(db, &model, record, "trust", 0.9, &is));
    assert_true(is.confidence == 0.7);
    OK(popoto_confidence_key(db, &model, record, "trust", &key));
    assert_string_equal("$ConfidencF:Loose:trust:data:atlas", key.data);
    assert_string_equal(key.data, hash_of(*state, "Loose:7"));
    popoto_free(db, key.data);
    /* A record that has the key alone is as good. */
    OK(popoto_record_new(db, &model, &bare));
    OK(popoto_record_set(bare, "id", popoto_of_int(7)));
    OK(popoto_confidence_update(db, &model, bare, "trust", 0.9, &is));
    assert_int_equal(2, is.evidence_count);
    OK(popoto_confidence_figures(db, &model, bare, "trust", &is));
    assert_int_equal(2, is.evidence_count);
    OK(popoto_delete(db, &model, bare));
    assert_string_equal("", server_dump(*state));
    popoto_record_free(bare);
    popoto_record_free(record);
    popoto_close(db);
}

/* Popoto 1.10 escapes a record's key, and does not escape the partition of a companion hash. */
static void test_in_the_dialect_of_popoto(void **state) {
    popoto_options options = { .dialect = POPOTO_AS_POPOTO };
    popoto_db *db = popoto_open(server_url(*state), &options);
    memory m = { .project = "project-a", .key = "a" },
           other = { .project = "project-b", .key = "b" };
    popoto_confidence is;
    popoto_migration_report *report;
    seen all = { 0 }, own = { 0 };
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, &is));
    assert_string_equal("1",
                        server_command(*state, "HLEN $ConfidencF:Memory:certainty:data:project-a"));
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_int_equal(1, is.evidence_count);
    OK(scan(db, &Memory, "project-a", NULL, &all));
    assert_int_equal(1, all.count);
    m.project = "project-c";
    OK(popoto_save(db, &Memory, &m));
    assert_string_equal(
        "0", server_command(*state, "EXISTS $ConfidencF:Memory:certainty:data:project-a"));
    assert_string_equal("1",
                        server_command(*state, "HLEN $ConfidencF:Memory:certainty:data:project-c"));
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_int_equal(1, is.evidence_count);
    OK(popoto_delete(db, &Memory, &m));
    assert_string_equal("", server_dump(*state));
    /* One hash, a scope, a migration. */
    m = (memory){ .project = "project-a", .key = "a" };
    OK(popoto_create(db, &Open, &m));
    OK(popoto_create(db, &Open, &other));
    OK(popoto_scope_enter(db, "project", "project-b"));
    OK(scan(db, &Open, NULL, NULL, &own));
    assert_int_equal(1, own.count);
    OK(popoto_scope_leave(db));
    static const popoto_model Divided = { .name = "Open",
                                          .fields = memory_fields,
                                          .field_count = 3,
                                          .size = sizeof(memory),
                                          .object_offset = offsetof(memory, object) };
    OK(popoto_confidence_migrate(db, &Divided, "certainty", NULL, &report));
    assert_int_equal(2, report->migrated);
    assert_string_equal("project-a", report->partitions[0].name.data);
    popoto_migration_report_free(report);
    assert_string_equal("1",
                        server_command(*state, "HLEN $ConfidencF:Open:certainty:data:project-b"));
    popoto_close(db);
    server_flush(*state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_rule_for_every_cap_and_prior),
        server_test(test_signals_at_the_edges),
        server_test(test_refused_signals_change_nothing),
        server_test(test_no_record_no_entry),
        server_test(test_deleted_record_leaves_no_entry),
        server_test(test_record_without_entry_has_the_initial_figures),
        server_test(test_entries_of_other_writers),
        server_test(test_entries_for_other_readers),
        server_test(test_corrupt_entry_is_left_as_it_is),
        server_test(test_another_type_at_the_companion_key),
        server_test(test_update_many_with_mixed_outcomes),
        server_test(test_key_change_carries_the_entry),
        server_test(test_partition_change_carries_the_entry),
        server_test(test_stale_object_finds_the_right_hash),
        server_test(test_record_without_its_partition_field),
        server_test(test_reads_while_the_record_moves),
        server_test(test_reads_while_the_key_moves),
        server_test(test_scopes_complete_the_partition),
        server_test(test_every_call_without_its_arguments),
        server_test(test_every_allocation_failing_in_turn),
        server_test(test_scripts_that_the_server_forgot),
        server_test(test_threads_update_the_same_records),
        server_test(test_a_user_who_may_only_read),
        server_test(test_a_server_that_does_not_answer),
        server_test(test_records_described_at_run_time),
        server_test(test_in_the_dialect_of_popoto),
    };
    return cmocka_run_group_tests(tests, server_group_start_tcp, server_group_stop);
}
