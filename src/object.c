#include "object.h"

#include <string.h>

popoto_object *popoto__object_header(const model *of, const void *object) {
    /* The header is the library's part of an object that is otherwise the caller's to change. */
    size_t offset = of->declared->size ? of->declared->object_offset : 0;
    return (popoto_object *)(void *)((char *)(uintptr_t)object + offset);
}

/* ----- Struct -> values ----------------------------------------------------------------------- */

static int64_t read_signed(const void *member, size_t size) {
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    switch (size) {
    case 1: memcpy(&i8, member, 1); return i8;
    case 2: memcpy(&i16, member, 2); return i16;
    case 4: memcpy(&i32, member, 4); return i32;
    default: memcpy(&i64, member, 8); return i64;
    }
}

static uint64_t read_unsigned(const void *member, size_t size) {
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    switch (size) {
    case 1: memcpy(&u8, member, 1); return u8;
    case 2: memcpy(&u16, member, 2); return u16;
    case 4: memcpy(&u32, member, 4); return u32;
    default: memcpy(&u64, member, 8); return u64;
    }
}

static double read_float(const void *member, size_t size) {
    float f32;
    double f64;
    if (size == sizeof f32) {
        memcpy(&f32, member, sizeof f32);
        return (double)f32;
    }
    memcpy(&f64, member, sizeof f64);
    return f64;
}

/* A pointer member that is NULL is null; else what it points at. */
static popoto_value read_pointer(const void *member, popoto_member kind) {
    const void *target;
    memcpy(&target, member, sizeof target);
    if (target == NULL)
        return (popoto_value){ POPOTO_NULL, { 0 } };
    switch (kind) {
    case POPOTO_MEMBER_BOOL_POINTER: return popoto_of_bool(*(const bool *)target);
    case POPOTO_MEMBER_INT_POINTER: return popoto_of_int(*(const int64_t *)target);
    case POPOTO_MEMBER_FLOAT_POINTER: return popoto_of_float(*(const double *)target);
    case POPOTO_MEMBER_TIME_POINTER: return popoto_of_time(*(const popoto_time *)target);
    default: return popoto_of_text(target);
    }
}

static popoto_status read_array(const model *of, const field *it, const char *member,
                                popoto_value *value, failure *why) {
    size_t size = strnlen(member, it->declared->size);
    if (size == it->declared->size)
        return popoto__fail(why, POPOTO_BAD_VALUE, "%s.%s: its %zu characters do not end in a NUL",
                            of->name.data, it->name, size);
    *value = popoto_of_sized_text((popoto_text){ member, size });
    return POPOTO_OK;
}

static popoto_status read_member(const model *of, const field *it, const void *member,
                                 popoto_value *value, failure *why) {
    size_t size = it->declared->size;
    switch (it->declared->member) {
    case POPOTO_MEMBER_ARRAY: return read_array(of, it, member, value, why);
    case POPOTO_MEMBER_TEXT: *value = popoto_of_sized_text(*(const popoto_text *)member); break;
    case POPOTO_MEMBER_BOOL: *value = popoto_of_bool(*(const bool *)member); break;
    case POPOTO_MEMBER_SIGNED: *value = popoto_of_int(read_signed(member, size)); break;
    case POPOTO_MEMBER_UNSIGNED:
        if (read_unsigned(member, size) > INT64_MAX)
            return popoto__fail(why, POPOTO_BAD_VALUE, "%s.%s is %llu: integers go up to 2^63 - 1",
                                of->name.data, it->name,
                                (unsigned long long)read_unsigned(member, size));
        *value = popoto_of_int((int64_t)read_unsigned(member, size));
        break;
    case POPOTO_MEMBER_FLOAT: *value = popoto_of_float(read_float(member, size)); break;
    case POPOTO_MEMBER_BYTES: *value = popoto_of_bytes(*(const popoto_bytes *)member); break;
    case POPOTO_MEMBER_TIME: *value = popoto_of_time(*(const popoto_time *)member); break;
    case POPOTO_MEMBER_DAY: *value = popoto_of_day(*(const popoto_day *)member); break;
    case POPOTO_MEMBER_CLOCK: *value = popoto_of_clock(*(const popoto_clock *)member); break;
    case POPOTO_MEMBER_DECIMAL: *value = popoto_of_decimal(*(const popoto_decimal *)member); break;
    case POPOTO_MEMBER_VALUE: *value = *(const popoto_value *)member; break;
    case POPOTO_MEMBER_ID:
        /* Longer than an id can be only when its NUL was overwritten. */
        *value = popoto_of_sized_text((popoto_text){ member, strnlen(member, sizeof(popoto_id)) });
        break;
    default: *value = read_pointer(member, it->declared->member); break;
    }
    return POPOTO_OK;
}

