/*
 * cursor: reads the stream frame by frame, from files that nobody writes. For recovery, and for
 * threads that may block.
 */
#ifndef LOG_CURSOR_H
#define LOG_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "log/frame.h"
#include "log/segment.h"

struct cursor {
    const struct segments *segments;
    uint64_t store_id;
    uint64_t position; /* of the next frame */
    uint32_t epoch;    /* of the last frame; 0 before the first, which may have any */
    /* The file at hand and a window of it. */
    int fd;          /* -1: none, or it does not exist */
    uint64_t number; /* UINT64_MAX: none */
    uint8_t *window; /* owned, CURSOR_WINDOW_BYTES */
    uint64_t window_lsn;
    size_t window_bytes;
};

enum { CURSOR_WINDOW_BYTES = 512 << 10 };

NODISCARD int cursor_init(struct cursor *cursor, const struct segments *segments, uint64_t store_id,
                          uint64_t position);
void cursor_deinit(struct cursor *cursor);

/*
 * The next whole frame; the payload is borrowed until the next call and empty for PAD. Follows an
 * OPEN frame from the end of the stream before it. Returns 1; 0 if no whole frame stands at
 * `position`; a negative error if a file can't be read, or ERR_VERSION.
 */
NODISCARD int cursor_next(struct cursor *cursor, struct frame *ret_frame,
                          struct slice *ret_payload);

/* At least one and at most `bytes` bytes at `lsn`, not across a segment's end, borrowed until the
 * next call. Empty at the end of a file that is too short, or not there. */
NODISCARD int cursor_peek(struct cursor *cursor, uint64_t lsn, size_t bytes,
                          struct slice *ret_data);

/* err_corrupt for the file and offset of a position, with what to do about it. */
NODISCARD int cursor_corrupt(const struct cursor *cursor, uint64_t lsn, const char *what);

#endif
