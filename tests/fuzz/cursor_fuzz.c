/*
 * cursor: the newest cursors are remembered as they were put, older ones are forgotten, and numbers
 * that are none are refused, whatever they are.
 *
 * Input: calls: u8 (even: put, odd: get) and what they need. A number to get is one that was handed
 * out, with some bits changed.
 */
#include <string.h>

#include "data/scan.h"
#include "fuzz.h"

enum { CURSORS = 16, CALLS_MAX = 200, PARTITIONS_MAX = 16384 };

struct known {
    uint64_t number;
    uint32_t partition;
    uint32_t space;
    struct scan_position position;
};

static struct known known[CALLS_MAX];
static uint32_t known_count;

static void put(struct scan_cursors *cursors, struct feed *feed)
{
    struct known *one = &known[known_count];
    memset(one, 0, sizeof(*one));
    one->partition = feed_u16(feed) % PARTITIONS_MAX;
    one->space = feed_u16(feed);
    uint8_t bits = feed_u8(feed);
    one->position.in_tree = (bits & 1) != 0;
    one->position.after_key = (bits & 2) != 0 && one->position.in_tree;
    one->position.hash_next = feed_u16(feed);
    struct slice key = feed_slice(feed, one->position.in_tree ? feed_u8(feed) : 0);
    one->position.key_bytes = (uint32_t)key.bytes;
    if (key.bytes > 0) {
        memcpy(one->position.key, key.data, key.bytes);
    }
    MUST(scan_cursors_put(cursors, one->partition, one->space, &one->position, &one->number) == 0);
    MUST(one->number != 0 && one->number < UINT64_C(1) << 53);
    MUST(scan_cursor_partition(one->number) == one->partition);
    known_count++;
}

static void check_number(const struct scan_cursors *cursors, uint64_t number)
{
    static struct scan_position position;
    uint32_t space;
    const struct known *expected = NULL;
    for (uint32_t i = known_count > CURSORS ? known_count - CURSORS : 0; i < known_count; i++) {
        expected = known[i].number == number ? &known[i] : expected;
    }
    uint32_t partition = scan_cursor_partition(number);
    MUST(partition < PARTITIONS_MAX || partition == UINT32_MAX);
    int err = scan_cursors_get(cursors, number, &space, &position);
    MUST(err == (expected != NULL ? 0 : ERR_NOT_FOUND));
    if (err == 0) {
        MUST(space == expected->space);
        MUST(position.in_tree == expected->position.in_tree);
        MUST(position.after_key == expected->position.after_key);
        MUST(position.hash_next == expected->position.hash_next);
        MUST(position.key_bytes == expected->position.key_bytes);
        MUST(memcmp(position.key, expected->position.key, position.key_bytes) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct feed feed = {data, bytes};
    struct scan_cursors *cursors;
    MUST(scan_cursors_create(CURSORS, &cursors) == 0);
    known_count = 0;
    for (uint32_t i = 0; i < CALLS_MAX && feed.bytes > 0; i++) {
        if (feed_u8(&feed) % 2 == 0) {
            put(cursors, &feed);
        } else {
            uint8_t which = feed_u8(&feed);
            uint64_t number = known_count > 0 ? known[which % known_count].number : 0;
            check_number(cursors, number ^ feed_u64(&feed));
        }
    }
    for (uint32_t i = 0; i < known_count; i++) {
        check_number(cursors, known[i].number);
    }
    scan_cursors_destroy(cursors);
    return 0;
}
