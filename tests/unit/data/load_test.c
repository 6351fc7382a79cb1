#include <string.h>

#include "base/mem.h"
#include "rig.h"

static void put_a(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "{t}a", "stale");
}

/* ---- many at once ---- */

enum { LOADS = 50 };

struct many {
    struct key_load loads[LOADS];
    int results[LOADS];
    uint32_t done;
    struct coro *waiter;
};

static struct many *the_many;

static void one_done(struct key_load *load, int result)
{
    struct many *many = the_many;
    MUST(coro_self() == NULL);
    many->results[load - many->loads] = result;
    many->done++;
    if (many->done == LOADS) {
        co_ready(many->waiter);
    }
}

static void start_many(struct keyspace *keyspace, struct many *many, const struct key *key)
{
    *many = (struct many){.waiter = coro_self()};
    the_many = many;
    for (uint32_t i = 0; i < LOADS; i++) {
        many->loads[i] = (struct key_load){.done = one_done, .keyspace = keyspace, .key = *key};
        keyspace_load(keyspace, &many->loads[i]);
        MUST_BE(many->done, 0);
    }
}

static co_fn void finish_many(struct keyspace *keyspace, struct many *many, const struct key *key,
                              int expected)
{
    co_park();
    for (uint32_t i = 0; i < LOADS; i++) {
        MUST_BE(many->results[i], expected);
        if (expected == 0) {
            keyspace_unpin(keyspace, key);
        }
    }
}

static uint64_t page_reads(const struct keyspace *keyspace)
{
    struct store_stats stats;
    store_stats(keyspace->store, &stats);
    return stats.page_reads;
}

static void share(struct keyspace *keyspace, void *argument)
{
    struct many *many = malloc(sizeof(*many));
    struct record *record;
    (void)argument;
    struct key key = rig_key(keyspace, "{t}a");
    uint64_t before = page_reads(keyspace);
    MUST_BE(keyspace_find(keyspace, &key, true, &record), ERR_AGAIN);
    start_many(keyspace, many, &key);
    MUST(!keyspace_pin(keyspace, &key));
    MUST_BE(keyspace_find(keyspace, &key, true, &record), ERR_AGAIN);
    finish_many(keyspace, many, &key, 0);
    MUST_BE(page_reads(keyspace) - before, 1);
    rig_holds(keyspace, "{t}a", "stale");
    struct keyspace_stats stats;
    keyspace_stats(keyspace, &stats);
    MUST_BE(stats.loads, 1);
    rig_verify(keyspace);
    free(many);
}

Test(load, of_one_key_by_many_shares_one_read)
{
    rig_test_restarted(put_a, RIG_CLEAN, share);
}

/* ---- a write while it is under way ---- */

enum what { PUT, REMOVE_BLIND, PUT_AND_CHECKPOINT, PUT_AND_EVICT };

static void write_meanwhile(struct keyspace *keyspace, enum what what, const char *expected)
{
    struct many *many = malloc(sizeof(*many));
    struct key key = rig_key(keyspace, "{t}a");
    start_many(keyspace, many, &key);
    MUST_BE(keyspace->fetchers, 1);
    if (what == REMOVE_BLIND) {
        MUST_BE(keyspace_erase(keyspace, &key), 0);
    } else {
        rig_put(keyspace, "{t}a", "new");
    }
    /* Everybody has the key now, without waiting for the read. */
    finish_many(keyspace, many, &key, 0);
    rig_holds(keyspace, "{t}a", expected);
    if (what != PUT) {
        rig_checkpoint(keyspace);
    }
    if (what == PUT_AND_EVICT) {
        rig_evict_all(keyspace);
    }
    while (keyspace->fetchers > 0) {
        co_yield();
    }
    rig_holds(keyspace, "{t}a", expected);
    MUST_BE(rig_count(keyspace), expected != NULL);
    rig_checkpoint(keyspace);
    rig_evict_all(keyspace);
    rig_holds(keyspace, "{t}a", expected);
    rig_verify(keyspace);
    free(many);
}

static void overtaken_by_put(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    write_meanwhile(keyspace, PUT, "new");
}

static void overtaken_by_commit(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    write_meanwhile(keyspace, PUT_AND_CHECKPOINT, "new");
}

static void overtaken_by_eviction(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    write_meanwhile(keyspace, PUT_AND_EVICT, "new");
}

static void overtaken_by_removal(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    write_meanwhile(keyspace, REMOVE_BLIND, NULL);
}

Test(load, never_fills_in_what_a_write_has_overtaken)
{
    rig_test_restarted(put_a, RIG_CLEAN, overtaken_by_put);
    rig_test_restarted(put_a, RIG_CLEAN, overtaken_by_commit);
    rig_test_restarted(put_a, RIG_CLEAN, overtaken_by_eviction);
    rig_test_restarted(put_a, RIG_CLEAN, overtaken_by_removal);
}

/* ---- absent keys ---- */

