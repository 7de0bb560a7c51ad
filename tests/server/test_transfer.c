/* popoto_export and popoto_import: what comes back is what was there, bit for bit, whatever its type; under
 * another name too; a broken line says which it is. */
#include "databases.h"
#include "failing_allocator.h"
#include "index_checker.h"
#include "server.h"
#include "test_models.h"

#include <math.h>
#include <popoto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* A field for each type, of records, ordinary and strict. */
#define VALUE_FIELDS                                                          \
    { .name = "id", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },           \
        { .name = "flag", .type = POPOTO_BOOL, .null = true },                \
        { .name = "number", .type = POPOTO_INT, .null = true },               \
        { .name = "ratio", .type = POPOTO_FLOAT, .null = true },              \
        { .name = "text", .type = POPOTO_TEXT, .null = true },                \
        { .name = "bytes", .type = POPOTO_BYTES, .null = true },              \
        { .name = "time", .type = POPOTO_TIME, .null = true },                \
        { .name = "day", .type = POPOTO_DAY, .null = true },                  \
        { .name = "clock", .type = POPOTO_CLOCK, .null = true },              \
        { .name = "decimal", .type = POPOTO_DECIMAL, .null = true },          \
        { .name = "any", .type = POPOTO_ANY, .null = true },                  \
        { .name = "rank", .kind = POPOTO_KIND_SORTED, .type = POPOTO_FLOAT }, \
        { .name = "trust", .kind = POPOTO_KIND_CONFIDENCE, .type = POPOTO_FLOAT },
static const popoto_field strict_fields[] = {
    { .name = "owner", .kind = POPOTO_KIND_TENANT, .type = POPOTO_TEXT }, VALUE_FIELDS
};
static const popoto_field plain_fields[] = {
    { .name = "owner", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT }, VALUE_FIELDS
};
static const popoto_model Strict = { .name = "Strict", .fields = strict_fields, .field_count = 14 };
static const popoto_model Plain = { .name = "Plain", .fields = plain_fields, .field_count = 14 };
static const popoto_model *const both[] = { &Strict };
static const popoto_model *const plain[] = { &Plain };

/* Lines in memory. */
typedef struct lines {
    char **items;
    size_t *sizes;
    size_t count, at, stop_at;
} lines;

static bool keep_line(void *context, const char *line, size_t size) {
    lines *it = context;
    assert_int_equal(size, strlen(line));
    assert_null(strchr(line, '\n'));
    it->items = realloc(it->items, (it->count + 1) * sizeof *it->items);
    it->sizes = realloc(it->sizes, (it->count + 1) * sizeof *it->sizes);
    it->items[it->count] = strdup(line);
    it->sizes[it->count++] = size;
    return it->count != it->stop_at;
}

static bool give_line(void *context, const char **line, size_t *size) {
    lines *it = context;
    if (it->at == it->count)
        return false;
    *line = it->items[it->at];
    *size = it->sizes[it->at++];
    return true;
}

