#include "plan.h"

#include <stdio.h>
#include <string.h>

/* ----- The scripts ---------------------------------------------------------------------------- */

/* Arguments of both scripts, in ARGV (K is an index into KEYS):
 *
 *     number of expectations
 *     for each:  absent K | present K | field K name bytes | lacks K name |
 *                    unique K how many members member...
 *     commit:      for each command:  name, how many arguments follow, how many of them are keys,
 *                                     K..., argument...
 *     confidence:  K of the companion hash, member, signal, initial confidence, evidence cap;
 *                  or nothing, only to ask
 *
 * The answer is OK (commit) or the new entry (confidence), or NOTHING where there was no command or no
 * entry for MERGE to move; or, if some expectation does not hold, a flat list: expectation (from 1), what
 * was found (false for nothing), expectation, ...
 *
 * `commit` checks the type of every key that it will write to before it writes to the first, because
 * what a script did before an error stays done. An error is one line, and names no more of a key than that
 * can hold. MOVE is no command of the server's: it moves a hash's entry to another hash and name, if it is
 * there. */
#define SCRIPT_EXPECTATIONS                                                           \
    "local call, at, found = redis.call, 2, {}\n"                                     \
    "local function key_at(i) return KEYS[tonumber(ARGV[i])] end\n"                   \
    "local function short(key) return string.sub(key, 1, 200) end\n"                  \
    "local function refuse(i, what)\n"                                                \
    "  found[#found + 1] = i\n"                                                       \
    "  found[#found + 1] = what\n"                                                    \
    "end\n"                                                                           \
    "for i = 1, tonumber(ARGV[1]) do\n"                                               \
    "  local kind, key = ARGV[at], key_at(at + 1)\n"                                  \
    "  if kind == 'absent' then\n"                                                    \
    "    if call('EXISTS', key) == 1 then refuse(i, false) end\n"                     \
    "    at = at + 2\n"                                                               \
    "  elseif kind == 'present' then\n"                                               \
    "    if call('EXISTS', key) == 0 then refuse(i, false) end\n"                     \
    "    at = at + 2\n"                                                               \
    "  elseif kind == 'field' then\n"                                                 \
    "    local is = call('HGET', key, ARGV[at + 2])\n"                                \
    "    if is ~= ARGV[at + 3] then refuse(i, is) end\n"                              \
    "    at = at + 4\n"                                                               \
    "  elseif kind == 'lacks' then\n"                                                 \
    "    local is = call('HGET', key, ARGV[at + 2])\n"                                \
    "    if is then refuse(i, is) end\n"                                              \
    "    at = at + 3\n"                                                               \
    "  else\n"                                                                        \
    "    local allowed = {}\n"                                                        \
    "    for m = 1, tonumber(ARGV[at + 2]) do allowed[ARGV[at + 2 + m]] = true end\n" \
    "    for _, member in ipairs(call('SMEMBERS', key)) do\n"                         \
    "      if not allowed[member] then refuse(i, member) end\n"                       \
    "    end\n"                                                                       \
    "    at = at + 3 + tonumber(ARGV[at + 2])\n"                                      \
    "  end\n"                                                                         \
    "end\n"                                                                           \
    "if #found > 0 then return found end\n"

/* A confidence entry as its four figures, or nil (for false too); and two entries of one record as one: each is the mean
 * of the prior and its signals (see popoto_confidence), so the sum of the signals is known from it, and
 * the prior counts once. Counts above the cap weigh as the cap, which is then an approximation. */
#define SCRIPT_ENTRIES                                                                            \
    "local function figure(is, item, default)\n"                                                  \
    "  if is == nil then is = item end\n"                                                         \
    "  if is == nil then is = default end\n"                                                      \
    "  return type(is) == 'number' and is - is == 0 and is < 2 ^ 63 and is\n"                     \
    "end\n"                                                                                       \
    "local function alone(ok, ...)\n"                                                             \
    "  return ok and select('#', ...) == 1 and type((...)) == 'table' and (...)\n"                \
    "end\n"                                                                                       \
    "local function read_entry(bytes, initial)\n"                                                 \
    "  local is = alone(pcall(cmsgpack.unpack, bytes))\n"                                         \
    "  if not is or #is > 4 then return nil end\n"                                                \
    "  local it = {figure(is.confidence, is[1], initial), figure(is.evidence_count, is[2], 0),\n" \
    "    figure(is.corroborations, is[3], 0), figure(is.contradictions, is[4], 0)}\n"             \
    "  if it[1] and it[2] and it[3] and it[4] then return it end\n"                               \
    "end\n"                                                                                       \
    "local function pack_entry(it)\n"                                                             \
    "  return cmsgpack.pack({confidence = math.max(0, math.min(1, it[1])),\n"                     \
    "    evidence_count = it[2], corroborations = it[3], contradictions = it[4]})\n"              \
    "end\n"                                                                                       \
    "local function merge(a, b, initial, cap)\n"                                                  \
    "  if a[2] == 0 then return pack_entry(b) end\n"                                              \
    "  if b[2] == 0 then return pack_entry(a) end\n"                                              \
    "  local n, m = math.min(a[2], cap), math.min(b[2], cap)\n"                                   \
    "  return pack_entry({(a[1] * (n + 1) + b[1] * (m + 1) - initial) / (n + m + 1),\n"           \
    "    a[2] + b[2], a[3] + b[3], a[4] + b[4]})\n"                                               \
    "end\n"

/* Whether this user may run a command on a key. A server that answers at all wants to be asked with as many
 * arguments as the command takes (Redis 8). */
#define SCRIPT_MAY                                                                        \
    "local check, more = redis.acl_check_cmd,\n"                                          \
    "  {DEL = 0, PERSIST = 0, EXISTS = 0, TYPE = 0, HLEN = 0, SCARD = 0, SMEMBERS = 0,\n" \
    "   HSET = 2, HSETNX = 2, ZADD = 2}\n"                                                \
    "local function may(name, key)\n"                                                     \
    "  local count = more[name] or 1\n"                                                   \
    "  if count == 0 then return check(name, key) end\n"                                  \
    "  if count == 1 then return check(name, key, key) end\n"                             \
    "  return check(name, key, key, key)\n"                                               \
    "end\n"

