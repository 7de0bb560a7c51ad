/* tenants - `popoto tenants`: one line a tenant, its figures added up over the models. */
#include "json.h"
#include "session.h"
#include "table.h"
#include "terminal.h"
#include "typed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A tenant's part in one model, or in all. */
typedef struct figures {
    popoto_value tenant;
    const popoto_model *model;
    size_t records, entries, bytes;
    bool sampled;
    double confidence_sum; /* of the models' means, each by its records */
    size_t confident;      /* records of models with a mean */
    int64_t idle;          /* -1: not known */
} figures;

typedef struct listing {
    const popoto_model *model;
    figures *all;
    size_t count, room;
    const popoto_model **left_out;
    size_t left_count;
    const popoto_model **guessed; /* their tenants are the values of their only KEY */
    size_t guessed_count;
    bar progress;
} listing;

static figures *append(listing *it, const figures *one) {
    if (it->count == it->room) {
        it->room = it->room * 2 + 64;
        it->all = demand_more(it->all, it->room * sizeof *it->all);
    }
    it->all[it->count] = *one;
    return &it->all[it->count++];
}

static bool take_figures(void *context, const popoto_tenant_figures *found) {
    listing *it = context;
    figures one = { .tenant = kept_tenant(&found->tenant),
                    .model = it->model,
                    .records = found->records,
                    .entries = found->index_entries,
                    .bytes = found->bytes,
                    .sampled = found->bytes_sampled,
                    .idle = found->idle_seconds };
    if (!isnan(found->mean_confidence)) {
        one.confident = found->records;
        one.confidence_sum = found->mean_confidence * (double)found->records;
    }
    append(it, &one);
    return !interrupted();
}

static bool take_progress(void *context, size_t done, size_t total) {
    listing *it = context;
    return bar_step(&it->progress, done, total);
}

/* ----- Order ---------------------------------------------------------------------------------- */

static int compare_numbers(double a, double b) {
    return (a > b) - (a < b);
}

static int compare_tenants(const popoto_value *a, const popoto_value *b) {
    if (a->type != b->type)
        return (int)a->type - (int)b->type;
    if (a->type == POPOTO_INT)
        return (a->as.integer > b->as.integer) - (a->as.integer < b->as.integer);
    if (a->type != POPOTO_TEXT && a->type != POPOTO_BYTES)
        return 0;
    /* Both are a place and a size. */
    popoto_text x = a->as.text, y = b->as.text;
    if (a->type == POPOTO_BYTES) {
        x = (popoto_text){ a->as.bytes.data, a->as.bytes.size };
        y = (popoto_text){ b->as.bytes.data, b->as.bytes.size };
    }
    size_t common = x.size < y.size ? x.size : y.size;
    int order = common > 0 ? memcmp(x.data, y.data, common) : 0;
    return order != 0 ? order : (x.size > y.size) - (x.size < y.size);
}

static double confidence_of(const figures *it) {
    return it->confident > 0 ? it->confidence_sum / (double)it->confident : NAN;
}

static double sortable(double number) {
    return isnan(number) ? -1 : number;
}

static int by_tenant(const figures *a, const figures *b) {
    return compare_tenants(&a->tenant, &b->tenant);
}
static int by_records(const figures *a, const figures *b) {
    return compare_numbers((double)a->records, (double)b->records);
}
static int by_entries(const figures *a, const figures *b) {
    return compare_numbers((double)a->entries, (double)b->entries);
}
static int by_size(const figures *a, const figures *b) {
    return compare_numbers((double)a->bytes, (double)b->bytes);
}
static int by_confidence(const figures *a, const figures *b) {
    return compare_numbers(sortable(confidence_of(a)), sortable(confidence_of(b)));
}
static int by_idle(const figures *a, const figures *b) {
    return compare_numbers((double)a->idle, (double)b->idle);
}

static const struct {
    const char *name;
    int (*compare)(const figures *a, const figures *b);
} orders[] = {
    { "tenant", by_tenant }, { "records", by_records },       { "entries", by_entries },
    { "size", by_size },     { "confidence", by_confidence }, { "idle", by_idle },
};

static int (*chosen_order)(const figures *a, const figures *b) = by_tenant;
static bool downwards;

static int compare(const void *a, const void *b) {
    int order = chosen_order(a, b);
    if (order == 0)
        return by_tenant(a, b);
    return downwards ? -order : order;
}

static bool choose_order(const char *name) {
    downwards = name[0] == '-';
    name += downwards;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++)
        if (strcmp(orders[i].name, name) == 0) {
            chosen_order = orders[i].compare;
            return true;
        }
    complain("--sort takes tenant, records, entries, size, confidence or idle, not '%s'", name);
    return false;
}

/* ----- Gathering ------------------------------------------------------------------------------ */

static int list_model(session *it, listing *list) {
    bool guessed;
    const popoto_field *field = session_owner(it, list->model, &guessed);
    if (field == NULL) {
        list->left_out[list->left_count++] = list->model;
        return EXIT_DONE;
    }
    if (guessed)
        list->guessed[list->guessed_count++] = list->model;
    popoto_status status =
        popoto_tenant_list(it->db, list->model, field->name, take_figures, take_progress, list);
    return status == POPOTO_OK ? EXIT_DONE : session_failed(it, status);
}

static void add_up(figures *sum, const figures *more) {
    sum->records += more->records;
    sum->entries += more->entries;
    sum->bytes += more->bytes;
    sum->sampled = sum->sampled || more->sampled;
    sum->confidence_sum += more->confidence_sum;
    sum->confident += more->confident;
    if (sum->idle < 0 || (more->idle >= 0 && more->idle < sum->idle))
        sum->idle = more->idle;
}

