/*
 * Bodies of log records. The kind is the log record's type; integers are little-endian, varints
 * LEB128.
 *
 *     PUT      u8 bits (1: has expire_ms) | u8 type | u8 meta | varint space | varint key_bytes |
 *              [u64 expire_ms] | key | value: the rest
 *     REMOVE   varint space | varint key_bytes | key
 *     EXPIRE   varint space | varint key_bytes | u64 expire_ms | key
 *     RANGE    varint space | varint key_bytes | varint offset | key | bytes: the rest, 1 or more
 *     GROUP    u32 count (1 ..) | count times: u8 kind (PUT .. RANGE) | u32 bytes | body
 *     SPACES   varint space_next | varint databases (1 .. 256) | databases times: varint space
 *
 * key_bytes is at most STORE_KEY_BYTES_MAX; expire_ms is above 0 where it is present, but for
 * EXPIRE, where 0 takes the expiry away; a value, or the end of a range, is at most
 * STORE_VALUE_BYTES_MAX. Nothing may follow.
 *
 * All of these may be applied again to a state that already has them, or a part of them, as long as
 * everything that follows them in the log is applied again as well: PUT and REMOVE say all about a
 * key, EXPIRE and RANGE set a part of it to what it was after them (see replay.c).
 */
#include "data/change.h"

#include "base/bytes.h"
#include "base/varint.h"

enum { BIT_EXPIRES = 1 };

static_assert(CHANGE_HEAD_BYTES_MAX >= 3 + 5 + 2 + 8, "a PUT's head");
static_assert(CHANGE_HEAD_BYTES_MAX >= 5 + 2 + VARINT_U64_BYTES_MAX, "a RANGE's head");
static_assert(CHANGE_PUT == 1 && CHANGE_SPACES == 6, "kinds are on disk");

uint32_t change_encode_head(const struct change_view *change, uint8_t *to)
{
    uint32_t at = 0;
    if (change->kind == CHANGE_PUT) {
        to[at++] = change->expire_ms != 0 ? BIT_EXPIRES : 0;
        to[at++] = change->type;
        to[at++] = change->meta;
    }
    at += (uint32_t)varint_encode_u32(to + at, change->space);
    at += (uint32_t)varint_encode_u32(to + at, (uint32_t)change->key.bytes);
    if (change->kind == CHANGE_EXPIRE || (change->kind == CHANGE_PUT && change->expire_ms != 0)) {
        store_le64(to + at, (uint64_t)change->expire_ms);
        at += 8;
    }
    if (change->kind == CHANGE_RANGE) {
        at += (uint32_t)varint_encode_u64(to + at, change->offset);
    }
    ASSERT(at <= CHANGE_HEAD_BYTES_MAX);
    return at;
}

/* ---- groups ---- */

void change_group_open(struct buffer *body)
{
    buffer_clear(body);
}

int change_group_reserve(struct buffer *body, uint64_t key_bytes, uint64_t value_bytes)
{
    uint64_t head = CHANGE_GROUP_HEAD_BYTES + CHANGE_MEMBER_HEAD_BYTES + CHANGE_HEAD_BYTES_MAX;
    return buffer_reserve(body, head + key_bytes + value_bytes);
}

static void put_bytes(struct buffer *body, struct slice bytes)
{
    ASSERT(body->capacity - body->bytes >= bytes.bytes);
    if (bytes.bytes > 0) {
        memcpy(body->data + body->bytes, bytes.data, bytes.bytes);
        body->bytes += bytes.bytes;
    }
}

void change_group_add(struct buffer *body, const struct change_view *change)
{
    uint8_t head[CHANGE_MEMBER_HEAD_BYTES + CHANGE_HEAD_BYTES_MAX];
    uint32_t head_bytes = change_encode_head(change, head + CHANGE_MEMBER_HEAD_BYTES);
    head[0] = (uint8_t)change->kind;
    uint64_t member_bytes = head_bytes + change->key.bytes + change->value.bytes;
    ASSERT(member_bytes <= UINT32_MAX);
    store_le32(head + 1, (uint32_t)member_bytes);
    if (body->bytes == 0) {
        static const uint8_t no_count[CHANGE_GROUP_HEAD_BYTES];
        put_bytes(body, slice_of(no_count, sizeof(no_count)));
    }
    put_bytes(body, slice_of(head, CHANGE_MEMBER_HEAD_BYTES + head_bytes));
    put_bytes(body, change->key);
    put_bytes(body, change->value);
}

void change_group_close(struct buffer *body, uint32_t count)
{
    ASSERT(count > 0 && body->bytes > CHANGE_GROUP_HEAD_BYTES);
    store_le32(body->data, count);
}

uint32_t change_encode_spaces(const uint32_t *spaces, uint32_t databases, uint32_t space_next,
                              uint8_t *to)
{
    ASSERT(databases > 0 && databases <= KEYSPACE_DATABASES_MAX);
    uint32_t at = (uint32_t)varint_encode_u32(to, space_next);
    at += (uint32_t)varint_encode_u32(to + at, databases);
    for (uint32_t i = 0; i < databases; i++) {
        at += (uint32_t)varint_encode_u32(to + at, spaces[i]);
    }
    return at;
}

/* ---- checking ---- */

