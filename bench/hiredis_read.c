/* hiredis_read - the rival's load and query: replies go from hiredis's reader straight into structs. See
 * hiredis_side.h. */
#include "hiredis_side.h"

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROJECT,
    ID,
    TITLE,
    SCORE,
    FIELDS
};

/* ----- MessagePack ---------------------------------------------------------------------------- */

/* The text in a MessagePack string that fills data[0..size). */
static const char *packed_text(const char *data, size_t size, size_t *text_size) {
    const unsigned char *bytes = (const unsigned char *)data;
    size_t head = 1, length = 0;
    if (size >= 1 && (bytes[0] & 0xe0) == 0xa0) {
        length = bytes[0] & 31;
    } else if (size >= 2 && bytes[0] == 0xd9) {
        head = 2;
        length = bytes[1];
    } else if (size >= 3 && bytes[0] == 0xda) {
        head = 3;
        length = (size_t)bytes[1] << 8 | bytes[2];
    } else {
        give_up("a field that holds no text");
    }
    if (length != size - head)
        give_up("a field that holds more than text");
    *text_size = length;
    return data + head;
}

static double packed_double(const char *data, size_t size) {
    const unsigned char *bytes = (const unsigned char *)data;
    uint64_t bits = 0;
    double value;
    if (size != 9 || bytes[0] != 0xcb)
        give_up("a field that holds no float");
    for (int i = 1; i < 9; i++)
        bits = bits << 8 | bytes[i];
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* ----- fields into structs -------------------------------------------------------------------- */

static void take_field(hand *it, episode *row, int field, const char *data, size_t size) {
    const char *text;
    switch (field) {
    case PROJECT:
        text = packed_text(data, size, &size);
        row->project_id = hand_text(it, text, size);
        break;
    case ID:
        text = packed_text(data, size, &size);
        if (size >= sizeof(row->episode_id.text))
            give_up("an id that is too long");
        memcpy(row->episode_id.text, text, size);
        row->episode_id.text[size] = '\0';
        break;
    case TITLE:
        text = packed_text(data, size, &size);
        row->title = hand_text(it, text, size);
        break;
    case SCORE: row->score = packed_double(data, size); break;
    default: break;
    }
}

static int field_of_name(const char *name, size_t size) {
    if (size == 5)
        return memcmp(name, "title", 5) == 0   ? TITLE
               : memcmp(name, "score", 5) == 0 ? SCORE
                                               : FIELDS;
    if (size == 10)
        return memcmp(name, "project_id", 10) == 0   ? PROJECT
               : memcmp(name, "episode_id", 10) == 0 ? ID
                                                     : FIELDS;
    return FIELDS;
}

/* A field's name comes before its value: it is the last that was taken. */
static int field_under_way;

static void *row_string(const redisReadTask *task, char *data, size_t size) {
    hand *it = task->privdata;
    if (hand_is_error(it, task, data, size) || task->parent == NULL || it->row_count == 0)
        return HAND_TAKEN;
    static const int asked[] = { PROJECT, TITLE, SCORE };
    episode *row = &it->rows[(it->values_only ? it->filled : it->row_count) - 1];
    if (it->values_only && task->idx >= 0 && task->idx < 3)
        take_field(it, row, asked[task->idx], data, size);
    else if (task->idx % 2 == 0)
        field_under_way = field_of_name(data, size);
    else
        take_field(it, row, field_under_way, data, size);
    return HAND_TAKEN;
}

static episode *next_row(hand *it) {
    if (it->row_count == it->row_room) {
        it->row_room = it->row_room ? it->row_room * 2 : 64;
        it->rows = realloc(it->rows, it->row_room * sizeof(*it->rows));
        if (it->rows == NULL)
            give_up("no memory");
    }
    it->rows[it->row_count] = (episode){ .project_id = NULL };
    return &it->rows[it->row_count++];
}

static void *row_array(const redisReadTask *task, hand_count count) {
    hand *it = task->privdata;
    if (it->values_only)
        it->filled++;
    else if (count > 0) /* else the record has expired */
        next_row(it);
    return HAND_TAKEN;
}

static redisReplyObjectFunctions rows_functions = {
    .createString = row_string,
    .createArray = row_array,
    .createInteger = hand_take_integer,
    .createNil = hand_take_null,
    .freeObject = hand_keep,
};

static void put_fetch(hand *it, const char *key, size_t size) {
    if (it->values_only)
        PUT_LITERAL(it, "*5\r\n$5\r\nHMGET\r\n");
    else
        PUT_LITERAL(it, "*2\r\n$7\r\nHGETALL\r\n");
    hand_put_argument(it, key, size);
    if (it->values_only)
        PUT_LITERAL(it, "$10\r\nproject_id\r\n$5\r\ntitle\r\n$5\r\nscore\r\n");
}

/* ----- load ----------------------------------------------------------------------------------- */

bool hand_load(hand *it, const char *project, const popoto_id *id, const episode **row) {
    hand_key key;
    hand_forget_rows(it);
    it->values_only = false;
    hand_make_key(&key, "Episode", project, strlen(project), id->text, 32);
    put_fetch(it, key.text, key.size);
    hand_exchange(it, 1, &rows_functions);
    *row = it->rows;
    return it->row_count == 1;
}

/* ----- query ---------------------------------------------------------------------------------- */

static bool belongs(const hand *it, const char *key, size_t size) {
    /* "Flat:project:..." */
    return size > 5 + it->project_size && key[5 + it->project_size] == ':' &&
           memcmp(key + 5, it->project, it->project_size) == 0;
}

/* "Episode:project:id" */
static void take_id(episode *row, const char *key, size_t size) {
    size_t start = size;
    while (start > 0 && key[start - 1] != ':')
        start--;
    size_t length = size - start;
    if (length >= sizeof(row->episode_id.text))
        give_up("an id that is too long");
    memcpy(row->episode_id.text, key + start, length);
    row->episode_id.text[length] = '\0';
}

/* A member of a range becomes the command that fetches its record. */
static void *member_string(const redisReadTask *task, char *data, size_t size) {
    hand *it = task->privdata;
    if (hand_is_error(it, task, data, size) || task->parent == NULL)
        return HAND_TAKEN;
    if (it->project == NULL || belongs(it, data, size)) {
        put_fetch(it, data, size);
        if (it->values_only)
            take_id(next_row(it), data, size);
        it->wanted++;
    }
    return HAND_TAKEN;
}

static redisReplyObjectFunctions members_functions = {
    .createString = member_string,
    .createArray = hand_take_array,
    .createInteger = hand_take_integer,
    .createNil = hand_take_null,
    .freeObject = hand_keep,
};

static hand_rows fetch_range(hand *it) {
    it->wanted = 0;
    hand_exchange(it, 1, &members_functions);
    hand_exchange(it, it->wanted, &rows_functions);
    return (hand_rows){ it->rows, it->row_count };
}

hand_rows hand_query(hand *it, const char *project, double min_score, bool values_only) {
    hand_key key;
    hand_forget_rows(it);
    it->values_only = values_only;
    it->filled = 0;
    it->project = NULL;
    hand_make_key(&key, "$SortedF:Episode", "score", 5, project, strlen(project));
    PUT_LITERAL(it, "*4\r\n$13\r\nZRANGEBYSCORE\r\n");
    hand_put_argument(it, key.text, key.size);
    hand_put_double(it, min_score);
    PUT_LITERAL(it, "$3\r\ninf\r\n");
    return fetch_range(it);
}

/* ----- the fixed plans ------------------------------------------------------------------------ */

hand_rows hand_query_by_range(hand *it, const char *project, double low, double high) {
    hand_forget_rows(it);
    it->values_only = false;
    it->project = project;
    it->project_size = strlen(project);
    PUT_LITERAL(it, "*4\r\n$13\r\nZRANGEBYSCORE\r\n$19\r\n$SortedF:Flat:score\r\n");
    hand_put_double(it, low);
    hand_put_double(it, high);
    return fetch_range(it);
}

static void *name_string(const redisReadTask *task, char *data, size_t size) {
    hand *it = task->privdata;
    if (hand_is_error(it, task, data, size) || task->parent == NULL)
        return HAND_TAKEN;
    if (it->name_count == it->name_room) {
        it->name_room = it->name_room ? it->name_room * 2 : 1024;
        it->names = realloc(it->names, it->name_room * sizeof(*it->names));
        it->name_sizes = realloc(it->name_sizes, it->name_room * sizeof(*it->name_sizes));
        if (it->names == NULL || it->name_sizes == NULL)
            give_up("no memory");
    }
    it->names[it->name_count] = hand_text(it, data, size);
    it->name_sizes[it->name_count++] = size;
    return HAND_TAKEN;
}

static redisReplyObjectFunctions names_functions = {
    .createString = name_string,
    .createArray = hand_take_array,
    .createInteger = hand_take_integer,
    .createNil = hand_take_null,
    .freeObject = hand_keep,
};

/* The score of a name: within the range, the record is fetched. */
static void *score_string(const redisReadTask *task, char *data, size_t size) {
    hand *it = task->privdata;
    if (hand_is_error(it, task, data, size) || task->parent == NULL)
        return HAND_TAKEN;
    double score = strtod(data, NULL); /* the reader's buffer goes on with \r\n */
    size_t index = (size_t)task->idx;
    if (score >= it->low && score <= it->high) {
        put_fetch(it, it->names[index], it->name_sizes[index]);
        it->wanted++;
    }
    return HAND_TAKEN;
}

static redisReplyObjectFunctions scores_functions = {
    .createString = score_string,
    .createArray = hand_take_array,
    .createInteger = hand_take_integer,
    .createNil = hand_take_null,
    .freeObject = hand_keep,
};

hand_rows hand_query_by_set(hand *it, const char *project, double low, double high) {
    hand_key key;
    char count[32];
    hand_forget_rows(it);
    it->values_only = false;
    it->low = low;
    it->high = high;
    it->wanted = 0;
    hand_make_key(&key, "$KeyF:Flat", "project_id", 10, project, strlen(project));
    PUT_LITERAL(it, "*2\r\n$8\r\nSMEMBERS\r\n");
    hand_put_argument(it, key.text, key.size);
    hand_exchange(it, 1, &names_functions);
    if (it->name_count == 0)
        return (hand_rows){ NULL, 0 };
    int size = snprintf(count, sizeof(count), "*%zu\r\n", it->name_count + 2);
    hand_put(it, count, (size_t)size);
    PUT_LITERAL(it, "$7\r\nZMSCORE\r\n$19\r\n$SortedF:Flat:score\r\n");
    for (size_t i = 0; i < it->name_count; i++)
        hand_put_argument(it, it->names[i], it->name_sizes[i]);
    hand_exchange(it, 1, &scores_functions);
    hand_exchange(it, it->wanted, &rows_functions);
    return (hand_rows){ it->rows, it->row_count };
}
