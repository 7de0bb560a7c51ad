/* failure - how a status and its sentence travel from where something went wrong to popoto_error. */
#ifndef POPOTO_FAILURE_H
#define POPOTO_FAILURE_H

#include <popoto.h>

#define FAILURE_TEXT_SIZE 512

typedef struct failure {
    popoto_status status;
    char text[FAILURE_TEXT_SIZE];
} failure;

/* popoto__fail(failure, status, format, ...): set the sentence and give the status, so that `return
 * popoto__fail(...)` reads well. A macro, so that whoever reads the code, compilers and analysers too,
 * sees that the status which comes out is the one that went in. */
#define popoto__fail(it_, status_, ...) \
    (popoto__explain(it_, status_, __VA_ARGS__), (popoto_status)(status_))
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void popoto__explain(failure *it, popoto_status status, const char *format, ...);

/* Out of memory, always the same sentence. */
#define popoto__fail_memory(it_) popoto__fail(it_, POPOTO_NO_MEMORY, "out of memory")

/* Data shown inside a sentence: quoted, bytes that are not printable ASCII as \xNN or valid UTF-8 as
 * it is, cut with ... where it is long. Returned for use in the same expression; `room` holds it. */
typedef struct shown {
    char text[100];
} shown;
const char *popoto__show(shown *room, const void *data, size_t size);
/* The same for a value of any type: 'text', 12, 0.5, a list of 3. */
const char *popoto__show_value(shown *room, const popoto_value *value);

#endif
