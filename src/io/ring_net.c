/*
 * The sockets of the io_uring body.
 *
 * Receiving: one multishot receive for each socket, into buffers that all sockets share. A
 * completion lends its buffer to on_recv and gives it back at once, so an idle connection owns no
 * memory and a few hundred buffers serve any number of them. A multishot request ends
 * (IORING_CQE_F_MORE is clear) on errors, but also when the buffers run out or the completion queue
 * overflows: then the socket is armed again at the next poll, when the buffers are back.
 *
 * Sending: MSG_WAITALL lets the kernel wait for a slow peer by itself; a send that still comes back
 * short goes on from where it stopped. Sockets that send a lot are registered (ring_fixed.c). The
 * msghdr of a send need only stand until the kernel has taken the submission entry, so there is one
 * for each entry of the queue.
 */
#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/ring.h"
#include "io/transfer.h"

enum { SENDS_BEFORE_SLOT = 64 };

/* ---- the shared buffers ---- */

static uint8_t *buffer_at(struct ring *ring, uint32_t index)
{
    return ring->buffer_bytes + (size_t)index * ring->io.options.recv_buffer_bytes;
}

static void buffer_give(struct ring *ring, uint16_t index)
{
    ASSERT(index < ring->io.options.recv_buffers);
    io_uring_buf_ring_add(ring->buffers, buffer_at(ring, index), ring->io.options.recv_buffer_bytes,
                          index, ring->buffer_mask, 0);
    io_uring_buf_ring_advance(ring->buffers, 1);
}

int ring_buffers_init(struct ring *ring)
{
    uint32_t count = ring->io.options.recv_buffers;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    ring->buffers = mem_alloc_aligned(page, count * sizeof(struct io_uring_buf));
    ring->buffer_bytes =
        mem_alloc_aligned(page, (size_t)count * ring->io.options.recv_buffer_bytes);
    if (ring->buffers == NULL || ring->buffer_bytes == NULL) {
        return ERR_MEMORY;
    }
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)ring->buffers,
        .ring_entries = count,
        .bgid = RING_BUFFER_GROUP,
    };
    io_uring_buf_ring_init(ring->buffers);
    ring->buffer_mask = io_uring_buf_ring_mask(count);
    TRY(io_uring_register_buf_ring(&ring->uring, &registration, 0));
    for (uint32_t i = 0; i < count; i++) {
        buffer_give(ring, (uint16_t)i);
    }
    return 0;
}

void ring_buffers_deinit(struct ring *ring)
{
    mem_free(ring->buffers);
    mem_free(ring->buffer_bytes);
}

/* ---- receiving ---- */

static bool recv_start(struct ring *ring, struct io_socket *socket)
{
    struct io_uring_sqe *sqe = ring_sqe(ring);
    if (sqe == NULL) {
        return false;
    }
    io_uring_prep_recv_multishot(sqe, socket->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = RING_BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, ring_user_data(socket, RING_TAG_RECV));
    socket->armed = true;
    return true;
}

void ring_recv_arm(struct io *io, struct io_socket *socket)
{
    if (!list_node_linked(&socket->node)) {
        list_push_back(&ring_of(io)->recv_waiting, &socket->node);
    }
}

void ring_recv_cancel(struct io *io, struct io_socket *socket)
{
    socket->cancelling = ring_cancel(ring_of(io), ring_user_data(socket, RING_TAG_RECV));
}

void ring_socket_forget(struct io *io, struct io_socket *socket)
{
    if (list_node_linked(&socket->node)) {
        list_remove(&socket->node);
    }
    ring_file_remove(ring_of(io), socket->fd);
}

static void recv_restart(struct ring *ring)
{
    struct list_node *node;
    while ((node = list_first(&ring->recv_waiting)) != NULL) {
        struct io_socket *socket = container_of(node, struct io_socket, node);
        if (io_recv_wanted(socket) && !recv_start(ring, socket)) {
            return;
        }
        list_remove(node);
    }
}

/* Errors that end the multishot request, but say nothing about the connection. */
static bool recv_is_interrupted(int32_t result)
{
    return result == -ENOBUFS || result == -ECANCELED || result == -EAGAIN || result == -EINTR;
}

int ring_recv_complete(struct ring *ring, struct io_socket *socket, const struct io_uring_cqe *cqe)
{
    ASSERT(socket->armed);
    int ran = 0;
    bool has_buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0;
    uint16_t index = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    if (!recv_is_interrupted(cqe->res)) {
        ASSERT(cqe->res <= 0 || has_buffer);
        ran = io_received(&ring->io, socket, has_buffer ? buffer_at(ring, index) : NULL, cqe->res);
    }
    if (has_buffer) {
        buffer_give(ring, index);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        io_recv_disarmed(&ring->io, socket);
    } else if ((socket->paused || socket->closing) && !socket->cancelling) {
        /* The cancel found no submission entry before. */
        ring_recv_cancel(&ring->io, socket);
    }
    return ran;
}

/* ---- accepting ---- */

