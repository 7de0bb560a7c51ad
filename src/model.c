#include "model.h"

#include <stdio.h>
#include <string.h>

/* ----- The dialects: everything in which they differ is a column here ------------------------- */

typedef struct dialect {
    const char *escapes;       /* characters that a key's segment prefixes with / */
    const char *class_prefix;  /* the set of all instances */
    const char *key_prefix;    /* the set of instances with one value of a KEY */
    const char *unique_prefix; /* the same of a UNIQUE_KEY, at most one member */
    const char *sorted_prefix; /* the sorted set of a SORTED field (of one partition) */
    const char *confidence_prefix;
    const char *confidence_suffix;
    bool raw_confidence_partition; /* its values end the key as they are, not escaped */
    bool keys_by_name;             /* a record's key has its fields in alphabetical order */
    const char *null_segment;      /* a KEY that is null stands so in keys; NULL: none can be */
} dialect;

static const dialect dialects[] = {
    [POPOTO_DOCUMENTED] =
        {
            .escapes = KEY_ESCAPES_DOCUMENTED,
            .class_prefix = "$Class",
            .key_prefix = "$KeyF",
            .unique_prefix = "$UniqueKeyF",
            .sorted_prefix = "$SortedF",
            .confidence_prefix = "$ConfidencF",
            .confidence_suffix = ":data",
        },
    [POPOTO_AS_POPOTO] =
        {
            .escapes = KEY_ESCAPES_POPOTO,
            .class_prefix = "$Class",
            .key_prefix = "$KeyF",
            .unique_prefix = "$UniqueKeyF",
            .sorted_prefix = "$SortF",
            .confidence_prefix = "$ConfidencF",
            .confidence_suffix = ":data",
            .raw_confidence_partition = true,
            .keys_by_name = true,
            .null_segment = "None",
        },
};

bool popoto__model_has_dialect(popoto_dialect which) {
    return (size_t)which < sizeof dialects / sizeof dialects[0];
}

/* ----- What each kind of field and each kind of member can be --------------------------------- */

#define TYPES(...) (POPOTO__TYPE_BITS(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0, 0))
#define POPOTO__TYPE_BITS(a, b, c, d, e, f, g, h, ...) \
    (1U << (a) | 1U << (b) | 1U << (c) | 1U << (d) | 1U << (e) | 1U << (f) | 1U << (g) | 1U << (h))

typedef struct kind_rules {
    const char *word;    /* as the macros name it */
    unsigned types;      /* allowed, as bits */
    const char *allowed; /* the same in words */
    bool is_key;
    bool partitions; /* partition_by makes sense */
} kind_rules;

