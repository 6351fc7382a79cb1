#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cgroup.h"

static void *thread_main(void *arg)
{
    struct thread *thread = arg;
    thread_set_name(thread->name);
    thread->fn(thread->arg);
    return NULL;
}

int thread_start(struct thread *thread, const char *name, thread_fn fn, void *arg)
{
    thread->fn = fn;
    thread->arg = arg;
    (void)snprintf(thread->name, sizeof(thread->name), "%s", name);
    /* A thread inherits the mask of the one that makes it. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    int err = pthread_sigmask(SIG_SETMASK, &all, &before);
    ASSERT(err == 0);
    int started = pthread_create(&thread->id, NULL, thread_main, thread);
    err = pthread_sigmask(SIG_SETMASK, &before, NULL);
    ASSERT(err == 0);
    return -started;
}

void thread_join(struct thread *thread)
{
    int err = pthread_join(thread->id, NULL);
    ASSERT(err == 0);
}

void thread_set_name(const char *name)
{
    char cut[THREAD_NAME_BYTES_MAX];
    (void)snprintf(cut, sizeof(cut), "%s", name);
    int err = pthread_setname_np(pthread_self(), cut);
    ASSERT(err == 0);
}

void thread_yield(void)
{
    (void)sched_yield();
}

void thread_sleep_ms(uint32_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

int thread_pin(uint32_t index)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return -errno;
    }
    uint32_t skip = index % (uint32_t)CPU_COUNT(&allowed);
    uint32_t cpu = 0;
    while (!CPU_ISSET(cpu, &allowed) || skip-- > 0) {
        cpu++;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof(one), &one) == 0 ? 0 : -errno;
}

uint32_t thread_count_online(void)
{
    cpu_set_t set;
    uint64_t count;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        count = (uint64_t)CPU_COUNT(&set);
    } else {
        /* The kernel knows more CPUs than a cpu_set_t holds. */
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        count = online > 0 ? (uint64_t)online : 1;
    }
    uint64_t quota = cgroup_cpu_max();
    if (quota != UINT64_MAX) {
        count = min_u64(count, div_ceil(quota, 1000));
    }
    return (uint32_t)max_u64(count, 1);
}

void mutex_init(struct mutex *mutex)
{
    int err = pthread_mutex_init(&mutex->raw, NULL);
    ASSERT(err == 0);
}

void mutex_deinit(struct mutex *mutex)
{
    int err = pthread_mutex_destroy(&mutex->raw);
    ASSERT(err == 0);
}

void mutex_lock(struct mutex *mutex)
{
    int err = pthread_mutex_lock(&mutex->raw);
    ASSERT(err == 0);
}

void mutex_unlock(struct mutex *mutex)
{
    int err = pthread_mutex_unlock(&mutex->raw);
    ASSERT(err == 0);
}

void condition_init(struct condition *condition)
{
    pthread_condattr_t attributes;
    int err = pthread_condattr_init(&attributes);
    ASSERT(err == 0);
    err = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    ASSERT(err == 0);
    err = pthread_cond_init(&condition->raw, &attributes);
    ASSERT(err == 0);
    err = pthread_condattr_destroy(&attributes);
    ASSERT(err == 0);
}

void condition_deinit(struct condition *condition)
{
    int err = pthread_cond_destroy(&condition->raw);
    ASSERT(err == 0);
}

void condition_wait(struct condition *condition, struct mutex *mutex)
{
    int err = pthread_cond_wait(&condition->raw, &mutex->raw);
    ASSERT(err == 0);
}

int condition_wait_until(struct condition *condition, struct mutex *mutex, int64_t deadline_ns)
{
    struct timespec deadline = {
        .tv_sec = (time_t)(deadline_ns / 1000000000),
        .tv_nsec = (long)(deadline_ns % 1000000000),
    };
    int err = pthread_cond_timedwait(&condition->raw, &mutex->raw, &deadline);
    ASSERT(err == 0 || err == ETIMEDOUT);
    return -err;
}

void condition_signal(struct condition *condition)
{
    int err = pthread_cond_signal(&condition->raw);
    ASSERT(err == 0);
}

void condition_broadcast(struct condition *condition)
{
    int err = pthread_cond_broadcast(&condition->raw);
    ASSERT(err == 0);
}
