/*
 * The way of changes into the log: one record each, or, within a group, one for all of it.
 */
#include "data/journal.h"

#include "base/plant.h"
#include "data/blob.h"
#include "data/foreign.h"
#include "data/keyspace_impl.h"

static bool is_logged(const struct keyspace *keyspace)
{
    return !keyspace->quiet && log_enabled(keyspace->log);
}

int journal_reserve(struct keyspace *keyspace, const struct key *key, uint64_t value_bytes)
{
    if (LIKELY(!keyspace->grouping) || !is_logged(keyspace)) {
        return 0;
    }
    return change_group_reserve(&keyspace->group, key->name.bytes, value_bytes);
}

void journal_append(struct keyspace *keyspace, const struct change_view *change)
{
    if (!is_logged(keyspace)) {
        return;
    }
    if (keyspace->grouping) {
        change_group_add(&keyspace->group, change);
        keyspace->group_count++;
        return;
    }
    uint8_t head[CHANGE_HEAD_BYTES_MAX];
    struct slice parts[3] = {
        slice_of(head, change_encode_head(change, head)),
        change->key,
        change->value,
    };
    log_append(keyspace->writer, (uint8_t)change->kind, parts, 3);
}

void journal_put(struct keyspace *keyspace, const struct record *record)
{
    struct change_view change = {
        .kind = CHANGE_PUT,
        .type = record->type,
        .meta = record->meta,
        .space = record->space,
        .expire_ms = record_load_expire(record),
        .key = record_key(record),
        .value = record_value(record),
    };
    journal_append(keyspace, &change);
}

void journal_remove(struct keyspace *keyspace, const struct key *key)
{
    struct change_view change = {.kind = CHANGE_REMOVE, .space = key->space, .key = key->name};
    journal_append(keyspace, &change);
}

/* ---- groups ---- */

void keyspace_group_begin(struct keyspace *keyspace)
{
    ASSERT(!keyspace->grouping);
    keyspace->grouping = true;
    keyspace->group_count = 0;
    change_group_open(&keyspace->group);
}

/* A group's body is kept up to this size, for the next one. */
enum { GROUP_KEEP_BYTES = 64 << 10 };

void keyspace_group_end(struct keyspace *keyspace)
{
    ASSERT(keyspace->grouping);
    keyspace->grouping = false;
    if (keyspace->group_count > 0) {
        change_group_close(&keyspace->group, keyspace->group_count);
        struct slice body = buffer_slice(&keyspace->group);
        log_append(keyspace->writer, CHANGE_GROUP, &body, 1);
    }
    if (keyspace->group.capacity > GROUP_KEEP_BYTES) {
        buffer_release(&keyspace->group);
    }
}

int keyspace_log_changes(struct keyspace *keyspace, const struct change *changes, uint32_t count)
{
    ASSERT(!keyspace->grouping && !keyspace->quiet);
    if (count == 0 || !log_enabled(keyspace->log)) {
        return 0;
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct put *put = &changes[i].put;
        bytes += changes[i].key.name.bytes + CHANGE_MEMBER_HEAD_BYTES + CHANGE_HEAD_BYTES_MAX;
        bytes += put->blob != NULL ? blob_bytes(put->blob) : put->value.bytes;
    }
    keyspace_group_begin(keyspace);
    int err = change_group_reserve(&keyspace->group, 0, bytes);
    for (uint32_t i = 0; i < count && err == 0; i++) {
        if (PLANTED(MSET_SPLIT) && i == count / 2 && i > 0) {
            keyspace_group_end(keyspace);
            log_flush(keyspace->writer);
            keyspace_group_begin(keyspace);
            err = change_group_reserve(&keyspace->group, 0, bytes);
        }
        const struct put *put = &changes[i].put;
        struct change_view change = {
            .kind = changes[i].remove ? CHANGE_REMOVE : CHANGE_PUT,
            .space = changes[i].key.space,
            .key = changes[i].key.name,
        };
        if (!changes[i].remove) {
            change.type = put->type;
            change.meta = put->meta;
            change.expire_ms = put->expire_ms;
            change.value = put->blob != NULL ? slice_of(blob_data(put->blob), blob_bytes(put->blob))
                                             : put->value;
        }
        journal_append(keyspace, &change);
    }
    keyspace_group_end(keyspace);
    return err;
}

void keyspace_log_spaces(struct keyspace *keyspace, const uint32_t *spaces, uint32_t space_next)
{
    ASSERT(!keyspace->grouping);
    uint8_t body[CHANGE_SPACES_BYTES_MAX];
    uint32_t bytes = change_encode_spaces(spaces, keyspace->options.databases, space_next, body);
    struct slice part = slice_of(body, bytes);
    /* The superblock must not leave the record behind before it has the map, and it has the map
     * from shard 0, which adopts it before we do or as we do. */
    keyspace->spaces_low = log_reserved(keyspace->log).value;
    log_append(keyspace->writer, CHANGE_SPACES, &part, 1);
}
