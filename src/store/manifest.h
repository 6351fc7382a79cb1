/*
 * manifest: the log of a partition's commits, from which its state is read at opening.
 *
 * Model. pNNNN/manifest-<n>.man begins with a snapshot of the whole state and goes on with one
 * record for each commit: roots, mapping entries and file counters that changed. A commit counts
 * once its record is synced. When the records outgrow the snapshot the state is written anew to
 * manifest-<n+1>.tmp, synced, renamed to .man, its directory synced; then the old file is disposed
 * of. So a .man file always has a whole snapshot, the one with the highest number holds, and cost
 * stays in proportion to what commits change. Format: manifest_format.h.
 *
 * The end of the file. A crash may leave the last record half written; it is cut, which takes back
 * only a commit that was never acknowledged. Whatever is wrong before a record of a later commit is
 * damage. Records name the commit (sequence), their place, and the record before them, and a clean
 * closing adds a CLOSE record, so that damage to the last commit's record shows by what follows.
 * What can't be told apart from an unfinished append is damage to the very last record after a
 * crash: the commit's bytes were whole once, and nothing later says so. Then the partition opens
 * with the state before, partition_applied is that state's, and replay brings everything back if
 * the redo log still has the records from there on. If it was trimmed beyond, the commit is lost
 * unnoticed: a partition without changes has an applied LSN below the log's start, too. After an
 * orderly end (options.ended) a closing record must be there, and its absence is damage. It must be
 * of the opening that ended so: each record has the number of the opening in which it was written,
 * and one is added at each orderly end, or a file that is cut would end with an earlier one. For
 * the same reason no manifest may end with a record that is older than the last orderly end, ever.
 * After a cut, and after a failed write, nothing is appended to that file any more: the next commit
 * begins with a new manifest.
 *
 * Who calls: partition.c. One thread; co_fn as marked.
 */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "log/log.h"
#include "shard/coro.h"
#include "store/datafile.h"
#include "store/mapper.h"
#include "store/store.h"

enum {
    TREE_HEIGHT_MAX = 12,    /* levels, leaves included */
    STORE_SPACES_MAX = 4096, /* trees of one partition */
};

/* The tree of a space, as a version has it. */
struct tree {
    uint32_t space;
    uint32_t height; /* 1: the root is a leaf; 0 in a change: the tree is gone */
    struct page_id root;
    uint64_t keys;
    uint64_t extents; /* records with an extent */
};

struct manifest {
    struct shard *shard;
    const struct store_options *options; /* borrowed */
    const char *dir;                     /* borrowed */
    uint32_t partition;
    int fd; /* -1: none is open */
    uint64_t number;
    uint64_t number_next; /* never used before */
    uint64_t end;         /* offset of the next record */
    uint64_t snapshot_end;
    uint64_t rotate_tried; /* `end` when the last attempt to write it anew failed */
    uint64_t sequence;     /* of the last record */
    uint64_t previous;     /* its header checksum */
    uint32_t epoch;        /* in which the last record was written */
    bool closed;           /* the last record is a CLOSE */
    bool suspect;          /* bytes of unknown fate behind `end`: no more appends */
    bool sync_failed;      /* final */
    uint64_t written_bytes;
    char path[DATAFILE_PATH_BYTES_MAX];
};

/* Nothing opened yet. */
void manifest_init(struct manifest *manifest, struct shard *shard,
                   const struct store_options *options, const char *dir, uint32_t partition);

static inline const char *manifest_path(const struct manifest *manifest)
{
    return manifest->path;
}

/* Whether it ends with the CLOSE record of this opening. */
bool manifest_is_closed(const struct manifest *manifest);

/* What a manifest says. */
struct manifest_state {
    struct lsn applied;
    struct mapper *mapper;
    struct datafiles *files;
    struct tree *trees; /* owned by whoever loads or saves; by space */
    uint32_t tree_count;
};

/* Reads manifest `number`: mapper and files, both empty, and trees (mem_alloc'ed, may be NULL) are
 * filled. ERR_CORRUPT names file and offset. Suspends. */
NODISCARD co_fn int manifest_load(struct manifest *manifest, uint64_t number,
                                  struct manifest_state *state);

/* Makes durable what manifest_load has read: writes it once more as it is, and syncs. Suspends. */
NODISCARD co_fn int manifest_settle(struct manifest *manifest);

/* One commit. */
struct manifest_change {
    struct lsn applied;
    const struct mapper_change *map;
    const struct datafiles *files; /* its touched files */
    const struct tree *trees;      /* changed ones */
    uint32_t tree_count;
};

/* Appends the commit's record as sequence + 1 and syncs it. After an error the commit's fate is
 * open until the next manifest is in force: what its record names must not be disposed of.
 * Suspends. */
NODISCARD co_fn int manifest_append(struct manifest *manifest,
                                    const struct manifest_change *change);

/* Whether the log has outgrown its snapshot. */
bool manifest_outgrown(const struct manifest *manifest);

/* Writes the state to a new manifest, which is in force when this returns 0; else the old one
 * stays (unless sync_failed). Also the first manifest of a partition. Suspends. */
NODISCARD co_fn int manifest_rotate(struct manifest *manifest, const struct manifest_state *state);

/* Adds the CLOSE record, if all is well and there is none of this opening, and closes the file.
 * Suspends. */
co_fn void manifest_close(struct manifest *manifest, bool clean, struct lsn applied,
                          uint64_t file_next);

#endif
