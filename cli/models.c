/* models - `popoto models` and `popoto info`: what the command knows of the database. */
#include "json.h"
#include "session.h"
#include "table.h"
#include "terminal.h"
#include "typed.h"

#include <stdlib.h>
#include <string.h>

/* ----- models --------------------------------------------------------------------------------- */

static const popoto_value *described(const session *it, const popoto_model *model) {
    for (size_t i = 0; i < popoto_catalog_count(it->catalog); i++)
        if (popoto_catalog_model(it->catalog, i) == model)
            return popoto_catalog_value(it->catalog, i);
    return NULL;
}

static void print_json(const session *it, const chosen *all) {
    json_t *list = json_array();
    for (size_t i = 0; i < all->count; i++) {
        const popoto_value *value = described(it, all->models[i]);
        json_array_append_new(list, value != NULL ? json_of_value(value) : json_null());
    }
    json_print(list);
}

static char *options_of(const popoto_field *field) {
    char *text = demand_text("%s", "");
    const char *parts[4] = { 0 };
    char *partition = NULL, *length = NULL;
    if (field->partition_by != NULL)
        parts[0] = partition = demand_text("by %s", field->partition_by);
    if (field->null)
        parts[1] = "null";
    if (field->max_length > 0)
        parts[2] = length = demand_text("at most %zu", field->max_length);
    if (field->kind == POPOTO_KIND_AUTO_KEY)
        parts[3] = field->generate == POPOTO_ULID ? "ulid" : "uuid4";
    for (size_t i = 0; i < 4; i++) {
        if (parts[i] == NULL)
            continue;
        char *more = demand_text("%s%s%s", text, text[0] != '\0' ? ", " : "", parts[i]);
        free(text);
        text = more;
    }
    free(partition), free(length);
    if (text[0] != '\0')
        return text;
    free(text);
    return demand_text("-");
}

/* What was guessed of an inferred model. */
static void print_note(const session *it, const popoto_model *model) {
    for (size_t i = 0; i < popoto_catalog_count(it->catalog); i++)
        if (it->models_from == SOURCE_INFERRED && popoto_catalog_model(it->catalog, i) == model &&
            popoto_catalog_note(it->catalog, i) != NULL) {
            fputs(colours.dim, stdout);
            put_wrapped(stdout, popoto_catalog_note(it->catalog, i), 0, terminal_width());
            printf("%s\n", colours.plain);
        }
}

static void print_model(const popoto_model *model) {
    const popoto_field *tenant = tenant_of(model);
    printf("%s%s%s", colours.bold, model->name, colours.plain);
    if (tenant != NULL)
        printf("  strict, by %s", tenant->name);
    if (model->time_to_live > 0)
        printf("  expires after %lu s", (unsigned long)model->time_to_live);
    putchar('\n');
    table *out = table_new();
    table_column(out, "FIELD", COLUMN_LEFT);
    table_column(out, "KIND", COLUMN_LEFT);
    table_column(out, "TYPE", COLUMN_LEFT);
    table_column(out, "OPTIONS", COLUMN_CUT);
    for (size_t i = 0; i < model->field_count; i++) {
        table_word(out, model->fields[i].name);
        table_word(out, kind_name(model->fields[i].kind));
        table_word(out, type_name(model->fields[i].type));
        table_cell(out, options_of(&model->fields[i]));
    }
    table_print(out, NULL);
}

int run_models(session *it, int count, char **words) {
    chosen all;
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = session_choose_words(it, count, words, &all);
    if (status != EXIT_DONE)
        return status;
    if (it->set.json)
        print_json(it, &all);
    for (size_t i = 0; i < all.count && !it->set.json; i++) {
        if (i > 0)
            putchar('\n');
        print_model(all.models[i]);
        print_note(it, all.models[i]);
    }
    return EXIT_DONE;
}

/* ----- info ----------------------------------------------------------------------------------- */

