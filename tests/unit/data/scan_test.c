#include "data/scan.h"

#include <string.h>

#include "base/mem.h"
#include "rig.h"
#include "shard/await.h"

enum { STABLE = 3000, CHURN = 3000 };

/* ---- one walk over everything ---- */

struct met {
    uint8_t stable[STABLE]; /* how often */
    uint64_t others;
    uint64_t calls;
};

static bool meet(void *context, struct slice key, const struct record *record, uint8_t type)
{
    struct met *met = context;
    (void)record;
    (void)type;
    if (key.bytes > 7 && memcmp(key.data, "stable:", 7) == 0) {
        char digits[8] = "";
        memcpy(digits, key.data + 7, min_u64(key.bytes - 7, 7));
        met->stable[atoi(digits)]++;
    } else {
        met->others++;
    }
    return true;
}

static co_fn void walk(struct keyspace *keyspace, const char *prefix, uint32_t examine,
                       struct met *met)
{
    struct scan_position *position = malloc(sizeof(*position));
    memset(met, 0, sizeof(*met));
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        memset(position, 0, sizeof(*position));
        int more = 1;
        while (more == 1) {
            struct scan_range range = {
                .partition = keyspace->shelves[i].number,
                .space = keyspace_space(keyspace, 0),
                .prefix = slice_cstr(prefix),
                .examine_max = examine,
            };
            more = scan_partition(keyspace, &range, position, meet, met);
            MUST(more >= 0);
            met->calls++;
            co_yield();
        }
    }
    free(position);
}

static void name_of(char name[32], const char *kind, uint32_t number)
{
    snprintf(name, 32, "%s:%07u", kind, number);
}

static void put_all(struct keyspace *keyspace, const char *kind, uint32_t count, const char *value)
{
    char name[32];
    for (uint32_t i = 0; i < count; i++) {
        name_of(name, kind, i);
        rig_put(keyspace, name, value);
    }
}

static void must_have_met_all(const struct met *met, uint32_t times_max)
{
    for (uint32_t i = 0; i < STABLE; i++) {
        MUST(met->stable[i] >= 1);
        MUST(met->stable[i] <= times_max);
    }
}

/* ---- nobody writes ---- */

static void quiet(struct keyspace *keyspace, void *argument)
{
    struct met *met = malloc(sizeof(*met));
    static const uint32_t steps[] = {1, 7, 100, UINT32_MAX};
    (void)argument;
    for (uint32_t state = 0; state < 4; state++) {
        if (state == 0) {
            put_all(keyspace, "stable", STABLE, "1");
        } else if (state == 1) {
            rig_checkpoint(keyspace);
        } else if (state == 2) {
            rig_evict_all(keyspace);
            /* Blind: nobody knows that they are in the tree. */
            put_all(keyspace, "stable", STABLE / 2, "2");
            put_all(keyspace, "other", 100, "2");
        } else {
            rig_checkpoint(keyspace);
            put_all(keyspace, "stable", STABLE / 3, "3");
            put_all(keyspace, "more", 100, "3");
            char name[32];
            name_of(name, "other", 5);
            MUST(rig_remove(keyspace, name));
        }
        for (uint32_t i = 0; i < 4; i++) {
            walk(keyspace, "", steps[i], met);
            must_have_met_all(met, 1);
            MUST_BE(met->others, state < 2 ? 0 : state == 2 ? 100 : 199);
        }
        walk(keyspace, "stable:000000", UINT32_MAX, met);
        for (uint32_t i = 0; i < STABLE; i++) {
            MUST_BE(met->stable[i], i < 10);
        }
        walk(keyspace, "nothing", 10, met);
        MUST_BE(met->others, 0);
    }
    rig_verify(keyspace);
    free(met);
}

Test(scan, meets_every_key_once_while_nobody_writes)
{
    rig_test(quiet);
}

static void odd_keys(struct keyspace *keyspace, void *argument)
{
    struct met *met = malloc(sizeof(*met));
    (void)argument;
    char longest[STORE_KEY_BYTES_MAX + 1];
    memset(longest, 'x', STORE_KEY_BYTES_MAX);
    longest[STORE_KEY_BYTES_MAX] = 0;
    for (uint32_t round = 0; round < 2; round++) {
        rig_put(keyspace, "", "empty");
        rig_put(keyspace, longest, "long");
        for (uint32_t examine = 1; examine < 4; examine++) {
            walk(keyspace, "", examine, met);
            MUST_BE(met->others, 2);
        }
        rig_checkpoint(keyspace);
    }
    free(met);
}

Test(scan, meets_the_empty_key_and_the_longest_one)
{
    rig_test(odd_keys);
}

