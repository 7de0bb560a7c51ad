/* audit - looks through all records and all indexes of a model for what does not agree, in three passes, each
 * with memory for a page:
 *
 *   sets     the sets of all records: each entry's record is there, its values can be read, and it is in
 *            every index that it should be in
 *   keys     every record is in its set; one that is not is checked as above
 *   indexes  every entry has a record, and stands where that record belongs
 *
 * Since the first two passes found each record in its right indexes, the third need not ask for values
 * that its key tells. What is suspected is judged in verdict.c.
 *
 * Of one tenant: a strict model's keys begin with it, and the last two passes are one walk over these. An
 * ordinary model's indexes are shared, and of them what names one of the tenant's records is looked at, and all
 * of those that hold no other tenant's. */
#include "audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many records or entries are looked at in one pipeline. */
#define AUDIT_PAGE 512
/* So many keys in one command. */
#define KEYS_ASKED 256

static popoto_status report_progress(auditing *it, size_t more) {
    it->done += more;
    if (it->total < it->done)
        it->total = it->done;
    if (it->desc->progress == NULL || it->desc->progress(it->desc->context, it->done, it->total))
        return POPOTO_OK;
    return popoto__fail(&it->db->why, POPOTO_STOPPED, "the callback asked to stop");
}

static popoto_status report(auditing *it, popoto_finding_kind kind, popoto_text record,
                            popoto_text index, const char *what) {
    char text[FAILURE_TEXT_SIZE];
    shown one, other;
    snprintf(text, sizeof text, "%.99s%s%.99s: %.290s",
             record.data != NULL ? popoto__show(&one, record.data, record.size) : "",
             record.data != NULL && index.data != NULL ? " in " : "",
             index.data != NULL ? popoto__show(&other, index.data, index.size) : "", what);
    return popoto__audit_note(
        it, (popoto_finding){ .kind = kind, .record = record, .index = index, .text = text });
}

static popoto_status report_corrupt(auditing *it, popoto_text record, popoto_text index,
                                    const char *what) {
    return report(it, POPOTO_FINDING_CORRUPT, record, index, what);
}

/* ----- Of one tenant -------------------------------------------------------------------------- */

/* Whether only some of what is in an ordinary model's indexes is meant. */
static bool picks(const auditing *it) {
    return it->whose != NULL && it->of->tenant == NULL;
}

/* Whether a record's key is one of those that are meant. */
static bool is_meant(const auditing *it, popoto_text key) {
    return !picks(it) || popoto__owner_has(it->whose, key);
}

/* The pattern of members that are meant. */
static popoto_text members_meant(const auditing *it) {
    return it->whose != NULL && picks(it) ? it->whose->records : (popoto_text){ NULL, 0 };
}

typedef enum share {
    SHARE_WHOLE, /* all that is in the index is meant */
    SHARE_PART,  /* tenants share it */
    SHARE_OTHER, /* it is another tenant's alone, so that nothing of this one should be in it */
} share;

/* By the field's own value, or those of its partition, as they stand in the index's key. */
static share share_of(const auditing *it, const index_ref *index) {
    const field *about = index->about;
    popoto_text segment;
    if (!picks(it))
        return SHARE_WHOLE;
    if (about == NULL || about->raw_partition || index->key.size <= about->prefix.size)
        return SHARE_PART;
    size_t skipped = about->prefix.size + 1;
    key_rest rest = popoto__key_split(index->key.data + skipped, index->key.size - skipped);
    size_t count = about->is_key ? 1 : about->partition_count;
    for (size_t i = 0; i < count; i++) {
        size_t named = about->is_key ? about->index : about->partition[i];
        if (!popoto__key_next(&rest, &segment.data, &segment.size))
            break;
        if (named == it->whose->about->index)
            return popoto__same_text(segment, it->whose->segment) ? SHARE_WHOLE : SHARE_OTHER;
    }
    return SHARE_PART;
}

/* ----- Records -------------------------------------------------------------------------------- */

typedef struct subject {
    popoto_text key;
    placement where; /* where.segments lacks what cannot be told */
    popoto_text class_key;
    bool listed; /* it was found in the set of all records */
    bool gone;
    bool unfit;                        /* what is stored is no record at all */
    bool unreadable[MODEL_MAX_FIELDS]; /* by field */
} subject;

/* One question to an index: has it this record, and with which score? */
typedef struct question {
    popoto_text index;
    const field *about; /* NULL: the set of all records */
    popoto_text record;
    size_t subject;
    bool wanted; /* it should have it */
    double score;
} question;

typedef struct interrogation {
    auditing *of;
    subject *subjects;
    size_t subject_count;
    question *questions;
    size_t question_count;
    size_t *group_ends; /* questions up to here share a command */
    size_t group_count;
    bool *absent; /* by question, where the caller wants to know: instead of a suspicion */
} interrogation;

static popoto_status check_key_field(auditing *it, subject *one, const field *about,
                                     const popoto_value *value) {
    popoto_text segment;
    popoto_status status = popoto__segment(it->of, about, value, &it->page, &segment, &it->db->why);
    if (status == POPOTO_NO_MEMORY)
        return status;
    if (status == POPOTO_OK && popoto__same_text(segment, one->where.segments[about->index]))
        return POPOTO_OK;
    char text[160];
    snprintf(text, sizeof text, "the stored %.100s is another than its key's", about->name);
    return report_corrupt(it, one->key, (popoto_text){ NULL, 0 }, text);
}

