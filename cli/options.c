/* options - see options.h. One table says what there is; getopt_long and the help read it. */
#include "options.h"

#include "terminal.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind {
    TEXT,
    NUMBER,
    FLAG,
    NAMES, /* may be repeated */
    DIALECT
} kind;

typedef struct choice {
    const char *name;
    char letter;
    bool common;
    kind kind;
    size_t member;        /* of settings */
    const char *argument; /* as the help calls it */
    const char *help;
} choice;

#define AT(member_) offsetof(settings, member_)

static const choice choices[] = {
    { "model", 0, false, NAMES, AT(models), "NAME", "this model alone; may be repeated" },
    { "tenant-field", 't', false, NAMES, AT(tenant_fields), "FIELD",
      "tells ordinary models' tenants; MODEL.FIELD too" },
    { "tenant", 0, false, TEXT, AT(tenant), "TENANT", "what is of this tenant alone" },
    { "sort", 's', false, TEXT, AT(sort), "COLUMN", "order of the table; -COLUMN: downwards" },
    { "order", 'o', false, TEXT, AT(order), "FIELD", "order of the rows; -FIELD: downwards" },
    { "limit", 'l', false, NUMBER, AT(limit), "N", "at most so many; 0: all" },
    { "offset", 0, false, NUMBER, AT(offset), "N", "leave out so many first" },
    { "fields", 'f', false, TEXT, AT(fields), "A,B", "these fields alone" },
    { "keys", 'k', false, FLAG, AT(keys), NULL, "each record's key in Redis, too" },
    { "count", 'c', false, FLAG, AT(count), NULL, "only how many there are" },
    { "scan", 0, false, FLAG, AT(scan), NULL, "look through all records where no index helps" },
    { "all-tenants", 0, false, FLAG, AT(all_tenants), NULL, "of every tenant of a strict model" },
    { "repair", 'r', false, FLAG, AT(repair), NULL, "mend what follows from the records" },
    { "output", 'o', false, TEXT, AT(output), "FILE", "write there instead of to stdout" },
    { "dry-run", 'n', false, FLAG, AT(dry_run), NULL, "only say what would be done" },
    { "yes", 'y', false, FLAG, AT(yes), NULL, "do not ask" },
    { "grant-password-file", 0, false, TEXT, AT(grant_password_file), "FILE",
      "the new user's password" },
    { "url", 'u', true, TEXT, AT(url), "URL", "the database (or POPOTO_URL)" },
    { "password-file", 0, true, TEXT, AT(password_file), "FILE",
      "the connection's password (or POPOTO_PASSWORD)" },
    { "dialect", 0, true, DIALECT, 0, "NAME", "of models that are inferred: documented, popoto" },
    { "models", 'm', true, TEXT, AT(models_file), "FILE", "descriptors of the models, JSON" },
    { "json", 'j', true, FLAG, AT(json), NULL, "JSON instead of tables" },
    { "help", 'h', true, FLAG, AT(help), NULL, "this" },
};
#define CHOICES (sizeof choices / sizeof choices[0])
#define LONG    1000 /* and an option's place: what getopt_long calls its name */

static bool takes(const command *of, const choice *one) {
    if (one->common || of == NULL)
        return one->common;
    char word[64];
    snprintf(word, sizeof word, " %s ", one->name);
    return strstr(of->options, word) != NULL;
}

static bool take_number(const choice *one, const char *text, size_t *number) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || value > SIZE_MAX) {
        complain("--%s takes a number from 0 on, not '%s'", one->name, text);
        return false;
    }
    *number = (size_t)value;
    return true;
}

void options_name(word_list *to, const char *text) {
    to->all = demand_more(to->all, (to->count + 1) * sizeof *to->all);
    to->all[to->count++] = text;
}

static bool take_one(settings *set, const choice *one, const char *text) {
    void *member = (char *)set + one->member;
    switch (one->kind) {
    case TEXT: *(const char **)member = text; return true;
    case FLAG: *(bool *)member = true; return true;
    case NUMBER:
        if (one->member == AT(limit))
            set->limit_given = true;
        return take_number(one, text, member);
    case NAMES: options_name(member, text); return true;
    case DIALECT:
        set->dialect_given = true;
        if (strcmp(text, "documented") == 0)
            set->dialect = POPOTO_DOCUMENTED;
        else if (strcmp(text, "popoto") == 0)
            set->dialect = POPOTO_AS_POPOTO;
        else {
            complain("there is no dialect '%s': documented, popoto", text);
            return false;
        }
        return true;
    }
    return false;
}

/* The word that getopt_long was at last, without what stands behind =, which may be secret. */
static char *last_word(char **words) {
    if (optopt > 0 && optopt < 256)
        return demand_text("-%c", optopt);
    if (optopt >= LONG)
        return demand_text("--%s", choices[optopt - LONG].name);
    const char *word = words[optind - 1];
    return demand_text("%.*s", (int)strcspn(word, "="), word);
}

