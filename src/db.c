#include "db.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_TIMEOUT 5000

struct model_entry {
    model_entry *next;
    arena memory; /* of what the model was compiled to, and of this */
    const popoto_model *declared;
    const model *compiled;
};

const char *popoto_version(void) {
#define NUMBER(x)                   #x
#define DOTTED(major, minor, patch) NUMBER(major) "." NUMBER(minor) "." NUMBER(patch)
    return DOTTED(POPOTO_VERSION_MAJOR, POPOTO_VERSION_MINOR, POPOTO_VERSION_PATCH);
}

const char *popoto_status_name(popoto_status status) {
#define NAME(status_) [status_] = #status_
    static const char *const names[] = {
        NAME(POPOTO_OK),           NAME(POPOTO_NOT_FOUND),       NAME(POPOTO_EXISTS),
        NAME(POPOTO_DUPLICATE),    NAME(POPOTO_CHANGED),         NAME(POPOTO_SEVERAL),
        NAME(POPOTO_BAD_ARGUMENT), NAME(POPOTO_BAD_URL),         NAME(POPOTO_BAD_MODEL),
        NAME(POPOTO_BAD_VALUE),    NAME(POPOTO_BAD_QUERY),       NAME(POPOTO_BAD_SCOPE),
        NAME(POPOTO_CORRUPT),      NAME(POPOTO_CANNOT_CONNECT),  NAME(POPOTO_DENIED),
        NAME(POPOTO_UNAVAILABLE),  NAME(POPOTO_SERVER_ERROR),    NAME(POPOTO_TIMED_OUT),
        NAME(POPOTO_DISCONNECTED), NAME(POPOTO_UNKNOWN_OUTCOME), NAME(POPOTO_BAD_REPLY),
        NAME(POPOTO_UNSUPPORTED),  NAME(POPOTO_STOPPED),         NAME(POPOTO_NO_MEMORY),
    };
    return (size_t)status < sizeof(names) / sizeof(names[0]) ? names[status]
                                                             : "no status of popoto";
}

const char *popoto_error(const popoto_db *db) {
    if (db == NULL)
        return "out of memory: there is no popoto_db";
    return db->why.status == POPOTO_OK ? "no error" : db->why.text;
}

popoto_status popoto_error_status(const popoto_db *db) {
    return db == NULL ? POPOTO_NO_MEMORY : db->why.status;
}

void popoto_free(popoto_db *db, const void *block) {
    if (db != NULL)
        popoto__release(&db->allocator, block);
}

/* ----- Opening, switching, closing ------------------------------------------------------------ */

/* One server with all that belongs to being connected to it. */
typedef struct connected {
    arena memory;
    address to;
    bool has_address; /* it was understood, and `to` holds it */
    embedded *server;
    channel *connection;
} connected;

static int timeout_or_default(int given) {
    return given == 0 ? DEFAULT_TIMEOUT : given;
}

static void disconnect(connected *it) {
    popoto__channel_free(it->connection);
    popoto__embedded_leave(it->server);
    popoto__arena_free(&it->memory);
}

static popoto_status prepare_server(popoto_db *db, connected *it) {
    link_options options = {
        .allocator = &db->allocator,
        .connect_timeout = timeout_or_default(db->options.connect_timeout),
        .command_timeout = timeout_or_default(db->options.command_timeout),
    };
    address to = it->to;
    if (it->to.kind == ADDRESS_EMBEDDED) {
        popoto_status status =
            popoto__embedded_join(&db->allocator, it->to.path, db->options.server_program,
                                  options.connect_timeout, &it->server, &db->why);
        if (status != POPOTO_OK)
            return status;
        to.kind = ADDRESS_UNIX;
        to.path = popoto__embedded_socket(it->server);
    }
    return popoto__channel_new(&to, &options, &it->connection, &db->why);
}

