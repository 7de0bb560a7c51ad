/* name_set - the names that a reading met, where its indexes may name a record twice: by their digests, each at its
 * own place or the next free one. Pure: knows neither indexes nor commands. */
#ifndef POPOTO_NAME_SET_H
#define POPOTO_NAME_SET_H

#include "memory.h"

typedef struct name_set {
    arena memory; /* of their text */
    popoto_text *names;
    size_t room, count;
} name_set;

void popoto__name_set_init(name_set *it, const popoto_allocator *allocator);
void popoto__name_set_free(name_set *it);
/* Forget all of them, but keep the room. */
void popoto__name_set_clear(name_set *it);
/* Leave out of names[0..*count) what was met before, there or in an earlier call, and remember the rest. False: no
 * memory; then some may be remembered that are not left out. */
bool popoto__name_set_drop_met(name_set *it, popoto_text *names, size_t *count);

#endif
