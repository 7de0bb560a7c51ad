/* popoto_tenant_list: the figures of each tenant, of strict models and of ordinary ones. */
#include "databases.h"
#include "failing_allocator.h"
#include "server.h"
#include "test_models.h"

#include <math.h>
#include <popoto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

typedef struct page {
    popoto_object object;
    int64_t number;
    const char *name;
    int64_t rank;
    double trust;
} page;

static const popoto_field page_fields[] = {
    POPOTO_TENANT(page, number),
    POPOTO_KEY(page, name),
    POPOTO_SORTED(page, rank),
    POPOTO_CONFIDENCE(page, trust),
};
static const popoto_model Page = POPOTO_MODEL("Page", page, page_fields);

/* Of each type that can be a tenant. */
typedef struct typed {
    popoto_object object;
    double ratio;
    bool open;
    popoto_day day;
    popoto_time at;
    popoto_decimal price;
    popoto_bytes bytes;
} typed;

static const popoto_field typed_fields[] = {
    POPOTO_KEY(typed, ratio), POPOTO_KEY(typed, open),  POPOTO_KEY(typed, day),
    POPOTO_KEY(typed, at),    POPOTO_KEY(typed, price), POPOTO_KEY(typed, bytes),
};
static const popoto_model Typed = POPOTO_MODEL("Typed", typed, typed_fields);

typedef struct listed {
    popoto_tenant_figures all[32];
    char names[32][64];
    size_t count, stop_at;
} listed;

static bool note(void *context, const popoto_tenant_figures *figures) {
    listed *it = context;
    assert_true(it->count < 32);
    it->all[it->count] = *figures;
    if (figures->tenant.type == POPOTO_TEXT)
        snprintf(it->names[it->count], sizeof it->names[0], "%s", figures->tenant.as.text.data);
    return ++it->count != it->stop_at;
}

static void test_strict_tenants(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    listed it = { 0 };
    assert_ok(db, popoto_tenant_list(db, &Page, NULL, note, NULL, &it));
    assert_int_equal(0, it.count);
    for (int i = 0; i < 210; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        page one = { .number = i < 10 ? -3 : 12, .name = name, .rank = i };
        assert_ok(db, popoto_create(db, &Page, &one));
        if (i < 10)
            assert_ok(db, popoto_confidence_update(db, &Page, &one, "trust", 1, NULL));
    }
    assert_ok(db, popoto_tenant_list(db, &Page, NULL, note, NULL, &it));
    assert_int_equal(2, it.count);
    /* In the order of their names as keys hold them. */
    assert_int_equal(-3, it.all[0].tenant.as.integer);
    assert_int_equal(10, it.all[0].records);
    assert_int_equal(40, it.all[0].index_entries);
    assert_false(it.all[0].bytes_sampled);
    assert_true(fabs(it.all[0].mean_confidence - 0.75) < 1e-9);
    assert_true(it.all[0].idle_seconds >= 0 && it.all[0].idle_seconds < 60);
    assert_int_equal(12, it.all[1].tenant.as.integer);
    assert_int_equal(200, it.all[1].records);
    assert_int_equal(800, it.all[1].index_entries);
    assert_true(it.all[1].bytes_sampled);
    assert_true(it.all[1].mean_confidence == 0.5);
    /* About as much as the server has of them. */
    double exact =
        atof(server_command(s, "EVAL %s 0",
                            "local n = 0 for _, k in ipairs(redis.call('KEYS', '{12}*')) do "
                            "n = n + redis.call('MEMORY', 'USAGE', k) end return n"));
    assert_true(fabs((double)it.all[1].bytes / exact - 1) < 0.15);
    popoto_close(db);
    server_flush(s);
}

/* Looking for it does not count as use; a read does. */
static void test_idle_time(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_rows *rows;
    page one = { .number = 1, .name = "n", .rank = 1 };
    assert_ok(db, popoto_create(db, &Page, &one));
    usleep(3100000);
    int64_t before = INT64_MAX;
    for (int i = 0; i < 3; i++) {
        listed it = { 0 };
        assert_ok(db, popoto_tenant_list(db, &Page, NULL, note, NULL, &it));
        assert_int_equal(1, it.count);
        assert_true(i < 2 ? it.all[0].idle_seconds >= 2 : it.all[0].idle_seconds < before);
        before = it.all[0].idle_seconds;
        if (i == 1) {
            assert_ok(db, popoto_load(db, &Page, &one, &rows));
            popoto_rows_free(rows);
        }
    }
    popoto_close(db);
    server_flush(s);
}

