/* terminal - see terminal.h. */
#include "terminal.h"

#include "cli.h"
#include "typed.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

style colours = { "", "", "", "", "", "" };

static volatile sig_atomic_t stop_asked;
/* A bar that stands on the last line, to be wiped before anything else is said. */
static bar *standing;

static void take_interrupt(int number) {
    (void)number;
    stop_asked = 1;
}

bool interrupted(void) {
    return stop_asked != 0;
}

/* A standard stream that we were started without would be the next file to be opened: the connection, on
 * which whatever is printed would go to the server. Reading or writing what stands there instead fails. */
static void fill_streams(void) {
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

void terminal_prepare(void) {
    fill_streams();
    setlocale(LC_CTYPE, "");
    /* Once: the next Ctrl-C has its usual effect. Without SA_RESTART, so that a read ends too. */
    struct sigaction action = { .sa_handler = take_interrupt, .sa_flags = (int)SA_RESETHAND };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (!isatty(STDOUT_FILENO) || (no_color != NULL && no_color[0] != '\0') || term == NULL ||
        strcmp(term, "dumb") == 0)
        return;
    colours = (style){ "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m" };
}

size_t terminal_width(void) {
    struct winsize size;
    if (!isatty(STDOUT_FILENO))
        return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

size_t terminal_lines(void) {
    struct winsize size;
    if (!isatty(STDOUT_FILENO))
        return 0;
    /* Beside them stand the command, a header, a sum, the next prompt, perhaps a remark. */
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
        return size.ws_row > 18 ? size.ws_row - 8U : 10;
    return 16;
}

/* ----- Sentences ------------------------------------------------------------------------------ */

static volatile sig_atomic_t waited; /* long enough for that to be said */

static void wipe(void) {
    if (waited || (standing != NULL && standing->drawn > 0))
        fputs("\r\x1b[K", stderr);
    waited = 0;
}

void put_wrapped(FILE *to, const char *text, size_t indent, size_t width) {
    size_t column = indent;
    while (*text != '\0') {
        size_t size = strcspn(text, " "), shown = 0;
        for (size_t i = 0; i < size; i++)
            shown += ((unsigned char)text[i] & 0xC0) != 0x80;
        if (width > 20 && column > indent && column + 1 + shown > width) {
            fprintf(to, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', to);
            column++;
        }
        fwrite(text, 1, size, to);
        column += shown;
        text += size;
        text += *text == ' ';
    }
}

/* What it says may name anything that somebody typed or stored: nothing of it reaches a terminal that is not
 * printable. Takes no memory, for that there is none is said here too. */
static void speak(const char *opening, const char *format, va_list arguments) {
    wipe();
    fflush(stdout);
    fputs(opening, stderr);
    struct winsize size;
    char text[2048], clean[4 * sizeof text + 1];
    vsnprintf(text, sizeof text, format, arguments);
    show_text((popoto_text){ text, strlen(text) }, clean);
    bool wraps =
        isatty(STDERR_FILENO) && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20;
    put_wrapped(stderr, clean, strlen(opening), wraps ? size.ws_col : 0);
    fputc('\n', stderr);
}

void complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    speak("popoto: ", format, arguments);
    va_end(arguments);
}

void remark(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    speak("popoto: note: ", format, arguments);
    va_end(arguments);
}

/* ----- Questions ------------------------------------------------------------------------------ */

bool terminal_asks(void) {
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

int confirm(bool yes, const char *format, ...) {
    if (yes)
        return EXIT_DONE;
    char answer[16];
    va_list arguments;
    va_start(arguments, format);
    if (terminal_asks()) {
        fflush(stdout);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
        fputs(" [y/N] ", stderr);
        if (fgets(answer, sizeof answer, stdin) == NULL)
            fputc('\n', stderr);
        else if (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0 ||
                 strcmp(answer, "Y\n") == 0)
            return EXIT_DONE;
        complain("nothing was done");
        return interrupted() ? EXIT_STOPPED : EXIT_FINDINGS;
    }
    va_end(arguments);
    complain("this cannot be undone, and there is no terminal to ask at: add --yes");
    return EXIT_USAGE;
}

void end_interrupted(void) {
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
}

bool ask_password(const char *question, char *room, size_t size) {
    struct termios before, silent;
    if (!terminal_asks() || tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    fputs(question, stderr);
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    bool typed = fgets(room, (int)size, stdin) != NULL;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputc('\n', stderr);
    if (typed)
        room[strcspn(room, "\n")] = '\0';
    return typed;
}

/* ----- Progress ------------------------------------------------------------------------------- */

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

bar bar_start(const char *label) {
    const char *term = getenv("TERM");
    bool visible = isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    return (bar){ label, seconds_now(), 0, visible, false };
}

static void put_duration(FILE *to, double seconds) {
    unsigned long left = (unsigned long)(seconds + 0.5);
    if (left >= 3600)
        fprintf(to, "%lu:%02lu:%02lu left", left / 3600, left / 60 % 60, left % 60);
    else
        fprintf(to, "%lu:%02lu left", left / 60, left % 60);
}

static void draw(const bar *it, double now, size_t done, size_t total) {
    enum {
        WIDTH = 20
    };
    double rate = (double)done / (now - it->began);
    /* What is found comes out only after a while of looking. */
    if (done == 0) {
        fprintf(stderr, "\r\x1b[K%-18.18s looking through the keys", it->label);
        fflush(stderr);
        return;
    }
    fprintf(stderr, "\r\x1b[K%-18.18s ", it->label);
    if (total > 0) {
        size_t part = done < total ? done : total;
        /* All is done when the call says so, and not before. */
        double share = (double)part / (double)total;
        size_t percent = part < total ? (size_t)(share * 100) : 99;
        size_t full = (size_t)(share * WIDTH);
        fputc('[', stderr);
        for (size_t i = 0; i < WIDTH; i++)
            fputc(i < full ? '#' : '.', stderr);
        fprintf(stderr, "] %3zu %%  %zu  %.0f/s  ", percent, done, rate);
        if (part == total)
            fputs("checking", stderr);
        else if (rate > 0)
            put_duration(stderr, (double)(total - part) / rate);
    } else {
        fprintf(stderr, "%zu  %.0f/s", done, rate);
    }
    fflush(stderr);
}

bool bar_step(void *bar_, size_t done, size_t total) {
    bar *it = bar_;
    double now = seconds_now();
    /* What takes half a second needs no bar, and nobody reads more than ten a second. */
    if (it->visible && now - it->began > 0.5 && now - it->drawn > 0.1) {
        draw(it, now, done, total);
        it->drawn = now;
        standing = it;
    }
    return !interrupted();
}

/* While a call tells nothing, a signal says what it is about. */
static char waiting[64];

static void say_waiting(int number) {
    (void)number;
    ssize_t written = write(STDERR_FILENO, waiting, strlen(waiting));
    (void)written;
    waited = 1;
}

static void set_timer(long microseconds) {
    struct itimerval after = { .it_value = { .tv_usec = microseconds } };
    setitimer(ITIMER_REAL, &after, NULL);
}

void bar_wait(bar *it) {
    if (!it->visible)
        return;
    struct sigaction action = { .sa_handler = say_waiting, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    snprintf(waiting, sizeof waiting, "\r\x1b[K%s...", it->label);
    sigaction(SIGALRM, &action, NULL);
    set_timer(500000);
    it->waits = true;
}

void bar_end(bar *it) {
    if (it->waits)
        set_timer(0);
    standing = it;
    wipe();
    it->drawn = 0;
    it->waits = false;
    standing = NULL;
}

/* ----- Memory --------------------------------------------------------------------------------- */

void *demand_more(void *block, size_t size) {
    void *more = realloc(block, size > 0 ? size : 1);
    if (more == NULL) {
        complain("there is no memory for %zu bytes", size);
        exit(EXIT_FINDINGS);
    }
    return more;
}

void *demand(size_t size) {
    void *block = demand_more(NULL, size);
    memset(block, 0, size > 0 ? size : 1);
    return block;
}

char *demand_text(const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = demand(size < 0 ? 1 : (size_t)size + 1);
    if (size >= 0)
        vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}
