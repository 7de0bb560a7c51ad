/* server - the harness of all tests that need a server: a private redis-server (or valkey-server) for
 * the test program, on a Unix socket in a fresh folder, gone when the program ends, however it ends.
 * Never touches a server that it did not start.
 *
 *     static void test_something(void **state) {
 *         server *s = *state;
 *         popoto_db *db = popoto_open(server_url(s), NULL);
 *         ...
 *         assert_string_equal("1", server_command(s, "EXISTS %s", "key"));
 *         server_command(s, "DEL %s", "key");   // a test leaves the database empty, or fails
 *     }
 *
 *     int main(void) {
 *         const struct CMUnitTest tests[] = { server_test(test_something) };
 *         return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
 *     }
 *
 * Whatever goes wrong in here ends the program with a message: there is nothing left to test.
 * $POPOTO_TEST_SERVER names another server program. */
#ifndef POPOTO_TEST_SERVER_H
#define POPOTO_TEST_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct server server;

typedef struct server_options {
    bool tcp;                     /* listen on a port of 127.0.0.1 as well */
    const char *const *arguments; /* more arguments for the program, up to NULL */
} server_options;

/* options may be NULL. Returns when the server answers. */
server *server_start(const server_options *options);
/* Ends it and removes its folder. NULL is fine. */
void server_stop(server *it);

const char *server_url(const server *it);     /* "unix:/tmp/.../socket" */
const char *server_tcp_url(const server *it); /* "redis://127.0.0.1:port" */
const char *server_socket(const server *it);
const char *server_folder(const server *it);
int server_port(const server *it);
pid_t server_pid(const server *it);

/* Faults. A server that was killed or shut down comes back, empty, at the same addresses. */
void server_kill(server *it); /* kill -9, and wait until it is gone */
void server_restart(server *it);
void server_freeze(
    server *it); /* SIGSTOP: connections are accepted by the kernel, nothing answers */
void server_thaw(server *it);

/* Sends one command, formatted as by hiredis (%s, %b, %d), and gives the reply as text: what is not
 * printable ASCII as \xNN, \ as \\, an array's elements each on a line, null as (nil), errors as
 * (error) ... The text is good until the eighth call after this one. */
const char *server_command(server *it, const char *format, ...);

/* The whole database 0 as text, for comparing: keys, fields and members sorted.
 *
 *     $Class:Episode (set)
 *       Episode:project-a:abc123
 *     Episode:project-a:abc123 (hash)
 *       title = \xadFirst meeting
 *
 * The text is good until the next call of this function. An empty database is "". */
const char *server_dump(server *it);
void server_flush(server *it);
/* False, and the leftovers on stderr, where any database of the server holds a key. */
bool server_is_empty(server *it);

/* For cmocka. */
int server_group_start(void **state); /* *state becomes a server with default options */
int server_group_start_tcp(void **state);
int server_group_stop(void **state);
int server_test_before(void **state); /* FLUSHALL; thaws and restarts what the last test left */
int server_test_after(void **state);  /* fails the test that leaves anything behind */
#define server_test(function) \
    cmocka_unit_test_setup_teardown(function, server_test_before, server_test_after)

#endif
