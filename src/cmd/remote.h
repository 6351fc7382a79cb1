/*
 * remote: commands whose keys all belong to one other shard. Neighbours for the same shard travel
 * as one batch: one message there, one back with the bytes of all replies. The owner makes all keys
 * of the batch resident (their reads overlap) and then runs the commands in order.
 *
 * Threads: a batch is made and freed on the connection's shard; in between it belongs to the owner.
 */
#ifndef CMD_REMOTE_H
#define CMD_REMOTE_H

#include "base/error.h"
#include "cmd/call.h"

enum { REMOTE_BATCH_MAX = 64 };

struct remote_batch;

/* Opens a slot in the session and an empty batch for shard `to`. NULL: no memory. */
struct remote_batch *remote_open(struct session *session, uint32_t to);
/* Adds a call (handed over). The batch is a barrier as soon as one of its commands writes. */
void remote_add(struct remote_batch *batch, struct call *call);
uint32_t remote_to(const struct remote_batch *batch);
bool remote_full(const struct remote_batch *batch);
/* Sends it. Not to be touched afterwards. */
void remote_send(struct remote_batch *batch);

/* Owner's side: after the pass's log flush, sends back what has been executed, with the gate. */
void remote_return_executed(struct cmd_shard *here);
/* Starts the batches that an exclusive section, or a full log, has held up. */
void remote_start_held(struct cmd_shard *here);

#endif
