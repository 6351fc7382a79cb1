/*
 * slowlog: the commands that took longest, per shard, newest first, bounded by slowlog-max-len.
 * SLOWLOG GET merges the shards'.
 */
#ifndef CMD_SLOWLOG_H
#define CMD_SLOWLOG_H

#include <stdint.h>

#include "base/slice.h"
#include "cmd/context.h"

/* Keeps a shortened copy of the command (32 arguments of 128 bytes). `session` is NULL for a
 * command of another shard's connection. Without memory the entry is left out. */
void slowlog_note(struct cmd_shard *here, const struct session *session, const struct slice *args,
                  uint32_t argc, int64_t us);
/* Down to the limit in force. */
void slowlog_trim(struct cmd_shard *here);
void slowlog_clear(struct cmd_shard *here);

#endif
