/* pool - the connections, one for each call that is under way; the scopes that a call enters; and the
 * exceptions for what the library reports.
 *
 * A connection serves one call at a time, so that any number of threads work at once. The last one given
 * back is the next one taken: a program with one thread has one. All of this happens with the
 * interpreter's lock held; waiting does not. */
#include "core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where Popoto connects to when nobody says otherwise. */
#define DEFAULT_URL "redis://127.0.0.1:6379/0"

/* ----- Which server ------------------------------------------------------------------------------- */

/* What popoto.redis_db says of a text. NULL with an exception. */
static PyObject *ask_python(const char *function, const char *text) {
    PyObject *module = PyImport_ImportModule("popoto.redis_db");
    PyObject *out = module == NULL ? NULL : PyObject_CallMethod(module, function, "s", text);
    Py_XDECREF(module);
    return out;
}

/* The address, chosen or from the environment, read at its first use. Borrowed; NULL with an exception. */
static PyObject *chosen_url(core_state *state) {
    if (state->url == NULL) {
        PyObject *url = ask_python("_url_of_environment", DEFAULT_URL);
        if (url != NULL && !PyUnicode_Check(url)) {
            PyErr_SetString(PyExc_TypeError, "the address of a server is a str");
            Py_CLEAR(url);
        }
        state->url = url;
    }
    return state->url;
}

void core_close_idle(core_state *state) {
    for (int dialect = 0; dialect < DIALECT_COUNT; dialect++)
        while (state->idle_count[dialect] > 0) {
            popoto_db *db = state->idle[dialect][--state->idle_count[dialect]].db;
            Py_BEGIN_ALLOW_THREADS
            popoto_close(db);
            Py_END_ALLOW_THREADS
        }
}

PyObject *core_configure(PyObject *module, PyObject *url) {
    core_state *state = PyModule_GetState(module);
    if (!PyUnicode_Check(url) && url != Py_None) {
        PyErr_SetString(PyExc_TypeError, "the address of a server is a str");
        return NULL;
    }
    PyObject *former = state->url;
    Py_XINCREF(url == Py_None ? NULL : url);
    state->url = url == Py_None ? NULL : url;
    state->generation++;
    Py_XDECREF(former);
    core_close_idle(state);
    Py_RETURN_NONE;
}

PyObject *core_url(PyObject *module, PyObject *unused) {
    (void)unused;
    PyObject *url = chosen_url(PyModule_GetState(module));
    Py_XINCREF(url);
    return url;
}

PyObject *core_close(PyObject *module, PyObject *unused) {
    (void)unused;
    core_close_idle(PyModule_GetState(module));
    Py_RETURN_NONE;
}

popoto_db *core_open(core_state *state, int dialect) {
    PyObject *url = chosen_url(state);
    PyObject *bytes = url == NULL ? NULL : PyUnicode_EncodeFSDefault(url);
    char *text;
    if (bytes == NULL)
        return NULL;
    if (PyBytes_AsStringAndSize(bytes, &text, NULL) < 0) { /* refuses a NUL within */
        Py_DECREF(bytes);
        return NULL;
    }
    popoto_db *db;
    Py_BEGIN_ALLOW_THREADS
    db = popoto_open(text, &(popoto_options){ .dialect = (popoto_dialect)dialect });
    Py_END_ALLOW_THREADS
    Py_DECREF(bytes);
    if (db == NULL)
        PyErr_NoMemory();
    return db;
}

/* ----- Scopes --------------------------------------------------------------------------------------- */

/* The context has a tuple of (field, value) pairs, the innermost last. */
static bool enter_scopes(core_call *it) {
    PyObject *scopes =
        it->state->scopes == NULL ? NULL : PyObject_CallFunctionObjArgs(it->state->scopes, NULL);
    if (scopes == NULL)
        return it->state->scopes == NULL;
    Py_ssize_t count = PyTuple_Size(scopes);
    bool ok = core_memory_keep(&it->memory, scopes) && count >= 0;
    it->scoped = scopes;
    for (Py_ssize_t i = 0; ok && i < count; i++) {
        PyObject *pair = PyTuple_GetItem(scopes, i);
        PyObject *name = pair == NULL ? NULL : PyTuple_GetItem(pair, 0);
        PyObject *given = name == NULL ? NULL : PyTuple_GetItem(pair, 1);
        PyObject *bytes = given == NULL ? NULL : PyUnicode_AsUTF8String(name);
        popoto_value value;
        ok = bytes != NULL && core_memory_keep(&it->memory, bytes) &&
             core_value_from(&it->memory, given, &value);
        if (!ok)
            break;
        popoto_status status = popoto_scope_enter_value(it->db, PyBytes_AsString(bytes), value);
        ok = status == POPOTO_OK;
        if (ok)
            it->scopes++;
        else
            core_call_fail(it, status, false, NULL);
    }
    return ok;
}

