/* confidence - the figures of ConfidenceFields: updates, reads, scans, keys and the move to partitions. */
#include "core.h"

#include <string.h>

/* The name of a CONFIDENCE field, as the library takes it; NULL with an exception. */
static const char *field_name(core_schema *schema, PyObject *name, bool as_model) {
    for (size_t i = 0; i < schema->field_count; i++) {
        core_field *field = &schema->fields[i];
        int same = PyUnicode_Check(name) ? PyUnicode_Compare(field->name, name) : 1;
        if (same == 0 && field->kind == POPOTO_KIND_CONFIDENCE)
            return schema->model->fields[i].name;
    }
    PyErr_Format(as_model ? schema->state->model_exception : PyExc_TypeError,
                 "%s.%S is not a ConfidenceField", schema->model->name, name);
    return NULL;
}

static PyObject *figures_to(const popoto_confidence *of) {
    return Py_BuildValue("{s:d,s:L,s:L,s:L}", "confidence", of->confidence, "evidence_count",
                         (long long)of->evidence_count, "corroborations",
                         (long long)of->corroborations, "contradictions",
                         (long long)of->contradictions);
}

/* What identifies an object, in the call's memory. */
static void *identity_of(core_record *it, core_call *call) {
    void *object = core_memory_block(&call->memory, 1, call->schema->model->size);
    bool ok = object != NULL && core_record_write(it, call, true, object) &&
              core_record_settle_key(it, call, true, object);
    return ok ? object : NULL;
}

static void fail(core_call *call, popoto_status status, PyObject *dict) {
    if (status == POPOTO_NOT_FOUND)
        core_raise(call->state->not_saved, call->schema, NULL, NULL, status,
                   popoto_error(call->db));
    else
        core_call_fail(call, status, false, dict);
}

/* ----- Of one record ------------------------------------------------------------------------------------- */

/* A call about a field of one object: what identifies that, and the field's name. NULL with an exception, and the
 * call has ended; else core_call_end is the caller's. */
static void *begin(core_record *it, PyObject *name, core_call *call, const char **field) {
    core_schema *schema = core_record_schema(it, NULL);
    *field = schema == NULL ? NULL : field_name(schema, name, false);
    if (*field == NULL || !core_call_begin(call, schema->state, schema))
        return NULL;
    void *object = identity_of(it, call);
    if (object == NULL)
        core_call_end(call);
    return object;
}

