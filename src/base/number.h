/*
 * Numbers as text, with exactly Redis's idea of what is a number: a client sees the same strings
 * accepted and the same strings printed. Nothing here depends on the locale as long as nobody calls
 * setlocale. Any thread.
 */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

/* Room for any 64-bit integer as text: sign, 19 or 20 digits. No NUL is written. */
#define NUMBER_I64_BYTES_MAX 20
#define NUMBER_U64_BYTES_MAX 20

/* Room for any long double as number_format_ld_human prints it, NUL included. */
#define NUMBER_LD_BYTES_MAX 5120

/*
 * The whole slice must be a decimal integer in its one canonical form: no space, no '+', no leading
 * zero, no "-0", in range. Returns 0 or ERR_PROTOCOL.
 */
NODISCARD int number_parse_i64(struct slice text, int64_t *ret_value);
NODISCARD int number_parse_u64(struct slice text, uint64_t *ret_value);

/* Writes the decimal form to `to` (NUMBER_I64_BYTES_MAX bytes of room), without NUL; returns the
 * bytes. */
size_t number_format_i64(char *to, int64_t value);
size_t number_format_u64(char *to, uint64_t value);

/*
 * A long double as INCRBYFLOAT takes it: the whole slice, no space in front, no NaN, neither
 * overflow nor underflow; "inf" is accepted. Returns 0, ERR_PROTOCOL, or ERR_MEMORY (only for text
 * above 256 bytes).
 */
NODISCARD int number_parse_ld(struct slice text, long double *ret_value);

/*
 * As INCRBYFLOAT prints: 17 digits after the point, trailing zeros cut, -0 as 0, "inf" and "-inf".
 * Writes a NUL too. Returns the bytes without it, or 0 when `to_bytes` is too small;
 * NUMBER_LD_BYTES_MAX always suffices.
 */
size_t number_format_ld_human(char *to, size_t to_bytes, long double value);

/* Room for any double as number_format_double prints it, NUL included. */
#define NUMBER_DOUBLE_BYTES_MAX 32

/*
 * The shortest decimal text that reads back as the same double; "nan", "inf", "-inf". Writes a NUL
 * too (NUMBER_DOUBLE_BYTES_MAX bytes of room). Returns the bytes without it.
 */
size_t number_format_double(char *to, double value);

/*
 * An amount of memory as in redis.conf: digits and an optional unit in any case: b, k (1000), kb
 * (1024), m, mb, g, gb, t, tb. Returns 0, ERR_PROTOCOL for bad text, ERR_LIMIT when above 64 bits.
 */
NODISCARD int number_parse_bytes(struct slice text, uint64_t *ret_value);

#endif
