#include "base/quote.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"

#define ARGS_MAX 8

static struct slice args[ARGS_MAX];
static struct buffer storage;

static void start(void)
{
    buffer_init(&storage, 4096);
}

static void end(void)
{
    buffer_deinit(&storage);
}

TestSuite(quote, .init = start, .fini = end);

static int split(const char *line)
{
    buffer_clear(&storage);
    return quote_split(slice_cstr(line), args, ARGS_MAX, &storage);
}

/* Splits `line` and expects `count` arguments that are, joined by '|', `joined`. */
static void expect_split(const char *line, int count, const char *joined)
{
    cr_assert_eq(split(line), count, "%s", line);
    char got[256];
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        if (i > 0) {
            got[bytes++] = '|';
        }
        memcpy(got + bytes, args[i].data, args[i].bytes);
        bytes += args[i].bytes;
    }
    cr_assert(slice_equal(slice_of(got, bytes), slice_cstr(joined)), "%s gave %.*s", line,
              (int)bytes, got);
}

Test(quote, splits_at_blanks)
{
    expect_split("", 0, "");
    expect_split("  \t\r\n ", 0, "");
    expect_split("set key value", 3, "set|key|value");
    expect_split("  set\tkey \r\n", 2, "set|key");
}

Test(quote, double_quotes_hold_blanks_and_escapes)
{
    expect_split("\"hello world\" x", 2, "hello world|x");
    expect_split("\"\"", 1, "");
    expect_split("a \"\" b", 3, "a||b");
    expect_split("\"\\n\\r\\t\\b\\a\\\\\\\"\\q\"", 1, "\n\r\t\b\a\\\"q");
    expect_split("\"\\x41\\xfF\"", 1, "A\xff");
    expect_split("\"\\x4\" \"\\xg1\" \"\\x\"", 3, "x4|xg1|x");
    expect_split("\"it's\"", 1, "it's");
}

Test(quote, single_quotes_know_only_one_escape)
{
    expect_split("'hello world'", 1, "hello world");
    expect_split("'it\\'s'", 1, "it's");
    expect_split("'a\\nb\"'", 1, "a\\nb\"");
}

Test(quote, a_quote_may_begin_within_a_word)
{
    expect_split("foo\"bar baz\" x", 2, "foobar baz|x");
    expect_split("foo'bar' x", 2, "foobar|x");
}

Test(quote, refuses_unbalanced_quotes)
{
    static const char *const lines[] = {
        "\"abc", "'abc",       "\"",      "'",       "\"abc\"x",  "'abc'x",
        "a \"b", "\"abc\"\"d", "\"abc\\", "'abc\\'", "\"abc\\\"",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        cr_assert_eq(split(lines[i]), ERR_PROTOCOL, "%s", lines[i]);
    }
}

Test(quote, a_nul_ends_the_line)
{
    cr_assert_eq(quote_split(slice_of("a b\0c d", 7), args, ARGS_MAX, &storage), 2);
    cr_assert_eq(quote_split(slice_of("\0", 1), args, ARGS_MAX, &storage), 0);
    cr_assert_eq(quote_split(slice_of(NULL, 0), args, ARGS_MAX, &storage), 0);
}

Test(quote, takes_as_many_arguments_as_there_is_room_for)
{
    cr_assert_eq(split("1 2 3 4 5 6 7 8"), 8);
    cr_assert_eq(split("1 2 3 4 5 6 7 8 "), 8);
    cr_assert_eq(split("1 2 3 4 5 6 7 8 9"), ERR_LIMIT);
}

Test(quote, keeps_what_is_in_the_storage)
{
    cr_assert_eq(buffer_append_cstr(&storage, "before"), 0);
    cr_assert_eq(quote_split(slice_cstr("a 'b c'"), args, ARGS_MAX, &storage), 2);
    cr_assert(slice_equal(buffer_slice(&storage), slice_cstr("beforeab c")));
    cr_assert(slice_equal(args[1], slice_cstr("b c")));
}

Test(quote, says_when_the_storage_is_full_or_memory_is_out)
{
    struct buffer small;
    buffer_init(&small, 5);
    cr_assert_eq(quote_split(slice_cstr("abcdef"), args, ARGS_MAX, &small), ERR_LIMIT);
    mem_fail_after(1, false);
    cr_assert_eq(quote_split(slice_cstr("abcde"), args, ARGS_MAX, &small), ERR_MEMORY);
    cr_assert_eq(quote_split(slice_cstr("abcde"), args, ARGS_MAX, &small), 1);
    buffer_deinit(&small);
}

static void expect_quoted(struct slice text, const char *wanted)
{
    buffer_clear(&storage);
    cr_assert_eq(quote_append(&storage, text), 0);
    cr_assert(slice_equal(buffer_slice(&storage), slice_cstr(wanted)), "got %.*s, wanted %s",
              (int)storage.bytes, (const char *)storage.data, wanted);
}

Test(quote, writes_printable_text)
{
    expect_quoted(slice_cstr(""), "\"\"");
    expect_quoted(slice_of(NULL, 0), "\"\"");
    expect_quoted(slice_cstr("hello world"), "\"hello world\"");
    expect_quoted(slice_cstr("\n\r\t\a\b\\\"'"), "\"\\n\\r\\t\\a\\b\\\\\\\"'\"");
    expect_quoted(slice_of("\0\x1f\x7f\xff~", 5), "\"\\x00\\x1f\\x7f\\xff~\"");
}

Test(quote, says_when_there_is_no_room_to_write)
{
    struct buffer small;
    buffer_init(&small, 7);
    cr_assert_eq(quote_append(&small, slice_cstr("abcde")), 0);
    buffer_clear(&small);
    cr_assert_eq(quote_append(&small, slice_cstr("abcd\n")), ERR_LIMIT);
    cr_assert_eq(small.bytes, 0);
    buffer_deinit(&small);
}

Test(quote, reads_back_what_it_wrote)
{
    struct random random;
    struct buffer line;
    uint8_t text[64];
    random_seed(&random, 9);
    buffer_init(&line, 1024);
    for (int round = 0; round < 2000; round++) {
        size_t bytes = random_below(&random, sizeof(text));
        for (size_t i = 0; i < bytes; i++) {
            text[i] = (uint8_t)random_u64(&random);
        }
        buffer_clear(&line);
        buffer_clear(&storage);
        cr_assert_eq(quote_append(&line, slice_of(text, bytes)), 0);
        cr_assert_eq(quote_split(buffer_slice(&line), args, ARGS_MAX, &storage), 1);
        cr_assert(slice_equal(args[0], slice_of(text, bytes)));
    }
    buffer_deinit(&line);
}
