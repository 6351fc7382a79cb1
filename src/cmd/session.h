/*
 * session: a connection as the commands see it: creation, waiting, and the replies that precede any
 * command's own.
 */
#ifndef CMD_SESSION_H
#define CMD_SESSION_H

#include "cmd/command.h"
#include "cmd/context.h"

/* NULL: no memory, or refused by protected mode with the reply written and the connection closing.
 */
struct session *session_create(struct cmd_shard *here, struct conn *conn);
void session_destroy(struct session *session);
/* Back to what it was at the start (RESET). */
void session_reset(struct session *session);

/* Its next command has to wait for the shard: it is resumed by cmd_shard_resume_waiting. */
void session_wait(struct session *session);

/* Whether the first word is one of an HTTP request: a browser that somebody has made talk to us,
 * with commands in what it sends. Redis closes such a connection too. */
bool session_is_http(struct slice word);
void session_refuse_http(struct session *session);

void session_reply_unknown(struct reply *reply, const struct command *container,
                           const struct slice *args, uint32_t argc);
/* The arguments of a subcommand fit none of its forms; `name` as it was given. */
void session_reply_usage(struct reply *reply, const struct command *command, struct slice name);
void session_reply_arity(struct reply *reply, const struct command *command);
/* A lasting write error of the disk. */
void session_reply_disk_error(struct reply *reply, int error);

#endif
