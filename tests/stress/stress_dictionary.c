/* The library beside a dictionary. Random calls on one model after the other, by several connections and in any
 * weather: allocations that fail, connections that are cut, scripts that are forgotten, foreign keys where an index
 * should be, a server that takes no writes, a user who may not do everything. A plain array says what must come
 * of each call: the status of each object, every row of every query in its order, and afterwards
 * every record and every index entry; audits of each tenant find what one of all does. A seed that fails plays
 * the same sequence again. */
#include "dictionary.h"

#include <stdio.h>
#include <stdlib.h>

static void open_all(world *it) {
    char url[256];
    failing_allocator_init(&it->memory, 0);
    popoto_options options = { .allocator = it->memory.allocator };
    snprintf(url, sizeof url, "unix://plain:secret@%s", server_socket(it->server));
    it->db[0] = popoto_open(url, &options);
    it->db[1] = popoto_open(proxy_url(it->between), NULL);
    snprintf(url, sizeof url, "unix://nomulti:secret@%s", server_socket(it->server));
    it->db[2] = popoto_open(url, NULL);
    it->control = popoto_open(server_url(it->server), NULL);
    for (int i = 0; i < CONNECTIONS; i++)
        if (popoto_error_status(it->db[i]) != POPOTO_OK)
            stress_give_up(popoto_error(it->db[i]));
}

static void close_all(world *it) {
    for (int i = 0; i < CONNECTIONS; i++)
        popoto_close(it->db[i]);
    popoto_close(it->control);
    dictionary_check(it, it->memory.live_blocks == 0, "memory is left", "");
}

static void play(world *it, long calls) {
    server_flush(it->server);
    raw_do(it->raw, "SCRIPT FLUSH");
    open_all(it);
    for (long i = 0; i < calls && !it->broken; i++) {
        dictionary_choose_weather(it);
        switch (below(it, 12)) {
        case 0:
        case 1:
        case 2:
        case 3: dictionary_write_many(it); break;
        case 4: dictionary_save_with(it); break;
        case 5: dictionary_update(it); break;
        case 6: dictionary_count(it); break;
        case 7: dictionary_load_keys(it); break;
        case 8:
            dictionary_expire(it);
            dictionary_ask(it);
            break;
        default: dictionary_ask(it);
        }
        dictionary_end_weather(it);
        if (it->weather != CALM && !it->broken && i % 3 == 0)
            dictionary_compare_all(it);
    }
    it->weather = CALM;
    dictionary_compare_all(it);
    dictionary_audit_all(it);
    close_all(it);
}

static world it; /* for the last words */

static void tell_seed(void) {
    if (it.model != NULL)
        fprintf(stderr, "seed %llu, %s, %s, call %zu\n", (unsigned long long)it.seed,
                it.model->name, dictionary_weather_names[it.weather], it.calls);
}

int main(int argc, char **argv) {
    stress_begin(argc, argv, "dictionary");
    atexit(tell_seed);
    dictionary_fill_values();
    it.server = server_start(NULL);
    it.between = proxy_start(server_socket(it.server));
    it.raw = raw_connect(server_socket(it.server));
    raw_do(it.raw, "ACL SETUSER plain on >secret ~* &* +@all");
    raw_do(it.raw, "ACL SETUSER nomulti on >secret ~* &* +@all -multi");
    it.records = calloc(MOST_RECORDS, sizeof *it.records);
    it.objects = calloc(MOST_OBJECTS, sizeof *it.objects);
    if (it.records == NULL || it.objects == NULL)
        stress_give_up("no memory");
    long sequences = stress_amount(400, KINDS), calls = stress_amount(80, 30);
    size_t total = 0;
    for (long i = 0; i < sequences; i++) {
        it.seed = stress_seed() + (uint64_t)i;
        it.dice = dice_of(it.seed, 0);
        it.kind = (kind)(it.seed % KINDS);
        it.model = &dictionary_kinds[it.kind].model;
        it.count = it.calls = 0;
        it.broken = false;
        memset(it.objects, 0, MOST_OBJECTS * sizeof *it.objects);
        memset(it.records, 0, MOST_RECORDS * sizeof *it.records);
        play(&it, calls);
        total += it.calls;
    }
    stress_say("%zu calls, %zu rows", total, it.rows);
    for (size_t i = 0; i < COUNT(it.statuses); i++)
        if (it.statuses[i] != 0)
            stress_say("%s: %zu", popoto_status_name((popoto_status)i), it.statuses[i]);
    redisFree(it.raw);
    proxy_stop(it.between);
    server_stop(it.server);
    free(it.records);
    free(it.objects);
    return stress_end();
}
