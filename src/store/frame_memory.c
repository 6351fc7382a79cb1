#include "store/frame_memory.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/cache.h"

/* So many free pages are kept before a chunk goes: enough that the rest takes in what the emptiest
 * still has, and so many more that frames that come and go don't cost a chunk each time. */
enum { FREE_MAX = FRAME_CHUNK_PAGES + FRAME_CHUNK_PAGES / 2 };

void frame_memory_init(struct frame_memory *memory, struct io *io)
{
    *memory = (struct frame_memory){.io = io, .free_max = FREE_MAX};
    list_init(&memory->open);
    list_init(&memory->full);
}

/* ---- chunks ---- */

static struct frame_chunk *chunk_create(struct frame_memory *memory)
{
    struct frame_chunk *chunk = mem_calloc(1, sizeof(*chunk));
    if (chunk == NULL) {
        return NULL;
    }
    chunk->pages = mem_alloc_aligned(STORE_PAGE_BYTES, FRAME_CHUNK_BYTES);
    if (chunk->pages == NULL) {
        mem_free(chunk);
        return NULL;
    }
    chunk->free_count = FRAME_CHUNK_PAGES;
    for (uint32_t i = 0; i < FRAME_CHUNK_PAGES; i++) {
        chunk->free[i] = (uint16_t)(FRAME_CHUNK_PAGES - 1 - i);
    }
    list_push_back(&memory->open, &chunk->node);
    memory->free_count += FRAME_CHUNK_PAGES;
    memory->chunks++;
    return chunk;
}

static void chunk_destroy(struct frame_memory *memory, struct frame_chunk *chunk)
{
    ASSERT(chunk->free_count == FRAME_CHUNK_PAGES);
    io_region_remove(memory->io, chunk->region);
    list_remove(&chunk->node);
    memory->free_count -= FRAME_CHUNK_PAGES;
    memory->chunks--;
    mem_free(chunk->pages);
    mem_free(chunk);
}

void frame_memory_end(struct frame_memory *memory)
{
    memory->free_max = UINT32_MAX;
}

void frame_memory_deinit(struct frame_memory *memory)
{
    ASSERT(list_empty(&memory->full));
    LIST_FOREACH_SAFE (&memory->open, node) {
        chunk_destroy(memory, container_of(node, struct frame_chunk, node));
    }
    ASSERT(memory->chunks == 0 && memory->free_count == 0);
}

/* Gives the frame a page of the chunk, which has one. */
static void chunk_take(struct frame_memory *memory, struct frame_chunk *chunk, struct frame *frame)
{
    uint16_t number = chunk->free[--chunk->free_count];
    ASSERT(chunk->owners[number] == NULL);
    chunk->owners[number] = frame;
    frame->chunk = chunk;
    frame->page = chunk->pages + (size_t)number * STORE_PAGE_BYTES;
    memory->free_count--;
    if (chunk->free_count > 0) {
        return;
    }
    list_remove(&chunk->node);
    list_push_back(&memory->full, &chunk->node);
    if (chunk->region == 0) {
        chunk->region = io_region_add(memory->io, chunk->pages, FRAME_CHUNK_BYTES);
    }
}

static void chunk_give(struct frame_memory *memory, struct frame_chunk *chunk, const uint8_t *page)
{
    uint16_t number = (uint16_t)((size_t)(page - chunk->pages) / STORE_PAGE_BYTES);
    ASSERT(chunk->owners[number] != NULL);
    chunk->owners[number] = NULL;
    if (chunk->free_count == 0) {
        list_remove(&chunk->node);
        list_push_back(&memory->open, &chunk->node);
    }
    chunk->free[chunk->free_count++] = number;
    memory->free_count++;
}

/* ---- giving chunks back ---- */

static struct frame_chunk *emptiest_chunk(const struct frame_memory *memory)
{
    struct frame_chunk *emptiest = NULL;
    LIST_FOREACH (&memory->open, node) {
        struct frame_chunk *chunk = container_of(node, struct frame_chunk, node);
        if (emptiest == NULL || chunk->free_count > emptiest->free_count) {
            emptiest = chunk;
        }
    }
    return emptiest;
}

static void page_move(struct frame_memory *memory, struct frame *frame)
{
    struct frame_chunk *from = frame->chunk;
    const uint8_t *page = frame->page;
    struct frame_chunk *to = container_of(list_first(&memory->open), struct frame_chunk, node);
    ASSERT(to != from);
    chunk_take(memory, to, frame);
    memcpy(frame->page, page, STORE_PAGE_BYTES);
    chunk_give(memory, from, page);
}

/* The others have room for all that the emptiest chunk holds. */
static void give_back_chunk(struct frame_memory *memory)
{
    struct frame_chunk *chunk = emptiest_chunk(memory);
    /* Last, so that nothing is moved to it. */
    list_remove(&chunk->node);
    list_push_back(&memory->open, &chunk->node);
    for (uint32_t i = 0; i < FRAME_CHUNK_PAGES; i++) {
        struct frame *frame = chunk->owners[i];
        if (frame != NULL && !frame_busy(frame)) {
            page_move(memory, frame);
        }
    }
    if (chunk->free_count == FRAME_CHUNK_PAGES) {
        chunk_destroy(memory, chunk);
    }
}

/* ---- frames ---- */

struct frame *frame_memory_alloc(struct frame_memory *memory)
{
    struct frame *frame = mem_calloc(1, sizeof(*frame));
    if (frame == NULL) {
        return NULL;
    }
    struct frame_chunk *chunk;
    if (list_empty(&memory->open)) {
        chunk = chunk_create(memory);
    } else {
        chunk = container_of(list_first(&memory->open), struct frame_chunk, node);
    }
    if (chunk == NULL) {
        mem_free(frame);
        return NULL;
    }
    chunk_take(memory, chunk, frame);
    return frame;
}

void frame_memory_free(struct frame_memory *memory, struct frame *frame)
{
    ASSERT(!frame_busy(frame));
    chunk_give(memory, frame->chunk, frame->page);
    mem_free(frame);
    if (memory->free_count >= memory->free_max) {
        give_back_chunk(memory);
    }
}

uint32_t frame_memory_region(const struct frame *frame)
{
    return frame->chunk->region;
}
