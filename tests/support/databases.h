/* databases - open ones for tests, what a server holds and was sent, and what ends a long call before its
 * time: an allocation that fails, and a callback that says stop.
 *
 *     failing_allocator memory;
 *     for (size_t n = 1;; n++) {
 *         popoto_db *db = opened_to_fail(s, &memory, n);
 *         ... make the call; release what it made ...
 *         if (!closed_after_failure(db, &memory))
 *             break; // there were not as many allocations
 *     }
 */
#ifndef POPOTO_TESTS_DATABASES_H
#define POPOTO_TESTS_DATABASES_H

#include "failing_allocator.h"
#include "server.h"

#include <popoto.h>

/* With default options. */
popoto_db *opened(server *s);

/* One whose n-th allocation from now on fails. */
popoto_db *opened_to_fail(server *s, failing_allocator *memory, size_t n);
/* Closes it; nothing that it allocated is left. Whether that allocation was asked for. */
bool closed_after_failure(popoto_db *db, const failing_allocator *memory);

/* What a call said of its progress, which goes forwards; stop_at is the call that says stop, 0: none. */
typedef struct progress_seen {
    int calls, stop_at;
    size_t done, total;
} progress_seen;

/* A popoto_progress; its context is a progress_seen. */
bool see_progress(void *context, size_t done, size_t total);

/* How much of a processor's time the server has used so far. */
double server_seconds(server *s);

/* What a program's server was sent ever, these questions not counted. */
long long commands_sent(server *s);

/* The part of a dump whose keys begin so, and the rest of it; to be freed. */
char *dump_of(server *s, const char *prefix);
char *dump_without(server *s, const char *prefix);

/* A callback of popoto_tenants; its context is a size_t. */
bool count_tenant(void *context, const popoto_value *tenant);

#endif
