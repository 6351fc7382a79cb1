/*
 * manifest: a file is a manifest, whose unfinished end may be cut, or it is refused with the
 * offset. Memory stays in proportion to what the file says.
 *
 * Input: the blocks of a manifest (fuzz.h).
 */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "fuzz.h"
#include "store/manifest_format.h"
#include "store/partition.h"
#include "store_rig.h"

enum {
    BLOCKS_MAX = 16,
    NUMBER = 1,
    DIRECTORY_BYTES = 512,
    MEMORY_CONSTANT = 2 << 20,
    /* An entry of a few bytes may name a chunk of pages, which is 4 KiB, in a directory of its
     * own. */
    MEMORY_FACTOR = 4096,
};

/* What a partition has of it. */
struct trial {
    struct manifest manifest;
    struct manifest_state state;
    struct datafiles files;
    size_t bytes; /* of the input */
};

static void check_state(const struct trial *trial)
{
    const struct manifest_state *state = &trial->state;
    MUST(state->tree_count <= STORE_SPACES_MAX);
    for (uint32_t i = 0; i < state->tree_count; i++) {
        const struct tree *tree = &state->trees[i];
        MUST(tree->height > 0 && tree->height <= TREE_HEIGHT_MAX);
        MUST(i == 0 || state->trees[i - 1].space < tree->space);
        (void)mapper_get(mapper_root(state->mapper), tree->root);
    }
    for (uint32_t i = 0; i < trial->files.count; i++) {
        const struct datafile *file = trial->files.files[i];
        MUST(file->live <= file->pages && file->pages <= FILE_POS_PAGES_MAX);
        MUST(i == 0 || trial->files.files[i - 1]->number < file->number);
        MUST(file->number < trial->files.next_number);
    }
    MUST(is_aligned(trial->manifest.end, MANIFEST_ALIGN));
    MUST(trial->manifest.snapshot_end <= trial->manifest.end);
}

static int load(struct shard *shard, void *argument)
{
    struct trial *trial = argument;
    struct store *store = rig_store();
    char directory[DIRECTORY_BYTES];
    (void)snprintf(directory, sizeof(directory), "%s/p%04d", store->options.dir, RIG_PARTITION);
    TRY(mapper_create(&trial->state.mapper));
    datafiles_init(&trial->files, &store->pool, &store->options, directory);
    trial->state.files = &trial->files;
    manifest_init(&trial->manifest, shard, &store->options, directory, RIG_PARTITION);
    memory_watch();
    int err = manifest_load(&trial->manifest, NUMBER, &trial->state);
    MUST(memory_peak() <= MEMORY_CONSTANT + trial->bytes * MEMORY_FACTOR);
    MUST(err == 0 || err == ERR_CORRUPT || err == ERR_VERSION);
    MUST(err == 0 || warnings_have("manifest-1.man at offset"));
    if (err == 0) {
        check_state(trial);
    }
    manifest_close(&trial->manifest, false, trial->state.applied, 0);
    mem_free(trial->state.trees);
    mapper_destroy(trial->state.mapper);
    datafiles_deinit(&trial->files);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t blocks[BLOCKS_MAX * BLOCK_BYTES];
    struct feed feed = {data, bytes};
    rig_start();
    warnings_catch();
    struct trial *trial = calloc(1, sizeof(*trial));
    MUST(trial != NULL);
    trial->bytes = bytes;
    uint32_t count = blocks_decode(&feed, blocks, BLOCKS_MAX);
    rig_write("manifest-1.man", slice_of(blocks, (size_t)count * BLOCK_BYTES), 0);
    rig_run(load, trial);
    free(trial);
    return 0;
}

#ifdef FUZZ_ENGINE
#include "store_fix.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned int seed)
{
    static uint8_t blocks[BLOCKS_MAX * BLOCK_BYTES];
    bytes = LLVMFuzzerMutate(data, bytes, bytes_max);
    if (seed % 8 == 0) {
        return bytes;
    }
    struct feed feed = {data, bytes};
    uint32_t count = blocks_decode(&feed, blocks, BLOCKS_MAX);
    fix_manifest(blocks, count, seed % 2 == 0);
    size_t fixed = blocks_encode(blocks, count, data, bytes_max);
    return fixed > 0 ? fixed : bytes;
}
#endif
