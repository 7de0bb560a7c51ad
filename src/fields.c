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

char *popoto__fields_put(const record_write *it, stored_fields *out, char *at) {
    bool all = popoto__write_stores_all(it);
    for (size_t i = 0; i < it->of->field_count; i++) {
        const field *about = &it->of->fields[i];
        if (!popoto__write_stores(it, i))
            continue;
        popoto_text value = { NULL, popoto__codec_scalar_size(&it->values[i]) };
        bool is_scalar = value.size != 0;
        if (!is_scalar)
            value = it->encoded[i];
        at = popoto__wire_put(at, about->argument.data, about->argument.size);
        at = popoto__wire_head(at, '$', value.size);
        if (!is_scalar)
            popoto__wire_put(at, value.data, value.size);
        else if (!popoto__codec_write_scalar(at, &it->values[i]))
            return NULL;
        value.data = at;
        at = popoto__wire_end(at + value.size);
        if (all)
            out->content += popoto__content_digest(i, value);
    }
    return at;
}
