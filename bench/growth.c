/* growth - how the cost of operations grows: with the number of tenants; where the planner has to choose
 * between two indexes; with the members of a confidence hash, partitioned and not. Writes the data that
 * plots.gp draws. See bench.h. */
#include "bench.h"
#include "codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *open_data(const bench *it, const char *name) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", it->folder, name);
    FILE *out = fopen(path, "w");
    if (out == NULL)
        give_up("cannot write %s", path);
    return out;
}

static void *zeroed(size_t count, size_t size) {
    void *made = calloc(count, size);
    if (made == NULL)
        give_up("no memory");
    return made;
}

/* ----- tenants -------------------------------------------------------------------------------- */

#define EPISODES ((size_t)100) /* of each tenant */
#define STEPS    5

/* A server of its own for each number of tenants, so that all of them can take turns. */
typedef struct stage {
    server *server;
    popoto_db *ours;
    hand *theirs;
    redisContext *admin;
    size_t tenants;
    uint64_t dice;
    size_t created, their_created; /* in this round; taken away before the next */
    episode *made;
} stage;

#define MOST_CREATED ((size_t)4096)

static const char *tenant_name(size_t index, char name[24]) {
    snprintf(name, 24, "tenant-%05zu", index % 100000);
    return name;
}

/* xorshift: which tenant is asked for is nobody's habit. */
static size_t throw_dice(stage *it) {
    it->dice ^= it->dice << 13;
    it->dice ^= it->dice >> 7;
    it->dice ^= it->dice << 17;
    return (size_t)(it->dice % it->tenants);
}

static void fill_stage(stage *it) {
    char name[24];
    episode *all = zeroed(EPISODES, sizeof(*all));
    void *pointers[EPISODES];
    for (size_t t = 0; t < it->tenants; t++) {
        tenant_name(t, name);
        for (size_t side = 0; side < 2; side++) {
            for (size_t i = 0; i < EPISODES; i++) {
                data_episode(&all[i], name, t * EPISODES + i);
                all[i].score = (double)i / (double)EPISODES;
                pointers[i] = &all[i];
            }
            if (side == 0)
                must(it->ours, popoto_create_many(it->ours, &Episode, pointers, EPISODES, NULL),
                     "create_many");
            else
                hand_create_many(it->theirs, (episode *const *)pointers, EPISODES);
        }
    }
    free(all);
}

static void start_stage(stage *it, size_t tenants) {
    *it = (stage){ .tenants = tenants, .dice = UINT64_C(88172645463325252) };
    it->server = server_start(NULL);
    it->ours = open_ours(server_socket(it->server), OUR_DATABASE, NULL);
    it->theirs = hand_open(server_socket(it->server), HAND_DATABASE);
    it->admin = redisConnectUnix(server_socket(it->server));
    if (it->admin == NULL || it->admin->err != 0)
        give_up("cannot connect to %s", server_socket(it->server));
    it->made = zeroed(MOST_CREATED, sizeof(*it->made));
    fill_stage(it);
    harness_check(database_keys(it->admin, OUR_DATABASE) == tenants * (EPISODES + 2) + 1 &&
                      database_keys(it->admin, OUR_DATABASE) ==
                          database_keys(it->admin, HAND_DATABASE),
                  "tenants");
}

static void stop_stage(stage *it) {
    popoto_close(it->ours);
    hand_close(it->theirs);
    redisFree(it->admin);
    server_stop(it->server);
    free(it->made);
}

/* The better half of a tenant's records. */
static size_t query_tenant(stage *it, size_t tenant) {
    char name[24];
    popoto_rows *rows;
    must(it->ours,
         popoto_query(it->ours,
                      &(popoto_query_desc){
                          .model = &Episode,
                          .where = { POPOTO_IS("project_id", tenant_name(tenant, name)),
                                     POPOTO_IS("score__gte", 0.5) },
                      },
                      &rows),
         "query");
    size_t count = popoto_rows_count(rows);
    popoto_rows_free(rows);
    return count;
}

static void query_ours(void *context, size_t slice, size_t count) {
    stage *it = context;
    (void)slice;
    while (count-- > 0)
        if (query_tenant(it, throw_dice(it)) != EPISODES / 2)
            give_up("rows are gone");
}

static void query_theirs(void *context, size_t slice, size_t count) {
    stage *it = context;
    char name[24];
    (void)slice;
    while (count-- > 0)
        if (hand_query(it->theirs, tenant_name(throw_dice(it), name), 0.5, false).count !=
            EPISODES / 2)
            give_up("rows are gone");
}

/* One tenant again and again, whose records stay in the processor's caches. */
static void query_again(void *context, size_t slice, size_t count) {
    stage *it = context;
    (void)slice;
    while (count-- > 0)
        if (query_tenant(it, it->tenants / 2) != EPISODES / 2)
            give_up("rows are gone");
}

