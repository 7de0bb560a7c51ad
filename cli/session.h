/* session - one run's database and models: opening it with its password, finding the descriptors, and
 * choosing the models that a command is about. Each function that fails has said why. */
#ifndef SESSION_H
#define SESSION_H

#include "cli.h"

/* The settings that the environment gives. */
void session_defaults(session *it);
/* EXIT_DONE, or what to exit with. */
int session_open(session *it);
void session_close(session *it);

/* The address without its password; to be freed. */
char *session_address(const session *it);

/* A failed call's sentence, in the words of the command line, and what to exit with. POPOTO_STOPPED gets a
 * calmer one. */
int session_failed(const session *it, popoto_status status);

/* Find the models. */
int session_models(session *it);
/* Those of --models, or published; else those that the first line of an export describes. */
int session_models_of_export(session *it, const char *line, size_t size);
const char *session_source(const session *it);

/* Whether the catalog's model is written in the dialect that is spoken; others are left alone. */
bool session_uses(const session *it, size_t index);
const char *dialect_name(popoto_dialect dialect);

/* The model of that name. NULL: there is none that can be used, which is said, and what to exit with. */
int session_model(session *it, const char *named, const popoto_model **out);
/* Whether this model is published and cannot be used. */
bool catalog_has_broken(const popoto_catalog *catalog, const char *named);

/* The models that --model names, or all. */
typedef struct chosen {
    const popoto_model **models;
    size_t count;
} chosen;
int session_choose(session *it, chosen *out);
/* The same, where operands name models too. */
int session_choose_words(session *it, int count, char **words, chosen *out);

/* The field that tells whose a record is: the TENANT, what --tenant-field says, or an ordinary model's only
 * KEY, which is a guess. NULL: it is not known. */
const popoto_field *session_owner(const session *it, const popoto_model *model, bool *guessed);
/* EXIT_USAGE, and said: a --tenant-field that is of none of the models. */
int session_check_fields(const session *it, const chosen *all);

/* One tenant of the chosen models, ready for the calls on one, and typed as the models have it. */
typedef struct tenancy {
    popoto_tenant_desc desc;
    const popoto_model **models;
    const char **fields; /* of each, that tells the tenant */
    size_t count;
    const popoto_model **left_out; /* what tells their tenants is not known */
    size_t left_count;
} tenancy;
/* Says what is guessed; what is left out, say_left_out says. */
int session_tenant(session *it, const char *tenant, tenancy *out);

/* EXIT_FINDINGS: there is nothing of the tenant, which is said. */
int session_nothing(const session *it, const char *tenant);

/* How many records of a strict model are still in the ordinary form, because a move was not finished: said where there
 * are any, for nothing else with that model sees them. */
size_t session_left_behind(session *it, const popoto_model *model);

/* What is guessed or left out is said, so that nobody takes an erasure for a complete one. */
void say_left_out(const popoto_model *const *models, size_t count);
void say_guessed(const popoto_model *const *models, size_t count);
char *names_of(const popoto_model *const *models, size_t count); /* "A, B"; to be freed */

/* The model with that field of another kind. */
const popoto_model *with_kind(const popoto_model *model, const popoto_field *field,
                              popoto_kind kind);
const popoto_field *tenant_of(const popoto_model *model); /* NULL: the model is not strict */
const popoto_field *field_named(const popoto_model *model, const char *name, size_t size);

/* What a file of one line holds; to be freed. NULL: it cannot be read, which is said. */
char *password_from_file(const char *path);

#endif
