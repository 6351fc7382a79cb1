#include "fuzz.h"

#include <stdatomic.h>
#include <string.h>

#include "base/bytes.h"
#include "base/logger.h"

/* ---- input ---- */

struct slice feed_slice(struct feed *feed, size_t bytes)
{
    struct slice taken = slice_of(feed->data, bytes < feed->bytes ? bytes : feed->bytes);
    feed->data += taken.bytes;
    feed->bytes -= taken.bytes;
    return taken;
}

static uint64_t feed_number(struct feed *feed, size_t bytes)
{
    uint8_t number[8] = {0};
    struct slice taken = feed_slice(feed, bytes);
    if (taken.bytes > 0) {
        memcpy(number, taken.data, taken.bytes);
    }
    return load_le64(number);
}

uint8_t feed_u8(struct feed *feed)
{
    return (uint8_t)feed_number(feed, 1);
}

uint32_t feed_u16(struct feed *feed)
{
    return (uint32_t)feed_number(feed, 2);
}

uint64_t feed_u64(struct feed *feed)
{
    return feed_number(feed, 8);
}

uint8_t *copy_exactly(struct slice bytes)
{
    uint8_t *copy = malloc(bytes.bytes);
    MUST(copy != NULL);
    if (bytes.bytes > 0) {
        memcpy(copy, bytes.data, bytes.bytes);
    }
    return copy;
}

/* ---- blocks ---- */

uint32_t blocks_decode(struct feed *feed, uint8_t *blocks, uint32_t blocks_max)
{
    uint32_t count = 0;
    for (; feed->bytes > 0 && count < blocks_max; count++) {
        uint8_t *block = blocks + (size_t)count * BLOCK_BYTES;
        struct slice bytes = feed_slice(feed, feed_u16(feed) % (BLOCK_BYTES + 1));
        memset(block, 0, BLOCK_BYTES);
        if (bytes.bytes > 0) {
            memcpy(block, bytes.data, bytes.bytes);
        }
    }
    return count;
}

size_t blocks_encode(const uint8_t *blocks, uint32_t count, uint8_t *to, size_t bytes_max)
{
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *block = blocks + (size_t)i * BLOCK_BYTES;
        uint32_t bytes = BLOCK_BYTES;
        while (bytes > 0 && block[bytes - 1] == 0) {
            bytes--;
        }
        if (at + 2 + bytes > bytes_max) {
            return 0;
        }
        store_le16(to + at, (uint16_t)bytes);
        memcpy(to + at + 2, block, bytes);
        at += 2 + bytes;
    }
    return at;
}

/* ---- what is logged ---- */

static char warning[LOGGER_LINE_BYTES_MAX + 1];

static void keep_warning(enum logger_level level, const char *line, size_t bytes, void *argument)
{
    (void)argument;
    (void)bytes;
    if (level == LOGGER_LEVEL_WARNING) {
        (void)snprintf(warning, sizeof(warning), "%s", line);
    }
}

void warnings_catch(void)
{
    logger_set_hook(keep_warning, NULL);
    warnings_clear();
}

void warnings_clear(void)
{
    warning[0] = '\0';
}

bool warnings_have(const char *text)
{
    return strstr(warning, text) != NULL;
}

/* ---- memory ---- */

/* Of the sanitizers' run-time library, where there is one. */
__attribute__((weak)) int
__sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                          void (*on_free)(const volatile void *));
__attribute__((weak)) size_t __sanitizer_get_allocated_size(const volatile void *block);

static _Atomic int64_t memory_held;
static _Atomic int64_t memory_most;

static void on_malloc(const volatile void *block, size_t bytes)
{
    (void)block;
    int64_t held = atomic_fetch_add(&memory_held, (int64_t)bytes) + (int64_t)bytes;
    int64_t most = atomic_load(&memory_most);
    while (held > most && !atomic_compare_exchange_weak(&memory_most, &most, held)) {
    }
}

static void on_free(const volatile void *block)
{
    if (block != NULL) {
        atomic_fetch_sub(&memory_held, (int64_t)__sanitizer_get_allocated_size(block));
    }
}

void memory_watch(void)
{
    static bool installed;
    if (!installed && __sanitizer_install_malloc_and_free_hooks != NULL) {
        (void)__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
    }
    installed = true;
    atomic_store(&memory_held, 0);
    atomic_store(&memory_most, 0);
}

size_t memory_peak(void)
{
    return (size_t)atomic_load(&memory_most);
}
