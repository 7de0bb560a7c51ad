/* calls - see calls.h. */
#include "calls.h"

#include <stdio.h>
#include <string.h>

static const popoto_field note_fields[] = {
    POPOTO_KEY(note, tenant),
    POPOTO_UNIQUE_KEY(note, name),
    POPOTO_FIELD(note, room),
    POPOTO_FIELD(note, title, .null = true),
    POPOTO_SORTED(note, score, .partition_by = "tenant"),
    POPOTO_SORTED(note, rank, .partition_by = "room"),
    POPOTO_CONFIDENCE(note, trust, .partition_by = "tenant,room"),
};
const popoto_model Note = POPOTO_MODEL("Note", note, note_fields);

/* The same before its confidence had partitions. */
static const popoto_field old_fields[] = {
    POPOTO_KEY(note, tenant),
    POPOTO_UNIQUE_KEY(note, name),
    POPOTO_FIELD(note, room),
    POPOTO_FIELD(note, title, .null = true),
    POPOTO_SORTED(note, score, .partition_by = "tenant"),
    POPOTO_SORTED(note, rank, .partition_by = "room"),
    POPOTO_CONFIDENCE(note, trust),
};
const popoto_model OldNote = POPOTO_MODEL("Note", note, old_fields);

static const popoto_field memo_fields[] = {
    POPOTO_KEY(memo, tenant),
    POPOTO_AUTO_KEY(memo, id),
    POPOTO_FIELD(memo, room),
    POPOTO_SORTED(memo, score, .partition_by = "tenant"),
    POPOTO_CONFIDENCE(memo, trust, .partition_by = "room"),
};
const popoto_model Memo = POPOTO_MODEL("Memo", memo, memo_fields);

const checked_model checked[CHECKED] = {
    { .name = "Note",
      .keys = { "tenant", "name" },
      .unique = "name",
      .sorted = { { "score", "tenant" }, { "rank", "room" } },
      .confidence = { { "trust", "tenant,room" } } },
    { .name = "Memo",
      .keys = { "tenant", "id" },
      .automatic = "id",
      .sorted = { { "score", "tenant" } },
      .confidence = { { "trust", "room" } } },
};
static const note first_notes[BULK] = {
    { .tenant = "t0",
      .name = "n0",
      .room = "r0",
      .title = "zero",
      .score = 1,
      .rank = 10,
      .trust = 0.5 },
    { .tenant = "t0",
      .name = "n1",
      .room = "r0",
      .title = "one",
      .score = 2,
      .rank = 20,
      .trust = 0.5 },
    { .tenant = "t1",
      .name = "n2",
      .room = "r1",
      .title = "two",
      .score = 3,
      .rank = 30,
      .trust = 0.5 },
};

void must(const round_of *it, popoto_status status, const char *what) {
    if (status == POPOTO_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, popoto_error(it->db));
    stress_give_up("the preparation of a round failed");
}

static void prepare_notes(round_of *it) {
    void *all[BULK];
    memcpy(it->notes, first_notes, sizeof first_notes);
    for (size_t i = 0; i < BULK; i++)
        all[i] = &it->notes[i];
    must(it, popoto_create_many(it->db, &Note, all, BULK, NULL), "create_many");
    must(it, popoto_confidence_update(it->db, &Note, &it->notes[0], "trust", 0.9, NULL), "update");
}

static void prepare_nothing(round_of *it) {
    memcpy(it->notes, first_notes, sizeof first_notes);
}

static void prepare_old(round_of *it) {
    memcpy(it->notes, first_notes, sizeof first_notes);
    for (size_t i = 0; i < BULK; i++) {
        must(it, popoto_create(it->db, &OldNote, &it->notes[i]), "create");
        for (size_t k = 0; k <= i; k++)
            must(it, popoto_confidence_update(it->db, &OldNote, &it->notes[i], "trust", 1, NULL),
                 "update");
    }
}

/* ----- Writes --------------------------------------------------------------------------------- */

static popoto_status create_fresh(round_of *it) {
    it->memos[0] = (memo){ .tenant = "t0", .room = "r0", .score = 5, .trust = 0.5 };
    return popoto_create(it->db, &Memo, &it->memos[0]);
}

static popoto_status create_keyed(round_of *it) {
    return popoto_create(it->db, &Note, &it->notes[0]);
}

static popoto_status save_blind(round_of *it) {
    note other = first_notes[0];
    other.room = "r1";
    other.title = "replaced";
    return popoto_save(it->db, &Note, &other);
}

static popoto_status save(round_of *it) {
    it->notes[0].title = "changed";
    it->notes[0].score = 7;
    return popoto_save(it->db, &Note, &it->notes[0]);
}

