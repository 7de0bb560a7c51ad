/* records - `popoto show` and `popoto query`. Values keep their types in JSON; tables show what fits. The
 * figure of a CONFIDENCE field is the current one, not what the record's hash happened to hold. */
#include "json.h"
#include "session.h"
#include "table.h"
#include "terminal.h"
#include "typed.h"

#include <stdlib.h>
#include <string.h>

/* ----- Fields --------------------------------------------------------------------------------- */

/* What the field is now; false, and said, where it cannot be known. */
static bool current_value(session *it, const popoto_model *model, const popoto_record *row,
                          const popoto_field *field, popoto_value *out) {
    const popoto_value *stored = popoto_record_get(row, field->name);
    *out = stored != NULL ? *stored : (popoto_value){ .type = POPOTO_NULL };
    if (field->kind != POPOTO_KIND_CONFIDENCE)
        return true;
    double confidence;
    popoto_status status = popoto_confidence_get(it->db, model, row, field->name, &confidence);
    *out = popoto_of_float(confidence);
    if (status != POPOTO_OK)
        session_failed(it, status);
    return status == POPOTO_OK;
}

/* The key that is made of what is stored; to be released with popoto_free. False, and said: there is none. */
static bool key_of(session *it, const popoto_model *model, const popoto_record *row,
                   popoto_text *key) {
    popoto_status status = popoto_key(it->db, model, row, key);
    if (status != POPOTO_OK)
        session_failed(it, status);
    return status == POPOTO_OK;
}

/* ----- show ----------------------------------------------------------------------------------- */

typedef struct shown_record {
    const popoto_model *model;
    popoto_text key;
    popoto_rows *rows;
} shown_record;

static json_t *json_of_figures(const popoto_confidence *it) {
    return json_pack("{so, sI, sI, sI}", "confidence", json_real(it->confidence), "evidence_count",
                     (json_int_t)it->evidence_count, "corroborations",
                     (json_int_t)it->corroborations, "contradictions",
                     (json_int_t)it->contradictions);
}

static int show_json(session *it, const shown_record *one) {
    const popoto_record *row = popoto_rows_at(one->rows, 0);
    json_t *fields = json_object(), *confidence = json_object();
    int status = EXIT_DONE;
    for (size_t i = 0; i < one->model->field_count; i++) {
        const popoto_field *field = &one->model->fields[i];
        popoto_confidence figures;
        if (field->kind != POPOTO_KIND_CONFIDENCE) {
            json_object_set_new(fields, field->name,
                                json_of_value(popoto_record_get(row, field->name)));
            continue;
        }
        popoto_status done =
            popoto_confidence_figures(it->db, one->model, row, field->name, &figures);
        if (done == POPOTO_OK)
            json_object_set_new(confidence, field->name, json_of_figures(&figures));
        else
            status = session_failed(it, done);
    }
    json_print(json_pack("{so, ss, so, so}", "key", json_of_text(one->key), "model",
                         one->model->name, "fields", fields, "confidence", confidence));
    return status;
}

static char *figures_text(const popoto_confidence *it) {
    return demand_text("%.4f (%lld signal%s: %lld for, %lld against)", it->confidence,
                       (long long)it->evidence_count, it->evidence_count == 1 ? "" : "s",
                       (long long)it->corroborations, (long long)it->contradictions);
}

