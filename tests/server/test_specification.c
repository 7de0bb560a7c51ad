/* The specification, statement by statement and in its order: docs/specification.md quotes each and names
 * its test here. tests/scripts/specification.sh checks that none is left out, on either side. */
#include "confidence_entries.h"
#include "databases.h"
#include "server.h"

#include <popoto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* ----- the models of the page ------------------------------------------------------------------ */

typedef struct episode {
    popoto_object object;
    const char *project_id;
    popoto_id episode_id;
    const char *title;
    double score;
} episode;

/* class Episode(Model), as it comes first */
static const popoto_field episode_fields[] = {
    POPOTO_KEY(episode, project_id),
    POPOTO_AUTO_KEY(episode, episode_id),
    POPOTO_FIELD(episode, title),
    POPOTO_SORTED(episode, score),
};
static const popoto_model Episode = POPOTO_MODEL("Episode", episode, episode_fields);

/* class Episode(Model), with partition_by=('project_id',) */
static const popoto_field partitioned_fields[] = {
    POPOTO_KEY(episode, project_id),
    POPOTO_AUTO_KEY(episode, episode_id),
    POPOTO_FIELD(episode, title),
    POPOTO_SORTED(episode, score, .partition_by = "project_id"),
};
static const popoto_model Partitioned = POPOTO_MODEL("Episode", episode, partitioned_fields);

typedef struct memory {
    popoto_object object;
    const char *project;
    const char *key;
    const char *content;
    double certainty;
} memory;

/* class Memory(Model) */
static const popoto_field memory_fields[] = {
    POPOTO_KEY(memory, project),
    POPOTO_UNIQUE_KEY(memory, key),
    POPOTO_FIELD(memory, content),
    POPOTO_CONFIDENCE(memory, certainty, .initial_confidence = 0.5, .partition_by = "project"),
};
static const popoto_model Memory = POPOTO_MODEL("Memory", memory, memory_fields);

/* the same without partition_by */
static const popoto_field unpartitioned_fields[] = {
    POPOTO_KEY(memory, project),
    POPOTO_UNIQUE_KEY(memory, key),
    POPOTO_FIELD(memory, content),
    POPOTO_CONFIDENCE(memory, certainty, .initial_confidence = 0.5),
};
static const popoto_model Unpartitioned = POPOTO_MODEL("Memory", memory, unpartitioned_fields);

#define OLD    "$ConfidencF:Memory:certainty:data"
#define ATLAS  OLD ":atlas"
#define HERMES OLD ":hermes"

/* ----- helpers -------------------------------------------------------------------------------- */

static void finish(popoto_db *db, server *s) {
    popoto_close(db);
    server_command(s, "CONFIG SET slowlog-log-slower-than 10000");
    server_flush(s);
}

/* Every command from here on is noted, ... */
static void watch(server *s) {
    server_command(s, "CONFIG SET slowlog-log-slower-than 0");
    server_command(s, "SLOWLOG RESET");
}

/* ... and here they are, with their arguments, each on a line. */
static const char *watched(server *s) {
    return server_command(s, "SLOWLOG GET 128");
}

static void assert_sent(server *s, const char *text) {
    if (strstr(watched(s), text) == NULL)
        print_message("not sent: %s\n%s\n", text, watched(s));
    assert_non_null(strstr(watched(s), text));
}

static void assert_not_sent(server *s, const char *text) {
    if (strstr(watched(s), text) != NULL)
        print_message("sent: %s\n%s\n", text, watched(s));
    assert_null(strstr(watched(s), text));
}

static long output_bytes(server *s) {
    const char *found = strstr(server_command(s, "INFO stats"), "total_net_output_bytes:");
    return strtol(found + strlen("total_net_output_bytes:"), NULL, 10);
}

/* The episodes of the page: two of project A, one of project B. */
static void create_episodes(popoto_db *db, const popoto_model *model) {
    OK(popoto_create(
        db, model,
        &(episode){ .project_id = "project-a", .title = "First meeting", .score = 0.8 }));
    OK(popoto_create(db, model,
                     &(episode){ .project_id = "project-a", .title = "Follow-up", .score = 0.6 }));
    OK(popoto_create(db, model,
                     &(episode){ .project_id = "project-b", .title = "Kickoff", .score = 0.9 }));
}

static size_t count_episodes(popoto_db *db, const popoto_model *model, const char *project,
                             double at_least) {
    popoto_rows *rows;
    popoto_query_desc desc = { .model = model, .where = { POPOTO_IS("score__gte", at_least) } };
    if (project != NULL)
        desc.where[1] = (popoto_filter)POPOTO_IS("project_id", project);
    OK(popoto_query(db, &desc, &rows));
    size_t count = popoto_rows_count(rows);
    for (size_t i = 0; i < count; i++) {
        const episode *it = popoto_rows_at(rows, i);
        assert_true(it->score >= at_least);
        if (project != NULL)
            assert_string_equal(project, it->project_id);
    }
    popoto_rows_free(rows);
    return count;
}

static void create_memory(popoto_db *db, const popoto_model *model, const char *project,
                          const char *key) {
    OK(popoto_create(db, model, &(memory){ .project = project, .key = key, .content = "text" }));
}

/* `count` memories of a project with the given model. */
static void create_memories(popoto_db *db, const popoto_model *model, const char *project,
                            int count) {
    for (int i = 0; i < count; i++) {
        char key[40];
        snprintf(key, sizeof(key), "%s-%d", project, i);
        create_memory(db, model, project, key);
    }
}

static size_t scanned(popoto_db *db, const popoto_model *model, const char *project,
                      const char *pattern, seen *to) {
    OK(scan(db, model, project, pattern, to));
    return to->count;
}

/* ----- Multi-Tenancy and Namespace Isolation --------------------------------------------------- */

static void test_models_isolate_data_by_tenant_project_or_environment(void **state) {
    popoto_db *db = opened(*state);
    static const char *const names[] = { "acme", "project-a", "staging" };
    for (size_t i = 0; i < 3; i++)
        OK(popoto_create(db, &Episode,
                         &(episode){ .project_id = names[i], .title = names[i], .score = 1 }));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(1, count_episodes(db, &Episode, names[i], 0));
    finish(db, *state);
}

static void test_episodes_of_projects_live_separately_using_the_same_model_class(void **state) {
    popoto_db *db = opened(*state);
    create_episodes(db, &Episode);
    assert_int_equal(2, count_episodes(db, &Episode, "project-a", 0));
    assert_int_equal(1, count_episodes(db, &Episode, "project-b", 0));
    assert_int_equal(0, count_episodes(db, &Episode, "project-c", 0));
    finish(db, *state);
}

