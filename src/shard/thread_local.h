/*
 * thread_local: all that the shard room keeps for the thread it runs on, in one place, so that the
 * simulator can carry several threads of a process on one of its own: it changes this with them.
 * Only sched.c, shard_set.c and the simulator include this.
 */
#ifndef SHARD_THREAD_LOCAL_H
#define SHARD_THREAD_LOCAL_H

#include <stdint.h>

struct sched;
struct shard;

struct shard_thread {
    struct shard *shard;   /* the thread's own, or NULL */
    struct sched *sched;   /* the one whose coroutines run here */
    uint32_t atomic_depth; /* sections that must not suspend, see co_atomic_begin */
};
extern _Thread_local struct shard_thread shard_here;

#endif
