/* frame_memory: pages come from chunks, what is in them stays through any move, chunks go. */
#include "stores.h"

#include <string.h>

#include "base/mem.h"
#include "store/cache.h"
#include "store/frame_memory.h"

enum { FRAMES = 8 * FRAME_CHUNK_PAGES };

static struct frame *frames[FRAMES + 1];

/* A page full of its number. */
static void page_fill(const struct frame *frame, uint32_t number)
{
    for (uint32_t at = 0; at < STORE_PAGE_BYTES; at += sizeof(number)) {
        memcpy(frame->page + at, &number, sizeof(number));
    }
}

static void page_must_be(const struct frame *frame, uint32_t number)
{
    for (uint32_t at = 0; at < STORE_PAGE_BYTES; at += sizeof(number)) {
        MUST_BE(memcmp(frame->page + at, &number, sizeof(number)), 0);
    }
}

static void take(struct frame_memory *memory, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        frames[i] = frame_memory_alloc(memory);
        MUST(frames[i] != NULL);
        page_fill(frames[i], i);
    }
}

static void give(struct frame_memory *memory, uint32_t i)
{
    frame_memory_free(memory, frames[i]);
    frames[i] = NULL;
}

static int body_chunks(struct shard *shard, void *argument)
{
    (void)argument;
    struct frame_memory memory;
    frame_memory_init(&memory, shard_io(shard));
    MUST_BE(memory.chunks, 0);
    take(&memory, 0, FRAME_CHUNK_PAGES - 1);
    MUST_BE(memory.chunks, 1);
    MUST_BE(frame_memory_region(frames[0]), 0);
    take(&memory, FRAME_CHUNK_PAGES - 1, FRAME_CHUNK_PAGES);
    MUST_BE(memory.chunks, 1);
    uint32_t region = frame_memory_region(frames[0]);
    MUST_BE(region != 0, strcmp(io_name(shard_io(shard)), "io_uring") == 0);
    take(&memory, FRAME_CHUNK_PAGES, FRAME_CHUNK_PAGES + 1);
    MUST_BE(memory.chunks, 2);
    MUST_BE(frame_memory_region(frames[FRAME_CHUNK_PAGES]), 0);
    for (uint32_t i = 0; i <= FRAME_CHUNK_PAGES; i++) {
        page_must_be(frames[i], i);
        MUST_BE((uintptr_t)frames[i]->page % STORE_PAGE_BYTES, 0);
    }
    /* Once registered it stays so, full or not. */
    give(&memory, 7);
    MUST_BE(frame_memory_region(frames[0]), region);
    for (uint32_t i = 0; i <= FRAME_CHUNK_PAGES; i++) {
        if (frames[i] != NULL) {
            give(&memory, i);
        }
    }
    frame_memory_deinit(&memory);
    return 0;
}

Test(frame_memory, chunk_is_registered_when_it_is_full)
{
    world_test(body_chunks);
}

/* Frees the frames that are not a multiple of `keep` in an order that goes all over the chunks. */
static void thin_out(struct frame_memory *memory, uint32_t keep)
{
    for (uint32_t i = 0; i < FRAMES; i++) {
        uint32_t j = i * 509 % FRAMES;
        if (frames[j] != NULL && j % keep != 0) {
            give(memory, j);
        }
    }
}

static int body_shrink(struct shard *shard, void *argument)
{
    (void)argument;
    struct frame_memory memory;
    frame_memory_init(&memory, shard_io(shard));
    take(&memory, 0, FRAMES);
    MUST_BE(memory.chunks, 8);
    for (uint32_t keep = 2; keep <= FRAMES; keep *= 2) {
        thin_out(&memory, keep);
        MUST(memory.free_count < FRAME_CHUNK_PAGES + FRAME_CHUNK_PAGES / 2);
        for (uint32_t i = 0; i < FRAMES; i += keep) {
            page_must_be(frames[i], i);
        }
    }
    MUST_BE(memory.chunks, 1);
    give(&memory, 0);
    take(&memory, 0, FRAMES);
    frame_memory_end(&memory);
    thin_out(&memory, FRAMES);
    MUST_BE(memory.chunks, 8);
    give(&memory, 0);
    frame_memory_deinit(&memory);
    return 0;
}

Test(frame_memory, chunks_go_with_the_frames_and_pages_keep_their_bytes)
{
    world_test(body_shrink);
}

static int body_pins(struct shard *shard, void *argument)
{
    (void)argument;
    struct frame_memory memory;
    frame_memory_init(&memory, shard_io(shard));
    take(&memory, 0, FRAMES);
    const uint8_t *pages[8];
    for (uint32_t i = 0; i < 8; i++) {
        pages[i] = frames[i * FRAME_CHUNK_PAGES]->page;
        frames[i * FRAME_CHUNK_PAGES]->pins = 1;
    }
    thin_out(&memory, FRAME_CHUNK_PAGES);
    MUST_BE(memory.chunks, 8);
    for (uint32_t i = 0; i < 8; i++) {
        struct frame *frame = frames[i * FRAME_CHUNK_PAGES];
        MUST(frame->page == pages[i]);
        page_must_be(frame, i * FRAME_CHUNK_PAGES);
        frame->pins = 0;
    }
    /* What could not move does so when the next frame goes. */
    give(&memory, 0);
    MUST(memory.chunks < 8);
    for (uint32_t i = 1; i < 8; i++) {
        page_must_be(frames[i * FRAME_CHUNK_PAGES], i * FRAME_CHUNK_PAGES);
        give(&memory, i * FRAME_CHUNK_PAGES);
    }
    frame_memory_deinit(&memory);
    return 0;
}

Test(frame_memory, pinned_pages_stay_where_they_are)
{
    world_test(body_pins);
}

static int body_memory(struct shard *shard, void *argument)
{
    (void)argument;
    struct frame_memory memory;
    frame_memory_init(&memory, shard_io(shard));
    for (uint32_t n = 1; n <= 3; n++) { /* frame, chunk, its pages */
        mem_fail_after(n, false);
        MUST(frame_memory_alloc(&memory) == NULL);
        MUST_BE(memory.chunks, 0);
    }
    mem_fail_after(0, false);
    take(&memory, 0, 1);
    give(&memory, 0);
    frame_memory_deinit(&memory);
    return 0;
}

Test(frame_memory, allocation_that_fails_leaves_nothing_behind)
{
    world_test(body_memory);
}
