#include "fresh.h"

#include "fields.h"
#include "wire.h"

#include <string.h>

/* A transaction beyond this holds the server and its memory for long: what comes then goes by itself. */
#define LARGEST ((size_t)4 * 1024 * 1024)

struct fresh_record {
    size_t key_at; /* its key as an argument, "$7\r\nNote:ab\r\n", in `out` */
    size_t key_size;
    size_t fields; /* that its HSET stores */
    uint64_t content;
};

/* One index of the model: the set of all records, or that of a field. */
struct fresh_slot {
    const field *about; /* NULL: of all records */
    popoto_text name;   /* of the command */
    popoto_text entry;  /* CONFIDENCE: what a new record has */
    const size_t *by;   /* the fields whose segments its key is made of */
    size_t by_count;
    bool is_sorted;
    size_t newest; /* its latest run, plus one; 0: none */
};

/* One command on one key of an index, with its members. */
struct fresh_run {
    size_t slot;
    popoto_text key;
    const popoto_text *segments; /* of its first record */
    size_t first, last, count;   /* of its records */
    size_t size;                 /* of its members as arguments, at most */
    size_t older;                /* the one before it of its slot, plus one */
};

struct fresh_link {
    size_t run;
    size_t next;       /* the next record of the run */
    popoto_text score; /* SORTED */
};

/* So many runs of an index are looked at for the right one; then a new one is begun, for the same key
 * perhaps. */
#define LOOK_BACK 4

static bool add_slot(fresh_group *it, const field *about) {
    fresh_slot *slot = &it->slots[it->slot_count++];
    *slot = (fresh_slot){ .about = about, .name = TEXT("SADD") };
    if (about == NULL)
        return true;
    slot->by = about->is_key ? &about->index : about->partition;
    slot->by_count = about->is_key ? 1 : about->partition_count;
    slot->is_sorted = about->kind == POPOTO_KIND_SORTED;
    if (slot->is_sorted)
        slot->name = TEXT("ZADD");
    if (about->kind != POPOTO_KIND_CONFIDENCE)
        return true;
    slot->name = TEXT("HSET");
    slot->entry = popoto__plan_entry(about, it->memory);
    return slot->entry.data != NULL;
}

bool popoto__fresh_begin(fresh_group *it, const model *of, size_t room, arena *memory,
                         buffer *out) {
    size_t slots = of->field_count + 1;
    *it = (fresh_group){ .of = of, .memory = memory, .out = out, .start = out->size, .room = room };
    it->slots = popoto__arena_allocate(memory, slots * sizeof *it->slots);
    if (it->slots == NULL || !add_slot(it, NULL))
        return false;
    for (size_t i = 0; i < of->field_count; i++)
        if (of->fields[i].prefix.data != NULL && !add_slot(it, &of->fields[i]))
            return false;
    it->records = popoto__arena_allocate(memory, room * sizeof *it->records);
    it->links = popoto__arena_allocate(memory, room * it->slot_count * sizeof *it->links);
    it->runs = popoto__arena_allocate(memory, room * it->slot_count * sizeof *it->runs);
    if (of->declared->time_to_live != 0)
        it->expiry = popoto__plan_expiry(of, memory);
    popoto__buffer_append(out, "*1\r\n$5\r\nMULTI\r\n", 15);
    return it->records != NULL && it->links != NULL && it->runs != NULL && !out->failed &&
           (it->expiry.data != NULL || of->declared->time_to_live == 0);
}

/* ----- One record ----------------------------------------------------------------------------- */

static bool same(popoto_text a, popoto_text b) {
    return a.size == b.size && (a.data == b.data || memcmp(a.data, b.data, a.size) == 0);
}

static bool is_of_run(const fresh_group *it, const fresh_run *run, const popoto_text *segments) {
    const fresh_slot *slot = &it->slots[run->slot];
    if (it->of->tenant != NULL &&
        !same(run->segments[it->of->tenant->index], segments[it->of->tenant->index]))
        return false;
    for (size_t i = 0; i < slot->by_count; i++)
        if (!same(run->segments[slot->by[i]], segments[slot->by[i]]))
            return false;
    return true;
}

