/* harness - see harness.h. */
#include "harness.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_RESULTS 128

static result results[MOST_RESULTS];
static size_t result_count;
static size_t checks_done;
static size_t checks_failed;

void give_up(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

double harness_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double harness_median(double *values, size_t count) {
    qsort(values, count, sizeof(*values), by_value);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ----- timing --------------------------------------------------------------------------------- */

/* One round: each slice runs on every side, and each time another side begins. Gives the seconds of
 * the side's middle slice. */
static void run_round(const timing *what, size_t round, double *seconds) {
    double slices[MOST_SIDES][MOST_SLICES];
    for (size_t i = 0; i < what->side_count; i++)
        if (what->sides[i].start != NULL)
            what->sides[i].start(what->sides[i].context);
    for (size_t slice = 0; slice < what->slices; slice++)
        for (size_t turn = 0; turn < what->side_count; turn++) {
            size_t which = (turn + slice + round) % what->side_count;
            const contender *it = &what->sides[which];
            double start = harness_seconds();
            it->run(it->context, slice, it->slice);
            slices[which][slice] = harness_seconds() - start;
        }
    for (size_t i = 0; i < what->side_count; i++)
        seconds[i] = harness_median(slices[i], what->slices);
}

static double units_of_slice(const contender *it) {
    return (double)it->slice * (double)(it->each ? it->each : 1);
}

void harness_time(const timing *what, size_t rounds, double *rates) {
    double all[MOST_SIDES][MOST_ROUNDS], seconds[MOST_SIDES];
    if (rounds > MOST_ROUNDS || what->slices > MOST_SLICES || what->side_count > MOST_SIDES)
        give_up("%s: more than can be kept", what->name);
    for (size_t round = 0; round <= rounds; round++) {
        run_round(what, round, seconds);
        for (size_t i = 0; i < what->side_count && round > 0; i++)
            all[i][round - 1] = units_of_slice(&what->sides[i]) / seconds[i];
    }
    for (size_t i = 0; i < what->side_count; i++)
        rates[i] = harness_median(all[i], rounds);
}

void harness_compare(const timing *what, size_t rounds) {
    double rates[MOST_SIDES];
    harness_time(what, rounds, rates);
    for (size_t i = 1; i < what->side_count; i++)
        harness_report(&(result){
            .name = what->name,
            .unit = what->unit,
            .against = what->sides[i].against,
            .ours = rates[0],
            .theirs = rates[i],
            .ratio = rates[0] / rates[i],
            .goal = what->sides[i].goal > 0 ? what->sides[i].goal : (double)NAN,
        });
}

/* ----- reporting ------------------------------------------------------------------------------ */

static bool is_met(const result *it) {
    return it->at_most ? it->ratio <= it->goal : it->ratio >= it->goal;
}

/* Four significant digits at most: more would promise too much. */
static const char *number_text(double value, char text[24]) {
    if (isnan(value))
        return "";
    if (fabs(value) >= 1000)
        snprintf(text, 24, "%.0f", value);
    else
        snprintf(text, 24, fabs(value) >= 100 ? "%.1f" : fabs(value) >= 1 ? "%.2f" : "%.3f", value);
    return text;
}

void harness_heading(const char *text) {
    printf("\n%s\n  %-21s %-38s %10s %10s  %-14s %7s  %s\n", text, "case", "against", "ours",
           "theirs", "unit", "ratio", "goal");
    fflush(stdout);
}

void harness_report(const result *line) {
    char ours[24], theirs[24], ratio[24], goal[24];
    printf("  %-21s %-38s %10s %10s  %-14s %7s", line->name, line->against,
           number_text(line->ours, ours), number_text(line->theirs, theirs), line->unit,
           isnan(line->theirs) ? "" : number_text(line->ratio, ratio));
    snprintf(goal, sizeof(goal), "%.4g", line->goal);
    if (!isnan(line->goal))
        printf("  %s %-5s %s", line->at_most ? "<=" : ">=", goal, is_met(line) ? "met" : "MISSED");
    putchar('\n');
    fflush(stdout);
    if (result_count == MOST_RESULTS)
        give_up("more than %d results", MOST_RESULTS);
    results[result_count++] = *line;
}

static void write_number(FILE *out, const char *name, double value) {
    if (isfinite(value))
        fprintf(out, "\"%s\": %.6g", name, value);
    else
        fprintf(out, "\"%s\": null", name);
}

void harness_write_results(const char *path) {
    FILE *out = fopen(path, "w");
    if (out == NULL)
        give_up("cannot write %s", path);
    fputs("[\n", out);
    for (size_t i = 0; i < result_count; i++) {
        const result *it = &results[i];
        /* No name here holds a character that JSON would have escaped. */
        fprintf(out, "  {\"case\": \"%s\", \"unit\": \"%s\", ", it->name, it->unit);
        write_number(out, "ours", it->ours);
        fputs(", ", out);
        write_number(out, "theirs", it->theirs);
        fprintf(out, ", \"against\": \"%s\", ", it->against);
        write_number(out, "ratio", it->ratio);
        fputs(", ", out);
        write_number(out, "goal", it->goal);
        fprintf(out, ", \"met\": %s}%s\n",
                isnan(it->goal) ? "null"
                : is_met(it)    ? "true"
                                : "false",
                i + 1 < result_count ? "," : "");
    }
    fputs("]\n", out);
    if (fclose(out) != 0)
        give_up("cannot write %s", path);
}

void harness_write_ratios(const char *path, const char *rival) {
    FILE *out = fopen(path, "w");
    if (out == NULL)
        give_up("cannot write %s", path);
    for (size_t i = 0; i < result_count; i++) {
        const result *it = &results[i];
        if (!isnan(it->goal) && strstr(it->unit, "/s") != NULL &&
            strncmp(it->against, rival, strlen(rival)) == 0)
            fprintf(out, "\"%s\" %.4f %.4f\n", it->name, it->ratio, it->goal);
    }
    if (fclose(out) != 0)
        give_up("cannot write %s", path);
}

size_t harness_goals(size_t *met) {
    size_t goals = 0;
    *met = 0;
    for (size_t i = 0; i < result_count; i++) {
        goals += isnan(results[i].goal) ? 0 : 1;
        *met += !isnan(results[i].goal) && is_met(&results[i]) ? 1 : 0;
    }
    return goals;
}

/* ----- checks --------------------------------------------------------------------------------- */

void harness_check(bool holds, const char *what) {
    checks_done++;
    checks_failed += !holds;
    if (!holds)
        fprintf(stderr, "bench: not the same work: %s\n", what);
}

size_t harness_checks(size_t *failed) {
    *failed = checks_failed;
    return checks_done - checks_failed;
}
