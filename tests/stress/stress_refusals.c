/* A server that refuses: out of memory, read only, loading, without a password, without permission, busy,
 * without scripts, with foreign keys where ours should be, or answering what is no reply. For every call
 * a true status and a sentence; what was not acknowledged is not done; and after the temporary ones the
 * next call works. A server that stops answering: the deadline holds.
 *
 * Every different sentence is printed (in the long form), to be read by somebody. */
#include "calls.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct lab {
    server *server;
    redisContext *raw; /* of a user to whom nothing is forbidden */
    popoto_db *db;     /* of the user "app" */
    char url[96];
    redisContext *other; /* runs a long script */
    char seen[400][160];
    size_t seen_count;
    size_t calls, refused;
    bool stopped_saving;
} lab;

/* ----- Sentences ------------------------------------------------------------------------------ */

static void note_sentence(lab *it, const char *fault, const char *name, popoto_status status,
                          const char *text) {
    char line[600], key[160];
    snprintf(key, sizeof key, "%.30s%.120s", fault, text);
    for (size_t i = 0; i < it->seen_count; i++)
        if (strcmp(it->seen[i], key) == 0)
            return;
    if (it->seen_count < sizeof it->seen / sizeof *it->seen)
        memcpy(it->seen[it->seen_count++], key, sizeof key);
    snprintf(line, sizeof line, "%s | %s | %s | %.400s", fault, name, popoto_status_name(status),
             text);
    if (!stress_is_short())
        stress_say("%s", line);
}

static void check_sentence(lab *it, const char *fault, const char *name, popoto_status status) {
    const char *text = popoto_error(it->db);
    stress_check(popoto_error_status(it->db) == status, "%s: %s returned %s and remembers %s",
                 fault, name, popoto_status_name(status),
                 popoto_status_name(popoto_error_status(it->db)));
    stress_check(strlen(text) > 10 && strcmp(text, "no error") != 0, "%s: %s: no sentence", fault,
                 name);
    note_sentence(it, fault, name, status, text);
}

/* ----- Faults --------------------------------------------------------------------------------- */

typedef struct fault {
    const char *name;
    void (*begin)(lab *it);
    void (*end)(lab *it);
    const char *rules; /* of an access list */
    popoto_status read,
        write; /* what they may become; POPOTO_OK is always fine where the call can be done */
    popoto_status other; /* or this */
    bool all_fail;
} fault;

static void reconnect_all(lab *it) {
    raw_do(it->raw, "CLIENT KILL USER app");
}

static void begin_oom(lab *it) {
    raw_do(it->raw, "CONFIG SET maxmemory 1");
}
static void end_oom(lab *it) {
    raw_do(it->raw, "CONFIG SET maxmemory 0");
}
static void begin_replica(lab *it) {
    raw_do(it->raw, "REPLICAOF 127.0.0.1 1");
}
static void end_replica(lab *it) {
    raw_do(it->raw, "REPLICAOF NO ONE");
    raw_do(it->raw, "CONFIG SET replica-serve-stale-data yes");
}
static void begin_master_down(lab *it) {
    raw_do(it->raw, "CONFIG SET replica-serve-stale-data no");
    begin_replica(it);
}

static void fail_to_save(lab *it) {
    raw_do(it->raw, "BGSAVE");
    for (int tries = 0; tries < 500; tries++) {
        redisReply *info = raw_ask(it->raw, "INFO persistence");
        bool failed = strstr(info->str, "rdb_bgsave_in_progress:0") != NULL &&
                      strstr(info->str, "rdb_last_bgsave_status:err") != NULL;
        freeReplyObject(info);
        if (failed)
            return;
        stress_sleep(0.01);
    }
    stress_give_up("the background save does not fail");
}
/* A background save cannot rename its file to where a folder is. */
static void begin_misconf(lab *it) {
    char path[128];
    snprintf(path, sizeof path, "%s/dump.rdb", server_folder(it->server));
    mkdir(path, 0700);
    raw_do(it->raw, "CONFIG SET save %s", "3600000 1");
    if (!it->stopped_saving)
        fail_to_save(it);
    it->stopped_saving = true;
}
static void end_misconf(lab *it) {
    raw_do(it->raw, "CONFIG SET save %s", "");
}

