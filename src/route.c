/* route - see route.h. Slots, hash tags and redirections are those of the Redis Cluster specification,
 * https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
#include "route.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ----- Slots ---------------------------------------------------------------------------------- */

/* CRC16 as XMODEM has it: polynomial 0x1021, from 0, nothing reflected. Four bits are worth a step,
 * because the polynomial's bits (12, 5, 0) stand further apart than that: dividing by it is then one
 * multiplication, and there is no need for a table. */
static unsigned crc16(const unsigned char *data, size_t size) {
    unsigned crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc = (crc << 4 & 0xFFFF) ^ ((crc >> 12 ^ data[i] >> 4) & 0xF) * 0x1021U;
        crc = (crc << 4 & 0xFFFF) ^ ((crc >> 12 ^ data[i]) & 0xF) * 0x1021U;
    }
    return crc;
}

unsigned popoto__slot_of_key(const void *key, size_t size) {
    const char *from = key;
    const char *open = size == 0 ? NULL : memchr(from, '{', size);
    if (open != NULL) {
        size_t rest = size - (size_t)(open + 1 - from);
        const char *close = rest == 0 ? NULL : memchr(open + 1, '}', rest);
        if (close != NULL && close > open + 1) {
            from = open + 1;
            size = (size_t)(close - from);
        }
    }
    return crc16((const unsigned char *)from, size) % SLOT_COUNT;
}

/* ----- Requests ------------------------------------------------------------------------------- */

/* Commands whose key is not their first argument, or that have none. Those that the library does not
 * send have no row; a command of a later version that it misses is asked of the wrong node, which
 * answers MOVED. */
static const struct {
    const char *name;
    route_kind kind;
    size_t key; /* which argument; the name is 0 */
} rules[] = {
    { "EVALSHA", ROUTE_SLOT, 3 },     { "EVAL", ROUTE_SLOT, 3 },
    { "MEMORY", ROUTE_SLOT, 2 },      { "OBJECT", ROUTE_SLOT, 2 },
    { "SCRIPT", ROUTE_REACHABLE, 0 }, { "PING", ROUTE_PRIMARIES, 0 },
    { "ACL", ROUTE_NODES, 0 },        { "SCAN", ROUTE_SCAN, 1 },
    { "INFO", ROUTE_ANY, 0 },         { "TIME", ROUTE_ANY, 0 },
    { "CONFIG", ROUTE_ANY, 0 },       { "COMMAND", ROUTE_ANY, 0 },
    { "DBSIZE", ROUTE_PRIMARIES, 0 }, { "MULTI", ROUTE_ANY, 0 },
    { "EXEC", ROUTE_ANY, 0 },
};

typedef struct walker {
    const char *at;
    const char *end;
} walker;

/* "<mark>number\r\n" */
static bool read_header(walker *it, char mark, size_t *number) {
    size_t value = 0;
    if (it->end - it->at < 4 || *it->at++ != mark)
        return false;
    for (; it->at < it->end && *it->at >= '0' && *it->at <= '9'; it->at++) {
        if (value > SIZE_MAX / 20)
            return false;
        value = value * 10 + (size_t)(*it->at - '0');
    }
    if (it->end - it->at < 2 || it->at[0] != '\r' || it->at[1] != '\n')
        return false;
    it->at += 2;
    *number = value;
    return true;
}

static bool read_argument(walker *it, popoto_text *out) {
    size_t size;
    if (!read_header(it, '$', &size) || (size_t)(it->end - it->at) < 2 ||
        size > (size_t)(it->end - it->at) - 2)
        return false;
    *out = (popoto_text){ it->at, size };
    it->at += size + 2;
    return true;
}

static bool is_named(popoto_text name, const char *wanted) {
    return name.size == strlen(wanted) && strncasecmp(name.data, wanted, name.size) == 0;
}

typedef struct seen_command {
    popoto_text name;
    route_kind kind;
    popoto_text key; /* or the cursor of a SCAN; data NULL: none */
} seen_command;

static bool read_command(walker *it, seen_command *out) {
    size_t count, key = 1;
    if (!read_header(it, '*', &count) || count == 0 || !read_argument(it, &out->name))
        return false;
    out->kind = count > 1 ? ROUTE_SLOT : ROUTE_ANY;
    out->key = (popoto_text){ NULL, 0 };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (is_named(out->name, rules[i].name)) {
            out->kind = rules[i].kind;
            key = rules[i].key;
            break;
        }
    for (size_t i = 1; i < count; i++) {
        popoto_text argument;
        if (!read_argument(it, &argument))
            return false;
        if (i == key)
            out->key = argument;
    }
    if (out->kind == ROUTE_SLOT && out->key.data == NULL)
        out->kind = ROUTE_ANY;
    return true;
}

