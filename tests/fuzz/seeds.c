/*
 * Writes the seeds of the targets that read files of a store, made by the library itself: one small
 * partition with leaves, branches, an extent and a few commits; a superblock; a log.
 *
 *     fuzz_seeds CORPUS-DIRECTORY
 *
 * Run by hand when a format changes; what it has written is committed.
 */
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/varint.h"
#include "data/change.h"
#include "fuzz.h"
#include "log/frame.h"
#include "memory_disk.h"
#include "store/manifest.h"
#include "store/page.h"
#include "store/super.h"
#include "store_rig.h"

enum { PATH_BYTES = 512, IMAGE_BYTES = 1 << 20, SEED_BLOCKS_MAX = 48, KEYS = 600 };

static const char *corpus;

static void save(const char *target, const char *name, const void *data, size_t bytes)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/%s", corpus, target);
    (void)mkdir(path, 0755);
    (void)snprintf(path, sizeof(path), "%s/%s/seed-%s", corpus, target, name);
    FILE *file = fopen(path, "wb");
    MUST(file != NULL && fwrite(data, 1, bytes, file) == bytes);
    MUST(fclose(file) == 0);
}

/* ---- a partition ---- */

struct batch {
    uint32_t count;
    uint32_t key_bytes;
    uint32_t value_bytes;
    uint32_t step; /* every step-th key */
    bool removes;
};

static void get_change(void *context, uint32_t index, struct store_change *ret_change)
{
    static char keys[KEYS][64];
    static uint8_t value[64 * 1024];
    const struct batch *batch = context;
    char *key = keys[index];
    int bytes =
        snprintf(key, sizeof(keys[0]), "key:%0*u", (int)batch->key_bytes - 4, index * batch->step);
    memset(value, 'v', sizeof(value));
    *ret_change = (struct store_change){.space = 0, .remove = batch->removes};
    ret_change->entry.key = slice_of(key, (size_t)bytes);
    if (!batch->removes) {
        ret_change->entry.value = slice_of(value, batch->value_bytes);
        ret_change->entry.value_bytes = batch->value_bytes;
        ret_change->entry.expire_ms = index % 3 == 0 ? 1700000000000 : 0;
        ret_change->entry.meta = index % 5 == 0;
    }
}

struct plan {
    const struct batch *batches;
    uint32_t count;
    bool clean;
};

static int fill(struct shard *shard, void *argument)
{
    (void)shard;
    const struct plan *plan = argument;
    struct partition *partition;
    TRY(partition_open(rig_store(), RIG_PARTITION, true, &partition));
    for (uint32_t i = 0; i < plan->count; i++) {
        struct batch batch = plan->batches[i];
        struct store_batch commit = {
            .count = batch.count, .context = &batch, .get = get_change, .applied_lsn = {i + 1}};
        TRY(partition_commit(partition, &commit));
    }
    (void)partition_close(partition);
    return 0;
}

static uint32_t load_blocks(const char *name, uint8_t *blocks, uint32_t blocks_max)
{
    char path[PATH_BYTES];
    rig_path(name, path, sizeof(path));
    FILE *file = fopen(path, "rb");
    MUST(file != NULL);
    size_t bytes = fread(blocks, 1, (size_t)blocks_max * BLOCK_BYTES, file);
    (void)fclose(file);
    uint32_t count = (uint32_t)(bytes / BLOCK_BYTES);
    while (count > 0 && load_le64(blocks + (size_t)(count - 1) * BLOCK_BYTES) == 0) {
        count--; /* allocated ahead */
    }
    return count;
}

/* Each page alone, at the place where the target expects it. */
static void save_pages(const char *name, uint8_t *blocks, uint32_t count, uint32_t pages_max)
{
    uint64_t seed = page_seed(RIG_STORE_ID, RIG_PARTITION, file_pos_make(1, 0));
    for (uint32_t i = 0; i < count && pages_max > 0; i++) {
        uint8_t page[BLOCK_BYTES];
        memcpy(page, blocks + (size_t)i * BLOCK_BYTES, BLOCK_BYTES);
        if (load_le16(page + PAGE_AT_MAGIC) != PAGE_MAGIC) {
            continue;
        }
        char page_name[64];
        (void)snprintf(page_name, sizeof(page_name), "%s-%u", name, i);
        page_seal(page, seed);
        save("page", page_name, page, page_bytes_used(page));
        pages_max--;
    }
}

