/* The connection: requests of any size, deadlines, what is posted, who is let in, and what is made of
 * servers that go away, hang, or answer what nobody asked for. What is made of a reply is in test_reply.c. */
#include "failing_allocator.h"
#include "fake_server.h"
#include "link.h"
#include "link_client.h"
#include "server.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ----- requests ------------------------------------------------------------------------------- */

static void test_any_bytes_are_an_argument(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    popoto__request_begin(&c.request, 3);
    popoto__request_text(&c.request, "SET");
    popoto__request_argument(&c.request, "k\0\r\n%s", 6);
    popoto__request_argument(&c.request, NULL, 0);
    assert_client_ok(client_run(&c, 1, true), &c);
    assert_string_equal("k\\x00\\x0d\\x0a%s (string)\n  \n", server_dump(s));
    popoto__request_begin(&c.request, 2);
    popoto__request_text(&c.request, "DEL");
    popoto__request_argument(&c.request, "k\0\r\n%s", 6);
    assert_client_ok(client_run(&c, 1, true), &c);
    client_close(&c);
}

static void test_numbers_are_written_in_full(void **state) {
    (void)state;
    static const int64_t numbers[] = { 0, 1, -1, 9, 10, 99, 100, INT64_MAX, INT64_MIN };
    popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        char number[32];
        char expected[128];
        buffer out;
        popoto__buffer_init(&out, &allocator);
        popoto__request_begin(&out, 12345678901);
        popoto__request_integer(&out, numbers[i]);
        snprintf(number, sizeof(number), "%lld", (long long)numbers[i]);
        snprintf(expected, sizeof(expected), "*12345678901\r\n$%zu\r\n%s\r\n", strlen(number),
                 number);
        assert_int_equal(strlen(expected), out.size);
        assert_memory_equal(expected, out.data, out.size);
        popoto__buffer_free(&out);
    }
}

static void test_nothing_to_send_is_fine(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    assert_client_ok(client_run(&c, 0, true), &c);
    client_close(&c);
}

static void test_a_pipeline_larger_than_all_buffers(void **state) {
    server *s = *state;
    enum {
        COUNT = 4000,
        SIZE = 10000
    };
    char *data = malloc(SIZE);
    client c;
    sizes got = { 0 };
    memset(data, 'x', SIZE);
    client_open(&c, server_socket(s), 30000);
    for (size_t i = 0; i < COUNT; i++) {
        popoto__request_begin(&c.request, 2);
        popoto__request_text(&c.request, "ECHO");
        popoto__request_argument(&c.request, data, SIZE);
    }
    exchange what = { &c.request, COUNT, true, NULL, measure_reply, &got, NULL };
    assert_client_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    assert_int_equal(COUNT, got.count);
    assert_int_equal((size_t)COUNT * SIZE, got.bytes);
    free(data);
    client_close(&c);
}

/* ----- going and coming ----------------------------------------------------------------------- */

static void test_a_restart_between_calls_goes_unnoticed(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    for (uint64_t i = 1; i <= 5; i++) {
        assert_client_ok(client_run_one(&c, "SET key value", true), &c);
        assert_string_equal("+OK\n", c.seen);
        assert_int_equal(i, popoto__link_generation(c.link));
        server_restart(s);
    }
    client_close(&c);
}

static void test_a_connection_that_the_server_killed(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    for (int i = 0; i < 3; i++) {
        assert_client_ok(client_run_one(&c, "SET key value", true), &c);
        server_command(s, "CLIENT KILL TYPE normal SKIPME yes");
    }
    assert_client_ok(client_run_one(&c, "DEL key", true), &c);
    client_close(&c);
}

static void test_no_server(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    assert_client_ok(client_run_one(&c, "PING", false), &c);
    server_kill(s);
    assert_int_equal(POPOTO_CANNOT_CONNECT, client_run_one(&c, "SET key value", true));
    assert_non_null(strstr(c.why.text, server_socket(s)));
    assert_non_null(strstr(c.why.text, "running?"));
    assert_int_equal(POPOTO_CANNOT_CONNECT, popoto__link_connect(c.link, &c.why));
    server_restart(s);
    assert_client_ok(client_run_one(&c, "PING", false), &c);
    client_close(&c);
}

