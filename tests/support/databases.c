/* databases - see databases.h. */
#include "databases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

popoto_db *opened(server *s) {
    popoto_db *db = popoto_open(server_url(s), NULL);
    assert_int_equal(POPOTO_OK, popoto_error_status(db));
    return db;
}

popoto_db *opened_to_fail(server *s, failing_allocator *memory, size_t n) {
    failing_allocator_init(memory, 0);
    popoto_db *db = popoto_open(server_url(s), &(popoto_options){ .allocator = memory->allocator });
    memory->fail_at = memory->allocations + n;
    return db;
}

bool closed_after_failure(popoto_db *db, const failing_allocator *memory) {
    bool failed = memory->failed;
    popoto_close(db);
    assert_int_equal(0, memory->live_blocks);
    return failed;
}

bool see_progress(void *context, size_t done, size_t total) {
    progress_seen *it = context;
    assert_true(done >= it->done && total >= done);
    it->done = done;
    it->total = total;
    return ++it->calls != it->stop_at;
}

double server_seconds(server *s) {
    const char *info = server_command(s, "INFO cpu");
    const char *system = strstr(info, "used_cpu_sys:"), *user = strstr(info, "used_cpu_user:");
    assert_non_null(system);
    assert_non_null(user);
    return atof(system + strlen("used_cpu_sys:")) + atof(user + strlen("used_cpu_user:"));
}

long long commands_sent(server *s) {
    const char *stats = server_command(s, "INFO stats");
    const char *at = strstr(stats, "total_commands_processed:");
    static long long asked;
    assert_non_null(at);
    return atoll(at + strlen("total_commands_processed:")) - asked++;
}

/* The lines of the keys that begin so, or of the others. */
static char *part_of_dump(server *s, const char *prefix, bool beginning) {
    const char *dump = server_dump(s);
    char *out = calloc(strlen(dump) + 1, 1), *end = out;
    bool mine = false;
    for (const char *line = dump; *line != '\0';) {
        size_t size = strcspn(line, "\n");
        size += line[size] == '\n';
        if (line[0] != ' ')
            mine = (strncmp(line, prefix, strlen(prefix)) == 0) == beginning;
        if (mine) {
            memcpy(end, line, size);
            end += size;
        }
        line += size;
    }
    *end = '\0';
    return out;
}

char *dump_of(server *s, const char *prefix) {
    return part_of_dump(s, prefix, true);
}

char *dump_without(server *s, const char *prefix) {
    return part_of_dump(s, prefix, false);
}

bool count_tenant(void *context, const popoto_value *tenant) {
    (void)tenant;
    ++*(size_t *)context;
    return true;
}
