/* memories - the models of the tests of confidence fields, with a partition and without one. */
#ifndef POPOTO_TESTS_MEMORIES_H
#define POPOTO_TESTS_MEMORIES_H

#include <popoto.h>

/* The partition is told by the key. */
typedef struct memory {
    popoto_object object;
    const char *project;
    const char *key;
    double certainty;
} memory;

static const popoto_field memory_fields[] = {
    POPOTO_KEY(memory, project),
    POPOTO_UNIQUE_KEY(memory, key),
    POPOTO_CONFIDENCE(memory, certainty, .partition_by = "project"),
};
static const popoto_field undivided_memory_fields[] = {
    POPOTO_KEY(memory, project),
    POPOTO_UNIQUE_KEY(memory, key),
    POPOTO_CONFIDENCE(memory, certainty),
};
static const popoto_model Memory = POPOTO_MODEL("Memory", memory, memory_fields);
static const popoto_model Open = POPOTO_MODEL("Open", memory, undivided_memory_fields);

#define ATLAS  "$ConfidencF:Memory:certainty:data:atlas"
#define HERMES "$ConfidencF:Memory:certainty:data:hermes"

/* The partition is told by two fields that are no part of the key. */
typedef struct fact {
    popoto_object object;
    const char *id;
    const char *owner;
    int64_t shelf;
    double trust;
} fact;

static const popoto_field fact_fields[] = {
    POPOTO_KEY(fact, id),
    POPOTO_FIELD(fact, owner),
    POPOTO_FIELD(fact, shelf),
    POPOTO_CONFIDENCE(fact, trust, .partition_by = "owner,shelf"),
};
static const popoto_field undivided_fact_fields[] = {
    POPOTO_KEY(fact, id),
    POPOTO_FIELD(fact, owner),
    POPOTO_FIELD(fact, shelf),
    POPOTO_CONFIDENCE(fact, trust),
};
static const popoto_model Fact = POPOTO_MODEL("Fact", fact, fact_fields);

#endif
