/* owner - one tenant of one model, as the operators' calls about a tenant mean it: which of the model's keys
 * are its. Reads what callers say in a popoto_tenant_desc. Sends nothing. */
#ifndef POPOTO_OWNER_H
#define POPOTO_OWNER_H

#include "walk.h"

typedef struct owner {
    const model *of;
    const field *about; /* the field that names the tenant: the TENANT, or a part of the key */
    popoto_value value;
    popoto_text segment; /* the value as keys hold it */
    popoto_text records; /* a pattern that all of its records match */
} owner;

/* One for each model of the description, in `memory`. Checks the description: POPOTO_BAD_ARGUMENT,
 * POPOTO_BAD_VALUE; POPOTO_BAD_SCOPE where a scope names another tenant. */
popoto_status popoto__owners(popoto_db *db, const popoto_tenant_desc *desc, arena *memory,
                             owner **owners);

/* The field of an ordinary model that `name` says holds its tenants, or the TENANT of a strict one. */
popoto_status popoto__owner_field(popoto_db *db, const model *of, const char *name,
                                  const field **about);

/* The index that names all of this tenant's records, and perhaps others': the set of all records of a
 * strict model's tenant, a KEY's index, or the set of all records. Its text is in `memory`. */
popoto_status popoto__owner_index(popoto_db *db, const owner *it, arena *memory, index_ref *out);

/* Whether a key is one of this tenant's records'. */
bool popoto__owner_has(const owner *it, popoto_text key);

/* POPOTO_BAD_SCOPE in a scope on one of the model's fields, for calls that are about all tenants. */
popoto_status popoto__refuse_scopes(popoto_db *db, const model *of, const char *what);

#endif
