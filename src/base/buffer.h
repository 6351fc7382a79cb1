/*
 * Bytes that grow, up to a limit chosen when the buffer is made. A buffer owns its memory. The live
 * bytes are [data, data + bytes); what is consumed at the front is moved over when room is needed,
 * so pointers into a buffer die with the next reserve, append or printf. One thread at a time.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

struct buffer {
    uint8_t *data;    /* the first live byte; NULL while nothing was ever reserved */
    size_t bytes;     /* live bytes */
    size_t capacity;  /* bytes from `data` to the end of the memory */
    size_t bytes_max; /* the limit of `bytes` */
    size_t consumed;  /* bytes before `data` that are free again */
};

/* An empty buffer that allocates nothing yet. */
void buffer_init(struct buffer *buffer, size_t bytes_max);

/* Frees the memory; the buffer is as after buffer_init. */
void buffer_release(struct buffer *buffer);

/* The end of the buffer. */
void buffer_deinit(struct buffer *buffer);

/*
 * Makes room for `extra` bytes behind the live ones: afterwards data + bytes is writable for
 * `extra` bytes, and the caller adds what it wrote to `bytes`. Returns 0, ERR_LIMIT or ERR_MEMORY;
 * on an error the buffer is as before.
 */
NODISCARD int buffer_reserve(struct buffer *buffer, size_t extra);

/* Appends a copy. Returns 0, ERR_LIMIT or ERR_MEMORY; on an error nothing is appended. */
NODISCARD int buffer_append(struct buffer *buffer, const void *data, size_t bytes);
NODISCARD int buffer_append_slice(struct buffer *buffer, struct slice slice);
NODISCARD int buffer_append_cstr(struct buffer *buffer, const char *text);
NODISCARD int buffer_append_byte(struct buffer *buffer, uint8_t byte);
NODISCARD __attribute__((format(printf, 2, 3))) int buffer_printf(struct buffer *buffer,
                                                                  const char *fmt, ...);

/* Drops the first `bytes` live bytes, which must be there. Moves nothing. */
void buffer_consume(struct buffer *buffer, size_t bytes);

/* Drops all bytes and keeps the memory. */
void buffer_clear(struct buffer *buffer);

/* The live bytes; borrowed until the buffer changes. */
static inline struct slice buffer_slice(const struct buffer *buffer)
{
    return slice_of(buffer->data, buffer->bytes);
}

#endif
