/*
 * io: the only door to disk and network of one thread.
 *
 * A `struct io` belongs to one shard thread, which alone may call it (io_wake is the exception).
 * Work is described by a `struct io_op` that the caller embeds in its own object and that must stay
 * put until its `done` callback has run. The callback runs on the same thread, inside io_poll, and
 * must not suspend; coroutines wait through shard/await.h.
 *
 * Three bodies stand behind the vtable: io_uring (ring.c), epoll with a small pool of file threads
 * (posix.c), and the simulator's, which lives with the tests. What differs between kernels is dealt
 * with inside the bodies, once: short reads and writes, EINTR, EAGAIN, a full submission queue,
 * completion queue pressure. So an IO_READ ends with all bytes or with fewer only at the end of the
 * file; an IO_WRITE and an IO_SEND end with all bytes or with an error.
 *
 * Lifetimes: buffers, iovecs and paths are borrowed until `done`. A started disk operation can't be
 * cancelled.
 */
#ifndef IO_IO_H
#define IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "io/op.h"

struct io;

/* ---- sockets ---- */

struct io_listener;
struct io_socket;

/* fd >= 0: a new connection, handed over (non-blocking, close-on-exec). fd < 0: -errno of accept;
 * the listener goes on by itself after a moment. */
typedef void io_accept_fn(struct io_listener *listener, int fd);

/* bytes > 0: data, borrowed until the call returns. 0: the peer has closed. < 0: -errno.
 * After 0 or an error nothing more is received. The callback may call io_recv_pause and
 * io_socket_close. */
typedef void io_recv_fn(struct io_socket *socket, const uint8_t *data, int32_t bytes);

/* Runs when nothing of the body refers to the socket any longer; its memory may then go. */
typedef void io_closed_fn(struct io_socket *socket);

/* Embedded in the owner's object. Zero it before io_listen_start. */
struct io_listener {
    int fd;
    io_accept_fn *on_accept;
    struct io_accept *accept; /* the io's own; NULL when not listening */
};

/* Embedded in the owner's connection. Zero it before io_recv_start. 64 bytes: an idle connection
 * owns no receive buffer, data comes from buffers that all sockets of a thread share. The fields
 * are for others to read at most. */
struct io_socket {
    int fd;
    bool armed;      /* a receive is with the kernel */
    bool cancelling; /* ... and was asked to end */
    bool paused;     /* the owner wants no data for now */
    bool ended;      /* end of stream or error was delivered */
    bool closing;    /* io_socket_close was called */
    uint32_t body;   /* the body's own */
    io_recv_fn *on_recv;
    io_closed_fn *on_closed;
    struct io_op *send; /* the IO_SEND in flight, or NULL */
    struct list_node node;
};

/* ---- creation ---- */

enum io_backend { IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_POSIX };

/* The most of each option; the least is 1 unless said otherwise. */
enum {
    IO_OPS_MAX = 65536,
    IO_RECV_BUFFERS_MAX = 32768,
    IO_RECV_BUFFER_BYTES_MAX = 1 << 20,
    IO_FILE_THREADS_MAX = 256,
    IO_FILES_MAX = 32768,
    IO_REGIONS_MAX = 16384,
};

enum { IO_REFUSALS_MAX = 64 /* by one io_listen_refuse */ };

struct io_options {
    enum io_backend backend;
    uint32_t ops_max;           /* disk operations in flight; more wait inside */
    uint32_t recv_buffers;      /* shared receive buffers, power of two */
    uint32_t recv_buffer_bytes; /* size of each */
    uint32_t file_threads;      /* posix body only */
    int lock_fd;                /* the store's lock file, or -1. The io_uring body registers it with
                                   the ring, so that the lock outlives a killed process until its
                                   last write has landed */
    uint32_t files_max;         /* descriptors below this can be registered; 0: none. io_uring only,
                                   and no more than RLIMIT_NOFILE */
    uint32_t regions_max;       /* regions at a time; 0: none. io_uring only */
};

/* The defaults that a shard uses when nothing is configured. */
struct io_options io_options_default(void);

/* Creates the io of the calling thread. With IO_BACKEND_AUTO io_uring is tried first and posix
 * taken where the kernel refuses; IO_BACKEND_URING then fails with the kernel's error. SIGXFSZ is
 * ignored from then on, unless the program handles it: a write above RLIMIT_FSIZE is -EFBIG. */
