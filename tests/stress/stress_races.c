/* Races. Processes on the same records and the same unique values: creates, saves, moves by key and by
 * partition, confidence updates, deletes; afterwards every index holds exactly what the records say, and
 * each record that lived throughout has as much evidence as was acknowledged. Threads, each in its own
 * tenant's scope: none ever sees another's row. A migration while writers of the old and of the new model
 * go on: no update is lost, none counted twice. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 8
#define NAMES     48 /* unique values; the first of them belong to records that are never deleted */
#define IMMORTAL  16
#define PLACES    4
#define BULK      8

typedef struct note {
    popoto_object object;
    const char *tenant;
    const char *name;
    const char *room;
    double score;
    double rank;
    double trust;
    double doubt;
} note;

static const popoto_field note_fields[] = {
    POPOTO_KEY(note, tenant),
    POPOTO_UNIQUE_KEY(note, name),
    POPOTO_FIELD(note, room),
    POPOTO_SORTED(note, score, .partition_by = "tenant"),
    POPOTO_SORTED(note, rank, .partition_by = "room"),
    POPOTO_CONFIDENCE(note, trust, .partition_by = "tenant,room"),
    POPOTO_CONFIDENCE(note, doubt),
};
static const popoto_model Note = POPOTO_MODEL("Note", note, note_fields);

static const popoto_field old_fields[] = {
    POPOTO_KEY(note, tenant),
    POPOTO_UNIQUE_KEY(note, name),
    POPOTO_FIELD(note, room),
    POPOTO_SORTED(note, score, .partition_by = "tenant"),
    POPOTO_SORTED(note, rank, .partition_by = "room"),
    POPOTO_CONFIDENCE(note, trust),
    POPOTO_CONFIDENCE(note, doubt),
};
static const popoto_model OldNote = POPOTO_MODEL("Note", note, old_fields);

static const checked_model checked = {
    .name = "Note",
    .keys = { "tenant", "name" },
    .unique = "name",
    .sorted = { { "score", "tenant" }, { "rank", "room" } },
    .confidence = { { "trust", "tenant,room" }, { "doubt", NULL } },
};

static const char *const tenants[PLACES] = { "t0", "t1", "t2", "t3" };
static const char *const rooms[PLACES] = { "r0", "r1", "r2", "r3" };
static char names[NAMES][8];

typedef enum action {
    CREATE,
    SAVE_UNSEEN,
    SAVE,
    SAVE_PARTLY,
    SAVE_UNCHANGED,
    MOVE_PARTITION,
    MOVE_KEY,
    UPDATE,
    DELETE,
    SAVE_MANY,
    UPDATE_MANY,
    READ,
    ACTIONS,
} action;

static const char *const action_names[ACTIONS] = {
    "create",   "save unseen", "save",   "partial save", "save if unchanged", "partition move",
    "key move", "update",      "delete", "save_many",    "update_many",       "read",
};

/* What the processes have in common. */
typedef struct common {
    _Atomic long tried[ACTIONS], done[ACTIONS];
    _Atomic long trust[NAMES], doubt[NAMES]; /* acknowledged, of those that live throughout */
    _Atomic long faults;
    _Atomic bool ends;
} common;
static common *all;

