#include "damage.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "world.h"

enum {
    PAGE_BYTES = 4096,
    PAGES_MAX = 32,
    PATH_BYTES = 256,
    BIT_TRIES = 1000, /* to find one outside of the zeros that fill up blocks */
};

/* The choice of one file: each with a chance by its size. */
struct choice {
    const char *ending;
    uint64_t bytes; /* of all that fit, so far */
    uint64_t chosen_bytes;
    char path[PATH_BYTES];
};

static int consider(void *context, const char *path, uint64_t bytes)
{
    struct choice *choice = context;
    size_t path_bytes = strlen(path);
    size_t ending_bytes = strlen(choice->ending);
    bool fits = path_bytes >= ending_bytes && path_bytes < PATH_BYTES &&
                strcmp(path + path_bytes - ending_bytes, choice->ending) == 0;
    if (!fits || bytes < PAGE_BYTES) {
        return 0;
    }
    choice->bytes += bytes;
    if (world_below(STREAM_FAULT, choice->bytes) < bytes) {
        choice->chosen_bytes = bytes;
        (void)snprintf(choice->path, sizeof(choice->path), "%s", path);
    }
    return 0;
}

static bool choose(struct disk *disk, const char *ending, struct choice *ret_choice)
{
    *ret_choice = (struct choice){.ending = ending};
    (void)disk_each(disk, consider, ret_choice);
    return ret_choice->bytes > 0;
}

static uint64_t draw_page(const struct choice *choice)
{
    return world_below(STREAM_FAULT, choice->chosen_bytes / PAGE_BYTES) * PAGE_BYTES;
}

static void flip_bit(struct disk *disk, const char *path, uint64_t offset)
{
    uint8_t byte;
    int err = disk_peek(disk, path, &byte, 1, offset);
    byte ^= (uint8_t)(1U << world_below(STREAM_FAULT, 8));
    err = err < 0 ? err : disk_poke(disk, path, &byte, 1, offset);
    SIM_CHECK(err == 0, "simulator: %s can't be damaged", path);
    world_trace("a bit flips at", offset, 0);
}

/* A page over another one, maybe of another partition, or a bit of one. */
static void damage_page(struct disk *disk)
{
    struct choice from;
    struct choice to;
    if (!choose(disk, ".dat", &from) || !choose(disk, ".dat", &to)) {
        return;
    }
    uint64_t offset = draw_page(&to);
    if (world_below(STREAM_FAULT, 4) == 0) {
        flip_bit(disk, to.path, offset + world_below(STREAM_FAULT, PAGE_BYTES));
        return;
    }
    uint8_t page[PAGE_BYTES];
    int err = disk_peek(disk, from.path, page, sizeof(page), draw_page(&from));
    err = err < 0 ? err : disk_poke(disk, to.path, page, sizeof(page), offset);
    SIM_CHECK(err == 0, "simulator: %s can't be damaged", to.path);
    world_trace("a page lies at", offset, 0);
}

/* The end of what a segment holds; the rest is zeros. */
static uint64_t used_bytes(struct disk *disk, const char *path, uint64_t bytes)
{
    uint8_t page[PAGE_BYTES];
    for (uint64_t end = bytes; end >= PAGE_BYTES; end -= PAGE_BYTES) {
        if (disk_peek(disk, path, page, PAGE_BYTES, end - PAGE_BYTES) != 0) {
            return 0;
        }
        for (uint32_t i = PAGE_BYTES; i-- > 0;) {
            if (page[i] != 0) {
                return end - PAGE_BYTES + i + 1;
            }
        }
    }
    return 0;
}

struct newest {
    struct disk *disk;
    uint64_t lsn;   /* of the frame it begins with */
    uint64_t bytes; /* used; 0: there is none */
    char path[PATH_BYTES];
};

/* The names don't tell: segments behind the newest are prepared, out of zeros or of old ones. */
static int consider_segment(void *context, const char *path, uint64_t bytes)
{
    struct newest *newest = context;
    size_t path_bytes = strlen(path);
    uint8_t frame[16] = {0}; /* log/frame.c: magic, bytes, lsn */
    bool fits = path_bytes > 4 && path_bytes < PATH_BYTES &&
                strcmp(path + path_bytes - 4, ".log") == 0 &&
                disk_peek(newest->disk, path, frame, sizeof(frame), 0) == 0;
    uint64_t lsn = load_le64(frame + 8);
    if (fits && load_le32(frame) != 0 && (newest->bytes == 0 || lsn > newest->lsn)) {
        newest->lsn = lsn;
        newest->bytes = used_bytes(newest->disk, path, bytes);
        (void)snprintf(newest->path, sizeof(newest->path), "%s", path);
    }
    return 0;
}

/* A bit of the last segment, which the last process has written. */
static void damage_log(struct disk *disk)
{
    struct newest newest = {.disk = disk};
    (void)disk_each(disk, consider_segment, &newest);
    uint64_t offset = 0;
    uint8_t byte = 0;
    for (uint32_t i = 0; newest.bytes > 0 && byte == 0 && i < BIT_TRIES; i++) {
        offset = world_below(STREAM_FAULT, newest.bytes);
        int err = disk_peek(disk, newest.path, &byte, 1, offset);
        SIM_CHECK(err == 0, "simulator: %s can't be read", newest.path);
    }
    if (byte != 0) {
        flip_bit(disk, newest.path, offset);
    }
}

void damage_do(struct disk *disk, enum damage damage)
{
    if (damage == DAMAGE_LOG) {
        damage_log(disk);
        return;
    }
    uint64_t pages = world_between(STREAM_FAULT, 1, PAGES_MAX);
    for (uint64_t i = 0; i < pages; i++) {
        damage_page(disk);
    }
}
