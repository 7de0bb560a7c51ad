/* Streams: results of any size, page by page, each row once and in order, whatever is written in between
 * and whatever stands in the way. */
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

#define MANY 1500
static trade trades[MANY];
static int seen[MANY + 1000];

static void make_trades(popoto_db *db, int64_t distinct_volumes) {
    static void *objects[MANY];
    for (int i = 0; i < MANY; i++) {
        trades[i] = (trade){
            .number = i, .exchange = "nyse", .symbol = "ibm", .volume = i % distinct_volumes
        };
        objects[i] = &trades[i];
    }
    assert_ok(db, popoto_create_many(db, &Trade, objects, MANY, NULL));
    memset(seen, 0, sizeof(seen));
}

static trade *next(popoto_db *db, popoto_stream *stream) {
    void *row;
    assert_ok(db, popoto_stream_next(stream, &row));
    if (row != NULL)
        seen[((trade *)row)->number]++;
    return row;
}

static void assert_each_once(int from, int to) {
    for (int i = from; i < to; i++)
        assert_int_equal(1, seen[i]);
}

static void test_every_row_comes_once_with_or_without_order(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_stream *stream;
    /* 1, 2 and many scores: nearly all rows are tied, so that pages end among ties. */
    for (int64_t distinct = 1; distinct < 200; distinct = distinct * 13 + 1) {
        static const char *const orders[] = { NULL, "volume", "-volume" };
        make_trades(db, distinct);
        for (int i = 0; i < 3; i++) {
            popoto_query_desc desc = { .model = &Trade, .order_by = orders[i] };
            memset(seen, 0, sizeof(seen));
            assert_ok(db, popoto_stream_open(db, &desc, &stream));
            trade *row;
            int64_t last = i == 2 ? INT64_MAX : -1;
            while ((row = next(db, stream)) != NULL) {
                assert_true(i == 0 || (i == 1 ? row->volume >= last : row->volume <= last));
                last = row->volume;
            }
            assert_null(next(db, stream)); /* the end stays the end */
            assert_each_once(0, MANY);
            popoto_stream_free(stream);
        }
        server_flush(s);
    }
    popoto_close(db);
}

/* The server prints -0 and 0, and takes them for one score. */
static void test_both_zeros_are_one_score(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    static episode all[MANY];
    void *each[MANY];
    for (int i = 0; i < MANY; i++) {
        all[i] = (episode){ .project_id = "a", .score = i % 3 == 0 ? -0.0 : 0.0 };
        snprintf(all[i].episode_id.text, sizeof all[i].episode_id.text, "%04d", i);
        each[i] = &all[i];
    }
    assert_ok(db, popoto_create_many(db, &Episode, each, MANY, NULL));
    for (int turn = 0; turn < 2; turn++) {
        popoto_stream *stream;
        popoto_query_desc desc = { .model = &Episode,
                                   .where = { POPOTO_IS("project_id", "a") },
                                   .order_by = turn == 0 ? "score" : "-score" };
        assert_ok(db, popoto_stream_open(db, &desc, &stream));
        for (int i = 0; i < MANY; i++) {
            void *row;
            assert_ok(db, popoto_stream_next(stream, &row));
            assert_non_null(row);
            assert_int_equal(turn == 0 ? i : MANY - 1 - i, atoi(((episode *)row)->episode_id.text));
        }
        assert_null(next(db, stream));
        popoto_stream_free(stream);
    }
    popoto_close(db);
    server_flush(s);
}

static void test_limit_and_offset_hold_for_streams(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_stream *stream;
    make_trades(db, MANY);
    /* In a page, at its borders and far behind it. */
    static const size_t offsets[] = { 0, 1, 255, 256, 257, 512, 700 };
    for (size_t k = 0; k < sizeof offsets / sizeof *offsets; k++) {
        int first = (int)offsets[k];
        popoto_query_desc desc = {
            .model = &Trade, .order_by = "volume", .offset = offsets[k], .limit = 600
        };
        assert_ok(db, popoto_stream_open(db, &desc, &stream));
        for (int i = first; i < first + 600; i++)
            assert_int_equal(i, next(db, stream)->volume);
        assert_null(next(db, stream));
        popoto_stream_free(stream);
    }
    popoto_close(db);
    server_flush(s);
}