/* Each round's new records are a new tenant's, and are gone before the next round. */
static void take_away_ours(void *context) {
    stage *it = context;
    for (size_t i = 0; i < it->created; i++) {
        it->made[i].project_id = "newcomer";
        must(it->ours, popoto_delete(it->ours, &Episode, &it->made[i]), "delete");
    }
    it->created = 0;
}

static void create_ours(void *context, size_t slice, size_t count) {
    stage *it = context;
    (void)slice;
    for (; count-- > 0 && it->created < MOST_CREATED; it->created++) {
        data_episode(&it->made[it->created], "newcomer", it->created);
        must(it->ours, popoto_create(it->ours, &Episode, &it->made[it->created]), "create");
    }
}

/* The rival's go with a command each: it has no delete of its own. */
static void take_away_theirs(void *context) {
    stage *it = context;
    popoto_db *db = open_ours(server_socket(it->server), HAND_DATABASE, NULL);
    for (size_t i = 0; i < it->their_created; i++)
        must(db, popoto_delete(db, &Episode, &it->made[i]), "delete");
    popoto_close(db);
    it->their_created = 0;
}

static void create_theirs(void *context, size_t slice, size_t count) {
    stage *it = context;
    (void)slice;
    for (; count-- > 0 && it->their_created < MOST_CREATED; it->their_created++) {
        data_episode(&it->made[it->their_created], "newcomer", it->their_created);
        hand_create(it->theirs, &it->made[it->their_created]);
    }
}

typedef struct kind {
    const char *name, *against;
    void (*start)(void *context);
    void (*run)(void *context, size_t slice, size_t count);
    bool has_goal;
} kind;

static const kind kinds[] = {
    { "growth_query", "1 to 10,000 tenants", NULL, query_ours, true },
    { "growth_query", "1 to 10,000 tenants, hiredis", NULL, query_theirs, false },
    { "growth_create", "1 to 10,000 tenants", take_away_ours, create_ours, true },
    { "growth_create", "1 to 10,000 tenants, hiredis", take_away_theirs, create_theirs, false },
    { "growth_query_again", "1 to 10,000 tenants, one asked again", NULL, query_again, false },
};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

static void time_kind(const kind *it, stage *stages, size_t rounds, double *microseconds) {
    timing what = { .name = it->name, .slices = 30, .side_count = STEPS };
    for (size_t i = 0; i < STEPS; i++)
        what.sides[i] = (contender){ NULL, it->start, it->run, &stages[i], 20, 0, 1 };
    harness_time(&what, rounds, microseconds);
    double most = 0, least = INFINITY;
    for (size_t i = 0; i < STEPS; i++) {
        if (it->start != NULL)
            it->start(&stages[i]);
        microseconds[i] = 1e6 / microseconds[i];
        most = fmax(most, microseconds[i]);
        least = fmin(least, microseconds[i]);
    }
    harness_report(&(result){
        .name = it->name,
        .unit = "us, max, min",
        .against = it->against,
        .ours = most,
        .theirs = least,
        .ratio = most / least,
        .goal = it->has_goal ? 1.15 : (double)NAN,
        .at_most = true,
    });
}

static void case_tenants(bench *it) {
    stage stages[STEPS];
    double microseconds[KINDS][STEPS];
    size_t tenants = 1, steps = it->quick ? 2 : STEPS;
    for (size_t i = 0; i < steps; i++, tenants *= 10)
        start_stage(&stages[i], tenants);
    for (size_t i = 0; i < steps; i++)
        harness_check(query_tenant(&stages[i], 0) == EPISODES / 2, "a tenant's rows");
    for (size_t k = 0; k < KINDS && !it->quick; k++)
        time_kind(&kinds[k], stages, it->rounds, microseconds[k]);
    if (!it->quick) {
        FILE *out = open_data(it, "growth_tenants.dat");
        for (size_t i = 0; i < STEPS; i++)
            fprintf(out, "%zu %.3f %.3f %.3f %.3f %.3f\n", stages[i].tenants, microseconds[0][i],
                    microseconds[1][i], microseconds[2][i], microseconds[3][i], microseconds[4][i]);
        fclose(out);
    }
    for (size_t i = 0; i < steps; i++)
        stop_stage(&stages[i]);
}

/* ----- the planner ---------------------------------------------------------------------------- */

/* One question to the unpartitioned model, with the two fixed plans that answer it. */
typedef struct question {
    bench *of;
    hand *theirs;
    const char *name, *against, *project;
    double low, high;
    bool by_set; /* the better plan */
    size_t rows;
} question;

