#include "fields.h"

#include "digest.h"
#include "wire.h"

bool popoto__fields_measure(record_write *it, stored_fields *out) {
    *out = (stored_fields){ 0 };
    for (size_t i = 0; i < it->of->field_count; i++) {
        if (!popoto__write_stores(it, i))
            continue;
        size_t size = popoto__codec_scalar_size(&it->values[i]);
        if (size == 0) {
            if (!popoto__plan_encode(it, i))
                return false;
            size = it->encoded[i].size;
        }
        out->room += it->of->fields[i].argument.size + WIRE_HEAD + size;
        out->count++;
    }
    return true;
}

/* One value as an argument; *bytes is where it stands. */
static char *put_value(const record_write *it, size_t i, char *at, popoto_text *bytes) {
    size_t size = popoto__codec_scalar_size(&it->values[i]);
    if (size == 0) {
        *bytes = it->encoded[i];
        return popoto__wire_argument(at, *bytes);
    }
    at = popoto__wire_head(at, '$', size);
    *bytes = (popoto_text){ at, size };
    return popoto__codec_write_scalar(at, &it->values[i]) ? popoto__wire_end(at + size) : NULL;
}

char *popoto__fields_put(const record_write *it, stored_fields *out, char *at) {
    bool all = out->count == it->of->field_count;
    for (size_t i = 0; i < it->of->field_count && at != NULL; i++) {
        const field *about = &it->of->fields[i];
        popoto_text value;
        if (!popoto__write_stores(it, i))
            continue;
        at = popoto__wire_put(at, about->argument.data, about->argument.size);
        at = put_value(it, i, at, &value);
        if (all && at != NULL)
            out->content += popoto__content_digest(i, value);
    }
    return at;
}
