/* record - objects of models: their attributes, what they are equal to, how they become structs and how
 * rows become them. Asks no server. */
#include "core.h"

#include <structmember.h>

#include <string.h>

/* ----- Schema and dictionary -------------------------------------------------------------------------- */

core_schema *core_record_schema(core_record *it, core_state *state) {
    if (it->schema != NULL)
        return it->schema;
    PyObject *schema = PyObject_GetAttrString((PyObject *)Py_TYPE(it), "_core_schema");
    if (schema == NULL)
        return NULL;
    if (!core_is_schema(schema) || (state != NULL && Py_TYPE(schema) != state->schema_type)) {
        Py_DECREF(schema);
        PyErr_Format(PyExc_TypeError, "%R is no model: it has no fields", (PyObject *)Py_TYPE(it));
        return NULL;
    }
    it->schema = (core_schema *)schema;
    return it->schema;
}

static PyObject *dict_of(core_record *it) {
    if (it->dict == NULL)
        it->dict = PyDict_New();
    return it->dict;
}

/* ----- What it was saved as ----------------------------------------------------------------------------- */

static void forget_keys(core_record *it, size_t count) {
    PyObject **saved = it->saved;
    it->saved = NULL;
    for (size_t i = 0; saved != NULL && i < count; i++)
        Py_CLEAR(saved[i]);
    if (saved != NULL && saved != it->few)
        PyMem_Free(saved);
}

/* The key fields' values as they are now. */
static bool remember_keys(core_record *it) {
    core_schema *schema = it->schema;
    if (it->saved == NULL) {
        it->saved = schema->key_count <= FEW_KEYS
                        ? it->few
                        : PyMem_Calloc(schema->key_count, sizeof *it->saved);
        if (it->saved == NULL) {
            PyErr_NoMemory();
            return false;
        }
    }
    for (size_t i = 0; i < schema->key_count; i++) {
        PyObject *value = PyDict_GetItemWithError(it->dict, schema->fields[schema->keys[i]].name);
        if (value == NULL && PyErr_Occurred())
            return false;
        Py_XINCREF(value);
        CORE_SET(it->saved[i], value);
    }
    return true;
}

bool core_record_forget(core_record *it) {
    memset(&it->header, 0, sizeof it->header);
    if (it->schema != NULL)
        forget_keys(it, it->schema->key_count);
    return true;
}

/* ----- New objects ----------------------------------------------------------------------------------------- */

/* The value that a new object has where none was given; a new reference. NULL without an exception:
 * none, it comes when it is needed. */
static PyObject *fallback_of(core_field *field) {
    if (field->how == FALLBACK_CALL)
        return PyObject_CallFunctionObjArgs(field->fallback, NULL);
    if (field->kind == POPOTO_KIND_AUTO_KEY && field->how == FALLBACK_NONE)
        return NULL;
    PyObject *value = field->how == FALLBACK_VALUE ? field->fallback : Py_None;
    Py_INCREF(value);
    return value;
}

/* What the scopes of now say of a field: borrowed from them; NULL: nothing. */
static PyObject *scoped_value(PyObject *scopes, core_field *field) {
    for (Py_ssize_t i = scopes == NULL ? 0 : PyTuple_Size(scopes); i > 0; i--) {
        PyObject *pair = PyTuple_GetItem(scopes, i - 1);
        if (PyUnicode_Compare(field->name, PyTuple_GetItem(pair, 0)) == 0)
            return PyTuple_GetItem(pair, 1);
    }
    return NULL;
}