/* A field without a value, where none would be taken: it was never given one, or lost it. Reading such a record
 * gives its default, or null: so fields can be added to a model that has records. */
static popoto_status check_lack(auditing *it, const subject *one, const field *about) {
    const popoto_value null = { POPOTO_NULL, { 0 } };
    popoto_value ignored;
    char text[160];
    failure why = it->db->why;
    popoto_status status =
        about->kind == POPOTO_KIND_CONFIDENCE || about->default_value.type != POPOTO_NULL
            ? POPOTO_OK
            : popoto__field_accept(it->of, about, &null, &ignored, &it->db->why);
    it->db->why = why;
    if (status == POPOTO_OK)
        return POPOTO_OK;
    snprintf(text, sizeof text, "it has no %.100s, which may not be null", about->name);
    return report(it, POPOTO_FINDING_LACKING, one->key, (popoto_text){ NULL, 0 }, text);
}

static popoto_status check_field(auditing *it, subject *one, const field *about,
                                 const reply *stored, popoto_value *value) {
    const char *reason = NULL;
    char text[256];
    *value = (popoto_value){ POPOTO_NULL, { 0 } };
    if (stored->type == REPLY_NULL && !about->is_key)
        return check_lack(it, one, about);
    bool readable = stored->type == REPLY_STRING;
    if (readable)
        readable = popoto__audit_read(about, (popoto_text){ stored->text, stored->size }, &it->page,
                                      value, &reason);
    else
        reason = "the record lacks it, and it is part of the key";
    if (reason == CODEC_NO_MEMORY)
        return popoto__fail_memory(&it->db->why);
    if (readable && about->is_key)
        return check_key_field(it, one, about, value);
    if (readable)
        return value->type == POPOTO_NULL ? check_lack(it, one, about) : POPOTO_OK;
    one->unreadable[about->index] = true;
    snprintf(text, sizeof text, "field %.100s: %s", about->name, reason);
    return report_corrupt(it, one->key, (popoto_text){ NULL, 0 }, text);
}

/* Questions of the fields that tell where a record stands, and what each index is to be asked. */
static popoto_status ask_index(interrogation *it, size_t number, const field *about,
                               const popoto_value *value) {
    auditing *of = it->of;
    subject *one = &it->subjects[number];
    const char *reason;
    bool exact;
    question what = { .about = about, .record = one->key, .subject = number, .wanted = true };
    for (size_t i = 0; i < about->partition_count; i++)
        if (one->unreadable[about->partition[i]])
            return POPOTO_OK;
    if (one->unreadable[about->index] || !popoto__partition_is_told(about, &one->where))
        return POPOTO_OK;
    if (about->kind == POPOTO_KIND_SORTED)
        what.wanted =
            value->type != POPOTO_NULL && popoto__codec_score(value, &what.score, &exact, &reason);
    what.index = popoto__index_key(of->of, about, one->where.segments, &of->page);
    if (what.index.data == NULL)
        return popoto__fail_memory(&of->db->why);
    it->questions[it->question_count++] = what;
    return POPOTO_OK;
}

static popoto_status take_values(interrogation *it, size_t number, const reply *answer) {
    auditing *of = it->of;
    subject *one = &it->subjects[number];
    popoto_value values[MODEL_MAX_FIELDS];
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < of->of->field_count && status == POPOTO_OK; i++) {
        const field *about = &of->of->fields[i];
        status = check_field(of, one, about, answer->items[i], &values[i]);
        if (status == POPOTO_OK && about->is_partition && !about->is_key &&
            values[i].type != POPOTO_NULL) {
            status =
                popoto__placement_set(of->of, &one->where, i, &values[i], &of->page, &of->db->why);
            if (status == POPOTO_BAD_VALUE) {
                one->unreadable[i] = true;
                status = report_corrupt(of, one->key, (popoto_text){ NULL, 0 }, of->db->why.text);
            }
        }
    }
    for (size_t i = 0; i < of->of->field_count && status == POPOTO_OK; i++) {
        const field *about = &of->of->fields[i];
        if (about->prefix.data != NULL && about->kind != POPOTO_KIND_CONFIDENCE)
            status = ask_index(it, number, about, &values[i]);
    }
    return status;
}

static popoto_status take_record(void *context, size_t index, const reply *answer) {
    interrogation *it = context;
    subject *one = &it->subjects[index];
    popoto__pace_note(&it->of->pace, answer);
    one->gone = answer->type == REPLY_ARRAY;
    for (size_t i = 0; i < answer->count; i++)
        one->gone = one->gone && answer->items[i]->type == REPLY_NULL;
    if (one->gone)
        return POPOTO_OK;
    it->of->report->records++;
    if (popoto__reply_is_error(answer, "WRONGTYPE")) {
        one->unfit = true;
        return report_corrupt(it->of, one->key, (popoto_text){ NULL, 0 },
                              "its key holds something that is no hash");
    }
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "reading records", &it->of->db->why);
    if (answer->count != it->of->of->field_count)
        return popoto__fail(&it->of->db->why, POPOTO_BAD_REPLY,
                            "the server answered HMGET with no list of the fields asked for");
    return take_values(it, index, answer);
}

/* ----- Questions to indexes ------------------------------------------------------------------- */

