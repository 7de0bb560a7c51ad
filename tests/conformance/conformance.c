/* conformance - drives the library line by line, so that another program can compare what it does with
 * what another implementation does (conformance.py: with Popoto). Knows nothing of either: it turns words
 * into calls of popoto.h, on models that are described to it at run time.
 *
 *     conformance URL DIALECT
 *
 * Each line is one call, its words separated by single spaces; each answer is one line: the status, then
 * what was asked for, or in hex the sentence that says what is wrong.
 *
 *     model NAME TTL FIELDS (NAME KIND TYPE PARTITION|- NULL AUTO INITIAL CAP DEFAULT)...
 *     new SLOT MODEL                       put SLOT COUNT (FIELD VALUE)...
 *     create SLOT  save SLOT  delete SLOT  only SLOT FIELDS  unchanged SLOT
 *     load SLOT MODEL COUNT (KEY VALUE)...           the record with that key into SLOT
 *     get SLOT MODEL SCAN COUNT (LOOKUP VALUE)...    the one that matches into SLOT
 *     query MODEL ORDER|- LIMIT OFFSET SCAN COUNT (LOOKUP VALUE)...    -> count (key values...)...
 *     count MODEL SCAN COUNT (LOOKUP VALUE)...                         -> count
 *     update SLOT FIELD SIGNAL   figures SLOT FIELD                    -> four figures
 *     scan MODEL FIELD PATTERN|- COUNT (FIELD VALUE)...                -> count (member figures)...
 *     key SLOT   hash SLOT FIELD   hashof MODEL FIELD COUNT (FIELD VALUE)...   -> key
 *     migrate MODEL FIELD DRY                                          -> total moved errors
 *     free SLOT
 *
 * A value: n (null), b0, b1, iINT, fBITS (hex), sHEX, xHEX, mHEX (decimal), tMICROSECONDS:OFFSET or :n,
 * dY-M-D, cH:M:S:US, and L, T, S, M with a count before as many values (list, tuple, set, map). */
#include <popoto.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MODELS  32
#define MAX_FIELDS  32
#define MAX_SLOTS   4096
#define MAX_FILTERS 16

typedef struct slot {
    const popoto_model *model;
    popoto_record *record;
    popoto_rows *rows; /* where the record is one of these, and theirs */
} slot;

static popoto_db *db;
static popoto_model models[MAX_MODELS];
static size_t model_count;
static slot slots[MAX_SLOTS];
static char *rest; /* of the line under way */

/* What the values of one line are made of; gone with the next. */
typedef struct block {
    struct block *next;
} block;
static block *blocks;

static void give_up(const char *why) {
    fprintf(stderr, "conformance: %s\n", why);
    exit(2);
}

static void *line_memory(size_t size) {
    block *it = calloc(1, sizeof *it + size);
    if (it == NULL)
        give_up("out of memory");
    it->next = blocks;
    blocks = it;
    return it + 1;
}

