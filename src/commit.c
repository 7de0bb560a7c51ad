#include "commit.h"

#include "digest.h"

#include <stddef.h>
#include <string.h>

/* Each new try is due to somebody else's success, so that this is never reached by bad luck alone. */
#define MAX_TRIES 1000
/* A server that forgets a script so often in one run is sent it whole, which cannot be forgotten. */
#define FORGETFUL 4

static commit *item_at(const commit_batch *it, size_t index) {
    return (commit *)(void *)((char *)it->items + index * it->stride);
}

/* Neither settled nor broken. */
static bool is_open(const commit *one) {
    return one->state != COMMIT_DONE && one->state != COMMIT_BROKEN;
}

void popoto__commit_init(commit_batch *it, popoto_db *db, void *items, size_t count,
                         size_t stride) {
    memset(it, 0, offsetof(commit_batch, first));
    it->db = db;
    it->items = items;
    it->count = count;
    it->stride = stride;
    it->script = SCRIPT_COMMIT;
    it->first.status = POPOTO_OK;
    posted *round = &it->first_round;
    round->expected = (popoto_text){ NULL, 0 };
    round->foreseen = 0;
    round->as_expected = round->is_done = false;
    round->status = round->why.status = POPOTO_OK;
    round->next = NULL;
}

void popoto__commit_note(commit_batch *it, const commit *one, popoto_status status) {
    size_t index = (size_t)((const char *)one - (const char *)it->items) / it->stride;
    if (it->first.status != POPOTO_OK && it->first_index <= index)
        return;
    it->first = it->db->why;
    it->first.status = status;
    it->first_index = index;
}

void popoto__commit_settle(commit_batch *it, commit *one, popoto_status status) {
    one->state = COMMIT_DONE;
    one->status = status;
    if (status == POPOTO_DENIED)
        popoto__db_forget_permissions(it->db);
    if (status != POPOTO_OK)
        one->reason =
            popoto__arena_copy(&it->db->scratch, it->db->why.text, strlen(it->db->why.text));
    if (status != POPOTO_OK)
        popoto__commit_note(it, one, status);
}

popoto_status popoto__ignore_reply(void *context, size_t index, const reply *answer) {
    (void)context;
    (void)index;
    (void)answer;
    return POPOTO_OK;
}

bool popoto__commit_meets(uint64_t *met, popoto_text key) {
    uint64_t digest = popoto__digest(key.data, key.size);
    size_t at = (size_t)(digest % COMMIT_MET);
    while (met[at] != 0 && met[at] != digest)
        at = (at + 1) % COMMIT_MET;
    bool found = met[at] == digest;
    met[at] = digest;
    return found;
}

/* ----- Replies -------------------------------------------------------------------------------- */

/* The flat list of expectations and findings that a script answers. */
static popoto_status take_refusals(commit_batch *it, commit *one, const reply *answer) {
    arena *scratch = &it->findings;
    one->refusal_count = answer->count / 2;
    one->refusals = popoto__arena_zeroed(scratch, one->refusal_count + 1, sizeof *one->refusals);
    if (one->refusals == NULL)
        return popoto__fail_memory(&it->db->why);
    if (answer->count == 0 || answer->count % 2 != 0)
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "a script answered no list of findings");
    for (size_t i = 0; i < one->refusal_count; i++) {
        const reply *which = answer->items[2 * i], *found = answer->items[2 * i + 1];
        if (which->type != REPLY_INTEGER || which->integer < 1)
            return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                                "a script answered no list of findings");
        one->refusals[i].expectation = (size_t)(which->integer - 1);
        if (found->type != REPLY_STRING)
            continue;
        char *copy = popoto__arena_copy(scratch, found->text, found->size);
        if (copy == NULL)
            return popoto__fail_memory(&it->db->why);
        one->refusals[i].found = (popoto_text){ copy, found->size };
    }
    one->state = COMMIT_REFUSED;
    return POPOTO_OK;
}

static void take_script(commit_batch *it, commit *one, const reply *answer) {
    popoto_status status = POPOTO_OK;
    if (popoto__reply_is_error(answer, "NOSCRIPT")) {
        one->state = COMMIT_NO_SCRIPT;
        return;
    }
    if (answer->type == REPLY_ARRAY) {
        status = take_refusals(it, one, answer);
        if (status == POPOTO_OK)
            return;
    } else if (it->take != NULL) {
        status = it->take(it, one, answer);
    } else if (answer->type == REPLY_ERROR) {
        status = popoto__reply_failure(answer, it->doing, &it->db->why);
    } else if (answer->type != (one->shaped != NULL ? REPLY_INTEGER : REPLY_STATUS) ||
               (answer->type == REPLY_STATUS && strcmp(answer->text, "QUEUED") == 0)) {
        status = popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                              "a script answered something that no script of ours does");
    }
    popoto__commit_settle(it, one, status);
}