static void test_isolation_comes_from_key_structure(void **state) {
    popoto_db *db = opened(*state);
    episode a = { .project_id = "project-a", .episode_id = { "abc123" }, .title = "A", .score = 1 };
    episode b = { .project_id = "project-b", .episode_id = { "abc123" }, .title = "B", .score = 1 };
    OK(popoto_create(db, &Episode, &a));
    OK(popoto_create(db, &Episode, &b));
    assert_string_equal("\\xa1A", server_command(*state, "HGET Episode:project-a:abc123 title"));
    assert_string_equal("\\xa1B", server_command(*state, "HGET Episode:project-b:abc123 title"));
    /* No schema and no table: the two records, their indexes, and nothing else. */
    assert_string_equal("6", server_command(*state, "DBSIZE"));
    finish(db, *state);
}

static void test_keyfield_already_provides_this_naturally(void **state) {
    popoto_db *db = opened(*state);
    episode a = { .project_id = "project-a" }, b = { .project_id = "project-b" };
    strcpy(a.episode_id.text, "same");
    strcpy(b.episode_id.text, "same");
    popoto_text one, other;
    OK(popoto_key(db, &Episode, &a, &one));
    OK(popoto_key(db, &Episode, &b, &other));
    assert_string_equal("Episode:project-a:same", one.data);
    assert_string_equal("Episode:project-b:same", other.data);
    popoto_free(db, one.data);
    popoto_free(db, other.data);
    finish(db, *state);
}

/* ----- The Pattern: Use a KeyField ------------------------------------------------------------- */

static void test_add_a_keyfield_for_your_namespace(void **state) {
    popoto_db *db = opened(*state);
    OK(popoto_model_check(db, &Episode));
    assert_int_equal(POPOTO_KIND_KEY, episode_fields[0].kind);
    /* Nobody can forget it: there is no record without it. */
    FAILS(POPOTO_BAD_VALUE, popoto_create(db, &Episode, &(episode){ .title = "Nobody's" }));
    assert_string_equal("", server_dump(*state));
    finish(db, *state);
}

