/* grant_stage - see grant_stage.h. */
#include "grant_stage.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

int stage_group_start(void **state) {
    if (server_group_start(state) != 0)
        return -1;
    assert_string_equal("OK", server_command(*state, "ACL SETUSER " ADMIN " on >top ~* &* +@all"));
    assert_string_equal("OK", server_command(*state, "AUTH " ADMIN " top"));
    assert_string_equal("OK", server_command(*state, "ACL SETUSER default off"));
    return 0;
}

popoto_db *open_as(server *s, const char *user, const char *password) {
    char url[400];
    snprintf(url, sizeof url, "unix://%s:%s@%s", user, password, server_socket(s));
    return popoto_open(url, NULL);
}

popoto_status grant_episodes(popoto_db *db, const char *tenant, const char *user) {
    return popoto_grant(
        db,
        &(popoto_grant_desc){
            .model = &Episode, .tenant = POPOTO_VALUE(tenant), .user = user, .password = "secret" },
        NULL);
}

void stage_set_up(stage *it, server *s) {
    static const char *const projects[] = { "a", "b", "ab" };
    server_flush(s);
    *it = (stage){ .s = s, .top = open_as(s, ADMIN, "top") };
    for (int i = 0; i < 3; i++) {
        episode one = episode_of(projects[i], "s1", "1", 1);
        visit seen = { .project_id = projects[i], .id = { "v" }, .user = "u" };
        assert_ok(it->top, popoto_create(it->top, &Episode, &one));
        assert_ok(it->top, popoto_confidence_update(it->top, &Episode, &one, "belief", 1, NULL));
        assert_ok(it->top, popoto_create(it->top, &Visit, &seen));
    }
    assert_ok(it->top, grant_episodes(it->top, "a", "ann"));
    it->db = open_as(s, "ann", "secret");
    assert_ok(it->db, popoto_ping(it->db));
}

void stage_tear_down(stage *it) {
    popoto_close(it->db);
    popoto_close(it->top);
    server_command(it->s, "ACL DELUSER ann");
    server_flush(it->s);
}

redisContext *raw_as(server *s, const char *user) {
    redisContext *it = redisConnectUnix(server_socket(s));
    assert_non_null(it);
    redisReply *answer =
        redisCommand(it, "AUTH %s %s", user, strcmp(user, ADMIN) ? "secret" : "top");
    assert_string_equal("OK", answer->str);
    freeReplyObject(answer);
    return it;
}
