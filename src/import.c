/* import - stores the lines of an export under a tenant: each record with its indexes and its confidence
 * figures in one atomic step, many in a pipeline. Compares what the first line and the last one say of them.
 * Builds no key. Reading JSON is jansson's; a library that was built without it answers POPOTO_UNSUPPORTED. */
#include "catalog.h"
#include "commit.h"
#include "json.h"
#include "owner.h"
#include "tenant.h"

#include <stdio.h>
#include <string.h>

#ifndef POPOTO_WITH_JSON

static popoto_status lacks_json(popoto_db *db) {
    return db == NULL ? POPOTO_BAD_ARGUMENT
                      : popoto__fail(&db->why, POPOTO_UNSUPPORTED,
                                     "this library was built without jansson, which reads JSON");
}

popoto_status popoto_import(popoto_db *db, const popoto_tenant_desc *desc, popoto_line_reader *read,
                            void *context, popoto_import_report *report) {
    (void)desc;
    (void)read;
    (void)context;
    if (report != NULL)
        *report = (popoto_import_report){ 0 };
    return lacks_json(db);
}

popoto_status popoto_catalog_from_export(popoto_db *db, const char *line, size_t size,
                                         popoto_catalog **catalog) {
    (void)line;
    (void)size;
    if (catalog != NULL)
        *catalog = NULL;
    return lacks_json(db);
}

#else

/* Lines of a batch are kept until they are stored: so many bytes of them at most, but for one longer. */
#define BATCH_BYTES ((size_t)1 << 20)

typedef struct imported {
    commit done;
    record_write write;
    const owner *of;
    bool *named;                /* by field: the line has it */
    popoto_confidence *figures; /* by field; NULL: it has none */
    bool *has_figures;
    bool has_time; /* the line tells how long it is to live */
    bool is_lasting;
    uint32_t time_to_live;
    size_t line;
} imported;

typedef struct importing {
    popoto_db *db;
    const popoto_tenant_desc *desc;
    popoto_import_report *report;
    owner *owners;
    arena memory;
    arena batch; /* of the lines that gather; the callback may use the db's scratch memory */
    imported *items;
    uint64_t *met; /* the keys of these */
    size_t count;
    size_t bytes;
    bool begun;   /* a line described the models, so that another will tell the end */
    bool ended;   /* the last line was that one */
    size_t lines; /* with records, since then */
} importing;

/* ----- A line --------------------------------------------------------------------------------- */

static popoto_status bad_line(importing *it, const char *what) {
    return popoto__fail(&it->db->why, POPOTO_BAD_VALUE, "line %zu: %s", it->report->lines, what);
}

static popoto_status bad_entry(importing *it, const model *of, const char *name, const char *what) {
    if (what == CODEC_NO_MEMORY)
        return popoto__fail_memory(&it->db->why);
    return popoto__fail(&it->db->why, POPOTO_BAD_VALUE, "line %zu: %s.%.128s: %s",
                        it->report->lines, of->name.data, name, what);
}

static const owner *owner_named(const importing *it, const char *name) {
    for (size_t i = 0; name != NULL && i < it->desc->model_count; i++)
        if (strcmp(it->owners[i].of->name.data, name) == 0)
            return &it->owners[i];
    return NULL;
}

/* A sentence about a value that the field does not take, with the line in front of it. */
static popoto_status blame_line(importing *it, popoto_status status) {
    failure inner = it->db->why;
    if (status != POPOTO_BAD_VALUE)
        return status;
    return popoto__fail(&it->db->why, status, "line %zu: %.460s", it->report->lines, inner.text);
}

static popoto_status read_field(importing *it, imported *one, popoto_value *values,
                                const char *name, const json_t *content) {
    const model *of = one->of->of;
    const field *about = popoto__model_field(of, name, strlen(name));
    const char *reason = NULL;
    popoto_value given;
    if (about == NULL)
        return bad_entry(it, of, name, "the model has no such field");
    if (!popoto__json_read(content, &it->batch, &given, &reason))
        return bad_entry(it, of, name, reason);
    one->named[about->index] = true;
    if (about == one->of->about)
        return POPOTO_OK; /* whoever it was exported from */
    return blame_line(it,
                      popoto__field_accept(of, about, &given, &values[about->index], &it->db->why));
}

