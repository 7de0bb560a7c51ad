#include "catalog.h"

#include "walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----- Words ---------------------------------------------------------------------------------- */

static const char *const kind_words[] = {
    [POPOTO_KIND_FIELD] = "field",       [POPOTO_KIND_KEY] = "key",
    [POPOTO_KIND_AUTO_KEY] = "auto_key", [POPOTO_KIND_UNIQUE_KEY] = "unique_key",
    [POPOTO_KIND_SORTED] = "sorted",     [POPOTO_KIND_CONFIDENCE] = "confidence",
    [POPOTO_KIND_TENANT] = "tenant",
};
static const char *const type_words[] = {
    [POPOTO_NULL] = NULL,         [POPOTO_BOOL] = "bool", [POPOTO_INT] = "int",
    [POPOTO_FLOAT] = "float",     [POPOTO_TEXT] = "text", [POPOTO_BYTES] = "bytes",
    [POPOTO_TIME] = "time",       [POPOTO_DAY] = "day",   [POPOTO_CLOCK] = "clock",
    [POPOTO_DECIMAL] = "decimal", [POPOTO_LIST] = "list", [POPOTO_TUPLE] = "tuple",
    [POPOTO_SET] = "set",         [POPOTO_MAP] = "map",   [POPOTO_ANY] = "any",
};
static const char *const auto_words[] = { [POPOTO_UUID4] = "uuid4", [POPOTO_ULID] = "ulid" };
static const char *const dialect_words[] = {
    [POPOTO_DOCUMENTED] = "documented", [POPOTO_AS_POPOTO] = "popoto"
};
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ----- Making a description ------------------------------------------------------------------- */

/* A map under construction; `failed` shows in the end. */
typedef struct description {
    arena *memory;
    popoto_value *items;
    size_t count;
    bool failed;
} description;

#define MOST_ENTRIES 12

static void begin_map(description *it, arena *memory) {
    *it = (description){ .memory = memory };
    it->items = popoto__arena_zeroed(memory, 2 * MOST_ENTRIES, sizeof *it->items);
    it->failed = it->items == NULL;
}

/* Copied, because what is described belongs to somebody else. */
static void put(description *it, const char *name, popoto_value value) {
    if (it->failed)
        return;
    popoto_value key = popoto_of_text(name);
    it->failed = !popoto__value_copy(it->memory, &key, &it->items[2 * it->count]) ||
                 !popoto__value_copy(it->memory, &value, &it->items[2 * it->count + 1]);
    it->count++;
}

static popoto_value map_of(const description *it) {
    return popoto_of_items(POPOTO_MAP, it->items, 2 * it->count);
}

static bool describe_field(const field *of, arena *memory, popoto_value *out) {
    const popoto_field *declared = of->declared;
    description it;
    begin_map(&it, memory);
    put(&it, "name", popoto_of_text(of->name));
    put(&it, "kind", popoto_of_text(kind_words[of->kind]));
    put(&it, "type", popoto_of_text(type_words[of->type]));
    if (declared->partition_by != NULL)
        put(&it, "partition_by", popoto_of_text(declared->partition_by));
    if (declared->null)
        put(&it, "null", popoto_of_bool(true));
    if (declared->default_value.type != POPOTO_NULL)
        put(&it, "default", of->default_value);
    if (declared->max_length != 0)
        put(&it, "max_length", popoto_of_unsigned(declared->max_length));
    if (of->kind == POPOTO_KIND_AUTO_KEY)
        put(&it, "generate", popoto_of_text(auto_words[declared->generate]));
    if (of->kind == POPOTO_KIND_CONFIDENCE) {
        put(&it, "initial_confidence", popoto_of_float(of->initial_confidence));
        put(&it, "evidence_cap", popoto_of_int(of->evidence_cap));
    }
    *out = map_of(&it);
    return !it.failed;
}