static const kind_rules kinds[] = {
    [POPOTO_KIND_FIELD] = { .word = "a FIELD", .types = ~0U, .allowed = "anything" },
    [POPOTO_KIND_KEY] = { .word = "a KEY",
                          .types = TYPES(POPOTO_TEXT, POPOTO_BYTES, POPOTO_INT, POPOTO_FLOAT,
                                         POPOTO_BOOL, POPOTO_TIME, POPOTO_DAY, POPOTO_DECIMAL),
                          .allowed = "text, bytes, a number, a bool, a moment or a day",
                          .is_key = true },
    [POPOTO_KIND_AUTO_KEY] = { .word = "an AUTO_KEY",
                               .types = TYPES(POPOTO_TEXT),
                               .allowed = "a popoto_id, or a char array of at least 33",
                               .is_key = true },
    [POPOTO_KIND_UNIQUE_KEY] = { .word = "a UNIQUE_KEY",
                                 .types =
                                     TYPES(POPOTO_TEXT, POPOTO_BYTES, POPOTO_INT, POPOTO_FLOAT,
                                           POPOTO_BOOL, POPOTO_TIME, POPOTO_DAY, POPOTO_DECIMAL),
                                 .allowed = "text, bytes, a number, a bool, a moment or a day",
                                 .is_key = true },
    [POPOTO_KIND_SORTED] = { .word = "a SORTED field",
                             .types = TYPES(POPOTO_INT, POPOTO_FLOAT, POPOTO_DECIMAL, POPOTO_TIME,
                                            POPOTO_DAY),
                             .allowed = "a number, a moment or a day",
                             .partitions = true },
    [POPOTO_KIND_CONFIDENCE] = { .word = "a CONFIDENCE field",
                                 .types = TYPES(POPOTO_FLOAT),
                                 .allowed = "a double",
                                 .partitions = true },
    [POPOTO_KIND_TENANT] = { .word = "a TENANT",
                             .types = TYPES(POPOTO_TEXT, POPOTO_BYTES, POPOTO_INT),
                             .allowed = "text, bytes or an integer",
                             .is_key = true },
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

typedef struct member_rules {
    const char *word;
    popoto_type type;
    bool has_null; /* can hold null */
} member_rules;

static const member_rules members[] = {
    [POPOTO_MEMBER_NONE] = { "a record's value", POPOTO_NULL, true },
    [POPOTO_MEMBER_STRING] = { "const char *", POPOTO_TEXT, true },
    [POPOTO_MEMBER_ARRAY] = { "a char array", POPOTO_TEXT, false },
    [POPOTO_MEMBER_TEXT] = { "popoto_text", POPOTO_TEXT, true },
    [POPOTO_MEMBER_BOOL] = { "bool", POPOTO_BOOL, false },
    [POPOTO_MEMBER_SIGNED] = { "a signed integer", POPOTO_INT, false },
    [POPOTO_MEMBER_UNSIGNED] = { "an unsigned integer", POPOTO_INT, false },
    [POPOTO_MEMBER_FLOAT] = { "a double", POPOTO_FLOAT, false },
    [POPOTO_MEMBER_BYTES] = { "popoto_bytes", POPOTO_BYTES, true },
    [POPOTO_MEMBER_TIME] = { "popoto_time", POPOTO_TIME, false },
    [POPOTO_MEMBER_DAY] = { "popoto_day", POPOTO_DAY, true },
    [POPOTO_MEMBER_CLOCK] = { "popoto_clock", POPOTO_CLOCK, false },
    [POPOTO_MEMBER_DECIMAL] = { "popoto_decimal", POPOTO_DECIMAL, true },
    [POPOTO_MEMBER_VALUE] = { "popoto_value", POPOTO_ANY, true },
    [POPOTO_MEMBER_ID] = { "popoto_id", POPOTO_TEXT, false },
    [POPOTO_MEMBER_BOOL_POINTER] = { "const bool *", POPOTO_BOOL, true },
    [POPOTO_MEMBER_INT_POINTER] = { "const int64_t *", POPOTO_INT, true },
    [POPOTO_MEMBER_FLOAT_POINTER] = { "const double *", POPOTO_FLOAT, true },
    [POPOTO_MEMBER_TIME_POINTER] = { "const popoto_time *", POPOTO_TIME, true },
};
#define MEMBER_COUNT (sizeof(members) / sizeof(members[0]))

/* ----- Compiling: checks ---------------------------------------------------------------------- */

static bool name_is_valid(const char *name, bool allows_double_underscore) {
    if (name == NULL || name[0] == '\0')
        return false;
    size_t size = strlen(name);
    if (size > MODEL_MAX_NAME || (!allows_double_underscore && strstr(name, "__") != NULL))
        return false;
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == size;
}

static popoto_status bad_field(const popoto_model *of, const popoto_field *it, failure *why,
                               const char *what) {
    shown room;
    return popoto__fail(why, POPOTO_BAD_MODEL, "%s.%s: %s", of->name,
                        it->name ? popoto__show(&room, it->name, strlen(it->name)) : "(no name)",
                        what);
}

static popoto_status check_model(const popoto_model *of, failure *why) {
    shown room;
    if (of->name == NULL || !name_is_valid(of->name, true))
        return popoto__fail(why, POPOTO_BAD_MODEL,
                            "a model cannot be named %s: a name has 1 to %d letters, digits and _",
                            popoto__show(&room, of->name, of->name ? strlen(of->name) : 0),
                            MODEL_MAX_NAME);
    if (of->fields == NULL || of->field_count == 0 || of->field_count > MODEL_MAX_FIELDS)
        return popoto__fail(why, POPOTO_BAD_MODEL, "%s has %zu fields; a model has 1 to %d",
                            of->name, of->fields ? of->field_count : 0, MODEL_MAX_FIELDS);
    if (of->reserved != 0)
        return popoto__fail(why, POPOTO_BAD_MODEL, "%s: .reserved must be 0", of->name);
    if (of->size != 0 &&
        (of->object_offset > of->size || of->size - of->object_offset < sizeof(popoto_object) ||
         of->object_offset % _Alignof(popoto_object) != 0))
        return popoto__fail(why, POPOTO_BAD_MODEL,
                            "%s: its struct has no room for a popoto_object at offset %zu",
                            of->name, of->object_offset);
    for (size_t i = 0; i < of->field_count; i++)
        if (kinds[of->fields[i].kind < KIND_COUNT ? of->fields[i].kind : 0].is_key)
            return POPOTO_OK;
    return popoto__fail(
        why, POPOTO_BAD_MODEL,
        "%s has no key: at least one field must be a KEY, an AUTO_KEY or a UNIQUE_KEY", of->name);
}

/* What the field's values are: its member's type, or for records and popoto_value members the declared
 * one. POPOTO_NULL where these contradict each other. */
static popoto_type field_type(const popoto_field *it) {
    popoto_type from_member = members[it->member].type;
    if (from_member == POPOTO_NULL || from_member == POPOTO_ANY)
        return it->type == POPOTO_NULL ? from_member : it->type;
    return it->type == POPOTO_NULL || it->type == from_member ? from_member : POPOTO_NULL;
}

static popoto_status check_member(const popoto_model *of, const popoto_field *it, failure *why) {
    if ((size_t)it->member >= MEMBER_COUNT || it->type > POPOTO_ANY)
        return bad_field(of, it, why, "unknown member or type");
    if (of->size == 0) {
        if (it->member != POPOTO_MEMBER_NONE)
            return bad_field(of, it, why, "a model of records (size 0) has no struct members");
        if (it->type == POPOTO_NULL)
            return bad_field(of, it, why, "a record's field needs a .type");
        return POPOTO_OK;
    }
    if (it->member == POPOTO_MEMBER_NONE)
        return bad_field(of, it, why,
                         "describe a struct's field with POPOTO_KEY, POPOTO_FIELD and their like");
    if (it->offset > of->size || it->size > of->size - it->offset)
        return bad_field(of, it, why, "lies outside the model's struct: is it another struct's?");
    if (field_type(it) == POPOTO_NULL)
        return bad_field(of, it, why, "its .type contradicts the type of its member");
    return POPOTO_OK;
}

static popoto_status check_options(const popoto_model *of, const popoto_field *it, popoto_type type,
                                   const dialect *how, failure *why) {
    const kind_rules *kind = &kinds[it->kind];
    bool is_text = type == POPOTO_TEXT || type == POPOTO_BYTES || type == POPOTO_ANY;
    if (it->reserved != 0)
        return bad_field(of, it, why, ".reserved must be 0");
    if (it->partition_by != NULL && !kind->partitions)
        return bad_field(of, it, why, "partition_by is for SORTED and CONFIDENCE fields");
    if (it->null && it->kind != POPOTO_KIND_FIELD &&
        !(it->kind == POPOTO_KIND_KEY && how->null_segment != NULL))
        return bad_field(of, it, why,
                         "only a FIELD can be null: a null has no place in a key or an order");
    if (it->null && !members[it->member].has_null)
        return popoto__fail(
            why, POPOTO_BAD_MODEL,
            "%s.%s: .null = true, but its member (%s) cannot hold null; a pointer to "
            "it can, or a popoto_value",
            of->name, it->name, members[it->member].word);
    if (it->default_value.type != POPOTO_NULL && it->kind != POPOTO_KIND_FIELD)
        return bad_field(of, it, why, "only a FIELD can have a default value");
    if (it->max_length != 0 && !is_text)
        return bad_field(of, it, why, ".max_length is for text and bytes");
    if (it->max_length > MODEL_MAX_LENGTH)
        return bad_field(of, it, why,
                         ".max_length is above 512 MiB, the longest that Redis stores");
    if (it->kind != POPOTO_KIND_CONFIDENCE &&
        (it->initial_confidence != 0 || it->evidence_cap != 0))
        return bad_field(of, it, why,
                         ".initial_confidence and .evidence_cap are for CONFIDENCE fields");
    if (it->initial_confidence != POPOTO_ZERO &&
        !(it->initial_confidence >= 0 && it->initial_confidence <= 1))
        return bad_field(of, it, why, ".initial_confidence must be between 0 and 1");
    if (it->evidence_cap < 0)
        return bad_field(of, it, why, ".evidence_cap must be at least 1");
    if (it->kind == POPOTO_KIND_AUTO_KEY && it->generate != POPOTO_UUID4 &&
        it->generate != POPOTO_ULID)
        return bad_field(of, it, why, ".generate must be POPOTO_UUID4 or POPOTO_ULID");
    if (it->kind == POPOTO_KIND_AUTO_KEY && it->max_length != 0 &&
        it->max_length < (it->generate == POPOTO_ULID ? 26 : 32))
        return bad_field(of, it, why, ".max_length is below the length of a generated key");
    if (it->kind != POPOTO_KIND_AUTO_KEY && it->generate != POPOTO_UUID4)
        return bad_field(of, it, why, ".generate is for AUTO_KEY fields");
    return POPOTO_OK;
}

static popoto_status check_field(const popoto_model *of, size_t index, const dialect *how,
                                 failure *why) {
    const popoto_field *it = &of->fields[index];
    if (!name_is_valid(it->name, false))
        return bad_field(of, it, why,
                         "a field's name has 1 to 128 letters, digits and _, and no __");
    for (size_t i = 0; i < index; i++)
        if (strcmp(of->fields[i].name, it->name) == 0)
            return bad_field(of, it, why, "two fields have this name");
    if ((size_t)it->kind >= KIND_COUNT)
        return bad_field(of, it, why, "unknown kind");
    popoto_status status = check_member(of, it, why);
    if (status != POPOTO_OK)
        return status;
    popoto_type type = field_type(it);
    if ((kinds[it->kind].types >> type & 1U) == 0)
        return popoto__fail(why, POPOTO_BAD_MODEL, "%s.%s: %s must be %s, not %s", of->name,
                            it->name, kinds[it->kind].word, kinds[it->kind].allowed,
                            popoto__type_name(type));
    if (it->kind == POPOTO_KIND_AUTO_KEY && of->size != 0 && it->member != POPOTO_MEMBER_ID &&
        !(it->member == POPOTO_MEMBER_ARRAY && it->size >= sizeof(popoto_id)))
        return bad_field(
            of, it, why,
            "an AUTO_KEY is generated into the struct: its member must be a popoto_id, or "
            "a char array of at least 33");
    if (it->member == POPOTO_MEMBER_ID && it->kind != POPOTO_KIND_AUTO_KEY)
        return bad_field(of, it, why,
                         "a popoto_id is for AUTO_KEY; use const char * or a char array");
    return check_options(of, it, type, how, why);
}

/* ----- Compiling: building -------------------------------------------------------------------- */

static popoto_text joined(arena *memory, const char *const *parts, size_t count) {
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += strlen(parts[i]);
    char *text = popoto__arena_bytes(memory, size + 1);
    if (text == NULL)
        return (popoto_text){ NULL, 0 };
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        size_t part = strlen(parts[i]);
        memcpy(at, parts[i], part);
        at += part;
    }
    *at = '\0';
    return (popoto_text){ text, size };
}

