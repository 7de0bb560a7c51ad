/* temporary - a server for a program that wants nothing but to show something: an embedded one in a fresh
 * folder, both gone at the end. A program that has data to keep opens "embedded:" instead. */
#ifndef TEMPORARY_H
#define TEMPORARY_H

#include <ftw.h> /* before the first #include: #define _XOPEN_SOURCE 700 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct temporary {
    char folder[64];
    char url[96]; /* for popoto_open */
} temporary;

/* False, with errno, if no folder can be made. */
static bool temporary_make(temporary *it, const char *name) {
    snprintf(it->folder, sizeof it->folder, "/tmp/popoto-%.32s-XXXXXX", name);
    if (mkdtemp(it->folder) == NULL) {
        it->folder[0] = '\0';
        return false;
    }
    snprintf(it->url, sizeof it->url, "embedded:%s/server", it->folder);
    return true;
}

static int temporary_remove_one(const char *path, const struct stat *status, int kind,
                                struct FTW *where) {
    (void)status, (void)kind, (void)where;
    return remove(path);
}

/* After popoto_close. A folder that was never made is fine. */
static void temporary_remove(temporary *it) {
    if (it->folder[0] != '\0')
        nftw(it->folder, temporary_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
