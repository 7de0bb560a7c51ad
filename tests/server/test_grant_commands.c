/* Grants: a tenant's user who speaks to the server without this library reaches no other tenant: every
 * command of the server's own table and every script is refused by the server. */
#include "grant_stage.h"

#include <popoto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "assertions.h"

/* ----- Every command of the server ------------------------------------------------------------ */

#define OWN   "{a}:Episode:s1:1"
#define OTHER "{b}:Episode:s1:1"

/* Commands whose keys the table does not place, as they are called; K is the key. More than one line
 * where several places take one: the others hold the tenant's own. */
static const char *const templates[] = {
    "eval return 1 K",
    "eval return 2 O K",
    "eval_ro return 1 K",
    "evalsha 0000000000000000000000000000000000000000 1 K",
    "evalsha 0000000000000000000000000000000000000000 2 O K",
    "evalsha_ro 0000000000000000000000000000000000000000 1 K",
    "fcall f 1 K",
    "fcall_ro f 1 K",
    "sort K",
    "sort O BY nosort GET K",
    "sort O STORE K",
    "sort_ro K",
    "zunion 2 O K",
    "zinter 2 O K",
    "zdiff 2 O K",
    "zintercard 2 O K",
    "zunionstore K 1 O",
    "zunionstore O 1 K",
    "zinterstore K 1 O",
    "zinterstore O 1 K",
    "zdiffstore K 1 O",
    "zdiffstore O 1 K",
    "sintercard 2 O K",
    "lmpop 1 K LEFT",
    "zmpop 1 K MIN",
    "blmpop 1 1 K LEFT",
    "bzmpop 1 1 K MIN",
    "xread STREAMS K 0",
    "xreadgroup GROUP g c STREAMS K 0",
    "georadius K 1 1 1 m",
    "georadius O 1 1 1 m STORE K",
    "georadiusbymember K m 1 m",
    "georadiusbymember O m 1 m STORE K",
    "migrate 127.0.0.1 1 K 0 1",
    "memory usage K",
    "object encoding K",
    "debug object K",
    "spublish K x",
    "ssubscribe K",
    "pfdebug getreg K",
};

/* Allowed, and taking no key, so that there is nothing of another tenant's that they could be given. */
static const struct {
    const char *name, *reason;
} keyless[] = {
    { "multi", "what it queues is checked command by command" },
    { "exec", "the same" },
    { "ping", "answers itself" },
    { "select", "the key pattern holds in every database" },
    { "auth", "takes a password" },
    { "hello", "the same" },
    { "reset", "makes the connection the default user's, who is off" },
    { "script|load", "what a script does is checked when it runs" },
    { "evalsha", "without keys: what a script does is checked when it runs" },
    { "quit", "ends the connection" },
};

static bool is_keyless(const char *name) {
    for (size_t i = 0; i < sizeof keyless / sizeof *keyless; i++)
        if (strcmp(keyless[i].name, name) == 0)
            return true;
    return false;
}

typedef struct attack {
    server *s;
    redisContext *to;
    size_t sent, with_key;
    size_t keyless;
} attack;

/* Sends it; the server must refuse the user, not the arguments. */
static void refused(attack *it, const char **arguments, int count, const char *what) {
    redisReply *answer = redisCommandArgv(it->to, count, arguments, NULL);
    if (answer == NULL)
        fail_msg("%s: the connection is gone", what);
    /* DEBUG and MODULE are off for everybody, before a user is looked at. */
    bool off =
        answer->type == REDIS_REPLY_ERROR && strstr(answer->str, " command not allowed") != NULL;
    if (!off && (answer->type != REDIS_REPLY_ERROR || strncmp(answer->str, "NOPERM", 6) != 0))
        fail_msg("%s: the server answers %s", what, answer->str ? answer->str : "something");
    freeReplyObject(answer);
    it->sent++;
}

/* A command of the table: [name, arity, flags, first key, last key, step, ...]. Arity counts the name, and
 * is negative where it is the least. */
