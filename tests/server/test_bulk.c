/* Bulk calls: each object by itself, pipelined; what became of each is told truly. */
#include "commit.h"
#include "index_checker.h"
#include "server.h"
#include "test_models.h"

#include <popoto.h>
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

#define MANY 600 /* more than two pipelines */
static trade trades[MANY];
static void *objects[MANY];
static popoto_status statuses[MANY];

static void make_trades(void) {
    for (int i = 0; i < MANY; i++) {
        trades[i] =
            (trade){ .number = i, .exchange = i % 3 ? "nyse" : "lse", .symbol = "ibm", .price = i };
        objects[i] = &trades[i];
        statuses[i] = POPOTO_STOPPED;
    }
}

static void assert_all(popoto_status wanted, size_t from, size_t to) {
    for (size_t i = from; i < to; i++)
        assert_int_equal(wanted, statuses[i]);
}

static void test_hundreds_are_created_saved_and_deleted(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    make_trades();
    assert_ok(db, popoto_create_many(db, &Trade, objects, MANY, statuses));
    assert_all(POPOTO_OK, 0, MANY);
    assert_indexes_match(s, &Trade);
    assert_int_equal(MANY, record_count(s, &Trade));
    for (int i = 0; i < MANY; i++) {
        trades[i].exchange = i % 2 ? "tse" : trades[i].exchange;
        trades[i].number += i % 5 ? 0 : 1000;
    }
    assert_ok(db, popoto_save_many(db, &Trade, objects, MANY, NULL));
    assert_indexes_match(s, &Trade);
    assert_int_equal(MANY, record_count(s, &Trade));
    assert_ok(db, popoto_delete_many(db, &Trade, objects, MANY, statuses));
    assert_string_equal("", server_dump(s));
    assert_ok(db, popoto_create_many(db, &Trade, NULL, 0, NULL));
    popoto_close(db);
}

static void test_each_object_has_its_own_outcome(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    make_trades();
    assert_ok(db, popoto_create_many(db, &Trade, objects, 2, statuses));
    make_trades();
    trades[3].symbol = NULL;       /* bad value */
    objects[4] = NULL;             /* no object */
    trades[5].number = 6;          /* two of one key: the first is stored */
    trades[400].note = "\xff\xfe"; /* not UTF-8 */
    assert_fails(POPOTO_EXISTS, "'Trade:0' exists already", db,
                 popoto_create_many(db, &Trade, objects, MANY, statuses));
    assert_all(POPOTO_EXISTS, 0, 2);
    assert_all(POPOTO_OK, 2, 3);
    assert_all(POPOTO_BAD_VALUE, 3, 4);
    assert_all(POPOTO_BAD_ARGUMENT, 4, 5);
    assert_all(POPOTO_OK, 5, 6);
    assert_all(POPOTO_EXISTS, 6, 7);
    assert_all(POPOTO_OK, 7, 400);
    assert_all(POPOTO_BAD_VALUE, 400, 401);
    assert_all(POPOTO_OK, 401, MANY);
    assert_indexes_match(s, &Trade);
    assert_int_equal(MANY - 4, record_count(s, &Trade));
    popoto_close(db);
    server_flush(s);
}

static void test_fresh_records_and_chosen_keys_mix(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    episode all[9];
    void *each[9];
    for (int i = 0; i < 9; i++) {
        all[i] = (episode){ .project_id = i % 2 ? "a" : "b", .score = i };
        if (i % 3 == 0)
            snprintf(all[i].episode_id.text, sizeof(all[i].episode_id.text), "chosen%d", i / 6);
        each[i] = &all[i];
    }
    /* 0 and 6 choose different keys, 3 and 0 differ in their project. */
    assert_ok(db, popoto_create_many(db, &Episode, each, 9, statuses));
    server_command(s, "SCRIPT FLUSH");
    assert_status(POPOTO_EXISTS, db, popoto_create_many(db, &Episode, each, 4, statuses));
    assert_all(POPOTO_EXISTS, 0, 4);
    assert_indexes_match(s, &Episode);
    assert_int_equal(9, record_count(s, &Episode));
    popoto_close(db);
    server_flush(s);
}

/* New records go together in one transaction; where one index of some is foreign, the others are stored. */
static void test_a_foreign_index_concerns_its_records_alone(void **state) {
    static const char *const keys[] = { "$KeyF:Episode:project_id:a", "$SortedF:Episode:score:a" };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    static episode all[MANY];
    void *each[MANY];
    for (size_t k = 0; k < 2; k++) {
        server_command(s, "SET %s foreign", keys[k]);
        for (int i = 0; i < MANY; i++) {
            all[i] = (episode){ .project_id = i % 5 == 0 ? "a" : i % 2 ? "b" : "c", .score = i };
            each[i] = &all[i];
        }
        assert_fails(POPOTO_CORRUPT, "WRONGTYPE", db,
                     popoto_create_many(db, &Episode, each, MANY, statuses));
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(i % 5 == 0 ? POPOTO_CORRUPT : POPOTO_OK, statuses[i]);
            assert_int_equal(i % 5 == 0, all[i].episode_id.text[0] == '\0');
        }
        assert_int_equal(MANY - MANY / 5, record_count(s, &Episode));
        assert_string_equal("foreign", server_command(s, "GET %s", keys[k]));
        server_command(s, "DEL %s", keys[k]);
        assert_indexes_match(s, &Episode);
        server_flush(s);
    }
    popoto_close(db);
}

