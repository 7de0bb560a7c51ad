/* Names of tenants, however hostile: each is a tenant by itself, and what is done in it touches no other's
 * data. */
#include "databases.h"
#include "index_checker.h"
#include "server.h"

#include <popoto.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* Names of any bytes. */
typedef struct wild {
    popoto_object object;
    popoto_text tenant;
    const char *id;
    const char *code;
    double rank;
    double trust;
} wild;

static const popoto_field wild_fields[] = {
    POPOTO_TENANT(wild, tenant), POPOTO_KEY(wild, id),           POPOTO_UNIQUE_KEY(wild, code),
    POPOTO_SORTED(wild, rank),   POPOTO_CONFIDENCE(wild, trust),
};
static const popoto_model Wild = POPOTO_MODEL("Wild", wild, wild_fields);

/* The same of bytes. */
typedef struct raw {
    popoto_object object;
    popoto_bytes tenant;
    const char *id;
    double rank;
} raw;

static const popoto_field raw_fields[] = {
    POPOTO_TENANT(raw, tenant),
    POPOTO_KEY(raw, id),
    POPOTO_SORTED(raw, rank),
};
static const popoto_model Raw = POPOTO_MODEL("Raw", raw, raw_fields);

#define NAME(literal) \
    { literal, sizeof(literal) - 1 }
static const popoto_text hostile[] = {
    NAME("a:b"),
    NAME("a"),
    NAME("b"),
    NAME("*"),
    NAME("{x}"),
    NAME("x"),
    NAME("}"),
    NAME("{"),
    NAME("{}"),
    NAME(".."),
    NAME(" "),
    NAME("\n"),
    NAME("a\0b"),
    NAME("\0"),
    NAME("a\0"),
    NAME("[a-z]"),
    NAME("?"),
    NAME("\\"),
    NAME("/"),
    NAME("/2a"),
    NAME("a}:Wild"),
    NAME("{a}:Wild"),
    NAME("{&#58;}"),
    NAME("$Class"),
    NAME("~*"),
    NAME("%s%n"),
    NAME("\r\n"),
    NAME("*1\r\n"),
    NAME("'"),
    NAME("\""),
    NAME("\xf0\x9f\xa6\x9b"),
    NAME("\xc2\xa0"),
    NAME("\xc3\xa9"),
    NAME("e\xcc\x81"),
    NAME("A"),
    NAME("a "),
    NAME("None"),
    NAME("0"),
    NAME("-"),
};
#define HOSTILE_COUNT (sizeof hostile / sizeof *hostile)

static wild wild_of(popoto_text tenant, const char *id) {
    return (wild){ .tenant = tenant, .id = id, .code = id, .rank = (double)tenant.size };
}

static void assert_owner(popoto_db *db, popoto_text tenant, size_t expected) {
    popoto_rows *rows;
    popoto_query_desc descs[] = {
        { .model = &Wild, .where = { POPOTO_IS("tenant", tenant) } },
        { .model = &Wild, .where = { POPOTO_IS("tenant", tenant) }, .order_by = "-rank" },
        { .model = &Wild,
          .where = { POPOTO_IS("tenant", tenant),
                     POPOTO_IS("code__in", POPOTO_LIST("first", "second")) } },
    };
    for (size_t i = 0; i < sizeof descs / sizeof *descs; i++) {
        size_t count;
        assert_ok(db, popoto_query(db, &descs[i], &rows));
        assert_int_equal(expected, popoto_rows_count(rows));
        for (size_t k = 0; k < popoto_rows_count(rows); k++) {
            const wild *row = popoto_rows_at(rows, k);
            assert_int_equal(tenant.size, row->tenant.size);
            assert_memory_equal(tenant.data, row->tenant.data, tenant.size);
        }
        popoto_rows_free(rows);
        assert_ok(db, popoto_count(db, &descs[i], &count));
        assert_int_equal(expected, count);
    }
}

static bool count_member(void *context, popoto_text key, const popoto_confidence *figures) {
    (void)key;
    assert_true(figures->evidence_count <= 1);
    ++*(size_t *)context;
    return true;
}

/* Each tenant has a record; then each in turn does everything that a tenant does, and ends as it began:
 * the database does, too. */
