/* hiredis_write - the rival's create and save: MULTI and EXEC for one record, pipelines for many, and a
 * script of its own for a change that must not bring a deleted record back. See hiredis_side.h. */
#include "hiredis_side.h"

#include "harness.h"

#include <string.h>
#include <unistd.h>

/* So many records go out in one part of a pipeline. */
#define PART ((size_t)256)

/* Random bytes of the kernel's, some at a time in a long load. */
typedef struct entropy {
    unsigned char bytes[256];
    size_t left;
} entropy;

static void generate_id(popoto_id *id, entropy *from, size_t ids_to_come) {
    static const char digits[] = "0123456789abcdef";
    if (from->left == 0) {
        from->left = ids_to_come < 16 ? ids_to_come * 16 : sizeof(from->bytes);
        if (getentropy(from->bytes, from->left) != 0)
            give_up("no random bytes");
    }
    from->left -= 16;
    unsigned char *random = from->bytes + from->left;
    random[6] = (unsigned char)((random[6] & 0x0f) | 0x40); /* version 4 */
    random[8] = (unsigned char)((random[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < 16; i++) {
        id->text[2 * i] = digits[random[i] >> 4];
        id->text[2 * i + 1] = digits[random[i] & 15];
    }
    id->text[32] = '\0';
}

/* ----- MessagePack ---------------------------------------------------------------------------- */

/* An argument that is MessagePack text: its head is part of the argument. */
static void put_packed_text(hand *it, const char *text, size_t size) {
    char packed[HAND_KEY_SIZE + 3];
    size_t head = 0;
    if (size > HAND_KEY_SIZE)
        give_up("a text that is too long");
    if (size < 32) {
        packed[head++] = (char)(0xa0 | size);
    } else {
        packed[head++] = (char)(size < 256 ? 0xd9 : 0xda);
        if (size >= 256)
            packed[head++] = (char)(size >> 8);
        packed[head++] = (char)(size & 0xff);
    }
    memcpy(packed + head, text, size);
    hand_put_argument(it, packed, head + size);
}

/* "$9\r\n" 0xcb and eight bytes, the highest first. */
static void put_packed_double(hand *it, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    char *at = hand_room(it, 15);
    memcpy(at, "$9\r\n\xcb", 5);
    for (int i = 0; i < 8; i++)
        at[5 + i] = (char)(bits >> (56 - 8 * i) & 0xff);
    at[13] = '\r';
    at[14] = '\n';
    it->out_size += 15;
}

/* ----- create --------------------------------------------------------------------------------- */

typedef struct names {
    const char *model;
    size_t project_size;
    hand_key record;
    hand_key projects; /* the key index */
    hand_key scores;   /* the sorted index */
} names;

static void name_episode(names *out, episode *what, entropy *from, size_t to_come) {
    if (what->episode_id.text[0] == '\0')
        generate_id(&what->episode_id, from, to_come);
    out->project_size = strlen(what->project_id);
    hand_make_key(&out->record, "Episode", what->project_id, out->project_size,
                  what->episode_id.text, 32);
}

/* Those that are the same for all records of a tenant. */
static void name_indexes(names *out, const char *project) {
    size_t size = strlen(project);
    hand_make_key(&out->projects, "$KeyF:Episode", "project_id", 10, project, size);
    hand_make_key(&out->scores, "$SortedF:Episode", "score", 5, project, size);
}

static void put_fields(hand *it, const names *by, const episode *what) {
    PUT_LITERAL(it, "*10\r\n$4\r\nHSET\r\n");
    hand_put_argument(it, by->record.text, by->record.size);
    PUT_LITERAL(it, "$10\r\nproject_id\r\n");
    put_packed_text(it, what->project_id, by->project_size);
    PUT_LITERAL(it, "$10\r\nepisode_id\r\n");
    put_packed_text(it, what->episode_id.text, 32);
    PUT_LITERAL(it, "$5\r\ntitle\r\n");
    put_packed_text(it, what->title, strlen(what->title));
    PUT_LITERAL(it, "$5\r\nscore\r\n");
    put_packed_double(it, what->score);
}

static void put_indexes(hand *it, const names *by, const episode *what) {
    PUT_LITERAL(it, "*3\r\n$4\r\nSADD\r\n$14\r\n$Class:Episode\r\n");
    hand_put_argument(it, by->record.text, by->record.size);
    PUT_LITERAL(it, "*3\r\n$4\r\nSADD\r\n");
    hand_put_argument(it, by->projects.text, by->projects.size);
    hand_put_argument(it, by->record.text, by->record.size);
    PUT_LITERAL(it, "*4\r\n$4\r\nZADD\r\n");
    hand_put_argument(it, by->scores.text, by->scores.size);
    hand_put_double(it, what->score);
    hand_put_argument(it, by->record.text, by->record.size);
}

void hand_create(hand *it, episode *what) {
    names by;
    entropy random = { .left = 0 };
    name_episode(&by, what, &random, 1);
    name_indexes(&by, what->project_id);
    PUT_LITERAL(it, "*1\r\n$5\r\nMULTI\r\n");
    put_fields(it, &by, what);
    put_indexes(it, &by, what);
    PUT_LITERAL(it, "*1\r\n$4\r\nEXEC\r\n");
    hand_exchange(it, 6, &hand_acknowledge);
}

/* While the server works on one part the next is formatted and sent; then the replies of the first are
 * taken. */
void hand_create_many(hand *it, episode *const *what, size_t count) {
    names by;
    size_t under_way = 0;
    entropy random = { .left = 0 };
    for (size_t i = 0; i < count; i += PART) {
        size_t part = count - i < PART ? count - i : PART;
        for (size_t k = i; k < i + part; k++) {
            name_episode(&by, what[k], &random, count - k);
            if (k == i || what[k]->project_id != what[k - 1]->project_id)
                name_indexes(&by, what[k]->project_id);
            put_fields(it, &by, what[k]);
            put_indexes(it, &by, what[k]);
        }
        hand_send(it);
        hand_receive(it, under_way, &hand_acknowledge);
        under_way = 4 * part;
    }
    hand_receive(it, under_way, &hand_acknowledge);
}

/* ----- create, with the index commands put together ------------------------------------------- */

static void put_count(hand *it, size_t arguments) {
    char text[24];
    size_t size = 0, digits[8], count = 0;
    do
        digits[count++] = arguments % 10;
    while ((arguments /= 10) != 0);
    text[size++] = '*';
    while (count > 0)
        text[size++] = (char)('0' + digits[--count]);
    text[size++] = '\r';
    text[size++] = '\n';
    hand_put(it, text, size);
}

static void put_group(hand *it, const names *by, episode *const *what, const hand_key *records,
                      size_t count) {
    put_count(it, 2 + count);
    PUT_LITERAL(it, "$4\r\nSADD\r\n$14\r\n$Class:Episode\r\n");
    for (size_t i = 0; i < count; i++)
        hand_put_argument(it, records[i].text, records[i].size);
    put_count(it, 2 + count);
    PUT_LITERAL(it, "$4\r\nSADD\r\n");
    hand_put_argument(it, by->projects.text, by->projects.size);
    for (size_t i = 0; i < count; i++)
        hand_put_argument(it, records[i].text, records[i].size);
    put_count(it, 2 + 2 * count);
    PUT_LITERAL(it, "$4\r\nZADD\r\n");
    hand_put_argument(it, by->scores.text, by->scores.size);
    for (size_t i = 0; i < count; i++) {
        hand_put_double(it, what[i]->score);
        hand_put_argument(it, records[i].text, records[i].size);
    }
}

void hand_create_grouped(hand *it, episode *const *what, size_t count) {
    static hand_key records[PART];
    names by;
    size_t under_way = 0;
    entropy random = { .left = 0 };
    for (size_t i = 0; i < count; i += PART) {
        size_t part = count - i < PART ? count - i : PART;
        for (size_t k = 0; k < part; k++) {
            name_episode(&by, what[i + k], &random, count - i - k);
            records[k] = by.record;
            put_fields(it, &by, what[i + k]);
        }
        name_indexes(&by, what[i]->project_id);
        put_group(it, &by, what + i, records, part);
        hand_send(it);
        hand_receive(it, under_way, &hand_acknowledge);
        under_way = part + 3;
    }
    hand_receive(it, under_way, &hand_acknowledge);
}

/* ----- the unpartitioned model ---------------------------------------------------------------- */

void hand_create_flat(hand *it, episode *const *what, size_t count) {
    names by;
    size_t under_way = 0;
    entropy random = { .left = 0 };
    for (size_t i = 0; i < count; i += PART) {
        size_t part = count - i < PART ? count - i : PART;
        for (size_t k = i; k < i + part; k++) {
            if (what[k]->episode_id.text[0] == '\0')
                generate_id(&what[k]->episode_id, &random, count - k);
            by.project_size = strlen(what[k]->project_id);
            hand_make_key(&by.record, "Flat", what[k]->project_id, by.project_size,
                          what[k]->episode_id.text, 32);
            hand_make_key(&by.projects, "$KeyF:Flat", "project_id", 10, what[k]->project_id,
                          by.project_size);
            put_fields(it, &by, what[k]);
            PUT_LITERAL(it, "*3\r\n$4\r\nSADD\r\n$11\r\n$Class:Flat\r\n");
            hand_put_argument(it, by.record.text, by.record.size);
            PUT_LITERAL(it, "*3\r\n$4\r\nSADD\r\n");
            hand_put_argument(it, by.projects.text, by.projects.size);
            hand_put_argument(it, by.record.text, by.record.size);
            PUT_LITERAL(it, "*4\r\n$4\r\nZADD\r\n$19\r\n$SortedF:Flat:score\r\n");
            hand_put_double(it, what[k]->score);
            hand_put_argument(it, by.record.text, by.record.size);
        }
        hand_send(it);
        hand_receive(it, under_way, &hand_acknowledge);
        under_way = 4 * part;
    }
    hand_receive(it, under_way, &hand_acknowledge);
}

/* ----- save ----------------------------------------------------------------------------------- */

/* KEYS: the record, its tenant's scores. ARGV: the score as the record holds it, as the index does. */
static const char save_score[] = "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end\n"
                                 "redis.call('HSET', KEYS[1], 'score', ARGV[1])\n"
                                 "redis.call('ZADD', KEYS[2], ARGV[2], KEYS[1])\n"
                                 "return 1\n";

/* ARGV: the score as the index holds it, then all fields with their values. */
static const char save_all[] = "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end\n"
                               "redis.call('HSET', KEYS[1], unpack(ARGV, 2))\n"
                               "redis.call('ZADD', KEYS[2], ARGV[1], KEYS[1])\n"
                               "return 1\n";

static void put_call(hand *it, const char *sha, const episode *what, names *by) {
    by->project_size = strlen(what->project_id);
    hand_make_key(&by->record, "Episode", what->project_id, by->project_size, what->episode_id.text,
                  32);
    hand_make_key(&by->scores, "$SortedF:Episode", "score", 5, what->project_id, by->project_size);
    PUT_LITERAL(it, "$7\r\nEVALSHA\r\n");
    hand_put_argument(it, sha, 40);
    PUT_LITERAL(it, "$1\r\n2\r\n");
    hand_put_argument(it, by->record.text, by->record.size);
    hand_put_argument(it, by->scores.text, by->scores.size);
}

bool hand_save_score(hand *it, const episode *what) {
    names by;
    if (it->save_score_sha[0] == '\0')
        hand_load_script(it, save_score, it->save_score_sha);
    PUT_LITERAL(it, "*7\r\n");
    put_call(it, it->save_score_sha, what, &by);
    put_packed_double(it, what->score);
    hand_put_double(it, what->score);
    hand_exchange(it, 1, &hand_acknowledge);
    return it->integer == 1;
}

bool hand_save_all(hand *it, const episode *what) {
    names by;
    if (it->save_all_sha[0] == '\0')
        hand_load_script(it, save_all, it->save_all_sha);
    PUT_LITERAL(it, "*14\r\n");
    put_call(it, it->save_all_sha, what, &by);
    hand_put_double(it, what->score);
    PUT_LITERAL(it, "$10\r\nproject_id\r\n");
    put_packed_text(it, what->project_id, by.project_size);
    PUT_LITERAL(it, "$10\r\nepisode_id\r\n");
    put_packed_text(it, what->episode_id.text, 32);
    PUT_LITERAL(it, "$5\r\ntitle\r\n");
    put_packed_text(it, what->title, strlen(what->title));
    PUT_LITERAL(it, "$5\r\nscore\r\n");
    put_packed_double(it, what->score);
    hand_exchange(it, 1, &hand_acknowledge);
    return it->integer == 1;
}
