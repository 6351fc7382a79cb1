#include "server/memory.h"

#include <criterion/criterion.h>

static uint64_t total_of(struct memory_plan plan)
{
    return plan.record_bytes + plan.cache_bytes;
}

Test(memory, shares_of_all_shards_stay_below_the_whole)
{
    for (uint64_t mb = 64; mb <= 65536; mb *= 2) {
        for (uint32_t shards = 1; shards <= 4; shards *= 2) {
            uint64_t bytes = mb << 20;
            struct memory_plan plan = memory_plan(bytes, shards, 50, MEMORY_SCALE_ONE);
            cr_expect_lt(total_of(plan) * shards, bytes, "%lu MB, %u shards", mb, shards);
            cr_expect_gt(plan.record_bytes, plan.cache_bytes);
            cr_expect_leq(plan.dirty_bytes_max, plan.record_bytes);
            cr_expect_lt(plan.dirty_bytes_target, plan.dirty_bytes_max);
        }
    }
}

Test(memory, even_next_to_nothing_gives_every_share_something)
{
    struct memory_plan plan = memory_plan(1, 64, 5, MEMORY_SCALE_MIN);
    cr_expect_gt(plan.record_bytes, 0);
    cr_expect_gt(plan.cache_bytes, 0);
    cr_expect_gt(plan.dirty_bytes_target, 0);
    cr_expect_leq(plan.dirty_bytes_max, plan.record_bytes);
}

Test(memory, the_dirty_share_is_a_percentage_of_the_records)
{
    struct memory_plan some = memory_plan(1 << 30, 1, 20, MEMORY_SCALE_ONE);
    struct memory_plan more = memory_plan(1 << 30, 1, 80, MEMORY_SCALE_ONE);
    cr_expect_eq(some.record_bytes, more.record_bytes);
    cr_expect_eq(some.dirty_bytes_max / 20, more.dirty_bytes_max / 80);
}

Test(memory, the_scale_shrinks_every_share)
{
    struct memory_plan whole = memory_plan(1 << 30, 2, 50, MEMORY_SCALE_ONE);
    struct memory_plan half = memory_plan(1 << 30, 2, 50, MEMORY_SCALE_ONE / 2);
    cr_expect_leq(half.record_bytes, whole.record_bytes / 2 + 1024);
    cr_expect_leq(half.cache_bytes, whole.cache_bytes / 2 + 1024);
}

Test(memory, the_governor_shrinks_above_and_grows_below)
{
    uint64_t limit = 1 << 30;
    cr_expect_lt(memory_govern(limit, limit + (limit >> 3), MEMORY_SCALE_ONE), MEMORY_SCALE_ONE);
    cr_expect_gt(memory_govern(limit, limit / 2, 512), 512);
    cr_expect_eq(memory_govern(limit, limit / 100 * 94, 512), 512);
}

Test(memory, the_governor_settles_within_its_bounds)
{
    uint32_t scale = MEMORY_SCALE_ONE;
    for (int i = 0; i < 1000; i++) {
        scale = memory_govern(1 << 20, 1 << 30, scale);
    }
    cr_expect_eq(scale, MEMORY_SCALE_MIN);
    for (int i = 0; i < 1000; i++) {
        scale = memory_govern(1 << 30, 0, scale);
    }
    cr_expect_eq(scale, MEMORY_SCALE_ONE);
}