/* ----- A call ----------------------------------------------------------------------------------------- */

bool core_call_begin(core_call *it, core_state *state, core_schema *schema) {
    memset(it, 0, sizeof *it);
    it->state = state;
    it->schema = schema;
    it->dialect = schema == NULL ? POPOTO_DOCUMENTED : schema->dialect;
    core_memory_init(&it->memory, state);
    if (schema != NULL && schema->class == NULL) {
        PyErr_SetString(PyExc_TypeError, "the class of this model is gone");
        return false;
    }
    size_t *count = &state->idle_count[it->dialect];
    if (*count > 0)
        it->db = state->idle[it->dialect][--*count].db;
    it->generation = state->generation; /* before the lock is let go: see core_call_end */
    if (it->db == NULL)
        it->db = core_open(state, it->dialect);
    if (it->db == NULL)
        return false;
    if (enter_scopes(it))
        return true;
    core_call_end(it);
    return false;
}

void core_call_end(core_call *it) {
    core_state *state = it->state;
    while (it->scopes > 0) {
        popoto_scope_leave(it->db);
        it->scopes--;
    }
    core_memory_free(&it->memory);
    popoto_db *db = it->db;
    it->db = NULL;
    if (db == NULL)
        return;
    size_t *count = &state->idle_count[it->dialect];
    if (it->generation == state->generation && *count < IDLE_MAX) {
        state->idle[it->dialect][(*count)++] = (core_idle){ db, it->generation };
        return;
    }
    PyObject *type, *value, *trace; /* closing must not lose an exception that is under way */
    PyErr_Fetch(&type, &value, &trace);
    Py_BEGIN_ALLOW_THREADS
    popoto_close(db);
    Py_END_ALLOW_THREADS
    PyErr_Restore(type, value, trace);
}

/* ----- What went wrong ---------------------------------------------------------------------------------- */

static bool set_detail(PyObject *exception, const char *name, PyObject *value) {
    return value == NULL || PyObject_SetAttrString(exception, name, value) == 0;
}

void core_raise(PyObject *class, core_schema *schema, PyObject *field, PyObject *value,
                popoto_status status, const char *text) {
    PyObject *sentence = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
    PyObject *exception =
        sentence == NULL ? NULL : PyObject_CallFunctionObjArgs(class, sentence, NULL);
    PyObject *name = status == POPOTO_OK ? NULL : PyUnicode_FromString(popoto_status_name(status));
    bool ok = exception != NULL && (status == POPOTO_OK || name != NULL) &&
              set_detail(exception, "model", schema ? schema->class : NULL) &&
              set_detail(exception, "field", field) && set_detail(exception, "value", value) &&
              set_detail(exception, "status", name);
    if (ok)
        PyErr_SetObject(class, exception);
    Py_XDECREF(name);
    Py_XDECREF(sentence);
    Py_XDECREF(exception);
}

/* The library's sentences begin with what they are about: "Episode.score is ...", or "Episode.score__gte
 * cannot ...". Borrowed. */
static PyObject *field_in(core_schema *schema, const char *text) {
    size_t size = strlen(schema->model->name);
    if (strncmp(text, schema->model->name, size) != 0 || text[size] != '.')
        return NULL;
    const char *name = text + size + 1;
    size = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    const char *lookup = strstr(name, "__"); /* no field's name has it */
    if (lookup != NULL && lookup < name + size)
        size = (size_t)(lookup - name);
    size_t i = core_schema_find(schema, name, size);
    return i < schema->field_count ? schema->fields[i].name : NULL;
}

/* Of which filter the sentence speaks: of the field, or of a name that no field has and that it quotes.
 * *field becomes a new reference. Borrowed; NULL: of none. */
static PyObject *filter_in(PyObject *filters, const char *text, PyObject **field) {
    PyObject *lookup, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(filters, &at, &lookup, &value)) {
        PyObject *parts = PyObject_CallMethod(lookup, "split", "s", "__");
        PyObject *base = parts == NULL ? NULL : PySequence_GetItem(parts, 0);
        PyObject *bytes = base == NULL ? NULL : PyUnicode_AsUTF8String(base);
        bool named = false;
        if (bytes != NULL && *field != NULL) {
            named = PyUnicode_Compare(base, *field) == 0;
        } else if (bytes != NULL) {
            const char *name = PyBytes_AsString(bytes), *found = strstr(text, name);
            size_t size = strlen(name);
            named = found != NULL && found > text && found[-1] == '\'' && found[size] == '\'';
        }
        if (named && *field == NULL) {
            *field = base;
            Py_INCREF(base);
        }
        Py_XDECREF(bytes);
        Py_XDECREF(base);
        Py_XDECREF(parts);
        if (named)
            return value;
        PyErr_Clear();
    }
    return NULL;
}

