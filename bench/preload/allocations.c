/* allocations - counts every malloc, calloc and realloc of a program that it is preloaded into, those of
 * the libraries it uses too. The program finds bench_allocations by its name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

static size_t count;

__attribute__((visibility("default"))) size_t bench_allocations(void);
__attribute__((visibility("default"))) void *malloc(size_t size);
__attribute__((visibility("default"))) void *calloc(size_t number, size_t size);
__attribute__((visibility("default"))) void *realloc(void *block, size_t size);

size_t bench_allocations(void) {
    return count;
}

/* The C library's own; POSIX lets a pointer to data hold a function's address, C does not. */
static void find(const char *name, void *function) {
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, sizeof(found));
}

void *malloc(size_t size) {
    static void *(*real)(size_t);
    if (real == NULL)
        find("malloc", &real);
    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    return real(size);
}

/* dlsym itself may want a few bytes before it has found calloc. */
void *calloc(size_t number, size_t size) {
    static void *(*real)(size_t, size_t);
    static char early[1024];
    static int searching;
    if (real == NULL && searching)
        return early;
    if (real == NULL) {
        searching = 1;
        find("calloc", &real);
    }
    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    return real(number, size);
}

void *realloc(void *block, size_t size) {
    static void *(*real)(void *, size_t);
    if (real == NULL)
        find("realloc", &real);
    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    return real(block, size);
}
