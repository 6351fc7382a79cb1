#include "base/buffer.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"

static void expect_text(const struct buffer *buffer, const char *text)
{
    cr_assert(slice_equal(buffer_slice(buffer), slice_cstr(text)), "got '%.*s', wanted '%s'",
              (int)buffer->bytes, (const char *)buffer->data, text);
}

Test(buffer, is_empty_and_without_memory_at_first)
{
    struct buffer buffer;
    buffer_init(&buffer, 100);
    cr_assert_eq(buffer.bytes, 0);
    cr_assert_eq(buffer.data, NULL);
    cr_assert_eq(buffer_append(&buffer, NULL, 0), 0);
    cr_assert_eq(buffer.data, NULL);
    buffer_consume(&buffer, 0);
    buffer_clear(&buffer);
    buffer_deinit(&buffer);
}

Test(buffer, appends_in_order)
{
    struct buffer buffer;
    buffer_init(&buffer, 1000);
    cr_assert_eq(buffer_append(&buffer, "ab", 2), 0);
    cr_assert_eq(buffer_append_cstr(&buffer, "cd"), 0);
    cr_assert_eq(buffer_append_slice(&buffer, slice_cstr("ef")), 0);
    cr_assert_eq(buffer_append_byte(&buffer, 'g'), 0);
    cr_assert_eq(buffer_printf(&buffer, "%d-%s", 42, "x"), 0);
    expect_text(&buffer, "abcdefg42-x");
    buffer_deinit(&buffer);
}

Test(buffer, holds_its_limit_and_not_a_byte_more)
{
    struct buffer buffer;
    buffer_init(&buffer, 100);
    char text[101];
    memset(text, 'x', sizeof(text));
    cr_assert_eq(buffer_append(&buffer, text, 101), ERR_LIMIT);
    cr_assert_eq(buffer.bytes, 0);
    cr_assert_eq(buffer_append(&buffer, text, 100), 0);
    cr_assert_eq(buffer_append_byte(&buffer, 'y'), ERR_LIMIT);
    cr_assert_eq(buffer_reserve(&buffer, SIZE_MAX), ERR_LIMIT);
    cr_assert_eq(buffer.bytes, 100);
    cr_assert_leq(buffer.capacity, 100);
    buffer_consume(&buffer, 1);
    cr_assert_eq(buffer_append_byte(&buffer, 'y'), 0);
    cr_assert_eq(buffer.data[99], 'y');
    buffer_deinit(&buffer);
}

Test(buffer, printf_fills_to_the_limit_exactly)
{
    struct buffer buffer;
    buffer_init(&buffer, 70);
    cr_assert_eq(buffer_printf(&buffer, "%069d", 1), 0);
    cr_assert_eq(buffer_printf(&buffer, "%d", 23), ERR_LIMIT);
    cr_assert_eq(buffer.bytes, 69);
    cr_assert_eq(buffer_printf(&buffer, "%d", 7), 0);
    cr_assert_eq(buffer.bytes, 70);
    cr_assert_eq(buffer.data[68], '1');
    cr_assert_eq(buffer.data[69], '7');
    cr_assert_eq(buffer_printf(&buffer, "%s", ""), 0);
    buffer_deinit(&buffer);
}

Test(buffer, reserved_room_is_the_callers_to_fill)
{
    struct buffer buffer;
    buffer_init(&buffer, 1000);
    cr_assert_eq(buffer_append_cstr(&buffer, "ab"), 0);
    cr_assert_eq(buffer_reserve(&buffer, 500), 0);
    memset(buffer.data + buffer.bytes, 'z', 500);
    buffer.bytes += 500;
    cr_assert_eq(buffer.data[1], 'b');
    cr_assert_eq(buffer.data[501], 'z');
    buffer_deinit(&buffer);
}

Test(buffer, consumes_from_the_front)
{
    struct buffer buffer;
    buffer_init(&buffer, 1000);
    cr_assert_eq(buffer_append_cstr(&buffer, "abcdef"), 0);
    buffer_consume(&buffer, 2);
    expect_text(&buffer, "cdef");
    cr_assert_eq(buffer_append_cstr(&buffer, "gh"), 0);
    expect_text(&buffer, "cdefgh");
    buffer_consume(&buffer, 6);
    cr_assert_eq(buffer.bytes, 0);
    cr_assert_eq(buffer.consumed, 0);
    buffer_deinit(&buffer);
}

