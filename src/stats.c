/* stats - the tenants of a model with their figures: counted, weighed and averaged in two walks, over the
 * records and over the indexes, with memory for a line a tenant. Builds no key. */
#include "moment.h"
#include "owner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of each tenant so many records are weighed, then one of so many. */
#define WEIGHED_FIRST 64
#define WEIGHED_LATER 16
#define KEYS_A_STEP   256

typedef struct tenant_line {
    popoto_text segment; /* data NULL: a free slot */
    size_t records;
    size_t weighed;
    double weight; /* of the records that were weighed */
    size_t entries;
    double index_weight;
    double confidence_sum;
    size_t confidence_count;
    int64_t idle; /* -1: not known */
} tenant_line;

/* By segment: open addressing, at most half full. */
typedef struct table {
    tenant_line *slots;
    size_t count;
    size_t room; /* a power of two */
} table;

typedef struct counting {
    popoto_db *db;
    const model *of;
    const field *about;
    arena memory;
    table tenants;
    bool knows_idle;
    popoto_progress *progress;
    void *context;
    size_t seen; /* keys */
    /* Of the step under way: whose the keys are, and whether each is weighed. */
    tenant_line *lines[KEYS_A_STEP];
    bool weighs[KEYS_A_STEP];
    size_t reply_of[2 * KEYS_A_STEP]; /* the key that each reply is about */
    double *index_weights;            /* by index of this page */
    const index_ref *indexes;
} counting;

/* ----- The table ------------------------------------------------------------------------------ */

static tenant_line *slot_of(table *it, popoto_text segment) {
    size_t at = (size_t)popoto__digest(segment.data, segment.size) & (it->room - 1);
    while (it->slots[at].segment.data != NULL &&
           (it->slots[at].segment.size != segment.size ||
            memcmp(it->slots[at].segment.data, segment.data, segment.size) != 0))
        at = (at + 1) & (it->room - 1);
    return &it->slots[at];
}

static bool grow(counting *it) {
    table bigger = { .room = it->tenants.room ? it->tenants.room * 2 : 64 };
    bigger.slots = popoto__allocate_zeroed(&it->db->allocator, bigger.room, sizeof *bigger.slots);
    if (bigger.slots == NULL)
        return false;
    for (size_t i = 0; i < it->tenants.room; i++)
        if (it->tenants.slots[i].segment.data != NULL)
            *slot_of(&bigger, it->tenants.slots[i].segment) = it->tenants.slots[i];
    bigger.count = it->tenants.count;
    popoto__release(&it->db->allocator, it->tenants.slots);
    it->tenants = bigger;
    return true;
}

/* There is room for `more` tenants without a move of those that are there. */
static bool make_room(counting *it, size_t more) {
    while (2 * (it->tenants.count + more) >= it->tenants.room)
        if (!grow(it))
            return false;
    return true;
}

/* NULL: no memory. */
static tenant_line *line_of(counting *it, popoto_text segment) {
    tenant_line *line = slot_of(&it->tenants, segment);
    if (line->segment.data != NULL)
        return line;
    const char *copy = popoto__arena_copy(&it->memory, segment.data, segment.size);
    if (copy == NULL)
        return NULL;
    *line = (tenant_line){ .segment = { copy, segment.size }, .idle = -1 };
    it->tenants.count++;
    return line;
}

/* ----- Records -------------------------------------------------------------------------------- */

static popoto_status take_record(void *context, size_t index, const reply *answer) {
    counting *it = context;
    size_t number = it->reply_of[index];
    tenant_line *line = it->lines[number];
    bool is_weight = index > 0 && it->reply_of[index - 1] == number;
    if (is_weight && answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "asking for the size of a record", &it->db->why);
    if (answer->type == REPLY_ERROR)
        it->knows_idle = false; /* the server evicts by frequency, and keeps no times */
    if (answer->type != REPLY_INTEGER)
        return POPOTO_OK; /* gone meanwhile */
    if (is_weight) {
        line->weighed++;
        line->weight += (double)answer->integer;
    } else if (line->idle < 0 || answer->integer < line->idle) {
        line->idle = answer->integer;
    }
    return POPOTO_OK;
}

