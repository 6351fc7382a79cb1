#include "net/resp.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "base/random.h"

#define MB (1024 * 1024)

static const struct resp_limits limits = {.bulk_bytes_max = 512 * MB, .authenticated = true};
static const struct resp_limits unauth = {.bulk_bytes_max = 512 * MB, .authenticated = false};

static struct resp_parser *parser_new(void)
{
    struct resp_parser *parser = NULL;
    cr_assert_eq(resp_parser_create(&parser), 0);
    return parser;
}

static struct slice text(const char *bytes)
{
    return slice_cstr(bytes);
}

/* ---- a run over a whole input, written down as text: "[a|b][c]" and "!error" ---- */

static void note(struct buffer *out, const struct resp_command *command)
{
    cr_assert_eq(buffer_append_byte(out, '['), 0);
    for (uint32_t i = 0; i < command->argc; i++) {
        if (i > 0) {
            cr_assert_eq(buffer_append_byte(out, '|'), 0);
        }
        cr_assert_eq(buffer_append_slice(out, command->args[i]), 0);
    }
    cr_assert_eq(buffer_append_byte(out, ']'), 0);
}

/* Feeds `input` so that the window grows as bytes "arrive" in pieces ending at each of cuts[]. The
 * window is a fresh copy each time: whoever kept a pointer into an old one is found by ASan.
 * Returns false after an error. */
static bool run_pieces(struct slice input, const size_t *cuts, size_t cuts_count,
                       const struct resp_limits *with, struct buffer *out)
{
    struct resp_parser *parser = parser_new();
    size_t done = 0;
    bool broken = false;
    for (size_t c = 0; c <= cuts_count && !broken; c++) {
        size_t end = c < cuts_count && cuts[c] < input.bytes ? cuts[c] : input.bytes;
        bool more = false;
        while (!more && !broken) {
            size_t bytes = end - done;
            uint8_t *window = malloc(bytes + 1);
            memcpy(window, input.data + done, bytes);
            struct resp_command command;
            switch (resp_parse(parser, with, slice_of(window, bytes), &command)) {
            case RESP_MORE:
                cr_assert_gt(command.need_bytes, bytes);
                more = true;
                break;
            case RESP_COMMAND:
                cr_assert_gt(command.used_bytes, 0);
                cr_assert_leq(command.used_bytes, bytes);
                note(out, &command);
                done += command.used_bytes;
                break;
            case RESP_EMPTY:
                cr_assert_gt(command.used_bytes, 0);
                done += command.used_bytes;
                break;
            case RESP_BROKEN:
                cr_assert_eq(buffer_printf(out, "!%s", command.error_text), 0);
                cr_assert(!resp_parser_in_command(parser));
                broken = true;
                break;
            }
            free(window);
        }
    }
    if (!broken) {
        cr_assert_eq(resp_parser_in_command(parser), done < input.bytes);
    }
    resp_parser_destroy(parser);
    return !broken;
}

static void expect(struct slice input, const struct resp_limits *with, const char *expected)
{
    struct buffer out;
    buffer_init(&out, 64 * MB);
    run_pieces(input, NULL, 0, with, &out);
    cr_assert(slice_equal(buffer_slice(&out), text(expected)), "got %.*s, expected %s",
              (int)out.bytes, (const char *)out.data, expected);
    buffer_deinit(&out);
}

struct row {
    const char *input;
    const char *expected;
};