static void attack_command(attack *it, const redisReply *about, const char *parent) {
    const char *name = about->element[0]->str;
    const char *bar = strchr(name, '|');
    const char *arguments[64];
    char what[200];
    long long arity = about->element[1]->integer, first = about->element[3]->integer;
    long long last = about->element[4]->integer, step = about->element[5]->integer;
    int count = (int)(arity < 0 ? -arity : arity);
    assert_true(count > 0 && count < 40);
    if (is_keyless(name)) {
        it->keyless++;
        return;
    }
    if (first > 0 && last < 0)
        last = count - 1 > first ? count + last : first;
    if (count <= last)
        count = (int)last + 1;
    for (long long at = first; at <= last || first == 0; at += step > 0 ? step : 1) {
        for (int i = 0; i < count; i++)
            arguments[i] =
                i >= first && i <= last && first > 0 && step > 0 && (i - first) % step == 0 ? OWN
                                                                                            : "1";
        arguments[0] = parent != NULL ? parent : name;
        if (parent != NULL)
            arguments[1] = bar != NULL ? bar + 1 : name;
        if (first > 0) {
            arguments[at] = OTHER;
            it->with_key++;
        }
        snprintf(what, sizeof what, "%s with a key at %lld", name, at);
        refused(it, arguments, count, what);
        if (first == 0)
            break;
    }
}

static void attack_template(attack *it, const char *template) {
    char text[200], *rest = NULL;
    const char *arguments[16];
    int count = 0;
    snprintf(text, sizeof text, "%s", template);
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        arguments[count++] = strcmp(word, "K") == 0 ? OTHER : strcmp(word, "O") == 0 ? OWN : word;
    redisReply *known = redisCommand(it->to, "PING");
    freeReplyObject(known);
    refused(it, arguments, count, template);
}

static void test_every_command_of_the_server_is_refused(void **state) {
    stage it;
    stage_set_up(&it, *state);
    redisContext *admin = raw_as(it.s, ADMIN);
    attack with = { .s = it.s, .to = raw_as(it.s, "ann") };
    redisReply *table = redisCommand(admin, "COMMAND");
    char *before = strdup(server_dump(it.s));
    assert_true(table->elements > 150);
    for (size_t i = 0; i < table->elements; i++) {
        const redisReply *one = table->element[i];
        if (one->elements > 9 && one->element[9]->elements > 0) {
            /* A container: its subcommands are commands, and so is it where it is called alone. */
            for (size_t k = 0; k < one->element[9]->elements; k++)
                attack_command(&with, one->element[9]->element[k], one->element[0]->str);
            continue;
        }
        attack_command(&with, one, NULL);
    }
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(templates[i], " "), templates[i]);
        redisReply *info = redisCommand(admin, "COMMAND INFO %s", name);
        bool exists = info->elements == 1 && info->element[0]->type == REDIS_REPLY_ARRAY;
        freeReplyObject(info);
        if (exists)
            attack_template(&with, templates[i]);
    }
    assert_string_equal(before, server_dump(it.s));
    /* Counted, so that a table that is read wrongly does not pass for one without holes. */
    assert_true(with.sent > 250);
    assert_true(with.with_key > 150);
    printf("%zu calls refused, %zu of them with a key of another tenant\n", with.sent,
           with.with_key);
    for (size_t i = 0; i < sizeof keyless / sizeof *keyless; i++)
        printf("takes no key: %s: %s\n", keyless[i].name, keyless[i].reason);
    free(before);
    freeReplyObject(table);
    redisFree(admin);
    redisFree(with.to);
    stage_tear_down(&it);
}

/* What is allowed is what the library needs, and each of it on the tenant's own keys alone. */
static void test_commands_that_take_no_key_lead_nowhere(void **state) {
    static const char *const steps[] = {
        "MULTI",
        "HGETALL " OTHER,
        "HMGET " OTHER " score",
        "EXEC",
        "SELECT 1",
        "HMGET " OTHER " score",
        "SET x y",
        "SELECT 0",
        "AUTH default x",
        "AUTH " ADMIN " guess",
        "HMGET " OTHER " score",
        "HELLO 2 AUTH " ADMIN " guess",
        "HMGET " OTHER " score",
    };
    static const char *const answers[] = {
        "OK", "NOPERM",    "NOPERM",    "EXECABORT", "OK",        "NOPERM", "NOPERM",
        "OK", "WRONGPASS", "WRONGPASS", "NOPERM",    "WRONGPASS", "NOPERM",
    };
    stage it;
    stage_set_up(&it, *state);
    redisContext *to = raw_as(it.s, "ann");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        redisReply *answer = redisCommand(to, steps[i]);
        if (answer == NULL || strncmp(answer->str, answers[i], strlen(answers[i])) != 0)
            fail_msg("%s: %s", steps[i], answer ? answer->str : "gone");
        freeReplyObject(answer);
    }
    redisReply *reset = redisCommand(to, "RESET");
    redisReply *after = redisCommand(to, "HMGET " OTHER " score");
    assert_int_equal(REDIS_REPLY_ERROR, after->type);
    /* Redis 6.2 refuses RESET itself. */
    assert_true(strncmp(after->str, "NOAUTH", 6) == 0 || strncmp(after->str, "NOPERM", 6) == 0);
    freeReplyObject(reset);
    freeReplyObject(after);
    redisFree(to);
    stage_tear_down(&it);
}

