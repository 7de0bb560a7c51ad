/* The library beside a dictionary. Random calls on one model after the other, by several connections and in any
 * weather: allocations that fail, connections that are cut, scripts that are forgotten, foreign keys where an index
 * should be, a server that takes no writes, a user who may not do everything. A plain array says what must come
 * of each call: the status of each object, every row of every query in its order, and afterwards
 * every record and every index entry; audits of each tenant find what one of all does. A seed that fails plays
 * the same sequence again. */
#include "failing_allocator.h"
#include "index_checker.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----- Models --------------------------------------------------------------------------------- */

typedef struct thing {
    popoto_object object;
    const char *group;
    popoto_id id;
    const char *name;
    int64_t num;
    const char *room;
    const char *note;
    double score;
    int64_t rank;
    double trust;
} thing;

#define REST                                                            \
    POPOTO_FIELD(thing, room), POPOTO_FIELD(thing, note, .null = true), \
        POPOTO_SORTED(thing, rank, .partition_by = "room"),             \
        POPOTO_CONFIDENCE(thing, trust, .partition_by = "room")

static const popoto_field auto_fields[] = {
    POPOTO_KEY(thing, group),
    POPOTO_AUTO_KEY(thing, id),
    REST,
    POPOTO_SORTED(thing, score, .partition_by = "group"),
};
static const popoto_field name_fields[] = {
    POPOTO_KEY(thing, group),
    POPOTO_UNIQUE_KEY(thing, name),
    REST,
    POPOTO_SORTED(thing, score),
};
static const popoto_field num_fields[] = {
    POPOTO_KEY(thing, num),          POPOTO_KEY(thing, group),
    POPOTO_FIELD(thing, room),       POPOTO_FIELD(thing, note, .null = true),
    POPOTO_SORTED(thing, rank),      POPOTO_SORTED(thing, score, .partition_by = "group"),
    POPOTO_CONFIDENCE(thing, trust),
};
static const popoto_field strict_fields[] = {
    POPOTO_TENANT(thing, group),
    POPOTO_AUTO_KEY(thing, id, .generate = POPOTO_ULID),
    REST,
    POPOTO_SORTED(thing, score),
};
static const popoto_field strict_name_fields[] = {
    POPOTO_TENANT(thing, group),
    POPOTO_UNIQUE_KEY(thing, name),
    REST,
    POPOTO_SORTED(thing, score, .partition_by = "room"),
};
/* Their places are told by their names: they are saved without a plan. */
#define STILL                                                           \
    POPOTO_FIELD(thing, room), POPOTO_FIELD(thing, note, .null = true), \
        POPOTO_SORTED(thing, rank), POPOTO_CONFIDENCE(thing, trust, .partition_by = "group")

static const popoto_field still_fields[] = {
    POPOTO_KEY(thing, group),
    POPOTO_AUTO_KEY(thing, id),
    STILL,
    POPOTO_SORTED(thing, score, .partition_by = "group"),
};
static const popoto_field still_strict_fields[] = {
    POPOTO_TENANT(thing, group),
    POPOTO_UNIQUE_KEY(thing, name),
    STILL,
    POPOTO_SORTED(thing, score),
};

typedef enum kind {
    AUTO,
    NAME,
    NUM,
    STRICT,
    STRICT_NAME,
    PASSING,
    PASSING_NAME,
    STILL_AUTO,
    STILL_STRICT,
    STILL_PASSING,
    STILL_PASSING_STRICT,
    KINDS,
} kind;

static const struct {
    popoto_model model;
    bool strict, generates, unique, expires;
    const char *rank_by, *score_by; /* partitions */
} kinds[KINDS] = {
    [AUTO] = { POPOTO_MODEL("Auto", thing, auto_fields), .generates = true, .rank_by = "room",
               .score_by = "group" },
    [NAME] = { POPOTO_MODEL("Name", thing, name_fields), .unique = true, .rank_by = "room" },
    [NUM] = { POPOTO_MODEL("Num", thing, num_fields), .score_by = "group" },
    [STRICT] = { POPOTO_MODEL("Strict", thing, strict_fields), .strict = true, .generates = true,
                 .rank_by = "room" },
    [STRICT_NAME] = { POPOTO_MODEL("StrictName", thing, strict_name_fields), .strict = true,
                      .unique = true, .rank_by = "room", .score_by = "room" },
    [PASSING] = { POPOTO_MODEL("Passing", thing, auto_fields, .time_to_live = 1000),
                  .generates = true, .expires = true, .rank_by = "room", .score_by = "group" },
    [PASSING_NAME] = { POPOTO_MODEL("PassingName", thing, name_fields, .time_to_live = 1000),
                       .unique = true, .expires = true, .rank_by = "room" },
    [STILL_AUTO] = { POPOTO_MODEL("Still", thing, still_fields), .generates = true,
                     .score_by = "group" },
    [STILL_STRICT] = { POPOTO_MODEL("StillStrict", thing, still_strict_fields), .strict = true,
                       .unique = true },
    [STILL_PASSING] = { POPOTO_MODEL("StillPassing", thing, still_fields, .time_to_live = 1000),
                        .generates = true, .expires = true, .score_by = "group" },
    [STILL_PASSING_STRICT] = { POPOTO_MODEL("StillPassingStrict", thing, still_strict_fields,
                                            .time_to_live = 1000),
                               .strict = true, .unique = true, .expires = true },
};

/* ----- Values --------------------------------------------------------------------------------- */

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
static const char *const groups[] = { "ga", "gb", "gc", "gd", "ge", "gf", "gg" };
static const char *const rooms[] = { "r0", "r1", "r2", "r3", "r4", "r5", "foreign" };
static const double scores[] = {
    -INFINITY, -1e300, -2.5, -1, -0.0, 0.0, 1, 1.1, 2, 1e300, INFINITY
};
static const int64_t ranks[] = {
    -9007199254740991, -300, -1, 0, 1, 2, 255, 70000, 9007199254740991
};
#define NAMES 300
static char names[NAMES][8];
#define HUGE_NOTE 100000
static char huge[HUGE_NOTE + 1], middle[400];
static const char *const notes[] = { NULL, "", "one", "two", "Zo\xc3\xab", middle, "one" };

/* ----- The dictionary ------------------------------------------------------------------------- */

typedef struct record {
    bool there;
    thing is;
    int64_t evidence; /* -1: figures of one that expired may be left */
    unsigned stored;  /* how often: tells versions of it apart */
} record;

#define MOST_RECORDS 12000
#define MOST_OBJECTS 900

/* An object of the program's, with what it should remember. */
typedef struct keeper {
    thing it;
    bool saved;
    thing was;       /* as saved or loaded */
    unsigned stored; /* the version of the record that it knows whole; 0: none */
    int home;        /* the connection that remembers its key */
} keeper;

typedef enum weather {
    CALM,
    STARVED,
    CUT,
    FORGETFUL, /* SCRIPT FLUSH */
    FOREIGN,
    REFUSING,
    KILLED, /* all connections, before the call */
    WEATHERS,
} weather;
static const char *const weather_names[WEATHERS] = {
    "calm", "starved", "cut", "forgetful", "foreign", "refusing", "killed",
};

