/* fake_server - see fake_server.h. */
#include "fake_server.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* False: told to stop, or the peer closed. */
static bool fake_wait(fake *it, int peer, int milliseconds) {
    struct pollfd two[] = { { it->stop[0], POLLIN, 0 }, { peer, POLLIN, 0 } };
    int ready = poll(two, 2, milliseconds);
    return ready > 0 && two[0].revents == 0;
}

static bool fake_send(int peer, const char *data, size_t size, size_t step) {
    for (size_t at = 0; at < size;) {
        size_t bite = step == 0 || step > size - at ? size - at : step;
        ssize_t sent = send(peer, data + at, bite, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        at += (size_t)sent;
    }
    return true;
}

static bool fake_read_greeting(fake *it, int peer) {
    char all[4096] = "";
    size_t size = 0;
    while (strstr(all, "PING\r\n") == NULL) {
        if (!fake_wait(it, peer, -1))
            return false;
        ssize_t got = recv(peer, all + size, sizeof(all) - 1 - size, 0);
        if (got <= 0)
            return false;
        size += (size_t)got;
        all[size] = '\0';
    }
    return true;
}

static void fake_serve(fake *it, int peer, const fake_part *what) {
    char sink[65536];
    const char *greeting = what->greeting == NULL ? "+PONG\r\n" : what->greeting;
    do {
        if (!fake_read_greeting(it, peer) || !fake_send(peer, greeting, strlen(greeting), 0))
            return;
    } while (strstr(greeting, "LOADING") != NULL);
    if (what->early && fake_wait(it, peer, 30))
        return;
    if (what->early && !fake_send(peer, what->answer, strlen(what->answer), 0))
        return;
    if (!fake_wait(it, peer, -1) || recv(peer, sink, what->rude ? 1 : sizeof(sink), 0) <= 0)
        return;
    pthread_mutex_lock(&it->mutex);
    it->requests++;
    pthread_mutex_unlock(&it->mutex);
    if (what->rude)
        return;
    while (fake_wait(it, peer, 30))
        if (recv(peer, sink, sizeof(sink), 0) <= 0)
            return;
    if (what->answer != NULL && !what->early) {
        size_t size = what->size != 0 ? what->size : strlen(what->answer);
        for (size_t i = 0; i < (what->repeat == 0 ? 1 : what->repeat); i++)
            if (!fake_send(peer, what->answer, size, what->step))
                return;
    }
    while (!what->close && fake_wait(it, peer, -1))
        if (recv(peer, sink, sizeof(sink), 0) <= 0)
            return;
}

static void *fake_run(void *context) {
    fake *it = context;
    for (;;) {
        if (!fake_wait(it, it->listener, -1))
            return NULL;
        int peer = accept(it->listener, NULL, NULL);
        if (peer < 0)
            continue;
        pthread_mutex_lock(&it->mutex);
        size_t index = it->connections++;
        pthread_mutex_unlock(&it->mutex);
        fake_serve(it, peer, &it->parts[index < it->count ? index : it->count - 1]);
        close(peer);
    }
}

int fake_listen(const char *path, int backlog) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    strncpy(at.sun_path, path, sizeof(at.sun_path) - 1);
    int made = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(made >= 0);
    assert_int_equal(0, bind(made, (struct sockaddr *)&at, sizeof(at)));
    assert_int_equal(0, listen(made, backlog));
    return made;
}

void fake_start(fake *it, const fake_part *parts, size_t count) {
    memset(it, 0, sizeof(*it));
    strcpy(it->folder, "/tmp/popoto-fake-XXXXXX");
    assert_non_null(mkdtemp(it->folder));
    snprintf(it->path, sizeof(it->path), "%s/socket", it->folder);
    it->listener = fake_listen(it->path, 10);
    it->parts = parts;
    it->count = count;
    pthread_mutex_init(&it->mutex, NULL);
    assert_int_equal(0, pipe(it->stop));
    assert_int_equal(0, pthread_create(&it->thread, NULL, fake_run, it));
}

size_t fake_requests(fake *it) {
    pthread_mutex_lock(&it->mutex);
    size_t requests = it->requests;
    pthread_mutex_unlock(&it->mutex);
    return requests;
}

void fake_stop(fake *it) {
    close(it->stop[1]);
    pthread_join(it->thread, NULL);
    close(it->stop[0]);
    close(it->listener);
    unlink(it->path);
    rmdir(it->folder);
    pthread_mutex_destroy(&it->mutex);
}
