/* Inodes, and what happens to the content of files: writes, allocation, truncation, sync. */
#include <errno.h>

#include "base/bytes.h"
#include "disk_impl.h"

/* ---- inodes ---- */

struct inode *inode_new(struct disk *disk, bool is_dir)
{
    struct inode *inode = sim_alloc(sizeof(*inode));
    inode->number = ++disk->numbers;
    inode->is_dir = is_dir;
    inode->refs = 1;
    list_init(&inode->pending);
    list_push_back(&disk->inodes, &inode->node);
    return inode;
}

void inode_drop(struct disk *disk, struct inode *inode)
{
    if (--inode->refs > 0) {
        return;
    }
    list_remove(&inode->node);
    disk->used -= inode->counted;
    struct list_node *node;
    while ((node = list_first(&inode->pending)) != NULL) {
        pending_free(disk, inode, container_of(node, struct pending, node));
    }
    names_clear(disk, &inode->names);
    names_clear(disk, &inode->names_durable);
    image_clear(disk, &inode->current);
    image_clear(disk, &inode->durable);
    sim_free(inode);
}

void inode_count_space(struct disk *disk, struct inode *inode)
{
    bool alive = inode->links > 0 || inode->opens > 0;
    disk->used -= inode->counted;
    inode->counted = alive ? inode->current.allocated : 0;
    disk->used += inode->counted;
}

bool disk_has_room(const struct disk *disk, uint64_t chunks)
{
    uint64_t limit = disk->plan.space_bytes / CHUNK_BYTES;
    return chunks == 0 || limit == 0 || disk->used + chunks <= limit;
}

/* ---- pending changes ---- */

struct pending *pending_new(struct inode *inode, enum pending_kind kind, struct call *call)
{
    struct pending *pending = sim_alloc(sizeof(*pending));
    pending->kind = kind;
    pending->call = call;
    call->pending = pending;
    list_push_back(&inode->pending, &pending->node);
    inode->pending_count++;
    return pending;
}

void pending_free(struct disk *disk, struct inode *inode, struct pending *pending)
{
    list_remove(&pending->node);
    inode->pending_count--;
    if (pending->call != NULL) {
        pending->call->pending = NULL;
    }
    if (pending->inode != NULL) {
        inode_drop(disk, pending->inode);
    }
    pieces_free(disk, pending->pieces, pending->pieces_count);
    sim_free(pending->name);
    sim_free(pending);
}

void content_apply(struct disk *disk, struct image *image, const struct pending *pending)
{
    if (pending->kind == PENDING_TRUNCATE) {
        image_truncate(disk, image, pending->bytes);
    } else if (pending->kind == PENDING_ALLOCATE) {
        image_allocate(disk, image, pending->offset, pending->bytes - pending->offset);
    }
    for (uint32_t i = 0; i < pending->pieces_count; i++) {
        image_put(disk, image, &pending->pieces[i], SECTORS_ALL);
    }
}

/* The oldest first, so no order is broken. */
void pending_write_back(struct disk *disk, struct inode *inode)
{
    while (inode->pending_count > PENDING_MAX) {
        struct list_node *node = list_first(&inode->pending);
        struct pending *pending = container_of(node, struct pending, node);
        if (inode->is_dir) {
            dir_apply(disk, &inode->names_durable, pending);
        } else {
            content_apply(disk, &inode->durable, pending);
        }
        pending_free(disk, inode, pending);
    }
}

/* ---- effects ---- */

void content_write(struct disk *disk, struct inode *inode, struct call *call)
{
    if (call->pieces_count == 0) {
        return;
    }
    struct pending *pending = pending_new(inode, PENDING_WRITE, call);
    pending->pieces = call->pieces;
    pending->pieces_count = call->pieces_count;
    call->pieces = NULL;
    call->pieces_count = 0;
    const struct piece *last = &pending->pieces[pending->pieces_count - 1];
    pending->bytes = last->index * CHUNK_BYTES + last->to;
    content_apply(disk, &inode->current, pending);
    inode_count_space(disk, inode);
    pending_write_back(disk, inode);
}

