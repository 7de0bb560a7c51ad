/* The embedded server: who starts it, who shares it, who stops it, whatever was killed before. The test
 * starts no server of the harness; what it leaves running in its own folder it kills. */
#define _XOPEN_SOURCE 700 /* nftw */
#include "embedded.h"
#include "failing_allocator.h"
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define PATIENCE 20000 /* milliseconds */

static popoto_allocator allocator;
static char self[4096]; /* this program */

/* A folder for one test: its parent is new, the folder itself is made by the library. */
typedef struct place {
    char parent[64];
    char folder[2048];
} place;

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void pause_ms(long milliseconds) {
    struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };
    nanosleep(&time, NULL);
}

static bool server_runs(const place *it) {
    char path[2100];
    snprintf(path, sizeof(path), "%s/server", it->folder);
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return false;
    bool runs = flock(file, LOCK_EX | LOCK_NB) != 0;
    close(file);
    return runs;
}

static pid_t server_process(const place *it) {
    char path[2100];
    char text[32] = "";
    snprintf(path, sizeof(path), "%s/server", it->folder);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    assert_true(read(file, text, sizeof(text) - 1) > 0);
    close(file);
    return (pid_t)atol(text);
}

static bool has_ended(const place *it) {
    for (int i = 0; i < 500 && server_runs(it); i++)
        pause_ms(5);
    return !server_runs(it);
}

static int make_place(void **state) {
    place *it = calloc(1, sizeof(*it));
    strcpy(it->parent, "/tmp/popoto-embedded-XXXXXX");
    if (it == NULL || mkdtemp(it->parent) == NULL)
        return -1;
    snprintf(it->folder, sizeof(it->folder), "%s/data", it->parent);
    *state = it;
    return 0;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where) {
    (void)about, (void)kind, (void)where;
    return remove(path);
}

