/* dictionary_writes - what must come of a write, and the writes themselves: of many objects at once, of some
 * fields, of evidence. */
#include "dictionary.h"

#include <stdio.h>

popoto_status dictionary_foresee(world *it, const keeper *one, verb what, int by) {
    const thing *old = one->saved ? &one->was : &one->it;
    bool moves = one->saved && !dictionary_same_key(it->kind, &one->was, &one->it);
    if (what == DELETE && moves && by != one->home)
        return POPOTO_BAD_ARGUMENT;
    if (what == DELETE)
        return dictionary_find(it, old) != NULL ? POPOTO_OK : POPOTO_NOT_FOUND;
    if (what == SAVE && moves && by != one->home)
        return POPOTO_BAD_ARGUMENT;
    if (dictionary_is_spoilt(&one->it))
        return POPOTO_BAD_VALUE;
    if (what == CREATE && dictionary_kinds[it->kind].generates && one->it.id.text[0] == '\0')
        return dictionary_meets_foreign(it, &one->it) ? POPOTO_CORRUPT : POPOTO_OK;
    if (what == CREATE && dictionary_find(it, &one->it) != NULL)
        return POPOTO_EXISTS;
    if (what == SAVE && one->saved && dictionary_find(it, old) == NULL)
        return POPOTO_NOT_FOUND;
    if (what == SAVE && moves && dictionary_find(it, &one->it) != NULL)
        return POPOTO_EXISTS;
    if (dictionary_is_taken(it, &one->it, what == SAVE && one->saved ? &one->was : NULL))
        return POPOTO_DUPLICATE;
    return dictionary_meets_foreign(it, &one->it) ? POPOTO_CORRUPT : POPOTO_OK;
}

void dictionary_apply(world *it, keeper *one, verb what, int by) {
    thing *old = one->saved ? &one->was : &one->it;
    record *before = what == CREATE ? NULL : dictionary_find(it, old);
    if (what == DELETE) {
        if (before != NULL)
            before->there = false;
        one->saved = false;
        one->stored = 0;
        return;
    }
    bool moves = before != NULL && !dictionary_same_key(it->kind, &before->is, &one->it);
    int64_t evidence = before != NULL ? before->evidence : 0;
    if (moves)
        before->there = false;
    record *now = dictionary_put(it, &one->it);
    now->evidence = evidence;
    one->saved = true;
    one->was = one->it;
    one->stored = now->stored;
    one->home = by;
}

bool dictionary_look(world *it, const thing *key, thing *is, bool *there) {
    popoto_rows *rows;
    popoto_status status = popoto_load(it->control, it->model, key, &rows);
    *there = status == POPOTO_OK;
    if (*there) {
        *is = *(const thing *)popoto_rows_at(rows, 0);
        dictionary_keep_texts(is);
        is->group = key->group;
        is->name = key->name;
    }
    popoto_rows_free(rows);
    return dictionary_check(it, *there || status == POPOTO_NOT_FOUND,
                            "a record cannot be looked at:", popoto_error(it->control));
}

/* The outcome was not known: which of the two is it? */
static void settle(world *it, keeper *one, verb what, int by) {
    thing is;
    bool there;
    if (dictionary_kinds[it->kind].generates && what != DELETE && one->it.id.text[0] == '\0') {
        dictionary_check(it, false, "of an unknown outcome", "the generated key is not told");
        return;
    }
    if (what == DELETE) {
        thing *old = one->saved ? &one->was : &one->it;
        if (dictionary_look(it, old, &is, &there) && !there && dictionary_find(it, old) != NULL)
            dictionary_find(it, old)->there = false; /* which the object was not told */
        return;
    }
    if (!dictionary_look(it, &one->it, &is, &there))
        return;
    bool moves = one->saved && !dictionary_same_key(it->kind, &one->was, &one->it);
    thing *old = one->saved ? &one->was : &one->it;
    record *before = what == CREATE ? NULL : dictionary_find(it, old);
    bool changes = before == NULL || moves || !dictionary_same_rest(&before->is, &one->it);
    if (there && changes && dictionary_same_rest(&is, &one->it) &&
        (before != NULL || dictionary_find(it, &one->it) == NULL)) {
        keeper kept = *one; /* the object was not told */
        dictionary_apply(it, one, what, by);
        *one = kept;
    }
}

