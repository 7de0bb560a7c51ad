/* Deaths. A client is killed at random moments; a server that writes its log always is killed and started
 * again; of an embedded server the owner, the server or both are killed. Nothing acknowledged is missing,
 * nothing half-written is visible, and the next start works. */
#include "support.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct note {
    popoto_object object;
    const char *tenant;
    const char *name;
    const char *room;
    int64_t version;
    double score;
    double trust;
} note;

static const popoto_field note_fields[] = {
    POPOTO_KEY(note, tenant),
    POPOTO_UNIQUE_KEY(note, name),
    POPOTO_FIELD(note, room),
    POPOTO_FIELD(note, version),
    POPOTO_SORTED(note, score, .partition_by = "room"),
    POPOTO_CONFIDENCE(note, trust, .partition_by = "tenant"),
};
static const popoto_model Note = POPOTO_MODEL("Note", note, note_fields);

typedef struct memo {
    popoto_object object;
    const char *tenant;
    popoto_id id;
    double score;
} memo;

static const popoto_field memo_fields[] = {
    POPOTO_KEY(memo, tenant),
    POPOTO_AUTO_KEY(memo, id),
    POPOTO_SORTED(memo, score, .partition_by = "tenant"),
};
static const popoto_model Memo = POPOTO_MODEL("Memo", memo, memo_fields);

static const checked_model checked[] = {
    { .name = "Note",
      .keys = { "tenant", "name" },
      .unique = "name",
      .sorted = { { "score", "room" } },
      .confidence = { { "trust", "tenant" } } },
    { .name = "Memo",
      .keys = { "tenant", "id" },
      .automatic = "id",
      .sorted = { { "score", "tenant" } } },
};

#define NOTES 12

/* What the writer was told, kept outside of it. version 0: deleted, or never there. */
typedef struct ledger {
    _Atomic long acknowledged[NOTES]; /* the version last acknowledged */
    _Atomic long attempted[NOTES];    /* and the one under way, or the same */
    _Atomic long evidence[NOTES], evidence_attempted[NOTES];
    _Atomic long memos, memos_attempted;
    _Atomic long calls, refused;
    _Atomic long faults;
    _Atomic bool ends;
} ledger;
static ledger *book;