static popoto_status ask_records(counting *it, const popoto_text *keys, size_t count) {
    size_t replies = 0;
    popoto__buffer_clear(&it->db->request);
    for (size_t i = 0; i < count; i++) {
        if (it->lines[i] == NULL)
            continue;
        popoto__render_idle_time(keys[i], &it->db->request);
        it->reply_of[replies++] = i;
        if (!it->weighs[i])
            continue;
        popoto__render_memory_usage(keys[i], &it->db->request);
        it->reply_of[replies++] = i;
    }
    return replies == 0 ? POPOTO_OK
                        : popoto__db_exchange(it->db, replies, false, NULL, take_record, it);
}

static popoto_status count_records(counting *it, const popoto_text *keys, size_t count) {
    if (!make_room(it, count))
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < count; i++) {
        popoto_text segment = popoto__key_segment(it->of, it->about, keys[i]);
        it->lines[i] = NULL;
        if (segment.data == NULL)
            continue;
        tenant_line *line = line_of(it, segment);
        if (line == NULL)
            return popoto__fail_memory(&it->db->why);
        it->weighs[i] = line->records < WEIGHED_FIRST || line->records % WEIGHED_LATER == 0;
        line->records++;
        it->lines[i] = line;
    }
    return ask_records(it, keys, count);
}

/* ----- Indexes -------------------------------------------------------------------------------- */

static popoto_status take_weight(void *context, size_t index, const reply *answer) {
    counting *it = context;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "asking for the size of an index", &it->db->why);
    it->index_weights[index] = answer->type == REPLY_INTEGER ? (double)answer->integer : 0;
    return POPOTO_OK;
}

static popoto_status weigh_indexes(counting *it, const index_ref *indexes, size_t count) {
    double *all = it->index_weights;
    popoto_status status = POPOTO_OK;
    for (size_t at = 0; at < count && status == POPOTO_OK; at += KEYS_A_STEP) {
        size_t part = count - at < KEYS_A_STEP ? count - at : KEYS_A_STEP;
        popoto__buffer_clear(&it->db->request);
        for (size_t i = at; i < at + part; i++)
            popoto__render_memory_usage(indexes[i].key, &it->db->request);
        it->index_weights = all + at;
        status = popoto__db_exchange(it->db, part, false, NULL, take_weight, it);
    }
    it->index_weights = all;
    return status;
}

static void add_confidence(tenant_line *line, const index_entry *entry) {
    popoto_confidence figures;
    if (entry->of->about == NULL || entry->of->about->kind != POPOTO_KIND_CONFIDENCE ||
        !popoto__codec_read_confidence(entry->extra.data, entry->extra.size,
                                       entry->of->about->initial_confidence, &figures))
        return;
    line->confidence_sum += figures.confidence;
    line->confidence_count++;
}

/* Entries tell whose they are by their members' names; of a strict model, by the index that they are in,
 * which is then counted as a whole. */
static popoto_status take_entries(void *context, const index_entry *entries, size_t count) {
    counting *it = context;
    bool strict = it->of->tenant != NULL;
    if (!make_room(it, count))
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < count; i++) {
        const index_ref *of = entries[i].of;
        popoto_text segment = strict ? popoto__key_tenant(of->key)
                                     : popoto__key_segment(it->of, it->about, entries[i].member);
        if (segment.data == NULL)
            continue;
        tenant_line *line = line_of(it, segment);
        if (line == NULL)
            return popoto__fail_memory(&it->db->why);
        add_confidence(line, &entries[i]);
        if (strict)
            continue;
        line->entries++;
        line->index_weight += it->index_weights[of - it->indexes] / (double)of->size;
    }
    return POPOTO_OK;
}

static popoto_status count_whole(counting *it, const index_ref *indexes, size_t count) {
    if (!make_room(it, count))
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < count; i++) {
        tenant_line *line = line_of(it, popoto__key_tenant(indexes[i].key));
        if (line == NULL)
            return popoto__fail_memory(&it->db->why);
        line->entries += indexes[i].size > 0 ? (size_t)indexes[i].size : 0;
        line->index_weight += it->index_weights[i];
    }
    return POPOTO_OK;
}

