/* Records, the objects of models that are described at run time: every call does with them what it does
 * with structs. */
#include "index_checker.h"
#include "server.h"
#include "test_models.h"

#include <popoto.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* The model Trade, field by field, without its struct. */
static const popoto_field loose_fields[] = {
    { .name = "number", .kind = POPOTO_KIND_KEY, .type = POPOTO_INT },
    { .name = "exchange", .type = POPOTO_TEXT },
    { .name = "symbol", .type = POPOTO_TEXT },
    { .name = "price",
      .kind = POPOTO_KIND_SORTED,
      .type = POPOTO_FLOAT,
      .partition_by = "exchange,symbol" },
    { .name = "volume", .kind = POPOTO_KIND_SORTED, .type = POPOTO_INT },
    { .name = "belief",
      .kind = POPOTO_KIND_CONFIDENCE,
      .type = POPOTO_FLOAT,
      .partition_by = "exchange" },
    { .name = "note", .type = POPOTO_TEXT, .null = true },
};
static const popoto_model LooseTrade = { .name = "Trade",
                                         .fields = loose_fields,
                                         .field_count = 7 };

static popoto_record *loose(popoto_db *db, const trade *from) {
    popoto_record *it;
    assert_ok(db, popoto_record_new(db, &LooseTrade, &it));
    assert_int_equal(POPOTO_OK, popoto_record_set(it, "number", popoto_of_int(from->number)));
    assert_int_equal(POPOTO_OK, popoto_record_set(it, "exchange", popoto_of_text(from->exchange)));
    assert_int_equal(POPOTO_OK, popoto_record_set(it, "symbol", popoto_of_text(from->symbol)));
    assert_int_equal(POPOTO_OK, popoto_record_set(it, "price", popoto_of_float(from->price)));
    assert_int_equal(POPOTO_OK, popoto_record_set(it, "volume", popoto_of_int(from->volume)));
    assert_int_equal(POPOTO_OK, popoto_record_set(it, "note", popoto_of_text(from->note)));
    return it;
}

static void test_a_record_is_stored_as_the_struct_is(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm", .price = 2, .note = "n" };
    assert_ok(db, popoto_create(db, &Trade, &it));
    char *by_struct = strdup(server_dump(s));
    assert_ok(db, popoto_delete(db, &Trade, &it));
    popoto_record *record = loose(db, &it);
    assert_ok(db, popoto_create(db, &LooseTrade, record));
    assert_string_equal(by_struct, server_dump(s));
    /* Moves, partial saves, careful saves, deletes. */
    popoto_record_set(record, "number", POPOTO_VALUE(2));
    popoto_record_set(record, "exchange", POPOTO_VALUE("lse"));
    assert_ok(db, popoto_save(db, &LooseTrade, record));
    assert_indexes_match(s, &LooseTrade);
    popoto_record_set(record, "price", POPOTO_VALUE(7)); /* an int for a float */
    assert_ok(db, popoto_save_with(db, &LooseTrade, record,
                                   &(popoto_save_desc){ .only = "price", .if_unchanged = true }));
    assert_indexes_match(s, &LooseTrade);
    assert_ok(db, popoto_delete(db, &LooseTrade, record));
    assert_string_equal("", server_dump(s));
    popoto_record_free(record);
    free(by_struct);
    popoto_close(db);
}

