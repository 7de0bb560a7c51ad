/* The migration of one companion hash to partitions, against a real server: its report, entries that have
 * no place, interruptions of every kind, and writers that go on meanwhile. What is stored is looked at by
 * a script of the server, past the library. */
#include "databases.h"
#include "failing_allocator.h"
#include "memories.h"
#include "server.h"

#include <popoto.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* ----- models, before they were given their partition_by ---------------------------------------- */

static const popoto_model OldMemory = POPOTO_MODEL("Memory", memory, undivided_memory_fields);
static const popoto_model OldFact = POPOTO_MODEL("Fact", fact, undivided_fact_fields);

#define OLD      "$ConfidencF:Memory:certainty:data"
#define OLD_FACT "$ConfidencF:Fact:trust:data"

/* ----- helpers -------------------------------------------------------------------------------- */

/* All entries of a field, in whatever hash: "N members, N twice; evidence N = N + N; digest". The digest
 * is of all members with their figures. */
static const char *census(server *s, const char *pattern) {
    static const char script[] =
        "local seen, lines, twice, e, p, c = {}, {}, 0, 0, 0, 0 "
        "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do "
        "  local all = redis.call('HGETALL', key) "
        "  for i = 1, #all, 2 do "
        "    local ok, f = pcall(cmsgpack.unpack, all[i + 1]) "
        "    if not ok or type(f) ~= 'table' then f = {} end "
        "    if seen[all[i]] then twice = twice + 1 end "
        "    seen[all[i]] = true "
        "    e = e + (f.evidence_count or 0) "
        "    p = p + (f.corroborations or 0) "
        "    c = c + (f.contradictions or 0) "
        "    lines[#lines + 1] = string.format('%s %.17g %d %d %d', all[i], f.confidence or -1, "
        "      f.evidence_count or -1, f.corroborations or -1, f.contradictions or -1) "
        "  end "
        "end "
        "table.sort(lines) "
        "return string.format('%d members, %d twice; evidence %d = %d + %d; %s', #lines, twice, e, "
        "p, c, "
        "  redis.sha1hex(table.concat(lines, '|')))";
    return server_command(s, "EVAL %s 0 %s", script, pattern);
}

#define MEMORY_HASHES "$ConfidencF:Memory:*"
#define FACT_HASHES   "$ConfidencF:Fact:*"

#define MOST 10000

static memory memories[MOST];
static char memory_keys[MOST][24];
static char memory_projects[MOST][24];
static fact facts[MOST];

/* `count` records stored by the old model, each with a signal or more. Every `atlas`-th of three belongs to
 * atlas: 2 of 3. */
static void make_memories(popoto_db *db, size_t count) {
    static void *objects[MOST];
    static popoto_signal signals[MOST];
    for (size_t i = 0; i < count; i++) {
        snprintf(memory_keys[i], sizeof(memory_keys[i]), "k%zu", i);
        memories[i] = (memory){ .project = i % 3 == 2 ? "hermes" : "atlas", .key = memory_keys[i] };
        objects[i] = &memories[i];
        signals[i] = (popoto_signal){ .object = &memories[i], .signal = (double)(i % 101) / 100 };
    }
    OK(popoto_create_many(db, &OldMemory, objects, count, NULL));
    OK(popoto_confidence_update_many(db, &OldMemory, "certainty", signals, count));
    OK(popoto_confidence_update_many(db, &OldMemory, "certainty", signals, count / 2));
}

static void make_facts(popoto_db *db, size_t count) {
    static void *objects[MOST];
    static popoto_signal signals[MOST];
    static const char *const owners[] = { "atlas", "hermes", "a:b" };
    for (size_t i = 0; i < count; i++) {
        snprintf(memory_keys[i], sizeof(memory_keys[i]), "k%zu", i);
        facts[i] =
            (fact){ .id = memory_keys[i], .owner = owners[i % 3], .shelf = (int64_t)(i % 2) };
        objects[i] = &facts[i];
        signals[i] = (popoto_signal){ .object = &facts[i], .signal = (double)(i % 101) / 100 };
    }
    OK(popoto_create_many(db, &OldFact, objects, count, NULL));
    OK(popoto_confidence_update_many(db, &OldFact, "trust", signals, count));
}

static size_t of_partition(const popoto_migration_report *report, const char *name) {
    for (size_t i = 0; i < report->partition_count; i++)
        if (strcmp(report->partitions[i].name.data, name) == 0) {
            assert_int_equal(strlen(name), report->partitions[i].name.size);
            return report->partitions[i].count;
        }
    return 0;
}

static const char *reason_of(const popoto_migration_report *report, const char *member) {
    const char *found = NULL;
    for (size_t i = 0; i < report->error_count; i++)
        if (strcmp(report->errors[i].member.data, member) == 0) {
            assert_null(found); /* listed once */
            found = report->errors[i].reason;
        }
    return found == NULL ? "(none)" : found;
}