/* One of each tenant; `parts` is in the order of tenants. */
static listing summed(const listing *parts) {
    listing sums = { 0 };
    for (size_t i = 0; i < parts->count; i++) {
        const figures *part = &parts->all[i];
        if (sums.count > 0 && by_tenant(&sums.all[sums.count - 1], part) == 0)
            add_up(&sums.all[sums.count - 1], part);
        else
            append(&sums, part);
    }
    return sums;
}

/* ----- Output --------------------------------------------------------------------------------- */

static json_t *json_of_figures(const figures *it) {
    double confidence = confidence_of(it);
    return json_pack("{so, so, so, sb, so, so}", "records", json_of_size(it->records),
                     "index_entries", json_of_size(it->entries), "bytes", json_of_size(it->bytes),
                     "bytes_sampled", (int)it->sampled, "mean_confidence",
                     isnan(confidence) ? json_null() : json_real(confidence), "idle_seconds",
                     it->idle < 0 ? json_null() : json_integer(it->idle));
}

/* The parts of one tenant, which stand together. */
static json_t *json_of_parts(const listing *parts, const popoto_value *tenant) {
    json_t *models = json_object();
    size_t low = 0, high = parts->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_tenants(&parts->all[middle].tenant, tenant) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < parts->count && compare_tenants(&parts->all[low].tenant, tenant) == 0; low++)
        json_object_set_new(models, parts->all[low].model->name, json_of_figures(&parts->all[low]));
    return models;
}

static void print_json(const listing *sums, const listing *parts, size_t shown) {
    putchar('[');
    for (size_t i = 0; i < shown; i++) {
        const figures *one = &sums->all[i];
        json_t *object = json_pack("{so}", "tenant", json_of_value(&one->tenant));
        json_object_update_new(object, json_of_figures(one));
        json_object_set_new(object, "models", json_of_parts(parts, &one->tenant));
        json_print_piece(object, i == 0);
    }
    fputs(shown > 0 ? "\n]\n" : "]\n", stdout);
}

static void print_line(table *out, const figures *one) {
    double confidence = confidence_of(one);
    table_cell(out, shown_value(&one->tenant));
    table_number(out, one->records);
    table_number(out, one->entries);
    char *size = size_text(one->bytes);
    table_cell(out, demand_text("%s%s", one->sampled ? "~" : "", size));
    free(size);
    table_cell(out, isnan(confidence) ? demand_text("-") : demand_text("%.2f", confidence));
    table_cell(out, age_text(one->idle));
}

static void print_sum(const listing *sums, size_t shown) {
    figures all = { .idle = -1 };
    for (size_t i = 0; i < sums->count; i++)
        add_up(&all, &sums->all[i]);
    char *tenants = number_text(sums->count), *records = number_text(all.records);
    char *size = size_text(all.bytes), *first = number_text(shown);
    printf("%s%s tenant%s, %s records, %s%s", colours.dim, tenants, sums->count == 1 ? "" : "s",
           records, all.sampled ? "~" : "", size);
    if (shown < sums->count)
        printf("; the first %s%s shown (--limit)", shown == 1 ? "" : first,
               shown == 1 ? "is" : " are");
    printf("%s\n", colours.plain);
    free(tenants), free(records), free(size), free(first);
}

static void print_table(const listing *sums, size_t shown) {
    table *out = table_new();
    table_column(out, "TENANT", COLUMN_CUT);
    table_column(out, "RECORDS", COLUMN_RIGHT);
    table_column(out, "ENTRIES", COLUMN_RIGHT);
    table_column(out, "SIZE", COLUMN_RIGHT);
    table_column(out, "CONFIDENCE", COLUMN_RIGHT);
    table_column(out, "IDLE", COLUMN_RIGHT);
    for (size_t i = 0; i < shown; i++)
        print_line(out, &sums->all[i]);
    table_print(out, NULL);
    print_sum(sums, shown);
}

static void print_listing(const session *it, listing *parts) {
    int (*order)(const figures *, const figures *) = chosen_order;
    bool down = downwards;
    chosen_order = by_tenant;
    downwards = false;
    if (parts->count > 0)
        qsort(parts->all, parts->count, sizeof *parts->all, compare);
    chosen_order = order;
    downwards = down;
    listing sums = summed(parts);
    if (sums.count > 0)
        qsort(sums.all, sums.count, sizeof *sums.all, compare);
    size_t limit = it->set.limit;
    if (!it->set.limit_given && !it->set.json)
        limit = terminal_lines();
    size_t shown = limit > 0 && limit < sums.count ? limit : sums.count;
    if (it->set.json)
        print_json(&sums, parts, shown);
    else
        print_table(&sums, shown);
    free(sums.all);
}

int run_tenants(session *it, int count, char **words) {
    chosen all;
    if (!choose_order(it->set.sort != NULL ? it->set.sort : "-size"))
        return EXIT_USAGE;
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = session_choose_words(it, count, words, &all);
    if (status == EXIT_DONE)
        status = session_check_fields(it, &all);
    if (status != EXIT_DONE)
        return status;
    listing parts = { .progress = bar_start("tenants"),
                      .left_out = keep((all.count + 1) * sizeof(popoto_model *)),
                      .guessed = keep((all.count + 1) * sizeof(popoto_model *)) };
    for (size_t i = 0; i < all.count && status == EXIT_DONE; i++) {
        parts.model = all.models[i];
        status = list_model(it, &parts);
        session_left_behind(it, all.models[i]);
    }
    bar_end(&parts.progress);
    if (status == EXIT_DONE) {
        say_guessed(parts.guessed, parts.guessed_count);
        say_left_out(parts.left_out, parts.left_count);
        print_listing(it, &parts);
    }
    free(parts.all);
    return status;
}
