/* Where commands go on a cluster: slots, requests taken apart, cursors of scans, what nodes answer, and
 * what becomes of maps of slots that are none. */
#include "cluster.h"
#include "failing_allocator.h"
#include "route.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const popoto_allocator *plain(void) {
    static popoto_allocator it;
    it = popoto__allocator_or_default((popoto_allocator){ 0 });
    return &it;
}

/* ----- Slots ----------------------------------------------------------------------------------- */

static unsigned slot(const char *key) {
    return popoto__slot_of_key(key, strlen(key));
}

static void test_slots_are_those_of_the_specification(void **state) {
    (void)state;
    assert_int_equal(0x31C3 % SLOT_COUNT, slot("123456789"));
    assert_int_equal(0, popoto__slot_of_key(NULL, 0));
    /* As CLUSTER KEYSLOT answers. */
    assert_int_equal(12182, slot("foo"));
    assert_int_equal(5061, slot("bar"));
    assert_int_equal(866, slot("hello"));
}

static void test_a_hash_tag_decides(void **state) {
    (void)state;
    assert_int_equal(slot("user1000"), slot("{user1000}.following"));
    assert_int_equal(slot("{user1000}.following"), slot("{user1000}.followers"));
    /* An empty tag is none, the first { counts, and the first } behind it. */
    assert_int_not_equal(slot(""), slot("foo{}{bar}"));
    assert_int_not_equal(slot("bar"), slot("foo{}{bar}"));
    assert_int_equal(slot("{bar"), slot("foo{{bar}}zap"));
    assert_int_equal(slot("bar"), slot("foo{bar}{zap}"));
    assert_int_not_equal(slot("bar"), slot("foo{bar"));
    assert_int_not_equal(slot("bar"), slot("}bar{"));
}

/* ----- Requests -------------------------------------------------------------------------------- */

/* Words apart by spaces, commands by semicolons. */
static size_t write_request(buffer *out, const char *commands) {
    size_t count = 0;
    char text[400];
    popoto__buffer_init(out, plain());
    snprintf(text, sizeof(text), "%s", commands);
    char *rest = NULL;
    for (char *one = strtok_r(text, ";", &rest); one; one = strtok_r(NULL, ";", &rest)) {
        const char *words[20];
        size_t words_count = 0;
        char *inner = NULL;
        for (char *word = strtok_r(one, " ", &inner); word; word = strtok_r(NULL, " ", &inner))
            words[words_count++] = word;
        popoto__request_begin(out, words_count);
        for (size_t i = 0; i < words_count; i++)
            popoto__request_text(out, words[i]);
        count++;
    }
    return count;
}

typedef struct expected_route {
    const char *commands;
    size_t routes;
    route_kind kind; /* of the first */
    size_t count;
    const char *key; /* whose slot it has; NULL: none */
} expected_route;

