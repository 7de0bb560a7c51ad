#include "cluster.h"

#include "clock.h"
#include "route.h"

#include <stdio.h>
#include <string.h>

/* A node that does not answer must leave time to ask others: it gets this share of the timeouts. */
#define SHARE 4

/* And no less than so many milliseconds, however many there are. */
#define LEAST_SHARE 50

/* Between two tries, in milliseconds: so little first, then more and more. */
#define FIRST_PAUSE 5
#define LAST_PAUSE  100

/* Without a command timeout, what nobody can do is tried for so long, in milliseconds. */
#define PATIENCE 15000

/* No try begins later than so many milliseconds (or a share of the timeout) before the timeout: a write
 * that has no answer at its end has no known outcome, which is worse than one that was not sent. */
#define LAST_TRY 250

/* A slot that moves again and again while we follow is a cluster that does not agree: then wait. */
#define HASTY_TRIES 3

#define NO_NODE    UINT16_MAX
#define MOST_NODES ((size_t)SLOT_COUNT)

typedef struct node {
    const char *host;
    int port;
    server_link *link; /* NULL: none yet, or any more */
    buffer request;    /* what it has to do of an exchange */
    bool listed;       /* it is on the map, as a primary or a replica */
    bool primary;
    bool named; /* on the answer that is being read */
    bool named_primary;
    bool asked; /* ASK named it, before it was on any map */
} node;

struct cluster {
    const popoto_allocator *allocator;
    link_options options; /* of a node */
    int connect_timeout;  /* of all together */
    arena texts;          /* of the address */
    address to;
    node **nodes; /* once here, a node stays where it is */
    size_t node_count;
    size_t node_room;
    bool has_map;
    uint64_t map; /* counts the changes of the next line */
    uint16_t slots[SLOT_COUNT];
    size_t last_asked; /* for the map */
    arena memory;      /* of an exchange */
};

/* ----- Nodes ---------------------------------------------------------------------------------- */

static const char *copy_text(arena *memory, const char *text, bool *failed) {
    if (text == NULL)
        return NULL;
    const char *copy = popoto__arena_copy(memory, text, strlen(text));
    *failed = *failed || copy == NULL;
    return copy;
}

popoto_status popoto__cluster_new(const address *to, const link_options *options, cluster **out,
                                  failure *why) {
    bool failed = false;
    *out = NULL;
    cluster *it = popoto__allocate_zeroed(options->allocator, 1, sizeof *it);
    if (it == NULL)
        return popoto__fail_memory(why);
    it->allocator = options->allocator;
    it->options = *options;
    it->connect_timeout = options->connect_timeout;
    if (options->connect_timeout > 0)
        it->options.connect_timeout = (options->connect_timeout + SHARE - 1) / SHARE;
    popoto__arena_init(&it->texts, it->allocator);
    popoto__arena_init(&it->memory, it->allocator);
    memset(it->slots, 0xFF, sizeof it->slots);
    it->to = *to;
    it->to.user = copy_text(&it->texts, to->user, &failed);
    it->to.password = copy_text(&it->texts, to->password, &failed);
    it->to.display = copy_text(&it->texts, to->display, &failed);
    cluster_seed *seeds = popoto__arena_zeroed(&it->texts, to->seed_count + 1, sizeof *seeds);
    failed = failed || seeds == NULL;
    for (size_t i = 0; !failed && i < to->seed_count; i++) {
        seeds[i].host = copy_text(&it->texts, to->seeds[i].host, &failed);
        seeds[i].port = to->seeds[i].port;
    }
    it->to.seeds = seeds;
    if (failed) {
        popoto__cluster_free(it);
        return popoto__fail_memory(why);
    }
    *out = it;
    return POPOTO_OK;
}

static void part_with(node *one) {
    popoto__link_free(one->link);
    one->link = NULL;
    popoto__buffer_free(&one->request);
}

void popoto__cluster_free(cluster *it) {
    if (it == NULL)
        return;
    for (size_t i = 0; i < it->node_count; i++) {
        part_with(it->nodes[i]);
        popoto__release(it->allocator, it->nodes[i]->host);
        popoto__release(it->allocator, it->nodes[i]);
    }
    popoto__release(it->allocator, it->nodes);
    popoto__arena_free(&it->memory);
    popoto__arena_free(&it->texts);
    popoto__release(it->allocator, it);
}

/* A place for a new node: one that nobody speaks of any more, or one more. */
static node *place_for_node(cluster *it) {
    for (size_t i = 0; i < it->node_count; i++) {
        node *old = it->nodes[i];
        if (!old->listed && !old->named && !old->asked && old->link == NULL) {
            popoto__release(it->allocator, old->host);
            old->host = NULL;
            return old;
        }
    }
    if (it->node_count == MOST_NODES)
        return NULL;
    if (it->node_count == it->node_room) {
        size_t room = it->node_room ? it->node_room * 2 : 8;
        node **bigger = popoto__reallocate(it->allocator, it->nodes, room * sizeof *bigger);
        if (bigger == NULL)
            return NULL;
        it->nodes = bigger;
        it->node_room = room;
    }
    node *made = popoto__allocate_zeroed(it->allocator, 1, sizeof *made);
    if (made == NULL)
        return NULL;
    popoto__buffer_init(&made->request, it->allocator);
    it->nodes[it->node_count++] = made;
    return made;
}

