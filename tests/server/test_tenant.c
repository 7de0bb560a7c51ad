/* Strict models against a server: every call works with a tenant that the object, a filter or a scope
 * names, and is refused before anything is sent where none or two do; no name of a tenant, however hostile,
 * touches another's data; queries of all tenants are asked for by name. */
#include "databases.h"
#include "failing_allocator.h"
#include "index_checker.h"
#include "server.h"
#include "strict_episodes.h"

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

/* Expires; its id is generated. */
typedef struct visit {
    popoto_object object;
    int64_t site;
    popoto_id id;
    int64_t seen;
} visit;

static const popoto_field visit_fields[] = {
    POPOTO_TENANT(visit, site),
    POPOTO_AUTO_KEY(visit, id),
    POPOTO_SORTED(visit, seen),
};
static const popoto_model Visit = POPOTO_MODEL("Visit", visit, visit_fields, .time_to_live = 100);

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

static episode episode_of(const char *project, const char *season, const char *id, double score) {
    return (episode){ .project_id = project, .season = season, .id = id, .score = score };
}

/* Tenants a and b, each with one record and its confidence. `object` is what the caller has in hand: one
 * that was never saved. */
static void set_up(subject *it, server *s) {
    server_flush(s);
    *it = (subject){ .s = s, .db = popoto_open(server_url(s), NULL) };
    const char *const projects[] = { "a", "b" };
    for (int i = 0; i < 2; i++) {
        episode one = episode_of(projects[i], "s1", "1", 1);
        assert_ok(it->db, popoto_create(it->db, &Episode, &one));
        assert_ok(it->db, popoto_confidence_update(it->db, &Episode, &one, "certainty", 0.9, NULL));
    }
    it->object = episode_of("a", "s1", "1", 1);
}

/* What the server was sent ever, this question not counted. */
static long long commands_sent(server *s) {
    const char *stats = server_command(s, "INFO stats");
    const char *at = strstr(stats, "total_commands_processed:");
    static long long asked;
    assert_non_null(at);
    return atoll(at + strlen("total_commands_processed:")) - asked++;
}

/* b's part of the dump: the lines of its keys. The text is to be freed. */
static char *dump_of(server *s, const char *prefix) {
    const char *dump = server_dump(s);
    char *out = calloc(strlen(dump) + 1, 1), *end = out;
    bool mine = false;
    for (const char *line = dump; *line != '\0';) {
        size_t size = strcspn(line, "\n");
        size += line[size] == '\n';
        if (line[0] != ' ')
            mine = strncmp(line, prefix, strlen(prefix)) == 0;
        if (mine) {
            memcpy(end, line, size);
            end += size;
        }
        line += size;
    }
    *end = '\0';
    return out;
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

/* ----- All tenants ---------------------------------------------------------------------------- */

/* Tenants t0 to t4, tenant i with i records (t0 has none), scores spread over them. */
static size_t add_many(popoto_db *db) {
    char project[8], id[8];
    size_t count = 0;
    for (int tenant = 0; tenant < 5; tenant++)
        for (int i = 0; i < tenant; i++) {
            snprintf(project, sizeof project, "t%d", tenant % 10);
            snprintf(id, sizeof id, "%d", i % 10);
            episode it = episode_of(project, i % 2 ? "odd" : "even", id, 10 * i + tenant);
            it.views = -(10 * i + tenant);
            assert_ok(db, popoto_create(db, &Episode, &it));
            count++;
        }
    return count;
}

/* The scores of a query, in its order, as "11 12 13"; with its status where that is no success. */
static const char *scores_of(popoto_db *db, popoto_query_desc desc) {
    static char text[400];
    popoto_rows *rows;
    desc.model = &Episode;
    popoto_status status = popoto_query(db, &desc, &rows);
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < popoto_rows_count(rows); i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%g", i ? " " : "",
                               ((episode *)popoto_rows_at(rows, i))->score);
    popoto_rows_free(rows);
    return status == POPOTO_OK ? text : popoto_status_name(status);
}

