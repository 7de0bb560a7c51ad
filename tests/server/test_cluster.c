/* A Redis Cluster as a server: every kind of call over many tenants on all nodes, what a cluster refuses,
 * nodes that do not answer, slots that move between and during calls. What it is like under processes that
 * write is in test_cluster_writers.c. */
#include "cluster_nodes.h"
#include "cluster_parcels.h"
#include "db.h"
#include "failing_allocator.h"
#include "route.h"
#include "server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <popoto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* ----- Every kind of call ----------------------------------------------------------------------- */

static void test_each_call_goes_to_its_tenants_node(void **state) {
    node_group *nodes = *state;
    popoto_db *db = open_cluster(nodes);
    bool used[NODES] = { false };
    assert_ok(db, popoto_ping(db));
    for (size_t t = 0; t < TENANTS; t++) {
        char names[2][16], key[32];
        parcel one;
        popoto_rows *rows;
        size_t count;
        make_parcel(&one, names, t, 7);
        snprintf(key, sizeof(key), "{%s}", names[0]);
        used[nodes_owner(nodes, nodes_slot(nodes, key))] = true;
        assert_ok(db, popoto_create(db, &Parcel, &one));
        assert_fails(
            POPOTO_EXISTS, "exists already", db,
            popoto_create(
                db, &Parcel,
                &(parcel){ .owner = names[0], .number = 7, .label = "l7", .place = "home" }));
        one.place = "garden";
        one.weight = 5;
        assert_ok(db, popoto_save(db, &Parcel, &one));
        one.number = 8; /* another name, the same tenant */
        assert_ok(db, popoto_save(db, &Parcel, &one));
        popoto_confidence after;
        assert_ok(db, popoto_confidence_update(db, &Parcel, &one, "trust", 1, &after));
        assert_int_equal(1, after.evidence_count);
        letter second = { .owner = names[0], .sent = 9 };
        assert_ok(db, popoto_create(db, &Letter, &second));
        assert_ok(db, popoto_query(
                          db,
                          &(popoto_query_desc){
                              .model = &Parcel,
                              .where = { POPOTO_IS("owner", names[0]), POPOTO_IS("place", "garden"),
                                         POPOTO_IS("weight__gte", 5) },
                              .order_by = "-weight",
                          },
                          &rows));
        assert_int_equal(1, popoto_rows_count(rows));
        const parcel *row = popoto_rows_at(rows, 0);
        assert_int_equal(8, row->number);
        assert_string_equal("garden", row->place);
        popoto_rows_free(rows);
        assert_ok(db,
                  popoto_count(db,
                               &(popoto_query_desc){ .model = &Letter,
                                                     .where = { POPOTO_IS("owner", names[0]) } },
                               &count));
        assert_int_equal(1, count);
        if (t % 3 == 0)
            assert_ok(db, popoto_delete(db, &Parcel, &one));
    }
    assert_true(used[0] && used[1] && used[2]);
    assert_int_equal(0, check_indexes(nodes, NULL));
    popoto_close(db);
}

static void test_bulk_calls_are_split_and_merged_in_order(void **state) {
    node_group *nodes = *state;
    enum {
        COUNT = 400
    };
    popoto_db *db = open_cluster(nodes);
    static parcel parcels[COUNT];
    static char names[COUNT][2][16];
    void *objects[COUNT];
    popoto_status statuses[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        make_parcel(&parcels[i], names[i], i % TENANTS, (int64_t)i);
        objects[i] = &parcels[i];
    }
    /* Some are there already, and one has no place. */
    for (size_t i = 5; i < COUNT; i += 37) {
        parcel before = parcels[i];
        assert_ok(db, popoto_create(db, &Parcel, &before));
    }
    parcels[100].place = NULL;
    assert_status(POPOTO_EXISTS, db, popoto_create_many(db, &Parcel, objects, COUNT, statuses));
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(i == 100        ? POPOTO_BAD_VALUE
                         : (i % 37) == 5 ? POPOTO_EXISTS
                                         : POPOTO_OK,
                         statuses[i]);
    assert_int_equal(0, check_indexes(nodes, NULL));

    /* Figures of all of them, each its own. */
    static popoto_signal signals[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        signals[i] = (popoto_signal){ .object = &parcels[i], .signal = (double)i / COUNT };
    assert_status(POPOTO_NOT_FOUND, db,
                  popoto_confidence_update_many(db, &Parcel, "trust", signals, COUNT));
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(i == 100 ? POPOTO_NOT_FOUND : POPOTO_OK, signals[i].status);
        if (i != 100)
            assert_true(signals[i].after.confidence == 0.5 + ((double)i / COUNT - 0.5) / 2);
    }

    parcels[100].place = "home";
    assert_ok(db, popoto_save_many(db, &Parcel, objects, COUNT, statuses));
    assert_int_equal(0, check_indexes(nodes, NULL));
    assert_ok(db, popoto_delete_many(db, &Parcel, objects, COUNT, statuses));
    assert_int_equal(0, check_indexes(nodes, NULL));
    popoto_close(db);
}

