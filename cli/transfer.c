/* transfer - `popoto export` and `popoto import`: a tenant's lines of JSON, which the library writes and
 * reads. */
#define _XOPEN_SOURCE 700 /* realpath */

#include "json.h"
#include "session.h"
#include "terminal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ----- Export --------------------------------------------------------------------------------- */

typedef struct writing {
    FILE *to;
    int error;
} writing;

static bool write_line(void *context, const char *line, size_t size) {
    writing *it = context;
    if (fwrite(line, 1, size, it->to) != size || putc('\n', it->to) == EOF)
        it->error = errno;
    return it->error == 0 && !interrupted();
}

static int say_exported(const session *it, size_t count) {
    if (it->set.output != NULL && strcmp(it->set.output, "-") != 0 && it->set.json)
        json_print(json_pack("{so, so}", "records", json_of_size(count), "output",
                             json_of_word(it->set.output)));
    else
        remark("%zu record%s exported", count, count == 1 ? "" : "s");
    return EXIT_DONE;
}

static int export_to(session *it, popoto_tenant_desc *desc, const char *tenant, FILE *to) {
    size_t count;
    bar progress = bar_start("export");
    writing out = { .to = to };
    desc->progress = bar_step;
    desc->context = &progress;
    popoto_status status = popoto_export(it->db, desc, write_line, &out, &count);
    bar_end(&progress);
    if (fflush(to) != 0 && out.error == 0)
        out.error = errno;
    if (out.error != 0) {
        complain("the export could not be written: %s", strerror(out.error));
        return EXIT_FINDINGS;
    }
    if (status != POPOTO_OK)
        return session_failed(it, status);
    return count > 0 ? say_exported(it, count) : session_nothing(it, tenant);
}

static int cannot_write(const char *path) {
    complain("'%s' cannot be written: %s", path, strerror(errno));
    return EXIT_USAGE;
}

/* Beside the file, which it becomes when it is whole: an older export is not lost to a new one that fails. */
static int export_to_file(session *it, popoto_tenant_desc *desc, const char *tenant,
                          const char *path) {
    struct stat there;
    bool replaces = stat(path, &there) == 0;
    if (replaces && !S_ISREG(there.st_mode)) {
        FILE *device = fopen(path, "we");
        if (device == NULL)
            return cannot_write(path);
        int status = export_to(it, desc, tenant, device);
        return fclose(device) == 0 || status != EXIT_DONE ? status : cannot_write(path);
    }
    char *target = replaces ? realpath(path, NULL) : demand_text("%s", path);
    char *beside = demand_text("%s.XXXXXX", target != NULL ? target : path);
    int file = target != NULL ? mkstemp(beside) : -1;
    FILE *to = file >= 0 ? fdopen(file, "w") : NULL;
    int status = to != NULL ? EXIT_DONE : cannot_write(path);
    if (to != NULL) {
        mode_t mask = umask(0);
        umask(mask);
        status = export_to(it, desc, tenant, to);
        bool whole = fchmod(file, replaces ? there.st_mode & 0777 : 0666 & ~mask) == 0;
        whole = fclose(to) == 0 && whole;
        if (status == EXIT_DONE && (!whole || rename(beside, target) != 0))
            status = cannot_write(path);
        if (status != EXIT_DONE)
            unlink(beside);
    }
    free(beside), free(target);
    return status;
}

int run_export(session *it, int count, char **words) {
    tenancy of;
    (void)count;
    const char *path = it->set.output;
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = session_tenant(it, words[0], &of);
    if (status != EXIT_DONE)
        return status;
    say_left_out(of.left_out, of.left_count);
    if (path == NULL || strcmp(path, "-") == 0)
        return export_to(it, &of.desc, words[0], stdout);
    return export_to_file(it, &of.desc, words[0], path);
}

/* ----- Import --------------------------------------------------------------------------------- */

typedef struct reading {
    FILE *from;
    char *line;
    size_t room, size;
    bool again; /* the first line was looked at, and is to come once more */
    int error;
} reading;

static bool read_line(void *context, const char **line, size_t *size) {
    reading *it = context;
    if (it->again) {
        it->again = false;
        *line = it->line;
        *size = it->size;
        return true;
    }
    errno = 0;
    ssize_t read = interrupted() ? -1 : getline(&it->line, &it->room, it->from);
    if (read < 0) {
        it->error = ferror(it->from) && !interrupted() ? errno : 0;
        return false;
    }
    if (read > 0 && it->line[read - 1] == '\n')
        read--;
    *line = it->line;
    *size = it->size = (size_t)read;
    return true;
}

