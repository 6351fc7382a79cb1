#include <string.h>

#include "base/mem.h"
#include "data/foreign.h"
#include "data/latch.h"
#include "rig.h"

/* ---- a checkpoint in a coroutine of its own ---- */

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

static void start(struct running *running, struct keyspace *keyspace, struct shelf *shelf)
{
    *running = (struct running){.keyspace = keyspace, .shelf = shelf};
    co_group_init(&running->group);
    co_group_add(&running->group, 1);
    MUST_BE(
        coro_start(shard_sched(keyspace->shard), "checkpoint", CORO_NORMAL, running_main, running),
        0);
}

/* Starts one and returns when the shelf's dirty records are frozen and nothing is published yet. */
static co_fn void start_frozen(struct running *running, struct keyspace *keyspace,
                               struct shelf *shelf)
{
    start(running, keyspace, shelf);
    while (shelf->phase == SHELF_IDLE) {
        co_yield();
    }
    MUST_BE(shelf->phase, SHELF_COMMITTING);
}

static co_fn void finish(struct running *running)
{
    co_group_wait(&running->group);
    MUST_BE(running->result, 0);
}

static struct shelf *shelf_of_name(struct keyspace *keyspace, const char *name)
{
    struct key key = rig_key(keyspace, name);
    return keyspace->by_partition[key.partition];
}

static const struct record *in_table(struct keyspace *keyspace, const char *name)
{
    struct key key = rig_key(keyspace, name);
    struct table_place place;
    return shelf_find(shelf_of_name(keyspace, name), &key, &place);
}

static bool is_frozen(struct keyspace *keyspace, const char *name)
{
    return (in_table(keyspace, name)->flags & RECORD_FROZEN) != 0;
}

/* What the tree has, not the table. */
static co_fn void tree_holds(struct keyspace *keyspace, const char *name, const char *value)
{
    struct store_found found;
    int result = store_get(shelf_of_name(keyspace, name)->partition, keyspace_space(keyspace, 0),
                           slice_cstr(name), &found);
    MUST_BE(result, value != NULL);
    if (value != NULL) {
        MUST(slice_equal(found.entry.value, slice_cstr(value)));
        store_found_release(shelf_of_name(keyspace, name)->partition, &found);
    }
}

/* Keys with a tag are all in one partition. */

static void overwritten(struct keyspace *keyspace, void *argument)
{
    struct running running;
    (void)argument;
    rig_put(keyspace, "{t}a", "old");
    rig_put(keyspace, "{t}b", "old");
    rig_put(keyspace, "{t}c", "old");
    rig_put(keyspace, "{t}d", "untouched");
    start_frozen(&running, keyspace, shelf_of_name(keyspace, "{t}a"));
    MUST(is_frozen(keyspace, "{t}a"));
    rig_put(keyspace, "{t}a", "new");
    MUST(!is_frozen(keyspace, "{t}a"));
    MUST(rig_remove(keyspace, "{t}b"));
    struct key c = rig_key(keyspace, "{t}c");
    MUST_BE(keyspace_write_range(keyspace, &c, 3, slice_cstr("er")), 0);
    MUST_BE(keyspace_set_expire(keyspace, &c, INT64_C(99000000000000)), 0);
    rig_holds(keyspace, "{t}a", "new");
    rig_holds(keyspace, "{t}b", NULL);
    rig_holds(keyspace, "{t}c", "older");
    MUST_BE(rig_count(keyspace), 3);
    finish(&running);
    tree_holds(keyspace, "{t}a", "old");
    tree_holds(keyspace, "{t}b", "old");
    tree_holds(keyspace, "{t}c", "old");
    rig_holds(keyspace, "{t}a", "new");
    rig_holds(keyspace, "{t}b", NULL);
    rig_holds(keyspace, "{t}c", "older");
    rig_holds(keyspace, "{t}d", "untouched");
    MUST_BE(rig_count(keyspace), 3);
    rig_verify(keyspace);
}

