/*
 * The door for time: nothing else asks the kernel what time it is, so a test or the simulator can
 * put its own time in. Three clocks:
 *
 *     clock_mono_ns   never goes back; for timeouts and durations
 *     clock_real_*    wall clock since 1970; for expiry and for people
 *     clock_ticks     the CPU's counter where it is steady (a few ns a call); for measuring only
 *
 * clock_init is called once by main before other threads start; without it ticks are nanoseconds of
 * the monotonic clock. All else may be called by any thread.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Another source of time. The functions are called by any thread that asks for the time. */
struct clock_source {
    int64_t (*mono_ns)(void *arg);
    int64_t (*real_us)(void *arg);
    void *arg;
};

/* Measures the CPU's counter against the monotonic clock; takes about 2 ms. */
void clock_init(void);

/*
 * Takes all time from `source` (borrowed until replaced; NULL gives back the kernel's). Ticks then
 * are nanoseconds of the source. Called before other threads start.
 */
void clock_set_source(const struct clock_source *source);

int64_t clock_mono_ns(void);
int64_t clock_real_ms(void);
int64_t clock_real_us(void);

/* How ticks are read and turned into time. Written only by clock.c; here so that ticks are inline.
 */
struct clock_ticks_rule {
    bool counter;         /* the CPU's counter is used, else clock_mono_ns */
    uint64_t ns_per_2_32; /* nanoseconds in 2^32 ticks */
};
extern struct clock_ticks_rule clock_ticks_rule;

static inline uint64_t clock_ticks(void)
{
    if (clock_ticks_rule.counter) {
#if defined(__x86_64__)
        return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
        uint64_t ticks;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
        return ticks;
#endif
    }
    return (uint64_t)clock_mono_ns();
}

/* The length in nanoseconds of a difference of two clock_ticks(). */
static inline uint64_t clock_ticks_to_ns(uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)ticks * clock_ticks_rule.ns_per_2_32) >> 32);
}

#endif