static common *share(void) {
    common *it = mmap(NULL, sizeof *it, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (it == MAP_FAILED)
        stress_give_up("no memory");
    memset(it, 0, sizeof *it);
    return it;
}

static void wrong(const char *what, const char *detail) {
    if (atomic_fetch_add(&all->faults, 1) < 20)
        printf("  FAULT: %s: %s\n", what, detail);
}

/* ----- One process ---------------------------------------------------------------------------- */

static note random_note(dice *chance, unsigned first, unsigned count) {
    return (note){ .tenant = tenants[dice_below(chance, PLACES)],
                   .name = names[first + dice_below(chance, count)],
                   .room = rooms[dice_below(chance, PLACES)],
                   .score = dice_below(chance, 1000),
                   .rank = dice_below(chance, 1000),
                   .trust = 0.5,
                   .doubt = 0.5 };
}

static bool is_immortal(const char *name) {
    return strtoul(name + 1, NULL, 10) < IMMORTAL;
}

/* The record with this name, wherever it is; NULL: there is none. */
static note *find(popoto_db *db, const char *name, popoto_rows **rows) {
    popoto_status status = popoto_query(
        db, &(popoto_query_desc){ .model = &Note, .where = { POPOTO_IS("name", name) } }, rows);
    if (status != POPOTO_OK)
        wrong("query", popoto_error(db));
    if (popoto_rows_count(*rows) > 1) {
        /* It moved between the set's reading and the records': never both at one moment. */
        return popoto_rows_at(*rows, 0);
    }
    return popoto_rows_at(*rows, 0);
}

static void count_update(const note *it, popoto_status status, bool trust) {
    if (status == POPOTO_OK && is_immortal(it->name))
        atomic_fetch_add((trust ? all->trust : all->doubt) + strtoul(it->name + 1, NULL, 10), 1);
}

static popoto_status read_rows(popoto_db *db, dice *chance) {
    popoto_rows *rows;
    const char *room = rooms[dice_below(chance, PLACES)];
    popoto_status status = popoto_query(
        db,
        &(popoto_query_desc){ .model = &Note,
                              .where = { POPOTO_IS("room", room), POPOTO_IS("rank__gte", 500) },
                              .order_by = "-rank" },
        &rows);
    for (size_t i = 0; i < popoto_rows_count(rows); i++) {
        const note *one = popoto_rows_at(rows, i);
        if (strcmp(one->room, room) != 0 || one->rank < 500)
            wrong("query", "a row that was not asked for");
    }
    popoto_rows_free(rows);
    return status;
}

static popoto_status save_many(popoto_db *db, dice *chance) {
    note some[BULK];
    void *objects[BULK];
    popoto_status statuses[BULK];
    for (size_t i = 0; i < BULK; i++) {
        some[i] = random_note(chance, IMMORTAL, NAMES - IMMORTAL);
        objects[i] = &some[i];
    }
    popoto_status status = popoto_save_many(db, &Note, objects, BULK, statuses);
    for (size_t i = 0; i < BULK; i++)
        if (statuses[i] != POPOTO_OK && statuses[i] != POPOTO_DUPLICATE)
            wrong("save_many", popoto_status_name(statuses[i]));
    return status;
}

static popoto_status update_many(popoto_db *db, dice *chance) {
    note some[BULK];
    popoto_signal signals[BULK];
    for (size_t i = 0; i < BULK; i++) {
        some[i] = random_note(chance, 0, NAMES);
        signals[i] = (popoto_signal){ .object = &some[i], .signal = dice_part(chance) };
    }
    popoto_status status = popoto_confidence_update_many(db, &Note, "doubt", signals, BULK);
    for (size_t i = 0; i < BULK; i++) {
        count_update(&some[i], signals[i].status, false);
        if (signals[i].status != POPOTO_OK && signals[i].status != POPOTO_NOT_FOUND)
            wrong("update_many", popoto_status_name(signals[i].status));
    }
    return status;
}

/* What needs a record that is there. */
static popoto_status change(popoto_db *db, dice *chance, action what) {
    popoto_rows *rows = NULL;
    popoto_status status = POPOTO_NOT_FOUND;
    unsigned which = dice_below(chance, NAMES);
    note *it =
        find(db, names[what == DELETE ? IMMORTAL + which % (NAMES - IMMORTAL) : which], &rows);
    note other = random_note(chance, IMMORTAL, NAMES - IMMORTAL);
    if (it != NULL) {
        switch (what) {
        case SAVE:
            it->score = other.score;
            status = popoto_save(db, &Note, it);
            break;
        case SAVE_PARTLY:
            it->room = other.room;
            it->rank = other.rank;
            status = popoto_save_with(
                db, &Note, it, &(popoto_save_desc){ .only = which % 2 ? "room" : "rank,room" });
            break;
        case SAVE_UNCHANGED:
            it->room = other.room;
            status = popoto_save_with(db, &Note, it, &(popoto_save_desc){ .if_unchanged = true });
            break;
        case MOVE_PARTITION:
            it->room = other.room;
            status = popoto_save(db, &Note, it);
            break;
        case MOVE_KEY:
            it->tenant = other.tenant;
            if (!is_immortal(it->name) && which % 2)
                it->name = other.name;
            it->room = other.room;
            status = popoto_save(db, &Note, it);
            break;
        case UPDATE:
            status = popoto_confidence_update(db, &Note, it, "trust", dice_part(chance), NULL);
            count_update(it, status, true);
            break;
        default: status = popoto_delete(db, &Note, it); break;
        }
    }
    popoto_rows_free(rows);
    return status;
}

static popoto_status act(popoto_db *db, dice *chance, action what) {
    note it = random_note(chance, 0, NAMES);
    popoto_status status;
    switch (what) {
    case CREATE:
        status = popoto_create(db, &Note, &it);
        if (status == POPOTO_OK && is_immortal(it.name))
            wrong("create", "a unique value was given away twice");
        return status;
    case SAVE_UNSEEN:
        it.name = names[IMMORTAL + dice_below(chance, NAMES - IMMORTAL)];
        return popoto_save(db, &Note, &it);
    case SAVE_MANY: return save_many(db, chance);
    case UPDATE_MANY: return update_many(db, chance);
    case READ: return read_rows(db, chance);
    default: return change(db, chance, what);
    }
}

static bool is_expected(popoto_status status, action what) {
    switch (status) {
    case POPOTO_OK: return true;
    case POPOTO_NOT_FOUND:
        return what != CREATE && what != SAVE_UNSEEN && what != SAVE_MANY && what != READ;
    case POPOTO_EXISTS: return what == CREATE || what == MOVE_KEY;
    case POPOTO_DUPLICATE:
        return what == CREATE || what == MOVE_KEY || what == SAVE_UNSEEN || what == SAVE_MANY;
    case POPOTO_CHANGED: return what == SAVE_UNCHANGED;
    default: return false;
    }
}

static void run_process(const char *url, uint64_t number, long operations) {
    popoto_db *db = popoto_open(url, &(popoto_options){ .command_timeout = 60000 });
    dice chance = dice_of(stress_seed(), number);
    for (long i = 0; i < operations; i++) {
        action what = (action)dice_below(&chance, ACTIONS);
        popoto_status status = act(db, &chance, what);
        atomic_fetch_add(&all->tried[what], what == SAVE_MANY || what == UPDATE_MANY ? BULK : 1);
        atomic_fetch_add(&all->done[what], status == POPOTO_OK);
        if (!is_expected(status, what))
            wrong(action_names[what], status == POPOTO_OK ? "" : popoto_error(db));
    }
    popoto_close(db);
}

static pid_t start(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        stress_give_up("cannot fork");
    return child;
}

static void wait_for(const pid_t *children, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int status;
        if (waitpid(children[i], &status, 0) != children[i] || status != 0)
            wrong("a process", "it died");
    }
}

