#include "io/ring.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"

/* Newer than the headers we build with. */
#ifndef IORING_FEAT_MIN_TIMEOUT
#define IORING_FEAT_MIN_TIMEOUT (1U << 15)
#endif

enum {
    NS_PER_US = 1000,
    NS_PER_S = 1000000000,
};

/* As good as none: a poll that returns once an hour for nothing. */
#define TIMEOUT_LONG_NS (3600 * (int64_t)NS_PER_S)

static const struct io_vtable ring_vtable;

/* ---- handing entries to the kernel ---- */

/*
 * Makes the filled entries visible to the kernel and returns how many it has not taken yet.
 *
 * liburing does this inside its submit calls, none of which (in 2.3) can wait for batches as
 * ring_enter does. The queue's index array is set to 0, 1, 2 ... once (ring_map_entries), so that
 * only the tail has to move.
 */
static unsigned ring_publish(struct ring *ring)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    sq->sqe_head = sq->sqe_tail;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
}

static void ring_map_entries(struct ring *ring)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    for (unsigned i = 0; i < sq->ring_entries; i++) {
        sq->array[i] = i;
    }
}

/* Results of io_uring_enter that mean no more than "look at the completions and come again". */
static bool enter_is_passing(int result)
{
    return result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY;
}

/* Submits, waits for `events` completions as told (0: doesn't wait; timeout_ns < 0: no limit) and
 * runs what the kernel has deferred. */
static int ring_enter(struct ring *ring, uint32_t events, uint32_t min_wait_us, int64_t timeout_ns)
{
    struct __kernel_timespec timeout = {
        .tv_sec = timeout_ns / NS_PER_S,
        .tv_nsec = timeout_ns % NS_PER_S,
    };
    struct io_uring_getevents_arg arg = {
        .pad = min_wait_us, /* min_wait_usec, where the kernel has it */
        .ts = timeout_ns >= 0 ? (uint64_t)(uintptr_t)&timeout : 0,
    };
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | ring->enter_flags;
    int result = io_uring_enter2(ring->enter_fd, ring_publish(ring), events, flags,
                                 (sigset_t *)(void *)&arg, sizeof(arg));
    return result >= 0 || enter_is_passing(result) ? 0 : result;
}

/* Submits only; completions stay for the next poll. */
static void ring_submit_now(struct ring *ring)
{
    (void)io_uring_enter2(ring->enter_fd, ring_publish(ring), 0, ring->enter_flags, NULL, 0);
}

struct io_uring_sqe *ring_sqe(struct ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (UNLIKELY(sqe == NULL)) {
        ring_submit_now(ring);
        sqe = io_uring_get_sqe(&ring->uring);
        ring->starved |= sqe == NULL;
    }
    return sqe;
}

bool ring_cancel(struct ring *ring, uint64_t user_data)
{
    struct io_uring_sqe *sqe = ring_sqe(ring);
    if (sqe == NULL) {
        return false;
    }
    io_uring_prep_cancel64(sqe, user_data, 0);
    io_uring_sqe_set_data64(sqe, RING_TAG_NONE);
    return true;
}

static void ring_submit(struct io *io, struct io_op *op)
{
    if (op->kind == IO_SEND) {
        ring_send_submit(ring_of(io), op);
    } else {
        ring_disk_submit(ring_of(io), op);
    }
}

/* ---- wakes ---- */

/* A multishot poll fires at every write to the eventfd, so the counter needs no reading. */
static void wake_arm(struct ring *ring)
{
    struct io_uring_sqe *sqe = ring_sqe(ring);
    if (sqe != NULL) {
        io_uring_prep_poll_multishot(sqe, ring->wake_fd, POLLIN);
        io_uring_sqe_set_data64(sqe, RING_TAG_WAKE_POLL);
        ring->wake_armed = true;
    }
}

static bool wake_by_message(struct ring *from, int target_fd)
{
    struct io_uring_sqe *sqe = from->messages ? ring_sqe(from) : NULL;
    if (sqe == NULL) {
        return false;
    }
    io_uring_prep_msg_ring(sqe, target_fd, 0, RING_TAG_WAKE_RING, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, (uint64_t)target_fd << RING_TAG_BITS | RING_TAG_WAKE_SENT);
    return true;
}

/* The target may be gone (it stopped) or reads its full queue anyway; else the message goes again.
 * By fd, not by pointer: if the target is gone, the worst is that another ring wakes for nothing.
 */
static void wake_failed(struct ring *ring, int target_fd, int32_t result)
{
    bool gone = result == -EBADF || result == -EBADFD || result == -EOVERFLOW;
    if (result < 0 && !gone) {
        (void)wake_by_message(ring, target_fd);
    }
}

static void ring_wake(struct io *io, struct io *from)
{
    struct ring *ring = ring_of(io);
    if (from == io) {
        ring->woken = true;
        return;
    }
    if (from != NULL && from->vtable == &ring_vtable &&
        wake_by_message(ring_of(from), ring->uring.ring_fd)) {
        return;
    }
    (void)eventfd_write(ring->wake_fd, 1);
}

