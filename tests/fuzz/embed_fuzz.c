/*
 * embed: calls of the library in any order give what a sorted list would give, also after the store
 * was closed and opened again.
 *
 * Input: u8 how it is opened the second time | calls: u8 which, u8 key, and what they need. Keys
 * are from a small set, so that calls meet.
 */
#include <string.h>

#include "eloqstore.h"
#include "fuzz.h"
#include "store_rig.h"

enum { KEYS = 24, CALLS_MAX = 64, VALUE_MAX = 20000, BATCH_MAX = 8, KEY_BYTES_MAX = 1536 };

static char directory[64];
static struct eloq *db;

/* What the store must hold, by key; keys ascend. */
static struct expected {
    uint8_t key[KEY_BYTES_MAX];
    size_t key_bytes;
    bool there;
    uint8_t seed; /* every byte of the value */
    size_t bytes;
} model[KEYS];

/* ---- keys and values ---- */

/* Ascending: "", "\0", "a", "a\0", "ab", ..., one of the greatest length. */
static void make_keys(void)
{
    static const char *const texts[] = {"",   "a",      "ab",      "abc",    "b",
                                        "ba", "user:1", "user:10", "user:2", "z"};
    enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };
    size_t count = 0;
    for (size_t i = 0; i < TEXTS; i++) {
        /* Each one, and the same with a zero byte behind it. */
        for (size_t zero = 0; zero < 2; zero++) {
            struct expected *one = &model[count++];
            one->key_bytes = strlen(texts[i]);
            memcpy(one->key, texts[i], one->key_bytes);
            one->key_bytes += zero;
        }
    }
    for (; count < KEYS; count++) {
        model[count].key_bytes = KEY_BYTES_MAX - (KEYS - 1 - count);
        memset(model[count].key, 0xff, KEY_BYTES_MAX);
    }
    for (size_t i = 1; i < KEYS; i++) {
        MUST(slice_compare(slice_of(model[i - 1].key, model[i - 1].key_bytes),
                           slice_of(model[i].key, model[i].key_bytes)) < 0);
    }
}

static struct expected *feed_key(struct feed *feed)
{
    return &model[feed_u8(feed) % KEYS];
}

static void feed_value(struct feed *feed, struct expected *one)
{
    one->there = true;
    one->seed = feed_u8(feed);
    uint32_t bytes = feed_u16(feed);
    one->bytes = bytes % 4 == 0 ? bytes % VALUE_MAX : bytes % 100;
}

static const uint8_t *value_of(const struct expected *one)
{
    static uint8_t values[BATCH_MAX][VALUE_MAX];
    static int next;
    next = (next + 1) % BATCH_MAX;
    memset(values[next], one->seed, VALUE_MAX);
    return values[next];
}

static void check_value(const struct expected *one, const void *value, size_t bytes)
{
    MUST(bytes == one->bytes && memcmp(value, value_of(one), bytes) == 0);
}

static void check_entry(const struct expected *one, const struct eloq_entry *entry, bool keys_only)
{
    MUST(slice_equal(slice_of(entry->key, entry->key_bytes), slice_of(one->key, one->key_bytes)));
    if (keys_only) {
        MUST(entry->value_bytes == 0);
    } else {
        check_value(one, entry->value, entry->value_bytes);
    }
}

/* ---- calls ---- */

static void call_put(struct feed *feed)
{
    struct expected *one = feed_key(feed);
    feed_value(feed, one);
    MUST(eloq_put(db, one->key, one->key_bytes, value_of(one), one->bytes) == 0);
}

static void call_get(struct feed *feed)
{
    const struct expected *one = feed_key(feed);
    void *value;
    size_t bytes;
    int result = eloq_get(db, one->key, one->key_bytes, &value, &bytes);
    MUST(result == one->there);
    if (result == 1) {
        check_value(one, value, bytes);
        MUST(((const uint8_t *)value)[bytes] == 0);
        eloq_free(value);
    }
}

static void call_delete(struct feed *feed)
{
    struct expected *one = feed_key(feed);
    MUST(eloq_delete(db, one->key, one->key_bytes) == one->there);
    one->there = false;
}

