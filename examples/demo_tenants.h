/* demo_tenants - `demo tenants`, the sections that play the guide's chapter "From convention to guarantee":
 * a leak that the library refuses, and one that the server refuses. A part of demo.c, whose stage it
 * plays on. */

SOURCE(strict_fields_source, static const popoto_field strict_fields[] = {
                                 POPOTO_TENANT(episode, project_id),
                                 POPOTO_AUTO_KEY(episode, episode_id),
                                 POPOTO_FIELD(episode, title),
                                 POPOTO_SORTED(episode, score),
                             });
SOURCE(strict_model,
       static const popoto_model Strict = POPOTO_MODEL("Episode", episode, strict_fields));

/* As REFUSED, on another db. */
#define REFUSED_TO(db_, status, ...)                                            \
    (show(#__VA_ARGS__),                                                        \
     (__VA_ARGS__) == (status) ? (void)0 : holds(d, false, "this is " #status), \
     printf("          %s%s%s\n", dim, #status, plain), say_wrapped(10, popoto_error(db_)))

static void keys_of_tenants(demo *d) {
    popoto_db *db = d->db;
    show(strict_fields_source);
    show(strict_model);
    CODE(episode first = { .project_id = "project-a",
                           .episode_id = { "1" },
                           .title = "First meeting",
                           .score = 0.8 });
    RUN(popoto_create(db, &Strict, &first));
    episode other = { .project_id = "project-b", .episode_id = { "1" }, .title = "Kickoff" };
    checked(d, popoto_create(db, &Strict, &other), POPOTO_OK);
    show_keys(d, "*", 4);
    holds(d, key_exists(d, "{project-a}:Episode:1"), "the record is {project-a}:Episode:1");
    holds(d, key_size(d, "SCARD", "{project-a}:$Class:Episode") == 1,
          "{project-a}:$Class:Episode holds project A's records alone");
    holds(d, key_size(d, "ZCARD", "{project-a}:$SortedF:Episode:score") == 1,
          "every index is the tenant's own, without partition_by");
}

static void forgetting(demo *d) {
    popoto_db *db = d->db;
    popoto_rows *rows, *none;
    size_t count = 0, all = 0;
    add_episodes(d, &Strict);
    CODE(popoto_query_desc forgot = { .model = &Strict, .order_by = "-score" });
    REFUSED(POPOTO_BAD_QUERY, popoto_query(db, &forgot, &none));
    CODE(episode nobody = { .title = "Whose is it?", .score = 0.5 });
    REFUSED(POPOTO_BAD_VALUE, popoto_create(db, &Strict, &nobody));
    putchar('\n');
    holds(d, none == NULL && nobody.object.key == 0,
          "who forgets the tenant gets an error, not other tenants' rows");
    putchar('\n');
    say("The project is named by the filter, or once by a scope:");
    RUN(popoto_scope_enter(db, "project_id", "project-a"));
    RUN(popoto_query(db, &forgot, &rows));
    int own = show_episodes(rows, "project-a");
    checked(d, popoto_count(db, &(popoto_query_desc){ .model = &Strict }, &count), POPOTO_OK);
    CODE(popoto_query_desc everybody = { .model = &Strict, .all_tenants = true });
    REFUSED(POPOTO_BAD_SCOPE, popoto_count(db, &everybody, &all));
    RUN(popoto_scope_leave(db));
    RUN(popoto_count(db, &everybody, &all));
    putchar('\n');
    holds(d, own == 2 && count == 2, "in the scope, the rows are project A's");
    holds(d, all == 3, "all tenants are asked for by name, outside of any scope");
}

/* A connection past the library, as the tenant's user. */
static FILE *peek_as(demo *d, const char *user, const char *password) {
    FILE *it = peek_open(popoto_socket(d->db));
    if (it != NULL) {
        peek_reply answer = peek(it, "AUTH", user, password, NULL);
        peek_free(&answer);
    }
    return it;
}

/* Sends a raw command; whether the server refuses it. */
static bool raw_is_refused(FILE *redis, const char *const *words) {
    printf("      %s", cyan);
    for (size_t i = 0; words[i] != NULL; i++)
        printf("%s%s", i ? " " : "", words[i]);
    peek_reply answer = peek_send(redis, words);
    bool refused = answer.type == '-' && strncmp(answer.text, "NOPERM", 6) == 0;
    printf("%s\n", plain);
    say_wrapped(10, answer.text != NULL ? answer.text : "(data)");
    peek_free(&answer);
    return refused;
}
#define RAW(redis, ...) raw_is_refused(redis, (const char *const[]){ __VA_ARGS__, NULL })

static popoto_db *grant_and_open(demo *d) {
    popoto_db *db = d->db;
    char url[160];
    CODE(popoto_grant_desc grant = {
             .model = &Strict,
             .tenant = POPOTO_VALUE("project-a"),
             .user = "ann",
             .password = "secret",
         });
    CODE(popoto_grant_report report);
    RUN(popoto_grant(db, &grant, &report));
    snprintf(url, sizeof url, "unix://ann:secret@%s", popoto_socket(db));
    say("ann connects with that password:");
    show("popoto_db *ann = popoto_open(url, NULL)");
    popoto_db *ann = popoto_open(url, NULL);
    if (report.kept)
        holds(d, false, "a server without an ACL file forgets its users when it restarts");
    return ann;
}

static void refused_by_the_server(demo *d) {
    add_episodes(d, &Strict);
    episode theirs = { .project_id = "project-b", .episode_id = { "1" }, .title = "Secret plan" };
    checked(d, popoto_create(d->db, &Strict, &theirs), POPOTO_OK);
    popoto_db *ann = grant_and_open(d);
    if (ann == NULL)
        return;
    CODE(popoto_query_desc own = { .model = &Strict,
                                   .where = { POPOTO_IS("project_id", "project-a") } });
    popoto_rows *rows, *none;
    show("popoto_query(ann, &own, &rows)");
    (void)popoto_query(ann, &own, &rows);
    int count = show_episodes(rows, "project-a");
    CODE(episode other = { .project_id = "project-b", .episode_id = { "1" }, .title = "Mine" });
    REFUSED_TO(ann, POPOTO_DENIED, popoto_load(ann, &Strict, &other, &none));
    popoto_status load = popoto_error_status(ann);
    REFUSED_TO(ann, POPOTO_DENIED, popoto_save(ann, &Strict, &other));
    popoto_status save = popoto_error_status(ann);
    say("And past the library, with the same password:");
    FILE *raw = peek_as(d, "ann", "secret");
    bool hash = raw != NULL && RAW(raw, "HGET", "{project-b}:Episode:1", "title");
    bool index = raw != NULL && RAW(raw, "SMEMBERS", "{project-b}:$Class:Episode");
    bool keys = raw != NULL && RAW(raw, "KEYS", "*");
    bool flush = raw != NULL && RAW(raw, "FLUSHALL");
    putchar('\n');
    holds(d, count == 2, "inside project A, ann's connection does everything");
    holds(d, load == POPOTO_DENIED && save == POPOTO_DENIED,
          "outside, the server refuses what the library sends");
    holds(d, hash && index, "and any command on another tenant's key");
    holds(d, keys && flush, "and what is about all keys");
    holds(d, key_exists(d, "{project-b}:Episode:1"), "project B's record is as it was");
    if (raw != NULL)
        fclose(raw);
    popoto_close(ann);
    checked(d, popoto_revoke(d->db, "ann", NULL), POPOTO_OK);
    putchar('\n');
    say("This server's default user has no password, so that whoever reaches it needs no grant. A "
        "real one turns it off, and keeps an ACL file.");
}

static void revoking(demo *d) {
    popoto_db *db = d->db;
    add_episodes(d, &Strict);
    popoto_db *ann = grant_and_open(d);
    FILE *raw = peek_as(d, "ann", "secret");
    RUN(popoto_revoke(db, "ann", NULL));
    char byte;
    bool closed = raw != NULL && fread(&byte, 1, 1, raw) == 0 && feof(raw);
    size_t count;
    CODE(popoto_query_desc own = { .model = &Strict,
                                   .where = { POPOTO_IS("project_id", "project-a") } });
    (void)popoto_count(ann, &own, &count); /* may only find that the connection is gone */
    REFUSED_TO(ann, POPOTO_DENIED, popoto_count(ann, &own, &count));
    putchar('\n');
    holds(d, closed, "open connections are closed by the server");
    holds(d, popoto_error_status(ann) == POPOTO_DENIED, "the password opens no new one");
    if (raw != NULL)
        fclose(raw);
    popoto_close(ann);
}

static bool print_tenant(void *context, const popoto_value *tenant) {
    size_t *count = context;
    printf("          %s\n", tenant->as.text.data);
    ++*count;
    return true;
}

static void listing(demo *d) {
    popoto_db *db = d->db;
    size_t count = 0;
    add_episodes(d, &Strict);
    add_episode(d, &Strict, "odd:{name}*", "A name like a pattern", 0.1);
    RUN(popoto_tenants(db, &Strict, print_tenant, &count));
    show_keys(d, "*$Class:*", 0);
    holds(d, count == 3, "the tenants are told by the keys, each once");
    holds(d, key_exists(d, "{odd/3a/7bname/7d/2a}:$Class:Episode"),
          "no name can be taken for another's keys, or for a pattern");
}

static const struct section tenant_sections[] = {
    { "Every key begins with its tenant",
      "POPOTO_TENANT instead of POPOTO_KEY makes a model strict: the tenant, in braces, begins "
      "every key of it.",
      keys_of_tenants },
    { "Forgetting the tenant is an error", "A call names one tenant, or the library refuses it.",
      forgetting },
    { "Enforced by the server",
      "A grant makes a user of the server for one tenant. What is not that tenant's, the server "
      "refuses.",
      refused_by_the_server },
    { "Ending a grant", "A user that is revoked is out at once.", revoking },
    { "Looking at tenants", "Operators can list them.", listing },
};
