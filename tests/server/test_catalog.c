/* Published models, those of a description, and inferred ones: what comes out is the model that went in,
 * and works on the database that it was made for. */
#include "databases.h"
#include "failing_allocator.h"
#include "server.h"
#include "test_models.h"

#include <popoto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* Every option there is. */
typedef struct item {
    popoto_object object;
    const char *project;
    char id[40];
    const char *name;
    int64_t shelf;
    double price;
    popoto_time seen;
    double trust, belief;
    const char *note;
    popoto_value more;
} item;

static const popoto_field item_fields[] = {
    POPOTO_TENANT(item, project),
    POPOTO_AUTO_KEY(item, id, .generate = POPOTO_ULID),
    POPOTO_UNIQUE_KEY(item, name, .max_length = 100),
    POPOTO_FIELD(item, shelf, .default_value = POPOTO_DEFAULT_INT(3)),
    POPOTO_SORTED(item, price, .partition_by = "project, shelf"),
    POPOTO_SORTED(item, seen),
    POPOTO_CONFIDENCE(item, trust, .initial_confidence = POPOTO_ZERO, .evidence_cap = 5),
    POPOTO_CONFIDENCE(item, belief, .partition_by = "shelf", .initial_confidence = 0.25),
    POPOTO_FIELD(item, note, .null = true, .default_value = POPOTO_DEFAULT_TEXT("\xc3\xa9")),
    POPOTO_FIELD(item, more, .null = true),
};
static const popoto_model Item = POPOTO_MODEL("Item", item, item_fields, .time_to_live = 60);

static void assert_same_text(const char *a, const char *b) {
    assert_true((a == NULL) == (b == NULL));
    if (a != NULL)
        assert_string_equal(a, b);
}

/* As far as a model of records can be the same as one of structs. */
static void assert_same_model(const popoto_model *wanted, const popoto_model *got) {
    static const popoto_type types[] = {
        [POPOTO_MEMBER_STRING] = POPOTO_TEXT, [POPOTO_MEMBER_ARRAY] = POPOTO_TEXT,
        [POPOTO_MEMBER_SIGNED] = POPOTO_INT,  [POPOTO_MEMBER_FLOAT] = POPOTO_FLOAT,
        [POPOTO_MEMBER_TIME] = POPOTO_TIME,   [POPOTO_MEMBER_VALUE] = POPOTO_ANY,
        [POPOTO_MEMBER_ID] = POPOTO_TEXT,
    };
    assert_non_null(got);
    assert_string_equal(wanted->name, got->name);
    assert_int_equal(0, got->size);
    assert_int_equal(wanted->time_to_live, got->time_to_live);
    assert_int_equal(wanted->field_count, got->field_count);
    for (size_t i = 0; i < wanted->field_count; i++) {
        const popoto_field *a = &wanted->fields[i], *b = &got->fields[i];
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->kind, b->kind);
        assert_int_equal(a->member == POPOTO_MEMBER_NONE ? a->type : types[a->member], b->type);
        assert_int_equal(POPOTO_MEMBER_NONE, b->member);
        assert_same_text(a->partition_by, b->partition_by);
        assert_int_equal(a->null, b->null);
        assert_true(popoto_value_equal(&a->default_value, &b->default_value));
        assert_int_equal(a->max_length, b->max_length);
        assert_int_equal(a->generate, b->generate);
        if (a->kind == POPOTO_KIND_CONFIDENCE) {
            assert_true((a->initial_confidence == 0 ? 0.5 : a->initial_confidence) ==
                        b->initial_confidence);
            assert_int_equal(a->evidence_cap == 0 ? 20 : a->evidence_cap, b->evidence_cap);
        }
    }
}

static void assert_has(const char *text, const char *part) {
    if (strstr(text, part) == NULL)
        fail_msg("%s lacks %s", text, part);
}