static void test_a_query_of_all_tenants_is_one_query(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    size_t all = add_many(db), count;
    /* Scores are 10 * id + tenant: t1: 1; t2: 2 12; t3: 3 13 23; t4: 4 14 24 34. */
    assert_string_equal(
        "1 2 3 4 12 13 14 23 24 34",
        scores_of(db, (popoto_query_desc){ .all_tenants = true, .order_by = "score" }));
    assert_string_equal(
        "34 24 23 14 13 12 4 3 2 1",
        scores_of(db, (popoto_query_desc){ .all_tenants = true, .order_by = "-score" }));
    assert_string_equal(
        "24 23 14",
        scores_of(db, (popoto_query_desc){
                          .all_tenants = true, .order_by = "-score", .offset = 1, .limit = 3 }));
    assert_string_equal(
        "24 34",
        scores_of(db, (popoto_query_desc){
                          .all_tenants = true, .order_by = "score", .offset = 8, .limit = 3 }));
    assert_string_equal(
        "", scores_of(
                db, (popoto_query_desc){ .all_tenants = true, .order_by = "score", .offset = 10 }));
    assert_string_equal(
        "13 14 23",
        scores_of(db, (popoto_query_desc){
                          .all_tenants = true,
                          .order_by = "score",
                          .where = { POPOTO_IS("score__between", POPOTO_LIST(13.0, 23.0)) } }));
    /* By the index of a key. */
    assert_string_equal(
        "12 13 14 34",
        scores_of(db, (popoto_query_desc){ .all_tenants = true,
                                           .order_by = "score",
                                           .where = { POPOTO_IS("season", "odd") } }));
    assert_string_equal(
        "12 13 14 23 24 34",
        scores_of(db, (popoto_query_desc){
                          .all_tenants = true,
                          .order_by = "score",
                          .where = { POPOTO_IS("id__in", POPOTO_LIST("1", "2", "3")) } }));
    /* By the whole key but for the tenant: one record each, still in order. */
    assert_string_equal("14 13 12",
                        scores_of(db, (popoto_query_desc){ .all_tenants = true,
                                                           .order_by = "-score",
                                                           .where = { POPOTO_IS("season", "odd"),
                                                                      POPOTO_IS("id", "1") } }));
    assert_string_equal("13",
                        scores_of(db, (popoto_query_desc){ .all_tenants = true,
                                                           .order_by = "-score",
                                                           .offset = 1,
                                                           .limit = 1,
                                                           .where = { POPOTO_IS("season", "odd"),
                                                                      POPOTO_IS("id", "1") } }));
    /* Of some tenants. */
    assert_string_equal(
        "1 3 13 23",
        scores_of(
            db, (popoto_query_desc){
                    .all_tenants = true,
                    .order_by = "score",
                    .where = { POPOTO_IS("project_id__in", POPOTO_LIST("t1", "t3", "nobody")) } }));
    /* By a partition, whose index is ordered within each tenant only. */
    assert_string_equal(
        "34 14 13 12",
        scores_of(db, (popoto_query_desc){ .all_tenants = true,
                                           .order_by = "views",
                                           .where = { POPOTO_IS("season", "odd") } }));
    /* Without an order: all, once each, and limits hold. */
    for (size_t offset = 0; offset <= all + 1; offset++)
        for (size_t limit = 1; limit <= all + 1; limit += 3) {
            popoto_rows *rows;
            size_t rest = offset < all ? all - offset : 0;
            assert_ok(db, popoto_query(db,
                                       &(popoto_query_desc){ .model = &Episode,
                                                             .all_tenants = true,
                                                             .offset = offset,
                                                             .limit = limit },
                                       &rows));
            assert_int_equal(limit < rest ? limit : rest, popoto_rows_count(rows));
            popoto_rows_free(rows);
        }
    popoto_query_desc counted = { .model = &Episode, .all_tenants = true };
    assert_ok(db, popoto_count(db, &counted, &count));
    assert_int_equal(all, count);
    counted.where[0] = (popoto_filter)POPOTO_IS("season", "odd");
    assert_ok(db, popoto_count(db, &counted, &count));
    assert_int_equal(4, count);
    counted.where[0] = (popoto_filter)POPOTO_IS("score__gte", 13);
    assert_ok(db, popoto_count(db, &counted, &count));
    assert_int_equal(5, count);
    popoto_close(db);
    server_flush(s);
}

static size_t streamed(popoto_db *db, const popoto_query_desc *desc) {
    popoto_stream *stream;
    void *row;
    size_t count = 0;
    assert_ok(db, popoto_stream_open(db, desc, &stream));
    for (;; count++) {
        assert_ok(db, popoto_stream_next(stream, &row));
        if (row == NULL)
            break;
    }
    popoto_stream_free(stream);
    return count;
}

