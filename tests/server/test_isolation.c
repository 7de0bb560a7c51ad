/* Isolation and bytes: tenants whose names imitate separators, patterns and escapes never see each
 * other's rows; and what is stored comes back byte for byte, or is refused. */
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

static const char *const tenants[] = {
    "a",       "a:b",     "b",         ":",    "::",   "*",    "?",        "[a-z]",
    "{x}",     "{&#58;}", "/{&#58;}",  "/",    "//",   "",     "a\nb",     "a b",
    "%s%n",    "\\",      "'",         "-",    "^",    "A",    "\xc3\xa9", "e\xcc\x81",
    "Episode", "$Class",  "a{&#58;}b", "a/:b", "\x01", "\x7f",
};
#define TENANTS (sizeof(tenants) / sizeof(tenants[0]))

static void test_no_tenant_sees_a_row_of_another(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (size_t i = 0; i < TENANTS; i++)
        for (int k = 0; k < 2; k++) {
            episode it = { .project_id = tenants[i], .score = (double)i };
            strcpy(it.episode_id.text, k ? "two" : "one"); /* the same in each */
            assert_ok(db, popoto_create(db, &Episode, &it));
        }
    assert_indexes_match(s, &Episode);
    assert_int_equal(2 * TENANTS, record_count(s, &Episode));
    for (size_t i = 0; i < TENANTS; i++) {
        const popoto_query_desc ways[] = {
            { .model = &Episode, .where = { POPOTO_IS("project_id", tenants[i]) } },
            { .model = &Episode,
              .where = { POPOTO_IS("project_id", tenants[i]), POPOTO_IS("score__gte", -1) } },
            { .model = &Episode,
              .where = { POPOTO_IS("project_id__in", POPOTO_LIST(tenants[i])) },
              .order_by = "-score" },
            { .model = &Episode, /* the index of another tenant's name is no help */
              .where = { POPOTO_IS("score", (double)i), POPOTO_IS("project_id", tenants[i]) } },
        };
        for (size_t way = 0; way < 4; way++) {
            popoto_rows *rows;
            size_t count;
            assert_ok(db, popoto_query(db, &ways[way], &rows));
            assert_int_equal(2, popoto_rows_count(rows));
            for (size_t k = 0; k < 2; k++) {
                const episode *row = popoto_rows_at(rows, k);
                assert_string_equal(tenants[i], row->project_id);
                assert_true(row->score == (double)i);
            }
            popoto_rows_free(rows);
            assert_ok(db, popoto_count(db, &ways[way], &count));
            assert_int_equal(2, count);
        }
    }
    /* One tenant's rows go, all others' stay. */
    for (size_t i = 0; i < TENANTS; i += 2) {
        popoto_rows *rows;
        popoto_query_desc own = { .model = &Episode,
                                  .where = { POPOTO_IS("project_id", tenants[i]) } };
        assert_ok(db, popoto_query(db, &own, &rows));
        for (size_t k = 0; k < 2; k++)
            assert_ok(db, popoto_delete(db, &Episode, popoto_rows_at(rows, k)));
        popoto_rows_free(rows);
    }
    assert_indexes_match(s, &Episode);
    assert_int_equal(2 * (TENANTS / 2), record_count(s, &Episode));
    popoto_close(db);
    server_flush(s);
}

typedef struct blob {
    popoto_object object;
    popoto_text key;
    popoto_text text;
    popoto_bytes bytes;
} blob;
static const popoto_field blob_fields[] = {
    POPOTO_KEY(blob, key),
    POPOTO_FIELD(blob, text, .null = true),
    POPOTO_FIELD(blob, bytes, .null = true),
};
static const popoto_model Blob = POPOTO_MODEL("Blob", blob, blob_fields);

static void assert_comes_back(server *s, popoto_db *db, blob *it) {
    popoto_rows *rows;
    assert_ok(db, popoto_create(db, &Blob, it));
    assert_ok(db, popoto_load(db, &Blob, it, &rows));
    const blob *row = popoto_rows_at(rows, 0);
    assert_int_equal(it->key.size, row->key.size);
    assert_memory_equal(it->key.data, row->key.data, it->key.size);
    assert_int_equal(it->text.size, row->text.size);
    if (it->text.size > 0)
        assert_memory_equal(it->text.data, row->text.data, it->text.size);
    assert_true((it->text.data == NULL) == (row->text.data == NULL));
    assert_int_equal(it->bytes.size, row->bytes.size);
    if (it->bytes.size > 0)
        assert_memory_equal(it->bytes.data, row->bytes.data, it->bytes.size);
    assert_true((it->bytes.data == NULL) == (row->bytes.data == NULL));
    popoto_rows_free(rows);
    assert_indexes_match(s, &Blob);
    assert_ok(db, popoto_delete(db, &Blob, it));
    assert_string_equal("", server_dump(s));
}

static void test_every_byte_comes_back(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    char every[256];
    for (int i = 0; i < 256; i++)
        every[i] = (char)i;
    blob ascii = { .key = { every, 128 }, .text = { every, 128 }, .bytes = { every, 256 } };
    assert_comes_back(s, db, &ascii); /* with NUL, newline, : / * and all */
    blob empty = { .key = { "", 0 }, .text = { "", 0 }, .bytes = { "", 0 } };
    assert_comes_back(s, db, &empty);
    blob none = { .key = { "none", 4 } };
    assert_comes_back(s, db, &none);
    for (int i = 0; i < 128; i++) { /* each as a key of its own, before and behind others */
        char key[3] = { (char)i, 'x', (char)i };
        blob one = { .key = { key, 3 } };
        assert_comes_back(s, db, &one);
    }
    popoto_close(db);
}

static void test_megabytes_come_back(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    size_t size = 1 << 20;
    char *much = malloc(size);
    assert_non_null(much);
    for (size_t i = 0; i < size; i++)
        much[i] = (char)(i * 7 % 128);
    blob it = { .key = { much, size }, .text = { much, size }, .bytes = { much, size } };
    assert_comes_back(s, db, &it);
    /* Such a record moves, too: its key is too long to be remembered, and that is said. */
    assert_ok(db, popoto_create(db, &Blob, &it));
    popoto_rows *rows;
    assert_ok(db, popoto_load(db, &Blob, &it, &rows));
    blob *row = popoto_rows_at(rows, 0);
    row->key = (popoto_text){ "short", 5 };
    assert_ok(db, popoto_save(db, &Blob, row));
    assert_indexes_match(s, &Blob);
    assert_ok(db, popoto_delete(db, &Blob, row));
    popoto_rows_free(rows);
    free(much);
    popoto_close(db);
}

static void test_text_that_is_not_utf_8_is_refused(void **state) {
    static const char *const bad[] = { "\xff", "a\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                       "\xc0\x80" };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        blob text = { .key = { "k", 1 }, .text = { bad[i], strlen(bad[i]) } };
        assert_fails(POPOTO_BAD_VALUE, "not valid UTF-8", db, popoto_create(db, &Blob, &text));
        blob key = { .key = { bad[i], strlen(bad[i]) } };
        assert_fails(POPOTO_BAD_VALUE, "not valid UTF-8", db, popoto_save(db, &Blob, &key));
    }
    assert_string_equal("", server_dump(s));
    popoto_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_no_tenant_sees_a_row_of_another),
        server_test(test_every_byte_comes_back),
        server_test(test_megabytes_come_back),
        server_test(test_text_that_is_not_utf_8_is_refused),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