static const reply *first_error(const reply *answer) {
    for (size_t i = 0; i < answer->count; i++)
        if (answer->items[i]->type == REPLY_ERROR)
            return answer->items[i];
    return NULL;
}

/* MULTI and each command answer with a status or why they were not queued; EXEC, with what the
 * commands answered, or with an error when one was not queued. */
static void take_transaction(commit_batch *it, commit *one, const reply *answer) {
    bool is_exec = it->at_reply + 1 == one->replies;
    const reply *error = is_exec && answer->type == REPLY_ARRAY ? first_error(answer) : NULL;
    it->is_stuck =
        it->is_stuck || (is_exec && answer->type == REPLY_ERROR && answer->fate == POPOTO_OK &&
                         !popoto__reply_is_error(answer, "EXECABORT"));
    if (one->state != COMMIT_SENT)
        return; /* it failed before, and this is EXECABORT */
    if (answer->type == REPLY_ERROR) {
        popoto__commit_settle(it, one, popoto__reply_failure(answer, it->doing, &it->db->why));
        if (it->at_reply == 0 &&
            answer->fate == POPOTO_OK) /* no MULTI: the commands run nevertheless */
            one->state = COMMIT_BROKEN;
    } else if (error != NULL) {
        popoto__commit_settle(it, one, popoto__reply_failure(error, it->doing, &it->db->why));
        one->state = COMMIT_BROKEN;
    } else if (is_exec && answer->type != REPLY_ARRAY) {
        popoto__commit_settle(it, one,
                              popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                                           "the server answered EXEC with no list of replies"));
    } else if (is_exec) {
        popoto__commit_settle(it, one, POPOTO_OK);
    }
}

/* ----- Groups --------------------------------------------------------------------------------- */

/* Whatever was done of those that an error concerns is to be undone. */
static void break_grouped(commit_batch *it, size_t index, bool all, const reply *error) {
    for (size_t i = 0; i < it->count; i++) {
        commit *one = item_at(it, i);
        if (!one->is_grouped || one->state != COMMIT_SENT || !(all || it->concerns(it, one, index)))
            continue;
        popoto__commit_settle(it, one, popoto__reply_failure(error, it->doing, &it->db->why));
        one->state = COMMIT_BROKEN;
    }
}

static void settle_grouped(commit_batch *it, popoto_status status) {
    for (size_t i = 0; i < it->count; i++) {
        commit *one = item_at(it, i);
        if (one->is_grouped && one->state == COMMIT_SENT)
            popoto__commit_settle(it, one, status);
    }
}

/* Of a transaction of many: as take_transaction, but what was refused before anything was done says nothing of
 * most of its items. */
static void take_group(commit_batch *it, size_t index, const reply *answer) {
    bool is_exec = index + 1 == it->group_replies;
    if (is_exec && answer->type == REPLY_ERROR && !popoto__reply_is_error(answer, "EXECABORT"))
        it->is_stuck = true;
    if (index == 0 && answer->type == REPLY_ERROR) { /* no MULTI: the commands run nevertheless */
        break_grouped(it, 0, true, answer);
        it->group = GROUP_SETTLED;
    } else if (answer->type == REPLY_ERROR && it->group == GROUP_UNKNOWN) {
        it->group = GROUP_REFUSED;
    } else if (is_exec && it->group == GROUP_UNKNOWN && answer->type == REPLY_ARRAY) {
        for (size_t i = 0; i < answer->count; i++)
            if (answer->items[i]->type == REPLY_ERROR)
                break_grouped(it, i, false, answer->items[i]);
        it->group = GROUP_DONE;
    } else if (is_exec && it->group == GROUP_UNKNOWN) {
        settle_grouped(it, popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                                        "the server answered EXEC with no list of replies"));
        it->group = GROUP_SETTLED;
    }
}

