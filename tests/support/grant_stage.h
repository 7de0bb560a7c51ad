/* grant_stage - what the tests of grants play on: a server whose default user is off (where it has no password,
 * whoever reaches the server needs no grant), an operator, and tenants, one of which has a user. */
#ifndef POPOTO_TESTS_GRANT_STAGE_H
#define POPOTO_TESTS_GRANT_STAGE_H

#include "server.h"
#include "strict_episodes.h"

#include <hiredis/hiredis.h>
#include <popoto.h>

/* Unique, with a generated id, and expires. */
typedef struct visit {
    popoto_object object;
    const char *project_id;
    popoto_id id;
    const char *user;
    int64_t seen;
} visit;

static const popoto_field visit_fields[] = {
    POPOTO_TENANT(visit, project_id),
    POPOTO_AUTO_KEY(visit, id),
    POPOTO_UNIQUE_KEY(visit, user),
    POPOTO_SORTED(visit, seen),
};
static const popoto_model Visit = POPOTO_MODEL("Visit", visit, visit_fields, .time_to_live = 100);

#define ADMIN "admin" /* the operator; the password is "top" */

/* For cmocka, in place of server_group_start. */
int stage_group_start(void **state);

/* An operator's db, and one of tenant a's user. */
typedef struct stage {
    server *s;
    popoto_db *top, *db;
} stage;

/* Tenants a, b and ab, each with an episode and a visit; a's user is ann, whose password is "secret". */
void stage_set_up(stage *it, server *s);
void stage_tear_down(stage *it);

popoto_db *open_as(server *s, const char *user, const char *password);
/* A bare connection of the operator, or of a user whose password is "secret". */
redisContext *raw_as(server *s, const char *user);
popoto_status grant_episodes(popoto_db *db, const char *tenant, const char *user);

#endif