/* "$KeyF" and its like, by kind. */
static void set_kind_prefixes(const dialect *how, model *of) {
    const char *const words[] = {
        [POPOTO_KIND_KEY] = how->key_prefix,
        [POPOTO_KIND_UNIQUE_KEY] = how->unique_prefix,
        [POPOTO_KIND_SORTED] = how->sorted_prefix,
        [POPOTO_KIND_CONFIDENCE] = how->confidence_prefix,
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i] != NULL)
            of->kind_prefixes[i] = (popoto_text){ words[i], strlen(words[i]) };
}

popoto_text popoto__index_prefix(const model *of, popoto_kind kind) {
    return of->kind_prefixes[kind];
}

/* "$KeyF:Episode:project_id" and its like; empty for fields without an index. */
static bool set_prefix(const dialect *how, const model *of, field *it, arena *memory) {
    const char *kind = of->kind_prefixes[it->kind].data;
    const char *suffix = it->kind == POPOTO_KIND_CONFIDENCE ? how->confidence_suffix : "";
    if (kind == NULL)
        return true;
    it->places_index = it->is_key;
    it->prefix =
        joined(memory, (const char *[]){ kind, ":", of->name.data, ":", it->name, suffix }, 6);
    return it->prefix.data != NULL;
}

/* "exchange,symbol" -> the indexes of these fields. */
static popoto_status set_partition(model *of, field *it, arena *memory, failure *why) {
    const char *list = it->declared->partition_by;
    if (list == NULL)
        return POPOTO_OK;
    size_t *indexes = popoto__arena_allocate(memory, of->field_count * sizeof(size_t));
    if (indexes == NULL)
        return popoto__fail_memory(why);
    it->partition = indexes;
    bool named = false;
    size_t size;
    for (const char *name = popoto__list_next(&list, &size); size > 0;
         name = popoto__list_next(&list, &size)) {
        const field *by = popoto__model_field(of, name, size);
        shown room;
        if (by == NULL)
            return popoto__fail(why, POPOTO_BAD_MODEL,
                                "%s.%s: partition_by names %s, no field of %s", of->name.data,
                                it->name, popoto__show(&room, name, size), of->name.data);
        if (by == it)
            return bad_field(of->declared, it->declared, why, "it cannot partition itself");
        if ((kinds[POPOTO_KIND_KEY].types >> by->type & 1U) == 0 || by->declared->null)
            return popoto__fail(why, POPOTO_BAD_MODEL,
                                "%s.%s: partition_by names %s, which %s; a partition needs a value "
                                "that can stand in a key",
                                of->name.data, it->name, by->name,
                                by->declared->null ? "can be null" : "is of no such type");
        for (size_t i = 0; i < it->partition_count; i++)
            if (indexes[i] == by->index)
                return popoto__fail(why, POPOTO_BAD_MODEL, "%s.%s: partition_by names %s twice",
                                    of->name.data, it->name, by->name);
        named = true;
        if (by == of->tenant)
            continue; /* every key of a strict model is its tenant's already */
        indexes[it->partition_count++] = by->index;
        of->fields[by->index].is_partition = true;
        of->fields[by->index].places_index = true;
        of->moves = of->moves || !by->is_key;
    }
    if (!named)
        return bad_field(of->declared, it->declared, why,
                         "partition_by names no field; leave it out, or name one or more: \"a,b\"");
    return POPOTO_OK;
}

