/*
 * wire: the simulated network between the clients of a run and the server's shards: byte streams
 * that are cut into segments of any size, late, stalled, closed on one side, or reset.
 *
 *     client ──wire_send──▶ [late segments] ──▶ received by the io body
 *     client ◀──on_data──── [late segments] ◀── wire_write (what fits the socket buffer)
 *
 * A wire has a descriptor on the server's side (WIRE_FD_FIRST and up), given by the listener of a
 * shard. It is freed once both sides have let go of it. A dead process resets all.
 */
#ifndef SIM_WIRE_H
#define SIM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_FD_FIRST = 100, WIRES_MAX = 800, WIRE_LISTENERS_MAX = 64 };

struct wire_plan {
    int64_t delay_ns_max;  /* of a segment */
    uint32_t segment_max;  /* bytes; drawn from 1 */
    uint32_t buffer_bytes; /* what the server may have unsent in the socket */
    uint32_t stall_rate;   /* per million segments: one comes a hundred times later */
    uint32_t reset_rate;   /* per million segments: the connection breaks */
};
void wire_set_plan(const struct wire_plan *plan);

/* ---- the client's side; its calls come back as events ---- */

struct wire;
struct wire_client {
    struct wire *wire; /* NULL: not connected */
    void (*on_data)(struct wire_client *client, const uint8_t *data, size_t bytes);
    void (*on_closed)(struct wire_client *client); /* wire is NULL then */
};
/* To the listener of a shard; false: nobody listens there. */
bool wire_connect(struct wire_client *client, uint32_t shard);
void wire_send(struct wire_client *client, const void *data, size_t bytes);
/* Sends no more, still receives. */
void wire_shut(struct wire_client *client);
/* Lets go; what is under way to the server still gets there unless `reset`. No on_closed. */
void wire_close(struct wire_client *client, bool reset);
/* While paused nothing is delivered to it: a slow reader. */
void wire_pause(struct wire_client *client, bool paused);

/* ---- the server's side, for the io body; descriptors ---- */

/* The io body is told that something has happened with one of its descriptors. */
typedef void wire_notify_fn(void *context);

/* The listener of a shard: its descriptor. */
int wire_listener(uint32_t shard);
void wire_listen(int listener, wire_notify_fn *notify, void *context); /* notify NULL: no more */
int wire_accept(int listener);                                         /* -EAGAIN: none */
/* Whom to tell of this descriptor's data, end and room. */
void wire_watch(int fd, wire_notify_fn *notify, void *context);
/* Bytes, 0 at the end, -EAGAIN, -ECONNRESET. */
int64_t wire_read(int fd, void *data, size_t bytes);
bool wire_readable(int fd);
/* What fits, -EAGAIN, -EPIPE, -ECONNRESET. */
int64_t wire_write(int fd, const void *data, size_t bytes);
bool wire_writable(int fd);
void wire_shutdown(int fd);
void wire_close_fd(int fd);
uint32_t wire_open_count(void);

/* The process is gone: every descriptor of it, and the listeners. */
void wire_process_gone(void);
/* Forgets everything, at the end of a run. */
void wire_end(void);

#endif