static void test_all_keys_and_indexes_partition_by_keyfield_values(void **state) {
    popoto_db *db = opened(*state);
    create_episodes(db, &Partitioned);
    char *dump = strdup(server_dump(*state));
    const char *key = "";
    for (char *line = strtok(dump, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (line[0] != ' ')
            key = line;
        else if (strncmp(key, "$Class:", 7) == 0)
            continue; /* all instances: see below */
        /* Whatever stands under a key with one project's name is that project's. */
        assert_true(strstr(key, "project-a") != NULL || strstr(key, "project-b") != NULL ||
                    strncmp(key, "$Class:", 7) == 0);
        if (line[0] == ' ' && strstr(key, "project-a") != NULL)
            assert_null(strstr(line, "project-b"));
        if (line[0] == ' ' && strstr(key, "project-b") != NULL)
            assert_null(strstr(line, "project-a"));
    }
    free(dump);
    finish(db, *state);
}

static void test_class_episode(void **state) {
    popoto_db *db = opened(*state);
    OK(popoto_model_check(db, &Episode));
    episode e = { .project_id = "project-a", .title = "First meeting", .score = 0.8 };
    OK(popoto_create(db, &Episode, &e));
    assert_int_equal(32, strlen(e.episode_id.text)); /* AutoKeyField */
    popoto_rows *rows;
    OK(popoto_load(db, &Episode, &e, &rows));
    const episode *it = popoto_rows_at(rows, 0);
    assert_string_equal("project-a", it->project_id);
    assert_string_equal(e.episode_id.text, it->episode_id.text);
    assert_string_equal("First meeting", it->title);
    assert_true(it->score == 0.8);
    popoto_rows_free(rows);
    finish(db, *state);
}

static void test_instances_are_stored_at_keys_like_episode_project_a_abc123(void **state) {
    popoto_db *db = opened(*state);
    episode e = { .project_id = "project-a", .episode_id = { "abc123" }, .title = "t", .score = 1 };
    OK(popoto_create(db, &Episode, &e));
    assert_string_equal("hash", server_command(*state, "TYPE Episode:project-a:abc123"));
    finish(db, *state);
}

static void test_sorted_indexes_partition_by_project_id(void **state) {
    popoto_db *db = opened(*state);
    create_episodes(db, &Partitioned);
    assert_string_equal("2", server_command(*state, "ZCARD $SortedF:Episode:score:project-a"));
    assert_string_equal("1", server_command(*state, "ZCARD $SortedF:Episode:score:project-b"));
    assert_string_equal("0", server_command(*state, "EXISTS $SortedF:Episode:score"));
    finish(db, *state);
}

static void test_create_episodes_of_project_a(void **state) {
    popoto_db *db = opened(*state);
    OK(popoto_create(
        db, &Episode,
        &(episode){ .project_id = "project-a", .title = "First meeting", .score = 0.8 }));
    OK(popoto_create(db, &Episode,
                     &(episode){ .project_id = "project-a", .title = "Follow-up", .score = 0.6 }));
    assert_string_equal("2", server_command(*state, "SCARD $KeyF:Episode:project_id:project-a"));
    finish(db, *state);
}

static void test_episodes_of_project_b_are_completely_isolated(void **state) {
    popoto_db *db = opened(*state);
    create_episodes(db, &Partitioned);
    OK(popoto_scope_enter(db, "project_id", "project-b"));
    popoto_rows *rows;
    OK(popoto_query(db, &(popoto_query_desc){ .model = &Partitioned, .allow_scan = true }, &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    assert_string_equal("Kickoff", ((episode *)popoto_rows_at(rows, 0))->title);
    popoto_rows_free(rows);
    FAILS(POPOTO_BAD_SCOPE,
          popoto_query(db,
                       &(popoto_query_desc){ .model = &Partitioned,
                                             .where = { POPOTO_IS("project_id", "project-a") } },
                       &rows));
    OK(popoto_scope_leave(db));
    finish(db, *state);
}

static void test_query_only_returns_project_a_s_episodes(void **state) {
    popoto_db *db = opened(*state);
    popoto_rows *rows;
    create_episodes(db, &Episode);
    OK(popoto_query(db,
                    &(popoto_query_desc){ .model = &Episode,
                                          .where = { POPOTO_IS("project_id", "project-a"),
                                                     POPOTO_IS("score__gte", 0.5) } },
                    &rows));
    assert_int_equal(2, popoto_rows_count(rows)); /* print(len(results)) # => 2 */
    for (size_t i = 0; i < 2; i++)
        assert_string_equal("project-a", ((episode *)popoto_rows_at(rows, i))->project_id);
    popoto_rows_free(rows);
    finish(db, *state);
}

/* ----- What gets isolated ---------------------------------------------------------------------- */

static void test_these_structures_are_all_scoped_per_project(void **state) {
    popoto_db *db = opened(*state);
    episode e = { .project_id = "project-a", .episode_id = { "abc123" }, .title = "t", .score = 1 };
    OK(popoto_create(db, &Partitioned, &e));
    char *before = strdup(server_dump(*state));
    episode other = { .project_id = "project-b", .episode_id = { "x" }, .title = "t", .score = 1 };
    OK(popoto_create(db, &Partitioned, &other));
    OK(popoto_delete(db, &Partitioned, &other));
    assert_string_equal(before,
                        server_dump(*state)); /* B came and went: A has not changed a byte */
    free(before);
    finish(db, *state);
}

static void test_instance_keys_episode_project_a_abc123(void **state) {
    popoto_db *db = opened(*state);
    episode e = { .project_id = "project-a", .episode_id = { "abc123" }, .title = "t", .score = 1 };
    popoto_text key;
    OK(popoto_key(db, &Episode, &e, &key));
    assert_string_equal("Episode:project-a:abc123", key.data);
    popoto_free(db, key.data);
    OK(popoto_create(db, &Episode, &e));
    assert_string_equal("1", server_command(*state, "EXISTS Episode:project-a:abc123"));
    finish(db, *state);
}

static void test_sorted_indexes_sortedf_episode_score_project_a(void **state) {
    popoto_db *db = opened(*state);
    episode e = {
        .project_id = "project-a", .episode_id = { "abc123" }, .title = "t", .score = 0.5
    };
    OK(popoto_create(db, &Partitioned, &e));
    assert_string_equal("0.5", server_command(*state, "ZSCORE $SortedF:Episode:score:project-a "
                                                      "Episode:project-a:abc123"));
    finish(db, *state);
}

static void test_keyfield_index_sets_keyf_episode_project_id_project_a(void **state) {
    popoto_db *db = opened(*state);
    episode e = {
        .project_id = "project-a", .episode_id = { "abc123" }, .title = "t", .score = 0.5
    };
    OK(popoto_create(db, &Episode, &e));
    assert_string_equal("Episode:project-a:abc123",
                        server_command(*state, "SMEMBERS $KeyF:Episode:project_id:project-a"));
    finish(db, *state);
}

static void test_class_set_contains_all_instances_across_projects(void **state) {
    popoto_db *db = opened(*state);
    create_episodes(db, &Episode);
    assert_string_equal("3", server_command(*state, "SCARD $Class:Episode"));
    finish(db, *state);
}

static void test_queries_on_project_id_use_the_keyfield_index_rather_than_scanning(void **state) {
    popoto_db *db = opened(*state);
    popoto_rows *rows;
    create_episodes(db, &Episode);
    watch(*state);
    OK(popoto_query(db,
                    &(popoto_query_desc){ .model = &Episode,
                                          .where = { POPOTO_IS("project_id", "project-a") } },
                    &rows));
    assert_int_equal(2, popoto_rows_count(rows));
    popoto_rows_free(rows);
    assert_sent(*state, "SMEMBERS\n$KeyF:Episode:project_id:project-a");
    assert_not_sent(*state, "SCAN");
    assert_not_sent(*state, "KEYS");
    assert_not_sent(*state, "$Class");
    assert_not_sent(*state, "project-b");
    finish(db, *state);
}

/* ----- Combine with partition_by for sorted queries -------------------------------------------- */

static void test_use_partition_by_to_scope_the_sorted_index(void **state) {
    popoto_db *db = opened(*state);
    popoto_rows *rows;
    create_episodes(db, &Partitioned);
    assert_int_equal(2, count_episodes(db, &Partitioned, "project-a", 0.5));
    /* Who always queries within a project cannot forget it. */
    FAILS(POPOTO_BAD_QUERY,
          popoto_query(db,
                       &(popoto_query_desc){ .model = &Partitioned,
                                             .where = { POPOTO_IS("score__gte", 0.5) } },
                       &rows));
    assert_null(rows);
    assert_non_null(strstr(popoto_error(db), "project_id"));
    finish(db, *state);
}

static void test_score_range_queries_are_fast_and_isolated_per_project(void **state) {
    popoto_db *db = opened(*state);
    create_episodes(db, &Partitioned);
    assert_int_equal(2, count_episodes(db, &Partitioned, "project-a", 0));
    long start = output_bytes(*state);
    assert_int_equal(1, count_episodes(db, &Partitioned, "project-a", 0.7));
    long alone = output_bytes(*state) - start;
    for (int i = 0; i < 500; i++)
        OK(popoto_create(db, &Partitioned,
                         &(episode){ .project_id = "project-b", .title = "t", .score = 0.9 }));
    start = output_bytes(*state);
    assert_int_equal(1, count_episodes(db, &Partitioned, "project-a", 0.7));
    long together = output_bytes(*state) - start;
    assert_true(together < alone + 200);
    finish(db, *state);
}

static void test_uses_the_partition_scoped_sorted_set(void **state) {
    popoto_db *db = opened(*state);
    create_episodes(db, &Partitioned);
    watch(*state);
    assert_int_equal(1, count_episodes(db, &Partitioned, "project-a", 0.7));
    assert_sent(*state, "$SortedF:Episode:score:project-a");
    assert_not_sent(*state, "project-b");
    assert_not_sent(*state, "$Class");
    assert_not_sent(*state, "SCAN");
    finish(db, *state);
}

static void test_without_partition_by_range_queries_work_across_all_projects(void **state) {
    popoto_db *db = opened(*state);
    create_episodes(db, &Episode);
    assert_int_equal(2, count_episodes(db, &Episode, NULL, 0.7));
    assert_int_equal(3, count_episodes(db, &Episode, NULL, 0.5));
    assert_string_equal("3", server_command(*state, "ZCARD $SortedF:Episode:score"));
    finish(db, *state);
}

static void test_with_partition_by_each_project_gets_its_own_sorted_set(void **state) {
    popoto_db *db = opened(*state);
    create_episodes(db, &Partitioned);
    assert_string_equal("2", server_command(*state, "ZCARD $SortedF:Episode:score:project-a"));
    assert_string_equal("1", server_command(*state, "ZCARD $SortedF:Episode:score:project-b"));
    assert_int_equal(2, count_episodes(db, &Partitioned, "project-a", 0.5));
    assert_int_equal(1, count_episodes(db, &Partitioned, "project-b", 0.5));
    finish(db, *state);
}

/* ----- Passing the namespace through your application ------------------------------------------- */

static void test_you_pass_project_id_to_every_create_filter_and_load(void **state) {
    popoto_db *db = opened(*state);
    popoto_rows *rows;
    episode e = { .project_id = "project-a", .title = "t", .score = 0.75 };
    OK(popoto_create(db, &Partitioned, &e));
    assert_int_equal(1, count_episodes(db, &Partitioned, "project-a", 0.5));
    OK(popoto_load(db, &Partitioned, &e, &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    popoto_rows_free(rows);
    e.project_id = NULL;
    FAILS(POPOTO_BAD_VALUE, popoto_create(db, &Partitioned, &e));
    FAILS(POPOTO_BAD_VALUE,
          popoto_load(db, &Partitioned, &(episode){ .episode_id = e.episode_id }, &rows));
    FAILS(POPOTO_BAD_QUERY,
          popoto_query(db,
                       &(popoto_query_desc){ .model = &Partitioned,
                                             .where = { POPOTO_IS("score__gte", 0.5) } },
                       &rows));
    finish(db, *state);
}

/* The helper of the page is popoto_scope_enter and popoto_scope_leave. */
static void *count_on_another_thread(void *context) {
    popoto_db *db = context;
    popoto_rows *rows = NULL;
    popoto_status status = popoto_query(
        db,
        &(popoto_query_desc){ .model = &Partitioned, .where = { POPOTO_IS("score__gte", 0.5) } },
        &rows);
    popoto_rows_free(rows);
    return status == POPOTO_BAD_QUERY ? context : NULL;
}

static void test_a_helper_that_reads_the_current_context(void **state) {
    popoto_db *db = opened(*state);
    pthread_t thread;
    void *same;
    create_episodes(db, &Partitioned);
    OK(popoto_scope_enter(db, "project_id", "project-a")); /* once per request */
    assert_int_equal(2, count_episodes(db, &Partitioned, NULL, 0.5));
    /* Like a ContextVar, it is of its own thread of work. */
    assert_int_equal(0, pthread_create(&thread, NULL, count_on_another_thread, db));
    pthread_join(thread, &same);
    assert_ptr_equal(db, same);
    OK(popoto_scope_enter(db, "project_id", "project-b"));
    assert_int_equal(1, count_episodes(db, &Partitioned, NULL, 0.5));
    OK(popoto_scope_leave(db));
    assert_int_equal(2, count_episodes(db, &Partitioned, NULL, 0.5));
    OK(popoto_scope_leave(db));
    FAILS(POPOTO_BAD_ARGUMENT, popoto_scope_leave(db));
    finish(db, *state);
}

static void test_then_use_it_in_your_application_code(void **state) {
    popoto_db *db = opened(*state);
    popoto_rows *rows;
    create_episodes(db, &Partitioned);
    OK(popoto_scope_enter(db, "project_id", "project-a"));
    OK(popoto_query(
        db,
        &(popoto_query_desc){ .model = &Partitioned, .where = { POPOTO_IS("score__gte", 0.5) } },
        &rows));
    assert_int_equal(2, popoto_rows_count(rows));
    popoto_rows_free(rows);
    OK(popoto_create(db, &Partitioned, &(episode){ .title = "New episode", .score = 0.75 }));
    OK(popoto_scope_leave(db));
    assert_int_equal(3, count_episodes(db, &Partitioned, "project-a", 0.5));
    assert_int_equal(1, count_episodes(db, &Partitioned, "project-b", 0.5));
    finish(db, *state);
}

static void test_the_namespace_stays_explicit_at_the_model_level(void **state) {
    popoto_db *db = opened(*state);
    episode e = { .title = "New episode", .score = 0.75, .episode_id = { "abc123" } };
    OK(popoto_scope_enter(db, "project_id", "project-a"));
    OK(popoto_create(db, &Episode, &e));
    OK(popoto_scope_leave(db));
    assert_string_equal("\\xa9project-a",
                        server_command(*state, "HGET Episode:project-a:abc123 project_id"));
    finish(db, *state);
}

/* ----- Hash-based field partitioning (ConfidenceField) ------------------------------------------ */

static void test_sortedfield_partitions_sorted_set_indexes(void **state) {
    popoto_db *db = opened(*state);
    create_episodes(db, &Partitioned);
    assert_string_equal("zset", server_command(*state, "TYPE $SortedF:Episode:score:project-a"));
    finish(db, *state);
}

static void test_confidencefield_partitions_its_companion_hash(void **state) {
    popoto_db *db = opened(*state);
    popoto_confidence is;
    memory m = { .project = "atlas", .key = "fact1", .content = "The sky is blue" };
    OK(popoto_create(db, &Memory, &m));
    assert_string_equal("hash", server_command(*state, "TYPE " ATLAS));
    static const char names[] =
        "local names = {} for k in pairs(cmsgpack.unpack(redis.call('HGET', "
        "KEYS[1], ARGV[1]))) do names[#names + 1] = k end table.sort(names) "
        "return table.concat(names, ' ')";
    assert_string_equal("confidence contradictions corroborations evidence_count",
                        server_command(*state, "EVAL %s 1 " ATLAS " Memory:atlas:fact1", names));
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, &is));
    assert_true(is.confidence == 0.7);
    assert_int_equal(1, is.evidence_count);
    assert_int_equal(1, is.corroborations);
    assert_int_equal(0, is.contradictions);
    finish(db, *state);
}

static void test_without_partitioning_one_hash_contains_every_member(void **state) {
    popoto_db *db = opened(*state);
    create_memories(db, &Unpartitioned, "atlas", 3);
    create_memories(db, &Unpartitioned, "hermes", 2);
    assert_string_equal("5", server_command(*state, "HLEN " OLD));
    /* We need no HGETALL even so. */
    double confidence;
    seen all = { 0 };
    watch(*state);
    OK(popoto_confidence_get(db, &Unpartitioned, &(memory){ .project = "atlas", .key = "atlas-0" },
                             "certainty", &confidence));
    assert_int_equal(5, scanned(db, &Unpartitioned, NULL, NULL, &all));
    assert_sent(*state, "HGET\n" OLD "\nMemory:atlas:atlas-0");
    assert_not_sent(*state, "HGETALL");
    finish(db, *state);
}

static void test_with_partition_by_reads_cost_the_partition_size(void **state) {
    popoto_db *db = opened(*state);
    seen warm = { 0 }, few = { .only = BYTES("Memory:atlas:") },
         same = { .only = BYTES("Memory:atlas:") };
    create_memories(db, &Memory, "atlas", 20);
    assert_int_equal(20, scanned(db, &Memory, "atlas", NULL, &warm));
    long start = output_bytes(*state);
    assert_int_equal(20, scanned(db, &Memory, "atlas", NULL, &few));
    long alone = output_bytes(*state) - start;
    create_memories(db, &Memory, "hermes", 1000);
    watch(*state);
    start = output_bytes(*state);
    assert_int_equal(20, scanned(db, &Memory, "atlas", NULL, &same));
    long together = output_bytes(*state) - start;
    assert_true(together < alone + 200);
    assert_sent(*state, ATLAS);
    assert_not_sent(*state, "hermes");
    finish(db, *state);
}

static void test_class_memory(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "fact1", .content = "The sky is blue" };
    double confidence;
    OK(popoto_model_check(db, &Memory));
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_confidence_get(db, &Memory, &m, "certainty", &confidence));
    assert_true(confidence == 0.5); /* initial_confidence */
    FAILS(POPOTO_DUPLICATE, popoto_create(db, &Memory,
                                          &(memory){ .project = "hermes",
                                                     .key = "fact1", /* UniqueKeyField */
                                                     .content = "" }));
    finish(db, *state);
}

static void test_this_creates_per_project_companion_hashes(void **state) {
    popoto_db *db = opened(*state);
    create_memories(db, &Memory, "atlas", 2);
    create_memories(db, &Memory, "hermes", 1);
    assert_string_equal("2",
                        server_command(*state, "HLEN $ConfidencF:Memory:certainty:data:atlas"));
    assert_string_equal("1",
                        server_command(*state, "HLEN $ConfidencF:Memory:certainty:data:hermes"));
    assert_string_equal("0", server_command(*state, "EXISTS $ConfidencF:Memory:certainty:data"));
    finish(db, *state);
}

static void test_data_has_all_members_and_data_atlas_project_atlas_only(void **state) {
    popoto_db *db = opened(*state);
    create_memory(db, &Unpartitioned, "atlas", "a");
    create_memory(db, &Unpartitioned, "hermes", "b");
    assert_string_equal("2", server_command(*state, "HLEN $ConfidencF:Memory:certainty:data"));
    create_memory(db, &Memory, "atlas", "c");
    create_memory(db, &Memory, "hermes", "d");
    assert_string_equal("Memory:atlas:c", server_command(*state, "HKEYS " ATLAS));
    finish(db, *state);
}

static void test_data_hermes_project_hermes_only(void **state) {
    popoto_db *db = opened(*state);
    create_memory(db, &Memory, "atlas", "c");
    create_memory(db, &Memory, "hermes", "d");
    assert_string_equal("Memory:hermes:d", server_command(*state, "HKEYS " HERMES));
    finish(db, *state);
}

/* One program for both models: not a word differs. */
static void use(popoto_db *db, const popoto_model *model, double *confidence) {
    memory m = { .project = "atlas", .key = "fact1", .content = "The sky is blue" };
    OK(popoto_create(db, model, &m));
    OK(popoto_confidence_update(db, model, &m, "certainty", 0.9, NULL));
    OK(popoto_confidence_get(db, model, &m, "certainty", confidence));
}

static void test_usage_is_identical_to_unpartitioned_confidencefield(void **state) {
    popoto_db *db = opened(*state);
    double with, without;
    use(db, &Unpartitioned, &without);
    assert_string_equal("1", server_command(*state, "HLEN " OLD));
    server_flush(*state);
    use(db, &Memory, &with);
    assert_string_equal("1", server_command(*state, "HLEN " ATLAS));
    assert_true(with == without);
    finish(db, *state);
}

static void test_writes_to_the_atlas_partition_hash_automatically(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "fact1", .content = "The sky is blue" };
    OK(popoto_create(db, &Memory, &m));
    char *before = strdup(server_command(*state, "HGET " ATLAS " Memory:atlas:fact1"));
    watch(*state);
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, NULL));
    assert_sent(*state, ATLAS);
    assert_string_not_equal(before, server_command(*state, "HGET " ATLAS " Memory:atlas:fact1"));
    assert_string_equal("0", server_command(*state, "EXISTS " OLD));
    free(before);
    finish(db, *state);
}

