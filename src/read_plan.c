#include "read_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many index keys at most may come of `in` lists on partitions and values. */
#define MAX_RANGES 4096

/* ----- Index keys ----------------------------------------------------------------------------- */

static const condition *find_condition(const query *it, const field *about, bool allow_in) {
    for (size_t i = 0; i < it->condition_count; i++)
        if (it->conditions[i].about == about && (it->conditions[i].how == LOOKUP_IS ||
                                                 (allow_in && it->conditions[i].how == LOOKUP_IN)))
            return &it->conditions[i];
    return NULL;
}

/* The values that IS or IN names. */
static const popoto_value *operands(const condition *it, size_t *count) {
    *count = it->how == LOOKUP_IN ? it->value.as.list.count : 1;
    return it->how == LOOKUP_IN ? it->value.as.list.items : &it->value;
}

static popoto_status plan_key(query *it, read_plan *out, bool *named, failure *why) {
    popoto_value values[MODEL_MAX_FIELDS];
    *named = false;
    if (it->of->tenant != NULL)
        values[it->of->tenant->index] = find_condition(it, it->of->tenant, false)->value;
    for (size_t i = 0; i < it->of->key_count; i++) {
        const condition *is = find_condition(it, &it->of->fields[it->of->keys[i]], false);
        if (is == NULL)
            return POPOTO_OK;
        values[it->of->keys[i]] = is->value;
    }
    *named = true;
    out->source = SOURCE_KEY;
    return popoto__key_of_values(it->of, values, it->memory, &out->key, why);
}

static bool is_tenant_condition(const query *it, const condition *by) {
    return it->of->tenant != NULL && by->about == it->of->tenant && by->how == LOOKUP_IS;
}

size_t popoto__query_other_conditions(const query *it) {
    size_t count = 0;
    for (size_t i = 0; i < it->condition_count; i++)
        count += !is_tenant_condition(it, &it->conditions[i]);
    return count;
}

/* A strict model's query is of one tenant, whom its filters or a scope name. */
static popoto_status set_tenant(query *it, failure *why) {
    const field *tenant = it->of->tenant;
    if (tenant == NULL)
        return POPOTO_OK;
    const condition *is = find_condition(it, tenant, false);
    for (size_t i = 0; i < it->condition_count; i++)
        if (is_tenant_condition(it, &it->conditions[i]) &&
            !popoto__condition_holds(&it->conditions[i], &is->value))
            return popoto__fail(why, POPOTO_BAD_QUERY,
                                "the filter names two %s of %s: one is needed", tenant->name,
                                it->of->name.data);
    if (is == NULL)
        return popoto__fail(
            why, POPOTO_BAD_QUERY,
            "%s belongs to tenants: the filter must name one %s exactly, or a scope "
            "must; a query of all tenants says .all_tenants = true",
            it->of->name.data, tenant->name);
    it->tenant_segments =
        popoto__arena_zeroed(it->memory, it->of->field_count, sizeof *it->tenant_segments);
    if (it->tenant_segments == NULL)
        return popoto__fail_memory(why);
    return popoto__segment(it->of, tenant, &is->value, it->memory,
                           &it->tenant_segments[tenant->index], why);
}

/* The segments that IS and IN on key fields name, once for all candidates. */
static popoto_status set_segments(query *it, failure *why) {
    for (size_t i = 0; i < it->condition_count; i++) {
        condition *by = &it->conditions[i];
        if (!by->about->is_key || (by->how != LOOKUP_IS && by->how != LOOKUP_IN))
            continue;
        size_t count;
        const popoto_value *list = operands(by, &count);
        by->segments = popoto__arena_zeroed(it->memory, count + 1, sizeof *by->segments);
        by->segment_count = 0; /* of the tenant before */
        if (by->segments == NULL)
            return popoto__fail_memory(why);
        for (; by->segment_count < count; by->segment_count++) {
            popoto_status status =
                popoto__segment(it->of, by->about, &list[by->segment_count], it->memory,
                                &by->segments[by->segment_count], why);
            if (status != POPOTO_OK)
                return status;
        }
    }
    return POPOTO_OK;
}

