/* fill - a database as people have them, for tests/scripts/cli.sh: strict and ordinary models, values of
 * every type, tenants whose names want to be something else.
 *
 *     fill URL              publishes the models, too
 *     fill URL --silent     does not
 *     fill URL --popoto     ordinary models alone, in the dialect of Popoto
 *     fill URL --many N     N tenants more, of a record or some each
 *     fill URL --guide      instead, the few that docs/guide.md shows */
#include <popoto.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static popoto_db *db;

static void must(popoto_status status) {
    if (status == POPOTO_OK)
        return;
    fprintf(stderr, "fill: %s: %s\n", popoto_status_name(status), popoto_error(db));
    exit(1);
}

/* ----- A strict model ------------------------------------------------------------------------- */

typedef struct episode {
    popoto_object object;
    const char *project_id;
    const char *name;
    const char *title;
    double score;
    double certainty;
} episode;

static const popoto_field episode_fields[] = {
    POPOTO_TENANT(episode, project_id),         POPOTO_KEY(episode, name),
    POPOTO_FIELD(episode, title, .null = true), POPOTO_SORTED(episode, score),
    POPOTO_CONFIDENCE(episode, certainty),
};
static const popoto_model Episode = POPOTO_MODEL("Episode", episode, episode_fields);

static const char *const projects[] = {
    "project-a",  "project-b",      "{braces}",    "a b c",
    "stars*?[x]", "\xc3\xa9mile:x", "\x1b[31mred", "-dash",
};
#define PROJECTS (sizeof projects / sizeof projects[0])

static void fill_episodes(void) {
    for (size_t p = 0; p < PROJECTS; p++)
        for (int i = 0; i < 5 + 3 * (int)p; i++) {
            char name[32], title[64];
            snprintf(name, sizeof name, "e%03d", i);
            snprintf(title, sizeof title, "Meeting %d, \"%s\"", i, i % 2 ? "first\nsecond" : "a,b");
            episode one = { .project_id = projects[p],
                            .name = name,
                            .title = i % 4 == 3 ? NULL : title,
                            .score = 0.1 * i };
            must(popoto_create(db, &Episode, &one));
            if (i % 2 == 0)
                must(popoto_confidence_update(db, &Episode, &one, "certainty", 0.9, NULL));
        }
}

/* ----- Ordinary models ------------------------------------------------------------------------ */

typedef struct memory {
    popoto_object object;
    const char *project;
    const char *key;
    const char *content;
    double certainty;
} memory;

static const popoto_field memory_fields[] = {
    POPOTO_KEY(memory, project),
    POPOTO_UNIQUE_KEY(memory, key),
    POPOTO_FIELD(memory, content),
    POPOTO_CONFIDENCE(memory, certainty, .partition_by = "project"),
};
static const popoto_model Memory = POPOTO_MODEL("Memory", memory, memory_fields);

/* As it was before it had partitions: Fact's figures are still in one hash. */
static const popoto_field old_fact_fields[] = {
    POPOTO_KEY(memory, project),
    POPOTO_UNIQUE_KEY(memory, key),
    POPOTO_FIELD(memory, content),
    POPOTO_CONFIDENCE(memory, certainty),
};
static const popoto_model OldFact = POPOTO_MODEL("Fact", memory, old_fact_fields);
static const popoto_model Fact = POPOTO_MODEL("Fact", memory, memory_fields);

static void fill_memories(const popoto_model *model, int count) {
    for (int i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s-%03d", model->name, i);
        memory one = { .project = i % 3 == 0 ? "atlas" : "borealis",
                       .key = key,
                       .content = "The sky is blue, and it has been for a long while now" };
        must(popoto_create(db, model, &one));
        must(popoto_confidence_update(db, model, &one, "certainty", i % 2 ? 1.0 : 0.0, NULL));
    }
}

typedef struct note {
    popoto_object object;
    const char *team;
    int64_t number;
    int64_t rank;
} note;

static const popoto_field note_fields[] = {
    POPOTO_KEY(note, team),
    POPOTO_KEY(note, number),
    POPOTO_SORTED(note, rank, .partition_by = "team"),
};
static const popoto_model Note = POPOTO_MODEL("Note", note, note_fields);

static void fill_notes(void) {
    for (int i = 0; i < 30; i++) {
        note one = { .team = i % 2 ? "red" : "blue", .number = i, .rank = 100 - i };
        must(popoto_create(db, &Note, &one));
    }
}

/* ----- Every type ----------------------------------------------------------------------------- */

typedef struct sample {
    popoto_object object;
    const char *project_id;
    const char *name;
    bool truth;
    int64_t whole;
    double real;
    const double *perhaps;
    popoto_bytes bytes;
    popoto_time moment;
    popoto_day day;
    popoto_clock clock;
    popoto_decimal price;
    popoto_value any;
} sample;

