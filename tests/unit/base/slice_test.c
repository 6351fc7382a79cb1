#include "base/slice.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "base/mem.h"

Test(slice, equal_means_same_bytes)
{
    cr_assert(slice_equal(slice_cstr("abc"), slice_of("abcd", 3)));
    cr_assert_not(slice_equal(slice_cstr("abc"), slice_cstr("abd")));
    cr_assert_not(slice_equal(slice_cstr("abc"), slice_cstr("ab")));
    cr_assert(slice_equal(slice_of(NULL, 0), slice_cstr("")));
    cr_assert(slice_equal(slice_of("a\0b", 3), slice_of("a\0b", 3)));
    cr_assert_not(slice_equal(slice_of("a\0b", 3), slice_of("a\0c", 3)));
}

Test(slice, compares_unsigned_bytes_then_length)
{
    cr_assert_lt(slice_compare(slice_cstr("a"), slice_cstr("b")), 0);
    cr_assert_gt(slice_compare(slice_cstr("\xff"), slice_cstr("\x01")), 0);
    cr_assert_lt(slice_compare(slice_cstr("ab"), slice_cstr("abc")), 0);
    cr_assert_gt(slice_compare(slice_cstr("b"), slice_cstr("abc")), 0);
    cr_assert_eq(slice_compare(slice_cstr("abc"), slice_cstr("abc")), 0);
    cr_assert_eq(slice_compare(slice_of(NULL, 0), slice_cstr("")), 0);
    cr_assert_lt(slice_compare(slice_of(NULL, 0), slice_cstr("a")), 0);
}

Test(slice, knows_prefixes)
{
    cr_assert(slice_starts_with(slice_cstr("user:1"), slice_cstr("user:")));
    cr_assert(slice_starts_with(slice_cstr("user:1"), slice_of(NULL, 0)));
    cr_assert_not(slice_starts_with(slice_cstr("us"), slice_cstr("user:")));
    cr_assert_not(slice_starts_with(slice_cstr("uzer:1"), slice_cstr("user:")));
}

Test(slice, skips_from_the_front)
{
    cr_assert(slice_equal(slice_skip(slice_cstr("abc"), 1), slice_cstr("bc")));
    cr_assert_eq(slice_skip(slice_cstr("abc"), 3).bytes, 0);
    cr_assert_eq(slice_skip(slice_of(NULL, 0), 0).bytes, 0);
}

Test(slice, cannot_skip_more_than_is_there, .signal = SIGABRT)
{
    (void)slice_skip(slice_cstr("abc"), 4);
}

Test(slice, ignores_only_the_case_of_letters)
{
    cr_assert(slice_equal_nocase_cstr(slice_cstr("GeT"), "get"));
    cr_assert(slice_equal_nocase(slice_cstr("aZ09"), slice_cstr("Az09")));
    cr_assert_not(slice_equal_nocase_cstr(slice_cstr("get"), "gett"));
    cr_assert_not(slice_equal_nocase_cstr(slice_cstr("@"), "`"));
    cr_assert_not(slice_equal_nocase_cstr(slice_cstr("["), "{"));
    cr_assert_not(slice_equal_nocase_cstr(slice_cstr("\xc4"), "\xe4"));
}

Test(slice, duplicates_with_a_nul)
{
    char *copy = slice_dup_cstr(slice_of("abcdef", 3));
    cr_assert_str_eq(copy, "abc");
    mem_free(copy);
    copy = slice_dup_cstr(slice_of(NULL, 0));
    cr_assert_str_eq(copy, "");
    mem_free(copy);
}

Test(slice, duplicate_is_null_when_memory_is_out)
{
    mem_fail_after(1, false);
    cr_assert_eq(slice_dup_cstr(slice_cstr("abc")), NULL);
}
