/* The addresses that popoto_open takes: every form, every mistake, and no password in any sentence. */
#include "failing_allocator.h"
#include "url.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct parsed {
    popoto_status status;
    address to;
    failure why;
    arena memory;
    popoto_allocator allocator;
} parsed;

static void parse(parsed *it, const char *url) {
    memset(it, 0, sizeof(*it));
    it->allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    popoto__arena_init(&it->memory, &it->allocator);
    it->status = popoto__url_parse(url, &it->memory, &it->to, &it->why);
}

static void forget(parsed *it) {
    popoto__arena_free(&it->memory);
}

static void assert_text(const char *expected, const char *found) {
    if (expected == NULL)
        assert_null(found);
    else {
        assert_non_null(found);
        assert_string_equal(expected, found);
    }
}

typedef struct good {
    const char *url;
    address to;
} good;

static const good goods[] = {
    { "redis://localhost", { ADDRESS_TCP, "localhost", 6379, NULL, NULL, NULL, 0, NULL, NULL, 0 } },
    { "REDIS://localhost",
      { ADDRESS_TCP, "localhost", 6379, NULL, NULL, NULL, 0, "redis://localhost", NULL, 0 } },
    { "redis://h/", { ADDRESS_TCP, "h", 6379, NULL, NULL, NULL, 0, NULL, NULL, 0 } },
    { "redis://h:1/15", { ADDRESS_TCP, "h", 1, NULL, NULL, NULL, 15, NULL, NULL, 0 } },
    { "redis://h:65535", { ADDRESS_TCP, "h", 65535, NULL, NULL, NULL, 0, NULL, NULL, 0 } },
    { "redis://10.0.0.1:6380/0",
      { ADDRESS_TCP, "10.0.0.1", 6380, NULL, NULL, NULL, 0, NULL, NULL, 0 } },
    { "redis://[::1]", { ADDRESS_TCP, "::1", 6379, NULL, NULL, NULL, 0, NULL, NULL, 0 } },
    { "redis://[fe80::1]:7000/2",
      { ADDRESS_TCP, "fe80::1", 7000, NULL, NULL, NULL, 2, NULL, NULL, 0 } },
    { "redis://:secret@h",
      { ADDRESS_TCP, "h", 6379, NULL, NULL, "secret", 0, "redis://:***@h", NULL, 0 } },
    { "redis://ann:secret@h:1/2",
      { ADDRESS_TCP, "h", 1, NULL, "ann", "secret", 2, "redis://ann:***@h:1/2", NULL, 0 } },
    { "redis://ann:se:cr@et@h",
      { ADDRESS_TCP, "h", 6379, NULL, "ann", "se:cr@et", 0, "redis://ann:***@h", NULL, 0 } },
    { "redis://a%6en%3a:%40%2F%25%ff@h",
      { ADDRESS_TCP, "h", 6379, NULL, "ann:", "@/%\xff", 0, "redis://a%6en%3a:***@h", NULL, 0 } },
    { "redis://ann:@h",
      { ADDRESS_TCP, "h", 6379, NULL, "ann", "", 0, "redis://ann:***@h", NULL, 0 } },
    { "redis://:@h", { ADDRESS_TCP, "h", 6379, NULL, NULL, NULL, 0, NULL, NULL, 0 } },
    { "rediss://h", { ADDRESS_TLS, "h", 6379, NULL, NULL, NULL, 0, NULL, NULL, 0 } },
    { "rediss://ann:secret@[::1]:1",
      { ADDRESS_TLS, "::1", 1, NULL, "ann", "secret", 0, "rediss://ann:***@[::1]:1", NULL, 0 } },
    { "unix:/run/s", { ADDRESS_UNIX, NULL, 0, "/run/s", NULL, NULL, 0, NULL, NULL, 0 } },
    { "unix:/run/s?db=3", { ADDRESS_UNIX, NULL, 0, "/run/s", NULL, NULL, 3, NULL, NULL, 0 } },
    { "unix:///run/s?db=0", { ADDRESS_UNIX, NULL, 0, "/run/s", NULL, NULL, 0, NULL, NULL, 0 } },
    { "unix:/a b/%3f%20%25@",
      { ADDRESS_UNIX, NULL, 0, "/a b/? %@", NULL, NULL, 0, NULL, NULL, 0 } },
    { "unix://ann:secret@/run/s@x?db=1",
      { ADDRESS_UNIX, NULL, 0, "/run/s@x", "ann", "secret", 1, "unix://ann:***@/run/s@x?db=1", NULL,
        0 } },
    { "embedded:", { ADDRESS_EMBEDDED, NULL, 0, NULL, NULL, NULL, 0, NULL, NULL, 0 } },
    { "embedded:/var/data",
      { ADDRESS_EMBEDDED, NULL, 0, "/var/data", NULL, NULL, 0, NULL, NULL, 0 } },
    { "embedded:///var/data",
      { ADDRESS_EMBEDDED, NULL, 0, "/var/data", NULL, NULL, 0, NULL, NULL, 0 } },
    { "embedded:/d%C3%A4ta",
      { ADDRESS_EMBEDDED, NULL, 0, "/d\xc3\xa4ta", NULL, NULL, 0, NULL, NULL, 0 } },
    { "redis+cluster://h",
      { ADDRESS_CLUSTER, NULL, 0, NULL, NULL, NULL, 0, NULL,
        (const cluster_seed[]){ { "h", 6379 } }, 1 } },
    { "redis+cluster://ann:se,cret@h:1,[::1]:2,10.0.0.1/",
      { ADDRESS_CLUSTER, NULL, 0, NULL, "ann", "se,cret", 0,
        "redis+cluster://ann:***@h:1,[::1]:2,10.0.0.1/",
        (const cluster_seed[]){ { "h", 1 }, { "::1", 2 }, { "10.0.0.1", 6379 } }, 3 } },
    { "REDISS+cluster://h:7",
      { ADDRESS_CLUSTER_TLS, NULL, 0, NULL, NULL, NULL, 0, "rediss+cluster://h:7",
        (const cluster_seed[]){ { "h", 7 } }, 1 } },
};

