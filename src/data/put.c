/*
 * Changes of whole records.
 *
 * Order within a change: everything that can fail (memory for the record, for the table, for a
 * group's body) comes first, then the record is changed, then it is logged. So a change that fails
 * has changed nothing, and what is logged is what stands in memory.
 *
 * A record is overwritten in place when nobody else has a claim on it: it isn't frozen, the new
 * value fits into its memory, and the layout stays.
 */
#include "data/put.h"

#include "base/mem.h"
#include "data/expire.h"
#include "data/foreign.h"
#include "data/journal.h"
#include "data/keyspace_impl.h"

/* ---- putting ---- */

/* The tree's state and the count of keys for a put over what stands at the key now (NULL: nothing).
 */
static void count_put(struct shelf *shelf, const struct record *old, struct record *record)
{
    if (old != NULL && (old->flags & RECORD_NO_VALUE) == 0) {
        return;
    }
    struct space_count *count = shelf_count(shelf, record->space);
    ASSERT(count != NULL);
    count->keys++;
    if (old != NULL && (old->flags & RECORD_TOMBSTONE) != 0) {
        return;
    }
    if ((old != NULL && (old->flags & RECORD_ABSENT) != 0) || count->tree_keys == 0) {
        record->flags |= RECORD_FRESH;
        return;
    }
    record->flags |= RECORD_OPEN | (count->epoch ? RECORD_OPEN_EPOCH : 0);
    count->open++;
}

/* Whether the value can be written over that of the record, and was. */
static bool overwrite(struct keyspace *keyspace, struct shelf *shelf, struct table_place place,
                      struct record *record, const struct put *put)
{
    bool expires = (record->flags & RECORD_EXPIRES) != 0;
    if (put->blob != NULL || put->value.bytes >= RECORD_BLOB_BYTES_MIN ||
        (record->flags & (RECORD_NO_VALUE | RECORD_FROZEN | RECORD_BLOB)) != 0 ||
        expires != (put->expire_ms != 0)) {
        return false;
    }
    if (put->value.bytes > record->value_bytes &&
        !record_holds(record, put->value.bytes, mem_usable(record))) {
        return false;
    }
    if (put->value.bytes > 0) {
        memmove(record_value_at(record), put->value.data, put->value.bytes);
    }
    record->value_bytes = (uint32_t)put->value.bytes;
    record->type = put->type;
    record->meta = put->meta;
    if (expires) {
        record_store_expire(record, put->expire_ms);
        table_set_expiring(place);
    }
    shelf_changed(keyspace, shelf, place);
    return true;
}

/* A record of what is put; large values in a blob. Takes over put->blob on success. */
static struct record *create_from_put(const struct key *key, const struct put *put)
{
    struct record_content content = {
        .hash = table_hash_top(key->hash),
        .space = key->space,
        .key = key->name,
        .value = put->value,
        .blob = put->blob,
        .expire_ms = put->expire_ms,
        .type = put->type,
        .meta = put->meta,
    };
    struct blob *made = NULL;
    if (put->blob != NULL && blob_bytes(put->blob) < RECORD_BLOB_BYTES_MIN) {
        content.value = slice_of(blob_data(put->blob), blob_bytes(put->blob));
        content.blob = NULL;
    } else if (put->blob == NULL && put->value.bytes >= RECORD_BLOB_BYTES_MIN) {
        if (blob_create(put->value.bytes, put->value.bytes, &made) != 0) {
            return NULL;
        }
        memcpy(blob_data(made), put->value.data, put->value.bytes);
        content.blob = made;
    }
    struct record *record = record_create(&content);
    if (record == NULL) {
        if (made != NULL) {
            blob_drop(made);
        }
    } else if (put->blob != NULL && content.blob == NULL) {
        blob_drop(put->blob);
    }
    return record;
}