/* POPOTO_BAD_URL leaves nothing; after other failures `it` holds what is needed to try again. */
static popoto_status connect_to(popoto_db *db, const char *url, connected *it) {
    *it = (connected){ .server = NULL };
    popoto__arena_init(&it->memory, &db->allocator);
    if (url == NULL)
        return popoto__fail(
            &db->why, POPOTO_BAD_URL,
            "no address: \"embedded:\", \"unix:/path\" or \"redis://host\" is needed");
    popoto_status status = popoto__url_parse(url, &it->memory, &it->to, &db->why);
    it->has_address = status == POPOTO_OK;
    if (status == POPOTO_OK)
        status = prepare_server(db, it);
    if (status == POPOTO_OK)
        status = popoto__channel_connect(it->connection, &db->why);
    return status;
}

static void take_over(popoto_db *db, const connected *it) {
    db->address_memory = it->memory;
    db->to = it->to;
    db->has_address = it->has_address;
    db->server = it->server;
    db->connection = it->connection;
    memset(db->sha, 0, sizeof db->sha);
    popoto__release(&db->allocator, db->shapes);
    db->shapes = NULL;
    memset(db->kept, 0, sizeof db->kept);
    db->knows_permissions = false;
    memset(db->noted_tenants, 0, sizeof db->noted_tenants);
    db->note_after = 0;
}

static connected given_up(const popoto_db *db) {
    return (connected){ db->address_memory, db->to, db->has_address, db->server, db->connection };
}

popoto_db *popoto_open(const char *url, const popoto_options *options) {
    popoto_options chosen = options ? *options : (popoto_options){ .dialect = POPOTO_DOCUMENTED };
    popoto_allocator allocator = popoto__allocator_or_default(chosen.allocator);
    popoto_db *db = popoto__allocate_zeroed(&allocator, 1, sizeof *db);
    connected server;
    if (db == NULL)
        return NULL;
    db->allocator = allocator;
    db->options = chosen;
    popoto__arena_init(&db->memory, &db->allocator);
    popoto__arena_init(&db->scratch, &db->allocator);
    popoto__buffer_init(&db->request, &db->allocator);
    popoto__arena_init(&db->spare.memory, &db->allocator);
    popoto__arena_init(&db->spare.names, &db->allocator);
    if (chosen.server_program != NULL) {
        db->options.server_program =
            popoto__arena_copy(&db->memory, chosen.server_program, strlen(chosen.server_program));
        if (db->options.server_program == NULL) {
            popoto__release(&allocator, db);
            return NULL;
        }
    }
    popoto_status status = POPOTO_OK;
    if (popoto__model_has_dialect(chosen.dialect)) {
        status = connect_to(db, url, &server);
    } else {
        server = (connected){ .server = NULL };
        popoto__arena_init(&server.memory, &db->allocator);
        popoto__explain(&db->why, POPOTO_BAD_ARGUMENT, "unknown dialect %d", (int)chosen.dialect);
    }
    take_over(db, &server);
    db->unusable = db->why;
    if (!db->has_address && status == POPOTO_NO_MEMORY) {
        popoto_close(db);
        return NULL;
    }
    return db;
}

void popoto_close(popoto_db *db) {
    if (db == NULL)
        return;
    popoto_allocator allocator = db->allocator;
    connected server = given_up(db);
    disconnect(&server);
    popoto__scopes_free(db);
    for (row_source *it = db->sources; it != NULL; it = it->older)
        it->db = NULL;
    for (model_entry *it = db->models; it != NULL;) {
        arena memory = it->memory;
        it = it->next;
        popoto__arena_free(&memory);
    }
    popoto__arena_free(&db->spare.memory);
    popoto__arena_free(&db->spare.names);
    popoto__release(&allocator, db->spare.objects);
    popoto__release(&allocator, db->spare.keys);
    popoto__release(&allocator, db->log.bytes);
    popoto__release(&allocator, db->shapes);
    popoto__buffer_free(&db->request);
    popoto__arena_free(&db->scratch);
    popoto__arena_free(&db->memory);
    popoto__release(&allocator, db);
}

