/*
 * exclusive: a section during which no command executes on any shard, for what changes the whole
 * server at one point: FLUSHALL, FLUSHDB, SWAPDB. New commands wait at dispatch, those under way
 * finish first; messages of multi-shard commands that have begun are still served, so that they
 * can.
 */
#ifndef CMD_EXCLUSIVE_H
#define CMD_EXCLUSIVE_H

#include "base/error.h"
#include "cmd/context.h"

/* One section at a time over the server; others wait their turn. Suspends. */
NODISCARD co_fn int exclusive_begin(struct cmd_shard *here);
co_fn void exclusive_end(struct cmd_shard *here); /* Suspends. */

/* FLUSHDB, FLUSHALL, SWAPDB in one such section: `change` edits the map of databases to spaces.
 * Suspends. */
typedef void spaces_change_fn(void *context, uint32_t *spaces, uint32_t *space_next);
NODISCARD co_fn int exclusive_change_spaces(struct cmd_shard *here, spaces_change_fn *change,
                                            void *context);

#endif
