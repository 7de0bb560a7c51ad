/* Errors: stored data that does not fit is reported and left alone; what makes no sense is refused with a
 * sentence; outputs are always set. */
#include "databases.h"
#include "failing_allocator.h"
#include "index_checker.h"
#include "server.h"
#include "test_models.h"

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

static void test_a_stored_value_that_does_not_fit_leaves_the_other_rows(void **state) {
    static const struct {
        const char *field, *bytes;
        size_t size;
        const char *says;
    } corruptions[] = {
        { "note", "\xc1", 1, "field note" }, /* no MessagePack */
        { "note",
          "\xa5"
          "ab",
          3, "field note" },                        /* ends too early */
        { "note", "\x01\x02", 2, "field note" },    /* more than one value */
        { "note", "", 0, "field note" },            /* nothing */
        { "note", "\x07", 1, "not text" },          /* a number for text */
        { "volume", "\xa1x", 2, "not an integer" }, /* text for a number */
        { "price", "\xc0", 1, "null, which its member cannot hold" },
        { "number", "\xc0", 1, "null, and part of the key" },
    };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (size_t i = 0; i < sizeof(corruptions) / sizeof(corruptions[0]); i++) {
        popoto_rows *rows;
        size_t count;
        for (int k = 0; k < 3; k++) {
            trade it = { .number = k, .exchange = "nyse", .symbol = "ibm", .volume = k };
            assert_ok(db, popoto_create(db, &Trade, &it));
        }
        server_command(s, "HSET Trade:1 %s %b", corruptions[i].field, corruptions[i].bytes,
                       corruptions[i].size);
        char *before = strdup(server_dump(s));
        popoto_query_desc desc = { .model = &Trade, .order_by = "volume" };
        assert_fails(POPOTO_CORRUPT, "'Trade:1'", db, popoto_query(db, &desc, &rows));
        assert_non_null(strstr(popoto_error(db), corruptions[i].says));
        assert_int_equal(2, popoto_rows_count(rows));
        assert_int_equal(0, ((trade *)popoto_rows_at(rows, 0))->number);
        assert_int_equal(2, ((trade *)popoto_rows_at(rows, 1))->number);
        assert_int_equal(1, popoto_rows_problem_count(rows));
        assert_string_equal(popoto_error(db), popoto_rows_problem(rows, 0));
        assert_null(popoto_rows_problem(rows, 1));
        assert_null(popoto_rows_at(rows, 2));
        popoto_rows_free(rows);
        trade one = { .number = 1 };
        assert_status(POPOTO_CORRUPT, db, popoto_load(db, &Trade, &one, &rows));
        assert_null(rows);
        assert_string_equal(before, server_dump(s));
        assert_ok(db, popoto_count(db, &desc, &count)); /* by the index alone */
        assert_int_equal(3, count);
        free(before);
        server_flush(s);
    }
    popoto_close(db);
}

