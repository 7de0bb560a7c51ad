/* codec - the half of codec.h that is MessagePack: values and confidence entries to bytes and back.
 * The other half, text and scores, is in codec_text.c. The format itself is msgpack-c's; what is here
 * builds values in an arena and knows Popoto's tagged maps. Never trusts a byte of what it reads. */
#include "codec.h"

#include "decimal.h"
#include "moment.h"
#include "utf8.h"

#include <math.h>
#include <msgpack/pack.h>
#include <msgpack/unpack.h>
#include <string.h>

const char CODEC_NO_MEMORY[] = "out of memory";

static const char NOT_UTF8[] = "its text is not valid UTF-8";
static const char TOO_DEEP[] = "more than 32 lists and maps are one inside the other";
static const char TOO_LARGE[] = "it is larger than 4 GiB";
static const char ABOVE_INT[] = "it is an integer above 9223372036854775807";
static const char KEY_NO_SCALAR[] = "a key in a map must be null, a bool, a number, text or bytes";

/* Popoto's tags, the key of a map of two entries: {"__date__": true, "as_encodable": "20200102"}. */
typedef struct tag {
    popoto_type type;
    size_t size;
    const char *name;
} tag;

#define TAG(type, name) \
    { type, sizeof(name) - 1, name }
static const tag tags[] = {
    TAG(POPOTO_TIME, "__datetime__"), TAG(POPOTO_DAY, "__date__"),
    TAG(POPOTO_CLOCK, "__time__"),    TAG(POPOTO_DECIMAL, "__Decimal__"),
    TAG(POPOTO_TUPLE, "__tuple__"),   TAG(POPOTO_SET, "__set__"),
};
#define TAG_COUNT (sizeof(tags) / sizeof(tags[0]))
static const char ENCODED[] = "as_encodable";

static bool is_map_key(popoto_type type) {
    return type <= POPOTO_BYTES;
}

/* ----- writing -------------------------------------------------------------------------------- */

/* The packer is told that all is well even if there is no memory: the buffer remembers. */
static int append_packed(void *out, const char *data, size_t size) {
    popoto__buffer_append(out, data, size);
    return 0;
}

typedef struct writer {
    msgpack_packer packer;
    buffer *out;
    const char *why;
} writer;

static bool write_value(writer *it, const popoto_value *value, int depth);

static bool refuse(writer *it, const char *why) {
    it->why = why;
    return false;
}

/* `width` bytes of a number, the highest first. */
static char *put_bytes(char *out, uint64_t bits, size_t width) {
    while (width-- > 0)
        *out++ = (char)(bits >> (8 * width) & 0xFF);
    return out;
}

static void put_integer(char *out, int64_t value) {
    static const unsigned char first[2][9] = {
        { [1] = 0xcc, [2] = 0xcd, [4] = 0xce, [8] = 0xcf }, /* unsigned */
        { [1] = 0xd0, [2] = 0xd1, [4] = 0xd2, [8] = 0xd3 }, /* signed */
    };
    uint64_t bits = (uint64_t)value;
    size_t width = popoto__codec_integer_width(value);
    *out = (char)(width == 0 ? bits & 0xFF : first[value < 0][width]);
    put_bytes(out + 1, bits, width);
}

/* As above, at once. */
static void put_float(char *out, uint64_t bits) {
    const char bytes[] = {
        (char)0xcb,         (char)(bits >> 56), (char)(bits >> 48),
        (char)(bits >> 40), (char)(bits >> 32), (char)(bits >> 24),
        (char)(bits >> 16), (char)(bits >> 8),  (char)bits,
    };
    memcpy(out, bytes, sizeof bytes);
}

static bool put_text(char *out, popoto_text text) {
    static const unsigned char first[] = { [1] = 0xd9, [2] = 0xda, [4] = 0xdb };
    size_t width = popoto__codec_text_width(text.size);
    *out++ = (char)(width == 0 ? 0xa0 | (unsigned)text.size : first[width]);
    if (width == 1)
        *out++ = (char)text.size;
    else if (width > 1)
        out = put_bytes(out, text.size, width);
    memcpy(out, text.data, text.size);
    return popoto__utf8_valid(text.data, text.size);
}

bool popoto__codec_write_scalar(char *out, const popoto_value *value) {
    uint64_t bits;
    switch (value->type) {
    case POPOTO_NULL: *out = (char)0xc0; return true;
    case POPOTO_BOOL: *out = (char)(value->as.boolean ? 0xc3 : 0xc2); return true;
    case POPOTO_INT: put_integer(out, value->as.integer); return true;
    case POPOTO_FLOAT:
        memcpy(&bits, &value->as.real, sizeof bits);
        put_float(out, bits);
        return true;
    default: return put_text(out, value->as.text);
    }
}