popoto_status popoto__object_values(const model *of, const void *object, popoto_value *values,
                                    failure *why) {
    if (of->declared->size == 0) {
        const popoto_record *record = object;
        if (record->model != of->declared)
            return popoto__fail(why, POPOTO_BAD_ARGUMENT,
                                "a record of another model than %s was given", of->name.data);
        memcpy(values, record->values, of->field_count * sizeof *values);
        return POPOTO_OK;
    }
    for (size_t i = 0; i < of->field_count; i++) {
        const field *it = &of->fields[i];
        const char *member = (const char *)object + it->declared->offset;
        /* The commonest two at once. */
        if (it->declared->member == POPOTO_MEMBER_STRING) {
            const char *text;
            memcpy(&text, member, sizeof text);
            values[i].type = text == NULL ? POPOTO_NULL : POPOTO_TEXT;
            values[i].as.text = (popoto_text){ text, text == NULL ? 0 : strlen(text) };
            continue;
        }
        if (it->declared->member == POPOTO_MEMBER_FLOAT && it->declared->size == sizeof(double)) {
            values[i].type = POPOTO_FLOAT;
            memcpy(&values[i].as.real, member, sizeof(double));
            continue;
        }
        popoto_status status = read_member(of, it, member, &values[i], why);
        if (status != POPOTO_OK)
            return status;
    }
    return POPOTO_OK;
}

/* ----- Values -> struct ----------------------------------------------------------------------- */

static bool write_signed(void *member, size_t size, int64_t value) {
    int8_t i8 = (int8_t)value;
    int16_t i16 = (int16_t)value;
    int32_t i32 = (int32_t)value;
    switch (size) {
    case 1: memcpy(member, &i8, 1); return i8 == value;
    case 2: memcpy(member, &i16, 2); return i16 == value;
    case 4: memcpy(member, &i32, 4); return i32 == value;
    default: memcpy(member, &value, 8); return true;
    }
}

static bool write_unsigned(void *member, size_t size, int64_t value) {
    uint8_t u8 = (uint8_t)value;
    uint16_t u16 = (uint16_t)value;
    uint32_t u32 = (uint32_t)value;
    switch (size) {
    case 1: memcpy(member, &u8, 1); return u8 == value;
    case 2: memcpy(member, &u16, 2); return u16 == value;
    case 4: memcpy(member, &u32, 4); return u32 == value;
    default: memcpy(member, &value, 8); return value >= 0;
    }
}

static void write_float(void *member, size_t size, double value) {
    float f32 = (float)value;
    if (size == sizeof f32)
        memcpy(member, &f32, sizeof f32);
    else
        memcpy(member, &value, sizeof value);
}

static bool write_pointer(void *member, const void *target, size_t size, arena *memory,
                          const char **reason) {
    void *copy = popoto__arena_allocate(memory, size);
    if (copy == NULL) {
        *reason = CODEC_NO_MEMORY;
        return false;
    }
    memcpy(copy, target, size);
    memcpy(member, &copy, sizeof copy);
    return true;
}

/* Text for a member that is a C string: in place where a NUL already follows it. */
static const char *as_string(popoto_text text, arena *memory, const char **reason) {
    if (memchr(text.data, '\0', text.size) != NULL) {
        *reason = "its text holds a NUL, which a C string cannot; make the member a popoto_text";
        return NULL;
    }
    if (text.data[text.size] == '\0')
        return text.data;
    const char *copy = popoto__arena_copy(memory, text.data, text.size);
    if (copy == NULL)
        *reason = CODEC_NO_MEMORY;
    return copy;
}

