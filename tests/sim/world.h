/*
 * world: the simulated machine's time, chance and record. Everything that happens in a run is
 * either an event of this queue or a step of a simulated thread (threads.h), and each is drawn from
 * the seed: so one seed is one run, to the byte.
 *
 *     time      stands still while code runs, but for a few ns at each look at a clock; goes on
 * with each step, and jumps to the next event when no thread can run chance    one stream of random
 * numbers for each purpose, so that a draw more in one doesn't move the others trace     what
 * happened, folded into a hash; the last lines are kept for a violation's report
 *
 * There is one world at a time, for the doors it stands behind have no context of their own
 * (clock, random, memory, disk). All of it belongs to the one thread of the program.
 *
 * Memory of the simulator itself comes from the C library (sim_alloc), not from base/mem.h, which
 * is the simulated process's and goes with it.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- life ---- */

void world_begin(uint64_t seed);
/* Events still scheduled are forgotten. */
void world_end(void);
uint64_t world_seed(void);

/* ---- time ---- */

int64_t world_now_ns(void); /* monotonic, from 0 at the machine's first start */
/* The wall clock goes on with the monotonic one and jumps when told, both ways. */
void world_jump_real_ms(int64_t by_ms);
int64_t world_real_ms(void);
/* The highest that anybody can have read off it, and the lowest since that time. */
int64_t world_real_high_ms(void);
int64_t world_real_low_ms(int64_t since_ns);

/* ---- events ---- */

struct world_event;
typedef void world_fire_fn(struct world_event *event);
/* Embedded in its owner's object. Zero it before the first time. */
struct world_event {
    int64_t at_ns;
    uint64_t serial; /* of two at the same time the one scheduled first comes first */
    uint32_t place;  /* in the queue */
    bool scheduled;
    world_fire_fn *fire;
};
/* One-shot, not scheduled already; runs outside of all simulated threads. */
void world_schedule(struct world_event *event, int64_t delay_ns, world_fire_fn *fire);
void world_cancel(struct world_event *event);

/* Fires what is due, then runs one simulated thread for a step, or jumps to the next event. Returns
 * false when there is neither a thread that can run nor an event. */
bool world_step(void);
uint64_t world_steps(void);

/* ---- chance ---- */

enum world_stream {
    STREAM_SCHED, /* which thread runs, and how long a step takes */
    STREAM_DISK,  /* delays, order, what survives a crash */
    STREAM_FAULT, /* whether and where something fails */
    STREAM_NET,   /* segments, delays, resets */
    STREAM_LOAD,  /* what clients do */
    STREAM_CLOCK, /* jumps */
    STREAM_OS,    /* what the process gets from random_from_os */
    STREAM_PLAN,  /* the options of the run */
    STREAM_COUNT,
};
uint64_t world_u64(enum world_stream stream);
uint64_t world_below(enum world_stream stream, uint64_t limit);
/* A number in [low, high]. */
uint64_t world_between(enum world_stream stream, uint64_t low, uint64_t high);
bool world_chance(enum world_stream stream, uint32_t per_million);

/* ---- the record ---- */

/* One thing that happened; `what` is a constant text, the figures are what tells it from others.
 * No addresses: they differ from run to run. */
void world_trace(const char *what, uint64_t a, uint64_t b);
uint64_t world_hash(void);
void world_print_tail(void); /* the last lines of the trace */

/* Something that must never be: prints the seed, the step, the text and the trace's tail, then the
 * hash as the last line, and ends the program with exit code 1. */
__attribute__((noreturn, format(printf, 1, 2))) void world_violation(const char *fmt, ...);
#define SIM_CHECK(condition, ...)         \
    do {                                  \
        if (!(condition)) {               \
            world_violation(__VA_ARGS__); \
        }                                 \
    } while (0)

/* Marks a rare, legal state as seen. A suite that declares one (sometimes.c has the list) and never
 * gets there fails. */
void world_sometimes(const char *name);
#define SOMETIMES(name) world_sometimes(name)

/* ---- the simulator's own memory ---- */

void *sim_alloc(size_t bytes); /* zeroed; never NULL */
void *sim_realloc(void *ptr, size_t bytes);
void sim_free(void *ptr);

#endif
