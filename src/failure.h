/* failure - how a status and its sentence travel from where something went wrong to popoto_error. */
#ifndef POPOTO_FAILURE_H
#define POPOTO_FAILURE_H

#include <popoto.h>

#define FAILURE_TEXT_SIZE 512

typedef struct failure {
    popoto_status status;
    char text[FAILURE_TEXT_SIZE];
} failure;

/* Set the sentence and return the status, so that `return popoto__fail(...)` reads well. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
popoto_status
popoto__fail(failure *it, popoto_status status, const char *format, ...);

/* Out of memory, always the same sentence. */
popoto_status popoto__fail_memory(failure *it);

/* Data shown inside a sentence: quoted, bytes that are not printable ASCII as \xNN or valid UTF-8 as
 * it is, cut with ... where it is long. Returned for use in the same expression; `room` holds it. */
typedef struct shown {
    char text[100];
} shown;
const char *popoto__show(shown *room, const void *data, size_t size);
/* The same for a value of any type: 'text', 12, 0.5, a list of 3. */
const char *popoto__show_value(shown *room, const popoto_value *value);

#endif
