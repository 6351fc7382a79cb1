/*
 * Opening a keyspace: its partitions, then what the log has beyond them.
 *
 * Each shard reads the whole log from its start and takes what concerns its partitions. A record is
 * applied to a partition if its LSN is not below the partition's applied LSN. Since a checkpoint's
 * freeze is fuzzy (checkpoint.c), the tree may have some of what is applied again. That does no
 * harm:
 *
 *   - A PUT or a REMOVE says all there is about a key.
 *   - An EXPIRE or a RANGE is about a key that existed when it was made. If the key isn't there
 *     now, the tree has a later removal, whose record follows, and the change is dropped. If the
 *     tree has a later value, all that made it later follows too: each part of it (expiry, length,
 *     every byte) ends as the last record that set it says.
 *
 * No clock is looked at: a record may have expired since, but another one may have prolonged it.
 *
 * Spaces. The map comes from the superblock, which is at least as new as the start of the log, and
 * SPACES records set it on the way; the last one is right. That is why the log is read from its
 * start even if every partition has applied more: the superblock may be older than a SPACES record
 * that no partition needs. Records of spaces that died later are applied like others and dropped at
 * the end with the rest of them, so that no order of records of different shards matters.
 *
 * Memory. Above the dirty target partitions are checkpointed in between, with the position reached
 * as their applied LSN. (Records of one frame share an LSN: those before the current one are
 * applied again after a crash.)
 *
 * An applied LSN beyond the log's end means that the log has lost what it had acknowledged, and is
 * refused. It can't come from a time without a log (appendonly no): then nothing is appended,
 * checkpoints carry the log's end as it stands, and wait until that is durable. Changes of such a
 * time are in the trees or lost, that is what was asked for; what the log had before it and a
 * partition has not applied yet is applied as always.
 *
 * An applied LSN before the log's start is normal: the superblock's start says that nothing before
 * it is needed, and a partition without changes makes no commits.
 */
#include "data/change.h"

#include "base/kill_point.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/plant.h"
#include "data/checkpoint.h"
#include "data/checkpointer.h"
#include "data/evict.h"
#include "data/keyspace_impl.h"
#include "data/load.h"
#include "data/put.h"

enum { STEP_RECORDS = 64 };

static int is_damaged(const struct keyspace *keyspace, int err, const char *what)
{
    return err_corrupt("the redo log", keyspace->replay_lsn, "%s (%s)", what, error_text(err));
}

/* ---- one change ---- */

/* The live record of the key, from the tree if need be; 0 if there is none. */
static co_fn int make_resident(struct keyspace *keyspace, struct shelf *shelf,
                               const struct key *key, struct record **ret_record)
{
    struct table_place place;
    struct record *record = shelf_find(shelf, key, &place);
    if (record == NULL && !shelf_tree_is_empty(shelf, key->space)) {
        struct store_found found = {.frame = NULL};
        int result = store_get(shelf->partition, key->space, key->name, &found);
        if (result <= 0) {
            return result;
        }
        int err = record_from_store(keyspace, key, result, &found, &record);
        store_found_release(shelf->partition, &found);
        if (err == 0) {
            err = shelf_insert(keyspace, shelf, key->hash, record, &place);
            if (err != 0) {
                record_destroy(record);
            }
        }
        TRY(err);
    }
    if (record == NULL || (record->flags & RECORD_NO_VALUE) != 0) {
        return 0;
    }
    *ret_record = record;
    return 1;
}

static co_fn int change_part(struct keyspace *keyspace, struct shelf *shelf, const struct key *key,
                             const struct change_view *change)
{
    struct record *record;
    if (TRY(make_resident(keyspace, shelf, key, &record)) == 0) {
        return 0;
    }
    return change->kind == CHANGE_EXPIRE
               ? keyspace_set_expire_found(keyspace, key, record, change->expire_ms)
               : keyspace_write_range_found(keyspace, key, record, change->offset, change->value);
}

static co_fn int replay_change(struct keyspace *keyspace, const struct change_view *change)
{
    struct key key = keyspace_key(keyspace, change->space, change->key);
    struct shelf *shelf = keyspace->by_partition[key.partition];
    if (shelf == NULL || keyspace->replay_lsn < partition_applied(shelf->partition).value) {
        return 0;
    }
    switch (change->kind) {
    case CHANGE_PUT: {
        struct put put = {
            .type = change->type,
            .meta = change->meta,
            .expire_ms = change->expire_ms,
            .value = change->value,
        };
        return keyspace_set(keyspace, &key, &put);
    }
    case CHANGE_REMOVE:
        return keyspace_erase(keyspace, &key);
    default:
        return change_part(keyspace, shelf, &key, change);
    }
}

/* ---- records ---- */

