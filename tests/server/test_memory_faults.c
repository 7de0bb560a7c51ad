/* No memory: every public call, with its first, second, third... allocation failing, until it succeeds.
 * Each time it says so truthfully, leaves its outputs empty, leaks nothing, changes the database
 * completely or not at all, and the db goes on. */
#include "failing_allocator.h"
#include "index_checker.h"
#include "server.h"
#include "test_models.h"

#include <popoto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

typedef struct trial {
    popoto_db *db;
    trade object;
    popoto_status status;
} trial;

/* One call under test: prepares nothing, asserts what holds when it failed. */
typedef popoto_status attempt(trial *it);

static popoto_status create(trial *it) {
    trade object = { .number = 2, .exchange = "lse", .symbol = "bp", .price = 1 };
    popoto_status status = popoto_create(it->db, &Trade, &object);
    assert_true((status == POPOTO_OK) == (object.object.key != 0));
    return status;
}

static popoto_status save_new(trial *it) {
    trade object = { .number = 2, .exchange = "lse", .symbol = "bp", .price = 1 };
    return popoto_save(it->db, &Trade, &object);
}

static popoto_status save_moved(trial *it) {
    trade object = it->object;
    object.number = 3;
    object.exchange = "tse";
    return popoto_save(it->db, &Trade, &object);
}

static popoto_status save_part(trial *it) {
    trade object = it->object;
    object.exchange = "tse";
    return popoto_save_with(it->db, &Trade, &object,
                            &(popoto_save_desc){ .only = "exchange", .if_unchanged = true });
}

static popoto_status delete (trial *it) {
    trade object = it->object;
    return popoto_delete(it->db, &Trade, &object);
}

static popoto_status create_fresh_record(trial *it) {
    popoto_record *record;
    popoto_status status = popoto_record_new(it->db, &Note, &record);
    if (status != POPOTO_OK) {
        assert_null(record);
        return status;
    }
    status = popoto_record_set(record, "owner", POPOTO_VALUE("ann"));
    if (status == POPOTO_OK)
        status = popoto_record_set(record, "more", POPOTO_LIST("a", POPOTO_LIST(1, 2)));
    if (status == POPOTO_OK)
        status = popoto_record_set(record, "rank", POPOTO_VALUE(1));
    if (status == POPOTO_OK)
        status = popoto_create(it->db, &Note, record);
    popoto_record_free(record);
    return status;
}

static popoto_status create_many(trial *it) {
    trade objects[3] = { { .number = 7, .exchange = "a", .symbol = "b" },
                         { .number = 8, .exchange = "a", .symbol = "b" },
                         { .number = 1 } };
    void *each[] = { &objects[0], &objects[1] };
    popoto_status statuses[2] = { POPOTO_STOPPED, POPOTO_STOPPED };
    popoto_status status = popoto_create_many(it->db, &Trade, each, 2, statuses);
    assert_true(statuses[0] == POPOTO_OK || statuses[0] == POPOTO_NO_MEMORY);
    assert_true(statuses[1] == POPOTO_OK || statuses[1] == POPOTO_NO_MEMORY);
    assert_true((status == POPOTO_OK) == (statuses[0] == POPOTO_OK && statuses[1] == POPOTO_OK));
    return status;
}

/* More than one part, so that two are under way at a time. */
static popoto_status create_many_fresh(trial *it) {
    enum {
        COUNT = 260
    };
    static episode objects[COUNT];
    static popoto_status statuses[COUNT];
    void *each[COUNT];
    popoto_status first = POPOTO_OK;
    for (int i = 0; i < COUNT; i++) {
        objects[i] = (episode){ .project_id = i % 2 ? "a" : "b", .score = i };
        each[i] = &objects[i];
    }
    popoto_status status = popoto_create_many(it->db, &Episode, each, COUNT, statuses);
    for (int i = 0; i < COUNT; i++) {
        bool is_told = statuses[i] == POPOTO_OK || statuses[i] == POPOTO_UNKNOWN_OUTCOME;
        assert_true(is_told || statuses[i] == POPOTO_NO_MEMORY);
        assert_true(is_told == (objects[i].episode_id.text[0] != '\0'));
        first = first == POPOTO_OK ? statuses[i] : first;
    }
    assert_int_equal(first, status);
    return status == POPOTO_UNKNOWN_OUTCOME ? POPOTO_NO_MEMORY : status;
}

static popoto_status load(trial *it) {
    popoto_rows *rows = (void *)1;
    popoto_status status = popoto_load(it->db, &Trade, &it->object, &rows);
    assert_true((status == POPOTO_OK) == (rows != NULL));
    popoto_rows_free(rows);
    return status;
}

