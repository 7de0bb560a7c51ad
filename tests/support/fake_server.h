/* fake_server - a server of a test program's own making, in a thread: sends whatever it is told to, or
 * nothing, or goes. Each connection is served by the next of its parts. */
#ifndef POPOTO_TESTS_FAKE_SERVER_H
#define POPOTO_TESTS_FAKE_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* What a fake does with one connection. It greets (answers the PING of a new connection), reads until
 * nothing more comes for a moment, answers, and keeps the connection unless told to close it. */
typedef struct fake_part {
    const char *greeting; /* NULL: +PONG */
    const char *answer;   /* NULL: none */
    size_t size;          /* of the answer; 0: as strlen says */
    size_t step;          /* bytes at a time; 0: all */
    size_t repeat;        /* of the answer; 0: once */
    bool early;           /* answer without a request */
    bool close;           /* after the answer */
    bool rude;            /* close after the first bytes of the request */
} fake_part;

/* The answer of a part; it may hold NULs. */
#define ANSWER(text_) .answer = (text_), .size = sizeof(text_) - 1

typedef struct fake {
    char folder[64];
    char path[80];
    int listener;
    const fake_part *parts; /* a connection each; the last one for all further ones too */
    size_t count;
    pthread_t thread;
    int stop[2]; /* a pipe that is closed to end the thread */
    pthread_mutex_t mutex;
    size_t connections; /* so far */
    size_t requests;    /* connections on which more than the greeting came */
} fake;

/* The parts must outlive it. */
void fake_start(fake *it, const fake_part *parts, size_t count);
void fake_stop(fake *it);
size_t fake_requests(fake *it);

/* A socket that listens at this path. */
int fake_listen(const char *path, int backlog);

#endif
