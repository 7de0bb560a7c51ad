/* Moving: a record whose key or partition changes takes its indexes and its figures with it, and leaves
 * nothing under its old name, whichever way the object came to be and whoever else writes. */
#include "index_checker.h"
#include "server.h"
#include "test_models.h"

#include <popoto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* The database is what it would be had the record been created as it is now. */
static void assert_as_if_created(server *s, popoto_db *db, const popoto_model *model,
                                 void *object) {
    assert_indexes_match(s, model);
    char *moved = strdup(server_dump(s));
    assert_ok(db, popoto_delete(db, model, object));
    assert_string_equal("", server_dump(s));
    assert_ok(db, popoto_create(db, model, object));
    assert_string_equal(moved, server_dump(s));
    free(moved);
    server_flush(s);
}

static void test_an_object_created_changed_and_saved_moves(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    fact it = { .project = "atlas", .key = "fact1", .content = "x", .certainty = 0.25 };
    assert_ok(db, popoto_create(db, &Memory, &it));
    it.project = "hermes";
    assert_ok(db, popoto_save(db, &Memory, &it));
    assert_int_equal(0, strncmp("(nil)",
                                server_command(s, "HGET $ConfidencF:Memory:certainty:data:"
                                                  "atlas Memory:atlas:fact1"),
                                5));
    it.key = "fact2";
    assert_ok(db, popoto_save(db, &Memory, &it));
    assert_as_if_created(s, db, &Memory, &it);
    popoto_close(db);
}

/* Bindings have several connections: what one loaded, another saves under a new key. */
static void test_another_db_moves_what_it_is_told_of(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL), *other = popoto_open(server_url(s), NULL);
    fact it = { .project = "atlas", .key = "fact1", .content = "x" }, never = { .key = "k" };
    popoto_text key;
    assert_ok(db, popoto_create(db, &Memory, &it));
    assert_ok(other, popoto_key(other, &Memory, &it, &key));
    it.project = "hermes";
    it.object.origin = 0; /* that of another db means nothing here */
    assert_fails(POPOTO_BAD_ARGUMENT, "no longer remembers", other,
                 popoto_save(other, &Memory, &it));
    assert_fails(POPOTO_BAD_ARGUMENT, "is not what this Memory was saved under", other,
                 popoto_remember(other, &Memory, &it, (popoto_text){ "Memory:atlas:fact", 17 }));
    assert_fails(POPOTO_BAD_ARGUMENT, "is not what this Memory was saved under", other,
                 popoto_remember(other, &Memory, &never, key));
    assert_fails(POPOTO_BAD_ARGUMENT, "NULL was given", other,
                 popoto_remember(other, &Memory, NULL, key));
    assert_fails(POPOTO_BAD_ARGUMENT, "NULL was given", other,
                 popoto_remember(other, &Memory, &it, (popoto_text){ NULL, 0 }));
    assert_ok(other, popoto_remember(other, &Memory, &it, key));
    assert_ok(other, popoto_save(other, &Memory, &it));
    popoto_free(other, key.data);
    assert_as_if_created(s, other, &Memory, &it);
    popoto_close(db);
    popoto_close(other);
}

static void test_a_row_changed_in_place_and_saved_moves(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    for (int i = 0; i < 5; i++) {
        trade it = { .number = i, .exchange = "nyse", .symbol = "ibm", .price = i };
        assert_ok(db, popoto_create(db, &Trade, &it));
    }
    /* Sorted here, cut, by an index: each way rows come about. */
    const popoto_query_desc ways[] = {
        { .model = &Trade, .allow_scan = true, .order_by = "-number", .offset = 1, .limit = 3 },
        { .model = &Trade, .order_by = "volume", .offset = 2 },
        { .model = &Trade },
    };
    for (size_t way = 0; way < 3; way++) {
        assert_ok(db, popoto_query(db, &ways[way], &rows));
        for (size_t i = 0; i < popoto_rows_count(rows); i++) {
            trade *row = popoto_rows_at(rows, i);
            row->number += 100;
            row->symbol = i % 2 ? "bp" : row->symbol;
            assert_ok(db, popoto_save(db, &Trade, row));
            row->number += 100; /* and once more, from what the first save remembers */
            assert_ok(db, popoto_save(db, &Trade, row));
        }
        assert_indexes_match(s, &Trade);
        assert_int_equal(5, record_count(s, &Trade));
        popoto_rows_free(rows);
    }
    popoto_close(db);
    server_flush(s);
}

