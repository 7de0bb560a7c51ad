/* query - queries: filters in, lists of objects, dictionaries, keys, a count or a stream out. */
#include "core.h"

#include <stdio.h>
#include <string.h>

/* ----- Filters -------------------------------------------------------------------------------------------- */

/* The field that "score__gte" is about; NULL: none, or the lookup's value is none of the field's type. */
static core_field *field_of_lookup(core_schema *it, PyObject *lookup, const char *text) {
    PyObject *known = PyDict_GetItemWithError(it->lookups, lookup);
    if (known == NULL) {
        if (PyErr_Occurred())
            return NULL;
        const char *end = strstr(text, "__");
        size_t size = end == NULL ? strlen(text) : (size_t)(end - text);
        size_t found = core_schema_find(it, text, size);
        static const char *const texts[] = { "__isnull", "__startswith", "__endswith",
                                             "__contains" };
        for (size_t i = 0; end != NULL && i < sizeof texts / sizeof *texts; i++)
            if (strcmp(end, texts[i]) == 0)
                found = it->field_count;
        if (found == it->field_count)
            return NULL;
        known = PyLong_FromSize_t(found);
        int failed = known == NULL || PyDict_SetItem(it->lookups, lookup, known) < 0;
        Py_XDECREF(known);
        return failed ? NULL : &it->fields[found];
    }
    return &it->fields[PyLong_AsSize_t(known)];
}

/* A value to compare with: of the field's type where it can be converted, as objects' values are; else the
 * library says what is wrong with it. */
static bool compared(core_call *call, core_field *field, PyObject *given, popoto_value *out) {
    if (field == NULL || given == Py_None)
        return core_value_from(&call->memory, given, out);
    PyObject *taken = NULL;
    if ((PyObject *)Py_TYPE(given) == field->type) {
        taken = given;
        Py_INCREF(taken);
    } else {
        int is = PyObject_IsInstance(given, field->type);
        if (is < 0)
            return false;
        /* A number for a number is compared as it is: 1.5 is above 1 in a field of ints. */
        bool number = PyFloat_Check(given) || PyLong_Check(given);
        if (is == 1 || (number && field->code != POPOTO_FLOAT && field->code != POPOTO_DECIMAL &&
                        field->code != POPOTO_TEXT)) {
            taken = given;
            Py_INCREF(taken);
        } else {
            taken = PyObject_CallFunctionObjArgs(field->type, given, NULL);
        }
    }
    if (taken == NULL) {
        PyErr_Clear();
        return core_value_from(&call->memory, given, out);
    }
    bool exact = PyObject_IsInstance(taken, field->type) == 1;
    bool ok = core_memory_keep(&call->memory, taken) &&
              (exact ? core_value_typed(&call->memory, field->code, taken, out)
                     : core_value_from(&call->memory, taken, out));
    return ok;
}

static bool compared_list(core_call *call, core_field *field, const char *lookup, PyObject *given,
                          popoto_value *out) {
    PyObject *list = PySequence_List(given);
    if (list == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        bool between = strcmp(strstr(lookup, "__"), "__between") == 0;
        PyErr_Clear();
        PyObject *text =
            PyUnicode_FromFormat("%s.%s takes %s, not %R", call->schema->model->name, lookup,
                                 between ? "two values" : "a list of values", given);
        PyObject *bytes =
            text == NULL ? NULL : PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
        if (bytes != NULL)
            core_raise(call->state->query_exception, call->schema, field ? field->name : NULL,
                       given, POPOTO_BAD_QUERY, PyBytes_AsString(bytes));
        Py_XDECREF(bytes);
        Py_XDECREF(text);
    }
    if (list == NULL || !core_memory_keep(&call->memory, list))
        return false;
    size_t count = (size_t)PyList_Size(list);
    popoto_value *items = core_memory_block(&call->memory, count, sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!compared(call, field, PyList_GetItem(list, (Py_ssize_t)i), &items[i]))
            return false;
    *out = popoto_of_items(POPOTO_LIST, items, count);
    return true;
}

