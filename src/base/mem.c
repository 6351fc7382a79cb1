#include "base/mem.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cgroup.h"
#include "base/logger.h"

#ifdef MEM_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

#define MEM_PAGE_BYTES 4096

/* Counts down to the allocation that is to fail; 0 when none is. See mem_fail_after. */
static _Atomic uint64_t mem_fail_countdown;
static _Atomic bool mem_fail_sticky;

void mem_fail_after(uint64_t n, bool sticky)
{
    atomic_store(&mem_fail_sticky, sticky);
    atomic_store(&mem_fail_countdown, n);
}

static bool mem_fail_due(void)
{
    uint64_t left = atomic_load(&mem_fail_countdown);
    while (left > 0) {
        uint64_t next = left == 1 && atomic_load(&mem_fail_sticky) ? 1 : left - 1;
        if (atomic_compare_exchange_weak(&mem_fail_countdown, &left, next)) {
            return left == 1;
        }
    }
    return false;
}

static inline bool mem_fails(void)
{
    uint64_t left = atomic_load_explicit(&mem_fail_countdown, memory_order_relaxed);
    return UNLIKELY(left != 0) && mem_fail_due();
}

/*
 * The allocator itself. jemalloc is called by its own names, never as malloc and free: in a program
 * that loads us as a shared library those names may be the C library's, and blocks of one must not
 * be given to the other.
 */
#ifdef MEM_JEMALLOC

static void *raw_alloc(size_t align, size_t bytes, bool zero)
{
    int flags = align > 1 ? MALLOCX_ALIGN(align) : 0;
    return mallocx(bytes, flags | (zero ? MALLOCX_ZERO : 0));
}

static void *raw_realloc(void *ptr, size_t bytes)
{
    return ptr == NULL ? mallocx(bytes, 0) : rallocx(ptr, bytes, 0);
}

static void raw_free(void *ptr)
{
    if (ptr != NULL) {
        dallocx(ptr, 0);
    }
}

#else

static void *raw_alloc(size_t align, size_t bytes, bool zero)
{
    if (align <= 1) {
        return zero ? calloc(1, bytes) : malloc(bytes);
    }
    ASSERT(!zero);
    void *ptr = NULL;
    return posix_memalign(&ptr, max_u64(align, sizeof(void *)), bytes) == 0 ? ptr : NULL;
}

static void *raw_realloc(void *ptr, size_t bytes)
{
    return realloc(ptr, bytes);
}

static void raw_free(void *ptr)
{
    free(ptr);
}

#endif

void *mem_alloc(size_t bytes)
{
    ASSERT(bytes > 0);
    return mem_fails() ? NULL : raw_alloc(1, bytes, false);
}

void *mem_calloc(size_t count, size_t bytes)
{
    ASSERT(count > 0 && bytes > 0);
    size_t product;
    if (__builtin_mul_overflow(count, bytes, &product) || mem_fails()) {
        return NULL;
    }
    return raw_alloc(1, product, true);
}

void *mem_realloc(void *ptr, size_t bytes)
{
    ASSERT(bytes > 0);
    return mem_fails() ? NULL : raw_realloc(ptr, bytes);
}

void *mem_alloc_aligned(size_t align, size_t bytes)
{
    ASSERT(is_power_of_two(align));
    ASSERT(bytes > 0);
    return mem_fails() ? NULL : raw_alloc(align, bytes, false);
}