static const popoto_field sample_fields[] = {
    POPOTO_TENANT(sample, project_id), POPOTO_KEY(sample, name),
    POPOTO_FIELD(sample, truth),       POPOTO_SORTED(sample, whole),
    POPOTO_FIELD(sample, real),        POPOTO_FIELD(sample, perhaps, .null = true),
    POPOTO_FIELD(sample, bytes),       POPOTO_SORTED(sample, moment),
    POPOTO_FIELD(sample, day),         POPOTO_FIELD(sample, clock),
    POPOTO_FIELD(sample, price),       POPOTO_FIELD(sample, any, .null = true),
};
static const popoto_model Sample = POPOTO_MODEL("Sample", sample, sample_fields);

static void fill_samples(void) {
    popoto_value inner = POPOTO_LIST(1, "two", 3.5);
    popoto_value tuple = popoto_of_items(POPOTO_TUPLE, inner.as.list.items, 2);
    popoto_value map = popoto_of_items(
        POPOTO_MAP, (popoto_value[]){ popoto_of_text("list"), inner, popoto_of_int(7), tuple }, 4);
    sample one = { .project_id = "project-a",
                   .name = "all",
                   .truth = true,
                   .whole = 9007199254740993 / 2,
                   .real = 0.1 + 0.2,
                   .bytes = { "\0\xff\x1b[1m", 6 },
                   .moment = { 1767323045123456, 7200 },
                   .day = { 2026, 1, 31 },
                   .clock = { 12, 30, 0, 5 },
                   .price = { "12.50" },
                   .any = map };
    must(popoto_create(db, &Sample, &one));
    one = (sample){ .project_id = "project-a",
                    .name = "least",
                    .whole = -1,
                    .real = -1e300,
                    .bytes = { "", 0 },
                    .moment = { 0, POPOTO_NAIVE },
                    .day = { 1, 1, 1 },
                    .price = { "-1E+3" } };
    must(popoto_create(db, &Sample, &one));
}

/* ----- Many tenants --------------------------------------------------------------------------- */

static void fill_many(int count) {
    for (int i = 0; i < count; i++) {
        char project[32];
        snprintf(project, sizeof project, "customer-%05d", i);
        for (int k = 0; k <= i % 4; k++) {
            char name[16];
            snprintf(name, sizeof name, "e%d", k);
            episode one = { .project_id = project, .name = name, .title = "x", .score = k };
            must(popoto_create(db, &Episode, &one));
        }
    }
}

/* ----- The guide ------------------------------------------------------------------------------ */

static void fill_guide(void) {
    static const struct {
        const char *project, *name, *title;
        double score;
    } rows[] = {
        { "atlas", "e001", "First meeting", 0.8 }, { "atlas", "e002", "Second meeting", 0.4 },
        { "atlas", "e003", "A long walk", 0.9 },   { "borealis", "e001", "Northern lights", 0.7 },
        { "borealis", "e002", "Snow", 0.2 },
    };
    const popoto_model *const models[] = { &Episode };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        episode one = { .project_id = rows[i].project,
                        .name = rows[i].name,
                        .title = rows[i].title,
                        .score = rows[i].score };
        must(popoto_create(db, &Episode, &one));
        must(popoto_confidence_update(db, &Episode, &one, "certainty", 0.9, NULL));
    }
    must(popoto_publish(db, models, 1));
}

static void fill_popoto(void) {
    const popoto_model *const models[] = { &Memory, &Note };
    fill_memories(&Memory, 40);
    fill_notes();
    must(popoto_publish(db, models, 2));
}

int main(int count, char **words) {
    const char *how = count > 2 ? words[2] : "";
    bool silent = strcmp(how, "--silent") == 0, shared = strcmp(how, "--popoto") == 0;
    if (count < 2)
        return 2;
    popoto_options options = { .dialect = shared ? POPOTO_AS_POPOTO : POPOTO_DOCUMENTED };
    db = popoto_open(words[1], &options);
    must(popoto_ping(db));
    if (shared) {
        fill_popoto();
    } else if (count > 3 && strcmp(how, "--many") == 0) {
        fill_many(atoi(words[3]));
    } else if (strcmp(how, "--guide") == 0) {
        fill_guide();
    } else {
        fill_episodes();
        fill_memories(&Memory, 40);
        fill_memories(&OldFact, 20);
        fill_notes();
        fill_samples();
        const popoto_model *const models[] = { &Episode, &Fact, &Memory, &Note, &Sample };
        if (!silent)
            must(popoto_publish(db, models, sizeof models / sizeof models[0]));
    }
    popoto_close(db);
    return 0;
}
