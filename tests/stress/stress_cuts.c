/* The connection is cut after every possible byte of each kind of call, in requests and in replies.
 * Afterwards the server must hold the state before the call or the state after it, complete with all
 * indexes, and the status must have told which: OK after, POPOTO_UNKNOWN_OUTCOME either, any other before.
 * The next call on the same db works. Reads bring all or an error. */
#include "calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----- Rounds --------------------------------------------------------------------------------- */

/* How the connection stands when the call comes. */
typedef enum readiness {
    SCRIPTS_KNOWN,
    SCRIPTS_FLUSHED, /* the server forgot them, and the db does not know */
    DB_OPENED,       /* a db that has not sent anything yet */
    READINESS_COUNT,
} readiness;

typedef struct lab {
    server *server;
    proxy *between;
    redisContext *raw;
    popoto_db *db;
    size_t rounds, cuts, unknown, before, after;
} lab;

/* The generated key is another in each round. */
static char *dump(lab *it, const round_of *round) {
    char *text = strdup(server_dump(it->server));
    const char *id = round->memos[0].id.text;
    if (text == NULL)
        stress_give_up("no memory");
    for (char *at = text; id[0] != '\0' && (at = strstr(at, id)) != NULL; at += strlen(id))
        memset(at, 'I', strlen(id));
    return text;
}

static round_of start_round(lab *it, const call *what, readiness how) {
    round_of round = { .db = it->db, .raw = it->raw };
    server_flush(it->server);
    what->prepare(&round);
    if (how == SCRIPTS_FLUSHED)
        raw_do(it->raw, "SCRIPT FLUSH");
    if (how == DB_OPENED) {
        popoto_close(it->db);
        it->db = round.db = popoto_open(proxy_url(it->between), NULL);
        if (popoto_error_status(it->db) != POPOTO_OK)
            stress_give_up(popoto_error(it->db));
    }
    return round;
}

static void check_bulk(lab *it, const call *what, round_of *round, const char *where) {
    for (size_t i = 0; i < BULK; i++) {
        bool done = what->is_done(round, i);
        popoto_status status = round->statuses[i];
        stress_check(status == POPOTO_UNKNOWN_OUTCOME || done == (status == POPOTO_OK),
                     "%s, item %zu: %s, but it is %s", where, i, popoto_status_name(status),
                     done ? "done" : "not done");
        it->unknown += status == POPOTO_UNKNOWN_OUTCOME;
        it->after += done;
        it->before += !done;
    }
    stress_check(check_indexes(it->raw, checked, CHECKED, NULL) == 0, "%s: indexes", where);
}

static void check_single(lab *it, const round_of *round, popoto_status status, const char *before,
                         const char *after, const char *where) {
    char *now = dump(it, round);
    bool is_before = strcmp(now, before) == 0, is_after = strcmp(now, after) == 0;
    if (!stress_check(is_before || is_after, "%s: %s: neither the state before nor after", where,
                      popoto_status_name(status)))
        printf("--- before\n%s--- now\n%s--- after\n%s", before, now, after);
    else
        stress_check(status == POPOTO_UNKNOWN_OUTCOME || is_after == (status == POPOTO_OK) ||
                         is_before == is_after,
                     "%s: %s, but it is the state %s", where, popoto_status_name(status),
                     is_after ? "after" : "before");
    it->unknown += status == POPOTO_UNKNOWN_OUTCOME;
    it->after += is_after;
    it->before += is_before && !is_after;
    free(now);
}

static void check_migration(lab *it, const call *what, round_of *round, const char *where) {
    stress_check(evidence_is_whole(round), "%s: evidence is lost or counted twice", where);
    must(round, what->run(round), "the migration's second run");
    stress_check(evidence_is_whole(round), "%s: evidence is lost by the second run", where);
    stress_check(check_indexes(it->raw, checked, CHECKED, NULL) == 0, "%s: indexes", where);
}

static void run_cut(lab *it, const call *what, readiness how, direction which, size_t byte,
                    const char *before, const char *after) {
    char where[128];
    round_of round = start_round(it, what, how);
    snprintf(where, sizeof where, "%s (%s), cut after byte %zu of the %s", what->name,
             how == SCRIPTS_KNOWN     ? "scripts known"
             : how == SCRIPTS_FLUSHED ? "scripts flushed"
                                      : "db just opened",
             byte, which == TO_SERVER ? "request" : "reply");
    proxy_arm(it->between, which, byte);
    popoto_status status = what->run(&round);
    it->cuts += proxy_disarm(it->between);
    it->rounds++;
    stress_check(status == POPOTO_OK || popoto_error(round.db)[0] != '\0', "%s: no sentence",
                 where);
    if (what->finds > 0)
        stress_check(status != POPOTO_OK || round.found == what->finds, "%s: it found %zu, not %zu",
                     where, round.found, what->finds);
    else if (what->is_done != NULL)
        check_bulk(it, what, &round, where);
    else if (!what->migrates)
        check_single(it, &round, status, before, after, where);
    else
        check_migration(it, what, &round, where);
    size_t all = 0;
    stress_check(popoto_count(it->db, &(popoto_query_desc){ .model = &Note }, &all) == POPOTO_OK,
                 "%s: the next call: %s", where, popoto_error(it->db));
}

