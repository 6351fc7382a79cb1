#include "net/reply.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "net/error_tally.h"

/* Everything that would be sent, from `offset` on, in pieces of at most `max` iovecs. */
static void collect(const struct output *output, uint64_t offset, uint32_t max, struct buffer *to)
{
    buffer_clear(to);
    uint64_t total = output_bytes(output);
    while (offset < total) {
        struct iovec iov[8];
        uint32_t count = output_iov(output, offset, iov, max);
        cr_assert_gt(count, 0);
        cr_assert_leq(count, max);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert_gt(iov[i].iov_len, 0);
            cr_assert_eq(buffer_append(to, iov[i].iov_base, iov[i].iov_len), 0);
            offset += iov[i].iov_len;
        }
    }
    cr_assert_eq(offset, total);
}

static struct output output;
static struct reply two, three;

static void setup(void)
{
    output_init(&output, 1 << 24);
    two = (struct reply){.output = &output, .resp = 2};
    three = (struct reply){.output = &output, .resp = 3};
}

static void teardown(void)
{
    output_deinit(&output);
}

TestSuite(reply, .init = setup, .fini = teardown);

/* What stands in the output; empties it. */
static void expect(const char *expected)
{
    struct buffer all;
    buffer_init(&all, 1 << 24);
    collect(&output, 0, 8, &all);
    cr_assert(slice_equal(buffer_slice(&all), slice_cstr(expected)), "got %.*s, expected %s",
              (int)all.bytes, (const char *)all.data, expected);
    buffer_deinit(&all);
    output_clear(&output);
}

Test(reply, writes_each_type_in_both_versions)
{
    reply_ok(&two);
    expect("+OK\r\n");
    reply_status(&two, "PONG");
    expect("+PONG\r\n");
    reply_error(&two, "ERR syntax error");
    expect("-ERR syntax error\r\n");
    reply_null(&two);
    expect("$-1\r\n");
    reply_null(&three);
    expect("_\r\n");
    reply_null_array(&two);
    expect("*-1\r\n");
    reply_null_array(&three);
    expect("_\r\n");
    reply_array(&two, 0);
    reply_array(&three, 1000000);
    expect("*0\r\n*1000000\r\n");
    reply_map(&two, 3);
    expect("*6\r\n");
    reply_map(&three, 3);
    expect("%3\r\n");
    reply_set(&two, 3);
    expect("*3\r\n");
    reply_set(&three, 3);
    expect("~3\r\n");
    reply_push(&two, 2);
    expect("*2\r\n");
    reply_push(&three, 2);
    expect(">2\r\n");
    reply_bool(&two, true);
    reply_bool(&two, false);
    expect(":1\r\n:0\r\n");
    reply_bool(&three, true);
    reply_bool(&three, false);
    expect("#t\r\n#f\r\n");
    reply_verbatim(&two, "txt", slice_cstr("Some text"));
    expect("$9\r\nSome text\r\n");
    reply_verbatim(&three, "txt", slice_cstr("Some text"));
    expect("=13\r\ntxt:Some text\r\n");
}

Test(reply, writes_integers_to_their_ends)
{
    const int64_t values[] = {0, 9, 10, 99, 100, -1, -10, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        reply_i64(&two, values[i]);
    }
    expect(":0\r\n:9\r\n:10\r\n:99\r\n:100\r\n:-1\r\n:-10\r\n:9223372036854775807\r\n"
           ":-9223372036854775808\r\n");
}

Test(reply, writes_doubles_shortest)
{
    reply_double(&three, 0.1);
    reply_double(&three, 3);
    reply_double(&three, -1.5e300);
    reply_double(&three, 1.0 / 3);
    reply_double(&three, INFINITY);
    reply_double(&three, -INFINITY);
    reply_double(&three, NAN);
    expect(",0.1\r\n,3\r\n,-1.5e+300\r\n,0.3333333333333333\r\n,inf\r\n,-inf\r\n,nan\r\n");
    reply_double(&two, 0.1);
    reply_double(&two, INFINITY);
    expect("$3\r\n0.1\r\n$3\r\ninf\r\n");
}

