/* Tenants with every kind of name share one database: single bytes, separators and patterns, look-alikes of
 * our own escapes, nothing, a megabyte. All of them have records; then one after the other does all that
 * can be done, and the keys of all the others must be what they were, byte for byte; and what it queries,
 * counts, scans and streams are its own rows. So each pair of names is tried, in linear time. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct note {
    popoto_object object;
    popoto_bytes tenant; /* any bytes; popoto_text needs UTF-8 */
    const char *name;
    popoto_bytes room; /* the same again, no part of the key */
    double score;
    double rank;
    double trust;
    double doubt;
} note;

static const popoto_field note_fields[] = {
    POPOTO_KEY(note, tenant),
    POPOTO_KEY(note, name),
    POPOTO_FIELD(note, room),
    POPOTO_SORTED(note, score, .partition_by = "tenant"),
    POPOTO_SORTED(note, rank, .partition_by = "room"),
    POPOTO_CONFIDENCE(note, trust, .partition_by = "tenant"),
    POPOTO_CONFIDENCE(note, doubt, .partition_by = "room,tenant"),
};
static const popoto_model Note = POPOTO_MODEL("Note", note, note_fields);

typedef struct text_note {
    popoto_object object;
    popoto_text tenant;
    const char *name;
} text_note;

static const popoto_field text_fields[] = {
    POPOTO_KEY(text_note, tenant),
    POPOTO_KEY(text_note, name),
};
static const popoto_model TextNote = POPOTO_MODEL("TextNote", text_note, text_fields);

#define MOST_TENANTS 400
#define OWN          3
static popoto_bytes tenants[MOST_TENANTS];
static size_t tenant_count;
static size_t own_records[MOST_TENANTS];

static void add_tenant(const void *data, size_t size) {
    char *copy = malloc(size + 1);
    if (copy == NULL || tenant_count == MOST_TENANTS)
        stress_give_up("no room for a tenant");
    memcpy(copy, data, size);
    copy[size] = '\0';
    for (size_t i = 0; i < tenant_count; i++)
        if (tenants[i].size == size && memcmp(tenants[i].data, data, size) == 0) {
            free(copy);
            return;
        }
    tenants[tenant_count++] = (popoto_bytes){ copy, size };
}

static void name_tenants(void) {
    static const char *const special[] = {
        "",
        "a",
        "b",
        "a:b",
        "a:b:c",
        "a::b",
        ":",
        "::",
        ":a",
        "a:",
        "*",
        "**",
        "?",
        "[a]",
        "[a-z]",
        "[^a]",
        "{x}",
        "{",
        "}",
        "{}",
        "{a}:b",
        "..",
        ".",
        "/",
        "//",
        "/:",
        "/a",
        "a/",
        "a/:b",
        "/*",
        "/?",
        "\\",
        "\\*",
        "\n",
        "\r\n",
        "\t",
        " ",
        "  ",
        "a b",
        "'",
        "\"",
        "%",
        "%s",
        "%b",
        "%00",
        "$",
        "$Class",
        "$KeyF",
        "$Class:Note",
        "Note",
        "Note:a",
        "data",
        "data:a",
        "a:data",
        "name",
        "null",
        "None",
        "nan",
        "inf",
        "0",
        "-0",
        "00",
        "1",
        "1.0",
        "-",
        "--",
        "a-b",
        "a/-b",
        "+",
        "(",
        "(1",
        "{&#58;}",
        "{&#58}",
        "&#58;",
        "/{&#58;}",
        "//{&#58;}",
        "a{&#58;}b",
        "{&#58;}{&#58;}",
        "{{&#58;}}",
        "/{",
        "{&",
        "^",
        "/^",
        "]",
        "[",
        "\xF0\x9F\x98\x80",
        "\xF0\x9F\x98\x80:\xF0\x9F\x98\x80",
        "\xC3\xA9",
        "e\xCC\x81",
        "\xEF\xBB\xBF",
        "A",
        "a\xE2\x80\x8B",
        "b'a'",
        "project-a",
        "project/-a",
        "t0",
        "*1\r\n$4\r\nPING\r\n",
    };
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        add_tenant(special[i], strlen(special[i]));
    for (int byte = 0; byte < 256; byte++) {
        unsigned char one = (unsigned char)byte;
        add_tenant(&one, 1);
    }
    add_tenant("a\0b", 3);
    add_tenant("\0\0", 2);
    size_t size = (size_t)stress_amount(1 << 20, 1 << 16);
    char *large = malloc(size + 1);
    if (large == NULL)
        stress_give_up("no memory");
    memset(large, 'm', size);
    large[size] = 'n';
    add_tenant(large, size);
    add_tenant(large, size + 1); /* it begins like the other one */
    free(large);
}