popoto_status popoto_switch(popoto_db *db, const char *url) {
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    connected fresh;
    if (!popoto__model_has_dialect(db->options.dialect)) {
        db->why = db->unusable;
        return db->why.status;
    }
    popoto_status status = connect_to(db, url, &fresh);
    if (status != POPOTO_OK) {
        disconnect(&fresh);
        return status;
    }
    connected old = given_up(db);
    disconnect(&old);
    take_over(db, &fresh);
    return POPOTO_OK;
}

/* A db whose server could not be prepared when it was opened tries again at each call. */
static popoto_status ensure_server(popoto_db *db) {
    if (db->connection != NULL)
        return POPOTO_OK;
    if (!db->has_address) {
        db->why = db->unusable;
        return db->why.status;
    }
    connected it = given_up(db);
    popoto_status status = prepare_server(db, &it);
    db->server = it.server;
    db->connection = it.connection;
    return status;
}

const char *popoto_socket(const popoto_db *db) {
    if (db == NULL || !db->has_address)
        return NULL;
    if (db->server != NULL)
        return popoto__embedded_socket(db->server);
    return db->to.kind == ADDRESS_UNIX ? db->to.path : NULL;
}

/* ----- Calls and requests --------------------------------------------------------------------- */

static popoto_status find_model(popoto_db *db, const popoto_model *declared, const model **of) {
    for (model_entry *it = db->models; it != NULL; it = it->next)
        if (it->declared == declared) {
            *of = it->compiled;
            return POPOTO_OK;
        }
    arena memory;
    popoto__arena_init(&memory, &db->allocator);
    model_entry *entry = popoto__arena_zeroed(&memory, 1, sizeof *entry);
    popoto_status status = entry == NULL
                               ? popoto__fail_memory(&db->why)
                               : popoto__model_compile(declared, db->options.dialect, &memory,
                                                       &entry->compiled, &db->why);
    if (status != POPOTO_OK) {
        popoto__arena_free(&memory);
        return status;
    }
    entry->declared = declared;
    entry->memory = memory;
    entry->next = db->models;
    db->models = entry;
    *of = entry->compiled;
    return POPOTO_OK;
}

popoto_status popoto__db_needs(popoto_db *db, const char *what) {
    return db == NULL ? POPOTO_BAD_ARGUMENT
                      : popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                                     "%s is needed, and NULL was given", what);
}

popoto_status popoto__db_begin(popoto_db *db, const popoto_model *declared, const model **of) {
    *of = NULL;
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    if (declared == NULL)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "a model is needed, and NULL was given");
    if (!popoto__model_has_dialect(db->options.dialect)) {
        db->why = db->unusable;
        return db->why.status;
    }
    popoto__arena_reset(&db->scratch);
    popoto__buffer_clear(&db->request);
    popoto_status status = find_model(db, declared, of);
    if (status == POPOTO_OK && (*of)->tenant == NULL && popoto__db_is_cluster(db)) {
        *of = NULL;
        status = popoto__fail(&db->why, POPOTO_UNSUPPORTED,
                              "%s is no strict model, so its keys lie on several nodes of a "
                              "cluster and cannot change in one step; declare the field that "
                              "owns its records as POPOTO_TENANT",
                              declared->name);
    }
    return status;
}

bool popoto__db_is_cluster(const popoto_db *db) {
    return db->has_address && popoto__channel_is_cluster(&db->to);
}

popoto_status popoto_model_check(popoto_db *db, const popoto_model *declared) {
    const model *of;
    return popoto__db_begin(db, declared, &of);
}

