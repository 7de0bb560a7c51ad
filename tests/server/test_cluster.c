/* A Redis Cluster as a server: every kind of call over many tenants on all nodes, slots that move under
 * writers, a primary that dies under them. What lies in the indexes is checked by raw commands. */
#include "cluster_nodes.h"
#include "db.h"
#include "failing_allocator.h"
#include "route.h"
#include "server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <popoto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* A model with an index of every kind. */
typedef struct parcel {
    popoto_object object;
    const char *owner;
    int64_t number;
    const char *label;
    const char *place;
    int64_t weight;
    double trust;
} parcel;

static const popoto_field parcel_fields[] = {
    POPOTO_TENANT(parcel, owner),
    POPOTO_KEY(parcel, number),
    POPOTO_UNIQUE_KEY(parcel, label),
    POPOTO_FIELD(parcel, place),
    POPOTO_SORTED(parcel, weight, .partition_by = "place"),
    POPOTO_CONFIDENCE(parcel, trust, .partition_by = "place"),
};
static const popoto_model Parcel = POPOTO_MODEL("Parcel", parcel, parcel_fields);

/* Stored by MULTI and EXEC, because its key is generated. */
typedef struct letter {
    popoto_object object;
    const char *owner;
    popoto_id id;
    int64_t sent;
} letter;

static const popoto_field letter_fields[] = {
    POPOTO_TENANT(letter, owner),
    POPOTO_AUTO_KEY(letter, id),
    POPOTO_SORTED(letter, sent),
};
static const popoto_model Letter = POPOTO_MODEL("Letter", letter, letter_fields);

/* ----- The checker ----------------------------------------------------------------------------- */

/* All that lies on the primaries, as lines: what is there, and what the records say should be there. */
typedef struct lines {
    char **items;
    size_t count, room;
} lines;

static void add_line(lines *to, const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (to->count == to->room) {
        to->room = to->room ? to->room * 2 : 1024;
        to->items = realloc(to->items, to->room * sizeof(*to->items));
        assert_non_null(to->items);
    }
    to->items[to->count] = strdup(text);
    assert_non_null(to->items[to->count]);
    to->count++;
}

static void free_lines(lines *it) {
    for (size_t i = 0; i < it->count; i++)
        free(it->items[i]);
    free(it->items);
    *it = (lines){ 0 };
}

