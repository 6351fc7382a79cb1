/*
 * Random numbers. `struct random` is xoshiro256**: fast, seeded, repeatable, and not a secret: for
 * sampling, jitter and tests. random_from_os is the door to the kernel's randomness, for seeds and
 * ids. A struct random belongs to one thread.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t s[4];
};

/* Every seed is good, 0 too: it is spread by splitmix64. */
void random_seed(struct random *random, uint64_t seed);

uint64_t random_u64(struct random *random);

/* A number in [0, limit), each equally likely. limit > 0. */
uint64_t random_below(struct random *random, uint64_t limit);

/* Fills `bytes` bytes from the kernel. Waits at boot until the kernel has any; aborts if it cannot.
 */
void random_from_os(void *data, size_t bytes);

#endif
