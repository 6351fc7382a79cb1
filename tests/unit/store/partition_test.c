/*
 * partition: opening, closing, and the whole against a model.
 */
#include "stores.h"

#include <errno.h>
#include <string.h>

static int body_fresh(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(partition_applied(world->partition).value, 0);
    MUST_BE(partition_count(world->partition, WORLD_SPACE), 0);
    MUST(world_holds(world, "a", NULL));
    MUST_BE(world_verify(world).keys, 0);
    return 0;
}

Test(partition, a_fresh_one_is_empty)
{
    world_test(body_fresh);
}

static int body_put_get(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(world_put(world, "b", "two"), 0);
    MUST_BE(world_put(world, "a", "one"), 0);
    MUST(world_holds(world, "a", "one") && world_holds(world, "b", "two"));
    MUST(world_holds(world, "c", NULL));
    MUST_BE(partition_applied(world->partition).value, 2);
    world_reopen(world);
    MUST_BE(partition_applied(world->partition).value, 2);
    MUST(world_holds(world, "a", "one") && world_holds(world, "b", "two"));
    MUST_BE(world_remove(world, "a"), 0);
    MUST(world_holds(world, "a", NULL));
    MUST_BE(partition_count(world->partition, WORLD_SPACE), 1);
    MUST_BE(world_remove(world, "b"), 0);
    MUST_BE(partition_count(world->partition, WORLD_SPACE), 0);
    MUST_BE(world_verify(world).leaves, 0);
    world_reopen(world);
    MUST(world_holds(world, "a", NULL) && world_holds(world, "b", NULL));
    return 0;
}

Test(partition, keeps_what_was_committed_over_a_reopening)
{
    world_test(body_put_get);
}

static int body_model(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 3000, 3, 1);
    for (uint32_t round = 0; round < 60; round++) {
        model_commit(&model, world, 1 + (uint32_t)random_below(&model.random, 400));
        if (round % 10 == 9) {
            world_reopen(world);
            world_verify(world);
            model_check(&model, world);
        }
    }
    model_deinit(&model);
    return 0;
}

Test(partition, agrees_with_a_model_over_random_batches_and_reopenings)
{
    world_test(body_model);
}
