#include "query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many index keys at most may come of `in` lists on partitions and values. */
#define MAX_RANGES 4096

/* ----- Lookups -------------------------------------------------------------------------------- */

#define BIT(type) (1U << (type))
#define ORDERED                                                                     \
    (BIT(POPOTO_INT) | BIT(POPOTO_FLOAT) | BIT(POPOTO_DECIMAL) | BIT(POPOTO_TIME) | \
     BIT(POPOTO_DAY) | BIT(POPOTO_CLOCK) | BIT(POPOTO_TEXT))

static const struct {
    const char *word;
    unsigned types; /* of fields that have this lookup */
    bool sorted;    /* a sorted index answers it */
    bool key;       /* a key index answers it */
} lookups[LOOKUP_COUNT] = {
    [LOOKUP_IS] = { "", ~0U, true, true },
    [LOOKUP_IN] = { "in", ~0U, true, true },
    [LOOKUP_GT] = { "gt", ORDERED, true, false },
    [LOOKUP_GTE] = { "gte", ORDERED, true, false },
    [LOOKUP_LT] = { "lt", ORDERED, true, false },
    [LOOKUP_LTE] = { "lte", ORDERED, true, false },
    [LOOKUP_BETWEEN] = { "between", ORDERED, true, false },
    [LOOKUP_ISNULL] = { "isnull", ~0U, false, false },
    [LOOKUP_STARTSWITH] = { "startswith", BIT(POPOTO_TEXT), false, false },
    [LOOKUP_ENDSWITH] = { "endswith", BIT(POPOTO_TEXT), false, false },
    [LOOKUP_CONTAINS] = { "contains", BIT(POPOTO_TEXT), false, false },
};

/* "score, score__in, score__gt, ...": what a field of this type can be asked. */
static void allowed_lookups(const field *about, char *out, size_t size) {
    size_t at = (size_t)snprintf(out, size, "%s", about->name);
    for (size_t i = 1; i < LOOKUP_COUNT && at < size; i++)
        if (lookups[i].types >> about->type & 1U)
            at += (size_t)snprintf(out + at, size - at, ", __%s", lookups[i].word);
}

/* The last __ of "field__lookup": a field's name may end in _, a lookup never begins with one. */
static const char *last_separator(const char *text) {
    const char *last = NULL;
    for (const char *at = strstr(text, "__"); at != NULL; at = strstr(at + 1, "__"))
        last = at;
    return last;
}

static popoto_status find_lookup(const model *of, const char *text, condition *out, failure *why) {
    const char *split = last_separator(text);
    size_t size = split ? (size_t)(split - text) : strlen(text);
    char known[200];
    shown room;
    out->about = popoto__model_field(of, text, size);
    if (out->about == NULL) {
        popoto__model_field_names(of, known, sizeof known);
        return popoto__fail(why, POPOTO_BAD_QUERY, "%s has no field %s; it has %s", of->name.data,
                            popoto__show(&room, text, size), known);
    }
    for (size_t i = 0; i < LOOKUP_COUNT; i++)
        if (strcmp(split ? split + 2 : "", lookups[i].word) == 0 && (split != NULL) == (i > 0)) {
            out->how = (lookup)i;
            if (lookups[i].types >> out->about->type & 1U)
                return POPOTO_OK;
        }
    allowed_lookups(out->about, known, sizeof known);
    return popoto__fail(why, POPOTO_BAD_QUERY, "%s.%s is %s and has no lookup %s; it has %s",
                        of->name.data, out->about->name, popoto__type_name(out->about->type),
                        split ? split : "(none)", known);
}

/* ----- Conditions ----------------------------------------------------------------------------- */

static popoto_status bad_operand(const model *of, const condition *it, const popoto_value *given,
                                 const char *right, failure *why) {
    shown room;
    return popoto__fail(why, POPOTO_BAD_QUERY, "%s.%s%s%s cannot be asked for %s: %s",
                        of->name.data, it->about->name, it->how == LOOKUP_IS ? "" : "__",
                        lookups[it->how].word, popoto__show_value(&room, given), right);
}

