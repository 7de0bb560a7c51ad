/* url - see url.h. A sentence about a URL never shows what may be a password, also where one stands in
 * a place that is none: so nothing behind the scheme is shown before we know what it is. */
#include "url.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_PORT 6379

#define FORMS                                                          \
    "redis://[[user]:password@]host[:port][/db], rediss://..., "       \
    "redis+cluster://[[user]:password@]host[:port][,host[:port]]..., " \
    "unix:/path/to/socket[?db=N], embedded: or embedded:/folder"

/* A piece of the URL; it ends where something else begins. */
typedef struct piece {
    const char *data;
    size_t size;
} piece;

typedef struct parser {
    const char *scheme; /* as we write it, with its colon */
    arena *memory;
    failure *why;
} parser;

/* ----- pieces --------------------------------------------------------------------------------- */

static const char *find(piece in, char byte) {
    return in.size == 0 ? NULL : memchr(in.data, byte, in.size);
}

static const char *find_last(piece in, char byte) {
    for (size_t i = in.size; i > 0; i--)
        if (in.data[i - 1] == byte)
            return in.data + i - 1;
    return NULL;
}

static piece before(piece all, const char *end) {
    return (piece){ all.data, (size_t)(end - all.data) };
}

static piece after(piece all, const char *byte) {
    return (piece){ byte + 1, all.size - (size_t)(byte + 1 - all.data) };
}

