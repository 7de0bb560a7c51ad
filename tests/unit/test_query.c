/* Queries: by which index each is answered and with which commands; and which are refused, with which
 * sentence. No server: what would be sent is compared as text. */
#include "read_commands.h"
#include "test_models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct asked {
    popoto_db *db; /* of no server: it is only asked for scopes */
    arena memory;
    const model *of;
    query what;
    read_plan plan;
    char text[2000];
} asked;

static popoto_status plan_of(asked *it, const popoto_query_desc *desc) {
    it->db = popoto_open("unix:/no/such/socket", NULL);
    assert_non_null(it->db);
    popoto__arena_init(&it->memory, &it->db->allocator);
    assert_int_equal(POPOTO_OK, popoto__db_begin(it->db, desc->model, &it->of));
    popoto_status status = popoto__query_parse(it->db, it->of, desc, &it->memory, &it->what);
    if (status == POPOTO_OK)
        status = popoto__query_plan(&it->what, &it->plan, &it->db->why);
    return status;
}

static void finish(asked *it) {
    popoto__arena_free(&it->memory);
    popoto_close(it->db);
}

/* The number that stands at `at`, which it moves behind the line. */
static long take_number(const buffer *request, size_t *at) {
    long number = 0;
    for (++*at; request->data[*at] != '\r'; ++*at)
        number = 10 * number + (request->data[*at] - '0');
    *at += 2;
    return number;
}

/* "*2\r\n$4\r\nSCARD\r\n..." -> "SCARD ..." */
static void add_commands(asked *it, const buffer *request) {
    size_t used = strlen(it->text);
    for (size_t at = 0; at < request->size;) {
        long words = take_number(request, &at);
        for (long i = 0; i < words; i++) {
            long size = take_number(request, &at);
            used += (size_t)snprintf(it->text + used, sizeof(it->text) - used, "%s%.*s",
                                     i ? " " : "", (int)size, request->data + at);
            at += (size_t)size + 2;
        }
        used += (size_t)snprintf(it->text + used, sizeof(it->text) - used, "\n");
    }
}

/* The source, and the first commands by which it is read. */
static void describe(asked *it) {
    buffer request;
    popoto__buffer_init(&request, &it->db->allocator);
    it->text[0] = '\0';
    if (it->plan.has_choice) {
        (void)popoto__query_render_sizes(&it->plan, &request);
        add_commands(it, &request);
        popoto__buffer_clear(&request);
    }
    switch (it->plan.source) {
    case SOURCE_KEY: popoto__render_fetches(it->of, &it->what, &it->plan.key, 1, &request); break;
    case SOURCE_SETS: popoto__render_members(&it->plan, &request); break;
    case SOURCE_SORTED:
        for (size_t i = 0; i < it->plan.range_count; i++)
            popoto__render_range(&it->plan.ranges[i], it->what.descending, NULL, 0, 9, &request);
        break;
    case SOURCE_CLASS: popoto__render_scan(it->of->class_prefix, TEXT("0"), 9, &request); break;
    }
    add_commands(it, &request);
    popoto__buffer_free(&request);
    if (it->plan.sort_here)
        strcat(it->text, "and sort\n");
}

static void assert_reads(const popoto_query_desc *desc, const char *expected) {
    asked it = { .text = "" };
    popoto_status status = plan_of(&it, desc);
    if (status != POPOTO_OK)
        fail_msg("%s", popoto_error(it.db));
    describe(&it);
    assert_string_equal(expected, it.text);
    finish(&it);
}

static void assert_refused(const popoto_query_desc *desc, const char *sentence) {
    asked it = { .text = "" };
    popoto_status status = plan_of(&it, desc);
    if (status != POPOTO_BAD_QUERY || strstr(popoto_error(it.db), sentence) == NULL)
        fail_msg("%d, '%s' instead of '%s'", status, popoto_error(it.db), sentence);
    finish(&it);
}