/* Fields: those that were given, else those of the scopes, else the defaults. */
static bool init_fields(core_record *it, PyObject *options, PyObject *scopes, Py_ssize_t *used) {
    core_schema *schema = it->schema;
    for (size_t i = 0; i < schema->field_count; i++) {
        core_field *field = &schema->fields[i];
        PyObject *given = options == NULL ? NULL : PyDict_GetItemWithError(options, field->name);
        if (given == NULL && PyErr_Occurred())
            return false;
        *used += given != NULL;
        PyObject *scoped = given == NULL || given == Py_None ? scoped_value(scopes, field) : NULL;
        if (scoped != NULL)
            given = scoped;
        if (given != NULL)
            Py_INCREF(given);
        else if ((given = fallback_of(field)) == NULL && PyErr_Occurred())
            return false;
        if (given == NULL)
            continue;
        PyObject *taken = core_field_accept(schema, field, given);
        Py_DECREF(given);
        int failed = taken == NULL || PyDict_SetItem(it->dict, field->name, taken) < 0;
        Py_XDECREF(taken);
        if (failed)
            return false;
    }
    return true;
}

static int record_init(PyObject *self, PyObject *arguments, PyObject *options) {
    core_record *it = (core_record *)self;
    core_schema *schema = core_record_schema(it, NULL);
    if (schema == NULL || dict_of(it) == NULL)
        return -1;
    if (PyTuple_Size(arguments) > 0) {
        PyErr_Format(PyExc_TypeError, "%s takes its fields by name: %s(%U=...)",
                     schema->model->name, schema->model->name, schema->fields[0].name);
        return -1;
    }
    /* An object is of the scope that it is made in, wherever it is saved. */
    PyObject *get = schema->state->scopes;
    PyObject *scopes = get == NULL ? NULL : PyObject_CallFunctionObjArgs(get, NULL);
    if (scopes == NULL && get != NULL)
        return -1;
    Py_ssize_t used = 0;
    bool ok = init_fields(it, options, scopes, &used);
    Py_XDECREF(scopes);
    if (!ok)
        return -1;
    if (options == NULL || used == PyDict_Size(options))
        return 0;
    /* Others are attributes, as in Popoto. */
    PyObject *name, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(options, &at, &name, &value)) {
        int known = PyDict_Contains(it->dict, name);
        if (known < 0 || (known == 0 && PyObject_SetAttr(self, name, value) < 0))
            return -1;
    }
    return 0;
}

PyObject *core_field_value(core_schema *schema, core_field *field, const void *row) {
    const char *member = (const char *)row + field->offset;
    if (field->kind == POPOTO_KIND_AUTO_KEY)
        return PyUnicode_FromString(((const popoto_id *)(const void *)member)->text);
    const popoto_value *value = (const popoto_value *)(const void *)member;
    if (field->how == FALLBACK_CALL &&
        (core_is_lacking(value) || (value->type == POPOTO_NULL && !field->null)))
        return fallback_of(field);
    return core_value_to(schema->state, value);
}

PyObject *core_record_from_row(core_schema *schema, const void *row) {
    core_record *it = (core_record *)schema->allocate((PyTypeObject *)schema->class, 0);
    if (it == NULL)
        return NULL;
    it->schema = schema;
    Py_INCREF(schema);
    bool ok = dict_of(it) != NULL;
    for (size_t i = 0; ok && i < schema->field_count; i++) {
        PyObject *value = core_field_value(schema, &schema->fields[i], row);
        ok = value != NULL && PyDict_SetItem(it->dict, schema->fields[i].name, value) == 0;
        Py_XDECREF(value);
    }
    if (!ok || !remember_keys(it)) {
        Py_DECREF(it);
        return NULL;
    }
    memcpy(&it->header, row, sizeof it->header);
    return (PyObject *)it;
}

/* ----- Into a struct ------------------------------------------------------------------------------------------ */

static bool write_id(core_schema *schema, core_field *field, PyObject *value, void *member) {
    PyObject *bytes = PyUnicode_AsUTF8String(value);
    char *text;
    Py_ssize_t size;
    bool ok = bytes != NULL && PyBytes_AsStringAndSize(bytes, &text, &size) == 0;
    if (ok && (size >= (Py_ssize_t)sizeof(popoto_id) || strlen(text) != (size_t)size)) {
        core_raise(schema->state->field_value, schema, field->name, value, POPOTO_BAD_VALUE,
                   "a generated key has at most 32 characters, and no NUL");
        ok = false;
    }
    if (ok)
        memcpy(member, text, (size_t)size);
    Py_XDECREF(bytes);
    return ok;
}

