/* demo - plays the specification (docs/specification.md) from top to bottom: each section says what is
 * promised, shows the lines of C, runs them, prints the keys that Redis then holds, and checks.
 *
 *     demo          all sections
 *     demo 5 8      only these
 *     demo tenants  the guide's chapter on strict tenants; demo tenants 3: only that section
 *
 * The lines that are shown are the lines that run: RUN and CODE print their own source. Everything
 * happens in a private server in a temporary folder, which is removed at the end. The exit status is 1
 * if any claim does not hold. */
#define _XOPEN_SOURCE 700

#include "peek.h"
#include "temporary.h"

#include <popoto.h>

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>

#define WIDTH 80

/* ----- The stage ------------------------------------------------------------------------------ */

typedef struct demo {
    temporary place;
    popoto_db *db;
    FILE *redis; /* the same server, read past the library */
    int held;    /* claims that hold */
    int broken;  /* claims that do not */
} demo;

static const char *bold = "", *dim = "", *green = "", *red = "", *cyan = "", *plain = "";

static void choose_colours(void) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (!isatty(STDOUT_FILENO) || (no_color != NULL && no_color[0] != '\0') || term == NULL ||
        strcmp(term, "dumb") == 0)
        return;
    bold = "\x1b[1m", dim = "\x1b[2m", green = "\x1b[32m", red = "\x1b[31m", cyan = "\x1b[36m";
    plain = "\x1b[0m";
}