static void test_ordinary_tenants(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    listed it = { 0 };
    for (int i = 0; i < 30; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        fact f = { .project = i % 3 == 0 ? "a:b" : i % 3 == 1 ? "" : "z-*", .key = key };
        assert_ok(db, popoto_create(db, &Memory, &f));
        if (i % 3 == 0)
            assert_ok(db, popoto_confidence_update(db, &Memory, &f, "certainty", 0, NULL));
    }
    server_command(s, "SADD $Class:Memory garbage Memory:left:k");
    server_command(s, "SET Memory:too:many:parts x");
    assert_ok(db, popoto_tenant_list(db, &Memory, "project", note, NULL, &it));
    assert_int_equal(4, it.count);
    static const char *const names[] = { "", "a:b", "left", "z-*" };
    for (size_t i = 0; i < 4; i++) {
        bool left = i == 2; /* an index still names a tenant that has no record */
        assert_string_equal(names[i], it.names[i]);
        assert_int_equal(left ? 0 : 10, it.all[i].records);
        assert_int_equal(left ? 1 : 40, it.all[i].index_entries);
        assert_true(it.all[i].bytes > (left ? 0 : 2000));
        assert_true(left ? isnan(it.all[i].mean_confidence)
                         : it.all[i].mean_confidence == (i == 1 ? 0.25 : 0.5));
        assert_true(left ? it.all[i].idle_seconds == -1 : it.all[i].idle_seconds >= 0);
    }
    popoto_close(db);
    server_flush(s);
}

static void test_dialect_of_popoto(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), &(popoto_options){ .dialect = POPOTO_AS_POPOTO });
    listed it = { 0 };
    fact f = { .project = "a-b", .key = "k:1" };
    assert_ok(db, popoto_create(db, &Memory, &f));
    assert_ok(db, popoto_tenant_list(db, &Memory, "project", note, NULL, &it));
    assert_int_equal(1, it.count);
    assert_string_equal("a-b", it.names[0]);
    assert_int_equal(4, it.all[0].index_entries);
    popoto_close(db);
    server_flush(s);
}

static void test_tenants_of_every_type(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    typed one = { .ratio = 0.1,
                  .open = true,
                  .day = { 2026, 1, 2 },
                  .at = { 1767225600000001, 0 },
                  .price = { "1.50" },
                  .bytes = { "a\0:", 3 } };
    assert_ok(db, popoto_create(db, &Typed, &one));
    popoto_value wanted[] = { popoto_of_float(0.1),         popoto_of_bool(true),
                              popoto_of_day(one.day),       popoto_of_time(one.at),
                              popoto_of_decimal(one.price), popoto_of_bytes(one.bytes) };
    for (size_t i = 0; i < 6; i++) {
        listed it = { 0 };
        popoto_erase_receipt receipt;
        assert_ok(db, popoto_tenant_list(db, &Typed, typed_fields[i].name, note, NULL, &it));
        assert_int_equal(1, it.count);
        assert_int_equal(wanted[i].type, it.all[0].tenant.type);
        if (i < 4)
            assert_true(popoto_value_equal(&wanted[i], &it.all[0].tenant));
        assert_int_equal(7, it.all[0].index_entries);
        /* It is the tenant that an erasure takes. */
        const popoto_model *models[] = { &Typed };
        popoto_tenant_desc desc = { .models = models,
                                    .model_count = 1,
                                    .tenant_field = typed_fields[i].name,
                                    .tenant = wanted[i] };
        assert_ok(db, popoto_erase(db, &desc, &receipt));
        assert_int_equal(1, receipt.records);
        one.object = (popoto_object){ 0 };
        assert_ok(db, popoto_create(db, &Typed, &one));
    }
    popoto_close(db);
    server_flush(s);
}

static void test_servers_that_count_uses(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    listed it = { 0 };
    page one = { .number = 1, .name = "n" };
    assert_ok(db, popoto_create(db, &Page, &one));
    server_command(s, "CONFIG SET maxmemory-policy allkeys-lfu");
    assert_ok(db, popoto_tenant_list(db, &Page, NULL, note, NULL, &it));
    server_command(s, "CONFIG SET maxmemory-policy noeviction");
    assert_int_equal(1, it.count);
    assert_int_equal(-1, it.all[0].idle_seconds);
    popoto_close(db);
    server_flush(s);
}

