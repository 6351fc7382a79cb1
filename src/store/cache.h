/*
 * cache: pages of data files in memory, for all partitions of a shard.
 *
 * Model. A frame holds one checked page. Frames are found by (tag, position): the tag stands for
 * one opening of a partition, and a position means the same bytes for ever, so frames never go
 * stale. A frame that is pinned stays; a page pointer is valid while its frame is pinned. A read
 * that is under way has a frame too: whoever else wants the page waits for the same read.
 *
 * What goes when room is needed: new leaves stand in a queue (probation); the first to come is the
 * first to go, unless it was touched again meanwhile: then it moves to the main clock, where each
 * touch earns one more round. So a scan, or many keys read once, pass through without
 * pushing out what is read often. Branches have a clock of their own and go only when no leaf can.
 * When everything is pinned, a bounded number of extra frames is made, then ERR_LIMIT.
 *
 * Who calls: tree_page.c and partition.c, on the shard's thread. co_fn as marked.
 */
#ifndef STORE_CACHE_H
#define STORE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "shard/coro.h"
#include "shard/shard.h"
#include "store/datafile.h"
#include "store/frame_memory.h"
#include "store/page.h"

enum {
    CACHE_FRAMES_MIN = 16,          /* whatever the budget says */
    CACHE_FRAMES_EXTRA = 256,       /* beyond the budget when everything is pinned */
    CACHE_FRAME_BYTES = 4096 + 128, /* what a frame costs, about */
};

struct cache;
struct frame_load;

enum frame_queue { FRAME_PROBATION, FRAME_MAIN, FRAME_BRANCHES, FRAME_QUEUE_COUNT };

/* Read by the cache's callers, written by the cache. */
struct frame {
    uint8_t *page; /* checked once load is NULL and error 0 */
    struct file_pos pos;
    uint32_t tag;
    uint32_t pins;
    int error;     /* of its read; such a frame is in no table any longer */
    uint8_t queue; /* enum frame_queue */
    uint8_t touched;
    bool orphan;             /* in no table and no queue: goes with its last pin */
    struct frame_load *load; /* the read under way, else NULL */
    struct frame *chain;
    struct frame_chunk *chunk; /* has the page */
    struct list_node node;
};

/* Stays where it is, page and all. */
static inline bool frame_busy(const struct frame *frame)
{
    return frame->pins > 0 || frame->load != NULL;
}

NODISCARD int cache_create(struct shard *shard, uint64_t bytes, struct cache **ret_cache);
/* Nothing pinned, no read under way. */
void cache_destroy(struct cache *cache);

/* Changes the budget; frees at once what is over it and not pinned. */
void cache_set_bytes(struct cache *cache, uint64_t bytes);
uint32_t cache_frames_max(const struct cache *cache);

/* How a page is used: a scan's touch counts for nothing. */
enum cache_use { CACHE_USE_POINT, CACHE_USE_SCAN };

/* The frame of a page that is in the cache and read, pinned; NULL if it isn't. */
struct frame *cache_find(struct cache *cache, uint32_t tag, struct file_pos pos,
                         enum cache_use use);

/* What has to be read, and what to expect. */
struct cache_read {
    uint32_t tag;
    struct file_pos pos;
    struct datafile *file; /* held by the caller; the read holds it for itself */
    uint64_t seed;         /* page_seed of the position */
    struct page_expect expect;
    enum cache_use use;
};

/* Like cache_find, but starts or joins the read of a page that isn't there: *ret_frame is pinned,
 * and must be waited for. ERR_LIMIT, ERR_MEMORY. Does not suspend. */
NODISCARD int cache_start(struct cache *cache, const struct cache_read *read,
                          struct frame **ret_frame);

/* Waits until the frame is read: 0 or the read's error. The pin stays either way. Suspends. */
NODISCARD co_fn int cache_wait(struct cache *cache, struct frame *frame);

/* Puts in a page that was just built, if there is room. Not pinned. */
void cache_insert(struct cache *cache, uint32_t tag, struct file_pos pos, const uint8_t *page);

/* The newest version no longer has this page: it goes next. */
void cache_demote(struct cache *cache, uint32_t tag, struct file_pos pos);

void cache_pin(struct frame *frame);
void cache_unpin(struct cache *cache, struct frame *frame);

struct cache_stats {
    uint64_t hits, misses, joined; /* joined: misses that shared a read */
    uint64_t reads, bytes, branch_bytes;
    uint32_t frames, frames_max;
};
void cache_stats(const struct cache *cache, struct cache_stats *ret_stats);

#endif
