#include "data/change.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/random.h"

/* A body, as it would stand in the log. */
static uint32_t encode(const struct change_view *change, uint8_t *to)
{
    uint32_t at = change_encode_head(change, to);
    memcpy(to + at, change->key.data, change->key.bytes);
    at += (uint32_t)change->key.bytes;
    if (change->value.bytes > 0) {
        memcpy(to + at, change->value.data, change->value.bytes);
    }
    return at + (uint32_t)change->value.bytes;
}

static void must_be_same(const struct change_view *a, const struct change_view *b)
{
    cr_assert_eq(a->kind, b->kind);
    cr_assert_eq(a->space, b->space);
    cr_assert_eq(a->type, b->type);
    cr_assert_eq(a->meta, b->meta);
    cr_assert_eq(a->expire_ms, b->expire_ms);
    cr_assert_eq(a->offset, b->offset);
    cr_assert(slice_equal(a->key, b->key));
    cr_assert(slice_equal(a->value, b->value));
}

static const struct change_view samples[] = {
    {.kind = CHANGE_PUT, .key = {(const uint8_t *)"k", 1}, .value = {(const uint8_t *)"value", 5}},
    {.kind = CHANGE_PUT, .key = {(const uint8_t *)"", 0}, .value = {(const uint8_t *)"", 0}},
    {.kind = CHANGE_PUT,
     .type = 7,
     .meta = 9,
     .space = UINT32_MAX,
     .expire_ms = INT64_MAX,
     .key = {(const uint8_t *)"\0\xff", 2},
     .value = {(const uint8_t *)"v", 1}},
    {.kind = CHANGE_REMOVE, .space = 1000, .key = {(const uint8_t *)"gone", 4}},
    {.kind = CHANGE_EXPIRE, .space = 5, .key = {(const uint8_t *)"e", 1}, .expire_ms = 12345},
    {.kind = CHANGE_EXPIRE, .space = 5, .key = {(const uint8_t *)"e", 1}, .expire_ms = 0},
    {.kind = CHANGE_RANGE,
     .space = 128,
     .offset = STORE_VALUE_BYTES_MAX - 3,
     .key = {(const uint8_t *)"r", 1},
     .value = {(const uint8_t *)"abc", 3}},
};
enum { SAMPLES = sizeof(samples) / sizeof(samples[0]) };

Test(change, comes_back_as_it_was)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t body[128];
        struct change_view back;
        uint32_t bytes = encode(&samples[i], body);
        cr_assert_eq(change_check((uint8_t)samples[i].kind, slice_of(body, bytes), &back), 0);
        must_be_same(&samples[i], &back);
    }
}

Test(change, that_is_cut_is_refused)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t body[128];
        struct change_view back;
        uint32_t bytes = encode(&samples[i], body);
        /* A value may have any length, so only what stands before it can be missed. */
        bool value_counts = samples[i].kind == CHANGE_RANGE;
        uint32_t needed = bytes - (uint32_t)samples[i].value.bytes + value_counts;
        for (uint32_t cut = 0; cut < needed; cut++) {
            cr_assert_lt(change_check((uint8_t)samples[i].kind, slice_of(body, cut), &back), 0);
        }
    }
}

Test(change, with_something_behind_it_is_refused)
{
    uint8_t body[128];
    struct change_view back;
    for (size_t i = 0; i < SAMPLES; i++) {
        if (samples[i].kind == CHANGE_REMOVE || samples[i].kind == CHANGE_EXPIRE) {
            uint32_t bytes = encode(&samples[i], body);
            body[bytes] = 0;
            cr_assert_eq(change_check((uint8_t)samples[i].kind, slice_of(body, bytes + 1), &back),
                         ERR_PROTOCOL);
        }
    }
}

