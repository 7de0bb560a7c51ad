#include "read_commands.h"

#include <string.h>

/* One argument made of two parts. */
static void render_joined(buffer *out, popoto_text first, popoto_text second) {
    char room[2 * MODEL_MAX_NAME + 32];
    memcpy(room, first.data, first.size);
    memcpy(room + first.size, second.data, second.size);
    popoto__request_argument(out, room, first.size + second.size);
}

static void render_text(buffer *out, popoto_text text) {
    popoto__request_argument(out, text.data, text.size);
}

void popoto__render_members(const read_plan *it, buffer *out) {
    popoto__request_begin(out, 1 + it->set_count);
    popoto__request_text(out, it->set_count == 1 ? "SMEMBERS" : it->any_set ? "SUNION" : "SINTER");
    for (size_t i = 0; i < it->set_count; i++)
        render_text(out, it->sets[i]);
}

void popoto__render_scan(popoto_text set, popoto_text cursor, size_t about, buffer *out) {
    popoto__request_begin(out, 5);
    popoto__request_text(out, "SSCAN");
    render_text(out, set);
    render_text(out, cursor);
    popoto__request_text(out, "COUNT");
    popoto__request_integer(out, (int64_t)about);
}

void popoto__render_range(const sorted_range *range, bool descending, const popoto_text *from,
                          size_t skip, size_t count, buffer *out) {
    popoto__request_begin(out, 8);
    popoto__request_text(out, descending ? "ZREVRANGEBYSCORE" : "ZRANGEBYSCORE");
    render_text(out, range->key);
    render_text(out, from != NULL ? *from : descending ? range->high : range->low);
    render_text(out, descending ? range->low : range->high);
    popoto__request_text(out, "WITHSCORES");
    popoto__request_text(out, "LIMIT");
    popoto__request_integer(out, (int64_t)skip);
    popoto__request_integer(out, (int64_t)count);
}

void popoto__render_names(const sorted_range *range, bool descending, size_t skip, size_t count,
                          buffer *out) {
    popoto__request_begin(out, 7);
    popoto__request_text(out, descending ? "ZREVRANGEBYSCORE" : "ZRANGEBYSCORE");
    render_text(out, range->key);
    render_text(out, descending ? range->high : range->low);
    render_text(out, descending ? range->low : range->high);
    popoto__request_text(out, "LIMIT");
    popoto__request_integer(out, (int64_t)skip);
    popoto__request_integer(out, (int64_t)count);
}

void popoto__render_scores(popoto_text key, const popoto_text *members, size_t count, buffer *out) {
    popoto__request_begin(out, 2 + count);
    popoto__request_text(out, "ZMSCORE");
    render_text(out, key);
    for (size_t i = 0; i < count; i++)
        render_text(out, members[i]);
}

static void render_fetch_head(size_t fields, buffer *out) {
    popoto__request_begin(out, 2 + fields);
    popoto__request_text(out, "HMGET");
}

static void render_fetch_tail(const model *of, const query *what, buffer *out) {
    size_t count = what != NULL ? what->fetched_count : of->field_count;
    for (size_t i = 0; i < count; i++) {
        const field *about = what != NULL ? what->fetched[i].about : &of->fields[i];
        popoto__request_argument(out, about->name, about->name_size);
    }
}

void popoto__render_fetch(const model *of, popoto_text key, buffer *out) {
    popoto__render_fetches(of, NULL, &key, 1, out);
}

void popoto__render_fetches(const model *of, const query *what, const popoto_text *keys,
                            size_t count, buffer *out) {
    /* Only the key tells one command from the next, and most are of one length: of such the whole command is
     * copied from the last one that was rendered, and the key written over. */
    size_t model_at = 0, model_size = 0, key_at = 0;
    for (size_t i = 0; i < count && !out->failed; i++) {
        if (i > 0 && keys[i].size != 0 && keys[i].size == keys[i - 1].size) {
            char *room = popoto__buffer_grow(out, model_size);
            if (room == NULL)
                return;
            memcpy(room, out->data + model_at, model_size);
            memcpy(room + key_at, keys[i].data, keys[i].size);
            continue;
        }
        model_at = out->size;
        render_fetch_head(what != NULL ? what->fetched_count : of->field_count, out);
        render_text(out, keys[i]);
        key_at = out->size - model_at - keys[i].size - 2; /* \r\n */
        render_fetch_tail(of, what, out);
        model_size = out->size - model_at;
    }
}

