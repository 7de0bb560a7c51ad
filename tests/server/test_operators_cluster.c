/* The operators' calls on a Redis Cluster: they see the tenants of every node, and change each on its own. */
#include "cluster_nodes.h"

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

typedef struct page {
    popoto_object object;
    const char *project;
    const char *name;
    const char *shelf;
    int64_t rank;
    double trust;
} page;

static const popoto_field page_fields[] = {
    POPOTO_TENANT(page, project),   POPOTO_UNIQUE_KEY(page, name),
    POPOTO_FIELD(page, shelf),      POPOTO_SORTED(page, rank, .partition_by = "shelf"),
    POPOTO_CONFIDENCE(page, trust),
};
static const popoto_model Page = POPOTO_MODEL("Page", page, page_fields);
static const popoto_model *const models[] = { &Page };

enum {
    TENANTS = 30,
    RECORDS = 20
};

static void fill(popoto_db *db) {
    for (int t = 0; t < TENANTS; t++)
        for (int i = 0; i < RECORDS; i++) {
            char project[16], name[16];
            snprintf(project, sizeof project, "p%d", t);
            snprintf(name, sizeof name, "n%d", i);
            page it = { .project = project, .name = name, .shelf = i % 2 ? "a" : "b", .rank = i };
            assert_ok(db, popoto_create(db, &Page, &it));
        }
}

/* A raw command about a key, on the node that has it. */
static void tell(node_group *nodes, const char *key, const char *command) {
    char text[1024];
    snprintf(text, sizeof text, command, key);
    nodes_tell(nodes, nodes_owner(nodes, nodes_slot(nodes, key)), text);
}

static bool count_findings(void *context, const popoto_finding *finding) {
    size_t *counts = context;
    counts[finding->kind]++;
    return true;
}

static popoto_audit_report audit(popoto_db *db, bool repair, size_t *counts) {
    popoto_audit_report report;
    memset(counts, 0, 6 * sizeof *counts);
    popoto_audit_desc desc = {
        .model = &Page, .repair = repair, .found = count_findings, .context = counts
    };
    assert_ok(db, popoto_audit(db, &desc, &report));
    return report;
}

static void test_audit(void **state) {
    node_group *nodes = *state;
    popoto_db *db = popoto_open(nodes_url(nodes), NULL);
    size_t counts[6];
    fill(db);
    popoto_audit_report report = audit(db, false, counts);
    assert_int_equal(TENANTS * RECORDS, report.records);
    assert_int_equal(TENANTS * RECORDS * 4, report.index_entries);
    assert_int_equal(0, report.findings);
    tell(nodes, "{p1}:$Class:Page", "SREM %s {p1}:Page:n3");
    tell(nodes, "{p2}:$Class:Page", "SADD %s {p2}:Page:gone {p9}:Page:n1");
    tell(nodes, "{p3}:$SortedF:Page:rank:a", "ZADD %s 77 {p3}:Page:n1");
    tell(nodes, "{p3}:$SortedF:Page:rank:b", "ZADD %s 77 {p3}:Page:n1 77 {p4}:Page:n1");
    report = audit(db, true, counts);
    assert_int_equal(1, counts[POPOTO_FINDING_MISSING]);
    assert_int_equal(1, counts[POPOTO_FINDING_STRAY]);
    assert_int_equal(1, counts[POPOTO_FINDING_SCORE]);
    assert_int_equal(3, counts[POPOTO_FINDING_MISPLACED]);
    assert_int_equal(6, report.repaired);
    report = audit(db, false, counts);
    assert_int_equal(0, report.findings);
    popoto_close(db);
}

static bool sum_figures(void *context, const popoto_tenant_figures *figures) {
    size_t *tenants = context;
    assert_int_equal(RECORDS, figures->records);
    assert_int_equal(RECORDS * 4, figures->index_entries);
    (*tenants)++;
    return true;
}

static void test_tenants_are_listed(void **state) {
    node_group *nodes = *state;
    popoto_db *db = popoto_open(nodes_url(nodes), NULL);
    size_t tenants = 0;
    fill(db);
    assert_ok(db, popoto_tenant_list(db, &Page, NULL, sum_figures, NULL, &tenants));
    assert_int_equal(TENANTS, tenants);
    popoto_close(db);
}

typedef struct lines {
    char *items[RECORDS + 2]; /* the models, the records, the end */
    size_t count, at;
} lines;

static bool keep_line(void *context, const char *line, size_t size) {
    lines *it = context;
    (void)size;
    it->items[it->count++] = strdup(line);
    return true;
}

static bool give_line(void *context, const char **line, size_t *size) {
    lines *it = context;
    if (it->at == it->count)
        return false;
    *line = it->items[it->at++];
    *size = strlen(*line);
    return true;
}

