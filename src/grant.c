/* grant - a Redis user for one tenant: made, listed, and ended. What such a user may send is one table here. Knows
 * no record and no index. */
#include "db.h"

#include <string.h>

/* Every command that the library sends on behalf of a tenant, and no other: each takes its keys where the
 * server can see them, so that the one key pattern holds. SCRIPT LOAD gives nothing away, because what
 * a script does is checked command by command as if its user had sent it. */
static const char *const allowed[] = {
    "+multi",  "+exec",   "+evalsha", "+script|load",   "+type",    "+exists",
    "+del",    "+rename", "+expire",  "+persist",       "+ttl",     "+hset",
    "+hsetnx", "+hdel",   "+hget",    "+hmget",         "+hlen",    "+hscan",
    "+sadd",   "+srem",   "+scard",   "+smembers",      "+sinter",  "+sunion",
    "+sscan",  "+zadd",   "+zrem",    "+zcount",        "+zmscore", "+zscore",
    "+ping",   "+auth",   "+select",  "+zrangebyscore", "+hello",   "+zrevrangebyscore",
};
#define ALLOWED_COUNT (sizeof(allowed) / sizeof(*allowed))

/* And what a cluster wants of a client besides: where the slots are, and a key that is about to move. */
static const char *const allowed_on_clusters[] = { "+cluster|slots", "+asking" };
#define CLUSTER_COUNT (sizeof(allowed_on_clusters) / sizeof(*allowed_on_clusters))

static popoto_status check_user(popoto_db *db, const char *user) {
    if (user == NULL || user[0] == '\0' || strcmp(user, "default") == 0)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                            "a tenant's user needs a name, and not that of the default user");
    for (const char *at = user; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || (unsigned char)*at == 127)
            return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                                "a user's name holds no spaces and no control characters");
    return POPOTO_OK;
}

typedef struct answers {
    popoto_db *db;
    const char *doing;
    size_t count;    /* of commands; the last is ACL SAVE */
    bool kept;       /* the server keeps an ACL file, and wrote it */
    int64_t removed; /* users */
} answers;

/* ----- What is there ------------------------------------------------------------------------------ */

typedef struct standing {
    popoto_db *db;
    const char *user;
    popoto_text tenant; /* as keys hold it */
    bool is_self;       /* it is the one that this db is connected as */
    bool is_another;    /* there is one of that name, and it reaches other keys than the tenant's */
    bool open;          /* see popoto_grant_report */
} standing;

static bool is_text(const reply *one, const char *text) {
    return (one->type == REPLY_STRING || one->type == REPLY_STATUS) && one->size == strlen(text) &&
           memcmp(one->text, text, one->size) == 0;
}

static bool has_text(const reply *list, const char *text) {
    for (size_t i = 0; i < list->count; i++)
        if (is_text(list->items[i], text))
            return true;
    return false;
}

/* What ACL GETUSER says, names and values in turn: keys are a text, before Redis 7.0 a list. */
static bool is_open(const reply *answer) {
    bool lets_in = false, reaches = false, may = true;
    for (size_t i = 0; i + 1 < answer->count; i += 2) {
        const reply *name = answer->items[i], *value = answer->items[i + 1];
        if (is_text(name, "flags"))
            lets_in = has_text(value, "on") && has_text(value, "nopass");
        else if (is_text(name, "keys"))
            reaches = reaches || value->count > 0 || value->size > 0;
        else if (is_text(name, "selectors"))
            reaches = reaches || value->count > 0;
        else if (is_text(name, "commands"))
            may = !is_text(value, "-@all");
    }
    return lets_in && reaches && may;
}

/* "~{a}:*", as a list's item (before Redis 7.0) without the tilde. */
static bool is_tenants_pattern(const reply *one, popoto_text tenant, const char *opening) {
    size_t before = strlen(opening);
    return one->type == REPLY_STRING && one->size == before + tenant.size + 3 &&
           memcmp(one->text, opening, before) == 0 &&
           memcmp(one->text + before, tenant.data, tenant.size) == 0 &&
           memcmp(one->text + before + tenant.size, "}:*", 3) == 0;
}

static bool is_tenants(const reply *answer, popoto_text tenant) {
    bool is = false, more = false;
    for (size_t i = 0; i + 1 < answer->count; i += 2) {
        const reply *name = answer->items[i], *value = answer->items[i + 1];
        if (is_text(name, "keys"))
            is = value->type == REPLY_ARRAY
                     ? value->count == 1 && is_tenants_pattern(value->items[0], tenant, "{")
                     : is_tenants_pattern(value, tenant, "~{");
        else if (is_text(name, "selectors"))
            more = value->count > 0;
    }
    return is && !more;
}

/* ACL WHOAMI, ACL GETUSER of the default user and of this one. An error: who may not ask does not learn
 * it, and may not make users either. */
static popoto_status take_standing(void *context, size_t index, const reply *answer) {
    standing *it = context;
    if (index == 0)
        it->is_self = is_text(answer, it->user);
    else if (index == 1)
        it->open = answer->type == REPLY_ARRAY && is_open(answer);
    else
        it->is_another = answer->type == REPLY_ARRAY && !is_tenants(answer, it->tenant);
    return POPOTO_OK;
}