static void begin_no_password(lab *it) {
    raw_do(it->raw, "ACL SETUSER app resetpass >another");
    reconnect_all(it);
}
static void end_no_password(lab *it) {
    raw_do(it->raw, "ACL SETUSER app resetpass >secret");
}

static void begin_user_off(lab *it) {
    raw_do(it->raw, "ACL DELUSER app");
}
static void restore_user(lab *it) {
    raw_do(it->raw, "ACL SETUSER app reset on >secret ~* &* +@all");
}

static void begin_busy(lab *it) {
    redisAppendCommand(it->other, "EVAL %s 0", "while true do end");
    int done = 0;
    while (!done)
        redisBufferWrite(it->other, &done);
    stress_sleep(0.03);
}
static void end_busy(lab *it) {
    redisReply *reply;
    /* It can be killed from the moment on that others are told BUSY. */
    for (;;) {
        redisReply *killed = redisCommand(it->raw, "SCRIPT KILL");
        bool gone = killed != NULL && killed->type != REDIS_REPLY_ERROR;
        if (killed != NULL)
            freeReplyObject(killed);
        if (gone)
            break;
        stress_sleep(0.005);
    }
    if (redisGetReply(it->other, (void **)&reply) == REDIS_OK)
        freeReplyObject(reply);
}

static void begin_no_script(lab *it) {
    raw_do(it->raw, "SCRIPT FLUSH");
}
static void end_nothing(lab *it) {
    (void)it;
}

static const fault faults[] = {
    { .name = "OOM",
      .begin = begin_oom,
      .end = end_oom,
      .read = POPOTO_UNAVAILABLE, /* within MULTI nothing is answered */
      .write = POPOTO_UNAVAILABLE },
    { .name = "READONLY", .begin = begin_replica, .end = end_replica, .write = POPOTO_UNAVAILABLE },
    { .name = "MASTERDOWN",
      .begin = begin_master_down,
      .end = end_replica,
      .read = POPOTO_UNAVAILABLE,
      .write = POPOTO_UNAVAILABLE,
      .all_fail = true },
    { .name = "MISCONF", .begin = begin_misconf, .end = end_misconf, .write = POPOTO_UNAVAILABLE },
    { .name = "BUSY",
      .begin = begin_busy,
      .end = end_busy,
      .read = POPOTO_UNAVAILABLE,
      .write = POPOTO_UNAVAILABLE,
      .all_fail = true },
    { .name = "NOSCRIPT", .begin = begin_no_script, .end = end_nothing },
    { .name = "WRONGPASS",
      .begin = begin_no_password,
      .end = end_no_password,
      .read = POPOTO_DENIED,
      .write = POPOTO_DENIED,
      .other = POPOTO_UNKNOWN_OUTCOME, /* the server hangs up, now or when it is written to */
      .all_fail = true },
    { .name = "user deleted",
      .begin = begin_user_off,
      .end = restore_user,
      .read = POPOTO_DENIED,
      .write = POPOTO_DENIED,
      .other = POPOTO_UNKNOWN_OUTCOME, /* the server hangs up, now or when it is written to */
      .all_fail = true },
#define NOPERM(rules_)                                                                         \
    {                                                                                          \
        .name = "NOPERM " rules_, .rules = rules_, .end = restore_user, .read = POPOTO_DENIED, \
        .write = POPOTO_DENIED                                                                 \
    }
    NOPERM("-@all"),
    NOPERM("-@write"),
    NOPERM("-@read"),
    NOPERM("-@scripting"),
    NOPERM("-evalsha"),
    NOPERM("-script"),
    NOPERM("-multi"),
    NOPERM("-exec"),
    NOPERM("-hset"),
    NOPERM("-hsetnx"),
    NOPERM("-hget"),
    NOPERM("-hdel"),
    NOPERM("-sadd"),
    NOPERM("-srem"),
    NOPERM("-zadd"),
    NOPERM("-zrem"),
    NOPERM("-del"),
    NOPERM("-rename"),
    NOPERM("-exists"),
    NOPERM("-type"),
    NOPERM("-smembers"),
    NOPERM("-hmget"),
    NOPERM("-hscan"),
    NOPERM("-zrevrangebyscore"),
    NOPERM("-ping"),
    NOPERM("resetkeys"),
    NOPERM("resetkeys ~Note:* ~Memo:*"),
    NOPERM("resetkeys ~$*"),
};

/* ----- A call under a fault ------------------------------------------------------------------- */

