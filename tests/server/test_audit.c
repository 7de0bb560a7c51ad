/* popoto_audit: nothing is found where all is well, whoever writes meanwhile; every kind of damage, done by
 * raw commands, is found, and nothing else; what can be mended is, and the rest stays as it was. */
#include "databases.h"
#include "failing_allocator.h"
#include "index_checker.h"
#include "server.h"
#include "test_models.h"

#include <popoto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

typedef struct page {
    popoto_object object;
    const char *project;
    const char *name;
    const char *owner;
    const char *shelf;
    int64_t rank;
    double weight;
    double trust;
} page;

/* Strict, with an index of each kind, told by its key and not. */
static const popoto_field page_fields[] = {
    POPOTO_TENANT(page, project),
    POPOTO_UNIQUE_KEY(page, name),
    POPOTO_KEY(page, owner),
    POPOTO_FIELD(page, shelf),
    POPOTO_SORTED(page, rank),
    POPOTO_SORTED(page, weight, .partition_by = "shelf"),
    POPOTO_CONFIDENCE(page, trust, .partition_by = "shelf"),
};
static const popoto_model Page = POPOTO_MODEL("Page", page, page_fields);

/* The same, ordinary. */
static const popoto_field leaf_fields[] = {
    POPOTO_KEY(page, project),
    POPOTO_UNIQUE_KEY(page, name),
    POPOTO_KEY(page, owner),
    POPOTO_FIELD(page, shelf),
    POPOTO_SORTED(page, rank, .partition_by = "project"),
    POPOTO_SORTED(page, weight, .partition_by = "shelf"),
    POPOTO_CONFIDENCE(page, trust, .partition_by = "shelf"),
};
static const popoto_model Leaf = POPOTO_MODEL("Leaf", page, leaf_fields);

static void create(popoto_db *db, const popoto_model *model, const char *project, int number) {
    char name[32], owner[32];
    snprintf(name, sizeof name, "n%d", number);
    snprintf(owner, sizeof owner, "o%d", number % 3);
    page it = { .project = project,
                .name = name,
                .owner = owner,
                .shelf = number % 2 ? "a" : "b",
                .rank = number,
                .weight = number / 8.0 };
    assert_ok(db, popoto_save(db, model, &it));
    assert_ok(db, popoto_confidence_update(db, model, &it, "trust", 1, NULL));
}

/* ----- What was found --------------------------------------------------------------------------- */

typedef struct found {
    char lines[64][400]; /* "MISSING record in index", sorted */
    size_t count;
    size_t repaired, repairable;
} found;

static const char *const kind_names[] = { "MISSING",   "STRAY",   "MISPLACED", "SCORE",
                                          "DUPLICATE", "CORRUPT", "LACKING",   "OTHER_FORM" };

static bool note(void *context, const popoto_finding *finding) {
    found *it = context;
    assert_non_null(finding->text);
    assert_true(strlen(finding->text) > 10);
    assert_true(it->count < 64);
    snprintf(it->lines[it->count++], sizeof it->lines[0], "%s%s %s in %s",
             finding->repairable ? "" : "!", kind_names[finding->kind],
             finding->record.data ? finding->record.data : "-",
             finding->index.data ? finding->index.data : "-");
    it->repaired += finding->repaired;
    it->repairable += finding->repairable;
    return true;
}

static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

/* Of a tenant: "p"; NULL: of all. */
static popoto_audit_report audit_of(popoto_db *db, const popoto_model *model, const char *tenant,
                                    bool repair, found *out) {
    popoto_audit_report report;
    popoto_value value = popoto_of_text(tenant);
    memset(out, 0, sizeof *out);
    popoto_audit_desc desc = { .model = model,
                               .repair = repair,
                               .found = note,
                               .context = out,
                               .tenant = tenant != NULL ? &value : NULL,
                               .tenant_field = "project" };
    assert_ok(db, popoto_audit(db, &desc, &report));
    assert_int_equal(out->count, report.findings);
    assert_int_equal(out->repaired, report.repaired);
    qsort(out->lines, out->count, sizeof out->lines[0], by_text);
    return report;
}

static popoto_audit_report audit(popoto_db *db, const popoto_model *model, bool repair,
                                 found *out) {
    return audit_of(db, model, NULL, repair, out);
}

/* Exactly these lines, in their order, up to NULL. */
static void assert_found(const found *it, const char *const *lines) {
    size_t count = 0;
    bool same = true;
    while (lines[count] != NULL) {
        same = same && count < it->count && strcmp(lines[count], it->lines[count]) == 0;
        count++;
    }
    if (same && count == it->count)
        return;
    for (size_t i = 0; i < it->count; i++)
        print_message("found: %s\n", it->lines[i]);
    for (size_t i = 0; i < count; i++)
        print_message("wanted: %s\n", lines[i]);
    fail();
}
#define ASSERT_FOUND(it_, ...) assert_found(it_, (const char *const[]){ __VA_ARGS__, NULL })

/* ----- Tests ------------------------------------------------------------------------------------- */

static void test_all_is_well(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    found it;
    popoto_audit_report report = audit(db, &Page, false, &it);
    assert_int_equal(0, report.records + report.index_entries + report.findings);
    for (int i = 0; i < 1300; i++) {
        create(db, &Page, i % 3 ? "a" : "b", i);
        create(db, &Leaf, i % 3 ? "a" : "b:c", i);
    }
    report = audit(db, &Page, false, &it);
    assert_int_equal(1300, report.records);
    assert_int_equal(1300 * 6, report.index_entries);
    assert_int_equal(0, report.findings);
    report = audit(db, &Leaf, false, &it);
    assert_int_equal(1300, report.records);
    assert_int_equal(1300 * 7, report.index_entries);
    assert_int_equal(0, report.findings);
    popoto_close(db);
    server_flush(s);
}

