/* utf8 - is this UTF-8? No conversions, no characters' properties. */
#ifndef POPOTO_UTF8_H
#define POPOTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* How many bytes the UTF-8 sequence at `data` has, 1 to 4; 0 where there is none: cut short,
 * overlong, a surrogate, above U+10FFFF. size > 0. */
size_t popoto__utf8_sequence(const char *data, size_t size);

bool popoto__utf8_valid(const char *data, size_t size);

#endif
