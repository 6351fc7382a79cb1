#include "threads.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/thread.h"
#include "shard/coro_switch.h"
#include "shard/thread_local.h"
#include "world.h"

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif
#ifdef SIM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

enum {
    THREADS_MAX = 80,
    STACK_BYTES = 1 << 20,
    PREEMPT_RATE = 250000,
};

enum state { RUNNABLE, BLOCKED, ENDED };

struct sim_thread {
    char name[THREAD_NAME_BYTES_MAX];
    void (*fn)(void *);
    void *argument;
    enum state state;
    bool token; /* unblocked before it blocked */
    bool timed_out;
    const void *waits_on; /* a mutex, condition or thread; NULL otherwise */
    struct world_event deadline;
    struct coro_context context;
    void *stack;
    /* Of what runs on it, put back before it goes on. */
    struct shard_thread locals;
    const char *assert_context;
    /* For the sanitizer: where it stood when it was left. */
    const void *left_stack;
    size_t left_bytes;
    void *fake_stack;
};

static struct {
    struct sim_thread *all[THREADS_MAX]; /* in the order of their start */
    uint32_t count;
    struct sim_thread *running;
    struct coro_context context; /* of whoever called threads_step */
    const void *stack;           /* ... and its stack */
    size_t stack_bytes;
    void *fake_stack;
    int exit_code;
    void *stacks[THREADS_MAX]; /* idle ones */
    uint32_t stack_count;
} threads = {.exit_code = -1};

/* ---- stacks ---- */

static void *stack_take(void)
{
    if (threads.stack_count > 0) {
        return threads.stacks[--threads.stack_count];
    }
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    SIM_CHECK(stack != MAP_FAILED, "simulator: no stack");
    SIM_CHECK(mprotect(stack, 4096, PROT_NONE) == 0, "simulator: no guard page");
    return stack;
}

static void stack_give(void *stack)
{
#ifdef SIM_ASAN
    ASAN_UNPOISON_MEMORY_REGION((uint8_t *)stack + 4096, STACK_BYTES - 4096);
#endif
    threads.stacks[threads.stack_count++] = stack;
}

/* ---- switching ---- */

static void leave(struct sim_thread *thread)
{
    thread->locals = shard_here;
    thread->assert_context = assert_context;
#ifdef SIM_ASAN
    void **save = thread->state == ENDED ? NULL : &thread->fake_stack;
    __sanitizer_start_switch_fiber(save, threads.stack, threads.stack_bytes);
#endif
    coro_context_switch(&thread->context, &threads.context);
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(thread->fake_stack, &threads.stack, &threads.stack_bytes);
#endif
}

static void enter(struct sim_thread *thread)
{
    const struct shard_thread before = shard_here;
    const char *context_before = assert_context;
    shard_here = thread->locals;
    assert_context = thread->assert_context;
    threads.running = thread;
#ifdef SIM_ASAN
    __sanitizer_start_switch_fiber(&threads.fake_stack, thread->left_stack, thread->left_bytes);
#endif
    coro_context_switch(&threads.context, &thread->context);
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(threads.fake_stack, &thread->left_stack, &thread->left_bytes);
#endif
    threads.running = NULL;
    shard_here = before;
    assert_context = context_before;
}

static void unblock_all(const void *what)
{
    for (uint32_t i = 0; i < threads.count; i++) {
        struct sim_thread *thread = threads.all[i];
        if (thread->waits_on == what && thread->state == BLOCKED) {
            threads_unblock(thread);
        }
    }
}

static void entry(void)
{
    struct sim_thread *thread = threads.running;
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(NULL, &threads.stack, &threads.stack_bytes);
#endif
    thread->fn(thread->argument);
    thread->state = ENDED;
    unblock_all(thread);
    leave(thread);
    world_violation("simulator: an ended thread goes on");
}

/* ---- the scheduler ---- */

struct sim_thread *threads_spawn(const char *name, void (*fn)(void *), void *argument)
{
    SIM_CHECK(threads.count < THREADS_MAX, "simulator: too many threads");
    struct sim_thread *thread = sim_alloc(sizeof(*thread));
    (void)snprintf(thread->name, sizeof(thread->name), "%s", name);
    thread->fn = fn;
    thread->argument = argument;
    thread->state = RUNNABLE;
    thread->stack = stack_take();
    thread->left_stack = (uint8_t *)thread->stack + 4096;
    thread->left_bytes = STACK_BYTES - 4096;
    coro_context_init(&thread->context, (uint8_t *)thread->stack + 4096, STACK_BYTES - 4096, entry);
    threads.all[threads.count++] = thread;
    return thread;
}

struct sim_thread *threads_self(void)
{
    return threads.running;
}

static void deadline_due(struct world_event *event)
{
    struct sim_thread *thread = container_of(event, struct sim_thread, deadline);
    thread->timed_out = true;
    thread->state = RUNNABLE;
}

bool threads_block(int64_t deadline_ns)
{
    struct sim_thread *thread = threads.running;
    SIM_CHECK(thread != NULL, "simulator: only a thread can wait");
    if (thread->token) {
        thread->token = false;
        return true;
    }
    thread->timed_out = false;
    thread->state = BLOCKED;
    if (deadline_ns != INT64_MAX) {
        world_schedule(&thread->deadline, deadline_ns - world_now_ns(), deadline_due);
    }
    leave(thread);
    world_cancel(&thread->deadline);
    return !thread->timed_out;
}

void threads_unblock(struct sim_thread *thread)
{
    if (thread->state == BLOCKED) {
        thread->state = RUNNABLE;
    } else {
        thread->token = true;
    }
}

