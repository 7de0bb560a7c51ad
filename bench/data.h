/* data - what all sides of the benchmark store: the specification's Episode and Memory, as our models,
 * and the same texts and scores for everyone. */
#ifndef POPOTO_BENCH_DATA_H
#define POPOTO_BENCH_DATA_H

#include <popoto.h>

typedef struct episode {
    popoto_object object;
    const char *project_id;
    popoto_id episode_id;
    const char *title;
    double score;
} episode;

typedef struct memory_record {
    popoto_object object;
    const char *project;
    const char *key;
    const char *content;
    double certainty;
} memory_record;

extern const popoto_model Episode; /* score partitioned by project_id */
extern const popoto_model Flat;    /* the same without partition, called Flat */
extern const popoto_model Memory;  /* certainty partitioned by project */
extern const popoto_model Shared;  /* the same without partition, called Shared */

#define DATA_TITLES ((size_t)1 << 17)

/* Makes so many of the texts, DATA_TITLES at most; before any of the others. */
void data_prepare(size_t count);
/* "Episode 000017: what was said"; the texts repeat after as many as were prepared. */
const char *data_title(size_t index);
/* "fact000017", the same way. */
const char *data_fact(size_t index);
/* Four decimals, from 0 up to 1, every value equally often, neighbours far apart. */
double data_score(size_t index);
/* A fresh record number `index` of a tenant. */
void data_episode(episode *it, const char *project, size_t index);
void data_memory(memory_record *it, const char *project, size_t index);

#endif