/* ----- the report ----------------------------------------------------------------------------- */

/* {'total': 1200, 'migrated': 0, 'errors': [], 'partitions': {'atlas': 800, 'hermes': 400}} */
static void test_report_of_dry_run_and_run(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    make_memories(db, 1200);
    char *before = strdup(census(*state, MEMORY_HASHES));
    char *dump = strdup(server_dump(*state));
    OK(popoto_confidence_migrate(db, &Memory, "certainty",
                                 &(popoto_migration_desc){ .dry_run = true }, &report));
    assert_int_equal(1200, report->total);
    assert_int_equal(0, report->migrated);
    assert_int_equal(0, report->error_count);
    assert_int_equal(2, report->partition_count);
    assert_string_equal("atlas", report->partitions[0].name.data);
    assert_int_equal(800, report->partitions[0].count);
    assert_string_equal("hermes", report->partitions[1].name.data);
    assert_int_equal(400, report->partitions[1].count);
    popoto_migration_report_free(report);
    assert_string_equal(dump, server_dump(*state)); /* a dry run changes nothing */
    free(dump);

    OK(popoto_confidence_migrate(db, &Memory, "certainty", NULL, &report));
    assert_int_equal(1200, report->total);
    assert_int_equal(1200, report->migrated);
    assert_int_equal(0, report->error_count);
    assert_int_equal(2, report->partition_count);
    assert_int_equal(800, of_partition(report, "atlas"));
    assert_int_equal(400, of_partition(report, "hermes"));
    popoto_migration_report_free(report);
    assert_string_equal("0", server_command(*state, "EXISTS " OLD));
    assert_string_equal("800", server_command(*state, "HLEN " OLD ":atlas"));
    assert_string_equal("400", server_command(*state, "HLEN " OLD ":hermes"));
    assert_string_equal(before, census(*state, MEMORY_HASHES)); /* all figures, for every member */

    /* Once more: there is nothing to do. */
    for (int dry = 0; dry < 2; dry++) {
        OK(popoto_confidence_migrate(db, &Memory, "certainty",
                                     &(popoto_migration_desc){ .dry_run = dry == 1 }, &report));
        assert_int_equal(0, report->total);
        assert_int_equal(0, report->migrated);
        assert_int_equal(0, report->error_count);
        assert_int_equal(0, report->partition_count);
        popoto_migration_report_free(report);
    }
    assert_string_equal(before, census(*state, MEMORY_HASHES));
    free(before);
    popoto_close(db);
    server_flush(*state);
}

/* So many at a time: what one call leaves the next goes on with, entries that cannot be placed or not. */
static void test_a_bit_at_a_time(void **state) {
    static const size_t moved[] = { 500, 500, 199, 0 };
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    popoto_migration_desc desc = { .limit = 500, .dry_run = true };
    make_memories(db, 1200);
    server_command(*state, "DEL Memory:atlas:k0");
    char *before = strdup(census(*state, MEMORY_HASHES));
    OK(popoto_confidence_migrate(db, &Memory, "certainty", &desc, &report));
    assert_int_equal(1200, report->total);
    assert_int_equal(500, of_partition(report, "atlas") + of_partition(report, "hermes"));
    popoto_migration_report_free(report);
    desc.dry_run = false;
    size_t left = 1200;
    for (int i = 0; i < 4; i++) {
        OK(popoto_confidence_migrate(db, &Memory, "certainty", &desc, &report));
        assert_int_equal(left, report->total);
        assert_int_equal(moved[i], report->migrated);
        assert_true(report->error_count <= 1);
        assert_int_equal(i >= 2 ? 1 : report->error_count, report->error_count);
        left -= moved[i];
        popoto_migration_report_free(report);
        assert_string_equal(before, census(*state, MEMORY_HASHES));
    }
    assert_int_equal(1, left);
    desc.limit = 1; /* it is not used up by the entry that stays */
    memory one = { .project = "atlas", .key = "more" };
    OK(popoto_create(db, &OldMemory, &one));
    OK(popoto_confidence_update(db, &OldMemory, &one, "certainty", 1, NULL));
    OK(popoto_confidence_migrate(db, &Memory, "certainty", &desc, &report));
    assert_int_equal(1, report->migrated);
    popoto_migration_report_free(report);
    free(before);
    popoto_close(db);
    server_flush(*state);
}

