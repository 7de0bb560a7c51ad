/* popoto.h - map C structs to Redis hashes, keep their indexes right and their tenants apart.
 *
 * The whole public interface of libpopoto. The shortest useful program:
 *
 *     #include <popoto.h>
 *
 *     typedef struct {
 *         popoto_object object;              // zero means "never saved"
 *         const char *project_id;
 *         popoto_id   episode_id;
 *         const char *title;
 *         double      score;
 *     } episode;
 *
 *     static const popoto_field episode_fields[] = {
 *         POPOTO_KEY(episode, project_id),
 *         POPOTO_AUTO_KEY(episode, episode_id),
 *         POPOTO_FIELD(episode, title),
 *         POPOTO_SORTED(episode, score, .partition_by = "project_id"),
 *     };
 *     static const popoto_model Episode = POPOTO_MODEL("Episode", episode, episode_fields);
 *
 *     popoto_db *db = popoto_open("embedded:", NULL);
 *     episode e = { .project_id = "project-a", .title = "First meeting", .score = 0.8 };
 *     if (popoto_create(db, &Episode, &e) != POPOTO_OK)
 *         fprintf(stderr, "%s\n", popoto_error(db));
 *     popoto_close(db);
 *
 * HOW TO READ THIS FILE
 *   1. statuses and errors     4. models            7. queries       10. tenants' scopes
 *   2. values                  5. connections       8. rows          11. strict tenants
 *   3. fields                  6. writing           9. confidence    12. memory
 *                                                                    13. for operators
 *
 * CONVENTIONS
 *   - Every call that can fail returns a popoto_status; popoto_error(db) is its sentence.
 *   - Description structs (popoto_options, popoto_query_desc, ...) are passed by address, are only
 *     read during the call, and mean their defaults where they are zero.
 *   - Text is UTF-8 in NUL-terminated strings unless a size stands beside it. Text that you pass is
 *     only read during the call. Text that you get belongs to the rows (or the db) it came from.
 *   - An output argument is always set: to the result, or to NULL or zero when the call fails.
 *   - One popoto_db is used by one thread at a time; open one for each thread. Models are constant
 *     and may be shared by all threads. Rows may be read by another thread while the db goes on;
 *     freeing them counts as using it. A child of fork(2) may go on with a db of its parent's: it
 *     connects anew. A callback may use the db that called it.
 *   - The library never prints, never exits and never aborts on input.
 */
#ifndef POPOTO_H
#define POPOTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POPOTO_VERSION_MAJOR 0
#define POPOTO_VERSION_MINOR 1
#define POPOTO_VERSION_PATCH 0

#if defined(__GNUC__)
#define POPOTO_API __attribute__((visibility("default")))
#else
#define POPOTO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0": the version of the library that is linked, which may be newer than this header's. */
POPOTO_API const char *popoto_version(void);

/* ===== 1. Statuses and errors ================================================================ */

typedef enum popoto_status {
    POPOTO_OK = 0,
    POPOTO_NOT_FOUND,    /* no such record; or it was deleted since it was loaded */
    POPOTO_EXISTS,       /* create, a changed key: that record is there already; grant: the user */
    POPOTO_DUPLICATE,    /* another record holds that unique value */
    POPOTO_CHANGED,      /* if_unchanged: somebody changed the record since it was loaded */
    POPOTO_SEVERAL,      /* get: more than one record matches */
    POPOTO_BAD_ARGUMENT, /* the call itself makes no sense (a NULL, an option out of range) */
    POPOTO_BAD_URL,      /* the address given to popoto_open cannot be understood */
    POPOTO_BAD_MODEL,    /* the descriptors of a model contradict each other */
    POPOTO_BAD_VALUE,    /* a value the field cannot hold */
    POPOTO_BAD_QUERY,    /* a filter, order or choice of fields that the model cannot answer */
    POPOTO_BAD_SCOPE,    /* the call names another tenant than the scope it runs in */
    POPOTO_CORRUPT,      /* what is stored is not what the model says; it was left as it is */
    POPOTO_CANNOT_CONNECT,  /* no server at that address, or none to embed */
    POPOTO_DENIED,          /* the server refuses the user, the password or the command */
    POPOTO_UNAVAILABLE,     /* the server cannot do it now (loading, out of memory, read only...) */
    POPOTO_SERVER_ERROR,    /* any other error the server answered */
    POPOTO_TIMED_OUT,       /* a deadline passed before anything was sent, or on a read */
    POPOTO_DISCONNECTED,    /* the connection broke; nothing was changed */
    POPOTO_UNKNOWN_OUTCOME, /* the connection broke or timed out while a write was under way: it
                               happened completely or not at all, and which is not known */
    POPOTO_BAD_REPLY,       /* the server answered something that is no valid reply */
    POPOTO_UNSUPPORTED,     /* this build or this server lacks what was asked for */
    POPOTO_STOPPED,         /* a callback of yours asked to stop */
    POPOTO_NO_MEMORY,
} popoto_status;

typedef struct popoto_db popoto_db;

/* The name of a status, "POPOTO_NOT_FOUND". Never NULL, static. */
POPOTO_API const char *popoto_status_name(popoto_status status);

/* The sentence for the last call on this db that did not return POPOTO_OK: what was wrong with
 * which model, field and value, and what would be right. Never NULL; belongs to db, and holds until
 * the next call that fails. db may be NULL (popoto_open ran out of memory). */
POPOTO_API const char *popoto_error(const popoto_db *db);

/* The status of the last call that did not return POPOTO_OK. */
POPOTO_API popoto_status popoto_error_status(const popoto_db *db);

/* ===== 2. Values ============================================================================= */

/* The types that fields and values have. */
typedef enum popoto_type {
    POPOTO_NULL = 0, /* no value; as a field's type: taken from the struct's member */
    POPOTO_BOOL,
    POPOTO_INT,
    POPOTO_FLOAT,
    POPOTO_TEXT,
    POPOTO_BYTES,
    POPOTO_TIME,    /* a moment: popoto_time */
    POPOTO_DAY,     /* a calendar day: popoto_day */
    POPOTO_CLOCK,   /* a time of day: popoto_clock */
    POPOTO_DECIMAL, /* a decimal number, exact, as text */
    POPOTO_LIST,
    POPOTO_TUPLE,
    POPOTO_SET,
    POPOTO_MAP,
    POPOTO_ANY, /* only as a field's type: whatever value it is given */
} popoto_type;

/* Text with its size, for text that may hold NULs or need not end in one. data NULL is null. Text
 * that the library hands out has a NUL after its last byte as well. */
typedef struct popoto_text {
    const char *data;
    size_t size;
} popoto_text;

/* Bytes, any. data NULL is null. */
typedef struct popoto_bytes {
    const void *data;
    size_t size;
} popoto_bytes;

/* A generated key: 32 hex digits (uuid4) or 26 of Crockford's (ulid), NUL-terminated. Empty: not yet
 * generated. */
typedef struct popoto_id {
    char text[33];
} popoto_id;

/* A moment, years 1 to 9999. Zero is 1970-01-01T00:00:00+00:00. A time without an offset ("naive")
 * counts its microseconds as if the wall clock it was read from were UTC's. */
typedef struct popoto_time {
    int64_t microseconds; /* since 1970-01-01T00:00:00 UTC */
    int32_t offset;       /* seconds east of UTC that the moment is written with, or POPOTO_NAIVE */
} popoto_time;
#define POPOTO_NAIVE INT32_MIN

/* A calendar day, years 1 to 9999. All zero is null. */
typedef struct popoto_day {
    int16_t year;
    uint8_t month; /* 1 to 12 */
    uint8_t day;   /* 1 to 31 */
} popoto_day;

/* A time of day. */
typedef struct popoto_clock {
    uint8_t hour;         /* 0 to 23 */
    uint8_t minute;       /* 0 to 59 */
    uint8_t second;       /* 0 to 59 */
    uint32_t microsecond; /* 0 to 999999 */
} popoto_clock;