#define CONNECTIONS 3
typedef struct world {
    server *server;
    proxy *between;
    redisContext *raw;
    dice dice;
    uint64_t seed;
    kind kind;
    const popoto_model *model;
    popoto_db
        *db[CONNECTIONS]; /* 0: its allocations fail; 1: by the proxy; 2: a user without MULTI */
    failing_allocator memory;
    popoto_db *control;
    weather weather;
    record *records;
    size_t count;
    keeper *objects;
    unsigned stored;
    size_t statuses[64];
    size_t calls, rows;
    bool broken; /* something was wrong: the rest of the sequence tells nothing */
} world;

static unsigned below(world *it, unsigned limit) {
    return dice_below(&it->dice, limit);
}

static bool check(world *it, bool holds, const char *what, const char *more) {
    if (!holds)
        it->broken = true;
    return stress_check(holds, "seed %llu, %s, %s, call %zu: %s %s", (unsigned long long)it->seed,
                        it->model->name, weather_names[it->weather], it->calls, what, more);
}

static bool same_text(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_key(kind of, const thing *a, const thing *b) {
    return same_text(a->group, b->group) &&
           (kinds[of].generates ? strcmp(a->id.text, b->id.text) == 0
            : of == NUM         ? a->num == b->num
                                : same_text(a->name, b->name));
}

static bool same_rest(const thing *a, const thing *b) {
    return same_text(a->room, b->room) && same_text(a->note, b->note) && a->score == b->score &&
           signbit(a->score) == signbit(b->score) && a->rank == b->rank;
}

static void key_of(kind of, const thing *one, char *out, size_t size) {
    const char *model = kinds[of].model.name;
    const char *own = kinds[of].generates ? one->id.text : one->name;
    if (of == NUM)
        snprintf(out, size, "%s:%lld:%s", model, (long long)one->num, one->group);
    else if (kinds[of].strict)
        snprintf(out, size, "{%s}:%s:%s", one->group, model, own);
    else
        snprintf(out, size, "%s:%s:%s", model, one->group, own);
}

static record *find(world *it, const thing *key) {
    for (size_t i = 0; i < it->count; i++)
        if (it->records[i].there && same_key(it->kind, &it->records[i].is, key))
            return &it->records[i];
    return NULL;
}

/* Whether another record than `own` (NULL: none) has the unique value. */
static bool is_taken(world *it, const thing *by, const thing *own) {
    for (size_t i = 0; kinds[it->kind].unique && i < it->count; i++) {
        const record *other = &it->records[i];
        if (other->there && same_text(other->is.name, by->name) &&
            (!kinds[it->kind].strict || same_text(other->is.group, by->group)) &&
            !same_key(it->kind, &other->is, by) &&
            (own == NULL || !same_key(it->kind, &other->is, own)))
            return true;
    }
    return false;
}

static record *put(world *it, const thing *what) {
    record *one = find(it, what);
    if (one == NULL) {
        for (size_t i = 0; i < it->count && one == NULL; i++)
            if (!it->records[i].there)
                one = &it->records[i];
        if (one == NULL && it->count == MOST_RECORDS)
            stress_give_up("the dictionary is full");
        one = one != NULL ? one : &it->records[it->count++];
        one->evidence = kinds[it->kind].expires ? -1 : 0;
    }
    one->there = true;
    one->is = *what;
    one->is.object = (popoto_object){ 0 };
    one->stored = ++it->stored;
    return one;
}

/* ----- Objects -------------------------------------------------------------------------------- */

static const char *some_note(world *it) {
    return below(it, 60) == 0 ? huge : notes[below(it, COUNT(notes))];
}

static const char *some_room(world *it) {
    return rooms[below(it, it->weather == FOREIGN ? COUNT(rooms) : COUNT(rooms) - 1)];
}

static void change_rest(world *it, thing *one) {
    if (below(it, 3) == 0)
        one->room = some_room(it);
    if (below(it, 2))
        one->note = some_note(it);
    if (below(it, 2))
        one->score = scores[below(it, COUNT(scores))];
    if (below(it, 2))
        one->rank = ranks[below(it, COUNT(ranks))];
}

static void change_key(world *it, thing *one) {
    if (below(it, 2))
        one->group = groups[below(it, COUNT(groups))];
    if (kinds[it->kind].generates)
        return;
    one->name = names[below(it, NAMES)];
    one->num = below(it, NAMES);
}

static void make_new(world *it, keeper *one) {
    memset(one, 0, sizeof *one);
    one->it.group = groups[below(it, COUNT(groups))];
    one->it.room = some_room(it);
    change_key(it, &one->it);
    change_rest(it, &one->it);
    if (kinds[it->kind].generates && below(it, 12) == 0)
        snprintf(one->it.id.text, sizeof one->it.id.text, "chosen%u", below(it, 40));
}

/* A field that cannot be stored. */
static bool spoil(world *it, thing *one) {
    switch (below(it, 4)) {
    case 0: one->score = NAN; return true;
    case 1: one->note = "\xff"; return true;
    case 2: one->room = NULL; return true;
    default: one->rank = INT64_MAX; return true;
    }
}

static void unspoil(thing *one) {
    if (one->group == NULL)
        return; /* never made */
    if (isnan(one->score))
        one->score = 1;
    if (one->note != NULL && strcmp(one->note, "\xff") == 0)
        one->note = NULL;
    if (one->room == NULL)
        one->room = "r0";
    if (one->rank == INT64_MAX)
        one->rank = 0;
}

static bool is_spoilt(const thing *one) {
    return isnan(one->score) || one->room == NULL || one->rank == INT64_MAX ||
           (one->note != NULL && strcmp(one->note, "\xff") == 0);
}

/* ----- Weather -------------------------------------------------------------------------------- */

static bool needs(const char *partition, const char *name) {
    return partition != NULL && strcmp(partition, name) == 0;
}

static const char *foreign_key(const world *it, bool companion) {
    static char text[128];
    if (!needs(kinds[it->kind].rank_by, "room"))
        return NULL; /* records of every room would meet it */
    if (companion && !kinds[it->kind].strict)
        snprintf(text, sizeof text, "$ConfidencF:%s:trust:data:foreign", it->model->name);
    else
        snprintf(text, sizeof text, "%s$SortedF:%s:rank:foreign",
                 kinds[it->kind].strict ? "{ga}:" : "", it->model->name);
    return text;
}

static bool meets_foreign(const world *it, const thing *one) {
    return it->weather == FOREIGN && same_text(one->room, "foreign") &&
           (!kinds[it->kind].strict || same_text(one->group, "ga"));
}

static void choose_weather(world *it) {
    it->weather = below(it, 3) ? CALM : (weather)below(it, WEATHERS);
    if (it->weather == FOREIGN) {
        if (foreign_key(it, false) == NULL) {
            it->weather = CALM;
        } else {
            raw_do(it->raw, "SET %s foreign", foreign_key(it, below(it, 2)));
        }
    }
    if (it->weather == FORGETFUL)
        raw_do(it->raw, "SCRIPT FLUSH");
    if (it->weather == KILLED)
        raw_do(it->raw, "CLIENT KILL USER %s", below(it, 2) ? "plain" : "nomulti");
    if (it->weather == REFUSING)
        raw_do(it->raw, "CONFIG SET min-replicas-to-write 1");
}

static int begin_call(world *it) {
    it->calls++;
    int which = it->weather == STARVED ? 0 : it->weather == CUT ? 1 : (int)below(it, CONNECTIONS);
    if (it->weather == STARVED)
        it->memory.fail_at = it->memory.allocations + 1 + below(it, below(it, 2) ? 12 : 200);
    if (it->weather == CUT)
        proxy_arm(it->between, below(it, 2) ? TO_CLIENT : TO_SERVER,
                  below(it, below(it, 2) ? 400 : 60000));
    return which;
}

static void end_call(world *it) {
    if (it->weather == STARVED)
        it->memory.fail_at = 0;
    if (it->weather == CUT)
        (void)proxy_disarm(it->between);
}

static void end_weather(world *it) {
    if (it->weather == FOREIGN) {
        raw_do(it->raw, "DEL %s", foreign_key(it, false));
        if (foreign_key(it, true) != NULL)
            raw_do(it->raw, "DEL %s", foreign_key(it, true));
    }
    if (it->weather == REFUSING)
        raw_do(it->raw, "CONFIG SET min-replicas-to-write 0");
    for (size_t i = 0; i < MOST_OBJECTS; i++)
        if (same_text(it->objects[i].it.room, "foreign"))
            it->objects[i].it.room = "r0";
}

/* Whether the weather explains that nothing was done, or that nobody knows. */
static bool is_weather(const world *it, popoto_status status) {
    switch (it->weather) {
    case STARVED: return status == POPOTO_NO_MEMORY || status == POPOTO_UNKNOWN_OUTCOME;
    case CUT:
        return status == POPOTO_DISCONNECTED || status == POPOTO_UNKNOWN_OUTCOME ||
               status == POPOTO_CANNOT_CONNECT;
    case KILLED: return status == POPOTO_DISCONNECTED || status == POPOTO_UNKNOWN_OUTCOME;
    case REFUSING: return status == POPOTO_UNAVAILABLE;
    default: return false;
    }
}

/* ----- Writes --------------------------------------------------------------------------------- */

typedef enum verb {
    CREATE,
    SAVE,
    DELETE,
} verb;

/* What must come of one object, after those before it. *after: what is stored then. */
static popoto_status foresee(world *it, const keeper *one, verb what, int by) {
    const thing *old = one->saved ? &one->was : &one->it;
    bool moves = one->saved && !same_key(it->kind, &one->was, &one->it);
    if (what == DELETE && moves && by != one->home)
        return POPOTO_BAD_ARGUMENT;
    if (what == DELETE)
        return find(it, old) != NULL ? POPOTO_OK : POPOTO_NOT_FOUND;
    if (what == SAVE && moves && by != one->home)
        return POPOTO_BAD_ARGUMENT;
    if (is_spoilt(&one->it))
        return POPOTO_BAD_VALUE;
    if (what == CREATE && kinds[it->kind].generates && one->it.id.text[0] == '\0')
        return meets_foreign(it, &one->it) ? POPOTO_CORRUPT : POPOTO_OK;
    if (what == CREATE && find(it, &one->it) != NULL)
        return POPOTO_EXISTS;
    if (what == SAVE && one->saved && find(it, old) == NULL)
        return POPOTO_NOT_FOUND;
    if (what == SAVE && moves && find(it, &one->it) != NULL)
        return POPOTO_EXISTS;
    if (is_taken(it, &one->it, what == SAVE && one->saved ? &one->was : NULL))
        return POPOTO_DUPLICATE;
    return meets_foreign(it, &one->it) ? POPOTO_CORRUPT : POPOTO_OK;
}

static void apply(world *it, keeper *one, verb what, int by) {
    thing *old = one->saved ? &one->was : &one->it;
    record *before = what == CREATE ? NULL : find(it, old);
    if (what == DELETE) {
        if (before != NULL)
            before->there = false;
        one->saved = false;
        one->stored = 0;
        return;
    }
    bool moves = before != NULL && !same_key(it->kind, &before->is, &one->it);
    int64_t evidence = before != NULL ? before->evidence : 0;
    if (moves)
        before->there = false;
    record *now = put(it, &one->it);
    now->evidence = evidence;
    one->saved = true;
    one->was = one->it;
    one->stored = now->stored;
    one->home = by;
}

/* What the server has under a key, by a connection that nothing happens to. *there: whether it has. */
static bool look(world *it, const thing *key, thing *is, bool *there) {
    popoto_rows *rows;
    popoto_status status = popoto_load(it->control, it->model, key, &rows);
    *there = status == POPOTO_OK;
    if (*there) {
        *is = *(const thing *)popoto_rows_at(rows, 0);
        for (size_t i = 0; i < COUNT(notes); i++) /* rows go, tables stay */
            if (is->note != NULL && notes[i] != NULL && same_text(is->note, notes[i]))
                is->note = notes[i];
        if (same_text(is->note, huge))
            is->note = huge;
        for (size_t i = 0; i < COUNT(rooms); i++)
            if (same_text(is->room, rooms[i]))
                is->room = rooms[i];
        is->group = key->group;
        is->name = key->name;
    }
    popoto_rows_free(rows);
    return check(it, *there || status == POPOTO_NOT_FOUND,
                 "a record cannot be looked at:", popoto_error(it->control));
}

/* The outcome was not known: which of the two is it? */
static void settle(world *it, keeper *one, verb what, int by) {
    thing is;
    bool there;
    if (kinds[it->kind].generates && what != DELETE && one->it.id.text[0] == '\0') {
        check(it, false, "of an unknown outcome", "the generated key is not told");
        return;
    }
    if (what == DELETE) {
        thing *old = one->saved ? &one->was : &one->it;
        if (look(it, old, &is, &there) && !there && find(it, old) != NULL)
            find(it, old)->there = false; /* which the object was not told */
        return;
    }
    if (!look(it, &one->it, &is, &there))
        return;
    bool moves = one->saved && !same_key(it->kind, &one->was, &one->it);
    thing *old = one->saved ? &one->was : &one->it;
    record *before = what == CREATE ? NULL : find(it, old);
    bool changes = before == NULL || moves || !same_rest(&before->is, &one->it);
    if (there && changes && same_rest(&is, &one->it) &&
        (before != NULL || find(it, &one->it) == NULL)) {
        keeper kept = *one; /* the object was not told */
        apply(it, one, what, by);
        *one = kept;
    }
}

#define MOST_AT_ONCE 700

/* What one call is about. */
typedef struct parcel {
    verb what;
    size_t count;
    void *objects[MOST_AT_ONCE];
    keeper *keepers[MOST_AT_ONCE]; /* NULL: no object is given */
    popoto_status statuses[MOST_AT_ONCE];
} parcel;

static bool share_name(kind of, const thing *a, const thing *b) {
    if (kinds[of].generates)
        return a->id.text[0] != '\0' && strcmp(a->id.text, b->id.text) == 0;
    return of == NUM ? a->num == b->num : same_text(a->name, b->name);
}

static bool are_close(kind of, const keeper *a, const keeper *b) {
    return share_name(of, &a->it, &b->it) || (a->saved && share_name(of, &a->was, &b->it)) ||
           (b->saved && share_name(of, &a->it, &b->was)) ||
           (a->saved && b->saved && share_name(of, &a->was, &b->was));
}

/* Two that may be about one record, or one unique value, are given together only where it is promised what
 * becomes of them. */
static bool may_be_given(const world *it, const parcel *with, size_t at, const keeper *one) {
    bool calm = it->weather == CALM || it->weather == FORGETFUL;
    bool one_after_the_other =
        calm && !kinds[it->kind].expires && (with->what == CREATE || !kinds[it->kind].unique);
    for (size_t i = 0; !one_after_the_other && i < at; i++)
        if (with->keepers[i] != NULL && are_close(it->kind, with->keepers[i], one))
            return false;
    return true;
}

static void change_for(world *it, verb what, keeper *one) {
    if (one->it.group == NULL || below(it, 20) < (what == CREATE ? 19 : 2))
        make_new(it, one);
    if (what == SAVE && below(it, 3))
        change_rest(it, &one->it);
    if (what != CREATE && below(it, 8) == 0)
        change_key(it, &one->it);
    if (below(it, 60) == 0)
        spoil(it, &one->it);
}

static void choose_objects(world *it, parcel *out) {
    static const unsigned sizes[] = { 1, 1, 3, 20, 255, 256, 257, 513, 600 };
    static bool used[MOST_OBJECTS];
    memset(used, 0, sizeof used);
    out->what = below(it, 2) ? CREATE : below(it, 3) ? SAVE : DELETE;
    out->count = sizes[below(it, COUNT(sizes))];
    for (size_t i = 0; i < out->count; i++) {
        size_t which = below(it, MOST_OBJECTS);
        while (used[which])
            which = (which + 1) % MOST_OBJECTS;
        used[which] = true;
        keeper *one = &it->objects[which];
        if (i > 0 && below(it, 50) == 0 && out->keepers[i - 1] != NULL)
            one = out->keepers[below(it, (unsigned)i)]; /* once more */
        else
            change_for(it, out->what, one);
        bool given = one != NULL && below(it, 80) != 0 && may_be_given(it, out, i, one);
        out->keepers[i] = given ? one : NULL;
        out->objects[i] = given ? &one->it : NULL;
    }
}

static popoto_status run_parcel(world *it, int by, parcel *what) {
    switch (what->what) {
    case CREATE:
        return popoto_create_many(it->db[by], it->model, what->objects, what->count,
                                  what->statuses);
    case SAVE:
        return popoto_save_many(it->db[by], it->model, what->objects, what->count, what->statuses);
    default:
        return popoto_delete_many(it->db[by], it->model, what->objects, what->count,
                                  what->statuses);
    }
}

static void judge(world *it, int by, const parcel *of, size_t at) {
    popoto_status status = of->statuses[at], wanted = POPOTO_BAD_ARGUMENT;
    keeper *one = of->keepers[at];
    char text[400];
    it->statuses[status]++;
    if (one != NULL)
        wanted = foresee(it, one, of->what, by);
    if (status == POPOTO_OK && wanted == POPOTO_OK) {
        apply(it, one, of->what, by);
    } else if (one != NULL && is_weather(it, status) && status == POPOTO_UNKNOWN_OUTCOME) {
        settle(it, one, of->what, by);
    } else {
        snprintf(text, sizeof text, "verb %d, connection %d, item %zu of %zu is %s, not %s",
                 (int)of->what, by, at, of->count, popoto_status_name(status),
                 popoto_status_name(wanted));
        check(it, status == wanted || is_weather(it, status), text, popoto_error(it->db[by]));
    }
}

static void write_many(world *it) {
    static parcel all;
    choose_objects(it, &all);
    int by = begin_call(it);
    popoto_status outcome = run_parcel(it, by, &all), first = POPOTO_OK;
    end_call(it);
    for (size_t i = 0; i < all.count && !it->broken; i++) {
        first = first == POPOTO_OK ? all.statuses[i] : first;
        judge(it, by, &all, i);
    }
    check(it, it->broken || outcome == first,
          "the call does not say what the first failure was:", popoto_status_name(outcome));
    for (size_t i = 0; i < MOST_OBJECTS; i++)
        unspoil(&it->objects[i].it);
}

/* What the record is to be when these fields alone are stored. */
static thing merged(const record *before, const thing *now, const char *only) {
    thing is = before->is;
    is.group = now->group;
    is.id = now->id;
    is.name = now->name;
    is.num = now->num;
    is.note = strstr(only, "note") ? now->note : is.note;
    is.room = strstr(only, "room") ? now->room : is.room;
    is.rank = strstr(only, "rank") ? now->rank : is.rank;
    is.score = strstr(only, "score") ? now->score : is.score;
    return is;
}

/* What must come of a save if nobody changed the record; *other: or of this, where it was changed back. */
static popoto_status foresee_careful(world *it, const keeper *one, const record *before, int by,
                                     popoto_status *other) {
    bool moves = one->saved && !same_key(it->kind, &one->was, &one->it);
    if (moves && by != one->home)
        return *other;
    if (!one->saved || one->stored == 0)
        return *other = POPOTO_BAD_ARGUMENT;
    if (before == NULL || before->stored == one->stored)
        return *other;
    if (!same_rest(&before->is, &one->was))
        *other = POPOTO_CHANGED;
    return POPOTO_CHANGED;
}

/* One object, some of its fields, perhaps if nobody changed it. */
static void save_with(world *it) {
    keeper *one = &it->objects[below(it, MOST_OBJECTS)];
    static const char *const lists[] = { NULL,        "note",  "room",
                                         "rank,note", "score", "rank,room,note,score" };
    popoto_save_desc desc = { .only = lists[below(it, COUNT(lists))],
                              .if_unchanged = below(it, 3) == 0 };
    if (one->it.group == NULL || (!one->saved && below(it, 2)))
        make_new(it, one);
    if (!one->saved && desc.only != NULL)
        return; /* records that lack fields are told of elsewhere */
    change_rest(it, &one->it);
    if (below(it, 6) == 0)
        change_key(it, &one->it);
    int by = begin_call(it);
    popoto_status status = popoto_save_with(it->db[by], it->model, &one->it, &desc);
    end_call(it);
    it->statuses[status]++;
    keeper stored = *one;
    const record *before = one->saved ? find(it, &one->was) : NULL;
    if (desc.only != NULL && before != NULL)
        stored.it = merged(before, &one->it, desc.only);
    popoto_status wanted = foresee(it, &stored, SAVE, by), other = wanted;
    if (desc.if_unchanged)
        wanted = foresee_careful(it, one, before, by, &other);
    if (status == POPOTO_OK && (status == wanted || status == other)) {
        thing mine = one->it;
        apply(it, &stored, SAVE, by);
        *one = stored;
        one->it = mine;
        if (desc.only != NULL && !desc.if_unchanged)
            one->stored = 0; /* it does not know the other fields */
        return;
    }
    if (is_weather(it, status) && status == POPOTO_UNKNOWN_OUTCOME) {
        settle(it, &stored, SAVE, by);
        return;
    }
    char text[256];
    snprintf(text, sizeof text, "save_with %s%s by %d: %s, not %s", desc.only ? desc.only : "all",
             desc.if_unchanged ? " if unchanged" : "", by, popoto_status_name(status),
             popoto_status_name(wanted));
    check(it, status == wanted || status == other || is_weather(it, status), text,
          popoto_error(it->db[by]));
}

static void update(world *it) {
    enum {
        MOST = 40
    };
    static popoto_signal signals[MOST];
    static record *about[MOST];
    size_t count = 1 + below(it, MOST - 1);
    if (it->count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        about[i] = &it->records[below(it, (unsigned)it->count)];
        if (find(it, &about[i]->is) != NULL) /* it went, and came again elsewhere */
            about[i] = find(it, &about[i]->is);
        signals[i] = (popoto_signal){ .object = &about[i]->is, .signal = below(it, 2) };
    }
    int by = begin_call(it);
    (void)popoto_confidence_update_many(it->db[by], it->model, "trust", signals, count);
    end_call(it);
    for (size_t i = 0; i < count; i++) {
        popoto_status status = signals[i].status;
        it->statuses[status]++;
        if (status == POPOTO_OK && about[i]->evidence >= 0)
            about[i]->evidence++;
        else if (!is_weather(it, status))
            check(it, status == (about[i]->there ? POPOTO_OK : POPOTO_NOT_FOUND), "an update is",
                  popoto_error(it->db[by]));
    }
    for (size_t i = 0; i < count; i++) {
        popoto_confidence now;
        if (!about[i]->there)
            continue;
        popoto_status status =
            popoto_confidence_figures(it->control, it->model, &about[i]->is, "trust", &now);
        if (it->weather == CUT || it->weather == STARVED || it->weather == KILLED ||
            about[i]->evidence < 0)
            about[i]->evidence = now.evidence_count;
        char text[160];
        snprintf(text, sizeof text, "evidence %lld was acknowledged, %lld is there: %s",
                 (long long)about[i]->evidence, (long long)now.evidence_count,
                 popoto_status_name(status));
        check(it, status == POPOTO_OK && now.evidence_count == about[i]->evidence, text,
              about[i]->is.name != NULL ? about[i]->is.name : about[i]->is.id.text);
    }
}

/* Records expire: what indexes still name of them is nobody's. */
static void expire(world *it) {
    char key[96];
    if (!kinds[it->kind].expires || it->weather == REFUSING || it->count == 0)
        return;
    for (unsigned i = below(it, 60); i > 0; i--) {
        record *one = &it->records[below(it, (unsigned)it->count)];
        if (!one->there)
            continue;
        key_of(it->kind, &one->is, key, sizeof key);
        raw_do(it->raw, "DEL %s", key);
        one->there = false;
    }
}

/* ----- Reads ---------------------------------------------------------------------------------- */

typedef struct wish {
    popoto_query_desc desc;
    popoto_value list[3], more[3];
    const char *group[3]; /* allowed; group[0] NULL: all */
    const char *room[3];
    bool has_low, has_high, has_scores, has_rank, has_note, note_null, has_name, has_prefix;
    double low, high;
    bool low_open, high_open;
    double score[3];
    int64_t rank_low, rank_high;
    const char *note, *name;
    int64_t num;
    bool has_num;
} wish;

static void add(wish *it, const char *lookup, popoto_value value) {
    size_t at = 0;
    while (it->desc.where[at].lookup != NULL)
        at++;
    it->desc.where[at] = (popoto_filter){ lookup, value };
}

static void wish_group(world *it, wish *out) {
    if (below(it, 2) || kinds[it->kind].strict) {
        for (int i = 0; i < 3; i++)
            out->group[i] = groups[below(it, 1) + below(it, COUNT(groups))];
        out->group[1] = out->group[2] = out->group[0];
        add(out, "group", POPOTO_VALUE(out->group[0]));
        return;
    }
    for (int i = 0; i < 3; i++) {
        out->group[i] = groups[below(it, COUNT(groups))];
        out->list[i] = POPOTO_VALUE(out->group[i]);
    }
    if (below(it, 2)) {
        out->group[2] = out->group[1];
        out->list[2] = out->list[1];
    }
    add(out, "group__in", popoto_of_items(POPOTO_LIST, out->list, 3));
}

static void wish_room(world *it, wish *out) {
    for (int i = 0; i < 3; i++) {
        out->room[i] = rooms[below(it, COUNT(rooms) - 1)];
        out->more[i] = POPOTO_VALUE(out->room[i]);
    }
    if (below(it, 2)) {
        out->room[1] = out->room[2] = out->room[0];
        add(out, "room", POPOTO_VALUE(out->room[0]));
    } else {
        add(out, "room__in", popoto_of_items(POPOTO_LIST, out->more, 3));
    }
}

static void wish_score(world *it, wish *out) {
    static popoto_value values[3];
    unsigned a = below(it, COUNT(scores)), b = below(it, COUNT(scores));
    switch (below(it, 4)) {
    case 0:
        out->has_low = true;
        out->low = scores[a];
        out->low_open = below(it, 2);
        add(out, out->low_open ? "score__gt" : "score__gte", POPOTO_VALUE(out->low));
        break;
    case 1:
        out->has_high = true;
        out->high = scores[a];
        out->high_open = below(it, 2);
        add(out, out->high_open ? "score__lt" : "score__lte", POPOTO_VALUE(out->high));
        break;
    case 2:
        out->has_low = out->has_high = true;
        out->low = scores[a];
        out->high = scores[b];
        values[0] = POPOTO_VALUE(out->low);
        values[1] = POPOTO_VALUE(out->high);
        add(out, "score__between", popoto_of_items(POPOTO_LIST, values, 2));
        break;
    default:
        out->has_scores = true;
        for (int i = 0; i < 3; i++) {
            out->score[i] = scores[below(it, COUNT(scores))];
            values[i] = POPOTO_VALUE(out->score[i]);
        }
        add(out, "score__in", popoto_of_items(POPOTO_LIST, values, 3));
    }
}

static void make_wish(world *it, wish *out) {
    static const char *const lists[] = { NULL, NULL, NULL, "note", "rank,room", "" };
    static const char *const orders[] = {
        NULL, "score", "-score", "rank", "-rank", "note", "-note"
    };
    memset(out, 0, sizeof *out);
    out->desc.model = it->model;
    const char *order = out->desc.order_by = orders[below(it, COUNT(orders))];
    bool by_score = order != NULL && strstr(order, "score"),
         by_rank = order != NULL && strstr(order, "rank");
    bool score = below(it, 3) == 0, rank = below(it, 5) == 0;
    bool strict = kinds[it->kind].strict;
    out->desc.all_tenants = strict && below(it, 4) == 0;
    strict = strict && !out->desc.all_tenants;
    if ((below(it, 3) == 0 && !out->desc.all_tenants) || strict ||
        ((score || by_score) && needs(kinds[it->kind].score_by, "group")))
        wish_group(it, out);
    bool room = below(it, 5) == 0 ||
                ((score || by_score) && needs(kinds[it->kind].score_by, "room")) ||
                ((rank || by_rank) && needs(kinds[it->kind].rank_by, "room"));
    if (room)
        wish_room(it, out);
    if (score)
        wish_score(it, out);
    if (rank) {
        out->has_rank = true;
        out->rank_low = ranks[below(it, COUNT(ranks))];
        out->rank_high = ranks[below(it, COUNT(ranks))];
        add(out, "rank__gte", POPOTO_VALUE(out->rank_low));
        add(out, "rank__lte", POPOTO_VALUE(out->rank_high));
    }
    if (below(it, 8) == 0) {
        out->has_note = true;
        out->note = notes[1 + below(it, COUNT(notes) - 1)];
        out->has_prefix = below(it, 2);
        add(out, out->has_prefix ? "note__startswith" : "note", POPOTO_VALUE(out->note));
    } else if (below(it, 8) == 0) {
        out->note_null = true;
        add(out, "note__isnull", POPOTO_VALUE((bool)true));
    }
    if (kinds[it->kind].unique && below(it, 4) == 0) {
        out->has_name = true;
        out->name = names[below(it, NAMES)];
        add(out, "name", POPOTO_VALUE(out->name));
    }
    if (it->kind == NUM && below(it, 4) == 0) {
        out->has_num = true;
        out->num = below(it, NAMES);
        add(out, "num", POPOTO_VALUE(out->num));
    }
    out->desc.allow_scan = true;
    out->desc.fields = lists[below(it, COUNT(lists))];
    static const size_t limits[] = { 0, 0, 1, 2, 15, 63, 64, 65, 255, 256, 257, 1000, 1001 };
    out->desc.limit = limits[below(it, COUNT(limits))];
    if (below(it, 3) == 0)
        out->desc.offset = limits[below(it, COUNT(limits))];
}

static bool is_among(const char *const *list, const char *text) {
    return list[0] == NULL || same_text(list[0], text) || same_text(list[1], text) ||
           same_text(list[2], text);
}

static bool fulfils(const wish *it, const thing *one) {
    if (!is_among(it->group, one->group) || !is_among(it->room, one->room))
        return false;
    if (it->has_low && !(it->low_open ? one->score > it->low : one->score >= it->low))
        return false;
    if (it->has_high && !(it->high_open ? one->score < it->high : one->score <= it->high))
        return false;
    if (it->has_scores && one->score != it->score[0] && one->score != it->score[1] &&
        one->score != it->score[2])
        return false;
    if (it->has_rank && (one->rank < it->rank_low || one->rank > it->rank_high))
        return false;
    if (it->has_note &&
        (one->note == NULL || (it->has_prefix ? strncmp(one->note, it->note, strlen(it->note)) != 0
                                              : strcmp(one->note, it->note) != 0)))
        return false;
    if (it->note_null && one->note != NULL)
        return false;
    if (it->has_num && one->num != it->num)
        return false;
    return !it->has_name || strcmp(one->name, it->name) == 0;
}

typedef struct expected_row {
    const record *is;
    char key[96];
    const char *order;
} expected_row;

static int by_order(const void *a, const void *b) {
    const expected_row *x = a, *y = b;
    const char *order = x->order;
    bool down = order[0] == '-';
    int way = 0;
    if (strstr(order, "score"))
        way = (x->is->is.score > y->is->is.score) - (x->is->is.score < y->is->is.score);
    else if (strstr(order, "rank"))
        way = (x->is->is.rank > y->is->is.rank) - (x->is->is.rank < y->is->is.rank);
    else if (x->is->is.note == NULL || y->is->is.note == NULL)
        way = (x->is->is.note != NULL) - (y->is->is.note != NULL);
    else
        way = strcmp(x->is->is.note, y->is->is.note);
    if (way == 0)
        way = strcmp(x->key, y->key);
    return down ? -way : way;
}

static expected_row *expect(world *it, const wish *what, size_t *count) {
    static expected_row rows[MOST_RECORDS];
    *count = 0;
    for (size_t i = 0; i < it->count; i++) {
        if (!it->records[i].there || !fulfils(what, &it->records[i].is))
            continue;
        expected_row *one = &rows[(*count)++];
        one->is = &it->records[i];
        one->order = what->desc.order_by;
        key_of(it->kind, &it->records[i].is, one->key, sizeof one->key);
    }
    if (what->desc.order_by != NULL)
        qsort(rows, *count, sizeof *rows, by_order);
    return rows;
}

/* With the fields that were asked for, and no others. */
static bool is_row(world *it, const thing *row, const record *is, const char *fields) {
    thing wanted = is->is;
    if (fields != NULL && strstr(fields, "note") == NULL)
        wanted.note = NULL;
    if (fields != NULL && strstr(fields, "rank") == NULL)
        wanted.rank = 0, wanted.room = NULL;
    if (fields != NULL)
        wanted.score = 0;
    return same_key(it->kind, row, &is->is) && same_rest(row, &wanted);
}

static void describe(const wish *what, char *out, size_t size) {
    size_t at = (size_t)snprintf(
        out, size,
        "query%s order %s limit %zu offset %zu:", what->desc.all_tenants ? " of all tenants" : "",
        what->desc.order_by ? what->desc.order_by : "-", what->desc.limit, what->desc.offset);
    for (size_t i = 0; i < POPOTO_MAX_WHERE && what->desc.where[i].lookup && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, " %s", what->desc.where[i].lookup);
}

/* One row of an answer, in its place; seen[] by record. */
static bool check_row(world *it, const wish *what, const expected_row *rows, size_t total,
                      size_t at, const thing *row, bool *seen) {
    if (what->desc.order_by != NULL) {
        size_t place = what->desc.offset + at;
        return place < total && is_row(it, row, rows[place].is, what->desc.fields);
    }
    for (size_t i = 0; i < total; i++)
        if (!seen[i] && is_row(it, row, rows[i].is, what->desc.fields))
            return seen[i] = true;
    return false;
}

static void ask(world *it) {
    wish what;
    size_t total;
    char text[400];
    static bool seen[MOST_RECORDS];
    make_wish(it, &what);
    describe(&what, text, sizeof text);
    const expected_row *rows = expect(it, &what, &total);
    size_t left = total > what.desc.offset ? total - what.desc.offset : 0;
    size_t wanted = what.desc.limit != 0 && what.desc.limit < left ? what.desc.limit : left;
    memset(seen, 0, total * sizeof *seen);
    int by = begin_call(it);
    popoto_db *db = it->db[by];
    size_t found = 0;
    popoto_status status = POPOTO_OK;
    bool right = true;
    if (below(it, 3) == 0) {
        popoto_stream *stream;
        status = popoto_stream_open(db, &what.desc, &stream);
        void *row = stream;
        while (status == POPOTO_OK && row != NULL && found <= wanted) {
            status = popoto_stream_next(stream, &row);
            if (status == POPOTO_OK && row != NULL)
                right = right && check_row(it, &what, rows, total, found++, row, seen);
        }
        popoto_stream_free(stream);
        if (status == POPOTO_BAD_QUERY && what.desc.order_by != NULL) {
            end_call(it);
            return;
        }
    } else {
        popoto_rows *answer;
        status = popoto_query(db, &what.desc, &answer);
        found = popoto_rows_count(answer);
        for (size_t i = 0; i < found; i++)
            right = right && check_row(it, &what, rows, total, i, popoto_rows_at(answer, i), seen);
        /* Some of the rows are changed and saved, by this connection or by another. */
        for (size_t i = 0;
             i < found && i < 3 && right && it->weather == CALM && what.desc.fields == NULL; i++) {
            thing *row = popoto_rows_at(answer, i);
            keeper one = { .it = *row, .saved = true, .was = *row, .home = by };
            record *is = find(it, row);
            one.stored = is->stored;
            one.was.group = is->is.group, one.was.name = is->is.name, one.was.room = is->is.room;
            one.was.note = is->is.note;
            change_rest(it, row);
            if (below(it, 3) == 0)
                change_key(it, row);
            one.it = *row;
            one.it.room = row->room;
            int other = below(it, 2) ? by : (int)below(it, CONNECTIONS);
            /* Text that the row had before is in the rows' memory. */
            if (one.it.group != one.was.group && same_text(one.it.group, one.was.group))
                one.it.group = one.was.group;
            if (same_text(one.it.name, one.was.name))
                one.it.name = one.was.name;
            if (same_text(one.it.room, one.was.room))
                one.it.room = one.was.room;
            if (same_text(one.it.note, one.was.note))
                one.it.note = one.was.note;
            popoto_status wish_status = foresee(it, &one, SAVE, other);
            const popoto_save_desc careful = { .if_unchanged = below(it, 2) };
            popoto_status is_status = popoto_save_with(it->db[other], it->model, row, &careful);
            if (check(it, wish_status == is_status,
                      "a row that was changed:", popoto_error(it->db[other])) &&
                is_status == POPOTO_OK)
                apply(it, &one, SAVE, other);
        }
        popoto_rows_free(answer);
    }
    end_call(it);
    it->statuses[status]++;
    it->rows += found;
    if (status != POPOTO_OK) {
        check(it, is_weather(it, status) && status != POPOTO_UNKNOWN_OUTCOME, text,
              popoto_error(db));
        return;
    }
    check(it, right, text, "a row is wrong, or out of its place");
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%zu rows, not %zu of %zu", found, wanted, total);
    check(it, found == wanted, text, numbers);
}

static void count(world *it) {
    wish what;
    size_t total, is;
    char text[400], numbers[64];
    make_wish(it, &what);
    describe(&what, text, sizeof text);
    (void)expect(it, &what, &total);
    int by = begin_call(it);
    popoto_status status = popoto_count(it->db[by], &what.desc, &is);
    end_call(it);
    it->statuses[status]++;
    if (status != POPOTO_OK) {
        check(it, is_weather(it, status) && status != POPOTO_UNKNOWN_OUTCOME, text,
              popoto_error(it->db[by]));
        return;
    }
    snprintf(numbers, sizeof numbers, "counted %zu, not %zu", is, total);
    check(it, is == total, text, numbers);
}

static void load_keys(world *it) {
    enum {
        MOST = 600
    };
    static char texts[MOST][96];
    static popoto_text keys[MOST];
    static const record *wanted[MOST];
    size_t n = below(it, MOST), expected = 0;
    const char *group = groups[below(it, COUNT(groups))];
    if (it->count == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        const record *one = &it->records[below(it, (unsigned)it->count)];
        thing named = one->is;
        bool there = one->there;
        if (kinds[it->kind].strict && !same_text(named.group, group)) {
            named.group = group;
            snprintf(named.id.text, sizeof named.id.text, "none");
            named.name = "none";
            there = false;
        }
        there = find(it, &named) != NULL;
        key_of(it->kind, &named, texts[i], sizeof texts[i]);
        keys[i] = (popoto_text){ texts[i], strlen(texts[i]) };
        if (there)
            wanted[expected++] = find(it, &named);
    }
    int by = begin_call(it);
    popoto_rows *rows;
    popoto_status status = popoto_load_keys(it->db[by], it->model, keys, n, &rows);
    end_call(it);
    if (status != POPOTO_OK)
        check(it, is_weather(it, status) && status != POPOTO_UNKNOWN_OUTCOME, "load_keys",
              popoto_error(it->db[by]));
    if (status == POPOTO_OK &&
        check(it, popoto_rows_count(rows) == expected, "load_keys:", "other rows"))
        for (size_t i = 0; i < expected; i++)
            check(it, is_row(it, popoto_rows_at(rows, i), wanted[i], NULL),
                  "load_keys:", "a row is wrong");
    popoto_rows_free(rows);
}

/* ----- Audits --------------------------------------------------------------------------------- */

#define MOST_FINDINGS 200

typedef struct findings {
    char texts[MOST_FINDINGS][300];
    size_t count;
} findings;

static bool keep_finding(void *context, const popoto_finding *finding) {
    findings *it = context;
    if (it->count == MOST_FINDINGS)
        stress_give_up("more findings than there can be");
    snprintf(it->texts[it->count++], sizeof it->texts[0], "%d %s", (int)finding->kind,
             finding->text);
    return true;
}

/* By one audit of all, or by one of each tenant. */
static void audit(world *it, bool by_tenant, bool repair, findings *out) {
    out->count = 0;
    for (size_t i = 0; i < (by_tenant ? COUNT(groups) : 1) && !it->broken; i++) {
        popoto_audit_report report;
        popoto_value tenant = POPOTO_VALUE(groups[i]);
        popoto_audit_desc desc = { .model = it->model,
                                   .repair = repair,
                                   .found = keep_finding,
                                   .context = out,
                                   .tenant = by_tenant ? &tenant : NULL };
        if (by_tenant && !kinds[it->kind].strict)
            desc.tenant_field = "group";
        popoto_status status = popoto_audit(it->control, &desc, &report);
        check(it, status == POPOTO_OK, "an audit:", popoto_error(it->control));
    }
}

static void check_among(world *it, const findings *some, const findings *all, const char *what) {
    for (size_t i = 0; i < some->count && !it->broken; i++) {
        bool found = false;
        for (size_t k = 0; k < all->count && !found; k++)
            found = strcmp(some->texts[i], all->texts[k]) == 0;
        check(it, found, what, some->texts[i]);
    }
}

/* Something too much in an index, or too little. */
static void damage(world *it) {
    char key[128];
    redisReply *indexes = raw_ask(it->raw, "KEYS *$*:%s:*", it->model->name);
    const record *one = &it->records[below(it, (unsigned)it->count)];
    if (indexes->elements > 0) {
        const char *index = indexes->element[below(it, (unsigned)indexes->elements)]->str;
        redisReply *type = raw_ask(it->raw, "TYPE %s", index);
        bool adds = below(it, 2), is_set = strcmp(type->str, "set") == 0;
        thing named = one->is;
        if (kinds[it->kind].strict && index[0] == '{') /* of another tenant it is nobody's */
            for (size_t i = 0; i < COUNT(groups); i++)
                if (strncmp(index + 1, groups[i], 2) == 0)
                    named.group = groups[i];
        key_of(it->kind, &named, key, sizeof key);
        if (is_set)
            raw_do(it->raw, "%s %s %s", adds ? "SADD" : "SREM", index, key);
        else if (strcmp(type->str, "zset") == 0 && adds)
            raw_do(it->raw, "ZADD %s 5 %s", index, key);
        else if (strcmp(type->str, "zset") == 0)
            raw_do(it->raw, "ZREM %s %s", index, key);
        freeReplyObject(type);
    }
    freeReplyObject(indexes);
}

/* What an audit of all finds, those of each tenant find too, and nothing else; and mend. */
static void audit_all(world *it) {
    static findings all, each;
    if (kinds[it->kind].expires || it->count == 0 || it->broken)
        return;
    for (unsigned i = 1 + below(it, 8); i > 0; i--)
        damage(it);
    audit(it, false, false, &all);
    audit(it, true, false, &each);
    check_among(it, &all, &each, "no tenant's audit finds");
    check_among(it, &each, &all, "only a tenant's audit finds");
    audit(it, true, true, &each);
    check_among(it, &all, &each, "no tenant's audit mends");
    audit(it, false, false, &all);
    check(it, all.count == 0, "it was not mended:", all.texts[0]);
    assert_indexes_match(it->server, it->model);
}

/* ----- Everything ----------------------------------------------------------------------------- */

static bool tell_finding(void *context, const popoto_finding *finding) {
    world *it = context;
    check(it, false, "audit:", finding->text);
    return true;
}

static void compare_all(world *it) {
    size_t live = 0, records = 0;
    if (kinds[it->kind].expires)
        return; /* entries of the expired are found by those who meet them */
    for (size_t i = 0; i < it->count; i++)
        live += it->records[i].there;
    assert_indexes_match(it->server, it->model); /* or the program ends here */
    records = record_count(it->server, it->model);
    check(it, records == live, "there are other records than the dictionary's", "");
    popoto_audit_report report;
    popoto_audit_desc desc = { .model = it->model, .found = tell_finding, .context = it };
    popoto_status status = popoto_audit(it->control, &desc, &report);
    check(it, status == POPOTO_OK, "audit:", popoto_error(it->control));
    check(it, report.records == live, "the audit found other records than the dictionary's", "");
    for (size_t i = 0; i < it->count && !it->broken; i++) {
        thing is;
        bool there;
        if (it->records[i].there && below(it, 8) == 0 && look(it, &it->records[i].is, &is, &there))
            check(it, there && is_row(it, &is, &it->records[i], NULL),
                  "a record is not the dictionary's", "");
    }
}

static void open_all(world *it) {
    char url[256];
    failing_allocator_init(&it->memory, 0);
    popoto_options options = { .allocator = it->memory.allocator };
    snprintf(url, sizeof url, "unix://plain:secret@%s", server_socket(it->server));
    it->db[0] = popoto_open(url, &options);
    it->db[1] = popoto_open(proxy_url(it->between), NULL);
    snprintf(url, sizeof url, "unix://nomulti:secret@%s", server_socket(it->server));
    it->db[2] = popoto_open(url, NULL);
    it->control = popoto_open(server_url(it->server), NULL);
    for (int i = 0; i < CONNECTIONS; i++)
        if (popoto_error_status(it->db[i]) != POPOTO_OK)
            stress_give_up(popoto_error(it->db[i]));
}

static void close_all(world *it) {
    for (int i = 0; i < CONNECTIONS; i++)
        popoto_close(it->db[i]);
    popoto_close(it->control);
    check(it, it->memory.live_blocks == 0, "memory is left", "");
}

static void play(world *it, long calls) {
    server_flush(it->server);
    raw_do(it->raw, "SCRIPT FLUSH");
    open_all(it);
    for (long i = 0; i < calls && !it->broken; i++) {
        choose_weather(it);
        switch (below(it, 12)) {
        case 0:
        case 1:
        case 2:
        case 3: write_many(it); break;
        case 4: save_with(it); break;
        case 5: update(it); break;
        case 6: count(it); break;
        case 7: load_keys(it); break;
        case 8:
            expire(it);
            ask(it);
            break;
        default: ask(it);
        }
        end_weather(it);
        if (it->weather != CALM && !it->broken && i % 3 == 0)
            compare_all(it);
    }
    it->weather = CALM;
    compare_all(it);
    audit_all(it);
    close_all(it);
}

static world it; /* for the last words */

static void tell_seed(void) {
    if (it.model != NULL)
        fprintf(stderr, "seed %llu, %s, %s, call %zu\n", (unsigned long long)it.seed,
                it.model->name, weather_names[it.weather], it.calls);
}

int main(int argc, char **argv) {
    stress_begin(argc, argv, "dictionary");
    atexit(tell_seed);
    for (int i = 0; i < NAMES; i++)
        snprintf(names[i], sizeof names[i], "n%d", i);
    memset(huge, 'h', HUGE_NOTE);
    memset(middle, 'm', sizeof middle - 1);
    it.server = server_start(NULL);
    it.between = proxy_start(server_socket(it.server));
    it.raw = raw_connect(server_socket(it.server));
    raw_do(it.raw, "ACL SETUSER plain on >secret ~* &* +@all");
    raw_do(it.raw, "ACL SETUSER nomulti on >secret ~* &* +@all -multi");
    it.records = calloc(MOST_RECORDS, sizeof *it.records);
    it.objects = calloc(MOST_OBJECTS, sizeof *it.objects);
    if (it.records == NULL || it.objects == NULL)
        stress_give_up("no memory");
    long sequences = stress_amount(400, KINDS), calls = stress_amount(80, 30);
    size_t total = 0;
    for (long i = 0; i < sequences; i++) {
        it.seed = stress_seed() + (uint64_t)i;
        it.dice = dice_of(it.seed, 0);
        it.kind = (kind)(it.seed % KINDS);
        it.model = &kinds[it.kind].model;
        it.count = it.calls = 0;
        it.broken = false;
        memset(it.objects, 0, MOST_OBJECTS * sizeof *it.objects);
        memset(it.records, 0, MOST_RECORDS * sizeof *it.records);
        play(&it, calls);
        total += it.calls;
    }
    stress_say("%zu calls, %zu rows", total, it.rows);
    for (size_t i = 0; i < COUNT(it.statuses); i++)
        if (it.statuses[i] != 0)
            stress_say("%s: %zu", popoto_status_name((popoto_status)i), it.statuses[i]);
    redisFree(it.raw);
    proxy_stop(it.between);
    server_stop(it.server);
    free(it.records);
    free(it.objects);
    return stress_end();
}
