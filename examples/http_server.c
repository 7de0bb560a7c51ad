/* http_server - a web service with a tenant for each request: the middleware reads the project from a
 * header and enters its scope; what lies behind it never names the project, and cannot forget it.
 *
 *     http_server [PORT [URL]]     PORT 0, the default: any free one; it is printed
 *
 * Listens on 127.0.0.1 alone. Without a URL it keeps its episodes in a server of its own, gone when it
 * stops (SIGINT, SIGTERM). With libmicrohttpd. */
#define _XOPEN_SOURCE 700

#include "temporary.h"

#include <popoto.h>

#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

typedef struct {
    popoto_object object;
    const char *project_id;
    popoto_id episode_id;
    const char *title;
    double score;
} episode;

static const popoto_field episode_fields[] = {
    POPOTO_KEY(episode, project_id),
    POPOTO_AUTO_KEY(episode, episode_id, .generate = POPOTO_ULID),
    POPOTO_FIELD(episode, title, .max_length = 200),
    POPOTO_SORTED(episode, score, .partition_by = "project_id"),
};
static const popoto_model Episode = POPOTO_MODEL("Episode", episode, episode_fields);

/* ----- One db for each thread ----------------------------------------------------------------- */

static const char *url;
static pthread_key_t thread_db;

static void close_db(void *db) {
    popoto_close(db);
}

/* This thread's; NULL where there is no memory. Closed when the thread ends. */
static popoto_db *get_db(void) {
    popoto_db *db = pthread_getspecific(thread_db);
    if (db == NULL) {
        db = popoto_open(url, NULL);
        if (pthread_setspecific(thread_db, db) != 0) {
            popoto_close(db);
            return NULL;
        }
    }
    return db;
}

/* ----- Answers -------------------------------------------------------------------------------- */

typedef struct answer {
    unsigned code; /* HTTP's */
    FILE *body;
} answer;

static void write_json_text(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void write_episode(FILE *out, const episode *it) {
    fprintf(out, "{\"episode_id\": \"%s\", \"title\": ", it->episode_id.text);
    write_json_text(out, it->title);
    fprintf(out, ", \"score\": %.3g}", it->score);
}

static void refuse(answer *it, unsigned code, const char *why) {
    it->code = code;
    fputs("{\"error\": ", it->body);
    write_json_text(it->body, why);
    fputs("}\n", it->body);
}

/* What went wrong, in HTTP's words. */
static void refuse_status(answer *it, popoto_db *db, popoto_status status) {
    switch (status) {
    case POPOTO_BAD_VALUE:
    case POPOTO_BAD_QUERY: refuse(it, MHD_HTTP_BAD_REQUEST, popoto_error(db)); break;
    case POPOTO_CANNOT_CONNECT:
    case POPOTO_UNAVAILABLE:
    case POPOTO_TIMED_OUT:
    case POPOTO_DISCONNECTED: refuse(it, MHD_HTTP_SERVICE_UNAVAILABLE, "try again later"); break;
    default:
        fprintf(stderr, "%s: %s\n", popoto_status_name(status), popoto_error(db));
        refuse(it, MHD_HTTP_INTERNAL_SERVER_ERROR, "something went wrong");
    }
}

/* ----- Routes: none of them names the project ------------------------------------------------- */

/* A number from the request's ?name=..., or `otherwise` where it is absent. */
static bool get_number(struct MHD_Connection *connection, const char *name, double otherwise,
                       double *number) {
    const char *text = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
    char *end;
    *number = otherwise;
    if (text == NULL)
        return true;
    *number = strtod(text, &end);
    return end != text && *end == '\0';
}

static void create_episode(struct MHD_Connection *connection, popoto_db *db, answer *out) {
    episode it = { .title =
                       MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "title") };
    if (it.title == NULL || !get_number(connection, "score", 0, &it.score)) {
        refuse(out, MHD_HTTP_BAD_REQUEST, "give ?title=TEXT and &score=NUMBER");
        return;
    }
    popoto_status status = popoto_create(db, &Episode, &it);
    if (status != POPOTO_OK) {
        refuse_status(out, db, status);
        return;
    }
    out->code = MHD_HTTP_CREATED;
    write_episode(out->body, &it);
    fputc('\n', out->body);
}

static void list_episodes(struct MHD_Connection *connection, popoto_db *db, answer *out) {
    double least;
    if (!get_number(connection, "min_score", -1e300, &least)) {
        refuse(out, MHD_HTTP_BAD_REQUEST, "min_score is a number");
        return;
    }
    popoto_query_desc best = {
        .model = &Episode,
        .where = { POPOTO_IS("score__gte", least) },
        .order_by = "-score",
        .limit = 100,
    };
    popoto_rows *rows;
    popoto_status status = popoto_query(db, &best, &rows);
    if (status == POPOTO_OK) {
        fputc('[', out->body);
        for (size_t i = 0; i < popoto_rows_count(rows); i++) {
            fputs(i ? ",\n " : "", out->body);
            write_episode(out->body, popoto_rows_at(rows, i));
        }
        fputs("]\n", out->body);
    } else {
        refuse_status(out, db, status);
    }
    popoto_rows_free(rows);
}

