/* cluster_parcels - what the tests of a cluster store on it: one model with every kind of index, one that
 * needs transactions, for tenants on all nodes; and a check, by raw commands, of what lies in the indexes. */
#ifndef POPOTO_TESTS_CLUSTER_PARCELS_H
#define POPOTO_TESTS_CLUSTER_PARCELS_H

#include "cluster_nodes.h"

#include <popoto.h>

/* A model with an index of every kind. */
typedef struct parcel {
    popoto_object object;
    const char *owner;
    int64_t number;
    const char *label;
    const char *place;
    int64_t weight;
    double trust;
} parcel;

extern const popoto_model Parcel;

/* Stored by MULTI and EXEC, because its key is generated. */
typedef struct letter {
    popoto_object object;
    const char *owner;
    popoto_id id;
    int64_t sent;
} letter;

extern const popoto_model Letter;

/* As many tenants as it takes for every node to have some of them; each is named by its index. */
#define TENANTS 30

const char *tenant_name(size_t index, char room[16]);
/* Its texts lie in `names`, the tenant's name first. */
void make_parcel(parcel *it, char names[2][16], size_t tenant, int64_t number);

popoto_db *open_cluster(const node_group *nodes);

/* Texts that were found on the nodes, such as keys. Zero is an empty list. */
typedef struct lines {
    char **items;
    size_t count, room;
} lines;

void add_line(lines *to, const char *format, ...);
void free_lines(lines *it);
void sort_lines(lines *it);
bool has_line(const lines *it, const char *line); /* in a sorted list */

/* Every record in its indexes, every index entry of a record; `records` (or NULL) becomes all keys of
 * records, sorted. Returns the number of differences. */
size_t check_indexes(node_group *nodes, lines *records);

#endif