static void drop(lines *it) {
    for (size_t i = 0; i < it->count; i++)
        free(it->items[i]);
    free(it->items);
    free(it->sizes);
    *it = (lines){ 0 };
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(lines *it) {
    qsort(it->items, it->count, sizeof *it->items, by_text);
    for (size_t i = 0; i < it->count; i++)
        it->sizes[i] = strlen(it->items[i]);
}

static popoto_tenant_desc tenant(const popoto_model *const *models, const char *name,
                                 const char *field) {
    return (popoto_tenant_desc){
        .models = models, .model_count = 1, .tenant_field = field, .tenant = POPOTO_VALUE(name)
    };
}

/* Takes the line of models and the end away from what was exported. */
static void take_frame(lines *all, size_t count, size_t left_out) {
    char end[80];
    snprintf(end, sizeof end, "{\"end\": true, \"records\": %zu, \"left_out\": %zu}", count,
             left_out);
    assert_int_equal(count + 2, all->count);
    assert_string_equal(end, all->items[--all->count]);
    free(all->items[all->count]);
    assert_non_null(strstr(all->items[0], "{\"models\": [{\"name\": \""));
    free(all->items[0]);
    all->count--;
    memmove(all->items, all->items + 1, all->count * sizeof *all->items);
    memmove(all->sizes, all->sizes + 1, all->count * sizeof *all->sizes);
}

static lines exported(popoto_db *db, const popoto_tenant_desc *desc) {
    lines all = { 0 };
    size_t count = 77;
    assert_ok(db, popoto_export(db, desc, keep_line, &all, &count));
    take_frame(&all, count, 0);
    sort(&all);
    return all;
}

static void import_all(popoto_db *db, const popoto_tenant_desc *desc, lines *all) {
    popoto_import_report report;
    all->at = 0;
    assert_ok(db, popoto_import(db, desc, give_line, all, &report));
    assert_int_equal(all->count, report.lines);
    assert_int_equal(all->count, report.records);
    assert_int_equal(0, report.bad_line);
    assert_null(report.problem);
}

/* ----- Every value -------------------------------------------------------------------------------- */

static void put(popoto_db *db, const popoto_model *model, int number, const char *field,
                popoto_value value) {
    popoto_record *record;
    char id[24];
    snprintf(id, sizeof id, "r%d", number);
    assert_ok(db, popoto_record_new(db, model, &record));
    assert_ok(db, popoto_record_set(record, "owner", POPOTO_VALUE("a")));
    assert_ok(db, popoto_record_set(record, "id", POPOTO_VALUE(id)));
    assert_ok(db, popoto_record_set(record, "rank", POPOTO_VALUE(number / 7.0)));
    assert_ok(db, popoto_record_set(record, field, value));
    assert_ok(db, popoto_create(db, model, record));
    for (int i = 0; i < number % 4; i++)
        assert_ok(db, popoto_confidence_update(db, model, record, "trust", 0.1 * i, NULL));
    popoto_record_free(record);
}

static double of_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static popoto_value sized(popoto_type type, const char *data, size_t size) {
    popoto_value value = popoto_of_sized_text((popoto_text){ data, size });
    value.type = type;
    return value;
}

static int put_scalars(popoto_db *db, const popoto_model *model) {
    static const int64_t numbers[] = { 0, 1, -1, INT64_MAX, INT64_MIN, 9007199254740993 };
    static const double floats[] = { 0.0,
                                     -0.0,
                                     0.1,
                                     3,
                                     1e22,
                                     5e-324,
                                     1.7976931348623157e308,
                                     -2.2250738585072014e-308,
                                     1e16,
                                     123456789012345680.0 };
    static const uint64_t odd[] = { 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000,
                                    0xFFF8000000000000, 0x7FF8000000000001 };
    static const char *const texts[] = { "",   "a",  "\"\\/\b\n\t\x7f", "\xc3\xa9\xf0\x9f\x98\x80",
                                         "$x", "{}", "\xe2\x80\xa8" };
    static const char *const decimals[] = { "1.50", "-0", "1E+3", "0.000001",
                                            "123456789012345678901234567890.5" };
    static const popoto_time times[] = {
        { 0, 0 },      { 1767225600000001, 3600 }, { -62135596800000000, POPOTO_NAIVE },
        { 1, -19800 }, { 253402300799999999, 0 },  { 5000000, 3723 }
    };
    int n = 0;
    put(db, model, n++, "flag", popoto_of_bool(true));
    put(db, model, n++, "flag", popoto_of_bool(false));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        put(db, model, n++, "number", popoto_of_int(numbers[i]));
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        put(db, model, n++, i % 2 ? "ratio" : "any", popoto_of_float(floats[i]));
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        put(db, model, n++, "ratio", popoto_of_float(of_bits(odd[i])));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        put(db, model, n++, "text", popoto_of_text(texts[i]));
    put(db, model, n++, "text", sized(POPOTO_TEXT, "a\0b\0", 4));
    for (size_t i = 0; i < 7; i++)
        put(db, model, n++, "bytes", popoto_of_bytes((popoto_bytes){ "\x00\xff\xfe\n\"=", i }));
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        put(db, model, n++, "time", popoto_of_time(times[i]));
    put(db, model, n++, "day", popoto_of_day((popoto_day){ 2026, 1, 2 }));
    put(db, model, n++, "day", popoto_of_day((popoto_day){ 1, 12, 31 }));
    put(db, model, n++, "clock", popoto_of_clock((popoto_clock){ 23, 59, 59, 999999 }));
    put(db, model, n++, "clock", popoto_of_clock((popoto_clock){ 0, 0, 0, 0 }));
    for (size_t i = 0; i < sizeof decimals / sizeof *decimals; i++)
        put(db, model, n++, "decimal", popoto_of_decimal((popoto_decimal){ decimals[i] }));
    return n;
}

#define ITEMS(type, ...)                                   \
    popoto_of_items(type, (popoto_value[]){ __VA_ARGS__ }, \
                    sizeof((popoto_value[]){ __VA_ARGS__ }) / sizeof(popoto_value))

static int put_nested(popoto_db *db, const popoto_model *model, int n) {
    popoto_value null = { POPOTO_NULL, { 0 } };
    popoto_value list = ITEMS(POPOTO_LIST, popoto_of_int(1), popoto_of_float(1), null,
                              popoto_of_bool(true), popoto_of_text("x"));
    put(db, model, n++, "any", null);
    put(db, model, n++, "any", list);
    put(db, model, n++, "any", popoto_of_items(POPOTO_LIST, NULL, 0));
    put(db, model, n++, "any", popoto_of_items(POPOTO_TUPLE, NULL, 0));
    put(db, model, n++, "any", popoto_of_items(POPOTO_MAP, NULL, 0));
    put(db, model, n++, "any", ITEMS(POPOTO_TUPLE, list, popoto_of_time((popoto_time){ 3, 0 })));
    put(db, model, n++, "any", ITEMS(POPOTO_SET, popoto_of_text("a"), popoto_of_int(1)));
    put(db, model, n++, "any",
        ITEMS(POPOTO_MAP, popoto_of_text("b"), list, popoto_of_text("a"), popoto_of_int(2),
              popoto_of_text(""), null));
    /* Keys that are no names. */
    put(db, model, n++, "any", ITEMS(POPOTO_MAP, popoto_of_int(1), popoto_of_int(2)));
    put(db, model, n++, "any", ITEMS(POPOTO_MAP, popoto_of_text("$time"), popoto_of_text("x")));
    put(db, model, n++, "any",
        ITEMS(POPOTO_MAP, sized(POPOTO_TEXT, "a\0b", 3), popoto_of_text("x")));
    put(db, model, n++, "any",
        ITEMS(POPOTO_MAP, popoto_of_float(2.5), ITEMS(POPOTO_LIST, list),
              popoto_of_bytes((popoto_bytes){ "k", 1 }), popoto_of_text("x"), popoto_of_text("t"),
              ITEMS(POPOTO_TUPLE, popoto_of_int(3))));
    popoto_value *deep = calloc(24, sizeof *deep);
    for (int i = 1; i < 24; i++)
        deep[i] = popoto_of_items(i % 3 ? POPOTO_LIST : POPOTO_TUPLE, &deep[i - 1], 1);
    put(db, model, n++, "any", deep[23]);
    free(deep);
    popoto_value *many = calloc(2000, sizeof *many);
    for (int i = 0; i < 1000; i++) {
        many[2 * i] = popoto_of_text("same key");
        many[2 * i] = popoto_of_int(i);
        many[2 * i + 1] = popoto_of_float(i / 3.0);
    }
    put(db, model, n++, "any", popoto_of_items(POPOTO_MAP, many, 2000));
    free(many);
    return n;
}

/* All that the library stored, but for the companion hashes, whose bytes may differ where their figures
 * are the same. */
static char *records_of(server *s, const char *model) {
    char pattern[64], *copy;
    snprintf(pattern, sizeof pattern, "*%s:*", model);
    copy = strdup(server_command(
        s, "EVAL %s 0 %s",
        "local keys = redis.call('KEYS', ARGV[1]) table.sort(keys) local all = {} "
        "for _, k in ipairs(keys) do local t = redis.call('TYPE', k).ok "
        "  local v = {} "
        "  if t == 'hash' and not k:find('Confid', 1, true) then v = redis.call('HGETALL', k) end "
        "  if t == 'set' then v = redis.call('SMEMBERS', k) end "
        "  if t == 'zset' then v = redis.call('ZRANGE', k, 0, -1, 'WITHSCORES') end "
        "  local lines = {} "
        "  for i = 1, #v, (t == 'set' and 1 or 2) do "
        "    lines[#lines + 1] = v[i] .. '=' .. (t == 'set' and '' or v[i + 1]) end "
        "  table.sort(lines) "
        "  all[#all + 1] = k .. ' ' .. redis.sha1hex(table.concat(lines, '|')) end "
        "return #all .. ' keys ' .. redis.sha1hex(table.concat(all, '|'))",
        pattern));
    return copy;
}

static void round_trip(server *s, const popoto_model *model, const popoto_model *const *models,
                       const char *field) {
    popoto_db *db = opened(s);
    int count = put_nested(db, model, put_scalars(db, model));
    popoto_tenant_desc a = tenant(models, "a", field), b = tenant(models, "b", field);
    char *before = records_of(s, model->name);
    lines all = exported(db, &a);
    assert_int_equal(count, all.count);
    /* Gone, and back. */
    popoto_erase_receipt receipt;
    assert_ok(db, popoto_erase(db, &a, &receipt));
    assert_int_equal(0, receipt.left);
    import_all(db, &a, &all);
    char *after = records_of(s, model->name);
    assert_string_equal(before, after);
    lines again = exported(db, &a);
    assert_int_equal(all.count, again.count);
    for (size_t i = 0; i < all.count; i++)
        assert_string_equal(all.items[i], again.items[i]);
    drop(&again);
    /* Over what is there: the same. */
    import_all(db, &a, &all);
    free(after);
    after = records_of(s, model->name);
    assert_string_equal(before, after);
    /* Under another name, with both there. */
    import_all(db, &b, &all);
    again = exported(db, &b);
    assert_int_equal(all.count, again.count);
    for (size_t i = 0; i < all.count; i++) {
        char *owner = strstr(all.items[i], "\"owner\": \"a\"");
        assert_non_null(owner);
        owner[10] = 'b';
        assert_string_equal(all.items[i], again.items[i]);
    }
    popoto_audit_report report;
    assert_ok(db, popoto_audit(db, &(popoto_audit_desc){ .model = model }, &report));
    assert_int_equal(2 * count, report.records);
    assert_int_equal(0, report.findings);
    drop(&again);
    drop(&all);
    free(before);
    free(after);
    popoto_close(db);
    server_flush(s);
}

static void test_every_value_of_a_strict_model(void **state) {
    round_trip(*state, &Strict, both, NULL);
}

static void test_every_value_of_an_ordinary_model(void **state) {
    round_trip(*state, &Plain, plain, "owner");
}

/* ----- The lines themselves ------------------------------------------------------------------------ */

static void test_what_a_line_looks_like(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    static const popoto_model *const models[] = { &Memory };
    fact f = { .project = "p", .key = "k", .content = "say \"x\"" };
    assert_ok(db, popoto_create(db, &Memory, &f));
    assert_ok(db, popoto_confidence_update(db, &Memory, &f, "certainty", 1, NULL));
    popoto_tenant_desc desc = tenant(models, "p", "project");
    lines all = exported(db, &desc);
    assert_int_equal(1, all.count);
    assert_string_equal(
        "{\"model\": \"Memory\", \"fields\": {\"project\": \"p\", \"key\": \"k\", "
        "\"content\": \"say \\\"x\\\"\", \"certainty\": 0.5}, \"confidence\": {\"certainty\": "
        "{\"confidence\": 0.75, \"evidence_count\": 1, \"corroborations\": 1, "
        "\"contradictions\": 0}}}",
        all.items[0]);
    drop(&all);
    popoto_close(db);
    server_flush(s);
}

/* Partitions that the key does not tell; the dialect of Popoto; figures that are replaced. */
static void test_partitions_and_figures(void **state) {
    server *s = *state;
    static const popoto_model *const models[] = { &Trade };
    for (int dialect = 0; dialect < 2; dialect++) {
        popoto_db *db =
            popoto_open(server_url(s), &(popoto_options){ .dialect = dialect ? POPOTO_AS_POPOTO
                                                                             : POPOTO_DOCUMENTED });
        popoto_confidence figures;
        trade t = { .number = 7, .exchange = "x-1", .symbol = "s", .price = 0.1, .volume = 3 };
        assert_ok(db, popoto_create(db, &Trade, &t));
        for (int i = 0; i < 3; i++)
            assert_ok(db, popoto_confidence_update(db, &Trade, &t, "belief", 1, NULL));
        popoto_tenant_desc desc = {
            .models = models, .model_count = 1, .tenant_field = "number", .tenant = POPOTO_VALUE(7)
        };
        lines all = exported(db, &desc);
        t.exchange = "elsewhere";
        assert_ok(db, popoto_save(db, &Trade, &t));
        assert_ok(db, popoto_confidence_update(db, &Trade, &t, "belief", 0, NULL));
        import_all(db, &desc, &all);
        t.exchange = "x-1";
        assert_ok(db, popoto_confidence_figures(db, &Trade, &t, "belief", &figures));
        assert_int_equal(3, figures.corroborations);
        assert_int_equal(0, figures.contradictions);
        popoto_audit_report report;
        assert_ok(db, popoto_audit(db, &(popoto_audit_desc){ .model = &Trade }, &report));
        assert_int_equal(0, report.findings);
        drop(&all);
        popoto_close(db);
        server_flush(s);
    }
}

static void test_broken_lines(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    static const popoto_model *const models[] = { &Memory };
    static const char good[] = "{\"model\": \"Memory\", \"fields\": {\"project\": \"z\", "
                               "\"key\": \"%s\", \"content\": null, \"certainty\": 0.5}}";
    static const struct {
        const char *line, *part;
    } broken[] = {
        { "{", "no JSON" },
        { "[]", "needs a \"model\"" },
        { "3", "no JSON" },
        { "{\"model\": 3, \"fields\": {}}", "needs a \"model\"" },
        { "{\"model\": \"Other\", \"fields\": {}}", "none of the models" },
        { "{\"model\": \"Memory\", \"fields\": {}}", "Memory.key: it is part of the key" },
        { "{\"model\": \"Memory\", \"fields\": {\"x\": 1}}", "no such field" },
        { "{\"model\": \"Memory\", \"fields\": {\"key\": 1}}", "Memory.key" },
        { "{\"model\": \"Memory\", \"fields\": {\"key\": \"a\", \"key\": \"b\"}}", "no JSON" },
        { "{\"model\": \"Memory\", \"fields\": {\"key\": {\"$text\": \"a\"}}}", "base64" },
        { "{\"model\": \"Memory\", \"fields\": {\"key\": {\"$what\": \"a\"}}}", "tag" },
        { "{\"model\": \"Memory\", \"fields\": {\"key\": {\"$text\": \"\", \"a\": 1}}}", "alone" },
        { "{\"model\": \"Memory\", \"fields\": {\"key\": 99999999999999999999}}", "no JSON" },
        { "{\"model\": \"Memory\", \"fields\": {\"key\": \"a\"}, \"confidence\": 3}", "object" },
        { "{\"model\": \"Memory\", \"fields\": {\"key\": \"a\"}, \"confidence\": {\"x\": 3}}",
          "no such CONFIDENCE" },
        { "{\"model\": \"Memory\", \"fields\": {\"key\": \"a\"}, \"confidence\": {\"certainty\": "
          "{\"confidence\": 0.5, \"evidence_count\": -1}}}",
          "none of them negative" },
    };
    popoto_tenant_desc desc = tenant(models, "p", "project");
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char one[300], two[300], three[300];
        snprintf(one, sizeof one, good, "one");
        snprintf(two, sizeof two, good, "two");
        snprintf(three, sizeof three, good, "three");
        char *items[] = { one, (char[]){ "  " }, two, (char *)(uintptr_t)broken[i].line, three };
        size_t sizes[5];
        for (size_t k = 0; k < 5; k++)
            sizes[k] = strlen(items[k]);
        lines all = { items, sizes, 5, 0, 0 };
        popoto_import_report report;
        assert_fails(POPOTO_BAD_VALUE, broken[i].part, db,
                     popoto_import(db, &desc, give_line, &all, &report));
        assert_int_equal(4, report.bad_line);
        assert_int_equal(4, report.lines);
        assert_int_equal(2, report.records);
        assert_non_null(strstr(report.problem, "line 4"));
        assert_int_equal(2, record_count(s, &Memory));
        assert_indexes_match(s, &Memory);
        server_flush(s);
    }
    popoto_close(db);
}

