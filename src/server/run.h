/*
 * run: the server as a process: limits, log file, pid file, start lines, signals, exit code.
 *
 *     SIGTERM, SIGINT   stop in order: finish, checkpoint everything, exit 0
 *     a second SIGINT   exit at once with 1
 *     SIGHUP            open the log file again by its name
 *     SIGUSR2           from ourselves: a client has sent SHUTDOWN
 *
 * All signals are blocked in all threads; the main thread waits for them and does nothing else.
 */
#ifndef SERVER_RUN_H
#define SERVER_RUN_H

#include "server/config.h"

/* Serves until told to stop. Takes over `config`. Returns the exit code. */
int run(struct config *config, const char *executable);

#endif