static void test_partitions_by_two_fields_that_are_no_part_of_the_key(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    make_facts(db, 600);
    char *before = strdup(census(*state, FACT_HASHES));
    for (int dry = 1; dry >= 0; dry--) {
        OK(popoto_confidence_migrate(db, &Fact, "trust",
                                     &(popoto_migration_desc){ .dry_run = dry == 1 }, &report));
        assert_int_equal(600, report->total);
        assert_int_equal(dry ? 0 : 600, report->migrated);
        assert_int_equal(0, report->error_count);
        assert_int_equal(6, report->partition_count);
        assert_int_equal(100, of_partition(report, "atlas:0"));
        assert_int_equal(100, of_partition(report, "atlas:1"));
        assert_int_equal(100, of_partition(report, "a:b:1"));
        popoto_migration_report_free(report);
    }
    assert_string_equal("0", server_command(*state, "EXISTS " OLD_FACT));
    assert_string_equal("100", server_command(*state, "HLEN " OLD_FACT ":hermes:1"));
    assert_string_equal(before, census(*state, FACT_HASHES));
    free(before);
    popoto_close(db);
    server_flush(*state);
}

static void test_ten_thousand_partitions(void **state) {
    static void *objects[MOST];
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    for (size_t i = 0; i < MOST; i++) {
        snprintf(memory_keys[i], sizeof(memory_keys[i]), "k%zu", i);
        snprintf(memory_projects[i], sizeof(memory_projects[i]), "p%zu", i);
        memories[i] = (memory){ .project = memory_projects[i], .key = memory_keys[i] };
        objects[i] = &memories[i];
    }
    OK(popoto_create_many(db, &OldMemory, objects, MOST, NULL));
    char *before = strdup(census(*state, MEMORY_HASHES));
    for (int dry = 1; dry >= 0; dry--) {
        OK(popoto_confidence_migrate(db, &Memory, "certainty",
                                     &(popoto_migration_desc){ .dry_run = dry == 1 }, &report));
        assert_int_equal(MOST, report->total);
        assert_int_equal(dry ? 0 : MOST, report->migrated);
        assert_int_equal(MOST, report->partition_count);
        for (size_t i = 0; i < MOST; i++) {
            assert_int_equal(1, report->partitions[i].count);
            if (i > 0) /* by name */
                assert_true(strcmp(report->partitions[i - 1].name.data,
                                   report->partitions[i].name.data) < 0);
        }
        popoto_migration_report_free(report);
    }
    assert_string_equal(before, census(*state, MEMORY_HASHES));
    free(before);
    popoto_close(db);
    server_flush(*state);
}

/* Entries of both sides become one: nothing is lost, nothing counts twice. */
static void test_entries_on_both_sides_are_merged(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    popoto_confidence is;
    memory m = { .project = "atlas", .key = "a" };
    OK(popoto_create(db, &OldMemory, &m));
    OK(popoto_save(db, &Memory, &m)); /* has an entry of no evidence in its partition as well */
    OK(popoto_confidence_update(db, &OldMemory, &m, "certainty", 0.9, NULL));
    OK(popoto_confidence_migrate(db, &Memory, "certainty", NULL, &report));
    popoto_migration_report_free(report);
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_true(is.confidence == 0.7);
    assert_int_equal(1, is.evidence_count);

    OK(popoto_confidence_update(db, &OldMemory, &m, "certainty", 0.2, NULL));
    OK(popoto_confidence_update(db, &OldMemory, &m, "certainty", 1, NULL));
    OK(popoto_confidence_migrate(db, &Memory, "certainty", NULL, &report));
    assert_int_equal(1, report->migrated);
    popoto_migration_report_free(report);
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_int_equal(3, is.evidence_count);
    assert_int_equal(2, is.corroborations);
    assert_int_equal(1, is.contradictions);
    assert_true(is.confidence > 0.65 - 1e-12 &&
                is.confidence < 0.65 + 1e-12); /* (0.5+0.9+0.2+1)/4 */
    assert_string_equal("0", server_command(*state, "EXISTS " OLD));
    popoto_close(db);
    server_flush(*state);
}

/* ----- entries without a place ----------------------------------------------------------------- */