/* An exception of the conversion, with the field's name before it. */
static bool explain(core_schema *schema, core_field *field, PyObject *value) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError))
        return false;
    PyObject *type, *what, *trace;
    PyErr_Fetch(&type, &what, &trace);
    PyObject *text = PyUnicode_FromFormat("%s.%U: %S", schema->model->name, field->name,
                                          what == NULL ? type : what);
    PyObject *bytes =
        text == NULL ? NULL : PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (bytes != NULL)
        core_raise(schema->state->field_value, schema, field->name, value, POPOTO_BAD_VALUE,
                   PyBytes_AsString(bytes));
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(what);
    Py_XDECREF(trace);
    return false;
}

static bool write_field(core_record *it, core_call *call, core_field *field, PyObject *value,
                        void *object) {
    core_schema *schema = it->schema;
    char *member = (char *)object + field->offset;
    PyObject *taken = core_field_accept(schema, field, value);
    if (taken == NULL)
        return false;
    bool ok = taken == value || PyDict_SetItem(it->dict, field->name, taken) == 0;
    if (ok && taken == Py_None && field->kind == POPOTO_KIND_AUTO_KEY)
        ok = true;
    else if (ok && field->kind == POPOTO_KIND_AUTO_KEY)
        ok = write_id(schema, field, taken, member);
    else if (ok &&
             !core_value_typed(&call->memory, field->code, taken, (popoto_value *)(void *)member))
        ok = explain(schema, field, taken);
    Py_DECREF(taken);
    return ok;
}

/* What a scope says of a field that the object leaves open is the object's from now on. */
static bool fill_from_scopes(core_record *it, core_call *call) {
    for (size_t i = call->scopes; i > 0; i--) {
        PyObject *pair = PyTuple_GetItem(call->scoped, (Py_ssize_t)i - 1);
        PyObject *name = PyTuple_GetItem(pair, 0);
        for (size_t k = 0; k < it->schema->field_count; k++) {
            if (PyUnicode_Compare(it->schema->fields[k].name, name) != 0)
                continue;
            PyObject *now = PyDict_GetItemWithError(it->dict, name);
            if ((now == NULL && PyErr_Occurred()) ||
                ((now == NULL || now == Py_None) &&
                 PyDict_SetItem(it->dict, it->schema->fields[k].name, PyTuple_GetItem(pair, 1)) <
                     0))
                return false;
        }
    }
    return true;
}

bool core_record_write(core_record *it, core_call *call, bool identity, void *object) {
    core_schema *schema = it->schema;
    if (dict_of(it) == NULL || !fill_from_scopes(it, call))
        return false;
    for (size_t i = 0; i < schema->field_count; i++) {
        core_field *field = &schema->fields[i];
        if (identity && !field->identifies)
            continue;
        PyObject *value = PyDict_GetItemWithError(it->dict, field->name);
        if (value == NULL && PyErr_Occurred())
            return false;
        Py_XINCREF(value);
        if (value == NULL &&
            it->header.key == 0) /* an __init__ of its own, or a deleted attribute */
            if ((value = fallback_of(field)) != NULL)
                if (PyDict_SetItem(it->dict, field->name, value) < 0)
                    Py_CLEAR(value);
        if (value == NULL && PyErr_Occurred())
            return false;
        if (value == NULL)
            continue; /* a key not yet generated: null */
        bool ok = write_field(it, call, field, value, object);
        Py_DECREF(value);
        if (!ok)
            return false;
    }
    memcpy(object, &it->header, sizeof it->header);
    ((popoto_object *)object)->origin = 0; /* of whichever connection it was */
    return true;
}

