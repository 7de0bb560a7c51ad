#include "json.h"

#include "moment.h"
#include "utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----- Writing -------------------------------------------------------------------------------- */

static void append(buffer *out, const char *text) {
    popoto__buffer_append_text(out, text);
}

static void write_string(buffer *out, const char *data, size_t size) {
    size_t from = 0;
    append(out, "\"");
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)data[i];
        char escape[8];
        if (byte >= ' ' && byte != '"' && byte != '\\' && byte != 127)
            continue;
        popoto__buffer_append(out, data + from, i - from);
        if (byte == '"' || byte == '\\')
            snprintf(escape, sizeof escape, "\\%c", byte);
        else
            snprintf(escape, sizeof escape, "\\u%04x", byte);
        append(out, escape);
        from = i + 1;
    }
    popoto__buffer_append(out, data + from, size - from);
    append(out, "\"");
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void write_base64(buffer *out, const void *data, size_t size) {
    const unsigned char *at = data;
    append(out, "\"");
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned bits = (unsigned)at[i] << 16 | (left > 1 ? (unsigned)at[i + 1] << 8 : 0U) |
                        (left > 2 ? at[i + 2] : 0U);
        const char four[4] = { digits[bits >> 18], digits[bits >> 12 & 63],
                               left > 1 ? digits[bits >> 6 & 63] : '=',
                               left > 2 ? digits[bits & 63] : '=' };
        popoto__buffer_append(out, four, 4);
    }
    append(out, "\"");
}

static void begin_tag(buffer *out, const char *tag) {
    append(out, "{\"$");
    append(out, tag);
    append(out, "\": ");
}

void popoto__json_write_text(buffer *out, const char *data, size_t size) {
    if (popoto__utf8_valid(data, size)) {
        write_string(out, data, size);
        return;
    }
    begin_tag(out, "text");
    write_base64(out, data, size);
    append(out, "}");
}

static void write_tagged_text(buffer *out, const char *tag, const char *text, size_t size) {
    begin_tag(out, tag);
    write_string(out, text, size);
    append(out, "}");
}

static void write_float(buffer *out, double value) {
    char text[CODEC_DOUBLE_SIZE];
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    size_t size = popoto__codec_double_text(value, text);
    if (isfinite(value)) {
        popoto__buffer_append(out, text, size);
    } else if (isnan(value) && bits != 0x7FF8000000000000U) {
        snprintf(text, sizeof text, "nan:%016llx", (unsigned long long)bits);
        write_tagged_text(out, "float", text, strlen(text));
    } else {
        write_tagged_text(out, "float", text, size);
    }
}

static void write_items(buffer *out, const popoto_items *list) {
    append(out, "[");
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            append(out, ", ");
        popoto__json_write(out, &list->items[i]);
    }
    append(out, "]");
}

static void write_tagged_items(buffer *out, const char *tag, const popoto_items *list) {
    begin_tag(out, tag);
    write_items(out, list);
    append(out, "}");
}

/* Beyond this, comparing each key with each other takes too long. */
#define MOST_PLAIN_KEYS 256

static bool is_plain_key(const popoto_items *map, size_t index) {
    const popoto_value *key = &map->items[index];
    popoto_text text = key->as.text;
    if (key->type != POPOTO_TEXT || !popoto__utf8_valid(text.data, text.size) ||
        (text.size > 0 && (text.data[0] == '$' || memchr(text.data, 0, text.size) != NULL)))
        return false;
    for (size_t i = 0; i < index; i += 2)
        if (map->items[i].as.text.size == text.size &&
            (text.size == 0 || memcmp(map->items[i].as.text.data, text.data, text.size) == 0))
            return false;
    return true;
}

static bool is_plain_map(const popoto_items *map) {
    bool plain = map->count <= 2 * MOST_PLAIN_KEYS;
    for (size_t i = 0; i < map->count && plain; i += 2)
        plain = is_plain_key(map, i);
    return plain;
}

static void write_map(buffer *out, const popoto_items *map) {
    bool plain = is_plain_map(map);
    if (!plain)
        begin_tag(out, "map");
    append(out, plain ? "{" : "[");
    for (size_t i = 0; i + 1 < map->count; i += 2) {
        append(out, i > 0 ? ", " : "");
        append(out, plain ? "" : "[");
        popoto__json_write(out, &map->items[i]);
        append(out, plain ? ": " : ", ");
        popoto__json_write(out, &map->items[i + 1]);
        append(out, plain ? "" : "]");
    }
    append(out, plain ? "}" : "]}");
}

static void write_moment(buffer *out, const char *tag, const popoto_value *value) {
    char text[MOMENT_TEXT_SIZE];
    write_tagged_text(out, tag, text, popoto__moment_text(value, text));
}

