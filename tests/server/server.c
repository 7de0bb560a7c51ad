/* server - see server.h. */
#include "server.h"
#include "server_process.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_ARGUMENTS 64
#define TEXTS          8

struct server {
    char folder[64];
    char socket[96];
    char url[112];
    char tcp_url[64];
    int port; /* 0: no TCP */
    const char *const *arguments;
    pid_t pid; /* 0: none runs */
    bool frozen;
    redisContext *connection;
    char *texts[TEXTS];
    size_t next_text;
    char *dump;
};

static _Noreturn void give_up(const server *it, const char *what) {
    fprintf(stderr, "server harness: %s (%s)\n", what, strerror(errno));
    if (it != NULL && it->pid > 0) {
        kill(it->pid, SIGKILL);
        fprintf(stderr, "server harness: the log is in %s\n", it->folder);
    }
    exit(70);
}

static void pause_ms(long milliseconds) {
    struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };
    nanosleep(&time, NULL);
}

/* ----- process -------------------------------------------------------------------------------- */

static int free_port(void) {
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    if (probe < 0 || bind(probe, (struct sockaddr *)&address, size) != 0 ||
        getsockname(probe, (struct sockaddr *)&address, &size) != 0)
        give_up(NULL, "no free port");
    close(probe);
    return ntohs(address.sin_port);
}

static void launch(server *it) {
    char port[12];
    const char *arguments[MOST_ARGUMENTS + 1] = {
        "redis-server", "--port",      port,       "--bind", "127.0.0.1", "--unixsocket",
        it->socket,     "--dir",       it->folder, "--save", "",          "--appendonly",
        "no",           "--daemonize", "no",       NULL,
    };
    size_t count = 0;
    snprintf(port, sizeof(port), "%d", it->port);
    while (arguments[count] != NULL)
        count++;
    for (size_t i = 0; it->arguments != NULL && it->arguments[i] != NULL; i++)
        if (count < MOST_ARGUMENTS)
            arguments[count++] = it->arguments[i];
    arguments[count] = NULL;

    unlink(it->socket);
    it->pid = server_process_start(it->folder, arguments);
    if (it->pid < 0)
        give_up(it, "cannot fork");
    it->frozen = false;
}

static void disconnect(server *it) {
    if (it->connection != NULL)
        redisFree(it->connection);
    it->connection = NULL;
}

static void reap(server *it) {
    while (waitpid(it->pid, NULL, 0) < 0 && errno == EINTR) {}
    it->pid = 0;
}

/* False: it ended, as it does where its port was taken meanwhile. */
static bool await(server *it) {
    for (int tries = 0; tries < 3000; tries++) {
        redisContext *made = redisConnectUnix(it->socket);
        redisReply *reply = made != NULL && made->err == 0 ? redisCommand(made, "PING") : NULL;
        bool ready = reply != NULL &&
                     (reply->type == REDIS_REPLY_STATUS || strncmp(reply->str, "NOAUTH", 6) == 0);
        if (reply != NULL)
            freeReplyObject(reply);
        if (ready) {
            it->connection = made;
            return true;
        }
        if (made != NULL)
            redisFree(made);
        if (waitpid(it->pid, NULL, WNOHANG) == it->pid) {
            it->pid = 0;
            return false;
        }
        pause_ms(5);
    }
    errno = ETIMEDOUT;
    give_up(it, "the server does not get ready");
}

static void remove_folder(server *it) {
    static const char *const files[] = { "log", "socket", "dump.rdb", "users.acl" };
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char path[96];
        snprintf(path, sizeof(path), "%s/%s", it->folder, files[i]);
        unlink(path);
    }
    rmdir(it->folder);
}

server *server_start(const server_options *options) {
    server *it = calloc(1, sizeof(*it));
    if (it == NULL)
        give_up(NULL, "no memory");
    strcpy(it->folder, "/tmp/popoto-test-XXXXXX");
    if (mkdtemp(it->folder) == NULL)
        give_up(NULL, "cannot create a folder in /tmp");
    snprintf(it->socket, sizeof(it->socket), "%s/socket", it->folder);
    snprintf(it->url, sizeof(it->url), "unix:%s", it->socket);
    it->arguments = options == NULL ? NULL : options->arguments;
    for (int tries = 0; tries < 5; tries++) {
        if (options != NULL && options->tcp) {
            it->port = free_port();
            snprintf(it->tcp_url, sizeof(it->tcp_url), "redis://127.0.0.1:%d", it->port);
        }
        launch(it);
        if (await(it))
            return it;
    }
    fprintf(stderr, "server harness: see %s/log\n", it->folder);
    give_up(it, "the server does not start; is redis-server installed?");
}

