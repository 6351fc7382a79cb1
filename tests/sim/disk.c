#include "disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "disk_impl.h"

static struct disk *mounted;

/* ---- life ---- */

struct disk *disk_create(void)
{
    struct disk *disk = sim_alloc(sizeof(*disk));
    list_init(&disk->inodes);
    list_init(&disk->flights);
    disk->zero = chunk_new(disk);
    disk->root = inode_new(disk, true);
    disk->root->links = 1;
    return disk;
}

static void flights_forget(struct disk *disk)
{
    disk_set_plan(disk, &(struct disk_plan){0});
    flights_cut(disk);
    for (int i = 0; i < DISK_FDS_MAX; i++) {
        if (disk->fds[i].inode != NULL) {
            fd_close(disk, FD_FIRST + i);
        }
    }
}

void disk_destroy(struct disk *disk)
{
    if (mounted == disk) {
        mounted = NULL;
    }
    flights_forget(disk);
    inode_drop(disk, disk->root);
    chunk_drop(disk, disk->zero);
    SIM_CHECK(list_empty(&disk->inodes) && disk->chunks_count == 0 && disk->used == 0,
              "simulator: the disk has lost count of its files or chunks");
    while (disk->chunks_free != NULL) {
        struct chunk *chunk = disk->chunks_free;
        disk->chunks_free = chunk->next_free;
        sim_free(chunk);
    }
    sim_free(disk);
}

void disk_set_plan(struct disk *disk, const struct disk_plan *plan)
{
    disk->plan = *plan;
}

void disk_set_space(struct disk *disk, uint64_t space_bytes)
{
    disk->plan.space_bytes = space_bytes;
}

void disk_mount(struct disk *disk)
{
    mounted = disk;
}

struct disk *disk_mounted(void)
{
    SIM_CHECK(mounted != NULL, "simulator: no disk is mounted");
    return mounted;
}

void disk_process_killed(struct disk *disk)
{
    world_trace("disk: the process is gone", disk->fds_count, disk->dead_count);
    for (int i = 0; i < DISK_FDS_MAX; i++) {
        struct inode *inode = disk->fds[i].inode;
        if (inode == NULL) {
            continue;
        }
        bool held = inode->lock_fd == FD_FIRST + i;
        inode->refs++;
        fd_close(disk, FD_FIRST + i);
        inode->lock_fd = held ? -1 : inode->lock_fd;
        inode_drop(disk, inode);
    }
    flights_killed(disk);
}

void disk_flush(struct disk *disk)
{
    LIST_FOREACH (&disk->inodes, node) {
        container_of(node, struct inode, node)->refs++;
    }
    LIST_FOREACH (&disk->inodes, node) {
        struct inode *inode = container_of(node, struct inode, node);
        if (inode->is_dir) {
            dir_sync(disk, inode, UINT64_MAX);
        } else {
            content_sync(disk, inode, UINT64_MAX);
        }
    }
    for (struct list_node *node = disk->inodes.root.prev; node != &disk->inodes.root;) {
        struct inode *inode = container_of(node, struct inode, node);
        node = node->prev;
        inode_drop(disk, inode);
    }
}

/* ---- figures ---- */

uint32_t disk_open_count(const struct disk *disk)
{
    return disk->fds_count;
}

uint32_t disk_flights_count(const struct disk *disk)
{
    uint32_t count = 0;
    LIST_FOREACH (&disk->flights, node) {
        count++;
    }
    return count;
}

uint64_t disk_used_bytes(const struct disk *disk)
{
    return disk->used * CHUNK_BYTES;
}

uint64_t disk_damage_count(const struct disk *disk)
{
    return disk->stats.misdirected + disk->stats.rotten;
}

void disk_stats(const struct disk *disk, struct disk_stats *ret_stats)
{
    *ret_stats = disk->stats;
}

/* ---- damage by hand ---- */

/* `path` is that of the directory, with room for all below it. */
static int each_below(struct disk *disk, struct inode *dir, char *path, disk_each_fn *each,
                      void *context)
{
    size_t bytes = strlen(path);
    char name[NAME_BYTES_MAX + 1];
    const char *after = NULL;
    int stop = 0;
    const struct entry *entry;
    dir->refs++;
    while (stop == 0 && (entry = names_after(&dir->names, after)) != NULL) {
        struct inode *inode = entry->inode;
        (void)snprintf(name, sizeof(name), "%s", entry->name);
        after = name;
        (void)snprintf(path + bytes, PATH_BYTES_MAX + 1 - bytes, "/%s", name);
        stop = inode->is_dir ? each_below(disk, inode, path, each, context)
                             : each(context, path, inode->current.bytes);
        path[bytes] = '\0';
    }
    inode_drop(disk, dir);
    return stop;
}

int disk_each(struct disk *disk, disk_each_fn *each, void *context)
{
    char path[PATH_BYTES_MAX + 1] = "";
    return each_below(disk, disk->root, path, each, context);
}

static int find_range(struct disk *disk, const char *path, uint64_t end, struct inode **ret_inode)
{
    int err = path_find(disk, path, ret_inode);
    if (err < 0) {
        return err;
    }
    if ((*ret_inode)->is_dir) {
        return -EISDIR;
    }
    return end > (*ret_inode)->current.bytes ? -EINVAL : 0;
}

int disk_peek(struct disk *disk, const char *path, void *data, uint64_t bytes, uint64_t offset)
{
    struct inode *inode;
    int err = find_range(disk, path, offset + bytes, &inode);
    if (err == 0) {
        (void)image_read(&inode->current, data, bytes, offset);
    }
    return err;
}

int disk_poke(struct disk *disk, const char *path, const void *data, uint64_t bytes,
              uint64_t offset)
{
    struct inode *inode;
    int err = find_range(disk, path, offset + bytes, &inode);
    if (err < 0) {
        return err;
    }
    uint32_t count;
    struct piece *pieces = pieces_make(disk, data, bytes, offset, &count);
    for (uint32_t i = 0; i < count; i++) {
        bool same = chunk_at(&inode->current, pieces[i].index) ==
                    chunk_at(&inode->durable, pieces[i].index);
        image_put(disk, &inode->current, &pieces[i], SECTORS_ALL);
        if (same) {
            image_share(disk, &inode->durable, &inode->current, pieces[i].index);
        } else {
            image_put(disk, &inode->durable, &pieces[i], SECTORS_ALL);
        }
    }
    pieces_free(disk, pieces, count);
    inode_count_space(disk, inode);
    return 0;
}
