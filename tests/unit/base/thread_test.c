#include "base/thread.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"

struct seen {
    char name[THREAD_NAME_BYTES_MAX];
    sigset_t blocked;
};

static void look_around(void *arg)
{
    struct seen *seen = arg;
    pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
    pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
}

Test(thread, runs_under_its_name_with_signals_blocked)
{
    struct thread thread;
    struct seen seen;
    cr_assert_eq(thread_start(&thread, "shard-3", look_around, &seen), 0);
    thread_join(&thread);
    cr_assert_str_eq(seen.name, "shard-3");
    cr_assert_eq(sigismember(&seen.blocked, SIGTERM), 1);
    cr_assert_eq(sigismember(&seen.blocked, SIGINT), 1);
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    cr_assert_eq(sigismember(&mine, SIGTERM), 0);
}

Test(thread, cuts_a_name_that_is_too_long)
{
    struct thread thread;
    struct seen seen;
    cr_assert_eq(thread_start(&thread, "0123456789abcdefgh", look_around, &seen), 0);
    thread_join(&thread);
    cr_assert_str_eq(seen.name, "0123456789abcde");
}

Test(thread, counts_the_cpus_it_may_use)
{
    cr_assert_geq(thread_count_online(), 1);
    cpu_set_t one;
    cpu_set_t all;
    cr_assert_eq(sched_getaffinity(0, sizeof(all), &all), 0);
    cr_assert_leq(thread_count_online(), (uint32_t)CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &one);
        }
    }
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    cr_assert_eq(thread_count_online(), 1);
}

Test(thread, pins_itself_to_one_of_its_cpus)
{
    cpu_set_t all;
    cpu_set_t one;
    cr_assert_eq(sched_getaffinity(0, sizeof(all), &all), 0);
    for (uint32_t index = 0; index <= (uint32_t)CPU_COUNT(&all); index++) {
        cr_assert_eq(sched_setaffinity(0, sizeof(all), &all), 0);
        cr_assert_eq(thread_pin(index), 0);
        cr_assert_eq(sched_getaffinity(0, sizeof(one), &one), 0);
        cr_assert_eq(CPU_COUNT(&one), 1);
        CPU_AND(&one, &one, &all);
        cr_assert_eq(CPU_COUNT(&one), 1);
    }
}

struct handover {
    struct mutex mutex;
    struct condition changed;
    int turn;
    int rounds;
};

static void answer(void *arg)
{
    struct handover *handover = arg;
    mutex_lock(&handover->mutex);
    while (handover->rounds < 100) {
        while (handover->turn != 1) {
            condition_wait(&handover->changed, &handover->mutex);
        }
        handover->rounds++;
        handover->turn = 0;
        condition_broadcast(&handover->changed);
    }
    mutex_unlock(&handover->mutex);
}

Test(thread, mutex_and_condition_hand_over)
{
    struct handover handover = {.turn = 0};
    struct thread thread;
    mutex_init(&handover.mutex);
    condition_init(&handover.changed);
    cr_assert_eq(thread_start(&thread, "answer", answer, &handover), 0);
    mutex_lock(&handover.mutex);
    for (int i = 0; i < 100; i++) {
        handover.turn = 1;
        condition_signal(&handover.changed);
        while (handover.turn != 0) {
            condition_wait(&handover.changed, &handover.mutex);
        }
        cr_assert_eq(handover.rounds, i + 1);
    }
    mutex_unlock(&handover.mutex);
    thread_join(&thread);
    thread_yield();
    condition_deinit(&handover.changed);
    mutex_deinit(&handover.mutex);
}

Test(thread, waiting_ends_at_the_deadline)
{
    struct mutex mutex;
    struct condition condition;
    mutex_init(&mutex);
    condition_init(&condition);
    mutex_lock(&mutex);
    int64_t deadline_ns = clock_mono_ns() + 1000000;
    int err;
    do {
        err = condition_wait_until(&condition, &mutex, deadline_ns);
    } while (err == 0);
    cr_assert_eq(err, -ETIMEDOUT);
    cr_assert_geq(clock_mono_ns(), deadline_ns);
    mutex_unlock(&mutex);
    condition_deinit(&condition);
    mutex_deinit(&mutex);
}