void server_stop(server *it) {
    if (it == NULL)
        return;
    if (it->pid > 0)
        server_kill(it); /* there is nothing to keep */
    disconnect(it);
    for (size_t i = 0; i < TEXTS; i++)
        free(it->texts[i]);
    free(it->dump);
    remove_folder(it);
    free(it);
}

const char *server_url(const server *it) {
    return it->url;
}
const char *server_tcp_url(const server *it) {
    return it->tcp_url;
}
const char *server_socket(const server *it) {
    return it->socket;
}
const char *server_folder(const server *it) {
    return it->folder;
}
int server_port(const server *it) {
    return it->port;
}
pid_t server_pid(const server *it) {
    return it->pid;
}

/* ----- faults --------------------------------------------------------------------------------- */

void server_kill(server *it) {
    if (it->pid <= 0)
        return;
    kill(it->pid, SIGKILL);
    reap(it);
    disconnect(it);
    it->frozen = false;
}

void server_restart(server *it) {
    server_kill(it);
    launch(it);
    if (!await(it))
        give_up(it, "the server does not start again");
}

/* The signal alone says nothing: wait until the kernel reports the change. */
void server_freeze(server *it) {
    int status;
    kill(it->pid, SIGSTOP);
    while (waitpid(it->pid, &status, WUNTRACED) < 0 && errno == EINTR) {}
    it->frozen = true;
}

void server_thaw(server *it) {
    if (it->frozen)
        kill(it->pid, SIGCONT);
    it->frozen = false;
}

/* ----- text ----------------------------------------------------------------------------------- */

typedef struct text {
    char *data;
    size_t size;
    size_t capacity;
} text;

static void add(text *to, const char *data, size_t size) {
    if (to->size + size + 1 > to->capacity) {
        to->capacity = (to->size + size + 1) * 2;
        to->data = realloc(to->data, to->capacity);
        if (to->data == NULL)
            give_up(NULL, "no memory");
    }
    memcpy(to->data + to->size, data, size);
    to->size += size;
    to->data[to->size] = '\0';
}

static void add_text(text *to, const char *from) {
    add(to, from, strlen(from));
}

static void add_shown(text *to, const char *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)data[i];
        char room[8];
        if (byte == '\\')
            add_text(to, "\\\\");
        else if (byte >= 0x20 && byte < 0x7F)
            add(to, data + i, 1);
        else {
            snprintf(room, sizeof(room), "\\x%02x", byte);
            add_text(to, room);
        }
    }
}

static void add_reply(text *to, const redisReply *reply) {
    char room[32];
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        snprintf(room, sizeof(room), "%lld", reply->integer);
        add_text(to, room);
        break;
    case REDIS_REPLY_NIL: add_text(to, "(nil)"); break;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->elements; i++) {
            if (i > 0)
                add_text(to, "\n");
            add_reply(to, reply->element[i]);
        }
        break;
    case REDIS_REPLY_ERROR: add_text(to, "(error) "); /* fall through */
    default: add_shown(to, reply->str, (size_t)reply->len); break;
    }
}

static redisReply *ask_formatted(server *it, const char *format, va_list arguments) {
    if (it->connection == NULL)
        give_up(it, "a command for a server that does not run");
    va_list again;
    va_copy(again, arguments);
    redisReply *reply = redisvCommand(it->connection, format, arguments);
    if (reply == NULL) { /* CLIENT KILL, say */
        disconnect(it);
        if (!await(it))
            give_up(it, "the server ended by itself");
        reply = redisvCommand(it->connection, format, again);
    }
    va_end(again);
    if (reply == NULL)
        give_up(it, "the server broke the connection twice");
    return reply;
}

static redisReply *ask(server *it, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask_formatted(it, format, arguments);
    va_end(arguments);
    return reply;
}

const char *server_command(server *it, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask_formatted(it, format, arguments);
    va_end(arguments);
    text shown = { 0 };
    add_text(&shown, "");
    add_reply(&shown, reply);
    freeReplyObject(reply);
    char **place = &it->texts[it->next_text++ % TEXTS];
    free(*place);
    *place = shown.data;
    return shown.data;
}

/* ----- the database --------------------------------------------------------------------------- */

