/*
 * coro_switch: the one thing about a coroutine that C cannot say: to go on with another stack. Two
 * bodies: a hand-written switch (coro_switch_asm.c with one .S file for each CPU), and ucontext
 * for all other CPUs, which costs two system calls a switch. The build picks (option coroutine).
 *
 * Only coro.c includes this, and the simulator for the threads it carries.
 */
#ifndef SHARD_CORO_SWITCH_H
#define SHARD_CORO_SWITCH_H

#include <stddef.h>

#ifdef CORO_UCONTEXT
#include <ucontext.h>
#endif

/* Where a stack that is not running goes on. */
struct coro_context {
#ifdef CORO_UCONTEXT
    ucontext_t ucontext;
#else
    void *stack_pointer; /* first: the .S files store to offset 0. All else lies on the stack */
#endif
};

typedef void coro_entry_fn(void);

/*
 * Makes a context that calls entry() on the stack [stack, stack + bytes) when it is switched to for
 * the first time. `entry` must never return.
 */
void coro_context_init(struct coro_context *context, void *stack, size_t bytes,
                       coro_entry_fn *entry);

/* Saves here in `from` and goes on in `to`; returns when somebody switches back to `from`. */
void coro_context_switch(struct coro_context *from, const struct coro_context *to);

#endif
