/* Writing: create, save and delete, each one atomic step; what is stored, what is refused, and that a
 * refusal changes nothing. */
#include "index_checker.h"
#include "server.h"
#include "test_models.h"

#include <popoto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* ----- create --------------------------------------------------------------------------------- */

static void test_create_stores_the_record_and_its_index_entries(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    episode e = { .project_id = "project-a",
                  .episode_id = { "abc123" },
                  .title = "First meeting",
                  .score = 0.75 };
    assert_ok(db, popoto_create(db, &Episode, &e));
    assert_string_equal("$Class:Episode (set)\n"
                        "  Episode:project-a:abc123\n"
                        "$KeyF:Episode:project_id:project-a (set)\n"
                        "  Episode:project-a:abc123\n"
                        "$SortedF:Episode:score:project-a (zset)\n"
                        "  Episode:project-a:abc123 = 0.75\n"
                        "Episode:project-a:abc123 (hash)\n"
                        "  episode_id = \\xa6abc123\n"
                        "  project_id = \\xa9project-a\n"
                        "  score = \\xcb?\\xe8\\x00\\x00\\x00\\x00\\x00\\x00\n"
                        "  title = \\xadFirst meeting\n",
                        server_dump(s));
    assert_ok(db, popoto_delete(db, &Episode, &e));
    popoto_close(db);
}

static void test_create_generates_a_key_of_32_hex_digits(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    episode one = { .project_id = "a" }, other = { .project_id = "a" };
    assert_ok(db, popoto_create(db, &Episode, &one));
    assert_ok(db, popoto_create(db, &Episode, &other));
    assert_int_equal(32, strspn(one.episode_id.text, "0123456789abcdef"));
    assert_int_equal('\0', one.episode_id.text[32]);
    assert_string_not_equal(one.episode_id.text, other.episode_id.text);
    assert_indexes_match(s, &Episode);
    assert_int_equal(2, record_count(s, &Episode));
    popoto_close(db);
    server_flush(s);
}

typedef struct ordered {
    popoto_object object;
    char id[33];
} ordered;
static const popoto_field ordered_fields[] = { POPOTO_AUTO_KEY(ordered, id,
                                                               .generate = POPOTO_ULID) };
static const popoto_model Ordered = POPOTO_MODEL("Ordered", ordered, ordered_fields);

