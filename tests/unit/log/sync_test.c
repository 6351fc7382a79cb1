/*
 * Who syncs, what a sync covers, who is woken, and what a failure does.
 */
#include "logs.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "log/log_impl.h"
#include "log/stream.h"
#include "shard/sync.h"

static int do_nothing(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
    return 0;
}

static uint64_t syncs_of(const struct world *world)
{
    struct log_stats stats;
    log_stats(world->log, &stats);
    return stats.syncs;
}

/* ---- waiting ---- */

Test(sync, waiting_makes_durable_up_to_a_block_border)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t before = log_durable(world.log).value;
    uint64_t end = world_append(&world, 0, 1, 100);
    cr_assert_eq(log_durable(world.log).value, before);
    cr_assert_eq(world_sync(&world, 0), 0);
    uint64_t durable = log_durable(world.log).value;
    cr_assert_geq(durable, end);
    cr_assert(is_aligned(durable, FRAME_BLOCK_BYTES));
    cr_assert_eq(durable, log_reserved(world.log).value);
    cr_assert_eq(syncs_of(&world), 1);
    cr_assert_eq(world_sync(&world, 0), 0); /* nothing new: no further sync */
    cr_assert_eq(syncs_of(&world), 1);
    world_stop(&world, false);
    world_deinit(&world);
}

/* More segments than are synced at once. */
Test(sync, many_segments_are_synced_before_any_of_it_is_durable)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t end = world_append(&world, 0, 1, (LOG_SYNC_OPS_MAX * 2 + 3) << 20);
    cr_assert_eq(world_sync(&world, 0), 0);
    cr_assert_geq(log_durable(world.log).value, end);
    cr_assert(log_housekeep(world.log)); /* closes what is durable */
    world_stop(&world, false);
    world_deinit(&world);
}

/* ---- gates ---- */

static void check_gate(enum log_sync_mode mode, bool open_after_flush)
{
    struct world world;
    world_init(&world, 1);
    world.options.sync_mode = mode;
    world_start(&world);
    cr_assert_eq(log_sync_mode(world.log), mode);
    struct lsn end = {world_append(&world, 0, 1, 100)};
    cr_assert_eq(log_gate_open(world.log, end), open_after_flush);
    cr_assert(!log_gate_open(world.log, (struct lsn){log_reserved(world.log).value + 1}));
    cr_assert_eq(world_sync(&world, 0), 0);
    cr_assert(log_gate_open(world.log, end));
    log_set_sync_mode(world.log, LOG_SYNC_ALWAYS);
    end.value = world_append(&world, 0, 2, 100);
    cr_assert(!log_gate_open(world.log, end));
    log_set_enabled(world.log, false);
    cr_assert(log_gate_open(world.log, end));
    world_stop(&world, false);
    world_deinit(&world);
}

Test(sync, replies_wait_for_the_sync_in_mode_always_and_for_the_write_in_the_others)
{
    check_gate(LOG_SYNC_ALWAYS, false);
    check_gate(LOG_SYNC_EVERYSEC, true);
    check_gate(LOG_SYNC_NO, true);
}

/* What net does: asks once, then relies on being given a pass. */
struct reply {
    struct world *world;
    struct lsn end;
    struct coro *waiter;
    bool sent;
};

static bool reply_hook(struct shard *shard, void *argument)
{
    (void)shard;
    struct reply *reply = argument;
    if (!reply->sent && log_gate_open(reply->world->log, reply->end)) {
        reply->sent = true;
        co_ready(reply->waiter);
    }
    return false;
}

static int append_and_await_reply(struct shard *shard, void *argument)
{
    struct world *world = argument;
    struct log_writer *writer = world->writers[shard_id(shard)];
    for (uint32_t i = 0; i < 30; i++) {
        struct slice body = slice_cstr("something");
        log_append(writer, 1, &body, 1);
        log_flush(writer);
        struct reply reply = {.world = world, .end = log_writer_end(writer), .waiter = coro_self()};
        cr_assert_eq(shard_add_hook(shard, SHARD_HOOK_REPLY, reply_hook, &reply), 0);
        log_want_durable(writer, reply.end);
        co_park();
        shard_remove_hook(shard, SHARD_HOOK_REPLY, reply_hook, &reply);
    }
    return 0;
}

