/* Grants: a tenant's user does everything inside its tenant by this library, and nothing outside it: every
 * call is refused there by the server (test_grant_commands.c: every command and every script, too). Who gets
 * a grant, keeps it and loses it. */
#include "databases.h"
#include "failing_allocator.h"
#include "grant_stage.h"
#include "index_checker.h"

#include <popoto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* With a generated id alone: stored by a transaction. */
static const popoto_field event_fields[] = {
    POPOTO_TENANT(visit, project_id),
    POPOTO_AUTO_KEY(visit, id),
    POPOTO_FIELD(visit, user),
};
static const popoto_model Event = POPOTO_MODEL("Event", visit, event_fields);

/* Not strict. */
static const popoto_field plain_fields[] = { POPOTO_KEY(episode, id) };
static const popoto_model Plain = POPOTO_MODEL("Plain", episode, plain_fields);

/* ----- Every call of the library -------------------------------------------------------------- */

typedef popoto_status call(popoto_db *db, const char *project);

static popoto_status call_create(popoto_db *db, const char *project) {
    episode it = episode_of(project, "s1", "new", 1);
    return popoto_create(db, &Episode, &it);
}

static popoto_status call_create_generated(popoto_db *db, const char *project) {
    visit it = { .project_id = project, .user = "x" };
    return popoto_create(db, &Event, &it);
}

static popoto_status call_create_unique(popoto_db *db, const char *project) {
    visit it = { .project_id = project, .user = "x" };
    return popoto_create(db, &Visit, &it);
}

static popoto_status call_save(popoto_db *db, const char *project) {
    episode it = episode_of(project, "s1", "1", 1);
    it.score = 7;
    return popoto_save(db, &Episode, &it);
}

static popoto_status call_save_part(popoto_db *db, const char *project) {
    episode it = episode_of(project, "s1", "1", 1);
    it.views = 7;
    return popoto_save_with(db, &Episode, &it, &(popoto_save_desc){ .only = "views" });
}

static popoto_status call_save_unchanged(popoto_db *db, const char *project) {
    episode it = episode_of(project, "s1", "1", 1);
    popoto_rows *rows;
    popoto_status status = popoto_load(db, &Episode, &it, &rows);
    if (status != POPOTO_OK)
        return status;
    episode *row = popoto_rows_at(rows, 0);
    row->season = "s2";
    row->id = "moved";
    row->score = 3;
    status = popoto_save_with(db, &Episode, row, &(popoto_save_desc){ .if_unchanged = true });
    popoto_rows_free(rows);
    return status;
}

static popoto_status call_delete(popoto_db *db, const char *project) {
    episode it = episode_of(project, "s1", "1", 1);
    return popoto_delete(db, &Episode, &it);
}

typedef popoto_status many(popoto_db *db, const popoto_model *model, void *const *objects,
                           size_t count, popoto_status *statuses);

/* Of one's own and of the other tenant: what becomes of the second. */
static popoto_status call_many(popoto_db *db, const char *project, many *run, const char *id) {
    episode own = episode_of("a", "s1", id, 1), other = episode_of(project, "s1", id, 1);
    void *objects[] = { &own, &other };
    popoto_status statuses[2] = { POPOTO_STOPPED, POPOTO_STOPPED };
    size_t count = strcmp(project, "a") == 0 ? 1 : 2;
    popoto_status status = run(db, &Episode, objects, count, statuses);
    assert_int_equal(POPOTO_OK, statuses[0]);
    assert_int_equal(status, statuses[count - 1]);
    return status;
}

static popoto_status call_create_many(popoto_db *db, const char *project) {
    return call_many(db, project, popoto_create_many, "newer");
}

static popoto_status call_save_many(popoto_db *db, const char *project) {
    return call_many(db, project, popoto_save_many, "1");
}

static popoto_status call_delete_many(popoto_db *db, const char *project) {
    return call_many(db, project, popoto_delete_many, "1");
}

static popoto_status rows_of(popoto_status status, popoto_rows *rows) {
    if (status == POPOTO_OK)
        assert_int_equal(1, popoto_rows_count(rows));
    else
        assert_null(rows);
    popoto_rows_free(rows);
    return status;
}

static popoto_status call_load(popoto_db *db, const char *project) {
    episode it = episode_of(project, "s1", "1", 1);
    popoto_rows *rows;
    popoto_status status = popoto_load(db, &Episode, &it, &rows);
    return rows_of(status, rows);
}

static popoto_status call_load_keys(popoto_db *db, const char *project) {
    char key[40];
    int size = snprintf(key, sizeof key, "{%s}:Episode:s1:1", project);
    popoto_text keys[] = { { key, (size_t)size } };
    popoto_rows *rows;
    popoto_status status = popoto_load_keys(db, &Episode, keys, 1, &rows);
    return rows_of(status, rows);
}