static void create_immortals(const char *url, const popoto_model *model) {
    popoto_db *db = popoto_open(url, NULL);
    for (unsigned i = 0; i < IMMORTAL; i++) {
        note it = { .tenant = tenants[i % PLACES],
                    .name = names[i],
                    .room = rooms[i % PLACES],
                    .score = i,
                    .rank = i,
                    .trust = 0.5,
                    .doubt = 0.5 };
        if (popoto_create(db, model, &it) != POPOTO_OK)
            stress_give_up(popoto_error(db));
    }
    popoto_close(db);
}

typedef struct tally {
    int64_t evidence[NAMES];
    size_t entries[NAMES];
} tally;

static void take_evidence(void *context, const char *value, int64_t evidence) {
    tally *it = context;
    size_t index = strtoul(value + 1, NULL, 10) % NAMES;
    it->evidence[index] += evidence;
    it->entries[index]++;
}

static long check_acknowledged(redisContext *raw, const char *field, _Atomic long *acknowledged) {
    tally found = { 0 };
    long sum = 0;
    check_evidence(raw, &checked, field, "name", take_evidence, &found);
    for (size_t i = 0; i < IMMORTAL; i++) {
        sum += acknowledged[i];
        stress_check(found.entries[i] == 1 && found.evidence[i] == acknowledged[i],
                     "%s of %s: %lld pieces of evidence in %zu entries, %ld were acknowledged",
                     field, names[i], (long long)found.evidence[i], found.entries[i],
                     (long)acknowledged[i]);
    }
    return sum;
}

static void race_processes(server *s, redisContext *raw) {
    pid_t children[PROCESSES];
    long operations = stress_amount(20000, 500), tried = 0;
    size_t records = 0;
    char text[600] = "";
    server_flush(s);
    all = share();
    create_immortals(server_url(s), &Note);
    double begun = stress_seconds();
    for (size_t i = 0; i < PROCESSES; i++) {
        children[i] = start();
        if (children[i] == 0) {
            run_process(server_url(s), i, operations);
            fflush(stdout);
            _exit(0);
        }
    }
    wait_for(children, PROCESSES);
    double took = stress_seconds() - begun;
    for (size_t i = 0; i < ACTIONS; i++) {
        size_t used = strlen(text);
        tried += all->tried[i];
        snprintf(text + used, sizeof text - used, "%s%ld %s", i ? ", " : "", (long)all->tried[i],
                 action_names[i]);
    }
    stress_say("%d processes: %ld operations in %.1f s: %s", PROCESSES, tried, took, text);
    stress_check(all->faults == 0, "%ld calls with a wrong outcome", (long)all->faults);
    size_t faults = check_indexes(raw, &checked, 1, &records);
    stress_check(faults == 0, "%zu faults in the indexes", faults);
    long sum =
        check_acknowledged(raw, "trust", all->trust) + check_acknowledged(raw, "doubt", all->doubt);
    stress_say(
        "%zu records left, %zu faults in their indexes, %ld updates acknowledged to %d records",
        records, faults, sum, IMMORTAL);
    munmap(all, sizeof *all);
}