static int await_replies_everywhere(struct shard *shard, void *argument)
{
    return shard_call_all(shard, append_and_await_reply, argument, 0);
}

Test(sync, a_shard_that_wants_durable_gets_a_pass_when_it_is)
{
    struct world world;
    world_init(&world, 3);
    world.options.sync_mode = LOG_SYNC_ALWAYS;
    world_start(&world);
    cr_assert_eq(world_run(&world, 0, await_replies_everywhere, &world), 0);
    world_stop(&world, false);
    world_deinit(&world);
}

/* ---- group commit ---- */

enum { GROUP_SHARDS = 4, GROUP_WAITERS = 32 };

struct group {
    struct world *world;
    _Atomic uint32_t asked;
    _Atomic uint32_t failed;
    struct co_group running[GROUP_SHARDS];
};

static struct group group;

static void append_and_wait(void *argument)
{
    struct world *world = group.world;
    uint32_t id = shard_id(shard_self());
    struct log_writer *writer = world->writers[id];
    struct slice body = slice_cstr("one of many");
    log_append(writer, 1, &body, 1);
    log_flush(writer);
    struct lsn end = log_writer_end(writer);
    log_want_durable(writer, end);
    atomic_fetch_add(&group.asked, 1);
    if (log_wait_durable(writer, end) != 0) {
        atomic_fetch_add(&group.failed, 1);
    } else {
        cr_assert_geq(log_durable(world->log).value, end.value);
    }
    co_group_done(argument);
}

static int run_waiters(struct shard *shard, void *argument)
{
    (void)argument;
    struct co_group *running = &group.running[shard_id(shard)];
    co_group_init(running);
    for (uint32_t i = 0; i < GROUP_WAITERS; i++) {
        co_group_add(running, 1);
        cr_assert_eq(
            coro_start(shard_sched(shard), "waiter", CORO_NORMAL, append_and_wait, running), 0);
    }
    co_group_wait(running);
    return 0;
}

static int run_waiters_everywhere(struct shard *shard, void *argument)
{
    return shard_call_all(shard, run_waiters, argument, 0);
}

static void group_init(struct world *world)
{
    group.world = world;
    atomic_store(&group.asked, 0);
    atomic_store(&group.failed, 0);
}

Test(sync, those_who_wait_while_a_sync_runs_share_the_next)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    group_init(&world);
    cr_assert_eq(world_run(&world, 0, run_waiters, NULL), 0);
    cr_assert_eq(syncs_of(&world), 2);
    world_stop(&world, false);
    world_deinit(&world);
}

static void *run_group(void *argument)
{
    struct world *world = argument;
    cr_assert_eq(world_run(world, 0, run_waiters_everywhere, NULL), 0);
    return NULL;
}

static void wait_until_asked(uint32_t count)
{
    while (atomic_load(&group.asked) < count) {
        sched_yield();
    }
}

/* A write that does not end holds the first sync back; all who come meanwhile are covered by the
 * second. */
Test(sync, a_sync_waits_for_writes_below_it_and_shards_share_the_next)
{
    struct world world;
    world_init(&world, GROUP_SHARDS);
    world_start(&world);
    group_init(&world);
    uint64_t before = log_durable(world.log).value;
    struct log_member *slow = log_member_outside(world.log);
    atomic_store(&slow->in_flight, log_reserved(world.log).value);

    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run_group, &world), 0);
    wait_until_asked(GROUP_SHARDS * GROUP_WAITERS);
    cr_assert_eq(log_durable(world.log).value, before);
    cr_assert_eq(syncs_of(&world), 0);
    stream_release(slow);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(syncs_of(&world), 2);
    cr_assert_eq(atomic_load(&group.failed), 0);
    world_stop(&world, false);
    world_deinit(&world);
}