static bool takes_list(const char *lookup) {
    const char *end = strstr(lookup, "__");
    return end != NULL && (strcmp(end, "__in") == 0 || strcmp(end, "__between") == 0);
}

/* What could not even be put into a filter is a fault of the query. */
static bool refuse(core_call *call, core_field *field, PyObject *given) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError))
        return false;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *text = PyUnicode_FromFormat("%s%s%S: %S", call->schema->model->name, field ? "." : "",
                                          field ? field->name : type, value ? value : type);
    PyObject *bytes =
        text == NULL ? NULL : PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (bytes != NULL)
        core_raise(call->state->query_exception, call->schema, field ? field->name : NULL, given,
                   POPOTO_BAD_QUERY, PyBytes_AsString(bytes));
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return false;
}

bool core_filters_from(core_call *call, PyObject *given, popoto_filter **filters, size_t *count) {
    Py_ssize_t at = 0;
    PyObject *lookup, *value;
    size_t room = (size_t)PyDict_Size(given);
    *count = 0;
    *filters = core_memory_block(&call->memory, room, sizeof **filters);
    if (*filters == NULL)
        return false;
    PyObject *copy = PyDict_Copy(given); /* converting a value may run anything */
    if (copy == NULL || !core_memory_keep(&call->memory, copy))
        return false;
    while (*count < room && PyDict_Next(copy, &at, &lookup, &value)) {
        PyObject *bytes = PyUnicode_AsUTF8String(lookup);
        char *text;
        if (bytes == NULL || !core_memory_keep(&call->memory, bytes) ||
            PyBytes_AsStringAndSize(bytes, &text, NULL) < 0)
            return false;
        popoto_filter *filter = &(*filters)[(*count)++];
        core_field *field = field_of_lookup(call->schema, lookup, text);
        if (field == NULL && PyErr_Occurred())
            return false;
        filter->lookup = text;
        bool list = takes_list(text) && !PyUnicode_Check(value) && !PyBytes_Check(value);
        if (!(list ? compared_list(call, field, text, value, &filter->value)
                   : compared(call, field, value, &filter->value)))
            return refuse(call, field, value);
    }
    return true;
}

/* A query that a call makes: (filters, order_by, limit, offset, all_tenants, allow_scan). */
typedef struct asked {
    core_call call;
    popoto_query_desc desc;
    PyObject *values;  /* the names to give; NULL: objects */
    PyObject *filters; /* as they were given, for exceptions */
} asked;

static const char *text_from(core_call *call, PyObject *given) {
    PyObject *bytes = PyUnicode_AsUTF8String(given);
    return bytes != NULL && core_memory_keep(&call->memory, bytes) ? PyBytes_AsString(bytes) : NULL;
}

static bool ask(asked *it, core_schema *schema, PyObject *arguments, const char *format) {
    PyObject *filters, *order_by, *values = Py_None;
    Py_ssize_t limit, offset;
    int all_tenants, allow_scan;
    memset(it, 0, sizeof *it);
    if (!PyArg_ParseTuple(arguments, format, &PyDict_Type, &filters, &order_by, &limit, &offset,
                          &all_tenants, &allow_scan, &values))
        return false;
    if (!core_call_begin(&it->call, schema->state, schema))
        return false;
    it->desc = (popoto_query_desc){
        .model = schema->model,
        .limit = limit < 0 ? 0 : (size_t)limit,
        .offset = offset < 0 ? 0 : (size_t)offset,
        .all_tenants = all_tenants,
        .allow_scan = allow_scan,
    };
    bool ok = true;
    if (order_by != Py_None)
        ok = (it->desc.order_by = text_from(&it->call, order_by)) != NULL;
    if (ok && values != Py_None) {
        PyObject *comma = PyUnicode_FromString(",");
        PyObject *joined = comma == NULL ? NULL : PyUnicode_Join(comma, values);
        Py_XDECREF(comma);
        ok = joined != NULL && (it->desc.fields = text_from(&it->call, joined)) != NULL;
        Py_XDECREF(joined);
        it->values = values;
    }
    popoto_filter *given = NULL;
    it->filters = filters;
    ok = ok && core_filters_from(&it->call, filters, &given, &it->desc.filter_count);
    it->desc.filters = given;
    if (ok)
        return true;
    core_call_end(&it->call);
    return false;
}