/* What stands before the commands for a user who may not do everything: each command is asked about before
 * the first one runs. It costs a fifth of the script's time, so that only those pay it who need it. */
#define SCRIPT_PERMISSIONS                                   \
    SCRIPT_MAY                                               \
    "local asked, reason = {}, nil\n"                        \
    "local function denied(name, key)\n"                     \
    "  if asked[name] or not check then return end\n"        \
    "  asked[name] = true\n"                                 \
    "  if name == 'MOVE' then\n"                             \
    "    denied('HGET', key)\n"                              \
    "    denied('HSET', key)\n"                              \
    "    denied('HDEL', key)\n"                              \
    "  elseif not may(name, key) then\n"                     \
    "    reason = 'NOPERM this user may not run ' .. name\n" \
    "  end\n"                                                \
    "end\n"
#define SCRIPT_NO_PERMISSIONS "local denied, reason\n"

#define SCRIPT_COMMANDS                                                                           \
    "local types = {HSET = 'hash', HSETNX = 'hash', HDEL = 'hash', MOVE = 'hash',\n"              \
    "  DEL = 'hash', RENAME = 'hash', SADD = 'set',\n"                                            \
    "  SREM = 'set', ZADD = 'zset', ZREM = 'zset'}\n"                                             \
    "local first, outcome = at, at <= #ARGV and 'OK' or 'NOTHING'\n"                              \
    "while at <= #ARGV do\n"                                                                      \
    "  local want = types[ARGV[at]]\n"                                                            \
    "  if denied then denied(ARGV[at], key_at(at + 3)) end\n"                                     \
    "  if want then\n"                                                                            \
    "    for k = 1, tonumber(ARGV[at + 2]) do\n"                                                  \
    "      local key = key_at(at + 2 + k)\n"                                                      \
    "      local is = call('TYPE', key).ok\n"                                                     \
    "      if is ~= want and is ~= 'none' then\n"                                                 \
    "        return redis.error_reply('WRONGTYPE ' .. short(key) .. ' holds a ' .. is .. ', not " \
    "a ' .. "                                                                                     \
    "want)\n"                                                                                     \
    "      end\n"                                                                                 \
    "    end\n"                                                                                   \
    "  end\n"                                                                                     \
    "  at = at + 2 + tonumber(ARGV[at + 1])\n"                                                    \
    "end\n"                                                                                       \
    "if reason then return redis.error_reply(reason) end\n"                                       \
    "at = first\n"                                                                                \
    "while at <= #ARGV do\n"                                                                      \
    "  local name, count, keys = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])\n"      \
    "  local key = key_at(at + 3)\n"                                                              \
    "  local rest, last = at + 3 + keys, at + 1 + count\n"                                        \
    "  if name == 'MOVE' then\n"                                                                  \
    "    local to = key_at(at + 4)\n"                                                             \
    "    local entry = call('HGET', key, ARGV[rest])\n"                                           \
    "    if entry then\n"                                                                         \
    "      call('HSET', to, ARGV[rest + 1], entry)\n"                                             \
    "      call('HDEL', key, ARGV[rest])\n"                                                       \
    "    end\n"                                                                                   \
    "  elseif keys == 2 then\n"                                                                   \
    "    call(name, key, key_at(at + 4), unpack(ARGV, rest, last))\n"                             \
    "  else\n"                                                                                    \
    "    call(name, key, unpack(ARGV, rest, last))\n"                                             \
    "  end\n"                                                                                     \
    "  at = at + 2 + count\n"                                                                     \
    "end\n"                                                                                       \
    "return redis.status_reply(outcome)\n"

static const char *const scripts[SCRIPT_COUNT] = {
    [SCRIPT_COMMIT] = SCRIPT_EXPECTATIONS SCRIPT_NO_PERMISSIONS SCRIPT_COMMANDS,
    [SCRIPT_COMMIT_ASKING] = SCRIPT_EXPECTATIONS SCRIPT_PERMISSIONS SCRIPT_COMMANDS,

    /* One MERGE instead of commands: see popoto__plan_merge. */
    [SCRIPT_MERGE] = SCRIPT_EXPECTATIONS SCRIPT_ENTRIES
    "if at > #ARGV then return redis.status_reply('NOTHING') end\n"
    "local key, to, may = key_at(at + 3), key_at(at + 4), redis.acl_check_cmd\n"
    "local member, initial, cap = ARGV[at + 5], tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])\n"
    "if may and not (may('HSET', to, member, '') and may('HDEL', key, member)) then\n"
    "  return redis.error_reply('NOPERM this user may not run HSET and HDEL')\n"
    "end\n"
    "local here, there = call('HGET', key, member), call('HGET', to, member)\n"
    "local a, b = read_entry(here, initial), read_entry(there, initial)\n"
    "if (here and not a) or (there and not b) then\n"
    "  return redis.error_reply('CORRUPTENTRY in ' .. short(here and not a and key or to))\n"
    "end\n"
    "if not a then return redis.status_reply('NOTHING') end\n"
    "call('HSET', to, member, b and merge(a, b, initial, cap) or here)\n"
    "call('HDEL', key, member)\n"
    "return redis.status_reply('OK')\n",

    /* Which of the above a user needs; and whether MULTI and EXEC are theirs. Before Redis 7.0 nobody
     * can say, and all is believed to be allowed. */
    [SCRIPT_PERMITTED] =
        SCRIPT_MAY "local all, key = 1, 'x'\n"
                   "if not check then return 3 end\n"
                   "for _, name in ipairs({'HGET', 'HSET', 'HSETNX', 'HDEL', 'SADD', 'SREM', "
                   "'ZADD', 'ZREM', 'DEL',\n"
                   "    'RENAME', 'EXPIRE', 'EXISTS', 'TYPE', 'HLEN', 'SCARD', 'ZSCORE', "
                   "'SMEMBERS'}) do\n"
                   "  if not may(name, key) then all = 0 end\n"
                   "end\n"
                   "return all + (check('MULTI') and check('EXEC') and 2 or 0)\n",

    /* The rule is that of Popoto 1.10 (CAPPED_BAYESIAN_UPDATE_LUA); see popoto_confidence. */
    [SCRIPT_CONFIDENCE] = SCRIPT_EXPECTATIONS SCRIPT_ENTRIES
    "if at > #ARGV then return redis.status_reply('NOTHING') end\n"
    "local key, member = key_at(at), ARGV[at + 1]\n"
    "local signal, initial = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])\n"
    "local cap = tonumber(ARGV[at + 4])\n"
    "local bytes = call('HGET', key, member)\n"
    "local it = read_entry(bytes, initial)\n"
    "if bytes and not it then return redis.error_reply('CORRUPTENTRY in ' .. short(key)) end\n"
    "it = it or {initial, 0, 0, 0}\n"
    "local n = math.max(1, math.min(it[2] + 1, cap))\n"
    "local side = signal >= 0.5 and 3 or 4\n"
    "it[1] = it[1] + (signal - it[1]) / (n + 1)\n"
    "it[2] = it[2] + 1\n"
    "it[side] = it[side] + 1\n"
    "bytes = pack_entry(it)\n"
    "call('HSET', key, member, bytes)\n"
    "return bytes\n",
};

