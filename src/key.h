/* key - segments of keys: escaping, joining, splitting. Pure, and knows no model: which segments make
 * which key is model's business.
 *
 * A segment is escaped so that no value can imitate a separator or a pattern, and comes back exactly:
 *
 *     /        -> //
 *     ' ? * ^ [ ] and, in the popoto dialect, -   -> prefixed with /
 *     {&#58;}  -> /{&#58;}     (a literal occurrence)
 *     :        -> {&#58;}
 *
 * which is Popoto's DB_key.clean (models/db_key.py of 1.10). */
#ifndef POPOTO_KEY_H
#define POPOTO_KEY_H

#include "memory.h"

#include <string.h>

/* Which characters are prefixed with / besides / itself: a row of the dialects' table in model. */
#define KEY_ESCAPES_DOCUMENTED "'?*^[]"
#define KEY_ESCAPES_POPOTO     "'?*^[]-"

/* Append the escaped segment. */
void popoto__key_escape(buffer *out, const char *escapes, const char *data, size_t size);

/* Whether nothing in it needs an escape, as in nearly all segments. False: perhaps something does. */
bool popoto__key_is_plain(const char *escapes, const char *data, size_t size);

/* Whether an escaped segment stands for itself. */
static inline bool popoto__key_is_unescaped(const char *data, size_t size) {
    return size == 0 || (memchr(data, '/', size) == NULL && memchr(data, '{', size) == NULL);
}

/* Append the segment that an escaped one stands for: the inverse of the above for whatever it can
 * write, in either dialect (reading accepts every escape of both); other input comes out with its
 * unknown escapes as they are. */
void popoto__key_unescape(buffer *out, const char *data, size_t size);

/* The name of a tenant as it stands between the braces that begin its keys, {project-a}:..., where it
 * must hold no brace, no pattern character and no space, for Redis Cluster takes what is between the
 * first { and the next } for the slot, and access-control patterns and their files take the others for
 * theirs: ASCII letters, digits, - _ . @ and all bytes above 127 stay, any other byte is written /XX in
 * hexadecimal. */
void popoto__key_escape_tenant(buffer *out, const char *data, size_t size);
/* The inverse; out NULL: only ask. False: it is not what the above writes. */
bool popoto__key_unescape_tenant(buffer *out, const char *data, size_t size);

/* "{project-a}:$Class:Episode" -> "project-a", as it is escaped; data NULL: the key begins otherwise. */
popoto_text popoto__key_tenant(popoto_text key);

/* What a tenant's key is of, as far as it tells: the segment behind the tenant, or the one behind that
 * where it names an index. "{a}:$KeyF:Episode:name:x" -> "Episode" */
popoto_text popoto__key_kind(popoto_text key);

/* The next segment of a key, still escaped: moves *rest past it and its ':'. False at the end. An
 * empty key has one empty segment. */
typedef struct key_rest {
    const char *next;
    const char *end;
    bool done;
} key_rest;
static inline key_rest popoto__key_split(const char *key, size_t size) {
    static const char empty[] = "";
    if (size == 0)
        key = empty;
    return (key_rest){ key, key + size, false };
}
static inline bool popoto__key_next(key_rest *rest, const char **segment, size_t *size) {
    *segment = NULL;
    *size = 0;
    if (rest->done)
        return false;
    const char *colon = memchr(rest->next, ':', (size_t)(rest->end - rest->next));
    const char *end = colon != NULL ? colon : rest->end;
    *segment = rest->next;
    *size = (size_t)(end - rest->next);
    rest->done = colon == NULL;
    rest->next = colon != NULL ? colon + 1 : rest->end;
    return true;
}

/* Append text to a glob pattern so that it matches only itself: \ before * ? [ ] ^ - and \ . */
void popoto__key_pattern_literal(buffer *out, const char *data, size_t size);

#endif