/* Fails the test that leaves a server running. */
static int remove_place(void **state) {
    place *it = *state;
    bool left = server_runs(it);
    if (left) {
        fprintf(stderr, "left running: process %ld in %s\n", (long)server_process(it), it->folder);
        kill(server_process(it), SIGKILL);
    }
    bool child = waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD;
    if (child)
        fprintf(stderr, "left a child or a zombie\n");
    nftw(it->parent, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(it);
    return left || child ? -1 : 0;
}

static embedded *join(const place *it) {
    failure why = { 0 };
    embedded *joined = NULL;
    if (popoto__embedded_join(&allocator, it->folder, NULL, PATIENCE, &joined, &why) != POPOTO_OK)
        fail_msg("%s", why.text);
    return joined;
}

static popoto_status keep(void *context, size_t index, const reply *answer) {
    (void)index;
    snprintf(context, 64, "%s", answer->text == NULL ? "" : answer->text);
    return POPOTO_OK;
}

/* "SET key value" and the like; the reply's text. POPOTO_OK or what became of it. */
static popoto_status command(const embedded *it, const char *words, char text[64]) {
    failure why = { 0 };
    server_link *link = NULL;
    address to = {
        .kind = ADDRESS_UNIX,
        .path = popoto__embedded_socket(it),
        .display = "embedded:",
    };
    link_options options = { &allocator, 2000, 2000 };
    popoto_status status = popoto__link_new(&to, &options, &link, &why);
    buffer request;
    popoto__buffer_init(&request, &allocator);
    size_t count = 1;
    for (const char *at = words; *at != '\0'; at++)
        count += *at == ' ';
    popoto__request_begin(&request, count);
    for (; count > 0; count--) {
        size_t size = strcspn(words, " ");
        popoto__request_argument(&request, words, size);
        words += size + 1;
    }
    exchange what = { &request, 1, true, NULL, keep, text, NULL };
    if (status == POPOTO_OK)
        status = popoto__link_exchange(link, &what, &why);
    popoto__link_free(link);
    popoto__buffer_free(&request);
    return status;
}

static void assert_command(const embedded *it, const char *words, const char *expected) {
    char text[64];
    assert_int_equal(POPOTO_OK, command(it, words, text));
    assert_string_equal(expected, text);
}

static void assert_child(pid_t child) {
    int status;
    assert_int_equal(child, waitpid(child, &status, 0));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("a child ended with status %x", (unsigned)status);
}

/* A process that joins, tells so, and stays until it is told to leave or killed. */
typedef struct owner {
    pid_t process;
    int from;
    int to;
} owner;

static owner start_owner(const place *it) {
    int up[2];
    int down[2];
    char byte;
    assert_int_equal(0, pipe(up));
    assert_int_equal(0, pipe(down));
    owner made = { fork(), up[0], down[1] };
    if (made.process == 0) {
        failure why = { 0 };
        embedded *joined = NULL;
        close(up[0]);
        close(down[1]);
        if (popoto__embedded_join(&allocator, it->folder, NULL, PATIENCE, &joined, &why) !=
            POPOTO_OK)
            _exit(1);
        if (write(up[1], "x", 1) != 1 || read(down[0], &byte, 1) != 0)
            _exit(2);
        popoto__embedded_leave(joined);
        _exit(0);
    }
    close(up[1]);
    close(down[0]);
    assert_int_equal(1, read(made.from, &byte, 1));
    return made;
}

static void end_owner(const owner *it) {
    close(it->to);
    assert_child(it->process);
    close(it->from);
}

static void kill_owner(const owner *it) {
    kill(it->process, SIGKILL);
    waitpid(it->process, NULL, 0);
    close(it->from);
    close(it->to);
}

/* ----- one user ------------------------------------------------------------------------------- */

static void test_data_outlives_the_server(void **state) {
    place *it = *state;
    for (int round = 0; round < 3; round++) {
        char words[32];
        char expected[32];
        embedded *joined = join(it);
        assert_true(server_runs(it));
        if (round > 0) {
            snprintf(expected, sizeof(expected), "value-%d", round - 1);
            assert_command(joined, "GET key", expected);
        }
        snprintf(words, sizeof(words), "SET key value-%d", round);
        assert_command(joined, words, "OK");
        char socket[256];
        snprintf(socket, sizeof(socket), "%s", popoto__embedded_socket(joined));
        assert_int_equal(0, access(socket, F_OK));
        popoto__embedded_leave(joined);
        assert_false(server_runs(it));
        assert_int_not_equal(0, access(socket, F_OK));
    }
}

static void test_nobody_else_gets_in(void **state) {
    place *it = *state;
    struct stat about;
    embedded *joined = join(it);
    assert_int_equal(0, stat(it->folder, &about));
    assert_int_equal(0700, about.st_mode & 07777);
    assert_int_equal(0, stat(popoto__embedded_socket(joined), &about));
    assert_int_equal(0700, about.st_mode & 0777);
    char path[2100];
    snprintf(path, sizeof(path), "%s/log", it->folder);
    assert_int_equal(0, stat(path, &about));
    assert_int_equal(0, about.st_mode & 077);
    char text[64];
    assert_int_equal(POPOTO_OK, command(joined, "CONFIG GET port", text));
    popoto__embedded_leave(joined);
}

static void test_leaving_nothing_is_fine(void **state) {
    (void)state;
    popoto__embedded_leave(NULL);
}

/* The server must not end with the terminal or the process group, nor keep what the caller has open,
 * nor inherit what he made of his signals. */
static void test_the_server_stands_alone(void **state) {
    place *it = *state;
    int marker = dup(1); /* without close-on-exec */
    int high = fcntl(1, F_DUPFD, 200);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    embedded *joined = join(it);
    sigprocmask(SIG_SETMASK, &before, NULL);
    pid_t process = server_process(it);
    assert_int_not_equal(getsid(0), getsid(process));
    assert_int_not_equal(getpgid(0), getpgid(process));
#ifdef __linux__
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)process, high);
    assert_int_not_equal(0, access(path, F_OK));