bool popoto__catalog_describe(const model *of, popoto_dialect dialect, arena *memory,
                              popoto_value *out) {
    popoto_value *fields = popoto__arena_zeroed(memory, of->field_count, sizeof *fields);
    description it;
    begin_map(&it, memory);
    it.failed = it.failed || fields == NULL;
    for (size_t i = 0; i < of->field_count && !it.failed; i++)
        it.failed = !describe_field(&of->fields[i], memory, &fields[i]);
    put(&it, "name", popoto_of_text(of->name.data));
    put(&it, "dialect", popoto_of_text(dialect_words[dialect]));
    if (of->declared->time_to_live != 0)
        put(&it, "time_to_live", popoto_of_unsigned(of->declared->time_to_live));
    put(&it, "fields", popoto_of_items(POPOTO_LIST, fields, of->field_count));
    *out = map_of(&it);
    return !it.failed;
}

/* ----- The catalog ---------------------------------------------------------------------------- */

popoto_catalog *popoto__catalog_new(popoto_db *db) {
    popoto_catalog *it = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it);
    if (it == NULL)
        return NULL;
    it->allocator = db->allocator;
    popoto__arena_init(&it->memory, &it->allocator);
    return it;
}

void popoto_catalog_free(popoto_catalog *it) {
    if (it == NULL)
        return;
    popoto_allocator allocator = it->allocator;
    popoto__arena_free(&it->memory);
    popoto__release(&allocator, it->entries);
    popoto__release(&allocator, it);
}

size_t popoto_catalog_count(const popoto_catalog *it) {
    return it == NULL ? 0 : it->count;
}

const popoto_model *popoto_catalog_model(const popoto_catalog *it, size_t index) {
    return it == NULL || index >= it->count ? NULL : it->entries[index].model;
}

const popoto_value *popoto_catalog_value(const popoto_catalog *it, size_t index) {
    return it == NULL || index >= it->count ? NULL : &it->entries[index].described;
}

const char *popoto_catalog_note(const popoto_catalog *it, size_t index) {
    return it == NULL || index >= it->count ? NULL : it->entries[index].note;
}

popoto_dialect popoto_catalog_dialect(const popoto_catalog *it, size_t index) {
    return it == NULL || index >= it->count ? POPOTO_DOCUMENTED : it->entries[index].dialect;
}

size_t popoto_catalog_problem_count(const popoto_catalog *it) {
    return it == NULL ? 0 : it->problem_count;
}

const char *popoto_catalog_problem(const popoto_catalog *it, size_t index, popoto_text *name) {
    bool is = it != NULL && index < it->problem_count;
    if (name != NULL)
        *name = is ? it->problems[index].name : (popoto_text){ NULL, 0 };
    return is ? it->problems[index].text : NULL;
}

popoto_status popoto__catalog_add(popoto_db *db, popoto_catalog *it, const popoto_model *declared,
                                  popoto_dialect dialect, const char *note) {
    const model *of;
    arena trial;
    if (it->count == it->room) {
        size_t room = it->room ? it->room * 2 : 8;
        catalog_entry *bigger =
            popoto__reallocate(&it->allocator, it->entries, room * sizeof *bigger);
        if (bigger == NULL)
            return popoto__fail_memory(&db->why);
        it->entries = bigger;
        it->room = room;
    }
    popoto__arena_init(&trial, &db->allocator);
    popoto_status status = popoto__model_compile(declared, dialect, &trial, &of, &db->why);
    catalog_entry entry = { .model = declared, .note = note, .dialect = dialect };
    if (status == POPOTO_OK &&
        !popoto__catalog_describe(of, dialect, &it->memory, &entry.described))
        status = popoto__fail_memory(&db->why);
    popoto__arena_free(&trial);
    if (status == POPOTO_OK)
        it->entries[it->count++] = entry;
    return status;
}

/* ----- Reading a description ------------------------------------------------------------------ */

typedef struct reading {
    popoto_db *db;
    popoto_catalog *into;
    const char *model; /* its name, for sentences; NULL: not known yet */
    const char *field;
    popoto_dialect dialect; /* that it was described in */
} reading;

static popoto_status bad(const reading *it, const char *what) {
    return popoto__fail(&it->db->why, POPOTO_BAD_MODEL, "%s%s%s: %s",
                        it->model ? it->model : "a description of a model", it->field ? "." : "",
                        it->field ? it->field : "", what);
}

static popoto_status bad_entry(const reading *it, const popoto_value *name, const char *right) {
    char text[200];
    shown room;
    snprintf(text, sizeof text, "%s %s", popoto__show_value(&room, name), right);
    return bad(it, text);
}