/* ----- Threads -------------------------------------------------------------------------------- */

typedef struct episode {
    popoto_object object;
    const char *tenant;
    popoto_id id;
    const char *owner; /* the tenant again, where no scope fills it in */
    double score;
    double trust;
} episode;

static const popoto_field episode_fields[] = {
    POPOTO_KEY(episode, tenant),
    POPOTO_AUTO_KEY(episode, id),
    POPOTO_FIELD(episode, owner),
    POPOTO_SORTED(episode, score, .partition_by = "tenant"),
    POPOTO_CONFIDENCE(episode, trust, .partition_by = "tenant"),
};
static const popoto_model Episode = POPOTO_MODEL("Episode", episode, episode_fields);

#define THREADS 8
typedef struct tenant_thread {
    pthread_t thread;
    const char *url;
    uint64_t number;
    long operations;
    size_t rows, foreign, failed, expected;
} tenant_thread;

static void look_around(tenant_thread *it, popoto_db *db, const char *own, dice *chance) {
    static const char *const orders[] = { NULL, "score", "-score" };
    popoto_rows *rows;
    size_t count = 0;
    unsigned order = dice_below(chance, 3);
    it->failed +=
        popoto_query(
            db, &(popoto_query_desc){ .model = &Episode, .order_by = orders[order], .limit = 20 },
            &rows) != POPOTO_OK;
    for (size_t i = 0; i < popoto_rows_count(rows); i++) {
        const episode *one = popoto_rows_at(rows, i);
        it->rows++;
        it->foreign += strcmp(one->owner, own) != 0 || strcmp(one->tenant, own) != 0;
    }
    popoto_rows_free(rows);
    it->failed += popoto_count(db, &(popoto_query_desc){ .model = &Episode }, &count) != POPOTO_OK;
    it->foreign += count != it->expected;
}

static void *run_tenant(void *context) {
    tenant_thread *it = context;
    char own[16];
    dice chance = dice_of(stress_seed(), 100 + it->number);
    popoto_db *db = popoto_open(it->url, &(popoto_options){ .command_timeout = 60000 });
    snprintf(own, sizeof own, "tenant%u", (unsigned)it->number);
    it->failed += popoto_scope_enter(db, "tenant", own) != POPOTO_OK;
    for (long i = 0; i < it->operations; i++) {
        episode one = { .owner = own, .score = dice_below(&chance, 100), .trust = 0.5 };
        if (popoto_create(db, &Episode, &one) != POPOTO_OK) {
            it->failed++;
            continue;
        }
        it->expected++;
        one.score = 1;
        it->failed += popoto_save(db, &Episode, &one) != POPOTO_OK;
        it->failed += popoto_confidence_update(db, &Episode, &one, "trust", 1, NULL) != POPOTO_OK;
        look_around(it, db, own, &chance);
        if (dice_below(&chance, 2)) {
            it->failed += popoto_delete(db, &Episode, &one) != POPOTO_OK;
            it->expected--;
        }
    }
    popoto_close(db);
    return NULL;
}

static void race_threads(server *s) {
    tenant_thread threads[THREADS] = { 0 };
    size_t rows = 0;
    long operations = stress_amount(1000, 60);
    server_flush(s);
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = (tenant_thread){ .url = server_url(s), .number = i, .operations = operations };
        if (pthread_create(&threads[i].thread, NULL, run_tenant, &threads[i]) != 0)
            stress_give_up("cannot start a thread");
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        rows += threads[i].rows;
        stress_check(threads[i].foreign == 0, "thread %zu saw %zu rows of others", i,
                     threads[i].foreign);
        stress_check(threads[i].failed == 0, "thread %zu: %zu calls failed", i, threads[i].failed);
    }
    stress_say("%d threads in their scopes: %ld rounds of writes and queries, %zu rows, none of "
               "another tenant's",
               THREADS, THREADS * operations, rows);
}

/* ----- The migration -------------------------------------------------------------------------- */