/* The node at this address; NULL: no memory, or far too many. */
static node *node_at(cluster *it, popoto_text host, int port) {
    for (size_t i = 0; i < it->node_count; i++) {
        node *one = it->nodes[i];
        if (one->port == port && one->host != NULL && strlen(one->host) == host.size &&
            memcmp(one->host, host.data, host.size) == 0)
            return one;
    }
    char *copy = popoto__allocate(it->allocator, host.size + 1);
    node *made = copy == NULL ? NULL : place_for_node(it);
    if (made == NULL) {
        popoto__release(it->allocator, copy);
        return NULL;
    }
    memcpy(copy, host.data, host.size);
    copy[host.size] = '\0';
    made->host = copy;
    made->port = port;
    return made;
}

static node *seed_at(cluster *it, size_t index) {
    const cluster_seed *one = &it->to.seeds[index];
    return node_at(it, (popoto_text){ one->host, strlen(one->host) }, one->port);
}

static popoto_status give_link(cluster *it, node *one, failure *why) {
    char display[300];
    if (one->link != NULL)
        return POPOTO_OK;
    bool tls = it->to.kind == ADDRESS_CLUSTER_TLS;
    snprintf(display, sizeof display, "%s%s%.255s%s:%d", tls ? "rediss://" : "redis://",
             strchr(one->host, ':') ? "[" : "", one->host, strchr(one->host, ':') ? "]" : "",
             one->port);
    address to = {
        .kind = tls ? ADDRESS_TLS : ADDRESS_TCP,
        .host = one->host,
        .port = one->port,
        .user = it->to.user,
        .password = it->to.password,
        .display = display,
    };
    return popoto__link_new(&to, &it->options, &one->link, why);
}

/* ----- The map of slots ----------------------------------------------------------------------- */

/* While an answer is read nothing that is in use changes, so that a broken one does no harm. */
typedef struct survey {
    cluster *it;
    const node *asked;
    uint16_t *slots;
    popoto_status status;
    failure *why;
} survey;

static popoto_status fail_survey(const survey *it) {
    return popoto__fail(it->why, POPOTO_BAD_REPLY,
                        "%s: a node answered CLUSTER SLOTS with no map of slots",
                        it->it->to.display);
}

/* [host, port, ...]. A host that is null, empty or ? is the one that was asked. */
static popoto_status read_node(survey *it, const reply *from, bool primary, size_t *index) {
    if (from->type != REPLY_ARRAY || from->count < 2 || from->items[1]->type != REPLY_INTEGER ||
        from->items[1]->integer < 1 || from->items[1]->integer > 65535)
        return fail_survey(it);
    const reply *host = from->items[0];
    if (host->type != REPLY_NULL && host->type != REPLY_STRING)
        return fail_survey(it);
    popoto_text text = { host->text, host->size };
    if (host->type == REPLY_NULL || text.size == 0 || (text.size == 1 && *text.data == '?'))
        text = (popoto_text){ it->asked->host, strlen(it->asked->host) };
    if (memchr(text.data, '\0', text.size) != NULL)
        return fail_survey(it);
    node *found = node_at(it->it, text, (int)from->items[1]->integer);
    if (found == NULL)
        return popoto__fail_memory(it->why);
    found->named = true;
    found->named_primary = found->named_primary || primary;
    for (*index = 0; it->it->nodes[*index] != found;)
        ++*index;
    return POPOTO_OK;
}

/* [first, last, primary, replica...] */
static popoto_status read_range(survey *it, const reply *from) {
    if (from->type != REPLY_ARRAY || from->count < 3 || from->items[0]->type != REPLY_INTEGER ||
        from->items[1]->type != REPLY_INTEGER)
        return fail_survey(it);
    int64_t first = from->items[0]->integer, last = from->items[1]->integer;
    if (first < 0 || last < first || last >= SLOT_COUNT)
        return fail_survey(it);
    size_t primary, replica;
    popoto_status status = read_node(it, from->items[2], true, &primary);
    for (size_t i = 3; status == POPOTO_OK && i < from->count; i++)
        status = read_node(it, from->items[i], false, &replica);
    for (int64_t slot = first; status == POPOTO_OK && slot <= last; slot++)
        it->slots[slot] = (uint16_t)primary;
    return status;
}

/* What was read is what is so; not before the exchange is over, for the node that was asked may go. */
static void adopt(const survey *it) {
    cluster *of = it->it;
    if (it->slots == NULL)
        return;
    if (memcmp(of->slots, it->slots, sizeof of->slots) != 0)
        of->map++;
    memcpy(of->slots, it->slots, sizeof of->slots);
    of->has_map = true;
    for (size_t i = 0; i < of->node_count; i++) {
        node *one = of->nodes[i];
        one->listed = one->named;
        one->primary = one->named_primary;
        one->asked = one->asked && !one->listed;
        one->named = false;
        if (!one->listed && !one->asked)
            part_with(one);
    }
}

