#include "base/random.h"

#include <criterion/criterion.h>
#include <string.h>

Test(random_os, fills_all_bytes)
{
    /* 600 bytes: more than the kernel promises to give at once. */
    uint8_t first[600] = {0};
    uint8_t second[600] = {0};
    random_from_os(first, sizeof(first));
    random_from_os(second, sizeof(second));
    cr_assert_neq(memcmp(first, second, 32), 0);
    cr_assert_neq(memcmp(first + 568, second + 568, 32), 0);
    random_from_os(first, 0);
}
