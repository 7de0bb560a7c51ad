#include "migration_report.h"

#include "key.h"

#include <stdlib.h>
#include <string.h>

migration_report *popoto__report_new(popoto_db *db) {
    migration_report *it = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it);
    if (it == NULL)
        return NULL;
    it->allocator = db->allocator;
    popoto__arena_init(&it->memory, &it->allocator);
    return it;
}

static popoto_migration_partition *slot_of(tally *it, popoto_text name) {
    size_t at = (size_t)popoto__digest(name.data, name.size) & (it->room - 1);
    while (it->slots[at].name.data != NULL &&
           (it->slots[at].name.size != name.size ||
            memcmp(it->slots[at].name.data, name.data, name.size) != 0))
        at = (at + 1) & (it->room - 1);
    return &it->slots[at];
}

static bool grow_tally(migration_report *it) {
    tally bigger = { .room = it->partitions.room ? it->partitions.room * 2 : 16 };
    bigger.slots = popoto__arena_zeroed(&it->memory, bigger.room, sizeof *bigger.slots);
    if (bigger.slots == NULL)
        return false;
    for (size_t i = 0; i < it->partitions.room; i++)
        if (it->partitions.slots[i].name.data != NULL)
            *slot_of(&bigger, it->partitions.slots[i].name) = it->partitions.slots[i];
    bigger.count = it->partitions.count;
    it->partitions = bigger;
    return true;
}

bool popoto__report_count(migration_report *it, popoto_text name) {
    if (2 * it->partitions.count >= it->partitions.room && !grow_tally(it))
        return false;
    popoto_migration_partition *slot = slot_of(&it->partitions, name);
    if (slot->name.data == NULL) {
        char *copy = popoto__arena_copy(&it->memory, name.data, name.size);
        if (copy == NULL)
            return false;
        slot->name = (popoto_text){ copy, name.size };
        it->partitions.count++;
    }
    slot->count++;
    return true;
}

bool popoto__report_error(migration_report *it, popoto_text member, const char *reason) {
    size_t count = it->public.error_count;
    if (count == it->error_room) {
        size_t room = it->error_room ? it->error_room * 2 : 16;
        popoto_migration_error *bigger = popoto__arena_allocate(&it->memory, room * sizeof *bigger);
        if (bigger == NULL)
            return false;
        if (count > 0)
            memcpy(bigger, it->errors, count * sizeof *bigger);
        it->errors = bigger;
        it->error_room = room;
    }
    char *name = popoto__arena_copy(&it->memory, member.data, member.size);
    char *text = popoto__arena_copy(&it->memory, reason, strlen(reason));
    if (name == NULL || text == NULL)
        return false;
    it->errors[count] = (popoto_migration_error){ { name, member.size }, text };
    it->public.error_count++;
    it->public.errors = it->errors;
    return true;
}

static int by_name(const void *left, const void *right) {
    popoto_text one = ((const popoto_migration_partition *)left)->name;
    popoto_text other = ((const popoto_migration_partition *)right)->name;
    int order = memcmp(one.data, other.data, one.size < other.size ? one.size : other.size);
    return order != 0 ? order : (one.size > other.size) - (one.size < other.size);
}

void popoto__report_unescape(migration_report *it) {
    for (size_t i = 0; i < it->partitions.room; i++) {
        popoto_text *name = &it->partitions.slots[i].name;
        buffer plain;
        popoto__buffer_init(&plain, &it->allocator);
        if (name->data != NULL)
            popoto__key_unescape(&plain, name->data, name->size);
        const char *copy = plain.failed || plain.size == 0
                               ? NULL
                               : popoto__arena_copy(&it->memory, plain.data, plain.size);
        if (copy != NULL)
            *name = (popoto_text){ copy, plain.size };
        popoto__buffer_free(&plain);
    }
}

/* The slots without the empty ones, by name. */
void popoto__report_finish(migration_report *it) {
    size_t count = 0;
    for (size_t i = 0; i < it->partitions.room; i++)
        if (it->partitions.slots[i].name.data != NULL)
            it->partitions.slots[count++] = it->partitions.slots[i];
    if (count > 0)
        qsort(it->partitions.slots, count, sizeof *it->partitions.slots, by_name);
    it->public.partitions = it->partitions.slots;
    it->public.partition_count = count;
}

void popoto_migration_report_free(popoto_migration_report *given) {
    if (given == NULL)
        return;
    migration_report *it = (migration_report *)given;
    popoto_allocator allocator = it->allocator;
    popoto__arena_free(&it->memory);
    popoto__release(&allocator, it);
}
