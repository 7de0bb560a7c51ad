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
#define LEAST_WIDTH 10

/* So many lines, and bytes of them, are laid out together where there is no terminal. */
#define LINES_AT_ONCE 1000
#define BYTES_AT_ONCE ((size_t)1 << 20)

/* A wider cell is left to the terminal to break. */
#define MOST_WRAPPED 20000

typedef struct column {
    char *title;
    int layout;
    size_t width; /* of its widest cell */
} column;

struct table {
    column *columns;
    size_t column_count;
    char **cells;
    size_t cell_count, cell_room;
    size_t bytes;
    bool begun; /* some lines are printed, and the header */
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
    it->columns[it->column_count++] = (column){ demand_text("%s", title), layout, width_of(title) };
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
    it->bytes += strlen(text);
}

void table_word(table *it, const char *text) {
    table_cell(it, demand_text("%s", text));
}

void table_number(table *it, size_t number) {
    table_cell(it, number_text(number));
}

/* ----- Cutting -------------------------------------------------------------------------------- */

/* How wide the first `count` columns are where those that give way are at most `most` wide. */
static size_t width_with(const table *it, size_t count, size_t most) {
    size_t all = 0;
    for (size_t c = 0; c < count; c++) {
        const column *one = &it->columns[c];
        size_t least = one->layout & COLUMN_WRAP ? LEAST_WIDTH : one->width;
        all += one->layout & COLUMN_CUT && one->width > most ? most : least;
    }
    return all + 2 * (count - 1);
}

/* How many columns fit, with what may give way cut a good deal. */
static size_t fitting(const table *it) {
    size_t count = it->column_count;
    while (count > 1 && terminal_width() > 0 &&
           width_with(it, count, LEAST_WIDTH) > terminal_width())
        count--;
    return count;
}

/* Leave out the columns that do not fit; their titles, to be freed, or NULL. */
static char *drop_columns(table *it) {
    size_t kept = fitting(it), lines = it->cell_count / it->column_count;
    char *titles = NULL;
    for (size_t c = kept; c < it->column_count; c++) {
        char *more = demand_text("%s%s%s", titles != NULL ? titles : "", titles != NULL ? ", " : "",
                                 it->columns[c].title);
        free(titles);
        free(it->columns[c].title);
        titles = more;
    }
    for (size_t i = 0; i < it->cell_count && titles != NULL; i++) {
        size_t line = i / it->column_count, at = i % it->column_count;
        if (at < kept)
            it->cells[line * kept + at] = it->cells[i];
        else
            free(it->cells[i]);
    }
    it->cell_count = lines * kept;
    it->column_count = kept;
    return titles;
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

/* The bytes of the character that begins here, and its columns. */
static size_t character(const char *at, size_t *width) {
    char one[8];
    size_t size = 1;
    while (size < sizeof one - 1 && ((unsigned char)at[size] & 0xC0) == 0x80)
        size++;
    memcpy(one, at, size);
    one[size] = '\0';
    *width = width_of(one);
    return size;
}

/* The text without its end; its start is `width` columns wide at most. */
static void cut(char **text, size_t width) {
    size_t kept = 0, used = 0;
    /* From its start, for its end may be a long way off. */
    while ((*text)[kept] != '\0') {
        size_t wide, size = character(*text + kept, &wide);
        used += wide;
        if (used > width - 3)
            break;
        kept += size;
    }
    (*text)[kept] = '\0';
    char *marked = demand_text("%s...", *text);
    free(*text);
    *text = marked;
}

/* The text in lines of at most `width` columns, broken between words where these are not wider. */
static void break_lines(char **text, size_t width) {
    char *out = demand(2 * strlen(*text) + 1), *to = out, *space = NULL;
    size_t used = 0, until_space = 0;
    for (const char *at = *text; *at != '\0';) {
        size_t wide, size = character(at, &wide);
        if (used + wide > width && space != NULL) {
            *space = '\n';
            used -= until_space;
            space = NULL;
        } else if (used + wide > width && used > 0) {
            *to++ = '\n';
            used = 0;
        }
        used += wide;
        if (*at == ' ') {
            space = to;
            until_space = used;
        }
        memcpy(to, at, size);
        to += size;
        at += size;
    }
    free(*text);
    *text = out;
}

/* The widest columns give way first, so that narrow ones stay whole. */
static void cut_to_terminal(table *it) {
    size_t terminal = terminal_width(), most = 0;
    if (terminal == 0 || width_with(it, it->column_count, SIZE_MAX) <= terminal)
        return;
    for (size_t c = 0; c < it->column_count; c++)
        most = it->columns[c].width > most ? it->columns[c].width : most;
    while (most > LEAST_WIDTH && width_with(it, it->column_count, most) > terminal)
        most--;
    for (size_t i = 0; i < it->cell_count; i++) {
        const column *of = &it->columns[i % it->column_count];
        if (of->layout & COLUMN_CUT && width_of(it->cells[i]) > most)
            cut(&it->cells[i], most);
    }
    for (size_t c = 0; c < it->column_count; c++) {
        column *of = &it->columns[c];
        if (of->layout & COLUMN_CUT && width_of(of->title) > most)
            cut(&of->title, most);
        of->width = of->layout & COLUMN_CUT && of->width > most ? most : of->width;
    }
}

/* A column that wraps has what the others leave, and is broken between words; libsmartcols would break them. */
static void wrap_to_terminal(table *it) {
    size_t terminal = terminal_width(), others = 0;
    for (size_t c = 0; c < it->column_count; c++)
        others += it->columns[c].layout & COLUMN_WRAP ? 0 : it->columns[c].width + 2;
    if (terminal < others + LEAST_WIDTH)
        return;
    for (size_t i = 0; i < it->cell_count; i++)
        if (it->columns[i % it->column_count].layout & COLUMN_WRAP)
            break_lines(&it->cells[i], terminal - others);
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
        if (layout & COLUMN_WRAP)
            must(scols_column_set_safechars(made, "\n") == 0 &&
                 scols_column_set_wrapfunc(made, scols_wrapnl_chunksize, scols_wrapnl_nextchunk,
                                           NULL) == 0);
    }
    return out;
}

