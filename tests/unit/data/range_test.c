#include <string.h>

#include "rig.h"

static char *text_of(uint64_t bytes, char letter)
{
    char *text = malloc(bytes + 1);
    memset(text, letter, bytes);
    text[bytes] = 0;
    return text;
}

static const struct record *resident(struct keyspace *keyspace, const char *name)
{
    struct key key = rig_key(keyspace, name);
    struct table_place place;
    return shelf_find(keyspace->by_partition[key.partition], &key, &place);
}

/* ---- large values ---- */

static void shared_blob(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    char *text = text_of(10000, 'a');
    rig_put(keyspace, "a", text);
    struct blob *blob = blob_hold(record_blob(resident(keyspace, "a")));
    struct key key = rig_key(keyspace, "a");
    MUST_BE(keyspace_write_range(keyspace, &key, 0, slice_cstr("b")), 0);
    /* Who holds the old value goes on seeing it. */
    MUST(blob_data(blob)[0] == 'a');
    MUST(record_value(resident(keyspace, "a")).data[0] == 'b');
    blob_drop(blob);
    const uint8_t *data = record_value(resident(keyspace, "a")).data;
    MUST_BE(keyspace_write_range(keyspace, &key, 1, slice_cstr("b")), 0);
    MUST(record_value(resident(keyspace, "a")).data == data);
    rig_verify(keyspace);
    free(text);
}

Test(range, a_large_value_is_copied_only_while_others_refer_to_it)
{
    rig_test(shared_blob);
}

static void many_appends(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "a", "");
    struct key key = rig_key(keyspace, "a");
    uint32_t moves = 0;
    const uint8_t *data = NULL;
    for (uint32_t i = 0; i < 20000; i++) {
        uint8_t bytes[8];
        store_le64(bytes, i);
        MUST_BE(keyspace_write_range(keyspace, &key, 8 * (uint64_t)i, slice_of(bytes, 8)), 0);
        const uint8_t *now = record_value(resident(keyspace, "a")).data;
        moves += now != data;
        data = now;
    }
    MUST(moves < 600); /* and most of them while it was short */
    rig_verify(keyspace);
}

static void after_appends(struct keyspace *keyspace, void *argument)
{
    struct record *record;
    (void)argument;
    struct key key = rig_key(keyspace, "a");
    MUST_BE(rig_find(keyspace, &key, &record), 1);
    MUST_BE(record_value(record).bytes, 160000);
    MUST_BE(record_meta(record), RECORD_META_RAW);
    for (uint32_t i = 0; i < 20000; i++) {
        MUST_BE(load_le64(record_value(record).data + 8 * (uint64_t)i), i);
    }
}

Test(range, a_value_built_by_appends_moves_rarely_and_survives)
{
    rig_test_restarted(many_appends, RIG_CRASH, after_appends);
}

static void sparse(struct keyspace *keyspace, void *argument)
{
    struct record *record;
    (void)argument;
    static const uint64_t offsets[] = {10, 1000, 5000, 70000};
    for (uint32_t i = 0; i < 4; i++) {
        rig_put(keyspace, "a", "start");
        struct key key = rig_key(keyspace, "a");
        MUST_BE(keyspace_write_range(keyspace, &key, offsets[i], slice_cstr("end")), 0);
        MUST_BE(rig_find(keyspace, &key, &record), 1);
        struct slice value = record_value(record);
        MUST_BE(value.bytes, offsets[i] + 3);
        MUST(memcmp(value.data, "start", 5) == 0);
        MUST(memcmp(value.data + offsets[i], "end", 3) == 0);
        for (uint64_t at = 5; at < offsets[i]; at++) {
            MUST_BE(value.data[at], 0);
        }
        /* A part of itself to its own end. */
        MUST_BE(keyspace_write_range(keyspace, &key, value.bytes, slice_of(value.data, 5)), 0);
        MUST_BE(rig_find(keyspace, &key, &record), 1);
        value = record_value(record);
        MUST(memcmp(value.data + value.bytes - 5, "start", 5) == 0);
    }
    rig_verify(keyspace);
}

Test(range, fills_a_gap_with_zeros)
{
    rig_test(sparse);
}
