/* strict_episodes - a strict model with an index of each kind, for tests of tenants; its partitions name the
 * tenant, or do not. */
#ifndef POPOTO_TESTS_STRICT_EPISODES_H
#define POPOTO_TESTS_STRICT_EPISODES_H

#include "server.h"

#include <popoto.h>

typedef struct episode {
    popoto_object object;
    const char *project_id;
    const char *season;
    const char *id;
    const char *title;
    double score;
    int64_t views;
    double certainty;
    double belief;
} episode;

static const popoto_field episode_fields[] = {
    POPOTO_TENANT(episode, project_id),
    POPOTO_KEY(episode, season),
    POPOTO_KEY(episode, id),
    POPOTO_FIELD(episode, title, .null = true),
    POPOTO_SORTED(episode, score, .partition_by = "project_id"),
    POPOTO_SORTED(episode, views, .partition_by = "season"),
    POPOTO_CONFIDENCE(episode, certainty),
    POPOTO_CONFIDENCE(episode, belief, .partition_by = "project_id,season"),
};
static const popoto_model Episode = POPOTO_MODEL("Episode", episode, episode_fields);

episode episode_of(const char *project, const char *season, const char *id, double score);

/* Opens the server, and stores tenants a and b, each with one record and its confidence. */
popoto_db *opened_with_two_tenants(server *s);

#endif
