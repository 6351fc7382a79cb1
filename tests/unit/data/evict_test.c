#include <string.h>

#include "rig.h"

static void set_budget(struct keyspace *keyspace, uint64_t bytes)
{
    struct keyspace_options options = keyspace->options;
    options.record_bytes_max = bytes;
    keyspace_set_options(keyspace, &options);
}

static void put_many(struct keyspace *keyspace, uint32_t count)
{
    char name[32];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "key %u", i);
        rig_put(keyspace, name, "some value that takes a little room");
    }
}

static bool resident(struct keyspace *keyspace, const char *name)
{
    struct key key = rig_key(keyspace, name);
    struct table_place place;
    return shelf_find(keyspace->by_partition[key.partition], &key, &place) != NULL;
}

static uint32_t residents(struct keyspace *keyspace, uint32_t count)
{
    char name[32];
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "key %u", i);
        found += resident(keyspace, name);
    }
    return found;
}

static void evict_until_done(struct keyspace *keyspace)
{
    while (!keyspace_evict(keyspace, 100)) {
    }
}

static void dirty_stays(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    put_many(keyspace, 1000);
    set_budget(keyspace, 0);
    evict_until_done(keyspace);
    MUST_BE(residents(keyspace, 1000), 1000);
    MUST(keyspace_evict(keyspace, 100)); /* it rests */
    rig_checkpoint(keyspace);
    evict_until_done(keyspace);
    MUST_BE(residents(keyspace, 1000), 0);
    rig_verify(keyspace);
}

Test(evict, never_drops_what_is_dirty)
{
    rig_test(dirty_stays);
}

static void pinned_stays(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    put_many(keyspace, 1000);
    rig_checkpoint(keyspace);
    struct key key = rig_key(keyspace, "key 500");
    MUST(keyspace_pin(keyspace, &key));
    rig_evict_all(keyspace);
    MUST_BE(residents(keyspace, 1000), 1);
    MUST(resident(keyspace, "key 500"));
    keyspace_unpin(keyspace, &key);
    rig_evict_all(keyspace);
    MUST_BE(residents(keyspace, 1000), 0);
}

Test(evict, never_drops_what_is_pinned)
{
    rig_test(pinned_stays);
}

static void second_chance(struct keyspace *keyspace, void *argument)
{
    char name[32];
    (void)argument;
    put_many(keyspace, 1000);
    rig_checkpoint(keyspace);
    for (uint32_t i = 0; i < 1000; i += 10) {
        struct record *record;
        snprintf(name, sizeof(name), "key %u", i);
        struct key key = rig_key(keyspace, name);
        MUST_BE(keyspace_find(keyspace, &key, true, &record), 1);
    }
    struct keyspace_stats stats;
    keyspace_stats(keyspace, &stats);
    set_budget(keyspace, stats.table_bytes + stats.record_bytes / 2);
    evict_until_done(keyspace);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < 1000; i += 10) {
        snprintf(name, sizeof(name), "key %u", i);
        kept += resident(keyspace, name);
    }
    MUST_BE(kept, 100);
    keyspace_stats(keyspace, &stats);
    MUST(stats.record_bytes + stats.table_bytes <= keyspace->options.record_bytes_max);
    uint32_t left = residents(keyspace, 1000);
    MUST(left > 400 && left <= 500);
    MUST_BE(stats.evicted_clean, 1000 - left);
    /* Not touched again, they go like others. */
    set_budget(keyspace, 0);
    evict_until_done(keyspace);
    MUST_BE(residents(keyspace, 1000), 0);
}

Test(evict, spares_what_was_found_since_it_came_by)
{
    rig_test(second_chance);
}

/* ---- admission ---- */

static void admits(struct keyspace *keyspace, void *argument)
{
    struct keyspace_options options = keyspace->options;
    struct keyspace_stats stats;
    (void)argument;
    options.dirty_bytes_max = 10000;
    keyspace_set_options(keyspace, &options);
    /* Here it is about memory, not about the log's room, which comes a little later. */
    while (!log_admits(keyspace->log, 100000)) {
        rig_sleep_ms(keyspace, 1);
    }
    /* With nothing dirty everything is admitted: there is nothing to wait for. */
    MUST(keyspace_admits(keyspace, 20000));
    rig_put(keyspace, "a", "value");
    keyspace_stats(keyspace, &stats);
    uint64_t room = 10000 - stats.dirty_bytes;
    MUST(keyspace_admits(keyspace, room));
    MUST(!keyspace->write_waits);
    MUST(!keyspace_admits(keyspace, room + 1));
    MUST_BE(keyspace_write_error(keyspace), 0);
    /* Who was refused makes a checkpoint due, though the target is far. */
    MUST(keyspace_checkpoint_due(keyspace) != NULL);
    rig_checkpoint(keyspace);
    MUST(keyspace_admits(keyspace, room + 1));
    /* And the memory of all records, with an eighth for what is on its way. */
    rig_put(keyspace, "a", "value");
    keyspace_stats(keyspace, &stats);
    options.dirty_bytes_max = UINT64_C(1) << 40;
    options.record_bytes_max = 80000;
    keyspace_set_options(keyspace, &options);
    room = 90000 - stats.record_bytes - stats.table_bytes;
    MUST(keyspace_admits(keyspace, room));
    MUST(!keyspace_admits(keyspace, room + 1));
    /* That is the eviction's business, unless it finds nothing any more. */
    MUST(!keyspace->write_waits);
    options.record_bytes_max = 0;
    keyspace_set_options(keyspace, &options);
    evict_until_done(keyspace);
    MUST(!keyspace_admits(keyspace, 1));
    MUST(keyspace->write_waits);
}

Test(evict, writes_are_admitted_up_to_the_limit_and_not_one_byte_more)
{
    rig_test(admits);
}

static void within_budget(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    char name[32];
    char value[1000];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    uint64_t most = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        while (!keyspace_admits(keyspace, 1100)) {
            MUST_BE(keyspace_write_error(keyspace), 0);
            co_yield ();
        }
        snprintf(name, sizeof(name), "key %u", i);
        rig_put(keyspace, name, value);
        struct keyspace_stats stats;
        keyspace_stats(keyspace, &stats);
        most = max_u64(most, stats.record_bytes + stats.table_bytes);
    }
    MUST(most <= keyspace->options.record_bytes_max * 5 / 4);
    for (uint32_t i = 0; i < 5000; i += 97) {
        snprintf(name, sizeof(name), "key %u", i);
        rig_holds(keyspace, name, value);
    }
    MUST_BE(rig_count(keyspace), 5000);
}

Test(evict, writers_wait_and_memory_stays_near_its_budget)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig.background = true;
    rig.options.record_bytes_max = 800 << 10;
    rig.options.dirty_bytes_max = 400 << 10;
    rig.options.dirty_bytes_target = 200 << 10;
    rig_open(&rig);
    rig_run(&rig, 0, within_budget, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}
