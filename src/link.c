/* link - see link.h. Sockets are opened here rather than by hiredis, which sets no close-on-exec, gives
 * up at a signal, at a full backlog and at the first of a host's addresses, and cuts long socket paths
 * short; hiredis does TLS. Never formats a key, never logs. */
#include "link.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef POPOTO_WITH_TLS
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#endif

#ifndef MSG_NOSIGNAL /* systems without it have SO_NOSIGPIPE */
#define MSG_NOSIGNAL 0
#endif
#ifndef SOCK_CLOEXEC
#define SOCK_CLOEXEC 0
#endif

/* ----- waiting -------------------------------------------------------------------------------- */

/* Waits until something happened to one of the sockets. 0: the deadline passed; -1: errno says why not. */
static int wait_for(struct pollfd *sockets, size_t count, int64_t deadline) {
    for (;;) {
        int ready = poll(sockets, (nfds_t)count, popoto__clock_left(deadline));
        if (ready >= 0 || errno != EINTR)
            return ready;
    }
}

/* ----- requests ------------------------------------------------------------------------------- */

/* "<mark><number>\r\n" backwards from the end of room; the longest is a mark, 20 digits and 2. */
#define HEADER_ROOM 24

static size_t write_header(char room[HEADER_ROOM], char mark, uint64_t number) {
    char *at = room + HEADER_ROOM;
    *--at = '\n';
    *--at = '\r';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    *--at = mark;
    return (size_t)(room + HEADER_ROOM - at);
}

void popoto__request_begin(buffer *out, size_t arguments) {
    char room[HEADER_ROOM];
    size_t header = write_header(room, '*', arguments);
    popoto__buffer_append(out, room + HEADER_ROOM - header, header);
}

/* $3\r\nSET\r\n, in one go because every write of the library comes through here many times. */
void popoto__request_argument(buffer *out, const void *data, size_t size) {
    char room[HEADER_ROOM];
    size_t header = write_header(room, '$', size);
    if (size > SIZE_MAX - HEADER_ROOM - 2) {
        out->failed = true;
        return;
    }
    char *at = popoto__buffer_grow(out, header + size + 2);
    if (at == NULL)
        return;
    memcpy(at, room + HEADER_ROOM - header, header);
    at += header;
    if (size != 0)
        memcpy(at, data, size);
    at[size] = '\r';
    at[size + 1] = '\n';
}

void popoto__request_text(buffer *out, const char *text) {
    popoto__request_argument(out, text, strlen(text));
}

void popoto__request_integer(buffer *out, int64_t value) {
    char room[20];
    char *at = room + sizeof(room);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0)
        *--at = '-';
    popoto__request_argument(out, at, (size_t)(room + sizeof(room) - at));
}

/* ----- the link ------------------------------------------------------------------------------- */

struct server_link {
    const popoto_allocator *allocator;
    arena texts; /* of the address */
    address to;
    int connect_timeout;
    int command_timeout;
    redisContext *connection; /* NULL: none */
    pid_t process;            /* that made the connection */
    uint64_t generation;
    int64_t last_used; /* when the last exchange was complete */
    int64_t deadline;  /* of the first of those that were posted */
    int64_t left_at;   /* when the caller was last left with them under way */
    receiver in;
};

static const char *copy_text(arena *memory, const char *text, bool *failed) {
    if (text == NULL)
        return NULL;
    const char *copy = popoto__arena_copy(memory, text, strlen(text));
    *failed = *failed || copy == NULL;
    return copy;
}

popoto_status popoto__link_new(const address *to, const link_options *options, server_link **out,
                               failure *why) {
    *out = NULL;
    server_link *it = popoto__allocate_zeroed(options->allocator, 1, sizeof(*it));
    if (it == NULL)
        return popoto__fail_memory(why);
    it->allocator = options->allocator;
    it->connect_timeout = options->connect_timeout;
    it->command_timeout = options->command_timeout;
    popoto__arena_init(&it->texts, it->allocator);
    popoto__arena_init(&it->in.scratch, it->allocator);

    bool failed = false;
    it->to = *to;
    it->to.host = copy_text(&it->texts, to->host, &failed);
    it->to.path = copy_text(&it->texts, to->path, &failed);
    it->to.user = copy_text(&it->texts, to->user, &failed);
    it->to.password = copy_text(&it->texts, to->password, &failed);
    it->to.display = copy_text(&it->texts, to->display, &failed);
    if (failed) {
        popoto__link_free(it);
        return popoto__fail_memory(why);
    }
    *out = it;
    return POPOTO_OK;
}

