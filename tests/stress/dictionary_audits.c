/* dictionary_audits - the whole database beside the dictionary, and audits of each tenant beside one of all. */
#include "dictionary.h"
#include "index_checker.h"

#include <stdio.h>

#define MOST_FINDINGS 200

typedef struct findings {
    char texts[MOST_FINDINGS][300];
    size_t count;
} findings;

static bool keep_finding(void *context, const popoto_finding *finding) {
    findings *it = context;
    if (it->count == MOST_FINDINGS)
        stress_give_up("more findings than there can be");
    snprintf(it->texts[it->count++], sizeof it->texts[0], "%d %s", (int)finding->kind,
             finding->text);
    return true;
}

/* By one audit of all, or by one of each tenant. */
static void audit(world *it, bool by_tenant, bool repair, findings *out) {
    out->count = 0;
    for (size_t i = 0; i < (by_tenant ? COUNT(dictionary_groups) : 1) && !it->broken; i++) {
        popoto_audit_report report;
        popoto_value tenant = POPOTO_VALUE(dictionary_groups[i]);
        popoto_audit_desc desc = { .model = it->model,
                                   .repair = repair,
                                   .found = keep_finding,
                                   .context = out,
                                   .tenant = by_tenant ? &tenant : NULL };
        if (by_tenant && !dictionary_kinds[it->kind].strict)
            desc.tenant_field = "group";
        popoto_status status = popoto_audit(it->control, &desc, &report);
        dictionary_check(it, status == POPOTO_OK, "an audit:", popoto_error(it->control));
    }
}

static void check_among(world *it, const findings *some, const findings *all, const char *what) {
    for (size_t i = 0; i < some->count && !it->broken; i++) {
        bool found = false;
        for (size_t k = 0; k < all->count && !found; k++)
            found = strcmp(some->texts[i], all->texts[k]) == 0;
        dictionary_check(it, found, what, some->texts[i]);
    }
}

/* Something too much in an index, or too little. */
static void damage(world *it) {
    char key[128];
    redisReply *indexes = raw_ask(it->raw, "KEYS *$*:%s:*", it->model->name);
    const record *one = &it->records[below(it, (unsigned)it->count)];
    if (indexes->elements > 0) {
        const char *index = indexes->element[below(it, (unsigned)indexes->elements)]->str;
        redisReply *type = raw_ask(it->raw, "TYPE %s", index);
        bool adds = below(it, 2), is_set = strcmp(type->str, "set") == 0;
        thing named = one->is;
        if (dictionary_kinds[it->kind].strict &&
            index[0] == '{') /* of another tenant it is nobody's */
            for (size_t i = 0; i < COUNT(dictionary_groups); i++)
                if (strncmp(index + 1, dictionary_groups[i], 2) == 0)
                    named.group = dictionary_groups[i];
        dictionary_key_of(it->kind, &named, key, sizeof key);
        if (is_set)
            raw_do(it->raw, "%s %s %s", adds ? "SADD" : "SREM", index, key);
        else if (strcmp(type->str, "zset") == 0 && adds)
            raw_do(it->raw, "ZADD %s 5 %s", index, key);
        else if (strcmp(type->str, "zset") == 0)
            raw_do(it->raw, "ZREM %s %s", index, key);
        freeReplyObject(type);
    }
    freeReplyObject(indexes);
}

void dictionary_audit_all(world *it) {
    static findings all, each;
    if (dictionary_kinds[it->kind].expires || it->count == 0 || it->broken)
        return;
    for (unsigned i = 1 + below(it, 8); i > 0; i--)
        damage(it);
    audit(it, false, false, &all);
    audit(it, true, false, &each);
    check_among(it, &all, &each, "no tenant's audit finds");
    check_among(it, &each, &all, "only a tenant's audit finds");
    audit(it, true, true, &each);
    check_among(it, &all, &each, "no tenant's audit mends");
    audit(it, false, false, &all);
    dictionary_check(it, all.count == 0, "it was not mended:", all.texts[0]);
    assert_indexes_match(it->server, it->model);
}

static bool tell_finding(void *context, const popoto_finding *finding) {
    world *it = context;
    dictionary_check(it, false, "audit:", finding->text);
    return true;
}

void dictionary_compare_all(world *it) {
    size_t live = 0, records = 0;
    if (dictionary_kinds[it->kind].expires)
        return; /* entries of the expired are found by those who meet them */
    for (size_t i = 0; i < it->count; i++)
        live += it->records[i].there;
    assert_indexes_match(it->server, it->model); /* or the program ends here */
    records = record_count(it->server, it->model);
    dictionary_check(it, records == live, "there are other records than the dictionary's", "");
    popoto_audit_report report;
    popoto_audit_desc desc = { .model = it->model, .found = tell_finding, .context = it };
    popoto_status status = popoto_audit(it->control, &desc, &report);
    dictionary_check(it, status == POPOTO_OK, "audit:", popoto_error(it->control));
    dictionary_check(it, report.records == live,
                     "the audit found other records than the dictionary's", "");
    for (size_t i = 0; i < it->count && !it->broken; i++) {
        thing is;
        bool there;
        if (it->records[i].there && below(it, 8) == 0 &&
            dictionary_look(it, &it->records[i].is, &is, &there))
            dictionary_check(it, there && dictionary_is_row(it, &is, &it->records[i], NULL),
                             "a record is not the dictionary's", "");
    }
}