const char *popoto__script_text(script_id which) {
    return scripts[which];
}

/* ----- Plans, their making -------------------------------------------------------------------- */

void popoto__plan_init(plan *it, arena *memory) {
    *it = (plan){ .memory = memory };
}

/* One more place in an array that grows inside the arena; NULL (and it->failed) without memory. */
static void *grow(plan *it, void *items, size_t *room, size_t count, size_t size) {
    if (count < *room)
        return items;
    size_t wanted = *room ? *room * 2 : 16;
    void *bigger = popoto__arena_allocate(it->memory, wanted * size);
    if (bigger == NULL) {
        it->failed = true;
        return NULL;
    }
    if (count > 0)
        memcpy(bigger, items, count * size);
    *room = wanted;
    return bigger;
}

void popoto__plan_expect(plan *it, expectation what) {
    expectation *items =
        grow(it, it->expectations, &it->expectation_room, it->expectation_count, sizeof *items);
    if (items == NULL)
        return;
    it->expectations = items;
    items[it->expectation_count++] = what;
}

void popoto__plan_command(plan *it, const popoto_text *arguments, size_t count, size_t key_count) {
    command *items = grow(it, it->commands, &it->command_room, it->command_count, sizeof *items);
    popoto_text *copy = popoto__arena_allocate(it->memory, count * sizeof *copy);
    if (items == NULL || copy == NULL) {
        it->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        it->failed = it->failed || arguments[i].data == NULL;
        copy[i] = arguments[i];
    }
    it->commands = items;
    items[it->command_count++] = (command){ copy, count, key_count };
}

void popoto__plan_append(plan *it, const plan *more) {
    it->failed = it->failed || more->failed;
    for (size_t i = 0; i < more->expectation_count; i++)
        popoto__plan_expect(it, more->expectations[i]);
    for (size_t i = 0; i < more->command_count; i++)
        popoto__plan_command(it, more->commands[i].arguments, more->commands[i].count,
                             more->commands[i].key_count);
}

/* A command with one key: PLAN(plan, "SADD", key, member). */
#define PLAN(plan_, name_, ...)                                   \
    popoto__plan_command(                                         \
        plan_, (const popoto_text[]){ TEXT(name_), __VA_ARGS__ }, \
        sizeof((const popoto_text[]){ TEXT(name_), __VA_ARGS__ }) / sizeof(popoto_text), 1)

void popoto__plan_merge(plan *it, popoto_text from, popoto_text to, popoto_text member,
                        const field *about) {
    char text[CODEC_DOUBLE_SIZE], number[24];
    size_t size = popoto__codec_double_text(about->initial_confidence, text);
    int digits = snprintf(number, sizeof number, "%lld", (long long)about->evidence_cap);
    popoto_text initial = { popoto__arena_copy(it->memory, text, size), size };
    popoto_text cap = { popoto__arena_copy(it->memory, number, (size_t)digits), (size_t)digits };
    popoto__plan_command(it, (const popoto_text[]){ TEXT("MERGE"), from, to, member, initial, cap },
                         6, 2);
}

/* ----- Plans, rendered as the server's protocol ----------------------------------------------- */

static void render_command(const command *it, buffer *out) {
    popoto__request_begin(out, it->count);
    for (size_t i = 0; i < it->count; i++)
        popoto__request_argument(out, it->arguments[i].data, it->arguments[i].size);
}

size_t popoto__plan_render_commands(const plan *it, buffer *out) {
    for (size_t i = 0; i < it->command_count; i++)
        render_command(&it->commands[i], out);
    return it->command_count;
}

size_t popoto__plan_render_transaction(const plan *it, buffer *out) {
    popoto__request_begin(out, 1);
    popoto__request_text(out, "MULTI");
    size_t count = popoto__plan_render_commands(it, out);
    popoto__request_begin(out, 1);
    popoto__request_text(out, "EXEC");
    return count + 2;
}

/* The distinct keys of a plan, in order of first use. Plans have a few dozen at most, and the same key
 * is mostly the same pointer, so a linear search is the quick one. */
typedef struct key_list {
    popoto_text *keys;
    size_t count;
} key_list;

static size_t key_index(key_list *it, popoto_text key) {
    for (size_t i = 0; i < it->count; i++)
        if (it->keys[i].size == key.size &&
            (it->keys[i].data == key.data || memcmp(it->keys[i].data, key.data, key.size) == 0))
            return i + 1;
    it->keys[it->count++] = key;
    return it->count;
}

static bool list_keys(const plan *it, const popoto_text *extra, key_list *list) {
    size_t most = it->expectation_count + 2 * it->command_count + 1;
    list->count = 0;
    list->keys = popoto__arena_allocate(it->memory, most * sizeof *list->keys);
    if (list->keys == NULL)
        return false;
    for (size_t i = 0; i < it->expectation_count; i++)
        key_index(list, it->expectations[i].key);
    for (size_t i = 0; i < it->command_count; i++)
        for (size_t k = 1; k <= it->commands[i].key_count; k++)
            key_index(list, it->commands[i].arguments[k]);
    if (extra != NULL)
        key_index(list, *extra);
    return true;
}

