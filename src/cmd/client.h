/*
 * client: names and descriptions of connections, for CLIENT and HELLO.
 */
#ifndef CMD_CLIENT_H
#define CMD_CLIENT_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "cmd/request.h"

/* Replies the error if a connection can't have that name. */
NODISCARD int client_check_name(struct request *request, struct slice name);
/* CLIENT SETNAME: validates and sets; replies the error. An empty name clears. */
NODISCARD int client_set_name(struct request *request, struct slice name);
/* One line of CLIENT LIST, without the newline. */
NODISCARD int client_describe(struct buffer *text, const struct session *session);

#endif
