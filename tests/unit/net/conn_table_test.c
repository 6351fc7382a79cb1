#include "net/conn_table.h"

#include <criterion/criterion.h>

#include "base/mem.h"
#include "net/conn_impl.h"

enum { COUNT = 1000 };
static struct conn conns[COUNT];
static struct conn_table table;

static void setup(void)
{
    cr_assert_eq(conn_table_init(&table), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        /* As one shard of many sees ids: the same remainder for all. */
        conns[i] = (struct conn){.id = (uint64_t)i * 64 + 1};
    }
}

static void teardown(void)
{
    conn_table_deinit(&table);
}

TestSuite(conn_table, .init = setup, .fini = teardown);

static void expect_found(uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        struct conn *expected = i >= from && i < to ? &conns[i] : NULL;
        cr_assert_eq(conn_table_find(&table, conns[i].id), expected, "%u", i);
        cr_assert_null(conn_table_find(&table, conns[i].id + 1));
    }
}

Test(conn_table, finds_what_was_added_until_it_is_removed)
{
    expect_found(0, 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        conn_table_add(&table, &conns[i]);
        cr_assert_eq(table.count, i + 1);
    }
    expect_found(0, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        conn_table_remove(&table, &conns[i]);
        if (i % 100 == 0) {
            expect_found(i + 1, COUNT);
        }
    }
    cr_assert_eq(table.count, 0);
}

Test(conn_table, spreads_ids_of_one_remainder)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        conn_table_add(&table, &conns[i]);
    }
    cr_assert_geq(table.slots_count, COUNT);
    uint32_t longest = 0;
    for (uint32_t i = 0; i < table.slots_count; i++) {
        uint32_t length = 0;
        for (struct conn *conn = table.slots[i]; conn != NULL; conn = conn->table_next) {
            length++;
        }
        longest = length > longest ? length : longest;
    }
    cr_assert_leq(longest, 8);
    for (uint32_t i = 0; i < COUNT; i++) {
        conn_table_remove(&table, &conns[i]);
    }
}

Test(conn_table, works_without_memory_to_grow)
{
    uint32_t slots = table.slots_count;
    mem_fail_after(1, true);
    for (uint32_t i = 0; i < COUNT; i++) {
        conn_table_add(&table, &conns[i]);
    }
    mem_fail_after(0, false);
    cr_assert_eq(table.slots_count, slots);
    expect_found(0, COUNT);
    for (uint32_t i = COUNT; i > 0; i--) {
        conn_table_remove(&table, &conns[i - 1]);
    }
    struct conn_table none;
    mem_fail_after(1, false);
    cr_assert_eq(conn_table_init(&none), ERR_MEMORY);
    mem_fail_after(0, false);
}
