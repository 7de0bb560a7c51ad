/* scope - the tenants that a thread has entered on a db, innermost first. A scope belongs to its thread:
 * another one that is given the same db later does not see it. */
#include "db.h"

#include <string.h>
#include <uuid/uuid.h>

struct scope {
    scope *outer;
    uint64_t thread;
    arena memory; /* of the name and the value */
    const char *name;
    popoto_value value;
};

/* The one thing in the library that is per thread: a number that no other thread has ever had, unlike
 * its id or address, which a later thread may be given again. */
static _Thread_local uint64_t this_thread;

static uint64_t thread_number(void) {
    while (this_thread == 0) {
        uuid_t random;
        uuid_generate_random(random);
        memcpy(&this_thread, random, sizeof this_thread);
    }
    return this_thread;
}

popoto_status popoto_scope_enter_value(popoto_db *db, const char *name, popoto_value value) {
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    if (name == NULL || name[0] == '\0' || value.type == POPOTO_NULL)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                            "a scope needs the name of a field and a value for it");
    if (value.type == POPOTO_TEXT && value.as.text.size == 0)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                            "a scope of an empty %.100s: was the tenant forgotten?", name);
    scope *it = popoto__allocate_zeroed(&db->allocator, 1, sizeof *it);
    if (it == NULL)
        return popoto__fail_memory(&db->why);
    popoto__arena_init(&it->memory, &db->allocator);
    it->name = popoto__arena_copy(&it->memory, name, strlen(name));
    if (it->name == NULL || !popoto__value_copy(&it->memory, &value, &it->value)) {
        popoto__arena_free(&it->memory);
        popoto__release(&db->allocator, it);
        return popoto__fail_memory(&db->why);
    }
    it->thread = thread_number();
    it->outer = db->scopes;
    db->scopes = it;
    return POPOTO_OK;
}

popoto_status popoto_scope_enter(popoto_db *db, const char *name, const char *value) {
    return popoto_scope_enter_value(db, name, popoto_of_text(value));
}

static void scope_free(popoto_db *db, scope *it) {
    popoto__arena_free(&it->memory);
    popoto__release(&db->allocator, it);
}

popoto_status popoto_scope_leave(popoto_db *db) {
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    for (scope **at = &db->scopes; *at != NULL; at = &(*at)->outer)
        if ((*at)->thread == thread_number()) {
            scope *left = *at;
            *at = left->outer;
            scope_free(db, left);
            return POPOTO_OK;
        }
    return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                        "there is no scope to leave: this thread entered none, or left them all");
}

void popoto__scopes_free(popoto_db *db) {
    while (db->scopes != NULL) {
        scope *it = db->scopes;
        db->scopes = it->outer;
        scope_free(db, it);
    }
}

const popoto_value *popoto__scope_value(const popoto_db *db, const field *about) {
    if (db->scopes == NULL)
        return NULL;
    for (const scope *it = db->scopes; it != NULL; it = it->outer)
        if (it->thread == thread_number() && strcmp(it->name, about->name) == 0)
            return &it->value;
    return NULL;
}

popoto_status popoto__scope_refuse(popoto_db *db, const model *of, const field *about,
                                   const popoto_value *named, const popoto_value *scoped) {
    shown one, other;
    return popoto__fail(&db->why, POPOTO_BAD_SCOPE,
                        "%s.%s = %s contradicts the scope that this thread is in, %s = %s",
                        of->name.data, about->name, popoto__show_value(&one, named), about->name,
                        popoto__show_value(&other, scoped));
}

popoto_status popoto__scope_unfit(popoto_db *db, const model *of, const field *about,
                                  const popoto_value *scoped) {
    shown room;
    return popoto__fail(
        &db->why, POPOTO_BAD_SCOPE,
        "%s.%s is %s, which the value of the scope that this thread is in, %s, is not",
        of->name.data, about->name, popoto__type_name(about->type),
        popoto__show_value(&room, scoped));
}

/* Whether a member says nothing: null, or the zero that a member without a null has when it was never
 * set. */
static bool is_unset(const field *about, const popoto_value *value) {
    bool no_null = about->declared->member != POPOTO_MEMBER_NONE;
    switch (value->type) {
    case POPOTO_NULL: return true;
    case POPOTO_BOOL: return no_null && !value->as.boolean;
    case POPOTO_INT: return no_null && value->as.integer == 0;
    case POPOTO_FLOAT: return no_null && value->as.real == 0;
    case POPOTO_TEXT:
        return value->as.text.size == 0 && about->declared->member == POPOTO_MEMBER_ARRAY;
    default: return false;
    }
}

popoto_status popoto__scope_complete(popoto_db *db, const model *of, const field *about,
                                     popoto_value *value) {
    const popoto_value *given = popoto__scope_value(db, about);
    popoto_value scoped, named;
    if (given == NULL)
        return POPOTO_OK;
    if (!popoto__field_convert(about, given, &scoped))
        return popoto__scope_unfit(db, of, about, given);
    if (!popoto__field_convert(about, value, &named) ||
        (!is_unset(about, value) && !popoto_value_equal(&named, &scoped)))
        return popoto__scope_refuse(db, of, about, value, given);
    *value = scoped;
    return POPOTO_OK;
}

popoto_status popoto__db_values(popoto_db *db, const model *of, const void *object,
                                popoto_value *values) {
    popoto_status status = popoto__object_values(of, object, values, &db->why);
    if (db->scopes == NULL)
        return status;
    for (size_t i = 0; status == POPOTO_OK && i < of->field_count; i++)
        status = popoto__scope_complete(db, of, &of->fields[i], &values[i]);
    return status;
}

popoto_status popoto__scope_check_key(popoto_db *db, const model *of, popoto_text key) {
    placement stands;
    if (db->scopes == NULL || !popoto__placement_of_key(of, key, &db->scratch, &stands))
        return POPOTO_OK;
    for (size_t i = 0; i < of->key_count; i++) {
        const field *about = &of->fields[of->keys[i]];
        const popoto_value *given = popoto__scope_value(db, about);
        popoto_text is = stands.segments[about->index], wanted;
        popoto_value scoped;
        if (given == NULL || !popoto__field_convert(about, given, &scoped))
            continue;
        popoto_status status = popoto__segment(of, about, &scoped, &db->scratch, &wanted, &db->why);
        if (status != POPOTO_OK)
            return status;
        if (is.size != wanted.size || memcmp(is.data, wanted.data, is.size) != 0) {
            popoto_value named = popoto_of_sized_text(is);
            return popoto__scope_refuse(db, of, about, &named, given);
        }
    }
    return POPOTO_OK;
}

bool popoto__scope_pins(popoto_db *db, const model *of, const bool **pinned) {
    *pinned = NULL;
    if (db->scopes == NULL)
        return true;
    bool *names = popoto__arena_zeroed(&db->scratch, of->field_count, sizeof *names);
    for (size_t i = 0; names != NULL && i < of->field_count; i++)
        names[i] = popoto__scope_value(db, &of->fields[i]) != NULL;
    *pinned = names;
    return names != NULL;
}