static char *dump(lab *it) {
    char *text = strdup(server_dump(it->server));
    if (text == NULL)
        stress_give_up("no memory");
    return text;
}

static void check_outcome(lab *it, const call *what, round_of *round, popoto_status status,
                          const char *name, const char *before) {
    char *after = dump(it);
    if (what->is_done != NULL && status != POPOTO_OK)
        for (size_t i = 0; i < BULK; i++)
            stress_check(round->statuses[i] == POPOTO_UNKNOWN_OUTCOME ||
                             what->is_done(round, i) == (round->statuses[i] == POPOTO_OK),
                         "%s: %s: item %zu is %s, but it is %s", name, what->name, i,
                         popoto_status_name(round->statuses[i]),
                         what->is_done(round, i) ? "done" : "not done");
    else if (status != POPOTO_OK && status != POPOTO_UNKNOWN_OUTCOME && !what->migrates)
        if (!stress_check(strcmp(before, after) == 0, "%s: %s: %s, but something was changed", name,
                          what->name, popoto_status_name(status)))
            printf("--- before\n%s--- after\n%s", before, after);
    if (what->finds > 0 && status == POPOTO_OK)
        stress_check(round->found == what->finds, "%s: %s: it found %zu, not %zu", name, what->name,
                     round->found, what->finds);
    if (what->migrates)
        stress_check(evidence_is_whole(round), "%s: %s: evidence is lost", name, what->name);
    if (!what->migrates || status == POPOTO_OK)
        stress_check(what->migrates || check_indexes(it->raw, checked, CHECKED, NULL) == 0,
                     "%s: %s: indexes are wrong", name, what->name);
    free(after);
}

static void set_rules(lab *it, const char *rules) {
    char text[128];
    snprintf(text, sizeof text, "ACL SETUSER app %s", rules);
    raw_do(it->raw, text);
}

static void run_call(lab *it, const fault *by, const call *what, bool anew) {
    round_of round = { .db = it->db, .raw = it->raw };
    server_flush(it->server);
    what->prepare(&round);
    char *before = dump(it);
    if (by->rules != NULL)
        set_rules(it, by->rules);
    /* Like a new db, but that it still knows its objects. What a user may do is asked when connecting:
     * where it is taken away later, the first write may be done in part (docs/decisions.md). */
    if (anew || by->rules != NULL)
        (void)popoto_switch(it->db, it->url);
    if (by->rules == NULL)
        by->begin(it);
    popoto_status status = what->run(&round);
    if (status != POPOTO_OK)
        check_sentence(it, by->name, what->name, status);
    by->end(it);
    it->calls++;
    it->refused += status != POPOTO_OK;
    popoto_status expected = what->finds > 0 ? by->read : by->write;
    stress_check((status == POPOTO_OK && !by->all_fail) || status == expected ||
                     (by->other != POPOTO_OK && status == by->other),
                 "%s: %s: %s is no true status", by->name, what->name, popoto_status_name(status));
    check_outcome(it, what, &round, status, by->name, before);
    free(before);
    size_t all;
    popoto_status next = popoto_count(it->db, &(popoto_query_desc){ .model = &Note }, &all);
    stress_check(next == POPOTO_OK, "%s: %s: the next call: %s", by->name, what->name,
                 popoto_error(it->db));
    if (next != POPOTO_OK) {
        popoto_close(it->db);
        it->db = popoto_open(it->url, NULL);
    }
}

static void run_faults(lab *it) {
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++)
        for (size_t c = 0; c < call_count; c++)
            for (int anew = faults[f].rules != NULL; anew < 2; anew++) {
                /* Each BUSY waits until the server notices. */
                size_t step = faults[f].begin == begin_busy ? 6 : 2;
                if (stress_is_short() && (f + c + (size_t)anew) % step != 0)
                    continue;
                run_call(it, &faults[f], &calls[c], anew);
            }
    stress_say("%zu faults, %zu calls under them, %zu refused", sizeof faults / sizeof *faults,
               it->calls, it->refused);
}

/* ----- Foreign keys --------------------------------------------------------------------------- */

