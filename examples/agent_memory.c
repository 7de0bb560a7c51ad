/* agent_memory - what an agent believes, and how firmly: facts that are learned, seen again, contradicted,
 * and recalled with the most trusted first.
 *
 *     agent_memory            in a server of its own, gone afterwards
 *     agent_memory URL        on that server; run it twice, and it remembers ("embedded:" will do)
 *
 * Each agent has its own facts and its own companion hash of confidence figures. */
#define _XOPEN_SOURCE 700

#include "temporary.h"

#include <popoto.h>

#include <string.h>

typedef struct {
    popoto_object object;
    const char *agent;
    const char *topic;
    const char *content;
    double certainty;
} fact;

static const popoto_field fact_fields[] = {
    POPOTO_KEY(fact, agent),
    POPOTO_KEY(fact, topic),
    POPOTO_FIELD(fact, content),
    POPOTO_CONFIDENCE(fact, certainty, .partition_by = "agent"),
};
static const popoto_model Fact = POPOTO_MODEL("Fact", fact, fact_fields);

/* Evidence for (0.5 to 1) or against (0 to 0.5) what the agent knows about a topic. */
static popoto_status observe(popoto_db *db, const char *topic, double signal) {
    fact known = { .topic = topic };
    popoto_confidence after;
    popoto_status status = popoto_confidence_update(db, &Fact, &known, "certainty", signal, &after);
    if (status == POPOTO_OK)
        printf("  %-12s %-14s %.3f after %lld observations\n",
               signal >= 0.5 ? "corroborated" : "contradicted", topic, after.confidence,
               (long long)after.evidence_count);
    return status;
}

/* A fact that is known already is one more reason to believe it. */
static popoto_status learn(popoto_db *db, const char *topic, const char *content) {
    fact it = { .topic = topic, .content = content };
    popoto_status status = popoto_create(db, &Fact, &it);
    if (status == POPOTO_EXISTS)
        return observe(db, topic, 0.8);
    if (status == POPOTO_OK)
        printf("  %-12s %-14s %s\n", "learned", topic, content);
    return status;
}

typedef struct belief {
    const fact *it;
    popoto_confidence figures;
} belief;

static int by_confidence(const void *a, const void *b) {
    double one = ((const belief *)a)->figures.confidence;
    double other = ((const belief *)b)->figures.confidence;
    return (one < other) - (one > other);
}

/* The `most` facts that the agent trusts most. */
static popoto_status recall(popoto_db *db, const char *agent, size_t most) {
    popoto_query_desc all = { .model = &Fact, .where = { POPOTO_IS("agent", agent) } };
    popoto_rows *rows;
    popoto_status status = popoto_query(db, &all, &rows);
    size_t count = popoto_rows_count(rows);
    belief *beliefs = calloc(count + 1, sizeof *beliefs);
    if (beliefs == NULL && status == POPOTO_OK)
        status = POPOTO_NO_MEMORY;
    for (size_t i = 0; i < count && status == POPOTO_OK; i++) {
        beliefs[i].it = popoto_rows_at(rows, i);
        status =
            popoto_confidence_figures(db, &Fact, beliefs[i].it, "certainty", &beliefs[i].figures);
    }
    if (status == POPOTO_OK) {
        qsort(beliefs, count, sizeof *beliefs, by_confidence);
        printf("%s trusts most:\n", agent);
    }
    for (size_t i = 0; i < count && i < most && status == POPOTO_OK; i++)
        printf("  %.3f  +%lld -%lld  %s\n", beliefs[i].figures.confidence,
               (long long)beliefs[i].figures.corroborations,
               (long long)beliefs[i].figures.contradictions, beliefs[i].it->content);
    free(beliefs);
    popoto_rows_free(rows);
    return status;
}

/* All that happens in here happens in the agent's scope, so nothing has to name the agent. */
static popoto_status work_as(popoto_db *db, const char *agent) {
    static const struct {
        const char *topic;
        double signal;
    } seen[] = {
        { "deploy", 0.9 }, { "deploy", 1.0 }, { "office", 0.2 },
        { "office", 0.1 }, { "editor", 0.7 },
    };
    printf("%s works:\n", agent);
    popoto_status status = popoto_scope_enter(db, "agent", agent);
    if (status != POPOTO_OK)
        return status;
    status = learn(db, "deploy", "Deployments go out on Tuesdays");
    if (status == POPOTO_OK)
        status = learn(db, "office", "The office is closed on Fridays");
    if (status == POPOTO_OK)
        status = learn(db, "editor", "The team indents with four spaces");
    for (size_t i = 0; i < sizeof seen / sizeof seen[0] && status == POPOTO_OK; i++)
        status = observe(db, seen[i].topic, seen[i].signal);
    popoto_scope_leave(db);
    return status;
}

int main(int argument_count, char **arguments) {
    temporary place = { .folder = "" };
    if (argument_count < 2 && !temporary_make(&place, "agent-memory")) {
        perror("agent_memory: no temporary folder");
        return 1;
    }
    popoto_db *db = popoto_open(argument_count < 2 ? place.url : arguments[1], NULL);
    popoto_status status = work_as(db, "atlas");
    if (status == POPOTO_OK)
        status = recall(db, "atlas", 2);
    if (status == POPOTO_OK)
        status = recall(db, "hermes", 2); /* which never worked, and knows nothing */
    if (status != POPOTO_OK)
        fprintf(stderr, "agent_memory: %s: %s\n", popoto_status_name(status), popoto_error(db));
    popoto_close(db);
    temporary_remove(&place);
    return status == POPOTO_OK ? 0 : 1;
}
