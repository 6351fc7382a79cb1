/*
 * await: disk operations and sleep as plain calls, for coroutines. Each suspends until its
 * completion and returns what the io_op's result would be (>= 0, or -errno). Buffers may lie on the
 * coroutine's stack, since it can't go away before the completion.
 */
#ifndef SHARD_AWAIT_H
#define SHARD_AWAIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "shard/shard.h"
#include "shard/sync.h"

NODISCARD co_fn int await_open(struct shard *shard, const char *path, int flags, uint32_t mode);
NODISCARD co_fn int await_close(struct shard *shard, int fd);
/* Returns bytes read: fewer than asked only at the end of the file. bytes <= IO_BYTES_MAX. */
NODISCARD co_fn int await_read(struct shard *shard, int fd, void *data, uint32_t bytes,
                               uint64_t offset);
NODISCARD co_fn int await_write(struct shard *shard, int fd, const void *data, uint32_t bytes,
                                uint64_t offset); /* 0 or error */
NODISCARD co_fn int await_sync_data(struct shard *shard, int fd);
NODISCARD co_fn int await_sync_all(struct shard *shard, int fd);
NODISCARD co_fn int await_sync_dir(struct shard *shard, const char *path);
NODISCARD co_fn int await_allocate(struct shard *shard, int fd, uint64_t offset, uint64_t bytes);
NODISCARD co_fn int await_rename(struct shard *shard, const char *from, const char *to);
NODISCARD co_fn int await_unlink(struct shard *shard, const char *path);
NODISCARD co_fn int await_mkdir(struct shard *shard, const char *path, uint32_t mode);
co_fn void await_sleep_ns(struct shard *shard, int64_t ns);

/*
 * A window of parallel operations: start some with await_start, wait for all with co_group_wait,
 * then look at each op.result. Used by leaf reads and page writes. The struct must stay put until
 * then.
 */
struct await_op {
    struct io_op op; /* filled by io_prep* before the start; `done` is set by it */
    struct co_group *group;
};

/* Adds the operation to `group` and submits it. Does not suspend. */
void await_start(struct shard *shard, struct await_op *op, struct co_group *group);

#endif
