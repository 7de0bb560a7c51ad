/* strict_visits - a strict model whose tenant is a number, whose ids are generated and whose records expire. */
#ifndef POPOTO_TESTS_STRICT_VISITS_H
#define POPOTO_TESTS_STRICT_VISITS_H

#include <popoto.h>

typedef struct visit {
    popoto_object object;
    int64_t site;
    popoto_id id;
    int64_t seen;
} visit;

static const popoto_field visit_fields[] = {
    POPOTO_TENANT(visit, site),
    POPOTO_AUTO_KEY(visit, id),
    POPOTO_SORTED(visit, seen),
};
static const popoto_model Visit = POPOTO_MODEL("Visit", visit, visit_fields, .time_to_live = 100);

#endif