static void test_entries_without_a_place_stay(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    make_facts(db, 300);
    server_command(*state, "DEL Fact:k0");
    server_command(*state, "HSET Fact:k1 owner %b", "\x07", (size_t)1);
    server_command(*state, "HSET Fact:k2 owner %b", "\xc1", (size_t)1);
    server_command(*state, "HDEL Fact:k3 owner");
    server_command(*state, "HDEL Fact:k4 owner shelf");
    server_command(*state, "HSET " OLD_FACT " Fact:k5 nonsense");
    server_command(*state, "DEL Fact:k6");
    server_command(*state, "SET Fact:k6 text");
    server_command(*state, "HSET Fact:k7 owner %b", "\xc0", (size_t)1);
    server_command(*state, "HSET " OLD_FACT " stranger %b", "\x80", (size_t)1);
    server_command(*state, "HSET " OLD_FACT " Fact:a:b %b", "\x80", (size_t)1);
    server_command(*state, "HSET " OLD_FACT " %b %b", "Fact\0:k9", (size_t)8, "\x80", (size_t)1);
    char *before = strdup(census(*state, FACT_HASHES));
    for (int round = 0; round < 4; round++) {
        bool dry = round % 2 == 0;
        OK(popoto_confidence_migrate(db, &Fact, "trust", &(popoto_migration_desc){ .dry_run = dry },
                                     &report));
        assert_int_equal(round < 2 ? 303 : 11, report->total);
        assert_int_equal(round == 1 ? 292 : 0, report->migrated);
        assert_int_equal(11, report->error_count);
        assert_int_equal(round < 2 ? 6 : 0, report->partition_count);
        assert_string_equal("'Fact:k0' is not there: it was deleted, or expired",
                            reason_of(report, "Fact:k0"));
        assert_string_equal("'Fact:k1': the stored owner cannot be used: it is of another type",
                            reason_of(report, "Fact:k1"));
        assert_non_null(strstr(reason_of(report, "Fact:k2"), "the stored owner cannot be used"));
        assert_non_null(strstr(reason_of(report, "Fact:k3"), "lacks owner"));
        assert_non_null(strstr(reason_of(report, "Fact:k4"), "lacks owner"));
        assert_string_equal("its entry in '" OLD_FACT "' is no confidence entry",
                            reason_of(report, "Fact:k5"));
        assert_string_not_equal("(none)", reason_of(report, "Fact:k6"));
        assert_non_null(strstr(reason_of(report, "Fact:k7"), "the stored owner cannot be used"));
        assert_string_equal("'stranger' is no key of Fact", reason_of(report, "stranger"));
        assert_string_equal("'Fact:a:b' is no key of Fact", reason_of(report, "Fact:a:b"));
        popoto_migration_report_free(report);
        assert_string_equal("11", round == 0 ? "11" : server_command(*state, "HLEN " OLD_FACT));
        assert_string_equal(before, census(*state, FACT_HASHES));
    }
    /* Mended, they go too. */
    server_command(*state, "HSET Fact:k1 owner %b",
                   "\xa5"
                   "atlas",
                   (size_t)6);
    OK(popoto_confidence_migrate(db, &Fact, "trust", NULL, &report));
    assert_int_equal(1, report->migrated);
    assert_int_equal(10, report->error_count);
    popoto_migration_report_free(report);
    assert_string_equal(before, census(*state, FACT_HASHES));
    free(before);
    popoto_close(db);
    server_flush(*state);
}

static void test_many_entries_without_a_place_are_listed_once(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    make_memories(db, 6000);
    /* The hash shrinks while it is scanned: one in thirty stays. */
    for (size_t i = 0; i < 6000; i += 30)
        server_command(*state, "DEL Memory:%s:%s", memories[i].project, memories[i].key);
    char *before = strdup(census(*state, MEMORY_HASHES));
    OK(popoto_confidence_migrate(db, &Memory, "certainty", NULL, &report));
    assert_int_equal(6000, report->total);
    assert_int_equal(5800, report->migrated);
    assert_int_equal(200, report->error_count);
    assert_int_equal(3800, of_partition(report, "atlas"));
    assert_int_equal(2000, of_partition(report, "hermes"));
    for (size_t i = 0; i < 6000; i += 30) {
        char member[40];
        snprintf(member, sizeof(member), "Memory:%s:%s", memories[i].project, memories[i].key);
        assert_non_null(strstr(reason_of(report, member), "is not there"));
    }
    popoto_migration_report_free(report);
    assert_string_equal(before, census(*state, MEMORY_HASHES));
    free(before);
    popoto_close(db);
    server_flush(*state);
}

static void test_a_partition_that_cannot_take_entries(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    make_memories(db, 30);
    server_command(*state, "SET " OLD ":hermes precious");
    server_command(*state, "HSET " OLD ":atlas Memory:atlas:k0 nonsense");
    OK(popoto_confidence_migrate(db, &Memory, "certainty", NULL, &report));
    assert_int_equal(19, report->migrated);
    assert_int_equal(11, report->error_count);
    assert_string_equal("its entry in '" OLD ":atlas' is no confidence entry",
                        reason_of(report, "Memory:atlas:k0"));
    assert_non_null(strstr(reason_of(report, "Memory:hermes:k2"), "WRONGTYPE"));
    popoto_migration_report_free(report);
    assert_string_equal("11", server_command(*state, "HLEN " OLD));
    assert_string_equal("precious", server_command(*state, "GET " OLD ":hermes"));
    assert_string_equal("nonsense", server_command(*state, "HGET " OLD ":atlas Memory:atlas:k0"));
    /* The old hash itself is of another type. */
    server_command(*state, "DEL " OLD);
    server_command(*state, "SET " OLD " precious");
    FAILS(POPOTO_CORRUPT, popoto_confidence_migrate(db, &Memory, "certainty", NULL, &report));
    assert_non_null(report);
    assert_int_equal(0, report->total);
    popoto_migration_report_free(report);
    popoto_close(db);
    server_flush(*state);
}