void popoto__json_write(buffer *out, const popoto_value *value) {
    char number[24];
    switch (value->type) {
    case POPOTO_BOOL: append(out, value->as.boolean ? "true" : "false"); return;
    case POPOTO_INT:
        snprintf(number, sizeof number, "%lld", (long long)value->as.integer);
        append(out, number);
        return;
    case POPOTO_FLOAT: write_float(out, value->as.real); return;
    case POPOTO_TEXT:
        popoto__json_write_text(out, value->as.text.data, value->as.text.size);
        return;
    case POPOTO_BYTES:
        begin_tag(out, "bytes");
        write_base64(out, value->as.bytes.data, value->as.bytes.size);
        append(out, "}");
        return;
    case POPOTO_TIME: write_moment(out, "time", value); return;
    case POPOTO_DAY: write_moment(out, "day", value); return;
    case POPOTO_CLOCK: write_moment(out, "clock", value); return;
    case POPOTO_DECIMAL:
        write_tagged_text(out, "decimal", value->as.text.data, value->as.text.size);
        return;
    case POPOTO_LIST: write_items(out, &value->as.list); return;
    case POPOTO_TUPLE: write_tagged_items(out, "tuple", &value->as.list); return;
    case POPOTO_SET: write_tagged_items(out, "set", &value->as.list); return;
    case POPOTO_MAP: write_map(out, &value->as.list); return;
    case POPOTO_NULL:
    case POPOTO_ANY: break;
    }
    append(out, "null");
}

/* ----- Reading -------------------------------------------------------------------------------- */

#ifdef POPOTO_WITH_JSON

static bool no_memory(const char **why) {
    *why = CODEC_NO_MEMORY;
    return false;
}

static bool read_text(const char *data, size_t size, arena *memory, popoto_value *value,
                      const char **why) {
    const char *copy = popoto__arena_copy(memory, data, size);
    *value = popoto_of_sized_text((popoto_text){ copy, size });
    return copy != NULL || no_memory(why);
}