static void test_the_slot_of_a_key_is_the_servers(void **state) {
    node_group *nodes = *state;
    static const char *const keys[] = {
        "",
        "123456789",
        "{user1000}.following",
        "foo{}{bar}",
        "foo{{bar}}zap",
        "foo{bar}{zap}",
        "a{b",
        "a}b{c}",
        "{t1}:$Class:Parcel",
        "$Tenants:Parcel",
        "\xff\x80{\xfe}",
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        assert_int_equal(nodes_slot(nodes, keys[i]), popoto__slot_of_key(keys[i], strlen(keys[i])));
}

static bool count_tenant(void *context, const popoto_value *tenant) {
    assert_int_equal(POPOTO_TEXT, tenant->type);
    ++*(size_t *)context;
    return true;
}

static void test_queries_of_all_tenants_see_every_node(void **state) {
    node_group *nodes = *state;
    popoto_db *db = open_cluster(nodes);
    size_t tenants = 0, count;
    popoto_rows *rows;
    for (size_t t = 0; t < TENANTS; t++) {
        char names[2][16];
        parcel one;
        make_parcel(&one, names, t, (int64_t)t);
        assert_ok(db, popoto_create(db, &Parcel, &one));
    }
    assert_ok(db, popoto_tenants(db, &Parcel, count_tenant, &tenants));
    assert_int_equal(TENANTS, tenants);
    popoto_query_desc all = { .model = &Parcel, .all_tenants = true };
    assert_ok(db, popoto_count(db, &all, &count));
    assert_int_equal(TENANTS, count);
    assert_ok(db, popoto_query(db, &all, &rows));
    assert_int_equal(TENANTS, popoto_rows_count(rows));
    popoto_text *keys = calloc(TENANTS, sizeof(*keys));
    assert_non_null(keys);
    for (size_t i = 0; i < TENANTS; i++)
        assert_ok(db, popoto_key(db, &Parcel, popoto_rows_at(rows, i), &keys[i]));
    popoto_rows_free(rows);
    for (size_t i = 0; i < TENANTS; i++) {
        popoto_text again;
        assert_ok(db, popoto_load_keys(db, &Parcel, &keys[i], 1, &rows));
        assert_ok(db, popoto_key(db, &Parcel, popoto_rows_at(rows, 0), &again));
        assert_string_equal(keys[i].data, again.data);
        popoto_free(db, again.data);
        popoto_free(db, keys[i].data);
        popoto_rows_free(rows);
    }
    free(keys);
    popoto_close(db);
}

/* As on one that joined, or was started again. */
static void test_a_node_without_the_script_gets_it(void **state) {
    node_group *nodes = *state;
    popoto_db *db = open_cluster(nodes);
    for (size_t round = 0; round < 2; round++) {
        for (size_t t = 0; t < TENANTS; t++) {
            char names[2][16];
            parcel one;
            make_parcel(&one, names, t, (int64_t)(round * TENANTS + t));
            assert_ok(db, popoto_create(db, &Parcel, &one));
        }
        nodes_tell(nodes, 1, "SCRIPT FLUSH");
    }
    assert_int_equal(0, check_indexes(nodes, NULL));
    popoto_close(db);
}

/* ----- What a cluster refuses -------------------------------------------------------------------- */

static void test_a_model_that_is_not_strict_is_refused(void **state) {
    node_group *nodes = *state;
    typedef struct loose {
        popoto_object object;
        int64_t number;
    } loose;
    static const popoto_field fields[] = { POPOTO_KEY(loose, number) };
    static const popoto_model Loose = POPOTO_MODEL("Loose", loose, fields);
    popoto_db *db = open_cluster(nodes);
    loose one = { .number = 1 };
    size_t count;
    assert_fails(POPOTO_UNSUPPORTED, "Loose is no strict model", db,
                 popoto_create(db, &Loose, &one));
    assert_fails(POPOTO_UNSUPPORTED, "POPOTO_TENANT", db, popoto_model_check(db, &Loose));
    assert_fails(POPOTO_UNSUPPORTED, "strict", db,
                 popoto_count(db, &(popoto_query_desc){ .model = &Loose }, &count));
    assert_int_equal(0, nodes_key_count(nodes));
    popoto_close(db);
}

static void test_a_record_cannot_change_its_tenant(void **state) {
    node_group *nodes = *state;
    popoto_db *db = open_cluster(nodes);
    char names[2][16];
    parcel one, other;
    void *both[] = { &one, &other };
    popoto_status statuses[2];
    make_parcel(&one, names, 1, 1);
    other = one;
    other.number = 2;
    other.label = "other";
    assert_ok(db, popoto_create_many(db, &Parcel, both, 2, NULL));
    one.owner = "elsewhere";
    other.weight = 99;
    assert_fails(POPOTO_UNSUPPORTED, "'{t1}:Parcel:1:l1': its owner was changed", db,
                 popoto_save(db, &Parcel, &one));
    assert_status(POPOTO_UNSUPPORTED, db, popoto_save_many(db, &Parcel, both, 2, statuses));
    assert_int_equal(POPOTO_UNSUPPORTED, statuses[0]);
    assert_int_equal(POPOTO_OK, statuses[1]);
    lines there;
    assert_int_equal(0, check_indexes(nodes, &there));
    assert_int_equal(2, there.count);
    free_lines(&there);
    popoto_close(db);
}

static void test_a_db_switches_between_kinds_of_servers(void **state) {
    node_group *nodes = *state;
    server *single = server_start(NULL);
    popoto_db *db = popoto_open(server_url(single), NULL);
    char names[2][16];
    parcel one;
    make_parcel(&one, names, 1, 1);
    assert_ok(db, popoto_create(db, &Parcel, &one));
    one.owner = "elsewhere"; /* which one server can do */
    assert_ok(db, popoto_save(db, &Parcel, &one));
    assert_ok(db, popoto_switch(db, nodes_url(nodes)));
    parcel again = { .owner = "t1", .number = 1, .label = "l1", .place = "home" };
    assert_ok(db, popoto_create(db, &Parcel, &again));
    assert_string_equal("0", server_command(single, "EXISTS {t1}:Parcel:1:l1"));
    assert_ok(db, popoto_switch(db, server_url(single)));
    assert_ok(
        db, popoto_create(db, &Parcel,
                          &(parcel){ .owner = "t1", .number = 1, .label = "l1", .place = "home" }));
    assert_status(POPOTO_CANNOT_CONNECT, db, popoto_switch(db, "redis+cluster://127.0.0.1:1"));
    assert_ok(db, popoto_ping(db));
    popoto_close(db);
    server_stop(single);
}

static void test_a_single_server_is_no_cluster(void **state) {
    (void)state;
    server *single = server_start(&(server_options){ .tcp = true });
    char url[80];
    snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:%d", server_port(single));
    popoto_db *db = popoto_open(url, NULL);
    assert_int_equal(POPOTO_UNSUPPORTED, popoto_error_status(db));
    assert_non_null(strstr(popoto_error(db), "no node of a cluster"));
    assert_status(POPOTO_UNSUPPORTED, db, popoto_ping(db));
    popoto_close(db);
    server_stop(single);
}

/* ----- Grants ----------------------------------------------------------------------------------- */

static void test_a_tenants_user_works_on_a_cluster(void **state) {
    node_group *nodes = *state;
    popoto_db *db = open_cluster(nodes);
    char url[200];
    popoto_grant_desc desc = {
        .model = &Parcel, .user = "ann", .password = "secret", .tenant = popoto_of_text("t1")
    };
    assert_ok(db, popoto_grant(db, &desc, NULL));
    snprintf(url, sizeof(url), "redis+cluster://ann:secret@127.0.0.1:%d", nodes_port(nodes, 2));
    popoto_db *hers = popoto_open(url, NULL);
    for (size_t t = 1; t < 8; t++) {
        char names[2][16];
        parcel one;
        make_parcel(&one, names, t, 1);
        assert_status(t == 1 ? POPOTO_OK : POPOTO_DENIED, hers, popoto_create(hers, &Parcel, &one));
    }
    assert_ok(db, popoto_revoke(db, "ann", NULL));
    char names[2][16];
    parcel two;
    make_parcel(&two, names, 1, 2);
    assert_status(POPOTO_DENIED, hers, popoto_create(hers, &Parcel, &two));
    assert_status(POPOTO_NOT_FOUND, db, popoto_revoke(db, "ann", NULL));
    popoto_close(hers);
    popoto_close(db);
}

/* ----- A node that does not answer --------------------------------------------------------------- */

/* What went to the others is done, and known to be; what went to it is not known. */
static void test_a_lost_node_leaves_the_others_statuses_true(void **state) {
    node_group *nodes = *state;
    enum {
        COUNT = 60
    };
    popoto_options hasty = { .command_timeout = 600, .connect_timeout = 600 };
    popoto_db *db = popoto_open(nodes_url(nodes), &hasty);
    static parcel parcels[COUNT];
    static letter letters[COUNT];
    static char names[COUNT][2][16];
    void *objects[COUNT], *notes[COUNT];
    popoto_status statuses[COUNT], of_notes[COUNT];
    bool on_frozen[COUNT];
    size_t frozen = 0;
    /* Not that which has the list of tenants. */
    size_t victim =
        nodes_other_primary(nodes, nodes_owner(nodes, nodes_slot(nodes, "$Tenants:Parcel")));
    parcel first;
    make_parcel(&first, names[0], 0, 999); /* the script is loaded everywhere, the map is known */
    assert_ok(db, popoto_create(db, &Parcel, &first));
    for (size_t i = 0; i < COUNT; i++) {
        char key[32];
        make_parcel(&parcels[i], names[i], i % TENANTS, (int64_t)i);
        letters[i] = (letter){ .owner = names[i][0], .sent = 1 };
        objects[i] = &parcels[i];
        notes[i] = &letters[i];
        snprintf(key, sizeof(key), "{t%zu}", i % TENANTS);
        on_frozen[i] = nodes_owner(nodes, nodes_slot(nodes, key)) == victim;
        frozen += on_frozen[i];
    }
    assert_true(frozen > 0 && frozen < COUNT);
    nodes_freeze(nodes, victim);
    popoto_create_many(db, &Parcel, objects, COUNT, statuses);
    popoto_status first_status = popoto_error_status(db);
    char sentence[300];
    snprintf(sentence, sizeof(sentence), "%s", popoto_error(db));
    nodes_thaw(nodes, victim);
    assert_int_equal(POPOTO_UNKNOWN_OUTCOME, first_status);
    assert_non_null(strstr(sentence, "did not answer within"));
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(on_frozen[i] ? POPOTO_UNKNOWN_OUTCOME : POPOTO_OK, statuses[i]);
    nodes_await_whole(nodes);

    /* The same for transactions, whose list of tenants may be there; and reads say what they miss. */
    nodes_freeze(nodes, victim);
    popoto_create_many(db, &Letter, notes, COUNT, of_notes);
    nodes_thaw(nodes, victim);
    for (size_t i = 0; i < COUNT; i++)
        assert_true((of_notes[i] == POPOTO_OK) == !on_frozen[i]);
    nodes_await_whole(nodes);
    popoto_rows *rows;
    nodes_freeze(nodes, victim);
    popoto_status status =
        popoto_query(db, &(popoto_query_desc){ .model = &Letter, .all_tenants = true }, &rows);
    nodes_thaw(nodes, victim);
    popoto_rows_free(rows);
    assert_int_equal(POPOTO_TIMED_OUT, status);
    nodes_await_whole(nodes);
    assert_ok(db, popoto_ping(db));
    assert_int_equal(0, check_indexes(nodes, NULL));
    popoto_close(db);
}

/* Seeds that take connections and never answer leave time for the one that does. */
static void test_mute_seeds_are_passed_by(void **state) {
    node_group *nodes = *state;
    enum {
        MUTE = 10
    };
    int sockets[MUTE];
    char url[600] = "redis+cluster://";
    for (int i = 0; i < MUTE; i++) {
        struct sockaddr_in at = { .sin_family = AF_INET };
        socklen_t size = sizeof(at);
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(sockets[i] >= 0);
        assert_int_equal(0, bind(sockets[i], (struct sockaddr *)&at, sizeof(at)));
        assert_int_equal(0, listen(sockets[i], 8));
        assert_int_equal(0, getsockname(sockets[i], (struct sockaddr *)&at, &size));
        snprintf(url + strlen(url), sizeof(url) - strlen(url), "127.0.0.1:%d,",
                 (int)ntohs(at.sin_port));
    }
    snprintf(url + strlen(url), sizeof(url) - strlen(url), "127.0.0.1:%d", nodes_port(nodes, 0));
    popoto_options hasty = { .connect_timeout = 2000 };
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    popoto_db *db = popoto_open(url, &hasty);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_int_equal(POPOTO_OK, popoto_error_status(db));
    assert_ok(db, popoto_ping(db));
    popoto_close(db);
    /* Where none answers, the time to connect is that of all together. */
    *strrchr(url, ',') = '\0';
    hasty.connect_timeout = 1000;
    clock_gettime(CLOCK_MONOTONIC, &from);
    db = popoto_open(url, &hasty);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_int_equal(POPOTO_TIMED_OUT, popoto_error_status(db));
    assert_true(to.tv_sec - from.tv_sec <= 2);
    popoto_close(db);
    for (int i = 0; i < MUTE; i++)
        close(sockets[i]);
}

/* ----- Memory ------------------------------------------------------------------------------------ */

/* Each allocation fails in turn: a status, nothing leaked, and a create that is said to have failed with
 * POPOTO_NO_MEMORY is not there. */
static void test_out_of_memory_is_a_status(void **state) {
    node_group *nodes = *state;
    bool done = false;
    for (size_t n = 1; !done; n++) {
        failing_allocator memory;
        failing_allocator_init(&memory, n);
        popoto_options options = { .allocator = memory.allocator };
        popoto_db *db = popoto_open(nodes_url(nodes), &options);
        static parcel parcels[6];
        static char names[6][2][16];
        void *objects[6];
        popoto_status statuses[6] = { POPOTO_NO_MEMORY, POPOTO_NO_MEMORY, POPOTO_NO_MEMORY,
                                      POPOTO_NO_MEMORY, POPOTO_NO_MEMORY, POPOTO_NO_MEMORY };
        popoto_rows *rows = NULL;
        for (size_t i = 0; i < 6; i++) {
            make_parcel(&parcels[i], names[i], i, (int64_t)n);
            objects[i] = &parcels[i];
        }
        if (db != NULL) {
            popoto_status status = popoto_create_many(db, &Parcel, objects, 6, statuses);
            if (status == POPOTO_OK)
                status = popoto_query(
                    db, &(popoto_query_desc){ .model = &Parcel, .all_tenants = true }, &rows);
            popoto_rows_free(rows);
            done = !memory.failed;
            if (done)
                assert_ok(db, status);
        }
        popoto_close(db);
        assert_int_equal(0, memory.live_blocks);
        lines there;
        assert_int_equal(0, check_indexes(nodes, &there));
        for (size_t i = 0; i < 6; i++) {
            char key[64];
            snprintf(key, sizeof(key), "{t%zu}:Parcel:%zu:l%zu", i, n, n);
            if (statuses[i] != POPOTO_UNKNOWN_OUTCOME)
                assert_int_equal(statuses[i] == POPOTO_OK, has_line(&there, key));
        }
        free_lines(&there);
        nodes_flush(nodes);
        assert_true(n < 1000);
    }
}

/* ----- Slots that move -------------------------------------------------------------------------- */

/* In another process, after a while. */
static pid_t end_move_later(node_group *nodes, int slot, size_t to) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        nodes_forget_connections(nodes);
        usleep(300000);
        nodes_end_move(nodes, slot, to, 0);
        _exit(0);
    }
    return child;
}

