#include <string.h>

#include "base/clock.h"
#include "data/scan.h"
#include "rig.h"
#include "shard/await.h"

/* ---- a clock that the test sets ---- */

static atomic_llong real_ms = INT64_C(1000000000000);
static atomic_llong mono_ms;

static int64_t test_mono_ns(void *argument)
{
    (void)argument;
    /* A little time passes at each look, so that timers fire. */
    return atomic_fetch_add(&mono_ms, 1) * 100000;
}

static int64_t test_real_us(void *argument)
{
    (void)argument;
    return atomic_load(&real_ms) * 1000;
}

static void set_clock(void)
{
    static const struct clock_source source = {.mono_ns = test_mono_ns, .real_us = test_real_us};
    clock_set_source(&source);
}

/* Lets the shard begin a new pass, which reads the clock. */
static co_fn void advance(int64_t ms)
{
    atomic_fetch_add(&real_ms, ms);
    co_yield();
    co_yield();
}

static int64_t now(void)
{
    return atomic_load(&real_ms);
}

static bool resident(struct keyspace *keyspace, const char *name)
{
    struct key key = rig_key(keyspace, name);
    struct table_place place;
    return shelf_find(keyspace->by_partition[key.partition], &key, &place) != NULL;
}

static bool count_one(void *context, struct slice key, const struct record *record, uint8_t type)
{
    (void)key;
    (void)record;
    (void)type;
    ++*(uint32_t *)context;
    return true;
}

static co_fn uint32_t scanned(struct keyspace *keyspace)
{
    uint32_t count = 0;
    struct scan_position *position = calloc(1, sizeof(*position));
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        memset(position, 0, sizeof(*position));
        struct scan_range range = {
            .partition = keyspace->shelves[i].number,
            .examine_max = UINT32_MAX,
        };
        MUST_BE(scan_partition(keyspace, &range, position, count_one, &count), 0);
    }
    free(position);
    return count;
}

static void never_returned(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    int64_t at = now() + 1000;
    for (uint32_t state = 0; state < 3; state++) {
        /* Dirty, clean, and only in the tree. */
        rig_put_expiring(keyspace, "a", "value", at);
        rig_put(keyspace, "b", "stays");
        if (state >= 1) {
            rig_checkpoint(keyspace);
        }
        if (state == 2) {
            rig_evict_all(keyspace);
        }
        advance(at - 1 - now());
        rig_holds(keyspace, "a", "value");
        MUST_BE(scanned(keyspace), 2);
        if (state == 2) {
            rig_evict_all(keyspace);
        }
        advance(1);
        MUST_BE(scanned(keyspace), 1);
        struct keyspace_stats before;
        struct keyspace_stats after;
        keyspace_stats(keyspace, &before);
        rig_holds(keyspace, "a", NULL);
        keyspace_stats(keyspace, &after);
        MUST_BE(after.expired, before.expired + 1);
        rig_holds(keyspace, "a", NULL);
        MUST_BE(rig_count(keyspace), 1);
        MUST(!rig_remove(keyspace, "a"));
        struct key key = rig_key(keyspace, "a");
        MUST_BE(rig_load(keyspace, &key), 0);
        MUST_BE(keyspace_set_expire(keyspace, &key, 0), ERR_NOT_FOUND);
        MUST_BE(keyspace_write_range(keyspace, &key, 0, slice_cstr("x")), ERR_NOT_FOUND);
        keyspace_unpin(keyspace, &key);
        rig_verify(keyspace);
        at += 5000;
    }
}

Test(expire, an_expired_key_is_never_returned)
{
    set_clock();
    rig_test(never_returned);
}