/* The key field that was changed since the object was saved: key_count: none. */
static size_t changed_key(core_record *it) {
    core_schema *schema = it->schema;
    for (size_t i = 0; it->saved != NULL && i < schema->key_count; i++) {
        PyObject *now = PyDict_GetItemWithError(it->dict, schema->fields[schema->keys[i]].name);
        if (now == it->saved[i] || it->saved[i] == NULL)
            continue;
        Py_XINCREF(now);
        int same = now == NULL ? 0 : PyObject_RichCompareBool(now, it->saved[i], Py_EQ);
        Py_XDECREF(now);
        if (same < 0)
            return SIZE_MAX;
        if (same == 0)
            return i;
    }
    return schema->key_count;
}

static bool refuse_move(core_record *it, size_t key) {
    core_schema *schema = it->schema;
    core_field *field = &schema->fields[schema->keys[key]];
    PyObject *now = PyDict_GetItemWithError(it->dict, field->name);
    PyObject *text = PyUnicode_FromFormat(
        "%s.%U was changed from %R to %R, and it is part of the record's key: "
        "save(migrate_key=True) moves the record",
        schema->model->name, field->name, it->saved[key], now == NULL ? Py_None : now);
    PyObject *bytes =
        text == NULL ? NULL : PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (bytes != NULL)
        core_raise(schema->state->key_mutation, schema, field->name, now, POPOTO_OK,
                   PyBytes_AsString(bytes));
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    return false;
}

bool core_record_settle_key(core_record *it, core_call *call, bool moves, void *object) {
    core_schema *schema = it->schema;
    if (it->header.key == 0)
        return true;
    size_t key = changed_key(it);
    if (key == SIZE_MAX)
        return false;
    if (key == schema->key_count)
        return true;
    if (!moves)
        return refuse_move(it, key);
    /* Any connection may serve this call: tell it under which key the record is stored. */
    char *former = core_memory_block(&call->memory, 1, schema->model->size);
    if (former == NULL)
        return false;
    memcpy(former, object, schema->model->size);
    for (size_t i = 0; i < schema->key_count; i++) {
        core_field *field = &schema->fields[schema->keys[i]];
        char *member = former + field->offset;
        bool ok = true;
        memset(member, 0,
               field->kind == POPOTO_KIND_AUTO_KEY ? sizeof(popoto_id) : sizeof(popoto_value));
        if (it->saved[i] != NULL && it->saved[i] != Py_None)
            ok = field->kind == POPOTO_KIND_AUTO_KEY
                     ? write_id(schema, field, it->saved[i], member)
                     : core_value_typed(&call->memory, field->code, it->saved[i],
                                        (popoto_value *)(void *)member);
        if (!ok)
            return false;
    }
    popoto_text text;
    popoto_status status = popoto_key(call->db, schema->model, former, &text);
    if (status == POPOTO_OK) {
        status = popoto_remember(call->db, schema->model, object, text);
        popoto_free(call->db, text.data);
    }
    if (status != POPOTO_OK)
        core_call_fail(call, status, false, it->dict);
    return status == POPOTO_OK;
}

static void raise_foreign(core_schema *schema, const char *key) {
    static const char *const names[DIALECT_COUNT] = { "documented", "popoto" };
    const char *here = names[schema->dialect], *there = names[1 - schema->dialect];
    PyObject *text = PyUnicode_FromFormat(
        "%s was written in another dialect than \"%s\", which %s has here: "
        "set POPOTO_DIALECT=%s in the environment, or dialect = \"%s\" in its Meta",
        key, here, schema->model->name, there, there);
    PyObject *bytes =
        text == NULL ? NULL : PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (bytes != NULL)
        core_raise(schema->state->model_exception, schema, NULL, NULL, POPOTO_BAD_ARGUMENT,
                   PyBytes_AsString(bytes));
    Py_XDECREF(bytes);
    Py_XDECREF(text);
}