/* A limit that ends within a tenant, some of whose records are gone or cannot be read, costs the tenants before it
 * nothing. */
static void test_a_limit_of_all_tenants_starts_again(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    add_many(db);
    popoto_query_desc desc = { .model = &Episode,
                               .all_tenants = true,
                               .where = { POPOTO_IS("score__gte", 0.0) },
                               .limit = 8 };
    assert_string_equal("1", server_command(s, "DEL {t4}:Episode:even:0"));
    assert_string_equal("1 2 12 3 13 23 14 24", scores_of(db, desc));
    server_command(s, "HSET {t1}:Episode:even:0 score %b", "\xc1", (size_t)1);
    server_command(s, "DEL {t4}:Episode:odd:1");
    assert_int_equal(POPOTO_CORRUPT, popoto_query(db, &desc, &rows));
    assert_int_equal(7, popoto_rows_count(rows));
    assert_int_equal(1, popoto_rows_problem_count(rows));
    popoto_rows_free(rows);
    popoto_close(db);
    server_flush(s);
}

static void test_a_stream_of_all_tenants(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    size_t all = add_many(db);
    popoto_stream *stream;
    popoto_query_desc desc = { .model = &Episode, .all_tenants = true };
    assert_int_equal(all, streamed(db, &desc));
    for (size_t offset = 0; offset <= all + 1; offset++) {
        desc.offset = offset;
        desc.limit = 4;
        size_t rest = offset < all ? all - offset : 0;
        assert_int_equal(rest < 4 ? rest : 4, streamed(db, &desc));
    }
    desc.offset = desc.limit = 0;
    desc.where[0] = (popoto_filter)POPOTO_IS("season", "odd");
    assert_int_equal(4, streamed(db, &desc));
    /* No index orders the tenants' records among each other, by whatever they are found. */
    desc.order_by = "score";
    assert_fails(POPOTO_BAD_QUERY, "cannot be ordered by score", db,
                 popoto_stream_open(db, &desc, &stream));
    desc.where[1] = (popoto_filter)POPOTO_IS("id", "1");
    assert_fails(POPOTO_BAD_QUERY, "cannot be ordered by score", db,
                 popoto_stream_open(db, &desc, &stream));
    assert_null(stream);
    popoto_close(db);
    server_flush(s);
}

static bool no_tenant(void *context, const popoto_value *tenant) {
    (void)context, (void)tenant;
    return false;
}

/* No omission makes a query of all tenants, and nothing that names one agrees with it. */
static void test_all_tenants_is_refused_where_one_is_named(void **state) {
    static const popoto_field plain_fields[] = { POPOTO_KEY(episode, id) };
    static const popoto_model Plain = POPOTO_MODEL("Plain", episode, plain_fields);
    subject it;
    popoto_rows *rows = (void *)1;
    size_t count = 9;
    popoto_stream *stream = (void *)1;
    set_up(&it, *state);
    popoto_query_desc desc = { .model = &Episode, .all_tenants = true };
    long long sent = commands_sent(it.s);
    assert_ok(it.db, popoto_scope_enter(it.db, "project_id", "a"));
    assert_status(POPOTO_BAD_SCOPE, it.db, popoto_query(it.db, &desc, &rows));
    assert_null(rows);
    assert_status(POPOTO_BAD_SCOPE, it.db, popoto_count(it.db, &desc, &count));
    assert_int_equal(0, count);
    assert_status(POPOTO_BAD_SCOPE, it.db, popoto_stream_open(it.db, &desc, &stream));
    assert_null(stream);
    assert_status(POPOTO_BAD_SCOPE, it.db, popoto_get(it.db, &desc, &rows));
    assert_status(POPOTO_BAD_SCOPE, it.db, popoto_tenants(it.db, &Episode, no_tenant, NULL));
    assert_ok(it.db, popoto_scope_leave(it.db));
    desc.where[0] = (popoto_filter)POPOTO_IS("project_id", "a");
    assert_fails(POPOTO_BAD_QUERY, "the filter names", it.db, popoto_query(it.db, &desc, &rows));
    desc = (popoto_query_desc){ .model = &Plain, .all_tenants = true };
    assert_fails(POPOTO_BAD_QUERY, "Plain has no TENANT", it.db, popoto_query(it.db, &desc, &rows));
    assert_status(POPOTO_BAD_QUERY, it.db, popoto_count(it.db, &desc, &count));
    assert_int_equal(sent, commands_sent(it.s));
    /* A scope on another field is no tenant's. */
    desc = (popoto_query_desc){ .model = &Episode, .all_tenants = true };
    assert_ok(it.db, popoto_scope_enter(it.db, "season", "s1"));
    assert_ok(it.db, popoto_count(it.db, &desc, &count));
    assert_int_equal(2, count);
    popoto_close(it.db);
    server_flush(*state);
}

