/* What a server answers becomes replies: every kind of them, of any size, whole or cut anywhere, and bytes
 * that are no reply; and what its errors mean. */
#include "fake_server.h"
#include "link_client.h"
#include "server.h"
#include "strict_episodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* ----- replies -------------------------------------------------------------------------------- */

static void test_every_kind_of_reply(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    client_add(&c, "SET text hello");
    client_add(&c, "GET text");
    client_add(&c, "GET nothing");
    client_add(&c, "STRLEN text");
    client_add(&c, "LPUSH text 1");
    client_add(&c, "MGET text nothing text");
    client_add(&c, "EVAL return{{1,{2,'x'}},{}} 0");
    client_add(&c, "SMEMBERS nothing");
    client_add(&c, "DEL text");
    assert_client_ok(client_run(&c, 9, true), &c);
    assert_string_equal("+OK\n$hello\nnull\n:5\n"
                        "-WRONGTYPE Operation against a key holding the wrong kind of value\n"
                        "*3\n$hello\nnull\n$hello\n*2\n*2\n:1\n*2\n:2\n$x\n*0\n*0\n:1\n",
                        c.seen);
    client_close(&c);
}

static popoto_status keep_text(void *context, size_t index, const reply *answer) {
    const char **texts = context;
    texts[index] = answer->text;
    return POPOTO_OK;
}

static void test_strings_outlive_the_exchange_in_the_callers_arena(void **state) {
    server *s = *state;
    client c;
    const char *texts[3];
    client_open(&c, server_socket(s), 2000);
    client_add(&c, "ECHO first");
    client_add(&c, "PING");
    client_add(&c, "ECHO third");
    exchange what = { &c.request, 3, false, &c.strings, keep_text, texts, NULL };
    assert_client_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    assert_client_ok(
        popoto__link_exchange(c.link, &(exchange){ &c.request, 3, false, NULL, NULL, NULL, NULL },
                              &c.why),
        &c);
    assert_string_equal("first", texts[0]);
    assert_string_equal("PONG", texts[1]);
    assert_string_equal("third", texts[2]);
    client_close(&c);
}

static void test_the_handlers_status_is_returned_and_the_rest_read(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    for (int i = 0; i < 5; i++)
        client_add(&c, "PING");
    c.refuse = POPOTO_CORRUPT;
    c.refused = 1;
    assert_int_equal(POPOTO_CORRUPT, client_run(&c, 5, true));
    assert_int_equal(2, c.handed);
    assert_client_ok(client_run_one(&c, "ECHO next", false), &c);
    assert_string_equal("$next\n", c.seen);
    assert_int_equal(1, popoto__link_generation(c.link));
    client_close(&c);
}

/* ----- size ----------------------------------------------------------------------------------- */

static void test_one_large_string(void **state) {
    server *s = *state;
    size_t size = (size_t)48 << 20;
    char *data = malloc(size);
    client c;
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 31 + (i >> 12));
    client_open(&c, server_socket(s), 30000);
    popoto__request_begin(&c.request, 3);
    popoto__request_text(&c.request, "SET");
    popoto__request_text(&c.request, "large");
    popoto__request_argument(&c.request, data, size);
    client_add(&c, "GET large");
    client_add(&c, "DEL large");
    const char *texts[3] = { NULL, NULL, NULL };
    exchange what = { &c.request, 3, true, &c.strings, keep_text, texts, NULL };
    assert_client_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    assert_memory_equal(data, texts[1], size);
    free(data);
    client_close(&c);
}

static void test_an_array_of_many(void **state) {
    server *s = *state;
    client c;
    sizes got = { 0 };
    client_open(&c, server_socket(s), 30000);
    client_add(&c,
               "EVAL local~t={}for~i=1,7000~do~t[i]='x'~end;for~i=1,50~do~redis.call('RPUSH','l',"
               "unpack(t))~end 0");
    for (size_t i = 0; i < c.request.size; i++)
        if (c.request.data[i] == '~')
            c.request.data[i] = ' ';
    assert_client_ok(client_run(&c, 1, true), &c);
    assert_string_equal("null\n", c.seen);
    client_add(&c, "LRANGE l 0 -1");
    client_add(&c, "DEL l");
    exchange what = { &c.request, 2, true, NULL, measure_reply, &got, NULL };
    assert_client_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    assert_int_equal(350000, got.bytes);
    client_close(&c);
}

/* ----- nonsense ------------------------------------------------------------------------------- */

typedef struct nonsense {
    fake_part part;
    popoto_status read;  /* what a read becomes */
    popoto_status write; /* and a write */
    const char *seen;    /* what the handler got */
} nonsense;

