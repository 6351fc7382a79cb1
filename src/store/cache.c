#include "store/cache.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "io/io.h"
#include "shard/sync.h"
#include "store/branch.h"
#include "store/leaf.h"

enum {
    /* The hash table grows by one bucket for each frame (linear hashing), so no insertion ever has
     * to move them all. Buckets stand in segments that never move. */
    TABLE_SEGMENT_BUCKETS = 1024,
    PROBATION_SHARE = 10, /* one in so many leaf frames may stand in probation untroubled */
    TOUCHED_MAX = 3,
    LOOKS_MAX = 1024, /* frames that one eviction spares because they were touched */
};

/* A read under way. */
struct frame_load {
    struct io_op op;
    struct cache *cache;
    struct frame *frame;
    struct datafile *file; /* held */
    struct page_source source;
    struct page_expect expect;
    struct co_event done;
};

struct frame_table {
    struct frame ***segments;
    uint32_t segment_count;
    uint32_t segment_capacity;
    uint32_t buckets; /* in use */
    uint32_t round;   /* the power of two at or below `buckets` */
};

struct cache {
    struct shard *shard;
    struct frame_table table;
    struct frame_memory memory;
    struct list queues[FRAME_QUEUE_COUNT];
    uint32_t counts[FRAME_QUEUE_COUNT];
    uint32_t frames; /* all, orphans included */
    uint32_t frames_max;
    struct cache_stats stats;
};

/* ---- the table ---- */

static uint64_t frame_hash(uint32_t tag, struct file_pos pos)
{
    uint64_t key[2] = {tag, pos.value};
    return hash64(key, sizeof(key), 0);
}

static struct frame **table_bucket(const struct frame_table *table, uint64_t hash)
{
    uint32_t index = (uint32_t)hash & (table->round * 2 - 1);
    if (index >= table->buckets) {
        index &= table->round - 1;
    }
    return &table->segments[index / TABLE_SEGMENT_BUCKETS][index % TABLE_SEGMENT_BUCKETS];
}

static int table_add_segment(struct frame_table *table)
{
    if (table->segment_count == table->segment_capacity) {
        uint32_t capacity = table->segment_capacity == 0 ? 8 : table->segment_capacity * 2;
        struct frame ***bigger = mem_realloc(table->segments, capacity * sizeof(*bigger));
        if (bigger == NULL) {
            return ERR_MEMORY;
        }
        table->segments = bigger;
        table->segment_capacity = capacity;
    }
    struct frame **segment = mem_calloc(TABLE_SEGMENT_BUCKETS, sizeof(*segment));
    if (segment == NULL) {
        return ERR_MEMORY;
    }
    table->segments[table->segment_count++] = segment;
    return 0;
}

/* One bucket more: the frames of the bucket that it splits off from are dealt out anew. Without
 * memory the table stays as it is, with longer chains. */
static void table_grow(struct frame_table *table)
{
    uint32_t added = table->buckets;
    if (added == table->segment_count * TABLE_SEGMENT_BUCKETS && table_add_segment(table) < 0) {
        return;
    }
    uint32_t parent = added - (added == table->round * 2 ? table->round * 2 : table->round);
    if (added == table->round * 2) {
        table->round *= 2;
    }
    table->buckets++;
    struct frame **from =
        &table->segments[parent / TABLE_SEGMENT_BUCKETS][parent % TABLE_SEGMENT_BUCKETS];
    struct frame *frame = *from;
    *from = NULL;
    while (frame != NULL) {
        struct frame *next = frame->chain;
        struct frame **to = table_bucket(table, frame_hash(frame->tag, frame->pos));
        frame->chain = *to;
        *to = frame;
        frame = next;
    }
}

static struct frame *table_find(const struct frame_table *table, uint32_t tag, struct file_pos pos)
{
    struct frame *frame = *table_bucket(table, frame_hash(tag, pos));
    while (frame != NULL && (frame->pos.value != pos.value || frame->tag != tag)) {
        frame = frame->chain;
    }
    return frame;
}

static void table_insert(struct cache *cache, struct frame *frame)
{
    struct frame_table *table = &cache->table;
    if (cache->frames > table->buckets) {
        table_grow(table);
    }
    struct frame **bucket = table_bucket(table, frame_hash(frame->tag, frame->pos));
    frame->chain = *bucket;
    *bucket = frame;
}

