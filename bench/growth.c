#include "bench.h"
void bench_growth(bench *it) {
    (void)it;
}
