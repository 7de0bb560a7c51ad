/* reply - what a server answers: bytes into replies, and replies to the handler of an exchange; what its
 * errors mean. hiredis's reader takes the protocol apart. Knows no socket, no model and no key. */
#ifndef POPOTO_REPLY_H
#define POPOTO_REPLY_H

#include "failure.h"
#include "memory.h"

typedef enum reply_type {
    REPLY_STATUS,
    REPLY_ERROR,
    REPLY_INTEGER,
    REPLY_NULL,
    REPLY_STRING,
    REPLY_ARRAY,
} reply_type;

typedef struct reply reply;
struct reply {
    reply_type type;
    int64_t integer;
    const char *text; /* STATUS, ERROR, STRING; a NUL stands behind its last byte */
    /* Not POPOTO_OK: an ERROR that no server sent but we, because of several nodes that share an
     * exchange this command's was lost; what became of the command. */
    popoto_status fate;
    size_t size;
    size_t count; /* ARRAY */
    reply **items;
};

/* Called for the reply to command `index` of the exchange. The reply's nodes hold during the call; its
 * strings live in exchange.strings where that is not NULL, else during the call too. A status other
 * than POPOTO_OK makes the exchange return it, after the remaining replies were read and dropped. */
typedef popoto_status reply_handler(void *context, size_t index, const reply *answer);

/* Called for each element of a list, as it arrives: element `place` of the reply to command `index`. The
 * text is that of a STRING, STATUS or ERROR, NULL for others; it holds during the call, and no NUL stands
 * behind it. A list that is asked for again after the connection broke begins anew at place 0. */
typedef void element_handler(void *context, size_t index, size_t place, reply_type type,
                             const char *text, size_t size);

typedef struct exchange {
    const buffer *request; /* `count` commands */
    size_t count;
    bool writes;    /* whether they change anything: decides what a broken connection means */
    arena *strings; /* where the replies' strings go; NULL: they hold during the handler's call */
    reply_handler *handle;
    void *context;
    /* Not NULL: of a reply that is a list nothing is built, its elements go here; `handle` is called at
     * its end, with an ARRAY that has a count and no items. Lists within the list are one element each,
     * and what is in them is lost. */
    element_handler *element;
} exchange;

/* An exchange in two halves, so that the server has work while the caller makes more of it. At its place
 * until it is done, and zero but for these: */
typedef struct posted {
    exchange what;
    /* The replies that the first `foreseen` commands will most likely bring, as the server writes them: where
     * they come so, they are not handed over. */
    popoto_text expected;
    size_t foreseen;
    bool is_done;
    popoto_status status; /* as of popoto__link_exchange, once it is done */
    failure why;          /* its sentence */
    struct posted *next;
} posted;

/* Hand a reply that was built whole to the handlers of an exchange. */
popoto_status popoto__exchange_hand_over(const exchange *what, size_t index, const reply *answer);

/* The status that an error reply means, with a sentence: one table from the error's first word
 * (NOAUTH, WRONGPASS, NOPERM: DENIED; LOADING, OOM, READONLY, MISCONF, BUSY, MASTERDOWN,
 * CLUSTERDOWN, TRYAGAIN, NOREPLICAS, EXECABORT by what is behind it...: UNAVAILABLE; WRONGTYPE:
 * CORRUPT; anything else SERVER_ERROR). `what` names what was being done. */
popoto_status popoto__reply_failure(const reply *answer, const char *what, failure *why);
bool popoto__reply_is_error(const reply *answer, const char *first_word);
bool popoto__reply_begins(const reply *answer, const char *beginning);

/* ----- For link alone ------------------------------------------------------------------------- */

/* How far an exchange got. */
typedef enum progress {
    GOING_ON,
    COMPLETE,
    ENOUGH,  /* so far: see posted */
    BROKEN,  /* the peer closed, or the network did */
    LATE,    /* the deadline passed */
    GARBLED, /* what came is not the protocol */
    STARVED, /* no memory for the reply */
} progress;

/* Turns bytes into replies and hands these to the handler of an exchange. */
typedef struct receiver {
    struct redisReader *reader; /* belongs to the connection */
    arena scratch;              /* the nodes of the reply that is being read */
    const exchange *what;
    posted *first;    /* of those under way, whose exchange `what` is; NULL: it is no posted one */
    bool has_turned;  /* from one of them to the next */
    bool is_matching; /* all that came is what was expected */
    size_t matched;   /* so many bytes of it */
    reply list;       /* whose elements go to the exchange one by one */
    size_t handed;    /* replies so far */
    popoto_status status; /* the first one of the handler that is not POPOTO_OK */
    bool refused;         /* by a function of the reader's; else their NULL means no memory */
    /* What came and is not taken yet: room[start..filled). Up to `at` the elements of the list that begins
     * at `start` are taken, `place` of them; at == start: its head is not. */
    char *room;
    size_t room_size, start, at, filled, place;
    bool in_reader; /* the reader has the beginning of what comes next, or is to take it */
} receiver;

void popoto__receiver_attach(receiver *it, struct redisReader *reader);
void popoto__receiver_begin(receiver *it, const exchange *what);
/* With the first of those that were posted. */
void popoto__receiver_begin_first(receiver *it);
void popoto__receiver_free(receiver *it);
/* Where the next bytes may go, at least one; NULL: no memory. */
char *popoto__receiver_room(receiver *it, size_t *size);
/* So many bytes have come there. COMPLETE: and with them the last reply. */
progress popoto__receiver_feed(receiver *it, size_t size);
/* The same where the reader has fetched them itself. */
progress popoto__receiver_take(receiver *it);

/* The status that the text of an error means. */
popoto_status popoto__reply_status(const char *text);

/* For tests: what an exchange makes of these bytes, as if a server had sent them `step` at a time.
 * POPOTO_DISCONNECTED: they end too early. */
popoto_status popoto__reply_parse(const exchange *what, const popoto_allocator *allocator,
                                  const void *data, size_t size, size_t step);

#endif