static const struct row rows[] = {
    {"*1\r\n$4\r\nPING\r\n", "[PING]"},
    {"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n*1\r\n$4\r\nPING\r\n", "[SET|k|value][PING]"},
    {"*2\r\n$0\r\n\r\n$3\r\n\r\n\n\r\n", "[|\r\n\n]"},
    {"*0\r\n*1\r\n$1\r\na\r\n", "[a]"},
    {"*-1\r\n*1\r\n$1\r\na\r\n", "[a]"},
    {"*-10\r\n", ""},
    {"PING\r\n", "[PING]"},
    {"PING\n", "[PING]"},
    {"\r\n\n  \r\nPING\r\n", "[PING]"},
    {"SET  k\tv \r\n*1\r\n$1\r\na\r\nGET k\n", "[SET|k|v][a][GET|k]"},
    {"SET k \"a b\\x41\\n\\\"\" 'c\\'d'\r\n", "[SET|k|a bA\n\"|c'd]"},
    {"SET k \"\"\r\nGET k\r\n", "[SET|k|][GET|k]"},
    {"\"\"\r\n", "[]"},
    {"a b c d e f g h i j k\r\n", "[a|b|c|d|e|f|g|h|i|j|k]"},
    {"'a b' b c d e f g h i j k\r\n", "[a b|b|c|d|e|f|g|h|i|j|k]"},
    {"*1", ""},
    {"*1\r\n$4\r\nPI", ""},
    {"*\r\n", "!Protocol error: invalid multibulk length"},
    {"*x\r\n", "!Protocol error: invalid multibulk length"},
    {"*01\r\n", "!Protocol error: invalid multibulk length"},
    {"*+1\r\n", "!Protocol error: invalid multibulk length"},
    {"* 1\r\n", "!Protocol error: invalid multibulk length"},
    {"*-0\r\n", "!Protocol error: invalid multibulk length"},
    {"*1\r\r", "!Protocol error: invalid multibulk length"},
    {"*1048577\r\n", "!Protocol error: invalid multibulk length"},
    {"*2147483647\r\n", "!Protocol error: invalid multibulk length"},
    {"*9223372036854775807\r\n", "!Protocol error: invalid multibulk length"},
    {"*9223372036854775808\r\n", "!Protocol error: invalid multibulk length"},
    {"*1\r\n$-1\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$a\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$00\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$1 \r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$1\rx", "!Protocol error: invalid bulk length"},
    {"*1\r\n$-2147483648\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$9999999999\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$536870913\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\n$18446744073709551616\r\n", "!Protocol error: invalid bulk length"},
    {"*1\r\nfoo\r\n", "!Protocol error: expected '$', got 'f'"},
    {"*1\r\n:1\r\n", "!Protocol error: expected '$', got ':'"},
    {"*1\r\n\r\n", "!Protocol error: expected '$', got '?'"},
    {"*1\r\n*1\r\n$1\r\na\r\n", "!Protocol error: expected '$', got '*'"},
    {"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "!Protocol error: expected '$', got 'f'"},
    {"*1\r\n$4\r\nPINGS\r\n", "!Protocol error: expected CRLF after bulk"},
    {"*1\r\n$4\r\nPING\n\r\n", "!Protocol error: expected CRLF after bulk"},
    {"*1\r\n$4\r\nPING\r\r\n", "!Protocol error: expected CRLF after bulk"},
    {"*1\r\n$1\r\na\r\n*1\r\nx", "[a]!Protocol error: expected '$', got 'x'"},
    {"SET k \"abc\r\n", "!Protocol error: unbalanced quotes in request"},
    {"SET k 'abc\r\n", "!Protocol error: unbalanced quotes in request"},
    {"SET k \"abc\"d\r\n", "!Protocol error: unbalanced quotes in request"},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

Test(resp, takes_what_is_valid_and_names_what_is_not)
{
    for (size_t i = 0; i < ROWS; i++) {
        expect(text(rows[i].input), &limits, rows[i].expected);
    }
}

Test(resp, gives_the_same_for_every_cut_into_pieces)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct slice input = text(rows[i].input);
        for (size_t a = 0; a <= input.bytes; a++) {
            for (size_t b = a; b <= input.bytes; b++) {
                struct buffer out;
                buffer_init(&out, MB);
                run_pieces(input, (size_t[]){a, b}, 2, &limits, &out);
                cr_assert(slice_equal(buffer_slice(&out), text(rows[i].expected)),
                          "row %zu cut at %zu and %zu", i, a, b);
                buffer_deinit(&out);
            }
        }
    }
}

Test(resp, gives_the_same_byte_by_byte)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct slice input = text(rows[i].input);
        size_t cuts[256];
        cr_assert_leq(input.bytes, 256);
        for (size_t c = 0; c < input.bytes; c++) {
            cuts[c] = c;
        }
        struct buffer out;
        buffer_init(&out, MB);
        run_pieces(input, cuts, input.bytes, &limits, &out);
        cr_assert(slice_equal(buffer_slice(&out), text(rows[i].expected)), "row %zu", i);
        buffer_deinit(&out);
    }
}

