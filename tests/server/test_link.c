/* The connection: every kind of reply, pipelines of any size, deadlines, and what is made of servers
 * that go away, hang, or answer nonsense. The nonsense comes from a fake server in a thread. */
#include "failing_allocator.h"
#include "link.h"
#include "server.h"

#include <errno.h>
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

/* ----- helpers -------------------------------------------------------------------------------- */

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A link with all that an exchange needs. */
typedef struct client {
    popoto_allocator allocator;
    server_link *link;
    buffer request;
    arena strings;
    failure why;
    char seen[4096]; /* the replies, each as its type's letter, its text and a newline */
    size_t handed;
    popoto_status refuse; /* what the handler returns for the reply `refused` */
    size_t refused;
} client;

static void client_open_with(client *it, const address *to, int connect_timeout,
                             int command_timeout) {
    memset(it, 0, sizeof(*it));
    it->allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    popoto__buffer_init(&it->request, &it->allocator);
    popoto__arena_init(&it->strings, &it->allocator);
    link_options options = { &it->allocator, connect_timeout, command_timeout };
    assert_int_equal(POPOTO_OK, popoto__link_new(to, &options, &it->link, &it->why));
}

static void client_open(client *it, const char *path, int command_timeout) {
    address to = { .kind = ADDRESS_UNIX, .path = path, .display = path };
    client_open_with(it, &to, 2000, command_timeout);
}

static void client_close(client *it) {
    popoto__link_free(it->link);
    popoto__buffer_free(&it->request);
    popoto__arena_free(&it->strings);
}

/* A command given as its words. */
static void add(client *it, const char *command) {
    size_t words = 1;
    for (const char *at = command; *at != '\0'; at++)
        words += *at == ' ';
    popoto__request_begin(&it->request, words);
    while (words-- > 0) {
        size_t size = strcspn(command, " ");
        popoto__request_argument(&it->request, command, size);
        command += size + (words > 0);
    }
}

static void note(client *it, const reply *answer) {
    size_t used = strlen(it->seen);
    char *to = it->seen + used;
    size_t room = sizeof(it->seen) - used;
    switch (answer->type) {
    case REPLY_STATUS: snprintf(to, room, "+%s\n", answer->text); break;
    case REPLY_ERROR: snprintf(to, room, "-%s\n", answer->text); break;
    case REPLY_INTEGER: snprintf(to, room, ":%lld\n", (long long)answer->integer); break;
    case REPLY_NULL: snprintf(to, room, "null\n"); break;
    case REPLY_STRING:
        assert_int_equal('\0', answer->text[answer->size]);
        snprintf(to, room, "$%s\n", answer->text);
        break;
    case REPLY_ARRAY:
        snprintf(to, room, "*%zu\n", answer->count);
        for (size_t i = 0; i < answer->count && i < 20; i++)
            note(it, answer->items[i]);
        break;
    }
}

static popoto_status keep(void *context, size_t index, const reply *answer) {
    client *it = context;
    assert_int_equal(it->handed, index);
    it->handed++;
    note(it, answer);
    return it->refuse != POPOTO_OK && index == it->refused ? it->refuse : POPOTO_OK;
}

/* Sends what was added, `count` commands. */
static popoto_status run(client *it, size_t count, bool writes) {
    it->seen[0] = '\0';
    it->handed = 0;
    it->why.text[0] = '\0';
    exchange what = { &it->request, count, writes, NULL, keep, it, NULL };
    popoto_status status = popoto__link_exchange(it->link, &what, &it->why);
    popoto__buffer_clear(&it->request);
    return status;
}

static popoto_status run_one(client *it, const char *command, bool writes) {
    add(it, command);
    return run(it, 1, writes);
}