/* Rows before, at and after the stream's place come, go and change their score while it is read. */
static void test_writes_in_between_leave_the_other_rows_to_come_once(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    static const char *const orders[] = { "volume", "-volume" };
    for (int order = 0; order < 2; order++) {
        popoto_stream *stream;
        make_trades(db, 2);
        popoto_query_desc desc = { .model = &Trade, .order_by = orders[order] };
        assert_ok(db, popoto_stream_open(db, &desc, &stream));
        int written = 0;
        trade *row;
        for (int at = 0; (row = next(db, stream)) != NULL; at++) {
            if (at % 20 != 0 || written >= 40)
                continue;
            /* One behind us goes; 1000 to 1039 are deleted; newcomers tie with everybody. */
            trade gone = { .number = 1000 + written };
            trade fresh = { .number = MANY + written, .exchange = "a", .symbol = "b", .volume = 1 };
            assert_ok(db, popoto_delete(db, &Trade, &gone));
            assert_ok(db, popoto_create(db, &Trade, &fresh));
            written++;
        }
        assert_int_equal(40, written);
        popoto_stream_free(stream);
        assert_each_once(0, 1000);
        assert_each_once(1040, MANY);
        for (int i = 1000; i < 1040; i++)
            assert_in_range(seen[i], 0, 1);
        for (int i = MANY; i < MANY + 40; i++)
            assert_in_range(seen[i], 0, 1);
        assert_indexes_match(s, &Trade);
        server_flush(s);
    }
    popoto_close(db);
}

/* More newcomers before the stream's place, all with its score, than a page holds. */
static void test_a_crowd_of_newcomers_does_not_stop_a_stream(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_stream *stream;
    make_trades(db, 1);
    popoto_query_desc desc = { .model = &Trade, .order_by = "-volume" };
    assert_ok(db, popoto_stream_open(db, &desc, &stream));
    for (int i = 0; i < 256; i++)
        assert_non_null(next(db, stream));
    for (int i = 0; i < 900; i++) /* sort after all others, and so before this stream's place */
        assert_string_equal("1", server_command(s, "ZADD $SortedF:Trade:volume 0 Trade:z%d", i));
    while (next(db, stream) != NULL) {}
    assert_each_once(0, MANY);
    popoto_stream_free(stream);
    popoto_close(db);
    server_flush(s);
}

static void test_other_calls_and_other_streams_in_between_are_fine(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_stream *one, *two;
    make_trades(db, 7);
    popoto_query_desc desc = { .model = &Trade };
    assert_ok(db, popoto_stream_open(db, &desc, &one));
    assert_ok(db, popoto_stream_open(db, &desc, &two));
    trade *row;
    int other = 0;
    void *second;
    while ((row = next(db, one)) != NULL) {
        assert_ok(db, popoto_stream_next(two, &second));
        other += second != NULL;
        row->price += 1;
        if (row->number % 50 == 0)
            assert_ok(db, popoto_save(db, &Trade, row));
    }
    assert_int_equal(MANY, other);
    assert_each_once(0, MANY);
    popoto_stream_free(one);
    popoto_stream_free(two);
    popoto_stream_free(NULL);
    assert_indexes_match(s, &Trade);
    popoto_close(db);
    server_flush(s);
}

