/*
 * Dropping clean records when memory is short.
 *
 * A hand goes over all tables in the order of hashes. What was found since it came by last loses
 * that mark and stays; other clean records that nobody has pinned go. A record enters without the
 * mark, so what is read once (a scan, say) goes before what is read twice. Dirty records are passed
 * by without being touched: only a checkpoint makes them clean.
 *
 * This runs in small steps at the start of each pass in which the budget is exceeded. If the hand
 * went round twice in vain, everything is dirty or pinned; it rests until something has been made
 * clean, or the next tick.
 */
#include "data/evict.h"

#include "data/keyspace_impl.h"

static bool is_over_budget(const struct keyspace *keyspace)
{
    return keyspace->record_bytes + keyspace->table_bytes > keyspace->options.record_bytes_max;
}

static uint64_t buckets_of_all(const struct keyspace *keyspace)
{
    uint64_t segments = 0;
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        segments += keyspace->shelves[i].table.segments;
    }
    return segments * TABLE_SEGMENT_BUCKETS + keyspace->shelf_count;
}

static bool evict_slot(struct keyspace *keyspace, struct shelf *shelf, struct table_place place)
{
    const struct record *record = table_slot_record(place.bucket->slots[place.slot]);
    if (record->pins > 0) {
        return false;
    }
    ASSERT((record->flags & (RECORD_FROZEN | RECORD_TREE_STATE | RECORD_LOADING)) == 0);
    shelf_remove(keyspace, shelf, place);
    keyspace->stats.evicted_clean++;
    return true;
}

/* Returns how many records of the bucket (and what overflowed from it) were dropped. */
static uint32_t evict_bucket(struct keyspace *keyspace, struct shelf *shelf,
                             struct table_bucket *bucket)
{
    uint32_t dropped = 0;
    for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
        uint32_t passed = table_bucket_dirty(bucket) | table_bucket_visited(bucket);
        for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
            if (bucket->slots[i] != 0 && (passed >> i & 1) == 0) {
                dropped += evict_slot(keyspace, shelf, (struct table_place){bucket, i});
            }
        }
        bucket->meta &= ~((uint64_t)TABLE_SLOTS_MASK << TABLE_VISITED_SHIFT);
    }
    return dropped;
}

/* Looks at the bucket under the hand and moves on. */
static void evict_step(struct keyspace *keyspace)
{
    struct shelf *shelf = &keyspace->shelves[keyspace->evict_shelf];
    uint32_t last = table_bucket_last(&shelf->table, shelf->hand);
    uint32_t dropped = evict_bucket(keyspace, shelf, table_bucket(&shelf->table, shelf->hand));
    keyspace->evict_barren = dropped > 0 ? 0 : keyspace->evict_barren + 1;
    shelf->hand = last + 1;
    if (last == UINT32_MAX) {
        keyspace->evict_shelf = (keyspace->evict_shelf + 1) % keyspace->shelf_count;
    }
}

bool keyspace_evict_rests(const struct keyspace *keyspace)
{
    /* Twice round, since the first time takes marks away. */
    return keyspace->evict_barren > 2 * buckets_of_all(keyspace);
}

bool keyspace_evict(struct keyspace *keyspace, uint32_t buckets)
{
    if (!is_over_budget(keyspace) || keyspace_evict_rests(keyspace)) {
        return true;
    }
    for (uint32_t i = 0; i < buckets; i++) {
        evict_step(keyspace);
        if (!is_over_budget(keyspace)) {
            return true;
        }
    }
    return keyspace_evict_rests(keyspace);
}

void keyspace_evict_all(struct keyspace *keyspace)
{
    uint64_t steps = 2 * buckets_of_all(keyspace); /* twice, for the marks */
    for (uint64_t i = 0; i < steps; i++) {
        evict_step(keyspace);
    }
    keyspace->evict_barren = 0;
}
