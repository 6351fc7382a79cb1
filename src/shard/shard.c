#include "shard/shard.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/logger.h"
#include "base/thread.h"
#include "shard/shard_impl.h"

struct shard_options shard_options_default(void)
{
    return (struct shard_options){
        .io = io_options_default(),
        .coros_max = 1024,
        .mailbox_slots = 1024,
        .low_budget_us = 200,
        .pin_threads = false,
    };
}

/* At the start of a pass, and after waiting: commands run in the callbacks of io_poll, and those
 * that come after a long sleep must not run with the time before it. */
static void read_clocks(void *context)
{
    struct shard *shard = context;
    shard->mono_ns = clock_mono_ns();
    shard->real_ms = clock_real_ms();
}

/* ---- life ---- */

int shard_open(struct shard *shard)
{
    const struct shard_options *options = &shard->set->options;
    heap_init(&shard->timers, SHARD_TIMERS_MAX);
    read_clocks(shard);
    TRY(heap_reserve(&shard->timers, options->coros_max + SHARD_TIMERS_OWN));
    int err = sched_create(options->coros_max, &shard->sched);
    if (err == 0) {
        err = io_create(&options->io, &shard->io);
        if (err < 0) {
            sched_destroy(shard->sched);
            shard->sched = NULL;
        }
    }
    if (err < 0) {
        heap_deinit(&shard->timers);
        return err;
    }
    sched_enter(shard->sched);
    return 0;
}

void shard_close(struct shard *shard)
{
    sched_destroy(shard->sched);
    shard->sched = NULL;
    io_destroy(shard->io);
    shard->io = NULL;
    heap_deinit(&shard->timers);
}

/* ---- who is who ---- */

uint32_t shard_id(const struct shard *shard)
{
    return shard->id;
}

uint32_t shard_count(const struct shard *shard)
{
    return shard->set->count;
}

struct shard *shard_peer(struct shard *shard, uint32_t id)
{
    return shard_set_get(shard->set, id);
}

struct io *shard_io(struct shard *shard)
{
    return shard->io;
}

struct sched *shard_sched(struct shard *shard)
{
    return shard->sched;
}

int64_t shard_now_ms(const struct shard *shard)
{
    return shard->real_ms;
}

int64_t shard_mono_ns(const struct shard *shard)
{
    return shard->mono_ns;
}

void shard_set_slot(struct shard *shard, enum shard_slot slot, void *pointer)
{
    ASSERT(slot < SHARD_SLOT_COUNT);
    shard->slots[slot] = pointer;
}

void *shard_slot(const struct shard *shard, enum shard_slot slot)
{
    ASSERT(slot < SHARD_SLOT_COUNT);
    return shard->slots[slot];
}

void shard_set_busy_hint(struct shard *shard, uint32_t active_connections)
{
    shard->active_connections = active_connections;
}

void shard_set_sync_in_flight(struct shard *shard, bool in_flight)
{
    shard->sync_in_flight = in_flight;
}

void shard_stats(const struct shard *shard, struct shard_stats *ret_stats)
{
    *ret_stats = shard->stats;
}

/* ---- hooks ---- */

int shard_add_hook(struct shard *shard, enum shard_hook_point point, shard_hook_fn *hook,
                   void *argument)
{
    ASSERT(point < SHARD_HOOK_COUNT);
    ASSERT(hook != NULL);
    if (shard->hook_count[point] == SHARD_HOOKS_MAX) {
        return ERR_LIMIT;
    }
    shard->hooks[point][shard->hook_count[point]++] =
        (struct shard_hook){.hook = hook, .argument = argument};
    return 0;
}

static void hooks_drop_removed(struct shard *shard, enum shard_hook_point point)
{
    struct shard_hook *hooks = shard->hooks[point];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < shard->hook_count[point]; i++) {
        if (hooks[i].hook != NULL) {
            hooks[kept++] = hooks[i];
        }
    }
    shard->hook_count[point] = kept;
}

void shard_remove_hook(struct shard *shard, enum shard_hook_point point, shard_hook_fn *hook,
                       void *argument)
{
    ASSERT(point < SHARD_HOOK_COUNT);
    for (uint32_t i = 0; i < shard->hook_count[point]; i++) {
        struct shard_hook *entry = &shard->hooks[point][i];
        if (entry->hook == hook && entry->argument == argument) {
            entry->hook = NULL;
            if (!shard->hooks_running[point]) {
                hooks_drop_removed(shard, point);
            }
            return;
        }
    }
    UNREACHABLE("the hook is not there");
}