static void test_reads_from_the_atlas_partition_hash_automatically(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "fact1", .content = "The sky is blue" };
    double confidence;
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, NULL));
    watch(*state);
    OK(popoto_confidence_get(db, &Memory, &m, "certainty", &confidence));
    assert_true(confidence == 0.7);
    assert_sent(*state, "HGET\n" ATLAS "\nMemory:atlas:fact1");
    finish(db, *state);
}

/* ----- Partition key changes -------------------------------------------------------------------- */

static void test_a_changed_partition_key_moves_the_entry_to_the_new_hash(void **state) {
    popoto_db *db = opened(*state);
    popoto_confidence is;
    memory m = { .project = "atlas", .key = "fact1", .content = "The sky is blue" };
    OK(popoto_create(db, &Memory, &m));
    OK(popoto_confidence_update(db, &Memory, &m, "certainty", 0.9, NULL));
    m.project = "hermes";
    OK(popoto_save(db, &Memory, &m));
    assert_string_equal("0", server_command(*state, "EXISTS " ATLAS));
    assert_string_equal("Memory:hermes:fact1", server_command(*state, "HKEYS " HERMES));
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_true(is.confidence == 0.7);
    assert_int_equal(1, is.evidence_count);
    finish(db, *state);
}

static void test_no_manual_intervention_is_needed(void **state) {
    popoto_db *db = opened(*state);
    memory m = { .project = "atlas", .key = "fact1", .content = "The sky is blue" };
    OK(popoto_create(db, &Memory, &m));
    for (int i = 0; i < 10; i++) {
        m.project = i % 2 ? "atlas" : "hermes";
        OK(popoto_save(db, &Memory, &m)); /* and nothing else */
        OK(popoto_confidence_update(db, &Memory, &m, "certainty", 1, NULL));
        assert_null(strstr(server_dump(*state), i % 2 ? "hermes" : "atlas"));
    }
    popoto_confidence is;
    OK(popoto_confidence_figures(db, &Memory, &m, "certainty", &is));
    assert_int_equal(10, is.evidence_count);
    OK(popoto_delete(db, &Memory, &m));
    assert_string_equal("", server_dump(*state));
    finish(db, *state);
}