/* A decimal number as text ("12.50", "-1E+3"), exact. text NULL is null. */
typedef struct popoto_decimal {
    const char *text;
} popoto_decimal;

typedef struct popoto_value popoto_value;

/* The items of a list, tuple or set; or of a map, where keys and values take turns, so that a map of
 * three entries has six items. */
typedef struct popoto_items {
    popoto_value *items;
    size_t count;
} popoto_items;

/* A value of any type; what `type` says is what is in `as`. Zero is null. */
struct popoto_value {
    popoto_type type;
    union {
        bool boolean;       /* POPOTO_BOOL */
        int64_t integer;    /* POPOTO_INT */
        double real;        /* POPOTO_FLOAT */
        popoto_text text;   /* POPOTO_TEXT, POPOTO_DECIMAL */
        popoto_bytes bytes; /* POPOTO_BYTES */
        popoto_time time;   /* POPOTO_TIME */
        popoto_day day;     /* POPOTO_DAY */
        popoto_clock clock; /* POPOTO_CLOCK */
        popoto_items list;  /* POPOTO_LIST, POPOTO_TUPLE, POPOTO_SET, POPOTO_MAP */
    } as;
};

/* Values from C expressions. The value points at the text or the items that it is made from.
 * popoto_of_text(NULL) and its like are null. POPOTO_VALUE(x) chooses by the type of x. */
POPOTO_API popoto_value popoto_of_text(const char *text);
static inline popoto_value popoto_of_bool(bool value) {
    popoto_value v = { POPOTO_BOOL, { 0 } };
    v.as.boolean = value;
    return v;
}
static inline popoto_value popoto_of_int(int64_t value) {
    popoto_value v = { POPOTO_INT, { 0 } };
    v.as.integer = value;
    return v;
}
/* Above INT64_MAX it becomes a value that no field takes: the call that is given it refuses it. */
POPOTO_API popoto_value popoto_of_unsigned(uint64_t value);
static inline popoto_value popoto_of_float(double value) {
    popoto_value v = { POPOTO_FLOAT, { 0 } };
    v.as.real = value;
    return v;
}
static inline popoto_value popoto_of_sized_text(popoto_text text) {
    popoto_value v = { text.data ? POPOTO_TEXT : POPOTO_NULL, { 0 } };
    v.as.text = text;
    return v;
}
static inline popoto_value popoto_of_bytes(popoto_bytes bytes) {
    popoto_value v = { bytes.data ? POPOTO_BYTES : POPOTO_NULL, { 0 } };
    v.as.bytes = bytes;
    return v;
}
static inline popoto_value popoto_of_time(popoto_time time) {
    popoto_value v = { POPOTO_TIME, { 0 } };
    v.as.time = time;
    return v;
}
static inline popoto_value popoto_of_day(popoto_day day) {
    popoto_value v = { day.month ? POPOTO_DAY : POPOTO_NULL, { 0 } };
    v.as.day = day;
    return v;
}
static inline popoto_value popoto_of_clock(popoto_clock clock) {
    popoto_value v = { POPOTO_CLOCK, { 0 } };
    v.as.clock = clock;
    return v;
}
POPOTO_API popoto_value popoto_of_decimal(popoto_decimal decimal);
/* Points into `id`, which must outlive the value. */
POPOTO_API popoto_value popoto_of_id(const popoto_id *id);
static inline popoto_value popoto_of_value(popoto_value value) {
    return value;
}
static inline popoto_value popoto_of_items(popoto_type type, popoto_value *items, size_t count) {
    popoto_value v = { type, { 0 } };
    v.as.list.items = items;
    v.as.list.count = count;
    return v;
}

/* Two values are equal when type and content are; ints and floats are of different types. Times are
 * equal when they are the same moment; sets and maps whatever the order of their entries. */
POPOTO_API bool popoto_value_equal(const popoto_value *a, const popoto_value *b);

#ifndef __cplusplus
#define POPOTO_VALUE(...) \
    _Generic((__VA_ARGS__),                                                                                  \
        char *: popoto_of_text,                                                                    \
        const char *: popoto_of_text,                                                              \
        bool: popoto_of_bool,                                                                      \
        signed char: popoto_of_int,                                                                \
        short: popoto_of_int,                                                                      \
        int: popoto_of_int,                                                                        \
        long: popoto_of_int,                                                                       \
        long long: popoto_of_int,                                                                  \
        unsigned char: popoto_of_unsigned,                                                         \
        unsigned short: popoto_of_unsigned,                                                        \
        unsigned int: popoto_of_unsigned,                                                          \
        unsigned long: popoto_of_unsigned,                                                         \
        unsigned long long: popoto_of_unsigned,                                                    \
        float: popoto_of_float,                                                                    \
        double: popoto_of_float,                                                                   \
        popoto_text: popoto_of_sized_text,                                                         \
        popoto_bytes: popoto_of_bytes,                                                             \
        popoto_time: popoto_of_time,                                                               \
        popoto_day: popoto_of_day,                                                                 \
        popoto_clock: popoto_of_clock,                                                             \
        popoto_decimal: popoto_of_decimal,                                                         \
        const popoto_id *: popoto_of_id,                                                           \
        popoto_id *: popoto_of_id,                                                                 \
        popoto_value: popoto_of_value)(__VA_ARGS__)
#endif

/* A list value of one to eight C expressions: POPOTO_LIST("a", "b"). Lives as long as the block of
 * code that it stands in. */
#define POPOTO_LIST(...)                                                        \
    popoto_of_items(POPOTO_LIST, (popoto_value[]){ POPOTO__EACH(__VA_ARGS__) }, \
                    sizeof((popoto_value[]){ POPOTO__EACH(__VA_ARGS__) }) / sizeof(popoto_value))
#define POPOTO__EACH(...)                                                                       \
    POPOTO__PICK(__VA_ARGS__, POPOTO__8, POPOTO__7, POPOTO__6, POPOTO__5, POPOTO__4, POPOTO__3, \
                 POPOTO__2, POPOTO__1, 0)                                                       \
    (__VA_ARGS__)
#define POPOTO__PICK(a, b, c, d, e, f, g, h, it, ...) it
#define POPOTO__1(a)                                  POPOTO_VALUE(a)
#define POPOTO__2(a, b)                               POPOTO_VALUE(a), POPOTO_VALUE(b)
#define POPOTO__3(a, b, c)                            POPOTO__2(a, b), POPOTO_VALUE(c)
#define POPOTO__4(a, b, c, d)                         POPOTO__2(a, b), POPOTO__2(c, d)
#define POPOTO__5(a, b, c, d, e)                      POPOTO__4(a, b, c, d), POPOTO_VALUE(e)
#define POPOTO__6(a, b, c, d, e, f)                   POPOTO__4(a, b, c, d), POPOTO__2(e, f)
#define POPOTO__7(a, b, c, d, e, f, g)                POPOTO__4(a, b, c, d), POPOTO__3(e, f, g)
#define POPOTO__8(a, b, c, d, e, f, g, h)             POPOTO__4(a, b, c, d), POPOTO__4(e, f, g, h)

/* ===== 3. Fields ============================================================================= */

/* What a field is for. */
typedef enum popoto_kind {
    POPOTO_KIND_FIELD = 0,  /* stored, not indexed */
    POPOTO_KIND_KEY,        /* part of the record's key; found by value through a key index */
    POPOTO_KIND_AUTO_KEY,   /* part of the record's key, generated where it is empty */
    POPOTO_KIND_UNIQUE_KEY, /* part of the record's key; no two records of the model share a value */
    POPOTO_KIND_SORTED,     /* kept in a sorted index, for ranges and order */
    POPOTO_KIND_CONFIDENCE, /* Bayesian figures in a companion hash; see section 9. The member itself
                               holds what the record was stored with, the initial confidence where it
                               was 0: ask popoto_confidence_get for what became of it */
    POPOTO_KIND_TENANT,     /* owns the record: begins every key of it; see section 11 */
} popoto_kind;