static const struct {
    const char *word, *word_for_nothing;
    size_t texts, texts_for_nothing;
} expect_rules[] = {
    [EXPECT_ABSENT] = { "absent", "absent", 0, 0 },
    [EXPECT_PRESENT] = { "present", "present", 0, 0 },
    [EXPECT_FIELD] = { "field", "lacks", 2, 1 },
    [EXPECT_UNIQUE] = { "unique", "unique", 1, 1 }, /* and the members */
};

static size_t expectation_arguments(const expectation *it) {
    return 2 + it->member_count +
           (it->value.data == NULL ? expect_rules[it->kind].texts_for_nothing
                                   : expect_rules[it->kind].texts);
}

static void render_expectations(const plan *it, key_list *list, buffer *out) {
    popoto__request_integer(out, (int64_t)it->expectation_count);
    for (size_t i = 0; i < it->expectation_count; i++) {
        const expectation *what = &it->expectations[i];
        size_t texts = expectation_arguments(what) - 2 - what->member_count;
        popoto__request_text(out, what->value.data == NULL
                                      ? expect_rules[what->kind].word_for_nothing
                                      : expect_rules[what->kind].word);
        popoto__request_integer(out, (int64_t)key_index(list, what->key));
        if (what->kind == EXPECT_UNIQUE)
            popoto__request_integer(out, (int64_t)what->member_count);
        else if (texts > 0)
            popoto__request_argument(out, what->field.data, what->field.size);
        if (texts > 1)
            popoto__request_argument(out, what->value.data, what->value.size);
        for (size_t m = 0; m < what->member_count; m++)
            popoto__request_argument(out, what->members[m].data, what->members[m].size);
    }
}

#define SHA_SIZE 40 /* what is longer is the script itself */

/* EVALSHA sha, the number of keys and the keys; `arguments` is how many ARGVs will follow. */
static void render_evalsha(const key_list *list, popoto_text sha, size_t arguments, buffer *out) {
    popoto__request_begin(out, 3 + list->count + arguments);
    popoto__request_text(out, sha.size > SHA_SIZE ? "EVAL" : "EVALSHA");
    popoto__request_argument(out, sha.data, sha.size);
    popoto__request_integer(out, (int64_t)list->count);
    for (size_t i = 0; i < list->count; i++)
        popoto__request_argument(out, list->keys[i].data, list->keys[i].size);
}

static size_t count_expectation_arguments(const plan *it) {
    size_t count = 1;
    for (size_t i = 0; i < it->expectation_count; i++)
        count += expectation_arguments(&it->expectations[i]);
    return count;
}

void popoto__plan_render_commit(const plan *it, popoto_text sha, buffer *out) {
    key_list list;
    if (!list_keys(it, NULL, &list)) {
        out->failed = true;
        return;
    }
    size_t arguments = count_expectation_arguments(it);
    for (size_t i = 0; i < it->command_count; i++)
        arguments += 2 + it->commands[i].count;
    render_evalsha(&list, sha, arguments, out);
    render_expectations(it, &list, out);
    for (size_t i = 0; i < it->command_count; i++) {
        const command *what = &it->commands[i];
        popoto__request_argument(out, what->arguments[0].data, what->arguments[0].size);
        popoto__request_integer(out, (int64_t)what->count);
        popoto__request_integer(out, (int64_t)what->key_count);
        for (size_t k = 1; k <= what->key_count; k++)
            popoto__request_integer(out, (int64_t)key_index(&list, what->arguments[k]));
        for (size_t k = what->key_count + 1; k < what->count; k++)
            popoto__request_argument(out, what->arguments[k].data, what->arguments[k].size);
    }
}

void popoto__plan_render_confidence(const plan *it, const confidence_update *update,
                                    popoto_text sha, buffer *out) {
    key_list list;
    char number[CODEC_DOUBLE_SIZE];
    bool asks = update->hash.data == NULL;
    if (!list_keys(it, asks ? NULL : &update->hash, &list)) {
        out->failed = true;
        return;
    }
    render_evalsha(&list, sha, count_expectation_arguments(it) + (asks ? 0 : 5), out);
    render_expectations(it, &list, out);
    if (asks)
        return;
    popoto__request_integer(out, (int64_t)key_index(&list, update->hash));
    popoto__request_argument(out, update->member.data, update->member.size);
    popoto__request_argument(out, number, popoto__codec_double_text(update->signal, number));
    popoto__request_argument(out, number, popoto__codec_double_text(update->initial, number));
    popoto__request_integer(out, update->evidence_cap);
}

/* ----- Writes of records: what is known, and what must hold ----------------------------------- */

static bool is_named(const record_write *it, size_t field_index) {
    return it->named == NULL || it->named[field_index];
}

static popoto_text copied(arena *memory, const buffer *from, size_t start, size_t end) {
    return (popoto_text){ popoto__arena_copy(memory, from->data + start, end - start),
                          end - start };
}

/* The commonest values straight into the arena, with a NUL behind them like all. False: it is none of them. */
static bool encode_scalar(record_write *it, size_t i) {
    size_t size = popoto__codec_scalar_size(&it->values[i]);
    char *bytes = size == 0 ? NULL : popoto__arena_bytes(it->memory, size + 1);
    if (bytes == NULL || !popoto__codec_write_scalar(bytes, &it->values[i]))
        return false;
    it->encoded[i] = (popoto_text){ bytes, size };
    bytes[size] = '\0';
    return true;
}

static popoto_status encode_value(record_write *it, size_t i, failure *why) {
    const char *reason = NULL;
    buffer bytes;
    shown room;
    popoto_status status = POPOTO_OK;
    if (encode_scalar(it, i))
        return POPOTO_OK;
    popoto__buffer_init(&bytes, it->memory->allocator);
    bool written = popoto__codec_write(&bytes, &it->values[i], &reason);
    if (written && !bytes.failed)
        it->encoded[i] = copied(it->memory, &bytes, 0, bytes.size);
    else if (!written && !bytes.failed && !popoto__write_stores(it, i))
        it->stored[i].known = true; /* no guess either */
    else if (!written && !bytes.failed)
        status = popoto__fail(why, POPOTO_BAD_VALUE, "%s.%s = %s cannot be stored: %s",
                              it->of->name.data, it->of->fields[i].name,
                              popoto__show_value(&room, &it->values[i]), reason);
    if (bytes.failed || (written && it->encoded[i].data == NULL))
        status = popoto__fail_memory(why);
    popoto__buffer_free(&bytes);
    return status;
}

