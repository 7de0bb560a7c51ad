/* link_client - a connection with all that an exchange needs: sends commands given as words, and keeps the
 * replies as text, or only counts them. Include cmocka.h before. */
#ifndef POPOTO_TESTS_LINK_CLIENT_H
#define POPOTO_TESTS_LINK_CLIENT_H

#include "link.h"

typedef struct client {
    popoto_allocator allocator;
    server_link *link;
    buffer request;
    arena strings;
    failure why;
    char seen[4096]; /* the replies, each as its type's letter, its text and a newline */
    size_t handed;
    popoto_status refuse; /* what the handler returns for the reply `refused` */
    size_t refused;
} client;

void client_open_with(client *it, const address *to, int connect_timeout, int command_timeout);
/* Of a Unix socket. */
void client_open(client *it, const char *path, int command_timeout);
void client_close(client *it);

/* A command given as its words, for the next run. */
void client_add(client *it, const char *command);
/* Sends what was added, `count` commands. */
popoto_status client_run(client *it, size_t count, bool writes);
popoto_status client_run_one(client *it, const char *command, bool writes);

/* The reply's text is put behind what was seen. */
void client_note(client *it, const reply *answer);

/* What replies come to, and a handler that adds them up. */
typedef struct sizes {
    size_t count;
    size_t bytes;
} sizes;

popoto_status measure_reply(void *context, size_t index, const reply *answer);

#define assert_client_ok(call, it)                     \
    do {                                               \
        if ((call) != POPOTO_OK)                       \
            fail_msg("%s: %s", #call, (it)->why.text); \
    } while (0)

#endif
