/* index_checker - what the indexes of a model must hold, worked out from its records by brute force and
 * without a line of the library: reads all keys of the server, decodes the few MessagePack types that
 * it needs, and compares. Fails the test with the entries that are missing or too many. */
#ifndef POPOTO_TESTS_INDEX_CHECKER_H
#define POPOTO_TESTS_INDEX_CHECKER_H

#include "server.h"

#include <popoto.h>

/* Every record's key, stored key fields and index entries agree, and no index has an entry more.
 * Scores are compared for int and float fields; partitions may be text, ints and bools. */
void assert_indexes_match(server *it, const popoto_model *model);

/* How many records of the model there are. */
size_t record_count(server *it, const popoto_model *model);

#endif
