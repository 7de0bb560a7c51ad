/* Strict models against a server: every call works with a tenant that the object, a filter or a scope
 * names, and is refused before anything is sent where none or two do; what a tenant's user forges leads to
 * no other tenant. */
#include "databases.h"
#include "failing_allocator.h"
#include "index_checker.h"
#include "server.h"
#include "strict_episodes.h"
#include "strict_visits.h"

#include <popoto.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* Unique within the tenant. */
typedef struct member {
    popoto_object object;
    const char *team;
    const char *email;
    const char *phone;
} member;

static const popoto_field member_fields[] = {
    POPOTO_UNIQUE_KEY(member, email),
    POPOTO_TENANT(member, team),
    POPOTO_FIELD(member, phone, .null = true),
};
static const popoto_model Member = POPOTO_MODEL("Member", member, member_fields);

/* One record a tenant. */
typedef struct settings {
    popoto_object object;
    const char *owner;
    int64_t colour;
} settings;

static const popoto_field settings_fields[] = {
    POPOTO_TENANT(settings, owner),
    POPOTO_FIELD(settings, colour),
};
static const popoto_model Settings = POPOTO_MODEL("Settings", settings, settings_fields);

/* ----- Every call ----------------------------------------------------------------------------- */

/* What a call is given: an object, whose tenant may be missing, and filters, the first of which may. */
typedef struct subject {
    server *s;
    popoto_db *db;
    episode object;
    const char *tenant; /* in filters; NULL: none */
    const char *second; /* in filters, too */
} subject;

static size_t filters_of(const subject *it, popoto_filter *filters) {
    size_t count = 0;
    if (it->tenant != NULL)
        filters[count++] = (popoto_filter)POPOTO_IS("project_id", it->tenant);
    if (it->second != NULL)
        filters[count++] = (popoto_filter)POPOTO_IS("project_id", it->second);
    return count;
}

static popoto_query_desc query_of(const subject *it) {
    popoto_query_desc desc = { .model = &Episode };
    desc.where[filters_of(it, desc.where)] = (popoto_filter)POPOTO_IS("id", "1");
    return desc;
}

static popoto_status call_create(subject *it) {
    it->object.id = "new";
    it->object.object = (popoto_object){ 0 };
    return popoto_create(it->db, &Episode, &it->object);
}

static popoto_status call_save(subject *it) {
    it->object.score += 1;
    return popoto_save(it->db, &Episode, &it->object);
}

static popoto_status call_save_with(subject *it) {
    it->object.views += 1;
    return popoto_save_with(it->db, &Episode, &it->object, &(popoto_save_desc){ .only = "views" });
}

static popoto_status call_delete(subject *it) {
    return popoto_delete(it->db, &Episode, &it->object);
}

static popoto_status call_create_many(subject *it) {
    void *objects[] = { &it->object };
    popoto_status one = POPOTO_STOPPED;
    it->object.id = "newer";
    it->object.object = (popoto_object){ 0 };
    popoto_status status = popoto_create_many(it->db, &Episode, objects, 1, &one);
    assert_int_equal(status, one);
    return status;
}

static popoto_status call_save_many(subject *it) {
    void *objects[] = { &it->object };
    popoto_status one = POPOTO_STOPPED;
    popoto_status status = popoto_save_many(it->db, &Episode, objects, 1, &one);
    assert_int_equal(status, one);
    return status;
}

static popoto_status call_delete_many(subject *it) {
    void *objects[] = { &it->object };
    popoto_status one = POPOTO_STOPPED;
    popoto_status status = popoto_delete_many(it->db, &Episode, objects, 1, &one);
    assert_int_equal(status, one);
    return status;
}

static popoto_status call_key(subject *it) {
    popoto_text key = { "", 1 };
    popoto_status status = popoto_key(it->db, &Episode, &it->object, &key);
    if (status == POPOTO_OK)
        assert_string_equal("{a}:Episode:s1:1", key.data);
    else
        assert_null(key.data);
    popoto_free(it->db, key.data);
    return status;
}

/* Rows that came are one, tenant a's. */
static popoto_status one_row(popoto_status status, popoto_rows *rows) {
    if (status != POPOTO_OK) {
        assert_null(rows);
        return status;
    }
    assert_int_equal(1, popoto_rows_count(rows));
    const episode *row = popoto_rows_at(rows, 0);
    assert_string_equal("a", row->project_id);
    assert_string_equal("1", row->id);
    popoto_rows_free(rows);
    return status;
}

static popoto_status call_load(subject *it) {
    popoto_rows *rows = (void *)1;
    popoto_status status = popoto_load(it->db, &Episode, &it->object, &rows);
    return one_row(status, rows);
}

static popoto_status call_query(subject *it) {
    popoto_rows *rows = (void *)1;
    popoto_query_desc desc = query_of(it);
    popoto_status status = popoto_query(it->db, &desc, &rows);
    return one_row(status, rows);
}