static void render_question(const char *user, buffer *out) {
    popoto__request_begin(out, 3);
    popoto__request_text(out, "ACL");
    popoto__request_text(out, "GETUSER");
    popoto__request_text(out, user);
}

static popoto_status ask_standing(standing *it) {
    buffer *out = &it->db->request;
    popoto__buffer_clear(out);
    popoto__request_begin(out, 2);
    popoto__request_text(out, "ACL");
    popoto__request_text(out, "WHOAMI");
    render_question("default", out);
    render_question(it->user, out);
    popoto_status status = popoto__db_exchange(it->db, 3, false, NULL, take_standing, it);
    if (status != POPOTO_OK || !it->is_self)
        return status;
    return popoto__fail(&it->db->why, POPOTO_BAD_ARGUMENT,
                        "this db is connected as that user, and would be cut off");
}

/* ----- What is done ------------------------------------------------------------------------------- */

/* ACL DELUSER, a grant's ACL SETUSER, then ACL SAVE, which a server without an ACL file refuses: no
 * failure. */
static popoto_status take_answer(void *context, size_t index, const reply *answer) {
    answers *it = context;
    if (index == it->count - 1) {
        it->kept = answer->type == REPLY_STATUS;
        return POPOTO_OK;
    }
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, it->doing, &it->db->why);
    if (index == 0)
        it->removed = answer->type == REPLY_INTEGER ? answer->integer : 0;
    return POPOTO_OK;
}

static void render_removal(const char *user, buffer *out) {
    popoto__request_begin(out, 3);
    popoto__request_text(out, "ACL");
    popoto__request_text(out, "DELUSER");
    popoto__request_text(out, user);
}

static void render_save(buffer *out) {
    popoto__request_begin(out, 2);
    popoto__request_text(out, "ACL");
    popoto__request_text(out, "SAVE");
}

static void render_grant(popoto_db *db, const popoto_grant_desc *desc, popoto_text tenant) {
    buffer *out = &db->request;
    buffer part;
    popoto__buffer_init(&part, &db->allocator);
    /* A changed user would keep the connections that the old password opened, for the new tenant. */
    render_removal(desc->user, out);
    size_t more = popoto__db_is_cluster(db) ? CLUSTER_COUNT : 0;
    popoto__request_begin(out, 9 + ALLOWED_COUNT + more);
    popoto__request_text(out, "ACL");
    popoto__request_text(out, "SETUSER");
    popoto__request_text(out, desc->user);
    popoto__request_text(out, "reset");
    popoto__request_text(out, "on");
    popoto__buffer_append_text(&part, ">");
    popoto__buffer_append_text(&part, desc->password);
    popoto__request_argument(out, part.data, part.size);
    popoto__buffer_clear(&part);
    /* No byte that patterns give a meaning is left in a tenant's segment. */
    popoto__buffer_append_text(&part, "~{");
    popoto__buffer_append(&part, tenant.data, tenant.size);
    popoto__buffer_append_text(&part, "}:*");
    popoto__request_argument(out, part.data, part.size);
    popoto__request_text(out, "resetchannels");
    popoto__request_text(out, "-@all");
    for (size_t i = 0; i < ALLOWED_COUNT; i++)
        popoto__request_text(out, allowed[i]);
    for (size_t i = 0; i < more; i++)
        popoto__request_text(out, allowed_on_clusters[i]);
    out->failed = out->failed || part.failed;
    popoto__buffer_free(&part);
    render_save(out);
}

/* The tenant of a strict model, as keys hold it, in the scratch memory. */
static popoto_status name_tenant(popoto_db *db, const popoto_model *declared,
                                 const popoto_value *given, popoto_text *segment) {
    const model *of;
    popoto_value tenant;
    popoto_status status = popoto__db_begin(db, declared, &of);
    if (status == POPOTO_OK && of->tenant == NULL)
        status = popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                              "%s has no TENANT: only a strict model's keys can be granted",
                              of->name.data);
    if (status == POPOTO_OK)
        status = popoto__field_accept(of, of->tenant, given, &tenant, &db->why);
    if (status == POPOTO_OK)
        status = popoto__segment(of, of->tenant, &tenant, &db->scratch, segment, &db->why);
    return status;
}

popoto_status popoto_grant(popoto_db *db, const popoto_grant_desc *desc,
                           popoto_grant_report *report) {
    popoto_text segment = { NULL, 0 };
    if (report != NULL)
        *report = (popoto_grant_report){ 0 };
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    if (desc == NULL)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "a description of the grant is needed");
    popoto_status status = name_tenant(db, desc->model, &desc->tenant, &segment);
    if (status == POPOTO_OK)
        status = check_user(db, desc->user);
    if (status == POPOTO_OK && (desc->password == NULL || desc->password[0] == '\0'))
        status = popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "a tenant's user needs a password");
    standing found = { .db = db, .user = desc->user, .tenant = segment };
    if (status == POPOTO_OK)
        status = ask_standing(&found);
    if (status == POPOTO_OK && found.is_another && !desc->replace)
        status = popoto__fail(&db->why, POPOTO_EXISTS,
                              "the server has another user of this name: .replace = true gives its "
                              "name to the tenant's");
    if (status != POPOTO_OK)
        return status;
    answers it = { .db = db, .doing = "making a tenant's user", .count = 3 };
    popoto__buffer_clear(&db->request);
    render_grant(db, desc, segment);
    status = popoto__db_exchange(db, 3, true, NULL, take_answer, &it);
    if (report != NULL && status == POPOTO_OK)
        *report = (popoto_grant_report){ .kept = it.kept, .open = found.open };
    return status;
}

