#include "base/random.h"

#include "base/assert.h"

/* xoshiro256** 1.0 and splitmix64 are by Blackman and Vigna, in the public domain. */

static uint64_t random_rotate_left(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

void random_seed(struct random *random, uint64_t seed)
{
    /* The state must not be all zero; splitmix64 never gives four zeros in a row. */
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t mixed = seed;
        mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
        random->s[i] = mixed ^ (mixed >> 31);
    }
}

uint64_t random_u64(struct random *random)
{
    uint64_t *s = random->s;
    uint64_t result = random_rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = random_rotate_left(s[3], 45);
    return result;
}

uint64_t random_below(struct random *random, uint64_t limit)
{
    ASSERT(limit > 0);
    /*
     * Lemire's method: the high half of random * limit is uniform once the few low halves that
     * would favour some results are drawn again.
     */
    unsigned __int128 product = (unsigned __int128)random_u64(random) * limit;
    if ((uint64_t)product < limit) {
        uint64_t biased = -limit % limit;
        while ((uint64_t)product < biased) {
            product = (unsigned __int128)random_u64(random) * limit;
        }
    }
    return (uint64_t)(product >> 64);
}