static void test_every_form_is_taken_apart(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(goods) / sizeof(*goods); i++) {
        const good *it = &goods[i];
        parsed found;
        parse(&found, it->url);
        if (found.status != POPOTO_OK)
            fail_msg("%s: %s", it->url, found.why.text);
        assert_int_equal(it->to.kind, found.to.kind);
        assert_text(it->to.host, found.to.host);
        assert_int_equal(it->to.port, found.to.port);
        assert_text(it->to.path, found.to.path);
        assert_text(it->to.user, found.to.user);
        assert_text(it->to.password, found.to.password);
        assert_int_equal(it->to.database, found.to.database);
        assert_int_equal(it->to.seed_count, found.to.seed_count);
        for (size_t k = 0; k < it->to.seed_count; k++) {
            assert_text(it->to.seeds[k].host, found.to.seeds[k].host);
            assert_int_equal(it->to.seeds[k].port, found.to.seeds[k].port);
        }
        assert_text(it->to.display != NULL ? it->to.display : it->url, found.to.display);
        forget(&found);
    }
}

typedef struct bad {
    const char *url;
    const char *says; /* a part of the sentence */
} bad;

static const bad bads[] = {
    { NULL, "NULL" },
    { "", "empty" },
    { "localhost:6379", "no known scheme" },
    { "secret", "no known scheme" },
    { "reddis://:secret@h", "no known scheme" },
    { "/run/s", "unix:/path" },
    { "redis", "no known scheme" },
    { "redis:", "//" },
    { "redis+cluster:h", "//" },
    { "redis+cluster://", "host" },
    { "redis+cluster://h,", "host" },
    { "redis+cluster://,h", "host" },
    { "redis+cluster://h:1,i:0", "port" },
    { "redis+cluster://h,:secret", "host" },
    { "redis+cluster://h/1", "no databases" },
    { "redis+cluster://h,i?db=1", "nothing stands behind" },
    { "redis:h", "//" },
    { "redis:/ann:secret@h", "//" },
    { "redis://", "host" },
    { "redis:///1", "host" },
    { "redis://:6379", "host" },
    { "redis://:secret", "host" },
    { "redis://ann:secret", "port" },
    { "redis://ann:secret/1", "port" },
    { "redis://h:", "port" },
    { "redis://h:0", "port" },
    { "redis://h:65536", "port" },
    { "redis://h:-1", "port" },
    { "redis://h:99999999999999999999", "port" },
    { "redis://h:1:2", "host" },
    { "redis://::1", "host" },
    { "redis://[::1", "host" },
    { "redis://[]", "host" },
    { "redis://[::1]secret", "host" },
    { "redis://]:1", "host" },
    { "redis://a b", "host" },
    { "redis://secret@h", "user:password" },
    { "redis://@h", "user:password" },
    { "redis://ann:sec/ret@h", "%2F" },
    { "redis://ann:sec?ret@h", "%3F" },
    { "redis://ann:sec#ret@h", "%23" },
    { "redis://ann:secret%@h", "password" },
    { "redis://ann:secret%4@h", "password" },
    { "redis://ann:secret%4g@h", "password" },
    { "redis://ann:secret%00@h", "password" },
    { "redis://a%nn:secret@h", "user" },
    { "redis://h/x", "database" },
    { "redis://h/-1", "database" },
    { "redis://h/1/2", "database" },
    { "redis://h/2147483648", "database" },
    { "redis://h?db=1", "no ?" },
    { "redis://h/1#x", "no #" },
    { "redis://:secret\n@h", "\\x0a" },
    { "redis://h\x7f", "\\x7f" },
    { "unix:", "whole path" },
    { "unix:run/s", "whole path" },
    { "unix://run/s", "whole path" },
    { "unix:?db=1", "whole path" },
    { "unix:/s?", "db=N" },
    { "unix:/s?db", "db=N" },
    { "unix:/s?db=", "database" },
    { "unix:/s?db=x", "database" },
    { "unix:/s?db=1&x=2", "database" },
    { "unix:/s?password=secret", "db=N" },
    { "unix:/s%", "path" },
    { "unix:/s%00", "path" },
    { "unix://secret@/s", "user:password" },
    { "embedded:data", "whole path" },
    { "embedded:/d?db=1", "%3F" },
    { "embedded:/d%zz", "path" },
};

