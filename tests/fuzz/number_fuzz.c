/*
 * number: what is taken for a number is printed as it was written; sizes are what their unit says;
 * quoted words come back from quote_split.
 *
 * Input: text.
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/number.h"
#include "base/quote.h"
#include "fuzz.h"

enum { TEXT_MAX = 512, WORDS_MAX = 16 };

static void check_integers(struct slice text)
{
    char printed[NUMBER_I64_BYTES_MAX];
    int64_t number;
    if (number_parse_i64(text, &number) == 0) {
        MUST(slice_equal(slice_of(printed, number_format_i64(printed, number)), text));
    }
    uint64_t natural;
    if (number_parse_u64(text, &natural) == 0) {
        MUST(slice_equal(slice_of(printed, number_format_u64(printed, natural)), text));
    }
    /* The same number by the C library. */
    char cstr[32];
    if (text.bytes < sizeof(cstr) && memchr(text.data, '\0', text.bytes) == NULL) {
        memcpy(cstr, text.data, text.bytes);
        cstr[text.bytes] = '\0';
        char again[32];
        errno = 0;
        long long read = strtoll(cstr, NULL, 10);
        (void)snprintf(again, sizeof(again), "%lld", read);
        bool canonical = errno == 0 && strcmp(again, cstr) == 0;
        MUST(canonical == (number_parse_i64(text, &number) == 0));
        MUST(!canonical || number == read);
    }
}

static void check_sizes(struct slice text)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {
        {"", 1},
        {"b", 1},
        {"k", 1000},
        {"kb", 1 << 10},
        {"m", 1000000},
        {"mb", 1 << 20},
        {"g", 1000000000},
        {"gb", 1 << 30},
        {"t", UINT64_C(1000000000000)},
        {"tb", UINT64_C(1) << 40},
    };
    uint64_t parsed;
    if (number_parse_bytes(text, &parsed) != 0) {
        return;
    }
    size_t digits = 0;
    uint64_t count = 0;
    for (; digits < text.bytes && text.data[digits] >= '0' && text.data[digits] <= '9'; digits++) {
        count = count * 10 + (uint64_t)(text.data[digits] - '0');
    }
    struct slice unit = slice_skip(text, digits);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (slice_equal_nocase_cstr(unit, units[i].name)) {
            MUST(digits > 0 && parsed == count * units[i].bytes);
            return;
        }
    }
    MUST(!"a unit that is none");
}

static void check_reals(struct slice text)
{
    long double real;
    char printed[NUMBER_LD_BYTES_MAX];
    if (number_parse_ld(text, &real) == 0) {
        MUST(!isnan(real));
        size_t bytes = number_format_ld_human(printed, sizeof(printed), real);
        MUST(bytes > 0 && strlen(printed) == bytes);
        long double again;
        MUST(number_parse_ld(slice_of(printed, bytes), &again) == 0);
    }
    if (text.bytes >= sizeof(double)) {
        double value;
        memcpy(&value, text.data, sizeof(value));
        size_t bytes = number_format_double(printed, value);
        MUST(bytes > 0 && bytes < NUMBER_DOUBLE_BYTES_MAX && strlen(printed) == bytes);
        MUST(isnan(value) || strtod(printed, NULL) == value);
    }
}

/* The words of a line, quoted again, are the same words. */
static void check_words(struct slice line)
{
    struct slice words[WORDS_MAX];
    struct slice again[WORDS_MAX];
    struct buffer storage;
    struct buffer quoted;
    struct buffer storage_again;
    buffer_init(&storage, TEXT_MAX);
    buffer_init(&quoted, TEXT_MAX * 8);
    buffer_init(&storage_again, TEXT_MAX * 8);
    int count = quote_split(line, words, WORDS_MAX, &storage);
    for (int i = 0; i < count; i++) {
        MUST(quote_append(&quoted, words[i]) == 0);
        MUST(buffer_append_byte(&quoted, ' ') == 0);
    }
    if (count >= 0) {
        MUST(quote_split(buffer_slice(&quoted), again, WORDS_MAX, &storage_again) == count);
    }
    for (int i = 0; i < count; i++) {
        MUST(slice_equal(words[i], again[i]));
    }
    buffer_deinit(&storage);
    buffer_deinit(&quoted);
    buffer_deinit(&storage_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = copy_exactly(slice_of(data, bytes < TEXT_MAX ? bytes : TEXT_MAX));
    struct slice text = slice_of(copy, bytes < TEXT_MAX ? bytes : TEXT_MAX);
    check_integers(text);
    check_sizes(text);
    check_reals(text);
    check_words(text);
    free(copy);
    return 0;
}
