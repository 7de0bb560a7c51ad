/* reply - see reply.h. */
#include "reply.h"

#include <hiredis/hiredis.h>
#include <string.h>

/* ----- replies -------------------------------------------------------------------------------- */

/* More of this is no reply of a server but noise, or an attack on our memory. Bulk strings have 512 MB
 * at most unless the server's proto-max-bulk-len was raised. */
#define MOST_ELEMENTS     ((size_t)1 << 27)
#define MOST_DEPTH        7
#define LONGEST_LINE      ((size_t)64 * 1024)
#define MOST_PENDING      ((size_t)1 << 30)
/* A count is only a promise of elements; so many are believed before they are there. */
#define BELIEVED_ELEMENTS ((size_t)1024)

/* While an array is read, its items grow with what really arrives. */
typedef struct node {
    reply reply;
    size_t capacity;
} node;

/* Whether this element of a list goes to the exchange by itself, or with the list that it is in. */
static bool is_passed_on(const redisReadTask *task) {
    const receiver *it = task->privdata;
    return task->parent != NULL && it->what->element != NULL;
}

/* Elements of lists within the list are dropped. */
static void *pass_on(const redisReadTask *task, reply_type type, const char *text, size_t size) {
    receiver *it = task->privdata;
    if (task->parent->parent == NULL && it->status == POPOTO_OK)
        it->what->element(it->what->context, it->handed, (size_t)task->idx, type, text, size);
    return &it->list;
}

/* A place for the reply of this task, hung into the array that it is an element of. NULL: no memory. */
static node *new_node(const redisReadTask *task, reply_type type) {
    receiver *it = task->privdata;
    node *made = popoto__arena_allocate(&it->scratch, sizeof(*made));
    if (made == NULL)
        return NULL;
    *made = (node){ .reply.type = type };
    if (task->parent == NULL)
        return made;

    node *array = task->parent->obj;
    size_t index = (size_t)task->idx;
    if (index >= array->capacity) {
        size_t capacity = array->capacity * 2;
        if (capacity > array->reply.count)
            capacity = array->reply.count;
        reply **items = popoto__arena_allocate(&it->scratch, capacity * sizeof(*items));
        if (items == NULL)
            return NULL;
        memcpy(items, array->reply.items, index * sizeof(*items));
        array->reply.items = items;
        array->capacity = capacity;
    }
    array->reply.items[index] = &made->reply;
    return made;
}

static void *refuse(const redisReadTask *task) {
    receiver *it = task->privdata;
    it->refused = true;
    return NULL;
}

static void *make_string(const redisReadTask *task, char *text, size_t size) {
    receiver *it = task->privdata;
    reply_type type = REPLY_STRING;
    if (task->type == REDIS_REPLY_STATUS)
        type = REPLY_STATUS;
    else if (task->type == REDIS_REPLY_ERROR)
        type = REPLY_ERROR;
    else if (task->type != REDIS_REPLY_STRING || text[size] != '\r' || text[size + 1] != '\n')
        return refuse(task); /* hiredis skips the two bytes behind a bulk string without a look */

    if (is_passed_on(task))
        return pass_on(task, type, text, size);
    node *made = new_node(task, type);
    if (made == NULL)
        return NULL;
    made->reply.size = size;
    if (type == REPLY_STATUS && size == 2 && memcmp(text, "OK", 2) == 0) {
        made->reply.text = "OK";
        return made;
    }
    arena *strings = it->what->strings != NULL ? it->what->strings : &it->scratch;
    made->reply.text = popoto__arena_copy(strings, text, size);
    return made->reply.text == NULL ? NULL : made;
}

static int depth_of(const redisReadTask *task) {
    int depth = 0;
    for (; task != NULL; task = task->parent)
        depth++;
    return depth;
}

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

static void *make_array(const redisReadTask *task, element_count elements) {
    receiver *it = task->privdata;
    size_t count = (size_t)elements;
    if (task->type != REDIS_REPLY_ARRAY || count > MOST_ELEMENTS || depth_of(task) > MOST_DEPTH)
        return refuse(task);
    if (is_passed_on(task))
        return pass_on(task, REPLY_ARRAY, NULL, 0);
    if (it->what->element != NULL) {
        it->list = (reply){ .type = REPLY_ARRAY, .count = count };
        return &it->list;
    }
    node *made = new_node(task, REPLY_ARRAY);
    if (made == NULL)
        return NULL;
    made->reply.count = count;
    made->capacity = count < BELIEVED_ELEMENTS ? count : BELIEVED_ELEMENTS;
    if (count == 0)
        return made;
    made->reply.items = popoto__arena_allocate(&it->scratch, made->capacity * sizeof(reply *));
    return made->reply.items == NULL ? NULL : made;
}