/* ----- Times to live ------------------------------------------------------------------------------- */

static const popoto_field fleeting_fields[] = {
    { .name = "owner", .kind = POPOTO_KIND_TENANT, .type = POPOTO_TEXT },
    { .name = "id", .kind = POPOTO_KIND_KEY, .type = POPOTO_INT },
};
static const popoto_model Fleeting = {
    .name = "Fleeting", .fields = fleeting_fields, .field_count = 2, .time_to_live = 1000
};
/* The same without a time to live. */
static const popoto_model Lasting = { .name = "Fleeting",
                                      .fields = fleeting_fields,
                                      .field_count = 2 };

static int ttl_of(server *s, const char *key) {
    char command[80];
    snprintf(command, sizeof command, "TTL %s", key);
    return atoi(server_command(s, command));
}

static void assert_near(int expected, int found) {
    assert_in_range(found, expected - 5, expected);
}

/* What a record has left to live comes with it; so does that it lives for ever. */
static void test_times_to_live(void **state) {
    server *s = *state;
    static const popoto_model *const fleeting[] = { &Fleeting }, *const lasting[] = { &Lasting };
    popoto_db *db = opened(s), *other = opened(s);
    for (int i = 1; i <= 3; i++) {
        popoto_record *one;
        assert_ok(db, popoto_record_new(db, &Fleeting, &one));
        assert_ok(db, popoto_record_set(one, "owner", popoto_of_text("a")));
        assert_ok(db, popoto_record_set(one, "id", popoto_of_int(i)));
        assert_ok(db, popoto_create(db, &Fleeting, one));
        popoto_record_free(one);
    }
    server_command(s, "PEXPIRE {a}:Fleeting:2 500900");
    server_command(s, "PERSIST {a}:Fleeting:3");
    popoto_tenant_desc from = tenant(fleeting, "a", NULL), to = tenant(fleeting, "b", NULL);
    lines all = exported(db, &from);
    assert_int_equal(3, all.count);
    assert_non_null(strstr(all.items[0], "\"id\": 1}, \"time_to_live\": 1000}"));
    assert_non_null(strstr(all.items[1], "\"id\": 2}, \"time_to_live\": 501}"));
    assert_non_null(strstr(all.items[2], "\"id\": 3}, \"time_to_live\": null}"));
    import_all(db, &to, &all);
    assert_near(1000, ttl_of(s, "{b}:Fleeting:1"));
    assert_near(501, ttl_of(s, "{b}:Fleeting:2"));
    assert_int_equal(-1, ttl_of(s, "{b}:Fleeting:3"));
    /* Over records that are there, and by a model that knows of no time. */
    server_command(s, "PERSIST {b}:Fleeting:2");
    server_command(s, "EXPIRE {b}:Fleeting:3 77");
    to.models = lasting;
    import_all(other, &to, &all);
    assert_near(501, ttl_of(s, "{b}:Fleeting:2"));
    assert_int_equal(-1, ttl_of(s, "{b}:Fleeting:3"));
    drop(&all);
    from.models = lasting;
    all = exported(other, &from);
    assert_non_null(strstr(all.items[1], "\"time_to_live\": 501}"));
    assert_null(strstr(all.items[2], "time_to_live"));
    drop(&all);
    /* Lines that tell none are stored as any record. */
    char *items[] = { (char[]){ "{\"model\": \"Fleeting\", \"fields\": {\"id\": 4}}" } };
    size_t sizes[] = { strlen(items[0]) };
    lines plain_line = { items, sizes, 1, 0, 0 };
    to.models = fleeting;
    import_all(db, &to, &plain_line);
    assert_near(1000, ttl_of(s, "{b}:Fleeting:4"));
    static const char *const wrong[] = { "0", "-1", "1.5", "\"1\"", "4294967296" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char line[120];
        snprintf(line, sizeof line,
                 "{\"model\": \"Fleeting\", \"fields\": {\"id\": 5}, \"time_to_live\": %s}",
                 wrong[i]);
        items[0] = line;
        sizes[0] = strlen(line);
        plain_line.at = 0;
        assert_fails(POPOTO_BAD_VALUE, "line 1: \"time_to_live\"", db,
                     popoto_import(db, &to, give_line, &plain_line, NULL));
    }
    popoto_close(db);
    popoto_close(other);
    server_flush(s);
}