static void test_a_socket_path_that_is_too_long(void **state) {
    (void)state;
    char path[200];
    client c;
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    client_open(&c, path, 2000);
    assert_int_equal(POPOTO_CANNOT_CONNECT, popoto__link_connect(c.link, &c.why));
    assert_non_null(strstr(c.why.text, "107"));
    client_close(&c);
}

/* A reply that nobody asked for must not become the answer to the next question. */
static void test_stray_replies_are_thrown_away_with_the_connection(void **state) {
    (void)state;
    static const fake_part parts[] = {
        { ANSWER("+stray\r\n"), .early = true },
        { ANSWER("+right\r\n") },
    };
    fake f;
    client c;
    fake_start(&f, parts, 2);
    client_open(&c, f.path, 1000);
    assert_client_ok(popoto__link_connect(c.link, &c.why), &c);
    poll(NULL, 0, 100);
    assert_client_ok(client_run_one(&c, "SET key value", true), &c);
    assert_string_equal("+right\n", c.seen);
    assert_int_equal(2, popoto__link_generation(c.link));
    client_close(&c);
    fake_stop(&f);
}

static void test_a_read_is_tried_again_once(void **state) {
    (void)state;
    static const fake_part parts[] = { { .rude = true }, { ANSWER("+right\r\n") } };
    fake f;
    client c;
    fake_start(&f, parts, 2);
    client_open(&c, f.path, 1000);
    assert_client_ok(client_run_one(&c, "GET key", false), &c);
    assert_string_equal("+right\n", c.seen);
    client_close(&c);
    fake_stop(&f);
}

static void test_a_read_is_not_tried_again_after_its_first_reply(void **state) {
    (void)state;
    static const fake_part parts[] = { { ANSWER("+one\r\n"), .close = true },
                                       { ANSWER("+two\r\n") } };
    fake f;
    client c;
    fake_start(&f, parts, 2);
    client_open(&c, f.path, 1000);
    client_add(&c, "GET key");
    client_add(&c, "GET key");
    assert_int_equal(POPOTO_DISCONNECTED, client_run(&c, 2, false));
    assert_string_equal("+one\n", c.seen);
    assert_int_equal(1, fake_requests(&f));
    client_close(&c);
    fake_stop(&f);
}

/* The peer goes while we send: EPIPE, and SIGPIPE would end this program. */
static void test_a_peer_that_goes_while_we_send(void **state) {
    (void)state;
    static const fake_part rude = { .rude = true };
    size_t size = (size_t)8 << 20;
    char *data = calloc(1, size);
    for (int writes = 0; writes < 2; writes++) {
        fake f;
        client c;
        fake_start(&f, &rude, 1);
        client_open(&c, f.path, 2000);
        popoto__request_begin(&c.request, 2);
        popoto__request_text(&c.request, "ECHO");
        popoto__request_argument(&c.request, data, size);
        assert_int_equal(writes ? POPOTO_UNKNOWN_OUTCOME : POPOTO_DISCONNECTED,
                         client_run(&c, 1, writes));
        client_close(&c);
        fake_stop(&f);
    }
    free(data);
}

/* ----- deadlines ------------------------------------------------------------------------------ */

/* How long the deadline of 500 ms really takes. */
static double time_out(server *s, client *c, bool writes) {
    assert_client_ok(client_run_one(c, "PING", false), c);
    server_freeze(s);
    double start = seconds();
    assert_int_equal(writes ? POPOTO_UNKNOWN_OUTCOME : POPOTO_TIMED_OUT,
                     client_run_one(c, "ECHO x", writes));
    double took = seconds() - start;
    server_thaw(s);
    assert_client_ok(client_run_one(c, "ECHO y", writes), c);
    assert_string_equal("$y\n", c->seen);
    return took;
}

/* A busy machine may be late itself, but not each time. */
static void test_a_server_that_hangs(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 500);
    for (int writes = 0; writes < 2; writes++) {
        double best = 1000;
        for (int tries = 0; tries < 5 && best > 0.55; tries++) {
            double took = time_out(s, &c, writes);
            assert_true(took >= 0.5);
            best = took < best ? took : best;
        }
        if (best > 0.55)
            fail_msg("a deadline of 500 ms took %.0f ms", best * 1000);
    }
    client_close(&c);
}