/* Room for the bytes of each field, encoded and found, if there is none yet. False: there is no memory. */
static bool make_room(record_write *it) {
    size_t count = it->of->field_count;
    if (it->stored == NULL)
        it->stored =
            popoto__arena_zeroed(it->memory, count, sizeof *it->stored + sizeof *it->encoded);
    if (it->stored != NULL)
        it->encoded = (popoto_text *)(void *)(it->stored + count);
    return it->stored != NULL;
}

bool popoto__plan_encode(record_write *it, size_t field_index) {
    failure ignored;
    return make_room(it) && encode_value(it, field_index, &ignored) == POPOTO_OK &&
           it->encoded[field_index].data != NULL;
}

/* The bytes that the record has in a field, as far as this attempt believes: what was found, else what
 * the object holds. */
static popoto_text believed(const record_write *it, size_t field_index) {
    return it->stored[field_index].known ? it->stored[field_index].bytes : it->encoded[field_index];
}

static popoto_status stored_value(const record_write *it, size_t field_index, popoto_value *value,
                                  failure *why) {
    const field *about = &it->of->fields[field_index];
    popoto_text bytes = believed(it, field_index);
    const char *reason = "the record has no such field";
    popoto_value given;
    *value = (popoto_value){ POPOTO_NULL, { 0 } };
    if (bytes.data != NULL &&
        popoto__codec_read(it->memory, bytes.data, bytes.size, &given, &reason)) {
        if (popoto__field_convert(about, &given, value) && value->type != POPOTO_NULL)
            return POPOTO_OK;
        reason = "it is of another type";
    }
    if (reason == CODEC_NO_MEMORY)
        return popoto__fail_memory(why);
    shown room;
    return popoto__fail(why, POPOTO_CORRUPT, "%s: the stored %s cannot be used: %s",
                        popoto__show(&room, it->old_key.data, it->old_key.size), about->name,
                        reason);
}

static bool entries_move(const record_write *it) {
    return it->moves_key || it->of->moves;
}

/* Whether the plan relies on what a field of the stored record holds: what places the record in an
 * index and is not told by its key; and the score of a sorted field that is not being stored although
 * its entry has to be written anew. */
static bool relies_on(const record_write *it, const field *about, bool entry_moves) {
    if (it->if_unchanged && it->stored[about->index].known)
        return true;
    if (it->pinned != NULL && it->pinned[about->index] && !about->is_key)
        return true;
    if (about->is_partition && !about->is_key)
        return true;
    return about->kind == POPOTO_KIND_SORTED && !is_named(it, about->index) && entry_moves;
}

/* Encoded is what is stored, and what tells the record's place where it is a first guess. */
popoto_status popoto__write_encode(record_write *it, failure *why) {
    if (it->is_encoded)
        return POPOTO_OK;
    popoto_status status = make_room(it) ? POPOTO_OK : popoto__fail_memory(why);
    bool moves = entries_move(it);
    for (size_t i = 0; i < it->of->field_count && status == POPOTO_OK; i++) {
        bool stores = popoto__write_stores(it, i);
        if (!stores && !relies_on(it, &it->of->fields[i], moves))
            continue;
        status = encode_value(it, i, why);
        /* The object may say nothing of what is not being stored. */
        if (!stores && it->values[i].type == POPOTO_NULL)
            it->stored[i].known = true;
    }
    it->is_encoded = status == POPOTO_OK;
    return status;
}

static bool same(popoto_text a, popoto_text b) {
    return a.size == b.size && (a.data == b.data || (a.data != NULL && b.data != NULL &&
                                                     memcmp(a.data, b.data, a.size) == 0));
}

popoto_status popoto__write_place(record_write *it, failure *why) {
    neighbour last = { NULL, NULL };
    if (it->last != NULL)
        last = (neighbour){ it->last->values, it->last->place.segments };
    return popoto__place_key(it->of, it->values, last, it->memory, &it->place, why);
}

popoto_status popoto__write_prepare(record_write *it, failure *why) {
    popoto_status status = POPOTO_OK;
    if (it->kind == WRITE_DELETE || it->kind == WRITE_TOUCH) {
        if (!same(it->place.key, it->old_key))
            it->place = (placement){ it->old_key, NULL };
        return popoto__write_encode(it, why);
    }
    if (it->place.key.data == NULL)
        status = popoto__write_place(it, why);
    if (status == POPOTO_OK && (it->of->moves || it->of->raw_partitions))
        status =
            popoto__place_partitions(it->of, it->values, it->named, it->memory, &it->place, why);
    if (status != POPOTO_OK)
        return status;
    if (it->kind != WRITE_REPLACE)
        it->old_key = it->place.key;
    it->moves_key = !same(it->old_key, it->place.key);
    return it->encodes_late ? POPOTO_OK : popoto__write_encode(it, why);
}

/* What the record's place was before this write: by its old key, and by what is stored. */
static popoto_status place_before(record_write *it, placement *before, failure *why) {
    if (!it->of->moves && it->place.segments != NULL && same(it->old_key, it->place.key)) {
        *before = it->place;
        return POPOTO_OK;
    }
    if (!popoto__placement_of_key(it->of, it->old_key, it->memory, before)) {
        shown room;
        if (before->segments == NULL)
            return popoto__fail_memory(why);
        return popoto__fail(why, POPOTO_BAD_ARGUMENT, "%s is no key of %s",
                            popoto__show(&room, it->old_key.data, it->old_key.size),
                            it->of->name.data);
    }
    for (size_t i = 0; i < it->of->field_count; i++) {
        const field *about = &it->of->fields[i];
        popoto_value value;
        if (!about->is_partition || about->is_key || believed(it, i).data == NULL)
            continue;
        popoto_status status = stored_value(it, i, &value, why);
        if (status == POPOTO_OK)
            status = popoto__placement_set(it->of, before, i, &value, it->memory, why);
        if (status != POPOTO_OK)
            return status;
    }
    return POPOTO_OK;
}