static void test_published_models_come_back(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_catalog *catalog = (void *)1;
    assert_ok(db, popoto_catalog_published(db, &catalog));
    assert_int_equal(0, popoto_catalog_count(catalog));
    popoto_catalog_free(catalog);
    const popoto_model *models[] = { &Memory, &Item, &Episode, &Note, &Trade };
    assert_ok(db, popoto_publish(db, models, 5));
    assert_ok(db, popoto_publish(db, models, 5));
    assert_string_equal("5", server_command(s, "HLEN $Popoto:Models"));
    assert_ok(db, popoto_catalog_published(db, &catalog));
    assert_int_equal(5, popoto_catalog_count(catalog));
    const popoto_model *sorted[] = { &Episode, &Item, &Memory, &Note, &Trade };
    for (size_t i = 0; i < 5; i++) {
        assert_same_model(sorted[i], popoto_catalog_model(catalog, i));
        assert_null(popoto_catalog_note(catalog, i));
        assert_ok(db, popoto_model_check(db, popoto_catalog_model(catalog, i)));
        /* From its value again. */
        popoto_catalog *again;
        assert_ok(db, popoto_catalog_from_value(db, popoto_catalog_value(catalog, i), &again));
        assert_int_equal(1, popoto_catalog_count(again));
        assert_same_model(sorted[i], popoto_catalog_model(again, 0));
        assert_true(
            popoto_value_equal(popoto_catalog_value(catalog, i), popoto_catalog_value(again, 0)));
        popoto_catalog_free(again);
    }
    assert_null(popoto_catalog_model(catalog, 5));
    assert_null(popoto_catalog_value(catalog, 5));
    assert_null(popoto_catalog_note(catalog, 5));
    popoto_close(db);
    popoto_catalog_free(catalog);
    popoto_catalog_free(NULL);
    assert_int_equal(0, popoto_catalog_count(NULL));
    server_flush(s);
}

/* What stands in docs/keys.md. */
static void test_a_short_description(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_value id[] = { POPOTO_VALUE("name"), POPOTO_VALUE("episode_id"), POPOTO_VALUE("kind"),
                          POPOTO_VALUE("auto_key") };
    popoto_value project[] = { POPOTO_VALUE("name"), POPOTO_VALUE("project_id"),
                               POPOTO_VALUE("kind"), POPOTO_VALUE("key") };
    popoto_value score[] = { POPOTO_VALUE("name"),         POPOTO_VALUE("score"),
                             POPOTO_VALUE("kind"),         POPOTO_VALUE("sorted"),
                             POPOTO_VALUE("type"),         POPOTO_VALUE("float"),
                             POPOTO_VALUE("partition_by"), POPOTO_VALUE("project_id") };
    popoto_value fields[] = { popoto_of_items(POPOTO_MAP, project, 4),
                              popoto_of_items(POPOTO_MAP, id, 4),
                              popoto_of_items(POPOTO_MAP, score, 8) };
    popoto_value model[] = { POPOTO_VALUE("name"), POPOTO_VALUE("Episode"), POPOTO_VALUE("fields"),
                             popoto_of_items(POPOTO_LIST, fields, 3) };
    popoto_value described = popoto_of_items(POPOTO_MAP, model, 4);
    popoto_value list = popoto_of_items(POPOTO_LIST, &described, 1);
    popoto_catalog *catalog;
    assert_ok(db, popoto_catalog_from_value(db, &list, &catalog));
    episode one = { .project_id = "p", .title = "t", .score = 2 };
    assert_ok(db, popoto_create(db, &Episode, &one));
    popoto_rows *rows;
    popoto_query_desc desc = { .model = popoto_catalog_model(catalog, 0),
                               .where = { POPOTO_IS("project_id", "p"),
                                          POPOTO_IS("score__gt", 1) } };
    assert_ok(db, popoto_query(db, &desc, &rows));
    assert_int_equal(1, popoto_rows_count(rows));
    assert_string_equal(one.episode_id.text,
                        popoto_record_get(popoto_rows_at(rows, 0), "episode_id")->as.text.data);
    popoto_rows_free(rows);
    popoto_close(db);
    popoto_catalog_free(catalog);
    server_flush(s);
}

#define MAP(...)                                                 \
    popoto_of_items(POPOTO_MAP, (popoto_value[]){ __VA_ARGS__ }, \
                    sizeof((popoto_value[]){ __VA_ARGS__ }) / sizeof(popoto_value))
#define T(text) popoto_of_text(text)