static void test_damage_to_an_ordinary_model(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    found it;
    for (int i = 0; i < 40; i++)
        create(db, &Leaf, i % 2 ? "p" : "q", i);
    char *before = strdup(server_dump(s));
    /* Missing in each kind of index. */
    server_command(s, "SREM $Class:Leaf Leaf:p:n1:o1");
    server_command(s, "SREM $KeyF:Leaf:project:p Leaf:p:n3:o0");
    server_command(s, "SREM $UniqueKeyF:Leaf:name:n5 Leaf:p:n5:o2");
    server_command(s, "ZREM $SortedF:Leaf:rank:p Leaf:p:n7:o1");
    server_command(s, "ZREM $SortedF:Leaf:weight:a Leaf:p:n9:o0");
    /* Stray. */
    server_command(s, "SADD $Class:Leaf Leaf:p:gone:o1");
    server_command(s, "SADD $KeyF:Leaf:owner:o1 Leaf:p:gone:o1");
    server_command(s, "SADD $UniqueKeyF:Leaf:name:gone Leaf:p:gone:o1");
    server_command(s, "ZADD $SortedF:Leaf:rank:p 7 Leaf:p:gone:o1");
    server_command(s, "ZADD $SortedF:Leaf:weight:a 7 Leaf:p:gone:o1");
    server_command(s, "HSET $ConfidencF:Leaf:trust:data:a Leaf:p:gone:o1 x");
    /* Misplaced. */
    server_command(s, "SADD $KeyF:Leaf:project:zzz Leaf:p:n1:o1");
    server_command(s, "SADD $UniqueKeyF:Leaf:name:n7 Leaf:p:n9:o0");
    server_command(s, "ZADD $SortedF:Leaf:rank:q 3 Leaf:p:n3:o0");
    server_command(s, "ZADD $SortedF:Leaf:rank 3 Leaf:p:n3:o0");
    server_command(s, "ZADD $SortedF:Leaf:weight:b 3 Leaf:p:n3:o0");
    /* Another score. */
    server_command(s, "ZADD $SortedF:Leaf:rank:p 12 Leaf:p:n11:o2");
    server_command(s, "ZADD $SortedF:Leaf:weight:a 12 Leaf:p:n11:o2");
    audit(db, &Leaf, false, &it);
    static const char *const wanted[] = {
        "MISPLACED Leaf:p:n1:o1 in $KeyF:Leaf:project:zzz",
        "MISPLACED Leaf:p:n3:o0 in $SortedF:Leaf:rank",
        "MISPLACED Leaf:p:n3:o0 in $SortedF:Leaf:rank:q",
        "MISPLACED Leaf:p:n3:o0 in $SortedF:Leaf:weight:b",
        "MISPLACED Leaf:p:n9:o0 in $UniqueKeyF:Leaf:name:n7",
        "MISSING Leaf:p:n1:o1 in $Class:Leaf",
        "MISSING Leaf:p:n3:o0 in $KeyF:Leaf:project:p",
        "MISSING Leaf:p:n5:o2 in $UniqueKeyF:Leaf:name:n5",
        "MISSING Leaf:p:n7:o1 in $SortedF:Leaf:rank:p",
        "MISSING Leaf:p:n9:o0 in $SortedF:Leaf:weight:a",
        "SCORE Leaf:p:n11:o2 in $SortedF:Leaf:rank:p",
        "SCORE Leaf:p:n11:o2 in $SortedF:Leaf:weight:a",
        "STRAY Leaf:p:gone:o1 in $Class:Leaf",
        "STRAY Leaf:p:gone:o1 in $ConfidencF:Leaf:trust:data:a",
        "STRAY Leaf:p:gone:o1 in $KeyF:Leaf:owner:o1",
        "STRAY Leaf:p:gone:o1 in $SortedF:Leaf:rank:p",
        "STRAY Leaf:p:gone:o1 in $SortedF:Leaf:weight:a",
        "STRAY Leaf:p:gone:o1 in $UniqueKeyF:Leaf:name:gone",
        NULL,
    };
    assert_found(&it, wanted);
    assert_int_equal(0, it.repaired);
    audit(db, &Leaf, true, &it);
    assert_found(&it, wanted);
    assert_int_equal(18, it.repaired);
    assert_string_equal(before, server_dump(s));
    audit(db, &Leaf, false, &it);
    assert_int_equal(0, it.count);
    free(before);
    popoto_close(db);
    server_flush(s);
}

static void test_damage_to_a_strict_model(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    found it;
    for (int i = 0; i < 20; i++)
        create(db, &Page, i % 2 ? "p" : "q", i);
    char *before = strdup(server_dump(s));
    server_command(s, "SREM {p}:$Class:Page {p}:Page:n1:o1");
    server_command(s, "ZREM {p}:$SortedF:Page:rank {p}:Page:n3:o0");
    server_command(s, "SADD {q}:$KeyF:Page:owner:o9 {q}:Page:gone:o9");
    /* In another tenant's indexes. */
    server_command(s, "SADD {q}:$Class:Page {p}:Page:n1:o1");
    server_command(s, "SADD {q}:$KeyF:Page:owner:o1 {p}:Page:n1:o1");
    server_command(s, "ZADD {q}:$SortedF:Page:rank 1 {p}:Page:n1:o1");
    server_command(s, "ZADD {r}:$SortedF:Page:rank 1 {p}:Page:n1:o1");
    audit(db, &Page, false, &it);
    static const char *const wanted[] = {
        "MISPLACED {p}:Page:n1:o1 in {q}:$Class:Page",
        "MISPLACED {p}:Page:n1:o1 in {q}:$KeyF:Page:owner:o1",
        "MISPLACED {p}:Page:n1:o1 in {q}:$SortedF:Page:rank",
        "MISPLACED {p}:Page:n1:o1 in {r}:$SortedF:Page:rank",
        "MISSING {p}:Page:n1:o1 in {p}:$Class:Page",
        "MISSING {p}:Page:n3:o0 in {p}:$SortedF:Page:rank",
        "STRAY {q}:Page:gone:o9 in {q}:$KeyF:Page:owner:o9",
        NULL,
    };
    assert_found(&it, wanted);
    audit(db, &Page, true, &it);
    assert_found(&it, wanted);
    assert_int_equal(7, it.repaired);
    assert_string_equal(before, server_dump(s));
    free(before);
    popoto_close(db);
    server_flush(s);
}

