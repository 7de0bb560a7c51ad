/* counts - what does not depend on the machine's mood: instructions of the client by callgrind,
 * allocations, peak memory, bytes of the server's memory. Each is counted in a child, this program run
 * with --work, against the parent's server. See bench.h. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "bench.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TENANT "project-0007"
#define ROWS   ((size_t)1000)

/* ===== in the child =========================================================================== */

typedef struct worker {
    popoto_db *ours;
    hand *theirs;
    double low; /* of the queries: ROWS records of the tenant lie above it */
} worker;

static void work_create(worker *it, size_t count, bool many) {
    episode *all = calloc(count + 1, sizeof(*all));
    void **pointers = calloc(count + 1, sizeof(*pointers));
    if (all == NULL || pointers == NULL)
        give_up("no memory");
    for (size_t i = 0; i < count; i++) {
        data_episode(&all[i], TENANT, i);
        pointers[i] = &all[i];
    }
    if (it->ours != NULL && many)
        must(it->ours, popoto_create_many(it->ours, &Episode, pointers, count, NULL),
             "create_many");
    else if (many)
        hand_create_many(it->theirs, (episode *const *)pointers, count);
    for (size_t i = 0; i < count && !many; i++) {
        if (it->ours != NULL)
            must(it->ours, popoto_create(it->ours, &Episode, &all[i]), "create");
        else
            hand_create(it->theirs, &all[i]);
    }
    free(all);
    free(pointers);
}

/* Saves of records that were loaded by one query, the score alone or all fields. */
static void work_save(worker *it, size_t count, bool all_fields) {
    popoto_rows *rows = NULL;
    episode one;
    if (it->ours != NULL)
        must(it->ours,
             popoto_query(it->ours,
                          &(popoto_query_desc){
                              .model = &Episode,
                              .where = { POPOTO_IS("project_id", TENANT) },
                          },
                          &rows),
             "query");
    const popoto_save_desc score = { .only = "score" };
    data_episode(&one, TENANT, 0);
    if (it->theirs != NULL)
        hand_create(it->theirs, &one);
    for (size_t i = 0; i < count; i++) {
        episode *what = it->ours != NULL ? popoto_rows_at(rows, i % popoto_rows_count(rows)) : &one;
        what->score = data_score(i + 17);
        if (it->ours != NULL)
            must(it->ours, popoto_save_with(it->ours, &Episode, what, all_fields ? NULL : &score),
                 "save");
        else if (!(all_fields ? hand_save_all : hand_save_score)(it->theirs, what))
            give_up("a record is gone");
    }
    popoto_rows_free(rows);
}

static size_t work_query(worker *it, size_t count) {
    size_t rows_read = 0;
    for (size_t i = 0; i < count; i++) {
        if (it->theirs != NULL) {
            rows_read += hand_query(it->theirs, TENANT, it->low, false).count;
            continue;
        }
        popoto_rows *rows;
        must(it->ours,
             popoto_query(
                 it->ours,
                 &(popoto_query_desc){
                     .model = &Episode,
                     .where = { POPOTO_IS("project_id", TENANT), POPOTO_IS("score__gte", it->low) },
                 },
                 &rows),
             "query");
        rows_read += popoto_rows_count(rows);
        popoto_rows_free(rows);
    }
    return rows_read;
}

static size_t allocations_so_far(void) {
    void *found = dlsym(RTLD_DEFAULT, "bench_allocations");
    size_t (*count)(void) = NULL;
    memcpy(&count, &found, sizeof(found));
    if (count == NULL)
        give_up("allocations.so is not loaded");
    return count();
}

/* Prints the allocations for each row, once the connection and its buffers are there. */
static void work_allocations(worker *it, size_t count) {
    work_query(it, 2);
    size_t before = allocations_so_far();
    size_t rows = work_query(it, count);
    printf("%.6f\n", (double)(allocations_so_far() - before) / (double)rows);
}

/* The most memory that this process ever had, in KiB. */
static double peak_memory(void) {
    char line[128];
    double kilobytes = NAN;
    FILE *in = fopen("/proc/self/status", "r");
    while (in != NULL && fgets(line, sizeof(line), in) != NULL)
        sscanf(line, "VmHWM: %lf", &kilobytes);
    if (in != NULL)
        fclose(in);
    return kilobytes;
}

