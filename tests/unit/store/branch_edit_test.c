/*
 * branch_edit: keeps the order and its own copies of the separators.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/mem.h"
#include "store/branch_edit.h"

Test(branch_edit, copies_separators_and_keeps_the_order)
{
    enum { COUNT = 5000 };
    struct branch_edit edit = {0};
    char text[32];
    for (uint32_t i = 0; i < COUNT; i++) {
        int bytes = snprintf(text, sizeof(text), "separator-%u", i);
        struct slice separator = slice_of(text, (size_t)bytes);
        cr_assert_eq(branch_edit_insert(&edit, i / 7, (struct page_id){i}, separator), 0);
    }
    cr_assert_eq(edit.count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(text, sizeof(text), "separator-%u", i);
        cr_assert(slice_equal(edit.changes[i].separator, slice_cstr(text)));
        cr_assert(edit.changes[i].child == i / 7 && edit.changes[i].id.value == i);
        cr_assert(!edit.changes[i].remove);
    }
    branch_edit_clear(&edit);
    cr_assert_eq(edit.count, 0);
}

Test(branch_edit, takes_the_longest_separators)
{
    struct branch_edit edit = {0};
    static uint8_t key[STORE_KEY_BYTES_MAX];
    for (uint32_t i = 0; i < 100; i++) {
        memset(key, (int)i, sizeof(key));
        cr_assert_eq(branch_edit_insert(&edit, 0, (struct page_id){i}, slice_of(key, sizeof(key))),
                     0);
    }
    for (uint32_t i = 0; i < 100; i++) {
        memset(key, (int)i, sizeof(key));
        cr_assert(slice_equal(edit.changes[i].separator, slice_of(key, sizeof(key))));
    }
    branch_edit_clear(&edit);
}

Test(branch_edit, the_old_root_comes_first)
{
    struct branch_edit edit = {0};
    cr_assert_eq(branch_edit_insert(&edit, 0, (struct page_id){2}, slice_cstr("b")), 0);
    cr_assert_eq(branch_edit_insert(&edit, 0, (struct page_id){3}, slice_cstr("c")), 0);
    cr_assert_eq(branch_edit_insert_first(&edit, (struct page_id){1}), 0);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(edit.changes[i].id.value, i + 1);
    }
    cr_assert_eq(edit.changes[0].separator.bytes, 0);
    cr_assert(slice_equal(edit.changes[2].separator, slice_cstr("c")));
    branch_edit_clear(&edit);
}

Test(branch_edit, without_memory_says_so)
{
    struct branch_edit edit = {0};
    mem_fail_after(1, true);
    cr_assert_eq(branch_edit_remove(&edit, 1), ERR_MEMORY);
    cr_assert_eq(branch_edit_insert(&edit, 1, (struct page_id){1}, slice_cstr("x")), ERR_MEMORY);
    mem_fail_after(0, false);
    cr_assert_eq(branch_edit_remove(&edit, 1), 0);
    cr_assert(edit.count == 1 && edit.changes[0].remove && edit.changes[0].child == 1);
    branch_edit_clear(&edit);
}