static popoto_status ask(popoto_db *db, const char *project, popoto_filter filter,
                         const char *order, bool scan) {
    popoto_rows *rows;
    popoto_query_desc desc = { .model = &Episode,
                               .where = { POPOTO_IS("project_id", project), filter },
                               .order_by = order,
                               .allow_scan = scan };
    popoto_status status = popoto_query(db, &desc, &rows);
    return rows_of(status, rows);
}

static popoto_status call_query_all(popoto_db *db, const char *project) {
    return ask(db, project, (popoto_filter){ .lookup = NULL }, NULL, false);
}

static popoto_status call_query_key(popoto_db *db, const char *project) {
    return ask(db, project, (popoto_filter)POPOTO_IS("season", "s1"), "-views", false);
}

static popoto_status call_query_in(popoto_db *db, const char *project) {
    return ask(db, project, (popoto_filter)POPOTO_IS("season__in", POPOTO_LIST("s1", "s2")), NULL,
               false);
}

static popoto_status call_query_range(popoto_db *db, const char *project) {
    return ask(db, project, (popoto_filter)POPOTO_IS("score__gt", 0), "-score", false);
}

static popoto_status call_query_up(popoto_db *db, const char *project) {
    return ask(db, project, (popoto_filter)POPOTO_IS("score__lt", 2), "score", false);
}

static popoto_status call_query_scan(popoto_db *db, const char *project) {
    return ask(db, project, (popoto_filter)POPOTO_IS("views__isnull", false), NULL, true);
}

/* Sets and a range, whose sizes decide. */
static popoto_status call_query_both(popoto_db *db, const char *project) {
    popoto_rows *rows;
    popoto_query_desc desc = {
        .model = &Episode,
        .where = { POPOTO_IS("project_id", project), POPOTO_IS("season", "s1"),
                   POPOTO_IS("season__in", POPOTO_LIST("s1", "s3")), POPOTO_IS("score__gte", 0) },
        .limit = 3
    };
    popoto_status status = popoto_query(db, &desc, &rows);
    return rows_of(status, rows);
}

static popoto_status call_get(popoto_db *db, const char *project) {
    popoto_rows *rows;
    popoto_status status =
        popoto_get(db,
                   &(popoto_query_desc){
                       .model = &Visit,
                       .where = { POPOTO_IS("project_id", project), POPOTO_IS("user", "u") } },
                   &rows);
    return rows_of(status, rows);
}

static popoto_status call_count(popoto_db *db, const char *project) {
    size_t count;
    return popoto_count(
        db,
        &(popoto_query_desc){ .model = &Episode, .where = { POPOTO_IS("project_id", project) } },
        &count);
}

static popoto_status call_count_range(popoto_db *db, const char *project) {
    size_t count;
    return popoto_count(db,
                        &(popoto_query_desc){ .model = &Episode,
                                              .where = { POPOTO_IS("project_id", project),
                                                         POPOTO_IS("score__gte", 0) } },
                        &count);
}

static popoto_status stream_by(popoto_db *db, const char *project, const char *order) {
    popoto_stream *stream;
    void *row = NULL;
    popoto_status status = popoto_stream_open(
        db,
        &(popoto_query_desc){
            .model = &Episode, .where = { POPOTO_IS("project_id", project) }, .order_by = order },
        &stream);
    assert_int_equal(POPOTO_OK, status); /* nothing was asked yet */
    status = popoto_stream_next(stream, &row);
    assert_true((status == POPOTO_OK) == (row != NULL));
    popoto_stream_free(stream);
    return status;
}

static popoto_status call_stream(popoto_db *db, const char *project) {
    return stream_by(db, project, NULL);
}

static popoto_status call_stream_in_order(popoto_db *db, const char *project) {
    return stream_by(db, project, "-score");
}

static popoto_status call_update(popoto_db *db, const char *project) {
    episode it = episode_of(project, "s1", "1", 1);
    return popoto_confidence_update(db, &Episode, &it, "certainty", 1, NULL);
}

static popoto_status call_update_many(popoto_db *db, const char *project) {
    episode it = episode_of(project, "s1", "1", 1);
    popoto_signal signal = { .object = &it, .signal = 1 };
    return popoto_confidence_update_many(db, &Episode, "belief", &signal, 1);
}

static popoto_status call_confidence_get(popoto_db *db, const char *project) {
    episode it = episode_of(project, "s1", "1", 1);
    double confidence;
    return popoto_confidence_get(db, &Episode, &it, "belief", &confidence);
}

