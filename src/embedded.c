/* embedded - see embedded.h. What lies in the folder:
 *
 *     lock            held while somebody starts or stops the server: one at a time
 *     users           held, shared, by everyone who has joined: who can hold it alone is the last
 *     server          held by the server as long as it lives, with its process id in it
 *     socket          where it listens (a folder with a long name has it in /tmp/popoto-UID)
 *     log             what it says
 *     appendonlydir   the data (appendonly.aof with Redis 6.2)
 *
 * All three locks are flock(2)'s: the kernel lets go of them however a process ends, so nothing that
 * was left behind by a killed one stops the next. In particular the server's own lock, which it inherits
 * without knowing, says for certain whether it still writes to the data.
 *
 * Never reads or writes the data, never touches a server that it finds outside its folder. */
#include "embedded.h"

#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#endif

#define INSTALL_A_SERVER                                                                    \
    "install redis-server (Debian: apt-get install redis-server) or valkey-server, or set " \
    "popoto_options.server_program"

/* How long to wait for a server that was asked to stop, in milliseconds. */
#define TIME_TO_CONNECT   2000
#define TIME_TO_SHUT_DOWN 10000
#define TIME_TO_TERMINATE 2000
#define TIME_TO_LOCK      30000

#define LARGEST_LOG      (1024 * 1024)
#define MOST_DESCRIPTORS 65536

struct embedded {
    const popoto_allocator *allocator;
    arena texts;
    const char *folder;  /* its one real path */
    const char *socket;  /* where the server listens */
    const char *program; /* as asked for; NULL: find one */
    int directory;       /* the folder, open */
    int users;           /* the file, with our shared lock */
};

/* ----- time ----------------------------------------------------------------------------------- */

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int64_t deadline_in(int milliseconds) {
    return milliseconds < 0 ? INT64_MAX : now() + milliseconds;
}

