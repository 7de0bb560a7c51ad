/* Plans: which Redis commands each write is made of, and what must hold for them to run. No server: a
 * plan is compared as text, a line for each expectation and each command. */
#include "plan.h"
#include "test_models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* ----- a plan as text ------------------------------------------------------------------------- */

typedef struct workshop {
    popoto_allocator allocator;
    arena memory;
    const model *of;
    failure why;
    record_write write;
    popoto_value values[8];
    plan planned;
    char text[4096];
} workshop;

static void start(workshop *it, const popoto_model *declared, write_kind kind) {
    memset(it, 0, sizeof(*it));
    it->allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    popoto__arena_init(&it->memory, &it->allocator);
    assert_int_equal(POPOTO_OK, popoto__model_compile(declared, POPOTO_DOCUMENTED, &it->memory,
                                                      &it->of, &it->why));
    it->write = (record_write){ .of = it->of, .kind = kind, .memory = &it->memory };
    it->write.values = it->values;
}

static void finish(workshop *it) {
    popoto__arena_free(&it->memory);
}

static void add(workshop *it, const char *text) {
    size_t used = strlen(it->text);
    assert_true(used + strlen(text) < sizeof(it->text));
    strcpy(it->text + used, text);
}

static void add_bytes(workshop *it, popoto_text bytes) {
    char one[8];
    add(it, " ");
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char byte = (unsigned char)bytes.data[i];
        snprintf(one, sizeof(one), byte >= 0x20 && byte < 0x7F ? "%c" : "\\x%02x", byte);
        add(it, one);
    }
}

/* "field Trade:1 exchange nyse" must hold; "HSET Trade:1 ..." is run. */
static void render(workshop *it) {
    static const char *const words[] = { "absent", "present", "field", "unique" };
    it->text[0] = '\0';
    for (size_t i = 0; i < it->planned.expectation_count; i++) {
        const expectation *what = &it->planned.expectations[i];
        add(it,
            what->kind == EXPECT_FIELD && what->value.data == NULL ? "lacks" : words[what->kind]);
        add_bytes(it, what->key);
        if (what->kind == EXPECT_FIELD)
            add_bytes(it, what->field);
        if (what->kind == EXPECT_FIELD && what->value.data != NULL)
            add_bytes(it, what->value);
        for (size_t k = 0; k < what->member_count; k++)
            add_bytes(it, what->members[k]);
        add(it, "\n");
    }
    for (size_t i = 0; i < it->planned.command_count; i++) {
        const command *what = &it->planned.commands[i];
        add(it, "  ");
        for (size_t k = 0; k < what->count; k++)
            add_bytes(it, what->arguments[k]);
        add(it, "\n");
    }
}

static void assert_plan(workshop *it, const char *expected) {
    popoto_status status = popoto__plan_write(&it->write, &it->planned, &it->why);
    if (status != POPOTO_OK)
        fail_msg("%d: %s", status, it->why.text);
    render(it);
    assert_string_equal(expected, it->text);
}

static void prepare(workshop *it) {
    popoto_status status = popoto__write_prepare(&it->write, &it->why);
    if (status != POPOTO_OK)
        fail_msg("%d: %s", status, it->why.text);
}

static popoto_status refuse(workshop *it, size_t which, const char *found, size_t size) {
    refusal one = { which, { found, size } };
    return popoto__plan_learn(&it->write, &it->planned, &one, 1, &it->why);
}

static popoto_text old_key(const char *key) {
    return (popoto_text){ key, strlen(key) };
}

static void set_episode(workshop *it) {
    it->values[0] = POPOTO_VALUE("a");
    it->values[1] = POPOTO_VALUE("1");
    it->values[2] = POPOTO_VALUE("t");
    it->values[3] = POPOTO_VALUE(1.5);
}

static void set_trade(workshop *it, int number, const char *at) {
    it->values[0] = POPOTO_VALUE(number);
    it->values[1] = POPOTO_VALUE(at);
    it->values[2] = POPOTO_VALUE("ibm");
    it->values[3] = POPOTO_VALUE(2.0);
    it->values[4] = POPOTO_VALUE(9);
    it->values[5] = POPOTO_VALUE(0.5);
    it->values[6] = (popoto_value){ POPOTO_NULL, { 0 } };
}

/* ----- tests ---------------------------------------------------------------------------------- */

#define EPISODE_HASH                                                              \
    "   HSET Episode:a:1 project_id \\xa1a episode_id \\xa11 title \\xa1t score " \
    "\\xcb?\\xf8\\x00\\x00\\x00\\x00\\x00\\x00\n"
