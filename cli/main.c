/* main - the `popoto` command: the table of its commands, and the way to one of them. */
#include "cli.h"
#include "json.h"
#include "options.h"
#include "session.h"
#include "terminal.h"

#include <stdio.h>
#include <string.h>

const command commands[] = {
    { "tenants", "[MODEL]...", "List tenants with their records, sizes and confidence",
      "Sizes are of the server's memory, indexes included. CONFIDENCE is the mean over\n"
      "records. IDLE is the time since one of the records was read or written, by\n"
      "anyone: queries, audits and exports count, this list does not. When one was last\n"
      "written, the server does not know. Columns to sort by: tenant, records, entries,\n"
      "size, confidence, idle. Unless said otherwise, the largest come first.",
      " model tenant-field sort limit ", "popoto tenants --sort -records --limit 10", 0, -1,
      run_tenants, true },
    { "audit", "[MODEL]...", "Check every record against every index",
      "The exit status is 1 if anything was found that is not mended. Before --repair\n"
      "mends, it shows what it would mend, and asks. With --tenant, only what is of the\n"
      "tenant is read; the names of all keys are still looked through.",
      " model tenant tenant-field limit repair yes ", "popoto audit Episode --repair", 0, -1,
      run_audit, true },
    { "show", "KEY", "Show one record, by its key in Redis",
      "popoto query MODEL --keys prints keys.", " model ", "popoto show Episode:project-a:abc123",
      1, 1, run_show, false },
    { "query", "MODEL [LOOKUP=VALUE]...", "Find records",
      "A lookup is FIELD or FIELD__in, __gt, __gte, __lt, __lte, __between, __isnull,\n"
      "__startswith, __endswith, __contains. Values are of the field's type; lists have\n"
      "commas between their items (\\, is a comma within one). Rows are printed as they\n"
      "come, however many there are; but an --order that no sorted field's index gives,\n"
      "and any with --all-tenants, has all in memory first, whatever --limit is.",
      " order limit offset fields keys count scan all-tenants ",
      "popoto query Episode project_id=project-a score__gte=0.5 --order -score", 1, -1, run_query,
      false },
    { "export", "TENANT", "Write a tenant's records as lines of JSON", NULL,
      " model tenant-field output ", "popoto export project-a > project-a.jsonl", 1, 1, run_export,
      false },
    { "import", "TENANT [FILE]", "Store the records of an export, under this tenant",
      "Without FILE, from stdin. Records that are there already are replaced. It ends\n"
      "soon after a line that is broken or refused, and names each that is not stored,\n"
      "and the one behind which none is. Mend what is wrong, and import it all again.",
      " model tenant-field ", "popoto import project-b project-a.jsonl", 1, 2, run_import, false },
    { "erase", "TENANT", "Remove everything of a tenant, and verify it",
      "With --model, only what is of these models; without it, every key of the tenant.\n"
      "Users who were granted this tenant alone are named, and stay: see popoto revoke.\n"
      "The exit status is 1 if anything is left, or there was nothing.",
      " model tenant-field yes ", "popoto erase project-a --yes", 1, 1, run_erase, true },
    { "migrate", "confidence|strict MODEL FIELD",
      "Move figures to partitions, or a model to strict",
      "confidence MODEL FIELD: the companion hash of the CONFIDENCE field FIELD, to the\n"
      "partitions that the model declares. strict MODEL FIELD: every record, to the\n"
      "same model with FIELD as its TENANT. With --limit N, N are moved, and it is said\n"
      "how many are still to come: run it again.",
      " dry-run limit yes ", "popoto migrate confidence Memory certainty --dry-run", 3, 3,
      run_migrate, true },
    { "grant", "TENANT USER", "Make a Redis user that reaches one tenant alone",
      "The user's password is asked for, or POPOTO_GRANT_PASSWORD, or in a file. A user\n"
      "who has that name already and is not of this tenant is asked about.",
      " model grant-password-file yes ", "popoto grant project-a alice", 2, 2, run_grant, false },
    { "revoke", "USER", "End such a user and its connections", NULL, " yes ",
      "popoto revoke alice --yes", 1, 1, run_revoke, false },
    { "models", "[MODEL]...", "Show the models and their fields",
      "With --json, as --models FILE takes them.", " model ", "popoto models --json > models.json",
      0, -1, run_models, false },
    { "info", "", "Show the connection, and how many records each model has", NULL, " ",
      "popoto info --url redis://localhost", 0, 0, run_info, true },
    { 0 },
};

static int run_command(session *it, const command *of, int count, char **words) {
    int rest;
    if (!options_take(&it->set, of, count, words, &rest))
        return EXIT_USAGE;
    if (it->set.help) {
        options_help(of);
        return EXIT_DONE;
    }
    int operands = count - rest;
    if (operands < of->least || (of->most >= 0 && operands > of->most)) {
        complain("usage: popoto %s%s%s; see popoto %s --help", of->name,
                 of->operands[0] != '\0' ? " " : "", of->operands, of->name);
        return EXIT_USAGE;
    }
    it->runs = of;
    return of->run(it, operands, words + rest);
}

static int run(session *it, int count, char **words) {
    int rest;
    if (count == 2 && strcmp(words[1], "--version") == 0) {
        printf("popoto %s\n", popoto_version());
        return EXIT_DONE;
    }
    if (!options_take(&it->set, NULL, count, words, &rest))
        return EXIT_USAGE;
    bool helps = it->set.help;
    if (rest < count && strcmp(words[rest], "help") == 0) {
        helps = true;
        rest++;
    }
    if (rest >= count && !helps) {
        complain("a command is missing; see popoto --help");
        return EXIT_USAGE;
    }
    const command *of = rest < count ? command_named(words[rest]) : NULL;
    if (of == NULL && rest < count) {
        complain("there is no command '%s'; see popoto --help", words[rest]);
        return EXIT_USAGE;
    }
    if (!helps)
        return run_command(it, of, count - rest, words + rest);
    options_help(of);
    return EXIT_DONE;
}

int main(int count, char **words) {
    session it = { 0 };
    terminal_prepare();
    json_prepare();
    session_defaults(&it);
    int status = run(&it, count, words);
    session_close(&it);
    /* A full disk is a failure, not a short table. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
        complain("the output could not be written");
        status = EXIT_FINDINGS;
    }
    if (status == EXIT_STOPPED)
        end_interrupted();
    return status;
}
