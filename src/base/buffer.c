#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

#define BUFFER_BYTES_MIN 64

void buffer_init(struct buffer *buffer, size_t bytes_max)
{
    *buffer = (struct buffer){.bytes_max = bytes_max};
}

void buffer_release(struct buffer *buffer)
{
    if (buffer->data != NULL) {
        mem_free(buffer->data - buffer->consumed);
    }
    buffer_init(buffer, buffer->bytes_max);
}

void buffer_deinit(struct buffer *buffer)
{
    buffer_release(buffer);
}

/* Moves the live bytes to the start of the memory. */
static void buffer_compact(struct buffer *buffer)
{
    uint8_t *memory = buffer->data - buffer->consumed;
    memmove(memory, buffer->data, buffer->bytes);
    buffer->data = memory;
    buffer->capacity += buffer->consumed;
    buffer->consumed = 0;
}

/* Moves the live bytes to a block of `total` bytes. */
static int buffer_move(struct buffer *buffer, size_t total)
{
    uint8_t *memory;
    if (buffer->data != NULL && buffer->consumed == 0) {
        memory = mem_realloc(buffer->data, total);
        if (memory == NULL) {
            return ERR_MEMORY;
        }
    } else {
        memory = mem_alloc(total);
        if (memory == NULL) {
            return ERR_MEMORY;
        }
        if (buffer->data != NULL) {
            memcpy(memory, buffer->data, buffer->bytes);
            mem_free(buffer->data - buffer->consumed);
        }
    }
    buffer->data = memory;
    buffer->capacity = total;
    buffer->consumed = 0;
    return 0;
}

int buffer_reserve(struct buffer *buffer, size_t extra)
{
    if (extra > buffer->bytes_max - buffer->bytes) {
        return ERR_LIMIT;
    }
    size_t needed = buffer->bytes + extra;
    if (needed <= buffer->capacity) {
        return 0;
    }
    size_t total = buffer->capacity + buffer->consumed;
    /*
     * Bytes move within the block only if fewer are moved than were consumed since the last move,
     * so that the cost of moving stays in proportion to what was consumed; or if the block is as
     * large as it may get.
     */
    if (needed <= total && (buffer->consumed >= buffer->bytes || total >= buffer->bytes_max)) {
        buffer_compact(buffer);
        return 0;
    }
    size_t doubled = total > SIZE_MAX / 2 ? SIZE_MAX : total * 2;
    size_t wanted = max_u64(max_u64(doubled, needed), BUFFER_BYTES_MIN);
    return buffer_move(buffer, min_u64(wanted, buffer->bytes_max));
}

int buffer_append(struct buffer *buffer, const void *data, size_t bytes)
{
    TRY(buffer_reserve(buffer, bytes));
    if (bytes > 0) {
        memcpy(buffer->data + buffer->bytes, data, bytes);
        buffer->bytes += bytes;
    }
    return 0;
}

int buffer_append_slice(struct buffer *buffer, struct slice slice)
{
    return buffer_append(buffer, slice.data, slice.bytes);
}

int buffer_append_cstr(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, text, strlen(text));
}

int buffer_append_byte(struct buffer *buffer, uint8_t byte)
{
    return buffer_append(buffer, &byte, 1);
}

/*
 * Prints what did not fit into the room there was. It is printed apart and then appended, since
 * vsnprintf also writes a NUL, and there may be no byte for that below the limit.
 */
static int buffer_print_apart(struct buffer *buffer, size_t bytes, const char *fmt, va_list args)
{
    char *text = mem_alloc(bytes + 1);
    if (text == NULL) {
        return ERR_MEMORY;
    }
    (void)vsnprintf(text, bytes + 1, fmt, args);
    int err = buffer_append(buffer, text, bytes);
    mem_free(text);
    return err;
}

int buffer_printf(struct buffer *buffer, const char *fmt, ...)
{
    size_t room_bytes = buffer->capacity - buffer->bytes;
    char *room = room_bytes > 0 ? (char *)buffer->data + buffer->bytes : NULL;
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(room, room_bytes, fmt, args);
    va_end(args);
    ASSERT(wanted >= 0);
    if ((size_t)wanted < room_bytes) {
        buffer->bytes += (size_t)wanted;
        return 0;
    }
    va_start(args, fmt);
    int err = buffer_print_apart(buffer, (size_t)wanted, fmt, args);
    va_end(args);
    return err;
}

void buffer_consume(struct buffer *buffer, size_t bytes)
{
    ASSERT(bytes <= buffer->bytes);
    if (bytes == 0) {
        return; /* there may be no memory at all */
    }
    buffer->data += bytes;
    buffer->consumed += bytes;
    buffer->capacity -= bytes;
    buffer->bytes -= bytes;
    if (buffer->bytes == 0) {
        buffer_clear(buffer);
    }
}

void buffer_clear(struct buffer *buffer)
{
    if (buffer->data != NULL) {
        buffer->data -= buffer->consumed;
        buffer->capacity += buffer->consumed;
    }
    buffer->consumed = 0;
    buffer->bytes = 0;
}