static void release_line(void) {
    while (blocks != NULL) {
        block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

/* ----- Words ---------------------------------------------------------------------------------- */

static char *word(void) {
    char *it = rest;
    if (it == NULL)
        give_up("a word is missing");
    rest = strchr(it, ' ');
    if (rest != NULL)
        *rest++ = '\0';
    return it;
}

static char *kept(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    if (copy == NULL)
        give_up("out of memory");
    memcpy(copy, text, size);
    return copy;
}

static size_t number(void) {
    return (size_t)strtoull(word(), NULL, 10);
}

static unsigned digit(char c) {
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

static popoto_text from_hex(const char *hex) {
    size_t size = strlen(hex) / 2;
    char *bytes = line_memory(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return (popoto_text){ bytes, size };
}

static double from_bits(const char *hex) {
    uint64_t bits = strtoull(hex, NULL, 16);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static popoto_value value_word(void);

static popoto_value items(popoto_type type, const char *text) {
    size_t count = (size_t)strtoull(text, NULL, 10);
    popoto_value *list = line_memory((count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = value_word();
    return popoto_of_items(type, list, count);
}

static popoto_value time_value(char *text) {
    char *offset;
    popoto_time time;
    time.microseconds = strtoll(text, &offset, 10);
    time.offset = offset[1] == 'n' ? POPOTO_NAIVE : (int32_t)strtol(offset + 1, NULL, 10);
    return popoto_of_time(time);
}

static popoto_value value_word(void) {
    char *text = word();
    int a, b, c;
    unsigned d;
    popoto_text bytes;
    switch (*text++) {
    case 'n': return (popoto_value){ .type = POPOTO_NULL };
    case 'b': return popoto_of_bool(*text == '1');
    case 'i': return popoto_of_int(strtoll(text, NULL, 10));
    case 'f': return popoto_of_float(from_bits(text));
    case 's': return popoto_of_sized_text(from_hex(text));
    case 'x':
        bytes = from_hex(text);
        return popoto_of_bytes((popoto_bytes){ bytes.data, bytes.size });
    case 'm': return popoto_of_decimal((popoto_decimal){ from_hex(text).data });
    case 't': return time_value(text);
    case 'd':
        if (sscanf(text, "%d-%d-%d", &a, &b, &c) == 3)
            return popoto_of_day((popoto_day){ (int16_t)a, (uint8_t)b, (uint8_t)c });
        break;
    case 'c':
        if (sscanf(text, "%d:%d:%d:%u", &a, &b, &c, &d) == 4)
            return popoto_of_clock((popoto_clock){ (uint8_t)a, (uint8_t)b, (uint8_t)c, d });
        break;
    case 'L': return items(POPOTO_LIST, text);
    case 'T': return items(POPOTO_TUPLE, text);
    case 'S': return items(POPOTO_SET, text);
    case 'M': return items(POPOTO_MAP, text);
    default: break;
    }
    give_up("a value is none");
    return (popoto_value){ .type = POPOTO_NULL };
}

/* ----- Answers -------------------------------------------------------------------------------- */

static void put_hex(const char *mark, const void *data, size_t size) {
    const unsigned char *bytes = data;
    printf(" %s", mark);
    for (size_t i = 0; i < size; i++)
        printf("%02x", bytes[i]);
}

static void put_bits(const char *mark, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    printf(" %s%016" PRIx64, mark, bits);
}

static void put_value(const popoto_value *it) {
    static const char *const marks[] = {
        [POPOTO_LIST] = "L", [POPOTO_TUPLE] = "T", [POPOTO_SET] = "S", [POPOTO_MAP] = "M"
    };
    switch (it->type) {
    case POPOTO_NULL: printf(" n"); break;
    case POPOTO_BOOL: printf(" b%d", it->as.boolean); break;
    case POPOTO_INT: printf(" i%" PRId64, it->as.integer); break;
    case POPOTO_FLOAT: put_bits("f", it->as.real); break;
    case POPOTO_TEXT: put_hex("s", it->as.text.data, it->as.text.size); break;
    case POPOTO_BYTES: put_hex("x", it->as.bytes.data, it->as.bytes.size); break;
    case POPOTO_DECIMAL: put_hex("m", it->as.text.data, it->as.text.size); break;
    case POPOTO_TIME:
        printf(" t%" PRId64 ":", it->as.time.microseconds);
        if (it->as.time.offset == POPOTO_NAIVE)
            printf("n");
        else
            printf("%d", (int)it->as.time.offset);
        break;
    case POPOTO_DAY: printf(" d%d-%d-%d", it->as.day.year, it->as.day.month, it->as.day.day); break;
    case POPOTO_CLOCK:
        printf(" c%d:%d:%d:%u", it->as.clock.hour, it->as.clock.minute, it->as.clock.second,
               (unsigned)it->as.clock.microsecond);
        break;
    default:
        printf(" %s%zu", marks[it->type], it->as.list.count);
        for (size_t i = 0; i < it->as.list.count; i++)
            put_value(&it->as.list.items[i]);
    }
}

static bool answer(popoto_status status) {
    printf("%s", popoto_status_name(status));
    if (status != POPOTO_OK) {
        const char *why = popoto_error(db);
        put_hex("", why, strlen(why));
    }
    return status == POPOTO_OK;
}

static void put_figures(const popoto_confidence *it) {
    put_bits("", it->confidence);
    printf(" %" PRId64 " %" PRId64 " %" PRId64, it->evidence_count, it->corroborations,
           it->contradictions);
}

static void answer_key(popoto_status status, popoto_text key) {
    if (answer(status))
        put_hex("", key.data, key.size);
    popoto_free(db, key.data);
}

/* ----- Models and slots ----------------------------------------------------------------------- */

static const char *const kind_words[] = {
    [POPOTO_KIND_FIELD] = "FIELD",       [POPOTO_KIND_KEY] = "KEY",
    [POPOTO_KIND_AUTO_KEY] = "AUTO_KEY", [POPOTO_KIND_UNIQUE_KEY] = "UNIQUE_KEY",
    [POPOTO_KIND_SORTED] = "SORTED",     [POPOTO_KIND_CONFIDENCE] = "CONFIDENCE",
};
static const char *const type_words[] = {
    [POPOTO_NULL] = "NULL",   [POPOTO_BOOL] = "BOOL",       [POPOTO_INT] = "INT",
    [POPOTO_FLOAT] = "FLOAT", [POPOTO_TEXT] = "TEXT",       [POPOTO_BYTES] = "BYTES",
    [POPOTO_TIME] = "TIME",   [POPOTO_DAY] = "DAY",         [POPOTO_CLOCK] = "CLOCK",
    [POPOTO_LIST] = "LIST",   [POPOTO_DECIMAL] = "DECIMAL", [POPOTO_TUPLE] = "TUPLE",
    [POPOTO_SET] = "SET",     [POPOTO_MAP] = "MAP",         [POPOTO_ANY] = "ANY",
};

static size_t which(const char *const *words, size_t count) {
    const char *it = word();
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], it) == 0)
            return i;
    give_up(it);
    return 0;
}

static const popoto_model *find_model(void) {
    const char *name = word();
    for (size_t i = 0; i < model_count; i++)
        if (strcmp(models[i].name, name) == 0)
            return &models[i];
    give_up(name);
    return NULL;
}

static slot *find_slot(void) {
    size_t index = number();
    if (index >= MAX_SLOTS)
        give_up("no such slot");
    return &slots[index];
}

static void empty(slot *it) {
    if (it->rows != NULL)
        popoto_rows_free(it->rows);
    else
        popoto_record_free(it->record);
    *it = (slot){ .model = NULL };
}

static void read_field(popoto_field *it) {
    it->name = kept(word());
    it->kind = (popoto_kind)which(kind_words, sizeof kind_words / sizeof kind_words[0]);
    it->type = (popoto_type)which(type_words, sizeof type_words / sizeof type_words[0]);
    const char *partition = word();
    it->partition_by = strcmp(partition, "-") == 0 ? NULL : kept(partition);
    it->null = number() != 0;
    it->generate = (popoto_auto)number();
    it->initial_confidence = from_bits(word());
    it->evidence_cap = (int64_t)number();
    it->default_value = value_word();
    if (it->default_value.type == POPOTO_TEXT) {
        it->default_value.as.text.data = kept(it->default_value.as.text.data);
    }
}

static void do_model(void) {
    if (model_count == MAX_MODELS)
        give_up("too many models");
    popoto_model *it = &models[model_count];
    it->name = kept(word());
    it->time_to_live = (uint32_t)number();
    it->field_count = number();
    popoto_field *fields = calloc(MAX_FIELDS, sizeof *fields);
    if (fields == NULL || it->field_count > MAX_FIELDS)
        give_up("too many fields");
    for (size_t i = 0; i < it->field_count; i++)
        read_field(&fields[i]);
    it->fields = fields;
    popoto_status status = popoto_model_check(db, it);
    model_count++;
    answer(status);
}

static void do_new(void) {
    slot *it = find_slot();
    empty(it);
    it->model = find_model();
    answer(popoto_record_new(db, it->model, &it->record));
}

static void do_put(void) {
    slot *it = find_slot();
    size_t count = number();
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < count; i++) {
        const char *name = word();
        popoto_value value = value_word();
        popoto_status one = popoto_record_set(it->record, name, value);
        status = status == POPOTO_OK ? one : status;
    }
    answer(status);
}

/* ----- Writing -------------------------------------------------------------------------------- */

static void do_create(void) {
    slot *it = find_slot();
    answer(popoto_create(db, it->model, it->record));
}

static void do_save(void) {
    slot *it = find_slot();
    answer(popoto_save(db, it->model, it->record));
}

static void do_only(void) {
    slot *it = find_slot();
    answer(popoto_save_with(db, it->model, it->record, &(popoto_save_desc){ .only = word() }));
}

static void do_unchanged(void) {
    slot *it = find_slot();
    answer(
        popoto_save_with(db, it->model, it->record, &(popoto_save_desc){ .if_unchanged = true }));
}

static void do_delete(void) {
    slot *it = find_slot();
    answer(popoto_delete(db, it->model, it->record));
}

/* ----- Reading -------------------------------------------------------------------------------- */

static size_t read_filters(popoto_filter *filters) {
    size_t count = number();
    if (count > MAX_FILTERS)
        give_up("too many filters");
    for (size_t i = 0; i < count; i++) {
        filters[i].lookup = word();
        filters[i].value = value_word();
    }
    return count;
}

static void put_row(const popoto_model *model, popoto_record *row) {
    popoto_text key;
    popoto_status status = popoto_key(db, model, row, &key);
    put_hex("", status == POPOTO_OK ? key.data : "?", status == POPOTO_OK ? key.size : 1);
    popoto_free(db, key.data);
    for (size_t i = 0; i < model->field_count; i++)
        put_value(popoto_record_get(row, model->fields[i].name));
}

static void take_row(slot *it, const popoto_model *model, popoto_status status, popoto_rows *rows) {
    empty(it);
    if (!answer(status)) {
        popoto_rows_free(rows);
        return;
    }
    *it = (slot){ model, popoto_rows_at(rows, 0), rows };
    put_row(model, it->record);
}

static void do_load(void) {
    slot *it = find_slot();
    const popoto_model *model = find_model();
    popoto_record *named;
    popoto_rows *rows = NULL;
    popoto_status status = popoto_record_new(db, model, &named);
    size_t count = number();
    for (size_t i = 0; i < count && status == POPOTO_OK; i++) {
        const char *name = word();
        status = popoto_record_set(named, name, value_word());
    }
    if (status == POPOTO_OK)
        status = popoto_load(db, model, named, &rows);
    popoto_record_free(named);
    take_row(it, model, status, rows);
}

static void do_get(void) {
    popoto_filter filters[MAX_FILTERS];
    popoto_query_desc desc = { .filters = filters };
    popoto_rows *rows;
    slot *it = find_slot();
    desc.model = find_model();
    desc.allow_scan = number() != 0;
    desc.filter_count = read_filters(filters);
    popoto_status status = popoto_get(db, &desc, &rows);
    take_row(it, desc.model, status, rows);
}

static void do_query(void) {
    popoto_filter filters[MAX_FILTERS];
    popoto_query_desc desc = { .filters = filters };
    popoto_rows *rows;
    desc.model = find_model();
    const char *order = word();
    desc.order_by = strcmp(order, "-") == 0 ? NULL : order;
    desc.limit = number();
    desc.offset = number();
    desc.allow_scan = number() != 0;
    desc.filter_count = read_filters(filters);
    if (answer(popoto_query(db, &desc, &rows))) {
        printf(" %zu", popoto_rows_count(rows));
        for (size_t i = 0; i < popoto_rows_count(rows); i++)
            put_row(desc.model, popoto_rows_at(rows, i));
    } else {
        for (size_t i = 0; i < popoto_rows_problem_count(rows); i++)
            put_hex("", popoto_rows_problem(rows, i), strlen(popoto_rows_problem(rows, i)));
    }
    popoto_rows_free(rows);
}

static void do_count(void) {
    popoto_filter filters[MAX_FILTERS];
    popoto_query_desc desc = { .filters = filters };
    size_t count;
    desc.model = find_model();
    desc.allow_scan = number() != 0;
    desc.filter_count = read_filters(filters);
    if (answer(popoto_count(db, &desc, &count)))
        printf(" %zu", count);
}

/* ----- Confidence and keys -------------------------------------------------------------------- */

static void do_update(void) {
    popoto_confidence after;
    slot *it = find_slot();
    const char *name = word();
    if (answer(
            popoto_confidence_update(db, it->model, it->record, name, from_bits(word()), &after)))
        put_figures(&after);
}

static void do_figures(void) {
    popoto_confidence figures;
    slot *it = find_slot();
    if (answer(popoto_confidence_figures(db, it->model, it->record, word(), &figures)))
        put_figures(&figures);
}

typedef struct entries {
    char *text;
    size_t size, room, count;
} entries;

static void append(entries *it, const char *text) {
    size_t size = strlen(text);
    if (it->size + size + 1 > it->room) {
        it->room = 2 * (it->size + size + 1);
        it->text = realloc(it->text, it->room);
        if (it->text == NULL)
            give_up("out of memory");
    }
    memcpy(it->text + it->size, text, size + 1);
    it->size += size;
}

static bool take_entry(void *context, popoto_text member, const popoto_confidence *figures) {
    entries *it = context;
    char text[96];
    uint64_t bits;
    it->count++;
    append(it, " ");
    for (size_t i = 0; i < member.size; i++) {
        snprintf(text, sizeof text, "%02x", (unsigned char)member.data[i]);
        append(it, text);
    }
    memcpy(&bits, &figures->confidence, sizeof bits);
    snprintf(text, sizeof text, " %016" PRIx64 " %" PRId64 " %" PRId64 " %" PRId64, bits,
             figures->evidence_count, figures->corroborations, figures->contradictions);
    append(it, text);
    return true;
}

static void do_scan(void) {
    entries found = { .text = NULL };
    popoto_filter filters[MAX_FILTERS] = { { .lookup = NULL } };
    popoto_confidence_scan_desc desc = { .callback = take_entry, .context = &found };
    desc.model = find_model();
    desc.field = word();
    const char *pattern = word();
    desc.pattern = strcmp(pattern, "-") == 0 ? NULL : from_hex(pattern).data;
    size_t count = read_filters(filters);
    for (size_t i = 0; i < count && i < POPOTO_MAX_WHERE; i++)
        desc.where[i] = filters[i];
    if (answer(popoto_confidence_scan(db, &desc)))
        printf(" %zu%s", found.count, found.text != NULL ? found.text : "");
    free(found.text);
}

static void do_key(void) {
    popoto_text key;
    slot *it = find_slot();
    popoto_status status = popoto_key(db, it->model, it->record, &key);
    answer_key(status, key);
}

static void do_hash(void) {
    popoto_text key;
    slot *it = find_slot();
    popoto_status status = popoto_confidence_key(db, it->model, it->record, word(), &key);
    answer_key(status, key);
}

static void do_hashof(void) {
    popoto_filter filters[MAX_FILTERS];
    popoto_text key;
    const popoto_model *model = find_model();
    const char *name = word();
    size_t count = read_filters(filters);
    popoto_status status = popoto_confidence_key_from_values(db, model, name, filters, count, &key);
    answer_key(status, key);
}

static void do_migrate(void) {
    popoto_migration_report *report;
    const popoto_model *model = find_model();
    const char *name = word();
    popoto_migration_desc desc = { .dry_run = number() != 0 };
    if (answer(popoto_confidence_migrate(db, model, name, &desc, &report)))
        printf(" %zu %zu %zu", report->total, report->migrated, report->error_count);
    popoto_migration_report_free(report);
}

static void do_free(void) {
    empty(find_slot());
    answer(POPOTO_OK);
}

/* ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} calls[] = {
    { "model", do_model },     { "new", do_new },
    { "put", do_put },         { "create", do_create },
    { "save", do_save },       { "only", do_only },
    { "delete", do_delete },   { "unchanged", do_unchanged },
    { "load", do_load },       { "get", do_get },
    { "query", do_query },     { "count", do_count },
    { "update", do_update },   { "figures", do_figures },
    { "scan", do_scan },       { "key", do_key },
    { "hash", do_hash },       { "hashof", do_hashof },
    { "migrate", do_migrate }, { "free", do_free },
};

static void run_line(char *line) {
    rest = line;
    const char *name = word();
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (strcmp(calls[i].name, name) == 0) {
            calls[i].run();
            printf("\n");
            release_line();
            return;
        }
    give_up(name);
}

static void release_models(void) {
    for (size_t i = 0; i < model_count; i++) {
        for (size_t k = 0; k < models[i].field_count; k++) {
            const popoto_field *it = &models[i].fields[k];
            free((void *)(uintptr_t)it->name);
            free((void *)(uintptr_t)it->partition_by);
            if (it->default_value.type == POPOTO_TEXT)
                free((void *)(uintptr_t)it->default_value.as.text.data);
        }
        free((void *)(uintptr_t)models[i].fields);
        free((void *)(uintptr_t)models[i].name);
    }
}

int main(int argc, char **argv) {
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    if (argc != 3)
        give_up("usage: conformance URL DIALECT");
    popoto_options options = { .dialect = (popoto_dialect)strtol(argv[2], NULL, 10) };
    db = popoto_open(argv[1], &options);
    answer(popoto_error_status(db));
    printf("\n");
    fflush(stdout);
    while ((size = getline(&line, &room, stdin)) > 0) {
        if (line[size - 1] == '\n')
            line[size - 1] = '\0';
        run_line(line);
        fflush(stdout);
    }
    free(line);
    for (size_t i = 0; i < MAX_SLOTS; i++)
        empty(&slots[i]);
    popoto_close(db);
    release_models();
    return 0;
}