/* ----- Rows ------------------------------------------------------------------------------------------------- */

/* {"title": ..., ...}: the named fields. */
static PyObject *chosen_from_row(core_schema *schema, const size_t *chosen, size_t count,
                                 const void *row) {
    PyObject *out = PyDict_New();
    for (size_t i = 0; out != NULL && i < count; i++) {
        core_field *field = &schema->fields[chosen[i]];
        PyObject *value = core_field_value(schema, field, row);
        if (value == NULL || PyDict_SetItem(out, field->name, value) < 0)
            Py_CLEAR(out);
        Py_XDECREF(value);
    }
    return out;
}

static PyObject *list_of_rows(asked *it, popoto_rows *rows) {
    core_schema *schema = it->call.schema;
    size_t count = popoto_rows_count(rows), chosen_count = 0, *chosen = NULL;
    if (it->values != NULL) {
        chosen_count = (size_t)PySequence_Size(it->values);
        chosen = core_memory_block(&it->call.memory, chosen_count, sizeof *chosen);
        for (size_t i = 0; chosen != NULL && i < chosen_count; i++) {
            PyObject *name = PySequence_GetItem(it->values, (Py_ssize_t)i);
            const char *text = name == NULL ? NULL : text_from(&it->call, name);
            Py_XDECREF(name);
            if (text == NULL)
                return NULL;
            chosen[i] = core_schema_find(schema, text, strlen(text));
        }
        if (chosen == NULL)
            return NULL;
    }
    PyObject *out = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; out != NULL && i < count; i++) {
        void *row = popoto_rows_at(rows, i);
        PyObject *one = chosen ? chosen_from_row(schema, chosen, chosen_count, row)
                               : core_record_from_row(schema, row);
        if (one == NULL)
            Py_CLEAR(out);
        else
            PyList_SetItem(out, (Py_ssize_t)i, one);
    }
    return out;
}