/* How a struct's member holds its value. Chosen by the POPOTO_... macros below; by hand only where a binding
 * lays out its structs at run time.
 *
 *   member                                  holds         null
 *   const char *, char *                    text          NULL
 *   char name[N]                            text          - (at most N - 1 bytes)
 *   popoto_text                             text          .data NULL
 *   bool, any integer, float, double        bool/int/float -
 *   const int64_t *, const double *,
 *   const bool *, const popoto_time *       the same      NULL
 *   popoto_bytes                            bytes         .data NULL
 *   popoto_time, popoto_clock               moment, time of day  -
 *   popoto_day                              day           all zero
 *   popoto_decimal                          decimal       .text NULL
 *   popoto_value                            any           .type POPOTO_NULL
 *   popoto_id                               generated key empty
 *
 * An integer narrower than 64 bits has its range checked when a record is read; an unsigned 64-bit
 * one when it is written. */
typedef enum popoto_member {
    POPOTO_MEMBER_NONE = 0, /* no struct: the model is one of records */
    POPOTO_MEMBER_STRING,
    POPOTO_MEMBER_ARRAY,
    POPOTO_MEMBER_TEXT,
    POPOTO_MEMBER_BOOL,
    POPOTO_MEMBER_SIGNED,
    POPOTO_MEMBER_UNSIGNED,
    POPOTO_MEMBER_FLOAT, /* float or double, by size */
    POPOTO_MEMBER_BYTES,
    POPOTO_MEMBER_TIME,
    POPOTO_MEMBER_DAY,
    POPOTO_MEMBER_CLOCK,
    POPOTO_MEMBER_DECIMAL,
    POPOTO_MEMBER_VALUE,
    POPOTO_MEMBER_ID,
    POPOTO_MEMBER_BOOL_POINTER,
    POPOTO_MEMBER_INT_POINTER,
    POPOTO_MEMBER_FLOAT_POINTER,
    POPOTO_MEMBER_TIME_POINTER,
} popoto_member;

/* How an AUTO_KEY is generated. */
typedef enum popoto_auto {
    POPOTO_UUID4 = 0, /* 32 hex digits, random */
    POPOTO_ULID,      /* 26 digits that sort by time of creation, to the millisecond */
} popoto_auto;

/* A field of a model. Write it with the macros below; after the member come options by name. */
typedef struct popoto_field {
    const char *name; /* letters, digits and _, no __; at most 128 bytes */
    popoto_kind kind;
    popoto_type type;     /* of a record's field; of a struct's field it follows from the member */
    popoto_member member; /* set by the macros */
    size_t offset;        /* set by the macros */
    size_t size;          /* set by the macros */

    /* Options. */
    const char *partition_by; /* SORTED, CONFIDENCE: "project_id", or several: "exchange,symbol" */
    bool null; /* FIELD: null is allowed. Text and its like allow null only so. In the
                                 dialect POPOTO_AS_POPOTO also KEY */
    /* FIELD: a null is stored as null (or refused), and default_value only read where a stored record lacks
     * the field: for callers that put the default into new objects themselves, and can tell a null that
     * was meant. */
    bool keep_null;
    popoto_value default_value; /* FIELD: taken where a null is stored, and where a stored record
                                   lacks the field: POPOTO_DEFAULT_INT(3) and its like */
    size_t max_length;          /* text, bytes: the longest value in bytes; 0: 512 MiB, as Redis */
    popoto_auto generate;       /* AUTO_KEY */
    double initial_confidence; /* CONFIDENCE: 0 to 1; left out (0): 0.5; POPOTO_ZERO for a real 0 */
    int64_t evidence_cap;      /* CONFIDENCE: at least 1; left out (0): 20 */
    int reserved;              /* 0 */
} popoto_field;

#define POPOTO_ZERO (-1.0)

/* Constant values for .default_value; a struct's field whose member has no null (a double) uses it
 * only where a stored record lacks the field. */
#define POPOTO_DEFAULT_INT(x)                       \
    {                                               \
        .type = POPOTO_INT, .as = {.integer = (x) } \
    }
#define POPOTO_DEFAULT_FLOAT(x)                    \
    {                                              \
        .type = POPOTO_FLOAT, .as = {.real = (x) } \
    }
#define POPOTO_DEFAULT_BOOL(x)                       \
    {                                                \
        .type = POPOTO_BOOL, .as = {.boolean = (x) } \
    }
#define POPOTO_DEFAULT_TEXT(x)                                                             \
    {                                                                                      \
        .type = POPOTO_TEXT, .as = {.text = { .data = ("" x ""), .size = sizeof(x) - 1 } } \
    }

/* POPOTO_KEY(struct, member, options...): see popoto_kind for what each is for. */
#define POPOTO_KEY(...)        POPOTO__FIELD(POPOTO_KIND_KEY, __VA_ARGS__, .reserved = 0)
#define POPOTO_AUTO_KEY(...)   POPOTO__FIELD(POPOTO_KIND_AUTO_KEY, __VA_ARGS__, .reserved = 0)
#define POPOTO_UNIQUE_KEY(...) POPOTO__FIELD(POPOTO_KIND_UNIQUE_KEY, __VA_ARGS__, .reserved = 0)
#define POPOTO_FIELD(...)      POPOTO__FIELD(POPOTO_KIND_FIELD, __VA_ARGS__, .reserved = 0)
#define POPOTO_SORTED(...)     POPOTO__FIELD(POPOTO_KIND_SORTED, __VA_ARGS__, .reserved = 0)
#define POPOTO_CONFIDENCE(...) POPOTO__FIELD(POPOTO_KIND_CONFIDENCE, __VA_ARGS__, .reserved = 0)
#define POPOTO_TENANT(...)     POPOTO__FIELD(POPOTO_KIND_TENANT, __VA_ARGS__, .reserved = 0)

#define POPOTO__FIELD(kind_, struct_, member_, ...)                                                \
    {                                                                                              \
        .name = #member_, .kind = kind_, .member = POPOTO__MEMBER(struct_, member_),               \
        .offset = offsetof(struct_, member_), .size = sizeof(((struct_ *)0)->member_), __VA_ARGS__ \
    }
/* The address is taken so that an array stays an array. */
#define POPOTO__MEMBER(struct_, member_) \
    _Generic(&((struct_ *)0)->member_,                                                             \
        const char **: POPOTO_MEMBER_STRING,                                                       \
        char **: POPOTO_MEMBER_STRING,                                                             \
        char(*)[sizeof(((struct_ *)0)->member_)]: POPOTO_MEMBER_ARRAY,                             \
        popoto_text *: POPOTO_MEMBER_TEXT,                                                         \
        bool *: POPOTO_MEMBER_BOOL,                                                                \
        signed char *: POPOTO_MEMBER_SIGNED,                                                       \
        short *: POPOTO_MEMBER_SIGNED,                                                             \
        int *: POPOTO_MEMBER_SIGNED,                                                               \
        long *: POPOTO_MEMBER_SIGNED,                                                              \
        long long *: POPOTO_MEMBER_SIGNED,                                                         \
        unsigned char *: POPOTO_MEMBER_UNSIGNED,                                                   \
        unsigned short *: POPOTO_MEMBER_UNSIGNED,                                                  \
        unsigned int *: POPOTO_MEMBER_UNSIGNED,                                                    \
        unsigned long *: POPOTO_MEMBER_UNSIGNED,                                                   \
        unsigned long long *: POPOTO_MEMBER_UNSIGNED,                                              \
        float *: POPOTO_MEMBER_FLOAT,                                                              \
        double *: POPOTO_MEMBER_FLOAT,                                                             \
        popoto_bytes *: POPOTO_MEMBER_BYTES,                                                       \
        popoto_time *: POPOTO_MEMBER_TIME,                                                         \
        popoto_day *: POPOTO_MEMBER_DAY,                                                           \
        popoto_clock *: POPOTO_MEMBER_CLOCK,                                                       \
        popoto_decimal *: POPOTO_MEMBER_DECIMAL,                                                   \
        popoto_value *: POPOTO_MEMBER_VALUE,                                                       \
        popoto_id *: POPOTO_MEMBER_ID,                                                             \
        const bool **: POPOTO_MEMBER_BOOL_POINTER,                                                 \
        bool **: POPOTO_MEMBER_BOOL_POINTER,                                                       \
        const int64_t **: POPOTO_MEMBER_INT_POINTER,                                               \
        int64_t **: POPOTO_MEMBER_INT_POINTER,                                                     \
        const double **: POPOTO_MEMBER_FLOAT_POINTER,                                              \
        double **: POPOTO_MEMBER_FLOAT_POINTER,                                                    \
        const popoto_time **: POPOTO_MEMBER_TIME_POINTER,                                          \
        popoto_time **: POPOTO_MEMBER_TIME_POINTER)

