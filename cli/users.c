/* users - `popoto grant` and `popoto revoke`. Passwords come from a file, the environment or a question. */
#include "json.h"
#include "session.h"
#include "terminal.h"
#include "typed.h"

#include <stdlib.h>
#include <string.h>

/* The new user's password; to be freed. NULL: there is none, which is said. */
static char *grant_password(const session *it, int *status) {
    char first[256], second[256];
    const char *environment = getenv("POPOTO_GRANT_PASSWORD");
    *status = EXIT_USAGE;
    if (it->set.grant_password_file != NULL)
        return password_from_file(it->set.grant_password_file);
    if (environment != NULL && environment[0] != '\0')
        return demand_text("%s", environment);
    bool typed = ask_password("Password of the new user: ", first, sizeof first);
    if (interrupted()) {
        *status = session_failed(it, POPOTO_STOPPED);
        return NULL;
    }
    if (!typed || first[0] == '\0') {
        complain(
            "the new user's password is missing: put it in POPOTO_GRANT_PASSWORD or a file for "
            "--grant-password-file");
        return NULL;
    }
    typed = ask_password("Once more: ", second, sizeof second);
    if (interrupted()) {
        *status = session_failed(it, POPOTO_STOPPED);
        return NULL;
    }
    if (!typed || strcmp(first, second) != 0) {
        complain("that was another password");
        return NULL;
    }
    return demand_text("%s", first);
}

/* The strict model that says what a tenant is. */
static const popoto_model *strict_model(const chosen *all) {
    for (size_t i = 0; i < all->count; i++)
        if (tenant_of(all->models[i]) != NULL)
            return all->models[i];
    complain("no model here is strict: a grant is for the tenants of strict models (see popoto "
             "migrate)");
    return NULL;
}

static void say_done(const session *it, const char *user, const char *tenant,
                     const popoto_grant_report *report) {
    bool kept = report->kept;
    if (it->set.json) {
        json_t *done = json_pack("{so, sb}", "user", json_of_word(user), "kept", (int)kept);
        if (tenant != NULL)
            json_object_update_new(done, json_pack("{so, sb}", "tenant", json_of_word(tenant),
                                                   "open", (int)report->open));
        json_print(done);
    } else if (tenant != NULL) {
        char *one = shown_word(user), *other = shown_word(tenant);
        printf("%s may use tenant %s, and nothing else\n", one, other);
        free(one), free(other);
    } else {
        char *one = shown_word(user);
        printf("%s is revoked, and its connections are closed\n", one);
        free(one);
    }
    if (!kept && tenant != NULL)
        remark("this server keeps no users: this one is gone when the server restarts (see aclfile "
               "in redis.conf)");
    else if (!kept)
        remark("this server keeps no users (see aclfile in redis.conf): if this one is written in "
               "redis.conf, it is back when the server restarts");
    if (report->open)
        remark(
            "the default user of this server needs no password: whoever reaches it needs no grant "
            "(requirepass in redis.conf, or ACL SETUSER default off)");
}

/* Whoever misspells a tenant grants what nobody has; but a user may come before the first record. */
static int say_new_tenant(session *it, const chosen *all, const char *tenant) {
    for (size_t i = 0; i < all->count; i++) {
        const popoto_field *field = tenant_of(all->models[i]);
        popoto_filter filter = { 0 };
        size_t count = 0;
        if (field == NULL || !typed_fits(field, tenant))
            continue;
        filter.lookup = field->name;
        if (!typed_value(field, NULL, tenant, &filter.value))
            return EXIT_USAGE;
        popoto_query_desc desc = { .model = all->models[i], .filters = &filter, .filter_count = 1 };
        popoto_status status = popoto_count(it->db, &desc, &count);
        if (status != POPOTO_OK)
            return session_failed(it, status);
        if (count > 0)
            return EXIT_DONE;
    }
    remark("tenant '%s' has no records yet", tenant);
    return EXIT_DONE;
}

/* The name of somebody else is taken only if that is meant. */
static int grant(session *it, popoto_grant_desc *desc, const char *tenant,
                 popoto_grant_report *report) {
    popoto_status done = popoto_grant(it->db, desc, report);
    if (done == POPOTO_EXISTS && !desc->replace) {
        if (!it->set.yes)
            complain("the server has a user '%s' who is not of tenant '%s'", desc->user, tenant);
        int status = confirm(it->set.yes, "Replace that user, and close its connections?");
        desc->replace = true;
        return status == EXIT_DONE ? grant(it, desc, tenant, report) : status;
    }
    return done == POPOTO_OK ? EXIT_DONE : session_failed(it, done);
}

int run_grant(session *it, int count, char **words) {
    chosen all;
    (void)count;
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = session_choose(it, &all);
    if (status != EXIT_DONE)
        return status;
    popoto_grant_desc desc = { .user = words[1], .model = strict_model(&all) };
    if (desc.model == NULL || !typed_value(tenant_of(desc.model), NULL, words[0], &desc.tenant))
        return EXIT_USAGE;
    char *password = grant_password(it, &status);
    if (password == NULL)
        return status;
    popoto_grant_report report = { 0 };
    desc.password = password;
    status = grant(it, &desc, words[0], &report);
    free(password);
    if (status != EXIT_DONE)
        return status;
    say_done(it, words[1], words[0], &report);
    return say_new_tenant(it, &all, words[0]);
}

int run_revoke(session *it, int count, char **words) {
    popoto_grant_report report = { 0 };
    (void)count;
    int status = session_open(it);
    char *shown = shown_word(words[0]);
    if (status == EXIT_DONE)
        status = confirm(it->set.yes, "Revoke user '%s' and close its connections?", shown);
    free(shown);
    if (status != EXIT_DONE)
        return status;
    popoto_status done = popoto_revoke(it->db, words[0], &report.kept);
    if (done != POPOTO_OK)
        return session_failed(it, done);
    say_done(it, words[0], NULL, &report);
    return EXIT_DONE;
}
