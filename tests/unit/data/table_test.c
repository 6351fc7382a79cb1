#include "data/table.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"

/* ---- records without values ---- */

static uint64_t hash_of(uint32_t number)
{
    return hash64(&number, sizeof(number), 1);
}

static struct record *record_make(uint32_t number, uint64_t hash)
{
    struct record *record = record_create_marker(table_hash_top(hash), number % 3,
                                                 slice_of(&number, sizeof(number)), 0);
    cr_assert_not_null(record);
    return record;
}

static struct record *find(const struct table *table, uint32_t number, uint64_t hash,
                           struct table_place *ret_place)
{
    return table_find(table, hash, number % 3, slice_of(&number, sizeof(number)), ret_place);
}

static void insert_hashed(struct table *table, uint32_t number, uint64_t hash)
{
    struct table_place place;
    cr_assert_eq(table_insert(table, hash, record_make(number, hash), &place), 0);
}

static void insert(struct table *table, uint32_t number)
{
    insert_hashed(table, number, hash_of(number));
}

static void remove_number(struct table *table, uint32_t number, uint64_t hash)
{
    struct table_place place;
    struct record *record = find(table, number, hash, &place);
    cr_assert_not_null(record);
    table_remove(table, place);
    record_destroy(record);
}

typedef void each_fn(void *context, struct table_place place, struct record *record);

/* All records in the order of buckets, each bucket's range checked against the one before. */
static void each_record(struct table *table, each_fn *each, void *context)
{
    uint32_t hash = 0;
    for (;;) {
        uint32_t last = table_bucket_last(table, hash);
        cr_assert(last >= hash);
        struct table_bucket *bucket = table_bucket(table, hash);
        for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
            for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
                struct record *record = table_slot_record(bucket->slots[i]);
                if (record != NULL) {
                    cr_assert(record->hash >= hash && record->hash <= last);
                    each(context, (struct table_place){bucket, i}, record);
                }
            }
        }
        if (last == UINT32_MAX) {
            return;
        }
        hash = last + 1;
    }
}

static void destroy_one(void *context, struct table_place place, struct record *record)
{
    table_remove(context, place);
    record_destroy(record);
}

static void end(struct table *table)
{
    each_record(table, destroy_one, table);
    cr_assert_eq(table->records, 0);
    cr_assert_eq(table->dirty, 0);
    table_deinit(table);
}

/* ---- tests ---- */

Test(table, is_empty_at_first_and_allocates_nothing)
{
    struct table table;
    struct table_place place;
    table_init(&table);
    cr_assert_null(find(&table, 1, hash_of(1), &place));
    cr_assert_eq(table_memory(&table), 0);
    cr_assert_eq(table_bucket_last(&table, 5), UINT32_MAX);
    table_prefetch_bucket(&table, hash_of(1));
    table_prefetch_record(&table, hash_of(1));
    table_deinit(&table);
}

Test(table, tells_keys_of_different_spaces_apart)
{
    struct table table;
    struct table_place place;
    table_init(&table);
    uint64_t hash = hash_of(7);
    struct slice key = slice_of("k", 1);
    struct record *one = record_create_marker(table_hash_top(hash), 1, key, 0);
    struct record *two = record_create_marker(table_hash_top(hash), 2, key, 0);
    cr_assert_eq(table_insert(&table, hash, one, &place), 0);
    cr_assert_null(table_find(&table, hash, 2, key, &place));
    cr_assert_eq(table_insert(&table, hash, two, &place), 0);
    cr_assert_eq(table_find(&table, hash, 1, key, &place), one);
    cr_assert_eq(table_find(&table, hash, 2, key, &place), two);
    end(&table);
}

Test(table, compares_keys_of_every_length)
{
    struct table table;
    struct table_place place;
    table_init(&table);
    uint8_t bytes[70];
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        memset(bytes, 'a', sizeof(bytes));
        struct slice key = slice_of(bytes, length);
        /* All have the same hash, so that only the comparison tells them apart. */
        struct record *record = record_create_marker(9, 0, key, 0);
        uint64_t hash = UINT64_C(9) << 32 | 5;
        cr_assert_eq(table_insert(&table, hash, record, &place), 0);
        cr_assert_eq(table_find(&table, hash, 0, key, &place), record);
        for (size_t at = 0; at < length; at++) {
            bytes[at] = 'b';
            cr_assert_null(table_find(&table, hash, 0, key, &place));
            bytes[at] = 'a';
        }
    }
    end(&table);
}