static popoto_status fail_exchange(const server_link *it, progress how, bool in_doubt,
                                   failure *why);

/* What was posted and has no answer yet was sent to its last byte. */
static void lose_posted(server_link *it, progress how) {
    for (posted *one = it->in.first; one != NULL; one = one->next) {
        one->is_done = true;
        one->status = fail_exchange(it, how, one->what.writes, &one->why);
    }
    it->in.first = NULL;
}

static void drop_connection(server_link *it) {
    lose_posted(it, BROKEN);
    if (it->connection == NULL)
        return;
    int socket = redisFreeKeepFd(it->connection); /* redisFree never closes descriptor 0 */
    if (socket >= 0)
        close(socket);
    it->connection = NULL;
    it->in.reader = NULL;
}

void popoto__link_drop(server_link *it) {
    drop_connection(it);
}

void popoto__link_free(server_link *it) {
    if (it == NULL)
        return;
    drop_connection(it);
    popoto__receiver_free(&it->in);
    popoto__arena_free(&it->texts);
    popoto__release(it->allocator, it);
}

uint64_t popoto__link_generation(const server_link *it) {
    return it->generation;
}

/* ----- sockets -------------------------------------------------------------------------------- */

static popoto_status fail_to_connect(const server_link *it, int error, failure *why) {
    char reason[128] = "";
    if (error == ETIMEDOUT || error == EAGAIN || error == EINPROGRESS)
        return popoto__fail(why, POPOTO_TIMED_OUT,
                            "cannot connect to %s: no answer within the connect_timeout",
                            it->to.display);
    if (error == ENOMEM || error == ENOBUFS)
        return popoto__fail_memory(why);
    (void)!strerror_r(error, reason, sizeof(reason));
    const char *hint = error == ENOENT || error == ECONNREFUSED ? " (is the server running?)" : "";
    return popoto__fail(why, POPOTO_CANNOT_CONNECT, "cannot connect to %s: %s%s", it->to.display,
                        reason, hint);
}

/* A socket of ours: no program that another thread starts inherits it. */
static int new_socket(int family) {
    int made = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0)
        return -1;
    if (SOCK_CLOEXEC == 0)
        fcntl(made, F_SETFD, FD_CLOEXEC);
#ifdef SO_NOSIGPIPE
    int yes = 1;
    setsockopt(made, SOL_SOCKET, SO_NOSIGPIPE, &yes, sizeof(yes));
#endif
    return made;
}

static int set_blocking(int socket, bool blocking) {
    int flags = fcntl(socket, F_GETFL);
    if (flags < 0)
        return -1;
    flags = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
    return fcntl(socket, F_SETFL, flags);
}

/* Connects, and closes the socket where it cannot; errno says why. */
static int finish_connect(int socket, const struct sockaddr *to, socklen_t size, int64_t deadline) {
    struct pollfd waiting = { .fd = socket, .events = POLLOUT };
    int error = 0;
    socklen_t error_size = sizeof(error);
    if (set_blocking(socket, false) != 0)
        goto failed;
    /* A full backlog of a Unix socket cannot be waited for: EAGAIN, and poll(2) knows nothing. */
    while (connect(socket, to, size) != 0) {
        if (errno == EISCONN)
            return socket;
        if (errno == EINPROGRESS || errno == EINTR || errno == EALREADY)
            break;
        if (errno != EAGAIN || popoto__clock_left(deadline) == 0)
            goto failed;
        popoto__clock_pause(deadline, 5);
    }
    int ready = wait_for(&waiting, 1, deadline);
    if (ready == 0)
        errno = ETIMEDOUT;
    if (ready <= 0 || getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0)
        goto failed;
    if (error == 0)
        return socket;
    errno = error;

failed:
    error = errno;
    close(socket);
    errno = error;
    return -1;
}

static popoto_status open_unix(const server_link *it, int64_t deadline, int *out, failure *why) {
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t length = strlen(it->to.path);
    if (length >= sizeof(to.sun_path))
        return popoto__fail(why, POPOTO_CANNOT_CONNECT,
                            "cannot connect to %s: the path has %zu bytes, and that of a socket "
                            "must not have more than %zu",
                            it->to.display, length, sizeof(to.sun_path) - 1);
    memcpy(to.sun_path, it->to.path, length);
    int made = new_socket(AF_UNIX);
    if (made >= 0)
        made = finish_connect(made, (const struct sockaddr *)&to, sizeof(to), deadline);
    *out = made;
    return made < 0 ? fail_to_connect(it, errno, why) : POPOTO_OK;
}

