#include "shard/coro_switch.h"

#include "base/assert.h"

void coro_context_init(struct coro_context *context, void *stack, size_t bytes,
                       coro_entry_fn *entry)
{
    int err = getcontext(&context->ucontext);
    ASSERT(err == 0);

    context->ucontext.uc_stack.ss_sp = stack;
    context->ucontext.uc_stack.ss_size = bytes;
    context->ucontext.uc_link = NULL; /* entry never returns */
    makecontext(&context->ucontext, entry, 0);
}

void coro_context_switch(struct coro_context *from, const struct coro_context *to)
{
    int err = swapcontext(&from->ucontext, &to->ucontext);
    ASSERT(err == 0);
}
