/* Records that are kept where they are: what goes straight into the request is, byte for byte, what the plan's shape
 * makes of it; and whatever else a save is, it is planned. No server. */
#include "failing_allocator.h"
#include "kept.h"
#include "test_models.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Values that are encoded before they are sent, and texts of several sizes. */
typedef struct visit {
    popoto_object object;
    const char *place;
    popoto_day day;
    popoto_value tags;
    const char *note;
    int64_t count;
    bool open;
} visit;

static const popoto_field visit_fields[] = {
    POPOTO_KEY(visit, place),
    POPOTO_SORTED(visit, day),
    POPOTO_FIELD(visit, tags),
    POPOTO_FIELD(visit, note),
    POPOTO_SORTED(visit, count, .partition_by = "place"),
    POPOTO_FIELD(visit, open),
};
static const popoto_model Visit =
    POPOTO_MODEL("Visit", visit, visit_fields, .time_to_live = 100000);

static const popoto_model *const models[] = { &Episode, &Memory, &Session, &Visit };
#define MODELS (sizeof models / sizeof *models)

/* One save of a model's record, and what is known of scripts. */
typedef struct workshop {
    arena memory;
    const model *of;
    failure why;
    popoto_value values[8];
    bool named[8];
    record_write write;
    plan planned;
    kept_script known[KEPT_SCRIPTS];
    shape_script script;
} workshop;

static void open_workshop(workshop *it, const popoto_allocator *allocator) {
    memset(it, 0, sizeof *it);
    popoto__arena_init(&it->memory, allocator);
    strcpy(it->script.sha, "0123456789abcdef0123456789abcdef01234567");
    it->script.sha_size = strlen(it->script.sha);
}

static bool set_model(workshop *it, const popoto_model *declared) {
    static const char *const texts[] = {
        "a:/", "b-c", "of more than thirty-one bytes, so that it has a head of two", "d e", "f",
    };
    static popoto_value tags[] = { { POPOTO_BOOL, { .boolean = true } } };
    if (popoto__model_compile(declared, POPOTO_DOCUMENTED, &it->memory, &it->of, &it->why) !=
        POPOTO_OK)
        return false;
    for (size_t i = 0; i < it->of->field_count; i++) {
        popoto_type type = it->of->fields[i].type;
        it->values[i] = type == POPOTO_TEXT
                            ? popoto_of_text(texts[i % (sizeof texts / sizeof *texts)])
                        : type == POPOTO_INT  ? popoto_of_int((int64_t)i * 1000)
                        : type == POPOTO_DAY  ? popoto_of_day((popoto_day){ 2020, 2, 29 })
                        : type == POPOTO_ANY  ? popoto_of_items(POPOTO_LIST, tags, 1)
                        : type == POPOTO_BOOL ? popoto_of_bool(true)
                                              : popoto_of_float(0.25);
    }
    return true;
}

/* The fields of `mask` are named; 0: all are stored. */
static bool prepare(workshop *it, unsigned mask) {
    for (size_t i = 0; i < it->of->field_count; i++)
        it->named[i] = (mask >> i & 1U) != 0;
    it->write = (record_write){ .of = it->of,
                                .kind = WRITE_REPLACE,
                                .memory = &it->memory,
                                .values = it->values,
                                .named = mask == 0 ? NULL : it->named,
                                .encodes_late = true };
    if (popoto__write_place(&it->write, &it->why) != POPOTO_OK)
        return false;
    it->write.old_key = it->write.place.key;
    return popoto__write_prepare(&it->write, &it->why) == POPOTO_OK &&
           popoto__plan_write(&it->write, &it->planned, &it->why) == POPOTO_OK;
}

static void note(workshop *it) {
    popoto__kept_note(it->known, &it->write, &it->planned, &it->script);
}

static void assert_rendered_as_planned(workshop *it, bool all) {
    buffer direct, planned;
    write_shape form;
    uint64_t content;
    popoto__buffer_init(&direct, it->memory.allocator);
    popoto__buffer_init(&planned, it->memory.allocator);
    assert_true(popoto__shape_of(&it->planned, &form));
    popoto__shape_render(&form, &it->script, &planned);
    popoto__buffer_append_text(&direct, "before");
    assert_true(popoto__kept_render(&it->write, &it->script, &direct, &content));
    assert_int_equal(planned.size + 6, direct.size);
    assert_memory_equal(planned.data, direct.data + 6, planned.size);
    assert_int_equal(all, content != 0);
    popoto__buffer_free(&direct);
    popoto__buffer_free(&planned);
}

