/* failure - see failure.h. */
#include "failure.h"

#include "codec.h"
#include "moment.h"
#include "utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A sentence that was cut in the middle of a character ends before it. */
static void drop_cut_character(char *text) {
    size_t size = strlen(text);
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        unsigned char byte = (unsigned char)text[size - back];
        if ((byte & 0xC0) == 0x80)
            continue;
        if (byte >= 0xC0 && popoto__utf8_sequence(text + size - back, back) == 0)
            text[size - back] = '\0';
        return;
    }
}

void popoto__explain(failure *it, popoto_status status, const char *format, ...) {
    /* Through a room of its own, because an argument may well be the sentence that is there. */
    char text[FAILURE_TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang 14 does not see va_start */
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0)
        text[0] = '\0';
    if (length >= (int)sizeof(text))
        drop_cut_character(text);
    memcpy(it->text, text, strlen(text) + 1);
    it->status = status;
}

/* Writes one character of data as it is shown, and how many bytes of data it was. Controls, also
 * those of U+0080 to U+009F, are escaped: the sentence may well be printed on a terminal. */
static size_t show_character(char text[5], const char *data, size_t size) {
    size_t length = popoto__utf8_sequence(data, size);
    unsigned char first = (unsigned char)data[0];
    bool control = (length == 1 && (first < 0x20 || first == 0x7F)) ||
                   (length == 2 && first == 0xC2 && (unsigned char)data[1] < 0xA0);
    if (length == 0 || control) {
        snprintf(text, 5, "\\x%02x", first);
        return 1;
    }
    size_t written = 0;
    if (first == '\'' || first == '\\')
        text[written++] = '\\';
    memcpy(text + written, data, length);
    text[written + length] = '\0';
    return length;
}

const char *popoto__show(shown *room, const void *data, size_t size) {
    if (data == NULL)
        return strcpy(room->text, "null");
    const char *from = data;
    const size_t ending = sizeof("...'"); /* what must still fit behind each character */
    size_t written = 0;
    room->text[written++] = '\'';
    for (size_t i = 0; i < size;) {
        char one[5];
        i += show_character(one, from + i, size - i);
        size_t length = strlen(one);
        if (written + length + ending > sizeof(room->text)) {
            memcpy(room->text + written, "...", 3);
            written += 3;
            break;
        }
        memcpy(room->text + written, one, length);
        written += length;
    }
    memcpy(room->text + written, "'", 2);
    return room->text;
}

const char *popoto__show_value(shown *room, const popoto_value *value) {
    switch (value->type) {
    case POPOTO_BOOL: return strcpy(room->text, value->as.boolean ? "true" : "false");
    case POPOTO_INT:
        snprintf(room->text, sizeof(room->text), "%" PRId64, value->as.integer);
        return room->text;
    case POPOTO_FLOAT: popoto__codec_double_text(value->as.real, room->text); return room->text;
    case POPOTO_TEXT:
    case POPOTO_DECIMAL: return popoto__show(room, value->as.text.data, value->as.text.size);
    case POPOTO_BYTES: return popoto__show(room, value->as.bytes.data, value->as.bytes.size);
    case POPOTO_TIME:
    case POPOTO_DAY:
    case POPOTO_CLOCK:
        if (popoto__moment_text(value, room->text) == 0)
            snprintf(room->text, sizeof(room->text), "%s out of range",
                     popoto__type_name(value->type));
        return room->text;
    case POPOTO_LIST:
    case POPOTO_TUPLE:
    case POPOTO_SET:
        snprintf(room->text, sizeof(room->text), "%s of %zu", popoto__type_name(value->type),
                 value->as.list.count);
        return room->text;
    case POPOTO_MAP:
        snprintf(room->text, sizeof(room->text), "a map of %zu", value->as.list.count / 2);
        return room->text;
    case POPOTO_NULL:
    case POPOTO_ANY: break;
    }
    /* An unsigned integer that no int64_t holds has no type of its own: see popoto_of_unsigned. */
    return strcpy(room->text, value->type == POPOTO_NULL ? "null" : "a value of no type");
}
