#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/scan.h"

static void must_be_same(const struct scan_position *a, const struct scan_position *b)
{
    cr_assert_eq(a->in_tree, b->in_tree);
    if (a->in_tree) {
        cr_assert_eq(a->after_key, b->after_key);
        cr_assert_eq(a->key_bytes, b->key_bytes);
        cr_assert_arr_eq(a->key, b->key, a->key_bytes);
    } else {
        cr_assert_eq(a->hash_next, b->hash_next);
    }
}

Test(scan_cursors, give_back_positions)
{
    struct scan_cursors *cursors;
    cr_assert_eq(scan_cursors_create(10, &cursors), 0);
    static struct scan_position first = {.hash_next = 0xfedcba98};
    static struct scan_position second = {
        .in_tree = true, .after_key = true, .key_bytes = 3, .key = "key"};
    static struct scan_position third = {.in_tree = true};
    static struct scan_position back;
    uint64_t a;
    uint64_t b;
    uint64_t c;
    uint32_t space;
    cr_assert_eq(scan_cursors_put(cursors, 0, 5, &first, &a), 0);
    cr_assert_eq(scan_cursors_put(cursors, 16383, UINT32_MAX, &second, &b), 0);
    cr_assert_eq(scan_cursors_put(cursors, 7, 6, &third, &c), 0);
    cr_assert(a != b && b != c && a != 0);
    cr_assert_eq(scan_cursor_partition(a), 0);
    cr_assert_eq(scan_cursor_partition(b), 16383);
    cr_assert_eq(scan_cursors_get(cursors, a, &space, &back), 0);
    cr_assert_eq(space, 5);
    must_be_same(&first, &back);
    cr_assert_eq(scan_cursors_get(cursors, b, &space, &back), 0);
    cr_assert_eq(space, UINT32_MAX);
    must_be_same(&second, &back);
    cr_assert_eq(scan_cursors_get(cursors, c, &space, &back), 0);
    must_be_same(&third, &back);
    /* Asking does not use it up. */
    cr_assert_eq(scan_cursors_get(cursors, a, &space, &back), 0);
    scan_cursors_destroy(cursors);
}

Test(scan_cursors, remember_as_many_as_they_may_and_not_one_more)
{
    enum { MAX = 1000 };
    static uint64_t numbers[MAX + 1];
    struct scan_cursors *cursors;
    struct scan_position *position = calloc(1, sizeof(*position));
    uint32_t space;
    cr_assert_eq(scan_cursors_create(MAX, &cursors), 0);
    for (uint32_t i = 0; i < MAX; i++) {
        position->hash_next = i;
        cr_assert_eq(scan_cursors_put(cursors, 1, 0, position, &numbers[i]), 0);
    }
    for (uint32_t i = 0; i < MAX; i++) {
        cr_assert_eq(scan_cursors_get(cursors, numbers[i], &space, position), 0);
        cr_assert_eq(position->hash_next, i);
    }
    cr_assert_eq(scan_cursors_put(cursors, 1, 0, position, &numbers[MAX]), 0);
    cr_assert_eq(scan_cursors_get(cursors, numbers[0], &space, position), ERR_NOT_FOUND);
    cr_assert_eq(scan_cursors_get(cursors, numbers[1], &space, position), 0);
    cr_assert_eq(scan_cursors_get(cursors, numbers[MAX], &space, position), 0);
    scan_cursors_destroy(cursors);
    free(position);
}

Test(scan_cursors, do_not_know_what_they_never_gave)
{
    struct scan_cursors *cursors;
    struct scan_cursors *others;
    static struct scan_position position;
    uint64_t number;
    uint32_t space;
    cr_assert_eq(scan_cursors_create(100, &cursors), 0);
    cr_assert_eq(scan_cursors_get(cursors, 0, &space, &position), ERR_NOT_FOUND);
    cr_assert_eq(scan_cursors_put(cursors, 3, 0, &position, &number), 0);
    cr_assert_eq(scan_cursors_get(cursors, number + 1, &space, &position), ERR_NOT_FOUND);
    cr_assert_eq(scan_cursors_get(cursors, number - 1, &space, &position), ERR_NOT_FOUND);
    /* Another partition with the same serial. */
    cr_assert_eq(scan_cursors_get(cursors, number + (UINT64_C(1) << 38), &space, &position),
                 ERR_NOT_FOUND);
    /* After a restart. */
    cr_assert_eq(scan_cursors_create(100, &others), 0);
    for (int i = 0; i < 100; i++) {
        uint64_t other;
        cr_assert_eq(scan_cursors_put(others, 3, 0, &position, &other), 0);
        cr_assert_neq(other, number);
    }
    cr_assert_eq(scan_cursors_get(others, number, &space, &position), ERR_NOT_FOUND);
    scan_cursors_destroy(cursors);
    scan_cursors_destroy(others);
}

Test(scan_cursors, tell_numbers_that_cannot_be_cursors)
{
    cr_assert_eq(scan_cursor_partition(0), UINT32_MAX);
    cr_assert_eq(scan_cursor_partition(1), UINT32_MAX);
    cr_assert_eq(scan_cursor_partition(UINT64_C(1) << 38), UINT32_MAX);
    cr_assert_eq(scan_cursor_partition((UINT64_C(1) << 38) + 1), 0);
    cr_assert_eq(scan_cursor_partition((UINT64_C(16384) << 38) + 1), 16383);
    cr_assert_eq(scan_cursor_partition((UINT64_C(16385) << 38) + 1), UINT32_MAX);
    cr_assert_eq(scan_cursor_partition(UINT64_MAX), UINT32_MAX);
}

Test(scan_cursors, are_as_before_when_memory_is_out)
{
    struct scan_cursors *cursors;
    static struct scan_position position;
    uint64_t number;
    uint64_t failed;
    uint32_t space;
    mem_fail_after(1, false);
    cr_assert_eq(scan_cursors_create(10, &cursors), ERR_MEMORY);
    cr_assert_eq(scan_cursors_create(10, &cursors), 0);
    cr_assert_eq(scan_cursors_put(cursors, 0, 0, &position, &number), 0);
    mem_fail_after(1, false);
    cr_assert_eq(scan_cursors_put(cursors, 0, 0, &position, &failed), ERR_MEMORY);
    cr_assert_eq(scan_cursors_get(cursors, number, &space, &position), 0);
    scan_cursors_destroy(cursors);
}
