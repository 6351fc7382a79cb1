#include "server/memory.h"

#include "base/bytes.h"

enum {
    FIXED_BYTES = 12 << 20,           /* code, stacks, log buffers, tables of an empty server */
    FIXED_BYTES_PER_SHARD = 10 << 20, /* receive buffers, ring, arena, connections */
    SHARE_BYTES_MIN = 1 << 20,
};

struct memory_plan memory_plan(uint64_t memory_bytes, uint32_t shards, uint32_t dirty_percent,
                               uint32_t scale)
{
    uint64_t fixed = FIXED_BYTES + (uint64_t)FIXED_BYTES_PER_SHARD * shards;
    uint64_t usable = memory_bytes > fixed * 2 ? memory_bytes - fixed : memory_bytes / 2;
    usable = usable / MEMORY_SCALE_ONE * scale / shards;
    struct memory_plan plan;
    /* 1/8 stays free for mapping, table and fragmentation; records are worth twice what pages are.
     */
    plan.cache_bytes = max_u64(usable / 8, SHARE_BYTES_MIN);
    plan.record_bytes = max_u64(usable / 8 * 6, SHARE_BYTES_MIN);
    plan.dirty_bytes_max = max_u64(plan.record_bytes / 100 * dirty_percent, SHARE_BYTES_MIN / 2);
    plan.dirty_bytes_target = plan.dirty_bytes_max / 4 * 3;
    return plan;
}

uint32_t memory_govern(uint64_t memory_bytes, uint64_t resident_bytes, uint32_t scale)
{
    uint64_t percent = resident_bytes / (memory_bytes / 100 + 1);
    if (percent >= 100) {
        scale -= scale / 16;
    } else if (percent >= 97) {
        scale -= scale / 64;
    } else if (percent < 90) {
        scale += scale / 64 + 1;
    }
    return scale < MEMORY_SCALE_MIN   ? MEMORY_SCALE_MIN
           : scale > MEMORY_SCALE_ONE ? MEMORY_SCALE_ONE
                                      : scale;
}