static int show_table(session *it, const shown_record *one) {
    const popoto_record *row = popoto_rows_at(one->rows, 0);
    char *key = shown_text(one->key);
    int status = EXIT_DONE;
    printf("%s%s%s  %s\n", colours.bold, one->model->name, colours.plain, key);
    free(key);
    table *out = table_new();
    table_column(out, "FIELD", COLUMN_LEFT);
    /* What the value is matters more than what it is called. */
    bool narrow = terminal_width() > 0 && terminal_width() < 60;
    if (!narrow) {
        table_column(out, "KIND", COLUMN_LEFT);
        table_column(out, "TYPE", COLUMN_LEFT);
    }
    table_column(out, "VALUE", COLUMN_WRAP);
    for (size_t i = 0; i < one->model->field_count; i++) {
        const popoto_field *field = &one->model->fields[i];
        const popoto_value *value = popoto_record_get(row, field->name);
        popoto_confidence figures;
        table_word(out, field->name);
        if (!narrow) {
            table_word(out, kind_name(field->kind));
            table_word(out, type_name(value->type));
        }
        if (field->kind != POPOTO_KIND_CONFIDENCE) {
            table_cell(out, shown_value(value));
            continue;
        }
        popoto_status done =
            popoto_confidence_figures(it->db, one->model, row, field->name, &figures);
        table_cell(out, done == POPOTO_OK ? figures_text(&figures) : demand_text("?"));
        if (done != POPOTO_OK)
            status = session_failed(it, done);
    }
    table_print(out, NULL);
    return status;
}

/* The model that the key is one of. EXIT_DONE with rows, or why not. */
static int find_record(session *it, const chosen *all, shown_record *out) {
    bool known = false;
    for (size_t i = 0; i < all->count; i++) {
        out->model = all->models[i];
        popoto_status status = popoto_load_keys(it->db, out->model, &out->key, 1, &out->rows);
        if (popoto_rows_count(out->rows) > 0)
            return EXIT_DONE;
        popoto_rows_free(out->rows);
        out->rows = NULL;
        if (status != POPOTO_OK && status != POPOTO_BAD_ARGUMENT)
            return session_failed(it, status);
        known = known || status == POPOTO_OK;
    }
    char *key = shown_text(out->key);
    if (known)
        complain("there is no record '%s'", key);
    else
        complain("'%s' is no record's key of these models: keys look like %s%s:...", key,
                 tenant_of(all->models[0]) != NULL ? "{TENANT}:" : "", all->models[0]->name);
    free(key);
    return EXIT_FINDINGS;
}

/* Its key is what it was found by; what is stored may say otherwise. */
static int check_key(session *it, const shown_record *one) {
    popoto_text made;
    if (!key_of(it, one->model, popoto_rows_at(one->rows, 0), &made))
        return EXIT_FINDINGS;
    bool same = made.size == one->key.size && memcmp(made.data, one->key.data, made.size) == 0;
    char *shown = shown_text(made);
    popoto_free(it->db, made.data);
    if (!same)
        complain("what is stored in this record belongs to another key, %s", shown);
    free(shown);
    return same ? EXIT_DONE : EXIT_FINDINGS;
}

int run_show(session *it, int count, char **words) {
    chosen all;
    shown_record one = { .key = { words[0], strlen(words[0]) } };
    (void)count;
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = session_choose(it, &all);
    if (status == EXIT_DONE)
        status = find_record(it, &all, &one);
    if (status != EXIT_DONE)
        return status;
    status = it->set.json ? show_json(it, &one) : show_table(it, &one);
    int agrees = check_key(it, &one);
    popoto_rows_free(one.rows);
    return status != EXIT_DONE ? status : agrees;
}

/* ----- query ---------------------------------------------------------------------------------- */

typedef struct querying {
    session *run;
    popoto_query_desc desc;
    const popoto_field **columns;
    size_t column_count;
    bool keys;   /* a column of them */
    size_t most; /* rows to show; 0: all */
    size_t shown;
    bool more; /* there are more than `most` */
    bar progress;
    table *out;
    int status;
} querying;

/* "score__gte=0.5" */
static bool take_filter(const popoto_model *model, const char *word, popoto_filter *out) {
    const char *equals = strchr(word, '=');
    if (equals == NULL || equals == word) {
        complain("a condition is LOOKUP=VALUE, such as score__gte=0.5, not '%s'", word);
        return false;
    }
    popoto_text lookup = keep_text(word, (size_t)(equals - word));
    const char *under = strstr(lookup.data, "__");
    size_t size = under != NULL ? (size_t)(under - lookup.data) : lookup.size;
    const popoto_field *field = field_named(model, lookup.data, size);
    out->lookup = lookup.data;
    out->value = popoto_of_text(equals + 1);
    /* The library knows better what to say of a field that is not there. */
    return field == NULL ||
           typed_value(field, under != NULL ? under + 2 : NULL, equals + 1, &out->value);
}