/* Prints by how many KiB the peak rose while all rows of the tenant were streamed, and their number. */
static void work_stream(worker *it) {
    popoto_stream *stream;
    void *row;
    size_t rows = 0;
    must(it->ours, popoto_ping(it->ours), "ping");
    double before = peak_memory();
    must(it->ours,
         popoto_stream_open(it->ours,
                            &(popoto_query_desc){
                                .model = &Episode,
                                .where = { POPOTO_IS("project_id", TENANT) },
                            },
                            &stream),
         "stream_open");
    for (;; rows++) {
        must(it->ours, popoto_stream_next(stream, &row), "stream_next");
        if (row == NULL)
            break;
    }
    popoto_stream_free(stream);
    printf("%.0f %zu\n", peak_memory() - before, rows);
}

int bench_work(const char *side, const char *what, size_t count, const char *socket) {
    worker it = { .low = data_score(0) };
    data_prepare(4096); /* as many for every count: the difference leaves it out */
    if (strcmp(side, "ours") == 0)
        it.ours = open_ours(socket, OUR_DATABASE, NULL);
    else
        it.theirs = hand_open(socket, HAND_DATABASE);
    if (strcmp(what, "create_one") == 0)
        work_create(&it, count, false);
    else if (strcmp(what, "create_many") == 0)
        work_create(&it, count, true);
    else if (strcmp(what, "save_one") == 0)
        work_save(&it, count, false);
    else if (strcmp(what, "save_one_all_fields") == 0)
        work_save(&it, count, true);
    else if (strcmp(what, "query") == 0)
        work_query(&it, count);
    else if (strcmp(what, "allocations") == 0)
        work_allocations(&it, count);
    else if (strcmp(what, "stream") == 0 && it.ours != NULL)
        work_stream(&it);
    else
        give_up("no such work: %s", what);
    popoto_close(it.ours);
    hand_close(it.theirs);
    return 0;
}

/* ===== in the parent ========================================================================== */

/* Runs a command in a shell and keeps the last line that it prints. */
static void run_command(const char *command, char *line, size_t size) {
    FILE *out = popen(command, "r");
    line[0] = '\0';
    while (out != NULL && fgets(line, (int)size, out) != NULL) {}
    if (out == NULL || pclose(out) != 0)
        give_up("this failed: %s", command);
}

/* All of ROWS records lie at or above the score of the first. */
static void make_rows(bench *it, size_t count) {
    episode *all = calloc(count, sizeof(*all));
    void **pointers = calloc(count, sizeof(*pointers));
    if (all == NULL || pointers == NULL)
        give_up("no memory");
    database_flush(it->admin, OUR_DATABASE);
    database_flush(it->admin, HAND_DATABASE);
    for (size_t side = 0; side < 2; side++) {
        for (size_t i = 0; i < count; i++) {
            data_episode(&all[i], TENANT, i);
            pointers[i] = &all[i];
        }
        if (side == 0)
            must(it->ours, popoto_create_many(it->ours, &Episode, pointers, count, NULL),
                 "create_many");
        else
            hand_create_many(it->theirs, (episode *const *)pointers, count);
    }
    free(all);
    free(pointers);
}

static double instructions(const bench *it, const char *side, const char *what, size_t count) {
    char command[1024], line[256];
    double total;
    snprintf(command, sizeof(command),
             "valgrind --tool=callgrind --callgrind-out-file=%s/callgrind.%s.%s.%zu '%s' --work %s "
             "%s %zu %s 2>%s/callgrind.log; sed -n 's/^totals: //p' %s/callgrind.%s.%s.%zu",
             it->folder, what, side, count, it->program, side, what, count,
             server_socket(it->server), it->folder, it->folder, what, side, count);
    run_command(command, line, sizeof(line));
    if (sscanf(line, "%lf", &total) != 1)
        give_up("callgrind counted nothing; see %s/callgrind.log", it->folder);
    return total;
}

/* Of two sizes the difference is what the records cost; set-up is in both. */
static void count_instructions(bench *it, const char *name, const char *what, const char *against,
                               size_t few, size_t many, size_t each, const char *unit,
                               bool has_goal) {
    double cost[2];
    static const char *const sides[] = { "ours", "theirs" };
    for (size_t i = 0; i < 2; i++)
        cost[i] = (instructions(it, sides[i], what, many) - instructions(it, sides[i], what, few)) /
                  (double)((many - few) * each);
    harness_report(&(result){
        .name = name,
        .unit = unit,
        .against = against,
        .ours = cost[0],
        .theirs = cost[1],
        .ratio = cost[0] / cost[1],
        .goal = has_goal ? 1.25 : (double)NAN,
        .at_most = true,
    });
}

