#include "shard/sync.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "coros.h"

/* ---- mutex ---- */

static struct co_mutex mutex; /* zero-initialized: unlocked */

/* Holds the mutex over three yields, then tries to get it again at once. */
static void lock_twice(void *argument)
{
    char letter = *(char *)argument;
    for (int i = 0; i < 2; i++) {
        co_mutex_lock(&mutex);
        trace_add(letter);
        for (int k = 0; k < 3; k++) {
            co_yield();
        }
        trace_add(letter);
        co_mutex_unlock(&mutex);
    }
}

Test(sync, mutex_admits_one_and_serves_waiters_in_order)
{
    set_up(16);
    start(lock_twice, "a");
    start(lock_twice, "b");
    start(lock_twice, "c");
    run_all();
    cr_assert_str_eq(trace, "aabbccaabbcc");
    tear_down();
}

static void try_lock(void *argument)
{
    bool *got = argument;
    *got = co_mutex_try_lock(&mutex);
    if (*got) {
        co_mutex_unlock(&mutex);
    }
}

Test(sync, mutex_try_lock_fails_while_it_is_held)
{
    bool got_held = true;
    bool got_free = false;
    set_up(16);
    co_mutex_init(&mutex);
    start(lock_twice, "a");
    start(try_lock, &got_held);
    run_all();
    start(try_lock, &got_free);
    run_all();
    cr_assert_not(got_held);
    cr_assert(got_free);
    tear_down();
}

static void unlock_foreign(void *argument)
{
    (void)argument;
    co_mutex_unlock(&mutex);
}

Test(sync, unlocking_another_ones_mutex_aborts, .signal = SIGABRT)
{
    set_up(16);
    start(lock_twice, "a");
    start(unlock_foreign, NULL);
    run_all();
}

/* ---- event ---- */

static struct co_event event;

static void wait_event(void *argument)
{
    co_event_wait(&event);
    trace_add(*(char *)argument);
}

static void wait_event_again(void *argument)
{
    wait_event(argument);
    wait_event(argument);
}

Test(sync, event_wakes_all_who_wait_and_none_who_come_later)
{
    set_up(16);
    co_event_init(&event);
    co_event_signal(&event); /* nobody waits: nothing is remembered */
    start(wait_event, "a");
    start(wait_event_again, "b");
    start(wait_event, "c");
    run_all();
    cr_assert_str_eq(trace, "");
    cr_assert(co_event_has_waiters(&event));
    co_event_signal(&event);
    cr_assert_not(co_event_has_waiters(&event));
    run_all();
    cr_assert_str_eq(trace, "abc");
    cr_assert_eq(sched_coros(sched), 1);
    co_event_signal(&event);
    tear_down();
    cr_assert_str_eq(trace, "abcb");
}

/* ---- semaphore ---- */

static struct co_sem sem;
static uint32_t inside;
static uint32_t inside_most;

static void acquire(void *argument)
{
    co_sem_acquire(&sem);
    trace_add(*(char *)argument);
    inside++;
    inside_most = inside > inside_most ? inside : inside_most;
    co_yield();
    co_yield();
    inside--;
    co_sem_release(&sem);
}

Test(sync, semaphore_admits_its_count_and_serves_waiters_in_order)
{
    set_up(16);
    co_sem_init(&sem, 2);
    for (const char *letter = "abcdefg"; *letter != '\0'; letter++) {
        start(acquire, letter);
    }
    run_all();
    cr_assert_str_eq(trace, "abcdefg");
    cr_assert_eq(inside_most, 2);
    cr_assert_eq(sem.available, 2);
    tear_down();
}

Test(sync, semaphore_try_acquire_takes_exactly_its_count)
{
    co_sem_init(&sem, 2);
    cr_assert(co_sem_try_acquire(&sem));
    cr_assert(co_sem_try_acquire(&sem));
    cr_assert_not(co_sem_try_acquire(&sem));
    co_sem_release(&sem);
    cr_assert(co_sem_try_acquire(&sem));
}

/* ---- group ---- */

static struct co_group group;

static void wait_group(void *argument)
{
    co_group_wait(&group);
    trace_add(*(char *)argument);
}

Test(sync, group_waits_for_the_last)
{
    set_up(16);
    co_group_init(&group);
    co_group_add(&group, 3);
    start(wait_group, "w");
    run_all();
    co_group_done(&group);
    co_group_done(&group);
    run_all();
    cr_assert_str_eq(trace, "");
    co_group_done(&group);
    run_all();
    cr_assert_str_eq(trace, "w");
    tear_down();
}

Test(sync, group_with_nothing_pending_does_not_wait)
{
    set_up(16);
    co_group_init(&group);
    co_group_add(&group, 1);
    co_group_done(&group);
    start(wait_group, "w");
    cr_assert_eq(sched_run(sched), 1);
    cr_assert_str_eq(trace, "w");
    tear_down();
}

Test(sync, group_that_grows_before_its_waiter_runs_keeps_it_waiting)
{
    set_up(16);
    co_group_init(&group);
    co_group_add(&group, 1);
    start(wait_group, "w");
    run_all();
    co_group_done(&group);
    co_group_add(&group, 1);
    run_all();
    cr_assert_str_eq(trace, "");
    co_group_done(&group);
    tear_down();
    cr_assert_str_eq(trace, "w");
}

Test(sync, group_done_once_too_often_aborts, .signal = SIGABRT)
{
    co_group_init(&group);
    co_group_add(&group, 1);
    co_group_done(&group);
    co_group_done(&group);
}