static const char *show(size_t tenant) {
    static char text[4][100];
    static size_t next;
    char *to = text[next++ % 4];
    size_t used = 0;
    for (size_t i = 0; i < tenants[tenant].size && i < 20; i++)
        used += (size_t)snprintf(to + used, 100 - used, "\\x%02x",
                                 ((const unsigned char *)tenants[tenant].data)[i]);
    snprintf(to + used, 100 - used, " (%zu)", tenants[tenant].size);
    return to;
}

/* ----- All that the others have ---------------------------------------------------------------- */

static const char *const own_names[OWN] = { "n0", "n:1", "*" };

static note note_of(size_t tenant, size_t which) {
    return (note){ .tenant = tenants[tenant],
                   .name = own_names[which],
                   .room = tenants[tenant],
                   .score = (double)which,
                   .rank = (double)which,
                   .trust = 0.5,
                   .doubt = 0.5 };
}

/* Every key in the database, and a digest of its value; a long key by its beginning, size and end. */
typedef struct dumped {
    char key[300];
    size_t size;
    char sum[41];
} dumped;

#define LONG_KEY 200

static void name_key(const char *key, size_t size, dumped *out) {
    if (size <= LONG_KEY) {
        memcpy(out->key, key, size);
        out->size = size;
    } else {
        memcpy(out->key, key, LONG_KEY);
        out->size = LONG_KEY + (size_t)snprintf(out->key + LONG_KEY, 50, "#%zu", size);
        memcpy(out->key + out->size, key + size - 20, 20);
        out->size += 20;
    }
    out->key[out->size] = '\0';
}

static const char dump_script[] =
    "local all = {}\n"
    "for i, key in ipairs(redis.call('KEYS', '*')) do\n"
    "  local name = key\n"
    "  if #key > 200 then name = key:sub(1, 200) .. '#' .. #key .. key:sub(-20) end\n"
    "  all[2 * i - 1], all[2 * i] = name, redis.sha1hex(redis.call('DUMP', key))\n"
    "end\n"
    "return all\n";