static void call_write(struct feed *feed)
{
    struct eloq_change changes[BATCH_MAX];
    size_t count = feed_u8(feed) % (BATCH_MAX + 1);
    for (size_t i = 0; i < count; i++) {
        bool removes = feed_u8(feed) % 4 == 0;
        struct expected *one = feed_key(feed);
        changes[i] = (struct eloq_change){.key = one->key, .key_bytes = one->key_bytes};
        if (removes) {
            one->there = false;
        } else {
            feed_value(feed, one);
            changes[i].value = value_of(one);
            changes[i].value_bytes = one->bytes;
        }
    }
    MUST(eloq_write(db, changes, count) == 0);
}

static void call_floor(struct feed *feed)
{
    const struct expected *one = feed_key(feed);
    struct eloq_entry entry;
    void *memory;
    int result = eloq_floor(db, one->key, one->key_bytes, &entry, &memory);
    const struct expected *floor = one;
    while (floor > model && !floor->there) {
        floor--;
    }
    MUST(result == floor->there);
    if (result == 1) {
        check_entry(floor, &entry, false);
        eloq_free(memory);
    }
}

static void call_scan(struct feed *feed)
{
    uint8_t bits = feed_u8(feed);
    ptrdiff_t from = (bits & 1) != 0 ? feed_key(feed) - model : 0;
    ptrdiff_t to = (bits & 2) != 0 ? feed_key(feed) - model : KEYS;
    struct eloq_range range = {.reverse = (bits & 4) != 0, .keys_only = (bits & 8) != 0};
    if ((bits & 1) != 0) {
        range.from = model[from].key;
        range.from_bytes = model[from].key_bytes;
    }
    if ((bits & 2) != 0) {
        range.to = model[to].key;
        range.to_bytes = model[to].key_bytes;
    }
    struct eloq_scan *scan;
    MUST(eloq_scan_open(db, &range, &scan) == 0);
    for (ptrdiff_t i = 0; i < to - from; i++) {
        const struct expected *one = &model[range.reverse ? to - 1 - i : from + i];
        struct eloq_entry entry;
        if (one->there) {
            MUST(eloq_scan_next(scan, &entry) == 1);
            check_entry(one, &entry, range.keys_only);
        }
    }
    struct eloq_entry entry;
    MUST(eloq_scan_next(scan, &entry) == 0);
    eloq_scan_close(scan);
}

/* ---- the store ---- */

static void open_store(uint8_t how)
{
    struct eloq_options options = {
        .shards = 1 + how % 3,
        .partitions = 4,
        .sync = ELOQ_SYNC_NO,
        .io = (how & 4) != 0 ? ELOQ_IO_POSIX : ELOQ_IO_AUTO,
        .memory_bytes = 32 << 20,
    };
    MUST(eloq_open(directory, &options, &db) == 0);
}

static void close_store(void)
{
    MUST(eloq_close(db) == 0);
}

static void prepare(void)
{
    if (db == NULL) {
        make_keys();
        rig_directory(directory);
        open_store(1);
        (void)atexit(close_store);
    }
}

static void check_all(void)
{
    static const uint8_t everything[] = {0};
    static const uint8_t backwards[] = {4};
    call_scan(&(struct feed){everything, 1});
    call_scan(&(struct feed){backwards, 1});
}

/* Nothing is left for the next input. */
static void forget_all(void)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (model[i].there) {
            MUST(eloq_delete(db, model[i].key, model[i].key_bytes) == 1);
            model[i].there = false;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static void (*const calls[])(struct feed *) = {call_put,   call_get,   call_delete,
                                                   call_write, call_floor, call_scan};
    struct feed feed = {data, bytes};
    prepare();
    uint8_t how = feed_u8(&feed);
    for (int i = 0; i < CALLS_MAX && feed.bytes > 0; i++) {
        calls[feed_u8(&feed) % (sizeof(calls) / sizeof(calls[0]))](&feed);
    }
    check_all();
    if (how >= 240) {
        close_store();
        open_store(how);
        check_all();
    }
    forget_all();
    return 0;
}