static bool is_named(const popoto_value *key, const char *name) {
    return key->type == POPOTO_TEXT && key->as.text.size == strlen(name) &&
           memcmp(key->as.text.data, name, key->as.text.size) == 0;
}

/* A text without NULs, in the catalog's memory; NULL: it is none, or there is no memory. */
static const char *text_in(const reading *it, const popoto_value *value) {
    if (value->type != POPOTO_TEXT || memchr(value->as.text.data, 0, value->as.text.size) != NULL)
        return NULL;
    return popoto__arena_copy(&it->into->memory, value->as.text.data, value->as.text.size);
}

static popoto_status take_text(const reading *it, const popoto_value *name,
                               const popoto_value *value, const char **out) {
    *out = text_in(it, value);
    if (*out == NULL && value->type == POPOTO_TEXT &&
        memchr(value->as.text.data, 0, value->as.text.size) == NULL)
        return popoto__fail_memory(&it->db->why);
    return *out != NULL ? POPOTO_OK : bad_entry(it, name, "is a text without NULs");
}

static popoto_status take_word(const reading *it, const popoto_value *name,
                               const popoto_value *value, const char *const *words, size_t count,
                               size_t *out) {
    char known[160] = "is one of";
    for (size_t i = 0; i < count; i++)
        if (words[i] != NULL && is_named(value, words[i])) {
            *out = i;
            return POPOTO_OK;
        }
    for (size_t i = 0; i < count; i++)
        if (words[i] != NULL)
            snprintf(known + strlen(known), sizeof known - strlen(known), " %s", words[i]);
    return bad_entry(it, name, known);
}

static popoto_status take_count(const reading *it, const popoto_value *name,
                                const popoto_value *value, uint64_t most, uint64_t *out) {
    bool fits =
        value->type == POPOTO_INT && value->as.integer >= 0 && (uint64_t)value->as.integer <= most;
    *out = fits ? (uint64_t)value->as.integer : 0;
    return fits ? POPOTO_OK : bad_entry(it, name, "is a number that is not negative");
}

static popoto_status take_confidence(const reading *it, const popoto_value *name,
                                     const popoto_value *value, double *out) {
    double number = value->type == POPOTO_FLOAT ? value->as.real
                    : value->type == POPOTO_INT ? (double)value->as.integer
                                                : -1;
    *out = number == 0 ? POPOTO_ZERO : number;
    return number >= 0 && number <= 1 ? POPOTO_OK : bad_entry(it, name, "is between 0 and 1");
}

static popoto_status take_field_entry(reading *it, const popoto_value *name,
                                      const popoto_value *value, popoto_field *out) {
    size_t word = 0;
    uint64_t count = 0;
    popoto_status status = POPOTO_OK;
    if (is_named(name, "name")) {
        status = take_text(it, name, value, &out->name);
        it->field = out->name;
    } else if (is_named(name, "kind")) {
        status = take_word(it, name, value, kind_words, COUNT_OF(kind_words), &word);
        out->kind = (popoto_kind)word;
    } else if (is_named(name, "type")) {
        status = take_word(it, name, value, type_words, COUNT_OF(type_words), &word);
        out->type = (popoto_type)word;
    } else if (is_named(name, "partition_by")) {
        status = take_text(it, name, value, &out->partition_by);
    } else if (is_named(name, "null")) {
        out->null = value->type == POPOTO_BOOL && value->as.boolean;
        status = value->type == POPOTO_BOOL ? POPOTO_OK : bad_entry(it, name, "is true or false");
    } else if (is_named(name, "default")) {
        if (!popoto__value_copy(&it->into->memory, value, &out->default_value))
            status = popoto__fail_memory(&it->db->why);
    } else if (is_named(name, "max_length")) {
        status = take_count(it, name, value, MODEL_MAX_LENGTH, &count);
        out->max_length = (size_t)count;
    } else if (is_named(name, "generate")) {
        status = take_word(it, name, value, auto_words, COUNT_OF(auto_words), &word);
        out->generate = (popoto_auto)word;
    } else if (is_named(name, "initial_confidence")) {
        status = take_confidence(it, name, value, &out->initial_confidence);
    } else if (is_named(name, "evidence_cap")) {
        status = take_count(it, name, value, INT64_MAX, &count);
        out->evidence_cap = (int64_t)count;
    } else {
        status = bad_entry(it, name, "is no option of a field");
    }
    return status;
}

