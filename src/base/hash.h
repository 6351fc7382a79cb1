/*
 * Hashes and checksums, both XXH3 (64 bits). They share an algorithm but not a purpose: hash64 is
 * for tables in memory and may change with any release; checksum64 is written to disk and never
 * changes.
 *
 * xxHash is compiled inline because most keys are short, and there a call costs as much as the
 * work. A seed makes equal bytes at different places different: a checksum is seeded with the
 * identity of store, file and page, so that a block that lands in the wrong place does not verify.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t hash64(const void *data, size_t bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, bytes, seed);
}

static inline uint64_t checksum64(const void *data, size_t bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, bytes, seed);
}

/*
 * A checksum over data that comes in pieces: begin, any number of add, end. Equal to checksum64
 * over the pieces joined. 576 bytes, aligned to 64: keep it on the stack or in mem_alloc_aligned
 * memory.
 */
struct checksum_stream {
    XXH3_state_t state;
};

void checksum_begin(struct checksum_stream *stream, uint64_t seed);
void checksum_add(struct checksum_stream *stream, const void *data, size_t bytes);
/* The checksum of all that was added so far; more may be added afterwards. */
uint64_t checksum_end(const struct checksum_stream *stream);

#endif