static popoto_status read_slots(survey *it, const reply *answer) {
    if (answer->type == REPLY_ERROR && strstr(answer->text, "cluster support disabled") != NULL)
        return popoto__fail(it->why, POPOTO_UNSUPPORTED,
                            "%s: this server is no node of a cluster; a single server's URL "
                            "begins with redis://",
                            it->it->to.display);
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "CLUSTER SLOTS", it->why);
    if (answer->type != REPLY_ARRAY)
        return fail_survey(it);
    if (answer->count == 0)
        return popoto__fail(it->why, POPOTO_UNAVAILABLE,
                            "%s: no node of this cluster has any slots yet", it->it->to.display);
    it->slots = popoto__arena_allocate(&it->it->memory, sizeof it->it->slots);
    if (it->slots == NULL)
        return popoto__fail_memory(it->why);
    memset(it->slots, 0xFF, sizeof it->it->slots);
    for (size_t i = 0; i < it->it->node_count; i++)
        it->it->nodes[i]->named = it->it->nodes[i]->named_primary = false;
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; status == POPOTO_OK && i < answer->count; i++)
        status = read_range(it, answer->items[i]);
    return status;
}

static popoto_status take_slots(void *context, size_t index, const reply *answer) {
    survey *it = context;
    (void)index;
    it->status = read_slots(it, answer);
    return POPOTO_OK;
}

static popoto_status ask_for_map(cluster *it, node *one, int64_t deadline, failure *why) {
    buffer request;
    survey about = { .it = it, .asked = one, .why = why };
    popoto_status status = give_link(it, one, why);
    if (status != POPOTO_OK)
        return status;
    popoto__buffer_init(&request, it->allocator);
    popoto__request_begin(&request, 2);
    popoto__request_text(&request, "CLUSTER");
    popoto__request_text(&request, "SLOTS");
    link_part part = { .link = one->link,
                       .what = { .request = &request,
                                 .count = 1,
                                 .strings = &it->memory,
                                 .handle = take_slots,
                                 .context = &about } };
    status = popoto__link_exchange_parts(&part, 1, deadline, &it->memory, why);
    popoto__buffer_free(&request);
    if (status != POPOTO_OK)
        return status;
    if (part.status != POPOTO_OK)
        *why = part.why;
    else if (about.status == POPOTO_OK)
        adopt(&about);
    return part.status != POPOTO_OK ? part.status : about.status;
}

/* Of those that are still to be asked, each gets as much of what is left. */
static int64_t share_of_timeout(const cluster *it, int64_t deadline, size_t nodes) {
    int timeout = it->options.command_timeout;
    int64_t share =
        popoto__clock_earlier(deadline, popoto__clock_in(timeout < 0 ? -1 : timeout / SHARE + 1));
    if (deadline == NO_DEADLINE)
        return share;
    size_t left = (size_t)popoto__clock_left(deadline), each = left / nodes;
    return popoto__clock_earlier(share,
                                 popoto__clock_in(each < LEAST_SHARE ? LEAST_SHARE : (int)each));
}

/* Where nothing is known yet there is no command under way, and no more than the time to connect. */
static int64_t first_deadline(const cluster *it) {
    return it->connect_timeout > 0 ? popoto__clock_in(it->connect_timeout) : NO_DEADLINE;
}

/* Ask one node after the other for the map, those on the old one first, each time another to begin
 * with: the one whose news are old is as good as dead. */
static popoto_status survey_cluster(cluster *it, int64_t deadline, failure *why) {
    size_t known = it->node_count;
    popoto_status status = POPOTO_CANNOT_CONNECT;
    failure last = { .status = POPOTO_OK };
    it->last_asked++;
    for (size_t i = 0; i < known + it->to.seed_count; i++) {
        node *one = i < known ? it->nodes[(it->last_asked + i) % known] : seed_at(it, i - known);
        if (one == NULL)
            return popoto__fail_memory(why);
        if (i < known && !one->listed)
            continue;
        status = ask_for_map(it, one, share_of_timeout(it, deadline, known + it->to.seed_count - i),
                             &last);
        if (status == POPOTO_OK)
            return status;
        if (status == POPOTO_NO_MEMORY)
            break;
        if (deadline != NO_DEADLINE && popoto__clock_left(deadline) == 0)
            break;
    }
    *why = last;
    return status;
}

popoto_status popoto__cluster_connect(cluster *it, failure *why) {
    if (it->has_map)
        return POPOTO_OK;
    popoto__arena_reset(&it->memory);
    return survey_cluster(it, first_deadline(it), why);
}

void popoto__cluster_drop(cluster *it) {
    for (size_t i = 0; i < it->node_count; i++)
        if (it->nodes[i]->link != NULL)
            popoto__link_drop(it->nodes[i]->link);
}