static popoto_status convert_one(const model *of, const condition *it, const popoto_value *given,
                                 popoto_value *taken, failure *why) {
    char right[80];
    if (given->type != POPOTO_NULL && popoto__field_convert(it->about, given, taken))
        return POPOTO_OK;
    snprintf(right, sizeof right, "the field holds %s%s", popoto__type_name(it->about->type),
             it->about->type == POPOTO_DECIMAL ? ", given as text" : "");
    return bad_operand(of, it, given, right, why);
}

static popoto_status convert_list(const model *of, condition *it, const popoto_value *given,
                                  arena *memory, failure *why) {
    if (given->type != POPOTO_LIST && given->type != POPOTO_TUPLE && given->type != POPOTO_SET)
        return bad_operand(of, it, given, "a list is needed, POPOTO_LIST(...)", why);
    if (it->how == LOOKUP_BETWEEN && given->as.list.count != 2)
        return bad_operand(of, it, given, "a list of two is needed, the low and the high end", why);
    popoto_value *items = popoto__arena_zeroed(memory, given->as.list.count + 1, sizeof *items);
    if (items == NULL)
        return popoto__fail_memory(why);
    it->value = popoto_of_items(POPOTO_LIST, items, given->as.list.count);
    for (size_t i = 0; i < given->as.list.count; i++) {
        popoto_status status = convert_one(of, it, &given->as.list.items[i], &items[i], why);
        if (status != POPOTO_OK)
            return status;
    }
    return POPOTO_OK;
}

/* A null that stands in keys is in their indexes like any other value. */
static popoto_status ask_for_null(condition *it, bool wanted) {
    bool in_keys = it->about->is_key && it->about->declared->null;
    it->how = wanted && in_keys ? LOOKUP_IS : LOOKUP_ISNULL;
    it->value = (popoto_value){ .type = POPOTO_NULL };
    if (it->how == LOOKUP_ISNULL)
        it->value = popoto_of_bool(wanted);
    return POPOTO_OK;
}

static popoto_status convert_operand(const model *of, condition *it, const popoto_value *given,
                                     arena *memory, failure *why) {
    if (it->how == LOOKUP_IS && given->type == POPOTO_NULL && it->about->is_key &&
        !it->about->declared->null)
        return popoto__fail(why, POPOTO_BAD_QUERY,
                            "%s.%s is null in the filter, and never is in a record: was its value "
                            "forgotten?",
                            of->name.data, it->about->name);
    if (it->how == LOOKUP_IS && given->type == POPOTO_NULL)
        return ask_for_null(it, true);
    if (it->how == LOOKUP_ISNULL) {
        bool is_bool = given->type == POPOTO_BOOL;
        if (!is_bool && !(given->type == POPOTO_INT && (given->as.integer | 1) == 1))
            return bad_operand(of, it, given, "true or false is needed", why);
        return ask_for_null(it, is_bool ? given->as.boolean : given->as.integer == 1);
    }
    if (it->how == LOOKUP_IN || it->how == LOOKUP_BETWEEN)
        return convert_list(of, it, given, memory, why);
    return convert_one(of, it, given, &it->value, why);
}

static bool compares(const popoto_value *value, const popoto_value *with, int low, int high) {
    bool comparable = true;
    int order = 0;
    /* Floats are the commonest; NaN has its place above them. */
    if (value->type == POPOTO_FLOAT && with->type == POPOTO_FLOAT &&
        (value->as.real < with->as.real || value->as.real > with->as.real))
        order = value->as.real < with->as.real ? -1 : 1;
    else
        order = popoto__value_compare(value, with, &comparable);
    order = order < 0 ? -1 : order > 0;
    return comparable && order >= low && order <= high;
}

static bool equals(const popoto_value *value, const popoto_value *with) {
    bool comparable;
    if (value->type == POPOTO_TEXT && with->type == POPOTO_TEXT)
        return value->as.text.size == with->as.text.size &&
               (value->as.text.size == 0 ||
                memcmp(value->as.text.data, with->as.text.data, value->as.text.size) == 0);
    int order = popoto__value_compare(value, with, &comparable);
    return comparable ? order == 0 : popoto_value_equal(value, with);
}