static int by_index(const void *a, const void *b) {
    const question *x = a, *y = b;
    size_t size = x->index.size < y->index.size ? x->index.size : y->index.size;
    int order = memcmp(x->index.data, y->index.data, size);
    if (order == 0)
        order = (x->index.size > y->index.size) - (x->index.size < y->index.size);
    return order != 0 ? order : (x->subject > y->subject) - (x->subject < y->subject);
}

/* Whether what an index has of a record (an item of its answer) is what it should have. */
static bool is_right(const question *what, const reply *has) {
    double score;
    if (has->type == REPLY_INTEGER)
        return (has->integer == 1) == what->wanted;
    if (has->type != REPLY_STRING || !what->wanted)
        return (has->type == REPLY_STRING) == what->wanted;
    return popoto__codec_read_double(has->text, has->size, &score) && score == what->score;
}

static popoto_status take_group(void *context, size_t index, const reply *answer) {
    interrogation *it = context;
    size_t from = index == 0 ? 0 : it->group_ends[index - 1], to = it->group_ends[index];
    if (popoto__reply_is_error(answer, "WRONGTYPE"))
        return POPOTO_OK; /* reported of the index as a whole */
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "asking an index", &it->of->db->why);
    if (answer->type != REPLY_ARRAY || answer->count != to - from)
        return popoto__fail(&it->of->db->why, POPOTO_BAD_REPLY,
                            "the server answered for another number of records than it was asked");
    for (size_t i = from; i < to; i++) {
        const question *what = &it->questions[i];
        if (is_right(what, answer->items[i - from]))
            continue;
        if (it->absent != NULL) {
            it->absent[what->subject] = true;
            continue;
        }
        popoto_status status =
            popoto__audit_suspect(it->of, what->record, what->index, what->about);
        if (status != POPOTO_OK)
            return status;
    }
    return POPOTO_OK;
}

/* Those to one index share a command. */
static popoto_status put_questions(interrogation *it) {
    auditing *of = it->of;
    popoto_text *records =
        popoto__arena_allocate(&of->page, (it->question_count + 1) * sizeof *records);
    it->group_ends =
        popoto__arena_allocate(&of->page, (it->question_count + 1) * sizeof *it->group_ends);
    if (records == NULL || it->group_ends == NULL)
        return popoto__fail_memory(&of->db->why);
    if (it->question_count == 0)
        return POPOTO_OK;
    qsort(it->questions, it->question_count, sizeof *it->questions, by_index);
    it->group_count = 0;
    popoto__buffer_clear(&of->db->request);
    for (size_t from = 0, to = 0; from < it->question_count; from = to) {
        const question *first = &it->questions[from];
        while (to < it->question_count && to - from < KEYS_ASKED &&
               popoto__same_text(it->questions[to].index, first->index)) {
            records[to] = it->questions[to].record;
            to++;
        }
        popoto__render_entries(popoto__index_shape(first->about), first->index, records + from,
                               to - from, &of->db->request);
        it->group_ends[it->group_count++] = to;
    }
    return popoto__db_exchange(of->db, it->group_count, false, NULL, take_group, it);
}

/* ----- The pass over sets --------------------------------------------------------------------- */

static popoto_status ask_class(interrogation *it, size_t number) {
    subject *one = &it->subjects[number];
    it->questions[it->question_count++] = (question){
        .index = one->class_key, .record = one->key, .subject = number, .wanted = true
    };
    return POPOTO_OK;
}

/* Read some records, whose places by key are known, and ask all their indexes. */
static popoto_status check_subjects(interrogation *it) {
    auditing *of = it->of;
    popoto_text *keys = popoto__arena_allocate(&of->page, (it->subject_count + 1) * sizeof *keys);
    it->questions = popoto__arena_allocate(
        &of->page, (it->subject_count * (of->of->field_count + 1) + 1) * sizeof *it->questions);
    if (keys == NULL || it->questions == NULL)
        return popoto__fail_memory(&of->db->why);
    for (size_t i = 0; i < it->subject_count; i++)
        keys[i] = it->subjects[i].key;
    if (it->subject_count == 0)
        return popoto__audit_settle(of);
    popoto__buffer_clear(&of->db->request);
    popoto__render_fetches(of->of, NULL, keys, it->subject_count, &of->db->request);
    popoto_status status =
        popoto__db_exchange(of->db, it->subject_count, false, &of->page, take_record, it);
    for (size_t i = 0; i < it->subject_count && status == POPOTO_OK; i++) {
        const subject *one = &it->subjects[i];
        if (one->listed && !one->gone) /* as it should be */
            continue;
        if (!one->unfit)
            status = popoto__audit_suspect(of, one->key, one->class_key, NULL);
    }
    if (status == POPOTO_OK)
        status = put_questions(it);
    return status == POPOTO_OK ? popoto__audit_settle(of) : status;
}

/* A subject from a key; POPOTO_OK with added false: it is no key of a record. */
static popoto_status add_subject(interrogation *it, popoto_text key, bool listed, bool *added) {
    auditing *of = it->of;
    subject *one = &it->subjects[it->subject_count];
    memset(one, 0, sizeof *one);
    one->key = key;
    one->listed = listed;
    *added = popoto__placement_of_key(of->of, key, &of->page, &one->where);
    if (one->where.segments == NULL)
        return popoto__fail_memory(&of->db->why);
    if (!*added)
        return POPOTO_OK;
    one->class_key = popoto__class_key(of->of, one->where.segments, &of->page);
    if (one->class_key.data == NULL)
        return popoto__fail_memory(&of->db->why);
    it->subject_count++;
    return POPOTO_OK;
}