/* _core_confidence_update(field, signal): the confidence after it. */
PyObject *core_record_confidence_update(PyObject *self, PyObject *arguments) {
    core_record *it = (core_record *)self;
    PyObject *name, *out = NULL;
    const char *field;
    double signal;
    core_call call;
    popoto_confidence after = { 0 };
    popoto_status status;
    if (!PyArg_ParseTuple(arguments, "Od:update_confidence", &name, &signal))
        return NULL;
    void *object = begin(it, name, &call, &field);
    if (object == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = popoto_confidence_update(call.db, call.schema->model, object, field, signal, &after);
    Py_END_ALLOW_THREADS
    if (status == POPOTO_OK)
        out = PyFloat_FromDouble(after.confidence);
    else if (status != POPOTO_BAD_ARGUMENT || !core_record_is_foreign(it, &call, object))
        fail(&call, status, it->dict);
    core_call_end(&call);
    if (out != NULL && PyDict_SetItem(it->dict, name, out) < 0)
        Py_CLEAR(out);
    return out;
}

PyObject *core_record_confidence_figures(PyObject *self, PyObject *name) {
    core_record *it = (core_record *)self;
    const char *field;
    core_call call;
    popoto_confidence figures;
    popoto_status status;
    PyObject *out = NULL;
    void *object = begin(it, name, &call, &field);
    if (object == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = popoto_confidence_figures(call.db, call.schema->model, object, field, &figures);
    Py_END_ALLOW_THREADS
    if (status == POPOTO_OK)
        out = figures_to(&figures);
    else
        fail(&call, status, it->dict);
    core_call_end(&call);
    return out;
}

PyObject *core_record_confidence_key(PyObject *self, PyObject *name) {
    core_record *it = (core_record *)self;
    const char *field;
    core_call call;
    popoto_text key;
    PyObject *out = NULL;
    void *object = begin(it, name, &call, &field);
    if (object == NULL)
        return NULL;
    popoto_status status = popoto_confidence_key(call.db, call.schema->model, object, field, &key);
    if (status == POPOTO_OK) {
        out = PyUnicode_DecodeUTF8(key.data, (Py_ssize_t)key.size, "surrogateescape");
        popoto_free(call.db, key.data);
    } else {
        fail(&call, status, it->dict);
    }
    core_call_end(&call);
    return out;
}

/* ----- Of many -------------------------------------------------------------------------------------------- */

static bool signals_from(core_call *call, PyObject *list, popoto_signal *signals, size_t count) {
    for (size_t i = 0; i < count; i++) {
        PyObject *pair = PySequence_Tuple(PyList_GetItem(list, (Py_ssize_t)i));
        PyObject *object;
        bool ok = pair != NULL && core_memory_keep(&call->memory, pair) &&
                  PyArg_ParseTuple(pair, "Od;a signal is an object and a number", &object,
                                   &signals[i].signal);
        if (!ok)
            return false;
        if (!PyObject_TypeCheck(object, (PyTypeObject *)call->schema->class)) {
            PyErr_Format(PyExc_TypeError, "%R is no %s", object, call->schema->model->name);
            return false;
        }
        if (core_record_schema((core_record *)object, NULL) == NULL ||
            (signals[i].object = identity_of((core_record *)object, call)) == NULL)
            return false;
    }
    return true;
}

/* confidence_update_many(field, [(object, signal), ...]): the confidences after it. */
PyObject *core_schema_confidence_update_many(PyObject *self, PyObject *arguments) {
    core_schema *schema = (core_schema *)self;
    PyObject *name, *list;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "OO!:update_many", &name, &PyList_Type, &list))
        return NULL;
    const char *field = field_name(schema, name, false);
    if (field == NULL || !core_call_begin(&call, schema->state, schema))
        return NULL;
    size_t count = (size_t)PyList_Size(list);
    popoto_signal *signals = core_memory_block(&call.memory, count, sizeof *signals);
    bool ok = signals != NULL && signals_from(&call, list, signals, count);
    if (ok && count > 0) {
        popoto_status status;
        Py_BEGIN_ALLOW_THREADS
        status = popoto_confidence_update_many(call.db, schema->model, field, signals, count);
        Py_END_ALLOW_THREADS
        ok = status == POPOTO_OK;
        if (!ok)
            fail(&call, status, NULL);
    }
    PyObject *out = ok ? PyList_New((Py_ssize_t)count) : NULL;
    for (size_t i = 0; out != NULL && i < count; i++) {
        PyObject *after = PyFloat_FromDouble(signals[i].after.confidence);
        PyObject *pair =
            after == NULL ? NULL : PySequence_Tuple(PyList_GetItem(list, (Py_ssize_t)i));
        core_record *record = pair == NULL ? NULL : (core_record *)PyTuple_GetItem(pair, 0);
        ok = record != NULL && PyDict_SetItem(record->dict, name, after) == 0;
        Py_XDECREF(pair);
        if (ok) {
            PyList_SetItem(out, (Py_ssize_t)i, after);
        } else {
            Py_XDECREF(after);
            Py_CLEAR(out);
        }
    }
    core_call_end(&call);
    return out;
}

static bool add_member(void *context, popoto_text member, const popoto_confidence *figures) {
    PyGILState_STATE lock = PyGILState_Ensure();
    PyObject *key = PyUnicode_DecodeUTF8(member.data, (Py_ssize_t)member.size, "surrogateescape");
    PyObject *value = key == NULL ? NULL : figures_to(figures);
    bool ok = value != NULL && PyDict_SetItem(context, key, value) == 0;
    Py_XDECREF(key);
    Py_XDECREF(value);
    PyGILState_Release(lock);
    return ok;
}

/* confidence_scan(field, pattern, partition): {key: figures}. */
PyObject *core_schema_confidence_scan(PyObject *self, PyObject *arguments) {
    core_schema *schema = (core_schema *)self;
    PyObject *name, *partition;
    const char *pattern;
    core_call call;
    popoto_filter *filters;
    size_t count;
    if (!PyArg_ParseTuple(arguments, "OsO!:get_confidence_filtered", &name, &pattern, &PyDict_Type,
                          &partition))
        return NULL;
    const char *field = field_name(schema, name, false);
    PyObject *out = field == NULL ? NULL : PyDict_New();
    if (out == NULL || !core_call_begin(&call, schema->state, schema)) {
        Py_XDECREF(out);
        return NULL;
    }
    popoto_confidence_scan_desc desc = {
        .model = schema->model,
        .field = field,
        .pattern = pattern,
        .callback = add_member,
        .context = out,
    };
    bool ok = core_filters_from(&call, partition, &filters, &count);
    if (ok && count > POPOTO_MAX_WHERE) {
        PyErr_Format(schema->state->query_exception, "%s.%s is not partitioned by %zu fields",
                     schema->model->name, field, count);
        ok = false;
    }
    if (ok) {
        popoto_status status;
        memcpy(desc.where, filters, count * sizeof *filters);
        Py_BEGIN_ALLOW_THREADS
        status = popoto_confidence_scan(call.db, &desc);
        Py_END_ALLOW_THREADS
        ok = status == POPOTO_OK;
        if (!ok)
            core_call_fail(&call, status, true, NULL);
    }
    core_call_end(&call);
    if (!ok)
        Py_CLEAR(out);
    return out;
}

