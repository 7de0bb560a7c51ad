/* fuzz_query - lookups, operands, order and choice of fields from arbitrary bytes: whatever they say, they
 * are planned or refused with a sentence, and what was planned renders as commands. */
#include "read_commands.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The input is lines: a lookup, then the MessagePack of its operand (without newlines), by turns; a line
 * that begins with > is the order, one that begins with = the choice of fields. */

static const popoto_field fields[] = {
    { .name = "tenant", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },
    { .name = "id", .kind = POPOTO_KIND_AUTO_KEY, .type = POPOTO_TEXT },
    { .name = "number", .kind = POPOTO_KIND_UNIQUE_KEY, .type = POPOTO_INT },
    { .name = "region", .kind = POPOTO_KIND_FIELD, .type = POPOTO_TEXT },
    { .name = "note", .kind = POPOTO_KIND_FIELD, .type = POPOTO_ANY, .null = true },
    { .name = "score", .kind = POPOTO_KIND_SORTED, .type = POPOTO_FLOAT, .partition_by = "tenant" },
    { .name = "seen",
      .kind = POPOTO_KIND_SORTED,
      .type = POPOTO_TIME,
      .partition_by = "tenant,region" },
    { .name = "price", .kind = POPOTO_KIND_SORTED, .type = POPOTO_DECIMAL },
};
static const popoto_model Thing = { .name = "Thing",
                                    .fields = fields,
                                    .field_count = sizeof fields / sizeof *fields };

static char *text_of(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    if (text == NULL)
        abort();
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

typedef struct input {
    popoto_query_desc desc;
    popoto_filter filters[16];
    char *texts[64];
    size_t text_count;
} input;

static void take_line(input *it, arena *memory, const uint8_t *line, size_t size) {
    const char *why;
    if (it->text_count == sizeof it->texts / sizeof *it->texts)
        return;
    char *text = text_of(line, size);
    it->texts[it->text_count++] = text;
    popoto_filter *last = &it->filters[it->desc.filter_count];
    if (text[0] == '>') {
        it->desc.order_by = text + 1;
    } else if (text[0] == '=') {
        it->desc.fields = text + 1;
    } else if (last->lookup == NULL) {
        last->lookup = text;
    } else if (it->desc.filter_count < 15) {
        if (!popoto__codec_read(memory, text, size, &last->value, &why))
            last->value = popoto_of_text(text);
        it->desc.filter_count++;
    }
}

static void plan_it(popoto_db *db, const popoto_query_desc *desc, arena *memory) {
    const model *of;
    query what;
    read_plan plan_of;
    buffer out;
    if (popoto__db_begin(db, &Thing, &of) != POPOTO_OK)
        abort();
    popoto_status status = popoto__query_parse(db, of, desc, memory, &what);
    if (status == POPOTO_OK)
        status = popoto__query_plan(&what, &plan_of, &db->why);
    if (status != POPOTO_OK) {
        if (strlen(db->why.text) < 8 || db->why.status != status)
            abort();
        return;
    }
    popoto__buffer_init(&out, memory->allocator);
    popoto__query_render_sizes(&plan_of, &out);
    if (plan_of.set_count > 0)
        popoto__render_members(&plan_of, &out);
    for (size_t i = 0; i < plan_of.range_count; i++)
        popoto__render_range(&plan_of.ranges[i], what.descending, NULL, 0, 10, &out);
    popoto__query_name_fits(&what, TEXT("Thing:a:b:c"));
    for (size_t i = 0; i < what.condition_count; i++) {
        popoto_value value = popoto_of_text("abc");
        popoto__condition_holds(&what.conditions[i], &value);
        value = popoto_of_float(0.5);
        popoto__condition_holds(&what.conditions[i], &value);
    }
    popoto__buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static popoto_db *db;
    arena memory;
    input it = { .desc = { .model = &Thing } };
    if (db == NULL) /* nobody listens there: planning needs no server */
        db = popoto_open("unix:/nonexistent", NULL);
    popoto__arena_init(&memory, &db->allocator);
    it.desc.filters = it.filters;
    it.desc.allow_scan = size > 0 && data[0] == '!';
    size_t start = it.desc.allow_scan ? 1 : 0;
    for (size_t i = start; i <= size; i++)
        if (i == size || data[i] == '\n') {
            take_line(&it, &memory, data + start, i - start);
            start = i + 1;
        }
    plan_it(db, &it.desc, &memory);
    for (size_t i = 0; i < it.text_count; i++)
        free(it.texts[i]);
    popoto__arena_free(&memory);
    return 0;
}
