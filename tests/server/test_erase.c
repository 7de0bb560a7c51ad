/* popoto_erase: everything of a tenant goes, and nothing else; damage does not hide anything; it may be
 * interrupted; writers of other tenants go on. What is left is looked at past the library. */
#include "databases.h"
#include "failing_allocator.h"
#include "index_checker.h"
#include "server.h"
#include "test_models.h"

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
    const char *shelf;
    int64_t rank;
    double trust;
} page;

static const popoto_field page_fields[] = {
    POPOTO_TENANT(page, project),
    POPOTO_UNIQUE_KEY(page, name),
    POPOTO_FIELD(page, shelf),
    POPOTO_SORTED(page, rank, .partition_by = "shelf"),
    POPOTO_CONFIDENCE(page, trust, .partition_by = "shelf"),
};
static const popoto_model Page = POPOTO_MODEL("Page", page, page_fields);

static const popoto_field tag_fields[] = {
    POPOTO_TENANT(page, project),
    POPOTO_KEY(page, name),
    POPOTO_SORTED(page, rank),
};
static const popoto_model Tag = POPOTO_MODEL("Tag", page, tag_fields);

/* An ordinary one, whose records move between partitions. */
static const popoto_field leaf_fields[] = {
    POPOTO_KEY(page, project),
    POPOTO_KEY(page, name),
    POPOTO_FIELD(page, shelf),
    POPOTO_SORTED(page, rank, .partition_by = "shelf"),
    POPOTO_CONFIDENCE(page, trust, .partition_by = "shelf"),
};
static const popoto_model Leaf = POPOTO_MODEL("Leaf", page, leaf_fields);

static const popoto_model *const strict_models[] = { &Page, &Tag };
static const popoto_model *const leaf_models[] = { &Leaf };
static const popoto_model *const memory_models[] = { &Memory };

static void create(popoto_db *db, const popoto_model *model, const char *project, int number) {
    char name[32];
    snprintf(name, sizeof name, "n%d", number);
    page it = {
        .project = project, .name = name, .shelf = number % 2 ? "a" : "b:c", .rank = number
    };
    assert_ok(db, popoto_save(db, model, &it));
    if (model != &Tag)
        assert_ok(db, popoto_confidence_update(db, model, &it, "trust", 1, NULL));
}

static void create_facts(popoto_db *db, const char *project, int count) {
    for (int i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s-%d", project, i);
        fact it = { .project = project, .key = key, .content = "x" };
        assert_ok(db, popoto_create(db, &Memory, &it));
    }
}

static popoto_tenant_desc strict_desc(const char *tenant) {
    return (popoto_tenant_desc){ .models = strict_models,
                                 .model_count = 2,
                                 .tenant = POPOTO_VALUE(tenant) };
}

static popoto_tenant_desc ordinary_desc(const popoto_model *const *models, const char *tenant) {
    return (popoto_tenant_desc){ .models = models,
                                 .model_count = 1,
                                 .tenant_field = "project",
                                 .tenant = POPOTO_VALUE(tenant) };
}

static char *copy_of(const char *text) {
    char *copy = strdup(text);
    assert_non_null(copy);
    return copy;
}

/* ----- Tests ----------------------------------------------------------------------------------- */

static void test_strict_tenant_goes_and_no_other(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_erase_receipt receipt;
    for (int i = 0; i < 30; i++) {
        create(db, &Page, "at", i);
        create(db, &Tag, "at", i);
    }
    char *others = copy_of(server_dump(s));
    for (int i = 0; i < 700; i++) {
        create(db, &Page, "a", i);
        create(db, &Tag, "a", i);
    }
    popoto_tenant_desc desc = strict_desc("a");
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(1400, receipt.records);
    /* Page: class, unique, sorted, confidence; Tag: class, key, sorted. */
    assert_int_equal(700 * 4 + 700 * 3, receipt.index_entries);
    assert_int_equal(0, receipt.other_keys);
    assert_int_equal(0, receipt.left);
    assert_true(receipt.finished.microseconds >= receipt.started.microseconds);
    assert_true(receipt.started.microseconds > 1600000000000000);
    assert_string_equal(others, server_dump(s));
    /* Again: there is nothing. */
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(0, receipt.records + receipt.index_entries + receipt.left);
    free(others);
    popoto_close(db);
    server_flush(s);
}

