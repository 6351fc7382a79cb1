#include "disk_damage.h"

#include <errno.h>

#include "disk_impl.h"

static void clone_below(struct disk *to, struct inode *dir, const struct inode *from)
{
    for (uint32_t i = 0; i < from->names.count; i++) {
        const struct inode *old = from->names.entries[i].inode;
        struct inode *inode = inode_new(to, old->is_dir);
        struct call call = {.kind = IO_OPEN};
        dir_link(to, dir, from->names.entries[i].name, inode, &call);
        call_end(to, &call);
        if (old->is_dir) {
            clone_below(to, inode, old);
        } else {
            image_share_all(to, &inode->current, &old->current);
            image_share_all(to, &inode->durable, &old->current);
            inode_count_space(to, inode);
        }
        inode_drop(to, inode);
    }
}

struct disk *disk_clone(struct disk *disk)
{
    SIM_CHECK(disk_flights_count(disk) == 0, "simulator: a disk is cloned while it moves");
    struct disk *clone = disk_create();
    clone->plan = disk->plan;
    clone_below(clone, clone->root, disk->root);
    disk_flush(clone);
    return clone;
}

int disk_cut(struct disk *disk, const char *path, uint64_t bytes)
{
    struct inode *inode;
    int err = path_find(disk, path, &inode);
    if (err < 0 || inode->is_dir) {
        return err < 0 ? err : -EISDIR;
    }
    struct call call = {.kind = IO_ALLOCATE};
    content_truncate(disk, inode, bytes, &call);
    call_end(disk, &call);
    disk_flush(disk);
    return 0;
}

int disk_remove(struct disk *disk, const char *path)
{
    struct call call = {.kind = IO_UNLINK, .path = path};
    int err = call_unlink(disk, &call, false);
    call_end(disk, &call);
    disk_flush(disk);
    return err;
}