/* What the server refuses is a bad line too. */
static void test_refused_lines(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    static const popoto_model *const models[] = { &Memory };
    fact f = { .project = "other", .key = "taken" };
    assert_ok(db, popoto_create(db, &Memory, &f));
    char *items[] = { (char[]){ "{\"model\": \"Memory\", \"fields\": {\"key\": \"a\"}}" },
                      (char[]){ "{\"model\": \"Memory\", \"fields\": {\"key\": \"taken\"}}" } };
    size_t sizes[] = { strlen(items[0]), strlen(items[1]) };
    lines all = { items, sizes, 2, 0, 0 };
    popoto_import_report report;
    popoto_tenant_desc desc = tenant(models, "p", "project");
    assert_fails(POPOTO_DUPLICATE, "line 2", db,
                 popoto_import(db, &desc, give_line, &all, &report));
    assert_int_equal(2, report.bad_line);
    assert_int_equal(1, report.records);
    /* And back into the same database under another name, where a value is unique. */
    lines mine = exported(db, &(popoto_tenant_desc){ .models = models,
                                                     .model_count = 1,
                                                     .tenant_field = "project",
                                                     .tenant = POPOTO_VALUE("other") });
    assert_status(POPOTO_DUPLICATE, db, popoto_import(db, &desc, give_line, &mine, &report));
    assert_indexes_match(s, &Memory);
    drop(&mine);
    popoto_close(db);
    server_flush(s);
}