/* ----- interruptions -------------------------------------------------------------------------- */

typedef struct progress {
    server *s;
    size_t calls;
    size_t stop_at; /* this call; 0: never */
    size_t last_done;
    size_t total;
    bool forgets;  /* SCRIPT FLUSH at each call */
    popoto_db *db; /* used by the callback; NULL: not */
} progress;

static bool go_on(void *context, size_t done, size_t total) {
    progress *it = context;
    assert_true(done >= it->last_done);
    assert_true(done <= total);
    assert_true(it->calls == 0 || total == it->total);
    it->last_done = done;
    it->total = total;
    if (it->forgets)
        server_command(it->s, "SCRIPT FLUSH");
    if (it->db != NULL) {
        popoto_db *db = it->db;
        popoto_confidence is;
        memory m = { .project = "atlas", .key = "k0" };
        OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
        FAILS(POPOTO_BAD_VALUE, popoto_confidence_update(db, &Memory, &m, "certainty", 7, NULL));
    }
    return ++it->calls != it->stop_at;
}

static void test_progress(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    make_memories(db, 3000);
    server_command(*state, "DEL Memory:atlas:k1");
    for (int dry = 1; dry >= 0; dry--) {
        progress p = { .db = db };
        popoto_migration_desc desc = { .dry_run = dry == 1, .progress = go_on, .context = &p };
        OK(popoto_confidence_migrate(db, &Memory, "certainty", &desc, &report));
        assert_int_equal(1, report->error_count);
        popoto_migration_report_free(report);
        assert_int_equal(3000, p.total);
        assert_int_equal(3000, p.last_done);
        assert_true(p.calls >= 3000 / 600);
    }
    popoto_close(db);
    server_flush(*state);
}

static void test_interrupted_at_every_batch_and_run_again(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    make_memories(db, 2000);
    char *before = strdup(census(*state, MEMORY_HASHES));
    size_t moved = 0;
    for (size_t runs = 1;; runs++) {
        progress p = { .stop_at = 1 };
        popoto_migration_desc desc = { .progress = go_on, .context = &p };
        popoto_status status = popoto_confidence_migrate(db, &Memory, "certainty", &desc, &report);
        assert_non_null(report);
        assert_int_equal(2000 - moved, report->total);
        moved += report->migrated;
        assert_int_equal(report->migrated,
                         of_partition(report, "atlas") + of_partition(report, "hermes"));
        popoto_migration_report_free(report);
        assert_string_equal(before, census(*state, MEMORY_HASHES));
        if (status == POPOTO_OK)
            break;
        assert_int_equal(POPOTO_STOPPED, status);
        assert_true(runs < 50);
    }
    assert_int_equal(2000, moved);
    assert_string_equal("0", server_command(*state, "EXISTS " OLD));
    free(before);
    popoto_close(db);
    server_flush(*state);
}

static void test_server_that_forgets_its_scripts(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    make_facts(db, 2000);
    char *before = strdup(census(*state, FACT_HASHES));
    progress p = { .s = *state, .forgets = true };
    popoto_migration_desc desc = { .progress = go_on, .context = &p };
    OK(popoto_confidence_migrate(db, &Fact, "trust", &desc, &report));
    assert_int_equal(2000, report->migrated);
    assert_int_equal(0, report->error_count);
    popoto_migration_report_free(report);
    assert_string_equal(before, census(*state, FACT_HASHES));
    free(before);
    popoto_close(db);
    server_flush(*state);
}

static void pause_for(long microseconds) {
    struct timespec time = { microseconds / 1000000, microseconds % 1000000 * 1000 };
    nanosleep(&time, NULL);
}

/* At any moment, also between the question where an entry belongs and its move. */
typedef struct forgetter {
    server *s;
    atomic_bool stop;
} forgetter;

static void *forget_all_the_time(void *context) {
    forgetter *it = context;
    while (!atomic_load(&it->stop))
        server_command(it->s, "SCRIPT FLUSH");
    return NULL;
}

static void test_server_that_forgets_its_scripts_all_the_time(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    for (int round = 0; round < 5; round++) {
        make_facts(db, 600);
        char *before = strdup(census(*state, FACT_HASHES));
        forgetter other = { .s = *state };
        pthread_t thread;
        assert_int_equal(0, pthread_create(&thread, NULL, forget_all_the_time, &other));
        popoto_status status = popoto_confidence_migrate(db, &Fact, "trust", NULL, &report);
        atomic_store(&other.stop, true);
        pthread_join(thread, NULL);
        OK(status);
        assert_int_equal(600, report->migrated);
        popoto_migration_report_free(report);
        assert_string_equal(before, census(*state, FACT_HASHES));
        free(before);
        server_flush(*state);
    }
    popoto_close(db);
}