static void test_a_struct_copy_moves_its_record(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
    assert_ok(db, popoto_create(db, &Trade, &it));
    assert_ok(db, popoto_load(db, &Trade, &it, &rows));
    trade copy = *(trade *)popoto_rows_at(rows, 0);
    copy.number = 2;
    assert_ok(db, popoto_save(db, &Trade, &copy));
    assert_int_equal(1, record_count(s, &Trade));
    popoto_rows_free(rows);
    copy.exchange = "nyse";
    copy.symbol = "ibm";
    copy.number = 3; /* its rows are gone: the save before remembered it anew */
    assert_ok(db, popoto_save(db, &Trade, &copy));
    assert_as_if_created(s, db, &Trade, &copy);
    popoto_close(db);
}

static void test_a_copy_of_a_row_that_was_saved_is_known_without_its_rows(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
    assert_ok(db, popoto_create(db, &Trade, &it));
    assert_ok(db, popoto_load(db, &Trade, &it, &rows));
    trade copy = *(trade *)popoto_rows_at(rows, 0);
    popoto_rows_free(rows);
    copy.exchange = "nyse";
    copy.symbol = "ibm";
    trade unsaved = copy;
    assert_ok(db, popoto_save(db, &Trade, &copy));
    copy.number = 2;
    assert_ok(db, popoto_save(db, &Trade, &copy));
    assert_indexes_match(s, &Trade);
    /* One that was not saved since is refused, and not guessed at. */
    unsaved.number = 9;
    char *before = strdup(server_dump(s));
    assert_fails(POPOTO_BAD_ARGUMENT, "no longer remembers its former key", db,
                 popoto_save(db, &Trade, &unsaved));
    assert_string_equal(before, server_dump(s));
    free(before);
    popoto_close(db);
    server_flush(s);
}

static void test_a_name_that_is_taken_refuses_the_move(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    trade one = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
    trade two = { .number = 2, .exchange = "nyse", .symbol = "ibm" };
    assert_ok(db, popoto_create(db, &Trade, &one));
    assert_ok(db, popoto_create(db, &Trade, &two));
    char *before = strdup(server_dump(s));
    one.number = 2;
    assert_fails(POPOTO_EXISTS, "'Trade:2' exists already", db, popoto_save(db, &Trade, &one));
    assert_string_equal(before, server_dump(s));
    /* The object still knows where it is. */
    one.number = 3;
    assert_ok(db, popoto_save(db, &Trade, &one));
    assert_indexes_match(s, &Trade);
    free(before);
    popoto_close(db);
    server_flush(s);
}

static void test_delete_finds_an_object_whose_key_was_changed(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
    assert_ok(db, popoto_create(db, &Trade, &it));
    it.number = 2;
    it.exchange = "lse";
    assert_ok(db, popoto_delete(db, &Trade, &it));
    assert_string_equal("", server_dump(s));
    popoto_close(db);
}

static void test_a_partition_that_is_no_key_moves_the_entries(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm", .price = 2, .belief = 0.75 };
    assert_ok(db, popoto_create(db, &Trade, &it));
    trade stale = it;
    it.exchange = "lse";
    assert_ok(db, popoto_save(db, &Trade, &it));
    assert_indexes_match(s, &Trade);
    it.symbol = "a:b";
    assert_ok(db, popoto_save(db, &Trade, &it));
    assert_indexes_match(s, &Trade);
    /* An object that does not know of the moves takes the record out of where it is. */
    stale.price = 3;
    assert_ok(db, popoto_save(db, &Trade, &stale));
    assert_as_if_created(s, db, &Trade, &stale);
    popoto_close(db);
}

/* Figures travel with the record; a new one of the same name starts anew. */
static void test_figures_move_with_their_record(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_confidence before, after;
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
    assert_ok(db, popoto_create(db, &Trade, &it));
    for (int i = 0; i < 3; i++)
        assert_ok(db, popoto_confidence_update(db, &Trade, &it, "belief", 0.9, &before));
    it.exchange = "lse";
    assert_ok(db, popoto_save(db, &Trade, &it));
    it.number = 2;
    assert_ok(db, popoto_save(db, &Trade, &it));
    assert_ok(db, popoto_confidence_figures(db, &Trade, &it, "belief", &after));
    assert_memory_equal(&before, &after, sizeof(before));
    assert_indexes_match(s, &Trade);
    trade fresh = { .number = 1, .exchange = "lse", .symbol = "ibm" };
    assert_ok(db, popoto_create(db, &Trade, &fresh));
    assert_ok(db, popoto_confidence_figures(db, &Trade, &fresh, "belief", &after));
    assert_int_equal(0, after.evidence_count);
    popoto_close(db);
    server_flush(s);
}

