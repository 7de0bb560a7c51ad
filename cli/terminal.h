/* terminal - how the command speaks to whoever runs it: sentences on stderr, questions, progress bars,
 * colours, and Ctrl-C. */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Escape codes for stdout; all empty where it is no terminal, or NO_COLOR is set. */
typedef struct style {
    const char *bold, *dim, *red, *green, *yellow, *plain;
} style;
extern style colours;

/* Locale, colours, signals. */
void terminal_prepare(void);

/* "popoto: ..." on stderr: what was wrong and what would be right. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "popoto: note: ...": what is no failure, but should be known. */
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Text broken at spaces to fit `width` columns (0: any number), where the first line begins at column
 * `indent` and the others behind as many spaces. */
void put_wrapped(FILE *to, const char *text, size_t indent, size_t width);

/* Was Ctrl-C pressed? A second one ends the program at once. */
bool interrupted(void);
/* Ends as who was stopped by Ctrl-C: a shell's loop around the command ends too. */
void end_interrupted(void);

/* Columns of the terminal at stdout; 0 where it is none. */
size_t terminal_width(void);
/* How many lines of a table it shows at once, unless the user says otherwise; 0: all, it is none. */
size_t terminal_lines(void);
bool terminal_asks(void); /* is somebody there to answer? */

/* Asks a question. `yes`: it was answered by --yes. 0: go on; else what to exit with. */
int confirm(bool yes, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A password that is typed and not shown. False: nobody is there to type it. */
bool ask_password(const char *question, char *room, size_t size);

/* A bar on stderr, where that is a terminal. */
typedef struct bar {
    const char *label;
    double began;
    double drawn; /* 0: never */
    bool visible;
    bool waits; /* for the first word about it */
} bar;
bar bar_start(const char *label);
/* A popoto_progress. total 0: not known. False after Ctrl-C. */
bool bar_step(void *bar_, size_t done, size_t total);
/* Where a call tells no progress: that something is going on, if it takes long. */
void bar_wait(bar *it);
void bar_end(bar *it);

/* Memory that the command needs is there, or it ends. */
void *demand(size_t size);
void *demand_more(void *block, size_t size);
char *demand_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