static void clock_back(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    int64_t at = now() + 1000;
    rig_put_expiring(keyspace, "a", "value", at);
    rig_put_expiring(keyspace, "b", "value", at);
    advance(1000);
    rig_holds(keyspace, "a", NULL);
    advance(-5000);
    rig_holds(keyspace, "b", NULL);
    MUST_BE(keyspace_clock_high_ms(keyspace), at);
    keyspace_set_clock_high_ms(keyspace, at - 10);
    MUST_BE(keyspace_clock_high_ms(keyspace), at);
    rig_put_expiring(keyspace, "c", "value", at + 100);
    rig_holds(keyspace, "c", "value");
    keyspace_set_clock_high_ms(keyspace, at + 100);
    rig_holds(keyspace, "c", NULL);
}

Test(expire, a_clock_that_jumps_back_brings_nothing_back)
{
    set_clock();
    rig_test(clock_back);
}

static void time_without_expiry(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    struct record *record;
    struct key key = rig_key(keyspace, "a");
    rig_put(keyspace, "a", "value");
    for (uint32_t i = 0; i < 2; i++) {
        advance(5000);
        int64_t at = now();
        keyspace_expire_tick(keyspace);
        MUST_BE(keyspace_clock_high_ms(keyspace), at);
        MUST_BE(keyspace_find(keyspace, &key, true, &record), 1);
        MUST_BE(record_access_s(record), at / 1000);
        advance(-1000);
        keyspace_expire_tick(keyspace);
        MUST_BE(keyspace_clock_high_ms(keyspace), at);
        /* With the sweep off it is the same. */
        keyspace_set_active_expire(keyspace, false);
    }
}

Test(expire, time_goes_on_where_no_key_expires)
{
    set_clock();
    rig_test(time_without_expiry);
}

static void in_the_past(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "a", "value");
    rig_put_expiring(keyspace, "a", "other", now());
    rig_holds(keyspace, "a", NULL);
    rig_put_expiring(keyspace, "a", "other", now() + 1);
    rig_holds(keyspace, "a", "other");
    rig_put(keyspace, "b", "value");
    struct key key = rig_key(keyspace, "b");
    MUST_BE(keyspace_set_expire(keyspace, &key, now() + 1), 0);
    rig_holds(keyspace, "b", "value");
    MUST_BE(keyspace_set_expire(keyspace, &key, now()), 0);
    rig_holds(keyspace, "b", NULL);
    /* Of a key that is only in the tree. */
    rig_put(keyspace, "c", "value");
    rig_checkpoint(keyspace);
    rig_evict_all(keyspace);
    rig_put_expiring(keyspace, "c", "other", 1);
    rig_holds(keyspace, "c", NULL);
    MUST_BE(rig_count(keyspace), 1);
    rig_verify(keyspace);
}

static void still_in_the_past(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_holds(keyspace, "a", "other");
    rig_holds(keyspace, "b", NULL);
    rig_holds(keyspace, "c", NULL);
    MUST_BE(rig_count(keyspace), 1);
}

Test(expire, an_expiry_in_the_past_removes_the_key)
{
    set_clock();
    rig_test_restarted(in_the_past, RIG_CRASH, still_in_the_past);
}

static void set_and_clear(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    char large[5000];
    memset(large, 'l', sizeof(large) - 1);
    large[sizeof(large) - 1] = 0;
    static const char *const names[] = {"small", "large"};
    const char *const values[] = {"s", large};
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t state = 0; state < 3; state++) {
            struct record *record;
            struct key key = rig_key(keyspace, names[i]);
            rig_put(keyspace, names[i], values[i]);
            if (state > 0) {
                rig_checkpoint(keyspace);
            }
            if (state > 1) {
                rig_evict_all(keyspace);
            }
            MUST_BE(rig_load(keyspace, &key), 0);
            static const int64_t times[] = {5000, 6000, 0, 0, 7000};
            for (uint32_t t = 0; t < 5; t++) {
                int64_t at = times[t] == 0 ? 0 : now() + times[t];
                MUST_BE(keyspace_set_expire(keyspace, &key, at), 0);
                MUST_BE(keyspace_find(keyspace, &key, true, &record), 1);
                MUST_BE(record_expire_ms(record), at);
                MUST(slice_equal(record_value(record), slice_cstr(values[i])));
            }
            keyspace_unpin(keyspace, &key);
            rig_verify(keyspace);
        }
    }
    uint64_t expires;
    MUST_BE(keyspace_count_quick(keyspace, 0, &expires), 2);
    /* Of the records in memory: the other one was dropped. */
    MUST_BE(expires, 1);
}

