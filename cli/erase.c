/* erase - `popoto erase`: asks, erases, and prints the library's receipt. Without --model it is all that
 * begins with a strict tenant, whoever wrote it. The tenant's users, who are now without a tenant, are named and
 * stay. */
#include "json.h"
#include "session.h"
#include "table.h"
#include "terminal.h"
#include "typed.h"

#include <stdlib.h>
#include <string.h>

/* Other keys of the tenant, counted by what they are of. */
#define MOST_KINDS 20

typedef struct kind {
    char *name;
    size_t count;
} kind;

typedef struct erasing {
    session *run;
    const char *tenant;
    tenancy of;
    popoto_erase_receipt receipt;
    kind kinds[MOST_KINDS]; /* the last stands for all further ones */
    size_t kind_count;
    char **users; /* that reach this tenant and no other */
    size_t user_count;
    bar progress;
} erasing;

static void take_other(void *context, popoto_text key, popoto_text name) {
    erasing *it = context;
    char *shown = shown_text(name);
    size_t at = 0;
    (void)key;
    while (at < it->kind_count && strcmp(it->kinds[at].name, shown) != 0 && at < MOST_KINDS - 1)
        at++;
    if (at == it->kind_count) {
        it->kinds[it->kind_count++].name =
            at < MOST_KINDS - 1 ? demand_text("%s", shown) : demand_text("further ones");
    }
    it->kinds[at].count++;
    free(shown);
}

/* The most first. */
static int compare_kinds(const void *a, const void *b) {
    const kind *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count)
                                : strcmp(x->name, y->name);
}

static bool take_user(void *context, const char *user) {
    erasing *it = context;
    it->users = demand_more(it->users, (it->user_count + 1) * sizeof *it->users);
    it->users[it->user_count++] = demand_text("%s", user);
    return !interrupted();
}

static bool take_progress(void *context, size_t done, size_t total) {
    erasing *it = context;
    return bar_step(&it->progress, done, total);
}

/* ----- The receipt ---------------------------------------------------------------------------- */

static json_t *json_of_names(const popoto_model *const *models, size_t count) {
    json_t *names = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(names, json_string(models[i]->name));
    return names;
}

static json_t *json_of_users(const erasing *it) {
    json_t *users = json_array();
    for (size_t i = 0; i < it->user_count; i++)
        json_array_append_new(users, json_of_word(it->users[i]));
    return users;
}

static void print_json(const erasing *it) {
    const popoto_erase_receipt *receipt = &it->receipt;
    popoto_value started = popoto_of_time(receipt->started);
    popoto_value finished = popoto_of_time(receipt->finished);
    json_t *kinds = json_object();
    char *address = session_address(it->run);
    for (size_t i = 0; i < it->kind_count; i++)
        json_object_set_new(kinds, it->kinds[i].name, json_of_size(it->kinds[i].count));
    json_t *out =
        json_pack("{so, so, so, so}", "tenant", json_of_word(it->tenant), "url",
                  json_of_word(address), "models", json_of_names(it->of.models, it->of.count),
                  "left_out", json_of_names(it->of.left_out, it->of.left_count));
    json_object_update_new(out, json_pack("{so, so, so, so, so, so, so, so}", "records",
                                          json_of_size(receipt->records), "index_entries",
                                          json_of_size(receipt->index_entries), "other_keys",
                                          json_of_size(receipt->other_keys), "other_keys_left",
                                          json_of_size(receipt->other_left), "other_keys_by_kind",
                                          kinds, "left", json_of_size(receipt->left), "started",
                                          json_of_value(&started), "finished",
                                          json_of_value(&finished)));
    json_object_set_new(out, "users", json_of_users(it));
    json_print(out);
    free(address);
}

static void line(const char *label, size_t number) {
    char *text = number_text(number);
    printf("%-14s  %11s", label, text);
    free(text);
}

static void fact(const char *label, const char *text) {
    printf("%-14s  ", label);
    put_wrapped(stdout, text, 16, terminal_width());
    putchar('\n');
}