static bool text_holds(lookup how, popoto_text text, popoto_text part) {
    if (part.size > text.size)
        return false;
    if (part.size == 0)
        return true;
    if (how == LOOKUP_STARTSWITH)
        return memcmp(text.data, part.data, part.size) == 0;
    if (how == LOOKUP_ENDSWITH)
        return memcmp(text.data + text.size - part.size, part.data, part.size) == 0;
    for (size_t i = 0; i + part.size <= text.size; i++)
        if (memcmp(text.data + i, part.data, part.size) == 0)
            return true;
    return false;
}

bool popoto__condition_holds(const condition *it, const popoto_value *value) {
    const popoto_value *with = &it->value;
    if (it->how == LOOKUP_ISNULL)
        return (value->type == POPOTO_NULL) == with->as.boolean;
    if (value->type == POPOTO_NULL)
        return it->how == LOOKUP_IS && with->type == POPOTO_NULL;
    switch (it->how) {
    case LOOKUP_IS: return equals(value, with);
    case LOOKUP_IN:
        for (size_t i = 0; i < with->as.list.count; i++)
            if (equals(value, &with->as.list.items[i]))
                return true;
        return false;
    case LOOKUP_GT: return compares(value, with, 1, 1);
    case LOOKUP_GTE: return compares(value, with, 0, 1);
    case LOOKUP_LT: return compares(value, with, -1, -1);
    case LOOKUP_LTE: return compares(value, with, -1, 0);
    case LOOKUP_BETWEEN:
        return compares(value, &with->as.list.items[0], 0, 1) &&
               compares(value, &with->as.list.items[1], -1, 0);
    default:
        return value->type == POPOTO_TEXT && text_holds(it->how, value->as.text, with->as.text);
    }
}

/* ----- Parsing -------------------------------------------------------------------------------- */

/* What a record's hash holds of a CONFIDENCE field is not its confidence. */
static popoto_status refuse_confidence(const model *of, const field *about, failure *why) {
    if (about->kind != POPOTO_KIND_CONFIDENCE)
        return POPOTO_OK;
    return popoto__fail(
        why, POPOTO_BAD_QUERY,
        "%s.%s is a CONFIDENCE field: its figures are read by popoto_confidence_get "
        "and popoto_confidence_scan, not by queries",
        of->name.data, about->name);
}

static popoto_status add_condition(query *it, const popoto_filter *filter, failure *why) {
    condition *one = &it->conditions[it->condition_count];
    *one = (condition){ .about = NULL };
    popoto_status status = find_lookup(it->of, filter->lookup, one, why);
    if (status == POPOTO_OK)
        status = refuse_confidence(it->of, one->about, why);
    if (status == POPOTO_OK)
        status = convert_operand(it->of, one, &filter->value, it->memory, why);
    if (status == POPOTO_OK)
        it->condition_count++;
    return status;
}

/* A filter on a field that a scope names must be satisfied by the scope's value, and the scope's value
 * becomes a condition of its own. */
static popoto_status add_scopes(popoto_db *db, query *it) {
    size_t given_count = it->condition_count;
    if (db->scopes == NULL)
        return POPOTO_OK;
    for (size_t i = 0; i < it->of->field_count; i++) {
        const field *about = &it->of->fields[i];
        const popoto_value *scoped = popoto__scope_value(db, about);
        condition one = { .about = about, .how = LOOKUP_IS };
        bool named = false;
        if (scoped == NULL)
            continue;
        if (!popoto__field_convert(about, scoped, &one.value))
            return popoto__scope_unfit(db, it->of, about, scoped);
        for (size_t k = 0; k < given_count; k++) {
            const condition *given = &it->conditions[k];
            if (given->about != about)
                continue;
            if (!popoto__condition_holds(given, &one.value))
                return popoto__scope_refuse(db, it->of, about, &given->value, scoped);
            named = named || given->how == LOOKUP_IS;
        }
        if (!named)
            it->conditions[it->condition_count++] = one;
    }
    return POPOTO_OK;
}