/* The models, of the export itself where the database knows none. */
static int look_at_first(session *it, reading *in) {
    const char *line = "";
    size_t size = 0;
    in->again = read_line(in, &line, &size);
    return session_models_of_export(it, line, size);
}

/* What is not stored, as it is told. */
#define REFUSED_SHOWN 20

typedef struct importing {
    bar progress; /* first: it is what progress is told to */
    size_t refused;
    json_t *lines;
} importing;

static void take_refused(void *context, size_t line, popoto_status status, const char *sentence) {
    importing *it = context;
    (void)status;
    bar_end(&it->progress);
    if (it->refused++ < REFUSED_SHOWN)
        complain("%s", sentence);
    json_array_append_new(it->lines, json_pack("{so, so}", "line", json_of_size(line), "problem",
                                               json_of_sentence(sentence)));
}

static void say_refused(const importing *it, const popoto_import_report *report) {
    if (it->refused > REFUSED_SHOWN)
        complain("... and %zu more lines (--json has all)", it->refused - REFUSED_SHOWN);
    complain("up to line %zu all others are stored, and none behind it: mend what is wrong, and "
             "import the "
             "whole again, which replaces what is stored",
             report->tried);
}

static void say_imported(const session *it, const importing *state,
                         const popoto_import_report *report) {
    if (it->set.json) {
        json_t *out = json_pack("{so, so, so, so, sb}", "lines", json_of_size(report->lines),
                                "records", json_of_size(report->records), "bad_line",
                                report->bad_line > 0 ? json_of_size(report->bad_line) : json_null(),
                                "problem", json_of_sentence(report->problem), "complete",
                                (int)report->complete);
        json_object_set_new(out, "tried", json_of_size(report->tried));
        json_object_set(out, "refused", state->lines);
        json_print(out);
    } else
        printf("%zu record%s imported\n", report->records, report->records == 1 ? "" : "s");
}

static int import_from(session *it, popoto_tenant_desc *desc, reading *in) {
    popoto_import_report report;
    importing state = { .progress = bar_start("import"), .lines = json_array() };
    desc->progress = bar_step;
    desc->refused = take_refused;
    desc->context = &state;
    popoto_status status = popoto_import(it->db, desc, read_line, in, &report);
    bar_end(&state.progress);
    if (status == POPOTO_OK || report.lines > 0)
        say_imported(it, &state, &report);
    json_decref(state.lines);
    if (in->error != 0)
        complain("the lines could not be read to their end: %s", strerror(in->error));
    else if (interrupted() || status == POPOTO_STOPPED)
        return session_failed(it, POPOTO_STOPPED);
    else if (state.refused > 0)
        say_refused(&state, &report);
    else if (status != POPOTO_OK)
        complain("%s", report.problem != NULL ? report.problem : popoto_error(it->db));
    else if (report.lines == 0)
        complain("there are no lines: nothing was imported");
    else if (!report.complete)
        remark("no last line tells how many records there were, so these may not be all");
    return status == POPOTO_OK && in->error == 0 && report.lines > 0 ? EXIT_DONE : EXIT_FINDINGS;
}

int run_import(session *it, int count, char **words) {
    tenancy of;
    FILE *from = stdin;
    if (count > 1 && strcmp(words[1], "-") != 0) {
        from = fopen(words[1], "re");
        if (from == NULL) {
            complain("'%s' cannot be read: %s", words[1], strerror(errno));
            return EXIT_USAGE;
        }
    } else if (isatty(STDIN_FILENO)) {
        complain("lines to import come from a file or a pipe: popoto import TENANT FILE");
        return EXIT_USAGE;
    }
    reading in = { .from = from };
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = look_at_first(it, &in);
    if (status == EXIT_DONE)
        status = session_tenant(it, words[0], &of);
    if (status == EXIT_DONE)
        say_left_out(of.left_out, of.left_count);
    if (status == EXIT_DONE)
        status = import_from(it, &of.desc, &in);
    free(in.line);
    if (from != stdin)
        fclose(from);
    return status;
}