/* Puts a record that is not in the table yet in, as changed. On error it is the caller's. */
static int install(struct keyspace *keyspace, struct shelf *shelf, const struct key *key,
                   struct record *record)
{
    if (shelf_count_make(shelf, key->space) == NULL) {
        return ERR_MEMORY;
    }
    struct table_place place;
    struct record *old = shelf_find(shelf, key, &place);
    if (old == NULL) {
        TRY(shelf_insert(keyspace, shelf, key->hash, record, &place));
        count_put(shelf, NULL, record);
    } else {
        count_put(shelf, old, record);
        shelf_replace(keyspace, shelf, place, record);
    }
    record->access_s = (uint32_t)(keyspace->clock_high_ms / 1000);
    shelf_changed(keyspace, shelf, place);
    return 0;
}

static int put_new(struct keyspace *keyspace, struct shelf *shelf, const struct key *key,
                   const struct put *put)
{
    uint64_t bytes = put->blob != NULL ? blob_bytes(put->blob) : put->value.bytes;
    int err = journal_reserve(keyspace, key, bytes);
    struct record *record = err == 0 ? create_from_put(key, put) : NULL;
    if (record == NULL) {
        if (put->blob != NULL) {
            blob_drop(put->blob);
        }
        return ERR_MEMORY;
    }
    err = install(keyspace, shelf, key, record);
    if (err != 0) {
        record_destroy(record);
        return err;
    }
    journal_put(keyspace, record);
    return 0;
}

int keyspace_set(struct keyspace *keyspace, const struct key *key, const struct put *put)
{
    struct shelf *shelf = shelf_of(keyspace, key);
    struct table_place place;
    struct record *old = shelf_find(shelf, key, &place);
    if (old == NULL || journal_reserve(keyspace, key, put->value.bytes) != 0 ||
        !overwrite(keyspace, shelf, place, old, put)) {
        return put_new(keyspace, shelf, key, put);
    }
    old->access_s = (uint32_t)(keyspace->clock_high_ms / 1000);
    journal_put(keyspace, old);
    return 0;
}

static int check_sizes(const struct key *key, uint64_t value_bytes)
{
    if (key->name.bytes > STORE_KEY_BYTES_MAX) {
        return ERR_KEY_TOO_LONG;
    }
    return value_bytes > STORE_VALUE_BYTES_MAX ? ERR_VALUE_TOO_LARGE : 0;
}

int keyspace_put(struct keyspace *keyspace, const struct key *key, const struct put *put)
{
    int err = check_sizes(key, put->blob != NULL ? blob_bytes(put->blob) : put->value.bytes);
    bool is_past = put->expire_ms != 0 && put->expire_ms <= keyspace_now_ms(keyspace);
    if (LIKELY(err == 0 && !is_past)) {
        return keyspace_set(keyspace, key, put);
    }
    if (put->blob != NULL) {
        blob_drop(put->blob);
    }
    return err != 0 ? err : keyspace_erase(keyspace, key);
}

/* ---- removing ---- */

/* On error it is the caller's. */
static int install_tombstone(struct keyspace *keyspace, struct shelf *shelf, const struct key *key,
                             struct record *tombstone)
{
    TRY(install(keyspace, shelf, key, tombstone));
    shelf_count(shelf, key->space)->keys--;
    return 0;
}

/* A tombstone takes the place of what a checkpoint holds, or of nothing. */
static int put_tombstone(struct keyspace *keyspace, struct shelf *shelf, const struct key *key)
{
    struct record *tombstone =
        record_create_marker(table_hash_top(key->hash), key->space, key->name, RECORD_TOMBSTONE);
    if (tombstone == NULL) {
        return ERR_MEMORY;
    }
    int err = install_tombstone(keyspace, shelf, key, tombstone);
    if (err != 0) {
        record_destroy(tombstone);
    }
    return err;
}

/* A record that nobody else holds becomes a tombstone, or nothing at all if the tree never heard of
 * it. */
static void bury(struct keyspace *keyspace, struct shelf *shelf, struct table_place place,
                 struct record *record)
{
    struct space_count *count = shelf_count(shelf, record->space);
    if (count != NULL) {
        count->keys--;
    }
    if ((record->flags & (RECORD_FRESH | RECORD_SUPERSEDES)) == RECORD_FRESH) {
        shelf_make_absent(keyspace, shelf, place);
        return;
    }
    shelf_resize_begin(keyspace, shelf, place);
    record_strip(record, RECORD_TOMBSTONE);
    shelf_resize_end(keyspace, shelf, place);
    shelf_changed(keyspace, shelf, place);
}

