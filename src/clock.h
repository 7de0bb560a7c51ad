/* clock - deadlines: moments of the monotonic clock, and waiting for them. Knows nothing of moments in
 * records; those are of moment. */
#ifndef POPOTO_CLOCK_H
#define POPOTO_CLOCK_H

#include <stdint.h>

/* A deadline is a moment of the monotonic clock in microseconds. */
#define NO_DEADLINE INT64_MAX

int64_t popoto__clock_now(void);
/* A negative number of milliseconds: NO_DEADLINE. */
int64_t popoto__clock_in(int milliseconds);
int64_t popoto__clock_earlier(int64_t one, int64_t other);

/* What poll(2) takes: rounded up, so that a wait that ended is a deadline that passed; -1: none. */
int popoto__clock_left(int64_t deadline);

/* Sleep so long, but not past the deadline. A signal may cut it short: look at the clock again. */
void popoto__clock_pause(int64_t deadline, int milliseconds);

#endif
