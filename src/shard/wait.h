/*
 * wait: how a shard waits at the end of a pass. Pure functions, so that the rules can be tested.
 *
 * Gathering several events before waking up saves a quarter to a third of the CPU when many
 * connections are busy, and costs a single busy connection more than half its rate. So it is
 * done only when there are many connections and passes do bring several completions each, and not
 * when something is on its way for which somebody waits.
 */
#ifndef SHARD_WAIT_H
#define SHARD_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"

enum {
    WAIT_BATCH_CONNECTIONS_MIN = 8, /* fewer busy connections: never gather */
    WAIT_BATCH_COMPLETIONS_MIN = 4, /* fewer completions in a pass, on average: never gather */
    WAIT_BATCH_EVENTS = 16,
    WAIT_BATCH_US = 50,
    WAIT_MEAN_PASSES = 64,
};

/* The mean of the last passes' completions, older ones fading out. Zeroed is 0. */
struct wait_mean {
    uint32_t sum; /* settles at WAIT_MEAN_PASSES times the mean */
};
void wait_mean_add(struct wait_mean *mean, uint32_t completions);
uint32_t wait_mean_get(const struct wait_mean *mean);

/* What a shard knows at the end of a pass. */
struct wait_state {
    bool work_ready;  /* coroutines, messages or a hook want another pass at once */
    bool low_ready;   /* so do low-priority coroutines */
    bool mail_recent; /* a peer may be about to send more: don't sleep yet */
    bool sync_in_flight;
    uint32_t active_connections;
    uint32_t completions_mean;
    int64_t timer_ns; /* until the nearest timer; < 0: there is none */
};

/* How to wait. timeout_ns 0: not at all. */
struct io_wait wait_plan(const struct wait_state *state);

/*
 * Whether to offer the CPU to others first: a kernel thread ends a sync, and with all CPUs busy it
 * gets its turn milliseconds late unless we step aside.
 */
bool wait_yields_cpu(const struct wait_state *state);

#endif