static void *make_integer(const redisReadTask *task, long long value) {
    if (is_passed_on(task))
        return pass_on(task, REPLY_INTEGER, NULL, 0);
    node *made = new_node(task, REPLY_INTEGER);
    if (made != NULL)
        made->reply.integer = value;
    return made;
}

static void *make_null(const redisReadTask *task) {
    if (is_passed_on(task))
        return pass_on(task, REPLY_NULL, NULL, 0);
    return new_node(task, REPLY_NULL);
}

#if HIREDIS_MAJOR >= 1
/* Types of a newer protocol, which we never ask for. */
static void *refuse_double(const redisReadTask *task, double value, char *text, size_t size) {
    (void)value, (void)text, (void)size;
    return refuse(task);
}
static void *refuse_bool(const redisReadTask *task, int value) {
    (void)value;
    return refuse(task);
}
#endif

static void keep_in_arena(void *made) {
    (void)made;
}

static redisReplyObjectFunctions reply_functions = {
    .createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_null,
#if HIREDIS_MAJOR >= 1
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
    .freeObject = keep_in_arena,
};

void popoto__receiver_attach(receiver *it, redisReader *reader) {
    it->reader = reader;
    reader->fn = &reply_functions;
    reader->privdata = it;
    reader->maxbuf = 0; /* keep a buffer that once was large */
    it->start = it->at = it->filled = 0;
}

void popoto__receiver_begin(receiver *it, const exchange *what) {
    popoto__arena_reset(&it->scratch);
    it->what = what;
    it->is_matching = false;
    it->handed = 0;
    it->status = POPOTO_OK;
    it->refused = false;
    it->in_reader = what->element == NULL || it->reader->len > it->reader->pos;
}

void popoto__receiver_begin_first(receiver *it) {
    popoto__receiver_begin(it, &it->first->what);
    it->matched = 0;
    it->is_matching = it->first->expected.size > 0 && it->reader->len == it->reader->pos;
}

/* The first of the posted ones has its replies. Whether there is another one. */
static bool receiver_turn(receiver *it) {
    if (it->first == NULL)
        return false;
    it->first->is_done = true;
    it->first->status = it->status;
    it->first = it->first->next;
    if (it->first == NULL)
        return false;
    popoto__receiver_begin_first(it);
    it->has_turned = true;
    return true;
}

void popoto__receiver_free(receiver *it) {
    popoto__release(it->scratch.allocator, it->room);
    popoto__arena_free(&it->scratch);
}

/* hiredis waits for the end of a line for ever, and looks for it from the start each time. */
static bool is_endless(const redisReader *reader) {
    size_t pending = reader->len - reader->pos;
    if (pending <= LONGEST_LINE)
        return false;
    if (pending > MOST_PENDING)
        return true;
    const char *at = reader->buf + reader->pos;
    const char *end = at + LONGEST_LINE;
    while ((at = memchr(at, '\r', (size_t)(end - at))) != NULL)
        if (*++at == '\n')
            return false;
    return true;
}

popoto_status popoto__exchange_hand_over(const exchange *what, size_t index, const reply *answer) {
    reply list;
    if (what->element != NULL && answer->type == REPLY_ARRAY) {
        for (size_t i = 0; i < answer->count; i++) {
            const reply *item = answer->items[i];
            what->element(what->context, index, i, item->type, item->text, item->size);
        }
        list = (reply){ .type = REPLY_ARRAY, .count = answer->count };
        answer = &list;
    }
    return what->handle == NULL ? POPOTO_OK : what->handle(what->context, index, answer);
}

static void hand_over(receiver *it, const reply *answer) {
    const exchange *what = it->what;
    if (it->status == POPOTO_OK && what->handle != NULL)
        it->status = what->handle(what->context, it->handed, answer);
    it->handed++;
    popoto__arena_reset(&it->scratch);
}

exchange_progress popoto__receiver_take(receiver *it) {
    for (;;) {
        void *answer = NULL;
        if (it->is_matching)
            return GOING_ON;
        if (it->handed == it->what->count && receiver_turn(it))
            continue;
        if (it->handed == it->what->count)
            return it->reader->len == it->reader->pos ? COMPLETE : GARBLED;
        if (redisReaderGetReply(it->reader, &answer) != REDIS_OK) {
            bool starved = it->reader->err == REDIS_ERR_OOM && !it->refused;
            return starved ? STARVED : GARBLED;
        }
        if (answer == NULL)
            return is_endless(it->reader) ? GARBLED : GOING_ON;
        hand_over(it, answer);
    }
}

