/* link_client - see link_client.h. */
#include "link_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void client_open_with(client *it, const address *to, int connect_timeout, int command_timeout) {
    memset(it, 0, sizeof(*it));
    it->allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    popoto__buffer_init(&it->request, &it->allocator);
    popoto__arena_init(&it->strings, &it->allocator);
    link_options options = { &it->allocator, connect_timeout, command_timeout };
    assert_int_equal(POPOTO_OK, popoto__link_new(to, &options, &it->link, &it->why));
}

void client_open(client *it, const char *path, int command_timeout) {
    address to = { .kind = ADDRESS_UNIX, .path = path, .display = path };
    client_open_with(it, &to, 2000, command_timeout);
}

void client_close(client *it) {
    popoto__link_free(it->link);
    popoto__buffer_free(&it->request);
    popoto__arena_free(&it->strings);
}

void client_add(client *it, const char *command) {
    size_t words = 1;
    for (const char *at = command; *at != '\0'; at++)
        words += *at == ' ';
    popoto__request_begin(&it->request, words);
    while (words-- > 0) {
        size_t size = strcspn(command, " ");
        popoto__request_argument(&it->request, command, size);
        command += size + (words > 0);
    }
}

void client_note(client *it, const reply *answer) {
    size_t used = strlen(it->seen);
    char *to = it->seen + used;
    size_t room = sizeof(it->seen) - used;
    switch (answer->type) {
    case REPLY_STATUS: snprintf(to, room, "+%s\n", answer->text); break;
    case REPLY_ERROR: snprintf(to, room, "-%s\n", answer->text); break;
    case REPLY_INTEGER: snprintf(to, room, ":%lld\n", (long long)answer->integer); break;
    case REPLY_NULL: snprintf(to, room, "null\n"); break;
    case REPLY_STRING:
        assert_int_equal('\0', answer->text[answer->size]);
        snprintf(to, room, "$%s\n", answer->text);
        break;
    case REPLY_ARRAY:
        snprintf(to, room, "*%zu\n", answer->count);
        for (size_t i = 0; i < answer->count && i < 20; i++)
            client_note(it, answer->items[i]);
        break;
    }
}

static popoto_status keep(void *context, size_t index, const reply *answer) {
    client *it = context;
    assert_int_equal(it->handed, index);
    it->handed++;
    client_note(it, answer);
    return it->refuse != POPOTO_OK && index == it->refused ? it->refuse : POPOTO_OK;
}

popoto_status client_run(client *it, size_t count, bool writes) {
    it->seen[0] = '\0';
    it->handed = 0;
    it->why.text[0] = '\0';
    exchange what = { &it->request, count, writes, NULL, keep, it, NULL };
    popoto_status status = popoto__link_exchange(it->link, &what, &it->why);
    popoto__buffer_clear(&it->request);
    return status;
}

popoto_status client_run_one(client *it, const char *command, bool writes) {
    client_add(it, command);
    return client_run(it, 1, writes);
}

popoto_status measure_reply(void *context, size_t index, const reply *answer) {
    sizes *it = context;
    (void)index;
    it->count++;
    it->bytes += answer->size;
    for (size_t i = 0; i < answer->count; i++)
        it->bytes += answer->items[i]->size;
    return POPOTO_OK;
}