static popoto_status count_indexes(counting *it, index_ref *indexes, size_t count) {
    popoto_status status = weigh_indexes(it, indexes, count);
    it->indexes = indexes;
    if (status != POPOTO_OK || it->of->tenant == NULL)
        return status == POPOTO_OK
                   ? popoto__walk_entries(it->db, indexes, count, (popoto_text){ NULL, 0 },
                                          take_entries, it)
                   : status;
    status = popoto__walk_sizes(it->db, indexes, count);
    if (status == POPOTO_OK)
        status = count_whole(it, indexes, count);
    /* Only companion hashes are read. */
    size_t hashes = 0;
    for (size_t i = 0; i < count; i++)
        if (popoto__index_shape(indexes[i].about) == SHAPE_HASH)
            indexes[hashes++] = indexes[i];
    return status == POPOTO_OK ? popoto__walk_entries(it->db, indexes, hashes,
                                                      (popoto_text){ NULL, 0 }, take_entries, it)
                               : status;
}

static popoto_status take_index_keys(counting *it, const popoto_text *keys, size_t count) {
    size_t index_count = 0;
    index_ref *indexes = popoto__allocate_zeroed(&it->db->allocator, count + 1, sizeof *indexes);
    it->index_weights =
        popoto__allocate_zeroed(&it->db->allocator, count + 1, sizeof *it->index_weights);
    popoto_status status = POPOTO_OK;
    if (indexes == NULL || it->index_weights == NULL)
        status = popoto__fail_memory(&it->db->why);
    for (size_t i = 0; status == POPOTO_OK && i < count; i++) {
        index_kind kind = popoto__index_of_key(it->of, keys[i], &indexes[index_count].about);
        indexes[index_count].key = keys[i];
        index_count += kind == INDEX_CLASS || kind == INDEX_FIELD;
    }
    if (status == POPOTO_OK)
        status = count_indexes(it, indexes, index_count);
    popoto__release(&it->db->allocator, indexes);
    popoto__release(&it->db->allocator, it->index_weights);
    return status;
}

/* ----- Whose figures they are ------------------------------------------------------------------ */

/* The value that a text in a key stands for. */
static popoto_value value_of_text(const field *about, popoto_text text) {
    popoto_value value = popoto_of_sized_text(text);
    const char *why;
    char *end, digits[9];
    double number;
    switch (about->type) {
    case POPOTO_INT: {
        long long whole = strtoll(text.data, &end, 10);
        return *end == '\0' && text.size > 0 ? popoto_of_int(whole) : value;
    }
    case POPOTO_FLOAT:
        return popoto__codec_read_double(text.data, text.size, &number) ? popoto_of_float(number)
                                                                        : value;
    case POPOTO_BOOL: return popoto_of_bool(strcmp(text.data, "True") == 0);
    case POPOTO_BYTES: return popoto_of_bytes((popoto_bytes){ text.data, text.size });
    case POPOTO_DECIMAL: value.type = POPOTO_DECIMAL; return value;
    case POPOTO_TIME: {
        popoto_value time = { POPOTO_TIME, { 0 } };
        return popoto__moment_read_time(text.data, text.size, &time.as.time, &why) ? time : value;
    }
    case POPOTO_DAY: {
        popoto_value day = { POPOTO_DAY, { 0 } };
        if (text.size != 10)
            return value;
        memcpy(digits, text.data, 4);
        memcpy(digits + 4, text.data + 5, 2);
        memcpy(digits + 6, text.data + 8, 2);
        return popoto__moment_read_day(digits, 8, &day.as.day, &why) ? day : value;
    }
    default: return value;
    }
}

static popoto_status tenant_value(counting *it, popoto_text segment, popoto_value *value) {
    buffer plain;
    const char *null_segment = it->of->null_segment;
    if (it->about->declared->null && null_segment != NULL && segment.size == strlen(null_segment) &&
        memcmp(segment.data, null_segment, segment.size) == 0) {
        *value = (popoto_value){ POPOTO_NULL, { 0 } };
        return POPOTO_OK;
    }
    popoto__buffer_init(&plain, &it->db->allocator);
    if (it->about == it->of->tenant)
        (void)popoto__key_unescape_tenant(&plain, segment.data, segment.size);
    else
        popoto__key_unescape(&plain, segment.data, segment.size);
    const char *copy =
        plain.failed ? NULL : popoto__arena_copy(&it->memory, plain.data, plain.size);
    popoto_text text = { copy, plain.size };
    popoto__buffer_free(&plain);
    if (copy == NULL)
        return popoto__fail_memory(&it->db->why);
    *value = value_of_text(it->about, text);
    return POPOTO_OK;
}

