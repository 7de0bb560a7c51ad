/* values - Python objects <-> values of the C library. Knows neither models nor connections. */
#include "core.h"

#include <string.h>

/* As deep as the library stores. */
#define DEPTH_MAX 64

/* ----- What a call's values point at ------------------------------------------------------------- */

void core_memory_init(core_memory *it, core_state *state) {
    memset(it, 0, sizeof *it);
    it->state = state;
}

void core_memory_free(core_memory *it) {
    for (size_t i = 0; i < it->kept_count; i++)
        Py_DECREF(it->kept[i]);
    for (size_t i = 0; i < it->block_count; i++)
        PyMem_Free(it->blocks[i]);
    PyMem_Free(it->kept);
    PyMem_Free(it->blocks);
    memset(it, 0, sizeof *it);
}

static bool make_room(void **list, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return true;
    size_t more = *room ? *room * 2 : 16;
    void *bigger = PyMem_Realloc(*list, more * size);
    if (bigger == NULL) {
        PyErr_NoMemory();
        return false;
    }
    *list = bigger;
    *room = more;
    return true;
}

void *core_memory_block(core_memory *it, size_t count, size_t size) {
    void *list = it->blocks;
    bool ok = make_room(&list, it->block_count, &it->block_room, sizeof *it->blocks);
    it->blocks = list;
    if (!ok)
        return NULL;
    void *block = PyMem_Calloc(count ? count : 1, size);
    if (block == NULL)
        return PyErr_NoMemory();
    return it->blocks[it->block_count++] = block;
}

bool core_memory_keep(core_memory *it, PyObject *object) {
    void *list = it->kept;
    bool ok = make_room(&list, it->kept_count, &it->kept_room, sizeof *it->kept);
    it->kept = list;
    if (!ok) {
        Py_DECREF(object);
        return false;
    }
    it->kept[it->kept_count++] = object;
    return true;
}

/* ----- Types -------------------------------------------------------------------------------------- */

popoto_type core_type_of(core_state *state, PyObject *type) {
    const struct {
        PyObject *type;
        popoto_type code;
    } types[] = {
        { (PyObject *)&PyUnicode_Type, POPOTO_TEXT },
        { (PyObject *)&PyLong_Type, POPOTO_INT },
        { (PyObject *)&PyFloat_Type, POPOTO_FLOAT },
        { (PyObject *)&PyBool_Type, POPOTO_BOOL },
        { (PyObject *)&PyBytes_Type, POPOTO_BYTES },
        { state->datetime, POPOTO_TIME },
        { state->date, POPOTO_DAY },
        { state->time, POPOTO_CLOCK },
        { state->decimal, POPOTO_DECIMAL },
        { (PyObject *)&PyList_Type, POPOTO_LIST },
        { (PyObject *)&PyTuple_Type, POPOTO_TUPLE },
        { (PyObject *)&PySet_Type, POPOTO_SET },
        { (PyObject *)&PyFrozenSet_Type, POPOTO_SET },
        { (PyObject *)&PyDict_Type, POPOTO_MAP },
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type)
            return types[i].code;
    return POPOTO_ANY;
}

const char *core_type_words(popoto_type type) {
    static const char *const words[] = {
        [POPOTO_TEXT] = "a str",  [POPOTO_INT] = "an int",    [POPOTO_FLOAT] = "a float",
        [POPOTO_BOOL] = "a bool", [POPOTO_BYTES] = "bytes",   [POPOTO_TIME] = "a datetime",
        [POPOTO_DAY] = "a date",  [POPOTO_CLOCK] = "a time",  [POPOTO_DECIMAL] = "a Decimal",
        [POPOTO_LIST] = "a list", [POPOTO_TUPLE] = "a tuple", [POPOTO_SET] = "a set",
        [POPOTO_MAP] = "a dict",
    };
    size_t at = (size_t)type;
    return at < sizeof words / sizeof *words && words[at] != NULL ? words[at] : "another value";
}

/* ----- Python -> value ------------------------------------------------------------------------------ */

static bool text_from(core_memory *memory, PyObject *given, popoto_text *out) {
    char *data;
    Py_ssize_t size;
    PyObject *bytes = PyUnicode_AsUTF8String(given);
    if (bytes == NULL || !core_memory_keep(memory, bytes) ||
        PyBytes_AsStringAndSize(bytes, &data, &size) < 0)
        return false;
    *out = (popoto_text){ data, (size_t)size };
    return true;
}