#define READS(expected_, ...)   assert_reads(&(popoto_query_desc){ __VA_ARGS__ }, expected_)
#define REFUSED(sentence_, ...) assert_refused(&(popoto_query_desc){ __VA_ARGS__ }, sentence_)

static void test_the_whole_key_is_one_fetch(void **state) {
    (void)state;
    READS("HMGET Episode:a:1 project_id episode_id title score\n", .model = &Episode,
          .where = { POPOTO_IS("episode_id", "1"), POPOTO_IS("project_id", "a") });
    READS("HMGET Episode:a:1 project_id episode_id title\n", .model = &Episode, .fields = "title",
          .where = { POPOTO_IS("episode_id", "1"), POPOTO_IS("project_id", "a") });
    /* What the conditions need is fetched, too; the record is there to be looked at. */
    READS("HMGET Episode:a:1 project_id episode_id title score\n", .model = &Episode,
          .fields = "title",
          .where = { POPOTO_IS("episode_id", "1"), POPOTO_IS("project_id", "a"),
                     POPOTO_IS("score__gt", 1) });
}

static void test_key_fields_are_answered_by_their_sets(void **state) {
    (void)state;
    READS("SMEMBERS $KeyF:Episode:project_id:a\n", .model = &Episode,
          .where = { POPOTO_IS("project_id", "a") });
    READS("SUNION $KeyF:Episode:project_id:a $KeyF:Episode:project_id:b\n", .model = &Episode,
          .where = { POPOTO_IS("project_id__in", POPOTO_LIST("b", "a", "b")) });
    READS("SMEMBERS $UniqueKeyF:Memory:key:fact1\n", .model = &Memory,
          .where = { POPOTO_IS("key", "fact1") });
    READS("SINTER $KeyF:Pair:one:a $KeyF:Pair:two:b\n",
          .model =
              &(popoto_model){
                  .name = "Pair",
                  .fields =
                      (const popoto_field[]){
                          { .name = "one", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },
                          { .name = "two", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },
                          { .name = "id", .kind = POPOTO_KIND_AUTO_KEY, .type = POPOTO_TEXT } },
                  .field_count = 3 },
          .where = { POPOTO_IS("one", "a"), POPOTO_IS("two", "b") });
    READS("SSCAN $Class:Episode 0 COUNT 9\n", .model = &Episode);
}

static void test_ranges_are_answered_by_their_partitions_index(void **state) {
    (void)state;
    READS("ZRANGEBYSCORE $SortedF:Episode:score:a 0.7 inf WITHSCORES LIMIT 0 9\n",
          .model = &Episode,
          .where = { POPOTO_IS("project_id", "a"), POPOTO_IS("score__gte", 0.7) });
    READS("ZREVRANGEBYSCORE $SortedF:Episode:score:a (2.0 (1.0 WITHSCORES LIMIT 0 9\n",
          .model = &Episode, .order_by = "-score",
          .where = { POPOTO_IS("project_id", "a"), POPOTO_IS("score__gt", 1),
                     POPOTO_IS("score__lt", 2) });
    READS("ZRANGEBYSCORE $SortedF:Episode:score:a -inf inf WITHSCORES LIMIT 0 9\n",
          .model = &Episode, .order_by = "score", .where = { POPOTO_IS("project_id", "a") });
    READS("ZRANGEBYSCORE $SortedF:Episode:score:a 1.0 2.0 WITHSCORES LIMIT 0 9\n"
          "ZRANGEBYSCORE $SortedF:Episode:score:b 1.0 2.0 WITHSCORES LIMIT 0 9\n"
          "and sort\n",
          .model = &Episode, .order_by = "score",
          .where = { POPOTO_IS("project_id__in", POPOTO_LIST("a", "b", "a")),
                     POPOTO_IS("score__between", POPOTO_LIST(1, 2)) });
    READS("ZRANGEBYSCORE $SortedF:Trade:price:nyse:ibm 1.0 1.0 WITHSCORES LIMIT 0 9\n"
          "ZRANGEBYSCORE $SortedF:Trade:price:nyse:ibm 3.0 3.0 WITHSCORES LIMIT 0 9\n",
          .model = &Trade, .order_by = "price",
          .where = { POPOTO_IS("exchange", "nyse"), POPOTO_IS("symbol", "ibm"),
                     POPOTO_IS("price__in", POPOTO_LIST(3, 1, 3)) });
}