/* Whether the member has room for the value: the rules of writing it, of which only sizes matter here. */
static bool member_has_room(const popoto_field *declared, const popoto_value *value) {
    if (declared->member == POPOTO_MEMBER_NONE)
        return true; /* a record's value has room for any */
    unsigned bits = (unsigned)(declared->size < 8 ? declared->size * 8 : 64);
    int64_t high = bits == 64 ? INT64_MAX : ((int64_t)1 << (bits - 1)) - 1;
    if (value->type == POPOTO_TEXT && declared->member == POPOTO_MEMBER_ARRAY)
        return value->as.text.size < declared->size;
    if (value->type == POPOTO_INT && declared->member == POPOTO_MEMBER_SIGNED)
        return value->as.integer <= high && value->as.integer >= -high - 1;
    if (value->type == POPOTO_INT && declared->member == POPOTO_MEMBER_UNSIGNED)
        return value->as.integer >= 0 && (bits == 64 || value->as.integer <= 2 * high + 1);
    return true;
}

static popoto_status set_default(model *of, field *it, failure *why) {
    if (it->declared->default_value.type == POPOTO_NULL)
        return POPOTO_OK;
    failure inner;
    if (popoto__field_accept(of, it, &it->declared->default_value, &it->default_value, &inner) !=
        POPOTO_OK)
        return popoto__fail(why, POPOTO_BAD_MODEL, "the default value does not fit: %.400s",
                            inner.text);
    if (!member_has_room(it->declared, &it->default_value))
        return bad_field(of->declared, it->declared, why,
                         "the default value does not fit into its member");
    return POPOTO_OK;
}

/* What is the same for every record. False: no memory. */
static bool set_entry(field *it, arena *memory) {
    popoto_confidence initial = { .confidence = it->initial_confidence };
    buffer bytes;
    if (it->kind != POPOTO_KIND_CONFIDENCE)
        return true;
    popoto__buffer_init(&bytes, memory->allocator);
    popoto__codec_write_confidence(&bytes, &initial);
    if (!bytes.failed)
        it->entry = (popoto_text){ popoto__arena_copy(memory, bytes.data, bytes.size), bytes.size };
    popoto__buffer_free(&bytes);
    return it->entry.data != NULL;
}

static bool set_time_to_live(model *of, arena *memory) {
    char digits[24];
    snprintf(digits, sizeof digits, "%lu", (unsigned long)of->declared->time_to_live);
    if (of->declared->time_to_live != 0)
        of->time_to_live = joined(memory, (const char *[]){ digits }, 1);
    return of->time_to_live.data != NULL || of->declared->time_to_live == 0;
}

/* Give the key's fields their places, in the order in which they were declared or by name. */
static void place_keys(const model *of, size_t *keys, bool by_name) {
    for (size_t i = 1; by_name && i < of->key_count; i++) {
        size_t moved = keys[i], at = i;
        for (; at > 0 && strcmp(of->fields[keys[at - 1]].name, of->fields[moved].name) > 0; at--)
            keys[at] = keys[at - 1];
        keys[at] = moved;
    }
    for (size_t i = 0; i < of->key_count; i++)
        of->fields[keys[i]].key_position = i + (of->tenant != NULL ? 2 : 1);
}

static popoto_status compile_fields(model *of, const dialect *how, arena *memory, failure *why) {
    size_t *keys = popoto__arena_allocate(memory, of->field_count * sizeof(size_t));
    of->fields = popoto__arena_zeroed(memory, of->field_count, sizeof(field));
    if (keys == NULL || of->fields == NULL)
        return popoto__fail_memory(why);
    of->keys = keys;
    for (size_t i = 0; i < of->field_count; i++) {
        const popoto_field *declared = &of->declared->fields[i];
        popoto_status status = check_field(of->declared, i, how, why);
        if (status != POPOTO_OK)
            return status;
        double initial = declared->initial_confidence;
        field *it = &of->fields[i];
        *it = (field){
            .declared = declared,
            .name = declared->name,
            .name_size = strlen(declared->name),
            .index = i,
            .kind = declared->kind,
            .type = field_type(declared),
            .max_length = declared->max_length ? declared->max_length : MODEL_MAX_LENGTH,
            .is_key = kinds[declared->kind].is_key,
            .initial_confidence = initial == 0             ? 0.5
                                  : initial == POPOTO_ZERO ? 0
                                                           : initial,
            .evidence_cap = declared->evidence_cap ? declared->evidence_cap : 20,
        };
        if (it->kind == POPOTO_KIND_TENANT && of->tenant != NULL)
            return bad_field(of->declared, declared, why,
                             "a record has one tenant, and there is a TENANT already");
        it->places_index = it->kind == POPOTO_KIND_TENANT;
        if (it->kind == POPOTO_KIND_TENANT)
            of->tenant = it;
        else if (it->is_key)
            keys[of->key_count++] = i;
        it->raw_partition = it->kind == POPOTO_KIND_CONFIDENCE && how->raw_confidence_partition;
        of->raw_partitions = of->raw_partitions || it->raw_partition;
        of->has_auto_key = of->has_auto_key || it->kind == POPOTO_KIND_AUTO_KEY;
        of->has_unique_key = of->has_unique_key || it->kind == POPOTO_KIND_UNIQUE_KEY;
        char digits[24];
        snprintf(digits, sizeof digits, "%zu", it->name_size);
        it->argument = joined(memory, (const char *[]){ "$", digits, "\r\n", it->name, "\r\n" }, 5);
        if (it->argument.data == NULL || !set_prefix(how, of, it, memory) || !set_entry(it, memory))
            return popoto__fail_memory(why);
    }
    place_keys(of, keys, how->keys_by_name);
    for (size_t i = 0; i < of->field_count; i++) {
        popoto_status status = set_partition(of, &of->fields[i], memory, why);
        if (status == POPOTO_OK)
            status = set_default(of, &of->fields[i], why);
        if (status != POPOTO_OK)
            return status;
    }
    return POPOTO_OK;
}

