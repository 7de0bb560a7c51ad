/* infer - models of a database that nobody described: their names from the sets of all records, their
 * fields and types from a sample of records, what is part of the key and what partitions what by comparing
 * the values of these records with the segments of keys. A guess, and said to be one. */
#include "catalog.h"
#include "read_commands.h"
#include "walk.h"

#include <stdio.h>
#include <string.h>

#define MOST_MODELS  64
#define MOST_CLASSES 4 /* sets of all records that are looked into, of a model */
#define SAMPLE       128
#define EXAMPLES     3 /* index keys that are looked at, of a field */

/* One record of the sample. */
typedef struct specimen {
    popoto_text key;
    bool read;
    popoto_value *values; /* by field of the guess; POPOTO_ANY: it has no such field */
} specimen;

typedef struct guessed_field {
    popoto_text name;
    unsigned types; /* seen, as bits; null left out */
    bool has_null;
    popoto_kind kind;
    popoto_text examples[EXAMPLES]; /* keys of its index */
    size_t example_count;
    const char *partition_by;
} guessed_field;

typedef struct guess {
    popoto_db *db;
    popoto_catalog *into;
    arena memory; /* of the sample */
    popoto_text name;
    bool strict;
    popoto_text classes[MOST_CLASSES];
    size_t class_count;
    specimen *sample;
    size_t sample_count;
    guessed_field fields[MODEL_MAX_FIELDS];
    size_t field_count;
    const model *plain; /* a model of that name: knows the dialect */
    bool ambiguous;
} guess;

/* What of the db's models was found. */
typedef struct finds {
    popoto_text name;
    bool strict;
    popoto_text classes[MOST_CLASSES];
    size_t class_count;
} finds;

typedef struct survey {
    popoto_db *db;
    popoto_catalog *into;
    arena memory;
    finds models[MOST_MODELS];
    size_t count;
} survey;

static bool same(popoto_text a, popoto_text b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static popoto_text kept(arena *memory, popoto_text text) {
    return (popoto_text){ popoto__arena_copy(memory, text.data, text.size), text.size };
}

/* ----- Which models there are ----------------------------------------------------------------- */

static popoto_status note_class(survey *it, popoto_text name, popoto_text key, bool strict) {
    finds *one = NULL;
    for (size_t i = 0; i < it->count && one == NULL; i++)
        if (same(it->models[i].name, name) && it->models[i].strict == strict)
            one = &it->models[i];
    if (one == NULL && it->count == MOST_MODELS)
        return POPOTO_OK;
    if (one == NULL) {
        one = &it->models[it->count++];
        *one = (finds){ .name = kept(&it->memory, name), .strict = strict };
    }
    if (one->class_count < MOST_CLASSES)
        one->classes[one->class_count++] = kept(&it->memory, key);
    bool failed = one->name.data == NULL || one->classes[one->class_count - 1].data == NULL;
    return failed ? popoto__fail_memory(&it->db->why) : POPOTO_OK;
}

/* "$Class:Episode" and "{project-a}:$Class:Episode". */
static popoto_status note_key(survey *it, popoto_text key, bool strict) {
    static const char prefix[] = "$Class:";
    popoto_text tenant = popoto__key_tenant(key), name = key;
    if (strict && tenant.data == NULL)
        return POPOTO_OK;
    if (strict)
        name = (popoto_text){ key.data + tenant.size + 3, key.size - tenant.size - 3 };
    if (name.size < sizeof prefix || memcmp(name.data, prefix, sizeof prefix - 1) != 0)
        return POPOTO_OK;
    name = (popoto_text){ name.data + sizeof prefix - 1, name.size - (sizeof prefix - 1) };
    return note_class(it, name, key, strict);
}

static popoto_status survey_keys(survey *it, popoto_text pattern, bool strict) {
    key_walk walk;
    bool more;
    popoto__key_walk_begin(&walk, it->db, pattern);
    popoto_status status = popoto__key_walk_next(&walk, &more);
    while (status == POPOTO_OK && more) {
        for (size_t i = 0; i < walk.count && status == POPOTO_OK; i++)
            status = note_key(it, walk.keys[i], strict);
        if (status == POPOTO_OK)
            status = popoto__key_walk_next(&walk, &more);
    }
    popoto__key_walk_end(&walk);
    return status;
}

/* ----- A sample of the records ---------------------------------------------------------------- */

static guessed_field *field_named(guess *it, popoto_text name) {
    for (size_t i = 0; i < it->field_count; i++)
        if (same(it->fields[i].name, name))
            return &it->fields[i];
    return NULL;
}

static guessed_field *add_field(guess *it, popoto_text name) {
    guessed_field *one = field_named(it, name);
    if (one != NULL || it->field_count == MODEL_MAX_FIELDS)
        return one;
    one = &it->fields[it->field_count++];
    *one = (guessed_field){ .name = kept(&it->memory, name) };
    return one;
}

static popoto_status take_members(void *context, size_t index, const reply *answer) {
    guess *it = context;
    (void)index;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_is_error(answer, "WRONGTYPE")
                   ? POPOTO_OK
                   : popoto__reply_failure(answer, "sampling records", &it->db->why);
    if (answer->type != REPLY_ARRAY || answer->count != 2)
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered SSCAN with no page");
    const reply *members = answer->items[1];
    for (size_t i = 0; i < members->count && it->sample_count < SAMPLE; i++)
        it->sample[it->sample_count++] =
            (specimen){ .key = { members->items[i]->text, members->items[i]->size } };
    return POPOTO_OK;
}

static popoto_status read_specimen(guess *it, specimen *one, const reply *answer) {
    one->values = popoto__arena_zeroed(&it->memory, MODEL_MAX_FIELDS, sizeof *one->values);
    if (one->values == NULL)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < MODEL_MAX_FIELDS; i++)
        one->values[i].type = POPOTO_ANY;
    for (size_t i = 0; i + 1 < answer->count; i += 2) {
        const reply *name = answer->items[i], *stored = answer->items[i + 1];
        const char *reason = NULL;
        popoto_value value;
        guessed_field *about = add_field(it, (popoto_text){ name->text, name->size });
        if (about == NULL)
            continue;
        if (about->name.data == NULL)
            return popoto__fail_memory(&it->db->why);
        if (!popoto__codec_read(&it->memory, stored->text, stored->size, &value, &reason)) {
            if (reason == CODEC_NO_MEMORY)
                return popoto__fail_memory(&it->db->why);
            continue;
        }
        one->values[about - it->fields] = value;
        about->types |= value.type == POPOTO_NULL ? 0 : 1U << value.type;
        about->has_null = about->has_null || value.type == POPOTO_NULL;
        one->read = true;
    }
    return POPOTO_OK;
}

