/* schema - a model as the core knows it: from what the metaclass says of a class's fields to a
 * popoto_model, and what values a field takes.
 *
 * Connections know a model by its address, so the description of one lives as long as the process. A
 * class that is defined again as it was has the same one: state->models finds it by what describes it. */
#include "core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----- The description ------------------------------------------------------------------------------ */

/* A popoto_model with its fields, and the names that they point at. */
typedef struct description {
    popoto_model model;
    popoto_field fields[];
} description;

#define CAPSULE "popoto._core.model"

static char *text_copy(PyObject *text) {
    PyObject *bytes = PyUnicode_AsUTF8String(text);
    char *data;
    Py_ssize_t size;
    char *copy = NULL;
    if (bytes != NULL && PyBytes_AsStringAndSize(bytes, &data, &size) == 0 &&
        strlen(data) == (size_t)size) {
        copy = malloc((size_t)size + 1);
        if (copy != NULL)
            memcpy(copy, data, (size_t)size + 1);
        else
            PyErr_NoMemory();
    } else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "a name holds no NUL");
    }
    Py_XDECREF(bytes);
    return copy;
}

static void free_description(description *it, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)it->fields[i].name);
        free((void *)(uintptr_t)it->fields[i].partition_by);
        if (it->fields[i].default_value.type == POPOTO_TEXT ||
            it->fields[i].default_value.type == POPOTO_DECIMAL)
            free((void *)(uintptr_t)it->fields[i].default_value.as.text.data);
    }
    free((void *)(uintptr_t)it->model.name);
    free(it);
}

/* A default that stored records without the field have, too: of those types that the library copies by
 * themselves. The others are given by the schema to new objects alone. */
static bool set_default(popoto_field *it, core_state *state, PyObject *value) {
    core_memory memory;
    popoto_value given;
    core_memory_init(&memory, state);
    bool ok = core_value_from(&memory, value, &given);
    if (ok && (given.type == POPOTO_TEXT || given.type == POPOTO_DECIMAL)) {
        char *copy = malloc(given.as.text.size + 1);
        if (copy == NULL) {
            PyErr_NoMemory();
            ok = false;
        } else {
            memcpy(copy, given.as.text.data, given.as.text.size);
            copy[given.as.text.size] = '\0';
            given.as.text.data = copy;
        }
    }
    core_memory_free(&memory);
    if (ok && given.type != POPOTO_BYTES && given.type < POPOTO_LIST)
        it->default_value = given;
    return ok;
}

/* What a stored record without the field is read as where the default comes from a call, or is a copy for each
 * object: it stands for that call. */
static const popoto_value lacking[1];

bool core_is_lacking(const popoto_value *value) {
    return value->type >= POPOTO_LIST && value->as.list.items == lacking;
}

/* (name, kind, type, nullable, how, default, max_length, partition_by, initial, cap, ulid), as
 * Field._described gives it. */
static bool describe_field(core_state *state, PyObject *given, popoto_field *it,
                           core_field *field) {
    PyObject *name, *type, *fallback, *partition;
    int kind, null, how, ulid;
    Py_ssize_t max_length;
    double initial;
    long long cap;
    if (!PyArg_ParseTuple(given, "UiOpiOnOdLp:Schema", &name, &kind, &type, &null, &how, &fallback,
                          &max_length, &partition, &initial, &cap, &ulid))
        return false;
    field->name = name;
    Py_INCREF(name);
    PyUnicode_InternInPlace(&field->name);
    field->type = type;
    Py_INCREF(type);
    field->code = core_type_of(state, type);
    field->kind = (popoto_kind)kind;
    field->how = (core_fallback)how;
    field->fallback = fallback;
    Py_INCREF(fallback);
    field->max_length = max_length;
    field->null = null;
    field->is_key = kind == POPOTO_KIND_KEY || kind == POPOTO_KIND_AUTO_KEY ||
                    kind == POPOTO_KIND_UNIQUE_KEY || kind == POPOTO_KIND_TENANT;
    it->name = text_copy(name);
    it->kind = field->kind;
    it->type = field->code;
    it->null = null;
    if (it->name == NULL)
        return false;
    if (partition != Py_None && (it->partition_by = text_copy(partition)) == NULL)
        return false;
    if (field->kind == POPOTO_KIND_CONFIDENCE) {
        it->initial_confidence = initial == 0 ? POPOTO_ZERO : initial;
        it->evidence_cap = cap;
    }
    if (field->kind == POPOTO_KIND_AUTO_KEY)
        it->generate = ulid ? POPOTO_ULID : POPOTO_UUID4;
    it->keep_null = true; /* record_init gives the default, where no None was given */
    if (field->kind == POPOTO_KIND_FIELD && field->how == FALLBACK_VALUE)
        return set_default(it, state, fallback);
    if (field->kind == POPOTO_KIND_FIELD && field->how == FALLBACK_CALL &&
        (field->code == POPOTO_LIST || field->code == POPOTO_TUPLE || field->code == POPOTO_SET ||
         field->code == POPOTO_MAP))
        it->default_value = popoto_of_items(field->code, (popoto_value *)(uintptr_t)lacking, 0);
    return true;
}