#define MOST_AT_ONCE 700

/* What one call is about. */
typedef struct parcel {
    verb what;
    size_t count;
    void *objects[MOST_AT_ONCE];
    keeper *keepers[MOST_AT_ONCE]; /* NULL: no object is given */
    popoto_status statuses[MOST_AT_ONCE];
} parcel;

static bool share_name(kind of, const thing *a, const thing *b) {
    if (dictionary_kinds[of].generates)
        return a->id.text[0] != '\0' && strcmp(a->id.text, b->id.text) == 0;
    return of == NUM ? a->num == b->num : same_text(a->name, b->name);
}

static bool are_close(kind of, const keeper *a, const keeper *b) {
    return share_name(of, &a->it, &b->it) || (a->saved && share_name(of, &a->was, &b->it)) ||
           (b->saved && share_name(of, &a->it, &b->was)) ||
           (a->saved && b->saved && share_name(of, &a->was, &b->was));
}

/* Two that may be about one record, or one unique value, are given together only where it is promised what
 * becomes of them. */
static bool may_be_given(const world *it, const parcel *with, size_t at, const keeper *one) {
    bool calm = it->weather == CALM || it->weather == FORGETFUL;
    bool one_after_the_other = calm && !dictionary_kinds[it->kind].expires &&
                               (with->what == CREATE || !dictionary_kinds[it->kind].unique);
    for (size_t i = 0; !one_after_the_other && i < at; i++)
        if (with->keepers[i] != NULL && are_close(it->kind, with->keepers[i], one))
            return false;
    return true;
}

static void change_for(world *it, verb what, keeper *one) {
    if (one->it.group == NULL || below(it, 20) < (what == CREATE ? 19 : 2))
        dictionary_make_new(it, one);
    if (what == SAVE && below(it, 3))
        dictionary_change_rest(it, &one->it);
    if (what != CREATE && below(it, 8) == 0)
        dictionary_change_key(it, &one->it);
    if (below(it, 60) == 0)
        dictionary_spoil(it, &one->it);
}

static void choose_objects(world *it, parcel *out) {
    static const unsigned sizes[] = { 1, 1, 3, 20, 255, 256, 257, 513, 600 };
    static bool used[MOST_OBJECTS];
    memset(used, 0, sizeof used);
    out->what = below(it, 2) ? CREATE : below(it, 3) ? SAVE : DELETE;
    out->count = sizes[below(it, COUNT(sizes))];
    for (size_t i = 0; i < out->count; i++) {
        size_t which = below(it, MOST_OBJECTS);
        while (used[which])
            which = (which + 1) % MOST_OBJECTS;
        used[which] = true;
        keeper *one = &it->objects[which];
        if (i > 0 && below(it, 50) == 0 && out->keepers[i - 1] != NULL)
            one = out->keepers[below(it, (unsigned)i)]; /* once more */
        else
            change_for(it, out->what, one);
        bool given = one != NULL && below(it, 80) != 0 && may_be_given(it, out, i, one);
        out->keepers[i] = given ? one : NULL;
        out->objects[i] = given ? &one->it : NULL;
    }
}

static popoto_status run_parcel(world *it, int by, parcel *what) {
    switch (what->what) {
    case CREATE:
        return popoto_create_many(it->db[by], it->model, what->objects, what->count,
                                  what->statuses);
    case SAVE:
        return popoto_save_many(it->db[by], it->model, what->objects, what->count, what->statuses);
    default:
        return popoto_delete_many(it->db[by], it->model, what->objects, what->count,
                                  what->statuses);
    }
}