/* Of a hash that is no record and has a million fields, the first will do. */
static void render_specimen(popoto_text key, buffer *out) {
    popoto__render_entry_scan(SHAPE_HASH, key, TEXT("0"), (popoto_text){ NULL, 0 },
                              2 * MODEL_MAX_FIELDS, out);
}

static popoto_status take_specimen(guess *it, specimen *one, const reply *answer) {
    if (answer->type != REPLY_ARRAY || answer->count != 2 || answer->items[1]->type != REPLY_ARRAY)
        return POPOTO_OK; /* no hash */
    return read_specimen(it, one, answer->items[1]);
}

static popoto_status take_record(void *context, size_t index, const reply *answer) {
    guess *it = context;
    return take_specimen(it, &it->sample[index], answer);
}

static popoto_status take_sample(guess *it) {
    popoto_db *db = it->db;
    it->sample = popoto__arena_zeroed(&it->memory, SAMPLE, sizeof *it->sample);
    if (it->sample == NULL)
        return popoto__fail_memory(&db->why);
    popoto__buffer_clear(&db->request);
    for (size_t i = 0; i < it->class_count; i++)
        popoto__render_scan(it->classes[i], TEXT("0"), SAMPLE / it->class_count, &db->request);
    popoto_status status =
        popoto__db_exchange(db, it->class_count, false, &it->memory, take_members, it);
    popoto__buffer_clear(&db->request);
    for (size_t i = 0; i < it->sample_count; i++)
        render_specimen(it->sample[i].key, &db->request);
    if (status == POPOTO_OK && it->sample_count > 0)
        status = popoto__db_exchange(db, it->sample_count, false, &it->memory, take_record, it);
    size_t read = 0;
    for (size_t i = 0; i < it->sample_count; i++)
        if (it->sample[i].read)
            it->sample[read++] = it->sample[i];
    it->sample_count = read;
    return status;
}

