/* cluster_nodes - see cluster_nodes.h. */
#include "cluster_nodes.h"
#include "server_process.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Where a node's bus listens when nothing else is said, which Redis before 7 cannot be told. */
#define BUS      10000
#define SLOTS    16384
#define ID_BYTES 41

typedef struct member {
    char folder[96];
    char id[ID_BYTES];
    int port;
    pid_t pid; /* 0: none runs */
    redisContext *connection;
} member;

struct node_group {
    char folder[64];
    char url[160];
    member members[NODES];
};

static _Noreturn void give_up(const node_group *it, const char *what) {
    fprintf(stderr, "cluster nodes: %s (%s)\n", what, strerror(errno));
    for (size_t i = 0; it != NULL && i < NODES; i++)
        if (it->members[i].pid > 0)
            kill(it->members[i].pid, SIGKILL);
    if (it != NULL)
        fprintf(stderr, "cluster nodes: the logs are in %s\n", it->folder);
    exit(70);
}

static void pause_us(unsigned microseconds) {
    struct timespec time = { microseconds / 1000000, (long)(microseconds % 1000000) * 1000 };
    nanosleep(&time, NULL);
}

/* ----- Processes ------------------------------------------------------------------------------ */

static int probe(int port) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    socklen_t size = sizeof(address);
    int yes = 1, found = 0;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int made = socket(AF_INET, SOCK_STREAM, 0);
    if (made >= 0 && port != 0)
        setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (made >= 0 && bind(made, (struct sockaddr *)&address, size) == 0 &&
        getsockname(made, (struct sockaddr *)&address, &size) == 0)
        found = ntohs(address.sin_port);
    if (made >= 0)
        close(made);
    return found;
}

/* One whose bus has its port too. */
static int free_port(const node_group *it) {
    for (int tries = 0; tries < 1000; tries++) {
        int port = probe(0);
        bool taken = port == 0 || port + BUS > 65535 || probe(port + BUS) == 0;
        for (size_t i = 0; i < NODES; i++)
            taken = taken || port == it->members[i].port || port == it->members[i].port + BUS ||
                    port + BUS == it->members[i].port;
        if (!taken)
            return port;
    }
    give_up(it, "no free ports");
}

static void launch(node_group *group, size_t node) {
    member *it = &group->members[node];
    char port[12];
    const char *arguments[] = {
        "redis-server",
        "--port",
        port,
        "--bind",
        "127.0.0.1",
        "--dir",
        it->folder,
        "--save",
        "",
        "--appendonly",
        "no",
        "--daemonize",
        "no",
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "1500",
        "--cluster-replica-validity-factor",
        "0",
        "--repl-diskless-sync",
        "yes",
        "--repl-diskless-sync-delay",
        "0",
        NULL,
    };
    snprintf(port, sizeof(port), "%d", it->port);
    it->pid = server_process_start(it->folder, arguments);
    if (it->pid < 0)
        give_up(group, "cannot fork");
}

static void disconnect(member *it) {
    if (it->connection != NULL)
        redisFree(it->connection);
    it->connection = NULL;
}

static bool connect_to(node_group *group, size_t node) {
    member *it = &group->members[node];
    struct timeval patience = { 10, 0 };
    for (int tries = 0; it->connection == NULL && it->pid > 0 && tries < 3000; tries++) {
        redisContext *made = redisConnect("127.0.0.1", it->port);
        if (made != NULL && made->err == 0) {
            redisSetTimeout(made, patience);
            it->connection = made;
            break;
        }
        if (made != NULL)
            redisFree(made);
        if (waitpid(it->pid, NULL, WNOHANG) == it->pid) {
            it->pid = 0;
            give_up(group, "a node ended by itself");
        }
        pause_us(5000);
    }
    return it->connection != NULL;
}

/* The nodes know each other from the start, by the file in which a node keeps what it knows:
 * forming a cluster by introducing them to each other takes seconds. */
static void write_knowledge(node_group *it, size_t node) {
    char path[160];
    snprintf(path, sizeof(path), "%s/nodes.conf", it->members[node].folder);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        give_up(it, "cannot write nodes.conf");
    for (size_t i = 0; i < NODES; i++) {
        const member *one = &it->members[i];
        fprintf(file, "%s 127.0.0.1:%d@%d %s%s %s 0 0 %zu connected", one->id, one->port,
                one->port + BUS, i == node ? "myself," : "", i < PRIMARIES ? "master" : "slave",
                i < PRIMARIES ? "-" : it->members[i - PRIMARIES].id, i % PRIMARIES + 1);
        if (i < PRIMARIES)
            fprintf(file, " %zu-%zu", i * SLOTS / PRIMARIES, (i + 1) * SLOTS / PRIMARIES - 1);
        fprintf(file, "\n");
    }
    fprintf(file, "vars currentEpoch %d lastVoteEpoch 0\n", PRIMARIES);
    fclose(file);
}

