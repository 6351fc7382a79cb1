/*
 * frame_memory: the memory of the page cache's pages, in chunks that the shard's io knows.
 *
 * Model. A chunk is a run of FRAME_CHUNK_PAGES pages. Frames take pages from the chunks that have
 * some left. A chunk that is full for the first time is registered with the io (io_region_add),
 * which makes reads into it cheaper and keeps it resident: all of it is in use by then, so that
 * costs no memory. When frames are freed and a chunk and a half is left over, the emptiest chunk's
 * pages are moved to the others, and it goes. A page whose frame is pinned or being read does not
 * move, and its chunk then stays until a later attempt.
 *
 * Who calls: cache.c. Nothing here suspends.
 */
#ifndef STORE_FRAME_MEMORY_H
#define STORE_FRAME_MEMORY_H

#include <stdint.h>

#include "base/list.h"
#include "io/io.h"
#include "store/store.h"

struct frame;

enum {
    FRAME_CHUNK_PAGES = 256,
    FRAME_CHUNK_BYTES = FRAME_CHUNK_PAGES * STORE_PAGE_BYTES,
};

struct frame_chunk {
    struct list_node node;
    uint8_t *pages;
    uint32_t region; /* the io's, or 0 */
    uint32_t free_count;
    uint16_t free[FRAME_CHUNK_PAGES];        /* page numbers, the next to be taken last */
    struct frame *owners[FRAME_CHUNK_PAGES]; /* by page number; NULL: free */
};

struct frame_memory {
    struct io *io;
    struct list open; /* chunks with free pages */
    struct list full;
    uint32_t free_count; /* of all */
    uint32_t free_max;   /* a chunk goes when it is reached */
    uint32_t chunks;
};

void frame_memory_init(struct frame_memory *memory, struct io *io);
/* From now on chunks go only with frame_memory_deinit: all frames are about to be freed. */
void frame_memory_end(struct frame_memory *memory);
/* All frames are freed. */
void frame_memory_deinit(struct frame_memory *memory);

/* A zeroed frame with a page; NULL: no memory. */
struct frame *frame_memory_alloc(struct frame_memory *memory);
/* Frees the frame and, now and then, a chunk: other frames that aren't busy get other pages. */
void frame_memory_free(struct frame_memory *memory, struct frame *frame);

/* The io's region that the frame's page lies in, or 0. */
uint32_t frame_memory_region(const struct frame *frame);

#endif
