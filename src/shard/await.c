#include "shard/await.h"

#include <fcntl.h>

#include "base/assert.h"

struct await_one {
    struct io_op op;
    struct coro *waiter;
};

static void one_done(struct io_op *op)
{
    co_ready(container_of(op, struct await_one, op)->waiter);
}

/* Submits the filled-in operation and returns its result. */
co_fn static int one_run(struct shard *shard, struct await_one *one)
{
    ASSERT(coro_self() != NULL);
    ASSERT(shard == shard_self());
    one->waiter = coro_self();
    one->op.done = one_done;
    io_submit(shard_io(shard), &one->op);
    co_park();
    return one->op.result;
}

co_fn int await_open(struct shard *shard, const char *path, int flags, uint32_t mode)
{
    struct await_one one;
    io_prep(&one.op, IO_OPEN, -1, NULL);
    one.op.path = path;
    one.op.flags = flags;
    one.op.mode = mode;
    return one_run(shard, &one);
}

co_fn int await_close(struct shard *shard, int fd)
{
    struct await_one one;
    io_prep(&one.op, IO_CLOSE, fd, NULL);
    return one_run(shard, &one);
}

co_fn static int transfer(struct shard *shard, enum io_kind kind, int fd, void *data,
                          uint32_t bytes, uint64_t offset)
{
    ASSERT(bytes <= IO_BYTES_MAX);
    struct await_one one;
    io_prep(&one.op, kind, fd, NULL);
    io_prep_transfer(&one.op, kind, fd, data, bytes, offset);
    return one_run(shard, &one);
}

co_fn int await_read(struct shard *shard, int fd, void *data, uint32_t bytes, uint64_t offset)
{
    return transfer(shard, IO_READ, fd, data, bytes, offset);
}

co_fn int await_write(struct shard *shard, int fd, const void *data, uint32_t bytes,
                      uint64_t offset)
{
    /* The operation has one pointer for both directions; an IO_WRITE only reads through it. */
    int result = transfer(shard, IO_WRITE, fd, (void *)(uintptr_t)data, bytes, offset);
    ASSERT(result < 0 || (uint32_t)result == bytes);
    return result < 0 ? result : 0;
}

co_fn static int sync_fd(struct shard *shard, enum io_kind kind, int fd)
{
    struct await_one one;
    io_prep(&one.op, kind, fd, NULL);
    return one_run(shard, &one);
}

co_fn int await_sync_data(struct shard *shard, int fd)
{
    return sync_fd(shard, IO_SYNC_DATA, fd);
}

co_fn int await_sync_all(struct shard *shard, int fd)
{
    return sync_fd(shard, IO_SYNC_ALL, fd);
}

co_fn int await_sync_dir(struct shard *shard, const char *path)
{
    int fd = TRY(await_open(shard, path, O_RDONLY | O_DIRECTORY, 0));
    int err = await_sync_all(shard, fd);
    int err_close = await_close(shard, fd);
    return err < 0 ? err : err_close;
}

co_fn int await_allocate(struct shard *shard, int fd, uint64_t offset, uint64_t bytes)
{
    struct await_one one;
    io_prep(&one.op, IO_ALLOCATE, fd, NULL);
    one.op.offset = offset;
    one.op.length = bytes;
    return one_run(shard, &one);
}

co_fn static int path_op(struct shard *shard, enum io_kind kind, const char *path, const char *to,
                         uint32_t mode)
{
    struct await_one one;
    io_prep(&one.op, kind, -1, NULL);
    one.op.path = path;
    one.op.path_to = to;
    one.op.mode = mode;
    return one_run(shard, &one);
}

co_fn int await_rename(struct shard *shard, const char *from, const char *to)
{
    return path_op(shard, IO_RENAME, from, to, 0);
}

co_fn int await_unlink(struct shard *shard, const char *path)
{
    return path_op(shard, IO_UNLINK, path, NULL, 0);
}

co_fn int await_mkdir(struct shard *shard, const char *path, uint32_t mode)
{
    return path_op(shard, IO_MKDIR, path, NULL, mode);
}

/* ---- sleeping ---- */

struct await_timer {
    struct shard_timer timer;
    struct coro *waiter;
};

static void sleep_ended(struct shard *shard, struct shard_timer *timer)
{
    (void)shard;
    co_ready(container_of(timer, struct await_timer, timer)->waiter);
}

co_fn void await_sleep_ns(struct shard *shard, int64_t ns)
{
    ASSERT(coro_self() != NULL);
    struct await_timer sleep = {.waiter = coro_self()};
    shard_timer_arm(shard, &sleep.timer, ns, sleep_ended);
    co_park();
    ASSERT(!sleep.timer.armed);
}

/* ---- windows ---- */

static void windowed_done(struct io_op *op)
{
    co_group_done(container_of(op, struct await_op, op)->group);
}

void await_start(struct shard *shard, struct await_op *op, struct co_group *group)
{
    ASSERT(shard == shard_self());
    op->group = group;
    op->op.done = windowed_done;
    co_group_add(group, 1);
    io_submit(shard_io(shard), &op->op);
}