static void after_overwritten(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_holds(keyspace, "{t}a", "new");
    rig_holds(keyspace, "{t}b", NULL);
    rig_holds(keyspace, "{t}c", "older");
    rig_holds(keyspace, "{t}d", "untouched");
    MUST_BE(rig_count(keyspace), 3);
    rig_checkpoint(keyspace);
    tree_holds(keyspace, "{t}a", "new");
    tree_holds(keyspace, "{t}b", NULL);
    tree_holds(keyspace, "{t}c", "older");
    rig_verify(keyspace);
}

Test(checkpoint, a_frozen_record_may_be_overwritten_and_both_versions_are_right)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_run(&rig, 0, overwritten, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_open(&rig);
    rig_run(&rig, 0, after_overwritten, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}

static void every_pair(struct keyspace *keyspace, void *argument)
{
    /* What was before the freeze, what happens while frozen, once more while frozen: p put, r
     * remove, - nothing. */
    static const char acts[] = "pr-";
    (void)argument;
    char name[32];
    const char *value[27 * 2];
    for (uint32_t round = 0; round < 2; round++) {
        struct running running;
        for (uint32_t i = 0; i < 27; i++) {
            snprintf(name, sizeof(name), "{t}%u", i);
            value[i] = round == 0 ? NULL : "again";
            if (round == 1) {
                rig_put(keyspace, name, "again");
            }
        }
        if (round == 1) {
            rig_checkpoint(keyspace);
            rig_evict_all(keyspace);
        }
        for (uint32_t step = 0; step < 3; step++) {
            for (uint32_t i = 0; i < 27; i++) {
                uint32_t digit = step == 0 ? i / 9 : step == 1 ? i / 3 % 3 : i % 3;
                snprintf(name, sizeof(name), "{t}%u", i);
                if (acts[digit] == 'p') {
                    value[i] = step == 0 ? "zero" : step == 1 ? "one" : "two";
                    rig_put(keyspace, name, value[i]);
                } else if (acts[digit] == 'r') {
                    MUST_BE(rig_remove(keyspace, name), value[i] != NULL);
                    value[i] = NULL;
                }
            }
            if (step == 0) {
                start_frozen(&running, keyspace, shelf_of_name(keyspace, "{t}0"));
            }
        }
        uint64_t present = 0;
        for (uint32_t i = 0; i < 27; i++) {
            present += value[i] != NULL;
        }
        MUST_BE(rig_count(keyspace), present);
        finish(&running);
        MUST_BE(rig_count(keyspace), present);
        rig_verify(keyspace);
        for (uint32_t again = 0; again < 2; again++) {
            for (uint32_t i = 0; i < 27; i++) {
                snprintf(name, sizeof(name), "{t}%u", i);
                rig_holds(keyspace, name, value[i]);
            }
            rig_checkpoint(keyspace);
            rig_evict_all(keyspace);
        }
        rig_verify(keyspace);
    }
}

Test(checkpoint, every_sequence_of_puts_and_removals_around_a_freeze_comes_out_right)
{
    rig_test(every_pair);
}

static void blind(struct keyspace *keyspace, void *argument)
{
    struct running running;
    char name[32];
    (void)argument;
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "{t}%u", i);
        rig_put(keyspace, name, "in the tree");
    }
    rig_checkpoint(keyspace);
    rig_evict_all(keyspace);
    /* Half of these are new. */
    for (uint32_t i = 50; i < 150; i++) {
        snprintf(name, sizeof(name), "{t}%u", i);
        rig_put(keyspace, name, "blind");
    }
    uint64_t expires;
    MUST_BE(keyspace_count_quick(keyspace, keyspace_space(keyspace, 0), &expires), 200);
    start_frozen(&running, keyspace, shelf_of_name(keyspace, "{t}0"));
    for (uint32_t i = 140; i < 160; i++) {
        snprintf(name, sizeof(name), "{t}%u", i);
        rig_put(keyspace, name, "while frozen");
    }
    for (uint32_t i = 45; i < 55; i++) {
        snprintf(name, sizeof(name), "{t}%u", i);
        MUST(rig_remove(keyspace, name));
    }
    MUST_BE(rig_count(keyspace), 150);
    finish(&running);
    MUST_BE(rig_count(keyspace), 150);
    MUST_BE(keyspace_count_quick(keyspace, keyspace_space(keyspace, 0), &expires), 150);
    rig_verify(keyspace);
    rig_checkpoint(keyspace);
    MUST_BE(rig_count(keyspace), 150);
    rig_verify(keyspace);
}

