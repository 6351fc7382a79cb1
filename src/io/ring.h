/*
 * ring: the io_uring body of io.h, split into ring.c (set-up, waiting, wakes), ring_disk.c,
 * ring_net.c and ring_fixed.c (registered files and memory). For these four files only.
 *
 * Every submission carries in user_data the object it concerns (8-byte aligned) and, in the low
 * three bits, a tag that says how its completion is read. An object stays in memory until its last
 * completion: operations by contract, sockets and accepts by their `armed` flag.
 *
 * Nothing here fails for want of a submission entry: ring_sqe hands the full queue to the kernel
 * and gives NULL only if the kernel is out of memory; whoever wanted the entry then keeps the work
 * and tries again at the next poll (ring_restart).
 */
#ifndef IO_RING_H
#define IO_RING_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "io/io_body.h"

enum ring_tag {
    RING_TAG_NONE,      /* nothing depends on it */
    RING_TAG_DISK,      /* struct io_op */
    RING_TAG_SEND,      /* struct io_op */
    RING_TAG_ACCEPT,    /* struct io_accept */
    RING_TAG_RECV,      /* struct io_socket */
    RING_TAG_WAKE_POLL, /* our eventfd became readable */
    RING_TAG_WAKE_RING, /* another ring's message */
    RING_TAG_WAKE_SENT, /* our message to another ring failed; the ring's fd in the upper bits */
    RING_TAG_COUNT,
};

enum {
    RING_TAG_BITS = 3,
    RING_TAG_MASK = (1 << RING_TAG_BITS) - 1,
    RING_BUFFER_GROUP = 0,
    /* Small, because it is walked round and round and should stay in the cache. */
    RING_SQ_ENTRIES = 256,
    RING_CQ_ENTRIES_MIN = 4096,
    RING_CQ_ENTRIES_MAX = 65536,
};
static_assert(RING_TAG_COUNT <= 1 << RING_TAG_BITS, "tags fit in the free bits of a pointer");

/* The table of registered files: see ring_fixed.c. */
struct ring_files {
    uint32_t count; /* descriptors below this have a slot; 0: there is no table */
    bool *taken;    /* by descriptor: the kernel knows it */
};

struct ring_region {
    uint8_t *base; /* NULL: free */
    size_t bytes;
};

struct ring_regions {
    uint32_t count; /* 0: there is no table */
    struct ring_region *regions;
    uint32_t first_free; /* none before this */
    bool refused;        /* the kernel has refused one; no more are tried */
};

struct ring {
    struct io io;
    struct io_uring uring;
    int enter_fd;         /* the ring's fd, or its index once registered with this thread */
    unsigned enter_flags; /* IORING_ENTER_REGISTERED_RING with the index */
    bool min_wait;        /* the kernel waits for batches itself (6.12) */
    bool messages;        /* it knows IORING_OP_MSG_RING (5.18) */
    bool woken;           /* io_wake by ourselves */
    bool starved;         /* somebody got no submission entry, and tries again at the next poll */
    bool wake_armed;
    int wake_fd;                     /* eventfd, for threads without a ring */
    struct msghdr *messages_of_sqes; /* one for each submission entry; see ring_net.c */

    uint32_t disk_in_flight;  /* io.options.ops_max at most */
    struct list disk_waiting; /* operations that are not with the kernel yet */
    struct list send_waiting; /* sends that found no submission entry */
    uint32_t sends_filled;    /* submission entries filled with sends since the last poll */
    struct list recv_waiting; /* sockets to arm at the next poll */

    struct io_uring_buf_ring *buffers; /* the shared receive buffers' ring, and their memory */
    uint8_t *buffer_bytes;
    int buffer_mask;

    struct ring_files files;
    struct ring_regions regions;
};

static inline struct ring *ring_of(struct io *io)
{
    return (struct ring *)(void *)io;
}

static inline uint64_t ring_user_data(const void *object, enum ring_tag tag)
{
    ASSERT(((uintptr_t)object & RING_TAG_MASK) == 0);
    return (uint64_t)(uintptr_t)object | tag;
}

static inline void *ring_object(uint64_t user_data)
{
    return (void *)(uintptr_t)(user_data & ~(uint64_t)RING_TAG_MASK);
}

/* As ring_create, with the first of the `count` sets of IORING_SETUP_* that the kernel takes. */
NODISCARD int ring_create_with(const struct io_options *options, const unsigned *setups,
                               size_t count, struct io **ret_io);

/* A free submission entry, or NULL if the kernel takes none of those that are queued. */
NODISCARD struct io_uring_sqe *ring_sqe(struct ring *ring);

/* Asks the kernel to end the request with this user_data. False: no submission entry. */
bool ring_cancel(struct ring *ring, uint64_t user_data);

/* ---- ring_fixed.c ---- */

/* Registers the tables, as empty as can be. Where the kernel can't there are none; but -errno if it
 * doesn't take the lock. */
NODISCARD int ring_fixed_init(struct ring *ring);
void ring_fixed_deinit(struct ring *ring);

void ring_file_add(struct io *io, int fd);
/* Before the descriptor is closed. Without effect if it isn't registered. */
void ring_file_remove(struct ring *ring, int fd);
/* Of a filled entry for `fd`: has it use the slot, if there is one. */
void ring_file_use(const struct ring *ring, struct io_uring_sqe *sqe, int fd);

uint32_t ring_region_add(struct io *io, void *base, size_t bytes);
void ring_region_remove(struct io *io, uint32_t region);
/* Whether all of these bytes lie in the registered region. */
bool ring_region_has(const struct ring *ring, uint32_t region, const void *data, uint32_t bytes);

/* ---- ring_disk.c ---- */

void ring_disk_submit(struct ring *ring, struct io_op *op);
void ring_disk_restart(struct ring *ring);
int ring_disk_complete(struct ring *ring, struct io_op *op, int32_t result);

/* ---- ring_net.c ---- */

/* Registers the receive buffers. 0, or -errno where the kernel can't. */
NODISCARD int ring_buffers_init(struct ring *ring);
void ring_buffers_deinit(struct ring *ring);

/* Whether multishot receive into the shared buffers really works, tried on a pair of sockets: some
 * kernels register the buffers and refuse the receive. */
NODISCARD int ring_net_probe(struct ring *ring);

void ring_send_submit(struct ring *ring, struct io_op *op);
void ring_accept_arm(struct io *io, struct io_accept *accept);
void ring_accept_cancel(struct io *io, struct io_accept *accept);
void ring_recv_arm(struct io *io, struct io_socket *socket);
void ring_recv_cancel(struct io *io, struct io_socket *socket);
void ring_socket_forget(struct io *io, struct io_socket *socket);
void ring_net_restart(struct ring *ring);

/* Completions; return the callbacks run. */
int ring_send_complete(struct ring *ring, struct io_op *op, int32_t result);
int ring_accept_complete(struct ring *ring, struct io_accept *accept,
                         const struct io_uring_cqe *cqe);
int ring_recv_complete(struct ring *ring, struct io_socket *socket, const struct io_uring_cqe *cqe);

#endif