static void test_ordinary_tenant_goes_and_no_other(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_erase_receipt receipt;
    create_facts(db, "b", 20);
    create_facts(db, "*", 20);
    create_facts(db, "", 20);
    char *others = copy_of(server_dump(s));
    create_facts(db, "a", 500);
    popoto_tenant_desc desc = ordinary_desc(memory_models, "a");
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(500, receipt.records);
    assert_int_equal(500 * 4, receipt.index_entries);
    assert_int_equal(0, receipt.left);
    assert_string_equal(others, server_dump(s));
    desc = ordinary_desc(memory_models, "*");
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(20, receipt.records);
    assert_indexes_match(s, &Memory);
    assert_int_equal(40, record_count(s, &Memory));
    free(others);
    popoto_close(db);
    server_flush(s);
}

static void test_partitions_that_the_key_does_not_tell(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_erase_receipt receipt;
    for (int i = 0; i < 40; i++)
        create(db, &Leaf, "b", i);
    char *others = copy_of(server_dump(s));
    for (int i = 0; i < 300; i++)
        create(db, &Leaf, "a", i);
    /* What is counted is what was there. */
    server_command(s, "HDEL $ConfidencF:Leaf:trust:data:a Leaf:a:n1");
    server_command(s, "ZREM $SortedF:Leaf:rank:a Leaf:a:n3");
    server_command(s, "SREM $Class:Leaf Leaf:a:n5");
    size_t entries = 0;
    popoto_audit_report report;
    assert_ok(db, popoto_audit(db, &(popoto_audit_desc){ .model = &Leaf }, &report));
    entries = report.index_entries;
    popoto_tenant_desc desc = ordinary_desc(leaf_models, "a");
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(300, receipt.records);
    assert_int_equal(0, receipt.left);
    assert_ok(db, popoto_audit(db, &(popoto_audit_desc){ .model = &Leaf }, &report));
    assert_int_equal(entries - report.index_entries, receipt.index_entries);
    assert_string_equal(others, server_dump(s));
    free(others);
    popoto_close(db);
    server_flush(s);
}

static void test_dialect_of_popoto(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), &(popoto_options){ .dialect = POPOTO_AS_POPOTO });
    popoto_erase_receipt receipt;
    create_facts(db, "other-one", 5);
    char *others = copy_of(server_dump(s));
    create_facts(db, "the-one", 200);
    popoto_tenant_desc desc = ordinary_desc(memory_models, "the-one");
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(200, receipt.records);
    assert_int_equal(0, receipt.left);
    assert_string_equal(others, server_dump(s));
    free(others);
    popoto_close(db);
    server_flush(s);
}

/* Records without entries, entries without records, entries in wrong places, broken values. */
static void test_damage_hides_nothing(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_erase_receipt receipt;
    create(db, &Leaf, "b", 1);
    char *others = copy_of(server_dump(s));
    for (int i = 0; i < 10; i++)
        create(db, &Leaf, "a", i);
    server_command(s, "SREM $Class:Leaf Leaf:a:n1");
    server_command(s, "SREM $KeyF:Leaf:project:a Leaf:a:n2");
    server_command(s, "DEL Leaf:a:n3");
    server_command(s, "HSET Leaf:a:n4 shelf %b", "\xc1", (size_t)1);
    server_command(s, "HDEL Leaf:a:n5 shelf");
    server_command(s, "ZADD $SortedF:Leaf:rank:zzz 3 Leaf:a:n6");
    server_command(s, "HSET $ConfidencF:Leaf:trust:data Leaf:a:n7 x");
    server_command(s, "SADD $KeyF:Leaf:project:q Leaf:a:gone");
    server_command(s, "DEL Leaf:a:n8");
    server_command(s, "SET Leaf:a:n8 text");
    popoto_tenant_desc desc = ordinary_desc(leaf_models, "a");
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(9, receipt.records);
    assert_int_equal(0, receipt.left);
    assert_string_equal(others, server_dump(s));
    free(others);
    popoto_close(db);
    server_flush(s);
}

