/* popoto_migrate_to_strict: what a strict model would have written is what is there afterwards, figures
 * included; what cannot go stays and is listed; it may be interrupted, and others write meanwhile. */
#include "databases.h"
#include "failing_allocator.h"
#include "index_checker.h"
#include "server.h"

#include <popoto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

typedef struct page {
    popoto_object object;
    const char *project;
    const char *name;
    const char *owner;
    const char *shelf;
    int64_t rank;
    double weight;
    double trust, belief;
    const char *note;
} page;

static const popoto_field old_fields[] = {
    POPOTO_KEY(page, owner),
    POPOTO_KEY(page, project),
    POPOTO_UNIQUE_KEY(page, name),
    POPOTO_FIELD(page, shelf),
    POPOTO_SORTED(page, rank, .partition_by = "project"),
    POPOTO_SORTED(page, weight, .partition_by = "project,shelf"),
    POPOTO_CONFIDENCE(page, trust, .partition_by = "project"),
    POPOTO_CONFIDENCE(page, belief, .partition_by = "shelf"),
    POPOTO_FIELD(page, note, .null = true),
};
static const popoto_field new_fields[] = {
    POPOTO_TENANT(page, project),
    POPOTO_KEY(page, owner),
    POPOTO_UNIQUE_KEY(page, name),
    POPOTO_FIELD(page, shelf),
    POPOTO_SORTED(page, rank, .partition_by = "project"),
    POPOTO_SORTED(page, weight, .partition_by = "project,shelf"),
    POPOTO_CONFIDENCE(page, trust),
    POPOTO_CONFIDENCE(page, belief, .partition_by = "shelf"),
    POPOTO_FIELD(page, note, .null = true),
};
static const popoto_model Old = POPOTO_MODEL("Page", page, old_fields);
static const popoto_model New = POPOTO_MODEL("Page", page, new_fields);
static const popoto_strict_migration_desc plain = { .from = &Old, .to = &New };

static page numbered(const char *project, int number, char name[32]) {
    snprintf(name, 32, "n%d", number);
    return (page){ .project = project,
                   .name = name,
                   .owner = number % 3 ? "o:1" : "",
                   .shelf = number % 2 ? "a" : "b",
                   .rank = number,
                   .weight = number / 8.0 };
}

static void create(popoto_db *db, const popoto_model *model, const char *project, int number) {
    char name[32];
    page it = numbered(project, number, name);
    assert_ok(db, popoto_create(db, model, &it));
    for (int i = 0; i < number % 3; i++) {
        assert_ok(db, popoto_confidence_update(db, model, &it, "trust", 1, NULL));
        assert_ok(db, popoto_confidence_update(db, model, &it, "belief", 0, NULL));
    }
}

static const char *project_of(int number) {
    static const char *const projects[] = { "a", "b-1", "{x}:y", "caf\xc3\xa9 *" };
    return projects[number % 4];
}

/* ----- Tests --------------------------------------------------------------------------------------- */