#define EPISODE_INDEXES                                \
    "   SADD $Class:Episode Episode:a:1\n"             \
    "   SADD $KeyF:Episode:project_id:a Episode:a:1\n" \
    "   ZADD $SortedF:Episode:score:a 1.5 Episode:a:1\n"

static void test_a_fresh_record_expects_nothing(void **state) {
    workshop it;
    (void)state;
    start(&it, &Episode, WRITE_FRESH);
    set_episode(&it);
    prepare(&it);
    assert_plan(&it, EPISODE_HASH EPISODE_INDEXES);
    finish(&it);
}

static void test_a_chosen_key_must_be_free(void **state) {
    workshop it;
    (void)state;
    start(&it, &Episode, WRITE_CREATE);
    set_episode(&it);
    prepare(&it);
    assert_plan(&it, "absent Episode:a:1\n" EPISODE_HASH EPISODE_INDEXES);
    assert_int_equal(POPOTO_EXISTS, refuse(&it, 0, NULL, 0));
    assert_string_equal("'Episode:a:1' exists already: popoto_save replaces it", it.why.text);
    finish(&it);
}

static void test_replacing_under_the_same_key_leaves_the_sets_alone(void **state) {
    workshop it;
    (void)state;
    start(&it, &Episode, WRITE_REPLACE);
    set_episode(&it);
    it.write.old_key = old_key("Episode:a:1");
    prepare(&it);
    assert_plan(&it, "present Episode:a:1\n" EPISODE_HASH
                     "   ZADD $SortedF:Episode:score:a 1.5 Episode:a:1\n");
    assert_int_equal(POPOTO_NOT_FOUND, refuse(&it, 0, NULL, 0));
    finish(&it);
}

static void test_a_moved_key_takes_its_old_name_out_of_every_index(void **state) {
    workshop it;
    (void)state;
    start(&it, &Episode, WRITE_REPLACE);
    set_episode(&it);
    it.write.old_key = old_key("Episode:b:1");
    prepare(&it);
    assert_plan(&it, "present Episode:b:1\n"
                     "absent Episode:a:1\n"
                     "   RENAME Episode:b:1 Episode:a:1\n" EPISODE_HASH
                     "   SREM $Class:Episode Episode:b:1\n"
                     "   SADD $Class:Episode Episode:a:1\n"
                     "   SREM $KeyF:Episode:project_id:b Episode:b:1\n"
                     "   SADD $KeyF:Episode:project_id:a Episode:a:1\n"
                     "   ZREM $SortedF:Episode:score:b Episode:b:1\n"
                     "   ZADD $SortedF:Episode:score:a 1.5 Episode:a:1\n");
    assert_int_equal(POPOTO_EXISTS, refuse(&it, 1, NULL, 0));
    finish(&it);
}

static void test_a_partial_save_writes_the_named_fields_alone(void **state) {
    const bool named[] = { false, false, true, false };
    workshop it;
    (void)state;
    start(&it, &Episode, WRITE_REPLACE);
    set_episode(&it);
    it.write.old_key = old_key("Episode:a:1");
    it.write.named = named;
    prepare(&it);
    assert_plan(&it, "present Episode:a:1\n"
                     "   HSET Episode:a:1 title \\xa1t\n");
    finish(&it);
}

static void test_a_unique_value_may_be_held_by_the_record_alone(void **state) {
    workshop it;
    (void)state;
    start(&it, &Session, WRITE_CREATE);
    it.values[0] = POPOTO_VALUE("x");
    it.values[1] = POPOTO_VALUE("ann");
    it.values[2] = POPOTO_VALUE(7);
    prepare(&it);
    assert_plan(&it, "absent Session:x:ann\n"
                     "unique $UniqueKeyF:Session:user:ann Session:x:ann Session:x:ann\n"
                     "   HSET Session:x:ann site \\xa1x user \\xa3ann seen \\x07\n"
                     "   EXPIRE Session:x:ann 1\n"
                     "   SADD $Class:Session Session:x:ann\n"
                     "   SADD $KeyF:Session:site:x Session:x:ann\n"
                     "   SADD $UniqueKeyF:Session:user:ann Session:x:ann\n"
                     "   ZADD $SortedF:Session:seen:x 7.0 Session:x:ann\n");
    /* Another one holds it: if that has expired, it goes. */
    assert_int_equal(POPOTO_OK, refuse(&it, 1, "Session:y:ann", 13));
    assert_plan(&it,
                "absent Session:x:ann\n"
                "unique $UniqueKeyF:Session:user:ann Session:x:ann Session:x:ann Session:y:ann\n"
                "absent Session:y:ann\n"
                "   SREM $UniqueKeyF:Session:user:ann Session:y:ann\n"
                "   HSET Session:x:ann site \\xa1x user \\xa3ann seen \\x07\n"
                "   EXPIRE Session:x:ann 1\n"
                "   SADD $Class:Session Session:x:ann\n"
                "   SADD $KeyF:Session:site:x Session:x:ann\n"
                "   SADD $UniqueKeyF:Session:user:ann Session:x:ann\n"
                "   ZADD $SortedF:Session:seen:x 7.0 Session:x:ann\n");
    assert_int_equal(POPOTO_DUPLICATE, refuse(&it, 2, NULL, 0));
    assert_string_equal("Session.user = 'ann' is taken by another record", it.why.text);
    finish(&it);
}