/* ===== 4. Models ============================================================================= */

/* What the library remembers about an object since it was last saved or loaded; the first member of
 * every mapped struct. Zero means "never saved". It is plain data: copying the struct copies it. */
typedef struct popoto_object {
    uint64_t key;     /* a digest of the key the record is stored under */
    uint64_t content; /* a digest of what was stored */
    uint64_t origin;  /* where this connection remembers that key; 0: nowhere */
    uint64_t flags;
} popoto_object;

/* A model: a name, its fields, and the struct or (size 0) the records that hold one. Constant: it
 * must stay as it is, at its address, for as long as a db that was given it is open. It is checked
 * once, by the first call that uses it, and a contradiction is reported as POPOTO_BAD_MODEL. */
typedef struct popoto_model {
    const char *name; /* letters, digits and _; at most 128 bytes */
    const popoto_field *fields;
    size_t field_count; /* 1 to 256; at least one of them a key of some kind */
    size_t size;        /* of the struct; 0: objects of this model are popoto_records */
    size_t object_offset;
    uint32_t time_to_live; /* seconds until a record expires after each save; 0: never. What indexes
                              still name of it is removed by the next call that meets it there */
    int reserved;          /* 0 */
} popoto_model;

/* POPOTO_MODEL("Name", struct, fields, options...). The struct's popoto_object is its member
 * `object`. */
#define POPOTO_MODEL(...) POPOTO__MODEL(__VA_ARGS__, .reserved = 0)
#define POPOTO__MODEL(name_, struct_, fields_, ...)                                              \
    {                                                                                            \
        .name = name_, .fields = fields_, .field_count = sizeof(fields_) / sizeof((fields_)[0]), \
        .size = sizeof(struct_), .object_offset = offsetof(struct_, object), __VA_ARGS__         \
    }

/* Check a model without using it. POPOTO_BAD_MODEL with a sentence, or POPOTO_OK. */
POPOTO_API popoto_status popoto_model_check(popoto_db *db, const popoto_model *model);

/* Records: objects of a model that is described at run time (size 0), as bindings and tools need.
 * Every call that takes an object takes a popoto_record of such a model. */
typedef struct popoto_record popoto_record;

/* A new record of `model`, all null. *record is to be released with popoto_record_free before db is
 * closed. */
POPOTO_API popoto_status popoto_record_new(popoto_db *db, const popoto_model *model,
                                           popoto_record **record);
POPOTO_API void popoto_record_free(popoto_record *record);

/* Set a field; the record keeps a deep copy of the value. A value of a type that the field cannot
 * hold is refused here (POPOTO_BAD_VALUE); so is a name that is no field's (POPOTO_BAD_ARGUMENT). */
POPOTO_API popoto_status popoto_record_set(popoto_record *record, const char *name,
                                           popoto_value value);

/* The value of a field; NULL where the model has no such field. Belongs to the record, and holds
 * until that field is set again. */
POPOTO_API const popoto_value *popoto_record_get(const popoto_record *record, const char *name);

/* ===== 5. Connections ======================================================================== */

/* How keys are written; see docs/keys.md. */
typedef enum popoto_dialect {
    POPOTO_DOCUMENTED = 0, /* exactly as the manual of Popoto prints them */
    POPOTO_AS_POPOTO,      /* exactly as Popoto 1.10 (Python) writes them, so that both share one
                              database: key fields in alphabetical order, - escaped, sorted indexes
                              under $SortF, partition values in the keys of companion hashes as they
                              are. Here a KEY can be null: it stands in keys as None, so a KEY that
                              may be null refuses the text "None". Refused, too: a text with a : as
                              one of several partition values of a CONFIDENCE field, because "a:b",
                              "c" and "a", "b:c" would share a companion hash. See
                              docs/popoto-compatibility.md */
} popoto_dialect;

/* Where memory comes from. `resize` is realloc with a context: block NULL allocates, size 0 releases
 * and returns NULL; it returns NULL where there is no memory, and then leaves the block as it was. */
typedef struct popoto_allocator {
    void *(*resize)(void *context, void *block, size_t size);
    void *context;
} popoto_allocator;

typedef struct popoto_options {
    popoto_dialect dialect;
    int connect_timeout; /* milliseconds; 0: 5000; negative: none */
    int command_timeout; /* milliseconds for one call's exchange with the server; 0: 5000; negative:
                            none */
    /* "embedded:": the redis-server to start; NULL: looked up on PATH. */
    const char *server_program;
    popoto_allocator allocator; /* all zero: malloc's */
} popoto_options;

/* Connect to a server.
 *
 *   redis://[[user]:password@]host[:port][/db]     TCP; port 6379, db 0
 *   rediss://...                                   the same over TLS
 *   redis+cluster://[[user]:password@]host[:port][,host[:port]]...
 *                                                  a Redis Cluster, by some of its nodes; for
 *                                                  strict models (POPOTO_TENANT) alone
 *   rediss+cluster://...                           the same over TLS
 *   unix:/path/to/socket[?db=N]                    a Unix socket
 *   unix://[user]:password@/path/to/socket[?db=N]  the same with a password
 *   embedded:                                      a private server of this user's, started on
 *                                                  demand; its data is in $XDG_DATA_HOME/popoto
 *   embedded:/folder                               the same with its data in /folder
 *
 * %XX in user, password and path stands for a byte. Never NULL but when there is no memory. When the
 * server cannot be reached, the db is there all the same: popoto_error_status says what is wrong,
 * and each later call tries again to connect. A URL that makes no sense makes every later call fail
 * with POPOTO_BAD_URL. `options` may be NULL. */
POPOTO_API popoto_db *popoto_open(const char *url, const popoto_options *options);

/* Close the connection and release everything that belongs to db, rows and streams excepted: free
 * those first. The last process to leave an embedded server stops it. db may be NULL. */
POPOTO_API void popoto_close(popoto_db *db);

/* Use another server (a tenant's own, say) from the next call on. On failure db stays with the
 * server that it had. Objects and scopes stay; rows that were loaded stay readable. */
POPOTO_API popoto_status popoto_switch(popoto_db *db, const char *url);

/* One round trip: is the server there, and does it let us in? */
POPOTO_API popoto_status popoto_ping(popoto_db *db);

/* The Unix socket that this db is connected to ("embedded:", "unix:"), for redis-cli -s and the
 * like; NULL for TCP. Belongs to db. */
POPOTO_API const char *popoto_socket(const popoto_db *db);

/* ===== 6. Writing ============================================================================ */

/* Each of these is one atomic step on the server: the record, all its indexes and its confidence
 * entries change together, or nothing does. */