static int by_bytes(const void *a, const void *b) {
    const popoto_text *x = a, *y = b;
    int order = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

/* A value that a list names twice names one index: its records are to come, and to be counted, once. */
static size_t distinct_keys(popoto_text *keys, size_t count) {
    size_t kept = 0;
    if (count > 1)
        qsort(keys, count, sizeof *keys, by_bytes);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || by_bytes(&keys[kept - 1], &keys[i]) != 0)
            keys[kept++] = keys[i];
    return kept;
}

static popoto_status add_set(query *it, read_plan *out, const condition *from, size_t which,
                             failure *why) {
    popoto_text segments[MODEL_MAX_FIELDS];
    if (it->of->tenant != NULL)
        segments[it->of->tenant->index] = it->tenant_segments[it->of->tenant->index];
    segments[from->about->index] = from->segments[which];
    out->sets[out->set_count] = popoto__index_key(it->of, from->about, segments, it->memory);
    return out->sets[out->set_count++].data != NULL ? POPOTO_OK : popoto__fail_memory(why);
}

static bool is_set_condition(const condition *it) {
    return popoto__lookup(it->how)->key &&
           (it->about->kind == POPOTO_KIND_KEY || it->about->kind == POPOTO_KIND_UNIQUE_KEY);
}

/* The sets that all IS conditions on key fields name; where there are none, those of one IN. */
static popoto_status plan_sets(query *it, read_plan *out, failure *why) {
    size_t most = it->condition_count;
    const condition *in = NULL;
    for (size_t i = 0; i < it->condition_count; i++)
        if (is_set_condition(&it->conditions[i]) && it->conditions[i].how == LOOKUP_IN) {
            in = &it->conditions[i];
            most += in->value.as.list.count;
        }
    out->sets = popoto__arena_allocate(it->memory, (most + 1) * sizeof *out->sets);
    if (out->sets == NULL)
        return popoto__fail_memory(why);
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < it->condition_count && status == POPOTO_OK; i++)
        if (is_set_condition(&it->conditions[i]) && it->conditions[i].how == LOOKUP_IS)
            status = add_set(it, out, &it->conditions[i], 0, why);
    if (out->set_count == 0 && in != NULL) {
        out->any_set = true;
        for (size_t i = 0; i < in->value.as.list.count && status == POPOTO_OK; i++)
            status = add_set(it, out, in, i, why);
    }
    if (status == POPOTO_OK)
        out->set_count = distinct_keys(out->sets, out->set_count);
    return status;
}

/* ----- Ranges of sorted indexes --------------------------------------------------------------- */

static popoto_status missing_partition(const query *it, const field *sorted, const field *missing,
                                       failure *why) {
    return popoto__fail(
        why, POPOTO_BAD_QUERY, "%s.%s is partitioned by %s: the filter must name %s exactly, too",
        it->of->name.data, sorted->name, sorted->declared->partition_by, missing->name);
}

/* Every range names its partition, whichever index is read in the end: a forgotten tenant is a mistake
 * also where another index could do. */
static popoto_status check_partitions(const query *it, failure *why) {
    for (size_t i = 0; i < it->condition_count; i++) {
        const field *about = it->conditions[i].about;
        if (about->kind != POPOTO_KIND_SORTED || !popoto__lookup(it->conditions[i].how)->sorted)
            continue;
        for (size_t k = 0; k < about->partition_count; k++) {
            const field *by = &it->of->fields[about->partition[k]];
            if (find_condition(it, by, true) == NULL)
                return missing_partition(it, about, by, why);
        }
    }
    return POPOTO_OK;
}

