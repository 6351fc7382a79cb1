/*
 * The file DIR/SUPER is two blocks of 4096 bytes. The copy of generation g stands in block g % 2,
 * so a write goes to the block that does not hold the newest copy, and a torn one leaves that. A
 * block (little-endian):
 *
 *      0  u64  checksum      XXH3-64 of bytes 8..4095, seeded by SEED + the block's number
 *      8  8 B  magic         "eloqsupr": what this is
 *     16  u32  version       1
 *     20  u32  flags         bit 0: clean; the others are zero
 *     24  u64  store id
 *     32  u64  generation    > 0
 *     40  u64  log start     an LSN
 *     48  u64  log watermark an LSN
 *     56  i64  clock high    ms since 1970
 *     64  u32  partitions    a power of two <= 16384
 *     68  u32  log segment bytes, a power of two >= LOG_SEGMENT_BYTES_MIN
 *     72  u32  epoch
 *     76  u32  databases     1..256
 *     80  u32  next space    above every space in use
 *     84  u32  ended         the last epoch that ended in order, 0: none has
 *     88  u32  spaces[256]   of the databases; zero for those that are not in use
 *   1112       zero to 4095
 *
 * Checksum, magic and version keep their places in every later version.
 */
#include "store/super.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/kill_point.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/random.h"
#include "io/file.h"

enum {
    BLOCK_BYTES = 4096,
    BLOCKS = 2,
    FILE_BYTES = BLOCKS * BLOCK_BYTES,
    VERSION = 1,
    FLAG_CLEAN = 1,
    PARTITIONS_MAX = 16384,
    MODE = 0600,

    AT_MAGIC = 8,
    AT_VERSION = 16,
    AT_FLAGS = 20,
    AT_STORE_ID = 24,
    AT_GENERATION = 32,
    AT_LOG_START = 40,
    AT_LOG_WATERMARK = 48,
    AT_CLOCK_HIGH = 56,
    AT_PARTITIONS = 64,
    AT_LOG_SEGMENT_BYTES = 68,
    AT_EPOCH = 72,
    AT_DATABASES = 76,
    AT_SPACE_NEXT = 80,
    AT_ENDED = 84,
    AT_SPACES = 88,
    AT_END = AT_SPACES + 4 * SUPER_DATABASES_MAX,
};

#define SEED UINT64_C(0x7365726573757072)

static const char magic[8] = {'e', 'l', 'o', 'q', 's', 'u', 'p', 'r'};

static_assert(AT_END == 1112, "the block is what is written above");
static_assert(AT_VERSION - AT_MAGIC == sizeof(magic), "the magic fills its place");

/* ---- one block ---- */

static uint64_t block_checksum(const uint8_t *block, uint32_t number)
{
    return checksum64(block + AT_MAGIC, BLOCK_BYTES - AT_MAGIC, SEED + number);
}

/* The block that belongs to the generation. */
static uint32_t block_number(const struct super *super)
{
    return (uint32_t)(super->generation % BLOCKS);
}

/* What is wrong with the fields, or NULL. */
static const char *super_fault(const struct super *super)
{
    if (super->generation == 0) {
        return "it has no generation";
    }
    if (!is_power_of_two(super->partitions) || super->partitions > PARTITIONS_MAX) {
        return "its number of partitions is impossible";
    }
    if (!is_power_of_two(super->log_segment_bytes) ||
        super->log_segment_bytes < LOG_SEGMENT_BYTES_MIN) {
        return "its log segment size is impossible";
    }
    if (super->ended > super->epoch) {
        return "it ended before it was opened";
    }
    if (super->databases == 0 || super->databases > SUPER_DATABASES_MAX) {
        return "its number of databases is impossible";
    }
    for (uint32_t i = 0; i < super->databases; i++) {
        if (super->spaces[i] >= super->space_next) {
            return "a database has a space that was never given";
        }
    }
    return NULL;
}

static void block_encode(const struct super *super, uint8_t *block)
{
    ASSERT(super_fault(super) == NULL);
    memset(block, 0, BLOCK_BYTES);
    memcpy(block + AT_MAGIC, magic, sizeof(magic));
    store_le32(block + AT_VERSION, VERSION);
    store_le32(block + AT_FLAGS, super->clean ? FLAG_CLEAN : 0);
    store_le64(block + AT_STORE_ID, super->store_id);
    store_le64(block + AT_GENERATION, super->generation);
    store_le64(block + AT_LOG_START, super->log_start.value);
    store_le64(block + AT_LOG_WATERMARK, super->log_watermark.value);
    store_le64(block + AT_CLOCK_HIGH, (uint64_t)super->clock_high_ms);
    store_le32(block + AT_PARTITIONS, super->partitions);
    store_le32(block + AT_LOG_SEGMENT_BYTES, super->log_segment_bytes);
    store_le32(block + AT_EPOCH, super->epoch);
    store_le32(block + AT_DATABASES, super->databases);
    store_le32(block + AT_SPACE_NEXT, super->space_next);
    store_le32(block + AT_ENDED, super->ended);
    for (uint32_t i = 0; i < super->databases; i++) {
        store_le32(block + AT_SPACES + (size_t)4 * i, super->spaces[i]);
    }
    store_le64(block, block_checksum(block, block_number(super)));
}