Test(checkpoint, blind_puts_are_counted_exactly_while_it_runs_and_after)
{
    rig_test(blind);
}

static void count_by_commit(struct keyspace *keyspace, void *argument)
{
    uint64_t expires;
    (void)argument;
    rig_put(keyspace, "{t}a", "1");
    rig_checkpoint(keyspace);
    rig_evict_all(keyspace);
    rig_put(keyspace, "{t}a", "2");
    rig_put(keyspace, "{t}b", "2");
    uint32_t space = keyspace_space(keyspace, 0);
    MUST_BE(keyspace_count_quick(keyspace, space, &expires), 3);
    rig_checkpoint(keyspace);
    MUST_BE(keyspace_count_quick(keyspace, space, &expires), 2);
    rig_verify(keyspace);
}

Test(checkpoint, tells_the_count_which_blind_puts_were_new)
{
    rig_test(count_by_commit);
}

static void pinned(struct keyspace *keyspace, void *argument)
{
    struct running running;
    (void)argument;
    rig_put(keyspace, "{t}a", "1");
    rig_checkpoint(keyspace);
    struct key key = rig_key(keyspace, "{t}a");
    MUST(keyspace_pin(keyspace, &key));
    MUST_BE(keyspace_remove(keyspace, &key), 1);
    start_frozen(&running, keyspace, shelf_of_name(keyspace, "{t}a"));
    finish(&running);
    /* The tombstone is gone, and the key is still known to be absent. */
    struct record *record;
    MUST_BE(keyspace_find(keyspace, &key, true, &record), 0);
    MUST((in_table(keyspace, "{t}a")->flags & RECORD_ABSENT) != 0);
    rig_verify(keyspace);
    keyspace_unpin(keyspace, &key);
    MUST(in_table(keyspace, "{t}a") == NULL);
    /* Pins move to what takes the place of a frozen record. */
    rig_put(keyspace, "{t}b", "1");
    key = rig_key(keyspace, "{t}b");
    MUST(keyspace_pin(keyspace, &key));
    start_frozen(&running, keyspace, shelf_of_name(keyspace, "{t}b"));
    rig_put(keyspace, "{t}b", "2");
    finish(&running);
    keyspace_unpin(keyspace, &key);
    rig_verify(keyspace);
}

Test(checkpoint, keeps_pins)
{
    rig_test(pinned);
}

static void nothing_dirty(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    struct keyspace_stats before;
    struct keyspace_stats after;
    struct store_stats store_before;
    struct store_stats store_after;
    rig_put(keyspace, "a", "1");
    rig_checkpoint(keyspace);
    keyspace_stats(keyspace, &before);
    store_stats(keyspace->store, &store_before);
    rig_checkpoint(keyspace);
    MUST_BE(keyspace_checkpoint(keyspace, shelf_of_name(keyspace, "a"), LSN_NONE), 0);
    keyspace_stats(keyspace, &after);
    store_stats(keyspace->store, &store_after);
    MUST_BE(before.checkpoint_records, after.checkpoint_records);
    MUST_BE(store_before.commits, store_after.commits);
    /* A key that came and went leaves nothing to do either. */
    struct key key = rig_key(keyspace, "fresh");
    MUST_BE(rig_load(keyspace, &key), 0);
    rig_put(keyspace, "fresh", "1");
    MUST_BE(keyspace_remove(keyspace, &key), 1);
    keyspace_unpin(keyspace, &key);
    keyspace_stats(keyspace, &after);
    MUST_BE(after.dirty_records, 0);
    MUST_BE(keyspace_low_lsn(keyspace).value, log_reserved(keyspace->log).value);
}

Test(checkpoint, without_anything_dirty_writes_nothing)
{
    rig_test(nothing_dirty);
}