bool core_record_is_foreign(core_record *it, core_call *call, const void *object) {
    core_schema *schema = it->schema;
    popoto_model model = *schema->model;
    popoto_text key;
    if (it->header.key == 0 || changed_key(it) != schema->key_count)
        return PyErr_Occurred() != NULL;
    char *copy = core_memory_block(&call->memory, 1, model.size);
    popoto_field *fields = core_memory_block(&call->memory, model.field_count, sizeof *fields);
    popoto_db *other =
        copy == NULL || fields == NULL ? NULL : core_open(schema->state, 1 - schema->dialect);
    if (other == NULL)
        return true;
    memcpy(copy, object, model.size);
    memcpy(fields, model.fields, model.field_count * sizeof *fields);
    for (size_t i = 0; i < model.field_count; i++)
        fields[i].null = fields[i].null && fields[i].kind == POPOTO_KIND_FIELD;
    model.fields = fields;
    bool foreign = popoto_key(other, &model, copy, &key) == POPOTO_OK;
    if (foreign) {
        /* It is told the key that the object was stored under, and refuses any other. */
        foreign = popoto_remember(other, &model, copy, key) == POPOTO_OK;
        if (foreign)
            raise_foreign(schema, key.data);
        popoto_free(other, key.data);
    }
    popoto_close(other);
    return foreign;
}

bool core_record_learn(core_record *it, const void *object) {
    core_schema *schema = it->schema;
    memcpy(&it->header, object, sizeof it->header);
    for (size_t i = 0; i < schema->field_count; i++) {
        core_field *field = &schema->fields[i];
        bool generated = field->kind == POPOTO_KIND_AUTO_KEY;
        if (!generated && field->kind != POPOTO_KIND_CONFIDENCE)
            continue;
        PyObject *now = PyDict_GetItemWithError(it->dict, field->name);
        if (now == NULL && PyErr_Occurred())
            return false;
        if (now != NULL && now != Py_None)
            continue;
        /* null was stored as what it stands for. */
        PyObject *value =
            generated
                ? PyUnicode_FromString(
                      ((const popoto_id *)(const void *)((const char *)object + field->offset))
                          ->text)
                : fallback_of(field);
        bool ok = value != NULL && PyDict_SetItem(it->dict, field->name, value) == 0;
        Py_XDECREF(value);
        if (!ok)
            return false;
    }
    return remember_keys(it);
}

bool core_record_run_hooks(core_record *it, bool skip_auto_now, PyObject *only) {
    PyObject *hooks = it->schema->hooks;
    if (dict_of(it) == NULL)
        return false;
    for (Py_ssize_t i = 0; hooks != NULL && i < PyTuple_Size(hooks); i++) {
        PyObject *pair = PyTuple_GetItem(hooks, i);
        PyObject *name = PyTuple_GetItem(pair, 0), *method = PyTuple_GetItem(pair, 1);
        if (name == NULL || method == NULL)
            return false;
        int named = only == NULL ? 1 : PySequence_Contains(only, name);
        if (named <= 0) {
            if (named < 0)
                return false;
            continue;
        }
        PyObject *now = PyDict_GetItemWithError(it->dict, name);
        if (now == NULL && PyErr_Occurred())
            return false;
        PyObject *value = PyObject_CallFunction(method, "OO", now == NULL ? Py_None : now,
                                                skip_auto_now ? Py_True : Py_False);
        bool ok = value != NULL && PyDict_SetItem(it->dict, name, value) == 0;
        Py_XDECREF(value);
        if (!ok)
            return false;
    }
    return true;
}

/* ----- The type ------------------------------------------------------------------------------------------- */

