/*
 * reply: whatever a handler writes, and in which version of the protocol, a reader that knows
 * nothing of the writer takes it apart again, and finds nothing behind it.
 *
 * Input: u8 (1: RESP3) | calls: u8 which, and what it needs.
 */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "net/output.h"
#include "wire.h"

enum { CALLS_MAX = 64, COUNT_MAX = 4, DEPTH_MAX = 8 };

struct writing {
    struct feed feed;
    struct reply reply;
    uint32_t calls;
    uint32_t released;
    uint32_t shared;
};

static void on_release(void *owner)
{
    struct writing *writing = owner;
    writing->released++;
}

static void write_number(struct writing *writing, uint8_t which)
{
    uint64_t number = feed_u64(&writing->feed);
    double real;
    memcpy(&real, &number, sizeof(real));
    switch (which % 3) {
    case 0:
        reply_i64(&writing->reply, (int64_t)number);
        return;
    case 1:
        reply_bool(&writing->reply, number % 2 == 1);
        return;
    default:
        reply_double(&writing->reply, real);
    }
}

static void write_text(struct writing *writing, uint8_t which)
{
    struct slice bytes = feed_slice(&writing->feed, feed_u8(&writing->feed));
    char text[256];
    memcpy(text, bytes.bytes > 0 ? bytes.data : (const uint8_t *)"", bytes.bytes);
    text[bytes.bytes] = '\0';
    switch (which % 5) {
    case 0:
        reply_error(&writing->reply, text);
        return;
    case 1:
        reply_errorf(&writing->reply, "ERR unknown command '%s'", text);
        return;
    case 2:
        reply_bulk(&writing->reply, bytes);
        return;
    case 3:
        reply_verbatim(&writing->reply, "txt", bytes);
        return;
    default:
        writing->shared++;
        reply_bulk_shared(&writing->reply, bytes, on_release, writing);
    }
}

static void write_plain(struct writing *writing, uint8_t which)
{
    switch (which % 4) {
    case 0:
        reply_ok(&writing->reply);
        return;
    case 1:
        reply_null(&writing->reply);
        return;
    case 2:
        reply_null_array(&writing->reply);
        return;
    default:
        reply_status(&writing->reply, "PONG");
    }
}

static void write_value(struct writing *writing, int depth);

static void write_values(struct writing *writing, uint64_t count, int depth)
{
    for (uint64_t i = 0; i < count; i++) {
        write_value(writing, depth + 1);
    }
}

static void write_aggregate(struct writing *writing, uint8_t which, int depth)
{
    uint64_t count = feed_u8(&writing->feed) % (COUNT_MAX + 1);
    struct reply *reply = &writing->reply;
    switch (which % 4) {
    case 0:
        reply_array(reply, count);
        write_values(writing, count, depth);
        return;
    case 1:
        reply_map(reply, count);
        write_values(writing, count * 2, depth);
        return;
    case 2:
        reply_set(reply, count);
        write_values(writing, count, depth);
        return;
    default: {
        size_t mark = reply_deferred_open(reply);
        write_values(writing, count, depth);
        reply_deferred_close(reply, mark, '*', count);
    }
    }
}

static void write_value(struct writing *writing, int depth)
{
    uint8_t which = feed_u8(&writing->feed);
    bool deeper = depth < DEPTH_MAX && writing->calls < CALLS_MAX;
    writing->calls++;
    if (which % 4 == 0) {
        write_number(writing, which / 4);
    } else if (which % 4 == 1) {
        write_text(writing, which / 4);
    } else if (which % 4 == 2 && deeper) {
        write_aggregate(writing, which / 4, depth);
    } else {
        write_plain(writing, which / 4);
    }
}

/* All of it in one piece. */
static struct slice gather(const struct output *output, uint8_t *to, size_t bytes_max)
{
    size_t at = 0;
    struct iovec iov;
    while (output_iov(output, at, &iov, 1) == 1) {
        MUST(at + iov.iov_len <= bytes_max && iov.iov_len > 0);
        memcpy(to + at, iov.iov_base, iov.iov_len);
        at += iov.iov_len;
    }
    MUST(at == output_bytes(output));
    return slice_of(to, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t memory[1 << 20];
    struct output output;
    struct writing writing = {.feed = {data, bytes}};
    int resp = feed_u8(&writing.feed) % 2 == 1 ? 3 : 2;
    output_init(&output, SIZE_MAX);
    writing.reply = (struct reply){.output = &output, .resp = (uint8_t)resp};
    uint32_t replies = 0;
    while (writing.feed.bytes > 0 && writing.calls < CALLS_MAX) {
        write_value(&writing, 0);
        replies++;
    }
    MUST(!output.broken);
    struct slice wire = gather(&output, memory, sizeof(memory));
    for (uint32_t i = 0; i < replies; i++) {
        size_t used = wire_reply_bytes(wire, resp);
        MUST(used > 0);
        wire = slice_skip(wire, used);
    }
    MUST(wire.bytes == 0);
    output_deinit(&output);
    MUST(writing.released == writing.shared);
    return 0;
}
