#include "data/count.h"

#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#include "rig.h"

enum { KEYS = 2000 };

static void name_of(char name[32], uint32_t number)
{
    snprintf(name, 32, "key %u", number);
}

static void put_range(struct keyspace *keyspace, uint32_t first, uint32_t end, const char *value)
{
    char name[32];
    for (uint32_t i = first; i < end; i++) {
        name_of(name, i);
        rig_put(keyspace, name, value);
    }
}

static uint64_t quick(const struct keyspace *keyspace)
{
    uint64_t expires;
    return keyspace_count_quick(keyspace, keyspace_space(keyspace, 0), &expires);
}

/* ---- exactness ---- */

static void put_in_tree(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    put_range(keyspace, 0, KEYS, "in the tree");
}

static void overwrite(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    MUST_BE(quick(keyspace), KEYS);
    put_range(keyspace, KEYS / 2, KEYS + 100, "blind");
    MUST_BE(quick(keyspace), KEYS + KEYS / 2 + 100);
    MUST_BE(rig_count(keyspace), KEYS + 100);
    /* What a count has found out stays known. */
    MUST_BE(quick(keyspace), KEYS + 100);
    MUST_BE(rig_count(keyspace), KEYS + 100);
    rig_verify(keyspace);
}

Test(count, asks_the_tree_about_blind_puts)
{
    rig_test_restarted(put_in_tree, RIG_CLEAN, overwrite);
}

struct counting {
    struct keyspace *keyspace;
    struct co_group group;
    uint64_t count;
    int result;
    bool done;
};

static void counting_main(void *argument)
{
    struct counting *counting = argument;
    counting->result =
        keyspace_count(counting->keyspace, keyspace_space(counting->keyspace, 0), &counting->count);
    counting->done = true;
    co_group_done(&counting->group);
}

static void start_counting(struct counting *counting, struct keyspace *keyspace)
{
    *counting = (struct counting){.keyspace = keyspace};
    co_group_init(&counting->group);
    co_group_add(&counting->group, 1);
    MUST_BE(coro_start(shard_sched(keyspace->shard), "count", CORO_NORMAL, counting_main, counting),
            0);
}

static void meanwhile(struct keyspace *keyspace, void *argument)
{
    struct counting counting;
    char name[32];
    (void)argument;
    for (uint32_t round = 0; round < 5; round++) {
        uint64_t expected = rig_count(keyspace);
        rig_checkpoint(keyspace);
        rig_evict_all(keyspace);
        put_range(keyspace, 0, KEYS, "blind");
        start_counting(&counting, keyspace);
        co_yield();
        /* All of this comes after the count's begin, and is not counted. */
        uint32_t at = 0;
        while (!counting.done) {
            for (uint32_t i = 0; i < 50; i++) {
                name_of(name, 10000 * (round + 1) + at++);
                rig_put(keyspace, name, "later");
                name_of(name, at % KEYS);
                if (at % 5 == 0) {
                    MUST(rig_remove(keyspace, name));
                    rig_put(keyspace, name, "again");
                }
            }
            if (at % 300 == 0) {
                struct shelf *shelf = &keyspace->shelves[at / 50 % keyspace->shelf_count];
                MUST_BE(keyspace_checkpoint(keyspace, shelf, LSN_NONE), 0);
            }
            co_yield();
        }
        MUST_BE(counting.result, 0);
        MUST_BE(counting.count, expected);
        MUST_BE(rig_count(keyspace), expected + at);
        rig_verify(keyspace);
    }
}

Test(count, is_exact_as_of_its_begin_whatever_is_written_meanwhile)
{
    rig_test_restarted(put_in_tree, RIG_CLEAN, meanwhile);
}

static void empty(struct keyspace *keyspace, void *argument)
{
    uint64_t count;
    (void)argument;
    MUST_BE(rig_count(keyspace), 0);
    MUST_BE(keyspace_count(keyspace, 12345, &count), 0);
    MUST_BE(count, 0);
    rig_put(keyspace, "a", "1");
    MUST_BE(keyspace_count(keyspace, 12345, &count), 0);
    MUST_BE(count, 0);
    MUST(rig_remove(keyspace, "a"));
    MUST_BE(rig_count(keyspace), 0);
}

Test(count, of_nothing_is_0)
{
    rig_test(empty);
}

/* ---- a page that can't be read ---- */

static int flip_entry(const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info;
    (void)ftw;
    size_t length = strlen(path);
    if (flag == FTW_F && length > 4 && strcmp(path + length - 4, ".dat") == 0) {
        FILE *file = fopen(path, "r+");
        MUST(file != NULL);
        for (long at = 2000; fseek(file, at, SEEK_SET) == 0; at += STORE_PAGE_BYTES) {
            int byte = fgetc(file);
            if (byte == EOF) {
                break;
            }
            MUST_BE(fseek(file, at, SEEK_SET), 0);
            fputc(byte ^ 0xff, file);
        }
        MUST_BE(fclose(file), 0);
    }
    return 0;
}