static void test_what_a_strict_model_would_have_written(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_migration_report *report;
    for (int i = 0; i < 600; i++)
        create(db, &New, project_of(i), i);
    server_command(s, "DEL $Tenants:Page");
    char *wanted = strdup(server_dump(s));
    server_flush(s);
    popoto_close(db);
    db = opened(s); /* one that has put no tenant on the list yet */
    for (int i = 0; i < 600; i++)
        create(db, &Old, project_of(i), i);
    char *before = strdup(server_dump(s));
    /* First only asked for. */
    popoto_strict_migration_desc desc = plain;
    desc.dry_run = true;
    assert_ok(db, popoto_migrate_to_strict(db, &desc, &report));
    assert_int_equal(600, report->total);
    assert_int_equal(0, report->migrated);
    assert_int_equal(0, report->error_count);
    assert_int_equal(4, report->partition_count);
    popoto_migration_report_free(report);
    assert_string_equal(before, server_dump(s));
    assert_ok(db, popoto_migrate_to_strict(db, &plain, &report));
    assert_int_equal(600, report->total);
    assert_int_equal(600, report->migrated);
    assert_int_equal(0, report->error_count);
    assert_int_equal(4, report->partition_count);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(150, report->partitions[i].count);
    assert_string_equal("a", report->partitions[0].name.data);
    popoto_migration_report_free(report);
    assert_string_equal("4", server_command(s, "SCARD $Tenants:Page"));
    server_command(s, "DEL $Tenants:Page");
    assert_string_equal(wanted, server_dump(s));
    popoto_audit_report audit;
    assert_ok(db, popoto_audit(db, &(popoto_audit_desc){ .model = &New }, &audit));
    assert_int_equal(600, audit.records);
    assert_int_equal(0, audit.findings);
    /* Again: nothing. */
    assert_ok(db, popoto_migrate_to_strict(db, &plain, &report));
    assert_int_equal(0, report->total + report->migrated);
    popoto_migration_report_free(report);
    free(wanted);
    free(before);
    popoto_close(db);
    server_flush(s);
}

/* So many at a time: what one call leaves the next goes on with, and it comes to the same. */
static void test_a_bit_at_a_time(void **state) {
    static const size_t moved[] = { 270, 270, 60, 0 };
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_migration_report *report;
    popoto_strict_migration_desc desc = plain;
    for (int i = 0; i < 600; i++)
        create(db, &Old, project_of(i), i);
    assert_ok(db, popoto_migrate_to_strict(db, &plain, &report));
    popoto_migration_report_free(report);
    server_command(s, "DEL $Tenants:Page");
    char *wanted = strdup(server_dump(s));
    server_flush(s);
    for (int i = 0; i < 600; i++)
        create(db, &Old, project_of(i), i);
    char *before = strdup(server_dump(s));
    desc.limit = 270;
    desc.dry_run = true;
    assert_ok(db, popoto_migrate_to_strict(db, &desc, &report));
    size_t placed = 0;
    for (size_t i = 0; i < report->partition_count; i++)
        placed += report->partitions[i].count;
    assert_int_equal(270, placed);
    assert_int_equal(600, report->total);
    popoto_migration_report_free(report);
    assert_string_equal(before, server_dump(s));
    desc.dry_run = false;
    size_t left = 600;
    for (int i = 0; i < 4; i++) {
        assert_ok(db, popoto_migrate_to_strict(db, &desc, &report));
        assert_int_equal(left, report->total);
        assert_int_equal(moved[i], report->migrated);
        left -= moved[i];
        popoto_migration_report_free(report);
        /* What is moved is whole, and so is what is not. */
        popoto_audit_report audit;
        assert_ok(db, popoto_audit(db, &(popoto_audit_desc){ .model = &New }, &audit));
        assert_int_equal(600 - left, audit.records);
        assert_int_equal(left > 0, audit.findings);
        assert_ok(db, popoto_audit(db, &(popoto_audit_desc){ .model = &Old }, &audit));
        assert_int_equal(left, audit.records);
    }
    server_command(s, "DEL $Tenants:Page");
    assert_string_equal(wanted, server_dump(s));
    free(wanted);
    free(before);
    popoto_close(db);
    server_flush(s);
}

static bool take_no_line(void *context, const char *line, size_t size) {
    (void)context, (void)line, (void)size;
    fail_msg("half of a tenant is exported");
    return false;
}

static bool take_line(void *context, const char *line, size_t size) {
    (void)line, (void)size;
    ++*(size_t *)context;
    return true;
}

