/* table - plain tables on stdout: a header, numbers to the right, cut to the terminal's width, whole where
 * there is no terminal. */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct table table;

/* How a column is laid out. */
enum {
    COLUMN_LEFT = 0,
    COLUMN_RIGHT = 1,
    COLUMN_CUT = 2, /* gives way where the terminal is too narrow */
    COLUMN_WRAP = 4,
};

table *table_new(void);
void table_column(table *it, const char *title, int layout);
/* Then cell by cell, line by line. */
void table_cell(table *it, char *text); /* takes text, which is malloc's */
void table_word(table *it, const char *text);
void table_number(table *it, size_t number); /* 1,234,567 */
/* After a line, where there may be any number of them: unless a terminal is to hold them all, print those that
 * gathered. Wider ones that come later move their columns from there on. */
void table_flow(table *it);
/* Print and free. On a terminal, the last columns are left out where there is no room for them, and named. With
 * a hint on what to do about that, lines that fit on the screen so are blocks of lines instead. */
void table_print(table *it, const char *hint);
void table_free(table *it); /* unprinted */

/* Texts for people, to be freed. */
char *number_text(size_t number);
char *size_text(size_t bytes);   /* 1.2 MiB */
char *age_text(int64_t seconds); /* 3 h */

#endif
