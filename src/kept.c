#include "kept.h"

#include "digest.h"
#include "fields.h"
#include "wire.h"

#include <string.h>

/* What a call has besides the record's fields. */
typedef struct kept_call {
    popoto_text keys[SHAPE_KEYS]; /* the record's, those of the indexes that are written to */
    size_t key_count;
    popoto_text arguments[SHAPE_KEYS]; /* EXPIRE's, then one for each of these indexes */
    size_t argument_count;
} kept_call;

#define MOST_FIELDS 64 /* the bits of `fields` */

static uint64_t fields_of(const record_write *it) {
    uint64_t fields = 0;
    for (size_t i = 0; i < it->of->field_count; i++)
        fields |= (uint64_t)popoto__write_stores(it, i) << i;
    return fields;
}

static bool is_kept(const record_write *it) {
    return it->kind == WRITE_REPLACE && !it->moves_key && !it->if_unchanged && it->pinned == NULL &&
           !it->of->moves && !it->of->raw_partitions && it->of->field_count <= MOST_FIELDS;
}

static size_t place_of(const record_write *it, uint64_t fields) {
    uint64_t mixed = popoto__digest_mix((uintptr_t)it->of ^ DIGEST_ONE, fields ^ DIGEST_TWO);
    return (size_t)(mixed % KEPT_SCRIPTS);
}

shape_script *popoto__kept_find(const kept_script *all, const record_write *it) {
    if (!is_kept(it))
        return NULL;
    uint64_t fields = fields_of(it);
    const kept_script *found = &all[place_of(it, fields)];
    return found->of == it->of && found->fields == fields ? found->script : NULL;
}

/* False: the record needs a plan, which will say why. */
static bool add_index(const record_write *it, const model_index *index, kept_call *out) {
    popoto_text *last = &out->arguments[out->argument_count];
    if (out->argument_count == SHAPE_KEYS || out->key_count == SHAPE_KEYS)
        return false;
    if (!index->is_sorted)
        *last = index->about->entry;
    else if (!popoto__plan_score(&it->values[index->about->index], it->memory, last))
        return false;
    popoto_text key = popoto__index_key(it->of, index->about, it->place.segments, it->memory);
    out->keys[out->key_count++] = key;
    out->argument_count++;
    return key.data != NULL;
}

/* Sets have the record already; a sorted index, its score unless that is not stored. */
static bool make_call(const record_write *it, kept_call *out) {
    out->keys[0] = it->place.key;
    out->key_count = 1;
    out->argument_count = 0;
    if (it->of->time_to_live.data != NULL)
        out->arguments[out->argument_count++] = it->of->time_to_live;
    bool is_made = true;
    for (size_t i = 1; i < it->of->index_count && is_made; i++) {
        const model_index *index = &it->of->indexes[i];
        if (index->about->kind == POPOTO_KIND_CONFIDENCE ||
            (index->is_sorted && popoto__write_stores(it, index->about->index)))
            is_made = add_index(it, index, out);
    }
    return is_made;
}

bool popoto__kept_render(record_write *it, const shape_script *script, buffer *out,
                         uint64_t *content) {
    kept_call call;
    stored_fields fields;
    if (!make_call(it, &call) || !popoto__fields_measure(it, &fields))
        return false;
    size_t start = out->size, size = popoto__shape_call_size(script) + fields.room;
    for (size_t i = 0; i < call.key_count; i++)
        size += WIRE_HEAD + call.keys[i].size;
    for (size_t i = 0; i < call.argument_count; i++)
        size += WIRE_HEAD + call.arguments[i].size;
    char *room = popoto__buffer_grow(out, size), *at = room;
    if (room == NULL)
        return false;
    at = popoto__shape_begin_call(at, script, call.keys, call.key_count,
                                  2 * fields.count + call.argument_count);
    at = popoto__fields_put(it, &fields, at);
    out->size = start;
    if (at == NULL)
        return false;
    for (size_t i = 0; i < call.argument_count; i++)
        at = popoto__wire_argument(at, call.arguments[i]);
    out->size = start + (size_t)(at - room);
    *content = fields.content;
    return true;
}

static bool renders_alike(record_write *it, const plan *planned, const shape_script *script,
                          buffer *direct, buffer *general) {
    write_shape form;
    uint64_t content;
    if (!popoto__shape_of(planned, &form) || !popoto__kept_render(it, script, direct, &content))
        return false;
    popoto__shape_render(&form, script, general);
    return !general->failed && direct->size == general->size &&
           memcmp(direct->data, general->data, general->size) == 0;
}

void popoto__kept_note(kept_script *all, record_write *it, const plan *planned,
                       shape_script *script) {
    buffer direct, general;
    if (!is_kept(it) || popoto__kept_find(all, it) != NULL)
        return;
    popoto__buffer_init(&direct, it->memory->allocator);
    popoto__buffer_init(&general, it->memory->allocator);
    if (renders_alike(it, planned, script, &direct, &general)) {
        uint64_t fields = fields_of(it);
        all[place_of(it, fields)] = (kept_script){ it->of, fields, script };
    }
    popoto__buffer_free(&direct);
    popoto__buffer_free(&general);
}