/* Half of a tenant is not taken for all of it, but by its own user, who cannot know. */
static void test_half_a_tenant_is_not_all_of_it(void **state) {
    static const char says[] = "5 records of an ordinary Page are left, in '$Class:Page'";
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_migration_report *report;
    popoto_strict_migration_desc desc = plain;
    for (int i = 0; i < 15; i++)
        create(db, &Old, project_of(i), i);
    desc.limit = 10;
    assert_ok(db, popoto_migrate_to_strict(db, &desc, &report));
    popoto_migration_report_free(report);
    char *before = strdup(server_dump(s));
    const popoto_model *const models[] = { &New };
    popoto_tenant_desc one = { .tenant = popoto_of_text(project_of(0)),
                               .models = models,
                               .model_count = 1 };
    size_t count, lines = 0;
    assert_fails(POPOTO_CORRUPT, says, db, popoto_erase(db, &one, NULL));
    assert_fails(POPOTO_CORRUPT, says, db, popoto_export(db, &one, take_no_line, NULL, &count));
    assert_string_equal(before, server_dump(s));
    free(before);

    popoto_grant_desc grant = {
        .model = &New, .tenant = one.tenant, .user = "own", .password = "secret"
    };
    assert_ok(db, popoto_grant(db, &grant, NULL));
    char url[400];
    snprintf(url, sizeof url, "unix://own:secret@%s", server_socket(s));
    popoto_db *own = popoto_open(url, NULL);
    assert_ok(own, popoto_export(own, &one, take_line, &lines, &count));
    assert_true(count > 0 && lines == count + 2);
    assert_int_equal(POPOTO_OK, popoto_error_status(own));
    popoto_close(own);
    assert_ok(db, popoto_revoke(db, "own", NULL));

    assert_ok(db, popoto_migrate_to_strict(db, &plain, &report));
    popoto_migration_report_free(report);
    popoto_erase_receipt receipt;
    assert_ok(db, popoto_erase(db, &one, &receipt));
    assert_true(receipt.records > 0 && receipt.left == 0);
    popoto_close(db);
    server_flush(s);
}

/* Fields that the models do not know and the time that a record has left go with it. */
static void test_what_else_a_record_has(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_migration_report *report;
    create(db, &Old, "a", 1);
    server_command(s, "HSET Page:o{&#58;}1:a:n1 other x");
    server_command(s, "EXPIRE Page:o{&#58;}1:a:n1 1000");
    server_command(s, "HDEL Page:o{&#58;}1:a:n1 weight");
    server_command(s, "ZREM $SortedF:Page:weight:a:a Page:o{&#58;}1:a:n1");
    assert_ok(db, popoto_migrate_to_strict(db, &plain, &report));
    assert_int_equal(1, report->migrated);
    popoto_migration_report_free(report);
    assert_string_equal("x", server_command(s, "HGET {a}:Page:o{&#58;}1:n1 other"));
    assert_true(atoi(server_command(s, "TTL {a}:Page:o{&#58;}1:n1")) > 900);
    assert_string_equal("0", server_command(s, "EXISTS {a}:$SortedF:Page:weight:a"));
    popoto_close(db);
    server_flush(s);
}

static void test_the_dialect_of_popoto(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), &(popoto_options){ .dialect = POPOTO_AS_POPOTO });
    popoto_migration_report *report;
    for (int i = 0; i < 40; i++)
        create(db, &New, project_of(i), i);
    server_command(s, "DEL $Tenants:Page");
    char *wanted = strdup(server_dump(s));
    server_flush(s);
    for (int i = 0; i < 40; i++)
        create(db, &Old, project_of(i), i);
    assert_ok(db, popoto_migrate_to_strict(db, &plain, &report));
    assert_int_equal(40, report->migrated);
    popoto_migration_report_free(report);
    server_command(s, "DEL $Tenants:Page");
    assert_string_equal(wanted, server_dump(s));
    free(wanted);
    popoto_close(db);
    server_flush(s);
}