static void table_remove(struct frame_table *table, struct frame *frame)
{
    struct frame **at = table_bucket(table, frame_hash(frame->tag, frame->pos));
    while (*at != frame) {
        ASSERT(*at != NULL);
        at = &(*at)->chain;
    }
    *at = frame->chain;
    frame->chain = NULL;
}

/* ---- creation ---- */

static uint32_t frames_of_bytes(uint64_t bytes)
{
    uint64_t frames = bytes / CACHE_FRAME_BYTES;
    return (uint32_t)min_u64(max_u64(frames, CACHE_FRAMES_MIN), UINT32_MAX / 2);
}

int cache_create(struct shard *shard, uint64_t bytes, struct cache **ret_cache)
{
    struct cache *cache = mem_calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return ERR_MEMORY;
    }
    cache->shard = shard;
    frame_memory_init(&cache->memory, shard_io(shard));
    cache->frames_max = frames_of_bytes(bytes);
    for (uint32_t i = 0; i < FRAME_QUEUE_COUNT; i++) {
        list_init(&cache->queues[i]);
    }
    int err = table_add_segment(&cache->table);
    if (err < 0) {
        mem_free(cache->table.segments);
        mem_free(cache);
        return err;
    }
    cache->table.buckets = TABLE_SEGMENT_BUCKETS;
    cache->table.round = TABLE_SEGMENT_BUCKETS;
    *ret_cache = cache;
    return 0;
}

static void frame_free(struct cache *cache, struct frame *frame)
{
    ASSERT(frame->pins == 0 && frame->load == NULL);
    cache->frames--;
    frame_memory_free(&cache->memory, frame);
}

/* ---- queues ---- */

static void queue_push(struct cache *cache, struct frame *frame, enum frame_queue queue)
{
    frame->queue = (uint8_t)queue;
    cache->counts[queue]++;
    list_push_back(&cache->queues[queue], &frame->node);
}

static void queue_remove(struct cache *cache, struct frame *frame)
{
    cache->counts[frame->queue]--;
    list_remove(&frame->node);
}

/* Takes the frame out of table and queue. */
static void frame_detach(struct cache *cache, struct frame *frame)
{
    table_remove(&cache->table, frame);
    queue_remove(cache, frame);
    frame->orphan = true;
}

/* The first frame of the queue has earned another round (or is in use). */
static void queue_rotate(struct cache *cache, struct frame *frame)
{
    enum frame_queue queue = (enum frame_queue)frame->queue;
    queue_remove(cache, frame);
    if (frame_busy(frame)) {
        queue_push(cache, frame, queue);
    } else if (queue == FRAME_PROBATION) {
        frame->touched = 0;
        queue_push(cache, frame, FRAME_MAIN);
    } else {
        frame->touched--;
        queue_push(cache, frame, queue);
    }
}

/* The next frame of a queue that may go, or NULL. After LOOKS_MAX frames touches no longer count,
 * so that no eviction takes long. */
static struct frame *queue_victim(struct cache *cache, enum frame_queue queue)
{
    uint64_t looks_max = LOOKS_MAX + (uint64_t)cache->counts[queue];
    for (uint64_t looks = 0; looks < looks_max && cache->counts[queue] > 0; looks++) {
        struct frame *frame = container_of(list_first(&cache->queues[queue]), struct frame, node);
        if (!frame_busy(frame) && (frame->touched == 0 || looks >= LOOKS_MAX)) {
            return frame;
        }
        queue_rotate(cache, frame);
    }
    return NULL;
}

/* A frame that may be reused, detached; NULL if all are pinned. */
static struct frame *cache_evict(struct cache *cache)
{
    uint32_t leaves = cache->counts[FRAME_PROBATION] + cache->counts[FRAME_MAIN];
    bool probation = cache->counts[FRAME_PROBATION] > leaves / PROBATION_SHARE;
    struct frame *frame = queue_victim(cache, probation ? FRAME_PROBATION : FRAME_MAIN);
    if (frame == NULL) {
        frame = queue_victim(cache, probation ? FRAME_MAIN : FRAME_PROBATION);
    }
    if (frame == NULL) {
        frame = queue_victim(cache, FRAME_BRANCHES);
    }
    if (frame != NULL) {
        frame_detach(cache, frame);
    }
    return frame;
}

