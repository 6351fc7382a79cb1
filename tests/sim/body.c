#include "body.h"

#include <errno.h>

#include "base/list.h"
#include "base/mem.h"
#include "disk.h"
#include "io/io_body.h"
#include "io/transfer.h"
#include "threads.h"
#include "wire.h"
#include "world.h"

enum {
    RECEIVES_MAX = 4,        /* of one socket in one poll */
    HELD_BACK_RATE = 100000, /* an event that is seen one poll later */
};

struct body {
    struct io io;
    struct sim_thread *owner;
    struct list ended; /* operations that the disk has ended, with the attempt's result */
    bool woken;
    bool news; /* a wire or a listener has something */
    uint8_t *recv_buffer;
};

static struct disk *body_disk;

void body_set_disk(struct disk *disk)
{
    body_disk = disk;
}

static struct body *body_of(struct io *io)
{
    return container_of(io, struct body, io);
}

static void body_nudge(void *context)
{
    struct body *body = context;
    body->news = true;
    if (body->owner != NULL) {
        threads_unblock(body->owner);
    }
}

/* ---- disk ---- */

static void disk_ended(void *context, struct io_op *op, int32_t result)
{
    struct body *body = context;
    op->result = result;
    list_push_back(&body->ended, &op->node);
    body_nudge(body);
}

static int run_ended(struct body *body)
{
    int ran = 0;
    struct list due;
    list_init(&due);
    list_splice_back(&due, &body->ended);
    struct list_node *node;
    while ((node = list_pop_front(&due)) != NULL) {
        struct io_op *op = container_of(node, struct io_op, node);
        int32_t result;
        if (world_chance(STREAM_SCHED, HELD_BACK_RATE)) {
            list_push_back(&body->ended, &op->node);
            body->news = true;
        } else if (transfer_advance(op, op->result, &result)) {
            io_op_end(&body->io, op, result);
            ran++;
        } else {
            disk_submit(body_disk, op, disk_ended, body);
        }
    }
    return ran;
}

/* ---- sending ---- */

/* 0: all is sent, -EAGAIN: the wire is full, or its error. */
static int send_some(struct io_op *op)
{
    while (op->progress < op->bytes) {
        struct io_send_rest rest = io_send_rest(op);
        const struct iovec *part = &op->iov[rest.index];
        int64_t sent = wire_write(op->fd, (const uint8_t *)part->iov_base + rest.skip,
                                  part->iov_len - rest.skip);
        if (sent < 0) {
            return (int)sent;
        }
        op->progress += (uint32_t)sent;
    }
    return 0;
}

static void body_submit(struct io *io, struct io_op *op)
{
    struct body *body = body_of(io);
    if (op->kind != IO_SEND) {
        disk_submit(body_disk, op, disk_ended, body);
        return;
    }
    wire_watch(op->fd, body_nudge, body);
    body_nudge(body);
}

/* ---- the sockets of one poll ---- */

static int socket_send(struct body *body, struct io_socket *socket)
{
    struct io_op *op = socket->send;
    if (op == NULL || !wire_writable(socket->fd)) {
        return 0;
    }
    int result = send_some(op);
    if (result == -EAGAIN) {
        return 0;
    }
    io_op_end(&body->io, op, result);
    return 1;
}

static int socket_receive(struct body *body, struct io_socket *socket)
{
    int ran = 0;
    for (uint32_t i = 0; i < RECEIVES_MAX && socket->armed && wire_readable(socket->fd); i++) {
        size_t room = world_between(STREAM_NET, 1, body->io.options.recv_buffer_bytes);
        int64_t bytes = wire_read(socket->fd, body->recv_buffer, room);
        if (bytes == -EAGAIN) {
            break;
        }
        ran += io_received(&body->io, socket, body->recv_buffer, (int32_t)bytes);
        if (socket->ended && socket->armed) {
            io_recv_disarmed(&body->io, socket);
        }
    }
    if (socket->armed && socket->fd >= 0 && wire_readable(socket->fd)) {
        body->news = true;
    }
    return ran;
}

