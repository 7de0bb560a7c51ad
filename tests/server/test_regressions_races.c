/* The smallest test for each fault that the stress programs (tests/stress) or thinking about them found. */
#include "server.h"

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

typedef struct note {
    popoto_object object;
    const char *tenant;
    popoto_id id;
    const char *room;
    double score;
    double trust;
} note;

static const popoto_field note_fields[] = {
    POPOTO_KEY(note, tenant),
    POPOTO_AUTO_KEY(note, id),
    POPOTO_FIELD(note, room),
    POPOTO_SORTED(note, score, .partition_by = "room"),
    POPOTO_CONFIDENCE(note, trust, .partition_by = "tenant"),
};
static const popoto_model Note = POPOTO_MODEL("Note", note, note_fields);

static const note sample = { .tenant = "t0", .room = "r0", .score = 1, .trust = 0.5 };

/* A db of the user "app", who may do what the rules say. */
static popoto_db *open_as(server *s, const char *rules) {
    char url[96], command[128];
    snprintf(command, sizeof command, "ACL SETUSER app reset on >secret ~* &* +@all %s", rules);
    assert_string_equal("OK", server_command(s, command));
    snprintf(url, sizeof url, "redis://app:secret@127.0.0.1:%d", server_port(s));
    return popoto_open(url, NULL);
}

static void close_as(server *s, popoto_db *db) {
    popoto_close(db);
    server_command(s, "ACL DELUSER app");
    server_flush(s);
}

static char *dump(server *s) {
    char *text = strdup(server_dump(s));
    assert_non_null(text);
    return text;
}

/* A script stops where a command is forbidden, and what it did before stays done. */
static void test_a_user_who_may_do_half_of_a_write_does_none_of_it(void **state) {
    server *s = *state;
    static const char *const rules[] = { "-zadd", "-zrem", "-hsetnx", "-hset",
                                         "-srem", "-hdel", "-del" };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        popoto_db *all = popoto_open(server_url(s), NULL);
        note one = sample;
        assert_int_equal(POPOTO_OK, popoto_create(all, &Note, &one));
        popoto_close(all);
        popoto_db *db = open_as(s, rules[i]);
        char *before = dump(s);
        note moved = one;
        moved.room = "r1";
        popoto_status status = popoto_save(db, &Note, &moved);
        char *after = dump(s);
        if (status != POPOTO_OK)
            assert_string_equal(before, after);
        free(after);
        free(before);
        before = dump(s);
        status = popoto_delete(db, &Note, &moved);
        after = dump(s);
        if (status != POPOTO_OK) {
            assert_int_equal(POPOTO_DENIED, status);
            assert_string_equal(before, after);
        }
        free(after);
        free(before);
        close_as(s, db);
    }
}

/* Where MULTI is refused, what was to be queued runs at once. */
static void test_a_user_without_multi_creates_all_the_same(void **state) {
    server *s = *state;
    static const char *const rules[] = { "-multi", "-exec" };
    for (size_t i = 0; i < 2; i++) {
        popoto_db *db = open_as(s, rules[i]);
        note one = sample;
        assert_int_equal(POPOTO_OK, popoto_create(db, &Note, &one));
        assert_string_equal("1", server_command(s, "SCARD $Class:Note"));
        assert_string_equal("1", server_command(s, "ZCARD $SortedF:Note:score:r0"));
        close_as(s, db);
    }
}

static void test_multi_that_is_forbidden_later_leaves_nothing_behind(void **state) {
    server *s = *state;
    static const char *const rules[] = { "-multi", "-exec" };
    for (size_t i = 0; i < 2; i++) {
        popoto_db *db = open_as(s, "");
        note one = sample, other = sample, third = sample;
        assert_int_equal(POPOTO_OK, popoto_create(db, &Note, &one));
        char *before = dump(s), command[64];
        snprintf(command, sizeof command, "ACL SETUSER app %s", rules[i]);
        server_command(s, command);
        assert_int_equal(POPOTO_DENIED, popoto_create(db, &Note, &other));
        assert_string_equal(before, server_dump(s));
        free(before);
        assert_int_equal(POPOTO_OK, popoto_create(db, &Note, &third)); /* by the script */
        assert_string_equal("2", server_command(s, "SCARD $Class:Note"));
        close_as(s, db);
    }
}

