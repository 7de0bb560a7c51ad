/* Any text as a URL: parsed or refused, its result consistent, its password in no sentence. */
#include "url.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds)
        abort();
}

/* The same URL with another password must look the same. */
static void check_display(const char *url, const address *to, arena *memory) {
    address other;
    failure why = { 0 };
    if (to->password == NULL || to->display == NULL)
        return;
    const char *hidden = strstr(to->display, ":***@");
    require(hidden != NULL);
    size_t before = (size_t)(hidden - to->display);
    size_t after = strlen(hidden + strlen(":***@"));
    char *again = malloc(strlen(to->display) + 1);
    require(again != NULL && before + after <= strlen(url));
    strcpy(again, to->display);
    require(popoto__url_parse(again, memory, &other, &why) == POPOTO_OK);
    require(strcmp(other.display, to->display) == 0 && other.database == to->database &&
            other.port == to->port && strcmp(other.password, "***") == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    popoto_allocator allocator = popoto__allocator_or_default((popoto_allocator){ 0 });
    arena memory;
    address to;
    failure why = { 0 };
    char *url = malloc(size + 1);
    require(url != NULL);
    if (size != 0)
        memcpy(url, data, size);
    url[size] = '\0';
    popoto__arena_init(&memory, &allocator);
    popoto_status status = popoto__url_parse(url, &memory, &to, &why);
    require(status == POPOTO_OK || (status == POPOTO_BAD_URL && why.text[0] != '\0'));
    if (status == POPOTO_OK) {
        bool network = to.kind == ADDRESS_TCP || to.kind == ADDRESS_TLS;
        require(to.display != NULL && to.database >= 0);
        require(network == (to.host != NULL) && network == (to.port > 0) && to.port <= 65535);
        require(to.kind != ADDRESS_UNIX || to.path != NULL);
        require(to.path == NULL || to.path[0] == '/');
        require(to.user == NULL || to.password != NULL);
        check_display(url, &to, &memory);
    }
    popoto__arena_free(&memory);
    free(url);
    return 0;
}
