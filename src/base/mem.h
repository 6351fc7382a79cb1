/*
 * Memory: the only place that calls the allocator (jemalloc, or libc where that is chosen or a
 * sanitizer is on) and that maps stacks. An allocation that fails returns NULL, and callers turn it
 * into ERR_MEMORY; the mem_must_* forms abort with a message instead and are for start-up only. Any
 * thread, unless said otherwise; memory may be freed by another thread than the one that allocated
 * it.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* bytes > 0 for all of these. The caller owns what is returned. */
NODISCARD void *mem_alloc(size_t bytes);
NODISCARD void *mem_calloc(size_t count,
                           size_t bytes); /* zeroed; NULL also if the product overflows */
NODISCARD void *mem_realloc(void *ptr, size_t bytes); /* on NULL the old block still stands */
NODISCARD void *mem_alloc_aligned(size_t align, size_t bytes); /* align: a power of two */
NODISCARD char *mem_dup_cstr(const char *text);

/* NULL is allowed. */
void mem_free(void *ptr);

/* As mem_free, and quicker, if `bytes` is what was asked for when the block was allocated. */
void mem_free_sized(void *ptr, size_t bytes);

/* Start-up only: abort with "out of memory" instead of returning NULL. */
NODISCARD void *mem_must_alloc(size_t bytes);
NODISCARD void *mem_must_calloc(size_t count, size_t bytes);
NODISCARD void *mem_must_alloc_aligned(size_t align, size_t bytes);
NODISCARD char *mem_must_dup_cstr(const char *text);

/* The bytes a block really holds; all of them are the caller's. */
size_t mem_usable(const void *ptr);

/* The bytes that an allocation of `bytes` will really take (its size class). */
size_t mem_good_size(size_t bytes);

/*
 * Gives the calling thread an arena of its own, so that shards never meet on an allocator lock.
 * Called once at the start of a shard thread. Does nothing with libc.
 */
void mem_thread_arena_init(void);

/* Gives the unused pages of this thread's arena back to the kernel. Costs system calls. */
void mem_purge(void);

struct mem_stats {
    uint64_t allocated; /* bytes in blocks that are in use */
    uint64_t active;    /* bytes in pages that hold such blocks */
    uint64_t resident;  /* bytes the allocator has in physical memory, at most */
    uint64_t mapped;    /* bytes of address space the allocator has mapped */
};

/* Figures of the whole process. Costs some microseconds. */
void mem_stats(struct mem_stats *ret_stats);

/* Physical memory of the process as the kernel counts it; 0 if the kernel does not say. */
uint64_t mem_resident_bytes(void);

/* The memory the process may use: the machine's, or its cgroup's limit if that is lower. */
uint64_t mem_available_bytes(void);

/* The allocator's name and version, for INFO ("jemalloc-5.3.0", "libc"). */
const char *mem_allocator_name(void);

/*
 * Maps a stack of `bytes` bytes (a multiple of the page size) with an inaccessible guard page below
 * it. Returns its lowest usable address, or NULL when the kernel gives none. Pages are physical
 * only once touched. mem_stack_unmap takes the same figures; mem_stack_trim gives the touched pages
 * back and keeps the mapping.
 */
NODISCARD void *mem_stack_map(size_t bytes);
void mem_stack_unmap(void *stack, size_t bytes);
void mem_stack_trim(void *stack, size_t bytes);

/*
 * For tests: the n-th allocation from now (n = 1 is the next) by any thread returns NULL; with
 * `sticky` all later ones too. n = 0 ends it. mem_must_* are not exempt.
 */
void mem_fail_after(uint64_t n, bool sticky);

#endif
