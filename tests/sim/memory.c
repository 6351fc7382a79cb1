#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/list.h"
#include "base/mem.h"
#include "threads.h"
#include "world.h"

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif
#ifdef SIM_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum {
    BLOCK_FILL = 0xa5, /* what was never written reads the same in each run */
    BLOCK_FILL_BYTES_MAX = 512,
    STACK_POOL_MAX = 512,
    EXIT_NO_MEMORY = 134,
    RESIDENT_BYTES = 8 << 20, /* what the process has besides its blocks */
};
#define BLOCK_MAGIC UINT64_C(0x51b10c51b10c51b1)

struct block {
    uint64_t magic;
    struct list_node node; /* not linked: the simulator's */
    size_t bytes;
    void *raw;
    uint64_t serial;
};

struct stack {
    void *low;
    size_t bytes;
};

static struct {
    struct list blocks;
    bool ready;
    uint64_t count, bytes, serial;
    struct stack stacks[8192]; /* in use */
    uint32_t stack_count;
    struct stack idle[STACK_POOL_MAX];
    uint32_t idle_count;
    uint64_t asked, failed;
    uint32_t fail_rate;
    uint64_t fail_countdown;
    bool fail_sticky;
} memory;

static struct block *block_of(const void *ptr)
{
    struct block *block = (struct block *)((uintptr_t)ptr - sizeof(struct block));
    ASSERT(block->magic == BLOCK_MAGIC);
    return block;
}

static bool fails(void)
{
    if (threads_self() == NULL) {
        return false;
    }
    memory.asked++;
    bool due = memory.fail_countdown > 0 && --memory.fail_countdown == 0;
    if (due && memory.fail_sticky) {
        memory.fail_countdown = 1;
    }
    due = due || world_chance(STREAM_FAULT, memory.fail_rate);
    memory.failed += due;
    return due;
}

static void *block_make(size_t align, size_t bytes, bool zero)
{
    ASSERT(bytes > 0);
    if (bytes > (size_t)1 << 40 || fails()) {
        return NULL;
    }
    align = max_u64(align, 16);
    void *raw = malloc(bytes + sizeof(struct block) + align);
    if (raw == NULL) {
        return NULL;
    }
    uintptr_t at = align_up((uintptr_t)raw + sizeof(struct block), align);
    struct block *block = (struct block *)(at - sizeof(struct block));
    *block =
        (struct block){.magic = BLOCK_MAGIC, .bytes = bytes, .raw = raw, .serial = memory.serial++};
    if (zero) {
        memset((void *)at, 0, bytes);
    } else {
        memset((void *)at, BLOCK_FILL, min_u64(bytes, BLOCK_FILL_BYTES_MAX));
    }
    if (threads_self() != NULL) {
        if (!memory.ready) {
            list_init(&memory.blocks);
            memory.ready = true;
        }
        list_push_back(&memory.blocks, &block->node);
        memory.count++;
        memory.bytes += bytes;
    }
    return (void *)at;
}

static void block_free(void *ptr)
{
    if (ptr == NULL) {
        return;
    }
    struct block *block = block_of(ptr);
    if (list_node_linked(&block->node)) {
        list_remove(&block->node);
        memory.count--;
        memory.bytes -= block->bytes;
    }
    block->magic = 0;
    free(block->raw);
}

/* ---- memory.h ---- */

uint64_t memory_blocks(void)
{
    return memory.count + memory.stack_count;
}

uint64_t memory_bytes(void)
{
    return memory.bytes;
}

void memory_print(void)
{
    uint32_t lines = 0;
    if (memory.count > 0) {
        LIST_FOREACH_SAFE (&memory.blocks, node) {
            const struct block *block = container_of(node, struct block, node);
            if (lines++ < 20) {
                printf("not freed: block %llu of %zu bytes\n", (unsigned long long)block->serial,
                       block->bytes);
            }
        }
    }
    printf("not freed: %llu blocks, %u stacks\n", (unsigned long long)memory.count,
           memory.stack_count);
}

void memory_free_all(void)
{
    while (memory.count > 0) {
        struct block *block = container_of(list_first(&memory.blocks), struct block, node);
        block_free(block + 1);
    }
    while (memory.stack_count > 0) {
        struct stack stack = memory.stacks[memory.stack_count - 1];
        mem_stack_unmap(stack.low, stack.bytes);
    }
    memory.fail_countdown = 0;
}

void memory_set_fail_rate(uint32_t per_million)
{
    memory.fail_rate = per_million;
}

