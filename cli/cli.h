/* cli - what the files of the `popoto` command share: the settings that options fill, the session with a
 * database, the table of commands, and the status that the command exits with. Everything about Redis is
 * the library's: no file here knows a key or sends a command. */
#ifndef CLI_H
#define CLI_H

#include <popoto.h>

#include <stdbool.h>
#include <stddef.h>

/* What the command exits with. */
enum {
    EXIT_DONE = 0,
    EXIT_FINDINGS = 1, /* it ran, and something is wrong or was not found */
    EXIT_USAGE = 2,    /* the command line or its files are wrong */
    EXIT_STOPPED = 130 /* Ctrl-C */
};

/* Of an option that may be repeated. */
typedef struct word_list {
    const char **all;
    size_t count;
} word_list;

/* What the options say; see options.c. */
typedef struct settings {
    const char *url;
    popoto_dialect dialect;
    bool dialect_given;
    const char *models_file;
    const char *password_file;
    const char *grant_password_file;
    word_list models;        /* --model */
    word_list tenant_fields; /* --tenant-field: FIELD, or MODEL.FIELD */
    const char *tenant;      /* --tenant */
    const char *sort;
    const char *order;
    const char *fields;
    const char *output;
    size_t limit;
    size_t offset;
    bool limit_given;
    bool json;
    bool yes;
    bool dry_run;
    bool repair;
    bool scan;
    bool all_tenants;
    bool count;
    bool keys;
    bool help;
} settings;

/* Where the models come from. */
typedef enum source {
    SOURCE_NONE, /* not asked for yet */
    SOURCE_FILE,
    SOURCE_PUBLISHED,
    SOURCE_EXPORT, /* the first line of one */
    SOURCE_INFERRED,
} source;

/* One run of the command. */
typedef struct session {
    settings set;
    popoto_db *db;
    char *opened; /* its address, with the password */
    popoto_catalog *catalog;
    source models_from;
    const struct command *runs;
    bool restricted; /* the user may not read what is published: it is a tenant's */
} session;

typedef struct command {
    const char *name;
    const char *operands;    /* "MODEL [LOOKUP=VALUE...]" */
    const char *summary;     /* a line */
    const char *description; /* some lines; may be NULL */
    const char *options;     /* " sort limit ": those that it takes besides the common ones */
    const char *example;
    int least; /* operands */
    int most;  /* -1: any number */
    int (*run)(session *it, int count, char **words);
    bool looks_at_all; /* keys, which a tenant's user may not */
} command;

extern const command commands[]; /* ends with one without a name */

int run_tenants(session *it, int count, char **words);
int run_audit(session *it, int count, char **words);
int run_export(session *it, int count, char **words);
int run_import(session *it, int count, char **words);
int run_erase(session *it, int count, char **words);
int run_migrate(session *it, int count, char **words);
int run_show(session *it, int count, char **words);
int run_query(session *it, int count, char **words);
int run_grant(session *it, int count, char **words);
int run_revoke(session *it, int count, char **words);
int run_info(session *it, int count, char **words);
int run_models(session *it, int count, char **words);

#endif