static void test_ulids_are_26_digits_that_sort_by_time(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    char last[33] = "";
    for (int i = 0; i < 5; i++) {
        ordered it = { .id = "" };
        time_t before = time(NULL);
        assert_ok(db, popoto_create(db, &Ordered, &it));
        assert_int_equal(26, strlen(it.id));
        assert_int_equal(26, strspn(it.id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"));
        assert_true(strcmp(last, it.id) < 0);
        /* The first ten digits are the milliseconds since 1970. */
        uint64_t milliseconds = 0;
        for (int k = 0; k < 10; k++)
            milliseconds = milliseconds * 32 +
                           (uint64_t)(strchr("0123456789ABCDEFGHJKMNPQRSTVWXYZ", it.id[k]) -
                                      "0123456789ABCDEFGHJKMNPQRSTVWXYZ");
        assert_in_range(milliseconds / 1000, before, before + 2);
        strcpy(last, it.id);
        usleep(2000);
    }
    popoto_close(db);
    server_flush(s);
}

static void test_create_refuses_a_key_that_is_there(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    trade first = { .number = 7, .exchange = "nyse", .symbol = "ibm", .price = 1 };
    trade second = { .number = 7, .exchange = "lse", .symbol = "bp", .price = 2 };
    assert_ok(db, popoto_create(db, &Trade, &first));
    char *before = strdup(server_dump(s));
    assert_fails(POPOTO_EXISTS, "'Trade:7' exists already", db, popoto_create(db, &Trade, &second));
    assert_string_equal(before, server_dump(s));
    assert_int_equal(0, second.object.key);
    free(before);
    popoto_close(db);
    server_flush(s);
}

static void test_a_record_may_have_every_default(void **state) {
    typedef struct defaults {
        popoto_object object;
        const char *id;
        const char *text;
        const double *real;
        const int64_t *whole;
        const bool *truth;
        popoto_decimal exact;
    } defaults;
    static const popoto_field fields[] = {
        POPOTO_KEY(defaults, id),
        POPOTO_FIELD(defaults, text, .null = true, .default_value = POPOTO_DEFAULT_TEXT("none")),
        POPOTO_FIELD(defaults, real, .null = true, .default_value = POPOTO_DEFAULT_INT(3)),
        POPOTO_FIELD(defaults, whole, .null = true, .default_value = POPOTO_DEFAULT_INT(-4)),
        POPOTO_FIELD(defaults, truth, .null = true, .default_value = POPOTO_DEFAULT_INT(1)),
        POPOTO_FIELD(defaults, exact, .null = true, .default_value = POPOTO_DEFAULT_TEXT("1.50")),
    };
    static const popoto_model Defaults = POPOTO_MODEL("Defaults", defaults, fields);
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    defaults it = { .id = "x" };
    popoto_rows *rows;
    assert_ok(db, popoto_create(db, &Defaults, &it));
    /* Once as they were stored, once for a record that lacks all of them. */
    for (int round = 0; round < 2; round++) {
        assert_ok(db, popoto_load(db, &Defaults, &it, &rows));
        const defaults *row = popoto_rows_at(rows, 0);
        assert_string_equal("none", row->text);
        assert_true(*row->real == 3.0);
        assert_int_equal(-4, *row->whole);
        assert_true(*row->truth);
        assert_string_equal("1.50", row->exact.text);
        popoto_rows_free(rows);
        server_command(s, "HDEL Defaults:x text real whole truth exact");
    }
    popoto_close(db);
    server_flush(s);
}

/* .keep_null: a null is written, or refused, and the default is for records that lack the field. */
static void test_a_null_may_be_kept_beside_a_default(void **state) {
    typedef struct kept {
        popoto_object object;
        const char *id, *word, *must;
    } kept;
    static const popoto_field fields[] = {
        POPOTO_KEY(kept, id),
        POPOTO_FIELD(kept, word, .null = true, .keep_null = true,
                     .default_value = POPOTO_DEFAULT_TEXT("w")),
        POPOTO_FIELD(kept, must, .keep_null = true, .default_value = POPOTO_DEFAULT_TEXT("m")),
    };
    static const popoto_model Kept = POPOTO_MODEL("Kept", kept, fields);
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    kept it = { .id = "x" };
    popoto_rows *rows;
    assert_fails(POPOTO_BAD_VALUE, "Kept.must is null", db, popoto_create(db, &Kept, &it));
    it.must = "given";
    assert_ok(db, popoto_create(db, &Kept, &it));
    assert_string_equal("\\xc0", server_command(s, "HGET Kept:x word"));
    assert_ok(db, popoto_save(db, &Kept, &it));
    assert_ok(db, popoto_load(db, &Kept, &it, &rows));
    assert_null(((const kept *)popoto_rows_at(rows, 0))->word);
    popoto_rows_free(rows);
    server_command(s, "HDEL Kept:x word must");
    assert_ok(db, popoto_load(db, &Kept, &it, &rows));
    assert_string_equal("w", ((const kept *)popoto_rows_at(rows, 0))->word);
    assert_string_equal("m", ((const kept *)popoto_rows_at(rows, 0))->must);
    popoto_rows_free(rows);
    popoto_close(db);
    server_flush(s);
}

/* ----- save ----------------------------------------------------------------------------------- */

static void test_save_creates_then_replaces(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm", .price = 2.5, .volume = 10 };
    assert_ok(db, popoto_save(db, &Trade, &it));
    assert_indexes_match(s, &Trade);
    it.price = 3;
    it.note = "changed";
    assert_ok(db, popoto_save(db, &Trade, &it));
    assert_indexes_match(s, &Trade);
    assert_string_equal("3", server_command(s, "ZSCORE $SortedF:Trade:price:nyse:ibm Trade:1"));
    /* Another object that never was replaces what has its key. */
    trade other = { .number = 1, .exchange = "lse", .symbol = "bp", .price = 9, .volume = 1 };
    assert_ok(db, popoto_save(db, &Trade, &other));
    assert_indexes_match(s, &Trade);
    assert_string_equal("\\xc0", server_command(s, "HGET Trade:1 note"));
    assert_int_equal(1, record_count(s, &Trade));
    assert_ok(db, popoto_delete(db, &Trade, &it));
    popoto_close(db);
}

static void test_save_of_a_deleted_record_is_refused(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
    assert_ok(db, popoto_create(db, &Trade, &it));
    trade copy = it;
    assert_ok(db, popoto_delete(db, &Trade, &it));
    assert_fails(POPOTO_NOT_FOUND, "'Trade:1'", db, popoto_save(db, &Trade, &copy));
    assert_string_equal("", server_dump(s));
    /* The one that was deleted is "never saved" again. */
    assert_int_equal(0, it.object.key);
    assert_ok(db, popoto_save(db, &Trade, &it));
    assert_ok(db, popoto_delete(db, &Trade, &it));
    popoto_close(db);
}

static void test_a_partial_save_stores_only_what_it_names(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm", .price = 1, .note = "old" };
    assert_ok(db, popoto_create(db, &Trade, &it));
    it.price = 2;
    it.volume = 5;
    it.note = "new";
    assert_ok(db, popoto_save_with(db, &Trade, &it, &(popoto_save_desc){ .only = "price, note" }));
    assert_indexes_match(s, &Trade);
    assert_string_equal("\\xa3new", server_command(s, "HGET Trade:1 note"));
    assert_string_equal("2", server_command(s, "ZSCORE $SortedF:Trade:price:nyse:ibm Trade:1"));
    assert_string_equal("\\x00", server_command(s, "HGET Trade:1 volume"));
    assert_string_equal("0", server_command(s, "ZSCORE $SortedF:Trade:volume Trade:1"));
    /* A partition alone: entries that were not named move with it, with the scores that are stored. */
    it.exchange = "lse";
    it.price = 77;
    assert_ok(db, popoto_save_with(db, &Trade, &it, &(popoto_save_desc){ .only = "exchange" }));
    assert_indexes_match(s, &Trade);
    assert_string_equal("2", server_command(s, "ZSCORE $SortedF:Trade:price:lse:ibm Trade:1"));
    /* What is not stored is no obstacle. */
    it.note = "\xff";
    it.symbol = "\xff";
    assert_ok(db, popoto_save_with(db, &Trade, &it, &(popoto_save_desc){ .only = "volume" }));
    assert_indexes_match(s, &Trade);
    assert_fails(POPOTO_BAD_ARGUMENT, "no field 'prize'", db,
                 popoto_save_with(db, &Trade, &it, &(popoto_save_desc){ .only = "prize" }));
    popoto_close(db);
    server_flush(s);
}

/* However it is sent: a generated key has a way of its own. */
static void test_a_new_record_saved_in_part_has_no_entries_of_what_it_lacks(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    const popoto_save_desc title = { .only = "title" };
    episode generated = { .project_id = "a", .title = "new", .score = 3 };
    episode chosen = { .project_id = "a", .episode_id = { "abc123" }, .title = "new", .score = 3 };
    assert_ok(db, popoto_save_with(db, &Episode, &generated, &title));
    assert_ok(db, popoto_save_with(db, &Episode, &chosen, &title));
    assert_int_equal(2, record_count(s, &Episode));
    assert_string_equal("0", server_command(s, "EXISTS $SortedF:Episode:score:a"));
    assert_indexes_match(s, &Episode);
    popoto_close(db);
    server_flush(s);
}

static void test_a_partial_save_of_another_key_moves_the_whole_record(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm", .price = 1, .volume = 3 };
    assert_ok(db, popoto_create(db, &Trade, &it));
    it.number = 2;
    it.note = "moved";
    it.price = 50; /* not named */
    assert_ok(db, popoto_save_with(db, &Trade, &it, &(popoto_save_desc){ .only = "note" }));
    assert_indexes_match(s, &Trade);
    assert_string_equal("0", server_command(s, "EXISTS Trade:1"));
    assert_string_equal("1", server_command(s, "ZSCORE $SortedF:Trade:price:nyse:ibm Trade:2"));
    popoto_close(db);
    server_flush(s);
}

static void test_a_row_loaded_in_part_is_saved_in_part_and_deleted(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm", .price = 1, .note = "kept" };
    assert_ok(db, popoto_create(db, &Trade, &it));
    popoto_query_desc desc = { .model = &Trade,
                               .where = { POPOTO_IS("number", 1) },
                               .fields = "volume" };
    assert_ok(db, popoto_query(db, &desc, &rows));
    trade *row = popoto_rows_at(rows, 0);
    assert_null(row->exchange);
    row->volume = 12;
    assert_fails(POPOTO_BAD_ARGUMENT, "choice of fields", db, popoto_save(db, &Trade, row));
    assert_fails(POPOTO_BAD_ARGUMENT, "choice of fields", db, popoto_create(db, &Trade, row));
    assert_ok(db, popoto_save_with(db, &Trade, row, &(popoto_save_desc){ .only = "volume" }));
    assert_indexes_match(s, &Trade);
    assert_string_equal("\\x0c", server_command(s, "HGET Trade:1 volume"));
    assert_string_equal("\\xa4kept", server_command(s, "HGET Trade:1 note"));
    assert_ok(db, popoto_delete(db, &Trade, row));
    assert_string_equal("", server_dump(s));
    popoto_rows_free(rows);
    popoto_close(db);
}

static void test_if_unchanged_refuses_what_somebody_changed(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    const popoto_save_desc careful = { .if_unchanged = true };
    trade mine = { .number = 1, .exchange = "nyse", .symbol = "ibm", .price = 1 };
    assert_ok(db, popoto_create(db, &Trade, &mine));
    trade theirs = mine;
    mine.price = 2;
    assert_ok(db, popoto_save_with(db, &Trade, &mine, &careful));
    mine.exchange = "lse";
    assert_ok(db, popoto_save_with(db, &Trade, &mine, &careful));
    char *before = strdup(server_dump(s));
    theirs.note = "late";
    assert_fails(POPOTO_CHANGED, "'Trade:1'", db, popoto_save_with(db, &Trade, &theirs, &careful));
    assert_string_equal(before, server_dump(s));
    /* The same with a key that changed, in part, and of a record that is gone. */
    theirs.number = 2;
    assert_status(POPOTO_CHANGED, db, popoto_save_with(db, &Trade, &theirs, &careful));
    assert_string_equal(before, server_dump(s));
    free(before);
    mine.note = "part";
    assert_ok(db, popoto_save_with(db, &Trade, &mine,
                                   &(popoto_save_desc){ .if_unchanged = true, .only = "note" }));
    mine.note = "whole";
    assert_ok(db, popoto_save_with(db, &Trade, &mine, &careful));
    assert_indexes_match(s, &Trade);
    trade gone = mine;
    assert_ok(db, popoto_delete(db, &Trade, &mine));
    assert_status(POPOTO_NOT_FOUND, db, popoto_save_with(db, &Trade, &gone, &careful));
    trade fresh = { .number = 5, .exchange = "nyse", .symbol = "ibm" };
    assert_fails(POPOTO_BAD_ARGUMENT, "if_unchanged", db,
                 popoto_save_with(db, &Trade, &fresh, &careful));
    assert_string_equal("", server_dump(s));
    popoto_close(db);
}

/* ----- delete --------------------------------------------------------------------------------- */

static void test_delete_takes_everything_and_is_refused_twice(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    fact m = { .project = "atlas", .key = "fact1" };
    trade t = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
    assert_ok(db, popoto_create(db, &Memory, &m));
    assert_ok(db, popoto_create(db, &Trade, &t));
    fact again = m;
    assert_ok(db, popoto_delete(db, &Memory, &m));
    assert_fails(POPOTO_NOT_FOUND, "'Memory:atlas:fact1'", db, popoto_delete(db, &Memory, &again));
    /* By the key alone: what the object says of partitions may be wrong or nothing. */
    trade by_key = { .number = 1, .exchange = "elsewhere" };
    assert_ok(db, popoto_delete(db, &Trade, &by_key));
    assert_string_equal("", server_dump(s));
    popoto_close(db);
}

/* ----- unique values -------------------------------------------------------------------------- */

static void test_a_unique_value_has_one_holder(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    fact one = { .project = "atlas", .key = "fact1" };
    fact other = { .project = "hermes", .key = "fact1" };
    assert_ok(db, popoto_create(db, &Memory, &one));
    char *before = strdup(server_dump(s));
    assert_fails(POPOTO_DUPLICATE, "Memory.key = 'fact1' is taken by another record", db,
                 popoto_create(db, &Memory, &other));
    assert_status(POPOTO_DUPLICATE, db, popoto_save(db, &Memory, &other));
    assert_string_equal(before, server_dump(s));
    free(before);
    /* The holder keeps it through saves and moves; what it gives up is free. */
    one.content = "more";
    assert_ok(db, popoto_save(db, &Memory, &one));
    one.project = "zeus";
    assert_ok(db, popoto_save(db, &Memory, &one));
    assert_indexes_match(s, &Memory);
    other.key = "fact2";
    assert_ok(db, popoto_create(db, &Memory, &other));
    other.key = "fact1";
    assert_status(POPOTO_DUPLICATE, db, popoto_save(db, &Memory, &other));
    one.key = "fact3";
    assert_ok(db, popoto_save(db, &Memory, &one));
    assert_ok(db, popoto_save(db, &Memory, &other));
    assert_indexes_match(s, &Memory);
    assert_int_equal(2, record_count(s, &Memory));
    popoto_close(db);
    server_flush(s);
}

/* ----- expiry --------------------------------------------------------------------------------- */

static void test_records_expire_and_leave_no_trace(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    session ann = { .site = "x", .user = "ann", .seen = 1 };
    session bob = { .site = "x", .user = "bob", .seen = 2 };
    session eve = { .site = "y", .user = "ann", .seen = 3 };
    popoto_rows *rows;
    size_t count;
    assert_ok(db, popoto_create(db, &Session, &ann));
    assert_ok(db, popoto_create(db, &Session, &bob));
    assert_string_equal("1", server_command(s, "TTL Session:x:ann"));
    assert_status(POPOTO_DUPLICATE, db, popoto_create(db, &Session, &eve));
    usleep(600 * 1000);
    assert_ok(db, popoto_save(db, &Session, &bob)); /* another second for bob */
    usleep(500 * 1000);
    /* ann is gone: neither counted nor returned, and her name is free again. */
    popoto_query_desc all = { .model = &Session, .where = { POPOTO_IS("site", "x") } };
    assert_ok(db, popoto_create(db, &Session, &eve));
    assert_ok(db, popoto_count(db, &all, &count));
    assert_int_equal(1, count);
    assert_ok(db, popoto_query(db, &all, &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    assert_string_equal("bob", ((session *)popoto_rows_at(rows, 0))->user);
    popoto_rows_free(rows);
    assert_indexes_match(s, &Session);
    assert_status(POPOTO_NOT_FOUND, db, popoto_save(db, &Session, &ann));
    assert_ok(db, popoto_delete(db, &Session, &eve));
    assert_ok(db, popoto_delete(db, &Session, &bob));
    popoto_close(db);
}

static void test_each_index_is_cleared_of_the_expired_by_whoever_reads_it(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    popoto_rows *rows;
    popoto_stream *stream;
    void *row;
    size_t count;
    const popoto_query_desc by[] = {
        { .model = &Session, .where = { POPOTO_IS("site", "x") } },
        { .model = &Session, .where = { POPOTO_IS("user", "u3") } },
        { .model = &Session,
          .where = { POPOTO_IS("site", "x"), POPOTO_IS("seen__gte", 0) },
          .order_by = "-seen",
          .limit = 3 },
        { .model = &Session },
    };
    for (size_t i = 0; i < sizeof(by) / sizeof(by[0]) + 2; i++) {
        char names[8][16];
        for (int k = 0; k < 8; k++) {
            snprintf(names[k], sizeof(names[k]), "u%d", k);
            session it = { .site = "x", .user = names[k], .seen = k };
            assert_ok(db, popoto_create(db, &Session, &it));
            assert_string_equal("1", server_command(s, "PEXPIRE Session:x:%s 1", names[k]));
        }
        usleep(3000);
        if (i < sizeof(by) / sizeof(by[0])) {
            assert_ok(db, popoto_query(db, &by[i], &rows));
            assert_int_equal(0, popoto_rows_count(rows));
            popoto_rows_free(rows);
        } else if (i == sizeof(by) / sizeof(by[0])) {
            assert_ok(db, popoto_count(db, &by[0], &count));
            assert_int_equal(0, count);
        } else {
            assert_ok(db, popoto_stream_open(db, &by[3], &stream));
            assert_ok(db, popoto_stream_next(stream, &row));
            assert_null(row);
            popoto_stream_free(stream);
        }
        if (i != 1) /* that one reads one name alone */
            assert_string_equal("", server_dump(s));
        else
            assert_null(strstr(server_dump(s), "u3"));
        server_flush(s);
    }
    popoto_close(db);
}

/* ----- saves that are known ------------------------------------------------------------------- */

/* From the third on a save of a loaded record needs no plan: what can be wrong is told as it was the first time. */
static void save_thrice(popoto_db *db, episode *it, const popoto_save_desc *desc) {
    for (int i = 1; i <= 3; i++) {
        it->score += i;
        assert_ok(db, popoto_save_with(db, &Episode, it, desc));
    }
}

static void test_saves_after_the_first_ones_store_the_same(void **state) {
    static const popoto_save_desc score = { .only = "score" };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    episode it = { .project_id = "a:b", .episode_id = { "x" }, .title = "T" };
    assert_ok(db, popoto_create(db, &Episode, &it));
    save_thrice(db, &it, &score);
    assert_string_equal("6", server_command(s, "ZSCORE $SortedF:Episode:score:a{&#58;}b "
                                               "Episode:a{&#58;}b:x"));
    it.title = "not named";
    save_thrice(db, &it, &score);
    assert_string_equal("\\xa1T", server_command(s, "HGET Episode:a{&#58;}b:x title"));
    it.title = NULL;
    save_thrice(db, &it, NULL);
    assert_string_equal("\\xc0", server_command(s, "HGET Episode:a{&#58;}b:x title"));
    assert_string_equal("18", server_command(s, "ZSCORE $SortedF:Episode:score:a{&#58;}b "
                                                "Episode:a{&#58;}b:x"));
    assert_indexes_match(s, &Episode);
    /* What is remembered of such a save is what is stored. */
    assert_ok(db, popoto_save_with(db, &Episode, &it, &(popoto_save_desc){ .if_unchanged = true }));
    save_thrice(db, &it, NULL);
    server_command(s, "HSET Episode:a{&#58;}b:x title %s", "\xa1U");
    assert_fails(POPOTO_CHANGED, "somebody changed it", db,
                 popoto_save_with(db, &Episode, &it, &(popoto_save_desc){ .if_unchanged = true }));
    popoto_close(db);
    server_flush(s);
}

static void test_what_is_wrong_with_later_saves_is_told_as_at_first(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    episode it = { .project_id = "a", .episode_id = { "x" }, .title = "T" };
    assert_ok(db, popoto_create(db, &Episode, &it));
    save_thrice(db, &it, NULL);
    char *before = strdup(server_dump(s));
    episode bad = it;
    bad.title = "\xff";
    assert_fails(POPOTO_BAD_VALUE,
                 "Episode.title = '\\xff' cannot be stored: its text is not valid UTF-8", db,
                 popoto_save(db, &Episode, &bad));
    assert_string_equal(before, server_dump(s));
    free(before);
    server_command(s, "SCRIPT FLUSH");
    save_thrice(db, &it, NULL);
    server_command(s, "DEL $SortedF:Episode:score:a");
    server_command(s, "SET $SortedF:Episode:score:a foreign");
    before = strdup(server_dump(s));
    assert_fails(POPOTO_CORRUPT, "WRONGTYPE $SortedF:Episode:score:a holds a string, not a zset",
                 db, popoto_save(db, &Episode, &it));
    assert_string_equal(before, server_dump(s));
    free(before);
    server_command(s, "DEL $SortedF:Episode:score:a");
    save_thrice(db, &it, NULL);
    server_command(s, "DEL Episode:a:x");
    assert_fails(POPOTO_NOT_FOUND, "'Episode:a:x' is not there: it was deleted, or expired", db,
                 popoto_save(db, &Episode, &it));
    popoto_close(db);
    server_flush(s);
}

/* ----- foreign keys in the way ---------------------------------------------------------------- */

/* Where the record or one of its indexes should be there is a key of another type: whatever is
 * written, it is reported and nothing changes. */
static void test_a_key_of_another_type_in_the_way_changes_nothing(void **state) {
    static const char *const keys[] = {
        "Trade:1",
        "Trade:2",
        "$Class:Trade",
        "$KeyF:Trade:number:1",
        "$KeyF:Trade:number:2",
        "$SortedF:Trade:price:nyse:ibm",
        "$SortedF:Trade:price:lse:ibm",
        "$SortedF:Trade:volume",
        "$ConfidencF:Trade:belief:data:nyse",
        "$ConfidencF:Trade:belief:data:lse",
    };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
        assert_ok(db, popoto_create(db, &Trade, &it));
        server_command(s, "DEL %s", keys[i]);
        server_command(s, "SET %s foreign", keys[i]);
        char *before = strdup(server_dump(s));
        trade next = it, fresh = { .number = 1, .exchange = "nyse", .symbol = "ibm" }, gone = it;
        next.exchange = "lse";
        next.number = 2;
        fresh.price = 4;
        popoto_status moved = popoto_save(db, &Trade, &next);
        assert_string_equal(before, server_dump(s));
        assert_true(moved == POPOTO_CORRUPT || (i == 1 && moved == POPOTO_EXISTS));
        bool elsewhere = strstr(keys[i], "lse") || strchr(keys[i], '2');
        if (!elsewhere) {
            assert_fails(POPOTO_CORRUPT, "WRONGTYPE", db, popoto_delete(db, &Trade, &gone));
            assert_string_equal(before, server_dump(s));
            assert_fails(POPOTO_CORRUPT, "WRONGTYPE", db, popoto_save(db, &Trade, &fresh));
            assert_string_equal(before, server_dump(s));
        }
        free(before);
        server_flush(s);
    }
    popoto_close(db);
}

/* A plain value under a record's name is nobody's record: it is neither deleted nor renamed. */
static void test_a_foreign_key_under_the_records_name_stays(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    episode e = { .project_id = "a", .episode_id = { "x" } };
    fact m = { .project = "a", .key = "x" };
    assert_ok(db, popoto_create(db, &Episode, &e));
    assert_ok(db, popoto_create(db, &Memory, &m));
    server_command(s, "SET Episode:a:x foreign");
    server_command(s, "SET Memory:a:x foreign");
    char *before = strdup(server_dump(s));
    episode gone = e;
    assert_fails(POPOTO_CORRUPT, "WRONGTYPE", db, popoto_delete(db, &Episode, &gone));
    assert_fails(POPOTO_CORRUPT, "WRONGTYPE", db, popoto_save(db, &Episode, &e));
    e.project_id = "b";
    assert_fails(POPOTO_CORRUPT, "WRONGTYPE", db, popoto_save(db, &Episode, &e));
    m.key = "y";
    assert_fails(POPOTO_CORRUPT, "WRONGTYPE", db, popoto_save(db, &Memory, &m));
    assert_string_equal(before, server_dump(s));
    free(before);
    popoto_close(db);
    server_flush(s);
}

static void test_a_created_record_leaves_nothing_when_an_index_is_foreign(void **state) {
    static const char *const keys[] = { "$Class:Episode", "$KeyF:Episode:project_id:a",
                                        "$SortedF:Episode:score:a" };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    for (size_t i = 0; i < 3; i++)
        for (int others = 0; others < 2; others++) {
            episode there = { .project_id = "a", .score = 2 }, it = { .project_id = "a" };
            if (others)
                assert_ok(db, popoto_create(db, &Episode, &there));
            server_command(s, "DEL %s", keys[i]);
            server_command(s, "SET %s foreign", keys[i]);
            char *before = strdup(server_dump(s));
            assert_fails(POPOTO_CORRUPT, "WRONGTYPE", db, popoto_create(db, &Episode, &it));
            assert_string_equal(before, server_dump(s));
            assert_string_equal("", it.episode_id.text);
            assert_int_equal(0, it.object.key);
            free(before);
            server_flush(s);
        }
    popoto_close(db);
}

/* ----- the server's memory of scripts, and its life ------------------------------------------- */

static void test_scripts_are_loaded_again_when_the_server_forgot_them(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
    assert_ok(db, popoto_create(db, &Trade, &it));
    server_command(s, "SCRIPT FLUSH");
    it.price = 5;
    assert_ok(db, popoto_save(db, &Trade, &it));
    server_command(s, "SCRIPT FLUSH");
    assert_ok(db, popoto_delete(db, &Trade, &it));
    assert_string_equal("", server_dump(s));
    popoto_close(db);
}

static void test_calls_go_on_with_a_server_that_was_restarted(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), NULL);
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
    popoto_rows *rows;
    assert_ok(db, popoto_create(db, &Trade, &it));
    server_kill(s);
    popoto_status status = popoto_save(db, &Trade, &it);
    assert_true(status == POPOTO_DISCONNECTED || status == POPOTO_CANNOT_CONNECT ||
                status == POPOTO_UNKNOWN_OUTCOME);
    assert_status(POPOTO_CANNOT_CONNECT, db, popoto_load(db, &Trade, &it, &rows));
    assert_null(rows);
    server_restart(s); /* empty */
    assert_status(POPOTO_NOT_FOUND, db, popoto_save(db, &Trade, &it));
    trade again = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
    assert_ok(db, popoto_create(db, &Trade, &again));
    assert_ok(db, popoto_delete(db, &Trade, &again));
    popoto_close(db);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Within 10 % of the deadline. On a busy machine one of a few tries must be; none may be early. */
typedef popoto_status timed_call(popoto_db *db, trade *object);

static void assert_times_out(popoto_db *db, trade *object, timed_call *call, popoto_status wanted,
                             double deadline) {
    double took = 0;
    for (int tries = 0; tries < 4; tries++) {
        double began = now();
        assert_status(wanted, db, call(db, object));
        took = now() - began;
        assert_true(took > deadline * 0.98);
        if (took < deadline * 1.1)
            return;
    }
    fail_msg("took %.3f s, the deadline being %.3f s", took, deadline);
}

static popoto_status timed_save(popoto_db *db, trade *object) {
    return popoto_save(db, &Trade, object);
}

static popoto_status timed_load(popoto_db *db, trade *object) {
    popoto_rows *rows = (void *)1;
    popoto_status status = popoto_load(db, &Trade, object, &rows);
    assert_null(rows);
    return status;
}

static void test_a_server_that_stops_is_given_up_at_the_deadline(void **state) {
    server *s = *state;
    popoto_options options = { .command_timeout = 400, .connect_timeout = 400 };
    popoto_db *db = popoto_open(server_url(s), &options);
    trade it = { .number = 1, .exchange = "nyse", .symbol = "ibm" };
    assert_ok(db, popoto_create(db, &Trade, &it));
    server_freeze(s);
    /* The first write is sent and not answered; later ones find no connection. */
    assert_status(POPOTO_UNKNOWN_OUTCOME, db, popoto_save(db, &Trade, &it));
    assert_times_out(db, &it, timed_save, POPOTO_TIMED_OUT, 0.4);
    assert_times_out(db, &it, timed_load, POPOTO_TIMED_OUT, 0.4);
    server_thaw(s);
    assert_ok(db, popoto_delete(db, &Trade, &it));
    popoto_close(db);
}

static void test_a_generated_key_is_told_when_the_outcome_is_unknown(void **state) {
    server *s = *state;
    popoto_options options = { .command_timeout = 200, .connect_timeout = 200 };
    popoto_db *db = popoto_open(server_url(s), &options);
    episode it = { .project_id = "a" }, first = it;
    assert_ok(db, popoto_create(db, &Episode, &first)); /* a first write asks for permissions */
    assert_ok(db, popoto_delete(db, &Episode, &first));
    server_freeze(s);
    assert_status(POPOTO_UNKNOWN_OUTCOME, db, popoto_create(db, &Episode, &it));
    assert_int_equal(32, strlen(it.episode_id.text));
    server_thaw(s);
    /* It can be tried again, and is not there twice. */
    popoto_status status = popoto_create(db, &Episode, &it);
    assert_true(status == POPOTO_OK || status == POPOTO_EXISTS);
    assert_int_equal(1, record_count(s, &Episode));
    assert_indexes_match(s, &Episode);
    popoto_close(db);
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_create_stores_the_record_and_its_index_entries),
        server_test(test_create_generates_a_key_of_32_hex_digits),
        server_test(test_ulids_are_26_digits_that_sort_by_time),
        server_test(test_create_refuses_a_key_that_is_there),
        server_test(test_a_record_may_have_every_default),
        server_test(test_a_null_may_be_kept_beside_a_default),
        server_test(test_save_creates_then_replaces),
        server_test(test_save_of_a_deleted_record_is_refused),
        server_test(test_saves_after_the_first_ones_store_the_same),
        server_test(test_what_is_wrong_with_later_saves_is_told_as_at_first),
        server_test(test_a_partial_save_stores_only_what_it_names),
        server_test(test_a_new_record_saved_in_part_has_no_entries_of_what_it_lacks),
        server_test(test_a_partial_save_of_another_key_moves_the_whole_record),
        server_test(test_a_row_loaded_in_part_is_saved_in_part_and_deleted),
        server_test(test_if_unchanged_refuses_what_somebody_changed),
        server_test(test_delete_takes_everything_and_is_refused_twice),
        server_test(test_a_unique_value_has_one_holder),
        server_test(test_records_expire_and_leave_no_trace),
        server_test(test_each_index_is_cleared_of_the_expired_by_whoever_reads_it),
        server_test(test_a_key_of_another_type_in_the_way_changes_nothing),
        server_test(test_a_foreign_key_under_the_records_name_stays),
        server_test(test_a_created_record_leaves_nothing_when_an_index_is_foreign),
        server_test(test_scripts_are_loaded_again_when_the_server_forgot_them),
        server_test(test_calls_go_on_with_a_server_that_was_restarted),
        server_test(test_a_server_that_stops_is_given_up_at_the_deadline),
        server_test(test_a_generated_key_is_told_when_the_outcome_is_unknown),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