/* The index keys of a sorted field: one, or with IN on its partition one for each combination. */
static popoto_status partition_keys(query *it, const field *sorted, popoto_text **keys,
                                    size_t *count, failure *why) {
    size_t total = 1, at[MODEL_MAX_FIELDS] = { 0 };
    const condition *by[MODEL_MAX_FIELDS];
    for (size_t i = 0; i < sorted->partition_count; i++) {
        size_t values;
        const field *about = &it->of->fields[sorted->partition[i]];
        by[i] = find_condition(it, about, false);
        if (by[i] == NULL)
            by[i] = find_condition(it, about, true);
        if (by[i] == NULL)
            return missing_partition(it, sorted, about, why);
        (void)operands(by[i], &values);
        if (values > MAX_RANGES || total * values > MAX_RANGES)
            return popoto__fail(why, POPOTO_BAD_QUERY,
                                "%s.%s: more than %d partitions are asked for", it->of->name.data,
                                sorted->name, MAX_RANGES);
        total *= values;
    }
    *count = 0;
    *keys = popoto__arena_allocate(it->memory, (total + 1) * sizeof **keys);
    popoto_text *segments = popoto__arena_zeroed(it->memory, it->of->field_count, sizeof *segments);
    if (*keys == NULL || segments == NULL)
        return popoto__fail_memory(why);
    if (it->of->tenant != NULL)
        segments[it->of->tenant->index] = it->tenant_segments[it->of->tenant->index];
    for (size_t k = 0; k < total; k++) {
        for (size_t i = 0; i < sorted->partition_count; i++) {
            size_t values;
            const popoto_value *list = operands(by[i], &values);
            popoto_status status = popoto__segment(it->of, by[i]->about, &list[at[i]], it->memory,
                                                   &segments[sorted->partition[i]], why);
            if (status != POPOTO_OK)
                return status;
        }
        (*keys)[k] = popoto__index_key(it->of, sorted, segments, it->memory);
        if ((*keys)[k].data == NULL)
            return popoto__fail_memory(why);
        for (size_t i = 0; i < sorted->partition_count;
             i++) { /* the next combination, like an odometer */
            size_t values;
            (void)operands(by[i], &values);
            if (++at[i] < values)
                break;
            at[i] = 0;
        }
    }
    *count = distinct_keys(*keys, total);
    return POPOTO_OK;
}

/* Bounds while conditions are gathered. `exclusive` only where the score tells neighbours apart: else
 * the range takes in the bound, and the rows are looked at. */
typedef struct bounds {
    double low, high;
    bool low_exclusive, high_exclusive;
    bool exact;
} bounds;

static void narrow_low(bounds *it, double score, bool exclusive) {
    if (score > it->low || (score == it->low && exclusive)) {
        it->low = score;
        it->low_exclusive = exclusive;
    }
}

static void narrow_high(bounds *it, double score, bool exclusive) {
    if (score < it->high || (score == it->high && exclusive)) {
        it->high = score;
        it->high_exclusive = exclusive;
    }
}

static popoto_status score_of(const query *it, const condition *from, const popoto_value *value,
                              double *score, bool *exact, failure *why) {
    const char *reason = NULL;
    return popoto__codec_score(value, score, exact, &reason)
               ? POPOTO_OK
               : popoto__bad_operand(it->of, from, value, reason, why);
}

static popoto_status narrow(const query *it, const condition *by, bounds *out, failure *why) {
    double low, high;
    bool low_exact, high_exact;
    bool pair = by->how == LOOKUP_BETWEEN;
    const popoto_value *first = pair ? &by->value.as.list.items[0] : &by->value;
    const popoto_value *second = pair ? &by->value.as.list.items[1] : &by->value;
    popoto_status status = score_of(it, by, first, &low, &low_exact, why);
    if (status == POPOTO_OK)
        status = score_of(it, by, second, &high, &high_exact, why);
    if (status != POPOTO_OK)
        return status;
    out->exact = out->exact && low_exact && high_exact;
    if (by->how == LOOKUP_GT || by->how == LOOKUP_GTE || by->how == LOOKUP_IS || pair)
        narrow_low(out, low, by->how == LOOKUP_GT && low_exact);
    if (by->how == LOOKUP_LT || by->how == LOOKUP_LTE || by->how == LOOKUP_IS || pair)
        narrow_high(out, high, by->how == LOOKUP_LT && high_exact);
    return POPOTO_OK;
}

