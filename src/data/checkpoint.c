/*
 * A checkpoint: the dirty records of one partition go into its trees, in one commit.
 *
 *     wait      until no foreign write latch is held in the partition (latch.h), and no scan asks
 *               for peace
 *     freeze    put the shard's batch into the log's stream; F1 = the stream's end
 *     gather    all dirty records, bucket by bucket, marking each RECORD_FROZEN
 *     sync      wait until the log is durable up to F2, its end when all was gathered
 *     sort      by space and key
 *     commit    with applied_lsn = F1
 *     settle    tell the records: what was frozen is clean now, orphans are freed
 *
 * The freeze is fuzzy. Gathering takes time, in which writes go on; a record that is changed before
 * its bucket is gathered is frozen with the change, one that is changed after is not. So the trees
 * get everything below F1, and some of what lies between F1 and F2. Recovery begins at F1 and
 * applies all of it once more, which does no harm, since changes may be repeated (change.c). What
 * would do harm is a tree that has a part of what the log has lost: half of an MSET, say. Therefore
 * the commit waits until the log is durable up to F2.
 *
 * A frozen record is never changed. A write puts another one in its place (shelf_replace): that one
 * is dirty for the next checkpoint, and the frozen one, now an orphan, is freed at the end. After a
 * failed commit nothing has changed in the trees: frozen records are dirty as before, orphans are
 * freed, since what took their place says more.
 *
 * Publication happens within partition_commit, at one moment, which its first call of `applied`
 * tells us. From then until all records know (SHELF_SETTLING) what records say about the tree is
 * old; who needs it waits.
 */
#include "data/checkpoint.h"

#include "base/logger.h"
#include "base/mem.h"
#include "base/plant.h"
#include "data/batch.h"
#include "data/count.h"
#include "data/keyspace_impl.h"
#include "data/latch_impl.h"
#include "data/spaces.h"

enum {
    DROPS_MAX = 64, /* dead trees in one commit */
    STEP_BUCKETS = 16,
    STEP_RECORDS = 16,
};

struct checkpoint {
    struct keyspace *keyspace;
    struct shelf *shelf;
    struct batch batch;
    uint64_t applied;
    uint32_t drop_count;
    uint32_t drops[DROPS_MAX];
};

/* ---- freezing ---- */

static co_fn void wait_for_peace(struct checkpoint *checkpoint)
{
    struct shelf *shelf = checkpoint->shelf;
    shelf->freeze_wanted = true;
    while (shelf->foreign_writes > 0 || shelf->walkers > 0) {
        co_event_wait(&shelf->freed);
    }
}

static void freeze(struct checkpoint *checkpoint)
{
    struct keyspace *keyspace = checkpoint->keyspace;
    struct shelf *shelf = checkpoint->shelf;
    ASSERT(shelf->phase == SHELF_IDLE && shelf->frozen_low == LSN_NONE);
    if (checkpoint->applied == LSN_NONE) {
        log_flush(keyspace->writer);
        checkpoint->applied = log_reserved(keyspace->log).value;
    }
    checkpoint->drop_count = keyspace_dead_trees(keyspace, shelf, checkpoint->drops, DROPS_MAX);
    shelf->frozen_low = shelf->low;
    shelf->low = LSN_NONE;
    shelf->phase = SHELF_COMMITTING;
    shelf->freeze_wanted = false;
    latch_unhold(keyspace);
}

static int gather_record(struct checkpoint *checkpoint, struct table_place place)
{
    struct record *record = table_slot_record(place.bucket->slots[place.slot]);
    ASSERT((record->flags & (RECORD_FROZEN | RECORD_ABSENT | RECORD_LOADING)) == 0);
    if (!keyspace_space_is_live(checkpoint->keyspace, record->space)) {
        shelf_make_absent(checkpoint->keyspace, checkpoint->shelf, place);
        return 0;
    }
    TRY(batch_add(&checkpoint->batch, record));
    record->flags |= RECORD_FROZEN;
    return 0;
}

static int gather_bucket(struct checkpoint *checkpoint, struct table_bucket *bucket)
{
    for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
        for (uint32_t dirty = table_bucket_dirty(bucket); dirty != 0; dirty &= dirty - 1) {
            uint32_t slot = (uint32_t)__builtin_ctz(dirty);
            TRY(gather_record(checkpoint, (struct table_place){bucket, slot}));
        }
    }
    return 0;
}

