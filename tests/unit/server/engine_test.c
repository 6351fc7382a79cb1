#include "server/engine.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/logger.h"
#include "io/file.h"
#include "store/super.h"

static char folder[32];
static struct engine_options options;

static enum io_backend backend(void)
{
    const char *name = getenv("TEST_IO_BACKEND");
    return name != NULL && strcmp(name, "posix") == 0 ? IO_BACKEND_POSIX : IO_BACKEND_AUTO;
}

static void setup(void)
{
    logger_set_level(LOGGER_LEVEL_NOTHING);
    (void)snprintf(folder, sizeof(folder), "/tmp/engine-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    options = engine_options_default();
    options.dir = folder;
    options.shards = 2;
    options.partitions = 4;
    options.io_backend = backend();
    options.log_segment_bytes = 1 << 20;
}

static void teardown(void)
{
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(engine, .init = setup, .fini = teardown, .timeout = 60);

struct order {
    const char *key, *value;
    int found;
};

/* On the shard that owns the key: nothing happens elsewhere. */
static int put_there(struct shard *there, void *argument)
{
    const struct order *order = argument;
    struct keyspace *keyspace = engine_shard_of(there)->keyspace;
    struct slice name = slice_cstr(order->key);
    if (keyspace_shard_of(name, options.partitions, shard_count(there)) != shard_id(there)) {
        return 0;
    }
    struct key key = keyspace_key(keyspace, keyspace_space(keyspace, 0), name);
    struct put put = {.type = RECORD_STRING, .value = slice_cstr(order->value)};
    return keyspace_put(keyspace, &key, &put);
}

static int count_there(struct shard *there, void *argument)
{
    struct keyspace *keyspace = engine_shard_of(there)->keyspace;
    uint64_t count;
    int err = keyspace_count(keyspace, keyspace_space(keyspace, 0), &count);
    *(uint64_t *)argument += count;
    return err;
}

static void each(struct engine *engine, shard_call_fn *fn, void *argument)
{
    struct shard_set *shards = engine_shards(engine);
    for (uint32_t i = 0; i < shard_set_count(shards); i++) {
        cr_assert_eq(shard_call_from_outside(shard_set_get(shards, i), fn, argument), 0);
    }
}

static void fill(struct engine *engine, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key%u", i);
        struct order order = {.key = key, .value = "value"};
        each(engine, put_there, &order);
    }
}

static uint64_t count_keys(struct engine *engine)
{
    uint64_t count = 0;
    each(engine, count_there, &count);
    return count;
}

static struct engine *open_engine(void)
{
    struct engine *engine = NULL;
    cr_assert_eq(engine_open(&options, &engine), 0);
    return engine;
}

Test(engine, data_survives_closing_with_and_without_a_checkpoint)
{
    struct engine *engine = open_engine();
    fill(engine, 100);
    engine_close(engine, true, NULL, NULL);
    engine = open_engine();
    cr_expect_eq(count_keys(engine), 100);
    fill(engine, 150);
    engine_close(engine, false, NULL, NULL);
    options.shards = 3;
    engine = open_engine();
    cr_expect_eq(count_keys(engine), 150);
    engine_close(engine, true, NULL, NULL);
}

Test(engine, another_number_of_partitions_is_refused)
{
    engine_close(open_engine(), true, NULL, NULL);
    struct engine *engine;
    options.partitions = 8;
    cr_expect_eq(engine_open(&options, &engine), ERR_CONFIG);
    options.partitions = 0;
    engine = open_engine();
    cr_expect_eq(engine_partitions(engine), 4);
    engine_close(engine, true, NULL, NULL);
}

Test(engine, a_directory_in_use_is_refused)
{
    struct engine *engine = open_engine();
    struct engine *other;
    options.lock_timeout_ms = 0;
    cr_expect_eq(engine_open(&options, &other), ERR_LOCKED);
    cr_expect(!engine_is_free(folder, 0));
    engine_close(engine, true, NULL, NULL);
    cr_expect(engine_is_free(folder, 10000));
    cr_expect(engine_is_free("/no/such/folder", 0));
}

Test(engine, a_directory_that_can_not_be_made_is_refused)
{
    struct engine *engine;
    options.dir = "/no/such/folder";
    cr_expect_eq(engine_open(&options, &engine), -ENOENT);
}

Test(engine, a_missing_manifest_is_refused)
{
    engine_close(open_engine(), true, NULL, NULL);
    char command[128];
    (void)snprintf(command, sizeof(command), "rm %s/p0001/manifest-*", folder);
    cr_assert_eq(system(command), 0);
    struct engine *engine;
    cr_expect_lt(engine_open(&options, &engine), 0);
}

/* Of the first partition: without its last page, which is the closing record. */
static void cut_manifest(void)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "truncate -s -4096 %s/p0000/manifest-1.man", folder);
    cr_assert_eq(system(command), 0);
}

