/* moment - the calendar: moments, days and times of day, their ISO 8601 text as Python's isoformat
 * writes it, and back. Proleptic Gregorian, years 1 to 9999, no leap seconds, no time zones by name.
 * Never reads a clock. */
#ifndef POPOTO_MOMENT_H
#define POPOTO_MOMENT_H

#include <popoto.h>

#define MOMENT_TEXT_SIZE 48

/* The text of a POPOTO_TIME, POPOTO_DAY or POPOTO_CLOCK:
 *     2020-01-02T03:04:05.000006+02:00   microseconds only where there are any, seconds of the offset
 *     2020-01-02                         likewise, no offset where the time is naive
 *     03:04:05.000006
 * Returns its size; 0 where the value is no moment of the years 1 to 9999. */
size_t popoto__moment_text(const popoto_value *value, char *text);

/* The UTC instant with all six digits and a Z, a naive time as if it were UTC's; as Popoto writes it
 * in keys. Returns its size; 0 where the instant is outside of the years 1 to 9999. */
size_t popoto__moment_utc_text(popoto_time time, char *text);

/* 20200102. Returns 8, or 0 for a day that there is not. */
size_t popoto__moment_day_digits(popoto_day day, char *text);

/* The other way. False, with *why set, for text that is not such a thing. Times: also with a Z, with
 * one to six digits of a second, and as Popoto wrote them before 1.8 (20200102T03:04:05.000006,
 * which is UTC). Days: 20200102. */
bool popoto__moment_read_time(const char *text, size_t size, popoto_time *time, const char **why);
bool popoto__moment_read_day(const char *text, size_t size, popoto_day *day, const char **why);
bool popoto__moment_read_clock(const char *text, size_t size, popoto_clock *clock,
                               const char **why);

/* Is there such a day, time, time of day? */
bool popoto__moment_is_day(popoto_day day);
bool popoto__moment_is_time(popoto_time time);
bool popoto__moment_is_clock(popoto_clock clock);

/* Days since 0001-01-01, which is 1 (Python's toordinal). */
int32_t popoto__moment_ordinal(popoto_day day);

#endif
