/*
 * park: commands of this shard's keys that have to wait for the disk or for a latch, and commands
 * that run in a coroutine.
 */
#ifndef CMD_PARK_H
#define CMD_PARK_H

#include "base/error.h"
#include "cmd/call.h"

/* Waits for the keys, runs the command, ends its slot. Takes over the call, whose slot is open. */
void park_start(struct call *call);

/* Runs a wide command in a coroutine. ERR_LIMIT: none left; nothing was taken. */
NODISCARD int park_start_wide(struct call *call);

/* Counts what executes here, for exclusive sections. */
void executing_begin(struct cmd_shard *here);
void executing_end(struct cmd_shard *here);

/* Counts the coroutines of this shard's connections' commands. Full: the next one waits. */
bool coordinators_full(const struct cmd_shard *here);
void coordinator_begin(struct cmd_shard *here);
void coordinator_end(struct cmd_shard *here);

#endif
