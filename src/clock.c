#include "clock.h"

#include <limits.h>
#include <time.h>

int64_t popoto__clock_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

int64_t popoto__clock_in(int milliseconds) {
    return milliseconds < 0 ? NO_DEADLINE : popoto__clock_now() + (int64_t)milliseconds * 1000;
}

int64_t popoto__clock_earlier(int64_t one, int64_t other) {
    return one < other ? one : other;
}

int popoto__clock_left(int64_t deadline) {
    if (deadline == NO_DEADLINE)
        return -1;
    int64_t left = deadline - popoto__clock_now();
    if (left <= 0)
        return 0;
    return left / 1000 >= INT_MAX ? INT_MAX : (int)((left + 999) / 1000);
}

void popoto__clock_pause(int64_t deadline, int milliseconds) {
    int left = popoto__clock_left(deadline);
    if (left >= 0 && left < milliseconds)
        milliseconds = left;
    struct timespec time = { milliseconds / 1000, (milliseconds % 1000) * 1000000L };
    nanosleep(&time, NULL);
}