static co_fn int replay_group(struct keyspace *keyspace, struct slice body)
{
    /* Looked through as a whole first: half of a group must not be applied. */
    struct change_group group;
    struct change_view change;
    int err = change_group_check(body, &group);
    while (err == 0 && (err = change_group_next(&group, &change)) == 1) {
        err = 0;
    }
    if (err != 0) {
        return is_damaged(keyspace, err, "a group that is none");
    }
    TRY(change_group_check(body, &group));
    while (TRY(change_group_next(&group, &change)) == 1) {
        TRY(replay_change(keyspace, &change));
    }
    return 0;
}

static int replay_spaces(struct keyspace *keyspace, struct slice body)
{
    uint32_t spaces[KEYSPACE_DATABASES_MAX];
    uint32_t databases;
    uint32_t space_next;
    int err = change_check_spaces(body, spaces, &databases, &space_next);
    if (err == 0 && databases > keyspace->options.databases) {
        err = ERR_LIMIT;
    }
    if (err != 0) {
        return is_damaged(keyspace, err, "a map of spaces that is none");
    }
    /* From a time with fewer databases: what came later gets the same ids whenever this is
     * replayed, on whatever shard. */
    for (; databases < keyspace->options.databases; databases++) {
        spaces[databases] = space_next++;
    }
    if (PLANTED(FLUSH_FORGOTTEN)) {
        return 0;
    }
    memcpy(keyspace->spaces, spaces, databases * sizeof(spaces[0]));
    keyspace->space_next = (uint32_t)max_u64(keyspace->space_next, space_next);
    return 0;
}

static co_fn int replay_record(struct keyspace *keyspace, const struct log_record *record)
{
    KILL_POINT("recovery-replay");
    keyspace->replay_lsn = record->lsn.value;
    switch (record->type) {
    case CHANGE_GROUP:
        return replay_group(keyspace, record->body);
    case CHANGE_SPACES:
        return replay_spaces(keyspace, record->body);
    default: {
        struct change_view change;
        int err = change_check(record->type, record->body, &change);
        if (err != 0) {
            return is_damaged(keyspace, err, "a record that is no change");
        }
        return replay_change(keyspace, &change);
    }
    }
}

/* Keeps within the memory limits. */
static co_fn int make_room(struct keyspace *keyspace)
{
    while (keyspace->dirty_bytes > keyspace->options.dirty_bytes_target) {
        struct shelf *shelf = keyspace_checkpoint_due(keyspace);
        ASSERT(shelf != NULL);
        TRY(keyspace_checkpoint(keyspace, shelf, keyspace->replay_lsn));
    }
    while (!keyspace_evict(keyspace, TABLE_SEGMENT_BUCKETS)) {
    }
    return 0;
}

static co_fn int replay_all(struct keyspace *keyspace, struct log_reader *reader)
{
    uint64_t records = 0;
    struct log_record record;
    int more;
    while ((more = log_reader_next(reader, &record)) == 1) {
        TRY(replay_record(keyspace, &record));
        TRY(make_room(keyspace));
        if (++records % STEP_RECORDS == 0) {
            co_yield_if_due();
        }
    }
    LOGGER_VERBOSE("shard %u read %llu records of the redo log", shard_id(keyspace->shard),
                   (unsigned long long)records);
    return more;
}

static co_fn int replay(struct keyspace *keyspace)
{
    struct log_reader *reader;
    TRY(log_reader_open(keyspace->log, (struct lsn){0}, &reader));
    keyspace->quiet = true;
    int err = replay_all(keyspace, reader);
    KILL_POINT("recovery-replayed");
    keyspace->quiet = false;
    keyspace->replay_lsn = LSN_NONE;
    log_reader_close(reader);
    return err;
}

/* ---- opening ---- */

static co_fn int open_shelf(struct keyspace *keyspace, struct shelf *shelf, bool create)
{
    TRY(partition_open(keyspace->store, shelf->number, create, &shelf->partition));
    uint64_t applied = partition_applied(shelf->partition).value;
    uint64_t end = log_reserved(keyspace->log).value;
    if (applied > end) {
        return err_corrupt("the redo log", end,
                           "it ends here, but partition %u has applied it up to %llu: "
                           "acknowledged writes are lost",
                           shelf->number, (unsigned long long)applied);
    }
    TRY(shelf_read_tree_counts(shelf, true));
    for (uint32_t i = 0; i < shelf->count_count; i++) {
        shelf->counts[i].keys = (int64_t)shelf->counts[i].tree_keys;
    }
    return 0;
}

co_fn int keyspace_open(struct keyspace *keyspace, const uint32_t *spaces, uint32_t space_next,
                        bool create)
{
    memcpy(keyspace->spaces, spaces, keyspace->options.databases * sizeof(spaces[0]));
    keyspace->space_next = space_next;
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        TRY(open_shelf(keyspace, &keyspace->shelves[i], create));
    }
    TRY(replay(keyspace));
    /* What has died is dropped as after a flush. */
    uint32_t map[KEYSPACE_DATABASES_MAX];
    memcpy(map, keyspace->spaces, sizeof(map));
    keyspace_adopt_spaces(keyspace, map, keyspace->space_next);
    return 0;
}
