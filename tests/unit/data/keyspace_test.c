#include "data/keyspace.h"

#include "rig.h"

static void put_and_find(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_holds(keyspace, "a", NULL);
    rig_put(keyspace, "a", "one");
    rig_holds(keyspace, "a", "one");
    rig_put(keyspace, "a", "another value, longer than the first one");
    rig_holds(keyspace, "a", "another value, longer than the first one");
    rig_put(keyspace, "a", "");
    rig_holds(keyspace, "a", "");
    rig_put(keyspace, "", "empty key");
    rig_holds(keyspace, "", "empty key");
    MUST(rig_remove(keyspace, "a"));
    MUST(!rig_remove(keyspace, "a"));
    rig_holds(keyspace, "a", NULL);
    MUST_BE(rig_count(keyspace), 1);
    rig_verify(keyspace);
}

Test(keyspace, holds_what_was_put)
{
    rig_test(put_and_find);
}

static void after_checkpoint(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "a", "one");
    rig_put(keyspace, "b", "two");
    rig_checkpoint(keyspace);
    rig_verify(keyspace);
    rig_holds(keyspace, "a", "one");
    rig_evict_all(keyspace);
    struct keyspace_stats stats;
    keyspace_stats(keyspace, &stats);
    MUST_BE(stats.records, 0);
    rig_holds(keyspace, "a", "one");
    rig_holds(keyspace, "b", "two");
    rig_holds(keyspace, "c", NULL);
    MUST(rig_remove(keyspace, "a"));
    rig_put(keyspace, "c", "three");
    rig_checkpoint(keyspace);
    rig_evict_all(keyspace);
    rig_holds(keyspace, "a", NULL);
    rig_holds(keyspace, "c", "three");
    MUST_BE(rig_count(keyspace), 2);
    rig_verify(keyspace);
}

Test(keyspace, holds_it_after_checkpoint_and_eviction)
{
    rig_test(after_checkpoint);
}

static void write_some(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "a", "one");
    rig_put(keyspace, "b", "two");
    rig_checkpoint(keyspace);
    rig_put(keyspace, "b", "changed");
    rig_put(keyspace, "c", "three");
    MUST(rig_remove(keyspace, "a"));
}

static void check_some(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_holds(keyspace, "a", NULL);
    rig_holds(keyspace, "b", "changed");
    rig_holds(keyspace, "c", "three");
    MUST_BE(rig_count(keyspace), 2);
    rig_verify(keyspace);
}

Test(keyspace, holds_it_after_a_crash)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_run(&rig, 0, write_some, NULL);
    for (int i = 0; i < 3; i++) {
        rig_close(&rig, RIG_CRASH);
        rig_open(&rig);
        rig_run(&rig, 0, check_some, NULL);
    }
    rig_close(&rig, RIG_CLEAN);
    rig_open(&rig);
    rig_run(&rig, 0, check_some, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}