#define TRADE_HASH(number, exchange)                                                 \
    "   HSET Trade:1 number " number " exchange " exchange " symbol \\xa3ibm price " \
    "\\xcb@\\x00\\x00\\x00\\x00\\x00\\x00\\x00 volume \\x09 belief "                 \
    "\\xcb?\\xe0\\x00\\x00\\x00\\x00\\x00\\x00 note \\xc0\n"
#define ENTRY                                                                               \
    "\\x84\\xaaconfidence\\xcb?\\xe0\\x00\\x00\\x00\\x00\\x00\\x00\\xaeevidence_count\\x00" \
    "\\xaecorroborations\\x00\\xaecontradictions\\x00"

static void test_a_partition_that_changed_is_learnt_from_the_refusal(void **state) {
    workshop it;
    (void)state;
    start(&it, &Trade, WRITE_REPLACE);
    set_trade(&it, 1, "nyse");
    it.write.old_key = old_key("Trade:1");
    prepare(&it);
    /* First, that the record is where the object says. */
    assert_plan(
        &it, "present Trade:1\n"
             "field Trade:1 exchange \\xa4nyse\n"
             "field Trade:1 symbol \\xa3ibm\n" TRADE_HASH(
                 "\\x01", "\\xa4nyse") "   ZADD $SortedF:Trade:price:nyse:ibm 2.0 Trade:1\n"
                                       "   ZADD $SortedF:Trade:volume 9.0 Trade:1\n"
                                       "   HSETNX $ConfidencF:Trade:belief:data:nyse Trade:1 " ENTRY
                                       "\n");
    /* Then, from where it is. */
    assert_int_equal(POPOTO_OK, refuse(&it, 1, "\xa3lse", 4));
    assert_plan(
        &it, "present Trade:1\n"
             "field Trade:1 exchange \\xa3lse\n"
             "field Trade:1 symbol \\xa3ibm\n" TRADE_HASH(
                 "\\x01", "\\xa4nyse") "   ZREM $SortedF:Trade:price:lse:ibm Trade:1\n"
                                       "   ZADD $SortedF:Trade:price:nyse:ibm 2.0 Trade:1\n"
                                       "   ZADD $SortedF:Trade:volume 9.0 Trade:1\n"
                                       "   MOVE $ConfidencF:Trade:belief:data:lse "
                                       "$ConfidencF:Trade:belief:data:nyse "
                                       "Trade:1 Trade:1\n"
                                       "   HSETNX $ConfidencF:Trade:belief:data:nyse Trade:1 " ENTRY
                                       "\n");
    finish(&it);
}

static void test_a_save_of_a_new_object_finds_out_that_there_is_no_record(void **state) {
    workshop it;
    (void)state;
    start(&it, &Trade, WRITE_STORE);
    set_trade(&it, 1, "nyse");
    prepare(&it);
    assert_int_equal(POPOTO_OK, popoto__plan_write(&it.write, &it.planned, &it.why));
    refusal nothing[] = { { 0, { NULL, 0 } }, { 1, { NULL, 0 } } };
    assert_int_equal(POPOTO_OK, popoto__plan_learn(&it.write, &it.planned, nothing, 2, &it.why));
    assert_plan(
        &it, "lacks Trade:1 exchange\n"
             "lacks Trade:1 symbol\n" TRADE_HASH(
                 "\\x01", "\\xa4nyse") "   SADD $Class:Trade Trade:1\n"
                                       "   SADD $KeyF:Trade:number:1 Trade:1\n"
                                       "   ZADD $SortedF:Trade:price:nyse:ibm 2.0 Trade:1\n"
                                       "   ZADD $SortedF:Trade:volume 9.0 Trade:1\n"
                                       "   HSETNX $ConfidencF:Trade:belief:data:nyse Trade:1 " ENTRY
                                       "\n");
    finish(&it);
}