static void test_a_server_that_hangs_while_we_send(void **state) {
    server *s = *state;
    client c;
    size_t size = (size_t)32 << 20;
    char *data = calloc(1, size);
    client_open(&c, server_socket(s), 500);
    assert_client_ok(client_run_one(&c, "PING", false), &c);
    server_freeze(s);
    popoto__request_begin(&c.request, 2);
    popoto__request_text(&c.request, "ECHO");
    popoto__request_argument(&c.request, data, size);
    double start = seconds();
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME, client_run(&c, 1, true));
    double took = seconds() - start;
    assert_true(took >= 0.5 && took < 0.8);
    free(data);
    client_close(&c);
}

static void test_connecting_to_a_server_that_hangs(void **state) {
    server *s = *state;
    client c;
    address to = { .kind = ADDRESS_UNIX, .path = server_socket(s), .display = server_url(s) };
    client_open_with(&c, &to, 300, -1);
    server_freeze(s);
    double start = seconds();
    assert_int_equal(POPOTO_TIMED_OUT, client_run_one(&c, "SET key value", true));
    double took = seconds() - start;
    assert_true(took >= 0.3 && took < 0.6);
    server_thaw(s);
    assert_client_ok(client_run_one(&c, "PING", false), &c);
    client_close(&c);
}

static void test_connecting_to_a_full_backlog(void **state) {
    (void)state;
    char folder[] = "/tmp/popoto-full-XXXXXX";
    char path[64];
    int fill[64];
    client c;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    int listener = fake_listen(path, 0);
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    strcpy(at.sun_path, path);
    for (size_t i = 0; i < 64; i++) {
        fill[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        fcntl(fill[i], F_SETFL, O_NONBLOCK);
        connect(fill[i], (struct sockaddr *)&at, sizeof(at));
    }
    client_open(&c, path, 2000);
    popoto__link_free(c.link);
    link_options options = { &c.allocator, 300, 300 };
    address to = { .kind = ADDRESS_UNIX, .path = path, .display = path };
    assert_client_ok(popoto__link_new(&to, &options, &c.link, &c.why), &c);
    double start = seconds();
    assert_int_equal(POPOTO_TIMED_OUT, popoto__link_connect(c.link, &c.why));
    double took = seconds() - start;
    assert_true(took >= 0.3 && took < 0.6);
    client_close(&c);
    for (size_t i = 0; i < 64; i++)
        close(fill[i]);
    close(listener);
    unlink(path);
    rmdir(folder);
}

static popoto_status dawdle(void *context, size_t index, const reply *answer) {
    (void)context, (void)index, (void)answer;
    poll(NULL, 0, 150);
    return POPOTO_OK;
}

/* The time that the caller spends on a reply is not the server's. */
static void test_a_slow_handler_uses_up_no_deadline(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 100);
    for (int i = 0; i < 3; i++)
        client_add(&c, "PING");
    exchange what = { &c.request, 3, false, NULL, dawdle, NULL, NULL };
    assert_client_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    client_close(&c);
}

/* ----- posted exchanges ----------------------------------------------------------------------- */

static popoto_status keep_on(void *context, size_t index, const reply *answer) {
    (void)index;
    client_note(context, answer);
    return POPOTO_OK;
}

static posted post_of(client *it, size_t count, const char *expected, size_t foreseen) {
    return (posted){ .what = { .request = &it->request,
                               .count = count,
                               .writes = true,
                               .handle = keep_on,
                               .context = it },
                     .expected = { expected, strlen(expected) },
                     .foreseen = foreseen };
}

static void post(client *it, posted *one) {
    popoto__link_post(it->link, one);
    popoto__buffer_clear(&it->request);
}

static void test_posted_exchanges_are_answered_in_their_order(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    for (int round = 0; round < 50; round++) {
        c.seen[0] = '\0';
        client_add(&c, "ECHO a");
        client_add(&c, "ECHO b");
        posted first = post_of(&c, 2, "", 0);
        post(&c, &first);
        client_add(&c, "ECHO c");
        posted second = post_of(&c, 1, "", 0);
        post(&c, &second);
        assert_client_ok(popoto__link_collect(c.link, &first, &c.why), &c);
        assert_true(first.is_done && strncmp("$a\n$b\n", c.seen, 6) == 0);
        assert_client_ok(popoto__link_collect(c.link, &second, &c.why), &c);
        assert_string_equal("$a\n$b\n$c\n", c.seen);
    }
    /* An ordinary exchange waits for those before it. */
    c.seen[0] = '\0';
    client_add(&c, "ECHO a");
    posted first = post_of(&c, 1, "", 0);
    post(&c, &first);
    client_add(&c, "ECHO b");
    exchange what = { .request = &c.request, .count = 1, .writes = true };
    assert_client_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    assert_true(first.is_done && first.status == POPOTO_OK);
    assert_string_equal("$a\n", c.seen);
    client_close(&c);
}