/* What nobody can know how to mend is listed, and stays. */
static void test_what_cannot_be_mended(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    found it;
    for (int i = 0; i < 20; i++)
        create(db, &Leaf, "p", i);
    server_command(s, "HSET Leaf:p:n1:o1 shelf %b", "\xc1", (size_t)1);
    server_command(s, "HSET Leaf:p:n3:o0 rank %b", "\xa1x", (size_t)2);
    server_command(s, "HSET Leaf:p:n5:o2 owner %b", "\xa2o1", (size_t)3);
    server_command(s, "HDEL Leaf:p:n7:o1 name");
    server_command(s, "HSET $ConfidencF:Leaf:trust:data:a Leaf:p:n9:o0 x");
    server_command(s, "SADD $Class:Leaf garbage Leaf:p:x:y:z");
    server_command(s, "SADD $KeyF:Leaf:project:p garbage");
    server_command(s, "SET Leaf:p:n20:o2 text");
    server_command(s, "HSET Leaf:p:n21:o2:more x y");
    server_command(s, "HSET Leaf:p:n22:o1 nothing ours");
    server_command(s, "HSET Leaf:p:n23:o2 nothing ours");
    server_command(s, "SADD $Class:Leaf Leaf:p:n23:o2");
    server_command(s, "SADD $KeyF:Leaf:nothing:p Leaf:p:n9:o0");
    server_command(s, "SET $SortedF:Leaf:rank:z text");
    /* Two records that hold one unique value. */
    server_command(s, "COPY Leaf:p:n11:o2 Leaf:p:n11:o1");
    server_command(s, "HSET Leaf:p:n11:o1 owner %b", "\xa2o1", (size_t)3);
    server_command(s, "SADD $Class:Leaf Leaf:p:n11:o1");
    server_command(s, "SADD $KeyF:Leaf:project:p Leaf:p:n11:o1");
    server_command(s, "SADD $KeyF:Leaf:owner:o1 Leaf:p:n11:o1");
    server_command(s, "SADD $UniqueKeyF:Leaf:name:n11 Leaf:p:n11:o1");
    server_command(s, "ZADD $SortedF:Leaf:rank:p 11 Leaf:p:n11:o1");
    server_command(s, "ZADD $SortedF:Leaf:weight:a 1.375 Leaf:p:n11:o1");
    char *before = strdup(server_dump(s));
    static const char *const wanted[] = {
        "!CORRUPT - in $KeyF:Leaf:nothing:p",
        "!CORRUPT - in $SortedF:Leaf:rank:z",
        "!CORRUPT Leaf:p:n1:o1 in -",
        "!CORRUPT Leaf:p:n20:o2 in -",
        "!CORRUPT Leaf:p:n21:o2:more in -",
        "!CORRUPT Leaf:p:n22:o1 in $Class:Leaf",
        "!CORRUPT Leaf:p:n23:o2 in $Class:Leaf",
        "!CORRUPT Leaf:p:n3:o0 in -",
        "!CORRUPT Leaf:p:n5:o2 in -",
        "!CORRUPT Leaf:p:n7:o1 in -",
        "!CORRUPT Leaf:p:n9:o0 in $ConfidencF:Leaf:trust:data:a",
        "!CORRUPT Leaf:p:x:y:z in $Class:Leaf",
        "!CORRUPT garbage in $Class:Leaf",
        "!CORRUPT garbage in $KeyF:Leaf:project:p",
        "!DUPLICATE Leaf:p:n11:o1 in $UniqueKeyF:Leaf:name:n11",
        NULL,
    };
    for (int repair = 0; repair < 2; repair++) {
        audit(db, &Leaf, repair, &it);
        if (strstr(it.lines[14], "n11:o2") != NULL) /* either is named */
            memcpy(strstr(it.lines[14], "n11:o2"), "n11:o1", 6);
        assert_found(&it, wanted);
        assert_int_equal(0, it.repaired);
        assert_string_equal(before, server_dump(s));
    }
    /* A unique value that another holds is not given back by mending. */
    server_command(s, "SREM $UniqueKeyF:Leaf:name:n11 Leaf:p:n11:o1");
    audit(db, &Leaf, true, &it);
    assert_int_equal(15, it.count);
    assert_string_equal("MISSING Leaf:p:n11:o1 in $UniqueKeyF:Leaf:name:n11", it.lines[14]);
    assert_int_equal(0, it.repaired);
    free(before);
    popoto_close(db);
    server_flush(s);
}

/* Figures are moved to where they belong, and merged with what is there. */
static void test_misplaced_figures(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    found it;
    popoto_confidence figures;
    page one = { .project = "p", .name = "n1", .owner = "o1", .shelf = "a" };
    page two = { .project = "p", .name = "n2", .owner = "o1", .shelf = "a" };
    assert_ok(db, popoto_create(db, &Leaf, &one));
    assert_ok(db, popoto_create(db, &Leaf, &two));
    assert_ok(db, popoto_confidence_update(db, &Leaf, &one, "trust", 1, NULL));
    server_command(s, "EVAL %s 0",
                   "local from, to = '$ConfidencF:Leaf:trust:data:a', '$ConfidencF:Leaf:trust:data'"
                   "local e = redis.call('HGET', from, 'Leaf:p:n1:o1') "
                   "redis.call('HDEL', from, 'Leaf:p:n1:o1') "
                   "redis.call('HSET', to, 'Leaf:p:n1:o1', e) "
                   "redis.call('HSET', to .. ':q', 'Leaf:p:n1:o1', e) "
                   "redis.call('HSET', to .. ':q', 'Leaf:p:n2:o1', 'x')");
    audit(db, &Leaf, true, &it);
    ASSERT_FOUND(&it, "!MISPLACED Leaf:p:n2:o1 in $ConfidencF:Leaf:trust:data:q",
                 "MISPLACED Leaf:p:n1:o1 in $ConfidencF:Leaf:trust:data",
                 "MISPLACED Leaf:p:n1:o1 in $ConfidencF:Leaf:trust:data:q");
    assert_int_equal(2, it.repaired);
    assert_ok(db, popoto_confidence_figures(db, &Leaf, &one, "trust", &figures));
    assert_int_equal(2, figures.evidence_count);
    assert_int_equal(2, figures.corroborations);
    popoto_close(db);
    server_flush(s);
}