static void test_requests_are_taken_apart(void **state) {
    (void)state;
    static const expected_route cases[] = {
        { "HMGET k f", 1, ROUTE_SLOT, 1, "k" },
        { "evalsha abc 2 k1 k2 x;SADD k2 x", 2, ROUTE_SLOT, 1, "k1" },
        { "EVALSHA abc", 1, ROUTE_ANY, 1, NULL },
        { "MULTI;HSET {t}:a f 1;SADD {t}:b x;EXEC;SCARD c", 2, ROUTE_SLOT, 4, "t" },
        { "MULTI;PING;HSET {t}:a f 1;EXEC", 1, ROUTE_SLOT, 4, "t" },
        { "MULTI;EXEC", 1, ROUTE_ANY, 2, NULL },
        { "SCRIPT LOAD return", 1, ROUTE_REACHABLE, 1, NULL },
        { "PING", 1, ROUTE_PRIMARIES, 1, NULL },
        { "DBSIZE", 1, ROUTE_PRIMARIES, 1, NULL },
        { "ACL SETUSER x", 1, ROUTE_NODES, 1, NULL },
        { "SCAN 0 MATCH x", 1, ROUTE_SCAN, 1, NULL },
        { "MEMORY USAGE k", 1, ROUTE_SLOT, 1, "k" },
        { "INFO", 1, ROUTE_ANY, 1, NULL },
        { "SINTER k l", 1, ROUTE_SLOT, 1, "k" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const expected_route *it = &cases[i];
        buffer request;
        arena memory;
        route *routes;
        size_t count;
        failure why;
        popoto__arena_init(&memory, plain());
        size_t commands = write_request(&request, it->commands);
        assert_int_equal(POPOTO_OK,
                         popoto__route_request(&request, commands, &memory, &routes, &count, &why));
        assert_int_equal(it->routes, count);
        assert_int_equal(it->kind, routes[0].kind);
        assert_int_equal(it->count, routes[0].count);
        if (it->key != NULL)
            assert_int_equal(slot(it->key), routes[0].slot);
        size_t end = 0, seen = 0;
        for (size_t k = 0; k < count; k++) {
            assert_int_equal(end, routes[k].at);
            assert_int_equal(seen, routes[k].first);
            end += routes[k].size;
            seen += routes[k].count;
        }
        assert_int_equal(request.size, end);
        assert_int_equal(commands, seen);
        popoto__buffer_free(&request);
        popoto__arena_free(&memory);
    }
}

/* Wherever it is cut, and whatever byte of it is another, it is refused or understood: never read past
 * its end. */
static void test_broken_requests_are_refused(void **state) {
    (void)state;
    buffer request, broken;
    size_t commands = write_request(&request, "MULTI;HSET {t}:a f 1;EXEC;SCAN 0;GET k");
    popoto__buffer_init(&broken, plain());
    for (size_t i = 0; i < 2 * request.size; i++) {
        arena memory;
        route *routes;
        size_t count;
        failure why;
        popoto__arena_init(&memory, plain());
        popoto__buffer_clear(&broken);
        popoto__buffer_append(&broken, request.data, i < request.size ? i : request.size);
        if (i >= request.size)
            broken.data[i - request.size] = '7';
        popoto_status status =
            popoto__route_request(&broken, commands, &memory, &routes, &count, &why);
        if (i < request.size)
            assert_int_equal(POPOTO_BAD_ARGUMENT, status);
        popoto__arena_free(&memory);
    }
    popoto__buffer_free(&request);
    popoto__buffer_free(&broken);
}

/* ----- Cursors --------------------------------------------------------------------------------- */

static void test_cursors_of_scans_come_back(void **state) {
    (void)state;
    scan_cursor it = { { "18446744073709551615", 20 }, 16383, 999999999, false }, back;
    char text[SCAN_CURSOR_SIZE];
    size_t size = popoto__route_write_cursor(&it, text);
    assert_string_equal("18446744073709551615.16383.999999999", text);
    assert_int_equal(strlen(text), size);
    assert_true(popoto__route_read_cursor((popoto_text){ text, size }, &back));
    assert_int_equal(16383, back.primary);
    assert_int_equal(999999999, back.map);
    assert_false(back.begins);
    assert_memory_equal(it.of_node.data, back.of_node.data, 20);
    assert_true(popoto__route_read_cursor((popoto_text){ "0", 1 }, &back));
    assert_true(back.begins);
    static const char *const bad[] = { "",
                                       "1",
                                       "1.",
                                       "1.2",
                                       "1.2.",
                                       ".1.2",
                                       "1.2.x",
                                       "1.2.3x",
                                       "-1.2.3",
                                       "1.99999999999999999999.1",
                                       "123456789012345678901.1.1" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(popoto__route_read_cursor((popoto_text){ bad[i], strlen(bad[i]) }, &back));
    it.of_node.size = 0;
    assert_int_equal(0, popoto__route_write_cursor(&it, text));
}

/* ----- Answers --------------------------------------------------------------------------------- */

static void test_redirections_are_understood(void **state) {
    (void)state;
    static const struct {
        const char *text;
        redirect_kind kind;
        unsigned slot;
        const char *host;
        int port;
    } cases[] = {
        { "MOVED 3999 127.0.0.1:6381", REDIRECT_MOVED, 3999, "127.0.0.1", 6381 },
        { "ASK 0 ::1:6381", REDIRECT_ASK, 0, "::1", 6381 },
        { "MOVED 1 :6381", REDIRECT_MOVED, 1, "", 6381 },
        { "MOVED 1 ?:6381", REDIRECT_MOVED, 1, "", 6381 },
        { "MOVED 16384 h:1", REDIRECT_NONE, 0, "", 0 },
        { "MOVED", REDIRECT_NONE, 0, "", 0 },
        { "MOVED 1", REDIRECT_NONE, 0, "", 0 },
        { "MOVED 1 h", REDIRECT_NONE, 0, "", 0 },
        { "MOVED 1 h:0", REDIRECT_NONE, 0, "", 0 },
        { "MOVED 1 h:65536", REDIRECT_NONE, 0, "", 0 },
        { "MOVED x h:1", REDIRECT_NONE, 0, "", 0 },
        { "MOVED 1 h:1 ", REDIRECT_NONE, 0, "", 0 },
        { "MOVEDX 1 h:1", REDIRECT_NONE, 0, "", 0 },
        { "TRYAGAIN Multiple keys", REDIRECT_WAIT, 0, "", 0 },
        { "CLUSTERDOWN The cluster is down", REDIRECT_WAIT, 0, "", 0 },
        { "LOADING Redis is loading", REDIRECT_WAIT, 0, "", 0 },
        { "ERR unknown command", REDIRECT_NONE, 0, "", 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        reply answer = { .type = REPLY_ERROR,
                         .text = cases[i].text,
                         .size = strlen(cases[i].text) };
        redirect found = popoto__route_redirect(&answer);
        assert_int_equal(cases[i].kind, found.kind);
        if (found.kind != REDIRECT_MOVED && found.kind != REDIRECT_ASK)
            continue;
        assert_int_equal(cases[i].slot, found.slot);
        assert_int_equal(cases[i].port, found.port);
        assert_int_equal(strlen(cases[i].host), found.host.size);
        assert_memory_equal(cases[i].host, found.host.data, found.host.size);
    }
    reply status = { .type = REPLY_STATUS, .text = "MOVED 1 h:1", .size = 11 };
    assert_int_equal(REDIRECT_NONE, popoto__route_redirect(&status).kind);
}

/* ----- Maps of slots --------------------------------------------------------------------------- */

static cluster *new_cluster(const popoto_allocator *allocator) {
    static const cluster_seed seeds[] = { { "seed", 1 } };
    address to = { .kind = ADDRESS_CLUSTER,
                   .display = "redis+cluster://seed:1",
                   .seeds = seeds,
                   .seed_count = 1 };
    link_options options = { allocator, 1000, 1000 };
    cluster *made;
    failure why;
    return popoto__cluster_new(&to, &options, &made, &why) == POPOTO_OK ? made : NULL;
}

typedef struct reading {
    cluster *it;
    failure why;
    popoto_status status;
} reading;

static popoto_status take(void *context, size_t index, const reply *answer) {
    reading *it = context;
    (void)index;
    it->status = popoto__cluster_take_slots(it->it, answer, &it->why);
    return POPOTO_OK;
}

static popoto_status read_map(reading *it, const char *answer) {
    exchange what = { .count = 1, .handle = take, .context = it };
    it->status = POPOTO_STOPPED;
    assert_int_equal(POPOTO_OK, popoto__reply_parse(&what, plain(), answer, strlen(answer), 1000));
    return it->status;
}

#define GOOD_MAP                                                                           \
    "*3\r\n"                                                                               \
    "*4\r\n:0\r\n:100\r\n*3\r\n$1\r\na\r\n:7000\r\n$1\r\nx\r\n*3\r\n$1\r\nb\r\n:7001\r\n$" \
    "1\r\ny\r\n"                                                                           \
    "*3\r\n:101\r\n:101\r\n*4\r\n$-1\r\n:7002\r\n$1\r\nz\r\n*0\r\n"                        \
    "*3\r\n:16383\r\n:16383\r\n*2\r\n$1\r\na\r\n:7000\r\n"

static void assert_good_map(const cluster *it) {
    char room[80];
    assert_string_equal("a:7000", popoto__cluster_node_of(it, 0, room, sizeof(room)));
    assert_string_equal("a:7000", popoto__cluster_node_of(it, 100, room, sizeof(room)));
    assert_string_equal("seed:7002", popoto__cluster_node_of(it, 101, room, sizeof(room)));
    assert_null(popoto__cluster_node_of(it, 102, room, sizeof(room)));
    assert_string_equal("a:7000", popoto__cluster_node_of(it, 16383, room, sizeof(room)));
}

static void test_a_map_of_slots_is_read(void **state) {
    (void)state;
    reading it = { .it = new_cluster(plain()) };
    assert_int_equal(POPOTO_OK, read_map(&it, GOOD_MAP));
    assert_good_map(it.it);
    assert_int_equal(POPOTO_OK,
                     read_map(&it, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\nc\r\n:1\r\n"));
    char room[80];
    assert_string_equal("c:1", popoto__cluster_node_of(it.it, 102, room, sizeof(room)));
    popoto__cluster_free(it.it);
}

/* A broken answer changes nothing. */
static void test_a_broken_map_does_no_harm(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        popoto_status status;
    } cases[] = {
        { "+OK\r\n", POPOTO_BAD_REPLY },
        { ":1\r\n", POPOTO_BAD_REPLY },
        { "*-1\r\n", POPOTO_BAD_REPLY },
        { "*0\r\n", POPOTO_UNAVAILABLE },
        { "*1\r\n:1\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*0\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*2\r\n:0\r\n:1\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nc\r\n:1\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*3\r\n:-1\r\n:1\r\n*2\r\n$1\r\nc\r\n:1\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*3\r\n:2\r\n:1\r\n*2\r\n$1\r\nc\r\n:1\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*3\r\n$1\r\n0\r\n:1\r\n*2\r\n$1\r\nc\r\n:1\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*3\r\n:0\r\n:1\r\n$1\r\nc\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\nc\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n:1\r\n:1\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nc\r\n$1\r\n1\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nc\r\n:0\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nc\r\n:65536\r\n", POPOTO_BAD_REPLY },
        { "*1\r\n*4\r\n:0\r\n:1\r\n*2\r\n$1\r\nc\r\n:1\r\n:1\r\n", POPOTO_BAD_REPLY },
        { "*2\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nc\r\n:1\r\n*0\r\n", POPOTO_BAD_REPLY },
        { "-ERR This instance has cluster support disabled\r\n", POPOTO_UNSUPPORTED },
        { "-NOPERM no\r\n", POPOTO_DENIED },
    };
    reading it = { .it = new_cluster(plain()) };
    assert_int_equal(POPOTO_OK, read_map(&it, GOOD_MAP));
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(cases[i].status, read_map(&it, cases[i].answer));
        assert_int_equal(cases[i].status, it.why.status);
        assert_good_map(it.it);
    }
    popoto__cluster_free(it.it);
}

static void test_out_of_memory_is_a_status(void **state) {
    (void)state;
    failing_allocator memory;
    for (size_t n = 1;; n++) {
        failing_allocator_init(&memory, n);
        reading it = { .it = new_cluster(&memory.allocator) };
        popoto_status status = POPOTO_NO_MEMORY;
        if (it.it != NULL) {
            status = read_map(&it, GOOD_MAP);
            if (status == POPOTO_OK)
                assert_good_map(it.it);
            popoto__cluster_free(it.it);
        }
        assert_int_equal(0, memory.live_blocks);
        assert_int_equal(memory.failed ? POPOTO_NO_MEMORY : POPOTO_OK, status);
        if (!memory.failed)
            break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_are_those_of_the_specification),
        cmocka_unit_test(test_a_hash_tag_decides),
        cmocka_unit_test(test_requests_are_taken_apart),
        cmocka_unit_test(test_broken_requests_are_refused),
        cmocka_unit_test(test_cursors_of_scans_come_back),
        cmocka_unit_test(test_redirections_are_understood),
        cmocka_unit_test(test_a_map_of_slots_is_read),
        cmocka_unit_test(test_a_broken_map_does_no_harm),
        cmocka_unit_test(test_out_of_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
