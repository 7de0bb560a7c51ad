/* python - a Python package called popoto, ours or the other, in a process of its own that does what it is
 * told line by line. See bench.h. */
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct python {
    pid_t pid;
    FILE *to, *from;
    char answer[256];
};

python *python_start(const char *program, const char *script, const char *socket, int database,
                     const char *dialect) {
    int to[2], from[2];
    char number[12];
    python *it = calloc(1, sizeof(*it));
    snprintf(number, sizeof(number), "%d", database);
    if (it == NULL || pipe(to) != 0 || pipe(from) != 0)
        give_up("cannot start %s", program);
    /* One that is started later must not hold this one's input open. */
    fcntl(to[1], F_SETFD, FD_CLOEXEC);
    fcntl(from[0], F_SETFD, FD_CLOEXEC);
    fflush(NULL);
    it->pid = fork();
    if (it->pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        close(to[1]);
        close(from[0]);
        execlp(program, program, script, socket, number, dialect, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    it->to = fdopen(to[1], "w");
    it->from = fdopen(from[0], "r");
    signal(SIGPIPE, SIG_IGN);
    if (it->pid < 0 || it->to == NULL || it->from == NULL)
        give_up("cannot start %s", program);
    return it;
}

pid_t python_pid(const python *it) {
    return it->pid;
}

void python_stop(python *it) {
    if (it == NULL)
        return;
    fclose(it->to); /* it ends with its input */
    fclose(it->from);
    waitpid(it->pid, NULL, 0);
    free(it);
}

const char *python_ask(python *it, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(it->to, format, arguments);
    va_end(arguments);
    fputc('\n', it->to);
    fflush(it->to);
    if (fgets(it->answer, sizeof(it->answer), it->from) == NULL)
        give_up("a Python process ended");
    it->answer[strcspn(it->answer, "\n")] = '\0';
    if (strncmp(it->answer, "error", 5) == 0)
        give_up("a Python process: %s", it->answer);
    return it->answer;
}
