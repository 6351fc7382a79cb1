/*
 * sync: waiting for each other among the coroutines of one shard. No threads here: these never
 * block the thread, and never work between threads (mailbox.h does).
 *
 * Waiters are served first come, first served.
 */
#ifndef SHARD_SYNC_H
#define SHARD_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "shard/coro.h"

/* A coroutine mutex. Zero-initialized is unlocked. */
struct co_mutex {
    struct coro *owner;
    struct list waiters;
};
void co_mutex_init(struct co_mutex *mutex);
co_fn void co_mutex_lock(struct co_mutex *mutex); /* Suspends. */
bool co_mutex_try_lock(struct co_mutex *mutex);
void co_mutex_unlock(struct co_mutex *mutex); /* hands over to the longest waiter */

/* An event: waiters of co_event_wait go on at the next co_event_signal (all of them). */
struct co_event {
    struct list waiters;
};
void co_event_init(struct co_event *event);
co_fn void co_event_wait(struct co_event *event); /* Suspends. */
void co_event_signal(struct co_event *event);
bool co_event_has_waiters(const struct co_event *event);

/* A counting semaphore: bounds what is in flight. */
struct co_sem {
    uint32_t available;
    struct list waiters;
};
void co_sem_init(struct co_sem *sem, uint32_t count);
co_fn void co_sem_acquire(struct co_sem *sem); /* Suspends. */
bool co_sem_try_acquire(struct co_sem *sem);
void co_sem_release(struct co_sem *sem);

/* A countdown: one coroutine waits until `pending` things have ended. */
struct co_group {
    uint32_t pending;
    struct coro *waiter;
};
void co_group_init(struct co_group *group);
void co_group_add(struct co_group *group, uint32_t count);
void co_group_done(struct co_group *group);
co_fn void co_group_wait(struct co_group *group); /* Suspends until pending is 0. */

#endif