node_group *nodes_start(void) {
    node_group *it = calloc(1, sizeof(*it));
    if (it == NULL)
        give_up(NULL, "no memory");
    strcpy(it->folder, "/tmp/popoto-cluster-XXXXXX");
    if (mkdtemp(it->folder) == NULL)
        give_up(NULL, "cannot create a folder in /tmp");
    for (size_t i = 0; i < NODES; i++) {
        member *one = &it->members[i];
        one->port = free_port(it);
        snprintf(one->folder, sizeof(one->folder), "%s/%zu", it->folder, i);
        snprintf(one->id, sizeof(one->id), "%08x%032zx", (unsigned)getpid(), i + 1);
        if (mkdir(one->folder, 0700) != 0)
            give_up(it, "cannot create a folder");
    }
    for (size_t i = 0; i < NODES; i++) {
        write_knowledge(it, i);
        launch(it, i);
    }
    snprintf(it->url, sizeof(it->url), "redis+cluster://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d",
             it->members[0].port, it->members[1].port, it->members[2].port);
    nodes_await_whole(it);
    return it;
}

static void remove_folder(const char *folder) {
    static const char *const files[] = { "log", "nodes.conf", "dump.rdb", "users.acl" };
    char path[160];
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
}

void nodes_stop(node_group *it) {
    if (it == NULL)
        return;
    for (size_t i = 0; i < NODES; i++) {
        nodes_kill(it, i);
        remove_folder(it->members[i].folder);
    }
    rmdir(it->folder);
    free(it);
}

const char *nodes_url(const node_group *it) {
    return it->url;
}
int nodes_port(const node_group *it, size_t node) {
    return it->members[node].port;
}
pid_t nodes_pid(const node_group *it, size_t node) {
    return it->members[node].pid;
}

void nodes_kill(node_group *it, size_t node) {
    member *one = &it->members[node];
    disconnect(one);
    if (one->pid <= 0)
        return;
    kill(one->pid, SIGKILL);
    while (waitpid(one->pid, NULL, 0) < 0 && errno == EINTR) {}
    one->pid = 0;
}

void nodes_revive(node_group *it, size_t node) {
    if (it->members[node].pid == 0)
        launch(it, node);
}

void nodes_freeze(node_group *it, size_t node) {
    int status;
    kill(it->members[node].pid, SIGSTOP);
    while (waitpid(it->members[node].pid, &status, WUNTRACED) < 0 && errno == EINTR) {}
}

void nodes_thaw(node_group *it, size_t node) {
    kill(it->members[node].pid, SIGCONT);
}

/* ----- Commands ------------------------------------------------------------------------------- */

redisReply *nodes_ask(node_group *it, size_t node, const char *format, ...) {
    member *one = &it->members[node];
    for (int tries = 0; tries < 2; tries++) {
        if (!connect_to(it, node))
            return NULL;
        va_list arguments;
        va_start(arguments, format);
        redisReply *reply = redisvCommand(one->connection, format, arguments);
        va_end(arguments);
        if (reply != NULL)
            return reply;
        disconnect(one);
    }
    return NULL;
}

void nodes_tell(node_group *it, size_t node, const char *format, ...) {
    if (!connect_to(it, node))
        give_up(it, "a command for a node that does not run");
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(it->members[node].connection, format, arguments);
    va_end(arguments);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        fprintf(stderr, "cluster nodes: %s: %s\n", format, reply == NULL ? "-" : reply->str);
        give_up(it, "a node refused a command");
    }
    freeReplyObject(reply);
}

static size_t first_running(const node_group *it) {
    for (size_t i = 0; i < NODES; i++)
        if (it->members[i].pid > 0)
            return i;
    give_up(it, "no node runs");
}

static size_t node_of_port(const node_group *it, long long port) {
    for (size_t i = 0; i < NODES; i++)
        if (it->members[i].port == port)
            return i;
    return NODES;
}

size_t nodes_owner(node_group *it, int slot) {
    redisReply *map = nodes_ask(it, first_running(it), "CLUSTER SLOTS");
    size_t owner = NODES;
    for (size_t i = 0; map != NULL && i < map->elements; i++) {
        redisReply **range = map->element[i]->element;
        if (range[0]->integer <= slot && slot <= range[1]->integer)
            owner = node_of_port(it, range[2]->element[1]->integer);
    }
    if (owner == NODES)
        give_up(it, "nobody has the slot");
    freeReplyObject(map);
    return owner;
}

int nodes_slot(node_group *it, const char *key) {
    redisReply *reply = nodes_ask(it, first_running(it), "CLUSTER KEYSLOT %s", key);
    int slot = (int)reply->integer;
    freeReplyObject(reply);
    return slot;
}

bool nodes_is_primary(node_group *it, size_t node) {
    redisReply *reply = nodes_ask(it, node, "ROLE");
    bool is = reply != NULL && strcmp(reply->element[0]->str, "master") == 0;
    if (reply != NULL)
        freeReplyObject(reply);
    return is;
}