/* What getopt_long found is said in our words. */
static void refuse_option(const command *of, const char *word, int found) {
    char *see =
        demand_text("see popoto%s%s --help", of != NULL ? " " : "", of != NULL ? of->name : "");
    if (found == ':')
        complain("'%s' needs a value; %s", word, see);
    else if (optopt >= LONG)
        complain("'%s' takes no value; %s", word, see);
    else
        complain("there is no option '%s'; %s", word, see);
    free(see);
}

/* getopt_long takes the beginning of a name for the name: a word that is a secret could come behind what was
 * meant to be another option. */
static bool is_whole(char **words, const choice *one) {
    const char *word = words[optind - 1];
    if (word == optarg)
        word = words[optind - 2];
    return strcspn(word, "=") == strlen(one->name) + 2;
}

bool options_take(settings *set, const command *of, int count, char **words, int *rest) {
    struct option longs[CHOICES + 1];
    char letters[2 * CHOICES + 3] = "+:";
    memset(longs, 0, sizeof longs);
    size_t used = 0, at = of == NULL ? 2 : 1;
    letters[at - 1] = ':';
    for (size_t i = 0; i < CHOICES; i++) {
        if (!takes(of, &choices[i]))
            continue;
        bool valued = choices[i].kind != FLAG;
        longs[used++] = (struct option){ choices[i].name, valued ? required_argument : no_argument,
                                         NULL, (int)(LONG + i) };
        if (choices[i].letter != 0) {
            letters[at++] = choices[i].letter;
            if (valued)
                letters[at++] = ':';
        }
    }
    letters[at] = '\0';
    optind = 0; /* begin anew, with glibc's memory of the last time gone */
    opterr = 0;
    for (;;) {
        optopt = 0;
        int found = getopt_long(count, words, letters, longs, NULL);
        if (found == -1)
            break;
        size_t which = CHOICES;
        for (size_t i = 0; i < CHOICES && which == CHOICES; i++)
            if (takes(of, &choices[i]) &&
                (found == (int)(LONG + i) || (found == choices[i].letter && found != 0)))
                which = i;
        if (which == CHOICES || (found >= LONG && !is_whole(words, &choices[which]))) {
            char *word = optarg != NULL && optarg == words[optind - 1] && which < CHOICES
                             ? demand_text("%s", words[optind - 2])
                             : last_word(words);
            refuse_option(of, word, found);
            free(word);
            return false;
        }
        if (!take_one(set, &choices[which], optarg))
            return false;
    }
    *rest = optind;
    return true;
}

/* ----- Help ----------------------------------------------------------------------------------- */

const command *command_named(const char *name) {
    for (const command *one = commands; one->name != NULL; one++)
        if (strcmp(one->name, name) == 0)
            return one;
    return NULL;
}

/* Columns of an option's name; one that fills them has a line of its own. */
#define LEFT_WIDTH 30

static void list_options(const command *of, bool common) {
    for (size_t i = 0; i < CHOICES; i++) {
        const choice *one = &choices[i];
        if (one->common != common || (!common && !takes(of, one)))
            continue;
        char left[64], letter[8] = "    ";
        if (one->letter != 0)
            snprintf(letter, sizeof letter, "-%c, ", one->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, one->name,
                 one->argument != NULL ? " " : "", one->argument != NULL ? one->argument : "");
        if (strlen(left) >= LEFT_WIDTH)
            printf("  %s\n%*s", left, LEFT_WIDTH + 3, "");
        else
            printf("  %-*s ", LEFT_WIDTH, left);
        printf("%s\n", one->help);
    }
}

/* As much as a terminal of 24 lines holds. */
static void program_help(void) {
    printf("Usage: popoto [OPTION]... COMMAND [OPERAND]...\n"
           "Look after the records that libpopoto, or Popoto, keeps in Redis.\n");
    for (const command *one = commands; one->name != NULL; one++)
        printf("  %s%-8s%s  %s\n", colours.bold, one->name, colours.plain, one->summary);
    printf("Options of every command:\n");
    list_options(NULL, true);
    printf("Example: popoto --url redis://localhost tenants --sort -records\n"
           "See popoto help COMMAND, man popoto; popoto --version.\n");
}

void options_help(const command *of) {
    if (of == NULL) {
        program_help();
        return;
    }
    printf("Usage: popoto %s [OPTION]...%s%s\n%s.\n", of->name, of->operands[0] != '\0' ? " " : "",
           of->operands, of->summary);
    if (of->description != NULL)
        printf("%s\n", of->description);
    printf("\n");
    list_options(of, false);
    list_options(of, true);
    printf("\nExample: %s\n", of->example);
}
