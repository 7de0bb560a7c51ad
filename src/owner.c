#include "owner.h"

#include <string.h>

popoto_status popoto__owner_field(popoto_db *db, const model *of, const char *name,
                                  const field **about) {
    shown room;
    *about = of->tenant;
    if (of->tenant != NULL)
        return POPOTO_OK;
    if (name == NULL)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                            "%s has no TENANT: name the field whose values are its tenants",
                            of->name.data);
    *about = popoto__model_field(of, name, strlen(name));
    if (*about == NULL)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "%s has no field %s", of->name.data,
                            popoto__show(&room, name, strlen(name)));
    /* By its key alone is it certain whose a record is, also one that is damaged or gone. */
    if (!(*about)->is_key)
        return popoto__fail(
            &db->why, POPOTO_BAD_ARGUMENT,
            "%s.%s is no part of the key: only a field of the key tells whose a record is",
            of->name.data, name);
    return POPOTO_OK;
}

static popoto_status set_owner(popoto_db *db, const popoto_tenant_desc *desc, size_t index,
                               arena *memory, owner *it) {
    popoto_value given = desc->tenant;
    const char *name = desc->tenant_fields != NULL ? desc->tenant_fields[index] : NULL;
    popoto_status status =
        popoto__owner_field(db, it->of, name != NULL ? name : desc->tenant_field, &it->about);
    if (status == POPOTO_OK)
        status = popoto__scope_complete(db, it->of, it->about, &given);
    if (status == POPOTO_OK)
        status = popoto__field_accept(it->of, it->about, &given, &it->value, &db->why);
    if (status == POPOTO_OK)
        status = popoto__segment(it->of, it->about, &it->value, memory, &it->segment, &db->why);
    if (status != POPOTO_OK)
        return status;
    it->records = popoto__record_pattern(it->of, it->about, it->segment, memory);
    return it->records.data != NULL ? POPOTO_OK : popoto__fail_memory(&db->why);
}

popoto_status popoto__owners(popoto_db *db, const popoto_tenant_desc *desc, arena *memory,
                             owner **owners) {
    *owners = NULL;
    if (desc == NULL || desc->models == NULL || desc->model_count == 0)
        return popoto__db_needs(db, "a description of the tenant, with models,");
    owner *items = popoto__arena_zeroed(memory, desc->model_count, sizeof *items);
    if (items == NULL)
        return popoto__fail_memory(&db->why);
    for (size_t i = 0; i < desc->model_count; i++) {
        popoto_status status = popoto__db_begin(db, desc->models[i], &items[i].of);
        if (status == POPOTO_OK)
            status = set_owner(db, desc, i, memory, &items[i]);
        if (status != POPOTO_OK)
            return status;
    }
    *owners = items;
    return POPOTO_OK;
}

popoto_status popoto__owner_index(popoto_db *db, const owner *it, arena *memory, index_ref *out) {
    popoto_text *segments = popoto__arena_zeroed(memory, it->of->field_count, sizeof *segments);
    *out = (index_ref){ .about = it->of->tenant == NULL ? it->about : NULL };
    if (segments == NULL)
        return popoto__fail_memory(&db->why);
    if (out->about != NULL && out->about->prefix.data == NULL)
        out->about = NULL; /* an AUTO_KEY has no index */
    segments[it->about->index] = it->segment;
    out->key = out->about == NULL ? popoto__class_key(it->of, segments, memory)
                                  : popoto__index_key(it->of, it->about, segments, memory);
    return out->key.data != NULL ? POPOTO_OK : popoto__fail_memory(&db->why);
}

bool popoto__owner_has(const owner *it, popoto_text key) {
    return popoto__key_has(it->of, it->about, it->segment, key);
}

popoto_status popoto__refuse_scopes(popoto_db *db, const model *of, const char *what) {
    for (size_t i = 0; i < of->field_count; i++) {
        const popoto_value *given = popoto__scope_value(db, &of->fields[i]);
        shown room;
        if (given != NULL)
            return popoto__fail(&db->why, POPOTO_BAD_SCOPE,
                                "%s is about every %s, and this thread is in the scope %s = %s: "
                                "leave that first",
                                what, of->fields[i].name, of->fields[i].name,
                                popoto__show_value(&room, given));
    }
    return POPOTO_OK;
}
