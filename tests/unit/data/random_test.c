/*
 * Random work beside a model, through checkpoints, evictions, crashes and restarts: what the files
 * of the room do together.
 */
#include "model.h"

enum { ROUNDS = 12, STEPS = 1500 };

static void work(struct keyspace *keyspace, void *argument)
{
    struct model *model = argument;
    model_work(model, keyspace, STEPS);
    switch (random_below(&model->random, 6)) {
    case 0:
        rig_checkpoint(keyspace);
        break;
    case 1: {
        struct shelf *shelf =
            &keyspace->shelves[random_below(&model->random, keyspace->shelf_count)];
        MUST_BE(keyspace_checkpoint(keyspace, shelf, LSN_NONE), 0);
        break;
    }
    case 2:
        rig_evict_all(keyspace);
        break;
    case 3:
        MUST_BE(rig_count(keyspace), model->present);
        break;
    case 4:
        model_check_scan(model, keyspace, 1 + (uint32_t)random_below(&model->random, 50));
        break;
    default:
        break;
    }
    rig_verify(keyspace);
}

static void check(struct keyspace *keyspace, void *argument)
{
    model_check(argument, keyspace);
    rig_verify(keyspace);
}

static void own(struct keyspace *keyspace, void *argument)
{
    model_own(argument, keyspace);
}

static void run(uint32_t shards, uint32_t keys, uint64_t value_bytes_max, uint64_t seed)
{
    struct rig rig;
    struct model models[RIG_SHARDS_MAX];
    struct random random;
    random_seed(&random, seed);
    rig_init(&rig, shards);
    rig_open(&rig);
    for (uint32_t i = 0; i < shards; i++) {
        model_init(&models[i], keys, value_bytes_max, seed + i);
        rig_run(&rig, i, own, &models[i]);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < shards; i++) {
            rig_run(&rig, i, work, &models[i]);
        }
        uint64_t what = random_below(&random, 4);
        if (what < 2) {
            rig_close(&rig, what == 0 ? RIG_CLEAN : RIG_CRASH);
            rig_open(&rig);
        }
        for (uint32_t i = 0; i < shards && what < 3; i++) {
            rig_run(&rig, i, check, &models[i]);
        }
    }
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
    for (uint32_t i = 0; i < shards; i++) {
        model_deinit(&models[i]);
    }
}

Test(random, few_keys)
{
    run(1, 30, 3000, 1);
}

Test(random, many_keys)
{
    run(1, 3000, 5000, 2);
}

Test(random, large_values)
{
    run(1, 40, 300000, 3);
}

Test(random, two_shards)
{
    run(2, 1000, 20000, 4);
}