void ring_accept_arm(struct io *io, struct io_accept *accept)
{
    struct io_uring_sqe *sqe = ring_sqe(ring_of(io));
    if (sqe != NULL) {
        io_uring_prep_multishot_accept(sqe, accept->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        io_uring_sqe_set_data64(sqe, ring_user_data(accept, RING_TAG_ACCEPT));
        accept->armed = true;
    }
}

void ring_accept_cancel(struct io *io, struct io_accept *accept)
{
    /* Without a submission entry it goes on, and what it accepts is closed (io_accepted). */
    (void)ring_cancel(ring_of(io), ring_user_data(accept, RING_TAG_ACCEPT));
}

int ring_accept_complete(struct ring *ring, struct io_accept *accept,
                         const struct io_uring_cqe *cqe)
{
    ASSERT(accept->armed);
    int ran = 0;
    if (cqe->res != -ECANCELED && cqe->res != -ECONNABORTED && cqe->res != -EINTR) {
        ran = io_accepted(&ring->io, accept, cqe->res);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        io_accept_disarmed(&ring->io, accept);
    }
    return ran;
}

/* ---- sending ---- */

/* All parts behind `rest` at once, or only the part that it cuts: the iovecs are the caller's and
 * aren't changed, and after a short send one more step does no harm. */
static void prep_send(struct ring *ring, struct io_uring_sqe *sqe, const struct io_op *op)
{
    const int flags = MSG_NOSIGNAL | MSG_WAITALL;
    struct io_send_rest rest = io_send_rest(op);
    const struct iovec *first = &op->iov[rest.index];
    if (rest.skip > 0 || rest.index + 1 == op->iov_count) {
        uint8_t *base = first->iov_base;
        io_uring_prep_send(sqe, op->fd, base + rest.skip, first->iov_len - rest.skip, flags);
        return;
    }
    struct msghdr *message = &ring->messages_of_sqes[sqe - ring->uring.sq.sqes];
    message->msg_iov = (struct iovec *)first;
    message->msg_iovlen = op->iov_count - rest.index;
    io_uring_prep_sendmsg(sqe, op->fd, message, flags);
}

/* A slot pays after some sends; a connection that is closed sooner gets none. */
static void send_use_slot(struct ring *ring, struct io_uring_sqe *sqe, const struct io_op *op)
{
    struct io_socket *socket = op->body;
    if (socket->body < SENDS_BEFORE_SLOT && ++socket->body == SENDS_BEFORE_SLOT) {
        ring_file_add(&ring->io, op->fd);
    }
    ring_file_use(ring, sqe, op->fd);
}

static bool send_start(struct ring *ring, struct io_op *op)
{
    struct io_uring_sqe *sqe = ring_sqe(ring);
    if (sqe == NULL) {
        return false;
    }
    prep_send(ring, sqe, op);
    send_use_slot(ring, sqe, op);
    io_uring_sqe_set_data64(sqe, ring_user_data(op, RING_TAG_SEND));
    ring->sends_filled++;
    return true;
}

void ring_send_submit(struct ring *ring, struct io_op *op)
{
    if (!send_start(ring, op)) {
        list_push_back(&ring->send_waiting, &op->node);
    }
}

static void send_restart(struct ring *ring)
{
    struct list_node *node;
    while ((node = list_first(&ring->send_waiting)) != NULL) {
        if (!send_start(ring, container_of(node, struct io_op, node))) {
            return;
        }
        list_remove(node);
    }
}

int ring_send_complete(struct ring *ring, struct io_op *op, int32_t result)
{
    if (result > 0) {
        ASSERT((uint32_t)result <= op->bytes - op->progress);
        op->progress += (uint32_t)result;
        op->retries = 0;
        if (op->progress == op->bytes) {
            io_op_end(&ring->io, op, 0);
            return 1;
        }
    } else if (!transfer_retry(op, result)) {
        io_op_end(&ring->io, op, result < 0 ? result : -EIO);
        return 1;
    }
    ring_send_submit(ring, op);
    return 0;
}

void ring_net_restart(struct ring *ring)
{
    send_restart(ring);
    recv_restart(ring);
}

/* ---- the probe ---- */

/* Waits a second at most for the receive's completion and gives its buffer back. */
static int probe_wait(struct ring *ring, struct io_uring_cqe *ret_cqe)
{
    struct __kernel_timespec second = {.tv_sec = 1};
    struct io_uring_cqe *cqe;
    TRY(io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1, &second, NULL));
    *ret_cqe = *cqe;
    io_uring_cqe_seen(&ring->uring, cqe);
    if ((ret_cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        buffer_give(ring, (uint16_t)(ret_cqe->flags >> IORING_CQE_BUFFER_SHIFT));
    }
    return 0;
}

static int probe_receive(struct ring *ring, int ends[2])
{
    struct io_socket socket = {.fd = ends[0]};
    struct io_uring_cqe cqe;
    const unsigned wanted = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
    if (send(ends[1], "x", 1, MSG_NOSIGNAL) != 1 || !recv_start(ring, &socket)) {
        return -EIO;
    }
    TRY(probe_wait(ring, &cqe));
    if (cqe.res != 1 || (cqe.flags & wanted) != wanted) {
        return cqe.res < 0 ? cqe.res : -EINVAL;
    }
    (void)shutdown(ends[1], SHUT_RDWR);
    TRY(probe_wait(ring, &cqe));
    return (cqe.flags & IORING_CQE_F_MORE) == 0 ? 0 : -EINVAL;
}

int ring_net_probe(struct ring *ring)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        return -errno;
    }
    int err = probe_receive(ring, ends);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return err;
}