/* The first line is as wide as those that were printed before. */
static void keep_widths(table *it) {
    for (size_t i = 0; i < it->column_count && i < it->cell_count; i++) {
        const column *of = &it->columns[i];
        size_t is = width_of(it->cells[i]);
        int missing = is < of->width ? (int)(of->width - is) : 0;
        bool right = of->layout & COLUMN_RIGHT;
        int behind = right || i + 1 == it->column_count ? 0 : missing;
        char *padded = demand_text("%*s%s%*s", right ? missing : 0, "", it->cells[i], behind, "");
        free(it->cells[i]);
        it->cells[i] = padded;
    }
}

static void print_lines(table *it) {
    if (it->begun)
        keep_widths(it);
    cut_to_terminal(it);
    wrap_to_terminal(it);
    struct libscols_table *out = laid_out(it);
    scols_table_enable_noheadings(out, it->begun);
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

static void print_blocks(table *it) {
    size_t widest = 0, terminal = terminal_width();
    for (size_t c = 0; c < it->column_count; c++) {
        size_t width = width_of(it->columns[c].title);
        widest = width > widest ? width : widest;
    }
    for (size_t i = 0; i < it->cell_count; i++) {
        size_t at = i % it->column_count;
        bool whole = it->columns[at].layout & COLUMN_WRAP || terminal < widest + 2 + LEAST_WIDTH;
        if (!whole && width_of(it->cells[i]) > terminal - widest - 2)
            cut(&it->cells[i], terminal - widest - 2);
        if (at == 0 && i > 0)
            putchar('\n');
        printf("%s%-*s%s  %s\n", colours.bold, (int)widest, it->columns[at].title, colours.plain,
               it->cells[i]);
    }
}

/* Do all lines fit on the screen as blocks? */
static bool is_short(const table *it) {
    size_t lines = it->cell_count / it->column_count;
    return lines * (it->column_count + 1) <= terminal_lines() + 1;
}

void table_flow(table *it) {
    bool many = it->cell_count >= LINES_AT_ONCE * it->column_count || it->bytes >= BYTES_AT_ONCE;
    if (!many || terminal_width() > 0)
        return;
    print_lines(it);
    it->begun = true;
    for (size_t i = 0; i < it->cell_count; i++)
        free(it->cells[i]);
    it->cell_count = it->bytes = 0;
}

void table_print(table *it, const char *hint) {
    char *left_out = NULL;
    if (is_endless(it) || (hint != NULL && fitting(it) < it->column_count && is_short(it))) {
        print_blocks(it);
    } else {
        left_out = drop_columns(it);
        print_lines(it);
    }
    if (left_out != NULL) {
        char *text = demand_text("no room for %s%s%s", left_out, hint != NULL ? "; " : "",
                                 hint != NULL ? hint : "");
        fputs(colours.dim, stdout);
        put_wrapped(stdout, text, 0, terminal_width());
        printf("%s\n", colours.plain);
        free(text);
    }
    free(left_out);
    table_free(it);
}

void table_free(table *it) {
    for (size_t i = 0; i < it->cell_count; i++)
        free(it->cells[i]);
    for (size_t c = 0; c < it->column_count; c++)
        free(it->columns[c].title);
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