static bool begin_page(auditing *it, interrogation *page, size_t count) {
    popoto__arena_reset(&it->page);
    *page = (interrogation){ .of = it };
    page->subjects = popoto__arena_allocate(&it->page, (count + 1) * sizeof *page->subjects);
    return page->subjects != NULL;
}

/* One page of entries of sets of all records. */
static popoto_status check_class_entries(auditing *it, const index_entry *entries, size_t count) {
    interrogation page;
    popoto_status status = POPOTO_OK;
    if (!begin_page(it, &page, count))
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < count && status == POPOTO_OK; i++) {
        popoto_text index = entries[i].of->key;
        bool added;
        if (!is_meant(it, entries[i].member))
            continue;
        it->report->index_entries++;
        status = add_subject(&page, entries[i].member, true, &added);
        if (status != POPOTO_OK)
            return status;
        if (!added) {
            status = report_corrupt(it, entries[i].member, index, "no record can have that key");
        } else if (!popoto__same_text(page.subjects[page.subject_count - 1].class_key, index)) {
            page.subject_count--;
            status = popoto__audit_foreign(it, entries[i].member, index, NULL);
        }
    }
    return status == POPOTO_OK ? check_subjects(&page) : status;
}

static popoto_status take_class_entries(void *context, const index_entry *entries, size_t count) {
    auditing *it = context;
    popoto_status status = POPOTO_OK;
    for (size_t at = 0, step; at < count && status == POPOTO_OK; at += step) {
        step = popoto__pace_next(&it->pace, AUDIT_PAGE);
        status = check_class_entries(it, entries + at, count - at < step ? count - at : step);
    }
    return status == POPOTO_OK ? report_progress(it, count) : status;
}

/* Indexes of another type than they should be. Those that tenants share are missed by each of them. */
static popoto_status report_mistyped(auditing *it, const index_ref *indexes, size_t count) {
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < count && status == POPOTO_OK; i++)
        if (indexes[i].size == -1 && share_of(it, &indexes[i]) != SHARE_OTHER)
            status = report_corrupt(it, (popoto_text){ NULL, 0 }, indexes[i].key,
                                    "it holds another type than an index of that name");
    return status == POPOTO_OK ? popoto__audit_settle(it) : status;
}

static popoto_status walk_classes(auditing *it, popoto_text *keys, size_t count, bool sizes_only) {
    popoto_status status = POPOTO_OK;
    index_ref *indexes = popoto__allocate_zeroed(&it->db->allocator, count + 1, sizeof *indexes);
    if (indexes == NULL)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < count; i++)
        indexes[i].key = keys[i];
    if (sizes_only)
        status = popoto__walk_sizes(it->db, indexes, count);
    else
        status =
            popoto__walk_entries(it->db, indexes, count, members_meant(it), take_class_entries, it);
    for (size_t i = 0; i < count && sizes_only; i++)
        it->total += indexes[i].size > 0 ? (size_t)indexes[i].size : 0;
    if (status == POPOTO_OK && !sizes_only)
        status = report_mistyped(it, indexes, count);
    popoto__release(&it->db->allocator, indexes);
    return status;
}

/* Each page of keys that match, to `take`. */
typedef popoto_status keys_handler(auditing *it, popoto_text *keys, size_t count);

static popoto_status walk_keys(auditing *it, popoto_text pattern, keys_handler *take) {
    key_walk walk;
    bool more;
    if (pattern.data == NULL)
        return popoto__fail_memory(&it->db->why);
    popoto__key_walk_begin(&walk, it->db, pattern);
    popoto_status status = popoto__key_walk_next(&walk, &more);
    while (status == POPOTO_OK && more) {
        status = take(it, walk.keys, walk.count);
        if (status == POPOTO_OK)
            status = report_progress(it, 0);
        if (status == POPOTO_OK)
            status = popoto__key_walk_next(&walk, &more);
    }
    popoto__key_walk_end(&walk);
    return status;
}

static popoto_status take_class_sizes(auditing *it, popoto_text *keys, size_t count) {
    return walk_classes(it, keys, count, true);
}

static popoto_status take_class_keys(auditing *it, popoto_text *keys, size_t count) {
    return walk_classes(it, keys, count, false);
}

static popoto_status pass_sets(auditing *it, bool sizes_only) {
    keys_handler *take = sizes_only ? take_class_sizes : take_class_keys;
    index_ref index = { .key = it->of->class_prefix };
    popoto_status status = POPOTO_OK;
    if (it->of->tenant != NULL && it->whose == NULL)
        return walk_keys(it, popoto__class_pattern(it->of, &it->memory), take);
    /* How many records a tenant has, its own index tells; which, the set of all records. */
    if (it->whose != NULL && (sizes_only || !picks(it)))
        status = popoto__owner_index(it->db, it->whose, &it->memory, &index);
    return status == POPOTO_OK ? take(it, &index.key, 1) : status;
}

/* ----- The pass over keys --------------------------------------------------------------------- */