static void test_every_mistake_gets_a_sentence_without_the_password(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(bads) / sizeof(*bads); i++) {
        parsed found;
        parse(&found, bads[i].url);
        if (found.status != POPOTO_BAD_URL || found.why.status != POPOTO_BAD_URL ||
            strstr(found.why.text, bads[i].says) == NULL)
            fail_msg("%s: %d, %s", bads[i].url == NULL ? "NULL" : bads[i].url, found.status,
                     found.why.text);
        if (strstr(found.why.text, "secret") != NULL)
            fail_msg("%s: %s", bads[i].url, found.why.text);
        assert_null(found.to.host);
        assert_null(found.to.path);
        assert_null(found.to.display);
        forget(&found);
    }
}

/* ----- memory --------------------------------------------------------------------------------- */

static void test_out_of_memory_is_a_status(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(goods) / sizeof(*goods); i++)
        for (size_t fails = 1;; fails++) {
            failing_allocator allocator;
            failing_allocator_init(&allocator, fails);
            arena memory;
            address to;
            failure why = { 0 };
            popoto__arena_init(&memory, &allocator.allocator);
            popoto_status status = popoto__url_parse(goods[i].url, &memory, &to, &why);
            popoto__arena_free(&memory);
            assert_int_equal(0, allocator.live_blocks);
            assert_int_equal(allocator.failed ? POPOTO_NO_MEMORY : POPOTO_OK, status);
            if (!allocator.failed)
                break;
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form_is_taken_apart),
        cmocka_unit_test(test_every_mistake_gets_a_sentence_without_the_password),
        cmocka_unit_test(test_out_of_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