/* All addresses of the host in turn; they share the time that there is. */
static popoto_status open_tcp(const server_link *it, int64_t deadline, int *out, failure *why) {
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    char port[12];
    snprintf(port, sizeof(port), "%d", it->to.port);
    int problem = getaddrinfo(it->to.host, port, &hints, &found);
    if (problem == EAI_MEMORY)
        return popoto__fail_memory(why);
    if (problem != 0)
        return popoto__fail(why, POPOTO_CANNOT_CONNECT, "cannot connect to %s: host %s: %s",
                            it->to.display, it->to.host, gai_strerror(problem));
    int made = -1;
    int error = EADDRNOTAVAIL;
    for (struct addrinfo *at = found; at != NULL && made < 0; at = at->ai_next) {
        int64_t until = deadline;
        if (at->ai_next != NULL && deadline != NO_DEADLINE)
            until = popoto__clock_now() + (deadline - popoto__clock_now()) / 2;
        made = new_socket(at->ai_family);
        if (made >= 0)
            made = finish_connect(made, at->ai_addr, at->ai_addrlen, until);
        if (made < 0)
            error = errno;
    }
    freeaddrinfo(found);
    *out = made;
    if (made < 0)
        return fail_to_connect(it, error, why);
    int yes = 1;
    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    setsockopt(made, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
    return POPOTO_OK;
}

/* ----- TLS ------------------------------------------------------------------------------------ */

#ifdef POPOTO_WITH_TLS

static bool is_tls(const server_link *it) {
    return it->to.kind == ADDRESS_TLS;
}

/* OpenSSL writes with write(2), which raises SIGPIPE: hold it back, and take away one that came. */
static void hold_sigpipe(sigset_t *before, bool *pending) {
    sigset_t pipe_signal, waiting;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&waiting);
    *pending = sigismember(&waiting, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_signal, before);
}

static void release_sigpipe(const sigset_t *before, bool pending) {
    sigset_t pipe_signal, waiting;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&waiting);
    if (!pending && sigismember(&waiting, SIGPIPE) == 1) {
        int taken;
        sigwait(&pipe_signal, &taken);
    }
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* The server must show a certificate for this very host (or address) that the system trusts. */
static SSL *new_session(const char *host) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        return NULL;
    SSL *session = NULL;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    if (SSL_CTX_set_default_verify_paths(context) == 1)
        session = SSL_new(context);
    SSL_CTX_free(context); /* the session holds it */
    if (session == NULL)
        return NULL;
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1)
        return session;
    if (SSL_set1_host(session, host) == 1 && SSL_set_tlsext_host_name(session, host) == 1)
        return session;
    SSL_free(session);
    return NULL;
}