static void test_where_two_indexes_would_do_their_sizes_are_asked(void **state) {
    (void)state;
    READS("SCARD $KeyF:Trade:number:1\n"
          "SCARD $KeyF:Trade:number:2\n"
          "ZCOUNT $SortedF:Trade:volume 5.0 inf\n"
          "ZRANGEBYSCORE $SortedF:Trade:volume 5.0 inf WITHSCORES LIMIT 0 9\n",
          .model = &Trade,
          .where = { POPOTO_IS("number__in", POPOTO_LIST(1, 2)), POPOTO_IS("volume__gte", 5) });
}

static void test_what_no_index_answers_needs_a_scan(void **state) {
    (void)state;
    REFUSED("Episode.title is a FIELD and no index answers title; .allow_scan = true",
            .model = &Episode, .where = { POPOTO_IS("title", "x") });
    REFUSED("title__contains", .model = &Episode,
            .where = { POPOTO_IS("project_id", "a"), POPOTO_IS("title__contains", "x") });
    REFUSED("Episode.episode_id is an AUTO_KEY", .model = &Episode,
            .where = { POPOTO_IS("episode_id", "1") });
    REFUSED("Episode.project_id is a KEY and no index answers project_id__startswith",
            .model = &Episode, .where = { POPOTO_IS("project_id__startswith", "x") });
    REFUSED("number__isnull", .model = &Trade, .order_by = "volume",
            .where = { POPOTO_IS("number__isnull", false) });
    READS("SSCAN $Class:Episode 0 COUNT 9\n", .model = &Episode, .allow_scan = true,
          .where = { POPOTO_IS("title", "x") });
    /* Beside a filter that an index answers, key fields are looked at in what it brings. */
    READS("SMEMBERS $KeyF:Episode:project_id:a\n", .model = &Episode,
          .where = { POPOTO_IS("project_id", "a"), POPOTO_IS("episode_id__startswith", "x") });
}

static void test_what_makes_no_sense_is_refused(void **state) {
    (void)state;
    REFUSED("Episode has no field 'nobody'; it has project_id, episode_id, title, score",
            .model = &Episode, .where = { POPOTO_IS("nobody", 1) });
    REFUSED("no field ''", .model = &Episode, .where = { POPOTO_IS("", 1) });
    REFUSED("Episode.title is text and has no lookup __near; it has title, __in, __gt",
            .model = &Episode, .where = { POPOTO_IS("title__near", "x") });
    REFUSED("Episode.score is a float and has no lookup __contains", .model = &Episode,
            .where = { POPOTO_IS("score__contains", "x") });
    REFUSED("has no lookup __", .model = &Episode, .where = { POPOTO_IS("score__", 1) });
    REFUSED("Episode.score__gte cannot be asked for 'high': the field holds a float",
            .model = &Episode, .where = { POPOTO_IS("score__gte", "high") });
    REFUSED("cannot be asked for nan", .model = &Trade,
            .where = { POPOTO_IS("exchange", "a"), POPOTO_IS("symbol", "b"),
                       POPOTO_IS("price__gte", 0.0 / 0.0) });
    REFUSED("a list is needed", .model = &Episode, .where = { POPOTO_IS("project_id__in", "a") });
    REFUSED("a list of two is needed", .model = &Trade,
            .where = { POPOTO_IS("volume__between", POPOTO_LIST(1, 2, 3)) });
    REFUSED("true or false is needed", .model = &Episode,
            .where = { POPOTO_IS("title__isnull", 2) });
    REFUSED("Episode.score is partitioned by project_id: the filter must name project_id",
            .model = &Episode, .where = { POPOTO_IS("score__gte", 0.5) });
    REFUSED("Episode.score is partitioned by project_id", .model = &Episode, .order_by = "-score");
    REFUSED("Trade.price is partitioned by exchange,symbol: the filter must name symbol",
            .model = &Trade, .where = { POPOTO_IS("exchange", "a"), POPOTO_IS("price__lt", 1) });
    REFUSED("must name exchange", .model = &Trade, /* though the other index could drive */
            .where = { POPOTO_IS("volume", 1), POPOTO_IS("price__lt", 1) });
    REFUSED("cannot be ordered by '-nobody'", .model = &Episode, .order_by = "-nobody");
    REFUSED("cannot be ordered by more: any value has no order", .model = &Note,
            .order_by = "more");
    REFUSED("no field 'nobody'", .model = &Episode, .fields = "title,nobody");
}