static int compare_dumped(const void *one, const void *other) {
    const dumped *x = one, *y = other;
    int order = memcmp(x->key, y->key, x->size < y->size ? x->size : y->size);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

static size_t dump_all(redisContext *raw, dumped **out) {
    redisReply *all = raw_ask(raw, "EVAL %s 0", dump_script);
    size_t count = all->elements / 2;
    *out = calloc(count + 1, sizeof **out);
    if (*out == NULL)
        stress_give_up("no memory");
    for (size_t i = 0; i < count; i++) {
        const redisReply *key = all->element[2 * i];
        memcpy((*out)[i].key, key->str, (size_t)key->len);
        (*out)[i].size = (size_t)key->len;
        memcpy((*out)[i].sum, all->element[2 * i + 1]->str, 40);
    }
    freeReplyObject(all);
    qsort(*out, count, sizeof **out, compare_dumped);
    return count;
}

/* Of the one key that all tenants share, the class set, the others' members must stay. */
static bool is_shared(const dumped *it) {
    return strcmp(it->key, "$Class:Note") == 0 || strncmp(it->key, "$KeyF:Note:name:", 16) == 0;
}

/* What changed between two dumps must be the tenant's: a key that the library names as its. */
typedef struct own_keys {
    popoto_text keys[64];
    size_t count;
} own_keys;

static void own_index_keys(popoto_db *db, size_t tenant, own_keys *out) {
    for (size_t i = 0; i < OWN + 1; i++) {
        note it = note_of(tenant, i % OWN);
        if (i == OWN)
            it.name = "moved";
        if (popoto_key(db, &Note, &it, &out->keys[out->count]) == POPOTO_OK)
            out->count++;
    }
    note it = note_of(tenant, 0);
    static const char *const fields[] = { "trust", "doubt" };
    for (size_t i = 0; i < 2; i++)
        if (popoto_confidence_key(db, &Note, &it, fields[i], &out->keys[out->count]) == POPOTO_OK)
            out->count++;
    /* "$ConfidencF:Note:trust:data:SEGMENT": the same segment ends the other indexes' names. */
    static const char *const others[] = { "$KeyF:Note:tenant:", "$SortedF:Note:score:",
                                          "$SortedF:Note:rank:" };
    size_t skipped = strlen("$ConfidencF:Note:trust:data:");
    popoto_text trust = out->keys[out->count - 2];
    for (size_t i = 0; i < 3; i++) {
        size_t prefix = strlen(others[i]), size = prefix + trust.size - skipped;
        char *key = malloc(size + 1);
        if (key == NULL)
            stress_give_up("no memory");
        memcpy(key, others[i], prefix);
        memcpy(key + prefix, trust.data + skipped, trust.size - skipped);
        out->keys[out->count++] = (popoto_text){ key, size };
    }
}

static bool is_own(const own_keys *own, const dumped *it) {
    for (size_t i = 0; i < own->count; i++) {
        dumped one;
        name_key(own->keys[i].data, own->keys[i].size, &one);
        if (compare_dumped(&one, it) == 0)
            return true;
    }
    return false;
}

static void compare_dumps(const dumped *before, size_t before_count, const dumped *after,
                          size_t after_count, const own_keys *own, size_t tenant) {
    size_t i = 0, j = 0;
    while (i < before_count || j < after_count) {
        int order = i == before_count  ? 1
                    : j == after_count ? -1
                                       : compare_dumped(&before[i], &after[j]);
        const dumped *it = order <= 0 ? &before[i] : &after[j];
        if ((order != 0 || strcmp(before[i].sum, after[j].sum) != 0) && !is_shared(it))
            stress_check(is_own(own, it), "tenant %s changed %.100s", show(tenant), it->key);
        i += order <= 0;
        j += order >= 0;
    }
}

/* ----- What one does --------------------------------------------------------------------------- */

static bool same(popoto_bytes a, popoto_bytes b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static void expect(popoto_db *db, popoto_status status, size_t tenant, const char *what) {
    stress_check(status == POPOTO_OK, "tenant %s: %s: %.200s", show(tenant), what,
                 popoto_error(db));
}

static void check_rows(popoto_db *db, const popoto_query_desc *desc, size_t tenant, size_t wanted,
                       const char *what) {
    popoto_rows *rows;
    size_t count = 0;
    expect(db, popoto_query(db, desc, &rows), tenant, what);
    stress_check(popoto_rows_count(rows) == wanted, "tenant %s: %s: %zu rows, not %zu",
                 show(tenant), what, popoto_rows_count(rows), wanted);
    for (size_t i = 0; i < popoto_rows_count(rows); i++) {
        const note *one = popoto_rows_at(rows, i);
        stress_check(same(one->tenant, tenants[tenant]) && same(one->room, tenants[tenant]),
                     "tenant %s: %s: a row of another tenant's", show(tenant), what);
    }
    popoto_rows_free(rows);
    expect(db, popoto_count(db, desc, &count), tenant, what);
    stress_check(count == wanted, "tenant %s: %s: it counts %zu, not %zu", show(tenant), what,
                 count, wanted);
    popoto_stream *stream;
    void *row = NULL;
    count = 0;
    popoto_query_desc unordered = *desc;
    unordered.order_by = NULL;
    expect(db, popoto_stream_open(db, &unordered, &stream), tenant, what);
    while (stream != NULL && popoto_stream_next(stream, &row) == POPOTO_OK && row != NULL) {
        count++;
        stress_check(same(((const note *)row)->tenant, tenants[tenant]),
                     "tenant %s: %s: a streamed row of another tenant's", show(tenant), what);
    }
    popoto_stream_free(stream);
    stress_check(count == wanted, "tenant %s: %s: it streams %zu, not %zu", show(tenant), what,
                 count, wanted);
}

static bool count_entry(void *context, popoto_text member, const popoto_confidence *figures) {
    (void)member;
    (void)figures;
    (*(size_t *)context)++;
    return true;
}

static void read_all(popoto_db *db, size_t tenant, size_t wanted) {
    popoto_bytes own = tenants[tenant];
    popoto_value all[] = { popoto_of_bytes(own),
                           popoto_of_bytes((popoto_bytes){ "no such tenant", 14 }) };
    check_rows(
        db, &(popoto_query_desc){ .model = &Note, .where = { { "tenant", popoto_of_bytes(own) } } },
        tenant, wanted, "by key");
    check_rows(db,
               &(popoto_query_desc){ .model = &Note,
                                     .where = { { "tenant", popoto_of_bytes(own) } },
                                     .order_by = "-score" },
               tenant, wanted, "by score");
    check_rows(db,
               &(popoto_query_desc){
                   .model = &Note,
                   .where = { { "room", popoto_of_bytes(own) }, POPOTO_IS("rank__gte", -1.0) },
                   .order_by = "rank" },
               tenant, wanted, "by rank");
    check_rows(
        db,
        &(popoto_query_desc){ .model = &Note,
                              .where = { { "tenant__in", popoto_of_items(POPOTO_LIST, all, 2) } } },
        tenant, wanted, "in a list");
    size_t entries = 0;
    expect(db,
           popoto_confidence_scan(
               db, &(popoto_confidence_scan_desc){ .model = &Note,
                                                   .field = "trust",
                                                   .where = { { "tenant", popoto_of_bytes(own) } },
                                                   .callback = count_entry,
                                                   .context = &entries }),
           tenant, "scan");
    stress_check(entries == wanted, "tenant %s: a scan finds %zu entries, not %zu", show(tenant),
                 entries, wanted);
}

static void do_everything(popoto_db *db, size_t tenant) {
    popoto_confidence figures;
    popoto_rows *rows;
    note it = note_of(tenant, 0);
    read_all(db, tenant, OWN);
    it.score = 5;
    expect(db, popoto_save(db, &Note, &it), tenant, "save");
    expect(db, popoto_confidence_update(db, &Note, &it, "trust", 1, NULL), tenant, "update");
    expect(db, popoto_confidence_update(db, &Note, &it, "doubt", 1, NULL), tenant, "update");
    expect(db, popoto_confidence_figures(db, &Note, &it, "doubt", &figures), tenant, "figures");
    stress_check(figures.evidence_count == 1, "tenant %s: evidence of others", show(tenant));
    expect(db, popoto_load(db, &Note, &it, &rows), tenant, "load");
    popoto_rows_free(rows);
    expect(db, popoto_save_with(db, &Note, &it, &(popoto_save_desc){ .only = "rank" }), tenant,
           "partial save");
    /* A key of a megabyte is not remembered: a row of it has to be changed. */
    note other = note_of(tenant, 1);
    expect(db, popoto_load(db, &Note, &other, &rows), tenant, "load");
    note *row = popoto_rows_at(rows, 0);
    if (row != NULL) {
        row->name = "moved";
        expect(db, popoto_save(db, &Note, row), tenant, "move");
        read_all(db, tenant, OWN);
        expect(db, popoto_delete(db, &Note, row), tenant, "delete");
    }
    popoto_rows_free(rows);
    read_all(db, tenant, OWN - 1);
    note third = note_of(tenant, 2);
    expect(db, popoto_delete(db, &Note, &third), tenant, "delete");
    expect(db, popoto_scope_enter_value(db, "tenant", popoto_of_bytes(tenants[tenant])), tenant,
           "scope");
    size_t count = 0;
    expect(db, popoto_count(db, &(popoto_query_desc){ .model = &Note }, &count), tenant,
           "count in the scope");
    stress_check(count == 1, "tenant %s: %zu rows in its scope, not 1", show(tenant), count);
    expect(db, popoto_scope_leave(db), tenant, "leave");
    own_records[tenant] = 1;
}

static void check_shared(popoto_db *db, redisContext *raw) {
    size_t wanted = 0, count = 0;
    for (size_t i = 0; i < tenant_count; i++)
        wanted += own_records[i];
    redisReply *reply = raw_ask(raw, "SCARD $Class:Note");
    stress_check((size_t)reply->integer == wanted, "the class set has %lld members, not %zu",
                 reply->integer, wanted);
    freeReplyObject(reply);
    popoto_status status = popoto_count(
        db, &(popoto_query_desc){ .model = &Note, .where = { POPOTO_IS("name", own_names[0]) } },
        &count);
    stress_check(status == POPOTO_OK && count == tenant_count, "%zu records are named n0, not %zu",
                 count, tenant_count);
}

/* Text that is no UTF-8 is refused, by every call, with a sentence; all else is a text tenant as well. */
static void check_text(popoto_db *db) {
    size_t refused = 0;
    for (size_t i = 0; i < tenant_count; i++) {
        text_note it = { .tenant = { tenants[i].data, tenants[i].size }, .name = "n" };
        popoto_status status = popoto_create(db, &TextNote, &it);
        stress_check(status == POPOTO_OK || status == POPOTO_BAD_VALUE, "text tenant %s: %s",
                     show(i), popoto_error(db));
        refused += status != POPOTO_OK;
        size_t count = 0;
        if (status == POPOTO_OK) {
            status = popoto_count(
                db,
                &(popoto_query_desc){ .model = &TextNote,
                                      .where = { { "tenant", popoto_of_sized_text(it.tenant) } } },
                &count);
            stress_check(status == POPOTO_OK && count == 1, "text tenant %s: it counts %zu: %s",
                         show(i), count, popoto_error(db));
        }
    }
    stress_say("as text: %zu tenants, %zu refused because they are no UTF-8",
               tenant_count - refused, refused);
    stress_check(refused == 128, "%zu refused, not the 128 bytes that are no UTF-8", refused);
}

int main(int argc, char **argv) {
    stress_begin(argc, argv, "tenants");
    name_tenants();
    server *s = server_start(NULL);
    redisContext *raw = raw_connect(server_socket(s));
    popoto_db *db = popoto_open(server_url(s), &(popoto_options){ .command_timeout = 60000 });
    dice chance = dice_of(stress_seed(), 0);
    for (size_t i = 0; i < tenant_count; i++)
        for (size_t k = 0; k < OWN; k++) {
            note it = note_of(i, k);
            expect(db, popoto_create(db, &Note, &it), i, "create");
            own_records[i]++;
        }
    check_shared(db, raw);
    dumped *before = NULL, *after = NULL;
    size_t before_count = dump_all(raw, &before), after_count, tried = 0;
    size_t step = (size_t)stress_amount(1, 31);
    for (size_t i = dice_below(&chance, (unsigned)step); i < tenant_count; i += step) {
        own_keys own = { .count = 0 };
        own_index_keys(db, i, &own);
        do_everything(db, i);
        after_count = dump_all(raw, &after);
        compare_dumps(before, before_count, after, after_count, &own, i);
        free(before);
        before = after;
        before_count = after_count;
        for (size_t k = 0; k + 3 < own.count; k++)
            popoto_free(db, own.keys[k].data);
        for (size_t k = own.count - 3; k < own.count; k++)
            free((void *)(uintptr_t)own.keys[k].data);
        tried++;
    }
    free(before);
    check_shared(db, raw);
    check_text(db);
    stress_say("%zu tenants, %zu of them against all the others: %zu ordered pairs", tenant_count,
               tried, tried * (tenant_count - 1));
    for (size_t i = 0; i < tenant_count; i++)
        free((void *)(uintptr_t)tenants[i].data);
    popoto_close(db);
    redisFree(raw);
    server_stop(s);
    return stress_end();
}