static popoto_status query_sorted(trial *it) {
    popoto_rows *rows = (void *)1;
    popoto_query_desc desc = { .model = &Trade,
                               .where = { POPOTO_IS("volume__in", POPOTO_LIST(0, 1, 2)),
                                          POPOTO_IS("symbol__startswith", "i") },
                               .order_by = "-symbol",
                               .allow_scan = true };
    popoto_status status = popoto_query(it->db, &desc, &rows);
    assert_true((status == POPOTO_OK) == (rows != NULL));
    if (rows != NULL)
        assert_int_equal(1, popoto_rows_count(rows));
    popoto_rows_free(rows);
    return status;
}

static popoto_status query_records(trial *it) {
    popoto_rows *rows = (void *)1;
    popoto_query_desc desc = { .model = &Note, .where = { POPOTO_IS("owner", "bob") } };
    popoto_status status = popoto_query(it->db, &desc, &rows);
    assert_true((status == POPOTO_OK) == (rows != NULL));
    if (rows != NULL && popoto_rows_count(rows) == 1)
        status = popoto_record_set(popoto_rows_at(rows, 0), "text", POPOTO_VALUE("set"));
    popoto_rows_free(rows);
    return status;
}

static popoto_status get(trial *it) {
    popoto_rows *rows = (void *)1;
    popoto_query_desc desc = {
        .model = &Trade,
        .where = { POPOTO_IS("number", 1), POPOTO_IS("price__between", POPOTO_LIST(0, 9)),
                   POPOTO_IS("exchange", "nyse"), POPOTO_IS("symbol", "ibm") }
    };
    popoto_status status = popoto_get(it->db, &desc, &rows);
    assert_true((status == POPOTO_OK) == (rows != NULL));
    popoto_rows_free(rows);
    return status;
}

static popoto_status count(trial *it) {
    size_t counted = 99;
    popoto_query_desc desc = { .model = &Trade,
                               .where = { POPOTO_IS("number__in", POPOTO_LIST(1, 2)),
                                          POPOTO_IS("note__isnull", true) },
                               .allow_scan = true };
    popoto_status status = popoto_count(it->db, &desc, &counted);
    assert_int_equal(status == POPOTO_OK ? 1 : 0, counted);
    return status;
}

static popoto_status stream(trial *it) {
    popoto_stream *opened = (void *)1;
    void *row = NULL;
    popoto_status status = popoto_stream_open(
        it->db, &(popoto_query_desc){ .model = &Trade, .order_by = "volume" }, &opened);
    assert_true((status == POPOTO_OK) == (opened != NULL));
    if (status == POPOTO_OK)
        status = popoto_stream_next(opened, &row);
    assert_true((status == POPOTO_OK) == (row != NULL));
    popoto_stream_free(opened);
    return status;
}

static popoto_status key(trial *it) {
    popoto_text text = { "", 1 };
    popoto_status status = popoto_key(it->db, &Trade, &it->object, &text);
    assert_true((status == POPOTO_OK) == (text.data != NULL));
    popoto_free(it->db, text.data);
    return status;
}

static popoto_status remember(trial *it) {
    popoto_text text;
    trade moved = it->object;
    popoto_status status = popoto_key(it->db, &Trade, &moved, &text);
    if (status == POPOTO_OK)
        status = popoto_remember(it->db, &Trade, &moved, text);
    popoto_free(it->db, text.data);
    return status;
}

static popoto_status scope(trial *it) {
    popoto_status status = popoto_scope_enter(it->db, "exchange", "nyse");
    if (status != POPOTO_OK)
        return status;
    status = save_new(it);
    if (status == POPOTO_BAD_SCOPE) /* that object names another exchange */
        status = load(it);
    assert_int_equal(POPOTO_OK, popoto_scope_leave(it->db));
    return status;
}

static popoto_status update(trial *it) {
    popoto_confidence after;
    return popoto_confidence_update(it->db, &Trade, &it->object, "belief", 0.9, &after);
}

static popoto_status check(trial *it) {
    return popoto_model_check(it->db, &Memory);
}

static popoto_status read_expired(trial *it) {
    popoto_rows *rows = NULL;
    popoto_status status = popoto_query(it->db, &(popoto_query_desc){ .model = &Session }, &rows);
    if (rows != NULL)
        assert_int_equal(0, popoto_rows_count(rows));
    popoto_rows_free(rows);
    return status;
}