/* Why not, where not. */
static bool write_scalar(writer *it, const popoto_value *value) {
    size_t size = popoto__codec_scalar_size(value), before = it->out->size;
    if (size == 0)
        return refuse(it, TOO_LARGE);
    char *at = popoto__buffer_grow(it->out, size);
    if (at == NULL || popoto__codec_write_scalar(at, value))
        return true;
    it->out->size = before;
    return refuse(it, NOT_UTF8);
}

static bool write_bytes(writer *it, popoto_bytes bytes) {
    if (bytes.size > UINT32_MAX)
        return refuse(it, TOO_LARGE);
    msgpack_pack_bin(&it->packer, bytes.size);
    popoto__buffer_append(it->out, bytes.data, bytes.size);
    return true;
}

static void write_literal(writer *it, const char *text, size_t size) {
    msgpack_pack_str(&it->packer, size);
    popoto__buffer_append(it->out, text, size);
}

/* {"__date__": true, "as_encodable": ... and the rest is the caller's. */
static void begin_tagged(writer *it, popoto_type type) {
    const tag *found = tags;
    while (found->type != type)
        found++;
    msgpack_pack_map(&it->packer, 2);
    write_literal(it, found->name, found->size);
    msgpack_pack_true(&it->packer);
    write_literal(it, ENCODED, sizeof(ENCODED) - 1);
}

static bool write_decimal(writer *it, popoto_text text) {
    decimal number;
    if (!popoto__decimal_read(&number, text.data, text.size, &it->why))
        return false;
    /* The size stands before the text, and is only known from it: printed once to be measured. */
    size_t start = it->out->size;
    popoto__decimal_append(it->out, &number);
    size_t size = it->out->size - start;
    it->out->size = start;
    if (size > UINT32_MAX)
        return refuse(it, TOO_LARGE);
    begin_tagged(it, POPOTO_DECIMAL);
    msgpack_pack_str(&it->packer, size);
    popoto__decimal_append(it->out, &number);
    return true;
}

static bool write_moment(writer *it, const popoto_value *value) {
    char text[MOMENT_TEXT_SIZE];
    size_t size = value->type == POPOTO_DAY ? popoto__moment_day_digits(value->as.day, text)
                                            : popoto__moment_text(value, text);
    if (size == 0)
        return refuse(it, value->type == POPOTO_DAY     ? "there is no such day"
                          : value->type == POPOTO_CLOCK ? "there is no such time of day"
                                                        : "it is outside of the years 1 to 9999, "
                                                          "or its offset is a day or more");
    begin_tagged(it, value->type);
    write_literal(it, text, size);
    return true;
}

static bool write_items(writer *it, const popoto_value *value, int depth) {
    popoto_items list = value->as.list;
    bool is_map = value->type == POPOTO_MAP;
    if (list.count > UINT32_MAX)
        return refuse(it, TOO_LARGE);
    if (list.items == NULL && list.count > 0)
        return refuse(it, "its items are missing");
    if (is_map && list.count % 2 != 0)
        return refuse(it, "a map must have a value for every key");
    if (value->type == POPOTO_TUPLE || value->type == POPOTO_SET) {
        if (depth++ >= VALUE_MAX_DEPTH)
            return refuse(it, TOO_DEEP);
        begin_tagged(it, value->type);
    }
    if (depth++ >= VALUE_MAX_DEPTH)
        return refuse(it, TOO_DEEP);
    if (is_map)
        msgpack_pack_map(&it->packer, list.count / 2);
    else
        msgpack_pack_array(&it->packer, list.count);
    for (size_t i = 0; i < list.count; i++) {
        if (is_map && i % 2 == 0 && !is_map_key(list.items[i].type))
            return refuse(it, KEY_NO_SCALAR);
        if (!write_value(it, &list.items[i], depth))
            return false;
    }
    return true;
}