static popoto_status save_partly(round_of *it) {
    it->notes[0].title = "not stored";
    it->notes[0].rank = 70;
    return popoto_save_with(it->db, &Note, &it->notes[0], &(popoto_save_desc){ .only = "rank" });
}

static popoto_status save_unchanged(round_of *it) {
    it->notes[1].title = "changed";
    return popoto_save_with(it->db, &Note, &it->notes[1],
                            &(popoto_save_desc){ .if_unchanged = true });
}

static popoto_status move_key(round_of *it) {
    it->notes[0].tenant = "t1";
    it->notes[0].name = "n9";
    return popoto_save(it->db, &Note, &it->notes[0]);
}

static popoto_status move_partition(round_of *it) {
    it->notes[0].room = "r1";
    return popoto_save(it->db, &Note, &it->notes[0]);
}

static popoto_status delete (round_of *it) {
    return popoto_delete(it->db, &Note, &it->notes[0]);
}

static popoto_status update(round_of *it) {
    return popoto_confidence_update(it->db, &Note, &it->notes[0], "trust", 0.25, NULL);
}

/* ----- Bulk calls ----------------------------------------------------------------------------- */

static popoto_status create_many(round_of *it) {
    void *all[BULK];
    for (size_t i = 0; i < BULK; i++) {
        it->memos[i] = (memo){ .tenant = "t0", .room = "r0", .score = (double)i, .trust = 0.5 };
        all[i] = &it->memos[i];
    }
    return popoto_create_many(it->db, &Memo, all, BULK, it->statuses);
}

static bool memo_is_there(round_of *it, size_t i) {
    char key[128], value[64];
    snprintf(key, sizeof key, "Memo:t0:%s", it->memos[i].id.text);
    return it->memos[i].id.text[0] != '\0' && raw_field(it->raw, key, "room", value, sizeof value);
}

static popoto_status save_many(round_of *it) {
    void *all[BULK];
    for (size_t i = 0; i < BULK; i++) {
        it->notes[i].room = "r2";
        all[i] = &it->notes[i];
    }
    return popoto_save_many(it->db, &Note, all, BULK, it->statuses);
}

static bool note_is_moved(round_of *it, size_t i) {
    char key[128], value[64];
    snprintf(key, sizeof key, "Note:%s:%s", first_notes[i].tenant, first_notes[i].name);
    return raw_field(it->raw, key, "room", value, sizeof value) && strcmp(value, "r2") == 0;
}

static popoto_status delete_many(round_of *it) {
    void *all[BULK];
    for (size_t i = 0; i < BULK; i++)
        all[i] = &it->notes[i];
    return popoto_delete_many(it->db, &Note, all, BULK, it->statuses);
}

static bool note_is_gone(round_of *it, size_t i) {
    char key[128], value[64];
    snprintf(key, sizeof key, "Note:%s:%s", first_notes[i].tenant, first_notes[i].name);
    return !raw_field(it->raw, key, "room", value, sizeof value);
}

static popoto_status update_many(round_of *it) {
    popoto_signal signals[BULK];
    for (size_t i = 0; i < BULK; i++)
        signals[i] = (popoto_signal){ .object = &it->notes[i], .signal = 0.25 };
    popoto_status status = popoto_confidence_update_many(it->db, &Note, "trust", signals, BULK);
    for (size_t i = 0; i < BULK; i++)
        it->statuses[i] = signals[i].status;
    return status;
}

typedef struct evidence {
    const char *name;
    int64_t count;
    size_t entries;
} evidence;

static void take_evidence(void *context, const char *value, int64_t count) {
    evidence *it = context;
    if (strcmp(value, it->name) != 0)
        return;
    it->count += count;
    it->entries++;
}

static bool note_is_updated(round_of *it, size_t i) {
    evidence found = { .name = first_notes[i].name };
    check_evidence(it->raw, &checked[0], "trust", "name", take_evidence, &found);
    return found.entries == 1 && found.count == (i == 0 ? 2 : 1);
}

/* ----- The migration -------------------------------------------------------------------------- */

static popoto_status migrate(round_of *it) {
    popoto_migration_report *report;
    popoto_status status = popoto_confidence_migrate(it->db, &Note, "trust", NULL, &report);
    popoto_migration_report_free(report);
    return status;
}

bool evidence_is_whole(round_of *it) {
    for (size_t i = 0; i < BULK; i++) {
        evidence found = { .name = first_notes[i].name };
        check_evidence(it->raw, &checked[0], "trust", "name", take_evidence, &found);
        if (found.entries != 1 || found.count != (int64_t)i + 1)
            return false;
    }
    return true;
}