static int digit_of(char letter) {
    const char *at = letter != '\0' ? strchr(digits, letter) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static bool read_base64(const char *text, size_t size, arena *memory, popoto_text *out,
                        const char **why) {
    size_t padding = 0;
    while (padding < 2 && padding < size && text[size - 1 - padding] == '=')
        padding++;
    unsigned char *bytes = (unsigned char *)popoto__arena_bytes(memory, size / 4 * 3 + 1);
    size_t count = 0;
    *why = "it is no base64";
    if (bytes == NULL)
        return no_memory(why);
    if (size % 4 != 0)
        return false;
    for (size_t i = 0; i < size; i += 4) {
        unsigned bits = 0;
        for (size_t d = 0; d < 4; d++) {
            int digit = i + d >= size - padding ? 0 : digit_of(text[i + d]);
            if (digit < 0)
                return false;
            bits = bits << 6 | (unsigned)digit;
        }
        for (int shift = 16; shift >= 0; shift -= 8)
            bytes[count++] = (unsigned char)(bits >> shift);
    }
    count -= padding;
    bytes[count] = '\0';
    *out = (popoto_text){ (const char *)bytes, count };
    return true;
}

static bool read_float(const char *text, size_t size, popoto_value *value, const char **why) {
    double number;
    *why = "it is no number";
    if (size == 20 && memcmp(text, "nan:", 4) == 0) {
        char *end;
        uint64_t bits = strtoull(text + 4, &end, 16);
        memcpy(&number, &bits, sizeof number);
        *value = popoto_of_float(number);
        return *end == '\0' && isnan(number);
    }
    if (size == 3 && memcmp(text, "nan", 3) == 0) {
        const uint64_t bits = 0x7FF8000000000000U;
        memcpy(&number, &bits, sizeof number);
    } else if (!popoto__codec_read_double(text, size, &number)) {
        return false;
    }
    *value = popoto_of_float(number);
    return true;
}

/* 2026-01-02, or as Redis holds it, 20260102. */
static bool read_day(const char *text, size_t size, popoto_day *day, const char **why) {
    char plain[9];
    if (size != 10 || text[4] != '-' || text[7] != '-')
        return popoto__moment_read_day(text, size, day, why);
    snprintf(plain, sizeof plain, "%.4s%.2s%.2s", text, text + 5, text + 8);
    return popoto__moment_read_day(plain, 8, day, why);
}

static bool read_tagged_text(const char *tag, const char *text, size_t size, arena *memory,
                             popoto_value *value, const char **why) {
    popoto_text data = { NULL, 0 };
    if (strcmp(tag, "$float") == 0)
        return read_float(text, size, value, why);
    if (strcmp(tag, "$bytes") == 0 || strcmp(tag, "$text") == 0) {
        if (!read_base64(text, size, memory, &data, why))
            return false;
        *value = tag[1] == 't' ? popoto_of_sized_text(data)
                               : popoto_of_bytes((popoto_bytes){ data.data, data.size });
        return true;
    }
    if (strcmp(tag, "$decimal") == 0) {
        bool done = read_text(text, size, memory, value, why);
        value->type = POPOTO_DECIMAL;
        return done;
    }
    value->type = strcmp(tag, "$time") == 0  ? POPOTO_TIME
                  : strcmp(tag, "$day") == 0 ? POPOTO_DAY
                                             : POPOTO_CLOCK;
    if (strcmp(tag, "$time") == 0)
        return popoto__moment_read_time(text, size, &value->as.time, why);
    if (strcmp(tag, "$day") == 0)
        return read_day(text, size, &value->as.day, why);
    *why = "no value is written with that tag";
    return strcmp(tag, "$clock") == 0 &&
           popoto__moment_read_clock(text, size, &value->as.clock, why);
}

static bool read_at(const json_t *from, arena *memory, size_t depth, popoto_value *value,
                    const char **why);

static bool read_items(popoto_type type, const json_t *from, arena *memory, size_t depth,
                       popoto_value *value, const char **why) {
    size_t count = json_array_size(from);
    popoto_value *items = popoto__arena_zeroed(memory, count + 1, sizeof *items);
    if (items == NULL)
        return no_memory(why);
    for (size_t i = 0; i < count; i++)
        if (!read_at(json_array_get(from, i), memory, depth, &items[i], why))
            return false;
    *value = popoto_of_items(type, items, count);
    return true;
}

static bool read_pairs(const json_t *from, arena *memory, size_t depth, popoto_value *value,
                       const char **why) {
    size_t count = json_array_size(from);
    popoto_value *items = popoto__arena_zeroed(memory, 2 * count + 1, sizeof *items);
    if (items == NULL)
        return no_memory(why);
    for (size_t i = 0; i < count; i++) {
        const json_t *pair = json_array_get(from, i);
        *why = "a $map is a list of pairs";
        if (json_array_size(pair) != 2)
            return false;
        for (size_t k = 0; k < 2; k++)
            if (!read_at(json_array_get(pair, k), memory, depth, &items[2 * i + k], why))
                return false;
    }
    *value = popoto_of_items(POPOTO_MAP, items, 2 * count);
    return true;
}

static bool read_tagged(const char *tag, const json_t *content, arena *memory, size_t depth,
                        popoto_value *value, const char **why) {
    *why = "no value is written with that tag";
    if (json_is_string(content))
        return read_tagged_text(tag, json_string_value(content), json_string_length(content),
                                memory, value, why);
    if (!json_is_array(content))
        return false;
    if (strcmp(tag, "$map") == 0)
        return read_pairs(content, memory, depth, value, why);
    if (strcmp(tag, "$tuple") == 0)
        return read_items(POPOTO_TUPLE, content, memory, depth, value, why);
    return strcmp(tag, "$set") == 0 && read_items(POPOTO_SET, content, memory, depth, value, why);
}

static bool read_object(const json_t *from, arena *memory, size_t depth, popoto_value *value,
                        const char **why) {
    json_t *object = (json_t *)(uintptr_t)from; /* jansson iterates over what it could change */
    void *at = json_object_iter(object);
    size_t count = 0;
    *why = "a tag stands alone in its braces";
    if (at != NULL && json_object_iter_key(at)[0] == '$' && json_object_size(from) != 1)
        return false;
    if (at != NULL && json_object_iter_key(at)[0] == '$')
        return read_tagged(json_object_iter_key(at), json_object_iter_value(at), memory, depth,
                           value, why);
    popoto_value *items =
        popoto__arena_zeroed(memory, 2 * json_object_size(from) + 1, sizeof *items);
    if (items == NULL)
        return no_memory(why);
    for (; at != NULL; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        if (!read_text(key, strlen(key), memory, &items[count], why) ||
            !read_at(json_object_iter_value(at), memory, depth, &items[count + 1], why))
            return false;
        count += 2;
    }
    *value = popoto_of_items(POPOTO_MAP, items, count);
    return true;
}

static bool read_at(const json_t *from, arena *memory, size_t depth, popoto_value *value,
                    const char **why) {
    *value = (popoto_value){ POPOTO_NULL, { 0 } };
    *why = "it is nested too deeply";
    if (depth > VALUE_MAX_DEPTH)
        return false;
    switch (json_typeof(from)) {
    case JSON_TRUE:
    case JSON_FALSE: *value = popoto_of_bool(json_is_true(from)); return true;
    case JSON_INTEGER: *value = popoto_of_int(json_integer_value(from)); return true;
    case JSON_REAL: *value = popoto_of_float(json_real_value(from)); return true;
    case JSON_STRING:
        return read_text(json_string_value(from), json_string_length(from), memory, value, why);
    case JSON_ARRAY: return read_items(POPOTO_LIST, from, memory, depth + 1, value, why);
    case JSON_OBJECT: return read_object(from, memory, depth + 1, value, why);
    case JSON_NULL: break;
    }
    return true;
}

bool popoto__json_read(const json_t *from, arena *memory, popoto_value *value, const char **why) {
    return read_at(from, memory, 0, value, why);
}

#endif