/* The handshake on a blocking socket whose reads and writes end at the deadline. */
static popoto_status start_tls(server_link *it, int64_t deadline, failure *why) {
    redisContext *connection = it->connection;
    int left = popoto__clock_left(deadline);
    struct timeval time = { left / 1000, (left % 1000) * 1000 };
    struct timeval none = { 0, 0 };
    sigset_t before;
    bool pending;
    if (set_blocking(connection->fd, true) != 0)
        return fail_to_connect(it, errno, why);
    if (left >= 0) {
        setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
        setsockopt(connection->fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
    }
    SSL *session = new_session(it->to.host);
    if (session == NULL)
        return popoto__fail_memory(why);
    hold_sigpipe(&before, &pending);
    int started = redisInitiateSSL(connection, session);
    release_sigpipe(&before, pending);
    if (started != REDIS_OK) {
        long verified = SSL_get_verify_result(session);
        SSL_free(session); /* it is the connection's only after a success */
        if (verified != X509_V_OK)
            return popoto__fail(why, POPOTO_CANNOT_CONNECT,
                                "cannot connect to %s: its certificate is not accepted: %s",
                                it->to.display, X509_verify_cert_error_string(verified));
        if (popoto__clock_left(deadline) == 0)
            return fail_to_connect(it, ETIMEDOUT, why);
        return popoto__fail(why, POPOTO_CANNOT_CONNECT, "cannot connect to %s: TLS: %s",
                            it->to.display, connection->errstr);
    }
    setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
    setsockopt(connection->fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
    connection->flags &= ~REDIS_BLOCK;
    if (set_blocking(connection->fd, false) != 0)
        return fail_to_connect(it, errno, why);
    return POPOTO_OK;
}

/* The whole request goes to hiredis at once; from then on some of it may be sent. */
static progress send_tls(server_link *it, const buffer *request, size_t *sent) {
    redisContext *connection = it->connection;
    sigset_t before;
    bool pending;
    int done = 0;
    if (*sent == 0 && redisAppendFormattedCommand(connection, request->data, request->size) != 0)
        return STARVED;
    hold_sigpipe(&before, &pending);
    int written = redisBufferWrite(connection, &done);
    release_sigpipe(&before, pending);
    *sent = done ? request->size : request->size - 1;
    return written == REDIS_OK ? GOING_ON : BROKEN;
}

static progress receive_tls(server_link *it) {
    sigset_t before;
    bool pending;
    hold_sigpipe(&before, &pending);
    int got = redisBufferRead(it->connection);
    release_sigpipe(&before, pending);
    if (got != REDIS_OK)
        return it->connection->err == REDIS_ERR_OOM ? STARVED : BROKEN;
    it->in.is_matching = false; /* hiredis has them already */
    return popoto__receiver_take(&it->in);
}

#else

static bool is_tls(const server_link *it) {
    (void)it;
    return false;
}
static popoto_status start_tls(server_link *it, int64_t deadline, failure *why) {
    (void)it, (void)deadline, (void)why;
    return POPOTO_OK;
}
static progress send_tls(server_link *it, const buffer *request, size_t *sent) {
    (void)it, (void)request, (void)sent;
    return BROKEN;
}
static progress receive_tls(server_link *it) {
    (void)it;
    return BROKEN;
}

#endif

/* ----- conversation --------------------------------------------------------------------------- */

/* Give the kernel what it takes without waiting. BROKEN: it will take no more. */
static progress send_some(server_link *it, const buffer *request, size_t *sent) {
    if (is_tls(it))
        return send_tls(it, request, sent);
    while (*sent < request->size) {
        ssize_t taken = send(it->connection->fd, request->data + *sent, request->size - *sent,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
        if (taken >= 0)
            *sent += (size_t)taken;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return GOING_ON;
        else if (errno != EINTR)
            return BROKEN;
    }
    return GOING_ON;
}

static progress receive_some(server_link *it) {
    size_t size;
    if (is_tls(it))
        return receive_tls(it);
    char *room = popoto__receiver_room(&it->in, &size);
    if (room == NULL)
        return STARVED;
    ssize_t got = recv(it->connection->fd, room, size, MSG_DONTWAIT);
    if (got > 0)
        return popoto__receiver_feed(&it->in, (size_t)got);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return GOING_ON;
    return BROKEN;
}

/* One link's side of a conversation. */
typedef struct talk {
    server_link *it;
    const buffer *request;
    size_t sent;
    bool deaf;            /* the peer takes no more, but it may have said why */
    bool posts;           /* it is enough to have sent it */
    const posted *wanted; /* it is enough to have the replies of this one; NULL: of all */
    progress how;
} talk;

static bool is_enough(const talk *one) {
    return (one->posts && one->sent == one->request->size) ||
           (one->wanted != NULL && one->wanted->is_done);
}

/* Send what can be sent, and say what to wait for. */
static short speak(talk *one) {
    if (one->deaf || one->sent == one->request->size)
        return POLLIN;
    progress how = send_some(one->it, one->request, &one->sent);
    if (how == STARVED || (how == BROKEN && one->sent == 0))
        one->how = how;
    one->deaf = how == BROKEN;
    return one->deaf || one->sent == one->request->size ? POLLIN : POLLIN | POLLOUT;
}

/* Read what there is. The time that the handler takes is the caller's own: the deadline moves by it. */
static void listen_to(talk *one, int64_t *deadline) {
    int64_t before = popoto__clock_now();
    one->how = receive_some(one->it);
    if (one->it->in.has_turned)
        *deadline = popoto__clock_in(one->it->command_timeout);
    else if (*deadline != NO_DEADLINE)
        *deadline += popoto__clock_now() - before;
    one->it->in.has_turned = false;
    if (one->how == COMPLETE && one->sent < one->request->size)
        one->how = GARBLED; /* answers to questions that were not put */
}

/* Send the requests while reading what comes, so that neither side's full buffers stop the other, until
 * none of the talks is GOING_ON. There is a place in `sockets` for each. */
static void converse_all(talk *talks, struct pollfd *sockets, size_t count, int64_t *deadline) {
    for (;;) {
        size_t open = 0;
        for (size_t i = 0; i < count; i++) {
            sockets[i] = (struct pollfd){ .fd = -1 }; /* poll(2) passes over it */
            short events = talks[i].how == GOING_ON ? speak(&talks[i]) : POLLIN;
            if (talks[i].how == GOING_ON && is_enough(&talks[i]))
                talks[i].how = ENOUGH;
            if (talks[i].how != GOING_ON)
                continue;
            sockets[i] = (struct pollfd){ talks[i].it->connection->fd, events, 0 };
            open++;
        }
        if (open == 0)
            return;
        int ready = wait_for(sockets, count, *deadline);
        for (size_t i = 0; i < count; i++) {
            if (talks[i].how != GOING_ON)
                continue;
            if (ready <= 0)
                talks[i].how = ready == 0 ? LATE : BROKEN;
            else if ((sockets[i].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0)
                listen_to(&talks[i], deadline);
        }
    }
}

static progress converse(server_link *it, const buffer *request, int64_t *deadline, size_t *sent) {
    talk one = { .it = it, .request = request };
    struct pollfd socket;
    converse_all(&one, &socket, 1, deadline);
    *sent = one.sent;
    return one.how;
}

/* ----- connecting ----------------------------------------------------------------------------- */

/* What is said on every new connection: AUTH, SELECT, and a PING that tells whether the server is
 * ready for more. */
typedef struct greeting {
    const server_link *it;
    failure *why;
    bool loading;
    size_t select; /* which command is which */
    size_t ping;
    popoto_status status;
} greeting;

/* The server's own text is not shown: an error may well repeat its arguments, the password. */
static popoto_status fail_to_authenticate(const server_link *it, const reply *answer,
                                          failure *why) {
    if (popoto__reply_is_error(answer, "WRONGPASS") ||
        popoto__reply_begins(answer, "ERR invalid password"))
        return popoto__fail(why, POPOTO_DENIED, "%s: wrong %spassword", it->to.display,
                            it->to.user != NULL ? "user or " : "");
    if (popoto__reply_begins(answer, "ERR AUTH <password> called without any") ||
        popoto__reply_begins(answer, "ERR Client sent AUTH, but no password is set"))
        return popoto__fail(why, POPOTO_DENIED,
                            "%s: this server has no password; leave it out of the URL",
                            it->to.display);
    return popoto__fail(why, POPOTO_DENIED, "%s: the server refuses AUTH", it->to.display);
}

static popoto_status greet(void *context, size_t index, const reply *answer) {
    greeting *it = context;
    const char *display = it->it->to.display;
    if (answer->type != REPLY_ERROR)
        return POPOTO_OK;
    popoto_status status = popoto__reply_status(answer->text);
    if (popoto__reply_is_error(answer, "LOADING")) {
        it->loading = true;
        return POPOTO_OK;
    }
    if (popoto__reply_is_error(answer, "NOAUTH"))
        return popoto__fail(it->why, POPOTO_DENIED,
                            "%s: the server wants a password; write it before the host, as in "
                            "redis://user:password@host",
                            display);
    if (popoto__reply_begins(answer, "ERR max number of clients") ||
        popoto__reply_is_error(answer, "DENIED"))
        return popoto__reply_failure(answer, display, it->why);
    if (index < it->select)
        return fail_to_authenticate(it->it, answer, it->why);
    if (index < it->ping) {
        popoto__reply_failure(answer, display, it->why);
        if (status == POPOTO_SERVER_ERROR)
            it->why->status = status = POPOTO_CANNOT_CONNECT; /* no such database */
        return status;
    }
    return POPOTO_OK; /* NOPERM, BUSY...: the caller's commands will tell */
}

static void write_greeting(const server_link *it, buffer *out, greeting *about) {
    size_t count = 0;
    if (it->to.password != NULL) {
        popoto__request_begin(out, it->to.user != NULL ? 3 : 2);
        popoto__request_text(out, "AUTH");
        if (it->to.user != NULL)
            popoto__request_text(out, it->to.user);
        popoto__request_text(out, it->to.password);
        count++;
    }
    about->select = count;
    if (it->to.database != 0) {
        popoto__request_begin(out, 2);
        popoto__request_text(out, "SELECT");
        popoto__request_integer(out, it->to.database);
        count++;
    }
    about->ping = count;
    popoto__request_begin(out, 1);
    popoto__request_text(out, "PING");
}

static popoto_status explain_greeting(const server_link *it, progress how, failure *why) {
    switch (how) {
    case LATE: return fail_to_connect(it, ETIMEDOUT, why);
    case STARVED: return popoto__fail_memory(why);
    case GARBLED:
        return popoto__fail(why, POPOTO_BAD_REPLY,
                            "cannot connect to %s: what answers there is no Redis server",
                            it->to.display);
    default:
        return popoto__fail(why, POPOTO_CANNOT_CONNECT,
                            "cannot connect to %s: the connection was closed at once",
                            it->to.display);
    }
}

/* Greets until the server has its data loaded. */
static popoto_status introduce(server_link *it, int64_t deadline, failure *why) {
    buffer request;
    greeting about = { .it = it, .why = why };
    popoto__buffer_init(&request, it->allocator);
    write_greeting(it, &request, &about);
    exchange what = { &request, about.ping + 1, false, NULL, greet, &about, NULL };
    bool was_loading = false;
    popoto_status status = request.failed ? popoto__fail_memory(why) : POPOTO_OK;
    while (status == POPOTO_OK) {
        size_t sent;
        about.loading = false;
        popoto__receiver_begin(&it->in, &what);
        progress how = converse(it, &request, &deadline, &sent);
        if (how == BROKEN && sent == 0)
            receive_some(it); /* a server with too many clients says so and closes */
        status = it->in.status;
        was_loading = was_loading || about.loading;
        if (status == POPOTO_OK && was_loading && how != BROKEN &&
            popoto__clock_left(deadline) == 0)
            status = popoto__fail(why, POPOTO_UNAVAILABLE,
                                  "%s: the server is still loading its data", it->to.display);
        if (status == POPOTO_OK && how != COMPLETE)
            status = explain_greeting(it, how, why);
        if (status != POPOTO_OK || !about.loading)
            break;
        popoto__clock_pause(deadline, 20);
    }
    if (request.data != NULL)
        memset(request.data, 0, request.capacity); /* the password */
    popoto__buffer_free(&request);
    return status;
}

static popoto_status open_socket(const server_link *it, int64_t deadline, int *out, failure *why) {
    switch (it->to.kind) {
    case ADDRESS_UNIX: return open_unix(it, deadline, out, why);
    case ADDRESS_TCP: return open_tcp(it, deadline, out, why);
    case ADDRESS_TLS:
#ifdef POPOTO_WITH_TLS
        return open_tcp(it, deadline, out, why);
#else
        return popoto__fail(why, POPOTO_UNSUPPORTED,
                            "%s: this libpopoto was built without TLS: it needs hiredis 1.0 or "
                            "later with hiredis_ssl",
                            it->to.display);
#endif
    case ADDRESS_EMBEDDED:
    case ADDRESS_CLUSTER:
    case ADDRESS_CLUSTER_TLS: break;
    }
    return popoto__fail(why, POPOTO_CANNOT_CONNECT,
                        "%s: an embedded server has to be started first", it->to.display);
}

static popoto_status connect_anew(server_link *it, int64_t deadline, failure *why) {
    int socket = -1;
    popoto_status status = open_socket(it, deadline, &socket, why);
    if (status != POPOTO_OK)
        return status;
    it->connection = redisConnectFd(socket);
    if (it->connection == NULL || it->connection->err != 0 || it->connection->reader == NULL) {
        if (it->connection == NULL)
            close(socket);
        drop_connection(it);
        return popoto__fail_memory(why);
    }
    popoto__receiver_attach(&it->in, it->connection->reader);
    it->process = getpid();
    if (it->to.kind == ADDRESS_TLS)
        status = start_tls(it, deadline, why);
    if (status == POPOTO_OK)
        status = introduce(it, deadline, why);
    if (status != POPOTO_OK)
        drop_connection(it);
    else
        it->generation++;
    return status;
}

/* Whether an idle connection is still one: nothing may have come in, neither its end nor a stray
 * reply. TLS may have been sent things of its own, which are no data. */
static bool is_usable(server_link *it) {
    char byte;
    ssize_t got;
    do {
        got = recv(it->connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK;
    if (got == 0 || !is_tls(it))
        return false;
    static const exchange nothing = { 0 };
    popoto__receiver_begin(&it->in, &nothing);
    return receive_tls(it) == COMPLETE;
}

/* A look costs a system call, 3 % of a short exchange. A Unix socket in steady use needs none: where the
 * server has closed it, sending fails with nothing sent, and the exchange begins anew. (Over TCP such a
 * send succeeds, and then nobody knows what became of it.) */
#define STEADY_USE 100000 /* microseconds */

static bool needs_look(const server_link *it) {
    return it->to.kind != ADDRESS_UNIX || popoto__clock_now() - it->last_used > STEADY_USE;
}

static popoto_status be_connected(server_link *it, int64_t limit, failure *why) {
    /* In a child of fork() the connection is still the parent's: closing our descriptor of it sends
     * nothing, and using it would mix our bytes with the parent's. */
    if (it->connection != NULL && (it->process != getpid() || (needs_look(it) && !is_usable(it))))
        drop_connection(it);
    if (it->connection != NULL)
        return POPOTO_OK;
    return connect_anew(it, popoto__clock_earlier(limit, popoto__clock_in(it->connect_timeout)),
                        why);
}

popoto_status popoto__link_connect(server_link *it, failure *why) {
    return be_connected(it, NO_DEADLINE, why);
}

/* ----- exchanges ------------------------------------------------------------------------------ */

static popoto_status fail_exchange(const server_link *it, progress how, bool in_doubt,
                                   failure *why) {
    const char *display = it->to.display;
    const char *doubt = in_doubt ? "; whether the server did what was sent is not known" : "";
    popoto_status status = POPOTO_UNKNOWN_OUTCOME;
    switch (how) {
    case LATE:
        if (!in_doubt)
            status = POPOTO_TIMED_OUT;
        return popoto__fail(why, status, "%s did not answer within %d ms%s", display,
                            it->command_timeout, doubt);
    case GARBLED:
        if (!in_doubt)
            status = POPOTO_BAD_REPLY;
        return popoto__fail(why, status, "%s answered something that is no valid reply%s", display,
                            doubt);
    case STARVED:
        if (!in_doubt)
            return popoto__fail_memory(why);
        return popoto__fail(why, status, "out of memory for the reply of %s%s", display, doubt);
    default:
        if (!in_doubt)
            status = POPOTO_DISCONNECTED;
        return popoto__fail(why, status, "the connection to %s broke%s", display, doubt);
    }
}

static progress converse_posted(server_link *it, talk *one) {
    struct pollfd socket;
    one->it = it;
    converse_all(one, &socket, 1, &it->deadline);
    it->left_at = popoto__clock_now();
    if (one->how == COMPLETE)
        it->last_used = it->left_at;
    return one->how;
}

popoto_status popoto__link_collect(server_link *it, posted *one, failure *why) {
    static const buffer nothing = { 0 };
    talk rest = { .request = &nothing, .wanted = one };
    if (it->deadline != NO_DEADLINE)
        it->deadline += popoto__clock_now() - it->left_at; /* that was the caller's own time */
    if (!one->is_done) {
        progress how = converse_posted(it, &rest);
        if (how != COMPLETE && how != ENOUGH) {
            lose_posted(it, how);
            drop_connection(it);
        }
    }
    if (one->status != POPOTO_OK && one->why.status != POPOTO_OK)
        *why = one->why;
    return one->status;
}

static void collect_all(server_link *it) {
    failure ignored;
    while (it->in.first != NULL)
        (void)popoto__link_collect(it, it->in.first, &ignored);
}

static void post_first(server_link *it, posted *one) {
    it->in.first = one;
    popoto__receiver_begin_first(&it->in);
    it->deadline = popoto__clock_in(it->command_timeout);
}

void popoto__link_post(server_link *it, posted *one) {
    talk sending = { .request = one->what.request, .posts = true };
    posted **end = &it->in.first;
    bool was_idle = it->in.first == NULL;
    if (one->what.request->failed)
        one->status = popoto__fail_memory(&one->why);
    else if (was_idle)
        one->status = be_connected(it, NO_DEADLINE, &one->why);
    one->is_done = one->status != POPOTO_OK || one->what.count == 0;
    if (one->is_done)
        return;
    while (*end != NULL)
        end = &(*end)->next;
    *end = one;
    if (was_idle)
        post_first(it, one);
    else if (it->deadline != NO_DEADLINE)
        it->deadline += popoto__clock_now() - it->left_at;
    progress how = converse_posted(it, &sending);
    if (how == BROKEN && was_idle && sending.sent == 0 && it->in.handed == 0) {
        it->in.first = NULL;
        drop_connection(it);
        one->status = be_connected(it, it->deadline, &one->why);
        one->is_done = one->status != POPOTO_OK;
        if (one->is_done)
            return;
        post_first(it, one);
        sending = (talk){ .request = one->what.request, .posts = true };
        how = converse_posted(it, &sending);
    }
    if (how == COMPLETE || how == ENOUGH)
        return;
    lose_posted(it, how);
    if (sending.sent == 0) /* nobody has seen a byte of it */
        one->status = fail_exchange(it, how, false, &one->why);
    drop_connection(it);
}

popoto_status popoto__link_exchange(server_link *it, const exchange *what, failure *why) {
    if (what->request->failed)
        return popoto__fail_memory(why);
    if (what->count == 0)
        return POPOTO_OK;
    collect_all(it);
    popoto_status status = be_connected(it, NO_DEADLINE, why);
    if (status != POPOTO_OK)
        return status;

    int64_t deadline = popoto__clock_in(it->command_timeout);
    size_t sent = 0;
    popoto__receiver_begin(&it->in, what);
    progress how = converse(it, what->request, &deadline, &sent);
    /* Trying again is safe where the server cannot have seen anything, and where seeing it twice
     * changes nothing; but the handler must not get a reply twice. */
    bool again = how == BROKEN && it->in.handed == 0 && (sent == 0 || !what->writes);
    if (again) {
        bool unsent = sent == 0;
        drop_connection(it);
        status = be_connected(it, deadline, why);
        if (status == POPOTO_CANNOT_CONNECT && !unsent)
            return popoto__fail(why, POPOTO_DISCONNECTED, "the connection broke: %s", why->text);
        if (status != POPOTO_OK)
            return status;
        popoto__receiver_begin(&it->in, what);
        how = converse(it, what->request, &deadline, &sent);
    }
    if (how == COMPLETE) {
        it->last_used = popoto__clock_now();
        return it->in.status;
    }
    drop_connection(it);
    if (it->in.status != POPOTO_OK && !what->writes)
        return it->in.status; /* of the replies that were lost none was wanted any more */
    return fail_exchange(it, how, what->writes && sent > 0, why);
}

/* ----- exchanges over several links ----------------------------------------------------------- */

static void finish_part(link_part *part, const talk *side) {
    server_link *it = part->link;
    /* TLS takes all of a request or none, and says nothing of how much went out. */
    part->sent = is_tls(it) && side->sent > 0 ? part->what.request->size : side->sent;
    part->handed = it->in.handed;
    part->status = it->in.status;
    if (side->how == COMPLETE)
        return;
    drop_connection(it);
    part->status = fail_exchange(it, side->how, part->what.writes && side->sent > 0, &part->why);
}

popoto_status popoto__link_exchange_parts(link_part *parts, size_t count, int64_t deadline,
                                          arena *memory, failure *why) {
    talk *talks = popoto__arena_zeroed(memory, count, sizeof(*talks));
    struct pollfd *sockets = popoto__arena_zeroed(memory, count, sizeof(*sockets));
    if (talks == NULL || sockets == NULL)
        return popoto__fail_memory(why);
    for (size_t i = 0; i < count; i++) {
        link_part *part = &parts[i];
        part->handed = part->sent = 0;
        part->status = part->what.request->failed ? popoto__fail_memory(&part->why)
                                                  : be_connected(part->link, deadline, &part->why);
        talks[i] = (talk){ .it = part->link, .request = part->what.request };
        if (part->status != POPOTO_OK)
            talks[i].how = BROKEN; /* it takes no part */
        else
            popoto__receiver_begin(&part->link->in, &part->what);
    }
    converse_all(talks, sockets, count, &deadline);
    for (size_t i = 0; i < count; i++)
        if (parts[i].status == POPOTO_OK)
            finish_part(&parts[i], &talks[i]);
    return POPOTO_OK;
}