static void durable_first(struct keyspace *keyspace, void *argument)
{
    struct running running;
    (void)argument;
    char name[32];
    /* Nothing else asks for a sync here. */
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "{t}%u", i);
        rig_put(keyspace, name, "value");
    }
    log_flush(keyspace->writer);
    uint64_t written = log_reserved(keyspace->log).value;
    MUST(log_durable(keyspace->log).value < written);
    struct shelf *shelf = shelf_of_name(keyspace, "{t}0");
    start_frozen(&running, keyspace, shelf);
    while (shelf->publications == 0) {
        MUST(running.group.pending > 0);
        co_yield();
    }
    MUST(log_durable(keyspace->log).value >= written);
    finish(&running);
}

Test(checkpoint, publishes_nothing_that_the_log_could_still_lose)
{
    rig_test(durable_first);
}

static void low_lsn(struct keyspace *keyspace, void *argument)
{
    struct running running;
    (void)argument;
    uint64_t start_lsn = log_reserved(keyspace->log).value;
    MUST_BE(keyspace_low_lsn(keyspace).value, start_lsn);
    rig_put(keyspace, "{t}a", "1");
    log_flush(keyspace->writer);
    uint64_t second = log_reserved(keyspace->log).value;
    MUST(second > start_lsn);
    MUST_BE(keyspace_low_lsn(keyspace).value, start_lsn);
    rig_put(keyspace, "{u}a", "1");
    MUST(shelf_of_name(keyspace, "{u}a") != shelf_of_name(keyspace, "{t}a"));
    start_frozen(&running, keyspace, shelf_of_name(keyspace, "{t}a"));
    /* What is frozen is needed until it is published. */
    MUST_BE(keyspace_low_lsn(keyspace).value, start_lsn);
    finish(&running);
    MUST_BE(keyspace_low_lsn(keyspace).value, second);
    rig_checkpoint(keyspace);
    MUST_BE(keyspace_low_lsn(keyspace).value, log_reserved(keyspace->log).value);
}

Test(checkpoint, moves_on_what_is_needed_of_the_log)
{
    rig_test(low_lsn);
}

static void changed_while_gathered(struct keyspace *keyspace, void *argument)
{
    struct running running;
    (void)argument;
    rig_put(keyspace, "{t}a", "1");
    rig_put(keyspace, "{t}b", "1");
    start_frozen(&running, keyspace, shelf_of_name(keyspace, "{t}a"));
    uint64_t frozen_at = log_reserved(keyspace->log).value;
    rig_put(keyspace, "{t}a", "2");
    finish(&running);
    MUST(keyspace_low_lsn(keyspace).value <= frozen_at);
    MUST(partition_applied(shelf_of_name(keyspace, "{t}a")->partition).value <= frozen_at);
}

static void after_changed(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_holds(keyspace, "{t}a", "2");
    rig_holds(keyspace, "{t}b", "1");
}