/* ----- Migrating existing data ------------------------------------------------------------------- */

static void test_add_partition_by_to_an_existing_confidencefield(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    memory m = { .project = "atlas", .key = "atlas-0" };
    double before, after;
    create_memories(db, &Unpartitioned, "atlas", 3);
    OK(popoto_confidence_update(db, &Unpartitioned, &m, "certainty", 0.9, NULL));
    OK(popoto_confidence_get(db, &Unpartitioned, &m, "certainty", &before));
    OK(popoto_confidence_migrate(db, &Memory, "certainty", NULL, &report));
    popoto_migration_report_free(report);
    OK(popoto_confidence_get(db, &Memory, &m, "certainty", &after));
    assert_true(before == 0.7 && after == before);
    finish(db, *state);
}

static void create_1200(popoto_db *db) {
    static memory objects[1200];
    static char keys[1200][16];
    static void *pointers[1200];
    for (int i = 0; i < 1200; i++) {
        snprintf(keys[i], sizeof(keys[i]), "fact%d", i);
        objects[i] =
            (memory){ .project = i < 800 ? "atlas" : "hermes", .key = keys[i], .content = "" };
        pointers[i] = &objects[i];
    }
    OK(popoto_create_many(db, &Unpartitioned, pointers, 1200, NULL));
}