static popoto_status check_keys(auditing *it, const popoto_text *keys, size_t count) {
    interrogation page;
    popoto_status status = POPOTO_OK;
    bool added;
    if (!begin_page(it, &page, count))
        return popoto__fail_memory(&it->db->why);
    page.questions = popoto__arena_allocate(&it->page, (count + 1) * sizeof *page.questions);
    page.absent = popoto__arena_zeroed(&it->page, count + 1, sizeof *page.absent);
    if (page.questions == NULL || page.absent == NULL)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < count && status == POPOTO_OK; i++) {
        status = add_subject(&page, keys[i], false, &added);
        if (status == POPOTO_OK && added)
            status = ask_class(&page, page.subject_count - 1);
        else if (status == POPOTO_OK)
            status = report_corrupt(it, keys[i], (popoto_text){ NULL, 0 },
                                    "it is named as a record, and no record can have that key");
    }
    if (status == POPOTO_OK)
        status = put_questions(&page);
    size_t kept = 0;
    for (size_t i = 0; i < page.subject_count; i++)
        if (page.absent[i])
            page.subjects[kept++] = page.subjects[i];
    page.subject_count = kept;
    page.question_count = 0;
    page.absent = NULL;
    return status == POPOTO_OK ? check_subjects(&page) : status;
}

static popoto_status take_record_keys(auditing *it, popoto_text *keys, size_t count) {
    popoto_status status = POPOTO_OK;
    size_t meant = 0;
    for (size_t i = 0; i < count; i++)
        if (is_meant(it, keys[i]))
            keys[meant++] = keys[i];
    count = meant;
    for (size_t at = 0, step; at < count && status == POPOTO_OK; at += step) {
        step = popoto__pace_next(&it->pace, AUDIT_PAGE);
        status = check_keys(it, keys + at, count - at < step ? count - at : step);
    }
    return status == POPOTO_OK ? report_progress(it, count) : status;
}

/* ----- The pass over indexes ------------------------------------------------------------------ */

typedef struct entry_check {
    placement where;
    bool meant;
    bool asks;  /* its partition is not told by its key */
    bool right; /* it stands where it should, and its record is there */
} entry_check;

typedef struct inspection {
    auditing *of;
    const index_entry *entries;
    entry_check *checks;
    size_t count;
    size_t *
        asked; /* the entries that the commands of an exchange are about: each, or the last of a group */
    size_t asked_count;
} inspection;

static popoto_status suspect_entry(inspection *it, size_t number) {
    const index_entry *one = &it->entries[number];
    it->checks[number].right = false;
    return popoto__audit_suspect(it->of, one->member, one->of->key, one->of->about);
}

/* Compare the index of an entry with the one that its record's place gives. */
static popoto_status compare_place(inspection *it, size_t number) {
    const index_entry *one = &it->entries[number];
    entry_check *check = &it->checks[number];
    if (!popoto__partition_is_told(one->of->about, &check->where))
        return suspect_entry(it, number);
    popoto_text right =
        popoto__index_key(it->of->of, one->of->about, check->where.segments, &it->of->page);
    if (right.data == NULL)
        return popoto__fail_memory(&it->of->db->why);
    return popoto__same_text(right, one->of->key) ? POPOTO_OK : suspect_entry(it, number);
}

static popoto_status begin_check(inspection *it, size_t number) {
    auditing *of = it->of;
    const index_entry *one = &it->entries[number];
    const field *about = one->of->about;
    entry_check *check = &it->checks[number];
    popoto_confidence ignored;
    bool is_key = popoto__placement_of_key(of->of, one->member, &of->page, &check->where);
    if (check->where.segments == NULL)
        return popoto__fail_memory(&of->db->why);
    if (!is_key)
        return report_corrupt(of, one->member, one->of->key, "no record can have that key");
    if (of->of->tenant != NULL &&
        !popoto__same_text(popoto__key_tenant(one->of->key), popoto__key_tenant(one->member)))
        return popoto__audit_foreign(of, one->member, one->of->key, about);
    check->right = true;
    for (size_t i = 0; i < about->partition_count; i++)
        check->asks = check->asks || !of->of->fields[about->partition[i]].is_key;
    /* A misplaced one is reported as that alone. */
    popoto_status status = check->asks ? POPOTO_OK : compare_place(it, number);
    if (status == POPOTO_OK && check->right && about->kind == POPOTO_KIND_CONFIDENCE &&
        !popoto__codec_read_confidence(one->extra.data, one->extra.size, about->initial_confidence,
                                       &ignored))
        status = suspect_entry(it, number);
    return status;
}

/* --- partitions that are asked for --- */

static popoto_status take_partition(void *context, size_t index, const reply *answer) {
    inspection *it = context;
    auditing *of = it->of;
    size_t number = it->asked[index];
    entry_check *check = &it->checks[number];
    const field *about = it->entries[number].of->about;
    popoto_status status = POPOTO_OK;
    size_t at = 0;
    if (answer->type != REPLY_ARRAY)
        return popoto__reply_is_error(answer, "WRONGTYPE")
                   ? POPOTO_OK
                   : popoto__reply_failure(answer, "reading records", &of->db->why);
    for (size_t i = 0; i < about->partition_count && status == POPOTO_OK; i++) {
        const field *by = &of->of->fields[about->partition[i]];
        const char *reason = NULL;
        popoto_value value;
        if (by->is_key)
            continue;
        const reply *stored = at < answer->count ? answer->items[at++] : NULL;
        if (stored == NULL || stored->type != REPLY_STRING)
            continue;
        if (!popoto__audit_read(by, (popoto_text){ stored->text, stored->size }, &of->page, &value,
                                &reason))
            return reason == CODEC_NO_MEMORY ? popoto__fail_memory(&of->db->why) : POPOTO_OK;
        if (value.type != POPOTO_NULL)
            status = popoto__placement_set(of->of, &check->where, by->index, &value, &of->page,
                                           &of->db->why);
    }
    if (status == POPOTO_BAD_VALUE)
        return POPOTO_OK; /* reported of the record */
    return status == POPOTO_OK ? compare_place(it, number) : status;
}