popoto_status popoto__cluster_take_slots(cluster *it, const reply *answer, failure *why) {
    node *asked = seed_at(it, 0);
    survey about = { .it = it, .asked = asked, .why = why };
    if (asked == NULL)
        return popoto__fail_memory(why);
    popoto__arena_reset(&it->memory);
    popoto_status status = give_link(it, asked, why); /* so that it stays what it is */
    if (status == POPOTO_OK)
        status = read_slots(&about, answer);
    if (status == POPOTO_OK)
        adopt(&about);
    return status;
}

const char *popoto__cluster_node_of(const cluster *it, unsigned slot, char *room, size_t size) {
    if (it->slots[slot] == NO_NODE)
        return NULL;
    const node *one = it->nodes[it->slots[slot]];
    snprintf(room, size, "%s:%d", one->host, one->port);
    return room;
}

/* The primaries in the order in which a SCAN goes through them, which changes only with the map. */
static node *primary_at(const cluster *it, uint64_t index) {
    for (size_t i = 0; i < it->node_count; i++)
        if (it->nodes[i]->listed && it->nodes[i]->primary && index-- == 0)
            return it->nodes[i];
    return NULL;
}

/* ----- Jobs ----------------------------------------------------------------------------------- */

typedef enum job_state {
    JOB_WAITING,  /* to be sent, for the first time or again */
    JOB_ANSWERED, /* executed, or refused for a reason of its own */
    JOB_DROPPED,  /* its node is no longer there, and others do the same */
    JOB_LOST,     /* see fate */
} job_state;

/* What one node has to do for one route. */
typedef struct job job;
struct job {
    const route *of;
    job_state state;
    node *to;       /* its node in this round; where a route goes to several, the one for good */
    bool asking;    /* ASKING goes before it, because its slot is not yet that node's */
    redirect seen;  /* the first that came in this round */
    bool starved;   /* no memory for its answers */
    reply *answers; /* of->count */
    size_t end;     /* where its bytes end in the node's request */
    job *next;      /* of the same node */
    popoto_status fate; /* WAITING: why, so far; LOST */
    const char *text;
};

/* A round's work of one node. */
typedef struct sending {
    node *to;
    arena *memory;
    job *first, *last;
    size_t jobs;
    size_t replies;
    bool plain; /* nothing in it differs from the request that we were given */
    job *at;    /* whose replies come */
    size_t at_reply;
} sending;

/* An exchange under way. */
typedef struct course {
    cluster *it;
    const exchange *what;
    failure *why;
    int64_t deadline; /* of the nodes, to answer */
    int64_t patience; /* of ours, to try again */
    route *routes;
    size_t route_count;
    job *jobs;
    size_t job_count;
    reply *answers;    /* what->count */
    sending *sendings; /* of the round */
    link_part *parts;
    size_t sending_count;
    bool stale;     /* the map is */
    bool must_wait; /* going again at once would be of no use */
} course;

static void lose(job *one, popoto_status fate, const char *text) {
    one->state = JOB_LOST;
    one->fate = fate;
    one->text = text;
}

static const char *keep_text(course *it, const char *text) {
    const char *copy = popoto__arena_copy(&it->it->memory, text, strlen(text));
    return copy != NULL ? copy : "a node was lost, and there was no memory for more words";
}

static bool goes_to(const route *of, const node *one) {
    switch (of->kind) {
    case ROUTE_PRIMARIES: return one->listed && one->primary;
    case ROUTE_REACHABLE: return (one->listed && one->primary) || one->asked;
    case ROUTE_NODES: return one->listed;
    default: return false;
    }
}

static bool has_many(const route *of) {
    return of->kind == ROUTE_PRIMARIES || of->kind == ROUTE_REACHABLE || of->kind == ROUTE_NODES;
}

/* All memory that cannot be done without once something was sent. */
static popoto_status make_jobs(course *it) {
    cluster *of = it->it;
    size_t most = 0;
    for (size_t i = 0; i < it->route_count; i++)
        most += has_many(&it->routes[i]) ? of->node_count : 1;
    it->jobs = popoto__arena_zeroed(&of->memory, most + 1, sizeof *it->jobs);
    it->answers = popoto__arena_zeroed(&of->memory, it->what->count, sizeof *it->answers);
    if (it->jobs == NULL || it->answers == NULL)
        return popoto__fail_memory(it->why);
    for (size_t i = 0; i < it->route_count; i++) {
        const route *one = &it->routes[i];
        if (!has_many(one)) {
            it->jobs[it->job_count++] = (job){ .of = one, .answers = it->answers + one->first };
            continue;
        }
        for (size_t k = 0; k < of->node_count; k++) {
            if (!goes_to(one, of->nodes[k]))
                continue;
            job *made = &it->jobs[it->job_count++];
            *made = (job){ .of = one, .to = of->nodes[k] };
            made->answers = popoto__arena_zeroed(&of->memory, one->count, sizeof *made->answers);
            if (made->answers == NULL)
                return popoto__fail_memory(it->why);
        }
    }
    return POPOTO_OK;
}

