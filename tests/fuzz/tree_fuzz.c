/*
 * tree: a whole partition, its manifest and one data file. It opens or is refused; what
 * partition_verify finds in order is read in full in every way, and can be written to; what it does
 * not is read without harm.
 *
 * Input: u8 how many of the blocks (fuzz.h) are the manifest's | blocks: manifest, data file.
 */
#include <string.h>

#include "base/bytes.h"
#include "fuzz.h"
#include "store/page.h"
#include "store_rig.h"

enum { BLOCKS_MAX = 48, ENTRIES_MAX = 4096, SPACES_MAX = 8 };

struct trial {
    struct partition *partition;
    bool sound; /* partition_verify says so */
    uint32_t spaces[SPACES_MAX];
    uint64_t counts[SPACES_MAX];
    uint32_t space_count;
    uint8_t first_key[STORE_KEY_BYTES_MAX]; /* of the first space */
    uint32_t first_key_bytes;
};

static void note_space(void *context, uint32_t space, uint64_t count)
{
    struct trial *trial = context;
    if (trial->space_count < SPACES_MAX) {
        trial->spaces[trial->space_count] = space;
        trial->counts[trial->space_count++] = count;
    }
}

/* ---- reading ---- */

static void check_get(const struct trial *trial, uint32_t space, const struct store_entry *entry)
{
    static uint8_t buffer[STORE_KEY_BYTES_MAX];
    struct store_found found = {.frame = NULL};
    int result = store_get(trial->partition, space, entry->key, &found);
    MUST(!trial->sound || result == 1);
    if (result == 1) {
        MUST(!trial->sound || slice_equal(found.entry.value, entry->value));
        store_found_release(trial->partition, &found);
    }
    result = store_floor(trial->partition, space, entry->key, buffer, &found);
    MUST(!trial->sound || (result == 1 && slice_equal(found.entry.key, entry->key)));
    if (result == 1) {
        store_found_release(trial->partition, &found);
    }
}

/* All entries of a space in order; how many there were. */
static uint64_t walk(struct trial *trial, uint32_t space, bool reverse, bool gets)
{
    static uint8_t last[STORE_KEY_BYTES_MAX];
    size_t last_bytes = 0;
    struct store_cursor *cursor;
    struct store_cursor_options options = {
        .space = space, .reverse = reverse, .values = true, .read_ahead = reverse ? 4 : 0};
    int result = store_cursor_open(trial->partition, &options, &cursor);
    MUST(!trial->sound || result == 0);
    if (result < 0) {
        return 0;
    }
    uint64_t count = 0;
    while (count < ENTRIES_MAX) {
        struct store_entry entry;
        result = store_cursor_next(cursor, &entry);
        if (result != 1) {
            break;
        }
        MUST(entry.key.bytes <= STORE_KEY_BYTES_MAX);
        int order = slice_compare(slice_of(last, last_bytes), entry.key);
        MUST(!trial->sound || count == 0 || (reverse ? order > 0 : order < 0));
        if (gets) {
            check_get(trial, space, &entry);
        }
        last_bytes = entry.key.bytes;
        if (last_bytes > 0) {
            memcpy(last, entry.key.data, last_bytes);
        }
        count++;
    }
    MUST(!trial->sound || result >= 0);
    store_cursor_close(cursor);
    if (reverse && space == trial->spaces[0]) {
        memcpy(trial->first_key, last, last_bytes);
        trial->first_key_bytes = (uint32_t)last_bytes;
    }
    return count;
}

static void read_all(struct trial *trial)
{
    for (uint32_t i = 0; i < trial->space_count; i++) {
        uint64_t count = walk(trial, trial->spaces[i], false, true);
        uint64_t back = walk(trial, trial->spaces[i], true, false);
        MUST(!trial->sound ||
             (count == back && (count == trial->counts[i] || count == ENTRIES_MAX)));
    }
}

/* ---- writing ---- */

/* Removes the first key, and puts one that is likely to be the last. */
static void get_change(void *context, uint32_t index, struct store_change *ret_change)
{
    const struct trial *trial = context;
    *ret_change = (struct store_change){.space = trial->spaces[0]};
    if (index == 0) {
        ret_change->remove = true;
        ret_change->entry.key = slice_of(trial->first_key, trial->first_key_bytes);
    } else {
        ret_change->entry.key = slice_cstr("\xff\xff\xff\xff");
        ret_change->entry.value = slice_cstr("value");
        ret_change->entry.value_bytes = 5;
    }
}

static void write_some(struct trial *trial)
{
    struct slice first = slice_of(trial->first_key, trial->first_key_bytes);
    if (trial->space_count == 0 || slice_compare(first, slice_cstr("\xff\xff\xff\xff")) >= 0) {
        return;
    }
    struct store_batch batch = {
        .count = 2,
        .context = trial,
        .get = get_change,
        .applied_lsn = partition_applied(trial->partition),
    };
    int err = partition_commit(trial->partition, &batch);
    MUST(err == 0 || err == ERR_LIMIT); /* the manifest may say that numbers are used up */
    struct store_report report = {.leaves = 0};
    MUST(partition_verify(trial->partition, &report) == 0);
}

static int try_partition(struct shard *shard, void *argument)
{
    (void)shard;
    struct trial *trial = argument;
    int err = partition_open(rig_store(), RIG_PARTITION, false, &trial->partition);
    if (err < 0) {
        MUST(err == ERR_CORRUPT || err == ERR_VERSION);
        MUST(warnings_have(" at offset "));
        return 0;
    }
    partition_each_space(trial->partition, note_space, trial);
    struct store_report report = {.leaves = 0};
    err = partition_verify(trial->partition, &report);
    MUST(err == 0 || err == ERR_CORRUPT || err == ERR_VERSION);
    trial->sound = err == 0;
    read_all(trial);
    if (trial->sound) {
        write_some(trial);
    }
    (void)partition_close(trial->partition);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t blocks[BLOCKS_MAX * BLOCK_BYTES];
    static struct trial trial;
    struct feed feed = {data, bytes};
    rig_start();
    warnings_catch();
    trial = (struct trial){.partition = NULL};
    uint32_t manifest = feed_u8(&feed);
    uint32_t count = blocks_decode(&feed, blocks, BLOCKS_MAX);
    manifest = manifest < count ? manifest : count;
    size_t manifest_bytes = (size_t)manifest * BLOCK_BYTES;
    size_t data_bytes = (size_t)(count - manifest) * BLOCK_BYTES;
    rig_clear();
    rig_write("manifest-1.man", slice_of(blocks, manifest_bytes), 0);
    rig_write("data-1.dat", slice_of(blocks + manifest_bytes, data_bytes), 64 * BLOCK_BYTES);
    rig_run(try_partition, &trial);
    return 0;
}

#ifdef FUZZ_ENGINE
#include "store_fix.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned int seed)
{
    static uint8_t blocks[BLOCKS_MAX * BLOCK_BYTES];
    bytes = LLVMFuzzerMutate(data, bytes, bytes_max);
    if (seed % 8 == 0 || bytes < 1) {
        return bytes;
    }
    struct feed feed = {data + 1, bytes - 1};
    uint32_t count = blocks_decode(&feed, blocks, BLOCKS_MAX);
    uint32_t manifest = data[0] < count ? data[0] : count;
    fix_manifest(blocks, manifest, seed % 2 == 0);
    fix_data(blocks + (size_t)manifest * BLOCK_BYTES, count - manifest);
    size_t fixed = blocks_encode(blocks, count, data + 1, bytes_max - 1);
    return fixed > 0 ? fixed + 1 : bytes;
}
#endif
