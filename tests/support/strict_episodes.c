/* strict_episodes - see strict_episodes.h. */
#include "strict_episodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

episode episode_of(const char *project, const char *season, const char *id, double score) {
    return (episode){ .project_id = project, .season = season, .id = id, .score = score };
}

popoto_db *opened_with_two_tenants(server *s) {
    popoto_db *db = popoto_open(server_url(s), NULL);
    const char *const projects[] = { "a", "b" };
    for (int i = 0; i < 2; i++) {
        episode one = episode_of(projects[i], "s1", "1", 1);
        assert_ok(db, popoto_create(db, &Episode, &one));
        assert_ok(db, popoto_confidence_update(db, &Episode, &one, "certainty", 0.9, NULL));
    }
    return db;
}