static pid_t migrate_in_a_child(server *s) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child != 0)
        return child;
    popoto_migration_report *report;
    popoto_db *db = popoto_open(server_url(s), NULL);
    _exit(popoto_confidence_migrate(db, &Fact, "trust", NULL, &report) == POPOTO_OK ? 0 : 1);
}

static void test_killed_at_random_moments_and_run_again(void **state) {
    popoto_db *db = opened(*state);
    make_facts(db, 3000);
    char *before = strdup(census(*state, FACT_HASHES));
    int kills = 0, status = -1;
    unsigned seed = 1;
    do {
        pid_t child = migrate_in_a_child(*state);
        seed = seed * 1103515245u + 12345u;
        pause_for(1000 + (long)(seed >> 16) % 12000);
        kill(child, SIGKILL);
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        kills += WIFSIGNALED(status);
        pause_for(20000); /* the server finishes what it was sent */
        assert_string_equal(before, census(*state, FACT_HASHES));
    } while (WIFSIGNALED(status) && kills < 15);
    popoto_migration_report *report;
    OK(popoto_confidence_migrate(db, &Fact, "trust", NULL, &report));
    popoto_migration_report_free(report);
    assert_string_equal("0", server_command(*state, "EXISTS " OLD_FACT));
    assert_string_equal(before, census(*state, FACT_HASHES));
    free(before);
    popoto_close(db);
    server_flush(*state);
}

/* The server stops answering in the middle: what was under way is not known, and nothing is lost. */
static bool freeze(void *context, size_t done, size_t total) {
    (void)done;
    (void)total;
    server_freeze(context);
    return true;
}

static void test_server_that_stops_answering(void **state) {
    popoto_options options = { .command_timeout = 150 };
    popoto_db *db = popoto_open(server_url(*state), &options);
    make_memories(db, 2000);
    char *before = strdup(census(*state, MEMORY_HASHES));
    for (int dry = 1; dry >= 0; dry--) {
        popoto_migration_report *report;
        popoto_migration_desc desc = { .dry_run = dry == 1, .progress = freeze, .context = *state };
        popoto_status status = popoto_confidence_migrate(db, &Memory, "certainty", &desc, &report);
        server_thaw(*state);
        /* Where the next page is asked for, or on a dry run, that was a read. */
        assert_true(status == POPOTO_TIMED_OUT || (!dry && status == POPOTO_UNKNOWN_OUTCOME));
        assert_non_null(report);
        assert_int_equal(2000, report->total);
        assert_true(report->migrated <= 2000);
        popoto_migration_report_free(report);
        pause_for(20000);
        assert_string_equal(before, census(*state, MEMORY_HASHES));
    }
    popoto_migration_report *report;
    OK(popoto_confidence_migrate(db, &Memory, "certainty", NULL, &report));
    assert_int_equal(0, report->error_count);
    popoto_migration_report_free(report);
    assert_string_equal("0", server_command(*state, "EXISTS " OLD));
    assert_string_equal(before, census(*state, MEMORY_HASHES));
    free(before);
    popoto_close(db);
    server_flush(*state);
}

/* ----- writers that go on ---------------------------------------------------------------------- */

#define WRITERS 4
#define RECORDS 300

typedef struct writer {
    server *s;
    bool old_model; /* has not been told of the partitions yet */
    bool of_facts;
    unsigned number;
    const atomic_bool *stop;
    long pro, contra;
} writer;

static void *update_all_the_time(void *context) {
    writer *it = context;
    popoto_db *db = opened(it->s);
    const popoto_model *model =
        it->of_facts ? (it->old_model ? &OldFact : &Fact) : (it->old_model ? &OldMemory : &Memory);
    static const char *const owners[] = { "atlas", "hermes", "a:b" };
    unsigned random = it->number * 7919u + 1;
    while (!atomic_load(it->stop)) {
        popoto_signal signals[20];
        memory m[20];
        fact f[20];
        for (size_t i = 0; i < 20; i++) {
            random = random * 1103515245u + 12345u;
            size_t which = (random >> 16) % RECORDS;
            m[i] = (memory){ .project = which % 3 == 2 ? "hermes" : "atlas",
                             .key = memory_keys[which] };
            f[i] = (fact){ .id = memory_keys[which],
                           .owner = owners[which % 3],
                           .shelf = (int64_t)(which % 2) };
            signals[i] = (popoto_signal){ .object = it->of_facts ? (void *)&f[i] : (void *)&m[i],
                                          .signal = (double)(random >> 8 & 255) / 255 };
        }
        OK(popoto_confidence_update_many(db, model, it->of_facts ? "trust" : "certainty", signals,
                                         20));
        for (size_t i = 0; i < 20; i++)
            *(signals[i].signal >= 0.5 ? &it->pro : &it->contra) += 1;
    }
    popoto_close(db);
    return NULL;
}

