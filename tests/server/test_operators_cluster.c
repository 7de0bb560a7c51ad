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
    char text[200];
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
    assert_ok(db, popoto_tenant_list(db, &Page, NULL, sum_figures, &tenants));
    assert_int_equal(TENANTS, tenants);
    popoto_close(db);
}

typedef struct lines {
    char *items[RECORDS];
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

static int start_nodes(void **state) {
    *state = nodes_start();
    return 0;
}

static int stop_nodes(void **state) {
    nodes_stop(*state);
    return 0;
}

static int empty_nodes(void **state) {
    nodes_flush(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_audit, empty_nodes),
        cmocka_unit_test_setup(test_tenants_are_listed, empty_nodes),
        cmocka_unit_test_setup(test_a_tenant_goes_and_comes_back, empty_nodes),
        cmocka_unit_test_setup(test_catalogs, empty_nodes),
    };
    return cmocka_run_group_tests(tests, start_nodes, stop_nodes);
}