static int by_segment(const void *a, const void *b) {
    popoto_text x = ((const tenant_line *)a)->segment, y = ((const tenant_line *)b)->segment;
    int order = memcmp(x.data, y.data, x.size < y.size ? x.size : y.size);
    return order ? order : (x.size > y.size) - (x.size < y.size);
}

static popoto_status report_line(counting *it, const tenant_line *line,
                                 popoto_tenant_figures_callback *callback, void *context) {
    double records =
        line->weighed ? line->weight / (double)line->weighed * (double)line->records : 0;
    popoto_tenant_figures figures = {
        .records = line->records,
        .index_entries = line->entries,
        .bytes = (size_t)(records + line->index_weight),
        .bytes_sampled = line->weighed < line->records,
        .mean_confidence = line->confidence_count
                               ? line->confidence_sum / (double)line->confidence_count
                               : (double)NAN,
        .idle_seconds = it->knows_idle ? line->idle : -1,
    };
    popoto_status status = tenant_value(it, line->segment, &figures.tenant);
    if (status == POPOTO_OK && !callback(context, &figures))
        status = popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
    return status;
}

static popoto_status report(counting *it, popoto_tenant_figures_callback *callback, void *context) {
    size_t count = 0;
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < it->tenants.room; i++)
        if (it->tenants.slots[i].segment.data != NULL)
            it->tenants.slots[count++] = it->tenants.slots[i];
    if (count > 0)
        qsort(it->tenants.slots, count, sizeof *it->tenants.slots, by_segment);
    for (size_t i = 0; i < count && status == POPOTO_OK; i++)
        status = report_line(it, &it->tenants.slots[i], callback, context);
    return status;
}

/* ----- The whole ------------------------------------------------------------------------------ */

static popoto_status report_progress(counting *it, size_t more) {
    it->seen += more;
    if (it->progress == NULL || it->progress(it->context, it->seen, 0))
        return POPOTO_OK;
    return popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
}

static popoto_status walk(counting *it, popoto_text pattern, bool records) {
    key_walk keys;
    bool more;
    if (pattern.data == NULL)
        return popoto__fail_memory(&it->db->why);
    popoto__key_walk_begin(&keys, it->db, pattern);
    popoto_status status = popoto__key_walk_next(&keys, &more);
    while (status == POPOTO_OK && more) {
        if (!records)
            status = take_index_keys(it, keys.keys, keys.count);
        for (size_t at = 0; records && at < keys.count && status == POPOTO_OK; at += KEYS_A_STEP)
            status = count_records(it, keys.keys + at,
                                   keys.count - at < KEYS_A_STEP ? keys.count - at : KEYS_A_STEP);
        if (status == POPOTO_OK)
            status = report_progress(it, keys.count);
        if (status == POPOTO_OK)
            status = popoto__key_walk_next(&keys, &more);
    }
    popoto__key_walk_end(&keys);
    return status;
}

static popoto_status count_all(counting *it) {
    const popoto_text any = { NULL, 0 };
    popoto_status status = walk(it, popoto__record_pattern(it->of, NULL, any, &it->memory), true);
    return status == POPOTO_OK ? walk(it, popoto__index_pattern(it->of, any, &it->memory), false)
                               : status;
}

popoto_status popoto_tenant_list(popoto_db *db, const popoto_model *declared,
                                 const char *tenant_field, popoto_tenant_figures_callback *callback,
                                 popoto_progress *watch, void *context) {
    const model *of;
    const field *about;
    popoto_status status = popoto__db_begin(db, declared, &of);
    if (status == POPOTO_OK && callback == NULL)
        status = popoto__db_needs(db, "a callback");
    if (status == POPOTO_OK)
        status = popoto__owner_field(db, of, tenant_field, &about);
    if (status == POPOTO_OK)
        status = popoto__refuse_scopes(db, of, "a list of tenants");
    if (status != POPOTO_OK)
        return status;
    counting *it = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it);
    if (it == NULL)
        return popoto__fail_memory(&db->why);
    it->db = db;
    it->of = of;
    it->about = about;
    it->knows_idle = true;
    it->progress = watch;
    it->context = context;
    popoto__arena_init(&it->memory, &db->allocator);
    status = count_all(it);
    if (status == POPOTO_OK)
        status = report(it, callback, context);
    popoto__release(&db->allocator, it->tenants.slots);
    popoto__arena_free(&it->memory);
    popoto__release(&db->allocator, it);
    return status;
}