/* ----- The indexes that there are ------------------------------------------------------------- */

static const popoto_kind index_kinds[] = { POPOTO_KIND_KEY, POPOTO_KIND_UNIQUE_KEY,
                                           POPOTO_KIND_SORTED, POPOTO_KIND_CONFIDENCE };
#define INDEX_KINDS (sizeof index_kinds / sizeof *index_kinds)

/* "$KeyF:Episode:" + "project_id" + ":project-a" */
static bool read_index_key(const guess *it, popoto_text key, popoto_kind *kind, popoto_text *name) {
    popoto_text tenant = popoto__key_tenant(key);
    if (it->strict && tenant.data != NULL)
        key = (popoto_text){ key.data + tenant.size + 3, key.size - tenant.size - 3 };
    for (size_t i = 0; i < INDEX_KINDS; i++) {
        popoto_text prefix = popoto__index_prefix(it->plain, index_kinds[i]);
        size_t head = prefix.size + it->name.size + 2;
        if (key.size <= head || memcmp(key.data, prefix.data, prefix.size) != 0 ||
            key.data[prefix.size] != ':' ||
            memcmp(key.data + prefix.size + 1, it->name.data, it->name.size) != 0 ||
            key.data[head - 1] != ':')
            continue;
        const char *end = memchr(key.data + head, ':', key.size - head);
        *kind = index_kinds[i];
        *name = (popoto_text){ key.data + head,
                               end != NULL ? (size_t)(end - key.data) - head : key.size - head };
        return name->size > 0;
    }
    return false;
}

static popoto_status note_index(guess *it, popoto_text key) {
    popoto_kind kind;
    popoto_text name;
    if (!read_index_key(it, key, &kind, &name))
        return POPOTO_OK;
    guessed_field *about = add_field(it, name);
    if (about == NULL)
        return POPOTO_OK;
    about->kind = kind;
    if (about->example_count < EXAMPLES)
        about->examples[about->example_count++] = kept(&it->memory, key);
    bool failed =
        about->name.data == NULL || about->examples[about->example_count - 1].data == NULL;
    return failed ? popoto__fail_memory(&it->db->why) : POPOTO_OK;
}

static popoto_status find_indexes(guess *it) {
    key_walk walk;
    bool more;
    popoto_text pattern = popoto__index_pattern(it->plain, (popoto_text){ NULL, 0 }, &it->memory);
    if (pattern.data == NULL)
        return popoto__fail_memory(&it->db->why);
    popoto__key_walk_begin(&walk, it->db, pattern);
    popoto_status status = popoto__key_walk_next(&walk, &more);
    while (status == POPOTO_OK && more) {
        for (size_t i = 0; i < walk.count && status == POPOTO_OK; i++)
            status = note_index(it, walk.keys[i]);
        if (status == POPOTO_OK)
            status = popoto__key_walk_next(&walk, &more);
    }
    popoto__key_walk_end(&walk);
    return status;
}

/* ----- Values as keys hold them ---------------------------------------------------------------- */

typedef enum segment_form {
    FORM_ESCAPED,
    FORM_TENANT, /* as between braces */
    FORM_RAW,    /* as partitions of companion hashes are in the dialect of Popoto */
} segment_form;

/* Whether a value, as it stands in keys, is this text. *failed: no memory. */
static bool stands_as(guess *it, const popoto_value *value, segment_form form, popoto_text text,
                      bool *failed) {
    buffer plain, made;
    const char *reason;
    bool equal = false;
    popoto__buffer_init(&plain, &it->db->allocator);
    popoto__buffer_init(&made, &it->db->allocator);
    if (value->type == POPOTO_NULL && it->plain->null_segment != NULL)
        popoto__buffer_append_text(&plain, it->plain->null_segment);
    else if (value->type == POPOTO_ANY || !popoto__codec_key_text(&plain, value, &reason))
        goto done;
    if (form == FORM_ESCAPED)
        popoto__key_escape(&made, it->plain->escapes, plain.data, plain.size);
    else if (form == FORM_TENANT)
        popoto__key_escape_tenant(&made, plain.data, plain.size);
    else
        popoto__buffer_append(&made, plain.data, plain.size);
    equal = !made.failed && made.size == text.size &&
            (text.size == 0 || memcmp(made.data, text.data, text.size) == 0);
done:
    *failed = *failed || plain.failed || made.failed;
    popoto__buffer_free(&plain);
    popoto__buffer_free(&made);
    return equal;
}

