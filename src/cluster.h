/* cluster - the nodes of a Redis Cluster as if they were one server: takes an exchange apart, sends each
 * command to the node that has its slot, follows slots that move and primaries that change, and hands
 * over the replies in the order of the commands. Knows no model; talks through links. */
#ifndef POPOTO_CLUSTER_H
#define POPOTO_CLUSTER_H

#include "link.h"

typedef struct cluster cluster;

/* A cluster by its seeds (ADDRESS_CLUSTER, ADDRESS_CLUSTER_TLS); not yet connected. */
popoto_status popoto__cluster_new(const address *to, const link_options *options, cluster **out,
                                  failure *why);
void popoto__cluster_free(cluster *it);

/* Ask for the map of slots, unless it is known. */
popoto_status popoto__cluster_connect(cluster *it, failure *why);

/* Hang up on all nodes; see popoto__link_drop. */
void popoto__cluster_drop(cluster *it);

/* As popoto__link_exchange, with these differences.
 *
 * Commands that were not executed, because their slot moved (MOVED, ASK), is about to (TRYAGAIN), or
 * nobody has it or can be reached just now (CLUSTERDOWN, a primary that died), go again until the
 * command timeout has passed. MULTI to EXEC counts as one command. What may have been executed goes
 * again only in an exchange that writes nothing.
 *
 * When a node is lost, the commands that went to others have their replies all the same. So when some
 * have an outcome and some have not, these get a reply of our own making, an ERROR whose `fate` is the
 * status that the exchange would have had on a single link. When none has, the exchange fails so.
 *
 * Commands on one slot are executed in their order, but for those that had to go again: they come
 * after what did not.
 *
 * PING and DBSIZE go to every primary, SCRIPT to all that can be reached, ACL to every node. The reply
 * is the first error, else the sum of the numbers (of ACL the largest), else the first. SCAN goes through all primaries, one after
 * the other; its cursor is text to be given back as it is, "0" at both ends as ever. When slots have
 * moved meanwhile it begins anew, so that it still sees each key that was there all the time. */
popoto_status popoto__cluster_exchange(cluster *it, const exchange *what, failure *why);

/* For tests: what is made of an answer to CLUSTER SLOTS, given by the first seed. */
popoto_status popoto__cluster_take_slots(cluster *it, const reply *answer, failure *why);
/* The node that has the slot, as "host:port" in room; NULL: none. */
const char *popoto__cluster_node_of(const cluster *it, unsigned slot, char *room, size_t size);

#endif