static void judge(world *it, int by, const parcel *of, size_t at) {
    popoto_status status = of->statuses[at], wanted = POPOTO_BAD_ARGUMENT;
    keeper *one = of->keepers[at];
    char text[400];
    it->statuses[status]++;
    if (one != NULL)
        wanted = dictionary_foresee(it, one, of->what, by);
    if (status == POPOTO_OK && wanted == POPOTO_OK) {
        dictionary_apply(it, one, of->what, by);
    } else if (one != NULL && dictionary_is_weather(it, status) &&
               status == POPOTO_UNKNOWN_OUTCOME) {
        settle(it, one, of->what, by);
    } else {
        snprintf(text, sizeof text, "verb %d, connection %d, item %zu of %zu is %s, not %s",
                 (int)of->what, by, at, of->count, popoto_status_name(status),
                 popoto_status_name(wanted));
        dictionary_check(it, status == wanted || dictionary_is_weather(it, status), text,
                         popoto_error(it->db[by]));
    }
}

void dictionary_write_many(world *it) {
    static parcel all;
    choose_objects(it, &all);
    int by = dictionary_begin_call(it);
    popoto_status outcome = run_parcel(it, by, &all), first = POPOTO_OK;
    dictionary_end_call(it);
    for (size_t i = 0; i < all.count && !it->broken; i++) {
        first = first == POPOTO_OK ? all.statuses[i] : first;
        judge(it, by, &all, i);
    }
    dictionary_check(
        it, it->broken || outcome == first,
        "the call does not say what the first failure was:", popoto_status_name(outcome));
    for (size_t i = 0; i < MOST_OBJECTS; i++)
        dictionary_unspoil(&it->objects[i].it);
}

/* What the record is to be when these fields alone are stored. */
static thing merged(const record *before, const thing *now, const char *only) {
    thing is = before->is;
    is.group = now->group;
    is.id = now->id;
    is.name = now->name;
    is.num = now->num;
    is.note = strstr(only, "note") ? now->note : is.note;
    is.room = strstr(only, "room") ? now->room : is.room;
    is.rank = strstr(only, "rank") ? now->rank : is.rank;
    is.score = strstr(only, "score") ? now->score : is.score;
    return is;
}

/* What must come of a save if nobody changed the record; *other: or of this, where it was changed back. */
static popoto_status foresee_careful(world *it, const keeper *one, const record *before, int by,
                                     popoto_status *other) {
    bool moves = one->saved && !dictionary_same_key(it->kind, &one->was, &one->it);
    if (moves && by != one->home)
        return *other;
    if (!one->saved || one->stored == 0)
        return *other = POPOTO_BAD_ARGUMENT;
    if (before == NULL || before->stored == one->stored)
        return *other;
    if (!dictionary_same_rest(&before->is, &one->was))
        *other = POPOTO_CHANGED;
    return POPOTO_CHANGED;
}

