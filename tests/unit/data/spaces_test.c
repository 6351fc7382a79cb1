#include <string.h>

#include "rig.h"

static struct key key_in(const struct keyspace *keyspace, uint32_t database, const char *name)
{
    return keyspace_key(keyspace, keyspace_space(keyspace, database), slice_cstr(name));
}

static void put_in(struct keyspace *keyspace, uint32_t database, const char *name,
                   const char *value)
{
    struct key key = key_in(keyspace, database, name);
    struct put put = {.value = slice_cstr(value)};
    MUST_BE(keyspace_put(keyspace, &key, &put), 0);
}

static co_fn void holds_in(struct keyspace *keyspace, uint32_t database, const char *name,
                           const char *value)
{
    struct key key = key_in(keyspace, database, name);
    struct record *record;
    MUST_BE(rig_find(keyspace, &key, &record), value != NULL);
    MUST(value == NULL || slice_equal(record_value(record), slice_cstr(value)));
}

static co_fn uint64_t count_in(struct keyspace *keyspace, uint32_t database)
{
    uint64_t count;
    MUST_BE(keyspace_count(keyspace, keyspace_space(keyspace, database), &count), 0);
    return count;
}

static void flush(struct keyspace *keyspace, uint32_t database)
{
    uint32_t spaces[KEYSPACE_DATABASES_MAX];
    for (uint32_t i = 0; i < RIG_DATABASES; i++) {
        spaces[i] = keyspace_space(keyspace, i);
    }
    uint32_t next = keyspace_space_next(keyspace);
    spaces[database] = next;
    keyspace_log_spaces(keyspace, spaces, next + 1);
    keyspace_adopt_spaces(keyspace, spaces, next + 1);
}

static void swap(struct keyspace *keyspace, uint32_t a, uint32_t b)
{
    uint32_t spaces[KEYSPACE_DATABASES_MAX];
    for (uint32_t i = 0; i < RIG_DATABASES; i++) {
        spaces[i] = keyspace_space(keyspace, i == a ? b : i == b ? a : i);
    }
    keyspace_log_spaces(keyspace, spaces, keyspace_space_next(keyspace));
    keyspace_adopt_spaces(keyspace, spaces, keyspace_space_next(keyspace));
}

static void fill(struct keyspace *keyspace, uint32_t database, uint32_t count, const char *value)
{
    char name[32];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "key %u", i);
        put_in(keyspace, database, name, value);
    }
}

static uint64_t dead_trees(struct keyspace *keyspace)
{
    uint64_t dead = 0;
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        uint32_t spaces[64];
        dead += keyspace_dead_trees(keyspace, &keyspace->shelves[i], spaces, 64);
    }
    return dead;
}

static uint64_t records(struct keyspace *keyspace)
{
    struct keyspace_stats stats;
    keyspace_stats(keyspace, &stats);
    return stats.records;
}

/* ---- tests ---- */

static void apart(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    put_in(keyspace, 0, "a", "zero");
    put_in(keyspace, 1, "a", "one");
    put_in(keyspace, 3, "b", "three");
    for (uint32_t i = 0; i < 2; i++) {
        holds_in(keyspace, 0, "a", "zero");
        holds_in(keyspace, 1, "a", "one");
        holds_in(keyspace, 2, "a", NULL);
        holds_in(keyspace, 0, "b", NULL);
        MUST_BE(count_in(keyspace, 0), 1);
        MUST_BE(count_in(keyspace, 2), 0);
        rig_checkpoint(keyspace);
        rig_evict_all(keyspace);
    }
    swap(keyspace, 0, 1);
    holds_in(keyspace, 0, "a", "one");
    holds_in(keyspace, 1, "a", "zero");
    flush(keyspace, 0);
    holds_in(keyspace, 0, "a", NULL);
    holds_in(keyspace, 1, "a", "zero");
    put_in(keyspace, 0, "c", "after the flush");
}

static void still_apart(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    holds_in(keyspace, 0, "a", NULL);
    holds_in(keyspace, 0, "c", "after the flush");
    holds_in(keyspace, 1, "a", "zero");
    holds_in(keyspace, 3, "b", "three");
    MUST_BE(count_in(keyspace, 0), 1);
    MUST_BE(count_in(keyspace, 1), 1);
    MUST_BE(keyspace_space(keyspace, 1), 0);
    MUST_BE(keyspace_space_next(keyspace), RIG_DATABASES + 1);
}