static popoto_rows *ask_ours(question *it) {
    popoto_rows *rows;
    must(it->of->ours,
         popoto_query(it->of->ours,
                      &(popoto_query_desc){
                          .model = &Flat,
                          .where = { POPOTO_IS("project_id", it->project),
                                     POPOTO_IS("score__between", POPOTO_LIST(it->low, it->high)) },
                      },
                      &rows),
         "query");
    return rows;
}

static void plan_ours(void *context, size_t slice, size_t count) {
    (void)slice;
    while (count-- > 0)
        popoto_rows_free(ask_ours(context));
}

static void plan_theirs(void *context, size_t slice, size_t count) {
    question *it = context;
    (void)slice;
    while (count-- > 0) {
        hand_rows rows = it->by_set
                             ? hand_query_by_set(it->theirs, it->project, it->low, it->high)
                             : hand_query_by_range(it->theirs, it->project, it->low, it->high);
        if (rows.count != it->rows)
            give_up("rows are gone");
    }
}

static void check_question(question *it) {
    popoto_rows *rows = ask_ours(it);
    episode *ours = rows_copy(rows);
    hand_rows set = hand_query_by_set(it->theirs, it->project, it->low, it->high);
    bool same = rows_same(ours, popoto_rows_count(rows), set.rows, set.count);
    hand_rows range = hand_query_by_range(it->theirs, it->project, it->low, it->high);
    harness_check(same && rows_same(ours, popoto_rows_count(rows), range.rows, range.count) &&
                      range.count == it->rows,
                  it->name);
    free(ours);
    popoto_rows_free(rows);
}

static double once(question *it, bool by_set) {
    double start = harness_seconds();
    if (by_set)
        hand_query_by_set(it->theirs, it->project, it->low, it->high);
    else
        hand_query_by_range(it->theirs, it->project, it->low, it->high);
    return (harness_seconds() - start) * 1e6;
}

static void time_question(question *it, FILE *out) {
    double rates[2];
    timing what = {
        .name = it->name,
        .slices = 20,
        .side_count = 2,
        .sides = { { NULL, NULL, plan_ours, it, 50, 0, 1 },
                   { it->against, NULL, plan_theirs, it, 50, 0, 1 } },
    };
    harness_time(&what, it->of->rounds, rates);
    double ours = 1e6 / rates[0], better = 1e6 / rates[1], worse = once(it, !it->by_set);
    harness_report(&(result){
        .name = it->name,
        .unit = "us a query",
        .against = it->against,
        .ours = ours,
        .theirs = better,
        .ratio = ours / better,
        .goal = 1.3,
        .at_most = true,
    });
    fprintf(out, "\"%s\" %.3f %.3f %.3f\n",
            it->by_set ? "a tenant with 10 records,\\nall scores"
                       : "a tenant with 500,000 records,\\na range with 20",
            ours, better, worse);
}

/* Every other record is the large tenant's, ten are the small one's, the rest a hundred others'. The
 * scores go up one by one. */
static void fill_flat(hand *to, size_t count) {
    static char others[100][24];
    episode *all = zeroed(count, sizeof(*all));
    episode **pointers = zeroed(count, sizeof(*pointers));
    for (size_t i = 0; i < 100; i++)
        snprintf(others[i], sizeof(others[i]), "other-%02zu", i);
    for (size_t i = 0; i < count; i++) {
        const char *project = i % 2 == 0 ? "large" : others[i / 2 % 100];
        if (i % (count / 10) == 1)
            project = "small";
        data_episode(&all[i], project, i);
        all[i].score = (double)i / (double)count;
        pointers[i] = &all[i];
    }
    hand_create_flat(to, pointers, count);
    free(pointers);
    free(all);
}

static void case_planner(bench *it) {
    size_t count = it->quick ? 2000 : 1000000;
    hand *theirs = hand_open(server_socket(it->server), OUR_DATABASE);
    database_flush(it->admin, OUR_DATABASE);
    fill_flat(theirs, count);
    double low = 0.4, high = 0.4 + 19.5 / (double)count;
    question small = {
        it, theirs, "planner_small", "hiredis, by the tenant's set", "small", 0.0, 1.0, true, 10
    };
    question large = { it,    theirs, "planner_large", "hiredis, by the range", "large", low, high,
                       false, 10 };
    check_question(&small);
    check_question(&large);
    if (!it->quick) {
        FILE *out = open_data(it, "growth_planner.dat");
        time_question(&small, out);
        time_question(&large, out);
        fclose(out);
    }
    hand_close(theirs);
    database_flush(it->admin, OUR_DATABASE);
}

/* ----- confidence hashes ---------------------------------------------------------------------- */

#define ENTRIES ((size_t)100) /* of each tenant */

