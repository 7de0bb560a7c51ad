/* peek - what Redis itself holds, read past the library, for the demo to show: a connection to the
 * server's Unix socket, commands and replies, and MessagePack as text. Reading only; a program that
 * needs a Redis client should use hiredis. */
#ifndef PEEK_H
#define PEEK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ----- Commands and replies ------------------------------------------------------------------- */

typedef struct peek_reply {
    char type;  /* as the protocol has it: + - : $ *, and 0 where nothing could be read */
    char *text; /* of + - : $, NUL-terminated; NULL for a null */
    size_t size;
    struct peek_reply *items; /* of * */
    size_t count;
} peek_reply;

static FILE *peek_open(const char *socket_path) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (socket_path == NULL || strlen(socket_path) >= sizeof address.sun_path)
        return NULL;
    strcpy(address.sun_path, socket_path);
    int file = socket(AF_UNIX, SOCK_STREAM, 0);
    if (file >= 0 && connect(file, (struct sockaddr *)&address, sizeof address) == 0) {
        FILE *server = fdopen(file, "r");
        if (server != NULL)
            return server;
    }
    if (file >= 0)
        close(file);
    return NULL;
}

static void peek_free(peek_reply *it) {
    for (size_t i = 0; i < it->count; i++)
        peek_free(&it->items[i]);
    free(it->items);
    free(it->text);
    *it = (peek_reply){ 0 };
}

/* "+OK", ":3", "$5" and five bytes, "*2" and two replies. */
static peek_reply peek_read(FILE *server) {
    peek_reply it = { 0 };
    char line[256];
    if (fgets(line, sizeof line, server) == NULL)
        return it;
    line[strcspn(line, "\r\n")] = '\0';
    long length = strtol(line + 1, NULL, 10);
    it.type = line[0];
    if (it.type == '*' && length > 0) {
        it.items = calloc((size_t)length, sizeof *it.items);
        while (it.items != NULL && it.count < (size_t)length)
            it.items[it.count++] = peek_read(server);
    } else if (it.type == '$' && length >= 0) {
        it.text = calloc((size_t)length + 3, 1);
        if (it.text != NULL && fread(it.text, 1, (size_t)length + 2, server) == (size_t)length + 2)
            it.size = (size_t)length;
        if (it.text != NULL)
            it.text[it.size] = '\0';
    } else if (it.type != '*' && it.type != '$') {
        it.text = strdup(line + 1);
        it.size = strlen(line + 1);
    }
    return it;
}

/* peek(server, "TYPE", key, NULL). The reply is to be released with peek_free. */
#define peek(server, ...) peek_send((server), (const char *const[]){ __VA_ARGS__ })
static peek_reply peek_send(FILE *server, const char *const *words) {
    size_t count = 0;
    while (words[count] != NULL)
        count++;
    /* Written past the stream, which only reads: a stream cannot do both on a socket. */
    dprintf(fileno(server), "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        dprintf(fileno(server), "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    return peek_read(server);
}

/* ----- MessagePack as text -------------------------------------------------------------------- */

typedef struct peek_bytes {
    const unsigned char *at;
    const unsigned char *end;
} peek_bytes;

/* The next `size` bytes as a big-endian number. */
static uint64_t peek_number(peek_bytes *in, size_t size) {
    uint64_t number = 0;
    for (; size > 0 && in->at < in->end; size--)
        number = number << 8 | *in->at++;
    return number;
}

static void peek_value(peek_bytes *in, FILE *out);

static void peek_text(peek_bytes *in, size_t size, FILE *out) {
    if (size > (size_t)(in->end - in->at))
        size = (size_t)(in->end - in->at);
    fprintf(out, "\"%.*s\"", (int)size, (const char *)in->at);
    in->at += size;
}

static void peek_items(peek_bytes *in, size_t count, bool is_map, FILE *out) {
    fputc(is_map ? '{' : '[', out);
    for (size_t i = 0; i < count && in->at < in->end; i++) {
        fputs(i ? ", " : "", out);
        peek_value(in, out);
        if (is_map) {
            fputs(": ", out);
            peek_value(in, out);
        }
    }
    fputc(is_map ? '}' : ']', out);
}

/* The kinds that the demo's records have; others show as their first byte. */
static void peek_value(peek_bytes *in, FILE *out) {
    unsigned first = in->at < in->end ? *in->at++ : 0xc1;
    if (first < 0x80)
        fprintf(out, "%u", first);
    else if (first < 0xa0)
        peek_items(in, first & 15, first < 0x90, out);
    else if (first < 0xc0)
        peek_text(in, first & 31, out);
    else if (first == 0xc0)
        fputs("nil", out);
    else if (first == 0xc2 || first == 0xc3)
        fputs(first == 0xc3 ? "true" : "false", out);
    else if (first == 0xcb) {
        uint64_t bits = peek_number(in, 8);
        double number;
        memcpy(&number, &bits, sizeof number);
        fprintf(out, "%.4g", number);
    } else if (first >= 0xcc && first <= 0xcf)
        fprintf(out, "%llu", (unsigned long long)peek_number(in, (size_t)1 << (first - 0xcc)));
    else if (first == 0xd9 || first == 0xda)
        peek_text(in, (size_t)peek_number(in, first - 0xd8), out);
    else if (first >= 0xe0)
        fprintf(out, "%d", (int)first - 256);
    else
        fprintf(out, "<%02x>", first);
}

#endif