#endif
    kill(process, SIGTERM); /* would be blocked */
    assert_true(has_ended(it));
    popoto__embedded_leave(joined);
    close(marker);
    close(high);
}

static void test_a_caller_without_standard_descriptors(void **state) {
    place *it = *state;
    pid_t child = fork();
    if (child == 0) {
        char text[64];
        failure why = { 0 };
        embedded *joined = NULL;
        close(0);
        close(1);
        close(2);
        if (popoto__embedded_join(&allocator, it->folder, NULL, PATIENCE, &joined, &why) !=
            POPOTO_OK)
            _exit(1);
        if (command(joined, "SET key value", text) != POPOTO_OK)
            _exit(2);
        popoto__embedded_leave(joined);
        _exit(0);
    }
    assert_child(child);
}

static void test_a_caller_that_ignores_its_children(void **state) {
    place *it = *state;
    signal(SIGCHLD, SIG_IGN);
    embedded *joined = join(it);
    assert_command(joined, "PING", "PONG");
    popoto__embedded_leave(joined);
    signal(SIGCHLD, SIG_DFL);
}

/* ----- several users -------------------------------------------------------------------------- */

static void test_the_last_to_leave_stops_it(void **state) {
    place *it = *state;
    owner first = start_owner(it);
    pid_t process = server_process(it);
    embedded *second = join(it);
    embedded *third = join(it);
    assert_int_equal(process, server_process(it));
    end_owner(&first);
    assert_true(server_runs(it));
    assert_command(second, "PING", "PONG");
    popoto__embedded_leave(third);
    assert_command(second, "PING", "PONG");
    assert_int_equal(process, server_process(it));
    popoto__embedded_leave(second);
    assert_false(server_runs(it));
}

static void test_a_forked_child_keeps_it_running(void **state) {
    place *it = *state;
    int hold[2];
    embedded *joined = join(it);
    assert_int_equal(0, pipe(hold));
    pid_t child = fork();
    if (child == 0) {
        char byte;
        char text[64];
        close(hold[1]);
        if (read(hold[0], &byte, 1) != 0 || command(joined, "PING", text) != POPOTO_OK)
            _exit(1);
        popoto__embedded_leave(joined);
        _exit(0);
    }
    close(hold[0]);
    popoto__embedded_leave(joined);
    assert_true(server_runs(it));
    close(hold[1]);
    assert_child(child);
    assert_false(server_runs(it));
}

static void test_many_come_and_go_at_random(void **state) {
    place *it = *state;
    enum {
        PROCESSES = 8,
        ROUNDS = 12
    };
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] != 0)
            continue;
        unsigned seed = (unsigned)getpid();
        for (int round = 0; round < ROUNDS; round++) {
            char text[64];
            char words[64];
            failure why = { 0 };
            embedded *joined = NULL;
            if (popoto__embedded_join(&allocator, it->folder, NULL, 60000, &joined, &why) !=
                POPOTO_OK) {
                fprintf(stderr, "round %d: %s\n", round, why.text);
                _exit(1);
            }
            snprintf(words, sizeof(words), "INCR count-%d", i);
            if (command(joined, words, text) != POPOTO_OK)
                _exit(2);
            seed = seed * 1103515245 + 12345;
            pause_ms(seed >> 16 & 63);
            popoto__embedded_leave(joined);
            seed = seed * 1103515245 + 12345;
            pause_ms(seed >> 16 & 63);
        }
        _exit(0);
    }
    for (int i = 0; i < PROCESSES; i++)
        assert_child(children[i]);
    assert_false(server_runs(it));
    embedded *joined = join(it);
    for (int i = 0; i < PROCESSES; i++) {
        char words[64];
        snprintf(words, sizeof(words), "GET count-%d", i);
        assert_command(joined, words, "12");
    }
    popoto__embedded_leave(joined);
}

/* ----- killed --------------------------------------------------------------------------------- */