static popoto_status set_indexes(model *of, arena *memory, failure *why) {
    model_index *all = popoto__arena_zeroed(memory, of->field_count + 1, sizeof *all);
    size_t *placed = popoto__arena_allocate(memory, of->field_count * sizeof *placed);
    if (all == NULL || placed == NULL)
        return popoto__fail_memory(why);
    of->indexes = all;
    of->index_count = 1;
    of->placed = placed;
    for (size_t i = 0; i < of->field_count; i++) {
        const field *it = &of->fields[i];
        bool is_sorted = it->kind == POPOTO_KIND_SORTED;
        if (it->places_index)
            placed[of->placed_count++] = i;
        if (it->prefix.data == NULL)
            continue;
        all[of->index_count++] = (model_index){ .about = it,
                                                .by = it->is_key ? &it->index : it->partition,
                                                .by_count = it->is_key ? 1 : it->partition_count,
                                                .is_sorted = is_sorted,
                                                .score = of->sorted_count };
        of->sorted_count += is_sorted;
    }
    return POPOTO_OK;
}

popoto_status popoto__model_compile(const popoto_model *declared, popoto_dialect dialect_id,
                                    arena *memory, const model **out, failure *why) {
    *out = NULL;
    popoto_status status = check_model(declared, why);
    if (status != POPOTO_OK)
        return status;
    const dialect *how = &dialects[dialect_id];
    model *it = popoto__arena_zeroed(memory, 1, sizeof *it);
    if (it == NULL)
        return popoto__fail_memory(why);
    it->declared = declared;
    it->name = (popoto_text){ declared->name, strlen(declared->name) };
    it->class_prefix =
        joined(memory, (const char *[]){ how->class_prefix, ":", declared->name }, 3);
    it->escapes = how->escapes;
    set_kind_prefixes(how, it);
    it->null_segment = how->null_segment;
    it->field_count = declared->field_count;
    if (it->class_prefix.data == NULL || !set_time_to_live(it, memory))
        return popoto__fail_memory(why);
    status = compile_fields(it, how, memory, why);
    if (status == POPOTO_OK)
        status = set_indexes(it, memory, why);
    if (status == POPOTO_OK)
        *out = it;
    return status;
}

const field *popoto__model_field(const model *of, const char *name, size_t size) {
    for (size_t i = 0; i < of->field_count; i++)
        if (of->fields[i].name_size == size && memcmp(of->fields[i].name, name, size) == 0)
            return &of->fields[i];
    return NULL;
}

void popoto__model_field_names(const model *of, char *out, size_t size) {
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < of->field_count && at < size; i++) {
        int more = snprintf(out + at, size - at, "%s%s", i ? ", " : "", of->fields[i].name);
        if (more < 0 || (size_t)more >= size - at) {
            if (size > 4)
                memcpy(out + size - 4, "...", 4);
            return;
        }
        at += (size_t)more;
    }
}

const char *popoto__list_next(const char **at, size_t *size) {
    const char *name = *at;
    while (*name == ' ' || *name == ',')
        name++;
    const char *end = name;
    while (*end != ' ' && *end != ',' && *end != '\0')
        end++;
    *size = (size_t)(end - name);
    *at = end;
    return name;
}

popoto_status popoto__model_choose(const model *of, const char *list, bool *chosen,
                                   popoto_status status, failure *why) {
    size_t size;
    memset(chosen, 0, of->field_count * sizeof *chosen);
    for (const char *name = popoto__list_next(&list, &size); size > 0;
         name = popoto__list_next(&list, &size)) {
        const field *it = popoto__model_field(of, name, size);
        if (it == NULL) {
            char known[200];
            shown room;
            popoto__model_field_names(of, known, sizeof known);
            return popoto__fail(why, status, "%s has no field %s; it has %s", of->name.data,
                                popoto__show(&room, name, size), known);
        }
        chosen[it->index] = true;
    }
    return POPOTO_OK;
}

/* ----- Values that a field takes -------------------------------------------------------------- */

bool popoto__field_convert(const field *it, const popoto_value *given, popoto_value *taken) {
    *taken = *given;
    if (given->type == POPOTO_ANY) /* no value has that type: see popoto_of_unsigned */
        return false;
    if (it->type == given->type || it->type == POPOTO_ANY || given->type == POPOTO_NULL)
        return true;
    if (it->type == POPOTO_FLOAT && given->type == POPOTO_INT &&
        given->as.integer >= -MODEL_MAX_EXACT && given->as.integer <= MODEL_MAX_EXACT) {
        *taken = popoto_of_float((double)given->as.integer);
        return true;
    }
    if (it->type == POPOTO_BOOL && given->type == POPOTO_INT &&
        (given->as.integer == 0 || given->as.integer == 1)) {
        *taken = popoto_of_bool(given->as.integer == 1);
        return true;
    }
    if (it->type == POPOTO_DECIMAL && given->type == POPOTO_TEXT) {
        taken->type = POPOTO_DECIMAL;
        return true;
    }
    return false;
}

static popoto_status bad_value(const model *of, const field *it, const popoto_value *given,
                               failure *why, const char *right) {
    shown room;
    return popoto__fail(why, POPOTO_BAD_VALUE, "%s.%s cannot be %s: %s", of->name.data, it->name,
                        popoto__show_value(&room, given), right);
}

static popoto_status accept_null(const model *of, const field *it, failure *why) {
    if (it->declared->null)
        return POPOTO_OK;
    return popoto__fail(
        why, POPOTO_BAD_VALUE, "%s.%s is null: %s", of->name.data, it->name,
        it->kind == POPOTO_KIND_TENANT  ? "every call names its tenant; set it, or enter its scope"
        : it->is_key                    ? "a key needs a value"
        : it->is_partition              ? "it names the record's partition"
        : it->kind == POPOTO_KIND_FIELD ? "give it a value, or declare it .null = true"
                                        : "it needs a value");
}