static popoto_status ask_partitions(inspection *it) {
    auditing *of = it->of;
    it->asked_count = 0;
    popoto__buffer_clear(&of->db->request);
    for (size_t i = 0; i < it->count; i++) {
        const field *about = it->entries[i].of->about;
        size_t fields[MODEL_MAX_FIELDS], count = 0;
        if (!it->checks[i].right || !it->checks[i].asks)
            continue;
        for (size_t p = 0; p < about->partition_count; p++)
            if (!of->of->fields[about->partition[p]].is_key)
                fields[count++] = about->partition[p];
        popoto__render_fetch_fields(of->of, fields, count, it->entries[i].member, &of->db->request);
        it->asked[it->asked_count++] = i;
    }
    return it->asked_count == 0
               ? POPOTO_OK
               : popoto__db_exchange(of->db, it->asked_count, false, &of->page, take_partition, it);
}

/* --- whether the records are there: many at a time, and one by one only where some are not --- */

static popoto_status take_existing(void *context, size_t index, const reply *answer) {
    inspection *it = context;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "asking for records", &it->of->db->why);
    if (answer->type == REPLY_INTEGER && answer->integer == 1)
        return POPOTO_OK;
    return suspect_entry(it, it->asked[index]);
}

/* A group is the entries from..to that are right so far and whose keys share a tenant. */
typedef struct group {
    size_t from, to, size;
    bool complete;
} group;

typedef struct head_count {
    inspection *of;
    group *groups;
} head_count;

static popoto_status take_head_count(void *context, size_t index, const reply *answer) {
    head_count *it = context;
    group *one = &it->groups[index];
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "asking for records", &it->of->of->db->why);
    one->complete = answer->type == REPLY_INTEGER && answer->integer == (int64_t)one->size;
    return POPOTO_OK;
}

static bool shares_tenant(const inspection *it, size_t a, size_t b) {
    return it->of->of->tenant == NULL || it->entries[a].of == it->entries[b].of ||
           popoto__same_text(popoto__key_tenant(it->entries[a].member),
                             popoto__key_tenant(it->entries[b].member));
}

static popoto_status count_heads(inspection *it, group *groups, size_t *group_count,
                                 popoto_text *keys) {
    auditing *of = it->of;
    head_count count = { it, groups };
    popoto__buffer_clear(&of->db->request);
    for (size_t from = 0, to; from < it->count; from = to) {
        size_t size = 0;
        for (to = from; to < it->count && size < KEYS_ASKED && shares_tenant(it, from, to); to++)
            if (it->checks[to].right && !it->checks[to].asks)
                keys[size++] = it->entries[to].member;
        if (size == 0)
            continue;
        popoto__render_exist(keys, size, &of->db->request);
        groups[(*group_count)++] = (group){ from, to, size, false };
    }
    return *group_count == 0
               ? POPOTO_OK
               : popoto__db_exchange(of->db, *group_count, false, NULL, take_head_count, &count);
}

static popoto_status check_existence(inspection *it) {
    auditing *of = it->of;
    size_t group_count = 0;
    group *groups = popoto__arena_allocate(&of->page, (it->count + 1) * sizeof *groups);
    popoto_text *keys = popoto__arena_allocate(&of->page, KEYS_ASKED * sizeof *keys);
    if (groups == NULL || keys == NULL)
        return popoto__fail_memory(&of->db->why);
    popoto_status status = count_heads(it, groups, &group_count, keys);
    if (status != POPOTO_OK)
        return status;
    it->asked_count = 0;
    popoto__buffer_clear(&of->db->request);
    for (size_t g = 0; g < group_count; g++)
        for (size_t i = groups[g].from; !groups[g].complete && i < groups[g].to; i++)
            if (it->checks[i].right && !it->checks[i].asks) {
                popoto__render_exist(&it->entries[i].member, 1, &of->db->request);
                it->asked[it->asked_count++] = i;
            }
    return it->asked_count == 0
               ? POPOTO_OK
               : popoto__db_exchange(of->db, it->asked_count, false, NULL, take_existing, it);
}

/* --- unique values --- */

static popoto_status report_duplicate(inspection *it, size_t first, size_t other) {
    char text[FAILURE_TEXT_SIZE];
    shown one, two, index;
    const index_entry *entry = &it->entries[first];
    popoto_text second = it->entries[other].member;
    snprintf(text, sizeof text, "%s and %s both hold the unique value of %s",
             popoto__show(&one, entry->member.data, entry->member.size),
             popoto__show(&two, second.data, second.size),
             popoto__show(&index, entry->of->key.data, entry->of->key.size));
    return popoto__audit_note(it->of, (popoto_finding){ .kind = POPOTO_FINDING_DUPLICATE,
                                                        .record = entry->member,
                                                        .index = entry->of->key,
                                                        .text = text });
}