typedef struct others {
    int calls;
    char kinds[200];
} others_told;

static void take_other(void *context, popoto_text key, popoto_text kind) {
    others_told *it = context;
    assert_int_equal(0, memcmp(key.data, "{a}:", 4));
    size_t used = strlen(it->kinds);
    snprintf(it->kinds + used, sizeof it->kinds - used, "%.*s ", (int)kind.size, kind.data);
    it->calls++;
}

/* Whose keys were not named is not erased, but counted. */
static void test_models_that_are_not_named_stay(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_erase_receipt receipt;
    others_told told = { 0 };
    create(db, &Tag, "a", 1);
    server_command(s, "SET {a}:session:3 x");
    create(db, &Page, "a", 1);
    create(db, &Page, "a", 2);
    server_command(s, "DEL {a}:$UniqueKeyF:Page:name:n2");
    server_command(s, "SET {a}:$UniqueKeyF:Page:name:n2 x");
    const popoto_model *const pages[] = { &Page };
    popoto_tenant_desc desc = { .models = pages,
                                .model_count = 1,
                                .tenant = POPOTO_VALUE("a"),
                                .other = take_other,
                                .context = &told };
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(2, receipt.records);
    assert_int_equal(1, receipt.other_keys); /* what stood in an index's place */
    assert_int_equal(0, receipt.left);
    /* A record, its class, key and sorted indexes; and the other program's key. */
    assert_int_equal(5, receipt.other_left);
    assert_int_equal(5, told.calls);
    assert_non_null(strstr(told.kinds, "session "));
    assert_non_null(strstr(told.kinds, "Tag Tag "));
    const char *after = server_dump(s);
    assert_non_null(strstr(after, "{a}:Tag:"));
    assert_non_null(strstr(after, "{a}:session:3"));
    assert_null(strstr(after, "Page"));
    popoto_close(db);
    server_flush(s);
}

static void test_everything_under_a_strict_prefix(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_erase_receipt receipt;
    create(db, &Page, "b", 1);
    char *others = copy_of(server_dump(s));
    create(db, &Page, "a", 1);
    create(db, &Page, "a", 2);
    server_command(s, "SET {a}:note x");
    server_command(s, "SADD {a}:$Class:Other y");
    server_command(s, "SADD {a}:$Class:Page garbage {b}:Page:n1");
    server_command(s, "HSET {a}:Page:too:many f v");
    server_command(s, "DEL {a}:$UniqueKeyF:Page:name:n2");
    server_command(s, "SET {a}:$UniqueKeyF:Page:name:n2 x");
    popoto_tenant_desc desc = strict_desc("a");
    desc.everything = true;
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(2, receipt.records);
    assert_int_equal(4, receipt.other_keys);
    assert_int_equal(0, receipt.other_left);
    assert_int_equal(0, receipt.left);
    assert_string_equal(others, server_dump(s));
    free(others);
    popoto_close(db);
    server_flush(s);
}

