/*
 * Unsigned integers in LEB128: seven bits a byte, low bits first, the top bit says that more
 * follow. Only the shortest form of a number is accepted, so a number has one encoding. Decoding
 * trusts nothing: it never reads past `bytes`.
 */
#ifndef BASE_VARINT_H
#define BASE_VARINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define VARINT_U32_BYTES_MAX 5
#define VARINT_U64_BYTES_MAX 10

/* The bytes that varint_encode_u64 will write. */
static inline size_t varint_bytes_u64(uint64_t value)
{
    size_t bits = 64 - (size_t)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

static inline size_t varint_bytes_u32(uint32_t value)
{
    return varint_bytes_u64(value);
}

/* Writes at most VARINT_U64_BYTES_MAX bytes to `to`; returns how many. */
static inline size_t varint_encode_u64(uint8_t *to, uint64_t value)
{
    size_t at = 0;
    while (value >= 0x80) {
        to[at++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    to[at++] = (uint8_t)value;
    return at;
}

/* Writes at most VARINT_U32_BYTES_MAX bytes to `to`; returns how many. */
static inline size_t varint_encode_u32(uint8_t *to, uint32_t value)
{
    return varint_encode_u64(to, value);
}

/*
 * Reads a number from the first of `bytes` bytes. Returns the bytes used (> 0), ERR_TRUNCATED when
 * the number does not end, ERR_LIMIT when it needs more than 64 bits or is not in its shortest
 * form.
 */
NODISCARD static inline int varint_decode_u64(const uint8_t *from, size_t bytes,
                                              uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t at = 0; at < VARINT_U64_BYTES_MAX; at++) {
        if (UNLIKELY(at == bytes)) {
            return ERR_TRUNCATED;
        }
        uint8_t byte = from[at];
        value |= (uint64_t)(byte & 0x7f) << (7 * at);
        if (byte < 0x80) {
            if (UNLIKELY((byte == 0 && at > 0) || (at == VARINT_U64_BYTES_MAX - 1 && byte > 1))) {
                return ERR_LIMIT;
            }
            *ret_value = value;
            return (int)at + 1;
        }
    }
    return ERR_LIMIT;
}

/* As varint_decode_u64; ERR_LIMIT already above 32 bits. */
NODISCARD static inline int varint_decode_u32(const uint8_t *from, size_t bytes,
                                              uint32_t *ret_value)
{
    uint64_t value = 0;
    int used = varint_decode_u64(from, bytes, &value);
    if (UNLIKELY(used < 0)) {
        return used;
    }
    if (UNLIKELY(value > UINT32_MAX)) {
        return ERR_LIMIT;
    }
    *ret_value = (uint32_t)value;
    return used;
}

#endif
