#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "threads.h"
#include "world_queue.h"

enum {
    TAIL_LINES = 300,
    LOOK_NS_MAX = 200,  /* what a look at the clock takes */
    STEP_NS_MAX = 4000, /* what a step of a thread takes */
    REAL_START_MS_SPREAD = 1000000,
    JUMPS_MAX = 256,
};

/* 2026-01-01; the wall clock starts a little after. */
static const int64_t real_start_ms = INT64_C(1767225600000);

struct trace_line {
    const char *what;
    uint64_t a, b;
    int64_t at_ns;
};

/* From when on the wall clock was so far ahead of the monotonic one. */
struct jump {
    int64_t at_ns;
    int64_t offset_ms;
};

struct world {
    uint64_t seed;
    int64_t now_ns;
    int64_t real_offset_ms;       /* wall clock - monotonic clock */
    int64_t real_high_ms;         /* at the last jump */
    struct jump jumps[JUMPS_MAX]; /* the last ones; the start is one */
    uint32_t jump_count;
    uint64_t steps;
    struct random streams[STREAM_COUNT];
    struct world_queue queue;
    uint64_t hash;
    uint64_t lines;
    struct trace_line tail[TAIL_LINES];
};

static struct world world;

/* ---- the simulator's own memory ---- */

void *sim_alloc(size_t bytes)
{
    void *ptr = calloc(1, bytes);
    if (ptr == NULL) {
        abort();
    }
    return ptr;
}

void *sim_realloc(void *ptr, size_t bytes)
{
    ptr = realloc(ptr, bytes);
    if (ptr == NULL) {
        abort();
    }
    return ptr;
}

void sim_free(void *ptr)
{
    free(ptr);
}

/* ---- time ---- */

/* Looking takes a moment: a loop that waits for a time to come gets there. */
static int64_t look_mono_ns(void *argument)
{
    (void)argument;
    world.now_ns += (int64_t)world_below(STREAM_SCHED, LOOK_NS_MAX);
    return world.now_ns;
}

static int64_t look_real_us(void *argument)
{
    return look_mono_ns(argument) / 1000 + world.real_offset_ms * 1000;
}

static const struct clock_source world_clock = {.mono_ns = look_mono_ns, .real_us = look_real_us};

int64_t world_now_ns(void)
{
    return world.now_ns;
}

int64_t world_real_ms(void)
{
    return world.now_ns / 1000000 + world.real_offset_ms;
}

/* The oldest is forgotten: nobody asks about a time so long ago. */
static void note_offset(void)
{
    if (world.jump_count == JUMPS_MAX) {
        world.jump_count--;
        memmove(world.jumps, world.jumps + 1, world.jump_count * sizeof(world.jumps[0]));
    }
    world.jumps[world.jump_count++] =
        (struct jump){.at_ns = world.now_ns, .offset_ms = world.real_offset_ms};
}

int64_t world_real_high_ms(void)
{
    int64_t now_ms = world_real_ms();
    return now_ms > world.real_high_ms ? now_ms : world.real_high_ms;
}

int64_t world_real_low_ms(int64_t since_ns)
{
    int64_t low_ms = INT64_MAX;
    int64_t end_ns = INT64_MAX;
    for (uint32_t i = world.jump_count; i-- > 0 && end_ns > since_ns;) {
        int64_t from_ns = world.jumps[i].at_ns > since_ns ? world.jumps[i].at_ns : since_ns;
        int64_t first_ms = from_ns / 1000000 + world.jumps[i].offset_ms;
        low_ms = first_ms < low_ms ? first_ms : low_ms;
        end_ns = world.jumps[i].at_ns;
    }
    return low_ms;
}

void world_jump_real_ms(int64_t by_ms)
{
    world.real_high_ms = world_real_high_ms();
    world.real_offset_ms += by_ms;
    note_offset();
    world_trace("clock jumps by ms", (uint64_t)by_ms, 0);
}