static void save_partition(const char *name, const struct plan *plan, uint32_t pages_max)
{
    static uint8_t blocks[SEED_BLOCKS_MAX * BLOCK_BYTES];
    static uint8_t image[IMAGE_BYTES];
    rig_start();
    rig_clear();
    rig_run(fill, (void *)(uintptr_t)plan);
    uint32_t manifest = load_blocks("manifest-1.man", blocks, SEED_BLOCKS_MAX);
    size_t bytes = blocks_encode(blocks, manifest, image, sizeof(image));
    save("manifest", name, image, bytes);
    uint32_t data = load_blocks("data-1.dat", blocks + (size_t)manifest * BLOCK_BYTES,
                                SEED_BLOCKS_MAX - manifest);
    image[0] = (uint8_t)manifest;
    bytes = blocks_encode(blocks, manifest + data, image + 1, sizeof(image) - 1);
    save("tree", name, image, bytes + 1);
    save_pages(name, blocks + (size_t)manifest * BLOCK_BYTES, data, pages_max);
}

static void save_partitions(void)
{
    static const struct batch small[] = {
        {3, 8, 10, 1, false}, {2, 8, 20, 2, false}, {1, 8, 0, 1, true}};
    static const struct batch extent[] = {{2, 8, 5000, 1, false}, {1, 20, 10, 1, false}};
    static const struct batch deep[] = {{KEYS, 30, 4, 1, false}, {20, 30, 40, 30, false}};
    static const struct batch all_gone[] = {{4, 8, 10, 1, false}, {4, 8, 0, 1, true}};
    save_partition("small", &(struct plan){small, 3, true}, 2);
    save_partition("extent", &(struct plan){extent, 2, true}, 1);
    save_partition("deep", &(struct plan){deep, 2, true}, 12);
    save_partition("empty", &(struct plan){all_gone, 2, true}, 1);
}

/* ---- a superblock ---- */

static void save_super(void)
{
    static uint8_t blocks[2 * BLOCK_BYTES];
    static uint8_t image[IMAGE_BYTES];
    struct super super;
    memory_disk_clear();
    MUST(super_create("d", 4, 3, LOG_SEGMENT_BYTES_MIN, &super) == 0);
    super.epoch = 1;
    super.clean = false;
    super.log_start.value = 4096;
    MUST(super_write("d", &super) == 0);
    struct slice file = memory_disk_get("d/SUPER");
    memcpy(blocks, file.data, sizeof(blocks));
    save("super", "both", image, blocks_encode(blocks, 2, image, sizeof(image)));
    memset(blocks, 0, BLOCK_BYTES);
    save("super", "one", image, blocks_encode(blocks, 2, image, sizeof(image)));
}

/* ---- a log ---- */

struct image {
    uint8_t bytes[1 << 16];
    uint64_t start; /* lsn of its first byte */
    size_t end;
};

static void add_frame(struct image *image, struct frame frame, struct slice payload)
{
    frame.lsn = image->start + image->end;
    frame.payload_bytes = frame.kind == FRAME_PAD ? frame.payload_bytes : (uint32_t)payload.bytes;
    frame.payload_sum =
        frame.kind == FRAME_PAD ? 0 : frame_sum(RIG_STORE_ID, payload.data, payload.bytes);
    frame_encode(&frame, RIG_STORE_ID, image->bytes + image->end);
    if (payload.bytes > 0) {
        memcpy(image->bytes + image->end + FRAME_HEADER_BYTES, payload.data, payload.bytes);
    }
    image->end += frame.kind == FRAME_PAD ? FRAME_HEADER_BYTES : frame_bytes(&frame);
}