/* ---- the pass ---- */

/* Callbacks run. */
static int ring_dispatch(struct ring *ring, const struct io_uring_cqe *cqe)
{
    void *object = ring_object(cqe->user_data);
    switch ((enum ring_tag)(cqe->user_data & RING_TAG_MASK)) {
    case RING_TAG_DISK:
        return ring_disk_complete(ring, object, cqe->res);
    case RING_TAG_SEND:
        return ring_send_complete(ring, object, cqe->res);
    case RING_TAG_ACCEPT:
        return ring_accept_complete(ring, object, cqe);
    case RING_TAG_RECV:
        return ring_recv_complete(ring, object, cqe);
    case RING_TAG_WAKE_POLL:
        ring->io.stats.wakes++;
        ring->wake_armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
        return 0;
    case RING_TAG_WAKE_RING:
        ring->io.stats.wakes++;
        return 0;
    case RING_TAG_WAKE_SENT:
        wake_failed(ring, (int)(cqe->user_data >> RING_TAG_BITS), cqe->res);
        return 0;
    case RING_TAG_NONE:
    case RING_TAG_COUNT:
        return 0;
    }
    UNREACHABLE("a completion without a known tag");
}

/* Handles what is there now. What callbacks add waits for the next poll, so a pass has an end. */
static int ring_reap(struct ring *ring)
{
    struct io_uring_cq *cq = &ring->uring.cq;
    unsigned head = *cq->khead;
    unsigned tail = io_uring_smp_load_acquire(cq->ktail);
    int ran = 0;
    while (head != tail) {
        const struct io_uring_cqe cqe = cq->cqes[head & cq->ring_mask];
        head++;
        /* At once, since callbacks may submit and completions need room. */
        io_uring_smp_store_release(cq->khead, head);
        ran += ring_dispatch(ring, &cqe);
    }
    return ran;
}

/* Starts what found no room earlier. */
static void ring_restart(struct ring *ring)
{
    if (UNLIKELY(!ring->wake_armed)) {
        wake_arm(ring);
    }
    ring_disk_restart(ring);
    ring_net_restart(ring);
}

/* Whether the kernel has anything to do for us right now. */
static bool ring_has_work(struct ring *ring)
{
    const unsigned due = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    return io_uring_sq_ready(&ring->uring) > 0 ||
           (IO_URING_READ_ONCE(*ring->uring.sq.kflags) & due) != 0;
}

/* How many completions make a batch of events. A send mostly ends as it is submitted: it is no
 * event to wait for, and would end the wait in place of one. */
static uint32_t batch_completions(const struct ring *ring, const struct io_wait *wait)
{
    return wait->batch + ring->sends_filled;
}

/* Waits for a batch where the kernel can't: first for all of it within batch_us, and if that
 * brought nothing at all, for the first event. */
static int wait_in_steps(struct ring *ring, const struct io_wait *wait)
{
    uint32_t events = batch_completions(ring, wait);
    int64_t step_ns = (int64_t)wait->batch_us * NS_PER_US;
    if (wait->timeout_ns >= 0 && wait->timeout_ns <= step_ns) {
        return ring_enter(ring, events, 0, wait->timeout_ns);
    }
    TRY(ring_enter(ring, events, 0, step_ns));
    if (io_uring_cq_ready(&ring->uring) > 0) {
        return 0;
    }
    return ring_enter(ring, 1, 0, wait->timeout_ns < 0 ? -1 : wait->timeout_ns - step_ns);
}

static int ring_wait(struct ring *ring, const struct io_wait *wait)
{
    bool due = ring->woken || ring->starved || io_uring_cq_ready(&ring->uring) > 0;
    bool sleeps = wait->timeout_ns != 0 && !due;
    ring->woken = false;
    ring->starved = false;
    if (!sleeps) {
        return ring_has_work(ring) ? ring_enter(ring, 0, 0, -1) : 0;
    }
    if (wait->batch <= 1 || wait->batch_us == 0) {
        return ring_enter(ring, 1, 0, wait->timeout_ns);
    }
    if (ring->min_wait) {
        /* Without an end the kernel returns after batch_us, with or without an event. */
        int64_t timeout_ns = wait->timeout_ns < 0 ? TIMEOUT_LONG_NS : wait->timeout_ns;
        return ring_enter(ring, batch_completions(ring, wait), wait->batch_us, timeout_ns);
    }
    return wait_in_steps(ring, wait);
}

static int ring_poll(struct io *io, const struct io_wait *wait)
{
    struct ring *ring = ring_of(io);
    ring_restart(ring);
    TRY(ring_wait(ring, wait));
    ring->sends_filled = 0;
    io_waited(wait);
    return ring_reap(ring);
}

/* ---- creation ---- */

/* Room for the completions of a pass: one for each disk operation and receive buffer, and a receive
 * can end for want of a buffer on as many sockets again. More only costs a re-armed receive. */
