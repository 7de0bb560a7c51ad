/* support - see support.h. */
#include "support.h"

#include "fake_server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* ----- Figures -------------------------------------------------------------------------------- */

#define MOST_LINES 100

static bool is_short;
static uint64_t seed = 20260801;
static size_t passed, failed;
static double begun;

double stress_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void stress_sleep(double seconds) {
    struct timespec time = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {}
}

void stress_begin(int argc, char **argv, const char *what) {
    const char *form = getenv("POPOTO_STRESS");
    const char *number = getenv("POPOTO_SEED");
    is_short = form != NULL && strcmp(form, "short") == 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "short") == 0)
            is_short = true;
        else
            number = argv[i];
    }
    if (number != NULL)
        seed = strtoull(number, NULL, 10);
    setvbuf(stdout, NULL, _IOLBF, 0);
    begun = stress_seconds();
    stress_say("%s, %s form, seed %llu", what, is_short ? "short" : "long",
               (unsigned long long)seed);
}

bool stress_is_short(void) {
    return is_short;
}

long stress_amount(long in_long, long in_short) {
    return is_short ? in_short : in_long;
}

uint64_t stress_seed(void) {
    return seed;
}

bool stress_check(bool holds, const char *format, ...) {
    va_list arguments;
    if (holds) {
        passed++;
        return true;
    }
    failed++;
    if (failed <= MOST_LINES || getenv("POPOTO_ALL") != NULL) {
        va_start(arguments, format);
        printf("  FAULT: ");
        vprintf(format, arguments);
        printf("\n");
        va_end(arguments);
    }
    return false;
}

