/*
 * Time, and removing what has expired.
 *
 * An expired record is absent for everybody, whether it has been removed or not; whoever meets it
 * removes it. Besides, a sweep goes over all tables in ten ticks (about a second), a part of the
 * partitions at each. Buckets say whether they may hold a record that expires, so records that
 * don't cost nothing. Expired keys that are only in the tree wait until somebody meets them.
 *
 * Time never goes back: when the clock of the machine does, a record that was gone would be there
 * again.
 */
#include "data/expire.h"

#include "base/plant.h"
#include "data/keyspace_impl.h"
#include "data/latch.h"
#include "data/put.h"
#include "data/spaces.h"

enum {
    SWEEP_TICKS = 10,
    SWEEP_STEP_BUCKETS = 32,
};

int64_t keyspace_now_ms(struct keyspace *keyspace)
{
    int64_t now_ms = shard_now_ms(keyspace->shard);
    if (now_ms > keyspace->clock_high_ms || PLANTED(CLOCK_GOES_BACK)) {
        keyspace->clock_high_ms = now_ms;
    }
    return keyspace->clock_high_ms;
}

int64_t keyspace_clock_high_ms(const struct keyspace *keyspace)
{
    return keyspace->clock_high_ms;
}

void keyspace_set_clock_high_ms(struct keyspace *keyspace, int64_t now_ms)
{
    keyspace->clock_high_ms = max_i64(keyspace->clock_high_ms, now_ms);
}

void keyspace_expire(struct keyspace *keyspace, struct shelf *shelf, const struct key *key,
                     struct table_place place)
{
    /* A change of it that another shard logs may stand in the log already: the deletion of what was
     * here before must not follow it. The record stays, invisible, until it is met again. */
    if (shelf->foreign_writes > 0 && latch_blocks(keyspace, key, true)) {
        return;
    }
    if (keyspace_erase_found(keyspace, shelf, key, place) == 1) {
        keyspace->stats.expired++;
    }
}

/* ---- the sweep ---- */

static bool has_expiring(const struct shelf *shelf)
{
    for (uint32_t i = 0; i < shelf->count_count; i++) {
        if (shelf->counts[i].expires > 0) {
            return true;
        }
    }
    return false;
}

static void sweep_record(struct keyspace *keyspace, struct shelf *shelf, struct table_place place)
{
    const struct record *record = table_slot_record(place.bucket->slots[place.slot]);
    if (!record_has_expired(record, keyspace->clock_high_ms) ||
        !keyspace_space_is_live(keyspace, record->space)) {
        return;
    }
    /* The key's bytes go away with the record. */
    uint8_t name[STORE_KEY_BYTES_MAX];
    struct slice bytes = record_key(record);
    if (bytes.bytes > 0) {
        memcpy(name, bytes.data, bytes.bytes);
    }
    struct key key = keyspace_key(keyspace, record->space, slice_of(name, bytes.bytes));
    keyspace_expire(keyspace, shelf, &key, place);
}

static void sweep_bucket(struct keyspace *keyspace, struct shelf *shelf,
                         struct table_bucket *bucket)
{
    for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
        if ((bucket->meta & TABLE_EXPIRING) == 0) {
            continue;
        }
        bool expires = false;
        for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
            if (bucket->slots[i] == 0) {
                continue;
            }
            expires |= (table_slot_record(bucket->slots[i])->flags & RECORD_EXPIRES) != 0;
            sweep_record(keyspace, shelf, (struct table_place){bucket, i});
        }
        if (!expires) {
            bucket->meta &= ~TABLE_EXPIRING;
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
            return;
        }
        hash = last + 1;
        if (step % SWEEP_STEP_BUCKETS == 0) {
            co_yield_if_due();
        }
    }
}

static co_fn void sweep_main(void *argument)
{
    struct keyspace *keyspace = argument;
    uint32_t shelves = (uint32_t)div_ceil(keyspace->shelf_count, SWEEP_TICKS);
    for (uint32_t i = 0; i < shelves && keyspace->background; i++) {
        struct shelf *shelf = &keyspace->shelves[keyspace->expire_shelf];
        keyspace->expire_shelf = (keyspace->expire_shelf + 1) % keyspace->shelf_count;
        (void)keyspace_now_ms(keyspace);
        if (has_expiring(shelf)) {
            sweep_shelf(keyspace, shelf);
        }
    }
    keyspace->expiring = false;
    keyspace_background_end(keyspace);
}

void keyspace_expire_tick(struct keyspace *keyspace)
{
    /* Time goes on also where no key expires that anybody looks at: it is what records are said to
     * have been used at, and what an end in order hands to the next start. */
    (void)keyspace_now_ms(keyspace);
    if (keyspace->expiring || keyspace->expire_off) {
        return;
    }
    bool any = false;
    for (uint32_t i = 0; i < keyspace->shelf_count && !any; i++) {
        any = has_expiring(&keyspace->shelves[i]);
    }
    if (any && keyspace_background_start(keyspace, "expire", sweep_main) == 0) {
        keyspace->expiring = true;
    }
}

void keyspace_set_active_expire(struct keyspace *keyspace, bool on)
{
    keyspace->expire_off = !on;
}