static unsigned cq_entries(const struct io_options *options)
{
    unsigned wanted = options->ops_max + 4 * options->recv_buffers;
    unsigned entries = RING_CQ_ENTRIES_MIN;
    while (entries < wanted && entries < RING_CQ_ENTRIES_MAX) {
        entries *= 2;
    }
    return entries;
}

static int ring_setup(struct ring *ring, const unsigned *setups, size_t count)
{
    int err = -EINVAL;
    for (size_t i = 0; i < count && err == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = setups[i],
            .cq_entries = cq_entries(&ring->io.options),
        };
        err = io_uring_queue_init_params(RING_SQ_ENTRIES, &ring->uring, &params);
    }
    return err;
}

/* What the kernel must have (timeouts as an argument of enter) and may have. */
static int ring_features(struct ring *ring)
{
    unsigned features = ring->uring.features;
    if ((features & IORING_FEAT_EXT_ARG) == 0 || (features & IORING_FEAT_NODROP) == 0) {
        return -ENOSYS;
    }
    ring->min_wait = (features & IORING_FEAT_MIN_TIMEOUT) != 0;
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring->uring);
    if (probe == NULL) {
        return -ENOSYS;
    }
    ring->messages = io_uring_opcode_supported(probe, IORING_OP_MSG_RING) != 0;
    io_uring_free_probe(probe);
    return 0;
}

/* Saves the kernel a look-up of the fd at each enter; not all kernels have it, none needs it. */
static void ring_register_self(struct ring *ring)
{
    ring->enter_fd = ring->uring.ring_fd;
    if (io_uring_register_ring_fd(&ring->uring) == 1) {
        ring->enter_fd = ring->uring.enter_ring_fd;
        ring->enter_flags = IORING_ENTER_REGISTERED_RING;
    }
}

static int ring_open(struct ring *ring)
{
    TRY(ring_features(ring));
    ring_register_self(ring);
    TRY(ring_buffers_init(ring));
    TRY(ring_net_probe(ring));
    ring_map_entries(ring);
    TRY(ring_fixed_init(ring));
    ring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return ring->wake_fd < 0 ? -errno : 0;
}

static void ring_free(struct ring *ring)
{
    if (ring->wake_fd >= 0) {
        (void)close(ring->wake_fd);
    }
    ring_fixed_deinit(ring);
    ring_buffers_deinit(ring);
    mem_free(ring->messages_of_sqes);
    io_deinit_body(&ring->io);
    mem_free(ring);
}

/* Receives that are still armed must not find buffers any more: the kernel ends a ring's requests
 * only some time after it is closed, and the memory goes now. */
static void ring_close(struct ring *ring)
{
    (void)io_uring_unregister_buf_ring(&ring->uring, RING_BUFFER_GROUP);
    io_uring_queue_exit(&ring->uring);
    ring_free(ring);
}

static void ring_destroy(struct io *io)
{
    struct ring *ring = ring_of(io);
    ASSERT(ring->disk_in_flight == 0);
    /* Wakes of others may be queued. */
    ring_submit_now(ring);
    ring_close(ring);
}

static const struct io_vtable ring_vtable = {
    .name = "io_uring",
    .destroy = ring_destroy,
    .submit = ring_submit,
    .accept_arm = ring_accept_arm,
    .accept_cancel = ring_accept_cancel,
    .recv_arm = ring_recv_arm,
    .recv_cancel = ring_recv_cancel,
    .socket_forget = ring_socket_forget,
    .accept_now = io_system_accept_now,
    .send_now = io_system_send_now,
    .shutdown = io_system_shutdown,
    .close = io_system_close,
    .file_add = ring_file_add,
    .region_add = ring_region_add,
    .region_remove = ring_region_remove,
    .poll = ring_poll,
    .wake = ring_wake,
};

int ring_create_with(const struct io_options *options, const unsigned *setups, size_t count,
                     struct io **ret_io)
{
    struct ring *ring = mem_calloc(1, sizeof(*ring));
    if (ring == NULL) {
        return ERR_MEMORY;
    }
    io_init_body(&ring->io, &ring_vtable, options);
    list_init(&ring->disk_waiting);
    list_init(&ring->send_waiting);
    list_init(&ring->recv_waiting);
    ring->wake_fd = -1;
    ring->messages_of_sqes = mem_calloc(RING_SQ_ENTRIES, sizeof(struct msghdr));
    int err = ring->messages_of_sqes == NULL ? ERR_MEMORY : ring_setup(ring, setups, count);
    if (err < 0) {
        ring_free(ring);
        return err;
    }
    err = ring_open(ring);
    if (err < 0) {
        ring_close(ring);
        return err;
    }
    *ret_io = &ring->io;
    return 0;
}

/* From the best to what any kernel takes: completions that wait for us and never interrupt, a ring
 * for one thread, a flag that says when entering is worth it. */
static const unsigned ring_setups[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
        IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
    IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
    0,
};

int ring_create(const struct io_options *options, struct io **ret_io)
{
    size_t count = sizeof(ring_setups) / sizeof(ring_setups[0]);
    return ring_create_with(options, ring_setups, count, ret_io);
}
