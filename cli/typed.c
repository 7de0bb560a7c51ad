/* typed - see typed.h. */
#include "typed.h"

#include "json.h"
#include "terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ----- Memory that stays ---------------------------------------------------------------------- */

typedef struct kept {
    struct kept *next;
    max_align_t room[];
} kept;

static kept *all_kept;

void *keep(size_t size) {
    kept *one = demand(sizeof *one + size);
    one->next = all_kept;
    all_kept = one;
    return one->room;
}

popoto_text keep_text(const void *data, size_t size) {
    char *copy = keep(size + 1);
    memcpy(copy, data, size);
    return (popoto_text){ copy, size };
}

popoto_value kept_tenant(const popoto_value *tenant) {
    popoto_value copy = *tenant;
    if (tenant->type == POPOTO_TEXT)
        copy.as.text = keep_text(tenant->as.text.data, tenant->as.text.size);
    if (tenant->type == POPOTO_BYTES) {
        popoto_text bytes = keep_text(tenant->as.bytes.data, tenant->as.bytes.size);
        copy.as.bytes = (popoto_bytes){ bytes.data, bytes.size };
    }
    return copy;
}

void kept_free(void) {
    while (all_kept != NULL) {
        kept *next = all_kept->next;
        free(all_kept);
        all_kept = next;
    }
}

/* ----- Names ---------------------------------------------------------------------------------- */

const char *type_name(popoto_type type) {
    static const char *const names[] = { "null",  "bool",  "int", "float", "text",
                                         "bytes", "time",  "day", "clock", "decimal",
                                         "list",  "tuple", "set", "map",   "any" };
    return (size_t)type < sizeof names / sizeof names[0] ? names[type] : "?";
}

const char *kind_name(popoto_kind kind) {
    static const char *const names[] = { "field",  "key",        "auto key", "unique key",
                                         "sorted", "confidence", "tenant" };
    return (size_t)kind < sizeof names / sizeof names[0] ? names[kind] : "?";
}

/* ----- Moments -------------------------------------------------------------------------------- */

static int put_fraction(char *room, unsigned microseconds) {
    return microseconds != 0 ? sprintf(room, ".%06u", microseconds) : 0;
}