static bool write_value(writer *it, const popoto_value *value, int depth) {
    switch (value->type) {
    case POPOTO_NULL:
    case POPOTO_BOOL:
    case POPOTO_INT:
    case POPOTO_FLOAT: return write_scalar(it, value);
    case POPOTO_BYTES:
        if (value->as.bytes.data == NULL)
            break;
        return write_bytes(it, value->as.bytes);
    case POPOTO_TEXT:
    case POPOTO_DECIMAL:
        if (value->as.text.data == NULL)
            break;
        if (value->type == POPOTO_TEXT)
            return write_scalar(it, value);
        return depth < VALUE_MAX_DEPTH ? write_decimal(it, value->as.text) : refuse(it, TOO_DEEP);
    case POPOTO_DAY:
        if (value->as.day.year == 0 && value->as.day.month == 0 && value->as.day.day == 0)
            break;
        return depth < VALUE_MAX_DEPTH ? write_moment(it, value) : refuse(it, TOO_DEEP);
    case POPOTO_TIME:
    case POPOTO_CLOCK:
        return depth < VALUE_MAX_DEPTH ? write_moment(it, value) : refuse(it, TOO_DEEP);
    case POPOTO_LIST:
    case POPOTO_TUPLE:
    case POPOTO_SET:
    case POPOTO_MAP: return write_items(it, value, depth);
    case POPOTO_ANY: return refuse(it, ABOVE_INT);
    default: return refuse(it, "it is of no type that can be stored");
    }
    msgpack_pack_nil(
        &it->packer); /* a type's own null: text, bytes, decimals without data; no day */
    return true;
}

bool popoto__codec_write(buffer *out, const popoto_value *value, const char **why) {
    writer it = { .out = out };
    size_t start = out->size;
    msgpack_packer_init(&it.packer, out, append_packed);
    if (write_value(&it, value, 0))
        return true;
    out->size = start; /* nothing half-written is left */
    *why = it.why;
    return false;
}

/* ----- reading -------------------------------------------------------------------------------- */

/* msgpack-c's unpacker is a template: it walks the bytes with a stack of its own, of bounded depth
 * and without malloc, and calls the functions below with what it finds. They build the value. */

typedef struct read_state {
    arena *memory;
    const char *end;   /* of all the data */
    size_t items_left; /* how many items may still come: each takes a byte at least */
    const char *why;   /* why a function below refused */
} read_state;

/* A value being built; of a list or map, `total` is how many items it will have once complete. */
typedef struct read_object {
    popoto_value value;
    size_t total;
} read_object;

static int refuse_read(read_state *state, const char *why) {
    state->why = why;
    return -1;
}

static inline read_object template_callback_root(read_state *state) {
    (void)state;
    return (read_object){ { POPOTO_NULL, { 0 } }, 0 };
}

static inline int template_callback_nil(read_state *state, read_object *object) {
    (void)state;
    object->value = (popoto_value){ POPOTO_NULL, { 0 } };
    return 0;
}

static inline int template_callback_true(read_state *state, read_object *object) {
    (void)state;
    object->value = popoto_of_bool(true);
    return 0;
}

static inline int template_callback_false(read_state *state, read_object *object) {
    (void)state;
    object->value = popoto_of_bool(false);
    return 0;
}

#define READ_INTEGER(name, type)                                               \
    static inline int template_callback_##name(read_state *state, type number, \
                                               read_object *object) {          \
        (void)state;                                                           \
        object->value = popoto_of_int(number);                                 \
        return 0;                                                              \
    }
READ_INTEGER(int8, int8_t)
READ_INTEGER(int16, int16_t)
READ_INTEGER(int32, int32_t)
READ_INTEGER(int64, int64_t)
READ_INTEGER(uint8, uint8_t)
READ_INTEGER(uint16, uint16_t)
READ_INTEGER(uint32, uint32_t)

static inline int template_callback_uint64(read_state *state, uint64_t number,
                                           read_object *object) {
    if (number > INT64_MAX)
        return refuse_read(state, ABOVE_INT);
    object->value = popoto_of_int((int64_t)number);
    return 0;
}

static inline int template_callback_double(read_state *state, double number, read_object *object) {
    (void)state;
    object->value = popoto_of_float(number);
    return 0;
}

static inline int template_callback_float(read_state *state, float number, read_object *object) {
    return template_callback_double(state, (double)number, object);
}

/* `data` means nothing, and may be NULL, where size is 0. */
static inline int template_callback_str(read_state *state, const char *start, const char *data,
                                        unsigned int size, read_object *object) {
    (void)start;
    if (!popoto__utf8_valid(data, size))
        return refuse_read(state, NOT_UTF8);
    object->value = popoto_of_sized_text((popoto_text){ size > 0 ? data : "", size });
    return 0;
}