static int hexadecimal(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

/* The piece with each %XX as the byte that it stands for. `name` says what it is. */
static popoto_status decode(const parser *it, piece from, const char *name, const char **out) {
    char *text = popoto__arena_bytes(it->memory, from.size + 1);
    if (text == NULL)
        return popoto__fail_memory(it->why);
    size_t size = 0;
    for (size_t i = 0; i < from.size; i++) {
        char byte = from.data[i];
        if (byte == '%') {
            int high = i + 1 < from.size ? hexadecimal(from.data[i + 1]) : -1;
            int low = i + 2 < from.size ? hexadecimal(from.data[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return popoto__fail(it->why, POPOTO_BAD_URL,
                                    "in the %s of the %s URL a %% is not followed by two "
                                    "hexadecimal digits from 01 to FF; write %%25 for a %%",
                                    name, it->scheme);
            byte = (char)(high * 16 + low);
            i += 2;
        }
        text[size++] = byte;
    }
    text[size] = '\0';
    *out = text;
    return POPOTO_OK;
}

/* Digits, and nothing else, from 0 to INT_MAX. */
static bool read_number(piece from, int *out) {
    int number = 0;
    if (from.size == 0)
        return false;
    for (size_t i = 0; i < from.size; i++) {
        int digit = from.data[i] - '0';
        if (digit < 0 || digit > 9 || number > (INT_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = number;
    return true;
}

static popoto_status read_database(const parser *it, piece from, address *out) {
    if (read_number(from, &out->database))
        return POPOTO_OK;
    return popoto__fail(
        it->why, POPOTO_BAD_URL, "the database of the %s URL must be a number from 0 on, as in %s",
        it->scheme, strcmp(it->scheme, "unix:") == 0 ? "unix:/path?db=1" : "redis://host/1");
}

/* ----- parts ---------------------------------------------------------------------------------- */

/* [user]:password */
static popoto_status read_user(const parser *it, piece from, address *out) {
    const char *colon = find(from, ':');
    if (colon == NULL || find(from, '/') != NULL || find(from, '?') != NULL ||
        find(from, '#') != NULL)
        return popoto__fail(it->why, POPOTO_BAD_URL,
                            "what stands before the @ of the %s URL must be user:password or "
                            ":password, with / ? # in it written as %%2F %%3F %%23",
                            it->scheme);
    piece user = before(from, colon);
    piece password = after(from, colon);
    popoto_status status = POPOTO_OK;
    if (user.size > 0)
        status = decode(it, user, "user", &out->user);
    if (status == POPOTO_OK && (user.size > 0 || password.size > 0))
        status = decode(it, password, "password", &out->password);
    return status;
}

/* host[:port], [ipv6][:port] */
static popoto_status read_host(const parser *it, piece from, address *out) {
    piece host = from;
    const char *colon = NULL;
    const char *bracket = find(from, ']');
    bool ipv6 = from.size > 0 && from.data[0] == '[';
    if (ipv6 && bracket != NULL) {
        host = (piece){ from.data + 1, (size_t)(bracket - from.data - 1) };
        piece rest = after(from, bracket);
        colon = rest.size > 0 ? rest.data : NULL;
    } else {
        colon = find(from, ':');
        if (colon != NULL)
            host = before(from, colon);
    }
    bool misplaced = find(host, '[') != NULL || find(host, ']') != NULL || find(host, ' ') != NULL;
    if (host.size == 0 || misplaced || (ipv6 && bracket == NULL) ||
        (colon != NULL && (*colon != ':' || (!ipv6 && find(after(from, colon), ':') != NULL))))
        return popoto__fail(it->why, POPOTO_BAD_URL,
                            "the %s URL names no host; right is %s//host, %s//host:6379, or "
                            "%s//[::1]:6379 for an IPv6 address",
                            it->scheme, it->scheme, it->scheme, it->scheme);
    out->port = DEFAULT_PORT;
    if (colon != NULL &&
        (!read_number(after(from, colon), &out->port) || out->port < 1 || out->port > 65535))
        return popoto__fail(it->why, POPOTO_BAD_URL,
                            "the port of the %s URL must be a number from 1 to 65535; a password "
                            "goes before the host, as in %s//:password@host",
                            it->scheme, it->scheme);
    out->host = popoto__arena_copy(it->memory, host.data, host.size);
    return out->host == NULL ? popoto__fail_memory(it->why) : POPOTO_OK;
}

/* An absolute path: a relative one would mean something else after a chdir(2). */
static popoto_status read_path(const parser *it, piece from, const char *name, address *out) {
    popoto_status status = decode(it, from, "path", &out->path);
    if (status != POPOTO_OK)
        return status;
    if (out->path[0] != '/')
        return popoto__fail(it->why, POPOTO_BAD_URL,
                            "the %s URL must give the whole path of the %s from / on, as in "
                            "%s/path/to/%s",
                            it->scheme, name, it->scheme, name);
    return POPOTO_OK;
}

/* ----- forms ---------------------------------------------------------------------------------- */

/* What //, [[user]:password@] and a slash at the end leave over. */
static popoto_status read_frame(const parser *it, piece *rest, piece *behind, address *out) {
    if (rest->size < 2 || memcmp(rest->data, "//", 2) != 0)
        return popoto__fail(it->why, POPOTO_BAD_URL,
                            "%s must be followed by //, as in %s//host:6379", it->scheme,
                            it->scheme);
    *rest = (piece){ rest->data + 2, rest->size - 2 };
    popoto_status status = POPOTO_OK;
    const char *at = find_last(*rest, '@');
    if (at != NULL) {
        status = read_user(it, before(*rest, at), out);
        *rest = after(*rest, at);
    }
    const char *slash = find(*rest, '/');
    *behind = slash == NULL ? (piece){ "", 0 } : after(*rest, slash);
    if (slash != NULL)
        *rest = before(*rest, slash);
    return status;
}

/* //[[user]:password@]host[:port][/db] */
static popoto_status read_network(const parser *it, piece rest, address *out) {
    piece database;
    popoto_status status = read_frame(it, &rest, &database, out);
    if (status != POPOTO_OK)
        return status;
    if (find(rest, '?') != NULL || find(rest, '#') != NULL || find(database, '?') != NULL ||
        find(database, '#') != NULL)
        return popoto__fail(
            it->why, POPOTO_BAD_URL,
            "a %s URL has no ? and no #; the database stands behind the host, as in "
            "%s//host:6379/1",
            it->scheme, it->scheme);
    status = read_host(it, rest, out);
    if (status == POPOTO_OK && database.size > 0)
        status = read_database(it, database, out);
    return status;
}

static size_t count_hosts(piece in) {
    size_t count = 1;
    for (size_t i = 0; i < in.size; i++)
        count += in.data[i] == ',';
    return count;
}

/* //[[user]:password@]host[:port][,host[:port]]... */
static popoto_status read_cluster(const parser *it, piece rest, address *out) {
    piece behind;
    popoto_status status = read_frame(it, &rest, &behind, out);
    if (status != POPOTO_OK)
        return status;
    if (behind.size > 0 || find(rest, '?') != NULL || find(rest, '#') != NULL)
        return popoto__fail(it->why, POPOTO_BAD_URL,
                            "nothing stands behind the hosts of a %s URL: a cluster has no "
                            "databases; right is %s//host:6379,host:6379",
                            it->scheme, it->scheme);
    cluster_seed *seeds = popoto__arena_zeroed(it->memory, count_hosts(rest), sizeof *seeds);
    if (seeds == NULL)
        return popoto__fail_memory(it->why);
    for (bool last = false; !last && status == POPOTO_OK; out->seed_count++) {
        const char *comma = find(rest, ',');
        address one = { 0 };
        last = comma == NULL;
        status = read_host(it, last ? rest : before(rest, comma), &one);
        seeds[out->seed_count] = (cluster_seed){ one.host, one.port };
        if (!last)
            rest = after(rest, comma);
    }
    out->seeds = seeds;
    return status;
}

/* /path[?db=N], and as other clients write it //[[user]:password@]/path[?db=N] */
static popoto_status read_unix(const parser *it, piece rest, address *out) {
    popoto_status status = POPOTO_OK;
    if (rest.size >= 2 && memcmp(rest.data, "//", 2) == 0) {
        rest = (piece){ rest.data + 2, rest.size - 2 };
        const char *at = rest.size > 0 && rest.data[0] != '/' ? find(rest, '@') : NULL;
        if (at != NULL) {
            status = read_user(it, before(rest, at), out);
            rest = after(rest, at);
        }
    }
    const char *question = find(rest, '?');
    piece path = question == NULL ? rest : before(rest, question);
    if (status == POPOTO_OK)
        status = read_path(it, path, "socket", out);
    if (status != POPOTO_OK || question == NULL)
        return status;
    piece query = after(rest, question);
    if (query.size < 3 || memcmp(query.data, "db=", 3) != 0)
        return popoto__fail(it->why, POPOTO_BAD_URL,
                            "behind the ? of a unix: URL stands db=N and nothing else; a ? in the "
                            "path is written %%3F");
    return read_database(it, (piece){ query.data + 3, query.size - 3 }, out);
}

static popoto_status read_embedded(const parser *it, piece rest, address *out) {
    if (rest.size == 0)
        return POPOTO_OK;
    if (find(rest, '?') != NULL)
        return popoto__fail(it->why, POPOTO_BAD_URL,
                            "an embedded: URL has nothing behind its folder; a ? in the folder's "
                            "name is written %%3F");
    if (rest.size >= 3 && memcmp(rest.data, "///", 3) == 0)
        rest = (piece){ rest.data + 2, rest.size - 2 };
    return read_path(it, rest, "folder", out);
}

/* ----- the whole ------------------------------------------------------------------------------ */

/* The URL as it was given, but for the password. */
static popoto_status make_display(const parser *it, piece rest, address *out) {
    buffer text;
    const char *at = NULL;
    if (out->password != NULL) /* where the readers above found it */
        at = out->kind == ADDRESS_UNIX ? find(rest, '@') : find_last(rest, '@');
    popoto__buffer_init(&text, it->memory->allocator);
    popoto__buffer_append_text(&text, it->scheme);
    if (at != NULL) {
        const char *colon = find(rest, ':');
        popoto__buffer_append(&text, rest.data, (size_t)(colon - rest.data));
        popoto__buffer_append_text(&text, ":***@");
        rest = after(rest, at);
    }
    popoto__buffer_append(&text, rest.data, rest.size);
    out->display = text.failed ? NULL : popoto__arena_copy(it->memory, text.data, text.size);
    popoto__buffer_free(&text);
    return out->display == NULL ? popoto__fail_memory(it->why) : POPOTO_OK;
}

typedef struct form {
    const char *scheme;
    address_kind kind;
    popoto_status (*read)(const parser *it, piece rest, address *out);
} form;

static const form forms[] = {
    { "redis:", ADDRESS_TCP, read_network },
    { "rediss:", ADDRESS_TLS, read_network },
    { "redis+cluster:", ADDRESS_CLUSTER, read_cluster },
    { "rediss+cluster:", ADDRESS_CLUSTER_TLS, read_cluster },
    { "unix:", ADDRESS_UNIX, read_unix },
    { "embedded:", ADDRESS_EMBEDDED, read_embedded },
};

static const form *find_form(const char *url) {
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
        if (strncasecmp(url, forms[i].scheme, strlen(forms[i].scheme)) == 0)
            return &forms[i];
    return NULL;
}

static popoto_status fail_form(const char *url, failure *why) {
    if (url[0] == '/')
        return popoto__fail(why, POPOTO_BAD_URL,
                            "a path is no URL; write unix:/path for a socket, embedded:/folder for "
                            "a private server with its data there");
    return popoto__fail(why, POPOTO_BAD_URL, "%s; right is one of " FORMS,
                        url[0] == '\0' ? "the URL is empty"
                                       : "the URL begins with no known scheme");
}

popoto_status popoto__url_parse(const char *url, arena *memory, address *out, failure *why) {
    *out = (address){ 0 };
    if (url == NULL)
        return popoto__fail(why, POPOTO_BAD_URL, "the URL is NULL; right is one of " FORMS);
    for (const char *at = url; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            return popoto__fail(why, POPOTO_BAD_URL,
                                "the URL has a control character, \\x%02x, as byte %zu; written as "
                                "%%%02X it may stand in a user, a password or a path",
                                (unsigned)(unsigned char)*at, (size_t)(at - url) + 1,
                                (unsigned)(unsigned char)*at);
    const form *found = find_form(url);
    if (found == NULL)
        return fail_form(url, why);

    parser it = { found->scheme, memory, why };
    const char *behind = url + strlen(found->scheme);
    piece rest = { behind, strlen(behind) };
    address result = { .kind = found->kind };
    popoto_status status = found->read(&it, rest, &result);
    if (status == POPOTO_OK)
        status = make_display(&it, rest, &result);
    if (status == POPOTO_OK)
        *out = result;
    return status;
}
