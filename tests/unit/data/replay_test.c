#include <string.h>

#include "base/logger.h"
#include "data/change.h"
#include "rig.h"

/* ---- under small budgets ---- */

enum { KEYS = 4000 };

static void name_of(char name[32], uint32_t number)
{
    snprintf(name, 32, "key %u", number);
}

static void write_much(struct keyspace *keyspace, void *argument)
{
    char name[32];
    char value[200];
    (void)argument;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            name_of(name, i);
            snprintf(value, sizeof(value), "%0150u", round * KEYS + i);
            rig_put(keyspace, name, value);
        }
    }
    for (uint32_t i = 0; i < KEYS; i += 7) {
        name_of(name, i);
        MUST(rig_remove(keyspace, name));
    }
}

static void check_much(struct keyspace *keyspace, void *argument)
{
    char name[32];
    char value[200];
    (void)argument;
    for (uint32_t i = 0; i < KEYS; i++) {
        name_of(name, i);
        snprintf(value, sizeof(value), "%0150u", 2 * KEYS + i);
        rig_holds(keyspace, name, i % 7 == 0 ? NULL : value);
    }
    MUST_BE(rig_count(keyspace), KEYS - (KEYS + 6) / 7);
    rig_verify(keyspace);
}

static void within_budget(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    struct keyspace_stats stats;
    keyspace_stats(keyspace, &stats);
    MUST(stats.checkpoints > 5);
    MUST(stats.dirty_bytes <= keyspace->options.dirty_bytes_target);
}

Test(replay, keeps_within_the_memory_it_has)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_run(&rig, 0, write_much, NULL);
    rig_close(&rig, RIG_CRASH);
    rig.options.record_bytes_max = 200 << 10;
    rig.options.dirty_bytes_target = 50 << 10;
    for (uint32_t i = 0; i < 2; i++) {
        rig_open(&rig);
        if (i == 0) {
            rig_run(&rig, 0, within_budget, NULL);
        }
        rig_run(&rig, 0, check_much, NULL);
        rig_close(&rig, RIG_CRASH);
    }
    rig_deinit(&rig);
}

/* ---- another number of shards ---- */

static void write_own(struct keyspace *keyspace, void *argument)
{
    char name[32];
    (void)argument;
    for (uint32_t i = 0; i < KEYS; i++) {
        name_of(name, i);
        struct key key = rig_key(keyspace, name);
        if (keyspace->by_partition[key.partition] != NULL) {
            rig_put(keyspace, name, name);
            if (i % 3 == 0) {
                MUST(rig_remove(keyspace, name));
            }
        }
    }
    MUST_BE(keyspace_checkpoint(keyspace, &keyspace->shelves[0], LSN_NONE), 0);
}

static void check_own(struct keyspace *keyspace, void *argument)
{
    uint64_t *total = argument;
    char name[32];
    for (uint32_t i = 0; i < KEYS; i++) {
        name_of(name, i);
        struct key key = rig_key(keyspace, name);
        if (keyspace->by_partition[key.partition] != NULL) {
            rig_holds(keyspace, name, i % 3 == 0 ? NULL : name);
        }
        MUST_BE(keyspace_shard_of(slice_cstr(name), keyspace->options.partitions,
                                  shard_count(keyspace->shard)) == shard_id(keyspace->shard),
                keyspace->by_partition[key.partition] != NULL);
    }
    *total += rig_count(keyspace);
    rig_verify(keyspace);
}

Test(replay, opens_with_any_number_of_shards)
{
    static const uint32_t shards[] = {2, 1, 3, 2};
    struct rig rig;
    rig_init(&rig, shards[0]);
    rig_open(&rig);
    for (uint32_t i = 0; i < 2; i++) {
        rig_run(&rig, i, write_own, NULL);
    }
    for (uint32_t round = 1; round < 4; round++) {
        rig_close(&rig, round == 2 ? RIG_CLEAN : RIG_CRASH);
        rig.shard_count = shards[round];
        rig_open(&rig);
        uint64_t total = 0;
        for (uint32_t i = 0; i < shards[round]; i++) {
            rig_run(&rig, i, check_own, &total);
        }
        cr_assert_eq(total, KEYS - (KEYS + 2) / 3);
    }
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}

/* ---- changes of parts, on a base that only the tree has ---- */

