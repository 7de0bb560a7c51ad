#include "mistyped.h"

#include <stdio.h>
#include <string.h>

/* As TYPE calls them, and as we do. */
static const struct {
    const char *type, *name;
} types[] = {
    { "string", "a string" },         { "list", "a list" }, { "set", "a set" },
    { "zset", "a sorted set" },       { "hash", "a hash" }, { "stream", "a stream" },
    { "none", "nothing (any more)" },
};
#define OTHER "a value of a module"

typedef struct found {
    popoto_db *db;
    const char *names[MISTYPED_MOST];
} found;

static popoto_status take_type(void *context, size_t index, const reply *answer) {
    found *it = context;
    if (answer->type != REPLY_STATUS && answer->type != REPLY_STRING)
        return popoto__reply_failure(answer, "asking for a key's type", &it->db->why);
    it->names[index] = OTHER;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (answer->size == strlen(types[i].type) &&
            memcmp(answer->text, types[i].type, answer->size) == 0)
            it->names[index] = types[i].name;
    return POPOTO_OK;
}

static popoto_status ask(found *it, const popoto_text *keys, size_t count) {
    popoto__buffer_clear(&it->db->request);
    for (size_t i = 0; i < count; i++)
        popoto__render_type(keys[i], &it->db->request);
    return count == 0 ? POPOTO_OK : popoto__db_exchange(it->db, count, false, NULL, take_type, it);
}

popoto_status popoto__mistyped_index(popoto_db *db, const read_plan *from, popoto_status status) {
    popoto_text keys[MISTYPED_MOST] = { { NULL, 0 } };
    const char *wanted[MISTYPED_MOST];
    failure why = db->why;
    found what = { .db = db };
    size_t count = 0;
    shown room;
    if (status != POPOTO_CORRUPT)
        return status;
    for (size_t i = 0; i < from->set_count && count < MISTYPED_MOST; i++) {
        wanted[count] = "a set";
        keys[count++] = from->sets[i];
    }
    for (size_t i = 0; i < from->range_count && count < MISTYPED_MOST; i++) {
        wanted[count] = "a sorted set";
        keys[count++] = from->ranges[i].key;
    }
    popoto_status asked = ask(&what, keys, count);
    db->why = why;
    for (size_t i = 0; asked == POPOTO_OK && i < count; i++)
        if (strcmp(what.names[i], wanted[i]) != 0 && strncmp(what.names[i], "nothing", 7) != 0)
            return popoto__fail(&db->why, POPOTO_CORRUPT, "the index %.300s holds %s, not %s",
                                popoto__show(&room, keys[i].data, keys[i].size), what.names[i],
                                wanted[i]);
    return status;
}

popoto_status popoto__mistyped_records(popoto_db *db, const model *of, popoto_rows *rows,
                                       const popoto_text *keys, size_t count) {
    found what = { .db = db };
    popoto_status status = ask(&what, keys, count);
    for (size_t i = 0; i < count && status == POPOTO_OK; i++) {
        char text[80];
        snprintf(text, sizeof text, "it holds %s, not a hash", what.names[i]);
        if (!popoto__rows_note(rows, of, keys[i], text))
            status = popoto__fail_memory(&db->why);
    }
    return status;
}