/* Ordinary models that name their tenants by different fields. */
static void test_a_field_for_each_model(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_erase_receipt receipt;
    for (int i = 0; i < 4; i++) {
        create(db, &Leaf, "a", i);
        create(db, &Leaf, "b", i);
        create(db, &Page, "a", i);
    }
    const popoto_model *const models[] = { &Leaf, &Page };
    const char *fields[] = { "project", NULL };
    popoto_tenant_desc desc = { .models = models,
                                .model_count = 2,
                                .tenant_field = "nothing",
                                .tenant_fields = fields,
                                .tenant = POPOTO_VALUE("a") };
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(8, receipt.records);
    assert_int_equal(4, record_count(s, &Leaf));
    fields[0] = NULL;
    assert_fails(POPOTO_BAD_ARGUMENT, "no field 'nothing'", db, popoto_erase(db, &desc, &receipt));
    popoto_close(db);
    server_flush(s);
}

/* What stands in the place of an index of the models' own goes, and the rest stays. */
static void test_some_models_alone(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_erase_receipt receipt;
    create(db, &Tag, "a", 1);
    server_command(s, "SET {a}:mine x");
    char *others = copy_of(server_dump(s));
    for (int i = 0; i < 10; i++)
        create(db, &Page, "a", i);
    server_command(s, "SET {a}:$SortedF:Page:rank:zzz x"); /* its own, and broken */
    popoto_tenant_desc desc = strict_desc("a");
    desc.models = (const popoto_model *const[]){ &Page };
    desc.model_count = 1;
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(10, receipt.records);
    assert_int_equal(1, receipt.other_keys);
    assert_int_equal(0, receipt.left);
    assert_string_equal(others, server_dump(s));
    free(others);
    popoto_close(db);
    server_flush(s);
}

/* Tenants whose names hold what means something in patterns and keys. */
static void test_odd_names(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    static const char *const names[] = { "*", "a*", "[a]", "{a}", "a}b", "a:b", "\\", "?", "a" };
    for (size_t i = 0; i < 9; i++) {
        create(db, &Page, names[i], 1);
        create(db, &Leaf, names[i], 1);
    }
    for (size_t i = 0; i < 9; i++) {
        popoto_erase_receipt receipt;
        popoto_tenant_desc desc = strict_desc(names[i]);
        assert_ok(db, popoto_erase(db, &desc, &receipt));
        assert_int_equal(1, receipt.records);
        assert_int_equal(0, receipt.left);
        desc = ordinary_desc(leaf_models, names[i]);
        assert_ok(db, popoto_erase(db, &desc, &receipt));
        assert_int_equal(1, receipt.records);
        assert_int_equal(0, receipt.left);
        assert_int_equal(8 - i, record_count(s, &Leaf));
        assert_indexes_match(s, &Leaf);
    }
    popoto_close(db);
}

static void test_interrupted_and_run_again(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_erase_receipt receipt;
    for (int stop_at = 1, stopped = true; stopped; stop_at++) {
        for (int i = 0; i < 300; i++) {
            create(db, &Page, "a", i);
            create(db, &Leaf, "a", i);
        }
        progress_seen it = { .stop_at = stop_at };
        popoto_tenant_desc desc = strict_desc("a");
        desc.progress = see_progress;
        desc.context = &it;
        popoto_status status = popoto_erase(db, &desc, &receipt);
        stopped = status == POPOTO_STOPPED;
        if (!stopped)
            assert_ok(db, status);
        if (!stopped)
            assert_int_equal(it.done, it.total);
        desc.progress = NULL;
        assert_ok(db, popoto_erase(db, &desc, &receipt));
        it = (progress_seen){ .stop_at = stop_at };
        desc = ordinary_desc(leaf_models, "a");
        desc.progress = see_progress;
        desc.context = &it;
        (void)popoto_erase(db, &desc, &receipt);
        assert_indexes_match(s, &Leaf);
        desc.progress = NULL;
        assert_ok(db, popoto_erase(db, &desc, &receipt));
        assert_string_equal("", server_dump(s));
    }
    popoto_close(db);
}