void popoto__render_fetch_fields(const model *of, const size_t *fields, size_t count,
                                 popoto_text key, buffer *out) {
    popoto__request_begin(out, 2 + count);
    popoto__request_text(out, "HMGET");
    render_text(out, key);
    for (size_t i = 0; i < count; i++)
        popoto__request_argument(out, of->fields[fields[i]].name, of->fields[fields[i]].name_size);
}

void popoto__render_hash_scan(popoto_text hash, popoto_text cursor, const char *pattern,
                              buffer *out) {
    popoto__request_begin(out, pattern != NULL ? 7 : 5);
    popoto__request_text(out, "HSCAN");
    render_text(out, hash);
    render_text(out, cursor);
    popoto__request_text(out, "COUNT");
    popoto__request_integer(out, 512);
    if (pattern == NULL)
        return;
    popoto__request_text(out, "MATCH");
    popoto__request_text(out, pattern);
}

void popoto__render_hash_size(popoto_text hash, buffer *out) {
    popoto__request_begin(out, 2);
    popoto__request_text(out, "HLEN");
    render_text(out, hash);
}

static void render_whereabouts(const model *of, popoto_text record, const size_t *fields,
                               size_t count, buffer *out) {
    popoto__request_begin(out, 2);
    popoto__request_text(out, "EXISTS");
    render_text(out, record);
    if (count > 0)
        popoto__render_fetch_fields(of, fields, count, record, out);
}

size_t popoto__render_entry(const model *of, popoto_text record, const size_t *fields, size_t count,
                            popoto_text hash, buffer *out) {
    render_whereabouts(of, record, fields, count, out);
    if (hash.data != NULL) {
        popoto__request_begin(out, 3);
        popoto__request_text(out, "HGET");
        render_text(out, hash);
        render_text(out, record);
    }
    render_whereabouts(of, record, fields, count, out);
    return 2 + 2 * (size_t)(count > 0) + (size_t)(hash.data != NULL);
}

void popoto__render_class_scan(const model *of, popoto_text cursor, buffer *out) {
    popoto__request_begin(out, 8);
    popoto__request_text(out, "SCAN");
    render_text(out, cursor);
    popoto__request_text(out, "MATCH");
    /* The names of models hold no pattern characters. */
    render_joined(out, TEXT("{*}:"), of->class_prefix);
    popoto__request_text(out, "COUNT");
    popoto__request_integer(out, 1000);
    popoto__request_text(out, "TYPE");
    popoto__request_text(out, "set");
}

void popoto__render_type(popoto_text key, buffer *out) {
    popoto__request_begin(out, 2);
    popoto__request_text(out, "TYPE");
    render_text(out, key);
}

void popoto__render_tenant_note(const model *of, popoto_text segment, buffer *out) {
    popoto__request_begin(out, 3);
    popoto__request_text(out, "SADD");
    render_joined(out, TEXT("$Tenants:"), of->name);
    render_text(out, segment);
}

/* ----- Sizes ---------------------------------------------------------------------------------- */

size_t popoto__query_render_sizes(const read_plan *it, buffer *out) {
    for (size_t i = 0; i < it->set_count; i++) {
        popoto__request_begin(out, 2);
        popoto__request_text(out, "SCARD");
        popoto__request_argument(out, it->sets[i].data, it->sets[i].size);
    }
    for (size_t i = 0; i < it->range_count; i++) {
        popoto__request_begin(out, 4);
        popoto__request_text(out, "ZCOUNT");
        popoto__request_argument(out, it->ranges[i].key.data, it->ranges[i].key.size);
        popoto__request_argument(out, it->ranges[i].low.data, it->ranges[i].low.size);
        popoto__request_argument(out, it->ranges[i].high.data, it->ranges[i].high.size);
    }
    return it->set_count + it->range_count;
}

size_t popoto__query_render_probe(const query *it, const read_plan *from, buffer *out) {
    size_t count = popoto__query_render_sizes(from, out);
    if (from->range_count == 1) {
        popoto__render_names(&from->ranges[0], it->descending, 0, PROBE, out);
        count++;
    }
    if (from->set_count == 1) {
        popoto__render_scan(from->sets[0], TEXT("0"), PROBE_STEP, out);
        count++;
    }
    return count;
}