static inline int template_callback_bin(read_state *state, const char *start, const char *data,
                                        unsigned int size, read_object *object) {
    (void)state;
    (void)start;
    object->value = popoto_of_bytes((popoto_bytes){ size > 0 ? data : "", size });
    return 0;
}

static inline int template_callback_ext(read_state *state, const char *start, const char *data,
                                        unsigned int size, read_object *object) {
    (void)start;
    (void)data;
    (void)size;
    (void)object;
    return refuse_read(state, "it is a MessagePack extension, which Popoto does not write");
}

/* A list or map begins. All the items of all of them together cannot be more than there are bytes, so
 * a few bytes that announce four billion items are refused before anything is allocated. */
static int begin_items(read_state *state, popoto_type type, size_t total, read_object *object) {
    if (total > state->items_left)
        return refuse_read(state, "it announces more items than it has bytes");
    state->items_left -= total;
    popoto_value *items = NULL;
    if (total > 0) {
        items = popoto__arena_allocate(state->memory, total * sizeof(popoto_value));
        if (items == NULL)
            return refuse_read(state, CODEC_NO_MEMORY);
    }
    object->value = popoto_of_items(type, items, 0);
    object->total = total;
    return 0;
}

static inline int template_callback_array(read_state *state, size_t count, read_object *object) {
    return begin_items(state, POPOTO_LIST, count, object);
}

static inline int template_callback_map(read_state *state, size_t count, read_object *object) {
    if (count > SIZE_MAX / 2)
        return refuse_read(state, CODEC_NO_MEMORY);
    return begin_items(state, POPOTO_MAP, count * 2, object);
}

/* Text promises a NUL behind it. There is one where the data ends; elsewhere a copy gets one. */
static bool terminate(read_state *state, popoto_value *value) {
    popoto_text *text = &value->as.text;
    if (value->type != POPOTO_TEXT || text->size == 0 || text->data + text->size == state->end)
        return true;
    text->data = popoto__arena_copy(state->memory, text->data, text->size);
    return text->data != NULL;
}

static inline int template_callback_array_item(read_state *state, read_object *list,
                                               read_object item) {
    if (!terminate(state, &item.value))
        return refuse_read(state, CODEC_NO_MEMORY);
    list->value.as.list.items[list->value.as.list.count++] = item.value;
    return 0;
}

static bool is_text(const popoto_value *value, const char *text, size_t size) {
    return value->type == POPOTO_TEXT && value->as.text.size == size &&
           memcmp(value->as.text.data, text, size) == 0;
}

/* The tag of a map that is a tagged one to the letter; NULL for every other map, however alike. */
static const tag *tag_of(popoto_items map, const popoto_value **encoded) {
    if (map.count != 4)
        return NULL;
    /* Popoto writes the tag first, but a dict that was read and written again need not keep it so. */
    size_t first = is_text(&map.items[0], ENCODED, sizeof(ENCODED) - 1) ? 2 : 0;
    const popoto_value *name = &map.items[first];
    if (name->type != POPOTO_TEXT ||
        !is_text(&map.items[2 - first], ENCODED, sizeof(ENCODED) - 1) ||
        name[1].type != POPOTO_BOOL || !name[1].as.boolean)
        return NULL;
    *encoded = &map.items[3 - first];
    for (size_t i = 0; i < TAG_COUNT; i++) {
        bool holds_list = tags[i].type == POPOTO_TUPLE || tags[i].type == POPOTO_SET;
        if (is_text(name, tags[i].name, tags[i].size))
            return (*encoded)->type == (holds_list ? POPOTO_LIST : POPOTO_TEXT) ? &tags[i] : NULL;
    }
    return NULL;
}

/* Turn a tagged map into what it stands for. */
static int untag(read_state *state, popoto_type type, const popoto_value *encoded,
                 popoto_value *value) {
    popoto_value result = *encoded;
    popoto_text text = encoded->as.text;
    bool read = true;
    decimal number;
    result.type = type;
    switch (type) {
    case POPOTO_TIME:
        read = popoto__moment_read_time(text.data, text.size, &result.as.time, &state->why);
        break;
    case POPOTO_DAY:
        read = popoto__moment_read_day(text.data, text.size, &result.as.day, &state->why);
        break;
    case POPOTO_CLOCK:
        read = popoto__moment_read_clock(text.data, text.size, &result.as.clock, &state->why);
        break;
    case POPOTO_DECIMAL:
        read = popoto__decimal_read(&number, text.data, text.size, &state->why);
        result.type = POPOTO_TEXT;
        if (read && !terminate(state, &result))
            return refuse_read(state, CODEC_NO_MEMORY);
        result.type = POPOTO_DECIMAL;
        break;
    default: break; /* a tuple or a set is its list under another name */
    }
    *value = result;
    return read ? 0 : -1;
}