/* Whatever the writers know of partitions, all acknowledged updates are counted, once. */
static void migrate_under_writers(server *s, bool of_facts, int old_models) {
    popoto_db *db = opened(s);
    atomic_bool stop = false;
    writer writers[WRITERS];
    pthread_t threads[WRITERS];
    popoto_migration_report *report;
    const popoto_model *model = of_facts ? &Fact : &Memory;
    const char *field = of_facts ? "trust" : "certainty";
    long pro = 0, contra = 0;
    if (of_facts)
        make_facts(db, RECORDS);
    else
        make_memories(db, RECORDS);
    const char *figures = census(s, of_facts ? FACT_HASHES : MEMORY_HASHES);
    assert_int_equal(2, sscanf(strstr(figures, "= ") + 2, "%ld + %ld", &pro, &contra));
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (writer){ .s = s,
                               .old_model = (int)i < old_models,
                               .of_facts = of_facts,
                               .number = i,
                               .stop = &stop };
        assert_int_equal(0, pthread_create(&threads[i], NULL, update_all_the_time, &writers[i]));
    }
    for (int runs = 0; runs < 4; runs++) {
        pause_for(40000);
        OK(popoto_confidence_migrate(db, model, field, NULL, &report));
        assert_int_equal(0, report->error_count);
        popoto_migration_report_free(report);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(writers[i].pro > 0);
        pro += writers[i].pro;
        contra += writers[i].contra;
    }
    OK(popoto_confidence_migrate(db, model, field, NULL, &report));
    assert_int_equal(0, report->error_count);
    popoto_migration_report_free(report);
    assert_string_equal("0", server_command(s, "EXISTS %s", of_facts ? OLD_FACT : OLD));
    char expected[120];
    snprintf(expected, sizeof(expected), "%d members, 0 twice; evidence %ld = %ld + %ld;", RECORDS,
             pro + contra, pro, contra);
    figures = census(s, of_facts ? FACT_HASHES : MEMORY_HASHES);
    assert_memory_equal(expected, figures, strlen(expected));
    popoto_close(db);
    server_flush(s);
}

static void test_while_writers_update_through_the_new_model(void **state) {
    migrate_under_writers(*state, false, 0);
    migrate_under_writers(*state, true, 0);
}

static void test_while_writers_update_through_the_old_model(void **state) {
    migrate_under_writers(*state, false, WRITERS);
    migrate_under_writers(*state, true, WRITERS);
}

static void test_while_writers_update_through_both_models(void **state) {
    migrate_under_writers(*state, false, WRITERS / 2);
    migrate_under_writers(*state, true, WRITERS / 2);
}

/* Records change their partition while their entries are moved there. */
typedef struct shifter {
    server *s;
    const atomic_bool *stop;
} shifter;

static void *shift_all_the_time(void *context) {
    shifter *it = context;
    popoto_db *db = opened(it->s);
    for (unsigned i = 0; !atomic_load(it->stop); i++) {
        fact f = { .id = memory_keys[i % RECORDS], .owner = "atlas", .shelf = i / 100 % 7 };
        OK(popoto_save_with(db, &Fact, &f, &(popoto_save_desc){ .only = "owner,shelf" }));
    }
    popoto_close(db);
    return NULL;
}