static void test_expired_records_are_stray(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    found it;
    session one = { .site = "a", .user = "u", .seen = 3 };
    assert_ok(db, popoto_create(db, &Session, &one));
    audit(db, &Session, false, &it);
    assert_int_equal(0, it.count);
    server_command(s, "PEXPIRE Session:a:u 1");
    usleep(5000);
    audit(db, &Session, true, &it);
    ASSERT_FOUND(&it, "STRAY Session:a:u in $Class:Session",
                 "STRAY Session:a:u in $KeyF:Session:site:a",
                 "STRAY Session:a:u in $SortedF:Session:seen:a",
                 "STRAY Session:a:u in $UniqueKeyF:Session:user:u");
    assert_int_equal(4, it.repaired);
    assert_string_equal("", server_dump(s));
    popoto_close(db);
}

/* Two tenants in Popoto's dialect, 15 records each. */
static popoto_db *opened_as_popoto(server *s) {
    popoto_db *db = popoto_open(server_url(s), &(popoto_options){ .dialect = POPOTO_AS_POPOTO });
    for (int i = 0; i < 30; i++)
        create(db, &Leaf, i % 2 ? "p-1" : "q:1", i);
    return db;
}

static void damage_as_popoto(server *s) {
    server_command(s, "SREM $Class:Leaf Leaf:n1:o1:p/-1");
    server_command(s, "ZADD $SortF:Leaf:rank:p/-1 1 Leaf:gone:o1:p/-1");
}

/* What an audit says of it. */
#define DAMAGE_AS_POPOTO \
    "MISSING Leaf:n1:o1:p/-1 in $Class:Leaf", "STRAY Leaf:gone:o1:p/-1 in $SortF:Leaf:rank:p/-1"

static void test_dialect_of_popoto(void **state) {
    server *s = *state;
    popoto_db *db = opened_as_popoto(s);
    found it;
    audit(db, &Leaf, false, &it);
    assert_int_equal(0, it.count);
    char *before = strdup(server_dump(s));
    damage_as_popoto(s);
    audit(db, &Leaf, true, &it);
    ASSERT_FOUND(&it, DAMAGE_AS_POPOTO);
    assert_int_equal(2, it.repaired);
    assert_string_equal(before, server_dump(s));
    free(before);
    popoto_close(db);
    server_flush(s);
}

/* A record that lacks what would place it is in no such index; an entry that it has there is wrong. */
static void test_records_without_values(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    found it;
    page one = { .project = "p", .name = "n1", .owner = "o1" };
    assert_ok(db, popoto_save_with(db, &Leaf, &one, &(popoto_save_desc){ .only = "rank" }));
    audit(db, &Leaf, false, &it); /* neither shelf nor weight; the confidence is as good as there */
    ASSERT_FOUND(&it, "!LACKING Leaf:p:n1:o1 in -", "!LACKING Leaf:p:n1:o1 in -");
    server_command(s, "ZADD $SortedF:Leaf:weight:a 1 Leaf:p:n1:o1");
    server_command(s, "HDEL Leaf:p:n1:o1 rank");
    audit(db, &Leaf, true, &it);
    ASSERT_FOUND(&it, "!LACKING Leaf:p:n1:o1 in -", "!LACKING Leaf:p:n1:o1 in -",
                 "!LACKING Leaf:p:n1:o1 in -", "MISPLACED Leaf:p:n1:o1 in $SortedF:Leaf:rank:p",
                 "MISPLACED Leaf:p:n1:o1 in $SortedF:Leaf:weight:a");
    assert_int_equal(2, it.repaired);
    audit(db, &Leaf, false, &it);
    assert_int_equal(3, it.count);
    popoto_close(db);
    server_flush(s);
}

/* A field that may be null, or has a default, is no fault where a record lacks it; null where it may not be is
 * one, whether it is stored or not. Reading such a record gives the default or null, as ever. */
static void test_values_that_may_be_lacking(void **state) {
    static const popoto_field fields[] = {
        { .name = "id", .kind = POPOTO_KIND_KEY, .type = POPOTO_TEXT },
        { .name = "needed", .type = POPOTO_TEXT },
        { .name = "free", .type = POPOTO_TEXT, .null = true },
        { .name = "usual", .type = POPOTO_INT, .default_value = POPOTO_DEFAULT_INT(3) },
        { .name = "trust", .kind = POPOTO_KIND_CONFIDENCE, .type = POPOTO_FLOAT },
    };
    static const popoto_model Sheet = { .name = "Sheet", .fields = fields, .field_count = 5 };
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_rows *rows;
    found it;
    for (int i = 0; i < 3; i++) {
        char key[8], member[] = "0";
        snprintf(key, sizeof key, "Sheet:%d", i);
        member[0] = (char)('0' + i);
        server_command(s, "HSET %s id %b", key, (char[]){ '\xa1', member[0] }, (size_t)2);
        server_command(s, "SADD $Class:Sheet %s", key);
        server_command(s, "SADD $KeyF:Sheet:id:%s %s", member, key);
    }
    server_command(s, "HSET Sheet:0 needed %b", "\xa1x", (size_t)2);
    server_command(s, "HSET Sheet:1 needed %b", "\xc0", (size_t)1);
    audit(db, &Sheet, false, &it);
    ASSERT_FOUND(&it, "!LACKING Sheet:1 in -", "!LACKING Sheet:2 in -");
    assert_ok(db, popoto_query(db, &(popoto_query_desc){ .model = &Sheet }, &rows));
    assert_int_equal(3, popoto_rows_count(rows));
    assert_int_equal(3, popoto_record_get(popoto_rows_at(rows, 0), "usual")->as.integer);
    popoto_rows_free(rows);
    popoto_close(db);
    server_flush(s);
}

