/* session - see session.h. */
#include "session.h"

#include "json.h"
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

char *session_address(const session *it) {
    size_t from, to;
    const char *url = it->set.url;
    if (!find_password(url, &from, &to))
        return demand_text("%s", url);
    return demand_text("%.*s...%s", (int)from, url, url + to);
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
    it->set.url = url != NULL ? url : "embedded:";
}

/* ----- Opening and closing -------------------------------------------------------------------- */

/* The library's sentence names C's options; here they are others. */
static void complain_as_library(const char *sentence) {
    static const char *const words[][2] = { { ".all_tenants = true", "--all-tenants" },
                                            { ".allow_scan = true", "--scan" } };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const char *at = strstr(sentence, words[i][0]);
        if (at == NULL)
            continue;
        complain("%.*s%s%s", (int)(at - sentence), sentence, words[i][1], at + strlen(words[i][0]));
        return;
    }
    complain("%s", sentence);
}

int session_failed(const session *it, popoto_status status) {
    if (status == POPOTO_STOPPED || interrupted())
        complain("stopped; what was done stays done, and the command can be run again");
    else
        complain_as_library(popoto_error(it->db));
    return EXIT_FINDINGS;
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

int session_open(session *it) {
    int refused = refuse_visible_password(it);
    if (refused != EXIT_DONE)
        return refused;
    char *from_file = NULL;
    const char *password = getenv("POPOTO_PASSWORD");
    if (it->set.password_file != NULL) {
        password = from_file = password_from_file(it->set.password_file);
        if (from_file == NULL)
            return EXIT_FINDINGS;
    }
    size_t from, to;
    char *url = password != NULL && password[0] != '\0' && !find_password(it->set.url, &from, &to)
                    ? with_password(it->set.url, password)
                    : demand_text("%s", it->set.url);
    it->db = popoto_open(url, &(popoto_options){ .dialect = it->set.dialect });
    free(url);
    free(from_file);
    popoto_status status = popoto_ping(it->db);
    if (status == POPOTO_OK)
        return EXIT_DONE;
    session_failed(it, status);
    return status == POPOTO_BAD_URL ? EXIT_USAGE : EXIT_FINDINGS;
}

void session_close(session *it) {
    popoto_close(it->db);
    popoto_catalog_free(it->catalog);
    free(it->set.model_names);
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

static void say_notes(const session *it) {
    for (size_t i = 0; i < popoto_catalog_count(it->catalog); i++)
        if (popoto_catalog_note(it->catalog, i) != NULL)
            remark("%s: %s", popoto_catalog_model(it->catalog, i)->name,
                   popoto_catalog_note(it->catalog, i));
}

static int models_of_file(session *it) {
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
    popoto_status status = popoto_catalog_from_value(it->db, &described, &it->catalog);
    say_notes(it);
    if (status == POPOTO_OK)
        return EXIT_DONE;
    complain("the models' file '%s': %s", it->set.models_file, popoto_error(it->db));
    return EXIT_FINDINGS;
}

int session_models_of_export(session *it, const char *line, size_t size) {
    popoto_catalog *described;
    if (it->set.models_file == NULL &&
        popoto_catalog_published(it->db, &it->catalog) == POPOTO_OK &&
        popoto_catalog_count(it->catalog) > 0)
        return session_models(it);
    /* What is wrong with the line, the import finds. */
    if (it->set.models_file == NULL &&
        popoto_catalog_from_export(it->db, line, size, &described) == POPOTO_OK) {
        popoto_catalog_free(it->catalog);
        it->catalog = described;
        it->models_from = SOURCE_EXPORT;
        say_notes(it);
        return EXIT_DONE;
    }
    return session_models(it);
}

int session_models(session *it) {
    if (it->models_from != SOURCE_NONE)
        return EXIT_DONE;
    if (it->set.models_file != NULL)
        return models_of_file(it);
    it->models_from = SOURCE_PUBLISHED;
    popoto_catalog_free(it->catalog);
    popoto_status status = popoto_catalog_published(it->db, &it->catalog);
    if (status == POPOTO_DENIED) {
        complain("this user may not read the published models: give them with --models FILE");
        return EXIT_FINDINGS;
    }
    if (status != POPOTO_OK && status != POPOTO_NOT_FOUND)
        return session_failed(it, status);
    say_notes(it);
    if (popoto_catalog_count(it->catalog) > 0)
        return EXIT_DONE;
    popoto_catalog_free(it->catalog);
    it->models_from = SOURCE_INFERRED;
    status = popoto_catalog_infer(it->db, &it->catalog);
    if (status != POPOTO_OK)
        return session_failed(it, status);
    if (popoto_catalog_count(it->catalog) > 0)
        remark("no models are published here: they are inferred from the keys (see popoto models)");
    return EXIT_DONE;
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
    size_t count = popoto_catalog_count(it->catalog);
    const popoto_model **all = keep((count + 1) * sizeof(popoto_model *));
    for (size_t i = 0; i < count; i++)
        all[i] = popoto_catalog_model(it->catalog, i);
    char *names = names_of(all, count);
    if (count == 0)
        complain("no models are known here: the database is empty, or needs --models FILE");
    else if (named == NULL)
        complain("there are several models; name one: %s", names);
    else
        complain("there is no model '%s'; there are: %s", named, names);
    free(names);
}

const popoto_model *session_model(session *it, const char *named) {
    size_t count = popoto_catalog_count(it->catalog);
    if (named == NULL && count == 1)
        return popoto_catalog_model(it->catalog, 0);
    for (size_t i = 0; i < count && named != NULL; i++)
        if (strcmp(popoto_catalog_model(it->catalog, i)->name, named) == 0)
            return popoto_catalog_model(it->catalog, i);
    complain_of_model(it, named);
    return NULL;
}

int session_choose(session *it, chosen *out) {
    *out = (chosen){ 0 };
    int status = session_models(it);
    if (status != EXIT_DONE)
        return status;
    size_t named = it->set.model_name_count, all = popoto_catalog_count(it->catalog);
    out->count = named > 0 ? named : all;
    out->models = keep((out->count + 1) * sizeof *out->models);
    for (size_t i = 0; i < out->count; i++) {
        out->models[i] = named > 0 ? session_model(it, it->set.model_names[i])
                                   : popoto_catalog_model(it->catalog, i);
        if (out->models[i] == NULL)
            return EXIT_USAGE;
    }
    if (out->count > 0)
        return EXIT_DONE;
    complain_of_model(it, NULL);
    return EXIT_FINDINGS;
}

int session_choose_words(session *it, int count, char **words, chosen *out) {
    settings *set = &it->set;
    size_t all = set->model_name_count + (size_t)count;
    set->model_names = demand_more(set->model_names, all * sizeof *set->model_names);
    for (int i = 0; i < count; i++)
        set->model_names[set->model_name_count++] = words[i];
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

static const popoto_field *owner_field(const session *it, const popoto_model *model) {
    const popoto_field *field = tenant_of(model);
    if (field != NULL || it->set.tenant_field == NULL)
        return field;
    return field_named(model, it->set.tenant_field, strlen(it->set.tenant_field));
}

void say_left_out(const session *it, const popoto_model *const *models, size_t count) {
    char *names = names_of(models, count);
    if (count > 0 && it->set.tenant_field != NULL)
        remark("left out, for lack of a field '%s': %s", it->set.tenant_field, names);
    else if (count > 0)
        remark(
            "left out, for they are not strict: %s (--tenant-field says what tells their tenants "
            "apart)",
            names);
    free(names);
}

int session_tenant(session *it, const char *tenant, popoto_tenant_desc *out) {
    chosen all;
    int status = session_choose(it, &all);
    if (status != EXIT_DONE)
        return status;
    const popoto_model **models = keep((all.count + 1) * sizeof(popoto_model *));
    const popoto_model **left_out = keep((all.count + 1) * sizeof(popoto_model *));
    size_t left_count = 0;
    *out = (popoto_tenant_desc){ .models = models, .tenant_field = it->set.tenant_field };
    for (size_t i = 0; i < all.count; i++) {
        const popoto_field *field = owner_field(it, all.models[i]);
        if (field == NULL) {
            left_out[left_count++] = all.models[i];
            continue;
        }
        popoto_value typed;
        if (!typed_value(field, NULL, tenant, &typed))
            return EXIT_USAGE;
        if (out->model_count > 0 && !popoto_value_equal(&typed, &out->tenant)) {
            complain("the models name their tenants in different types: choose with --model");
            return EXIT_USAGE;
        }
        out->tenant = typed;
        models[out->model_count++] = all.models[i];
    }
    say_left_out(it, left_out, left_count);
    if (out->model_count > 0)
        return EXIT_DONE;
    complain("none of the models has tenants");
    return EXIT_USAGE;
}