static bool take_columns(querying *it) {
    const popoto_model *model = it->desc.model;
    const char *names = it->desc.fields;
    size_t most = model->field_count;
    for (const char *at = names; at != NULL && *at != '\0'; at++)
        most += *at == ',';
    it->columns = keep((most + 1) * sizeof *it->columns);
    for (size_t i = 0; i < model->field_count && names == NULL; i++)
        it->columns[it->column_count++] = &model->fields[i];
    while (names != NULL && *names != '\0') {
        size_t size = strcspn(names, ",");
        const popoto_field *field = field_named(model, names, size);
        if (field == NULL) {
            complain("%s has no field '%.*s'", model->name, (int)size, names);
            return false;
        }
        it->columns[it->column_count++] = field;
        names += size + (names[size] == ',');
    }
    return true;
}

static json_t *json_of_row(querying *it, const popoto_record *row) {
    json_t *object = json_object();
    popoto_text key = { NULL, 0 };
    if (!key_of(it->run, it->desc.model, row, &key))
        it->status = EXIT_FINDINGS;
    json_object_set_new(object, "_key", json_of_text(key));
    popoto_free(it->run->db, key.data);
    for (size_t i = 0; i < it->column_count; i++) {
        popoto_value value;
        if (!current_value(it->run, it->desc.model, row, it->columns[i], &value))
            it->status = EXIT_FINDINGS;
        json_object_set_new(object, it->columns[i]->name, json_of_value(&value));
    }
    return object;
}

static void line_of_row(querying *it, const popoto_record *row) {
    popoto_text key = { NULL, 0 };
    if (it->keys) {
        if (!key_of(it->run, it->desc.model, row, &key))
            it->status = EXIT_FINDINGS;
        table_cell(it->out, key.data != NULL ? shown_text(key) : demand_text("?"));
        popoto_free(it->run->db, key.data);
    }
    for (size_t i = 0; i < it->column_count; i++) {
        popoto_value value;
        if (!current_value(it->run, it->desc.model, row, it->columns[i], &value))
            it->status = EXIT_FINDINGS;
        table_cell(it->out, it->columns[i]->kind == POPOTO_KIND_CONFIDENCE
                                ? demand_text("%.4f", value.as.real)
                                : shown_briefly(&value));
    }
    table_flow(it->out);
}

static void take_row(querying *it, const popoto_record *row) {
    if (it->most > 0 && it->shown == it->most) {
        it->more = true;
        return;
    }
    (void)bar_step(&it->progress, it->shown, 0);
    if (it->run->set.json)
        json_print_piece(json_of_row(it, row), it->shown == 0);
    else
        line_of_row(it, row);
    it->shown++;
}

/* In an order that no index gives: all of them are there before the first is the first. */
static void read_at_once(querying *it) {
    popoto_rows *rows;
    bar_wait(&it->progress);
    popoto_status status = popoto_query(it->run->db, &it->desc, &rows);
    bar_end(&it->progress);
    if (status != POPOTO_OK && status != POPOTO_CORRUPT)
        it->status = session_failed(it->run, status);
    size_t problems = popoto_rows_problem_count(rows);
    for (size_t i = 0; i < problems; i++)
        complain("%s", popoto_rows_problem(rows, i));
    if (problems > 0)
        it->status = EXIT_FINDINGS;
    for (size_t i = 0; i < popoto_rows_count(rows); i++)
        take_row(it, popoto_rows_at(rows, i));
    popoto_rows_free(rows);
}

