#include "bench.h"
void bench_counts(bench *it) {
    (void)it;
}
int bench_work(const char *side, const char *what, size_t count, const char *socket) {
    (void)side;
    (void)what;
    (void)count;
    (void)socket;
    return 1;
}
