/* migrate - partition_by was added to a confidence field that has data already: move it, with a progress
 * bar on a terminal.
 *
 *     migrate [--dry-run]        in a server of its own, gone afterwards, with 20 000 entries made first
 *     migrate [--dry-run] URL    what is on that server
 *
 * Ctrl-C stops it after the batch that is under way; running it again goes on from there. */
#define _XOPEN_SOURCE 700

#include "temporary.h"

#include <popoto.h>

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    popoto_object object;
    const char *project;
    const char *key;
    double certainty;
} memory;

/* The class as it was ... */
static const popoto_field old_fields[] = {
    POPOTO_KEY(memory, project),
    POPOTO_UNIQUE_KEY(memory, key),
    POPOTO_CONFIDENCE(memory, certainty),
};
static const popoto_model OldMemory = POPOTO_MODEL("Memory", memory, old_fields);

/* ... and as it is now. */
static const popoto_field fields[] = {
    POPOTO_KEY(memory, project),
    POPOTO_UNIQUE_KEY(memory, key),
    POPOTO_CONFIDENCE(memory, certainty, .partition_by = "project"),
};
static const popoto_model Memory = POPOTO_MODEL("Memory", memory, fields);

static volatile sig_atomic_t stopped;

static void stop(int signal_number) {
    stopped = signal_number;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ----- The bar -------------------------------------------------------------------------------- */

typedef struct bar {
    bool is_shown; /* stderr is a terminal */
    double start;
    double drawn;
} bar;

/* [##########..........]   10240/20000    51200/s   0:01 left */
static bool progress(void *context, size_t done, size_t total) {
    bar *it = context;
    double time = now(), passed = time - it->start;
    if (it->is_shown && (time - it->drawn > 0.05 || done >= total)) {
        double rate = passed > 0 ? (double)done / passed : 0;
        size_t left = total > done && rate > 0 ? (size_t)((double)(total - done) / rate) : 0;
        int filled = total > 0 && done < total ? (int)(30 * done / total) : 30;
        fprintf(stderr, "\r[%.*s%.*s] %7zu/%zu %8.0f/s %3zu:%02zu left", filled,
                "##############################", 30 - filled, "..............................",
                done, total, rate, left / 60, left % 60);
        it->drawn = time;
    }
    return stopped == 0;
}

static void finish_bar(const bar *it) {
    if (it->drawn > 0)
        fputc('\n', stderr);
}

/* ----- Work ----------------------------------------------------------------------------------- */

#define MADE  20000
#define BATCH 500

/* Entries as they were before partition_by: three projects' in one hash. */
static popoto_status make_old_entries(popoto_db *db) {
    static const char *const projects[] = { "atlas", "hermes", "vega" };
    static memory made[BATCH];
    static char keys[BATCH][24];
    static void *objects[BATCH];
    static popoto_signal signals[BATCH];
    popoto_status status = POPOTO_OK;
    for (size_t at = 0; at < MADE && status == POPOTO_OK; at += BATCH) {
        for (size_t i = 0; i < BATCH; i++) {
            snprintf(keys[i], sizeof keys[i], "fact%zu", at + i);
            made[i] = (memory){ .project = projects[(at + i) % 3], .key = keys[i] };
            objects[i] = &made[i];
            signals[i] = (popoto_signal){ .object = &made[i], .signal = 0.8 };
        }
        status = popoto_create_many(db, &OldMemory, objects, BATCH, NULL);
        if (status == POPOTO_OK)
            status = popoto_confidence_update_many(db, &OldMemory, "certainty", signals, BATCH);
    }
    return status;
}

static void print_report(const popoto_migration_report *it, bool dry_run) {
    printf("%zu entries, %zu migrated%s\n", it->total, it->migrated, dry_run ? " (dry run)" : "");
    for (size_t i = 0; i < it->partition_count; i++)
        printf("  %-20s %zu\n", it->partitions[i].name.data, it->partitions[i].count);
    for (size_t i = 0; i < it->error_count; i++)
        printf("  left in place: %s: %s\n", it->errors[i].member.data, it->errors[i].reason);
}

static popoto_status migrate(popoto_db *db, bool dry_run) {
    bar shown = { .is_shown = isatty(STDERR_FILENO) == 1, .start = now() };
    popoto_migration_report *report;
    popoto_status status = popoto_confidence_migrate(db, &Memory, "certainty",
                                                     &(popoto_migration_desc){
                                                         .dry_run = dry_run,
                                                         .progress = progress,
                                                         .context = &shown,
                                                     },
                                                     &report);
    finish_bar(&shown);
    if (report != NULL)
        print_report(report, dry_run);
    popoto_migration_report_free(report);
    return status;
}

int main(int argument_count, char **arguments) {
    temporary place = { .folder = "" };
    bool dry_run = argument_count > 1 && strcmp(arguments[1], "--dry-run") == 0;
    const char *url = argument_count > 1 + dry_run ? arguments[1 + dry_run] : NULL;
    if (argument_count > 2 + dry_run || (url != NULL && url[0] == '-')) {
        fprintf(stderr, "usage: migrate [--dry-run] [URL]\n");
        return 2;
    }
    signal(SIGINT, stop);
    if (url == NULL && !temporary_make(&place, "migrate")) {
        perror("migrate: no temporary folder");
        return 1;
    }
    popoto_db *db = popoto_open(url != NULL ? url : place.url, NULL);
    popoto_status status = url == NULL ? make_old_entries(db) : popoto_ping(db);
    if (status == POPOTO_OK)
        status = migrate(db, dry_run);
    if (status == POPOTO_STOPPED)
        fprintf(stderr, "migrate: stopped; run it again to go on\n");
    else if (status != POPOTO_OK)
        fprintf(stderr, "migrate: %s: %s\n", popoto_status_name(status), popoto_error(db));
    popoto_close(db);
    temporary_remove(&place);
    return status == POPOTO_OK ? 0 : 1;
}
