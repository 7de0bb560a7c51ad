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
    *status = EXIT_FINDINGS;
    if (it->set.grant_password_file != NULL)
        return password_from_file(it->set.grant_password_file);
    *status = EXIT_USAGE;
    if (environment != NULL && environment[0] != '\0')
        return demand_text("%s", environment);
    if (!ask_password("Password of the new user: ", first, sizeof first) || first[0] == '\0') {
        complain(
            "the new user's password is missing: put it in POPOTO_GRANT_PASSWORD or a file for "
            "--grant-password-file");
        return NULL;
    }
    if (!ask_password("Once more: ", second, sizeof second) || strcmp(first, second) != 0) {
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
    if (!kept)
        remark("this server keeps no users: it is forgotten when the server restarts (aclfile in "
               "redis.conf)");
    if (report->open)
        remark(
            "the default user of this server needs no password: whoever reaches it needs no grant "
            "(requirepass in redis.conf, or ACL SETUSER default off)");
}

int run_grant(session *it, int count, char **words) {
    chosen all;
    (void)count;
    int status;
    char *password = grant_password(it, &status);
    if (password == NULL)
        return status;
    status = session_open(it);
    if (status == EXIT_DONE)
        status = session_choose(it, &all);
    popoto_grant_desc desc = { .user = words[1], .password = password };
    if (status == EXIT_DONE) {
        desc.model = strict_model(&all);
        if (desc.model == NULL || !typed_value(tenant_of(desc.model), NULL, words[0], &desc.tenant))
            status = EXIT_USAGE;
    }
    popoto_grant_report report = { 0 };
    if (status == EXIT_DONE) {
        popoto_status done = popoto_grant(it->db, &desc, &report);
        status = done == POPOTO_OK ? EXIT_DONE : session_failed(it, done);
    }
    free(password);
    if (status == EXIT_DONE)
        say_done(it, words[1], words[0], &report);
    return status;
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