/* The second time it has a key, whether it was met in the same part of the work or in the one before. */
static void test_an_object_given_again_is_not_stored_twice(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    static episode all[MANY];
    void *each[MANY];
    for (int i = 0; i < MANY; i++) {
        all[i] = (episode){ .project_id = "a", .score = i };
        each[i] = &all[i];
    }
    each[20] = &all[10];
    each[300] = &all[100];
    assert_status(POPOTO_EXISTS, db, popoto_create_many(db, &Episode, each, MANY, statuses));
    assert_all(POPOTO_OK, 0, 20);
    assert_all(POPOTO_EXISTS, 20, 21);
    assert_all(POPOTO_OK, 21, 300);
    assert_all(POPOTO_EXISTS, 300, 301);
    assert_all(POPOTO_OK, 301, MANY);
    assert_int_equal(MANY - 2, record_count(s, &Episode));
    assert_indexes_match(s, &Episode);
    /* A save finds its record, and a key that it moved. */
    episode fresh = { .project_id = "a" };
    void *thrice[] = { &all[0], &fresh, &all[0], &fresh };
    all[0].project_id = "b";
    assert_ok(db, popoto_save_many(db, &Episode, thrice, 4, statuses));
    assert_int_equal(MANY - 1, record_count(s, &Episode));
    assert_indexes_match(s, &Episode);
    popoto_close(db);
    server_flush(s);
}

/* The first has to be sent twice, because the record is not in the partition that it says. */
static void test_of_two_saves_of_one_record_the_later_counts(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (int i = 0; i < 2; i++) { /* the second time by the script of their shape */
        trade there = { .number = 1, .exchange = "lse", .symbol = "ibm" };
        trade first = { .number = 1, .exchange = "nyse", .symbol = "ibm", .note = "first" };
        trade second = { .number = 1, .exchange = "lse", .symbol = "ibm", .note = "second" };
        void *each[] = { &first, &second };
        assert_ok(db, popoto_save(db, &Trade, &there));
        assert_ok(db, popoto_save_many(db, &Trade, each, 2, statuses));
        assert_string_equal("\\xa6second", server_command(s, "HGET Trade:1 note"));
        assert_indexes_match(s, &Trade);
    }
    popoto_close(db);
    server_flush(s);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void test_a_stopped_server_costs_one_deadline(void **state) {
    server *s = *state;
    popoto_options options = { .command_timeout = 300, .connect_timeout = 300 };
    popoto_db *db = popoto_open(server_url(s), &options);
    /* With the script known, and without. */
    for (int known = 0; known < 2; known++) {
        make_trades();
        if (known) {
            trade first = { .number = 9999, .exchange = "x", .symbol = "y" };
            assert_ok(db, popoto_create(db, &Trade, &first));
        }
        server_freeze(s);
        double began = now();
        popoto_status status = popoto_create_many(db, &Trade, objects, MANY, statuses);
        assert_true(now() - began < 0.3 * 2); /* and not one for each pipeline */
        server_thaw(s);
        assert_int_equal(known ? POPOTO_UNKNOWN_OUTCOME : POPOTO_TIMED_OUT, status);
        /* Of a second part some may have been sent ahead; what was not is known not to have happened. */
        size_t first = COMMIT_FIRST, second = COMMIT_FIRST * 3;
        size_t ahead = known && statuses[first] == POPOTO_UNKNOWN_OUTCOME ? second : first;
        assert_all(status, 0, ahead);
        assert_all(known ? POPOTO_DISCONNECTED : POPOTO_TIMED_OUT, ahead, MANY);
        assert_ok(db, popoto_ping(db));
        assert_indexes_match(s, &Trade);
        for (size_t i = first; i < MANY; i++)
            assert_int_equal(0, trades[i].object.key);
        server_flush(s);
    }
    popoto_close(db);
}

static void test_bulk_calls_without_a_model_or_objects_say_so(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    make_trades();
    assert_fails(POPOTO_BAD_ARGUMENT, "a model is needed", db,
                 popoto_create_many(db, NULL, objects, 3, statuses));
    assert_all(POPOTO_BAD_ARGUMENT, 0, 3);
    assert_fails(POPOTO_BAD_ARGUMENT, "objects are needed", db,
                 popoto_save_many(db, &Trade, NULL, 3, statuses));
    assert_all(POPOTO_BAD_ARGUMENT, 0, 3);
    popoto_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_hundreds_are_created_saved_and_deleted),
        server_test(test_each_object_has_its_own_outcome),
        server_test(test_fresh_records_and_chosen_keys_mix),
        server_test(test_a_foreign_index_concerns_its_records_alone),
        server_test(test_an_object_given_again_is_not_stored_twice),
        server_test(test_of_two_saves_of_one_record_the_later_counts),
        server_test(test_a_stopped_server_costs_one_deadline),
        server_test(test_bulk_calls_without_a_model_or_objects_say_so),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