/* Wherever a write of ours goes, and of every other type. */
static const char *const places[] = {
    "Note:t0:n0",
    "Note:t1:n9",
    "$Class:Note",
    "$KeyF:Note:tenant:t0",
    "$KeyF:Note:tenant:t1",
    "$UniqueKeyF:Note:name:n0",
    "$UniqueKeyF:Note:name:n9",
    "$SortedF:Note:score:t0",
    "$SortedF:Note:score:t1",
    "$SortedF:Note:rank:r0",
    "$SortedF:Note:rank:r1",
    "$ConfidencF:Note:trust:data:t0:r0",
    "$ConfidencF:Note:trust:data:t0:r1",
    "$ConfidencF:Note:trust:data:t1:r0",
    "$ConfidencF:Note:trust:data",
    "$Class:Memo",
    "$KeyF:Memo:tenant:t0",
    "$SortedF:Memo:score:t0",
    "$ConfidencF:Memo:trust:data:r0",
};

static const char *const foreigners[][2] = {
    { "SET %s foreign", "string" },  { "RPUSH %s foreign", "list" },  { "SADD %s foreign", "set" },
    { "ZADD %s 1 foreign", "zset" }, { "HSET %s foreign 1", "hash" },
};

static bool is_own_type(const char *place, const char *type) {
    bool hash = strncmp(place, "Note:", 5) == 0 || strncmp(place, "$Conf", 5) == 0;
    bool sorted = strncmp(place, "$Sorted", 7) == 0;
    return strcmp(type, hash ? "hash" : sorted ? "zset" : "set") == 0;
}

static void run_foreigner(lab *it, const char *place, size_t kind, const call *what) {
    char name[128];
    round_of round = { .db = it->db, .raw = it->raw };
    server_flush(it->server);
    what->prepare(&round);
    raw_do(it->raw, "DEL %s", place);
    raw_do(it->raw, foreigners[kind][0], place);
    char *before = dump(it);
    snprintf(name, sizeof name, "a %s at %s", foreigners[kind][1], place);
    popoto_status status = what->run(&round);
    char *after = dump(it);
    it->calls++;
    it->refused += status != POPOTO_OK;
    if (status != POPOTO_OK)
        check_sentence(it, "WRONGTYPE", what->name, status);
    stress_check(status == POPOTO_OK || status == POPOTO_CORRUPT || status == POPOTO_EXISTS ||
                     status == POPOTO_NOT_FOUND || status == POPOTO_CHANGED,
                 "%s: %s: %s is no true status", name, what->name, popoto_status_name(status));
    if (status != POPOTO_OK && what->is_done == NULL && !what->migrates)
        if (!stress_check(strcmp(before, after) == 0, "%s: %s: %s, but something was changed", name,
                          what->name, popoto_status_name(status)))
            printf("--- before\n%s--- after\n%s", before, after);
    redisReply *type = raw_ask(it->raw, "TYPE %s", place);
    stress_check(strcmp(type->str, foreigners[kind][1]) == 0,
                 "%s: %s (%s): the foreign key is now a %s", name, what->name,
                 popoto_status_name(status), type->str);
    freeReplyObject(type);
    free(before);
    free(after);
}

static void run_foreigners(lab *it) {
    it->calls = it->refused = 0;
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        for (size_t k = 0; k < sizeof foreigners / sizeof *foreigners; k++)
            for (size_t c = 0; c < call_count; c++)
                if (!is_own_type(places[p], foreigners[k][1]) &&
                    (!stress_is_short() || (p + k + c) % 3 == 0))
                    run_foreigner(it, places[p], k, &calls[c]);
    stress_say("foreign keys: %zu calls, %zu refused", it->calls, it->refused);
}

/* ----- A liar --------------------------------------------------------------------------------- */

/* Answers PING as it should, and everything else with the same text. */
typedef struct liar {
    char folder[64], path[96], url[112];
    const char *_Atomic answer; /* NULL: the truth cannot be told either: close */
    int listener;
    int stop[2];
    pthread_t thread;
} liar;

/* The size of the command at `data`, 0: not complete. */
static size_t command_size(const char *data, size_t size, bool *is_ping) {
    const char *end = data + size, *at = memchr(data, '\n', size);
    long arguments = at == NULL ? 0 : strtol(data + 1, NULL, 10);
    *is_ping = false;
    if (at == NULL)
        return 0;
    at++;
    for (long i = 0; i < arguments; i++) {
        const char *line = at == end ? NULL : memchr(at, '\n', (size_t)(end - at));
        if (line == NULL)
            return 0;
        size_t length = (size_t)strtol(at + 1, NULL, 10);
        if ((size_t)(end - line - 1) < length + 2)
            return 0;
        *is_ping = *is_ping || (arguments == 1 && length == 4 && memcmp(line + 1, "PING", 4) == 0);
        at = line + 1 + length + 2;
    }
    return (size_t)(at - data);
}

