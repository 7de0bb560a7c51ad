/* table - see table.h. libsmartcols lays out; this file gathers the cells and decides whether they fit. */
#define _XOPEN_SOURCE 700 /* wcswidth */

#include "table.h"

#include "cli.h"
#include "terminal.h"

#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* What is left of a column that gives way must still tell something. */
#define LEAST_WIDTH 14

/* A wider cell is left to the terminal to break. */
#define MOST_WRAPPED 20000

typedef struct column {
    const char *title;
    int layout;
    size_t width; /* of its widest cell */
} column;

struct table {
    column *columns;
    size_t column_count;
    char **cells;
    size_t cell_count, cell_room;
};

/* Columns of a terminal that the text takes. */
static size_t width_of(const char *text) {
    size_t size = strlen(text);
    wchar_t *wide = demand((size + 1) * sizeof *wide);
    size_t count = mbstowcs(wide, text, size + 1);
    int width = count != (size_t)-1 ? wcswidth(wide, count) : -1;
    free(wide);
    return width >= 0 ? (size_t)width : size;
}

table *table_new(void) {
    return demand(sizeof(table));
}

void table_column(table *it, const char *title, int layout) {
    it->columns = demand_more(it->columns, (it->column_count + 1) * sizeof *it->columns);
    it->columns[it->column_count++] = (column){ title, layout, width_of(title) };
}

void table_cell(table *it, char *text) {
    column *of = &it->columns[it->cell_count % it->column_count];
    size_t width = width_of(text);
    of->width = width > of->width ? width : of->width;
    if (it->cell_count == it->cell_room) {
        it->cell_room = 2 * it->cell_room + 64;
        it->cells = demand_more(it->cells, it->cell_room * sizeof *it->cells);
    }
    it->cells[it->cell_count++] = text;
}

void table_word(table *it, const char *text) {
    table_cell(it, demand_text("%s", text));
}

void table_number(table *it, size_t number) {
    table_cell(it, number_text(number));
}

/* ----- Cutting -------------------------------------------------------------------------------- */

/* How wide the table is where columns that give way are at most `most` wide. */
static size_t width_with(const table *it, size_t most) {
    size_t all = 0;
    for (size_t c = 0; c < it->column_count; c++) {
        const column *one = &it->columns[c];
        all += one->layout & COLUMN_CUT && one->width > most ? most : one->width;
    }
    return all + 2 * (it->column_count - 1);
}

/* Does it fit, with what may give way cut a good deal? */
static bool fits(const table *it) {
    return terminal_width() == 0 || width_with(it, LEAST_WIDTH) <= terminal_width();
}

/* Is there a cell that would fill the screen many times over? Laying it out takes libsmartcols a time that
 * grows with the square of its size. */
static bool is_endless(const table *it) {
    size_t widest = 0;
    for (size_t c = 0; c < it->column_count; c++)
        if (it->columns[c].layout & COLUMN_WRAP && it->columns[c].width > widest)
            widest = it->columns[c].width;
    return terminal_width() > 0 && widest > MOST_WRAPPED;
}

/* The text without its end; its start is `width` columns wide at most. */
static void cut(char **text, size_t width) {
    size_t kept = 0, used = 0;
    /* From its start, for its end may be a long way off. */
    while ((*text)[kept] != '\0') {
        char one[8];
        size_t size = 1;
        while (size < sizeof one - 1 && ((unsigned char)(*text)[kept + size] & 0xC0) == 0x80)
            size++;
        memcpy(one, *text + kept, size);
        one[size] = '\0';
        used += width_of(one);
        if (used > width - 3)
            break;
        kept += size;
    }
    (*text)[kept] = '\0';
    char *marked = demand_text("%s...", *text);
    free(*text);
    *text = marked;
}

/* The widest columns give way first, so that narrow ones stay whole. */
static void cut_to_terminal(table *it) {
    size_t terminal = terminal_width(), most = 0;
    if (terminal == 0 || width_with(it, SIZE_MAX) <= terminal)
        return;
    for (size_t c = 0; c < it->column_count; c++)
        most = it->columns[c].width > most ? it->columns[c].width : most;
    while (most > LEAST_WIDTH && width_with(it, most) > terminal)
        most--;
    for (size_t i = 0; i < it->cell_count; i++) {
        const column *of = &it->columns[i % it->column_count];
        if (of->layout & COLUMN_CUT && width_of(it->cells[i]) > most)
            cut(&it->cells[i], most);
    }
}

