/* tenant - the tenants of strict models: listing them, from the keys or from the list that is kept as a
 * hint. Builds no key of a record. */
#ifndef POPOTO_TENANT_H
#define POPOTO_TENANT_H

#include "read_commands.h"

/* The tenants that have records of the model, by looking through all keys: each once, in the order of
 * their names as keys hold them. Values and their array are in memory. */
popoto_status popoto__tenants_read(popoto_db *db, const model *of, arena *memory,
                                   popoto_value **tenants, size_t *count);

/* Put tenants (data NULL: none) on the list, unless this db did so lately. The list is a hint, and a
 * tenant's own restricted user may not write it: nothing comes of a failure. */
void popoto__tenants_note(popoto_db *db, const model *of, const popoto_text *segments,
                          size_t count);

#endif
