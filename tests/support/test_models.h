/* test_models - the models that several test programs share. */
#ifndef POPOTO_TESTS_MODELS_H
#define POPOTO_TESTS_MODELS_H

#include <popoto.h>

/* The specification's first: a tenant, a generated key, a partitioned order. */
typedef struct episode {
    popoto_object object;
    const char *project_id;
    popoto_id episode_id;
    const char *title;
    double score;
} episode;

static const popoto_field episode_fields[] = {
    POPOTO_KEY(episode, project_id),
    POPOTO_AUTO_KEY(episode, episode_id),
    POPOTO_FIELD(episode, title, .null = true),
    POPOTO_SORTED(episode, score, .partition_by = "project_id"),
};
static const popoto_model Episode = POPOTO_MODEL("Episode", episode, episode_fields);

/* The specification's second: a unique key and figures by project. */
typedef struct fact {
    popoto_object object;
    const char *project;
    const char *key;
    const char *content;
    double certainty;
} fact;

static const popoto_field memory_fields[] = {
    POPOTO_KEY(fact, project),
    POPOTO_UNIQUE_KEY(fact, key),
    POPOTO_FIELD(fact, content, .null = true),
    POPOTO_CONFIDENCE(fact, certainty, .partition_by = "project"),
};
static const popoto_model Memory = POPOTO_MODEL("Memory", fact, memory_fields);

/* Partitioned by fields that are no part of the key. */
typedef struct trade {
    popoto_object object;
    int64_t number;
    const char *exchange;
    const char *symbol;
    double price;
    int64_t volume;
    double belief;
    const char *note;
} trade;

static const popoto_field trade_fields[] = {
    POPOTO_KEY(trade, number),
    POPOTO_FIELD(trade, exchange),
    POPOTO_FIELD(trade, symbol),
    POPOTO_SORTED(trade, price, .partition_by = "exchange,symbol"),
    POPOTO_SORTED(trade, volume),
    POPOTO_CONFIDENCE(trade, belief, .partition_by = "exchange"),
    POPOTO_FIELD(trade, note, .null = true),
};
static const popoto_model Trade = POPOTO_MODEL("Trade", trade, trade_fields);

/* Expires. */
typedef struct session {
    popoto_object object;
    const char *site;
    const char *user;
    int64_t seen;
} session;

static const popoto_field session_fields[] = {
    POPOTO_KEY(session, site),
    POPOTO_UNIQUE_KEY(session, user),
    POPOTO_SORTED(session, seen, .partition_by = "site"),
};
static const popoto_model Session =
    POPOTO_MODEL("Session", session, session_fields, .time_to_live = 1);

/* Of records. */
static const popoto_field note_fields[] = {
    { .name = "owner", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },
    { .name = "id", .kind = POPOTO_KIND_AUTO_KEY, .type = POPOTO_TEXT },
    { .name = "text", .type = POPOTO_TEXT, .null = true },
    { .name = "rank", .kind = POPOTO_KIND_SORTED, .type = POPOTO_INT, .partition_by = "owner" },
    { .name = "more", .type = POPOTO_ANY, .null = true },
};
static const popoto_model Note = { .name = "Note", .fields = note_fields, .field_count = 5 };

#endif