static void open_book(void) {
    book = mmap(NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (book == MAP_FAILED)
        stress_give_up("no memory");
    memset(book, 0, sizeof *book);
}

static char names[NOTES][8];
static const char *const rooms[] = { "r0", "r1", "r2" };

static void settle(popoto_db *db, popoto_status status, _Atomic long *acknowledged,
                   _Atomic long *attempted) {
    atomic_fetch_add(&book->calls, 1);
    if (status == POPOTO_OK) {
        *acknowledged = *attempted;
        return;
    }
    atomic_fetch_add(&book->refused, 1);
    if (status != POPOTO_UNKNOWN_OUTCOME)
        (*attempted)--; /* nothing was changed, it says */
    bool expected = status == POPOTO_UNKNOWN_OUTCOME || status == POPOTO_CANNOT_CONNECT ||
                    status == POPOTO_DISCONNECTED || status == POPOTO_UNAVAILABLE ||
                    status == POPOTO_TIMED_OUT;
    if (!expected && atomic_fetch_add(&book->faults, 1) < 10)
        printf("  FAULT: %s: %s\n", popoto_status_name(status), popoto_error(db));
}

/* Of each note, only this writer changes it; after an unknown outcome its version may be either, until
 * the next acknowledged save. */
static void write_one(popoto_db *db, dice *chance) {
    unsigned which = dice_below(chance, NOTES), what = dice_below(chance, 8);
    note it = { .tenant = "t0",
                .name = names[which],
                .room = rooms[dice_below(chance, 3)],
                .score = dice_below(chance, 100),
                .trust = 0.5 };
    if (what == 0) {
        memo one = { .tenant = "t0", .score = 1 };
        book->memos_attempted++;
        popoto_status status = popoto_create(db, &Memo, &one);
        if (status != POPOTO_OK && status != POPOTO_UNKNOWN_OUTCOME)
            book->memos_attempted--;
        else if (status == POPOTO_OK)
            book->memos++;
        atomic_fetch_add(&book->calls, 1);
    } else if (what < 3) {
        book->evidence_attempted[which]++;
        popoto_status status = popoto_confidence_update(db, &Note, &it, "trust", 1, NULL);
        if (status == POPOTO_OK)
            book->evidence[which]++;
        else if (status != POPOTO_UNKNOWN_OUTCOME)
            book->evidence_attempted[which]--;
        atomic_fetch_add(&book->calls, 1);
    } else {
        it.version = ++book->attempted[which];
        settle(db, popoto_save(db, &Note, &it), &book->acknowledged[which],
               &book->attempted[which]);
    }
}

static pid_t start_writer(const char *url, uint64_t number) {
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        stress_give_up("cannot fork");
    if (child != 0)
        return child;
    popoto_db *db =
        popoto_open(url, &(popoto_options){ .command_timeout = 20000, .connect_timeout = 20000 });
    dice chance = dice_of(stress_seed(), number);
    while (!book->ends) {
        long refused = book->refused;
        write_one(db, &chance);
        if (book->refused != refused)
            stress_sleep(0.002);
    }
    popoto_close(db);
    fflush(stdout);
    _exit(0);
}

typedef struct tally {
    long evidence[NOTES];
} tally;

static void take_evidence(void *context, const char *value, int64_t evidence) {
    ((tally *)context)->evidence[strtoul(value + 1, NULL, 10) % NOTES] += (long)evidence;
}

/* What is there now must be what was acknowledged, or what was under way; it is then the new truth. */
static void compare(redisContext *raw, const char *when, long number) {
    tally found = { 0 };
    stress_check(check_indexes(raw, checked, 2, NULL) == 0, "%s %ld: something is half-written",
                 when, number);
    check_evidence(raw, &checked[0], "trust", "name", take_evidence, &found);
    for (size_t i = 0; i < NOTES; i++) {
        char key[64], value[64] = "0";
        snprintf(key, sizeof key, "Note:t0:%s", names[i]);
        raw_field(raw, key, "version", value, sizeof value);
        long version = strtol(value, NULL, 10);
        stress_check(version >= book->acknowledged[i] && version <= book->attempted[i],
                     "%s %ld: %s has version %ld, %ld was acknowledged, %ld was the last", when,
                     number, names[i], version, (long)book->acknowledged[i],
                     (long)book->attempted[i]);
        book->acknowledged[i] = book->attempted[i] = version;
        stress_check(found.evidence[i] >= book->evidence[i] &&
                         found.evidence[i] <= book->evidence_attempted[i],
                     "%s %ld: %s has evidence %ld, %ld was acknowledged", when, number, names[i],
                     found.evidence[i], (long)book->evidence[i]);
        book->evidence[i] = book->evidence_attempted[i] = found.evidence[i];
    }
    redisReply *reply = raw_ask(raw, "SCARD $Class:Memo");
    stress_check(reply->integer >= book->memos && reply->integer <= book->memos_attempted,
                 "%s %ld: %lld memos, %ld were acknowledged", when, number, reply->integer,
                 (long)book->memos);
    freeReplyObject(reply);
    /* There would be more and more to check. */
    raw_do(raw, "EVAL %s 0",
           "for _, key in ipairs(redis.call('KEYS', '*Memo*')) do redis.call('DEL', key) end");
    book->memos = book->memos_attempted = 0;
}

static void prepare_notes(const char *url) {
    popoto_db *db = popoto_open(url, NULL);
    for (unsigned i = 0; i < NOTES; i++) {
        note it = { .tenant = "t0", .name = names[i], .room = "r0", .version = 0, .trust = 0.5 };
        if (popoto_create(db, &Note, &it) != POPOTO_OK)
            stress_give_up(popoto_error(db));
    }
    popoto_close(db);
}

/* ----- Clients -------------------------------------------------------------------------------- */

static void kill_clients(void) {
    server *s = server_start(NULL);
    redisContext *raw = raw_connect(server_socket(s));
    dice chance = dice_of(stress_seed(), 1000);
    long times = stress_amount(500, 25);
    open_book();
    prepare_notes(server_url(s));
    for (long i = 0; i < times; i++) {
        pid_t child = start_writer(server_url(s), (uint64_t)i);
        stress_sleep(dice_part(&chance) * 0.02);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        /* The server reads what the dead one sent, and then the end of it. */
        for (int tries = 0; tries < 1000; tries++) {
            redisReply *clients = raw_ask(raw, "CLIENT LIST TYPE normal");
            size_t lines = 0;
            for (const char *at = clients->str; *at != '\0'; at++)
                lines += *at == '\n';
            freeReplyObject(clients);
            if (lines <= 2) /* ours, and the harness's */
                break;
            stress_sleep(0.001);
        }
        compare(raw, "client", i);
    }
    stress_check(book->faults == 0, "%ld calls with a wrong status", (long)book->faults);
    stress_say("%ld clients killed, %ld calls acknowledged or not", times, (long)book->calls);
    redisFree(raw);
    server_stop(s);
    munmap(book, sizeof *book);
}

/* ----- Folders -------------------------------------------------------------------------------- */

static void remove_folder(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char inside[512];
        struct stat about;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        if (lstat(inside, &about) == 0 && S_ISDIR(about.st_mode))
            remove_folder(inside);
        else
            unlink(inside);
    }
    if (folder != NULL)
        closedir(folder);
    rmdir(path);
}