Test(table, does_what_a_model_does)
{
    enum { KEYS = 20000, STEPS = 300000 };
    struct table table;
    struct random random;
    static struct record *model[KEYS];
    static bool dirty[KEYS];
    uint64_t records = 0;
    uint64_t dirty_count = 0;
    table_init(&table);
    random_seed(&random, 3);
    memset(model, 0, sizeof(model));
    memset(dirty, 0, sizeof(dirty));
    for (int step = 0; step < STEPS; step++) {
        /* The range moves, so that parts of the table fill and empty. */
        uint32_t number =
            (uint32_t)((random_below(&random, KEYS / 2) + (uint64_t)step * KEYS / STEPS) % KEYS);
        struct table_place place;
        struct record *record = find(&table, number, hash_of(number), &place);
        cr_assert_eq(record, model[number]);
        uint64_t what = random_below(&random, 8);
        if (record == NULL) {
            if (what < 5) {
                model[number] = record_make(number, hash_of(number));
                cr_assert_eq(table_insert(&table, hash_of(number), model[number], &place), 0);
                dirty[number] = false;
                records++;
            }
            continue;
        }
        cr_assert_eq(table_is_dirty(place), dirty[number]);
        struct table_place same = table_place_of(&table, record);
        cr_assert(same.bucket == place.bucket && same.slot == place.slot);
        if (what < 3) {
            dirty_count -= dirty[number];
            table_remove(&table, place);
            record_destroy(record);
            model[number] = NULL;
            records--;
        } else if (what < 5) {
            model[number] = record_make(number, hash_of(number));
            table_replace(place, model[number]);
            record_destroy(record);
        } else if (dirty[number]) {
            table_clear_dirty(&table, place);
            dirty[number] = false;
            dirty_count--;
        } else {
            table_set_dirty(&table, place);
            dirty[number] = true;
            dirty_count++;
        }
        cr_assert_eq(table.records, records);
        cr_assert_eq(table.dirty, dirty_count);
    }
    end(&table);
}

Test(table, keeps_the_bits_of_records_when_segments_split)
{
    enum { KEYS = 50000 };
    struct table table;
    struct table_place place;
    table_init(&table);
    for (uint32_t i = 0; i < KEYS; i++) {
        insert(&table, i);
        cr_assert_not_null(find(&table, i, hash_of(i), &place));
        if (i % 3 == 0) {
            table_set_dirty(&table, place);
        }
        if (i % 5 == 0) {
            table_set_visited(place);
        }
        if (i % 7 == 0) {
            table_set_expiring(place);
        }
    }
    cr_assert(table.segments > 64);
    for (uint32_t i = 0; i < KEYS; i++) {
        cr_assert_not_null(find(&table, i, hash_of(i), &place));
        cr_assert_eq(table_is_dirty(place), i % 3 == 0);
        cr_assert_eq(table_bucket_visited(place.bucket) >> place.slot & 1, i % 5 == 0);
        if (i % 7 == 0) {
            cr_assert_neq(place.bucket->meta & TABLE_EXPIRING, 0);
        }
    }
    end(&table);
}

Test(table, holds_a_million_records_in_little_memory)
{
    enum { KEYS = 1000000 };
    struct table table;
    struct table_place place;
    table_init(&table);
    for (uint32_t i = 0; i < KEYS; i++) {
        insert(&table, i);
    }
    cr_assert_eq(table.records, KEYS);
    cr_assert(table.depth >= 11);
    for (uint32_t i = 0; i < KEYS; i++) {
        cr_assert_not_null(find(&table, i, hash_of(i), &place));
    }
    cr_assert_null(find(&table, KEYS, hash_of(KEYS), &place));
    cr_assert(table_memory(&table) < 20 * (uint64_t)KEYS, "%llu bytes",
              (unsigned long long)table_memory(&table));
    end(&table);
}

Test(table, holds_any_number_of_keys_with_one_hash)
{
    enum { KEYS = 1000 };
    struct table table;
    struct table_place place;
    table_init(&table);
    for (uint32_t i = 0; i < KEYS; i++) {
        insert_hashed(&table, i, 42);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        cr_assert_not_null(find(&table, i, 42, &place));
    }
    /* It did not split for ever to tell apart what can't be told apart. */
    cr_assert(table_memory(&table) < 1 << 20);
    for (uint32_t i = 0; i < KEYS; i += 2) {
        remove_number(&table, i, 42);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        cr_assert_eq(find(&table, i, 42, &place) != NULL, i % 2 == 1);
    }
    end(&table);
}