Test(resp, keeps_nul_bytes_in_bulks_and_lets_one_end_an_inline_line)
{
    struct resp_parser *parser = parser_new();
    struct resp_command command;
    struct slice bulk = slice_of("*1\r\n$3\r\n\0a\0\r\n", 13);
    cr_assert_eq(resp_parse(parser, &limits, bulk, &command), RESP_COMMAND);
    cr_assert(slice_equal(command.args[0], slice_of("\0a\0", 3)));
    cr_assert_eq(resp_parse(parser, &limits, slice_of("a b\0c\r\n", 7), &command), RESP_COMMAND);
    cr_assert_eq(command.argc, 2);
    cr_assert(slice_equal(command.args[1], text("b")));
    resp_parser_destroy(parser);
}

/* ---- limits ---- */

static void fill_command(struct buffer *out, uint32_t argc)
{
    cr_assert_eq(buffer_printf(out, "*%u\r\n", argc), 0);
    for (uint32_t i = 0; i < argc; i++) {
        cr_assert_eq(buffer_append(out, "$1\r\na\r\n", 7), 0);
    }
}

Test(resp, takes_a_million_arguments_and_no_more)
{
    struct buffer input;
    buffer_init(&input, 64 * MB);
    fill_command(&input, RESP_ARGS_MAX);
    struct resp_parser *parser = parser_new();
    struct resp_command command;
    cr_assert_eq(resp_parse(parser, &limits, buffer_slice(&input), &command), RESP_COMMAND);
    cr_assert_eq(command.argc, RESP_ARGS_MAX);
    cr_assert_eq(command.used_bytes, input.bytes);
    cr_assert(slice_equal(command.args[RESP_ARGS_MAX - 1], text("a")));
    resp_parser_destroy(parser);
    buffer_deinit(&input);
    expect(text("*1048576\r\n"), &limits, "");
    expect(text("*1048577\r\n"), &limits, "!Protocol error: invalid multibulk length");
}

Test(resp, holds_bulks_to_their_limit)
{
    struct resp_limits tight = {.bulk_bytes_max = 4, .authenticated = true};
    expect(text("*1\r\n$4\r\nabcd\r\n"), &tight, "[abcd]");
    expect(text("*1\r\n$5\r\nabcde\r\n"), &tight, "!Protocol error: invalid bulk length");
}

Test(resp, holds_strangers_to_tight_limits)
{
    struct buffer input;
    buffer_init(&input, MB);
    fill_command(&input, RESP_UNAUTH_ARGS_MAX);
    expect(buffer_slice(&input), &unauth, "[a|a|a|a|a|a|a|a|a|a]");
    buffer_clear(&input);
    fill_command(&input, RESP_UNAUTH_ARGS_MAX + 1);
    expect(buffer_slice(&input), &unauth, "!Protocol error: unauthenticated multibulk length");
    expect(text("*1\r\n$16384\r\n"), &unauth, "");
    expect(text("*1\r\n$16385\r\n"), &unauth, "!Protocol error: unauthenticated bulk length");
    buffer_deinit(&input);
}

/* `first`, then `fill` of 'a', then `last`; the outcome must not depend on where it is cut. */
static void expect_line(const char *first, size_t fill, const char *last, const char *expected)
{
    struct buffer input;
    buffer_init(&input, MB);
    cr_assert_eq(buffer_append_cstr(&input, first), 0);
    for (size_t i = 0; i < fill; i++) {
        cr_assert_eq(buffer_append_byte(&input, 'a'), 0);
    }
    cr_assert_eq(buffer_append_cstr(&input, last), 0);
    const size_t cuts[][2] = {{0, 0}, {1, 65535}, {65536, 65537}, {4096, 65538}};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        struct buffer out;
        buffer_init(&out, MB);
        run_pieces(buffer_slice(&input), cuts[i], 2, &limits, &out);
        bool matches = expected != NULL ? slice_equal(buffer_slice(&out), text(expected))
                                        : out.bytes == fill + 2 && out.data[0] == '[';
        cr_assert(matches, "%s..%zu..%s cut %zu: %.60s", first, fill, last, i,
                  (const char *)out.data);
        buffer_deinit(&out);
    }
    buffer_deinit(&input);
}

