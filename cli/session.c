/* session - see session.h. */
#include "session.h"

#include "json.h"
#include "options.h"
#include "terminal.h"
#include "typed.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----- Passwords and addresses ---------------------------------------------------------------- */

char *password_from_file(const char *path) {
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "re");
    errno = file != NULL ? 0 : errno;
    ssize_t size = file != NULL ? getline(&line, &room, file) : -1;
    if (size < 0) {
        complain("the password file '%s' cannot be read: %s", path,
                 errno != 0 ? strerror(errno) : "it is empty");
        free(line);
        line = NULL;
    } else {
        line[strcspn(line, "\r\n")] = '\0';
    }
    if (file != NULL)
        fclose(file);
    return line;
}

/* Where the part that may hold "user:password@" begins and ends; NULL: the scheme has none. */
static const char *authority_of(const char *url, size_t *size) {
    const char *at = strstr(url, "://");
    if (at == NULL)
        return NULL;
    at += 3;
    *size = strcspn(at, "/?");
    return at;
}

/* Whether the address holds a password, and where: "user:PASSWORD@". */
static bool find_password(const char *url, size_t *from, size_t *to) {
    size_t size = 0;
    const char *authority = authority_of(url, &size);
    if (authority == NULL)
        return false;
    const char *end = NULL;
    for (size_t i = 0; i < size; i++)
        if (authority[i] == '@')
            end = authority + i;
    const char *colon = end != NULL ? memchr(authority, ':', (size_t)(end - authority)) : NULL;
    if (colon == NULL)
        return false;
    *from = (size_t)(colon + 1 - url);
    *to = (size_t)(end - url);
    return true;
}

static char *masked(const char *url) {
    size_t from, to;
    if (!find_password(url, &from, &to))
        return demand_text("%s", url);
    return demand_text("%.*s***%s", (int)from, url, url + to);
}

char *session_address(const session *it) {
    return masked(it->set.url);
}

static char *percent_encoded(const char *text) {
    char *out = demand(3 * strlen(text) + 1), *at = out;
    for (; *text != '\0'; text++) {
        if (isalnum((unsigned char)*text))
            *at++ = *text;
        else
            at += sprintf(at, "%%%02X", (unsigned char)*text);
    }
    return out;
}

/* The address with a password that was given apart from it. */
static char *with_password(const char *url, const char *password) {
    char *encoded = percent_encoded(password), *out;
    size_t size = 0;
    const char *authority = authority_of(url, &size);
    if (authority != NULL) {
        const char *at = memchr(authority, '@', size);
        size_t before = (size_t)((at != NULL ? at : authority) - url);
        out = demand_text("%.*s:%s%s%s", (int)before, url, encoded, at != NULL ? "" : "@",
                          url + before);
    } else if (strncmp(url, "unix:", 5) == 0) {
        out = demand_text("unix://:%s@%s", encoded, url + 5);
    } else {
        out = demand_text("%s", url); /* an embedded server has none */
    }
    free(encoded);
    return out;
}

void session_defaults(session *it) {
    const char *url = getenv("POPOTO_URL");
    it->set.url = NULL;
    it->set.limit = 0;
    it->set.sort = NULL;
    if (url != NULL && url[0] == '\0')
        url = NULL;
    it->set.url = url;
}

/* ----- Opening and closing -------------------------------------------------------------------- */