static void test_a_killed_owners_server_is_used_again(void **state) {
    place *it = *state;
    owner killed = start_owner(it);
    pid_t process = server_process(it);
    kill_owner(&killed);
    assert_true(server_runs(it));
    embedded *joined = join(it);
    assert_int_equal(process, server_process(it));
    assert_command(joined, "PING", "PONG");
    popoto__embedded_leave(joined);
    assert_false(server_runs(it));
}

static void test_owner_and_server_killed(void **state) {
    place *it = *state;
    owner killed = start_owner(it);
    embedded *joined = join(it);
    assert_command(joined, "SET key value", "OK");
    popoto__embedded_leave(joined);
    kill_owner(&killed);
    kill(server_process(it), SIGKILL);
    assert_true(has_ended(it));
    joined = join(it); /* with a socket and a process id left over */
    assert_command(joined, "GET key", "value");
    popoto__embedded_leave(joined);
}

static void test_a_killed_server_is_revived(void **state) {
    place *it = *state;
    char text[64];
    failure why = { 0 };
    embedded *joined = join(it);
    embedded *other = join(it);
    for (int round = 0; round < 3; round++) {
        assert_command(joined, "INCR key", "");
        kill(server_process(it), SIGKILL);
        assert_true(has_ended(it));
        assert_int_equal(POPOTO_CANNOT_CONNECT, command(joined, "GET key", text));
        assert_int_equal(POPOTO_OK, popoto__embedded_revive(joined, PATIENCE, &why));
        pid_t process = server_process(it);
        assert_int_equal(POPOTO_OK, popoto__embedded_revive(other, PATIENCE, &why));
        assert_int_equal(process, server_process(it));
    }
    assert_command(other, "GET key", "3");
    popoto__embedded_leave(joined);
    assert_true(server_runs(it));
    popoto__embedded_leave(other);
}

static void test_leaving_a_killed_server(void **state) {
    place *it = *state;
    embedded *joined = join(it);
    kill(server_process(it), SIGKILL);
    assert_true(has_ended(it));
    popoto__embedded_leave(joined);
}

static void test_a_hanging_server_is_killed_by_the_last(void **state) {
    place *it = *state;
    failure why = { 0 };
    embedded *joined = join(it);
    embedded *other = NULL;
    assert_command(joined, "SET key value", "OK");
    kill(server_process(it), SIGSTOP);
    double start = seconds();
    assert_int_equal(POPOTO_TIMED_OUT,
                     popoto__embedded_join(&allocator, it->folder, NULL, 300, &other, &why));
    double took = seconds() - start;
    assert_true(took >= 0.3 && took < 0.6);
    assert_null(other);
    popoto__embedded_leave(joined);
    assert_false(server_runs(it));
    joined = join(it);
    assert_command(joined, "GET key", "value");
    popoto__embedded_leave(joined);
}

/* ----- folders -------------------------------------------------------------------------------- */

static popoto_status try(const char *folder, const char *program, failure *why) {
    embedded *joined = NULL;
    popoto_status status =
        popoto__embedded_join(&allocator, folder, program, PATIENCE, &joined, why);
    assert_true((status == POPOTO_OK) == (joined != NULL));
    popoto__embedded_leave(joined);
    return status;
}

static void test_folders_of_others_are_refused(void **state) {
    place *it = *state;
    failure why = { 0 };
    static const mode_t refused[] = { 0777, 0770, 0702, 01777 };
    static const mode_t accepted[] = { 0755, 0750, 0700 };
    assert_int_equal(0, mkdir(it->folder, 0700));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(0, chmod(it->folder, refused[i]));
        assert_int_equal(POPOTO_CANNOT_CONNECT, try(it->folder, NULL, &why));
        assert_non_null(strstr(why.text, "chmod go-w"));
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(0, chmod(it->folder, accepted[i]));
        assert_int_equal(POPOTO_OK, try(it->folder, NULL, &why));
    }
    if (geteuid() == 0) {
        assert_int_equal(0, chown(it->folder, 12345, (gid_t)-1));
        assert_int_equal(POPOTO_CANNOT_CONNECT, try(it->folder, NULL, &why));
        assert_non_null(strstr(why.text, "another user"));
    }
}

