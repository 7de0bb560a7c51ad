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

struct popoto_catalog {
    popoto_allocator allocator;
    arena memory; /* of everything below */
    catalog_entry *entries;
    size_t count;
    size_t room;
};

popoto_catalog *popoto__catalog_new(popoto_db *db);
/* Add a model that lives in the catalog's memory: checks it, and describes it. */
popoto_status popoto__catalog_add(popoto_db *db, popoto_catalog *it, const popoto_model *declared,
                                  popoto_dialect dialect, const char *note);

#endif