Test(sync, many_rounds_from_many_shards_all_end)
{
    struct world world;
    world_init(&world, GROUP_SHARDS);
    world_start(&world);
    group_init(&world);
    for (uint32_t round = 0; round < 20; round++) {
        cr_assert_eq(world_run(&world, 0, run_waiters_everywhere, NULL), 0);
    }
    cr_assert_eq(atomic_load(&group.failed), 0);
    cr_assert_leq(syncs_of(&world), 20 * GROUP_SHARDS * GROUP_WAITERS);
    world_stop(&world, false);
    world_deinit(&world);
}

static int want_and_leave(struct shard *shard, void *argument)
{
    struct world *world = argument;
    struct log_writer *writer = world->writers[shard_id(shard)];
    struct slice body = slice_cstr("last words");
    log_append(writer, 1, &body, 1);
    log_flush(writer);
    log_want_durable(writer, log_writer_end(writer));
    return 0;
}

Test(sync, a_writer_may_end_while_its_sync_runs)
{
    for (uint32_t i = 0; i < 10; i++) {
        struct world world;
        world_init(&world, 2);
        world_start(&world);
        cr_assert_eq(world_run(&world, 0, want_and_leave, &world), 0);
        cr_assert_eq(world_run(&world, 1, want_and_leave, &world), 0);
        world_stop(&world, false);
        world_deinit(&world);
    }
}

/* ---- when nobody asks ---- */

static _Atomic int64_t fake_mono_ns;

static int64_t fake_mono(void *arg)
{
    (void)arg;
    return atomic_load(&fake_mono_ns);
}

static int64_t fake_real(void *arg)
{
    (void)arg;
    return 1700000000000000;
}

static const struct clock_source fake_clock = {.mono_ns = fake_mono, .real_us = fake_real};

static void advance_ms(struct world *world, int64_t ms)
{
    atomic_fetch_add(&fake_mono_ns, ms * 1000000);
    for (int pass = 0; pass < 3; pass++) {
        cr_assert_eq(world_run(world, 0, do_nothing, NULL), 0);
    }
}

Test(sync, everysec_syncs_a_second_after_the_first_record)
{
    atomic_store(&fake_mono_ns, 1000000000);
    clock_set_source(&fake_clock);
    struct world world;
    world_init(&world, 1);
    world.options.sync_mode = LOG_SYNC_EVERYSEC;
    world_start(&world);
    advance_ms(&world, 5000);
    uint64_t end = world_append(&world, 0, 1, 100);
    advance_ms(&world, 999);
    (void)world_append(&world, 0, 2, 100);
    cr_assert_lt(log_durable(world.log).value, end);
    advance_ms(&world, 2);
    while (log_durable(world.log).value < end) {
        cr_assert_eq(world_run(&world, 0, do_nothing, NULL), 0);
    }
    cr_assert_eq(syncs_of(&world), 1);
    advance_ms(&world, 5000); /* idle: no more syncs */
    cr_assert_eq(syncs_of(&world), 1);
    world_stop(&world, false);
    clock_set_source(NULL);
    world_deinit(&world);
}

Test(sync, mode_no_leaves_syncs_to_the_kernel)
{
    atomic_store(&fake_mono_ns, 1000000000);
    clock_set_source(&fake_clock);
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    (void)world_append(&world, 0, 1, 100);
    advance_ms(&world, 100000);
    cr_assert_eq(syncs_of(&world), 0);
    cr_assert_eq(world_sync(&world, 0), 0); /* but who asks is served */
    cr_assert_eq(syncs_of(&world), 1);
    world_stop(&world, false);
    clock_set_source(NULL);
    world_deinit(&world);
}

Test(sync, what_is_not_synced_is_bounded_in_every_mode)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    (void)world_append(&world, 0, 1, LOG_UNSYNCED_BYTES_MIN - (1 << 20));
    cr_assert_eq(world_run(&world, 0, do_nothing, NULL), 0);
    cr_assert(!sync_is_led_by(world.writers[0]));
    cr_assert_eq(syncs_of(&world), 0);
    uint64_t end = world_append(&world, 0, 2, 2 << 20);
    while (log_durable(world.log).value < end) {
        cr_assert_eq(world_run(&world, 0, do_nothing, NULL), 0);
    }
    world_stop(&world, false);
    world_deinit(&world);
}