static void test_replies_that_were_expected_are_not_handed_over(void **state) {
    static const struct {
        const char *expected;
        size_t handed;
        bool as_expected;
    } cases[] = {
        { "+PONG\r\n$1\r\na\r\n", 1, true },
        { "+PONG\r\n$1\r\nb\r\n", 3, false },
        { "+PING\r\n$1\r\na\r\n", 3, false },
        { "+PONG\r\n$2\r\nab\r\n", 3, false },
        { "", 3, false },
    };
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sizes got = { 0 };
        client_add(&c, "PING");
        client_add(&c, "ECHO a");
        client_add(&c, "PING");
        posted one = post_of(&c, 3, cases[i].expected, 2);
        one.what.handle = measure_reply;
        one.what.context = &got;
        post(&c, &one);
        assert_client_ok(popoto__link_collect(c.link, &one, &c.why), &c);
        assert_int_equal(cases[i].handed, got.count);
        assert_int_equal(cases[i].as_expected, one.as_expected);
    }
    assert_client_ok(client_run_one(&c, "ECHO next", false), &c);
    client_close(&c);
}

static void test_what_was_posted_is_lost_with_the_connection(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 300);
    assert_client_ok(client_run_one(&c, "PING", true), &c);
    server_freeze(s);
    client_add(&c, "PING");
    posted first = post_of(&c, 1, "+PONG\r\n", 1), second = first;
    post(&c, &first);
    client_add(&c, "PING");
    post(&c, &second);
    double start = seconds();
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME, popoto__link_collect(c.link, &first, &c.why));
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME, popoto__link_collect(c.link, &second, &c.why));
    assert_true(seconds() - start < 0.5); /* one deadline for both */
    assert_false(first.as_expected || second.as_expected);
    server_thaw(s);
    assert_client_ok(client_run_one(&c, "ECHO next", false), &c);
    assert_string_equal("$next\n", c.seen);
    client_close(&c);
}

/* ----- loading -------------------------------------------------------------------------------- */

static void test_loading_is_waited_for_up_to_the_deadline(void **state) {
    (void)state;
    static const fake_part loading = { .greeting =
                                           "-LOADING Redis is loading the dataset in memory\r\n" };
    fake f;
    client c;
    fake_start(&f, &loading, 1);
    address to = { .kind = ADDRESS_UNIX, .path = f.path, .display = f.path };
    client_open_with(&c, &to, 300, 300);
    double start = seconds();
    assert_int_equal(POPOTO_UNAVAILABLE, popoto__link_connect(c.link, &c.why));
    double took = seconds() - start;
    assert_true(took >= 0.3 && took < 0.6);
    assert_non_null(strstr(c.why.text, "loading"));
    client_close(&c);
    fake_stop(&f);
}

static void test_a_server_that_is_none(void **state) {
    (void)state;
    static const fake_part http = { .greeting = "HTTP/1.1 400 Bad Request\r\n\r\n" };
    fake f;
    client c;
    fake_start(&f, &http, 1);
    client_open(&c, f.path, 300);
    assert_int_equal(POPOTO_BAD_REPLY, client_run_one(&c, "SET key value", true));
    assert_non_null(strstr(c.why.text, "no Redis server"));
    client_close(&c);
    fake_stop(&f);
}

/* ----- who is let in -------------------------------------------------------------------------- */

static popoto_status try_user(server *s, const char *user, const char *password, int database,
                              char *text) {
    client c;
    address to = {
        .kind = ADDRESS_UNIX,
        .path = server_socket(s),
        .user = user,
        .password = password,
        .database = database,
        .display = "unix:test",
    };
    client_open_with(&c, &to, 2000, 2000);
    popoto_status status = client_run_one(&c, "GET key", false);
    strcpy(text, status == POPOTO_OK ? c.seen : c.why.text);
    client_close(&c);
    return status;
}

