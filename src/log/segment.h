/*
 * segment: the files of the log: <number, 16 hex digits>.log, each segment_bytes long.
 *
 * Model. Three numbers divide the files there are:
 *
 *     first ......... open_first ......... prepared_next
 *
 * [first, prepared_next) exist. Those from open_first on have an open descriptor and may be
 * written; those below are durable to their end and are only kept for recovery. A new segment is
 * zero-filled and synced under another name, or is an old one that nobody needs, and gets its
 * number by a rename that is synced before prepared_next tells anyone: so a file that the stream
 * has reached is always found again.
 *
 * A file is only ever renamed to a higher number. So what is left in it from before carries lower
 * positions than the place it stands at, and can't be taken for a frame. Where a stream goes on in
 * the segment in which an earlier one was cut, what that one left there is cleared first.
 *
 * Threads: the gc thread prepares, recycles, closes and removes (main does it before shards run).
 * Shards read the descriptors, and create a segment themselves when none is left
 * (segments_prepare_now). Everything but segments_fd and the counters blocks.
 */
#ifndef LOG_SEGMENT_H
#define LOG_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/thread.h"

enum {
    SEGMENT_DIR_BYTES_MAX = 512,
    SEGMENT_PATH_BYTES = SEGMENT_DIR_BYTES_MAX + 32,
    SEGMENTS_OPEN_MAX = 1024,   /* descriptors; a power of two */
    SEGMENT_FILES_MAX = 1 << 20 /* files in the directory that are looked at */
};

struct segments {
    char dir[SEGMENT_DIR_BYTES_MAX];
    uint32_t segment_bytes;
    struct mutex lock; /* held while a file gets its number */
    _Atomic uint64_t first;
    _Atomic uint64_t open_first;
    _Atomic uint64_t prepared_next;
    _Atomic int sync_error;     /* of the directory: final */
    int fds[SEGMENTS_OPEN_MAX]; /* of number n at n % SEGMENTS_OPEN_MAX */
};

/* ERR_LIMIT if the name of the directory is too long. Touches no file. */
NODISCARD int segments_init(struct segments *segments, const char *dir, uint32_t segment_bytes);
/* Closes all descriptors. */
void segments_deinit(struct segments *segments);

/* The path of a segment, for opening it and for messages. */
void segment_path(const struct segments *segments, uint64_t number, char path[SEGMENT_PATH_BYTES]);

/* The numbers of the files there are, ascending; owns them. */
struct segment_list {
    uint64_t *numbers;
    uint32_t count;
    uint32_t capacity;
};
/* A directory that is not there has no files. */
NODISCARD int segment_list_read(const struct segments *segments, struct segment_list *list);
void segment_list_deinit(struct segment_list *list);
bool segment_list_has(const struct segment_list *list, uint64_t number);

/*
 * Makes the directory fit for writing from segment `number` on: makes it if absent, removes files
 * at or above `number` (left by a stream that was cut), stray ones below a gap, and half-made ones.
 * Nothing is prepared then.
 */
NODISCARD int segments_begin(struct segments *segments, uint64_t number);

/* Prepares the next segment, from the oldest file if its number is below `needed_first`, else a new
 * one. ERR_FULL: SEGMENTS_OPEN_MAX are open. -ENOSPC and the like: nothing is left behind, try
 * again later. */
NODISCARD int segments_prepare(struct segments *segments, uint64_t needed_first);

/*
 * Where no segment can be prepared after segments_begin: opens the last one that is in use, and
 * fills it with zeros from `offset` on, durably. That needs no room on a disk that writes in place.
 * What stands before `offset` is not changed, not even by a torn write: the bytes of its sector are
 * written as they are. On an error it may be tried again.
 */
NODISCARD int segments_resume(struct segments *segments, uint32_t offset);

/* From a shard that has reached `number`: makes it without the zero-fill if the gc thread hasn't.
 */
NODISCARD int segments_prepare_now(struct segments *segments, uint64_t number);

/* The descriptor of a prepared segment that is not yet durable to its end; -1 if it is not yet
 * prepared. */
int segments_fd(const struct segments *segments, uint64_t number);

/* Closes descriptors of segments that end at or below `durable`. Whether there were any. */
bool segments_close_below(struct segments *segments, uint64_t durable);

/* Unlinks the oldest file if its number is below `needed_first`. 1 if so, 0 if not. */
NODISCARD int segments_remove_oldest(struct segments *segments, uint64_t needed_first);

static inline uint64_t segments_prepared_next(const struct segments *segments)
{
    return atomic_load_explicit(&segments->prepared_next, memory_order_acquire);
}

#endif