typedef struct census {
    const popoto_model *model;
    size_t records;
    bool known;
    size_t left_behind; /* of a strict model: ordinary records of its name */
} census;

/* On a cluster, say, some models work and others do not: each is counted for itself. */
static int count_models(session *it, census *all, size_t *count) {
    int status = EXIT_DONE;
    bool denied = false;
    *count = 0;
    bar progress = bar_start("counting records");
    bar_wait(&progress);
    for (size_t i = 0; i < popoto_catalog_count(it->catalog) && !interrupted(); i++) {
        if (!session_uses(it, i))
            continue;
        census *one = &all[*count];
        one->model = popoto_catalog_model(it->catalog, i);
        popoto_query_desc desc = { .model = one->model,
                                   .all_tenants = tenant_of(one->model) != NULL };
        ++*count;
        if (denied)
            continue;
        popoto_status counted = popoto_count(it->db, &desc, &one->records);
        denied = counted == POPOTO_DENIED;
        one->known = counted == POPOTO_OK || counted == POPOTO_CORRUPT;
        if (counted != POPOTO_OK)
            status = session_failed(it, counted);
        if (!denied)
            one->left_behind = session_left_behind(it, one->model);
    }
    bar_end(&progress);
    return interrupted() ? session_failed(it, POPOTO_STOPPED) : status;
}

static void info_json(const session *it, const char *address, const census *all, size_t count) {
    json_t *models = json_array();
    for (size_t i = 0; i < count; i++) {
        const popoto_field *tenant = tenant_of(all[i].model);
        json_array_append_new(
            models, json_pack("{ss, so, so, so}", "model", all[i].model->name, "tenant_field",
                              tenant != NULL ? json_string(tenant->name) : json_null(), "records",
                              all[i].known ? json_of_size(all[i].records) : json_null(),
                              "left_behind", json_of_size(all[i].left_behind)));
    }
    const char *socket = popoto_socket(it->db);
    json_print(json_pack("{so, so, ss, ss, ss, so}", "url", json_of_word(address), "socket",
                         json_of_word(socket), "library", popoto_version(), "dialect",
                         dialect_name(it->set.dialect), "models_from", session_source(it), "models",
                         models));
}

static void fact(const char *name, const char *value) {
    char *shown = shown_word(value);
    printf("%s%-8s%s  %s\n", colours.dim, name, colours.plain, shown);
    free(shown);
}

static void info_table(const session *it, const char *address, const census *all, size_t count) {
    const char *socket = popoto_socket(it->db);
    fact("url", address);
    if (socket != NULL && strstr(address, socket) == NULL)
        fact("socket", socket);
    fact("library", popoto_version());
    fact("dialect", dialect_name(it->set.dialect));
    fact("models", count > 0 ? session_source(it) : "none are known");
    if (count == 0)
        return;
    putchar('\n');
    table *out = table_new();
    table_column(out, "MODEL", COLUMN_CUT);
    table_column(out, "TENANT", COLUMN_LEFT);
    table_column(out, "RECORDS", COLUMN_RIGHT);
    for (size_t i = 0; i < count; i++) {
        const popoto_field *tenant = tenant_of(all[i].model);
        table_word(out, all[i].model->name);
        table_word(out, tenant != NULL ? tenant->name : "-");
        table_cell(out, all[i].known ? number_text(all[i].records) : demand_text("-"));
    }
    table_print(out, NULL);
}

int run_info(session *it, int count, char **words) {
    (void)count, (void)words;
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = session_models(it);
    if (status != EXIT_DONE)
        return status;
    size_t counted;
    census *all = demand((popoto_catalog_count(it->catalog) + 1) * sizeof *all);
    status = count_models(it, all, &counted);
    char *address = session_address(it);
    if (it->set.json)
        info_json(it, address, all, counted);
    else
        info_table(it, address, all, counted);
    free(address), free(all);
    return status;
}