popoto_status popoto_record_new(popoto_db *db, const popoto_model *declared,
                                popoto_record **record) {
    const model *of;
    if (record == NULL)
        return popoto__db_needs(db, "a place for the record");
    *record = NULL;
    popoto_status status = popoto__db_begin(db, declared, &of);
    if (status != POPOTO_OK)
        return status;
    if (declared->size != 0)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                            "%s has structs, not records: its .size is not 0", declared->name);
    popoto_record *it = popoto__allocate_zeroed(
        &db->allocator, 1, sizeof *it + declared->field_count * sizeof(popoto_value));
    if (it == NULL)
        return popoto__fail_memory(&db->why);
    popoto__object_init(of, it, (popoto_value *)(void *)(it + 1), &db->allocator);
    *record = it;
    return POPOTO_OK;
}

static popoto_status run(popoto_db *db, const exchange *what) {
    if (db->request.failed)
        return popoto__fail_memory(&db->why);
    popoto_status status = ensure_server(db);
    if (status != POPOTO_OK)
        return status;
    status = popoto__channel_exchange(db->connection, what, &db->why);
    if (status != POPOTO_CANNOT_CONNECT || db->server == NULL)
        return status;
    /* Nothing was sent, because the embedded server is gone, killed perhaps: start it again. */
    status = popoto__embedded_revive(db->server, timeout_or_default(db->options.connect_timeout),
                                     &db->why);
    return status != POPOTO_OK ? status : popoto__channel_exchange(db->connection, what, &db->why);
}

popoto_status popoto__db_exchange(popoto_db *db, size_t count, bool writes, arena *strings,
                                  reply_handler *handle, void *context) {
    return run(db, &(exchange){ &db->request, count, writes, strings, handle, context, NULL });
}

popoto_status popoto__db_read_lists(popoto_db *db, size_t count, element_handler *element,
                                    reply_handler *handle, void *context) {
    return run(db, &(exchange){ &db->request, count, false, NULL, handle, context, element });
}

void popoto__db_post(popoto_db *db, posted *one) {
    one->what.request = &db->request;
    one->is_done = true;
    one->status = db->request.failed ? popoto__fail_memory(&db->why) : ensure_server(db);
    if (one->status == POPOTO_OK) {
        popoto__channel_post(db->connection, one);
        if (one->status != POPOTO_CANNOT_CONNECT || db->server == NULL)
            return;
        one->status = popoto__embedded_revive(
            db->server, timeout_or_default(db->options.connect_timeout), &db->why);
    }
    if (one->status == POPOTO_OK)
        popoto__channel_post(db->connection, one);
    else
        one->why = db->why;
}

popoto_status popoto__db_collect(popoto_db *db, posted *one) {
    if (db->connection != NULL)
        return popoto__channel_collect(db->connection, one, &db->why);
    db->why = one->why;
    return one->status;
}

static popoto_status take_ping(void *context, size_t index, const reply *answer) {
    popoto_db *db = context;
    (void)index;
    return answer->type == REPLY_ERROR ? popoto__reply_failure(answer, "PING", &db->why)
                                       : POPOTO_OK;
}

popoto_status popoto_ping(popoto_db *db) {
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    popoto__buffer_clear(&db->request);
    popoto__request_begin(&db->request, 1);
    popoto__request_text(&db->request, "PING");
    return popoto__db_exchange(db, 1, false, NULL, take_ping, db);
}

popoto_status popoto__db_hand_out(popoto_db *db, popoto_text text, popoto_text *out) {
    char *copy = popoto__allocate(&db->allocator, text.size + 1);
    if (copy == NULL)
        return popoto__fail_memory(&db->why);
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    *out = (popoto_text){ copy, text.size };
    return POPOTO_OK;
}

/* ----- Scripts -------------------------------------------------------------------------------- */

typedef struct loading {
    popoto_db *db;
    script_id which;
} loading;