static void test_what_stays(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_migration_report *report;
    char name[32];
    for (int i = 0; i < 9; i++)
        create(db, &Old, "a", i);
    page taken = numbered("a", 0, name);
    assert_ok(db, popoto_create(db, &New, &taken)); /* the same key */
    taken = numbered("a", 1, name);
    taken.owner = "another";
    taken.object = (popoto_object){ 0 };
    assert_ok(db, popoto_create(db, &New, &taken)); /* the same unique value */
    server_command(s, "HSET Page:o{&#58;}1:a:n2 shelf %b", "\xc1", (size_t)1);
    server_command(s, "HDEL Page::a:n3 shelf");
    server_command(s, "HSET Page:o{&#58;}1:a:n4 project %b", "\xa1x", (size_t)2);
    server_command(s, "HSET Page:o{&#58;}1:a:n5 rank %b", "\xa1x", (size_t)2);
    server_command(s, "DEL Page::a:n6");
    server_command(s, "SET Page::a:n6 x");
    page nobody = numbered("", 20, name);
    assert_ok(db, popoto_create(db, &Old, &nobody));
    for (int dry_run = 1; dry_run >= 0; dry_run--) {
        popoto_strict_migration_desc desc = plain;
        desc.dry_run = dry_run;
        assert_ok(db, popoto_migrate_to_strict(db, &desc, &report));
        assert_int_equal(10, report->total);
        assert_int_equal(dry_run ? 0 : 3, report->migrated);
        /* Without its shelf a record has no partition: it goes, for it has no figures there. */
        assert_int_equal(7, report->error_count);
        static const struct {
            const char *member, *reason;
        } wanted[] = {
            { "Page::a:n0", "is there already" },
            { "Page:o{&#58;}1:a:n1", "name is taken" },
            { "Page:o{&#58;}1:a:n2", "stored shelf" },
            { "Page:o{&#58;}1:a:n4", "another than its key's" },
            { "Page:o{&#58;}1:a:n5", "stored rank" },
            { "Page::a:n6", "" },
            { "Page:o{&#58;}1::n20", "at least one byte" },
        };
        for (size_t i = 0; i < 7; i++) {
            size_t found = 0;
            for (size_t e = 0; e < report->error_count; e++)
                found += strcmp(report->errors[e].member.data, wanted[i].member) == 0 &&
                         strstr(report->errors[e].reason, wanted[i].reason) != NULL;
            if (found != 1) {
                for (size_t e = 0; e < report->error_count; e++)
                    print_message("%s: %s\n", report->errors[e].member.data,
                                  report->errors[e].reason);
                fail_msg("%s is not listed", wanted[i].member);
            }
        }
        popoto_migration_report_free(report);
    }
    popoto_close(db);
    server_flush(s);
}

static void test_interrupted_and_run_again(void **state) {
    server *s = *state;
    popoto_migration_report *report;
    bool stopped = true;
    for (int stop_at = 1; stopped; stop_at++) {
        popoto_db *db = opened(s); /* which remembers the tenants that it noted */
        for (int i = 0; i < 700; i++)
            create(db, &Old, "a", i);
        progress_seen it = { .stop_at = stop_at };
        popoto_strict_migration_desc desc = plain;
        desc.progress = see_progress;
        desc.context = &it;
        popoto_status status = popoto_migrate_to_strict(db, &desc, &report);
        stopped = status == POPOTO_STOPPED;
        if (!stopped)
            assert_ok(db, status);
        assert_int_equal(it.done, report->migrated);
        assert_int_equal(it.done == 0 && it.total == 0 ? 0 : 700,
                         it.total); /* 0: while it counts */
        size_t migrated = report->migrated;
        popoto_migration_report_free(report);
        /* Whichever of the two is looked at, that it is half done is found. */
        popoto_audit_report half;
        for (int strict = 0; strict < 2; strict++) {
            assert_ok(
                db, popoto_audit(db, &(popoto_audit_desc){ .model = strict ? &New : &Old }, &half));
            bool both = migrated > 0 && migrated < 700;
            assert_int_equal(both || (strict && migrated == 0), half.findings);
        }
        assert_ok(db, popoto_migrate_to_strict(db, &plain, &report));
        assert_int_equal(700, migrated + report->migrated);
        popoto_migration_report_free(report);
        popoto_audit_report audit;
        assert_ok(db, popoto_audit(db, &(popoto_audit_desc){ .model = &New }, &audit));
        assert_int_equal(700, audit.records);
        assert_int_equal(0, audit.findings);
        popoto_close(db);
        server_flush(s);
    }
}

