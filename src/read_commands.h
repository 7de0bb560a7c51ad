/* read_commands - which Redis commands read indexes and records, rendered: known here and nowhere else (plan
 * has those that write). */
#ifndef POPOTO_READ_COMMANDS_H
#define POPOTO_READ_COMMANDS_H

#include "read_plan.h"

/* All members of the sets of a plan: SMEMBERS, SINTER or SUNION. */
void popoto__render_members(const read_plan *it, buffer *out);
/* A step through one set, SSCAN. */
void popoto__render_scan(popoto_text set, popoto_text cursor, size_t about, buffer *out);
/* A page of a range with scores; `from` replaces the bound that the page starts at, where not NULL. */
void popoto__render_range(const sorted_range *range, bool descending, const popoto_text *from,
                          size_t skip, size_t count, buffer *out);
/* `count` names of a range after the first `skip`, without scores. */
void popoto__render_names(const sorted_range *range, bool descending, size_t skip, size_t count,
                          buffer *out);
/* ZMSCORE of these members. */
void popoto__render_scores(popoto_text key, const popoto_text *members, size_t count, buffer *out);
/* A step through the entries of a companion hash, HSCAN; pattern NULL: all. */
void popoto__render_hash_scan(popoto_text hash, popoto_text cursor, const char *pattern,
                              buffer *out);
void popoto__render_hash_size(popoto_text hash, buffer *out);
/* Whether the record is there (EXISTS) and what it has in these fields (HMGET, unless there are none), its
 * entry in a companion hash (HGET, unless data is NULL), and the first two once more. Returns how many
 * replies that brings. */
size_t popoto__render_entry(const model *of, popoto_text record, const size_t *fields, size_t count,
                            popoto_text hash, buffer *out);
/* HMGET of these fields, in this order. */
void popoto__render_fetch_fields(const model *of, const size_t *fields, size_t count,
                                 popoto_text key, buffer *out);
/* A step through all keys, SCAN, for the sets of all records that the tenants of a model have. */
void popoto__render_class_scan(const model *of, popoto_text cursor, buffer *out);
void popoto__render_type(popoto_text key, buffer *out);
/* SADD of a tenant to the list of them, which is kept outside their keys. */
void popoto__render_tenant_note(const model *of, popoto_text segment, buffer *out);
/* Append HMGET of all fields. */
void popoto__render_fetch(const model *of, popoto_text key, buffer *out);
/* The same for many records, and for the fields that a query fetches (NULL: all): `count` commands. */
void popoto__render_fetches(const model *of, const query *what, const popoto_text *keys,
                            size_t count, buffer *out);

/* Append the commands that ask the sizes, SCARDs then ZCOUNTs; how many. */
size_t popoto__query_render_sizes(const read_plan *it, buffer *out);
/* The same, and with them the first PROBE names of the range, if it is one, and a step through the set, if it is
 * one: what turns out to be whole needs no other round trip. */
#define PROBE 64
#define PROBE_STEP \
    16 /* a set that is no larger is whole; a step through a large one costs as much */
size_t popoto__query_render_probe(const query *it, const read_plan *from, buffer *out);
#endif
