/*
 * The posix body of io.h: epoll for sockets, a few threads for files (posix_files.c). For kernels
 * and containers that refuse io_uring.
 *
 * Level-triggered: a socket stands in the epoll set with exactly the events that somebody waits for
 * now, and isn't in it otherwise (a hung-up peer is reported whatever one asks for, which would
 * spin). socket->body holds the events it is registered with; 0: not in the set.
 *
 * A callback may close any socket or listener while later events of the same epoll_wait still point
 * to it. The objects outlive the pass (on_closed and the sweep of accepts come outside of it), so
 * such an event finds body == 0 or armed == false and is passed over.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "io/io_body.h"
#include "io/posix_files.h"

enum {
    EVENTS_MAX = 256,  /* of one poll */
    ACCEPTS_MAX = 64,  /* of one listener in one poll */
    RECEIVES_MAX = 16, /* of one socket in one poll */
    NS_PER_MS = 1000000,
    NS_PER_S = 1000000000,
};

/* What an event points to, in the low bits of its data. */
enum posix_tag { POSIX_TAG_WAKE, POSIX_TAG_ACCEPT, POSIX_TAG_SOCKET, POSIX_TAG_MASK };

struct posix {
    struct io io;
    int epoll_fd;
    int wake_fd;        /* eventfd: io_wake, and the file threads */
    bool waits_in_ms;   /* the kernel has no epoll_pwait2 (5.11) */
    struct list failed; /* sockets that epoll took not; they end with -ENOMEM */
    struct posix_files *files;
    uint8_t *recv_buffer; /* shared by all sockets; lent to on_recv */
    struct epoll_event events[EVENTS_MAX];
};

static struct posix *posix_of(struct io *io)
{
    return (struct posix *)(void *)io;
}

/* ---- the epoll set ---- */

static uint64_t event_data(const void *object, enum posix_tag tag)
{
    ASSERT(((uintptr_t)object & POSIX_TAG_MASK) == 0);
    return (uint64_t)(uintptr_t)object | tag;
}

