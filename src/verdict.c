/* verdict - judges what an audit suspects, by one atomic look at a record and an index, and mends what is
 * wrong by one atomic step that is refused where anything changed since. */
#include "audit.h"
#include "commit.h"

#include <stdio.h>
#include <string.h>

#define SUSPICIONS_A_STEP 64
/* Somebody may change a record between the look and the mending: look again, so often. */
#define MAX_LOOKS         5

/* One suspicion under judgement. */
typedef struct trial {
    commit done; /* of the mending */
    const suspicion *of;
    bool settled;
    /* What was seen. */
    bool exists;
    bool is_record;                       /* a hash */
    bool is_foreign;                      /* a hash with none of the model's fields */
    bool listed;                          /* it is in the index */
    bool mistyped;                        /* the index is of another type */
    popoto_text extra;                    /* its score, or its confidence entry */
    popoto_text stored[MODEL_MAX_FIELDS]; /* of the fields asked for, in their order */
    /* What that means. */
    bool stands;
    popoto_finding finding;
    plan mending;
    script_id script; /* that mends it */
    bool tried;       /* by the batch under way */
} trial;

typedef struct court {
    auditing *of;
    trial *trials;
    size_t count;
    size_t *reply_of; /* of each trial that is looked at: the number of its EXEC's reply */
    size_t at;
} court;

bool popoto__same_text(popoto_text a, popoto_text b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

bool popoto__audit_read(const field *about, popoto_text stored, arena *memory, popoto_value *value,
                        const char **reason) {
    popoto_value given;
    if (!popoto__codec_read(memory, stored.data, stored.size, &given, reason))
        return false;
    *reason = "it is of another type than the field";
    return popoto__field_convert(about, &given, value);
}

/* ----- Findings ------------------------------------------------------------------------------- */

static popoto_status report_finding(auditing *it, const popoto_finding *finding) {
    it->report->findings++;
    it->report->repaired += finding->repaired;
    if (it->desc->found == NULL || it->desc->found(it->desc->context, finding))
        return POPOTO_OK;
    return popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
}

popoto_status popoto__audit_suspect(auditing *it, popoto_text record, popoto_text index,
                                    const field *about) {
    if (it->suspicion_count == it->suspicion_room) {
        size_t room = it->suspicion_room ? it->suspicion_room * 2 : 64;
        suspicion *bigger =
            popoto__reallocate(&it->db->allocator, it->suspicions, room * sizeof *bigger);
        if (bigger == NULL)
            return popoto__fail_memory(&it->db->why);
        it->suspicions = bigger;
        it->suspicion_room = room;
    }
    it->suspicions[it->suspicion_count++] = (suspicion){ record, index, about };
    return POPOTO_OK;
}

popoto_status popoto__audit_note(auditing *it, popoto_finding finding) {
    if (it->pending_count == it->pending_room) {
        size_t room = it->pending_room ? it->pending_room * 2 : 64;
        popoto_finding *bigger =
            popoto__reallocate(&it->db->allocator, it->pending, room * sizeof *bigger);
        if (bigger == NULL)
            return popoto__fail_memory(&it->db->why);
        it->pending = bigger;
        it->pending_room = room;
    }
    finding.text = popoto__arena_copy(&it->page, finding.text, strlen(finding.text));
    if (finding.text == NULL)
        return popoto__fail_memory(&it->db->why);
    it->pending[it->pending_count++] = finding;
    return POPOTO_OK;
}

/* ----- The look ------------------------------------------------------------------------------- */

/* The fields of a record that tell where it stands in an index, and with which score, beyond its key. */
static size_t fields_asked(const model *of, const field *about, size_t *fields) {
    size_t count = 0;
    for (size_t i = 0; about != NULL && i < about->partition_count; i++)
        if (!of->fields[about->partition[i]].is_key)
            fields[count++] = about->partition[i];
    if (about != NULL && about->kind == POPOTO_KIND_SORTED)
        fields[count++] = about->index;
    return count;
}

/* MULTI, EXISTS, HMGET unless nothing is asked, the entry, EXEC; how many replies that brings. Where the set
 * of all records is asked, all fields are: whether there is any. */
static size_t render_look(const auditing *it, const suspicion *what, buffer *out) {
    size_t fields[MODEL_MAX_FIELDS];
    size_t count = fields_asked(it->of, what->about, fields);
    popoto__render_word("MULTI", out);
    popoto__render_exist(&what->record, 1, out);
    if (what->about == NULL)
        popoto__render_fetch(it->of, what->record, out);
    else if (count > 0)
        popoto__render_fetch_fields(it->of, fields, count, what->record, out);
    popoto__render_entries(popoto__index_shape(what->about), what->index, &what->record, 1, out);
    popoto__render_word("EXEC", out);
    return 4 + (size_t)(count > 0 || what->about == NULL);
}

static popoto_text text_of(const reply *one) {
    return (popoto_text){ one->type == REPLY_STRING ? one->text : NULL, one->size };
}

static void take_entry(trial *one, const reply *entry) {
    one->mistyped = entry->type == REPLY_ERROR;
    if (entry->type != REPLY_ARRAY || entry->count != 1)
        return;
    const reply *item = entry->items[0];
    one->extra = text_of(item);
    one->listed = item->type == REPLY_STRING || (item->type == REPLY_INTEGER && item->integer == 1);
}

static void take_fields(trial *one, const reply *fields) {
    bool is_any = false;
    one->is_record = fields->type == REPLY_ARRAY;
    for (size_t i = 0; one->is_record && i < fields->count; i++) {
        is_any = is_any || fields->items[i]->type == REPLY_STRING;
        if (one->of->about != NULL)
            one->stored[i] = text_of(fields->items[i]);
    }
    one->is_foreign = one->is_record && one->of->about == NULL && !is_any;
}

static popoto_status take_look(void *context, size_t index, const reply *answer) {
    court *it = context;
    while (it->trials[it->at].settled)
        it->at++;
    trial *one = &it->trials[it->at];
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "auditing", &it->of->db->why);
    if (index != it->reply_of[it->at])
        return POPOTO_OK;
    it->at++;
    if (answer->type != REPLY_ARRAY || answer->count < 2)
        return popoto__fail(&it->of->db->why, POPOTO_BAD_REPLY,
                            "the server answered EXEC with no list of replies");
    one->exists = answer->items[0]->type == REPLY_INTEGER && answer->items[0]->integer == 1;
    one->is_record = true;
    if (answer->count == 3)
        take_fields(one, answer->items[1]);
    take_entry(one, answer->items[answer->count - 1]);
    return POPOTO_OK;
}

