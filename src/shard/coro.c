#include "shard/coro.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/mem.h"
#include "shard/coro_impl.h"
#include "shard/coro_switch.h"

/*
 * Sanitizers keep books on the running stack and must be told of each switch. Nothing else in the
 * program has to know of them.
 */
#ifdef CORO_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CORO_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/*
 * All stacks have the same place in their page, so the hot frames of all coroutines would compete
 * for the same few sets of the first-level cache. Each stack therefore starts a few lines lower
 * than the one made before it.
 */
enum { STACK_COLOURS = 16, STACK_COLOUR_BYTES = 64 };

/* Before the switch to a coroutine. */
static void fibre_leave_sched(struct sched *sched, struct coro *coro)
{
#ifdef CORO_ASAN
    __sanitizer_start_switch_fiber(&sched->fibre.asan_fake_stack, coro->stack, CORO_STACK_MAPPED);
#endif
#ifdef CORO_TSAN
    sched->fibre.tsan_fibre = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(coro->fibre.tsan_fibre, 0);
#endif
    (void)sched;
    (void)coro;
}

/* Back from a coroutine. */
static void fibre_enter_sched(struct sched *sched)
{
#ifdef CORO_ASAN
    __sanitizer_finish_switch_fiber(sched->fibre.asan_fake_stack, NULL, NULL);
#endif
    (void)sched;
}

/* Before the switch back to the scheduler. A dying coroutine's fake stack is dropped. */
static void fibre_leave_coro(struct sched *sched, struct coro *coro)
{
#ifdef CORO_ASAN
    void **save = coro->state == CORO_ENDED ? NULL : &coro->fibre.asan_fake_stack;
    __sanitizer_start_switch_fiber(save, sched->stack, sched->stack_bytes);
#endif
#ifdef CORO_TSAN
    __tsan_switch_to_fiber(sched->fibre.tsan_fibre, 0);
#endif
    (void)sched;
    (void)coro;
}

/* On a coroutine's stack, come from the scheduler. */
static void fibre_enter_coro(struct sched *sched, struct coro *coro)
{
#ifdef CORO_ASAN
    __sanitizer_finish_switch_fiber(coro->fibre.asan_fake_stack, &sched->stack,
                                    &sched->stack_bytes);
#endif
    (void)sched;
    (void)coro;
}

/* A new life on an old stack: what the last one left in the books is wiped. */
static void fibre_begin(struct coro *coro)
{
    coro->fibre.asan_fake_stack = NULL;
#ifdef CORO_ASAN
    ASAN_UNPOISON_MEMORY_REGION(coro->stack, CORO_STACK_MAPPED);
#endif
#ifdef CORO_TSAN
    coro->fibre.tsan_fibre = __tsan_create_fiber(0);
#endif
}

static void fibre_end(struct coro *coro)
{
#ifdef CORO_TSAN
    __tsan_destroy_fiber(coro->fibre.tsan_fibre);
#endif
    coro->fibre.tsan_fibre = NULL;
}

/* The bottom of each coroutine's stack. Never returns: there is nothing to return to. */
co_fn static void coro_entry(void)
{
    struct coro *coro = coro_self();
    fibre_enter_coro(coro->sched, coro);
    coro->main(coro->argument);
    ASSERT(!coro->ready_early);
    coro->state = CORO_ENDED;
    coro_suspend(coro);
    UNREACHABLE("an ended coroutine was resumed");
}

static struct coro *coro_make(struct sched *sched)
{
    struct coro *coro = mem_calloc(1, sizeof(*coro));
    if (coro == NULL) {
        return NULL;
    }
    coro->stack = mem_stack_map(CORO_STACK_MAPPED);
    if (coro->stack == NULL) {
        mem_free(coro);
        return NULL;
    }
    coro->sched = sched;
    coro->stack_colour = (size_t)(sched->coros_made % STACK_COLOURS) * STACK_COLOUR_BYTES;
    sched->coros_made++;
    return coro;
}

struct coro *coro_take(struct sched *sched)
{
    struct list_node *node = list_pop_front(&sched->warm);
    if (node != NULL) {
        ASSERT(sched->warm_count > 0);
        sched->warm_count--;
    } else {
        node = list_pop_front(&sched->cold);
    }
    return node == NULL ? coro_make(sched) : container_of(node, struct coro, queue);
}

void coro_arm(struct coro *coro)
{
    ASSERT(coro->state == CORO_IDLE);
    coro->ready_early = false;
    fibre_begin(coro);
    coro_context_init(&coro->context, coro->stack, CORO_STACK_MAPPED - coro->stack_colour,
                      coro_entry);
}

void coro_resume(struct coro *coro)
{
    struct sched *sched = coro->sched;
    ASSERT(sched->running == NULL);
    ASSERT(coro->state == CORO_READY);

    sched->running = coro;
    coro->state = CORO_RUNNING;
    fibre_leave_sched(sched, coro);
    coro_context_switch(&sched->context, &coro->context);
    fibre_enter_sched(sched);
    sched->running = NULL;
    ASSERT(coro->state != CORO_RUNNING);
}

co_fn void coro_suspend(struct coro *coro)
{
    struct sched *sched = coro->sched;
    ASSERT(sched->running == coro);
    ASSERT(coro->state != CORO_RUNNING);

    fibre_leave_coro(sched, coro);
    coro_context_switch(&coro->context, &sched->context);
    fibre_enter_coro(sched, coro);
}

void coro_give_back(struct coro *coro)
{
    struct sched *sched = coro->sched;
    ASSERT(coro->state == CORO_ENDED);

    fibre_end(coro);
    coro->state = CORO_IDLE;
    coro->name = NULL;
    list_push_front(&sched->warm, &coro->queue);
    sched->warm_count++;
}

void coro_free(struct coro *coro)
{
    ASSERT(coro->state == CORO_IDLE);
    ASSERT(!list_node_linked(&coro->queue));
#ifdef CORO_ASAN
    ASAN_UNPOISON_MEMORY_REGION(coro->stack, CORO_STACK_MAPPED);
#endif
    mem_stack_unmap(coro->stack, CORO_STACK_MAPPED);
    mem_free(coro);
}

/*
 * A stack's memory comes zeroed from the kernel, so the lowest word that is not zero marks how deep
 * it has been. The scan reads what belongs to others' frames, which the sanitizers would refuse.
 */
#if defined(__clang__)
__attribute__((no_sanitize("address", "thread")))
#else
__attribute__((no_sanitize_address, no_sanitize_thread))
#endif
uint32_t
coro_stack_used(const struct coro *coro)
{
    const uint64_t *words = coro->stack;
    uint32_t count = CORO_STACK_MAPPED / sizeof(*words);
    uint32_t i = 0;
    while (i < count && words[i] == 0) {
        i++;
    }
    return (count - i) * (uint32_t)sizeof(*words);
}