static void test_what_is_sent_is_what_a_plan_would_send(void **state) {
    popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    workshop it;
    (void)state;
    for (size_t m = 0; m < MODELS; m++)
        for (unsigned mask = 0; mask < 1U << models[m]->field_count; mask++) {
            open_workshop(&it, &allocator);
            assert_true(set_model(&it, models[m]));
            assert_true(prepare(&it, mask));
            assert_null(popoto__kept_find(it.known, &it.write));
            note(&it);
            assert_ptr_equal(&it.script, popoto__kept_find(it.known, &it.write));
            assert_rendered_as_planned(&it, mask == 0 || mask + 1 == 1U << models[m]->field_count);
            popoto__arena_free(&it.memory);
        }
}

static void test_a_script_is_found_for_its_own_model_and_fields(void **state) {
    popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    workshop it;
    (void)state;
    open_workshop(&it, &allocator);
    assert_true(set_model(&it, &Episode));
    assert_true(prepare(&it, 1U << 3));
    note(&it);
    assert_true(prepare(&it, 1U << 2));
    assert_null(popoto__kept_find(it.known, &it.write));
    assert_true(set_model(&it, &Memory));
    assert_true(prepare(&it, 1U << 3));
    assert_null(popoto__kept_find(it.known, &it.write));
    popoto__arena_free(&it.memory);
}

/* Whether a save that differs in something is still one of a record that is kept. */
static bool is_found(workshop *it, void (*change)(workshop *)) {
    record_write before = it->write;
    change(it);
    bool found = popoto__kept_find(it->known, &it->write) != NULL;
    it->write = before;
    return found;
}

static void change_nothing(workshop *it) {
    (void)it;
}
static void create(workshop *it) {
    it->write.kind = WRITE_CREATE;
}
static void store(workshop *it) {
    it->write.kind = WRITE_STORE;
}
static void delete_it(workshop *it) {
    it->write.kind = WRITE_DELETE;
}
static void move(workshop *it) {
    it->write.moves_key = true;
}
static void compare(workshop *it) {
    it->write.if_unchanged = true;
}
static void pin(workshop *it) {
    it->write.pinned = it->named;
}

static void test_every_other_write_is_planned(void **state) {
    popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    workshop it;
    (void)state;
    open_workshop(&it, &allocator);
    assert_true(set_model(&it, &Episode));
    assert_true(prepare(&it, 0));
    note(&it);
    assert_true(is_found(&it, change_nothing));
    assert_false(is_found(&it, create));
    assert_false(is_found(&it, store));
    assert_false(is_found(&it, delete_it));
    assert_false(is_found(&it, move));
    assert_false(is_found(&it, compare));
    assert_false(is_found(&it, pin));
    /* A record may move between partitions that its key does not tell. */
    assert_true(set_model(&it, &Trade));
    assert_true(prepare(&it, 0));
    note(&it);
    assert_null(popoto__kept_find(it.known, &it.write));
    popoto__arena_free(&it.memory);
}

static void test_what_cannot_be_stored_leaves_the_request_as_it_was(void **state) {
    popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    workshop it;
    buffer out;
    uint64_t content;
    (void)state;
    open_workshop(&it, &allocator);
    popoto__buffer_init(&out, &allocator);
    popoto__buffer_append_text(&out, "before");
    assert_true(set_model(&it, &Episode));
    assert_true(prepare(&it, 0));
    it.values[2] = popoto_of_text("\xff");
    assert_false(popoto__kept_render(&it.write, &it.script, &out, &content));
    assert_int_equal(6, out.size);
    assert_false(out.failed);
    popoto__buffer_free(&out);
    popoto__arena_free(&it.memory);
}

/* With one allocation failing: false, or right. */
static bool save_twice(const popoto_allocator *allocator, const popoto_model *declared) {
    workshop it;
    uint64_t content;
    buffer out;
    open_workshop(&it, allocator);
    popoto__buffer_init(&out, allocator);
    bool done = set_model(&it, declared) && prepare(&it, 0);
    if (done)
        note(&it);
    const shape_script *found = done ? popoto__kept_find(it.known, &it.write) : NULL;
    done = found != NULL && popoto__kept_render(&it.write, found, &out, &content);
    if (!done)
        assert_int_equal(0, out.size);
    popoto__buffer_free(&out);
    popoto__arena_free(&it.memory);
    return done;
}

static void test_every_allocation_may_fail(void **state) {
    failing_allocator memory;
    (void)state;
    for (size_t m = 0; m < MODELS; m++)
        for (size_t n = 1;; n++) {
            failing_allocator_init(&memory, n);
            bool done = save_twice(&memory.allocator, models[m]);
            assert_int_equal(0, memory.live_blocks);
            if (!memory.failed) {
                assert_true(done);
                break;
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_sent_is_what_a_plan_would_send),
        cmocka_unit_test(test_a_script_is_found_for_its_own_model_and_fields),
        cmocka_unit_test(test_every_other_write_is_planned),
        cmocka_unit_test(test_what_cannot_be_stored_leaves_the_request_as_it_was),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
