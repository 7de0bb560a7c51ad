/* A Redis Cluster under processes that write all the while: slots move, a primary dies, and afterwards
 * every record that was acknowledged is there and every index is right; and what a cluster's primaries have
 * to do for the work of one server. */
#include "cluster_nodes.h"
#include "cluster_parcels.h"
#include "server.h"

#include <popoto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* ----- Writers ---------------------------------------------------------------------------------- */

#define WRITERS 4
#define MOST    15000 /* records of a writer; all have numbers of their own, below 65536 */

typedef enum outcome {
    NEVER,
    STORED,
    DELETED,
    UNKNOWN, /* stored or deleted or neither */
} outcome;

typedef struct deed {
    unsigned char outcome;
    unsigned char tenant;
    unsigned char is_delete; /* of an UNKNOWN */
    double at;               /* when it was acknowledged */
} deed;

/* Shared with the writers. */
typedef struct ledger {
    volatile bool stop;
    deed deeds[WRITERS][MOST];
    size_t counts[WRITERS];
    size_t statuses[WRITERS][POPOTO_NO_MEMORY + 1];
    double longest[WRITERS];
    double last[WRITERS]; /* success */
    char sentence[WRITERS][300];
} ledger;

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void note(ledger *it, size_t writer, popoto_db *db, popoto_status status) {
    it->statuses[writer][status]++;
    if (status == POPOTO_OK)
        it->last[writer] = seconds();
    else if (status != POPOTO_NOT_FOUND && status != POPOTO_CHANGED)
        snprintf(it->sentence[writer], sizeof(it->sentence[writer]), "%s", popoto_error(db));
}

static void note_deed(deed *it, popoto_status status, outcome wanted) {
    it->at = seconds();
    if (status == POPOTO_OK) {
        it->outcome = (unsigned char)wanted;
    } else if (status == POPOTO_UNKNOWN_OUTCOME) {
        it->outcome = UNKNOWN;
    }
}

/* Some new ones at once, over several tenants. */
static void create_some(ledger *it, size_t writer, popoto_db *db) {
    enum {
        SOME = 8
    };
    static parcel parcels[SOME];
    static char names[SOME][2][16];
    void *objects[SOME];
    popoto_status statuses[SOME];
    size_t first = it->counts[writer];
    for (size_t i = 0; i < SOME; i++) {
        size_t number = first + i, tenant = (size_t)rand() % TENANTS;
        make_parcel(&parcels[i], names[i], tenant, (int64_t)(100 + writer * MOST + number));
        objects[i] = &parcels[i];
        it->deeds[writer][number].tenant = (unsigned char)tenant;
        parcels[i].weight %= 60000;
    }
    popoto_create_many(db, &Parcel, objects, SOME, statuses);
    for (size_t i = 0; i < SOME; i++) {
        note(it, writer, db, statuses[i]);
        note_deed(&it->deeds[writer][first + i], statuses[i], STORED);
    }
    it->counts[writer] += SOME;
}

static void delete_one(ledger *it, size_t writer, popoto_db *db) {
    if (it->counts[writer] == 0)
        return;
    size_t number = (size_t)rand() % it->counts[writer];
    deed *about = &it->deeds[writer][number];
    if (about->outcome != STORED)
        return;
    char names[2][16];
    parcel one;
    make_parcel(&one, names, about->tenant, (int64_t)(100 + writer * MOST + number));
    popoto_status status = popoto_delete(db, &Parcel, &one);
    note(it, writer, db, status);
    note_deed(about, status, DELETED);
    about->is_delete = true;
}

/* A record that all writers change at once. */
static void change_one(ledger *it, size_t writer, popoto_db *db) {
    char names[2][16];
    parcel one;
    make_parcel(&one, names, (size_t)rand() % TENANTS, rand() % 3);
    one.place = rand() % 2 ? "home" : "work";
    one.weight = rand() % 1000;
    note(it, writer, db, popoto_save(db, &Parcel, &one));
}

static void write_letter(ledger *it, size_t writer, popoto_db *db) {
    char name[16];
    letter one = { .owner = tenant_name((size_t)rand() % TENANTS, name), .sent = rand() % 1000 };
    note(it, writer, db, popoto_create(db, &Letter, &one));
}

static void write_on(const node_group *nodes, ledger *it, size_t writer) {
    popoto_options options = { .connect_timeout = 10000, .command_timeout = 10000 };
    popoto_db *db = popoto_open(nodes_url(nodes), &options);
    srand((unsigned)writer + 1);
    while (!it->stop && it->counts[writer] + 10 < MOST) {
        double begun = seconds();
        switch (rand() % 6) {
        case 0: create_some(it, writer, db); break;
        case 1: delete_one(it, writer, db); break;
        case 2: write_letter(it, writer, db); break;
        default: change_one(it, writer, db); break;
        }
        if (seconds() - begun > it->longest[writer])
            it->longest[writer] = seconds() - begun;
    }
    popoto_close(db);
}

