/* dictionary - the models, and the plain array that says what is stored under each key. */
#include "dictionary.h"

#include <math.h>
#include <stdio.h>

/* ----- Models --------------------------------------------------------------------------------- */

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

const kind_traits dictionary_kinds[KINDS] = {
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

/* ----- The array ------------------------------------------------------------------------------ */

const char *const dictionary_weather_names[WEATHERS] = {
    "calm", "starved", "cut", "forgetful", "foreign", "refusing", "killed",
};

bool dictionary_check(world *it, bool holds, const char *what, const char *more) {
    if (!holds)
        it->broken = true;
    return stress_check(holds, "seed %llu, %s, %s, call %zu: %s %s", (unsigned long long)it->seed,
                        it->model->name, dictionary_weather_names[it->weather], it->calls, what,
                        more);
}

bool dictionary_same_key(kind of, const thing *a, const thing *b) {
    return same_text(a->group, b->group) &&
           (dictionary_kinds[of].generates ? strcmp(a->id.text, b->id.text) == 0
            : of == NUM                    ? a->num == b->num
                                           : same_text(a->name, b->name));
}

bool dictionary_same_rest(const thing *a, const thing *b) {
    return same_text(a->room, b->room) && same_text(a->note, b->note) && a->score == b->score &&
           signbit(a->score) == signbit(b->score) && a->rank == b->rank;
}

void dictionary_key_of(kind of, const thing *one, char *out, size_t size) {
    const char *model = dictionary_kinds[of].model.name;
    const char *own = dictionary_kinds[of].generates ? one->id.text : one->name;
    if (of == NUM)
        snprintf(out, size, "%s:%lld:%s", model, (long long)one->num, one->group);
    else if (dictionary_kinds[of].strict)
        snprintf(out, size, "{%s}:%s:%s", one->group, model, own);
    else
        snprintf(out, size, "%s:%s:%s", model, one->group, own);
}

record *dictionary_find(world *it, const thing *key) {
    for (size_t i = 0; i < it->count; i++)
        if (it->records[i].there && dictionary_same_key(it->kind, &it->records[i].is, key))
            return &it->records[i];
    return NULL;
}

bool dictionary_is_taken(world *it, const thing *by, const thing *own) {
    for (size_t i = 0; dictionary_kinds[it->kind].unique && i < it->count; i++) {
        const record *other = &it->records[i];
        if (other->there && same_text(other->is.name, by->name) &&
            (!dictionary_kinds[it->kind].strict || same_text(other->is.group, by->group)) &&
            !dictionary_same_key(it->kind, &other->is, by) &&
            (own == NULL || !dictionary_same_key(it->kind, &other->is, own)))
            return true;
    }
    return false;
}

record *dictionary_put(world *it, const thing *what) {
    record *one = dictionary_find(it, what);
    if (one == NULL) {
        for (size_t i = 0; i < it->count && one == NULL; i++)
            if (!it->records[i].there)
                one = &it->records[i];
        if (one == NULL && it->count == MOST_RECORDS)
            stress_give_up("the dictionary is full");
        one = one != NULL ? one : &it->records[it->count++];
        one->evidence = dictionary_kinds[it->kind].expires ? -1 : 0;
    }
    one->there = true;
    one->is = *what;
    one->is.object = (popoto_object){ 0 };
    one->stored = ++it->stored;
    return one;
}
