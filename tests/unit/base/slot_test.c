#include "base/slot.h"

#include <criterion/criterion.h>

#include "base/random.h"

/* The definition, bit by bit. */
static uint16_t crc16_by_bits(struct slice data)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < data.bytes; i++) {
        crc ^= (uint32_t)data.data[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
            crc &= 0xffff;
        }
    }
    return (uint16_t)crc;
}

Test(slot, crc_has_the_known_values)
{
    cr_assert_eq(slot_crc16(slice_cstr("123456789")), 0x31c3);
    cr_assert_eq(slot_crc16(slice_of(NULL, 0)), 0);
}

Test(slot, crc_equals_its_definition_at_every_length)
{
    uint8_t data[80];
    struct random random;
    random_seed(&random, 4);
    for (size_t bytes = 0; bytes <= sizeof(data); bytes++) {
        for (int round = 0; round < 50; round++) {
            for (size_t i = 0; i < bytes; i++) {
                data[i] = (uint8_t)random_u64(&random);
            }
            cr_assert_eq(slot_crc16(slice_of(data, bytes)), crc16_by_bits(slice_of(data, bytes)));
        }
    }
}

Test(slot, crc_equals_its_definition_for_every_byte_at_every_place)
{
    for (size_t place = 0; place < 8; place++) {
        for (int byte = 0; byte < 256; byte++) {
            uint8_t data[8] = {0};
            data[place] = (uint8_t)byte;
            cr_assert_eq(slot_crc16(slice_of(data, 8)), crc16_by_bits(slice_of(data, 8)));
        }
    }
}

Test(slot, has_redis_clusters_slots)
{
    cr_assert_eq(slot_of_key(slice_cstr("foo")), 12182);
    cr_assert_eq(slot_of_key(slice_cstr("bar")), 5061);
    cr_assert_eq(slot_of_key(slice_cstr("")), 0);
    cr_assert_eq(slot_of_key(slice_cstr("123456789")), 0x31c3 % SLOT_COUNT);
}

Test(slot, takes_the_first_tag_that_holds_something)
{
    uint16_t tag = slot_of_key(slice_cstr("tag"));
    cr_assert_eq(slot_of_key(slice_cstr("{tag}")), tag);
    cr_assert_eq(slot_of_key(slice_cstr("a{tag}b")), tag);
    cr_assert_eq(slot_of_key(slice_cstr("a{tag}b{other}")), tag);
    cr_assert_eq(slot_of_key(slice_cstr("}a{tag}")), tag);
    cr_assert_eq(slot_of_key(slice_cstr("{{tag}}")), slot_of_key(slice_cstr("{tag")));
}

static void expect_whole(const char *key)
{
    cr_assert_eq(slot_of_key(slice_cstr(key)), crc16_by_bits(slice_cstr(key)) % SLOT_COUNT, "%s",
                 key);
}

Test(slot, takes_the_whole_key_without_a_tag)
{
    expect_whole("{}");
    expect_whole("a{}b{tag}");
    expect_whole("a{tag");
    expect_whole("a{");
    expect_whole("tag}");
    expect_whole("}{");
}
