/* operations - create, save and delete: of one object, or of many in one exchange with the server. */
#include "core.h"

#include <string.h>

/* ----- One ---------------------------------------------------------------------------------------------- */

/* ["title", "score"] -> "title,score", in the call's memory; NULL with an exception. */
static const char *names_from(core_call *call, PyObject *names) {
    PyObject *separator = PyUnicode_FromString(",");
    PyObject *text = separator == NULL ? NULL : PyUnicode_Join(separator, names);
    PyObject *bytes = text == NULL ? NULL : PyUnicode_AsUTF8String(text);
    Py_XDECREF(separator);
    Py_XDECREF(text);
    return bytes != NULL && core_memory_keep(&call->memory, bytes) ? PyBytes_AsString(bytes) : NULL;
}

static popoto_status store(core_call *call, core_record *it, void *object,
                           const popoto_save_desc *how) {
    const popoto_model *model = call->schema->model;
    popoto_db *db = call->db;
    popoto_status status;
    bool creates = it->header.key == 0 && it->must_be_new && how->only == NULL;
    Py_BEGIN_ALLOW_THREADS
    status = creates                                  ? popoto_create(db, model, object)
             : how->only != NULL || how->if_unchanged ? popoto_save_with(db, model, object, how)
                                                      : popoto_save(db, model, object);
    Py_END_ALLOW_THREADS
    return status;
}

/* _core_save(update_fields or None, migrate_key, skip_auto_now, if_unchanged) */
PyObject *core_record_save(PyObject *self, PyObject *arguments) {
    core_record *it = (core_record *)self;
    core_schema *schema = core_record_schema(it, NULL);
    PyObject *only;
    int moves, skip_auto_now, if_unchanged;
    core_call call;
    if (schema == NULL || !PyArg_ParseTuple(arguments, "Oppp:_core_save", &only, &moves,
                                            &skip_auto_now, &if_unchanged))
        return NULL;
    if (!core_record_run_hooks(it, skip_auto_now, only == Py_None ? NULL : only) ||
        !core_call_begin(&call, schema->state, schema))
        return NULL;
    popoto_save_desc how = { .if_unchanged = if_unchanged };
    void *object = core_memory_block(&call.memory, 1, schema->model->size);
    bool ok = object != NULL && core_record_write(it, &call, false, object) &&
              core_record_settle_key(it, &call, moves, object);
    if (ok && only != Py_None)
        ok = (how.only = names_from(&call, only)) != NULL;
    if (ok) {
        popoto_status status = store(&call, it, object, &how);
        if (status == POPOTO_OK) {
            it->must_be_new = false;
            ok = core_record_learn(it, object);
        } else {
            if (status != POPOTO_BAD_ARGUMENT || !core_record_is_foreign(it, &call, object))
                core_call_fail(&call, status, false, it->dict);
            ok = false;
        }
    }
    core_call_end(&call);
    if (!ok)
        return NULL;
    Py_RETURN_TRUE;
}

/* _core_delete(): whether there was one. */
PyObject *core_record_delete(PyObject *self, PyObject *unused) {
    core_record *it = (core_record *)self;
    core_schema *schema = core_record_schema(it, NULL);
    core_call call;
    (void)unused;
    if (schema == NULL || !core_call_begin(&call, schema->state, schema))
        return NULL;
    popoto_status status = POPOTO_OK;
    void *object = core_memory_block(&call.memory, 1, schema->model->size);
    bool ok = object != NULL && core_record_write(it, &call, true, object) &&
              core_record_settle_key(it, &call, true, object);
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        status = popoto_delete(call.db, schema->model, object);
        Py_END_ALLOW_THREADS
        if (status == POPOTO_OK || status == POPOTO_NOT_FOUND)
            core_record_forget(it);
        else if (status != POPOTO_BAD_ARGUMENT || !core_record_is_foreign(it, &call, object))
            core_call_fail(&call, status, false, it->dict);
    }
    core_call_end(&call);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(status == POPOTO_OK);
}

/* _core_key(): the key that it is, or would be, stored under. */
PyObject *core_record_key(PyObject *self, PyObject *unused) {
    core_record *it = (core_record *)self;
    core_schema *schema = core_record_schema(it, NULL);
    core_call call;
    popoto_text key;
    (void)unused;
    if (schema == NULL || !core_call_begin(&call, schema->state, schema))
        return NULL;
    PyObject *out = NULL;
    void *object = core_memory_block(&call.memory, 1, schema->model->size);
    if (object != NULL && core_record_write(it, &call, true, object)) {
        popoto_status status = popoto_key(call.db, schema->model, object, &key);
        if (status == POPOTO_OK) {
            out = PyUnicode_DecodeUTF8(key.data, (Py_ssize_t)key.size, "surrogateescape");
            popoto_free(call.db, key.data);
        } else {
            core_call_fail(&call, status, false, it->dict);
        }
    }
    core_call_end(&call);
    return out;
}