static popoto_status look(court *it) {
    popoto_db *db = it->of->db;
    size_t replies = 0;
    popoto__buffer_clear(&db->request);
    for (size_t i = 0; i < it->count; i++) {
        trial *one = &it->trials[i];
        if (one->settled)
            continue;
        one->stands = one->exists = one->listed = one->mistyped = one->is_foreign = false;
        replies += render_look(it->of, one->of, &db->request);
        it->reply_of[i] = replies - 1;
    }
    it->at = 0;
    return replies == 0 ? POPOTO_OK
                        : popoto__db_exchange(db, replies, false, &it->of->bench, take_look, it);
}

/* ----- What it means -------------------------------------------------------------------------- */

static const char *sentence(auditing *it, const char *format, const trial *one) {
    shown record, index;
    char text[FAILURE_TEXT_SIZE];
    int size = snprintf(text, sizeof text, format,
                        popoto__show(&record, one->of->record.data, one->of->record.size),
                        popoto__show(&index, one->of->index.data, one->of->index.size));
    const char *copy = size < 0 ? NULL : popoto__arena_copy(&it->bench, text, strlen(text));
    return copy != NULL ? copy : "out of memory for the sentence";
}

static void find(auditing *it, trial *one, popoto_finding_kind kind, bool repairable,
                 const char *format) {
    one->stands = true;
    one->finding = (popoto_finding){ .kind = kind,
                                     .record = one->of->record,
                                     .index = one->of->index,
                                     .text = sentence(it, format, one),
                                     .repairable = repairable };
}

/* Where the record stands, by its key and by what it holds. *tells is false where what it holds cannot be
 * read: then nothing is known of its place. */
static popoto_status place(auditing *it, trial *one, placement *where, bool *tells) {
    size_t fields[MODEL_MAX_FIELDS];
    size_t count = fields_asked(it->of, one->of->about, fields);
    *tells = popoto__placement_of_key(it->of, one->of->record, &it->bench, where);
    if (!*tells)
        return where->segments == NULL ? popoto__fail_memory(&it->db->why) : POPOTO_OK;
    for (size_t i = 0; i < count; i++) {
        const field *about = &it->of->fields[fields[i]];
        popoto_value value;
        const char *reason = NULL;
        if (about == one->of->about || one->stored[i].data == NULL)
            continue;
        *tells = popoto__audit_read(about, one->stored[i], &it->bench, &value, &reason);
        if (reason == CODEC_NO_MEMORY)
            return popoto__fail_memory(&it->db->why);
        if (!*tells)
            return POPOTO_OK;
        if (value.type == POPOTO_NULL)
            continue;
        popoto_status status =
            popoto__placement_set(it->of, where, about->index, &value, &it->bench, &it->db->why);
        *tells = status == POPOTO_OK;
        if (!*tells)
            return status == POPOTO_NO_MEMORY ? status : POPOTO_OK;
    }
    return POPOTO_OK;
}