/* The segments of a record's key after the model's name. */
static size_t key_segments(const guess *it, popoto_text key, popoto_text *out, size_t room) {
    popoto_text tenant = popoto__key_tenant(key);
    if (it->strict && tenant.data != NULL)
        key = (popoto_text){ key.data + tenant.size + 3, key.size - tenant.size - 3 };
    key_rest rest = popoto__key_split(key.data, key.size);
    size_t count = 0;
    popoto_text segment;
    if (!popoto__key_next(&rest, &segment.data, &segment.size) || !same(segment, it->name))
        return 0;
    while (count < room && popoto__key_next(&rest, &segment.data, &segment.size))
        out[count++] = segment;
    return count;
}

/* ----- The key --------------------------------------------------------------------------------- */

/* Whether a field has, in all of the sample, the value that stands at this place of the key (SIZE_MAX:
 * before it, as the tenant). */
static bool is_at(guess *it, size_t field_index, size_t position, bool *failed) {
    popoto_text segments[MODEL_MAX_FIELDS];
    for (size_t i = 0; i < it->sample_count; i++) {
        const specimen *one = &it->sample[i];
        popoto_text segment = popoto__key_tenant(one->key);
        if (position != SIZE_MAX) {
            if (key_segments(it, one->key, segments, MODEL_MAX_FIELDS) <= position)
                return false;
            segment = segments[position];
        }
        if (!stands_as(it, &one->values[field_index],
                       position == SIZE_MAX ? FORM_TENANT : FORM_ESCAPED, segment, failed))
            return false;
    }
    return true;
}

static bool is_indexed_key(popoto_kind kind) {
    return kind == POPOTO_KIND_KEY || kind == POPOTO_KIND_UNIQUE_KEY;
}

/* The field that stands at a place of the key: one with a KEY's index rather than one that happens to
 * have the same values. */
static size_t field_at(guess *it, size_t position, const bool *used, bool *failed) {
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < it->field_count; i++) {
        if (used[i] || it->fields[i].kind == POPOTO_KIND_SORTED ||
            it->fields[i].kind == POPOTO_KIND_CONFIDENCE || !is_at(it, i, position, failed))
            continue;
        if (found == SIZE_MAX ||
            (is_indexed_key(it->fields[i].kind) && !is_indexed_key(it->fields[found].kind)))
            found = i;
        else if (is_indexed_key(it->fields[i].kind) == is_indexed_key(it->fields[found].kind))
            it->ambiguous = true;
    }
    return found;
}

/* The order of the key's fields: `order` gets them, the tenant first. False: it cannot be told. */
static bool find_key(guess *it, size_t *order, size_t *count, bool *failed) {
    bool used[MODEL_MAX_FIELDS] = { false };
    popoto_text segments[MODEL_MAX_FIELDS];
    size_t length = key_segments(it, it->sample[0].key, segments, MODEL_MAX_FIELDS);
    *count = 0;
    for (size_t i = it->strict ? 0 : 1; i <= length; i++) {
        size_t at = field_at(it, i == 0 ? SIZE_MAX : i - 1, used, failed);
        if (at == SIZE_MAX)
            return false;
        used[at] = true;
        order[(*count)++] = at;
        if (i == 0)
            it->fields[at].kind = POPOTO_KIND_TENANT;
        else if (!is_indexed_key(it->fields[at].kind))
            it->fields[at].kind = POPOTO_KIND_AUTO_KEY;
    }
    return *count > 0;
}

/* ----- Partitions ------------------------------------------------------------------------------ */

typedef struct example {
    guess *of;
    specimen record; /* one that stands in the index */
} example;

static popoto_status take_example_member(void *context, size_t index, const reply *answer) {
    example *it = context;
    (void)index;
    if (answer->type != REPLY_ARRAY || answer->count != 2 ||
        answer->items[1]->type != REPLY_ARRAY || answer->items[1]->count == 0)
        return POPOTO_OK;
    const reply *member = answer->items[1]->items[0];
    it->record.key = (popoto_text){ member->text, member->size };
    return POPOTO_OK;
}

static popoto_status take_example_record(void *context, size_t index, const reply *answer) {
    example *it = context;
    (void)index;
    return take_specimen(it->of, &it->record, answer);
}