/* The key fields' values: a new tuple, or NULL: with an exception, or without one where it has no key. */
static PyObject *key_values(core_record *it) {
    core_schema *schema = core_record_schema(it, NULL);
    if (schema == NULL || dict_of(it) == NULL)
        return NULL;
    PyObject *out = PyTuple_New((Py_ssize_t)schema->key_count);
    size_t there = 0;
    for (size_t i = 0; out != NULL && i < schema->key_count; i++) {
        PyObject *name = schema->fields[schema->keys[i]].name;
        PyObject *value =
            PyObject_GenericGetAttr((PyObject *)it, name); /* generates what is missing */
        if (value == NULL) {
            Py_DECREF(out);
            return NULL;
        }
        there += value != Py_None;
        PyTuple_SetItem(out, (Py_ssize_t)i, value);
    }
    if (out != NULL && there == 0)
        Py_CLEAR(out);
    return out;
}

static PyObject *record_compare(PyObject *self, PyObject *other, int operation) {
    if ((operation != Py_EQ && operation != Py_NE) || !PyObject_TypeCheck(other, Py_TYPE(self))) {
        if (operation == Py_EQ || operation == Py_NE)
            return PyBool_FromLong(operation == Py_NE);
        Py_INCREF(Py_NotImplemented);
        return Py_NotImplemented;
    }
    PyObject *mine = key_values((core_record *)self);
    PyObject *theirs = mine == NULL && PyErr_Occurred() ? NULL : key_values((core_record *)other);
    PyObject *out = NULL;
    if (mine != NULL && theirs != NULL)
        out = PyObject_RichCompare(mine, theirs, operation);
    else if (!PyErr_Occurred())
        out = PyBool_FromLong((self == other) == (operation == Py_EQ));
    Py_XDECREF(mine);
    Py_XDECREF(theirs);
    return out;
}

static Py_hash_t record_hash(PyObject *self) {
    PyObject *key = key_values((core_record *)self);
    if (key == NULL) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError,
                         "a %s without a key cannot be hashed: set its key fields first",
                         ((core_record *)self)->schema->model->name);
        return -1;
    }
    Py_hash_t out = PyObject_Hash(key);
    Py_DECREF(key);
    return out;
}