static co_fn int gather(struct checkpoint *checkpoint)
{
    struct table *table = &checkpoint->shelf->table;
    uint32_t hash = 0;
    uint32_t last;
    for (uint32_t step = 0;; step++) {
        TRY(gather_bucket(checkpoint, table_bucket(table, hash)));
        last = table_bucket_last(table, hash);
        if (last == UINT32_MAX) {
            return 0;
        }
        hash = last + 1;
        if (step % STEP_BUCKETS == 0) {
            co_yield_if_due();
        }
    }
}

static co_fn int wait_durable(struct checkpoint *checkpoint)
{
    struct keyspace *keyspace = checkpoint->keyspace;
    if (keyspace->replay_lsn != LSN_NONE) {
        return 0;
    }
    /* Also while the log is off: F1 must not lie beyond the end that a recovery would find. */
    log_flush(keyspace->writer);
    return log_wait_durable(keyspace->writer, log_reserved(keyspace->log));
}

/* ---- committing ---- */

static void get_change(void *context, uint32_t index, struct store_change *ret_change)
{
    const struct checkpoint *checkpoint = context;
    const struct record *record = checkpoint->batch.items[index].record;
    struct slice value = record_value(record);
    *ret_change = (struct store_change){
        .space = record->space,
        .remove = (record->flags & RECORD_TOMBSTONE) != 0,
        .entry =
            {
                .key = record_key(record),
                .value = value,
                .value_bytes = value.bytes,
                .expire_ms = record_load_expire(record),
                .type = record->type,
                .meta = record->meta,
            },
    };
}

static void published(struct shelf *shelf)
{
    if (shelf->phase == SHELF_COMMITTING) {
        shelf->phase = SHELF_SETTLING;
        shelf->publications++;
    }
}

static void note_applied(void *context, uint32_t index, bool existed)
{
    struct checkpoint *checkpoint = context;
    published(checkpoint->shelf);
    if (existed) {
        batch_set_existed(&checkpoint->batch, index);
    }
}

static co_fn int commit(struct checkpoint *checkpoint)
{
    struct store_batch batch = {
        .count = checkpoint->batch.count,
        .context = checkpoint,
        .get = get_change,
        .applied = note_applied,
        .applied_lsn = {checkpoint->applied},
        .drop_spaces = checkpoint->drops,
        .drop_count = checkpoint->drop_count,
    };
    TRY(partition_commit(checkpoint->shelf->partition, &batch));
    published(checkpoint->shelf);
    return 0;
}

/* Gather and all that follows; what is frozen stays so. */
static co_fn int collect_and_commit(struct checkpoint *checkpoint)
{
    TRY(gather(checkpoint));
    if (checkpoint->batch.count == 0 && checkpoint->drop_count == 0) {
        return 0;
    }
    TRY(wait_durable(checkpoint));
    if (PLANTED(CHECKPOINT_FORGETS)) {
        checkpoint->applied = log_reserved(checkpoint->keyspace->log).value;
    }
    TRY(batch_sort(&checkpoint->batch));
    return commit(checkpoint);
}

/* ---- settling ---- */

/* What took an orphan's place, if it is still there. */
static struct record *successor(struct checkpoint *checkpoint, const struct record *orphan)
{
    struct key key = keyspace_key(checkpoint->keyspace, orphan->space, record_key(orphan));
    struct table_place place;
    return shelf_find(checkpoint->shelf, &key, &place);
}

static void settle_orphan(struct checkpoint *checkpoint, uint32_t index, bool success)
{
    struct record *orphan = checkpoint->batch.items[index].record;
    struct record *record = successor(checkpoint, orphan);
    if (record != NULL && (record->flags & RECORD_SUPERSEDES) != 0) {
        record->flags &= (uint16_t) ~(RECORD_SUPERSEDES | RECORD_SUPERSEDES_REMOVAL);
        if (success) {
            if ((record->flags & RECORD_OPEN) != 0) {
                shelf_resolve(checkpoint->keyspace, checkpoint->shelf, record,
                              batch_existed(&checkpoint->batch, index));
            }
            record->flags &= (uint16_t)~RECORD_TREE_STATE;
            record->flags |= (orphan->flags & RECORD_TOMBSTONE) != 0 ? RECORD_FRESH : 0;
        }
    }
    shelf_orphan_freed(checkpoint->keyspace, checkpoint->shelf, record_memory(orphan));
    record_destroy(orphan);
}

