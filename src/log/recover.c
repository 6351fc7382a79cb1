/*
 * Recovery: where the stream ends, and whether it ends there by right.
 *
 * From the first position that is needed the frames are read up to the first that is not whole, at
 * p. Either the process or the machine died while writing there: then nothing at or after p was
 * ever promised, and the log simply ends at p. Or something has been damaged that was durable.
 * Proof of that is
 *
 *     - a watermark above p, from the options (superblock) or in any later frame of this stream,
 *     - a later frame in a segment, while the file of a segment before it is not there: a file has
 * its name durably before the stream enters it.
 *
 * Later frames are looked for at every place where one may begin, since the lengths in between
 * can't be relied on. Frames of earlier epochs don't count: they were cut off by an earlier
 * recovery. A frame that stands where it was not written shows that bytes were taken out or files
 * exchanged; its watermark is as true there. (Those that an earlier use of the file left are older
 * than p, and so are their watermarks.)
 */
#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/logger.h"
#include "base/plant.h"
#include "log/cursor.h"
#include "log/log_impl.h"

struct search {
    struct cursor *cursor;
    const struct segment_list *list;
    uint64_t end;         /* p */
    bool segment_missing; /* at or after p, before the place we look at */
};

static int judge(const struct search *search, const struct frame *later, bool displaced)
{
    if (later->watermark > search->end) {
        return cursor_corrupt(search->cursor, search->end,
                              "a frame that was durable is not whole, and later ones are there");
    }
    if (search->segment_missing && !displaced) {
        return cursor_corrupt(search->cursor, search->end, "a segment is missing in the middle");
    }
    return 0;
}

/* Looks at one place. *ret_step is how far the next place is. */
static int look_at(const struct search *search, const uint8_t *data, uint64_t lsn,
                   uint64_t *ret_step)
{
    const struct cursor *cursor = search->cursor;
    *ret_step = FRAME_ALIGN_BYTES;
    if (LIKELY(load_le32(data) != FRAME_MAGIC)) {
        return 0;
    }
    uint32_t segment_bytes = cursor->segments->segment_bytes;
    struct frame frame;
    if (frame_check_displaced(data, cursor->store_id, segment_bytes, &frame) != 0 ||
        frame.epoch < cursor->epoch) {
        return 0;
    }
    bool displaced = frame.lsn != lsn;
    if (!displaced) {
        *ret_step = frame_bytes(&frame);
    }
    return judge(search, &frame, displaced);
}

static int search_segment(const struct search *search, uint64_t number)
{
    uint64_t segment_bytes = search->cursor->segments->segment_bytes;
    uint64_t lsn = max_u64(search->end, number * segment_bytes);
    while (lsn < (number + 1) * segment_bytes) {
        struct slice data;
        TRY(cursor_peek(search->cursor, lsn, CURSOR_WINDOW_BYTES, &data));
        if (data.bytes < FRAME_HEADER_BYTES) {
            return 0;
        }
        uint64_t at = 0;
        while (at + FRAME_HEADER_BYTES <= data.bytes) {
            uint64_t step;
            TRY(look_at(search, data.data + at, lsn + at, &step));
            at += step;
        }
        lsn += at;
    }
    return 0;
}

/* Proof of damage at or after the end, if there is any. */
static int search_proof(struct cursor *cursor, const struct segment_list *list)
{
    uint64_t first = cursor->position / cursor->segments->segment_bytes;
    struct search search = {.cursor = cursor, .list = list, .end = cursor->position};
    uint64_t expected = first;
    for (uint32_t i = 0; i < list->count; i++) {
        uint64_t number = list->numbers[i];
        if (number < first) {
            continue;
        }
        search.segment_missing |= number != expected;
        expected = number + 1;
        TRY(search_segment(&search, number));
    }
    return 0;
}

/* A log that has never been begun, in a directory with frames of another store. */
static int check_foreign(struct cursor *cursor, const struct segment_list *list)
{
    if (cursor->epoch != 0 || cursor->position != 0) {
        return 0;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        struct slice data;
        uint64_t lsn = list->numbers[i] * cursor->segments->segment_bytes;
        TRY(cursor_peek(cursor, lsn, FRAME_HEADER_BYTES, &data));
        if (data.bytes == FRAME_HEADER_BYTES && load_le32(data.data) == FRAME_MAGIC) {
            char path[SEGMENT_PATH_BYTES];
            segment_path(cursor->segments, list->numbers[i], path);
            LOGGER_WARNING("%s: this is the redo log of another store", path);
            return ERR_FOREIGN;
        }
    }
    return 0;
}

/* Leaves the cursor at the end, and the highest watermark of the stream in *watermark. */
static int find_end(struct log *log, struct cursor *cursor, const struct segment_list *list,
                    uint64_t *watermark)
{
    uint64_t start_number = log->start.value / log->segment_bytes;
    if (log->start.value % log->segment_bytes != 0 && !segment_list_has(list, start_number)) {
        return cursor_corrupt(cursor, log->start.value,
                              "the segment that is needed first is missing");
    }
    struct frame frame;
    struct slice payload;
    while (TRY(cursor_next(cursor, &frame, &payload)) == 1) {
        *watermark = max_u64(*watermark, frame.watermark);
    }
    if (PLANTED(DAMAGE_TAKEN_FOR_TORN_TAIL)) {
        return 0;
    }
    if (*watermark > cursor->position) {
        return cursor_corrupt(cursor, cursor->position, "it ends here, but was durable beyond");
    }
    TRY(search_proof(cursor, list));
    return check_foreign(cursor, list);
}

int log_recover(struct log *log, struct lsn *watermark, uint32_t *ret_epoch)
{
    struct segment_list list;
    TRY(segment_list_read(&log->segments, &list));
    struct cursor cursor;
    int err = cursor_init(&cursor, &log->segments, log->store_id, log->start.value);
    if (err == 0) {
        err = find_end(log, &cursor, &list, &watermark->value);
    }
    log->end.value = cursor.position;
    *ret_epoch = cursor.epoch;
    cursor_deinit(&cursor);
    segment_list_deinit(&list);
    return err;
}