static void test_users_and_passwords(void **state) {
    server *s = *state;
    char text[4096];
    server_command(s, "SET key value");
    assert_int_equal(POPOTO_DENIED, try_user(s, NULL, "secret", 0, text));
    assert_non_null(strstr(text, "has no password"));

    server_command(s, "CONFIG SET requirepass secret");
    server_command(s, "ACL SETUSER ann on >hidden ~* +get +ping +select");
    server_command(s, "ACL SETUSER bob on >hidden ~* +get");
    assert_int_equal(POPOTO_OK, try_user(s, NULL, "secret", 0, text));
    assert_string_equal("$value\n", text);
    assert_int_equal(POPOTO_OK, try_user(s, "default", "secret", 0, text));
    assert_int_equal(POPOTO_OK, try_user(s, "ann", "hidden", 0, text));
    assert_int_equal(POPOTO_OK, try_user(s, "bob", "hidden", 0, text)); /* may not even PING */
    assert_string_equal("$value\n", text);
    assert_int_equal(POPOTO_DENIED, try_user(s, NULL, NULL, 0, text));
    assert_non_null(strstr(text, "wants a password"));
    assert_int_equal(POPOTO_DENIED, try_user(s, "ann", "wr0ng", 0, text));
    assert_non_null(strstr(text, "wrong user or password"));
    assert_null(strstr(text, "wr0ng"));
    assert_int_equal(POPOTO_DENIED, try_user(s, NULL, "wr0ng", 0, text));
    assert_null(strstr(text, "wr0ng"));
    assert_int_equal(POPOTO_DENIED, try_user(s, "bob", "hidden", 1, text));
    server_command(s, "CONFIG SET requirepass %s", "");
    server_command(s, "ACL DELUSER ann bob");
    server_command(s, "DEL key");
}

static void test_the_servers_text_about_a_password_is_not_shown(void **state) {
    (void)state;
    static const fake_part parts = {
        .greeting = "-ERR unknown command `AUTH`, with args beginning with: `hidden`\r\n+PONG\r\n",
    };
    fake f;
    client c;
    fake_start(&f, &parts, 1);
    address to = { .kind = ADDRESS_UNIX, .path = f.path, .display = "x", .password = "hidden" };
    client_open_with(&c, &to, 300, 300);
    assert_int_equal(POPOTO_DENIED, popoto__link_connect(c.link, &c.why));
    assert_null(strstr(c.why.text, "hidden"));
    client_close(&c);
    fake_stop(&f);
}

static void test_databases(void **state) {
    server *s = *state;
    char text[4096];
    server_command(s, "SET key value");
    assert_int_equal(POPOTO_OK, try_user(s, NULL, NULL, 3, text));
    assert_string_equal("null\n", text);
    assert_int_equal(POPOTO_CANNOT_CONNECT, try_user(s, NULL, NULL, 999, text));
    assert_non_null(strstr(text, "out of range"));
    server_command(s, "DEL key");
}

static void test_too_many_clients(void **state) {
    server *s = *state;
    char text[4096];
    server_command(s, "CONFIG SET maxclients 1");
    popoto_status status = try_user(s, NULL, NULL, 0, text);
    server_command(s, "CONFIG SET maxclients 1000");
    assert_int_equal(POPOTO_UNAVAILABLE, status);
    assert_non_null(strstr(text, "max number of clients"));
}

static void test_tcp(void **state) {
    server *s = *state;
    static const char *const hosts[] = { "127.0.0.1", "localhost" };
    for (size_t i = 0; i < 2; i++) {
        client c;
        address to = {
            .kind = ADDRESS_TCP,
            .host = hosts[i],
            .port = server_port(s),
            .display = "tcp",
        };
        client_open_with(&c, &to, 2000, 2000);
        assert_client_ok(client_run_one(&c, "ECHO hello", false), &c);
        assert_string_equal("$hello\n", c.seen);
        client_close(&c);
    }
    client c;
    address nowhere = { .kind = ADDRESS_TCP, .host = "127.0.0.1", .port = 1, .display = "nowhere" };
    client_open_with(&c, &nowhere, 2000, 2000);
    assert_int_equal(POPOTO_CANNOT_CONNECT, client_run_one(&c, "PING", false));
    client_close(&c);
    address unknown = { .kind = ADDRESS_TCP, .host = "no such host", .port = 1, .display = "x" };
    client_open_with(&c, &unknown, 2000, 2000);
    assert_int_equal(POPOTO_CANNOT_CONNECT, client_run_one(&c, "PING", false));
    assert_non_null(strstr(c.why.text, "no such host"));
    client_close(&c);
}

