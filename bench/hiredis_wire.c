/* hiredis_wire - the rival's connection: formatting, sending, receiving, and the memory that is kept from
 * call to call. See hiredis_side.h. */
#include "hiredis_side.h"

#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ----- connection ----------------------------------------------------------------------------- */

hand *hand_open(const char *socket, int database) {
    hand *it = calloc(1, sizeof(*it));
    redisContext *made = redisConnectUnix(socket);
    if (it == NULL || made == NULL || made->err != 0)
        give_up("cannot connect to %s", socket);
    it->connection = made;
    made->reader->maxbuf = 0; /* keep a buffer that once was large */
    made->reader->privdata = it;
    char number[12];
    int size = snprintf(number, sizeof(number), "%d", database);
    PUT_LITERAL(it, "*2\r\n$6\r\nSELECT\r\n");
    hand_put_argument(it, number, (size_t)size);
    hand_exchange(it, 1, &hand_acknowledge);
    return it;
}

void hand_close(hand *it) {
    if (it == NULL)
        return;
    for (block *at = it->first_block, *next; at != NULL; at = next) {
        next = at->next;
        free(at);
    }
    redisFree(it->connection);
    free(it->rows);
    free(it->names);
    free(it->name_sizes);
    free(it->out);
    free(it);
}

/* ----- formatting ----------------------------------------------------------------------------- */

char *hand_room(hand *it, size_t size) {
    if (it->out_room - it->out_size < size) {
        it->out_room = (it->out_room + size) * 2;
        it->out = realloc(it->out, it->out_room);
        if (it->out == NULL)
            give_up("no memory");
    }
    return it->out + it->out_size;
}

void hand_put(hand *it, const char *data, size_t size) {
    memcpy(hand_room(it, size), data, size);
    it->out_size += size;
}

/* "$12\r\n" and the bytes. */
void hand_put_argument(hand *it, const char *data, size_t size) {
    char *start = hand_room(it, size + 24), *at = start;
    *at++ = '$';
    if (size < 10) {
        *at++ = (char)('0' + size);
    } else if (size < 100) {
        *at++ = (char)('0' + size / 10);
        *at++ = (char)('0' + size % 10);
    } else {
        at += snprintf(at, 21, "%zu", size);
    }
    *at++ = '\r';
    *at++ = '\n';
    memcpy(at, data, size);
    at += size;
    *at++ = '\r';
    *at++ = '\n';
    it->out_size += (size_t)(at - start);
}

/* Numbers with few decimals, as people and programs mostly make them, by hand; others by printf with
 * all the digits that matter. */
size_t hand_double_text(double value, char text[32]) {
    if (!(value >= 0 && value < 100000))
        return (size_t)snprintf(text, 32, "%.17g", value);
    unsigned number = (unsigned)(value * 10000 + 0.5);
    if ((double)number / 10000 != value)
        return (size_t)snprintf(text, 32, "%.17g", value);
    unsigned whole = number / 10000, part = number % 10000;
    char digits[12], *at = digits + sizeof(digits);
    do
        *--at = (char)('0' + whole % 10);
    while ((whole /= 10) != 0);
    size_t size = (size_t)(digits + sizeof(digits) - at);
    memcpy(text, at, size);
    if (part == 0)
        return size;
    text[size++] = '.';
    for (unsigned unit = 1000; part != 0; unit /= 10) {
        text[size++] = (char)('0' + part / unit);
        part %= unit;
    }
    return size;
}

void hand_put_double(hand *it, double value) {
    char text[32];
    hand_put_argument(it, text, hand_double_text(value, text));
}

void hand_check_segment(const char *text, size_t size) {
    static const bool special[256] = {
        [':'] = true, ['/'] = true, ['{'] = true, ['\''] = true, ['?'] = true,
        ['*'] = true, ['^'] = true, ['['] = true, [']'] = true,
    };
    for (size_t i = 0; i < size; i++)
        if (special[(unsigned char)text[i]])
            give_up("a name with %c in it", text[i]);
}

void hand_make_key(hand_key *key, const char *model, const char *second, size_t second_size,
                   const char *third, size_t third_size) {
    size_t model_size = strlen(model);
    if (model_size + second_size + third_size + 2 > HAND_KEY_SIZE)
        give_up("a name that is too long");
    hand_check_segment(second, second_size);
    hand_check_segment(third, third_size);
    char *at = key->text;
    memcpy(at, model, model_size);
    at += model_size;
    *at++ = ':';
    memcpy(at, second, second_size);
    at += second_size;
    *at++ = ':';
    memcpy(at, third, third_size);
    key->size = (size_t)(at + third_size - key->text);
}

/* ----- conversation --------------------------------------------------------------------------- */

/* After about each KiB of replies hiredis moves the rest of its buffer to the front: it is given a little
 * at a time, so that this rest is small. */
#define MOUTHFUL ((size_t)2048)