Test(reply, writes_bulks_of_every_length_class)
{
    reply_bulk(&two, slice_of(NULL, 0));
    reply_bulk(&two, slice_of("\0\r\n", 3));
    reply_bulk_cstr(&two, "hello");
    struct buffer all;
    buffer_init(&all, 1 << 20);
    collect(&output, 0, 8, &all);
    struct slice expected = slice_of("$0\r\n\r\n$3\r\n\0\r\n\r\n$5\r\nhello\r\n", 26);
    cr_assert(slice_equal(buffer_slice(&all), expected));
    output_clear(&output);

    char value[1000];
    memset(value, 'v', sizeof(value));
    reply_bulk(&two, slice_of(value, sizeof(value)));
    collect(&output, 0, 8, &all);
    cr_assert_eq(all.bytes, 7 + 1000 + 2);
    cr_assert_eq(memcmp(all.data, "$1000\r\n", 7), 0);
    cr_assert_eq(memcmp(all.data + 7, value, 1000), 0);
    cr_assert_eq(memcmp(all.data + 1007, "\r\n", 2), 0);
    buffer_deinit(&all);
}

Test(reply, lets_no_text_end_a_line)
{
    reply_error(&two, "ERR bad\r\n+OK\nthing");
    expect("-ERR bad  +OK thing\r\n");
    reply_errorf(&three, "ERR unknown command '%s'", "a\r\nb");
    expect("-ERR unknown command 'a  b'\r\n");
    reply_status(&two, "a\nb");
    expect("+a b\r\n");
    cr_assert_eq(two.errors, 1);
    cr_assert_eq(three.errors, 1);
}

Test(reply, takes_ends_of_lines_off_the_end_of_an_error)
{
    reply_errorf(&two, "ERR no %s", "a\r\nb\r\n\n");
    expect("-ERR no a  b\r\n");
    reply_errorf(&two, "%s", "\r\n");
    expect("-\r\n");
}

Test(reply, says_nothing_when_muted)
{
    two.muted = true;
    size_t mark = reply_deferred_open(&two);
    reply_ok(&two);
    reply_error(&two, "ERR x");
    reply_bulk(&two, slice_cstr("x"));
    reply_i64(&two, 1);
    reply_double(&two, 1);
    reply_map(&two, 1);
    reply_deferred_close(&two, mark, '*', 1);
    cr_assert_eq(output_bytes(&output), 0);
    cr_assert_eq(two.errors, 1);
}

Test(reply, puts_lengths_in_afterwards_also_nested)
{
    reply_ok(&three);
    size_t outer = reply_deferred_open(&three);
    reply_bulk_cstr(&three, "a");
    size_t inner = reply_deferred_open(&three);
    for (int i = 0; i < 12; i++) {
        reply_i64(&three, i);
    }
    reply_deferred_close(&three, inner, '%', 6);
    reply_deferred_close(&three, outer, '*', 2);
    reply_ok(&three);
    expect(
        "+OK\r\n*2\r\n$1\r\na\r\n%6\r\n:0\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n"
        ":10\r\n:11\r\n+OK\r\n");
    size_t mark = reply_deferred_open(&two);
    reply_ok(&two);
    reply_ok(&two);
    reply_deferred_close(&two, mark, '%', 1);
    expect("*2\r\n+OK\r\n+OK\r\n");
    mark = reply_deferred_open(&two);
    reply_deferred_close(&two, mark, '~', 0);
    expect("*0\r\n");
}

static uint32_t released;

static void count_release(void *owner)
{
    (*(uint32_t *)owner)++;
}

enum { LARGE = REPLY_SHARED_BYTES_MIN };
static uint8_t large[LARGE];

Test(reply, copies_small_shared_values_and_releases_them_at_once)
{
    released = 0;
    reply_bulk_shared(&two, slice_of(large, LARGE - 1), count_release, &released);
    cr_assert_eq(released, 1);
    cr_assert_eq(output.refs_count, 0);
    two.muted = true;
    reply_bulk_shared(&two, slice_of(large, LARGE), count_release, &released);
    cr_assert_eq(released, 2);
    cr_assert_eq(output.refs_count, 0);
}

Test(reply, counts_errors_in_the_tally_also_when_muted)
{
    struct error_tally tally = {0};
    two.tally = &tally;
    reply_error(&two, "OOM no memory");
    reply_errorf(&two, "ERR %s", "x");
    two.muted = true;
    reply_error(&two, "ERR y");
    reply_ok(&two);
    cr_assert_eq(tally.total, 3);
    cr_assert_eq(tally.used, 2);
    cr_assert_eq(tally.codes[1].count, 2);
    expect("-OOM no memory\r\n-ERR x\r\n");
}