/* "Episode, Memory by project" */
static char *models_text(const tenancy *of) {
    char *text = demand_text("%s", "");
    for (size_t i = 0; i < of->count; i++) {
        bool strict = tenant_of(of->models[i]) != NULL;
        char *more = demand_text("%s%s%s%s%s", text, i > 0 ? ", " : "", of->models[i]->name,
                                 strict ? "" : " by ", strict ? "" : of->fields[i]);
        free(text);
        text = more;
    }
    return text;
}

static char *kinds_text(const erasing *it) {
    char *text = demand_text("%s", "");
    for (size_t i = 0; i < it->kind_count; i++) {
        char *more = demand_text("%s%s%s %zu", text, i > 0 ? ", " : "", it->kinds[i].name,
                                 it->kinds[i].count);
        free(text);
        text = more;
    }
    return text;
}

static void put_kinds(const char *kinds) {
    if (kinds[0] == '\0')
        return;
    fputs("  ", stdout);
    put_wrapped(stdout, kinds, 29, terminal_width());
}

static void print_receipt(const erasing *it) {
    const popoto_erase_receipt *receipt = &it->receipt;
    char room[64];
    char *shown = shown_word(it->tenant), *address = session_address(it->run);
    char *place = shown_word(address), *models = models_text(&it->of), *kinds = kinds_text(it);
    char *left_out = names_of(it->of.left_out, it->of.left_count);
    printf("%sErased: %s%s\n", colours.bold, shown, colours.plain);
    fact("from", place);
    fact("models", models);
    if (it->of.left_count > 0)
        fact("left out", left_out);
    line("records", receipt->records);
    putchar('\n');
    line("index entries", receipt->index_entries);
    putchar('\n');
    line("other keys", receipt->other_keys);
    if (it->of.desc.everything)
        put_kinds(kinds);
    putchar('\n');
    if (receipt->other_left > 0) {
        line("not erased", receipt->other_left);
        put_kinds(kinds);
        putchar('\n');
    }
    printf("%s", receipt->left > 0 ? colours.red : colours.green);
    line("left", receipt->left);
    printf("%s\n", colours.plain);
    time_text(receipt->started, room);
    printf("%-14s  %s\n", "started", room);
    time_text(receipt->finished, room);
    printf("%-14s  %s\n", "finished", room);
    free(shown), free(address), free(place), free(models), free(kinds), free(left_out);
}

/* ----- Who may still come ---------------------------------------------------------------------- */

/* The first strict model says what a tenant is. Where some of the tenant's keys were left alone, on purpose, its
 * users still have them. */
static void find_users(erasing *it) {
    const popoto_model *strict = NULL;
    for (size_t i = it->of.count; i-- > 0;)
        strict = tenant_of(it->of.models[i]) != NULL ? it->of.models[i] : strict;
    if (strict == NULL || it->receipt.other_left > 0)
        return;
    popoto_status status =
        popoto_granted_users(it->run->db, strict, it->of.desc.tenant, take_user, it);
    if (status != POPOTO_OK && !interrupted())
        remark("whether users were granted this tenant is not known: %s",
               popoto_error(it->run->db));
}

/* A word of a shell. */
static char *quoted(const char *word) {
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@%+:/";
    if (word[0] != '\0' && word[strspn(word, plain)] == '\0')
        return demand_text("%s", word);
    char *out = demand(4 * strlen(word) + 3), *to = out;
    *to++ = '\'';
    for (; *word != '\0'; word++) {
        if (*word == '\'')
            to += sprintf(to, "'\\'");
        *to++ = *word;
    }
    strcpy(to, "'");
    return out;
}

static void say_users(const erasing *it) {
    for (size_t i = 0; i < it->user_count; i++) {
        char *word = quoted(it->users[i]), *shown = shown_word(it->users[i]);
        remark("user '%s' was granted this tenant alone, and stays: popoto revoke %s%s ends it",
               shown, it->users[i][0] == '-' ? "-- " : "", word);
        free(word), free(shown);
    }
}

