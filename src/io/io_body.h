/*
 * io_body: what stands behind io.h. For the bodies (io_uring, posix, the tests' simulator) only.
 *
 * io.c does what all bodies share: the table of open sockets, listeners and their pauses, callbacks
 * that must wait for the next io_poll, statistics, the count of what is pending. A body does the
 * rest through its vtable and reports back by the io_op_*, io_accepted and io_received calls below.
 * A body embeds `struct io` as its first field and sets it up with io_init_body.
 *
 *     operation   io_submit → vtable.submit → io_op_end (inside poll) or io_op_end_later (any time)
 *     accept      vtable.accept_arm → io_accepted* → io_accept_disarmed
 *     receive     vtable.recv_arm → io_received* → io_recv_disarmed
 *
 * Between arm and disarmed the body refers to the accept or socket; outside it doesn't. So once a
 * cancelled accept or receive is disarmed its memory may go, and not before.
 */
#ifndef IO_IO_BODY_H
#define IO_IO_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "io/io.h"

enum { IO_ACCEPT_PAUSE_MS = 100 };

/* A listener as the body sees it. Owned by the io, so that late completions find it alive after
 * io_listen_stop. */
struct io_accept {
    int fd;
    bool armed;                   /* between accept_arm and io_accept_disarmed */
    struct io_listener *listener; /* NULL: stopped */
    int64_t resume_ns;            /* not armed again before this time */
    struct list_node node;
};

struct io_vtable {
    const char *name;
    /* Frees the io, which io_create_x allocated. Nothing is pending. */
    void (*destroy)(struct io *io);
    /* Starts an operation; a transfer has bytes > 0. Of an IO_SEND op->body is the io_socket and
     * op->bytes > 0 the total. */
    void (*submit)(struct io *io, struct io_op *op);
    /* Sets accept->armed if it could; it is tried again at the next poll otherwise. */
    void (*accept_arm)(struct io *io, struct io_accept *accept);
    /* Of an armed one: ends with io_accept_disarmed, at once or in a later poll. */
    void (*accept_cancel)(struct io *io, struct io_accept *accept);
    /* Sets socket->armed, at once or in a later poll; there only if it is still wanted
       (io_recv_wanted). */
    void (*recv_arm)(struct io *io, struct io_socket *socket);
    /* Of an armed one: ends with io_recv_disarmed, at once or in a later poll. */
    void (*recv_cancel)(struct io *io, struct io_socket *socket);
    /* The socket goes: the body forgets what it remembers about it. Not armed, no send. */
    void (*socket_forget)(struct io *io, struct io_socket *socket);
    /* The socket calls that io.c makes at once; io_system_x are the kernel's. accept_now doesn't
       wait: the new connection or -errno. */
    int (*accept_now)(int fd);
    int64_t (*send_now)(int fd, const void *data, size_t bytes);
    void (*shutdown)(int fd);
    void (*close)(int fd);
    /* See io_file_add and io_region_add; NULL: it has no use for them. */
    void (*file_add)(struct io *io, int fd);
    uint32_t (*region_add)(struct io *io, void *base, size_t bytes);
    void (*region_remove)(struct io *io, uint32_t region);
    /* Calls io_waited between waiting and the callbacks. */
    int (*poll)(struct io *io, const struct io_wait *wait);
    /* Called by any thread. */
    void (*wake)(struct io *io, struct io *from);
};

struct io {
    const struct io_vtable *vtable;
    struct io_options options;
    struct io_stats stats;
    uint32_t pending;           /* operations, and sockets that close */
    bool polling;               /* inside io_poll */
    bool accepts_waiting;       /* some accept is stopped or not armed */
    int spare_fd;               /* given up to refuse a client when there is no other; or -1 */
    struct list ready;          /* operations whose `done` is due */
    struct list closed;         /* sockets whose on_closed is due */
    struct list accepts;        /* all struct io_accept, owned */
    struct io_socket **sockets; /* by fd: where an IO_SEND finds its socket */
    uint32_t sockets_count;
};

/* Sets up the shared part of a zeroed body; deinit frees it. */
void io_init_body(struct io *io, const struct io_vtable *vtable, const struct io_options *options);
void io_deinit_body(struct io *io);

/* The bodies' constructors; see io_create. */
NODISCARD int ring_create(const struct io_options *options, struct io **ret_io);
NODISCARD int posix_create(const struct io_options *options, struct io **ret_io);

/* Makes io_create call `create`, whatever body is asked for: the simulator's. NULL ends that.
 * Before other threads start. */
typedef int io_create_fn(const struct io_options *options, struct io **ret_io);
void io_set_create(io_create_fn *create);

/* Ends the operation and runs `done`: inside poll only. The op may be gone afterwards. */
void io_op_end(struct io *io, struct io_op *op, int32_t result);

/* Ends the operation; `done` runs in the current or next io_poll. */
void io_op_end_later(struct io *io, struct io_op *op, int32_t result);

/* A new connection (owned by the callee) or -errno. Returns the callbacks run, 0 or 1. */
int io_accepted(struct io *io, struct io_accept *accept, int fd);
void io_accept_disarmed(struct io *io, struct io_accept *accept);

/* What a receive gave: data, 0 at the end, -errno. Returns the callbacks run, 0 or 1. The socket is
 * still there afterwards, maybe paused, ended or closing. */
int io_received(struct io *io, struct io_socket *socket, const uint8_t *data, int32_t bytes);

/* The body refers to the socket no longer. It is armed again if the owner wants more. */
void io_recv_disarmed(struct io *io, struct io_socket *socket);

/* The kernel's, for bodies that run on it. */
int io_system_accept_now(int fd);
int64_t io_system_send_now(int fd, const void *data, size_t bytes);
void io_system_shutdown(int fd);
void io_system_close(int fd);

static inline void io_waited(const struct io_wait *wait)
{
    if (wait->waited != NULL) {
        wait->waited(wait->context);
    }
}

static inline bool io_recv_wanted(const struct io_socket *socket)
{
    return !socket->armed && !socket->paused && !socket->ended && !socket->closing;
}

/* Where the rest of an IO_SEND starts: the first iovec not yet sent whole and the bytes of it that
 * are. */
struct io_send_rest {
    uint32_t index;
    size_t skip;
};
struct io_send_rest io_send_rest(const struct io_op *op);

#endif
