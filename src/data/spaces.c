/*
 * Databases and spaces.
 *
 * A space is the contents of a database at a time. To flush a database is to give it a new space:
 * the old one is dead at once, and nobody asks for its keys any more. What is left of it goes in
 * the background: its counts here and now, its records by a sweep over the tables, its trees with
 * the next commits (checkpoint.c).
 */
#include "data/spaces.h"

#include "data/checkpointer.h"
#include "data/keyspace_impl.h"

enum { SWEEP_STEP_BUCKETS = 16 };

uint32_t keyspace_space(const struct keyspace *keyspace, uint32_t database)
{
    ASSERT(database < keyspace->options.databases);
    return keyspace->spaces[database];
}

uint32_t keyspace_space_next(const struct keyspace *keyspace)
{
    return keyspace->space_next;
}

bool keyspace_space_is_live(const struct keyspace *keyspace, uint32_t space)
{
    for (uint32_t i = 0; i < keyspace->options.databases; i++) {
        if (keyspace->spaces[i] == space) {
            return true;
        }
    }
    return false;
}

static void forget_counts(struct keyspace *keyspace, struct shelf *shelf)
{
    for (uint32_t i = 0; i < shelf->count_count;) {
        uint32_t space = shelf->counts[i].space;
        if (keyspace_space_is_live(keyspace, space)) {
            i++;
        } else {
            shelf_count_forget(shelf, space);
            i = 0;
        }
    }
}

void keyspace_adopt_spaces(struct keyspace *keyspace, const uint32_t *spaces, uint32_t space_next)
{
    ASSERT(space_next >= keyspace->space_next);
    for (uint32_t i = 0; i < keyspace->options.databases; i++) {
        ASSERT(spaces[i] < space_next);
        keyspace->spaces[i] = spaces[i];
    }
    keyspace->space_next = space_next;
    keyspace->spaces_low = LSN_NONE;
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        forget_counts(keyspace, &keyspace->shelves[i]);
    }
    keyspace->spaces_dirty = true;
    keyspace->drop_trees = true;
    keyspace_sweep_spaces(keyspace);
    keyspace_wake_checkpointer(keyspace);
}

/* ---- records ---- */

static void sweep_bucket(struct keyspace *keyspace, struct shelf *shelf,
                         struct table_bucket *bucket)
{
    for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
        for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
            const struct record *record = table_slot_record(bucket->slots[i]);
            if (record == NULL || (record->flags & RECORD_LOADING) != 0 ||
                keyspace_space_is_live(keyspace, record->space)) {
                continue;
            }
            struct table_place place = {bucket, i};
            if (record->pins == 0) {
                shelf_remove(keyspace, shelf, place);
            } else if ((record->flags & (RECORD_FROZEN | RECORD_ABSENT)) == 0) {
                shelf_make_absent(keyspace, shelf, place);
            }
        }
    }
}

static co_fn void sweep_shelf(struct keyspace *keyspace, struct shelf *shelf)
{
    uint32_t hash = 0;
    for (uint32_t step = 0; keyspace->background; step++) {
        sweep_bucket(keyspace, shelf, table_bucket(&shelf->table, hash));
        uint32_t last = table_bucket_last(&shelf->table, hash);
        if (last == UINT32_MAX) {
            break;
        }
        hash = last + 1;
        if (step % SWEEP_STEP_BUCKETS == 0) {
            co_yield_if_due();
        }
    }
    /* An empty table needs no segments: millions of records leave many. */
    if (shelf->table.records == 0) {
        keyspace->table_bytes -= table_memory(&shelf->table);
        table_deinit(&shelf->table);
    }
}

static co_fn void sweep_main(void *argument)
{
    struct keyspace *keyspace = argument;
    while (keyspace->background && keyspace->spaces_dirty) {
        keyspace->spaces_dirty = false;
        for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
            sweep_shelf(keyspace, &keyspace->shelves[i]);
        }
    }
    keyspace->sweeping_spaces = false;
    keyspace_background_end(keyspace);
}

void keyspace_sweep_spaces(struct keyspace *keyspace)
{
    if (keyspace->background && keyspace->spaces_dirty && !keyspace->sweeping_spaces &&
        keyspace_background_start(keyspace, "sweep spaces", sweep_main) == 0) {
        keyspace->sweeping_spaces = true;
    }
}

/* ---- trees ---- */

struct dead_trees {
    const struct keyspace *keyspace;
    uint32_t *spaces;
    uint32_t count;
    uint32_t max;
};

static void note_dead_tree(void *context, uint32_t space, uint64_t keys)
{
    struct dead_trees *dead = context;
    (void)keys;
    if (dead->count < dead->max && !keyspace_space_is_live(dead->keyspace, space)) {
        dead->spaces[dead->count++] = space;
    }
}

uint32_t keyspace_dead_trees(struct keyspace *keyspace, struct shelf *shelf, uint32_t *spaces,
                             uint32_t max)
{
    struct dead_trees dead = {.keyspace = keyspace, .spaces = spaces, .max = max};
    partition_each_space(shelf->partition, note_dead_tree, &dead);
    return dead.count;
}