/* What its place will be: a partition field that is not being stored stays as it is. */
static popoto_status place_after(record_write *it, const placement *before, placement *after,
                                 failure *why) {
    *after = it->place;
    if (it->named == NULL || !it->of->moves)
        return POPOTO_OK;
    after->segments = popoto__arena_zeroed(it->memory, it->of->field_count, sizeof(popoto_text));
    if (after->segments == NULL)
        return popoto__fail_memory(why);
    for (size_t i = 0; i < it->of->field_count; i++) {
        const field *about = &it->of->fields[i];
        bool stays = about->is_partition && !about->is_key && !is_named(it, i);
        after->segments[i] = stays ? before->segments[i] : it->place.segments[i];
    }
    return POPOTO_OK;
}

bool popoto__partition_is_told(const field *about, const placement *where) {
    for (size_t i = 0; i < about->partition_count; i++)
        if (where->segments[about->partition[i]].data == NULL)
            return false;
    return true;
}

/* The key of a field's index for a placement; data NULL where the placement has no such partition
 * (the stored record lacks the field). */
static popoto_text index_of(plan *out, const record_write *it, const field *about,
                            const placement *place) {
    if (!popoto__partition_is_told(about, place))
        return (popoto_text){ NULL, 0 };
    popoto_text key = popoto__index_key(it->of, about, place->segments, out->memory);
    out->failed = out->failed || key.data == NULL;
    return key;
}

/* ----- Writes of records: the commands -------------------------------------------------------- */

static void plan_hash(const record_write *it, plan *out) {
    size_t count = 2;
    popoto_text *arguments =
        popoto__arena_allocate(out->memory, (2 + 2 * it->of->field_count) * sizeof *arguments);
    if (arguments == NULL) {
        out->failed = true;
        return;
    }
    arguments[0] = TEXT("HSET");
    arguments[1] = it->place.key;
    for (size_t i = 0; i < it->of->field_count; i++) {
        if (!popoto__write_stores(it, i))
            continue;
        arguments[count++] = (popoto_text){ it->of->fields[i].name, it->of->fields[i].name_size };
        arguments[count++] = it->encoded[i];
    }
    if (count > 2)
        popoto__plan_command(out, arguments, count, 1);
}

bool popoto__plan_score(const popoto_value *value, arena *memory, popoto_text *score) {
    const char *reason;
    double number;
    bool exact;
    if (!popoto__codec_score(value, &number, &exact, &reason))
        return false;
    char *text = popoto__arena_bytes(memory, CODEC_DOUBLE_SIZE);
    *score = (popoto_text){ text, text == NULL ? 0 : popoto__codec_double_text(number, text) };
    return text != NULL;
}

static popoto_status score_of(const record_write *it, const field *about, plan *out,
                              popoto_text *score, failure *why) {
    popoto_value value = it->values[about->index];
    const char *reason = NULL;
    double number;
    bool exact;
    if (!is_named(it, about->index)) {
        popoto_status status = stored_value(it, about->index, &value, why);
        if (status != POPOTO_OK)
            return status;
    }
    if (popoto__plan_score(&value, out->memory, score))
        return POPOTO_OK;
    if (!popoto__codec_score(&value, &number, &exact, &reason)) {
        shown room;
        return popoto__fail(why, POPOTO_BAD_VALUE, "%s.%s cannot be %s: %s", it->of->name.data,
                            about->name, popoto__show_value(&room, &value), reason);
    }
    return popoto__fail_memory(why);
}

static popoto_status plan_sorted(const record_write *it, const field *about, popoto_text from,
                                 popoto_text to, plan *out, failure *why) {
    bool moves = it->moves_key || !same(from, to);
    popoto_text score;
    if (moves && from.data != NULL)
        PLAN(out, "ZREM", from, it->old_key);
    bool named = is_named(it, about->index);
    if (to.data == NULL || (!moves && !named))
        return POPOTO_OK;
    if (!named && believed(it, about->index).data == NULL)
        return POPOTO_OK; /* the record lacks the field, or this plan is there to ask for it */
    popoto_status status = score_of(it, about, out, &score, why);
    if (status == POPOTO_OK)
        PLAN(out, "ZADD", to, score, it->place.key);
    return status;
}

static void plan_confidence(const record_write *it, const field *about, popoto_text from,
                            popoto_text to, plan *out) {
    if (to.data == NULL)
        return;
    if (from.data != NULL && (it->moves_key || !same(from, to)))
        popoto__plan_command(
            out, (const popoto_text[]){ TEXT("MOVE"), from, to, it->old_key, it->place.key }, 5, 2);
    /* A created record starts anew, even if an expired one of its name left figures behind. */
    if (it->kind == WRITE_CREATE)
        PLAN(out, "HSET", to, it->place.key, about->entry);
    else
        PLAN(out, "HSETNX", to, it->place.key, about->entry);
}

static popoto_status plan_field_index(const record_write *it, const field *about,
                                      const placement *before, const placement *after, plan *out,
                                      failure *why) {
    bool stays = before->segments == after->segments && !it->moves_key;
    if (about->prefix.data == NULL ||
        (stays && it->kind == WRITE_REPLACE &&
         (about->is_key || (about->kind == POPOTO_KIND_SORTED && !is_named(it, about->index)))))
        return POPOTO_OK; /* its entries are there already, or the record would not be */
    popoto_text to = index_of(out, it, about, after);
    popoto_text from = stays ? to : index_of(out, it, about, before);
    if (about->kind == POPOTO_KIND_SORTED)
        return plan_sorted(it, about, from, to, out, why);
    if (about->kind == POPOTO_KIND_CONFIDENCE) {
        plan_confidence(it, about, from, to, out);
        return POPOTO_OK;
    }
    if (it->moves_key)
        PLAN(out, "SREM", from, it->old_key);
    if (it->moves_key || it->kind != WRITE_REPLACE)
        PLAN(out, "SADD", to, it->place.key);
    return POPOTO_OK;
}