static void test_while_records_change_their_partition(void **state) {
    popoto_db *db = opened(*state);
    atomic_bool stop = false;
    popoto_migration_report *report;
    make_facts(db, RECORDS);
    char before[100];
    snprintf(before, sizeof(before), "%s", census(*state, FACT_HASHES));
    *strrchr(before, ';') = '\0';
    shifter other = { *state, &stop };
    pthread_t thread;
    assert_int_equal(0, pthread_create(&thread, NULL, shift_all_the_time, &other));
    for (int runs = 0; runs < 30; runs++) {
        OK(popoto_confidence_migrate(db, &Fact, "trust", NULL, &report));
        assert_int_equal(0, report->error_count);
        popoto_migration_report_free(report);
        pause_for(10000);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    assert_string_equal("0", server_command(*state, "EXISTS " OLD_FACT));
    assert_memory_equal(before, census(*state, FACT_HASHES), strlen(before));
    /* Each entry is where its record says. */
    for (size_t i = 0; i < RECORDS; i++) {
        popoto_confidence is;
        fact f = { .id = memory_keys[i] };
        OK(popoto_confidence_figures(db, &Fact, &f, "trust", &is));
        assert_int_equal(1, is.evidence_count);
    }
    popoto_close(db);
    server_flush(*state);
}

/* ----- refusals, memory that runs out ------------------------------------------------------------ */

static void test_migrations_that_make_no_sense(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report = (popoto_migration_report *)1;
    FAILS(POPOTO_BAD_ARGUMENT,
          popoto_confidence_migrate(db, &OldMemory, "certainty", NULL, &report));
    assert_null(report);
    assert_non_null(strstr(popoto_error(db), "Memory.certainty has no partition_by"));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_migrate(db, &Memory, "key", NULL, &report));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_migrate(db, NULL, "certainty", NULL, &report));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_confidence_migrate(db, &Memory, "certainty", NULL, NULL));
    assert_int_equal(POPOTO_BAD_ARGUMENT,
                     popoto_confidence_migrate(NULL, &Memory, "certainty", NULL, &report));
    assert_null(report);
    popoto_migration_report_free(NULL);
    /* In one tenant's scope there is no moving of everybody's entries. */
    make_memories(db, 3);
    char *before = strdup(server_dump(*state));
    OK(popoto_scope_enter(db, "project", "atlas"));
    for (int dry = 0; dry < 2; dry++) {
        FAILS(POPOTO_BAD_SCOPE,
              popoto_confidence_migrate(db, &Memory, "certainty",
                                        &(popoto_migration_desc){ .dry_run = dry == 1 }, &report));
        assert_null(report);
    }
    OK(popoto_scope_leave(db));
    OK(popoto_scope_enter(db, "unrelated", "atlas"));
    OK(popoto_confidence_migrate(db, &Memory, "certainty",
                                 &(popoto_migration_desc){ .dry_run = true }, &report));
    assert_int_equal(3, report->total);
    popoto_migration_report_free(report);
    assert_string_equal(before, server_dump(*state));
    free(before);
    popoto_close(db);
    server_flush(*state);
}

static void test_every_allocation_failing_in_turn(void **state) {
    popoto_db *setup = opened(*state), *db = setup;
    for (int dry = 0; dry < 2; dry++)
        for (size_t n = 1;; n++) {
            failing_allocator counted;
            popoto_migration_report *report = NULL;
            popoto_migration_desc desc = { .dry_run = dry == 1 };
            server_flush(*state);
            db = setup;
            make_facts(db, 4);
            server_command(*state, "HSET " OLD_FACT " stranger %b", "\x80", (size_t)1);
            char *before = strdup(census(*state, FACT_HASHES));
            failing_allocator_init(&counted, n);
            popoto_options options = { .allocator = counted.allocator };
            db = popoto_open(server_url(*state), &options);
            popoto_status status =
                db == NULL ? POPOTO_NO_MEMORY
                           : popoto_confidence_migrate(db, &Fact, "trust", &desc, &report);
            assert_true(status == POPOTO_NO_MEMORY || report != NULL);
            popoto_migration_report_free(report);
            assert_string_equal(before, census(*state, FACT_HASHES));
            if (!counted.failed)
                OK(status);
            else if (status != POPOTO_OK)
                assert_true(status == POPOTO_NO_MEMORY || status == POPOTO_UNKNOWN_OUTCOME);
            if (db != NULL && counted.failed && status != POPOTO_OK) {
                OK(popoto_confidence_migrate(db, &Fact, "trust", &desc, &report));
                assert_int_equal(1, report->error_count);
                popoto_migration_report_free(report);
                assert_string_equal(before, census(*state, FACT_HASHES));
                assert_string_equal(dry ? "5" : "1", server_command(*state, "HLEN " OLD_FACT));
            }
            free(before);
            popoto_close(db);
            assert_int_equal(0, counted.live_blocks);
            if (!counted.failed)
                break;
            assert_true(n < 500);
        }
    popoto_close(setup);
    server_flush(*state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_report_of_dry_run_and_run),
        server_test(test_a_bit_at_a_time),
        server_test(test_partitions_by_two_fields_that_are_no_part_of_the_key),
        server_test(test_ten_thousand_partitions),
        server_test(test_entries_on_both_sides_are_merged),
        server_test(test_entries_without_a_place_stay),
        server_test(test_many_entries_without_a_place_are_listed_once),
        server_test(test_a_partition_that_cannot_take_entries),
        server_test(test_progress),
        server_test(test_interrupted_at_every_batch_and_run_again),
        server_test(test_server_that_forgets_its_scripts),
        server_test(test_server_that_forgets_its_scripts_all_the_time),
        server_test(test_killed_at_random_moments_and_run_again),
        server_test(test_server_that_stops_answering),
        server_test(test_while_writers_update_through_the_new_model),
        server_test(test_while_writers_update_through_the_old_model),
        server_test(test_while_writers_update_through_both_models),
        server_test(test_while_records_change_their_partition),
        server_test(test_migrations_that_make_no_sense),
        server_test(test_every_allocation_failing_in_turn),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