static popoto_status read_field(reading *it, const popoto_value *from, popoto_field *out) {
    popoto_status status = POPOTO_OK;
    it->field = NULL;
    if (from->type != POPOTO_MAP)
        return bad(it, "each of its fields is described by a map");
    for (size_t i = 0; i + 1 < from->as.list.count && status == POPOTO_OK; i += 2)
        status = take_field_entry(it, &from->as.list.items[i], &from->as.list.items[i + 1], out);
    if (status == POPOTO_OK && out->name == NULL)
        status = bad(it, "one of its fields has no name");
    if (status == POPOTO_OK && out->type == POPOTO_NULL)
        /* What an identifier or a confidence is need not be said. */
        out->type = out->kind == POPOTO_KIND_CONFIDENCE ? POPOTO_FLOAT
                    : out->kind == POPOTO_KIND_FIELD    ? POPOTO_ANY
                                                        : POPOTO_TEXT;
    it->field = NULL;
    return status;
}

static popoto_status read_fields(reading *it, const popoto_value *from, popoto_model *out) {
    if ((from->type != POPOTO_LIST && from->type != POPOTO_TUPLE) || from->as.list.count == 0 ||
        from->as.list.count > MODEL_MAX_FIELDS)
        return bad(it, "its fields are a list of 1 to 256");
    popoto_field *fields =
        popoto__arena_zeroed(&it->into->memory, from->as.list.count, sizeof *fields);
    if (fields == NULL)
        return popoto__fail_memory(&it->db->why);
    out->fields = fields;
    out->field_count = from->as.list.count;
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < out->field_count && status == POPOTO_OK; i++)
        status = read_field(it, &from->as.list.items[i], &fields[i]);
    return status;
}

static popoto_status take_model_entry(reading *it, const popoto_value *name,
                                      const popoto_value *value, popoto_model *out) {
    uint64_t count = 0;
    size_t word = 0;
    popoto_status status = POPOTO_OK;
    if (is_named(name, "name")) {
        status = take_text(it, name, value, &out->name);
        it->model = out->name;
    } else if (is_named(name, "dialect")) {
        status = take_word(it, name, value, dialect_words, COUNT_OF(dialect_words), &word);
        it->dialect = (popoto_dialect)word;
    } else if (is_named(name, "time_to_live")) {
        status = take_count(it, name, value, UINT32_MAX, &count);
        out->time_to_live = (uint32_t)count;
    } else if (is_named(name, "fields")) {
        status = read_fields(it, value, out);
    } else {
        status = bad_entry(it, name, "is no option of a model");
    }
    return status;
}

static popoto_status read_model(popoto_db *db, popoto_catalog *into, const popoto_value *from) {
    reading it = { .db = db, .into = into, .dialect = db->options.dialect };
    if (from->type != POPOTO_MAP)
        return bad(&it, "it is a map, or a list of maps");
    popoto_model *out = popoto__arena_zeroed(&into->memory, 1, sizeof *out);
    if (out == NULL)
        return popoto__fail_memory(&db->why);
    /* The name first, so that sentences about the rest have it. */
    for (size_t i = 0; i + 1 < from->as.list.count; i += 2)
        if (is_named(&from->as.list.items[i], "name"))
            it.model = text_in(&it, &from->as.list.items[i + 1]);
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i + 1 < from->as.list.count && status == POPOTO_OK; i += 2)
        status = take_model_entry(&it, &from->as.list.items[i], &from->as.list.items[i + 1], out);
    if (status != POPOTO_OK)
        return status;
    const char *note = NULL;
    if (it.dialect != db->options.dialect)
        note =
            it.dialect == POPOTO_AS_POPOTO
                ? "it was described in the dialect of Popoto, and this db uses the documented one"
                : "it was described in the documented dialect, and this db uses that of Popoto";
    return popoto__catalog_add(db, into, out, it.dialect, note);
}