static void absent(struct keyspace *keyspace, void *argument)
{
    struct record *record;
    (void)argument;
    struct key key = rig_key(keyspace, "{t}b");
    MUST_BE(keyspace_find(keyspace, &key, true, &record), ERR_AGAIN);
    MUST_BE(rig_load(keyspace, &key), 0);
    MUST_BE(rig_load(keyspace, &key), 0);
    MUST(keyspace_pin(keyspace, &key));
    MUST_BE(keyspace_find(keyspace, &key, true, &record), 0);
    MUST_BE(keyspace_remove(keyspace, &key), 0);
    rig_evict_all(keyspace);
    MUST_BE(keyspace_find(keyspace, &key, true, &record), 0);
    keyspace_unpin(keyspace, &key);
    keyspace_unpin(keyspace, &key);
    MUST_BE(keyspace_find(keyspace, &key, true, &record), 0);
    keyspace_unpin(keyspace, &key);
    MUST_BE(keyspace_find(keyspace, &key, true, &record), ERR_AGAIN);
    rig_verify(keyspace);
}

Test(load, of_an_absent_key_leaves_a_marker_as_long_as_it_is_pinned)
{
    rig_test_restarted(put_a, RIG_CLEAN, absent);
}

static void pin_limit(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "a", "1");
    struct key key = rig_key(keyspace, "a");
    for (uint32_t i = 0; i < RECORD_PINS_MAX; i++) {
        MUST(keyspace_pin(keyspace, &key));
    }
    MUST(!keyspace_pin(keyspace, &key));
    MUST_BE(rig_load(keyspace, &key), ERR_LIMIT);
    keyspace_unpin(keyspace, &key);
    MUST_BE(rig_load(keyspace, &key), 0);
    MUST(!keyspace_pin(keyspace, &key));
    for (uint32_t i = 0; i < RECORD_PINS_MAX; i++) {
        keyspace_unpin(keyspace, &key);
    }
    rig_holds(keyspace, "a", "1");
}

Test(load, pins_as_often_as_the_limit_says_and_not_once_more)
{
    rig_test(pin_limit);
}

/* ---- failures ---- */

static uint64_t allocations_until_failure;

static void no_memory(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    struct key key = rig_key(keyspace, "{t}a");
    mem_fail_after(allocations_until_failure, false);
    int err = rig_load(keyspace, &key);
    mem_fail_after(0, false);
    if (err == 0) {
        allocations_until_failure = 0;
        keyspace_unpin(keyspace, &key);
    } else {
        MUST_BE(err, ERR_MEMORY);
    }
    rig_verify(keyspace);
    rig_holds(keyspace, "{t}a", "stale");
}

Test(load, that_fails_fills_in_nothing)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_run(&rig, 0, put_a, NULL);
    rig_close(&rig, RIG_CLEAN);
    /* The tick tries again when there was no coroutine. */
    rig.background = true;
    uint64_t n = 1;
    do {
        allocations_until_failure = n++;
        rig_open(&rig);
        rig_run(&rig, 0, no_memory, NULL);
        rig_close(&rig, RIG_CRASH);
    } while (allocations_until_failure != 0);
    rig_deinit(&rig);
    cr_assert(n > 4);
}

/* ---- more keys than fetchers ---- */

enum { KEYS = 1000 };

struct crowd {
    struct key_load load;
    char name[16];
    struct crowd *first;
    uint32_t done;
    struct coro *waiter;
};

static void crowd_done(struct key_load *load, int result)
{
    struct crowd *one = container_of(load, struct crowd, load);
    MUST_BE(result, 0);
    one->first->done++;
    if (one->first->done == KEYS) {
        co_ready(one->first->waiter);
    }
}

static void put_crowd(struct keyspace *keyspace, void *argument)
{
    char name[16];
    (void)argument;
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(name, sizeof(name), "key %u", i);
        rig_put(keyspace, name, name);
    }
}

static void crowded(struct keyspace *keyspace, void *argument)
{
    struct crowd *crowd = calloc(KEYS, sizeof(*crowd));
    (void)argument;
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(crowd[i].name, sizeof(crowd[i].name), "key %u", i);
    }
    crowd[0].waiter = coro_self();
    for (uint32_t i = 0; i < KEYS; i++) {
        crowd[i].first = crowd;
        crowd[i].load = (struct key_load){
            .done = crowd_done, .keyspace = keyspace, .key = rig_key(keyspace, crowd[i].name)};
        keyspace_load(keyspace, &crowd[i].load);
    }
    co_park();
    for (uint32_t i = 0; i < KEYS; i++) {
        rig_holds(keyspace, crowd[i].name, crowd[i].name);
        keyspace_unpin(keyspace, &crowd[i].load.key);
    }
    rig_verify(keyspace);
    free(crowd);
}

Test(load, of_more_keys_than_can_be_read_at_once_ends_with_all)
{
    rig_test_restarted(put_crowd, RIG_CLEAN, crowded);
}