/* ----- One tenant --------------------------------------------------------------------------------- */

static size_t calls_of(server *s, const char *command) {
    char name[32];
    snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    const char *at = strstr(server_command(s, "INFO commandstats"), name);
    return at != NULL ? (size_t)strtoul(at + strlen(name), NULL, 10) : 0;
}

/* It is read, and nothing of the others; of a strict model, not even their indexes. */
static void test_a_tenant_costs_what_it_has(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    found it;
    for (int i = 0; i < 600; i++) {
        create(db, &Page, i % 100 ? "many" : "few", i);
        create(db, &Leaf, i % 100 ? "many" : "few", i);
    }
    server_command(s, "CONFIG RESETSTAT");
    popoto_audit_report report = audit_of(db, &Page, "few", false, &it);
    assert_int_equal(6, report.records);
    assert_int_equal(6 * 6, report.index_entries);
    assert_int_equal(0, report.findings);
    assert_true(calls_of(s, "hmget") <= 6 * 3);
    assert_int_equal(1 + 6 + 3, calls_of(s, "sscan")); /* all, names, owners */
    size_t looks = calls_of(s, "scan");
    server_command(s, "CONFIG RESETSTAT");
    report = audit_of(db, &Leaf, "few", false, &it);
    assert_int_equal(6, report.records);
    assert_int_equal(6 * 7, report.index_entries);
    assert_int_equal(0, report.findings);
    assert_true(calls_of(s, "hmget") <= 6 * 3);
    /* The names of all keys are looked through once; of an ordinary model, once for each kind. */
    assert_true(looks > 0 && calls_of(s, "scan") == 2 * looks);
    report = audit_of(db, &Leaf, "nobody", false, &it);
    assert_int_equal(0, report.records + report.index_entries + report.findings);
    popoto_close(db);
    server_flush(s);
}

/* What an audit of all finds is found by that of one tenant or the other: only what names none is not. */
static void test_damage_to_one_of_the_tenants(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    found it;
    for (int i = 0; i < 20; i++) {
        create(db, &Leaf, i % 2 ? "p" : "q", i);
        create(db, &Page, i % 2 ? "p" : "q", i);
    }
    char *before = strdup(server_dump(s));
    server_command(s, "SREM {p}:$Class:Page {p}:Page:n1:o1");
    server_command(s, "SADD {p}:$KeyF:Page:owner:o9 {p}:Page:gone:o9");
    server_command(s, "SREM {q}:$Class:Page {q}:Page:n2:o2");
    server_command(s, "SADD {p}:$KeyF:Page:owner:o1 {q}:Page:n4:o1");
    server_command(s, "SADD {q}:$KeyF:Page:owner:o1 {p}:Page:n1:o1");
    server_command(s, "HSET {p}:Page:n3:o0:more x y");
    server_command(s, "HSET {p}:Pages:n3:o0:more x y");
    audit_of(db, &Page, "p", true, &it);
    ASSERT_FOUND(&it, "!CORRUPT {p}:Page:n3:o0:more in -",
                 "MISPLACED {q}:Page:n4:o1 in {p}:$KeyF:Page:owner:o1",
                 "MISSING {p}:Page:n1:o1 in {p}:$Class:Page",
                 "STRAY {p}:Page:gone:o9 in {p}:$KeyF:Page:owner:o9");
    assert_int_equal(3, it.repaired);
    audit(db, &Page, true, &it);
    ASSERT_FOUND(&it, "!CORRUPT {p}:Page:n3:o0:more in -",
                 "MISPLACED {p}:Page:n1:o1 in {q}:$KeyF:Page:owner:o1",
                 "MISSING {q}:Page:n2:o2 in {q}:$Class:Page");
    server_command(s, "DEL {p}:Page:n3:o0:more {p}:Pages:n3:o0:more");
    assert_string_equal(before, server_dump(s));
    /* Of an ordinary model: its own, what names it elsewhere, and what others have in what is its own. */
    server_command(s, "SREM $Class:Leaf Leaf:p:n1:o1 Leaf:q:n2:o2");
    server_command(s, "ZREM $SortedF:Leaf:weight:a Leaf:p:n3:o0");
    server_command(s, "ZADD $SortedF:Leaf:weight:b 9 Leaf:q:n2:o2");
    server_command(s, "SADD $KeyF:Leaf:owner:o1 Leaf:p:gone:o1 Leaf:q:gone:o1");
    server_command(s, "SADD $KeyF:Leaf:project:p Leaf:q:n4:o1");
    server_command(s, "SADD $KeyF:Leaf:project:q Leaf:p:n5:o2");
    server_command(s, "ZADD $SortedF:Leaf:rank:p 1 Leaf:q:n6:o0");
    server_command(s, "SADD $UniqueKeyF:Leaf:name:n7 Leaf:q:gone:o2");
    server_command(s, "SADD $UniqueKeyF:Leaf:name:n8 Leaf:q:gone:o2");
    server_command(s, "SADD $Class:Leaf garbage");
    server_command(s, "SET $KeyF:Leaf:project:z text");
    server_command(s, "SET $KeyF:Leaf:owner:z text");
    server_command(s, "SADD $KeyF:Leaf:nothing:p Leaf:p:n9:o0");
    audit_of(db, &Leaf, "p", true, &it);
    ASSERT_FOUND(
        &it, "!CORRUPT - in $KeyF:Leaf:owner:z", "MISPLACED Leaf:p:n5:o2 in $KeyF:Leaf:project:q",
        "MISPLACED Leaf:q:n4:o1 in $KeyF:Leaf:project:p",
        "MISPLACED Leaf:q:n6:o0 in $SortedF:Leaf:rank:p", "MISSING Leaf:p:n1:o1 in $Class:Leaf",
        "MISSING Leaf:p:n3:o0 in $SortedF:Leaf:weight:a",
        "STRAY Leaf:p:gone:o1 in $KeyF:Leaf:owner:o1",
        "STRAY Leaf:q:gone:o2 in $UniqueKeyF:Leaf:name:n7");
    assert_int_equal(7, it.repaired);
    audit_of(db, &Leaf, "q", true, &it);
    assert_int_equal(5, it.count);
    assert_int_equal(4, it.repaired);
    server_command(s, "DEL $KeyF:Leaf:owner:z");
    audit(db, &Leaf, true, &it);
    ASSERT_FOUND(&it, "!CORRUPT - in $KeyF:Leaf:nothing:p", "!CORRUPT - in $KeyF:Leaf:project:z",
                 "!CORRUPT garbage in $Class:Leaf");
    server_command(s, "SREM $Class:Leaf garbage");
    server_command(s, "DEL $KeyF:Leaf:project:z $KeyF:Leaf:nothing:p");
    assert_string_equal(before, server_dump(s));
    free(before);
    popoto_close(db);
    server_flush(s);
}