static void lie_to(liar *it, int peer) {
    static char data[1 << 20];
    size_t size = 0;
    for (;;) {
        struct pollfd two[] = { { peer, POLLIN, 0 }, { it->stop[0], POLLIN, 0 } };
        if (poll(two, 2, -1) < 0 || two[1].revents != 0)
            return;
        ssize_t got = recv(peer, data + size, sizeof data - size, 0);
        if (got <= 0)
            return;
        size += (size_t)got;
        size_t used;
        bool is_ping;
        while (size > 0 && (used = command_size(data, size, &is_ping)) > 0) {
            const char *answer = is_ping ? "+PONG\r\n" : it->answer;
            if (send(peer, answer, strlen(answer), MSG_NOSIGNAL) < 0)
                return;
            size -= used;
            memmove(data, data + used, size);
        }
    }
}

static void *liar_run(void *context) {
    liar *it = context;
    for (;;) {
        struct pollfd two[] = { { it->listener, POLLIN, 0 }, { it->stop[0], POLLIN, 0 } };
        if (poll(two, 2, -1) < 0)
            continue;
        if (two[1].revents != 0)
            return NULL;
        int peer = accept(it->listener, NULL, NULL);
        if (peer < 0)
            continue;
        lie_to(it, peer);
        close(peer);
    }
}

static void liar_start(liar *it) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    strcpy(it->folder, "/tmp/popoto-liar-XXXXXX");
    if (mkdtemp(it->folder) == NULL)
        stress_give_up("cannot create a folder in /tmp");
    snprintf(it->path, sizeof it->path, "%s/socket", it->folder);
    snprintf(it->url, sizeof it->url, "unix:%s", it->path);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", it->path);
    it->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (it->listener < 0 || bind(it->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(it->listener, 8) != 0 || pipe(it->stop) != 0 ||
        pthread_create(&it->thread, NULL, liar_run, it) != 0)
        stress_give_up("cannot listen");
}

static void liar_stop(liar *it) {
    close(it->stop[1]);
    pthread_join(it->thread, NULL);
    close(it->stop[0]);
    close(it->listener);
    unlink(it->path);
    rmdir(it->folder);
}

typedef struct lie {
    const char *answer;
    popoto_status status; /* POPOTO_OK: anything but a success of a write */
} lie;

static const lie lies[] = {
    { "-LOADING Redis is loading the dataset in memory\r\n", POPOTO_UNAVAILABLE },
    { "-NOAUTH Authentication required.\r\n", POPOTO_DENIED },
    { "-CLUSTERDOWN The cluster is down\r\n", POPOTO_UNAVAILABLE },
    { "-TRYAGAIN Multiple keys request during rehashing of slot\r\n", POPOTO_UNAVAILABLE },
    { "-NOREPLICAS Not enough good replicas to write.\r\n", POPOTO_UNAVAILABLE },
    { "-ERR unknown command\r\n", POPOTO_SERVER_ERROR },
    { "-\r\n", POPOTO_SERVER_ERROR },
    { ":1\r\n", POPOTO_OK },
    { ":-1\r\n", POPOTO_OK },
    { "$-1\r\n", POPOTO_OK },
    { "$0\r\n\r\n", POPOTO_OK },
    { "*0\r\n", POPOTO_OK },
    { "*-1\r\n", POPOTO_OK },
    { "+WHAT\r\n", POPOTO_OK },
    { "*2\r\n:1\r\n:2\r\n", POPOTO_OK },
    { "*2\r\n:99\r\n$1\r\nx\r\n", POPOTO_OK },
    { "*2\r\n$1\r\n0\r\n*0\r\n", POPOTO_OK },
    { "*2\r\n$1\r\n0\r\n*1\r\n:5\r\n", POPOTO_OK },
    { "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n*0\r\n", POPOTO_OK },
    { "*2\r\n$1\r\n0\r\n*2\r\n:1\r\n:2\r\n", POPOTO_OK },
    { "*2\r\n$1\r\n0\r\n*2\r\n$-1\r\n$-1\r\n", POPOTO_OK },
    { "%1\r\n+a\r\n+b\r\n", POPOTO_OK },
    { "HTTP/1.1 400 Bad Request\r\n\r\n", POPOTO_OK },
    { "\r\n", POPOTO_OK },
};

