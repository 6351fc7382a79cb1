#include "shard/coro.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "shard/coro_impl.h"
#include "shard/thread_local.h"

enum {
    /* Idle stacks that keep their pages whatever happens. */
    SCHED_WARM_MIN = 64,
    /* The clock is read at each so many co_yield_if_due: the steps between are small, it isn't. */
    SLICE_ASKS_PER_READ = 4,
    /* Longest run of a CORO_NORMAL coroutine that asks. */
    SLICE_NORMAL_NS = 200 * 1000,
};

_Thread_local struct shard_thread shard_here;

int sched_create(uint32_t coros_max, struct sched **ret_sched)
{
    ASSERT(coros_max > 0);
    struct sched *sched = mem_calloc(1, sizeof(*sched));
    if (sched == NULL) {
        return ERR_MEMORY;
    }
    sched->coros_max = coros_max;
    list_init(&sched->ready[CORO_NORMAL]);
    list_init(&sched->ready[CORO_LOW]);
    list_init(&sched->all);
    list_init(&sched->warm);
    list_init(&sched->cold);
    *ret_sched = sched;
    return 0;
}

static void idle_free(struct list *idle)
{
    struct list_node *node;
    while ((node = list_pop_front(idle)) != NULL) {
        coro_free(container_of(node, struct coro, queue));
    }
}

void sched_destroy(struct sched *sched)
{
    ASSERT(sched->coros == 0);
    ASSERT(sched->running == NULL);

    idle_free(&sched->warm);
    idle_free(&sched->cold);
    if (shard_here.sched == sched) {
        shard_here.sched = NULL;
    }
    mem_free(sched);
}

struct sched *sched_current(void)
{
    return shard_here.sched;
}

void sched_enter(struct sched *sched)
{
    ASSERT(shard_here.sched == NULL || shard_here.sched->running == NULL);
    shard_here.sched = sched;
}

struct coro *coro_self(void)
{
    return shard_here.sched == NULL ? NULL : shard_here.sched->running;
}

const char *coro_name(const struct coro *coro)
{
    return coro->name;
}

static void ready_push(struct coro *coro)
{
    struct sched *sched = coro->sched;
    coro->state = CORO_READY;
    list_push_back(&sched->ready[coro->priority], &coro->queue);
    sched->ready_count[coro->priority]++;
}

int coro_start(struct sched *sched, const char *name, enum coro_priority priority,
               coro_main_fn *main, void *argument)
{
    if (sched->coros == sched->coros_max) {
        return ERR_LIMIT;
    }
    struct coro *coro = coro_take(sched);
    if (coro == NULL) {
        return ERR_MEMORY;
    }
    coro->main = main;
    coro->argument = argument;
    coro->name = name;
    coro->priority = priority;
    coro_arm(coro);
    list_push_back(&sched->all, &coro->all);
    sched->coros++;
    if (sched->coros_peak < sched->coros) {
        sched->coros_peak = sched->coros;
    }
    ready_push(coro);
    return 0;
}

/* ---- waiting ---- */

co_fn void co_park(void)
{
    struct coro *coro = coro_self();
    ASSERT(coro != NULL);
    ASSERT(shard_here.atomic_depth == 0);

    if (coro->ready_early) {
        coro->ready_early = false;
        return;
    }
    coro->state = CORO_PARKED;
    coro_suspend(coro);
}

void co_ready(struct coro *coro)
{
    ASSERT(coro->sched == shard_here.sched);
    ASSERT(!coro->ready_early);

    if (coro->state == CORO_PARKED) {
        ready_push(coro);
        return;
    }
    ASSERT(coro->state == CORO_RUNNING || coro->state == CORO_READY);
    coro->ready_early = true;
}

co_fn void co_yield(void)
{
    struct coro *coro = coro_self();
    ASSERT(coro != NULL);
    ASSERT(shard_here.atomic_depth == 0);

    ready_push(coro);
    coro_suspend(coro);
}