NODISCARD int io_create(const struct io_options *options, struct io **ret_io);

/* io_pending must be 0. NULL is fine. On the owner's thread. */
void io_destroy(struct io *io);

/* "io_uring" or "posix" (or "simulated"), for the log and INFO. */
const char *io_name(const struct io *io);

/* ---- what the kernel may know beforehand ---- */

/* A system call each; without effect where the body or the kernel can't. */

/* Many operations on `fd` will follow. It must then be closed by an IO_CLOSE of this io, or be open
 * until io_destroy: the io holds the open file until one of them. */
void io_file_add(struct io *io, int fd);

/* Many transfers from and to these bytes will follow. Returns the region, for io_op.region, or 0;
 * the kernel keeps the memory resident until io_region_remove, which must come before the memory
 * goes, and to which 0 is fine. Neither with a transfer under way there. */
NODISCARD uint32_t io_region_add(struct io *io, void *base, size_t bytes);
void io_region_remove(struct io *io, uint32_t region);

/* ---- use; all non-blocking ---- */

/* Hands the operation to the body. Never fails: errors come to `done`, always from io_poll. */
void io_submit(struct io *io, struct io_op *op);

/* Receives connections on a listening socket (see io/socket.h) until io_listen_stop. */
void io_listen_start(struct io *io, struct io_listener *listener, int fd, io_accept_fn *on_accept);

/* For an on_accept that was told -EMFILE or -ENFILE: accepts those who wait, one after the other,
 * with the descriptor that the io keeps back for this, sends each of them `text` and closes it
 * again. Returns how many, at most IO_REFUSALS_MAX; those left are for the next error. */
uint32_t io_listen_refuse(struct io *io, struct io_listener *listener, const void *text,
                          size_t bytes);

/* No callback after it returns. The fd stays the caller's to close. */
void io_listen_stop(struct io *io, struct io_listener *listener);

/* Takes over the connected fd (any blocking mode) and receives on it. */
void io_recv_start(struct io *io, struct io_socket *socket, int fd, io_recv_fn *on_recv);

/* Back-pressure: after io_recv_pause at most what was already received is still delivered. */
void io_recv_pause(struct io *io, struct io_socket *socket);
void io_recv_resume(struct io *io, struct io_socket *socket);

/* Closes the fd once an IO_SEND in flight on it has ended (it is shut down, so that comes soon),
 * then calls on_closed from io_poll. No on_recv after it returns. */
void io_socket_close(struct io *io, struct io_socket *socket, io_closed_fn *on_closed);

/* Sends without an operation if the kernel takes it at once: returns the bytes taken (maybe fewer
 * than asked), or -EAGAIN, or another -errno. For a pass with few connections this is cheaper
 * than IO_SEND. */
NODISCARD int64_t io_send_now(struct io *io, int fd, const void *data, size_t bytes);

/* How io_poll waits. */
struct io_wait {
    int64_t timeout_ns; /* 0: don't wait; < 0: no limit */
    uint32_t batch;     /* wait for up to so many events, not counting new sends that end ... */
    uint32_t batch_us;  /* ... but at most this long once there is one; 0: return at the first.
                           A wish: the posix body returns at the first event */
    void (*waited)(void *context); /* called when the wait is over, before any callback; or NULL */
    void *context;
};

/* Submits what is queued, waits as told, runs the callbacks. Returns how many callbacks ran, or
 * a negative error if the body itself broke (fatal). */
NODISCARD int io_poll(struct io *io, const struct io_wait *wait);

/* From any thread: makes the owner's current or next io_poll return. `from` is the caller's own io
 * (io_uring then queues a ring message, which leaves with from's next io_poll or io_destroy), or
 * NULL on a thread that has none. A caller that wakes often keeps a flag of its own to wake once.
 */
void io_wake(struct io *io, struct io *from);

struct io_stats {
    uint64_t reads, read_bytes, writes, write_bytes, syncs;
    uint64_t receives, received_bytes, sends, sent_bytes, accepts, polls, wakes;
};
/* Counted since io_create: operations when submitted, bytes when done. */
void io_stats(const struct io *io, struct io_stats *ret_stats);

/* Operations in flight or queued inside, and sockets whose on_closed is still to come. 0 means the
 * io may be destroyed. */
uint32_t io_pending(const struct io *io);

#endif