void stress_say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("  ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

int stress_end(void) {
    stress_say("%.1f s", stress_seconds() - begun);
    printf("%zu passed, %zu failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}

void stress_give_up(const char *what) {
    fprintf(stderr, "stress: %s (%s)\n", what, strerror(errno));
    exit(70);
}

/* ----- Dice ----------------------------------------------------------------------------------- */

/* splitmix64 */
uint64_t dice_next(dice *it) {
    uint64_t z = it->state += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
}

dice dice_of(uint64_t from, uint64_t stream) {
    dice it = { from };
    it.state = dice_next(&it) ^ stream * 0xD1342543DE82EF95U;
    return it;
}

unsigned dice_below(dice *it, unsigned limit) {
    return (unsigned)(dice_next(it) % limit);
}

double dice_part(dice *it) {
    return (double)(dice_next(it) >> 11) / 9007199254740992.0;
}

/* ----- Raw Redis ------------------------------------------------------------------------------ */

redisContext *raw_connect(const char *socket) {
    redisContext *it = redisConnectUnix(socket);
    if (it == NULL || it->err != 0)
        stress_give_up("cannot connect to the test's server");
    return it;
}

static redisReply *ask(redisContext *it, const char *format, va_list arguments) {
    redisReply *reply = redisvCommand(it, format, arguments);
    if (reply == NULL)
        stress_give_up("the test's server went away");
    if (reply->type == REDIS_REPLY_ERROR) {
        fprintf(stderr, "%s: %s\n", format, reply->str);
        stress_give_up("the test's own command failed");
    }
    return reply;
}

redisReply *raw_ask(redisContext *it, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask(it, format, arguments);
    va_end(arguments);
    return reply;
}

void raw_do(redisContext *it, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    freeReplyObject(ask(it, format, arguments));
    va_end(arguments);
}

/* ----- MessagePack, as little as is needed ----------------------------------------------------- */

typedef struct packed {
    const unsigned char *at, *end;
} packed;

static uint64_t take_number(packed *it, size_t bytes) {
    uint64_t number = 0;
    while (bytes-- > 0 && it->at < it->end)
        number = number << 8 | *it->at++;
    return number;
}

static bool read_text(packed *it, const char **text, size_t *size) {
    if (it->at == it->end)
        return false;
    unsigned char head = *it->at++;
    if (head >= 0xA0 && head <= 0xBF)
        *size = head & 31U;
    else if (head >= 0xD9 && head <= 0xDB)
        *size = (size_t)take_number(it, (size_t)1 << (head - 0xD9));
    else
        return false;
    if ((size_t)(it->end - it->at) < *size)
        return false;
    *text = (const char *)it->at;
    it->at += *size;
    return true;
}

static bool read_number(packed *it, double *number) {
    if (it->at == it->end)
        return false;
    unsigned char head = *it->at++;
    if (head <= 0x7F)
        *number = head;
    else if (head >= 0xE0)
        *number = (signed char)head;
    else if (head >= 0xCC && head <= 0xCF)
        *number = (double)take_number(it, (size_t)1 << (head - 0xCC));
    else if (head == 0xCB) {
        uint64_t bits = take_number(it, 8);
        memcpy(number, &bits, sizeof bits);
    } else if (head == 0xCA) {
        uint32_t bits = (uint32_t)take_number(it, 4);
        float single;
        memcpy(&single, &bits, sizeof bits);
        *number = (double)single;
    } else
        return false;
    return true;
}

/* A map of names and numbers; evidence_count is the one of interest. -1: it is none. */
static int64_t read_evidence(const redisReply *bytes) {
    packed it = { (const unsigned char *)bytes->str,
                  (const unsigned char *)bytes->str + bytes->len };
    int64_t evidence = -1;
    if (it.at == it.end || *it.at != 0x84)
        return -1;
    it.at++;
    for (int i = 0; i < 4; i++) {
        const char *name;
        size_t size;
        double number;
        if (!read_text(&it, &name, &size) || !read_number(&it, &number))
            return -1;
        if (size == 14 && memcmp(name, "evidence_count", 14) == 0)
            evidence = (int64_t)number;
    }
    return it.at == it.end ? evidence : -1;
}

static bool show_value(const redisReply *bytes, char *out, size_t size) {
    packed it = { (const unsigned char *)bytes->str,
                  (const unsigned char *)bytes->str + bytes->len };
    packed again = it;
    const char *text;
    size_t length;
    double number;
    if (read_text(&it, &text, &length) && it.at == it.end && length < size) {
        memcpy(out, text, length);
        out[length] = '\0';
        return true;
    }
    if (!read_number(&again, &number) || again.at != again.end)
        return false;
    snprintf(out, size, "%.17g", number);
    return true;
}

bool raw_field(redisContext *it, const char *key, const char *field, char *out, size_t size) {
    redisReply *reply = raw_ask(it, "HGET %s %s", key, field);
    bool there = reply->type == REDIS_REPLY_STRING && show_value(reply, out, size);
    freeReplyObject(reply);
    return there;
}

/* ----- The checker ---------------------------------------------------------------------------- */

/* What there is, or must be, each thing a line. */
typedef struct lines {
    char **items;
    size_t count, room;
} lines;

static void add_line(lines *it, const char *format, ...) STRESS_PRINTF(2, 3);
static void add_line(lines *it, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (it->count == it->room) {
        it->room = it->room ? it->room * 2 : 256;
        it->items = realloc(it->items, it->room * sizeof *it->items);
    }
    char *copy = it->items == NULL ? NULL : strdup(text);
    if (copy == NULL)
        stress_give_up("no memory");
    it->items[it->count++] = copy;
}

static int compare_lines(const void *one, const void *other) {
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static void sort_lines(lines *it) {
    if (it->count > 0)
        qsort(it->items, it->count, sizeof *it->items, compare_lines);
}

static void free_lines(lines *it) {
    for (size_t i = 0; i < it->count; i++)
        free(it->items[i]);
    free(it->items);
}

/* A record's fields as text. */
typedef struct record {
    const char *key;
    char names[16][32];
    char values[16][64];
    size_t count;
} record;

static const char *value_of(const record *it, const char *name, size_t size) {
    for (size_t i = 0; i < it->count; i++)
        if (strlen(it->names[i]) == size && memcmp(it->names[i], name, size) == 0)
            return it->values[i];
    return NULL;
}

/* "$SortedF:Model:field" and the partition's values. */
static bool index_name(const checked_model *model, const char *family, const checked_field *field,
                       const char *behind, const record *of, char *out, size_t size) {
    size_t used =
        (size_t)snprintf(out, size, "%s:%s:%s%s", family, model->name, field->name, behind);
    for (const char *at = field->partition_by; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ",");
        const char *value = value_of(of, at, length);
        if (value == NULL)
            return false;
        used += (size_t)snprintf(out + used, size - used, ":%s", value);
        at += length + (at[length] == ',');
    }
    return true;
}

static size_t complain(const char *what, const char *line) {
    stress_say("  index check: %s: %s", what, line);
    return 1;
}

static size_t expect_record(const checked_model *model, const record *it, lines *expected) {
    char key[512], index[512];
    size_t used = (size_t)snprintf(key, sizeof key, "%s", model->name);
    add_line(expected, "$Class:%s has %s", model->name, it->key);
    for (size_t i = 0; i < 4 && model->keys[i] != NULL; i++) {
        const char *value = value_of(it, model->keys[i], strlen(model->keys[i]));
        if (value == NULL)
            return complain("a record lacks a key field", it->key);
        bool unique = model->unique != NULL && strcmp(model->unique, model->keys[i]) == 0;
        if (model->automatic == NULL || strcmp(model->automatic, model->keys[i]) != 0)
            add_line(expected, "%s:%s:%s:%s has %s", unique ? "$UniqueKeyF" : "$KeyF", model->name,
                     model->keys[i], value, it->key);
        used += (size_t)snprintf(key + used, sizeof key - used, ":%s", value);
    }
    if (strcmp(key, it->key) != 0)
        return complain("a record is not stored under its own key", it->key);
    for (size_t i = 0; i < 4 && model->sorted[i].name != NULL; i++) {
        const char *score = value_of(it, model->sorted[i].name, strlen(model->sorted[i].name));
        if (score == NULL ||
            !index_name(model, "$SortedF", &model->sorted[i], "", it, index, sizeof index))
            return complain("a record lacks a sorted field or its partition", it->key);
        add_line(expected, "%s has %s at %s", index, it->key, score);
    }
    for (size_t i = 0; i < 4 && model->confidence[i].name != NULL; i++) {
        if (!index_name(model, "$ConfidencF", &model->confidence[i], ":data", it, index,
                        sizeof index))
            return complain("a record lacks a confidence field's partition", it->key);
        add_line(expected, "%s has an entry of %s", index, it->key);
    }
    return 0;
}

static bool belongs_to(const checked_model *model, const char *key) {
    size_t size = strlen(model->name);
    return strncmp(key, model->name, size) == 0 && key[size] == ':';
}

static size_t read_record(redisContext *it, const checked_model *model, const char *key,
                          lines *expected) {
    record one = { .key = key };
    size_t faults = 0;
    redisReply *type = raw_ask(it, "TYPE %s", key);
    bool is_hash = strcmp(type->str, "hash") == 0;
    freeReplyObject(type);
    if (!is_hash)
        return complain("a record is no hash", key);
    redisReply *reply = raw_ask(it, "HGETALL %s", key);
    for (size_t i = 0; i + 1 < reply->elements && one.count < 16; i += 2) {
        snprintf(one.names[one.count], sizeof one.names[0], "%s", reply->element[i]->str);
        if (show_value(reply->element[i + 1], one.values[one.count], sizeof one.values[0]))
            one.count++;
        else if (reply->element[i + 1]->len != 1) /* null */
            faults += complain("a field that cannot be read", key);
    }
    freeReplyObject(reply);
    return faults + expect_record(model, &one, expected);
}

static size_t read_index(redisContext *it, const char *key, lines *actual) {
    size_t faults = 0;
    redisReply *type = raw_ask(it, "TYPE %s", key);
    redisReply *reply = NULL;
    if (strcmp(type->str, "set") == 0) {
        reply = raw_ask(it, "SMEMBERS %s", key);
        for (size_t i = 0; i < reply->elements; i++)
            add_line(actual, "%s has %s", key, reply->element[i]->str);
    } else if (strcmp(type->str, "zset") == 0) {
        reply = raw_ask(it, "ZRANGE %s 0 -1 WITHSCORES", key);
        for (size_t i = 0; i + 1 < reply->elements; i += 2)
            add_line(actual, "%s has %s at %.17g", key, reply->element[i]->str,
                     strtod(reply->element[i + 1]->str, NULL));
    } else if (strcmp(type->str, "hash") == 0) {
        reply = raw_ask(it, "HGETALL %s", key);
        for (size_t i = 0; i + 1 < reply->elements; i += 2) {
            add_line(actual, "%s has an entry of %s", key, reply->element[i]->str);
            if (read_evidence(reply->element[i + 1]) < 0)
                faults += complain("an entry that cannot be read", key);
        }
    } else
        faults += complain("a key of a strange type", key);
    freeReplyObject(type);
    if (reply != NULL)
        freeReplyObject(reply);
    return faults;
}

static size_t compare(lines *expected, lines *actual) {
    size_t faults = 0, i = 0, j = 0;
    sort_lines(expected);
    sort_lines(actual);
    while (i < expected->count || j < actual->count) {
        int order = i == expected->count ? 1
                    : j == actual->count ? -1
                                         : strcmp(expected->items[i], actual->items[j]);
        if (order < 0)
            faults += complain("missing", expected->items[i++]);
        else if (order > 0)
            faults += complain("too much", actual->items[j++]);
        else
            i++, j++;
    }
    return faults;
}

size_t check_indexes(redisContext *it, const checked_model *models, size_t count, size_t *records) {
    lines expected = { 0 }, actual = { 0 };
    size_t faults = 0, found = 0;
    redisReply *keys = raw_ask(it, "KEYS *");
    for (size_t i = 0; i < keys->elements; i++) {
        const char *key = keys->element[i]->str;
        const checked_model *model = NULL;
        for (size_t m = 0; m < count; m++)
            if (belongs_to(&models[m], key))
                model = &models[m];
        if (model != NULL) {
            faults += read_record(it, model, key, &expected);
            found++;
        } else if (key[0] == '$')
            faults += read_index(it, key, &actual);
        else
            faults += complain("a key that is nobody's", key);
    }
    freeReplyObject(keys);
    faults += compare(&expected, &actual);
    free_lines(&expected);
    free_lines(&actual);
    if (records != NULL)
        *records = found;
    return faults;
}

void check_evidence(redisContext *it, const checked_model *model, const char *field,
                    const char *named, evidence_callback *callback, void *context) {
    redisReply *keys = raw_ask(it, "KEYS $ConfidencF:%s:%s:data*", model->name, field);
    for (size_t i = 0; i < keys->elements; i++) {
        redisReply *entries = raw_ask(it, "HGETALL %s", keys->element[i]->str);
        for (size_t k = 0; k + 1 < entries->elements; k += 2) {
            char value[128];
            if (raw_field(it, entries->element[k]->str, named, value, sizeof value))
                callback(context, value, read_evidence(entries->element[k + 1]));
        }
        freeReplyObject(entries);
    }
    freeReplyObject(keys);
}

/* ----- The proxy ------------------------------------------------------------------------------ */

struct proxy {
    char folder[64];
    char path[96];
    char url[112];
    const char *server;
    int listener;
    int stop[2];
    pthread_t thread;
    pthread_mutex_t mutex;
    bool armed, cut;
    direction which;
    size_t limit;
    size_t bytes[2];
};

static int connect_to(const char *path) {
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int made = socket(AF_UNIX, SOCK_STREAM, 0);
    if (made >= 0 && connect(made, (struct sockaddr *)&to, sizeof to) != 0) {
        close(made);
        return -1;
    }
    return made;
}

static bool send_all(int to, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(to, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* How many of these bytes may pass; *last: the connection is to be cut behind them. */
static size_t admit(proxy *it, direction which, size_t size, bool *last) {
    pthread_mutex_lock(&it->mutex);
    *last = false;
    if (it->armed && !it->cut && which == it->which && it->bytes[which] + size >= it->limit) {
        size = it->limit - it->bytes[which];
        it->cut = *last = true;
    }
    if (it->armed)
        it->bytes[which] += size;
    pthread_mutex_unlock(&it->mutex);
    return size;
}

/* One bite in one direction; false: this pair of connections is over. */
static bool forward(proxy *it, const int ends[2], direction which) {
    char data[16384];
    bool last;
    ssize_t got = recv(ends[which == TO_SERVER ? 0 : 1], data, sizeof data, 0);
    if (got <= 0)
        return false;
    size_t size = admit(it, which, (size_t)got, &last);
    int to = ends[which == TO_SERVER ? 1 : 0];
    return send_all(to, data, size) && !last;
}

/* The server reads what it was sent to the end, and answers into the void, before the client knows. */
static void hang_up(const int ends[2]) {
    char sink[16384];
    shutdown(ends[1], SHUT_WR);
    while (recv(ends[1], sink, sizeof sink, 0) > 0) {}
    close(ends[1]);
    close(ends[0]);
}

static void serve(proxy *it, int client) {
    int ends[2] = { client, connect_to(it->server) };
    struct pollfd three[] = { { ends[0], POLLIN, 0 },
                              { ends[1], POLLIN, 0 },
                              { it->stop[0], POLLIN, 0 } };
    if (ends[1] < 0) {
        close(client);
        return;
    }
    for (;;) {
        if (poll(three, 3, -1) < 0)
            continue;
        if (three[2].revents != 0)
            break;
        if (three[0].revents != 0 && !forward(it, ends, TO_SERVER))
            break;
        if (three[1].revents != 0 && !forward(it, ends, TO_CLIENT))
            break;
    }
    hang_up(ends);
}

static void *proxy_run(void *context) {
    proxy *it = context;
    for (;;) {
        struct pollfd two[] = { { it->listener, POLLIN, 0 }, { it->stop[0], POLLIN, 0 } };
        if (poll(two, 2, -1) < 0)
            continue;
        if (two[1].revents != 0)
            return NULL;
        int client = accept(it->listener, NULL, NULL);
        if (client >= 0)
            serve(it, client);
    }
}

proxy *proxy_start(const char *server_socket) {
    proxy *it = calloc(1, sizeof *it);
    if (it == NULL)
        stress_give_up("no memory");
    strcpy(it->folder, "/tmp/popoto-proxy-XXXXXX");
    if (mkdtemp(it->folder) == NULL)
        stress_give_up("cannot create a folder in /tmp");
    snprintf(it->path, sizeof it->path, "%s/socket", it->folder);
    snprintf(it->url, sizeof it->url, "unix:%s", it->path);
    it->server = server_socket;
    it->listener = fake_listen(it->path, 8);
    if (pipe(it->stop) != 0)
        stress_give_up("cannot listen");
    pthread_mutex_init(&it->mutex, NULL);
    if (pthread_create(&it->thread, NULL, proxy_run, it) != 0)
        stress_give_up("cannot start a thread");
    return it;
}

void proxy_stop(proxy *it) {
    close(it->stop[1]);
    pthread_join(it->thread, NULL);
    close(it->stop[0]);
    close(it->listener);
    unlink(it->path);
    rmdir(it->folder);
    pthread_mutex_destroy(&it->mutex);
    free(it);
}

const char *proxy_url(const proxy *it) {
    return it->url;
}

void proxy_arm(proxy *it, direction which, size_t after) {
    pthread_mutex_lock(&it->mutex);
    it->armed = true;
    it->cut = false;
    it->which = which;
    it->limit = after;
    it->bytes[TO_SERVER] = it->bytes[TO_CLIENT] = 0;
    pthread_mutex_unlock(&it->mutex);
}

bool proxy_disarm(proxy *it) {
    pthread_mutex_lock(&it->mutex);
    bool cut = it->cut;
    it->armed = it->cut = false;
    pthread_mutex_unlock(&it->mutex);
    return cut;
}

size_t proxy_bytes(proxy *it, direction which) {
    pthread_mutex_lock(&it->mutex);
    size_t bytes = it->bytes[which];
    pthread_mutex_unlock(&it->mutex);
    return bytes;
}