/* After the first round. What is not known is left for lost connections. */
static void end_group(commit_batch *it) {
    if (it->first_round.as_expected && it->group_replies == 0) {
        popoto__commit_settle(it, item_at(it, 0), POPOTO_OK);
        return;
    }
    if (it->first_round.as_expected)
        it->group = GROUP_DONE;
    if (it->group == GROUP_DONE)
        settle_grouped(it, POPOTO_OK);
    for (size_t i = 0; it->group == GROUP_REFUSED && i < it->count; i++) {
        commit *one = item_at(it, i);
        if (!one->is_grouped || one->state != COMMIT_SENT)
            continue;
        one->state = COMMIT_PLANNED;
        one->is_grouped = false;
    }
    it->group_replies = 0;
}

static popoto_status take_reply(void *context, size_t index, const reply *answer) {
    commit_batch *it = context;
    if (index < it->group_replies) {
        take_group(it, index, answer);
        return POPOTO_OK;
    }
    const commit *next = item_at(it, it->at);
    while (it->at_reply == 0 && (next->state != COMMIT_SENT || next->is_grouped))
        next = item_at(it, ++it->at);
    commit *one = item_at(it, it->at);
    if (answer->fate != POPOTO_OK)
        it->fate = answer->fate;
    if (one->is_transaction)
        take_transaction(it, one, answer);
    else if (it->at_reply == 0)
        take_script(it, one, answer);
    else
        popoto__db_take_load(one->loads, answer);
    if (++it->at_reply == one->replies) {
        it->at_reply = 0;
        it->at++;
    }
    return POPOTO_OK;
}

/* ----- Rounds --------------------------------------------------------------------------------- */

/* The one place that chooses how a script is called. The first write of a shape goes by `commit`, and the
 * shape's own script is loaded behind it: that costs no round trip, and fails nothing. */
static popoto_status render_script(commit_batch *it, commit *one) {
    popoto_db *db = it->db;
    write_shape form;
    one->replies = 1;
    one->shaped = one->loads = NULL;
    if (it->render == NULL && popoto__shape_of(&one->planned, &form)) {
        shape_script *script;
        popoto_status status = popoto__db_shape_script(db, &form, &script);
        if (status != POPOTO_OK)
            return it->lost = status; /* nothing was sent; no other item would fare better */
        if (script != NULL && script->sha[0] != '\0')
            one->shaped = script;
        else if (script != NULL && !script->is_loading)
            one->loads = script;
    }
    if (one->shaped != NULL) {
        popoto__shape_render(&form, one->shaped, &db->request);
        return POPOTO_OK;
    }
    if (db->sha[it->script][0] == '\0') {
        popoto_status status = popoto__db_load_script(db, it->script);
        if (status != POPOTO_OK)
            return it->lost = status;
    }
    if (it->render != NULL)
        it->render(it, one);
    else
        popoto__plan_render_commit(&one->planned, popoto__db_script(db, it->script), &db->request);
    if (one->loads != NULL) {
        popoto__db_render_load(db, &form);
        one->loads->is_loading = true;
        one->replies = 2;
    }
    return POPOTO_OK;
}

static popoto_status render(commit_batch *it, commit *one) {
    popoto_db *db = it->db;
    if (one->is_transaction && !db->knows_permissions) {
        popoto_status status = popoto__db_ask_permissions(db);
        if (status != POPOTO_OK) {
            it->lost = status;
            return status;
        }
    }
    /* Without MULTI, what was meant to be queued would run at once, each command for itself. */
    if (one->is_transaction && (db->permissions & PERMITTED_TRANSACTIONS) == 0)
        one->is_transaction = false;
    popoto_status status = POPOTO_OK;
    if (one->is_transaction)
        one->replies = popoto__plan_render_transaction(&one->planned, &db->request);
    else
        status = render_script(it, one);
    if (status != POPOTO_OK)
        return status;
    return db->request.failed ? popoto__fail_memory(&db->why) : POPOTO_OK;
}

static popoto_status render_item(commit_batch *it, commit *one) {
    one->replies = 1;
    if (it->render_direct != NULL && it->render_direct(it, one))
        return POPOTO_OK;
    popoto_status status = it->plan(it, one);
    return status == POPOTO_OK ? render(it, one) : status;
}

popoto_status popoto__commit_not_sent(popoto_status lost) {
    return lost == POPOTO_UNKNOWN_OUTCOME ? POPOTO_DISCONNECTED : lost;
}

