#include "base/glob.h"

/* A position in a pattern, and what the element there says about one byte. */
struct glob_step {
    size_t next; /* where the next element starts */
    bool matches;
};

static uint8_t glob_fold(uint8_t byte, bool nocase)
{
    return nocase && byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

static bool glob_in_range(uint8_t from, uint8_t to, uint8_t byte, bool nocase)
{
    from = glob_fold(from, nocase);
    to = glob_fold(to, nocase);
    byte = glob_fold(byte, nocase);
    return from <= to ? byte >= from && byte <= to : byte >= to && byte <= from;
}

/* The set that starts behind the '[' at `at` - 1. Within it a backslash takes the next byte as it
 * is. */
static struct glob_step glob_step_set(struct slice pattern, size_t at, uint8_t byte, bool nocase)
{
    const uint8_t *p = pattern.data;
    size_t end = pattern.bytes;
    bool negated = at < end && p[at] == '^';
    at += negated;
    bool matches = false;
    while (at < end && p[at] != ']') {
        if (p[at] == '\\' && at + 1 < end) {
            matches |= p[at + 1] == byte;
            at += 2;
        } else if (at + 2 < end && p[at + 1] == '-') {
            matches |= glob_in_range(p[at], p[at + 2], byte, nocase);
            at += 3;
        } else {
            matches |= glob_fold(p[at], nocase) == glob_fold(byte, nocase);
            at++;
        }
    }
    /* A set that is not closed ends with the pattern. */
    return (struct glob_step){.next = at < end ? at + 1 : end, .matches = matches != negated};
}

/* The element at `at`, which is not a '*', against one byte. */
static struct glob_step glob_step_one(struct slice pattern, size_t at, uint8_t byte, bool nocase)
{
    const uint8_t *p = pattern.data;
    switch (p[at]) {
    case '?':
        return (struct glob_step){.next = at + 1, .matches = true};
    case '[':
        return glob_step_set(pattern, at + 1, byte, nocase);
    case '\\':
        at += at + 1 < pattern.bytes;
        break;
    default:
        break;
    }
    return (struct glob_step){
        .next = at + 1,
        .matches = glob_fold(p[at], nocase) == glob_fold(byte, nocase),
    };
}

static size_t glob_skip_stars(struct slice pattern, size_t at)
{
    while (at < pattern.bytes && pattern.data[at] == '*') {
        at++;
    }
    return at;
}

/*
 * Only the last '*' is ever tried again: what an earlier one could take more, the later one can
 * take as well. So there is one place to go back to, and no exponential search.
 */
bool glob_match(struct slice pattern, struct slice text, bool nocase)
{
    if (text.bytes == 0) {
        /* Redis leaves its loop before it looks at the pattern; "*" alone its commands know. */
        return pattern.bytes == 0 || slice_equal(pattern, slice_cstr("*"));
    }
    size_t at = 0;
    size_t i = 0;
    size_t star_at = 0; /* behind the last '*'; 0 while there was none */
    size_t star_i = 0;  /* the first byte that this '*' does not take */
    while (i < text.bytes) {
        if (at < pattern.bytes && pattern.data[at] == '*') {
            at = glob_skip_stars(pattern, at);
            if (at == pattern.bytes) {
                return true;
            }
            star_at = at;
            star_i = i;
            continue;
        }
        if (at < pattern.bytes) {
            struct glob_step step = glob_step_one(pattern, at, text.data[i], nocase);
            if (step.matches) {
                at = step.next;
                i++;
                continue;
            }
        }
        if (star_at == 0) {
            return false;
        }
        at = star_at;
        star_i++;
        i = star_i;
    }
    return glob_skip_stars(pattern, at) == pattern.bytes;
}

static bool glob_is_special(uint8_t byte)
{
    return byte == '*' || byte == '?' || byte == '[';
}

size_t glob_literal_prefix(struct slice pattern, uint8_t *ret_prefix, size_t bytes_max)
{
    size_t bytes = 0;
    for (size_t at = 0; at < pattern.bytes && bytes < bytes_max; at++) {
        if (glob_is_special(pattern.data[at])) {
            break;
        }
        if (pattern.data[at] == '\\' && at + 1 < pattern.bytes) {
            at++;
        }
        ret_prefix[bytes++] = pattern.data[at];
    }
    return bytes;
}

bool glob_is_literal(struct slice pattern)
{
    for (size_t at = 0; at < pattern.bytes; at++) {
        if (glob_is_special(pattern.data[at])) {
            return false;
        }
        if (pattern.data[at] == '\\') {
            at++;
        }
    }
    return true;
}
