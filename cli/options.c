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
    MODEL_NAME,
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
    { "model", 0, false, MODEL_NAME, 0, "NAME", "this model alone; may be repeated" },
    { "tenant-field", 't', false, TEXT, AT(tenant_field), "FIELD",
      "what names the tenant in ordinary models" },
    { "sort", 's', false, TEXT, AT(sort), "COLUMN", "order of the table; -COLUMN: downwards" },
    { "order", 'o', false, TEXT, AT(order), "FIELD", "order of the rows; -FIELD: downwards" },
    { "limit", 'l', false, NUMBER, AT(limit), "N", "at most so many lines; 0: all" },
    { "offset", 0, false, NUMBER, AT(offset), "N", "leave out so many first" },
    { "fields", 'f', false, TEXT, AT(fields), "A,B", "these fields alone" },
    { "count", 'c', false, FLAG, AT(count), NULL, "only how many there are" },
    { "scan", 0, false, FLAG, AT(scan), NULL, "look through all records where no index helps" },
    { "all-tenants", 0, false, FLAG, AT(all_tenants), NULL, "of every tenant of a strict model" },
    { "repair", 'r', false, FLAG, AT(repair), NULL, "mend what follows from the records" },
    { "output", 'o', false, TEXT, AT(output), "FILE", "write there instead of to stdout" },
    { "dry-run", 'n', false, FLAG, AT(dry_run), NULL, "only say what would be done" },
    { "yes", 'y', false, FLAG, AT(yes), NULL, "do not ask" },
    { "grant-password-file", 0, false, TEXT, AT(grant_password_file), "FILE",
      "the new user's password" },
    { "url", 'u', true, TEXT, AT(url), "URL", "the database (POPOTO_URL; else embedded:)" },
    { "password-file", 0, true, TEXT, AT(password_file), "FILE",
      "the connection's password (or POPOTO_PASSWORD)" },
    { "dialect", 0, true, DIALECT, 0, "NAME", "of the keys: documented, popoto" },
    { "models", 'm', true, TEXT, AT(models_file), "FILE", "descriptors of the models, JSON" },
    { "json", 'j', true, FLAG, AT(json), NULL, "JSON instead of tables" },
    { "help", 'h', true, FLAG, AT(help), NULL, "this" },
};
#define CHOICES (sizeof choices / sizeof choices[0])

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

static bool take_one(settings *set, const choice *one, const char *text) {
    void *member = (char *)set + one->member;
    switch (one->kind) {
    case TEXT: *(const char **)member = text; return true;
    case FLAG: *(bool *)member = true; return true;
    case NUMBER:
        if (one->member == AT(limit))
            set->limit_given = true;
        return take_number(one, text, member);
    case MODEL_NAME:
        set->model_names =
            demand_more(set->model_names, (set->model_name_count + 1) * sizeof *set->model_names);
        set->model_names[set->model_name_count++] = text;
        return true;
    case DIALECT:
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

/* What getopt_long found is said in our words. */
static void refuse_option(const command *of, const char *word, int found) {
    const char *name = of != NULL ? of->name : NULL;
    const char *space = name != NULL ? " " : "";
    if (found == ':')
        complain("'%s' needs a value; see popoto%s%s --help", word, space,
                 name != NULL ? name : "");
    else
        complain("there is no option '%s'; see popoto%s%s --help", word, space,
                 name != NULL ? name : "");
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
                                         NULL, (int)(1000 + i) };
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
        int before = optind > 0 ? optind : 1;
        int found = getopt_long(count, words, letters, longs, NULL);
        if (found == -1)
            break;
        size_t which = CHOICES;
        for (size_t i = 0; i < CHOICES && which == CHOICES; i++)
            if (takes(of, &choices[i]) &&
                (found == (int)(1000 + i) || (found == choices[i].letter && found != 0)))
                which = i;
        if (which == CHOICES) {
            refuse_option(of, words[optind - 1 >= before ? optind - 1 : before], found);
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
        printf("  %-30s %s\n", left, one->help);
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
           "See popoto COMMAND --help, man popoto; popoto --version.\n");
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
