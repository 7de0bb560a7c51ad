/* Records of several tenants that are written, moved, deleted and asked for at random: what is found is what
 * looking at each record finds. */
#include "index_checker.h"
#include "server.h"
#include "strict_episodes.h"

#include <popoto.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

#define TENANTS 4
#define IDS     6

static const char *const property_tenants[TENANTS] = { "a", "a:b", "{a}", "*" };
static const char *const property_seasons[2] = { "s1", "s2" };
static const char *const property_ids[IDS] = { "0", "1", "2", "3", "4", "5" };

/* What should be there: by tenant and id, for the season is a function of neither. */
typedef struct known {
    bool is_there;
    int season;
    double score;
    int64_t evidence;
} known;

typedef struct world {
    popoto_db *db;
    known records[TENANTS][2][IDS];
    uint64_t random;
} world;

static size_t pick(world *it, size_t count) {
    it->random = it->random * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (size_t)(it->random >> 33) % count;
}

static episode at(size_t tenant, size_t season, size_t id) {
    return episode_of(property_tenants[tenant], property_seasons[season], property_ids[id], 0);
}

static void change(world *it) {
    size_t t = pick(it, TENANTS), season = pick(it, 2), id = pick(it, IDS);
    known *one = &it->records[t][season][id];
    episode object = at(t, season, id);
    popoto_rows *rows;
    switch (pick(it, 5)) {
    case 0:
        object.score = one->is_there ? one->score : (double)pick(it, 50);
        assert_status(one->is_there ? POPOTO_EXISTS : POPOTO_OK, it->db,
                      popoto_create(it->db, &Episode, &object));
        one->score = object.score;
        one->is_there = true;
        return;
    case 1:
        object.score = one->score = (double)pick(it, 50);
        assert_ok(it->db, popoto_save(it->db, &Episode, &object));
        one->is_there = true;
        return;
    case 2:
        assert_status(one->is_there ? POPOTO_OK : POPOTO_NOT_FOUND, it->db,
                      popoto_delete(it->db, &Episode, &object));
        *one = (known){ 0 };
        return;
    case 3:
        assert_status(one->is_there ? POPOTO_OK : POPOTO_NOT_FOUND, it->db,
                      popoto_confidence_update(it->db, &Episode, &object, "belief", 0.75, NULL));
        one->evidence += one->is_there;
        return;
    default: break;
    }
    /* A move, to another tenant or season or id. */
    popoto_status found = popoto_load(it->db, &Episode, &object, &rows);
    assert_int_equal(one->is_there ? POPOTO_OK : POPOTO_NOT_FOUND, found);
    if (found != POPOTO_OK)
        return;
    size_t to = pick(it, TENANTS), to_season = pick(it, 2), to_id = pick(it, IDS);
    known *there = &it->records[to][to_season][to_id];
    episode *row = popoto_rows_at(rows, 0);
    row->project_id = property_tenants[to];
    row->season = property_seasons[to_season];
    row->id = property_ids[to_id];
    bool taken = there->is_there && there != one;
    assert_status(taken ? POPOTO_EXISTS : POPOTO_OK, it->db, popoto_save(it->db, &Episode, row));
    if (!taken && there != one) {
        *there = *one;
        *one = (known){ 0 };
    }
    popoto_rows_free(rows);
}

/* A query, and what brute force says of it. t == TENANTS: of all. */
static void ask(world *it) {
    size_t t = pick(it, TENANTS + 1), season = pick(it, 3), count;
    double low = (double)pick(it, 50), last = 1e9;
    bool by_score = pick(it, 2), in_scope = t < TENANTS && pick(it, 2);
    popoto_query_desc desc = { .model = &Episode, .all_tenants = t == TENANTS };
    popoto_rows *rows;
    size_t filters = 0, expected = 0;
    for (size_t a = 0; a < TENANTS; a++)
        for (size_t b = 0; b < 2; b++)
            for (size_t c = 0; c < IDS; c++) {
                const known *one = &it->records[a][b][c];
                expected += one->is_there && (t == TENANTS || t == a) &&
                            (season == 2 || season == b) && (!by_score || one->score >= low);
            }
    if (t < TENANTS && !in_scope)
        desc.where[filters++] = (popoto_filter)POPOTO_IS("project_id", property_tenants[t]);
    if (season < 2)
        desc.where[filters++] = (popoto_filter)POPOTO_IS("season", property_seasons[season]);
    if (by_score)
        desc.where[filters++] = (popoto_filter)POPOTO_IS("score__gte", low);
    if (in_scope)
        assert_ok(it->db, popoto_scope_enter(it->db, "project_id", property_tenants[t]));
    assert_ok(it->db, popoto_count(it->db, &desc, &count));
    assert_int_equal(expected, count);
    desc.offset = pick(it, 4);
    desc.limit = pick(it, 8);
    desc.order_by = pick(it, 2) ? "-score" : NULL;
    assert_ok(it->db, popoto_query(it->db, &desc, &rows));
    size_t rest = expected > desc.offset ? expected - desc.offset : 0;
    assert_int_equal(desc.limit != 0 && desc.limit < rest ? desc.limit : rest,
                     popoto_rows_count(rows));
    for (size_t i = 0; i < popoto_rows_count(rows); i++) {
        const episode *row = popoto_rows_at(rows, i);
        if (t < TENANTS)
            assert_string_equal(property_tenants[t], row->project_id);
        if (desc.order_by != NULL)
            assert_true(row->score <= last);
        last = row->score;
    }
    popoto_rows_free(rows);
    if (in_scope)
        assert_ok(it->db, popoto_scope_leave(it->db));
}

static void compare(world *it) {
    for (size_t a = 0; a < TENANTS; a++)
        for (size_t b = 0; b < 2; b++)
            for (size_t c = 0; c < IDS; c++) {
                const known *one = &it->records[a][b][c];
                episode object = at(a, b, c);
                popoto_rows *rows;
                popoto_confidence figures;
                assert_status(one->is_there ? POPOTO_OK : POPOTO_NOT_FOUND, it->db,
                              popoto_load(it->db, &Episode, &object, &rows));
                if (!one->is_there)
                    continue;
                assert_true(((episode *)popoto_rows_at(rows, 0))->score == one->score);
                popoto_rows_free(rows);
                assert_ok(it->db,
                          popoto_confidence_figures(it->db, &Episode, &object, "belief", &figures));
                assert_int_equal(one->evidence, figures.evidence_count);
            }
}

static void test_tenants_agree_with_brute_force(void **state) {
    server *s = *state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        world it = { .db = popoto_open(server_url(s), NULL), .random = seed };
        server_flush(s);
        for (int step = 0; step < 300; step++) {
            change(&it);
            ask(&it);
        }
        compare(&it);
        assert_indexes_match(s, &Episode);
        popoto_close(it.db);
    }
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_tenants_agree_with_brute_force),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