static bool take_entry(void *context, popoto_text key, const popoto_confidence *figures) {
    (void)context, (void)key, (void)figures;
    return true;
}

static popoto_status call_scan(popoto_db *db, const char *project) {
    popoto_confidence_scan_desc desc = { .model = &Episode,
                                         .field = "certainty",
                                         .where = { POPOTO_IS("project_id", project) },
                                         .callback = take_entry };
    return popoto_confidence_scan(db, &desc);
}

static popoto_status call_migrate(popoto_db *db, const char *project) {
    popoto_migration_report *report;
    assert_ok(db, popoto_scope_enter(db, "project_id", project));
    popoto_status status = popoto_confidence_migrate(db, &Episode, "belief", NULL, &report);
    popoto_migration_report_free(report);
    assert_ok(db, popoto_scope_leave(db));
    return status;
}

static bool take_line(void *context, const char *line, size_t size) {
    (void)line;
    *(size_t *)context += size > 0;
    return true;
}

static const popoto_model *const visits[] = { &Visit };

static popoto_status call_export(popoto_db *db, const char *project) {
    popoto_tenant_desc desc = { .models = visits,
                                .model_count = 1,
                                .tenant = POPOTO_VALUE(project) };
    size_t lines = 0, count;
    popoto_status status = popoto_export(db, &desc, take_line, &lines, &count);
    assert_int_equal(status == POPOTO_OK ? 3 : 0, lines); /* the models, a record, the end */
    return status;
}

static bool give_line(void *context, const char **line, size_t *size) {
    static const char *const lines[] = {
        "{\"model\": \"Visit\", \"fields\": {\"id\": \"1\", \"user\": \"x\", \"seen\": 1}, "
        "\"time_to_live\": 100}",
        "{\"model\": \"Visit\", \"fields\": {\"id\": \"2\", \"user\": \"y\", \"seen\": 1}, "
        "\"time_to_live\": null}"
    };
    size_t *at = context;
    if (*at == 2)
        return false;
    *line = lines[(*at)++];
    *size = strlen(*line);
    return true;
}

static popoto_status call_import(popoto_db *db, const char *project) {
    popoto_tenant_desc desc = { .models = visits,
                                .model_count = 1,
                                .tenant = POPOTO_VALUE(project) };
    size_t at = 0;
    popoto_import_report report;
    popoto_status status = popoto_import(db, &desc, give_line, &at, &report);
    assert_int_equal(status == POPOTO_OK ? 2 : 0, report.records);
    return status;
}

static const struct {
    const char *name;
    call *run;
} calls[] = {
    { "create", call_create },
    { "create with a generated key", call_create_generated },
    { "create with a unique key that expires", call_create_unique },
    { "save", call_save },
    { "save in part", call_save_part },
    { "move if unchanged", call_save_unchanged },
    { "delete", call_delete },
    { "create many", call_create_many },
    { "save many", call_save_many },
    { "delete many", call_delete_many },
    { "load", call_load },
    { "load keys", call_load_keys },
    { "query all", call_query_all },
    { "query by a key", call_query_key },
    { "query by keys", call_query_in },
    { "query by a range", call_query_range },
    { "query upwards", call_query_up },
    { "query by looking", call_query_scan },
    { "query by both", call_query_both },
    { "get", call_get },
    { "count", call_count },
    { "count a range", call_count_range },
    { "stream", call_stream },
    { "stream in order", call_stream_in_order },
    { "update a confidence", call_update },
    { "update many", call_update_many },
    { "get a confidence", call_confidence_get },
    { "scan", call_scan },
    { "migrate", call_migrate },
    { "export", call_export },
    { "import", call_import },
};
#define CALL_COUNT (sizeof calls / sizeof *calls)

static void test_every_call_works_inside_the_tenant(void **state) {
    for (size_t i = 0; i < CALL_COUNT; i++) {
        stage it;
        stage_set_up(&it, *state);
        char *before = dump_without(it.s, "{a}:");
        popoto_status status = calls[i].run(it.db, "a");
        if (status != POPOTO_OK)
            fail_msg("%s: %s", calls[i].name, popoto_error(it.db));
        char *after = dump_without(it.s, "{a}:");
        assert_string_equal(before, after);
        assert_indexes_match(it.s, &Episode);
        assert_indexes_match(it.s, &Visit);
        assert_indexes_match(it.s, &Event);
        free(before);
        free(after);
        stage_tear_down(&it);
    }
}