Test(buffer, cannot_consume_what_is_not_there, .signal = SIGABRT)
{
    struct buffer buffer;
    buffer_init(&buffer, 1000);
    cr_assert_eq(buffer_append_cstr(&buffer, "abc"), 0);
    buffer_consume(&buffer, 4);
}

Test(buffer, uses_consumed_room_again_before_it_grows)
{
    struct buffer buffer;
    buffer_init(&buffer, 64);
    char text[64];
    memset(text, 'a', sizeof(text));
    cr_assert_eq(buffer_append(&buffer, text, 64), 0);
    const uint8_t *memory = buffer.data;
    for (int i = 0; i < 1000; i++) {
        buffer_consume(&buffer, 3);
        cr_assert_eq(buffer_append_cstr(&buffer, "bcd"), 0);
        cr_assert_eq(buffer.data - buffer.consumed, memory);
    }
    cr_assert_eq(buffer.bytes, 64);
    buffer_deinit(&buffer);
}

Test(buffer, clear_keeps_the_memory_and_release_does_not)
{
    struct buffer buffer;
    buffer_init(&buffer, 1000);
    cr_assert_eq(buffer_append_cstr(&buffer, "abcdef"), 0);
    size_t capacity = buffer.capacity;
    buffer_consume(&buffer, 2);
    buffer_clear(&buffer);
    cr_assert_eq(buffer.bytes, 0);
    cr_assert_eq(buffer.capacity, capacity);
    buffer_release(&buffer);
    cr_assert_eq(buffer.data, NULL);
    cr_assert_eq(buffer.capacity, 0);
    cr_assert_eq(buffer.bytes_max, 1000);
    cr_assert_eq(buffer_append_cstr(&buffer, "again"), 0);
    expect_text(&buffer, "again");
    buffer_deinit(&buffer);
}

Test(buffer, is_unchanged_when_memory_is_out)
{
    struct buffer buffer;
    buffer_init(&buffer, 10000);
    mem_fail_after(1, false);
    cr_assert_eq(buffer_append_cstr(&buffer, "abc"), ERR_MEMORY);
    cr_assert_eq(buffer.data, NULL);
    cr_assert_eq(buffer_append_cstr(&buffer, "abc"), 0);
    mem_fail_after(1, true);
    cr_assert_eq(buffer_reserve(&buffer, 5000), ERR_MEMORY);
    cr_assert_eq(buffer_printf(&buffer, "%0500d", 1), ERR_MEMORY);
    buffer_consume(&buffer, 1);
    cr_assert_eq(buffer_reserve(&buffer, 5000), ERR_MEMORY);
    mem_fail_after(0, false);
    expect_text(&buffer, "bc");
    buffer_deinit(&buffer);
}

Test(buffer, printf_appends_nothing_when_its_copy_fails)
{
    struct buffer buffer;
    buffer_init(&buffer, 10000);
    cr_assert_eq(buffer_append_cstr(&buffer, "abc"), 0);
    mem_fail_after(2, false);
    cr_assert_eq(buffer_printf(&buffer, "%0500d", 1), ERR_MEMORY);
    mem_fail_after(0, false);
    expect_text(&buffer, "abc");
    buffer_deinit(&buffer);
}

Test(buffer, equals_a_plain_queue_of_bytes)
{
    enum { MODEL_MAX = 3000 };
    struct buffer buffer;
    struct random random;
    uint8_t model[MODEL_MAX];
    uint8_t piece[400];
    size_t model_bytes = 0;
    buffer_init(&buffer, MODEL_MAX);
    random_seed(&random, 8);
    for (int step = 0; step < 20000; step++) {
        if (random_below(&random, 2) == 0) {
            size_t bytes = random_below(&random, sizeof(piece));
            for (size_t i = 0; i < bytes; i++) {
                piece[i] = (uint8_t)random_u64(&random);
            }
            bool fits = bytes <= MODEL_MAX - model_bytes;
            cr_assert_eq(buffer_append(&buffer, piece, bytes), fits ? 0 : ERR_LIMIT);
            if (fits) {
                memcpy(model + model_bytes, piece, bytes);
                model_bytes += bytes;
            }
        } else {
            size_t bytes = random_below(&random, model_bytes + 1);
            buffer_consume(&buffer, bytes);
            model_bytes -= bytes;
            memmove(model, model + bytes, model_bytes);
        }
        cr_assert(slice_equal(buffer_slice(&buffer), slice_of(model, model_bytes)));
        cr_assert_leq(buffer.capacity + buffer.consumed, MODEL_MAX);
    }
    buffer_deinit(&buffer);
}