static void run_lies(lab *it) {
    liar teller = { .answer = "+OK\r\n" };
    lab with = { .server = it->server, .raw = it->raw };
    size_t told = 0;
    liar_start(&teller);
    for (size_t l = 0; l < sizeof lies / sizeof *lies; l++)
        for (size_t c = 0; c < call_count; c++) {
            round_of round = { .db = it->db, .raw = it->raw };
            server_flush(it->server);
            calls[c].prepare(&round);
            teller.answer = lies[l].answer;
            with.db = round.db =
                popoto_open(teller.url, &(popoto_options){ .command_timeout = 1000 });
            popoto_status status =
                calls[c].needs_own_db ? POPOTO_BAD_ARGUMENT : calls[c].run(&round);
            told++;
            if (calls[c].needs_own_db) {
                popoto_close(with.db);
                continue;
            }
            if (status != POPOTO_OK)
                check_sentence(&with, lies[l].answer[0] == '-' ? "liar" : "nonsense", calls[c].name,
                               status);
            stress_check(lies[l].status == POPOTO_OK || status == lies[l].status,
                         "%s answered to %s: %s is no true status", lies[l].answer, calls[c].name,
                         popoto_status_name(status));
            stress_check(calls[c].finds > 0 || calls[c].migrates || status != POPOTO_OK,
                         "%s answered to %s: taken for a success", lies[l].answer, calls[c].name);
            popoto_close(with.db);
        }
    liar_stop(&teller);
    stress_say("lies and nonsense: %zu answers, %zu calls", sizeof lies / sizeof *lies, told);
}

/* ----- A pipeline in which the scripts get lost ------------------------------------------------ */

typedef struct flusher {
    redisContext *raw;
    _Atomic bool ends;
    size_t count;
} flusher;

static void *flush_on(void *context) {
    flusher *it = context;
    while (!it->ends) {
        raw_do(it->raw, "SCRIPT FLUSH");
        it->count++;
        stress_sleep(0.0005);
    }
    return NULL;
}

#define MANY 1000

static void run_flushes(lab *it) {
    flusher by = { .raw = raw_connect(server_socket(it->server)) };
    static note notes[MANY];
    static char names[MANY][16];
    static void *all[MANY];
    static popoto_signal signals[MANY];
    pthread_t thread;
    server_flush(it->server);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i);
        notes[i] = (note){ .tenant = "t0",
                           .name = names[i],
                           .room = "r0",
                           .title = "x",
                           .score = (double)i,
                           .trust = 0.5 };
        all[i] = &notes[i];
        signals[i] = (popoto_signal){ .object = &notes[i], .signal = 1 };
    }
    if (pthread_create(&thread, NULL, flush_on, &by) != 0)
        stress_give_up("cannot start a thread");
    long rounds = stress_amount(20, 2);
    for (long r = 0; r < rounds; r++) {
        popoto_status status = popoto_save_many(it->db, &Note, all, MANY, NULL);
        stress_check(status == POPOTO_OK, "save_many while scripts are flushed: %s",
                     popoto_error(it->db));
        status = popoto_confidence_update_many(it->db, &Note, "trust", signals, MANY);
        stress_check(status == POPOTO_OK, "update_many while scripts are flushed: %s",
                     popoto_error(it->db));
    }
    bool right = true;
    for (size_t i = 0; i < MANY; i++) {
        popoto_confidence figures;
        right =
            popoto_confidence_figures(it->db, &Note, &notes[i], "trust", &figures) == POPOTO_OK &&
            figures.evidence_count == rounds && right;
    }
    by.ends = true;
    pthread_join(thread, NULL);
    stress_check(right, "evidence was lost or counted twice while scripts were flushed");
    stress_check(check_indexes(it->raw, checked, CHECKED, NULL) == 0,
                 "indexes after flushed scripts");
    stress_say("%ld writes while the scripts were flushed %zu times", 2 * rounds * MANY, by.count);
    redisFree(by.raw);
}

/* ----- A server that stops answering ----------------------------------------------------------- */

static popoto_status bulk(popoto_db *db, void *const *all, popoto_status *statuses) {
    return popoto_save_many(db, &Note, all, MANY, statuses);
}

