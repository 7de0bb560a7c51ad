/* assertions - of calls of the library, with its sentence where they fail, and of the processes that make
 * them. Include cmocka.h before. */
#ifndef POPOTO_TESTS_ASSERTIONS_H
#define POPOTO_TESTS_ASSERTIONS_H

#include <popoto.h>
#include <string.h>
#include <sys/wait.h>

#define assert_status(wanted_, db_, call_)                                           \
    do {                                                                             \
        popoto_status got_ = (call_);                                                \
        if (got_ != (wanted_))                                                       \
            fail_msg("%s is %s instead of %s: %s", #call_, popoto_status_name(got_), \
                     popoto_status_name(wanted_), popoto_error(db_));                \
    } while (0)
#define assert_ok(db_, call_) assert_status(POPOTO_OK, db_, call_)

/* The call fails so, and with a sentence that holds `part`. */
#define assert_fails(wanted_, part_, db_, call_)                \
    do {                                                        \
        assert_status(wanted_, db_, call_);                     \
        assert_int_equal(wanted_, popoto_error_status(db_));    \
        if (strstr(popoto_error(db_), part_) == NULL)           \
            fail_msg("%s says: %s", #call_, popoto_error(db_)); \
    } while (0)

/* A child of fork() ends by itself, with 0. */
#define assert_child_ends(child_)                                     \
    do {                                                              \
        pid_t one_ = (child_);                                        \
        int status_;                                                  \
        assert_int_equal(one_, waitpid(one_, &status_, 0));           \
        assert_true(WIFEXITED(status_) && WEXITSTATUS(status_) == 0); \
    } while (0)

/* The same of calls of what a test names db. */
#define OK(call_)             assert_ok(db, call_)
#define FAILS(wanted_, call_) assert_status(wanted_, db, call_)

#endif