/* ----- Scripts -------------------------------------------------------------------------------- */

static void test_scripts_do_not_reach_another_tenant(void **state) {
    static const char *const scripts[] = {
        "return redis.call('HGETALL', KEYS[1])",
        "return redis.call('HMGET', '{' .. 'b}:Episode:s1:1', 'score')",
        "return redis.call('HGET', string.gsub(KEYS[1], 'a', 'b', 1), 'score')",
        "local ok = redis.pcall('HGET', '" OTHER "', 'score'); return ok.err or ok",
        "return redis.call('HSET', '" OTHER "', 'score', 'x')",
        "return redis.call('DEL', '" OTHER "')",
        "return redis.call('RENAME', '" OTHER "', '{a}:stolen')",
        "return redis.call('RENAME', KEYS[1], '{b}:gift')",
        "return redis.call('SINTER', '{a}:$Class:Episode', '{b}:$Class:Episode')",
        "return redis.call('SADD', '$Tenants:Episode', 'x')",
        "return redis.call('KEYS', '*')",
        "return redis.call('SCAN', 0)",
        "return redis.call('FLUSHALL')",
        "return redis.call('CONFIG', 'GET', '*')",
        "return redis.call('ACL', 'LIST')",
        "return redis.call('DBSIZE')",
        "return redis.call('INFO')",
        "return redis.call('RANDOMKEY')",
        "return redis.call('GET', '{b}:x')",
        "return redis.call('SELECT', 1) and redis.call('HGET', '" OTHER "', 'score')",
    };
    stage it;
    stage_set_up(&it, *state);
    redisContext *to = raw_as(it.s, "ann");
    char *before = strdup(server_dump(it.s));
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        redisReply *refused = redisCommand(to, "EVAL %s 1 %s", scripts[i], OWN);
        assert_int_equal(0, strncmp(refused->str, "NOPERM", 6));
        freeReplyObject(refused);
        redisReply *sha = redisCommand(to, "SCRIPT LOAD %s", scripts[i]);
        assert_int_equal(REDIS_REPLY_STRING, sha->type);
        for (int own = 0; own < 2; own++) {
            if (own && i == 0)
                continue; /* it is its own key's */
            redisReply *answer = redisCommand(to, "EVALSHA %s 1 %s", sha->str, own ? OWN : OTHER);
            bool denied = answer->type == REDIS_REPLY_ERROR || answer->type == REDIS_REPLY_STRING;
            denied = denied && (strstr(answer->str, "NOPERM") != NULL ||
                                strstr(answer->str, "ACL failure") != NULL ||
                                strstr(answer->str, "can't run this command") != NULL ||
                                strstr(answer->str, "permissions") != NULL ||
                                strstr(answer->str, "can't access at least one of the keys") ||
                                strstr(answer->str, "not allowed from script") != NULL);
            if (!denied)
                fail_msg("%s: %s", scripts[i], answer->str ? answer->str : "data");
            freeReplyObject(answer);
        }
        freeReplyObject(sha);
    }
    assert_string_equal(before, server_dump(it.s));
    free(before);
    redisFree(to);
    stage_tear_down(&it);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_every_command_of_the_server_is_refused),
        server_test(test_commands_that_take_no_key_lead_nowhere),
        server_test(test_scripts_do_not_reach_another_tenant),
    };
    return cmocka_run_group_tests(tests, stage_group_start, server_group_stop);
}
