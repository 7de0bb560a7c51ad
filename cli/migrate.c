/* migrate - `popoto migrate`: a confidence hash to its partitions, or an ordinary model to a strict one,
 * with the report that the specification shows. */
#include "json.h"
#include "session.h"
#include "table.h"
#include "terminal.h"
#include "typed.h"

#include <stdlib.h>
#include <string.h>

#define ERRORS_SHOWN     20
#define PARTITIONS_SHOWN 20

/* What a migration that stopped did not come to. */
static size_t remaining(const session *it, const popoto_migration_report *report) {
    size_t seen = report->error_count + report->migrated;
    for (size_t i = 0; i < report->partition_count && it->set.dry_run; i++)
        seen += report->partitions[i].count;
    return seen < report->total ? report->total - seen : 0;
}

static json_t *json_of_report(const session *it, const popoto_migration_report *report) {
    json_t *errors = json_array(), *partitions = json_array();
    for (size_t i = 0; i < report->error_count; i++)
        json_array_append_new(errors, json_pack("{so, so}", "member",
                                                json_of_text(report->errors[i].member), "reason",
                                                json_of_sentence(report->errors[i].reason)));
    for (size_t i = 0; i < report->partition_count; i++)
        json_array_append_new(
            partitions, json_pack("{so, so}", "name", json_of_text(report->partitions[i].name),
                                  "count", json_of_size(report->partitions[i].count)));
    return json_pack("{sb, so, so, so, so, so}", "dry_run", (int)it->set.dry_run, "total",
                     json_of_size(report->total), "migrated", json_of_size(report->migrated),
                     "remaining", json_of_size(remaining(it, report)), "partitions", partitions,
                     "errors", errors);
}

/* The largest first, and so many; 0: all. */
static int by_count(const void *a, const void *b) {
    size_t x = ((const popoto_migration_partition *)a)->count;
    size_t y = ((const popoto_migration_partition *)b)->count;
    return (x < y) - (x > y);
}

static void print_partitions(const popoto_migration_report *report, const char *title) {
    size_t count = report->partition_count;
    size_t shown = count < PARTITIONS_SHOWN ? count : PARTITIONS_SHOWN;
    popoto_migration_partition *all = keep((count + 1) * sizeof *all);
    if (count > 0)
        memcpy(all, report->partitions, count * sizeof *all);
    if (shown < count)
        qsort(all, count, sizeof *all, by_count);
    table *out = table_new();
    table_column(out, title, COLUMN_CUT);
    table_column(out, strcmp(title, "TENANT") == 0 ? "RECORDS" : "ENTRIES", COLUMN_RIGHT);
    for (size_t i = 0; i < shown; i++) {
        table_cell(out, shown_text(all[i].name));
        table_number(out, all[i].count);
    }
    table_print(out, NULL);
    if (shown < count)
        printf("%s... and %zu more (--json has all)%s\n", colours.dim, count - shown,
               colours.plain);
}

static void print_errors(const popoto_migration_report *report) {
    size_t shown = report->error_count < ERRORS_SHOWN ? report->error_count : ERRORS_SHOWN;
    for (size_t i = 0; i < shown; i++) {
        char *member = shown_text(report->errors[i].member);
        char *clean = shown_word(report->errors[i].reason);
        /* Some reasons name it themselves. */
        bool named = strstr(clean, member) != NULL;
        printf("%sstayed%s  %s%s%s\n", colours.red, colours.plain, named ? "" : member,
               named ? "" : ": ", clean);
        free(member), free(clean);
    }
    if (shown < report->error_count)
        printf("%s... and %zu more (--json has all)%s\n", colours.dim, report->error_count - shown,
               colours.plain);
}

static int say_report(const session *it, const popoto_migration_report *report, const char *title) {
    if (it->set.json) {
        json_print(json_of_report(it, report));
    } else {
        print_partitions(report, title);
        print_errors(report);
        size_t moved = report->migrated;
        for (size_t i = 0; i < report->partition_count && it->set.dry_run; i++)
            moved += report->partitions[i].count;
        char *total = number_text(report->total), *migrated = number_text(moved);
        char *stay = number_text(report->error_count), *left = number_text(remaining(it, report));
        printf("%s%s of %s %s, %s stay where they are", colours.bold, migrated, total,
               it->set.dry_run ? "would be moved" : "moved", stay);
        if (remaining(it, report) > 0)
            printf(", %s are still to come: run it again", left);
        printf("%s\n", colours.plain);
        free(total), free(migrated), free(stay), free(left);
    }
    return report->error_count > 0 ? EXIT_FINDINGS : EXIT_DONE;
}

