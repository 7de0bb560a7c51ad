/* assertions - of calls of the library, with its sentence where they fail. Include cmocka.h before. */
#ifndef POPOTO_TESTS_ASSERTIONS_H
#define POPOTO_TESTS_ASSERTIONS_H

#include <popoto.h>
#include <string.h>

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

/* The same of calls of what a test names db. */
#define OK(call_)             assert_ok(db, call_)
#define FAILS(wanted_, call_) assert_status(wanted_, db, call_)

#endif
