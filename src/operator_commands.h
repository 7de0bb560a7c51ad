/* operator_commands - pure: the commands by which whole databases are looked through, and the patterns
 * that find one model's or one tenant's keys. Touches no socket. */
#ifndef POPOTO_OPERATOR_COMMANDS_H
#define POPOTO_OPERATOR_COMMANDS_H

#include "db.h"

/* What an index is made of, which decides by which commands it is read and mended. */
typedef enum index_shape {
    SHAPE_SET,    /* the set of all records, a KEY's, a UNIQUE_KEY's */
    SHAPE_SORTED, /* a SORTED field's */
    SHAPE_HASH,   /* a companion hash */
} index_shape;
/* about NULL: the set of all records. */
index_shape popoto__index_shape(const field *about);

/* ----- Patterns: text in `memory`, data NULL where there is none. ------------------------------ */

/* The records whose `about`, which is part of the key, has this segment. A * spans separators, so that
 * some other keys may match too: see popoto__key_has. about NULL: all keys that are named as records of
 * the model, whatever follows its name. */
popoto_text popoto__record_pattern(const model *of, const field *about, popoto_text segment,
                                   arena *memory);
/* All indexes of a model, those of fields that it does not know (any more) among them; of a strict
 * one, of one tenant where segment.data is not NULL. */
popoto_text popoto__index_pattern(const model *of, popoto_text segment, arena *memory);
/* The sets of all records of a strict model's tenants. */
popoto_text popoto__class_pattern(const model *of, arena *memory);
/* All keys of a tenant, "{project-a}:*". */
popoto_text popoto__tenant_pattern(popoto_text segment, arena *memory);

/* ----- What a key is --------------------------------------------------------------------------- */

/* Whether a key is one of the model's records', with this segment where `about` has its (NULL: whatever
 * it has). Takes no memory. */
bool popoto__key_has(const model *of, const field *about, popoto_text segment, popoto_text key);

typedef enum index_kind {
    INDEX_NONE,    /* no index of the model's */
    INDEX_CLASS,   /* the set of all records */
    INDEX_FIELD,   /* that of a field */
    INDEX_UNKNOWN, /* named as one of the model's, but of a field that has none */
} index_kind;
index_kind popoto__index_of_key(const model *of, popoto_text key, const field **about);

/* ----- Commands -------------------------------------------------------------------------------- */

void popoto__render_key_scan(popoto_text pattern, popoto_text cursor, size_t about, buffer *out);
/* SSCAN, ZSCAN or HSCAN; pattern.data NULL: all. */
void popoto__render_entry_scan(index_shape shape, popoto_text key, popoto_text cursor,
                               popoto_text pattern, size_t about, buffer *out);
/* SCARD, ZCARD or HLEN. */
void popoto__render_index_size(index_shape shape, popoto_text key, buffer *out);
/* SMISMEMBER, ZMSCORE or HMGET: what the index has of these members. */
void popoto__render_entries(index_shape shape, popoto_text key, const popoto_text *members,
                            size_t count, buffer *out);
/* EXISTS of all of these at once: how many there are. */
void popoto__render_exist(const popoto_text *keys, size_t count, buffer *out);
void popoto__render_unlink(const popoto_text *keys, size_t count, buffer *out);
/* A command without arguments: MULTI, EXEC, DBSIZE. */
void popoto__render_word(const char *word, buffer *out);
void popoto__render_memory_usage(popoto_text key, buffer *out);
void popoto__render_idle_time(popoto_text key, buffer *out);
/* TTL: seconds; -1: for ever; -2: it is gone. */
void popoto__render_time_to_live(popoto_text key, buffer *out);
/* Take a tenant from the list of them. */
void popoto__render_tenant_forget(const model *of, popoto_text segment, buffer *out);
/* Published models. */
void popoto__render_publish(popoto_text name, popoto_text described, buffer *out);
void popoto__render_published(popoto_text cursor, buffer *out);

/* Plan to take a member out of an index. */
void popoto__plan_leave(plan *it, index_shape shape, popoto_text index, popoto_text member);

#endif