/* What was not answered shares the fate of the connection; what was refused is not tried again. */
static void settle_lost(commit_batch *it, popoto_status status) {
    it->lost = status;
    for (size_t i = 0; i < it->count; i++) {
        commit *one = item_at(it, i);
        if (one->state == COMMIT_SENT)
            popoto__commit_settle(it, one, status);
        else if (is_open(one))
            popoto__commit_settle(it, one, popoto__commit_not_sent(status));
    }
}

/* What can go together, where the user may run transactions at all. */
static size_t render_group(commit_batch *it) {
    popoto_db *db = it->db;
    if (it->render_group == NULL)
        return 0;
    popoto_status status = popoto__db_ask_permissions(db);
    if (status != POPOTO_OK) {
        settle_lost(it, status);
        return 0;
    }
    if ((db->permissions & PERMITTED_TRANSACTIONS) == 0)
        return 0;
    it->group_replies = it->render_group(it, &it->first_round.expected);
    it->first_round.foreseen = it->group_replies;
    return it->group_replies;
}

/* Plan and render what is to be sent besides; how many replies that will bring. */
static size_t render_round(commit_batch *it) {
    popoto_db *db = it->db;
    size_t replies = 0;
    bool forgotten = false, any_open = false;
    for (size_t i = 0; i < it->count; i++) {
        const commit *one = item_at(it, i);
        if (one->loads != NULL)
            one->loads->is_loading = false;
        if (one->state != COMMIT_NO_SCRIPT)
            continue;
        forgotten = true; /* so that it is loaded anew */
        (one->shaped != NULL ? one->shaped->sha : db->sha[it->script])[0] = '\0';
    }
    it->forgotten += forgotten;
    db->scripts_by_text = it->forgotten > FORGETFUL;
    for (size_t i = 0; i < it->count; i++) {
        commit *one = item_at(it, i);
        if (!is_open(one) || one->is_grouped || (one->waits && any_open))
            continue;
        size_t size = db->request.size;
        popoto_status status = render_item(it, one);
        if (it->lost != POPOTO_OK) {
            settle_lost(it, it->lost);
            return 0;
        }
        one->refusal_count = 0;
        if (status == POPOTO_OK) {
            one->state = COMMIT_SENT;
            any_open = true;
            replies += one->replies;
        } else {
            db->request.size = size;
            db->request.failed = false;
            popoto__commit_settle(it, one, status);
        }
    }
    return replies;
}

/* Transactions that ran in part, because a foreign key stands where one of their indexes should: take out
 * what they did. The records' keys were generated for them, so nobody else's work is undone. */
static void undo_broken(commit_batch *it) {
    failure kept = it->db->why;
    size_t count = 0;
    popoto__buffer_clear(&it->db->request);
    for (size_t i = 0; i < it->count; i++) {
        commit *one = item_at(it, i);
        if (one->state != COMMIT_BROKEN)
            continue;
        one->state = COMMIT_DONE;
        count += it->undo(it, one);
    }
    if (count > 0)
        (void)popoto__db_exchange(it->db, count, true, NULL, popoto__ignore_reply, NULL);
    it->db->why = kept;
}

popoto_status popoto__commit_begin(commit_batch *it) {
    popoto__arena_init(&it->findings, &it->db->allocator);
    popoto__buffer_clear(&it->db->request);
    size_t replies = render_group(it);
    replies += render_round(it);
    it->is_under_way = replies > 0 && it->lost == POPOTO_OK;
    if (!it->is_under_way)
        return it->lost;
    /* A shape's script answers 1 where nothing is wrong. Of several, those before a loss are to be known. */
    if (it->count == 1 && item_at(it, 0)->shaped != NULL) {
        it->first_round.expected = TEXT(":1\r\n");
        it->first_round.foreseen = 1;
    }
    it->at = it->at_reply = 0;
    it->first_round.what = (exchange){
        .count = replies, .writes = !it->only_asks, .handle = take_reply, .context = it
    };
    popoto__db_post(it->db, &it->first_round);
    return it->first_round.is_done ? it->first_round.status : POPOTO_OK;
}

/* A round's replies came, or were lost. False: there is to be no other round. */
static bool end_round(commit_batch *it, popoto_status status) {
    if (it->is_stuck && it->db->connection != NULL)
        popoto__channel_drop(it->db->connection);
    it->is_stuck = false;
    if (status != POPOTO_OK)
        settle_lost(it, status);
    return status == POPOTO_OK;
}

