/* One operation: the faults that may meet it, its effect and its end; descriptors and locks. */
#include <errno.h>
#include <fcntl.h>

#include "base/bytes.h"
#include "disk_impl.h"

/* ---- descriptors ---- */

int fd_find_free(const struct disk *disk)
{
    for (int i = 0; i < DISK_FDS_MAX; i++) {
        if (disk->fds[i].inode == NULL) {
            return i;
        }
    }
    return -EMFILE;
}

struct description *fd_get(struct disk *disk, int fd)
{
    int index = fd - FD_FIRST;
    bool open = index >= 0 && index < DISK_FDS_MAX && disk->fds[index].inode != NULL;
    SIM_CHECK(open, "the process uses file descriptor %d, which isn't open", fd);
    return &disk->fds[index];
}

int fd_open(struct disk *disk, struct inode *inode, int flags)
{
    int index = fd_find_free(disk);
    if (index < 0) {
        return index;
    }
    disk->fds[index] = (struct description){.inode = inode, .flags = flags};
    disk->fds_count++;
    inode->refs++;
    inode->opens++;
    return FD_FIRST + index;
}

void fd_close(struct disk *disk, int fd)
{
    struct description *description = fd_get(disk, fd);
    struct inode *inode = description->inode;
    *description = (struct description){0};
    disk->fds_count--;
    inode->opens--;
    if (inode->lock_fd == fd) {
        inode->lock_fd = 0;
    }
    inode_count_space(disk, inode);
    inode_drop(disk, inode);
}

int fd_lock(struct disk *disk, int fd)
{
    struct inode *inode = fd_get(disk, fd)->inode;
    bool by_dead = inode->lock_fd < 0 && disk->dead_count > 0;
    if (by_dead || (inode->lock_fd > 0 && inode->lock_fd != fd)) {
        world_trace("lock is held", inode->number, disk->dead_count);
        return -EWOULDBLOCK;
    }
    inode->lock_fd = fd;
    world_trace("lock", inode->number, 0);
    return 0;
}

/* ---- faults ---- */

int call_fault(struct disk *disk, uint32_t rate, int error)
{
    if (!world_chance(STREAM_FAULT, rate)) {
        return 0;
    }
    disk->stats.errors++;
    world_trace("fault", (uint64_t)-error, 0);
    return error;
}

/* What the caller is to try again. */
int call_fault_of_moment(struct disk *disk, bool moves_bytes)
{
    uint32_t rate = disk->plan.again_rate;
    if (rate == 0) {
        return 0;
    }
    return call_fault(disk, rate, moves_bytes && coin() ? -EAGAIN : -EINTR);
}

int disk_no_room(const struct disk *disk)
{
    return disk->plan.quota ? -EDQUOT : -ENOSPC;
}

/* A transfer of more than a sector may move some sectors only. */
static uint64_t shorten(struct disk *disk, uint64_t bytes)
{
    if (bytes <= SECTOR_BYTES || !world_chance(STREAM_FAULT, disk->plan.short_rate)) {
        return bytes;
    }
    disk->stats.shorts++;
    return SECTOR_BYTES * world_between(STREAM_FAULT, 1, (bytes - 1) / SECTOR_BYTES);
}

/* ---- reading ---- */

/* One bit of what is durable, for good. */
static void rot(struct disk *disk, struct inode *inode, uint64_t offset, uint64_t bytes)
{
    uint64_t at = offset + world_below(STREAM_FAULT, bytes);
    uint64_t index = at / CHUNK_BYTES;
    const struct chunk *chunk = chunk_at(&inode->durable, index);
    if (chunk == NULL || chunk != chunk_at(&inode->current, index)) {
        return;
    }
    image_own(disk, &inode->durable, index)->data[at % CHUNK_BYTES] ^=
        (uint8_t)(1 << world_below(STREAM_FAULT, 8));
    image_share(disk, &inode->current, &inode->durable, index);
    disk->stats.rotten++;
    world_trace("bit rot", inode->number, at);
}

