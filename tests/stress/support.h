/* support - what the stress programs share: seeds and figures, raw Redis, a checker that derives from the
 * records what every index must hold, and a proxy that cuts connections.
 *
 *     int main(int argc, char **argv) {
 *         stress_begin(argc, argv, "races");
 *         stress_check(lost == 0, "%d updates were lost", lost);
 *         return stress_end();     // prints "N passed, N failed"
 *     }
 *
 * Arguments: `short` for a form of a few seconds (or POPOTO_STRESS=short), a number for the seed (or
 * POPOTO_SEED), which is printed and makes a run come out the same as far as the scheduler allows.
 *
 * The checker is written without anything of src/: it has its own few lines of MessagePack and of keys,
 * so that a mistake there is not its own. It knows only names without special characters. */
#ifndef POPOTO_STRESS_SUPPORT_H
#define POPOTO_STRESS_SUPPORT_H

#include "server.h"

#include <popoto.h>

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define STRESS_PRINTF(format_, first_) __attribute__((format(printf, format_, first_)))
#else
#define STRESS_PRINTF(format_, first_)
#endif

void stress_begin(int argc, char **argv, const char *what);
bool stress_is_short(void);
/* The first in the long form, the second in the short one. */
long stress_amount(long in_long, long in_short);
uint64_t stress_seed(void);
/* One thing that was tried. What is wrong is printed, up to a hundred lines. */
bool stress_check(bool holds, const char *format, ...) STRESS_PRINTF(2, 3);
/* A line of figures. */
void stress_say(const char *format, ...) STRESS_PRINTF(1, 2);
int stress_end(void);
/* There is nothing left to test. */
_Noreturn void stress_give_up(const char *what);

double stress_seconds(void);
void stress_sleep(double seconds);

/* Numbers that follow from a seed. */
typedef struct dice {
    uint64_t state;
} dice;
dice dice_of(uint64_t seed, uint64_t stream);
uint64_t dice_next(dice *it);
unsigned dice_below(dice *it, unsigned limit);
double dice_part(dice *it); /* 0 to 1 */

/* ----- Raw Redis ------------------------------------------------------------------------------ */

redisContext *raw_connect(const char *socket);
/* Never NULL, never an error reply: those end the program. */
redisReply *raw_ask(redisContext *it, const char *format, ...);
void raw_do(redisContext *it, const char *format, ...);

/* ----- The checker ---------------------------------------------------------------------------- */

/* What the checker is told of a model; lists of names end with NULL, partitions are "a,b" or NULL. */
typedef struct checked_field {
    const char *name;
    const char *partition_by;
} checked_field;

typedef struct checked_model {
    const char *name;
    const char *keys[4];     /* in the order of the key's segments, ends with NULL */
    const char *unique;      /* the UNIQUE_KEY among them, or NULL */
    const char *automatic;   /* the AUTO_KEY, which has no index, or NULL */
    checked_field sorted[4]; /* ends with a name NULL */
    checked_field confidence[4];
} checked_model;

/* How many things are wrong with the database, each printed. Everything in it must belong to these
 * models. *records is the number of records, where not NULL. */
size_t check_indexes(redisContext *it, const checked_model *models, size_t count, size_t *records);

/* Called for each confidence entry: the record's value of `named`, and its evidence. */
typedef void evidence_callback(void *context, const char *value, int64_t evidence);
/* All entries of all companion hashes of a field. */
void check_evidence(redisContext *it, const checked_model *model, const char *field,
                    const char *named, evidence_callback *callback, void *context);

/* The value of a text field, or of a float as its shortest text; false: there is none. */
bool raw_field(redisContext *it, const char *key, const char *field, char *out, size_t size);

/* ----- The proxy ------------------------------------------------------------------------------ */

typedef enum direction {
    TO_SERVER,
    TO_CLIENT,
} direction;

typedef struct proxy proxy;
proxy *proxy_start(const char *server_socket);
void proxy_stop(proxy *it);
const char *proxy_url(const proxy *it);
/* From now on count the bytes; cut the connection when `after` of them went in that direction. It is cut
 * once; what connects afterwards is let through. The server has done what it will do, and closed its
 * end, before the client learns of the cut. */
void proxy_arm(proxy *it, direction which, size_t after);
/* Stop counting. Whether it was cut. */
bool proxy_disarm(proxy *it);
/* The bytes that went in a direction since it was armed. */
size_t proxy_bytes(proxy *it, direction which);

#endif