static popoto_status read_fields(importing *it, imported *one, popoto_value *values,
                                 json_t *fields) {
    const model *of = one->of->of;
    popoto_status status = POPOTO_OK;
    for (void *at = json_object_iter(fields); at != NULL && status == POPOTO_OK;
         at = json_object_iter_next(fields, at))
        status = read_field(it, one, values, json_object_iter_key(at), json_object_iter_value(at));
    values[one->of->about->index] = one->of->value;
    one->named[one->of->about->index] = true;
    bool all = true;
    for (size_t i = 0; i < of->field_count && status == POPOTO_OK; i++) {
        if (!one->named[i] && of->fields[i].is_key)
            status = bad_entry(it, of, of->fields[i].name, "it is part of the key, and missing");
        all = all && one->named[i];
    }
    one->write.named = all ? NULL : one->named;
    return status;
}

static bool read_count(const json_t *from, const char *name, int64_t *out) {
    const json_t *it = json_object_get(from, name);
    *out = json_integer_value(it);
    return json_is_integer(it) && *out >= 0;
}

static popoto_status read_figures(importing *it, imported *one, const char *name,
                                  const json_t *from) {
    const model *of = one->of->of;
    const field *about = popoto__model_field(of, name, strlen(name));
    popoto_confidence figures;
    if (about == NULL || about->kind != POPOTO_KIND_CONFIDENCE)
        return bad_entry(it, of, name, "the model has no such CONFIDENCE field");
    const json_t *confidence = json_object_get(from, "confidence");
    figures.confidence = json_number_value(confidence);
    if (!json_is_number(confidence) ||
        !read_count(from, "evidence_count", &figures.evidence_count) ||
        !read_count(from, "corroborations", &figures.corroborations) ||
        !read_count(from, "contradictions", &figures.contradictions))
        return bad_entry(it, of, name,
                         "its figures are a confidence and three counts, none of them negative");
    one->figures[about->index] = figures;
    one->has_figures[about->index] = true;
    return POPOTO_OK;
}

static popoto_status read_confidence(importing *it, imported *one, json_t *from) {
    popoto_status status = POPOTO_OK;
    if (from != NULL && !json_is_object(from))
        return bad_line(it, "\"confidence\" is an object");
    for (void *at = json_object_iter(from); at != NULL && status == POPOTO_OK;
         at = json_object_iter_next(from, at))
        status = read_figures(it, one, json_object_iter_key(at), json_object_iter_value(at));
    return status;
}

static popoto_status read_time_to_live(importing *it, imported *one, const json_t *from) {
    json_int_t seconds = json_integer_value(from);
    one->has_time = from != NULL;
    one->is_lasting = json_is_null(from);
    if (from == NULL || one->is_lasting)
        return POPOTO_OK;
    if (!json_is_integer(from) || seconds < 1 || seconds > UINT32_MAX)
        return bad_line(it, "\"time_to_live\" is a number of seconds, at least 1, or null");
    one->time_to_live = (uint32_t)seconds;
    return POPOTO_OK;
}

static popoto_status read_document(importing *it, imported *one, json_t *document) {
    json_t *fields = json_object_get(document, "fields");
    const json_t *name = json_object_get(document, "model");
    arena *memory = &it->batch;
    if (!json_is_string(name) || !json_is_object(fields))
        return bad_line(it, "it is no record: it needs a \"model\" and \"fields\"");
    one->of = owner_named(it, json_string_value(name));
    shown room;
    if (one->of == NULL)
        return popoto__fail(&it->db->why, POPOTO_BAD_VALUE,
                            "line %zu: it is of %s, none of the models given", it->report->lines,
                            popoto__show(&room, json_string_value(name), json_string_length(name)));
    size_t count = one->of->of->field_count;
    popoto_value *values = popoto__arena_zeroed(memory, count, sizeof *values);
    one->named = popoto__arena_zeroed(memory, count, sizeof *one->named);
    one->has_figures = popoto__arena_zeroed(memory, count, sizeof *one->has_figures);
    one->figures = popoto__arena_zeroed(memory, count, sizeof *one->figures);
    if (values == NULL || one->named == NULL || one->has_figures == NULL || one->figures == NULL)
        return popoto__fail_memory(&it->db->why);
    one->write = (record_write){
        .of = one->of->of, .kind = WRITE_STORE, .memory = memory, .values = values
    };
    popoto_status status = read_fields(it, one, values, fields);
    if (status == POPOTO_OK)
        status = read_confidence(it, one, json_object_get(document, "confidence"));
    if (status == POPOTO_OK)
        status = read_time_to_live(it, one, json_object_get(document, "time_to_live"));
    return status == POPOTO_OK ? blame_line(it, popoto__write_prepare(&one->write, &it->db->why))
                               : status;
}

/* ----- The first line and the last ------------------------------------------------------------- */

/* What is described here has the fields that the model of that name has. Those of other names are none of
 * ours as long as there is no record of them. */