static void fields_decode(const uint8_t *block, struct super *super)
{
    *super = (struct super){
        .store_id = load_le64(block + AT_STORE_ID),
        .generation = load_le64(block + AT_GENERATION),
        .partitions = load_le32(block + AT_PARTITIONS),
        .log_segment_bytes = load_le32(block + AT_LOG_SEGMENT_BYTES),
        .epoch = load_le32(block + AT_EPOCH),
        .databases = load_le32(block + AT_DATABASES),
        .space_next = load_le32(block + AT_SPACE_NEXT),
        .ended = load_le32(block + AT_ENDED),
        .log_start.value = load_le64(block + AT_LOG_START),
        .log_watermark.value = load_le64(block + AT_LOG_WATERMARK),
        .clock_high_ms = (int64_t)load_le64(block + AT_CLOCK_HIGH),
        .clean = load_le32(block + AT_FLAGS) == FLAG_CLEAN,
    };
    for (uint32_t i = 0; i < SUPER_DATABASES_MAX; i++) {
        super->spaces[i] = load_le32(block + AT_SPACES + (size_t)4 * i);
    }
}

/* Sets *ret_super to what the block holds. ERR_VERSION for a whole block of a newer format;
 * ERR_CHECKSUM for one that is not whole or makes no sense, and *ret_fault says why. */
static int block_decode(const uint8_t *block, uint32_t number, struct super *ret_super,
                        const char **ret_fault)
{
    if (load_le64(block) != block_checksum(block, number)) {
        *ret_fault = "its checksum is wrong";
        return ERR_CHECKSUM;
    }
    if (memcmp(block + AT_MAGIC, magic, sizeof(magic)) != 0) {
        *ret_fault = "it is not a superblock";
        return ERR_CHECKSUM;
    }
    if (load_le32(block + AT_VERSION) > VERSION) {
        return ERR_VERSION;
    }
    fields_decode(block, ret_super);
    *ret_fault = super_fault(ret_super);
    if (load_le32(block + AT_VERSION) != VERSION) {
        *ret_fault = "its version never was";
    } else if ((load_le32(block + AT_FLAGS) & ~(uint32_t)FLAG_CLEAN) != 0) {
        *ret_fault = "its flags are unknown";
    } else if (*ret_fault == NULL && block_number(ret_super) != number) {
        *ret_fault = "it belongs to the other place";
    }
    return *ret_fault == NULL ? 0 : ERR_CHECKSUM;
}

/* ---- the file ---- */

/* DIR/name on the heap, or NULL. */
static char *path_make(const char *dir, const char *name)
{
    size_t bytes = strlen(dir) + 1 + strlen(name) + 1;
    char *path = mem_alloc(bytes);
    if (path != NULL) {
        snprintf(path, bytes, "%s/%s", dir, name);
    }
    return path;
}

/* Reads the file into `blocks` (FILE_BYTES); what is missing at its end becomes zero. */
static int blocks_read(const char *path, uint8_t *blocks)
{
    int fd = TRY(file_open(path, O_RDONLY, 0));
    memset(blocks, 0, FILE_BYTES);
    int64_t got = file_read(fd, blocks, FILE_BYTES, 0);
    IGNORE(file_close(fd), "nothing was written");
    return got < 0 ? (int)got : 0;
}

/* What reading takes, on the heap: too much for a stack. */
struct super_reading {
    uint8_t blocks[FILE_BYTES];
    struct super copies[BLOCKS];
};

/* Sets *ret_super to the newest copy that is whole. */
static int copies_choose(const char *path, struct super_reading *reading, struct super *ret_super)
{
    const struct super *newest = NULL;
    for (uint32_t number = 0; number < BLOCKS; number++) {
        const char *fault = NULL;
        uint64_t offset = (uint64_t)number * BLOCK_BYTES;
        const uint8_t *block = reading->blocks + offset;
        struct super *copy = &reading->copies[number];
        int err = block_decode(block, number, copy, &fault);
        if (err == ERR_VERSION) {
            LOGGER_WARNING("%s at offset %" PRIu64 ": format %u, this program knows %u", path,
                           offset, load_le32(block + AT_VERSION), VERSION);
            return ERR_VERSION;
        }
        if (err < 0) {
            LOGGER_NOTICE("%s at offset %" PRIu64 ": a copy is not used: %s", path, offset, fault);
        } else if (newest == NULL || copy->generation > newest->generation) {
            newest = copy;
        }
    }
    if (newest == NULL) {
        return err_corrupt(path, 0, "no copy of the superblock is whole");
    }
    *ret_super = *newest;
    return 0;
}