/* Half a table is worse than none. */
static void must(bool done) {
    if (done)
        return;
    complain("there is no memory for the table");
    exit(EXIT_FINDINGS);
}

/* ----- Lines ---------------------------------------------------------------------------------- */

static struct libscols_table *laid_out(const table *it) {
    struct libscols_table *out = scols_new_table();
    size_t width = terminal_width();
    must(out != NULL && scols_table_set_column_separator(out, "  ") == 0);
    scols_table_set_termforce(out, width > 0 ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
    if (width > 0)
        scols_table_set_termwidth(out, width);
    /* What is not printable was escaped before. */
    scols_table_enable_noencoding(out, 1);
    scols_table_enable_colors(out, colours.bold[0] != '\0');
    for (size_t i = 0; i < it->column_count; i++) {
        int layout = it->columns[i].layout;
        int flags = (layout & COLUMN_RIGHT ? SCOLS_FL_RIGHT : 0) |
                    (layout & COLUMN_WRAP ? SCOLS_FL_WRAP : 0);
        struct libscols_column *made = scols_table_new_column(out, it->columns[i].title, 0, flags);
        must(made != NULL);
        if (colours.bold[0] != '\0')
            must(scols_cell_set_color(scols_column_get_header(made), colours.bold) == 0);
    }
    return out;
}

static void print_lines(table *it) {
    cut_to_terminal(it);
    struct libscols_table *out = laid_out(it);
    struct libscols_line *line = NULL;
    for (size_t i = 0; i < it->cell_count; i++) {
        size_t at = i % it->column_count;
        if (at == 0)
            line = scols_table_new_line(out, NULL);
        must(line != NULL && scols_line_set_data(line, at, it->cells[i]) == 0);
    }
    must(it->cell_count == 0 || scols_print_table(out) == 0);
    scols_unref_table(out);
}

/* ----- Blocks --------------------------------------------------------------------------------- */

static void print_blocks(const table *it) {
    size_t widest = 0;
    for (size_t c = 0; c < it->column_count; c++) {
        size_t width = strlen(it->columns[c].title);
        widest = width > widest ? width : widest;
    }
    for (size_t i = 0; i < it->cell_count; i++) {
        size_t at = i % it->column_count;
        if (at == 0 && i > 0)
            putchar('\n');
        printf("%s%-*s%s  %s\n", colours.bold, (int)widest, it->columns[at].title, colours.plain,
               it->cells[i]);
    }
}

void table_print(table *it, bool blocks) {
    if ((blocks && !fits(it)) || is_endless(it))
        print_blocks(it);
    else
        print_lines(it);
    for (size_t i = 0; i < it->cell_count; i++)
        free(it->cells[i]);
    free(it->cells);
    free(it->columns);
    free(it);
}

/* ----- Texts ---------------------------------------------------------------------------------- */

char *number_text(size_t number) {
    char plain[32];
    int size = snprintf(plain, sizeof plain, "%zu", number);
    char *out = demand((size_t)size * 2), *to = out;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            *to++ = ',';
        *to++ = plain[i];
    }
    return out;
}

char *size_text(size_t bytes) {
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    double size = (double)bytes;
    size_t unit = 0;
    /* What would be written 1024.0 is one of the next. */
    while (size >= 1023.95 && unit < 5) {
        size /= 1024;
        unit++;
    }
    return unit == 0 ? demand_text("%zu B", bytes) : demand_text("%.1f %s", size, units[unit]);
}

char *age_text(int64_t seconds) {
    if (seconds < 0)
        return demand_text("-");
    long long whole = seconds;
    if (whole < 120)
        return demand_text("%lld s", whole);
    if (whole < 7200)
        return demand_text("%lld min", whole / 60);
    if (whole < 172800)
        return demand_text("%lld h", whole / 3600);
    return demand_text("%lld d", whole / 86400);
}
