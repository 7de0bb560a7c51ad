/* json - see json.h. */
#include "json.h"

#include "terminal.h"
#include "typed.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *demand_room(size_t size) {
    return demand_more(NULL, size);
}

void json_prepare(void) {
    json_set_alloc_funcs(demand_room, free);
}

/* ----- Base64 --------------------------------------------------------------------------------- */

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static json_t *base64_of(const void *data, size_t size) {
    const unsigned char *from = data;
    char *out = demand(size / 3 * 4 + 5), *to = out;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned long bits = (unsigned long)from[i] << 16;
        bits |= left > 1 ? (unsigned long)from[i + 1] << 8 : 0;
        bits |= left > 2 ? from[i + 2] : 0;
        *to++ = digits64[bits >> 18];
        *to++ = digits64[bits >> 12 & 63];
        *to++ = left > 1 ? digits64[bits >> 6 & 63] : '=';
        *to++ = left > 2 ? digits64[bits & 63] : '=';
    }
    json_t *json = json_stringn(out, (size_t)(to - out));
    free(out);
    return json;
}

static bool base64_read(const char *text, size_t size, popoto_text *out) {
    unsigned char *room = keep(size / 4 * 3 + 1);
    size_t used = 0, padding = 0;
    if (size % 4 != 0)
        return false;
    for (size_t i = 0; i < size; i += 4) {
        unsigned long bits = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *digit = memchr(digits64, text[i + k], 64);
            padding += text[i + k] == '=';
            if (digit == NULL && (text[i + k] != '=' || i + 4 < size || k < 2))
                return false;
            bits = bits << 6 | (digit != NULL ? (unsigned long)(digit - digits64) : 0);
        }
        room[used++] = (unsigned char)(bits >> 16);
        room[used++] = (unsigned char)(bits >> 8);
        room[used++] = (unsigned char)bits;
    }
    *out = (popoto_text){ (char *)room, used - padding };
    return true;
}

/* ----- Values to JSON ------------------------------------------------------------------------- */

static json_t *tagged(const char *tag, json_t *content) {
    json_t *object = json_object();
    json_object_set_new(object, tag, content);
    return object;
}

json_t *json_of_text(popoto_text text) {
    if (text.data == NULL)
        return json_null();
    json_t *json = json_stringn(text.data, text.size);
    return json != NULL ? json : tagged("$text", base64_of(text.data, text.size));
}

json_t *json_of_word(const char *word) {
    return json_of_text((popoto_text){ word, word != NULL ? strlen(word) : 0 });
}

json_t *json_of_sentence(const char *sentence) {
    if (sentence == NULL)
        return json_null();
    char *clean = shown_word(sentence);
    json_t *json = json_string(clean);
    free(clean);
    return json;
}

json_t *json_of_size(size_t number) {
    return json_integer((json_int_t)number);
}

static json_t *json_of_items(const popoto_items *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_of_value(&list->items[i]));
    return array;
}

static json_t *json_of_map(const popoto_items *list) {
    json_t *object = json_object();
    for (size_t i = 0; i + 1 < list->count && object != NULL; i += 2) {
        const popoto_value *key = &list->items[i];
        bool plain =
            key->type == POPOTO_TEXT && memchr(key->as.text.data, 0, key->as.text.size) == NULL &&
            key->as.text.data[0] != '$' && json_object_get(object, key->as.text.data) == NULL &&
            json_object_set_new(object, key->as.text.data, json_of_value(&list->items[i + 1])) == 0;
        if (!plain) {
            json_decref(object);
            object = NULL;
        }
    }
    if (object != NULL)
        return object;
    json_t *pairs = json_array();
    for (size_t i = 0; i + 1 < list->count; i += 2)
        json_array_append_new(pairs, json_pack("[oo]", json_of_value(&list->items[i]),
                                               json_of_value(&list->items[i + 1])));
    return tagged("$map", pairs);
}

#define USUAL_NAN UINT64_C(0x7FF8000000000000)

static json_t *json_of_float(double number) {
    char room[40];
    if (!isnan(number) && !isinf(number))
        return json_real(number);
    double_text(number, room);
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (isnan(number) && bits != USUAL_NAN)
        snprintf(room, sizeof room, "nan:%016" PRIx64, bits);
    return tagged("$float", json_string(room));
}

json_t *json_of_value(const popoto_value *value) {
    char room[64];
    switch (value->type) {
    case POPOTO_BOOL: return json_boolean(value->as.boolean);
    case POPOTO_INT: return json_integer(value->as.integer);
    case POPOTO_FLOAT: return json_of_float(value->as.real);
    case POPOTO_TEXT: return json_of_text(value->as.text);
    case POPOTO_BYTES:
        return tagged("$bytes", base64_of(value->as.bytes.data, value->as.bytes.size));
    case POPOTO_TIME: time_text(value->as.time, room); return tagged("$time", json_string(room));
    case POPOTO_DAY: day_text(value->as.day, room); return tagged("$day", json_string(room));
    case POPOTO_CLOCK:
        clock_text(value->as.clock, room);
        return tagged("$clock", json_string(room));
    case POPOTO_DECIMAL: return tagged("$decimal", json_of_text(value->as.text));
    case POPOTO_LIST: return json_of_items(&value->as.list);
    case POPOTO_TUPLE: return tagged("$tuple", json_of_items(&value->as.list));
    case POPOTO_SET: return tagged("$set", json_of_items(&value->as.list));
    case POPOTO_MAP: return json_of_map(&value->as.list);
    case POPOTO_NULL:
    case POPOTO_ANY: break;
    }
    return json_null();
}

/* ----- JSON to values ------------------------------------------------------------------------- */