/* The next command, or all up to EXEC; where these go, their first key says. */
static bool read_route(walker *it, const char *start, route *out) {
    seen_command seen;
    out->at = (size_t)(it->at - start);
    if (!read_command(it, &seen))
        return false;
    bool is_group = is_named(seen.name, "MULTI");
    out->kind = seen.kind;
    out->cursor = seen.kind == ROUTE_SCAN ? seen.key : (popoto_text){ NULL, 0 };
    if (seen.kind == ROUTE_SLOT)
        out->slot = popoto__slot_of_key(seen.key.data, seen.key.size);
    for (out->count = 1; is_group; out->count++) {
        if (!read_command(it, &seen))
            return false;
        if (out->kind == ROUTE_ANY && seen.kind == ROUTE_SLOT) {
            out->kind = ROUTE_SLOT;
            out->slot = popoto__slot_of_key(seen.key.data, seen.key.size);
        }
        is_group = !is_named(seen.name, "EXEC");
    }
    out->size = (size_t)(it->at - start) - out->at;
    return true;
}

popoto_status popoto__route_request(const buffer *request, size_t count, arena *memory,
                                    route **routes, size_t *route_count, failure *why) {
    const char *begin = request->size > 0 ? request->data : ""; /* an empty buffer has no data */
    walker it = { begin, begin + request->size };
    *route_count = 0;
    *routes = popoto__arena_zeroed(memory, count, sizeof **routes);
    if (*routes == NULL)
        return popoto__fail_memory(why);
    for (size_t seen = 0; seen < count;) {
        route *one = &(*routes)[(*route_count)++];
        one->first = seen;
        if (!read_route(&it, begin, one) || one->count > count - seen)
            return popoto__fail(why, POPOTO_BAD_ARGUMENT, "a request is not %zu whole commands",
                                count);
        seen += one->count;
    }
    if (it.at != it.end)
        return popoto__fail(why, POPOTO_BAD_ARGUMENT, "a request has more than %zu commands",
                            count);
    return POPOTO_OK;
}

/* ----- Cursors of scans ----------------------------------------------------------------------- */

/* Digits up to `end`, at most 20 of them. */
static bool read_digits(const char **at, const char *end, uint64_t *out) {
    const char *from = *at;
    *out = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        if (*at - from == 19)
            return false;
        *out = *out * 10 + (uint64_t)(**at - '0');
    }
    return *at > from;
}

bool popoto__route_read_cursor(popoto_text text, scan_cursor *out) {
    const char *at = text.data, *end = text.data + text.size;
    *out = (scan_cursor){ .of_node = { "0", 1 }, .begins = true };
    if (text.size == 1 && *at == '0')
        return true;
    /* The node's own may have 20 digits, and be more than we can count to. */
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    out->begins = false;
    out->of_node = (popoto_text){ text.data, (size_t)(at - text.data) };
    if (out->of_node.size == 0 || out->of_node.size > 20 || at == end || *at++ != '.')
        return false;
    if (!read_digits(&at, end, &out->primary) || at == end || *at++ != '.')
        return false;
    return read_digits(&at, end, &out->map) && at == end;
}

size_t popoto__route_write_cursor(const scan_cursor *it, char text[SCAN_CURSOR_SIZE]) {
    if (it->of_node.size == 0 || it->of_node.size > 20)
        return 0;
    int size =
        snprintf(text, SCAN_CURSOR_SIZE, "%.*s.%llu.%llu", (int)it->of_node.size, it->of_node.data,
                 (unsigned long long)it->primary, (unsigned long long)it->map);
    return (size_t)size;
}

/* ----- Answers -------------------------------------------------------------------------------- */

/* "MOVED 3999 127.0.0.1:6381"; an IPv6 host has colons too, and an unknown one is missing. */
static bool read_place(const reply *answer, redirect *out) {
    const char *end = answer->text + answer->size;
    const char *at = memchr(answer->text, ' ', answer->size);
    uint64_t slot, port;
    if (at == NULL)
        return false;
    at++;
    if (!read_digits(&at, end, &slot) || slot >= SLOT_COUNT || at == end || *at++ != ' ')
        return false;
    const char *colon = NULL;
    for (const char *i = at; i < end; i++)
        if (*i == ':')
            colon = i;
    if (colon == NULL)
        return false;
    const char *digits = colon + 1;
    if (!read_digits(&digits, end, &port) || digits != end || port == 0 || port > 65535)
        return false;
    out->slot = (unsigned)slot;
    out->host = (popoto_text){ at, (size_t)(colon - at) };
    if (out->host.size == 1 && *at == '?') /* what a node says that does not know */
        out->host.size = 0;
    out->port = (int)port;
    return true;
}

redirect popoto__route_redirect(const reply *answer) {
    static const char *const waits[] = { "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN" };
    redirect found = { REDIRECT_NONE, 0, { NULL, 0 }, 0 };
    if (answer->type != REPLY_ERROR)
        return found;
    if (popoto__reply_is_error(answer, "MOVED") && read_place(answer, &found))
        found.kind = REDIRECT_MOVED;
    else if (popoto__reply_is_error(answer, "ASK") && read_place(answer, &found))
        found.kind = REDIRECT_ASK;
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        if (popoto__reply_is_error(answer, waits[i]))
            found.kind = REDIRECT_WAIT;
    return found;
}
