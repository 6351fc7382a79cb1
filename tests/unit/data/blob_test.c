#include "data/blob.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"

Test(blob, is_shared_until_the_last_reference_goes)
{
    struct blob *blob;
    cr_assert_eq(blob_create(5, 100, &blob), 0);
    cr_assert_not(blob_is_shared(blob));
    cr_assert_eq(blob_hold(blob), blob);
    cr_assert(blob_is_shared(blob));
    blob_drop(blob);
    cr_assert_not(blob_is_shared(blob));
    cr_assert_eq(blob_bytes(blob), 5);
    cr_assert_eq(blob_capacity(blob), 100);
    blob_set_bytes(blob, 100);
    cr_assert_eq(blob_bytes(blob), 100);
    blob_drop(blob);
}

Test(blob, takes_over_memory)
{
    uint8_t *memory = mem_alloc(8192);
    memset(memory, 'y', 8192);
    struct blob *blob;
    cr_assert_eq(blob_adopt(memory, memory + 100, 5000, &blob), 0);
    cr_assert_eq(blob_data(blob), memory + 100);
    cr_assert_eq(blob_bytes(blob), 5000);
    cr_assert(blob_memory(blob) >= 8192);
    blob_drop(blob);
}

Test(blob, is_not_made_without_memory)
{
    struct blob *blob;
    mem_fail_after(1, false);
    cr_assert_eq(blob_create(5, 5, &blob), ERR_MEMORY);
    mem_fail_after(1, false);
    cr_assert_eq(blob_adopt(&blob, NULL, 0, &blob), ERR_MEMORY);
    cr_assert_eq(blob_create(5, UINT64_MAX, &blob), ERR_MEMORY);
}