/* ----- The list of tenants -------------------------------------------------------------------- */

typedef struct names {
    char text[4000];
    size_t at, count;
} names;

static bool take_name(void *context, const popoto_value *tenant) {
    names *it = context;
    it->count++;
    if (tenant->type == POPOTO_INT)
        it->at += (size_t)snprintf(it->text + it->at, sizeof it->text - it->at, "%lld;",
                                   (long long)tenant->as.integer);
    else
        it->at += (size_t)snprintf(it->text + it->at, sizeof it->text - it->at, "%.*s;",
                                   (int)tenant->as.text.size, tenant->as.text.data);
    return true;
}

static void test_tenants_are_listed_from_the_keys(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    names found = { .count = 0 };
    assert_ok(db, popoto_tenants(db, &Episode, take_name, &found));
    assert_int_equal(0, found.count);
    add_many(db);
    assert_ok(db, popoto_tenants(db, &Episode, take_name, &found));
    assert_string_equal("t1;t2;t3;t4;", found.text);
    assert_string_equal("4", server_command(s, "SCARD $Tenants:Episode"));
    /* The list is a hint: neither what it lacks nor what it has too much changes what is so. */
    server_command(s, "DEL $Tenants:Episode");
    server_command(s, "SADD $Tenants:Episode ghost");
    found = (names){ .count = 0 };
    assert_ok(db, popoto_tenants(db, &Episode, take_name, &found));
    assert_string_equal("t1;t2;t3;t4;", found.text);
    size_t count;
    assert_ok(db, popoto_count(db, &(popoto_query_desc){ .model = &Episode, .all_tenants = true },
                               &count));
    assert_int_equal(10, count);
    /* A tenant without records is none any more. */
    episode last = episode_of("t1", "even", "0", 0);
    assert_ok(db, popoto_delete(db, &Episode, &last));
    found = (names){ .count = 0 };
    assert_ok(db, popoto_tenants(db, &Episode, take_name, &found));
    assert_string_equal("t2;t3;t4;", found.text);
    assert_fails(POPOTO_STOPPED, "asked to stop", db,
                 popoto_tenants(db, &Episode, no_tenant, NULL));
    assert_status(POPOTO_BAD_ARGUMENT, db, popoto_tenants(db, &Episode, NULL, NULL));
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_tenants(NULL, &Episode, take_name, &found));
    popoto_close(db);
    server_flush(s);
}

/* Another server has a list of its own. */
static void test_the_list_is_kept_on_each_server(void **state) {
    server *s = *state, *other = server_start(NULL);
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (int i = 0; i < 2; i++) {
        episode it = episode_of("a", "s", "1", 0);
        assert_ok(db, popoto_create(db, &Episode, &it));
        assert_string_equal("a", server_command(i ? other : s, "SMEMBERS $Tenants:Episode"));
        assert_ok(db, popoto_switch(db, server_url(other)));
    }
    popoto_close(db);
    server_stop(other);
    server_flush(s);
}

/* Keys that others put there, a tenant's own user among them, name no tenant that there is not, and do
 * not keep an operator from the others. */