/* "ab" begins as a does. */
static void test_every_call_is_refused_outside_of_it(void **state) {
    for (size_t i = 0; i < CALL_COUNT; i++)
        for (int k = 0; k < 2; k++) {
            stage it;
            stage_set_up(&it, *state);
            char *before = dump_without(it.s, "{a}:");
            popoto_status status = calls[i].run(it.db, k ? "ab" : "b");
            if (status != POPOTO_DENIED || strstr(popoto_error(it.db), "NOPERM") == NULL)
                fail_msg("%s: %s, %s", calls[i].name, popoto_status_name(status),
                         popoto_error(it.db));
            char *after = dump_without(it.s, "{a}:");
            assert_string_equal(before, after);
            assert_ok(it.db, popoto_ping(it.db));
            free(before);
            free(after);
            stage_tear_down(&it);
        }
}

static void test_what_is_about_all_tenants_is_refused(void **state) {
    stage it;
    popoto_rows *rows = (void *)1;
    popoto_stream *stream = (void *)1;
    size_t count = 9, told = 0;
    popoto_query_desc desc = { .model = &Episode, .all_tenants = true };
    stage_set_up(&it, *state);
    assert_status(POPOTO_DENIED, it.db, popoto_query(it.db, &desc, &rows));
    assert_null(rows);
    assert_status(POPOTO_DENIED, it.db, popoto_count(it.db, &desc, &count));
    assert_int_equal(0, count);
    assert_status(POPOTO_DENIED, it.db, popoto_stream_open(it.db, &desc, &stream));
    assert_null(stream);
    assert_status(POPOTO_DENIED, it.db, popoto_tenants(it.db, &Episode, count_tenant, &told));
    assert_int_equal(0, told);
    assert_status(POPOTO_DENIED, it.db, grant_episodes(it.db, "b", "ann"));
    assert_status(POPOTO_DENIED, it.db, popoto_revoke(it.db, ADMIN, NULL));
    stage_tear_down(&it);
}

/* A record does not leave its tenant, nor come from another one. */
static void test_no_record_moves_across(void **state) {
    stage it;
    popoto_rows *rows;
    stage_set_up(&it, *state);
    episode own = episode_of("a", "s1", "1", 1);
    assert_ok(it.db, popoto_load(it.db, &Episode, &own, &rows));
    episode *row = popoto_rows_at(rows, 0);
    char *before = strdup(server_dump(it.s));
    row->project_id = "c";
    assert_status(POPOTO_DENIED, it.db, popoto_save(it.db, &Episode, row));
    assert_string_equal(before, server_dump(it.s));
    popoto_rows_free(rows);
    free(before);
    stage_tear_down(&it);
}

/* ----- Ends ----------------------------------------------------------------------------------- */

/* By the server, without a word. */
static void assert_closed(redisContext *it) {
    redisSetTimeout(it, (struct timeval){ .tv_sec = 5 });
    assert_int_equal(REDIS_ERR, redisBufferRead(it));
    assert_int_equal(REDIS_ERR_EOF, it->err);
    redisFree(it);
}

static void test_revoking_ends_the_user_and_its_connections(void **state) {
    stage it;
    stage_set_up(&it, *state);
    redisContext *to = raw_as(it.s, "ann");
    bool kept = true;
    assert_ok(it.top, popoto_revoke(it.top, "ann", &kept));
    assert_false(kept);
    assert_closed(to);
    popoto_status status = call_load(it.db, "a");
    assert_true(status == POPOTO_DISCONNECTED || status == POPOTO_DENIED);
    assert_int_equal(POPOTO_DENIED, call_load(it.db, "a"));
    assert_fails(POPOTO_NOT_FOUND, "no such user", it.top, popoto_revoke(it.top, "ann", &kept));
    popoto_db *again = open_as(it.s, "ann", "secret");
    assert_int_equal(POPOTO_DENIED, popoto_error_status(again));
    popoto_close(again);
    stage_tear_down(&it);
}

/* A user that is granted anew, for another tenant or with another password, begins anew: who was let in
 * before is not carried over. */
static void test_a_new_grant_ends_what_the_old_one_opened(void **state) {
    stage it;
    stage_set_up(&it, *state);
    redisContext *to = raw_as(it.s, "ann");
    popoto_grant_desc desc = {
        .model = &Episode, .tenant = POPOTO_VALUE("b"), .user = "ann", .password = "another"
    };
    assert_fails(POPOTO_EXISTS, "another user of this name", it.top,
                 popoto_grant(it.top, &desc, NULL));
    assert_ok(it.db, call_load(it.db, "a"));
    desc.replace = true;
    assert_ok(it.top, popoto_grant(it.top, &desc, NULL));
    assert_closed(to);
    popoto_status status = call_load(it.db, "b");
    assert_true(status == POPOTO_DISCONNECTED || status == POPOTO_DENIED);
    assert_int_equal(POPOTO_DENIED, call_load(it.db, "b"));
    popoto_db *again = open_as(it.s, "ann", "another");
    assert_ok(again, call_load(again, "b"));
    assert_int_equal(POPOTO_DENIED, call_load(again, "a"));
    popoto_close(again);
    /* Its own connection outlives a grant to itself, so that the operator sees the answer. */
    assert_ok(it.top, popoto_ping(it.top));
    stage_tear_down(&it);
}

