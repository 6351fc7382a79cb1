#include "base/glob.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/random.h"

static bool matches(const char *pattern, const char *text)
{
    return glob_match(slice_cstr(pattern), slice_cstr(text), false);
}

#define EXPECT_MATCH(pattern, text) cr_assert(matches(pattern, text), "%s on %s", pattern, text)
#define EXPECT_NO_MATCH(pattern, text) \
    cr_assert_not(matches(pattern, text), "%s on %s", pattern, text)

Test(glob, literal_text_matches_itself)
{
    EXPECT_MATCH("", "");
    EXPECT_MATCH("abc", "abc");
    EXPECT_NO_MATCH("abc", "ab");
    EXPECT_NO_MATCH("abc", "abcd");
    EXPECT_NO_MATCH("", "a");
    EXPECT_NO_MATCH("abc", "aBc");
}

Test(glob, star_takes_any_bytes)
{
    EXPECT_MATCH("*", "");
    EXPECT_MATCH("*", "abc");
    EXPECT_MATCH("***", "abc");
    EXPECT_MATCH("a*", "a");
    EXPECT_MATCH("a*c", "abbbc");
    EXPECT_MATCH("*c", "abc");
    EXPECT_MATCH("*b*", "abc");
    EXPECT_MATCH("a*b*c", "aXbXbXc");
    EXPECT_MATCH("*aab", "aaaab");
    EXPECT_NO_MATCH("a*c", "abbb");
    EXPECT_NO_MATCH("*b", "abc");
    EXPECT_NO_MATCH("a*b*c", "acb");
}

Test(glob, empty_text_matches_nothing_and_one_star_only)
{
    EXPECT_MATCH("", "");
    EXPECT_MATCH("*", "");
    EXPECT_NO_MATCH("**", "");
    EXPECT_NO_MATCH("a", "");
}

Test(glob, question_mark_takes_one_byte)
{
    EXPECT_MATCH("?", "a");
    EXPECT_MATCH("a?c", "abc");
    EXPECT_MATCH("*?", "a");
    EXPECT_NO_MATCH("?", "");
    EXPECT_NO_MATCH("*?", "");
    EXPECT_NO_MATCH("?", "ab");
}

Test(glob, set_takes_one_of_its_bytes)
{
    EXPECT_MATCH("h[ae]llo", "hello");
    EXPECT_MATCH("h[ae]llo", "hallo");
    EXPECT_NO_MATCH("h[ae]llo", "hillo");
    EXPECT_MATCH("h[^e]llo", "hallo");
    EXPECT_NO_MATCH("h[^e]llo", "hello");
    EXPECT_MATCH("h[a-c]llo", "hbllo");
    EXPECT_NO_MATCH("h[a-c]llo", "hdllo");
    EXPECT_MATCH("[c-a]", "b");
    /* A range takes what follows the dash, the bracket too; the set then ends with the pattern. */
    EXPECT_NO_MATCH("[a-]", "-");
    EXPECT_MATCH("[a-]", "^");
    EXPECT_MATCH("[\\]]", "]");
    EXPECT_MATCH("[\\-]", "-");
    EXPECT_MATCH("[a^]", "^");
    EXPECT_NO_MATCH("[]", "a");
    EXPECT_MATCH("[^]", "a");
    EXPECT_NO_MATCH("[a]", "");
}

Test(glob, set_that_is_not_closed_ends_with_the_pattern)
{
    EXPECT_MATCH("[abc", "b");
    EXPECT_NO_MATCH("[abc", "d");
    EXPECT_NO_MATCH("[abc", "bb");
    EXPECT_NO_MATCH("[", "[");
    EXPECT_MATCH("[^", "x");
    EXPECT_MATCH("[a\\", "\\");
    EXPECT_MATCH("[a-", "-");
}

Test(glob, backslash_takes_the_next_byte_as_it_is)
{
    EXPECT_MATCH("\\*", "*");
    EXPECT_NO_MATCH("\\*", "a");
    EXPECT_MATCH("a\\?", "a?");
    EXPECT_NO_MATCH("a\\?", "ab");
    EXPECT_MATCH("\\[a]", "[a]");
    EXPECT_MATCH("\\\\", "\\");
    EXPECT_MATCH("a\\", "a\\");
    EXPECT_MATCH("\\a", "a");
}