/* ----- Reads: the number of what was found ----------------------------------------------------- */

static popoto_status query(round_of *it) {
    popoto_rows *rows;
    popoto_status status = popoto_query(
        it->db,
        &(popoto_query_desc){
            .model = &Note, .where = { POPOTO_IS("tenant", "t0") }, .order_by = "-score" },
        &rows);
    it->found = popoto_rows_count(rows);
    if (status == POPOTO_OK && it->found == 2) {
        const note *one = popoto_rows_at(rows, 0), *other = popoto_rows_at(rows, 1);
        if (strcmp(one->title, "one") != 0 || strcmp(other->title, "zero") != 0)
            it->found = 0;
    }
    popoto_rows_free(rows);
    return status;
}

static popoto_status count(round_of *it) {
    return popoto_count(it->db,
                        &(popoto_query_desc){ .model = &Note,
                                              .where = { POPOTO_IS("title__contains", "e") },
                                              .allow_scan = true },
                        &it->found);
}

static popoto_status stream(round_of *it) {
    popoto_stream *all;
    void *row = NULL;
    it->found = 0;
    popoto_status status = popoto_stream_open(it->db, &(popoto_query_desc){ .model = &Note }, &all);
    while (status == POPOTO_OK && (status = popoto_stream_next(all, &row)) == POPOTO_OK &&
           row != NULL)
        it->found++;
    popoto_stream_free(all);
    return status;
}

static popoto_status load(round_of *it) {
    popoto_rows *rows;
    popoto_status status = popoto_load(it->db, &Note, &it->notes[0], &rows);
    it->found = popoto_rows_count(rows);
    popoto_rows_free(rows);
    return status;
}

static popoto_status figures(round_of *it) {
    popoto_confidence all;
    popoto_status status = popoto_confidence_figures(it->db, &Note, &it->notes[0], "trust", &all);
    it->found = (size_t)all.evidence_count;
    return status;
}

static bool count_entry(void *context, popoto_text member, const popoto_confidence *all) {
    round_of *it = context;
    (void)member;
    (void)all;
    it->found++;
    return true;
}

static popoto_status scan(round_of *it) {
    it->found = 0;
    return popoto_confidence_scan(
        it->db, &(popoto_confidence_scan_desc){
                    .model = &Note,
                    .field = "trust",
                    .where = { POPOTO_IS("tenant", "t0"), POPOTO_IS("room", "r0") },
                    .callback = count_entry,
                    .context = it });
}

/* ----- All of them ---------------------------------------------------------------------------- */

const call calls[] = {
    { .name = "create fresh", .prepare = prepare_notes, .run = create_fresh },
    { .name = "create keyed", .prepare = prepare_nothing, .run = create_keyed },
    { .name = "save unseen", .prepare = prepare_notes, .run = save_blind },
    { .name = "save", .prepare = prepare_notes, .run = save },
    { .name = "partial save", .prepare = prepare_notes, .run = save_partly },
    { .name = "save if unchanged", .prepare = prepare_notes, .run = save_unchanged },
    { .name = "key move", .prepare = prepare_notes, .run = move_key, .needs_own_db = true },
    { .name = "partition move", .prepare = prepare_notes, .run = move_partition },
    { .name = "delete", .prepare = prepare_notes, .run = delete },
    { .name = "confidence update", .prepare = prepare_notes, .run = update },
    { .name = "create_many",
      .prepare = prepare_notes,
      .run = create_many,
      .is_done = memo_is_there },
    { .name = "save_many", .prepare = prepare_notes, .run = save_many, .is_done = note_is_moved },
    { .name = "delete_many",
      .prepare = prepare_notes,
      .run = delete_many,
      .is_done = note_is_gone },
    { .name = "update_many",
      .prepare = prepare_notes,
      .run = update_many,
      .is_done = note_is_updated },
    { .name = "migration", .prepare = prepare_old, .run = migrate, .migrates = true },
    { .name = "query", .prepare = prepare_notes, .run = query, .finds = 2 },
    { .name = "count", .prepare = prepare_notes, .run = count, .finds = 2 },
    { .name = "stream", .prepare = prepare_notes, .run = stream, .finds = 3 },
    { .name = "load", .prepare = prepare_notes, .run = load, .finds = 1 },
    { .name = "figures", .prepare = prepare_notes, .run = figures, .finds = 1 },
    { .name = "scan", .prepare = prepare_notes, .run = scan, .finds = 2 },
};
const size_t call_count = sizeof calls / sizeof *calls;