/* After about each KiB of replies hiredis moves the rest of its buffer to the front: it is given a little
 * at a time, so that this rest is small. Where a reply is long its bytes come in one go. */
#define MOUTHFUL ((size_t)2048)

static exchange_progress feed_reader(receiver *it) {
    size_t size = it->filled - it->start;
    size_t pending = it->reader->len - it->reader->pos;
    size_t part = size < MOUTHFUL || pending >= MOUTHFUL ? size : MOUTHFUL;
    if (redisReaderFeed(it->reader, it->room + it->start, part) != REDIS_OK)
        return STARVED;
    it->at = it->start += part;
    exchange_progress how = popoto__receiver_take(it);
    /* Between two replies the reader has nothing. */
    it->in_reader =
        it->what->element == NULL || it->reader->ridx >= 0 || it->reader->len > it->reader->pos;
    return how;
}

/* How many of the bytes are as expected; where they are not, what was before is left to hiredis. */
static exchange_progress match(receiver *it) {
    popoto_text expected = it->first->expected;
    size_t size = it->filled - it->start, left = expected.size - it->matched;
    size_t part = left < size ? left : size;
    if (memcmp(expected.data + it->matched, it->room + it->start, part) != 0) {
        it->is_matching = false;
        it->in_reader = true;
        return redisReaderFeed(it->reader, expected.data, it->matched) == REDIS_OK ? GOING_ON
                                                                                   : STARVED;
    }
    it->matched += part;
    it->at = it->start += part;
    if (it->matched < expected.size)
        return GOING_ON;
    it->is_matching = false;
    it->handed = it->first->foreseen;
    it->first->as_expected = true;
    return popoto__receiver_take(it);
}

/* ----- lists of strings ----------------------------------------------------------------------- */

/* Every record and nearly every page of names is a list of strings and nulls, and where the exchange takes
 * the elements one by one these are told by their first bytes, several times as fast as hiredis does it,
 * which copies them first. Only what is right in every byte is taken; everything else, and every reason
 * why not, is hiredis's, which then begins with the list's first byte. */

typedef enum piece {
    PIECE_WHOLE,
    PIECE_CUT,   /* more bytes must come first */
    PIECE_OTHER, /* not for here */
} piece;

/* "12\r\n", as servers write it: no sign, no zeros in front. */
static piece read_number(const char **from, const char *end, size_t *out) {
    const char *at = *from;
    if (end - at >= 4) { /* nearly all have one digit or two */
        unsigned first = (unsigned)at[0] - '0', second = (unsigned)at[1] - '0';
        bool is_one = first <= 9 && at[1] == '\r' && at[2] == '\n';
        bool is_two = first - 1 <= 8 && second <= 9 && at[2] == '\r' && at[3] == '\n';
        if (is_one || is_two) {
            *out = is_one ? first : first * 10 + second;
            *from = at + (is_one ? 3 : 4);
            return PIECE_WHOLE;
        }
    }
    size_t number = 0;
    while (at < end && *at >= '0' && *at <= '9' && number <= MOST_ELEMENTS)
        number = number * 10 + (size_t)(*at++ - '0');
    if (at == end || (at + 1 == end && *at == '\r'))
        return PIECE_CUT;
    if (at[0] != '\r' || at[1] != '\n' || at == *from || number > MOST_ELEMENTS ||
        (**from == '0' && at > *from + 1))
        return PIECE_OTHER;
    *from = at + 2;
    *out = number;
    return PIECE_WHOLE;
}

/* "$5\r\ntitle\r\n" or "$-1\r\n". */
static piece read_string(const char **from, const char *end, const char **text, size_t *size) {
    static const char null[] = { '$', '-', '1', '\r', '\n' };
    const char *at = *from;
    size_t left = (size_t)(end - at);
    if (left < 2)
        return left == 0 || *at == '$' ? PIECE_CUT : PIECE_OTHER;
    if (at[1] == '-') {
        size_t part = left < sizeof(null) ? left : sizeof(null);
        *text = NULL;
        *size = 0;
        *from = at + part;
        return memcmp(at, null, part) != 0 ? PIECE_OTHER
               : part == sizeof(null)      ? PIECE_WHOLE
                                           : PIECE_CUT;
    }
    if (*at++ != '$')
        return PIECE_OTHER;
    piece how = read_number(&at, end, size);
    if (how != PIECE_WHOLE)
        return how;
    if ((size_t)(end - at) < *size + 2)
        return PIECE_CUT;
    if (at[*size] != '\r' || at[*size + 1] != '\n')
        return PIECE_OTHER;
    *text = at;
    *from = at + *size + 2;
    return PIECE_WHOLE;
}

