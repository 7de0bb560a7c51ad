/* route - where the commands of a request go on a cluster, read from the request itself, and what a
 * node's answer says of it. Pure: knows commands and slots, no nodes and no connections. */
#ifndef POPOTO_ROUTE_H
#define POPOTO_ROUTE_H

#include "link.h"

#define SLOT_COUNT 16384

/* The slot of a key: of what stands between its first { and the next } where that is not empty, else
 * of all of it. */
unsigned popoto__slot_of_key(const void *key, size_t size);

typedef enum route_kind {
    ROUTE_SLOT,      /* the node that has the slot */
    ROUTE_ANY,       /* any node: the command has no key */
    ROUTE_PRIMARIES, /* each primary (PING, DBSIZE) */
    ROUTE_REACHABLE, /* each primary that can be reached: one that was not asks for it (SCRIPT) */
    ROUTE_NODES,     /* each node, because what it changes is not replicated (ACL) */
    ROUTE_SCAN,      /* SCAN: all primaries one after the other, by its cursor */
} route_kind;

/* What goes to a node as a whole: a command, or all from a MULTI to its EXEC. */
typedef struct route {
    route_kind kind;
    unsigned slot;       /* ROUTE_SLOT */
    size_t first, count; /* its commands in the exchange */
    size_t at, size;     /* its bytes in the request */
    popoto_text cursor;  /* ROUTE_SCAN: inside the request */
} route;

/* Takes a request of ours apart. POPOTO_BAD_ARGUMENT: it is not `count` whole commands. */
popoto_status popoto__route_request(const buffer *request, size_t count, arena *memory,
                                    route **routes, size_t *route_count, failure *why);

/* The cursor of a SCAN over a cluster: the node's own, the how manieth primary is meant, and the number
 * of the map of slots that this counts by; as text "cursor.primary.map". A scan begins with "0". */
typedef struct scan_cursor {
    popoto_text of_node;
    uint64_t primary;
    uint64_t map;
    bool begins;
} scan_cursor;
bool popoto__route_read_cursor(popoto_text text, scan_cursor *out);
#define SCAN_CURSOR_SIZE 80
/* Returns the size of the text; 0: the node's cursor is no such thing. */
size_t popoto__route_write_cursor(const scan_cursor *it, char text[SCAN_CURSOR_SIZE]);

/* An answer that says that the command was not executed, and why. */
typedef enum redirect_kind {
    REDIRECT_NONE,  /* any other answer */
    REDIRECT_MOVED, /* another node has the slot */
    REDIRECT_ASK,   /* another node has the key, this once */
    REDIRECT_WAIT,  /* nobody can do it just now: TRYAGAIN, CLUSTERDOWN, LOADING, MASTERDOWN */
} redirect_kind;

typedef struct redirect {
    redirect_kind kind;
    unsigned slot;    /* MOVED, ASK */
    popoto_text host; /* MOVED, ASK; empty: the host that was asked */
    int port;
} redirect;

/* Host is a part of the answer's text. */
redirect popoto__route_redirect(const reply *answer);

#endif