static char *replaced(char *text, const char *from, const char *to) {
    const char *at = from[0] != '\0' ? strstr(text, from) : NULL;
    if (at == NULL)
        return text;
    char *out = demand_text("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    free(text);
    return out;
}

/* The library's sentences are for who writes C. */
static const char *const sentences[][2] = {
    { ", or a scope must", "" },
    { "a query of all tenants says .all_tenants = true", "--all-tenants is for those of all" },
    { ".all_tenants is for strict models", "--all-tenants is for strict models" },
    { ".all_tenants contradicts", "--all-tenants contradicts" },
    { ".allow_scan = true", "--scan" },
    { "its figures are read by popoto_confidence_get and popoto_confidence_scan, not by queries",
      "its figure can be shown, but not be asked for" },
    { "write it before the host, as in redis://user:password@host",
      "give it in POPOTO_PASSWORD, or with --password-file FILE" },
    { "this db is connected as that user, and would be cut off",
      "that is the user of this very connection, which would be cut off" },
    { "give it a value, or declare it .null = true", "it needs a value" },
    { "\\'", "'" }, /* of names between such */
};

static void complain_as_library(const session *it, const char *sentence) {
    char *text = demand_text("%s", sentence);
    char *shown = masked(it->opened), *given = session_address(it);
    if (strcmp(shown, given) != 0)
        text = replaced(text, shown, given);
    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++)
        text = replaced(text, sentences[i][0], sentences[i][1]);
    complain("%s", text);
    free(text), free(shown), free(given);
}

/* One node of it answers for its own keys, and for others with where they are. */
static void complain_of_cluster(const session *it) {
    char *address = session_address(it), *shown = shown_word(address);
    const char *rest = strstr(shown, "://");
    complain("%s is a node of a cluster: %s+cluster%s asks whichever node has the keys", shown,
             strncmp(shown, "rediss", 6) == 0 ? "rediss" : "redis",
             rest != NULL ? rest : "://HOST");
    free(address), free(shown);
}

int session_failed(const session *it, popoto_status status) {
    if (status == POPOTO_STOPPED || interrupted()) {
        complain("stopped; what was done stays done, and the command can be run again");
        return EXIT_STOPPED;
    }
    if (it->db != NULL && status == POPOTO_DENIED && it->runs != NULL && it->runs->looks_at_all &&
        strstr(popoto_error(it->db), "NOPERM") != NULL) {
        complain("popoto %s looks through all keys, which this user may not: it needs the "
                 "operator's user",
                 it->runs->name);
        return EXIT_FINDINGS;
    }
    if (it->db != NULL && strstr(popoto_error(it->db), "answered 'MOVED ") != NULL) {
        complain_of_cluster(it);
        return EXIT_USAGE;
    }
    complain_as_library(it, popoto_error(it->db));
    switch (it->db != NULL ? status : POPOTO_NO_MEMORY) {
    case POPOTO_BAD_ARGUMENT:
    case POPOTO_BAD_URL:
    case POPOTO_BAD_VALUE:
    case POPOTO_BAD_QUERY:
    case POPOTO_BAD_SCOPE: return EXIT_USAGE;
    default: return EXIT_FINDINGS;
    }
}

static int refuse_visible_password(const session *it) {
    size_t from, to;
    const char *environment = getenv("POPOTO_URL");
    bool argument = environment == NULL || strcmp(environment, it->set.url) != 0;
    if (!argument || !find_password(it->set.url, &from, &to))
        return EXIT_DONE;
    complain(
        "a password in an argument is seen by everybody on this machine: leave it out of --url, "
        "and give it in POPOTO_PASSWORD or with --password-file FILE");
    return EXIT_USAGE;
}

/* The address as the library takes it: with the password, wherever that was given. NULL: a password file
 * cannot be read. */
static char *whole_address(const session *it) {
    char *from_file = NULL;
    const char *password = getenv("POPOTO_PASSWORD");
    if (it->set.password_file != NULL) {
        password = from_file = password_from_file(it->set.password_file);
        if (from_file == NULL)
            return NULL;
    }
    size_t from, to;
    char *url = password != NULL && password[0] != '\0' && !find_password(it->set.url, &from, &to)
                    ? with_password(it->set.url, password)
                    : demand_text("%s", it->set.url);
    free(from_file);
    return url;
}

