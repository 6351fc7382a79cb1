/*
 * plant: bugs that are put into the product on purpose, to show that the simulator finds them
 * (tests/sim). A place that can be broken asks PLANTED(NAME), which is the constant false unless
 * the build has the option `plants`; then the program that runs chooses one bug, or none.
 *
 * Threads: chosen before the product's threads start. Suspension: none.
 */
#ifndef BASE_PLANT_H
#define BASE_PLANT_H

#include <stdbool.h>

/* X(name, what is broken) */
#define PLANT_LIST(X)                                                                         \
    X(REPLY_BEFORE_SYNC, "replies leave before the sync that they promise")                   \
    X(READ_BEFORE_SYNC, "a read shows another shard's write that is not durable yet")         \
    X(LOG_SYNC_BEFORE_WRITE, "the log is synced while a write that the sync must cover runs") \
    X(DATA_SYNC_BEFORE_WRITE, "a data file is synced while writes to it are in flight")       \
    X(MANIFEST_BEFORE_DATA, "a manifest names pages that were never synced")                  \
    X(DATA_NAME_NOT_SYNCED, "the directory of a new data file is not synced")                 \
    X(LOG_NAME_NOT_SYNCED, "the directory of a new segment of the log is not synced")         \
    X(FAILED_SYNC_RETRIED, "a failed sync of the log is tried again, and then believed")      \
    X(TORN_TAIL_TAKEN_FOR_WHOLE, "the payload of the log's last frame is not checked")        \
    X(DAMAGE_TAKEN_FOR_TORN_TAIL, "the log is cut where it is damaged, whatever follows")     \
    X(CHECKSUM_WITHOUT_IDENTITY, "a page passes for any other page")                          \
    X(PAGE_REUSED_EARLY, "what a version needs goes while that version is still read")        \
    X(LOG_START_TOO_FAR, "the log starts behind what a checkpoint has not committed yet")     \
    X(CHECKPOINT_FORGETS, "a checkpoint counts as applied what was written while it ran")     \
    X(MSET_SPLIT, "a command over several shards becomes two records of the log")             \
    X(MULTI_WITHOUT_LATCHES, "a command over several shards takes no latches")                \
    X(FLUSH_FORGOTTEN, "replay passes over FLUSHDB, FLUSHALL and SWAPDB")                     \
    X(CLOCK_GOES_BACK, "expiry follows a clock that jumps back")                              \
    X(LOCK_NOT_AWAITED, "a start does not wait for the lock of a dying process")              \
    X(STALE_FILL, "a fetch puts what it has read over a write made meanwhile")                \
    X(SCAN_SKIPS_AFTER_SPLIT, "a scan that stopped where a leaf ends passes over a key")      \
    X(MESSAGE_LOST, "a message to a shard whose mailbox is full is dropped")

enum plant {
    PLANT_NONE,
#define PLANT_ENTRY(name, text) PLANT_##name,
    PLANT_LIST(PLANT_ENTRY)
#undef PLANT_ENTRY
        PLANT_COUNT,
};

#ifdef ELOQSTORE_PLANTS
extern enum plant plant_chosen;
#define PLANTED(name) (plant_chosen == PLANT_##name)
#else
#define PLANTED(name) (PLANT_##name == PLANT_NONE)
#endif

#endif