static void test_a_foreign_key_among_records_is_reported(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    episode it = { .project_id = "a", .episode_id = { "1" } };
    assert_ok(db, popoto_create(db, &Episode, &it));
    server_command(s, "SADD $Class:Episode Episode:a:list");
    server_command(s, "RPUSH Episode:a:list x");
    char *before = strdup(server_dump(s));
    assert_fails(POPOTO_CORRUPT, "'Episode:a:list', model Episode: it holds a list, not a hash", db,
                 popoto_query(db, &(popoto_query_desc){ .model = &Episode }, &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    popoto_rows_free(rows);
    server_command(s, "SET $KeyF:Episode:project_id:b text");
    assert_fails(POPOTO_CORRUPT, "'$KeyF:Episode:project_id:b' holds a string, not a set", db,
                 popoto_query(db,
                              &(popoto_query_desc){ .model = &Episode,
                                                    .where = { POPOTO_IS("project_id", "b") } },
                              &rows));
    assert_null(rows);
    server_command(s, "DEL $KeyF:Episode:project_id:b");
    assert_string_equal(before, server_dump(s));
    free(before);
    popoto_close(db);
    server_flush(s);
}

/* What other types are called, and more of them than are asked about. */
static void test_what_stands_for_a_record_is_named(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    static const char *const says[] = { "a string", "a set", "a sorted set", "a stream" };
    server_command(s, "SET Episode:a:0 x");
    server_command(s, "SADD Episode:a:1 x");
    server_command(s, "ZADD Episode:a:2 1 x");
    server_command(s, "XADD Episode:a:3 * a b");
    for (int i = 0; i < 40; i++) {
        char key[32];
        snprintf(key, sizeof key, "Episode:a:%d", i);
        if (i >= 4)
            server_command(s, "SET %s x", key);
        popoto_text one = { key, strlen(key) };
        if (i < 4) {
            assert_fails(POPOTO_CORRUPT, says[i], db,
                         popoto_load_keys(db, &Episode, &one, 1, &rows));
            popoto_rows_free(rows);
        }
        server_command(s, "SADD $Class:Episode %s", key);
    }
    episode whole = { .project_id = "a" };
    assert_ok(db, popoto_create(db, &Episode, &whole));
    assert_fails(POPOTO_CORRUPT, "40 stored records do not fit", db,
                 popoto_query(db, &(popoto_query_desc){ .model = &Episode }, &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    assert_int_equal(40, popoto_rows_problem_count(rows));
    popoto_rows_free(rows);
    popoto_close(db);
    server_flush(s);
}

/* One index or record that cannot be counted leaves the count of the others. */
static void test_a_count_goes_on_past_what_is_broken(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    size_t count;
    for (int i = 0; i < 6; i++) {
        trade it = { .number = i, .exchange = "nyse", .symbol = "ibm", .volume = i };
        assert_ok(db, popoto_create(db, &Trade, &it));
    }
    server_command(s, "HSET Trade:2 price %b", "\xc1", (size_t)1);
    server_command(s, "DEL Trade:3");
    server_command(s, "LPUSH Trade:3 x");
    popoto_query_desc scan = { .model = &Trade,
                               .where = { POPOTO_IS("price__gte", -1.0),
                                          POPOTO_IS("exchange", "nyse"), POPOTO_IS("symbol", "ibm"),
                                          POPOTO_IS("note__isnull", true) },
                               .allow_scan = true };
    assert_status(POPOTO_CORRUPT, db, popoto_count(db, &scan, &count));
    assert_int_equal(4, count);
    server_command(s, "SET $KeyF:Trade:number:1 x");
    popoto_query_desc in = { .model = &Trade,
                             .where = { POPOTO_IS("number__in", POPOTO_LIST(0, 1, 4, 5)) } };
    popoto_status status = popoto_count(db, &in, &count);
    assert_fails(POPOTO_CORRUPT, "the index '$KeyF:Trade:number:1' holds a string, not a set", db,
                 status);
    assert_int_equal(3, count);
    popoto_close(db);
    server_flush(s);
}

/* A stored part of the key that says something else than the key. */
static void test_a_record_that_contradicts_its_key_is_reported(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    popoto_stream *stream;
    void *row;
    size_t seen = 0;
    for (int i = 0; i < 3; i++) {
        episode it = { .project_id = "a", .episode_id = { { (char)('1' + i) } }, .score = i };
        assert_ok(db, popoto_create(db, &Episode, &it));
    }
    server_command(s, "HSET Episode:a:2 project_id %b", "\xa1z", (size_t)2);
    popoto_query_desc by_set = { .model = &Episode, .where = { POPOTO_IS("project_id", "a") } };
    popoto_query_desc by_range = { .model = &Episode,
                                   .where = { POPOTO_IS("project_id", "a") },
                                   .order_by = "score" };
    const popoto_query_desc *const both[] = { &by_set, &by_range };
    static const char says[] =
        "'Episode:a:2', field project_id: what is stored is another than its key's";
    for (int i = 0; i < 2; i++) {
        assert_fails(POPOTO_CORRUPT, says, db, popoto_query(db, both[i], &rows));
        assert_int_equal(2, popoto_rows_count(rows));
        popoto_rows_free(rows);
    }
    episode one = { .project_id = "a", .episode_id = { "2" } };
    assert_fails(POPOTO_CORRUPT, says, db, popoto_load(db, &Episode, &one, &rows));
    assert_ok(db, popoto_stream_open(db, &by_set, &stream));
    popoto_status status = popoto_stream_next(stream, &row);
    for (; status != POPOTO_OK || row != NULL; status = popoto_stream_next(stream, &row)) {
        if (status != POPOTO_OK)
            assert_fails(POPOTO_CORRUPT, says, db, status);
        seen++;
    }
    assert_int_equal(3, seen);
    popoto_stream_free(stream);
    /* An entry that another writer left in the wrong index is no such record. */
    server_command(s, "HSET Episode:a:2 project_id %b",
                   "\xa1"
                   "a",
                   (size_t)2);
    episode other = { .project_id = "b", .episode_id = { "9" } };
    assert_ok(db, popoto_create(db, &Episode, &other));
    server_command(s, "ZADD $SortedF:Episode:score:a 5 Episode:b:9");
    server_command(s, "SADD $KeyF:Episode:project_id:a Episode:b:9");
    for (int i = 0; i < 2; i++) {
        assert_ok(db, popoto_query(db, both[i], &rows));
        assert_int_equal(3, popoto_rows_count(rows));
        popoto_rows_free(rows);
    }
    popoto_close(db);
    server_flush(s);
}

/* What is said of them takes memory, too. */
static void test_no_memory_for_what_is_broken(void **state) {
    server *s = *state;
    popoto_db *setup = popoto_open(server_url(s), NULL);
    failing_allocator heap;
    bool failed = true;
    for (int i = 0; i < 3; i++) {
        episode it = { .project_id = "a", .episode_id = { { (char)('1' + i) } }, .score = i };
        assert_ok(setup, popoto_create(setup, &Episode, &it));
    }
    popoto_close(setup);
    server_command(s, "HSET Episode:a:2 project_id %b", "\xa1z", (size_t)2);
    server_command(s, "DEL Episode:a:3");
    server_command(s, "SET Episode:a:3 x");
    server_command(s, "SET $KeyF:Episode:project_id:b x");
    popoto_query_desc by_set = { .model = &Episode, .where = { POPOTO_IS("project_id", "a") } };
    popoto_query_desc in = { .model = &Episode,
                             .where = { POPOTO_IS("project_id__in", POPOTO_LIST("a", "b")) } };
    for (size_t n = 1; failed; n++) {
        popoto_rows *rows;
        size_t count;
        popoto_db *db = opened_to_fail(s, &heap, n);
        popoto_status status = popoto_query(db, &by_set, &rows);
        if (status == POPOTO_CORRUPT) {
            assert_int_equal(2, popoto_rows_problem_count(rows));
            popoto_rows_free(rows);
            status = popoto_count(db, &in, &count);
        }
        if (status == POPOTO_CORRUPT)
            assert_int_equal(3, count);
        else
            assert_int_equal(POPOTO_NO_MEMORY, status);
        failed = closed_after_failure(db, &heap);
    }
    server_flush(s);
}

static void test_get_wants_exactly_one(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows = (void *)1;
    popoto_query_desc desc = { .model = &Episode, .where = { POPOTO_IS("project_id", "a") } };
    assert_fails(POPOTO_NOT_FOUND, "no record of Episode matches", db,
                 popoto_get(db, &desc, &rows));
    assert_null(rows);
    episode one = { .project_id = "a" }, two = { .project_id = "a" };
    assert_ok(db, popoto_create(db, &Episode, &one));
    assert_ok(db, popoto_get(db, &desc, &rows));
    assert_string_equal(one.episode_id.text, ((episode *)popoto_rows_at(rows, 0))->episode_id.text);
    popoto_rows_free(rows);
    assert_ok(db, popoto_create(db, &Episode, &two));
    assert_fails(POPOTO_SEVERAL, "more than one record of Episode", db,
                 popoto_get(db, &desc, &rows));
    assert_null(rows);
    assert_fails(
        POPOTO_NOT_FOUND, "there is no 'Episode:b:x'", db,
        popoto_load(db, &Episode, &(episode){ .project_id = "b", .episode_id = { "x" } }, &rows));
    assert_null(rows);
    popoto_close(db);
    server_flush(s);
}

static void test_missing_arguments_are_named(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows = (void *)1;
    popoto_stream *stream = (void *)1;
    size_t count = 1;
    popoto_text key = { "", 1 };
    episode it = { .project_id = "a" };
    popoto_query_desc desc = { .model = &Episode };
    assert_fails(POPOTO_BAD_ARGUMENT, "a model is needed", db, popoto_create(db, NULL, &it));
    assert_fails(POPOTO_BAD_ARGUMENT, "object", db, popoto_create(db, &Episode, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "object", db, popoto_save(db, &Episode, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "object", db, popoto_delete(db, &Episode, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "object", db, popoto_load(db, &Episode, NULL, &rows));
    assert_null(rows);
    assert_fails(POPOTO_BAD_ARGUMENT, "place for the rows", db,
                 popoto_load(db, &Episode, &it, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "place for the rows", db, popoto_query(db, &desc, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "place for the rows", db, popoto_get(db, &desc, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "place for the count", db, popoto_count(db, &desc, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "stream", db, popoto_stream_open(db, &desc, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "place for the key", db, popoto_key(db, &Episode, &it, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "description", db, popoto_query(db, NULL, &rows));
    assert_fails(POPOTO_BAD_ARGUMENT, "description", db, popoto_get(db, NULL, &rows));
    assert_fails(POPOTO_BAD_ARGUMENT, "description", db, popoto_count(db, NULL, &count));
    assert_int_equal(0, count);
    assert_fails(POPOTO_BAD_ARGUMENT, "description", db, popoto_stream_open(db, NULL, &stream));
    assert_null(stream);
    assert_fails(POPOTO_BAD_ARGUMENT, "object", db, popoto_key(db, &Episode, NULL, &key));
    assert_null(key.data);
    assert_fails(POPOTO_BAD_ARGUMENT, "no lookup", db,
                 popoto_query(db,
                              &(popoto_query_desc){ .model = &Episode,
                                                    .filters = &(popoto_filter){ .lookup = NULL },
                                                    .filter_count = 1 },
                              &rows));
    assert_fails(
        POPOTO_BAD_ARGUMENT, ".filters NULL", db,
        popoto_query(db, &(popoto_query_desc){ .model = &Episode, .filter_count = 1 }, &rows));
    assert_fails(POPOTO_BAD_ARGUMENT, "name of a field", db, popoto_scope_enter(db, NULL, "x"));
    assert_fails(POPOTO_BAD_ARGUMENT, "a value", db, popoto_scope_enter(db, "x", NULL));
    /* Without a db there is no sentence, but a status. */
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_create(NULL, &Episode, &it));
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_query(NULL, &desc, &rows));
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_ping(NULL));
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_switch(NULL, "unix:/x"));
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_scope_leave(NULL));
    assert_int_equal(POPOTO_NO_MEMORY, popoto_error_status(NULL));
    popoto_close(NULL);
    popoto_rows_free(NULL);
    assert_int_equal(0, popoto_rows_count(NULL));
    popoto_close(db);
}

static void test_a_bad_address_stays_the_reason(void **state) {
    (void)state;
    popoto_db *db = popoto_open("http://nowhere", NULL);
    popoto_rows *rows;
    episode it = { .project_id = "a" };
    const popoto_model bad = { .name = "bad model" };
    assert_non_null(db);
    assert_int_equal(POPOTO_BAD_URL, popoto_error_status(db));
    assert_status(POPOTO_BAD_MODEL, db, popoto_model_check(db, &bad));
    assert_fails(POPOTO_BAD_URL, "no known scheme", db, popoto_ping(db));
    assert_fails(POPOTO_BAD_URL, "no known scheme", db, popoto_create(db, &Episode, &it));
    assert_status(POPOTO_BAD_URL, db,
                  popoto_query(db, &(popoto_query_desc){ .model = &Episode }, &rows));
    assert_null(rows);
    assert_int_equal(0, it.object.key);
    popoto_close(db);
    db = popoto_open(NULL, NULL);
    assert_fails(POPOTO_BAD_URL, "embedded:", db, popoto_ping(db));
    popoto_close(db);
}

static void test_an_unknown_dialect_is_refused_on_every_call(void **state) {
    server *s = *state;
    popoto_options options = { .dialect = (popoto_dialect)99 };
    popoto_db *db = popoto_open(server_url(s), &options);
    episode it = { .project_id = "a" };
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_error_status(db));
    assert_fails(POPOTO_BAD_ARGUMENT, "unknown dialect 99", db, popoto_create(db, &Episode, &it));
    assert_fails(POPOTO_BAD_ARGUMENT, "unknown dialect 99", db, popoto_ping(db));
    assert_fails(POPOTO_BAD_ARGUMENT, "unknown dialect 99", db, popoto_switch(db, server_url(s)));
    popoto_close(db);
}

static void test_a_failed_switch_keeps_the_server(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    episode it = { .project_id = "a" };
    assert_status(POPOTO_BAD_URL, db, popoto_switch(db, "nonsense"));
    assert_ok(db, popoto_create(db, &Episode, &it));
    assert_status(POPOTO_CANNOT_CONNECT, db, popoto_switch(db, "unix:/no/such/socket"));
    assert_ok(db, popoto_delete(db, &Episode, &it));
    char url[200];
    snprintf(url, sizeof(url), "%s?db=3", server_url(s));
    assert_ok(db, popoto_switch(db, url));
    assert_ok(db, popoto_create(db, &Episode, &it));
    assert_string_equal("", server_dump(s)); /* of database 0 */
    assert_ok(db, popoto_delete(db, &Episode, &it));
    popoto_close(db);
}

static void test_values_that_do_not_fit_are_named(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    episode nan = { .project_id = "a", .score = 0.0 / 0.0 };
    assert_fails(POPOTO_BAD_VALUE, "Episode.score cannot be nan", db,
                 popoto_create(db, &Episode, &nan));
    trade it = { .number = 1, .exchange = "a" };
    assert_fails(POPOTO_BAD_VALUE, "Trade.symbol is null", db, popoto_save(db, &Trade, &it));
    it = (trade){ .number = 1, .exchange = "a", .symbol = "b", .volume = INT64_MAX };
    assert_fails(POPOTO_BAD_VALUE, "Trade.volume cannot be 9223372036854775807", db,
                 popoto_create(db, &Trade, &it));
    it.volume = 0;
    it.belief = 1.5;
    assert_fails(POPOTO_BAD_VALUE, "Trade.belief cannot be 1.5", db,
                 popoto_create(db, &Trade, &it));
    assert_string_equal("", server_dump(s));
    popoto_close(db);
}

/* A filter whose name is NULL would drop those behind it, the tenant's perhaps. */
static void test_a_hole_in_the_filters_is_refused(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    const char *forgotten = NULL;
    popoto_rows *rows;
    popoto_query_desc behind = {
        .model = &Episode,
        .where = { POPOTO_IS(forgotten, "a"), POPOTO_IS("project_id", "a") },
    };
    assert_fails(POPOTO_BAD_ARGUMENT, ".where[0] has no lookup", db,
                 popoto_query(db, &behind, &rows));
    popoto_query_desc alone = { .model = &Episode, .where = { POPOTO_IS(forgotten, "a") } };
    assert_fails(POPOTO_BAD_ARGUMENT, ".where[0] has no lookup", db,
                 popoto_query(db, &alone, &rows));
    popoto_query_desc null = { .model = &Episode, .where = { POPOTO_IS("project_id", forgotten) } };
    assert_fails(POPOTO_BAD_QUERY, "was its value forgotten?", db, popoto_query(db, &null, &rows));
    popoto_close(db);
}

static void test_a_query_never_takes_a_member_for_a_confidence(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    popoto_query_desc filter = { .model = &Memory,
                                 .where = { POPOTO_IS("certainty__gte", 0.5) },
                                 .allow_scan = true };
    assert_fails(POPOTO_BAD_QUERY, "popoto_confidence_scan", db, popoto_query(db, &filter, &rows));
    popoto_query_desc order = { .model = &Memory, .order_by = "-certainty" };
    assert_fails(POPOTO_BAD_QUERY, "popoto_confidence_scan", db, popoto_query(db, &order, &rows));
    popoto_close(db);
}

static void test_a_struct_that_was_not_initialised_is_refused(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    episode it = { .project_id = "a", .title = "b" };
    memset(&it.object, 0x41, sizeof it.object);
    assert_fails(POPOTO_BAD_ARGUMENT, "begins as zero", db, popoto_create(db, &Episode, &it));
    assert_fails(POPOTO_BAD_ARGUMENT, "begins as zero", db, popoto_save(db, &Episode, &it));
    popoto_close(db);
}

/* What a query in a partition's order answers, a count and a query without order do as well. */
static void test_a_whole_partition_is_counted(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    size_t count;
    for (int i = 0; i < 5; i++) {
        trade it = { .number = i, .exchange = i < 3 ? "nyse" : "lse", .symbol = "ibm", .price = i };
        assert_ok(db, popoto_create(db, &Trade, &it));
    }
    popoto_query_desc desc = {
        .model = &Trade,
        .where = { POPOTO_IS("exchange", "nyse"), POPOTO_IS("symbol", "ibm") },
    };
    assert_ok(db, popoto_count(db, &desc, &count));
    assert_int_equal(3, count);
    assert_ok(db, popoto_query(db, &desc, &rows));
    assert_int_equal(3, popoto_rows_count(rows));
    popoto_rows_free(rows);
    popoto_close(db);
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_a_stored_value_that_does_not_fit_leaves_the_other_rows),
        server_test(test_a_foreign_key_among_records_is_reported),
        server_test(test_what_stands_for_a_record_is_named),
        server_test(test_a_count_goes_on_past_what_is_broken),
        server_test(test_a_record_that_contradicts_its_key_is_reported),
        server_test(test_no_memory_for_what_is_broken),
        server_test(test_get_wants_exactly_one),
        server_test(test_missing_arguments_are_named),
        server_test(test_a_bad_address_stays_the_reason),
        server_test(test_an_unknown_dialect_is_refused_on_every_call),
        server_test(test_a_failed_switch_keeps_the_server),
        server_test(test_values_that_do_not_fit_are_named),
        server_test(test_a_hole_in_the_filters_is_refused),
        server_test(test_a_query_never_takes_a_member_for_a_confidence),
        server_test(test_a_struct_that_was_not_initialised_is_refused),
        server_test(test_a_whole_partition_is_counted),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
