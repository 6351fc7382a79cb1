#include "base/number.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"

Test(number, parses_canonical_integers)
{
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"-1", -1},
        {"10", 10},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 77;
        cr_assert_eq(number_parse_i64(slice_cstr(cases[i].text), &value), 0, "%s", cases[i].text);
        cr_assert_eq(value, cases[i].value, "%s", cases[i].text);
    }
}

Test(number, refuses_every_other_form_of_an_integer)
{
    static const char *const cases[] = {
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "01",
        "-01",
        "-0",
        "00",
        "1a",
        "a",
        "0x1",
        "1.0",
        "--1",
        "1e3",
        "\t1",
        "1\n",
        "9223372036854775808",
        "٣",
        "1,0",
        "1_00",
        "-1 000",
        "- 1",
        "-9223372036854775809",
        ":1",
        "/1",
        "1:",
        "1/",
        "99999999999999999999",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 77;
        cr_assert_eq(number_parse_i64(slice_cstr(cases[i]), &value), ERR_PROTOCOL, "%s", cases[i]);
        cr_assert_eq(value, 77);
    }
    int64_t value;
    cr_assert_eq(number_parse_i64(slice_of("1\0", 2), &value), ERR_PROTOCOL);
    cr_assert_eq(number_parse_i64(slice_of(NULL, 0), &value), ERR_PROTOCOL);
}

Test(number, unsigned_reaches_its_own_limit)
{
    uint64_t value = 0;
    cr_assert_eq(number_parse_u64(slice_cstr("18446744073709551615"), &value), 0);
    cr_assert_eq(value, UINT64_MAX);
    cr_assert_eq(number_parse_u64(slice_cstr("18446744073709551616"), &value), ERR_PROTOCOL);
    cr_assert_eq(number_parse_u64(slice_cstr("28446744073709551615"), &value), ERR_PROTOCOL);
    cr_assert_eq(number_parse_u64(slice_cstr("-1"), &value), ERR_PROTOCOL);
    cr_assert_eq(number_parse_u64(slice_cstr("00"), &value), ERR_PROTOCOL);
}

static void expect_format(int64_t value)
{
    char wanted[32];
    char got[NUMBER_I64_BYTES_MAX];
    int wanted_bytes = snprintf(wanted, sizeof(wanted), "%" PRId64, value);
    size_t got_bytes = number_format_i64(got, value);
    cr_assert_eq(got_bytes, (size_t)wanted_bytes, "%s", wanted);
    cr_assert_eq(memcmp(got, wanted, got_bytes), 0, "%s", wanted);
    int64_t back = ~value;
    cr_assert_eq(number_parse_i64(slice_of(got, got_bytes), &back), 0);
    cr_assert_eq(back, value);
}

Test(number, formats_as_printf_does_and_reads_it_back)
{
    expect_format(0);
    expect_format(INT64_MAX);
    expect_format(INT64_MIN);
    int64_t power = 1;
    for (int digits = 0; digits < 19; digits++) {
        for (int64_t near = -1; near <= 1; near++) {
            expect_format(power + near);
            expect_format(-power + near);
        }
        power = digits < 18 ? power * 10 : power;
    }
    struct random random;
    random_seed(&random, 5);
    for (int i = 0; i < 20000; i++) {
        expect_format((int64_t)(random_u64(&random) >> random_below(&random, 64)));
    }
    char got[NUMBER_U64_BYTES_MAX];
    cr_assert_eq(number_format_u64(got, UINT64_MAX), 20);
    cr_assert_eq(memcmp(got, "18446744073709551615", 20), 0);
}

Test(number, parses_long_doubles_whole)
{
    static const struct {
        const char *text;
        long double value;
    } cases[] = {
        {"0", 0},     {"3.5", 3.5L}, {"-3.5", -3.5L}, {"+2", 2},       {"1e3", 1000},
        {".5", 0.5L}, {"5.", 5},     {"0x10", 16},    {"1E-2", 0.01L}, {"007", 7},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        long double value = 77;
        cr_assert_eq(number_parse_ld(slice_cstr(cases[i].text), &value), 0, "%s", cases[i].text);
        cr_assert(value == cases[i].value, "%s", cases[i].text);
    }
    long double value = 0;
    cr_assert_eq(number_parse_ld(slice_cstr("inf"), &value), 0);
    cr_assert(isinf(value) && value > 0);
    cr_assert_eq(number_parse_ld(slice_cstr("-Infinity"), &value), 0);
    cr_assert(isinf(value) && value < 0);
}

Test(number, refuses_what_is_no_long_double)
{
    static const char *const cases[] = {"",     " 1",     "\t1",     "1 ",  "abc",   "1a", "nan",
                                        "-nan", "1e5000", "1e-5000", "--1", "1.2.3", "."};
    long double value = 77;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(number_parse_ld(slice_cstr(cases[i]), &value), ERR_PROTOCOL, "%s", cases[i]);
    }
    cr_assert_eq(number_parse_ld(slice_of("1\0", 2), &value), ERR_PROTOCOL);
    cr_assert(value == 77);
}

