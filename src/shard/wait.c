#include "shard/wait.h"

#include "base/assert.h"

void wait_mean_add(struct wait_mean *mean, uint32_t completions)
{
    /* More than this in one pass says no more, and the sum can't overflow. */
    enum { COMPLETIONS_CAP = 1 << 16 };
    uint32_t capped = completions < COMPLETIONS_CAP ? completions : COMPLETIONS_CAP;
    mean->sum += capped - mean->sum / WAIT_MEAN_PASSES;
}

uint32_t wait_mean_get(const struct wait_mean *mean)
{
    return mean->sum / WAIT_MEAN_PASSES;
}

void wait_spin_mail(struct wait_spin *spin, int64_t now_ns)
{
    if (spin->spun) {
        spin->skip_next = 0;
        spin->skip = 0;
    }
    if (spin->skip > 0) {
        spin->skip--;
        return;
    }
    spin->spun = false;
    spin->passes_left = WAIT_SPIN_PASSES_MAX;
    spin->end_ns = now_ns + WAIT_SPIN_US * INT64_C(1000);
}

bool wait_spin_goes_on(struct wait_spin *spin, int64_t now_ns)
{
    if (spin->passes_left == 0) {
        return false;
    }
    spin->passes_left--;
    if (spin->passes_left > 0 && now_ns < spin->end_ns) {
        spin->spun = true;
        return true;
    }
    spin->passes_left = 0;
    spin->spun = false;
    spin->skip = spin->skip_next > 0 ? spin->skip_next : 1;
    spin->skip_next = spin->skip < WAIT_SPIN_SKIP_MAX ? spin->skip * 2 : WAIT_SPIN_SKIP_MAX;
    return false;
}

static bool is_busy(const struct wait_state *state)
{
    return state->active_connections >= WAIT_BATCH_CONNECTIONS_MIN &&
           state->completions_mean >= WAIT_BATCH_COMPLETIONS_MIN;
}

struct io_wait wait_plan(const struct wait_state *state)
{
    struct io_wait wait = {.timeout_ns = state->timer_ns < 0 ? -1 : state->timer_ns};
    if (state->work_ready || state->low_ready || state->mail_near) {
        wait.timeout_ns = 0;
    }
    if (wait.timeout_ns != 0 && is_busy(state) && !state->sync_in_flight) {
        wait.batch = WAIT_BATCH_EVENTS;
        wait.batch_us = WAIT_BATCH_US;
    }
    ASSERT(wait.timeout_ns >= -1);
    return wait;
}

bool wait_yields_cpu(const struct wait_state *state)
{
    return state->sync_in_flight && (state->work_ready || state->low_ready || is_busy(state));
}