/* A build without TLS says so, and then there is nothing more to test. */
static bool has_tls(void) {
    client c;
    address to = { .kind = ADDRESS_TLS, .host = "localhost", .port = 1, .display = "tls" };
    client_open_with(&c, &to, 2000, 2000);
    popoto_status status = popoto__link_connect(c.link, &c.why);
    if (status == POPOTO_UNSUPPORTED)
        assert_non_null(strstr(c.why.text, "without TLS"));
    else
        assert_int_equal(POPOTO_CANNOT_CONNECT, status);
    client_close(&c);
    return status != POPOTO_UNSUPPORTED;
}

/* A server with a certificate for localhost, made by openssl's program. */
static void test_tls(void **state) {
    if (!has_tls())
        return;
    char folder[] = "/tmp/popoto-tls-XXXXXX";
    char command[512];
    char port[12];
    char certificate[64];
    char key[64];
    assert_non_null(mkdtemp(folder));
    snprintf(certificate, sizeof(certificate), "%s/cert.pem", folder);
    snprintf(key, sizeof(key), "%s/key.pem", folder);
    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
             "-addext subjectAltName=DNS:localhost -keyout %s -out %s 2>/dev/null",
             key, certificate);
    if (system(command) != 0)
        skip();
    snprintf(port, sizeof(port), "%d", 20000 + (int)getpid() % 20000);
    const char *arguments[] = { "--tls-port",
                                port,
                                "--tls-cert-file",
                                certificate,
                                "--tls-key-file",
                                key,
                                "--tls-ca-cert-file",
                                certificate,
                                "--tls-auth-clients",
                                "no",
                                NULL };
    server *s = server_start(&(server_options){ .arguments = arguments });
    client c;
    address to = { .kind = ADDRESS_TLS, .host = "localhost", .port = atoi(port), .display = "tls" };

    client_open_with(&c, &to, 2000, 2000); /* nobody knows this certificate */
    assert_int_equal(POPOTO_CANNOT_CONNECT, popoto__link_connect(c.link, &c.why));
    assert_non_null(strstr(c.why.text, "certificate"));
    client_close(&c);

    setenv("SSL_CERT_FILE", certificate, 1);
    client_open_with(&c, &to, 2000, 2000);
    enum {
        COUNT = 300,
        SIZE = 50000
    };
    char *data = calloc(1, SIZE);
    sizes got = { 0 };
    for (size_t i = 0; i < COUNT; i++) {
        popoto__request_begin(&c.request, 2);
        popoto__request_text(&c.request, "ECHO");
        popoto__request_argument(&c.request, data, SIZE);
    }
    exchange what = { &c.request, COUNT, true, NULL, measure_reply, &got, NULL };
    assert_client_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    assert_int_equal((size_t)COUNT * SIZE, got.bytes);
    popoto__buffer_clear(&c.request);
    server_restart(s); /* and SIGPIPE would end us */
    assert_client_ok(client_run_one(&c, "ECHO hello", true), &c);
    assert_string_equal("$hello\n", c.seen);
    server_command(s, "CLIENT KILL TYPE normal SKIPME yes");
    assert_client_ok(client_run_one(&c, "ECHO hello", true), &c);
    server_freeze(s);
    c.seen[0] = '\0';
    double start = seconds();
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME, client_run_one(&c, "ECHO hello", true));
    assert_true(seconds() - start < 2.2);
    client_close(&c);

    client_open_with(&c, &to, 300, 300);
    start = seconds();
    assert_int_equal(POPOTO_TIMED_OUT, popoto__link_connect(c.link, &c.why));
    assert_true(seconds() - start < 0.6);
    client_close(&c);
    server_thaw(s);

    to.host = "127.0.0.1"; /* the certificate is for another name */
    client_open_with(&c, &to, 2000, 2000);
    assert_int_equal(POPOTO_CANNOT_CONNECT, popoto__link_connect(c.link, &c.why));
    assert_non_null(strstr(c.why.text, "certificate"));
    client_close(&c);

    to.kind = ADDRESS_TLS; /* to a port that speaks no TLS */
    to.host = "localhost";
    to.port = server_port(*state);
    client_open_with(&c, &to, 500, 500);
    assert_int_not_equal(POPOTO_OK, popoto__link_connect(c.link, &c.why));
    client_close(&c);

    unsetenv("SSL_CERT_FILE");
    free(data);
    server_stop(s);
    unlink(certificate);
    unlink(key);
    rmdir(folder);
}