Test(number, parses_long_text_up_to_its_limit)
{
    static char text[NUMBER_LD_BYTES_MAX];
    memset(text, '0', sizeof(text));
    text[0] = '1';
    text[1] = '.';
    long double value = 0;
    size_t lengths[] = {255, 256, 257, NUMBER_LD_BYTES_MAX - 1};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        cr_assert_eq(number_parse_ld(slice_of(text, lengths[i]), &value), 0);
        cr_assert(value == 1);
    }
    cr_assert_eq(number_parse_ld(slice_of(text, NUMBER_LD_BYTES_MAX), &value), ERR_PROTOCOL);
    mem_fail_after(1, false);
    cr_assert_eq(number_parse_ld(slice_of(text, 257), &value), ERR_MEMORY);
}

static void expect_ld(long double value, const char *wanted)
{
    static char text[NUMBER_LD_BYTES_MAX];
    size_t bytes = number_format_ld_human(text, sizeof(text), value);
    cr_assert_eq(bytes, strlen(wanted), "got %s, wanted %s", text, wanted);
    cr_assert_str_eq(text, wanted);
}

Test(number, prints_long_doubles_for_people)
{
    expect_ld(0, "0");
    expect_ld(-0.0L, "0");
    expect_ld(-1e-30L, "0");
    expect_ld(3, "3");
    expect_ld(-3, "-3");
    expect_ld(100, "100");
    expect_ld(10.5L, "10.5");
    expect_ld(0.1L, "0.1");
    expect_ld(5e3L, "5000");
    expect_ld(3.14159265358979L, "3.14159265358979");
    expect_ld(1e17L, "100000000000000000");
    expect_ld(INFINITY, "inf");
    expect_ld(-INFINITY, "-inf");
}

Test(number, long_double_needs_its_room)
{
    char text[40];
    cr_assert_eq(number_format_ld_human(text, 20, 1), 19 - 18);
    cr_assert_eq(number_format_ld_human(text, 19, 1), 0);
    static char large[NUMBER_LD_BYTES_MAX];
    cr_assert_eq(number_format_ld_human(large, sizeof(large), 1e4932L), 4933);
    cr_assert_eq(number_format_ld_human(large, 4900, 1e4932L), 0);
}

static void expect_double(double value, const char *wanted)
{
    char text[NUMBER_DOUBLE_BYTES_MAX];
    size_t bytes = number_format_double(text, value);
    cr_assert_str_eq(text, wanted);
    cr_assert_eq(bytes, strlen(wanted));
}

Test(number, prints_the_shortest_double_that_reads_back)
{
    expect_double(0, "0");
    expect_double(-0.0, "-0");
    expect_double(1, "1");
    expect_double(-2.5, "-2.5");
    expect_double(0.1, "0.1");
    expect_double(1.0 / 3, "0.3333333333333333");
    expect_double(0.1 + 0.2, "0.30000000000000004");
    expect_double(1e300, "1e+300");
    expect_double(-2.2250738585072014e-308, "-2.2250738585072014e-308");
    expect_double(NAN, "nan");
    expect_double(INFINITY, "inf");
    expect_double(-INFINITY, "-inf");
}

Test(number, parses_amounts_of_memory)
{
    static const struct {
        const char *text;
        uint64_t value;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"5b", 5},
        {"1k", 1000},
        {"1kb", 1024},
        {"2M", 2000000},
        {"2mB", 2 << 20},
        {"3g", 3000000000},
        {"3GB", UINT64_C(3) << 30},
        {"1t", 1000000000000},
        {"1TB", UINT64_C(1) << 40},
        {"007", 7},
        {"18446744073709551615", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 77;
        cr_assert_eq(number_parse_bytes(slice_cstr(cases[i].text), &value), 0, "%s", cases[i].text);
        cr_assert_eq(value, cases[i].value, "%s", cases[i].text);
    }
}

Test(number, refuses_what_is_no_amount_of_memory)
{
    static const char *const bad[] = {"",   "b",    "kb",   "-1",   "+1",
                                      " 1", "1 kb", "1kbb", "1.5g", "1x"};
    uint64_t value = 77;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(number_parse_bytes(slice_cstr(bad[i]), &value), ERR_PROTOCOL, "%s", bad[i]);
    }
    static const char *const large[] = {"18446744073709551616", "18446744073709551615kb",
                                        "16777216tb", "99999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
        cr_assert_eq(number_parse_bytes(slice_cstr(large[i]), &value), ERR_LIMIT, "%s", large[i]);
    }
    cr_assert_eq(value, 77);
}