int keyspace_erase_found(struct keyspace *keyspace, struct shelf *shelf, const struct key *key,
                         struct table_place place)
{
    struct record *record = table_slot_record(place.bucket->slots[place.slot]);
    ASSERT((record->flags & RECORD_NO_VALUE) == 0);
    TRY(journal_reserve(keyspace, key, 0));
    if ((record->flags & RECORD_FROZEN) != 0) {
        TRY(put_tombstone(keyspace, shelf, key));
    } else {
        bury(keyspace, shelf, place, record);
    }
    journal_remove(keyspace, key);
    return 1;
}

/* Whether a key may be there: `record` is what stands for it in the table, NULL for nothing. */
static bool may_exist(struct shelf *shelf, const struct key *key, const struct record *record)
{
    return record == NULL ? !shelf_tree_is_empty(shelf, key->space)
                          : (record->flags & (RECORD_TOMBSTONE | RECORD_ABSENT)) == 0;
}

int keyspace_erase(struct keyspace *keyspace, const struct key *key)
{
    struct shelf *shelf = shelf_of(keyspace, key);
    struct table_place place;
    struct record *record = shelf_find(shelf, key, &place);
    if (record != NULL && (record->flags & RECORD_NO_VALUE) == 0) {
        return (int)min_i64(keyspace_erase_found(keyspace, shelf, key, place), 0);
    }
    if (!may_exist(shelf, key, record)) {
        return 0;
    }
    TRY(journal_reserve(keyspace, key, 0));
    TRY(put_tombstone(keyspace, shelf, key));
    journal_remove(keyspace, key);
    return 0;
}

int keyspace_remove(struct keyspace *keyspace, const struct key *key)
{
    struct record *record;
    int found = keyspace_find(keyspace, key, false, &record);
    if (found != 1) {
        return found;
    }
    struct shelf *shelf = shelf_of(keyspace, key);
    return keyspace_erase_found(keyspace, shelf, key, table_place_of(&shelf->table, record));
}

/* ---- parts of a record ---- */

struct record *record_copy(const struct record *record, int64_t expire_ms, uint8_t meta)
{
    struct record_content content = {
        .hash = record->hash,
        .space = record->space,
        .key = record_key(record),
        .value = record_value(record),
        .blob = record_blob(record),
        .expire_ms = expire_ms,
        .type = record->type,
        .meta = meta,
    };
    struct record *copy = record_create(&content);
    if (copy != NULL) {
        copy->access_s = record->access_s;
        if (content.blob != NULL) {
            blob_hold(content.blob);
        }
    }
    return copy;
}

static void journal_expire(struct keyspace *keyspace, const struct record *record)
{
    if (record->value_bytes < JOURNAL_WHOLE_VALUE_BYTES_MAX) {
        journal_put(keyspace, record);
        return;
    }
    struct change_view change = {
        .kind = CHANGE_EXPIRE,
        .space = record->space,
        .expire_ms = record_load_expire(record),
        .key = record_key(record),
    };
    journal_append(keyspace, &change);
}

int keyspace_set_expire_found(struct keyspace *keyspace, const struct key *key,
                              struct record *record, int64_t expire_ms)
{
    struct shelf *shelf = shelf_of(keyspace, key);
    struct table_place place = table_place_of(&shelf->table, record);
    TRY(journal_reserve(keyspace, key,
                        min_u64(record->value_bytes, JOURNAL_WHOLE_VALUE_BYTES_MAX)));
    bool same_layout = ((record->flags & RECORD_EXPIRES) != 0) == (expire_ms != 0);
    if (!same_layout || (record->flags & RECORD_FROZEN) != 0) {
        struct record *copy = record_copy(record, expire_ms, record->meta);
        if (copy == NULL) {
            return ERR_MEMORY;
        }
        shelf_replace(keyspace, shelf, place, copy);
        record = copy;
    } else if (expire_ms != 0) {
        record_store_expire(record, expire_ms);
        table_set_expiring(place);
    }
    shelf_changed(keyspace, shelf, place);
    journal_expire(keyspace, record);
    return 0;
}

