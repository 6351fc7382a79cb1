#include "base/random.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

Test(random, gives_the_published_sequence)
{
    /* xoshiro256** from the state 1, 2, 3, 4. */
    struct random random = {{1, 2, 3, 4}};
    cr_assert_eq(random_u64(&random), 11520);
    cr_assert_eq(random_u64(&random), 0);
    cr_assert_eq(random_u64(&random), 1509978240);
    cr_assert_eq(random_u64(&random), UINT64_C(1215971899390074240));
}

Test(random, seeds_by_splitmix64)
{
    struct random random;
    random_seed(&random, 0);
    cr_assert_eq(random.s[0], UINT64_C(0xe220a8397b1dcdaf));
    cr_assert_eq(random.s[1], UINT64_C(0x6e789e6aa1b965f4));
}

Test(random, same_seed_same_numbers_other_seed_others)
{
    struct random a;
    struct random b;
    struct random c;
    random_seed(&a, 42);
    random_seed(&b, 42);
    random_seed(&c, 43);
    uint64_t differing = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t value = random_u64(&a);
        cr_assert_eq(value, random_u64(&b));
        differing += value != random_u64(&c);
    }
    cr_assert_eq(differing, 100);
}

Test(random, below_reaches_every_number_and_no_more)
{
    struct random random;
    random_seed(&random, 1);
    uint32_t seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        uint64_t value = random_below(&random, 7);
        cr_assert_lt(value, 7);
        seen[value]++;
    }
    for (int i = 0; i < 7; i++) {
        cr_assert(seen[i] > 850 && seen[i] < 1150, "%d came %u times", i, seen[i]);
    }
    cr_assert_eq(random_below(&random, 1), 0);
}

Test(random, below_is_even_for_limits_that_do_not_divide_2_64)
{
    /* With limit = 3 * 2^62 a plain modulo would give the lower third twice as often. */
    struct random random;
    random_seed(&random, 2);
    uint64_t limit = UINT64_C(3) << 62;
    uint32_t lower = 0;
    for (int i = 0; i < 9000; i++) {
        lower += random_below(&random, limit) < limit / 3;
    }
    cr_assert(lower > 2800 && lower < 3200, "%u of 9000", lower);
}

Test(random, below_nothing_is_refused, .signal = SIGABRT)
{
    struct random random;
    random_seed(&random, 3);
    (void)random_below(&random, 0);
}
