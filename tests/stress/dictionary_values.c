/* dictionary_values - the values that fields hold, few enough to meet again, and objects made of them. */
#include "dictionary.h"

#include <math.h>
#include <stdio.h>

const char *const dictionary_groups[] = { "ga", "gb", "gc", "gd", "ge", "gf", "gg" };
const char *const dictionary_rooms[] = { "r0", "r1", "r2", "r3", "r4", "r5", "foreign" };
const double dictionary_scores[] = { -INFINITY, -1e300, -2.5, -1,    -0.0,    0.0,
                                     1,         1.1,    2,    1e300, INFINITY };
const int64_t dictionary_ranks[] = { -9007199254740991, -300, -1, 0, 1, 2, 255, 70000,
                                     9007199254740991 };
static char names[NAMES][8];
#define HUGE_NOTE 100000
static char huge[HUGE_NOTE + 1], middle[400];
const char *const dictionary_notes[] = { NULL, "", "one", "two", "Zo\xc3\xab", middle, "one" };

void dictionary_fill_values(void) {
    for (int i = 0; i < NAMES; i++)
        snprintf(names[i], sizeof names[i], "n%d", i);
    memset(huge, 'h', HUGE_NOTE);
    memset(middle, 'm', sizeof middle - 1);
}

const char *dictionary_name(unsigned which) {
    return names[which];
}

void dictionary_keep_texts(thing *row) {
    for (size_t i = 0; i < COUNT(dictionary_notes); i++)
        if (row->note != NULL && dictionary_notes[i] != NULL &&
            same_text(row->note, dictionary_notes[i]))
            row->note = dictionary_notes[i];
    if (same_text(row->note, huge))
        row->note = huge;
    for (size_t i = 0; i < COUNT(dictionary_rooms); i++)
        if (same_text(row->room, dictionary_rooms[i]))
            row->room = dictionary_rooms[i];
}

static const char *some_note(world *it) {
    return below(it, 60) == 0 ? huge : dictionary_notes[below(it, COUNT(dictionary_notes))];
}

static const char *some_room(world *it) {
    return dictionary_rooms[below(it, it->weather == FOREIGN ? COUNT(dictionary_rooms)
                                                             : COUNT(dictionary_rooms) - 1)];
}

void dictionary_change_rest(world *it, thing *one) {
    if (below(it, 3) == 0)
        one->room = some_room(it);
    if (below(it, 2))
        one->note = some_note(it);
    if (below(it, 2))
        one->score = dictionary_scores[below(it, COUNT(dictionary_scores))];
    if (below(it, 2))
        one->rank = dictionary_ranks[below(it, COUNT(dictionary_ranks))];
}

void dictionary_change_key(world *it, thing *one) {
    if (below(it, 2))
        one->group = dictionary_groups[below(it, COUNT(dictionary_groups))];
    if (dictionary_kinds[it->kind].generates)
        return;
    one->name = dictionary_name(below(it, NAMES));
    one->num = below(it, NAMES);
}

void dictionary_make_new(world *it, keeper *one) {
    memset(one, 0, sizeof *one);
    one->it.group = dictionary_groups[below(it, COUNT(dictionary_groups))];
    one->it.room = some_room(it);
    dictionary_change_key(it, &one->it);
    dictionary_change_rest(it, &one->it);
    if (dictionary_kinds[it->kind].generates && below(it, 12) == 0)
        snprintf(one->it.id.text, sizeof one->it.id.text, "chosen%u", below(it, 40));
}

void dictionary_spoil(world *it, thing *one) {
    switch (below(it, 4)) {
    case 0: one->score = NAN; break;
    case 1: one->note = "\xff"; break;
    case 2: one->room = NULL; break;
    default: one->rank = INT64_MAX; break;
    }
}

void dictionary_unspoil(thing *one) {
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

bool dictionary_is_spoilt(const thing *one) {
    return isnan(one->score) || one->room == NULL || one->rank == INT64_MAX ||
           (one->note != NULL && strcmp(one->note, "\xff") == 0);
}