/* ----- Servers -------------------------------------------------------------------------------- */

static void kill_servers(void) {
    static const char *const arguments[] = { "--appendonly", "yes", "--appendfsync", "always",
                                             NULL };
    server *s = server_start(&(server_options){ .arguments = arguments });
    dice chance = dice_of(stress_seed(), 2000);
    long times = stress_amount(100, 5);
    open_book();
    prepare_notes(server_url(s));
    for (long i = 0; i < times; i++) {
        book->ends = false;
        pid_t child = start_writer(server_url(s), 5000 + (uint64_t)i);
        stress_sleep(0.01 + dice_part(&chance) * 0.05);
        server_kill(s);
        book->ends = true;
        waitpid(child, NULL, 0);
        server_restart(s);
        redisContext *raw = raw_connect(server_socket(s));
        compare(raw, "server", i);
        redisFree(raw);
    }
    stress_check(book->faults == 0, "%ld calls with a wrong status", (long)book->faults);
    stress_say("%ld times a server was killed and started again, %ld calls, %ld refused or unknown",
               times, (long)book->calls, (long)book->refused);
    char folder[128];
    snprintf(folder, sizeof folder, "%s", server_folder(s));
    server_stop(s);
    remove_folder(folder);
    munmap(book, sizeof *book);
}

/* ----- Embedded servers ----------------------------------------------------------------------- */

static pid_t embedded_process(const char *folder) {
    char path[256], text[32] = "";
    snprintf(path, sizeof path, "%s/server", folder);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (fgets(text, sizeof text, file) == NULL)
        text[0] = '\0';
    fclose(file);
    return (pid_t)strtol(text, NULL, 10);
}

static void kill_embedded(void) {
    char folder[64] = "/tmp/popoto-kills-XXXXXX", url[128], socket[128];
    static const char *const victims[] = { "owner", "server", "both" };
    dice chance = dice_of(stress_seed(), 3000);
    long times = stress_amount(30, 3);
    if (mkdtemp(folder) == NULL)
        stress_give_up("cannot create a folder in /tmp");
    snprintf(url, sizeof url, "embedded:%s", folder);
    snprintf(socket, sizeof socket, "%s/socket", folder);
    open_book();
    prepare_notes(url);
    for (long i = 0; i < times; i++) {
        book->ends = false;
        long calls = book->calls;
        pid_t child = start_writer(url, 9000 + (uint64_t)i);
        while (book->calls < calls + 5)
            stress_sleep(0.001);
        stress_sleep(dice_part(&chance) * 0.03);
        pid_t process = embedded_process(folder);
        if (i % 3 != 1)
            kill(child, SIGKILL);
        if (i % 3 != 0 && process > 1)
            kill(process, SIGKILL);
        if (i % 3 == 1) { /* the same db goes on */
            calls = book->calls;
            double until = stress_seconds() + 10;
            while (book->calls < calls + 20 && stress_seconds() < until)
                stress_sleep(0.001);
            stress_check(book->calls >= calls + 20, "embedded %ld: the db does not go on", i);
            book->ends = true;
        }
        waitpid(child, NULL, 0);
        popoto_db *db = popoto_open(url, &(popoto_options){ .connect_timeout = 20000 });
        if (stress_check(popoto_ping(db) == POPOTO_OK, "embedded %ld, after killing %s: %s", i,
                         victims[i % 3], popoto_error(db))) {
            redisContext *raw = raw_connect(socket);
            compare(raw, victims[i % 3], i);
            redisFree(raw);
        }
        popoto_close(db);
    }
    stress_check(book->faults == 0, "%ld calls with a wrong status", (long)book->faults);
    stress_say("%ld times an embedded server, its owner or both were killed; %ld calls", times,
               (long)book->calls);
    remove_folder(folder);
    munmap(book, sizeof *book);
}

int main(int argc, char **argv) {
    stress_begin(argc, argv, "kills");
    for (unsigned i = 0; i < NOTES; i++)
        snprintf(names[i], sizeof names[i], "n%u", i);
    kill_clients();
    kill_servers();
    kill_embedded();
    return stress_end();
}