static void count_one(void *context, struct table_place place, struct record *record)
{
    (void)place;
    (void)record;
    ++*(uint32_t *)context;
}

Test(table, walks_all_records_in_the_order_of_hashes)
{
    struct table table;
    uint32_t count = 0;
    table_init(&table);
    for (uint32_t i = 0; i < 30000; i++) {
        insert(&table, i);
    }
    each_record(&table, count_one, &count);
    cr_assert_eq(count, 30000);
    end(&table);
}

Test(table, a_walk_meets_what_was_there_from_the_start_however_it_grows)
{
    enum { OLD = 3000, NEW = 60000 };
    struct table table;
    static uint8_t met[OLD];
    memset(met, 0, sizeof(met));
    table_init(&table);
    for (uint32_t i = 0; i < OLD; i++) {
        insert(&table, i);
    }
    uint32_t next = OLD;
    uint32_t hash = 0;
    for (;;) {
        uint32_t last = table_bucket_last(&table, hash);
        struct table_bucket *bucket = table_bucket(&table, hash);
        for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
            for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
                struct record *record = table_slot_record(bucket->slots[i]);
                uint32_t number;
                if (record != NULL) {
                    memcpy(&number, record_key(record).data, sizeof(number));
                    cr_assert(number >= OLD || met[number] == 0, "twice");
                    met[number < OLD ? number : 0] |= number < OLD;
                }
            }
        }
        if (last == UINT32_MAX) {
            break;
        }
        hash = last + 1;
        for (int i = 0; i < 50 && next < NEW; i++) {
            insert(&table, next++);
        }
    }
    cr_assert_eq(next, NEW);
    for (uint32_t i = 0; i < OLD; i++) {
        cr_assert(met[i], "key %u was not met", i);
    }
    end(&table);
}

Test(table, uses_overflow_buckets_again)
{
    struct table table;
    table_init(&table);
    for (uint32_t i = 0; i < 5000; i++) {
        insert(&table, i);
    }
    uint64_t memory = table_memory(&table);
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < 5000; i++) {
            remove_number(&table, i, hash_of(i));
        }
        for (uint32_t i = 0; i < 5000; i++) {
            insert(&table, i);
        }
    }
    cr_assert_eq(table_memory(&table), memory);
    end(&table);
}

Test(table, is_as_before_when_memory_is_out)
{
    struct table table;
    struct table_place place;
    struct random random;
    table_init(&table);
    random_seed(&random, 1);
    uint32_t failed = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        struct record *record = record_make(i, hash_of(i));
        mem_fail_after(random_below(&random, 2) + 1, true);
        int err = table_insert(&table, hash_of(i), record, &place);
        mem_fail_after(0, false);
        if (err != 0) {
            cr_assert_eq(err, ERR_MEMORY);
            cr_assert_null(find(&table, i, hash_of(i), &place));
            cr_assert_eq(table_insert(&table, hash_of(i), record, &place), 0);
            failed++;
        }
        cr_assert_eq(table.records, i + 1);
    }
    cr_assert(failed > 10);
    for (uint32_t i = 0; i < 20000; i++) {
        cr_assert_not_null(find(&table, i, hash_of(i), &place));
    }
    end(&table);
}

Test(table, has_the_places_that_were_reserved_when_memory_is_out)
{
    enum { RESERVED = 300 };
    struct table table;
    struct table_place place;
    table_init(&table);
    for (uint32_t i = 0; i < RESERVED; i++) {
        cr_assert_eq(table_reserve(&table), 0);
    }
    for (uint32_t i = RESERVED; i < 5000; i++) {
        insert(&table, i);
    }
    struct record *records[RESERVED];
    for (uint32_t i = 0; i < RESERVED; i++) {
        records[i] = record_make(i, hash_of(i));
    }
    mem_fail_after(1, true);
    for (uint32_t i = 0; i < RESERVED; i++) {
        table_unreserve(&table);
        cr_assert_eq(table_insert(&table, hash_of(i), records[i], &place), 0);
    }
    mem_fail_after(0, false);
    for (uint32_t i = 0; i < 5000; i++) {
        cr_assert_not_null(find(&table, i, hash_of(i), &place));
    }
    end(&table);
}

Test(table, a_record_that_is_not_in_it_has_no_place, .signal = SIGABRT)
{
    struct table table;
    table_init(&table);
    insert(&table, 1);
    struct record *record = record_make(2, hash_of(2));
    (void)table_place_of(&table, record);
}