/* Damages all pages of all trees, or heals them again. */
static void flip(const struct rig *rig)
{
    MUST_BE(nftw(rig->dir, flip_entry, 16, FTW_PHYS), 0);
}

static uint32_t failing_counts;

static void failing(struct keyspace *keyspace, void *argument)
{
    const struct rig *rig = argument;
    uint64_t count;
    put_range(keyspace, 0, KEYS, "blind");
    flip(rig);
    for (uint32_t i = 0; i < failing_counts; i++) {
        MUST_BE(keyspace_count(keyspace, 0, &count), ERR_CORRUPT);
        put_range(keyspace, KEYS + 10 * i, KEYS + 10 * i + 10, "more");
    }
    flip(rig);
    MUST_BE(rig_count(keyspace), KEYS + 10 * failing_counts);
    rig_verify(keyspace);
}

Test(count, is_an_error_when_a_page_cannot_be_read_and_right_when_it_can_again)
{
    for (failing_counts = 1; failing_counts <= 3; failing_counts++) {
        rig_test_restarted(put_in_tree, RIG_CLEAN, failing);
    }
}

/* ---- an answer about an old tree ---- */

struct asking {
    struct keyspace *keyspace;
    struct key key;
    struct co_group group;
    int result;
};

static void asking_main(void *argument)
{
    struct asking *asking = argument;
    asking->result = keyspace_close_open(asking->keyspace, shelf_of(asking->keyspace, &asking->key),
                                         &asking->key);
    co_group_done(&asking->group);
}

static void publication_meanwhile(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    rig_put(keyspace, "key 1", "blind");
    struct asking asking = {.keyspace = keyspace, .key = rig_key(keyspace, "key 1")};
    struct shelf *shelf = shelf_of(keyspace, &asking.key);
    struct table_place place;
    const struct record *record = shelf_find(shelf, &asking.key, &place);
    co_group_init(&asking.group);
    co_group_add(&asking.group, 1);
    MUST_BE(coro_start(shard_sched(keyspace->shard), "ask", CORO_NORMAL, asking_main, &asking), 0);
    co_yield();
    /* It reads a page. Now as if a checkpoint had published another tree: the answer is worth
     * nothing. */
    MUST_BE(asking.group.pending, 1);
    shelf->publications++;
    shelf->phase = SHELF_SETTLING;
    while (!co_event_has_waiters(&shelf->freed)) {
        MUST_BE(asking.group.pending, 1);
        co_yield();
    }
    MUST((record->flags & RECORD_OPEN) != 0);
    shelf->phase = SHELF_IDLE;
    co_event_signal(&shelf->freed);
    co_group_wait(&asking.group);
    MUST_BE(asking.result, 0);
    MUST_BE(record->flags & (RECORD_OPEN | RECORD_FRESH), 0);
    rig_verify(keyspace);
}

Test(count, asks_again_when_the_tree_it_asked_is_no_longer_the_one)
{
    rig_test_restarted(put_in_tree, RIG_CLEAN, publication_meanwhile);
}

/* ---- a random key ---- */

static co_fn void must_give(struct keyspace *keyspace, uint32_t first, uint32_t end,
                            uint32_t distinct_min)
{
    static bool seen[KEYS * 2];
    uint32_t distinct = 0;
    memset(seen, 0, sizeof(seen));
    for (uint32_t i = 0; i < 300; i++) {
        uint8_t name[STORE_KEY_BYTES_MAX + 1];
        uint32_t bytes;
        MUST_BE(keyspace_random(keyspace, 0, name, &bytes), 1);
        name[bytes] = 0;
        uint32_t number = (uint32_t)atoi((const char *)name + 4);
        MUST(number >= first && number < end);
        distinct += !seen[number];
        seen[number] = true;
    }
    MUST(distinct >= distinct_min);
}

static void random_keys(struct keyspace *keyspace, void *argument)
{
    uint8_t name[STORE_KEY_BYTES_MAX];
    uint32_t bytes;
    char text[32];
    (void)argument;
    MUST_BE(keyspace_random(keyspace, 0, name, &bytes), 0);
    put_range(keyspace, 0, KEYS, "value");
    must_give(keyspace, 0, KEYS, 100);
    rig_checkpoint(keyspace);
    must_give(keyspace, 0, KEYS, 100);
    rig_evict_all(keyspace);
    must_give(keyspace, 0, KEYS, 100);
    /* Nearly all of them are gone, but the tree doesn't know. */
    for (uint32_t i = 0; i < KEYS - 2; i++) {
        name_of(text, i);
        MUST(rig_remove(keyspace, text));
    }
    must_give(keyspace, KEYS - 2, KEYS, 1);
    for (uint32_t i = KEYS - 2; i < KEYS; i++) {
        name_of(text, i);
        MUST(rig_remove(keyspace, text));
    }
    MUST_BE(keyspace_random(keyspace, 0, name, &bytes), 0);
}

Test(count, a_random_key_is_a_live_one_wherever_it_is)
{
    rig_test(random_keys);
}
