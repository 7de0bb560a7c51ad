/* core - what the parts of the extension module popoto._core share. The module turns Python objects into
 * structs of the C library and rows into Python objects, in one pass, and calls the library in between
 * with the interpreter's lock released. Everything that reads like Python is Python: see ../popoto.
 *
 * How an object of a model is laid out. The class (Python) has a Schema (C), which has a popoto_model
 * whose struct is made at run time: a popoto_object, and for each field a popoto_value, or a popoto_id
 * where the field generates its value. An instance is a Record: its fields' values are Python objects in
 * its dictionary, where attributes are found; beside it stands what the library remembers of it.
 *
 * Only the stable ABI of CPython 3.9 is used, so that one file serves every later one. */
#ifndef POPOTO_CORE_H
#define POPOTO_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <popoto.h>

/* Not of the stable ABI, but made of it. */
#define CORE_SET(place, value)       \
    do {                             \
        PyObject *former_ = (place); \
        (place) = (value);           \
        Py_XDECREF(former_);         \
    } while (0)

#define STATUS_COUNT ((size_t)POPOTO_NO_MEMORY + 1)

typedef struct core_state core_state;
typedef struct core_field core_field;
typedef struct core_schema core_schema;
typedef struct core_record core_record;

/* A connection that no call uses now. */
typedef struct core_idle {
    popoto_db *db;
    unsigned long generation;
} core_idle;

#define DIALECT_COUNT 2
#define IDLE_MAX      64

/* The module's state. */
struct core_state {
    PyObject *model_errors[STATUS_COUNT]; /* the exception for a status of a call on objects */
    PyObject *query_errors[STATUS_COUNT]; /* and of one that asks */
    PyObject *model_exception, *query_exception, *key_mutation, *corrupt, *not_saved, *field_value;
    PyObject *decimal, *datetime, *date, *time, *timezone, *timedelta, *utc, *epoch, *epoch_utc;
    PyObject *schema_name; /* "_core_schema" */
    PyTypeObject *schema_type, *record_type, *stream_type;
    PyObject *scopes;         /* what gives the current scopes: ContextVar.get */
    PyObject *url;            /* NULL: not yet chosen */
    unsigned long generation; /* of the choice: connections of an older one are closed */
    core_idle idle[DIALECT_COUNT][IDLE_MAX];
    size_t idle_count[DIALECT_COUNT];
    PyObject *models; /* what describes a model: the model. See schema.c */
};

/* ----- values.c: Python <-> popoto_value ------------------------------------------------------- */

/* What the values of a call point at until it is over. */
typedef struct core_memory {
    core_state *state;
    PyObject **kept;
    size_t kept_count, kept_room;
    void **blocks;
    size_t block_count, block_room;
} core_memory;

void core_memory_init(core_memory *it, core_state *state);
void core_memory_free(core_memory *it);
/* Zeroed; NULL with an exception. */
void *core_memory_block(core_memory *it, size_t count, size_t size);
/* Takes over the reference. False with an exception, and then it is released. */
bool core_memory_keep(core_memory *it, PyObject *object);

/* Any value that can be stored. False with an exception (TypeError, ValueError). */
bool core_value_from(core_memory *memory, PyObject *given, popoto_value *out);
/* One of a type that is known: the object must be an instance of it, or None. */
bool core_value_typed(core_memory *memory, popoto_type type, PyObject *given, popoto_value *out);
/* What a field of this type takes, in words: "a date". */
const char *core_type_words(popoto_type type);
/* A new reference, or NULL with an exception. */
PyObject *core_value_to(core_state *state, const popoto_value *value);
/* What a field of this class has; POPOTO_ANY where it is none of those that can be stored. */
popoto_type core_type_of(core_state *state, PyObject *type);

/* ----- pool.c: connections, scopes, errors ------------------------------------------------------ */

typedef struct core_call {
    core_state *state;
    core_schema *schema; /* NULL: the call is about no model */
    popoto_db *db;
    unsigned long generation;
    int dialect;
    PyObject *scoped; /* the scopes, (name, value) each; in the memory */
    size_t scopes;    /* entered */
    core_memory memory;
} core_call;

/* A connection of its own; NULL with an exception. */
popoto_db *core_open(core_state *state, int dialect);
/* Take a connection, and enter the scopes of this context. False with an exception. */
bool core_call_begin(core_call *it, core_state *state, core_schema *schema);
/* Give it back; the text of its error is gone then. */
void core_call_end(core_call *it);
/* Set the exception for the status that the call's last use of its db returned. `dict` is the object's
 * attributes, where the call was about one. Always returns NULL. */
PyObject *core_call_fail(core_call *it, popoto_status status, bool asks, PyObject *dict);
/* The same, of any class and with any text. `field` is a name; it and `value` may be NULL. */
void core_raise(PyObject *class, core_schema *schema, PyObject *field, PyObject *value,
                popoto_status status, const char *text);

/* For types whose objects only the core makes. */
PyObject *core_refuse_new(PyTypeObject *type, PyObject *arguments, PyObject *options);
PyObject *core_make_schema(PyObject *module, PyObject *arguments);

PyObject *core_configure(PyObject *module, PyObject *arguments);
PyObject *core_close(PyObject *module, PyObject *unused);
PyObject *core_url(PyObject *module, PyObject *unused);
PyObject *core_socket(PyObject *module, PyObject *unused);
PyObject *core_ping(PyObject *module, PyObject *unused);
void core_close_idle(core_state *state);