Test(glob, is_binary_safe)
{
    cr_assert(glob_match(slice_of("a\0?", 3), slice_of("a\0b", 3), false));
    cr_assert_not(glob_match(slice_of("a\0?", 3), slice_of("a", 1), false));
    cr_assert(glob_match(slice_of("*\xff", 2), slice_of("\0\x80\xff", 3), false));
    cr_assert(glob_match(slice_of("[\x80-\xff]", 5), slice_of("\x90", 1), false));
}

Test(glob, can_ignore_case)
{
    cr_assert(glob_match(slice_cstr("MaxMem*"), slice_cstr("maxmemory"), true));
    cr_assert(glob_match(slice_cstr("[A-C]x"), slice_cstr("bX"), true));
    cr_assert_not(glob_match(slice_cstr("[A-C]x"), slice_cstr("bX"), false));
    cr_assert(glob_match(slice_cstr("[QX]"), slice_cstr("x"), true));
}

/* The definition, by recursion, for short inputs over a small alphabet without sets. */
static bool matches_by_definition(const char *pattern, const char *text)
{
    if (*pattern == '\0') {
        return *text == '\0';
    }
    if (*pattern == '*') {
        return matches_by_definition(pattern + 1, text) ||
               (*text != '\0' && matches_by_definition(pattern, text + 1));
    }
    return *text != '\0' && (*pattern == '?' || *pattern == *text) &&
           matches_by_definition(pattern + 1, text + 1);
}

Test(glob, equals_its_definition_on_random_patterns)
{
    struct random random;
    random_seed(&random, 6);
    int matched = 0;
    for (int round = 0; round < 20000; round++) {
        char pattern[8] = "";
        char text[10] = "";
        size_t pattern_bytes = random_below(&random, sizeof(pattern));
        size_t text_bytes = random_below(&random, sizeof(text));
        for (size_t i = 0; i < pattern_bytes; i++) {
            pattern[i] = "ab*?"[random_below(&random, 4)];
        }
        for (size_t i = 0; i < text_bytes; i++) {
            text[i] = "ab"[random_below(&random, 2)];
        }
        /* An empty text has a rule of its own. */
        bool wanted = text_bytes > 0 ? matches_by_definition(pattern, text)
                                     : strcmp(pattern, "") == 0 || strcmp(pattern, "*") == 0;
        cr_assert_eq(matches(pattern, text), wanted, "%s on %s", pattern, text);
        matched += wanted;
    }
    cr_assert(matched > 1000 && matched < 19000);
}

Test(glob, ends_on_patterns_that_would_take_forever_by_recursion)
{
    static char pattern[201];
    static char text[2001];
    for (int i = 0; i < 200; i += 2) {
        memcpy(pattern + i, "*a", 2);
    }
    pattern[199] = 'b';
    memset(text, 'a', 2000);
    EXPECT_NO_MATCH(pattern, text);
}

static void expect_prefix(const char *pattern, const char *prefix, bool literal)
{
    uint8_t got[16];
    size_t bytes = glob_literal_prefix(slice_cstr(pattern), got, sizeof(got));
    cr_assert(slice_equal(slice_of(got, bytes), slice_cstr(prefix)), "%s", pattern);
    cr_assert_eq(glob_is_literal(slice_cstr(pattern)), literal, "%s", pattern);
}

Test(glob, knows_the_prefix_of_every_match)
{
    expect_prefix("", "", true);
    expect_prefix("user:*", "user:", false);
    expect_prefix("user:1", "user:1", true);
    expect_prefix("*", "", false);
    expect_prefix("a?b", "a", false);
    expect_prefix("a[b]", "a", false);
    expect_prefix("a\\*b*", "a*b", false);
    expect_prefix("a\\*b", "a*b", true);
    expect_prefix("a\\", "a\\", true);
    expect_prefix("0123456789abcdefgh*", "0123456789abcdef", false);
}

Test(glob, prefix_stops_at_the_room_given)
{
    uint8_t got[4] = {0, 0, 0, 9};
    cr_assert_eq(glob_literal_prefix(slice_cstr("abcdef"), got, 3), 3);
    cr_assert_eq(got[2], 'c');
    cr_assert_eq(got[3], 9);
    cr_assert_eq(glob_literal_prefix(slice_cstr("abc"), got, 0), 0);
}