static popoto_status call_query_by_range(subject *it) {
    popoto_rows *rows = (void *)1;
    popoto_query_desc desc = { .model = &Episode, .order_by = "-score" };
    desc.where[filters_of(it, desc.where)] = (popoto_filter)POPOTO_IS("score__lt", 9.0);
    popoto_status status = popoto_query(it->db, &desc, &rows);
    return one_row(status, rows);
}

static popoto_status call_query_by_key(subject *it) {
    popoto_rows *rows = (void *)1;
    popoto_query_desc desc = query_of(it);
    desc.filters = &(popoto_filter)POPOTO_IS("season", "s1");
    desc.filter_count = 1;
    popoto_status status = popoto_query(it->db, &desc, &rows);
    return one_row(status, rows);
}

static popoto_status call_query_all(subject *it) {
    popoto_rows *rows = (void *)1;
    popoto_query_desc desc = { .model = &Episode };
    (void)filters_of(it, desc.where);
    popoto_status status = popoto_query(it->db, &desc, &rows);
    return one_row(status, rows);
}

static popoto_status call_get(subject *it) {
    popoto_rows *rows = (void *)1;
    popoto_query_desc desc = query_of(it);
    popoto_status status = popoto_get(it->db, &desc, &rows);
    return one_row(status, rows);
}

static popoto_status call_count(subject *it) {
    size_t count = 99;
    popoto_query_desc desc = query_of(it);
    popoto_status status = popoto_count(it->db, &desc, &count);
    assert_int_equal(status == POPOTO_OK ? 1 : 0, count);
    return status;
}

static popoto_status call_count_all(subject *it) {
    size_t count = 99;
    popoto_query_desc desc = { .model = &Episode };
    (void)filters_of(it, desc.where);
    popoto_status status = popoto_count(it->db, &desc, &count);
    assert_int_equal(status == POPOTO_OK ? 1 : 0, count);
    return status;
}

static popoto_status call_stream(subject *it) {
    popoto_stream *stream = (void *)1;
    void *row = NULL;
    popoto_query_desc desc = { .model = &Episode, .order_by = "score" };
    (void)filters_of(it, desc.where);
    popoto_status status = popoto_stream_open(it->db, &desc, &stream);
    if (status != POPOTO_OK) {
        assert_null(stream);
        return status;
    }
    status = popoto_stream_next(stream, &row);
    if (status == POPOTO_OK) {
        assert_non_null(row);
        assert_string_equal("a", ((episode *)row)->project_id);
        status = popoto_stream_next(stream, &row);
        assert_null(row);
    }
    popoto_stream_free(stream);
    return status;
}

static popoto_status call_update(subject *it) {
    popoto_confidence after;
    return popoto_confidence_update(it->db, &Episode, &it->object, "certainty", 0.9, &after);
}

static popoto_status call_update_partitioned(subject *it) {
    return popoto_confidence_update(it->db, &Episode, &it->object, "belief", 0.9, NULL);
}

static popoto_status call_update_many(subject *it) {
    popoto_signal signal = { .object = &it->object, .signal = 0.2 };
    popoto_status status = popoto_confidence_update_many(it->db, &Episode, "belief", &signal, 1);
    assert_int_equal(status, signal.status);
    return status;
}

static popoto_status call_confidence_get(subject *it) {
    double confidence;
    return popoto_confidence_get(it->db, &Episode, &it->object, "belief", &confidence);
}

static popoto_status call_figures(subject *it) {
    popoto_confidence figures;
    return popoto_confidence_figures(it->db, &Episode, &it->object, "certainty", &figures);
}

static bool count_entry(void *context, popoto_text key, const popoto_confidence *figures) {
    (void)figures;
    assert_memory_equal("{a}:Episode:", key.data, 12);
    ++*(size_t *)context;
    return true;
}

static popoto_status call_scan(subject *it) {
    size_t count = 0;
    popoto_confidence_scan_desc desc = {
        .model = &Episode, .field = "certainty", .callback = count_entry, .context = &count
    };
    (void)filters_of(it, desc.where);
    popoto_status status = popoto_confidence_scan(it->db, &desc);
    assert_int_equal(status == POPOTO_OK ? 1 : 0, count);
    return status;
}

static popoto_status given_key(subject *it, popoto_status status, popoto_text key,
                               const char *expected) {
    if (status == POPOTO_OK)
        assert_string_equal(expected, key.data);
    else
        assert_null(key.data);
    popoto_free(it->db, key.data);
    return status;
}

static popoto_status call_confidence_key(subject *it) {
    popoto_text key = { "", 1 };
    popoto_status status = popoto_confidence_key(it->db, &Episode, &it->object, "belief", &key);
    return given_key(it, status, key, "{a}:$ConfidencF:Episode:belief:data:s1");
}

static popoto_status call_key_from_values(subject *it) {
    popoto_text key = { "", 1 };
    popoto_filter filters[3];
    size_t count = filters_of(it, filters);
    filters[count++] = (popoto_filter)POPOTO_IS("season", "s1");
    popoto_status status =
        popoto_confidence_key_from_values(it->db, &Episode, "belief", filters, count, &key);
    return given_key(it, status, key, "{a}:$ConfidencF:Episode:belief:data:s1");
}

