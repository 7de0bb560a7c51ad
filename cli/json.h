/* json - values of the library as JSON and back, exact for every type:
 *
 *     null, true, 1, 0.5, "text", [list], {map with text keys}       as themselves
 *     {"$float": "nan"}  {"$bytes": "base64"}  {"$text": "base64"}    what JSON cannot say itself
 *     {"$time": "..."}  {"$day": "..."}  {"$clock": "..."}  {"$decimal": "..."}
 *     {"$tuple": [...]}  {"$set": [...]}  {"$map": [[key, value], ...]}
 *
 * $text is text that is not UTF-8. $map is a map with a key that is not text, or begins with $. A NaN that
 * is not the usual one is "nan:" and its 64 bits in hexadecimal. The same as lines of an export have. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <popoto.h>

#include <jansson.h>

/* From now on what JSON needs is demanded: a document is never one without a part. */
void json_prepare(void);

json_t *json_of_value(const popoto_value *value); /* a new reference */
json_t *json_of_text(popoto_text text);
/* An argument or a name, whatever its bytes. NULL: null. */
json_t *json_of_word(const char *word);
/* A sentence for people: a text, in which bytes that are none are escaped. NULL: null. */
json_t *json_of_sentence(const char *sentence);
json_t *json_of_size(size_t number);
/* Its memory is kept until kept_free. Tags that are none are maps. */
popoto_value value_of_json(const json_t *json);

/* One document on one line, or indented, and a newline; its reference is taken. */
void json_print(json_t *document);
/* The same within an array that is written piece by piece. */
void json_print_piece(json_t *document, bool first);

#endif