Test(expire, can_be_set_changed_and_taken_away)
{
    set_clock();
    rig_test(set_and_clear);
}

/* ---- the sweep ---- */

static void swept(struct keyspace *keyspace, void *argument)
{
    char name[32];
    (void)argument;
    for (uint32_t i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "key %u", i);
        rig_put_expiring(keyspace, name, "value", i % 2 == 0 ? now() + 1000 : 0);
    }
    rig_put_expiring(keyspace, "later", "value", now() + 100000000);
    keyspace_set_active_expire(keyspace, false);
    advance(2000);
    for (uint32_t i = 0; i < 100; i++) {
        keyspace_expire_tick(keyspace);
        co_yield();
    }
    struct keyspace_stats stats;
    keyspace_stats(keyspace, &stats);
    MUST_BE(stats.expired, 0);
    keyspace_set_active_expire(keyspace, true);
    /* Two rounds of ten ticks meet everything. */
    for (uint32_t i = 0; i < 20; i++) {
        keyspace_expire_tick(keyspace);
        while (keyspace->expiring) {
            co_yield();
        }
    }
    for (uint32_t i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "key %u", i);
        MUST_BE(resident(keyspace, name), i % 2 == 1);
    }
    MUST(resident(keyspace, "later"));
    keyspace_stats(keyspace, &stats);
    MUST_BE(stats.expired, 1000);
    uint64_t expires;
    MUST_BE(keyspace_count_quick(keyspace, 0, &expires), 1001);
    MUST_BE(expires, 1);
    keyspace_stop_background(keyspace);
    rig_verify(keyspace);
}

Test(expire, a_sweep_removes_what_nobody_asks_for)
{
    struct rig rig;
    set_clock();
    rig_init(&rig, 1);
    rig.background = true;
    rig_open(&rig);
    rig_run(&rig, 0, swept, NULL);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}

/* ---- through a crash ---- */

static void expire_and_prolong(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    char *large = malloc(100001);
    memset(large, 'l', 100000);
    large[100000] = 0;
    rig_put_expiring(keyspace, "gone", "value", now() + 1000);
    rig_put_expiring(keyspace, "prolonged", "value", now() + 1000);
    rig_put_expiring(keyspace, "large prolonged", large, now() + 1000);
    struct key key = rig_key(keyspace, "prolonged");
    MUST_BE(keyspace_set_expire(keyspace, &key, now() + 1000000), 0);
    key = rig_key(keyspace, "large prolonged");
    MUST_BE(keyspace_set_expire(keyspace, &key, now() + 1000000), 0);
    rig_put_expiring(keyspace, "replaced", "old", now() + 1000);
    advance(2000);
    /* Met, removed and logged; or not. */
    rig_holds(keyspace, "gone", NULL);
    rig_put(keyspace, "replaced", "new");
    free(large);
}

static void after_expire(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    struct record *record;
    rig_holds(keyspace, "gone", NULL);
    rig_holds(keyspace, "prolonged", "value");
    rig_holds(keyspace, "replaced", "new");
    struct key key = rig_key(keyspace, "large prolonged");
    MUST_BE(rig_find(keyspace, &key, &record), 1);
    MUST_BE(record_value(record).bytes, 100000);
    MUST_BE(rig_count(keyspace), 3);
    rig_verify(keyspace);
}

Test(expire, comes_out_right_after_a_crash_when_times_have_passed)
{
    set_clock();
    rig_test_restarted(expire_and_prolong, RIG_CRASH, after_expire);
}