/* A model, or a list of such. */
static popoto_status read_models(popoto_db *db, popoto_catalog *into, const popoto_value *from) {
    popoto_status status = POPOTO_OK;
    if (from->type != POPOTO_LIST && from->type != POPOTO_TUPLE)
        return read_model(db, into, from);
    for (size_t i = 0; i < from->as.list.count && status == POPOTO_OK; i++)
        status = read_model(db, into, &from->as.list.items[i]);
    return status;
}

/* ----- Whether a description fits a model ------------------------------------------------------- */

static const popoto_value *entry_named(const popoto_value *map, const char *name) {
    for (size_t i = 0; map->type == POPOTO_MAP && i + 1 < map->as.list.count; i += 2)
        if (is_named(&map->as.list.items[i], name))
            return &map->as.list.items[i + 1];
    return NULL;
}

/* What a field is to a record: part of its key, evidence, or content. */
static int part_played(popoto_kind kind) {
    return kind == POPOTO_KIND_CONFIDENCE                            ? 2
           : kind == POPOTO_KIND_FIELD || kind == POPOTO_KIND_SORTED ? 0
                                                                     : 1;
}

static const char *contradicts(const field *about, const popoto_value *described) {
    const popoto_value *type = entry_named(described, "type"),
                       *kind = entry_named(described, "kind");
    if (type != NULL && !is_named(type, type_words[about->type]))
        return "it is of another type";
    for (size_t i = 0; kind != NULL && i < COUNT_OF(kind_words); i++)
        if (is_named(kind, kind_words[i]) &&
            part_played((popoto_kind)i) != part_played(about->kind))
            return "it is of another kind";
    return NULL;
}

const char *popoto__catalog_contradiction(const model *of, const popoto_value *described,
                                          popoto_text *field_name) {
    const popoto_value *fields = entry_named(described, "fields");
    const char *wrong = NULL;
    *field_name = (popoto_text){ NULL, 0 };
    if (fields == NULL || fields->type != POPOTO_LIST)
        return "it is described without fields";
    for (size_t i = 0; i < fields->as.list.count && wrong == NULL; i++) {
        const popoto_value *one = &fields->as.list.items[i], *name = entry_named(one, "name");
        if (name == NULL || name->type != POPOTO_TEXT)
            return "one of its fields is described without a name";
        const field *about = popoto__model_field(of, name->as.text.data, name->as.text.size);
        wrong = about == NULL ? "there is no such field" : contradicts(about, one);
        *field_name = name->as.text;
    }
    return wrong;
}

const popoto_value *popoto__catalog_name(const popoto_value *described) {
    return entry_named(described, "name");
}

static popoto_status begin(popoto_db *db, popoto_catalog **catalog) {
    if (catalog == NULL)
        return popoto__db_needs(db, "a place for the catalog");
    *catalog = NULL;
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    if (!popoto__model_has_dialect(db->options.dialect)) {
        db->why = db->unusable;
        return db->why.status;
    }
    popoto__arena_reset(&db->scratch);
    *catalog = popoto__catalog_new(db);
    return *catalog != NULL ? POPOTO_OK : popoto__fail_memory(&db->why);
}

static popoto_status finish(popoto_status status, popoto_catalog **catalog) {
    if (status == POPOTO_OK || catalog == NULL)
        return status;
    popoto_catalog_free(*catalog);
    *catalog = NULL;
    return status;
}

popoto_status popoto_catalog_from_value(popoto_db *db, const popoto_value *described,
                                        popoto_catalog **catalog) {
    popoto_status status = begin(db, catalog);
    if (status == POPOTO_OK && described == NULL)
        status = popoto__db_needs(db, "a description");
    if (status == POPOTO_OK && described != NULL)
        status = read_models(db, *catalog, described);
    return finish(status, catalog);
}

/* ----- In the database ------------------------------------------------------------------------ */

static popoto_status take_published(void *context, size_t index, const reply *answer) {
    popoto_db *db = context;
    (void)index;
    return answer->type == REPLY_ERROR
               ? popoto__reply_failure(answer, "publishing a model", &db->why)
               : POPOTO_OK;
}