typedef struct refused_lines {
    lines from; /* first: it is what lines come from */
    size_t count, all[300];
    popoto_status last;
} refused_lines;

static void take_refused(void *context, size_t line, popoto_status status, const char *sentence) {
    refused_lines *it = context;
    char start[32];
    snprintf(start, sizeof start, "line %zu", line);
    assert_int_equal(0, strncmp(start, sentence, strlen(start)));
    assert_true(strlen(sentence) > strlen(start) + 10);
    it->all[it->count++] = line;
    it->last = status;
}

/* Line 300 is of the second batch. Each line but those that were told of is stored up to where it ended, and
 * none behind; when it is mended, all are. */
static void test_which_lines_are_stored(void **state) {
    enum {
        LINES = 700
    };
    static char texts[LINES][80];
    static char *items[LINES];
    static size_t sizes[LINES];
    static const popoto_model *const models[] = { &Memory };
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_import_report report;
    fact one = { .project = "other", .key = "k300" }, two = { .project = "other", .key = "k310" };
    assert_ok(db, popoto_create(db, &Memory, &one));
    assert_ok(db, popoto_create(db, &Memory, &two));
    for (int i = 0; i < LINES; i++) {
        snprintf(texts[i], sizeof texts[i],
                 "{\"model\": \"Memory\", \"fields\": {\"key\": \"k%d\"}}", i + 1);
        items[i] = texts[i];
        sizes[i] = strlen(texts[i]);
    }
    refused_lines found = { .from = { items, sizes, LINES, 0, 0 } };
    popoto_tenant_desc desc = tenant(models, "p", "project");
    desc.refused = take_refused;
    desc.context = &found;
    assert_fails(POPOTO_DUPLICATE, "line 300", db,
                 popoto_import(db, &desc, give_line, &found, &report));
    assert_int_equal(300, report.bad_line);
    assert_int_equal(2, found.count);
    assert_int_equal(300, found.all[0]);
    assert_int_equal(310, found.all[1]);
    assert_int_equal(POPOTO_DUPLICATE, found.last);
    assert_int_equal(512, report.tried);
    assert_int_equal(510, report.records);
    for (size_t line = 1; line <= LINES; line++) {
        bool is = line <= report.tried && line != 300 && line != 310;
        assert_string_equal(is ? "1" : "0", server_command(s, "EXISTS Memory:p:k%d", (int)line));
    }
    assert_ok(db, popoto_delete(db, &Memory, &one));
    /* A broken line: those before it are stored. */
    found = (refused_lines){ .from = { items, sizes, LINES, 0, 0 } };
    items[304] = (char[]){ "nonsense" };
    sizes[304] = 8;
    assert_fails(POPOTO_BAD_VALUE, "line 305 is no JSON", db,
                 popoto_import(db, &desc, give_line, &found, &report));
    assert_int_equal(305, report.tried);
    assert_int_equal(305, report.bad_line);
    assert_int_equal(304, report.records);
    assert_int_equal(1, found.count);
    assert_int_equal(305, found.all[0]);
    items[304] = texts[304];
    sizes[304] = strlen(texts[304]);
    /* Both mended. */
    assert_ok(db, popoto_delete(db, &Memory, &two));
    found = (refused_lines){ .from = { items, sizes, LINES, 0, 0 } };
    assert_ok(db, popoto_import(db, &desc, give_line, &found, &report));
    assert_int_equal(LINES, report.records);
    assert_int_equal(LINES, report.tried);
    assert_int_equal(0, found.count);
    assert_indexes_match(s, &Memory);
    /* The connection breaks: nothing is known of any line of the batch. */
    found = (refused_lines){ .from = { items, sizes, 3, 0, 0 } };
    server_command(s, "CONFIG SET maxclients 1");
    server_command(s, "CLIENT KILL TYPE normal SKIPME yes");
    popoto_status status = popoto_import(db, &desc, give_line, &found, &report);
    assert_true(status != POPOTO_OK);
    assert_int_equal(3, found.count);
    assert_int_equal(0, report.records);
    server_command(s, "CONFIG SET maxclients 100");
    popoto_close(db);
    server_flush(s);
}