static bool int_from(PyObject *given, popoto_value *out) {
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(given, &overflow);
    if (overflow != 0)
        PyErr_SetString(PyExc_ValueError, "an integer is from -2^63 to 2^63 - 1");
    *out = popoto_of_int(value);
    return value != -1 || !PyErr_Occurred();
}

static bool int_of(PyObject *object, const char *name, long *out) {
    PyObject *value = PyObject_GetAttrString(object, name);
    *out = value == NULL ? -1 : PyLong_AsLong(value);
    Py_XDECREF(value);
    return *out != -1 || !PyErr_Occurred();
}

static bool is_none_attribute(PyObject *object, const char *name, bool *out) {
    PyObject *value = PyObject_GetAttrString(object, name);
    *out = value == Py_None;
    Py_XDECREF(value);
    return value != NULL;
}

/* The whole seconds and microseconds of a timedelta. */
static bool delta_from(PyObject *delta, int64_t *microseconds) {
    long days, seconds, rest;
    if (!int_of(delta, "days", &days) || !int_of(delta, "seconds", &seconds) ||
        !int_of(delta, "microseconds", &rest))
        return false;
    *microseconds = ((int64_t)days * 86400 + seconds) * 1000000 + rest;
    return true;
}

static bool time_from(core_state *state, PyObject *given, popoto_value *out) {
    popoto_time time = { 0, POPOTO_NAIVE };
    int64_t offset = 0;
    PyObject *east = PyObject_CallMethod(given, "utcoffset", NULL);
    if (east == NULL)
        return false;
    bool naive = east == Py_None, has_none = true;
    bool ok = naive ? is_none_attribute(given, "tzinfo", &has_none) : delta_from(east, &offset);
    Py_DECREF(east);
    if (ok && !has_none) /* what has a tzinfo cannot be subtracted from what has none */
        PyErr_SetString(PyExc_ValueError, "its tzinfo gives no offset from UTC");
    if (!ok || !has_none)
        return false;
    if (!naive)
        time.offset = (int32_t)(offset / 1000000);
    PyObject *since = PyNumber_Subtract(given, naive ? state->epoch : state->epoch_utc);
    ok = since != NULL && delta_from(since, &time.microseconds);
    Py_XDECREF(since);
    *out = popoto_of_time(time);
    return ok;
}

static bool day_from(PyObject *given, popoto_value *out) {
    long year, month, day;
    if (!int_of(given, "year", &year) || !int_of(given, "month", &month) ||
        !int_of(given, "day", &day))
        return false;
    *out = popoto_of_day((popoto_day){ (int16_t)year, (uint8_t)month, (uint8_t)day });
    return true;
}

static bool clock_from(PyObject *given, popoto_value *out) {
    long hour, minute, second, microsecond;
    bool has_none;
    if (!is_none_attribute(given, "tzinfo", &has_none))
        return false;
    if (!has_none) {
        PyErr_SetString(PyExc_ValueError, "a time of day is stored without an offset");
        return false;
    }
    if (!int_of(given, "hour", &hour) || !int_of(given, "minute", &minute) ||
        !int_of(given, "second", &second) || !int_of(given, "microsecond", &microsecond))
        return false;
    *out = popoto_of_clock(
        (popoto_clock){ (uint8_t)hour, (uint8_t)minute, (uint8_t)second, (uint32_t)microsecond });
    return true;
}

static bool decimal_from(core_memory *memory, PyObject *given, popoto_value *out) {
    PyObject *text = PyObject_Str(given);
    popoto_text of;
    if (text == NULL || !core_memory_keep(memory, text) || !text_from(memory, text, &of))
        return false;
    *out = popoto_of_sized_text(of);
    out->type = POPOTO_DECIMAL;
    return true;
}

static bool any_from(core_memory *memory, PyObject *given, popoto_value *out, int room);

static bool map_from(core_memory *memory, PyObject *given, popoto_value *out, int room) {
    Py_ssize_t at = 0;
    size_t count = (size_t)PyDict_Size(given), i = 0;
    PyObject *key, *value;
    popoto_value *items = core_memory_block(memory, count * 2, sizeof *items);
    if (items == NULL)
        return false;
    while (i < count && PyDict_Next(given, &at, &key, &value)) {
        if (!any_from(memory, key, &items[2 * i], room) ||
            !any_from(memory, value, &items[2 * i + 1], room))
            return false;
        i++;
    }
    *out = popoto_of_items(POPOTO_MAP, items, i * 2);
    return true;
}

