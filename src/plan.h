/* plan - pure: what one write needs of the server, as expectations and commands. Nothing else knows
 * which Redis commands an operation is made of; nothing here touches a socket.
 *
 * A plan is run in one of two ways:
 *
 *   - as a transaction (MULTI, the commands, EXEC) where it expects nothing: a record whose key was
 *     generated a moment ago cannot be there yet;
 *   - by the script `commit`, which checks every expectation and runs the commands only if all hold.
 *     Otherwise it changes nothing and answers what it found, and the caller plans again from that
 *     (popoto__plan_learn).
 *
 * The script builds no key and knows no model: all names and all bytes come from here. */
#ifndef POPOTO_PLAN_H
#define POPOTO_PLAN_H

#include "link.h"
#include "model.h"

typedef enum expect_kind {
    EXPECT_ABSENT,  /* no such key */
    EXPECT_PRESENT, /* such a key */
    EXPECT_FIELD,   /* hash `key` has `field` with exactly these bytes; data NULL: lacks it */
    EXPECT_UNIQUE,  /* set `key` holds nothing but `members` */
} expect_kind;

typedef struct expectation {
    expect_kind kind;
    popoto_text key;
    popoto_text field;
    popoto_text value;
    size_t about; /* the model's field */
    const popoto_text *members;
    size_t member_count;
} expectation;

typedef struct command {
    const popoto_text *arguments; /* the name first, then the keys, then the rest */
    size_t count;
    size_t key_count;
} command;

typedef struct plan {
    arena *memory;
    expectation *expectations;
    size_t expectation_count;
    size_t expectation_room;
    command *commands;
    size_t command_count;
    size_t command_room;
    bool failed; /* out of memory at some point: the plan is not to be run */
} plan;

void popoto__plan_init(plan *it, arena *memory);
void popoto__plan_expect(plan *it, expectation what);
/* arguments[0..count): the name, key_count keys, the rest; the texts must outlive the plan. */
void popoto__plan_command(plan *it, const popoto_text *arguments, size_t count, size_t key_count);
/* All that another plan expects and does, after what is there. */
void popoto__plan_append(plan *it, const plan *more);
#define TEXT(literal) ((popoto_text){ ("" literal), sizeof(literal) - 1 })

/* Move an entry of a companion hash to another one, merging it with the entry that is there. */
void popoto__plan_merge(plan *it, popoto_text from, popoto_text to, popoto_text member,
                        const field *about);

/* The scripts, and what each is called in the tables of those who load them. */
typedef enum script_id {
    SCRIPT_COMMIT,
    SCRIPT_COMMIT_ASKING, /* the same for users who may not do everything */
    SCRIPT_MERGE,         /* expectations, then the merging of a confidence entry */
    SCRIPT_CONFIDENCE,
    SCRIPT_PERMITTED, /* answers a sum of permissions */
    SCRIPT_COUNT
} script_id;
enum {
    PERMITTED_COMMANDS = 1,    /* all that SCRIPT_COMMIT runs */
    PERMITTED_TRANSACTIONS = 2 /* MULTI and EXEC */
};
const char *popoto__script_text(script_id which);

/* Append MULTI, the commands and EXEC; returns how many replies that will bring. */
size_t popoto__plan_render_transaction(const plan *it, buffer *out);
/* Append the commands alone, for clearing up where a failure of one is no failure of the others. */
size_t popoto__plan_render_commands(const plan *it, buffer *out);
/* Append EVALSHA of `commit`, or EVAL where `sha` is the script's text: one reply. */
void popoto__plan_render_commit(const plan *it, popoto_text sha, buffer *out);
/* Append EVALSHA of the confidence script: the plan's expectations, then one update. */
typedef struct confidence_update {
    popoto_text hash;   /* the companion hash; data NULL: only ask whether the expectations hold */
    popoto_text member; /* the record's key */
    double signal;
    double initial;
    int64_t evidence_cap;
} confidence_update;
void popoto__plan_render_confidence(const plan *it, const confidence_update *update,
                                    popoto_text sha, buffer *out);

/* ----- Writes of records ---------------------------------------------------------------------- */

typedef enum write_kind {
    WRITE_FRESH,   /* create with a key generated just now */
    WRITE_CREATE,  /* create with a key the caller chose */
    WRITE_STORE,   /* save of an object that never was: creates or replaces */
    WRITE_REPLACE, /* save of an object that was: its record must be there */
    WRITE_DELETE,
    WRITE_TOUCH, /* nothing of the record itself is stored, but it must be there: a confidence update */
} write_kind;