/* Store a new record. Generates an empty AUTO_KEY and writes it into the object. POPOTO_EXISTS if
 * there is a record with this key, POPOTO_DUPLICATE if another record holds its unique value. */
POPOTO_API popoto_status popoto_create(popoto_db *db, const popoto_model *model, void *object);

/* Store an object: one that was loaded or saved before replaces its record (POPOTO_NOT_FOUND if
 * somebody deleted that), one that never was is created or replaces what has its key. When a key
 * member changed since, the record moves: its old name disappears from every index in the same
 * step (POPOTO_EXISTS if the new name is taken). An object's former key is known to the rows it was
 * loaded in while they are there, and to the db that saved it for the latest few thousand saves;
 * elsewhere a changed key is refused (POPOTO_BAD_ARGUMENT): load the record, change that, and save; or
 * tell the former key to popoto_remember. */
POPOTO_API popoto_status popoto_save(popoto_db *db, const popoto_model *model, void *object);

typedef struct popoto_save_desc {
    const char *only;  /* "title,score": store these fields alone, besides the key */
    bool if_unchanged; /* POPOTO_CHANGED, and nothing done, if the stored record is not what this
                          object was loaded or saved as */
} popoto_save_desc;

POPOTO_API popoto_status popoto_save_with(popoto_db *db, const popoto_model *model, void *object,
                                          const popoto_save_desc *desc);

/* Remove the record with this object's key (the key it was loaded or saved under), with all that
 * belongs to it. POPOTO_NOT_FOUND if there is none. The object becomes "never saved". */
POPOTO_API popoto_status popoto_delete(popoto_db *db, const popoto_model *model, void *object);

/* The same for many objects, pipelined; each is atomic by itself. `objects` is an array of `count`
 * pointers. statuses[i], where statuses is not NULL, tells what became of each; the call returns
 * POPOTO_OK if all are, else the first status that is not, with its sentence. Of several saves of one record the last
 * counts. A unique value that one object gives up and another one takes is better left to two calls: what has
 * to be sent again comes after the others, and may then be POPOTO_DUPLICATE. */
POPOTO_API popoto_status popoto_create_many(popoto_db *db, const popoto_model *model,
                                            void *const *objects, size_t count,
                                            popoto_status *statuses);
POPOTO_API popoto_status popoto_save_many(popoto_db *db, const popoto_model *model,
                                          void *const *objects, size_t count,
                                          popoto_status *statuses);
POPOTO_API popoto_status popoto_delete_many(popoto_db *db, const popoto_model *model,
                                            void *const *objects, size_t count,
                                            popoto_status *statuses);

/* The key that this object is (or would be) stored under. key->data is to be released with
 * popoto_free. */
POPOTO_API popoto_status popoto_key(popoto_db *db, const popoto_model *model, const void *object,
                                    popoto_text *key);

/* Let db know under which key an object's record is stored, as popoto_key gave it before the object's key
 * members were changed: the next call on db that saves or deletes the object finds the record by it. For
 * objects that another db loaded or saved, as bindings with several connections have them.
 * POPOTO_BAD_ARGUMENT: the object was not saved under this key. */
POPOTO_API popoto_status popoto_remember(popoto_db *db, const popoto_model *model, void *object,
                                         popoto_text key);

/* ===== 7. Queries ============================================================================ */

/* A condition: "field" or "field__lookup", and the value to compare with.
 *
 *   lookup         the record's value                     answered by the indexes of
 *   (none)         equals                                 KEY, UNIQUE_KEY, SORTED, the whole key
 *   in             is one of a list                       KEY, UNIQUE_KEY, SORTED
 *   gt gte lt lte  is above, ... (numbers, times, days)   SORTED
 *   between        is within a list of two, both included SORTED
 *   isnull         is null (true) or not (false)          KEY that may be null: true
 *   startswith endswith contains   (text)                 -
 *
 * A query without any filter is of all records. What no index answers needs .allow_scan, except lookups on key fields beside a filter that an
 * index answers. A SORTED field with partition_by needs an exact filter (or `in`) on every
 * partition field. */
typedef struct popoto_filter {
    const char *lookup;
    popoto_value value;
} popoto_filter;

/* POPOTO_IS("score__gte", 0.5), POPOTO_IS("project_id__in", POPOTO_LIST("a", "b")). */
#define POPOTO_IS(lookup_, ...) \
    { .lookup = (lookup_), .value = POPOTO_VALUE(__VA_ARGS__) }

#define POPOTO_MAX_WHERE 8

typedef struct popoto_query_desc {
    const popoto_model *model;
    popoto_filter where[POPOTO_MAX_WHERE]; /* all must hold; ends at the first without a lookup */
    const popoto_filter *filters;          /* more of them, for lists made at run time */
    size_t filter_count;
    const char *order_by; /* "score" or "-score"; a SORTED field's index gives the order, other
                             fields are sorted here after all rows came; NULL: no order promised */
    size_t limit;         /* at most so many rows; 0: no limit */
    size_t offset;        /* leave out so many first */
    const char *fields;   /* "title,score": fill only these and the key; NULL: all */
    bool all_tenants; /* a strict model: of every tenant; without it the filter or a scope must name
                             one (see section 11) */
    bool allow_scan;  /* look through all the model's records if no index answers a filter */
} popoto_query_desc;

typedef struct popoto_rows popoto_rows;

/* All rows that match. *rows belongs to you: popoto_rows_free. POPOTO_CORRUPT: some stored records
 * do not fit the model, or the condition on a part of the key fits a record's key and not what is stored in
 * it; *rows holds the others, and popoto_rows_problem names those. A field that a record lacks is not
 * corrupt: it has its default, or is null (a member that has no null: 0), and popoto_audit finds it. */
POPOTO_API popoto_status popoto_query(popoto_db *db, const popoto_query_desc *desc,
                                      popoto_rows **rows);

/* The one row that matches, as *rows with one row. POPOTO_NOT_FOUND, POPOTO_SEVERAL. */
POPOTO_API popoto_status popoto_get(popoto_db *db, const popoto_query_desc *desc,
                                    popoto_rows **rows);

/* The record with the key that `object`'s key members name, as *rows with one row. */
POPOTO_API popoto_status popoto_load(popoto_db *db, const popoto_model *model, const void *object,
                                     popoto_rows **rows);

/* The records stored under these keys, such as popoto_confidence_scan reports, in their order; those
 * that are not there are left out. POPOTO_BAD_ARGUMENT names a key that is none of this model's. */
POPOTO_API popoto_status popoto_load_keys(popoto_db *db, const popoto_model *model,
                                          const popoto_text *keys, size_t count,
                                          popoto_rows **rows);

/* How many records match; limit, offset, order and fields are ignored. Where an index has the answer alone,
 * its entries are counted and no record is looked at: it may count one that a query reports as corrupt.
 * POPOTO_CORRUPT: an index or some records are not what they should be, popoto_error names the first; *count
 * is how many the others are. */
POPOTO_API popoto_status popoto_count(popoto_db *db, const popoto_query_desc *desc, size_t *count);

/* A query whose rows come in batches, for results larger than memory. Order: none, or by the SORTED
 * field whose index answers the query; another one is POPOTO_BAD_QUERY. Records that are written
 * while the stream is read may be missed; all others come, in an ordered stream exactly once. One
 * without order reads a set, and may give a record twice when the set grows or shrinks meanwhile. */
typedef struct popoto_stream popoto_stream;
POPOTO_API popoto_status popoto_stream_open(popoto_db *db, const popoto_query_desc *desc,
                                            popoto_stream **stream);
/* *row is the next row, or NULL at the end. It holds until the next call with this stream. Other
 * calls on db are fine in between. POPOTO_CORRUPT: one stored record does not fit the model,
 * popoto_error names it, and the next call goes on after it. */
