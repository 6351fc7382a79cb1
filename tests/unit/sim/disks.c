#include "disks.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "threads.h"

void (*disks_preempted)(void);

/* ---- in the place of the simulated threads ---- */

void threads_preempt(void)
{
    if (disks_preempted != NULL) {
        disks_preempted();
    }
}

struct sim_thread *threads_self(void)
{
    return NULL;
}

bool threads_step(void)
{
    return false;
}

/* ---- the world ---- */

struct disk *disks_begin(uint64_t seed)
{
    world_begin(seed);
    struct disk *disk = disk_create();
    disk_mount(disk);
    file_set_disk(&disk_door);
    disks_preempted = NULL;
    return disk;
}

void disks_end(struct disk *disk)
{
    disk_destroy(disk);
    file_set_disk(NULL);
    world_end();
}

void disks_run(void)
{
    while (world_step()) {
    }
}

/* ---- files ---- */

void disks_write(int fd, const void *data, size_t bytes, uint64_t offset)
{
    cr_assert_eq(file_write(fd, data, bytes, offset), 0);
}

void disks_fill(int fd, char fill, size_t bytes, uint64_t offset)
{
    char *data = sim_alloc(bytes + 1);
    memset(data, fill, bytes);
    disks_write(fd, data, bytes, offset);
    sim_free(data);
}

int disks_make(const char *path, size_t bytes, char fill)
{
    int fd = file_open(path, O_RDWR | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    disks_fill(fd, fill, bytes, 0);
    return fd;
}

void disks_make_durable(const char *path, size_t bytes, char fill)
{
    int fd = disks_make(path, bytes, fill);
    cr_assert_eq(file_sync_all(fd), 0);
    cr_assert_eq(file_close(fd), 0);
    cr_assert_eq(file_sync_dir("/"), 0);
}

char disks_byte(const char *path, uint64_t offset)
{
    char byte = '?';
    int fd = file_open(path, O_RDONLY, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_read(fd, &byte, 1, offset), 1);
    cr_assert_eq(file_close(fd), 0);
    return byte;
}

int64_t disks_size(const char *path)
{
    int fd = file_open(path, O_RDONLY, 0);
    if (fd < 0) {
        return fd;
    }
    int64_t bytes = file_size(fd);
    cr_assert_eq(file_close(fd), 0);
    return bytes;
}

/* ---- operations in flight ---- */

static void op_ended(void *context, struct io_op *op, int32_t result)
{
    struct disks_op *own = context;
    cr_assert_eq(&own->op, op);
    own->ended = true;
    own->result = result;
}

void disks_submit(struct disk *disk, struct disks_op *op)
{
    disk_submit(disk, &op->op, op_ended, op);
}