/* A query of all tenants is asked for by name, and by nothing that names one. */
static popoto_status add_all_tenants(popoto_db *db, query *it) {
    const field *tenant = it->of->tenant;
    if (tenant == NULL)
        return popoto__fail(&db->why, POPOTO_BAD_QUERY,
                            "%s has no TENANT: .all_tenants is for strict models",
                            it->of->name.data);
    for (size_t i = 0; i < it->condition_count; i++)
        if (it->conditions[i].about == tenant && it->conditions[i].how == LOOKUP_IS)
            return popoto__fail(&db->why,
                                popoto__scope_value(db, tenant) != NULL ? POPOTO_BAD_SCOPE
                                                                        : POPOTO_BAD_QUERY,
                                "%s: .all_tenants contradicts the one %s that %s names",
                                it->of->name.data, tenant->name,
                                popoto__scope_value(db, tenant) != NULL ? "the scope of this thread"
                                                                        : "the filter");
    it->each_tenant = &it->conditions[it->condition_count++];
    *it->each_tenant = (condition){ .about = tenant, .how = LOOKUP_IS };
    return POPOTO_OK;
}

static popoto_status parse_order(query *it, const char *order, failure *why) {
    if (order == NULL)
        return POPOTO_OK;
    it->descending = order[0] == '-';
    const char *name = order + it->descending;
    it->order = popoto__model_field(it->of, name, strlen(name));
    if (it->order == NULL) {
        char known[200];
        shown room;
        popoto__model_field_names(it->of, known, sizeof known);
        return popoto__fail(why, POPOTO_BAD_QUERY,
                            "%s cannot be ordered by %s, no field of it; it has %s",
                            it->of->name.data, popoto__show(&room, order, strlen(order)), known);
    }
    popoto_status status = refuse_confidence(it->of, it->order, why);
    if (status != POPOTO_OK ||
        (ORDERED | BIT(POPOTO_BOOL) | BIT(POPOTO_BYTES)) >> it->order->type & 1U)
        return status;
    return popoto__fail(why, POPOTO_BAD_QUERY, "%s cannot be ordered by %s: %s has no order",
                        it->of->name.data, it->order->name, popoto__type_name(it->order->type));
}

/* The conditions on a field, as a chain. */
static const condition *conditions_on(query *it, const field *about) {
    const condition *first = NULL;
    for (size_t i = it->condition_count; i-- > 0;)
        if (it->conditions[i].about == about) {
            it->conditions[i].next = first;
            first = &it->conditions[i];
        }
    return first;
}

/* A char array has its own copy of its text. */
static bool points_at_text(const model *of, const field *about) {
    return of->declared->size == 0 || (about->declared->member != POPOTO_MEMBER_ARRAY &&
                                       about->declared->member != POPOTO_MEMBER_ID);
}

static popoto_status parse_fields(query *it, const char *fields, failure *why) {
    bool named[MODEL_MAX_FIELDS];
    popoto_status status = POPOTO_OK;
    it->partial = fields != NULL;
    if (fields != NULL)
        status = popoto__model_choose(it->of, fields, named, POPOTO_BAD_QUERY, why);
    it->fetched = popoto__arena_zeroed(it->memory, it->of->field_count + 1, sizeof *it->fetched);
    if (status == POPOTO_OK && it->fetched == NULL)
        status = popoto__fail_memory(why);
    for (size_t i = 0; status == POPOTO_OK && i < it->of->field_count; i++) {
        const field *about = &it->of->fields[i];
        fetched_field one = {
            .about = about,
            .chosen = fields == NULL || named[i] || about->is_key,
            .first = conditions_on(it, about),
        };
        one.keeps_text = about == it->order || (one.chosen && points_at_text(it->of, about));
        if (one.chosen || one.first != NULL || about == it->order)
            it->fetched[it->fetched_count++] = one;
    }
    return status;
}