/* The struct: first what the library remembers, then the fields, one behind the other. */
static void lay_out(popoto_model *model, popoto_field *fields, core_field *ours) {
    size_t at = sizeof(popoto_object);
    for (size_t i = 0; i < model->field_count; i++) {
        bool generated = fields[i].kind == POPOTO_KIND_AUTO_KEY;
        fields[i].member = generated ? POPOTO_MEMBER_ID : POPOTO_MEMBER_VALUE;
        fields[i].size = generated ? sizeof(popoto_id) : sizeof(popoto_value);
        fields[i].offset = ours[i].offset = at;
        at += (fields[i].size + 7) / 8 * 8;
    }
    model->size = at;
}

/* The one with this description that is there already, or this one from now on. */
static const popoto_model *share(core_state *state, PyObject *describes, description *it) {
    PyObject *known = PyDict_GetItemWithError(state->models, describes);
    if (known == NULL && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Clear(); /* a default that cannot be looked up: such a model is always another one */
    if (known != NULL) {
        free_description(it, it->model.field_count);
        return PyCapsule_GetPointer(known, CAPSULE);
    }
    if (PyErr_Occurred()) {
        free_description(it, it->model.field_count);
        return NULL;
    }
    PyObject *capsule = PyCapsule_New(it, CAPSULE, NULL);
    if (capsule != NULL && PyDict_SetItem(state->models, describes, capsule) < 0)
        PyErr_Clear(); /* the same */
    Py_XDECREF(capsule);
    if (capsule == NULL) {
        free_description(it, it->model.field_count);
        return NULL;
    }
    return &it->model;
}

/* All that the library's model depends on, to be looked up. */
static PyObject *describing(const core_schema *it, const popoto_model *model, PyObject *name,
                            Py_ssize_t ttl) {
    PyObject *out = PyTuple_New((Py_ssize_t)model->field_count + 1);
    PyObject *head = Py_BuildValue("(On)", name, ttl);
    if (out == NULL || head == NULL) {
        Py_XDECREF(out);
        Py_XDECREF(head);
        return NULL;
    }
    PyTuple_SetItem(out, 0, head);
    for (size_t i = 0; i < model->field_count; i++) {
        const popoto_field *field = &model->fields[i];
        PyObject *fallback = field->default_value.type == POPOTO_NULL ? Py_None
                             : it->fields[i].how == FALLBACK_CALL     ? Py_True
                                                                      : it->fields[i].fallback;
        PyObject *one =
            Py_BuildValue("(OiiizdLiOO)", it->fields[i].name, (int)field->kind, (int)field->type,
                          (int)field->null, field->partition_by, field->initial_confidence,
                          (long long)field->evidence_cap, (int)field->generate,
                          (PyObject *)Py_TYPE(fallback), fallback);
        if (one == NULL) {
            Py_DECREF(out);
            return NULL;
        }
        PyTuple_SetItem(out, (Py_ssize_t)i + 1, one);
    }
    return out;
}

/* ----- The schema -------------------------------------------------------------------------------------- */

static void mark_partitions(core_schema *it) {
    for (size_t i = 0; i < it->field_count; i++) {
        const char *list = it->model->fields[i].partition_by;
        while (list != NULL && *list != '\0') {
            size_t size = strcspn(list, ",");
            size_t found = core_schema_find(it, list, size);
            if (found < it->field_count)
                it->fields[found].identifies = true;
            list += size + (list[size] == ',');
        }
    }
}

static bool schema_fill(core_schema *it, PyObject *name, PyObject *fields, Py_ssize_t ttl) {
    size_t count = (size_t)PyTuple_Size(fields);
    it->fields = PyMem_Calloc(count ? count : 1, sizeof *it->fields);
    it->keys = PyMem_Calloc(count ? count : 1, sizeof *it->keys);
    it->lookups = PyDict_New();
    description *described =
        calloc(1, sizeof *described + (count ? count : 1) * sizeof(popoto_field));
    if (it->fields == NULL || it->keys == NULL || described == NULL) {
        PyErr_NoMemory();
        free(described);
        return false;
    }
    bool ok = it->lookups != NULL && (described->model.name = text_copy(name)) != NULL;
    it->field_count = count; /* all zero so far, and released with the schema */
    for (size_t i = 0; ok && i < count; i++)
        ok = describe_field(it->state, PyTuple_GetItem(fields, (Py_ssize_t)i),
                            &described->fields[i], &it->fields[i]);
    if (!ok) {
        free_description(described, count);
        return false;
    }
    described->model.fields = described->fields;
    described->model.field_count = count;
    described->model.time_to_live = (uint32_t)ttl;
    lay_out(&described->model, described->fields, it->fields);
    PyObject *describes = describing(it, &described->model, name, ttl);
    if (describes == NULL) {
        free_description(described, count);
        return false;
    }
    it->model = share(it->state, describes, described);
    Py_DECREF(describes);
    if (it->model == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        it->fields[i].identifies = it->fields[i].is_key;
        if (it->fields[i].is_key)
            it->keys[it->key_count++] = i;
    }
    mark_partitions(it);
    return true;
}

/* schema(name, fields, ttl, dialect), the module's function. */
PyObject *core_make_schema(PyObject *module, PyObject *arguments) {
    core_state *state = PyModule_GetState(module);
    PyObject *name, *fields;
    Py_ssize_t ttl;
    int dialect;
    if (!PyArg_ParseTuple(arguments, "UO!ni:schema", &name, &PyTuple_Type, &fields, &ttl, &dialect))
        return NULL;
    if (dialect < 0 || dialect >= DIALECT_COUNT || ttl < 0 || ttl > (Py_ssize_t)UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a dialect or a time to live that there is not");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(state->schema_type, Py_tp_alloc);
    core_schema *it = (core_schema *)allocate(state->schema_type, 0);
    if (it == NULL)
        return NULL;
    it->state = state;
    it->module = module;
    Py_INCREF(module);
    it->dialect = dialect;
    if (!schema_fill(it, name, fields, ttl)) {
        Py_DECREF(it);
        return NULL;
    }
    return (PyObject *)it;
}

/* bind(cls, hooks): the class of its objects. */
static PyObject *schema_bind(PyObject *self, PyObject *arguments) {
    core_schema *it = (core_schema *)self;
    PyObject *class, *hooks;
    if (!PyArg_ParseTuple(arguments, "O!O!:bind", &PyType_Type, &class, &PyTuple_Type, &hooks))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)class, it->state->record_type)) {
        PyErr_SetString(PyExc_TypeError, "the class of a schema is a Record");
        return NULL;
    }
    Py_INCREF(class);
    CORE_SET(it->class, class);
    it->allocate = (allocfunc)PyType_GetSlot((PyTypeObject *)class, Py_tp_alloc);
    PyObject *wanted = PyTuple_Size(hooks) > 0 ? hooks : NULL;
    Py_XINCREF(wanted);
    CORE_SET(it->hooks, wanted);
    Py_RETURN_NONE;
}