static int compare_lines(const void *left, const void *right) {
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void sort_lines(lines *it) {
    if (it->count > 0)
        qsort(it->items, it->count, sizeof(*it->items), compare_lines);
}

static bool has_line(const lines *it, const char *line) {
    return it->count > 0 &&
           bsearch(&line, it->items, it->count, sizeof(*it->items), compare_lines) != NULL;
}

/* Lines of one that the other lacks. */
static size_t count_differences(const char *what, const lines *one, const lines *other) {
    size_t count = 0;
    for (size_t i = 0; i < one->count; i++)
        if (!has_line(other, one->items[i]) && ++count <= 5)
            fprintf(stderr, "%s: %s\n", what, one->items[i]);
    return count;
}

/* Short texts and small numbers, as MessagePack has them. */
static void decode(const redisReply *stored, char *text, size_t size) {
    const unsigned char *at = (const unsigned char *)stored->str;
    assert_true(stored->type == REDIS_REPLY_STRING && stored->len > 0);
    if (*at < 0x80)
        snprintf(text, size, "%d", *at);
    else if (*at >= 0xA0 && *at < 0xC0)
        snprintf(text, size, "%.*s", *at & 31, (const char *)at + 1);
    else if (*at == 0xCC)
        snprintf(text, size, "%d", at[1]);
    else if (*at == 0xCD)
        snprintf(text, size, "%d", at[1] << 8 | at[2]);
    else
        fail_msg("a stored value begins with %02x", *at);
}

static void field_of(const redisReply *record, const char *name, char *text, size_t size) {
    for (size_t i = 0; i + 1 < record->elements; i += 2)
        if (strcmp(record->element[i]->str, name) == 0) {
            decode(record->element[i + 1], text, size);
            return;
        }
    fail_msg("a record without %s", name);
}

/* What a record's indexes must hold. */
static void expect_of_record(lines *wanted, const char *tenant, const char *key,
                             const redisReply *record) {
    char label[64], place[64], number[64], weight[64];
    if (strstr(key, "}:Letter:") != NULL) {
        field_of(record, "sent", weight, sizeof(weight));
        add_line(wanted, "%s:$Class:Letter %s", tenant, key);
        add_line(wanted, "%s:$SortedF:Letter:sent %s %s", tenant, key, weight);
        return;
    }
    field_of(record, "label", label, sizeof(label));
    field_of(record, "place", place, sizeof(place));
    field_of(record, "number", number, sizeof(number));
    field_of(record, "weight", weight, sizeof(weight));
    add_line(wanted, "%s:$Class:Parcel %s", tenant, key);
    add_line(wanted, "%s:$KeyF:Parcel:number:%s %s", tenant, number, key);
    add_line(wanted, "%s:$UniqueKeyF:Parcel:label:%s %s", tenant, label, key);
    add_line(wanted, "%s:$SortedF:Parcel:weight:%s %s %s", tenant, place, key, weight);
    add_line(wanted, "%s:$ConfidencF:Parcel:trust:data:%s %s", tenant, place, key);
}

static void read_key(node_group *nodes, size_t node, const char *key, lines *records, lines *wanted,
                     lines *found) {
    char tenant[100];
    const char *end = strchr(key, '}');
    if (strncmp(key, "$Tenants:", 9) == 0)
        return;
    assert_true(key[0] == '{' && end != NULL);
    snprintf(tenant, sizeof(tenant), "%.*s", (int)(end + 1 - key), key);
    redisReply *all;
    if (end[2] != '$') {
        all = nodes_ask(nodes, node, "HGETALL %s", key);
        add_line(records, "%s", key);
        expect_of_record(wanted, tenant, key, all);
    } else if (strstr(key, "$ConfidencF") != NULL) {
        all = nodes_ask(nodes, node, "HKEYS %s", key);
    } else if (strstr(key, "$SortedF") != NULL) {
        all = nodes_ask(nodes, node, "ZRANGE %s 0 -1 WITHSCORES", key);
        for (size_t i = 0; i < all->elements; i += 2)
            add_line(found, "%s %s %s", key, all->element[i]->str, all->element[i + 1]->str);
        all->elements = all->elements > 0 ? all->elements : 0;
        freeReplyObject(all);
        return;
    } else {
        all = nodes_ask(nodes, node, "SMEMBERS %s", key);
    }
    assert_int_equal(REDIS_REPLY_ARRAY, all->type);
    for (size_t i = 0; end[2] == '$' && i < all->elements; i++)
        add_line(found, "%s %s", key, all->element[i]->str);
    freeReplyObject(all);
}

/* Every record in its indexes, every index entry of a record; `records` (or NULL) becomes all keys of
 * records, sorted. Returns the number of differences. */
static size_t check_indexes(node_group *nodes, lines *records) {
    lines wanted = { 0 }, found = { 0 }, there = { 0 };
    for (size_t node = 0; node < NODES; node++) {
        if (nodes_pid(nodes, node) == 0 || !nodes_is_primary(nodes, node))
            continue;
        redisReply *keys = nodes_ask(nodes, node, "KEYS *");
        for (size_t i = 0; i < keys->elements; i++)
            read_key(nodes, node, keys->element[i]->str, &there, &wanted, &found);
        freeReplyObject(keys);
    }
    sort_lines(&wanted);
    sort_lines(&found);
    sort_lines(&there);
    size_t differences = count_differences("missing in an index", &wanted, &found) +
                         count_differences("too much in an index", &found, &wanted);
    free_lines(&wanted);
    free_lines(&found);
    if (records != NULL)
        *records = there;
    else
        free_lines(&there);
    return differences;
}

/* ----- Support --------------------------------------------------------------------------------- */

static node_group *nodes;

static int start_nodes(void **state) {
    nodes = nodes_start();
    *state = nodes;
    return 0;
}

static int stop_nodes(void **state) {
    (void)state;
    nodes_stop(nodes);
    return 0;
}

static int empty_nodes(void **state) {
    (void)state;
    nodes_await_whole(nodes);
    nodes_flush(nodes);
    return 0;
}

/* Whom this many tenants belong to: every node has some. */
static const char *tenant_name(size_t index, char room[16]) {
    snprintf(room, 16, "t%zu", index);
    return room;
}

static popoto_db *open_cluster(void) {
    popoto_db *db = popoto_open(nodes_url(nodes), NULL);
    assert_status(POPOTO_OK, db, popoto_error_status(db));
    return db;
}

/* ----- Every kind of call ----------------------------------------------------------------------- */

#define TENANTS 30

static void make_parcel(parcel *it, char names[2][16], size_t tenant, int64_t number) {
    snprintf(names[1], 16, "l%lld", (long long)number);
    *it = (parcel){
        .owner = tenant_name(tenant, names[0]),
        .number = number,
        .label = names[1],
        .place = number % 2 ? "home" : "work",
        .weight = number * 3,
    };
}

static void test_each_call_goes_to_its_tenants_node(void **state) {
    (void)state;
    popoto_db *db = open_cluster();
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
    (void)state;
    enum {
        COUNT = 400
    };
    popoto_db *db = open_cluster();
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
    (void)state;
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
    (void)state;
    popoto_db *db = open_cluster();
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
    (void)state;
    popoto_db *db = open_cluster();
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
    (void)state;
    typedef struct loose {
        popoto_object object;
        int64_t number;
    } loose;
    static const popoto_field fields[] = { POPOTO_KEY(loose, number) };
    static const popoto_model Loose = POPOTO_MODEL("Loose", loose, fields);
    popoto_db *db = open_cluster();
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
    (void)state;
    popoto_db *db = open_cluster();
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
    (void)state;
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
    (void)state;
    popoto_db *db = open_cluster();
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
    (void)state;
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
    (void)state;
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
    (void)state;
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
static pid_t end_move_later(int slot, size_t to) {
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

static void await_child(pid_t child) {
    int status;
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_a_slot_is_followed_while_it_moves(void **state) {
    (void)state;
    popoto_options hasty = { .command_timeout = 1200 };
    popoto_db *db = open_cluster();
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
    pid_t child = end_move_later(slot, to);
    assert_ok(db, popoto_create(db, &Parcel, &fresh));
    assert_ok(db, popoto_create(db, &Letter, &note));
    await_child(child);
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
    (void)state;
    popoto_db *db = open_cluster();
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

/* ----- Writers ---------------------------------------------------------------------------------- */

#define WRITERS 4
#define MOST    15000 /* records of a writer; all have numbers of their own, below 65536 */

typedef enum outcome {
    NEVER,
    STORED,
    DELETED,
    UNKNOWN, /* stored or deleted or neither */
} outcome;

typedef struct deed {
    unsigned char outcome;
    unsigned char tenant;
    unsigned char is_delete; /* of an UNKNOWN */
    double at;               /* when it was acknowledged */
} deed;

/* Shared with the writers. */
typedef struct ledger {
    volatile bool stop;
    deed deeds[WRITERS][MOST];
    size_t counts[WRITERS];
    size_t statuses[WRITERS][POPOTO_NO_MEMORY + 1];
    double longest[WRITERS];
    double last[WRITERS]; /* success */
    char sentence[WRITERS][300];
} ledger;

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void note(ledger *it, size_t writer, popoto_db *db, popoto_status status) {
    it->statuses[writer][status]++;
    if (status == POPOTO_OK)
        it->last[writer] = seconds();
    else if (status != POPOTO_NOT_FOUND && status != POPOTO_CHANGED)
        snprintf(it->sentence[writer], sizeof(it->sentence[writer]), "%s", popoto_error(db));
}

static void note_deed(deed *it, popoto_status status, outcome wanted) {
    it->at = seconds();
    if (status == POPOTO_OK) {
        it->outcome = (unsigned char)wanted;
    } else if (status == POPOTO_UNKNOWN_OUTCOME) {
        it->outcome = UNKNOWN;
    }
}

/* Some new ones at once, over several tenants. */
static void create_some(ledger *it, size_t writer, popoto_db *db) {
    enum {
        SOME = 8
    };
    static parcel parcels[SOME];
    static char names[SOME][2][16];
    void *objects[SOME];
    popoto_status statuses[SOME];
    size_t first = it->counts[writer];
    for (size_t i = 0; i < SOME; i++) {
        size_t number = first + i, tenant = (size_t)rand() % TENANTS;
        make_parcel(&parcels[i], names[i], tenant, (int64_t)(100 + writer * MOST + number));
        objects[i] = &parcels[i];
        it->deeds[writer][number].tenant = (unsigned char)tenant;
        parcels[i].weight %= 60000;
    }
    popoto_create_many(db, &Parcel, objects, SOME, statuses);
    for (size_t i = 0; i < SOME; i++) {
        note(it, writer, db, statuses[i]);
        note_deed(&it->deeds[writer][first + i], statuses[i], STORED);
    }
    it->counts[writer] += SOME;
}

static void delete_one(ledger *it, size_t writer, popoto_db *db) {
    if (it->counts[writer] == 0)
        return;
    size_t number = (size_t)rand() % it->counts[writer];
    deed *about = &it->deeds[writer][number];
    if (about->outcome != STORED)
        return;
    char names[2][16];
    parcel one;
    make_parcel(&one, names, about->tenant, (int64_t)(100 + writer * MOST + number));
    popoto_status status = popoto_delete(db, &Parcel, &one);
    note(it, writer, db, status);
    note_deed(about, status, DELETED);
    about->is_delete = true;
}

/* A record that all writers change at once. */
static void change_one(ledger *it, size_t writer, popoto_db *db) {
    char names[2][16];
    parcel one;
    make_parcel(&one, names, (size_t)rand() % TENANTS, rand() % 3);
    one.place = rand() % 2 ? "home" : "work";
    one.weight = rand() % 1000;
    note(it, writer, db, popoto_save(db, &Parcel, &one));
}

static void write_letter(ledger *it, size_t writer, popoto_db *db) {
    char name[16];
    letter one = { .owner = tenant_name((size_t)rand() % TENANTS, name), .sent = rand() % 1000 };
    note(it, writer, db, popoto_create(db, &Letter, &one));
}

static void write_on(ledger *it, size_t writer) {
    popoto_options options = { .connect_timeout = 10000, .command_timeout = 10000 };
    popoto_db *db = popoto_open(nodes_url(nodes), &options);
    srand((unsigned)writer + 1);
    while (!it->stop && it->counts[writer] + 10 < MOST) {
        double begun = seconds();
        switch (rand() % 6) {
        case 0: create_some(it, writer, db); break;
        case 1: delete_one(it, writer, db); break;
        case 2: write_letter(it, writer, db); break;
        default: change_one(it, writer, db); break;
        }
        if (seconds() - begun > it->longest[writer])
            it->longest[writer] = seconds() - begun;
    }
    popoto_close(db);
}

static ledger *start_writers(pid_t *writers) {
    ledger *it = mmap(NULL, sizeof(*it), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(it != MAP_FAILED);
    fflush(NULL);
    pid_t parent = getpid();
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        assert_true(writers[i] >= 0);
        if (writers[i] == 0) {
#ifdef __linux__
            prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
            if (getppid() == parent)
                write_on(it, i);
            _exit(0);
        }
    }
    return it;
}

static void stop_writers(ledger *it, const pid_t *writers) {
    it->stop = true;
    for (size_t i = 0; i < WRITERS; i++)
        await_child(writers[i]);
}

/* Every status of every writer, summed up; the last sentence where one failed. */
static size_t sum_of(const ledger *it, popoto_status status) {
    size_t sum = 0;
    for (size_t i = 0; i < WRITERS; i++)
        sum += it->statuses[i][status];
    return sum;
}

static size_t print_statuses(const ledger *it, const char *what) {
    size_t failures = 0;
    printf("           %s:", what);
    for (size_t status = 0; status <= POPOTO_NO_MEMORY; status++) {
        size_t sum = sum_of(it, (popoto_status)status);
        if (sum > 0)
            printf(" %zu %s", sum, popoto_status_name((popoto_status)status));
        if (status != POPOTO_OK && status != POPOTO_UNKNOWN_OUTCOME)
            failures += sum;
    }
    double longest = 0;
    for (size_t i = 0; i < WRITERS; i++)
        longest = it->longest[i] > longest ? it->longest[i] : longest;
    printf("; longest call %.2f s\n", longest);
    for (size_t i = 0; i < WRITERS; i++)
        if (it->sentence[i][0] != '\0')
            printf("           writer %zu: %s\n", i, it->sentence[i]);
    return failures;
}

typedef struct losses {
    size_t ours;
    size_t clusters; /* acknowledged by the node that was killed, shortly before */
} losses;

static losses count_losses(const ledger *it, const lines *there, const bool *on_killed,
                           double killed_at) {
    losses sum = { 0, 0 };
    for (size_t w = 0; w < WRITERS; w++)
        for (size_t n = 0; n < it->counts[w]; n++) {
            const deed *about = &it->deeds[w][n];
            char key[64];
            unsigned number = (unsigned)(100 + w * MOST + n);
            snprintf(key, sizeof(key), "{t%u}:Parcel:%u:l%u", about->tenant, number, number);
            bool is_there = has_line(there, key);
            if (!((about->outcome == STORED && !is_there) ||
                  ((about->outcome == DELETED || about->outcome == NEVER) && is_there)))
                continue;
            if (on_killed != NULL && on_killed[about->tenant] && about->at > killed_at - 1 &&
                about->at < killed_at + 0.1) {
                sum.clusters++;
            } else {
                sum.ours++;
                fprintf(stderr, "%s: outcome %d, %s, %.3f s after the kill\n", key, about->outcome,
                        is_there ? "is there" : "is missing", about->at - killed_at);
            }
        }
    return sum;
}

static void test_slots_move_under_writers(void **state) {
    (void)state;
    pid_t writers[WRITERS];
    ledger *it = start_writers(writers);
    size_t moves = 0;
    usleep(300000);
    for (double begun = seconds(); seconds() - begun < 4;) {
        char key[32];
        snprintf(key, sizeof(key), "{t%d}", rand() % TENANTS);
        int slot = nodes_slot(nodes, key);
        nodes_move_slot(nodes, slot, nodes_other_primary(nodes, nodes_owner(nodes, slot)), 1000);
        moves++;
    }
    usleep(300000);
    stop_writers(it, writers);
    lines there;
    size_t wrong = check_indexes(nodes, &there);
    losses lost = count_losses(it, &there, NULL, 0);
    size_t failures = print_statuses(it, "slots moved");
    printf("           %zu slots moved, %zu records, %zu index entries wrong, %zu lost\n", moves,
           there.count, wrong, lost.ours);
    assert_int_equal(0, wrong);
    assert_int_equal(0, lost.ours);
    assert_int_equal(0, failures);
    assert_int_equal(0, sum_of(it, POPOTO_UNKNOWN_OUTCOME));
    assert_true(moves > 3);
    free_lines(&there);
    munmap(it, sizeof(*it));
}

/* ----- A primary dies ---------------------------------------------------------------------------- */

static void test_a_replica_takes_over_under_writers(void **state) {
    (void)state;
    pid_t writers[WRITERS];
    bool on_killed[TENANTS];
    size_t victim = 1, count_killed = 0;
    for (size_t t = 0; t < TENANTS; t++) {
        char key[32];
        snprintf(key, sizeof(key), "{t%zu}", t);
        on_killed[t] = nodes_owner(nodes, nodes_slot(nodes, key)) == victim;
        count_killed += on_killed[t];
    }
    assert_true(count_killed > 0);
    ledger *it = start_writers(writers);
    sleep(1);
    double killed_at = seconds();
    nodes_kill(nodes, victim);
    nodes_await_takeover(nodes, victim);
    double whole_at = seconds();
    usleep(700000);
    stop_writers(it, writers);
    lines there;
    size_t wrong = check_indexes(nodes, &there);
    losses lost = count_losses(it, &there, on_killed, killed_at);
    size_t failures = print_statuses(it, "a primary killed");
    printf(
        "           whole again after %.2f s; %zu records, %zu index entries wrong; acknowledged "
        "and lost: %zu by the library, %zu by the cluster\n",
        whole_at - killed_at, there.count, wrong, lost.ours, lost.clusters);
    assert_int_equal(0, wrong);
    assert_int_equal(0, lost.ours);
    assert_int_equal(0, failures);
    for (size_t i = 0; i < WRITERS; i++)
        assert_true(it->last[i] > killed_at);
    free_lines(&there);
    munmap(it, sizeof(*it));
    nodes_revive(nodes, victim);
    nodes_await_whole(nodes);
}

/* ----- Throughput -------------------------------------------------------------------------------- */

/* The kernel's account of a process, in seconds of processor time. */
static double processor_time(pid_t pid) {
    char path[64];
    unsigned long long nanoseconds = 0;
    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    FILE *in = fopen(path, "r");
    if (in == NULL || fscanf(in, "%llu", &nanoseconds) != 1)
        nanoseconds = 0;
    if (in != NULL)
        fclose(in);
    return (double)nanoseconds / 1e9;
}

typedef struct cost {
    double wall;    /* seconds */
    double busiest; /* processor time of the server, or of the primary that had most to do */
} cost;

static cost measure(const char *url, const pid_t *servers, size_t server_count) {
    enum {
        BULK = 256,
        ROUNDS = 30
    };
    static parcel parcels[BULK];
    static char names[BULK][2][16];
    static popoto_signal signals[BULK];
    void *objects[BULK];
    popoto_db *db = popoto_open(url, NULL);
    double before[PRIMARIES];
    for (size_t i = 0; i < server_count; i++)
        before[i] = processor_time(servers[i]);
    cost sum = { .wall = seconds() };
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < BULK; i++) {
            make_parcel(&parcels[i], names[i], i % TENANTS, (int64_t)(round * BULK + i));
            objects[i] = &parcels[i];
            signals[i] = (popoto_signal){ .object = &parcels[i], .signal = 1 };
        }
        assert_ok(db, popoto_create_many(db, &Parcel, objects, BULK, NULL));
        assert_ok(db, popoto_confidence_update_many(db, &Parcel, "trust", signals, BULK));
    }
    sum.wall = seconds() - sum.wall;
    for (size_t i = 0; i < server_count; i++) {
        double took = processor_time(servers[i]) - before[i];
        sum.busiest = took > sum.busiest ? took : sum.busiest;
    }
    popoto_close(db);
    return sum;
}

/* How long it takes depends on how many processors the nodes have to themselves; what the busiest of
 * them has to do for the same work does not, and that is what must not be more than one server's. */
static void test_three_primaries_do_no_less_than_one_server(void **state) {
    (void)state;
    server *single = server_start(&(server_options){ .tcp = true });
    pid_t one[] = { server_pid(single) };
    pid_t three[PRIMARIES];
    size_t count = 0;
    for (size_t i = 0; i < NODES && count < PRIMARIES; i++)
        if (nodes_is_primary(nodes, i))
            three[count++] = nodes_pid(nodes, i);
    cost alone = measure(server_tcp_url(single), one, 1);
    cost shared = measure(nodes_url(nodes), three, count);
    printf(
        "           the same work: one server %.2f s, three primaries with their replicas %.2f s "
        "on %ld processors (%.2f of its speed)\n",
        alone.wall, shared.wall, sysconf(_SC_NPROCESSORS_ONLN), alone.wall / shared.wall);
    printf("           processor time of the server %.2f s, of the busiest primary %.2f s: "
           "%.2f times the work can be done\n",
           alone.busiest, shared.busiest, alone.busiest / shared.busiest);
    if (alone.busiest > 0)
        assert_true(shared.busiest < alone.busiest);
    server_stop(single);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_call_goes_to_its_tenants_node, empty_nodes),
        cmocka_unit_test_setup(test_bulk_calls_are_split_and_merged_in_order, empty_nodes),
        cmocka_unit_test_setup(test_the_slot_of_a_key_is_the_servers, empty_nodes),
        cmocka_unit_test_setup(test_queries_of_all_tenants_see_every_node, empty_nodes),
        cmocka_unit_test_setup(test_a_node_without_the_script_gets_it, empty_nodes),
        cmocka_unit_test_setup(test_a_model_that_is_not_strict_is_refused, empty_nodes),
        cmocka_unit_test_setup(test_a_record_cannot_change_its_tenant, empty_nodes),
        cmocka_unit_test_setup(test_a_db_switches_between_kinds_of_servers, empty_nodes),
        cmocka_unit_test_setup(test_a_single_server_is_no_cluster, empty_nodes),
        cmocka_unit_test_setup(test_a_tenants_user_works_on_a_cluster, empty_nodes),
        cmocka_unit_test_setup(test_a_lost_node_leaves_the_others_statuses_true, empty_nodes),
        cmocka_unit_test_setup(test_mute_seeds_are_passed_by, empty_nodes),
        cmocka_unit_test_setup(test_out_of_memory_is_a_status, empty_nodes),
        cmocka_unit_test_setup(test_a_slot_is_followed_while_it_moves, empty_nodes),
        cmocka_unit_test_setup(test_a_scan_begins_anew_when_slots_move, empty_nodes),
        cmocka_unit_test_setup(test_three_primaries_do_no_less_than_one_server, empty_nodes),
        cmocka_unit_test_setup(test_slots_move_under_writers, empty_nodes),
        cmocka_unit_test_setup(test_a_replica_takes_over_under_writers, empty_nodes),
    };
    return cmocka_run_group_tests(tests, start_nodes, stop_nodes);
}
