/* module - the extension module: its functions, types and state. */
#include "core.h"

#include <string.h>

PyObject *core_refuse_new(PyTypeObject *type, PyObject *arguments, PyObject *options) {
    (void)arguments;
    (void)options;
    PyErr_Format(PyExc_TypeError, "%R is not made by calling it", (PyObject *)type);
    return NULL;
}

/* ----- State ----------------------------------------------------------------------------------------------- */

/* The exception for each status: of calls on objects, and of those that ask. */
static const struct {
    const char *model, *query;
} classes[STATUS_COUNT] = {
    [POPOTO_OK] = { "ModelException", "QueryException" },
    [POPOTO_NOT_FOUND] = { "RecordNotFoundError", "QueryException" },
    [POPOTO_EXISTS] = { "RecordExistsError", "QueryException" },
    [POPOTO_DUPLICATE] = { "DuplicateError", "QueryException" },
    [POPOTO_CHANGED] = { "RecordChangedError", "QueryException" },
    [POPOTO_SEVERAL] = { "QueryException", "QueryException" },
    [POPOTO_BAD_ARGUMENT] = { "ModelException", "QueryException" },
    [POPOTO_BAD_URL] = { "AddressError", "AddressError" },
    [POPOTO_BAD_MODEL] = { "ModelException", "ModelException" },
    [POPOTO_BAD_VALUE] = { "FieldValueError", "QueryException" },
    [POPOTO_BAD_QUERY] = { "QueryException", "QueryException" },
    [POPOTO_BAD_SCOPE] = { "ScopeError", "ScopeError" },
    [POPOTO_CORRUPT] = { "CorruptFieldError", "CorruptFieldError" },
    [POPOTO_CANNOT_CONNECT] = { "OutageError", "OutageError" },
    [POPOTO_DENIED] = { "AccessError", "AccessError" },
    [POPOTO_UNAVAILABLE] = { "ServerError", "ServerError" },
    [POPOTO_SERVER_ERROR] = { "ServerError", "ServerError" },
    [POPOTO_TIMED_OUT] = { "OutageTimeout", "OutageTimeout" },
    [POPOTO_DISCONNECTED] = { "OutageError", "OutageError" },
    [POPOTO_UNKNOWN_OUTCOME] = { "UnknownOutcomeError", "UnknownOutcomeError" },
    [POPOTO_BAD_REPLY] = { "ServerError", "ServerError" },
    [POPOTO_UNSUPPORTED] = { "UnsupportedError", "UnsupportedError" },
    [POPOTO_STOPPED] = { "ModelException", "QueryException" },
    [POPOTO_NO_MEMORY] = { "ModelException", "QueryException" },
};

static bool take(PyObject *from, const char *name, PyObject **into) {
    *into = PyObject_GetAttrString(from, name);
    return *into != NULL;
}

static bool take_exceptions(core_state *state) {
    PyObject *from = PyImport_ImportModule("popoto.exceptions");
    bool ok = from != NULL && take(from, "ModelException", &state->model_exception) &&
              take(from, "QueryException", &state->query_exception) &&
              take(from, "KeyMutationError", &state->key_mutation) &&
              take(from, "CorruptFieldError", &state->corrupt) &&
              take(from, "NotSavedError", &state->not_saved) &&
              take(from, "FieldValueError", &state->field_value);
    for (size_t i = 0; ok && i < STATUS_COUNT; i++)
        ok = take(from, classes[i].model, &state->model_errors[i]) &&
             take(from, classes[i].query, &state->query_errors[i]);
    Py_XDECREF(from);
    return ok;
}

static bool take_times(core_state *state) {
    PyObject *decimal = PyImport_ImportModule("decimal");
    PyObject *datetime = PyImport_ImportModule("datetime");
    bool ok =
        decimal != NULL && datetime != NULL && take(decimal, "Decimal", &state->decimal) &&
        take(datetime, "datetime", &state->datetime) && take(datetime, "date", &state->date) &&
        take(datetime, "time", &state->time) && take(datetime, "timezone", &state->timezone) &&
        take(datetime, "timedelta", &state->timedelta) && take(state->timezone, "utc", &state->utc);
    Py_XDECREF(decimal);
    Py_XDECREF(datetime);
    if (!ok)
        return false;
    state->epoch = PyObject_CallFunction(state->datetime, "iii", 1970, 1, 1);
    state->epoch_utc =
        PyObject_CallFunction(state->datetime, "iiiiiiiO", 1970, 1, 1, 0, 0, 0, 0, state->utc);
    return state->epoch != NULL && state->epoch_utc != NULL;
}

