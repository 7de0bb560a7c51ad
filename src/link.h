/* link - one connection to a server: connects, authenticates, sends pipelines, reads replies, keeps
 * deadlines, reconnects. It and reply alone know hiredis; it and embedded alone touch a socket. Knows
 * nothing of models and keys. */
#ifndef POPOTO_LINK_H
#define POPOTO_LINK_H

#include "reply.h"
#include "url.h"

/* Commands in the server's protocol (RESP), ready to be sent. A command is begun with its number of
 * arguments (the name counts) and then given exactly so many. */
void popoto__request_begin(buffer *out, size_t arguments);
void popoto__request_argument(buffer *out, const void *data, size_t size);
void popoto__request_text(buffer *out, const char *text);
void popoto__request_integer(buffer *out, int64_t value);

/* (link alone is a function of unistd.h.) */
typedef struct server_link server_link;

typedef struct link_options {
    const popoto_allocator *allocator; /* must outlive the server_link */
    int connect_timeout;               /* milliseconds; negative: none */
    int command_timeout;               /* milliseconds for one exchange; negative: none */
} link_options;

/* A link to an address (its text is copied); not yet connected: the first exchange does that.
 * ADDRESS_EMBEDDED is not for the link: the caller starts the server and gives its socket. */
popoto_status popoto__link_new(const address *to, const link_options *options, server_link **out,
                               failure *why);
void popoto__link_free(server_link *it);

/* Connect now, unless connected: POPOTO_CANNOT_CONNECT, POPOTO_DENIED, POPOTO_TIMED_OUT,
 * POPOTO_UNAVAILABLE (loading), POPOTO_UNSUPPORTED (TLS without hiredis_ssl). */
popoto_status popoto__link_connect(server_link *it, failure *why);

/* Send the request and hand each reply to the handler.
 *
 * Reconnects first if the connection is found closed before a byte was sent. When it breaks or the
 * deadline passes later: for writes POPOTO_UNKNOWN_OUTCOME (replies handed over before are true);
 * for reads one new try if no reply was handed over yet, then POPOTO_DISCONNECTED or
 * POPOTO_TIMED_OUT. A reply that is no valid protocol: POPOTO_BAD_REPLY for reads,
 * POPOTO_UNKNOWN_OUTCOME for writes. After any of these the next exchange connects anew. Reading and
 * writing are interleaved, so a pipeline of any size cannot block on a full socket. Error replies
 * are replies like any other: they go to the handler. */
popoto_status popoto__link_exchange(server_link *it, const exchange *what, failure *why);

/* Send the request, taking meanwhile what comes for those that were posted before: their handlers are called
 * by this. Afterwards the request's memory is free, and the replies are still to come, unless it is done. */
void popoto__link_post(server_link *it, posted *one);
/* Wait for the replies of one that was posted: all that were before it are done then, too. An exchange of
 * the ordinary kind waits for all that were posted. */
popoto_status popoto__link_collect(server_link *it, posted *one, failure *why);

/* What one of several links has to do with an exchange, and what became of that. */
typedef struct link_part {
    server_link *link;
    exchange what;
    popoto_status status; /* POPOTO_OK: all replies were handed over; else `why` has the sentence */
    size_t handed;        /* replies that were */
    size_t sent;          /* the server cannot have seen a byte of the request behind these */
    failure why;
} link_part;

/* The same over several links at once: connect those that are not, send all parts while reading what
 * comes, until each part has its replies, or failed, or the deadline (see clock) passed. Nothing is
 * tried twice: that is the caller's, who knows where else to try. Handlers must not refuse replies.
 * POPOTO_NO_MEMORY: nothing was sent. No two parts have the same link. */
popoto_status popoto__link_exchange_parts(link_part *parts, size_t count, int64_t deadline,
                                          arena *memory, failure *why);

/* Hang up: the state that the server keeps of this connection is not to be used. The next exchange
 * connects anew. */
void popoto__link_drop(server_link *it);

/* The number of connections made so far: a change tells the caller that what the server knew of the
 * old connection is gone. */
uint64_t popoto__link_generation(const server_link *it);

#endif