/* A record that stands in an index. */
static popoto_status read_example(guess *it, const guessed_field *about, popoto_text key,
                                  example *out) {
    popoto_db *db = it->db;
    index_shape shape = about->kind == POPOTO_KIND_SORTED ? SHAPE_SORTED : SHAPE_HASH;
    *out = (example){ .of = it };
    popoto__buffer_clear(&db->request);
    popoto__render_entry_scan(shape, key, TEXT("0"), (popoto_text){ NULL, 0 }, 1, &db->request);
    popoto_status status = popoto__db_exchange(db, 1, false, &it->memory, take_example_member, out);
    if (status != POPOTO_OK || out->record.key.data == NULL)
        return status;
    popoto__buffer_clear(&db->request);
    render_specimen(out->record.key, &db->request);
    return popoto__db_exchange(db, 1, false, &it->memory, take_example_record, out);
}

/* What an index key has after its field's name: "a:b" of "$SortedF:Trade:price:a:b". */
static popoto_text partition_of(const guess *it, const guessed_field *about, popoto_text key) {
    static const char data[] = ":data";
    popoto_kind kind;
    popoto_text name;
    if (!read_index_key(it, key, &kind, &name))
        return (popoto_text){ NULL, 0 };
    popoto_text rest = { name.data + name.size,
                         (size_t)(key.data + key.size - name.data) - name.size };
    size_t head = about->kind == POPOTO_KIND_CONFIDENCE ? sizeof data - 1 : 0;
    if (rest.size < head || memcmp(rest.data, data, head) != 0 || rest.size <= head + 1)
        return (popoto_text){ NULL, 0 };
    return (popoto_text){ rest.data + head + 1, rest.size - head - 1 };
}

/* The field whose values are the segments at one place of the partitions of all examples. */
static size_t partition_field(guess *it, const guessed_field *about, const example *examples,
                              const popoto_text *segments, size_t count, const bool *is_key,
                              bool *failed) {
    bool raw = about->kind == POPOTO_KIND_CONFIDENCE && it->db->options.dialect == POPOTO_AS_POPOTO;
    size_t found = SIZE_MAX;
    for (size_t f = 0; f < it->field_count; f++) {
        bool fits = &it->fields[f] != about && it->fields[f].kind != POPOTO_KIND_TENANT;
        for (size_t e = 0; e < count && fits; e++)
            fits = examples[e].record.read &&
                   stands_as(it, &examples[e].record.values[f], raw ? FORM_RAW : FORM_ESCAPED,
                             segments[e], failed);
        if (!fits)
            continue;
        if (found == SIZE_MAX || (is_key[f] && !is_key[found]))
            found = f;
        else if (is_key[f] == is_key[found])
            it->ambiguous = true;
    }
    return found;
}

static size_t split(popoto_text partition, popoto_text *out, size_t room) {
    key_rest rest = popoto__key_split(partition.data, partition.size);
    size_t count = 0;
    popoto_text segment;
    while (count < room && popoto__key_next(&rest, &segment.data, &segment.size))
        out[count++] = segment;
    return count;
}

/* "exchange,symbol", from the examples' keys and records; NULL where it cannot be told. */
static popoto_status find_partition(guess *it, guessed_field *about, const bool *is_key) {
    enum {
        MOST = 16
    };
    example examples[EXAMPLES];
    popoto_text parts[EXAMPLES][MOST];
    size_t count = 0, length = 0;
    bool failed = false;
    buffer names;
    for (size_t i = 0; i < about->example_count; i++) {
        popoto_text partition = partition_of(it, about, about->examples[i]);
        if (partition.data == NULL)
            return POPOTO_OK; /* not partitioned, or one that awaits its migration */
        popoto_status status = read_example(it, about, about->examples[i], &examples[count]);
        if (status != POPOTO_OK)
            return status;
        size_t size = split(partition, parts[count], MOST);
        if (!examples[count].record.read || (count > 0 && size != length))
            continue;
        length = size;
        count++;
    }
    if (count == 0)
        return POPOTO_OK;
    popoto__buffer_init(&names, &it->db->allocator);
    for (size_t p = 0; p < length && !failed; p++) {
        popoto_text segments[EXAMPLES];
        for (size_t e = 0; e < count; e++)
            segments[e] = parts[e][p];
        size_t by = partition_field(it, about, examples, segments, count, is_key, &failed);
        if (by == SIZE_MAX)
            break;
        if (p > 0)
            popoto__buffer_append_text(&names, ",");
        popoto__buffer_append(&names, it->fields[by].name.data, it->fields[by].name.size);
        if (p + 1 == length)
            about->partition_by = popoto__arena_copy(&it->into->memory, names.data, names.size);
    }
    failed = failed || names.failed;
    popoto__buffer_free(&names);
    return failed ? popoto__fail_memory(&it->db->why) : POPOTO_OK;
}