POPOTO_API popoto_status popoto_stream_next(popoto_stream *stream, void **row);
POPOTO_API void popoto_stream_free(popoto_stream *stream);

/* ===== 8. Rows =============================================================================== */

POPOTO_API size_t popoto_rows_count(const popoto_rows *rows);

/* Row `index`, a struct of the model (or a popoto_record); NULL past the end. It belongs to rows with
 * every text in it, may be changed in place, and saved. */
POPOTO_API void *popoto_rows_at(popoto_rows *rows, size_t index);

/* The stored records that matched but do not fit the model. */
POPOTO_API size_t popoto_rows_problem_count(const popoto_rows *rows);
/* A sentence that names the key, the field and what is wrong; NULL past the end. */
POPOTO_API const char *popoto_rows_problem(const popoto_rows *rows, size_t index);

/* rows may be NULL. */
POPOTO_API void popoto_rows_free(popoto_rows *rows);

/* ===== 9. Confidence ========================================================================= */

/* The figures of one record. With a signal s, 0 to 1:
 *     n = min(evidence_count + 1, evidence_cap)
 *     confidence += (s - confidence) / (n + 1), kept within 0 to 1
 * which is the running mean of the prior and all signals up to the cap, then forgets exponentially
 * (Popoto 1.10, fields/confidence_field.py). s >= 0.5 corroborates, else it contradicts. */
typedef struct popoto_confidence {
    double confidence;
    int64_t evidence_count;
    int64_t corroborations;
    int64_t contradictions;
} popoto_confidence;

/* Move one record's figures by a signal, atomically. `after` may be NULL. POPOTO_BAD_VALUE for a
 * signal outside 0 to 1 or NaN; POPOTO_NOT_FOUND for a record that is not there. */
POPOTO_API popoto_status popoto_confidence_update(popoto_db *db, const popoto_model *model,
                                                  const void *object, const char *field,
                                                  double signal, popoto_confidence *after);

typedef struct popoto_signal {
    const void *object;
    double signal;
    popoto_status status;    /* out */
    popoto_confidence after; /* out, where status is POPOTO_OK */
} popoto_signal;

/* The same for many, pipelined. Returns POPOTO_OK if all are, else the first status that is not. */
POPOTO_API popoto_status popoto_confidence_update_many(popoto_db *db, const popoto_model *model,
                                                       const char *field, popoto_signal *signals,
                                                       size_t count);

/* The confidence of one record; the initial one where no signal ever came. */
POPOTO_API popoto_status popoto_confidence_get(popoto_db *db, const popoto_model *model,
                                               const void *object, const char *field,
                                               double *confidence);
/* All four figures. */
POPOTO_API popoto_status popoto_confidence_figures(popoto_db *db, const popoto_model *model,
                                                   const void *object, const char *field,
                                                   popoto_confidence *figures);

/* Called for each entry; return false to stop (the call then returns POPOTO_STOPPED). `member` is the
 * record's key, and holds during the call. */
typedef bool popoto_confidence_callback(void *context, popoto_text member,
                                        const popoto_confidence *figures);

typedef struct popoto_confidence_scan_desc {
    const popoto_model *model;
    const char *field;
    const char *pattern; /* a Redis pattern for the members, "Memory:atlas:*"; NULL: all */
    popoto_filter where[POPOTO_MAX_WHERE]; /* the partition: exact values of its fields */
    popoto_confidence_callback *callback;
    void *context;
} popoto_confidence_scan_desc;

/* All entries of a companion hash whose members match, by HSCAN with bounded memory. Each entry that
 * is there throughout is reported at least once. POPOTO_CORRUPT: popoto_error names the first entry
 * that is none; the others were reported. In a scope on a key field, only the members with that value
 * are reported; on a field that is neither in the key nor in the partition, POPOTO_BAD_SCOPE. */
POPOTO_API popoto_status popoto_confidence_scan(popoto_db *db,
                                                const popoto_confidence_scan_desc *desc);

/* The key of the companion hash that holds this object's entry, and that of the partition that
 * `values` (count of them, exact) name: POPOTO_BAD_ARGUMENT names a partition value that is missing.
 * key->data is to be released with popoto_free. */
POPOTO_API popoto_status popoto_confidence_key(popoto_db *db, const popoto_model *model,
                                               const void *object, const char *field,
                                               popoto_text *key);
POPOTO_API popoto_status popoto_confidence_key_from_values(popoto_db *db, const popoto_model *model,
                                                           const char *field,
                                                           const popoto_filter *values,
                                                           size_t count, popoto_text *key);

typedef struct popoto_migration_desc {
    bool dry_run; /* only report what would happen */
    /* Called after each batch; return false to stop (the call then returns POPOTO_STOPPED). May be
     * NULL. `done` is how many entries have been placed or listed as errors, `total` how many the
     * hash had at the start; writers that still add to it can make `done` the larger one. */
    bool (*progress)(void *context, size_t done, size_t total);
    void *context;
    size_t limit; /* move at most so many, and leave the others to the next call; 0: all */
} popoto_migration_desc;

typedef struct popoto_migration_partition {
    popoto_text name; /* the partition's values: "atlas", "nyse:ibm" */
    size_t count;
} popoto_migration_partition;

typedef struct popoto_migration_error {
    popoto_text member;
    const char *reason;
} popoto_migration_error;

typedef struct popoto_migration_report {
    size_t
        total; /* there were at the start: of those, what is neither migrated nor an error remains */
    size_t migrated;
    const popoto_migration_error *errors;
    size_t error_count;
    const popoto_migration_partition *partitions; /* sorted by name */
    size_t partition_count;
} popoto_migration_report;

/* Move the entries of a CONFIDENCE field's unpartitioned hash to the partitions that its
 * partition_by now declares. Safe to interrupt and run again, and while others write: each entry
 * moves in one atomic step, figures gathered on both sides are merged. An entry that cannot be placed
 * stays where it was and is listed. POPOTO_BAD_SCOPE in a scope on one of the model's fields: a
 * migration is about all tenants. *report (set unless there is no memory) is to be released with
 * popoto_migration_report_free. */
POPOTO_API popoto_status popoto_confidence_migrate(popoto_db *db, const popoto_model *model,
                                                   const char *field,
                                                   const popoto_migration_desc *desc,
                                                   popoto_migration_report **report);
POPOTO_API void popoto_migration_report_free(popoto_migration_report *report);

/* ===== 10. Tenants' scopes =================================================================== */

/* From now on, on this thread and db, every call on a model that has a field of this name uses this
 * value for it: objects and filters that leave it out (text NULL, a number 0) are filled in for the
 * call, and those that name another one are refused with POPOTO_BAD_SCOPE. The object itself is not
 * written to. Scopes nest: the innermost one for a name counts. `value` is copied. */
POPOTO_API popoto_status popoto_scope_enter(popoto_db *db, const char *field, const char *value);
POPOTO_API popoto_status popoto_scope_enter_value(popoto_db *db, const char *field,
                                                  popoto_value value);

/* Leave the innermost scope of this thread. POPOTO_BAD_ARGUMENT if there is none. */
POPOTO_API popoto_status popoto_scope_leave(popoto_db *db);

/* ===== 11. Strict tenants ===================================================================== */

/* A model whose owner is declared with POPOTO_TENANT instead of POPOTO_KEY is strict:
 *
 *   - every key of it begins with the tenant in braces, {project-a}:Episode:abc123, indexes and all, so
 *     that one tenant's keys are one slot of a Redis Cluster and one access-control pattern;
 *   - every call names one tenant, by the object, by a filter or by a scope; one that names none, or
 *     two, is refused before anything is sent;
 *   - unique values are unique within the tenant, and every index is the tenant's own, so that
 *     partition_by need not name it.
 *
 * A tenant is text, bytes or an integer, and never empty; 0 is none where a struct holds the integer
 * itself, because a member that was never set holds that. Calls on many objects name the tenant of each
 * by itself. */