/* check(): whether the library can have such a model. An exception says why not. */
static PyObject *schema_check(PyObject *self, PyObject *unused) {
    core_schema *it = (core_schema *)self;
    core_call call;
    (void)unused;
    if (!core_call_begin(&call, it->state, it))
        return NULL;
    popoto_status status = popoto_model_check(call.db, it->model);
    PyObject *out = status == POPOTO_OK ? Py_None : core_call_fail(&call, status, false, NULL);
    Py_XINCREF(out);
    core_call_end(&call);
    return out;
}

static int schema_traverse(PyObject *self, visitproc visit, void *arg) {
    core_schema *it = (core_schema *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(it->module);
    Py_VISIT(it->class);
    Py_VISIT(it->hooks);
    Py_VISIT(it->lookups);
    for (size_t i = 0; it->fields != NULL && i < it->field_count; i++) {
        Py_VISIT(it->fields[i].type);
        Py_VISIT(it->fields[i].fallback);
    }
    return 0;
}

static int schema_clear(PyObject *self) {
    core_schema *it = (core_schema *)self;
    Py_CLEAR(it->class);
    Py_CLEAR(it->hooks);
    Py_CLEAR(it->lookups);
    for (size_t i = 0; it->fields != NULL && i < it->field_count; i++)
        Py_CLEAR(it->fields[i].fallback);
    return 0;
}

static void schema_dealloc(PyObject *self) {
    core_schema *it = (core_schema *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    schema_clear(self);
    for (size_t i = 0; it->fields != NULL && i < it->field_count; i++) {
        Py_XDECREF(it->fields[i].name);
        Py_XDECREF(it->fields[i].type);
    }
    PyMem_Free(it->fields);
    PyMem_Free(it->keys);
    Py_XDECREF(it->module);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef schema_methods[] = {
    { "bind", schema_bind, METH_VARARGS, NULL },
    { "check", schema_check, METH_NOARGS, NULL },
    { "save_many", core_schema_save_many, METH_O, NULL },
    { "delete_many", core_schema_delete_many, METH_O, NULL },
    { "query", core_schema_query, METH_VARARGS, NULL },
    { "count", core_schema_count, METH_VARARGS, NULL },
    { "keys", core_schema_keys, METH_VARARGS, NULL },
    { "load_keys", core_schema_load_keys, METH_VARARGS, NULL },
    { "stream", core_schema_stream, METH_VARARGS, NULL },
    { "tenants", core_schema_tenants, METH_NOARGS, NULL },
    { "confidence_update_many", core_schema_confidence_update_many, METH_VARARGS, NULL },
    { "confidence_scan", core_schema_confidence_scan, METH_VARARGS, NULL },
    { "confidence_key", core_schema_confidence_key, METH_VARARGS, NULL },
    { "confidence_migrate", core_schema_confidence_migrate, METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL },
};

PyTypeObject *core_schema_make_type(void) {
    static PyType_Slot slots[] = {
        { Py_tp_doc, "A model as the core knows it." },
        { Py_tp_traverse, schema_traverse },
        { Py_tp_clear, schema_clear },
        { Py_tp_dealloc, schema_dealloc },
        { Py_tp_methods, schema_methods },
        { Py_tp_new, core_refuse_new },
        { 0, NULL },
    };
    static PyType_Spec spec = {
        .name = "popoto._core.Schema",
        .basicsize = sizeof(core_schema),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
        .slots = slots,
    };
    return (PyTypeObject *)PyType_FromSpec(&spec);
}

bool core_is_schema(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    return (PyType_GetFlags(type) & Py_TPFLAGS_HEAPTYPE) != 0 &&
           PyType_GetSlot(type, Py_tp_dealloc) == (void *)schema_dealloc;
}

/* ----- Fields ------------------------------------------------------------------------------------------ */

size_t core_schema_find(core_schema *it, const char *name, size_t size) {
    for (size_t i = 0; i < it->field_count; i++)
        if (strncmp(it->model->fields[i].name, name, size) == 0 &&
            it->model->fields[i].name[size] == '\0')
            return i;
    return it->field_count;
}

/* "Episode.score takes a float, not 'x' (str)", or "Episode.score cannot be 'x': why". */
static PyObject *refuse(core_schema *it, core_field *field, PyObject *given, const char *why) {
    PyErr_Clear();
    PyObject *shown = PyObject_Repr(given);
    PyObject *cut = shown == NULL ? NULL : PyUnicode_Substring(shown, 0, 100);
    PyObject *class = PyObject_GetAttrString((PyObject *)Py_TYPE(given), "__name__");
    PyObject *text = NULL;
    if (cut != NULL && class != NULL)
        text = why == NULL
                   ? PyUnicode_FromFormat("%s.%U takes %s, not %U (%S)", it->model->name,
                                          field->name, core_type_words(field->code), cut, class)
                   : PyUnicode_FromFormat("%s.%U cannot be %U: %s", it->model->name, field->name,
                                          cut, why);
    PyObject *bytes =
        text == NULL ? NULL : PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (bytes != NULL)
        core_raise(it->state->field_value, it, field->name, given, POPOTO_BAD_VALUE,
                   PyBytes_AsString(bytes));
    PyObject *owned[] = { bytes, text, class, cut, shown };
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        Py_XDECREF(owned[i]);
    return NULL;
}

static PyObject *check_length(core_schema *it, core_field *field, PyObject *taken) {
    if (field->max_length < 0 || !PyUnicode_Check(taken))
        return taken;
    Py_ssize_t length = PyUnicode_GetLength(taken);
    bool generated = field->kind == POPOTO_KIND_AUTO_KEY;
    if (generated ? length == 0 || length == field->max_length : length <= field->max_length)
        return taken;
    char why[80];
    snprintf(why, sizeof why, "%s %lld characters", generated ? "it has exactly" : "it has at most",
             (long long)field->max_length);
    refuse(it, field, taken, why);
    Py_DECREF(taken);
    return NULL;
}

PyObject *core_field_accept(core_schema *it, core_field *field, PyObject *given) {
    if (given == Py_None || (PyObject *)Py_TYPE(given) == field->type) {
        Py_INCREF(given);
        return check_length(it, field, given);
    }
    int is = PyObject_IsInstance(given, field->type);
    if (is < 0)
        return NULL;
    /* A moment is an instance of date, too, and would lose nothing but its time. */
    if (is == 1 && field->code == POPOTO_DAY &&
        PyObject_IsInstance(given, it->state->datetime) == 1)
        return PyObject_CallMethod(given, "date", NULL);
    if (is == 1) {
        Py_INCREF(given);
        return check_length(it, field, given);
    }
    PyObject *taken = PyObject_CallFunctionObjArgs(field->type, given, NULL);
    if (taken != NULL)
        return check_length(it, field, taken);
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError) &&
        !PyErr_ExceptionMatches(PyExc_ArithmeticError))
        return NULL;
    return refuse(it, field, given, NULL);
}
