#include "data/record.h"

#include "base/mem.h"
#include "data/blob.h"
#include "data/record_impl.h"

static struct record *record_alloc(uint32_t hash, uint32_t space, struct slice key, size_t extra)
{
    struct record *record = mem_alloc(sizeof(*record) + key.bytes + extra);
    if (record == NULL) {
        return NULL;
    }
    ASSERT(key.bytes < 1U << 11);
    *record = (struct record){.hash = hash, .space = space};
    record->key_bytes = (uint32_t)key.bytes & 0x7ff;
    return record;
}

static void record_put_key(struct record *record, struct slice key)
{
    if (key.bytes > 0) {
        memcpy(record_key_at(record), key.data, key.bytes);
    }
}

struct record *record_create(const struct record_content *content)
{
    size_t value_room = content->blob != NULL ? sizeof(content->blob) : content->value.bytes;
    size_t expire_room = content->expire_ms != 0 ? 8 : 0;
    struct record *record =
        record_alloc(content->hash, content->space, content->key, value_room + expire_room);
    if (record == NULL) {
        return NULL;
    }
    record->type = content->type;
    record->meta = content->meta;
    record->flags = content->flags;
    if (content->expire_ms != 0) {
        record->flags |= RECORD_EXPIRES;
        record_store_expire(record, content->expire_ms);
    }
    record_put_key(record, content->key);
    if (content->blob != NULL) {
        record->flags |= RECORD_BLOB;
        record->value_bytes = (uint32_t)blob_bytes(content->blob);
        memcpy(record_value_at(record), &content->blob, sizeof(content->blob));
    } else {
        record->value_bytes = (uint32_t)content->value.bytes;
        if (content->value.bytes > 0) {
            memcpy(record_value_at(record), content->value.data, content->value.bytes);
        }
    }
    return record;
}

struct record *record_create_marker(uint32_t hash, uint32_t space, struct slice key, uint16_t flags)
{
    size_t extra = (flags & RECORD_LOADING) != 0 ? sizeof(struct fetch *) : 0;
    struct record *record = record_alloc(hash, space, key, extra);
    if (record == NULL) {
        return NULL;
    }
    record->flags = flags;
    record_put_key(record, key);
    return record;
}

void record_destroy(struct record *record)
{
    if ((record->flags & RECORD_BLOB) != 0) {
        blob_drop(record_blob_get(record));
    }
    mem_free(record);
}

void record_strip(struct record *record, uint16_t marker_flag)
{
    if ((record->flags & RECORD_BLOB) != 0) {
        blob_drop(record_blob_get(record));
    }
    memmove(record->payload, record_key_at(record), record->key_bytes);
    record->flags &= (uint16_t) ~(RECORD_BLOB | RECORD_EXPIRES | RECORD_NO_VALUE);
    record->flags |= marker_flag;
    record->value_bytes = 0;
    record->type = 0;
    record->meta = 0;
}

struct blob *record_swap_blob(struct record *record, struct blob *blob)
{
    ASSERT((record->flags & RECORD_BLOB) != 0);
    struct blob *old = record_blob_get(record);
    memcpy(record_value_at(record), &blob, sizeof(blob));
    record->value_bytes = (uint32_t)blob_bytes(blob);
    return old;
}

/* ---- the face ---- */

int64_t record_expire_ms(const struct record *record)
{
    return record_load_expire(record);
}

struct slice record_key(const struct record *record)
{
    return slice_of(record_key_at(record), record->key_bytes);
}

struct slice record_value(const struct record *record)
{
    if ((record->flags & RECORD_BLOB) != 0) {
        return slice_of(blob_data(record_blob_get(record)), record->value_bytes);
    }
    return slice_of(record_value_at(record), record->value_bytes);
}

uint8_t record_type(const struct record *record)
{
    return record->type;
}

uint8_t record_meta(const struct record *record)
{
    return record->meta;
}

uint32_t record_access_s(const struct record *record)
{
    return record->access_s;
}

uint64_t record_memory(const struct record *record)
{
    uint64_t bytes = mem_usable(record);
    if ((record->flags & RECORD_BLOB) != 0) {
        bytes += blob_memory(record_blob_get(record));
    }
    return bytes;
}

struct blob *record_blob(const struct record *record)
{
    return (record->flags & RECORD_BLOB) != 0 ? record_blob_get(record) : NULL;
}
