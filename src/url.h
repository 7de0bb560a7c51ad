/* url - the addresses that popoto_open takes, taken apart. Pure. */
#ifndef POPOTO_URL_H
#define POPOTO_URL_H

#include "failure.h"
#include "memory.h"

typedef enum address_kind {
    ADDRESS_TCP,
    ADDRESS_TLS,
    ADDRESS_UNIX,
    ADDRESS_EMBEDDED,
    ADDRESS_CLUSTER,
    ADDRESS_CLUSTER_TLS,
} address_kind;

/* A node of a cluster, to ask for the others. */
typedef struct cluster_seed {
    const char *host;
    int port;
} cluster_seed;

typedef struct address {
    address_kind kind;
    const char *host;     /* TCP, TLS */
    int port;             /* TCP, TLS */
    const char *path;     /* UNIX: the socket; EMBEDDED: the folder, NULL for the default one */
    const char *user;     /* NULL: none */
    const char *password; /* NULL: none */
    int database;
    /* what error messages may show: the URL without its password */
    const char *display;
    const cluster_seed *seeds; /* CLUSTER, CLUSTER_TLS: one at least */
    size_t seed_count;
} address;

/* All text of the address is allocated from memory. POPOTO_BAD_URL with a sentence that shows what was
 * wrong and what would be right, never the password. See popoto_open for the forms. IPv6 hosts stand
 * in []. */
popoto_status popoto__url_parse(const char *url, arena *memory, address *out, failure *why);

#endif