/* The kinds of fields, by name: KINDS["sorted"]. */
static bool add_kinds(PyObject *module) {
    static const struct {
        const char *name;
        popoto_kind kind;
    } kinds[] = {
        { "field", POPOTO_KIND_FIELD },       { "key", POPOTO_KIND_KEY },
        { "auto_key", POPOTO_KIND_AUTO_KEY }, { "unique_key", POPOTO_KIND_UNIQUE_KEY },
        { "sorted", POPOTO_KIND_SORTED },     { "confidence", POPOTO_KIND_CONFIDENCE },
        { "tenant", POPOTO_KIND_TENANT },
    };
    PyObject *dict = PyDict_New();
    bool ok = dict != NULL;
    for (size_t i = 0; ok && i < sizeof kinds / sizeof *kinds; i++) {
        PyObject *kind = PyLong_FromLong((long)kinds[i].kind);
        ok = kind != NULL && PyDict_SetItemString(dict, kinds[i].name, kind) == 0;
        Py_XDECREF(kind);
    }
    ok = ok && PyObject_SetAttrString(module, "KINDS", dict) == 0;
    Py_XDECREF(dict);
    return ok;
}

static bool add_type(PyObject *module, const char *name, PyTypeObject *type) {
    return type != NULL && PyObject_SetAttrString(module, name, (PyObject *)type) == 0;
}

static int module_exec(PyObject *module) {
    core_state *state = PyModule_GetState(module);
    memset(state, 0, sizeof *state);
    state->models = PyDict_New();
    state->schema_type = core_schema_make_type();
    state->record_type = core_record_make_type();
    state->stream_type = core_stream_make_type();
    bool ok = state->models != NULL && take_exceptions(state) && take_times(state) &&
              add_type(module, "Schema", state->schema_type) &&
              add_type(module, "Record", state->record_type) &&
              add_type(module, "Stream", state->stream_type) && add_kinds(module) &&
              PyModule_AddStringConstant(module, "VERSION", popoto_version()) == 0;
    return ok ? 0 : -1;
}

/* Every reference that the state has. */
static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    core_state *state = PyModule_GetState(module);
    if (state == NULL)
        return 0;
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        Py_VISIT(state->model_errors[i]);
        Py_VISIT(state->query_errors[i]);
    }
    Py_VISIT(state->scopes);
    Py_VISIT(state->models);
    Py_VISIT(state->schema_type);
    Py_VISIT(state->record_type);
    Py_VISIT(state->stream_type);
    return 0;
}

static int module_clear(PyObject *module) {
    core_state *state = PyModule_GetState(module);
    if (state == NULL)
        return 0;
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        Py_CLEAR(state->model_errors[i]);
        Py_CLEAR(state->query_errors[i]);
    }
    PyObject **owned[] = {
        &state->model_exception,
        &state->query_exception,
        &state->key_mutation,
        &state->corrupt,
        &state->not_saved,
        &state->field_value,
        &state->decimal,
        &state->datetime,
        &state->date,
        &state->time,
        &state->timezone,
        &state->timedelta,
        &state->utc,
        &state->epoch,
        &state->epoch_utc,
        &state->scopes,
        &state->url,
        &state->models,
    };
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        Py_CLEAR(*owned[i]);
    Py_CLEAR(state->schema_type);
    Py_CLEAR(state->record_type);
    Py_CLEAR(state->stream_type);
    return 0;
}

static void module_free(void *module) {
    core_state *state = PyModule_GetState(module);
    if (state == NULL)
        return;
    for (int dialect = 0; dialect < DIALECT_COUNT; dialect++)
        while (state->idle_count[dialect] > 0)
            popoto_close(state->idle[dialect][--state->idle_count[dialect]].db);
    module_clear(module);
}

/* ----- Functions --------------------------------------------------------------------------------------------- */

/* set_scopes(get): what gives a context's scopes. */
static PyObject *set_scopes(PyObject *module, PyObject *get) {
    core_state *state = PyModule_GetState(module);
    Py_INCREF(get);
    CORE_SET(state->scopes, get);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    { "schema", core_make_schema, METH_VARARGS, "schema(name, fields, ttl, dialect)" },
    { "configure", core_configure, METH_O, "Use the server at this address from now on." },
    { "close", core_close, METH_NOARGS, "Close the connections that no call uses now." },
    { "url", core_url, METH_NOARGS, "The address of the server." },
    { "socket", core_socket, METH_NOARGS, "The Unix socket of the server, or None." },
    { "ping", core_ping, METH_NOARGS, "One round trip to the server." },
    { "set_scopes", set_scopes, METH_O, NULL },
    { NULL, NULL, 0, NULL },
};

static PyModuleDef_Slot slots[] = {
    { Py_mod_exec, module_exec },
    { 0, NULL },
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "popoto._core",
    .m_doc = "What of popoto is written in C.",
    .m_size = sizeof(core_state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&definition);
}