/* The report of a call, even of one that failed half-way. */
static int finish(session *it, popoto_status status, popoto_migration_report *report,
                  const char *title) {
    int said = EXIT_DONE;
    if (report != NULL && (status == POPOTO_OK || status == POPOTO_STOPPED))
        said = say_report(it, report, title);
    popoto_migration_report_free(report);
    return status == POPOTO_OK ? said : session_failed(it, status);
}

/* ----- What is published ---------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b) {
    return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static bool same_field(const popoto_field *a, const popoto_field *b) {
    return strcmp(a->name, b->name) == 0 && a->kind == b->kind && a->type == b->type &&
           same_text(a->partition_by, b->partition_by) && a->null == b->null &&
           a->max_length == b->max_length && a->generate == b->generate;
}

/* Whether the models are the same, but for what the migration changes of that field. */
static bool same_but(const popoto_model *a, const popoto_model *b, const popoto_field *changed) {
    bool same = a->field_count == b->field_count && a->time_to_live == b->time_to_live;
    for (size_t i = 0; i < a->field_count && same; i++) {
        popoto_field other = b->fields[i];
        if (strcmp(a->fields[i].name, changed->name) == 0 &&
            strcmp(other.name, changed->name) == 0) {
            other.kind = a->fields[i].kind;
            other.partition_by = a->fields[i].partition_by;
        }
        same = same_field(&a->fields[i], &other);
    }
    return same;
}

static const popoto_model *published_as(const popoto_catalog *catalog, const char *name) {
    for (size_t i = 0; i < popoto_catalog_count(catalog); i++)
        if (strcmp(popoto_catalog_model(catalog, i)->name, name) == 0)
            return popoto_catalog_model(catalog, i);
    return NULL;
}

/* *is: the model is published, and tools are to be told what became of it. A published model that differs in
 * more than what is migrated is another one: by which of them the records were written is not for us to say. */
static int look_at_published(session *it, const popoto_model *model, const popoto_field *field,
                             bool *is) {
    popoto_catalog *catalog = NULL;
    int status = EXIT_DONE;
    *is = it->models_from == SOURCE_PUBLISHED;
    if (*is)
        return status;
    (void)popoto_catalog_published(it->db, &catalog);
    const popoto_model *other = published_as(catalog, model->name);
    /* In place of one that cannot be used, what the model is now. */
    *is = other != NULL || catalog_has_broken(catalog, model->name);
    if (other != NULL && !same_but(model, other, field)) {
        complain("%s is published here with other fields than '%s' gives it: publish what it is "
                 "now, or correct the file",
                 model->name, it->set.models_file);
        status = EXIT_USAGE;
    }
    popoto_catalog_free(catalog);
    return status;
}

/* Tools go on with what the records are now. */
static int publish(session *it, const popoto_model *model, bool is_published, const char *now) {
    if (it->set.dry_run)
        return EXIT_DONE;
    popoto_status status = is_published ? popoto_publish(it->db, &model, 1) : POPOTO_OK;
    if (status != POPOTO_OK)
        return session_failed(it, status);
    remark("%s %s now%s; programs that use it must declare it so", model->name, now,
           is_published ? ", and published so" : "");
    return EXIT_DONE;
}

/* For the question; to be freed. */
static char *how_many(const session *it, const char *all) {
    return it->set.limit > 0 ? demand_text("at most %zu", it->set.limit) : demand_text("%s", all);
}

/* ----- To partitions -------------------------------------------------------------------------- */

/* Of a strict model each tenant has companion hashes of its own: they are migrated one after the other, and
 * reported as one, the tenant in front of each partition as in their keys. */
typedef struct by_tenant {
    const popoto_field *tenant;
    popoto_value *tenants;
    size_t count;
    size_t placed; /* moved, or on a dry run with a place */
    popoto_migration_report sum;
    popoto_migration_partition *partitions;
    popoto_migration_error *errors;
} by_tenant;