Test(resp, holds_lines_to_64_kib)
{
    size_t most = RESP_INLINE_BYTES_MAX;
    expect_line("", most, "\n", NULL);
    expect_line("", most - 1, "\r\n", NULL);
    expect_line("", most + 1, "\n", "!Protocol error: too big inline request");
    expect_line("", most + 4, "", "!Protocol error: too big inline request");
    expect_line("*", most + 4, "", "!Protocol error: too big mbulk count string");
    expect_line("*", most - 1, "\r\n", "!Protocol error: invalid multibulk length");
    expect_line("*", most, "\r\n", "!Protocol error: too big mbulk count string");
    expect_line("*1\r\n$", most + 4, "", "!Protocol error: too big bulk count string");
    expect_line("*1\r\n$", most - 1, "\r\n", "!Protocol error: invalid bulk length");
    expect_line("*1\r\n$", most, "\r\n", "!Protocol error: too big bulk count string");
}

Test(resp, allocates_by_what_has_arrived_not_by_what_was_declared)
{
    struct resp_parser *parser = parser_new();
    size_t start = resp_parser_memory_bytes(parser);
    struct resp_command command;
    struct slice declared = text("*1048576\r\n$536870912\r\n");
    cr_assert_eq(resp_parse(parser, &limits, declared, &command), RESP_MORE);
    cr_assert_eq(resp_parser_memory_bytes(parser), start);
    cr_assert_eq(command.need_bytes, declared.bytes + 536870912 + 2);
    resp_parser_reset(parser);

    struct buffer input;
    buffer_init(&input, 64 * MB);
    cr_assert_eq(buffer_append_cstr(&input, "*1048576\r\n"), 0);
    for (uint32_t i = 0; i < 100000; i++) {
        cr_assert_eq(buffer_append_cstr(&input, "$0\r\n\r\n"), 0);
        if (i % 1000 == 0 || i < 100) {
            cr_assert_eq(resp_parse(parser, &limits, buffer_slice(&input), &command), RESP_MORE);
            cr_assert_leq(resp_parser_memory_bytes(parser) - start, input.bytes * 4);
        }
    }
    resp_parser_destroy(parser);
    buffer_deinit(&input);
}

Test(resp, reports_lack_of_memory_as_an_error)
{
    struct buffer input;
    buffer_init(&input, MB);
    fill_command(&input, RESP_ARGS_INLINE + 1);
    struct resp_parser *parser = parser_new();
    struct resp_command command;
    mem_fail_after(1, false);
    cr_assert_eq(resp_parse(parser, &limits, buffer_slice(&input), &command), RESP_BROKEN);
    mem_fail_after(0, false);
    cr_assert_eq(resp_parse(parser, &limits, buffer_slice(&input), &command), RESP_COMMAND);
    cr_assert_eq(command.argc, RESP_ARGS_INLINE + 1);
    resp_parser_destroy(parser);
    buffer_deinit(&input);
}

/* ---- the fast path ---- */

/* Whatever resp_parse_whole takes, resp_parse takes alike. */
static void expect_whole_agrees(struct slice input, bool must_take)
{
    struct slice args[64];
    uint32_t argc = 0;
    size_t used = resp_parse_whole(input, limits.bulk_bytes_max, args, 64, &argc);
    struct resp_parser *parser = parser_new();
    struct resp_command command;
    enum resp_result result = resp_parse(parser, &limits, input, &command);
    if (used > 0) {
        cr_assert_eq(result, RESP_COMMAND);
        cr_assert_eq(command.used_bytes, used);
        cr_assert_eq(command.argc, argc);
        for (uint32_t i = 0; i < argc; i++) {
            cr_assert(slice_equal(args[i], command.args[i]));
        }
    } else {
        cr_assert(!must_take);
    }
    resp_parser_destroy(parser);
}

Test(resp, the_fast_path_agrees_with_the_parser)
{
    expect_whole_agrees(text("*1\r\n$4\r\nPING\r\n"), true);
    expect_whole_agrees(text("*3\r\n$3\r\nSET\r\n$16\r\n0123456789abcdef\r\n$0\r\n\r\nrest"), true);
    for (size_t i = 0; i < ROWS; i++) {
        struct slice input = text(rows[i].input);
        for (size_t bytes = 0; bytes <= input.bytes; bytes++) {
            expect_whole_agrees(slice_of(input.data, bytes), false);
        }
    }
}