/* Not POPOTO_CORRUPT: nothing is wrong with the record. */
static void test_a_record_that_may_not_be_read_is_not_corrupt(void **state) {
    server *s = *state;
    popoto_db *db = open_as(s, "");
    note one = sample;
    popoto_rows *rows;
    assert_int_equal(POPOTO_OK, popoto_create(db, &Note, &one));
    server_command(s, "ACL SETUSER app -hmget");
    assert_int_equal(POPOTO_DENIED, popoto_load(db, &Note, &one, &rows));
    assert_null(rows);
    assert_int_equal(POPOTO_DENIED,
                     popoto_query(db, &(popoto_query_desc){ .model = &Note }, &rows));
    assert_null(rows);
    close_as(s, db);
}

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Not one deadline for each pipeline of the call. */
static void test_a_bulk_update_waits_for_one_deadline(void **state) {
    server *s = *state;
    enum {
        COUNT = 600
    };
    static popoto_signal signals[COUNT];
    popoto_db *db = popoto_open(
        server_url(s), &(popoto_options){ .connect_timeout = 400, .command_timeout = 400 });
    note one = sample;
    assert_int_equal(POPOTO_OK, popoto_create(db, &Note, &one));
    for (size_t i = 0; i < COUNT; i++)
        signals[i] = (popoto_signal){ .object = &one, .signal = 1 };
    assert_int_equal(POPOTO_OK, popoto_confidence_update_many(db, &Note, "trust", signals, 1));
    server_freeze(s);
    double begun = seconds();
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME,
                     popoto_confidence_update_many(db, &Note, "trust", signals, COUNT));
    assert_true(seconds() - begun < 0.7);
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME, signals[0].status);
    assert_int_equal(POPOTO_DISCONNECTED, signals[COUNT - 1].status);
    server_thaw(s);
    popoto_close(db);
    server_flush(s);
}

/* An error's line that held the whole key was too long to be a reply. */
static void test_errors_about_keys_of_a_megabyte_are_readable(void **state) {
    server *s = *state;
    size_t size = 1000 * 1000;
    char *tenant = malloc(size + 1);
    assert_non_null(tenant);
    memset(tenant, 'x', size);
    tenant[size] = '\0';
    popoto_db *db = popoto_open(server_url(s), NULL);
    note one = sample;
    one.tenant = tenant;
    assert_int_equal(POPOTO_OK, popoto_create(db, &Note, &one));
    server_command(s, "DEL $ConfidencF:Note:trust:data:%s", tenant);
    server_command(s, "SET $ConfidencF:Note:trust:data:%s foreign", tenant);
    one.score = 2;
    assert_int_equal(POPOTO_CORRUPT, popoto_save(db, &Note, &one));
    server_command(s, "DEL $ConfidencF:Note:trust:data:%s", tenant);
    server_command(s, "HSET $ConfidencF:Note:trust:data:%s Note:%s:%s foreign", tenant, tenant,
                   one.id.text);
    assert_int_equal(POPOTO_CORRUPT, popoto_confidence_update(db, &Note, &one, "trust", 1, NULL));
    popoto_close(db);
    free(tenant);
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_a_user_who_may_do_half_of_a_write_does_none_of_it),
        server_test(test_a_user_without_multi_creates_all_the_same),
        server_test(test_multi_that_is_forbidden_later_leaves_nothing_behind),
        server_test(test_a_record_that_may_not_be_read_is_not_corrupt),
        server_test(test_a_bulk_update_waits_for_one_deadline),
        server_test(test_errors_about_keys_of_a_megabyte_are_readable),
    };
    return cmocka_run_group_tests(tests, server_group_start_tcp, server_group_stop);
}
