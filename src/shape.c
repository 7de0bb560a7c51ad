#include "shape.h"

#include "digest.h"
#include "wire.h"

#include <stdio.h>
#include <string.h>

/* A shape is, byte by byte:
 *
 *     number of keys
 *     for each expectation: its kind as a letter, K, and
 *         'f' (field): reference of the name, reference of the value;  'l' (lacks): of the name
 *         'u' (unique): how many members, reference of each
 *     '!'
 *     for each command: its place in `commands`, how many keys, K..., how many arguments, reference of each
 *
 * K is an index into KEYS. A reference is NEXT for the next of ARGV, or K of the key whose text it is, so that
 * the key need not be sent twice. */
#define NEXT 0

typedef enum key_type {
    NO_TYPE,
    HASH,
    SET,
    ZSET
} key_type;

/* How it is asked whether a key holds a type, or nothing: by a command that any other type makes fail, and
 * that builds no table in the script. */
static const struct {
    const char *name, *command, *rest;
} types[] = {
    [HASH] = { "hash", "HLEN", "" },
    [SET] = { "set", "SCARD", "" },
    [ZSET] = { "zset", "ZSCORE", ",''" },
};

#define NO_MEMBER  SHAPE_ARGUMENTS
#define WORD(name) name, sizeof(name) - 1
static const struct {
    const char *name;
    size_t size;
    key_type type;
    size_t member; /* which argument behind the keys names a record; NO_MEMBER: none */
} commands[] = {
    { WORD("HSET"), HASH, 0 },
    { WORD("HSETNX"), HASH, 0 },
    { WORD("HDEL"), HASH, 0 },
    { WORD("SADD"), SET, 0 },
    { WORD("SREM"), SET, 0 },
    { WORD("ZADD"), ZSET, 1 },
    { WORD("ZREM"), ZSET, 0 },
    { WORD("DEL"), HASH, NO_MEMBER },
    { WORD("RENAME"), HASH, NO_MEMBER },
    { WORD("EXPIRE"), NO_TYPE, NO_MEMBER },
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

/* ----- From a plan ---------------------------------------------------------------------------- */

static void put(write_shape *it, size_t byte) {
    if (it->size < SHAPE_SIZE)
        it->bytes[it->size] = (unsigned char)byte;
    it->size++;
}

/* Which key a text is, from 1; 0: none. */
static size_t find_key(const write_shape *it, popoto_text text) {
    for (size_t i = 0; i < it->key_count; i++)
        if (it->keys[i].size == text.size &&
            (it->keys[i].data == text.data || memcmp(it->keys[i].data, text.data, text.size) == 0))
            return i + 1;
    return 0;
}

/* False: there are too many. */
static bool put_key(write_shape *it, popoto_text key) {
    size_t index = find_key(it, key);
    if (index == 0) {
        if (it->key_count == SHAPE_KEYS)
            return false;
        it->keys[it->key_count++] = key;
        index = it->key_count;
    }
    put(it, index);
    return true;
}

static bool put_argument(write_shape *it, popoto_text text, bool may_be_key) {
    size_t key = may_be_key ? find_key(it, text) : 0;
    put(it, key == 0 ? NEXT : key);
    if (key != 0)
        return true;
    if (it->argument_count == SHAPE_ARGUMENTS)
        return false;
    it->arguments[it->argument_count++] = text;
    return true;
}

static bool put_expectation(write_shape *it, const expectation *what) {
    static const char letters[] = {
        [EXPECT_ABSENT] = 'a', [EXPECT_PRESENT] = 'p', [EXPECT_FIELD] = 'f', [EXPECT_UNIQUE] = 'u'
    };
    bool lacks = what->kind == EXPECT_FIELD && what->value.data == NULL;
    put(it, (size_t)(lacks ? 'l' : letters[what->kind]));
    bool fits = put_key(it, what->key);
    if (what->kind == EXPECT_FIELD)
        fits = fits && put_argument(it, what->field, false) &&
               (lacks || put_argument(it, what->value, false));
    if (what->kind != EXPECT_UNIQUE)
        return fits;
    put(it, what->member_count);
    for (size_t i = 0; fits && i < what->member_count; i++)
        fits = put_argument(it, what->members[i], true);
    return fits && what->member_count < SHAPE_ARGUMENTS;
}

static bool put_command(write_shape *it, const command *what) {
    popoto_text name = what->arguments[0];
    size_t index = 0, rest = what->count - 1 - what->key_count;
    while (index < COMMAND_COUNT && (commands[index].size != name.size ||
                                     memcmp(commands[index].name, name.data, name.size) != 0))
        index++;
    if (index == COMMAND_COUNT || rest > SHAPE_ARGUMENTS)
        return false;
    put(it, index);
    put(it, what->key_count);
    bool fits = true;
    for (size_t i = 0; fits && i < what->key_count; i++)
        fits = put_key(it, what->arguments[1 + i]);
    put(it, rest);
    /* What a record holds is never taken for a key, so that it does not make shapes of its own. */
    for (size_t i = 0; fits && i < rest; i++)
        fits =
            put_argument(it, what->arguments[1 + what->key_count + i], i == commands[index].member);
    return fits;
}

bool popoto__shape_of(const plan *it, write_shape *out) {
    out->size = out->key_count = out->argument_count = 0;
    put(out, 0);
    for (size_t i = 0; i < it->expectation_count; i++)
        if (!put_expectation(out, &it->expectations[i]))
            return false;
    put(out, '!');
    for (size_t i = 0; i < it->command_count; i++)
        if (!put_command(out, &it->commands[i]))
            return false;
    if (out->size > SHAPE_SIZE || it->command_count == 0)
        return false;
    out->bytes[0] = (unsigned char)out->key_count;
    out->digest = popoto__digest(out->bytes, out->size);
    return true;
}

/* ----- To a script ---------------------------------------------------------------------------- */

/* Where a script's making is in its shape. */
typedef struct maker {
    const unsigned char *at;
    size_t arguments; /* of ARGV so far */
    buffer *out;
} maker;

/* `format` has one %d. */
static void say(buffer *out, const char *format, int number) {
    char text[256];
    snprintf(text, sizeof text, format, number);
    popoto__buffer_append_text(out, text);
}

static void say_argument(maker *it) {
    int key = *it->at++;
    say(it->out, key == NEXT ? "A[%d]" : "K[%d]", key == NEXT ? (int)++it->arguments : key);
}

static void say_probe(buffer *out, int key, key_type type) {
    char text[64];
    snprintf(text, sizeof text, "=pcall('%s',K[%d]%s)\n", types[type].command, key,
             types[type].rest);
    popoto__buffer_append_text(out, text);
}

typedef struct one_command {
    size_t index; /* in `commands` */
    const unsigned char *keys;
    size_t key_count;
    const unsigned char *rest;
    size_t rest_count;
    size_t first_argument; /* of ARGV */
} one_command;

static one_command read_command(const unsigned char **at, size_t *arguments) {
    one_command it = { .index = (*at)[0], .key_count = (*at)[1], .keys = *at + 2 };
    it.rest_count = it.keys[it.key_count];
    it.rest = it.keys + it.key_count + 1;
    it.first_argument = *arguments;
    for (size_t i = 0; i < it.rest_count; i++)
        *arguments += it.rest[i] == NEXT;
    *at = it.rest + it.rest_count;
    return it;
}

/* An expectation's check: what does not hold is listed as `commit` lists it. */
static void say_refusal(maker *it, int number, const char *found) {
    say(it->out, "found=found or {} found[#found+1]=%d ", number);
    popoto__buffer_append_text(it->out, "found[#found+1]=");
    popoto__buffer_append_text(it->out, found);
    popoto__buffer_append_text(it->out, " end\n");
}

/* For a wrong type of a key, the sentence of `commit`; other errors as they are. */
static void say_wrong_type(buffer *out, const char *result, int key, key_type type) {
    char text[512];
    snprintf(
        text, sizeof text,
        "if type(%s)=='table' then local type=call('TYPE',K[%d]).ok\n"
        "if type=='%s' or type=='none' then return %s end\n"
        "return redis.error_reply('WRONGTYPE '..string.sub(K[%d],1,200)..' holds a '..type..', not "
        "a %s') end\n",
        result, key, types[type].name, result, key, types[type].name);
    popoto__buffer_append_text(out, text);
}

static void say_expectations(maker *it, bool *settled, const key_type *wanted) {
    for (int number = 1; *it->at != '!'; number++) {
        char kind = (char)*it->at++;
        int key = *it->at++;
        buffer *out = it->out;
        switch (kind) {
        case 'a':
            say(out, "if call('EXISTS',K[%d])==1 then ", key);
            say_refusal(it, number, "false");
            settled[key] = true; /* there is nothing, so nothing of another type */
            break;
        case 'p':
            /* A hash that has no field is not there. */
            if (wanted[key] == HASH)
                say(out, "if t%d==0 then ", key);
            else
                say(out, "if call('EXISTS',K[%d])==0 then ", key);
            say_refusal(it, number, "false");
            break;
        case 'f':
        case 'l':
            say(out, "is=call('HGET',K[%d],", key);
            say_argument(it);
            popoto__buffer_append_text(out, kind == 'f' ? ") if is~=" : ") if is");
            if (kind == 'f')
                say_argument(it);
            popoto__buffer_append_text(out, " then ");
            say_refusal(it, number, "is");
            break;
        default:
            say(out, "for _,m in ipairs(call('SMEMBERS',K[%d])) do if true", key);
            settled[key] = true; /* a key of another type fails here */
            for (size_t i = *it->at++; i > 0; i--) {
                popoto__buffer_append_text(out, " and m~=");
                say_argument(it);
            }
            popoto__buffer_append_text(out, " then ");
            say_refusal(it, number, "m");
            popoto__buffer_append_text(out, "end\n");
        }
    }
    popoto__buffer_append_text(it->out, "if found then return found end\n");
}

static void say_command(buffer *out, const one_command *what, const char *by) {
    maker it = { .at = what->rest, .arguments = what->first_argument, .out = out };
    popoto__buffer_append_text(out, by);
    popoto__buffer_append_text(out, "('");
    popoto__buffer_append_text(out, commands[what->index].name);
    popoto__buffer_append_text(out, "'");
    for (size_t i = 0; i < what->key_count; i++)
        say(out, ",K[%d]", what->keys[i]);
    for (size_t i = 0; i < what->rest_count; i++) {
        popoto__buffer_append_text(out, ",");
        say_argument(&it);
    }
    popoto__buffer_append_text(out, ")\n");
}

/* Types are asked before anything is written, because what a script did before an error stays done; but for the
 * key that is written to first, whose own command fails and leaves nothing. That is the first one whose key
 * was not looked at anyway. Commands on other keys may go before it or after. */
void popoto__shape_script(const write_shape *it, buffer *out) {
    key_type wanted[SHAPE_KEYS + 1] = { NO_TYPE };
    bool settled[SHAPE_KEYS + 1] = { false };
    bool present[SHAPE_KEYS + 1] = { false };
    const unsigned char *end = it->bytes + it->size, *start = it->bytes + 1;
    size_t arguments = 0;
    while (*start != '!') {
        unsigned char kind = *start++, key = *start++;
        present[key] = present[key] || kind == 'p';
        size_t references = kind == 'f' ? 2 : kind == 'l' ? 1 : kind == 'u' ? *start++ : 0;
        for (; references > 0; references--)
            arguments += *start++ == NEXT;
    }
    start++;
    size_t before = arguments;
    for (const unsigned char *at = start; at < end;) {
        one_command what = read_command(&at, &arguments);
        for (size_t i = 0; i < what.key_count; i++)
            if (commands[what.index].type != NO_TYPE)
                wanted[what.keys[i]] = commands[what.index].type;
    }
    popoto__buffer_append_text(
        out, "local K,A,call,pcall,found,is=KEYS,ARGV,redis.call,redis.pcall,nil,nil\n");
    for (int key = 1; key <= (int)it->key_count; key++)
        if (present[key] && wanted[key] == HASH) {
            say(out, "local t%d", key);
            say_probe(out, key, HASH);
        }
    maker expectations = { .at = it->bytes + 1, .out = out };
    say_expectations(&expectations, settled, wanted);

    const unsigned char *first = NULL;
    arguments = before;
    for (const unsigned char *at = start; at < end && first == NULL;) {
        const unsigned char *here = at;
        one_command what = read_command(&at, &arguments);
        int key = what.keys[0];
        if (what.key_count == 1 && wanted[key] != NO_TYPE && !settled[key] && !present[key]) {
            first = here;
            settled[key] = true;
        }
    }
    for (int key = 1; key <= (int)it->key_count; key++) {
        char result[24];
        if (settled[key] || wanted[key] == NO_TYPE)
            continue;
        bool known = present[key] && wanted[key] == HASH;
        snprintf(result, sizeof result, known ? "t%d" : "is", key);
        if (!known) {
            popoto__buffer_append_text(out, "is");
            say_probe(out, key, wanted[key]);
        }
        say_wrong_type(out, result, key, wanted[key]);
    }
    if (first != NULL) {
        const unsigned char *at = start;
        arguments = before;
        one_command what = read_command(&at, &arguments);
        while (what.keys != first + 2)
            what = read_command(&at, &arguments);
        say_command(out, &what, "is=pcall");
        say_wrong_type(out, "is", what.keys[0], wanted[what.keys[0]]);
    }
    arguments = before;
    for (const unsigned char *at = start; at < end;) {
        const unsigned char *here = at;
        one_command what = read_command(&at, &arguments);
        if (here != first)
            say_command(out, &what, "call");
    }
    popoto__buffer_append_text(out, "return 1\n");
}

/* ----- Calls ---------------------------------------------------------------------------------- */

#define CALL "$7\r\nEVALSHA\r\n"

size_t popoto__shape_call_size(const shape_script *script) {
    return 4 * WIRE_HEAD + sizeof CALL + script->sha_size;
}

char *popoto__shape_begin_call(char *at, const shape_script *script, const popoto_text *keys,
                               size_t key_count, size_t arguments) {
    char number[WIRE_HEAD];
    size_t digits = (size_t)(popoto__wire_number(number, key_count) - number);
    at = popoto__wire_head(at, '*', 3 + key_count + arguments);
    at = popoto__wire_put(at, CALL, sizeof CALL - 1);
    at = popoto__wire_argument(at, (popoto_text){ script->sha, script->sha_size });
    at = popoto__wire_argument(at, (popoto_text){ number, digits });
    for (size_t i = 0; i < key_count; i++)
        at = popoto__wire_argument(at, keys[i]);
    return at;
}

void popoto__shape_render(const write_shape *it, const shape_script *script, buffer *out) {
    size_t start = out->size, size = popoto__shape_call_size(script);
    for (size_t i = 0; i < it->key_count; i++)
        size += WIRE_HEAD + it->keys[i].size;
    for (size_t i = 0; i < it->argument_count; i++)
        size += WIRE_HEAD + it->arguments[i].size;
    char *room = popoto__buffer_grow(out, size), *at = room;
    if (room == NULL)
        return;
    at = popoto__shape_begin_call(at, script, it->keys, it->key_count, it->argument_count);
    for (size_t i = 0; i < it->argument_count; i++)
        at = popoto__wire_argument(at, it->arguments[i]);
    out->size = start + (size_t)(at - room);
}

shape_script *popoto__shape_find(shape_script *all, const write_shape *it) {
    for (size_t i = 0; i < 8; i++) {
        shape_script *at = &all[(it->digest + i) % SHAPE_SCRIPTS];
        if (at->size == 0) {
            memcpy(at->bytes, it->bytes, it->size);
            at->size = it->size;
            return at;
        }
        if (at->size == it->size && memcmp(at->bytes, it->bytes, it->size) == 0)
            return at;
    }
    return NULL;
}
