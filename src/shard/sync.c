#include "shard/sync.h"

#include "base/assert.h"

/* Stands on the stack of the coroutine that waits; whoever takes it off a list owes it a co_ready.
 */
struct waiter {
    struct coro *coro;
    struct list_node node;
};

static void waiter_ready_first(struct list *waiters)
{
    struct list_node *node = list_pop_front(waiters);
    ASSERT(node != NULL);
    co_ready(container_of(node, struct waiter, node)->coro);
}

co_fn static void waiter_park(struct list *waiters)
{
    struct waiter waiter = {.coro = coro_self()};
    ASSERT(waiter.coro != NULL);
    list_push_back(waiters, &waiter.node);
    co_park();
    ASSERT(!list_node_linked(&waiter.node));
}

/* ---- mutex ---- */

void co_mutex_init(struct co_mutex *mutex)
{
    mutex->owner = NULL;
    list_init(&mutex->waiters);
}

bool co_mutex_try_lock(struct co_mutex *mutex)
{
    ASSERT(coro_self() != NULL);
    if (mutex->owner != NULL) {
        return false;
    }
    if (mutex->waiters.root.next == NULL) { /* zero-initialized */
        list_init(&mutex->waiters);
    }
    ASSERT(list_empty(&mutex->waiters));
    mutex->owner = coro_self();
    return true;
}

co_fn void co_mutex_lock(struct co_mutex *mutex)
{
    ASSERT(mutex->owner == NULL || mutex->owner != coro_self());
    if (!co_mutex_try_lock(mutex)) {
        waiter_park(&mutex->waiters);
        ASSERT(mutex->owner == coro_self());
    }
}

void co_mutex_unlock(struct co_mutex *mutex)
{
    ASSERT(mutex->owner != NULL);
    ASSERT(mutex->owner == coro_self());

    struct list_node *node = list_pop_front(&mutex->waiters);
    if (node == NULL) {
        mutex->owner = NULL;
        return;
    }
    /* Handed over, not freed: a newcomer can't get in before one who has waited. */
    mutex->owner = container_of(node, struct waiter, node)->coro;
    co_ready(mutex->owner);
}

/* ---- event ---- */

void co_event_init(struct co_event *event)
{
    list_init(&event->waiters);
}

co_fn void co_event_wait(struct co_event *event)
{
    waiter_park(&event->waiters);
}

void co_event_signal(struct co_event *event)
{
    /* None of them runs before this returns, so no one can wait anew meanwhile. */
    while (!list_empty(&event->waiters)) {
        waiter_ready_first(&event->waiters);
    }
}

bool co_event_has_waiters(const struct co_event *event)
{
    return !list_empty(&event->waiters);
}

/* ---- semaphore ---- */

void co_sem_init(struct co_sem *sem, uint32_t count)
{
    sem->available = count;
    list_init(&sem->waiters);
}

bool co_sem_try_acquire(struct co_sem *sem)
{
    if (sem->available == 0) {
        return false;
    }
    ASSERT(list_empty(&sem->waiters));
    sem->available--;
    return true;
}

co_fn void co_sem_acquire(struct co_sem *sem)
{
    if (!co_sem_try_acquire(sem)) {
        waiter_park(&sem->waiters);
    }
}

void co_sem_release(struct co_sem *sem)
{
    if (list_empty(&sem->waiters)) {
        ASSERT(sem->available < UINT32_MAX);
        sem->available++;
        return;
    }
    ASSERT(sem->available == 0);
    waiter_ready_first(&sem->waiters);
}

/* ---- group ---- */

void co_group_init(struct co_group *group)
{
    group->pending = 0;
    group->waiter = NULL;
}

void co_group_add(struct co_group *group, uint32_t count)
{
    ASSERT(group->pending <= UINT32_MAX - count);
    group->pending += count;
}

void co_group_done(struct co_group *group)
{
    ASSERT(group->pending > 0);
    group->pending--;
    if (group->pending == 0 && group->waiter != NULL) {
        struct coro *waiter = group->waiter;
        group->waiter = NULL;
        co_ready(waiter);
    }
}

co_fn void co_group_wait(struct co_group *group)
{
    ASSERT(group->waiter == NULL);
    while (group->pending > 0) {
        group->waiter = coro_self();
        co_park();
        ASSERT(group->waiter == NULL);
    }
}