static inline int template_callback_map_item(read_state *state, read_object *map, read_object key,
                                             read_object value) {
    if (!is_map_key(key.value.type))
        return refuse_read(state, KEY_NO_SCALAR);
    popoto_items *list = &map->value.as.list;
    list->items[list->count++] = key.value;
    list->items[list->count++] = value.value;
    if (list->count < map->total)
        return 0;
    const popoto_value *encoded;
    const tag *found = tag_of(*list, &encoded);
    if (found != NULL)
        return untag(state, found->type, encoded, &map->value);
    for (size_t i = 0; i < list->count; i++)
        if (!terminate(state, &list->items[i]))
            return refuse_read(state, CODEC_NO_MEMORY);
    return 0;
}

#define MSGPACK_EMBED_STACK_SIZE        VALUE_MAX_DEPTH
#define msgpack_unpack_struct(name)     struct template##name
#define msgpack_unpack_func(type, name) static inline type template_func##name
#define msgpack_unpack_callback(name)   template_callback##name
#define msgpack_unpack_object           read_object
#define msgpack_unpack_user             read_state
#include <msgpack/unpack_define.h>
#include <msgpack/unpack_template.h>

/* Most fields are short scalars, and every field of every row comes through here: these are told by
 * their first byte, several times as fast as the template sets itself up. Only what is right to the
 * last byte is taken; everything else, and every reason why not, is the template's. */

/* (Members are set one by one: a value that is put together and copied as a whole costs as much as all the
 * rest, since what was just written in parts cannot be read at once.) */

static bool read_common_byte(unsigned char byte, popoto_value *value) {
    switch (byte) {
    case 0xc0: *value = (popoto_value){ POPOTO_NULL, { 0 } }; return true;
    case 0xc2: *value = popoto_of_bool(false); return true;
    case 0xc3: *value = popoto_of_bool(true); return true;
    default: break;
    }
    value->type = POPOTO_INT;
    value->as.integer = byte < 0x80 ? byte : byte - 256;
    return byte < 0x80 || byte >= 0xe0;
}

/* A float64 (cb), unsigned (cc to cf) or signed (d0 to d3) integer of `width` bytes. */
static bool read_common_number(const unsigned char *data, size_t width, popoto_value *value) {
    unsigned char first = data[0];
    uint64_t bits = 0;
    for (size_t i = 1; i <= width; i++)
        bits = bits << 8 | data[i];
    if (first == 0xcb && width == 8) {
        value->type = POPOTO_FLOAT;
        memcpy(&value->as.real, &bits, sizeof(bits));
        return true;
    }
    value->type = POPOTO_INT;
    if (first >= 0xcc && first <= 0xcf && width == (size_t)1 << (first - 0xcc)) {
        value->as.integer = (int64_t)(bits & INT64_MAX);
        return bits <= INT64_MAX;
    }
    if (first < 0xd0 || first > 0xd3 || width != (size_t)1 << (first - 0xd0))
        return false;
    /* Two's complement: what is above half of the range stands for itself less the whole range. */
    uint64_t sign = UINT64_C(1) << (width * 8 - 1);
    value->as.integer =
        bits & sign ? -(int64_t)(sign - 1 - (bits & (sign - 1))) - 1 : (int64_t)bits;
    return true;
}

static bool read_common_text(const unsigned char *data, size_t size, popoto_value *value) {
    size_t head = data[0] == 0xd9 ? 2 : 1;
    size_t length = data[0] == 0xd9 ? data[1] : data[0] & 0x1f;
    const char *text = (const char *)data + head;
    value->type = POPOTO_TEXT;
    value->as.text.data = text;
    value->as.text.size = length;
    return size == head + length && popoto__utf8_valid(text, length);
}

bool popoto__codec_read_short(const char *data, size_t size, popoto_value *value) {
    const unsigned char *bytes = (const unsigned char *)data;
    if (size == 1)
        return read_common_byte(bytes[0], value);
    if (size > 1 && ((bytes[0] & 0xe0) == 0xa0 || bytes[0] == 0xd9))
        return read_common_text(bytes, size, value);
    return size > 1 && size <= 9 && read_common_number(bytes, size - 1, value);
}

