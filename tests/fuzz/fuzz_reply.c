/* Any bytes as what a server sends. The first byte chooses how many commands were asked and how many
 * bytes come at a time. However they are cut, the replies must be the same, and bounded memory must do
 * for them; and lists that are taken element by element must be those that are built whole. */
#include "link.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds)
        abort();
}

#define MOST_BYTES ((size_t)64 << 20)

/* Each block has its size in front of it. */
typedef struct account {
    size_t held;
} account;

static void *resize_counting(void *context, void *block, size_t size) {
    account *it = context;
    size_t *old = block == NULL ? NULL : (size_t *)block - 2;
    if (old != NULL)
        it->held -= *old;
    if (size == 0) {
        free(old);
        return NULL;
    }
    size_t *made = realloc(old, size + 2 * sizeof(size_t));
    require(made != NULL);
    *made = size;
    it->held += size;
    require(it->held < MOST_BYTES);
    return made + 2;
}

/* What was handed over, as one number and a count. */
typedef struct digest {
    uint64_t sum;
    size_t count;
} digest;

static void add(digest *to, const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        to->sum = (to->sum ^ bytes[i]) * 1099511628211U;
}

static void add_reply(digest *to, const reply *answer) {
    add(to, &answer->type, sizeof(answer->type));
    add(to, &answer->integer, sizeof(answer->integer));
    if (answer->text != NULL) {
        require(answer->text[answer->size] == '\0');
        add(to, answer->text, answer->size);
    }
    require(answer->count == 0 || answer->type == REPLY_ARRAY);
    for (size_t i = 0; i < answer->count; i++)
        add_reply(to, answer->items[i]);
}

static popoto_status keep(void *context, size_t index, const reply *answer) {
    digest *it = context;
    failure why = { 0 };
    require(it->count++ == index);
    add_reply(it, answer);
    popoto__reply_failure(answer, "fuzzing", &why);
    require(why.text[0] != '\0');
    return POPOTO_OK;
}

/* The same by elements. A list may begin anew: only what came since then counts. */
typedef struct pieces {
    digest all, list;
    size_t places;
} pieces;

static void keep_element(void *context, size_t index, size_t place, reply_type type,
                         const char *text, size_t size) {
    pieces *it = context;
    require(index == it->all.count);
    if (place == 0) {
        it->list = (digest){ 0 };
        it->places = 0;
    }
    require(place == it->places++);
    require((text != NULL) ==
            (type == REPLY_STRING || type == REPLY_STATUS || type == REPLY_ERROR));
    add(&it->list, &type, sizeof(type));
    add(&it->list, &size, sizeof(size));
    if (size > 0)
        add(&it->list, text, size);
}

static popoto_status keep_end(void *context, size_t index, const reply *answer) {
    pieces *it = context;
    require(it->all.count++ == index);
    if (answer->type != REPLY_ARRAY) {
        add_reply(&it->all, answer);
        return POPOTO_OK;
    }
    require(answer->items == NULL);
    require(answer->count == 0 || answer->count == it->places);
    add(&it->all, &answer->count, sizeof(answer->count));
    if (answer->count > 0)
        add(&it->all, &it->list.sum, sizeof(it->list.sum));
    return POPOTO_OK;
}

/* Built whole and handed over as elements. */
typedef struct replay {
    pieces to;
    exchange by_elements;
} replay;

static popoto_status hand_on(void *context, size_t index, const reply *answer) {
    replay *it = context;
    return popoto__exchange_hand_over(&it->by_elements, index, answer);
}

static popoto_status parse_pieces(const uint8_t *data, size_t size, size_t step, size_t count,
                                  bool whole, digest *got) {
    account memory = { 0 };
    popoto_allocator allocator = { resize_counting, &memory };
    replay it = { .by_elements = { .count = count, .handle = keep_end, .element = keep_element } };
    it.by_elements.context = &it.to;
    exchange built = { .count = count, .handle = hand_on, .context = &it };
    popoto_status status =
        popoto__reply_parse(whole ? &built : &it.by_elements, &allocator, data, size, step);
    require(memory.held == 0);
    *got = it.to.all;
    return status;
}

static popoto_status parse(const uint8_t *data, size_t size, size_t step, size_t count,
                           bool with_strings, digest *got) {
    account memory = { 0 };
    popoto_allocator allocator = { resize_counting, &memory };
    arena strings;
    popoto__arena_init(&strings, &allocator);
    *got = (digest){ 0 };
    exchange what = { NULL, count, false, with_strings ? &strings : NULL, keep, got, NULL };
    popoto_status status = popoto__reply_parse(&what, &allocator, data, size, step);
    popoto__arena_free(&strings);
    require(memory.held == 0);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    digest whole;
    digest cut;
    if (size < 2)
        return 0;
    size_t count = 1 + (data[0] & 7);
    size_t step = 1 + (data[0] >> 3);
    data++, size--;
    popoto_status status = parse(data, size, size, count, true, &whole);
    popoto_status again = parse(data, size, step, count, false, &cut);
    require(status == POPOTO_OK || status == POPOTO_BAD_REPLY || status == POPOTO_DISCONNECTED);
    /* Cut, the last reply may be complete before what is wrong behind it has come. */
    require(again == status || (again == POPOTO_OK && status == POPOTO_BAD_REPLY));
    require(whole.sum == cut.sum && whole.count == cut.count);

    digest pieces_whole, pieces_cut, pieces_built;
    popoto_status built = parse_pieces(data, size, size, count, true, &pieces_built);
    popoto_status by_elements = parse_pieces(data, size, size, count, false, &pieces_whole);
    again = parse_pieces(data, size, step, count, false, &pieces_cut);
    require(built == status && by_elements == status);
    require(again == status || (again == POPOTO_OK && status == POPOTO_BAD_REPLY));
    require(pieces_built.sum == pieces_whole.sum && pieces_built.count == pieces_whole.count);
    require(pieces_built.sum == pieces_cut.sum && pieces_built.count == pieces_cut.count);
    return 0;
}
