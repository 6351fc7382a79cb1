/*
 * super: of the two copies the newest one that is whole counts, or none; each copy is judged by
 * itself. What is written goes to the other copy's place and leaves the newest alone.
 *
 * Input: two blocks (fuzz.h).
 */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "fuzz.h"
#include "memory_disk.h"
#include "store/super.h"

/* As src/store/super.c has it. */
#define SEED UINT64_C(0x7365726573757072)

enum { COPIES = 2, FILE_BYTES = COPIES * BLOCK_BYTES };

static int read_file(const uint8_t *file, struct super *ret_super)
{
    memory_disk_put("d/SUPER", slice_of(file, FILE_BYTES));
    int err = super_read("d", ret_super);
    MUST(err == 0 || err == ERR_CORRUPT || err == ERR_VERSION);
    return err;
}

/* With the other copy destroyed. */
static int read_copy(const uint8_t *file, uint32_t number, struct super *ret_super)
{
    static uint8_t alone[FILE_BYTES];
    memset(alone, 0, sizeof(alone));
    size_t offset = (size_t)number * BLOCK_BYTES;
    memcpy(alone + offset, file + offset, BLOCK_BYTES);
    return read_file(alone, ret_super);
}

static bool supers_equal(const struct super *one, const struct super *other)
{
    return one->store_id == other->store_id && one->generation == other->generation &&
           one->partitions == other->partitions && one->epoch == other->epoch &&
           one->log_segment_bytes == other->log_segment_bytes &&
           one->databases == other->databases && one->space_next == other->space_next &&
           memcmp(one->spaces, other->spaces, one->databases * sizeof(one->spaces[0])) == 0 &&
           one->log_start.value == other->log_start.value &&
           one->log_watermark.value == other->log_watermark.value &&
           one->clock_high_ms == other->clock_high_ms && one->clean == other->clean;
}

static void check_write(const struct super *found)
{
    static struct super next;
    static struct super again;
    next = *found;
    if (next.generation == UINT64_MAX) {
        return;
    }
    next.clock_high_ms++;
    MUST(super_write("d", &next) == 0);
    MUST(next.generation == found->generation + 1);
    MUST(super_read("d", &again) == 0);
    MUST(supers_equal(&next, &again));
    /* With the new copy torn the old one is there. */
    struct slice file = memory_disk_get("d/SUPER");
    uint8_t *torn = copy_exactly(file);
    torn[next.generation % COPIES * BLOCK_BYTES + 100] ^= 1;
    memory_disk_put("d/SUPER", slice_of(torn, file.bytes));
    free(torn);
    MUST(super_read("d", &again) == 0);
    MUST(supers_equal(found, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t file[FILE_BYTES];
    static struct super copies[COPIES];
    static struct super found;
    struct feed feed = {data, bytes};
    warnings_catch();
    memory_disk_clear();
    memset(file, 0, sizeof(file));
    (void)blocks_decode(&feed, file, COPIES);
    int errs[COPIES];
    for (uint32_t i = 0; i < COPIES; i++) {
        errs[i] = read_copy(file, i, &copies[i]);
    }
    warnings_clear();
    int err = read_file(file, &found);
    if (err < 0) {
        MUST(warnings_have("SUPER at offset"));
        MUST(err == ERR_CORRUPT ? errs[0] == err && errs[1] == err
                                : errs[0] == err || errs[1] == err);
        return 0;
    }
    uint32_t newest = errs[1] == 0 && (errs[0] != 0 || copies[1].generation > copies[0].generation);
    MUST(errs[newest] == 0 && errs[0] != ERR_VERSION && errs[1] != ERR_VERSION);
    MUST(supers_equal(&found, &copies[newest]));
    check_write(&found);
    return 0;
}

#ifdef FUZZ_ENGINE
/* Mostly with checksums that are right. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned int seed)
{
    static uint8_t file[FILE_BYTES];
    bytes = LLVMFuzzerMutate(data, bytes, bytes_max);
    if (seed % 8 == 0) {
        return bytes;
    }
    struct feed feed = {data, bytes};
    uint32_t count = blocks_decode(&feed, file, COPIES);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *block = file + (size_t)i * BLOCK_BYTES;
        memcpy(block + 8, "eloqsupr", 8);
        store_le64(block, checksum64(block + 8, BLOCK_BYTES - 8, SEED + i));
    }
    size_t fixed = blocks_encode(file, count, data, bytes_max);
    return fixed > 0 ? fixed : bytes;
}
#endif