static const struct {
    const char *name;
    attempt *run;
    bool writes;
} attempts[] = {
    { "create", create, true },
    { "save a new object", save_new, true },
    { "save a moved object", save_moved, true },
    { "save in part, if unchanged", save_part, true },
    { "delete", delete, true },
    { "create a record with a generated key", create_fresh_record, true },
    { "create many", create_many, true },
    { "create many with generated keys", create_many_fresh, true },
    { "load", load, false },
    { "query and sort", query_sorted, false },
    { "query records and set one", query_records, false },
    { "get", get, false },
    { "count", count, false },
    { "stream", stream, false },
    { "key", key, false },
    { "remember a key", remember, false },
    { "scope", scope, false },
    { "update confidence", update, true },
    { "check a model", check, false },
    { "read past expired records", read_expired, false },
};

/* What every attempt finds: one trade, one note, two sessions that expired. */
static void prepare(server *s, trial *it) {
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_record *note;
    session gone = { .site = "x", .user = "u" };
    server_flush(s);
    it->object = (trade){ .number = 1, .exchange = "nyse", .symbol = "ibm", .price = 2 };
    assert_ok(db, popoto_create(db, &Trade, &it->object));
    assert_ok(db, popoto_record_new(db, &Note, &note));
    assert_int_equal(POPOTO_OK, popoto_record_set(note, "owner", POPOTO_VALUE("bob")));
    assert_int_equal(POPOTO_OK, popoto_record_set(note, "rank", POPOTO_VALUE(1)));
    assert_ok(db, popoto_create(db, &Note, note));
    assert_ok(db, popoto_create(db, &Session, &gone));
    server_command(s, "DEL Session:x:u");
    popoto_record_free(note);
    popoto_close(db);
}

/* The object was saved by another db, so that this one must be told its former key: as a row. */
static void run_out_of_memory(server *s, size_t which) {
    for (size_t n = 1;; n++) {
        failing_allocator heap;
        trial it = { .status = POPOTO_OK };
        popoto_rows *rows;
        prepare(s, &it);
        failing_allocator_init(&heap, 0);
        popoto_options options = { .allocator = heap.allocator };
        it.db = popoto_open(server_url(s), &options);
        assert_non_null(it.db);
        assert_ok(it.db, popoto_load(it.db, &Trade, &it.object, &rows));
        it.object = *(trade *)popoto_rows_at(rows, 0);
        char *before = strdup(server_dump(s));

        heap.fail_at = heap.allocations + n;
        it.status = attempts[which].run(&it);
        bool failed = heap.failed;
        heap.fail_at = 0;
        if (it.status != POPOTO_OK && (!failed || it.status != POPOTO_NO_MEMORY))
            fail_msg("%s, allocation %zu: %s, %s", attempts[which].name, n,
                     popoto_status_name(it.status), popoto_error(it.db));
        assert_indexes_match(s, &Trade);
        assert_indexes_match(s, &Note);
        assert_indexes_match(s, &Episode);
        bool is_create_many =
            attempts[which].run == create_many || attempts[which].run == create_many_fresh;
        if (it.status != POPOTO_OK && attempts[which].writes && !is_create_many &&
            attempts[which].run != create_fresh_record)
            assert_string_equal(before, server_dump(s));
        /* The db goes on. */
        assert_ok(it.db, popoto_ping(it.db));
        popoto_rows_free(rows);
        popoto_close(it.db);
        if (heap.live_blocks != 0)
            fail_msg("%s, allocation %zu: %zu blocks leaked", attempts[which].name, n,
                     heap.live_blocks);
        free(before);
        if (!failed)
            break;
        assert_true(n < 2000);
    }
    server_flush(s);
}

static void test_every_call_survives_each_failing_allocation(void **state) {
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
        run_out_of_memory(*state, i);
}

static void test_open_and_switch_survive_each_failing_allocation(void **state) {
    server *s = *state;
    for (size_t n = 1;; n++) {
        failing_allocator heap;
        failing_allocator_init(&heap, n);
        popoto_options options = { .allocator = heap.allocator };
        popoto_db *db = popoto_open(server_url(s), &options);
        bool failed = heap.failed;
        if (db != NULL) {
            if (failed)
                assert_true(popoto_error_status(db) == POPOTO_NO_MEMORY ||
                            popoto_error_status(db) == POPOTO_OK);
            heap.fail_at = 0;
            assert_ok(db, popoto_ping(db)); /* it tries again */
            heap.fail_at = heap.allocations + n;
            heap.failed = false;
            popoto_status status = popoto_switch(db, server_url(s));
            failed = failed || heap.failed;
            assert_true(status == POPOTO_OK || status == POPOTO_NO_MEMORY);
            heap.fail_at = 0;
            assert_ok(db, popoto_ping(db)); /* by the new connection, or by the old one */
        } else {
            assert_true(failed);
        }
        popoto_close(db);
        assert_int_equal(0, heap.live_blocks);
        if (!failed)
            break;
        assert_true(n < 500);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_every_call_survives_each_failing_allocation),
        server_test(test_open_and_switch_survive_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