int keyspace_set_expire(struct keyspace *keyspace, const struct key *key, int64_t expire_ms)
{
    struct record *record;
    int found = keyspace_find(keyspace, key, false, &record);
    if (found != 1) {
        return found < 0 ? found : ERR_NOT_FOUND;
    }
    if (expire_ms == 0 || expire_ms > keyspace_now_ms(keyspace)) {
        return keyspace_set_expire_found(keyspace, key, record, expire_ms);
    }
    struct shelf *shelf = shelf_of(keyspace, key);
    struct table_place place = table_place_of(&shelf->table, record);
    return (int)min_i64(keyspace_erase_found(keyspace, shelf, key, place), 0);
}

/* ---- changes that are in the log already ---- */

int keyspace_reserve(struct keyspace *keyspace, const struct key *key)
{
    return shelf_reserve(keyspace, shelf_of(keyspace, key), key->space);
}

void keyspace_unreserve(struct keyspace *keyspace, const struct key *key)
{
    table_unreserve(&shelf_of(keyspace, key)->table);
}

int keyspace_prepare(struct change *change)
{
    ASSERT(change->made == NULL);
    const struct key *key = &change->key;
    struct put *put = &change->put;
    change->made = change->remove ? record_create_marker(table_hash_top(key->hash), key->space,
                                                         key->name, RECORD_TOMBSTONE)
                                  : create_from_put(key, put);
    if (change->made == NULL) {
        keyspace_discard(change);
        return ERR_MEMORY;
    }
    put->blob = NULL;
    put->value = record_value(change->made);
    return 0;
}

void keyspace_discard(struct change *change)
{
    if (change->made != NULL) {
        record_destroy(change->made);
    } else if (change->put.blob != NULL) {
        blob_drop(change->put.blob);
    }
    change->made = NULL;
    change->put.blob = NULL;
}

/* Whether the change was made without the record that was prepared for it. */
static bool apply_in_place(struct keyspace *keyspace, struct shelf *shelf,
                           const struct change *change)
{
    struct table_place place;
    struct record *old = shelf_find(shelf, &change->key, &place);
    if (!change->remove) {
        bool written = old != NULL && overwrite(keyspace, shelf, place, old, &change->put);
        if (written) {
            old->access_s = (uint32_t)(keyspace->clock_high_ms / 1000);
        }
        return written;
    }
    if (!may_exist(shelf, &change->key, old)) {
        return true;
    }
    if (old == NULL || (old->flags & (RECORD_NO_VALUE | RECORD_FROZEN)) != 0) {
        return false;
    }
    bury(keyspace, shelf, place, old);
    return true;
}

void keyspace_apply(struct keyspace *keyspace, struct change *change)
{
    ASSERT(!keyspace->quiet && change->made != NULL);
    struct shelf *shelf = shelf_of(keyspace, &change->key);
    table_unreserve(&shelf->table);
    if (apply_in_place(keyspace, shelf, change)) {
        keyspace_discard(change);
        return;
    }
    int err = change->remove ? install_tombstone(keyspace, shelf, &change->key, change->made)
                             : install(keyspace, shelf, &change->key, change->made);
    ASSERT(err == 0); /* all memory is there */
    change->made = NULL;
}

static int reserve_and_prepare(struct keyspace *keyspace, struct change *change)
{
    TRY(check_sizes(&change->key, change->put.blob != NULL ? blob_bytes(change->put.blob)
                                                           : change->put.value.bytes));
    TRY(keyspace_reserve(keyspace, &change->key));
    int err = keyspace_prepare(change);
    if (err < 0) {
        keyspace_unreserve(keyspace, &change->key);
    }
    return err;
}

int keyspace_put_all(struct keyspace *keyspace, struct change *changes, uint32_t count)
{
    uint32_t ready = 0;
    int err = 0;
    while (ready < count && err == 0) {
        err = reserve_and_prepare(keyspace, &changes[ready]);
        ready += err == 0;
    }
    if (err == 0) {
        err = keyspace_log_changes(keyspace, changes, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (err == 0) {
            keyspace_apply(keyspace, &changes[i]);
            continue;
        }
        keyspace_discard(&changes[i]);
        if (i < ready) {
            keyspace_unreserve(keyspace, &changes[i].key);
        }
    }
    return err;
}