/* The index that the record should be in; data NULL: none, because it lacks its partition. */
static popoto_status right_index(auditing *it, const suspicion *what, const placement *where,
                                 popoto_text *right) {
    *right = (popoto_text){ NULL, 0 };
    if (what->about != NULL && !popoto__partition_is_told(what->about, where))
        return POPOTO_OK;
    *right = what->about == NULL
                 ? popoto__class_key(it->of, where->segments, &it->bench)
                 : popoto__index_key(it->of, what->about, where->segments, &it->bench);
    return right->data != NULL ? POPOTO_OK : popoto__fail_memory(&it->db->why);
}

/* The score that the record should have; *has is false where it has no value, and *tells where that
 * cannot be read. */
static void right_score(auditing *it, const trial *one, double *score, bool *has, bool *tells) {
    size_t fields[MODEL_MAX_FIELDS];
    size_t last = fields_asked(it->of, one->of->about, fields) - 1;
    popoto_value value = { POPOTO_NULL, { 0 } };
    const char *reason = NULL;
    bool exact;
    *has = false;
    if (one->stored[last].data == NULL)
        return;
    *tells = popoto__audit_read(one->of->about, one->stored[last], &it->bench, &value, &reason);
    if (!*tells || value.type == POPOTO_NULL)
        return;
    *has = *tells = popoto__codec_score(&value, score, &exact, &reason);
}

/* ----- How it is mended ----------------------------------------------------------------------- */

/* All that was seen of the record is still so. */
static void expect_seen(auditing *it, trial *one) {
    size_t fields[MODEL_MAX_FIELDS];
    size_t count = fields_asked(it->of, one->of->about, fields);
    popoto__plan_init(&one->mending, &it->bench);
    one->script = SCRIPT_COMMIT;
    popoto__plan_expect(&one->mending,
                        (expectation){ .kind = one->exists ? EXPECT_PRESENT : EXPECT_ABSENT,
                                       .key = one->of->record });
    for (size_t i = 0; one->exists && i < count; i++)
        popoto__plan_expect(&one->mending, (expectation){
                                               .kind = EXPECT_FIELD,
                                               .key = one->of->record,
                                               .field = { it->of->fields[fields[i]].name,
                                                          it->of->fields[fields[i]].name_size },
                                               .value = one->stored[i],
                                           });
}

static void mend_by_leaving(auditing *it, trial *one) {
    expect_seen(it, one);
    popoto__plan_leave(&one->mending, popoto__index_shape(one->of->about), one->of->index,
                       one->of->record);
}

static void mend_by_score(auditing *it, trial *one, double score) {
    char text[CODEC_DOUBLE_SIZE];
    size_t size = popoto__codec_double_text(score, text);
    popoto_text number = { popoto__arena_copy(&it->bench, text, size), size };
    expect_seen(it, one);
    popoto__plan_command(
        &one->mending,
        (const popoto_text[]){ TEXT("ZADD"), one->of->index, number, one->of->record }, 4, 1);
}

static void mend_by_joining(auditing *it, trial *one) {
    expect_seen(it, one);
    /* Two records that hold one unique value are not to be made out of one that lost its entry. */
    if (one->of->about != NULL && one->of->about->kind == POPOTO_KIND_UNIQUE_KEY)
        popoto__plan_expect(&one->mending, (expectation){ .kind = EXPECT_UNIQUE,
                                                          .key = one->of->index,
                                                          .members = &one->of->record,
                                                          .member_count = 1 });
    popoto__plan_command(&one->mending,
                         (const popoto_text[]){ TEXT("SADD"), one->of->index, one->of->record }, 3,
                         1);
}

/* Figures are not thrown away: they go where they belong. */
static void mend_by_merging(auditing *it, trial *one, popoto_text right) {
    expect_seen(it, one);
    one->script = SCRIPT_MERGE;
    popoto__plan_merge(&one->mending, one->of->index, right, one->of->record, one->of->about);
}

/* ----- The judgement -------------------------------------------------------------------------- */

static bool is_entry(const trial *one) {
    popoto_confidence ignored;
    return popoto__codec_read_confidence(one->extra.data, one->extra.size,
                                         one->of->about->initial_confidence, &ignored);
}