/* Called for each tenant; return false to stop (the call then returns POPOTO_STOPPED). The value holds
 * during the call. */
typedef bool popoto_tenant_callback(void *context, const popoto_value *tenant);

/* Every tenant that has records of a strict model, by looking through all keys of the database in small
 * steps: for operators. POPOTO_BAD_SCOPE in a scope that names one. */
POPOTO_API popoto_status popoto_tenants(popoto_db *db, const popoto_model *model,
                                        popoto_tenant_callback *callback, void *context);

/* A user of the server for one tenant: it may send the commands that this library sends, on keys that
 * begin with the tenant, and nothing else. Everything on strict models works with it inside the tenant,
 * except what is about all tenants; outside it the server itself refuses. This is worth what the
 * server's other users are worth: give the default user a password, or turn it off (the report says
 * where it is open). Such a user may run scripts of its own (on its own keys), so that it can keep the
 * server busy; use Redis 6.2.7, 7.0 or a later one, where a script cannot change what other users' scripts
 * do. */
typedef struct popoto_grant_desc {
    /* A strict one: says what a tenant is. The grant holds for all models. */
    const popoto_model *model;
    popoto_value tenant; /* POPOTO_VALUE("project-a") */
    /* No spaces. This tenant's user of this name is made anew, and its connections closed. */
    const char *user;
    const char *password;
    bool replace; /* whoever else has this name, too; without it such a user is POPOTO_EXISTS */
} popoto_grant_desc;

typedef struct popoto_grant_report {
    /* It survives a restart of the server: only one that has an ACL file keeps its users. */
    bool kept;
    /* The default user needs no password and reaches keys, so that whoever reaches the server needs no
     * grant. False also where that could not be asked. */
    bool open;
} popoto_grant_report;

/* Make that user. `report` may be NULL. Needs a user that may run ACL; the one that this db is connected as
 * is refused, because its connection would end. */
POPOTO_API popoto_status popoto_grant(popoto_db *db, const popoto_grant_desc *desc,
                                      popoto_grant_report *report);

/* End a user; its open connections are closed by the server. *kept (where not NULL) tells whether that
 * survives a restart. POPOTO_NOT_FOUND: there is none. */
POPOTO_API popoto_status popoto_revoke(popoto_db *db, const char *user, bool *kept);

/* Called for each user; return false to stop (the call then returns POPOTO_STOPPED). The name holds during the
 * call, in which db may be used. */
typedef bool popoto_user_callback(void *context, const char *user);

/* The server's users that reach this tenant's keys and no others, as popoto_grant makes them: those that are
 * left when the tenant has gone. POPOTO_DENIED: this db's user may not ask. */
POPOTO_API popoto_status popoto_granted_users(popoto_db *db, const popoto_model *model,
                                              popoto_value tenant, popoto_user_callback *callback,
                                              void *context);

/* ===== 12. Memory ============================================================================ */

/* Release what a call returned with "to be released with popoto_free". block may be NULL. */
POPOTO_API void popoto_free(popoto_db *db, const void *block);

/* ===== 13. For operators ====================================================================== */

/* What looks at whole databases: all of it with bounded memory, in small steps that never hold the
 * server, and safe to interrupt and run again. `tenant_field` names the field of the key
 * whose values are the tenants of an ordinary model; strict models know theirs, and take NULL. None of
 * these is for a tenant's restricted user, who may not look through all keys. */

/* Called between steps with how much was done and how much there is (0: not known); return false to stop
 * (the call then returns POPOTO_STOPPED). */
typedef bool popoto_progress(void *context, size_t done, size_t total);

/* --- models for tools --- */

/* Store the descriptors of models in the database, so that tools can work on it without the program. */
POPOTO_API popoto_status popoto_publish(popoto_db *db, const popoto_model *const *models,
                                        size_t count);

/* Models of records, made from descriptors. */
typedef struct popoto_catalog popoto_catalog;

/* Those that were published in the database. *catalog is to be released with popoto_catalog_free, after
 * every db that was given a model of it is closed. POPOTO_CORRUPT: some cannot be used, popoto_error names the first;
 * *catalog holds the others, and popoto_catalog_problem names those (NULL: what is there is no list of models). */
POPOTO_API popoto_status popoto_catalog_published(popoto_db *db, popoto_catalog **catalog);
/* What can be known of a database that has none: names and keys of models, fields and their types, from
 * the keys and a sample of the records. popoto_catalog_note tells what is guessed. */
POPOTO_API popoto_status popoto_catalog_infer(popoto_db *db, popoto_catalog **catalog);
/* From descriptors as a value, as tools read them from a file (docs/keys.md, "Published models"). */
POPOTO_API popoto_status popoto_catalog_from_value(popoto_db *db, const popoto_value *described,
                                                   popoto_catalog **catalog);
/* Those that the first line of an export describes. POPOTO_NOT_FOUND: it describes none, as of an export
 * that was written before they did. */
POPOTO_API popoto_status popoto_catalog_from_export(popoto_db *db, const char *line, size_t size,
                                                    popoto_catalog **catalog);
/* The descriptors of a model as a value; it belongs to the catalog. */
POPOTO_API const popoto_value *popoto_catalog_value(const popoto_catalog *catalog, size_t index);
POPOTO_API size_t popoto_catalog_count(const popoto_catalog *catalog);
/* NULL past the end. */
POPOTO_API const popoto_model *popoto_catalog_model(const popoto_catalog *catalog, size_t index);
/* A sentence on what was guessed of this model; NULL: nothing. */
POPOTO_API const char *popoto_catalog_note(const popoto_catalog *catalog, size_t index);
/* The dialect that this model was described in, which a db for its records is to be opened with; where the
 * description does not tell, that of the db that read it. */
POPOTO_API popoto_dialect popoto_catalog_dialect(const popoto_catalog *catalog, size_t index);
/* The published models that cannot be used: how many, and of each a sentence and (where `name` is not NULL) under
 * which name it is published; NULL past the end. */
POPOTO_API size_t popoto_catalog_problem_count(const popoto_catalog *catalog);
POPOTO_API const char *popoto_catalog_problem(const popoto_catalog *catalog, size_t index,
                                              popoto_text *name);
POPOTO_API void popoto_catalog_free(popoto_catalog *catalog);

/* --- tenants --- */

typedef struct popoto_tenant_figures {
    popoto_value tenant;
    size_t records;
    size_t index_entries; /* members of sets and sorted sets, entries of companion hashes */
    size_t bytes; /* of the server's memory, records and their share of indexes, estimated from
                                 a sample where bytes_sampled is true */
    bool bytes_sampled;
    double mean_confidence; /* of all entries of all CONFIDENCE fields; NAN: there is none */
    int64_t idle_seconds; /* since the most recently used record was read or written, as the server
                                 knows it, which keeps no time of writes alone: an audit counts, this
                                 call does not; -1: it does not know */
} popoto_tenant_figures;

typedef bool popoto_tenant_figures_callback(void *context, const popoto_tenant_figures *figures);

/* Each tenant of a model with its figures, in the order of their names as keys hold them, once all keys were
 * looked through. `progress` (may be NULL) is told meanwhile how many of the model's keys were found. */
POPOTO_API popoto_status popoto_tenant_list(popoto_db *db, const popoto_model *model,
                                            const char *tenant_field,
                                            popoto_tenant_figures_callback *callback,
                                            popoto_progress *progress, void *context);

/* --- audit --- */

