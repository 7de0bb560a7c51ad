/* memory - where every byte of the library comes from: the caller's allocator, arenas over it, and
 * growing buffers that remember their first failure so that code that fills them reads straight.
 * Never touches a socket, a model or a key. */
#ifndef POPOTO_MEMORY_H
#define POPOTO_MEMORY_H

#include <popoto.h>

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

/* malloc, calloc, realloc and free over an allocator. They return NULL where there is no memory;
 * sizes that would overflow count as no memory. */
void *popoto__allocate(const popoto_allocator *allocator, size_t size);
void *popoto__allocate_zeroed(const popoto_allocator *allocator, size_t count, size_t size);
void *popoto__reallocate(const popoto_allocator *allocator, void *block, size_t size);
void popoto__release(const popoto_allocator *allocator, const void *block);

/* The allocator that `given` means: malloc's where it is all zero. */
popoto_allocator popoto__allocator_or_default(popoto_allocator given);

/* An arena owns many small things that go together. Zero with an allocator is an empty arena. */
typedef struct arena_block arena_block;
typedef struct arena {
    const popoto_allocator *allocator;
    arena_block *newest;
    char *next; /* free space of the newest block */
    char *end;
} arena;

void popoto__arena_init(arena *it, const popoto_allocator *allocator);
char *popoto__arena_grow(arena *it, size_t size); /* for those below, where a block is full */
/* Aligned for every type. NULL where there is no memory. */
static inline void *popoto__arena_allocate(arena *it, size_t size) {
    size_t gap = (size_t)(-(uintptr_t)it->next & (alignof(max_align_t) - 1));
    size_t space = (size_t)(it->end - it->next);
    if (it->next == NULL || gap > space || size > space - gap)
        return popoto__arena_grow(it, size);
    char *found = it->next + gap;
    it->next = found + size;
    return found;
}
void *popoto__arena_zeroed(arena *it, size_t count, size_t size);
/* Unaligned, for text. A size of 0 gives a valid pointer. */
static inline char *popoto__arena_bytes(arena *it, size_t size) {
    if (it->next == NULL || size > (size_t)(it->end - it->next))
        return popoto__arena_grow(it, size);
    char *found = it->next;
    it->next = found + size;
    return found;
}
/* A copy with a NUL behind it. */
char *popoto__arena_copy(arena *it, const void *data, size_t size);
/* Forget everything but keep one block for what comes next. */
void popoto__arena_reset(arena *it);
/* The same, but keep no block larger than `most`. */
void popoto__arena_reset_to(arena *it, size_t most);
void popoto__arena_free(arena *it);

/* A growing run of bytes. After a failed append `failed` stays set and further appends do nothing;
 * check once, when done. */
typedef struct buffer {
    const popoto_allocator *allocator;
    char *data;
    size_t size;
    size_t capacity;
    bool failed;
} buffer;

void popoto__buffer_init(buffer *it, const popoto_allocator *allocator);
void popoto__buffer_append(buffer *it, const void *data, size_t size);
void popoto__buffer_append_text(buffer *it, const char *text);
/* Room for `size` bytes at the end, to be filled by the caller; NULL after a failure. */
char *popoto__buffer_grow(buffer *it, size_t size);
/* Empty it, keep its memory, forget a failure. */
void popoto__buffer_clear(buffer *it);
void popoto__buffer_free(buffer *it);

/* Copies the whole value into the arena, text with a NUL behind it. False, with *to null: no memory,
 * or more than VALUE_MAX_DEPTH lists, tuples, sets and maps one inside the other. */
#define VALUE_MAX_DEPTH 32
bool popoto__value_copy(arena *memory, const popoto_value *from, popoto_value *to);

/* "a moment", "text", "a list"...: what a person calls a type. */
const char *popoto__type_name(popoto_type type);

#endif