static void test_a_fields_name_may_end_in_an_underscore(void **state) {
    static const popoto_field fields[] = {
        { .name = "a_", .kind = POPOTO_KIND_KEY, .type = POPOTO_INT },
        { .name = "b", .kind = POPOTO_KIND_KEY, .type = POPOTO_INT },
    };
    static const popoto_model Odd = { .name = "Odd", .fields = fields, .field_count = 2 };
    (void)state;
    READS("SUNION $KeyF:Odd:a_:1 $KeyF:Odd:a_:2\n", .model = &Odd,
          .where = { POPOTO_IS("a___in", POPOTO_LIST(1, 2)) });
}

/* ----- conditions on values ------------------------------------------------------------------- */

static void test_conditions_hold_for_the_values_they_should(void **state) {
    const struct {
        popoto_filter filter;
        popoto_value value;
        bool holds;
    } cases[] = {
        { POPOTO_IS("text", "a"), POPOTO_VALUE("a"), true },
        { POPOTO_IS("text", "a"), POPOTO_VALUE("A"), false },
        { POPOTO_IS("text", (const char *)NULL), POPOTO_VALUE((const char *)NULL), true },
        { POPOTO_IS("text__startswith", ""), POPOTO_VALUE(""), true },
        { POPOTO_IS("text__endswith", "bc"), POPOTO_VALUE("abc"), true },
        { POPOTO_IS("text__endswith", "abcd"), POPOTO_VALUE("abc"), false },
        { POPOTO_IS("text__contains", "b"), POPOTO_VALUE("abc"), true },
        { POPOTO_IS("text__gt", "a"), POPOTO_VALUE("a"), false },
        { POPOTO_IS("text__gte", "a"), POPOTO_VALUE("a"), true },
        { POPOTO_IS("text__lt", "b"), POPOTO_VALUE((const char *)NULL), false },
        { POPOTO_IS("text__isnull", true), POPOTO_VALUE((const char *)NULL), true },
        { POPOTO_IS("text__isnull", false), POPOTO_VALUE(""), true },
        { POPOTO_IS("text__in", POPOTO_LIST("a", "b")), POPOTO_VALUE("b"), true },
        { POPOTO_IS("text__between", POPOTO_LIST("b", "d")), POPOTO_VALUE("d"), true },
        { POPOTO_IS("text__between", POPOTO_LIST("b", "d")), POPOTO_VALUE("da"), false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        popoto_query_desc desc = { .model = &Note, .allow_scan = true };
        asked it = { .text = "" };
        desc.where[0] = cases[i].filter;
        assert_int_equal(POPOTO_OK, plan_of(&it, &desc));
        if (popoto__condition_holds(&it.what.conditions[0], &cases[i].value) != cases[i].holds)
            fail_msg("case %zu, %s", i, cases[i].filter.lookup);
        finish(&it);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_whole_key_is_one_fetch),
        cmocka_unit_test(test_key_fields_are_answered_by_their_sets),
        cmocka_unit_test(test_ranges_are_answered_by_their_partitions_index),
        cmocka_unit_test(test_where_two_indexes_would_do_their_sizes_are_asked),
        cmocka_unit_test(test_what_no_index_answers_needs_a_scan),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_a_fields_name_may_end_in_an_underscore),
        cmocka_unit_test(test_conditions_hold_for_the_values_they_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
