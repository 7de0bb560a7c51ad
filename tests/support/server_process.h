/* server_process - starts a server program as a child that ends with this one, for the harnesses of a single
 * server and of a cluster. */
#ifndef POPOTO_TEST_SERVER_PROCESS_H
#define POPOTO_TEST_SERVER_PROCESS_H

#include <sys/types.h>

/* Start redis-server (or valkey-server, or $POPOTO_TEST_SERVER) with these arguments, the program's name first and
 * NULL last; what it prints goes to folder/log. It inherits no descriptor and no blocked signal, and is killed
 * when this program ends. -1: no process could be made. */
pid_t server_process_start(const char *folder, const char *const *arguments);

#endif
