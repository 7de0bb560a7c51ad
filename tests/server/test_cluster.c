/* A Redis Cluster as a server: every kind of call over many tenants on all nodes, slots that move under
 * writers, a primary that dies under them. What lies in the indexes is checked by raw commands. */
#include "cluster_nodes.h"
#include "failing_allocator.h"

#include <popoto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_call_goes_to_its_tenants_node, empty_nodes),
        cmocka_unit_test_setup(test_bulk_calls_are_split_and_merged_in_order, empty_nodes),
    };
    return cmocka_run_group_tests(tests, start_nodes, stop_nodes);
}
