#include "base/pool.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_POISON 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define POOL_POISON 1
#endif

#ifdef POOL_POISON
#include <sanitizer/asan_interface.h>
#define POISON(data, bytes) ASAN_POISON_MEMORY_REGION(data, bytes)
#define UNPOISON(data, bytes) ASAN_UNPOISON_MEMORY_REGION(data, bytes)
#else
#define POISON(data, bytes) ((void)0)
#define UNPOISON(data, bytes) ((void)0)
#endif

#define POOL_ALIGN 16
#define POOL_CHUNK_COUNT_FIRST 8
#define POOL_CHUNK_BYTES_MAX 65536

/* Objects follow the header. */
struct pool_chunk {
    struct pool_chunk *next;
    size_t bytes; /* with the header */
};

static_assert(sizeof(struct pool_chunk) % POOL_ALIGN == 0, "objects behind it are aligned");

void pool_init(struct pool *pool, size_t object_bytes, uint32_t count_max)
{
    ASSERT(object_bytes > 0);
    ASSERT(count_max > 0);
    *pool = (struct pool){
        .object_bytes = align_up(object_bytes, POOL_ALIGN),
        .count_max = count_max,
        .count_chunk = POOL_CHUNK_COUNT_FIRST,
    };
}

void pool_deinit(struct pool *pool)
{
    ASSERT(pool->count_used == 0);
    while (pool->chunks != NULL) {
        struct pool_chunk *chunk = pool->chunks;
        pool->chunks = chunk->next;
        UNPOISON(chunk, chunk->bytes);
        mem_free(chunk);
    }
    pool->free_first = NULL;
    pool->count_made = 0;
}

static void pool_link_free(struct pool *pool, void *object)
{
    memcpy(object, &pool->free_first, sizeof(pool->free_first));
    pool->free_first = object;
    POISON(object, pool->object_bytes);
}

/* Adds a chunk; each is twice as large as the one before, up to 64 KiB or one object. */
static int pool_grow(struct pool *pool)
{
    uint32_t count = (uint32_t)min_u64(pool->count_chunk, pool->count_max - pool->count_made);
    if (count == 0) {
        return ERR_LIMIT;
    }
    size_t bytes = sizeof(struct pool_chunk) + pool->object_bytes * count;
    struct pool_chunk *chunk = mem_alloc(bytes);
    if (chunk == NULL) {
        return ERR_MEMORY;
    }
    chunk->next = pool->chunks;
    chunk->bytes = bytes;
    pool->chunks = chunk;
    uint8_t *objects = (uint8_t *)(chunk + 1);
    for (uint32_t i = count; i > 0; i--) {
        pool_link_free(pool, objects + (size_t)(i - 1) * pool->object_bytes);
    }
    pool->count_made += count;
    uint64_t count_limit = max_u64(POOL_CHUNK_BYTES_MAX / pool->object_bytes, 1);
    pool->count_chunk = (uint32_t)min_u64((uint64_t)pool->count_chunk * 2, count_limit);
    return 0;
}

void *pool_get(struct pool *pool)
{
    if (pool->free_first == NULL && pool_grow(pool) < 0) {
        return NULL;
    }
    void *object = pool->free_first;
    UNPOISON(object, pool->object_bytes);
    memcpy(&pool->free_first, object, sizeof(pool->free_first));
    pool->count_used++;
    ASSERT(pool->count_used <= pool->count_made);
    return object;
}

void pool_put(struct pool *pool, void *object)
{
    ASSERT(object != NULL);
    ASSERT(pool->count_used > 0);
    pool->count_used--;
    pool_link_free(pool, object);
}