static int record_traverse(PyObject *self, visitproc visit, void *arg) {
    core_record *it = (core_record *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(it->dict);
    Py_VISIT(it->schema);
    for (size_t i = 0; it->saved != NULL && i < it->schema->key_count; i++)
        Py_VISIT(it->saved[i]);
    return 0;
}

/* The schema stays: the saved keys are counted by it. It is no part of a cycle that ends here, for the
 * class clears its own. */
static int record_clear(PyObject *self) {
    core_record *it = (core_record *)self;
    if (it->schema != NULL)
        forget_keys(it, it->schema->key_count);
    Py_CLEAR(it->dict);
    return 0;
}

static void record_dealloc(PyObject *self) {
    core_record *it = (core_record *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (it->weak != NULL)
        PyObject_ClearWeakRefs(self);
    record_clear(self);
    Py_CLEAR(it->schema);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* What a copy of it needs beside its attributes: (what the library remembers, the keys it was saved
 * under); None for one that never was. */
static PyObject *record_state(PyObject *self, PyObject *unused) {
    core_record *it = (core_record *)self;
    (void)unused;
    if (it->header.key == 0 || it->saved == NULL)
        Py_RETURN_NONE;
    PyObject *saved = PyTuple_New((Py_ssize_t)it->schema->key_count);
    for (size_t i = 0; saved != NULL && i < it->schema->key_count; i++) {
        PyObject *value = it->saved[i] == NULL ? Py_None : it->saved[i];
        Py_INCREF(value);
        PyTuple_SetItem(saved, (Py_ssize_t)i, value);
    }
    if (saved == NULL)
        return NULL;
    return Py_BuildValue("(KKKN)", (unsigned long long)it->header.key,
                         (unsigned long long)it->header.content,
                         (unsigned long long)it->header.flags, saved);
}

static PyObject *record_restore(PyObject *self, PyObject *given) {
    core_record *it = (core_record *)self;
    unsigned long long key, content, flags;
    PyObject *saved;
    core_schema *schema = core_record_schema(it, NULL);
    if (schema == NULL || dict_of(it) == NULL ||
        !PyArg_ParseTuple(given, "KKKO!:restore", &key, &content, &flags, &PyTuple_Type, &saved))
        return NULL;
    if ((size_t)PyTuple_Size(saved) != schema->key_count) {
        PyErr_Format(PyExc_ValueError, "this was a %s with other key fields", schema->model->name);
        return NULL;
    }
    if (!remember_keys(it))
        return NULL;
    for (size_t i = 0; i < schema->key_count; i++) {
        PyObject *value = PyTuple_GetItem(saved, (Py_ssize_t)i);
        Py_INCREF(value);
        CORE_SET(it->saved[i], value);
    }
    it->header = (popoto_object){ .key = key, .content = content, .flags = flags };
    Py_RETURN_NONE;
}

static PyObject *record_must_be_new(PyObject *self, PyObject *unused) {
    (void)unused;
    ((core_record *)self)->must_be_new = true;
    Py_RETURN_NONE;
}

static PyObject *record_is_stored(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(((core_record *)self)->header.key != 0);
}

static PyObject *record_saved(PyObject *self, PyObject *unused) {
    core_record *it = (core_record *)self;
    PyObject *out = PyDict_New();
    (void)unused;
    for (size_t i = 0; out != NULL && it->saved != NULL && i < it->schema->key_count; i++)
        if (it->saved[i] != NULL &&
            PyDict_SetItem(out, it->schema->fields[it->schema->keys[i]].name, it->saved[i]) < 0)
            Py_CLEAR(out);
    return out;
}

static PyMethodDef record_methods[] = {
    { "_core_save", core_record_save, METH_VARARGS, NULL },
    { "_core_delete", core_record_delete, METH_NOARGS, NULL },
    { "_core_key", core_record_key, METH_NOARGS, NULL },
    { "_core_must_be_new", record_must_be_new, METH_NOARGS, NULL },
    { "_core_is_stored", record_is_stored, METH_NOARGS, NULL },
    { "_core_saved_keys", record_saved, METH_NOARGS, NULL },
    { "_core_confidence_update", core_record_confidence_update, METH_VARARGS, NULL },
    { "_core_confidence_figures", core_record_confidence_figures, METH_O, NULL },
    { "_core_confidence_key", core_record_confidence_key, METH_O, NULL },
    { "_core_state", record_state, METH_NOARGS, NULL },
    { "_core_restore", record_restore, METH_O, NULL },
    { NULL, NULL, 0, NULL },
};

static PyMemberDef record_members[] = {
    { "__dictoffset__", T_PYSSIZET, offsetof(core_record, dict), READONLY, NULL },
    { "__weaklistoffset__", T_PYSSIZET, offsetof(core_record, weak), READONLY, NULL },
    { NULL, 0, 0, 0, NULL },
};

static PyObject *record_get_dict(PyObject *self, void *unused) {
    PyObject *dict = dict_of((core_record *)self);
    (void)unused;
    Py_XINCREF(dict);
    return dict;
}

static PyGetSetDef record_getset[] = {
    { "__dict__", record_get_dict, NULL, NULL, NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

PyTypeObject *core_record_make_type(void) {
    static PyType_Slot slots[] = {
        { Py_tp_doc, "An object that has a record in Redis: what Model is made from." },
        { Py_tp_init, record_init },
        { Py_tp_new, PyType_GenericNew },
        { Py_tp_traverse, record_traverse },
        { Py_tp_clear, record_clear },
        { Py_tp_dealloc, record_dealloc },
        { Py_tp_richcompare, record_compare },
        { Py_tp_hash, record_hash },
        { Py_tp_methods, record_methods },
        { Py_tp_members, record_members },
        { Py_tp_getset, record_getset },
        { 0, NULL },
    };
    static PyType_Spec spec = {
        .name = "popoto._core.Record",
        .basicsize = sizeof(core_record),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
        .slots = slots,
    };
    return (PyTypeObject *)PyType_FromSpec(&spec);
}
