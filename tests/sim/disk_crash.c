/*
 * What is left of pending changes by a power cut, or by a sync that failed.
 *
 * Of a file: what happened to each sector is one of the states it was in. Each write is kept,
 * dropped or torn by itself; but a write that covers a sector in part brings along what was there
 * before it, for the sector goes to the disk as a whole. A truncation is a line that is crossed or
 * not. A file may have grown by a write whose content is lost: zeros, or what had lain there.
 *
 * Of a directory: see disk.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/random.h"
#include "disk_impl.h"

/* How a crash treats one file or directory: drawn once, so that the extremes are frequent. */
enum mood {
    MOOD_KEEPS,
    MOOD_DROPS,
    MOOD_PREFIX, /* up to some change, which is torn */
    MOOD_MIXES,
    MOOD_COUNT,
};

enum {
    GROWN_RATE = 250000,   /* a dropped write has made the file longer */
    GARBAGE_RATE = 100000, /* and it isn't zeros */
};

struct gamble {
    enum mood mood;
    uint32_t prefix; /* MOOD_PREFIX: changes kept */
    uint32_t number; /* of the next change */
};

static struct gamble gamble_begin(uint32_t count)
{
    struct gamble gamble = {.mood = (enum mood)world_below(STREAM_DISK, MOOD_COUNT)};
    if (gamble.mood == MOOD_PREFIX) {
        gamble.prefix = (uint32_t)world_below(STREAM_DISK, (uint64_t)count + 1);
    }
    return gamble;
}

enum fate { FATE_KEPT, FATE_DROPPED, FATE_TORN };

static enum fate gamble_next(struct gamble *gamble)
{
    uint32_t number = gamble->number++;
    switch (gamble->mood) {
    case MOOD_KEEPS:
        return FATE_KEPT;
    case MOOD_PREFIX:
        return number < gamble->prefix    ? FATE_KEPT
               : number == gamble->prefix ? FATE_TORN
                                          : FATE_DROPPED;
    case MOOD_MIXES:
        return (enum fate)world_below(STREAM_DISK, 3);
    case MOOD_DROPS:
    case MOOD_COUNT:
        break;
    }
    return FATE_DROPPED;
}

/* ---- content ---- */

static void keep(struct pending *pending, uint8_t sectors)
{
    for (uint32_t i = 0; i < pending->pieces_count; i++) {
        pending->pieces[i].kept = sectors;
    }
}

/* The first sectors, the last ones, or any. */
static void tear(struct pending *pending)
{
    uint64_t way = world_below(STREAM_DISK, 3);
    uint64_t sectors = (uint64_t)pending->pieces_count * CHUNK_SECTORS;
    uint64_t cut = world_below(STREAM_DISK, sectors + 1);
    for (uint64_t i = 0; i < sectors; i++) {
        bool kept = way == 0 ? i < cut : way == 1 ? i >= cut : coin();
        pending->pieces[i / CHUNK_SECTORS].kept |= (uint8_t)(kept << i % CHUNK_SECTORS);
    }
}

static void decide(struct disk *disk, struct gamble *gamble, struct pending *pending)
{
    keep(pending, 0);
    switch (gamble_next(gamble)) {
    case FATE_KEPT:
        pending->taken = true;
        keep(pending, SECTORS_ALL);
        return;
    case FATE_TORN:
        disk->stats.torn++;
        pending->taken = coin();
        tear(pending);
        return;
    case FATE_DROPPED:
        disk->stats.dropped++;
        pending->taken = false;
        return;
    }
}

struct placed {
    struct piece *piece;
    uint32_t order;
};

static int placed_compare(const void *a_ptr, const void *b_ptr)
{
    const struct placed *a = a_ptr;
    const struct placed *b = b_ptr;
    if (a->piece->index != b->piece->index) {
        return a->piece->index < b->piece->index ? -1 : 1;
    }
    return a->order < b->order ? -1 : a->order > b->order;
}

/* Those of the sectors that the piece covers in part. */
static uint8_t sectors_in_part(const struct piece *piece)
{
    uint32_t sectors = 0;
    if (piece->from % SECTOR_BYTES != 0) {
        sectors |= UINT32_C(1) << piece->from / SECTOR_BYTES;
    }
    if (piece->to % SECTOR_BYTES != 0) {
        sectors |= UINT32_C(1) << piece->to / SECTOR_BYTES;
    }
    return (uint8_t)sectors;
}

static uint8_t sectors_touched(const struct piece *piece)
{
    uint32_t last = ((uint32_t)piece->to - 1) / SECTOR_BYTES;
    return (uint8_t)((UINT32_C(2) << last) - (UINT32_C(1) << piece->from / SECTOR_BYTES));
}