/* However many there are, without having them all at once, where that can be. */
static void read_rows(querying *it) {
    popoto_stream *stream;
    void *row = NULL;
    popoto_status status = popoto_stream_open(it->run->db, &it->desc, &stream);
    if (status == POPOTO_BAD_QUERY && it->desc.order_by != NULL) {
        read_at_once(it);
        return;
    }
    while (status == POPOTO_OK && !interrupted()) {
        status = popoto_stream_next(stream, &row);
        if (status == POPOTO_CORRUPT) {
            complain("%s", popoto_error(it->run->db));
            it->status = EXIT_FINDINGS;
            status = POPOTO_OK;
        } else if (status == POPOTO_OK && row == NULL) {
            break;
        } else if (status == POPOTO_OK) {
            take_row(it, row);
        }
    }
    if (interrupted())
        status = POPOTO_STOPPED;
    popoto_stream_free(stream);
    if (status != POPOTO_OK)
        it->status = session_failed(it->run, status);
}

static void begin_output(querying *it) {
    if (it->run->set.json) {
        putchar('[');
        return;
    }
    it->out = table_new();
    if (it->keys)
        table_column(it->out, "KEY", COLUMN_LEFT);
    for (size_t i = 0; i < it->column_count; i++) {
        popoto_type type = it->columns[i]->type;
        bool number = type == POPOTO_INT || type == POPOTO_FLOAT || type == POPOTO_DECIMAL;
        table_column(it->out, it->columns[i]->name, number ? COLUMN_RIGHT : COLUMN_CUT);
    }
}

static void end_output(querying *it) {
    if (it->run->set.json) {
        fputs(it->shown > 0 ? "\n]\n" : "]\n", stdout);
        return;
    }
    table_print(it->out, "--fields A,B chooses others, show KEY and --json have all");
    if (it->status == EXIT_DONE || it->shown > 0)
        printf("%s%zu row%s%s%s\n", colours.dim, it->shown, it->shown == 1 ? "" : "s",
               it->more ? "; there are more (--limit N, 0 for all)" : "", colours.plain);
}

/* Of what cannot be counted is told; the others are counted all the same. */
static int count_rows(querying *it) {
    size_t found;
    bar_wait(&it->progress);
    popoto_status status = popoto_count(it->run->db, &it->desc, &found);
    bar_end(&it->progress);
    int said = status != POPOTO_OK ? session_failed(it->run, status) : EXIT_DONE;
    if (status != POPOTO_OK && status != POPOTO_CORRUPT)
        return said;
    if (it->run->set.json)
        json_print(json_pack("{so}", "count", json_of_size(found)));
    else
        printf("%zu\n", found);
    return said;
}

static int fill_query(querying *it, int count, char **words) {
    const settings *set = &it->run->set;
    popoto_filter *filters = keep((size_t)(count + 1) * sizeof *filters);
    it->desc = (popoto_query_desc){
        .filters = filters,
        .filter_count = (size_t)count - 1,
        .order_by = set->order,
        .limit = set->limit,
        .offset = set->offset,
        .fields = set->fields,
        .all_tenants = set->all_tenants,
        .allow_scan = set->scan,
    };
    int status = session_model(it->run, words[0], &it->desc.model);
    if (status != EXIT_DONE)
        return status;
    for (int i = 1; i < count; i++)
        if (!take_filter(it->desc.model, words[i], &filters[i - 1]))
            return EXIT_USAGE;
    if (!take_columns(it))
        return EXIT_USAGE;
    it->keys = set->keys || it->column_count == 0;
    /* On a terminal, some rows; and word of more, for which one more is asked for. */
    it->most = set->limit_given ? set->limit : set->json ? 0 : terminal_lines();
    if (it->most > 0 && it->most < SIZE_MAX && !set->json)
        it->desc.limit = it->most + 1;
    return EXIT_DONE;
}

int run_query(session *it, int count, char **words) {
    querying query = { .run = it };
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = session_models(it);
    if (status == EXIT_DONE)
        status = fill_query(&query, count, words);
    if (status != EXIT_DONE)
        return status;
    session_left_behind(it, query.desc.model);
    query.progress = bar_start("query");
    /* Rows that are printed as they come tell enough. */
    query.progress.visible = query.progress.visible && !(it->set.json && terminal_width() > 0);
    if (it->set.count)
        return count_rows(&query);
    begin_output(&query);
    read_rows(&query);
    bar_end(&query.progress);
    end_output(&query);
    return query.status;
}