static void test_what_is_no_folder(void **state) {
    place *it = *state;
    failure why = { 0 };
    char path[2100];
    assert_int_equal(0, creat(it->folder, 0600) < 0);
    assert_int_equal(POPOTO_CANNOT_CONNECT, try(it->folder, NULL, &why));
    assert_non_null(strstr(why.text, it->folder));
    snprintf(path, sizeof(path), "%s/below", it->folder);
    assert_int_equal(POPOTO_CANNOT_CONNECT, try(path, NULL, &why));
    assert_int_equal(POPOTO_CANNOT_CONNECT, try("/proc/popoto", NULL, &why));
    unlink(it->folder);
}

static void test_a_folder_with_a_long_path(void **state) {
    place *it = *state;
    while (strlen(it->folder) < 400)
        strcat(it->folder, "/a folder with a rather long name");
    embedded *joined = join(it);
    embedded *other = join(it);
    assert_true(strlen(popoto__embedded_socket(joined)) < 108);
    assert_string_equal(popoto__embedded_socket(joined), popoto__embedded_socket(other));
    assert_command(joined, "SET key value", "OK");
    assert_command(other, "GET key", "value");
    popoto__embedded_leave(other);
    popoto__embedded_leave(joined);
    assert_false(server_runs(it));
}

static void test_a_folder_with_a_strange_name(void **state) {
    place *it = *state;
    strcat(it->folder, "/it's \"a\" \\ \xc3\xa4\n#$%*\t");
    for (int round = 0; round < 2; round++) {
        embedded *joined = join(it);
        if (round == 1)
            assert_command(joined, "GET key", "value");
        assert_command(joined, "SET key value", "OK");
        popoto__embedded_leave(joined);
    }
}

/* A program for which a quote ends an argument, as for Valkey 8; named by a path from here. */
static void test_no_argument_names_a_path(void **state) {
    place *it = *state;
    failure why = { 0 };
    char path[2100], here[PATH_MAX];
    embedded *joined = NULL;
    snprintf(path, sizeof path, "%s/picky", it->parent);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("#!/bin/sh\n"
          "for argument; do\n"
          "    case $argument in *\\\"* | *\\\\*) exit 1 ;; esac\n"
          "done\n"
          "exec redis-server \"$@\"\n",
          file);
    fclose(file);
    assert_int_equal(0, chmod(path, 0700));
    strcat(it->folder, "/a\"b\\c");
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(0, chdir(it->parent));
    popoto_status status =
        popoto__embedded_join(&allocator, it->folder, "./picky", PATIENCE, &joined, &why);
    assert_int_equal(0, chdir(here));
    if (status != POPOTO_OK)
        fail_msg("%s", why.text);
    assert_command(joined, "SET key value", "OK");
    popoto__embedded_leave(joined);
    unlink(path);
}

static void test_two_paths_of_one_folder(void **state) {
    place *it = *state;
    char path[2100];
    failure why = { 0 };
    embedded *joined = join(it);
    embedded *other = NULL;
    snprintf(path, sizeof(path), "%s/link", it->parent);
    assert_int_equal(0, symlink("data", path));
    strcat(path, "//./");
    assert_int_equal(POPOTO_OK,
                     popoto__embedded_join(&allocator, path, NULL, PATIENCE, &other, &why));
    assert_string_equal(popoto__embedded_socket(joined), popoto__embedded_socket(other));
    popoto__embedded_leave(joined);
    assert_command(other, "PING", "PONG");
    popoto__embedded_leave(other);
}