static popoto_status check_unique(inspection *it) {
    popoto_status status = POPOTO_OK;
    for (size_t from = 0, to; from < it->count && status == POPOTO_OK; from = to) {
        const index_ref *of = it->entries[from].of;
        size_t holders[2] = { 0, 0 }, count = 0;
        for (to = from; to < it->count && it->entries[to].of == of; to++)
            if (it->checks[to].right && count < 2)
                holders[count++] = to;
        if (of->about->kind == POPOTO_KIND_UNIQUE_KEY && count == 2)
            status = report_duplicate(it, holders[0], holders[1]);
    }
    return status;
}

/* Those that name one of the tenant's records, and all of an index that is its own or holds a unique value
 * that one of them has. */
static void choose_meant(inspection *it) {
    for (size_t from = 0, to; from < it->count; from = to) {
        const index_ref *of = it->entries[from].of;
        bool whole = share_of(it->of, of) == SHARE_WHOLE, any = false;
        for (to = from; to < it->count && it->entries[to].of == of; to++) {
            it->checks[to].meant = whole || is_meant(it->of, it->entries[to].member);
            any = any || it->checks[to].meant;
        }
        for (size_t i = from; i < to && any && of->about->kind == POPOTO_KIND_UNIQUE_KEY; i++)
            it->checks[i].meant = true;
        for (size_t i = from; i < to; i++)
            it->of->report->index_entries += it->checks[i].meant;
    }
}

static popoto_status check_entries(auditing *it, const index_entry *entries, size_t count) {
    inspection page = { .of = it, .entries = entries, .count = count };
    popoto_status status = POPOTO_OK;
    popoto__arena_reset(&it->page);
    page.checks = popoto__arena_zeroed(&it->page, count, sizeof *page.checks);
    page.asked = popoto__arena_allocate(&it->page, count * sizeof *page.asked);
    if (page.checks == NULL || page.asked == NULL)
        return popoto__fail_memory(&it->db->why);
    choose_meant(&page);
    for (size_t i = 0; i < count && status == POPOTO_OK; i++)
        if (page.checks[i].meant)
            status = begin_check(&page, i);
    if (status == POPOTO_OK)
        status = ask_partitions(&page);
    if (status == POPOTO_OK)
        status = check_existence(&page);
    if (status == POPOTO_OK)
        status = check_unique(&page);
    return status == POPOTO_OK ? popoto__audit_settle(it) : status;
}

static popoto_status take_index_entries(void *context, const index_entry *entries, size_t count) {
    auditing *it = context;
    popoto_status status = POPOTO_OK;
    for (size_t at = 0, end; at < count && status == POPOTO_OK; at = end) {
        end = count - at < AUDIT_PAGE ? count : at + AUDIT_PAGE;
        /* The holders of a unique value are looked at together. */
        while (end < count && entries[end].of == entries[end - 1].of && end - at < 2 * AUDIT_PAGE &&
               entries[end].of->about->kind == POPOTO_KIND_UNIQUE_KEY)
            end++;
        status = check_entries(it, entries + at, end - at);
    }
    return status == POPOTO_OK ? report_progress(it, count) : status;
}

/* Of those that tenants share, the server leaves out the members that are not meant; but the holders of a
 * unique value are looked at together. */
static popoto_status walk_indexes(auditing *it, index_ref *indexes, size_t count) {
    size_t whole = 0;
    for (size_t i = 0; i < count; i++) {
        index_ref one = indexes[i];
        if (share_of(it, &one) != SHARE_WHOLE && one.about->kind != POPOTO_KIND_UNIQUE_KEY)
            continue;
        indexes[i] = indexes[whole];
        indexes[whole++] = one;
    }
    popoto_status status = popoto__walk_entries(it->db, indexes, whole, (popoto_text){ NULL, 0 },
                                                take_index_entries, it);
    if (status == POPOTO_OK && whole < count)
        status = popoto__walk_entries(it->db, indexes + whole, count - whole, members_meant(it),
                                      take_index_entries, it);
    return status;
}

static popoto_status take_index_keys(auditing *it, popoto_text *keys, size_t count) {
    popoto_status status = POPOTO_OK;
    index_ref *indexes = popoto__allocate_zeroed(&it->db->allocator, count + 1, sizeof *indexes);
    size_t index_count = 0;
    if (indexes == NULL)
        return popoto__fail_memory(&it->db->why);
    for (size_t i = 0; i < count && status == POPOTO_OK; i++) {
        index_ref *one = &indexes[index_count];
        one->key = keys[i];
        index_kind kind = popoto__index_of_key(it->of, keys[i], &one->about);
        index_count += kind == INDEX_FIELD;
        if (kind == INDEX_UNKNOWN && !picks(it))
            status = report_corrupt(it, (popoto_text){ NULL, 0 }, keys[i],
                                    "it is named as an index of a field that has none");
    }
    if (status == POPOTO_OK)
        status = popoto__audit_settle(it);
    if (status == POPOTO_OK)
        status = walk_indexes(it, indexes, index_count);
    if (status == POPOTO_OK)
        status = report_mistyped(it, indexes, index_count);
    popoto__release(&it->db->allocator, indexes);
    return status;
}