/* Of the same chunk, in order: a sector that is kept in part takes along what was there before. */
static void take_along(struct placed *placed, uint64_t count)
{
    uint8_t needed = 0;
    for (uint64_t i = count; i-- > 0;) {
        struct piece *piece = placed[i].piece;
        uint8_t touched = sectors_touched(piece);
        uint8_t part = sectors_in_part(piece);
        piece->kept = (uint8_t)((piece->kept | needed) & touched);
        needed = (uint8_t)((needed & ~touched) | (needed & part) | (piece->kept & part));
    }
}

/* Puts what is kept of the writes into the durable image. */
static void put_kept(struct disk *disk, struct inode *inode, struct placed *placed, uint64_t count)
{
    if (count > 1) {
        qsort(placed, count, sizeof(placed[0]), placed_compare);
    }
    for (uint64_t from = 0; from < count;) {
        uint64_t to = from + 1;
        while (to < count && placed[to].piece->index == placed[from].piece->index) {
            to++;
        }
        take_along(placed + from, to - from);
        for (; from < to; from++) {
            struct piece *piece = placed[from].piece;
            bool whole = piece->kept == sectors_touched(piece);
            image_put(disk, &inode->durable, piece, whole ? SECTORS_ALL : piece->kept);
        }
    }
}

static void put_garbage(struct disk *disk, struct image *image, uint64_t index)
{
    struct random random;
    random_seed(&random, world_u64(STREAM_DISK));
    uint8_t *data = image_own(disk, image, index)->data;
    for (uint32_t i = 0; i < CHUNK_BYTES; i += sizeof(uint64_t)) {
        uint64_t drawn = random_u64(&random);
        memcpy(data + i, &drawn, sizeof(drawn));
    }
}

/* The file has grown though the write is lost. Garbage comes in whole chunks that are new. */
static void grow(struct disk *disk, struct inode *inode, const struct pending *pending)
{
    struct image *durable = &inode->durable;
    if (pending->bytes <= durable->bytes || !world_chance(STREAM_DISK, GROWN_RATE)) {
        return;
    }
    uint64_t first = chunks_of(durable->bytes);
    image_grow(durable, pending->bytes);
    if (world_chance(STREAM_DISK, GARBAGE_RATE)) {
        for (uint64_t i = first; i < pending->bytes / CHUNK_BYTES; i++) {
            if (chunk_at(durable, i) == NULL) {
                put_garbage(disk, durable, i);
            }
        }
    }
}

/* The changes from `node` up to the next that is no write, which is returned. */
static struct list_node *gamble_writes(struct disk *disk, struct inode *inode,
                                       struct gamble *gamble, struct list_node *first)
{
    struct list_node *node;
    uint64_t count = 0;
    for (node = first; node != &inode->pending.root; node = node->next) {
        struct pending *pending = container_of(node, struct pending, node);
        if (pending->kind != PENDING_WRITE) {
            break;
        }
        decide(disk, gamble, pending);
        count += pending->pieces_count;
    }
    struct placed *placed = sim_alloc(count * sizeof(placed[0]) + 1);
    uint32_t filled = 0;
    for (struct list_node *at = first; at != node; at = at->next) {
        struct pending *pending = container_of(at, struct pending, node);
        for (uint32_t i = 0; i < pending->pieces_count; i++) {
            placed[filled] = (struct placed){.piece = &pending->pieces[i], .order = filled};
            filled++;
        }
    }
    put_kept(disk, inode, placed, filled);
    sim_free(placed);
    for (struct list_node *at = first; at != node; at = at->next) {
        const struct pending *pending = container_of(at, struct pending, node);
        if (pending->taken) {
            image_grow(&inode->durable, pending->bytes);
        } else {
            grow(disk, inode, pending);
        }
    }
    return node;
}

/* All pending changes of the file are decided; they stay in the list. */
static void gamble_file(struct disk *disk, struct inode *inode)
{
    struct gamble gamble = gamble_begin(inode->pending_count);
    struct list_node *node = inode->pending.root.next;
    while (node != &inode->pending.root) {
        node = gamble_writes(disk, inode, &gamble, node);
        if (node == &inode->pending.root) {
            break;
        }
        const struct pending *pending = container_of(node, struct pending, node);
        if (gamble_next(&gamble) == FATE_KEPT) {
            content_apply(disk, &inode->durable, pending);
        }
        node = node->next;
    }
}

/* What the pending change had touched is now as in the durable image. */
static void revert(struct disk *disk, struct inode *inode, const struct pending *pending,
                   bool in_part)
{
    if (pending->kind != PENDING_WRITE) {
        image_share_all(disk, &inode->current, &inode->durable);
        return;
    }
    for (uint32_t i = 0; i < pending->pieces_count; i++) {
        if (!in_part || coin()) {
            image_share(disk, &inode->current, &inode->durable, pending->pieces[i].index);
        }
    }
}

static void pending_clear(struct disk *disk, struct inode *inode)
{
    struct list_node *node;
    while ((node = list_first(&inode->pending)) != NULL) {
        pending_free(disk, inode, container_of(node, struct pending, node));
    }
}