static piece take_head(receiver *it) {
    const char *at = it->room + it->at;
    const char *end = it->room + it->filled;
    if (at == end)
        return PIECE_CUT;
    if (*at++ != '*')
        return PIECE_OTHER;
    it->list = (reply){ .type = REPLY_ARRAY };
    it->place = 0;
    piece how = read_number(&at, end, &it->list.count);
    if (how == PIECE_WHOLE)
        it->at = (size_t)(at - it->room);
    return how;
}

static piece take_elements(receiver *it) {
    const exchange *what = it->what;
    const char *at = it->room + it->at;
    const char *end = it->room + it->filled;
    size_t place = it->place;
    size_t count = it->list.count;
    piece how = PIECE_WHOLE;
    for (; place < count; place++) {
        const char *text;
        size_t size;
        const char *next = at;
        how = read_string(&next, end, &text, &size);
        if (how != PIECE_WHOLE)
            break;
        at = next;
        if (it->status == POPOTO_OK)
            what->element(what->context, it->handed, place,
                          text != NULL ? REPLY_STRING : REPLY_NULL, text, size);
    }
    it->at = (size_t)(at - it->room);
    it->place = place;
    return how;
}

/* *cut: more bytes must come first. */
static exchange_progress take_lists(receiver *it, bool *cut) {
    while (it->handed < it->what->count) {
        piece how = it->at == it->start ? take_head(it) : PIECE_WHOLE;
        if (how == PIECE_WHOLE)
            how = take_elements(it);
        /* Of a list that is longer than the room the first part is read twice. */
        it->in_reader =
            how == PIECE_OTHER || (how == PIECE_CUT && it->filled - it->start == it->room_size);
        *cut = how == PIECE_CUT && !it->in_reader;
        if (how != PIECE_WHOLE)
            return GOING_ON;
        it->start = it->at;
        if (it->status == POPOTO_OK && it->what->handle != NULL)
            it->status = it->what->handle(it->what->context, it->handed, &it->list);
        it->handed++;
    }
    return receiver_turn(it) ? GOING_ON : COMPLETE;
}

#define ROOM ((size_t)64 * 1024)

char *popoto__receiver_room(receiver *it, size_t *size) {
    if (it->room == NULL) {
        it->room_size = it->room_size != 0 ? it->room_size : ROOM;
        it->room = popoto__allocate(it->scratch.allocator, it->room_size);
        if (it->room == NULL)
            return NULL;
    }
    if (it->start > 0) {
        memmove(it->room, it->room + it->start, it->filled - it->start);
        it->filled -= it->start;
        it->at -= it->start;
        it->start = 0;
    }
    *size = it->room_size - it->filled;
    return it->room + it->filled;
}

exchange_progress popoto__receiver_feed(receiver *it, size_t size) {
    exchange_progress how = GOING_ON;
    bool cut = false;
    it->filled += size;
    while (how == GOING_ON && it->start < it->filled && !cut)
        how = it->is_matching ? match(it) : it->in_reader ? feed_reader(it) : take_lists(it, &cut);
    return how == COMPLETE && it->start < it->filled ? GARBLED : how; /* more than was asked for */
}

popoto_status popoto__reply_parse(const exchange *what, const popoto_allocator *allocator,
                                  const void *data, size_t size, size_t step) {
    static const popoto_status meanings[] = {
        [GOING_ON] = POPOTO_DISCONNECTED,
        [GARBLED] = POPOTO_BAD_REPLY,
        [STARVED] = POPOTO_NO_MEMORY,
    };
    /* Short steps have little room, so that lists are longer than it, too. */
    receiver it = { .room_size = step + 48 };
    redisReader *reader = redisReaderCreateWithFunctions(&reply_functions);
    if (reader == NULL)
        return POPOTO_NO_MEMORY;
    popoto__arena_init(&it.scratch, allocator);
    popoto__receiver_attach(&it, reader);
    popoto__receiver_begin(&it, what);
    exchange_progress how = GOING_ON;
    for (size_t at = 0, room_size = 0; at < size && how == GOING_ON;) {
        char *room = popoto__receiver_room(&it, &room_size);
        size_t part = step < size - at ? step : size - at;
        part = part < room_size ? part : room_size;
        if (room != NULL)
            memcpy(room, (const char *)data + at, part);
        how = room != NULL ? popoto__receiver_feed(&it, part) : STARVED;
        at += part;
    }
    redisReaderFree(reader);
    popoto__receiver_free(&it);
    return how == COMPLETE ? it.status : meanings[how];
}