/* ----- the process around it ------------------------------------------------------------------ */

static void test_a_child_of_fork_gets_a_connection_of_its_own(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 5000);
    assert_client_ok(client_run_one(&c, "SET key value", true), &c);
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char command[32];
            char expected[32];
            for (int round = 0; round < 500; round++) {
                snprintf(command, sizeof(command), "ECHO %d-%d", i, round);
                snprintf(expected, sizeof(expected), "$%d-%d\n", i, round);
                if (client_run_one(&c, command, true) != POPOTO_OK || strcmp(c.seen, expected) != 0)
                    _exit(1);
            }
            popoto__link_free(c.link);
            _exit(0);
        }
    }
    for (int round = 0; round < 500; round++) {
        assert_client_ok(client_run_one(&c, "GET key", false), &c);
        assert_string_equal("$value\n", c.seen);
    }
    for (int i = 0; i < 4; i++) {
        int status;
        assert_int_equal(children[i], waitpid(children[i], &status, 0));
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_client_ok(client_run_one(&c, "DEL key", true), &c);
    assert_int_equal(1, popoto__link_generation(c.link));
    client_close(&c);
}

static void test_programs_that_we_start_inherit_no_socket(void **state) {
    server *s = *state;
    client c;
    bool open_before[256];
    for (int i = 0; i < 256; i++)
        open_before[i] = fcntl(i, F_GETFD) >= 0;
    client_open(&c, server_socket(s), 2000);
    assert_client_ok(popoto__link_connect(c.link, &c.why), &c);
    int opened = 0;
    for (int i = 0; i < 256; i++) {
        int flags = fcntl(i, F_GETFD);
        if (flags < 0 || open_before[i])
            continue;
        opened++;
        assert_int_equal(FD_CLOEXEC, flags & FD_CLOEXEC);
    }
    assert_int_equal(1, opened);
    client_close(&c);
    for (int i = 0; i < 256; i++)
        assert_int_equal(open_before[i], fcntl(i, F_GETFD) >= 0);
}

/* A daemon may have closed its descriptors 0, 1 and 2. */
static void test_descriptor_zero_is_a_descriptor(void **state) {
    server *s = *state;
    client c;
    int input = dup(0);
    close(0);
    client_open(&c, server_socket(s), 2000);
    popoto_status status = client_run_one(&c, "PING", false);
    bool used = fcntl(0, F_GETFD) >= 0;
    client_close(&c);
    bool closed = fcntl(0, F_GETFD) < 0;
    if (input >= 0) {
        dup2(input, 0);
        close(input);
    }
    assert_int_equal(POPOTO_OK, status);
    assert_true(used && closed);
}

static void ignore_signal(int number) {
    (void)number;
}