Test(checkpoint, does_not_cover_what_came_after_its_freeze)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_run(&rig, 0, changed_while_gathered, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_open(&rig);
    rig_run(&rig, 0, after_changed, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}

/* ---- with latches ---- */

static uint32_t told;

static void note_held(struct latch_request *request)
{
    (void)request;
    told++;
}

static void foreign_latch(struct keyspace *keyspace, void *argument)
{
    struct running running;
    (void)argument;
    told = 0;
    rig_put(keyspace, "{t}a", "1");
    uint64_t before = log_reserved(keyspace->log).value;
    struct latch_key held_key = {.key = rig_key(keyspace, "{t}b"), .exclusive = true};
    struct latch_request held = {
        .done = note_held, .keys = &held_key, .count = 1, .foreign_write = true};
    MUST_BE(latch_acquire(keyspace, &held), 1);
    struct shelf *shelf = shelf_of_name(keyspace, "{t}a");
    start(&running, keyspace, shelf);
    for (uint32_t i = 0; i < 10; i++) {
        co_yield();
    }
    MUST(shelf->freeze_wanted);
    MUST_BE(shelf->phase, SHELF_IDLE);
    /* A newcomer waits behind the freeze, though its key is free. */
    struct latch_key new_key = {.key = rig_key(keyspace, "{t}c"), .exclusive = true};
    struct latch_request newcomer = {
        .done = note_held, .keys = &new_key, .count = 1, .foreign_write = true};
    MUST_BE(latch_acquire(keyspace, &newcomer), 0);
    /* The coordinator has logged before; the owner applies and lets go. */
    struct change change = {
        .key = rig_key(keyspace, "{t}b"),
        .put = {.value = slice_cstr("foreign")},
    };
    MUST_BE(keyspace_reserve(keyspace, &change.key), 0);
    MUST_BE(keyspace_prepare(&change), 0);
    MUST_BE(keyspace_log_changes(keyspace, &change, 1), 0);
    log_flush(keyspace->writer);
    keyspace_apply(keyspace, &change);
    MUST(shelf->low <= before);
    latch_release(&held);
    finish(&running);
    while (told == 0) {
        co_yield();
    }
    MUST_BE(told, 1);
    MUST(partition_applied(shelf->partition).value > before);
    latch_release(&newcomer);
    tree_holds(keyspace, "{t}b", "foreign");
    rig_verify(keyspace);
}

Test(checkpoint, waits_for_foreign_writes_and_is_not_starved_by_them)
{
    rig_test(foreign_latch);
}

static void foreign_low(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    uint64_t before = log_reserved(keyspace->log).value;
    struct latch_key key = {.key = rig_key(keyspace, "{t}b"), .exclusive = true};
    struct latch_request held = {
        .done = note_held, .keys = &key, .count = 1, .foreign_write = true};
    MUST_BE(latch_acquire(keyspace, &held), 1);
    struct change change = {.key = key.key, .put = {.value = slice_cstr("foreign")}};
    MUST_BE(keyspace_reserve(keyspace, &change.key), 0);
    MUST_BE(keyspace_prepare(&change), 0);
    MUST_BE(keyspace_log_changes(keyspace, &change, 1), 0);
    log_flush(keyspace->writer);
    MUST(log_reserved(keyspace->log).value > before);
    MUST_BE(keyspace_low_lsn(keyspace).value, before);
    keyspace_apply(keyspace, &change);
    latch_release(&held);
    /* The record stands before the moment at which it was applied. */
    MUST_BE(keyspace_low_lsn(keyspace).value, before);
}

Test(checkpoint, the_log_is_needed_from_the_latching_of_a_foreign_write_on)
{
    rig_test(foreign_low);
}

/* ---- failures ---- */

static void fails(struct keyspace *keyspace, void *argument)
{
    struct running running;
    (void)argument;
    rig_put(keyspace, "{t}a", "tree");
    rig_checkpoint(keyspace);
    rig_put(keyspace, "{t}a", "old");
    rig_put(keyspace, "{t}b", "old");
    rig_put(keyspace, "{t}c", "stays");
    struct shelf *shelf = shelf_of_name(keyspace, "{t}a");
    uint64_t low = keyspace_low_lsn(keyspace).value;
    start_frozen(&running, keyspace, shelf);
    rig_put(keyspace, "{t}a", "new");
    MUST(rig_remove(keyspace, "{t}b"));
    mem_fail_after(1, true);
    co_group_wait(&running.group);
    mem_fail_after(0, false);
    MUST(running.result != 0);
    MUST_BE(keyspace_low_lsn(keyspace).value, low);
    rig_holds(keyspace, "{t}a", "new");
    rig_holds(keyspace, "{t}b", NULL);
    rig_holds(keyspace, "{t}c", "stays");
    tree_holds(keyspace, "{t}a", "tree");
    rig_verify(keyspace);
    MUST_BE(keyspace_write_error(keyspace), running.result);
    rig_checkpoint(keyspace);
    MUST_BE(keyspace_write_error(keyspace), 0);
    tree_holds(keyspace, "{t}a", "new");
    tree_holds(keyspace, "{t}b", NULL);
    tree_holds(keyspace, "{t}c", "stays");
    MUST_BE(rig_count(keyspace), 2);
    rig_verify(keyspace);
}

Test(checkpoint, that_fails_changes_nothing_and_can_be_repeated)
{
    rig_test(fails);
}