#define assert_ok(call, it)                            \
    do {                                               \
        if ((call) != POPOTO_OK)                       \
            fail_msg("%s: %s", #call, (it)->why.text); \
    } while (0)

/* ----- replies -------------------------------------------------------------------------------- */

static void test_every_kind_of_reply(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    add(&c, "SET text hello");
    add(&c, "GET text");
    add(&c, "GET nothing");
    add(&c, "STRLEN text");
    add(&c, "LPUSH text 1");
    add(&c, "MGET text nothing text");
    add(&c, "EVAL return{{1,{2,'x'}},{}} 0");
    add(&c, "SMEMBERS nothing");
    add(&c, "DEL text");
    assert_ok(run(&c, 9, true), &c);
    assert_string_equal("+OK\n$hello\nnull\n:5\n"
                        "-WRONGTYPE Operation against a key holding the wrong kind of value\n"
                        "*3\n$hello\nnull\n$hello\n*2\n*2\n:1\n*2\n:2\n$x\n*0\n*0\n:1\n",
                        c.seen);
    client_close(&c);
}

static void test_any_bytes_are_an_argument(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    popoto__request_begin(&c.request, 3);
    popoto__request_text(&c.request, "SET");
    popoto__request_argument(&c.request, "k\0\r\n%s", 6);
    popoto__request_argument(&c.request, NULL, 0);
    assert_ok(run(&c, 1, true), &c);
    assert_string_equal("k\\x00\\x0d\\x0a%s (string)\n  \n", server_dump(s));
    popoto__request_begin(&c.request, 2);
    popoto__request_text(&c.request, "DEL");
    popoto__request_argument(&c.request, "k\0\r\n%s", 6);
    assert_ok(run(&c, 1, true), &c);
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
    add(&c, "ECHO first");
    add(&c, "PING");
    add(&c, "ECHO third");
    exchange what = { &c.request, 3, false, &c.strings, keep_text, texts, NULL };
    assert_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    assert_ok(popoto__link_exchange(
                  c.link, &(exchange){ &c.request, 3, false, NULL, NULL, NULL, NULL }, &c.why),
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
        add(&c, "PING");
    c.refuse = POPOTO_CORRUPT;
    c.refused = 1;
    assert_int_equal(POPOTO_CORRUPT, run(&c, 5, true));
    assert_int_equal(2, c.handed);
    assert_ok(run_one(&c, "ECHO next", false), &c);
    assert_string_equal("$next\n", c.seen);
    assert_int_equal(1, popoto__link_generation(c.link));
    client_close(&c);
}

static void test_nothing_to_send_is_fine(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    assert_ok(run(&c, 0, true), &c);
    client_close(&c);
}

/* ----- size ----------------------------------------------------------------------------------- */

typedef struct sizes {
    size_t count;
    size_t bytes;
    uint32_t sum;
} sizes;

static popoto_status measure(void *context, size_t index, const reply *answer) {
    sizes *it = context;
    (void)index;
    it->count++;
    it->bytes += answer->size;
    for (size_t i = 0; i < answer->count; i++)
        it->bytes += answer->items[i]->size;
    return POPOTO_OK;
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
    exchange what = { &c.request, COUNT, true, NULL, measure, &got, NULL };
    assert_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    assert_int_equal(COUNT, got.count);
    assert_int_equal((size_t)COUNT * SIZE, got.bytes);
    free(data);
    client_close(&c);
}

static void test_one_large_string(void **state) {
    server *s = *state;
    size_t size = (size_t)48 << 20;
    char *data = malloc(size);
    client c;
    sizes got = { 0 };
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 31 + (i >> 12));
    client_open(&c, server_socket(s), 30000);
    popoto__request_begin(&c.request, 3);
    popoto__request_text(&c.request, "SET");
    popoto__request_text(&c.request, "large");
    popoto__request_argument(&c.request, data, size);
    add(&c, "GET large");
    add(&c, "DEL large");
    const char *texts[3] = { NULL, NULL, NULL };
    exchange what = { &c.request, 3, true, &c.strings, keep_text, texts, NULL };
    assert_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    assert_memory_equal(data, texts[1], size);
    (void)got;
    free(data);
    client_close(&c);
}

static void test_an_array_of_many(void **state) {
    server *s = *state;
    client c;
    sizes got = { 0 };
    client_open(&c, server_socket(s), 30000);
    add(&c, "EVAL local~t={}for~i=1,7000~do~t[i]='x'~end;for~i=1,50~do~redis.call('RPUSH','l',"
            "unpack(t))~end 0");
    for (size_t i = 0; i < c.request.size; i++)
        if (c.request.data[i] == '~')
            c.request.data[i] = ' ';
    assert_ok(run(&c, 1, true), &c);
    assert_string_equal("null\n", c.seen);
    add(&c, "LRANGE l 0 -1");
    add(&c, "DEL l");
    exchange what = { &c.request, 2, true, NULL, measure, &got, NULL };
    assert_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    assert_int_equal(350000, got.bytes);
    client_close(&c);
}

/* ----- a fake server -------------------------------------------------------------------------- */

/* What a fake does with one connection. It greets (answers the PING of a new connection), reads until
 * nothing more comes for a moment, answers, and keeps the connection unless told to close it. */
typedef struct part {
    const char *greeting; /* NULL: +PONG */
    const char *answer;   /* NULL: none */
    size_t size;          /* of the answer; 0: as strlen says */
    size_t step;          /* bytes at a time; 0: all */
    size_t repeat;        /* of the answer; 0: once */
    bool early;           /* answer without a request */
    bool close;           /* after the answer */
    bool rude;            /* close after the first bytes of the request */
} part;

typedef struct fake {
    char folder[64];
    char path[80];
    int listener;
    const part *parts; /* a connection each; the last one for all further ones too */
    size_t count;
    pthread_t thread;
    int stop[2]; /* a pipe that is closed to end the thread */
    pthread_mutex_t mutex;
    size_t connections; /* so far */
    size_t requests;    /* connections on which more than the greeting came */
} fake;

/* False: told to stop, or the peer closed. */
static bool fake_wait(fake *it, int peer, int milliseconds) {
    struct pollfd two[] = { { it->stop[0], POLLIN, 0 }, { peer, POLLIN, 0 } };
    int ready = poll(two, 2, milliseconds);
    return ready > 0 && two[0].revents == 0;
}

static bool fake_send(int peer, const char *data, size_t size, size_t step) {
    for (size_t at = 0; at < size;) {
        size_t bite = step == 0 || step > size - at ? size - at : step;
        ssize_t sent = send(peer, data + at, bite, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        at += (size_t)sent;
    }
    return true;
}

static bool fake_read_greeting(fake *it, int peer) {
    char all[4096] = "";
    size_t size = 0;
    while (strstr(all, "PING\r\n") == NULL) {
        if (!fake_wait(it, peer, -1))
            return false;
        ssize_t got = recv(peer, all + size, sizeof(all) - 1 - size, 0);
        if (got <= 0)
            return false;
        size += (size_t)got;
        all[size] = '\0';
    }
    return true;
}

static void fake_serve(fake *it, int peer, const part *what) {
    char sink[65536];
    const char *greeting = what->greeting == NULL ? "+PONG\r\n" : what->greeting;
    do {
        if (!fake_read_greeting(it, peer) || !fake_send(peer, greeting, strlen(greeting), 0))
            return;
    } while (strstr(greeting, "LOADING") != NULL);
    if (what->early && fake_wait(it, peer, 30))
        return;
    if (what->early && !fake_send(peer, what->answer, strlen(what->answer), 0))
        return;
    if (!fake_wait(it, peer, -1) || recv(peer, sink, what->rude ? 1 : sizeof(sink), 0) <= 0)
        return;
    pthread_mutex_lock(&it->mutex);
    it->requests++;
    pthread_mutex_unlock(&it->mutex);
    if (what->rude)
        return;
    while (fake_wait(it, peer, 30))
        if (recv(peer, sink, sizeof(sink), 0) <= 0)
            return;
    if (what->answer != NULL && !what->early) {
        size_t size = what->size != 0 ? what->size : strlen(what->answer);
        for (size_t i = 0; i < (what->repeat == 0 ? 1 : what->repeat); i++)
            if (!fake_send(peer, what->answer, size, what->step))
                return;
    }
    while (!what->close && fake_wait(it, peer, -1))
        if (recv(peer, sink, sizeof(sink), 0) <= 0)
            return;
}

static void *fake_run(void *context) {
    fake *it = context;
    for (;;) {
        if (!fake_wait(it, it->listener, -1))
            return NULL;
        int peer = accept(it->listener, NULL, NULL);
        if (peer < 0)
            continue;
        pthread_mutex_lock(&it->mutex);
        size_t index = it->connections++;
        pthread_mutex_unlock(&it->mutex);
        fake_serve(it, peer, &it->parts[index < it->count ? index : it->count - 1]);
        close(peer);
    }
}

static int listen_at(const char *path, int backlog) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    strncpy(at.sun_path, path, sizeof(at.sun_path) - 1);
    int made = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(made >= 0);
    assert_int_equal(0, bind(made, (struct sockaddr *)&at, sizeof(at)));
    assert_int_equal(0, listen(made, backlog));
    return made;
}

static void fake_start(fake *it, const part *parts, size_t count) {
    memset(it, 0, sizeof(*it));
    strcpy(it->folder, "/tmp/popoto-fake-XXXXXX");
    assert_non_null(mkdtemp(it->folder));
    snprintf(it->path, sizeof(it->path), "%s/socket", it->folder);
    it->listener = listen_at(it->path, 10);
    it->parts = parts;
    it->count = count;
    pthread_mutex_init(&it->mutex, NULL);
    assert_int_equal(0, pipe(it->stop));
    assert_int_equal(0, pthread_create(&it->thread, NULL, fake_run, it));
}

static size_t fake_requests(fake *it) {
    pthread_mutex_lock(&it->mutex);
    size_t requests = it->requests;
    pthread_mutex_unlock(&it->mutex);
    return requests;
}

static void fake_stop(fake *it) {
    close(it->stop[1]);
    pthread_join(it->thread, NULL);
    close(it->stop[0]);
    close(it->listener);
    unlink(it->path);
    rmdir(it->folder);
    pthread_mutex_destroy(&it->mutex);
}

/* ----- nonsense ------------------------------------------------------------------------------- */

typedef struct nonsense {
    part part;
    popoto_status read;  /* what a read becomes */
    popoto_status write; /* and a write */
    const char *seen;    /* what the handler got */
} nonsense;

#define ANSWER(text_) .answer = (text_), .size = sizeof(text_) - 1

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
    client_open(&c, f.path, 200);
    popoto_status status = run_one(&c, "GET key", writes);
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

/* A reply that nobody asked for must not become the answer to the next question. */
static void test_stray_replies_are_thrown_away_with_the_connection(void **state) {
    (void)state;
    static const part parts[] = {
        { ANSWER("+stray\r\n"), .early = true },
        { ANSWER("+right\r\n") },
    };
    fake f;
    client c;
    fake_start(&f, parts, 2);
    client_open(&c, f.path, 1000);
    assert_ok(popoto__link_connect(c.link, &c.why), &c);
    poll(NULL, 0, 100);
    assert_ok(run_one(&c, "SET key value", true), &c);
    assert_string_equal("+right\n", c.seen);
    assert_int_equal(2, popoto__link_generation(c.link));
    client_close(&c);
    fake_stop(&f);
}

static void test_a_read_is_tried_again_once(void **state) {
    (void)state;
    static const part parts[] = { { .rude = true }, { ANSWER("+right\r\n") } };
    fake f;
    client c;
    fake_start(&f, parts, 2);
    client_open(&c, f.path, 1000);
    assert_ok(run_one(&c, "GET key", false), &c);
    assert_string_equal("+right\n", c.seen);
    client_close(&c);
    fake_stop(&f);
}

static void test_a_read_is_not_tried_again_after_its_first_reply(void **state) {
    (void)state;
    static const part parts[] = { { ANSWER("+one\r\n"), .close = true }, { ANSWER("+two\r\n") } };
    fake f;
    client c;
    fake_start(&f, parts, 2);
    client_open(&c, f.path, 1000);
    add(&c, "GET key");
    add(&c, "GET key");
    assert_int_equal(POPOTO_DISCONNECTED, run(&c, 2, false));
    assert_string_equal("+one\n", c.seen);
    assert_int_equal(1, fake_requests(&f));
    client_close(&c);
    fake_stop(&f);
}

/* The peer goes while we send: EPIPE, and SIGPIPE would end this program. */
static void test_a_peer_that_goes_while_we_send(void **state) {
    (void)state;
    static const part rude = { .rude = true };
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
        assert_int_equal(writes ? POPOTO_UNKNOWN_OUTCOME : POPOTO_DISCONNECTED, run(&c, 1, writes));
        client_close(&c);
        fake_stop(&f);
    }
    free(data);
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

/* ----- going and coming ----------------------------------------------------------------------- */

static void test_a_restart_between_calls_goes_unnoticed(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    for (uint64_t i = 1; i <= 5; i++) {
        assert_ok(run_one(&c, "SET key value", true), &c);
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
        assert_ok(run_one(&c, "SET key value", true), &c);
        server_command(s, "CLIENT KILL TYPE normal SKIPME yes");
    }
    assert_ok(run_one(&c, "DEL key", true), &c);
    client_close(&c);
}

static void test_no_server(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 2000);
    assert_ok(run_one(&c, "PING", false), &c);
    server_kill(s);
    assert_int_equal(POPOTO_CANNOT_CONNECT, run_one(&c, "SET key value", true));
    assert_non_null(strstr(c.why.text, server_socket(s)));
    assert_non_null(strstr(c.why.text, "running?"));
    assert_int_equal(POPOTO_CANNOT_CONNECT, popoto__link_connect(c.link, &c.why));
    server_restart(s);
    assert_ok(run_one(&c, "PING", false), &c);
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

/* ----- deadlines ------------------------------------------------------------------------------ */

/* How long the deadline of 500 ms really takes. */
static double time_out(server *s, client *c, bool writes) {
    assert_ok(run_one(c, "PING", false), c);
    server_freeze(s);
    double start = seconds();
    assert_int_equal(writes ? POPOTO_UNKNOWN_OUTCOME : POPOTO_TIMED_OUT,
                     run_one(c, "ECHO x", writes));
    double took = seconds() - start;
    server_thaw(s);
    assert_ok(run_one(c, "ECHO y", writes), c);
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
    assert_ok(run_one(&c, "PING", false), &c);
    server_freeze(s);
    popoto__request_begin(&c.request, 2);
    popoto__request_text(&c.request, "ECHO");
    popoto__request_argument(&c.request, data, size);
    double start = seconds();
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME, run(&c, 1, true));
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
    assert_int_equal(POPOTO_TIMED_OUT, run_one(&c, "SET key value", true));
    double took = seconds() - start;
    assert_true(took >= 0.3 && took < 0.6);
    server_thaw(s);
    assert_ok(run_one(&c, "PING", false), &c);
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
    int listener = listen_at(path, 0);
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
    assert_ok(popoto__link_new(&to, &options, &c.link, &c.why), &c);
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
        add(&c, "PING");
    exchange what = { &c.request, 3, false, NULL, dawdle, NULL, NULL };
    assert_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    client_close(&c);
}

