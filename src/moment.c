/* moment - see moment.h. */
#include "moment.h"

#include <stdio.h>
#include <string.h>

#define SECOND       INT64_C(1000000)
#define DAY_SECONDS  86400
#define DAY          (DAY_SECONDS * SECOND)
#define ORDINAL_1970 719163
#define ORDINAL_LAST 3652059 /* 9999-12-31 */

/* ----- days ----------------------------------------------------------------------------------- */

static bool is_leap(int year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days in a year before the first of each month; [13] ends December. */
static const int16_t days_before[14] = { 0,   0,   31,  59,  90,  120, 151,
                                         181, 212, 243, 273, 304, 334, 365 };

static int days_before_month(int year, int month) {
    return days_before[month] + (month > 2 && is_leap(year));
}

bool popoto__moment_is_day(popoto_day day) {
    if (day.year < 1 || day.year > 9999 || day.month < 1 || day.month > 12 || day.day < 1)
        return false;
    return day.day <=
           days_before_month(day.year, day.month + 1) - days_before_month(day.year, day.month);
}

int32_t popoto__moment_ordinal(popoto_day day) {
    int before = day.year - 1;
    return before * 365 + before / 4 - before / 100 + before / 400 +
           days_before_month(day.year, day.month) + day.day;
}

/* The inverse, for ordinals 1 to ORDINAL_LAST. Years are taken off by cycles: 400 years have 146097
 * days, 100 have 36524 (the last of four one more), 4 have 1461, 1 has 365 (the last one more). */
static popoto_day day_of_ordinal(int32_t ordinal) {
    int rest = ordinal - 1;
    int year = 1 + 400 * (rest / 146097);
    rest %= 146097;
    int centuries = rest / 36524 < 3 ? rest / 36524 : 3;
    rest -= centuries * 36524;
    int fours = rest / 1461;
    rest %= 1461;
    int ones = rest / 365 < 3 ? rest / 365 : 3;
    rest -= ones * 365;
    year += centuries * 100 + fours * 4 + ones;
    int month = rest / 32 + 1; /* never too late, and at most one too early */
    if (month < 12 && rest >= days_before_month(year, month + 1))
        month++;
    return (popoto_day){
        (int16_t)year,
        (uint8_t)month,
        (uint8_t)(rest - days_before_month(year, month) + 1),
    };
}

/* ----- times ---------------------------------------------------------------------------------- */

bool popoto__moment_is_clock(popoto_clock clock) {
    return clock.hour < 24 && clock.minute < 60 && clock.second < 60 && clock.microsecond < 1000000;
}

/* The wall clock's microseconds since 0001-01-01T00:00:00; false where it is outside the calendar. */
static bool wall_of_time(popoto_time time, int64_t *wall) {
    const int64_t start = (1 - ORDINAL_1970) * DAY;
    const int64_t end = (ORDINAL_LAST + 1 - ORDINAL_1970) * DAY;
    int32_t offset = time.offset == POPOTO_NAIVE ? 0 : time.offset;
    if (offset <= -DAY_SECONDS || offset >= DAY_SECONDS)
        return false;
    if (time.microseconds < start - DAY || time.microseconds >= end + DAY)
        return false;
    int64_t local = time.microseconds + offset * SECOND;
    *wall = local - start;
    return local >= start && local < end;
}

bool popoto__moment_is_time(popoto_time time) {
    int64_t wall;
    return wall_of_time(time, &wall);
}

static void split_wall(int64_t wall, popoto_day *day, popoto_clock *clock) {
    int64_t within = wall % DAY;
    int seconds = (int)(within / SECOND);
    *day = day_of_ordinal((int32_t)(wall / DAY) + 1);
    *clock = (popoto_clock){
        .hour = (uint8_t)(seconds / 3600),
        .minute = (uint8_t)(seconds / 60 % 60),
        .second = (uint8_t)(seconds % 60),
        .microsecond = (uint32_t)(within % SECOND),
    };
}

/* ----- writing -------------------------------------------------------------------------------- */

/* Digits by hand: every stored time passes here, and printf is ten times as slow. */
static char *put_digits(char *text, int count, uint32_t number) {
    for (int i = count - 1; i >= 0; i--) {
        text[i] = (char)('0' + number % 10);
        number /= 10;
    }
    return text + count;
}

static char *put(char *text, char separator, int count, uint32_t number) {
    *text = separator;
    return put_digits(text + 1, count, number);
}

static char *put_day(char *text, popoto_day day) {
    text = put_digits(text, 4, (uint32_t)day.year);
    text = put(text, '-', 2, day.month);
    return put(text, '-', 2, day.day);
}

static char *put_clock(char *text, popoto_clock clock, bool all_digits) {
    text = put_digits(text, 2, clock.hour);
    text = put(text, ':', 2, clock.minute);
    text = put(text, ':', 2, clock.second);
    if (clock.microsecond != 0 || all_digits)
        text = put(text, '.', 6, clock.microsecond);
    return text;
}

static char *put_offset(char *text, int32_t offset) {
    uint32_t seconds = (uint32_t)(offset < 0 ? -offset : offset);
    text = put(text, offset < 0 ? '-' : '+', 2, seconds / 3600);
    text = put(text, ':', 2, seconds / 60 % 60);
    if (seconds % 60 != 0)
        text = put(text, ':', 2, seconds % 60);
    return text;
}

static size_t time_text(popoto_time time, bool as_key, char *text) {
    int64_t wall;
    popoto_day day;
    popoto_clock clock;
    if (!wall_of_time(time, &wall))
        return 0;
    split_wall(wall, &day, &clock);
    char *end = put_day(text, day);
    *end++ = 'T';
    end = put_clock(end, clock, as_key);
    if (as_key)
        *end++ = 'Z';
    else if (time.offset != POPOTO_NAIVE)
        end = put_offset(end, time.offset);
    *end = '\0';
    return (size_t)(end - text);
}

size_t popoto__moment_utc_text(popoto_time time, char *text) {
    return time_text((popoto_time){ time.microseconds, 0 }, true, text);
}

size_t popoto__moment_day_digits(popoto_day day, char *text) {
    if (!popoto__moment_is_day(day))
        return 0;
    char *end = put_digits(text, 4, (uint32_t)day.year);
    end = put_digits(end, 2, day.month);
    end = put_digits(end, 2, day.day);
    *end = '\0';
    return 8;
}

size_t popoto__moment_text(const popoto_value *value, char *text) {
    char *end = text;
    if (value->type == POPOTO_TIME)
        return time_text(value->as.time, false, text);
    if (value->type == POPOTO_DAY && popoto__moment_is_day(value->as.day))
        end = put_day(text, value->as.day);
    else if (value->type == POPOTO_CLOCK && popoto__moment_is_clock(value->as.clock))
        end = put_clock(text, value->as.clock, false);
    *end = '\0';
    return (size_t)(end - text);
}

/* ----- reading -------------------------------------------------------------------------------- */

/* What is still to be read; `bad` remembers the first thing that was not there. */
typedef struct reader {
    const char *next;
    const char *end;
    bool bad;
} reader;

static bool at(const reader *it, char c) {
    return it->next < it->end && *it->next == c;
}

static void expect(reader *it, char c) {
    if (at(it, c))
        it->next++;
    else
        it->bad = true;
}

static bool at_digit(const reader *it) {
    return it->next < it->end && *it->next >= '0' && *it->next <= '9';
}

static int digits(reader *it, int count) {
    int number = 0;
    for (int i = 0; i < count; i++) {
        if (!at_digit(it)) {
            it->bad = true;
            return 0;
        }
        number = number * 10 + (*it->next++ - '0');
    }
    return number;
}

static popoto_day read_day(reader *it, bool separated) {
    popoto_day day;
    day.year = (int16_t)digits(it, 4);
    if (separated)
        expect(it, '-');
    day.month = (uint8_t)digits(it, 2);
    if (separated)
        expect(it, '-');
    day.day = (uint8_t)digits(it, 2);
    return day;
}

static popoto_clock read_clock(reader *it) {
    popoto_clock clock = { 0 };
    clock.hour = (uint8_t)digits(it, 2);
    expect(it, ':');
    clock.minute = (uint8_t)digits(it, 2);
    expect(it, ':');
    clock.second = (uint8_t)digits(it, 2);
    if (!at(it, '.'))
        return clock;
    it->next++;
    clock.microsecond = (uint32_t)digits(it, 1);
    for (int i = 1; i < 6; i++)
        clock.microsecond = clock.microsecond * 10 + (uint32_t)(at_digit(it) ? digits(it, 1) : 0);
    return clock;
}

/* An offset, Z, or nothing. */
static int32_t read_offset(reader *it) {
    if (it->next == it->end)
        return POPOTO_NAIVE;
    if (at(it, 'Z')) {
        it->next++;
        return 0;
    }
    bool west = at(it, '-');
    expect(it, west ? '-' : '+');
    int hours = digits(it, 2);
    expect(it, ':');
    int minutes = digits(it, 2);
    int seconds = 0;
    if (at(it, ':')) {
        it->next++;
        seconds = digits(it, 2);
    }
    if (hours > 23 || minutes > 59 || seconds > 59)
        it->bad = true;
    int32_t offset = hours * 3600 + minutes * 60 + seconds;
    return west ? -offset : offset;
}

bool popoto__moment_read_time(const char *text, size_t size, popoto_time *time, const char **why) {
    reader it = { text, text + size, false };
    bool separated = size > 4 && text[4] == '-';
    popoto_day day = read_day(&it, separated);
    if (separated && at(&it, ' '))
        it.next++;
    else
        expect(&it, 'T');
    popoto_clock clock = read_clock(&it);
    int32_t offset = read_offset(&it);
    if (!separated && offset == POPOTO_NAIVE)
        offset = 0; /* before 1.8 Popoto dropped the offset, and since reads such times as UTC */
    if (it.bad || it.next != it.end || !popoto__moment_is_day(day) ||
        !popoto__moment_is_clock(clock)) {
        *why = "its text is no moment as isoformat writes it";
        return false;
    }
    int64_t seconds = (int64_t)(popoto__moment_ordinal(day) - ORDINAL_1970) * DAY_SECONDS +
                      clock.hour * 3600 + clock.minute * 60 + clock.second -
                      (offset == POPOTO_NAIVE ? 0 : offset);
    *time = (popoto_time){ seconds * SECOND + clock.microsecond, offset };
    return true;
}

bool popoto__moment_read_day(const char *text, size_t size, popoto_day *day, const char **why) {
    reader it = { text, text + size, false };
    *day = read_day(&it, false);
    if (!it.bad && it.next == it.end && popoto__moment_is_day(*day))
        return true;
    *why = "its text is no day of the form 20200102";
    return false;
}

bool popoto__moment_read_clock(const char *text, size_t size, popoto_clock *clock,
                               const char **why) {
    reader it = { text, text + size, false };
    *clock = read_clock(&it);
    *why = "its text is no time of day as isoformat writes it";
    if (it.bad || !popoto__moment_is_clock(*clock))
        return false;
    if (it.next == it.end)
        return true;
    read_offset(&it);
    if (!it.bad && it.next == it.end)
        *why = "it is a time of day with an offset";
    return false;
}