static void visit_each(server *s, const popoto_text *tenants, size_t tenant_count, bool is_short) {
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (size_t i = 0; i < tenant_count; i++) {
        wild first = wild_of(tenants[i], "first");
        assert_ok(db, popoto_create(db, &Wild, &first));
    }
    /* A dump of names of a megabyte is more than it is worth. */
    char *before = strdup(is_short ? server_dump(s) : server_command(s, "DBSIZE"));
    for (size_t i = 0; i < tenant_count; i++) {
        wild second = wild_of(tenants[i], "second"), copy = second;
        popoto_rows *rows;
        size_t members = 0;
        assert_ok(db, popoto_create(db, &Wild, &second));
        assert_status(POPOTO_EXISTS, db, popoto_create(db, &Wild, &copy));
        assert_owner(db, tenants[i], 2);
        assert_ok(db, popoto_confidence_update(db, &Wild, &second, "trust", 1, NULL));
        popoto_confidence_scan_desc scan = { .model = &Wild,
                                             .field = "trust",
                                             .where = { POPOTO_IS("tenant", tenants[i]) },
                                             .callback = count_member,
                                             .context = &members };
        assert_ok(db, popoto_scope_enter_value(db, "tenant", popoto_of_sized_text(tenants[i])));
        assert_ok(db, popoto_load(db, &Wild, &second, &rows));
        wild *row = popoto_rows_at(rows, 0);
        row->tenant = (popoto_text){ NULL, 0 };
        row->id = second.id = "moved";
        assert_ok(db, popoto_save(db, &Wild, row));
        popoto_rows_free(rows);
        assert_ok(db, popoto_scope_leave(db));
        second.object = (popoto_object){ 0 };
        assert_ok(db, popoto_confidence_scan(db, &scan));
        assert_int_equal(2, members);
        assert_owner(db, tenants[i], 2);
        assert_owner(db, tenants[(i + 1) % tenant_count], 1);
        assert_ok(db, popoto_delete(db, &Wild, &second));
        assert_owner(db, tenants[i], 1);
    }
    assert_string_equal(before, is_short ? server_dump(s) : server_command(s, "DBSIZE"));
    size_t listed = 0, count;
    assert_ok(db, popoto_tenants(db, &Wild, count_tenant, &listed));
    assert_int_equal(tenant_count, listed);
    assert_ok(
        db, popoto_count(db, &(popoto_query_desc){ .model = &Wild, .all_tenants = true }, &count));
    assert_int_equal(tenant_count, count);
    if (is_short)
        assert_indexes_match(s, &Wild);
    free(before);
    popoto_close(db);
    server_flush(s);
}

static void test_hostile_names_touch_no_other(void **state) {
    visit_each(*state, hostile, HOSTILE_COUNT, true);
}

/* Every single byte is a name, or refused with a reason: no text is, that is no UTF-8. */
static void test_every_byte_is_a_name(void **state) {
    static char bytes[256];
    popoto_text tenants[256];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tenants[i] = (popoto_text){ &bytes[i], 1 };
    }
    visit_each(*state, tenants, 128, true);
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (int i = 128; i < 256; i++) {
        wild it = wild_of(tenants[i], "first");
        popoto_status status = popoto_create(db, &Wild, &it);
        if (status != POPOTO_OK)
            assert_fails(POPOTO_BAD_VALUE, "Wild.tenant", db, status);
        else
            assert_owner(db, tenants[i], 1);
    }
    server_flush(s);
    /* As bytes, each is one. */
    for (int i = 0; i < 256; i++) {
        popoto_bytes tenant = { &bytes[i], 1 };
        raw it = { .tenant = tenant, .id = "1" };
        assert_ok(db, popoto_create(db, &Raw, &it));
    }
    for (int i = 0; i < 256; i++) {
        popoto_bytes tenant = { &bytes[i], 1 };
        popoto_rows *rows;
        assert_ok(db, popoto_query(db,
                                   &(popoto_query_desc){ .model = &Raw,
                                                         .where = { POPOTO_IS("tenant", tenant) } },
                                   &rows));
        assert_int_equal(1, popoto_rows_count(rows));
        const raw *row = popoto_rows_at(rows, 0);
        assert_int_equal(1, row->tenant.size);
        assert_memory_equal(&bytes[i], row->tenant.data, 1);
        popoto_rows_free(rows);
    }
    size_t listed = 0;
    assert_ok(db, popoto_tenants(db, &Raw, count_tenant, &listed));
    assert_int_equal(256, listed);
    popoto_close(db);
    server_flush(s);
}

static void test_a_megabyte_is_a_name(void **state) {
    static char one[1 << 20], other[1 << 20];
    memset(one, 'x', sizeof one);
    memset(other, 'x', sizeof other);
    other[sizeof other - 1] = '*';
    popoto_text tenants[] = { { one, sizeof one }, { other, sizeof other }, { one, 1 } };
    visit_each(*state, tenants, 3, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_hostile_names_touch_no_other),
        server_test(test_every_byte_is_a_name),
        server_test(test_a_megabyte_is_a_name),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
