/*
 * disks: what the tests of the simulated disk share: a world with one disk, mounted behind file.h,
 * and no simulated threads: threads_preempt runs a hook of the test.
 */
#ifndef TESTS_SIM_DISKS_H
#define TESTS_SIM_DISKS_H

#include "disk.h"
#include "io/file.h"
#include "world.h"

struct disk *disks_begin(uint64_t seed);
void disks_end(struct disk *disk);

/* Events until none is left. */
void disks_run(void);

/* Called at each point at which other threads may run; NULL: nothing. */
extern void (*disks_preempted)(void);

/* Creates the file with `bytes` bytes of `fill`; nothing of it is durable. Returns the fd. */
int disks_make(const char *path, size_t bytes, char fill);

/* As disks_make, but all of it and its name are durable and it is closed. The parent is "/". */
void disks_make_durable(const char *path, size_t bytes, char fill);

/* Writes without faults in between. */
void disks_write(int fd, const void *data, size_t bytes, uint64_t offset);
void disks_fill(int fd, char fill, size_t bytes, uint64_t offset);

/* The byte there. */
char disks_byte(const char *path, uint64_t offset);
/* Of the whole file by its path, -ENOENT. */
int64_t disks_size(const char *path);

/* One operation in flight. */
struct disks_op {
    struct io_op op;
    bool ended;
    int32_t result;
};
void disks_submit(struct disk *disk, struct disks_op *op);

#endif