void cache_destroy(struct cache *cache)
{
    if (cache == NULL) {
        return;
    }
    frame_memory_end(&cache->memory);
    for (uint32_t i = 0; i < FRAME_QUEUE_COUNT; i++) {
        struct list_node *node;
        while ((node = list_first(&cache->queues[i])) != NULL) {
            struct frame *frame = container_of(node, struct frame, node);
            frame_detach(cache, frame);
            frame_free(cache, frame);
        }
    }
    ASSERT(cache->frames == 0);
    frame_memory_deinit(&cache->memory);
    for (uint32_t i = 0; i < cache->table.segment_count; i++) {
        mem_free(cache->table.segments[i]);
    }
    mem_free(cache->table.segments);
    mem_free(cache);
}

static void cache_shrink(struct cache *cache)
{
    while (cache->frames > cache->frames_max) {
        struct frame *frame = cache_evict(cache);
        if (frame == NULL) {
            return;
        }
        frame_free(cache, frame);
    }
}

void cache_set_bytes(struct cache *cache, uint64_t bytes)
{
    cache->frames_max = frames_of_bytes(bytes);
    cache_shrink(cache);
}

uint32_t cache_frames_max(const struct cache *cache)
{
    return cache->frames_max;
}

/* ---- frames ---- */

/* An empty frame for the page, in no table yet. `extra`: how many may be made beyond the budget. */
static int frame_make(struct cache *cache, uint32_t tag, struct file_pos pos, uint32_t extra,
                      struct frame **ret_frame)
{
    struct frame *frame = NULL;
    if (cache->frames >= cache->frames_max) {
        frame = cache_evict(cache);
        if (frame == NULL && cache->frames >= cache->frames_max + extra) {
            return ERR_LIMIT;
        }
    }
    if (frame == NULL) {
        frame = frame_memory_alloc(&cache->memory);
        if (frame == NULL) {
            return ERR_MEMORY;
        }
        cache->frames++;
    }
    *frame = (struct frame){.page = frame->page, .chunk = frame->chunk, .pos = pos, .tag = tag};
    *ret_frame = frame;
    return 0;
}

void cache_pin(struct frame *frame)
{
    frame->pins++;
}

void cache_unpin(struct cache *cache, struct frame *frame)
{
    ASSERT(frame->pins > 0);
    if (--frame->pins > 0) {
        return;
    }
    if (frame->orphan) {
        if (frame->load == NULL) {
            frame_free(cache, frame);
        }
    } else if (UNLIKELY(cache->frames > cache->frames_max)) {
        cache_shrink(cache);
    }
}

static void frame_touch(struct frame *frame, enum cache_use use)
{
    if (use == CACHE_USE_POINT && frame->touched < TOUCHED_MAX) {
        frame->touched++;
    }
}

struct frame *cache_find(struct cache *cache, uint32_t tag, struct file_pos pos, enum cache_use use)
{
    struct frame *frame = table_find(&cache->table, tag, pos);
    if (frame == NULL || frame->load != NULL) {
        return NULL;
    }
    frame_touch(frame, use);
    frame->pins++;
    cache->stats.hits++;
    return frame;
}

/* ---- reading ---- */

/* The page as it came from the device: 0 or why it can't be used. */
static int load_check(const struct frame_load *load)
{
    const uint8_t *page = load->frame->page;
    if (load->op.result < 0) {
        return load->op.result;
    }
    if (load->op.result != STORE_PAGE_BYTES) {
        return err_corrupt(load->source.file, load->source.offset + (uint32_t)load->op.result,
                           "data file ends within a page");
    }
    TRY(page_check(page, &load->source, &load->expect));
    return page_kind(page) == PAGE_KIND_BRANCH ? branch_check(page, &load->source)
                                               : leaf_check(page, &load->source);
}

