#include "shard/wait.h"

#include "base/assert.h"
#include "base/bytes.h"

/* Counts are kept in 1/256, so that fading is felt also where passes bring one each. */
enum { RATE_UNIT = 256, RATE_COMPLETIONS_MAX = 1 << 16 };

static uint64_t faded(uint64_t sum, uint64_t added)
{
    return sum - sum / WAIT_RATE_PASSES + added;
}

void wait_rate_add(struct wait_rate *rate, uint32_t completions, int64_t elapsed_ns)
{
    ASSERT(elapsed_ns >= 0);
    uint64_t capped = completions < RATE_COMPLETIONS_MAX ? completions : RATE_COMPLETIONS_MAX;
    int64_t ns = elapsed_ns < WAIT_RATE_PASS_NS_MAX ? elapsed_ns : WAIT_RATE_PASS_NS_MAX;
    rate->completions = faded(rate->completions, capped * RATE_UNIT);
    rate->ns = faded(rate->ns, (uint64_t)ns);
}

uint32_t wait_rate_expected(const struct wait_rate *rate)
{
    const uint64_t window_ns = WAIT_BATCH_US * UINT64_C(1000);
    /* Nothing is known of less time than one window. */
    uint64_t ns = rate->ns > window_ns ? rate->ns : window_ns;
    return (uint32_t)(rate->completions * window_ns / ns / RATE_UNIT);
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
           state->completions_expected >= WAIT_BATCH_COMPLETIONS_MIN;
}

struct io_wait wait_plan(const struct wait_state *state)
{
    struct io_wait wait = {.timeout_ns = state->timer_ns < 0 ? -1 : state->timer_ns};
    if (state->work_ready || state->low_ready || state->mail_near) {
        wait.timeout_ns = 0;
    }
    if (wait.timeout_ns != 0 && is_busy(state) && !state->sync_in_flight) {
        wait.batch = (uint32_t)min_u64(WAIT_BATCH_EVENTS, state->active_connections / 2);
        wait.batch_us = WAIT_BATCH_US;
    }
    ASSERT(wait.timeout_ns >= -1);
    return wait;
}

bool wait_yields_cpu(const struct wait_state *state)
{
    return state->sync_in_flight && (state->work_ready || state->low_ready || is_busy(state));
}
