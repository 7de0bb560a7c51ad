/* catalog - models of records made from descriptors that are values: published in a database, read from a
 * file, or inferred (infer.c). What a description looks like is in docs/keys.md, "Published models". */
#ifndef POPOTO_CATALOG_H
#define POPOTO_CATALOG_H

#include "operator_commands.h"

typedef struct catalog_entry {
    const popoto_model *model;
    popoto_value described;
    popoto_dialect dialect; /* that it was described in */
    const char *note;       /* NULL: nothing was guessed */
} catalog_entry;

/* A published model that cannot be used. */
typedef struct catalog_problem {
    popoto_text name;
    const char *text;
} catalog_problem;

struct popoto_catalog {
    popoto_allocator allocator;
    arena memory; /* of everything below */
    catalog_entry *entries;
    size_t count;
    size_t room;
    catalog_problem *problems; /* by name */
    size_t problem_count;
};

popoto_catalog *popoto__catalog_new(popoto_db *db);
/* Add a model that lives in the catalog's memory: checks it, and describes it. */
popoto_status popoto__catalog_add(popoto_db *db, popoto_catalog *it, const popoto_model *declared,
                                  popoto_dialect dialect, const char *note);

/* The description of a model, in `memory`. False: there is none. */
bool popoto__catalog_describe(const model *of, popoto_dialect dialect, arena *memory,
                              popoto_value *out);
/* The name in a description; NULL: it has none. */
const popoto_value *popoto__catalog_name(const popoto_value *described);
/* Why records of the model that is described here cannot be records of `of`, and of which field (data NULL:
 * none); NULL: they can. What keys and indexes are made of may differ. */
const char *popoto__catalog_contradiction(const model *of, const popoto_value *described,
                                          popoto_text *field_name);

#endif