static void save_log(void)
{
    static struct image first;
    static struct image second = {.start = LOG_SEGMENT_BYTES_MIN};
    static uint8_t all[IMAGE_BYTES];
    /* Two records: length, type, body. */
    static const uint8_t records[] = {3, 2, 0, 1, 'a', 4, 1, 'b', 'o', 'd', 'y'};
    static const uint8_t pieces[] = {8, 1, '1', '2', '3', '4', '5', '6', '7', '8'};
    struct slice two = slice_of(records, sizeof(records));
    add_frame(&first, (struct frame){.kind = FRAME_OPEN, .epoch = 1}, slice_of(NULL, 0));
    add_frame(&first, (struct frame){.kind = FRAME_DATA, .epoch = 1, .records = 2}, two);
    add_frame(&first, (struct frame){.kind = FRAME_FIRST, .epoch = 1, .record_id = 7},
              slice_of(pieces, 3));
    add_frame(&first, (struct frame){.kind = FRAME_MIDDLE, .epoch = 1, .record_id = 7},
              slice_of(pieces + 3, 3));
    add_frame(&first, (struct frame){.kind = FRAME_LAST, .epoch = 1, .record_id = 7},
              slice_of(pieces + 6, 4));
    uint64_t end = first.start + first.end;
    add_frame(&second, (struct frame){.kind = FRAME_OPEN, .epoch = 2, .previous_end = end},
              slice_of(NULL, 0));
    add_frame(
        &second,
        (struct frame){.kind = FRAME_DATA, .epoch = 2, .records = 2, .shard = 1, .watermark = end},
        two);
    memset(all, 0, 11);
    store_le16(all + 9, (uint16_t)(first.end / FRAME_ALIGN_BYTES));
    memcpy(all + 11, first.bytes, first.end);
    memcpy(all + 11 + first.end, second.bytes, second.end);
    save("log", "two-openings", all, 11 + first.end + second.end);
    save("log", "one-opening", all, 11 + first.end);
    /* The stream goes on in the second segment behind a PAD. */
    add_frame(&first,
              (struct frame){.kind = FRAME_PAD,
                             .epoch = 1,
                             .payload_bytes = (uint32_t)(LOG_SEGMENT_BYTES_MIN - first.end -
                                                         FRAME_HEADER_BYTES)},
              slice_of(NULL, 0));
    second.end = 0;
    add_frame(&second, (struct frame){.kind = FRAME_DATA, .epoch = 1, .records = 2}, two);
    store_le16(all + 9, (uint16_t)(first.end / FRAME_ALIGN_BYTES));
    memcpy(all + 11, first.bytes, first.end);
    memcpy(all + 11 + first.end, second.bytes, second.end);
    save("log", "two-segments", all, 11 + first.end + second.end);
}

/* ---- changes ---- */

static void save_change(const char *name, const struct change_view *change)
{
    uint8_t bytes[256];
    bytes[0] = (uint8_t)change->kind;
    size_t at = 1 + change_encode_head(change, bytes + 1);
    memcpy(bytes + at, change->key.data, change->key.bytes);
    at += change->key.bytes;
    if (change->value.bytes > 0) {
        memcpy(bytes + at, change->value.data, change->value.bytes);
    }
    save("change", name, bytes, at + change->value.bytes);
}

static void save_changes(void)
{
    struct change_view put = {.kind = CHANGE_PUT,
                              .space = 300,
                              .expire_ms = 5,
                              .key = slice_cstr("key"),
                              .value = slice_cstr("value")};
    struct change_view remove = {.kind = CHANGE_REMOVE, .key = slice_cstr("key")};
    struct change_view expire = {.kind = CHANGE_EXPIRE, .key = slice_cstr("key")};
    struct change_view range = {.kind = CHANGE_RANGE,
                                .offset = 1000,
                                .key = slice_cstr("key"),
                                .value = slice_cstr("part")};
    save_change("put", &put);
    save_change("remove", &remove);
    save_change("expire", &expire);
    save_change("range", &range);
    struct buffer group;
    buffer_init(&group, 4096);
    uint8_t bytes[4096] = {CHANGE_GROUP};
    change_group_open(&group);
    MUST(change_group_reserve(&group, 3, 5) == 0);
    change_group_add(&group, &put);
    MUST(change_group_reserve(&group, 3, 0) == 0);
    change_group_add(&group, &remove);
    change_group_close(&group, 2);
    memcpy(bytes + 1, group.data, group.bytes);
    save("change", "group", bytes, group.bytes + 1);
    buffer_deinit(&group);
    const uint32_t spaces[] = {0, 7, 2};
    bytes[0] = CHANGE_SPACES;
    save("change", "spaces", bytes, 1 + change_encode_spaces(spaces, 3, 9, bytes + 1));
}

int main(int argc, char **argv)
{
    MUST(argc == 2);
    corpus = argv[1];
    save_partitions();
    save_changes();
    save_log();
    save_super();
    return 0;
}
