/* audit - `popoto audit`: what the library finds, as it finds it, and the sum; of all tenants, or of one. */
#include "json.h"
#include "options.h"
#include "session.h"
#include "table.h"
#include "terminal.h"
#include "typed.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN 100
#define KINDS 8

static const char *const kinds[KINDS] = { "missing",   "stray",   "misplaced", "score",
                                          "duplicate", "corrupt", "lacking",   "halfway" };

typedef struct auditing {
    const session *run;
    const tenancy *of;         /* the models, and their tenant where it is one */
    const popoto_value *whose; /* NULL: all */
    const popoto_model *model;
    size_t shown; /* findings, of all models */
    size_t found[KINDS], repaired[KINDS], mendable;
    bar progress;
} auditing;

static const char *becomes(const auditing *it, const popoto_finding *one) {
    if (one->repaired)
        return "mended";
    if (it->run->set.repair)
        return one->repairable ? "not mended" : "left alone";
    return one->repairable ? "can be mended" : "";
}

static void print_finding(const auditing *it, const popoto_finding *one) {
    const char *after = becomes(it, one);
    const char *colour = one->repaired     ? colours.green
                         : one->repairable ? colours.yellow
                                           : colours.red;
    char *clean = shown_word(one->text);
    char *text = demand_text("%s%s%s%s", clean, after[0] != '\0' ? " [" : "", after,
                             after[0] != '\0' ? "]" : "");
    printf("%s%-9s%s  ", colour, kinds[one->kind], colours.plain);
    put_wrapped(stdout, text, 11, terminal_width());
    putchar('\n');
    free(clean), free(text);
}

static json_t *json_of_finding(const auditing *it, const popoto_finding *one) {
    return json_pack("{ss, ss, so, so, so, sb, sb}", "model", it->model->name, "kind",
                     kinds[one->kind], "record", json_of_text(one->record), "index",
                     json_of_text(one->index), "text", json_of_sentence(one->text), "repairable",
                     (int)one->repairable, "repaired", (int)one->repaired);
}

static bool take_finding(void *context, const popoto_finding *one) {
    auditing *it = context;
    const settings *set = &it->run->set;
    if ((unsigned)one->kind >= KINDS)
        return true;
    it->found[one->kind]++;
    it->repaired[one->kind] += one->repaired;
    it->mendable += one->repairable;
    size_t limit = set->limit_given ? set->limit : set->json ? 0 : SHOWN;
    if (limit == 0 || it->shown < limit) {
        bar_end(&it->progress);
        if (set->json)
            json_print_piece(json_of_finding(it, one), it->shown == 0);
        else
            print_finding(it, one);
    }
    it->shown++;
    return !interrupted();
}

static bool take_progress(void *context, size_t done, size_t total) {
    auditing *it = context;
    return bar_step(&it->progress, done, total);
}

/* ----- The sum -------------------------------------------------------------------------------- */

typedef struct outcome {
    const popoto_model *model;
    popoto_audit_report report;
} outcome;

static json_t *json_of_outcomes(const outcome *all, size_t count) {
    json_t *models = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(models,
                              json_pack("{ss, so, so, so, so}", "model", all[i].model->name,
                                        "records", json_of_size(all[i].report.records),
                                        "index_entries", json_of_size(all[i].report.index_entries),
                                        "findings", json_of_size(all[i].report.findings),
                                        "repaired", json_of_size(all[i].report.repaired)));
    return models;
}

static void print_outcomes(const auditing *it, const outcome *all, size_t count, bool whole) {
    if (it->shown > 0) {
        size_t limit = it->run->set.limit_given ? it->run->set.limit : SHOWN;
        if (limit > 0 && it->shown > limit)
            printf("%s... and %zu more (--limit 0 shows all)%s\n", colours.dim, it->shown - limit,
                   colours.plain);
        putchar('\n');
    }
    table *out = table_new();
    table_column(out, "MODEL", COLUMN_CUT);
    table_column(out, "RECORDS", COLUMN_RIGHT);
    table_column(out, "ENTRIES", COLUMN_RIGHT);
    table_column(out, "FINDINGS", COLUMN_RIGHT);
    table_column(out, "MENDED", COLUMN_RIGHT);
    for (size_t i = 0; i < count; i++) {
        table_word(out, all[i].model->name);
        table_number(out, all[i].report.records);
        table_number(out, all[i].report.index_entries);
        table_number(out, all[i].report.findings);
        table_number(out, all[i].report.repaired);
    }
    if (count > 0)
        table_print(out, NULL);
    else
        table_free(out);
    for (size_t i = 0; i < KINDS; i++)
        if (it->found[i] > 0)
            printf("%s%-9s%s  %zu found, %zu mended\n", colours.dim, kinds[i], colours.plain,
                   it->found[i], it->repaired[i]);
    if (it->shown == 0 && whole)
        printf("%snothing found%s\n", colours.green, colours.plain);
}