static void test_preview_what_would_happen(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    create_1200(db);
    char *before = strdup(server_dump(*state));
    OK(popoto_confidence_migrate(db, &Memory, "certainty",
                                 &(popoto_migration_desc){ .dry_run = true }, &report));
    assert_int_equal(1200, report->total);
    assert_int_equal(0, report->migrated);
    assert_int_equal(0, report->error_count);
    assert_int_equal(2, report->partition_count);
    assert_string_equal("atlas", report->partitions[0].name.data);
    assert_int_equal(800, report->partitions[0].count);
    assert_string_equal("hermes", report->partitions[1].name.data);
    assert_int_equal(400, report->partitions[1].count);
    popoto_migration_report_free(report);
    assert_string_equal(before, server_dump(*state));
    free(before);
    finish(db, *state);
}

static void test_run_the_actual_migration(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    create_1200(db);
    OK(popoto_confidence_migrate(db, &Memory, "certainty", NULL, &report));
    assert_int_equal(1200, report->total);
    assert_int_equal(1200, report->migrated);
    assert_int_equal(0, report->error_count);
    popoto_migration_report_free(report);
    assert_string_equal("800", server_command(*state, "HLEN " ATLAS));
    assert_string_equal("400", server_command(*state, "HLEN " HERMES));
    finish(db, *state);
}

static void test_the_migration_places_each_entry_by_its_instance(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    create_memory(db, &Unpartitioned, "atlas", "a");
    create_memory(db, &Unpartitioned, "hermes", "b");
    server_command(*state, "HSET " OLD " Memory:atlas:gone %b", "\x80", (size_t)1);
    char *entry = strdup(server_command(*state, "HGET " OLD " Memory:hermes:b"));
    OK(popoto_confidence_migrate(db, &Memory, "certainty", NULL, &report));
    assert_string_equal("Memory:atlas:a", server_command(*state, "HKEYS " ATLAS));
    assert_string_equal(entry, server_command(*state, "HGET " HERMES " Memory:hermes:b"));
    free(entry);
    /* There is no instance to load: listed, and left where it was. */
    assert_int_equal(1, report->error_count);
    assert_string_equal("Memory:atlas:gone", report->errors[0].member.data);
    assert_string_equal("Memory:atlas:gone", server_command(*state, "HKEYS " OLD));
    popoto_migration_report_free(report);
    finish(db, *state);
}

static void test_the_old_unpartitioned_hash_is_deleted(void **state) {
    popoto_db *db = opened(*state);
    popoto_migration_report *report;
    create_memories(db, &Unpartitioned, "atlas", 3);
    assert_string_equal("1", server_command(*state, "EXISTS " OLD));
    OK(popoto_confidence_migrate(db, &Memory, "certainty", NULL, &report));
    popoto_migration_report_free(report);
    assert_string_equal("0", server_command(*state, "EXISTS " OLD));
    finish(db, *state);
}

/* ----- Verifying tenant isolation ----------------------------------------------------------------- */

static popoto_text key_of(popoto_db *db, const char *project) {
    popoto_text key;
    popoto_filter values[] = { POPOTO_IS("project", project) };
    OK(popoto_confidence_key_from_values(db, &Memory, "certainty", values, 1, &key));
    return key;
}

static void test_companion_key_methods_confirm_separate_redis_keys(void **state) {
    popoto_db *db = opened(*state);
    create_memories(db, &Memory, "atlas", 2);
    create_memories(db, &Memory, "hermes", 3);
    popoto_text atlas = key_of(db, "atlas"), hermes = key_of(db, "hermes");
    assert_string_equal("2", server_command(*state, "HLEN %b", atlas.data, atlas.size));
    assert_string_equal("3", server_command(*state, "HLEN %b", hermes.data, hermes.size));
    popoto_free(db, atlas.data);
    popoto_free(db, hermes.data);
    finish(db, *state);
}

static void test_useful_for_auditing_monitoring_and_integration_tests(void **state) {
    popoto_db *db = opened(*state);
    seen all = { 0 };
    create_memories(db, &Memory, "atlas", 2);
    create_memories(db, &Memory, "hermes", 3);
    /* An audit: no member of a tenant's hash is another's. */
    all.only = (popoto_text)BYTES("Memory:atlas:");
    assert_int_equal(2, scanned(db, &Memory, "atlas", NULL, &all));
    all = (seen){ .only = BYTES("Memory:hermes:") };
    assert_int_equal(3, scanned(db, &Memory, "hermes", NULL, &all));
    /* No name can imitate another tenant's key. */
    popoto_text one = key_of(db, "atlas:x"), other = key_of(db, "atlas"),
                odd = key_of(db, "atlas{&#58;}x");
    assert_string_not_equal(one.data, other.data);
    assert_string_not_equal(one.data, odd.data);
    popoto_free(db, one.data);
    popoto_free(db, other.data);
    popoto_free(db, odd.data);
    finish(db, *state);
}

static void test_build_keys_for_each_tenant_without_loading_instances(void **state) {
    popoto_db *db = opened(*state);
    OK(popoto_ping(db));
    watch(*state);
    popoto_text atlas = key_of(db, "atlas"), hermes = key_of(db, "hermes");
    popoto_free(db, atlas.data);
    popoto_free(db, hermes.data);
    assert_not_sent(*state, "atlas");
    assert_not_sent(*state, "HGET");
    assert_not_sent(*state, "HMGET");
    finish(db, *state);
}

static void test_print_atlas_key_and_hermes_key(void **state) {
    popoto_db *db = opened(*state);
    popoto_text atlas = key_of(db, "atlas"), hermes = key_of(db, "hermes");
    assert_string_equal("$ConfidencF:Memory:certainty:data:atlas", atlas.data);
    assert_string_equal("$ConfidencF:Memory:certainty:data:hermes", hermes.data);
    popoto_free(db, atlas.data);
    popoto_free(db, hermes.data);
    finish(db, *state);
}

static void test_assert_atlas_key_is_not_hermes_key(void **state) {
    popoto_db *db = opened(*state);
    popoto_text atlas = key_of(db, "atlas"), hermes = key_of(db, "hermes");
    assert_string_not_equal(atlas.data, hermes.data);
    popoto_free(db, atlas.data);
    popoto_free(db, hermes.data);
    finish(db, *state);
}

