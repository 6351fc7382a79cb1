#include "net/output.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"

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
static struct reply two;

static void setup(void)
{
    output_init(&output, 1 << 24);
    two = (struct reply){.output = &output, .resp = 2};
}

static void teardown(void)
{
    output_deinit(&output);
}

TestSuite(output, .init = setup, .fini = teardown);

static uint32_t released;

static void count_release(void *owner)
{
    (*(uint32_t *)owner)++;
}

enum { LARGE = REPLY_SHARED_BYTES_MIN };
static uint8_t large[LARGE];

/* "+OK", a large bulk, "+OK", a large one, a deferred header around all of it. */
static void write_mixed(struct buffer *expected)
{
    memset(large, 'L', sizeof(large));
    released = 0;
    size_t mark = reply_deferred_open(&two);
    reply_ok(&two);
    reply_bulk_shared(&two, slice_of(large, LARGE), count_release, &released);
    reply_ok(&two);
    reply_bulk_shared(&two, slice_of(large, LARGE), count_release, &released);
    reply_deferred_close(&two, mark, '*', 4);
    reply_i64(&two, 7);
    cr_assert_eq(output.refs_count, 2);
    cr_assert_eq(output.refs_bytes, 2 * LARGE);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(buffer_append_cstr(expected, i == 0 ? "*4\r\n+OK\r\n" : "+OK\r\n"), 0);
        cr_assert_eq(buffer_append_cstr(expected, "$16384\r\n"), 0);
        cr_assert_eq(buffer_append(expected, large, LARGE), 0);
        cr_assert_eq(buffer_append_cstr(expected, "\r\n"), 0);
    }
    cr_assert_eq(buffer_append_cstr(expected, ":7\r\n"), 0);
}

Test(output, sends_large_values_from_where_they_are_from_any_offset)
{
    struct buffer expected, got;
    buffer_init(&expected, 1 << 20);
    buffer_init(&got, 1 << 20);
    write_mixed(&expected);
    cr_assert_eq(output_bytes(&output), expected.bytes);
    for (uint32_t max = 1; max <= 8; max++) {
        for (uint64_t offset = 0; offset < expected.bytes; offset += offset % 97 + 1) {
            collect(&output, offset, max, &got);
            cr_assert(slice_equal(buffer_slice(&got), slice_skip(buffer_slice(&expected), offset)));
        }
    }
    struct iovec iov[8];
    cr_assert_eq(output_iov(&output, expected.bytes, iov, 8), 0);
    cr_assert_eq(released, 0);
    output_clear(&output);
    cr_assert_eq(released, 2);
    cr_assert_eq(output_bytes(&output), 0);
    buffer_deinit(&expected);
    buffer_deinit(&got);
}

Test(output, tells_copied_bytes_from_those_of_references)
{
    struct output some;
    output_init(&some, 1 << 20);
    uint32_t count = 0;
    output_append(&some, slice_of(large, 10));
    output_append_ref(&some, slice_of(large, 100), count_release, &count);
    output_append_ref(&some, slice_of(large, 1000), count_release, &count);
    output_append(&some, slice_of(large, 5));
    static const uint64_t expected[][2] = {{0, 0},     {9, 9},     {10, 10},   {11, 10},
                                           {110, 10},  {111, 10},  {1109, 10}, {1110, 10},
                                           {1111, 11}, {1114, 14}, {1115, 15}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        cr_assert_eq(output_copied(&some, expected[i][0]), expected[i][1], "at %llu",
                     (unsigned long long)expected[i][0]);
    }
    cr_assert_eq(output_bytes(&some), 1115);
    output_deinit(&some);
}

Test(output, moves_outputs_with_their_references)
{
    struct buffer expected, got;
    buffer_init(&expected, 1 << 20);
    buffer_init(&got, 1 << 20);
    struct output to;
    output_init(&to, 1 << 20);
    write_mixed(&expected);
    output_move(&to, &output);
    cr_assert_eq(output_bytes(&output), 0);
    collect(&to, 0, 8, &got);
    cr_assert(slice_equal(buffer_slice(&got), buffer_slice(&expected)));
    write_mixed(&expected);
    output_move(&to, &output);
    collect(&to, 0, 8, &got);
    cr_assert(slice_equal(buffer_slice(&got), buffer_slice(&expected)));
    cr_assert_eq(released, 0);
    output_deinit(&to);
    cr_assert_eq(released, 4);
    buffer_deinit(&expected);
    buffer_deinit(&got);
}

Test(output, ends_at_the_limit_and_not_before)
{
    struct output small;
    output_init(&small, 64);
    struct reply reply = {.output = &small, .resp = 2};
    for (int i = 0; i < 12; i++) {
        reply_ok(&reply);
    }
    cr_assert(!small.broken);
    cr_assert_eq(output_bytes(&small), 60);
    reply_ok(&reply);
    cr_assert(small.broken);
    released = 0;
    reply_bulk_shared(&reply, slice_of(large, LARGE), count_release, &released);
    cr_assert_eq(released, 1);
    reply_i64(&reply, 1);
    cr_assert_eq(output_bytes(&small), 60);
    output_clear(&small);
    cr_assert(!small.broken);
    output_deinit(&small);
}

Test(output, marks_the_output_when_memory_is_out)
{
    mem_fail_after(1, true);
    reply_ok(&two);
    cr_assert(output.broken);
    mem_fail_after(0, false);
    output_clear(&output);
    reply_ok(&two);
    mem_fail_after(1, true);
    released = 0;
    reply_bulk_shared(&two, slice_of(large, LARGE), count_release, &released);
    mem_fail_after(0, false);
    cr_assert(output.broken);
    cr_assert_eq(released, 1);
}

Test(output, keeps_a_small_buffer_and_drops_a_large_one_when_cleared)
{
    reply_ok(&two);
    output_clear(&output);
    cr_assert_gt(output.bytes.capacity, 0);
    static uint8_t huge[128 * 1024];
    reply_bulk(&two, slice_of(huge, sizeof(huge)));
    output_clear(&output);
    cr_assert_eq(output.bytes.capacity, 0);
}