static bool items_from(core_memory *memory, PyObject *given, popoto_type type, popoto_value *out,
                       int room) {
    PyObject *list = PySequence_List(given); /* a copy: nobody changes it meanwhile */
    if (list == NULL || !core_memory_keep(memory, list))
        return false;
    size_t count = (size_t)PyList_Size(list);
    popoto_value *items = core_memory_block(memory, count, sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!any_from(memory, PyList_GetItem(list, (Py_ssize_t)i), &items[i], room))
            return false;
    *out = popoto_of_items(type, items, count);
    return true;
}

/* Of a type and its subclasses; POPOTO_ANY: none that can be stored. Bools before ints, moments before
 * days: the one is a subclass of the other. */
static popoto_type type_of_value(core_state *state, PyObject *given) {
    popoto_type type = core_type_of(state, (PyObject *)Py_TYPE(given));
    if (type != POPOTO_ANY)
        return type;
    const struct {
        PyObject *type;
        popoto_type code;
    } types[] = {
        { (PyObject *)&PyUnicode_Type, POPOTO_TEXT },
        { (PyObject *)&PyLong_Type, POPOTO_INT },
        { (PyObject *)&PyFloat_Type, POPOTO_FLOAT },
        { (PyObject *)&PyBytes_Type, POPOTO_BYTES },
        { (PyObject *)&PyList_Type, POPOTO_LIST },
        { (PyObject *)&PyTuple_Type, POPOTO_TUPLE },
        { (PyObject *)&PySet_Type, POPOTO_SET },
        { (PyObject *)&PyDict_Type, POPOTO_MAP },
        { state->datetime, POPOTO_TIME },
        { state->date, POPOTO_DAY },
        { state->time, POPOTO_CLOCK },
        { state->decimal, POPOTO_DECIMAL },
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        int is = PyObject_IsInstance(given, types[i].type);
        if (is != 0)
            return is < 0 ? POPOTO_NULL : types[i].code;
    }
    return POPOTO_ANY;
}

static bool value_of_type(core_memory *memory, popoto_type type, PyObject *given, popoto_value *out,
                          int room) {
    char *data;
    Py_ssize_t size;
    int truth;
    switch (type) {
    case POPOTO_TEXT:
        *out = (popoto_value){ POPOTO_TEXT, { 0 } };
        return text_from(memory, given, &out->as.text);
    case POPOTO_INT: return int_from(given, out);
    case POPOTO_FLOAT:
        *out = popoto_of_float(PyFloat_AsDouble(given));
        return out->as.real != -1.0 || !PyErr_Occurred();
    case POPOTO_BOOL:
        truth = PyObject_IsTrue(given);
        *out = popoto_of_bool(truth == 1);
        return truth >= 0;
    case POPOTO_BYTES:
        if (PyBytes_AsStringAndSize(given, &data, &size) < 0)
            return false;
        *out = popoto_of_bytes((popoto_bytes){ data, (size_t)size });
        /* Coercion or another thread may take it out of the object meanwhile. */
        Py_INCREF(given);
        return core_memory_keep(memory, given);
    case POPOTO_TIME: return time_from(memory->state, given, out);
    case POPOTO_DAY: return day_from(given, out);
    case POPOTO_CLOCK: return clock_from(given, out);
    case POPOTO_DECIMAL: return decimal_from(memory, given, out);
    case POPOTO_MAP:
    case POPOTO_LIST:
    case POPOTO_TUPLE:
    case POPOTO_SET:
        if (room == 0) {
            PyErr_SetString(PyExc_ValueError, "it is nested too deeply, or contains itself");
            return false;
        }
        return type == POPOTO_MAP ? map_from(memory, given, out, room - 1)
                                  : items_from(memory, given, type, out, room - 1);
    default: break;
    }
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_TypeError, "objects like %R cannot be stored", given);
    return false;
}

static bool any_from(core_memory *memory, PyObject *given, popoto_value *out, int room) {
    *out = (popoto_value){ POPOTO_NULL, { 0 } };
    if (given == Py_None)
        return true;
    return value_of_type(memory, type_of_value(memory->state, given), given, out, room);
}

bool core_value_from(core_memory *memory, PyObject *given, popoto_value *out) {
    return any_from(memory, given, out, DEPTH_MAX);
}