/* ----- posted exchanges ----------------------------------------------------------------------- */

static popoto_status keep_on(void *context, size_t index, const reply *answer) {
    (void)index;
    note(context, answer);
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
        add(&c, "ECHO a");
        add(&c, "ECHO b");
        posted first = post_of(&c, 2, "", 0);
        post(&c, &first);
        add(&c, "ECHO c");
        posted second = post_of(&c, 1, "", 0);
        post(&c, &second);
        assert_ok(popoto__link_collect(c.link, &first, &c.why), &c);
        assert_true(first.is_done && strncmp("$a\n$b\n", c.seen, 6) == 0);
        assert_ok(popoto__link_collect(c.link, &second, &c.why), &c);
        assert_string_equal("$a\n$b\n$c\n", c.seen);
    }
    /* An ordinary exchange waits for those before it. */
    c.seen[0] = '\0';
    add(&c, "ECHO a");
    posted first = post_of(&c, 1, "", 0);
    post(&c, &first);
    add(&c, "ECHO b");
    exchange what = { .request = &c.request, .count = 1, .writes = true };
    assert_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
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
        add(&c, "PING");
        add(&c, "ECHO a");
        add(&c, "PING");
        posted one = post_of(&c, 3, cases[i].expected, 2);
        one.what.handle = measure;
        one.what.context = &got;
        post(&c, &one);
        assert_ok(popoto__link_collect(c.link, &one, &c.why), &c);
        assert_int_equal(cases[i].handed, got.count);
        assert_int_equal(cases[i].as_expected, one.as_expected);
    }
    assert_ok(run_one(&c, "ECHO next", false), &c);
    client_close(&c);
}