static popoto_status plan_store(record_write *it, const placement *before, plan *out,
                                failure *why) {
    placement after;
    popoto_status status = place_after(it, before, &after, why);
    if (status != POPOTO_OK)
        return status;
    if (it->moves_key)
        popoto__plan_command(
            out, (const popoto_text[]){ TEXT("RENAME"), it->old_key, it->place.key }, 3, 2);
    plan_hash(it, out);
    if (it->of->time_to_live.data != NULL)
        PLAN(out, "EXPIRE", it->place.key, it->of->time_to_live);
    if (it->moves_key)
        PLAN(out, "SREM", popoto__class_key(it->of, before->segments, out->memory), it->old_key);
    /* A record that is replaced under its own name is in the sets already, or would not be there. */
    if (it->moves_key || it->kind != WRITE_REPLACE)
        PLAN(out, "SADD", popoto__class_key(it->of, after.segments, out->memory), it->place.key);
    for (size_t i = 0; i < it->of->field_count && status == POPOTO_OK; i++)
        status = plan_field_index(it, &it->of->fields[i], before, &after, out, why);
    return status;
}

/* Take the record out of every index that `before` tells; the record itself is the caller's. */
static void plan_removal(const model *of, popoto_text key, const placement *before, plan *out) {
    static const popoto_text removals[] = {
        [POPOTO_KIND_KEY] = { "SREM", 4 },
        [POPOTO_KIND_UNIQUE_KEY] = { "SREM", 4 },
        [POPOTO_KIND_SORTED] = { "ZREM", 4 },
        [POPOTO_KIND_CONFIDENCE] = { "HDEL", 4 },
    };
    const record_write place = { .of = of };
    PLAN(out, "SREM", popoto__class_key(of, before->segments, out->memory), key);
    for (size_t i = 0; i < of->field_count; i++) {
        const field *about = &of->fields[i];
        if (about->prefix.data == NULL)
            continue;
        popoto_text from = index_of(out, &place, about, before);
        if (from.data != NULL)
            popoto__plan_command(out, (const popoto_text[]){ removals[about->kind], from, key }, 3,
                                 1);
    }
}

/* ----- Writes of records: the expectations ---------------------------------------------------- */

/* Who may stand in a unique set: the record by its new name and its old one, and expired ones that are
 * on their way out. */
static const popoto_text *possible_members(const record_write *it, size_t about, size_t *count) {
    popoto_text *members =
        popoto__arena_allocate(it->memory, (2 + it->stale_count) * sizeof *members);
    if (members == NULL)
        return NULL;
    members[0] = it->place.key;
    members[1] = it->old_key;
    *count = 2;
    for (size_t i = 0; i < it->stale_count; i++)
        if (it->stale[i].about == about)
            members[(*count)++] = it->stale[i].member;
    return members;
}

static void expect_unique(const record_write *it, const placement *after, plan *out) {
    for (size_t i = 0; i < it->of->field_count; i++) {
        const field *about = &it->of->fields[i];
        if (about->kind != POPOTO_KIND_UNIQUE_KEY || (it->kind == WRITE_REPLACE && !it->moves_key))
            continue;
        expectation holders = { .kind = EXPECT_UNIQUE, .about = i };
        holders.key = index_of(out, it, about, after);
        holders.members = possible_members(it, i, &holders.member_count);
        out->failed = out->failed || holders.members == NULL;
        popoto__plan_expect(out, holders);
    }
    /* Members whose records have expired hold nothing: they go, if they are still gone. */
    for (size_t i = 0; i < it->stale_count; i++) {
        const stale_member *stale = &it->stale[i];
        popoto__plan_expect(
            out,
            (expectation){ .kind = EXPECT_ABSENT, .key = stale->member, .about = stale->about });
        PLAN(out, "SREM", stale->set, stale->member);
    }
}

static void expect_record(const record_write *it, plan *out) {
    if (it->kind == WRITE_REPLACE || it->kind == WRITE_DELETE || it->kind == WRITE_TOUCH)
        popoto__plan_expect(out, (expectation){ .kind = EXPECT_PRESENT, .key = it->old_key });
    if (it->kind == WRITE_CREATE || it->moves_key)
        popoto__plan_expect(out, (expectation){ .kind = EXPECT_ABSENT, .key = it->place.key });
}

static void expect_fields(const record_write *it, bool entries_move, plan *out) {
    if (it->kind == WRITE_FRESH || it->kind == WRITE_CREATE)
        return;
    for (size_t i = 0; i < it->of->field_count; i++) {
        const field *about = &it->of->fields[i];
        if (relies_on(it, about, entries_move))
            popoto__plan_expect(out, (expectation){ .kind = EXPECT_FIELD,
                                                    .key = it->old_key,
                                                    .field = { about->name, about->name_size },
                                                    .value = believed(it, i),
                                                    .about = i });
    }
}

popoto_status popoto__plan_write(record_write *it, plan *out, failure *why) {
    placement before;
    bool was_there =
        it->kind == WRITE_REPLACE || it->kind == WRITE_DELETE || it->kind == WRITE_STORE;
    popoto_status status = popoto__write_encode(it, why);
    popoto__plan_init(out, it->memory);
    if (status == POPOTO_OK && was_there)
        status = place_before(it, &before, why);
    else
        before = (placement){ it->place.key, it->place.segments };
    if (status != POPOTO_OK)
        return status;
    expect_record(it, out);
    expect_fields(it, entries_move(it), out);
    if (it->kind == WRITE_DELETE) {
        PLAN(out, "DEL", it->old_key);
        plan_removal(it->of, it->old_key, &before, out);
    } else {
        if (it->of->has_unique_key && it->kind != WRITE_FRESH)
            expect_unique(it, &it->place, out);
        status = plan_store(it, &before, out, why);
    }
    if (status == POPOTO_OK && out->failed)
        status = popoto__fail_memory(why);
    return status;
}

bool popoto__plan_correct(record_write *it, size_t field_index, popoto_text found) {
    if (same(believed(it, field_index), found))
        return false;
    it->stored[field_index] = (stored_field){ true, found };
    return true;
}

popoto_status popoto__plan_locate(record_write *it, plan *out, placement *where, failure *why) {
    popoto__plan_init(out, it->memory);
    popoto_status status = place_before(it, where, why);
    if (status != POPOTO_OK)
        return status;
    expect_record(it, out);
    expect_fields(it, false, out);
    return out->failed ? popoto__fail_memory(why) : POPOTO_OK;
}

/* ----- Learning from a refusal ---------------------------------------------------------------- */

