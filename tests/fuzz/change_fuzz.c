/*
 * change: the body of a log record is a change, and then written again it is the same bytes or at
 * least the same change, or it is refused. Nothing points outside of the body.
 *
 * Input: u8 kind | body.
 */
#include <string.h>

#include "data/change.h"
#include "fuzz.h"

static void check_inside(struct slice part, struct slice body)
{
    MUST(part.bytes == 0 ||
         (part.data >= body.data && part.data + part.bytes <= body.data + body.bytes));
}

static bool changes_equal(const struct change_view *one, const struct change_view *other)
{
    return one->kind == other->kind && one->type == other->type && one->meta == other->meta &&
           one->space == other->space && one->expire_ms == other->expire_ms &&
           one->offset == other->offset && slice_equal(one->key, other->key) &&
           slice_equal(one->value, other->value);
}

/* Encoded and decoded again it is itself. */
static void check_change(const struct change_view *change, struct slice body)
{
    MUST(change->key.bytes <= STORE_KEY_BYTES_MAX);
    MUST(change->value.bytes <= STORE_VALUE_BYTES_MAX);
    MUST(change->offset + change->value.bytes <= STORE_VALUE_BYTES_MAX);
    check_inside(change->key, body);
    check_inside(change->value, body);
    size_t room = CHANGE_HEAD_BYTES_MAX + change->key.bytes + change->value.bytes;
    uint8_t *to = malloc(room);
    MUST(to != NULL);
    size_t at = change_encode_head(change, to);
    if (change->key.bytes > 0) {
        memcpy(to + at, change->key.data, change->key.bytes);
    }
    at += change->key.bytes;
    if (change->value.bytes > 0) {
        memcpy(to + at, change->value.data, change->value.bytes);
    }
    at += change->value.bytes;
    MUST(at <= body.bytes);
    struct change_view again;
    MUST(change_check((uint8_t)change->kind, slice_of(to, at), &again) == 0);
    MUST(changes_equal(change, &again));
    free(to);
}

static void check_group(struct slice body)
{
    struct change_group group;
    struct change_view change;
    struct buffer again;
    buffer_init(&again, SIZE_MAX / 2);
    change_group_open(&again);
    uint32_t count = 0;
    int result = change_group_check(body, &group);
    while (result == 0 && (result = change_group_next(&group, &change)) == 1) {
        check_change(&change, body);
        MUST(change_group_reserve(&again, change.key.bytes, change.value.bytes) == 0);
        change_group_add(&again, &change);
        count++;
        result = 0;
    }
    if (result == 0 && count > 0 && group.count == 0) {
        change_group_close(&again, count);
        MUST(change_group_check(buffer_slice(&again), &group) == 0);
        MUST(group.count == count);
    }
    buffer_deinit(&again);
}

static void check_spaces(struct slice body)
{
    uint32_t spaces[KEYSPACE_DATABASES_MAX];
    uint32_t again[KEYSPACE_DATABASES_MAX];
    uint8_t to[CHANGE_SPACES_BYTES_MAX];
    uint32_t databases;
    uint32_t space_next;
    if (change_check_spaces(body, spaces, &databases, &space_next) != 0) {
        return;
    }
    MUST(databases > 0 && databases <= KEYSPACE_DATABASES_MAX);
    uint32_t bytes = change_encode_spaces(spaces, databases, space_next, to);
    uint32_t databases_again;
    uint32_t space_next_again;
    MUST(change_check_spaces(slice_of(to, bytes), again, &databases_again, &space_next_again) == 0);
    MUST(databases_again == databases && space_next_again == space_next);
    MUST(memcmp(spaces, again, databases * sizeof(spaces[0])) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct feed feed = {data, bytes};
    uint8_t kind = feed_u8(&feed);
    uint8_t *copy = copy_exactly(slice_of(feed.data, feed.bytes));
    struct slice body = slice_of(copy, feed.bytes);
    if (kind == CHANGE_GROUP) {
        check_group(body);
    } else if (kind == CHANGE_SPACES) {
        check_spaces(body);
    } else {
        struct change_view change;
        if (change_check(kind, body, &change) == 0) {
            MUST(change.kind == kind);
            check_change(&change, body);
        }
    }
    free(copy);
    return 0;
}
