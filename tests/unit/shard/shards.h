/*
 * shards: a set of shards for the tests, on the io body named by TEST_IO_BACKEND ("uring" or
 * "posix"; the build runs every test with both).
 */
#ifndef TESTS_SHARDS_H
#define TESTS_SHARDS_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "shard/shard.h"

static inline struct shard_options shards_options(void)
{
    struct shard_options options = shard_options_default();
    const char *backend = getenv("TEST_IO_BACKEND");
    options.io.backend = backend == NULL                 ? IO_BACKEND_AUTO
                         : strcmp(backend, "posix") == 0 ? IO_BACKEND_POSIX
                                                         : IO_BACKEND_URING;
    return options;
}

static inline int shards_start_nothing(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
    return 0;
}

static inline void shards_stop_nothing(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
}

static inline struct shard_set *shards_start_with(uint32_t count,
                                                  const struct shard_options *options)
{
    struct shard_set *set = NULL;
    int err = shard_set_start(count, options, shards_start_nothing, NULL, &set);
    cr_assert_eq(err, 0, "shard_set_start: %s", error_text(err));
    return set;
}

static inline struct shard_set *shards_start(uint32_t count)
{
    struct shard_options options = shards_options();
    return shards_start_with(count, &options);
}

static inline void shards_stop(struct shard_set *set)
{
    shard_set_stop(set, shards_stop_nothing, NULL);
}

/* Runs fn on one shard, in a coroutine, and waits. */
static inline int shards_run(struct shard_set *set, uint32_t id, shard_call_fn *fn, void *argument)
{
    return shard_call_from_outside(shard_set_get(set, id), fn, argument);
}

#endif