static void test_a_slot_is_followed_while_it_moves(void **state) {
    node_group *nodes = *state;
    popoto_options hasty = { .command_timeout = 1200 };
    popoto_db *db = open_cluster(nodes);
    popoto_db *impatient = popoto_open(nodes_url(nodes), &hasty);
    int slot = nodes_slot(nodes, "{t1}");
    size_t from = nodes_owner(nodes, slot), to = nodes_other_primary(nodes, from);
    char names[10][2][16];
    parcel parcels[10];
    popoto_rows *rows;
    for (size_t i = 0; i < 10; i++) {
        make_parcel(&parcels[i], names[i], 1, (int64_t)i);
        assert_ok(db, popoto_create(db, &Parcel, &parcels[i]));
    }
    nodes_begin_move(nodes, slot, to);
    nodes_tell(nodes, from, "MIGRATE 127.0.0.1 %d {t1}:Parcel:3:l3 0 5000", nodes_port(nodes, to));
    /* ASK: one record is there already, the others are not. */
    for (size_t i = 0; i < 10; i++) {
        assert_ok(db, popoto_load(db, &Parcel, &parcels[i], &rows));
        assert_int_equal(1, popoto_rows_count(rows));
        popoto_rows_free(rows);
    }
    /* TRYAGAIN: a new record is nowhere, its indexes are somewhere. */
    parcel fresh = { .owner = "t1", .number = 77, .label = "fresh", .place = "home" };
    letter note = { .owner = "t1", .sent = 5 };
    assert_fails(POPOTO_UNAVAILABLE, "TRYAGAIN", impatient,
                 popoto_create(impatient, &Parcel, &fresh));
    assert_status(POPOTO_UNAVAILABLE, impatient, popoto_create(impatient, &Letter, &note));
    pid_t child = end_move_later(nodes, slot, to);
    assert_ok(db, popoto_create(db, &Parcel, &fresh));
    assert_ok(db, popoto_create(db, &Letter, &note));
    assert_child_ends(child);
    /* MOVED: this one has not heard of it. */
    parcels[5].weight = 1000;
    assert_ok(impatient, popoto_delete(impatient, &Parcel, &parcels[4]));
    lines there;
    assert_int_equal(0, check_indexes(nodes, &there));
    assert_int_equal(11, there.count);
    free_lines(&there);
    popoto_close(impatient);
    popoto_close(db);
}

