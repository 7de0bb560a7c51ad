/* hiredis_confidence - the rival's updates of confidence: the very script that ours runs, its call put
 * together by hand for this one model. See hiredis_side.h. */
#include "hiredis_side.h"

#include "harness.h"
#include "plan.h"

#include <string.h>

/* So many updates go out in one part of a pipeline. */
#define PART ((size_t)256)

/* ----- the new entry -------------------------------------------------------------------------- */

typedef struct cursor {
    const unsigned char *at, *end;
} cursor;

static uint64_t big_endian(cursor *it, size_t size) {
    uint64_t value = 0;
    if ((size_t)(it->end - it->at) < size)
        give_up("a confidence entry that ends too early");
    while (size-- > 0)
        value = value << 8 | *it->at++;
    return value;
}

/* A number as Lua's MessagePack writes it: an integer where it is one, else a float. */
static double number(cursor *it) {
    uint64_t head = big_endian(it, 1), bits;
    double real;
    float narrow;
    uint32_t narrow_bits;
    if (head < 0x80)
        return (double)head;
    switch (head) {
    case 0xcc: return (double)big_endian(it, 1);
    case 0xcd: return (double)big_endian(it, 2);
    case 0xce: return (double)big_endian(it, 4);
    case 0xca:
        narrow_bits = (uint32_t)big_endian(it, 4);
        memcpy(&narrow, &narrow_bits, sizeof(narrow));
        return (double)narrow;
    case 0xcb:
        bits = big_endian(it, 8);
        memcpy(&real, &bits, sizeof(real));
        return real;
    default: give_up("a confidence entry with something else than numbers");
    }
}

static void take_entry(popoto_confidence *out, const char *data, size_t size) {
    cursor it = { (const unsigned char *)data, (const unsigned char *)data + size };
    if (big_endian(&it, 1) != 0x84)
        give_up("a confidence entry that is no map of four");
    for (int i = 0; i < 4; i++) {
        size_t length = big_endian(&it, 1) & 31;
        const char *name = (const char *)it.at;
        if (length < 10 || (size_t)(it.end - it.at) < length)
            give_up("a confidence entry with strange names");
        it.at += length;
        double value = number(&it);
        switch (name[4]) {
        case 'i': out->confidence = value; break;              /* conf-i-dence */
        case 'e': out->evidence_count = (int64_t)value; break; /* evid-e-nce */
        case 'o': out->corroborations = (int64_t)value; break; /* corr-o-borations */
        default: out->contradictions = (int64_t)value; break;
        }
    }
}

static void *entry_string(const redisReadTask *task, char *data, size_t size) {
    hand *it = task->privdata;
    if (!hand_is_error(it, task, data, size))
        take_entry(&it->entries[it->entry_count++], data, size);
    return HAND_TAKEN;
}

static redisReplyObjectFunctions entries_functions = {
    .createString = entry_string,
    .createArray = hand_take_array,
    .createInteger = hand_take_integer,
    .createNil = hand_take_null,
    .freeObject = hand_keep,
};

/* ----- updates -------------------------------------------------------------------------------- */

static void put_update(hand *it, const memory_record *what, double signal) {
    hand_key record, hash;
    size_t project_size = strlen(what->project);
    hand_make_key(&record, "Memory", what->project, project_size, what->key, strlen(what->key));
    hand_make_key(&hash, "$ConfidencF:Memory:certainty", "data", 4, what->project, project_size);
    /* Two keys, one expectation (the record is there), the hash, member, signal, initial, cap. */
    PUT_LITERAL(it, "*13\r\n$7\r\nEVALSHA\r\n");
    hand_put_argument(it, it->confidence_sha, 40);
    PUT_LITERAL(it, "$1\r\n2\r\n");
    hand_put_argument(it, record.text, record.size);
    hand_put_argument(it, hash.text, hash.size);
    PUT_LITERAL(it, "$1\r\n1\r\n$7\r\npresent\r\n$1\r\n1\r\n$1\r\n2\r\n");
    hand_put_argument(it, record.text, record.size);
    hand_put_double(it, signal);
    PUT_LITERAL(it, "$3\r\n0.5\r\n$2\r\n20\r\n");
}

popoto_confidence hand_confidence(hand *it, const memory_record *what, double signal) {
    popoto_confidence after = { 0 };
    if (it->confidence_sha[0] == '\0')
        hand_load_script(it, popoto__script_text(SCRIPT_CONFIDENCE), it->confidence_sha);
    it->entries = &after;
    it->entry_count = 0;
    put_update(it, what, signal);
    hand_exchange(it, 1, &entries_functions);
    it->entries = NULL;
    return after;
}

void hand_confidence_many(hand *it, memory_record *const *what, size_t count, double signal,
                          popoto_confidence *after) {
    size_t under_way = 0;
    if (it->confidence_sha[0] == '\0')
        hand_load_script(it, popoto__script_text(SCRIPT_CONFIDENCE), it->confidence_sha);
    it->entries = after;
    it->entry_count = 0;
    for (size_t i = 0; i < count; i += PART) {
        size_t part = count - i < PART ? count - i : PART;
        for (size_t k = i; k < i + part; k++)
            put_update(it, what[k], signal);
        hand_send(it);
        hand_receive(it, under_way, &entries_functions);
        under_way = part;
    }
    hand_receive(it, under_way, &entries_functions);
}
