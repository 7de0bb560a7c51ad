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
