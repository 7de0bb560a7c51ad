#include "operator_commands.h"

#include <string.h>

#define PUBLISHED "$Popoto:Models"

index_shape popoto__index_shape(const field *about) {
    if (about == NULL)
        return SHAPE_SET;
    return about->kind == POPOTO_KIND_SORTED       ? SHAPE_SORTED
           : about->kind == POPOTO_KIND_CONFIDENCE ? SHAPE_HASH
                                                   : SHAPE_SET;
}

/* ----- Patterns ------------------------------------------------------------------------------- */

static popoto_text taken(buffer *from, arena *memory) {
    popoto_text text = { NULL, from->size };
    if (!from->failed)
        text.data = popoto__arena_copy(memory, from->data, from->size);
    popoto__buffer_free(from);
    return text;
}

/* "{project-a}:", or of any tenant; nothing where the model is not strict. */
static void begin_pattern(const model *of, popoto_text segment, buffer *out) {
    if (of->tenant == NULL)
        return;
    popoto__buffer_append_text(out, "{");
    if (segment.data != NULL)
        popoto__key_pattern_literal(out, segment.data, segment.size);
    else
        popoto__buffer_append_text(out, "*");
    popoto__buffer_append_text(out, "}:");
}

popoto_text popoto__record_pattern(const model *of, const field *about, popoto_text segment,
                                   arena *memory) {
    buffer text;
    popoto__buffer_init(&text, memory->allocator);
    begin_pattern(of, about != NULL && about == of->tenant ? segment : (popoto_text){ NULL, 0 },
                  &text);
    popoto__buffer_append(&text, of->name.data, of->name.size);
    if (about == NULL && of->key_count > 0)
        popoto__buffer_append_text(&text, ":*");
    for (size_t i = 0; about != NULL && i < of->key_count; i++) {
        popoto__buffer_append_text(&text, ":");
        if (about == &of->fields[of->keys[i]])
            popoto__key_pattern_literal(&text, segment.data, segment.size);
        else
            popoto__buffer_append_text(&text, "*");
    }
    /* A strict model may have no other key than its tenant. */
    return taken(&text, memory);
}

popoto_text popoto__index_pattern(const model *of, popoto_text segment, arena *memory) {
    buffer text;
    popoto__buffer_init(&text, memory->allocator);
    begin_pattern(of, segment, &text);
    popoto__buffer_append_text(&text, "$*:");
    popoto__buffer_append(&text, of->name.data, of->name.size);
    popoto__buffer_append_text(&text, "*");
    return taken(&text, memory);
}

popoto_text popoto__class_pattern(const model *of, arena *memory) {
    buffer text;
    popoto__buffer_init(&text, memory->allocator);
    begin_pattern(of, (popoto_text){ NULL, 0 }, &text);
    popoto__buffer_append(&text, of->class_prefix.data, of->class_prefix.size);
    return taken(&text, memory);
}

popoto_text popoto__tenant_pattern(popoto_text segment, arena *memory) {
    buffer text;
    popoto__buffer_init(&text, memory->allocator);
    popoto__buffer_append_text(&text, "{");
    popoto__key_pattern_literal(&text, segment.data, segment.size);
    popoto__buffer_append_text(&text, "}:*");
    return taken(&text, memory);
}

/* ----- What a key is -------------------------------------------------------------------------- */

static bool same(popoto_text a, popoto_text b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* The key without "{tenant}:"; data NULL: it begins with none, and the model is strict. */
static popoto_text without_tenant(const model *of, popoto_text key) {
    if (of->tenant == NULL)
        return key;
    popoto_text tenant = popoto__key_tenant(key);
    size_t skipped = tenant.size + 3;
    if (tenant.data == NULL || key.size < skipped || key.data[skipped - 1] != ':')
        return (popoto_text){ NULL, 0 };
    return (popoto_text){ key.data + skipped, key.size - skipped };
}

bool popoto__key_has(const model *of, const field *about, popoto_text segment, popoto_text key) {
    popoto_text found = popoto__key_segment(of, about, key);
    return found.data != NULL && (about == NULL || same(found, segment));
}

/* Whether `key` is `prefix`, or goes on after it with a separator. */
static bool begins(popoto_text key, popoto_text prefix) {
    return key.size >= prefix.size && memcmp(key.data, prefix.data, prefix.size) == 0 &&
           (key.size == prefix.size || key.data[prefix.size] == ':');
}

/* "$KeyF:Episode:" and its like of the dialect's, whatever field comes next. */
static bool is_named_as_ours(const model *of, popoto_text key) {
    static const popoto_kind kinds[] = { POPOTO_KIND_KEY, POPOTO_KIND_UNIQUE_KEY,
                                         POPOTO_KIND_SORTED, POPOTO_KIND_CONFIDENCE };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        popoto_text kind = popoto__index_prefix(of, kinds[i]);
        if (key.size > kind.size + of->name.size + 2 &&
            memcmp(key.data, kind.data, kind.size) == 0 && key.data[kind.size] == ':' &&
            memcmp(key.data + kind.size + 1, of->name.data, of->name.size) == 0 &&
            key.data[kind.size + 1 + of->name.size] == ':')
            return true;
    }
    return false;
}