static int connect_as(session *it, popoto_dialect dialect) {
    popoto_db *before = it->db;
    it->set.dialect = dialect;
    it->db = popoto_open(it->opened, &(popoto_options){ .dialect = dialect });
    popoto_close(before); /* later, so that an embedded server need not begin anew */
    /* Of a cluster the nodes that are asked for something will answer, whether all are there or not. */
    popoto_status status = strstr(it->opened, "+cluster://") != NULL ? popoto_error_status(it->db)
                                                                     : popoto_ping(it->db);
    return status == POPOTO_OK ? EXIT_DONE : session_failed(it, status);
}

int session_open(session *it) {
    if (it->set.url == NULL) {
        complain("which database? Give its address with --url URL or in POPOTO_URL; see popoto "
                 "--help");
        return EXIT_USAGE;
    }
    int refused = refuse_visible_password(it);
    if (refused != EXIT_DONE)
        return refused;
    it->opened = whole_address(it);
    return it->opened != NULL ? connect_as(it, it->set.dialect) : EXIT_USAGE;
}

void session_close(session *it) {
    popoto_close(it->db);
    popoto_catalog_free(it->catalog);
    free(it->opened);
    free(it->set.models.all);
    free(it->set.tenant_fields.all);
    kept_free();
}

/* ----- Models --------------------------------------------------------------------------------- */

const char *session_source(const session *it) {
    switch (it->models_from) {
    case SOURCE_FILE: return "file";
    case SOURCE_PUBLISHED: return "published";
    case SOURCE_EXPORT: return "export";
    case SOURCE_INFERRED: return "inferred";
    case SOURCE_NONE: break;
    }
    return "none";
}

const char *dialect_name(popoto_dialect dialect) {
    return dialect == POPOTO_AS_POPOTO ? "popoto" : "documented";
}

