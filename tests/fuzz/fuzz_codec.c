/* Any bytes are a value or a reason; a value that was read can be written, reads back as the same,
 * and has a text, a score and an order or a reason why not. */
#include "codec.h"

#include <stdlib.h>
#include <string.h>

static void require(bool condition) {
    if (!condition)
        abort();
}

static void require_terminated(const popoto_value *value) {
    if (value->type == POPOTO_TEXT || value->type == POPOTO_DECIMAL)
        require(value->as.text.data[value->as.text.size] == '\0');
    if (value->type >= POPOTO_LIST)
        for (size_t i = 0; i < value->as.list.count; i++)
            require_terminated(&value->as.list.items[i]);
}

static void use(const popoto_value *value, const popoto_allocator *allocator) {
    buffer out;
    popoto__buffer_init(&out, allocator);
    const char *why = NULL;
    double score;
    bool exact, comparable;
    shown room;
    require(popoto__codec_key_text(&out, value, &why) || why != NULL);
    require(popoto__codec_score(value, &score, &exact, &why) || why != NULL);
    require(popoto__value_compare(value, value, &comparable) == 0);
    require(strlen(popoto__show_value(&room, value)) < sizeof(room.text));
    popoto__buffer_free(&out);
}

/* What is read by its first byte is what is read in full: as the one item of a list, where nothing is short. */
static void compare_short(arena *memory, const uint8_t *data, size_t size) {
    popoto_value value, list;
    const char *why;
    char *wrapped = malloc(size + 2);
    wrapped[0] = '\x91';
    memcpy(wrapped + 1, data, size);
    wrapped[size + 1] = '\0';
    if (size > 0 && popoto__codec_read_short(wrapped + 1, size, &value)) {
        require(popoto__codec_read(memory, wrapped, size + 1, &list, &why));
        require(list.as.list.count == 1 && popoto_value_equal(&value, &list.as.list.items[0]));
    }
    free(wrapped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    arena values;
    popoto__arena_init(&values, &allocator);
    if (size > 0)
        compare_short(&values, data, size);
    char *copy = malloc(size + 1);
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    popoto_value value, again, duplicate;
    const char *why = NULL;
    if (!popoto__codec_read(&values, copy, size, &value, &why)) {
        require(why != NULL);
    } else {
        require_terminated(&value);
        use(&value, &allocator);
        buffer out;
        popoto__buffer_init(&out, &allocator);
        require(popoto__codec_write(&out, &value, &why));
        popoto__buffer_append(&out, "", 1);
        require(popoto__codec_read(&values, out.data, out.size - 1, &again, &why));
        require(popoto_value_equal(&value, &again));
        require(popoto__value_copy(&values, &value, &duplicate));
        require(popoto_value_equal(&value, &duplicate));
        popoto__buffer_free(&out);
    }
    free(copy);
    popoto__arena_free(&values);
    return 0;
}