static void judge_misplaced(auditing *it, trial *one, popoto_text right) {
    bool has_figures = popoto__index_shape(one->of->about) == SHAPE_HASH;
    bool repairable = !has_figures || (right.data != NULL && is_entry(one));
    find(it, one, POPOTO_FINDING_MISPLACED, repairable,
         right.data == NULL ? "%s is in %s, and lacks what would place it there"
                            : "%s is in %s, which is the index of something else");
    if (has_figures && repairable)
        mend_by_merging(it, one, right);
    else if (repairable)
        mend_by_leaving(it, one);
}

static void judge_listed(auditing *it, trial *one, popoto_text right, bool has, double score) {
    index_shape shape = popoto__index_shape(one->of->about);
    double is;
    if (right.data == NULL || !popoto__same_text(right, one->of->index)) {
        judge_misplaced(it, one, right);
    } else if (shape == SHAPE_SORTED && !has) {
        judge_misplaced(it, one, (popoto_text){ NULL, 0 });
    } else if (shape == SHAPE_SORTED &&
               (!popoto__codec_read_double(one->extra.data, one->extra.size, &is) || is != score)) {
        find(it, one, POPOTO_FINDING_SCORE, true, "%s has another score in %s than its value");
        mend_by_score(it, one, score);
    } else if (shape == SHAPE_HASH && !is_entry(one)) {
        find(it, one, POPOTO_FINDING_CORRUPT, false,
             "the entry of %s in %s is no confidence entry");
    }
}

static void judge_unlisted(auditing *it, trial *one, popoto_text right, bool has, double score) {
    index_shape shape = popoto__index_shape(one->of->about);
    /* A record without an entry in a companion hash has the initial confidence. */
    if (shape == SHAPE_HASH || right.data == NULL || (shape == SHAPE_SORTED && !has) ||
        !popoto__same_text(right, one->of->index))
        return;
    find(it, one, POPOTO_FINDING_MISSING, true, "%s is not in %s");
    if (shape == SHAPE_SORTED)
        mend_by_score(it, one, score);
    else
        mend_by_joining(it, one);
}

static popoto_status judge(auditing *it, trial *one) {
    placement where;
    popoto_text right;
    bool tells, has = true;
    double score = 0;
    if (one->mistyped)
        return POPOTO_OK; /* reported of the index as a whole */
    if (!one->exists) {
        if (one->listed) {
            find(it, one, POPOTO_FINDING_STRAY, true, "there is no record %s, but %s has an entry");
            mend_by_leaving(it, one);
        }
        return one->mending.failed ? popoto__fail_memory(&it->db->why) : POPOTO_OK;
    }
    popoto_status status = place(it, one, &where, &tells);
    if (status != POPOTO_OK || !tells || !one->is_record)
        return status;
    if (one->is_foreign) {
        find(it, one, POPOTO_FINDING_CORRUPT, false,
             "%s is named as one of the records of %s, and holds none of their fields");
        return POPOTO_OK;
    }
    status = right_index(it, one->of, &where, &right);
    if (status != POPOTO_OK)
        return status;
    if (popoto__index_shape(one->of->about) == SHAPE_SORTED)
        right_score(it, one, &score, &has, &tells);
    if (!tells)
        return POPOTO_OK; /* the value itself was reported */
    if (one->listed)
        judge_listed(it, one, right, has, score);
    else
        judge_unlisted(it, one, right, has, score);
    return one->mending.failed ? popoto__fail_memory(&it->db->why) : POPOTO_OK;
}

/* ----- Mending -------------------------------------------------------------------------------- */

static popoto_status plan_mending(commit_batch *run, commit *one) {
    if (one->refusal_count > 0)
        return popoto__fail(&run->db->why, POPOTO_CHANGED, "it changed meanwhile");
    one->planned = ((trial *)one)->mending;
    return POPOTO_OK;
}

static void render_mending(commit_batch *run, commit *one) {
    popoto__plan_render_commit(&one->planned, popoto__db_script(run->db, run->script),
                               &run->db->request);
}

static popoto_status take_mending(commit_batch *run, commit *one, const reply *answer) {
    (void)one;
    if (popoto__reply_is_error(answer, "CORRUPTENTRY"))
        return popoto__fail(&run->db->why, POPOTO_CORRUPT, "one of the entries is none");
    return answer->type == REPLY_ERROR
               ? popoto__reply_failure(answer, "mending an index", &run->db->why)
               : POPOTO_OK;
}