static int64_t run_read(struct disk *disk, struct call *call)
{
    const struct image *image = &call->inode->current;
    disk->stats.reads++;
    world_trace("read", call->inode->number, call->offset);
    int err = call_fault_of_moment(disk, true);
    err = err < 0 ? err : call_fault(disk, disk->plan.read_error_rate, -EIO);
    if (err < 0) {
        return err;
    }
    uint64_t bytes = shorten(disk, call->bytes);
    bool found = call->offset < image->bytes && bytes > 0;
    if (found && world_chance(STREAM_FAULT, disk->plan.rot_rate)) {
        rot(disk, call->inode, call->offset, min_u64(bytes, image->bytes - call->offset));
    }
    return (int64_t)image_read(image, call->to, bytes, call->offset);
}

/* ---- writing ---- */

/* Another file that has content, by chance; NULL: there is none. */
static struct inode *other_file(struct disk *disk, const struct inode *inode)
{
    struct inode *found = NULL;
    uint64_t count = 0;
    LIST_FOREACH (&disk->inodes, node) {
        struct inode *other = container_of(node, struct inode, node);
        if (!other->is_dir && other != inode && other->links > 0 && other->current.bytes > 0 &&
            world_below(STREAM_FAULT, ++count) == 0) {
            found = other;
        }
    }
    return found;
}

/* Moves the pieces to where they don't belong. Returns the file they go to. */
static struct inode *misdirect(struct disk *disk, struct call *call)
{
    struct inode *to = call->inode;
    uint64_t first = call->pieces[0].index;
    if (to->current.bytes <= CHUNK_BYTES) {
        struct inode *other = other_file(disk, to);
        to = other != NULL ? other : to;
    }
    uint64_t chunks = chunks_of(to->current.bytes);
    uint64_t target = chunks > call->pieces_count
                          ? world_below(STREAM_FAULT, chunks - call->pieces_count + 1)
                          : 0;
    bool fits = call->pieces_count <= chunks;
    if (!fits || (to == call->inode && target == first)) {
        return call->inode;
    }
    for (uint32_t i = 0; i < call->pieces_count; i++) {
        call->pieces[i].index = target + i;
    }
    disk->stats.misdirected++;
    world_trace("misdirected write of", call->inode->number, call->offset);
    world_trace("misdirected write to", to->number, target * CHUNK_BYTES);
    return to;
}

/* How many of the bytes the disk has room for. */
static uint64_t fitting_bytes(const struct disk *disk, const struct call *call)
{
    uint64_t holes = 0;
    for (uint32_t i = 0; i < call->pieces_count; i++) {
        holes += chunk_at(&call->inode->current, call->pieces[i].index) == NULL;
        if (!disk_has_room(disk, holes)) {
            return pieces_bytes(call->pieces, i);
        }
    }
    return call->bytes;
}

static void write_pieces(struct disk *disk, struct call *call, uint64_t bytes)
{
    pieces_trim(disk, call->pieces, &call->pieces_count, bytes);
    struct inode *inode = call->inode;
    if (call->pieces_count > 0 && world_chance(STREAM_FAULT, disk->plan.misdirect_rate)) {
        inode = misdirect(disk, call);
    }
    content_write(disk, inode, call);
}

/* An error says nothing about how much has been written. */
static int64_t write_fails(struct disk *disk, struct call *call)
{
    uint64_t sectors = call->bytes / SECTOR_BYTES;
    write_pieces(disk, call, SECTOR_BYTES * world_below(STREAM_FAULT, sectors + 1));
    return -EIO;
}

static int64_t run_write(struct disk *disk, struct call *call)
{
    disk->stats.writes++;
    world_trace("write", call->inode->number, call->offset);
    int err = call_fault_of_moment(disk, true);
    if (err < 0) {
        return err;
    }
    if (call_fault(disk, disk->plan.write_error_rate, -EIO) < 0) {
        return write_fails(disk, call);
    }
    uint64_t bytes = min_u64(shorten(disk, call->bytes), fitting_bytes(disk, call));
    if (bytes == 0 && call->bytes > 0) {
        world_trace("no room", call->inode->number, call->offset);
        return disk_no_room(disk);
    }
    write_pieces(disk, call, bytes);
    return (int64_t)bytes;
}

static int64_t run_allocate(struct disk *disk, struct call *call)
{
    world_trace("allocate", call->inode->number, call->bytes);
    int err = call_fault_of_moment(disk, false);
    err = err < 0 ? err : call_fault(disk, disk->plan.write_error_rate, -EIO);
    err = err < 0 ? err : content_allocate(disk, call->inode, call);
    return err == -ENOSPC ? disk_no_room(disk) : err;
}

