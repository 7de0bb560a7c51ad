#include "name_set.h"

#include "digest.h"

#include <string.h>

void popoto__name_set_init(name_set *it, const popoto_allocator *allocator) {
    popoto__arena_init(&it->memory, allocator);
    it->names = NULL;
    it->room = it->count = 0;
}

void popoto__name_set_free(name_set *it) {
    popoto__release(it->memory.allocator, it->names);
    popoto__arena_free(&it->memory);
}

void popoto__name_set_clear(name_set *it) {
    if (it->count > 0)
        memset(it->names, 0, it->room * sizeof *it->names);
    it->count = 0;
    popoto__arena_reset(&it->memory);
}

/* Where a name is, or is to be put. */
static popoto_text *place_of(const name_set *it, popoto_text name) {
    size_t at = (size_t)(popoto__digest(name.data, name.size) % it->room);
    while (it->names[at].data != NULL && (it->names[at].size != name.size ||
                                          memcmp(it->names[at].data, name.data, name.size) != 0))
        at = (at + 1) % it->room;
    return &it->names[at];
}

/* Room for so many more, of which at most half is in use. */
static bool expect(name_set *it, size_t count) {
    name_set bigger = *it;
    bigger.room = it->room != 0 ? it->room : 128;
    while (bigger.room / 2 < it->count + count)
        bigger.room *= 2;
    if (bigger.room == it->room)
        return true;
    bigger.names = popoto__allocate_zeroed(it->memory.allocator, bigger.room, sizeof *it->names);
    if (bigger.names == NULL)
        return false;
    for (size_t i = 0; i < it->room; i++)
        if (it->names[i].data != NULL)
            *place_of(&bigger, it->names[i]) = it->names[i];
    popoto__release(it->memory.allocator, it->names);
    *it = bigger;
    return true;
}

bool popoto__name_set_drop_met(name_set *it, popoto_text *names, size_t *count) {
    size_t kept = 0;
    if (!expect(it, *count))
        return false;
    for (size_t i = 0; i < *count; i++) {
        popoto_text *place = place_of(it, names[i]);
        if (place->data != NULL)
            continue;
        place->data = popoto__arena_copy(&it->memory, names[i].data, names[i].size);
        if (place->data == NULL)
            return false;
        place->size = names[i].size;
        it->count++;
        names[kept++] = names[i];
    }
    *count = kept;
    return true;
}