/* ---- failures ---- */

/* Puts something else behind the descriptor of the current segment. */
static void replace_segment(struct world *world, int other)
{
    cr_assert_geq(other, 0);
    uint64_t number = log_reserved(world->log).value / WORLD_SEGMENT_BYTES;
    int fd = segments_fd(&world->log->segments, number);
    cr_assert_geq(fd, 0);
    cr_assert_eq(dup2(other, fd), fd);
    close(other);
}

/* A descriptor that takes no sync. */
static int unsyncable(void)
{
    int pipe_ends[2];
    cr_assert_eq(pipe(pipe_ends), 0);
    close(pipe_ends[0]);
    return pipe_ends[1];
}

static void check_failed(struct world *world, uint64_t durable, uint64_t written)
{
    cr_assert_eq(atomic_load(&world->failures), 1);
    cr_assert_lt(atomic_load(&world->failure), 0);
    cr_assert_eq(log_error(world->log), atomic_load(&world->failure));
    cr_assert(!log_admits(world->log, 1));
    cr_assert_eq(world_sync(world, 0), ERR_CLOSED);
    (void)world_append(world, 0, 9, 100);
    cr_assert_eq(world_sync(world, 0), ERR_CLOSED);
    cr_assert_eq(log_durable(world->log).value, durable);
    cr_assert_eq(log_written(world->log).value, written);
    cr_assert(!log_housekeep(world->log));
    cr_assert_eq(atomic_load(&world->failures), 1);
}

Test(sync, a_failed_sync_is_final)
{
    lines_catch();
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    (void)world_append(&world, 0, 1, 100);
    cr_assert_eq(world_sync(&world, 0), 0);
    uint64_t durable = log_durable(world.log).value;
    uint64_t end = world_append(&world, 0, 2, 100);
    uint64_t written = log_written(world.log).value;
    cr_assert_eq(written, end);
    replace_segment(&world, unsyncable());
    uint64_t aligned = align_up(end, FRAME_BLOCK_BYTES);
    /* The padding must not fail before the sync does. */
    atomic_store(&world.log->reserved, aligned);
    cr_assert_eq(world_sync(&world, 0), ERR_CLOSED);
    cr_assert(lines_have("a sync failed"));
    check_failed(&world, durable, aligned);
    world_stop(&world, true);
    world_deinit(&world);
}

Test(sync, a_failed_write_is_final_and_opens_no_gate)
{
    lines_catch();
    struct world world;
    world_init(&world, 2);
    world_start(&world);
    uint64_t end = world_append(&world, 0, 1, 100);
    uint64_t durable = log_durable(world.log).value;
    cr_assert_eq(log_written(world.log).value, end);
    replace_segment(&world, open("/dev/null", O_RDONLY | O_CLOEXEC));
    uint64_t failed_end = world_append(&world, 0, 2, 100);
    cr_assert(lines_have("a write failed"));
    cr_assert(!log_gate_open(world.log, (struct lsn){failed_end}));
    cr_assert(log_gate_open(world.log, (struct lsn){end}));
    uint64_t other_end =
        world_append(&world, 1, 3, 100); /* of a shard that has not failed itself */
    cr_assert(!log_gate_open(world.log, (struct lsn){other_end}));
    check_failed(&world, durable, end);
    world_stop(&world, true);

    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 1);
    records_deinit(&seen);
    world_deinit(&world);
}

Test(sync, a_failure_wakes_all_who_wait)
{
    lines_catch();
    struct world world;
    world_init(&world, GROUP_SHARDS);
    world_start(&world);
    group_init(&world);
    struct log_member *slow = log_member_outside(world.log);
    atomic_store(&slow->in_flight, log_reserved(world.log).value);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run_group, &world), 0);
    wait_until_asked(GROUP_SHARDS * GROUP_WAITERS);
    replace_segment(&world, unsyncable());
    stream_release(slow);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(atomic_load(&group.failed), GROUP_SHARDS * GROUP_WAITERS);
    cr_assert_eq(atomic_load(&world.failures), 1);
    world_stop(&world, false);
    world_deinit(&world);
}
