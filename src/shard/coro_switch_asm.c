#include "shard/coro_switch.h"

#include <stdint.h>
#include <string.h>

#include "base/assert.h"

/*
 * The first switch to a new stack finds there what coro_context_switch pops: zeros for the saved
 * registers and the entry function as the place to go on. The zero that stands where entry's return
 * address would be ends a debugger's backtrace.
 */
#if defined(__x86_64__)

/* r15 r14 r13 r12 rbx rbp, where to go on, return address of entry. */
enum { FRAME_WORDS = 8, FRAME_ENTRY = 6 };

#elif defined(__aarch64__)

/* x19..x28, x29 (frame), x30 (where to go on), d8..d15. */
enum { FRAME_WORDS = 20, FRAME_ENTRY = 11 };

#else
#error "no switch for this CPU: configure with -Dcoroutine=ucontext"
#endif

static_assert(FRAME_WORDS * sizeof(uint64_t) % 16 == 0, "the stack stays aligned to 16 bytes");
static_assert(offsetof(struct coro_context, stack_pointer) == 0, "the .S files store to offset 0");

void coro_context_init(struct coro_context *context, void *stack, size_t bytes,
                       coro_entry_fn *entry)
{
    ASSERT(((uintptr_t)stack + bytes) % 16 == 0);
    ASSERT(bytes > FRAME_WORDS * sizeof(uint64_t));

    uint64_t frame[FRAME_WORDS] = {0};
    frame[FRAME_ENTRY] = (uint64_t)(uintptr_t)entry;
    context->stack_pointer = (char *)stack + bytes - sizeof(frame);
    memcpy(context->stack_pointer, frame, sizeof(frame));
}