static bool meet_and_stop(void *context, struct slice key, const struct record *record,
                          uint8_t type)
{
    (void)meet(context, key, record, type);
    return false;
}

static void stop_each(struct keyspace *keyspace, void *argument)
{
    struct met *met = calloc(1, sizeof(*met));
    struct scan_position *position = malloc(sizeof(*position));
    (void)argument;
    put_all(keyspace, "stable", STABLE / 2, "1");
    rig_checkpoint(keyspace);
    put_all(keyspace, "stable", STABLE, "2");
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        memset(position, 0, sizeof(*position));
        uint64_t before = 0;
        int more = 1;
        while (more == 1) {
            struct scan_range range = {
                .partition = keyspace->shelves[i].number,
                .space = keyspace_space(keyspace, 0),
                .examine_max = 1000,
            };
            more = scan_partition(keyspace, &range, position, meet_and_stop, met);
            MUST(more >= 0);
            MUST(met->others - before <= 1);
            before = met->others;
        }
    }
    must_have_met_all(met, 1);
    free(position);
    free(met);
}

Test(scan, goes_on_after_each_key_it_was_stopped_at)
{
    rig_test(stop_each);
}

static void same_hashes(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    /* Records with one and the same hash prefix, as if by a collision of 32 bits. */
    enum { SAME = 20 };
    struct key key = rig_key(keyspace, "{t}0");
    struct shelf *shelf = keyspace->by_partition[key.partition];
    for (uint32_t i = 0; i < SAME; i++) {
        char name[32];
        name_of(name, "stable", i);
        struct key one = {
            .name = slice_cstr(name), .hash = 5, .space = 0, .partition = key.partition};
        struct put put = {.value = slice_cstr("x")};
        MUST_BE(keyspace_put(keyspace, &one, &put), 0);
    }
    struct met *met = calloc(1, sizeof(*met));
    struct scan_position position = {.in_tree = false};
    struct scan_range range = {.partition = shelf->number, .examine_max = 3};
    while (scan_partition(keyspace, &range, &position, meet, met) == 1) {
        met->calls++;
    }
    for (uint32_t i = 0; i < SAME; i++) {
        MUST_BE(met->stable[i], 1);
    }
    MUST(met->calls <= 2);
    free(met);
}

Test(scan, keeps_keys_with_equal_hashes_together)
{
    rig_test(same_hashes);
}

/* ---- a checkpoint in the middle ---- */

struct running {
    struct keyspace *keyspace;
    struct shelf *shelf;
    struct co_group group;
};

static void running_main(void *argument)
{
    struct running *running = argument;
    MUST_BE(keyspace_checkpoint(running->keyspace, running->shelf, LSN_NONE), 0);
    co_group_done(&running->group);
}

/* Returns when all is frozen and nothing is published. */
static co_fn void start_frozen(struct running *running, struct keyspace *keyspace)
{
    struct key key = rig_key(keyspace, "{t}");
    *running = (struct running){.keyspace = keyspace, .shelf = shelf_of(keyspace, &key)};
    co_group_init(&running->group);
    co_group_add(&running->group, 1);
    MUST_BE(
        coro_start(shard_sched(keyspace->shard), "checkpoint", CORO_NORMAL, running_main, running),
        0);
    while (running->shelf->phase == SHELF_IDLE) {
        co_yield();
    }
    MUST_BE(running->shelf->phase, SHELF_COMMITTING);
}

static void removed_and_set_again(struct keyspace *keyspace, void *argument)
{
    struct met *met = calloc(1, sizeof(*met));
    struct scan_position *position = calloc(1, sizeof(*position));
    struct running running;
    (void)argument;
    rig_put(keyspace, "{t}", "in the tree");
    rig_checkpoint(keyspace);
    MUST(rig_remove(keyspace, "{t}"));
    start_frozen(&running, keyspace);
    rig_put(keyspace, "{t}", "again");
    /* From here on the key is there. The first phase runs while the tree still has it, the second
     * when it has not. */
    struct scan_range range = {.partition = running.shelf->number, .examine_max = 1};
    while (!position->in_tree) {
        MUST(scan_partition(keyspace, &range, position, meet, met) >= 0);
        MUST_BE(running.shelf->phase, SHELF_COMMITTING);
    }
    co_group_wait(&running.group);
    while (scan_partition(keyspace, &range, position, meet, met) == 1) {
    }
    MUST_BE(met->others, 1);
    free(position);
    free(met);
}

Test(scan, meets_a_key_that_a_commit_under_way_takes_out_of_the_tree)
{
    rig_test(removed_and_set_again);
}

static bool meet_in_peace(void *context, struct slice key, const struct record *record,
                          uint8_t type)
{
    struct running *running = context;
    (void)key;
    (void)record;
    (void)type;
    MUST_BE(running->shelf->phase, SHELF_IDLE);
    return true;
}