/* Some stored records do not fit the model: an exception that lists them, and has the others. */
static void raise_corrupt(core_call *call, popoto_rows *rows, PyObject *others) {
    core_call_fail(call, POPOTO_CORRUPT, true, NULL);
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    size_t count = popoto_rows_problem_count(rows);
    PyObject *problems = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; problems != NULL && i < count; i++) {
        const char *text = popoto_rows_problem(rows, i);
        PyObject *one = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
        if (one == NULL)
            Py_CLEAR(problems);
        else
            PyList_SetItem(problems, (Py_ssize_t)i, one);
    }
    bool ok = value != NULL && problems != NULL && others != NULL &&
              PyObject_SetAttrString(value, "problems", problems) == 0 &&
              PyObject_SetAttrString(value, "rows", others) == 0;
    Py_XDECREF(problems);
    if (ok) {
        PyErr_Restore(type, value, trace);
        return;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

static PyObject *take_rows(asked *it, popoto_status status, popoto_rows *rows) {
    PyObject *out = NULL;
    if (status == POPOTO_OK || status == POPOTO_CORRUPT)
        out = list_of_rows(it, rows);
    if (status == POPOTO_CORRUPT && out != NULL) {
        raise_corrupt(&it->call, rows, out);
        Py_CLEAR(out);
    } else if (status != POPOTO_OK && status != POPOTO_CORRUPT) {
        core_call_fail(&it->call, status, true, it->filters);
    }
    popoto_rows_free(rows);
    core_call_end(&it->call);
    return out;
}

/* query(filters, order_by, limit, offset, all_tenants, allow_scan, values or None): a list. */
PyObject *core_schema_query(PyObject *self, PyObject *arguments) {
    asked it;
    popoto_rows *rows = NULL;
    popoto_status status;
    if (!ask(&it, (core_schema *)self, arguments, "O!OnnppO:query"))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = popoto_query(it.call.db, &it.desc, &rows);
    Py_END_ALLOW_THREADS
    return take_rows(&it, status, rows);
}

/* count(filters, order_by, limit, offset, all_tenants, allow_scan) */
PyObject *core_schema_count(PyObject *self, PyObject *arguments) {
    asked it;
    size_t count;
    popoto_status status;
    if (!ask(&it, (core_schema *)self, arguments, "O!Onnpp:count"))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = popoto_count(it.call.db, &it.desc, &count);
    Py_END_ALLOW_THREADS
    PyObject *out = NULL;
    if (status == POPOTO_OK)
        out = PyLong_FromSize_t(count);
    else
        core_call_fail(&it.call, status, true, it.filters);
    core_call_end(&it.call);
    return out;
}

/* ----- Keys ---------------------------------------------------------------------------------------------------- */

static PyObject *key_of_row(core_call *call, const void *row) {
    popoto_text key;
    popoto_status status = popoto_key(call->db, call->schema->model, row, &key);
    if (status != POPOTO_OK)
        return core_call_fail(call, status, true, NULL);
    PyObject *out = PyBytes_FromStringAndSize(key.data, (Py_ssize_t)key.size);
    popoto_free(call->db, key.data);
    return out;
}

/* keys(filters, order_by, limit, offset, all_tenants, allow_scan): a list of bytes. */
PyObject *core_schema_keys(PyObject *self, PyObject *arguments) {
    core_schema *schema = (core_schema *)self;
    asked it;
    popoto_rows *rows = NULL;
    popoto_status status;
    if (!ask(&it, schema, arguments, "O!Onnpp:keys"))
        return NULL;
    it.desc.fields = schema->model->fields[schema->keys[0]].name;
    Py_BEGIN_ALLOW_THREADS
    status = popoto_query(it.call.db, &it.desc, &rows);
    Py_END_ALLOW_THREADS
    PyObject *out = NULL;
    if (status == POPOTO_OK)
        out = PyList_New((Py_ssize_t)popoto_rows_count(rows));
    else
        core_call_fail(&it.call, status, true, it.filters);
    for (size_t i = 0; out != NULL && i < popoto_rows_count(rows); i++) {
        PyObject *key = key_of_row(&it.call, popoto_rows_at(rows, i));
        if (key == NULL)
            Py_CLEAR(out);
        else
            PyList_SetItem(out, (Py_ssize_t)i, key);
    }
    popoto_rows_free(rows);
    core_call_end(&it.call);
    return out;
}

static bool keys_from(core_call *call, PyObject *given, popoto_text **keys, size_t *count) {
    PyObject *list = PySequence_List(given);
    if (list == NULL || !core_memory_keep(&call->memory, list))
        return false;
    *count = (size_t)PyList_Size(list);
    *keys = core_memory_block(&call->memory, *count, sizeof **keys);
    for (size_t i = 0; *keys != NULL && i < *count; i++) {
        PyObject *key = PyList_GetItem(list, (Py_ssize_t)i);
        char *data;
        Py_ssize_t size;
        PyObject *bytes = key;
        if (PyUnicode_Check(key)) {
            bytes = PyUnicode_AsEncodedString(key, "utf-8", "surrogateescape");
            if (bytes == NULL || !core_memory_keep(&call->memory, bytes))
                return false;
        }
        if (PyBytes_AsStringAndSize(bytes, &data, &size) < 0)
            return false;
        (*keys)[i] = (popoto_text){ data, (size_t)size };
    }
    return *keys != NULL;
}

/* In the place of every key its object, or None where there is none. */
static PyObject *in_places(core_call *call, popoto_rows *rows, const popoto_text *keys,
                           size_t count) {
    PyObject *out = PyList_New((Py_ssize_t)count);
    size_t at = 0, there = popoto_rows_count(rows);
    for (size_t i = 0; out != NULL && i < count; i++) {
        PyObject *one = Py_None;
        void *row = popoto_rows_at(rows, at);
        bool here = there == count;
        if (row != NULL && !here) {
            PyObject *key = key_of_row(call, row);
            char *data;
            Py_ssize_t size;
            if (key == NULL || PyBytes_AsStringAndSize(key, &data, &size) < 0) {
                Py_XDECREF(key);
                Py_DECREF(out);
                return NULL;
            }
            here = (size_t)size == keys[i].size && memcmp(data, keys[i].data, (size_t)size) == 0;
            Py_DECREF(key);
        }
        if (here && row != NULL) {
            one = core_record_from_row(call->schema, row);
            at++;
        } else {
            Py_INCREF(one);
        }
        if (one == NULL)
            Py_CLEAR(out);
        else
            PyList_SetItem(out, (Py_ssize_t)i, one);
    }
    if (out != NULL && at < there) {
        char text[512];
        snprintf(text, sizeof text,
                 "a %s was found under another key than its fields give: it was probably written "
                 "in another dialect (see POPOTO_DIALECT, and dialect in its Meta)",
                 call->schema->model->name);
        core_raise(call->state->query_exception, call->schema, NULL, NULL, POPOTO_CORRUPT, text);
        Py_CLEAR(out);
    }
    return out;
}

/* load_keys(keys): a list, with None for those that are not there. */
PyObject *core_schema_load_keys(PyObject *self, PyObject *arguments) {
    core_schema *schema = (core_schema *)self;
    core_call call;
    PyObject *given, *out = NULL;
    popoto_text *keys;
    size_t count;
    if (!PyArg_ParseTuple(arguments, "O:load_keys", &given) ||
        !core_call_begin(&call, schema->state, schema))
        return NULL;
    if (keys_from(&call, given, &keys, &count)) {
        popoto_rows *rows = NULL;
        popoto_status status;
        Py_BEGIN_ALLOW_THREADS
        status = popoto_load_keys(call.db, schema->model, keys, count, &rows);
        Py_END_ALLOW_THREADS
        if (status == POPOTO_OK || status == POPOTO_CORRUPT)
            out = in_places(&call, rows, keys, count);
        if (status == POPOTO_CORRUPT && out != NULL) {
            raise_corrupt(&call, rows, out);
            Py_CLEAR(out);
        } else if (status != POPOTO_OK && status != POPOTO_CORRUPT) {
            core_call_fail(&call, status, true, NULL);
        }
        popoto_rows_free(rows);
    }
    core_call_end(&call);
    return out;
}

/* ----- Streams ------------------------------------------------------------------------------------------------ */

/* An iterator over a query of any size. It keeps a connection until it ends. */
typedef struct core_stream {
    PyObject_HEAD core_schema *schema;
    core_call call; /* its db, and what its filters point at; scopes are for opening alone */
    popoto_stream *stream;
    bool busy; /* a thread waits in it */
} core_stream;

static void stream_end(core_stream *it) {
    if (it->stream == NULL)
        return;
    popoto_stream_free(it->stream);
    it->stream = NULL;
    core_call_end(&it->call);
}

/* stream(filters, order_by, limit, offset, all_tenants, allow_scan): an iterator. */
PyObject *core_schema_stream(PyObject *self, PyObject *arguments) {
    core_schema *schema = (core_schema *)self;
    asked it;
    popoto_stream *stream = NULL;
    popoto_status status;
    if (!ask(&it, schema, arguments, "O!Onnpp:stream"))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = popoto_stream_open(it.call.db, &it.desc, &stream);
    Py_END_ALLOW_THREADS
    if (status != POPOTO_OK) {
        core_call_fail(&it.call, status, true, it.filters);
        core_call_end(&it.call);
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(schema->state->stream_type, Py_tp_alloc);
    core_stream *out = (core_stream *)allocate(schema->state->stream_type, 0);
    if (out == NULL) {
        popoto_stream_free(stream);
        core_call_end(&it.call);
        return NULL;
    }
    for (; it.call.scopes > 0; it.call.scopes--)
        popoto_scope_leave(it.call.db);
    out->schema = schema;
    Py_INCREF(schema);
    out->call = it.call;
    out->stream = stream;
    return (PyObject *)out;
}

static PyObject *stream_next(PyObject *self) {
    core_stream *it = (core_stream *)self;
    void *row = NULL;
    popoto_status status;
    if (it->stream == NULL)
        return NULL;
    if (it->busy) {
        PyErr_SetString(PyExc_ValueError, "another thread reads from this stream now");
        return NULL;
    }
    it->busy = true;
    Py_BEGIN_ALLOW_THREADS
    status = popoto_stream_next(it->stream, &row);
    Py_END_ALLOW_THREADS
    it->busy = false;
    if (status == POPOTO_OK && row != NULL)
        return core_record_from_row(it->schema, row);
    if (status != POPOTO_OK)
        core_call_fail(&it->call, status, true, NULL);
    if (status != POPOTO_CORRUPT) /* else the next call goes on behind that record */
        stream_end(it);
    return NULL;
}

static PyObject *stream_close(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!((core_stream *)self)->busy)
        stream_end((core_stream *)self);
    Py_RETURN_NONE;
}

static int stream_traverse(PyObject *self, visitproc visit, void *arg) {
    const core_memory *memory = &((core_stream *)self)->call.memory;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((core_stream *)self)->schema);
    for (size_t i = 0; i < memory->kept_count; i++)
        Py_VISIT(memory->kept[i]);
    return 0;
}