static void test_a_wrong_password_is_refused(void **state) {
    static const char *const wrong[] = { "", "secre", "secret%20", "Secret" };
    stage it;
    stage_set_up(&it, *state);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        popoto_db *db = open_as(it.s, "ann", wrong[i]);
        assert_int_equal(POPOTO_DENIED, popoto_error_status(db));
        assert_int_equal(POPOTO_DENIED, call_load(db, "a"));
        assert_null(strstr(popoto_error(db), "secre"));
        popoto_close(db);
    }
    stage_tear_down(&it);
}

static void test_grants_that_make_no_sense_are_refused(void **state) {
    static const char *const users[] = { NULL,   "",     "default", " ",    "a b",
                                         "a\nb", "\tab", "a\x7f",   "a\r\n" };
    const popoto_value tenants[] = {
        { POPOTO_NULL, { 0 } }, POPOTO_VALUE(""), POPOTO_VALUE(3),
        POPOTO_VALUE(1.5),      POPOTO_LIST("a"),
    };
    stage it;
    bool kept = true;
    popoto_grant_report report = { true, true };
    stage_set_up(&it, *state);
    popoto_grant_desc good = {
        .model = &Episode, .tenant = POPOTO_VALUE("a"), .user = "bob", .password = "x"
    };
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        popoto_grant_desc bad = good;
        bad.user = users[i];
        assert_status(POPOTO_BAD_ARGUMENT, it.top, popoto_grant(it.top, &bad, &report));
        assert_status(POPOTO_BAD_ARGUMENT, it.top, popoto_revoke(it.top, users[i], &kept));
    }
    for (size_t i = 0; i < sizeof tenants / sizeof *tenants; i++) {
        popoto_grant_desc bad = good;
        bad.tenant = tenants[i];
        assert_fails(POPOTO_BAD_VALUE, "Episode.project_id", it.top,
                     popoto_grant(it.top, &bad, &report));
    }
    popoto_grant_desc bad = good;
    bad.password = "";
    assert_fails(POPOTO_BAD_ARGUMENT, "password", it.top, popoto_grant(it.top, &bad, &report));
    bad.password = NULL;
    assert_fails(POPOTO_BAD_ARGUMENT, "password", it.top, popoto_grant(it.top, &bad, &report));
    bad = good;
    bad.model = &Plain;
    assert_fails(POPOTO_BAD_ARGUMENT, "Plain has no TENANT", it.top,
                 popoto_grant(it.top, &bad, &report));
    bad.model = NULL;
    assert_status(POPOTO_BAD_ARGUMENT, it.top, popoto_grant(it.top, &bad, &report));
    assert_status(POPOTO_BAD_ARGUMENT, it.top, popoto_grant(it.top, NULL, &report));
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_grant(NULL, &good, &report));
    assert_false(kept || report.kept || report.open);
    /* The operator's own user would be cut off, perhaps for good. */
    bad = good;
    bad.user = ADMIN;
    assert_fails(POPOTO_BAD_ARGUMENT, "cut off", it.top, popoto_grant(it.top, &bad, &report));
    assert_fails(POPOTO_BAD_ARGUMENT, "cut off", it.top, popoto_revoke(it.top, ADMIN, &kept));
    assert_ok(it.top, popoto_ping(it.top));
    assert_string_equal("(nil)", server_command(it.s, "ACL GETUSER bob"));
    stage_tear_down(&it);
}

/* A name that somebody has is not taken from them in passing. */
static void test_no_other_user_is_replaced_unless_asked_for(void **state) {
    static const char *const others[] = {
        "ACL SETUSER bob on >x ~* +@all",
        "ACL SETUSER bob on >x ~{a}:* ~x +get",
        "ACL SETUSER bob on >x ~{ab}:* +get",
        "ACL SETUSER bob on >x ~{a}:x* +get",
        "ACL SETUSER bob on >x ~{a}:* +get (~* +set)",
        "ACL SETUSER bob off",
    };
    stage it;
    stage_set_up(&it, *state);
    popoto_grant_desc desc = {
        .model = &Episode, .tenant = POPOTO_VALUE("a"), .user = "bob", .password = "x"
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        /* Selectors are of Redis 7.0. */
        if (strcmp(server_command(it.s, others[i]), "OK") != 0)
            continue;
        desc.replace = false;
        assert_status(POPOTO_EXISTS, it.top, popoto_grant(it.top, &desc, NULL));
        desc.replace = true;
        assert_ok(it.top, popoto_grant(it.top, &desc, NULL));
        desc.replace = false; /* it is the tenant's now */
        assert_ok(it.top, popoto_grant(it.top, &desc, NULL));
        assert_ok(it.top, popoto_revoke(it.top, "bob", NULL));
    }
    stage_tear_down(&it);
}