/* ----- The command ---------------------------------------------------------------------------- */

static bool has_strict(const tenancy *of) {
    for (size_t i = 0; i < of->count; i++)
        if (tenant_of(of->models[i]) != NULL)
            return true;
    return false;
}

/* What tells the tenants of a model must be known, unless who named one field for all meant that: what would
 * be left out, nobody might notice. */
static int refuse_left_out(const erasing *it) {
    const word_list *named = &it->run->set.tenant_fields;
    bool one_for_all = false;
    if (it->run->set.models.count == 0 && popoto_catalog_problem_count(it->run->catalog) > 0) {
        complain("what the models that cannot be used have of this tenant would be left: name the "
                 "models that are meant with --model, or give them all with --models FILE");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < named->count; i++)
        one_for_all = one_for_all || strchr(named->all[i], '.') == NULL;
    if (one_for_all)
        say_left_out(it->of.left_out, it->of.left_count);
    if (one_for_all || it->of.left_count == 0)
        return EXIT_DONE;
    char *names = names_of(it->of.left_out, it->of.left_count);
    complain("it is not known what tells the tenants of %s: say so with --tenant-field "
             "MODEL.FIELD, or name the models that are meant with --model",
             names);
    free(names);
    return EXIT_USAGE;
}

static int ask(const erasing *it) {
    char *tenant = shown_word(it->tenant), *address = session_address(it->run);
    char *place = shown_word(address), *models = models_text(&it->of);
    char *left_out = names_of(it->of.left_out, it->of.left_count);
    const char *others = !has_strict(&it->of)     ? ""
                         : it->of.desc.everything ? "\n  and every other key of this tenant"
                                                  : "\n  but no other key of this tenant";
    int status =
        confirm(it->run->set.yes, "Erase everything of tenant '%s' from %s:\n  %s%s%s%s\nGo on?",
                tenant, place, models, others, it->of.left_count > 0 ? "\n  left out: " : "",
                it->of.left_count > 0 ? left_out : "");
    free(tenant), free(address), free(place), free(models), free(left_out);
    return status;
}

static int say_done(erasing *it) {
    const popoto_erase_receipt *receipt = &it->receipt;
    bool nothing =
        receipt->records + receipt->index_entries + receipt->other_keys + receipt->left == 0;
    find_users(it);
    if (it->run->set.json)
        print_json(it);
    else if (!nothing || receipt->other_left > 0)
        print_receipt(it);
    say_users(it);
    if (nothing)
        return session_nothing(it->run, it->tenant);
    if (receipt->left == 0)
        return EXIT_DONE;
    complain("%zu keys or entries are left, which others wrote meanwhile: run it again",
             receipt->left);
    return EXIT_FINDINGS;
}

int run_erase(session *it, int count, char **words) {
    erasing state = { .run = it, .tenant = words[0] };
    (void)count;
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = session_tenant(it, words[0], &state.of);
    if (status == EXIT_DONE)
        status = refuse_left_out(&state);
    popoto_tenant_desc *desc = &state.of.desc;
    /* Who names models means these; and those that are left out for their dialect keep their keys. */
    desc->everything = it->set.models.count == 0;
    for (size_t i = 0; i < popoto_catalog_count(it->catalog); i++)
        desc->everything = desc->everything && session_uses(it, i);
    if (status == EXIT_DONE)
        status = ask(&state);
    if (status != EXIT_DONE)
        return status;
    state.progress = bar_start("erase");
    desc->progress = take_progress;
    desc->other = take_other;
    desc->context = &state;
    popoto_status done = popoto_erase(it->db, desc, &state.receipt);
    bar_end(&state.progress);
    qsort(state.kinds, state.kind_count, sizeof *state.kinds, compare_kinds);
    status = done == POPOTO_OK ? say_done(&state) : session_failed(it, done);
    for (size_t i = 0; i < state.kind_count; i++)
        free(state.kinds[i].name);
    for (size_t i = 0; i < state.user_count; i++)
        free(state.users[i]);
    free(state.users);
    return status;
}