static popoto_status take_sha(void *context, size_t index, const reply *answer) {
    loading *it = context;
    char *sha = it->db->sha[it->which];
    (void)index;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "loading a script", &it->db->why);
    if (answer->type != REPLY_STRING || answer->size >= sizeof it->db->sha[0])
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered SCRIPT LOAD with no name for the script");
    memcpy(sha, answer->text, answer->size);
    sha[answer->size] = '\0';
    return POPOTO_OK;
}

#define SCRIPT_UNKNOWN (-1)

static popoto_status take_permissions(void *context, size_t index, const reply *answer) {
    popoto_db *db = context;
    (void)index;
    if (answer->type == REPLY_INTEGER) {
        db->permissions = (int)answer->integer;
        return POPOTO_OK;
    }
    if (popoto__reply_is_error(answer, "NOSCRIPT"))
        return POPOTO_OK; /* permissions stay unknown */
    if (answer->type != REPLY_ERROR)
        return popoto__fail(&db->why, POPOTO_BAD_REPLY,
                            "a script answered something that no script of ours does");
    return popoto__reply_failure(answer, "asking for permissions", &db->why);
}

/* These change nothing that it would be harmful to change twice, so they may be tried again like reads. */
static popoto_status run_aside(popoto_db *db, const char *const *words, size_t count,
                               reply_handler *handle, void *context) {
    buffer kept = db->request;
    popoto__buffer_init(&db->request, &db->allocator);
    popoto__request_begin(&db->request, count);
    for (size_t i = 0; i < count; i++)
        popoto__request_text(&db->request, words[i]);
    popoto_status status = popoto__db_exchange(db, 1, false, NULL, handle, context);
    popoto__buffer_free(&db->request);
    db->request = kept;
    return status;
}

void popoto__db_forget_permissions(popoto_db *db) {
    db->knows_permissions = false;
    db->sha[SCRIPT_COMMIT][0] = '\0';
}

static popoto_status load_script(popoto_db *db, script_id which, script_id text) {
    loading it = { db, which };
    const char *const words[] = { "SCRIPT", "LOAD", popoto__script_text(text) };
    return run_aside(db, words, 3, take_sha, &it);
}

/* By EVALSHA like all scripts, so that a tenant's user needs no EVAL. */
popoto_status popoto__db_ask_permissions(popoto_db *db) {
    if (db->knows_permissions)
        return POPOTO_OK;
    failure kept = db->why;
    popoto_status status = load_script(db, SCRIPT_PERMITTED, SCRIPT_PERMITTED);
    const char *const words[] = { "EVALSHA", db->sha[SCRIPT_PERMITTED], "0" };
    const char *const whole[] = { "EVAL", popoto__script_text(SCRIPT_PERMITTED), "0" };
    db->permissions = SCRIPT_UNKNOWN;
    if (status == POPOTO_OK)
        status = run_aside(db, words, 3, take_permissions, db);
    if (status == POPOTO_OK && db->permissions == SCRIPT_UNKNOWN) /* forgotten meanwhile */
        status = run_aside(db, whole, 3, take_permissions, db);
    if (status == POPOTO_DENIED) {
        /* Who may not even ask is taken for somebody who may do little, but perhaps that by MULTI. */
        db->permissions = PERMITTED_TRANSACTIONS;
        status = POPOTO_OK;
    }
    if (status != POPOTO_OK)
        return status;
    db->why = kept;
    db->knows_permissions = true;
    return POPOTO_OK;
}

popoto_status popoto__db_load_script(popoto_db *db, script_id which) {
    popoto_status status = which == SCRIPT_COMMIT ? popoto__db_ask_permissions(db) : POPOTO_OK;
    bool asks = which == SCRIPT_COMMIT && (db->permissions & PERMITTED_COMMANDS) == 0;
    return status == POPOTO_OK ? load_script(db, which, asks ? SCRIPT_COMMIT_ASKING : which)
                               : status;
}