static void settle_record(struct checkpoint *checkpoint, uint32_t index, bool success)
{
    struct record *record = checkpoint->batch.items[index].record;
    if ((record->flags & RECORD_ORPHAN) != 0) {
        settle_orphan(checkpoint, index, success);
        return;
    }
    record->flags &= (uint16_t)~RECORD_FROZEN;
    if (!success) {
        return;
    }
    bool existed = batch_existed(&checkpoint->batch, index);
    if ((record->flags & RECORD_OPEN) != 0) {
        shelf_resolve(checkpoint->keyspace, checkpoint->shelf, record, existed);
    }
    ASSERT(existed == ((record->flags & RECORD_FRESH) == 0));
    struct table_place place = table_place_of(&checkpoint->shelf->table, record);
    if ((record->flags & RECORD_TOMBSTONE) != 0) {
        shelf_make_absent(checkpoint->keyspace, checkpoint->shelf, place);
    } else {
        shelf_cleaned(checkpoint->keyspace, checkpoint->shelf, place);
    }
}

static co_fn void settle(struct checkpoint *checkpoint, bool success)
{
    struct shelf *shelf = checkpoint->shelf;
    if (success) {
        IGNORE(shelf_read_tree_counts(shelf, false), "it fails only where it makes counts");
    }
    for (uint32_t i = 0; i < checkpoint->batch.count; i++) {
        settle_record(checkpoint, i, success);
        if (i % STEP_RECORDS == 0) {
            co_yield_if_due();
        }
    }
    if (!success) {
        shelf->low = min_u64(shelf->low, shelf->frozen_low);
    }
    shelf->frozen_low = LSN_NONE;
    shelf->phase = SHELF_IDLE;
    if (shelf->table.dirty == 0) {
        shelf->low = LSN_NONE;
    }
    co_event_signal(&shelf->freed);
}

/* ---- the whole ---- */

static void note_result(struct checkpoint *checkpoint, int err)
{
    struct keyspace *keyspace = checkpoint->keyspace;
    keyspace->checkpoint_error = err;
    keyspace->stats.last_checkpoint_error = err;
    keyspace->write_waits = false;
    keyspace->evict_barren = 0;
    if (err != 0) {
        LOGGER_WARNING("checkpoint of partition %u failed: %s", checkpoint->shelf->number,
                       error_text(err));
        return;
    }
    /* A space may have died after its records were gathered. */
    uint32_t dead;
    keyspace->drop_trees |= keyspace_dead_trees(keyspace, checkpoint->shelf, &dead, 1) > 0;
    keyspace->stats.checkpoints++;
    keyspace->stats.checkpoint_records += checkpoint->batch.count;
    keyspace->stats.last_checkpoint_ms = shard_now_ms(keyspace->shard);
    LOGGER_DEBUG("checkpoint of partition %u: %u records, LSN %llu", checkpoint->shelf->number,
                 checkpoint->batch.count, (unsigned long long)checkpoint->applied);
}

static co_fn int checkpoint_run(struct checkpoint *checkpoint)
{
    TRY(batch_init(&checkpoint->batch, checkpoint->shelf->table.dirty));
    wait_for_peace(checkpoint);
    freeze(checkpoint);
    int err = collect_and_commit(checkpoint);
    settle(checkpoint, err == 0);
    return err;
}

co_fn int keyspace_checkpoint(struct keyspace *keyspace, struct shelf *shelf, uint64_t applied)
{
    co_mutex_lock(&keyspace->checkpointing);
    struct checkpoint checkpoint = {.keyspace = keyspace, .shelf = shelf, .applied = applied};
    keyspace->stats.checkpoint_running = true;
    int err = checkpoint_run(&checkpoint);
    keyspace->stats.checkpoint_running = false;
    note_result(&checkpoint, err);
    batch_deinit(&checkpoint.batch);
    co_mutex_unlock(&keyspace->checkpointing);
    return err;
}

co_fn void shelf_wait_settled(struct shelf *shelf)
{
    while (shelf->phase == SHELF_SETTLING) {
        co_event_wait(&shelf->freed);
    }
}
