/* An AUTO_KEY is its record's name: rows read it from there, whatever the record says, and remember the record
 * as if it had been asked for. */
#include "failing_allocator.h"
#include "server.h"
#include "test_models.h"

#include <popoto.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* Its identifiers may be the caller's, with all that has to be escaped in a key. */
typedef struct ticket {
    popoto_object object;
    const char *desk;
    char id[128];
    const char *note;
} ticket;

static const popoto_field ticket_fields[] = {
    POPOTO_KEY(ticket, desk),
    POPOTO_AUTO_KEY(ticket, id),
    POPOTO_FIELD(ticket, note, .null = true),
};
static const popoto_model Ticket = POPOTO_MODEL("Ticket", ticket, ticket_fields);

/* The same without a struct. */
static const popoto_field loose_fields[] = {
    { .name = "desk", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },
    { .name = "id", .kind = POPOTO_KIND_AUTO_KEY, .type = POPOTO_TEXT },
    { .name = "note", .type = POPOTO_TEXT, .null = true },
};
static const popoto_model LooseTicket = { .name = "Ticket",
                                          .fields = loose_fields,
                                          .field_count = 3 };

static const char *const ids[] = {
    "plain",
    "a:b",
    "{&#58;}",
    "/",
    "-",
    "it's *?^[]",
    "\xc3\xa9",
    "//:",
    "one that is longer than the room for short texts, which is of sixty-four bytes, by a good bit",
};
#define IDS (sizeof ids / sizeof *ids)

static popoto_query_desc at_desk(const popoto_model *model) {
    return (popoto_query_desc){ .model = model, .where = { POPOTO_IS("desk", "d") } };
}

static void create_tickets(popoto_db *db) {
    for (size_t i = 0; i < IDS; i++) {
        ticket it = { .desk = "d" };
        snprintf(it.id, sizeof it.id, "%s", ids[i]);
        OK(popoto_create(db, &Ticket, &it));
    }
}

static bool is_one_of_ids(const char *id, bool seen[IDS]) {
    for (size_t i = 0; i < IDS; i++)
        if (strcmp(ids[i], id) == 0 && !seen[i])
            return seen[i] = true;
    return false;
}

/* A record of nothing but nulls is there, too. */
static void test_it_comes_back_as_it_was_given(void **state) {
    server *s = *state;
    static const popoto_dialect dialects[] = { POPOTO_DOCUMENTED, POPOTO_AS_POPOTO };
    for (size_t k = 0; k < 2; k++) {
        bool seen[IDS] = { false }, seen_loose[IDS] = { false };
        popoto_db *db = popoto_open(server_url(s), &(popoto_options){ .dialect = dialects[k] });
        popoto_rows *rows, *loose;
        create_tickets(db);
        popoto_query_desc desc = at_desk(&Ticket), loosely = at_desk(&LooseTicket);
        OK(popoto_query(db, &desc, &rows));
        OK(popoto_query(db, &loosely, &loose));
        assert_int_equal(IDS, popoto_rows_count(rows));
        assert_int_equal(IDS, popoto_rows_count(loose));
        for (size_t i = 0; i < IDS; i++) {
            assert_true(is_one_of_ids(((ticket *)popoto_rows_at(rows, i))->id, seen));
            const popoto_value *id = popoto_record_get(popoto_rows_at(loose, i), "id");
            assert_int_equal(POPOTO_TEXT, id->type);
            assert_int_equal(strlen(id->as.text.data), id->as.text.size);
            assert_true(is_one_of_ids(id->as.text.data, seen_loose));
        }
        popoto_rows_free(rows);
        popoto_rows_free(loose);
        popoto_close(db);
        server_flush(s);
    }
}

/* What a row remembers of its record is what is stored, so that a careful save goes through. */
static void test_rows_can_be_saved_if_unchanged(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    create_tickets(db);
    popoto_query_desc desc = at_desk(&Ticket);
    OK(popoto_query(db, &desc, &rows));
    for (size_t i = 0; i < popoto_rows_count(rows); i++) {
        ticket *it = popoto_rows_at(rows, i);
        it->note = "seen";
        OK(popoto_save_with(db, &Ticket, it, &(popoto_save_desc){ .if_unchanged = true }));
    }
    popoto_rows_free(rows);
    popoto_query_desc noted = { .model = &Ticket,
                                .where = { POPOTO_IS("desk", "d"), POPOTO_IS("note", "seen") },
                                .allow_scan = true };
    size_t count;
    OK(popoto_count(db, &noted, &count));
    assert_int_equal(IDS, count);
    popoto_close(db);
    server_flush(s);
}