static popoto_status keep_page(void *context, size_t index, const reply *answer) {
    lines *it = context;
    (void)index;
    assert_int_equal(REPLY_ARRAY, answer->type);
    add_line(it, "%s", answer->items[0]->text);
    for (size_t i = 0; i < answer->items[1]->count; i++)
        add_line(it, "%s", answer->items[1]->items[i]->text);
    return POPOTO_OK;
}

/* A key that moves from a node that was not looked through yet to one that was is found all the same. */
static void test_a_scan_begins_anew_when_slots_move(void **state) {
    node_group *nodes = *state;
    popoto_db *db = open_cluster(nodes);
    for (size_t t = 0; t < TENANTS; t++) {
        char names[2][16];
        letter one = { .owner = tenant_name(t, names[0]), .sent = 1 };
        assert_ok(db, popoto_create(db, &Letter, &one));
    }
    char cursor[SCAN_CURSOR_SIZE] = "0", key[32];
    lines keys = { 0 };
    size_t pages = 0;
    do {
        lines page = { 0 };
        popoto__buffer_clear(&db->request);
        popoto__request_begin(&db->request, 4);
        popoto__request_text(&db->request, "SCAN");
        popoto__request_text(&db->request, cursor);
        popoto__request_text(&db->request, "COUNT");
        popoto__request_text(&db->request, "1000");
        assert_ok(db, popoto__db_exchange(db, 1, false, NULL, keep_page, &page));
        snprintf(cursor, sizeof(cursor), "%s", page.items[0]);
        for (size_t i = 1; i < page.count; i++)
            add_line(&keys, "%s", page.items[i]);
        free_lines(&page);
        if (++pages == 2) {
            int slot = nodes_slot(nodes, "{t3}");
            nodes_move_slot(nodes, slot, nodes_other_primary(nodes, nodes_owner(nodes, slot)), 0);
        }
        assert_true(pages < 50);
    } while (strcmp(cursor, "0") != 0);
    sort_lines(&keys);
    assert_true(pages > PRIMARIES);
    for (size_t t = 0; t < TENANTS; t++) {
        snprintf(key, sizeof(key), "{t%zu}:$Class:Letter", t);
        assert_true(has_line(&keys, key));
    }
    free_lines(&keys);
    popoto_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        nodes_test(test_each_call_goes_to_its_tenants_node),
        nodes_test(test_bulk_calls_are_split_and_merged_in_order),
        nodes_test(test_the_slot_of_a_key_is_the_servers),
        nodes_test(test_queries_of_all_tenants_see_every_node),
        nodes_test(test_a_node_without_the_script_gets_it),
        nodes_test(test_a_model_that_is_not_strict_is_refused),
        nodes_test(test_a_record_cannot_change_its_tenant),
        nodes_test(test_a_db_switches_between_kinds_of_servers),
        nodes_test(test_a_single_server_is_no_cluster),
        nodes_test(test_a_tenants_user_works_on_a_cluster),
        nodes_test(test_a_lost_node_leaves_the_others_statuses_true),
        nodes_test(test_mute_seeds_are_passed_by),
        nodes_test(test_out_of_memory_is_a_status),
        nodes_test(test_a_slot_is_followed_while_it_moves),
        nodes_test(test_a_scan_begins_anew_when_slots_move),
    };
    return cmocka_run_group_tests(tests, nodes_group_start, nodes_group_stop);
}