/* ----- The command ---------------------------------------------------------------------------- */

static int audit_one(session *it, auditing *state, size_t index, outcome *out) {
    char *label = demand_text("audit %s", out->model->name);
    state->model = out->model;
    state->progress = bar_start(label);
    popoto_status status = popoto_audit(it->db,
                                        &(popoto_audit_desc){
                                            .model = out->model,
                                            .repair = it->set.repair,
                                            .found = take_finding,
                                            .progress = take_progress,
                                            .context = state,
                                            .tenant = state->whose,
                                            .tenant_field = state->of->fields[index],
                                        },
                                        &out->report);
    bar_end(&state->progress);
    free(label);
    return status == POPOTO_OK ? EXIT_DONE : session_failed(it, status);
}

/* What the audits of all models came to. */
typedef struct sum {
    size_t found;
    size_t mended;
    size_t mendable;
} sum;

static int audit_all(session *it, const tenancy *all, sum *out) {
    auditing state = { .run = it,
                       .of = all,
                       .whose = it->set.tenant != NULL ? &all->desc.tenant : NULL };
    size_t seen = 0;
    outcome *outcomes = demand((all->count + 1) * sizeof *outcomes);
    int status = EXIT_DONE;
    size_t done = 0;
    *out = (sum){ 0 };
    if (it->set.json)
        fputs("{\"findings\": [", stdout);
    for (; done < all->count && status == EXIT_DONE; done++) {
        outcomes[done].model = all->models[done];
        status = audit_one(it, &state, done, &outcomes[done]);
        seen += outcomes[done].report.records + outcomes[done].report.index_entries +
                outcomes[done].report.findings;
        if (status != EXIT_DONE && outcomes[done].report.records == 0)
            break; /* there is nothing to say of it */
        out->found += outcomes[done].report.findings;
        out->mended += outcomes[done].report.repaired;
    }
    if (it->set.json) {
        fputs("\n], \"models\": ", stdout);
        json_print(json_of_outcomes(outcomes, done));
        if (it->set.tenant != NULL) {
            fputs(", \"tenant\": ", stdout);
            json_print(json_of_word(it->set.tenant));
        }
        fputs("}\n", stdout);
    } else if (seen > 0 || state.whose == NULL || status != EXIT_DONE) {
        print_outcomes(&state, outcomes, done, status == EXIT_DONE);
    }
    out->mendable = state.mendable;
    free(outcomes);
    if (status != EXIT_DONE)
        return status;
    if (seen == 0 && state.whose != NULL)
        return session_nothing(it, it->set.tenant);
    return out->found > out->mended ? EXIT_FINDINGS : EXIT_DONE;
}

/* Models that are out of date mend what is right: what would be mended is shown before it is asked for. False:
 * nothing is to be mended; *status is what came of it. */
static bool may_mend(session *it, const tenancy *all, int *status) {
    sum found = { 0 };
    if (it->set.yes)
        return true;
    char *address = session_address(it), *place = shown_word(address);
    bool shows = terminal_asks() && !it->set.json;
    if (shows) {
        it->set.repair = false;
        *status = audit_all(it, all, &found);
        it->set.repair = true;
    }
    bool asks = !shows || (found.mendable > 0 && *status == EXIT_FINDINGS);
    if (asks && shows)
        *status =
            confirm(false, "Mend %zu of these %zu, in %s?", found.mendable, found.found, place);
    else if (asks)
        *status = confirm(false, "Mend what follows from the records, in %s?", place);
    free(address), free(place);
    return asks && *status == EXIT_DONE;
}

/* All that the models have. */
static int choose_all(session *it, tenancy *out) {
    chosen all;
    int status = session_choose(it, &all);
    if (status != EXIT_DONE)
        return status;
    *out = (tenancy){ .models = all.models, .count = all.count };
    out->fields = keep((all.count + 1) * sizeof *out->fields);
    return EXIT_DONE;
}

int run_audit(session *it, int count, char **words) {
    tenancy all;
    sum found;
    for (int i = 0; i < count; i++)
        options_name(&it->set.models, words[i]);
    if (it->set.tenant == NULL && it->set.tenant_fields.count > 0) {
        complain("--tenant-field says what tells the tenants: --tenant TENANT says which is meant");
        return EXIT_USAGE;
    }
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = it->set.tenant == NULL ? choose_all(it, &all)
                                        : session_tenant(it, it->set.tenant, &all);
    if (status == EXIT_DONE && it->set.tenant != NULL)
        say_left_out(all.left_out, all.left_count);
    if (status != EXIT_DONE || (it->set.repair && !may_mend(it, &all, &status)))
        return status;
    return audit_all(it, &all, &found);
}
