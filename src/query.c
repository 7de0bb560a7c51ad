#include "query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----- Lookups -------------------------------------------------------------------------------- */

#define BIT(type) (1U << (type))
#define ORDERED                                                                     \
    (BIT(POPOTO_INT) | BIT(POPOTO_FLOAT) | BIT(POPOTO_DECIMAL) | BIT(POPOTO_TIME) | \
     BIT(POPOTO_DAY) | BIT(POPOTO_CLOCK) | BIT(POPOTO_TEXT))

static const lookup_rule lookups[LOOKUP_COUNT] = {
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

const lookup_rule *popoto__lookup(lookup how) {
    return &lookups[how];
}

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

popoto_status popoto__bad_operand(const model *of, const condition *it, const popoto_value *given,
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
    return popoto__bad_operand(of, it, given, right, why);
}

static popoto_status convert_list(const model *of, condition *it, const popoto_value *given,
                                  arena *memory, failure *why) {
    if (given->type != POPOTO_LIST && given->type != POPOTO_TUPLE && given->type != POPOTO_SET)
        return popoto__bad_operand(of, it, given, "a list is needed, POPOTO_LIST(...)", why);
    if (it->how == LOOKUP_BETWEEN && given->as.list.count != 2)
        return popoto__bad_operand(of, it, given,
                                   "a list of two is needed, the low and the high end", why);
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
            return popoto__bad_operand(of, it, given, "true or false is needed", why);
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

bool popoto__points_at_text(const model *of, const field *about) {
    return of->declared->size == 0 || (about->declared->member != POPOTO_MEMBER_ARRAY &&
                                       about->declared->member != POPOTO_MEMBER_ID);
}

/* An AUTO_KEY is made to be the record's name and is read from it, which spares the server an eighth of a row.
 * (One of the key's fields has to be asked for, to tell a record of nulls from none; and what a filter
 * is about is compared as it is stored.) */
static bool is_told_by_key(const query *it, const fetched_field *one) {
    bool asks = false;
    for (size_t i = 0; i < it->of->key_count; i++)
        asks = asks || it->of->fields[it->of->keys[i]].kind != POPOTO_KIND_AUTO_KEY;
    return asks && one->about->kind == POPOTO_KIND_AUTO_KEY && one->about->type == POPOTO_TEXT &&
           !one->about->declared->null && one->first == NULL && one->about != it->order;
}

static popoto_status parse_fields(query *it, const char *fields, failure *why) {
    bool named[MODEL_MAX_FIELDS];
    popoto_status status = POPOTO_OK;
    it->partial = fields != NULL;
    if (fields != NULL)
        status = popoto__model_choose(it->of, fields, named, POPOTO_BAD_QUERY, why);
    it->fetched = popoto__arena_zeroed(it->memory, it->of->field_count + 1, sizeof *it->fetched);
    it->told = popoto__arena_zeroed(it->memory, it->of->key_count + 1, sizeof *it->told);
    if (status == POPOTO_OK && (it->fetched == NULL || it->told == NULL))
        status = popoto__fail_memory(why);
    for (size_t i = 0; status == POPOTO_OK && i < it->of->field_count; i++) {
        const field *about = &it->of->fields[i];
        fetched_field one = {
            .about = about,
            .chosen = fields == NULL || named[i] || about->is_key,
            .first = conditions_on(it, about),
        };
        one.keeps_text =
            about == it->order || (one.chosen && popoto__points_at_text(it->of, about));
        if (is_told_by_key(it, &one))
            it->told[it->told_count++] = about;
        else if (one.chosen || one.first != NULL || about == it->order)
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