static void test_records_that_do_not_fit(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    static const popoto_model *const models[] = { &Memory };
    for (int i = 0; i < 4; i++) {
        fact f = { .project = "p", .key = (const char *[]){ "a", "b", "c", "d" }[i] };
        assert_ok(db, popoto_create(db, &Memory, &f));
    }
    server_command(s, "HSET Memory:p:a content %b", "\xc1", (size_t)1);
    server_command(s, "HSET Memory:p:b content %b", "\x01", (size_t)1);
    server_command(s, "HSET $ConfidencF:Memory:certainty:data:p Memory:p:c x");
    server_command(s, "SADD $KeyF:Memory:project:p Memory:p:gone garbage Memory:q:x");
    popoto_tenant_desc desc = tenant(models, "p", "project");
    lines all = { 0 };
    size_t count;
    assert_fails(POPOTO_CORRUPT, "3 records were not exported", db,
                 popoto_export(db, &desc, keep_line, &all, &count));
    assert_int_equal(1, count);
    /* Whoever stores what came learns of it. */
    popoto_import_report report;
    assert_fails(POPOTO_CORRUPT, "line 3: the export left out 3 records", db,
                 popoto_import(db, &desc, give_line, &all, &report));
    assert_int_equal(1, report.records);
    assert_int_equal(3, report.bad_line);
    assert_false(report.complete);
    take_frame(&all, 1, 3);
    drop(&all);
    popoto_close(db);
    server_flush(s);
}

/* ----- The first line and the last ------------------------------------------------------------------ */

static void import_fails(popoto_db *db, const popoto_tenant_desc *desc, lines *all,
                         const char *part, size_t records) {
    popoto_import_report report;
    all->at = 0;
    assert_fails(POPOTO_BAD_VALUE, part, db, popoto_import(db, desc, give_line, all, &report));
    assert_int_equal(records, report.records);
    assert_false(report.complete);
    assert_non_null(strstr(report.problem, part));
}

static void test_what_was_cut_off(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_import_report report;
    popoto_tenant_desc a = tenant(both, "a", NULL), b = tenant(both, "b", NULL);
    lines all = { 0 };
    for (int i = 0; i < 3; i++)
        put(db, &Strict, i, "number", popoto_of_int(i));
    assert_ok(db, popoto_export(db, &a, keep_line, &all, NULL));
    assert_int_equal(5, all.count);
    assert_ok(db, popoto_import(db, &b, give_line, &all, &report));
    assert_true(report.complete);
    assert_int_equal(3, report.records);
    assert_int_equal(5, report.lines);
    /* Cut off at any line: what came is stored, and it is said. */
    lines part = all;
    for (part.count = 1; part.count < 5; part.count++)
        import_fails(db, &b, &part, "no last line", part.count - 1);
    /* A line is missing within. */
    part.count = 4;
    part.items = (char *[]){ all.items[0], all.items[1], all.items[3], all.items[4] };
    part.sizes = (size_t[]){ all.sizes[0], all.sizes[1], all.sizes[3], all.sizes[4] };
    import_fails(db, &b, &part, "line 4: the export had 3 records, and 2 of them are here", 2);
    /* One behind the other, and the second cut off. */
    lines two = { .count = 9 };
    two.items = calloc(10, sizeof *two.items);
    two.sizes = calloc(10, sizeof *two.sizes);
    for (size_t i = 0; i < 10; i++) {
        two.items[i] = all.items[i % 5];
        two.sizes[i] = all.sizes[i % 5];
    }
    import_fails(db, &b, &two, "cut off after 3 records", 6);
    two.at = 0;
    two.count = 10;
    assert_ok(db, popoto_import(db, &b, give_line, &two, &report));
    assert_true(report.complete);
    /* Without either, as it was once: it cannot be told. */
    part = (lines){ all.items + 1, all.sizes + 1, 3, 0, 0 };
    assert_ok(db, popoto_import(db, &b, give_line, &part, &report));
    assert_false(report.complete);
    assert_null(report.problem);
    free(two.items), free(two.sizes);
    drop(&all);
    popoto_close(db);
    server_flush(s);
}