size_t nodes_other_primary(node_group *it, size_t node) {
    for (size_t i = 1; i < NODES; i++) {
        size_t other = (node + i) % NODES;
        if (it->members[other].pid > 0 && nodes_is_primary(it, other))
            return other;
    }
    give_up(it, "there is one primary");
}

/* As it sees things itself: the cluster is well, and a replica follows. */
static bool is_well(node_group *it, size_t node) {
    redisReply *info = nodes_ask(it, node, "CLUSTER INFO");
    redisReply *role = nodes_ask(it, node, "ROLE");
    bool well = info != NULL && role != NULL && strstr(info->str, "cluster_state:ok") != NULL;
    if (well && strcmp(role->element[0]->str, "slave") == 0)
        well = strcmp(role->element[3]->str, "connected") == 0;
    if (info != NULL)
        freeReplyObject(info);
    if (role != NULL)
        freeReplyObject(role);
    return well;
}

void nodes_await_whole(node_group *it) {
    for (int tries = 0; tries < 3000; tries++) {
        bool well = true;
        for (size_t i = 0; i < NODES && well; i++)
            well = it->members[i].pid == 0 || is_well(it, i);
        if (well)
            return;
        pause_us(10000);
    }
    give_up(it, "the cluster does not get well");
}

void nodes_await_takeover(node_group *it, size_t dead) {
    bool taken = false;
    for (int tries = 0; tries < 3000 && !taken; tries++) {
        redisReply *map = nodes_ask(it, first_running(it), "CLUSTER SLOTS");
        taken = map != NULL && map->elements > 0;
        for (size_t i = 0; taken && i < map->elements; i++)
            taken = node_of_port(it, map->element[i]->element[2]->element[1]->integer) != dead;
        if (map != NULL)
            freeReplyObject(map);
        pause_us(10000);
    }
    if (!taken)
        give_up(it, "no replica takes over");
    nodes_await_whole(it);
}

void nodes_forget_connections(node_group *it) {
    for (size_t i = 0; i < NODES; i++)
        disconnect(&it->members[i]);
}

/* ----- Slots that move ------------------------------------------------------------------------- */

void nodes_begin_move(node_group *it, int slot, size_t to) {
    size_t from = nodes_owner(it, slot);
    nodes_tell(it, to, "CLUSTER SETSLOT %d IMPORTING %s", slot, it->members[from].id);
    nodes_tell(it, from, "CLUSTER SETSLOT %d MIGRATING %s", slot, it->members[to].id);
}

void nodes_end_move(node_group *it, int slot, size_t to, unsigned pause) {
    size_t from = nodes_owner(it, slot);
    for (;;) {
        redisReply *keys = nodes_ask(it, from, "CLUSTER GETKEYSINSLOT %d 10", slot);
        size_t count = keys == NULL ? 0 : keys->elements;
        for (size_t i = 0; i < count; i++) {
            nodes_tell(it, from, "MIGRATE 127.0.0.1 %d %b 0 5000", it->members[to].port,
                       keys->element[i]->str, (size_t)keys->element[i]->len);
            if (pause > 0)
                pause_us(pause);
        }
        if (keys != NULL)
            freeReplyObject(keys);
        if (count == 0)
            break;
    }
    /* The new owner first: there is then always one. */
    nodes_tell(it, to, "CLUSTER SETSLOT %d NODE %s", slot, it->members[to].id);
    nodes_tell(it, from, "CLUSTER SETSLOT %d NODE %s", slot, it->members[to].id);
}

void nodes_move_slot(node_group *it, int slot, size_t to, unsigned pause) {
    if (nodes_owner(it, slot) == to)
        return;
    nodes_begin_move(it, slot, to);
    nodes_end_move(it, slot, to, pause);
}

/* ----- Keys ------------------------------------------------------------------------------------ */

void nodes_flush(node_group *it) {
    for (size_t i = 0; i < NODES; i++)
        if (it->members[i].pid > 0 && nodes_is_primary(it, i))
            nodes_tell(it, i, "FLUSHALL");
}

size_t nodes_key_count(node_group *it) {
    size_t count = 0;
    for (size_t i = 0; i < NODES; i++) {
        if (it->members[i].pid == 0 || !nodes_is_primary(it, i))
            continue;
        redisReply *reply = nodes_ask(it, i, "DBSIZE");
        count += (size_t)reply->integer;
        freeReplyObject(reply);
    }
    return count;
}

/* ----- For cmocka ------------------------------------------------------------------------------ */

int nodes_group_start(void **state) {
    *state = nodes_start();
    return 0;
}

int nodes_group_stop(void **state) {
    nodes_stop(*state);
    return 0;
}

int nodes_test_before(void **state) {
    nodes_await_whole(*state);
    nodes_flush(*state);
    return 0;
}
