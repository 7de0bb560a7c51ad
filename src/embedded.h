/* embedded - a private redis-server (or valkey-server) for people who have none running: started on
 * demand, reachable only through a Unix socket in a 0700 folder, shared by all processes of this user
 * that open the same folder, stopped by the last of them to leave. */
#ifndef POPOTO_EMBEDDED_H
#define POPOTO_EMBEDDED_H

#include "failure.h"
#include "memory.h"

typedef struct embedded embedded;

/* Join the server of `folder` (NULL: $XDG_DATA_HOME/popoto or ~/.local/share/popoto), starting it if
 * none runs. `program`: the server to start, NULL: redis-server, else valkey-server, from PATH.
 * `timeout`: milliseconds for it to be ready (negative: none). POPOTO_CANNOT_CONNECT with a sentence
 * that says what to install or what the server's log said. */
popoto_status popoto__embedded_join(const popoto_allocator *allocator, const char *folder,
                                    const char *program, int timeout, embedded **out, failure *why);
/* Start it again if it was killed since. Its data is what it had acknowledged. */
popoto_status popoto__embedded_revive(embedded *it, int timeout, failure *why);
/* The socket to connect to. */
const char *popoto__embedded_socket(const embedded *it);
/* Leave; the last one shuts the server down and waits until it is gone. NULL is fine. */
void popoto__embedded_leave(embedded *it);

#endif