void threads_preempt(void)
{
    if (threads.running != NULL && world_chance(STREAM_SCHED, PREEMPT_RATE)) {
        leave(threads.running);
    }
}

static void remove_ended(uint32_t index)
{
    struct sim_thread *thread = threads.all[index];
    threads.count--;
    memmove(&threads.all[index], &threads.all[index + 1],
            (threads.count - index) * sizeof(threads.all[0]));
    world_cancel(&thread->deadline);
    stack_give(thread->stack);
    sim_free(thread);
}

bool threads_step(void)
{
    uint32_t runnable[THREADS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < threads.count; i++) {
        if (threads.all[i]->state == RUNNABLE) {
            runnable[count++] = i;
        }
    }
    if (count == 0 || threads.exit_code >= 0) {
        return false;
    }
    uint32_t index = runnable[world_below(STREAM_SCHED, count)];
    enter(threads.all[index]);
    if (threads.all[index]->state == ENDED) {
        remove_ended(index);
    }
    return true;
}

void threads_kill_all(void)
{
    SIM_CHECK(threads.running == NULL, "simulator: a thread can't kill its own process");
    while (threads.count > 0) {
        remove_ended(threads.count - 1);
    }
    threads.exit_code = -1;
}

uint32_t threads_count(void)
{
    return threads.count;
}

void threads_exit_process(int code)
{
    threads.exit_code = code;
    leave(threads.running);
    world_violation("simulator: a process goes on after its exit");
}

int threads_exit_code(void)
{
    return threads.exit_code;
}

/* ---- base/thread.h ---- */

static struct sim_thread *thread_find(const struct thread *thread)
{
    struct sim_thread *found;
    static_assert(sizeof(found) <= sizeof(thread->id), "kept in the thread's id");
    memcpy(&found, &thread->id, sizeof(found));
    return found;
}

int thread_start(struct thread *thread, const char *name, thread_fn fn, void *arg)
{
    struct sim_thread *made = threads_spawn(name, fn, arg);
    memcpy(&thread->id, &made, sizeof(made));
    threads_preempt();
    return 0;
}

static bool is_running(const struct sim_thread *thread)
{
    for (uint32_t i = 0; i < threads.count; i++) {
        if (threads.all[i] == thread) {
            return thread->state != ENDED;
        }
    }
    return false;
}

/* Waits for something about `what`, and for nothing else. */
static bool wait_on(const void *what, int64_t deadline_ns)
{
    struct sim_thread *self = threads.running;
    bool token = self->token;
    self->token = false;
    self->waits_on = what;
    bool in_time = threads_block(deadline_ns);
    self->waits_on = NULL;
    self->token |= token;
    return in_time;
}

void thread_join(struct thread *thread)
{
    const struct sim_thread *other = thread_find(thread);
    while (is_running(other)) {
        (void)wait_on(other, INT64_MAX);
    }
}

void thread_set_name(const char *name)
{
    (void)name;
}

void thread_yield(void)
{
    threads_preempt();
}

void thread_sleep_ms(uint32_t ms)
{
    (void)wait_on(threads.running, world_now_ns() + (int64_t)ms * 1000000);
}

int thread_pin(uint32_t index)
{
    (void)index;
    return 0;
}

uint32_t thread_count_online(void)
{
    return THREADS_MAX;
}

/* What stands in the place of the pthread objects. */
struct sim_mutex {
    const struct sim_thread *holder;
};
static_assert(sizeof(struct sim_mutex) <= sizeof(struct mutex), "kept in the mutex's place");

static struct sim_mutex *mutex_of(struct mutex *mutex)
{
    return (struct sim_mutex *)(void *)mutex;
}

void mutex_init(struct mutex *mutex)
{
    mutex_of(mutex)->holder = NULL;
}

void mutex_deinit(struct mutex *mutex)
{
    SIM_CHECK(mutex_of(mutex)->holder == NULL, "a mutex is destroyed while it is held");
}

void mutex_lock(struct mutex *mutex)
{
    threads_preempt();
    while (mutex_of(mutex)->holder != NULL) {
        SIM_CHECK(mutex_of(mutex)->holder != threads.running, "a thread locks its mutex twice");
        (void)wait_on(mutex, INT64_MAX);
    }
    mutex_of(mutex)->holder = threads.running;
}

void mutex_unlock(struct mutex *mutex)
{
    SIM_CHECK(mutex_of(mutex)->holder == threads.running, "a thread unlocks another's mutex");
    mutex_of(mutex)->holder = NULL;
    unblock_all(mutex);
    threads_preempt();
}

void condition_init(struct condition *condition)
{
    memset(condition, 0, sizeof(*condition));
}

void condition_deinit(struct condition *condition)
{
    (void)condition;
}

int condition_wait_until(struct condition *condition, struct mutex *mutex, int64_t deadline_ns)
{
    mutex_of(mutex)->holder = NULL;
    unblock_all(mutex);
    bool in_time = wait_on(condition, deadline_ns);
    mutex_lock(mutex);
    return in_time ? 0 : -ETIMEDOUT;
}

void condition_wait(struct condition *condition, struct mutex *mutex)
{
    int err = condition_wait_until(condition, mutex, INT64_MAX);
    ASSERT(err == 0);
}

void condition_broadcast(struct condition *condition)
{
    unblock_all(condition);
}

/* Some waiter, not the first: nothing is promised about which. */
void condition_signal(struct condition *condition)
{
    struct sim_thread *waiters[THREADS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < threads.count; i++) {
        if (threads.all[i]->waits_on == condition && threads.all[i]->state == BLOCKED) {
            waiters[count++] = threads.all[i];
        }
    }
    if (count > 0) {
        threads_unblock(waiters[world_below(STREAM_SCHED, count)]);
    }
}
