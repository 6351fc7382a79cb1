#include <string.h>

#include "base/mem.h"
#include "data/foreign.h"
#include "rig.h"

static char *text_of(uint64_t bytes, char letter)
{
    char *text = malloc(bytes + 1);
    memset(text, letter, bytes);
    text[bytes] = 0;
    return text;
}

/* ---- limits ---- */

static void key_limits(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    char *name = text_of(STORE_KEY_BYTES_MAX + 1, 'n');
    struct put put = {.value = slice_cstr("value")};
    struct key key = keyspace_key(keyspace, 0, slice_of(name, STORE_KEY_BYTES_MAX + 1));
    MUST_BE(keyspace_put(keyspace, &key, &put), ERR_KEY_TOO_LONG);
    struct record *record;
    MUST_BE(keyspace_find(keyspace, &key, true, &record), 0);
    key = keyspace_key(keyspace, 0, slice_of(name, STORE_KEY_BYTES_MAX));
    MUST_BE(keyspace_put(keyspace, &key, &put), 0);
    rig_checkpoint(keyspace);
    rig_evict_all(keyspace);
    MUST_BE(rig_find(keyspace, &key, &record), 1);
    free(name);
}

Test(put, takes_a_key_of_the_longest_length_and_not_one_byte_more)
{
    rig_test(key_limits);
}

static void value_limits(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    /* Never touched: only the length is looked at. */
    struct key key = rig_key(keyspace, "a");
    struct put put = {.value = slice_of("x", (size_t)STORE_VALUE_BYTES_MAX + 1)};
    MUST_BE(keyspace_put(keyspace, &key, &put), ERR_VALUE_TOO_LARGE);
    put.value = slice_cstr("x");
    MUST_BE(keyspace_put(keyspace, &key, &put), 0);
    MUST_BE(keyspace_write_range(keyspace, &key, STORE_VALUE_BYTES_MAX, slice_cstr("x")),
            ERR_VALUE_TOO_LARGE);
    MUST_BE(keyspace_write_range(keyspace, &key, UINT64_MAX, slice_cstr("x")), ERR_VALUE_TOO_LARGE);
    rig_holds(keyspace, "a", "x");
}

Test(put, refuses_a_value_that_is_too_large)
{
    rig_test(value_limits);
}

/* ---- in place ---- */

static const struct record *resident(struct keyspace *keyspace, const char *name)
{
    struct key key = rig_key(keyspace, name);
    struct table_place place;
    return shelf_find(keyspace->by_partition[key.partition], &key, &place);
}

static void in_place(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "a", "0123456789");
    const struct record *record = resident(keyspace, "a");
    rig_put(keyspace, "a", "9876543210");
    MUST(resident(keyspace, "a") == record);
    rig_put(keyspace, "a", "short");
    MUST(resident(keyspace, "a") == record);
    rig_put(keyspace, "a", "0123456789");
    MUST(resident(keyspace, "a") == record);
    /* The new value may be a part of the old one. */
    struct key key = rig_key(keyspace, "a");
    struct put put = {.value = slice_of(record_value(record).data + 3, 5)};
    MUST_BE(keyspace_put(keyspace, &key, &put), 0);
    rig_holds(keyspace, "a", "34567");
    rig_checkpoint(keyspace);
    rig_put(keyspace, "a", "clean");
    MUST(resident(keyspace, "a") == record);
    rig_holds(keyspace, "a", "clean");
    rig_verify(keyspace);
    /* With an expiry the layout is another. */
    rig_put_expiring(keyspace, "a", "clean", INT64_C(99000000000000));
    rig_holds(keyspace, "a", "clean");
    rig_verify(keyspace);
}

Test(put, overwrites_a_record_in_place_where_it_fits)
{
    rig_test(in_place);
}

/* ---- without memory ---- */

/* Each way to change a key, over each state of it, with each of its allocations failing in turn. */
enum { WAYS = 9, STATES = 4 };

/* What may fail comes before the log; applying has no error to return. */
static int change_foreign(struct keyspace *keyspace, struct change *change)
{
    TRY(keyspace_reserve(keyspace, &change->key));
    int err = keyspace_prepare(change);
    if (err != 0) {
        keyspace_unreserve(keyspace, &change->key);
        return err;
    }
    mem_fail_after(1, true);
    keyspace_apply(keyspace, change);
    mem_fail_after(0, false);
    return 0;
}

