/*
 * multi: a command whose keys are spread over several shards, as one for every reader and across a
 * crash.
 *
 * The coordinator (a coroutine on the connection's shard):
 *   1. latches the keys at their owners, shard after shard in ascending order, at each in key
 * order, so that two such commands never wait for each other in a circle; shared latches for a
 * command that only reads. Owners send back copies of the records, unless the command needs none
 * (MSET).
 *   2. runs the handler on the copies; its changes are collected here.
 *   3. appends one log record with all changes and puts it into the stream.
 *   4. has every owner apply its changes and release the latches; then the reply may leave, gated
 * by the log record. A crash after 3 replays the whole record; before, nothing of it exists. A
 * reader meets either no change or waits for the latch. A checkpoint of a partition waits while a
 * write latch is held in it (data/latch.h), so no partition can claim to have applied a record that
 * it has not.
 */
#ifndef CMD_MULTI_H
#define CMD_MULTI_H

#include "base/error.h"
#include "cmd/call.h"
#include "cmd/request.h"

struct multi;

/* Starts the coordinator. Takes over the call, whose slot is open. ERR_LIMIT: no coroutine left;
 * nothing was taken. */
NODISCARD int multi_start(struct call *call);

/* For request.c, while the handler runs. */
void multi_view(const struct multi *multi, uint32_t index, struct view *ret_view);
NODISCARD int multi_put(struct multi *multi, uint32_t index, const struct put *put);
bool multi_remove(struct multi *multi, uint32_t index);

#endif