co_fn void co_yield_if_due(void)
{
    struct sched *sched = shard_here.sched;
    ASSERT(sched != NULL && sched->running != NULL);
    ASSERT(shard_here.atomic_depth == 0);

    if (sched->slice_asked++ % SLICE_ASKS_PER_READ != 0) {
        return;
    }
    int64_t now_ns = clock_mono_ns();
    if (sched->slice_end_ns == 0) {
        sched->slice_end_ns = now_ns + SLICE_NORMAL_NS;
    } else if (now_ns >= sched->slice_end_ns) {
        co_yield();
    }
}

void co_atomic_begin(void)
{
    shard_here.atomic_depth++;
}

void co_atomic_end(void)
{
    ASSERT(shard_here.atomic_depth > 0);
    shard_here.atomic_depth--;
}

/* ---- running ---- */

/* Runs the first of the queue until it suspends or ends. */
static void run_first(struct sched *sched, enum coro_priority priority, int64_t slice_end_ns)
{
    struct list_node *node = list_pop_front(&sched->ready[priority]);
    ASSERT(node != NULL);
    sched->ready_count[priority]--;
    sched->slice_end_ns = slice_end_ns;
    sched->slice_asked = 0;

    struct coro *coro = container_of(node, struct coro, queue);
    assert_context = coro->name;
    coro_resume(coro);
    assert_context = NULL;
    if (coro->state == CORO_ENDED) {
        list_remove(&coro->all);
        ASSERT(sched->coros > 0);
        sched->coros--;
        coro_give_back(coro);
    }
}

uint32_t sched_run(struct sched *sched)
{
    ASSERT(shard_here.sched == sched);
    ASSERT(shard_here.atomic_depth == 0);

    uint32_t count = sched->ready_count[CORO_NORMAL];
    for (uint32_t i = 0; i < count; i++) {
        run_first(sched, CORO_NORMAL, 0);
    }
    return count;
}

uint32_t sched_run_low(struct sched *sched, int64_t budget_ns)
{
    ASSERT(shard_here.sched == sched);
    ASSERT(shard_here.atomic_depth == 0);

    if (sched->ready_count[CORO_LOW] == 0) {
        return 0;
    }
    int64_t slice_end_ns = clock_mono_ns() + budget_ns;
    uint32_t count = 0;
    do {
        run_first(sched, CORO_LOW, slice_end_ns);
        count++;
    } while (sched->ready_count[CORO_LOW] > 0 && clock_mono_ns() < slice_end_ns);
    return count;
}

bool sched_has_ready(const struct sched *sched)
{
    return sched->ready_count[CORO_NORMAL] > 0;
}

bool sched_has_ready_low(const struct sched *sched)
{
    return sched->ready_count[CORO_LOW] > 0;
}

uint32_t sched_coros(const struct sched *sched)
{
    return sched->coros;
}

void sched_each(const struct sched *sched, sched_each_fn *each, void *context)
{
    LIST_FOREACH (&sched->all, node) {
        const struct coro *coro = container_of(node, struct coro, all);
        each(context, coro, coro->state == CORO_PARKED, coro_stack_used(coro));
    }
}

/* ---- memory of idle stacks ---- */

bool sched_has_surplus(const struct sched *sched)
{
    return sched->warm_count > SCHED_WARM_MIN;
}

void sched_trim(struct sched *sched)
{
    uint32_t peak = sched->coros_peak > SCHED_WARM_MIN ? sched->coros_peak : SCHED_WARM_MIN;
    ASSERT(sched->coros <= sched->coros_max);
    ASSERT(sched->coros_peak >= sched->coros);

    uint32_t keep = peak - (sched->coros < peak ? sched->coros : peak);
    while (sched->warm_count > keep) {
        struct list_node *node = list_pop_back(&sched->warm); /* the one unused longest */
        sched->warm_count--;
        mem_stack_trim(container_of(node, struct coro, queue)->stack, CORO_STACK_MAPPED);
        list_push_front(&sched->cold, node);
    }
    sched->coros_peak = sched->coros;
}