popoto_status popoto__db_shape_script(popoto_db *db, const write_shape *it, shape_script **out) {
    *out = NULL;
    popoto_status status = popoto__db_ask_permissions(db);
    if (status != POPOTO_OK || db->scripts_by_text || (db->permissions & PERMITTED_COMMANDS) == 0)
        return status;
    if (db->shapes == NULL)
        db->shapes = popoto__allocate_zeroed(&db->allocator, SHAPE_SCRIPTS, sizeof *db->shapes);
    if (db->shapes != NULL)
        *out = popoto__shape_find(db->shapes, it);
    return POPOTO_OK;
}

void popoto__db_render_load(popoto_db *db, const write_shape *it) {
    buffer text;
    popoto__buffer_init(&text, &db->allocator);
    popoto__shape_script(it, &text);
    popoto__request_begin(&db->request, 3);
    popoto__request_text(&db->request, "SCRIPT");
    popoto__request_text(&db->request, "LOAD");
    popoto__request_argument(&db->request, text.data, text.size);
    db->request.failed = db->request.failed || text.failed;
    popoto__buffer_free(&text);
}

void popoto__db_take_load(shape_script *it, const reply *answer) {
    if (answer->type != REPLY_STRING || answer->size >= sizeof it->sha)
        return;
    memcpy(it->sha, answer->text, answer->size);
    it->sha[answer->size] = '\0';
    it->sha_size = answer->size;
}

popoto_text popoto__db_script(const popoto_db *db, script_id which) {
    if (db->scripts_by_text) {
        bool asks = which == SCRIPT_COMMIT && (db->permissions & PERMITTED_COMMANDS) == 0;
        const char *text = popoto__script_text(asks ? SCRIPT_COMMIT_ASKING : which);
        return (popoto_text){ text, strlen(text) };
    }
    return (popoto_text){ db->sha[which], strlen(db->sha[which]) };
}

/* ----- What is remembered of objects ---------------------------------------------------------- */

static void ring_write(key_log *log, const void *data, size_t size) {
    size_t at = (size_t)(log->head % KEY_LOG_SIZE);
    size_t first = size < KEY_LOG_SIZE - at ? size : KEY_LOG_SIZE - at;
    memcpy(log->bytes + at, data, first);
    if (size > first)
        memcpy(log->bytes, (const char *)data + first, size - first);
    log->head += size;
}

static void ring_read(const key_log *log, uint64_t from, void *data, size_t size) {
    size_t at = (size_t)(from % KEY_LOG_SIZE);
    size_t first = size < KEY_LOG_SIZE - at ? size : KEY_LOG_SIZE - at;
    memcpy(data, log->bytes + at, first);
    if (size > first)
        memcpy((char *)data + first, log->bytes, size - first);
}

/* Origins: those of rows have the highest bit set, then 31 bits of serial and 32 of index; those of
 * the log are the place in the ring plus one. What is found by either is compared with the digest in
 * the object's header, so that an origin of another db or of rows long gone finds nothing. */
#define ORIGIN_ROW ((uint64_t)1 << 63)

uint64_t popoto__db_remember(popoto_db *db, popoto_text key) {
    uint32_t size = (uint32_t)key.size;
    if (key.size > KEY_LOG_SIZE / 4)
        return 0;
    if (db->log.bytes == NULL)
        db->log.bytes = popoto__allocate(&db->allocator, KEY_LOG_SIZE);
    if (db->log.bytes == NULL)
        return 0;
    uint64_t origin = db->log.head + 1;
    ring_write(&db->log, &size, sizeof size);
    ring_write(&db->log, key.data, key.size);
    return origin;
}

static bool recall_logged(popoto_db *db, uint64_t origin, popoto_text *key) {
    uint64_t from = origin - 1;
    uint32_t size;
    if (origin == 0 || db->log.bytes == NULL || from + sizeof size > db->log.head ||
        db->log.head - from > KEY_LOG_SIZE)
        return false;
    ring_read(&db->log, from, &size, sizeof size);
    if (size > KEY_LOG_SIZE / 4 || from + sizeof size + size > db->log.head)
        return false;
    char *copy = popoto__arena_bytes(&db->scratch, size + (size_t)1);
    if (copy == NULL)
        return false;
    ring_read(&db->log, from + sizeof size, copy, size);
    copy[size] = '\0';
    *key = (popoto_text){ copy, size };
    return true;
}

