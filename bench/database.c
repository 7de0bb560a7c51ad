/* database - looks at what both sides made, to see that it is the same work. See bench.h. */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static redisReply *ask(redisContext *admin, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(admin, format, arguments);
    va_end(arguments);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        give_up("%s: %s", format, reply == NULL ? admin->errstr : reply->str);
    return reply;
}

static void select_database(redisContext *admin, int database) {
    freeReplyObject(ask(admin, "SELECT %d", database));
}

void database_flush(redisContext *admin, int database) {
    select_database(admin, database);
    freeReplyObject(ask(admin, "FLUSHDB SYNC"));
}

size_t database_keys(redisContext *admin, int database) {
    select_database(admin, database);
    redisReply *reply = ask(admin, "DBSIZE");
    size_t count = (size_t)reply->integer;
    freeReplyObject(reply);
    return count;
}

size_t database_bytes(redisContext *admin, int database, size_t *keys) {
    size_t bytes = 0;
    select_database(admin, database);
    redisReply *all = ask(admin, "KEYS *");
    for (size_t i = 0; i < all->elements; i++) {
        redisReply *size = ask(admin, "MEMORY USAGE %b SAMPLES 0", all->element[i]->str,
                               (size_t)all->element[i]->len);
        bytes += (size_t)size->integer;
        freeReplyObject(size);
    }
    *keys = all->elements;
    freeReplyObject(all);
    return bytes;
}

/* ----- as text -------------------------------------------------------------------------------- */

typedef struct text {
    char *data;
    size_t size, room;
} text;

static void add(text *it, const char *data, size_t size) {
    if (it->room - it->size <= size) {
        it->room = (it->room + size + 64) * 2;
        it->data = realloc(it->data, it->room);
        if (it->data == NULL)
            give_up("no memory");
    }
    memcpy(it->data + it->size, data, size);
    it->size += size;
    it->data[it->size] = '\0';
}

typedef struct names {
    char (*ids)[33];
    char **titles;
    size_t count, room;
} names;

/* Bytes that do not print are told by their number; what reads as a record's id becomes its title. */
static void add_readable(text *it, const names *known, const char *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        size_t match = known->count;
        if (size - i >= 32 && strchr("0123456789abcdef", data[i]) != NULL && data[i] != '\0')
            for (match = 0; match < known->count; match++)
                if (memcmp(known->ids[match], data + i, 32) == 0)
                    break;
        if (match < known->count) {
            add(it, known->titles[match], strlen(known->titles[match]));
            i += 31;
        } else if (data[i] >= ' ' && data[i] < 127) {
            add(it, data + i, 1);
        } else {
            char code[8];
            snprintf(code, sizeof(code), "\\x%02x", (unsigned char)data[i]);
            add(it, code, strlen(code));
        }
    }
}