static void test_verify_isolation_for_instance_based_keys(void **state) {
    popoto_db *db = opened(*state);
    popoto_rows *a, *b;
    popoto_text key_a, key_b;
    create_memory(db, &Memory, "atlas", "fact1");
    create_memory(db, &Memory, "hermes", "fact2");
    OK(popoto_get(db,
                  &(popoto_query_desc){
                      .model = &Memory,
                      .where = { POPOTO_IS("project", "atlas"), POPOTO_IS("key", "fact1") } },
                  &a));
    OK(popoto_get(db,
                  &(popoto_query_desc){
                      .model = &Memory,
                      .where = { POPOTO_IS("project", "hermes"), POPOTO_IS("key", "fact2") } },
                  &b));
    OK(popoto_confidence_key(db, &Memory, popoto_rows_at(a, 0), "certainty", &key_a));
    OK(popoto_confidence_key(db, &Memory, popoto_rows_at(b, 0), "certainty", &key_b));
    assert_string_equal(ATLAS, key_a.data);
    assert_string_equal(HERMES, key_b.data);
    popoto_free(db, key_a.data);
    popoto_free(db, key_b.data);
    popoto_rows_free(a);
    popoto_rows_free(b);
    finish(db, *state);
}

/* ----- Filtered reads without partitioning --------------------------------------------------------- */

static void test_an_hscan_based_alternative_that_avoids_loading_all_entries(void **state) {
    popoto_db *db = opened(*state);
    seen all = { .only = BYTES("Memory:atlas:") };
    create_memories(db, &Unpartitioned, "atlas", 3);
    create_memories(db, &Unpartitioned, "hermes", 1500);
    watch(*state);
    long start = output_bytes(*state);
    assert_int_equal(3, scanned(db, &Unpartitioned, NULL, "Memory:atlas:*", &all));
    assert_true(output_bytes(*state) - start < 20000); /* the whole hash is over 150,000 */
    assert_sent(*state, "HSCAN");
    assert_not_sent(*state, "HGETALL");
    finish(db, *state);
}

static void test_match_members_by_redis_key_pattern(void **state) {
    popoto_db *db = opened(*state);
    seen atlas = { .only = BYTES("Memory:atlas:") }, one = { 0 }, none = { 0 };
    create_memories(db, &Unpartitioned, "atlas", 3);
    create_memories(db, &Unpartitioned, "hermes", 2);
    assert_int_equal(3, scanned(db, &Unpartitioned, NULL, "Memory:atlas:*", &atlas));
    assert_int_equal(1, scanned(db, &Unpartitioned, NULL, "Memory:*:hermes-1", &one));
    assert_int_equal(0, scanned(db, &Unpartitioned, NULL, "Memory:nobody:*", &none));
    finish(db, *state);
}

static void test_returns_member_key_and_figures_for_matching_entries(void **state) {
    popoto_db *db = opened(*state);
    seen one = { .only = BYTES("Memory:atlas:atlas-0") };
    create_memories(db, &Unpartitioned, "atlas", 1);
    create_memories(db, &Unpartitioned, "hermes", 1);
    OK(popoto_confidence_update(db, &Unpartitioned,
                                &(memory){ .project = "atlas", .key = "atlas-0" }, "certainty", 0.9,
                                NULL));
    assert_int_equal(1, scanned(db, &Unpartitioned, NULL, "Memory:atlas:*", &one));
    assert_true(one.last.confidence == 0.7);
    assert_int_equal(1, one.last.evidence_count);
    assert_int_equal(1, one.last.corroborations);
    assert_int_equal(0, one.last.contradictions);
    finish(db, *state);
}

/* ----- When to use separate Redis databases instead ------------------------------------------------- */

static popoto_db *opened_database(server *s, int number) {
    char url[256];
    snprintf(url, sizeof(url), "%s?db=%d", server_url(s), number);
    popoto_db *db = popoto_open(url, NULL);
    assert_int_equal(POPOTO_OK, popoto_error_status(db));
    return db;
}

static void test_separate_connections_for_stronger_isolation(void **state) {
    popoto_db *a = opened_database(*state, 1), *b = opened_database(*state, 2), *db = a;
    OK(popoto_create(a, &Episode, &(episode){ .project_id = "same", .title = "A", .score = 1 }));
    db = b;
    assert_int_equal(0, count_episodes(b, &Episode, "same", 0));
    db = a;
    assert_int_equal(1, count_episodes(a, &Episode, "same", 0));
    popoto_close(b);
    finish(a, *state);
}

static void test_switch_the_entire_connection_for_a_tenant(void **state) {
    popoto_db *db = opened(*state);
    char url[256];
    create_episodes(db, &Episode);
    snprintf(url, sizeof(url), "%s?db=3", server_url(*state));
    OK(popoto_switch(db, url));
    assert_int_equal(0, count_episodes(db, &Episode, "project-a", 0));
    OK(popoto_create(db, &Episode,
                     &(episode){ .project_id = "project-a", .title = "t", .score = 1 }));
    OK(popoto_confidence_get(
        db, &Memory,
        (create_memory(db, &Memory, "atlas", "a"), &(memory){ .project = "atlas", .key = "a" }),
        "certainty", &(double){ 0 }));
    assert_int_equal(1, count_episodes(db, &Episode, "project-a", 0));
    OK(popoto_switch(db, server_url(*state)));
    assert_int_equal(2, count_episodes(db, &Episode, "project-a", 0));
    finish(db, *state);
}

static void test_complete_data_separation_at_the_connection_level(void **state) {
    popoto_db *db = opened(*state);
    char url[256];
    snprintf(url, sizeof(url), "%s?db=4", server_url(*state));
    create_episodes(db, &Episode);
    char *before = strdup(server_dump(*state));
    OK(popoto_switch(db, url));
    create_episodes(db, &Episode);
    popoto_rows *rows;
    OK(popoto_query(db, &(popoto_query_desc){ .model = &Episode, .allow_scan = true }, &rows));
    for (size_t i = 0; i < popoto_rows_count(rows); i++)
        OK(popoto_delete(db, &Episode, popoto_rows_at(rows, i)));
    assert_int_equal(3, popoto_rows_count(rows));
    popoto_rows_free(rows);
    assert_string_equal(before, server_dump(*state));
    free(before);
    /* A server that is not there leaves the db where it was. */
    FAILS(POPOTO_CANNOT_CONNECT, popoto_switch(db, "unix:/nonexistent/socket"));
    assert_int_equal(0, count_episodes(db, &Episode, "project-a", 0));
    finish(db, *state);
}

/* ----- Summary --------------------------------------------------------------------------------------- */

static void test_summary_keyfield_key_prefix_and_index_partitioning(void **state) {
    popoto_db *db = opened(*state);
    create_episodes(db, &Episode);
    const char *dump = server_dump(*state);
    assert_non_null(strstr(dump, "\nEpisode:project-a:"));
    assert_non_null(strstr(dump, "$KeyF:Episode:project_id:project-a"));
    assert_non_null(strstr(dump, "$KeyF:Episode:project_id:project-b"));
    finish(db, *state);
}