static bool write_string(void *member, popoto_text text, arena *memory, const char **reason) {
    const char *string = as_string(text, memory, reason);
    if (string != NULL)
        memcpy(member, &string, sizeof string);
    return string != NULL;
}

static bool write_array(char *member, size_t size, popoto_text text, const char **reason) {
    if (text.size >= size || memchr(text.data, '\0', text.size) != NULL) {
        *reason = "its text does not fit into the char array";
        return false;
    }
    memcpy(member, text.data, text.size);
    memset(member + text.size, 0, size - text.size);
    return true;
}

static bool write_member(const field *it, void *member, const popoto_value *value, arena *memory,
                         const char **reason) {
    size_t size = it->declared->size;
    *reason = "it is out of the member's range";
    switch (it->declared->member) {
    case POPOTO_MEMBER_STRING: return write_string(member, value->as.text, memory, reason);
    case POPOTO_MEMBER_DECIMAL: return write_string(member, value->as.text, memory, reason);
    case POPOTO_MEMBER_ARRAY:
    case POPOTO_MEMBER_ID: return write_array(member, size, value->as.text, reason);
    case POPOTO_MEMBER_TEXT: memcpy(member, &value->as.text, sizeof value->as.text); return true;
    case POPOTO_MEMBER_BOOL: memcpy(member, &value->as.boolean, sizeof(bool)); return true;
    case POPOTO_MEMBER_SIGNED: return write_signed(member, size, value->as.integer);
    case POPOTO_MEMBER_UNSIGNED: return write_unsigned(member, size, value->as.integer);
    case POPOTO_MEMBER_FLOAT: write_float(member, size, value->as.real); return true;
    case POPOTO_MEMBER_BYTES: memcpy(member, &value->as.bytes, sizeof value->as.bytes); return true;
    case POPOTO_MEMBER_TIME: memcpy(member, &value->as.time, sizeof value->as.time); return true;
    case POPOTO_MEMBER_DAY: memcpy(member, &value->as.day, sizeof value->as.day); return true;
    case POPOTO_MEMBER_CLOCK: memcpy(member, &value->as.clock, sizeof value->as.clock); return true;
    case POPOTO_MEMBER_VALUE: memcpy(member, value, sizeof *value); return true;
    case POPOTO_MEMBER_BOOL_POINTER:
        return write_pointer(member, &value->as.boolean, sizeof(bool), memory, reason);
    case POPOTO_MEMBER_INT_POINTER:
        return write_pointer(member, &value->as.integer, sizeof(int64_t), memory, reason);
    case POPOTO_MEMBER_FLOAT_POINTER:
        return write_pointer(member, &value->as.real, sizeof(double), memory, reason);
    case POPOTO_MEMBER_TIME_POINTER:
        return write_pointer(member, &value->as.time, sizeof(popoto_time), memory, reason);
    default: *reason = "its member is of no known type"; return false;
    }
}

/* The members that express null as zero bytes; all the others have no null. */
static bool member_has_null(popoto_member member) {
    switch (member) {
    case POPOTO_MEMBER_ARRAY:
    case POPOTO_MEMBER_BOOL:
    case POPOTO_MEMBER_SIGNED:
    case POPOTO_MEMBER_UNSIGNED:
    case POPOTO_MEMBER_FLOAT:
    case POPOTO_MEMBER_TIME:
    case POPOTO_MEMBER_CLOCK:
    case POPOTO_MEMBER_ID: return false;
    default: return true;
    }
}

bool popoto__object_set(const model *of, void *object, const field *it, const popoto_value *value,
                        arena *memory, const char **reason) {
    if (of->declared->size == 0) {
        ((popoto_record *)object)->values[it->index] = *value;
        return true;
    }
    void *member = (char *)object + it->declared->offset;
    if (value->type != POPOTO_NULL)
        return write_member(it, member, value, memory, reason);
    memset(member, 0, it->declared->size);
    *reason = "it is null, which its member cannot hold";
    return member_has_null(it->declared->member);
}