/* ----- Scans ---------------------------------------------------------------------------------- */

/* A page, [cursor, keys], whose cursor is ours. */
static void set_cursor(course *it, job *one, const scan_cursor *cursor) {
    char text[SCAN_CURSOR_SIZE];
    reply *page = &one->answers[0];
    size_t size = popoto__route_write_cursor(cursor, text);
    const char *copy = popoto__arena_copy(
        it->what->strings != NULL ? it->what->strings : &it->it->memory, text, size);
    if (copy == NULL) {
        lose(one, POPOTO_NO_MEMORY, "out of memory");
        return;
    }
    page->items[0]->text = copy;
    page->items[0]->size = size;
}

/* Slots have moved since it began: an empty page from which it goes on at the beginning. */
static void begin_anew(course *it, job *one) {
    arena *memory = &it->it->memory;
    reply *page = &one->answers[0];
    scan_cursor first = { .of_node = { "0", 1 }, .map = it->it->map };
    *page = (reply){ .type = REPLY_ARRAY, .count = 2 };
    page->items = popoto__arena_zeroed(memory, 2, sizeof *page->items);
    reply *both = popoto__arena_zeroed(memory, 2, sizeof *both);
    if (page->items == NULL || both == NULL) {
        lose(one, POPOTO_NO_MEMORY, "out of memory");
        return;
    }
    both[0].type = REPLY_STRING;
    both[1].type = REPLY_ARRAY;
    page->items[0] = &both[0];
    page->items[1] = &both[1];
    one->state = JOB_ANSWERED;
    set_cursor(it, one, &first);
}

static node *node_of_scan(course *it, job *one) {
    scan_cursor cursor;
    if (!popoto__route_read_cursor(one->of->cursor, &cursor)) {
        lose(one, POPOTO_BAD_ARGUMENT, "a SCAN's cursor is none of this cluster's");
        return NULL;
    }
    if (!cursor.begins && cursor.map != it->it->map) {
        begin_anew(it, one);
        return NULL;
    }
    return primary_at(it->it, cursor.primary);
}

/* What the node is sent: SCAN with its own cursor, and the arguments behind it as they are. */
static void render_scan(const course *it, const job *one, buffer *out) {
    const char *from = it->what->request->data + one->of->at;
    const char *header = memchr(from, '\n', one->of->size);
    const char *behind = one->of->cursor.data + one->of->cursor.size + 2;
    scan_cursor cursor;
    (void)popoto__route_read_cursor(one->of->cursor, &cursor);
    popoto__buffer_append(out, from, (size_t)(header + 1 - from));
    popoto__request_text(out, "SCAN");
    popoto__request_argument(out, cursor.of_node.data, cursor.of_node.size);
    popoto__buffer_append(out, behind, one->of->size - (size_t)(behind - from));
}

/* From the node's cursor to ours. Before the scan is said to be over, the map is asked for again, for
 * a SCAN is never told that slots have moved. */
static popoto_status finish_scan(course *it, job *one) {
    const reply *page = &one->answers[0];
    scan_cursor cursor;
    if (page->type != REPLY_ARRAY || page->count != 2 || page->items[0]->type != REPLY_STRING)
        return POPOTO_OK; /* an error; the caller will see what it is */
    (void)popoto__route_read_cursor(one->of->cursor, &cursor);
    if (cursor.begins)
        cursor.map = it->it->map;
    cursor.of_node = (popoto_text){ page->items[0]->text, page->items[0]->size };
    if (cursor.of_node.size == 1 && cursor.of_node.data[0] == '0') {
        cursor.primary++;
        if (primary_at(it->it, cursor.primary) == NULL) {
            popoto_status status = survey_cluster(it->it, it->deadline, it->why);
            if (status == POPOTO_OK && cursor.map != it->it->map)
                begin_anew(it, one);
            return status;
        }
    }
    set_cursor(it, one, &cursor);
    return POPOTO_OK;
}

/* ----- A round: who does what ------------------------------------------------------------------ */

/* NULL: nobody, and the job says why. */
static node *choose_node(course *it, job *one) {
    cluster *of = it->it;
    node *found = NULL;
    if (has_many(one->of)) {
        if (!goes_to(one->of, one->to))
            one->state = JOB_DROPPED;
        return one->state == JOB_DROPPED ? NULL : one->to;
    }
    if (one->of->kind == ROUTE_SCAN)
        found = node_of_scan(it, one);
    else if (one->of->kind == ROUTE_ANY)
        found = primary_at(of, 0);
    else if (one->asking)
        found = one->to;
    else if (of->slots[one->of->slot] != NO_NODE)
        found = of->nodes[of->slots[one->of->slot]];
    if (found == NULL && one->state == JOB_WAITING) {
        one->fate = POPOTO_UNAVAILABLE;
        one->text = "no node of the cluster has the slot of this key at the moment";
        it->stale = it->must_wait = true;
    }
    return found;
}

