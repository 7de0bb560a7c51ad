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
    size_t stretch;
    uint64_t content;
};

struct fresh_stretch {
    size_t first, count; /* of its records */
    size_t size; /* of their keys, and of their scores for all indexes, as arguments at most */
    const popoto_text *segments;
};

/* One command on one key of an index, with its members. */
struct fresh_run {
    size_t slot; /* which of the model's indexes */
    popoto_text key;
    const popoto_text *segments; /* of its first record */
    size_t first, last;          /* of its stretches */
    size_t count;                /* of its records */
    size_t older;                /* the one before it of its index, plus one */
    bool is_begun;
};

struct fresh_link {
    size_t run;
    size_t next; /* the next stretch of the run, plus one; 0: none */
};

/* So many runs of an index are looked at for the right one; then a new one is begun, for the same key
 * perhaps. */
#define LOOK_BACK 4

bool popoto__fresh_begin(fresh_group *it, const model *of, size_t room, arena *memory,
                         buffer *out) {
    *it = (fresh_group){ .of = of, .memory = memory, .out = out, .start = out->size, .room = room };
    size_t links = room * of->index_count;
    it->records = popoto__arena_allocate(memory, room * sizeof *it->records);
    it->scores = popoto__arena_allocate(memory, room * of->sorted_count * sizeof *it->scores);
    it->stretches = popoto__arena_allocate(memory, room * sizeof *it->stretches);
    it->links = popoto__arena_allocate(memory, links * sizeof *it->links);
    it->runs = popoto__arena_allocate(memory, links * sizeof *it->runs);
    it->newest = popoto__arena_zeroed(memory, of->index_count, sizeof *it->newest);
    popoto__buffer_append(out, "*1\r\n$5\r\nMULTI\r\n", 15);
    return it->records != NULL && it->scores != NULL && it->stretches != NULL &&
           it->links != NULL && it->runs != NULL && it->newest != NULL && !out->failed;
}

/* ----- One record ----------------------------------------------------------------------------- */

static bool same(popoto_text a, popoto_text b) {
    return a.size == b.size && (a.data == b.data || memcmp(a.data, b.data, a.size) == 0);
}

static bool is_of_run(const fresh_group *it, const fresh_run *run, const popoto_text *segments) {
    const model_index *index = &it->of->indexes[run->slot];
    if (it->of->tenant != NULL &&
        !same(run->segments[it->of->tenant->index], segments[it->of->tenant->index]))
        return false;
    for (size_t i = 0; i < index->by_count; i++)
        if (!same(run->segments[index->by[i]], segments[index->by[i]]))
            return false;
    return true;
}

/* The run that a record belongs to, or the next free one made into it. NULL: no memory. */
static fresh_run *find_run(fresh_group *it, size_t slot, const popoto_text *segments,
                           size_t *free_run) {
    const field *about = it->of->indexes[slot].about;
    size_t at = it->newest[slot];
    for (size_t i = 0; i < LOOK_BACK && at != 0; i++, at = it->runs[at - 1].older)
        if (is_of_run(it, &it->runs[at - 1], segments))
            return &it->runs[at - 1];
    fresh_run *run = &it->runs[(*free_run)++];
    *run = (fresh_run){ .slot = slot, .segments = segments, .older = it->newest[slot] };
    run->key = about == NULL ? popoto__class_key(it->of, segments, it->memory)
                             : popoto__index_key(it->of, about, segments, it->memory);
    return run->key.data == NULL ? NULL : run;
}

/* Whether a record has the places of the last one: they mostly come tenant by tenant. */
static bool is_like_last(const fresh_group *it, const popoto_text *segments) {
    if (it->count == 0)
        return false;
    const popoto_text *last = it->stretches[it->stretch_count - 1].segments;
    for (size_t i = 0; i < it->of->placed_count; i++) {
        size_t at = it->of->placed[i];
        if (last[at].data == NULL || segments[at].data == NULL || !same(last[at], segments[at]))
            return false;
    }
    return true;
}

/* Its scores, and the room that they need. False: it has none for some, which need not be stored with it, or there is
 * no memory. */
static bool find_scores(const fresh_group *it, const record_write *write, size_t *size) {
    popoto_text *score = &it->scores[it->count * it->of->sorted_count];
    const model_index *index = it->of->indexes, *end = index + it->of->index_count;
    *size = 0;
    for (; index < end; index++) {
        if (!index->is_sorted)
            continue;
        size_t field_index = index->about->index;
        if (!popoto__write_stores(write, field_index) ||
            !popoto__plan_score(&write->values[field_index], it->memory, score))
            return false;
        *size += WIRE_HEAD + score++->size;
    }
    return true;
}

/* Its place in every index, for the stretch that would begin with it. False: it has none in some, or there is no
 * memory. */
static bool find_links(fresh_group *it, const record_write *write) {
    fresh_link *links = &it->links[it->stretch_count * it->of->index_count];
    size_t free_run = it->run_count;
    for (size_t i = 0; i < it->of->index_count; i++) {
        const field *about = it->of->indexes[i].about;
        if (about != NULL && !popoto__partition_is_told(about, &write->place))
            return false;
        const fresh_run *run = find_run(it, i, write->place.segments, &free_run);
        if (run == NULL)
            return false;
        links[i] = (fresh_link){ .run = (size_t)(run - it->runs) };
    }
    return true;
}