static char *large_of(char letter)
{
    char *large = malloc(200001);
    memset(large, letter, 200000);
    large[200000] = 0;
    return large;
}

static void put_base(struct keyspace *keyspace, void *argument)
{
    char *large = large_of('b');
    (void)argument;
    rig_put(keyspace, "{t}range", large);
    rig_put(keyspace, "{t}expire", large);
    rig_put(keyspace, "{t}removed", large);
    rig_put(keyspace, "{t}replaced", large);
    rig_checkpoint(keyspace);
    struct key key = rig_key(keyspace, "{t}range");
    MUST_BE(keyspace_write_range(keyspace, &key, 5, slice_cstr("five")), 0);
    MUST_BE(keyspace_write_range(keyspace, &key, 200000, slice_cstr("end")), 0);
    MUST_BE(keyspace_set_expire(keyspace, &key, INT64_C(98000000000000)), 0);
    key = rig_key(keyspace, "{t}expire");
    MUST_BE(keyspace_set_expire(keyspace, &key, INT64_C(99000000000000)), 0);
    key = rig_key(keyspace, "{t}removed");
    MUST_BE(keyspace_write_range(keyspace, &key, 5, slice_cstr("five")), 0);
    MUST(rig_remove(keyspace, "{t}removed"));
    key = rig_key(keyspace, "{t}replaced");
    MUST_BE(keyspace_write_range(keyspace, &key, 5, slice_cstr("five")), 0);
    rig_put(keyspace, "{t}replaced", "short");
    free(large);
}

static void check_base(struct keyspace *keyspace, void *argument)
{
    struct record *record;
    (void)argument;
    struct key key = rig_key(keyspace, "{t}range");
    MUST_BE(rig_find(keyspace, &key, &record), 1);
    struct slice value = record_value(record);
    MUST_BE(value.bytes, 200003);
    MUST(memcmp(value.data, "bbbbbfiveb", 10) == 0);
    MUST(memcmp(value.data + 199999, "bend", 4) == 0);
    MUST_BE(record_expire_ms(record), INT64_C(98000000000000));
    key = rig_key(keyspace, "{t}expire");
    MUST_BE(rig_find(keyspace, &key, &record), 1);
    MUST_BE(record_value(record).bytes, 200000);
    MUST_BE(record_expire_ms(record), INT64_C(99000000000000));
    rig_holds(keyspace, "{t}removed", NULL);
    rig_holds(keyspace, "{t}replaced", "short");
    MUST_BE(rig_count(keyspace), 3);
    rig_verify(keyspace);
}

Test(replay, applies_changes_of_parts_to_what_the_tree_has)
{
    rig_test_restarted(put_base, RIG_CRASH, check_base);
}

/* The same changes, but the tree has all of them already, and the log is applied from before: as
 * after a fuzzy freeze. */
static struct shelf *tagged(struct keyspace *keyspace)
{
    struct key key = rig_key(keyspace, "{t}range");
    return keyspace->by_partition[key.partition];
}

static void put_and_commit_fuzzily(struct keyspace *keyspace, void *argument)
{
    uint64_t start = log_reserved(keyspace->log).value;
    put_base(keyspace, argument);
    log_flush(keyspace->writer);
    MUST_BE(keyspace_checkpoint(keyspace, tagged(keyspace), start), 0);
    MUST_BE(partition_applied(tagged(keyspace)->partition).value, start);
}

Test(replay, may_repeat_what_the_tree_has)
{
    rig_test_restarted(put_and_commit_fuzzily, RIG_CRASH, check_base);
}

/* ---- broken records ---- */

static void append_raw(struct keyspace *keyspace, uint8_t type, const char *body, size_t bytes)
{
    struct slice part = slice_of(body, bytes);
    log_append(keyspace->writer, type, &part, 1);
}

static uint32_t broken_index;

static const struct {
    uint8_t type;
    const char *body;
    size_t bytes;
} broken[] = {
    {0, "", 0},
    {99, "abc", 3},
    {CHANGE_PUT, "", 0},
    {CHANGE_PUT, "\xff\0\0\0\0", 5},
    {CHANGE_PUT, "\0\0\0\0\x05kk", 7},
    {CHANGE_REMOVE, "\0\x01kk", 4},
    {CHANGE_EXPIRE, "\0\x01k", 3},
    {CHANGE_RANGE, "\0\x01\0k", 4},
    {CHANGE_GROUP, "\x01\0", 2},
    {CHANGE_GROUP, "\x01\0\0\0\x02\x02\0\0\0\0\x01", 11},
    {CHANGE_SPACES, "\x09\x04\0\0", 4},
    {CHANGE_SPACES, "\x09\x05\0\x01\x02\x03\x04", 7},
};