typedef enum popoto_finding_kind {
    POPOTO_FINDING_MISSING,    /* a record is not in an index that it should be in */
    POPOTO_FINDING_STRAY,      /* an index has an entry without a record */
    POPOTO_FINDING_MISPLACED,  /* an entry in the index of another value, partition or tenant */
    POPOTO_FINDING_SCORE,      /* an entry with another score than its record's value */
    POPOTO_FINDING_DUPLICATE,  /* a unique value that several records hold */
    POPOTO_FINDING_CORRUPT,    /* a stored value, entry or key that is none of the model's */
    POPOTO_FINDING_LACKING,    /* a record without a value of a field that may not be null */
    POPOTO_FINDING_OTHER_FORM, /* records of an ordinary model beside the strict one of its name: a
                                  move from one to the other was not finished */
} popoto_finding_kind;

typedef struct popoto_finding {
    popoto_finding_kind kind;
    popoto_text record; /* the key of the record that it is about */
    popoto_text index;  /* the key of the index; data NULL: none */
    const char *text;   /* a sentence */
    bool repairable;    /* what is right follows from the record */
    bool repaired;
} popoto_finding;

typedef bool popoto_finding_callback(void *context, const popoto_finding *finding);

typedef struct popoto_audit_desc {
    const popoto_model *model;
    /* Mend what is repairable, each in one atomic step that a racing writer cannot harm. */
    bool repair;
    popoto_finding_callback *found; /* return false to stop; may be NULL */
    popoto_progress *progress;      /* may be NULL */
    void *context;
    const popoto_value *tenant; /* this tenant's alone; NULL: all */
    const char *tenant_field;   /* of an ordinary model, beside .tenant */
} popoto_audit_desc;

typedef struct popoto_audit_report {
    size_t records;
    size_t index_entries;
    size_t findings;
    size_t repaired;
} popoto_audit_report;

/* Every record of a model is in exactly the indexes that it should be in, every index holds nothing else, and
 * what is stored is what the model says. That a record has no entry in a companion hash is no finding: it has
 * none before the first evidence. POPOTO_OK also where there are findings.
 *
 * With .tenant, of a strict model it is what this tenant's keys hold: only these are read, after one look
 * through the names of all keys. Of an ordinary one it is the tenant's records, every entry that names one
 * of them, and the indexes that are this tenant's alone: the server looks through the shared ones, and only
 * what is the tenant's is read. */
POPOTO_API popoto_status popoto_audit(popoto_db *db, const popoto_audit_desc *desc,
                                      popoto_audit_report *report);

/* --- one tenant --- */

/* A key that begins with a strict tenant and is of none of the models. `kind` is what it is of, as far as
 * the key tells: a model's name, or whatever stands there. Both hold during the call. */
typedef void popoto_other_key(void *context, popoto_text key, popoto_text kind);

/* A line of an import, counted from 1, that is not stored, or (POPOTO_UNKNOWN_OUTCOME) may not be, with a sentence
 * that names it. Holds during the call, in which db may not be used. */
typedef void popoto_refused_line(void *context, size_t line, popoto_status status,
                                 const char *sentence);

typedef struct popoto_tenant_desc {
    const popoto_model *const *models; /* those whose records of the tenant are meant */
    size_t model_count;
    const char *tenant_field; /* of ordinary models; NULL: all models are strict */
    popoto_value tenant;
    popoto_progress *progress; /* may be NULL */
    void *context;
    /* One for each model (NULL: tenant_field), where they differ; may be NULL. */
    const char *const *tenant_fields;
    bool everything; /* popoto_erase: with all other keys that begin with a strict model's tenant */
    popoto_other_key *other; /* popoto_erase: told of each of those; may be NULL */
    popoto_refused_line
        *refused; /* popoto_import: told of each line that is not stored; may be NULL */
} popoto_tenant_desc;

typedef struct popoto_erase_receipt {
    size_t records;       /* removed */
    size_t index_entries; /* removed with them */
    size_t other_keys; /* strict, with .everything: other keys of the tenant, removed; and keys of
                                 the models that hold what is none of theirs */
    size_t other_left; /* strict, without .everything: other keys of the tenant, left alone */
    size_t left;       /* found by looking again afterwards: 0 */
    popoto_time started;
    popoto_time finished;
} popoto_erase_receipt;

/* Remove a tenant's records of these models with all that belongs to them, and look afterwards for what
 * is left. A strict tenant may own more: keys of models that are not named here, and of other programs.
 * These stay and are counted, unless .everything asks for them too. Run again after an interruption. POPOTO_CORRUPT,
 * and nothing done: a move of a model to its strict form was not finished, so that the tenant has records in both. */
POPOTO_API popoto_status popoto_erase(popoto_db *db, const popoto_tenant_desc *desc,
                                      popoto_erase_receipt *receipt);

/* One line of an export, without its newline; return false to stop. */
typedef bool popoto_line_callback(void *context, const char *line, size_t size);

/* One tenant's records as lines of JSON, exact for every type, confidence figures and the seconds
 * that a record has left to live included:
 *
 *     {"models": [{"name": "Episode", "fields": [...]}]}     the models, as popoto_publish describes them
 *     {"model": "Episode", "fields": {...}, "confidence": {...}, "time_to_live": 60}
 *     ...                                                    records; the last two where they have any
 *     {"end": true, "records": 2, "left_out": 0}             so many records; an export that lacks this
 *                                                            line was cut off
 *
 * *count is how many records there were. POPOTO_CORRUPT: some stored records do not fit the model,
 * popoto_error names the first; all others were exported.
 * POPOTO_CORRUPT too, and no line, while a move of a model to its strict form is not finished. */
POPOTO_API popoto_status popoto_export(popoto_db *db, const popoto_tenant_desc *desc,
                                       popoto_line_callback *write, void *context, size_t *count);

typedef struct popoto_import_report {
    size_t lines;
    size_t records;
    size_t bad_line;     /* the first that could not be taken, from 1; 0: none */
    const char *problem; /* its sentence; belongs to the db, until the next call on it */
    bool complete; /* the last line told the end, and all records up to it were there; false where
                      there was no such line, as in what was exported before there were any */
    size_t
        tried; /* up to this line all records are stored but those that .refused was told of, and none
                     behind it is */
} popoto_import_report;

/* Gives the next line, without its newline: false at the end. */
typedef bool popoto_line_reader(void *context, const char **line, size_t *size);

/* Store the records of an export, under desc->tenant whoever they were exported from; a record that is
 * there already is replaced, confidence figures too. Fields that a line lacks stay as they are.
 *
 * POPOTO_BAD_VALUE: a line is broken, the models have other fields than desc's, the end tells of another number
 * of records than there were, or there is none although the first line told the models; what came before
 * is stored. Where the server refuses lines (POPOTO_DUPLICATE: a unique value is taken), others that were sent with
 * them are stored, and then it ends: .refused is told which are not, and report->tried how far it came. Imported
 * again, when that is mended, what is stored is replaced by the same. POPOTO_CORRUPT: the export had left some records out. POPOTO_UNSUPPORTED: this library was built
 * without jansson, which reads JSON. */
POPOTO_API popoto_status popoto_import(popoto_db *db, const popoto_tenant_desc *desc,
                                       popoto_line_reader *read, void *context,
                                       popoto_import_report *report);

typedef struct popoto_strict_migration_desc {
    const popoto_model *from; /* an ordinary model, with a KEY that names the tenant */
    const popoto_model *to;   /* the strict one: the same name and fields, that KEY a TENANT */
    bool dry_run;
    popoto_progress *progress; /* may be NULL */
    void *context;
    size_t limit; /* move at most so many, and leave the others to the next call; 0: all */
} popoto_strict_migration_desc;

/* Move every record of an ordinary model to a strict one, each in one atomic step with its indexes and
 * confidence. Not on a cluster, where a record cannot change its slot. The report is that of
 * popoto_confidence_migrate: partitions are tenants, by their names, and errors the records that stayed,
 * by their keys. */
POPOTO_API popoto_status popoto_migrate_to_strict(popoto_db *db,
                                                  const popoto_strict_migration_desc *desc,
                                                  popoto_migration_report **report);

#ifdef __cplusplus
}
#endif
#endif
