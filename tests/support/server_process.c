#include "server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

static _Noreturn void run_program(const char *folder, char *const *arguments, pid_t parent) {
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before that */
        _exit(1);
#endif
    (void)parent;
    char log[128];
    snprintf(log, sizeof(log), "%s/log", folder);
    int in = open("/dev/null", O_RDONLY);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in < 0 || out < 0)
        _exit(1);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    for (int descriptor = 3; descriptor < 256; descriptor++)
        close(descriptor);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    const char *program = getenv("POPOTO_TEST_SERVER");
    execvp(program != NULL ? program : "redis-server", arguments);
    if (program == NULL)
        execvp("valkey-server", arguments);
    _exit(127);
}

pid_t server_process_start(const char *folder, const char *const *arguments) {
    pid_t parent = getpid();
    fflush(NULL);
    pid_t made = fork();
    if (made == 0)
        run_program(folder, (char *const *)(uintptr_t)arguments, parent);
    return made;
}