static void test_summary_sortedfield_partition_by_is_one_parameter(void **state) {
    popoto_db *db = opened(*state);
    /* The two models differ in this option alone. */
    popoto_field without = partitioned_fields[3];
    without.partition_by = NULL;
    assert_int_equal(episode_fields[3].kind, without.kind);
    assert_int_equal(episode_fields[3].offset, without.offset);
    create_episodes(db, &Partitioned);
    assert_string_equal("2", server_command(*state, "ZCARD $SortedF:Episode:score:project-a"));
    finish(db, *state);
}

static void test_summary_confidencefield_partition_by_is_one_parameter(void **state) {
    popoto_db *db = opened(*state);
    popoto_field without = memory_fields[3];
    without.partition_by = NULL;
    assert_int_equal(unpartitioned_fields[3].kind, without.kind);
    assert_true(unpartitioned_fields[3].initial_confidence == without.initial_confidence);
    seen own = { .only = BYTES("Memory:atlas:") };
    create_memories(db, &Memory, "atlas", 2);
    create_memories(db, &Memory, "hermes", 2);
    assert_int_equal(2, scanned(db, &Memory, "atlas", NULL, &own));
    finish(db, *state);
}

static void test_summary_contextvar_helper_same_as_keyfield(void **state) {
    popoto_db *db = opened(*state);
    episode e = { .episode_id = { "abc123" }, .title = "t", .score = 1 };
    OK(popoto_scope_enter(db, "project_id", "project-a"));
    OK(popoto_create(db, &Episode, &e));
    OK(popoto_scope_leave(db));
    char *scoped = strdup(server_dump(*state));
    server_flush(*state);
    e = (episode){
        .project_id = "project-a", .episode_id = { "abc123" }, .title = "t", .score = 1
    };
    OK(popoto_create(db, &Episode, &e));
    assert_string_equal(scoped, server_dump(*state)); /* not a byte differs */
    free(scoped);
    finish(db, *state);
}

static void test_summary_separate_redis_databases_full_connection_isolation(void **state) {
    popoto_db *a = opened_database(*state, 5), *b = opened_database(*state, 6), *db = b;
    create_episodes(a, &Episode);
    OK(popoto_create(b, &Episode,
                     &(episode){ .project_id = "project-a", .title = "t", .score = 1 }));
    assert_int_equal(1, count_episodes(b, &Episode, NULL, 0));
    assert_int_equal(3, count_episodes(a, &Episode, NULL, 0));
    popoto_close(a);
    finish(b, *state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_models_isolate_data_by_tenant_project_or_environment),
        server_test(test_episodes_of_projects_live_separately_using_the_same_model_class),
        server_test(test_isolation_comes_from_key_structure),
        server_test(test_keyfield_already_provides_this_naturally),
        server_test(test_add_a_keyfield_for_your_namespace),
        server_test(test_all_keys_and_indexes_partition_by_keyfield_values),
        server_test(test_class_episode),
        server_test(test_instances_are_stored_at_keys_like_episode_project_a_abc123),
        server_test(test_sorted_indexes_partition_by_project_id),
        server_test(test_create_episodes_of_project_a),
        server_test(test_episodes_of_project_b_are_completely_isolated),
        server_test(test_query_only_returns_project_a_s_episodes),
        server_test(test_these_structures_are_all_scoped_per_project),
        server_test(test_instance_keys_episode_project_a_abc123),
        server_test(test_sorted_indexes_sortedf_episode_score_project_a),
        server_test(test_keyfield_index_sets_keyf_episode_project_id_project_a),
        server_test(test_class_set_contains_all_instances_across_projects),
        server_test(test_queries_on_project_id_use_the_keyfield_index_rather_than_scanning),
        server_test(test_use_partition_by_to_scope_the_sorted_index),
        server_test(test_score_range_queries_are_fast_and_isolated_per_project),
        server_test(test_uses_the_partition_scoped_sorted_set),
        server_test(test_without_partition_by_range_queries_work_across_all_projects),
        server_test(test_with_partition_by_each_project_gets_its_own_sorted_set),
        server_test(test_you_pass_project_id_to_every_create_filter_and_load),
        server_test(test_a_helper_that_reads_the_current_context),
        server_test(test_then_use_it_in_your_application_code),
        server_test(test_the_namespace_stays_explicit_at_the_model_level),
        server_test(test_sortedfield_partitions_sorted_set_indexes),
        server_test(test_confidencefield_partitions_its_companion_hash),
        server_test(test_without_partitioning_one_hash_contains_every_member),
        server_test(test_with_partition_by_reads_cost_the_partition_size),
        server_test(test_class_memory),
        server_test(test_this_creates_per_project_companion_hashes),
        server_test(test_data_has_all_members_and_data_atlas_project_atlas_only),
        server_test(test_data_hermes_project_hermes_only),
        server_test(test_usage_is_identical_to_unpartitioned_confidencefield),
        server_test(test_writes_to_the_atlas_partition_hash_automatically),
        server_test(test_reads_from_the_atlas_partition_hash_automatically),
        server_test(test_a_changed_partition_key_moves_the_entry_to_the_new_hash),
        server_test(test_no_manual_intervention_is_needed),
        server_test(test_add_partition_by_to_an_existing_confidencefield),
        server_test(test_preview_what_would_happen),
        server_test(test_run_the_actual_migration),
        server_test(test_the_migration_places_each_entry_by_its_instance),
        server_test(test_the_old_unpartitioned_hash_is_deleted),
        server_test(test_companion_key_methods_confirm_separate_redis_keys),
        server_test(test_useful_for_auditing_monitoring_and_integration_tests),
        server_test(test_build_keys_for_each_tenant_without_loading_instances),
        server_test(test_print_atlas_key_and_hermes_key),
        server_test(test_assert_atlas_key_is_not_hermes_key),
        server_test(test_verify_isolation_for_instance_based_keys),
        server_test(test_an_hscan_based_alternative_that_avoids_loading_all_entries),
        server_test(test_match_members_by_redis_key_pattern),
        server_test(test_returns_member_key_and_figures_for_matching_entries),
        server_test(test_separate_connections_for_stronger_isolation),
        server_test(test_switch_the_entire_connection_for_a_tenant),
        server_test(test_complete_data_separation_at_the_connection_level),
        server_test(test_summary_keyfield_key_prefix_and_index_partitioning),
        server_test(test_summary_sortedfield_partition_by_is_one_parameter),
        server_test(test_summary_confidencefield_partition_by_is_one_parameter),
        server_test(test_summary_contextvar_helper_same_as_keyfield),
        server_test(test_summary_separate_redis_databases_full_connection_isolation),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