/* One field's bytes as they are, or are believed to be, in Redis. */
typedef struct stored_field {
    bool known;
    popoto_text bytes; /* data NULL: the record has no such field */
} stored_field;

typedef struct stale_member {
    popoto_text set;
    popoto_text member;
    size_t about;
} stale_member;

typedef struct record_write record_write;
struct record_write {
    const model *of;
    write_kind kind;
    arena *memory;
    const popoto_value *values; /* by field; accepted by popoto__field_accept */
    const bool *named;          /* by field: store these alone; NULL: all */
    const record_write *last;   /* a write of the same batch that was prepared; NULL: none */
    popoto_text old_key;        /* REPLACE, DELETE, TOUCH: what the record is stored under */
    bool encodes_late;          /* not before popoto__write_encode, or a plan */
    bool if_unchanged;          /* every field that is known must still be so */
    const bool
        *pinned; /* by field: a scope names it, so that a stored record that has another value is
                           not to be touched (POPOTO_BAD_SCOPE); NULL: none */
    stored_field *stored; /* by field: what earlier attempts found; made by the plan */
    stale_member *stale;  /* members of unique sets that earlier attempts found */
    size_t stale_count;
    size_t stale_room;
    /* Set by popoto__plan_write: */
    placement place;      /* where the record is to be */
    popoto_text *encoded; /* by field: its MessagePack; data NULL where the plan does without */
    bool is_encoded;
    bool moves_key; /* it is stored under another name than before */
};

/* The record's key from its values: for whoever must know it before the kind of write is known. */
popoto_status popoto__write_place(record_write *it, failure *why);
/* Encode the values, unless that is to wait, and find the place: once for each write, when all else is set. */
popoto_status popoto__write_prepare(record_write *it, failure *why);
/* Encode what is not encoded yet. What cannot be stored is POPOTO_BAD_VALUE. */
popoto_status popoto__write_encode(record_write *it, failure *why);
/* Whether a field's value goes into the record: key fields do whatever was named, unless the record has
 * them already. */
static inline bool popoto__write_stores(const record_write *it, size_t field_index) {
    if (it->kind == WRITE_DELETE || it->kind == WRITE_TOUCH)
        return false;
    return it->named == NULL || it->named[field_index] ||
           (it->of->fields[field_index].is_key && (it->kind != WRITE_REPLACE || it->moves_key));
}
/* The plan from what is known so far. */
popoto_status popoto__plan_write(record_write *it, plan *out, failure *why);

/* What fresh and kept need of it, too: a value's MessagePack, and its score. False: there is none, or no memory. */
bool popoto__plan_encode(record_write *it, size_t field_index);
bool popoto__plan_score(const popoto_value *value, arena *memory, popoto_text *score);

/* WRITE_TOUCH: expectations alone, and where the record stands if they hold. What the object does not
 * tell is expected to be missing, so that the first refusal tells it; until then where->segments lacks
 * it. */
popoto_status popoto__plan_locate(record_write *it, plan *out, placement *where, failure *why);

/* Take over what a field of the stored record was read as (data NULL: it lacks it); `found` must outlive
 * the write. Whether that is news. */
bool popoto__plan_correct(record_write *it, size_t field_index, popoto_text found);

/* Whether a placement has all segments of a field's partition. */
bool popoto__partition_is_told(const field *about, const placement *where);

/* What the script answers when an expectation does not hold. */
typedef struct refusal {
    size_t expectation;
    popoto_text found; /* data NULL: nothing */
} refusal;
/* Take over what was found. POPOTO_OK: plan again; any other status is the write's outcome. */
popoto_status popoto__plan_learn(record_write *it, const plan *tried, const refusal *refusals,
                                 size_t count, failure *why);

/* Remove the index entries of a record that is gone (expired), if it still is. `found_in` is the index
 * that still named it: a sorted one of a partition that the key does not tell is known only so; data
 * NULL otherwise. */
popoto_status popoto__plan_forget(const model *of, popoto_text key, popoto_text found_in, plan *out,
                                  failure *why);

/* A record that goes over to another model: its new place and what it needs there. */
typedef struct adoption {
    const model *from, *to;
    const placement *before, *after; /* with their keys */
    const size_t *from_field;        /* by field of `to`: that of `from` */
    const popoto_text *scores;       /* by field of `to`; data NULL: it has no value */
} adoption;

/* Rename the record, take it out of all indexes of the one model and put it into those of the other, with its
 * confidence entries. Expects the record to be there, its new name not, and its unique values to be free. */
void popoto__plan_adopt(const adoption *it, plan *out);

#endif