/* Elements that are sorted together: one (a member) or two (field and value, member and score). */
static int compare_elements(const void *left, const void *right) {
    const redisReply *one = *(redisReply *const *)left;
    const redisReply *other = *(redisReply *const *)right;
    size_t one_size = (size_t)one->len;
    size_t other_size = (size_t)other->len;
    int order = memcmp(one->str, other->str, one_size < other_size ? one_size : other_size);
    return order != 0 ? order : (one_size > other_size) - (one_size < other_size);
}

static void add_elements(text *to, const redisReply *reply, size_t step, bool sorted) {
    if (reply->type != REDIS_REPLY_ARRAY) {
        add_text(to, "  ");
        add_reply(to, reply);
        add_text(to, "\n");
        return;
    }
    if (sorted && reply->elements > 0)
        qsort(reply->element, reply->elements / step, step * sizeof(*reply->element),
              compare_elements);
    for (size_t i = 0; i + step <= reply->elements; i += step) {
        add_text(to, "  ");
        add_reply(to, reply->element[i]);
        if (step == 2) {
            add_text(to, " = ");
            add_reply(to, reply->element[i + 1]);
        }
        add_text(to, "\n");
    }
}

static redisReply *contents(server *it, const char *type, const char *key, size_t size) {
    if (strcmp(type, "string") == 0)
        return ask(it, "GET %b", key, size);
    if (strcmp(type, "hash") == 0)
        return ask(it, "HGETALL %b", key, size);
    if (strcmp(type, "set") == 0)
        return ask(it, "SMEMBERS %b", key, size);
    if (strcmp(type, "zset") == 0)
        return ask(it, "ZRANGE %b 0 -1 WITHSCORES", key, size);
    if (strcmp(type, "list") == 0)
        return ask(it, "LRANGE %b 0 -1", key, size);
    return ask(it, "OBJECT ENCODING %b", key, size);
}

static void add_key(server *it, text *to, const redisReply *key) {
    size_t size = (size_t)key->len;
    redisReply *type = ask(it, "TYPE %b", key->str, size);
    redisReply *expires = ask(it, "PTTL %b", key->str, size);
    redisReply *found = contents(it, type->str, key->str, size);
    bool pairs = strcmp(type->str, "hash") == 0 || strcmp(type->str, "zset") == 0;
    bool sorted = strcmp(type->str, "hash") == 0 || strcmp(type->str, "set") == 0;
    add_shown(to, key->str, size);
    add_text(to, " (");
    add_text(to, type->str);
    add_text(to, expires->integer >= 0 ? ", expires)\n" : ")\n");
    add_elements(to, found, pairs ? 2 : 1, sorted);
    freeReplyObject(found);
    freeReplyObject(expires);
    freeReplyObject(type);
}

const char *server_dump(server *it) {
    text dump = { 0 };
    add_text(&dump, "");
    redisReply *keys = ask(it, "KEYS *");
    if (keys->type == REDIS_REPLY_ARRAY && keys->elements > 0) {
        qsort(keys->element, keys->elements, sizeof(*keys->element), compare_elements);
        for (size_t i = 0; i < keys->elements; i++)
            add_key(it, &dump, keys->element[i]);
    }
    freeReplyObject(keys);
    free(it->dump);
    it->dump = dump.data;
    return it->dump;
}

void server_flush(server *it) {
    freeReplyObject(ask(it, "FLUSHALL"));
}

bool server_is_empty(server *it) {
    const char *databases = server_command(it, "INFO keyspace");
    const char *first = strstr(databases, "db");
    if (first == NULL)
        return true;
    fprintf(stderr, "left behind: %s\n%s", first, server_dump(it));
    return false;
}

/* ----- cmocka --------------------------------------------------------------------------------- */

int server_group_start(void **state) {
    *state = server_start(NULL);
    return 0;
}

int server_group_start_tcp(void **state) {
    *state = server_start(&(server_options){ .tcp = true });
    return 0;
}

int server_group_stop(void **state) {
    server_stop(*state);
    *state = NULL;
    return 0;
}

int server_test_before(void **state) {
    server *it = *state;
    server_thaw(it);
    if (it->pid <= 0)
        server_restart(it);
    server_flush(it);
    return 0;
}

int server_test_after(void **state) {
    server *it = *state;
    server_thaw(it);
    if (it->pid <= 0)
        return 0; /* what it held went with it */
    return server_is_empty(it) ? 0 : -1;
}