static void one_line_fails(popoto_db *db, const popoto_tenant_desc *desc, const char *text,
                           const char *part) {
    lines all = { (char *[]){ (char *)(uintptr_t)text }, (size_t[]){ strlen(text) }, 1, 0, 0 };
    import_fails(db, desc, &all, part, 0);
}

static void test_models_that_contradict(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_tenant_desc desc = tenant(both, "a", NULL);
    static const char *const wrong[][2] = {
        { "{\"models\": 3}", "is a list" },
        { "{\"models\": [3]}", "without a name" },
        { "{\"models\": [{\"$what\": 3}]}", "tag" },
        { "{\"models\": [{\"name\": \"Strict\"}]}", "without fields" },
        { "{\"models\": [{\"name\": \"Strict\", \"fields\": [{}]}]}", "without a name" },
        { "{\"models\": [{\"name\": \"Strict\", \"fields\": [{\"name\": \"x\"}]}]}",
          "another field 'x' of Strict than it has here: there is no such" },
        { "{\"models\": [{\"name\": \"Strict\", \"fields\": [{\"name\": \"number\", \"type\": "
          "\"text\"}]}]}",
          "of another type" },
        { "{\"models\": [{\"name\": \"Strict\", \"fields\": [{\"name\": \"number\", \"type\": "
          "\"int\", \"kind\": \"key\"}]}]}",
          "of another kind" },
        { "{\"end\": true}", "how many" },
        { "{\"end\": true, \"records\": 4, \"left_out\": 0}", "had 4 records" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        one_line_fails(db, &desc, wrong[i][0], wrong[i][1]);
    /* A field may be indexed otherwise, and what names the tenant a KEY. */
    const char *text = "{\"models\": [{\"name\": \"Strict\", \"fields\": [{\"name\": \"rank\", "
                       "\"type\": \"float\", \"kind\": \"field\"}, {\"name\": \"owner\", "
                       "\"type\": \"text\", \"kind\": \"key\"}]}, {\"name\": \"Other\"}]}";
    one_line_fails(db, &desc, text, "no last line");
    popoto_close(db);
}

static void test_models_of_an_export(void **state) {
    server *s = *state;
    popoto_db *db = opened(s), *other = opened(s);
    popoto_catalog *catalog = (popoto_catalog *)(uintptr_t)1;
    popoto_tenant_desc desc = tenant(both, "a", NULL);
    lines all = { 0 };
    put(db, &Strict, 1, "number", popoto_of_int(1));
    assert_ok(db, popoto_export(db, &desc, keep_line, &all, NULL));
    assert_ok(other, popoto_catalog_from_export(other, all.items[0], all.sizes[0], &catalog));
    assert_int_equal(1, popoto_catalog_count(catalog));
    assert_string_equal("Strict", popoto_catalog_model(catalog, 0)->name);
    assert_int_equal(POPOTO_KIND_TENANT, popoto_catalog_model(catalog, 0)->fields[0].kind);
    const popoto_model *models[] = { popoto_catalog_model(catalog, 0) };
    popoto_tenant_desc to = tenant(models, "b", NULL);
    popoto_import_report report;
    assert_ok(other, popoto_import(other, &to, give_line, &all, &report));
    assert_int_equal(1, report.records);
    popoto_close(other);
    popoto_catalog_free(catalog);
    assert_status(POPOTO_NOT_FOUND, db,
                  popoto_catalog_from_export(db, all.items[1], all.sizes[1], &catalog));
    assert_null(catalog);
    assert_status(POPOTO_BAD_VALUE, db, popoto_catalog_from_export(db, "{", 1, &catalog));
    assert_status(POPOTO_BAD_VALUE, db, popoto_catalog_from_export(db, NULL, 0, &catalog));
    assert_status(POPOTO_BAD_VALUE, db,
                  popoto_catalog_from_export(db, "{\"models\": {\"$x\": 1}}", 20, &catalog));
    assert_status(POPOTO_BAD_MODEL, db,
                  popoto_catalog_from_export(db, "{\"models\": [1]}", 15, &catalog));
    assert_status(POPOTO_BAD_ARGUMENT, db, popoto_catalog_from_export(db, "{}", 2, NULL));
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_catalog_from_export(NULL, "{}", 2, &catalog));
    drop(&all);
    popoto_close(db);
    server_flush(s);
}

static bool stop_progress(void *context, size_t done, size_t total) {
    (void)context;
    (void)done;
    (void)total;
    return false;
}

static void test_stopping_and_arguments(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    lines all = { 0 };
    popoto_import_report report;
    size_t count = 7;
    int records = put_scalars(db, &Strict);
    popoto_tenant_desc desc = tenant(both, "a", NULL);
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_export(NULL, &desc, keep_line, &all, &count));
    assert_int_equal(0, count);
    assert_fails(POPOTO_BAD_ARGUMENT, "callback", db, popoto_export(db, &desc, NULL, NULL, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "description", db,
                 popoto_export(db, NULL, keep_line, &all, NULL));
    all.stop_at = 3;
    assert_status(POPOTO_STOPPED, db, popoto_export(db, &desc, keep_line, &all, &count));
    assert_int_equal(2, count);
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_import(NULL, &desc, give_line, &all, &report));
    assert_fails(POPOTO_BAD_ARGUMENT, "callback", db, popoto_import(db, &desc, NULL, NULL, NULL));
    desc.progress = stop_progress;
    assert_status(POPOTO_STOPPED, db, popoto_import(db, &desc, give_line, &all, &report));
    assert_int_equal(2, report.records);
    all.stop_at = 0;
    assert_status(POPOTO_STOPPED, db, popoto_export(db, &desc, keep_line, &all, &count));
    assert_ok(db, popoto_scope_enter(db, "owner", "b"));
    desc.progress = NULL;
    assert_status(POPOTO_BAD_SCOPE, db, popoto_export(db, &desc, keep_line, &all, &count));
    assert_ok(db, popoto_scope_leave(db));
    drop(&all);
    assert_true(records > 10);
    popoto_close(db);
    server_flush(s);
}

