/*
 * Changes of a part of a value (APPEND, SETRANGE).
 *
 * A short value is changed where it stands. A long one lives in a blob, which is changed in place
 * while nobody else refers to it, with room to grow, so that a value built by many small appends is
 * not copied at each.
 */
#include "data/put.h"

#include "base/mem.h"
#include "data/blob.h"
#include "data/journal.h"
#include "data/keyspace_impl.h"

/* The memory for a value that has just grown to `bytes`. */
static uint64_t roomy(uint64_t bytes)
{
    return min_u64(bytes + bytes / 2, max_u64(bytes, STORE_VALUE_BYTES_MAX));
}

/* Writes `bytes` at `offset` into a value of `old_bytes` at `value`, with zeros in a gap. */
static void write_into(uint8_t *value, uint64_t old_bytes, uint64_t offset, struct slice bytes)
{
    if (offset > old_bytes) {
        memset(value + old_bytes, 0, offset - old_bytes);
    }
    memmove(value + offset, bytes.data, bytes.bytes);
}

/* True if the record's own memory would do, and was used. */
static bool write_in_place(struct record *record, uint64_t new_bytes, uint64_t offset,
                           struct slice bytes)
{
    if ((record->flags & RECORD_FROZEN) != 0) {
        return false;
    }
    if ((record->flags & RECORD_BLOB) != 0) {
        struct blob *blob = record_blob_get(record);
        if (blob_is_shared(blob) || blob_capacity(blob) < new_bytes) {
            return false;
        }
        write_into(blob_data(blob), record->value_bytes, offset, bytes);
        blob_set_bytes(blob, new_bytes);
    } else {
        if (new_bytes >= RECORD_BLOB_BYTES_MIN ||
            !record_holds(record, new_bytes, mem_usable(record))) {
            return false;
        }
        write_into(record_value_at(record), record->value_bytes, offset, bytes);
    }
    record->value_bytes = (uint32_t)new_bytes;
    record->meta = RECORD_META_RAW;
    return true;
}

/* Another record with the changed value. NULL when memory is out. */
static struct record *write_copy(const struct record *record, uint64_t new_bytes, uint64_t offset,
                                 struct slice bytes)
{
    uint8_t small[RECORD_BLOB_BYTES_MIN / 4];
    struct record_content content = {
        .hash = record->hash,
        .space = record->space,
        .key = record_key(record),
        .expire_ms = record_load_expire(record),
        .type = record->type,
        .meta = RECORD_META_RAW,
    };
    uint64_t old_bytes = record->value_bytes;
    struct blob *made = NULL;
    uint8_t *value = small;
    if (new_bytes > sizeof(small)) {
        uint64_t capacity = new_bytes > old_bytes ? roomy(new_bytes) : new_bytes;
        if (blob_create(new_bytes, capacity, &made) != 0) {
            return NULL;
        }
        value = blob_data(made);
    }
    if (old_bytes > 0) {
        memcpy(value, record_value(record).data, old_bytes);
    }
    write_into(value, old_bytes, offset, bytes);
    if (new_bytes >= RECORD_BLOB_BYTES_MIN) {
        content.blob = made;
    } else {
        content.value = slice_of(value, new_bytes);
    }
    struct record *copy = record_create(&content);
    if (copy != NULL) {
        copy->access_s = record->access_s;
    }
    if (made != NULL && (copy == NULL || content.blob == NULL)) {
        blob_drop(made);
    }
    return copy;
}

static void log_range(struct keyspace *keyspace, const struct record *record, uint64_t offset,
                      uint64_t bytes)
{
    if (record->value_bytes < JOURNAL_WHOLE_VALUE_BYTES_MAX) {
        journal_put(keyspace, record);
        return;
    }
    /* From the record: what was passed in may have been a part of the old value. */
    struct change_view change = {
        .kind = CHANGE_RANGE,
        .space = record->space,
        .offset = offset,
        .key = record_key(record),
        .value = slice_of(record_value(record).data + offset, bytes),
    };
    journal_append(keyspace, &change);
}

int keyspace_write_range_found(struct keyspace *keyspace, const struct key *key,
                               struct record *record, uint64_t offset, struct slice bytes)
{
    ASSERT(bytes.bytes > 0);
    if (offset > STORE_VALUE_BYTES_MAX || bytes.bytes > STORE_VALUE_BYTES_MAX - offset) {
        return ERR_VALUE_TOO_LARGE;
    }
    uint64_t new_bytes = max_u64(record->value_bytes, offset + bytes.bytes);
    TRY(journal_reserve(keyspace, key, max_u64(bytes.bytes, JOURNAL_WHOLE_VALUE_BYTES_MAX)));
    struct shelf *shelf = shelf_of(keyspace, key);
    struct table_place place = table_place_of(&shelf->table, record);
    if (!write_in_place(record, new_bytes, offset, bytes)) {
        struct record *copy = write_copy(record, new_bytes, offset, bytes);
        if (copy == NULL) {
            return ERR_MEMORY;
        }
        shelf_replace(keyspace, shelf, place, copy);
        record = copy;
    }
    shelf_changed(keyspace, shelf, place);
    log_range(keyspace, record, offset, bytes.bytes);
    return 0;
}

int keyspace_write_range(struct keyspace *keyspace, const struct key *key, uint64_t offset,
                         struct slice bytes)
{
    struct record *record;
    int found = keyspace_find(keyspace, key, false, &record);
    if (found != 1) {
        return found < 0 ? found : ERR_NOT_FOUND;
    }
    if (record->type != RECORD_STRING) {
        return ERR_WRONG_TYPE;
    }
    return bytes.bytes == 0 ? 0 : keyspace_write_range_found(keyspace, key, record, offset, bytes);
}