static void case_instructions(bench *it) {
    make_rows(it, ROWS);
    count_instructions(it, "instructions_create", "create_many", "hiredis, pipelined, not atomic",
                       1024, 4096, 1, "a record", true);
    count_instructions(it, "instructions_create", "create_one", "hiredis, MULTI and EXEC", 500,
                       1500, 1, "a record", false);
    make_rows(it, ROWS);
    count_instructions(it, "instructions_save", "save_one",
                       "hiredis, a script for this model: one field", 500, 1500, 1, "a record",
                       false);
    count_instructions(it, "instructions_save", "save_one_all_fields",
                       "hiredis, a script for this model: all fields", 500, 1500, 1, "a record",
                       false);
    count_instructions(it, "instructions_decode", "query", "hiredis, HGETALL into structs", 4, 16,
                       ROWS, "a row", true);
}

static void case_allocations(bench *it) {
    char command[1024], line[256];
    double each[2];
    make_rows(it, ROWS);
    for (size_t i = 0; i < 2; i++) {
        snprintf(command, sizeof(command),
                 "LD_PRELOAD=\"$(dirname '%s')/allocations.so\" '%s' --work %s allocations 20 %s",
                 it->program, it->program, i == 0 ? "ours" : "theirs", server_socket(it->server));
        run_command(command, line, sizeof(line));
        if (sscanf(line, "%lf", &each[i]) != 1)
            give_up("no allocations were counted");
    }
    harness_report(&(result){
        .name = "allocations",
        .unit = "a row",
        .against = "hiredis, HGETALL into structs",
        .ours = each[0],
        .theirs = each[1],
        .ratio = each[0],
        .goal = 0.05,
        .at_most = true,
    });
}

static void case_stream_memory(bench *it, size_t count) {
    char command[1024], line[256];
    double kilobytes;
    size_t rows;
    make_rows(it, count);
    database_flush(it->admin, HAND_DATABASE);
    snprintf(command, sizeof(command), "'%s' --work ours stream 1 %s", it->program,
             server_socket(it->server));
    run_command(command, line, sizeof(line));
    if (sscanf(line, "%lf %zu", &kilobytes, &rows) != 2)
        give_up("no memory was measured");
    harness_check(rows == count, "a stream brings all rows");
    if (!it->quick)
        harness_report(&(result){
            .name = "stream_memory",
            .unit = "MiB",
            .against = "1,000,000 rows, one after the other",
            .ours = kilobytes / 1024,
            .theirs = NAN,
            .ratio = kilobytes / 1024,
            .goal = 16,
            .at_most = true,
        });
    database_flush(it->admin, OUR_DATABASE);
}

/* The levels of the sorted index are thrown by dice, so that its size differs a little each time. */
static void case_server_memory(bench *it) {
    size_t count = it->quick ? 100 : 5000, keys, their_keys;
    make_rows(it, count);
    double ours = (double)database_bytes(it->admin, OUR_DATABASE, &keys) / (double)count;
    double theirs = (double)database_bytes(it->admin, HAND_DATABASE, &their_keys) / (double)count;
    harness_check(keys == their_keys && fabs(ours / theirs - 1) < 0.02, "bytes for each record");
    if (!it->quick)
        harness_report(&(result){
            .name = "server_memory",
            .unit = "bytes a record",
            .against = "hiredis, the same records",
            .ours = ours,
            .theirs = theirs,
            .ratio = ours / theirs,
            .goal = 1.002,
            .at_most = true,
        });
}

void bench_counts(bench *it) {
    static const char *const names[] = { "instructions", "allocations", "stream_memory",
                                         "server_memory" };
    bool any = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        any = any || bench_wants(it, names[i]);
    if (!any)
        return;
    if (!it->quick)
        harness_heading("Figures that do not depend on the machine's mood");
    if (bench_wants(it, names[0]) && !it->quick)
        case_instructions(it);
    if (bench_wants(it, names[1]) && !it->quick)
        case_allocations(it);
    if (bench_wants(it, names[2]))
        case_stream_memory(it, it->quick ? 2000 : 1000000);
    if (bench_wants(it, names[3]))
        case_server_memory(it);
    database_flush(it->admin, OUR_DATABASE);
    database_flush(it->admin, HAND_DATABASE);
}