static bool is_range_condition(const condition *it, const field *sorted) {
    return it->about == sorted && popoto__lookup(it->how)->sorted;
}

static popoto_text bound_text(arena *memory, double score, bool exclusive) {
    char text[CODEC_DOUBLE_SIZE + 1] = "(";
    size_t size = popoto__codec_double_text(score, text + 1) + 1;
    return (
        popoto_text){ popoto__arena_copy(memory, exclusive ? text : text + 1, size - !exclusive),
                      size - !exclusive };
}

static int by_score(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The distinct scores that IN names within the bounds, in order. */
static popoto_status in_scores(query *it, const condition *in, bounds *within, double **scores,
                               size_t *count, failure *why) {
    size_t all = in->value.as.list.count;
    double *list = popoto__arena_allocate(it->memory, (all + 1) * sizeof *list);
    *count = 0;
    *scores = list;
    if (list == NULL)
        return popoto__fail_memory(why);
    for (size_t i = 0; i < all; i++) {
        bool exact;
        double score;
        popoto_status status = score_of(it, in, &in->value.as.list.items[i], &score, &exact, why);
        if (status != POPOTO_OK)
            return status;
        within->exact = within->exact && exact;
        if ((within->low_exclusive ? score > within->low : score >= within->low) &&
            (within->high_exclusive ? score < within->high : score <= within->high))
            list[(*count)++] = score;
    }
    qsort(list, *count, sizeof *list, by_score);
    size_t distinct = 0;
    for (size_t i = 0; i < *count; i++)
        if (distinct == 0 || list[distinct - 1] != list[i])
            list[distinct++] = list[i];
    *count = distinct;
    return POPOTO_OK;
}

static bool add_range(query *it, read_plan *out, popoto_text key, const bounds *within) {
    sorted_range *range = &out->ranges[out->range_count++];
    range->key = key;
    range->low = bound_text(it->memory, within->low, within->low_exclusive);
    range->high = bound_text(it->memory, within->high, within->high_exclusive);
    range->low_score = within->low;
    range->high_score = within->high;
    range->low_exclusive = within->low_exclusive;
    range->high_exclusive = within->high_exclusive;
    return range->low.data != NULL && range->high.data != NULL;
}

static popoto_status plan_ranges(query *it, read_plan *out, const field *sorted, bool *exact,
                                 failure *why) {
    bounds within = { .low = -1.0 / 0.0, .high = 1.0 / 0.0, .exact = true };
    const condition *in = NULL;
    popoto_text *keys = NULL;
    size_t key_count = 0, score_count = 1;
    double *scores = NULL;
    popoto_status status = partition_keys(it, sorted, &keys, &key_count, why);
    for (size_t i = 0; i < it->condition_count && status == POPOTO_OK; i++) {
        const condition *by = &it->conditions[i];
        if (is_range_condition(by, sorted) && by->how == LOOKUP_IN) {
            within.exact = within.exact && in == NULL; /* a second IN is looked at in the rows */
            in = by;
        } else if (is_range_condition(by, sorted))
            status = narrow(it, by, &within, why);
    }
    if (status == POPOTO_OK && in != NULL)
        status = in_scores(it, in, &within, &scores, &score_count, why);
    if (status != POPOTO_OK)
        return status;
    if (score_count > MAX_RANGES || key_count * score_count > MAX_RANGES)
        return popoto__fail(why, POPOTO_BAD_QUERY, "%s.%s: more than %d ranges are asked for",
                            it->of->name.data, sorted->name, MAX_RANGES);
    out->ranges =
        popoto__arena_allocate(it->memory, (key_count * score_count + 1) * sizeof *out->ranges);
    if (out->ranges == NULL)
        return popoto__fail_memory(why);
    for (size_t k = 0; k < key_count; k++)
        for (size_t s = 0; s < score_count; s++) {
            bounds one = within;
            double score = scores ? scores[it->descending ? score_count - 1 - s : s] : 0;
            if (scores != NULL)
                one = (bounds){ .low = score, .high = score };
            if (!add_range(it, out, keys[k], &one))
                return popoto__fail_memory(why);
        }
    out->sorted = sorted;
    for (size_t i = 0; key_count > 1 && i < sorted->partition_count; i++)
        out->names_repeat = out->names_repeat || !it->of->fields[sorted->partition[i]].is_key;
    *exact = within.exact;
    return POPOTO_OK;
}

/* ----- Choosing a source ---------------------------------------------------------------------- */

static popoto_status refuse_scan(const query *it, const condition *by, failure *why) {
    static const char *const kinds[] = {
        [POPOTO_KIND_FIELD] = "a FIELD",         [POPOTO_KIND_KEY] = "a KEY",
        [POPOTO_KIND_AUTO_KEY] = "an AUTO_KEY",  [POPOTO_KIND_UNIQUE_KEY] = "a UNIQUE_KEY",
        [POPOTO_KIND_SORTED] = "a SORTED field", [POPOTO_KIND_CONFIDENCE] = "a CONFIDENCE field",
        [POPOTO_KIND_TENANT] = "a TENANT",
    };
    return popoto__fail(
        why, POPOTO_BAD_QUERY,
        "%s.%s is %s and no index answers %s%s%s; .allow_scan = true looks through all "
        "records that the other filters leave",
        it->of->name.data, by->about->name, kinds[by->about->kind], by->about->name,
        by->how == LOOKUP_IS ? "" : "__", popoto__lookup(by->how)->word);
}

/* A sorted field of which the filters name one partition, by fields that no other index answers: the whole
 * partition is the answer. */
static const field *whole_partition(const query *it) {
    for (size_t i = 0; i < it->of->field_count; i++) {
        const field *about = &it->of->fields[i];
        bool named = about->kind == POPOTO_KIND_SORTED && about->partition_count > 0;
        bool only_here = false;
        for (size_t k = 0; named && k < about->partition_count; k++) {
            const field *by = &it->of->fields[about->partition[k]];
            named = find_condition(it, by, true) != NULL;
            only_here = only_here || !by->is_key;
        }
        if (named && only_here)
            return about;
    }
    return NULL;
}

/* The sorted field that should drive: one with a range, preferably the one that also gives the order;
 * else the one that gives the order. */
static const field *driving_field(const query *it) {
    const field *best = NULL;
    for (size_t i = 0; i < it->condition_count; i++) {
        const field *about = it->conditions[i].about;
        if (about->kind == POPOTO_KIND_SORTED && is_range_condition(&it->conditions[i], about) &&
            (best == NULL || about == it->order))
            best = about;
    }
    if (best == NULL && it->order != NULL && it->order->kind == POPOTO_KIND_SORTED)
        best = it->order;
    return best != NULL || it->allow_scan ? best : whole_partition(it);
}

bool popoto__partitioned_by(const field *sorted, const field *by) {
    for (size_t i = 0; i < sorted->partition_count; i++)
        if (sorted->partition[i] == by->index)
            return true;
    return false;
}

static bool is_partition_condition(const condition *it, const field *sorted) {
    return (it->how == LOOKUP_IS || it->how == LOOKUP_IN) &&
           popoto__partitioned_by(sorted, it->about);
}

/* The condition by which a partition of the sorted index was chosen. */
static const condition *partition_condition(const query *it, const field *by) {
    const condition *is = find_condition(it, by, false);
    return is != NULL ? is : find_condition(it, by, true);
}

/* Whether the source answers a condition by itself, so that no record that it names fails it. A second
 * exact condition on the field of a set or a partition is not answered so. */
static bool is_answered_by_source(const query *it, const read_plan *out, const condition *by) {
    if (is_tenant_condition(it, by))
        return true; /* every index of a strict model is one tenant's */
    if (out->source == SOURCE_SETS)
        return is_set_condition(by) && popoto__query_other_conditions(it) == 1;
    return out->source == SOURCE_SORTED &&
           (is_range_condition(by, out->sorted) ||
            (is_partition_condition(by, out->sorted) && by == partition_condition(it, by->about)));
}

/* Whether an index narrows down the candidates for some condition: key fields may then be looked at in
 * the records that come. (An order alone narrows nothing down.) */
static bool is_narrowed(const query *it, const read_plan *out) {
    for (size_t i = 0; i < it->condition_count; i++)
        if (is_tenant_condition(it, &it->conditions[i]) || is_set_condition(&it->conditions[i]) ||
            (out->sorted != NULL && is_range_condition(&it->conditions[i], out->sorted)) ||
            (out->source == SOURCE_SORTED && is_answered_by_source(it, out, &it->conditions[i])))
            return true;
    return false;
}

/* What the source does not answer decides whether counting needs the records, and whether the query may
 * run at all. */
static popoto_status settle_conditions(query *it, read_plan *out, bool ranges_exact, failure *why) {
    bool narrowed = is_narrowed(it, out);
    out->exact = out->source != SOURCE_KEY && (out->source != SOURCE_SORTED || ranges_exact);
    out->names_matter = false;
    for (size_t i = 0; i < it->condition_count; i++) {
        const condition *by = &it->conditions[i];
        bool by_source = is_answered_by_source(it, out, by);
        bool by_index =
            is_set_condition(by) ||
            (by->about->kind == POPOTO_KIND_SORTED && popoto__lookup(by->how)->sorted) ||
            (out->source == SOURCE_SORTED && is_partition_condition(by, out->sorted));
        bool by_name = by->about->is_key && (by->how == LOOKUP_IS || by->how == LOOKUP_IN);
        out->exact = out->exact && (by_source || by_name);
        out->names_matter = out->names_matter || (by_name && !by_source);
        /* Looked at in the records that an index brings, or in the one. */
        bool by_record = (by->about->is_key && narrowed) || out->source == SOURCE_KEY;
        if (!by_source && !by_index && !by_record && !it->allow_scan)
            return refuse_scan(it, by, why);
    }
    return POPOTO_OK;
}

static void set_order(query *it, read_plan *out) {
    bool one_key = out->source == SOURCE_SORTED && out->range_count > 0;
    for (size_t i = 1; i < out->range_count; i++)
        one_key =
            one_key && out->ranges[i].key.size == out->ranges[0].key.size &&
            memcmp(out->ranges[i].key.data, out->ranges[0].key.data, out->ranges[0].key.size) == 0;
    bool by_source = out->source == SOURCE_SORTED && out->sorted == it->order &&
                     it->each_tenant == NULL && (one_key || out->range_count == 0);
    bool one_record = out->source == SOURCE_KEY && it->each_tenant == NULL;
    out->sort_here = it->order != NULL && !by_source && !one_record;
}

popoto_status popoto__query_plan(query *it, read_plan *out, failure *why) {
    bool named = false, ranges_exact = true;
    *out = (read_plan){ .source = SOURCE_CLASS };
    popoto_status status = set_tenant(it, why);
    if (status == POPOTO_OK)
        status = plan_key(it, out, &named, why);
    if (status != POPOTO_OK)
        return status;
    const field *sorted = driving_field(it);
    if (named) {
        status = settle_conditions(it, out, true, why);
        set_order(it, out);
        return status;
    }
    status = check_partitions(it, why);
    if (status == POPOTO_OK)
        status = set_segments(it, why);
    if (status == POPOTO_OK)
        status = plan_sets(it, out, why);
    if (status == POPOTO_OK && sorted != NULL)
        status = plan_ranges(it, out, sorted, &ranges_exact, why);
    if (status != POPOTO_OK)
        return status;
    bool has_sets = out->set_count > 0 || out->any_set;
    if (sorted != NULL) {
        out->source = SOURCE_SORTED;
        for (size_t i = 0; i < it->condition_count; i++)
            if (is_set_condition(&it->conditions[i]) &&
                !is_partition_condition(&it->conditions[i], sorted) && has_sets &&
                out->set_count <= 16 && out->range_count <= 16)
                out->has_choice = true;
    } else if (has_sets) {
        out->source = SOURCE_SETS;
    }
    status = settle_conditions(it, out, ranges_exact, why);
    set_order(it, out);
    return status;
}

/* How many entries of the range must be read until `wanted` of them fit the sets as well, if these lie
 * evenly in it. */
static int64_t entries_until(size_t wanted, int64_t by_ranges, int64_t by_sets) {
    if (by_sets == 0 || wanted >= (size_t)by_sets)
        return by_ranges;
    double until = (double)by_ranges / (double)by_sets * (double)wanted;
    return until < (double)by_ranges ? (int64_t)until : by_ranges;
}

/* By sets, each member costs a score to be asked for as well; by ranges, a name to be looked at. */
void popoto__query_choose(query *it, read_plan *out, const int64_t *sizes) {
    int64_t by_sets = 0, by_ranges = 0;
    for (size_t i = 0; i < out->set_count; i++)
        by_sets = out->any_set                   ? by_sets + sizes[i]
                  : i == 0 || sizes[i] < by_sets ? sizes[i]
                                                 : by_sets;
    for (size_t i = 0; i < out->range_count; i++)
        by_ranges += sizes[out->set_count + i];
    out->has_choice = false;
    if (it->limit <= SIZE_MAX - it->offset && (it->order == NULL || it->order == out->sorted))
        by_ranges = entries_until(it->limit + it->offset, by_ranges, by_sets);
    if (2 * by_sets >= by_ranges)
        return;
    out->source = SOURCE_SETS;
    out->check_scores = out->range_count == 1;
    failure ignored;
    (void)settle_conditions(it, out, true, &ignored);
    out->exact = false;
    set_order(it, out);
}

/* ----- Candidates and records ----------------------------------------------------------------- */

static bool names(const condition *it, const char *segment, size_t size) {
    for (size_t i = 0; i < it->segment_count; i++)
        if (it->segments[i].size == size && memcmp(it->segments[i].data, segment, size) == 0)
            return true;
    return false;
}

bool popoto__query_tenant_fits(const query *it, popoto_text key) {
    if (it->tenant_segments == NULL)
        return true;
    popoto_text wanted = it->tenant_segments[it->of->tenant->index], is = popoto__key_tenant(key);
    return is.size == wanted.size && is.size > 0 && memcmp(is.data, wanted.data, is.size) == 0;
}

bool popoto__query_name_fits(const query *it, popoto_text key) {
    if (!popoto__query_tenant_fits(it, key))
        return false;
    key_rest rest = popoto__key_split(key.data, key.size);
    const char *segment;
    size_t size;
    for (size_t position = 0; popoto__key_next(&rest, &segment, &size); position++)
        for (size_t i = 0; i < it->condition_count; i++)
            if (position > 0 && it->conditions[i].segments != NULL &&
                it->conditions[i].about->key_position == position &&
                !names(&it->conditions[i], segment, size))
                return false;
    return true;
}

bool popoto__range_holds(const sorted_range *it, double score) {
    return (it->low_exclusive ? score > it->low_score : score >= it->low_score) &&
           (it->high_exclusive ? score < it->high_score : score <= it->high_score);
}
