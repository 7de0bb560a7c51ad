/* mistyped - what a key holds in whose place something else belongs: asked where the server refused a command
 * for it, so that a sentence can name both. */
#ifndef POPOTO_MISTYPED_H
#define POPOTO_MISTYPED_H

#include "read_commands.h"
#include "rows.h"

/* So many keys are asked about at once. */
#define MISTYPED_MOST 16

/* A failure of reading the indexes of a plan, explained where one of them holds another type: `status` is
 * what it came to, and stays that. */
popoto_status popoto__mistyped_index(popoto_db *db, const read_plan *from, popoto_status status);
/* Add problems about records of these keys (at most MISTYPED_MOST), which hold no hash. */
popoto_status popoto__mistyped_records(popoto_db *db, const model *of, popoto_rows *rows,
                                       const popoto_text *keys, size_t count);

#endif