/* There would be nobody whom the error of a dead process's sync could be told. */
static int64_t run_sync(struct disk *disk, struct call *call)
{
    disk->stats.syncs++;
    world_trace("sync", call->inode->number, call->inode->pending_count);
    int err = call->dead ? 0 : call_fault(disk, disk->plan.sync_error_rate, -EIO);
    if (err < 0) {
        inode_sync_fails(disk, call->inode, call->submitted);
    } else if (call->inode->is_dir) {
        dir_sync(disk, call->inode, call->submitted);
    } else {
        content_sync(disk, call->inode, call->submitted);
    }
    return err;
}

/* ---- an operation's life ---- */

static bool wants_fd(enum io_kind kind)
{
    return kind == IO_READ || kind == IO_WRITE || kind == IO_SYNC_DATA || kind == IO_SYNC_ALL ||
           kind == IO_CLOSE || kind == IO_ALLOCATE;
}

static int transfer_refused(const struct call *call, const void *data)
{
    if (call->inode->is_dir) {
        return -EISDIR;
    }
    int access = call->flags & O_ACCMODE;
    if (access == (call->kind == IO_READ ? O_WRONLY : O_RDONLY)) {
        return -EBADF;
    }
    bool aligned = (call->offset | call->bytes | (uint64_t)(uintptr_t)data) % CHUNK_BYTES == 0;
    return (call->flags & O_DIRECT) != 0 && !aligned ? -EINVAL : 0;
}

int call_begin(struct disk *disk, struct call *call, const void *data)
{
    call->disk = disk;
    call->submitted = ++disk->sequence;
    if (!wants_fd(call->kind)) {
        return 0;
    }
    const struct description *description = fd_get(disk, call->fd);
    call->flags = description->flags;
    call->inode = description->inode;
    call->inode->refs++;
    if (call->kind != IO_READ && call->kind != IO_WRITE) {
        return 0;
    }
    int err = transfer_refused(call, data);
    if (err == 0 && call->kind == IO_WRITE) {
        call->pieces = pieces_make(disk, data, call->bytes, call->offset, &call->pieces_count);
    }
    return err;
}

static int64_t run(struct disk *disk, struct call *call)
{
    switch (call->kind) {
    case IO_READ:
        return run_read(disk, call);
    case IO_WRITE:
        return run_write(disk, call);
    case IO_SYNC_DATA:
    case IO_SYNC_ALL:
        return run_sync(disk, call);
    case IO_OPEN:
        return call_open(disk, call);
    case IO_CLOSE:
        fd_close(disk, call->fd);
        return 0;
    case IO_ALLOCATE:
        return run_allocate(disk, call);
    case IO_RENAME:
    case IO_UNLINK:
    case IO_MKDIR:
        return call_names(disk, call);
    case IO_SEND:
    case IO_KIND_COUNT:
        break;
    }
    UNREACHABLE("not a disk operation");
}

/* As it would end by a fault of the plan. */
static int64_t run_failing(struct disk *disk, struct call *call, int error)
{
    if (call->kind == IO_WRITE && error == -EIO) {
        return write_fails(disk, call);
    }
    if (call->kind == IO_SYNC_DATA || call->kind == IO_SYNC_ALL) {
        inode_sync_fails(disk, call->inode, call->submitted);
    } else if (call->kind == IO_CLOSE) {
        fd_close(disk, call->fd);
    }
    return error;
}

void disk_call_run(struct disk *disk, struct call *call)
{
    int error = call->dead ? 0 : disk_fail_now(disk, call->kind, call->flags);
    call->result = error < 0 ? run_failing(disk, call, error) : run(disk, call);
}

void call_drop(struct disk *disk, struct call *call)
{
    if (call->pending != NULL) {
        call->pending->call = NULL;
        call->pending = NULL;
    }
    pieces_free(disk, call->pieces, call->pieces_count);
    call->pieces = NULL;
    call->pieces_count = 0;
    if (call->inode != NULL) {
        inode_drop(disk, call->inode);
        call->inode = NULL;
    }
}

void call_end(struct disk *disk, struct call *call)
{
    disk->sequence++;
    if (call->pending != NULL) {
        call->pending->ended = disk->sequence;
    }
    call_drop(disk, call);
}