/* ----- schema.c: models --------------------------------------------------------------------------- */

typedef enum core_fallback {
    FALLBACK_NONE,
    FALLBACK_VALUE,
    FALLBACK_CALL
} core_fallback;

struct core_field {
    PyObject *name; /* interned */
    PyObject *type; /* the class of its values */
    popoto_type code;
    popoto_kind kind;
    size_t offset; /* in the struct */
    core_fallback how;
    PyObject *fallback;    /* the default, or what gives it */
    Py_ssize_t max_length; /* characters; -1: any. Of a generated key: exactly so many */
    bool null;
    bool is_key;
    bool identifies; /* part of the key or of a partition */
};

struct core_schema {
    PyObject_HEAD core_state *state;
    PyObject *module; /* whose state it is */
    const popoto_model *model;
    int dialect;
    PyObject *class; /* the Python class; NULL until it is there */
    allocfunc allocate;
    PyObject *hooks;   /* (name, method): what changes values before a save; NULL: none */
    PyObject *lookups; /* "score__gte": the number of its field, of those that were asked */
    core_field *fields;
    size_t field_count;
    size_t *keys; /* the numbers of the key fields */
    size_t key_count;
};

PyTypeObject *core_schema_make_type(void);
/* Whether this value of a row stands for what the field's default gives when it is called. */
bool core_is_lacking(const popoto_value *value);
bool core_is_schema(PyObject *object);
/* The number of the field of this name, or field_count. No exception. */
size_t core_schema_find(core_schema *it, const char *name, size_t size);
/* What a field's value must be: a new reference to it, or to what it was converted to. NULL with an
 * exception. */
PyObject *core_field_accept(core_schema *it, core_field *field, PyObject *given);

/* ----- record.c: objects --------------------------------------------------------------------------- */

#define FEW_KEYS 3

struct core_record {
    PyObject_HEAD PyObject *dict;
    PyObject *weak;
    core_schema *schema; /* NULL: not yet asked for */
    popoto_object header;
    PyObject **saved; /* what the key fields held when it was saved or loaded; NULL: never was */
    PyObject *few[FEW_KEYS];
    bool must_be_new; /* the next save must not replace another record */
};

PyTypeObject *core_record_make_type(void);
/* Its schema, borrowed; NULL with an exception. */
core_schema *core_record_schema(core_record *it, core_state *state);
/* A field's value in a row: a new reference, or NULL with an exception. */
PyObject *core_field_value(core_schema *schema, core_field *field, const void *row);
/* A new object of the row; NULL with an exception. */
PyObject *core_record_from_row(core_schema *schema, const void *row);
/* Write its fields (or those that identify it) into the struct. False with an exception. */
bool core_record_write(core_record *it, core_call *call, bool identity, void *object);
/* If its key was changed: refuse (unless `moves`), or let the call's db know the former one. */
bool core_record_settle_key(core_record *it, core_call *call, bool moves, void *object);
/* Whether what failed did so because the record was written in the other dialect: then with an exception. */
bool core_record_is_foreign(core_record *it, core_call *call, const void *object);
/* After the library changed or stored it. False with an exception. */
bool core_record_learn(core_record *it, const void *object);
bool core_record_forget(core_record *it);
/* Let the fields that want to change their values do so. */
bool core_record_run_hooks(core_record *it, bool skip_auto_now, PyObject *only);
extern PyMethodDef core_record_operations[]; /* operations.c */

/* ----- operations.c, query.c, confidence.c: what schemas do ---------------------------------------- */

PyObject *core_schema_save_many(PyObject *self, PyObject *records);
PyObject *core_schema_delete_many(PyObject *self, PyObject *records);
PyObject *core_record_save(PyObject *self, PyObject *arguments);
PyObject *core_record_delete(PyObject *self, PyObject *unused);
PyObject *core_record_key(PyObject *self, PyObject *unused);

PyObject *core_schema_query(PyObject *self, PyObject *arguments);
PyObject *core_schema_count(PyObject *self, PyObject *arguments);
PyObject *core_schema_keys(PyObject *self, PyObject *arguments);
PyObject *core_schema_load_keys(PyObject *self, PyObject *arguments);
PyObject *core_schema_stream(PyObject *self, PyObject *arguments);
PyObject *core_schema_tenants(PyObject *self, PyObject *unused);
PyTypeObject *core_stream_make_type(void);
/* {"a": 1, "b__gte": 2} -> filters, in the call's memory. Wrong ones are exceptions with field and value. */
bool core_filters_from(core_call *call, PyObject *given, popoto_filter **filters, size_t *count);

PyObject *core_record_confidence_update(PyObject *self, PyObject *arguments);
PyObject *core_record_confidence_figures(PyObject *self, PyObject *name);
PyObject *core_record_confidence_key(PyObject *self, PyObject *name);
PyObject *core_schema_confidence_update_many(PyObject *self, PyObject *arguments);
PyObject *core_schema_confidence_scan(PyObject *self, PyObject *arguments);
PyObject *core_schema_confidence_key(PyObject *self, PyObject *arguments);
PyObject *core_schema_confidence_migrate(PyObject *self, PyObject *arguments);

#endif