static int take_u32(struct slice *left, uint32_t *ret_value)
{
    int used = TRY(varint_decode_u32(left->data, left->bytes, ret_value));
    *left = slice_skip(*left, (size_t)used);
    return 0;
}

static int take_expire(struct slice *left, int64_t *ret_expire_ms)
{
    if (left->bytes < 8) {
        return ERR_TRUNCATED;
    }
    uint64_t value = load_le64(left->data);
    if (value > INT64_MAX) {
        return ERR_PROTOCOL;
    }
    *ret_expire_ms = (int64_t)value;
    *left = slice_skip(*left, 8);
    return 0;
}

/* Type, meta and the bits of a PUT. */
static int take_put_start(struct slice *left, struct change_view *change, bool *ret_expires)
{
    if (left->bytes < 3) {
        return ERR_TRUNCATED;
    }
    if ((left->data[0] & ~BIT_EXPIRES) != 0) {
        return ERR_PROTOCOL;
    }
    *ret_expires = (left->data[0] & BIT_EXPIRES) != 0;
    change->type = left->data[1];
    change->meta = left->data[2];
    *left = slice_skip(*left, 3);
    return 0;
}

/* What a kind allows behind the key, and within its numbers. */
static int check_rest(const struct change_view *change)
{
    switch (change->kind) {
    case CHANGE_PUT:
        return change->value.bytes > STORE_VALUE_BYTES_MAX ? ERR_LIMIT : 0;
    case CHANGE_RANGE:
        if (change->value.bytes == 0) {
            return ERR_PROTOCOL;
        }
        return change->offset > STORE_VALUE_BYTES_MAX ||
                       change->value.bytes > STORE_VALUE_BYTES_MAX - change->offset
                   ? ERR_LIMIT
                   : 0;
    default:
        return change->value.bytes > 0 ? ERR_PROTOCOL : 0;
    }
}

int change_check(uint8_t kind, struct slice body, struct change_view *ret_change)
{
    if (kind < CHANGE_PUT || kind > CHANGE_RANGE) {
        return ERR_PROTOCOL;
    }
    struct change_view change = {.kind = (enum change_kind)kind};
    struct slice left = body;
    bool expires = kind == CHANGE_EXPIRE;
    uint32_t key_bytes = 0;
    if (kind == CHANGE_PUT) {
        TRY(take_put_start(&left, &change, &expires));
    }
    TRY(take_u32(&left, &change.space));
    TRY(take_u32(&left, &key_bytes));
    if (expires) {
        TRY(take_expire(&left, &change.expire_ms));
        if (kind == CHANGE_PUT && change.expire_ms == 0) {
            return ERR_PROTOCOL;
        }
    }
    if (kind == CHANGE_RANGE) {
        int used = TRY(varint_decode_u64(left.data, left.bytes, &change.offset));
        left = slice_skip(left, (size_t)used);
    }
    if (key_bytes > STORE_KEY_BYTES_MAX) {
        return ERR_LIMIT;
    }
    if (key_bytes > left.bytes) {
        return ERR_TRUNCATED;
    }
    change.key = slice_of(left.data, key_bytes);
    change.value = slice_skip(left, key_bytes);
    TRY(check_rest(&change));
    *ret_change = change;
    return 0;
}

int change_group_check(struct slice body, struct change_group *ret_group)
{
    if (body.bytes < CHANGE_GROUP_HEAD_BYTES) {
        return ERR_TRUNCATED;
    }
    uint32_t count = load_le32(body.data);
    if (count == 0) {
        return ERR_PROTOCOL;
    }
    *ret_group = (struct change_group){
        .left = slice_skip(body, CHANGE_GROUP_HEAD_BYTES),
        .count = count,
    };
    return 0;
}

int change_group_next(struct change_group *group, struct change_view *ret_change)
{
    struct slice left = group->left;
    if (group->count == 0) {
        return left.bytes == 0 ? 0 : ERR_PROTOCOL;
    }
    if (left.bytes < CHANGE_MEMBER_HEAD_BYTES) {
        return ERR_TRUNCATED;
    }
    uint8_t kind = left.data[0];
    uint32_t bytes = load_le32(left.data + 1);
    left = slice_skip(left, CHANGE_MEMBER_HEAD_BYTES);
    if (bytes > left.bytes) {
        return ERR_TRUNCATED;
    }
    TRY(change_check(kind, slice_of(left.data, bytes), ret_change));
    group->left = slice_skip(left, bytes);
    group->count--;
    return 1;
}

int change_check_spaces(struct slice body, uint32_t *spaces, uint32_t *ret_databases,
                        uint32_t *ret_space_next)
{
    struct slice left = body;
    uint32_t space_next = 0;
    uint32_t databases = 0;
    TRY(take_u32(&left, &space_next));
    TRY(take_u32(&left, &databases));
    if (databases == 0 || databases > KEYSPACE_DATABASES_MAX) {
        return ERR_LIMIT;
    }
    for (uint32_t i = 0; i < databases; i++) {
        TRY(take_u32(&left, &spaces[i]));
        if (spaces[i] >= space_next) {
            return ERR_PROTOCOL;
        }
    }
    if (left.bytes > 0) {
        return ERR_PROTOCOL;
    }
    *ret_databases = databases;
    *ret_space_next = space_next;
    return 0;
}