void popoto__object_init(const model *of, void *object, popoto_value *values,
                         const popoto_allocator *allocator) {
    if (of->declared->size != 0)
        return;
    popoto_record *record = object;
    record->model = of->declared;
    record->values = values;
    record->allocator = *allocator;
}

void popoto__record_clear(popoto_record *record) {
    if (record->fields == NULL)
        return;
    for (size_t i = 0; i < record->model->field_count; i++)
        popoto__arena_free(&record->fields[i]);
    popoto__release(&record->allocator, record->fields);
    record->fields = NULL;
}

popoto_status popoto__object_set_generated(const model *of, void *object, const field *it,
                                           const popoto_id *id, failure *why) {
    size_t size = strlen(id->text);
    if (of->declared->size == 0) {
        popoto_status status = popoto_record_set(object, it->name, popoto_of_id(id));
        return status == POPOTO_OK ? status : popoto__fail_memory(why);
    }
    memcpy((char *)object + it->declared->offset, id->text, size + 1);
    return POPOTO_OK;
}

/* ----- Records, the public calls -------------------------------------------------------------- */

/* Records know their declaration alone; the few checks that popoto_record_set makes need no more. */
static size_t declared_index(const popoto_model *of, const char *name) {
    for (size_t i = 0; i < of->field_count; i++)
        if (strcmp(of->fields[i].name, name) == 0)
            return i;
    return of->field_count;
}

void popoto_record_free(popoto_record *record) {
    if (record == NULL)
        return;
    popoto_allocator allocator = record->allocator;
    popoto__record_clear(record);
    popoto__release(&allocator, record);
}

static popoto_status prepare_fields(popoto_record *record) {
    size_t count = record->model->field_count;
    if (record->fields != NULL)
        return POPOTO_OK;
    record->fields = popoto__allocate_zeroed(&record->allocator, count, sizeof(arena));
    if (record->fields == NULL)
        return POPOTO_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        popoto__arena_init(&record->fields[i], &record->allocator);
    return POPOTO_OK;
}

static bool is_too_deep(const popoto_value *value, int room) {
    if (value->type < POPOTO_LIST || value->type > POPOTO_MAP)
        return false;
    for (size_t i = 0; room > 0 && i < value->as.list.count; i++)
        if (is_too_deep(&value->as.list.items[i], room - 1))
            return true;
    return room == 0;
}

popoto_status popoto_record_set(popoto_record *record, const char *name, popoto_value value) {
    if (record == NULL || name == NULL)
        return POPOTO_BAD_ARGUMENT;
    size_t index = declared_index(record->model, name);
    if (index == record->model->field_count)
        return POPOTO_BAD_ARGUMENT;
    const popoto_field *declared = &record->model->fields[index];
    field it = { .declared = declared, .type = declared->type };
    popoto_value converted, copy;
    if (!popoto__field_convert(&it, &value, &converted))
        return POPOTO_BAD_VALUE;
    if (prepare_fields(record) != POPOTO_OK)
        return POPOTO_NO_MEMORY;
    /* Copied before the old value goes: the new one may be part of it. */
    arena fresh;
    popoto__arena_init(&fresh, &record->allocator);
    if (!popoto__value_copy(&fresh, &converted, &copy)) {
        popoto__arena_free(&fresh);
        return is_too_deep(&converted, VALUE_MAX_DEPTH) ? POPOTO_BAD_VALUE : POPOTO_NO_MEMORY;
    }
    popoto__arena_free(&record->fields[index]);
    record->fields[index] = fresh;
    record->values[index] = copy;
    return POPOTO_OK;
}

const popoto_value *popoto_record_get(const popoto_record *record, const char *name) {
    if (record == NULL || name == NULL)
        return NULL;
    size_t index = declared_index(record->model, name);
    return index < record->model->field_count ? &record->values[index] : NULL;
}