/* The library speaks of its own calls and macros: here they have other names. */
static const char *const words[][2] = {
    { "popoto_save", "save()" },
    { ".all_tenants = true", "all_tenants()" },
    { ".allow_scan = true", "Meta.allow_scan = True" },
    { "popoto_confidence_get", "ConfidenceField.get_confidence" },
    { "popoto_confidence_scan", "get_confidence_filtered" },
    { "an AUTO_KEY", "an AutoKeyField" },
    { "a UNIQUE_KEY", "a UniqueKeyField" },
    { "a KEY", "a KeyField" },
    { "a SORTED field", "a SortedField" },
    { "a CONFIDENCE field", "a ConfidenceField" },
    { "a TENANT", "a TenantField" },
    { ", POPOTO_LIST(...)", "" },
    { "declare it .null = true", "declare it null=True" },
};

static void translate(const char *text, char *out, size_t size) {
    size_t at = 0;
    while (*text != '\0' && at + 1 < size) {
        size_t taken = 0;
        for (size_t i = 0; taken == 0 && i < sizeof words / sizeof *words; i++) {
            size_t length = strlen(words[i][1]);
            if (strncmp(text, words[i][0], strlen(words[i][0])) != 0 || at + length >= size)
                continue;
            memcpy(out + at, words[i][1], length);
            at += length;
            taken = strlen(words[i][0]);
        }
        if (taken == 0) {
            out[at++] = *text;
            taken = 1;
        }
        text += taken;
    }
    out[at] = '\0';
}

PyObject *core_call_fail(core_call *it, popoto_status status, bool asks, PyObject *dict) {
    char text[1024];
    translate(popoto_error(it->db), text, sizeof text);
    if (PyErr_Occurred()) /* a callback's own comes first */
        return NULL;
    /* Who pressed Ctrl-C while the call waited wants that, and not to hear of the server. */
    if (status != POPOTO_CORRUPT && PyErr_CheckSignals() < 0)
        return NULL;
    if (status == POPOTO_NO_MEMORY)
        return PyErr_NoMemory();
    if (status == POPOTO_BAD_URL) {
        PyObject *said = ask_python("_about_address", text);
        PyObject *bytes =
            said == NULL ? NULL : PyUnicode_AsEncodedString(said, "utf-8", "backslashreplace");
        if (bytes != NULL)
            snprintf(text, sizeof text, "%s", PyBytes_AsString(bytes));
        Py_XDECREF(bytes);
        Py_XDECREF(said);
        PyErr_Clear();
    }
    PyObject **classes = asks ? it->state->query_errors : it->state->model_errors;
    PyObject *class = (size_t)status < STATUS_COUNT ? classes[status] : it->state->model_exception;
    PyObject *field = it->schema == NULL ? NULL : field_in(it->schema, text), *value = NULL;
    Py_XINCREF(field);
    if (dict != NULL && asks)
        value = filter_in(dict, text, &field);
    else if (dict != NULL && field != NULL)
        value = PyDict_GetItem(dict, field);
    if (value == NULL && dict != NULL && field != NULL && !asks)
        value = Py_None;
    Py_XINCREF(value);
    core_raise(class, it->schema, field, value, status, text);
    Py_XDECREF(value);
    Py_XDECREF(field);
    return NULL;
}

/* ----- Of no model ---------------------------------------------------------------------------------------- */

PyObject *core_ping(PyObject *module, PyObject *unused) {
    core_call call;
    popoto_status status;
    (void)unused;
    if (!core_call_begin(&call, PyModule_GetState(module), NULL))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = popoto_ping(call.db);
    Py_END_ALLOW_THREADS
    PyObject *out = NULL;
    if (status == POPOTO_OK)
        out = Py_True;
    else
        core_call_fail(&call, status, false, NULL);
    Py_XINCREF(out);
    core_call_end(&call);
    return out;
}

PyObject *core_socket(PyObject *module, PyObject *unused) {
    core_call call;
    (void)unused;
    if (!core_call_begin(&call, PyModule_GetState(module), NULL))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    popoto_ping(call.db); /* an embedded server is started by its first use */
    Py_END_ALLOW_THREADS
    const char *path = popoto_socket(call.db);
    PyObject *out = path == NULL ? Py_None : PyUnicode_DecodeFSDefault(path);
    if (out == Py_None)
        Py_INCREF(out);
    core_call_end(&call);
    return out;
}
