#include "base/cgroup.h"

#include <criterion/criterion.h>

Test(cgroup, reads_memory_max)
{
    cr_assert_eq(cgroup_parse_memory_max(slice_cstr("max\n")), UINT64_MAX);
    cr_assert_eq(cgroup_parse_memory_max(slice_cstr("536870912\n")), 536870912);
    cr_assert_eq(cgroup_parse_memory_max(slice_cstr("0")), 0);
    cr_assert_eq(cgroup_parse_memory_max(slice_cstr("")), UINT64_MAX);
    cr_assert_eq(cgroup_parse_memory_max(slice_of(NULL, 0)), UINT64_MAX);
    cr_assert_eq(cgroup_parse_memory_max(slice_cstr("-1\n")), UINT64_MAX);
}

Test(cgroup, reads_cpu_max)
{
    cr_assert_eq(cgroup_parse_cpu_max(slice_cstr("max 100000\n")), UINT64_MAX);
    cr_assert_eq(cgroup_parse_cpu_max(slice_cstr("150000 100000\n")), 1500);
    cr_assert_eq(cgroup_parse_cpu_max(slice_cstr("50000 100000")), 500);
    cr_assert_eq(cgroup_parse_cpu_max(slice_cstr("50000 0")), UINT64_MAX);
    cr_assert_eq(cgroup_parse_cpu_max(slice_cstr("50000")), UINT64_MAX);
    cr_assert_eq(cgroup_parse_cpu_max(slice_cstr("50000 ")), UINT64_MAX);
    cr_assert_eq(cgroup_parse_cpu_max(slice_cstr("18446744073709551615 1")), UINT64_MAX);
    cr_assert_eq(cgroup_parse_cpu_max(slice_cstr("")), UINT64_MAX);
}

Test(cgroup, asks_the_kernel)
{
    cr_assert_gt(cgroup_memory_max(), 1 << 20);
    cr_assert_gt(cgroup_cpu_max(), 0);
}