static void peace(struct keyspace *keyspace, void *argument)
{
    struct scan_position *position = calloc(1, sizeof(*position));
    struct running running;
    (void)argument;
    rig_put(keyspace, "{t}", "value");
    start_frozen(&running, keyspace);
    struct scan_range range = {.partition = running.shelf->number, .examine_max = UINT32_MAX};
    MUST_BE(scan_partition(keyspace, &range, position, meet_in_peace, &running), 0);
    co_group_wait(&running.group);
    /* And the other way round: a checkpoint waits for it. */
    running.shelf->walkers++;
    rig_put(keyspace, "{t}", "other");
    co_group_add(&running.group, 1);
    MUST_BE(
        coro_start(shard_sched(keyspace->shard), "checkpoint", CORO_NORMAL, running_main, &running),
        0);
    for (uint32_t i = 0; i < 10; i++) {
        co_yield();
    }
    MUST_BE(running.shelf->phase, SHELF_IDLE);
    MUST(running.shelf->freeze_wanted);
    running.shelf->walkers--;
    co_event_signal(&running.shelf->freed);
    co_group_wait(&running.group);
    free(position);
}

Test(scan, of_a_whole_partition_and_a_checkpoint_wait_for_each_other)
{
    rig_test(peace);
}

/* ---- others write ---- */

struct churn {
    struct keyspace *keyspace;
    struct co_group group;
    struct random random;
    bool ends;
    uint64_t changes;
};

static void churn_main(void *argument)
{
    struct churn *churn = argument;
    char name[32];
    while (!churn->ends) {
        for (uint32_t i = 0; i < 20; i++) {
            uint32_t number = (uint32_t)random_below(&churn->random, CHURN);
            switch (random_below(&churn->random, 4)) {
            case 0:
                name_of(name, "churn", number);
                (void)rig_remove(churn->keyspace, name);
                break;
            case 1:
                /* Stable ones are overwritten, never removed. */
                name_of(name, "stable", number % STABLE);
                rig_put(churn->keyspace, name, "overwritten");
                break;
            default:
                name_of(name, "churn", number);
                rig_put(churn->keyspace, name, "churned");
                break;
            }
            churn->changes++;
        }
        co_yield();
    }
    co_group_done(&churn->group);
}

static void writers(struct keyspace *keyspace, void *argument)
{
    struct met *met = malloc(sizeof(*met));
    struct churn churn = {.keyspace = keyspace};
    (void)argument;
    random_seed(&churn.random, 9);
    put_all(keyspace, "stable", STABLE, "1");
    rig_checkpoint(keyspace);
    rig_evict_all(keyspace);
    put_all(keyspace, "stable", STABLE / 2, "2");
    co_group_init(&churn.group);
    co_group_add(&churn.group, 1);
    MUST_BE(coro_start(shard_sched(keyspace->shard), "churn", CORO_NORMAL, churn_main, &churn), 0);
    static const uint32_t steps[] = {1, 10, 10, 300, 300, UINT32_MAX, UINT32_MAX};
    for (uint32_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        walk(keyspace, "", steps[i], met);
        must_have_met_all(met, 100);
        walk(keyspace, "stable:", steps[i], met);
        must_have_met_all(met, 100);
    }
    churn.ends = true;
    co_group_wait(&churn.group);
    MUST(churn.changes > 1000);
    struct keyspace_stats stats;
    keyspace_stats(keyspace, &stats);
    MUST(stats.checkpoints > 20);
    keyspace_stop_background(keyspace);
    rig_verify(keyspace);
    free(met);
}

Test(scan, meets_what_is_there_all_the_time_whatever_is_written_and_checkpointed)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig.background = true;
    rig.options.record_bytes_max = 200 << 10;
    rig.options.dirty_bytes_max = 100 << 10;
    rig.options.dirty_bytes_target = 20 << 10;
    rig_open(&rig);
    rig_run(&rig, 0, writers, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}

static void only_checkpoints(struct keyspace *keyspace, void *argument)
{
    struct met *met = malloc(sizeof(*met));
    (void)argument;
    /* Nothing is written during the walks, but all that was before moves into the trees. */
    for (uint32_t round = 0; round < 10; round++) {
        put_all(keyspace, "stable", STABLE, round % 2 == 0 ? "a" : "b");
        walk(keyspace, "", UINT32_MAX, met);
        must_have_met_all(met, 1);
        rig_evict_all(keyspace);
    }
    free(met);
}

Test(scan, of_whole_partitions_meets_nothing_twice_though_checkpoints_run)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig.background = true;
    rig.options.dirty_bytes_target = 0;
    rig_open(&rig);
    rig_run(&rig, 0, only_checkpoints, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}
