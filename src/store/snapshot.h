/*
 * snapshot: versions of a partition, and when what a version needed may go.
 *
 * Model. Each commit publishes a version. A reader holds the version it began with (snapshot_hold),
 * the partition holds the newest. What a commit replaces (a chunk of the mapping, a dead data file)
 * was needed by the versions [created, replaced): it is `retired` at the newest older version that
 * is still held. When a version is let go, what was retired at it moves on to the next older held
 * version if that one needs it too, and is released otherwise. So an old reader keeps exactly what
 * it may still look at, and a commit costs only what it replaced: there are no reference counts in
 * the parts themselves.
 *
 * Who calls: partition.c; mapper.c and datafile.c embed `struct retired`. One thread, never
 * suspends.
 */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include <stdint.h>

#include "base/list.h"

struct retired;
typedef void retired_release_fn(struct retired *retired); /* must not suspend */

/* Embedded in what versions share. */
struct retired {
    struct list_node node;       /* in a change's list, then in a snapshot's */
    uint64_t created;            /* the first version that needs it */
    retired_release_fn *release; /* no version needs it any longer; frees the object around */
};

struct snapshot;
typedef void snapshot_free_fn(struct snapshot *snapshot);

/* Embedded in what describes a version. */
struct snapshot {
    struct list_node node; /* among the held versions, oldest first */
    uint64_t version;
    uint32_t holds;
    struct list retired;
    snapshot_free_fn *free; /* frees the object around */
};

/* The held versions of one partition. */
struct snapshots {
    struct list held; /* the last one is the current one */
};

void snapshots_init(struct snapshots *snapshots);

/* Makes `next` (version above all others) the current version, with one hold that is the list's
 * own. `retired` are the parts that it no longer needs; the list is empty afterwards. */
void snapshots_publish(struct snapshots *snapshots, struct snapshot *next, struct list *retired);

/* Gives up the list's own hold on the current version: the end of the partition. All parts that are
 * retired have been released then, if no reader is left. */
void snapshots_end(struct snapshots *snapshots);

/* NULL before the first publication. */
struct snapshot *snapshots_current(const struct snapshots *snapshots);

void snapshot_hold(struct snapshot *snapshot);
void snapshot_release(struct snapshots *snapshots, struct snapshot *snapshot);

#endif
