/* Queries of all tenants: they are asked for by name and refused where one tenant is named, and each is one
 * query, whose order and limits hold across tenants; the list of tenants names those that there are. */
#include "databases.h"
#include "server.h"
#include "strict_episodes.h"
#include "strict_visits.h"

#include <popoto.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

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
    server *s = *state;
    popoto_db *db = opened_with_two_tenants(s);
    popoto_rows *rows = (void *)1;
    size_t count = 9;
    popoto_stream *stream = (void *)1;
    popoto_query_desc desc = { .model = &Episode, .all_tenants = true };
    long long sent = commands_sent(s);
    assert_ok(db, popoto_scope_enter(db, "project_id", "a"));
    assert_status(POPOTO_BAD_SCOPE, db, popoto_query(db, &desc, &rows));
    assert_null(rows);
    assert_status(POPOTO_BAD_SCOPE, db, popoto_count(db, &desc, &count));
    assert_int_equal(0, count);
    assert_status(POPOTO_BAD_SCOPE, db, popoto_stream_open(db, &desc, &stream));
    assert_null(stream);
    assert_status(POPOTO_BAD_SCOPE, db, popoto_get(db, &desc, &rows));
    assert_status(POPOTO_BAD_SCOPE, db, popoto_tenants(db, &Episode, no_tenant, NULL));
    assert_ok(db, popoto_scope_leave(db));
    desc.where[0] = (popoto_filter)POPOTO_IS("project_id", "a");
    assert_fails(POPOTO_BAD_QUERY, "the filter names", db, popoto_query(db, &desc, &rows));
    desc = (popoto_query_desc){ .model = &Plain, .all_tenants = true };
    assert_fails(POPOTO_BAD_QUERY, "Plain has no TENANT", db, popoto_query(db, &desc, &rows));
    assert_status(POPOTO_BAD_QUERY, db, popoto_count(db, &desc, &count));
    assert_int_equal(sent, commands_sent(s));
    /* A scope on another field is no tenant's. */
    desc = (popoto_query_desc){ .model = &Episode, .all_tenants = true };
    assert_ok(db, popoto_scope_enter(db, "season", "s1"));
    assert_ok(db, popoto_count(db, &desc, &count));
    assert_int_equal(2, count);
    popoto_close(db);
    server_flush(s);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_a_query_of_all_tenants_is_one_query),
        server_test(test_a_limit_of_all_tenants_starts_again),
        server_test(test_a_stream_of_all_tenants),
        server_test(test_all_tenants_is_refused_where_one_is_named),
        server_test(test_tenants_are_listed_from_the_keys),
        server_test(test_the_list_is_kept_on_each_server),
        server_test(test_foreign_keys_name_no_tenant),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