static void test_the_default_folder(void **state) {
    place *it = *state;
    failure why = { 0 };
    char path[2100];
    setenv("HOME", it->parent, 1);
    setenv("XDG_DATA_HOME", "", 1);
    assert_int_equal(POPOTO_OK, try(NULL, NULL, &why));
    snprintf(path, sizeof(path), "%s/.local/share/popoto/lock", it->parent);
    assert_int_equal(0, access(path, F_OK));
    setenv("XDG_DATA_HOME", "relative", 1);
    assert_int_equal(POPOTO_OK, try(NULL, NULL, &why));
    setenv("XDG_DATA_HOME", it->folder, 1);
    assert_int_equal(POPOTO_OK, try(NULL, NULL, &why));
    snprintf(path, sizeof(path), "%s/popoto/lock", it->folder);
    assert_int_equal(0, access(path, F_OK));
    unsetenv("XDG_DATA_HOME");
}

/* ----- programs ------------------------------------------------------------------------------- */

static void test_a_missing_program(void **state) {
    place *it = *state;
    failure why = { 0 };
    char path[4096];
    static const char *const programs[] = { "/nowhere/redis-server", "no-such-program", "/tmp",
                                            "/etc/passwd" };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(POPOTO_CANNOT_CONNECT, try(it->folder, programs[i], &why));
        assert_non_null(strstr(why.text, programs[i]));
        assert_non_null(strstr(why.text, "popoto_options.server_program"));
    }
    snprintf(path, sizeof(path), "%s", getenv("PATH"));
    setenv("PATH", "/nowhere::/tmp", 1);
    assert_int_equal(POPOTO_CANNOT_CONNECT, try(it->folder, NULL, &why));
    setenv("PATH", path, 1);
    assert_non_null(strstr(why.text, "apt-get install redis-server"));
    assert_int_equal(POPOTO_OK, try(it->folder, "redis-server", &why));
}

static void test_a_program_that_ends_at_once(void **state) {
    place *it = *state;
    failure why = { 0 };
    assert_int_equal(POPOTO_CANNOT_CONNECT, try(it->folder, "false", &why));
    assert_non_null(strstr(why.text, "it said nothing"));
}

static void test_a_program_that_cannot_be_run(void **state) {
    place *it = *state;
    failure why = { 0 };
    char path[2100];
    snprintf(path, sizeof(path), "%s/program", it->parent);
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    assert_int_equal(2, write(file, "\x7f\x01", 2));
    close(file);
    assert_int_equal(POPOTO_CANNOT_CONNECT, try(it->folder, path, &why));
    assert_non_null(strstr(why.text, "cannot run"));
}

static void test_damaged_data(void **state) {
    place *it = *state;
    failure why = { 0 };
    char path[2200];
    assert_int_equal(POPOTO_OK, try(it->folder, NULL, &why));
    snprintf(path, sizeof(path), "%s/appendonlydir/appendonly.aof.1.incr.aof", it->folder);
    if (access(path, F_OK) != 0)
        snprintf(path, sizeof(path), "%s/appendonly.aof", it->folder);
    int file = open(path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(9, write(file, "nonsense\n", 9));
    close(file);
    assert_int_equal(POPOTO_CANNOT_CONNECT, try(it->folder, NULL, &why));
    assert_non_null(strstr(why.text, "Bad file format"));
    assert_non_null(strstr(why.text, "/log"));
}

/* This program in the place of a server of long ago: see main. */
static void serve_as(const char *version, const char *path) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    char request[256];
    char answer[128];
    char info[64];
    strncpy(at.sun_path, path, sizeof(at.sun_path) - 1);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 5) != 0)
        _exit(1);
    snprintf(info, sizeof(info), "# Server\r\n%s\r\n", version);
    snprintf(answer, sizeof(answer), "$%zu\r\n%s\r\n", strlen(info), info);
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        ssize_t size;
        while ((size = recv(peer, request, sizeof(request) - 1, 0)) > 0) {
            request[size] = '\0';
            if (strstr(request, "SHUTDOWN") != NULL)
                _exit(0);
            const char *said = strstr(request, "PING") != NULL ? "+PONG\r\n" : answer;
            send(peer, said, strlen(said), MSG_NOSIGNAL);
        }
        close(peer);
    }
}