static void give_to(course *it, job *one, node *to) {
    sending *of = NULL;
    for (size_t i = 0; i < it->sending_count && of == NULL; i++)
        if (it->sendings[i].to == to)
            of = &it->sendings[i];
    if (of == NULL) {
        of = &it->sendings[it->sending_count++];
        *of = (sending){ .to = to, .memory = &it->it->memory, .first = one, .plain = true };
    } else {
        of->last->next = one;
    }
    of->last = one;
    of->jobs++;
    of->replies += one->of->count + one->asking;
    of->plain = of->plain && !one->asking && one->of->kind != ROUTE_SCAN;
    one->to = to;
    one->next = NULL;
}

static popoto_status share_out(course *it) {
    arena *memory = &it->it->memory;
    it->sending_count = 0;
    it->sendings = popoto__arena_zeroed(memory, it->it->node_count + 1, sizeof *it->sendings);
    it->parts = popoto__arena_zeroed(memory, it->it->node_count + 1, sizeof *it->parts);
    if (it->sendings == NULL || it->parts == NULL)
        return popoto__fail_memory(it->why);
    for (size_t i = 0; i < it->job_count; i++) {
        job *one = &it->jobs[i];
        one->seen.kind = REDIRECT_NONE;
        node *to = one->state == JOB_WAITING ? choose_node(it, one) : NULL;
        if (to != NULL)
            give_to(it, one, to);
    }
    return POPOTO_OK;
}

static void render_sending(course *it, sending *one) {
    buffer *out = &one->to->request;
    popoto__buffer_clear(out);
    for (job *at = one->first; at != NULL; at = at->next) {
        if (at->asking) {
            popoto__request_begin(out, 1);
            popoto__request_text(out, "ASKING");
        }
        if (at->of->kind == ROUTE_SCAN)
            render_scan(it, at, out);
        else
            popoto__buffer_append(out, it->what->request->data + at->of->at, at->of->size);
        at->end = out->size;
    }
}

/* ----- A round: what comes --------------------------------------------------------------------- */

/* The nodes of a reply; its texts are where they stay. */
static bool copy_reply(arena *memory, const reply *from, reply *to) {
    *to = *from;
    if (from->count == 0)
        return true;
    to->items = popoto__arena_allocate(memory, from->count * sizeof(reply *));
    reply *items = popoto__arena_zeroed(memory, from->count, sizeof *items);
    if (to->items == NULL || items == NULL) {
        to->count = 0;
        return false;
    }
    for (size_t i = 0; i < from->count; i++) {
        to->items[i] = &items[i];
        if (!copy_reply(memory, from->items[i], &items[i]))
            return false;
    }
    return true;
}

/* A refused command was not executed, and of a transaction nothing was if it ends with an error: what
 * was refused when it was queued makes EXEC fail. */
static void finish_job(job *one) {
    const reply *last = &one->answers[one->of->count - 1];
    if (one->seen.kind != REDIRECT_NONE && last->type == REPLY_ERROR)
        return; /* and it still waits */
    one->state = JOB_ANSWERED;
    one->seen.kind = REDIRECT_NONE;
}

static popoto_status take_answer(void *context, size_t index, const reply *answer) {
    sending *it = context;
    job *one = it->at;
    size_t place = it->at_reply++;
    (void)index;
    if (one->asking && place-- == 0)
        return POPOTO_OK; /* what ASKING answers */
    redirect seen = popoto__route_redirect(answer);
    if (seen.kind != REDIRECT_NONE && one->seen.kind == REDIRECT_NONE) {
        one->seen = seen;
        one->fate = POPOTO_UNAVAILABLE;
        if (seen.kind == REDIRECT_WAIT || one->text == NULL)
            one->text = answer->text; /* that it must wait says more than whom to ask meanwhile */
    }
    if (!copy_reply(it->memory, answer, &one->answers[place]))
        one->starved = true;
    if (place + 1 == one->of->count) {
        finish_job(one);
        it->at = one->next;
        it->at_reply = 0;
    }
    return POPOTO_OK;
}

/* Failures that are no answer, and that another try may not meet. */
static bool may_pass(popoto_status status) {
    return status == POPOTO_CANNOT_CONNECT || status == POPOTO_DISCONNECTED ||
           status == POPOTO_TIMED_OUT || status == POPOTO_UNAVAILABLE;
}

/* What of a part has no answer. */
static void settle_part(course *it, sending *of, const link_part *part) {
    const char *text = part->status == POPOTO_OK ? NULL : keep_text(it, part->why.text);
    for (job *one = of->at; one != NULL && text != NULL; one = one->next) {
        popoto_status status = part->status;
        bool seen = one->end <= part->sent;
        one->seen.kind = REDIRECT_NONE; /* of a transaction that was not answered to its end */
        if (status == POPOTO_UNKNOWN_OUTCOME && !seen)
            status = POPOTO_DISCONNECTED;
        if (may_pass(status)) {
            one->fate = status;
            one->text = text;
            one->asking = false;
        } else {
            lose(one, status, text);
        }
        it->stale = it->must_wait = true;
    }
    for (job *one = of->first; one != NULL; one = one->next)
        if (one->starved && one->state == JOB_ANSWERED)
            lose(one, it->what->writes ? POPOTO_UNKNOWN_OUTCOME : POPOTO_NO_MEMORY,
                 "out of memory for the reply of a node");
}