Test(spaces, databases_are_apart_and_can_be_swapped_and_flushed)
{
    rig_test_restarted(apart, RIG_CRASH, still_apart);
}

static void background_drop(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    for (uint32_t state = 0; state < 3; state++) {
        fill(keyspace, 0, 3000, "value");
        fill(keyspace, 1, 10, "stays");
        if (state > 0) {
            rig_checkpoint(keyspace);
        }
        if (state == 2) {
            fill(keyspace, 0, 1500, "dirty again");
        }
        flush(keyspace, 0);
        /* At once, for who asks. */
        MUST_BE(count_in(keyspace, 0), 0);
        holds_in(keyspace, 0, "key 5", NULL);
        while (records(keyspace) > 10 || dead_trees(keyspace) > 0 || keyspace->sweeping_spaces) {
            rig_sleep_ms(keyspace, 5);
        }
        MUST_BE(count_in(keyspace, 1), 10);
        holds_in(keyspace, 1, "key 5", "stays");
    }
    keyspace_stop_background(keyspace);
    rig_verify(keyspace);
}

Test(spaces, records_and_trees_of_a_flushed_database_go_in_the_background)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig.background = true;
    rig_open(&rig);
    rig_run(&rig, 0, background_drop, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}

/* ---- a flush in the middle of a checkpoint ---- */

struct running {
    struct keyspace *keyspace;
    struct shelf *shelf;
    struct co_group group;
    int result;
};

static void running_main(void *argument)
{
    struct running *running = argument;
    running->result = keyspace_checkpoint(running->keyspace, running->shelf, LSN_NONE);
    co_group_done(&running->group);
}

enum { TAGGED = 30000 };

static void fill_tagged(struct keyspace *keyspace, uint32_t database, uint32_t count,
                        const char *value)
{
    char name[32];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "{t}%u", i);
        put_in(keyspace, database, name, value);
    }
}

static void flush_in_checkpoint(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    static const enum shelf_phase phases[] = {SHELF_COMMITTING, SHELF_SETTLING};
    for (uint32_t i = 0; i < 2; i++) {
        /* So many in one partition that no phase passes within one slice of time. */
        fill_tagged(keyspace, 0, TAGGED, "value");
        fill_tagged(keyspace, 1, TAGGED, "stays");
        struct key key = key_in(keyspace, 0, "{t}");
        struct running running = {.keyspace = keyspace,
                                  .shelf = keyspace->by_partition[key.partition]};
        co_group_init(&running.group);
        co_group_add(&running.group, 1);
        MUST_BE(coro_start(shard_sched(keyspace->shard), "checkpoint", CORO_LOW, running_main,
                           &running),
                0);
        while (running.shelf->phase != phases[i]) {
            MUST(running.group.pending > 0);
            co_yield();
        }
        flush(keyspace, 0);
        while (keyspace->sweeping_spaces) {
            co_yield();
        }
        put_in(keyspace, 0, "new", "value");
        co_group_wait(&running.group);
        MUST_BE(running.result, 0);
        while (dead_trees(keyspace) > 0 || keyspace->sweeping_spaces) {
            rig_sleep_ms(keyspace, 5);
        }
        MUST_BE(count_in(keyspace, 0), 1);
        MUST_BE(count_in(keyspace, 1), TAGGED);
        flush(keyspace, 0);
    }
    while (records(keyspace) > TAGGED || dead_trees(keyspace) > 0 || keyspace->sweeping_spaces) {
        rig_sleep_ms(keyspace, 5);
    }
    keyspace_stop_background(keyspace);
    rig_verify(keyspace);
}

Test(spaces, a_flush_may_come_in_the_middle_of_a_checkpoint)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig.background = true;
    rig_open(&rig);
    rig_run(&rig, 0, flush_in_checkpoint, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}

static void pinned_in_dead(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    fill(keyspace, 0, 10, "value");
    rig_checkpoint(keyspace);
    struct key key = key_in(keyspace, 0, "key 3");
    MUST(keyspace_pin(keyspace, &key));
    flush(keyspace, 0);
    struct record *record;
    while (keyspace->sweeping_spaces) {
        co_yield();
    }
    MUST_BE(keyspace_find(keyspace, &key, true, &record), 0);
    keyspace_unpin(keyspace, &key);
    MUST_BE(records(keyspace), 0);
}

Test(spaces, a_pin_outlives_a_flush)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig.background = true;
    rig_open(&rig);
    rig_run(&rig, 0, pinned_in_dead, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}
