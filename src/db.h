/* db - what a popoto_db is: one connection with its options, the models it has seen, the scopes it is
 * in, and what it remembers of saved objects. Opens, closes, switches, reports errors, runs requests.
 * Knows no operation on records. */
#ifndef POPOTO_DB_H
#define POPOTO_DB_H

#include "channel.h"
#include "digest.h"
#include "embedded.h"
#include "kept.h"
#include "object.h"
#include "plan.h"

typedef struct model_entry model_entry;
typedef struct scope scope;

/* The keys that rows were loaded from, as long as the rows are there: an object whose key members were
 * changed is found under its old name by them. Rows and streams own one each. */
typedef struct row_source {
    popoto_db *db;
    struct row_source *newer, *older;
    uint32_t serial;
    const popoto_text *keys;
    size_t count;
} row_source;

/* What rows keep their records in. A db keeps that of the last rows that were freed for the next ones, if it is
 * not larger than SPARE_SIZE: else each query would take its memory from the system anew. */
typedef struct row_memory {
    arena memory, names;
    char *objects;
    size_t object_space; /* bytes */
    popoto_text *keys;
    size_t key_room;
} row_memory;

#define SPARE_SIZE ((size_t)256 * 1024)

/* How many tenants a db remembers to have put on the list of tenants. */
#define NOTED_TENANTS 256

/* The keys of objects that are the caller's own, in a ring of bytes: the latest so many. */
#define KEY_LOG_SIZE ((size_t)1 << 18)

typedef struct key_log {
    char *bytes;   /* KEY_LOG_SIZE of them, made when first needed */
    uint64_t head; /* how many bytes were ever written */
} key_log;

struct popoto_db {
    popoto_allocator allocator;
    popoto_options options;
    failure why;          /* of the last call that failed */
    arena memory;         /* goes with the db */
    arena address_memory; /* goes with the server */
    bool has_address;
    failure unusable; /* what is wrong where there is no address */
    address to;
    embedded *server;
    channel *connection;
    model_entry *models;
    scope *scopes;
    key_log log;
    row_source *sources;
    row_memory spare;
    uint32_t last_serial;
    uint64_t noted_tenants[NOTED_TENANTS]; /* digests, each at its own place */
    int64_t note_after;                    /* no tenant is noted before this moment of the clock */
    char sha[SCRIPT_COUNT][48];            /* empty: not loaded yet */
    shape_script *shapes;                  /* SHAPE_SCRIPTS of them, made when first needed */
    kept_script kept[KEPT_SCRIPTS];        /* which of them is for which saves */
    bool scripts_by_text;                  /* the server keeps forgetting them: send them whole */
    bool knows_permissions;
    int permissions; /* PERMITTED_... */
    arena scratch;   /* of the call under way */
    buffer request;  /* of the call under way */
};

/* An argument of the call is NULL that must not be: `what` names it. */
popoto_status popoto__db_needs(popoto_db *db, const char *what);

/* The start of every call on a model: checks the arguments, empties the scratch memory, compiles the
 * model when it is new. */
popoto_status popoto__db_begin(popoto_db *db, const popoto_model *declared, const model **of);

/* Whether the keys of one tenant are on another server than those of the next. */
bool popoto__db_is_cluster(const popoto_db *db);

/* Send db->request, `count` commands. See popoto__link_exchange, and popoto__cluster_exchange; db->why
 * is set on failure. */
popoto_status popoto__db_exchange(popoto_db *db, size_t count, bool writes, arena *strings,
                                  reply_handler *handle, void *context);

/* The same for reads whose replies are lists, which are taken element by element (see exchange). */
popoto_status popoto__db_read_lists(popoto_db *db, size_t count, element_handler *element,
                                    reply_handler *handle, void *context);

/* The same in two halves: send db->request, of which one->what tells the rest; and wait for its replies. See
 * popoto__link_post. */
void popoto__db_post(popoto_db *db, posted *one);
popoto_status popoto__db_collect(popoto_db *db, posted *one);

/* Ask, unless known, what this user may do. A server that was told to refuse some of a write's commands
 * must not run the others. */
popoto_status popoto__db_ask_permissions(popoto_db *db);
/* Something was refused: ask anew. */
void popoto__db_forget_permissions(popoto_db *db);

/* Make the server know a script; `sha` is its name then. */
popoto_status popoto__db_load_script(popoto_db *db, script_id which);
popoto_text popoto__db_script(const popoto_db *db, script_id which);
/* The place of a shape's script; NULL: writes of this shape go by SCRIPT_COMMIT. */
popoto_status popoto__db_shape_script(popoto_db *db, const write_shape *it, shape_script **out);
/* Append to db->request what makes the server know it; and take the reply: a failure leaves it unknown. */
void popoto__db_render_load(popoto_db *db, const write_shape *it);
void popoto__db_take_load(shape_script *it, const reply *answer);

/* Remember under which key an object of the caller's is stored; the result goes into its header's
 * origin. */
uint64_t popoto__db_remember(popoto_db *db, popoto_text key);
/* The key that the object is stored under: `current`, what its members say now, or a former one.
 * old->data NULL: it was never saved. POPOTO_BAD_ARGUMENT: its key changed and the former one is
 * no longer remembered. */
popoto_status popoto__db_old_key(popoto_db *db, const model *of, const popoto_object *header,
                                 popoto_text current, popoto_text *old);
/* Whether it is still remembered that the object is stored under this key. */
bool popoto__db_recalls(popoto_db *db, const popoto_object *header, popoto_text key);

void popoto__db_add_source(popoto_db *db, row_source *source);
void popoto__db_remove_source(row_source *source);
uint64_t popoto__row_origin(const row_source *source, size_t index);

/* The values of an object for a call: read from its members, completed and checked by the scopes of
 * this thread. */
popoto_status popoto__db_values(popoto_db *db, const model *of, const void *object,
                                popoto_value *values);

/* A copy of a text for the caller, to be released with popoto_free. */
popoto_status popoto__db_hand_out(popoto_db *db, popoto_text text, popoto_text *out);

/* The start of every call on a CONFIDENCE field. */
popoto_status popoto__confidence_begin(popoto_db *db, const popoto_model *declared,
                                       const char *name, const model **of, const field **about);

/* Complete one value by the scopes of this thread, and check it against them. */
popoto_status popoto__scope_complete(popoto_db *db, const model *of, const field *about,
                                     popoto_value *value);

/* The scope's value for a field, NULL where there is none; see scope.c. */
const popoto_value *popoto__scope_value(const popoto_db *db, const field *about);
popoto_status popoto__scope_refuse(popoto_db *db, const model *of, const field *about,
                                   const popoto_value *named, const popoto_value *scoped);
/* POPOTO_BAD_SCOPE: the scope's value is of another type than the field. */
popoto_status popoto__scope_unfit(popoto_db *db, const model *of, const field *about,
                                  const popoto_value *scoped);
/* POPOTO_BAD_SCOPE where a record's key names another tenant than the scopes of this thread. */
popoto_status popoto__scope_check_key(popoto_db *db, const model *of, popoto_text key);
/* Which fields the scopes of this thread name, in the scratch memory; NULL: none. False: no memory. */
bool popoto__scope_pins(popoto_db *db, const model *of, const bool **pinned);
void popoto__scopes_free(popoto_db *db);

#endif