static popoto_status send_round(course *it) {
    bool whole =
        it->sending_count == 1 && it->sendings[0].plain && it->sendings[0].jobs == it->route_count;
    for (size_t i = 0; i < it->sending_count; i++) {
        sending *one = &it->sendings[i];
        popoto_status status = give_link(it->it, one->to, it->why);
        if (status != POPOTO_OK)
            return status;
        if (!whole)
            render_sending(it, one);
        for (job *at = one->first; whole && at != NULL; at = at->next)
            at->end = at->of->at + at->of->size;
        one->at = one->first;
        it->parts[i].link = one->to->link;
        it->parts[i].what = (exchange){
            .request = whole ? it->what->request : &one->to->request,
            .count = one->replies,
            .writes = it->what->writes,
            .strings = it->what->strings != NULL ? it->what->strings : &it->it->memory,
            .handle = take_answer,
            .context = one,
        };
    }
    popoto_status status = popoto__link_exchange_parts(it->parts, it->sending_count, it->deadline,
                                                       &it->it->memory, it->why);
    for (size_t i = 0; status == POPOTO_OK && i < it->sending_count; i++)
        settle_part(it, &it->sendings[i], &it->parts[i]);
    return status;
}

/* ----- Rounds ---------------------------------------------------------------------------------- */

static node *node_of_redirect(course *it, const job *one) {
    popoto_text host = one->seen.host;
    if (host.size == 0)
        host = (popoto_text){ one->to->host, strlen(one->to->host) };
    return memchr(host.data, '\0', host.size) ? NULL : node_at(it->it, host, one->seen.port);
}

static void move_slot(cluster *it, unsigned slot, const node *to) {
    size_t index = 0;
    while (it->nodes[index] != to)
        index++;
    if (it->slots[slot] == index)
        return;
    it->slots[slot] = (uint16_t)index;
    it->nodes[index]->listed = it->nodes[index]->primary = true;
    it->map++;
}

/* What the redirections of a round say of the next one. MOVED counts for more than the map that was
 * asked for meanwhile, for it comes from the node that had the slot. */
static void follow(course *it) {
    for (size_t i = 0; i < it->job_count; i++) {
        job *one = &it->jobs[i];
        if (one->state != JOB_WAITING || one->seen.kind == REDIRECT_NONE)
            continue;
        one->asking = false;
        it->must_wait = it->must_wait || one->seen.kind == REDIRECT_WAIT;
        node *to = one->seen.kind == REDIRECT_WAIT ? NULL : node_of_redirect(it, one);
        if (to == NULL || has_many(one->of))
            continue;
        if (one->seen.kind == REDIRECT_MOVED) {
            move_slot(it->it, one->seen.slot, to);
        } else {
            to->asked = !to->listed;
            one->to = to;
            one->asking = true;
        }
    }
}

static void refresh_if_stale(course *it) {
    failure ignored;
    for (size_t i = 0; i < it->job_count; i++)
        it->stale = it->stale ||
                    (it->jobs[i].state == JOB_WAITING && (it->jobs[i].seen.kind == REDIRECT_MOVED ||
                                                          it->jobs[i].seen.kind == REDIRECT_WAIT));
    if (it->stale && survey_cluster(it->it, it->patience, &ignored) == POPOTO_OK)
        it->stale = false;
}

/* A script that one primary has is loaded: the others ask for it when they need it. */
static void drop_unreachable(course *it) {
    for (size_t i = 0; i < it->job_count; i++) {
        const job *done = &it->jobs[i];
        if (done->of->kind != ROUTE_REACHABLE || done->state != JOB_ANSWERED)
            continue;
        for (size_t k = 0; k < it->job_count; k++)
            if (it->jobs[k].of == done->of && it->jobs[k].state == JOB_WAITING)
                it->jobs[k].state = JOB_DROPPED;
    }
}

static size_t count_jobs(const course *it, job_state state) {
    size_t count = 0;
    for (size_t i = 0; i < it->job_count; i++)
        count += it->jobs[i].state == state;
    return count;
}