static void test_what_is_wrong_with_a_description(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_catalog *catalog = (void *)1;
    assert_fails(POPOTO_BAD_ARGUMENT, "description", db,
                 popoto_catalog_from_value(db, NULL, &catalog));
    assert_null(catalog);
    popoto_value key = MAP(T("name"), T("id"), T("kind"), T("key"), T("type"), T("text"));
    const struct {
        const char *part;
        popoto_value value;
    } wrong[] = {
        { "map", popoto_of_int(3) },
        { "no option of a model", MAP(T("name"), T("M"), T("tpye"), T("x")) },
        { "list of 1 to 256", MAP(T("name"), T("M"), T("fields"), T("x")) },
        { "has 0 fields", MAP(T("name"), T("M")) },
        { "cannot be named", MAP(T("name"), T("M:"), T("fields"), POPOTO_LIST(key)) },
        { "is a text", MAP(T("name"), popoto_of_int(1)) },
        { "described by a map", MAP(T("name"), T("M"), T("fields"), POPOTO_LIST(1)) },
        { "has no name",
          MAP(T("name"), T("M"), T("fields"), POPOTO_LIST(MAP(T("kind"), T("key")))) },
        { "is one of field key auto_key",
          MAP(T("name"), T("M"), T("fields"),
              POPOTO_LIST(MAP(T("name"), T("a"), T("kind"), T("kye")))) },
        { "M.a", MAP(T("name"), T("M"), T("fields"),
                     POPOTO_LIST(MAP(T("name"), T("a"), T("type"), T("txet")))) },
        { "no option of a field", MAP(T("name"), T("M"), T("fields"),
                                      POPOTO_LIST(MAP(T("name"), T("a"), T("what"), T("b")))) },
        { "true or false", MAP(T("name"), T("M"), T("fields"),
                               POPOTO_LIST(MAP(T("name"), T("a"), T("null"), T("b")))) },
        { "not negative",
          MAP(T("name"), T("M"), T("fields"),
              POPOTO_LIST(MAP(T("name"), T("a"), T("max_length"), popoto_of_int(-1)))) },
        { "between 0 and 1",
          MAP(T("name"), T("M"), T("fields"),
              POPOTO_LIST(MAP(T("name"), T("a"), T("initial_confidence"), popoto_of_int(2)))) },
        { "not negative", MAP(T("name"), T("M"), T("time_to_live"), popoto_of_int(-1)) },
        { "has no key", MAP(T("name"), T("M"), T("fields"), POPOTO_LIST(MAP(T("name"), T("a")))) },
        { "partition_by names",
          MAP(T("name"), T("M"), T("fields"),
              POPOTO_LIST(key, MAP(T("name"), T("s"), T("kind"), T("sorted"), T("type"), T("int"),
                                   T("partition_by"), T("nothing")))) },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_fails(POPOTO_BAD_MODEL, wrong[i].part, db,
                     popoto_catalog_from_value(db, &wrong[i].value, &catalog));
        assert_null(catalog);
    }
    popoto_close(db);
}

static void test_what_is_wrong_with_publishing(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_catalog *catalog = (void *)1;
    const popoto_model *models[] = { &Memory, NULL };
    const popoto_model bad = { .name = "no name" };
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_publish(NULL, models, 1));
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_catalog_published(NULL, &catalog));
    assert_null(catalog);
    assert_fails(POPOTO_BAD_ARGUMENT, "models", db, popoto_publish(db, NULL, 1));
    assert_fails(POPOTO_BAD_ARGUMENT, "model", db, popoto_publish(db, models, 2));
    models[1] = &bad;
    assert_fails(POPOTO_BAD_MODEL, "no name", db, popoto_publish(db, models, 2));
    assert_string_equal("", server_dump(s)); /* not the first either */
    server_command(s, "HSET $Popoto:Models Memory %b", "\xc1", (size_t)1);
    assert_fails(POPOTO_CORRUPT, "'Memory'", db, popoto_catalog_published(db, &catalog));
    assert_int_equal(0, popoto_catalog_count(catalog));
    popoto_catalog_free(catalog);
    server_command(s, "HSET $Popoto:Models Memory %b", "\x80", (size_t)1);
    assert_fails(POPOTO_CORRUPT, "'Memory'", db, popoto_catalog_published(db, &catalog));
    popoto_catalog_free(catalog);
    assert_ok(db, popoto_publish(db, models, 1));
    server_command(s, "EVAL %s 0",
                   "local k = '$Popoto:Models' redis.call('HSET', k, 'Other', "
                   "redis.call('HGET', k, 'Memory'))");
    assert_fails(POPOTO_CORRUPT, "another name", db, popoto_catalog_published(db, &catalog));
    popoto_catalog_free(catalog);
    server_command(s, "DEL $Popoto:Models");
    server_command(s, "SET $Popoto:Models x");
    assert_status(POPOTO_CORRUPT, db, popoto_catalog_published(db, &catalog));
    assert_null(catalog);
    assert_status(POPOTO_CORRUPT, db, popoto_publish(db, models, 1));
    popoto_close(db);
    server_flush(s);
}