static void update_on(const char *url, uint64_t number, const popoto_model *model) {
    popoto_db *db = popoto_open(url, &(popoto_options){ .command_timeout = 60000 });
    dice chance = dice_of(stress_seed(), 200 + number);
    while (!all->ends) {
        unsigned which = dice_below(&chance, IMMORTAL);
        note it = { .tenant = tenants[which % PLACES],
                    .name = names[which],
                    .room = rooms[dice_below(&chance, PLACES)] };
        popoto_status status =
            popoto_confidence_update(db, model, &it, "trust", dice_part(&chance), NULL);
        count_update(&it, status, true);
        atomic_fetch_add(&all->tried[UPDATE], 1);
        if (status != POPOTO_OK)
            wrong("update", popoto_error(db));
    }
    popoto_close(db);
}

static void move_on(const char *url) {
    popoto_db *db = popoto_open(url, &(popoto_options){ .command_timeout = 60000 });
    dice chance = dice_of(stress_seed(), 300);
    while (!all->ends) {
        unsigned which = dice_below(&chance, IMMORTAL);
        note it = { .tenant = tenants[which % PLACES],
                    .name = names[which],
                    .room = rooms[dice_below(&chance, PLACES)],
                    .score = which,
                    .rank = which,
                    .trust = 0.5,
                    .doubt = 0.5 };
        if (popoto_save(db, &Note, &it) != POPOTO_OK)
            wrong("save", popoto_error(db));
        atomic_fetch_add(&all->tried[MOVE_PARTITION], 1);
    }
    popoto_close(db);
}

static bool migrate(const char *url) {
    popoto_db *db = popoto_open(url, &(popoto_options){ .command_timeout = 60000 });
    popoto_migration_report *report = NULL;
    popoto_status status = popoto_confidence_migrate(db, &Note, "trust", NULL, &report);
    bool fine = status == POPOTO_OK && report->error_count == 0;
    if (!fine)
        printf("  migration: %s, %zu errors, the first: %s\n", popoto_error(db),
               report == NULL ? 0 : report->error_count,
               report == NULL || report->error_count == 0 ? "-" : report->errors[0].reason);
    popoto_migration_report_free(report);
    popoto_close(db);
    return fine;
}

static void race_migration(server *s, redisContext *raw) {
    pid_t children[5];
    const char *url = server_url(s);
    dice chance = dice_of(stress_seed(), 400);
    size_t migrations = 0, killed = 0;
    server_flush(s);
    all = share();
    create_immortals(url, &OldNote);
    for (size_t i = 0; i < 5; i++) {
        children[i] = start();
        if (children[i] != 0)
            continue;
        if (i < 4)
            update_on(url, i, i < 2 ? &OldNote : &Note);
        else
            move_on(url);
        fflush(stdout);
        _exit(0);
    }
    double until = stress_seconds() + (double)stress_amount(15, 1);
    while (stress_seconds() < until) {
        pid_t child = start();
        if (child == 0) {
            bool fine = migrate(url);
            fflush(stdout);
            _exit(!fine);
        }
        /* Some are interrupted at any moment. */
        bool kills = dice_below(&chance, 3) == 0;
        int status;
        if (kills) {
            stress_sleep(dice_part(&chance) * 0.03);
            kill(child, SIGKILL);
        }
        waitpid(child, &status, 0);
        if (!kills)
            stress_check(status == 0, "a migration failed while others wrote");
        migrations++;
        killed += kills;
    }
    all->ends = true;
    wait_for(children, 5);
    stress_check(migrate(url), "the last migration failed");
    stress_check(all->faults == 0, "%ld calls with a wrong outcome", (long)all->faults);
    long sum = check_acknowledged(raw, "trust", all->trust);
    stress_check(check_indexes(raw, &checked, 1, NULL) == 0,
                 "faults in the indexes after the migration");
    stress_say("%zu migrations, %zu of them killed, during %ld updates by the old and the new "
               "model and %ld moves: "
               "%ld acknowledged, all there once",
               migrations, killed, (long)all->tried[UPDATE], (long)all->tried[MOVE_PARTITION], sum);
    munmap(all, sizeof *all);
}

int main(int argc, char **argv) {
    stress_begin(argc, argv, "races");
    for (unsigned i = 0; i < NAMES; i++)
        snprintf(names[i], sizeof names[i], "n%u", i);
    server *s = server_start(NULL);
    redisContext *raw = raw_connect(server_socket(s));
    race_processes(s, raw);
    race_threads(s);
    race_migration(s, raw);
    redisFree(raw);
    server_stop(s);
    return stress_end();
}