static void run_call(lab *it, const call *what, readiness how, dice *chance) {
    size_t bytes[2];
    round_of round = start_round(it, what, how);
    char *before = dump(it, &round);
    proxy_arm(it->between, TO_SERVER, SIZE_MAX);
    popoto_status status = what->run(&round);
    bytes[TO_SERVER] = proxy_bytes(it->between, TO_SERVER);
    bytes[TO_CLIENT] = proxy_bytes(it->between, TO_CLIENT);
    proxy_disarm(it->between);
    char *after = dump(it, &round);
    stress_check(status == POPOTO_OK, "%s, not cut: %s", what->name, popoto_error(it->db));
    /* With a script in it, a request is long, and most of it is that text. */
    size_t step =
        (size_t)stress_amount(how == SCRIPTS_KNOWN ? 1 : 13, how == SCRIPTS_KNOWN ? 71 : 997);
    for (int which = 0; which < 2; which++)
        for (size_t byte = dice_below(chance, (unsigned)step); byte <= bytes[which]; byte += step)
            run_cut(it, what, how, (direction)which, byte, before, after);
    free(before);
    free(after);
}

/* ----- Several parts under way ------------------------------------------------------------------ */

#define PARTS_COUNT 600 /* more than two pipelines */

/* What was acknowledged is there, what is known not to have happened is not, and the indexes are right. */
static void run_parts(lab *it, direction which, size_t byte, size_t *bytes) {
    static memo all[PARTS_COUNT];
    static popoto_status statuses[PARTS_COUNT];
    void *each[PARTS_COUNT];
    size_t wrong = 0;
    server_flush(it->server);
    for (size_t i = 0; i < PARTS_COUNT; i++) {
        all[i] =
            (memo){ .tenant = i % 3 ? "t0" : "t1", .room = "r0", .score = (double)i, .trust = 0.5 };
        each[i] = &all[i];
    }
    proxy_arm(it->between, which, byte);
    popoto_create_many(it->db, &Memo, each, PARTS_COUNT, statuses);
    *bytes = proxy_bytes(it->between, which);
    it->cuts += proxy_disarm(it->between);
    it->rounds++;
    for (size_t i = 0; i < PARTS_COUNT; i++) {
        char key[128], value[64];
        snprintf(key, sizeof key, "Memo:%s:%s", all[i].tenant, all[i].id.text);
        bool there =
            all[i].id.text[0] != '\0' && raw_field(it->raw, key, "room", value, sizeof value);
        wrong += statuses[i] != POPOTO_UNKNOWN_OUTCOME && there != (statuses[i] == POPOTO_OK);
        it->unknown += statuses[i] == POPOTO_UNKNOWN_OUTCOME;
        it->after += there;
        it->before += !there;
    }
    stress_check(wrong == 0 && check_indexes(it->raw, checked, CHECKED, NULL) == 0,
                 "%d records in parts, cut after byte %zu of the %s: %zu statuses are not true",
                 PARTS_COUNT, byte, which == TO_SERVER ? "request" : "reply", wrong);
}

static void cut_parts(lab *it, dice *chance) {
    for (int which = 0; which < 2; which++) {
        size_t all, ignored;
        run_parts(it, (direction)which, SIZE_MAX, &all);
        for (long i = stress_amount(150, 12); i > 0; i--)
            run_parts(it, (direction)which, dice_below(chance, (unsigned)all), &ignored);
    }
}

int main(int argc, char **argv) {
    lab it = { 0 };
    stress_begin(argc, argv, "cut connections");
    dice chance = dice_of(stress_seed(), 0);
    it.server = server_start(NULL);
    it.between = proxy_start(server_socket(it.server));
    it.raw = raw_connect(server_socket(it.server));
    it.db = popoto_open(proxy_url(it.between), NULL);
    for (size_t i = 0; i < call_count; i++)
        for (int how = 0; how < READINESS_COUNT; how++)
            /* An object whose key was changed is known to its own db alone. */
            if (how != DB_OPENED || !calls[i].needs_own_db)
                run_call(&it, &calls[i], (readiness)how, &chance);
    cut_parts(&it, &chance);
    stress_say(
        "%zu kinds of calls, %zu rounds, %zu cuts: %zu times the state before, %zu times the one "
        "after, %zu unknown outcomes",
        call_count, it.rounds, it.cuts, it.before, it.after, it.unknown);
    popoto_close(it.db);
    redisFree(it.raw);
    proxy_stop(it.between);
    server_stop(it.server);
    return stress_end();
}