/* The run that a record belongs to, or the next free one made into it. NULL: no memory. */
static fresh_run *find_run(fresh_group *it, size_t slot_index, const popoto_text *segments,
                           size_t *free_run) {
    const fresh_slot *slot = &it->slots[slot_index];
    size_t at = slot->newest;
    for (size_t i = 0; i < LOOK_BACK && at != 0; i++, at = it->runs[at - 1].older)
        if (is_of_run(it, &it->runs[at - 1], segments))
            return &it->runs[at - 1];
    fresh_run *run = &it->runs[(*free_run)++];
    *run = (fresh_run){ .slot = slot_index, .segments = segments, .older = slot->newest };
    run->key = slot->about == NULL ? popoto__class_key(it->of, segments, it->memory)
                                   : popoto__index_key(it->of, slot->about, segments, it->memory);
    return run->key.data == NULL ? NULL : run;
}

/* Whether a record has the places of the last one: they mostly come tenant by tenant. */
static bool is_like_last(const fresh_group *it, const popoto_text *segments) {
    for (size_t i = 0; i < it->of->field_count; i++) {
        popoto_text last = it->last[i];
        if (it->of->fields[i].places_index &&
            (last.data == NULL || segments[i].data == NULL || !same(last, segments[i])))
            return false;
    }
    return true;
}

/* Its place in every index. False: it has none in some, or no score, or there is no memory. */
static bool find_links(fresh_group *it, const record_write *write, fresh_link *links) {
    const popoto_text *segments = write->place.segments;
    bool repeats = it->count > 0 && is_like_last(it, segments);
    size_t free_run = it->run_count;
    for (size_t i = 0; i < it->slot_count; i++) {
        const field *about = it->slots[i].about;
        if (it->slots[i].is_sorted &&
            !popoto__plan_score(&write->values[about->index], it->memory, &links[i].score))
            return false;
        if (repeats) {
            links[i].run = it->links[(it->count - 1) * it->slot_count + i].run;
            continue;
        }
        if (about != NULL && !popoto__partition_is_told(about, &write->place))
            return false;
        const fresh_run *run = find_run(it, i, segments, &free_run);
        if (run == NULL)
            return false;
        links[i].run = (size_t)(run - it->runs);
    }
    return true;
}

static void join_runs(fresh_group *it, const record_write *write, fresh_link *links) {
    it->last = write->place.segments;
    for (size_t i = 0; i < it->slot_count; i++) {
        fresh_run *run = &it->runs[links[i].run];
        if (run->count == 0) {
            it->run_count++;
            it->slots[i].newest = links[i].run + 1;
            run->first = it->count;
        } else {
            it->links[run->last * it->slot_count + i].next = it->count;
        }
        run->last = it->count;
        run->count++;
        run->size += it->records[it->count].key_size;
        if (it->slots[i].is_sorted)
            run->size += WIRE_HEAD + links[i].score.size;
    }
}

/* HSET with all that is stored, and EXPIRE. */
static bool render_record(fresh_group *it, record_write *write, fresh_record *record) {
    static const char hset[] = "$4\r\nHSET\r\n", expire[] = "*3\r\n$6\r\nEXPIRE\r\n";
    buffer *out = it->out;
    stored_fields fields;
    if (!popoto__fields_measure(write, &fields))
        return false;
    size_t start = out->size;
    char *room = popoto__buffer_grow(out, 4 * WIRE_HEAD + 2 * write->place.key.size + sizeof hset +
                                              sizeof expire + it->expiry.size + fields.room);
    char *at = room;
    if (room == NULL)
        return false;
    at = popoto__wire_head(at, '*', 2 + 2 * fields.count);
    at = popoto__wire_put(at, hset, sizeof hset - 1);
    record->key_at = start + (size_t)(at - room);
    at = popoto__wire_argument(at, write->place.key);
    record->key_size = start + (size_t)(at - room) - record->key_at;
    at = popoto__fields_put(write, &fields, at);
    if (at == NULL)
        return false;
    record->fields = fields.count;
    record->content = fields.content;
    if (it->expiry.data != NULL) {
        at = popoto__wire_put(at, expire, sizeof expire - 1);
        at = popoto__wire_argument(popoto__wire_argument(at, write->place.key), it->expiry);
    }
    out->size = start + (size_t)(at - room);
    return true;
}

bool popoto__fresh_add(fresh_group *it, record_write *write) {
    fresh_link *links = &it->links[it->count * it->slot_count];
    buffer *out = it->out;
    if (it->count == it->room || out->size - it->start > LARGEST || !find_links(it, write, links))
        return false;
    size_t before = out->size;
    if (!render_record(it, write, &it->records[it->count])) {
        out->size = before;
        return false;
    }
    join_runs(it, write, links);
    it->count++;
    return true;
}