static void test_arguments(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_migration_report *report = (void *)1;
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_migrate_to_strict(db, &plain, NULL));
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_migrate_to_strict(NULL, &plain, &report));
    assert_null(report);
    assert_fails(POPOTO_BAD_ARGUMENT, "description", db,
                 popoto_migrate_to_strict(db, NULL, &report));
    popoto_strict_migration_desc desc = { .from = &New, .to = &New };
    assert_fails(POPOTO_BAD_ARGUMENT, "strict already", db,
                 popoto_migrate_to_strict(db, &desc, &report));
    desc = (popoto_strict_migration_desc){ .from = &Old, .to = &Old };
    assert_fails(POPOTO_BAD_ARGUMENT, "no TENANT", db,
                 popoto_migrate_to_strict(db, &desc, &report));
    popoto_model named = New, shorter = New, kind = New, unknown = New;
    popoto_field kinds[9], names[9];
    named.name = "Other";
    shorter.field_count = 8;
    memcpy(kinds, new_fields, sizeof kinds);
    kinds[3].kind = POPOTO_KIND_KEY;
    kind.fields = kinds;
    memcpy(names, new_fields, sizeof names);
    names[8].name = "remark";
    unknown.fields = names;
    const struct {
        const popoto_model *to;
        const char *part;
    } wrong[] = { { &named, "another name" },
                  { &shorter, "other fields" },
                  { &kind, "another kind" },
                  { &unknown, "no such field" } };
    for (size_t i = 0; i < 4; i++) {
        desc.to = wrong[i].to;
        assert_fails(POPOTO_BAD_ARGUMENT, wrong[i].part, db,
                     popoto_migrate_to_strict(db, &desc, &report));
        assert_null(report);
    }
    assert_ok(db, popoto_scope_enter(db, "project", "a"));
    assert_status(POPOTO_BAD_SCOPE, db, popoto_migrate_to_strict(db, &plain, &report));
    assert_ok(db, popoto_scope_leave(db));
    popoto_close(db);
}

/* Writers of the ordinary model go on; each record is in the end in one of the two models, whole. */
typedef struct writer {
    server *s;
    int first;
    atomic_bool stop;
    atomic_int written;
} writer;

static void *keep_writing(void *context) {
    writer *it = context;
    popoto_db *db = popoto_open(server_url(it->s), NULL);
    for (int i = 0; !atomic_load(&it->stop); i++) {
        char name[32];
        page one = numbered(i % 2 ? "a" : "b", it->first + i, name);
        popoto_status status = popoto_create(db, &Old, &one);
        if (status != POPOTO_OK)
            abort();
        atomic_store(&it->written, i + 1);
        one.shelf = "moved"; /* unless it has gone over meanwhile */
        status = popoto_save(db, &Old, &one);
        if (status != POPOTO_OK && status != POPOTO_NOT_FOUND)
            abort();
        status = popoto_confidence_update(db, &Old, &one, "belief", 1, NULL);
        if (status != POPOTO_OK && status != POPOTO_NOT_FOUND)
            abort();
    }
    popoto_close(db);
    return NULL;
}