static void test_delete_takes_the_record_and_every_entry(void **state) {
    workshop it;
    (void)state;
    start(&it, &Trade, WRITE_DELETE);
    set_trade(&it, 1, "nyse");
    it.write.old_key = old_key("Trade:1");
    prepare(&it);
    assert_plan(&it, "present Trade:1\n"
                     "field Trade:1 exchange \\xa4nyse\n"
                     "field Trade:1 symbol \\xa3ibm\n"
                     "   DEL Trade:1\n"
                     "   SREM $Class:Trade Trade:1\n"
                     "   SREM $KeyF:Trade:number:1 Trade:1\n"
                     "   ZREM $SortedF:Trade:price:nyse:ibm Trade:1\n"
                     "   ZREM $SortedF:Trade:volume Trade:1\n"
                     "   HDEL $ConfidencF:Trade:belief:data:nyse Trade:1\n");
    finish(&it);
}

static void test_if_unchanged_gives_up_where_a_field_changed(void **state) {
    workshop it;
    (void)state;
    start(&it, &Trade, WRITE_REPLACE);
    set_trade(&it, 1, "nyse");
    it.write.old_key = old_key("Trade:1");
    it.write.if_unchanged = true;
    prepare(&it);
    assert_int_equal(POPOTO_OK, popoto__plan_write(&it.write, &it.planned, &it.why));
    assert_int_equal(POPOTO_CHANGED, refuse(&it, 1, "\xa3lse", 4));
    assert_non_null(strstr(it.why.text, "changed exchange"));
    finish(&it);
}

static void test_an_expired_record_is_forgotten_if_it_is_still_gone(void **state) {
    workshop it;
    (void)state;
    start(&it, &Episode, WRITE_DELETE);
    popoto__plan_init(&it.planned, &it.memory);
    assert_int_equal(POPOTO_OK,
                     popoto__plan_forget(it.of, old_key("Episode:a:1"), (popoto_text){ NULL, 0 },
                                         &it.planned, &it.why));
    render(&it);
    assert_string_equal("absent Episode:a:1\n"
                        "   SREM $Class:Episode Episode:a:1\n"
                        "   SREM $KeyF:Episode:project_id:a Episode:a:1\n"
                        "   ZREM $SortedF:Episode:score:a Episode:a:1\n",
                        it.text);
    finish(&it);
}

static void test_a_refusal_of_what_was_not_expected_is_no_reply_of_ours(void **state) {
    workshop it;
    (void)state;
    start(&it, &Episode, WRITE_CREATE);
    set_episode(&it);
    prepare(&it);
    assert_int_equal(POPOTO_OK, popoto__plan_write(&it.write, &it.planned, &it.why));
    assert_int_equal(POPOTO_BAD_REPLY, refuse(&it, 1, NULL, 0));
    finish(&it);
}

static void test_values_that_cannot_be_stored_are_named(void **state) {
    workshop it;
    (void)state;
    start(&it, &Episode, WRITE_CREATE);
    set_episode(&it);
    it.values[2] = POPOTO_VALUE("\xff");
    assert_int_equal(POPOTO_BAD_VALUE, popoto__write_prepare(&it.write, &it.why));
    assert_string_equal("Episode.title = '\\xff' cannot be stored: its text is not valid UTF-8",
                        it.why.text);
    finish(&it);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fresh_record_expects_nothing),
        cmocka_unit_test(test_a_chosen_key_must_be_free),
        cmocka_unit_test(test_replacing_under_the_same_key_leaves_the_sets_alone),
        cmocka_unit_test(test_a_moved_key_takes_its_old_name_out_of_every_index),
        cmocka_unit_test(test_a_partial_save_writes_the_named_fields_alone),
        cmocka_unit_test(test_a_unique_value_may_be_held_by_the_record_alone),
        cmocka_unit_test(test_a_partition_that_changed_is_learnt_from_the_refusal),
        cmocka_unit_test(test_a_save_of_a_new_object_finds_out_that_there_is_no_record),
        cmocka_unit_test(test_delete_takes_the_record_and_every_entry),
        cmocka_unit_test(test_if_unchanged_gives_up_where_a_field_changed),
        cmocka_unit_test(test_an_expired_record_is_forgotten_if_it_is_still_gone),
        cmocka_unit_test(test_a_refusal_of_what_was_not_expected_is_no_reply_of_ours),
        cmocka_unit_test(test_values_that_cannot_be_stored_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