static void test_a_tenant_goes_and_comes_back(void **state) {
    node_group *nodes = *state;
    popoto_db *db = popoto_open(nodes_url(nodes), NULL);
    size_t counts[6], count;
    popoto_erase_receipt receipt;
    popoto_import_report report;
    fill(db);
    for (int t = 0; t < TENANTS; t += 7) {
        char project[16];
        lines all = { .count = 0 };
        snprintf(project, sizeof project, "p%d", t);
        popoto_tenant_desc desc = { .models = models,
                                    .model_count = 1,
                                    .tenant = POPOTO_VALUE(project) };
        assert_ok(db, popoto_export(db, &desc, keep_line, &all, &count));
        assert_int_equal(RECORDS, count);
        assert_ok(db, popoto_erase(db, &desc, &receipt));
        assert_int_equal(RECORDS, receipt.records);
        assert_int_equal(0, receipt.left);
        assert_int_equal(TENANTS * RECORDS - RECORDS, audit(db, false, counts).records);
        desc.tenant = POPOTO_VALUE(t % 2 ? "elsewhere" : project);
        assert_ok(db, popoto_import(db, &desc, give_line, &all, &report));
        assert_int_equal(RECORDS, report.records);
        popoto_audit_report after = audit(db, false, counts);
        assert_int_equal(TENANTS * RECORDS, after.records);
        assert_int_equal(0, after.findings);
        for (size_t i = 0; i < all.count; i++)
            free(all.items[i]);
        if (t % 2) {
            assert_ok(db, popoto_erase(db, &desc, &receipt));
            desc.tenant = POPOTO_VALUE(project);
            for (int i = 0; i < RECORDS; i++) {
                char name[16];
                snprintf(name, sizeof name, "n%d", i);
                page it = { .project = project, .name = name, .shelf = "a" };
                assert_ok(db, popoto_create(db, &Page, &it));
            }
        }
    }
    popoto_close(db);
}

static void test_catalogs(void **state) {
    node_group *nodes = *state;
    popoto_db *db = popoto_open(nodes_url(nodes), NULL);
    popoto_catalog *published, *inferred;
    fill(db);
    assert_ok(db, popoto_publish(db, models, 1));
    assert_ok(db, popoto_catalog_published(db, &published));
    assert_int_equal(1, popoto_catalog_count(published));
    assert_ok(db, popoto_catalog_infer(db, &inferred));
    assert_int_equal(1, popoto_catalog_count(inferred));
    popoto_audit_report report;
    assert_ok(db,
              popoto_audit(db, &(popoto_audit_desc){ .model = popoto_catalog_model(inferred, 0) },
                           &report));
    assert_int_equal(TENANTS * RECORDS, report.records);
    assert_int_equal(0, report.findings);
    popoto_close(db);
    popoto_catalog_free(published);
    popoto_catalog_free(inferred);
}

