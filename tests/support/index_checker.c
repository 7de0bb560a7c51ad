/* index_checker - see index_checker.h. */
#include "index_checker.h"

#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ----- lists of lines ------------------------------------------------------------------------- */

typedef struct bytes {
    char *data;
    size_t size;
    size_t room;
} bytes;

typedef struct lines {
    bytes *items;
    size_t count;
} lines;

static void append(bytes *to, const void *data, size_t size) {
    if (to->size + size + 1 > to->room) {
        to->room = (to->size + size + 1) * 2;
        to->data = realloc(to->data, to->room);
        assert_non_null(to->data);
    }
    if (size > 0)
        memcpy(to->data + to->size, data, size);
    to->size += size;
    to->data[to->size] = '\0';
}

static void append_text(bytes *to, const char *text) {
    append(to, text, strlen(text));
}

static void add_line(lines *to, bytes line) {
    to->items = realloc(to->items, (to->count + 1) * sizeof(*to->items));
    assert_non_null(to->items);
    to->items[to->count++] = line;
}

static int compare_bytes(const void *left, const void *right) {
    const bytes *a = left;
    const bytes *b = right;
    int order = memcmp(a->data, b->data, a->size < b->size ? a->size : b->size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static void free_lines(lines *it) {
    for (size_t i = 0; i < it->count; i++)
        free(it->items[i].data);
    free(it->items);
}

static void show(const char *what, const bytes *line) {
    fprintf(stderr, "%s ", what);
    for (size_t i = 0; i < line->size; i++) {
        unsigned char byte = (unsigned char)line->data[i];
        fprintf(stderr, byte >= 0x20 && byte < 0x7F ? "%c" : "\\x%02x", byte);
    }
    fprintf(stderr, "\n");
}

/* ----- stored values -------------------------------------------------------------------------- */

typedef struct decoded {
    enum {
        NOTHING,
        NUMBER,
        WHOLE,
        TRUTH,
        WORDS
    } is;
    double number;
    long long whole;
    const char *words;
    size_t size;
} decoded;

static uint64_t big_endian(const unsigned char *at, size_t size) {
    uint64_t value = 0;
    while (size-- > 0)
        value = value << 8 | *at++;
    return value;
}

static decoded whole(long long value) {
    return (decoded){ .is = WHOLE, .whole = value, .number = (double)value };
}

static decoded words(const unsigned char *at, size_t header, uint64_t size) {
    return (decoded){ .is = WORDS, .words = (const char *)at + header, .size = (size_t)size };
}

static decoded decode(const char *stored) {
    const unsigned char *at = (const unsigned char *)stored;
    double number;
    uint64_t bits;
    if (*at < 0x80)
        return whole(*at);
    if (*at >= 0xE0)
        return whole((signed char)*at);
    if (*at >= 0xA0 && *at < 0xC0)
        return words(at, 1, *at & 31U);
    switch (*at) {
    case 0xC2:
    case 0xC3: return (decoded){ .is = TRUTH, .whole = *at == 0xC3 };
    case 0xCB:
        bits = big_endian(at + 1, 8);
        memcpy(&number, &bits, sizeof(number));
        return (decoded){ .is = NUMBER, .number = number };
    case 0xCC: return whole((long long)big_endian(at + 1, 1));
    case 0xCD: return whole((long long)big_endian(at + 1, 2));
    case 0xCE: return whole((long long)big_endian(at + 1, 4));
    case 0xCF: return whole((long long)big_endian(at + 1, 8));
    case 0xD0: return whole((int8_t)big_endian(at + 1, 1));
    case 0xD1: return whole((int16_t)big_endian(at + 1, 2));
    case 0xD2: return whole((int32_t)big_endian(at + 1, 4));
    case 0xD3: return whole((int64_t)big_endian(at + 1, 8));
    case 0xD9: return words(at, 2, big_endian(at + 1, 1));
    case 0xDA: return words(at, 3, big_endian(at + 1, 2));
    case 0xDB: return words(at, 5, big_endian(at + 1, 4));
    default: return (decoded){ .is = NOTHING };
    }
}

/* The segment of a key that a value is written as; false for values that this file does not know. */
static bool append_segment(bytes *to, decoded value) {
    char number[32];
    if (value.is == WHOLE) {
        snprintf(number, sizeof(number), "%lld", value.whole);
        append_text(to, number);
        return true;
    }
    if (value.is == TRUTH) {
        append_text(to, value.whole ? "True" : "False");
        return true;
    }
    if (value.is != WORDS)
        return false;
    for (size_t i = 0; i < value.size; i++) {
        char byte = value.words[i];
        bool colon = value.size - i >= 7 && memcmp(value.words + i, "{&#58;}", 7) == 0;
        if (byte == ':') {
            append_text(to, "{&#58;}");
            continue;
        }
        if (colon || (byte != '\0' && strchr("/'?*^[]", byte) != NULL))
            append(to, "/", 1);
        append(to, &byte, 1);
    }
    append(to, "", 0);
    return true;
}

/* ----- records -------------------------------------------------------------------------------- */

typedef struct checking {
    redisContext *to;
    const popoto_model *model;
    lines expected;
    lines actual;
    size_t records;
    size_t skipped; /* of the key that is looked at: "{project-a}:" of a strict model, or nothing */
    bool failed;
} checking;

static redisReply *ask(checking *it, const char *command, const redisReply *key) {
    redisReply *answer = redisCommand(it->to, "%s %b", command, key->str, (size_t)key->len);
    assert_non_null(answer);
    return answer;
}

static bool is_key(popoto_kind kind) {
    return kind == POPOTO_KIND_KEY || kind == POPOTO_KIND_AUTO_KEY ||
           kind == POPOTO_KIND_UNIQUE_KEY;
}

/* The bytes of a stored field, NULL where the record lacks it. */
static const char *stored(const redisReply *hash, const char *name) {
    for (size_t i = 0; i + 1 < hash->elements; i += 2)
        if (strcmp(hash->element[i]->str, name) == 0)
            return hash->element[i + 1]->str;
    return NULL;
}

static const popoto_field *tenant_of(const popoto_model *model) {
    for (size_t i = 0; i < model->field_count; i++)
        if (model->fields[i].kind == POPOTO_KIND_TENANT)
            return &model->fields[i];
    return NULL;
}

/* How long "{project-a}:" at the start of a key is; false where the key is none of such a model's. */
static bool skip_tenant(checking *it, const redisReply *key) {
    const char *end = key->str[0] == '{' ? memchr(key->str, '}', (size_t)key->len) : NULL;
    it->skipped = 0;
    if (tenant_of(it->model) == NULL)
        return end == NULL;
    if (end == NULL || end[1] != ':')
        return false;
    it->skipped = (size_t)(end - key->str) + 2;
    return true;
}

/* "{project-a}:" of a stored tenant. */
static void append_tenant(bytes *to, decoded value) {
    char hex[8];
    append_text(to, "{");
    if (value.is == WHOLE)
        append_segment(to, value);
    for (size_t i = 0; value.is == WORDS && i < value.size; i++) {
        unsigned char byte = (unsigned char)value.words[i];
        bool stays = byte > 127 || strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                          "0123456789-_.@",
                                          byte) != NULL;
        snprintf(hex, sizeof hex, "/%02x", byte);
        if (stays && byte != '\0')
            append(to, &byte, 1);
        else
            append_text(to, hex);
    }
    append_text(to, "}:");
}

/* Segment number `wanted` of a key (0 is the model's name). */
static bytes segment_of(const checking *it, const redisReply *key, size_t wanted) {
    bytes found = { NULL, 0, 0 };
    const char *at = key->str + it->skipped;
    const char *end = key->str + key->len;
    while (wanted-- > 0) {
        at = memchr(at, ':', (size_t)(end - at));
        if (at == NULL)
            return found;
        at++;
    }
    const char *colon = memchr(at, ':', (size_t)(end - at));
    append(&found, at, (size_t)((colon != NULL ? colon : end) - at));
    return found;
}

static bytes field_segment(const checking *it, const redisReply *key, const redisReply *hash,
                           const char *name) {
    size_t position = 0;
    bytes made = { NULL, 0, 0 };
    for (size_t i = 0; i < it->model->field_count; i++) {
        position += is_key(it->model->fields[i].kind);
        if (strcmp(it->model->fields[i].name, name) != 0)
            continue;
        if (is_key(it->model->fields[i].kind))
            return segment_of(it, key, position);
        const char *value = stored(hash, name);
        if (value == NULL || !append_segment(&made, decode(value)))
            fail_msg("%s: no segment can be made of its %s", key->str, name);
        return made;
    }
    fail_msg("no field %s", name);
    return made;
}

static void append_partition(const checking *it, const popoto_field *field, const redisReply *key,
                             const redisReply *hash, bytes *to) {
    char list[256];
    char *rest = NULL;
    if (field->partition_by == NULL)
        return;
    snprintf(list, sizeof(list), "%s", field->partition_by);
    for (char *name = strtok_r(list, ", ", &rest); name != NULL;
         name = strtok_r(NULL, ", ", &rest)) {
        if (tenant_of(it->model) != NULL && strcmp(tenant_of(it->model)->name, name) == 0)
            continue; /* the key begins with it */
        bytes part = field_segment(it, key, hash, name);
        append(to, ":", 1);
        append(to, part.data, part.size);
        free(part.data);
    }
}

static void check_key_field(checking *it, const popoto_field *field, const redisReply *key,
                            const redisReply *hash) {
    bytes in_key = field_segment(it, key, hash, field->name);
    bytes in_hash = { NULL, 0, 0 };
    const char *value = stored(hash, field->name);
    if (in_key.data == NULL || value == NULL)
        fail_msg("%s lacks %s in its key or its hash", key->str, field->name);
    else if (append_segment(&in_hash, decode(value)) && compare_bytes(&in_key, &in_hash) != 0) {
        show("key:   ", &in_key);
        show("stored:", &in_hash);
        it->failed = true;
    }
    free(in_key.data);
    free(in_hash.data);
}

static void append_score(bytes *to, double score) {
    char text[40];
    snprintf(text, sizeof(text), "  %.17g", score + 0.0);
    append_text(to, text);
}

/* A record that lacks the field or what tells its partition, as one that was only ever saved in part
 * does, is in no such index. */
static bool is_indexed(const popoto_field *field, const redisReply *hash) {
    char list[256];
    char *rest = NULL;
    if (field->kind == POPOTO_KIND_SORTED && stored(hash, field->name) == NULL)
        return false;
    snprintf(list, sizeof(list), "%s", field->partition_by != NULL ? field->partition_by : "");
    for (char *name = strtok_r(list, ", ", &rest); name != NULL; name = strtok_r(NULL, ", ", &rest))
        if (stored(hash, name) == NULL)
            return false;
    return true;
}

static void expect_entry(checking *it, const popoto_field *field, const char *prefix,
                         const char *suffix, const redisReply *key, const redisReply *hash) {
    bytes line = { NULL, 0, 0 };
    append(&line, key->str, it->skipped);
    append_text(&line, prefix);
    append_text(&line, it->model->name);
    if (field != NULL) {
        append_text(&line, ":");
        append_text(&line, field->name);
        append_text(&line, suffix);
        if (is_key(field->kind)) {
            bytes own = field_segment(it, key, hash, field->name);
            append_text(&line, ":");
            append(&line, own.data, own.size);
            free(own.data);
        }
        append_partition(it, field, key, hash, &line);
    }
    append_text(&line, "  ");
    append(&line, key->str, (size_t)key->len);
    if (field != NULL && field->kind == POPOTO_KIND_SORTED) {
        const char *value = stored(hash, field->name);
        decoded score = value != NULL ? decode(value) : (decoded){ .is = NOTHING };
        if (score.is == NUMBER || score.is == WHOLE)
            append_score(&line, score.number);
    }
    add_line(&it->expected, line);
}

/* The key of a strict model's record begins with the tenant that is stored in it. */
static void check_tenant(checking *it, const redisReply *key, const redisReply *hash) {
    bytes in_hash = { NULL, 0, 0 }, in_key = { key->str, it->skipped, 0 };
    const char *value = stored(hash, tenant_of(it->model)->name);
    append_tenant(&in_hash, value != NULL ? decode(value) : (decoded){ .is = NOTHING });
    if (compare_bytes(&in_key, &in_hash) != 0) {
        show("key:   ", &in_key);
        show("stored:", &in_hash);
        it->failed = true;
    }
    free(in_hash.data);
}

static void expect_record(checking *it, const redisReply *key) {
    redisReply *hash = ask(it, "HGETALL", key);
    size_t keys = 0;
    if (hash->type == REDIS_REPLY_ERROR)
        fail_msg("%s is no hash", key->str);
    it->records++;
    if (tenant_of(it->model) != NULL)
        check_tenant(it, key, hash);
    expect_entry(it, NULL, "$Class:", "", key, hash);
    for (size_t i = 0; i < it->model->field_count; i++) {
        const popoto_field *field = &it->model->fields[i];
        if (is_key(field->kind)) {
            check_key_field(it, field, key, hash);
            keys++;
        }
        if (field->kind == POPOTO_KIND_KEY)
            expect_entry(it, field, "$KeyF:", "", key, hash);
        if (field->kind == POPOTO_KIND_UNIQUE_KEY)
            expect_entry(it, field, "$UniqueKeyF:", "", key, hash);
        if (field->kind == POPOTO_KIND_SORTED && is_indexed(field, hash))
            expect_entry(it, field, "$SortedF:", "", key, hash);
        if (field->kind == POPOTO_KIND_CONFIDENCE && is_indexed(field, hash))
            expect_entry(it, field, "$ConfidencF:", ":data", key, hash);
    }
    bytes beyond = segment_of(it, key, keys + 1);
    assert_null(beyond.data);
    freeReplyObject(hash);
}

/* ----- indexes -------------------------------------------------------------------------------- */

static bool scores_are_compared(const checking *it, const redisReply *key) {
    const char *name = key->str + it->skipped;
    for (size_t i = 0; i < it->model->field_count; i++) {
        const popoto_field *field = &it->model->fields[i];
        char prefix[300];
        int size = snprintf(prefix, sizeof(prefix), "$SortedF:%s:%s", it->model->name, field->name);
        bool floats = field->member == POPOTO_MEMBER_FLOAT ||
                      field->member == POPOTO_MEMBER_SIGNED ||
                      field->member == POPOTO_MEMBER_UNSIGNED || field->type == POPOTO_FLOAT ||
                      field->type == POPOTO_INT;
        if (strncmp(name, prefix, (size_t)size) == 0 && (name[size] == ':' || name[size] == '\0'))
            return floats;
    }
    return false;
}

static void read_index(checking *it, const redisReply *key) {
    redisReply *type = ask(it, "TYPE", key);
    const char *command = strcmp(type->str, "set") == 0    ? "SMEMBERS %b"
                          : strcmp(type->str, "hash") == 0 ? "HGETALL %b"
                                                           : "ZRANGE %b 0 -1 WITHSCORES";
    redisReply *members = redisCommand(it->to, command, key->str, (size_t)key->len);
    size_t step = type->str[0] == 's' ? 1 : 2;
    assert_non_null(members);
    for (size_t i = 0; i < members->elements; i += step) {
        bytes line = { NULL, 0, 0 };
        append(&line, key->str, (size_t)key->len);
        append_text(&line, "  ");
        append(&line, members->element[i]->str, (size_t)members->element[i]->len);
        if (type->str[0] == 'z' && scores_are_compared(it, key))
            append_score(&line, strtod(members->element[i + 1]->str, NULL));
        add_line(&it->actual, line);
    }
    freeReplyObject(members);
    freeReplyObject(type);
}

static void read_all(checking *it, server *from) {
    char name[160];
    it->to = redisConnectUnix(server_socket(from));
    assert_non_null(it->to);
    redisReply *keys = redisCommand(it->to, "KEYS *");
    assert_non_null(keys);
    int size = snprintf(name, sizeof(name), "%s:", it->model->name);
    for (size_t i = 0; i < keys->elements; i++) {
        const redisReply *key = keys->element[i];
        if (!skip_tenant(it, key))
            continue;
        const char *own = key->str + it->skipped, *colon = strchr(own, ':');
        bool alone = strncmp(own, name, (size_t)size - 1) == 0 && own[size - 1] == '\0';
        if (strncmp(own, name, (size_t)size) == 0 || (alone && it->skipped > 0))
            expect_record(it, key);
        else if (own[0] == '$' && colon != NULL &&
                 strncmp(colon + 1, name, (size_t)size - 1) == 0 &&
                 (colon[size] == ':' || colon[size] == '\0'))
            read_index(it, key);
    }
    freeReplyObject(keys);
    redisFree(it->to);
}

static void forget_all(checking *it) {
    free_lines(&it->expected);
    free_lines(&it->actual);
}

void assert_indexes_match(server *from, const popoto_model *model) {
    checking it = { .model = model };
    size_t a = 0;
    size_t b = 0;
    read_all(&it, from);
    if (it.expected.count > 0)
        qsort(it.expected.items, it.expected.count, sizeof(bytes), compare_bytes);
    if (it.actual.count > 0)
        qsort(it.actual.items, it.actual.count, sizeof(bytes), compare_bytes);
    while (a < it.expected.count || b < it.actual.count) {
        int order = a == it.expected.count ? 1
                    : b == it.actual.count
                        ? -1
                        : compare_bytes(&it.expected.items[a], &it.actual.items[b]);
        if (order != 0) {
            it.failed = true;
            show(order < 0 ? "missing: " : "too much:",
                 order < 0 ? &it.expected.items[a] : &it.actual.items[b]);
        }
        a += order <= 0;
        b += order >= 0;
    }
    forget_all(&it);
    if (it.failed)
        fail_msg("the indexes of %s are not what its records say", model->name);
}

size_t record_count(server *from, const popoto_model *model) {
    checking it = { .model = model };
    read_all(&it, from);
    forget_all(&it);
    return it.records;
}