static const struct {
    const char *name;
    popoto_status (*run)(subject *it);
    bool by_filter;       /* the tenant is named by filters, not by the object */
    bool reads;           /* and changes nothing */
    popoto_status nobody; /* what it says where no tenant is named */
} calls[] = {
    { "create", call_create, false, false, POPOTO_BAD_VALUE },
    { "save", call_save, false, false, POPOTO_BAD_VALUE },
    { "save_with", call_save_with, false, false, POPOTO_BAD_VALUE },
    { "delete", call_delete, false, false, POPOTO_BAD_VALUE },
    { "create_many", call_create_many, false, false, POPOTO_BAD_VALUE },
    { "save_many", call_save_many, false, false, POPOTO_BAD_VALUE },
    { "delete_many", call_delete_many, false, false, POPOTO_BAD_VALUE },
    { "key", call_key, false, true, POPOTO_BAD_VALUE },
    { "load", call_load, false, true, POPOTO_BAD_VALUE },
    { "query", call_query, true, true, POPOTO_BAD_QUERY },
    { "query by range", call_query_by_range, true, true, POPOTO_BAD_QUERY },
    { "query by the key", call_query_by_key, true, true, POPOTO_BAD_QUERY },
    { "query all", call_query_all, true, true, POPOTO_BAD_QUERY },
    { "get", call_get, true, true, POPOTO_BAD_QUERY },
    { "count", call_count, true, true, POPOTO_BAD_QUERY },
    { "count all", call_count_all, true, true, POPOTO_BAD_QUERY },
    { "stream", call_stream, true, true, POPOTO_BAD_QUERY },
    { "confidence_update", call_update, false, false, POPOTO_BAD_VALUE },
    { "confidence_update in a partition", call_update_partitioned, false, false, POPOTO_BAD_VALUE },
    { "confidence_update_many", call_update_many, false, false, POPOTO_BAD_VALUE },
    { "confidence_get", call_confidence_get, false, true, POPOTO_BAD_VALUE },
    { "confidence_figures", call_figures, false, true, POPOTO_BAD_VALUE },
    { "confidence_scan", call_scan, true, true, POPOTO_BAD_ARGUMENT },
    { "confidence_key", call_confidence_key, false, true, POPOTO_BAD_VALUE },
    { "confidence_key_from_values", call_key_from_values, true, true, POPOTO_BAD_ARGUMENT },
};
#define CALL_COUNT (sizeof calls / sizeof *calls)

/* Tenants a and b; `object` is what the caller has in hand: one that was never saved. */
static void set_up(subject *it, server *s) {
    server_flush(s);
    *it = (subject){ .s = s, .db = opened_with_two_tenants(s) };
    it->object = episode_of("a", "s1", "1", 1);
}

static void test_the_object_or_a_filter_names_the_tenant(void **state) {
    for (size_t i = 0; i < CALL_COUNT; i++) {
        subject it;
        set_up(&it, *state);
        it.tenant = "a";
        char *before = dump_of(it.s, "{b}:");
        assert_true(before[0] != '\0');
        popoto_status status = calls[i].run(&it);
        if (status != POPOTO_OK)
            fail_msg("%s: %s", calls[i].name, popoto_error(it.db));
        char *after = dump_of(it.s, "{b}:");
        assert_string_equal(before, after);
        assert_indexes_match(it.s, &Episode);
        free(before);
        free(after);
        popoto_close(it.db);
    }
    server_flush(*state);
}

static void test_a_scope_names_the_tenant(void **state) {
    for (size_t i = 0; i < CALL_COUNT; i++) {
        subject it;
        set_up(&it, *state);
        char *before = dump_of(it.s, "{b}:");
        it.object.project_id = NULL;
        assert_ok(it.db, popoto_scope_enter(it.db, "project_id", "a"));
        popoto_status status = calls[i].run(&it);
        if (status != POPOTO_OK)
            fail_msg("%s: %s", calls[i].name, popoto_error(it.db));
        char *after = dump_of(it.s, "{b}:");
        assert_string_equal(before, after);
        free(before);
        free(after);
        popoto_close(it.db);
    }
    server_flush(*state);
}

/* Runs a call that must be refused before it sends anything. */
static void refused(subject *it, size_t which, popoto_status expected, const char *how) {
    char *before = strdup(server_dump(it->s));
    long long sent = commands_sent(it->s);
    popoto_status status = calls[which].run(it);
    long long more = commands_sent(it->s) - sent;
    if (status != expected ||
        (expected != POPOTO_BAD_SCOPE && strstr(popoto_error(it->db), "project_id") == NULL))
        fail_msg("%s, %s: %s, %s", calls[which].name, how, popoto_status_name(status),
                 popoto_error(it->db));
    if (more != 0)
        fail_msg("%s, %s: %lld commands were sent", calls[which].name, how, more);
    assert_string_equal(before, server_dump(it->s));
    free(before);
}

