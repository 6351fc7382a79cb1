#include "shards.h"

#include <signal.h>

#include "base/mem.h"
#include "base/thread.h"
#include "shard/sync.h"

/* ---- there and back ---- */

static int where_am_i(struct shard *shard, void *argument)
{
    *(uint32_t *)argument = shard_id(shard);
    cr_assert_eq(shard_self(), shard);
    cr_assert_not_null(coro_self());
    return 7;
}

static int call_each(struct shard *shard, void *argument)
{
    (void)argument;
    for (uint32_t to = 0; to < shard_count(shard); to++) {
        uint32_t id = UINT32_MAX;
        if (shard_call(shard, to, where_am_i, &id) != 7 || id != to) {
            return ERR_NOT_FOUND;
        }
    }
    return 0;
}

Test(call, runs_on_the_shard_named_and_brings_its_result)
{
    struct shard_set *set = shards_start(3);
    for (uint32_t id = 0; id < 3; id++) {
        cr_assert_eq(shards_run(set, id, call_each, NULL), 0);
    }
    cr_assert_null(shard_self());
    shards_stop(set);
}

/* ---- both ways at once, nested ---- */

enum { CALLERS = 40, DEPTH = 7 };

struct dive {
    uint32_t depth;
    uint32_t touched[DEPTH + 1]; /* the shard that was there, at each depth */
};

/* Calls the other shard from within the call, down to the bottom. */
static int dive(struct shard *shard, void *argument)
{
    struct dive *state = argument;
    state->touched[state->depth] = shard_id(shard);
    if (state->depth == DEPTH) {
        return 100;
    }
    state->depth++;
    return shard_call(shard, 1 - shard_id(shard), dive, state) + 1;
}

struct diver {
    struct shard *shard;
    struct co_group *group;
    uint32_t *wrong;
};

static void dive_often(void *argument)
{
    struct diver *diver = argument;
    for (int i = 0; i < 20; i++) {
        struct dive state = {.depth = 0};
        *diver->wrong += dive(diver->shard, &state) != 100 + DEPTH;
        for (uint32_t depth = 0; depth <= DEPTH; depth++) {
            *diver->wrong += state.touched[depth] != (shard_id(diver->shard) + depth) % 2;
        }
    }
    co_group_done(diver->group);
}

static int dive_many(struct shard *shard, void *argument)
{
    (void)argument;
    struct diver divers[CALLERS];
    struct co_group group;
    uint32_t wrong = 0;
    co_group_init(&group);
    co_group_add(&group, CALLERS);
    for (uint32_t i = 0; i < CALLERS; i++) {
        divers[i] = (struct diver){.shard = shard, .group = &group, .wrong = &wrong};
        cr_assert_eq(coro_start(shard_sched(shard), "diver", CORO_NORMAL, dive_often, &divers[i]),
                     0);
    }
    co_group_wait(&group);
    return (int)wrong;
}

static int dive_everywhere(struct shard *shard, void *argument)
{
    return shard_call_all(shard, dive_many, argument, 0);
}

Test(call, shards_that_call_each_other_at_once_and_nested_do_not_stick)
{
    struct shard_set *set = shards_start(2);
    cr_assert_eq(shards_run(set, 0, dive_everywhere, NULL), 0);
    shards_stop(set);
}

/* ---- all ---- */

static int fail_on_two(struct shard *shard, void *argument)
{
    *(uint32_t *)argument += 10 + shard_id(shard);
    return shard_id(shard) >= 2 ? -(int)shard_id(shard) - 100 : 5;
}

static int call_all(struct shard *shard, void *argument)
{
    return shard_call_all(shard, fail_on_two, argument, sizeof(uint32_t));
}

static int good_everywhere(struct shard *shard, void *argument)
{
    (void)argument;
    return (int)shard_id(shard) + 1;
}

static int call_all_good(struct shard *shard, void *argument)
{
    return shard_call_all(shard, good_everywhere, argument, 0);
}

Test(call, all_reaches_every_shard_with_its_argument_and_gives_the_first_error)
{
    uint32_t arguments[4] = {0};
    struct shard_set *set = shards_start(4);
    cr_assert_eq(shards_run(set, 3, call_all, arguments), -102);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(arguments[i], 10 + i);
    }
    cr_assert_eq(shards_run(set, 1, call_all_good, NULL), 0);
    shards_stop(set);
}

static int call_all_without_memory(struct shard *shard, void *argument)
{
    mem_fail_after(1, false);
    int result = shard_call_all(shard, good_everywhere, argument, 0);
    mem_fail_after(0, false);
    return result;
}

Test(call, all_without_memory_is_an_error)
{
    struct shard_set *set = shards_start(1);
    cr_assert_eq(shards_run(set, 0, call_all_without_memory, NULL), ERR_MEMORY);
    shards_stop(set);
}

/* ---- no coroutine left there ---- */

static int nothing(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
    return 0;
}

static int call_back(struct shard *shard, void *argument)
{
    return shard_call(shard, *(uint32_t *)argument, nothing, NULL);
}

static int call_there_and_back(struct shard *shard, void *argument)
{
    uint32_t self = shard_id(shard);
    (void)argument;
    return shard_call(shard, 1 - self, call_back, &self);
}

Test(call, a_shard_without_a_free_coroutine_refuses)
{
    struct shard_options options = shards_options();
    options.coros_max = 1;
    struct shard_set *set = shards_start_with(2, &options);
    cr_assert_eq(shards_run(set, 0, call_there_and_back, NULL), ERR_LIMIT);
    shards_stop(set);

    options.coros_max = 2;
    set = shards_start_with(2, &options);
    cr_assert_eq(shards_run(set, 0, call_there_and_back, NULL), 0);
    shards_stop(set);
}

/* ---- from foreign threads ---- */

struct outsider {
    struct thread thread;
    struct shard_set *set;
    uint32_t wrong;
};

static int add_one(struct shard *shard, void *argument)
{
    (void)shard;
    co_yield();
    return ++*(int *)argument;
}

static void call_in(void *arg)
{
    struct outsider *outsider = arg;
    int value = 0;
    for (int i = 1; i <= 500; i++) {
        uint32_t to = (uint32_t)i % shard_set_count(outsider->set);
        outsider->wrong += shards_run(outsider->set, to, add_one, &value) != i;
    }
}

Test(call, foreign_threads_call_all_at_once)
{
    struct outsider outsiders[4];
    struct shard_set *set = shards_start(2);
    for (uint32_t i = 0; i < 4; i++) {
        outsiders[i] = (struct outsider){.set = set};
        cr_assert_eq(thread_start(&outsiders[i].thread, "outsider", call_in, &outsiders[i]), 0);
    }
    for (uint32_t i = 0; i < 4; i++) {
        thread_join(&outsiders[i].thread);
        cr_assert_eq(outsiders[i].wrong, 0);
    }
    shards_stop(set);
}

static int call_as_if_outside(struct shard *shard, void *argument)
{
    (void)shard;
    return shard_call_from_outside(argument, nothing, NULL);
}

Test(call, from_outside_on_a_shard_thread_aborts, .signal = SIGABRT)
{
    struct shard_set *set = shards_start(2);
    IGNORE(shards_run(set, 0, call_as_if_outside, shard_set_get(set, 1)), "it does not return");
}