static void test_a_corrupt_record_is_told_and_passed_over(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_stream *stream;
    make_trades(db, 3);
    server_command(s, "HSET Trade:700 price notmsgpack");
    server_command(s, "HSET Trade:701 exchange %b", "\x05", (size_t)1);
    popoto_query_desc desc = { .model = &Trade, .order_by = "volume" };
    assert_ok(db, popoto_stream_open(db, &desc, &stream));
    int corrupt = 0, rows = 0;
    for (;;) {
        void *row;
        popoto_status status = popoto_stream_next(stream, &row);
        if (status == POPOTO_CORRUPT) {
            assert_null(row);
            assert_non_null(strstr(popoto_error(db), "'Trade:70"));
            corrupt++;
            continue;
        }
        assert_int_equal(POPOTO_OK, status);
        if (row == NULL)
            break;
        rows++;
    }
    assert_int_equal(2, corrupt);
    assert_int_equal(MANY - 2, rows);
    popoto_stream_free(stream);
    popoto_close(db);
    server_flush(s);
}

static void test_an_order_that_no_index_gives_is_refused(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_stream *stream = (void *)1;
    assert_fails(POPOTO_BAD_QUERY, "cannot be ordered by symbol", db,
                 popoto_stream_open(
                     db, &(popoto_query_desc){ .model = &Trade, .order_by = "symbol" }, &stream));
    assert_null(stream);
    popoto_close(db);
}

static void test_a_stream_without_a_server_says_so_and_goes_on_later(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_stream *stream;
    void *row = (void *)1;
    make_trades(db, 3);
    assert_ok(db, popoto_stream_open(db, &(popoto_query_desc){ .model = &Trade }, &stream));
    server_kill(s);
    assert_status(POPOTO_CANNOT_CONNECT, db, popoto_stream_next(stream, &row));
    assert_null(row);
    popoto_stream_free(stream);
    popoto_close(db);
}

/* A stream belongs to the scope that it was opened in, and to the values it was asked for, as long as it
 * lives: the scope may be left, and those values released, before the first row is asked for. */
static void test_a_stream_keeps_its_scope_and_its_values(void **state) {
    static const char *const orders[] = { NULL, "volume" };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (int i = 0; i < 40; i++) {
        trade one = { .number = i, .symbol = i % 4 < 2 ? "ibm" : "dec", .volume = i };
        one.exchange = i % 2 ? "lse" : "nyse";
        assert_ok(db, popoto_create(db, &Trade, &one));
    }
    for (int i = 0; i < 2; i++) {
        char exchange[] = "lse", symbol[] = "ibm";
        popoto_stream *stream;
        popoto_query_desc desc = { .model = &Trade, .order_by = orders[i], .allow_scan = true };
        desc.where[0] = (popoto_filter)POPOTO_IS("symbol", symbol);
        assert_ok(db, popoto_scope_enter(db, "exchange", exchange));
        assert_ok(db, popoto_stream_open(db, &desc, &stream));
        assert_ok(db, popoto_scope_leave(db));
        memset(exchange, 'x', 3);
        memset(symbol, 'x', 3);
        assert_ok(db, popoto_scope_enter(db, "exchange", "nyse"));
        memset(seen, 0, sizeof(seen));
        for (trade *row = next(db, stream); row != NULL; row = next(db, stream))
            assert_string_equal("ibm", row->symbol);
        assert_ok(db, popoto_scope_leave(db));
        for (int k = 0; k < 40; k++)
            assert_int_equal(k % 4 == 1, seen[k]);
        popoto_stream_free(stream);
    }
    popoto_close(db);
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_every_row_comes_once_with_or_without_order),
        server_test(test_both_zeros_are_one_score),
        server_test(test_limit_and_offset_hold_for_streams),
        server_test(test_writes_in_between_leave_the_other_rows_to_come_once),
        server_test(test_a_crowd_of_newcomers_does_not_stop_a_stream),
        server_test(test_other_calls_and_other_streams_in_between_are_fine),
        server_test(test_a_corrupt_record_is_told_and_passed_over),
        server_test(test_an_order_that_no_index_gives_is_refused),
        server_test(test_a_stream_keeps_its_scope_and_its_values),
        server_test(test_a_stream_without_a_server_says_so_and_goes_on_later),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