popoto_status popoto__field_accept_other(const model *of, const field *it,
                                         const popoto_value *given, popoto_value *taken,
                                         failure *why) {
    if (given->type == POPOTO_NULL) {
        *taken = *given;
        return accept_null(of, it, why);
    }
    if (!popoto__field_convert(it, given, taken)) {
        char right[64];
        snprintf(right, sizeof right, "it holds %s", popoto__type_name(it->type));
        return bad_value(of, it, given, why, right);
    }
    size_t length = taken->type == POPOTO_TEXT    ? taken->as.text.size
                    : taken->type == POPOTO_BYTES ? taken->as.bytes.size
                                                  : 0;
    if (length > it->max_length) {
        char right[96];
        snprintf(right, sizeof right, "it has %zu bytes and may have %zu", length, it->max_length);
        return bad_value(of, it, given, why, right);
    }
    if (it->kind == POPOTO_KIND_CONFIDENCE && !(taken->as.real >= 0 && taken->as.real <= 1))
        return bad_value(of, it, given, why, "a confidence is between 0 and 1");
    if (it->kind == POPOTO_KIND_SORTED) {
        double score;
        bool exact;
        const char *reason = NULL;
        if (!popoto__codec_score(taken, &score, &exact, &reason))
            return bad_value(of, it, given, why, reason);
        if (taken->type == POPOTO_INT && !exact)
            return bad_value(of, it, given, why,
                             "a sorted index tells integers apart only up to 2^53");
    }
    return POPOTO_OK;
}

void popoto__guess_value(const model *of, const field *it, popoto_value *value) {
    failure ignored;
    popoto_value given = *value;
    if (given.type == POPOTO_NULL || popoto__field_takes(it, &given))
        return;
    if (popoto__field_accept(of, it, &given, value, &ignored) != POPOTO_OK)
        *value = (popoto_value){ POPOTO_NULL, { 0 } };
}

/* ----- Where a record stands: keys ------------------------------------------------------------ */

/* A tenant that is a plain number in a struct has no null: 0 is what it holds when nobody set it. */
static bool is_forgotten(const field *it, const popoto_value *value) {
    return it->kind == POPOTO_KIND_TENANT && value->type == POPOTO_INT && value->as.integer == 0 &&
           !members[it->declared->member].has_null;
}

static popoto_status escaped_segment(const model *of, const field *it, const popoto_value *value,
                                     arena *memory, popoto_text *out, failure *why) {
    buffer text, escaped;
    const char *reason = "out of memory";
    popoto__buffer_init(&text, memory->allocator);
    popoto__buffer_init(&escaped, memory->allocator);
    *out = (popoto_text){ NULL, 0 };
    popoto_status status = POPOTO_OK;
    popoto_text plain = { NULL, 0 };
    bool nullable = it->declared->null && it->is_key;
    if (value->type == POPOTO_NULL && nullable) {
        plain = (popoto_text){ of->null_segment, strlen(of->null_segment) };
    } else if (value->type == POPOTO_TEXT) {
        plain = value->as.text;
    } else if (popoto__codec_key_text(&text, value, &reason)) {
        plain = (popoto_text){ text.data, text.size };
    } else {
        status = bad_value(of, it, value, why, reason);
    }
    if (status == POPOTO_OK && it->kind == POPOTO_KIND_TENANT && plain.size == 0)
        status = bad_value(of, it, value, why, "a tenant's name has at least one byte");
    if (status == POPOTO_OK && is_forgotten(it, value))
        status = bad_value(of, it, value, why,
                           "a member that was never set holds that, so it names no tenant");
    if (status == POPOTO_OK && nullable && value->type != POPOTO_NULL &&
        plain.size == strlen(of->null_segment) &&
        memcmp(plain.data, of->null_segment, plain.size) == 0)
        status = bad_value(of, it, value, why, "null stands so in keys, and the field may be null");
    if (status == POPOTO_OK) {
        if (it->kind == POPOTO_KIND_TENANT)
            popoto__key_escape_tenant(&escaped, plain.data, plain.size);
        else
            popoto__key_escape(&escaped, of->escapes, plain.data, plain.size);
        if (!text.failed && !escaped.failed)
            *out = (popoto_text){ popoto__arena_copy(memory, escaped.data, escaped.size),
                                  escaped.size };
        if (out->data == NULL)
            status = popoto__fail_memory(why);
    }
    popoto__buffer_free(&text);
    popoto__buffer_free(&escaped);
    return status;
}

/* Most are text that stands in a key as it is. */
static bool is_plain(const model *of, const field *it, const popoto_value *value) {
    return value->type == POPOTO_TEXT && value->as.text.data != NULL &&
           it->kind != POPOTO_KIND_TENANT && !it->declared->null &&
           popoto__key_is_plain(of->escapes, value->as.text.data, value->as.text.size);
}

popoto_status popoto__segment(const model *of, const field *it, const popoto_value *value,
                              arena *memory, popoto_text *out, failure *why) {
    popoto_text text = value->as.text;
    if (!is_plain(of, it, value))
        return escaped_segment(of, it, value, memory, out, why);
    *out = (popoto_text){ popoto__arena_copy(memory, text.data, text.size), text.size };
    return out->data != NULL ? POPOTO_OK : popoto__fail_memory(why);
}

/* "{tenant}:prefix:segment:segment"; without the first part where the model is not strict. */
static popoto_text with_segments(const model *of, const popoto_text *all, popoto_text prefix,
                                 const popoto_text *const *segments, size_t count, arena *memory) {
    const popoto_text *tenant = of->tenant != NULL ? &all[of->tenant->index] : NULL;
    size_t size = prefix.size + (tenant != NULL ? tenant->size + 3 : 0);
    for (size_t i = 0; i < count; i++) {
        if (segments[i] == NULL || segments[i]->data == NULL)
            return (popoto_text){ NULL, 0 };
        size += 1 + segments[i]->size;
    }
    char *text = popoto__arena_bytes(memory, size + 1);
    if (text == NULL || (tenant != NULL && tenant->data == NULL))
        return (popoto_text){ NULL, 0 };
    char *at = text;
    if (tenant != NULL) {
        *at++ = '{';
        memcpy(at, tenant->data, tenant->size);
        at += tenant->size;
        *at++ = '}';
        *at++ = ':';
    }
    memcpy(at, prefix.data, prefix.size);
    at += prefix.size;
    for (size_t i = 0; i < count; i++) {
        *at++ = ':';
        memcpy(at, segments[i]->data, segments[i]->size);
        at += segments[i]->size;
    }
    *at = '\0';
    return (popoto_text){ text, size };
}