/* Users and passwords that the server's own syntax could take for something else. */
static void test_odd_users_and_passwords(void **state) {
    static const char *const odd[] = {
        "on",  "off", "nopass", "reset",   "~*", "+@all", ">x",
        "<x",  "#x",  "(",      "user",    "*",  "%s",    "\xf0\x9f\xa6\x9b",
        "a:b", "a@b", "-@all",  "allkeys", "\"", "'",     "\\",
    };
    static const char hex[] = "0123456789ABCDEF";
    stage it;
    stage_set_up(&it, *state);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char coded[100], *at = coded;
        assert_ok(it.top, popoto_grant(it.top,
                                       &(popoto_grant_desc){ .model = &Episode,
                                                             .tenant = POPOTO_VALUE("a"),
                                                             .user = odd[i],
                                                             .password = odd[i] },
                                       NULL));
        for (const char *byte = odd[i]; *byte != '\0'; byte++) {
            *at++ = '%';
            *at++ = hex[(unsigned char)*byte >> 4];
            *at++ = hex[*byte & 15];
        }
        *at = '\0';
        popoto_db *db = open_as(it.s, coded, coded);
        assert_ok(db, call_load(db, "a"));
        assert_int_equal(POPOTO_DENIED, call_load(db, "b"));
        popoto_close(db);
        assert_ok(it.top, popoto_revoke(it.top, odd[i], NULL));
    }
    stage_tear_down(&it);
}

/* ----- Hostile tenants ------------------------------------------------------------------------ */

typedef struct wild {
    popoto_object object;
    popoto_bytes tenant;
    const char *id;
} wild;

static const popoto_field wild_fields[] = { POPOTO_TENANT(wild, tenant), POPOTO_KEY(wild, id) };
static const popoto_model Wild = POPOTO_MODEL("Wild", wild, wild_fields);

#define NAME(literal) \
    { literal, sizeof(literal) - 1 }
static const popoto_bytes hostile[] = {
    NAME("a:b"),   NAME("a"),        NAME("*"),
    NAME("{x}"),   NAME("x"),        NAME("}"),
    NAME("{"),     NAME(".."),       NAME(" "),
    NAME("\n"),    NAME("a\0b"),     NAME("\0"),
    NAME("[a-z]"), NAME("?"),        NAME("\\"),
    NAME("/"),     NAME("/2a"),      NAME("a}:Wild"),
    NAME("~*"),    NAME("~* +@all"), NAME("a "),
    NAME("a*"),    NAME("[^a]"),     NAME("\xff"),
    NAME("\xa0"),  NAME("\x85"),     NAME("\xf0\x9f\xa6\x9b"),
    NAME("\r\n"),  NAME("aa"),
};
#define HOSTILE_COUNT (sizeof hostile / sizeof *hostile)

static void test_hostile_tenants_reach_no_other(void **state) {
    static char bytes[256];
    popoto_bytes all[HOSTILE_COUNT + 256];
    stage it;
    stage_set_up(&it, *state);
    memcpy(all, hostile, sizeof hostile);
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        all[HOSTILE_COUNT + (size_t)i] = (popoto_bytes){ &bytes[i], 1 };
    }
    for (size_t i = 0; i < HOSTILE_COUNT + 256; i++) {
        wild one = { .tenant = all[i], .id = "1" };
        assert_ok(it.top, popoto_save(it.top, &Wild, &one));
    }
    for (size_t i = 0; i < HOSTILE_COUNT + 256; i++) {
        assert_ok(it.top, popoto_grant(it.top,
                                       &(popoto_grant_desc){ .model = &Wild,
                                                             .tenant = popoto_of_bytes(all[i]),
                                                             .user = "wild",
                                                             .password = "secret",
                                                             .replace = true },
                                       NULL));
        popoto_db *db = open_as(it.s, "wild", "secret");
        /* Every other one for the hostile, the neighbours for the single bytes. */
        for (size_t k = 0; k < HOSTILE_COUNT + 256; k++) {
            bool same =
                all[i].size == all[k].size && memcmp(all[i].data, all[k].data, all[i].size) == 0;
            if (i >= HOSTILE_COUNT && k >= HOSTILE_COUNT && !same && ((i ^ k) & ((i ^ k) - 1)) != 0)
                continue;
            if (i < HOSTILE_COUNT && k >= HOSTILE_COUNT && !same && k % 16 != i % 16)
                continue;
            wild other = { .tenant = all[k], .id = "1" };
            popoto_rows *rows;
            popoto_status status = popoto_load(db, &Wild, &other, &rows);
            popoto_rows_free(rows);
            if (status != (same ? POPOTO_OK : POPOTO_DENIED))
                fail_msg("tenant %zu of %zu: %s", k, i, popoto_error(db));
        }
        popoto_close(db);
    }
    assert_ok(it.top, popoto_revoke(it.top, "wild", NULL));
    stage_tear_down(&it);
}