/* A unique value that a record of another tenant holds too. */
static void test_a_value_that_two_tenants_hold(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    found it;
    create(db, &Leaf, "p", 1);
    create(db, &Leaf, "q", 2);
    server_command(s, "COPY Leaf:q:n2:o2 Leaf:q:n1:o2");
    server_command(s, "HSET Leaf:q:n1:o2 name %b", "\xa2n1", (size_t)3);
    server_command(s, "SADD $UniqueKeyF:Leaf:name:n1 Leaf:q:n1:o2");
    audit_of(db, &Leaf, "p", false, &it);
    assert_int_equal(1, it.count);
    assert_non_null(strstr(it.lines[0], "!DUPLICATE Leaf:"));
    popoto_close(db);
    server_flush(s);
}

/* Popoto's keys, whose last part names the tenant, and whose companion hashes are named by it as it is. */
static void test_a_tenant_in_the_dialect_of_popoto(void **state) {
    server *s = *state;
    popoto_db *db = opened_as_popoto(s);
    found it;
    popoto_audit_report report = audit_of(db, &Leaf, "p-1", false, &it);
    assert_int_equal(15, report.records);
    assert_int_equal(15 * 7, report.index_entries);
    assert_int_equal(0, it.count);
    damage_as_popoto(s);
    audit_of(db, &Leaf, "q:1", true, &it);
    ASSERT_FOUND(&it, NULL);
    audit_of(db, &Leaf, "p-1", true, &it);
    ASSERT_FOUND(&it, DAMAGE_AS_POPOTO);
    popoto_close(db);
    server_flush(s);
}

/* ----- While others write ------------------------------------------------------------------------- */

typedef struct writer {
    server *s;
    int seed;
    atomic_bool stop;
} writer;

static void *keep_writing(void *context) {
    writer *it = context;
    popoto_db *db = popoto_open(server_url(it->s), NULL);
    unsigned random = (unsigned)it->seed;
    while (!atomic_load(&it->stop)) {
        char name[32], owner[8];
        random = random * 1103515245 + 12345;
        unsigned number = random >> 16 & 63;
        snprintf(name, sizeof name, "n%u", number);
        snprintf(owner, sizeof owner, "o%u", number % 3);
        page one = { .project = number % 2 ? "p" : "q",
                     .name = name,
                     .owner = owner,
                     .shelf = random >> 8 & 1 ? "a" : "b",
                     .rank = random >> 20,
                     .weight = random };
        const popoto_model *model = random >> 24 & 1 ? &Leaf : &Page;
        popoto_status status =
            random % 5 == 0 ? popoto_delete(db, model, &one) : popoto_save(db, model, &one);
        if (status != POPOTO_OK && status != POPOTO_NOT_FOUND)
            abort();
    }
    popoto_close(db);
    return NULL;
}

/* Somebody damages indexes meanwhile; who writes does not. */
static void damage(server *s, int round) {
    server_command(s, "SREM $Class:Leaf Leaf:p:n%d:o%d", round % 64 | 1, (round % 64 | 1) % 3);
    server_command(s, "ZADD $SortedF:Leaf:weight:a 7 Leaf:p:n%d:o%d", round % 64 | 1,
                   (round % 64 | 1) % 3);
    server_command(s, "SADD $Class:Leaf Leaf:p:gone%d:o1", round);
    server_command(s, "ZADD {p}:$SortedF:Page:weight:b 7 {p}:Page:n%d:o%d", round % 64 | 1,
                   (round % 64 | 1) % 3);
}

static void race(server *s, bool with_damage) {
    popoto_db *db = opened(s);
    writer writers[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        writers[i] = (writer){ .s = s, .seed = i + 1 };
        atomic_init(&writers[i].stop, false);
        assert_int_equal(0, pthread_create(&threads[i], NULL, keep_writing, &writers[i]));
    }
    size_t findings = 0, repaired = 0;
    for (int round = 0; round < 150; round++) {
        found it;
        if (with_damage)
            damage(s, round);
        popoto_audit_report report = audit(db, round % 2 ? &Leaf : &Page, true, &it);
        findings += report.findings;
        repaired += report.repaired;
        for (size_t i = 0; !with_damage && i < it.count; i++)
            print_message("found: %s\n", it.lines[i]);
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&writers[i].stop, true);
        pthread_join(threads[i], NULL);
    }
    if (!with_damage) {
        assert_int_equal(0, findings);
    } else {
        found it;
        assert_true(repaired > 0);
        audit(db, &Leaf, true, &it);
        audit(db, &Page, true, &it);
        audit(db, &Page, false, &it);
        assert_int_equal(0, it.count);
    }
    assert_indexes_match(s, &Leaf);
    popoto_close(db);
    server_flush(s);
}

static void test_writers_cause_no_findings(void **state) {
    race(*state, false);
}

static void test_mending_harms_no_writer(void **state) {
    race(*state, true);
}

/* ----- Stopping, arguments, memory ---------------------------------------------------------------- */

static bool refuse(void *context, const popoto_finding *finding) {
    (void)context;
    (void)finding;
    return false;
}