/* confidence_key(field, partition): of the companion hash. */
PyObject *core_schema_confidence_key(PyObject *self, PyObject *arguments) {
    core_schema *schema = (core_schema *)self;
    PyObject *name, *partition, *out = NULL;
    core_call call;
    popoto_filter *filters;
    popoto_text key;
    size_t count;
    if (!PyArg_ParseTuple(arguments, "OO!:get_data_hash_key_from_values", &name, &PyDict_Type,
                          &partition))
        return NULL;
    const char *field = field_name(schema, name, false);
    if (field == NULL || !core_call_begin(&call, schema->state, schema))
        return NULL;
    if (core_filters_from(&call, partition, &filters, &count)) {
        popoto_status status =
            popoto_confidence_key_from_values(call.db, schema->model, field, filters, count, &key);
        if (status == POPOTO_OK) {
            out = PyUnicode_DecodeUTF8(key.data, (Py_ssize_t)key.size, "surrogateescape");
            popoto_free(call.db, key.data);
        } else {
            core_call_fail(&call, status, true, NULL);
        }
    }
    core_call_end(&call);
    return out;
}

/* ----- Migration -------------------------------------------------------------------------------------------- */

static bool tell_progress(void *context, size_t done, size_t total) {
    PyGILState_STATE lock = PyGILState_Ensure();
    PyObject *answer = PyObject_CallFunction(context, "nn", (Py_ssize_t)done, (Py_ssize_t)total);
    bool go_on = answer != NULL && answer != Py_False;
    Py_XDECREF(answer);
    if (PyErr_CheckSignals() < 0)
        go_on = false;
    PyGILState_Release(lock);
    return go_on;
}

static PyObject *text_to(popoto_text text) {
    return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.size, "surrogateescape");
}

static bool add_errors(PyObject *out, const popoto_migration_report *report) {
    PyObject *errors = PyList_New(0);
    bool ok = errors != NULL;
    for (size_t i = 0; ok && i < report->error_count; i++) {
        PyObject *one = Py_BuildValue("{s:N,s:s}", "member_key", text_to(report->errors[i].member),
                                      "error", report->errors[i].reason);
        ok = one != NULL && PyList_Append(errors, one) == 0;
        Py_XDECREF(one);
    }
    ok = ok && PyDict_SetItemString(out, "errors", errors) == 0;
    Py_XDECREF(errors);
    return ok;
}

static bool add_partitions(PyObject *out, const popoto_migration_report *report) {
    PyObject *partitions = PyDict_New();
    bool ok = partitions != NULL;
    for (size_t i = 0; ok && i < report->partition_count; i++) {
        PyObject *name = text_to(report->partitions[i].name);
        PyObject *count = name == NULL ? NULL : PyLong_FromSize_t(report->partitions[i].count);
        ok = count != NULL && PyDict_SetItem(partitions, name, count) == 0;
        Py_XDECREF(name);
        Py_XDECREF(count);
    }
    ok = ok && PyDict_SetItemString(out, "partitions", partitions) == 0;
    Py_XDECREF(partitions);
    return ok;
}

/* {'total': ..., 'migrated': ..., 'errors': [...], 'partitions': {...}}, in this order. */
static PyObject *report_to(const popoto_migration_report *report) {
    PyObject *out = Py_BuildValue("{s:n,s:n}", "total", (Py_ssize_t)report->total, "migrated",
                                  (Py_ssize_t)report->migrated);
    if (out != NULL && (!add_errors(out, report) || !add_partitions(out, report)))
        Py_CLEAR(out);
    return out;
}

/* confidence_migrate(field, dry_run, progress or None): the report. */
PyObject *core_schema_confidence_migrate(PyObject *self, PyObject *arguments) {
    core_schema *schema = (core_schema *)self;
    PyObject *name, *progress;
    int dry_run;
    core_call call;
    if (!PyArg_ParseTuple(arguments, "OpO:migrate_to_partitioned", &name, &dry_run, &progress))
        return NULL;
    const char *field = field_name(schema, name, true);
    if (field == NULL || !core_call_begin(&call, schema->state, schema))
        return NULL;
    popoto_migration_desc desc = { .dry_run = dry_run };
    if (progress != Py_None) {
        desc.progress = tell_progress;
        desc.context = progress;
    }
    popoto_migration_report *report;
    popoto_status status;
    Py_BEGIN_ALLOW_THREADS
    status = popoto_confidence_migrate(call.db, schema->model, field, &desc, &report);
    Py_END_ALLOW_THREADS
    PyObject *out = NULL;
    if (PyErr_Occurred())
        out = NULL;
    else if ((status == POPOTO_OK || status == POPOTO_STOPPED) && report != NULL)
        out = report_to(report);
    else
        core_call_fail(&call, status, false, NULL);
    popoto_migration_report_free(report);
    core_call_end(&call);
    return out;
}