static int set_add(struct posix *posix, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(posix->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void set_remove(struct posix *posix, int fd)
{
    int err = epoll_ctl(posix->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    ASSERT(err == 0);
}

static int set_change(struct posix *posix, struct io_socket *socket, uint32_t events)
{
    struct epoll_event event = {
        .events = events,
        .data.u64 = event_data(socket, POSIX_TAG_SOCKET),
    };
    int how = socket->body == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (epoll_ctl(posix->epoll_fd, how, socket->fd, &event) < 0) {
        return -errno;
    }
    socket->body = events;
    return 0;
}

/* Registers the socket with what is waited for now. */
static int socket_update(struct posix *posix, struct io_socket *socket)
{
    uint32_t events =
        (socket->armed ? (uint32_t)EPOLLIN : 0) | (socket->send != NULL ? (uint32_t)EPOLLOUT : 0);
    return events == socket->body ? 0 : set_change(posix, socket, events);
}

/* Where it can't fail: events are only taken away. */
static void socket_reduce(struct posix *posix, struct io_socket *socket)
{
    bool closed = socket->fd < 0;
    if (!closed) {
        int err = socket_update(posix, socket);
        ASSERT(err == 0);
    }
}

/* ---- receiving ---- */

static void posix_recv_arm(struct io *io, struct io_socket *socket)
{
    struct posix *posix = posix_of(io);
    if (!io_recv_wanted(socket)) {
        return;
    }
    socket->armed = true;
    if (socket_update(posix, socket) < 0) {
        socket->armed = false;
        if (!list_node_linked(&socket->node)) {
            list_push_back(&posix->failed, &socket->node);
        }
    }
}

static void recv_disarm(struct posix *posix, struct io_socket *socket)
{
    io_recv_disarmed(&posix->io, socket);
    socket_reduce(posix, socket);
}

static void posix_recv_cancel(struct io *io, struct io_socket *socket)
{
    recv_disarm(posix_of(io), socket);
}

static void posix_socket_forget(struct io *io, struct io_socket *socket)
{
    if (list_node_linked(&socket->node)) {
        list_remove(&socket->node);
    }
    if (socket->body != 0) {
        set_remove(posix_of(io), socket->fd);
        socket->body = 0;
    }
}

static int32_t recv_once(struct posix *posix, const struct io_socket *socket)
{
    ssize_t bytes =
        recv(socket->fd, posix->recv_buffer, posix->io.options.recv_buffer_bytes, MSG_DONTWAIT);
    return bytes < 0 ? -errno : (int32_t)bytes;
}

/* Reads until the socket is empty or its share of the pass is used up. */
static int recv_ready(struct posix *posix, struct io_socket *socket)
{
    int ran = 0;
    for (uint32_t i = 0; i < RECEIVES_MAX && socket->armed; i++) {
        int32_t bytes = recv_once(posix, socket);
        if (bytes == -EAGAIN || bytes == -EINTR) {
            break;
        }
        ran += io_received(&posix->io, socket, posix->recv_buffer, bytes);
        if (socket->ended && socket->armed) {
            recv_disarm(posix, socket);
        }
        if (bytes < (int32_t)posix->io.options.recv_buffer_bytes) {
            break;
        }
    }
    return ran;
}

static int end_failed(struct posix *posix)
{
    int ran = 0;
    struct list_node *node;
    while ((node = list_pop_front(&posix->failed)) != NULL) {
        struct io_socket *socket = container_of(node, struct io_socket, node);
        ran += io_received(&posix->io, socket, NULL, -ENOMEM);
    }
    return ran;
}

/* ---- sending ---- */

/* Sends what the socket takes now. The iovecs are the caller's, so the cut one is cut in a copy. */
static int64_t send_once(const struct io_op *op)
{
    struct iovec parts[IO_SEND_PARTS_MAX];
    struct io_send_rest rest = io_send_rest(op);
    uint32_t count = op->iov_count - rest.index;
    for (uint32_t i = 0; i < count; i++) {
        parts[i] = op->iov[rest.index + i];
    }
    parts[0].iov_base = (uint8_t *)parts[0].iov_base + rest.skip;
    parts[0].iov_len -= rest.skip;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = sendmsg(op->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

/* 0: all is with the kernel; -EAGAIN: the socket is full; else the error. */
static int send_some(struct io_op *op)
{
    while (op->progress < op->bytes) {
        int64_t sent = send_once(op);
        if (sent < 0 && sent != -EINTR) {
            return (int)sent;
        }
        op->progress += sent > 0 ? (uint32_t)sent : 0;
    }
    return 0;
}

static void send_start(struct posix *posix, struct io_op *op)
{
    int result = send_some(op);
    if (result == -EAGAIN) {
        result = socket_update(posix, op->body);
        if (result == 0) {
            return;
        }
    }
    io_op_end_later(&posix->io, op, result);
}

static int send_ready(struct posix *posix, struct io_socket *socket)
{
    struct io_op *op = socket->send;
    int result = send_some(op);
    if (result == -EAGAIN) {
        return 0;
    }
    io_op_end(&posix->io, op, result);
    socket_reduce(posix, socket);
    return 1;
}

static int socket_ready(struct posix *posix, struct io_socket *socket, uint32_t events)
{
    int ran = 0;
    /* An error or hang-up shows itself to whoever waits. */
    const uint32_t broken = EPOLLERR | EPOLLHUP;
    if (socket->send != NULL && (events & (EPOLLOUT | broken)) != 0) {
        ran += send_ready(posix, socket);
    }
    if (socket->armed && (events & (EPOLLIN | broken)) != 0) {
        ran += recv_ready(posix, socket);
    }
    return ran;
}

/* ---- accepting ---- */

static void posix_accept_arm(struct io *io, struct io_accept *accept)
{
    int flags = fcntl(accept->fd, F_GETFL);
    /* A connection may be gone again when we get to it; accept must not wait for the next. */
    (void)fcntl(accept->fd, F_SETFL, flags | O_NONBLOCK);
    uint64_t data = event_data(accept, POSIX_TAG_ACCEPT);
    accept->armed = set_add(posix_of(io), accept->fd, EPOLLIN, data) == 0;
}

static void posix_accept_cancel(struct io *io, struct io_accept *accept)
{
    set_remove(posix_of(io), accept->fd);
    io_accept_disarmed(io, accept);
}

static int accept_ready(struct posix *posix, struct io_accept *accept)
{
    int ran = 0;
    for (uint32_t i = 0; i < ACCEPTS_MAX && accept->armed; i++) {
        int fd = accept4(accept->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int result = fd < 0 ? -errno : fd;
        if (result == -EAGAIN) {
            break;
        }
        if (result == -EINTR || result == -ECONNABORTED) {
            continue;
        }
        ran += io_accepted(&posix->io, accept, result);
        if (result < 0 && accept->armed) {
            /* Out of the set until the pause is over. */
            posix_accept_cancel(&posix->io, accept);
        }
    }
    return ran;
}

/* ---- the pass ---- */

static void posix_submit(struct io *io, struct io_op *op)
{
    struct posix *posix = posix_of(io);
    if (op->kind == IO_SEND) {
        send_start(posix, op);
    } else {
        posix_files_submit(posix->files, op);
    }
}

static void posix_wake(struct io *io, struct io *from)
{
    (void)from;
    (void)eventfd_write(posix_of(io)->wake_fd, 1);
}

static int woken(struct posix *posix)
{
    eventfd_t count;
    (void)eventfd_read(posix->wake_fd, &count);
    posix->io.stats.wakes++;
    struct list ended;
    list_init(&ended);
    posix_files_reap(posix->files, &ended);
    int ran = 0;
    struct list_node *node;
    while ((node = list_pop_front(&ended)) != NULL) {
        struct io_op *op = container_of(node, struct io_op, node);
        io_op_end(&posix->io, op, op->result);
        ran++;
    }
    return ran;
}

static int dispatch(struct posix *posix, const struct epoll_event *event)
{
    void *object = (void *)(uintptr_t)(event->data.u64 & ~(uint64_t)POSIX_TAG_MASK);
    switch ((enum posix_tag)(event->data.u64 & POSIX_TAG_MASK)) {
    case POSIX_TAG_WAKE:
        return woken(posix);
    case POSIX_TAG_ACCEPT:
        return accept_ready(posix, object);
    case POSIX_TAG_SOCKET:
        return socket_ready(posix, object, event->events);
    case POSIX_TAG_MASK:
        break;
    }
    UNREACHABLE("an event without a known tag");
}

static int wait_ms(struct posix *posix, int64_t timeout_ns)
{
    int64_t timeout_ms = timeout_ns < 0 ? -1 : (timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    timeout_ms = min_i64(timeout_ms, INT32_MAX);
    return epoll_wait(posix->epoll_fd, posix->events, EVENTS_MAX, (int)timeout_ms);
}

static int wait_ns(struct posix *posix, int64_t timeout_ns)
{
    struct timespec timeout = {
        .tv_sec = timeout_ns / NS_PER_S,
        .tv_nsec = timeout_ns % NS_PER_S,
    };
    return epoll_pwait2(posix->epoll_fd, posix->events, EVENTS_MAX,
                        timeout_ns < 0 ? NULL : &timeout, NULL);
}

/* The number of events, or -errno. */
static int wait_events(struct posix *posix, int64_t timeout_ns)
{
    int count = -1;
    if (!posix->waits_in_ms) {
        count = wait_ns(posix, timeout_ns);
        posix->waits_in_ms = count < 0 && errno == ENOSYS;
    }
    if (posix->waits_in_ms) {
        count = wait_ms(posix, timeout_ns);
    }
    if (count < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    return count;
}

static int posix_poll(struct io *io, const struct io_wait *wait)
{
    struct posix *posix = posix_of(io);
    bool due = !list_empty(&posix->failed);
    int count = TRY(wait_events(posix, due ? 0 : wait->timeout_ns));
    io_waited(wait);
    int ran = end_failed(posix);
    for (int i = 0; i < count; i++) {
        ran += dispatch(posix, &posix->events[i]);
    }
    return ran;
}

/* ---- creation ---- */

static int posix_open(struct posix *posix)
{
    const struct io_options *options = &posix->io.options;
    posix->recv_buffer = mem_alloc(options->recv_buffer_bytes);
    if (posix->recv_buffer == NULL) {
        return ERR_MEMORY;
    }
    posix->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (posix->epoll_fd < 0) {
        return -errno;
    }
    posix->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (posix->wake_fd < 0) {
        return -errno;
    }
    TRY(set_add(posix, posix->wake_fd, EPOLLIN, POSIX_TAG_WAKE));
    return posix_files_create(options->file_threads, posix->wake_fd, &posix->files);
}

static void posix_destroy(struct io *io)
{
    struct posix *posix = posix_of(io);
    posix_files_destroy(posix->files);
    if (posix->wake_fd >= 0) {
        (void)close(posix->wake_fd);
    }
    if (posix->epoll_fd >= 0) {
        (void)close(posix->epoll_fd);
    }
    mem_free(posix->recv_buffer);
    io_deinit_body(io);
    mem_free(posix);
}

static const struct io_vtable posix_vtable = {
    .name = "posix",
    .destroy = posix_destroy,
    .submit = posix_submit,
    .accept_arm = posix_accept_arm,
    .accept_cancel = posix_accept_cancel,
    .recv_arm = posix_recv_arm,
    .recv_cancel = posix_recv_cancel,
    .socket_forget = posix_socket_forget,
    .accept_now = io_system_accept_now,
    .send_now = io_system_send_now,
    .shutdown = io_system_shutdown,
    .close = io_system_close,
    .poll = posix_poll,
    .wake = posix_wake,
};

int posix_create(const struct io_options *options, struct io **ret_io)
{
    struct posix *posix = mem_calloc(1, sizeof(*posix));
    if (posix == NULL) {
        return ERR_MEMORY;
    }
    io_init_body(&posix->io, &posix_vtable, options);
    list_init(&posix->failed);
    posix->epoll_fd = -1;
    posix->wake_fd = -1;
    int err = posix_open(posix);
    if (err < 0) {
        posix_destroy(&posix->io);
        return err;
    }
    *ret_io = &posix->io;
    return 0;
}