bool popoto__count_where(const popoto_filter *where, size_t *count, failure *why) {
    *count = 0;
    while (*count < POPOTO_MAX_WHERE && where[*count].lookup != NULL)
        ++*count;
    for (size_t i = *count; i < POPOTO_MAX_WHERE; i++)
        if (where[i].lookup != NULL || where[i].value.type != POPOTO_NULL) {
            popoto__explain(why, POPOTO_BAD_ARGUMENT,
                            ".where[%zu] has no lookup, and is not the end of the filters", *count);
            return false;
        }
    return true;
}

popoto_status popoto__query_parse(popoto_db *db, const model *of, const popoto_query_desc *desc,
                                  arena *memory, query *out) {
    size_t where;
    *out = (query){ .of = of, .memory = memory, .allow_scan = desc->allow_scan };
    if (!popoto__count_where(desc->where, &where, &db->why))
        return POPOTO_BAD_ARGUMENT;
    out->limit = desc->limit ? desc->limit : SIZE_MAX;
    out->offset = desc->offset;
    if (desc->filter_count > 0 && desc->filters == NULL)
        return popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, ".filter_count is %zu and .filters NULL",
                            desc->filter_count);
    out->conditions = popoto__arena_zeroed(memory, where + desc->filter_count + of->field_count + 1,
                                           sizeof *out->conditions);
    if (out->conditions == NULL)
        return popoto__fail_memory(&db->why);
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i < where && status == POPOTO_OK; i++)
        status = add_condition(out, &desc->where[i], &db->why);
    for (size_t i = 0; i < desc->filter_count && status == POPOTO_OK; i++)
        status = desc->filters[i].lookup != NULL ? add_condition(out, &desc->filters[i], &db->why)
                                                 : popoto__fail(&db->why, POPOTO_BAD_ARGUMENT,
                                                                ".filters[%zu] has no lookup", i);
    if (status == POPOTO_OK)
        status = add_scopes(db, out);
    if (status == POPOTO_OK && desc->all_tenants)
        status = add_all_tenants(db, out);
    if (status == POPOTO_OK)
        status = parse_order(out, desc->order_by, &db->why);
    return status == POPOTO_OK ? parse_fields(out, desc->fields, &db->why) : status;
}

popoto_status popoto__query_of_key(popoto_db *db, const model *of, const popoto_value *values,
                                   arena *memory, query *out) {
    *out = (query){ .of = of, .memory = memory, .limit = SIZE_MAX };
    out->conditions =
        popoto__arena_zeroed(memory, of->key_count + of->field_count + 1, sizeof *out->conditions);
    if (out->conditions == NULL)
        return popoto__fail_memory(&db->why);
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; i <= of->key_count && status == POPOTO_OK; i++) {
        const field *about = i < of->key_count ? &of->fields[of->keys[i]] : of->tenant;
        if (about == NULL)
            continue;
        condition *one = &out->conditions[out->condition_count++];
        *one = (condition){ .about = about, .how = LOOKUP_IS };
        status = popoto__field_accept(of, about, &values[about->index], &one->value, &db->why);
    }
    if (status == POPOTO_OK)
        status = add_scopes(db, out);
    return status == POPOTO_OK ? parse_fields(out, NULL, &db->why) : status;
}

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
    return lookups[it->how].key &&
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
        if (about->kind != POPOTO_KIND_SORTED || !lookups[it->conditions[i].how].sorted)
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
               : bad_operand(it->of, from, value, reason, why);
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
    return it->about == sorted && lookups[it->how].sorted;
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
        by->how == LOOKUP_IS ? "" : "__", lookups[by->how].word);
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
        bool by_index = is_set_condition(by) ||
                        (by->about->kind == POPOTO_KIND_SORTED && lookups[by->how].sorted) ||
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