/* The others can be used, and those that cannot are named. */
static void test_some_are_broken(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_catalog *catalog;
    popoto_text name;
    const popoto_model *models[] = { &Item, &Memory };
    assert_ok(db, popoto_publish(db, models, 2));
    server_command(s, "HSET $Popoto:Models Zebra %b", "\xc1", (size_t)1);
    server_command(s, "EVAL %s 0",
                   "local k = '$Popoto:Models' redis.call('HSET', k, 'Ape', "
                   "redis.call('HGET', k, 'Memory'))");
    assert_fails(POPOTO_CORRUPT, "'Ape'", db, popoto_catalog_published(db, &catalog));
    assert_int_equal(2, popoto_catalog_count(catalog));
    assert_string_equal("Item", popoto_catalog_model(catalog, 0)->name);
    assert_string_equal("Memory", popoto_catalog_model(catalog, 1)->name);
    assert_int_equal(2, popoto_catalog_problem_count(catalog));
    assert_has(popoto_catalog_problem(catalog, 0, &name), "another name");
    assert_string_equal("Ape", name.data);
    assert_has(popoto_catalog_problem(catalog, 1, NULL), "'Zebra'");
    assert_null(popoto_catalog_problem(catalog, 2, &name));
    assert_null(name.data);
    assert_int_equal(0, popoto_catalog_problem_count(NULL));
    assert_null(popoto_catalog_problem(NULL, 0, NULL));
    popoto_catalog_free(catalog);
    failing_allocator memory;
    bool failed = true;
    for (size_t n = 1; failed; n++) {
        popoto_db *poor = opened_to_fail(s, &memory, n);
        popoto_status status = popoto_catalog_published(poor, &catalog);
        failed = memory.failed;
        assert_int_equal(failed ? POPOTO_NO_MEMORY : POPOTO_CORRUPT, status);
        assert_true((catalog == NULL) == failed);
        popoto_close(poor);
        popoto_catalog_free(catalog);
        assert_int_equal(0, memory.live_blocks);
    }
    popoto_close(db);
    server_flush(s);
}

static void test_another_dialect_is_noted(void **state) {
    server *s = *state;
    popoto_db *shared =
        popoto_open(server_url(s), &(popoto_options){ .dialect = POPOTO_AS_POPOTO });
    popoto_db *db = opened(s);
    const popoto_model *models[] = { &Memory };
    popoto_catalog *catalog;
    assert_ok(shared, popoto_publish(shared, models, 1));
    assert_ok(db, popoto_catalog_published(db, &catalog));
    assert_non_null(strstr(popoto_catalog_note(catalog, 0), "dialect of Popoto"));
    assert_int_equal(POPOTO_AS_POPOTO, popoto_catalog_dialect(catalog, 0));
    assert_int_equal(POPOTO_DOCUMENTED, popoto_catalog_dialect(catalog, 1));
    assert_int_equal(POPOTO_DOCUMENTED, popoto_catalog_dialect(NULL, 0));
    popoto_catalog_free(catalog);
    assert_ok(shared, popoto_catalog_published(shared, &catalog));
    assert_null(popoto_catalog_note(catalog, 0));
    assert_int_equal(POPOTO_AS_POPOTO, popoto_catalog_dialect(catalog, 0));
    popoto_close(shared);
    popoto_close(db);
    popoto_catalog_free(catalog);
    server_flush(s);
}

/* ----- Inferred ----------------------------------------------------------------------------------- */

static const popoto_model *inferred(const popoto_catalog *catalog, const char *name) {
    for (size_t i = 0; i < popoto_catalog_count(catalog); i++)
        if (strcmp(popoto_catalog_model(catalog, i)->name, name) == 0) {
            assert_non_null(strstr(popoto_catalog_note(catalog, i), "inferred from"));
            return popoto_catalog_model(catalog, i);
        }
    fail_msg("no model %s was inferred", name);
    return NULL;
}