static popoto_status check_model(importing *it, const popoto_value *described) {
    const popoto_value *name = popoto__catalog_name(described);
    popoto_text field_name;
    shown room;
    if (name == NULL || name->type != POPOTO_TEXT)
        return bad_line(it, "it describes a model without a name");
    const owner *of = owner_named(it, name->as.text.data);
    const char *wrong =
        of != NULL ? popoto__catalog_contradiction(of->of, described, &field_name) : NULL;
    if (wrong == NULL)
        return POPOTO_OK;
    if (field_name.data == NULL)
        return bad_entry(it, of->of, "fields", wrong);
    return popoto__fail(&it->db->why, POPOTO_BAD_VALUE,
                        "line %zu: the export has another field %.160s of %s than it has here: %s",
                        it->report->lines, popoto__show(&room, field_name.data, field_name.size),
                        of->of->name.data, wrong);
}

static popoto_status read_models(importing *it, const json_t *models) {
    popoto_value described;
    const char *reason = NULL;
    if (!popoto__json_read(models, &it->batch, &described, &reason))
        return reason == CODEC_NO_MEMORY ? popoto__fail_memory(&it->db->why) : bad_line(it, reason);
    if (described.type != POPOTO_LIST)
        return bad_line(it, "\"models\" is a list of descriptions");
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < described.as.list.count && status == POPOTO_OK; i++)
        status = check_model(it, &described.as.list.items[i]);
    it->begun = true;
    it->lines = 0;
    return status;
}

static popoto_status read_end(importing *it, const json_t *document) {
    int64_t records, left_out;
    if (!read_count(document, "records", &records) || !read_count(document, "left_out", &left_out))
        return bad_line(it,
                        "an end tells how many \"records\" there are, and how many \"left_out\"");
    it->ended = true;
    it->begun = false;
    if (records != (int64_t)it->lines)
        return popoto__fail(&it->db->why, POPOTO_BAD_VALUE,
                            "line %zu: the export had %lld records, and %zu of them are here",
                            it->report->lines, (long long)records, it->lines);
    it->lines = 0;
    if (left_out > 0)
        return popoto__fail(&it->db->why, POPOTO_CORRUPT,
                            "line %zu: the export left out %lld records, which did not fit their "
                            "model",
                            it->report->lines, (long long)left_out);
    return POPOTO_OK;
}