static void test_writers_go_on(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_migration_report *report;
    writer writers[2];
    pthread_t threads[2];
    for (int i = 0; i < 500; i++)
        create(db, &Old, "a", i);
    for (int i = 0; i < 2; i++) {
        writers[i] = (writer){ .s = s, .first = (i + 1) * 1000000 };
        atomic_init(&writers[i].stop, false);
        atomic_init(&writers[i].written, 0);
        assert_int_equal(0, pthread_create(&threads[i], NULL, keep_writing, &writers[i]));
    }
    size_t migrated = 0;
    for (int round = 0; round < 6; round++) {
        assert_ok(db, popoto_migrate_to_strict(db, &plain, &report));
        migrated += report->migrated;
        assert_int_equal(0, report->error_count);
        popoto_migration_report_free(report);
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&writers[i].stop, true);
        pthread_join(threads[i], NULL);
    }
    assert_ok(db, popoto_migrate_to_strict(db, &plain, &report));
    migrated += report->migrated;
    popoto_migration_report_free(report);
    assert_int_equal(500 + atomic_load(&writers[0].written) + atomic_load(&writers[1].written),
                     migrated);
    popoto_audit_report audit;
    assert_ok(db, popoto_audit(db, &(popoto_audit_desc){ .model = &New }, &audit));
    assert_int_equal(migrated, audit.records);
    assert_int_equal(0, audit.findings);
    assert_ok(db, popoto_audit(db, &(popoto_audit_desc){ .model = &Old }, &audit));
    assert_int_equal(0, audit.records + audit.findings);
    popoto_close(db);
    server_flush(s);
}

static void test_no_memory(void **state) {
    server *s = *state;
    popoto_db *setup = opened(s);
    failing_allocator memory;
    for (size_t n = 1;; n++) {
        for (int i = 0; i < 3; i++)
            create(setup, &Old, "a", i);
        popoto_db *db = opened_to_fail(s, &memory, n);
        popoto_migration_report *report;
        popoto_status status = popoto_migrate_to_strict(db, &plain, &report);
        if (status != POPOTO_OK)
            assert_int_equal(POPOTO_NO_MEMORY, status);
        popoto_migration_report_free(report);
        bool failed = closed_after_failure(db, &memory);
        assert_ok(setup, popoto_migrate_to_strict(setup, &plain, &report));
        popoto_migration_report_free(report);
        popoto_audit_report audit;
        assert_ok(setup, popoto_audit(setup, &(popoto_audit_desc){ .model = &New }, &audit));
        assert_int_equal(3, audit.records);
        assert_int_equal(0, audit.findings);
        server_flush(s);
        if (!failed && status == POPOTO_OK)
            break;
    }
    popoto_close(setup);
}

/* POPOTO_TIMED=1: 100,000 records. */
static void test_timed(void **state) {
    server *s = *state;
    if (getenv("POPOTO_TIMED") == NULL)
        return;
    popoto_db *db = opened(s);
    popoto_migration_report *report;
    for (int i = 0; i < 100; i++) {
        static page pages[1000];
        static char names[1000][32];
        void *objects[1000];
        for (int k = 0; k < 1000; k++) {
            pages[k] = numbered(project_of(k), i * 1000 + k, names[k]);
            objects[k] = &pages[k];
        }
        assert_ok(db, popoto_create_many(db, &Old, objects, 1000, NULL));
    }
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    assert_ok(db, popoto_migrate_to_strict(db, &plain, &report));
    clock_gettime(CLOCK_MONOTONIC, &b);
    print_message("%zu records: %.2f s\n", report->migrated,
                  (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
    assert_int_equal(100000, report->migrated);
    popoto_migration_report_free(report);
    popoto_close(db);
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_what_a_strict_model_would_have_written),
        server_test(test_a_bit_at_a_time),
        server_test(test_half_a_tenant_is_not_all_of_it),
        server_test(test_what_else_a_record_has),
        server_test(test_the_dialect_of_popoto),
        server_test(test_what_stays),
        server_test(test_interrupted_and_run_again),
        server_test(test_arguments),
        server_test(test_writers_go_on),
        server_test(test_no_memory),
        server_test(test_timed),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
