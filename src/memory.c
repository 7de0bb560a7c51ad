/* memory - see memory.h. */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

/* ----- allocator ------------------------------------------------------------------------------ */

static void *resize_with_malloc(void *context, void *block, size_t size) {
    (void)context;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

popoto_allocator popoto__allocator_or_default(popoto_allocator given) {
    if (given.resize == NULL) {
        given.resize = resize_with_malloc;
        given.context = NULL;
    }
    return given;
}

void *popoto__allocate(const popoto_allocator *allocator, size_t size) {
    return popoto__reallocate(allocator, NULL, size);
}

void *popoto__allocate_zeroed(const popoto_allocator *allocator, size_t count, size_t size) {
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    void *block = popoto__allocate(allocator, count * size);
    if (block != NULL)
        memset(block, 0, count * size);
    return block;
}

void *popoto__reallocate(const popoto_allocator *allocator, void *block, size_t size) {
    /* To an allocator a size of 0 means release, so nothing is one byte. */
    return allocator->resize(allocator->context, block, size == 0 ? 1 : size);
}

/* The const goes here and nowhere else: whoever owns a block may give it back, also where the rest
 * of the library only reads it. */
void popoto__release(const popoto_allocator *allocator, const void *block) {
    if (block != NULL)
        allocator->resize(allocator->context, (void *)(uintptr_t)block, 0);
}

/* ----- arena ---------------------------------------------------------------------------------- */

/* Blocks form a list from the newest to the oldest:
 *
 *     newest -> [older | capacity | used ... next   free ... end]
 *                  |
 *                  +-> [older | capacity | used .............. ]
 */
struct arena_block {
    arena_block *older;
    size_t capacity;
    alignas(max_align_t) char data[];
};

#define ARENA_FIRST_BLOCK   1024
#define ARENA_LARGEST_BLOCK (64 * 1024)

void popoto__arena_init(arena *it, const popoto_allocator *allocator) {
    *it = (arena){ .allocator = allocator };
}

static size_t next_block_capacity(const arena *it) {
    if (it->newest == NULL)
        return ARENA_FIRST_BLOCK;
    size_t last = it->newest->capacity;
    return last >= ARENA_LARGEST_BLOCK / 2 ? ARENA_LARGEST_BLOCK : last * 2;
}

/* The slow path: a block of its own for something large, so that the free space of the newest block
 * stays in use; else a new newest block. Its start is aligned for every type. */
char *popoto__arena_grow(arena *it, size_t size) {
    size_t capacity = next_block_capacity(it);
    bool own_block = size > capacity / 4;
    if (own_block)
        capacity = size;
    if (capacity > SIZE_MAX - sizeof(arena_block))
        return NULL;
    arena_block *block = popoto__allocate(it->allocator, sizeof(arena_block) + capacity);
    if (block == NULL)
        return NULL;
    block->capacity = capacity;
    if (own_block && it->newest != NULL) {
        block->older = it->newest->older;
        it->newest->older = block;
        return block->data;
    }
    block->older = it->newest;
    it->newest = block;
    it->next = block->data + size;
    it->end = block->data + capacity;
    return block->data;
}

void *popoto__arena_zeroed(arena *it, size_t count, size_t size) {
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    void *found = popoto__arena_allocate(it, count * size);
    if (found != NULL)
        memset(found, 0, count * size);
    return found;
}

char *popoto__arena_copy(arena *it, const void *data, size_t size) {
    if (size == SIZE_MAX)
        return NULL;
    char *copy = popoto__arena_bytes(it, size + 1);
    if (copy == NULL)
        return NULL;
    if (size != 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

static void free_blocks(arena *it, arena_block *block) {
    while (block != NULL) {
        arena_block *older = block->older;
        popoto__release(it->allocator, block);
        block = older;
    }
}

void popoto__arena_reset(arena *it) {
    if (it->newest == NULL)
        return;
    free_blocks(it, it->newest->older);
    it->newest->older = NULL;
    it->next = it->newest->data;
    it->end = it->next + it->newest->capacity;
}

void popoto__arena_reset_to(arena *it, size_t most) {
    if (it->newest != NULL && it->newest->capacity > most)
        popoto__arena_free(it);
    else
        popoto__arena_reset(it);
}

void popoto__arena_free(arena *it) {
    free_blocks(it, it->newest);
    it->newest = NULL;
    it->next = it->end = NULL;
}

/* ----- buffer --------------------------------------------------------------------------------- */

#define BUFFER_FIRST_CAPACITY 64

void popoto__buffer_init(buffer *it, const popoto_allocator *allocator) {
    *it = (buffer){ .allocator = allocator };
}

/* Room for `size` more bytes, at least doubling, so that many small appends cost little. */
static bool reserve(buffer *it, size_t size) {
    if (it->failed)
        return false;
    if (it->data != NULL && size <= it->capacity - it->size)
        return true;
    size_t needed = it->size + size;
    size_t capacity = it->capacity <= SIZE_MAX / 2 ? it->capacity * 2 : SIZE_MAX;
    if (capacity < BUFFER_FIRST_CAPACITY)
        capacity = BUFFER_FIRST_CAPACITY;
    if (capacity < needed)
        capacity = needed;
    char *data = needed < size ? NULL : popoto__reallocate(it->allocator, it->data, capacity);
    if (data == NULL) {
        it->failed = true;
        return false;
    }
    it->data = data;
    it->capacity = capacity;
    return true;
}

char *popoto__buffer_grow(buffer *it, size_t size) {
    if (!reserve(it, size))
        return NULL;
    char *room = it->data + it->size;
    it->size += size;
    return room;
}

void popoto__buffer_append(buffer *it, const void *data, size_t size) {
    if (size == 0)
        return;
    char *room = popoto__buffer_grow(it, size);
    if (room != NULL)
        memcpy(room, data, size);
}

void popoto__buffer_append_text(buffer *it, const char *text) {
    popoto__buffer_append(it, text, strlen(text));
}

void popoto__buffer_clear(buffer *it) {
    it->size = 0;
    it->failed = false;
}

void popoto__buffer_free(buffer *it) {
    popoto__release(it->allocator, it->data);
    popoto__buffer_init(it, it->allocator);
}

/* ----- values --------------------------------------------------------------------------------- */

static bool copy_value(arena *memory, const popoto_value *from, popoto_value *to, int depth);

static bool copy_items(arena *memory, const popoto_value *from, popoto_value *to, int depth) {
    size_t count = from->as.list.count;
    if (depth >= VALUE_MAX_DEPTH)
        return false;
    popoto_value *items = popoto__arena_zeroed(memory, count, sizeof(popoto_value));
    if (items == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!copy_value(memory, &from->as.list.items[i], &items[i], depth + 1))
            return false;
    to->as.list.items = items;
    return true;
}

static bool copy_value(arena *memory, const popoto_value *from, popoto_value *to, int depth) {
    *to = *from;
    switch (from->type) {
    case POPOTO_TEXT:
    case POPOTO_DECIMAL:
        if (from->as.text.data != NULL)
            to->as.text.data = popoto__arena_copy(memory, from->as.text.data, from->as.text.size);
        return to->as.text.data != NULL || from->as.text.data == NULL;
    case POPOTO_BYTES:
        if (from->as.bytes.data != NULL)
            to->as.bytes.data =
                popoto__arena_copy(memory, from->as.bytes.data, from->as.bytes.size);
        return to->as.bytes.data != NULL || from->as.bytes.data == NULL;
    case POPOTO_LIST:
    case POPOTO_TUPLE:
    case POPOTO_SET:
    case POPOTO_MAP: return copy_items(memory, from, to, depth);
    default: return true;
    }
}

bool popoto__value_copy(arena *memory, const popoto_value *from, popoto_value *to) {
    popoto_value copy;
    bool copied = copy_value(memory, from, &copy, 0);
    *to = copied ? copy : (popoto_value){ POPOTO_NULL, { 0 } };
    return copied;
}

const char *popoto__type_name(popoto_type type) {
    switch (type) {
    case POPOTO_NULL: return "null";
    case POPOTO_BOOL: return "a bool";
    case POPOTO_INT: return "an integer";
    case POPOTO_FLOAT: return "a float";
    case POPOTO_TEXT: return "text";
    case POPOTO_BYTES: return "bytes";
    case POPOTO_TIME: return "a moment";
    case POPOTO_DAY: return "a day";
    case POPOTO_CLOCK: return "a time of day";
    case POPOTO_DECIMAL: return "a decimal";
    case POPOTO_LIST: return "a list";
    case POPOTO_TUPLE: return "a tuple";
    case POPOTO_SET: return "a set";
    case POPOTO_MAP: return "a map";
    case POPOTO_ANY: return "any value";
    }
    return "an unknown type";
}