static void test_progress_and_stopping(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    for (int i = 0; i < 700; i++)
        create(db, &Leaf, "p", i);
    progress_seen it = { 0 };
    popoto_audit_desc desc = { .model = &Leaf, .progress = see_progress, .context = &it };
    assert_ok(db, popoto_audit(db, &desc, NULL));
    assert_int_equal(it.done, it.total);
    assert_int_equal(700 * 8, it.total);
    for (int stop_at = 1; stop_at <= it.calls; stop_at++) {
        progress_seen one = { .stop_at = stop_at };
        desc.context = &one;
        assert_status(POPOTO_STOPPED, db, popoto_audit(db, &desc, NULL));
    }
    server_command(s, "SADD $Class:Leaf garbage");
    desc = (popoto_audit_desc){ .model = &Leaf, .found = refuse };
    assert_status(POPOTO_STOPPED, db, popoto_audit(db, &desc, NULL));
    popoto_close(db);
    server_flush(s);
}

/* ----- Memory for large records ----------------------------------------------------------------- */

typedef struct measure {
    size_t live, peak;
} measure;

/* Each block has its size in front. */
static void *resize_measured(void *context, void *block, size_t size) {
    measure *it = context;
    max_align_t *head = block != NULL ? (max_align_t *)block - 1 : NULL;
    size_t before = 0;
    if (head != NULL)
        memcpy(&before, head, sizeof before);
    it->live += size - before;
    it->peak = it->live > it->peak ? it->live : it->peak;
    if (size == 0) {
        free(head);
        return NULL;
    }
    head = realloc(head, size + sizeof *head);
    assert_non_null(head);
    memcpy(head, &size, sizeof size);
    return head + 1;
}

static bool drop_line(void *context, const char *line, size_t size) {
    (void)line;
    *(size_t *)context += size;
    return true;
}

/* How many are read at a time depends on how large they are. */
static void test_large_records(void **state) {
    enum {
        COUNT = 400,
        SIZE = 200000
    };
    static const popoto_field fields[] = {
        { .name = "owner", .kind = POPOTO_KIND_TENANT, .type = POPOTO_TEXT },
        { .name = "id", .kind = POPOTO_KIND_KEY, .type = POPOTO_INT },
        { .name = "body", .type = POPOTO_TEXT },
    };
    static const popoto_model Doc = { .name = "Doc", .fields = fields, .field_count = 3 };
    static const popoto_model *const docs[] = { &Doc };
    server *s = *state;
    measure memory = { 0 };
    char *body = malloc(SIZE);
    memset(body, 'x', SIZE);
    popoto_db *db =
        popoto_open(server_url(s), &(popoto_options){ .allocator = { resize_measured, &memory } });
    for (int i = 0; i < COUNT; i++) {
        popoto_record *one;
        assert_ok(db, popoto_record_new(db, &Doc, &one));
        assert_ok(db, popoto_record_set(one, "owner", popoto_of_text("a")));
        assert_ok(db, popoto_record_set(one, "id", popoto_of_int(i)));
        assert_ok(
            db, popoto_record_set(one, "body", popoto_of_sized_text((popoto_text){ body, SIZE })));
        assert_ok(db, popoto_create(db, &Doc, one));
        popoto_record_free(one);
    }
    server_command(s, "DEL {a}:$Class:Doc"); /* so that the pass over the keys reads them too */
    found it;
    memory.peak = memory.live;
    popoto_audit_desc desc = { .model = &Doc, .repair = true };
    popoto_audit_report report;
    assert_ok(db, popoto_audit(db, &desc, &report));
    assert_int_equal(COUNT, report.repaired);
    assert_int_equal(0, audit(db, &Doc, false, &it).findings);
    size_t size = 0, count;
    popoto_tenant_desc tenant = { .models = docs, .model_count = 1, .tenant = popoto_of_text("a") };
    assert_ok(db, popoto_export(db, &tenant, drop_line, &size, &count));
    assert_int_equal(COUNT, count);
    assert_true(size > (size_t)COUNT * SIZE);
    print_message("%d records of %d bytes: at most %zu KiB at a time\n", COUNT, SIZE,
                  memory.peak / 1024);
    assert_true(memory.peak < 16 << 20);
    popoto_close(db);
    assert_int_equal(0, memory.live);
    free(body);
    server_flush(s);
}

static void test_arguments(void **state) {
    server *s = *state;
    popoto_db *db = opened(s);
    popoto_audit_report report = { .records = 7 };
    assert_int_equal(POPOTO_BAD_ARGUMENT, popoto_audit(NULL, NULL, &report));
    assert_int_equal(0, report.records);
    assert_fails(POPOTO_BAD_ARGUMENT, "description", db, popoto_audit(db, NULL, NULL));
    assert_fails(POPOTO_BAD_ARGUMENT, "model", db,
                 popoto_audit(db, &(popoto_audit_desc){ 0 }, NULL));
    assert_ok(db, popoto_scope_enter(db, "project", "p"));
    assert_fails(POPOTO_BAD_SCOPE, "every project", db,
                 popoto_audit(db, &(popoto_audit_desc){ .model = &Page }, NULL));
    /* Of one tenant: in its scope, and in no other. */
    popoto_value p = popoto_of_text("p"), q = popoto_of_text("q"), none = popoto_of_text("");
    popoto_audit_desc desc = { .model = &Page, .tenant = &p };
    assert_ok(db, popoto_audit(db, &desc, NULL));
    desc.tenant = &q;
    assert_fails(POPOTO_BAD_SCOPE, "project", db, popoto_audit(db, &desc, NULL));
    assert_ok(db, popoto_scope_leave(db));
    desc.tenant = &none;
    assert_fails(POPOTO_BAD_VALUE, "project", db, popoto_audit(db, &desc, NULL));
    desc = (popoto_audit_desc){ .model = &Leaf, .tenant = &p };
    assert_fails(POPOTO_BAD_ARGUMENT, "Leaf has no TENANT: name the field", db,
                 popoto_audit(db, &desc, NULL));
    desc.tenant_field = "shelf";
    assert_fails(POPOTO_BAD_ARGUMENT, "Leaf.shelf is no part of the key", db,
                 popoto_audit(db, &desc, NULL));
    popoto_close(db);
}