/* ----- The model ------------------------------------------------------------------------------- */

static popoto_type type_of(const guessed_field *it) {
    const unsigned numbers = 1U << POPOTO_INT | 1U << POPOTO_FLOAT;
    if (it->kind == POPOTO_KIND_CONFIDENCE || it->types == numbers)
        return POPOTO_FLOAT;
    for (int type = POPOTO_BOOL; type < POPOTO_ANY; type++)
        if (it->types == 1U << type)
            return (popoto_type)type;
    return it->kind == POPOTO_KIND_SORTED  ? POPOTO_FLOAT
           : it->kind == POPOTO_KIND_FIELD ? POPOTO_ANY
                                           : POPOTO_TEXT;
}

static bool is_ulid(const guess *it, size_t field_index) {
    const popoto_value *value = &it->sample[0].values[field_index];
    return value->type == POPOTO_TEXT && value->as.text.size == 26;
}

static popoto_status build_field(guess *it, size_t index, const bool *partitions,
                                 popoto_field *out) {
    guessed_field *from = &it->fields[index];
    *out = (popoto_field){ .kind = from->kind,
                           .type = type_of(from),
                           .partition_by = from->partition_by };
    out->name = popoto__arena_copy(&it->into->memory, from->name.data, from->name.size);
    bool may_be_null =
        from->kind == POPOTO_KIND_FIELD || (from->kind == POPOTO_KIND_KEY && from->has_null);
    out->null = may_be_null && !partitions[index];
    if (from->kind == POPOTO_KIND_AUTO_KEY && is_ulid(it, index))
        out->generate = POPOTO_ULID;
    return out->name != NULL ? POPOTO_OK : popoto__fail_memory(&it->db->why);
}

static void mark_partitions(const guess *it, bool *partitions) {
    for (size_t i = 0; i < it->field_count; i++) {
        const char *list = it->fields[i].partition_by;
        size_t size;
        if (list == NULL)
            continue;
        for (const char *name = popoto__list_next(&list, &size); size > 0;
             name = popoto__list_next(&list, &size))
            for (size_t f = 0; f < it->field_count; f++)
                if (same(it->fields[f].name, (popoto_text){ name, size }))
                    partitions[f] = true;
    }
}

static popoto_status build(guess *it, const size_t *key, size_t key_count, const bool *is_key) {
    bool partitions[MODEL_MAX_FIELDS] = { false };
    arena *memory = &it->into->memory;
    popoto_model *out = popoto__arena_zeroed(memory, 1, sizeof *out);
    popoto_field *fields = popoto__arena_zeroed(memory, it->field_count, sizeof *fields);
    if (out == NULL || fields == NULL)
        return popoto__fail_memory(&it->db->why);
    popoto_status status = POPOTO_OK;
    size_t count = 0;
    mark_partitions(it, partitions);
    for (size_t i = 0; i < key_count && status == POPOTO_OK; i++)
        status = build_field(it, key[i], partitions, &fields[count++]);
    for (size_t i = 0; i < it->field_count && status == POPOTO_OK; i++)
        if (!is_key[i])
            status = build_field(it, i, partitions, &fields[count++]);
    char text[240];
    snprintf(text, sizeof text,
             "inferred from %zu records%s; defaults, longest lengths, evidence caps and times to "
             "live are not known",
             it->sample_count, it->ambiguous ? ", among fields that have equal values" : "");
    const char *note = popoto__arena_copy(memory, text, strlen(text));
    *out = (popoto_model){ .fields = fields, .field_count = count };
    out->name = popoto__arena_copy(memory, it->name.data, it->name.size);
    if (status == POPOTO_OK && (note == NULL || out->name == NULL))
        status = popoto__fail_memory(&it->db->why);
    if (status == POPOTO_OK)
        status = popoto__catalog_add(it->db, it->into, out, it->db->options.dialect, note);
    /* What contradicts itself is no model of ours. */
    return status == POPOTO_BAD_MODEL ? POPOTO_OK : status;
}