static void test_rows_are_records_that_can_be_changed_and_saved(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    for (int i = 0; i < 20; i++) {
        trade it = { .number = i, .exchange = "nyse", .symbol = "ibm", .volume = 19 - i };
        assert_ok(db, popoto_create(db, &Trade, &it));
    }
    popoto_query_desc desc = { .model = &LooseTrade, .order_by = "-number", .allow_scan = true };
    assert_ok(db, popoto_query(db, &desc, &rows));
    assert_int_equal(20, popoto_rows_count(rows));
    for (size_t i = 0; i < 20; i++) {
        popoto_record *row = popoto_rows_at(rows, i);
        assert_int_equal(19 - i, popoto_record_get(row, "number")->as.integer);
        assert_int_equal(i, popoto_record_get(row, "volume")->as.integer);
        assert_int_equal(POPOTO_NULL, popoto_record_get(row, "note")->type);
        assert_int_equal(POPOTO_OK, popoto_record_set(row, "note", POPOTO_VALUE("seen")));
        assert_int_equal(POPOTO_OK, popoto_record_set(row, "number", POPOTO_VALUE((int)i + 100)));
        assert_ok(db, popoto_save(db, &LooseTrade, row));
    }
    assert_indexes_match(s, &Trade);
    assert_int_equal(20, record_count(s, &Trade));
    popoto_rows_free(rows); /* with what was set in them: see the leak check */
    popoto_close(db);
    server_flush(s);
}

static void test_a_generated_key_is_set_in_the_record(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_record *record;
    assert_ok(db, popoto_record_new(db, &Note, &record));
    popoto_record_set(record, "owner", POPOTO_VALUE("ann"));
    popoto_record_set(record, "rank", POPOTO_VALUE(3));
    popoto_record_set(record, "more", POPOTO_LIST(1, "two", 3.5, POPOTO_LIST("deep")));
    assert_ok(db, popoto_create(db, &Note, record));
    assert_int_equal(32, popoto_record_get(record, "id")->as.text.size);
    assert_indexes_match(s, &Note);
    popoto_rows *rows;
    assert_ok(db, popoto_load(db, &Note, record, &rows));
    const popoto_value *more = popoto_record_get(popoto_rows_at(rows, 0), "more");
    assert_true(popoto_value_equal(more, popoto_record_get(record, "more")));
    popoto_rows_free(rows);
    popoto_record_free(record);
    popoto_close(db);
    server_flush(s);
}

static void test_record_calls_refuse_what_makes_no_sense(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_record *record = (void *)1, *other;
    assert_fails(POPOTO_BAD_ARGUMENT, "structs, not records", db,
                 popoto_record_new(db, &Trade, &record));
    assert_null(record);
    assert_fails(POPOTO_BAD_ARGUMENT, "NULL", db, popoto_record_new(db, &Note, NULL));
    assert_ok(db, popoto_record_new(db, &Note, &record));
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_record_set(record, "no_such", POPOTO_VALUE(1)));
    assert_int_equal(POPOTO_BAD_VALUE, popoto_record_set(record, "rank", POPOTO_VALUE("one")));
    assert_int_equal(POPOTO_BAD_VALUE, popoto_record_set(record, "more", POPOTO_VALUE(UINT64_MAX)));
    assert_null(popoto_record_get(record, "no_such"));
    assert_int_equal(POPOTO_NULL, popoto_record_get(record, "rank")->type);
    /* More than 32 lists one inside the other. */
    popoto_value lists[40] = { { POPOTO_NULL, { 0 } } };
    for (int i = 1; i < 40; i++)
        lists[i] = popoto_of_items(POPOTO_LIST, &lists[i - 1], 1);
    assert_int_equal(POPOTO_BAD_VALUE, popoto_record_set(record, "more", lists[39]));
    assert_int_equal(POPOTO_OK, popoto_record_set(record, "more", lists[32]));
    /* A record of another model. */
    assert_ok(db, popoto_record_new(db, &LooseTrade, &other));
    assert_fails(POPOTO_BAD_ARGUMENT, "another model", db, popoto_create(db, &Note, other));
    popoto_record_free(record);
    popoto_record_free(other);
    popoto_record_free(NULL);
    popoto_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_a_record_is_stored_as_the_struct_is),
        server_test(test_rows_are_records_that_can_be_changed_and_saved),
        server_test(test_a_generated_key_is_set_in_the_record),
        server_test(test_record_calls_refuse_what_makes_no_sense),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
