/* kept - pure: a record that is saved under its own name, and whose place in every index its name tells, as nearly
 * all are: straight into the request, as a call of the script that was made for the plan of the first such save
 * (see shape). Nothing is planned unless that script refuses. Touches no socket. */
#ifndef POPOTO_KEPT_H
#define POPOTO_KEPT_H

#include "shape.h"

/* The script for saves of some fields of a model, as far as it is known. */
typedef struct kept_script {
    const model *of;
    uint64_t fields;      /* as bits */
    shape_script *script; /* NULL: there is none yet */
} kept_script;

#define KEPT_SCRIPTS 16

/* The script for a write that is prepared; NULL: it must be planned. */
shape_script *popoto__kept_find(const kept_script *all, const record_write *it);
/* A write was done by its plan, with this script: so it can be found, if the call looks as this would render it. */
void popoto__kept_note(kept_script *all, record_write *it, const plan *planned,
                       shape_script *script);
/* Append the call; *content is the digest of what the record holds then, 0 where that is not known. False: it must be
 * planned, and nothing was changed. */
bool popoto__kept_render(record_write *it, const shape_script *script, buffer *out,
                         uint64_t *content);

#endif
