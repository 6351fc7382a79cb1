#include "base/varint.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect_round_trip(uint64_t value, size_t wanted_bytes)
{
    uint8_t encoded[VARINT_U64_BYTES_MAX];
    size_t bytes = varint_encode_u64(encoded, value);
    cr_assert_eq(bytes, wanted_bytes, "%llu took %zu", (unsigned long long)value, bytes);
    cr_assert_eq(varint_bytes_u64(value), bytes);
    uint64_t decoded = ~value;
    cr_assert_eq(varint_decode_u64(encoded, bytes, &decoded), (int)bytes);
    cr_assert_eq(decoded, value);
    for (size_t cut = 0; cut < bytes; cut++) {
        uint64_t untouched = 77;
        cr_assert_eq(varint_decode_u64(encoded, cut, &untouched), ERR_TRUNCATED);
        cr_assert_eq(untouched, 77);
    }
}

Test(varint, round_trips_at_every_length)
{
    expect_round_trip(0, 1);
    for (size_t bytes = 1; bytes < VARINT_U64_BYTES_MAX; bytes++) {
        uint64_t first_longer = UINT64_C(1) << (7 * bytes);
        expect_round_trip(first_longer - 1, bytes);
        expect_round_trip(first_longer, bytes + 1);
    }
    expect_round_trip(UINT64_MAX, 10);
}

Test(varint, has_the_known_encoding)
{
    uint8_t encoded[VARINT_U64_BYTES_MAX];
    cr_assert_eq(varint_encode_u64(encoded, 300), 2);
    cr_assert_eq(encoded[0], 0xac);
    cr_assert_eq(encoded[1], 0x02);
}

Test(varint, refuses_more_than_64_bits)
{
    uint8_t encoded[11];
    uint64_t value;
    memset(encoded, 0xff, sizeof(encoded));
    cr_assert_eq(varint_decode_u64(encoded, sizeof(encoded), &value), ERR_LIMIT);
    encoded[9] = 0x02;
    cr_assert_eq(varint_decode_u64(encoded, sizeof(encoded), &value), ERR_LIMIT);
    encoded[9] = 0x01;
    cr_assert_eq(varint_decode_u64(encoded, sizeof(encoded), &value), 10);
    cr_assert_eq(value, UINT64_MAX);
}

Test(varint, refuses_a_form_that_is_not_the_shortest)
{
    uint64_t value;
    cr_assert_eq(varint_decode_u64((const uint8_t[]){0x80, 0x00}, 2, &value), ERR_LIMIT);
    cr_assert_eq(varint_decode_u64((const uint8_t[]){0xff, 0x80, 0x00}, 3, &value), ERR_LIMIT);
    cr_assert_eq(varint_decode_u64((const uint8_t[]){0x00}, 1, &value), 1);
}

Test(varint, u32_stops_at_32_bits)
{
    uint8_t encoded[VARINT_U64_BYTES_MAX];
    uint32_t value = 5;
    size_t bytes = varint_encode_u32(encoded, UINT32_MAX);
    cr_assert_eq(bytes, VARINT_U32_BYTES_MAX);
    cr_assert_eq(varint_bytes_u32(UINT32_MAX), VARINT_U32_BYTES_MAX);
    cr_assert_eq(varint_decode_u32(encoded, bytes, &value), (int)bytes);
    cr_assert_eq(value, UINT32_MAX);
    bytes = varint_encode_u64(encoded, (uint64_t)UINT32_MAX + 1);
    cr_assert_eq(varint_decode_u32(encoded, bytes, &value), ERR_LIMIT);
    cr_assert_eq(varint_decode_u32(encoded, 0, &value), ERR_TRUNCATED);
    cr_assert_eq(value, UINT32_MAX);
}