static void route(struct MHD_Connection *connection, const char *path, const char *method,
                  popoto_db *db, answer *out) {
    if (strcmp(path, "/episodes") != 0)
        refuse(out, MHD_HTTP_NOT_FOUND, "there is /episodes, and nothing else");
    else if (strcmp(method, "POST") == 0)
        create_episode(connection, db, out);
    else if (strcmp(method, "GET") == 0)
        list_episodes(connection, db, out);
    else
        refuse(out, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or POST");
}

/* ----- Middleware ----------------------------------------------------------------------------- */

/* Enters the scope, calls the routes, leaves the scope: one way in, one way out. */
static void with_project(struct MHD_Connection *connection, const char *path, const char *method,
                         answer *out) {
    const char *project = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-Project");
    popoto_db *db = get_db();
    if (project == NULL || project[0] == '\0') {
        refuse(out, MHD_HTTP_BAD_REQUEST, "name the project in a header: X-Project: project-a");
        return;
    }
    popoto_status status =
        db != NULL ? popoto_scope_enter(db, "project_id", project) : POPOTO_NO_MEMORY;
    if (status != POPOTO_OK) {
        refuse_status(out, db, status);
        return;
    }
    route(connection, path, method, db, out);
    popoto_scope_leave(db);
}

/* Called by libmicrohttpd: once when the headers are there, once for each part of a body (which this
 * service ignores), and once at the end, with no bytes. */
static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **request) {
    static int seen;
    (void)context, (void)version, (void)upload;
    if (*request == NULL || *upload_size > 0) {
        *request = &seen;
        *upload_size = 0;
        return MHD_YES;
    }
    char *text = NULL;
    size_t size = 0;
    answer it = { .code = MHD_HTTP_OK, .body = open_memstream(&text, &size) };
    if (it.body == NULL)
        return MHD_NO;
    with_project(connection, path, method, &it);
    fclose(it.body);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, it.code, response);
    MHD_destroy_response(response);
    return result;
}

/* ----- Start and stop ------------------------------------------------------------------------- */

static struct MHD_Daemon *start(in_port_t port) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, port, NULL, NULL, handle, NULL,
                            MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
                            MHD_OPTION_THREAD_POOL_SIZE, 4U, MHD_OPTION_END);
}

static void print_usage(unsigned port) {
    printf("Listening on http://127.0.0.1:%u (Ctrl-C stops it). Try:\n\n", port);
    printf("  curl -X POST -H 'X-Project: project-a' \\\n"
           "      'http://127.0.0.1:%u/episodes?title=First%%20meeting&score=0.8'\n",
           port);
    printf("  curl -H 'X-Project: project-a' 'http://127.0.0.1:%u/episodes?min_score=0.5'\n", port);
    printf("  curl -H 'X-Project: project-b' 'http://127.0.0.1:%u/episodes'\n\n", port);
    fflush(stdout);
}

static int serve(in_port_t port) {
    sigset_t ends;
    int received;
    /* Blocked in all threads, so that sigwait gets it. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    struct MHD_Daemon *daemon = start(port);
    if (daemon == NULL) {
        perror("http_server: cannot listen");
        return 1;
    }
    print_usage(MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    sigwait(&ends, &received);
    MHD_stop_daemon(daemon);
    puts("Stopped.");
    return 0;
}

int main(int argument_count, char **arguments) {
    temporary place = { .folder = "" };
    char *end = "";
    unsigned long port = argument_count > 1 ? strtoul(arguments[1], &end, 10) : 0;
    if (argument_count > 3 || *end != '\0' || port > 65535) {
        fprintf(stderr, "usage: http_server [PORT [URL]]\n");
        return 2;
    }
    if (argument_count < 3 && !temporary_make(&place, "http-server")) {
        perror("http_server: no temporary folder");
        return 1;
    }
    url = argument_count < 3 ? place.url : arguments[2];
    /* Says early if there is no server, and keeps an embedded one up between requests. */
    popoto_db *db = popoto_open(url, NULL);
    int result = 1;
    if (popoto_ping(db) != POPOTO_OK)
        fprintf(stderr, "http_server: %s\n", popoto_error(db));
    else if (pthread_key_create(&thread_db, close_db) == 0)
        result = serve((in_port_t)port);
    popoto_close(db);
    temporary_remove(&place);
    return result;
}