static void test_no_memory(void **state) {
    server *s = *state;
    popoto_db *setup = opened(s);
    failing_allocator memory;
    put(setup, &Strict, 1, "any", POPOTO_LIST(1, "x", POPOTO_LIST(2.5)));
    put(setup, &Strict, 2, "bytes", popoto_of_bytes((popoto_bytes){ "abc", 3 }));
    popoto_tenant_desc desc = tenant(both, "a", NULL), to = tenant(both, "b", NULL);
    lines all = { 0 };
    assert_ok(setup, popoto_export(setup, &desc, keep_line, &all, NULL));
    for (size_t n = 1;; n++) {
        popoto_db *db = opened_to_fail(s, &memory, n);
        lines some = { 0 };
        popoto_import_report report;
        all.at = 0;
        popoto_status status = popoto_export(db, &desc, keep_line, &some, NULL);
        if (status == POPOTO_OK)
            status = popoto_import(db, &to, give_line, &all, &report);
        popoto_catalog *catalog = NULL;
        if (status == POPOTO_OK)
            status = popoto_catalog_from_export(db, all.items[0], all.sizes[0], &catalog);
        if (status != POPOTO_OK)
            assert_int_equal(POPOTO_NO_MEMORY, status);
        bool failed = memory.failed;
        popoto_close(db);
        popoto_catalog_free(catalog);
        drop(&some);
        assert_int_equal(0, memory.live_blocks);
        if (!failed)
            break;
    }
    drop(&all);
    popoto_close(setup);
    server_flush(s);
}

/* Of two lines for one record the later counts, whatever the server has to be asked for the first. */
static void test_lines_are_stored_in_their_order(void **state) {
    static const popoto_field fields[] = {
        { .name = "owner", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },
        { .name = "room", .type = POPOTO_TEXT },
        { .name = "rank", .kind = POPOTO_KIND_SORTED, .type = POPOTO_INT, .partition_by = "room" },
    };
    static const popoto_model Guest = { .name = "Guest", .fields = fields, .field_count = 3 };
    static const popoto_model *const models[] = { &Guest };
    static char *texts[] = {
        "{\"model\": \"Guest\", \"fields\": {\"owner\": \"a\", \"room\": \"old\", \"rank\": 1}}",
        "{\"model\": \"Guest\", \"fields\": {\"owner\": \"a\", \"room\": \"new\", \"rank\": 2}}",
        "{\"model\": \"Guest\", \"fields\": {\"owner\": \"a\", \"room\": \"old\", \"rank\": 3}}",
    };
    server *s = *state;
    popoto_db *db = opened(s);
    size_t sizes[3], count;
    for (size_t i = 0; i < 3; i++)
        sizes[i] = strlen(texts[i]);
    popoto_tenant_desc desc = tenant(models, "a", "owner");
    import_all(db, &desc, &(lines){ .items = texts, .sizes = sizes, .count = 1 });
    import_all(db, &desc, &(lines){ .items = texts + 1, .sizes = sizes + 1, .count = 2 });
    popoto_query_desc last = { .model = &Guest,
                               .where = { POPOTO_IS("room", "old"), POPOTO_IS("rank", 3) } };
    assert_ok(db, popoto_count(db, &last, &count));
    assert_int_equal(1, count);
    assert_indexes_match(s, &Guest);
    popoto_close(db);
    server_flush(s);
}

/* POPOTO_TIMED=1: 100,000 records. */
static void test_timed(void **state) {
    server *s = *state;
    if (getenv("POPOTO_TIMED") == NULL)
        return;
    popoto_db *db = opened(s);
    static const popoto_model *const models[] = { &Memory };
    for (int i = 0; i < 100; i++) {
        static fact facts[1000];
        static char keys[1000][16];
        void *objects[1000];
        for (int k = 0; k < 1000; k++) {
            snprintf(keys[k], sizeof keys[k], "key%d", i * 1000 + k);
            facts[k] = (fact){ .project = "p", .key = keys[k], .content = "some text" };
            objects[k] = &facts[k];
        }
        assert_ok(db, popoto_create_many(db, &Memory, objects, 1000, NULL));
    }
    popoto_tenant_desc desc = tenant(models, "p", "project");
    struct timespec a, b, c;
    clock_gettime(CLOCK_MONOTONIC, &a);
    lines all = { 0 };
    assert_ok(db, popoto_export(db, &desc, keep_line, &all, NULL));
    clock_gettime(CLOCK_MONOTONIC, &b);
    import_all(db, &desc, &all);
    clock_gettime(CLOCK_MONOTONIC, &c);
    print_message("export of %zu: %.2f s; import: %.2f s\n", all.count,
                  (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9,
                  (double)(c.tv_sec - b.tv_sec) + (double)(c.tv_nsec - b.tv_nsec) / 1e9);
    drop(&all);
    popoto_close(db);
    server_flush(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_every_value_of_a_strict_model),
        server_test(test_every_value_of_an_ordinary_model),
        server_test(test_what_a_line_looks_like),
        server_test(test_partitions_and_figures),
        server_test(test_broken_lines),
        server_test(test_times_to_live),
        server_test(test_refused_lines),
        server_test(test_which_lines_are_stored),
        server_test(test_records_that_do_not_fit),
        server_test(test_what_was_cut_off),
        server_test(test_models_that_contradict),
        server_test(test_models_of_an_export),
        server_test(test_stopping_and_arguments),
        server_test(test_lines_are_stored_in_their_order),
        server_test(test_no_memory),
        server_test(test_timed),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
