/*
 * Records out of frames. A record in pieces is put together again for each shard by itself, since
 * pieces of several shards may be interleaved; it counts once its LAST has arrived.
 */
#include "base/buffer.h"
#include "base/mem.h"
#include "log/cursor.h"
#include "log/log_impl.h"

enum { WRITERS_MAX = 256 }; /* frame.shard is a byte; the shard count may have been another */

/* The pieces so far. Grows by what has arrived. */
struct assembly {
    bool begun;
    uint32_t record_id;
    struct buffer bytes;
};

struct log_reader {
    struct log *log;
    struct cursor cursor;
    struct lsn frame_lsn;
    struct slice left; /* of the frame at hand: records */
    uint32_t records_left;
    bool frame_open;
    bool opened; /* an OPEN was met: no record can have begun before `from` any more */
    struct assembly *complete; /* holds the record returned last */
    struct assembly assemblies[WRITERS_MAX];
};

int log_reader_open(struct log *log, struct lsn from, struct log_reader **ret_reader)
{
    uint64_t position = max_u64(from.value, log->start.value);
    struct log_reader *reader = mem_calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return ERR_MEMORY;
    }
    reader->log = log;
    for (uint32_t i = 0; i < WRITERS_MAX; i++) {
        buffer_init(&reader->assemblies[i].bytes, SIZE_MAX / 2);
    }
    bool aligned = is_aligned(position, FRAME_ALIGN_BYTES);
    int err = cursor_init(&reader->cursor, &log->segments, log->store_id,
                          align_down(position, FRAME_ALIGN_BYTES));
    if (err == 0 && (position > log->end.value || !aligned)) {
        err = cursor_corrupt(&reader->cursor, position,
                             "a partition has applied it up to here, where no record can begin");
    }
    if (err != 0) {
        log_reader_close(reader);
        return err;
    }
    *ret_reader = reader;
    return 0;
}

void log_reader_close(struct log_reader *reader)
{
    for (uint32_t i = 0; i < WRITERS_MAX; i++) {
        buffer_deinit(&reader->assemblies[i].bytes);
    }
    cursor_deinit(&reader->cursor);
    mem_free(reader);
}

/* A frame is whole, and yet says what no writer says. */
static int frame_is_wrong(const struct log_reader *reader, const char *what)
{
    return cursor_corrupt(&reader->cursor, reader->frame_lsn.value, what);
}

static void forget_pieces(struct log_reader *reader)
{
    for (uint32_t i = 0; i < WRITERS_MAX; i++) {
        buffer_release(&reader->assemblies[i].bytes);
        reader->assemblies[i].begun = false;
    }
}

/* 1: the record is complete. 0: not yet. */
static int add_piece(struct log_reader *reader, const struct frame *frame, struct slice payload)
{
    struct assembly *assembly = &reader->assemblies[frame->shard];
    if (frame->kind == FRAME_FIRST) {
        if (assembly->begun) {
            return frame_is_wrong(reader, "a record begins within another");
        }
        assembly->begun = true;
        assembly->record_id = frame->record_id;
    } else if (!assembly->begun) {
        /* It began before the place where this reader began, so it is not needed. */
        return reader->opened ? frame_is_wrong(reader, "a record without beginning") : 0;
    } else if (assembly->record_id != frame->record_id) {
        return frame_is_wrong(reader, "a piece of another record");
    }
    TRY(buffer_append_slice(&assembly->bytes, payload));
    if (frame->kind != FRAME_LAST) {
        return 0;
    }
    assembly->begun = false;
    reader->complete = assembly;
    reader->left = buffer_slice(&assembly->bytes);
    reader->records_left = 1;
    return 1;
}

/* 1: the frame has records. 0: go on. */
static int take_frame(struct log_reader *reader, const struct frame *frame, struct slice payload)
{
    switch (frame->kind) {
    case FRAME_DATA:
        reader->left = payload;
        reader->records_left = frame->records;
        return 1;
    case FRAME_FIRST:
    case FRAME_MIDDLE:
    case FRAME_LAST:
        return add_piece(reader, frame, payload);
    case FRAME_OPEN:
        forget_pieces(reader);
        reader->opened = true;
        return 0;
    default:
        return 0;
    }
}

/* 1: a frame with records is at hand; 0: the end. */
static int next_frame(struct log_reader *reader)
{
    if (reader->complete != NULL) {
        buffer_release(&reader->complete->bytes);
        reader->complete = NULL;
    }
    while (reader->cursor.position < reader->log->end.value) {
        struct frame frame;
        struct slice payload;
        uint64_t position = reader->cursor.position;
        if (TRY(cursor_next(&reader->cursor, &frame, &payload)) == 0) {
            return cursor_corrupt(&reader->cursor, position, "it has changed since it was checked");
        }
        reader->frame_lsn.value = frame.lsn;
        if (TRY(take_frame(reader, &frame, payload)) == 1) {
            return 1;
        }
    }
    return 0;
}

int log_reader_next(struct log_reader *reader, struct log_record *ret_record)
{
    while (reader->records_left == 0) {
        if (reader->left.bytes > 0) {
            return frame_is_wrong(reader, "bytes after the last record of a frame");
        }
        if (TRY(next_frame(reader)) == 0) {
            return 0;
        }
    }
    int err = frame_record_decode(&reader->left, &ret_record->type, &ret_record->body);
    if (err != 0) {
        return frame_is_wrong(reader, "a record that is no record");
    }
    reader->records_left--;
    ret_record->lsn = reader->frame_lsn;
    return 1;
}
