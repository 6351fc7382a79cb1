#include "base/slot.h"

#include "base/bytes.h"

/*
 * CRC16 eight bytes at a time. A CRC is linear: the CRC of a byte that is followed by k more bytes
 * is the exclusive or of what each of its bits contributes, and bit i contributes x^(16 + 8k + i)
 * modulo the polynomial. POWER_n is x^(16 + n), each made from the one before by one shift, so the
 * compiler computes all eight tables.
 */
#define STEP(crc) ((((crc) << 1) ^ (((crc)&0x8000) != 0 ? 0x1021 : 0)) & 0xffff)

/* clang-format off */
enum slot_power {
    POWER_0 = 0x1021, POWER_1 = STEP(POWER_0), POWER_2 = STEP(POWER_1),
    POWER_3 = STEP(POWER_2), POWER_4 = STEP(POWER_3), POWER_5 = STEP(POWER_4),
    POWER_6 = STEP(POWER_5), POWER_7 = STEP(POWER_6), POWER_8 = STEP(POWER_7),
    POWER_9 = STEP(POWER_8), POWER_10 = STEP(POWER_9), POWER_11 = STEP(POWER_10),
    POWER_12 = STEP(POWER_11), POWER_13 = STEP(POWER_12), POWER_14 = STEP(POWER_13),
    POWER_15 = STEP(POWER_14), POWER_16 = STEP(POWER_15), POWER_17 = STEP(POWER_16),
    POWER_18 = STEP(POWER_17), POWER_19 = STEP(POWER_18), POWER_20 = STEP(POWER_19),
    POWER_21 = STEP(POWER_20), POWER_22 = STEP(POWER_21), POWER_23 = STEP(POWER_22),
    POWER_24 = STEP(POWER_23), POWER_25 = STEP(POWER_24), POWER_26 = STEP(POWER_25),
    POWER_27 = STEP(POWER_26), POWER_28 = STEP(POWER_27), POWER_29 = STEP(POWER_28),
    POWER_30 = STEP(POWER_29), POWER_31 = STEP(POWER_30), POWER_32 = STEP(POWER_31),
    POWER_33 = STEP(POWER_32), POWER_34 = STEP(POWER_33), POWER_35 = STEP(POWER_34),
    POWER_36 = STEP(POWER_35), POWER_37 = STEP(POWER_36), POWER_38 = STEP(POWER_37),
    POWER_39 = STEP(POWER_38), POWER_40 = STEP(POWER_39), POWER_41 = STEP(POWER_40),
    POWER_42 = STEP(POWER_41), POWER_43 = STEP(POWER_42), POWER_44 = STEP(POWER_43),
    POWER_45 = STEP(POWER_44), POWER_46 = STEP(POWER_45), POWER_47 = STEP(POWER_46),
    POWER_48 = STEP(POWER_47), POWER_49 = STEP(POWER_48), POWER_50 = STEP(POWER_49),
    POWER_51 = STEP(POWER_50), POWER_52 = STEP(POWER_51), POWER_53 = STEP(POWER_52),
    POWER_54 = STEP(POWER_53), POWER_55 = STEP(POWER_54), POWER_56 = STEP(POWER_55),
    POWER_57 = STEP(POWER_56), POWER_58 = STEP(POWER_57), POWER_59 = STEP(POWER_58),
    POWER_60 = STEP(POWER_59), POWER_61 = STEP(POWER_60), POWER_62 = STEP(POWER_61),
    POWER_63 = STEP(POWER_62),
};
/* clang-format on */

#define BIT(byte, bit, power) (((byte) >> (bit)&1) != 0 ? (power) : 0)

/* The contribution of a whole byte; p0 to p7 are the powers of its bits. */
#define ENTRY(byte, p0, p1, p2, p3, p4, p5, p6, p7)                              \
    (BIT(byte, 0, p0) ^ BIT(byte, 1, p1) ^ BIT(byte, 2, p2) ^ BIT(byte, 3, p3) ^ \
     BIT(byte, 4, p4) ^ BIT(byte, 5, p5) ^ BIT(byte, 6, p6) ^ BIT(byte, 7, p7))