static void test_what_was_posted_is_lost_with_the_connection(void **state) {
    server *s = *state;
    client c;
    client_open(&c, server_socket(s), 300);
    assert_ok(run_one(&c, "PING", true), &c);
    server_freeze(s);
    add(&c, "PING");
    posted first = post_of(&c, 1, "+PONG\r\n", 1), second = first;
    post(&c, &first);
    add(&c, "PING");
    post(&c, &second);
    double start = seconds();
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME, popoto__link_collect(c.link, &first, &c.why));
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME, popoto__link_collect(c.link, &second, &c.why));
    assert_true(seconds() - start < 0.5); /* one deadline for both */
    assert_false(first.as_expected || second.as_expected);
    server_thaw(s);
    assert_ok(run_one(&c, "ECHO next", false), &c);
    assert_string_equal("$next\n", c.seen);
    client_close(&c);
}

/* ----- loading -------------------------------------------------------------------------------- */

static void test_loading_is_waited_for_up_to_the_deadline(void **state) {
    (void)state;
    static const part loading = { .greeting =
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
    static const part http = { .greeting = "HTTP/1.1 400 Bad Request\r\n\r\n" };
    fake f;
    client c;
    fake_start(&f, &http, 1);
    client_open(&c, f.path, 300);
    assert_int_equal(POPOTO_BAD_REPLY, run_one(&c, "SET key value", true));
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
    popoto_status status = run_one(&c, "GET key", false);
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
    static const part parts = {
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
        assert_ok(run_one(&c, "ECHO hello", false), &c);
        assert_string_equal("$hello\n", c.seen);
        client_close(&c);
    }
    client c;
    address nowhere = { .kind = ADDRESS_TCP, .host = "127.0.0.1", .port = 1, .display = "nowhere" };
    client_open_with(&c, &nowhere, 2000, 2000);
    assert_int_equal(POPOTO_CANNOT_CONNECT, run_one(&c, "PING", false));
    client_close(&c);
    address unknown = { .kind = ADDRESS_TCP, .host = "no such host", .port = 1, .display = "x" };
    client_open_with(&c, &unknown, 2000, 2000);
    assert_int_equal(POPOTO_CANNOT_CONNECT, run_one(&c, "PING", false));
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
    exchange what = { &c.request, COUNT, true, NULL, measure, &got, NULL };
    assert_ok(popoto__link_exchange(c.link, &what, &c.why), &c);
    assert_int_equal((size_t)COUNT * SIZE, got.bytes);
    popoto__buffer_clear(&c.request);
    server_restart(s); /* and SIGPIPE would end us */
    assert_ok(run_one(&c, "ECHO hello", true), &c);
    assert_string_equal("$hello\n", c.seen);
    server_command(s, "CLIENT KILL TYPE normal SKIPME yes");
    assert_ok(run_one(&c, "ECHO hello", true), &c);
    server_freeze(s);
    c.seen[0] = '\0';
    double start = seconds();
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME, run_one(&c, "ECHO hello", true));
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
    assert_ok(run_one(&c, "SET key value", true), &c);
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char command[32];
            char expected[32];
            for (int round = 0; round < 500; round++) {
                snprintf(command, sizeof(command), "ECHO %d-%d", i, round);
                snprintf(expected, sizeof(expected), "$%d-%d\n", i, round);
                if (run_one(&c, command, true) != POPOTO_OK || strcmp(c.seen, expected) != 0)
                    _exit(1);
            }
            popoto__link_free(c.link);
            _exit(0);
        }
    }
    for (int round = 0; round < 500; round++) {
        assert_ok(run_one(&c, "GET key", false), &c);
        assert_string_equal("$value\n", c.seen);
    }
    for (int i = 0; i < 4; i++) {
        int status;
        assert_int_equal(children[i], waitpid(children[i], &status, 0));
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_ok(run_one(&c, "DEL key", true), &c);
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
    assert_ok(popoto__link_connect(c.link, &c.why), &c);
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
    popoto_status status = run_one(&c, "PING", false);
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
        status = run_one(&c, "EVAL for\ti=1,100000\tdo\tend 0", true);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    client_close(&c);
    client_open(&c, server_socket(s), 300);
    assert_ok(run_one(&c, "PING", false), &c);
    setitimer(ITIMER_REAL, &often, NULL);
    server_freeze(s);
    double start = seconds();
    popoto_status frozen = run_one(&c, "PING", false);
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
        if (run_one(&c, command, false) != POPOTO_OK || strcmp(c.seen, expected) != 0)
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
        exchange what = { &request, 1, writes, &strings, measure, &got, NULL };
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
        server_test(test_posted_exchanges_are_answered_in_their_order),
        server_test(test_replies_that_were_expected_are_not_handed_over),
        server_test(test_what_was_posted_is_lost_with_the_connection),
        server_test(test_every_kind_of_reply),
        server_test(test_any_bytes_are_an_argument),
        server_test(test_numbers_are_written_in_full),
        server_test(test_strings_outlive_the_exchange_in_the_callers_arena),
        server_test(test_the_handlers_status_is_returned_and_the_rest_read),
        server_test(test_nothing_to_send_is_fine),
        server_test(test_a_pipeline_larger_than_all_buffers),
        server_test(test_one_large_string),
        server_test(test_an_array_of_many),
        server_test(test_nonsense_is_refused),
        server_test(test_stray_replies_are_thrown_away_with_the_connection),
        server_test(test_a_read_is_tried_again_once),
        server_test(test_a_read_is_not_tried_again_after_its_first_reply),
        server_test(test_a_peer_that_goes_while_we_send),
        server_test(test_what_errors_mean),
        server_test(test_a_restart_between_calls_goes_unnoticed),
        server_test(test_a_connection_that_the_server_killed),
        server_test(test_no_server),
        server_test(test_a_socket_path_that_is_too_long),
        server_test(test_a_server_that_hangs),
        server_test(test_a_server_that_hangs_while_we_send),
        server_test(test_connecting_to_a_server_that_hangs),
        server_test(test_connecting_to_a_full_backlog),
        server_test(test_a_slow_handler_uses_up_no_deadline),
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