static bool any_is_open(const commit_batch *it) {
    for (size_t i = 0; i < it->count; i++)
        if (is_open(item_at(it, i)))
            return true;
    return false;
}

static void run_rounds(commit_batch *it) {
    if (!it->is_under_way)
        return;
    popoto_status status = popoto__db_collect(it->db, &it->first_round);
    end_group(it);
    if (!end_round(it, status))
        return;
    for (size_t tries = 1; tries < MAX_TRIES && any_is_open(it); tries++) {
        popoto__buffer_clear(&it->db->request);
        size_t replies = render_round(it);
        it->at = it->at_reply = 0;
        if (replies == 0 || !end_round(it, popoto__db_exchange(it->db, replies, !it->only_asks,
                                                               NULL, take_reply, it)))
            return;
    }
}

void popoto__commit_run(commit_batch *it) {
    (void)popoto__commit_begin(it);
    popoto__commit_finish(it);
}

void popoto__commit_finish(commit_batch *it) {
    bool broken = false;
    run_rounds(it);
    it->db->scripts_by_text = false;
    for (size_t i = 0; i < it->count; i++) {
        commit *one = item_at(it, i);
        if (one->loads != NULL)
            one->loads->is_loading = false;
        broken = broken || one->state == COMMIT_BROKEN;
        if (is_open(one))
            popoto__commit_settle(it, one,
                                  popoto__fail(&it->db->why, POPOTO_CHANGED,
                                               "others kept changing the same record: given up "
                                               "after %d tries",
                                               MAX_TRIES));
    }
    if (broken)
        undo_broken(it);
    popoto__arena_free(&it->findings);
    /* Those that were to go to the same node next would wait for their deadlines in vain. */
    if (it->lost == POPOTO_OK)
        it->lost = it->fate;
}

/* ----- Parts ---------------------------------------------------------------------------------- */

static void finish_part(commit_parts *it, size_t turn) {
    popoto_status lost = POPOTO_OK, status = it->finish(it->context, turn, &lost);
    if (status != POPOTO_OK && it->first.status == POPOTO_OK)
        it->first = it->db->why;
    if (lost != POPOTO_OK)
        it->lost = lost;
}

static void swap(arena *a, arena *b) {
    arena kept = *a;
    *a = *b;
    *b = kept;
}

size_t popoto__commit_all(commit_parts *it) {
    arena spare;
    /* A node that is lost stops what comes after the part, so that on a cluster parts are long. */
    size_t next = 0, turn = 0,
           most = popoto__db_is_cluster(it->db) ? COMMIT_PIPELINE : COMMIT_FIRST;
    bool is_open = false; /* the part before is under way, and the scratch memory is its */
    popoto__arena_init(&spare, &it->db->allocator);
    while (next < it->count && it->lost == POPOTO_OK) {
        size_t size = it->count - next < most ? it->count - next : most;
        if (it->length != NULL)
            size = it->length(it->context, next, size);
        if (is_open && it->waits(it->context, 1 - turn, next, size)) {
            finish_part(it, 1 - turn);
            is_open = false;
            continue;
        }
        if (is_open)
            swap(&it->db->scratch, &spare);
        popoto_status lost = it->begin(it->context, turn, next, size);
        if (lost != POPOTO_OK)
            it->lost = lost;
        if (is_open) {
            swap(&it->db->scratch, &spare);
            finish_part(it, 1 - turn);
            swap(&it->db->scratch, &spare);
        }
        is_open = true;
        next += size;
        turn = 1 - turn;
        most = most < COMMIT_PIPELINE / 2 ? 2 * most : COMMIT_PIPELINE;
    }
    if (is_open)
        finish_part(it, 1 - turn);
    popoto__arena_free(&spare);
    if (it->first.status != POPOTO_OK)
        it->db->why = it->first;
    return next;
}

popoto_status popoto__commit_locate(commit_batch *it, commit *one, record_write *write,
                                    const field *about, placement *where, popoto_text *partition) {
    failure *why = &it->db->why;
    popoto_status status =
        popoto__plan_learn(write, &one->planned, one->refusals, one->refusal_count, why);
    if (status == POPOTO_OK)
        status = popoto__plan_locate(write, &one->planned, where, why);
    *partition = (popoto_text){ NULL, 0 };
    if (status != POPOTO_OK || !popoto__partition_is_told(about, where))
        return status;
    return popoto__partition_key(write->of, about, where->segments, write->memory, partition, why);
}