/* ----- All of them ---------------------------------------------------------------------------- */

static void render_run(const fresh_group *it, const fresh_run *run) {
    const fresh_slot *slot = &it->slots[run->slot];
    buffer *out = it->out;
    bool scored = slot->is_sorted;
    size_t each = scored || slot->entry.data != NULL ? 2 : 1;
    size_t start = out->size, size = run->size + 3 * WIRE_HEAD + slot->name.size + run->key.size;
    if (slot->entry.data != NULL)
        size += run->count * (WIRE_HEAD + slot->entry.size);
    char *room = popoto__buffer_grow(out, size), *at = room;
    if (room == NULL)
        return;
    at = popoto__wire_head(at, '*', 2 + each * run->count);
    at = popoto__wire_argument(popoto__wire_argument(at, slot->name), run->key);
    for (size_t i = 0, place = run->first; i < run->count; i++) {
        const fresh_record *record = &it->records[place];
        const fresh_link *link = &it->links[place * it->slot_count + run->slot];
        if (scored)
            at = popoto__wire_argument(at, link->score);
        at = popoto__wire_put(at, out->data + record->key_at, record->key_size);
        if (slot->entry.data != NULL)
            at = popoto__wire_argument(at, slot->entry);
        place = link->next;
    }
    out->size = start + (size_t)(at - room);
}

static void expect_number(buffer *out, char mark, size_t number) {
    char text[WIRE_HEAD];
    popoto__buffer_append(out, text, (size_t)(popoto__wire_head(text, mark, number) - text));
}

/* A set's and a sorted set's answer is how many members are new: all are. */
static popoto_text expect(const fresh_group *it, size_t commands) {
    buffer text;
    popoto__buffer_init(&text, it->memory->allocator);
    popoto__buffer_append(&text, "+OK\r\n", 5);
    for (size_t i = 0; i < commands; i++)
        popoto__buffer_append(&text, "+QUEUED\r\n", 9);
    expect_number(&text, '*', commands);
    size_t at = 0, size = 0; /* of the last record's answers, which are mostly those of the next */
    for (size_t i = 0; i < it->count; i++) {
        if (i > 0 && it->records[i].fields == it->records[i - 1].fields && !text.failed) {
            char *room = popoto__buffer_grow(&text, size);
            if (room != NULL)
                memcpy(room, text.data + at, size);
            continue;
        }
        at = text.size;
        expect_number(&text, ':', it->records[i].fields);
        if (it->expiry.data != NULL)
            popoto__buffer_append(&text, ":1\r\n", 4);
        size = text.size - at;
    }
    for (size_t i = 0; i < it->run_count; i++)
        expect_number(&text, ':', it->runs[i].count);
    popoto_text expected = { NULL, text.failed ? 0 : text.size };
    if (!text.failed)
        expected.data = popoto__arena_copy(it->memory, text.data, text.size);
    if (expected.data == NULL)
        expected.size = 0; /* then all replies are looked at */
    popoto__buffer_free(&text);
    return expected;
}

static size_t commands_of_records(const fresh_group *it) {
    return it->expiry.data != NULL ? 2 * it->count : it->count;
}

size_t popoto__fresh_end(fresh_group *it, popoto_text *expected) {
    size_t commands = commands_of_records(it) + it->run_count;
    *expected = (popoto_text){ NULL, 0 };
    if (it->count == 0) {
        it->out->size = it->start;
        return 0;
    }
    for (size_t i = 0; i < it->run_count; i++)
        render_run(it, &it->runs[i]);
    popoto__buffer_append(it->out, "*1\r\n$4\r\nEXEC\r\n", 14);
    *expected = expect(it, commands);
    return commands + 2;
}

bool popoto__fresh_concerns(const fresh_group *it, size_t index, size_t record) {
    size_t own = commands_of_records(it);
    if (index < own)
        return index / (own / it->count) == record;
    for (size_t i = 0; i < it->slot_count; i++)
        if (it->links[record * it->slot_count + i].run == index - own)
            return true;
    return false;
}

uint64_t popoto__fresh_content(const fresh_group *it, size_t record) {
    return it->records[record].content;
}
