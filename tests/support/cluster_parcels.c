/* cluster_parcels - see cluster_parcels.h. */
#include "cluster_parcels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assertions.h"

/* ----- What is stored --------------------------------------------------------------------------- */

static const popoto_field parcel_fields[] = {
    POPOTO_TENANT(parcel, owner),
    POPOTO_KEY(parcel, number),
    POPOTO_UNIQUE_KEY(parcel, label),
    POPOTO_FIELD(parcel, place),
    POPOTO_SORTED(parcel, weight, .partition_by = "place"),
    POPOTO_CONFIDENCE(parcel, trust, .partition_by = "place"),
};
const popoto_model Parcel = POPOTO_MODEL("Parcel", parcel, parcel_fields);

static const popoto_field letter_fields[] = {
    POPOTO_TENANT(letter, owner),
    POPOTO_AUTO_KEY(letter, id),
    POPOTO_SORTED(letter, sent),
};
const popoto_model Letter = POPOTO_MODEL("Letter", letter, letter_fields);

const char *tenant_name(size_t index, char room[16]) {
    snprintf(room, 16, "t%zu", index);
    return room;
}

void make_parcel(parcel *it, char names[2][16], size_t tenant, int64_t number) {
    snprintf(names[1], 16, "l%lld", (long long)number);
    *it = (parcel){
        .owner = tenant_name(tenant, names[0]),
        .number = number,
        .label = names[1],
        .place = number % 2 ? "home" : "work",
        .weight = number * 3,
    };
}

popoto_db *open_cluster(const node_group *nodes) {
    popoto_db *db = popoto_open(nodes_url(nodes), NULL);
    assert_status(POPOTO_OK, db, popoto_error_status(db));
    return db;
}

/* ----- What lies in the indexes ----------------------------------------------------------------- */

void add_line(lines *to, const char *format, ...) {
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

void free_lines(lines *it) {
    for (size_t i = 0; i < it->count; i++)
        free(it->items[i]);
    free(it->items);
    *it = (lines){ 0 };
}

static int compare_lines(const void *left, const void *right) {
    return strcmp(*(char *const *)left, *(char *const *)right);
}

void sort_lines(lines *it) {
    if (it->count > 0)
        qsort(it->items, it->count, sizeof(*it->items), compare_lines);
}

bool has_line(const lines *it, const char *line) {
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

size_t check_indexes(node_group *nodes, lines *records) {
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
