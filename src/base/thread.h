/*
 * The door for threads. Mutex and condition are for threads that may block (gc, archive, the
 * workers of the posix io body); a shard thread never waits on one.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

#include "base/error.h"

typedef void (*thread_fn)(void *arg);

#define THREAD_NAME_BYTES_MAX 16 /* the kernel's limit, NUL included; longer names are cut */

struct thread {
    pthread_t id;
    thread_fn fn;
    void *arg;
    char name[THREAD_NAME_BYTES_MAX];
};

/*
 * Starts a thread that runs fn(arg). `thread` must stay where it is until thread_join. The new
 * thread has all signals blocked, so that only the main thread sees them. Returns 0 or -errno.
 */
NODISCARD int thread_start(struct thread *thread, const char *name, thread_fn fn, void *arg);

/* Waits until the thread has returned. Once for each started thread. */
void thread_join(struct thread *thread);

/* Names the calling thread, for ps and debuggers. */
void thread_set_name(const char *name);

/* Lets another runnable thread have the CPU. */
void thread_yield(void);

/* Waits; for threads that may block. */
void thread_sleep_ms(uint32_t ms);

/*
 * Keeps the calling thread on one CPU: the `index`-th of those it may use, counting round. Returns
 * 0 or -errno.
 */
NODISCARD int thread_pin(uint32_t index);

/* The CPUs this process may use: its affinity mask, and its cgroup's quota if lower. At least 1. */
uint32_t thread_count_online(void);

struct mutex {
    pthread_mutex_t raw;
};

struct condition {
    pthread_cond_t raw;
};

void mutex_init(struct mutex *mutex);
void mutex_deinit(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

void condition_init(struct condition *condition);
void condition_deinit(struct condition *condition);
/* The caller holds the mutex, before and after. May return without a signal. */
void condition_wait(struct condition *condition, struct mutex *mutex);
/* As condition_wait, at most until the kernel's monotonic clock shows `deadline_ns`. 0 or
 * -ETIMEDOUT. */
NODISCARD int condition_wait_until(struct condition *condition, struct mutex *mutex,
                                   int64_t deadline_ns);
void condition_signal(struct condition *condition);
void condition_broadcast(struct condition *condition);

#endif