static ledger *start_writers(const node_group *nodes, pid_t *writers) {
    ledger *it = mmap(NULL, sizeof(*it), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(it != MAP_FAILED);
    fflush(NULL);
    pid_t parent = getpid();
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        assert_true(writers[i] >= 0);
        if (writers[i] == 0) {
#ifdef __linux__
            prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
            if (getppid() == parent)
                write_on(nodes, it, i);
            _exit(0);
        }
    }
    return it;
}

static void stop_writers(ledger *it, const pid_t *writers) {
    it->stop = true;
    for (size_t i = 0; i < WRITERS; i++)
        assert_child_ends(writers[i]);
}

/* Every status of every writer, summed up; the last sentence where one failed. */
static size_t sum_of(const ledger *it, popoto_status status) {
    size_t sum = 0;
    for (size_t i = 0; i < WRITERS; i++)
        sum += it->statuses[i][status];
    return sum;
}

static size_t print_statuses(const ledger *it, const char *what) {
    size_t failures = 0;
    printf("           %s:", what);
    for (size_t status = 0; status <= POPOTO_NO_MEMORY; status++) {
        size_t sum = sum_of(it, (popoto_status)status);
        if (sum > 0)
            printf(" %zu %s", sum, popoto_status_name((popoto_status)status));
        if (status != POPOTO_OK && status != POPOTO_UNKNOWN_OUTCOME)
            failures += sum;
    }
    double longest = 0;
    for (size_t i = 0; i < WRITERS; i++)
        longest = it->longest[i] > longest ? it->longest[i] : longest;
    printf("; longest call %.2f s\n", longest);
    for (size_t i = 0; i < WRITERS; i++)
        if (it->sentence[i][0] != '\0')
            printf("           writer %zu: %s\n", i, it->sentence[i]);
    return failures;
}

typedef struct losses {
    size_t ours;
    size_t clusters; /* acknowledged by the node that was killed, shortly before */
} losses;

static losses count_losses(const ledger *it, const lines *there, const bool *on_killed,
                           double killed_at) {
    losses sum = { 0, 0 };
    for (size_t w = 0; w < WRITERS; w++)
        for (size_t n = 0; n < it->counts[w]; n++) {
            const deed *about = &it->deeds[w][n];
            char key[64];
            unsigned number = (unsigned)(100 + w * MOST + n);
            snprintf(key, sizeof(key), "{t%u}:Parcel:%u:l%u", about->tenant, number, number);
            bool is_there = has_line(there, key);
            if (!((about->outcome == STORED && !is_there) ||
                  ((about->outcome == DELETED || about->outcome == NEVER) && is_there)))
                continue;
            if (on_killed != NULL && on_killed[about->tenant] && about->at > killed_at - 1 &&
                about->at < killed_at + 0.1) {
                sum.clusters++;
            } else {
                sum.ours++;
                fprintf(stderr, "%s: outcome %d, %s, %.3f s after the kill\n", key, about->outcome,
                        is_there ? "is there" : "is missing", about->at - killed_at);
            }
        }
    return sum;
}

static void test_slots_move_under_writers(void **state) {
    node_group *nodes = *state;
    pid_t writers[WRITERS];
    ledger *it = start_writers(nodes, writers);
    size_t moves = 0;
    usleep(300000);
    for (double begun = seconds(); seconds() - begun < 4;) {
        char key[32];
        snprintf(key, sizeof(key), "{t%d}", rand() % TENANTS);
        int slot = nodes_slot(nodes, key);
        nodes_move_slot(nodes, slot, nodes_other_primary(nodes, nodes_owner(nodes, slot)), 1000);
        moves++;
    }
    usleep(300000);
    stop_writers(it, writers);
    lines there;
    size_t wrong = check_indexes(nodes, &there);
    losses lost = count_losses(it, &there, NULL, 0);
    size_t failures = print_statuses(it, "slots moved");
    printf("           %zu slots moved, %zu records, %zu index entries wrong, %zu lost\n", moves,
           there.count, wrong, lost.ours);
    assert_int_equal(0, wrong);
    assert_int_equal(0, lost.ours);
    assert_int_equal(0, failures);
    assert_int_equal(0, sum_of(it, POPOTO_UNKNOWN_OUTCOME));
    assert_true(moves > 3);
    free_lines(&there);
    munmap(it, sizeof(*it));
}

/* ----- A primary dies ---------------------------------------------------------------------------- */

