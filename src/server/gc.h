/*
 * gc: the thread where blocking work on files lives: unlinking what nothing needs, preparing and
 * recycling log segments, moving the superblock and the log's trim point forward; and the memory
 * governor's tick.
 *
 * The trim point. Each shard publishes the lowest LSN it still needs. The superblock's log_start
 * may move up to the minimum of these. The superblock also carries the map of databases to spaces,
 * which must not be older than log_start (records of the map below it are gone) nor newer than what
 * is durable in the log (or a power cut would show a FLUSHALL whose record is lost). So the map is
 * fetched after the minimum, and if it has changed, the log up to that moment is made durable
 * before the superblock is written.
 */
#ifndef SERVER_GC_H
#define SERVER_GC_H

#include "base/error.h"
#include "server/engine.h"
#include "store/super.h"

struct gc;

enum { GC_FILES_MAX = 4096 }; /* waiting to be unlinked; more are left for the next start */

/* `super` is the engine's; the thread owns it until gc_stop. */
NODISCARD int gc_create(struct engine *engine, struct super *super, struct gc **ret_gc);
/* Starts the thread's work: once the shards run. */
NODISCARD int gc_start(struct gc *gc);
/* Ends the thread; what is queued is unlinked first. */
void gc_stop(struct gc *gc);
void gc_destroy(struct gc *gc);

/* Any thread: queues a file (path copied). Fits store_options.dispose. */
void gc_dispose(void *gc, const char *path);
/* Any thread: looks at the log soon. Fits log_set_housekeeper. */
void gc_wake(void *gc);

#endif