/* One object, some of its fields, perhaps if nobody changed it. */
void dictionary_save_with(world *it) {
    keeper *one = &it->objects[below(it, MOST_OBJECTS)];
    static const char *const lists[] = { NULL,        "note",  "room",
                                         "rank,note", "score", "rank,room,note,score" };
    popoto_save_desc desc = { .only = lists[below(it, COUNT(lists))],
                              .if_unchanged = below(it, 3) == 0 };
    if (one->it.group == NULL || (!one->saved && below(it, 2)))
        dictionary_make_new(it, one);
    if (!one->saved && desc.only != NULL)
        return; /* records that lack fields are told of elsewhere */
    dictionary_change_rest(it, &one->it);
    if (below(it, 6) == 0)
        dictionary_change_key(it, &one->it);
    int by = dictionary_begin_call(it);
    popoto_status status = popoto_save_with(it->db[by], it->model, &one->it, &desc);
    dictionary_end_call(it);
    it->statuses[status]++;
    keeper stored = *one;
    const record *before = one->saved ? dictionary_find(it, &one->was) : NULL;
    if (desc.only != NULL && before != NULL)
        stored.it = merged(before, &one->it, desc.only);
    popoto_status wanted = dictionary_foresee(it, &stored, SAVE, by), other = wanted;
    if (desc.if_unchanged)
        wanted = foresee_careful(it, one, before, by, &other);
    if (status == POPOTO_OK && (status == wanted || status == other)) {
        thing mine = one->it;
        dictionary_apply(it, &stored, SAVE, by);
        *one = stored;
        one->it = mine;
        if (desc.only != NULL && !desc.if_unchanged)
            one->stored = 0; /* it does not know the other fields */
        return;
    }
    if (dictionary_is_weather(it, status) && status == POPOTO_UNKNOWN_OUTCOME) {
        settle(it, &stored, SAVE, by);
        return;
    }
    char text[256];
    snprintf(text, sizeof text, "save_with %s%s by %d: %s, not %s", desc.only ? desc.only : "all",
             desc.if_unchanged ? " if unchanged" : "", by, popoto_status_name(status),
             popoto_status_name(wanted));
    dictionary_check(it, status == wanted || status == other || dictionary_is_weather(it, status),
                     text, popoto_error(it->db[by]));
}

void dictionary_update(world *it) {
    enum {
        MOST = 40
    };
    static popoto_signal signals[MOST];
    static record *about[MOST];
    size_t count = 1 + below(it, MOST - 1);
    if (it->count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        about[i] = &it->records[below(it, (unsigned)it->count)];
        if (dictionary_find(it, &about[i]->is) != NULL) /* it went, and came again elsewhere */
            about[i] = dictionary_find(it, &about[i]->is);
        signals[i] = (popoto_signal){ .object = &about[i]->is, .signal = below(it, 2) };
    }
    int by = dictionary_begin_call(it);
    (void)popoto_confidence_update_many(it->db[by], it->model, "trust", signals, count);
    dictionary_end_call(it);
    for (size_t i = 0; i < count; i++) {
        popoto_status status = signals[i].status;
        it->statuses[status]++;
        if (status == POPOTO_OK && about[i]->evidence >= 0)
            about[i]->evidence++;
        else if (!dictionary_is_weather(it, status))
            dictionary_check(it, status == (about[i]->there ? POPOTO_OK : POPOTO_NOT_FOUND),
                             "an update is", popoto_error(it->db[by]));
    }
    for (size_t i = 0; i < count; i++) {
        popoto_confidence now;
        if (!about[i]->there)
            continue;
        popoto_status status =
            popoto_confidence_figures(it->control, it->model, &about[i]->is, "trust", &now);
        if (it->weather == CUT || it->weather == STARVED || it->weather == KILLED ||
            about[i]->evidence < 0)
            about[i]->evidence = now.evidence_count;
        char text[160];
        snprintf(text, sizeof text, "evidence %lld was acknowledged, %lld is there: %s",
                 (long long)about[i]->evidence, (long long)now.evidence_count,
                 popoto_status_name(status));
        dictionary_check(it, status == POPOTO_OK && now.evidence_count == about[i]->evidence, text,
                         about[i]->is.name != NULL ? about[i]->is.name : about[i]->is.id.text);
    }
}

void dictionary_expire(world *it) {
    char key[96];
    if (!dictionary_kinds[it->kind].expires || it->weather == REFUSING || it->count == 0)
        return;
    for (unsigned i = below(it, 60); i > 0; i--) {
        record *one = &it->records[below(it, (unsigned)it->count)];
        if (!one->there)
            continue;
        dictionary_key_of(it->kind, &one->is, key, sizeof key);
        raw_do(it->raw, "DEL %s", key);
        one->there = false;
    }
}
