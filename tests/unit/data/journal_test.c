#include <string.h>

#include "base/mem.h"
#include "data/foreign.h"
#include "rig.h"

enum { MEMBERS = 30 };

static void name_of(char name[32], uint32_t number)
{
    snprintf(name, 32, "key %u", number);
}

static void put_group(struct keyspace *keyspace, const char *value)
{
    char name[32];
    keyspace_group_begin(keyspace);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        name_of(name, i);
        rig_put(keyspace, name, value);
    }
    keyspace_group_end(keyspace);
}

/* ---- whole or not at all ---- */

static struct rig fork_of_rig;

static void fork_here(struct keyspace *keyspace, void *argument)
{
    struct rig *rig = argument;
    struct shelf *shelf = &keyspace->shelves[0];
    rig_put(keyspace, "before", "group");
    put_group(keyspace, "old");
    rig_checkpoint(keyspace);
    put_group(keyspace, "new");
    /* One partition has its part in the tree, the others have theirs in the log alone. */
    MUST_BE(keyspace_checkpoint(keyspace, shelf, LSN_NONE), 0);
    rig_fork(rig, &fork_of_rig);
}

static co_fn bool group_is(struct keyspace *keyspace, const char *value)
{
    char name[32];
    struct record *record;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        name_of(name, i);
        struct key key = rig_key(keyspace, name);
        MUST_BE(rig_find(keyspace, &key, &record), 1);
        if (!slice_equal(record_value(record), slice_cstr(value))) {
            return false;
        }
    }
    return true;
}

static void must_be_new(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    MUST(group_is(keyspace, "new"));
    rig_holds(keyspace, "before", "group");
    MUST_BE(rig_count(keyspace), MEMBERS + 1);
    rig_verify(keyspace);
}

Test(journal, a_group_is_whole_after_a_crash_whatever_was_checkpointed)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_run(&rig, 0, fork_here, &rig);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
    rig_open(&fork_of_rig);
    rig_run(&fork_of_rig, 0, must_be_new, NULL);
    rig_close(&fork_of_rig, RIG_CRASH);
    rig_deinit(&fork_of_rig);
}

static void group_not_flushed(struct keyspace *keyspace, void *argument)
{
    struct rig *rig = argument;
    put_group(keyspace, "old");
    log_flush(keyspace->writer);
    put_group(keyspace, "new");
    rig_fork(rig, &fork_of_rig);
}

static void must_be_old(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    MUST(group_is(keyspace, "old"));
}

Test(journal, a_group_that_did_not_get_into_the_log_is_absent_as_a_whole)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_run(&rig, 0, group_not_flushed, &rig);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
    rig_open(&fork_of_rig);
    rig_run(&fork_of_rig, 0, must_be_old, NULL);
    rig_close(&fork_of_rig, RIG_CRASH);
    rig_deinit(&fork_of_rig);
}

/* ---- what a group is made of ---- */

static uint64_t appended(const struct keyspace *keyspace)
{
    struct log_stats stats;
    log_stats(keyspace->log, &stats);
    return stats.appended_records;
}

static void all_kinds(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    char *large = malloc(100001);
    memset(large, 'l', 100000);
    large[100000] = 0;
    rig_put(keyspace, "large", large);
    rig_put(keyspace, "gone", "value");
    uint64_t before = appended(keyspace);
    keyspace_group_begin(keyspace);
    keyspace_group_end(keyspace);
    MUST_BE(appended(keyspace), before);
    keyspace_group_begin(keyspace);
    struct key key = rig_key(keyspace, "large");
    MUST_BE(keyspace_set_expire(keyspace, &key, INT64_C(99000000000000)), 0);
    MUST_BE(keyspace_write_range(keyspace, &key, 100000, slice_cstr("end")), 0);
    rig_put(keyspace, "new", "value");
    key = rig_key(keyspace, "gone");
    MUST_BE(keyspace_remove(keyspace, &key), 1);
    keyspace_group_end(keyspace);
    MUST_BE(appended(keyspace), before + 1);
    free(large);
}

static void after_all_kinds(struct keyspace *keyspace, void *argument)
{
    struct record *record;
    (void)argument;
    struct key key = rig_key(keyspace, "large");
    MUST_BE(rig_find(keyspace, &key, &record), 1);
    MUST_BE(record_value(record).bytes, 100003);
    MUST(memcmp(record_value(record).data + 99999, "lend", 4) == 0);
    MUST_BE(record_expire_ms(record), INT64_C(99000000000000));
    rig_holds(keyspace, "new", "value");
    rig_holds(keyspace, "gone", NULL);
    MUST_BE(rig_count(keyspace), 2);
}

Test(journal, a_group_is_one_record_of_all_kinds_of_changes)
{
    rig_test_restarted(all_kinds, RIG_CRASH, after_all_kinds);
}

static void no_memory(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    char *large = malloc(100001);
    memset(large, 'l', 100000);
    large[100000] = 0;
    struct key first = rig_key(keyspace, "first");
    struct key second = rig_key(keyspace, "second");
    struct put small = {.value = slice_cstr("value")};
    struct put put = {.value = slice_cstr(large)};
    rig_put(keyspace, "second", "old");
    keyspace_group_begin(keyspace);
    MUST_BE(keyspace_put(keyspace, &first, &small), 0);
    mem_fail_after(1, true);
    MUST_BE(keyspace_put(keyspace, &second, &put), ERR_MEMORY);
    struct change change = {.key = second, .put = put};
    mem_fail_after(0, false);
    keyspace_group_end(keyspace);
    rig_holds(keyspace, "first", "value");
    rig_holds(keyspace, "second", "old");
    mem_fail_after(1, true);
    MUST_BE(keyspace_log_changes(keyspace, &change, 1), ERR_MEMORY);
    mem_fail_after(0, false);
    rig_verify(keyspace);
    free(large);
}

static void after_no_memory(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_holds(keyspace, "first", "value");
    rig_holds(keyspace, "second", "old");
}

Test(journal, what_a_group_could_not_take_is_not_changed_either)
{
    rig_test_restarted(no_memory, RIG_CRASH, after_no_memory);
}

static void log_off(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "logged", "value");
    log_flush(keyspace->writer);
    log_set_enabled(keyspace->log, false);
    uint64_t before = appended(keyspace);
    rig_put(keyspace, "checkpointed", "value");
    rig_checkpoint(keyspace);
    rig_put(keyspace, "lost", "value");
    put_group(keyspace, "lost");
    MUST_BE(appended(keyspace), before);
    rig_verify(keyspace);
}

static void after_log_off(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_holds(keyspace, "logged", "value");
    rig_holds(keyspace, "checkpointed", "value");
    rig_holds(keyspace, "lost", NULL);
    MUST_BE(rig_count(keyspace), 2);
}

Test(journal, without_a_log_checkpoints_alone_keep_what_is_written)
{
    rig_test_restarted(log_off, RIG_CRASH, after_log_off);
}