/* NO_MEMORY from the first round: nothing was sent. Later: what waits is lost, nothing else. */
static popoto_status run_rounds(course *it) {
    int pause = FIRST_PAUSE;
    for (size_t tries = 0; count_jobs(it, JOB_WAITING) > 0; tries++) {
        it->must_wait = false;
        popoto_status status = share_out(it);
        if (status == POPOTO_OK && it->sending_count > 0)
            status = send_round(it);
        if (status != POPOTO_OK && tries == 0)
            return status;
        drop_unreachable(it);
        if (count_jobs(it, JOB_WAITING) == 0)
            break;
        if (status != POPOTO_OK || popoto__clock_left(it->patience) == 0)
            break;
        refresh_if_stale(it);
        follow(it);
        if (it->must_wait || tries >= HASTY_TRIES) {
            popoto__clock_pause(it->patience, pause);
            pause = pause * 2 < LAST_PAUSE ? pause * 2 : LAST_PAUSE;
        }
    }
    for (size_t i = 0; i < it->job_count; i++)
        if (it->jobs[i].state == JOB_WAITING)
            lose(&it->jobs[i], it->jobs[i].fate != POPOTO_OK ? it->jobs[i].fate : POPOTO_NO_MEMORY,
                 it->jobs[i].text != NULL ? it->jobs[i].text : "out of memory");
    return POPOTO_OK;
}

/* ----- The outcome ----------------------------------------------------------------------------- */

/* One more node's answer. */
static void merge_answer(const route *of, reply *sum, const reply *one) {
    bool integers = sum->type == REPLY_INTEGER && one->type == REPLY_INTEGER;
    if (sum->type == REPLY_ERROR)
        return;
    if (one->type == REPLY_ERROR)
        *sum = *one;
    else if (integers && of->kind == ROUTE_PRIMARIES)
        sum->integer += one->integer;
    else if (integers && one->integer > sum->integer)
        *sum = *one;
}

/* A lost job's commands get replies of our own. */
static void explain_losses(course *it) {
    for (size_t i = 0; i < it->job_count; i++)
        for (size_t k = 0; it->jobs[i].state == JOB_LOST && k < it->jobs[i].of->count; k++)
            it->jobs[i].answers[k] = (reply){
                .type = REPLY_ERROR,
                .text = it->jobs[i].text,
                .size = strlen(it->jobs[i].text),
                .fate = it->jobs[i].fate,
            };
}

static void merge_answers(course *it) {
    static const char gone[] = "all nodes of the cluster changed meanwhile";
    for (size_t i = 0; i < it->route_count; i++) {
        const route *of = &it->routes[i];
        reply *sum = &it->answers[of->first];
        bool any = false;
        for (size_t k = 0; has_many(of) && k < it->job_count; k++) {
            const job *one = &it->jobs[k];
            if (one->of != of || one->state == JOB_DROPPED)
                continue;
            if (any)
                merge_answer(of, sum, &one->answers[0]);
            else
                *sum = one->answers[0];
            any = true;
        }
        if (has_many(of) && !any)
            *sum = (reply){ .type = REPLY_ERROR,
                            .text = gone,
                            .size = sizeof gone - 1,
                            .fate = POPOTO_UNAVAILABLE };
    }
}

/* Whether all jobs were lost, and in the same way: then so was the exchange. */
static const job *common_loss(const course *it) {
    const job *first = NULL;
    for (size_t i = 0; i < it->job_count; i++) {
        const job *one = &it->jobs[i];
        if (one->state == JOB_DROPPED)
            continue;
        if (one->state != JOB_LOST || (first != NULL && first->fate != one->fate))
            return NULL;
        first = first == NULL ? one : first;
    }
    return first;
}

static popoto_status hand_over(course *it) {
    const job *loss = common_loss(it);
    if (loss != NULL)
        return popoto__fail(it->why, loss->fate, "%s", loss->text);
    explain_losses(it);
    merge_answers(it);
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; status == POPOTO_OK && i < it->what->count; i++)
        status = popoto__exchange_hand_over(it->what, i, &it->answers[i]);
    return status;
}

static void set_timeouts(course *it) {
    int timeout = it->it->options.command_timeout;
    int last = timeout / SHARE < LAST_TRY ? timeout / SHARE : LAST_TRY;
    it->deadline = popoto__clock_in(timeout);
    it->patience = popoto__clock_in(timeout < 0 ? PATIENCE : timeout - last);
}

popoto_status popoto__cluster_exchange(cluster *it, const exchange *what, failure *why) {
    course run = { .it = it, .what = what, .why = why };
    if (what->request->failed)
        return popoto__fail_memory(why);
    if (what->count == 0)
        return POPOTO_OK;
    popoto__arena_reset(&it->memory);
    popoto_status status = it->has_map ? POPOTO_OK : survey_cluster(it, first_deadline(it), why);
    if (status == POPOTO_OK)
        status = popoto__route_request(what->request, what->count, &it->memory, &run.routes,
                                       &run.route_count, why);
    if (status == POPOTO_OK)
        status = make_jobs(&run);
    if (status != POPOTO_OK)
        return status;
    set_timeouts(&run);
    status = run_rounds(&run);
    for (size_t i = 0; status == POPOTO_OK && i < run.job_count; i++)
        if (run.jobs[i].of->kind == ROUTE_SCAN && run.jobs[i].state == JOB_ANSWERED)
            status = finish_scan(&run, &run.jobs[i]);
    return status == POPOTO_OK ? hand_over(&run) : status;
}