/* Of a companion hash whose key has the values of its partition as they are. */
static popoto_text raw_segment(popoto_text segment, arena *memory) {
    buffer plain;
    popoto__buffer_init(&plain, memory->allocator);
    popoto__key_unescape(&plain, segment.data, segment.size);
    popoto_text text = { NULL, plain.size };
    if (!plain.failed)
        text.data = popoto__arena_copy(memory, plain.data, plain.size);
    popoto__buffer_free(&plain);
    return text;
}

/* Two values that both may have a : in them, as they are: "a:b", "c" and "a", "b:c" would be one
 * partition. A moment has its two always, and is no danger. */
static popoto_status check_raw_partition(const model *of, const field *it,
                                         const popoto_text *segments, arena *memory, failure *why) {
    shown room;
    for (size_t i = 0; it->partition_count > 1 && i < it->partition_count; i++) {
        const field *by = &of->fields[it->partition[i]];
        popoto_text segment = segments[by->index];
        if (segment.data == NULL || (by->type != POPOTO_TEXT && by->type != POPOTO_BYTES))
            continue;
        popoto_text raw = raw_segment(segment, memory);
        if (raw.data == NULL)
            return popoto__fail_memory(why);
        if (memchr(raw.data, ':', raw.size) != NULL)
            return popoto__fail(why, POPOTO_BAD_VALUE,
                                "%s.%s cannot be %s: %s is partitioned by %s, whose values this "
                                "dialect does not escape, and a : in one of them could make two "
                                "partitions one",
                                of->name.data, by->name, popoto__show(&room, raw.data, raw.size),
                                it->name, it->declared->partition_by);
    }
    return POPOTO_OK;
}

/* The segment of one field, of a value that the field accepts. */
static popoto_status place_field(const model *of, const field *it, const popoto_value *values,
                                 arena *memory, placement *out, failure *why) {
    popoto_value taken;
    popoto_status status = popoto__field_accept(of, it, &values[it->index], &taken, why);
    return status == POPOTO_OK
               ? popoto__segment(of, it, &taken, memory, &out->segments[it->index], why)
               : status;
}

static bool is_same_text(const popoto_value *a, const popoto_value *b) {
    return a->type == POPOTO_TEXT && b->type == POPOTO_TEXT && a->as.text.data == b->as.text.data &&
           a->as.text.size == b->as.text.size;
}

/* The segment of a field of the key, for as long as the key is being made: most are the value's own text. */
static popoto_status key_segment(const model *of, const field *it, const popoto_value *value,
                                 arena *memory, popoto_text *out, failure *why) {
    popoto_value taken;
    if (popoto__field_takes(it, value) && is_plain(of, it, value)) {
        *out = value->as.text;
        return POPOTO_OK;
    }
    popoto_status status = popoto__field_accept(of, it, value, &taken, why);
    return status == POPOTO_OK ? popoto__segment(of, it, &taken, memory, out, why) : status;
}

static char *put(char *at, popoto_text text) {
    memcpy(at, text.data, text.size);
    return at + text.size;
}

/* "{tenant}:Episode:segment:segment" of so many bytes, from the segments of the key's fields, which from then on are
 * those in the key. Those of the neighbour stay where they are: they are told apart by their addresses. */
static popoto_status join_key(const model *of, const popoto_text *last, size_t size, arena *memory,
                              placement *out, failure *why) {
    popoto_text *all = out->segments, *tenant = of->tenant ? &all[of->tenant->index] : NULL;
    char *text = popoto__arena_bytes(memory, size + 1), *at = text;
    if (text == NULL)
        return popoto__fail_memory(why);
    if (tenant != NULL) {
        *at++ = '{';
        at = put(at, *tenant);
        tenant->data = at - tenant->size;
        *at++ = '}';
        *at++ = ':';
    }
    at = put(at, of->name);
    for (size_t i = 0; i < of->key_count; i++) {
        popoto_text *segment = &all[of->keys[i]];
        *at++ = ':';
        at = put(at, *segment);
        if (last == NULL || segment->data != last[of->keys[i]].data)
            segment->data = at - segment->size;
    }
    *at = '\0';
    out->key = (popoto_text){ text, size };
    return POPOTO_OK;
}

popoto_status popoto__place_key(const model *of, const popoto_value *values, neighbour last,
                                arena *memory, placement *out, failure *why) {
    popoto_status status = POPOTO_OK;
    size_t size = of->name.size + of->key_count;
    out->key = (popoto_text){ NULL, 0 };
    if (out->segments == NULL)
        out->segments = popoto__arena_zeroed(memory, of->field_count, sizeof(popoto_text));
    if (out->segments == NULL)
        return popoto__fail_memory(why);
    if (of->tenant != NULL) {
        popoto_text *tenant = &out->segments[of->tenant->index];
        status = key_segment(of, of->tenant, &values[of->tenant->index], memory, tenant, why);
        size += 3 + tenant->size;
    }
    for (size_t i = 0; i < of->key_count && status == POPOTO_OK; i++) {
        size_t at = of->keys[i];
        if (last.segments != NULL && is_same_text(&last.values[at], &values[at]))
            out->segments[at] = last.segments[at];
        else
            status = key_segment(of, &of->fields[at], &values[at], memory, &out->segments[at], why);
        size += out->segments[at].size;
    }
    return status == POPOTO_OK ? join_key(of, last.segments, size, memory, out, why) : status;
}

popoto_status popoto__place_partitions(const model *of, const popoto_value *values,
                                       const bool *named, arena *memory, placement *out,
                                       failure *why) {
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; of->moves && i < of->field_count && status == POPOTO_OK; i++)
        if (of->fields[i].is_partition && !of->fields[i].is_key && (named == NULL || named[i]))
            status = place_field(of, &of->fields[i], values, memory, out, why);
    for (size_t i = 0; of->raw_partitions && i < of->field_count && status == POPOTO_OK; i++)
        if (of->fields[i].raw_partition)
            status = check_raw_partition(of, &of->fields[i], out->segments, memory, why);
    return status;
}

