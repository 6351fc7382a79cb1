/*
 * threads: the simulated process's threads, all on the program's one: fibres with stacks of their
 * own. They stand behind base/thread.h (threads.c gives all of its functions) and switch only at
 * doors: a mutex that is held, a condition, a join, a sleep, io_poll, and where a door calls
 * threads_preempt. Who runs next is drawn from STREAM_SCHED.
 *
 * Thread-local state of the process (shard/thread_local.h, assert_context) is changed with them.
 *
 * A process that is killed leaves its fibres where they stand: threads_kill_all takes their stacks
 * back, no cleanup runs, and its memory is freed by memory.h.
 */
#ifndef SIM_THREADS_H
#define SIM_THREADS_H

#include <stdbool.h>
#include <stdint.h>

struct sim_thread;

/* A thread that base/thread.h doesn't know: the process's main. */
struct sim_thread *threads_spawn(const char *name, void (*fn)(void *), void *argument);

/* Of the running one; NULL in an event. */
struct sim_thread *threads_self(void);

/* Suspends the running one until threads_unblock or until `deadline_ns` (INT64_MAX: none). Returns
 * false if the deadline has come. An unblock before it blocks is remembered: one, not more. */
bool threads_block(int64_t deadline_ns);
void threads_unblock(struct sim_thread *thread);

/* Sometimes lets others run first (and the world's events: the process may be killed here). Does
 * nothing outside of a thread. */
void threads_preempt(void);

/* Runs one that can. False: none can. */
bool threads_step(void);

/* All are gone, wherever they stood. From outside of them. */
void threads_kill_all(void);
uint32_t threads_count(void);

/* The running thread's process wants to end with `code` (_exit): doesn't return; see process.h. */
__attribute__((noreturn)) void threads_exit_process(int code);
/* Whether one has called it: the code, or -1. */
int threads_exit_code(void);

#endif