/* ----- The model's other form ------------------------------------------------------------------ */

/* A move to the strict model that was not finished leaves records of both. Those of the other are seen by no
 * call with this model. (That all are strict by now is no fault of theirs.) */
static popoto_status check_other_form(auditing *it) {
    char key[MODEL_MAX_NAME + 32], text[FAILURE_TEXT_SIZE];
    bool strict = it->of->tenant != NULL;
    if (!strict && it->report->records == 0)
        return POPOTO_OK;
    int size =
        snprintf(key, sizeof key, "%s%s",
                 strict ? it->of->class_prefix.data : "$Tenants:", strict ? "" : it->of->name.data);
    index_ref other = { .key = { key, size > 0 ? (size_t)size : 0 } };
    popoto_status status = popoto__walk_sizes(it->db, &other, 1);
    if (status != POPOTO_OK || other.size <= 0)
        return status;
    snprintf(text, sizeof text,
             strict
                 ? "records of an ordinary %s are left (%lld, in %s): a move to the strict one was "
                   "not finished, run it again"
                 : "tenants have records of a strict %s (%lld, in %s): a move to it was not "
                   "finished, run it again",
             it->of->name.data, (long long)other.size, key);
    status = popoto__audit_note(
        it,
        (popoto_finding){ .kind = POPOTO_FINDING_OTHER_FORM, .index = other.key, .text = text });
    return status == POPOTO_OK ? popoto__audit_settle(it) : status;
}

/* ----- The whole ------------------------------------------------------------------------------ */

/* Each record is met in the set, as a key, and in each of its indexes. */
static popoto_status estimate_total(auditing *it) {
    popoto_status status = pass_sets(it, true);
    size_t times = 2;
    for (size_t i = 0; i < it->of->field_count; i++)
        times += it->of->fields[i].prefix.data != NULL;
    it->total *= times;
    return status;
}

/* "{project-a}:Episode", with or without more. */
static bool is_named_as_record(const model *of, popoto_text key) {
    size_t name = popoto__key_tenant(key).size + 3, end = name + of->name.size;
    return key.size >= end && memcmp(key.data + name, of->name.data, of->name.size) == 0 &&
           (key.size == end || key.data[end] == ':');
}

static popoto_status take_tenants_keys(auditing *it, popoto_text *keys, size_t count) {
    size_t records = 0;
    for (size_t i = 0; i < count; i++) {
        popoto_text one = keys[i];
        if (!is_named_as_record(it->of, one))
            continue;
        keys[i] = keys[records];
        keys[records++] = one;
    }
    popoto_status status = take_record_keys(it, keys, records);
    return status == POPOTO_OK ? take_index_keys(it, keys + records, count - records) : status;
}

static popoto_status pass_keys(auditing *it) {
    const popoto_text any = { NULL, 0 };
    const owner *whose = it->whose;
    if (whose != NULL && it->of->tenant != NULL)
        return walk_keys(it, popoto__tenant_pattern(whose->segment, &it->memory),
                         take_tenants_keys);
    popoto_status status = walk_keys(
        it, whose != NULL ? whose->records : popoto__record_pattern(it->of, NULL, any, &it->memory),
        take_record_keys);
    return status == POPOTO_OK
               ? walk_keys(it, popoto__index_pattern(it->of, any, &it->memory), take_index_keys)
               : status;
}

static popoto_status run(auditing *it) {
    popoto_status status = estimate_total(it);
    if (status == POPOTO_OK)
        status = pass_sets(it, false);
    if (status == POPOTO_OK)
        status = pass_keys(it);
    return status == POPOTO_OK ? check_other_form(it) : status;
}

/* Whose records are meant. */
static popoto_status begin(auditing *it) {
    const popoto_audit_desc *desc = it->desc;
    owner *owners = NULL;
    popoto_status status = popoto__db_begin(it->db, desc->model, &it->of);
    if (status == POPOTO_OK && desc->tenant == NULL)
        return popoto__refuse_scopes(it->db, it->of, "an audit");
    if (status != POPOTO_OK)
        return status;
    status = popoto__owners(it->db,
                            &(popoto_tenant_desc){
                                .models = &desc->model,
                                .model_count = 1,
                                .tenant = *desc->tenant,
                                .tenant_field = desc->tenant_field,
                            },
                            &it->memory, &owners);
    it->whose = owners;
    return status;
}

popoto_status popoto_audit(popoto_db *db, const popoto_audit_desc *desc,
                           popoto_audit_report *report) {
    popoto_audit_report ignored;
    auditing it = { .db = db, .desc = desc, .report = report != NULL ? report : &ignored };
    *it.report = (popoto_audit_report){ 0 };
    if (db == NULL)
        return POPOTO_BAD_ARGUMENT;
    if (desc == NULL)
        return popoto__db_needs(db, "a description of the audit");
    popoto__arena_init(&it.memory, &db->allocator);
    popoto__arena_init(&it.page, &db->allocator);
    popoto__arena_init(&it.bench, &db->allocator);
    popoto_status status = begin(&it);
    if (status == POPOTO_OK)
        status = run(&it);
    popoto__release(&db->allocator, it.suspicions);
    popoto__release(&db->allocator, it.pending);
    popoto__arena_free(&it.bench);
    popoto__arena_free(&it.page);
    popoto__arena_free(&it.memory);
    return status;
}