static void test_arguments(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_erase_receipt receipt = { .records = 7 };
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_erase(NULL, NULL, &receipt));
    assert_int_equal(0, receipt.records);
    assert_fails(POPOTO_BAD_ARGUMENT, "description", db, popoto_erase(db, NULL, &receipt));
    popoto_tenant_desc desc = ordinary_desc(leaf_models, "a");
    desc.tenant_field = NULL;
    assert_fails(POPOTO_BAD_ARGUMENT, "no TENANT", db, popoto_erase(db, &desc, NULL));
    desc.tenant_field = "nothing";
    assert_fails(POPOTO_BAD_ARGUMENT, "no field", db, popoto_erase(db, &desc, NULL));
    desc.tenant_field = "shelf";
    assert_fails(POPOTO_BAD_ARGUMENT, "no part of the key", db, popoto_erase(db, &desc, NULL));
    desc = strict_desc("a");
    desc.tenant = POPOTO_VALUE("");
    assert_fails(POPOTO_BAD_VALUE, "tenant", db, popoto_erase(db, &desc, NULL));
    desc.tenant = (popoto_value){ POPOTO_NULL, { 0 } };
    assert_fails(POPOTO_BAD_VALUE, "null", db, popoto_erase(db, &desc, NULL));
    /* In a scope: that tenant, or a refusal. */
    create(db, &Page, "a", 1);
    assert_ok(db, popoto_scope_enter(db, "project", "b"));
    desc = strict_desc("a");
    assert_fails(POPOTO_BAD_SCOPE, "scope", db, popoto_erase(db, &desc, NULL));
    assert_ok(db, popoto_scope_leave(db));
    assert_ok(db, popoto_erase(db, &desc, NULL));
    popoto_close(db);
}

/* A writer of the same tenant goes on: whatever it has written is whole, or gone. */
typedef struct writer {
    server *s;
    atomic_bool stop;
} writer;

static void *keep_writing(void *context) {
    writer *it = context;
    popoto_db *db = popoto_open(server_url(it->s), NULL);
    for (int i = 0; !atomic_load(&it->stop); i = (i + 1) % 200) {
        char name[32];
        snprintf(name, sizeof name, "n%d", i);
        page one = { .project = i % 3 ? "a" : "b", .name = name, .shelf = i % 2 ? "a" : "c" };
        popoto_status status = popoto_save(db, &Leaf, &one);
        one.shelf = "d"; /* moves, unless it was erased meanwhile */
        if (status == POPOTO_OK)
            status = popoto_save(db, &Leaf, &one);
        if (status != POPOTO_OK && status != POPOTO_NOT_FOUND)
            abort();
    }
    popoto_close(db);
    return NULL;
}

static void test_racing_writer(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    writer it = { .s = s };
    pthread_t thread;
    popoto_tenant_desc desc = ordinary_desc(leaf_models, "a");
    for (int i = 0; i < 200; i++)
        create(db, &Leaf, "b", i);
    atomic_init(&it.stop, false);
    assert_int_equal(0, pthread_create(&thread, NULL, keep_writing, &it));
    for (int round = 0; round < 30; round++)
        assert_ok(db, popoto_erase(db, &desc, NULL));
    atomic_store(&it.stop, true);
    pthread_join(thread, NULL);
    assert_indexes_match(s, &Leaf);
    popoto_erase_receipt receipt;
    assert_ok(db, popoto_erase(db, &desc, &receipt));
    assert_int_equal(0, receipt.left);
    assert_int_equal(200, record_count(s, &Leaf));
    popoto_close(db);
    server_flush(s);
}