static void hooks_run(struct shard *shard, enum shard_hook_point point)
{
    shard->hooks_running[point] = true;
    bool removed = false;
    for (uint32_t i = 0; i < shard->hook_count[point]; i++) {
        struct shard_hook *entry = &shard->hooks[point][i];
        if (entry->hook != NULL && entry->hook(shard, entry->argument)) {
            shard->again = true;
        }
        removed |= entry->hook == NULL;
    }
    shard->hooks_running[point] = false;
    if (removed) {
        hooks_drop_removed(shard, point);
    }
}

/* ---- idle memory ---- */

static void trim_due(struct shard *shard, struct shard_timer *timer)
{
    (void)timer;
    sched_trim(shard->sched);
}

/* The timer runs only while there is something to give back, so an idle shard sleeps on. */
static void trim_arm(struct shard *shard)
{
    if (!shard->trim_timer.armed && sched_has_surplus(shard->sched)) {
        shard_timer_arm(shard, &shard->trim_timer, SHARD_TRIM_MS * INT64_C(1000000), trim_due);
    }
}

/* ---- waiting ---- */

/* Polls io; before it waits it tells the others that it has to be woken, then looks once more. */
static int poll_and_sleep(struct shard *shard, struct io_wait *wait)
{
    if (wait->timeout_ns != 0) {
        atomic_store_explicit(&shard->sleeping, true, memory_order_seq_cst);
        if (mail_pending(shard)) {
            *wait = (struct io_wait){.timeout_ns = 0};
        } else {
            shard->stats.sleeps++;
        }
    }
    wait->waited = read_clocks;
    wait->context = shard;
    int completions = io_poll(shard->io, wait);
    if (atomic_load_explicit(&shard->sleeping, memory_order_relaxed)) {
        atomic_store_explicit(&shard->sleeping, false, memory_order_relaxed);
    }
    return completions;
}

static void pass_wait(struct shard *shard)
{
    struct wait_state state = {
        .work_ready = shard->again || shard->ending || sched_has_ready(shard->sched),
        .low_ready = sched_has_ready_low(shard->sched),
        .sync_in_flight = shard->sync_in_flight,
        .active_connections = shard->active_connections,
        .completions_expected = wait_rate_expected(&shard->completions),
        .timer_ns = -1,
    };
    if (!state.work_ready && !state.low_ready) {
        state.mail_near = shard->set->may_spin && wait_spin_goes_on(&shard->spin, shard->mono_ns);
        trim_arm(shard);
        state.timer_ns = timers_next_ns(shard);
    }
    if (wait_yields_cpu(&state)) {
        thread_yield();
    }
    struct io_wait wait = wait_plan(&state);
    int completions = poll_and_sleep(shard, &wait);
    if (completions < 0) {
        LOGGER_WARNING("shard %u: %s failed: %s", shard->id, io_name(shard->io),
                       error_text(completions));
    }
    ASSERT(completions >= 0); /* else the io itself is broken and nothing can go on */

    wait_rate_add(&shard->completions, (uint32_t)completions, shard->mono_ns - shard->waited_ns);
    shard->waited_ns = shard->mono_ns;
}

/* ---- the pass ---- */

static void shard_pass(struct shard *shard)
{
    shard->stats.passes++;
    shard->again = false;
    read_clocks(shard);

    hooks_run(shard, SHARD_HOOK_PASS);
    timers_fire(shard);
    sched_run(shard->sched);
    if (mail_receive(shard) > 0) {
        /* An answer goes on in the pass in which it came, so its log records leave with it. */
        sched_run(shard->sched);
    }
    sched_run_low(shard->sched, (int64_t)shard->set->options.low_budget_us * 1000);
    hooks_run(shard, SHARD_HOOK_FLUSH);
    hooks_run(shard, SHARD_HOOK_REPLY);
    mail_publish(shard);
}

void shard_loop(struct shard *shard)
{
    while (!shard->ending) {
        shard_pass(shard);
        shard_probe_answer(shard);
        pass_wait(shard);
    }
}