int super_read(const char *dir, struct super *ret_super)
{
    char *path = path_make(dir, "SUPER");
    struct super_reading *reading = mem_alloc(sizeof(*reading));
    int err = path == NULL || reading == NULL ? ERR_MEMORY : blocks_read(path, reading->blocks);
    if (err == 0) {
        err = copies_choose(path, reading, ret_super);
    }
    mem_free(reading);
    mem_free(path);
    return err;
}

/* Writes `bytes` bytes at `offset` and makes them durable. */
static int bytes_write(const char *path, int flags, const uint8_t *data, size_t bytes,
                       uint64_t offset)
{
    int fd = TRY(file_open(path, O_WRONLY | flags, MODE));
    KILL_POINT("superblock-write");
    int err = file_write(fd, data, bytes, offset);
    KILL_POINT("superblock-written");
    if (err == 0) {
        err = file_sync_all(fd);
    }
    int closed = file_close(fd);
    return err < 0 ? err : closed;
}

/* Writes the copy of this generation to its place. */
static int copy_write(const char *dir, const struct super *super)
{
    char *path = path_make(dir, "SUPER");
    uint8_t *block = mem_alloc(BLOCK_BYTES);
    int err = path == NULL || block == NULL ? ERR_MEMORY : 0;
    if (err == 0) {
        uint64_t offset = (uint64_t)block_number(super) * BLOCK_BYTES;
        block_encode(super, block);
        err = bytes_write(path, 0, block, BLOCK_BYTES, offset);
    }
    mem_free(block);
    mem_free(path);
    return err;
}

/* If the last process ended because a sync of this copy had failed, the kernel may have kept it in
 * memory and marked it clean: it is read, and is not on the disk. So a sync alone would not do. */
int super_settle(const char *dir, const struct super *super)
{
    TRY(copy_write(dir, super));
    return file_sync_dir(dir);
}

int super_write(const char *dir, struct super *super)
{
    super->generation++;
    int err = copy_write(dir, super);
    if (err < 0) {
        super->generation--; /* the copy of that generation is still the one that counts */
    }
    return err;
}

/* ---- creation ---- */

static void super_init(struct super *super)
{
    super->generation = BLOCKS; /* both copies exist from the start */
    super->clean = true;
    super->space_next = super->databases;
    for (uint32_t i = 0; i < super->databases; i++) {
        super->spaces[i] = i;
    }
    while (super->store_id == 0) {
        random_from_os(&super->store_id, sizeof(super->store_id));
    }
}

static void blocks_encode(struct super *super, uint8_t *blocks)
{
    uint64_t newest = super->generation;
    for (uint64_t i = 0; i < BLOCKS; i++) {
        super->generation = newest - i;
        block_encode(super, blocks + (size_t)block_number(super) * BLOCK_BYTES);
    }
    super->generation = newest;
}

/* The file appears whole under its name or not at all. */
static int file_create(const char *dir, const char *path, const char *path_new,
                       const uint8_t *blocks)
{
    if (file_exists(path)) {
        return -EEXIST;
    }
    TRY(bytes_write(path_new, O_CREAT | O_TRUNC, blocks, FILE_BYTES, 0));
    TRY(file_rename(path_new, path));
    return file_sync_dir(dir);
}

int super_create(const char *dir, uint32_t partitions, uint32_t databases,
                 uint32_t log_segment_bytes, struct super *ret_super)
{
    ASSERT(is_power_of_two(partitions) && partitions <= PARTITIONS_MAX);
    ASSERT(databases > 0 && databases <= SUPER_DATABASES_MAX);
    struct super super = {
        .partitions = partitions,
        .databases = databases,
        .log_segment_bytes = log_segment_bytes,
    };
    super_init(&super);
    char *path = path_make(dir, "SUPER");
    char *path_new = path_make(dir, "SUPER.new");
    uint8_t *blocks = mem_alloc(FILE_BYTES);
    int err = path == NULL || path_new == NULL || blocks == NULL ? ERR_MEMORY : 0;
    if (err == 0) {
        blocks_encode(&super, blocks);
        err = file_create(dir, path, path_new, blocks);
    }
    if (err == 0) {
        *ret_super = super;
    }
    mem_free(blocks);
    mem_free(path_new);
    mem_free(path);
    return err;
}