/* ----- Restarts ------------------------------------------------------------------------------- */

static void test_grants_are_kept_where_there_is_an_acl_file(void **state) {
    (void)state;
    for (int with_file = 0; with_file < 2; with_file++) {
        char path[] = "/tmp/popoto-acl-XXXXXX";
        int file = mkstemp(path);
        assert_true(file >= 0);
        close(file);
        const char *const arguments[] = { "--aclfile", path, NULL };
        server *s = server_start(&(server_options){ .arguments = with_file ? arguments : NULL });
        popoto_db *top = popoto_open(server_url(s), NULL);
        bool kept;
        popoto_grant_desc desc = { .model = &Wild,
                                   .tenant = popoto_of_bytes((popoto_bytes){ "a b*\n", 5 }),
                                   .user = "ann",
                                   .password = "a b" };
        popoto_grant_report report = { !with_file, false };
        assert_ok(top, popoto_grant(top, &desc, &report));
        assert_int_equal(with_file, report.kept);
        assert_true(report.open);
        server_restart(s);
        popoto_db *db = open_as(s, "ann", "a%20b");
        wild own = { .tenant = { "a b*\n", 5 }, .id = "1" }, other = { .tenant = { "c", 1 } };
        other.id = "1";
        if (with_file) {
            assert_ok(db, popoto_create(db, &Wild, &own));
            assert_status(POPOTO_DENIED, db, popoto_create(db, &Wild, &other));
            popoto_close(top);
            top = popoto_open(server_url(s), NULL);
            kept = false;
            assert_ok(top, popoto_revoke(top, "ann", &kept));
            assert_true(kept);
            server_restart(s);
            popoto_close(db);
            db = open_as(s, "ann", "a%20b");
        }
        assert_int_equal(POPOTO_DENIED, popoto_error_status(db));
        popoto_close(db);
        popoto_close(top);
        server_stop(s);
        unlink(path);
    }
}

/* A grant is worth what the default user is. */
static void test_an_open_default_user_is_said(void **state) {
    static const struct {
        const char *rules;
        bool open;
    } users[] = {
        { "on nopass ~* &* +@all", true },
        { "on nopass ~a* &* -@all +get", true },
        { "on >x ~* +@all", false },
        { "off nopass ~* +@all", false },
        { "on nopass -@all", false },
        { "on nopass resetkeys +@all", false },
        { "reset", false },
    };
    stage it;
    stage_set_up(&it, *state);
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        char command[120];
        snprintf(command, sizeof command, "ACL SETUSER default reset %s", users[i].rules);
        assert_string_equal("OK", server_command(it.s, command));
        popoto_grant_report report = { .open = !users[i].open };
        popoto_grant_desc desc = {
            .model = &Episode, .tenant = POPOTO_VALUE("a"), .user = "bob", .password = "x"
        };
        assert_ok(it.top, popoto_grant(it.top, &desc, &report));
        if (report.open != users[i].open)
            fail_msg("%s", users[i].rules);
    }
    /* Who may make users and not look at them learns nothing of it. */
    assert_string_equal("OK", server_command(it.s, "ACL SETUSER default reset on nopass ~* +@all"));
    assert_string_equal("OK", server_command(it.s, "ACL SETUSER maker on >m -@all +acl|setuser "
                                                   "+acl|deluser +acl|save +hello +auth"));
    popoto_db *maker = open_as(it.s, "maker", "m");
    popoto_grant_report report = { .open = true };
    assert_ok(maker, popoto_grant(maker,
                                  &(popoto_grant_desc){ .model = &Episode,
                                                        .tenant = POPOTO_VALUE("a"),
                                                        .user = "bob",
                                                        .password = "x" },
                                  &report));
    assert_false(report.open);
    popoto_close(maker);
    server_command(it.s, "ACL DELUSER bob maker");
    server_command(it.s, "ACL SETUSER default reset");
    stage_tear_down(&it);
}

/* ----- Who has a grant ------------------------------------------------------------------------- */

