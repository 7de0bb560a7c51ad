/* bench_popoto - measures the library beside a program written by hand on hiredis and beside Popoto, and
 * how the cost of operations grows. `./run bench` builds and runs it; docs/performance.md tells what
 * came out.
 *
 *     bench_popoto [--quick] [--rounds N] [--out FOLDER]
 *                  [--script FILE [--popoto PYTHON] [--package PYTHON]] [NAME]
 *
 * NAME chooses the cases whose name contains it. FILE is run by the interpreters that have Popoto and our own
 * Python package. --quick does every case once, small, checks that both
 * sides did the same work, and times nothing. Each side has a database of its own on one private
 * redis-server on a Unix socket. */
#define _GNU_SOURCE /* sched_setaffinity */
#include "bench.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool bench_wants(const bench *it, const char *name) {
    return it->only == NULL || strstr(name, it->only) != NULL;
}

void must(popoto_db *db, popoto_status status, const char *what) {
    if (status != POPOTO_OK)
        give_up("%s: %s", what, popoto_error(db));
}

popoto_db *open_ours(const char *socket, int database, const popoto_options *options) {
    char url[160];
    snprintf(url, sizeof(url), "unix:%s?db=%d", socket, database);
    popoto_db *db = popoto_open(url, options);
    if (db == NULL)
        give_up("no memory");
    must(db, popoto_error_status(db), url);
    return db;
}

void bench_share_processor(const bench *it, bool shared) {
    const pid_t those[] = { getpid(), server_pid(it->server),
                            it->popoto != NULL ? python_pid(it->popoto) : getpid() };
    static cpu_set_t all; /* that this program was started with */
    cpu_set_t one;
    if (CPU_COUNT(&all) == 0 && sched_getaffinity(0, sizeof(all), &all) != 0)
        give_up("cannot tell which processors there are");
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    for (size_t i = 0; i < sizeof(those) / sizeof(*those); i++)
        if (sched_setaffinity(those[i], sizeof(one), shared ? &one : &all) != 0)
            give_up("cannot choose a processor");
}

/* The kernel's own account of the server's main thread, which runs all commands; to the nanosecond where
 * it is kept, else to the clock tick. */
double server_cpu_seconds(const server *it) {
    char path[64];
    uint64_t nanoseconds = 0;
    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)server_pid(it));
    FILE *in = fopen(path, "r");
    if (in != NULL && fscanf(in, "%" SCNu64, &nanoseconds) == 1 && nanoseconds > 0) {
        fclose(in);
        return (double)nanoseconds * 1e-9;
    }
    if (in != NULL)
        fclose(in);
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)server_pid(it));
    in = fopen(path, "r");
    if (in == NULL || fscanf(in, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                             &user, &kernel) != 2)
        give_up("cannot read %s", path);
    fclose(in);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static _Noreturn void usage(void) {
    fputs("usage: bench_popoto [--quick] [--rounds N] [--out FOLDER] [--script FILE "
          "[--popoto PYTHON] [--package PYTHON]] [NAME]\n",
          stderr);
    exit(2);
}

static void read_arguments(bench *it, const char **popoto, int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        const char *word = arguments[i];
        if (strcmp(word, "--quick") == 0) {
            it->quick = true;
        } else if (strcmp(word, "--rounds") == 0 && i + 1 < count) {
            it->rounds = strtoul(arguments[++i], NULL, 10);
        } else if (strcmp(word, "--out") == 0 && i + 1 < count) {
            it->folder = arguments[++i];
        } else if (strcmp(word, "--script") == 0 && i + 1 < count) {
            it->script = arguments[++i];
        } else if (strcmp(word, "--popoto") == 0 && i + 1 < count) {
            *popoto = arguments[++i];
        } else if (strcmp(word, "--package") == 0 && i + 1 < count) {
            it->package = arguments[++i];
        } else if (word[0] == '-' || it->only != NULL) {
            usage();
        } else {
            it->only = word;
        }
    }
    if (it->rounds < 1 || it->rounds > MOST_ROUNDS ||
        (it->script == NULL && (*popoto != NULL || it->package != NULL)))
        usage();
}

static void start(bench *it, const char *popoto) {
    it->server = server_start(NULL);
    it->admin = redisConnectUnix(server_socket(it->server));
    if (it->admin == NULL || it->admin->err != 0)
        give_up("cannot connect to %s", server_socket(it->server));
    it->ours = open_ours(server_socket(it->server), OUR_DATABASE, NULL);
    it->theirs = hand_open(server_socket(it->server), HAND_DATABASE);
    if (popoto == NULL)
        return;
    it->popoto =
        python_start(popoto, it->script, server_socket(it->server), POPOTO_DATABASE, "popoto");
    const char *version = python_ask(it->popoto, "package");
    if (strcmp(version, "popoto-1.10.1") != 0)
        give_up("%s has another Popoto: %s", popoto, version);
}

static void stop(bench *it) {
    python_stop(it->popoto);
    hand_close(it->theirs);
    popoto_close(it->ours);
    redisFree(it->admin);
    server_stop(it->server);
}

static void write_report(const bench *it) {
    char path[512];
    size_t met, goals = harness_goals(&met);
    snprintf(path, sizeof(path), "%s/results.json", it->folder);
    harness_write_results(path);
    snprintf(path, sizeof(path), "%s/against_hiredis.dat", it->folder);
    harness_write_ratios(path, "hiredis");
    snprintf(path, sizeof(path), "%s/against_popoto.dat", it->folder);
    harness_write_ratios(path, "Popoto");
    printf("\n%zu goals, %zu met\n", goals, met);
}

int main(int count, char **arguments) {
    bench it = { .rounds = 9, .program = arguments[0], .folder = "." };
    const char *popoto = NULL;
    if (count == 6 && strcmp(arguments[1], "--work") == 0)
        return bench_work(arguments[2], arguments[3], strtoul(arguments[4], NULL, 10),
                          arguments[5]);
    read_arguments(&it, &popoto, count, arguments);
    data_prepare(DATA_TITLES);
    start(&it, popoto);
    bench_cases(&it);
    bench_python(&it);
    bench_counts(&it);
    bench_growth(&it);
    stop(&it);
    if (!it.quick)
        write_report(&it);
    size_t failed, passed = harness_checks(&failed);
    printf("%zu passed, %zu failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
