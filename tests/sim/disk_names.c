/* The operations on paths: open, mkdir, unlink, rename. */
#include <errno.h>
#include <fcntl.h>

#include "disk_impl.h"

static int fault_of_open(struct disk *disk)
{
    static const int errors[] = {-EMFILE, -ENFILE, -ENOMEM};
    uint32_t rate = disk->plan.open_error_rate;
    return rate == 0 ? 0 : call_fault(disk, rate, errors[world_below(STREAM_FAULT, 3)]);
}

/* A full disk refuses a new name, but not always: there may be room in the directory. */
static int make(struct disk *disk, struct inode *dir, const char *name, struct call *call,
                struct inode **ret_inode)
{
    if (!disk_has_room(disk, 1) && coin()) {
        return disk_no_room(disk);
    }
    struct inode *inode = inode_new(disk, call->kind == IO_MKDIR);
    dir_link(disk, dir, name, inode, call);
    inode_drop(disk, inode);
    *ret_inode = inode;
    return 0;
}

static int open_refused(const struct disk *disk, const struct inode *inode, int flags)
{
    if ((flags & O_DIRECTORY) != 0 && !inode->is_dir) {
        return -ENOTDIR;
    }
    if (inode->is_dir && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0)) {
        return -EISDIR;
    }
    return (flags & O_DIRECT) != 0 && disk->plan.direct_refused ? -EINVAL : 0;
}

static int open_find(struct disk *disk, struct call *call, struct inode **ret_inode)
{
    char name[NAME_BYTES_MAX + 1];
    struct inode *dir;
    int err = path_parent(disk, call->path, &dir, name);
    if (err < 0) {
        return err;
    }
    struct inode *inode = name[0] == '\0' ? dir : names_find(&dir->names, name);
    if (inode != NULL && (call->flags & O_CREAT) != 0 && (call->flags & O_EXCL) != 0) {
        return -EEXIST;
    }
    if (inode == NULL) {
        err = (call->flags & O_CREAT) == 0 ? -ENOENT : make(disk, dir, name, call, &inode);
    }
    *ret_inode = inode;
    return err;
}

int64_t call_open(struct disk *disk, struct call *call)
{
    struct inode *inode = NULL;
    int err = call_fault_of_moment(disk, false);
    err = err < 0 ? err : fault_of_open(disk);
    int index = call->dead ? 0 : fd_find_free(disk);
    err = err < 0 ? err : index < 0 ? index : 0;
    err = err < 0 ? err : open_find(disk, call, &inode);
    /* A refused O_DIRECT leaves the new file behind, as in Linux. */
    err = err < 0 ? err : open_refused(disk, inode, call->flags);
    if (err < 0) {
        world_trace("open fails", (uint64_t)-err, 0);
        return err;
    }
    if ((call->flags & O_TRUNC) != 0 && inode->current.bytes > 0) {
        content_truncate(disk, inode, 0, call);
    }
    world_trace("open", inode->number, inode->current.bytes);
    return call->dead ? 0 : fd_open(disk, inode, call->flags);
}

static int run_mkdir(struct disk *disk, struct call *call)
{
    char name[NAME_BYTES_MAX + 1];
    struct inode *dir;
    struct inode *made = NULL;
    int err = path_parent(disk, call->path, &dir, name);
    if (err < 0) {
        return err;
    }
    if (name[0] == '\0' || names_find(&dir->names, name) != NULL) {
        return -EEXIST;
    }
    err = make(disk, dir, name, call, &made);
    if (made != NULL) {
        world_trace("mkdir", made->number, dir->number);
    }
    return err;
}

int call_unlink(struct disk *disk, struct call *call, bool is_dir)
{
    char name[NAME_BYTES_MAX + 1];
    struct inode *dir;
    int err = path_parent(disk, call->path, &dir, name);
    if (err < 0) {
        return err;
    }
    const struct inode *inode = names_find(&dir->names, name);
    if (inode == NULL) {
        return name[0] == '\0' ? -EBUSY : -ENOENT;
    }
    if (inode->is_dir != is_dir) {
        return is_dir ? -ENOTDIR : -EISDIR;
    }
    if (is_dir && inode->names.count > 0) {
        return -ENOTEMPTY;
    }
    world_trace("unlink", inode->number, dir->number);
    dir_unlink(disk, dir, name, call);
    return 0;
}

static int rename_refused(const struct inode *from, const struct inode *to)
{
    if (from == NULL) {
        return -ENOENT;
    }
    if (to == NULL || from == to) {
        return 0;
    }
    if (to->is_dir != from->is_dir) {
        return to->is_dir ? -EISDIR : -ENOTDIR;
    }
    return to->is_dir && to->names.count > 0 ? -ENOTEMPTY : 0;
}

static int run_rename(struct disk *disk, struct call *call)
{
    char from[NAME_BYTES_MAX + 1];
    char to[NAME_BYTES_MAX + 1];
    struct inode *dir;
    struct inode *dir_to;
    int err = path_parent(disk, call->path, &dir, from);
    err = err < 0 ? err : path_parent(disk, call->path_to, &dir_to, to);
    if (err < 0) {
        return err;
    }
    struct inode *inode = names_find(&dir->names, from);
    if (dir != dir_to) {
        return -EXDEV;
    }
    struct inode *replaced = names_find(&dir->names, to);
    err = rename_refused(inode, replaced);
    if (err < 0 || inode == replaced) {
        return err;
    }
    world_trace("rename", inode->number, replaced == NULL ? 0 : replaced->number);
    dir_rename(disk, dir, from, to, call);
    return 0;
}

int64_t call_names(struct disk *disk, struct call *call)
{
    int err = call_fault(disk, disk->plan.write_error_rate, -EIO);
    if (err < 0) {
        return err;
    }
    switch (call->kind) {
    case IO_RENAME:
        return run_rename(disk, call);
    case IO_UNLINK:
        return call_unlink(disk, call, false);
    default:
        return run_mkdir(disk, call);
    }
}