static void test_no_tenant_is_refused_before_anything_is_sent(void **state) {
    for (size_t i = 0; i < CALL_COUNT; i++) {
        subject it;
        set_up(&it, *state);
        it.object.project_id = NULL;
        refused(&it, i, calls[i].nobody, "no tenant");
        popoto_close(it.db);
    }
    server_flush(*state);
}

static void test_an_empty_tenant_is_none(void **state) {
    for (size_t i = 0; i < CALL_COUNT; i++) {
        subject it;
        set_up(&it, *state);
        it.object.project_id = it.tenant = "";
        refused(&it, i, POPOTO_BAD_VALUE, "an empty tenant");
        popoto_close(it.db);
    }
    server_flush(*state);
}

static void test_two_tenants_are_refused_before_anything_is_sent(void **state) {
    for (size_t i = 0; i < CALL_COUNT; i++) {
        subject it;
        set_up(&it, *state);
        /* A filter or an object that contradicts the scope. */
        it.tenant = it.object.project_id = "b";
        assert_ok(it.db, popoto_scope_enter(it.db, "project_id", "a"));
        refused(&it, i, POPOTO_BAD_SCOPE, "another tenant than the scope");
        assert_ok(it.db, popoto_scope_leave(it.db));
        /* Two filters. */
        it.tenant = "a";
        it.second = "b";
        if (calls[i].by_filter)
            refused(&it, i, calls[i].nobody, "two filters");
        popoto_close(it.db);
    }
    server_flush(*state);
}

/* Anything but "is" names no tenant. */
static void test_only_an_exact_filter_names_a_tenant(void **state) {
    const popoto_filter filters[] = {
        POPOTO_IS("project_id__in", POPOTO_LIST("a")),
        POPOTO_IS("project_id__startswith", "a"),
        POPOTO_IS("project_id__contains", "a"),
        POPOTO_IS("project_id__gte", "a"),
        POPOTO_IS("project_id__between", POPOTO_LIST("a", "a")),
        POPOTO_IS("project_id__isnull", false),
    };
    subject it;
    set_up(&it, *state);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        for (int scan = 0; scan < 2; scan++) {
            popoto_rows *rows = (void *)1;
            popoto_query_desc desc = { .model = &Episode,
                                       .where = { filters[i] },
                                       .allow_scan = scan };
            long long sent = commands_sent(it.s);
            assert_fails(POPOTO_BAD_QUERY, "belongs to tenants", it.db,
                         popoto_query(it.db, &desc, &rows));
            assert_null(rows);
            assert_int_equal(sent, commands_sent(it.s));
        }
    /* Beside an exact one they are filters like others. */
    popoto_query_desc desc = { .model = &Episode,
                               .where = { POPOTO_IS("project_id", "a"),
                                          POPOTO_IS("project_id__in", POPOTO_LIST("b", "c")) } };
    size_t count = 9;
    assert_ok(it.db, popoto_count(it.db, &desc, &count));
    assert_int_equal(0, count);
    desc.where[1] = (popoto_filter)POPOTO_IS("project_id__in", POPOTO_LIST("b", "a"));
    assert_ok(it.db, popoto_count(it.db, &desc, &count));
    assert_int_equal(1, count);
    popoto_close(it.db);
    server_flush(*state);
}

/* ----- Loading by keys ------------------------------------------------------------------------ */

