/* failing_allocator - an allocator for tests: counts live blocks and bytes, and fails the n-th
 * allocation. An operation is run with the 1st, 2nd, 3rd... allocation failing until it succeeds:
 *
 *     failing_allocator memory;
 *     for (size_t n = 1;; n++) {
 *         failing_allocator_init(&memory, n);
 *         bool done = operation(&memory.allocator);
 *         ... release what it made ...
 *         assert_int_equal(memory.live_blocks, 0);
 *         if (!memory.failed) { assert_true(done); break; }
 *         assert_false(done);
 *     }
 */
#ifndef POPOTO_TESTS_FAILING_ALLOCATOR_H
#define POPOTO_TESTS_FAILING_ALLOCATOR_H

#include <popoto.h>

typedef struct failing_allocator {
    popoto_allocator allocator; /* its context is this struct, which therefore must stay in place */
    size_t fail_at;             /* the allocation that fails, counted from 1; 0: none does */
    size_t allocations;         /* so far, growing of a block included */
    size_t live_blocks;
    size_t live_bytes;
    bool failed; /* the allocation that was to fail was asked for */
} failing_allocator;

void failing_allocator_init(failing_allocator *it, size_t fail_at);

#endif
