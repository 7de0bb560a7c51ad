/* confidence_entries - what tests of confidence fields ask of entries: whether their figures are right, and
 * which of them a scan shows. */
#ifndef POPOTO_TESTS_CONFIDENCE_ENTRIES_H
#define POPOTO_TESTS_CONFIDENCE_ENTRIES_H

#include "failing_allocator.h"

#include <popoto.h>

/* A popoto_text of a literal, which may hold any bytes. */
#define BYTES(text) \
    { text, sizeof(text) - 1 }

/* To the last bit. */
void assert_figures(const popoto_confidence *expected, const popoto_confidence *is);

/* What a scan showed; what is not wanted of it is 0. */
typedef struct seen {
    popoto_db *db; /* for a callback of the test's own */
    size_t count;
    size_t stop_after;
    popoto_text only; /* what members must begin with */
    popoto_confidence last;
    const failing_allocator *memory;
    size_t most; /* bytes of that memory in use */
    char *marks; /* by number behind the last colon */
} seen;

/* A popoto_confidence_callback; its context is a seen. */
bool see(void *context, popoto_text member, const popoto_confidence *figures);

/* The entries of the model's `certainty`, of a project and by a pattern where they are not NULL. */
popoto_status scan(popoto_db *db, const popoto_model *model, const char *project,
                   const char *pattern, seen *to);

#endif
