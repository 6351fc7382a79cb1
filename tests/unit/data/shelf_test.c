#include "data/shelf.h"

#include <string.h>

#include "base/mem.h"
#include "rig.h"

/* ---- counts of spaces ---- */

Test(shelf, keeps_counts_of_many_spaces_apart)
{
    enum { SPACES = 300 };
    struct shelf shelf;
    struct random random;
    shelf_init(&shelf, 0);
    random_seed(&random, 1);
    cr_assert_null(shelf_count(&shelf, 5));
    cr_assert(shelf_tree_is_empty(&shelf, 5));
    for (uint32_t i = 0; i < SPACES; i++) {
        shelf_count_make(&shelf, i * 7)->keys = i;
    }
    for (int i = 0; i < 10000; i++) {
        uint32_t space = (uint32_t)random_below(&random, SPACES);
        cr_assert_eq(shelf_count(&shelf, space * 7)->keys, space);
        cr_assert_eq(shelf_count_make(&shelf, space * 7)->keys, space);
        cr_assert_null(shelf_count(&shelf, space * 7 + 1));
    }
    cr_assert_eq(shelf.count_count, SPACES);
    for (uint32_t i = 0; i < SPACES; i += 2) {
        shelf_count_forget(&shelf, i * 7);
    }
    shelf_count_forget(&shelf, 99999);
    for (uint32_t i = 0; i < SPACES; i++) {
        const struct space_count *count = shelf_count(&shelf, i * 7);
        cr_assert_eq(count != NULL, i % 2 == 1);
        cr_assert(count == NULL || count->keys == i);
    }
    mem_free(shelf.counts);
}

Test(shelf, makes_no_counts_without_memory)
{
    struct shelf shelf;
    shelf_init(&shelf, 0);
    mem_fail_after(1, false);
    cr_assert_null(shelf_count_make(&shelf, 1));
    cr_assert_eq(shelf.count_count, 0);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_not_null(shelf_count_make(&shelf, i));
    }
    mem_fail_after(1, false);
    cr_assert_null(shelf_count_make(&shelf, 4));
    cr_assert_eq(shelf.count_count, 4);
    cr_assert_not_null(shelf_count_make(&shelf, 4));
    mem_free(shelf.counts);
}

/* ---- sums ---- */

static struct record *record_of(const struct key *key, const char *value, int64_t expire_ms)
{
    struct record_content content = {
        .hash = table_hash_top(key->hash),
        .space = key->space,
        .key = key->name,
        .value = slice_cstr(value),
        .expire_ms = expire_ms,
    };
    return record_create(&content);
}

static void sums(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    struct key key = rig_key(keyspace, "a");
    struct shelf *shelf = shelf_of(keyspace, &key);
    struct table_place place;
    MUST(shelf_count_make(shelf, key.space) != NULL);
    struct record *record = record_of(&key, "value", 0);
    MUST_BE(shelf_insert(keyspace, shelf, key.hash, record, &place), 0);
    MUST_BE(keyspace->record_bytes, record_memory(record));
    MUST_BE(keyspace->dirty_bytes, 0);
    MUST(shelf->low == LSN_NONE);
    record->pins = 3;

    shelf_changed(keyspace, shelf, place);
    MUST_BE(keyspace->dirty_bytes, record_memory(record));
    MUST_BE(shelf->low, log_reserved(keyspace->log).value);

    struct record *other = record_of(&key, "a much longer value than before", 77);
    other->flags |= RECORD_FRESH;
    shelf_replace(keyspace, shelf, place, other);
    MUST_BE(other->pins, 3);
    MUST_BE(keyspace->record_bytes, record_memory(other));
    MUST_BE(keyspace->dirty_bytes, record_memory(other));
    MUST_BE(shelf_count(shelf, key.space)->expires, 1);
    MUST((place.bucket->meta & TABLE_EXPIRING) != 0);

    /* A frozen one stays in the sums until its checkpoint lets it go. */
    other->flags |= RECORD_FROZEN;
    struct record *third = record_of(&key, "third", 0);
    shelf_replace(keyspace, shelf, place, third);
    MUST((other->flags & RECORD_ORPHAN) != 0);
    MUST((third->flags & RECORD_SUPERSEDES) != 0 && (third->flags & RECORD_FRESH) != 0);
    MUST_BE(keyspace->dirty_bytes, record_memory(other) + record_memory(third));
    MUST_BE(shelf_count(shelf, key.space)->expires, 0);
    struct record *fourth = record_of(&key, "fourth", 0);
    shelf_replace(keyspace, shelf, place, fourth);
    MUST((fourth->flags & RECORD_SUPERSEDES) != 0);
    shelf_orphan_freed(keyspace, shelf, record_memory(other));
    record_destroy(other);
    MUST_BE(keyspace->dirty_bytes, record_memory(fourth));

    shelf_cleaned(keyspace, shelf, place);
    MUST_BE(keyspace->dirty_bytes, 0);
    MUST(shelf->low == LSN_NONE);
    MUST_BE(fourth->flags, 0);
    shelf_make_absent(keyspace, shelf, place);
    MUST_BE(fourth->flags, RECORD_ABSENT);
    MUST_BE(fourth->pins, 3);
    fourth->pins = 0;
    shelf_make_absent(keyspace, shelf, place);
    MUST_BE(keyspace->record_bytes, 0);
    MUST_BE(shelf->table.records, 0);
}

Test(shelf, keeps_its_sums_right)
{
    rig_test(sums);
}

static void low_after(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "{t}a", "1");
    struct key key = rig_key(keyspace, "{t}a");
    struct shelf *shelf = shelf_of(keyspace, &key);
    /* The first change since a freeze, though of a record that is dirty already. */
    shelf->low = LSN_NONE;
    log_flush(keyspace->writer);
    rig_put(keyspace, "{t}a", "2");
    MUST_BE(shelf->low, log_reserved(keyspace->log).value);
}

Test(shelf, notes_the_first_change_after_a_freeze_whatever_was_dirty_before)
{
    rig_test(low_after);
}
