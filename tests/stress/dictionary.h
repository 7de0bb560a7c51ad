/* dictionary - the world of stress_dictionary.c, and what its parts offer each other: the models and the plain
 * array (dictionary.c), values and objects (dictionary_values.c), weather, writes, reads and audits. */
#ifndef POPOTO_STRESS_DICTIONARY_H
#define POPOTO_STRESS_DICTIONARY_H

#include "failing_allocator.h"
#include "support.h"

#include <string.h>

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

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

/* What the dictionary must know of a model. */
typedef struct kind_traits {
    popoto_model model;
    bool strict, generates, unique, expires;
    const char *rank_by, *score_by; /* partitions */
} kind_traits;
extern const kind_traits dictionary_kinds[KINDS];

/* ----- The world ------------------------------------------------------------------------------ */

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
extern const char *const dictionary_weather_names[WEATHERS];

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

static inline unsigned below(world *it, unsigned limit) {
    return dice_below(&it->dice, limit);
}

static inline bool same_text(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* ----- The dictionary ------------------------------------------------------------------------- */

/* One thing that was tried; what is wrong is printed with its seed, and ends the sequence. */
bool dictionary_check(world *it, bool holds, const char *what, const char *more);
/* Whether two objects name one record. */
bool dictionary_same_key(kind of, const thing *a, const thing *b);
/* Whether the fields that are not of the key are the same. */
bool dictionary_same_rest(const thing *a, const thing *b);
/* The key of the record in Redis. */
void dictionary_key_of(kind of, const thing *one, char *out, size_t size);
/* The record that an object names, or NULL. */
record *dictionary_find(world *it, const thing *key);
/* Whether another record than `own` (NULL: none) has the unique value. */
bool dictionary_is_taken(world *it, const thing *by, const thing *own);
/* Stores a new version under its key, and gives it. */
record *dictionary_put(world *it, const thing *what);

/* ----- Values and objects --------------------------------------------------------------------- */

#define NAMES 300
extern const char *const dictionary_groups[7];
extern const char *const dictionary_rooms[7]; /* the last one only where an index is foreign */
extern const double dictionary_scores[11];
extern const int64_t dictionary_ranks[9];
extern const char *const dictionary_notes[7]; /* the first is NULL */

/* Fills the tables; before all else. */
void dictionary_fill_values(void);
/* One of NAMES. */
const char *dictionary_name(unsigned which);
/* A row's texts go when it does: gives it the same ones of these tables. */
void dictionary_keep_texts(thing *row);

/* Other values, perhaps: of the fields that are not of the key, and of those that are. */
void dictionary_change_rest(world *it, thing *one);
void dictionary_change_key(world *it, thing *one);
/* An object that was never saved. */
void dictionary_make_new(world *it, keeper *one);
/* Gives it a field that cannot be stored; whether it has one; a value that can instead. */
void dictionary_spoil(world *it, thing *one);
bool dictionary_is_spoilt(const thing *one);
void dictionary_unspoil(thing *one);

/* ----- Weather -------------------------------------------------------------------------------- */

/* Before and after what is done in one weather; and around each call, which is told its connection. */
void dictionary_choose_weather(world *it);
void dictionary_end_weather(world *it);
int dictionary_begin_call(world *it);
void dictionary_end_call(world *it);
/* Whether an object belongs in an index whose key is foreign. */
bool dictionary_meets_foreign(const world *it, const thing *one);
/* Whether the weather explains that nothing was done, or that nobody knows. */
bool dictionary_is_weather(const world *it, popoto_status status);

/* ----- Writes --------------------------------------------------------------------------------- */

typedef enum verb {
    CREATE,
    SAVE,
    DELETE,
} verb;

/* What must come of one object, after those before it. */
popoto_status dictionary_foresee(world *it, const keeper *one, verb what, int by);
/* Stores it in the dictionary, and the object remembers it. */
void dictionary_apply(world *it, keeper *one, verb what, int by);
/* What the server has under a key, by a connection that nothing happens to. *there: whether it has. */
bool dictionary_look(world *it, const thing *key, thing *is, bool *there);
/* One call, and whether it did what must come of it: many objects, some fields, evidence. */
void dictionary_write_many(world *it);
void dictionary_save_with(world *it);
void dictionary_update(world *it);
/* Records expire: what indexes still name of them is nobody's. */
void dictionary_expire(world *it);

/* ----- Reads ---------------------------------------------------------------------------------- */

/* Whether a row is the record, with the fields that were asked for and no others (NULL: all). */
bool dictionary_is_row(world *it, const thing *row, const record *is, const char *fields);
/* One call, and whether it found what is there: a query or a stream, a count, records by their keys. */
void dictionary_ask(world *it);
void dictionary_count(world *it);
void dictionary_load_keys(world *it);

/* ----- Audits --------------------------------------------------------------------------------- */

/* Checks that every record and every index entry is the dictionary's. */
void dictionary_compare_all(world *it);
/* Checks that what an audit of all finds, those of each tenant find too, and nothing else; and mend. */
void dictionary_audit_all(world *it);

#endif