bool core_value_typed(core_memory *memory, popoto_type type, PyObject *given, popoto_value *out) {
    *out = (popoto_value){ POPOTO_NULL, { 0 } };
    if (given == Py_None)
        return true;
    return type == POPOTO_ANY ? core_value_from(memory, given, out)
                              : value_of_type(memory, type, given, out, DEPTH_MAX);
}

/* ----- Value -> Python -------------------------------------------------------------------------------- */

static PyObject *delta_to(core_state *state, int64_t microseconds) {
    return PyObject_CallFunction(state->timedelta, "LLL", (long long)(microseconds / 86400000000),
                                 0LL, (long long)(microseconds % 86400000000));
}

static PyObject *zone_to(core_state *state, int32_t offset) {
    if (offset == 0) {
        Py_INCREF(state->utc);
        return state->utc;
    }
    PyObject *east = delta_to(state, (int64_t)offset * 1000000);
    PyObject *zone =
        east == NULL ? NULL : PyObject_CallFunctionObjArgs(state->timezone, east, NULL);
    Py_XDECREF(east);
    return zone;
}

static PyObject *time_to(core_state *state, popoto_time time) {
    bool naive = time.offset == POPOTO_NAIVE;
    PyObject *since = delta_to(state, time.microseconds);
    if (since == NULL)
        return NULL;
    PyObject *moment = PyNumber_Add(naive ? state->epoch : state->epoch_utc, since);
    Py_DECREF(since);
    if (moment == NULL || naive || time.offset == 0)
        return moment;
    PyObject *zone = zone_to(state, time.offset);
    PyObject *there = zone == NULL ? NULL : PyObject_CallMethod(moment, "astimezone", "O", zone);
    Py_XDECREF(zone);
    Py_DECREF(moment);
    return there;
}

static PyObject *map_to(core_state *state, const popoto_items *of) {
    PyObject *map = PyDict_New();
    for (size_t i = 0; map != NULL && i + 1 < of->count; i += 2) {
        PyObject *key = core_value_to(state, &of->items[i]);
        PyObject *value = key == NULL ? NULL : core_value_to(state, &of->items[i + 1]);
        if (value == NULL || PyDict_SetItem(map, key, value) < 0)
            Py_CLEAR(map);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return map;
}

static PyObject *items_to(core_state *state, popoto_type type, const popoto_items *of) {
    PyObject *list = PyList_New((Py_ssize_t)of->count);
    for (size_t i = 0; list != NULL && i < of->count; i++) {
        PyObject *item = core_value_to(state, &of->items[i]);
        if (item == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)i, item);
    }
    if (list == NULL || type == POPOTO_LIST)
        return list;
    PyObject *out = type == POPOTO_TUPLE ? PyList_AsTuple(list) : PySet_New(list);
    Py_DECREF(list);
    return out;
}

PyObject *core_value_to(core_state *state, const popoto_value *value) {
    switch (value->type) {
    case POPOTO_TEXT:
        return PyUnicode_DecodeUTF8(value->as.text.data, (Py_ssize_t)value->as.text.size, "strict");
    case POPOTO_INT: return PyLong_FromLongLong(value->as.integer);
    case POPOTO_FLOAT: return PyFloat_FromDouble(value->as.real);
    case POPOTO_BOOL: return PyBool_FromLong(value->as.boolean);
    case POPOTO_BYTES:
        return PyBytes_FromStringAndSize(value->as.bytes.data, (Py_ssize_t)value->as.bytes.size);
    case POPOTO_TIME: return time_to(state, value->as.time);
    case POPOTO_DAY:
        return PyObject_CallFunction(state->date, "iii", (int)value->as.day.year,
                                     (int)value->as.day.month, (int)value->as.day.day);
    case POPOTO_CLOCK:
        return PyObject_CallFunction(state->time, "iiii", (int)value->as.clock.hour,
                                     (int)value->as.clock.minute, (int)value->as.clock.second,
                                     (int)value->as.clock.microsecond);
    case POPOTO_DECIMAL:
        return PyObject_CallFunction(state->decimal, "s#", value->as.text.data,
                                     (Py_ssize_t)value->as.text.size);
    case POPOTO_LIST:
    case POPOTO_TUPLE:
    case POPOTO_SET: return items_to(state, value->type, &value->as.list);
    case POPOTO_MAP: return map_to(state, &value->as.list);
    default: break;
    }
    Py_INCREF(Py_None);
    return Py_None;
}
