/* json - values as JSON and back, exact for every type:
 *
 *     null, true, 1, 0.5, "text", [list], {map with text keys}       as themselves; floats have a . or an e
 *     {"$float": "nan"}  {"$bytes": "base64"}  {"$text": "base64"}   what JSON cannot say itself
 *     {"$time": "..."}  {"$day": "..."}  {"$clock": "..."}  {"$decimal": "..."}
 *     {"$tuple": [...]}  {"$set": [...]}  {"$map": [[key, value], ...]}
 *
 * $text is text that is not UTF-8. $map is a map with a key that is not text, begins with $, holds a NUL,
 * or is there twice. A NaN that is not the usual one is "nan:" and its 64 bits in hexadecimal.
 *
 * Writing needs no library; reading is jansson's, where the library was built with it. */
#ifndef POPOTO_JSON_H
#define POPOTO_JSON_H

#include "codec.h"

/* Append the JSON of a value, on one line. */
void popoto__json_write(buffer *out, const popoto_value *value);
void popoto__json_write_text(buffer *out, const char *data, size_t size);

#ifdef POPOTO_WITH_JSON
#include <jansson.h>

/* The value, all in `memory`. False: *why is set, static; CODEC_NO_MEMORY where there is none. */
bool popoto__json_read(const json_t *from, arena *memory, popoto_value *value, const char **why);
#endif

#endif