static bool take_tenant(void *context, const popoto_value *tenant) {
    by_tenant *it = context;
    it->tenants = demand_more(it->tenants, (it->count + 1) * sizeof *it->tenants);
    it->tenants[it->count++] = kept_tenant(tenant);
    return !interrupted();
}

static void add_report(by_tenant *it, const popoto_value *tenant,
                       const popoto_migration_report *more) {
    popoto_migration_report *sum = &it->sum;
    sum->total += more->total;
    char *shown = shown_value(tenant);
    it->partitions = demand_more(it->partitions, (sum->partition_count + more->partition_count) *
                                                     sizeof *it->partitions);
    it->errors =
        demand_more(it->errors, (sum->error_count + more->error_count) * sizeof *it->errors);
    for (size_t i = 0; i < more->partition_count; i++) {
        char *part = shown_text(more->partitions[i].name);
        char *name = demand_text("{%s}:%s", shown, part);
        it->partitions[sum->partition_count++] =
            (popoto_migration_partition){ keep_text(name, strlen(name)),
                                          more->partitions[i].count };
        it->placed += more->partitions[i].count;
        free(part), free(name);
    }
    for (size_t i = 0; i < more->error_count; i++)
        it->errors[sum->error_count++] = (popoto_migration_error){
            keep_text(more->errors[i].member.data, more->errors[i].member.size),
            keep_text(more->errors[i].reason, strlen(more->errors[i].reason)).data
        };
    sum->migrated += more->migrated;
    sum->partitions = it->partitions;
    sum->errors = it->errors;
    free(shown);
}

static popoto_status migrate_tenant(session *it, by_tenant *all, const popoto_model *model,
                                    const popoto_field *field, const popoto_value *tenant,
                                    const popoto_migration_desc *desc) {
    popoto_migration_report *report = NULL;
    popoto_migration_desc part = *desc;
    bool only_counts = desc->limit > 0 && all->placed >= desc->limit;
    if (only_counts)
        part = (popoto_migration_desc){ .dry_run = true, .limit = 1 };
    else if (desc->limit > 0)
        part.limit -= all->placed;
    popoto_status status = popoto_scope_enter_value(it->db, all->tenant->name, *tenant);
    if (status != POPOTO_OK)
        return status;
    status = popoto_confidence_migrate(it->db, model, field->name, &part, &report);
    if (report != NULL && only_counts)
        all->sum.total += report->total;
    else if (report != NULL)
        add_report(all, tenant, report);
    popoto_migration_report_free(report);
    (void)popoto_scope_leave(it->db);
    return status;
}

static int migrate_tenants(session *it, const popoto_model *model, const popoto_field *field,
                           const popoto_migration_desc *desc, bool *whole) {
    by_tenant all = { .tenant = tenant_of(model) };
    popoto_status status = popoto_tenants(it->db, model, take_tenant, &all);
    for (size_t i = 0; i < all.count && status == POPOTO_OK; i++)
        status = migrate_tenant(it, &all, model, field, &all.tenants[i], desc);
    bar_end(desc->context);
    *whole = status == POPOTO_OK && remaining(it, &all.sum) == 0;
    int said = EXIT_DONE;
    if (status == POPOTO_OK || status == POPOTO_STOPPED)
        said = say_report(it, &all.sum, "PARTITION");
    free(all.tenants), free(all.partitions), free(all.errors);
    return status == POPOTO_OK ? said : session_failed(it, status);
}

static int migrate_whole(session *it, const popoto_model *model, const popoto_field *field,
                         const popoto_migration_desc *desc, bool *whole) {
    popoto_migration_report *report;
    popoto_status done = popoto_confidence_migrate(it->db, model, field->name, desc, &report);
    bar_end(desc->context);
    *whole = done == POPOTO_OK && remaining(it, report) == 0;
    return finish(it, done, report, "PARTITION");
}