typedef struct steps {
    size_t calls, stop_at, done;
} steps;

static bool never(void *context, const popoto_tenant_figures *figures) {
    (void)context;
    (void)figures;
    return true;
}

static bool count_steps(void *context, size_t done, size_t total) {
    steps *it = context;
    assert_true(done >= it->done);
    assert_int_equal(0, total);
    it->done = done;
    return ++it->calls != it->stop_at;
}

static void test_progress_and_stopping(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    for (int i = 0; i < 1500; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        page it = { .number = 1, .name = name };
        assert_ok(db, popoto_create(db, &Page, &it));
    }
    steps all = { 0 };
    assert_ok(db, popoto_tenant_list(db, &Page, NULL, never, count_steps, &all));
    assert_true(all.calls > 2 && all.done > 1500);
    for (size_t i = 1; i <= all.calls; i++) {
        steps some = { .stop_at = i };
        assert_status(POPOTO_STOPPED, db,
                      popoto_tenant_list(db, &Page, NULL, never, count_steps, &some));
        assert_int_equal(i, some.calls);
    }
    popoto_close(db);
    server_flush(s);
}

static void test_arguments(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    listed it = { .stop_at = 1 };
    page one = { .number = 1, .name = "n" };
    assert_ok(db, popoto_create(db, &Page, &one));
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_tenant_list(NULL, &Page, NULL, note, NULL, &it));
    assert_fails(POPOTO_BAD_ARGUMENT, "callback", db,
                 popoto_tenant_list(db, &Page, NULL, NULL, NULL, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "no TENANT", db,
                 popoto_tenant_list(db, &Memory, NULL, note, NULL, &it));
    assert_fails(POPOTO_BAD_ARGUMENT, "no part of the key", db,
                 popoto_tenant_list(db, &Memory, "content", note, NULL, &it));
    assert_status(POPOTO_STOPPED, db, popoto_tenant_list(db, &Page, NULL, note, NULL, &it));
    assert_ok(db, popoto_scope_enter_value(db, "number", POPOTO_VALUE(1)));
    assert_status(POPOTO_BAD_SCOPE, db, popoto_tenant_list(db, &Page, NULL, note, NULL, &it));
    assert_ok(db, popoto_scope_leave(db));
    popoto_close(db);
    server_flush(s);
}

static void test_no_memory(void **state) {
    server *s = *state;
    popoto_db *setup = opened(s);
    failing_allocator memory;
    for (int i = 0; i < 40; i++) {
        char project[16];
        snprintf(project, sizeof project, "p%d", i % 35);
        fact f = { .project = project, .key = (char[]){ (char)('0' + i), 0 } };
        assert_ok(setup, popoto_create(setup, &Memory, &f));
        page one = { .number = i + 1, .name = "n" };
        assert_ok(setup, popoto_create(setup, &Page, &one));
    }
    for (size_t n = 1;; n++) {
        popoto_db *db = opened_to_fail(s, &memory, n);
        static listed it;
        it.count = it.stop_at = 0;
        popoto_status status = popoto_tenant_list(db, &Memory, "project", NULL, NULL, NULL);
        assert_true(status == POPOTO_BAD_ARGUMENT || status == POPOTO_NO_MEMORY);
        it.stop_at = 30;
        status = popoto_tenant_list(db, &Memory, "project", note, NULL, &it);
        it.count = 0;
        if (status == POPOTO_STOPPED)
            status = popoto_tenant_list(db, &Page, NULL, note, NULL, &it);
        if (status != POPOTO_STOPPED)
            assert_int_equal(POPOTO_NO_MEMORY, status);
        if (!closed_after_failure(db, &memory))
            break;
    }
    popoto_close(setup);
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_strict_tenants),
        server_test(test_idle_time),
        server_test(test_ordinary_tenants),
        server_test(test_dialect_of_popoto),
        server_test(test_tenants_of_every_type),
        server_test(test_servers_that_count_uses),
        server_test(test_progress_and_stopping),
        server_test(test_arguments),
        server_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