static const nonsense nonsenses[] = {
    { { ANSWER("HTTP/1.1 400 Bad Request\r\n\r\n") },
      POPOTO_BAD_REPLY,
      POPOTO_UNKNOWN_OUTCOME,
      "" },
    { { ANSWER("\0\0\0\0") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("*2147483647\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("*99999999999999999999\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("*-5\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("*x\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("$-5\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("$x\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("$\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("$3\r\nabcXY") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER(":12x\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER(":99999999999999999999\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n") },
      POPOTO_BAD_REPLY,
      POPOTO_UNKNOWN_OUTCOME,
      "" },
    { { ANSWER("%1\r\n+a\r\n+b\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER(",1.5\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("#t\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER(">1\r\n+a\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("=5\r\ntxt:a\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("+OK\r\n+more\r\n") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "+OK\n" },
    { { ANSWER("+OK\r\n$") }, POPOTO_BAD_REPLY, POPOTO_UNKNOWN_OUTCOME, "+OK\n" },
    /* a line without an end */
    { { ANSWER("+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        .repeat = 4096 },
      POPOTO_BAD_REPLY,
      POPOTO_UNKNOWN_OUTCOME,
      "" },
    /* less than there should be */
    { { .answer = NULL }, POPOTO_TIMED_OUT, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("$5\r\nabc") }, POPOTO_TIMED_OUT, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("*2\r\n:1\r\n") }, POPOTO_TIMED_OUT, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("*100000000\r\n:1\r\n") }, POPOTO_TIMED_OUT, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("$536870912\r\nabc") }, POPOTO_TIMED_OUT, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("$9223372036854775807\r\nabc") }, POPOTO_TIMED_OUT, POPOTO_UNKNOWN_OUTCOME, "" },
    { { .answer = NULL, .close = true }, POPOTO_DISCONNECTED, POPOTO_UNKNOWN_OUTCOME, "" },
    { { .rude = true }, POPOTO_DISCONNECTED, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("$5\r\nabc"), .close = true }, POPOTO_DISCONNECTED, POPOTO_UNKNOWN_OUTCOME, "" },
    { { ANSWER("*2\r\n:1\r\n"), .close = true }, POPOTO_DISCONNECTED, POPOTO_UNKNOWN_OUTCOME, "" },
    /* slow, odd, but right */
    { { ANSWER("+OK\r\n"), .step = 1 }, POPOTO_OK, POPOTO_OK, "+OK\n" },
    { { ANSWER("*3\r\n$-1\r\n*-1\r\n$0\r\n\r\n"), .step = 1 },
      POPOTO_OK,
      POPOTO_OK,
      "*3\nnull\nnull\n$\n" },
    { { ANSWER(
            "*7\r\n:0\r\n:-9223372036854775808\r\n-ERR x\r\n+\r\n*1\r\n*1\r\n*0\r\n$2\r\n\r\n\r\n$1"
            "\r\na\r\n"),
        .step = 1, .close = true },
      POPOTO_OK,
      POPOTO_OK,
      "*7\n:0\n:-9223372036854775808\n-ERR x\n+\n*1\n*1\n*0\n$\r\n\n$a\n" },
    { { ANSWER("-NOAUTH Authentication required.\r\n") },
      POPOTO_OK,
      POPOTO_OK,
      "-NOAUTH Authentication required.\n" },
    { { ANSWER("-LOADING x\r\n"), .close = true }, POPOTO_OK, POPOTO_OK, "-LOADING x\n" },
};

static void expect_nonsense(const nonsense *it, size_t number, bool writes) {
    fake f;
    client c;
    popoto_status expected = writes ? it->write : it->read;
    fake_start(&f, &it->part, 1);
    /* Only what is to time out may do so: on a busy machine an answer can take its time. */
    client_open(&c, f.path, it->read == POPOTO_TIMED_OUT ? 200 : 10000);
    popoto_status status = client_run_one(&c, "GET key", writes);
    if (status != expected || c.why.status != expected)
        fail_msg("case %zu (%s): %s, not %s: %s", number, it->part.answer,
                 popoto_status_name(status), popoto_status_name(expected), c.why.text);
    assert_string_equal(it->seen, c.seen);
    assert_int_equal(expected == POPOTO_DISCONNECTED ? 2 : 1, fake_requests(&f));
    client_close(&c);
    fake_stop(&f);
}

static void test_nonsense_is_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(nonsenses) / sizeof(*nonsenses); i++) {
        expect_nonsense(&nonsenses[i], i, false);
        expect_nonsense(&nonsenses[i], i, true);
    }
}

/* A name of a user that is none. */
static bool take_no_user(void *context, const char *user) {
    (void)context;
    fail_msg("a user '%s'", user);
    return false;
}

static void test_users_that_are_no_names_are_refused(void **state) {
    static const char *const answers[] = { "*2\r\n$1\r\na\r\n:7\r\n", "*1\r\n*0\r\n",
                                           "*1\r\n$-1\r\n", ":1\r\n" };
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        fake f;
        fake_part part = { .answer = answers[i] };
        char url[100];
        fake_start(&f, &part, 1);
        snprintf(url, sizeof url, "unix:%s", f.path);
        popoto_db *db = popoto_open(url, NULL);
        assert_fails(POPOTO_SERVER_ERROR, "listing the server's users", db,
                     popoto_granted_users(db, &Episode, POPOTO_VALUE("a"), take_no_user, NULL));
        popoto_close(db);
        fake_stop(&f);
    }
}

/* ----- errors --------------------------------------------------------------------------------- */

static void test_what_errors_mean(void **state) {
    (void)state;
    static const struct {
        const char *text;
        popoto_status status;
    } errors[] = {
        { "NOAUTH Authentication required.", POPOTO_DENIED },
        { "WRONGPASS invalid username-password pair", POPOTO_DENIED },
        { "NOPERM this user has no permissions", POPOTO_DENIED },
        { "DENIED Redis is running in protected mode", POPOTO_DENIED },
        { "ERR ACL failure in script: User x has no permissions", POPOTO_DENIED },
        { "LOADING Redis is loading the dataset in memory", POPOTO_UNAVAILABLE },
        { "OOM command not allowed when used memory > 'maxmemory'.", POPOTO_UNAVAILABLE },
        { "READONLY You can't write against a read only replica.", POPOTO_UNAVAILABLE },
        { "MISCONF Redis is configured to save RDB snapshots", POPOTO_UNAVAILABLE },
        { "BUSY Redis is busy running a script.", POPOTO_UNAVAILABLE },
        { "MASTERDOWN Link with MASTER is down", POPOTO_UNAVAILABLE },
        { "CLUSTERDOWN The cluster is down", POPOTO_UNAVAILABLE },
        { "TRYAGAIN Multiple keys request during rehashing", POPOTO_UNAVAILABLE },
        { "NOREPLICAS Not enough good replicas to write.", POPOTO_UNAVAILABLE },
        { "ERR max number of clients reached", POPOTO_UNAVAILABLE },
        { "EXECABORT Transaction discarded because of: OOM command", POPOTO_UNAVAILABLE },
        { "EXECABORT Transaction discarded because of: NOPERM x", POPOTO_DENIED },
        { "EXECABORT Transaction discarded because of previous errors.", POPOTO_SERVER_ERROR },
        { "WRONGTYPE Operation against a key", POPOTO_CORRUPT },
        { "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command "
          "not",
          POPOTO_UNAVAILABLE },
        { "ERR Error running script (call to f_1): @user_script:1: WRONGTYPE Operation",
          POPOTO_CORRUPT },
        { "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: The user "
          "executing the script can't run this command or subcommand",
          POPOTO_DENIED },
        { "ERR Error running script (call to f_1): @user_script:1: x", POPOTO_SERVER_ERROR },
        /* Redis 6.2, where the script handed on what a command answered */
        { "@user_script: 12: The user executing the script can't run this command or subcommand",
          POPOTO_DENIED },
        { "@user_script: 12: -OOM command not allowed", POPOTO_UNAVAILABLE },
        { "@user_script: 12: WRONGTYPE Operation", POPOTO_CORRUPT },
        { "@user_script: 12: x", POPOTO_SERVER_ERROR },
        { "@user_script", POPOTO_SERVER_ERROR },
        { "ERR unknown command 'X'", POPOTO_SERVER_ERROR },
        { "OOMPH", POPOTO_SERVER_ERROR },
        { "", POPOTO_SERVER_ERROR },
    };
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
        failure why = { 0 };
        reply answer = { .type = REPLY_ERROR,
                         .text = errors[i].text,
                         .size = strlen(errors[i].text) };
        assert_int_equal(errors[i].status, popoto__reply_failure(&answer, "saving", &why));
        assert_int_equal(errors[i].status, why.status);
        assert_non_null(strstr(why.text, "saving"));
    }
    reply number = { .type = REPLY_INTEGER };
    failure why = { 0 };
    assert_int_equal(POPOTO_SERVER_ERROR, popoto__reply_failure(&number, "saving", &why));
    assert_false(popoto__reply_is_error(&number, "OOM"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_every_kind_of_reply),
        server_test(test_strings_outlive_the_exchange_in_the_callers_arena),
        server_test(test_the_handlers_status_is_returned_and_the_rest_read),
        server_test(test_one_large_string),
        server_test(test_an_array_of_many),
        server_test(test_nonsense_is_refused),
        server_test(test_users_that_are_no_names_are_refused),
        server_test(test_what_errors_mean),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
