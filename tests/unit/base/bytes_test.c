#include "base/bytes.h"

#include <criterion/criterion.h>
#include <signal.h>

Test(bytes, little_endian_at_any_alignment)
{
    uint8_t memory[16] = {0};
    for (size_t at = 0; at < 8; at++) {
        store_le16(memory + at, 0x0102);
        cr_assert_eq(memory[at], 0x02);
        cr_assert_eq(memory[at + 1], 0x01);
        cr_assert_eq(load_le16(memory + at), 0x0102);
        store_le32(memory + at, 0x01020304);
        cr_assert_eq(memory[at], 0x04);
        cr_assert_eq(memory[at + 3], 0x01);
        cr_assert_eq(load_le32(memory + at), 0x01020304);
        store_le64(memory + at, UINT64_C(0x0102030405060708));
        cr_assert_eq(memory[at], 0x08);
        cr_assert_eq(memory[at + 7], 0x01);
        cr_assert_eq(load_le64(memory + at), UINT64_C(0x0102030405060708));
    }
}

Test(bytes, big_endian_at_any_alignment)
{
    uint8_t memory[16] = {0};
    for (size_t at = 0; at < 8; at++) {
        store_be16(memory + at, 0x0102);
        cr_assert_eq(memory[at], 0x01);
        cr_assert_eq(load_be16(memory + at), 0x0102);
        store_be32(memory + at, 0x01020304);
        cr_assert_eq(memory[at], 0x01);
        cr_assert_eq(memory[at + 3], 0x04);
        cr_assert_eq(load_be32(memory + at), 0x01020304);
        store_be64(memory + at, UINT64_C(0x0102030405060708));
        cr_assert_eq(memory[at], 0x01);
        cr_assert_eq(memory[at + 7], 0x08);
        cr_assert_eq(load_be64(memory + at), UINT64_C(0x0102030405060708));
    }
}

Test(bytes, aligns_down_and_up)
{
    cr_assert_eq(align_down(0, 4096), 0);
    cr_assert_eq(align_down(4095, 4096), 0);
    cr_assert_eq(align_down(4096, 4096), 4096);
    cr_assert_eq(align_up(0, 4096), 0);
    cr_assert_eq(align_up(1, 4096), 4096);
    cr_assert_eq(align_up(4096, 4096), 4096);
    cr_assert_eq(align_up(4097, 4096), 8192);
    cr_assert_eq(align_up(UINT64_MAX - 4095, 4096), UINT64_MAX - 4095);
    cr_assert_eq(align_up(77, 1), 77);
    cr_assert(is_aligned(8192, 4096));
    cr_assert_not(is_aligned(8193, 4096));
}

Test(bytes, refuses_to_align_to_what_is_no_power_of_two, .signal = SIGABRT)
{
    (void)align_up(1, 3);
}

Test(bytes, refuses_to_align_past_the_end, .signal = SIGABRT)
{
    (void)align_up(UINT64_MAX - 4094, 4096);
}

Test(bytes, knows_powers_of_two)
{
    cr_assert_not(is_power_of_two(0));
    cr_assert(is_power_of_two(1));
    cr_assert(is_power_of_two(2));
    cr_assert_not(is_power_of_two(3));
    cr_assert(is_power_of_two(UINT64_C(1) << 63));
    cr_assert_not(is_power_of_two(UINT64_MAX));
}

Test(bytes, divides_rounding_up)
{
    cr_assert_eq(div_ceil(0, 5), 0);
    cr_assert_eq(div_ceil(1, 5), 1);
    cr_assert_eq(div_ceil(5, 5), 1);
    cr_assert_eq(div_ceil(6, 5), 2);
    cr_assert_eq(div_ceil(UINT64_MAX, 2), UINT64_C(1) << 63);
}

Test(bytes, picks_the_smaller_and_the_larger)
{
    cr_assert_eq(min_u64(1, 2), 1);
    cr_assert_eq(max_u64(1, UINT64_MAX), UINT64_MAX);
    cr_assert_eq(min_i64(-1, 2), -1);
    cr_assert_eq(max_i64(-1, 2), 2);
}