static int change(struct keyspace *keyspace, uint32_t way, const char *large)
{
    struct key key = rig_key(keyspace, "{t}a");
    struct put put = {.value = slice_cstr("short"), .expire_ms = 0};
    struct change foreign = {.key = key, .put = {.value = slice_cstr("foreign")}};
    switch (way) {
    case 0:
        return keyspace_put(keyspace, &key, &put);
    case 1:
        put.value = slice_cstr(large);
        return keyspace_put(keyspace, &key, &put);
    case 2:
        put.expire_ms = INT64_C(99000000000000);
        return keyspace_put(keyspace, &key, &put);
    case 3:
        return (int)min_i64(keyspace_remove(keyspace, &key), 0);
    case 4:
        return keyspace_set_expire(keyspace, &key, INT64_C(99000000000000));
    case 5:
        return keyspace_write_range(keyspace, &key, 100, slice_cstr(large));
    case 6:
        return keyspace_write_range(keyspace, &key, 1, slice_cstr("x"));
    case 7:
        return change_foreign(keyspace, &foreign);
    default:
        foreign.remove = true;
        return change_foreign(keyspace, &foreign);
    }
}

static void prepare(struct keyspace *keyspace, uint32_t state, const char *large)
{
    rig_put(keyspace, "{t}a", state == 1 ? large : "a value");
    if (state == 2) {
        rig_checkpoint(keyspace);
    }
    if (state == 3) {
        (void)rig_remove(keyspace, "{t}a");
        rig_checkpoint(keyspace);
    }
}

static void failing(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    char *large = text_of(6000, 'L');
    uint32_t failures = 0;
    for (uint32_t way = 0; way < WAYS; way++) {
        for (uint32_t state = 0; state < STATES; state++) {
            bool exists = state != 3;
            const char *before = state == 1 ? large : exists ? "a value" : NULL;
            for (uint64_t n = 1;; n++) {
                prepare(keyspace, state, large);
                struct key key = rig_key(keyspace, "{t}a");
                MUST_BE(rig_load(keyspace, &key), 0);
                mem_fail_after(n, false);
                int err = change(keyspace, way, large);
                mem_fail_after(0, false);
                keyspace_unpin(keyspace, &key);
                rig_verify(keyspace);
                if (err != ERR_MEMORY) {
                    MUST(err == 0 || (err == ERR_NOT_FOUND && !exists));
                    break;
                }
                failures++;
                rig_holds(keyspace, "{t}a", before);
            }
        }
    }
    MUST(failures > 20);
    free(large);
}

Test(put, changes_nothing_when_memory_is_out)
{
    rig_test(failing);
}

/* One of three keys is there, in memory or only on disk, one is put twice. */
static void several(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    static const char *const names[] = {"{t}a", "{t}b", "{t}c", "{t}b"};
    enum { COUNT = sizeof(names) / sizeof(names[0]) };
    char *large = text_of(6000, 'L');
    uint32_t failures = 0;
    int err = ERR_MEMORY;
    for (uint64_t n = 1; err == ERR_MEMORY; n++) {
        (void)rig_remove(keyspace, "{t}a");
        (void)rig_remove(keyspace, "{t}c");
        rig_put(keyspace, "{t}b", "b value");
        struct change changes[COUNT];
        memset(changes, 0, sizeof(changes));
        for (uint32_t i = 0; i < COUNT; i++) {
            changes[i].key = rig_key(keyspace, names[i]);
            changes[i].put =
                (struct put){.type = RECORD_STRING, .value = slice_cstr(i == 2 ? large : names[i])};
        }
        mem_fail_after(n, false);
        err = keyspace_put_all(keyspace, changes, COUNT);
        mem_fail_after(0, false);
        rig_verify(keyspace);
        bool done = err == 0;
        failures += !done;
        rig_holds(keyspace, "{t}a", done ? "{t}a" : NULL);
        rig_holds(keyspace, "{t}b", done ? "{t}b" : "b value");
        rig_holds(keyspace, "{t}c", done ? large : NULL);
    }
    MUST_BE(err, 0);
    MUST(failures > COUNT);
    free(large);
}

Test(put, sets_all_of_several_keys_or_none_when_memory_is_out)
{
    rig_test(several);
}

/* Places are reserved, then others take what is free; memory is out when the changes come. */
static void reserved_places(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    enum { CHANGES = 500 };
    static struct change changes[CHANGES];
    static char names[CHANGES][16];
    for (uint32_t i = 0; i < CHANGES; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "{t}%u", i);
        changes[i] = (struct change){.key = rig_key(keyspace, names[i]),
                                     .put = {.value = slice_cstr("foreign")}};
        MUST_BE(keyspace_reserve(keyspace, &changes[i].key), 0);
        MUST_BE(keyspace_prepare(&changes[i]), 0);
    }
    for (uint32_t i = 0; i < 2000; i++) {
        char name[24];
        (void)snprintf(name, sizeof(name), "{t}other%u", i);
        rig_put(keyspace, name, "value");
    }
    mem_fail_after(1, true);
    for (uint32_t i = 0; i < CHANGES; i++) {
        keyspace_apply(keyspace, &changes[i]);
    }
    mem_fail_after(0, false);
    for (uint32_t i = 0; i < CHANGES; i++) {
        rig_holds(keyspace, names[i], "foreign");
    }
    rig_verify(keyspace);
}

Test(put, applies_what_was_prepared_without_any_memory)
{
    rig_test(reserved_places);
}