/* ----- what errors mean ----------------------------------------------------------------------- */

typedef struct meaning {
    const char *word;
    popoto_status status;
} meaning;

static const meaning meanings_of_words[] = {
    { "NOAUTH", POPOTO_DENIED },           { "WRONGPASS", POPOTO_DENIED },
    { "NOPERM", POPOTO_DENIED },           { "DENIED", POPOTO_DENIED },
    { "LOADING", POPOTO_UNAVAILABLE },     { "OOM", POPOTO_UNAVAILABLE },
    { "READONLY", POPOTO_UNAVAILABLE },    { "MISCONF", POPOTO_UNAVAILABLE },
    { "BUSY", POPOTO_UNAVAILABLE },        { "MASTERDOWN", POPOTO_UNAVAILABLE },
    { "CLUSTERDOWN", POPOTO_UNAVAILABLE }, { "TRYAGAIN", POPOTO_UNAVAILABLE },
    { "NOREPLICAS", POPOTO_UNAVAILABLE },  { "WRONGTYPE", POPOTO_CORRUPT },
    { "CORRUPTENTRY", POPOTO_CORRUPT }, /* what our own scripts say of a companion hash */
};

/* Errors that are told by more than their first word. */
static const meaning meanings_of_beginnings[] = {
    { "ERR max number of clients", POPOTO_UNAVAILABLE },
    { "ERR ACL failure in script", POPOTO_DENIED },
    { "ERR The user executing the script", POPOTO_DENIED },
    { "The user executing the script", POPOTO_DENIED }, /* Redis 6.2 */
};

static bool starts_with(const char *text, const char *beginning) {
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static bool word_is(const char *text, const char *word) {
    size_t length = strlen(word);
    return strncmp(text, word, length) == 0 && (text[length] == ' ' || text[length] == '\0');
}

static popoto_status status_of_word(const char *text) {
    for (size_t i = 0; i < sizeof(meanings_of_words) / sizeof(*meanings_of_words); i++)
        if (word_is(text, meanings_of_words[i].word))
            return meanings_of_words[i].status;
    return POPOTO_SERVER_ERROR;
}

/* What a command within a script answered. Redis 6.2 puts before it
 * "ERR Error running script (call to f_...): @user_script:1: @user_script: 1: -", or, where the script
 * hands on what it got, "@user_script: 1: -". */
static const char *without_script(const char *text) {
    static const char place[] = "@user_script:";
    const char *at = starts_with(text, "ERR Error running script") ? strstr(text, place) : text;
    if (at == NULL || !starts_with(at, place))
        return text;
    while (starts_with(at, place)) {
        at += sizeof(place) - 1;
        at += strspn(at, " 0123456789");
        at += strspn(at, ": ");
    }
    return at + (*at == '-');
}

popoto_status popoto__reply_status(const char *text) {
    text = without_script(text);
    for (size_t i = 0; i < sizeof(meanings_of_beginnings) / sizeof(*meanings_of_beginnings); i++)
        if (starts_with(text, meanings_of_beginnings[i].word))
            return meanings_of_beginnings[i].status;
    /* "EXECABORT Transaction discarded because of: OOM ..." */
    static const char behind[] = "because of: ";
    const char *cause = starts_with(text, "EXECABORT ") ? strstr(text, behind) : NULL;
    if (cause != NULL)
        return status_of_word(cause + sizeof(behind) - 1);
    return status_of_word(text);
}

bool popoto__reply_begins(const reply *answer, const char *beginning) {
    return answer->type == REPLY_ERROR && starts_with(answer->text, beginning);
}

bool popoto__reply_is_error(const reply *answer, const char *first_word) {
    return answer->type == REPLY_ERROR && word_is(without_script(answer->text), first_word);
}

popoto_status popoto__reply_failure(const reply *answer, const char *what, failure *why) {
    shown room;
    if (answer->fate != POPOTO_OK)
        return popoto__fail(why, answer->fate, "%s: %s", what, answer->text);
    if (answer->type != REPLY_ERROR)
        return popoto__fail(why, POPOTO_SERVER_ERROR,
                            "%s: the server answered something else than this command's reply",
                            what);
    const char *text = without_script(answer->text);
    return popoto__fail(why, popoto__reply_status(text), "%s: the server answered %s", what,
                        popoto__show(&room, text, answer->size - (size_t)(text - answer->text)));
}
