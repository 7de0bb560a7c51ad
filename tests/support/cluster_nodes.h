/* cluster_nodes - a private Redis Cluster for a test program: three primaries and a replica of each, on
 * ports of the loopback that were free, in fresh folders; gone when the program ends, however it ends.
 * Speaks to the nodes by raw commands, without a line of the library. Whatever goes wrong in here ends
 * the program with a message. $POPOTO_TEST_SERVER names another server program. */
#ifndef POPOTO_TESTS_CLUSTER_NODES_H
#define POPOTO_TESTS_CLUSTER_NODES_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PRIMARIES 3
#define NODES     6 /* node i + 3 is first a replica of node i */

typedef struct node_group node_group;

/* Returns when every node says that the cluster is whole. */
node_group *nodes_start(void);
void nodes_stop(node_group *it);

const char *nodes_url(const node_group *it); /* redis+cluster://, of the three primaries */
int nodes_port(const node_group *it, size_t node);
pid_t nodes_pid(const node_group *it, size_t node);

/* The reply is to be freed with freeReplyObject. NULL: the node does not run. */
redisReply *nodes_ask(node_group *it, size_t node, const char *format, ...);
/* The same for a reply that says no more than that it was done. */
void nodes_tell(node_group *it, size_t node, const char *format, ...);

/* Who has the slot, as a node that runs sees it; the server's own idea of a key's slot. */
size_t nodes_owner(node_group *it, int slot);
int nodes_slot(node_group *it, const char *key);
bool nodes_is_primary(node_group *it, size_t node);
/* A primary that is another than this. */
size_t nodes_other_primary(node_group *it, size_t node);

void nodes_kill(node_group *it, size_t node); /* SIGKILL, and wait until it is gone */
void nodes_revive(node_group *it, size_t node);
void nodes_freeze(node_group *it, size_t node);
void nodes_thaw(node_group *it, size_t node);
/* Until all that run agree that all is well, and replicas follow their primaries. */
void nodes_await_whole(node_group *it);

/* Until another node has the slots of one that died, and all that run agree that all is well. */
void nodes_await_takeover(node_group *it, size_t dead);

/* For a child of fork(): the connections are its parent's. */
void nodes_forget_connections(node_group *it);

/* Move a slot with its keys, as redis-cli --cluster reshard does; `pause` microseconds between keys. */
void nodes_move_slot(node_group *it, int slot, size_t to, unsigned pause);
/* The halves of that, for looking at what is between. */
void nodes_begin_move(node_group *it, int slot, size_t to);
void nodes_end_move(node_group *it, int slot, size_t to, unsigned pause);

/* Take all keys away. */
void nodes_flush(node_group *it);
size_t nodes_key_count(node_group *it);

/* For cmocka. */
int nodes_group_start(void **state); /* *state becomes the cluster */
int nodes_group_stop(void **state);
int nodes_test_before(void **state); /* waits until it is whole, and takes all keys away */
#define nodes_test(function) cmocka_unit_test_setup(function, nodes_test_before)

#endif