/* The name is what counts; a filter on the field compares what is stored, and says that it contradicts. */
static void test_the_name_is_right(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    ticket it = { .desk = "d", .id = "1" };
    OK(popoto_create(db, &Ticket, &it));
    server_command(s, "HSET Ticket:d:1 id %b",
                   "\xa1"
                   "2",
                   (size_t)2);
    popoto_query_desc desc = at_desk(&Ticket);
    OK(popoto_query(db, &desc, &rows));
    assert_string_equal("1", ((ticket *)popoto_rows_at(rows, 0))->id);
    popoto_rows_free(rows);
    assert_fails(POPOTO_CORRUPT, "what is stored is another than its key's", db,
                 popoto_load(db, &Ticket, &it, &rows));
    popoto_close(db);
    server_flush(s);
}

/* Names that other writers left in an index. */
static void test_names_that_are_none_of_the_models(void **state) {
    server *s = *state;
    static const struct {
        const char *name;
        size_t size;
        const char *says;
    } strange[] = {
        { "Ticket:d", 8, "'Ticket:d', model Ticket: it is no name of a record of this model" },
        { "Ticket:d:1:2", 12, "it is no name of a record of this model" },
        { "Tocket:d:1", 10, "it is no name of a record of this model" },
        { "Ticket:d:\xff", 10, "field id: what the record's name has for it is no text" },
        { "Ticket:d:"
          "0123456789012345678901234567890123456789012345678901234567890123456789"
          "0123456789012345678901234567890123456789012345678901234567890123456789",
          149, "field id: " },
    };
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        ticket it = { .desk = "d", .id = "good" };
        OK(popoto_create(db, &Ticket, &it));
        server_command(s, "HSET %b desk %b", strange[i].name, strange[i].size,
                       "\xa1"
                       "d",
                       (size_t)2);
        server_command(s, "SADD $KeyF:Ticket:desk:d %b", strange[i].name, strange[i].size);
        popoto_query_desc desc = at_desk(&Ticket);
        assert_fails(POPOTO_CORRUPT, strange[i].says, db, popoto_query(db, &desc, &rows));
        assert_int_equal(1, popoto_rows_count(rows));
        assert_string_equal("good", ((ticket *)popoto_rows_at(rows, 0))->id);
        popoto_rows_free(rows);
        server_flush(s);
    }
    popoto_close(db);
}

static void test_without_memory(void **state) {
    server *s = *state;
    popoto_db *maker = popoto_open(server_url(s), NULL);
    create_tickets(maker);
    popoto_close(maker);
    const popoto_model *const models[] = { &Ticket, &LooseTicket };
    for (size_t m = 0; m < 2; m++)
        for (size_t n = 1;; n++) {
            failing_allocator heap;
            popoto_rows *rows = NULL;
            failing_allocator_init(&heap, n);
            popoto_db *db =
                popoto_open(server_url(s), &(popoto_options){ .allocator = heap.allocator });
            popoto_query_desc desc = at_desk(models[m]);
            popoto_status status = db != NULL ? popoto_query(db, &desc, &rows) : POPOTO_NO_MEMORY;
            assert_true(status == POPOTO_OK || (heap.failed && status == POPOTO_NO_MEMORY));
            assert_int_equal(status == POPOTO_OK ? IDS : 0, popoto_rows_count(rows));
            popoto_rows_free(rows);
            popoto_close(db);
            assert_int_equal(0, heap.live_blocks);
            if (!heap.failed)
                break;
        }
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_it_comes_back_as_it_was_given),
        server_test(test_rows_can_be_saved_if_unchanged),
        server_test(test_the_name_is_right),
        server_test(test_names_that_are_none_of_the_models),
        server_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