uint64_t memory_allocations(void)
{
    return memory.asked;
}

uint64_t memory_failures(void)
{
    return memory.failed;
}

/* ---- base/mem.h ---- */

void *mem_alloc(size_t bytes)
{
    return block_make(1, bytes, false);
}

void *mem_calloc(size_t count, size_t bytes)
{
    size_t product;
    return __builtin_mul_overflow(count, bytes, &product) ? NULL : block_make(1, product, true);
}

void *mem_realloc(void *ptr, size_t bytes)
{
    void *moved = block_make(1, bytes, false);
    if (moved != NULL && ptr != NULL) {
        memcpy(moved, ptr, min_u64(bytes, block_of(ptr)->bytes));
        block_free(ptr);
    }
    return moved;
}

void *mem_alloc_aligned(size_t align, size_t bytes)
{
    return block_make(align, bytes, false);
}

char *mem_dup_cstr(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = mem_alloc(bytes);
    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

void mem_free(void *ptr)
{
    block_free(ptr);
}

void mem_free_sized(void *ptr, size_t bytes)
{
    SIM_CHECK(ptr == NULL || block_of(ptr)->bytes == bytes,
              "a block of %zu bytes is freed as one of %zu", block_of(ptr)->bytes, bytes);
    block_free(ptr);
}

/* The process ends with a message: so it does without memory at its start. */
static void *must(void *ptr)
{
    if (ptr == NULL) {
        threads_exit_process(EXIT_NO_MEMORY);
    }
    return ptr;
}

void *mem_must_alloc(size_t bytes)
{
    return must(mem_alloc(bytes));
}

void *mem_must_calloc(size_t count, size_t bytes)
{
    return must(mem_calloc(count, bytes));
}

void *mem_must_alloc_aligned(size_t align, size_t bytes)
{
    return must(mem_alloc_aligned(align, bytes));
}

char *mem_must_dup_cstr(const char *text)
{
    return must(mem_dup_cstr(text));
}

size_t mem_usable(const void *ptr)
{
    return block_of(ptr)->bytes;
}

size_t mem_good_size(size_t bytes)
{
    return bytes;
}

void mem_thread_arena_init(void)
{
}

void mem_purge(void)
{
}

void mem_stats(struct mem_stats *ret_stats)
{
    *ret_stats = (struct mem_stats){
        .allocated = memory.bytes,
        .active = memory.bytes,
        .resident = mem_resident_bytes(),
        .mapped = memory.bytes,
    };
}

uint64_t mem_resident_bytes(void)
{
    return memory.bytes + RESIDENT_BYTES;
}

uint64_t mem_available_bytes(void)
{
    return UINT64_C(1) << 30;
}

const char *mem_allocator_name(void)
{
    return "simulated";
}

void mem_fail_after(uint64_t n, bool sticky)
{
    memory.fail_countdown = n;
    memory.fail_sticky = sticky;
}

/* ---- stacks ---- */

void *mem_stack_map(size_t bytes)
{
    SIM_CHECK(memory.stack_count < sizeof(memory.stacks) / sizeof(memory.stacks[0]),
              "simulator: too many stacks");
    if (fails()) {
        return NULL;
    }
    struct stack stack = {.bytes = bytes};
    if (memory.idle_count > 0 && memory.idle[memory.idle_count - 1].bytes == bytes) {
        stack = memory.idle[--memory.idle_count];
    } else {
        uint8_t *low = mmap(NULL, bytes + 4096, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        SIM_CHECK(low != MAP_FAILED, "simulator: no stack");
        SIM_CHECK(mprotect(low, 4096, PROT_NONE) == 0, "simulator: no guard page");
        stack.low = low + 4096;
    }
    memory.stacks[memory.stack_count++] = stack;
    return stack.low;
}

void mem_stack_unmap(void *low, size_t bytes)
{
    uint32_t i = 0;
    while (memory.stacks[i].low != low) {
        i++;
        ASSERT(i < memory.stack_count);
    }
    memory.stacks[i] = memory.stacks[--memory.stack_count];
#ifdef SIM_ASAN
    ASAN_UNPOISON_MEMORY_REGION(low, bytes);
#endif
    if (memory.idle_count < STACK_POOL_MAX) {
        memory.idle[memory.idle_count++] = (struct stack){low, bytes};
    } else {
        (void)munmap((uint8_t *)low - 4096, bytes + 4096);
    }
}

void mem_stack_trim(void *stack, size_t bytes)
{
    (void)stack;
    (void)bytes;
}
