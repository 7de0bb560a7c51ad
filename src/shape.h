/* shape - pure: a script made for one shape of write. The script `commit` reads from its arguments what it is to
 * check and to run; most writes of a program differ in nothing but keys and bytes, and a script with the
 * checks and commands written out does the same in a third of the time. Knows no model, touches no
 * socket. */
#ifndef POPOTO_SHAPE_H
#define POPOTO_SHAPE_H

#include "plan.h"

/* What is larger has no script of its own. Each number is one byte of the shape. */
#define SHAPE_SIZE      128
#define SHAPE_KEYS      24
#define SHAPE_ARGUMENTS 64

/* The shape of a plan, and what fills it: equal bytes, equal script. */
typedef struct write_shape {
    unsigned char bytes[SHAPE_SIZE];
    size_t size;
    uint64_t digest;
    popoto_text keys[SHAPE_KEYS];
    size_t key_count;
    popoto_text arguments[SHAPE_ARGUMENTS];
    size_t argument_count;
} write_shape;

/* False: this plan has no script of its own. */
bool popoto__shape_of(const plan *it, write_shape *out);
/* Append the script. It answers 1 where `commit` answers OK, refusals as that does, and errors alike. */
void popoto__shape_script(const write_shape *it, buffer *out);
/* The scripts that a server was made to know, by shape: so many at most, the first that come. */
#define SHAPE_SCRIPTS 64
typedef struct shape_script {
    unsigned char bytes[SHAPE_SIZE];
    size_t size;  /* 0: free */
    char sha[48]; /* empty: not loaded yet */
    size_t sha_size;
    bool is_loading;
} shape_script;
/* The place of a shape, taken for it if need be. NULL: there is none left near where it belongs. */
shape_script *popoto__shape_find(shape_script *all, const write_shape *it);

/* Append EVALSHA of a script that the server knows: one reply. */
void popoto__shape_render(const write_shape *it, const shape_script *script, buffer *out);
/* The beginning of such a call, where there is room for so much and WIRE_HEAD with each key: EVALSHA, the script, the
 * keys; so many arguments follow. */
size_t popoto__shape_call_size(const shape_script *script);
char *popoto__shape_begin_call(char *at, const shape_script *script, const popoto_text *keys,
                               size_t key_count, size_t arguments);

#endif