#define ENTRIES_4(byte, ...)                                                              \
    ENTRY(byte, __VA_ARGS__), ENTRY(byte + 1, __VA_ARGS__), ENTRY(byte + 2, __VA_ARGS__), \
        ENTRY(byte + 3, __VA_ARGS__)
#define ENTRIES_16(byte, ...)                                       \
    ENTRIES_4(byte, __VA_ARGS__), ENTRIES_4(byte + 4, __VA_ARGS__), \
        ENTRIES_4(byte + 8, __VA_ARGS__), ENTRIES_4(byte + 12, __VA_ARGS__)
#define ENTRIES_64(byte, ...)                                          \
    ENTRIES_16(byte, __VA_ARGS__), ENTRIES_16(byte + 16, __VA_ARGS__), \
        ENTRIES_16(byte + 32, __VA_ARGS__), ENTRIES_16(byte + 48, __VA_ARGS__)
#define TABLE(...)                                                                             \
    {                                                                                          \
        ENTRIES_64(0, __VA_ARGS__), ENTRIES_64(64, __VA_ARGS__), ENTRIES_64(128, __VA_ARGS__), \
            ENTRIES_64(192, __VA_ARGS__)                                                       \
    }

/* slot_tables[k][b]: what byte b contributes when k more bytes follow. 4 KiB. */
static const uint16_t slot_tables[8][256] = {
    TABLE(POWER_0, POWER_1, POWER_2, POWER_3, POWER_4, POWER_5, POWER_6, POWER_7),
    TABLE(POWER_8, POWER_9, POWER_10, POWER_11, POWER_12, POWER_13, POWER_14, POWER_15),
    TABLE(POWER_16, POWER_17, POWER_18, POWER_19, POWER_20, POWER_21, POWER_22, POWER_23),
    TABLE(POWER_24, POWER_25, POWER_26, POWER_27, POWER_28, POWER_29, POWER_30, POWER_31),
    TABLE(POWER_32, POWER_33, POWER_34, POWER_35, POWER_36, POWER_37, POWER_38, POWER_39),
    TABLE(POWER_40, POWER_41, POWER_42, POWER_43, POWER_44, POWER_45, POWER_46, POWER_47),
    TABLE(POWER_48, POWER_49, POWER_50, POWER_51, POWER_52, POWER_53, POWER_54, POWER_55),
    TABLE(POWER_56, POWER_57, POWER_58, POWER_59, POWER_60, POWER_61, POWER_62, POWER_63),
};

static_assert(sizeof(slot_tables) == 4096, "eight tables of 256 entries");

uint16_t slot_crc16(struct slice data)
{
    const uint8_t *at = data.data;
    size_t left = data.bytes;
    uint32_t crc = 0;
    while (left >= 8) {
        crc ^= load_be16(at);
        crc = (uint32_t)(slot_tables[7][crc >> 8] ^ slot_tables[6][crc & 0xff] ^
                         slot_tables[5][at[2]] ^ slot_tables[4][at[3]] ^ slot_tables[3][at[4]] ^
                         slot_tables[2][at[5]] ^ slot_tables[1][at[6]] ^ slot_tables[0][at[7]]);
        at += 8;
        left -= 8;
    }
    while (left > 0) {
        crc = ((crc << 8) & 0xffff) ^ slot_tables[0][(crc >> 8) ^ *at];
        at++;
        left--;
    }
    return (uint16_t)crc;
}

uint16_t slot_of_key(struct slice key)
{
    const uint8_t *open = key.bytes == 0 ? NULL : memchr(key.data, '{', key.bytes);
    if (open != NULL) {
        const uint8_t *tag = open + 1;
        size_t rest = key.bytes - (size_t)(tag - key.data);
        const uint8_t *close = rest == 0 ? NULL : memchr(tag, '}', rest);
        if (close != NULL && close != tag) {
            key = slice_of(tag, (size_t)(close - tag));
        }
    }
    return slot_crc16(key) % SLOT_COUNT;
}