static void test_no_memory(void **state) {
    server *s = *state;
    popoto_db *setup = opened(s);
    failing_allocator memory;
    for (size_t n = 1;; n++) {
        for (int i = 0; i < 3; i++) {
            create(setup, &Page, "a", i);
            create(setup, &Tag, "a", i);
            create(setup, &Leaf, "a", i);
        }
        server_command(s, "SADD {a}:$Class:Page garbage");
        server_command(s, "SADD $Class:Leaf Leaf:a:gone");
        popoto_db *db = opened_to_fail(s, &memory, n);
        popoto_erase_receipt receipt, other;
        popoto_tenant_desc desc = strict_desc("a"), leaf = ordinary_desc(leaf_models, "a");
        desc.everything = n % 2 == 0;
        popoto_status status = popoto_erase(db, &desc, &receipt);
        if (status == POPOTO_OK)
            status = popoto_erase(db, &leaf, &other);
        if (status != POPOTO_OK)
            assert_int_equal(POPOTO_NO_MEMORY, status);
        else
            assert_int_equal(0, receipt.left + other.left);
        if (!closed_after_failure(db, &memory))
            break;
    }
    popoto_close(setup);
    server_flush(s);
}

/* POPOTO_TIMED=1: a tenant of 100,000 records. */
static void time_one(server *s, popoto_db *db, const popoto_model *model,
                     const popoto_tenant_desc *desc) {
    enum {
        COUNT = 100000
    };
    page *pages = calloc(COUNT, sizeof *pages);
    void **objects = calloc(COUNT, sizeof *objects);
    char(*names)[16] = calloc(COUNT, sizeof *names);
    struct timespec from, to;
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "name%d", i);
        pages[i] =
            (page){ .project = "b", .name = names[i], .shelf = i % 3 ? "x" : "y", .rank = i };
        objects[i] = &pages[i];
    }
    assert_ok(db, popoto_create_many(db, model, objects, COUNT / 10, NULL));
    for (int i = 0; i < COUNT; i++) {
        pages[i].object = (popoto_object){ 0 };
        pages[i].project = "a";
    }
    assert_ok(db, popoto_create_many(db, model, objects, COUNT, NULL));
    popoto_erase_receipt receipt;
    server_command(s, "CONFIG SET slowlog-log-slower-than 5000");
    server_command(s, "SLOWLOG RESET");
    double before = server_seconds(s);
    clock_t own = clock();
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_ok(db, popoto_erase(db, desc, &receipt));
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    /* What it costs: how long it takes depends on who else uses the machine. */
    double servers = server_seconds(s) - before, ours = (double)(clock() - own) / CLOCKS_PER_SEC;
    print_message(
        "%s: %zu records, %zu entries: %.2f s; CPU: %.2f s of the server's, %.2f s ours\n",
        model->name, receipt.records, receipt.index_entries, seconds, servers, ours);
    print_message("commands that took the server 5 ms or more: %s\n",
                  server_command(s, "SLOWLOG LEN"));
    assert_int_equal(COUNT, receipt.records);
    assert_int_equal(0, receipt.left);
    assert_true(servers + ours <= 5);
    free(pages);
    free(objects);
    free(names);
    server_flush(s);
}

static void test_timed(void **state) {
    server *s = *state;
    if (getenv("POPOTO_TIMED") == NULL)
        return;
    popoto_db *db = opened(s);
    popoto_tenant_desc strict = strict_desc("a"), leaf = ordinary_desc(leaf_models, "a");
    time_one(s, db, &Page, &strict);
    time_one(s, db, &Tag, &strict);
    time_one(s, db, &Leaf, &leaf);
    popoto_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_strict_tenant_goes_and_no_other),
        server_test(test_ordinary_tenant_goes_and_no_other),
        server_test(test_partitions_that_the_key_does_not_tell),
        server_test(test_dialect_of_popoto),
        server_test(test_damage_hides_nothing),
        server_test(test_models_that_are_not_named_stay),
        server_test(test_everything_under_a_strict_prefix),
        server_test(test_a_field_for_each_model),
        server_test(test_some_models_alone),
        server_test(test_odd_names),
        server_test(test_interrupted_and_run_again),
        server_test(test_arguments),
        server_test(test_racing_writer),
        server_test(test_no_memory),
        server_test(test_timed),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