static void test_keys_that_are_loaded_name_one_tenant(void **state) {
    popoto_rows *rows = (void *)1;
    subject it;
    set_up(&it, *state);
    popoto_text own[] = { { "{a}:Episode:s1:1", 16 }, { "{a}:Episode:s1:2", 16 } };
    popoto_text both[] = { { "{a}:Episode:s1:1", 16 }, { "{b}:Episode:s1:1", 16 } };
    popoto_text bare[] = { { "Episode:s1:1", 12 } };
    assert_ok(it.db, popoto_load_keys(it.db, &Episode, own, 2, &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    popoto_rows_free(rows);
    long long sent = commands_sent(it.s);
    assert_fails(POPOTO_BAD_ARGUMENT, "two project_id", it.db,
                 popoto_load_keys(it.db, &Episode, both, 2, &rows));
    assert_null(rows);
    assert_fails(POPOTO_BAD_ARGUMENT, "is no key of Episode", it.db,
                 popoto_load_keys(it.db, &Episode, bare, 1, &rows));
    assert_ok(it.db, popoto_scope_enter(it.db, "project_id", "b"));
    assert_fails(POPOTO_BAD_SCOPE, "of another project_id", it.db,
                 popoto_load_keys(it.db, &Episode, own, 2, &rows));
    assert_int_equal(sent, commands_sent(it.s));
    assert_ok(it.db, popoto_load_keys(it.db, &Episode, both + 1, 1, &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    popoto_rows_free(rows);
    popoto_close(it.db);
    server_flush(*state);
}

/* ----- Forged entries ------------------------------------------------------------------------- */

/* A tenant's own user may write into its own indexes what it likes: names of another tenant's records
 * lead nobody there, and nobody else's indexes are cleared up or filled by it. */
static void test_forged_entries_lead_to_no_other_tenant(void **state) {
    server *s = *state;
    subject it;
    popoto_rows *rows;
    popoto_stream *stream;
    void *row;
    size_t count;
    popoto_migration_report *report;
    set_up(&it, s);
    const char *theirs = "{b}:Episode:s1:1", *gone = "{b}:Episode:s1:gone";
    char *packed =
        strdup(server_command(s, "HGET %s %s", "{b}:$ConfidencF:Episode:certainty:data", theirs));
    assert_string_not_equal("(nil)", packed);
    free(packed);
    /* An entry of b's that is stale, and that only b's own readers may clear. */
    server_command(s, "SADD %s %s", "{b}:$KeyF:Episode:season:s1", gone);
    for (int i = 0; i < 2; i++) {
        const char *name = i ? gone : theirs;
        server_command(s, "SADD %s %s", "{a}:$Class:Episode", name);
        server_command(s, "SADD %s %s", "{a}:$KeyF:Episode:season:s1", name);
        server_command(s, "ZADD %s 1 %s", "{a}:$SortedF:Episode:score", name);
        server_command(s, "EVAL %s 1 %s %s",
                       "return redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack({0.5, 9, 9, 0}))",
                       "{a}:$ConfidencF:Episode:belief:data", name);
        server_command(s, "EVAL %s 1 %s %s",
                       "return redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack({0.5, 9, 9, 0}))",
                       "{a}:$ConfidencF:Episode:certainty:data", name);
    }
    char *before = dump_of(s, "{b}:");
    for (int i = 0; i < 3; i++) {
        popoto_query_desc desc = { .model = &Episode, .where = { POPOTO_IS("project_id", "a") } };
        if (i == 1)
            desc.where[1] = (popoto_filter)POPOTO_IS("season", "s1");
        if (i == 2)
            desc.where[1] = (popoto_filter)POPOTO_IS("score__gte", 0);
        assert_ok(it.db, popoto_query(it.db, &desc, &rows));
        assert_int_equal(1, popoto_rows_count(rows));
        assert_string_equal("a", ((episode *)popoto_rows_at(rows, 0))->project_id);
        popoto_rows_free(rows);
        assert_ok(it.db, popoto_stream_open(it.db, &desc, &stream));
        for (count = 0; popoto_stream_next(stream, &row) == POPOTO_OK && row != NULL; count++)
            assert_string_equal("a", ((episode *)row)->project_id);
        assert_int_equal(1, count);
        popoto_stream_free(stream);
    }
    it.tenant = "a";
    assert_ok(it.db, call_scan(&it));
    assert_ok(it.db, popoto_scope_enter(it.db, "project_id", "a"));
    assert_ok(it.db, popoto_confidence_migrate(it.db, &Episode, "belief", NULL, &report));
    assert_int_equal(2, report->error_count);
    assert_int_equal(0, report->migrated);
    popoto_migration_report_free(report);
    char *after = dump_of(s, "{b}:");
    assert_string_equal(before, after);
    free(before);
    free(after);
    popoto_close(it.db);
    server_flush(s);
}

/* ----- Uniqueness and moves ------------------------------------------------------------------- */

static void test_a_value_is_unique_within_its_tenant(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    member ann = { .team = "a", .email = "x@y", .phone = "1" };
    member ben = { .team = "b", .email = "x@y", .phone = "2" };
    member copy = { .team = "a", .email = "x@y", .phone = "3" };
    assert_ok(db, popoto_create(db, &Member, &ann));
    assert_ok(db, popoto_create(db, &Member, &ben));
    assert_fails(POPOTO_EXISTS, "{a}:Member:x@y", db, popoto_create(db, &Member, &copy));
    assert_indexes_match(s, &Member);
    ben.team = "a"; /* moving there is refused as well, and says nothing of whom it met */
    assert_status(POPOTO_EXISTS, db, popoto_save(db, &Member, &ben));
    assert_indexes_match(s, &Member);
    assert_ok(db, popoto_delete(db, &Member, &ann));
    assert_ok(db, popoto_save(db, &Member, &ben));
    assert_string_equal("0", server_command(s, "EXISTS {b}:Member:x@y"));
    assert_string_equal("{a}:Member:x@y",
                        server_command(s, "SMEMBERS %s", "{a}:$UniqueKeyF:Member:email:x@y"));
    assert_indexes_match(s, &Member);
    popoto_close(db);
    server_flush(s);
}

static void test_a_record_moves_to_another_tenant(void **state) {
    subject it;
    popoto_confidence figures;
    popoto_rows *rows;
    set_up(&it, *state);
    assert_ok(it.db, popoto_load(it.db, &Episode, &it.object, &rows));
    episode *row = popoto_rows_at(rows, 0);
    assert_ok(it.db, popoto_confidence_update(it.db, &Episode, row, "belief", 1, NULL));
    row->project_id = "c";
    row->season = "s2";
    assert_ok(it.db, popoto_save(it.db, &Episode, row));
    assert_indexes_match(it.s, &Episode);
    char *left = dump_of(it.s, "{a}:");
    assert_string_equal("", left);
    free(left);
    assert_ok(it.db, popoto_confidence_figures(it.db, &Episode, row, "certainty", &figures));
    assert_int_equal(1, figures.evidence_count);
    assert_ok(it.db, popoto_confidence_figures(it.db, &Episode, row, "belief", &figures));
    assert_int_equal(1, figures.evidence_count);
    /* The one that was there first stays. */
    row->project_id = "b";
    row->season = "s1";
    assert_status(POPOTO_EXISTS, it.db, popoto_save(it.db, &Episode, row));
    assert_indexes_match(it.s, &Episode);
    popoto_rows_free(rows);
    popoto_close(it.db);
    server_flush(*state);
}

static void test_integers_are_tenants(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    size_t count;
    const int64_t sites[] = { 1, -1, 42, INT64_MAX, INT64_MIN };
    for (size_t i = 0; i < 5; i++) {
        visit it = { .site = sites[i], .seen = (int64_t)i };
        assert_ok(db, popoto_create(db, &Visit, &it));
        assert_ok(db, popoto_load(db, &Visit, &it, &rows));
        assert_true(((visit *)popoto_rows_at(rows, 0))->site == sites[i]);
        popoto_rows_free(rows);
    }
    for (size_t i = 0; i < 5; i++) {
        assert_ok(db, popoto_count(db,
                                   &(popoto_query_desc){ .model = &Visit,
                                                         .where = { POPOTO_IS("site", sites[i]) } },
                                   &count));
        assert_int_equal(1, count);
    }
    visit forgotten = { .seen = 1 };
    long long sent = commands_sent(s);
    assert_fails(POPOTO_BAD_VALUE, "Visit.site cannot be 0", db,
                 popoto_create(db, &Visit, &forgotten));
    assert_fails(
        POPOTO_BAD_VALUE, "names no tenant", db,
        popoto_count(db, &(popoto_query_desc){ .model = &Visit, .where = { POPOTO_IS("site", 0) } },
                     &count));
    assert_int_equal(sent, commands_sent(s));
    assert_ok(db, popoto_scope_enter_value(db, "site", popoto_of_int(42)));
    assert_ok(db, popoto_create(db, &Visit, &forgotten)); /* the scope's */
    assert_ok(db, popoto_scope_leave(db));
    assert_indexes_match(s, &Visit);
    popoto_close(db);
    server_flush(s);
}

static void test_a_tenant_may_have_one_record(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    size_t count;
    settings a = { .owner = "a", .colour = 1 }, b = { .owner = "b", .colour = 2 };
    assert_ok(db, popoto_create(db, &Settings, &a));
    assert_ok(db, popoto_create(db, &Settings, &b));
    assert_string_equal("1", server_command(s, "EXISTS {a}:Settings"));
    a = (settings){ .owner = "a" };
    assert_ok(db, popoto_load(db, &Settings, &a, &rows));
    assert_int_equal(1, ((settings *)popoto_rows_at(rows, 0))->colour);
    popoto_rows_free(rows);
    assert_ok(db, popoto_count(db, &(popoto_query_desc){ .model = &Settings, .all_tenants = true },
                               &count));
    assert_int_equal(2, count);
    assert_ok(db, popoto_query(db,
                               &(popoto_query_desc){ .model = &Settings,
                                                     .order_by = "-colour",
                                                     .all_tenants = true,
                                                     .allow_scan = true },
                               &rows));
    assert_int_equal(2, popoto_rows_count(rows));
    assert_int_equal(2, ((settings *)popoto_rows_at(rows, 0))->colour);
    popoto_rows_free(rows);
    assert_ok(db, popoto_delete(db, &Settings, &b));
    assert_indexes_match(s, &Settings);
    popoto_close(db);
    server_flush(s);
}

/* ----- Migration ------------------------------------------------------------------------------ */

static void test_a_migration_is_one_tenants(void **state) {
    static const popoto_field before_fields[] = {
        POPOTO_TENANT(episode, project_id),
        POPOTO_KEY(episode, season),
        POPOTO_KEY(episode, id),
        POPOTO_CONFIDENCE(episode, belief),
    };
    static const popoto_field after_fields[] = {
        POPOTO_TENANT(episode, project_id),
        POPOTO_KEY(episode, season),
        POPOTO_KEY(episode, id),
        POPOTO_CONFIDENCE(episode, belief, .partition_by = "season"),
    };
    static const popoto_model Before = POPOTO_MODEL("Show", episode, before_fields);
    static const popoto_model After = POPOTO_MODEL("Show", episode, after_fields);
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_migration_report *report = (void *)1;
    popoto_confidence figures;
    for (int i = 0; i < 4; i++) {
        episode it = episode_of(i < 2 ? "a" : "b", i % 2 ? "s1" : "s2", "1", 0);
        assert_ok(db, popoto_create(db, &Before, &it));
        assert_ok(db, popoto_confidence_update(db, &Before, &it, "belief", 0.9, NULL));
    }
    char *theirs = dump_of(s, "{b}:");
    long long sent = commands_sent(s);
    assert_fails(POPOTO_BAD_ARGUMENT, "enter the scope of the project_id", db,
                 popoto_confidence_migrate(db, &After, "belief", NULL, &report));
    popoto_migration_report_free(report);
    assert_int_equal(sent, commands_sent(s));
    assert_ok(db, popoto_scope_enter(db, "project_id", "a"));
    for (int dry = 1; dry >= 0; dry--) {
        assert_ok(db,
                  popoto_confidence_migrate(db, &After, "belief",
                                            &(popoto_migration_desc){ .dry_run = dry }, &report));
        assert_int_equal(2, report->total);
        assert_int_equal(dry ? 0 : 2, report->migrated);
        assert_int_equal(2, report->partition_count);
        assert_string_equal("s1", report->partitions[0].name.data);
        popoto_migration_report_free(report);
    }
    assert_ok(db, popoto_scope_leave(db));
    assert_string_equal("0", server_command(s, "EXISTS %s", "{a}:$ConfidencF:Show:belief:data"));
    episode it = episode_of("a", "s1", "1", 0);
    assert_ok(db, popoto_confidence_figures(db, &After, &it, "belief", &figures));
    assert_int_equal(1, figures.evidence_count);
    char *after = dump_of(s, "{b}:");
    assert_string_equal(theirs, after);
    free(theirs);
    free(after);
    popoto_close(db);
    server_flush(s);
}

/* ----- No memory ------------------------------------------------------------------------------ */

static popoto_status all_in_order(subject *it) {
    popoto_rows *rows = (void *)1;
    popoto_query_desc desc = { .model = &Episode,
                               .all_tenants = true,
                               .where = { POPOTO_IS("season", "s1") },
                               .order_by = "-score" };
    popoto_status status = popoto_query(it->db, &desc, &rows);
    assert_true((status == POPOTO_OK) == (rows != NULL));
    if (rows != NULL)
        assert_int_equal(2, popoto_rows_count(rows));
    popoto_rows_free(rows);
    return status;
}

static popoto_status all_counted(subject *it) {
    size_t count = 9;
    popoto_query_desc desc = { .model = &Episode, .all_tenants = true };
    popoto_status status = popoto_count(it->db, &desc, &count);
    assert_int_equal(status == POPOTO_OK ? 2 : 0, count);
    return status;
}

static popoto_status all_streamed(subject *it) {
    popoto_stream *stream = (void *)1;
    void *row = NULL;
    popoto_query_desc desc = { .model = &Episode, .all_tenants = true };
    popoto_status status = popoto_stream_open(it->db, &desc, &stream);
    for (int i = 0; i < 3 && status == POPOTO_OK; i++)
        status = popoto_stream_next(stream, &row);
    popoto_stream_free(stream);
    return status;
}

static popoto_status tenants_listed(subject *it) {
    size_t count = 0;
    popoto_status status = popoto_tenants(it->db, &Episode, count_tenant, &count);
    assert_int_equal(status == POPOTO_OK ? 2 : 0, count);
    return status;
}

static popoto_status keys_loaded(subject *it) {
    popoto_rows *rows = (void *)1;
    popoto_text key = { "{a}:Episode:s1:1", 16 };
    popoto_status status = popoto_load_keys(it->db, &Episode, &key, 1, &rows);
    popoto_rows_free(rows);
    return status;
}

static popoto_status granted(subject *it) {
    popoto_grant_report report;
    popoto_status status = popoto_grant(it->db,
                                        &(popoto_grant_desc){ .model = &Episode,
                                                              .tenant = POPOTO_VALUE("a*"),
                                                              .user = "memory",
                                                              .password = "secret" },
                                        &report);
    return status == POPOTO_OK ? popoto_revoke(it->db, "memory", NULL) : status;
}

static popoto_status migrated(subject *it) {
    popoto_migration_report *report = NULL;
    popoto_status status = popoto_scope_enter(it->db, "project_id", "a");
    if (status != POPOTO_OK)
        return status;
    status = popoto_confidence_migrate(it->db, &Episode, "belief", NULL, &report);
    popoto_migration_report_free(report);
    assert_ok(it->db, popoto_scope_leave(it->db));
    return status;
}

static popoto_status moved_to_another(subject *it) {
    it->object.project_id = "c";
    return popoto_save(it->db, &Episode, &it->object);
}

static popoto_status (*const more_calls[])(subject *it) = {
    all_in_order, all_counted, all_streamed, tenants_listed,
    keys_loaded,  granted,     migrated,     moved_to_another,
};
#define READ_COUNT 5 /* of them, the first */
#define MORE_COUNT (sizeof more_calls / sizeof *more_calls)

static void test_every_call_survives_each_failing_allocation(void **state) {
    server *s = *state;
    for (size_t which = 0; which < CALL_COUNT + MORE_COUNT; which++)
        for (size_t n = 1;; n++) {
            failing_allocator heap;
            subject it = { .s = s, .object = episode_of("a", "s1", "1", 1) };
            bool reads = which < CALL_COUNT ? calls[which].reads : which < CALL_COUNT + READ_COUNT;
            if (n == 1 || !reads) {
                set_up(&it, s);
                popoto_close(it.db);
            }
            it.db = opened_to_fail(s, &heap, n);
            it.tenant = "a";
            popoto_status status =
                which < CALL_COUNT ? calls[which].run(&it) : more_calls[which - CALL_COUNT](&it);
            bool failed = heap.failed;
            heap.fail_at = 0;
            if (status != POPOTO_OK && (!failed || status != POPOTO_NO_MEMORY))
                fail_msg("%zu, allocation %zu: %s, %s", which, n, popoto_status_name(status),
                         popoto_error(it.db));
            if (n % 8 == 1)
                assert_indexes_match(s, &Episode);
            assert_ok(it.db, popoto_ping(it.db));
            popoto_close(it.db);
            if (heap.live_blocks != 0)
                fail_msg("%zu, allocation %zu: %zu blocks leaked", which, n, heap.live_blocks);
            if (!failed)
                break;
            assert_true(n < 2000);
        }
    server_command(s, "ACL DELUSER memory");
    server_flush(s);
}

/* ----- Others --------------------------------------------------------------------------------- */

static void test_records_of_a_strict_model(void **state) {
    static const popoto_field fields[] = {
        { .name = "owner", .kind = POPOTO_KIND_TENANT, .type = POPOTO_TEXT },
        { .name = "id", .kind = POPOTO_KIND_AUTO_KEY, .type = POPOTO_TEXT },
        { .name = "rank", .kind = POPOTO_KIND_SORTED, .type = POPOTO_INT },
    };
    static const popoto_model Note = { .name = "Note", .fields = fields, .field_count = 3 };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_record *record;
    popoto_rows *rows;
    assert_ok(db, popoto_record_new(db, &Note, &record));
    assert_ok(db, popoto_record_set(record, "rank", POPOTO_VALUE(3)));
    assert_fails(POPOTO_BAD_VALUE, "Note.owner is null: every call names its tenant", db,
                 popoto_create(db, &Note, record));
    assert_ok(db, popoto_scope_enter(db, "owner", "ann"));
    assert_ok(db, popoto_create(db, &Note, record));
    assert_ok(db, popoto_scope_leave(db));
    assert_ok(db, popoto_record_set(record, "owner", POPOTO_VALUE("ann")));
    assert_ok(db, popoto_record_set(record, "rank", POPOTO_VALUE(4)));
    assert_ok(db, popoto_save(db, &Note, record));
    assert_ok(db, popoto_query(db,
                               &(popoto_query_desc){ .model = &Note,
                                                     .where = { POPOTO_IS("owner", "ann"),
                                                                POPOTO_IS("rank__gt", 3) } },
                               &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    popoto_rows_free(rows);
    assert_indexes_match(s, &Note);
    popoto_record_free(record);
    popoto_close(db);
    server_flush(s);
}

/* Expired records disappear from their tenant's indexes, and from no other's. */
static void test_what_expired_is_cleared_within_its_tenant(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    visit one = { .site = 1, .id = { "x" } }, two = { .site = 2, .id = { "x" } };
    popoto_rows *rows;
    size_t count;
    assert_ok(db, popoto_create(db, &Visit, &one));
    assert_ok(db, popoto_create(db, &Visit, &two));
    server_command(s, "DEL {1}:Visit:x");
    char *theirs = dump_of(s, "{2}:");
    assert_ok(
        db, popoto_count(db, &(popoto_query_desc){ .model = &Visit, .all_tenants = true }, &count));
    assert_int_equal(1, count);
    assert_ok(db, popoto_query(db,
                               &(popoto_query_desc){
                                   .model = &Visit, .all_tenants = true, .order_by = "seen" },
                               &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    popoto_rows_free(rows);
    char *after = dump_of(s, "{2}:"), *own = dump_of(s, "{1}:");
    assert_string_equal(theirs, after);
    assert_string_equal("", own);
    free(theirs);
    free(after);
    free(own);
    popoto_close(db);
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_the_object_or_a_filter_names_the_tenant),
        server_test(test_a_scope_names_the_tenant),
        server_test(test_no_tenant_is_refused_before_anything_is_sent),
        server_test(test_an_empty_tenant_is_none),
        server_test(test_two_tenants_are_refused_before_anything_is_sent),
        server_test(test_only_an_exact_filter_names_a_tenant),
        server_test(test_keys_that_are_loaded_name_one_tenant),
        server_test(test_a_value_is_unique_within_its_tenant),
        server_test(test_a_record_moves_to_another_tenant),
        server_test(test_integers_are_tenants),
        server_test(test_a_tenant_may_have_one_record),
        server_test(test_forged_entries_lead_to_no_other_tenant),
        server_test(test_a_migration_is_one_tenants),
        server_test(test_every_call_survives_each_failing_allocation),
        server_test(test_records_of_a_strict_model),
        server_test(test_what_expired_is_cleared_within_its_tenant),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