/* A sentence, broken at spaces, each line behind `indent` spaces. */
static void say_wrapped(int indent, const char *text) {
    int column = 0;
    while (*text != '\0') {
        int size = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + size > WIDTH) {
            putchar('\n');
            column = 0;
        }
        column +=
            column == 0 ? printf("%*s%.*s", indent, "", size, text) : printf(" %.*s", size, text);
        text += size;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void say(const char *text) {
    say_wrapped(4, text);
}

/* One claim, checked. */
static void holds(demo *d, bool it_does, const char *claim) {
    if (it_does)
        d->held++;
    else
        d->broken++;
    printf("  %s%-15s%s", it_does ? green : red, it_does ? "holds" : "DOES NOT HOLD", plain);
    printf("%.*s\n", WIDTH - 17, claim);
}

/* ----- Code that shows itself ----------------------------------------------------------------- */

/* Where the bracket that opens at `open` closes; text in quotes does not count. */
static const char *closing(const char *open) {
    int depth = 0;
    bool quoted = false;
    for (const char *at = open; *at != '\0'; at++) {
        quoted = quoted != (*at == '"');
        if (!quoted && strchr("({[", *at) != NULL)
            depth++;
        if (!quoted && strchr(")}]", *at) != NULL && --depth == 0)
            return at;
    }
    return open + strlen(open);
}

/* The end of the element that starts at `part`, within a bracket that closes at `close`. */
static const char *element_end(const char *part, const char *close) {
    while (part < close && *part != ',' && *part != ';')
        part = (strchr("({[", *part) != NULL ? closing(part) : part) + 1;
    return part < close ? part : close;
}

/* C source on one line, laid out: what does not fit is broken at its first bracket, within braces one
 * element a line, within parentheses as many as fit. `after` follows it on its last line. */
static void show_code(const char *text, size_t size, int indent, const char *after) {
    const char *end = text + size, *open = text + strcspn(text, "({");
    const char *close = open < end ? closing(open) : end;
    if (indent + (int)(size + strlen(after)) <= WIDTH || close >= end) {
        printf("%*s%.*s%s\n", indent, "", (int)size, text, after);
        return;
    }
    int column = printf("%*s%.*s", indent, "", (int)(open + 1 - text), text);
    for (const char *part = open + 1; part < close;) {
        part += strspn(part, " ");
        const char *stop = element_end(part, close);
        size_t trimmed = (size_t)(stop - part);
        while (trimmed > 0 && part[trimmed - 1] == ' ')
            trimmed--;
        if (*open == '{' && trimmed > 0) {
            if (column > 0)
                putchar('\n');
            column = 0;
            show_code(part, trimmed, indent + 4, *stop == ';' ? ";" : ",");
        } else if (trimmed > 0) {
            bool fits = column + 1 + (int)trimmed + 2 <= WIDTH;
            if (!fits)
                column = printf("\n%*s", indent + 4, "") - 1;
            else if (part > open + 1)
                column += printf(" ");
            column += printf("%.*s%s", (int)trimmed, part, stop < close ? "," : "");
        }
        part = stop < close ? stop + 1 : close;
    }
    printf("%*s%.*s%s\n", *open == '{' ? indent : 0, "", (int)(end - close), close, after);
}

static void show(const char *text) {
    fputs(cyan, stdout);
    show_code(text, strlen(text), 6, ";");
    fputs(plain, stdout);
}

static popoto_status checked(demo *d, popoto_status status, popoto_status expected) {
    if (status != expected)
        holds(d, false, popoto_error(d->db));
    return status;
}

/* Shown and run, as a declaration or a statement. */
#define CODE(...)       \
    show(#__VA_ARGS__); \
    __VA_ARGS__
/* Shown and run; it must return POPOTO_OK. */
#define RUN(...) (show(#__VA_ARGS__), checked(d, (__VA_ARGS__), POPOTO_OK))
/* Shown and run; it must be refused with this status. The sentence is printed. */
#define REFUSED(status, ...)                                \
    (show(#__VA_ARGS__), checked(d, (__VA_ARGS__), status), \
     printf("          %s%s%s\n", dim, #status, plain), say_wrapped(10, popoto_error(d->db)))
/* A definition at file scope, with its source as a text. */
#define SOURCE(text, ...)                    \
    static const char text[] = #__VA_ARGS__; \
    __VA_ARGS__

/* ----- What Redis holds ----------------------------------------------------------------------- */

static int by_text(const void *a, const void *b) {
    const peek_reply *one = a, *other = b;
    return strcmp(one->text, other->text);
}

/* One element of a key, cut to the width. */
static void show_element(const char *format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    printf("          %.*s\n", WIDTH - 10, line);
}

static void show_hash(FILE *redis, const char *key, size_t most) {
    peek_reply all = peek(redis, "HGETALL", key, NULL);
    for (size_t i = 0; i + 1 < all.count && i / 2 < most; i += 2) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        const unsigned char *packed = (const unsigned char *)all.items[i + 1].text;
        if (out == NULL)
            break;
        peek_value(&(peek_bytes){ packed, packed + all.items[i + 1].size }, out);
        fclose(out);
        /* A confidence entry has a long name and a long value: a line for each. */
        if (text[0] == '{') {
            show_element("%s", all.items[i].text);
            say_wrapped(12, text);
        } else {
            show_element("%-12s %s", all.items[i].text, text);
        }
        free(text);
    }
    if (all.count / 2 > most)
        show_element("... and %zu more", all.count / 2 - most);
    peek_free(&all);
}

static void show_members(FILE *redis, const char *key, bool scored, size_t most) {
    peek_reply all = scored ? peek(redis, "ZRANGE", key, "0", "-1", "WITHSCORES", NULL)
                            : peek(redis, "SMEMBERS", key, NULL);
    size_t step = scored ? 2 : 1;
    if (!scored && all.count > 1)
        qsort(all.items, all.count, sizeof *all.items, by_text);
    for (size_t i = 0; i < all.count && i / step < most; i += step) {
        if (scored)
            show_element("%-5.3g %s", strtod(all.items[i + 1].text, NULL), all.items[i].text);
        else
            show_element("%s", all.items[i].text);
    }
    if (all.count / step > most)
        show_element("... and %zu more", all.count / step - most);
    peek_free(&all);
}

/* The keys that match, with type and content, at most `most` elements of each. */
static void show_keys(demo *d, const char *pattern, size_t most) {
    /* KEYS is fine here and nowhere else: this server holds a dozen keys and serves nobody. */
    peek_reply keys = peek(d->redis, "KEYS", pattern, NULL);
    if (keys.count > 1)
        qsort(keys.items, keys.count, sizeof *keys.items, by_text);
    printf("\n    %sRedis holds:%s\n", dim, plain);
    for (size_t i = 0; i < keys.count; i++) {
        const char *key = keys.items[i].text;
        peek_reply type = peek(d->redis, "TYPE", key, NULL);
        const char *kind = type.text != NULL ? type.text : "?";
        printf("    %s%-5s%s %s%.*s%s\n", dim, kind, plain, bold, WIDTH - 10, key, plain);
        if (strcmp(kind, "hash") == 0)
            show_hash(d->redis, key, most);
        else
            show_members(d->redis, key, strcmp(kind, "zset") == 0, most);
        peek_free(&type);
    }
    if (keys.count == 0)
        puts("    (no such key)");
    putchar('\n');
    peek_free(&keys);
}

static bool key_exists(demo *d, const char *key) {
    peek_reply answer = peek(d->redis, "EXISTS", key, NULL);
    bool exists = answer.text != NULL && strcmp(answer.text, "1") == 0;
    peek_free(&answer);
    return exists;
}

static bool hash_has(demo *d, const char *key, const char *field) {
    peek_reply answer = peek(d->redis, "HEXISTS", key, field, NULL);
    bool has = answer.text != NULL && strcmp(answer.text, "1") == 0;
    peek_free(&answer);
    return has;
}

static size_t key_size(demo *d, const char *command, const char *key) {
    peek_reply answer = peek(d->redis, command, key, NULL);
    size_t size = answer.text != NULL ? (size_t)strtoul(answer.text, NULL, 10) : 0;
    peek_free(&answer);
    return size;
}

static void empty_database(demo *d) {
    peek_reply answer = peek(d->redis, "FLUSHALL", NULL);
    peek_free(&answer);
}

/* ----- The models ----------------------------------------------------------------------------- */

SOURCE(
    episode_struct, typedef struct {
        popoto_object object;
        const char *project_id;
        popoto_id episode_id;
        const char *title;
        double score;
    } episode);

/* Class Episode as the specification first has it, and with partition_by. */
SOURCE(plain_fields, static const popoto_field plain_episode_fields[] = {
                         POPOTO_KEY(episode, project_id),
                         POPOTO_AUTO_KEY(episode, episode_id),
                         POPOTO_FIELD(episode, title),
                         POPOTO_SORTED(episode, score),
                     });
static const popoto_model PlainEpisode = POPOTO_MODEL("Episode", episode, plain_episode_fields);

SOURCE(episode_fields_source, static const popoto_field episode_fields[] = {
                                  POPOTO_KEY(episode, project_id),
                                  POPOTO_AUTO_KEY(episode, episode_id),
                                  POPOTO_FIELD(episode, title),
                                  POPOTO_SORTED(episode, score, .partition_by = "project_id"),
                              });
SOURCE(episode_model,
       static const popoto_model Episode = POPOTO_MODEL("Episode", episode, episode_fields));

SOURCE(
    memory_struct, typedef struct {
        popoto_object object;
        const char *project;
        const char *key;
        const char *content;
        double certainty;
    } memory);

SOURCE(memory_fields_source, static const popoto_field memory_fields[] = {
                                 POPOTO_KEY(memory, project),
                                 POPOTO_UNIQUE_KEY(memory, key),
                                 POPOTO_FIELD(memory, content),
                                 POPOTO_CONFIDENCE(memory, certainty, .initial_confidence = 0.5,
                                                   .partition_by = "project"),
                             });
static const popoto_model Memory = POPOTO_MODEL("Memory", memory, memory_fields);

/* The same class before partition_by was added. */
static const popoto_field plain_memory_fields[] = {
    POPOTO_KEY(memory, project),
    POPOTO_UNIQUE_KEY(memory, key),
    POPOTO_FIELD(memory, content),
    POPOTO_CONFIDENCE(memory, certainty, .initial_confidence = 0.5),
};
static const popoto_model PlainMemory = POPOTO_MODEL("Memory", memory, plain_memory_fields);

/* ----- What the sections share ---------------------------------------------------------------- */

static void add_episode(demo *d, const popoto_model *model, const char *project, const char *title,
                        double score) {
    episode it = { .project_id = project, .title = title, .score = score };
    checked(d, popoto_create(d->db, model, &it), POPOTO_OK);
}

/* The specification's three. */
static void add_episodes(demo *d, const popoto_model *model) {
    add_episode(d, model, "project-a", "First meeting", 0.8);
    add_episode(d, model, "project-a", "Follow-up", 0.6);
    add_episode(d, model, "project-b", "Kickoff", 0.9);
}

/* Prints the rows and releases them; how many there were that belong to `project`, or -1 where any
 * other project's is among them. */
static int show_episodes(popoto_rows *rows, const char *project) {
    int count = 0;
    bool foreign = false;
    for (size_t i = 0; i < popoto_rows_count(rows); i++) {
        const episode *it = popoto_rows_at(rows, i);
        printf("          %-12s %-16s %.2f\n", it->project_id, it->title, it->score);
        foreign = foreign || strcmp(it->project_id, project) != 0;
        count++;
    }
    popoto_rows_free(rows);
    return foreign ? -1 : count;
}

static void add_memory(demo *d, const popoto_model *model, const char *project, const char *key,
                       const char *content) {
    memory it = { .project = project, .key = key, .content = content };
    checked(d, popoto_create(d->db, model, &it), POPOTO_OK);
}

static bool is_key(popoto_text key, const char *expected) {
    return key.data != NULL && strcmp(key.data, expected) == 0;
}

static bool is_near(double a, double b) {
    return a - b < 1e-9 && b - a < 1e-9;
}

#define ATLAS_HASH  "$ConfidencF:Memory:certainty:data:atlas"
#define HERMES_HASH "$ConfidencF:Memory:certainty:data:hermes"
#define PLAIN_HASH  "$ConfidencF:Memory:certainty:data"

/* ----- The sections --------------------------------------------------------------------------- */

static void the_pattern(demo *d) {
    popoto_db *db = d->db;
    show(episode_struct);
    show(plain_fields);
    CODE(episode first = { .project_id = "project-a", .title = "First meeting", .score = 0.8 });
    RUN(popoto_create(db, &PlainEpisode, &first));
    add_episode(d, &PlainEpisode, "project-a", "Follow-up", 0.6);
    add_episode(d, &PlainEpisode, "project-b", "Kickoff", 0.9);
    say("... and \"Follow-up\", 0.6, in project-a; \"Kickoff\", 0.9, in project-b.");

    CODE(popoto_query_desc good = {
             .model = &PlainEpisode,
             .where = { POPOTO_IS("project_id", "project-a"), POPOTO_IS("score__gte", 0.5) },
         });
    popoto_rows *rows;
    RUN(popoto_query(db, &good, &rows));
    int count = show_episodes(rows, "project-a");
    show_keys(d, "*", 9);
    holds(d, first.episode_id.text[0] != '\0', "create generated the AUTO_KEY");
    holds(d, count == 2, "the query returns project A's 2 episodes, none of B's");
}

static void what_gets_isolated(demo *d) {
    popoto_db *db = d->db;
    episode it = { .project_id = "project-a", .title = "First meeting", .score = 0.8 };
    checked(d, popoto_create(db, &Episode, &it), POPOTO_OK);
    add_episode(d, &Episode, "project-b", "Kickoff", 0.9);
    CODE(popoto_text key);
    RUN(popoto_key(db, &Episode, &it, &key));
    char expected[80];
    snprintf(expected, sizeof expected, "Episode:project-a:%s", it.episode_id.text);
    printf("          %s\n", key.data != NULL ? key.data : "");
    show_keys(d, "*", 9);
    holds(d, is_key(key, expected) && key_exists(d, expected),
          "the instance key is Episode:project-a:<episode_id>");
    holds(d, key_size(d, "ZCARD", "$SortedF:Episode:score:project-a") == 1,
          "its sorted index is $SortedF:Episode:score:project-a");
    holds(d, key_size(d, "SCARD", "$KeyF:Episode:project_id:project-a") == 1,
          "its key index is $KeyF:Episode:project_id:project-a");
    holds(d, key_size(d, "SCARD", "$Class:Episode") == 2,
          "$Class:Episode contains the instances of all projects");
    popoto_free(db, key.data);
}

static void partition_by(demo *d) {
    popoto_db *db = d->db;
    show(episode_fields_source);
    show(episode_model);
    add_episodes(d, &Episode);
    say("The same three episodes, and:");
    CODE(popoto_query_desc top = {
             .model = &Episode,
             .where = { POPOTO_IS("project_id", "project-a"), POPOTO_IS("score__gte", 0.7) },
             .order_by = "-score",
         });
    popoto_rows *rows;
    RUN(popoto_query(db, &top, &rows));
    int count = show_episodes(rows, "project-a");
    show_keys(d, "$SortedF*", 9);
    holds(d, count == 1, "the range query sees project A's scores alone");
    holds(d, !key_exists(d, "$SortedF:Episode:score"), "no index mixes the projects' scores");
    putchar('\n');

    CODE(popoto_query_desc unnamed = {
             .model = &Episode,
             .where = { POPOTO_IS("score__gte", 0.7) },
         });
    popoto_rows *none;
    REFUSED(POPOTO_BAD_QUERY, popoto_query(db, &unnamed, &none));
    putchar('\n');
    holds(d, none == NULL && strstr(popoto_error(db), "project_id") != NULL,
          "leaving out the project is an error that names it");

    empty_database(d);
    add_episodes(d, &PlainEpisode);
    unnamed.model = &PlainEpisode;
    checked(d, popoto_query(db, &unnamed, &rows), POPOTO_OK);
    holds(d, popoto_rows_count(rows) == 2, "without partition_by, a range goes across projects");
    popoto_rows_free(rows);
}

/* "In your business logic": nothing here names the project. */
static int count_good(demo *d, const char *project) {
    popoto_query_desc good = { .model = &Episode, .where = { POPOTO_IS("score__gte", 0.5) } };
    popoto_rows *rows;
    checked(d, popoto_query(d->db, &good, &rows), POPOTO_OK);
    return show_episodes(rows, project);
}

/* Another thread that is lent the db is not in the scope. */
static void *query_elsewhere(void *argument) {
    demo *d = argument;
    popoto_query_desc good = { .model = &Episode, .where = { POPOTO_IS("score__gte", 0.5) } };
    popoto_rows *rows;
    popoto_status status = popoto_query(d->db, &good, &rows);
    popoto_rows_free(rows);
    return status == POPOTO_BAD_QUERY ? argument : NULL;
}

static void scopes(demo *d) {
    popoto_db *db = d->db;
    add_episodes(d, &Episode);
    say("In middleware, once for each request:");
    RUN(popoto_scope_enter(db, "project_id", "project-a"));
    say("In the business logic, which names no project:");
    CODE(episode added = { .title = "New episode", .score = 0.75 });
    RUN(popoto_create(db, &Episode, &added));
    CODE(popoto_query_desc good = { .model = &Episode, .where = { POPOTO_IS("score__gte", 0.5) } });
    popoto_rows *rows;
    RUN(popoto_query(db, &good, &rows));
    int count = show_episodes(rows, "project-a");
    CODE(episode strays = { .project_id = "project-b", .title = "Stray" });
    REFUSED(POPOTO_BAD_SCOPE, popoto_create(db, &Episode, &strays));
    popoto_status refused = popoto_error_status(db);
    checked(d, popoto_scope_enter(db, "project_id", "project-b"), POPOTO_OK);
    say("A scope within a scope, for project-b:");
    int inner = count_good(d, "project-b");
    checked(d, popoto_scope_leave(db), POPOTO_OK);
    pthread_t thread;
    void *elsewhere = NULL;
    if (pthread_create(&thread, NULL, query_elsewhere, d) == 0)
        pthread_join(thread, &elsewhere);
    say("Back in project-a's, and then out of it:");
    int outer = count_good(d, "project-a");
    RUN(popoto_scope_leave(db));
    bool outside = popoto_query(db, &good, &rows) == POPOTO_BAD_QUERY;
    putchar('\n');
    holds(d, count == 3, "create and query were for project-a, which neither named");
    holds(d, refused == POPOTO_BAD_SCOPE, "a record of another project is refused");
    holds(d, inner == 1 && outer == 3, "scopes nest, and leaving restores the outer one");
    holds(d, elsewhere != NULL, "another thread is not in the scope");
    holds(d, outside, "after the last leave, no project is filled in");
}

static void confidence(demo *d) {
    popoto_db *db = d->db;
    show(memory_struct);
    show(memory_fields_source);
    CODE(memory fact = { .project = "atlas", .key = "fact1", .content = "The sky is blue" });
    RUN(popoto_create(db, &Memory, &fact));
    CODE(popoto_confidence after);
    RUN(popoto_confidence_update(db, &Memory, &fact, "certainty", 0.9, &after));
    CODE(double certainty);
    RUN(popoto_confidence_get(db, &Memory, &fact, "certainty", &certainty));
    printf("          certainty %.2f\n", certainty);
    memory other = { .project = "hermes", .key = "fact2", .content = "Grass is red" };
    checked(d, popoto_create(db, &Memory, &other), POPOTO_OK);
    say("And in project hermes a fact2, \"Grass is red\", with a signal of 0.1.");
    checked(d, popoto_confidence_update(db, &Memory, &other, "certainty", 0.1, NULL), POPOTO_OK);
    show_keys(d, "$ConfidencF*", 9);
    holds(d,
          is_near(after.confidence, 0.7) && after.evidence_count == 1 && after.corroborations == 1,
          "0.5, signal 0.9: 0.7 after 1 piece of evidence, 1 corroboration");
    holds(d, is_near(certainty, 0.7), "what is read is what was written");
    holds(d, hash_has(d, ATLAS_HASH, "Memory:atlas:fact1"),
          "atlas has a companion hash of its own");
    holds(d, hash_has(d, HERMES_HASH, "Memory:hermes:fact2"), "and so has hermes");
    holds(d, key_size(d, "HLEN", ATLAS_HASH) == 1 && key_size(d, "HLEN", HERMES_HASH) == 1,
          "neither contains the other's entries");
    holds(d, !key_exists(d, PLAIN_HASH), "there is no hash for all members");
}

static void partition_change(demo *d) {
    popoto_db *db = d->db;
    CODE(memory fact = { .project = "atlas", .key = "fact1", .content = "The sky is blue" });
    RUN(popoto_create(db, &Memory, &fact));
    RUN(popoto_confidence_update(db, &Memory, &fact, "certainty", 0.9, NULL));
    show_keys(d, "$ConfidencF*", 9);
    say("The memory moves to another project:");
    CODE(fact.project = "hermes");
    RUN(popoto_save(db, &Memory, &fact));
    show_keys(d, "*", 9);
    popoto_confidence figures;
    checked(d, popoto_confidence_figures(db, &Memory, &fact, "certainty", &figures), POPOTO_OK);
    holds(d, !hash_has(d, ATLAS_HASH, "Memory:atlas:fact1"), "the entry left the old partition");
    holds(d, hash_has(d, HERMES_HASH, "Memory:hermes:fact1"), "it is in the new one");
    holds(d, is_near(figures.confidence, 0.7) && figures.evidence_count == 1,
          "with its confidence and its evidence");
    holds(d, !key_exists(d, "Memory:atlas:fact1") && key_exists(d, "Memory:hermes:fact1"),
          "the record moved in the same step, under its new key");
    holds(d, !key_exists(d, "$KeyF:Memory:project:atlas"), "no index still names the old key");
}

/* As many as in the specification's example: 800 of atlas, 400 of hermes. */
#define OLD_MEMORIES 1200

static void add_old_memories(demo *d) {
    static memory all[OLD_MEMORIES];
    static char keys[OLD_MEMORIES][16];
    static void *objects[OLD_MEMORIES];
    static popoto_signal signals[OLD_MEMORIES];
    for (size_t i = 0; i < OLD_MEMORIES; i++) {
        snprintf(keys[i], sizeof keys[i], "fact%zu", i + 1);
        all[i] = (memory){ .project = i < 800 ? "atlas" : "hermes", .key = keys[i] };
        all[i].content = "written before partition_by was added";
        objects[i] = &all[i];
        signals[i] = (popoto_signal){ .object = &all[i], .signal = i % 2 ? 0.9 : 0.6 };
    }
    checked(d, popoto_create_many(d->db, &PlainMemory, objects, OLD_MEMORIES, NULL), POPOTO_OK);
    checked(d,
            popoto_confidence_update_many(d->db, &PlainMemory, "certainty", signals, OLD_MEMORIES),
            POPOTO_OK);
}

static void show_report(const popoto_migration_report *it) {
    if (it == NULL)
        return;
    printf("          total %zu, migrated %zu, errors %zu, partitions:", it->total, it->migrated,
           it->error_count);
    for (size_t i = 0; i < it->partition_count; i++)
        printf(" %s %zu", it->partitions[i].name.data, it->partitions[i].count);
    putchar('\n');
}

static void migration(demo *d) {
    popoto_db *db = d->db;
    add_old_memories(d);
    say("1200 memories, written when certainty had no partition_by:");
    show_keys(d, "$ConfidencF*", 1);
    say("Now it has one. What would the migration do?");
    popoto_migration_report *preview, *done;
    RUN(popoto_confidence_migrate(db, &Memory, "certainty",
                                  &(popoto_migration_desc){ .dry_run = true }, &preview));
    show_report(preview);
    bool untouched = key_size(d, "HLEN", PLAIN_HASH) == OLD_MEMORIES;
    bool nothing_written = !key_exists(d, ATLAS_HASH);
    RUN(popoto_confidence_migrate(db, &Memory, "certainty", NULL, &done));
    show_report(done);
    show_keys(d, "$ConfidencF*", 1);
    memory last = { .project = "hermes", .key = "fact1200" };
    double certainty = 0;
    checked(d, popoto_confidence_get(db, &Memory, &last, "certainty", &certainty), POPOTO_OK);
    holds(d, preview != NULL && preview->total == OLD_MEMORIES && preview->migrated == 0,
          "the dry run counts 1200 entries and moves none");
    holds(d, preview != NULL && preview->partition_count == 2,
          "it tells how many each partition will get");
    holds(d, untouched && nothing_written, "after it, Redis is as it was");
    holds(d, done != NULL && done->migrated == OLD_MEMORIES && done->error_count == 0,
          "the real run moves all of them");
    holds(d, key_size(d, "HLEN", ATLAS_HASH) == 800 && key_size(d, "HLEN", HERMES_HASH) == 400,
          "800 to atlas, 400 to hermes");
    holds(d, !key_exists(d, PLAIN_HASH), "the old unpartitioned hash is gone");
    holds(d, is_near(certainty, 0.7), "the figures came along");
    popoto_migration_report_free(preview);
    popoto_migration_report_free(done);
}

static void verifying(demo *d) {
    popoto_db *db = d->db;
    say("Without loading any instance:");
    CODE(popoto_filter atlas = POPOTO_IS("project", "atlas"));
    popoto_filter hermes = POPOTO_IS("project", "hermes");
    CODE(popoto_text atlas_key, hermes_key);
    RUN(popoto_confidence_key_from_values(db, &Memory, "certainty", &atlas, 1, &atlas_key));
    RUN(popoto_confidence_key_from_values(db, &Memory, "certainty", &hermes, 1, &hermes_key));
    printf("          %s\n          %s\n", atlas_key.data ? atlas_key.data : "-",
           hermes_key.data ? hermes_key.data : "-");
    putchar('\n');
    holds(d, is_key(atlas_key, ATLAS_HASH), "atlas: $ConfidencF:Memory:certainty:data:atlas");
    holds(d, is_key(hermes_key, HERMES_HASH), "hermes: $ConfidencF:Memory:certainty:data:hermes");
    popoto_free(db, atlas_key.data);
    popoto_free(db, hermes_key.data);

    add_memory(d, &Memory, "atlas", "fact1", "The sky is blue");
    add_memory(d, &Memory, "hermes", "fact2", "Grass is red");
    putchar('\n');
    say("And for instances:");
    CODE(popoto_query_desc of_atlas = {
             .model = &Memory,
             .where = { POPOTO_IS("project", "atlas"), POPOTO_IS("key", "fact1") },
         });
    popoto_rows *row_a, *row_b;
    RUN(popoto_get(db, &of_atlas, &row_a));
    popoto_query_desc of_hermes = {
        .model = &Memory,
        .where = { POPOTO_IS("project", "hermes"), POPOTO_IS("key", "fact2") },
    };
    checked(d, popoto_get(db, &of_hermes, &row_b), POPOTO_OK);
    CODE(popoto_text key_a, key_b);
    RUN(popoto_confidence_key(db, &Memory, popoto_rows_at(row_a, 0), "certainty", &key_a));
    RUN(popoto_confidence_key(db, &Memory, popoto_rows_at(row_b, 0), "certainty", &key_b));
    printf("          %s\n          %s\n", key_a.data ? key_a.data : "-",
           key_b.data ? key_b.data : "-");
    putchar('\n');
    holds(d, is_key(key_a, ATLAS_HASH) && is_key(key_b, HERMES_HASH),
          "each instance's entry is in its tenant's hash");
    popoto_free(db, key_a.data);
    popoto_free(db, key_b.data);
    popoto_rows_free(row_a);
    popoto_rows_free(row_b);
}

typedef struct found {
    int count;
    int foreign;
} found;

static bool print_entry(void *context, popoto_text member, const popoto_confidence *figures) {
    found *it = context;
    printf("          %-22s %.2f after %lld\n", member.data, figures->confidence,
           (long long)figures->evidence_count);
    it->count++;
    it->foreign += strncmp(member.data, "Memory:atlas:", 13) != 0;
    return true;
}

static void filtered_reads(demo *d) {
    popoto_db *db = d->db;
    static const char *const facts[][2] = { { "atlas", "fact1" },
                                            { "atlas", "fact2" },
                                            { "hermes", "fact3" } };
    for (size_t i = 0; i < 3; i++) {
        memory it = { .project = facts[i][0], .key = facts[i][1], .content = "A fact" };
        checked(d, popoto_create(db, &PlainMemory, &it), POPOTO_OK);
        checked(d, popoto_confidence_update(db, &PlainMemory, &it, "certainty", 0.9, NULL),
                POPOTO_OK);
    }
    say("Three memories of a model without partition_by, so all are in one hash:");
    show_keys(d, "$ConfidencF*", 9);
    CODE(found seen = { 0 });
    CODE(popoto_confidence_scan_desc of_atlas = {
             .model = &PlainMemory,
             .field = "certainty",
             .pattern = "Memory:atlas:*",
             .callback = print_entry,
             .context = &seen,
         });
    RUN(popoto_confidence_scan(db, &of_atlas));
    putchar('\n');
    holds(d, seen.count == 2 && seen.foreign == 0, "only entries that match the pattern come");
}

/* Connect the demo's own eyes to the server that the db uses now. */
static bool look_again(demo *d) {
    if (d->redis != NULL)
        fclose(d->redis);
    d->redis = peek_open(popoto_socket(d->db));
    return d->redis != NULL;
}

static void separate_databases(demo *d) {
    popoto_db *db = d->db;
    char tenant_a[sizeof d->place.url + 16];
    const char *home = d->place.url;
    snprintf(tenant_a, sizeof tenant_a, "%s-of-tenant-a", home);
    add_episode(d, &Episode, "project-a", "Here", 0.8);
    say("One episode is here. Then the whole connection goes to a server of its own, with its own "
        "folder (elsewhere it would be \"redis://tenant-a-host:6379/0\"):");
    RUN(popoto_switch(db, tenant_a));
    if (!look_again(d))
        holds(d, false, "the other server can be looked at");
    else {
        bool was_empty = key_size(d, "DBSIZE", NULL) == 0;
        add_episode(d, &Episode, "project-a", "There", 0.9);
        show_keys(d, "Episode:*", 9);
        size_t there = 0, here = 0;
        popoto_query_desc all = { .model = &Episode,
                                  .where = { POPOTO_IS("project_id", "project-a") } };
        checked(d, popoto_count(db, &all, &there), POPOTO_OK);
        RUN(popoto_switch(db, home));
        look_again(d);
        checked(d, popoto_count(db, &all, &here), POPOTO_OK);
        show_keys(d, "Episode:*", 9);
        holds(d, was_empty, "tenant A's server has nothing of the other's");
        holds(d, there == 1 && here == 1, "each has what was written while it was in use");
    }
    putchar('\n');
    REFUSED(POPOTO_CANNOT_CONNECT, popoto_switch(db, "unix:/nowhere/socket"));
    putchar('\n');
    holds(d, popoto_ping(db) == POPOTO_OK, "a switch that fails leaves the db where it was");
}

static void summary(demo *d) {
    static const char *const rows[][3] = {
        { "Approach", "Isolation level", "Sections" },
        { "KEY (recommended)", "Key prefix + index partitioning", "1, 2" },
        { "SORTED partition_by", "Per-tenant sorted set indexes", "3" },
        { "CONFIDENCE partition_by", "Per-tenant companion hashes", "5 to 9" },
        { "popoto_scope_enter", "Same as KEY, less boilerplate", "4" },
        { "popoto_switch", "Full connection isolation", "10" },
    };
    (void)d;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        printf("    %s%-26s %-34s %s%s\n", i == 0 ? bold : "", rows[i][0], rows[i][1], rows[i][2],
               plain);
}

struct section {
    const char *title;
    const char *claim;
    void (*play)(demo *d);
};

static const struct section specification[] = {
    { "The Pattern: Use a KeyField",
      "Declare the project as a KEY. Keys and indexes then keep projects apart by themselves.",
      the_pattern },
    { "What gets isolated",
      "Instance keys, sorted indexes (with partition_by) and key indexes are all per project.",
      what_gets_isolated },
    { "Combine with partition_by for sorted queries",
      "With partition_by, each project has a sorted index of its own.", partition_by },
    { "Passing the namespace through your application",
      "A scope says once which project a thread works for; every call in it is for that project.",
      scopes },
    { "Hash-based field partitioning (ConfidenceField)",
      "With partition_by, each project's confidence figures are in a companion hash of their own.",
      confidence },
    { "Partition key changes",
      "When a record changes its project, its entry moves to the new partition's hash.",
      partition_change },
    { "Migrating existing data",
      "Data from before partition_by is moved by a helper, which can first say what it would do.",
      migration },
    { "Verifying tenant isolation",
      "The keys of companion hashes can be asked for, by values or by instance, for audits and "
      "tests.",
      verifying },
    { "Filtered reads without partitioning",
      "One big hash can be read in part: a scan with a pattern, in bounded memory.",
      filtered_reads },
    { "When to use separate Redis databases instead",
      "For stronger isolation, a tenant gets a connection, and so a server, of its own.",
      separate_databases },
    { "Summary", "The ways of isolation, and the sections that showed them:", summary },
};

#include "demo_tenants.h"

#define COUNT(list)   (sizeof(list) / sizeof *(list))
#define MOST_SECTIONS COUNT(specification)

static void play(demo *d, size_t number, const struct section *it) {
    int used = printf("\n%s%zu  %s%s ", bold, number, it->title, plain) - 1 -
               (int)(strlen(bold) + strlen(plain));
    fputs(dim, stdout);
    for (; used < WIDTH; used++)
        putchar('-');
    printf("%s\n", plain);
    say(it->claim);
    putchar('\n');
    empty_database(d);
    it->play(d);
    fflush(stdout);
}

/* ----- Start and end -------------------------------------------------------------------------- */

static volatile sig_atomic_t stopped;

static void stop(int signal_number) {
    stopped = signal_number;
}

static bool open_stage(demo *d) {
    if (!temporary_make(&d->place, "demo")) {
        perror("demo: no temporary folder");
        return false;
    }
    d->db = popoto_open(d->place.url, NULL);
    if (popoto_ping(d->db) != POPOTO_OK || !look_again(d)) {
        fprintf(stderr, "demo: %s\n", popoto_error(d->db));
        return false;
    }
    return true;
}

static void close_stage(demo *d) {
    if (d->redis != NULL)
        fclose(d->redis);
    popoto_close(d->db);
    temporary_remove(&d->place);
}

/* What to play: a list of sections, and which of them. */
typedef struct programme {
    const struct section *sections;
    size_t count;
    bool chosen[MOST_SECTIONS];
} programme;

static void usage(FILE *out) {
    fprintf(out, "usage: demo [SECTION...]\n\n");
    for (size_t i = 0; i < COUNT(specification); i++)
        fprintf(out, "  %2zu  %s\n", i + 1, specification[i].title);
    fprintf(out, "\n       demo tenants [SECTION...]\n\n");
    for (size_t i = 0; i < COUNT(tenant_sections); i++)
        fprintf(out, "  %2zu  %s\n", i + 1, tenant_sections[i].title);
}

/* All sections, or those that the arguments number. */
static programme choose_sections(int count, char **arguments) {
    bool tenants = count > 1 && strcmp(arguments[1], "tenants") == 0;
    programme it = { specification, COUNT(specification), { false } };
    if (tenants)
        it = (programme){ tenant_sections, COUNT(tenant_sections), { false } };
    int first = tenants ? 2 : 1;
    for (size_t i = 0; i < it.count; i++)
        it.chosen[i] = count <= first;
    for (int i = first; i < count; i++) {
        char *end;
        unsigned long number = strtoul(arguments[i], &end, 10);
        if (*end != '\0' || number < 1 || number > it.count) {
            bool asked = strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0;
            usage(asked ? stdout : stderr);
            exit(asked ? 0 : 2);
        }
        it.chosen[number - 1] = true;
    }
    return it;
}

int main(int argument_count, char **arguments) {
    demo d = { .held = 0 };
    programme chosen = choose_sections(argument_count, arguments);
    choose_colours();
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    bool ready = open_stage(&d);
    if (ready)
        printf("\n%slibpopoto %s plays %s%s, on a private server in\n%s.\n", bold, popoto_version(),
               chosen.sections == specification ? "its specification" : "strict tenants", plain,
               d.place.folder);
    for (size_t i = 0; i < chosen.count && ready && !stopped; i++)
        if (chosen.chosen[i])
            play(&d, i + 1, &chosen.sections[i]);
    close_stage(&d);
    if (stopped)
        return 128 + stopped;
    if (!ready)
        return 1;
    printf("\n%s%s%d claims hold, %d do not.%s\n", bold, d.broken ? red : green, d.held, d.broken,
           plain);
    return d.broken ? 1 : 0;
}