/* ----- Many ------------------------------------------------------------------------------------------------ */

typedef enum many {
    MANY_SAVE,
    MANY_DELETE
} many;

typedef struct crowd {
    core_call call;
    PyObject *records; /* a list of our own */
    size_t count;
    void **objects;
    popoto_status *statuses;
} crowd;

static bool gather(crowd *it, many what) {
    core_schema *schema = it->call.schema;
    size_t stride = schema->model->size;
    char *memory = core_memory_block(&it->call.memory, it->count, stride);
    it->objects = core_memory_block(&it->call.memory, it->count, sizeof *it->objects);
    it->statuses = core_memory_block(&it->call.memory, it->count, sizeof *it->statuses);
    if (memory == NULL || it->objects == NULL || it->statuses == NULL)
        return false;
    for (size_t i = 0; i < it->count; i++) {
        PyObject *object = PyList_GetItem(it->records, (Py_ssize_t)i);
        if (!PyObject_TypeCheck(object, (PyTypeObject *)schema->class)) {
            PyErr_Format(PyExc_TypeError, "%R is no %s", object, schema->model->name);
            return false;
        }
        core_record *record = (core_record *)object;
        if (core_record_schema(record, schema->state) != schema) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_TypeError, "%R is of a model of its own", object);
            return false;
        }
        it->objects[i] = memory + i * stride;
        if ((what != MANY_DELETE && !core_record_run_hooks(record, false, NULL)) ||
            !core_record_write(record, &it->call, what == MANY_DELETE, it->objects[i]) ||
            !core_record_settle_key(record, &it->call, what == MANY_DELETE, it->objects[i]))
            return false;
    }
    return true;
}

static bool learn(crowd *it, many what, size_t *done, size_t *failed) {
    *done = 0;
    *failed = it->count;
    for (size_t i = 0; i < it->count; i++) {
        core_record *record = (core_record *)PyList_GetItem(it->records, (Py_ssize_t)i);
        popoto_status status = it->statuses[i];
        bool gone = what == MANY_DELETE && status == POPOTO_NOT_FOUND;
        *done += status == POPOTO_OK;
        if (status != POPOTO_OK && !gone) {
            if (*failed == it->count)
                *failed = i;
        } else if (what == MANY_DELETE) {
            core_record_forget(record);
        } else if (!core_record_learn(record, it->objects[i])) {
            return false;
        }
    }
    return true;
}

/* The number that it was done to; all that can be are, and then an exception tells of the first that
 * could not. */
static PyObject *with_many(PyObject *self, PyObject *records, many what) {
    core_schema *schema = (core_schema *)self;
    crowd it = { .records = PySequence_List(records) };
    size_t done, failed;
    if (it.records == NULL || !core_call_begin(&it.call, schema->state, schema)) {
        Py_XDECREF(it.records);
        return NULL;
    }
    it.count = (size_t)PyList_Size(it.records);
    bool ok = gather(&it, what);
    popoto_status status = POPOTO_OK;
    if (ok && it.count > 0) {
        Py_BEGIN_ALLOW_THREADS
        status = (what == MANY_SAVE ? popoto_save_many : popoto_delete_many)(
            it.call.db, schema->model, it.objects, it.count, it.statuses);
        Py_END_ALLOW_THREADS
    }
    ok = ok && learn(&it, what, &done, &failed);
    if (ok && failed < it.count) {
        core_record *about = (core_record *)PyList_GetItem(it.records, (Py_ssize_t)failed);
        if (it.statuses[failed] != POPOTO_BAD_ARGUMENT ||
            !core_record_is_foreign(about, &it.call, it.objects[failed]))
            core_call_fail(&it.call, it.statuses[failed], false, about->dict);
        ok = false;
    } else if (ok && status != POPOTO_OK && status != POPOTO_NOT_FOUND) {
        core_call_fail(&it.call, status, false, NULL);
        ok = false;
    }
    core_call_end(&it.call);
    Py_DECREF(it.records);
    return ok ? PyLong_FromSize_t(it.count == 0 ? 0 : done) : NULL;
}

PyObject *core_schema_save_many(PyObject *self, PyObject *records) {
    return with_many(self, records, MANY_SAVE);
}

PyObject *core_schema_delete_many(PyObject *self, PyObject *records) {
    return with_many(self, records, MANY_DELETE);
}
