#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/io_body.h"

enum {
    SOCKETS_COUNT_MIN = 64, /* first size of the table of sockets */
    NS_PER_MS = 1000000,
};

/* ---- the spare descriptor ---- */

static void spare_open(struct io *io)
{
    if (io->spare_fd < 0) {
        io->spare_fd = eventfd(0, EFD_CLOEXEC);
    }
}

static void spare_close(struct io *io)
{
    if (io->spare_fd >= 0) {
        (void)close(io->spare_fd);
        io->spare_fd = -1;
    }
}

/* ---- creation ---- */

struct io_options io_options_default(void)
{
    return (struct io_options){
        .backend = IO_BACKEND_AUTO,
        .ops_max = 256,
        .recv_buffers = 512,
        .recv_buffer_bytes = 8192,
        .file_threads = 8,
        .lock_fd = -1,
        .files_max = 4096,
        .regions_max = 4096,
    };
}

static int options_check(const struct io_options *options)
{
    bool ok = options->ops_max >= 1 && options->ops_max <= IO_OPS_MAX &&
              is_power_of_two(options->recv_buffers) &&
              options->recv_buffers <= IO_RECV_BUFFERS_MAX && options->recv_buffer_bytes >= 1 &&
              options->recv_buffer_bytes <= IO_RECV_BUFFER_BYTES_MAX &&
              options->file_threads >= 1 && options->file_threads <= IO_FILE_THREADS_MAX &&
              options->files_max <= IO_FILES_MAX && options->regions_max <= IO_REGIONS_MAX;
    return ok ? 0 : -EINVAL;
}

/* A write above RLIMIT_FSIZE raises SIGXFSZ, which would end the process; ignored, the write fails
 * with EFBIG. A handler that the program has set itself is left alone. */