/* Entries from..to of both models, by hundreds of a tenant each; the first hundred are atlas's. */
static void fill_entries(hand *to, size_t from, size_t until) {
    buffer entry;
    popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ NULL, NULL });
    popoto_confidence figures = { 0.75, 3, 2, 1 };
    popoto__buffer_init(&entry, &allocator);
    popoto__codec_write_confidence(&entry, &figures);
    size_t under_way = 0;
    for (size_t i = from; i < until; i++) {
        char tenant[24] = "atlas", key[96];
        if (i >= ENTRIES)
            snprintf(tenant, sizeof(tenant), "tenant-%05zu", i / ENTRIES % 100000);
        for (int shared = 0; shared < 2; shared++) {
            PUT_LITERAL(to, "*4\r\n$4\r\nHSET\r\n");
            int size =
                shared ? snprintf(key, sizeof(key), "$ConfidencF:Shared:certainty:data")
                       : snprintf(key, sizeof(key), "$ConfidencF:Memory:certainty:data:%s", tenant);
            hand_put_argument(to, key, (size_t)size);
            size = snprintf(key, sizeof(key), "%s:%s:fact%06zu", shared ? "Shared" : "Memory",
                            tenant, i);
            hand_put_argument(to, key, (size_t)size);
            hand_put_argument(to, entry.data, entry.size);
            under_way++;
        }
        if (under_way >= 512 || i + 1 == until) {
            hand_exchange(to, under_way, &hand_acknowledge);
            under_way = 0;
        }
    }
    popoto__buffer_free(&entry);
}

static bool count_entry(void *context, popoto_text member, const popoto_confidence *figures) {
    size_t *count = context;
    (void)member;
    *count += figures->evidence_count == 3 ? 1 : 0;
    return true;
}

static size_t read_entries(bench *it, bool partitioned) {
    size_t count = 0;
    popoto_confidence_scan_desc desc = {
        .model = partitioned ? &Memory : &Shared,
        .field = "certainty",
        .pattern = partitioned ? NULL : "Shared:atlas:*",
        .callback = count_entry,
        .context = &count,
    };
    if (partitioned)
        desc.where[0] = (popoto_filter)POPOTO_IS("project", "atlas");
    must(it->ours, popoto_confidence_scan(it->ours, &desc), "confidence_scan");
    return count;
}

static void read_partitioned(void *context, size_t slice, size_t count) {
    (void)slice;
    while (count-- > 0)
        (void)read_entries(context, true);
}

static void read_shared(void *context, size_t slice, size_t count) {
    (void)slice;
    while (count-- > 0)
        (void)read_entries(context, false);
}

static void case_confidence(bench *it) {
    hand *filler = hand_open(server_socket(it->server), OUR_DATABASE);
    FILE *out = it->quick ? NULL : open_data(it, "growth_confidence.dat");
    database_flush(it->admin, OUR_DATABASE);
    size_t most = it->quick ? 1000 : 1000000;
    for (size_t members = 100, before = 0; members <= most; before = members, members *= 10) {
        double rates[2];
        fill_entries(filler, before, members);
        harness_check(read_entries(it, true) == ENTRIES && read_entries(it, false) == ENTRIES,
                      "a tenant's confidence entries");
        if (it->quick)
            continue;
        size_t scans = members <= 10000 ? 20 : members <= 100000 ? 3 : 1;
        timing what = {
            .slices = 3,
            .side_count = 2,
            .sides = { { NULL, NULL, read_partitioned, it, 100, 0, 1 },
                       { NULL, NULL, read_shared, it, scans, 0, 1 } },
        };
        harness_time(&what, it->rounds, rates);
        fprintf(out, "%zu %.3f %.3f\n", members, 1e6 / rates[0], 1e6 / rates[1]);
        harness_report(&(result){
            .name = "growth_confidence",
            .unit = "us a read",
            .against = members == 100      ? "not partitioned, 100 members"
                       : members == 1000   ? "not partitioned, 1,000 members"
                       : members == 10000  ? "not partitioned, 10,000 members"
                       : members == 100000 ? "not partitioned, 100,000 members"
                                           : "not partitioned, 1,000,000 members",
            .ours = 1e6 / rates[0],
            .theirs = 1e6 / rates[1],
            .ratio = rates[1] / rates[0],
            .goal = (double)NAN,
            .at_most = true,
        });
    }
    if (out != NULL)
        fclose(out);
    hand_close(filler);
    database_flush(it->admin, OUR_DATABASE);
}

void bench_growth(bench *it) {
    static const struct {
        const char *name;
        void (*run)(bench *it);
    } parts[] = {
        { "growth_tenants", case_tenants },
        { "planner", case_planner },
        { "growth_confidence", case_confidence },
    };
    bool any = false;
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        if (!bench_wants(it, parts[i].name))
            continue;
        if (!any && !it->quick)
            harness_heading("How cost grows");
        any = true;
        bench_share_processor(it, true);
        parts[i].run(it);
        bench_share_processor(it, false);
    }
}
