/*
 * wait: how a shard waits at the end of a pass. Pure functions, so that the rules can be tested.
 *
 * Gathering several events before waking up saves a quarter to a third of the CPU when many
 * connections are busy, and costs a single busy connection more than half its rate. So it is
 * done only when there are many connections and completions come so fast that several can be
 * expected within the time a batch may take, and not when something is on its way for which
 * somebody waits. The rate decides, not how many completions a pass brings: a shard that wakes for
 * every single one of them finds one in each pass, however many follow at its heels.
 */
#ifndef SHARD_WAIT_H
#define SHARD_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"

enum {
    WAIT_BATCH_CONNECTIONS_MIN = 8, /* fewer busy connections: never gather */
    WAIT_BATCH_COMPLETIONS_MIN = 4, /* fewer expected within WAIT_BATCH_US: never gather */
    WAIT_BATCH_EVENTS = 16, /* at most, and no more than half of the busy connections: the last
                               ones may be slow to come, and the first wait with them */
    WAIT_BATCH_US = 50,
    WAIT_RATE_PASSES = 64,
    WAIT_RATE_PASS_NS_MAX = 1000000, /* a longer rest says no more than this */
    WAIT_SPIN_US = 30,
    WAIT_SPIN_PASSES_MAX = 1024, /* so that a spin ends also where the clock stands still */
    WAIT_SPIN_SKIP_MAX = 1024,
};

/* How fast completions have come in the last passes, older ones fading out. Zeroed is 0. */
struct wait_rate {
    uint64_t completions; /* settle at WAIT_RATE_PASSES times what a pass brings, and takes */
    uint64_t ns;
};
/* A pass brought so many, so long after the pass before it. */
void wait_rate_add(struct wait_rate *rate, uint32_t completions, int64_t elapsed_ns);
/* Completions to be expected within WAIT_BATCH_US. */
uint32_t wait_rate_expected(const struct wait_rate *rate);

/*
 * Whether a peer is worth waiting for without sleeping. With a CPU for each shard an answer comes
 * in half a microsecond, where a sleep and a wake on each side cost seven; so after a peer's
 * message passes follow each other for a while. With other threads on these CPUs the answer doesn't
 * come sooner for our spinning but later (measured: 16 to 40 us instead of 7). A shard can't see
 * which of the two it is, so it learns: after a spin in vain it sleeps at the next messages, 1, 2,
 * 4, ... of them, until a spin brings something. Zeroed is ready to use.
 */
struct wait_spin {
    int64_t end_ns;
    uint32_t passes_left; /* 0: not spinning */
    uint32_t skip;        /* messages that start no spin */
    uint32_t skip_next;   /* so many after the next spin in vain; 0 is 1 */
    bool spun;            /* a pass was made only for this spin */
};
/* A pass brought messages from peers. */
void wait_spin_mail(struct wait_spin *spin, int64_t now_ns);
/* Asked at the end of a pass that leaves nothing to do: one more pass without sleeping? */
bool wait_spin_goes_on(struct wait_spin *spin, int64_t now_ns);

/* What a shard knows at the end of a pass. */
struct wait_state {
    bool work_ready; /* coroutines, messages or a hook want another pass at once */
    bool low_ready;  /* so do low-priority coroutines */
    bool mail_near;  /* a peer may be about to send more: don't sleep yet */
    bool sync_in_flight;
    uint32_t active_connections;
    uint32_t completions_expected; /* within WAIT_BATCH_US */
    int64_t timer_ns;              /* until the nearest timer; < 0: there is none */
};

/* How to wait. timeout_ns 0: not at all. */
struct io_wait wait_plan(const struct wait_state *state);

/*
 * Whether to offer the CPU to others first: a kernel thread ends a sync, and with all CPUs busy it
 * gets its turn milliseconds late unless we step aside.
 */
bool wait_yields_cpu(const struct wait_state *state);

#endif