/* Calls that have keys of several tenants, which lie in several slots, at once. */
static void test_calls_on_several_tenants(void **state) {
    node_group *nodes = *state;
    popoto_db *db = popoto_open(nodes_url(nodes), NULL);
    fill(db);
    popoto_text keys[TENANTS];
    char room[TENANTS][24];
    for (int t = 0; t < TENANTS; t++)
        keys[t] = (popoto_text){ room[t], (size_t)snprintf(room[t], sizeof room[t],
                                                           "{p%d}:Page:n%d", t, t % RECORDS) };
    popoto_rows *rows, *loaded[TENANTS];
    size_t count;
    assert_fails(POPOTO_BAD_ARGUMENT, "the keys name two project", db,
                 popoto_load_keys(db, &Page, keys, TENANTS, &rows));
    /* Two of each tenant, each by a partition of its own and by figures. */
    page *pages = calloc(TENANTS, sizeof *pages);
    popoto_signal *signals = calloc(TENANTS, sizeof *signals);
    void *objects[TENANTS];
    popoto_status statuses[TENANTS];
    for (int t = 0; t < TENANTS; t++) {
        assert_ok(db, popoto_load_keys(db, &Page, &keys[t], 1, &loaded[t]));
        pages[t] = *(page *)popoto_rows_at(loaded[t], 0);
        pages[t].shelf = t % 2 ? "c" : "d";
        objects[t] = &pages[t];
        signals[t] = (popoto_signal){ .object = &pages[t], .signal = 1 };
    }
    assert_ok(db, popoto_save_many(db, &Page, objects, TENANTS, statuses));
    assert_ok(db, popoto_confidence_update_many(db, &Page, "trust", signals, TENANTS));
    /* Entries of records that are gone are cleared on the way, those of each tenant by themselves. */
    for (int t = 0; t < TENANTS; t += 3)
        tell(nodes, room[t], "DEL %s");
    const popoto_filter filters[] = { POPOTO_IS("name__in", POPOTO_LIST("n1", "n2", "n3")),
                                      POPOTO_IS("name", "n0"), POPOTO_IS("shelf", "c"),
                                      POPOTO_IS("rank__gt", 3) };
    for (size_t f = 0; f < sizeof filters / sizeof *filters; f++) {
        popoto_query_desc all = {
            .model = &Page, .where = { filters[f] }, .all_tenants = true, .allow_scan = true
        };
        popoto_status status = popoto_query(db, &all, &rows);
        if (status != POPOTO_OK && status != POPOTO_BAD_QUERY)
            fail_msg("%s: %s", filters[f].lookup, popoto_error(db));
        popoto_rows_free(rows);
        status = popoto_count(db, &all, &count);
        if (status != POPOTO_OK && status != POPOTO_BAD_QUERY)
            fail_msg("%s: %s", filters[f].lookup, popoto_error(db));
    }
    popoto_query_desc all = { .model = &Page, .all_tenants = true };
    assert_ok(db, popoto_query(db, &all, &rows));
    assert_int_equal(TENANTS * RECORDS - TENANTS / 3, popoto_rows_count(rows));
    popoto_rows_free(rows);
    popoto_stream *stream;
    void *row;
    count = 0;
    assert_ok(db, popoto_stream_open(db, &all, &stream));
    for (;; count++) {
        assert_ok(db, popoto_stream_next(stream, &row));
        if (row == NULL)
            break;
    }
    assert_int_equal(TENANTS * RECORDS - TENANTS / 3, count);
    popoto_stream_free(stream);
    assert_status(POPOTO_BAD_QUERY, db,
                  popoto_query(db,
                               &(popoto_query_desc){
                                   .model = &Page,
                                   .where = { POPOTO_IS("project__in", POPOTO_LIST("p1", "p2")) } },
                               &rows));
    assert_int_equal(POPOTO_NOT_FOUND, popoto_delete_many(db, &Page, objects, TENANTS, statuses));
    for (int t = 0; t < TENANTS; t++)
        assert_int_equal(t % 3 ? POPOTO_OK : POPOTO_NOT_FOUND, statuses[t]);
    popoto_audit_report report;
    assert_ok(db,
              popoto_audit(db, &(popoto_audit_desc){ .model = &Page, .repair = true }, &report));
    assert_int_equal(report.findings, report.repaired);
    for (int t = 0; t < TENANTS; t++)
        popoto_rows_free(loaded[t]);
    free(pages);
    free(signals);
    popoto_close(db);
}

/* A record cannot change its slot; figures can change their partition. */
static void test_migrations(void **state) {
    static const popoto_field plain_fields[] = {
        POPOTO_KEY(page, project),      POPOTO_UNIQUE_KEY(page, name),
        POPOTO_FIELD(page, shelf),      POPOTO_SORTED(page, rank, .partition_by = "shelf"),
        POPOTO_CONFIDENCE(page, trust),
    };
    static const popoto_model Plain = POPOTO_MODEL("Page", page, plain_fields);
    static const popoto_field parted_fields[] = {
        POPOTO_TENANT(page, project),
        POPOTO_UNIQUE_KEY(page, name),
        POPOTO_FIELD(page, shelf),
        POPOTO_SORTED(page, rank, .partition_by = "shelf"),
        POPOTO_CONFIDENCE(page, trust, .partition_by = "shelf"),
    };
    static const popoto_model Parted = POPOTO_MODEL("Page", page, parted_fields);
    node_group *nodes = *state;
    popoto_db *db = popoto_open(nodes_url(nodes), NULL);
    popoto_migration_report *report = (void *)1;
    popoto_strict_migration_desc desc = { .from = &Plain, .to = &Page };
    assert_fails(POPOTO_UNSUPPORTED, "export and import", db,
                 popoto_migrate_to_strict(db, &desc, &report));
    assert_null(report);
    fill(db);
    page one = { .project = "p1", .name = "n1" };
    popoto_confidence figures;
    assert_ok(db, popoto_confidence_update(db, &Page, &one, "trust", 1, NULL));
    for (int t = 0; t < TENANTS; t++) {
        char project[16];
        snprintf(project, sizeof project, "p%d", t);
        assert_ok(db, popoto_scope_enter(db, "project", project));
        assert_ok(db, popoto_confidence_migrate(db, &Parted, "trust", NULL, &report));
        assert_int_equal(RECORDS, report->migrated);
        popoto_migration_report_free(report);
        assert_ok(db, popoto_scope_leave(db));
    }
    one.shelf = "a";
    assert_ok(db, popoto_confidence_figures(db, &Parted, &one, "trust", &figures));
    assert_int_equal(1, figures.evidence_count);
    popoto_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        nodes_test(test_audit),
        nodes_test(test_tenants_are_listed),
        nodes_test(test_a_tenant_goes_and_comes_back),
        nodes_test(test_catalogs),
        nodes_test(test_calls_on_several_tenants),
        nodes_test(test_migrations),
    };
    return cmocka_run_group_tests(tests, nodes_group_start, nodes_group_stop);
}