Test(resp, the_fast_path_leaves_what_is_above_its_limits)
{
    struct slice args[3];
    uint32_t argc = 0;
    struct slice three = text("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    cr_assert_eq(resp_parse_whole(three, 1, args, 3, &argc), three.bytes);
    cr_assert_eq(argc, 3);
    cr_assert_eq(resp_parse_whole(three, 1, args, 2, &argc), 0);
    cr_assert_eq(resp_parse_whole(three, 0, args, 3, &argc), 0);
}

/* ---- garbage ---- */

static void random_input(struct random *random, uint8_t *to, size_t bytes)
{
    static const char often[] = "*$\r\n0123456789-\"' abSET";
    for (size_t i = 0; i < bytes; i++) {
        bool any = random_below(random, 8) == 0;
        to[i] = any ? (uint8_t)random_u64(random)
                    : (uint8_t)often[random_below(random, sizeof(often) - 1)];
    }
}

/* A valid pipeline in which a few bytes are changed. */
static void mutated_input(struct random *random, struct buffer *to)
{
    buffer_clear(to);
    for (uint32_t i = 0; i < 3; i++) {
        struct slice args[3] = {text("SET"), text("key:000000000001"), text("a value")};
        cr_assert_eq(resp_encode_command(to, args, 1 + (uint32_t)random_below(random, 3)), 0);
    }
    for (uint64_t changes = random_below(random, 4); changes > 0; changes--) {
        to->data[random_below(random, to->bytes)] = (uint8_t)random_u64(random);
    }
}

static void expect_cut_invariant(struct random *random, struct slice input)
{
    struct buffer whole, pieces;
    buffer_init(&whole, MB);
    buffer_init(&pieces, MB);
    size_t a = random_below(random, input.bytes + 1);
    size_t b = a + random_below(random, input.bytes - a + 1);
    run_pieces(input, NULL, 0, &limits, &whole);
    run_pieces(input, (size_t[]){a, b}, 2, &limits, &pieces);
    cr_assert(slice_equal(buffer_slice(&whole), buffer_slice(&pieces)));
    expect_whole_agrees(input, false);
    buffer_deinit(&whole);
    buffer_deinit(&pieces);
}

Test(resp, survives_garbage_and_is_indifferent_to_its_cuts)
{
    struct random random;
    random_seed(&random, 20240607);
    struct buffer input;
    buffer_init(&input, MB);
    for (uint32_t i = 0; i < 20000; i++) {
        uint8_t garbage[64];
        size_t bytes = random_below(&random, sizeof(garbage)) + 1;
        random_input(&random, garbage, bytes);
        expect_cut_invariant(&random, slice_of(garbage, bytes));
        mutated_input(&random, &input);
        expect_cut_invariant(&random, buffer_slice(&input));
    }
    buffer_deinit(&input);
}

Test(resp, carries_no_state_from_an_empty_or_broken_request_to_the_next)
{
    struct resp_parser *parser = parser_new();
    struct resp_command command;
    cr_assert_eq(resp_parse(parser, &limits, text("*0\r\n"), &command), RESP_EMPTY);
    cr_assert_eq(command.used_bytes, 4);
    cr_assert_eq(resp_parse(parser, &limits, text("*1\r\n$x\r\n"), &command), RESP_BROKEN);
    cr_assert_eq(resp_parse(parser, &limits, text("*1\r\n$4\r\nPI"), &command), RESP_MORE);
    cr_assert(resp_parser_in_command(parser));
    resp_parser_reset(parser);
    cr_assert_eq(resp_parse(parser, &limits, text(""), &command), RESP_MORE);
    cr_assert(!resp_parser_in_command(parser));
    cr_assert_eq(resp_parse(parser, &limits, text("*1\r\n$4\r\nPING\r\n"), &command), RESP_COMMAND);
    cr_assert_eq(command.argc, 1);
    cr_assert(slice_equal(command.args[0], text("PING")));
    resp_parser_destroy(parser);
}

Test(resp, encodes_what_it_parses)
{
    struct buffer out;
    buffer_init(&out, MB);
    struct slice args[] = {text("SET"), slice_of("k\r\n\0", 4), text("")};
    cr_assert_eq(resp_encode_command(&out, args, 3), 0);
    struct resp_parser *parser = parser_new();
    struct resp_command command;
    cr_assert_eq(resp_parse(parser, &limits, buffer_slice(&out), &command), RESP_COMMAND);
    cr_assert_eq(command.argc, 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(slice_equal(command.args[i], args[i]));
    }
    buffer_deinit(&out);
    buffer_init(&out, 10);
    cr_assert_eq(resp_encode_command(&out, args, 3), ERR_LIMIT);
    buffer_deinit(&out);
    resp_parser_destroy(parser);
}