/* ---- life ---- */

void world_begin(uint64_t seed)
{
    memset(&world, 0, sizeof(world));
    world.seed = seed;
    world.hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < STREAM_COUNT; i++) {
        random_seed(&world.streams[i], seed * STREAM_COUNT + i);
    }
    world.real_offset_ms = real_start_ms + (int64_t)world_below(STREAM_CLOCK, REAL_START_MS_SPREAD);
    note_offset();
    clock_set_source(&world_clock);
}

void world_end(void)
{
    world_queue_clear(&world.queue);
}

uint64_t world_seed(void)
{
    return world.seed;
}

/* ---- events ---- */

void world_schedule(struct world_event *event, int64_t delay_ns, world_fire_fn *fire)
{
    SIM_CHECK(!event->scheduled, "simulator: an event is scheduled twice");
    event->fire = fire;
    event->at_ns = world.now_ns + (delay_ns > 0 ? delay_ns : 0);
    world_queue_push(&world.queue, event);
}

void world_cancel(struct world_event *event)
{
    if (event->scheduled) {
        world_queue_remove(&world.queue, event);
    }
}

bool world_step(void)
{
    world.steps++;
    struct world_event *event;
    while ((event = world_queue_first(&world.queue)) != NULL && event->at_ns <= world.now_ns) {
        world_queue_remove(&world.queue, event);
        event->fire(event);
    }
    if (threads_step()) {
        world.now_ns += (int64_t)world_below(STREAM_SCHED, STEP_NS_MAX);
        return true;
    }
    event = world_queue_first(&world.queue);
    if (event == NULL) {
        return false;
    }
    if (event->at_ns > world.now_ns) {
        world.now_ns = event->at_ns;
    }
    return true;
}

uint64_t world_steps(void)
{
    return world.steps;
}

/* ---- chance ---- */

uint64_t world_u64(enum world_stream stream)
{
    return random_u64(&world.streams[stream]);
}

uint64_t world_below(enum world_stream stream, uint64_t limit)
{
    return random_below(&world.streams[stream], limit);
}

uint64_t world_between(enum world_stream stream, uint64_t low, uint64_t high)
{
    return low + world_below(stream, high - low + 1);
}

/* A rate of 0 draws nothing: a feature that is off leaves the stream alone. */
bool world_chance(enum world_stream stream, uint32_t per_million)
{
    return per_million > 0 && world_below(stream, 1000000) < per_million;
}

/* ---- the record ---- */

static void fold(uint64_t value)
{
    world.hash = (world.hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    world.hash ^= world.hash >> 29;
}

static void fold_text(const char *text)
{
    for (; *text != '\0'; text++) {
        fold((uint8_t)*text);
    }
}

void world_trace(const char *what, uint64_t a, uint64_t b)
{
    fold_text(what);
    fold(a);
    fold(b);
    fold((uint64_t)world.now_ns);
    world.tail[world.lines++ % TAIL_LINES] = (struct trace_line){what, a, b, world.now_ns};
}

uint64_t world_hash(void)
{
    return world.hash;
}

void world_print_tail(void)
{
    uint64_t from = world.lines > TAIL_LINES ? world.lines - TAIL_LINES : 0;
    for (uint64_t i = from; i < world.lines; i++) {
        const struct trace_line *line = &world.tail[i % TAIL_LINES];
        printf("%15.6f ms  %-32s %20llu %20llu\n", (double)line->at_ns / 1e6, line->what,
               (unsigned long long)line->a, (unsigned long long)line->b);
    }
}

void world_violation(const char *fmt, ...)
{
    va_list args;
    world_print_tail();
    printf("VIOLATION seed %llu step %llu: ", (unsigned long long)world.seed,
           (unsigned long long)world.steps);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\nhash %016llx\n", (unsigned long long)world.hash);
    (void)fflush(stdout);
    exit(1);
}