Test(engine, a_manifest_that_was_cut_after_an_orderly_end_is_refused)
{
    struct engine *engine = open_engine();
    fill(engine, 100);
    engine_close(engine, true, NULL, NULL);
    options.shards = 3; /* and with more databases: neither has a say in it */
    options.databases = 20;
    engine = open_engine();
    engine_close(engine, true, NULL, NULL);
    cut_manifest();
    for (uint32_t i = 0; i < 2; i++) {
        cr_expect_eq(engine_open(&options, &engine), ERR_CORRUPT);
    }
}

Test(engine, a_manifest_that_was_cut_after_another_end_is_made_up_for_by_the_log)
{
    struct engine *engine = open_engine();
    fill(engine, 100);
    engine_close(engine, false, NULL, NULL);
    cut_manifest();
    engine = open_engine();
    cr_expect_eq(count_keys(engine), 100);
    engine_close(engine, true, NULL, NULL);
    engine = open_engine();
    cr_expect_eq(count_keys(engine), 100);
    engine_close(engine, true, NULL, NULL);
}

static int drop_spaces_there(struct shard *there, void *argument)
{
    struct keyspace *keyspace = engine_shard_of(there)->keyspace;
    uint32_t spaces[16];
    uint32_t next = keyspace_space_next(keyspace);
    for (uint32_t i = 0; i < 16; i++) {
        spaces[i] = next + i;
    }
    (void)argument;
    keyspace_adopt_spaces(keyspace, spaces, next + 16);
    if (shard_id(there) == 0) {
        keyspace_log_spaces(keyspace, spaces, next + 16);
    }
    return 0;
}

Test(engine, a_store_that_was_emptied_ends_in_order)
{
    struct engine *engine = open_engine();
    fill(engine, 100);
    engine_close(engine, true, NULL, NULL);
    engine = open_engine();
    each(engine, drop_spaces_there, NULL);
    engine_close(engine, true, NULL, NULL);
    engine = open_engine();
    cr_expect_eq(count_keys(engine), 0);
    fill(engine, 10);
    engine_close(engine, true, NULL, NULL);
    engine = open_engine();
    cr_expect_eq(count_keys(engine), 10);
    engine_close(engine, true, NULL, NULL);
}

/* Of one shard is enough. */
static int clock_forward(struct shard *there, void *argument)
{
    if (shard_id(there) == 1) {
        keyspace_set_clock_high_ms(engine_shard_of(there)->keyspace, *(const int64_t *)argument);
    }
    return 0;
}

static int clock_of(struct shard *there, void *argument)
{
    int64_t *lowest_ms = argument;
    *lowest_ms = min_i64(*lowest_ms, keyspace_clock_high_ms(engine_shard_of(there)->keyspace));
    return 0;
}

static int64_t clock_of_all(struct engine *engine)
{
    int64_t lowest_ms = INT64_MAX;
    each(engine, clock_of, &lowest_ms);
    return lowest_ms;
}

Test(engine, time_for_expiry_does_not_go_back_over_restarts)
{
    int64_t later_ms = clock_real_ms() + 3600000;
    struct engine *engine = open_engine();
    each(engine, clock_forward, &later_ms);
    for (int i = 0; i < 3; i++) {
        engine_close(engine, true, NULL, NULL);
        engine = open_engine();
        cr_expect_eq(clock_of_all(engine), later_ms);
    }
    engine_close(engine, true, NULL, NULL);
}

Test(engine, time_for_expiry_is_noted_while_the_store_is_open)
{
    int64_t later_ms = clock_real_ms() + 3600000;
    struct engine *engine = open_engine();
    each(engine, clock_forward, &later_ms);
    struct super super = {0};
    while (super.clock_high_ms < later_ms) {
        cr_assert_eq(super_read(folder, &super), 0);
        cr_assert_eq(usleep(1000), 0);
    }
    cr_expect_eq(super.clock_high_ms, later_ms);
    engine_close(engine, false, NULL, NULL);
    engine = open_engine();
    cr_expect_eq(clock_of_all(engine), later_ms);
    engine_close(engine, true, NULL, NULL);
}

Test(engine, databases_can_be_added)
{
    options.databases = 2;
    engine_close(open_engine(), true, NULL, NULL);
    options.databases = 5;
    struct engine *engine = open_engine();
    cr_expect_eq(engine_options(engine)->databases, 5);
    engine_close(engine, true, NULL, NULL);
}

Test(engine, memory_can_be_changed)
{
    struct engine *engine = open_engine();
    engine_set_memory(engine, 64 << 20);
    cr_expect_eq(engine_memory_bytes(engine), 64 << 20);
    engine_apply_memory(engine, 512);
    fill(engine, 10);
    cr_expect_eq(count_keys(engine), 10);
    engine_close(engine, true, NULL, NULL);
}

static void count_leaves(struct shard *shard, void *argument)
{
    *(uint32_t *)argument |= 1u << shard_id(shard);
}

Test(engine, the_rooms_above_take_their_leave_on_every_shard)
{
    uint32_t seen = 0;
    engine_close(open_engine(), true, count_leaves, &seen);
    cr_expect_eq(seen, 3);
}