static int migrate_confidence(session *it, const popoto_model *model, const popoto_field *field) {
    bool is_published;
    if (field->kind != POPOTO_KIND_CONFIDENCE) {
        complain("%s of %s is no CONFIDENCE field", field->name, model->name);
        return EXIT_USAGE;
    }
    int status = look_at_published(it, model, field, &is_published);
    if (status != EXIT_DONE)
        return status;
    const char *by = field->partition_by != NULL ? field->partition_by : "(none)";
    char *address = session_address(it), *place = shown_word(address);
    char *some = how_many(it, "the figures");
    status = confirm(it->set.yes || it->set.dry_run, "Move %s of %s.%s in %s\nto partitions by %s?",
                     some, model->name, field->name, place, by);
    free(some);
    free(address), free(place);
    if (status != EXIT_DONE)
        return status;
    bar progress = bar_start("migrate");
    popoto_migration_desc desc = { .dry_run = it->set.dry_run,
                                   .progress = bar_step,
                                   .context = &progress,
                                   .limit = it->set.limit };
    bool whole;
    status = (tenant_of(model) != NULL ? migrate_tenants : migrate_whole)(it, model, field, &desc,
                                                                          &whole);
    char *now = demand_text("has %s by %s", field->name, by);
    int published = whole ? publish(it, model, is_published, now) : EXIT_DONE;
    free(now);
    return status != EXIT_DONE ? status : published;
}

/* ----- To strict ------------------------------------------------------------------------------ */

const popoto_model *with_kind(const popoto_model *model, const popoto_field *field,
                              popoto_kind kind) {
    popoto_field *fields = keep(model->field_count * sizeof *fields);
    popoto_model *made = keep(sizeof *made);
    memcpy(fields, model->fields, model->field_count * sizeof *fields);
    fields[field - model->fields].kind = kind;
    *made = *model;
    made->fields = fields;
    return made;
}

static int migrate_strict(session *it, const popoto_model *model, const popoto_field *field) {
    popoto_migration_report *report;
    bool strict = field->kind == POPOTO_KIND_TENANT, is_published;
    if (!strict && field->kind != POPOTO_KIND_KEY) {
        complain("%s of %s is no KEY, so it cannot become the TENANT", field->name, model->name);
        return EXIT_USAGE;
    }
    int status = look_at_published(it, model, field, &is_published);
    if (status != EXIT_DONE)
        return status;
    popoto_strict_migration_desc desc = { .dry_run = it->set.dry_run, .limit = it->set.limit };
    desc.from = strict ? with_kind(model, field, POPOTO_KIND_KEY) : model;
    desc.to = strict ? model : with_kind(model, field, POPOTO_KIND_TENANT);
    char *address = session_address(it), *place = shown_word(address);
    char *some = how_many(it, "every record");
    status = confirm(it->set.yes || it->set.dry_run,
                     "Move %s of %s in %s\nbelow its tenant, %s? There is no way back: "
                     "programs that do not\ndeclare %s strict, Popoto (Python) among them, find "
                     "none of them then.\nGo on?",
                     some, model->name, place, field->name, model->name);
    free(some);
    free(address), free(place);
    if (status != EXIT_DONE)
        return status;
    bar progress = bar_start("migrate");
    desc.progress = bar_step;
    desc.context = &progress;
    popoto_status done = popoto_migrate_to_strict(it->db, &desc, &report);
    bar_end(&progress);
    size_t moved = report != NULL ? report->migrated : 0;
    status = finish(it, done, report, "TENANT");
    char *now = demand_text("is strict by %s", field->name);
    /* Once the first record is moved, it is the strict model that can be gone on with. */
    int published =
        done == POPOTO_OK || moved > 0 ? publish(it, desc.to, is_published, now) : EXIT_DONE;
    free(now);
    if (!it->set.dry_run)
        session_left_behind(it, desc.to);
    return status != EXIT_DONE ? status : published;
}

int run_migrate(session *it, int count, char **words) {
    bool confidence = strcmp(words[0], "confidence") == 0;
    (void)count;
    if (!confidence && strcmp(words[0], "strict") != 0) {
        complain("what is migrated is confidence or strict, not '%s'", words[0]);
        return EXIT_USAGE;
    }
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = session_models(it);
    if (status != EXIT_DONE)
        return status;
    const popoto_model *model;
    status = session_model(it, words[1], &model);
    if (status != EXIT_DONE)
        return status;
    const popoto_field *field = field_named(model, words[2], strlen(words[2]));
    if (field == NULL) {
        complain("%s has no field '%s'", model->name, words[2]);
        return EXIT_USAGE;
    }
    return confidence ? migrate_confidence(it, model, field) : migrate_strict(it, model, field);
}