/* Ids and titles of all records of a model that has both. */
static void learn_names(redisContext *admin, names *known) {
    redisReply *all = ask(admin, "KEYS [EF][pl]*");
    for (size_t i = 0; i < all->elements; i++) {
        redisReply *fields = ask(admin, "HMGET %b episode_id title", all->element[i]->str,
                                 (size_t)all->element[i]->len);
        const redisReply *id = fields->element[0], *title = fields->element[1];
        if (id->type == REDIS_REPLY_STRING && title->type == REDIS_REPLY_STRING && id->len == 34) {
            if (known->count == known->room) {
                known->room = known->room ? known->room * 2 : 256;
                known->ids = realloc(known->ids, known->room * sizeof(*known->ids));
                known->titles = realloc(known->titles, known->room * sizeof(*known->titles));
                if (known->ids == NULL || known->titles == NULL)
                    give_up("no memory");
            }
            memcpy(known->ids[known->count], id->str + 2, 33);
            known->titles[known->count] = strdup(title->str + 1);
            known->count++;
        }
        freeReplyObject(fields);
    }
    freeReplyObject(all);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One line for each entry of a key: key, field or member, value or score. */
static size_t list_key(redisContext *admin, const names *known, const redisReply *key,
                       char **lines) {
    redisReply *type = ask(admin, "TYPE %b", key->str, (size_t)key->len);
    const char *command = strcmp(type->str, "hash") == 0  ? "HGETALL %b"
                          : strcmp(type->str, "set") == 0 ? "SMEMBERS %b"
                                                          : "ZRANGE %b 0 -1 WITHSCORES";
    size_t step = strcmp(type->str, "set") == 0 ? 1 : 2;
    redisReply *held = ask(admin, command, key->str, (size_t)key->len);
    for (size_t i = 0; lines != NULL && i < held->elements; i += step) {
        text line = { NULL, 0, 0 };
        add_readable(&line, known, key->str, (size_t)key->len);
        for (size_t k = i; k < i + step; k++) {
            add(&line, " | ", 3);
            add_readable(&line, known, held->element[k]->str, (size_t)held->element[k]->len);
        }
        add(&line, "\n", 1);
        lines[i / step] = line.data;
    }
    size_t count = held->elements / step;
    freeReplyObject(held);
    freeReplyObject(type);
    return count;
}

char *database_text(redisContext *admin, int database) {
    names known = { NULL, NULL, 0, 0 };
    text all = { NULL, 0, 0 };
    select_database(admin, database);
    learn_names(admin, &known);
    redisReply *keys = ask(admin, "KEYS *");
    size_t count = 0, at = 0;
    for (size_t i = 0; i < keys->elements; i++)
        count += list_key(admin, &known, keys->element[i], NULL);
    char **lines = calloc(count + 1, sizeof(*lines));
    if (lines == NULL)
        give_up("no memory");
    for (size_t i = 0; i < keys->elements; i++)
        at += list_key(admin, &known, keys->element[i], lines + at);
    qsort(lines, count, sizeof(*lines), by_text);
    add(&all, "", 0);
    for (size_t i = 0; i < count; i++) {
        add(&all, lines[i], strlen(lines[i]));
        free(lines[i]);
    }
    for (size_t i = 0; i < known.count; i++)
        free(known.titles[i]);
    free(known.titles);
    free(known.ids);
    free(lines);
    freeReplyObject(keys);
    return all.data;
}

bool database_same(redisContext *admin, int one, int other) {
    char *first = database_text(admin, one), *second = database_text(admin, other);
    size_t at = 0;
    while (first[at] == second[at] && first[at] != '\0')
        at++;
    bool same = first[at] == second[at] && at > 0;
    if (!same) {
        while (at > 0 && first[at - 1] != '\n')
            at--;
        fprintf(stderr, "ours:   %.200s\ntheirs: %.200s\n", first + at, second + at);
    }
    free(first);
    free(second);
    return same;
}

/* ----- rows ----------------------------------------------------------------------------------- */

episode *rows_copy(popoto_rows *rows) {
    size_t count = popoto_rows_count(rows);
    episode *copy = calloc(count + 1, sizeof(*copy));
    if (copy == NULL)
        give_up("no memory");
    for (size_t i = 0; i < count; i++)
        copy[i] = *(const episode *)popoto_rows_at(rows, i);
    return copy;
}

static int by_title(const void *a, const void *b) {
    const episode *x = *(episode *const *)a, *y = *(episode *const *)b;
    return strcmp(x->title, y->title);
}

static const episode **in_order(const episode *rows, size_t count) {
    const episode **order = calloc(count + 1, sizeof(*order));
    if (order == NULL)
        give_up("no memory");
    for (size_t i = 0; i < count; i++)
        order[i] = &rows[i];
    qsort(order, count, sizeof(*order), by_title);
    return order;
}

bool rows_same(const episode *one, size_t one_count, const episode *other, size_t other_count) {
    bool same = one_count == other_count && one_count > 0;
    const episode **x = in_order(one, one_count), **y = in_order(other, other_count);
    for (size_t i = 0; same && i < one_count; i++)
        same = strcmp(x[i]->title, y[i]->title) == 0 && x[i]->score == y[i]->score &&
               strcmp(x[i]->project_id, y[i]->project_id) == 0 &&
               strlen(x[i]->episode_id.text) == 32 && strlen(y[i]->episode_id.text) == 32;
    free(x);
    free(y);
    return same;
}