static void stream_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    stream_end((core_stream *)self);
    Py_CLEAR(((core_stream *)self)->schema);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef stream_methods[] = {
    { "close", stream_close, METH_NOARGS, "End it, and give its connection back." },
    { NULL, NULL, 0, NULL },
};

PyTypeObject *core_stream_make_type(void) {
    static PyType_Slot slots[] = {
        { Py_tp_doc, "The objects of a query, one at a time." },
        { Py_tp_new, core_refuse_new },
        { Py_tp_iter, PyObject_SelfIter },
        { Py_tp_iternext, stream_next },
        { Py_tp_traverse, stream_traverse },
        { Py_tp_dealloc, stream_dealloc },
        { Py_tp_methods, stream_methods },
        { 0, NULL },
    };
    static PyType_Spec spec = {
        .name = "popoto._core.Stream",
        .basicsize = sizeof(core_stream),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
        .slots = slots,
    };
    return (PyTypeObject *)PyType_FromSpec(&spec);
}

/* ----- Tenants -------------------------------------------------------------------------------------------------- */

typedef struct tenants {
    core_state *state;
    PyObject *list;
} tenants;

/* The library calls it between its waits, on the thread that called. */
static bool add_tenant(void *context, const popoto_value *tenant) {
    tenants *it = context;
    PyGILState_STATE lock = PyGILState_Ensure();
    PyObject *value = core_value_to(it->state, tenant);
    bool ok = value != NULL && PyList_Append(it->list, value) == 0;
    Py_XDECREF(value);
    PyGILState_Release(lock);
    return ok;
}

/* tenants(): those of a strict model. */
PyObject *core_schema_tenants(PyObject *self, PyObject *unused) {
    core_schema *schema = (core_schema *)self;
    core_call call;
    popoto_status status;
    tenants it = { schema->state, PyList_New(0) };
    (void)unused;
    if (it.list == NULL || !core_call_begin(&call, schema->state, schema)) {
        Py_XDECREF(it.list);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = popoto_tenants(call.db, schema->model, add_tenant, &it);
    Py_END_ALLOW_THREADS
    if (status != POPOTO_OK) {
        Py_CLEAR(it.list);
        core_call_fail(&call, status, true, NULL);
    }
    core_call_end(&call);
    return it.list;
}