static void begin_stretch(fresh_group *it, const record_write *write) {
    size_t stretch = it->stretch_count++;
    it->stretches[stretch] =
        (fresh_stretch){ .first = it->count, .segments = write->place.segments };
    for (size_t i = 0; i < it->of->index_count; i++) {
        size_t index = it->links[stretch * it->of->index_count + i].run;
        fresh_run *run = &it->runs[index];
        if (run->is_begun) {
            it->links[run->last * it->of->index_count + i].next = stretch + 1;
        } else {
            it->run_count++;
            it->newest[i] = index + 1;
            run->first = stretch;
            run->is_begun = true;
        }
        run->last = stretch;
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
    char *room =
        popoto__buffer_grow(out, 4 * WIRE_HEAD + 2 * write->place.key.size + sizeof hset +
                                     sizeof expire + it->of->time_to_live.size + fields.room);
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
    if (it->of->time_to_live.data != NULL) {
        at = popoto__wire_put(at, expire, sizeof expire - 1);
        at = popoto__wire_argument(popoto__wire_argument(at, write->place.key),
                                   it->of->time_to_live);
    }
    out->size = start + (size_t)(at - room);
    return true;
}

bool popoto__fresh_add(fresh_group *it, record_write *write) {
    buffer *out = it->out;
    size_t before = out->size, scores;
    if (it->count == it->room || before - it->start > LARGEST)
        return false;
    bool repeats = is_like_last(it, write->place.segments);
    if (!find_scores(it, write, &scores) || (!repeats && !find_links(it, write)))
        return false;
    fresh_record *record = &it->records[it->count];
    if (!render_record(it, write, record)) {
        out->size = before;
        return false;
    }
    if (!repeats)
        begin_stretch(it, write);
    record->stretch = it->stretch_count - 1;
    fresh_stretch *stretch = &it->stretches[record->stretch];
    stretch->count++;
    stretch->size += record->key_size + scores;
    it->count++;
    return true;
}

/* ----- All of them ---------------------------------------------------------------------------- */

/* The stretches of a run, one after the other; NULL: that was the last. */
static const fresh_stretch *next_stretch(const fresh_group *it, const fresh_run *run,
                                         const fresh_stretch *last) {
    size_t next = run->first + 1;
    if (last != NULL)
        next = it->links[(size_t)(last - it->stretches) * it->of->index_count + run->slot].next;
    return next == 0 ? NULL : &it->stretches[next - 1];
}

/* What stands behind each member; data NULL: nothing. */
static popoto_text of_new_record(const model_index *index) {
    return index->about != NULL ? index->about->entry : (popoto_text){ NULL, 0 };
}

static char *put_members(const fresh_group *it, size_t slot, const fresh_stretch *which, char *at) {
    const model_index *index = &it->of->indexes[slot];
    popoto_text entry = of_new_record(index);
    for (size_t i = which->first; i < which->first + which->count; i++) {
        const fresh_record *record = &it->records[i];
        if (index->is_sorted)
            at = popoto__wire_argument(at, it->scores[i * it->of->sorted_count + index->score]);
        at = popoto__wire_put(at, it->out->data + record->key_at, record->key_size);
        if (entry.data != NULL)
            at = popoto__wire_argument(at, entry);
    }
    return at;
}

static void render_run(const fresh_group *it, fresh_run *run) {
    const model_index *index = &it->of->indexes[run->slot];
    popoto_text entry = of_new_record(index);
    bool is_sorted = index->is_sorted;
    popoto_text name = is_sorted ? TEXT("ZADD") : entry.data != NULL ? TEXT("HSET") : TEXT("SADD");
    const fresh_stretch *part = NULL;
    buffer *out = it->out;
    size_t each = is_sorted || entry.data != NULL ? 2 : 1;
    size_t start = out->size, size = 3 * WIRE_HEAD + name.size + run->key.size;
    while ((part = next_stretch(it, run, part)) != NULL) {
        run->count += part->count;
        size += part->size;
    }
    if (entry.data != NULL)
        size += run->count * (WIRE_HEAD + entry.size);
    char *room = popoto__buffer_grow(out, size), *at = room;
    if (room == NULL)
        return;
    at = popoto__wire_head(at, '*', 2 + each * run->count);
    at = popoto__wire_argument(popoto__wire_argument(at, name), run->key);
    while ((part = next_stretch(it, run, part)) != NULL)
        at = put_members(it, run->slot, part, at);
    out->size = start + (size_t)(at - room);
}

/* A set's and a sorted set's answer is how many members are new: all are. Without memory for it, all replies are
 * looked at. */
static popoto_text expect(const fresh_group *it, size_t commands) {
    static const char ok[] = "+OK\r\n", queued[] = "+QUEUED\r\n", expires[] = ":1\r\n";
    size_t most = sizeof ok + commands * (sizeof queued + WIRE_HEAD) + WIRE_HEAD;
    char *text = popoto__arena_bytes(it->memory, most), *at = text;
    if (text == NULL)
        return (popoto_text){ NULL, 0 };
    at = popoto__wire_put(at, ok, sizeof ok - 1);
    for (size_t i = 0; i < commands; i++)
        at = popoto__wire_put(at, queued, sizeof queued - 1);
    at = popoto__wire_head(at, '*', commands);
    for (size_t i = 0; i < it->count; i++) {
        at = popoto__wire_head(at, ':', it->records[i].fields);
        if (it->of->time_to_live.data != NULL)
            at = popoto__wire_put(at, expires, sizeof expires - 1);
    }
    for (size_t i = 0; i < it->run_count; i++)
        at = popoto__wire_head(at, ':', it->runs[i].count);
    return (popoto_text){ text, (size_t)(at - text) };
}

static size_t commands_of_records(const fresh_group *it) {
    return it->of->time_to_live.data != NULL ? 2 * it->count : it->count;
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
    const fresh_link *links = &it->links[it->records[record].stretch * it->of->index_count];
    for (size_t i = 0; i < it->of->index_count; i++)
        if (links[i].run == index - own)
            return true;
    return false;
}

uint64_t popoto__fresh_content(const fresh_group *it, size_t record) {
    return it->records[record].content;
}