popoto_status popoto__placement_of_partition(const model *of, const field *it,
                                             const popoto_value *values, arena *memory,
                                             placement *out, failure *why) {
    out->key = (popoto_text){ NULL, 0 };
    out->segments = popoto__arena_zeroed(memory, of->field_count, sizeof(popoto_text));
    if (out->segments == NULL)
        return popoto__fail_memory(why);
    popoto_status status =
        of->tenant != NULL ? place_field(of, of->tenant, values, memory, out, why) : POPOTO_OK;
    for (size_t i = 0; i < it->partition_count && status == POPOTO_OK; i++)
        status = place_field(of, &of->fields[it->partition[i]], values, memory, out, why);
    return status;
}

popoto_status popoto__key_of_values(const model *of, const popoto_value *values, arena *memory,
                                    popoto_text *key, failure *why) {
    popoto_text segments[MODEL_MAX_FIELDS];
    placement it = { .segments = segments };
    memset(segments, 0, of->field_count * sizeof *segments);
    popoto_status status =
        popoto__place_key(of, values, (neighbour){ NULL, NULL }, memory, &it, why);
    *key = status == POPOTO_OK ? it.key : (popoto_text){ NULL, 0 };
    return status;
}

/* Past "{tenant}:" and the model's name. False: the key begins otherwise. */
static bool enter_key(const model *of, popoto_text key, key_rest *rest, popoto_text *tenant) {
    popoto_text segment;
    *rest = popoto__key_split(key.data, key.size);
    *tenant = (popoto_text){ NULL, 0 };
    if (of->tenant != NULL) {
        if (!popoto__key_next(rest, &segment.data, &segment.size) || segment.size < 3 ||
            segment.data[0] != '{' || segment.data[segment.size - 1] != '}' ||
            !popoto__key_unescape_tenant(NULL, segment.data + 1, segment.size - 2))
            return false;
        *tenant = (popoto_text){ segment.data + 1, segment.size - 2 };
    }
    size_t size = of->name.size;
    if (rest->done || (size_t)(rest->end - rest->next) < size ||
        memcmp(rest->next, of->name.data, size) != 0)
        return false;
    rest->next += size;
    rest->done = rest->next == rest->end; /* a strict model may have no key but its tenant */
    return rest->done || *rest->next++ == ':';
}

bool popoto__placement_of_key(const model *of, popoto_text key, arena *memory, placement *out) {
    popoto_text segment;
    key_rest rest;
    out->key = key;
    out->segments = popoto__arena_zeroed(memory, of->field_count, sizeof(popoto_text));
    if (out->segments == NULL || !enter_key(of, key, &rest, &segment))
        return false;
    if (of->tenant != NULL)
        out->segments[of->tenant->index] = segment;
    for (size_t i = 0; i < of->key_count; i++) {
        if (!popoto__key_next(&rest, &segment.data, &segment.size))
            return false;
        out->segments[of->keys[i]] = segment;
    }
    return !popoto__key_next(&rest, &segment.data, &segment.size);
}

popoto_text popoto__key_segment(const model *of, const field *about, popoto_text key) {
    const popoto_text none = { NULL, 0 };
    popoto_text found, segment;
    key_rest rest;
    if (!enter_key(of, key, &rest, &found))
        return none;
    if (about == NULL)
        found = of->name;
    for (size_t i = 0; i < of->key_count; i++) {
        if (!popoto__key_next(&rest, &segment.data, &segment.size))
            return none;
        if (about == &of->fields[of->keys[i]])
            found = segment;
    }
    return popoto__key_next(&rest, &segment.data, &segment.size) ? none : found;
}

popoto_status popoto__placement_set(const model *of, placement *it, size_t field_index,
                                    const popoto_value *value, arena *memory, failure *why) {
    return popoto__segment(of, &of->fields[field_index], value, memory, &it->segments[field_index],
                           why);
}

popoto_text popoto__class_key(const model *of, const popoto_text *segments, arena *memory) {
    return with_segments(of, segments, of->class_prefix, NULL, 0, memory);
}

popoto_text popoto__key_of_segments(const model *of, const popoto_text *segments, arena *memory) {
    const popoto_text *used[MODEL_MAX_FIELDS];
    for (size_t i = 0; i < of->key_count; i++)
        used[i] = &segments[of->keys[i]];
    return with_segments(of, segments, of->name, used, of->key_count, memory);
}

popoto_text popoto__unpartitioned_key(const model *of, const field *it, const popoto_text *segments,
                                      arena *memory) {
    return with_segments(of, segments, it->prefix, NULL, 0, memory);
}

popoto_text popoto__index_key(const model *of, const field *it, const popoto_text *segments,
                              arena *memory) {
    const popoto_text *used[MODEL_MAX_FIELDS];
    popoto_text raw[MODEL_MAX_FIELDS];
    size_t count = 0;
    if (it->is_key)
        used[count++] = &segments[it->index];
    for (size_t i = 0; i < it->partition_count; i++) {
        used[count] = &segments[it->partition[i]];
        if (it->raw_partition) {
            raw[i] = raw_segment(*used[count], memory);
            if (raw[i].data == NULL)
                return (popoto_text){ NULL, 0 };
            used[count] = &raw[i];
        }
        count++;
    }
    return with_segments(of, segments, it->prefix, used, count, memory);
}

popoto_status popoto__partition_key(const model *of, const field *it, const popoto_text *segments,
                                    arena *memory, popoto_text *out, failure *why) {
    *out = (popoto_text){ NULL, 0 };
    for (size_t i = 0; i < it->partition_count; i++)
        if (segments[it->partition[i]].data == NULL)
            return popoto__fail(why, POPOTO_CORRUPT,
                                "the stored record lacks %s, so that %s.%s has no partition for it",
                                of->fields[it->partition[i]].name, of->name.data, it->name);
    popoto_status status =
        it->raw_partition ? check_raw_partition(of, it, segments, memory, why) : POPOTO_OK;
    if (status != POPOTO_OK)
        return status;
    *out = popoto__index_key(of, it, segments, memory);
    return out->data != NULL ? POPOTO_OK : popoto__fail_memory(why);
}