static void put_broken(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "a", "before");
    append_raw(keyspace, broken[broken_index].type, broken[broken_index].body,
               broken[broken_index].bytes);
    rig_put(keyspace, "a", "after");
}

static atomic_uint corrupt_lines;

static void note_line(enum logger_level level, const char *line, size_t bytes, void *argument)
{
    (void)level;
    (void)bytes;
    (void)argument;
    if (strstr(line, "redo log") != NULL && strstr(line, "offset") != NULL) {
        corrupt_lines++;
    }
}

Test(replay, refuses_a_record_that_cannot_be_and_says_where)
{
    for (broken_index = 0; broken_index < sizeof(broken) / sizeof(broken[0]); broken_index++) {
        struct rig rig;
        rig_init(&rig, 1);
        rig_open(&rig);
        rig_run(&rig, 0, put_broken, NULL);
        rig_close(&rig, RIG_CRASH);
        logger_set_hook(note_line, NULL);
        corrupt_lines = 0;
        cr_assert_eq(rig_try_open(&rig), ERR_CORRUPT, "record %u", broken_index);
        cr_assert_gt(corrupt_lines, 0);
        logger_set_hook(NULL, NULL);
        rig_deinit(&rig);
    }
}

/* ---- a map from a time with fewer databases ---- */

static void put_small_map(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    append_raw(keyspace, CHANGE_SPACES, "\x09\x02\x07\x08", 4);
}

static void check_small_map(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    cr_expect_eq(keyspace_space(keyspace, 0), 7);
    cr_expect_eq(keyspace_space(keyspace, 1), 8);
    for (uint32_t i = 2; i < RIG_DATABASES; i++) {
        cr_expect_eq(keyspace_space(keyspace, i), 9 + i - 2);
    }
    cr_expect_eq(keyspace_space_next(keyspace), 9 + RIG_DATABASES - 2);
}

Test(replay, gives_later_databases_ids_of_their_own)
{
    rig_test_restarted(put_small_map, RIG_CRASH, check_small_map);
}

/* ---- a log that has lost something ---- */

static void put_and_checkpoint(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "a", "value");
    rig_checkpoint(keyspace);
}

Test(replay, refuses_a_log_that_ends_before_what_a_partition_has_applied)
{
    struct rig rig;
    char command[RIG_PATH_BYTES + 32];
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_run(&rig, 0, put_and_checkpoint, NULL);
    rig_close(&rig, RIG_CLEAN);
    snprintf(command, sizeof(command), "rm %s/log/*", rig.dir);
    cr_assert_eq(system(command), 0);
    logger_set_hook(note_line, NULL);
    corrupt_lines = 0;
    cr_assert_eq(rig_try_open(&rig), ERR_CORRUPT);
    cr_assert_gt(corrupt_lines, 0);
    logger_set_hook(NULL, NULL);
    rig_deinit(&rig);
}

/* ---- a log that was cut at its start ---- */

static void three_parts(struct keyspace *keyspace, void *argument)
{
    struct rig *rig = argument;
    rig_put(keyspace, "{t}a", "1");
    rig_put(keyspace, "{u}b", "1");
    rig_checkpoint(keyspace);
    /* From here on one partition does nothing. */
    rig_put(keyspace, "{t}a", "2");
    rig_checkpoint(keyspace);
    rig_put(keyspace, "{t}a", "3");
    rig->log_start = keyspace_low_lsn(keyspace);
    MUST(
        partition_applied(keyspace_partition(keyspace, rig_key(keyspace, "{u}b").partition)).value <
        rig->log_start.value);
}

static void check_three(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_holds(keyspace, "{t}a", "3");
    rig_holds(keyspace, "{u}b", "1");
    MUST_BE(rig_count(keyspace), 2);
}

Test(replay, needs_nothing_before_the_start_that_was_asked_for)
{
    rig_test_restarted(three_parts, RIG_CRASH, check_three);
}