/* "owner:key:text id:auto_key:text ..." */
static const char *fields_of(const popoto_model *model) {
    static const char *const kinds[] = { "field",  "key",        "auto_key", "unique_key",
                                         "sorted", "confidence", "tenant" };
    static const char *const types[] = { "null",  "bool",  "int", "float", "text",
                                         "bytes", "time",  "day", "clock", "decimal",
                                         "list",  "tuple", "set", "map",   "any" };
    static char text[1000];
    text[0] = '\0';
    for (size_t i = 0; i < model->field_count; i++) {
        const popoto_field *it = &model->fields[i];
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s %s %s%s%s", i ? "; " : "",
                 it->name, kinds[it->kind], types[it->type], it->partition_by ? " by " : "",
                 it->partition_by ? it->partition_by : "");
    }
    return text;
}

/* Fields that are no part of the key come in any order. */
static void fill(popoto_db *db) {
    for (int i = 0; i < 40; i++) {
        char name[24];
        snprintf(name, sizeof name, "k-%d", i);
        episode e = { .project_id = i % 2 ? "p" : "q:r", .title = "t", .score = i };
        assert_ok(db, popoto_create(db, &Episode, &e));
        fact f = { .project = i % 2 ? "p" : "q", .key = name };
        assert_ok(db, popoto_create(db, &Memory, &f));
        trade t = { .number = i, .exchange = i % 3 ? "x" : "y", .symbol = i % 5 ? "s" : "t" };
        assert_ok(db, popoto_create(db, &Trade, &t));
        item m = {
            .project = i % 3 ? "one" : "other{1}", .name = name, .shelf = i % 2, .price = i / 3.0
        };
        assert_ok(db, popoto_create(db, &Item, &m));
    }
}

static void check_all(popoto_db *db) {
    popoto_catalog *catalog;
    assert_ok(db, popoto_catalog_infer(db, &catalog));
    assert_int_equal(4, popoto_catalog_count(catalog));
    const char *text = fields_of(inferred(catalog, "Memory"));
    assert_has(text, "project key text");
    assert_has(text, "key unique_key text");
    assert_has(text, "certainty confidence float by project");
    assert_has(text, "content field any");
    text = fields_of(inferred(catalog, "Trade"));
    assert_has(text, "number key int; ");
    assert_has(text, "price sorted float by exchange,symbol");
    assert_has(text, "volume sorted int;");
    assert_has(text, "belief confidence float by exchange");
    text = fields_of(inferred(catalog, "Item"));
    assert_has(text, "project tenant text; ");
    assert_has(text, "id auto_key text; ");
    assert_has(text, "name unique_key text; ");
    assert_has(text, "price sorted float by shelf");
    assert_has(text, "seen sorted time");
    assert_has(text, "belief confidence float by shelf");
    text = fields_of(inferred(catalog, "Episode"));
    assert_has(text, "project_id key text");
    assert_has(text, "episode_id auto_key text");
    assert_has(text, "score sorted float by project_id");
    assert_has(text, "title field text");
    /* They are right: an audit finds nothing. */
    for (size_t i = 0; i < 4; i++) {
        popoto_audit_report report;
        popoto_audit_desc desc = { .model = popoto_catalog_model(catalog, i) };
        assert_ok(db, popoto_audit(db, &desc, &report));
        assert_int_equal(40, report.records);
        assert_int_equal(0, report.findings);
    }
    popoto_close(db);
    popoto_catalog_free(catalog);
}

static void test_inferred_models(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_catalog *catalog;
    assert_ok(db, popoto_catalog_infer(db, &catalog));
    assert_int_equal(0, popoto_catalog_count(catalog));
    popoto_catalog_free(catalog);
    fill(db);
    check_all(db);
    server_flush(s);
}

static void test_inferred_in_the_dialect_of_popoto(void **state) {
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), &(popoto_options){ .dialect = POPOTO_AS_POPOTO });
    fill(db);
    check_all(db);
    server_flush(s);
}