static void test_a_replica_takes_over_under_writers(void **state) {
    node_group *nodes = *state;
    pid_t writers[WRITERS];
    bool on_killed[TENANTS];
    size_t victim = 1, count_killed = 0;
    for (size_t t = 0; t < TENANTS; t++) {
        char key[32];
        snprintf(key, sizeof(key), "{t%zu}", t);
        on_killed[t] = nodes_owner(nodes, nodes_slot(nodes, key)) == victim;
        count_killed += on_killed[t];
    }
    assert_true(count_killed > 0);
    ledger *it = start_writers(nodes, writers);
    sleep(1);
    double killed_at = seconds();
    nodes_kill(nodes, victim);
    nodes_await_takeover(nodes, victim);
    double whole_at = seconds();
    usleep(700000);
    stop_writers(it, writers);
    lines there;
    size_t wrong = check_indexes(nodes, &there);
    losses lost = count_losses(it, &there, on_killed, killed_at);
    size_t failures = print_statuses(it, "a primary killed");
    printf(
        "           whole again after %.2f s; %zu records, %zu index entries wrong; acknowledged "
        "and lost: %zu by the library, %zu by the cluster\n",
        whole_at - killed_at, there.count, wrong, lost.ours, lost.clusters);
    assert_int_equal(0, wrong);
    assert_int_equal(0, lost.ours);
    assert_int_equal(0, failures);
    for (size_t i = 0; i < WRITERS; i++)
        assert_true(it->last[i] > killed_at);
    free_lines(&there);
    munmap(it, sizeof(*it));
    nodes_revive(nodes, victim);
    nodes_await_whole(nodes);
}

/* ----- Throughput -------------------------------------------------------------------------------- */

/* The kernel's account of a process, in seconds of processor time. */
static double processor_time(pid_t pid) {
    char path[64];
    unsigned long long nanoseconds = 0;
    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    FILE *in = fopen(path, "r");
    if (in == NULL || fscanf(in, "%llu", &nanoseconds) != 1)
        nanoseconds = 0;
    if (in != NULL)
        fclose(in);
    return (double)nanoseconds / 1e9;
}

typedef struct cost {
    double wall;    /* seconds */
    double busiest; /* processor time of the server, or of the primary that had most to do */
} cost;

static cost measure(const char *url, const pid_t *servers, size_t server_count) {
    enum {
        BULK = 256,
        ROUNDS = 30
    };
    static parcel parcels[BULK];
    static char names[BULK][2][16];
    static popoto_signal signals[BULK];
    void *objects[BULK];
    popoto_db *db = popoto_open(url, NULL);
    double before[PRIMARIES];
    for (size_t i = 0; i < server_count; i++)
        before[i] = processor_time(servers[i]);
    cost sum = { .wall = seconds() };
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < BULK; i++) {
            make_parcel(&parcels[i], names[i], i % TENANTS, (int64_t)(round * BULK + i));
            objects[i] = &parcels[i];
            signals[i] = (popoto_signal){ .object = &parcels[i], .signal = 1 };
        }
        assert_ok(db, popoto_create_many(db, &Parcel, objects, BULK, NULL));
        assert_ok(db, popoto_confidence_update_many(db, &Parcel, "trust", signals, BULK));
    }
    sum.wall = seconds() - sum.wall;
    for (size_t i = 0; i < server_count; i++) {
        double took = processor_time(servers[i]) - before[i];
        sum.busiest = took > sum.busiest ? took : sum.busiest;
    }
    popoto_close(db);
    return sum;
}

/* How long it takes depends on how many processors the nodes have to themselves; what the busiest of
 * them has to do for the same work does not, and that is what must not be more than one server's. */
static void test_three_primaries_do_no_less_than_one_server(void **state) {
    node_group *nodes = *state;
    server *single = server_start(&(server_options){ .tcp = true });
    pid_t one[] = { server_pid(single) };
    pid_t three[PRIMARIES];
    size_t count = 0;
    for (size_t i = 0; i < NODES && count < PRIMARIES; i++)
        if (nodes_is_primary(nodes, i))
            three[count++] = nodes_pid(nodes, i);
    cost alone = measure(server_tcp_url(single), one, 1);
    cost shared = measure(nodes_url(nodes), three, count);
    printf(
        "           the same work: one server %.2f s, three primaries with their replicas %.2f s "
        "on %ld processors (%.2f of its speed)\n",
        alone.wall, shared.wall, sysconf(_SC_NPROCESSORS_ONLN), alone.wall / shared.wall);
    printf("           processor time of the server %.2f s, of the busiest primary %.2f s: "
           "%.2f times the work can be done\n",
           alone.busiest, shared.busiest, alone.busiest / shared.busiest);
    if (alone.busiest > 0)
        assert_true(shared.busiest < alone.busiest);
    server_stop(single);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        nodes_test(test_three_primaries_do_no_less_than_one_server),
        nodes_test(test_slots_move_under_writers),
        nodes_test(test_a_replica_takes_over_under_writers),
    };
    return cmocka_run_group_tests(tests, nodes_group_start, nodes_group_stop);
}