static void test_versions(void **state) {
    place *it = *state;
    failure why = { 0 };
    static const struct {
        const char *version;
        popoto_status status;
    } versions[] = {
        { "redis_version:6.0.16", POPOTO_UNSUPPORTED },
        { "redis_version:5.0.7", POPOTO_UNSUPPORTED },
        { "redis_version:6.2.0", POPOTO_OK },
        { "redis_version:10.0.1", POPOTO_OK },
        { "no version", POPOTO_BAD_REPLY },
    };
    for (size_t i = 0; i < 5; i++) {
        setenv("POPOTO_TEST_FAKE_VERSION", versions[i].version, 1);
        assert_int_equal(versions[i].status, try(it->folder, self, &why));
        assert_true(has_ended(it));
    }
    unsetenv("POPOTO_TEST_FAKE_VERSION");
    setenv("POPOTO_TEST_FAKE_VERSION", "redis_version:6.0.16", 1);
    assert_int_equal(POPOTO_UNSUPPORTED, try(it->folder, self, &why));
    unsetenv("POPOTO_TEST_FAKE_VERSION");
    assert_non_null(strstr(why.text, "6.0"));
    assert_non_null(strstr(why.text, "6.2"));
}

/* ----- memory --------------------------------------------------------------------------------- */

static void test_out_of_memory_is_a_status(void **state) {
    place *it = *state;
    embedded *running = join(it); /* so that not each try starts a server */
    for (int alone = 0; alone < 2; alone++) {
        if (alone)
            popoto__embedded_leave(running);
        for (size_t fails = 1;; fails += alone ? 5 : 1) {
            failing_allocator memory;
            failure why = { 0 };
            embedded *joined = NULL;
            failing_allocator_init(&memory, fails);
            popoto_status status =
                popoto__embedded_join(&memory.allocator, it->folder, NULL, PATIENCE, &joined, &why);
            if (!memory.failed || joined != NULL)
                assert_int_equal(POPOTO_OK, status);
            else
                assert_int_equal(POPOTO_NO_MEMORY, status);
            popoto__embedded_leave(joined);
            assert_int_equal(0, memory.live_blocks);
            if (!memory.failed)
                break;
        }
    }
}

#define place_test(function) cmocka_unit_test_setup_teardown(function, make_place, remove_place)

int main(int count, char **arguments) {
    const char *version = getenv("POPOTO_TEST_FAKE_VERSION");
    for (int i = 1; version != NULL && i + 1 < count; i++)
        if (strcmp(arguments[i], "--unixsocket") == 0)
            serve_as(version, arguments[i + 1]);

    allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    if (realpath(arguments[0], self) == NULL)
        return 1;
    const struct CMUnitTest tests[] = {
        place_test(test_data_outlives_the_server),
        place_test(test_nobody_else_gets_in),
        place_test(test_leaving_nothing_is_fine),
        place_test(test_the_server_stands_alone),
        place_test(test_a_caller_without_standard_descriptors),
        place_test(test_a_caller_that_ignores_its_children),
        place_test(test_the_last_to_leave_stops_it),
        place_test(test_a_forked_child_keeps_it_running),
        place_test(test_many_come_and_go_at_random),
        place_test(test_a_killed_owners_server_is_used_again),
        place_test(test_owner_and_server_killed),
        place_test(test_a_killed_server_is_revived),
        place_test(test_leaving_a_killed_server),
        place_test(test_a_hanging_server_is_killed_by_the_last),
        place_test(test_folders_of_others_are_refused),
        place_test(test_what_is_no_folder),
        place_test(test_a_folder_with_a_long_path),
        place_test(test_a_folder_with_a_strange_name),
        place_test(test_no_argument_names_a_path),
        place_test(test_two_paths_of_one_folder),
        place_test(test_the_default_folder),
        place_test(test_a_missing_program),
        place_test(test_a_program_that_ends_at_once),
        place_test(test_a_program_that_cannot_be_run),
        place_test(test_damaged_data),
        place_test(test_versions),
        place_test(test_out_of_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
