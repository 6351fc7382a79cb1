#include "data/batch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "shard/coro.h"

/* ---- sorting happens in a coroutine ---- */

struct sorting {
    struct batch *batch;
    int result;
    bool done;
};

static void sort_main(void *argument)
{
    struct sorting *sorting = argument;
    sorting->result = batch_sort(sorting->batch);
    sorting->done = true;
}

static int sort(struct batch *batch)
{
    struct sched *sched;
    struct sorting sorting = {.batch = batch};
    cr_assert_eq(sched_create(4, &sched), 0);
    sched_enter(sched);
    cr_assert_eq(coro_start(sched, "sort", CORO_LOW, sort_main, &sorting), 0);
    while (!sorting.done) {
        sched_run_low(sched, 1000);
    }
    sched_destroy(sched);
    return sorting.result;
}

static void add(struct batch *batch, uint32_t space, struct slice key)
{
    struct record *record = record_create_marker(0, space, key, 0);
    cr_assert_eq(batch_add(batch, record), 0);
}

static void end(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        record_destroy(batch->items[i].record);
    }
    batch_deinit(batch);
}

static void must_be_sorted(const struct batch *batch)
{
    for (uint32_t i = 1; i < batch->count; i++) {
        const struct record *a = batch->items[i - 1].record;
        const struct record *b = batch->items[i].record;
        cr_assert(a->space < b->space ||
                      (a->space == b->space && slice_compare(record_key(a), record_key(b)) < 0),
                  "at %u", i);
    }
}

static void sort_numbers(uint32_t count, const char *prefix, uint32_t spaces, uint64_t seed)
{
    struct batch batch;
    struct random random;
    random_seed(&random, seed);
    cr_assert_eq(batch_init(&batch, 0), 0);
    /* A permutation of 0 .. p - 1, so that no key comes twice. */
    uint64_t step = 7919;
    for (uint32_t i = 0; i < count; i++) {
        char key[64];
        uint32_t number = (uint32_t)(i * step % 100003);
        int bytes = snprintf(key, sizeof(key), "%s%u", prefix, number);
        add(&batch, (uint32_t)random_below(&random, spaces), slice_of(key, (size_t)bytes));
    }
    cr_assert_eq(sort(&batch), 0);
    cr_assert_eq(batch.count, count);
    must_be_sorted(&batch);
    end(&batch);
}

Test(batch, sorts_any_number_of_records)
{
    static const uint32_t counts[] = {0, 1, 2, 15, 16, 17, 31, 32, 33, 100, 1000, 30000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        sort_numbers(counts[i], "", 1, i);
        sort_numbers(counts[i], "a rather long prefix: ", 1, i);
        sort_numbers(counts[i], "p", 3, i);
        sort_numbers(counts[i], "p", 100000, i);
    }
}

Test(batch, sorts_keys_that_differ_at_their_end_only)
{
    struct batch batch;
    uint8_t key[1536];
    memset(key, 'x', sizeof(key));
    cr_assert_eq(batch_init(&batch, 10), 0);
    for (uint32_t bytes = 1000; bytes > 0; bytes -= 10) {
        add(&batch, 5, slice_of(key, bytes));
    }
    add(&batch, 5, slice_of(key, 0));
    key[1535] = 0;
    add(&batch, 5, slice_of(key, 1536));
    cr_assert_eq(sort(&batch), 0);
    must_be_sorted(&batch);
    end(&batch);
}

Test(batch, tells_a_short_key_from_one_with_zeros_behind_it)
{
    struct batch batch;
    static const uint8_t key[16] = "ab";
    cr_assert_eq(batch_init(&batch, 10), 0);
    for (uint32_t bytes = 16; bytes >= 2; bytes--) {
        add(&batch, 0, slice_of(key, bytes));
    }
    cr_assert_eq(sort(&batch), 0);
    must_be_sorted(&batch);
    end(&batch);
}

Test(batch, compares_bytes_as_unsigned)
{
    struct batch batch;
    cr_assert_eq(batch_init(&batch, 256), 0);
    for (uint32_t i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)(255 - i);
        add(&batch, 0, slice_of(&byte, 1));
    }
    cr_assert_eq(sort(&batch), 0);
    must_be_sorted(&batch);
    end(&batch);
}

Test(batch, remembers_what_existed)
{
    struct batch batch;
    cr_assert_eq(batch_init(&batch, 0), 0);
    for (uint32_t i = 0; i < 100; i++) {
        add(&batch, i, slice_of(&i, sizeof(i)));
    }
    cr_assert_eq(sort(&batch), 0);
    for (uint32_t i = 0; i < 100; i += 3) {
        batch_set_existed(&batch, i);
    }
    for (uint32_t i = 0; i < 100; i++) {
        cr_assert_eq(batch_existed(&batch, i), i % 3 == 0);
    }
    end(&batch);
}

Test(batch, keeps_what_it_has_when_memory_is_out)
{
    struct batch batch;
    mem_fail_after(1, false);
    cr_assert_eq(batch_init(&batch, 0), ERR_MEMORY);
    cr_assert_eq(batch_init(&batch, UINT64_C(1) << 31), ERR_LIMIT);
    cr_assert_eq(batch_init(&batch, 0), 0);
    uint32_t number = 0;
    while (batch.count < batch.capacity) {
        number++;
        add(&batch, 0, slice_of(&number, sizeof(number)));
    }
    struct record *record = record_create_marker(0, 0, slice_cstr("one more"), 0);
    mem_fail_after(1, false);
    cr_assert_eq(batch_add(&batch, record), ERR_MEMORY);
    cr_assert_eq(batch.count, batch.capacity);
    cr_assert_eq(batch_add(&batch, record), 0);
    cr_assert_eq(sort(&batch), 0);
    must_be_sorted(&batch);
    end(&batch);
}
