/*
 * fuzz: what the fuzz targets share. A target is one file x_fuzz.c that defines
 * LLVMFuzzerTestOneInput and, where random bytes would hardly get anywhere, a custom mutator. It
 * aborts when a property does not hold; the sanitizers watch over the rest.
 *
 * Built with -Dfuzz=true (clang) a target is a libFuzzer program. In every other build replay.c is
 * its main function and runs the files of tests/fuzz/corpus/x/ through it.
 *
 * A target must not remember anything from one input to the next: what an input does is the same
 * whatever ran before it.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The engine's. Mutators stand between #ifdef FUZZ_ENGINE: without it nobody calls them. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t bytes_max);

#define MUST(x)                                                                         \
    do {                                                                                \
        if (!(x)) {                                                                     \
            (void)fprintf(stderr, "%s:%d: must be true: %s\n", __FILE__, __LINE__, #x); \
            abort();                                                                    \
        }                                                                               \
    } while (0)

/* ---- input, piece by piece; what is missing at the end is zero ---- */

struct feed {
    const uint8_t *data;
    size_t bytes;
};

uint8_t feed_u8(struct feed *feed);
uint32_t feed_u16(struct feed *feed);
uint64_t feed_u64(struct feed *feed);
/* At most `bytes` of what is left; borrowed. */
struct slice feed_slice(struct feed *feed, size_t bytes);

/* A copy in a block of exactly this size, so that AddressSanitizer sees a byte too many. To be
 * freed; never NULL. */
uint8_t *copy_exactly(struct slice bytes);

/* ---- blocks: how inputs hold 4 KiB blocks, which mostly end in zeros ---- */

/* u16 bytes | these bytes, again and again; the rest of a block is zero. */
enum { BLOCK_BYTES = 4096 };
/* Fills `blocks` (blocks_max of BLOCK_BYTES); returns how many there were. */
uint32_t blocks_decode(struct feed *feed, uint8_t *blocks, uint32_t blocks_max);
/* The way back; 0 if `to` is too small. */
size_t blocks_encode(const uint8_t *blocks, uint32_t count, uint8_t *to, size_t bytes_max);

/* ---- what is logged ---- */

/* Keeps the last warning instead of printing it. */
void warnings_catch(void);
/* And forgets it. */
void warnings_clear(void);
bool warnings_have(const char *text);

/* ---- memory ---- */

/* The most that was allocated at a time since memory_watch, beyond what was then; 0 without
 * AddressSanitizer, which alone can tell. Of all threads. */
void memory_watch(void);
size_t memory_peak(void);

#endif