static void load_done(struct io_op *op)
{
    struct frame_load *load = container_of(op, struct frame_load, op);
    struct cache *cache = load->cache;
    struct frame *frame = load->frame;
    frame->error = load_check(load);
    frame->load = NULL;
    if (frame->error < 0) {
        frame_detach(cache, frame);
    } else if (page_kind(frame->page) == PAGE_KIND_BRANCH) {
        queue_remove(cache, frame);
        queue_push(cache, frame, FRAME_BRANCHES);
    }
    datafile_release(load->file);
    co_event_signal(&load->done);
    mem_free(load);
    if (frame->orphan && frame->pins == 0) {
        frame_free(cache, frame);
    }
}

static void load_start(struct frame_load *load, const struct cache_read *read)
{
    struct cache *cache = load->cache;
    load->file = read->file;
    load->expect = read->expect;
    load->source = (struct page_source){
        .file = read->file->path,
        .offset = file_pos_offset(read->pos),
        .seed = read->seed,
    };
    co_event_init(&load->done);
    bool held = datafile_hold(read->file);
    ASSERT(held);
    io_prep(&load->op, IO_READ, read->file->fd, load_done);
    io_prep_transfer(&load->op, IO_READ, read->file->fd, load->frame->page, STORE_PAGE_BYTES,
                     load->source.offset);
    load->op.region = frame_memory_region(load->frame);
    cache->stats.reads++;
    io_submit(shard_io(cache->shard), &load->op);
}

int cache_start(struct cache *cache, const struct cache_read *read, struct frame **ret_frame)
{
    struct frame *frame = table_find(&cache->table, read->tag, read->pos);
    if (frame != NULL) {
        frame_touch(frame, read->use);
        frame->pins++;
        if (frame->load == NULL) {
            cache->stats.hits++;
        } else {
            cache->stats.misses++;
            cache->stats.joined++;
        }
        *ret_frame = frame;
        return 0;
    }
    struct frame_load *load = mem_alloc(sizeof(*load));
    if (load == NULL) {
        return ERR_MEMORY;
    }
    int err = frame_make(cache, read->tag, read->pos, CACHE_FRAMES_EXTRA, &frame);
    if (err < 0) {
        mem_free(load);
        return err;
    }
    load->cache = cache;
    load->frame = frame;
    frame->load = load;
    frame->pins = 1;
    table_insert(cache, frame);
    queue_push(cache, frame, FRAME_PROBATION);
    cache->stats.misses++;
    load_start(load, read);
    *ret_frame = frame;
    return 0;
}

co_fn int cache_wait(struct cache *cache, struct frame *frame)
{
    (void)cache;
    ASSERT(frame->pins > 0);
    if (frame->load != NULL) {
        co_event_wait(&frame->load->done);
        ASSERT(frame->load == NULL);
    }
    return frame->error;
}

/* ---- pages that were just written ---- */

void cache_insert(struct cache *cache, uint32_t tag, struct file_pos pos, const uint8_t *page)
{
    ASSERT(table_find(&cache->table, tag, pos) == NULL);
    struct frame *frame;
    if (frame_make(cache, tag, pos, 0, &frame) < 0) {
        return; /* it will be read when it is needed */
    }
    memcpy(frame->page, page, STORE_PAGE_BYTES);
    bool branch = page_kind(page) == PAGE_KIND_BRANCH;
    table_insert(cache, frame);
    queue_push(cache, frame, branch ? FRAME_BRANCHES : FRAME_PROBATION);
}

void cache_demote(struct cache *cache, uint32_t tag, struct file_pos pos)
{
    struct frame *frame = table_find(&cache->table, tag, pos);
    if (frame == NULL || frame->load != NULL) {
        return;
    }
    queue_remove(cache, frame);
    frame->touched = 0;
    frame->queue = FRAME_PROBATION;
    cache->counts[FRAME_PROBATION]++;
    list_push_front(&cache->queues[FRAME_PROBATION], &frame->node);
}

void cache_stats(const struct cache *cache, struct cache_stats *ret_stats)
{
    *ret_stats = cache->stats;
    ret_stats->frames = cache->frames;
    ret_stats->frames_max = cache->frames_max;
    ret_stats->bytes = (uint64_t)cache->frames * CACHE_FRAME_BYTES;
    ret_stats->branch_bytes = (uint64_t)cache->counts[FRAME_BRANCHES] * CACHE_FRAME_BYTES;
}