/* ----- races ---------------------------------------------------------------------------------- */

typedef struct racer {
    const char *url;
    unsigned seed;
    int rounds;
    int done;
} racer;

static const char *const exchanges[] = { "nyse", "lse", "tse" };
static const char *const users[] = { "u0", "u1", "u2", "u3" };

/* Threads must not use cmocka: what went wrong shows in the statuses that remain. */
static void *race_for_trades(void *argument) {
    racer *it = argument;
    popoto_db *db = popoto_open(it->url, NULL);
    for (int round = 0; round < it->rounds; round++) {
        unsigned dice = it->seed = it->seed * 1103515245U + 12345U;
        popoto_rows *rows = NULL;
        trade one = { .number = dice >> 16 & 3,
                      .exchange = exchanges[(dice >> 18) % 3],
                      .symbol = dice >> 20 & 1 ? "ibm" : "bp",
                      .price = dice >> 21 & 7 };
        popoto_status status = POPOTO_OK;
        switch (dice >> 24 & 3) {
        case 0: status = popoto_create(db, &Trade, &one); break;
        case 1: status = popoto_save(db, &Trade, &one); break;
        case 2: status = popoto_delete(db, &Trade, &one); break;
        default: /* load, change key and partition, save */
            if (popoto_load(db, &Trade, &one, &rows) == POPOTO_OK) {
                trade *row = popoto_rows_at(rows, 0);
                row->number = dice >> 26 & 3;
                row->exchange = exchanges[(dice >> 28) % 3];
                status = popoto_save(db, &Trade, row);
            }
            popoto_rows_free(rows);
        }
        it->done += status == POPOTO_OK || status == POPOTO_EXISTS || status == POPOTO_NOT_FOUND;
    }
    popoto_close(db);
    return NULL;
}

static void *race_for_users(void *argument) {
    racer *it = argument;
    popoto_db *db = popoto_open(it->url, NULL);
    for (int round = 0; round < it->rounds; round++) {
        unsigned dice = it->seed = it->seed * 1103515245U + 12345U;
        fact one = { .project = exchanges[(dice >> 18) % 3], .key = users[dice >> 20 & 3] };
        popoto_status status = popoto_create(db, &Memory, &one);
        it->done += status == POPOTO_OK || status == POPOTO_EXISTS || status == POPOTO_DUPLICATE;
        if (status == POPOTO_OK && dice >> 22 & 1) {
            one.key = users[dice >> 23 & 3];
            one.project = exchanges[(dice >> 25) % 3];
            status = popoto_save(db, &Memory, &one);
        }
        if (dice >> 28 & 1)
            (void)popoto_delete(db, &Memory, &one);
    }
    popoto_close(db);
    return NULL;
}

static void race(server *s, const popoto_model *model, void *(*run)(void *)) {
    racer racers[2] = { { server_url(s), 1, 1500, 0 }, { server_url(s), 99, 1500, 0 } };
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(0, pthread_create(&threads[i], NULL, run, &racers[i]));
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_indexes_match(s, model);
    assert_int_equal(1500, racers[0].done);
    assert_int_equal(1500, racers[1].done);
    server_flush(s);
}

static void test_indexes_are_right_after_two_clients_raced_on_records(void **state) {
    race(*state, &Trade, race_for_trades);
}

static void test_unique_values_have_one_holder_after_two_clients_raced(void **state) {
    race(*state, &Memory, race_for_users);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_an_object_created_changed_and_saved_moves),
        server_test(test_another_db_moves_what_it_is_told_of),
        server_test(test_a_row_changed_in_place_and_saved_moves),
        server_test(test_a_struct_copy_moves_its_record),
        server_test(test_a_copy_of_a_row_that_was_saved_is_known_without_its_rows),
        server_test(test_a_name_that_is_taken_refuses_the_move),
        server_test(test_delete_finds_an_object_whose_key_was_changed),
        server_test(test_a_partition_that_is_no_key_moves_the_entries),
        server_test(test_figures_move_with_their_record),
        server_test(test_indexes_are_right_after_two_clients_raced_on_records),
        server_test(test_unique_values_have_one_holder_after_two_clients_raced),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
