/*
 * extent: a large value is read if it lies within its file and has its checksum, and then it is the
 * bytes that lie there; else it is damage. Nothing is allocated for one that cannot be.
 *
 * Input: u64 position | u64 bytes | u8 (1: the checksum is wrong) | the data file.
 */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "fuzz.h"
#include "store/extent.h"
#include "store_rig.h"

enum { VALUE_BYTES = 40000, FILE_NUMBER = 1, MEMORY_CONSTANT = 1 << 20 };

static struct partition *partition;
static uint32_t pages; /* that the data file should have */

/* ---- a partition with one data file ---- */

static void get_change(void *context, uint32_t index, struct store_change *ret_change)
{
    (void)index;
    *ret_change = (struct store_change){
        .entry = {.key = slice_cstr("k"), .value = slice_of(context, VALUE_BYTES)},
    };
    ret_change->entry.value_bytes = VALUE_BYTES;
}

static int open_partition(struct shard *shard, void *argument)
{
    static const uint8_t value[VALUE_BYTES] = {1};
    (void)shard;
    (void)argument;
    struct store_batch batch = {
        .count = 1,
        .context = (void *)(uintptr_t)value,
        .get = get_change,
        .applied_lsn = {1},
    };
    TRY(partition_open(rig_store(), RIG_PARTITION, true, &partition));
    TRY(partition_commit(partition, &batch));
    pages = datafiles_find(&partition->files, FILE_NUMBER)->pages;
    return 0;
}

static int close_partition(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
    (void)partition_close(partition);
    return 0;
}

static void finish(void)
{
    rig_run(close_partition, NULL);
}

static void prepare(void)
{
    if (partition == NULL) {
        warnings_catch();
        rig_start();
        rig_run(open_partition, NULL);
        (void)atexit(finish);
    }
}

/* ---- one read ---- */

struct trial {
    struct extent extent;
    struct slice file;
    bool right; /* the checksum */
};

static bool must_work(const struct trial *trial)
{
    uint64_t bytes = trial->extent.bytes;
    uint64_t first = file_pos_page(trial->extent.pos);
    return trial->right && file_pos_file(trial->extent.pos) == FILE_NUMBER && bytes > 0 &&
           bytes <= STORE_VALUE_BYTES_MAX && first + div_ceil(bytes, STORE_PAGE_BYTES) <= pages;
}

static int read_extent(struct shard *shard, void *argument)
{
    (void)shard;
    const struct trial *trial = argument;
    uint8_t *value;
    int err = extent_read(partition, &trial->extent, &value);
    MUST(err == (must_work(trial) ? 0 : ERR_CORRUPT));
    MUST(err == 0 || warnings_have("at offset"));
    if (err == 0) {
        uint64_t offset = file_pos_offset(trial->extent.pos);
        for (uint64_t i = 0; i < trial->extent.bytes; i++) {
            uint8_t byte = offset + i < trial->file.bytes ? trial->file.data[offset + i] : 0;
            MUST(value[i] == byte);
        }
        mem_free(value);
    }
    return 0;
}

/* The checksum of what lies there; of nothing if that is not within the file. */
static uint64_t checksum_of(const struct trial *trial)
{
    uint64_t offset = file_pos_offset(trial->extent.pos);
    uint64_t bytes = trial->extent.bytes;
    uint64_t file_bytes = (uint64_t)pages * STORE_PAGE_BYTES;
    uint64_t seed = page_seed(RIG_STORE_ID, RIG_PARTITION, trial->extent.pos);
    if (offset >= file_bytes || bytes > file_bytes - offset) {
        return 0;
    }
    uint8_t *copy = calloc(1, file_bytes);
    MUST(copy != NULL);
    memcpy(copy, trial->file.data, trial->file.bytes);
    uint64_t checksum = checksum64(copy + offset, bytes, seed);
    free(copy);
    return checksum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    prepare();
    warnings_clear();
    struct feed feed = {data, bytes};
    struct trial trial = {.extent = {.pos.value = feed_u64(&feed), .bytes = feed_u64(&feed)}};
    trial.right = feed_u8(&feed) != 1;
    trial.file = feed_slice(&feed, (size_t)pages * STORE_PAGE_BYTES);
    trial.extent.checksum = checksum_of(&trial) + (trial.right ? 0 : 1);
    rig_write("data-1.dat", trial.file, (uint64_t)pages * STORE_PAGE_BYTES);
    memory_watch();
    rig_run(read_extent, &trial);
    MUST(memory_peak() <= MEMORY_CONSTANT);
    return 0;
}
