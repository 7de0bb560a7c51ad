/* Scopes against a server: calls inside one read and write the tenant it names, and no other, however
 * the object came by its former key. */
#include "index_checker.h"
#include "server.h"
#include "test_models.h"

#include <popoto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

static void test_a_scope_fills_in_the_tenant_on_every_call(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    size_t count;
    popoto_text key;
    popoto_stream *stream;
    void *row;
    assert_ok(db, popoto_scope_enter(db, "project_id", "a"));
    episode it = { .episode_id = { "1" }, .score = 1 };
    assert_ok(db, popoto_create(db, &Episode, &it));
    assert_null(it.project_id); /* the object is not written to */
    assert_string_equal("1", server_command(s, "EXISTS Episode:a:1"));
    it.score = 2;
    assert_ok(db, popoto_save(db, &Episode, &it));
    assert_ok(db, popoto_key(db, &Episode, &it, &key));
    assert_string_equal("Episode:a:1", key.data);
    popoto_free(db, key.data);
    assert_ok(db, popoto_load(db, &Episode, &it, &rows));
    assert_string_equal("a", ((episode *)popoto_rows_at(rows, 0))->project_id);
    popoto_rows_free(rows);
    /* The partition of a range is filled in, too. */
    popoto_query_desc best = { .model = &Episode, .where = { POPOTO_IS("score__gte", 0.5) } };
    assert_ok(db, popoto_query(db, &best, &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    popoto_rows_free(rows);
    assert_ok(db, popoto_count(db, &best, &count));
    assert_int_equal(1, count);
    assert_ok(db, popoto_get(db, &(popoto_query_desc){ .model = &Episode }, &rows));
    popoto_rows_free(rows);
    assert_ok(db, popoto_stream_open(db, &best, &stream));
    assert_ok(db, popoto_stream_next(stream, &row));
    assert_non_null(row);
    popoto_stream_free(stream);
    assert_ok(db, popoto_delete(db, &Episode, &it));
    assert_ok(db, popoto_scope_leave(db));
    assert_fails(POPOTO_BAD_VALUE, "Episode.project_id is null", db,
                 popoto_create(db, &Episode, &it));
    popoto_close(db);
}

static void test_another_tenant_is_refused_on_every_call(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows = (void *)1;
    size_t count = 1;
    popoto_text key = { "", 1 };
    popoto_stream *stream = (void *)1;
    episode other = { .project_id = "b", .episode_id = { "1" } };
    assert_ok(db, popoto_create(db, &Episode, &other));
    char *before = strdup(server_dump(s));
    assert_ok(db, popoto_scope_enter(db, "project_id", "a"));
    const char *says = "project_id = 'b' contradicts the scope";
    void *many[] = { &other };
    popoto_status statuses[1] = { POPOTO_OK };
    assert_fails(POPOTO_BAD_SCOPE, says, db, popoto_create(db, &Episode, &other));
    assert_fails(POPOTO_BAD_SCOPE, says, db, popoto_save(db, &Episode, &other));
    assert_fails(POPOTO_BAD_SCOPE, says, db,
                 popoto_save_with(db, &Episode, &other, &(popoto_save_desc){ .only = "title" }));
    assert_fails(POPOTO_BAD_SCOPE, says, db, popoto_delete(db, &Episode, &other));
    assert_fails(POPOTO_BAD_SCOPE, says, db, popoto_save_many(db, &Episode, many, 1, statuses));
    assert_int_equal(POPOTO_BAD_SCOPE, statuses[0]);
    assert_fails(POPOTO_BAD_SCOPE, says, db, popoto_load(db, &Episode, &other, &rows));
    assert_null(rows);
    assert_fails(POPOTO_BAD_SCOPE, says, db, popoto_key(db, &Episode, &other, &key));
    assert_null(key.data);
    popoto_query_desc desc = { .model = &Episode, .where = { POPOTO_IS("project_id", "b") } };
    rows = (void *)1;
    assert_fails(POPOTO_BAD_SCOPE, says, db, popoto_query(db, &desc, &rows));
    assert_null(rows);
    rows = (void *)1;
    assert_fails(POPOTO_BAD_SCOPE, says, db, popoto_get(db, &desc, &rows));
    assert_null(rows);
    assert_fails(POPOTO_BAD_SCOPE, says, db, popoto_count(db, &desc, &count));
    assert_int_equal(0, count);
    assert_fails(POPOTO_BAD_SCOPE, says, db, popoto_stream_open(db, &desc, &stream));
    assert_null(stream);
    desc.where[0] = (popoto_filter)POPOTO_IS("project_id__in", POPOTO_LIST("b", "c"));
    assert_status(POPOTO_BAD_SCOPE, db, popoto_query(db, &desc, &rows));
    /* A list that holds the scope's tenant gives that one's rows alone. */
    desc.where[0] = (popoto_filter)POPOTO_IS("project_id__in", POPOTO_LIST("a", "b"));
    assert_ok(db, popoto_query(db, &desc, &rows));
    assert_int_equal(0, popoto_rows_count(rows));
    popoto_rows_free(rows);
    assert_string_equal(before, server_dump(s));
    free(before);
    popoto_close(db);
    server_flush(s);
}

/* What an object remembers of another tenant's record is no way around the scope. */
static void test_a_former_key_of_another_tenant_is_refused(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    episode theirs = { .project_id = "b", .episode_id = { "1" } };
    assert_ok(db, popoto_create(db, &Episode, &theirs));
    assert_ok(db, popoto_load(db, &Episode, &theirs, &rows));
    char *before = strdup(server_dump(s));
    assert_ok(db, popoto_scope_enter(db, "project_id", "a"));
    episode *row = popoto_rows_at(rows, 0);
    episode *ways[] = { &theirs, row };
    for (int i = 0; i < 4; i++) {
        episode *it = ways[i % 2];
        it->project_id = i < 2 ? "a" : NULL;
        assert_status(POPOTO_BAD_SCOPE, db, popoto_save(db, &Episode, it));
        assert_status(POPOTO_BAD_SCOPE, db, popoto_delete(db, &Episode, it));
        assert_string_equal(before, server_dump(s));
    }
    assert_ok(db, popoto_scope_leave(db));
    theirs.project_id = "a"; /* without a scope, moving it is the caller's right */
    assert_ok(db, popoto_save(db, &Episode, &theirs));
    assert_indexes_match(s, &Episode);
    free(before);
    popoto_rows_free(rows);
    popoto_close(db);
    server_flush(s);
}

/* The tenant may be a field that the key does not tell. */
static void test_a_record_of_another_tenant_under_the_same_key_is_not_touched(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    trade theirs = { .number = 1, .exchange = "lse", .symbol = "bp" };
    assert_ok(db, popoto_create(db, &Trade, &theirs));
    char *before = strdup(server_dump(s));
    assert_ok(db, popoto_scope_enter(db, "exchange", "nyse"));
    trade mine = { .number = 1, .symbol = "bp" };
    assert_status(POPOTO_NOT_FOUND, db, popoto_load(db, &Trade, &mine, &rows));
    assert_status(POPOTO_EXISTS, db, popoto_create(db, &Trade, &mine));
    assert_fails(POPOTO_BAD_SCOPE, "has another exchange", db, popoto_save(db, &Trade, &mine));
    assert_status(POPOTO_BAD_SCOPE, db, popoto_delete(db, &Trade, &mine));
    assert_status(POPOTO_BAD_SCOPE, db,
                  popoto_save_with(db, &Trade, &mine, &(popoto_save_desc){ .only = "note" }));
    assert_string_equal(before, server_dump(s));
    free(before);
    /* One's own is stored, saved in part and deleted as always. */
    mine.number = 2;
    assert_ok(db, popoto_save(db, &Trade, &mine));
    assert_indexes_match(s, &Trade);
    mine.note = "x";
    assert_ok(db, popoto_save_with(db, &Trade, &mine, &(popoto_save_desc){ .only = "note" }));
    assert_ok(db, popoto_load(db, &Trade, &mine, &rows));
    assert_string_equal("nyse", ((trade *)popoto_rows_at(rows, 0))->exchange);
    popoto_rows_free(rows);
    assert_ok(db, popoto_delete(db, &Trade, &mine));
    popoto_close(db);
    server_flush(s);
}

static void test_scopes_nest_and_the_outer_one_comes_back(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    size_t count;
    static const char *const tenants[] = { "a", "b", "b" };
    for (int i = 0; i < 3; i++) {
        episode it = { .project_id = tenants[i] };
        assert_ok(db, popoto_create(db, &Episode, &it));
    }
    popoto_query_desc all = { .model = &Episode };
    assert_ok(db, popoto_scope_enter(db, "project_id", "a"));
    assert_ok(db, popoto_scope_enter(db, "unrelated", "x"));
    assert_ok(db, popoto_scope_enter(db, "project_id", "b"));
    assert_ok(db, popoto_count(db, &all, &count));
    assert_int_equal(2, count);
    assert_ok(db, popoto_scope_leave(db));
    assert_ok(db, popoto_count(db, &all, &count));
    assert_int_equal(1, count);
    assert_ok(db, popoto_scope_leave(db));
    assert_ok(db, popoto_scope_leave(db));
    assert_ok(db, popoto_count(db, &all, &count));
    assert_int_equal(3, count);
    assert_fails(POPOTO_BAD_ARGUMENT, "no scope to leave", db, popoto_scope_leave(db));
    popoto_close(db);
    server_flush(s);
}

typedef struct visitor {
    popoto_db *db;
    size_t count;
    popoto_status left;
} visitor;

static void *visit(void *argument) {
    visitor *it = argument;
    popoto_count(it->db, &(popoto_query_desc){ .model = &Episode }, &it->count);
    it->left = popoto_scope_leave(it->db);
    return NULL;
}

static void test_a_scope_is_its_threads_own(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    pthread_t thread;
    size_t count;
    static const char *const tenants[] = { "a", "b", "b" };
    for (int i = 0; i < 3; i++) {
        episode it = { .project_id = tenants[i] };
        assert_ok(db, popoto_create(db, &Episode, &it));
    }
    assert_ok(db, popoto_scope_enter(db, "project_id", "a"));
    visitor other = { .db = db };
    assert_int_equal(0, pthread_create(&thread, NULL, visit, &other));
    pthread_join(thread, NULL);
    assert_int_equal(3, other.count);
    assert_int_equal(POPOTO_BAD_ARGUMENT, other.left);
    assert_ok(db, popoto_count(db, &(popoto_query_desc){ .model = &Episode }, &count));
    assert_int_equal(1, count);
    popoto_close(db);
    server_flush(s);
}

static void test_a_scopes_value_of_another_type_is_refused(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    size_t count;
    trade it = { .exchange = "nyse", .symbol = "ibm" };
    assert_ok(db, popoto_scope_enter(db, "number", "one"));
    assert_fails(POPOTO_BAD_SCOPE, "number", db, popoto_create(db, &Trade, &it));
    assert_fails(POPOTO_BAD_SCOPE, "number", db,
                 popoto_count(db, &(popoto_query_desc){ .model = &Trade }, &count));
    assert_ok(db, popoto_scope_leave(db));
    assert_ok(db, popoto_scope_enter_value(db, "number", POPOTO_VALUE(7)));
    assert_ok(db, popoto_create(db, &Trade, &it));
    assert_string_equal("1", server_command(s, "EXISTS Trade:7"));
    popoto_close(db);
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_a_scope_fills_in_the_tenant_on_every_call),
        server_test(test_another_tenant_is_refused_on_every_call),
        server_test(test_a_former_key_of_another_tenant_is_refused),
        server_test(test_a_record_of_another_tenant_under_the_same_key_is_not_touched),
        server_test(test_scopes_nest_and_the_outer_one_comes_back),
        server_test(test_a_scope_is_its_threads_own),
        server_test(test_a_scopes_value_of_another_type_is_refused),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