bool popoto__codec_read(arena *memory, const char *data, size_t size, popoto_value *value,
                        const char **why) {
    if (popoto__codec_read_short(data, size, value))
        return true;
    struct template_context context;
    context.user = (read_state){ memory, data + size, size, NULL };
    template_func_init(&context);
    size_t offset = 0;
    int result = template_func_execute(&context, data, size, &offset);
    *value = (popoto_value){ POPOTO_NULL, { 0 } };
    if (result > 0 && offset == size) {
        *value = context.stack[0].obj.value;
        return true;
    }
    if (result > 0)
        *why = "what is stored is no single MessagePack value: bytes follow after its end";
    else if (result == 0)
        *why = size == 0 ? "it is empty" : "it is cut short";
    else if (context.user.why != NULL)
        *why = context.user.why;
    else
        *why = result == MSGPACK_UNPACK_NOMEM_ERROR ? TOO_DEEP : "it is no MessagePack";
    return false;
}

/* ----- confidence ----------------------------------------------------------------------------- */

#define FIGURE_COUNT 4
static const char *const figure_names[FIGURE_COUNT] = { "confidence", "evidence_count",
                                                        "corroborations", "contradictions" };

void popoto__codec_write_confidence(buffer *out, const popoto_confidence *figures) {
    writer it = { .out = out };
    const int64_t counts[FIGURE_COUNT] = { 0, figures->evidence_count, figures->corroborations,
                                           figures->contradictions };
    msgpack_packer_init(&it.packer, out, append_packed);
    msgpack_pack_map(&it.packer, FIGURE_COUNT);
    for (size_t i = 0; i < FIGURE_COUNT; i++) {
        write_literal(&it, figure_names[i], strlen(figure_names[i]));
        if (i == 0)
            msgpack_pack_double(&it.packer, figures->confidence);
        else
            msgpack_pack_int64(&it.packer, counts[i]);
    }
}

/* Figure `index` from a value: the Lua of Popoto writes floats that are whole numbers as ints. */
static bool set_figure(popoto_confidence *figures, size_t index, const popoto_value *value) {
    int64_t *const counts[FIGURE_COUNT] = { NULL, &figures->evidence_count,
                                            &figures->corroborations, &figures->contradictions };
    if (value->type == POPOTO_NULL)
        return true; /* as good as missing */
    if (value->type == POPOTO_INT) {
        if (index == 0)
            figures->confidence = (double)value->as.integer;
        else
            *counts[index] = value->as.integer;
        return true;
    }
    if (value->type != POPOTO_FLOAT || !isfinite(value->as.real))
        return false;
    if (index == 0) {
        figures->confidence = value->as.real;
        return true;
    }
    if (value->as.real < -9223372036854775808.0 || value->as.real >= 9223372036854775808.0)
        return false;
    *counts[index] = (int64_t)value->as.real;
    return true;
}

static bool set_named_figures(popoto_confidence *figures, popoto_items map) {
    for (size_t i = 0; i < map.count; i += 2)
        for (size_t name = 0; name < FIGURE_COUNT; name++)
            if (is_text(&map.items[i], figure_names[name], strlen(figure_names[name])) &&
                !set_figure(figures, name, &map.items[i + 1]))
                return false;
    return true;
}

/* An allocator with nothing to give. */
static void *resize_nothing(void *context, void *block, size_t size) {
    (void)context;
    (void)block;
    (void)size;
    return NULL;
}

bool popoto__codec_read_confidence(const char *data, size_t size, double initial_confidence,
                                   popoto_confidence *figures) {
    /* An entry is small: its items and names fit into a room on the stack, and what does not fit is no
     * entry. So this needs no memory and cannot run out of it. */
    _Alignas(max_align_t) char room[2048];
    const popoto_allocator nothing = { resize_nothing, NULL };
    arena scratch = { .allocator = &nothing, .next = room, .end = room + sizeof(room) };
    popoto_value entry;
    const char *why;
    *figures = (popoto_confidence){ .confidence = initial_confidence };
    popoto_confidence read = *figures;
    if (!popoto__codec_read(&scratch, data, size, &entry, &why))
        return false;
    if (entry.type == POPOTO_MAP) {
        if (!set_named_figures(&read, entry.as.list))
            return false;
    } else if (entry.type == POPOTO_LIST && entry.as.list.count <= FIGURE_COUNT) {
        for (size_t i = 0; i < entry.as.list.count; i++)
            if (!set_figure(&read, i, &entry.as.list.items[i]))
                return false;
    } else {
        return false;
    }
    *figures = read;
    return true;
}