char *mem_dup_cstr(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = mem_alloc(bytes);
    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

void mem_free(void *ptr)
{
    raw_free(ptr);
}

/* The block, or the end of the process: for start-up, where there is nobody to tell. */
static void *mem_must(void *ptr, size_t bytes)
{
    if (ptr == NULL) {
        LOGGER_WARNING("out of memory: %zu bytes wanted at start", bytes);
        UNREACHABLE("out of memory at start");
    }
    return ptr;
}

void *mem_must_alloc(size_t bytes)
{
    return mem_must(mem_alloc(bytes), bytes);
}

void *mem_must_calloc(size_t count, size_t bytes)
{
    return mem_must(mem_calloc(count, bytes), bytes);
}

void *mem_must_alloc_aligned(size_t align, size_t bytes)
{
    return mem_must(mem_alloc_aligned(align, bytes), bytes);
}

char *mem_must_dup_cstr(const char *text)
{
    return mem_must(mem_dup_cstr(text), strlen(text) + 1);
}

#ifdef MEM_JEMALLOC

void mem_free_sized(void *ptr, size_t bytes)
{
    if (ptr != NULL) {
        sdallocx(ptr, bytes, 0);
    }
}

size_t mem_usable(const void *ptr)
{
    return sallocx(ptr, 0);
}

size_t mem_good_size(size_t bytes)
{
    ASSERT(bytes > 0);
    return nallocx(bytes, 0);
}

void mem_thread_arena_init(void)
{
    unsigned arena;
    size_t arena_bytes = sizeof(arena);
    int err = mallctl("arenas.create", &arena, &arena_bytes, NULL, 0);
    if (err == 0) {
        err = mallctl("thread.arena", NULL, NULL, &arena, sizeof(arena));
    }
    if (err != 0) {
        LOGGER_WARNING("no memory arena for this thread, it shares one: %s", error_text(-err));
    }
}

void mem_purge(void)
{
    unsigned arena;
    size_t arena_bytes = sizeof(arena);
    char name[64];
    int err = mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    ASSERT(err == 0);
    err = mallctl("thread.arena", &arena, &arena_bytes, NULL, 0);
    ASSERT(err == 0);
    (void)snprintf(name, sizeof(name), "arena.%u.purge", arena);
    err = mallctl(name, NULL, NULL, NULL, 0);
    ASSERT(err == 0);
}

static uint64_t mem_figure(const char *name)
{
    size_t value = 0;
    size_t value_bytes = sizeof(value);
    int err = mallctl(name, &value, &value_bytes, NULL, 0);
    ASSERT(err == 0);
    return value;
}

void mem_stats(struct mem_stats *ret_stats)
{
    /* jemalloc's figures stand still until the epoch is advanced. */
    uint64_t epoch = 1;
    int err = mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
    ASSERT(err == 0);
    *ret_stats = (struct mem_stats){
        .allocated = mem_figure("stats.allocated"),
        .active = mem_figure("stats.active"),
        .resident = mem_figure("stats.resident"),
        .mapped = mem_figure("stats.mapped"),
    };
}

const char *mem_allocator_name(void)
{
    /* Without the commit that follows the version proper. */
    static char name[64];
    (void)snprintf(name, sizeof(name), "jemalloc-%d.%d.%d", JEMALLOC_VERSION_MAJOR,
                   JEMALLOC_VERSION_MINOR, JEMALLOC_VERSION_BUGFIX);
    return name;
}

#else

void mem_free_sized(void *ptr, size_t bytes)
{
    ASSERT(ptr == NULL || bytes > 0);
    free(ptr);
}

size_t mem_usable(const void *ptr)
{
    return malloc_usable_size((void *)ptr);
}

size_t mem_good_size(size_t bytes)
{
    /* glibc: a word of header, blocks in steps of 16 bytes, at least 32 with the header. */
    ASSERT(bytes > 0);
    return max_u64(align_up(bytes + sizeof(size_t), 16), 32) - sizeof(size_t);
}

void mem_thread_arena_init(void)
{
}

void mem_purge(void)
{
    (void)malloc_trim(0);
}

void mem_stats(struct mem_stats *ret_stats)
{
    struct mallinfo2 info = mallinfo2();
    *ret_stats = (struct mem_stats){
        .allocated = info.uordblks + info.hblkhd,
        .active = info.arena + info.hblkhd,
        .resident = mem_resident_bytes(),
        .mapped = info.arena + info.hblkhd,
    };
}

const char *mem_allocator_name(void)
{
    return "libc";
}

#endif

uint64_t mem_resident_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[got < 0 ? 0 : got] = '\0';
    unsigned long long pages = 0;
    if (sscanf(text, "%*u %llu", &pages) != 1) {
        return 0;
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t mem_available_bytes(void)
{
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return min_u64(machine, cgroup_memory_max());
}

void *mem_stack_map(size_t bytes)
{
    ASSERT(bytes > 0 && is_aligned(bytes, MEM_PAGE_BYTES));
    if (mem_fails()) {
        return NULL;
    }
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE;
    uint8_t *low = mmap(NULL, bytes + guard, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (low == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(low, guard, PROT_NONE) != 0) {
        (void)munmap(low, bytes + guard);
        return NULL;
    }
    return low + guard;
}

void mem_stack_unmap(void *stack, size_t bytes)
{
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    int err = munmap((uint8_t *)stack - guard, bytes + guard);
    ASSERT(err == 0);
}

void mem_stack_trim(void *stack, size_t bytes)
{
    int err = madvise(stack, bytes, MADV_DONTNEED);
    ASSERT(err == 0);
}