static int models_of_file(session *it, popoto_catalog **out) {
    json_error_t error;
    json_t *document =
        json_load_file(it->set.models_file, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (document == NULL) {
        char *line = error.line > 0 ? demand_text(" (line %d)", error.line) : demand_text("%s", "");
        complain("the models' file '%s' cannot be taken: %s%s", it->set.models_file, error.text,
                 line);
        free(line);
        return EXIT_USAGE;
    }
    popoto_value described = value_of_json(document);
    json_decref(document);
    it->models_from = SOURCE_FILE;
    popoto_status status = popoto_catalog_from_value(it->db, &described, out);
    if (status != POPOTO_OK) {
        complain("the models' file '%s': %s", it->set.models_file, popoto_error(it->db));
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < popoto_catalog_count(*out); i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(popoto_catalog_model(*out, i)->name, popoto_catalog_model(*out, k)->name) ==
                0) {
                complain("the models' file '%s' has %s twice", it->set.models_file,
                         popoto_catalog_model(*out, i)->name);
                return EXIT_USAGE;
            }
    return EXIT_DONE;
}

static int models_inferred(session *it, popoto_catalog **out) {
    it->models_from = SOURCE_INFERRED;
    popoto_status status = popoto_catalog_infer(it->db, out);
    if (status != POPOTO_OK)
        return session_failed(it, status);
    if (popoto_catalog_count(*out) > 0)
        remark(
            "no models are published here: they are inferred from the keys, %s (see popoto models)",
            it->set.dialect_given ? "in the dialect that is asked for"
                                  : "in the documented dialect unless --dialect says otherwise");
    return EXIT_DONE;
}

static int models_published(session *it, popoto_catalog **out) {
    it->models_from = SOURCE_PUBLISHED;
    bar progress = bar_start("looking for the models");
    bar_wait(&progress);
    popoto_status status = popoto_catalog_published(it->db, out);
    bar_end(&progress);
    if (status == POPOTO_CANNOT_CONNECT && strstr(it->opened, "+cluster://") != NULL) {
        session_failed(it, status);
        remark("what is published is kept on that node: --models FILE does without it");
        return EXIT_FINDINGS;
    }
    if (status == POPOTO_DENIED) {
        it->restricted = true;
        complain("this user may not read the published models: give them with --models FILE");
        return EXIT_FINDINGS;
    }
    bool some = status == POPOTO_CORRUPT && popoto_catalog_count(*out) > 0;
    return some || status == POPOTO_OK || status == POPOTO_NOT_FOUND ? EXIT_DONE
                                                                     : session_failed(it, status);
}

/* From wherever there are some. `line`: the first of an export; NULL: there is none. */
static int load_models(session *it, const char *line, size_t size, popoto_catalog **out) {
    *out = NULL;
    if (it->set.models_file != NULL)
        return models_of_file(it, out);
    int status = models_published(it, out);
    if (status != EXIT_DONE || popoto_catalog_count(*out) > 0)
        return status;
    popoto_catalog_free(*out);
    *out = NULL;
    /* What is wrong with the line, the import finds. */
    if (line == NULL || popoto_catalog_from_export(it->db, line, size, out) != POPOTO_OK)
        return models_inferred(it, out);
    it->models_from = SOURCE_EXPORT;
    return EXIT_DONE;
}

/* How many models are described in this dialect. */
static size_t count_in(const popoto_catalog *catalog, popoto_dialect dialect) {
    size_t count = 0;
    for (size_t i = 0; i < popoto_catalog_count(catalog); i++)
        count += popoto_catalog_dialect(catalog, i) == dialect;
    return count;
}

static void say_other_dialect(session *it) {
    size_t count = 0, all = popoto_catalog_count(it->catalog);
    const popoto_model **others = keep((all + 1) * sizeof(popoto_model *));
    for (size_t i = 0; i < all; i++)
        if (!session_uses(it, i))
            others[count++] = popoto_catalog_model(it->catalog, i);
    char *names = names_of(others, count);
    if (count > 0)
        remark("left out, for their keys are written otherwise: %s (--dialect %s)", names,
               dialect_name(it->set.dialect == POPOTO_AS_POPOTO ? POPOTO_DOCUMENTED
                                                                : POPOTO_AS_POPOTO));
    free(names);
}

static void say_broken(const session *it) {
    for (size_t i = 0; i < popoto_catalog_problem_count(it->catalog); i++)
        remark("left out: %s", popoto_catalog_problem(it->catalog, i, NULL));
}

/* Keys are read and written as the models were described; in another dialect a sound database would look
 * damaged. */
static int find_models(session *it, const char *line, size_t size) {
    if (it->models_from != SOURCE_NONE)
        return EXIT_DONE;
    int status = load_models(it, line, size, &it->catalog);
    size_t count = popoto_catalog_count(it->catalog);
    if (status != EXIT_DONE || count == 0)
        return status;
    if (count_in(it->catalog, it->set.dialect) == 0) {
        popoto_dialect right = popoto_catalog_dialect(it->catalog, 0);
        if (it->set.dialect_given) {
            complain("the models here were described in another dialect than --dialect %s: leave "
                     "it out",
                     dialect_name(it->set.dialect));
            return EXIT_USAGE;
        }
        popoto_catalog_free(it->catalog);
        it->catalog = NULL;
        status = connect_as(it, right);
        if (status == EXIT_DONE)
            status = load_models(it, line, size, &it->catalog);
    }
    if (status == EXIT_DONE) {
        say_broken(it);
        say_other_dialect(it);
    }
    return status;
}

bool session_uses(const session *it, size_t index) {
    return popoto_catalog_dialect(it->catalog, index) == it->set.dialect;
}

int session_models(session *it) {
    return find_models(it, NULL, 0);
}

int session_models_of_export(session *it, const char *line, size_t size) {
    return find_models(it, line, size);
}

char *names_of(const popoto_model *const *models, size_t count) {
    char *names = demand_text("%s", count > 0 ? models[0]->name : "none");
    for (size_t i = 1; i < count; i++) {
        char *more = demand_text("%s, %s", names, models[i]->name);
        free(names);
        names = more;
    }
    return names;
}

static void complain_of_model(const session *it, const char *named) {
    size_t count = popoto_catalog_count(it->catalog), used = 0;
    const popoto_model **all = keep((count + 1) * sizeof(popoto_model *));
    for (size_t i = 0; i < count; i++)
        if (session_uses(it, i))
            all[used++] = popoto_catalog_model(it->catalog, i);
    char *names = names_of(all, used), *address = session_address(it);
    if (count == 0)
        complain("no models are known in %s: it is empty, or needs --models FILE%s", address,
                 it->set.dialect_given ? ""
                                       : ", or --dialect popoto where Popoto (Python) wrote it");
    else
        complain("there is no model '%s'; there are: %s", named, names);
    free(names), free(address);
}

bool catalog_has_broken(const popoto_catalog *catalog, const char *named) {
    for (size_t i = 0; i < popoto_catalog_problem_count(catalog); i++) {
        popoto_text name;
        (void)popoto_catalog_problem(catalog, i, &name);
        if (strlen(named) == name.size && memcmp(named, name.data, name.size) == 0)
            return true;
    }
    return false;
}

int session_model(session *it, const char *named, const popoto_model **out) {
    *out = NULL;
    for (size_t i = 0; i < popoto_catalog_count(it->catalog) && *out == NULL; i++)
        if (session_uses(it, i) && strcmp(popoto_catalog_model(it->catalog, i)->name, named) == 0)
            *out = popoto_catalog_model(it->catalog, i);
    if (*out != NULL)
        return EXIT_DONE;
    if (!catalog_has_broken(it->catalog, named)) {
        complain_of_model(it, named);
        return EXIT_USAGE;
    }
    complain("%s is published here, and cannot be used: publish it anew, or give it with --models "
             "FILE",
             named);
    return EXIT_FINDINGS;
}

static void choose(chosen *to, const popoto_model *model) {
    for (size_t i = 0; i < to->count; i++)
        if (to->models[i] == model)
            return;
    to->models[to->count++] = model;
}

/* A cluster has no records of ordinary models: where there are others too, those are meant. */
static void keep_to_strict(const session *it, chosen *all) {
    static const char scheme[] = "redis+cluster:";
    const popoto_model **others = keep((all->count + 1) * sizeof *others);
    size_t kept = 0, left = 0;
    if (strncmp(it->set.url, scheme, strlen(scheme)) != 0)
        return;
    for (size_t i = 0; i < all->count; i++)
        if (tenant_of(all->models[i]) == NULL)
            others[left++] = all->models[i];
    if (left == 0 || left == all->count)
        return;
    for (size_t i = 0; i < all->count; i++)
        if (tenant_of(all->models[i]) != NULL)
            all->models[kept++] = all->models[i];
    all->count = kept;
    char *names = names_of(others, left);
    remark("left out, for a cluster has strict models alone: %s", names);
    free(names);
}

int session_choose(session *it, chosen *out) {
    *out = (chosen){ 0 };
    int status = session_models(it);
    if (status != EXIT_DONE)
        return status;
    const word_list *named = &it->set.models;
    size_t all = popoto_catalog_count(it->catalog);
    out->models = keep((named->count + all + 1) * sizeof *out->models);
    for (size_t i = 0; i < named->count; i++) {
        const popoto_model *model;
        status = session_model(it, named->all[i], &model);
        if (status != EXIT_DONE)
            return status;
        choose(out, model);
    }
    for (size_t i = 0; i < all && named->count == 0; i++)
        if (session_uses(it, i))
            choose(out, popoto_catalog_model(it->catalog, i));
    if (named->count == 0)
        keep_to_strict(it, out);
    if (out->count > 0)
        return EXIT_DONE;
    complain_of_model(it, NULL);
    return EXIT_FINDINGS;
}

int session_choose_words(session *it, int count, char **words, chosen *out) {
    for (int i = 0; i < count; i++)
        options_name(&it->set.models, words[i]);
    return session_choose(it, out);
}

/* ----- Tenants -------------------------------------------------------------------------------- */

const popoto_field *field_named(const popoto_model *model, const char *name, size_t size) {
    for (size_t i = 0; i < model->field_count; i++)
        if (strlen(model->fields[i].name) == size && memcmp(model->fields[i].name, name, size) == 0)
            return &model->fields[i];
    return NULL;
}

const popoto_field *tenant_of(const popoto_model *model) {
    for (size_t i = 0; i < model->field_count; i++)
        if (model->fields[i].kind == POPOTO_KIND_TENANT)
            return &model->fields[i];
    return NULL;
}

/* (On a cluster there is no ordinary form.) */
size_t session_left_behind(session *it, const popoto_model *model) {
    const popoto_field *tenant = tenant_of(model);
    size_t left = 0;
    if (tenant == NULL)
        return 0;
    popoto_query_desc desc = { .model = with_kind(model, tenant, POPOTO_KIND_KEY) };
    if (popoto_count(it->db, &desc, &left) != POPOTO_OK || left == 0)
        return 0;
    remark("%s: %zu still in ordinary form: half migrated, run popoto migrate strict %s %s again",
           model->name, left, model->name, tenant->name);
    return left;
}

/* Of -t MODEL.FIELD: FIELD, where it is about this model. */
static const char *field_of_word(const char *word, const popoto_model *model) {
    size_t size = strlen(model->name);
    bool is = strncmp(word, model->name, size) == 0 && word[size] == '.';
    return is ? word + size + 1 : NULL;
}

/* A part of the key, by which alone it is certain whose a record is. */
static const popoto_field *key_field(const popoto_model *model, const char *name) {
    const popoto_field *field = field_named(model, name, strlen(name));
    bool is_key = field != NULL &&
                  (field->kind == POPOTO_KIND_KEY || field->kind == POPOTO_KIND_AUTO_KEY ||
                   field->kind == POPOTO_KIND_UNIQUE_KEY || field->kind == POPOTO_KIND_TENANT);
    return is_key ? field : NULL;
}

static const popoto_field *only_key(const popoto_model *model) {
    const popoto_field *only = NULL;
    size_t keys = 0;
    for (size_t i = 0; i < model->field_count; i++)
        if (model->fields[i].kind == POPOTO_KIND_KEY) {
            only = &model->fields[i];
            keys++;
        }
    return keys == 1 ? only : NULL;
}

const popoto_field *session_owner(const session *it, const popoto_model *model, bool *guessed) {
    const word_list *named = &it->set.tenant_fields;
    const popoto_field *field = tenant_of(model), *general = NULL;
    bool has_general = false;
    *guessed = false;
    if (field != NULL)
        return field;
    for (size_t i = 0; i < named->count; i++) {
        const char *own = field_of_word(named->all[i], model);
        if (own != NULL)
            return key_field(model, own);
        if (strchr(named->all[i], '.') != NULL)
            continue;
        has_general = true;
        if (general == NULL)
            general = key_field(model, named->all[i]);
    }
    if (has_general)
        return general;
    *guessed = true;
    return only_key(model);
}

int session_check_fields(const session *it, const chosen *all) {
    const word_list *named = &it->set.tenant_fields;
    for (size_t i = 0; i < named->count; i++) {
        bool known = false;
        for (size_t m = 0; m < all->count && !known; m++) {
            const char *own = field_of_word(named->all[i], all->models[m]);
            known = key_field(all->models[m], own != NULL ? own : named->all[i]) != NULL;
        }
        if (known)
            continue;
        char *names = names_of(all->models, all->count);
        complain("--tenant-field: no key of these models has a field '%s': %s", named->all[i],
                 names);
        free(names);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

void say_left_out(const popoto_model *const *models, size_t count) {
    char *names = names_of(models, count);
    if (count > 0)
        remark("left out, for what tells their tenants is not known: %s (see --tenant-field)",
               names);
    free(names);
}

void say_guessed(const popoto_model *const *models, size_t count) {
    char *names = names_of(models, count);
    if (count > 0)
        remark("not strict, so tenants are told by the only KEY: %s (see --tenant-field)", names);
    free(names);
}

/* One more model of the tenant. */
static int add_model(const popoto_model *model, const popoto_field *field, const char *tenant,
                     tenancy *out) {
    popoto_value typed;
    if (!typed_value(field, NULL, tenant, &typed))
        return EXIT_USAGE;
    if (out->count > 0 && !popoto_value_equal(&typed, &out->desc.tenant)) {
        complain("the models name their tenants in different types: choose with --model");
        return EXIT_USAGE;
    }
    out->desc.tenant = typed;
    out->models[out->count] = model;
    out->fields[out->count++] = field->name;
    return EXIT_DONE;
}

/* A tenant's user reaches what is below its tenant, and that is of strict models. */
static void keep_strict(session *it, chosen *all) {
    popoto_catalog *ignored = NULL;
    const popoto_model **others = keep((all->count + 1) * sizeof *others);
    size_t strict = 0, count = 0;
    for (size_t i = 0; i < all->count; i++)
        count += tenant_of(all->models[i]) == NULL;
    if (count == 0 || count == all->count || it->models_from != SOURCE_FILE)
        return;
    it->restricted = popoto_catalog_published(it->db, &ignored) == POPOTO_DENIED;
    popoto_catalog_free(ignored);
    if (!it->restricted)
        return;
    count = 0;
    for (size_t i = 0; i < all->count; i++)
        if (tenant_of(all->models[i]) == NULL)
            others[count++] = all->models[i];
        else
            all->models[strict++] = all->models[i];
    all->count = strict;
    char *names = names_of(others, count);
    remark("left out, for this user reaches strict models alone: %s", names);
    free(names);
}

int session_tenant(session *it, const char *tenant, tenancy *out) {
    chosen all;
    int status = session_choose(it, &all);
    *out = (tenancy){ 0 };
    if (status == EXIT_DONE)
        keep_strict(it, &all);
    if (status == EXIT_DONE)
        status = session_check_fields(it, &all);
    if (status != EXIT_DONE)
        return status;
    out->models = keep((all.count + 1) * sizeof *out->models);
    out->fields = keep((all.count + 1) * sizeof *out->fields);
    out->left_out = keep((all.count + 1) * sizeof *out->left_out);
    const popoto_model **guesses = keep((all.count + 1) * sizeof *guesses);
    size_t guess_count = 0;
    for (size_t i = 0; i < all.count && status == EXIT_DONE; i++) {
        bool guessed;
        const popoto_field *field = session_owner(it, all.models[i], &guessed);
        if (field == NULL) {
            out->left_out[out->left_count++] = all.models[i];
            continue;
        }
        if (guessed && !typed_fits(field, tenant))
            continue; /* it cannot have such a tenant */
        if (guessed)
            guesses[guess_count++] = all.models[i];
        status = add_model(all.models[i], field, tenant, out);
    }
    if (status != EXIT_DONE)
        return status;
    say_guessed(guesses, guess_count);
    out->desc.models = out->models;
    out->desc.model_count = out->count;
    out->desc.tenant_fields = out->fields;
    if (out->count > 0)
        return EXIT_DONE;
    char *names = names_of(out->left_out, out->left_count);
    if (out->left_count > 0)
        complain("it is not known what tells the tenants of %s: say so with --tenant-field FIELD",
                 names);
    else
        complain("none of the models can have a tenant '%s'", tenant);
    free(names);
    return EXIT_USAGE;
}

int session_nothing(const session *it, const char *tenant) {
    char *address = session_address(it);
    complain("nothing of '%s' is in %s", tenant, address);
    free(address);
    return EXIT_FINDINGS;
}