/* Negative for no deadline, as link_options has it. */
static int milliseconds_until(int64_t deadline) {
    if (deadline == INT64_MAX)
        return -1;
    int64_t left = deadline - now();
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static void pause_ms(int milliseconds) {
    struct timespec time = { 0, milliseconds * 1000000L };
    nanosleep(&time, NULL);
}

static const char *error_text(int error, char room[128]) {
    if (strerror_r(error, room, 128) != 0)
        snprintf(room, 128, "error %d", error);
    return room;
}

/* ----- locks ---------------------------------------------------------------------------------- */

static int open_file(const embedded *it, const char *name) {
    return openat(it->directory, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* 0, or -1 with errno; ETIMEDOUT at the deadline. */
static int lock_until(int file, int kind, int64_t deadline) {
    while (flock(file, kind | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return -1;
        if (milliseconds_until(deadline) == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        pause_ms(3);
    }
    return 0;
}

/* Let go for certain: a child that somebody forked meanwhile shares this lock. */
static void unlock(int file) {
    flock(file, LOCK_UN);
    close(file);
}

static popoto_status fail_file(const embedded *it, const char *name, failure *why) {
    char room[128];
    if (errno == ETIMEDOUT)
        return popoto__fail(why, POPOTO_TIMED_OUT,
                            "another process takes too long to start or stop the embedded server "
                            "of %s",
                            it->folder);
    return popoto__fail(why, POPOTO_CANNOT_CONNECT, "cannot use %s/%s: %s", it->folder, name,
                        error_text(errno, room));
}

static popoto_status take_lock(const embedded *it, int64_t deadline, int *out, failure *why) {
    *out = open_file(it, "lock");
    if (*out < 0)
        return fail_file(it, "lock", why);
    if (lock_until(*out, LOCK_EX, deadline) == 0)
        return POPOTO_OK;
    popoto_status status = fail_file(it, "lock", why);
    close(*out);
    return status;
}

/* To be asked under the lock. */
static bool server_runs(const embedded *it) {
    int file = open_file(it, "server");
    if (file < 0)
        return false;
    bool runs = flock(file, LOCK_EX | LOCK_NB) != 0;
    if (runs)
        close(file);
    else
        unlock(file);
    return runs;
}

static pid_t server_process(const embedded *it) {
    char text[32] = "";
    int file = open_file(it, "server");
    if (file < 0)
        return 0;
    ssize_t size = read(file, text, sizeof(text) - 1);
    close(file);
    long process = size > 0 ? strtol(text, NULL, 10) : 0;
    return process > 1 && process <= INT_MAX ? (pid_t)process : 0;
}

static bool wait_until_gone(const embedded *it, int milliseconds) {
    int64_t deadline = deadline_in(milliseconds);
    while (server_runs(it)) {
        if (milliseconds_until(deadline) == 0)
            return false;
        pause_ms(3);
    }
    return true;
}

/* ----- the folder ----------------------------------------------------------------------------- */

static const char *join_text(arena *memory, const char *one, const char *other) {
    size_t size = strlen(one);
    size_t other_size = strlen(other);
    char *text = popoto__arena_bytes(memory, size + other_size + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, one, size);
    memcpy(text + size, other, other_size + 1);
    return text;
}

static popoto_status default_folder(embedded *it, const char **out, failure *why) {
    const char *data = getenv("XDG_DATA_HOME");
    const char *behind = "/popoto";
    struct passwd entry;
    struct passwd *found = NULL;
    char room[4096];
    if (data == NULL || data[0] != '/') { /* a relative one is to be ignored, says its standard */
        data = getenv("HOME");
        behind = "/.local/share/popoto";
    }
    if (data == NULL || data[0] != '/') {
        getpwuid_r(geteuid(), &entry, room, sizeof(room), &found);
        data = found == NULL ? NULL : found->pw_dir;
    }
    if (data == NULL || data[0] != '/')
        return popoto__fail(
            why, POPOTO_CANNOT_CONNECT,
            "this user has no home folder for the embedded server's data; name one: "
            "embedded:/folder");
    *out = join_text(&it->texts, data, behind);
    return *out == NULL ? popoto__fail_memory(why) : POPOTO_OK;
}

/* Creates what is missing of the path, for this user alone. */
static int make_folders(char *path) {
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char end = *at;
        *at = '\0';
        int made = mkdir(path, 0700);
        int error = errno;
        *at = end;
        errno = error;
        /* Read-only and forbidden parents are fine where they are there already. */
        if (made != 0 && end == '\0' && error != EEXIST)
            return -1;
        if (end == '\0')
            return 0;
    }
}

static popoto_status check_owner(const struct stat *about, const char *path, failure *why) {
    if (about->st_uid != geteuid())
        return popoto__fail(
            why, POPOTO_CANNOT_CONNECT,
            "%s belongs to another user (%ld); an embedded server needs a folder of "
            "its user's own",
            path, (long)about->st_uid);
    if ((about->st_mode & 022) != 0)
        return popoto__fail(why, POPOTO_CANNOT_CONNECT,
                            "other users may write to %s (mode %03o); take that away with "
                            "chmod go-w, or name another folder",
                            path, (unsigned)about->st_mode & 0777);
    return POPOTO_OK;
}

static popoto_status open_folder(embedded *it, const char *asked, failure *why) {
    char real[PATH_MAX];
    char room[128];
    struct stat about;
    char *path = popoto__arena_copy(&it->texts, asked, strlen(asked));
    if (path == NULL)
        return popoto__fail_memory(why);
    int made = make_folders(path);
    if (made == 0)
        it->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (it->directory < 0 || fstat(it->directory, &about) != 0 || realpath(path, real) == NULL)
        return popoto__fail(why, POPOTO_CANNOT_CONNECT,
                            "cannot use the folder %s for an embedded server: %s", path,
                            error_text(errno, room));
    it->folder = popoto__arena_copy(&it->texts, real, strlen(real));
    if (it->folder == NULL)
        return popoto__fail_memory(why);
    return check_owner(&about, it->folder, why);
}

/* The path of a socket has 107 bytes at most. Where the folder's does not fit, the socket is in
 * /tmp/popoto-UID, under the folder's device and inode: all processes must find the same one, so no
 * environment variable (TMPDIR, XDG_RUNTIME_DIR) may have a say in it. */
static popoto_status choose_socket(embedded *it, failure *why) {
    struct stat about;
    char folder[64];
    char name[64];
    char room[128];
    if (strlen(it->folder) + sizeof("/socket") <= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        it->socket = join_text(&it->texts, it->folder, "/socket");
        return it->socket == NULL ? popoto__fail_memory(why) : POPOTO_OK;
    }
    snprintf(folder, sizeof(folder), "/tmp/popoto-%ld", (long)geteuid());
    if ((mkdir(folder, 0700) != 0 && errno != EEXIST) || lstat(folder, &about) != 0)
        return popoto__fail(why, POPOTO_CANNOT_CONNECT,
                            "the path of %s is too long for a socket, and %s cannot be made: %s",
                            it->folder, folder, error_text(errno, room));
    if (!S_ISDIR(about.st_mode) || about.st_uid != geteuid() || (about.st_mode & 077) != 0)
        return popoto__fail(why, POPOTO_CANNOT_CONNECT,
                            "the path of %s is too long for a socket, and %s is not a folder that "
                            "only this user can enter",
                            it->folder, folder);
    if (fstat(it->directory, &about) != 0)
        return fail_file(it, ".", why);
    snprintf(name, sizeof(name), "/%llx-%llx", (unsigned long long)about.st_dev,
             (unsigned long long)about.st_ino);
    it->socket = join_text(&it->texts, folder, name);
    return it->socket == NULL ? popoto__fail_memory(why) : POPOTO_OK;
}

/* ----- the program ---------------------------------------------------------------------------- */

static bool is_program(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode) && access(path, X_OK) == 0;
}

/* NULL: not on PATH, or no memory, which *failed tells. */
static const char *find_on_path(arena *memory, const char *name, bool *failed) {
    const char *at = getenv("PATH");
    if (at == NULL)
        at = "/usr/local/bin:/usr/bin:/bin";
    while (*at != '\0') {
        size_t size = strcspn(at, ":");
        char *folder = popoto__arena_copy(memory, at, size);
        const char *with_slash = folder == NULL ? NULL : join_text(memory, folder, "/");
        const char *path = with_slash == NULL ? NULL : join_text(memory, with_slash, name);
        if (path == NULL) {
            *failed = true;
            return NULL;
        }
        if (size > 0 && is_program(path))
            return path;
        at += size + (at[size] == ':');
    }
    return NULL;
}

static popoto_status find_program(const embedded *it, arena *memory, const char **out,
                                  failure *why) {
    bool failed = false;
    const char *found = NULL;
    if (it->program != NULL && strchr(it->program, '/') != NULL)
        found = is_program(it->program) ? it->program : NULL;
    else if (it->program != NULL)
        found = find_on_path(memory, it->program, &failed);
    else {
        found = find_on_path(memory, "redis-server", &failed);
        if (found == NULL && !failed)
            found = find_on_path(memory, "valkey-server", &failed);
    }
    *out = found;
    if (failed)
        return popoto__fail_memory(why);
    if (found != NULL)
        return POPOTO_OK;
    if (it->program != NULL)
        return popoto__fail(why, POPOTO_CANNOT_CONNECT,
                            "there is no program %s to run an embedded server with; " //
                            INSTALL_A_SERVER " to one that is there",
                            it->program);
    return popoto__fail(why, POPOTO_CANNOT_CONNECT,
                        "no redis-server or valkey-server found to embed; " INSTALL_A_SERVER);
}

/* ----- starting ------------------------------------------------------------------------------- */

/* What the new process says through a pipe: 0 when it holds the server's lock, else the errno of what
 * it could not do. The pipe closes when the program runs. */
static _Noreturn void give_up(int report, int error) {
    ssize_t written = write(report, &error, sizeof(error));
    (void)written;
    _exit(1);
}

/* Write the process id into the file, in digits, with nothing but what is safe after fork(). */
static bool write_process(int file) {
    char text[24];
    char *at = text + sizeof(text);
    unsigned long number = (unsigned long)getpid();
    *--at = '\n';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    size_t size = (size_t)(text + sizeof(text) - at);
    return ftruncate(file, 0) == 0 && write(file, at, size) == (ssize_t)size;
}

/* The signals as a new login would have them, whatever the caller made of them. */
static void reset_signals(void) {
    struct sigaction standard = { .sa_handler = SIG_DFL };
    sigset_t none;
    for (int number = 1; number < 32; number++)
        sigaction(number, &standard, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A socket that the caller listens on must not stay open in a server that outlives him. */
static void close_at_exec(int descriptors) {
#if defined(__linux__) && defined(SYS_close_range)
    if (syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) == 0)
        return;
#endif
    for (int descriptor = 3; descriptor < descriptors; descriptor++)
        fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

/* In the new process. Other threads of the caller may have been anywhere when it forked: only functions
 * that are safe in a signal handler, and no memory. Descriptors are first moved out of the way of
 * 0, 1 and 2, which the caller may have closed. */
static _Noreturn void become_server(const embedded *it, char *const *arguments, int report,
                                    int descriptors) {
    close(it->users); /* the caller's share is not ours */
    report = fcntl(report, F_DUPFD_CLOEXEC, 3);
    int directory = fcntl(it->directory, F_DUPFD_CLOEXEC, 3);
    int file = openat(directory, "server", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (file >= 0)
        file = fcntl(file, F_DUPFD, 3);
    if (file < 0 || flock(file, LOCK_EX | LOCK_NB) != 0 || !write_process(file))
        give_up(report, errno);
    int nothing = open("/dev/null", O_RDWR);
    int log = openat(directory, "log", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    if (nothing < 0 || log < 0 || dup2(nothing, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        give_up(report, errno);
    if (nothing > 2)
        close(nothing);
    if (log > 2)
        close(log);
    int locked = 0;
    if (write(report, &locked, sizeof(locked)) != (ssize_t)sizeof(locked))
        _exit(1);
    /* Its folder is where it works, so that no argument names a path: Valkey 8 takes a quote in one for the end. */
    if (fchdir(directory) != 0)
        _exit(1);
    reset_signals();
    umask(077);
    close_at_exec(descriptors);
    fcntl(file, F_SETFD, 0); /* but this one stays open in the program, and the lock with it */
    execv(arguments[0], arguments);
    int error = errno;
    close(file); /* before the caller hears of it */
    give_up(report, error);
}

/* Twice forked, so that it is no child of the caller's: it outlives him, and he need not wait for it.
 * 0, or the errno of what failed. */
static int spawn(const embedded *it, char *const *arguments) {
    int report[2];
    if (pipe(report) != 0)
        return errno;
    fcntl(report[0], F_SETFD, FD_CLOEXEC);
    fcntl(report[1], F_SETFD, FD_CLOEXEC);
    long most = sysconf(_SC_OPEN_MAX);
    int descriptors = most < 0 || most > MOST_DESCRIPTORS ? MOST_DESCRIPTORS : (int)most;
    pid_t child = fork();
    if (child == 0) {
        setsid();
        pid_t grandchild = fork();
        if (grandchild == 0)
            become_server(it, arguments, report[1], descriptors);
        if (grandchild < 0)
            give_up(report[1], errno);
        _exit(0);
    }
    int error = child < 0 ? errno : 0;
    close(report[1]);
    if (child > 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    int said = 0;
    while (error == 0) {
        ssize_t size = read(report[0], &said, sizeof(said));
        if (size == (ssize_t)sizeof(said))
            error = said;
        else if (size >= 0 || errno != EINTR)
            break;
    }
    close(report[0]);
    return error;
}

/* The program's path as it is from any folder; not its real path, for by its name it knows what it is. NULL: no
 * memory, or no folder to be in. */
static const char *from_anywhere(arena *memory, const char *program) {
    char here[PATH_MAX];
    if (program[0] == '/')
        return program;
    const char *folder = getcwd(here, sizeof(here)) == NULL ? NULL : join_text(memory, here, "/");
    return folder == NULL ? NULL : join_text(memory, folder, program);
}

/* In the folder it has the name of a file there. */
static const char *socket_in_folder(const embedded *it) {
    size_t size = strlen(it->folder);
    bool inside = strncmp(it->socket, it->folder, size) == 0 && it->socket[size] == '/';
    return inside ? it->socket + size + 1 : it->socket;
}

static popoto_status start_server(const embedded *it, failure *why) {
    arena memory;
    const char *program = NULL;
    char room[128];
    popoto__arena_init(&memory, it->allocator);
    popoto_status status = find_program(it, &memory, &program, why);
    const char *path = status == POPOTO_OK ? from_anywhere(&memory, program) : NULL;
    if (status == POPOTO_OK && path == NULL)
        status = popoto__fail_memory(why);
    if (status == POPOTO_OK) {
        const char *arguments[] = {
            path,
            "--port",
            "0",
            "--unixsocket",
            socket_in_folder(it),
            "--unixsocketperm",
            "700", //
            "--dir",
            ".",
            "--logfile",
            "log",
            "--appendonly",
            "yes",
            "--save",
            "", //
            "--daemonize",
            "no",
            "--protected-mode",
            "yes",
            "--maxmemory-policy",
            "noeviction",
            NULL,
        };
        unlink(it->socket); /* of a server that was killed */
        int error = spawn(it, (char *const *)(uintptr_t)arguments);
        if (error != 0)
            status = popoto__fail(why, POPOTO_CANNOT_CONNECT, "cannot run %s in %s: %s", program,
                                  it->folder, error_text(error, room));
    }
    popoto__arena_free(&memory);
    return status;
}

/* ----- its log -------------------------------------------------------------------------------- */

/* Where the log of the next start begins. A log that grew large over the years is emptied. */
static off_t begin_log(const embedded *it) {
    int file = open_file(it, "log");
    off_t size = file < 0 ? 0 : lseek(file, 0, SEEK_END);
    if (size > LARGEST_LOG && ftruncate(file, 0) == 0)
        size = 0;
    if (file >= 0)
        close(file);
    return size < 0 ? 0 : size;
}

/* "123:M 24 Nov 2026 08:00:00.000 # Bad file format": what stands behind the mark. */
static char *skip_log_prefix(char *line) {
    static const char *const marks[] = { " # ", " * ", " - ", " . " };
    for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
        char *mark = strstr(line, marks[i]);
        if (mark != NULL && mark - line < 48)
            return mark + 3;
    }
    return line;
}

static popoto_status fail_with_log(const embedded *it, off_t from, failure *why) {
    char text[2048];
    int file = open_file(it, "log");
    off_t end = file < 0 ? 0 : lseek(file, 0, SEEK_END);
    if (end - from > (off_t)sizeof(text) - 1)
        from = end - ((off_t)sizeof(text) - 1);
    ssize_t size = file < 0 ? 0 : pread(file, text, sizeof(text) - 1, from);
    if (file >= 0)
        close(file);
    while (size > 0 && text[size - 1] == '\n')
        size--;
    text[size < 0 ? 0 : size] = '\0';
    char *line = strrchr(text, '\n');
    line = skip_log_prefix(line == NULL ? text : line + 1);
    for (char *at = line; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            *at = ' ';
    return popoto__fail(why, POPOTO_CANNOT_CONNECT,
                        "the embedded server ended as it started: %.300s (see %s/log)",
                        *line == '\0' ? "it said nothing" : line, it->folder);
}

/* ----- talking to it -------------------------------------------------------------------------- */

static popoto_status new_link(const embedded *it, int timeout, server_link **out, failure *why) {
    address to = { .kind = ADDRESS_UNIX, .path = it->socket, .display = it->socket };
    link_options options = { it->allocator, timeout, timeout };
    return popoto__link_new(&to, &options, out, why);
}

static popoto_status ask(const embedded *it, server_link *link, const char *one, const char *other,
                         bool writes, reply_handler *handle, void *context, failure *why) {
    buffer request;
    popoto__buffer_init(&request, it->allocator);
    popoto__request_begin(&request, 2);
    popoto__request_text(&request, one);
    popoto__request_text(&request, other);
    exchange what = { &request, 1, writes, NULL, handle, context, NULL };
    popoto_status status = popoto__link_exchange(link, &what, why);
    popoto__buffer_free(&request);
    return status;
}

/* redis_version:7.0.15 (Valkey gives the version that it can stand in for) */
static popoto_status check_version(void *context, size_t index, const reply *answer) {
    failure *why = context;
    (void)index;
    const char *found =
        answer->type == REPLY_STRING ? strstr(answer->text, "redis_version:") : NULL;
    int major = 0;
    int minor = 0;
    /* NOLINTNEXTLINE(cert-err34-c): the widths keep the numbers in range */
    if (found == NULL || sscanf(found, "redis_version:%4d.%4d", &major, &minor) != 2)
        return popoto__fail(why, POPOTO_BAD_REPLY, "the embedded server does not tell its version");
    if (major < 6 || (major == 6 && minor < 2))
        return popoto__fail(why, POPOTO_UNSUPPORTED,
                            "the embedded server is Redis %d.%d; 6.2 or later is needed", major,
                            minor);
    return POPOTO_OK;
}

typedef enum readiness {
    READY,
    ENDED,  /* the process is gone */
    UNREADY /* the failure says why */
} readiness;

/* A server that runs is given the time to come up; one that is about to end, the time to be gone. */
static readiness wait_until_ready(const embedded *it, int64_t deadline, failure *why) {
    for (;;) {
        server_link *link = NULL;
        popoto_status status = new_link(it, milliseconds_until(deadline), &link, why);
        if (status == POPOTO_OK)
            status = popoto__link_connect(link, why);
        if (status == POPOTO_OK)
            status = ask(it, link, "INFO", "server", false, check_version, why, why);
        popoto__link_free(link);
        if (status == POPOTO_OK)
            return READY;
        if (status == POPOTO_NO_MEMORY)
            return UNREADY;
        if (!server_runs(it))
            return ENDED;
        bool coming = status == POPOTO_CANNOT_CONNECT || status == POPOTO_DISCONNECTED;
        if (!coming && status != POPOTO_TIMED_OUT)
            return UNREADY;
        if (milliseconds_until(deadline) == 0) {
            popoto__explain(
                why, POPOTO_TIMED_OUT,
                "the embedded server of %s (process %ld) runs, but was not ready in time",
                it->folder, (long)server_process(it));
            return UNREADY;
        }
        pause_ms(5);
    }
}

/* To be called under the lock. */
static popoto_status have_server(const embedded *it, int64_t deadline, failure *why) {
    readiness how = server_runs(it) ? wait_until_ready(it, deadline, why) : ENDED;
    if (how != ENDED)
        return how == READY ? POPOTO_OK : why->status;
    off_t log = begin_log(it);
    popoto_status status = start_server(it, why);
    if (status != POPOTO_OK)
        return status;
    how = wait_until_ready(it, deadline, why);
    if (how == ENDED)
        return fail_with_log(it, log, why);
    return how == READY ? POPOTO_OK : why->status;
}

static void signal_server(const embedded *it, int number) {
    pid_t process = server_process(it);
    if (process > 0)
        kill(process, number);
}

/* To be called under the lock. */
static void stop_server(const embedded *it) {
    failure why;
    server_link *link = NULL;
    if (!server_runs(it))
        return;
    popoto_status status = new_link(it, TIME_TO_CONNECT, &link, &why);
    if (status == POPOTO_OK)
        status = popoto__link_connect(link, &why);
    if (status == POPOTO_OK) /* there is no answer but the end of the connection */
        ask(it, link, "SHUTDOWN", "NOSAVE", true, NULL, NULL, &why);
    popoto__link_free(link);
    if (status == POPOTO_OK && wait_until_gone(it, TIME_TO_SHUT_DOWN))
        return;
    /* What it acknowledged it has written: to be killed costs it no data. */
    signal_server(it, SIGTERM);
    if (!wait_until_gone(it, TIME_TO_TERMINATE)) {
        signal_server(it, SIGKILL);
        wait_until_gone(it, TIME_TO_TERMINATE);
    }
}

/* ----- joining and leaving -------------------------------------------------------------------- */

static void release(embedded *it) {
    if (it->users >= 0)
        close(it->users);
    if (it->directory >= 0)
        close(it->directory);
    popoto__arena_free(&it->texts);
    popoto__release(it->allocator, it);
}

/* To be called under the lock. Our share is given back first, and the question put through a file
 * opened anew: a child of fork() that still uses the server shares the old one. */
static bool is_last(embedded *it) {
    close(it->users);
    it->users = open_file(it, "users");
    return it->users >= 0 && flock(it->users, LOCK_EX | LOCK_NB) == 0;
}

static popoto_status prepare(embedded *it, const char *folder, const char *program, failure *why) {
    popoto_status status = POPOTO_OK;
    if (program != NULL) {
        it->program = popoto__arena_copy(&it->texts, program, strlen(program));
        if (it->program == NULL)
            return popoto__fail_memory(why);
    }
    if (folder == NULL)
        status = default_folder(it, &folder, why);
    if (status == POPOTO_OK)
        status = open_folder(it, folder, why);
    return status == POPOTO_OK ? choose_socket(it, why) : status;
}

popoto_status popoto__embedded_join(const popoto_allocator *allocator, const char *folder,
                                    const char *program, int timeout, embedded **out,
                                    failure *why) {
    int64_t deadline = deadline_in(timeout);
    int lock = -1;
    *out = NULL;
    embedded *it = popoto__allocate_zeroed(allocator, 1, sizeof(*it));
    if (it == NULL)
        return popoto__fail_memory(why);
    it->allocator = allocator;
    it->directory = it->users = -1;
    popoto__arena_init(&it->texts, allocator);
    popoto_status status = prepare(it, folder, program, why);
    if (status == POPOTO_OK)
        status = take_lock(it, deadline, &lock, why);
    if (status != POPOTO_OK) {
        release(it);
        return status;
    }
    it->users = open_file(it, "users");
    if (it->users < 0 || flock(it->users, LOCK_SH) != 0)
        status = fail_file(it, "users", why);
    else
        status = have_server(it, deadline, why);
    /* A server that needs longer to load its data than we may wait goes on with that, so that the next
     * to come finds it ready; any other one is not left behind. */
    if (status != POPOTO_OK && status != POPOTO_TIMED_OUT && status != POPOTO_UNAVAILABLE &&
        is_last(it))
        stop_server(it);
    unlock(lock);
    if (status != POPOTO_OK)
        release(it);
    else
        *out = it;
    return status;
}

popoto_status popoto__embedded_revive(embedded *it, int timeout, failure *why) {
    int64_t deadline = deadline_in(timeout);
    int lock;
    popoto_status status = take_lock(it, deadline, &lock, why);
    if (status != POPOTO_OK)
        return status;
    status = have_server(it, deadline, why);
    unlock(lock);
    return status;
}

const char *popoto__embedded_socket(const embedded *it) {
    return it->socket;
}

void popoto__embedded_leave(embedded *it) {
    failure why;
    int lock;
    if (it == NULL)
        return;
    if (take_lock(it, deadline_in(TIME_TO_LOCK), &lock, &why) == POPOTO_OK) {
        if (is_last(it))
            stop_server(it);
        unlock(lock);
    }
    release(it);
}
