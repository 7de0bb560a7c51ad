/* options - the command line's words: what options there are, what each command takes, and its help. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "cli.h"

/* Take the options in words[1...] that are common (`of` NULL: up to the first that is none) or the
 * command's. False, and said on stderr, where one is wrong. *rest is the first operand, which all others
 * follow. */
bool options_take(settings *set, const command *of, int count, char **words, int *rest);

/* One more. */
void options_name(word_list *to, const char *text);

void options_help(const command *of); /* NULL: of the whole program */
const command *command_named(const char *name);

#endif
