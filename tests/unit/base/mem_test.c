#include "base/mem.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "base/bytes.h"
#include "base/logger.h"
#include "base/thread.h"

Test(mem, gives_memory_that_can_be_used_and_freed)
{
    uint8_t *block = mem_alloc(100);
    cr_assert_neq(block, NULL);
    memset(block, 1, 100);
    block = mem_realloc(block, 10000);
    cr_assert_neq(block, NULL);
    cr_assert_eq(block[99], 1);
    mem_free(block);
    mem_free(NULL);
    mem_free_sized(NULL, 1);
}

Test(mem, calloc_zeroes_and_sees_overflow)
{
    uint8_t *block = mem_calloc(7, 100);
    for (int i = 0; i < 700; i++) {
        cr_assert_eq(block[i], 0);
    }
    mem_free_sized(block, 700);
    cr_assert_eq(mem_calloc(SIZE_MAX / 2, 3), NULL);
}

Test(mem, aligned_blocks_are_aligned)
{
    for (size_t align = 1; align <= 65536; align *= 2) {
        void *block = mem_alloc_aligned(align, 3 * align);
        cr_assert_neq(block, NULL);
        cr_assert(is_aligned((uintptr_t)block, align));
        mem_free(block);
    }
}

Test(mem, aligning_to_what_is_no_power_of_two_is_refused, .signal = SIGABRT)
{
    mem_free(mem_alloc_aligned(48, 100));
}

Test(mem, an_empty_block_is_refused, .signal = SIGABRT)
{
    mem_free(mem_alloc(0));
}

Test(mem, usable_is_what_good_size_promised)
{
    for (size_t bytes = 1; bytes < 20000; bytes += 97) {
        size_t good = mem_good_size(bytes);
        cr_assert_geq(good, bytes);
        void *block = mem_alloc(bytes);
        cr_assert_geq(mem_usable(block), bytes);
#ifdef MEM_JEMALLOC
        cr_assert_eq(mem_usable(block), good);
#endif
        mem_free_sized(block, bytes);
    }
}

Test(mem, duplicates_text)
{
    char *copy = mem_dup_cstr("abc");
    cr_assert_str_eq(copy, "abc");
    mem_free(copy);
    copy = mem_must_dup_cstr("");
    cr_assert_str_eq(copy, "");
    mem_free(copy);
}

Test(mem, must_forms_give_memory)
{
    void *blocks[] = {mem_must_alloc(10), mem_must_calloc(2, 5), mem_must_alloc_aligned(64, 10)};
    for (int i = 0; i < 3; i++) {
        cr_assert_neq(blocks[i], NULL);
        mem_free(blocks[i]);
    }
}

Test(mem, must_forms_abort_when_memory_is_out, .signal = SIGABRT)
{
    mem_fail_after(1, false);
    mem_free(mem_must_alloc(10));
}

Test(mem, fails_the_nth_allocation_only)
{
    mem_fail_after(3, false);
    void *first = mem_alloc(1);
    void *second = mem_calloc(1, 1);
    cr_assert_neq(first, NULL);
    cr_assert_neq(second, NULL);
    cr_assert_eq(mem_realloc(first, 1000), NULL);
    void *fourth = mem_alloc_aligned(64, 64);
    cr_assert_neq(fourth, NULL);
    mem_free(first);
    mem_free(second);
    mem_free(fourth);
}

Test(mem, fails_all_from_the_nth_when_sticky)
{
    mem_fail_after(2, true);
    void *first = mem_alloc(1);
    cr_assert_neq(first, NULL);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(mem_alloc(1), NULL);
        cr_assert_eq(mem_calloc(1, 1), NULL);
        cr_assert_eq(mem_alloc_aligned(64, 1), NULL);
        cr_assert_eq(mem_stack_map(4096), NULL);
        cr_assert_eq(mem_dup_cstr("a"), NULL);
    }
    mem_fail_after(0, false);
    void *last = mem_alloc(1);
    cr_assert_neq(last, NULL);
    mem_free(first);
    mem_free(last);
}

static void *arena_blocks[1000];

static void arena_thread(void *arg)
{
    (void)arg;
    mem_thread_arena_init();
    for (int i = 0; i < 1000; i++) {
        arena_blocks[i] = mem_alloc(1000);
        memset(arena_blocks[i], 1, 1000);
    }
    mem_purge();
}

Test(mem, a_threads_arena_serves_and_others_may_free)
{
    struct thread thread;
    cr_assert_eq(thread_start(&thread, "arena", arena_thread, NULL), 0);
    thread_join(&thread);
    for (int i = 0; i < 1000; i++) {
        cr_assert_neq(arena_blocks[i], NULL);
        mem_free_sized(arena_blocks[i], 1000);
    }
    mem_purge();
}

/* A sanitizer's allocator keeps no such figures. */
#ifndef MEM_SANITIZED
Test(mem, stats_follow_what_is_allocated)
{
    struct mem_stats before;
    struct mem_stats after;
    mem_stats(&before);
    void *block = mem_alloc(10 << 20);
    memset(block, 1, 10 << 20);
    mem_stats(&after);
    cr_assert_geq(after.allocated, before.allocated + (10 << 20));
    cr_assert_geq(after.active, after.allocated);
    cr_assert_geq(after.mapped, after.active);
    cr_assert_gt(after.resident, 10 << 20);
    mem_free(block);
    mem_stats(&after);
    cr_assert_lt(after.allocated, before.allocated + (10 << 20));
}
#endif

Test(mem, knows_the_process_and_the_machine)
{
    cr_assert_gt(mem_resident_bytes(), 0);
    cr_assert_gt(mem_available_bytes(), mem_resident_bytes());
    const char *name = mem_allocator_name();
    cr_assert(strcmp(name, "libc") == 0 || strncmp(name, "jemalloc-", 9) == 0);
}

Test(mem, a_stack_is_usable_and_trimmed_to_zeroes)
{
    uint8_t *stack = mem_stack_map(16384);
    cr_assert_neq(stack, NULL);
    memset(stack, 7, 16384);
    mem_stack_trim(stack, 16384);
    cr_assert_eq(stack[0], 0);
    cr_assert_eq(stack[16383], 0);
    mem_stack_unmap(stack, 16384);
}

Test(mem, below_a_stack_nothing_can_be_touched, .signal = SIGSEGV)
{
    volatile uint8_t *stack = mem_stack_map(16384);
    signal(SIGSEGV, SIG_DFL);
    stack[-1] = 1;
}