void time_text(popoto_time time, char *room) {
    bool naive = time.offset == POPOTO_NAIVE;
    int64_t local = time.microseconds + (naive ? 0 : (int64_t)time.offset * 1000000);
    int64_t seconds = local / 1000000, rest = local % 1000000;
    if (rest < 0) {
        rest += 1000000;
        seconds--;
    }
    struct tm parts;
    time_t stamp = (time_t)seconds;
    if (gmtime_r(&stamp, &parts) == NULL)
        memset(&parts, 0, sizeof parts);
    room += sprintf(room, "%04d-%02d-%02dT%02d:%02d:%02d", parts.tm_year + 1900, parts.tm_mon + 1,
                    parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
    room += put_fraction(room, (unsigned)rest);
    if (naive)
        return;
    int32_t offset = time.offset < 0 ? -time.offset : time.offset;
    room += sprintf(room, "%c%02d:%02d", time.offset < 0 ? '-' : '+', (int)(offset / 3600),
                    (int)(offset / 60 % 60));
    if (offset % 60 != 0)
        sprintf(room, ":%02d", (int)(offset % 60));
}

void day_text(popoto_day day, char *room) {
    sprintf(room, "%04d-%02d-%02d", day.year, day.month, day.day);
}

void clock_text(popoto_clock clock, char *room) {
    room += sprintf(room, "%02d:%02d:%02d", clock.hour, clock.minute, clock.second);
    put_fraction(room, clock.microsecond);
}

static bool digits(const char **at, int count, unsigned *number) {
    *number = 0;
    for (int i = 0; i < count; i++, ++*at) {
        if (**at < '0' || **at > '9')
            return false;
        *number = *number * 10 + (unsigned)(**at - '0');
    }
    return true;
}

static bool letter(const char **at, char one) {
    return **at == one && (++*at, true);
}

static bool take_day(const char **at, popoto_day *out) {
    static const unsigned char lengths[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    unsigned year, month, day;
    if (!digits(at, 4, &year) || !letter(at, '-') || !digits(at, 2, &month) || !letter(at, '-') ||
        !digits(at, 2, &day))
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (year == 0 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] ||
        (month == 2 && day == 29 && !leap))
        return false;
    *out = (popoto_day){ (int16_t)year, (uint8_t)month, (uint8_t)day };
    return true;
}

static bool take_clock(const char **at, popoto_clock *out) {
    unsigned hour, minute, second = 0, fraction = 0;
    if (!digits(at, 2, &hour) || !letter(at, ':') || !digits(at, 2, &minute))
        return false;
    if (letter(at, ':') && !digits(at, 2, &second))
        return false;
    if (letter(at, '.')) {
        int places = (int)strspn(*at, "0123456789");
        if (places < 1 || places > 6 || !digits(at, places, &fraction))
            return false;
        for (; places < 6; places++)
            fraction *= 10;
    }
    *out = (popoto_clock){ (uint8_t)hour, (uint8_t)minute, (uint8_t)second, fraction };
    return hour < 24 && minute < 60 && second < 60;
}

static bool take_offset(const char **at, int32_t *offset) {
    unsigned hours, minutes, seconds = 0;
    *offset = POPOTO_NAIVE;
    if (**at == '\0')
        return true;
    *offset = 0;
    if (letter(at, 'Z'))
        return true;
    int sign = letter(at, '-') ? -1 : letter(at, '+') ? 1 : 0;
    if (sign == 0 || !digits(at, 2, &hours) || !letter(at, ':') || !digits(at, 2, &minutes))
        return false;
    if (letter(at, ':') && !digits(at, 2, &seconds))
        return false;
    *offset = sign * (int32_t)(hours * 3600 + minutes * 60 + seconds);
    return hours < 24 && minutes < 60 && seconds < 60;
}

bool day_read(const char *text, popoto_day *out) {
    return take_day(&text, out) && *text == '\0';
}

bool clock_read(const char *text, popoto_clock *out) {
    return take_clock(&text, out) && *text == '\0';
}

bool time_read(const char *text, popoto_time *out) {
    popoto_day day;
    popoto_clock clock = { 0 };
    int32_t offset = POPOTO_NAIVE;
    if (!take_day(&text, &day))
        return false;
    if (*text != '\0') {
        if ((!letter(&text, 'T') && !letter(&text, ' ')) || !take_clock(&text, &clock) ||
            !take_offset(&text, &offset) || *text != '\0')
            return false;
    }
    struct tm parts = { .tm_year = day.year - 1900,
                        .tm_mon = day.month - 1,
                        .tm_mday = day.day,
                        .tm_hour = clock.hour,
                        .tm_min = clock.minute,
                        .tm_sec = clock.second };
    out->microseconds = (int64_t)timegm(&parts) * 1000000 + clock.microsecond;
    if (offset != POPOTO_NAIVE)
        out->microseconds -= (int64_t)offset * 1000000;
    out->offset = offset;
    return true;
}

/* ----- Words to values ------------------------------------------------------------------------ */

static bool read_bool(const char *word, popoto_value *out) {
    static const char *const yes[] = { "true", "yes", "1" }, *const no[] = { "false", "no", "0" };
    for (size_t i = 0; i < 3; i++) {
        bool is = strcmp(word, yes[i]) == 0;
        if (is || strcmp(word, no[i]) == 0) {
            *out = popoto_of_bool(is);
            return true;
        }
    }
    return false;
}

static bool read_int(const char *word, popoto_value *out) {
    char *end;
    errno = 0;
    long long number = strtoll(word, &end, 10);
    *out = popoto_of_int(number);
    return word[0] != '\0' && word[0] != ' ' && *end == '\0' && errno == 0;
}

static bool read_float(const char *word, popoto_value *out) {
    char *end;
    *out = popoto_of_float(strtod(word, &end));
    return word[0] != '\0' && word[0] != ' ' && *end == '\0' && !isnan(out->as.real);
}

/* What can be any value is JSON where it looks like some, else text. */
static bool read_json(const char *word, bool or_text, popoto_value *out) {
    json_t *json = json_loads(word, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (json == NULL) {
        *out = popoto_of_text(word);
        return or_text;
    }
    *out = value_of_json(json);
    json_decref(json);
    return true;
}

static bool read_moment(popoto_type type, const char *word, popoto_value *out) {
    *out = (popoto_value){ .type = type };
    if (type == POPOTO_DAY)
        return day_read(word, &out->as.day);
    if (type == POPOTO_CLOCK)
        return clock_read(word, &out->as.clock);
    return time_read(word, &out->as.time);
}

static bool read_one(popoto_type type, const char *word, popoto_value *out) {
    bool texts = type == POPOTO_TEXT || type == POPOTO_BYTES || type == POPOTO_NULL;
    *out = (popoto_value){ .type = POPOTO_NULL };
    if (!texts && strcmp(word, "null") == 0)
        return true;
    switch (type) {
    case POPOTO_BOOL: return read_bool(word, out);
    case POPOTO_INT: return read_int(word, out);
    case POPOTO_FLOAT: return read_float(word, out);
    case POPOTO_TIME:
    case POPOTO_DAY:
    case POPOTO_CLOCK: return read_moment(type, word, out);
    case POPOTO_DECIMAL: *out = popoto_of_decimal((popoto_decimal){ word }); return true;
    case POPOTO_BYTES: *out = popoto_of_bytes((popoto_bytes){ word, strlen(word) }); return true;
    case POPOTO_ANY:
        return read_json(word, strchr("[{\"", word[0]) == NULL || word[0] == '\0', out);
    case POPOTO_LIST:
    case POPOTO_TUPLE:
    case POPOTO_SET:
    case POPOTO_MAP: return read_json(word, false, out);
    case POPOTO_TEXT:
    case POPOTO_NULL: break;
    }
    *out = popoto_of_text(word);
    return true;
}

static const char *example_of(popoto_type type) {
    switch (type) {
    case POPOTO_BOOL: return "true or false";
    case POPOTO_INT: return "a whole number such as 42";
    case POPOTO_FLOAT: return "a number such as 0.5";
    case POPOTO_TIME: return "a moment such as 2026-01-31T12:00:00Z";
    case POPOTO_DAY: return "a day such as 2026-01-31";
    case POPOTO_CLOCK: return "a time of day such as 12:30:00";
    default: return "JSON";
    }
}

bool typed_fits(const popoto_field *field, const char *word) {
    popoto_value value;
    return read_one(field->type, word, &value);
}

static bool read_or_refuse(const popoto_field *field, const char *lookup, popoto_type type,
                           const char *word, popoto_value *out) {
    if (read_one(type, word, out))
        return true;
    complain("%s%s%s takes %s, not '%s'", field->name, lookup != NULL ? "__" : "",
             lookup != NULL ? lookup : "", example_of(type), word);
    return false;
}

/* "a,b\,c": a and b,c. */
static bool read_list(const popoto_field *field, const char *lookup, const char *word,
                      popoto_value *out) {
    size_t most = 1, count = 0, size = 0;
    for (const char *at = word; *at != '\0'; at++)
        most += *at == ',';
    popoto_value *items = keep(most * sizeof *items);
    char *part = keep(strlen(word) + 1);
    for (const char *at = word;; at++) {
        if (at[0] == '\\' && (at[1] == ',' || at[1] == '\\')) {
            part[size++] = *++at;
        } else if (*at != ',' && *at != '\0') {
            part[size++] = *at;
        } else {
            part[size] = '\0';
            if (!read_or_refuse(field, lookup, field->type, part, &items[count++]))
                return false;
            if (*at == '\0')
                break;
            part += size + 1;
            size = 0;
        }
    }
    *out = popoto_of_items(POPOTO_LIST, items, count);
    return true;
}

bool typed_value(const popoto_field *field, const char *lookup, const char *word,
                 popoto_value *out) {
    bool none = lookup == NULL;
    if (!none && (strcmp(lookup, "in") == 0 || strcmp(lookup, "between") == 0))
        return read_list(field, lookup, word, out);
    if (!none && strcmp(lookup, "isnull") == 0)
        return read_or_refuse(field, lookup, POPOTO_BOOL, word, out);
    return read_or_refuse(field, lookup, field->type, word, out);
}

/* ----- Values to words ------------------------------------------------------------------------ */

void double_text(double number, char *room) {
    if (isnan(number) || isinf(number)) {
        strcpy(room, isnan(number) ? "nan" : number < 0 ? "-inf" : "inf");
        return;
    }
    for (int places = 15; places <= 17; places++) {
        sprintf(room, "%.*g", places, number);
        if (strtod(room, NULL) == number)
            break;
    }
    if (strpbrk(room, ".e") == NULL)
        strcat(room, ".0");
}

/* U+202A to U+202E and U+2066 to U+2069 turn around what stands beside them. */
static bool turns_around(const unsigned char *at) {
    return at[0] == 0xE2 && ((at[1] == 0x80 && at[2] >= 0xAA && at[2] <= 0xAE) ||
                             (at[1] == 0x81 && at[2] >= 0xA6 && at[2] <= 0xA9));
}

/* How many bytes of UTF-8 begin here; 0: they are none, or a control character. */
static size_t printable(const unsigned char *at, size_t size) {
    if (at[0] < 0x80)
        return at[0] >= 0x20 && at[0] != 0x7F ? 1 : 0;
    size_t length = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : at[0] >= 0xC2 ? 2 : 0;
    if (length == 0 || length > size || at[0] > 0xF4 || (at[0] == 0xC2 && at[1] < 0xA0))
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return length == 3 && turns_around(at) ? 0 : length;
}

void show_text(popoto_text text, char *room) {
    const unsigned char *from = (const unsigned char *)text.data;
    for (size_t i = 0; i < text.size;) {
        size_t length = printable(from + i, text.size - i);
        if (length == 0) {
            room += sprintf(room, from[i] == '\n' ? "\\n" : "\\x%02x", from[i]);
            i++;
        } else {
            memcpy(room, from + i, length);
            room += length;
            i += length;
        }
    }
    *room = '\0';
}

char *shown_text(popoto_text text) {
    char *out = demand(4 * text.size + 1);
    show_text(text, out);
    return out;
}

char *shown_word(const char *word) {
    return shown_text((popoto_text){ word, strlen(word) });
}

char *shown_briefly(const popoto_value *value) {
    char room[64];
    if (value->type != POPOTO_FLOAT)
        return shown_value(value);
    snprintf(room, sizeof room, "%.10g", value->as.real);
    double_text(strtod(room, NULL), room);
    return demand_text("%s", room);
}

char *shown_value(const popoto_value *value) {
    char room[64];
    switch (value->type) {
    case POPOTO_NULL: return demand_text("null");
    case POPOTO_BOOL: return demand_text("%s", value->as.boolean ? "true" : "false");
    case POPOTO_INT: return demand_text("%" PRId64, value->as.integer);
    case POPOTO_FLOAT: double_text(value->as.real, room); return demand_text("%s", room);
    case POPOTO_TEXT:
    case POPOTO_DECIMAL: return shown_text(value->as.text);
    case POPOTO_BYTES:
        return shown_text((popoto_text){ value->as.bytes.data, value->as.bytes.size });
    case POPOTO_TIME: time_text(value->as.time, room); return demand_text("%s", room);
    case POPOTO_DAY: day_text(value->as.day, room); return demand_text("%s", room);
    case POPOTO_CLOCK: clock_text(value->as.clock, room); return demand_text("%s", room);
    default: break;
    }
    json_t *json = json_of_value(value);
    char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    json_decref(json);
    char *shown = shown_text((popoto_text){ text, text != NULL ? strlen(text) : 0 });
    free(text);
    return shown;
}