void hand_send(hand *it) {
    size_t sent = 0;
    /* The server takes all of it whether or not its replies are read: it keeps those itself. */
    while (sent < it->out_size) {
        ssize_t taken = send(it->connection->fd, it->out + sent, it->out_size - sent, MSG_NOSIGNAL);
        if (taken < 0 && errno != EINTR)
            give_up("the server is gone");
        sent += taken > 0 ? (size_t)taken : 0;
    }
    it->out_size = 0;
}

/* How many replies these bytes bring to their end. */
static size_t feed(redisReader *reader, const char *bytes, size_t size) {
    size_t replies = 0;
    for (size_t part; size > 0; bytes += part, size -= part) {
        void *reply = NULL;
        part = size < MOUTHFUL ? size : MOUTHFUL;
        redisReaderFeed(reader, bytes, part);
        for (;; replies++) {
            if (redisReaderGetReply(reader, &reply) != REDIS_OK)
                give_up("no valid reply: %s", reader->errstr);
            if (reply == NULL)
                break;
        }
    }
    return replies;
}

/* No more is asked for than is waited for or counted later, so that replies in surplus are the next
 * part's. */
void hand_receive(hand *it, size_t replies, redisReplyObjectFunctions *functions) {
    char bytes[16 * 1024];
    it->connection->reader->fn = functions;
    it->error = NULL;
    size_t ready = it->early < replies ? it->early : replies;
    it->early -= ready;
    replies -= ready;
    while (replies > 0) {
        ssize_t got = recv(it->connection->fd, bytes, sizeof(bytes), 0);
        if (got <= 0 && errno != EINTR)
            give_up("the server is gone");
        size_t came = got > 0 ? feed(it->connection->reader, bytes, (size_t)got) : 0;
        it->early = came > replies ? came - replies : 0;
        replies -= came > replies ? replies : came;
    }
    if (it->error != NULL)
        give_up("the server answered %s", it->error);
}

void hand_exchange(hand *it, size_t replies, redisReplyObjectFunctions *functions) {
    hand_send(it);
    hand_receive(it, replies, functions);
}

/* ----- replies -------------------------------------------------------------------------------- */

bool hand_is_error(hand *it, const redisReadTask *task, const char *text, size_t size) {
    if (task->type != REDIS_REPLY_ERROR)
        return false;
    if (it->error == NULL)
        it->error = hand_text(it, text, size);
    return true;
}

void *hand_take_array(const redisReadTask *task, hand_count count) {
    hand *it = task->privdata;
    (void)count;
    return HAND_TAKEN;
}

void *hand_take_integer(const redisReadTask *task, long long value) {
    hand *it = task->privdata;
    it->integer = value;
    return HAND_TAKEN;
}

void *hand_take_null(const redisReadTask *task) {
    hand *it = task->privdata;
    return HAND_TAKEN;
}

void hand_keep(void *made) {
    (void)made;
}

static void *acknowledge_string(const redisReadTask *task, char *text, size_t size) {
    hand *it = task->privdata;
    hand_is_error(it, task, text, size);
    return HAND_TAKEN;
}

redisReplyObjectFunctions hand_acknowledge = {
    .createString = acknowledge_string,
    .createArray = hand_take_array,
    .createInteger = hand_take_integer,
    .createNil = hand_take_null,
    .freeObject = hand_keep,
};

static char *sha_out;

static void *take_sha(const redisReadTask *task, char *text, size_t size) {
    hand *it = task->privdata;
    if (!hand_is_error(it, task, text, size) && size == 40)
        memcpy(sha_out, text, size);
    return HAND_TAKEN;
}

void hand_load_script(hand *it, const char *script, char sha[41]) {
    static redisReplyObjectFunctions functions = {
        .createString = take_sha,
        .createArray = hand_take_array,
        .createInteger = hand_take_integer,
        .createNil = hand_take_null,
        .freeObject = hand_keep,
    };
    sha_out = sha;
    PUT_LITERAL(it, "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n");
    hand_put_argument(it, script, strlen(script));
    hand_exchange(it, 1, &functions);
}

/* ----- texts ---------------------------------------------------------------------------------- */

#define BLOCK_SIZE ((size_t)64 * 1024)

static void next_block(hand *it, size_t size) {
    block **link = it->now_block != NULL ? &it->now_block->next : &it->first_block;
    if (*link != NULL && (*link)->size < size) { /* too small for this one text: drop it */
        block *small = *link;
        *link = small->next;
        free(small);
    }
    if (*link == NULL || (*link)->size < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        block *made = malloc(sizeof(*made) + room);
        if (made == NULL)
            give_up("no memory");
        made->size = room;
        made->next = *link;
        *link = made;
    }
    it->now_block = *link;
    it->block_used = 0;
}

char *hand_text(hand *it, const char *data, size_t size) {
    if (it->now_block == NULL || it->now_block->size - it->block_used < size + 1)
        next_block(it, size + 1);
    char *text = it->now_block->data + it->block_used;
    memcpy(text, data, size);
    text[size] = '\0';
    it->block_used += size + 1;
    return text;
}

void hand_forget_rows(hand *it) {
    it->row_count = 0;
    it->name_count = 0;
    it->now_block = it->first_block;
    it->block_used = 0;
}
