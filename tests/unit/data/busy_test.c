/*
 * Several coroutines at work at once, with background checkpoints, evictions and counts, under
 * budgets far too small for what they write.
 */
#include <string.h>

#include "model.h"

enum { WORKERS = 4, STEPS_TO_CRASH = 200 };

struct worker {
    struct keyspace *keyspace;
    struct model model;
    struct co_group *group;
    uint32_t steps;
};

static void worker_main(void *argument)
{
    struct worker *worker = argument;
    for (uint32_t i = 0; i < 10; i++) {
        model_work(&worker->model, worker->keyspace, worker->steps / 10);
        for (uint64_t j = random_below(&worker->model.random, 4); j > 0; j--) {
            co_yield();
        }
    }
    co_group_done(worker->group);
}

static void start_workers(struct keyspace *keyspace, struct worker *workers, uint32_t steps,
                          struct co_group *group)
{
    co_group_init(group);
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i].keyspace = keyspace;
        workers[i].group = group;
        workers[i].steps = steps;
        co_group_add(group, 1);
        MUST_BE(coro_start(shard_sched(keyspace->shard), "worker", CORO_NORMAL, worker_main,
                           &workers[i]),
                0);
    }
}

static void work(struct keyspace *keyspace, void *argument)
{
    struct worker *workers = argument;
    struct co_group group;
    start_workers(keyspace, workers, workers->steps, &group);
    co_group_wait(&group);
}

/* The scan is another test's: here others change keys. */
static void check(struct keyspace *keyspace, void *argument)
{
    struct worker *workers = argument;
    uint64_t present = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct model *model = &workers[i].model;
        present += model->present;
        for (uint32_t k = 0; k < model->count; k++) {
            struct key key = keyspace_key(keyspace, keyspace_space(keyspace, 0),
                                          slice_of(model->keys[k].name, model->keys[k].name_bytes));
            struct record *record;
            int found = rig_find(keyspace, &key, &record);
            MUST_BE(found, model->keys[k].present);
            MUST(found == 0 ||
                 slice_equal(record_value(record),
                             slice_of(model->keys[k].value, model->keys[k].value_bytes)));
        }
    }
    MUST_BE(rig_count(keyspace), present);
}

static void verify_sums(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    keyspace_stop_background(keyspace);
    rig_verify(keyspace);
}

static void verify(struct keyspace *keyspace, void *argument)
{
    verify_sums(keyspace, argument);
    struct keyspace_stats stats;
    keyspace_stats(keyspace, &stats);
    MUST(stats.checkpoints > 0);
    MUST(stats.evicted_clean > 0);
    MUST_BE(keyspace_start_background(keyspace), 0);
}

static void init(struct rig *rig, struct worker *workers, uint32_t keys, uint64_t value_bytes_max,
                 uint64_t budget, uint64_t seed)
{
    rig_init(rig, 1);
    rig->background = true;
    rig->options.record_bytes_max = budget;
    rig->options.dirty_bytes_max = budget / 2;
    rig->options.dirty_bytes_target = budget / 4;
    rig->options.log_bytes_target = 4 * budget;
    rig->cache_bytes = 1 << 20;
    rig_open(rig);
    for (uint32_t i = 0; i < WORKERS; i++) {
        model_init(&workers[i].model, keys, value_bytes_max, seed + i);
        /* The empty key would be all workers'. */
        free(workers[i].model.keys[0].name);
        workers[i].model.keys[0] = workers[i].model.keys[--workers[i].model.count];
    }
}

static void end(struct rig *rig, struct worker *workers)
{
    rig_close(rig, RIG_CRASH);
    rig_deinit(rig);
    for (uint32_t i = 0; i < WORKERS; i++) {
        model_deinit(&workers[i].model);
    }
    free(workers);
}

static void run(uint32_t keys, uint64_t value_bytes_max, uint64_t budget, uint32_t steps)
{
    struct rig rig;
    struct worker *workers = calloc(WORKERS, sizeof(*workers));
    init(&rig, workers, keys, value_bytes_max, budget, steps);
    workers->steps = steps;
    for (uint32_t round = 0; round < 3; round++) {
        rig_run(&rig, 0, work, workers);
        rig_run(&rig, 0, check, workers);
        rig_run(&rig, 0, verify, NULL);
        rig_close(&rig, round % 2 == 0 ? RIG_CRASH : RIG_CLEAN);
        rig_open(&rig);
        rig_run(&rig, 0, check, workers);
    }
    end(&rig, workers);
}

/* ---- a crash in the middle ---- */

struct crash {
    struct rig *rig;
    struct worker *workers;
    struct random random;
    struct rig fork;
    struct worker *then; /* with the models as they were at the fork */
};

static void work_and_fork(struct keyspace *keyspace, void *argument)
{
    struct crash *crash = argument;
    struct co_group group;
    start_workers(keyspace, crash->workers, STEPS_TO_CRASH, &group);
    for (uint64_t yields = random_below(&crash->random, 150); yields > 0; yields--) {
        co_yield();
    }
    /* What is in the log is what the models say. Commits are anywhere. */
    log_flush(keyspace->writer);
    rig_fork(crash->rig, &crash->fork);
    for (uint32_t i = 0; i < WORKERS; i++) {
        model_copy(&crash->workers[i].model, &crash->then[i].model);
    }
    co_group_wait(&group);
}

Test(busy, a_crash_at_any_moment)
{
    struct rig rig;
    struct crash crash = {.rig = &rig};
    crash.workers = calloc(WORKERS, sizeof(*crash.workers));
    crash.then = calloc(WORKERS, sizeof(*crash.then));
    random_seed(&crash.random, 5);
    init(&rig, crash.workers, 200, 3000, 60 << 10, 17);
    for (uint32_t round = 0; round < 15; round++) {
        rig_run(&rig, 0, work_and_fork, &crash);
        rig_open(&crash.fork);
        rig_run(&crash.fork, 0, check, crash.then);
        rig_run(&crash.fork, 0, verify_sums, NULL);
        rig_close(&crash.fork, RIG_CRASH);
        rig_deinit(&crash.fork);
        for (uint32_t i = 0; i < WORKERS; i++) {
            model_deinit(&crash.then[i].model);
        }
    }
    end(&rig, crash.workers);
    free(crash.then);
}

Test(busy, small_values)
{
    run(2000, 300, 100 << 10, 800);
}

Test(busy, values_of_all_sizes)
{
    run(200, 100000, 1 << 20, 1000);
}

Test(busy, hardly_any_memory)
{
    run(300, 500, 40 << 10, 150);
}
