#include "data/checkpointer.h"

#include <string.h>

#include "base/mem.h"
#include "rig.h"

static struct shelf *shelf_named(struct keyspace *keyspace, const char *name)
{
    struct key key = rig_key(keyspace, name);
    return shelf_of(keyspace, &key);
}

static struct keyspace_options *options_of(struct keyspace *keyspace)
{
    return &keyspace->options;
}

static void put_bytes(struct keyspace *keyspace, const char *name, uint64_t bytes)
{
    char *value = malloc(bytes + 1);
    memset(value, 'v', bytes);
    value[bytes] = 0;
    rig_put(keyspace, name, value);
    free(value);
}

static void memory(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    MUST(keyspace_checkpoint_due(keyspace) == NULL);
    put_bytes(keyspace, "{a}", 1000);
    put_bytes(keyspace, "{b}", 3000);
    put_bytes(keyspace, "{c}", 2000);
    MUST(shelf_named(keyspace, "{a}") != shelf_named(keyspace, "{b}"));
    MUST(keyspace_checkpoint_due(keyspace) == NULL);
    options_of(keyspace)->dirty_bytes_target = keyspace->dirty_bytes;
    MUST(keyspace_checkpoint_due(keyspace) == NULL);
    options_of(keyspace)->dirty_bytes_target = keyspace->dirty_bytes - 1;
    MUST(keyspace_checkpoint_due(keyspace) == shelf_named(keyspace, "{b}"));
}

Test(checkpointer, above_the_dirty_target_takes_the_partition_with_most_to_gain)
{
    rig_test(memory);
}

static void log_length(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    put_bytes(keyspace, "{a}", 100);
    log_flush(keyspace->writer);
    put_bytes(keyspace, "{b}", 50000);
    log_flush(keyspace->writer);
    MUST(keyspace_checkpoint_due(keyspace) == NULL);
    options_of(keyspace)->log_bytes_target = 10000;
    MUST(keyspace_checkpoint_due(keyspace) == shelf_named(keyspace, "{a}"));
    MUST_BE(keyspace_checkpoint(keyspace, shelf_named(keyspace, "{a}"), LSN_NONE), 0);
    MUST(keyspace_checkpoint_due(keyspace) == shelf_named(keyspace, "{b}"));
    log_set_enabled(keyspace->log, false);
    MUST(keyspace_checkpoint_due(keyspace) == NULL);
}

Test(checkpointer, when_the_log_is_long_takes_the_partition_with_the_oldest_change)
{
    rig_test(log_length);
}

static void age(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    put_bytes(keyspace, "{a}", 100);
    options_of(keyspace)->checkpoint_age_s = 3600;
    MUST(keyspace_checkpoint_due(keyspace) == NULL);
    shelf_named(keyspace, "{a}")->dirty_since_ns -= INT64_C(3600) * 1000000000;
    MUST(keyspace_checkpoint_due(keyspace) == shelf_named(keyspace, "{a}"));
    options_of(keyspace)->checkpoint_age_s = 0;
    MUST(keyspace_checkpoint_due(keyspace) == NULL);
}

Test(checkpointer, takes_a_partition_whose_changes_are_old)
{
    rig_test(age);
}

static void all(struct keyspace *keyspace, void *argument)
{
    char name[32];
    (void)argument;
    for (uint32_t i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "key %u", i);
        rig_put(keyspace, name, "value");
    }
    MUST_BE(keyspace_checkpoint_all(keyspace), 0);
    struct keyspace_stats stats;
    keyspace_stats(keyspace, &stats);
    MUST_BE(stats.dirty_records, 0);
    MUST_BE(stats.changes_since_checkpoint, 0);
    MUST_BE(stats.checkpoint_records, 500);
    MUST(stats.last_checkpoint_ms > 0);
    MUST_BE(stats.last_checkpoint_error, 0);
    MUST(!stats.checkpoint_running);
}

Test(checkpointer, can_be_asked_for_everything)
{
    rig_test(all);
}

/* ---- errors ---- */

static void pause_after_error(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    while (!log_admits(keyspace->log, 10000)) {
        rig_sleep_ms(keyspace, 1);
    }
    put_bytes(keyspace, "{a}", 100);
    options_of(keyspace)->dirty_bytes_target = 0;
    options_of(keyspace)->dirty_bytes_max = 5000;
    mem_fail_after(1, true);
    keyspace_wake_checkpointer(keyspace);
    while (keyspace->checkpoint_error == 0) {
        co_yield();
    }
    mem_fail_after(0, false);
    co_yield();
    MUST_BE(keyspace_write_error(keyspace), ERR_MEMORY);
    MUST(keyspace->retry_ns > shard_mono_ns(keyspace->shard));
    /* Writes go on as long as there is room for them. */
    MUST(keyspace_admits(keyspace, 100));
    MUST(!keyspace_admits(keyspace, 5000));
    struct key key = rig_key(keyspace, "{a}");
    struct record *record;
    MUST_BE(rig_find(keyspace, &key, &record), 1);
    /* As if the pause were over. */
    keyspace->retry_ns = 0;
    keyspace_wake_checkpointer(keyspace);
    while (keyspace->checkpoint_error != 0) {
        rig_sleep_ms(keyspace, 1);
    }
    MUST_BE(keyspace_write_error(keyspace), 0);
    MUST_BE(keyspace->dirty_bytes, 0);
    MUST(keyspace_admits(keyspace, 5000));
}

Test(checkpointer, pauses_after_an_error_and_tries_again)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig.background = true;
    rig_open(&rig);
    rig_run(&rig, 0, pause_after_error, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}
