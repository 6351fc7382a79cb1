/*
 * reply: the reply side of the Redis protocol: writes values of RESP2 or RESP3 into an output.
 *
 * An output is a queue of bytes to send: a growing buffer, and between its parts references to
 * large values that are sent from where they are (reply_bulk_shared). Whoever runs a command writes
 * through a `struct reply`; what has no RESP2 form is turned into its RESP2 equivalent here (maps
 * to flat arrays, sets to arrays, doubles and booleans to bulks and integers, nulls to $-1), so
 * that command handlers say what they mean once.
 *
 * Nothing here fails: when memory or the limit ends, the output is marked broken, and its
 * connection is closed.
 */
#ifndef NET_REPLY_H
#define NET_REPLY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buffer.h"
#include "base/slice.h"

enum { REPLY_SHARED_BYTES_MIN = 16 * 1024 };

typedef void output_release_fn(void *owner);

struct output_ref; /* a large value inside an output */
struct output {
    struct buffer bytes;
    struct output_ref *refs; /* in order of position; NULL for nearly all */
    uint32_t refs_count, refs_capacity;
    uint64_t refs_bytes;
    bool broken;
};
void output_init(struct output *output, uint64_t bytes_max);
void output_deinit(struct output *output); /* releases all references */
void output_clear(struct output *output);  /* the same, keeps a small buffer */
uint64_t output_bytes(const struct output *output);
void output_append(struct output *output, struct slice bytes);
/* Moves everything of `from` to the end of `to`. */
void output_move(struct output *to, struct output *from);
/* Takes back what was written between two sizes that `bytes` had: a value whose command then
 * failed.
 */
void output_cut(struct output *output, size_t from, size_t to);
/* Fills iovecs for the bytes from `offset` on; returns how many, at most max. */
uint32_t output_iov(const struct output *output, uint64_t offset, struct iovec *iov, uint32_t max);

struct error_tally;

struct reply {
    struct output *output;
    struct error_tally *tally; /* of the shard on which it is written; NULL: not counted */
    uint8_t resp;    /* 2 or 3 */
    bool muted;      /* CLIENT REPLY OFF/SKIP: everything vanishes */
    uint32_t errors; /* error replies written, for statistics */
};

void reply_ok(struct reply *reply);
void reply_status(struct reply *reply, const char *text);
/* `text` with its code, e.g. "ERR syntax error"; CR and LF in it become spaces. */
void reply_error(struct reply *reply, const char *text);
void reply_errorf(struct reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void reply_i64(struct reply *reply, int64_t value);
void reply_bulk(struct reply *reply, struct slice bytes);
void reply_bulk_cstr(struct reply *reply, const char *text);
/* A large bulk sent from its own memory; release(owner) is called once when it is sent or dropped.
 */
void reply_bulk_shared(struct reply *reply, struct slice bytes, output_release_fn *release,
                       void *owner);
void reply_null(struct reply *reply);       /* $-1 or _ */
void reply_null_array(struct reply *reply); /* *-1 or _ */
void reply_array(struct reply *reply, uint64_t count);
void reply_map(struct reply *reply, uint64_t pairs);
void reply_set(struct reply *reply, uint64_t count);
void reply_push(struct reply *reply, uint64_t count);
void reply_bool(struct reply *reply, bool value);
void reply_double(struct reply *reply, double value);
void reply_verbatim(struct reply *reply, const char *format3,
                    struct slice text); /* bulk in RESP2 */
/* An array whose length is known only afterwards: open, write elements, close with their count. */
size_t reply_deferred_open(struct reply *reply);
void reply_deferred_close(struct reply *reply, size_t mark, char kind, uint64_t count);

#endif