static void test_signals_disturb_nothing(void **state) {
    server *s = *state;
    client c;
    struct sigaction action = { .sa_handler = ignore_signal };
    struct sigaction before;
    struct itimerval often = { { 0, 300 }, { 0, 300 } };
    struct itimerval never = { { 0, 0 }, { 0, 0 } };
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    popoto_status status = POPOTO_OK;
    client_open(&c, server_socket(s), 2000);
    for (int i = 0; i < 300 && status == POPOTO_OK; i++) {
        if (i % 20 == 0) {
            client_close(&c);
            client_open(&c, server_socket(s), 2000);
        }
        status = client_run_one(&c, "EVAL for\ti=1,100000\tdo\tend 0", true);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    client_close(&c);
    client_open(&c, server_socket(s), 300);
    assert_client_ok(client_run_one(&c, "PING", false), &c);
    setitimer(ITIMER_REAL, &often, NULL);
    server_freeze(s);
    double start = seconds();
    popoto_status frozen = client_run_one(&c, "PING", false);
    double took = seconds() - start;
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    server_thaw(s);
    assert_int_equal(POPOTO_OK, status);
    assert_int_equal(POPOTO_TIMED_OUT, frozen);
    assert_true(took >= 0.3 && took < 0.6);
    client_close(&c);
}

static void *echo_in_thread(void *context) {
    client c;
    client_open(&c, context, 5000);
    for (int i = 0; i < 300; i++) {
        char command[32];
        char expected[32];
        snprintf(command, sizeof(command), "ECHO %p", (void *)&c);
        snprintf(expected, sizeof(expected), "$%p\n", (void *)&c);
        if (client_run_one(&c, command, false) != POPOTO_OK || strcmp(c.seen, expected) != 0)
            return "wrong";
    }
    client_close(&c);
    return NULL;
}

static void test_each_thread_with_its_own_link(void **state) {
    server *s = *state;
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, echo_in_thread, (void *)(uintptr_t)server_socket(s));
    for (int i = 0; i < 6; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

/* ----- memory --------------------------------------------------------------------------------- */

/* A connection with a greeting, and a pipeline whose replies need every kind of memory. */
static popoto_status use_link(server *s, failing_allocator *memory, bool writes) {
    link_options options = { &memory->allocator, 2000, 2000 };
    address to = {
        .kind = ADDRESS_UNIX,
        .path = server_socket(s),
        .database = 1,
        .display = "unix:test",
    };
    failure why = { 0 };
    server_link *link = NULL;
    buffer request;
    arena strings;
    popoto__buffer_init(&request, &memory->allocator);
    popoto__arena_init(&strings, &memory->allocator);
    sizes got = { 0 };
    popoto__request_begin(&request, 3);
    popoto__request_text(&request, "EVAL");
    popoto__request_text(&request, "local t={} for i=1,3000 do t[i]='0123456789' end return t");
    popoto__request_text(&request, "0");
    popoto_status status = popoto__link_new(&to, &options, &link, &why);
    if (status == POPOTO_OK) {
        exchange what = { &request, 1, writes, &strings, measure_reply, &got, NULL };
        status = popoto__link_exchange(link, &what, &why);
    }
    if (status == POPOTO_OK)
        assert_int_equal(30000, got.bytes);
    else
        assert_int_equal(status, why.status);
    popoto__link_free(link);
    popoto__buffer_free(&request);
    popoto__arena_free(&strings);
    assert_int_equal(0, memory->live_blocks);
    return status;
}

static void test_out_of_memory_is_a_status(void **state) {
    server *s = *state;
    for (int writes = 0; writes < 2; writes++) {
        size_t in_doubt = 0;
        for (size_t fails = 1;; fails++) {
            failing_allocator memory;
            failing_allocator_init(&memory, fails);
            popoto_status status = use_link(s, &memory, writes);
            if (!memory.failed) {
                assert_int_equal(POPOTO_OK, status);
                break;
            }
            if (writes && status == POPOTO_UNKNOWN_OUTCOME)
                in_doubt++;
            else
                assert_int_equal(POPOTO_NO_MEMORY, status);
        }
        assert_int_equal(writes, in_doubt > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_any_bytes_are_an_argument),
        server_test(test_numbers_are_written_in_full),
        server_test(test_nothing_to_send_is_fine),
        server_test(test_a_pipeline_larger_than_all_buffers),
        server_test(test_a_restart_between_calls_goes_unnoticed),
        server_test(test_a_connection_that_the_server_killed),
        server_test(test_no_server),
        server_test(test_a_socket_path_that_is_too_long),
        server_test(test_stray_replies_are_thrown_away_with_the_connection),
        server_test(test_a_read_is_tried_again_once),
        server_test(test_a_read_is_not_tried_again_after_its_first_reply),
        server_test(test_a_peer_that_goes_while_we_send),
        server_test(test_a_server_that_hangs),
        server_test(test_a_server_that_hangs_while_we_send),
        server_test(test_connecting_to_a_server_that_hangs),
        server_test(test_connecting_to_a_full_backlog),
        server_test(test_a_slow_handler_uses_up_no_deadline),
        server_test(test_posted_exchanges_are_answered_in_their_order),
        server_test(test_replies_that_were_expected_are_not_handed_over),
        server_test(test_what_was_posted_is_lost_with_the_connection),
        server_test(test_loading_is_waited_for_up_to_the_deadline),
        server_test(test_a_server_that_is_none),
        server_test(test_users_and_passwords),
        server_test(test_the_servers_text_about_a_password_is_not_shown),
        server_test(test_databases),
        server_test(test_too_many_clients),
        server_test(test_tcp),
        server_test(test_tls),
        server_test(test_a_child_of_fork_gets_a_connection_of_its_own),
        server_test(test_programs_that_we_start_inherit_no_socket),
        server_test(test_descriptor_zero_is_a_descriptor),
        server_test(test_signals_disturb_nothing),
        server_test(test_each_thread_with_its_own_link),
        server_test(test_out_of_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, server_group_start_tcp, server_group_stop);
}