static void cut_file(struct disk *disk, struct inode *inode)
{
    if (list_empty(&inode->pending) && !inode->diverged) {
        return;
    }
    gamble_file(disk, inode);
    if (inode->diverged) {
        image_share_all(disk, &inode->current, &inode->durable);
        inode->diverged = false;
    }
    LIST_FOREACH (&inode->pending, node) {
        revert(disk, inode, container_of(node, struct pending, node), false);
    }
    pending_clear(disk, inode);
    inode->current.bytes = inode->durable.bytes;
}

/* ---- names ---- */

static void gamble_dir(struct disk *disk, struct inode *dir)
{
    struct gamble gamble = gamble_begin(dir->pending_count);
    bool ordered = !disk->plan.entries_unordered;
    if (ordered && gamble.mood == MOOD_MIXES) {
        gamble.mood = MOOD_PREFIX;
        gamble.prefix = (uint32_t)world_below(STREAM_DISK, (uint64_t)dir->pending_count + 1);
    }
    LIST_FOREACH (&dir->pending, node) {
        if (gamble_next(&gamble) == FATE_KEPT) {
            dir_apply(disk, &dir->names_durable, container_of(node, struct pending, node));
        } else {
            disk->stats.dropped++;
        }
    }
}

static void cut_dir(struct disk *disk, struct inode *dir)
{
    if (list_empty(&dir->pending) && !dir->diverged) {
        return;
    }
    gamble_dir(disk, dir);
    pending_clear(disk, dir);
    dir_revert(disk, dir);
    dir->diverged = false;
}

/* ---- the power cut ---- */

static void forget_descriptors(struct disk *disk)
{
    for (int i = 0; i < DISK_FDS_MAX; i++) {
        if (disk->fds[i].inode != NULL) {
            fd_close(disk, FD_FIRST + i);
        }
    }
}

void disk_power_cut(struct disk *disk)
{
    disk->stats.cuts++;
    world_trace("power cut", disk->stats.cuts, disk->used);
    flights_cut(disk);
    forget_descriptors(disk);
    LIST_FOREACH (&disk->inodes, node) {
        container_of(node, struct inode, node)->refs++;
    }
    LIST_FOREACH (&disk->inodes, node) {
        struct inode *inode = container_of(node, struct inode, node);
        inode->lock_fd = 0;
        if (inode->is_dir) {
            cut_dir(disk, inode);
        } else {
            cut_file(disk, inode);
            inode_count_space(disk, inode);
        }
    }
    /* From the back: a directory's files are younger than it. */
    for (struct list_node *node = disk->inodes.root.prev; node != &disk->inodes.root;) {
        struct inode *inode = container_of(node, struct inode, node);
        node = node->prev;
        inode_drop(disk, inode);
    }
    world_trace("power is back", disk->stats.torn, disk->stats.dropped);
}

/* ---- the sync that failed ---- */

/* Those that the sync didn't cover are put aside: they are neither lost nor saved by it. */
static void put_aside(struct inode *inode, uint64_t submitted, struct list *aside)
{
    LIST_FOREACH_SAFE (&inode->pending, node) {
        const struct pending *pending = container_of(node, struct pending, node);
        if (pending->ended == 0 || pending->ended >= submitted) {
            list_remove(node);
            list_push_back(aside, node);
        }
    }
}

static void file_sync_fails(struct disk *disk, struct inode *inode)
{
    enum { STAYS, REVERTS, IS_MIXED, STATES };
    gamble_file(disk, inode);
    uint64_t state = world_below(STREAM_FAULT, STATES);
    if (state != STAYS) {
        disk->stats.reverted++;
        LIST_FOREACH (&inode->pending, node) {
            struct pending *pending = container_of(node, struct pending, node);
            if (pending->kind == PENDING_WRITE) {
                revert(disk, inode, pending, state == IS_MIXED);
            }
        }
    }
    world_trace("sync fails; content stays, reverts, is mixed", inode->number, state);
}

void inode_sync_fails(struct disk *disk, struct inode *inode, uint64_t submitted)
{
    if (inode->is_dir) {
        /* Names are metadata: a file system keeps them dirty until a later sync gets them there, or
         * shuts down. */
        return;
    }
    struct list aside;
    list_init(&aside);
    uint32_t count = inode->pending_count;
    put_aside(inode, submitted, &aside);
    file_sync_fails(disk, inode);
    pending_clear(disk, inode);
    list_splice_back(&inode->pending, &aside);
    inode->pending_count = 0;
    LIST_FOREACH (&inode->pending, node) {
        inode->pending_count++;
        content_apply(disk, &inode->current, container_of(node, struct pending, node));
    }
    inode->diverged |= inode->pending_count < count;
    inode_count_space(disk, inode);
}
