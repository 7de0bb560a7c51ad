/* erase - `popoto erase`: asks, erases, and prints the library's receipt. */
#include "json.h"
#include "session.h"
#include "table.h"
#include "terminal.h"
#include "typed.h"

#include <stdlib.h>
#include <string.h>

static void print_json(const char *tenant, const popoto_erase_receipt *receipt) {
    popoto_value started = popoto_of_time(receipt->started);
    popoto_value finished = popoto_of_time(receipt->finished);
    json_print(json_pack("{so, so, so, so, so, so, so}", "tenant", json_of_word(tenant), "records",
                         json_of_size(receipt->records), "index_entries",
                         json_of_size(receipt->index_entries), "other_keys",
                         json_of_size(receipt->other_keys), "left", json_of_size(receipt->left),
                         "started", json_of_value(&started), "finished", json_of_value(&finished)));
}

static void line(const char *label, size_t number) {
    char *text = number_text(number);
    printf("%-14s  %11s\n", label, text);
    free(text);
}

static void print_receipt(const char *tenant, const popoto_erase_receipt *receipt) {
    char room[64];
    char *shown = shown_word(tenant);
    printf("%sErased: %s%s\n", colours.bold, shown, colours.plain);
    line("records", receipt->records);
    line("index entries", receipt->index_entries);
    line("other keys", receipt->other_keys);
    printf("%s", receipt->left > 0 ? colours.red : colours.green);
    line("left", receipt->left);
    printf("%s", colours.plain);
    time_text(receipt->started, room);
    printf("%-14s  %s\n", "started", room);
    time_text(receipt->finished, room);
    printf("%-14s  %s\n", "finished", room);
    free(shown);
}

static int ask(session *it, const char *tenant, const popoto_tenant_desc *desc) {
    char *shown = shown_word(tenant);
    char *address = session_address(it), *names = names_of(desc->models, desc->model_count);
    int status = confirm(it->set.yes, "Erase everything of tenant '%s' (%s)\nfrom %s?", shown,
                         names, address);
    free(shown), free(address), free(names);
    return status;
}

int run_erase(session *it, int count, char **words) {
    popoto_tenant_desc desc;
    popoto_erase_receipt receipt;
    (void)count;
    int status = session_open(it);
    if (status == EXIT_DONE)
        status = session_tenant(it, words[0], &desc);
    if (status == EXIT_DONE)
        status = ask(it, words[0], &desc);
    if (status != EXIT_DONE)
        return status;
    bar progress = bar_start("erase");
    desc.progress = bar_step;
    desc.context = &progress;
    popoto_status done = popoto_erase(it->db, &desc, &receipt);
    bar_end(&progress);
    if (done != POPOTO_OK)
        return session_failed(it, done);
    if (it->set.json)
        print_json(words[0], &receipt);
    else
        print_receipt(words[0], &receipt);
    if (receipt.left == 0)
        return EXIT_DONE;
    complain("%zu keys or entries are left, which others wrote meanwhile: run it again",
             receipt.left);
    return EXIT_FINDINGS;
}
