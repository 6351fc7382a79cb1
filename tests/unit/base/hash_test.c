#include "base/hash.h"

#include <criterion/criterion.h>

#include "base/mem.h"
#include "base/random.h"

/* A checksum is a disk format: these figures are XXH3's own and must never change. */
Test(hash, checksum_has_the_known_values)
{
    cr_assert_eq(checksum64("", 0, 0), UINT64_C(0x2d06800538d394c2));
    cr_assert_eq(checksum64(NULL, 0, 0), UINT64_C(0x2d06800538d394c2));
    cr_assert_eq(checksum64("abc", 3, 0), UINT64_C(0x78af5f94892f3950));
}

Test(hash, seed_and_data_matter)
{
    cr_assert_neq(checksum64("abc", 3, 0), checksum64("abc", 3, 1));
    cr_assert_neq(checksum64("abc", 3, 0), checksum64("abd", 3, 0));
    cr_assert_neq(hash64("abc", 3, 0), hash64("abc", 3, 1));
}

Test(hash, stream_equals_one_piece_however_it_is_cut)
{
    enum { BYTES = 5000 };
    uint8_t *data = mem_must_alloc(BYTES);
    struct random random;
    random_seed(&random, 11);
    for (size_t i = 0; i < BYTES; i++) {
        data[i] = (uint8_t)random_u64(&random);
    }
    struct checksum_stream stream;
    for (uint64_t seed = 0; seed < 20; seed++) {
        size_t at = 0;
        checksum_begin(&stream, seed);
        while (at < BYTES) {
            size_t bytes = random_below(&random, seed == 0 ? 5 : 900);
            bytes = bytes < BYTES - at ? bytes : BYTES - at;
            checksum_add(&stream, data + at, bytes);
            at += bytes;
            if (at % 7 == 0) {
                cr_assert_eq(checksum_end(&stream), checksum64(data, at, seed));
            }
        }
        cr_assert_eq(checksum_end(&stream), checksum64(data, BYTES, seed));
    }
    mem_free(data);
}

Test(hash, stream_of_nothing_is_the_empty_checksum)
{
    struct checksum_stream stream;
    checksum_begin(&stream, 9);
    checksum_add(&stream, NULL, 0);
    cr_assert_eq(checksum_end(&stream), checksum64("", 0, 9));
}