/* Those that one script mends. What changed meanwhile stays unsettled. */
static popoto_status mend_by(court *it, script_id script) {
    popoto_db *db = it->of->db;
    commit_batch run = { .db = db,
                         .items = it->trials,
                         .count = it->count,
                         .stride = sizeof *it->trials,
                         .script = script,
                         .doing = "mending an index",
                         .plan = plan_mending,
                         .render = render_mending,
                         .take = take_mending };
    bool any = false;
    for (size_t i = 0; i < it->count; i++) {
        trial *one = &it->trials[i];
        one->tried = !one->settled && one->script == script;
        one->done = (commit){ .state = one->tried ? COMMIT_PLANNED : COMMIT_DONE };
        any = any || one->tried;
    }
    if (any)
        popoto__commit_run(&run);
    for (size_t i = 0; i < it->count; i++) {
        trial *one = &it->trials[i];
        popoto_status status = one->done.status;
        if (!one->tried)
            continue;
        one->finding.repaired = status == POPOTO_OK;
        one->settled = status != POPOTO_CHANGED;
        if (status != POPOTO_OK && status != POPOTO_CHANGED && status != POPOTO_CORRUPT) {
            db->why = run.first;
            return status;
        }
    }
    return POPOTO_OK;
}

/* Mend what stands and can be. */
static popoto_status mend(court *it) {
    for (size_t i = 0; i < it->count; i++)
        if (!it->trials[i].stands || !it->trials[i].finding.repairable)
            it->trials[i].settled = true;
    popoto_status status = mend_by(it, SCRIPT_COMMIT);
    return status == POPOTO_OK ? mend_by(it, SCRIPT_MERGE) : status;
}

static popoto_status hear(court *it) {
    popoto_status status = POPOTO_OK;
    bool unsettled = true;
    for (int looks = 0; unsettled && looks < MAX_LOOKS && status == POPOTO_OK; looks++) {
        status = look(it);
        for (size_t i = 0; i < it->count && status == POPOTO_OK; i++)
            if (!it->trials[i].settled)
                status = judge(it->of, &it->trials[i]);
        if (!it->of->desc->repair)
            break;
        if (status == POPOTO_OK)
            status = mend(it);
        unsettled = false;
        for (size_t i = 0; i < it->count; i++)
            unsettled = unsettled || !it->trials[i].settled;
    }
    for (size_t i = 0; i < it->count && status == POPOTO_OK; i++)
        if (it->trials[i].stands)
            status = report_finding(it->of, &it->trials[i].finding);
    return status;
}

popoto_status popoto__audit_settle(auditing *it) {
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < it->pending_count && status == POPOTO_OK; i++)
        status = report_finding(it, &it->pending[i]);
    it->pending_count = 0;
    for (size_t at = 0; at < it->suspicion_count && status == POPOTO_OK; at += SUSPICIONS_A_STEP) {
        size_t part = it->suspicion_count - at;
        if (part > SUSPICIONS_A_STEP)
            part = SUSPICIONS_A_STEP;
        popoto__arena_reset(&it->bench);
        popoto__arena_reset(&it->db->scratch);
        court of = { .of = it, .count = part };
        of.trials = popoto__arena_zeroed(&it->bench, part, sizeof *of.trials);
        of.reply_of = popoto__arena_zeroed(&it->bench, part, sizeof *of.reply_of);
        if (of.trials == NULL || of.reply_of == NULL)
            return popoto__fail_memory(&it->db->why);
        for (size_t i = 0; i < part; i++)
            of.trials[i].of = &it->suspicions[at + i];
        status = hear(&of);
    }
    it->suspicion_count = 0;
    return status;
}

/* ----- Entries of other tenants --------------------------------------------------------------- */

popoto_status popoto__audit_foreign(auditing *it, popoto_text member, popoto_text index,
                                    const field *about) {
    const suspicion what = { member, index, about };
    trial one = { .of = &what };
    popoto__arena_reset(&it->bench);
    popoto__arena_reset(&it->db->scratch);
    find(it, &one, POPOTO_FINDING_MISPLACED, popoto__index_shape(about) != SHAPE_HASH,
         "%s is in %s, the index of another tenant");
    if (!it->desc->repair || !one.finding.repairable)
        return popoto__audit_note(it, one.finding);
    popoto__plan_init(&one.mending, &it->bench);
    popoto__plan_leave(&one.mending, popoto__index_shape(about), index, member);
    if (one.mending.failed)
        return popoto__fail_memory(&it->db->why);
    court alone = { .of = it, .trials = &one, .count = 1 };
    popoto_status status = mend(&alone);
    return status == POPOTO_OK ? popoto__audit_note(it, one.finding) : status;
}