static void ignore_sigxfsz(void)
{
    struct sigaction action;
    if (sigaction(SIGXFSZ, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action = (struct sigaction){.sa_handler = SIG_IGN};
        (void)sigaction(SIGXFSZ, &action, NULL);
    }
}

static io_create_fn *create_instead;

void io_set_create(io_create_fn *create)
{
    create_instead = create;
}

int io_create(const struct io_options *options, struct io **ret_io)
{
    TRY(options_check(options));
    if (create_instead != NULL) {
        return create_instead(options, ret_io);
    }
    ignore_sigxfsz();
    if (options->backend != IO_BACKEND_POSIX) {
        int err = ring_create(options, ret_io);
        if (err == 0 || options->backend == IO_BACKEND_URING) {
            return err;
        }
    }
    return posix_create(options, ret_io);
}

void io_destroy(struct io *io)
{
    if (io == NULL) {
        return;
    }
    ASSERT(io->pending == 0);
    ASSERT(!io->polling);
    io->vtable->destroy(io);
}

void io_init_body(struct io *io, const struct io_vtable *vtable, const struct io_options *options)
{
    *io = (struct io){.vtable = vtable, .options = *options, .spare_fd = -1};
    list_init(&io->ready);
    list_init(&io->closed);
    list_init(&io->accepts);
}

void io_deinit_body(struct io *io)
{
    ASSERT(list_empty(&io->ready));
    ASSERT(list_empty(&io->closed));
    struct list_node *node;
    while ((node = list_pop_front(&io->accepts)) != NULL) {
        mem_free(container_of(node, struct io_accept, node));
    }
    spare_close(io);
    mem_free(io->sockets);
}

const char *io_name(const struct io *io)
{
    return io->vtable->name;
}

void io_stats(const struct io *io, struct io_stats *ret_stats)
{
    *ret_stats = io->stats;
}

uint32_t io_pending(const struct io *io)
{
    return io->pending;
}

/* ---- what the kernel may know beforehand ---- */

void io_file_add(struct io *io, int fd)
{
    ASSERT(fd >= 0);
    if (io->vtable->file_add != NULL) {
        io->vtable->file_add(io, fd);
    }
}

uint32_t io_region_add(struct io *io, void *base, size_t bytes)
{
    ASSERT(bytes > 0);
    return io->vtable->region_add == NULL ? 0 : io->vtable->region_add(io, base, bytes);
}

void io_region_remove(struct io *io, uint32_t region)
{
    if (region != 0) {
        io->vtable->region_remove(io, region);
    }
}

/* ---- the table of sockets ---- */

static struct io_socket *socket_find(const struct io *io, int fd)
{
    return (uint32_t)fd < io->sockets_count ? io->sockets[fd] : NULL;
}

static int socket_table_grow(struct io *io, uint32_t fd)
{
    uint32_t count = io->sockets_count > 0 ? io->sockets_count : SOCKETS_COUNT_MIN;
    while (count <= fd) {
        count *= 2;
    }
    struct io_socket **sockets = mem_realloc(io->sockets, count * sizeof(sockets[0]));
    if (sockets == NULL) {
        return ERR_MEMORY;
    }
    memset(sockets + io->sockets_count, 0, (count - io->sockets_count) * sizeof(sockets[0]));
    io->sockets = sockets;
    io->sockets_count = count;
    return 0;
}

static int socket_add(struct io *io, struct io_socket *socket)
{
    uint32_t fd = (uint32_t)socket->fd;
    if (fd >= io->sockets_count) {
        TRY(socket_table_grow(io, fd));
    }
    ASSERT(io->sockets[fd] == NULL);
    io->sockets[fd] = socket;
    return 0;
}

static void socket_remove(struct io *io, const struct io_socket *socket)
{
    if (socket_find(io, socket->fd) == socket) {
        io->sockets[socket->fd] = NULL;
    }
}

/* Closes the fd of a closing socket as soon as nothing refers to it. */
static void socket_settle(struct io *io, struct io_socket *socket)
{
    bool closed = socket->fd < 0;
    if (closed || !socket->closing || socket->armed || socket->send != NULL) {
        return;
    }
    io->vtable->socket_forget(io, socket);
    ASSERT(!list_node_linked(&socket->node));
    socket_remove(io, socket);
    io->vtable->close(socket->fd);
    socket->fd = -1;
    list_push_back(&io->closed, &socket->node);
}

/* ---- operations ---- */

static void count_submitted(struct io_stats *stats, const struct io_op *op)
{
    stats->reads += op->kind == IO_READ;
    stats->writes += op->kind == IO_WRITE;
    stats->syncs += op->kind == IO_SYNC_DATA || op->kind == IO_SYNC_ALL;
    stats->sends += op->kind == IO_SEND;
}

static void count_ended(struct io_stats *stats, const struct io_op *op)
{
    if (op->result < 0) {
        return;
    }
    stats->read_bytes += op->kind == IO_READ ? (uint32_t)op->result : 0;
    stats->write_bytes += op->kind == IO_WRITE ? (uint32_t)op->result : 0;
    stats->sent_bytes += op->kind == IO_SEND ? op->bytes : 0;
}

static uint32_t send_total(const struct io_op *op)
{
    ASSERT(op->iov_count <= IO_SEND_PARTS_MAX);
    size_t total = 0;
    for (uint32_t i = 0; i < op->iov_count; i++) {
        ASSERT(op->iov[i].iov_len <= IO_BYTES_MAX - total);
        total += op->iov[i].iov_len;
    }
    return (uint32_t)total;
}

static void submit_send(struct io *io, struct io_op *op)
{
    struct io_socket *socket = socket_find(io, op->fd);
    op->bytes = send_total(op);
    op->body = NULL;
    if (socket == NULL || socket->closing) {
        io_op_end_later(io, op, -EPIPE);
        return;
    }
    ASSERT(socket->send == NULL);
    if (op->bytes == 0) {
        io_op_end_later(io, op, 0);
        return;
    }
    op->body = socket;
    socket->send = op;
    io->vtable->submit(io, op);
}

void io_submit(struct io *io, struct io_op *op)
{
    ASSERT(op->done != NULL);
    ASSERT(op->kind < IO_KIND_COUNT);
    ASSERT(op->bytes <= IO_BYTES_MAX);
    op->progress = 0;
    op->retries = 0;
    op->stuck = 0;
    list_node_init(&op->node);
    io->pending++;
    count_submitted(&io->stats, op);
    bool moves_nothing = (op->kind == IO_READ || op->kind == IO_WRITE) && op->bytes == 0;
    if (op->kind == IO_SEND) {
        submit_send(io, op);
    } else if (moves_nothing) {
        io_op_end_later(io, op, 0);
    } else {
        io->vtable->submit(io, op);
    }
}

/* Frees the socket of an ended send for the next one, or for its close. */
static void send_release(struct io *io, struct io_op *op)
{
    struct io_socket *socket = op->body;
    if (socket != NULL) {
        ASSERT(socket->send == op);
        socket->send = NULL;
        op->body = NULL;
        socket_settle(io, socket);
    }
}

static void op_finish(struct io *io, struct io_op *op)
{
    ASSERT(io->pending > 0);
    io->pending--;
    count_ended(&io->stats, op);
    op->done(op);
}

void io_op_end(struct io *io, struct io_op *op, int32_t result)
{
    ASSERT(io->polling);
    op->result = result;
    if (op->kind == IO_SEND) {
        send_release(io, op);
    }
    op_finish(io, op);
}

void io_op_end_later(struct io *io, struct io_op *op, int32_t result)
{
    op->result = result;
    if (op->kind == IO_SEND) {
        send_release(io, op);
    }
    list_push_back(&io->ready, &op->node);
}

struct io_send_rest io_send_rest(const struct io_op *op)
{
    struct io_send_rest rest = {.index = 0, .skip = op->progress};
    ASSERT(op->progress < op->bytes);
    while (rest.skip >= op->iov[rest.index].iov_len) {
        rest.skip -= op->iov[rest.index].iov_len;
        rest.index++;
        ASSERT(rest.index < op->iov_count);
    }
    return rest;
}

int64_t io_send_now(struct io *io, int fd, const void *data, size_t bytes)
{
    int64_t sent = io->vtable->send_now(fd, data, bytes);
    if (sent >= 0) {
        io->stats.sends++;
        io->stats.sent_bytes += (uint64_t)sent;
    }
    return sent;
}

/* ---- the kernel's socket calls ---- */

int io_system_accept_now(int fd)
{
    /* A ring's listener is in blocking mode, and whoever is waiting may go before we come. */
    int flags = fcntl(fd, F_GETFL);
    (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int result = accepted < 0 ? -errno : accepted;
    (void)fcntl(fd, F_SETFL, flags);
    return result;
}

int64_t io_system_send_now(int fd, const void *data, size_t bytes)
{
    ssize_t sent = send(fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        return errno == EINTR ? -EAGAIN : -errno;
    }
    return sent;
}

void io_system_shutdown(int fd)
{
    (void)shutdown(fd, SHUT_RDWR);
}

void io_system_close(int fd)
{
    (void)close(fd);
}

/* ---- listeners ---- */

void io_listen_start(struct io *io, struct io_listener *listener, int fd, io_accept_fn *on_accept)
{
    ASSERT(listener->accept == NULL);
    struct io_accept *accept = mem_must_calloc(1, sizeof(*accept));
    *accept = (struct io_accept){.fd = fd, .listener = listener};
    *listener = (struct io_listener){.fd = fd, .on_accept = on_accept, .accept = accept};
    list_push_back(&io->accepts, &accept->node);
    spare_open(io);
    io->vtable->accept_arm(io, accept);
    io->accepts_waiting |= !accept->armed;
}

void io_listen_stop(struct io *io, struct io_listener *listener)
{
    struct io_accept *accept = listener->accept;
    ASSERT(accept != NULL);
    accept->listener = NULL;
    listener->accept = NULL;
    io->accepts_waiting = true;
    if (accept->armed) {
        io->vtable->accept_cancel(io, accept);
    }
}

uint32_t io_listen_refuse(struct io *io, struct io_listener *listener, const void *text,
                          size_t bytes)
{
    uint32_t refused = 0;
    /* Also if somebody else has got hold of the spare one before: maybe there is another again. */
    spare_close(io);
    while (refused < IO_REFUSALS_MAX) {
        int fd = io->vtable->accept_now(listener->fd);
        if (fd == -EINTR || fd == -ECONNABORTED) {
            continue;
        }
        if (fd < 0) {
            break;
        }
        IGNORE(io_send_now(io, fd, text, bytes), "refused whether it hears why or not");
        io->vtable->close(fd);
        refused++;
    }
    spare_open(io);
    return refused;
}

int io_accepted(struct io *io, struct io_accept *accept, int fd)
{
    if (accept->listener == NULL) {
        if (fd >= 0) {
            io->vtable->close(fd);
        }
        return 0;
    }
    if (fd < 0) {
        /* Out of descriptors or memory, mostly: trying again at once would spin. */
        accept->resume_ns = clock_mono_ns() + (int64_t)IO_ACCEPT_PAUSE_MS * NS_PER_MS;
    }
    io->stats.accepts += fd >= 0;
    accept->listener->on_accept(accept->listener, fd);
    return 1;
}

void io_accept_disarmed(struct io *io, struct io_accept *accept)
{
    ASSERT(accept->armed);
    accept->armed = false;
    io->accepts_waiting = true;
}

/* Arms what is due, frees what has stopped; shortens the wait to the next that is due. */
static void accepts_sweep(struct io *io, struct io_wait *wait)
{
    int64_t now = clock_mono_ns();
    io->accepts_waiting = false;
    LIST_FOREACH_SAFE (&io->accepts, node) {
        struct io_accept *accept = container_of(node, struct io_accept, node);
        bool stopped = accept->listener == NULL;
        if (stopped && !accept->armed) {
            list_remove(&accept->node);
            mem_free(accept);
            continue;
        }
        if (!accept->armed && now >= accept->resume_ns) {
            io->vtable->accept_arm(io, accept);
        }
        if (!accept->armed) {
            int64_t rest_ns = max_i64(accept->resume_ns - now, NS_PER_MS);
            bool sooner = wait->timeout_ns < 0 || rest_ns < wait->timeout_ns;
            wait->timeout_ns = sooner ? rest_ns : wait->timeout_ns;
        }
        io->accepts_waiting |= stopped || !accept->armed;
    }
}

/* ---- connections ---- */

void io_recv_start(struct io *io, struct io_socket *socket, int fd, io_recv_fn *on_recv)
{
    ASSERT(fd >= 0);
    *socket = (struct io_socket){.fd = fd, .on_recv = on_recv};
    if (socket_add(io, socket) < 0) {
        /* No memory for a table entry: the owner sees the connection end and closes it. */
        io->vtable->shutdown(fd);
    }
    io->vtable->recv_arm(io, socket);
}

static void recv_cancel(struct io *io, struct io_socket *socket)
{
    if (socket->armed && !socket->cancelling) {
        io->vtable->recv_cancel(io, socket);
    }
}

void io_recv_pause(struct io *io, struct io_socket *socket)
{
    ASSERT(!socket->closing);
    socket->paused = true;
    recv_cancel(io, socket);
}

void io_recv_resume(struct io *io, struct io_socket *socket)
{
    ASSERT(!socket->closing);
    socket->paused = false;
    if (!socket->armed && !socket->ended) {
        io->vtable->recv_arm(io, socket);
    }
}

void io_socket_close(struct io *io, struct io_socket *socket, io_closed_fn *on_closed)
{
    ASSERT(!socket->closing);
    socket->closing = true;
    socket->on_closed = on_closed;
    io->pending++;
    /* Ends a send that waits for a slow peer, and the receive if it can't be cancelled. */
    io->vtable->shutdown(socket->fd);
    recv_cancel(io, socket);
    socket_settle(io, socket);
}

int io_received(struct io *io, struct io_socket *socket, const uint8_t *data, int32_t bytes)
{
    if (socket->closing || socket->ended) {
        return 0;
    }
    io->stats.receives += bytes > 0;
    io->stats.received_bytes += bytes > 0 ? (uint32_t)bytes : 0;
    socket->ended = bytes <= 0;
    socket->on_recv(socket, data, bytes);
    return 1;
}

void io_recv_disarmed(struct io *io, struct io_socket *socket)
{
    ASSERT(socket->armed);
    socket->armed = false;
    socket->cancelling = false;
    if (socket->closing) {
        socket_settle(io, socket);
    } else if (!socket->paused && !socket->ended) {
        io->vtable->recv_arm(io, socket);
    }
}

/* ---- the pass ---- */

static int run_ready(struct io *io)
{
    struct list due;
    list_init(&due);
    list_splice_back(&due, &io->ready);
    int ran = 0;
    struct list_node *node;
    while ((node = list_pop_front(&due)) != NULL) {
        op_finish(io, container_of(node, struct io_op, node));
        ran++;
    }
    return ran;
}

static int run_closed(struct io *io)
{
    struct list due;
    list_init(&due);
    list_splice_back(&due, &io->closed);
    int ran = 0;
    struct list_node *node;
    while ((node = list_pop_front(&due)) != NULL) {
        struct io_socket *socket = container_of(node, struct io_socket, node);
        ASSERT(io->pending > 0);
        io->pending--;
        socket->on_closed(socket);
        ran++;
    }
    return ran;
}

int io_poll(struct io *io, const struct io_wait *wait)
{
    ASSERT(!io->polling);
    struct io_wait bounded = *wait;
    io->polling = true;
    io->stats.polls++;
    if (UNLIKELY(io->accepts_waiting)) {
        accepts_sweep(io, &bounded);
    }
    if (!list_empty(&io->ready) || !list_empty(&io->closed)) {
        bounded.timeout_ns = 0;
    }
    int ran = io->vtable->poll(io, &bounded);
    if (ran >= 0) {
        ran += run_ready(io);
        ran += run_closed(io);
    }
    io->polling = false;
    return ran;
}

void io_wake(struct io *io, struct io *from)
{
    io->vtable->wake(io, from);
}