static popoto_value items_of_array(popoto_type type, const json_t *array) {
    size_t count = json_array_size(array);
    popoto_value *items = keep((count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++)
        items[i] = value_of_json(json_array_get(array, i));
    return popoto_of_items(type, items, count);
}

static popoto_value map_of_pairs(const json_t *pairs) {
    size_t count = json_array_size(pairs);
    popoto_value *items = keep((2 * count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < 2; k++)
            items[2 * i + k] = value_of_json(json_array_get(json_array_get(pairs, i), k));
    return popoto_of_items(POPOTO_MAP, items, 2 * count);
}

static bool float_of_word(const char *text, popoto_value *out) {
    char *end;
    uint64_t bits = USUAL_NAN;
    double number = strtod(text, &end);
    bool read = end != text && *end == '\0';
    if (strncmp(text, "nan:", 4) == 0) {
        bits = strtoull(text + 4, &end, 16);
        read = *end == '\0' && strlen(text) == 20;
    }
    if (isnan(number) || strncmp(text, "nan:", 4) == 0)
        memcpy(&number, &bits, sizeof number);
    *out = popoto_of_float(number);
    return read;
}

/* A string behind a tag. */
static bool tagged_word(const char *tag, const json_t *content, popoto_value *out) {
    const char *text = json_string_value(content);
    if (text == NULL)
        return false;
    size_t size = json_string_length(content);
    if (strcmp(tag, "$float") == 0)
        return float_of_word(text, out);
    if (strcmp(tag, "$text") == 0 || strcmp(tag, "$bytes") == 0) {
        popoto_text data;
        if (!base64_read(text, size, &data))
            return false;
        *out = tag[1] == 't' ? popoto_of_sized_text(data)
                             : popoto_of_bytes((popoto_bytes){ data.data, data.size });
        return true;
    }
    if (strcmp(tag, "$decimal") == 0) {
        *out = popoto_of_decimal((popoto_decimal){ keep_text(text, size).data });
        return true;
    }
    out->type = strcmp(tag, "$time") == 0    ? POPOTO_TIME
                : strcmp(tag, "$day") == 0   ? POPOTO_DAY
                : strcmp(tag, "$clock") == 0 ? POPOTO_CLOCK
                                             : POPOTO_NULL;
    return (out->type == POPOTO_TIME && time_read(text, &out->as.time)) ||
           (out->type == POPOTO_DAY && day_read(text, &out->as.day)) ||
           (out->type == POPOTO_CLOCK && clock_read(text, &out->as.clock));
}

static bool tagged_value(const json_t *object, popoto_value *out) {
    void *iterator = json_object_iter((json_t *)(uintptr_t)object);
    if (json_object_size(object) != 1)
        return false;
    const char *tag = json_object_iter_key(iterator);
    const json_t *content = json_object_iter_value(iterator);
    if (tag[0] != '$')
        return false;
    if (!json_is_array(content))
        return tagged_word(tag, content, out);
    if (strcmp(tag, "$map") == 0)
        *out = map_of_pairs(content);
    else if (strcmp(tag, "$tuple") == 0 || strcmp(tag, "$set") == 0)
        *out = items_of_array(tag[1] == 't' ? POPOTO_TUPLE : POPOTO_SET, content);
    else
        return false;
    return true;
}

static popoto_value map_of_object(const json_t *object) {
    popoto_value *items = keep((2 * json_object_size(object) + 1) * sizeof *items);
    size_t count = 0;
    json_t *mutable = (json_t *)(uintptr_t)object;
    for (void *at = json_object_iter(mutable); at != NULL;
         at = json_object_iter_next(mutable, at)) {
        const char *key = json_object_iter_key(at);
        items[count++] = popoto_of_sized_text(keep_text(key, strlen(key)));
        items[count++] = value_of_json(json_object_iter_value(at));
    }
    return popoto_of_items(POPOTO_MAP, items, count);
}

popoto_value value_of_json(const json_t *json) {
    popoto_value value = { .type = POPOTO_NULL };
    switch (json_typeof(json)) {
    case JSON_TRUE:
    case JSON_FALSE: return popoto_of_bool(json_is_true(json));
    case JSON_INTEGER: return popoto_of_int(json_integer_value(json));
    case JSON_REAL: return popoto_of_float(json_real_value(json));
    case JSON_STRING:
        return popoto_of_sized_text(keep_text(json_string_value(json), json_string_length(json)));
    case JSON_ARRAY: return items_of_array(POPOTO_LIST, json);
    case JSON_OBJECT: return tagged_value(json, &value) ? value : map_of_object(json);
    case JSON_NULL: break;
    }
    return value;
}

/* ----- Printing ------------------------------------------------------------------------------- */

/* The fewest digits that are exact: 15 read better, 17 always do. */
static char *dumped(const json_t *document, size_t flags) {
    static const int places[] = { 15, 16, 17 };
    for (size_t i = 0; i < 3; i++) {
        char *text = json_dumps(document, flags | JSON_REAL_PRECISION((size_t)places[i]));
        if (text == NULL)
            break;
        json_t *again = i < 2 ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
        bool exact = i == 2 || json_equal(document, again);
        json_decref(again);
        if (exact)
            return text;
        free(text);
    }
    complain("there is no memory for the output");
    exit(1);
}

static void print_one(json_t *document, size_t flags) {
    char *text = dumped(document, flags | JSON_ENCODE_ANY);
    json_decref(document);
    fputs(text, stdout);
    free(text);
}

void json_print(json_t *document) {
    print_one(document, JSON_INDENT(2));
    putchar('\n');
}

void json_print_piece(json_t *document, bool first) {
    fputs(first ? "\n  " : ",\n  ", stdout);
    print_one(document, 0);
}