static popoto_status guess_model(guess *it) {
    size_t key[MODEL_MAX_FIELDS], key_count;
    bool is_key[MODEL_MAX_FIELDS] = { false }, failed = false;
    popoto_status status = take_sample(it);
    if (status == POPOTO_OK && it->sample_count > 0)
        status = find_indexes(it);
    if (status != POPOTO_OK || it->sample_count == 0)
        return status;
    bool found = find_key(it, key, &key_count, &failed);
    if (failed)
        return popoto__fail_memory(&it->db->why);
    if (!found)
        return POPOTO_OK;
    for (size_t i = 0; i < key_count; i++)
        is_key[key[i]] = true;
    for (size_t i = 0; i < it->field_count && status == POPOTO_OK; i++) {
        guessed_field *about = &it->fields[i];
        if (about->kind == POPOTO_KIND_SORTED || about->kind == POPOTO_KIND_CONFIDENCE)
            status = find_partition(it, about, is_key);
        else if (!is_key[i])
            about->kind = POPOTO_KIND_FIELD; /* an index that stayed behind */
    }
    return status == POPOTO_OK ? build(it, key, key_count, is_key) : status;
}

/* A model of the same name, for what the dialect says. */
static popoto_status make_plain(guess *it) {
    popoto_field *fields = popoto__arena_zeroed(&it->memory, 2, sizeof *fields);
    popoto_model *declared = popoto__arena_zeroed(&it->memory, 1, sizeof *declared);
    if (fields == NULL || declared == NULL || it->name.data == NULL)
        return popoto__fail_memory(&it->db->why);
    fields[0] = (popoto_field){ .name = "a", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT };
    fields[1] = (popoto_field){ .name = "b", .kind = POPOTO_KIND_TENANT, .type = POPOTO_TEXT };
    *declared = (popoto_model){ .name = it->name.data,
                                .fields = fields,
                                .field_count = it->strict ? 2 : 1 };
    return popoto__model_compile(declared, it->db->options.dialect, &it->memory, &it->plain,
                                 &it->db->why);
}

static popoto_status guess_one(survey *whole, const finds *from) {
    guess *it = popoto__allocate_zeroed(&whole->db->allocator, 1, sizeof *it);
    if (it == NULL)
        return popoto__fail_memory(&whole->db->why);
    it->db = whole->db;
    it->into = whole->into;
    it->name = from->name;
    it->strict = from->strict;
    memcpy(it->classes, from->classes, sizeof it->classes);
    it->class_count = from->class_count;
    popoto__arena_init(&it->memory, &whole->db->allocator);
    popoto_status status = make_plain(it);
    if (status == POPOTO_OK)
        status = guess_model(it);
    popoto__arena_free(&it->memory);
    popoto__release(&whole->db->allocator, it);
    return status == POPOTO_BAD_MODEL ? POPOTO_OK : status; /* no name of a model */
}

popoto_status popoto_catalog_infer(popoto_db *db, popoto_catalog **catalog) {
    if (catalog == NULL)
        return popoto__db_needs(db, "a place for the catalog");
    *catalog = NULL;
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    if (!popoto__model_has_dialect(db->options.dialect)) {
        db->why = db->unusable;
        return db->why.status;
    }
    survey *it = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it);
    popoto_catalog *made = popoto__catalog_new(db);
    popoto_status status = it == NULL || made == NULL ? popoto__fail_memory(&db->why) : POPOTO_OK;
    if (status == POPOTO_OK) {
        it->db = db;
        it->into = made;
        popoto__arena_init(&it->memory, &db->allocator);
        status = survey_keys(it, TEXT("$Class:*"), false);
    }
    if (status == POPOTO_OK)
        status = survey_keys(it, TEXT("{*}:$Class:*"), true);
    for (size_t i = 0; status == POPOTO_OK && i < it->count; i++)
        status = guess_one(it, &it->models[i]);
    if (it != NULL && made != NULL)
        popoto__arena_free(&it->memory);
    popoto__release(&db->allocator, it);
    if (status == POPOTO_OK)
        *catalog = made;
    else
        popoto_catalog_free(made);
    return status;
}
