/* failing_allocator - see failing_allocator.h. */
#include "failing_allocator.h"

#include <stdlib.h>
#include <string.h>

/* In front of each block: how large it is, and a mark that tells a block of ours. */
typedef union header {
    struct {
        size_t size;
        size_t mark;
    } of;
    max_align_t aligned;
} header;

#define MARK ((size_t)0x706f706f)

static void release(failing_allocator *it, header *head) {
    it->live_blocks--;
    it->live_bytes -= head->of.size;
    head->of.mark = 0;
    free(head);
}

/* Growing always moves the block, so that a pointer kept across it shows under a sanitizer. */
static void *resize(void *context, void *block, size_t size) {
    failing_allocator *it = context;
    header *old = block == NULL ? NULL : (header *)block - 1;
    if (old != NULL && old->of.mark != MARK)
        abort(); /* not a block of this allocator, or released before */
    if (size == 0) {
        if (old != NULL)
            release(it, old);
        return NULL;
    }
    if (++it->allocations == it->fail_at) {
        it->failed = true;
        return NULL;
    }
    header *head = size > SIZE_MAX - sizeof(header) ? NULL : malloc(sizeof(header) + size);
    if (head == NULL)
        return NULL;
    head->of.size = size;
    head->of.mark = MARK;
    it->live_blocks++;
    it->live_bytes += size;
    if (old != NULL) {
        memcpy(head + 1, old + 1, old->of.size < size ? old->of.size : size);
        release(it, old);
    }
    return head + 1;
}

void failing_allocator_init(failing_allocator *it, size_t fail_at) {
    *it = (failing_allocator){ .allocator = { resize, it }, .fail_at = fail_at };
}