size_t popoto__query_render_sizes(const read_plan *it, buffer *out) {
    for (size_t i = 0; i < it->set_count; i++) {
        popoto__request_begin(out, 2);
        popoto__request_text(out, "SCARD");
        popoto__request_argument(out, it->sets[i].data, it->sets[i].size);
    }
    for (size_t i = 0; i < it->range_count; i++) {
        popoto__request_begin(out, 4);
        popoto__request_text(out, "ZCOUNT");
        popoto__request_argument(out, it->ranges[i].key.data, it->ranges[i].key.size);
        popoto__request_argument(out, it->ranges[i].low.data, it->ranges[i].low.size);
        popoto__request_argument(out, it->ranges[i].high.data, it->ranges[i].high.size);
    }
    return it->set_count + it->range_count;
}

size_t popoto__query_render_probe(const query *it, const read_plan *from, buffer *out) {
    size_t count = popoto__query_render_sizes(from, out);
    if (from->range_count == 1) {
        popoto__render_names(&from->ranges[0], it->descending, PROBE, out);
        count++;
    }
    if (from->set_count == 1) {
        popoto__render_scan(from->sets[0], TEXT("0"), PROBE_STEP, out);
        count++;
    }
    return count;
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

/* One argument made of two parts. */
static void render_joined(buffer *out, popoto_text first, popoto_text second) {
    char room[2 * MODEL_MAX_NAME + 32];
    memcpy(room, first.data, first.size);
    memcpy(room + first.size, second.data, second.size);
    popoto__request_argument(out, room, first.size + second.size);
}

static void render_text(buffer *out, popoto_text text) {
    popoto__request_argument(out, text.data, text.size);
}

void popoto__render_members(const read_plan *it, buffer *out) {
    popoto__request_begin(out, 1 + it->set_count);
    popoto__request_text(out, it->set_count == 1 ? "SMEMBERS" : it->any_set ? "SUNION" : "SINTER");
    for (size_t i = 0; i < it->set_count; i++)
        render_text(out, it->sets[i]);
}

void popoto__render_scan(popoto_text set, popoto_text cursor, size_t about, buffer *out) {
    popoto__request_begin(out, 5);
    popoto__request_text(out, "SSCAN");
    render_text(out, set);
    render_text(out, cursor);
    popoto__request_text(out, "COUNT");
    popoto__request_integer(out, (int64_t)about);
}

void popoto__render_range(const sorted_range *range, bool descending, const popoto_text *from,
                          size_t skip, size_t count, buffer *out) {
    popoto__request_begin(out, 8);
    popoto__request_text(out, descending ? "ZREVRANGEBYSCORE" : "ZRANGEBYSCORE");
    render_text(out, range->key);
    render_text(out, from != NULL ? *from : descending ? range->high : range->low);
    render_text(out, descending ? range->low : range->high);
    popoto__request_text(out, "WITHSCORES");
    popoto__request_text(out, "LIMIT");
    popoto__request_integer(out, (int64_t)skip);
    popoto__request_integer(out, (int64_t)count);
}

void popoto__render_names(const sorted_range *range, bool descending, size_t count, buffer *out) {
    popoto__request_begin(out, 7);
    popoto__request_text(out, descending ? "ZREVRANGEBYSCORE" : "ZRANGEBYSCORE");
    render_text(out, range->key);
    render_text(out, descending ? range->high : range->low);
    render_text(out, descending ? range->low : range->high);
    popoto__request_text(out, "LIMIT");
    popoto__request_integer(out, 0);
    popoto__request_integer(out, (int64_t)count);
}

void popoto__render_scores(popoto_text key, const popoto_text *members, size_t count, buffer *out) {
    popoto__request_begin(out, 2 + count);
    popoto__request_text(out, "ZMSCORE");
    render_text(out, key);
    for (size_t i = 0; i < count; i++)
        render_text(out, members[i]);
}

static void render_fetch_head(size_t fields, buffer *out) {
    popoto__request_begin(out, 2 + fields);
    popoto__request_text(out, "HMGET");
}

static void render_fetch_tail(const model *of, const query *what, buffer *out) {
    size_t count = what != NULL ? what->fetched_count : of->field_count;
    for (size_t i = 0; i < count; i++) {
        const field *about = what != NULL ? what->fetched[i].about : &of->fields[i];
        popoto__request_argument(out, about->name, about->name_size);
    }
}

void popoto__render_fetch(const model *of, popoto_text key, buffer *out) {
    popoto__render_fetches(of, NULL, &key, 1, out);
}

void popoto__render_fetches(const model *of, const query *what, const popoto_text *keys,
                            size_t count, buffer *out) {
    /* Only the key tells one command from the next, and most are of one length: of such the whole command is
     * copied from the last one that was rendered, and the key written over. */
    size_t model_at = 0, model_size = 0, key_at = 0;
    for (size_t i = 0; i < count && !out->failed; i++) {
        if (i > 0 && keys[i].size != 0 && keys[i].size == keys[i - 1].size) {
            char *room = popoto__buffer_grow(out, model_size);
            if (room == NULL)
                return;
            memcpy(room, out->data + model_at, model_size);
            memcpy(room + key_at, keys[i].data, keys[i].size);
            continue;
        }
        model_at = out->size;
        render_fetch_head(what != NULL ? what->fetched_count : of->field_count, out);
        render_text(out, keys[i]);
        key_at = out->size - model_at - keys[i].size - 2; /* \r\n */
        render_fetch_tail(of, what, out);
        model_size = out->size - model_at;
    }
}

void popoto__render_fetch_fields(const model *of, const size_t *fields, size_t count,
                                 popoto_text key, buffer *out) {
    popoto__request_begin(out, 2 + count);
    popoto__request_text(out, "HMGET");
    render_text(out, key);
    for (size_t i = 0; i < count; i++)
        popoto__request_argument(out, of->fields[fields[i]].name, of->fields[fields[i]].name_size);
}

void popoto__render_hash_scan(popoto_text hash, popoto_text cursor, const char *pattern,
                              buffer *out) {
    popoto__request_begin(out, pattern != NULL ? 7 : 5);
    popoto__request_text(out, "HSCAN");
    render_text(out, hash);
    render_text(out, cursor);
    popoto__request_text(out, "COUNT");
    popoto__request_integer(out, 512);
    if (pattern == NULL)
        return;
    popoto__request_text(out, "MATCH");
    popoto__request_text(out, pattern);
}

void popoto__render_hash_size(popoto_text hash, buffer *out) {
    popoto__request_begin(out, 2);
    popoto__request_text(out, "HLEN");
    render_text(out, hash);
}

static void render_whereabouts(const model *of, popoto_text record, const size_t *fields,
                               size_t count, buffer *out) {
    popoto__request_begin(out, 2);
    popoto__request_text(out, "EXISTS");
    render_text(out, record);
    if (count > 0)
        popoto__render_fetch_fields(of, fields, count, record, out);
}

size_t popoto__render_entry(const model *of, popoto_text record, const size_t *fields, size_t count,
                            popoto_text hash, buffer *out) {
    render_whereabouts(of, record, fields, count, out);
    if (hash.data != NULL) {
        popoto__request_begin(out, 3);
        popoto__request_text(out, "HGET");
        render_text(out, hash);
        render_text(out, record);
    }
    render_whereabouts(of, record, fields, count, out);
    return 2 + 2 * (size_t)(count > 0) + (size_t)(hash.data != NULL);
}

void popoto__render_class_scan(const model *of, popoto_text cursor, buffer *out) {
    popoto__request_begin(out, 8);
    popoto__request_text(out, "SCAN");
    render_text(out, cursor);
    popoto__request_text(out, "MATCH");
    /* The names of models hold no pattern characters. */
    render_joined(out, TEXT("{*}:"), of->class_prefix);
    popoto__request_text(out, "COUNT");
    popoto__request_integer(out, 1000);
    popoto__request_text(out, "TYPE");
    popoto__request_text(out, "set");
}

void popoto__render_type(popoto_text key, buffer *out) {
    popoto__request_begin(out, 2);
    popoto__request_text(out, "TYPE");
    render_text(out, key);
}

void popoto__render_tenant_note(const model *of, popoto_text segment, buffer *out) {
    popoto__request_begin(out, 3);
    popoto__request_text(out, "SADD");
    render_joined(out, TEXT("$Tenants:"), of->name);
    render_text(out, segment);
}
