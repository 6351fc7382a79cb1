/*
 * monitor: MONITOR: every command, as it starts, to the connections that asked for it, on all
 * shards.
 */
#ifndef CMD_MONITOR_H
#define CMD_MONITOR_H

#include <stdint.h>

#include "base/slice.h"
#include "cmd/context.h"

/* Called for each command while server->monitors > 0. */
void monitor_feed(struct cmd_shard *here, const struct session *session, const struct slice *args,
                  uint32_t argc);
/* The session begins to see everything; ends (also if it had not begun). */
void monitor_join(struct session *session);
void monitor_leave(struct session *session);

#endif