static void damage_a_bit(server *s) {
    server_command(s, "SREM $Class:Leaf Leaf:p:n1:o1");
    server_command(s, "SADD $Class:Leaf Leaf:p:gone:o1 garbage");
    server_command(s, "ZADD $SortedF:Leaf:weight:b 3 Leaf:p:n3:o0");
    server_command(s, "ZADD $SortedF:Leaf:rank:p 3 Leaf:p:n1:o1");
    server_command(s, "SADD {q}:$Class:Page {p}:Page:n1:o1");
}

static void test_no_memory(void **state) {
    server *s = *state;
    popoto_db *setup = opened(s);
    failing_allocator memory;
    for (int i = 0; i < 4; i++) {
        create(setup, &Leaf, "p", i);
        create(setup, &Page, "p", i);
    }
    popoto_value tenant = popoto_of_text("p");
    for (int kind = 0; kind < 4; kind++) {
        popoto_audit_desc desc = { .model = kind % 2 ? &Leaf : &Page,
                                   .repair = true,
                                   .tenant = kind < 2 ? NULL : &tenant,
                                   .tenant_field = "project" };
        bool failed = true;
        for (size_t n = 1; failed; n++) {
            damage_a_bit(s);
            popoto_db *db = opened_to_fail(s, &memory, n);
            popoto_audit_report report = { 0 };
            popoto_status status = popoto_audit(db, &desc, &report);
            if (status != POPOTO_OK)
                assert_int_equal(POPOTO_NO_MEMORY, status);
            failed = closed_after_failure(db, &memory);
        }
    }
    popoto_close(setup);
    server_flush(s);
}

/* ----- POPOTO_TIMED=1: a million records in a thousand tenants ------------------------------------ */

enum {
    TENANTS = 1000,
    RECORDS = 1000
};

static void fill(popoto_db *db, const popoto_model *model) {
    static page pages[RECORDS];
    static void *objects[RECORDS];
    static char names[RECORDS][24];
    for (int t = 0; t < TENANTS; t++) {
        char tenant[24];
        snprintf(tenant, sizeof tenant, "project-%d", t);
        for (int i = 0; i < RECORDS; i++) {
            snprintf(names[i], sizeof names[i], "n%d", t * RECORDS + i);
            pages[i] = (page){ .project = tenant,
                               .name = names[i],
                               .owner = "o",
                               .shelf = "a",
                               .rank = i,
                               .weight = i };
            objects[i] = &pages[i];
        }
        assert_ok(db, popoto_create_many(db, model, objects, RECORDS, NULL));
    }
}

static double seconds_of(const struct timeval *time) {
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static void time_one(server *s, const popoto_model *model) {
    popoto_db *db = opened(s);
    fill(db, model);
    popoto_close(db);
    struct timespec from, to;
    struct rusage usage;
    server_command(s, "CONFIG SET slowlog-log-slower-than 5000");
    server_command(s, "SLOWLOG RESET");
    double before = server_seconds(s);
    int status;
    clock_gettime(CLOCK_MONOTONIC, &from);
    /* A process of its own, so that its memory can be told. */
    pid_t child = fork();
    if (child == 0) {
        char *const arguments[] = { "test_audit", "audit", (char *)(uintptr_t)server_url(s),
                                    (char *)(uintptr_t)model->name, NULL };
        execv("/proc/self/exe", arguments);
        _exit(127);
    }
    assert_int_equal(child, wait4(child, &status, 0, &usage));
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_int_equal(0, status);
    double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    double servers = server_seconds(s) - before;
    double ours = seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime);
    print_message("audit of %s: %.1f s; CPU: %.1f s of the server's, %.1f s ours; %ld KiB\n",
                  model->name, seconds, servers, ours, usage.ru_maxrss);
    print_message("commands that took the server 5 ms or more: %s\n",
                  server_command(s, "SLOWLOG LEN"));
    server_flush(s);
    assert_true(usage.ru_maxrss <= 32 * 1024);
    assert_true(servers + ours <= 60);
}

static int audit_alone(const char *url, const char *name) {
    popoto_db *db = popoto_open(url, NULL);
    popoto_audit_report report;
    popoto_audit_desc desc = { .model = strcmp(name, "Leaf") == 0 ? &Leaf : &Page };
    popoto_status status = popoto_audit(db, &desc, &report);
    printf("%zu records, %zu entries, %zu findings\n", report.records, report.index_entries,
           report.findings);
    bool right = status == POPOTO_OK && report.findings == 0 && report.records == TENANTS * RECORDS;
    popoto_close(db);
    return right ? 0 : 1;
}

static void test_timed(void **state) {
    if (getenv("POPOTO_TIMED") == NULL)
        return;
    time_one(*state, &Page);
    time_one(*state, &Leaf);
}

int main(int count, char **arguments) {
    if (count == 4 && strcmp(arguments[1], "audit") == 0)
        return audit_alone(arguments[2], arguments[3]);
    const struct CMUnitTest tests[] = {
        server_test(test_all_is_well),
        server_test(test_damage_to_an_ordinary_model),
        server_test(test_damage_to_a_strict_model),
        server_test(test_what_cannot_be_mended),
        server_test(test_misplaced_figures),
        server_test(test_expired_records_are_stray),
        server_test(test_dialect_of_popoto),
        server_test(test_records_without_values),
        server_test(test_values_that_may_be_lacking),
        server_test(test_a_tenant_costs_what_it_has),
        server_test(test_damage_to_one_of_the_tenants),
        server_test(test_a_value_that_two_tenants_hold),
        server_test(test_a_tenant_in_the_dialect_of_popoto),
        server_test(test_writers_cause_no_findings),
        server_test(test_mending_harms_no_writer),
        server_test(test_progress_and_stopping),
        server_test(test_large_records),
        server_test(test_arguments),
        server_test(test_no_memory),
        server_test(test_timed),
    };
    return cmocka_run_group_tests(tests, server_group_start, server_group_stop);
}