popoto_status popoto_revoke(popoto_db *db, const char *user, bool *kept) {
    if (kept != NULL)
        *kept = false;
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    popoto_status status = check_user(db, user);
    standing found = { .db = db, .user = user };
    if (status == POPOTO_OK)
        status = ask_standing(&found);
    if (status != POPOTO_OK)
        return status;
    answers it = { .db = db, .doing = "ending a tenant's user", .count = 2 };
    popoto__buffer_clear(&db->request);
    render_removal(user, &db->request);
    render_save(&db->request);
    status = popoto__db_exchange(db, 2, true, NULL, take_answer, &it);
    if (status == POPOTO_OK && it.removed == 0)
        status = popoto__fail(&db->why, POPOTO_NOT_FOUND, "the server has no such user");
    if (kept != NULL)
        *kept = status == POPOTO_OK && it.kept;
    return status;
}

/* ----- Who has one -------------------------------------------------------------------------------- */

/* So many are asked about at once. */
#define USERS_A_STEP 256

typedef struct listing {
    popoto_db *db;
    popoto_text tenant;
    arena memory;
    const char **users;
    size_t count;
    bool *is_theirs; /* of the step under way */
} listing;

static popoto_status take_users(void *context, size_t index, const reply *answer) {
    listing *it = context;
    (void)index;
    if (answer->type != REPLY_ARRAY)
        return popoto__reply_failure(answer, "listing the server's users", &it->db->why);
    it->users = popoto__arena_allocate(&it->memory, (answer->count + 1) * sizeof *it->users);
    for (size_t i = 0; i < answer->count && it->users != NULL; i++) {
        const reply *name = answer->items[i];
        if (name->type != REPLY_STRING)
            return popoto__reply_failure(name, "listing the server's users", &it->db->why);
        it->users[it->count] = popoto__arena_copy(&it->memory, name->text, name->size);
        if (it->users[it->count++] == NULL)
            return popoto__fail_memory(&it->db->why);
    }
    return it->users != NULL ? POPOTO_OK : popoto__fail_memory(&it->db->why);
}

static popoto_status take_user(void *context, size_t index, const reply *answer) {
    listing *it = context;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "looking at the server's users", &it->db->why);
    it->is_theirs[index] = answer->type == REPLY_ARRAY && is_tenants(answer, it->tenant);
    return POPOTO_OK;
}

static popoto_status list_users(listing *it) {
    popoto__buffer_clear(&it->db->request);
    popoto__request_begin(&it->db->request, 2);
    popoto__request_text(&it->db->request, "ACL");
    popoto__request_text(&it->db->request, "USERS");
    return popoto__db_exchange(it->db, 1, false, &it->memory, take_users, it);
}

static popoto_status report_users(listing *it, const char **users, size_t count,
                                  popoto_user_callback *callback, void *context) {
    bool is_theirs[USERS_A_STEP] = { false };
    it->is_theirs = is_theirs;
    popoto__buffer_clear(&it->db->request);
    for (size_t i = 0; i < count; i++)
        render_question(users[i], &it->db->request);
    popoto_status status = popoto__db_exchange(it->db, count, false, NULL, take_user, it);
    for (size_t i = 0; i < count && status == POPOTO_OK; i++)
        if (is_theirs[i] && !callback(context, users[i]))
            status = popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
    return status;
}

popoto_status popoto_granted_users(popoto_db *db, const popoto_model *declared, popoto_value tenant,
                                   popoto_user_callback *callback, void *context) {
    popoto_text segment;
    if (callback == NULL)
        return popoto__db_needs(db, "a callback");
    popoto_status status = name_tenant(db, declared, &tenant, &segment);
    if (status != POPOTO_OK)
        return status;
    listing it = { .db = db };
    popoto__arena_init(&it.memory, &db->allocator);
    /* The callback may use the db's scratch memory. */
    it.tenant =
        (popoto_text){ popoto__arena_copy(&it.memory, segment.data, segment.size), segment.size };
    status = it.tenant.data != NULL ? list_users(&it) : popoto__fail_memory(&db->why);
    for (size_t at = 0, part; at < it.count && status == POPOTO_OK; at += part) {
        part = it.count - at < USERS_A_STEP ? it.count - at : USERS_A_STEP;
        status = report_users(&it, it.users + at, part, callback, context);
    }
    popoto__arena_free(&it.memory);
    return status;
}
