/* typed - words of the command line as values of a field's type, and values as words for tables. And the
 * memory that such values live in. */
#ifndef TYPED_H
#define TYPED_H

#include <popoto.h>

/* Room that stays until kept_free, zeroed. */
void *keep(size_t size);
popoto_text keep_text(const void *data, size_t size);
void kept_free(void);

/* The word as a value for this field and lookup ("gte"; NULL: equals). False, and said, where it is
 * none. */
bool typed_value(const popoto_field *field, const char *lookup, const char *word,
                 popoto_value *out);

/* Whether it is one, and nothing said. */
bool typed_fits(const popoto_field *field, const char *word);

/* Moments, with T between day and time; room of at least 48 bytes. */
void time_text(popoto_time time, char *room);
void day_text(popoto_day day, char *room);
void clock_text(popoto_clock clock, char *room);
bool time_read(const char *text, popoto_time *out);
bool day_read(const char *text, popoto_day *out);
bool clock_read(const char *text, popoto_clock *out);

/* The shortest text that reads back as the same number; room of at least 40 bytes. */
void double_text(double number, char *room);

/* A value as one line for people, without control characters; to be freed. */
char *shown_value(const popoto_value *value);
/* The same, with as many digits as people read. */
char *shown_briefly(const popoto_value *value);
char *shown_text(popoto_text text);
char *shown_word(const char *word);
/* What a callback gets of a tenant lives no longer than the call. */
popoto_value kept_tenant(const popoto_value *tenant);
/* The same into a room of four times the text's size and one. */
void show_text(popoto_text text, char *room);

const char *type_name(popoto_type type);
const char *kind_name(popoto_kind kind);

#endif