static popoto_status render_model(popoto_db *db, const model *of, arena *memory) {
    popoto_value described;
    buffer bytes;
    const char *reason = NULL;
    popoto_status status = POPOTO_OK;
    if (!popoto__catalog_describe(of, db->options.dialect, memory, &described))
        return popoto__fail_memory(&db->why);
    popoto__buffer_init(&bytes, &db->allocator);
    if (!popoto__codec_write(&bytes, &described, &reason) && !bytes.failed)
        status = popoto__fail(&db->why, POPOTO_BAD_MODEL, "%s cannot be published: %s",
                              of->name.data, reason);
    else if (bytes.failed)
        status = popoto__fail_memory(&db->why);
    else
        popoto__render_publish(of->name, (popoto_text){ bytes.data, bytes.size }, &db->request);
    popoto__buffer_free(&bytes);
    return status;
}

popoto_status popoto_publish(popoto_db *db, const popoto_model *const *models, size_t count) {
    if (db == NULL || (models == NULL && count > 0))
        return popoto__db_needs(db, "a list of models");
    const model *of;
    arena memory;
    popoto__arena_init(&memory, &db->allocator);
    popoto_status status = POPOTO_OK;
    /* All are checked before the first is published. */
    for (size_t i = 0; i < count && status == POPOTO_OK; i++)
        status = popoto__db_begin(db, models[i], &of);
    popoto__buffer_clear(&db->request);
    for (size_t i = 0; i < count && status == POPOTO_OK; i++) {
        buffer rendered = db->request; /* db_begin empties the request */
        popoto__buffer_init(&db->request, &db->allocator);
        status = popoto__db_begin(db, models[i], &of);
        popoto__buffer_free(&db->request);
        db->request = rendered;
        if (status == POPOTO_OK)
            status = render_model(db, of, &memory);
    }
    if (status == POPOTO_OK && count > 0)
        status = popoto__db_exchange(db, count, true, NULL, take_published, db);
    popoto__arena_free(&memory);
    return status;
}

typedef struct published {
    popoto_db *db;
    arena *memory;
    buffer cursor;
    popoto_text *names;
    popoto_text *described;
    size_t count;
    size_t room;
} published;

static bool make_room(published *it, size_t more) {
    size_t room = it->count + more;
    if (room <= it->room)
        return true;
    room = room > 2 * it->room ? room : 2 * it->room;
    popoto_text *names = popoto__arena_allocate(it->memory, room * sizeof *names);
    popoto_text *described = popoto__arena_allocate(it->memory, room * sizeof *described);
    if (names == NULL || described == NULL)
        return false;
    if (it->count > 0) {
        memcpy(names, it->names, it->count * sizeof *names);
        memcpy(described, it->described, it->count * sizeof *described);
    }
    it->names = names;
    it->described = described;
    it->room = room;
    return true;
}

static popoto_status take_page(void *context, size_t index, const reply *answer) {
    published *it = context;
    (void)index;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "reading the published models", &it->db->why);
    if (answer->type != REPLY_ARRAY || answer->count != 2 ||
        answer->items[1]->type != REPLY_ARRAY || answer->items[1]->count % 2 != 0)
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered HSCAN with no page");
    popoto__buffer_clear(&it->cursor);
    popoto__buffer_append(&it->cursor, answer->items[0]->text, answer->items[0]->size);
    const reply *entries = answer->items[1];
    if (it->cursor.failed || !make_room(it, entries->count / 2))
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < entries->count; i += 2) {
        it->names[it->count] = (popoto_text){ entries->items[i]->text, entries->items[i]->size };
        it->described[it->count++] =
            (popoto_text){ entries->items[i + 1]->text, entries->items[i + 1]->size };
    }
    return POPOTO_OK;
}

static popoto_status read_page(published *it) {
    popoto_text cursor =
        it->cursor.size ? (popoto_text){ it->cursor.data, it->cursor.size } : TEXT("0");
    popoto__buffer_clear(&it->db->request);
    popoto__render_published(cursor, &it->db->request);
    return popoto__db_exchange(it->db, 1, false, it->memory, take_page, it);
}

/* There is room for all. */
static bool note_problem(popoto_catalog *it, popoto_text name, const char *text) {
    char *copy = popoto__arena_copy(&it->memory, name.data, name.size);
    char *sentence = popoto__arena_copy(&it->memory, text, strlen(text));
    if (copy == NULL || sentence == NULL)
        return false;
    it->problems[it->problem_count++] = (catalog_problem){ { copy, name.size }, sentence };
    return true;
}