static void test_foreign_keys_name_no_tenant(void **state) {
    static const char *const foreign[] = {
        "{}:$Class:Episode",    "{a b}:$Class:Episode", "{{x}}:$Class:Episode",
        "{x:$Class:Episode",    "x}:$Class:Episode",    "{z}:Other:y}:$Class:Episode",
        "{/61}:$Class:Episode", "{y}x:$Class:Episode",  "{w}:$Class:Episode:x",
        "$Class:Episode",
    };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    names found = { .count = 0 };
    popoto_rows *rows;
    episode it = episode_of("a", "s", "1", 0);
    visit seen = { .site = 5 };
    assert_ok(db, popoto_create(db, &Episode, &it));
    assert_ok(db, popoto_create(db, &Visit, &seen));
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        server_command(s, "SADD %s %s", foreign[i], "{a}:Episode:s:1");
    server_command(s, "SET %s x", "{string}:$Class:Episode");
    assert_ok(db, popoto_tenants(db, &Episode, take_name, &found));
    assert_string_equal("a;", found.text);
    assert_ok(db, popoto_query(db, &(popoto_query_desc){ .model = &Episode, .all_tenants = true },
                               &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    popoto_rows_free(rows);
    server_command(s, "SADD %s x", "{05}:$Class:Visit");
    server_command(s, "SADD %s x", "{5/00}:$Class:Visit");
    server_command(s, "SADD %s x", "{0}:$Class:Visit");
    server_command(s, "SADD %s x", "{-0}:$Class:Visit");
    server_command(s, "SADD %s x", "{99999999999999999999}:$Class:Visit");
    found = (names){ .count = 0 };
    assert_ok(db, popoto_tenants(db, &Visit, take_name, &found));
    assert_string_equal("5;", found.text);
    popoto_close(db);
    server_flush(s);
}

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

/* ----- Hostile names -------------------------------------------------------------------------- */

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

static bool count_tenant(void *context, const popoto_value *tenant) {
    (void)tenant;
    ++*(size_t *)context;
    return true;
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

/* ----- A model by brute force ----------------------------------------------------------------- */

#define TENANTS 4
#define IDS     6

static const char *const property_tenants[TENANTS] = { "a", "a:b", "{a}", "*" };
static const char *const property_seasons[2] = { "s1", "s2" };
static const char *const property_ids[IDS] = { "0", "1", "2", "3", "4", "5" };

/* What should be there: by tenant and id, for the season is a function of neither. */
typedef struct known {
    bool is_there;
    int season;
    double score;
    int64_t evidence;
} known;

typedef struct world {
    popoto_db *db;
    known records[TENANTS][2][IDS];
    uint64_t random;
} world;

static size_t pick(world *it, size_t count) {
    it->random = it->random * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (size_t)(it->random >> 33) % count;
}

static episode at(size_t tenant, size_t season, size_t id) {
    return episode_of(property_tenants[tenant], property_seasons[season], property_ids[id], 0);
}

static void change(world *it) {
    size_t t = pick(it, TENANTS), season = pick(it, 2), id = pick(it, IDS);
    known *one = &it->records[t][season][id];
    episode object = at(t, season, id);
    popoto_rows *rows;
    switch (pick(it, 5)) {
    case 0:
        object.score = one->is_there ? one->score : (double)pick(it, 50);
        assert_status(one->is_there ? POPOTO_EXISTS : POPOTO_OK, it->db,
                      popoto_create(it->db, &Episode, &object));
        one->score = object.score;
        one->is_there = true;
        return;
    case 1:
        object.score = one->score = (double)pick(it, 50);
        assert_ok(it->db, popoto_save(it->db, &Episode, &object));
        one->is_there = true;
        return;
    case 2:
        assert_status(one->is_there ? POPOTO_OK : POPOTO_NOT_FOUND, it->db,
                      popoto_delete(it->db, &Episode, &object));
        *one = (known){ 0 };
        return;
    case 3:
        assert_status(one->is_there ? POPOTO_OK : POPOTO_NOT_FOUND, it->db,
                      popoto_confidence_update(it->db, &Episode, &object, "belief", 0.75, NULL));
        one->evidence += one->is_there;
        return;
    default: break;
    }
    /* A move, to another tenant or season or id. */
    popoto_status found = popoto_load(it->db, &Episode, &object, &rows);
    assert_int_equal(one->is_there ? POPOTO_OK : POPOTO_NOT_FOUND, found);
    if (found != POPOTO_OK)
        return;
    size_t to = pick(it, TENANTS), to_season = pick(it, 2), to_id = pick(it, IDS);
    known *there = &it->records[to][to_season][to_id];
    episode *row = popoto_rows_at(rows, 0);
    row->project_id = property_tenants[to];
    row->season = property_seasons[to_season];
    row->id = property_ids[to_id];
    bool taken = there->is_there && there != one;
    assert_status(taken ? POPOTO_EXISTS : POPOTO_OK, it->db, popoto_save(it->db, &Episode, row));
    if (!taken && there != one) {
        *there = *one;
        *one = (known){ 0 };
    }
    popoto_rows_free(rows);
}

/* A query, and what brute force says of it. t == TENANTS: of all. */
static void ask(world *it) {
    size_t t = pick(it, TENANTS + 1), season = pick(it, 3), count;
    double low = (double)pick(it, 50), last = 1e9;
    bool by_score = pick(it, 2), in_scope = t < TENANTS && pick(it, 2);
    popoto_query_desc desc = { .model = &Episode, .all_tenants = t == TENANTS };
    popoto_rows *rows;
    size_t filters = 0, expected = 0;
    for (size_t a = 0; a < TENANTS; a++)
        for (size_t b = 0; b < 2; b++)
            for (size_t c = 0; c < IDS; c++) {
                const known *one = &it->records[a][b][c];
                expected += one->is_there && (t == TENANTS || t == a) &&
                            (season == 2 || season == b) && (!by_score || one->score >= low);
            }
    if (t < TENANTS && !in_scope)
        desc.where[filters++] = (popoto_filter)POPOTO_IS("project_id", property_tenants[t]);
    if (season < 2)
        desc.where[filters++] = (popoto_filter)POPOTO_IS("season", property_seasons[season]);
    if (by_score)
        desc.where[filters++] = (popoto_filter)POPOTO_IS("score__gte", low);
    if (in_scope)
        assert_ok(it->db, popoto_scope_enter(it->db, "project_id", property_tenants[t]));
    assert_ok(it->db, popoto_count(it->db, &desc, &count));
    assert_int_equal(expected, count);
    desc.offset = pick(it, 4);
    desc.limit = pick(it, 8);
    desc.order_by = pick(it, 2) ? "-score" : NULL;
    assert_ok(it->db, popoto_query(it->db, &desc, &rows));
    size_t rest = expected > desc.offset ? expected - desc.offset : 0;
    assert_int_equal(desc.limit != 0 && desc.limit < rest ? desc.limit : rest,
                     popoto_rows_count(rows));
    for (size_t i = 0; i < popoto_rows_count(rows); i++) {
        const episode *row = popoto_rows_at(rows, i);
        if (t < TENANTS)
            assert_string_equal(property_tenants[t], row->project_id);
        if (desc.order_by != NULL)
            assert_true(row->score <= last);
        last = row->score;
    }
    popoto_rows_free(rows);
    if (in_scope)
        assert_ok(it->db, popoto_scope_leave(it->db));
}

static void compare(world *it) {
    for (size_t a = 0; a < TENANTS; a++)
        for (size_t b = 0; b < 2; b++)
            for (size_t c = 0; c < IDS; c++) {
                const known *one = &it->records[a][b][c];
                episode object = at(a, b, c);
                popoto_rows *rows;
                popoto_confidence figures;
                assert_status(one->is_there ? POPOTO_OK : POPOTO_NOT_FOUND, it->db,
                              popoto_load(it->db, &Episode, &object, &rows));
                if (!one->is_there)
                    continue;
                assert_true(((episode *)popoto_rows_at(rows, 0))->score == one->score);
                popoto_rows_free(rows);
                assert_ok(it->db,
                          popoto_confidence_figures(it->db, &Episode, &object, "belief", &figures));
                assert_int_equal(one->evidence, figures.evidence_count);
            }
}

static void test_tenants_agree_with_brute_force(void **state) {
    server *s = *state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        world it = { .db = popoto_open(server_url(s), NULL), .random = seed };
        server_flush(s);
        for (int step = 0; step < 300; step++) {
            change(&it);
            ask(&it);
        }
        compare(&it);
        assert_indexes_match(s, &Episode);
        popoto_close(it.db);
    }
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
        server_test(test_a_query_of_all_tenants_is_one_query),
        server_test(test_a_limit_of_all_tenants_starts_again),
        server_test(test_a_stream_of_all_tenants),
        server_test(test_all_tenants_is_refused_where_one_is_named),
        server_test(test_tenants_are_listed_from_the_keys),
        server_test(test_the_list_is_kept_on_each_server),
        server_test(test_foreign_keys_name_no_tenant),
        server_test(test_forged_entries_lead_to_no_other_tenant),
        server_test(test_hostile_names_touch_no_other),
        server_test(test_every_byte_is_a_name),
        server_test(test_a_megabyte_is_a_name),
        server_test(test_a_migration_is_one_tenants),
        server_test(test_tenants_agree_with_brute_force),
        server_test(test_every_call_survives_each_failing_allocation),
        server_test(test_records_of_a_strict_model),
        server_test(test_what_expired_is_cleared_within_its_tenant),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
