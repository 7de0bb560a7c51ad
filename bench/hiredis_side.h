/* hiredis_side - the rival: what a careful engineer would write by hand on hiredis for the two models of
 * data.h, and nothing else. As tuned as we know how:
 *
 *   - commands are formatted straight into one buffer that is kept, their constant parts as literals,
 *     and sent with one send(2);
 *   - hiredis's reader is given functions of our own, so that no tree of replies is built: members of a
 *     range become HGETALLs as they are parsed, and fields go from MessagePack into the struct;
 *   - nothing is allocated for a record: texts go into blocks that are kept from call to call;
 *   - a long load keeps the next part of the pipeline under way while the replies of this one come.
 *
 * An error of any kind ends the program: what the engineer would do there costs nothing here. */
#ifndef POPOTO_BENCH_HIREDIS_SIDE_H
#define POPOTO_BENCH_HIREDIS_SIDE_H

#include "data.h"

#include <hiredis/hiredis.h>
#include <sys/types.h>

typedef struct hand hand;

hand *hand_open(const char *socket, int database);
void hand_close(hand *it);

/* ----- hiredis_write.c: create and save ----- */

/* MULTI, record, indexes, EXEC. Generates an empty episode_id. */
void hand_create(hand *it, episode *what);
/* Pipelined, not atomic: the four commands of each record. */
void hand_create_many(hand *it, episode *const *what, size_t count);
/* The same with the index commands of a part of the pipeline put together, SADD key member member...:
 * the least that a server can be asked for. `what` is all of one tenant. */
void hand_create_grouped(hand *it, episode *const *what, size_t count);
/* The same for the unpartitioned model, for filling. */
void hand_create_flat(hand *it, episode *const *what, size_t count);

/* Change the score of a record, in the record and in its index, in one step, if it is still there. */
bool hand_save_score(hand *it, const episode *what);
/* The same, storing all fields. */
bool hand_save_all(hand *it, const episode *what);

/* ----- hiredis_read.c: load and query ----- */

/* Rows of one call; they hold until the next one. */
typedef struct hand_rows {
    episode *rows;
    size_t count;
} hand_rows;

/* HGETALL into a struct; false: there is none. */
bool hand_load(hand *it, const char *project, const popoto_id *id, const episode **row);
/* ZRANGEBYSCORE, then HGETALLs in one pipeline. With `values_only` HMGETs instead, of what ours asks for: the
 * identifier is taken from the record's name.
 * Of at least min_score; rows and their order are those of the index. */
hand_rows hand_query(hand *it, const char *project, double min_score, bool values_only);

/* The two fixed plans for the unpartitioned model: all of the range, of which the tenant's are kept by
 * their names; or all of the tenant's, of which those in the range are kept by their scores. */
hand_rows hand_query_by_range(hand *it, const char *project, double low, double high);
hand_rows hand_query_by_set(hand *it, const char *project, double low, double high);

/* ----- hiredis_confidence.c ----- */

/* With the very script of ours, EVALSHA with ready-made arguments. */
popoto_confidence hand_confidence(hand *it, const memory_record *what, double signal);
void hand_confidence_many(hand *it, memory_record *const *what, size_t count, double signal,
                          popoto_confidence *after);

/* ===== inside: hiredis_wire.c ================================================================ */

#if HIREDIS_MAJOR >= 1
typedef size_t hand_count;
#else
typedef int hand_count;
#endif

typedef struct block {
    struct block *next;
    size_t size;
    char data[];
} block;

struct hand {
    redisContext *connection;
    char *out; /* commands to be sent */
    size_t out_size;
    size_t out_room;
    const char *error; /* of the replies under way */
    size_t early;      /* replies of the next part that came with those of the last */
    long long integer; /* the last one */

    /* Rows under way. */
    episode *rows;
    size_t row_count;
    size_t row_room;
    bool values_only;
    size_t filled;      /* values_only: the rows that have more than their identifiers */
    block *first_block; /* texts */
    block *now_block;
    size_t block_used;

    /* Members under way, of the fixed plans. */
    const char *project;
    size_t project_size;
    size_t wanted; /* commands that became of them */
    double low, high;
    char **names;
    size_t *name_sizes;
    size_t name_count;
    size_t name_room;

    popoto_confidence *entries;
    size_t entry_count;

    char save_score_sha[41];
    char save_all_sha[41];
    char confidence_sha[41];
};

extern redisReplyObjectFunctions hand_acknowledge; /* looks for errors alone, keeps an integer */

/* Send what was formatted and let `functions` have the replies. */
void hand_send(hand *it);
void hand_receive(hand *it, size_t replies, redisReplyObjectFunctions *functions);
void hand_exchange(hand *it, size_t replies, redisReplyObjectFunctions *functions);

/* What reply functions answer where there is nothing to keep. */
#define HAND_TAKEN ((void *)it)
/* The shared parts of reply functions. */
void *hand_take_array(const redisReadTask *task, hand_count count);
void *hand_take_integer(const redisReadTask *task, long long value);
void *hand_take_null(const redisReadTask *task);
void hand_keep(void *made);
bool hand_is_error(hand *it, const redisReadTask *task, const char *text, size_t size);

/* Formatting. PUT_LITERAL(it, "*1\r\n$5\r\nMULTI\r\n") */
char *hand_room(hand *it, size_t size);
void hand_put(hand *it, const char *data, size_t size);
void hand_put_argument(hand *it, const char *data, size_t size);
void hand_put_double(hand *it, double value); /* an argument */
#define PUT_LITERAL(it, text) hand_put(it, text, sizeof(text) - 1)

size_t hand_double_text(double value, char text[32]);
void hand_load_script(hand *it, const char *script, char sha[41]);

/* A part of a key may hold anything but what separates keys and what patterns mean: the engineer
 * refuses those names instead of escaping them. */
void hand_check_segment(const char *text, size_t size);

/* "Episode:project:id", the key of a record, made in `key`. */
#define HAND_KEY_SIZE 256
typedef struct hand_key {
    char text[HAND_KEY_SIZE];
    size_t size;
} hand_key;
void hand_make_key(hand_key *key, const char *model, const char *second, size_t second_size,
                   const char *third, size_t third_size);

/* Text that lives as long as the rows. */
char *hand_text(hand *it, const char *data, size_t size);
void hand_forget_rows(hand *it);

#endif
