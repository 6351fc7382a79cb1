/*
 * docs: a command's documentation as COMMAND DOCS gives it, made from the table's texts.
 */
#ifndef CMD_DOCS_H
#define CMD_DOCS_H

#include "cmd/command.h"
#include "net/reply.h"

/* The map of one command, without its name. Subcommands are included. */
void docs_reply(struct reply *reply, const struct command *command);

/* Writes the array of argument maps for a syntax text; returns how many there are. */
uint64_t docs_reply_arguments(struct reply *reply, const char *syntax);

#endif