static popoto_status learn_absent(const record_write *it, const expectation *what, failure *why) {
    shown room, value;
    for (size_t i = 0; i < it->stale_count; i++)
        if (same(it->stale[i].member, what->key))
            /* Not by which record: it may be another tenant's. */
            return popoto__fail(why, POPOTO_DUPLICATE, "%s.%s = %s is taken by another record",
                                it->of->name.data, it->of->fields[what->about].name,
                                popoto__show_value(&value, &it->values[what->about]));
    return popoto__fail(why, POPOTO_EXISTS, "%s exists already: %s",
                        popoto__show(&room, what->key.data, what->key.size),
                        it->kind == WRITE_CREATE ? "popoto_save replaces it"
                                                 : "the changed key belongs to another record");
}

static popoto_status learn_field(record_write *it, const expectation *what, popoto_text found,
                                 failure *why) {
    stored_field *field_now = &it->stored[what->about];
    shown room, value;
    if (it->pinned != NULL && it->pinned[what->about] && found.data != NULL)
        return popoto__fail(
            why, POPOTO_BAD_SCOPE, "%s has another %s than the scope that this thread is in, %s",
            popoto__show(&room, what->key.data, what->key.size), it->of->fields[what->about].name,
            popoto__show_value(&value, &it->values[what->about]));
    if (it->if_unchanged)
        return popoto__fail(
            why, POPOTO_CHANGED, "%s: somebody changed %s since this object was loaded",
            popoto__show(&room, what->key.data, what->key.size), it->of->fields[what->about].name);
    field_now->known = true;
    field_now->bytes = (popoto_text){ NULL, 0 };
    if (found.data == NULL)
        return POPOTO_OK;
    field_now->bytes =
        (popoto_text){ popoto__arena_copy(it->memory, found.data, found.size), found.size };
    return field_now->bytes.data != NULL ? POPOTO_OK : popoto__fail_memory(why);
}

static popoto_status learn_unique(record_write *it, const expectation *what, popoto_text found,
                                  failure *why) {
    if (it->stale_count == it->stale_room) {
        size_t room = it->stale_room ? it->stale_room * 2 : 4;
        stale_member *bigger = popoto__arena_allocate(it->memory, room * sizeof *bigger);
        if (bigger == NULL)
            return popoto__fail_memory(why);
        if (it->stale_count > 0)
            memcpy(bigger, it->stale, it->stale_count * sizeof *bigger);
        it->stale = bigger;
        it->stale_room = room;
    }
    popoto_text member = { popoto__arena_copy(it->memory, found.data, found.size), found.size };
    if (member.data == NULL)
        return popoto__fail_memory(why);
    it->stale[it->stale_count++] = (stale_member){ what->key, member, what->about };
    return POPOTO_OK;
}

popoto_status popoto__plan_learn(record_write *it, const plan *tried, const refusal *refusals,
                                 size_t count, failure *why) {
    popoto_status status = POPOTO_OK;
    shown room;
    for (size_t i = 0; i < count && status == POPOTO_OK; i++) {
        if (refusals[i].expectation >= tried->expectation_count)
            return popoto__fail(why, POPOTO_BAD_REPLY,
                                "the server refused an expectation that it was not given");
        const expectation *what = &tried->expectations[refusals[i].expectation];
        switch (what->kind) {
        case EXPECT_ABSENT: status = learn_absent(it, what, why); break;
        case EXPECT_PRESENT:
            status =
                popoto__fail(why, POPOTO_NOT_FOUND, "%s is not there: it was deleted, or expired",
                             popoto__show(&room, what->key.data, what->key.size));
            break;
        case EXPECT_FIELD: status = learn_field(it, what, refusals[i].found, why); break;
        case EXPECT_UNIQUE: status = learn_unique(it, what, refusals[i].found, why); break;
        }
    }
    return status;
}

popoto_status popoto__plan_forget(const model *of, popoto_text key, popoto_text found_in, plan *out,
                                  failure *why) {
    placement before;
    bool listed = popoto__placement_of_key(of, key, out->memory, &before);
    if (before.segments == NULL)
        return popoto__fail_memory(why);
    popoto__plan_expect(out, (expectation){ .kind = EXPECT_ABSENT, .key = key });
    if (listed)
        plan_removal(of, key, &before, out);
    if (found_in.data != NULL)
        PLAN(out, "ZREM", found_in, key);
    return out->failed ? popoto__fail_memory(why) : POPOTO_OK;
}

/* ----- From one model to another -------------------------------------------------------------- */

static void adopt_field(const adoption *it, const field *about, plan *out) {
    const record_write there = { .of = it->to }, here = { .of = it->from };
    popoto_text key = it->after->key;
    if (about->prefix.data == NULL)
        return;
    popoto_text to = index_of(out, &there, about, it->after);
    if (to.data == NULL)
        return;
    if (about->kind == POPOTO_KIND_SORTED) {
        if (it->scores[about->index].data != NULL)
            PLAN(out, "ZADD", to, it->scores[about->index], key);
    } else if (about->kind == POPOTO_KIND_CONFIDENCE) {
        popoto_text from =
            index_of(out, &here, &it->from->fields[it->from_field[about->index]], it->before);
        if (from.data != NULL)
            popoto__plan_command(
                out, (const popoto_text[]){ TEXT("MOVE"), from, to, it->before->key, key }, 5, 2);
    } else {
        if (about->kind == POPOTO_KIND_UNIQUE_KEY)
            popoto__plan_expect(out, (expectation){ .kind = EXPECT_UNIQUE,
                                                    .key = to,
                                                    .about = about->index,
                                                    .members = &it->after->key,
                                                    .member_count = 1 });
        PLAN(out, "SADD", to, key);
    }
}

void popoto__plan_adopt(const adoption *it, plan *out) {
    popoto__plan_expect(out, (expectation){ .kind = EXPECT_PRESENT, .key = it->before->key });
    popoto__plan_expect(out, (expectation){ .kind = EXPECT_ABSENT, .key = it->after->key });
    popoto__plan_command(
        out, (const popoto_text[]){ TEXT("RENAME"), it->before->key, it->after->key }, 3, 2);
    PLAN(out, "SADD", popoto__class_key(it->to, it->after->segments, out->memory), it->after->key);
    for (size_t i = 0; i < it->to->field_count; i++)
        adopt_field(it, &it->to->fields[i], out);
    plan_removal(it->from, it->before->key, it->before, out);
}