Test(change, with_impossible_figures_is_refused)
{
    struct change_view back;
    static const uint8_t unknown_bits[] = {2, 0, 0, 0, 0};
    static const uint8_t no_time[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t past[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80};
    static const uint8_t long_key[] = {0, 0, 0, 0, 0x81, 0x0c};
    static const uint8_t no_bytes[] = {0, 0, 0};
    cr_assert_eq(change_check(CHANGE_PUT, slice_of(unknown_bits, 5), &back), ERR_PROTOCOL);
    cr_assert_eq(change_check(CHANGE_PUT, slice_of(no_time, 13), &back), ERR_PROTOCOL);
    cr_assert_eq(change_check(CHANGE_PUT, slice_of(past, 13), &back), ERR_PROTOCOL);
    cr_assert_eq(change_check(CHANGE_PUT, slice_of(long_key, 6), &back), ERR_LIMIT);
    cr_assert_eq(change_check(CHANGE_RANGE, slice_of(no_bytes, 3), &back), ERR_PROTOCOL);
    cr_assert_eq(change_check(0, slice_of(no_bytes, 3), &back), ERR_PROTOCOL);
    cr_assert_eq(change_check(CHANGE_GROUP, slice_of(no_bytes, 3), &back), ERR_PROTOCOL);
    cr_assert_eq(change_check(7, slice_of(no_bytes, 3), &back), ERR_PROTOCOL);
}

Test(change, a_range_ends_at_the_largest_value)
{
    uint8_t body[128];
    struct change_view back;
    struct change_view range = samples[SAMPLES - 1];
    uint32_t bytes = encode(&range, body);
    cr_assert_eq(change_check(CHANGE_RANGE, slice_of(body, bytes), &back), 0);
    range.offset++;
    bytes = encode(&range, body);
    cr_assert_eq(change_check(CHANGE_RANGE, slice_of(body, bytes), &back), ERR_LIMIT);
}

Test(change, a_group_gives_its_members_in_order)
{
    struct buffer body;
    struct change_group group;
    struct change_view back;
    buffer_init(&body, 1 << 20);
    change_group_open(&body);
    for (size_t i = 0; i < SAMPLES; i++) {
        cr_assert_eq(change_group_reserve(&body, samples[i].key.bytes, samples[i].value.bytes), 0);
        change_group_add(&body, &samples[i]);
    }
    change_group_close(&body, SAMPLES);
    cr_assert_eq(change_group_check(buffer_slice(&body), &group), 0);
    for (size_t i = 0; i < SAMPLES; i++) {
        cr_assert_eq(change_group_next(&group, &back), 1);
        must_be_same(&samples[i], &back);
    }
    cr_assert_eq(change_group_next(&group, &back), 0);
    buffer_deinit(&body);
}

/* The result of taking all members. */
static int take_all(struct slice body)
{
    struct change_group group;
    struct change_view back;
    int err = change_group_check(body, &group);
    while (err == 0 && (err = change_group_next(&group, &back)) == 1) {
        err = 0;
    }
    return err;
}

Test(change, a_group_that_is_cut_or_longer_than_it_says_is_refused)
{
    struct buffer body;
    buffer_init(&body, 1 << 20);
    change_group_open(&body);
    cr_assert_eq(change_group_reserve(&body, 100, 100), 0);
    change_group_add(&body, &samples[3]);
    change_group_add(&body, &samples[4]);
    change_group_close(&body, 2);
    cr_assert_eq(take_all(buffer_slice(&body)), 0);
    for (size_t cut = 0; cut < body.bytes; cut++) {
        cr_assert_lt(take_all(slice_of(body.data, cut)), 0);
    }
    store_le32(body.data, 1);
    cr_assert_eq(take_all(buffer_slice(&body)), ERR_PROTOCOL);
    store_le32(body.data, 3);
    cr_assert_eq(take_all(buffer_slice(&body)), ERR_TRUNCATED);
    store_le32(body.data, 0);
    cr_assert_eq(take_all(buffer_slice(&body)), ERR_PROTOCOL);
    buffer_deinit(&body);
}

Test(change, a_group_has_a_limit)
{
    struct buffer body;
    buffer_init(&body, 1000);
    change_group_open(&body);
    cr_assert_eq(change_group_reserve(&body, 100, 2000), ERR_LIMIT);
    cr_assert_eq(body.bytes, 0);
    buffer_deinit(&body);
}

Test(change, a_map_of_spaces_comes_back_as_it_was)
{
    uint32_t spaces[KEYSPACE_DATABASES_MAX];
    uint32_t back[KEYSPACE_DATABASES_MAX];
    uint32_t databases;
    uint32_t space_next;
    uint8_t body[CHANGE_SPACES_BYTES_MAX];
    for (uint32_t i = 0; i < KEYSPACE_DATABASES_MAX; i++) {
        spaces[i] = UINT32_MAX - 1 - i;
    }
    uint32_t bytes = change_encode_spaces(spaces, KEYSPACE_DATABASES_MAX, UINT32_MAX, body);
    cr_assert(bytes <= sizeof(body));
    cr_assert_eq(change_check_spaces(slice_of(body, bytes), back, &databases, &space_next), 0);
    cr_assert_eq(databases, KEYSPACE_DATABASES_MAX);
    cr_assert_eq(space_next, UINT32_MAX);
    cr_assert_arr_eq(spaces, back, sizeof(spaces));
    for (uint32_t cut = 0; cut < bytes; cut++) {
        cr_assert_lt(change_check_spaces(slice_of(body, cut), back, &databases, &space_next), 0);
    }
}

Test(change, a_map_with_a_space_that_cannot_be_is_refused)
{
    uint32_t spaces[2] = {4, 5};
    uint32_t databases;
    uint32_t space_next;
    uint8_t body[CHANGE_SPACES_BYTES_MAX];
    uint32_t bytes = change_encode_spaces(spaces, 2, 5, body);
    cr_assert_eq(change_check_spaces(slice_of(body, bytes), spaces, &databases, &space_next),
                 ERR_PROTOCOL);
    static const uint8_t none[] = {5, 0};
    cr_assert_eq(change_check_spaces(slice_of(none, 2), spaces, &databases, &space_next),
                 ERR_LIMIT);
}

Test(change, random_bytes_are_never_read_beyond_their_end)
{
    struct random random;
    random_seed(&random, 5);
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[40];
        size_t length = random_below(&random, sizeof(bytes) + 1);
        /* On the heap and of exact size, so that a sanitizer sees the end. */
        uint8_t *body = malloc(length + 1);
        for (size_t at = 0; at < length; at++) {
            body[at] = (uint8_t)random_below(&random, i % 2 == 0 ? 4 : 256);
        }
        struct change_view back;
        uint32_t spaces[KEYSPACE_DATABASES_MAX];
        uint32_t databases;
        uint32_t space_next;
        uint8_t kind = (uint8_t)random_below(&random, 8);
        if (change_check(kind, slice_of(body, length), &back) == 0) {
            cr_assert(back.key.bytes + back.value.bytes <= length);
        }
        (void)take_all(slice_of(body, length));
        (void)!change_check_spaces(slice_of(body, length), spaces, &databases, &space_next);
        free(body);
    }
}