static bool recall_row(popoto_db *db, uint64_t origin, popoto_text *key) {
    uint32_t serial = (uint32_t)(origin >> 32 & 0x7FFFFFFF);
    size_t index = (size_t)(origin & 0xFFFFFFFF);
    for (const row_source *it = db->sources; it != NULL; it = it->older)
        if (it->serial == serial && index < it->count) {
            *key = it->keys[index];
            return true;
        }
    return false;
}

static bool recall(popoto_db *db, const popoto_object *header, popoto_text *key) {
    return header->origin & ORIGIN_ROW ? recall_row(db, header->origin, key)
                                       : recall_logged(db, header->origin, key);
}

popoto_status popoto_remember(popoto_db *db, const popoto_model *declared, void *object,
                              popoto_text key) {
    const model *of;
    popoto_status status = popoto__db_begin(db, declared, &of);
    if (status == POPOTO_OK && (object == NULL || key.data == NULL))
        status = popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                              "an object and its key are needed, and NULL was given");
    if (status != POPOTO_OK || of == NULL)
        return status;
    shown room;
    popoto_object *header = popoto__object_header(of, object);
    if (header->key != popoto__digest(key.data, key.size))
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "%s is not what this %s was saved under",
                            popoto__show(&room, key.data, key.size), of->name.data);
    uint64_t origin = popoto__db_remember(db, key);
    if (origin == 0)
        return key.size > KEY_LOG_SIZE / 4
                   ? popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "%s is too long to be remembered",
                                  popoto__show(&room, key.data, key.size))
                   : popoto__fail_memory(&db->why);
    header->origin = origin;
    return POPOTO_OK;
}

bool popoto__db_recalls(popoto_db *db, const popoto_object *header, popoto_text key) {
    popoto_text found;
    return recall(db, header, &found) && found.size == key.size &&
           memcmp(found.data, key.data, key.size) == 0;
}

popoto_status popoto__db_old_key(popoto_db *db, const model *of, const popoto_object *header,
                                 popoto_text current, popoto_text *old) {
    *old = (popoto_text){ NULL, 0 };
    if (header->key == 0)
        return POPOTO_OK;
    *old = current;
    if (popoto__digest(current.data, current.size) == header->key)
        return POPOTO_OK;
    if (recall(db, header, old) && popoto__digest(old->data, old->size) == header->key)
        return popoto__scope_check_key(db, of, *old);
    shown room;
    *old = (popoto_text){ NULL, 0 };
    return popoto__fail(
        &db->why, POPOTO_BAD_ARGUMENT,
        "%s: a key member of this object was changed since it was saved, and this db "
        "no longer remembers its former key; load the record, change that, and save",
        popoto__show(&room, current.data, current.size));
}

void popoto__db_add_source(popoto_db *db, row_source *source) {
    source->db = db;
    source->serial = ++db->last_serial & 0x7FFFFFFF;
    source->newer = NULL;
    source->older = db->sources;
    if (db->sources != NULL)
        db->sources->newer = source;
    db->sources = source;
}

void popoto__db_remove_source(row_source *source) {
    if (source->db == NULL)
        return;
    if (source->newer != NULL)
        source->newer->older = source->older;
    else
        source->db->sources = source->older;
    if (source->older != NULL)
        source->older->newer = source->newer;
    source->db = NULL;
}

uint64_t popoto__row_origin(const row_source *source, size_t index) {
    return ORIGIN_ROW | (uint64_t)source->serial << 32 | (index & 0xFFFFFFFF);
}
