/* commit - runs writes that are planned elsewhere: many at once in one pipeline, in rounds, until each is
 * done, refused for good, or lost with the connection. A write whose expectations did not hold is
 * planned again from what was found. Knows neither objects nor fields. */
#ifndef POPOTO_COMMIT_H
#define POPOTO_COMMIT_H

#include "db.h"

/* So many go out in one pipeline: enough to hide the round trip, few enough that their memory stays
 * small and that the command timeout is one of a pipeline, not of the whole work. */
#define COMMIT_PIPELINE 256
/* The first of them, so that the server soon has something to do; each next part is twice as long. */
#define COMMIT_FIRST    32

typedef enum commit_state {
    COMMIT_PLANNED, /* to be sent */
    COMMIT_SENT,    /* its answer has not come yet */
    COMMIT_REFUSED, /* expectations did not hold: plan again */
    COMMIT_NO_SCRIPT,
    COMMIT_BROKEN, /* a transaction ran in part: to be undone */
    COMMIT_DONE,
} commit_state;

/* One write; the first member of whatever the caller keeps of it. */
typedef struct commit {
    commit_state state;
    popoto_status status; /* COMMIT_DONE, COMMIT_BROKEN */
    const char *reason;   /* its sentence, in the scratch memory; NULL: none, or no memory for it */
    plan planned;
    shape_script *shaped; /* that it was sent with; NULL: by the batch's script */
    shape_script *loads;  /* that is loaded behind it, for the next of its shape; NULL: none */
    bool is_grouped;      /* it went with others in one transaction */
    bool
        waits; /* it is about the record of one before it: it is sent when all before it are settled */
    bool is_transaction; /* MULTI and EXEC instead of the script: set by the caller's planning */
    size_t replies;      /* of its part of the pipeline */
    refusal *refusals;   /* COMMIT_REFUSED; until the next plan */
    size_t refusal_count;
} commit;

typedef enum group_state {
    GROUP_UNKNOWN, /* not answered */
    GROUP_DONE,
    GROUP_REFUSED, /* nothing of it was done: each is to go by itself */
    GROUP_SETTLED, /* its items have their outcomes */
} group_state;

typedef struct commit_batch commit_batch;
struct commit_batch {
    popoto_db *db;
    void *items; /* `count` of them, `stride` bytes apart, zeroed, each beginning with a commit */
    size_t count;
    size_t stride;
    script_id script;
    const char *doing; /* "storing a record": for sentences */
    bool only_asks;    /* nothing is written, whatever becomes of the connection */
    size_t first_index;
    /* Make one->planned, from one->refusals too where there are any. A status other than POPOTO_OK is
     * the write's outcome. */
    popoto_status (*plan)(commit_batch *it, commit *one);
    /* Append to db->request the call of one->shaped, without a plan; false: there must be one. NULL: always. */
    bool (*render_direct)(commit_batch *it, commit *one);
    /* Append the script's call to db->request; NULL: SCRIPT_COMMIT, or what it is for the plan's shape. */
    void (*render)(commit_batch *it, commit *one);
    /* Take the script's answer when it is no refusal, errors included; NULL: any status is success. */
    popoto_status (*take)(commit_batch *it, commit *one, const reply *answer);
    /* Append to db->request what undoes a broken transaction; returns the number of commands. */
    size_t (*undo)(commit_batch *it, commit *one);
    /* Append to db->request one transaction of all items that can go together, before any other is planned,
     * and mark them as grouped and sent; returns its number of commands. NULL: none do. */
    size_t (*render_group)(commit_batch *it, popoto_text *expected);
    /* Whether the command of which EXEC's list has the answer at `index` was about a grouped item. */
    bool (*concerns)(const commit_batch *it, const commit *one, size_t index);
    size_t group_replies;
    group_state group;
    popoto_status lost;  /* how the connection failed; POPOTO_OK: it did not */
    popoto_status fate;  /* how that to a node of a cluster did, while others answered */
    bool is_stuck;       /* EXEC was refused: the connection is still inside of MULTI */
    size_t forgotten;    /* rounds in which the server did not know the script */
    size_t at, at_reply; /* while replies are taken: whose comes next */
    arena findings;      /* of refusals: the scratch memory may be another batch's when they come */
    bool is_under_way;
    failure first;      /* of the first item, by its place, that failed; status POPOTO_OK: none */
    posted first_round; /* of replies, which is under way between begin and finish */
};

/* All zero but for these, and the sentences, which are long and nobody's where their status is POPOTO_OK. */
void popoto__commit_init(commit_batch *it, popoto_db *db, void *items, size_t count, size_t stride);
/* An item failed as db->why says: remember it if it is the first. */
void popoto__commit_note(commit_batch *it, const commit *one, popoto_status status);
/* The outcome of an item that is never sent, or is after all. */
void popoto__commit_settle(commit_batch *it, commit *one, popoto_status status);
/* What became of a write that was not sent because the connection failed so before. */
popoto_status popoto__commit_not_sent(popoto_status lost);
/* Whether a batch met a key before, which then `waits`: of two writes of one record, what was before the later may have
 * to be sent twice. `met` has COMMIT_MET digests, all 0 at first, each at its own place or the next free one: room for
 * two keys of each write. */
#define COMMIT_MET ((size_t)4 * COMMIT_PIPELINE)
bool popoto__commit_meets(uint64_t *met, popoto_text key);
/* Run all that are not settled; afterwards all are. */
void popoto__commit_run(commit_batch *it);
/* The same in two halves, of which another batch's beginning may come between: while this calls nothing but
 * `take`, the other's memory is the db's scratch. Begin returns how the connection failed. */
popoto_status popoto__commit_begin(commit_batch *it);
void popoto__commit_finish(commit_batch *it);

/* A call's writes, up to COMMIT_PIPELINE at a time. While the server works on one part the next is planned and sent, so
 * that two are under way, numbered 0 and 1 in turn, each with a scratch memory of its own. */
typedef struct commit_parts {
    popoto_db *db;
    size_t count;
    void *context;
    /* How many of the next `most` make one part: at least one. NULL: all. */
    size_t (*length)(void *context, size_t start, size_t most);
    /* Plan and begin a part; what became of the connection. */
    popoto_status (*begin)(void *context, size_t turn, size_t start, size_t count);
    /* Finish it; the same goes to *lost. db->why is that of the first that failed. */
    popoto_status (*finish)(void *context, size_t turn, popoto_status *lost);
    /* Whether the part under way must be finished before this one is planned. */
    bool (*waits)(void *context, size_t turn, size_t start, size_t count);
    failure first;      /* of the first part that failed; POPOTO_OK: none did */
    popoto_status lost; /* POPOTO_OK: the connection was not lost */
} commit_parts;
/* How many were dealt with. Without a connection the others are not tried: each part would wait for its
 * deadline. db->why is that of the first that failed. */
size_t popoto__commit_all(commit_parts *it);

/* The planning of a WRITE_TOUCH that is about a field's partition: take over what the last try found, expect what is
 * known of the record, and name the partition's key. `*partition` has data NULL where neither the record's key nor
 * what is known of it tells the partition: then this try only asks. */
popoto_status popoto__commit_locate(commit_batch *it, commit *one, record_write *write,
                                    const field *about, placement *where, popoto_text *partition);

/* A reply handler that looks at nothing. */
popoto_status popoto__ignore_reply(void *context, size_t index, const reply *answer);

#endif
