#include "disk.h"

#include <stdatomic.h>

#include "io/file_disk.h"

static _Atomic uint32_t failing_calls;
static _Atomic int64_t calls_left; /* 0: the next one fails */
static _Atomic int failing_error;
static atomic_bool failing_sticky;
static atomic_bool failed;
static _Atomic int no_room; /* the error of each call that allocates */

static int fault(enum disk_call call)
{
    if ((atomic_load(&failing_calls) & call) == 0) {
        return 0;
    }
    int64_t left = atomic_fetch_sub(&calls_left, 1);
    if (left == 0 || (left < 0 && atomic_load(&failing_sticky))) {
        atomic_store(&failed, true);
        return atomic_load(&failing_error);
    }
    return 0;
}

#define FAULTY(call, real) (fault_ = fault(call), fault_ != 0 ? fault_ : file_disk_system.real)

static int faulty_open(const char *path, int flags, uint32_t mode)
{
    int fault_;
    return FAULTY(DISK_OPEN, open(path, flags, mode));
}

static int64_t faulty_read(int fd, void *data, size_t bytes, uint64_t offset)
{
    int fault_;
    return FAULTY(DISK_READ, read(fd, data, bytes, offset));
}

static int64_t faulty_write(int fd, const void *data, size_t bytes, uint64_t offset)
{
    int fault_;
    return FAULTY(DISK_WRITE, write(fd, data, bytes, offset));
}

static int faulty_sync_data(int fd)
{
    int fault_;
    return FAULTY(DISK_SYNC, sync_data(fd));
}

static int faulty_sync_all(int fd)
{
    int fault_;
    return FAULTY(DISK_SYNC, sync_all(fd));
}

static int faulty_allocate(int fd, uint64_t offset, uint64_t bytes)
{
    int err = fault(DISK_ALLOCATE);
    if (err == 0) {
        err = atomic_load(&no_room);
    }
    return err != 0 ? err : file_disk_system.allocate(fd, offset, bytes);
}

static int faulty_rename(const char *from, const char *to)
{
    int fault_;
    return FAULTY(DISK_RENAME, rename(from, to));
}

static int faulty_unlink(const char *path)
{
    int fault_;
    return FAULTY(DISK_UNLINK, unlink(path));
}

static int faulty_mkdir(const char *path, uint32_t mode)
{
    int fault_;
    return FAULTY(DISK_MKDIR, mkdir(path, mode));
}

static int faulty_list(const char *path, file_each_fn *each, void *context)
{
    int fault_;
    return FAULTY(DISK_LIST, list(path, each, context));
}

static void put_in_place(void)
{
    static struct file_disk faulty;
    static bool in_place;
    if (!in_place) {
        faulty = file_disk_system;
        faulty.open = faulty_open;
        faulty.read = faulty_read;
        faulty.write = faulty_write;
        faulty.sync_data = faulty_sync_data;
        faulty.sync_all = faulty_sync_all;
        faulty.allocate = faulty_allocate;
        faulty.rename = faulty_rename;
        faulty.unlink = faulty_unlink;
        faulty.mkdir = faulty_mkdir;
        faulty.list = faulty_list;
        file_set_disk(&faulty);
        in_place = true;
    }
}

void disk_fail(uint32_t calls, uint64_t n, int error, bool sticky)
{
    put_in_place();
    atomic_store(&failing_calls, 0);
    atomic_store(&calls_left, (int64_t)n - 1);
    atomic_store(&failing_error, error);
    atomic_store(&failing_sticky, sticky);
    atomic_store(&failed, false);
    atomic_store(&failing_calls, n == 0 ? 0 : calls);
}

void disk_fill(int error)
{
    put_in_place();
    atomic_store(&no_room, error);
}

bool disk_has_failed(void)
{
    return atomic_load(&failed);
}