void content_truncate(struct disk *disk, struct inode *inode, uint64_t bytes, struct call *call)
{
    struct pending *pending = pending_new(inode, PENDING_TRUNCATE, call);
    pending->bytes = bytes;
    content_apply(disk, &inode->current, pending);
    inode_count_space(disk, inode);
}

int content_allocate(struct disk *disk, struct inode *inode, struct call *call)
{
    uint64_t holes = 0;
    for (uint64_t i = call->offset / CHUNK_BYTES; i < chunks_of(call->offset + call->bytes); i++) {
        holes += chunk_at(&inode->current, i) == NULL;
    }
    if (!disk_has_room(disk, holes)) {
        return -ENOSPC;
    }
    struct pending *pending = pending_new(inode, PENDING_ALLOCATE, call);
    pending->offset = call->offset;
    pending->bytes = call->offset + call->bytes;
    content_apply(disk, &inode->current, pending);
    inode_count_space(disk, inode);
    return 0;
}

/* ---- sync ---- */

static uint64_t first_chunk(const struct pending *pending)
{
    return pending->kind == PENDING_ALLOCATE ? pending->offset / CHUNK_BYTES
                                             : pending->pieces[0].index;
}

static bool overlap(const struct pending *a, const struct pending *b)
{
    if (a->kind == PENDING_TRUNCATE || b->kind == PENDING_TRUNCATE) {
        return true;
    }
    return first_chunk(a) < chunks_of(b->bytes) && first_chunk(b) < chunks_of(a->bytes);
}

static bool overlaps_later_taken(const struct inode *inode, const struct pending *pending)
{
    struct list_node *node = list_next(&inode->pending, &pending->node);
    for (; node != NULL; node = list_next(&inode->pending, node)) {
        const struct pending *later = container_of(node, struct pending, node);
        if (later->taken && overlap(pending, later)) {
            return true;
        }
    }
    return false;
}

/* Backwards: what is taken takes along what is below it, or that would come to lie above it. */
static bool take(struct inode *inode, uint64_t submitted)
{
    bool all = true;
    for (struct list_node *node = inode->pending.root.prev; node != &inode->pending.root;
         node = node->prev) {
        struct pending *pending = container_of(node, struct pending, node);
        bool covered = pending->ended != 0 && pending->ended < submitted;
        pending->taken = covered || overlaps_later_taken(inode, pending) || coin();
        all &= pending->taken;
    }
    return all;
}

/* Nothing is left pending: what was touched is as in `current`. */
static void share(struct disk *disk, struct inode *inode, const struct pending *pending)
{
    if (pending->kind == PENDING_TRUNCATE) {
        image_share_all(disk, &inode->durable, &inode->current);
    } else if (pending->kind == PENDING_ALLOCATE) {
        for (uint64_t i = first_chunk(pending); i < chunks_of(pending->bytes); i++) {
            image_share(disk, &inode->durable, &inode->current, i);
        }
    }
    for (uint32_t i = 0; i < pending->pieces_count; i++) {
        image_share(disk, &inode->durable, &inode->current, pending->pieces[i].index);
    }
}

void content_sync(struct disk *disk, struct inode *inode, uint64_t submitted)
{
    bool shared = take(inode, submitted) && !inode->diverged;
    struct list_node *node;
    struct list_node *next;
    for (node = list_first(&inode->pending); node != NULL; node = next) {
        next = list_next(&inode->pending, node);
        struct pending *pending = container_of(node, struct pending, node);
        if (!pending->taken) {
            continue;
        }
        if (shared) {
            share(disk, inode, pending);
        } else {
            content_apply(disk, &inode->durable, pending);
        }
        pending_free(disk, inode, pending);
    }
    if (shared) {
        inode->durable.bytes = inode->current.bytes;
    }
}