/* There a KEY may be null. */
static void test_inferred_null_keys(void **state) {
    static const popoto_field fields[] = {
        { .name = "id", .kind = POPOTO_KIND_AUTO_KEY, .type = POPOTO_TEXT },
        { .name = "team", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT, .null = true },
    };
    static const popoto_model Player = { .name = "Player", .fields = fields, .field_count = 2 };
    server *s = *state;
    popoto_db *db = popoto_open(server_url(s), &(popoto_options){ .dialect = POPOTO_AS_POPOTO });
    popoto_catalog *catalog;
    popoto_audit_report report;
    for (int i = 0; i < 6; i++) {
        popoto_record *one;
        assert_ok(db, popoto_record_new(db, &Player, &one));
        assert_ok(db, popoto_record_set(one, "team",
                                        i % 2 ? popoto_of_text("red") : popoto_of_text(NULL)));
        assert_ok(db, popoto_create(db, &Player, one));
        popoto_record_free(one);
    }
    assert_ok(db, popoto_catalog_infer(db, &catalog));
    assert_int_equal(1, popoto_catalog_count(catalog));
    popoto_audit_desc desc = { .model = popoto_catalog_model(catalog, 0) };
    assert_ok(db, popoto_audit(db, &desc, &report));
    assert_int_equal(6, report.records);
    assert_int_equal(0, report.findings);
    popoto_close(db);
    popoto_catalog_free(catalog);
    server_flush(s);
}

/* A hash of any size is read in part. */
static void test_inferring_from_what_is_large(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_catalog *catalog;
    server_command(s, "SADD $Class:Large Large:1");
    server_command(s, "EVAL %s 0", "for i = 1, 100000 do redis.call('HSET', 'Large:1', i, i) end");
    fill(db);
    server_command(s, "CONFIG RESETSTAT");
    assert_ok(db, popoto_catalog_infer(db, &catalog));
    assert_int_equal(4, popoto_catalog_count(catalog));
    assert_null(strstr(server_command(s, "INFO commandstats"), "hgetall"));
    popoto_close(db);
    popoto_catalog_free(catalog);
    server_flush(s);
}

/* Foreign keys, damage and odd names are no obstacle. */
static void test_inferring_from_damage(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_catalog *catalog;
    trade t = { .number = 1, .exchange = "x", .symbol = "s" };
    assert_ok(db, popoto_create(db, &Trade, &t));
    server_command(s, "SET $Class:Text x");
    server_command(s, "SADD $Class:Empty Empty:gone");
    server_command(s, "SADD $Class:Odd:Name a");
    server_command(s, "SADD {t}:$Class: a");
    server_command(s, "SADD $Class:Trade garbage Trade:9");
    server_command(s, "SET Trade:9 x");
    server_command(s, "HSET Trade:1 other %b", "\xc1", (size_t)1);
    server_command(s, "SADD $KeyF:Trade:gone:1 Trade:1");
    assert_ok(db, popoto_catalog_infer(db, &catalog));
    assert_int_equal(1, popoto_catalog_count(catalog));
    assert_has(fields_of(popoto_catalog_model(catalog, 0)), "number key int; ");
    popoto_close(db);
    popoto_catalog_free(catalog);
    server_flush(s);
}

static void test_no_memory(void **state) {
    server *s = *state;
    popoto_db *setup = opened(s);
    failing_allocator memory;
    fill(setup);
    for (size_t n = 1, step = 1;; n += step) {
        popoto_db *db = opened_to_fail(s, &memory, n);
        const popoto_model *models[] = { &Item, &Memory };
        popoto_catalog *catalog = NULL, *guess = NULL;
        popoto_status status = popoto_publish(db, models, 2);
        if (status == POPOTO_OK)
            status = popoto_catalog_published(db, &catalog);
        if (status == POPOTO_OK)
            status = popoto_catalog_infer(db, &guess);
        else
            assert_null(catalog);
        if (status == POPOTO_OK)
            assert_int_equal(6, popoto_catalog_count(catalog) + popoto_catalog_count(guess));
        else
            assert_int_equal(POPOTO_NO_MEMORY, status);
        bool failed = memory.failed;
        popoto_close(db);
        popoto_catalog_free(catalog);
        popoto_catalog_free(guess);
        assert_int_equal(0, memory.live_blocks);
        if (!failed)
            break;
        if (n > 400) /* thousands of them are for texts that are compared: some of those */
            step = 37;
    }
    popoto_close(setup);
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_published_models_come_back),
        server_test(test_a_short_description),
        server_test(test_what_is_wrong_with_a_description),
        server_test(test_what_is_wrong_with_publishing),
        server_test(test_some_are_broken),
        server_test(test_another_dialect_is_noted),
        server_test(test_inferred_models),
        server_test(test_inferred_in_the_dialect_of_popoto),
        server_test(test_inferred_null_keys),
        server_test(test_inferring_from_what_is_large),
        server_test(test_inferring_from_damage),
        server_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