typedef struct names {
    char all[200];
    size_t count, most;
} names;

static bool take_name(void *context, const char *user) {
    names *it = context;
    strcat(it->all, user);
    strcat(it->all, " ");
    return ++it->count < it->most || it->most == 0;
}

/* Those of the tenant alone, however many there are of others. */
static void test_the_users_of_a_tenant_are_listed(void **state) {
    static const char *const rules[] = {
        "every on >x ~* +@all",       "both on >x ~{a}:* ~{b}:* +get",
        "longer on >x ~{ab}:* +get",  "part on >x ~{a}:x* +get",
        "reads on >x %%R~{a}:* +get", "none on >x",
        "own on >x ~{a}:* +get",      "off off ~{a}:*",
        "more on ~{a}:* (~* +set)",   "others on >x ~{b}:* +@all",
    };
    stage it;
    char command[100];
    stage_set_up(&it, *state);
    popoto_value a = popoto_of_text("a"), nobody = popoto_of_text("nobody");
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        snprintf(command, sizeof command, "ACL SETUSER %s", rules[i]);
        (void)server_command(it.s, command); /* selectors and %R are of Redis 7.0 */
    }
    for (int i = 0; i < 600; i++)
        server_command(it.s, "ACL SETUSER u%d on >x ~%d +get", i, i);
    names found = { .count = 0 };
    assert_ok(it.top, popoto_granted_users(it.top, &Episode, a, take_name, &found));
    assert_string_equal("ann off own ", found.all);
    found = (names){ .most = 2 };
    assert_status(POPOTO_STOPPED, it.top,
                  popoto_granted_users(it.top, &Episode, a, take_name, &found));
    assert_string_equal("ann off ", found.all);
    found = (names){ .count = 0 };
    assert_ok(it.top, popoto_granted_users(it.top, &Episode, nobody, take_name, &found));
    assert_int_equal(0, found.count);
    /* A tenant's user does not learn who else there is. */
    assert_status(POPOTO_DENIED, it.db,
                  popoto_granted_users(it.db, &Episode, a, take_name, &found));
    assert_fails(POPOTO_BAD_ARGUMENT, "TENANT", it.top,
                 popoto_granted_users(it.top, &Plain, a, take_name, &found));
    assert_fails(POPOTO_BAD_ARGUMENT, "callback", it.top,
                 popoto_granted_users(it.top, &Episode, a, NULL, NULL));
    assert_fails(POPOTO_BAD_VALUE, "project_id", it.top,
                 popoto_granted_users(it.top, &Episode, popoto_of_text(""), take_name, &found));
    assert_int_equal(POPOTO_BAD_ARGUMENT,
                     popoto_granted_users(NULL, &Episode, a, take_name, &found));
    for (int i = 0; i < 600; i++)
        server_command(it.s, "ACL DELUSER u%d", i);
    bool failed = true;
    for (size_t n = 1; failed; n++) {
        failing_allocator heap;
        char url[400];
        snprintf(url, sizeof url, "unix://" ADMIN ":top@%s", server_socket(it.s));
        failing_allocator_init(&heap, 0);
        popoto_db *db = popoto_open(url, &(popoto_options){ .allocator = heap.allocator });
        heap.fail_at = heap.allocations + n;
        found = (names){ .count = 0 };
        popoto_status status = popoto_granted_users(db, &Episode, a, take_name, &found);
        failed = heap.failed;
        assert_int_equal(failed ? POPOTO_NO_MEMORY : POPOTO_OK, status);
        popoto_close(db);
        assert_int_equal(0, heap.live_blocks);
    }
    assert_int_equal(3, found.count);
    server_command(it.s, "ACL DELUSER every both longer part reads none own off more others");
    stage_tear_down(&it);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_the_users_of_a_tenant_are_listed),
        server_test(test_every_call_works_inside_the_tenant),
        server_test(test_every_call_is_refused_outside_of_it),
        server_test(test_what_is_about_all_tenants_is_refused),
        server_test(test_no_record_moves_across),
        server_test(test_revoking_ends_the_user_and_its_connections),
        server_test(test_a_new_grant_ends_what_the_old_one_opened),
        server_test(test_a_wrong_password_is_refused),
        server_test(test_grants_that_make_no_sense_are_refused),
        server_test(test_an_open_default_user_is_said),
        server_test(test_no_other_user_is_replaced_unless_asked_for),
        server_test(test_odd_users_and_passwords),
        server_test(test_hostile_tenants_reach_no_other),
        server_test(test_grants_are_kept_where_there_is_an_acl_file),
    };
    return cmocka_run_group_tests(tests, stage_group_start, server_group_stop);
}
