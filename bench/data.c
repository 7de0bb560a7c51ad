/* data - see data.h. */
#include "data.h"

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

static const popoto_field episode_fields[] = {
    POPOTO_KEY(episode, project_id),
    POPOTO_AUTO_KEY(episode, episode_id),
    POPOTO_FIELD(episode, title),
    POPOTO_SORTED(episode, score, .partition_by = "project_id"),
};
const popoto_model Episode = POPOTO_MODEL("Episode", episode, episode_fields);

static const popoto_field flat_fields[] = {
    POPOTO_KEY(episode, project_id),
    POPOTO_AUTO_KEY(episode, episode_id),
    POPOTO_FIELD(episode, title),
    POPOTO_SORTED(episode, score),
};
const popoto_model Flat = POPOTO_MODEL("Flat", episode, flat_fields);

static const popoto_field memory_fields[] = {
    POPOTO_KEY(memory_record, project),
    POPOTO_UNIQUE_KEY(memory_record, key),
    POPOTO_FIELD(memory_record, content),
    POPOTO_CONFIDENCE(memory_record, certainty, .partition_by = "project"),
};
const popoto_model Memory = POPOTO_MODEL("Memory", memory_record, memory_fields);

static const popoto_field shared_fields[] = {
    POPOTO_KEY(memory_record, project),
    POPOTO_UNIQUE_KEY(memory_record, key),
    POPOTO_FIELD(memory_record, content),
    POPOTO_CONFIDENCE(memory_record, certainty),
};
const popoto_model Shared = POPOTO_MODEL("Shared", memory_record, shared_fields);

#define TITLE_SIZE 48
#define FACT_SIZE  32

static char (*titles)[TITLE_SIZE];
static char (*facts)[FACT_SIZE];
static size_t text_count;

void data_prepare(size_t count) {
    text_count = count < DATA_TITLES ? count + 1 : DATA_TITLES;
    titles = malloc(text_count * sizeof(*titles));
    facts = malloc(text_count * sizeof(*facts));
    if (titles == NULL || facts == NULL)
        give_up("no memory");
    for (size_t i = 0; i < text_count; i++) {
        snprintf(titles[i], TITLE_SIZE, "Episode %06zu: what was said", i);
        snprintf(facts[i], FACT_SIZE, "fact%06zu", i);
    }
}

const char *data_title(size_t index) {
    return titles[index % text_count];
}

const char *data_fact(size_t index) {
    return facts[index % text_count];
}

double data_score(size_t index) {
    return (double)(index * 7919 % 10000) / 10000.0;
}

void data_episode(episode *it, const char *project, size_t index) {
    *it = (episode){
        .project_id = project,
        .title = data_title(index),
        .score = data_score(index),
    };
}

void data_memory(memory_record *it, const char *project, size_t index) {
    *it = (memory_record){
        .project = project,
        .key = data_fact(index),
        .content = "The sky is blue",
    };
}