/* On a busy machine everything takes longer now and then, so there are several tries. False: try again. */
static bool check_deadline(lab *it, const char *name, int timeout, double took,
                           popoto_status status, bool is_last) {
    double wanted = timeout / 1000.0;
    bool holds = took >= wanted * 0.9 && took <= wanted * 1.1;
    if (!holds && !is_last)
        return false;
    stress_check(status != POPOTO_OK, "%s: a stopped server answered", name);
    stress_check(holds, "%s: the deadline of %d ms took %.0f ms", name, timeout, took * 1000);
    stress_say("%s: a deadline of %d ms: %.0f ms, %s", name, timeout, took * 1000,
               popoto_status_name(status));
    check_sentence(it, "SIGSTOP", name, status);
    return true;
}

#define TRIES 4

static void run_frozen(lab *it) {
    static note notes[MANY];
    static char names[MANY][16];
    static void *all[MANY];
    static popoto_status statuses[MANY];
    static popoto_signal signals[MANY];
    const int timeout = (int)stress_amount(600, 250);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i);
        notes[i] =
            (note){ .tenant = "t0", .name = names[i], .room = "r0", .title = "x", .trust = 0.5 };
        all[i] = &notes[i];
        signals[i] = (popoto_signal){ .object = &notes[i], .signal = 1 };
    }
    for (int known = 0; known < 2; known++) {
        server_flush(it->server);
        popoto_db *db =
            popoto_open(server_url(it->server), &(popoto_options){ .command_timeout = timeout,
                                                                   .connect_timeout = timeout });
        lab with = { .db = db };
        note one = notes[0];
        if (known)
            must(&(round_of){ .db = db }, popoto_save(db, &Note, &one), "save");
        if (known)
            must(&(round_of){ .db = db },
                 popoto_confidence_update(db, &Note, &one, "trust", 1, NULL), "update");
        for (int call_kind = 0, tries = 0; call_kind < 5; tries++) {
            static const char *const kinds[] = { "save", "save_many", "update_many", "query",
                                                 "create_many" };
            char name[64];
            if (popoto_ping(db) != POPOTO_OK)
                stress_give_up(popoto_error(db));
            snprintf(name, sizeof name, "%s, scripts %s", kinds[call_kind],
                     known ? "known" : "unknown");
            server_freeze(it->server);
            double begun = stress_seconds();
            popoto_status status = POPOTO_OK;
            popoto_rows *rows = NULL;
            switch (call_kind) {
            case 0: status = popoto_save(db, &Note, &one); break;
            case 1: status = bulk(db, all, statuses); break;
            case 2:
                status = popoto_confidence_update_many(db, &Note, "trust", signals, MANY);
                break;
            case 3: status = popoto_query(db, &(popoto_query_desc){ .model = &Note }, &rows); break;
            default: status = popoto_create_many(db, &Note, all, MANY, statuses); break;
            }
            double took = stress_seconds() - begun;
            if (check_deadline(&with, name, timeout, took, status, tries == TRIES)) {
                call_kind++;
                tries = 0;
            }
            popoto_rows_free(rows);
            server_thaw(it->server);
            stress_check(popoto_ping(db) == POPOTO_OK, "%s: the next call: %s", name,
                         popoto_error(db));
        }
        popoto_close(db);
        stress_check(check_indexes(it->raw, checked, CHECKED, NULL) == 0,
                     "indexes after a stopped server");
    }
}

int main(int argc, char **argv) {
    lab it = { 0 };
    static const char *const arguments[] = { "--lua-time-limit", "20", NULL };
    stress_begin(argc, argv, "a server that refuses");
    it.server = server_start(&(server_options){ .tcp = true, .arguments = arguments });
    it.raw = raw_connect(server_socket(it.server));
    it.other = raw_connect(server_socket(it.server));
    restore_user(&it);
    snprintf(it.url, sizeof it.url, "redis://app:secret@127.0.0.1:%d", server_port(it.server));
    it.db = popoto_open(it.url, NULL);
    run_faults(&it);
    run_foreigners(&it);
    run_lies(&it);
    run_flushes(&it);
    run_frozen(&it);
    popoto_close(it.db);
    redisFree(it.other);
    redisFree(it.raw);
    char path[128];
    snprintf(path, sizeof path, "%s/dump.rdb", server_folder(it.server));
    rmdir(path);
    server_stop(it.server);
    return stress_end();
}