static popoto_status parse(popoto_db *db, size_t number, const char *line, size_t size,
                           json_t **document) {
    json_error_t error;
    *document = json_loadb(line, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (*document != NULL)
        return POPOTO_OK;
    if (json_error_code(&error) == json_error_out_of_memory)
        return popoto__fail_memory(&db->why);
    /* It quotes what it could not read. */
    for (char *at = error.text; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7F)
            *at = '?';
    return popoto__fail(&db->why, POPOTO_BAD_VALUE, "line %zu is no JSON: %.160s, at byte %d",
                        number, error.text, error.position);
}

static popoto_status read_line(importing *it, const char *line, size_t size) {
    json_t *document;
    popoto_status status = parse(it->db, it->report->lines, line, size, &document);
    if (status != POPOTO_OK)
        return status;
    it->ended = false;
    if (json_object_get(document, "models") != NULL) {
        status = read_models(it, json_object_get(document, "models"));
    } else if (json_object_get(document, "end") != NULL) {
        status = read_end(it, document);
    } else {
        imported *one = &it->items[it->count];
        one->line = it->report->lines;
        status = read_document(it, one, document);
        if (status == POPOTO_OK)
            one->done.waits = popoto__commit_meets(it->met, one->write.place.key);
        it->count += status == POPOTO_OK;
        it->lines += status == POPOTO_OK;
    }
    json_decref(document);
    return status;
}

popoto_status popoto_catalog_from_export(popoto_db *db, const char *line, size_t size,
                                         popoto_catalog **catalog) {
    json_t *document;
    popoto_value described;
    const char *reason = NULL;
    if (catalog == NULL || (line == NULL && size > 0))
        return popoto__db_needs(db, "a line, and a place for the catalog");
    *catalog = NULL;
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    popoto_status status = parse(db, 1, line, size, &document);
    if (status != POPOTO_OK)
        return status;
    arena memory;
    popoto__arena_init(&memory, &db->allocator);
    const json_t *models = json_object_get(document, "models");
    if (models == NULL)
        status = popoto__fail(&db->why, POPOTO_NOT_FOUND,
                              "the line describes no models: it is not the first of an export");
    else if (!popoto__json_read(models, &memory, &described, &reason))
        status = reason == CODEC_NO_MEMORY
                     ? popoto__fail_memory(&db->why)
                     : popoto__fail(&db->why, POPOTO_BAD_VALUE, "line 1: %s", reason);
    else
        status = popoto_catalog_from_value(db, &described, catalog);
    popoto__arena_free(&memory);
    json_decref(document);
    return status;
}

/* ----- A batch -------------------------------------------------------------------------------- */

static bool has_any_figures(const imported *one) {
    for (size_t i = 0; i < one->of->of->field_count; i++)
        if (one->has_figures[i])
            return true;
    return false;
}

/* The figures replace what the record has, after its own plan made sure of an entry. */
static popoto_status plan_figures(imported *it, popoto_db *db, plan *out) {
    const model *of = it->of->of;
    popoto_status status = POPOTO_OK;
    buffer bytes;
    popoto__buffer_init(&bytes, &db->allocator);
    for (size_t i = 0; i < of->field_count && status == POPOTO_OK; i++) {
        popoto_text hash;
        if (!it->has_figures[i])
            continue;
        status = popoto__partition_key(of, &of->fields[i], it->write.place.segments,
                                       it->write.memory, &hash, &db->why);
        popoto__buffer_clear(&bytes);
        popoto__codec_write_confidence(&bytes, &it->figures[i]);
        popoto_text entry = { NULL, bytes.size };
        if (!bytes.failed)
            entry.data = popoto__arena_copy(it->write.memory, bytes.data, bytes.size);
        if (status == POPOTO_OK)
            popoto__plan_command(
                out, (const popoto_text[]){ TEXT("HSET"), hash, it->write.place.key, entry }, 4, 1);
    }
    popoto__buffer_free(&bytes);
    if (status == POPOTO_OK && out->failed)
        status = popoto__fail_memory(&db->why);
    return status;
}

static bool is_expiry(const command *one) {
    popoto_text name = one->arguments[0];
    return name.size == 6 && memcmp(name.data, "EXPIRE", 6) == 0;
}

/* In place of what the model says. */
static popoto_status plan_time_to_live(imported *it, popoto_db *db, plan *out) {
    char text[16];
    int size = snprintf(text, sizeof text, "%lu", (unsigned long)it->time_to_live);
    popoto_text seconds = { popoto__arena_copy(it->write.memory, text, (size_t)size),
                            (size_t)size };
    size_t kept = 0;
    for (size_t i = 0; i < out->command_count; i++)
        if (!is_expiry(&out->commands[i]))
            out->commands[kept++] = out->commands[i];
    out->command_count = kept;
    popoto__plan_command(out,
                         (const popoto_text[]){ it->is_lasting ? TEXT("PERSIST") : TEXT("EXPIRE"),
                                                it->write.place.key, seconds },
                         it->is_lasting ? 2 : 3, 1);
    return out->failed ? popoto__fail_memory(&db->why) : POPOTO_OK;
}

static popoto_status plan_item(commit_batch *run, commit *one) {
    imported *it = (imported *)one;
    popoto_status status = popoto__plan_learn(&it->write, &one->planned, one->refusals,
                                              one->refusal_count, &run->db->why);
    if (status == POPOTO_OK)
        status = popoto__plan_write(&it->write, &one->planned, &run->db->why);
    if (status == POPOTO_OK && has_any_figures(it))
        status = plan_figures(it, run->db, &one->planned);
    if (status == POPOTO_OK && it->has_time)
        status = plan_time_to_live(it, run->db, &one->planned);
    return status;
}

static void render_item(commit_batch *run, commit *one) {
    popoto__plan_render_commit(&one->planned, popoto__db_script(run->db, SCRIPT_COMMIT),
                               &run->db->request);
}

static void note_tenants(importing *it) {
    for (size_t i = 0; i < it->desc->model_count; i++)
        if (it->owners[i].of->tenant != NULL)
            popoto__tenants_note(it->db, it->owners[i].of, &it->owners[i].segment, 1);
}

static void tell_refused(importing *it, size_t line, popoto_status status, const char *reason) {
    char text[FAILURE_TEXT_SIZE];
    if (it->desc->refused == NULL)
        return;
    snprintf(text, sizeof text, "line %zu: %.460s", line,
             reason != NULL ? reason : popoto_status_name(status));
    it->desc->refused(it->desc->context, line, status, text);
}

/* Store what has gathered: all are tried, whatever becomes of one. */
static popoto_status flush(importing *it) {
    popoto_db *db = it->db;
    if (it->count == 0)
        return POPOTO_OK;
    commit_batch run = { .db = db,
                         .items = it->items,
                         .count = it->count,
                         .stride = sizeof *it->items,
                         .script = SCRIPT_COMMIT,
                         .doing = "importing a record",
                         .plan = plan_item,
                         .render = render_item };
    popoto__arena_reset(&db->scratch);
    popoto__commit_run(&run);
    for (size_t i = 0; i < it->count; i++) {
        const commit *one = &it->items[i].done;
        it->report->tried = it->items[i].line;
        it->report->records += one->status == POPOTO_OK;
        if (one->status != POPOTO_OK)
            tell_refused(it, it->items[i].line, one->status, one->reason);
    }
    it->count = it->bytes = 0;
    if (run.first.status == POPOTO_OK)
        return POPOTO_OK;
    it->report->bad_line = it->items[run.first_index].line;
    return popoto__fail(&db->why, run.first.status, "line %zu: %.460s", it->report->bad_line,
                        run.first.text);
}

static popoto_status begin_batch(importing *it) {
    popoto__arena_reset(&it->batch);
    it->items = popoto__arena_zeroed(&it->batch, COMMIT_PIPELINE, sizeof *it->items);
    it->met = popoto__arena_zeroed(&it->batch, COMMIT_MET, sizeof *it->met);
    it->count = it->bytes = 0;
    return it->items != NULL && it->met != NULL ? POPOTO_OK : popoto__fail_memory(&it->db->why);
}

static bool is_blank(const char *line, size_t size) {
    size_t at = 0;
    while (at < size && (line[at] == ' ' || line[at] == '\t' || line[at] == '\r'))
        at++;
    return at == size;
}

/* A line that is broken ends it all, when those before it are stored. */
static popoto_status take_line(importing *it, const char *line, size_t size) {
    it->report->lines++;
    if (is_blank(line, size))
        return POPOTO_OK;
    popoto_status status = read_line(it, line, size);
    if (status == POPOTO_OK) {
        it->bytes += size;
        return POPOTO_OK;
    }
    failure why = it->db->why;
    size_t number = it->report->lines;
    popoto_status before = flush(it);
    if (before != POPOTO_OK)
        return before;
    it->report->bad_line = it->report->tried = number;
    if (it->desc->refused != NULL)
        it->desc->refused(it->desc->context, number, status, why.text);
    it->db->why = why;
    return status;
}

static popoto_status report_progress(importing *it) {
    if (it->desc->progress == NULL || it->desc->progress(it->desc->context, it->report->lines, 0))
        return POPOTO_OK;
    return popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
}

static popoto_status check_end(importing *it) {
    it->report->complete = it->ended;
    if (!it->begun)
        return POPOTO_OK;
    return popoto__fail(&it->db->why, POPOTO_BAD_VALUE,
                        "the export has no last line: it was cut off after %zu records, which are "
                        "stored",
                        it->lines);
}

static popoto_status run(importing *it, popoto_line_reader *read, void *context) {
    popoto_status status = begin_batch(it);
    const char *line;
    size_t size;
    while (status == POPOTO_OK && read(context, &line, &size)) {
        status = take_line(it, line, size);
        if (status != POPOTO_OK || (it->count < COMMIT_PIPELINE && it->bytes < BATCH_BYTES))
            continue;
        status = flush(it);
        if (status == POPOTO_OK)
            status = report_progress(it);
        if (status == POPOTO_OK)
            status = begin_batch(it);
    }
    if (status == POPOTO_OK)
        status = flush(it);
    if (status != POPOTO_OK)
        return status;
    it->report->tried = it->report->lines;
    status = report_progress(it);
    return status == POPOTO_OK ? check_end(it) : status;
}

popoto_status popoto_import(popoto_db *db, const popoto_tenant_desc *desc, popoto_line_reader *read,
                            void *context, popoto_import_report *report) {
    popoto_import_report ignored;
    importing it = { .db = db, .desc = desc, .report = report != NULL ? report : &ignored };
    *it.report = (popoto_import_report){ 0 };
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    if (read == NULL)
        return popoto__db_needs(db, "a callback that gives lines");
    popoto__arena_init(&it.memory, &db->allocator);
    popoto__arena_init(&it.batch, &db->allocator);
    popoto_status status = popoto__owners(db, desc, &it.memory, &it.owners);
    if (status == POPOTO_OK) {
        status = run(&it, read, context);
        failure why = db->why;
        if (it.report->records > 0)
            note_tenants(&it);
        db->why = why;
    }
    if (status == POPOTO_BAD_VALUE || it.report->bad_line > 0)
        it.report->problem = popoto_error(db);
    popoto__arena_free(&it.batch);
    popoto__arena_free(&it.memory);
    return status;
}

#endif
