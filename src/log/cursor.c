#include "log/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/assert.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/plant.h"
#include "io/file.h"

#define NUMBER_NONE UINT64_MAX

int cursor_init(struct cursor *cursor, const struct segments *segments, uint64_t store_id,
                uint64_t position)
{
    ASSERT(is_aligned(position, FRAME_ALIGN_BYTES));
    *cursor = (struct cursor){
        .segments = segments,
        .store_id = store_id,
        .position = position,
        .fd = -1,
        .number = NUMBER_NONE,
        .window = mem_alloc(CURSOR_WINDOW_BYTES),
    };
    return cursor->window == NULL ? ERR_MEMORY : 0;
}

static void close_file(struct cursor *cursor)
{
    if (cursor->fd >= 0) {
        IGNORE(file_close(cursor->fd), "only read");
    }
    cursor->fd = -1;
    cursor->number = NUMBER_NONE;
    cursor->window_bytes = 0;
}

void cursor_deinit(struct cursor *cursor)
{
    close_file(cursor);
    mem_free(cursor->window);
    cursor->window = NULL;
}

int cursor_corrupt(const struct cursor *cursor, uint64_t lsn, const char *what)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(cursor->segments, lsn / cursor->segments->segment_bytes, path);
    return err_corrupt(path, lsn % cursor->segments->segment_bytes,
                       "the redo log is damaged: %s; nothing was changed. Restore a backup, or let "
                       "the repair tool cut the log here, which loses what was written after",
                       what);
}

/* ---- bytes ---- */

static int read_failed(const struct cursor *cursor, uint64_t number, int err)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(cursor->segments, number, path);
    LOGGER_WARNING("%s: cannot be read: %s", path, error_text(err));
    return err;
}

static int open_file(struct cursor *cursor, uint64_t number)
{
    if (cursor->number == number) {
        return 0;
    }
    close_file(cursor);
    char path[SEGMENT_PATH_BYTES];
    segment_path(cursor->segments, number, path);
    int fd = file_open(path, O_RDONLY, 0);
    if (fd < 0 && fd != -ENOENT) {
        return read_failed(cursor, number, fd);
    }
    cursor->fd = fd < 0 ? -1 : fd;
    cursor->number = number;
    return 0;
}

static int fill_window(struct cursor *cursor, uint64_t lsn)
{
    uint32_t segment_bytes = cursor->segments->segment_bytes;
    TRY(open_file(cursor, lsn / segment_bytes));
    cursor->window_lsn = lsn;
    cursor->window_bytes = 0;
    if (cursor->fd < 0) {
        return 0;
    }
    uint64_t offset = lsn % segment_bytes;
    size_t bytes = min_u64(CURSOR_WINDOW_BYTES, segment_bytes - offset);
    int64_t got = file_read(cursor->fd, cursor->window, bytes, offset);
    if (got < 0) {
        return read_failed(cursor, cursor->number, (int)got);
    }
    cursor->window_bytes = (size_t)got;
    return 0;
}

int cursor_peek(struct cursor *cursor, uint64_t lsn, size_t bytes, struct slice *ret_data)
{
    uint32_t segment_bytes = cursor->segments->segment_bytes;
    uint64_t wanted = min_u64(bytes, segment_bytes - lsn % segment_bytes);
    ASSERT(wanted <= CURSOR_WINDOW_BYTES);
    if (lsn < cursor->window_lsn || lsn + wanted > cursor->window_lsn + cursor->window_bytes) {
        TRY(fill_window(cursor, lsn));
    }
    uint64_t skip = lsn - cursor->window_lsn;
    *ret_data = slice_of(cursor->window + skip, min_u64(wanted, cursor->window_bytes - skip));
    return 0;
}

/* ---- frames ---- */

/* 1: a whole frame that stands at `lsn`, whatever stands before it. */
static int frame_at(struct cursor *cursor, uint64_t lsn, struct frame *ret_frame,
                    struct slice *ret_payload)
{
    struct slice data;
    TRY(cursor_peek(cursor, lsn, FRAME_HEADER_BYTES, &data));
    if (data.bytes < FRAME_HEADER_BYTES) {
        return 0;
    }
    int err =
        frame_check(data.data, cursor->store_id, lsn, cursor->segments->segment_bytes, ret_frame);
    if (err != 0) {
        return err == ERR_VERSION ? read_failed(cursor, cursor->number, err) : 0;
    }
    *ret_payload = slice_of(NULL, 0);
    if (ret_frame->kind == FRAME_PAD) {
        return 1;
    }
    size_t bytes = FRAME_HEADER_BYTES + (size_t)ret_frame->payload_bytes;
    TRY(cursor_peek(cursor, lsn, bytes, &data));
    if (data.bytes < bytes) {
        return 0;
    }
    *ret_payload = slice_skip(data, FRAME_HEADER_BYTES);
    return PLANTED(TORN_TAIL_TAKEN_FOR_WHOLE) ||
           frame_sum(cursor->store_id, ret_payload->data, ret_payload->bytes) ==
               ret_frame->payload_sum;
}

/* Whether the frame continues the stream that ended at `position`. */
static bool frame_follows(const struct cursor *cursor, const struct frame *frame)
{
    if (frame->kind == FRAME_OPEN) {
        return frame->previous_end == cursor->position && frame->epoch > cursor->epoch;
    }
    return frame->lsn == cursor->position && (cursor->epoch == 0 || frame->epoch == cursor->epoch);
}

int cursor_next(struct cursor *cursor, struct frame *ret_frame, struct slice *ret_payload)
{
    struct frame frame;
    struct slice payload;
    int found = TRY(frame_at(cursor, cursor->position, &frame, &payload));
    if (found == 0 || !frame_follows(cursor, &frame)) {
        uint64_t next = align_up(cursor->position, cursor->segments->segment_bytes);
        found = TRY(frame_at(cursor, next, &frame, &payload));
        if (found == 0 || frame.kind != FRAME_OPEN || !frame_follows(cursor, &frame)) {
            return 0;
        }
    }
    cursor->position = frame.lsn + frame_bytes(&frame);
    cursor->epoch = frame.epoch;
    *ret_frame = frame;
    *ret_payload = payload;
    return 1;
}
