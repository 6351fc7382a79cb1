/*
 * glob: agrees with a plain matcher that tries everything, and takes no more steps than pattern
 * times text, counted by the functions that it calls.
 *
 * Input: u8 (1: any case) | u8 bytes of the pattern | pattern | text.
 */
#include <string.h>

#include "base/glob.h"
#include "fuzz.h"

/* ---- steps: glob.c is compiled so that each of its functions tells when it begins ---- */

#define UNCOUNTED __attribute__((no_instrument_function))
void __cyg_profile_func_enter(void *function, void *from) UNCOUNTED;
void __cyg_profile_func_exit(void *function, void *from) UNCOUNTED;

static uint64_t steps;

void __cyg_profile_func_enter(void *function, void *from)
{
    (void)function;
    (void)from;
    steps++;
}

void __cyg_profile_func_exit(void *function, void *from)
{
    (void)function;
    (void)from;
}

/* ---- the plain matcher: a table of elements, then every prefix against every prefix ---- */

enum { PATTERN_MAX = 255, TEXT_MAX = 1024 };

struct element {
    bool star;
    bool takes[256];
};

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
}

static void element_add(struct element *element, uint8_t low, uint8_t high, bool nocase)
{
    low = nocase ? lower(low) : low;
    high = nocase ? lower(high) : high;
    for (int byte = 0; byte < 256; byte++) {
        uint8_t folded = nocase ? lower((uint8_t)byte) : (uint8_t)byte;
        bool between =
            low <= high ? folded >= low && folded <= high : folded >= high && folded <= low;
        element->takes[byte] |= between;
    }
}

/* The set behind a '['; returns what follows it. */
static size_t element_set(struct element *element, struct slice p, size_t at, bool nocase)
{
    bool negated = at < p.bytes && p.data[at] == '^';
    at += negated;
    while (at < p.bytes && p.data[at] != ']') {
        if (p.data[at] == '\\' && at + 1 < p.bytes) {
            element->takes[p.data[at + 1]] = true; /* this very byte, as in Redis */
            at += 2;
        } else if (at + 2 < p.bytes && p.data[at + 1] == '-') {
            element_add(element, p.data[at], p.data[at + 2], nocase);
            at += 3;
        } else {
            element_add(element, p.data[at], p.data[at], nocase);
            at++;
        }
    }
    for (int byte = 0; byte < 256 && negated; byte++) {
        element->takes[byte] = !element->takes[byte];
    }
    return at < p.bytes ? at + 1 : at;
}

static uint32_t elements_read(struct slice p, bool nocase, struct element *elements)
{
    uint32_t count = 0;
    for (size_t at = 0; at < p.bytes; count++) {
        struct element *element = &elements[count];
        memset(element, 0, sizeof(*element));
        uint8_t byte = p.data[at++];
        if (byte == '*') {
            element->star = true;
        } else if (byte == '?') {
            element_add(element, 0, 255, false);
        } else if (byte == '[') {
            at = element_set(element, p, at, nocase);
        } else {
            if (byte == '\\' && at < p.bytes) {
                byte = p.data[at++];
            }
            element_add(element, byte, byte, nocase);
        }
    }
    return count;
}

static bool plain_match(struct slice pattern, struct slice text, bool nocase)
{
    static struct element elements[PATTERN_MAX];
    static bool now[TEXT_MAX + 1]; /* now[i]: the elements so far match the first i bytes */
    if (text.bytes == 0) { /* as Redis: any other pattern wants at least one byte */
        return pattern.bytes == 0 || slice_equal(pattern, slice_cstr("*"));
    }
    uint32_t count = elements_read(pattern, nocase, elements);
    memset(now, 0, sizeof(now));
    now[0] = true;
    for (uint32_t e = 0; e < count; e++) {
        if (elements[e].star) {
            for (size_t i = 1; i <= text.bytes; i++) {
                now[i] |= now[i - 1];
            }
            continue;
        }
        for (size_t i = text.bytes; i > 0; i--) {
            now[i] = now[i - 1] && elements[e].takes[text.data[i - 1]];
        }
        now[0] = false;
    }
    return now[text.bytes];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct feed feed = {data, bytes};
    bool nocase = feed_u8(&feed) % 2 == 1;
    struct slice pattern = feed_slice(&feed, feed_u8(&feed));
    struct slice text = feed_slice(&feed, TEXT_MAX);
    steps = 0;
    bool matches = glob_match(pattern, text, nocase);
    /* An element of a set costs a range, which folds three bytes, or two bytes. */
    MUST(steps <= 8 * (pattern.bytes + 2) * (text.bytes + 2));
    MUST(text.bytes == 0 || pattern.bytes == 0 || steps > 0);
    MUST(matches == plain_match(pattern, text, nocase));
    uint8_t prefix[PATTERN_MAX];
    size_t prefix_bytes = glob_literal_prefix(pattern, prefix, sizeof(prefix));
    struct slice start = slice_of(prefix, prefix_bytes);
    if (matches && !nocase) {
        MUST(slice_starts_with(text, start));
    }
    if (glob_is_literal(pattern) && !nocase) {
        MUST(matches == slice_equal(text, start));
    }
    return 0;
}