static popoto_status decode(published *it, popoto_catalog *into, size_t index) {
    popoto_text name = it->names[index], bytes = it->described[index];
    popoto_value described;
    const char *reason = NULL;
    shown room;
    size_t before = into->count;
    if (popoto__codec_read(it->memory, bytes.data, bytes.size, &described, &reason)) {
        popoto_status status = read_model(it->db, into, &described);
        if (status != POPOTO_BAD_MODEL && status != POPOTO_OK)
            return status;
        if (status == POPOTO_OK && strlen(into->entries[before].model->name) == name.size &&
            memcmp(into->entries[before].model->name, name.data, name.size) == 0)
            return POPOTO_OK;
        reason = status == POPOTO_OK ? "it describes a model of another name" : it->db->why.text;
    }
    if (reason == CODEC_NO_MEMORY)
        return popoto__fail_memory(&it->db->why);
    char text[FAILURE_TEXT_SIZE];
    snprintf(text, sizeof text, "%s", reason);
    into->count = before;
    popoto__explain(&it->db->why, POPOTO_CORRUPT,
                    "the model published as %s cannot be used: %.350s",
                    popoto__show(&room, name.data, name.size), text);
    return note_problem(into, name, it->db->why.text) ? POPOTO_OK
                                                      : popoto__fail_memory(&it->db->why);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const catalog_entry *)a)->model->name, ((const catalog_entry *)b)->model->name);
}

/* A scan may come upon one twice. */
static void sort_entries(popoto_catalog *it) {
    size_t kept = 0;
    if (it->count > 0)
        qsort(it->entries, it->count, sizeof *it->entries, by_name);
    for (size_t i = 0; i < it->count; i++)
        if (kept == 0 || by_name(&it->entries[kept - 1], &it->entries[i]) != 0)
            it->entries[kept++] = it->entries[i];
    it->count = kept;
}

static int by_problem(const void *a, const void *b) {
    popoto_text x = ((const catalog_problem *)a)->name, y = ((const catalog_problem *)b)->name;
    int order = memcmp(x.data, y.data, x.size < y.size ? x.size : y.size);
    return order != 0 ? order : (x.size > y.size) - (x.size < y.size);
}

static void sort_problems(popoto_catalog *it) {
    size_t kept = 0;
    if (it->problem_count > 0)
        qsort(it->problems, it->problem_count, sizeof *it->problems, by_problem);
    for (size_t i = 0; i < it->problem_count; i++)
        if (kept == 0 || by_problem(&it->problems[kept - 1], &it->problems[i]) != 0)
            it->problems[kept++] = it->problems[i];
    it->problem_count = kept;
}

/* One that is broken is no reason to do without the others. */
static popoto_status decode_all(published *it, popoto_catalog *into) {
    popoto_status status = POPOTO_OK;
    into->problems =
        popoto__arena_allocate(&into->memory, (it->count + 1) * sizeof *into->problems);
    if (into->problems == NULL)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < it->count && status == POPOTO_OK; i++)
        status = decode(it, into, i);
    if (status != POPOTO_OK)
        return status;
    sort_entries(into);
    sort_problems(into);
    return POPOTO_OK;
}

popoto_status popoto_catalog_published(popoto_db *db, popoto_catalog **catalog) {
    popoto_status status = begin(db, catalog);
    if (status != POPOTO_OK)
        return finish(status, catalog);
    published it = { .db = db, .memory = &db->scratch };
    popoto__buffer_init(&it.cursor, &db->allocator);
    do
        status = read_page(&it);
    while (status == POPOTO_OK && !(it.cursor.size == 1 && it.cursor.data[0] == '0'));
    if (status == POPOTO_OK && *catalog != NULL)
        status = decode_all(&it, *catalog);
    popoto__buffer_free(&it.cursor);
    if (status != POPOTO_OK || popoto_catalog_problem_count(*catalog) == 0)
        return finish(status, catalog);
    return popoto__fail(&db->why, POPOTO_CORRUPT, "%s", popoto_catalog_problem(*catalog, 0, NULL));
}
