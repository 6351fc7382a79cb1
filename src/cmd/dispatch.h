/*
 * dispatch: from parsed commands to replies in order.
 *
 * Order. A connection's replies come in order. Read-only commands may overlap: each that has to
 * wait (for the disk, for another shard) gets a slot in the session's list, later replies wait
 * behind it in slots of their own. A write, or anything that touches the session, is a barrier: it
 * starts when no slot is open, and while it is under way nothing later starts.
 *
 * Routes: here (all keys on this shard) → run at once, or park until the keys are resident; there
 * (all keys on one other shard) → batched into one message with its neighbours; spread → multi.h;
 * session → run at once; wide → a coroutine.
 */
#ifndef CMD_DISPATCH_H
#define CMD_DISPATCH_H

#include "base/error.h"
#include "cmd/context.h"

/* The handlers that net wants, for this shard. */
struct net_handlers dispatch_net_handlers(struct cmd_shard *here);

#endif
