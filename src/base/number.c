#include "base/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int number_parse_u64(struct slice text, uint64_t *ret_value)
{
    if (text.bytes == 0 || text.bytes > NUMBER_U64_BYTES_MAX) {
        return ERR_PROTOCOL;
    }
    if (text.data[0] == '0' && text.bytes > 1) {
        return ERR_PROTOCOL;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return ERR_PROTOCOL;
        }
    }
    *ret_value = value;
    return 0;
}

int number_parse_i64(struct slice text, int64_t *ret_value)
{
    bool negative = text.bytes > 0 && text.data[0] == '-';
    uint64_t magnitude = 0;
    TRY(number_parse_u64(slice_skip(text, negative), &magnitude));
    uint64_t magnitude_max = (uint64_t)INT64_MAX + negative;
    if (magnitude > magnitude_max || (negative && magnitude == 0)) {
        return ERR_PROTOCOL;
    }
    *ret_value = negative ? (int64_t)-magnitude : (int64_t)magnitude;
    return 0;
}

static size_t number_digits(uint64_t value)
{
    size_t digits = 1;
    for (; value >= 10000; value /= 10000) {
        digits += 4;
    }
    return digits + (value >= 10) + (value >= 100) + (value >= 1000);
}

size_t number_format_u64(char *to, uint64_t value)
{
    /* Two digits a division. */
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";
    static_assert(sizeof(pairs) == 200 + 1, "a hundred pairs");
    size_t bytes = number_digits(value);
    char *at = to + bytes;
    while (value >= 100) {
        at -= 2;
        memcpy(at, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        memcpy(to, pairs + value * 2, 2);
    } else {
        to[0] = (char)('0' + value);
    }
    return bytes;
}

size_t number_format_i64(char *to, int64_t value)
{
    if (value >= 0) {
        return number_format_u64(to, (uint64_t)value);
    }
    *to = '-';
    return 1 + number_format_u64(to + 1, -(uint64_t)value);
}

/* `text` is ended by NUL after `bytes` bytes. */
static int number_parse_ld_cstr(const char *text, size_t bytes, long double *ret_value)
{
    static const char spaces[] = " \t\n\v\f\r";
    if (memchr(spaces, text[0], sizeof(spaces) - 1) != NULL) {
        return ERR_PROTOCOL;
    }
    char *end = NULL;
    errno = 0;
    long double value = strtold(text, &end);
    if ((size_t)(end - text) != bytes || isnan(value)) {
        return ERR_PROTOCOL;
    }
    if (errno == ERANGE && (isinf(value) || fpclassify(value) == FP_ZERO)) {
        return ERR_PROTOCOL;
    }
    *ret_value = value;
    return 0;
}

int number_parse_ld(struct slice text, long double *ret_value)
{
    char on_stack[256];
    if (text.bytes == 0 || text.bytes >= NUMBER_LD_BYTES_MAX) {
        return ERR_PROTOCOL;
    }
    char *copy = text.bytes < sizeof(on_stack) ? on_stack : mem_alloc(text.bytes + 1);
    if (copy == NULL) {
        return ERR_MEMORY;
    }
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    int err = number_parse_ld_cstr(copy, text.bytes, ret_value);
    if (copy != on_stack) {
        mem_free(copy);
    }
    return err;
}

size_t number_format_ld_human(char *to, size_t to_bytes, long double value)
{
    int wanted = isinf(value) ? snprintf(to, to_bytes, "%s", value > 0 ? "inf" : "-inf")
                              : snprintf(to, to_bytes, "%.17Lf", value);
    if (wanted < 0 || (size_t)wanted >= to_bytes) {
        return 0;
    }
    size_t bytes = (size_t)wanted;
    if (memchr(to, '.', bytes) != NULL) {
        while (to[bytes - 1] == '0') {
            bytes--;
        }
        bytes -= to[bytes - 1] == '.';
    }
    if (bytes == 2 && to[0] == '-' && to[1] == '0') {
        to[0] = '0';
        bytes = 1;
    }
    to[bytes] = '\0';
    return bytes;
}

size_t number_format_double(char *to, double value)
{
    if (isnan(value)) {
        return (size_t)snprintf(to, NUMBER_DOUBLE_BYTES_MAX, "nan");
    }
    if (isinf(value)) {
        return (size_t)snprintf(to, NUMBER_DOUBLE_BYTES_MAX, value > 0 ? "inf" : "-inf");
    }
    /* 17 digits always suffice; most numbers that people write need no more than 15. */
    int bytes = 0;
    for (int digits = 15; digits <= 17; digits++) {
        bytes = snprintf(to, NUMBER_DOUBLE_BYTES_MAX, "%.*g", digits, value);
        if (strtod(to, NULL) == value) {
            break;
        }
    }
    ASSERT(bytes > 0 && bytes < NUMBER_DOUBLE_BYTES_MAX);
    return (size_t)bytes;
}

static uint64_t number_unit(struct slice unit)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {
        {"", 1},
        {"b", 1},
        {"k", 1000},
        {"kb", UINT64_C(1) << 10},
        {"m", 1000000},
        {"mb", UINT64_C(1) << 20},
        {"g", 1000000000},
        {"gb", UINT64_C(1) << 30},
        {"t", 1000000000000},
        {"tb", UINT64_C(1) << 40},
    };
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (slice_equal_nocase_cstr(unit, units[i].name)) {
            return units[i].bytes;
        }
    }
    return 0;
}

int number_parse_bytes(struct slice text, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t at = 0;
    bool overflow = false;
    for (; at < text.bytes && text.data[at] >= '0' && text.data[at] <= '9'; at++) {
        overflow |= __builtin_mul_overflow(value, 10, &value);
        overflow |= __builtin_add_overflow(value, text.data[at] - '0', &value);
    }
    uint64_t unit = number_unit(slice_skip(text, at));
    if (at == 0 || unit == 0) {
        return ERR_PROTOCOL;
    }
    if (overflow || __builtin_mul_overflow(value, unit, &value)) {
        return ERR_LIMIT;
    }
    *ret_value = value;
    return 0;
}