index_kind popoto__index_of_key(const model *of, popoto_text key, const field **about) {
    popoto_text rest = without_tenant(of, key);
    *about = NULL;
    if (rest.data == NULL)
        return INDEX_NONE;
    if (same(rest, of->class_prefix))
        return INDEX_CLASS;
    for (size_t i = 0; i < of->field_count; i++)
        if (of->fields[i].prefix.data != NULL && begins(rest, of->fields[i].prefix)) {
            *about = &of->fields[i];
            return INDEX_FIELD;
        }
    return is_named_as_ours(of, rest) ? INDEX_UNKNOWN : INDEX_NONE;
}

/* ----- Commands ------------------------------------------------------------------------------- */

static void render_text(buffer *out, popoto_text text) {
    popoto__request_argument(out, text.data, text.size);
}

static void render_texts(const char *name, const popoto_text *texts, size_t count, buffer *out) {
    popoto__request_begin(out, 1 + count);
    popoto__request_text(out, name);
    for (size_t i = 0; i < count; i++)
        render_text(out, texts[i]);
}

static void render_scan_tail(popoto_text pattern, size_t about, buffer *out) {
    popoto__request_text(out, "COUNT");
    popoto__request_integer(out, (int64_t)about);
    if (pattern.data == NULL)
        return;
    popoto__request_text(out, "MATCH");
    render_text(out, pattern);
}

void popoto__render_key_scan(popoto_text pattern, popoto_text cursor, size_t about, buffer *out) {
    popoto__request_begin(out, pattern.data != NULL ? 6 : 4);
    popoto__request_text(out, "SCAN");
    render_text(out, cursor);
    render_scan_tail(pattern, about, out);
}

void popoto__render_entry_scan(index_shape shape, popoto_text key, popoto_text cursor,
                               popoto_text pattern, size_t about, buffer *out) {
    static const char *const names[] = {
        [SHAPE_SET] = "SSCAN", [SHAPE_SORTED] = "ZSCAN", [SHAPE_HASH] = "HSCAN"
    };
    popoto__request_begin(out, pattern.data != NULL ? 7 : 5);
    popoto__request_text(out, names[shape]);
    render_text(out, key);
    render_text(out, cursor);
    render_scan_tail(pattern, about, out);
}

void popoto__render_index_size(index_shape shape, popoto_text key, buffer *out) {
    static const char *const names[] = {
        [SHAPE_SET] = "SCARD", [SHAPE_SORTED] = "ZCARD", [SHAPE_HASH] = "HLEN"
    };
    render_texts(names[shape], &key, 1, out);
}

void popoto__render_entries(index_shape shape, popoto_text key, const popoto_text *members,
                            size_t count, buffer *out) {
    static const char *const names[] = {
        [SHAPE_SET] = "SMISMEMBER", [SHAPE_SORTED] = "ZMSCORE", [SHAPE_HASH] = "HMGET"
    };
    popoto__request_begin(out, 2 + count);
    popoto__request_text(out, names[shape]);
    render_text(out, key);
    for (size_t i = 0; i < count; i++)
        render_text(out, members[i]);
}

void popoto__render_exist(const popoto_text *keys, size_t count, buffer *out) {
    render_texts("EXISTS", keys, count, out);
}

void popoto__render_unlink(const popoto_text *keys, size_t count, buffer *out) {
    render_texts("UNLINK", keys, count, out);
}

void popoto__render_word(const char *word, buffer *out) {
    render_texts(word, NULL, 0, out);
}

void popoto__render_memory_usage(popoto_text key, buffer *out) {
    render_texts("MEMORY", (const popoto_text[]){ TEXT("USAGE"), key }, 2, out);
}

void popoto__render_idle_time(popoto_text key, buffer *out) {
    render_texts("OBJECT", (const popoto_text[]){ TEXT("IDLETIME"), key }, 2, out);
}

void popoto__render_time_to_live(popoto_text key, buffer *out) {
    render_texts("TTL", &key, 1, out);
}

void popoto__render_tenant_forget(const model *of, popoto_text segment, buffer *out) {
    char list[MODEL_MAX_NAME + 16] = "$Tenants:";
    memcpy(list + 9, of->name.data, of->name.size);
    render_texts("SREM", (const popoto_text[]){ { list, 9 + of->name.size }, segment }, 2, out);
}

void popoto__render_publish(popoto_text name, popoto_text described, buffer *out) {
    render_texts("HSET", (const popoto_text[]){ TEXT(PUBLISHED), name, described }, 3, out);
}

void popoto__render_published(popoto_text cursor, buffer *out) {
    popoto__render_entry_scan(SHAPE_HASH, TEXT(PUBLISHED), cursor, (popoto_text){ NULL, 0 }, 64,
                              out);
}

void popoto__plan_leave(plan *it, index_shape shape, popoto_text index, popoto_text member) {
    static const popoto_text names[] = {
        [SHAPE_SET] = { "SREM", 4 }, [SHAPE_SORTED] = { "ZREM", 4 }, [SHAPE_HASH] = { "HDEL", 4 }
    };
    popoto__plan_command(it, (const popoto_text[]){ names[shape], index, member }, 3, 1);
}
