/* dictionary_weather - what happens to the server and to connections while calls are made, and which statuses
 * that explains. */
#include "dictionary.h"

#include <stdio.h>

static const char *foreign_key(const world *it, bool companion) {
    static char text[128];
    if (!same_text(dictionary_kinds[it->kind].rank_by, "room"))
        return NULL; /* records of every room would meet it */
    if (companion && !dictionary_kinds[it->kind].strict)
        snprintf(text, sizeof text, "$ConfidencF:%s:trust:data:foreign", it->model->name);
    else
        snprintf(text, sizeof text, "%s$SortedF:%s:rank:foreign",
                 dictionary_kinds[it->kind].strict ? "{ga}:" : "", it->model->name);
    return text;
}

bool dictionary_meets_foreign(const world *it, const thing *one) {
    return it->weather == FOREIGN && same_text(one->room, "foreign") &&
           (!dictionary_kinds[it->kind].strict || same_text(one->group, "ga"));
}

void dictionary_choose_weather(world *it) {
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

int dictionary_begin_call(world *it) {
    it->calls++;
    int which = it->weather == STARVED ? 0 : it->weather == CUT ? 1 : (int)below(it, CONNECTIONS);
    if (it->weather == STARVED)
        it->memory.fail_at = it->memory.allocations + 1 + below(it, below(it, 2) ? 12 : 200);
    if (it->weather == CUT)
        proxy_arm(it->between, below(it, 2) ? TO_CLIENT : TO_SERVER,
                  below(it, below(it, 2) ? 400 : 60000));
    return which;
}

void dictionary_end_call(world *it) {
    if (it->weather == STARVED)
        it->memory.fail_at = 0;
    if (it->weather == CUT)
        (void)proxy_disarm(it->between);
}

void dictionary_end_weather(world *it) {
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

bool dictionary_is_weather(const world *it, popoto_status status) {
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
