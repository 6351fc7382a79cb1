/*
 * log: of two segments, whatever is in them, recovery takes frames up to the first that is not
 * whole, or says what is wrong; records lie within what is there, and memory stays bounded. If any
 * byte is changed, what is read is the same, or a prefix of it, or refused.
 *
 * Input: u64 where a byte is changed | u8 watermark, in frames of 64 bytes | u16 bytes of segment 0
 * in units of 64 | segment 0 | segment 1.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "fuzz.h"
#include "log/frame.h"
#include "log/log.h"
#include "memory_disk.h"

enum {
    SEGMENTS = 2,
    SEGMENT_BYTES = LOG_SEGMENT_BYTES_MIN,
    MEMORY_CONSTANT = 4 << 20, /* windows of 512 KiB, structs */
    HEAD_BYTES = 11,
};

#define STORE_ID UINT64_C(0x1122334455667788)

static const char *const names[SEGMENTS] = {"log/0000000000000000.log", "log/0000000000000001.log"};

/* What was read. */
struct story {
    int err;        /* of log_open, or of the reader */
    uint32_t count; /* of records */
    uint64_t bytes; /* of their bodies */
    uint64_t hash;  /* of all */
    uint64_t hash_at[4096];
};

static void on_failure(void *context, int error)
{
    (void)context;
    (void)error;
    abort();
}

static void note(struct story *story, const struct log_record *record)
{
    story->hash = hash64(&record->lsn, sizeof(record->lsn), story->hash + record->type);
    story->hash = hash64(record->body.data, record->body.bytes, story->hash);
    story->bytes += record->body.bytes;
    if (story->count < sizeof(story->hash_at) / sizeof(story->hash_at[0])) {
        story->hash_at[story->count] = story->hash;
    }
    story->count++;
}

static void read_records(struct log *log, struct story *story)
{
    struct log_reader *reader;
    MUST(log_reader_open(log, (struct lsn){0}, &reader) == 0);
    struct log_record record;
    int result;
    while ((result = log_reader_next(reader, &record)) == 1) {
        MUST(record.lsn.value < log_reserved(log).value);
        note(story, &record);
    }
    story->err = result;
    log_reader_close(reader);
}

static void read_all(uint64_t watermark, struct story *story)
{
    struct log_options options = {
        .dir = "log",
        .store_id = STORE_ID,
        .segment_bytes = SEGMENT_BYTES,
        .spare_segments = 2,
        .shards = 1,
        .sync_mode = LOG_SYNC_NO,
        .enabled = true,
        .watermark = {watermark},
        .epoch = UINT32_MAX,
        .on_failure = on_failure,
    };
    struct log *log;
    *story = (struct story){.err = 0};
    warnings_clear();
    story->err = log_open(&options, &log);
    if (story->err == 0) {
        read_records(log, story);
        (void)log_close(log, false);
    }
    int err = story->err;
    MUST(err == 0 || err == ERR_CORRUPT || err == ERR_VERSION || err == ERR_FOREIGN);
    MUST(err != ERR_CORRUPT || warnings_have(" at offset "));
}

static void put_segments(const struct slice *segments)
{
    memory_disk_clear();
    for (int i = 0; i < SEGMENTS; i++) {
        if (segments[i].bytes > 0) {
            memory_disk_put(names[i], segments[i]);
        }
    }
}

/* Changes one byte. */
static void flip(const struct slice *segments, uint64_t where)
{
    size_t total = segments[0].bytes + segments[1].bytes;
    if (total == 0) {
        return;
    }
    uint64_t at = where % total;
    int which = at >= segments[0].bytes;
    at -= which == 1 ? segments[0].bytes : 0;
    uint8_t *changed = copy_exactly(segments[which]);
    changed[at] ^= (uint8_t)(1 + where % 255);
    memory_disk_put(names[which], slice_of(changed, segments[which].bytes));
    free(changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct story whole;
    static struct story changed;
    struct feed feed = {data, bytes};
    warnings_catch();
    uint64_t where = feed_u64(&feed);
    uint64_t watermark = (uint64_t)feed_u8(&feed) * FRAME_ALIGN_BYTES;
    struct slice segments[SEGMENTS];
    segments[0] = feed_slice(&feed, (size_t)feed_u16(&feed) * FRAME_ALIGN_BYTES);
    segments[1] = feed_slice(&feed, SEGMENT_BYTES);
    put_segments(segments);
    memory_watch();
    read_all(watermark, &whole);
    MUST(memory_peak() <= MEMORY_CONSTANT + 4 * bytes);
    MUST(whole.bytes <= bytes);
    flip(segments, where);
    read_all(watermark, &changed);
    if (whole.err == 0 && changed.err == 0) {
        MUST(changed.count <= whole.count);
        MUST(changed.count == 0 || changed.count > 4096 ||
             changed.hash == whole.hash_at[changed.count - 1]);
    }
    return 0;
}

#ifdef FUZZ_ENGINE
/* Makes a frame of whatever has a frame's magic: places, sums, lengths that fit. */
static void fix_segment(uint8_t *segment, size_t bytes, uint64_t start)
{
    for (size_t at = 0; at + FRAME_HEADER_BYTES <= bytes; at += FRAME_ALIGN_BYTES) {
        uint8_t *header = segment + at;
        if (load_le32(header) != FRAME_MAGIC) {
            continue;
        }
        uint64_t lsn = start + at;
        size_t left = bytes - at - FRAME_HEADER_BYTES;
        bool is_pad = header[28] == FRAME_PAD;
        store_le64(header + 8, lsn);
        if (load_le64(header + 16) > lsn) {
            store_le64(header + 16, lsn);
        }
        if (!is_pad && load_le32(header + 4) > left) {
            store_le32(header + 4, (uint32_t)left);
        }
        store_le64(
            header + 48,
            is_pad ? 0 : frame_sum(STORE_ID, header + FRAME_HEADER_BYTES, load_le32(header + 4)));
        store_le64(header + 56,
                   checksum64(header, 56, STORE_ID ^ (lsn * UINT64_C(0x9e3779b97f4a7c15))));
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned int seed)
{
    bytes = LLVMFuzzerMutate(data, bytes, bytes_max);
    if (seed % 8 == 0 || bytes < HEAD_BYTES) {
        return bytes;
    }
    size_t first = (size_t)load_le16(data + 9) * FRAME_ALIGN_BYTES;
    size_t left = bytes - HEAD_BYTES;
    first = first < left ? first : left;
    fix_segment(data + HEAD_BYTES, first, 0);
    fix_segment(data + HEAD_BYTES + first, left - first, SEGMENT_BYTES);
    return bytes;
}
#endif