static int run_sockets(struct body *body)
{
    int ran = 0;
    for (uint32_t fd = 0; fd < body->io.sockets_count; fd++) {
        struct io_socket *socket = body->io.sockets[fd];
        if (socket != NULL) {
            ran += socket_send(body, socket);
        }
        socket = body->io.sockets[fd]; /* the send's end may have been its own */
        if (socket != NULL) {
            ran += socket_receive(body, socket);
        }
    }
    return ran;
}

static void body_recv_arm(struct io *io, struct io_socket *socket)
{
    if (io_recv_wanted(socket)) {
        socket->armed = true;
        wire_watch(socket->fd, body_nudge, body_of(io));
        body_nudge(body_of(io));
    }
}

static void body_recv_cancel(struct io *io, struct io_socket *socket)
{
    io_recv_disarmed(io, socket);
}

static void body_socket_forget(struct io *io, struct io_socket *socket)
{
    (void)io;
    (void)socket;
}

/* ---- accepting ---- */

static void body_accept_arm(struct io *io, struct io_accept *accept)
{
    accept->armed = true;
    wire_listen(accept->fd, body_nudge, body_of(io));
    body_nudge(body_of(io));
}

static void body_accept_cancel(struct io *io, struct io_accept *accept)
{
    wire_listen(accept->fd, NULL, NULL);
    io_accept_disarmed(io, accept);
}

static int run_accepts(struct body *body)
{
    int ran = 0;
    LIST_FOREACH_SAFE (&body->io.accepts, node) {
        struct io_accept *accept = container_of(node, struct io_accept, node);
        int fd;
        while (accept->armed && (fd = wire_accept(accept->fd)) >= 0) {
            ran += io_accepted(&body->io, accept, fd);
        }
    }
    return ran;
}

/* ---- the pass ---- */

static int body_poll(struct io *io, const struct io_wait *wait)
{
    struct body *body = body_of(io);
    body->owner = threads_self();
    if (wait->timeout_ns == 0 || body->woken || body->news || !list_empty(&body->ended)) {
        threads_preempt();
    } else {
        int64_t until = wait->timeout_ns < 0 ? INT64_MAX : world_now_ns() + wait->timeout_ns;
        (void)threads_block(until);
    }
    body->woken = false;
    io_waited(wait);
    int ran = 0;
    if (body->news) {
        body->news = false;
        ran += run_accepts(body);
        ran += run_sockets(body);
    }
    return ran + run_ended(body);
}

static void body_wake(struct io *io, struct io *from)
{
    (void)from;
    struct body *body = body_of(io);
    body->woken = true;
    if (body->owner != NULL) {
        threads_unblock(body->owner);
    }
}

static int64_t body_send_now(int fd, const void *data, size_t bytes)
{
    return wire_write(fd, data, world_between(STREAM_NET, 1, bytes));
}

static void body_destroy(struct io *io)
{
    struct body *body = body_of(io);
    SIM_CHECK(list_empty(&body->ended), "an io is destroyed with operations in flight");
    mem_free(body->recv_buffer);
    io_deinit_body(io);
    mem_free(body);
}

static const struct io_vtable body_vtable = {
    .name = "simulated",
    .destroy = body_destroy,
    .submit = body_submit,
    .accept_arm = body_accept_arm,
    .accept_cancel = body_accept_cancel,
    .recv_arm = body_recv_arm,
    .recv_cancel = body_recv_cancel,
    .socket_forget = body_socket_forget,
    .accept_now = wire_accept,
    .send_now = body_send_now,
    .shutdown = wire_shutdown,
    .close = wire_close_fd,
    .poll = body_poll,
    .wake = body_wake,
};

int body_create(const struct io_options *options, struct io **ret_io)
{
    struct body *body = mem_calloc(1, sizeof(*body));
    if (body == NULL) {
        return ERR_MEMORY;
    }
    io_init_body(&body->io, &body_vtable, options);
    list_init(&body->ended);
    body->recv_buffer = mem_alloc(options->recv_buffer_bytes);
    if (body->recv_buffer == NULL) {
        body_destroy(&body->io);
        return ERR_MEMORY;
    }
    *ret_io = &body->io;
    return 0;
}
