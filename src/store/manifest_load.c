/*
 * Reading a manifest at opening. Records are read one after the other into one buffer of the
 * largest record's size; nothing is believed before its checksum.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/mem.h"
#include "shard/await.h"
#include "store/manifest.h"
#include "store/manifest_format.h"

/* A window onto the file. */
struct manifest_reader {
    struct manifest *manifest;
    uint64_t seed;
    uint8_t *memory; /* MANIFEST_RECORD_BYTES_MAX, aligned */
    uint64_t start;  /* of the window, a multiple of MANIFEST_ALIGN */
    uint32_t bytes;  /* in the window; less than the memory only at the file's end */
    uint64_t offset; /* of the next record */
    uint64_t sequence;
    uint64_t previous;
};

enum record_state {
    RECORD_WHOLE,
    RECORD_NONE,   /* the file ends here */
    RECORD_BROKEN, /* something is here, but not the record that should be */
};

struct record {
    enum record_state state;
    struct manifest_header header;
    struct slice body;
};

/* At least `bytes` from `offset` on are in the window, or all up to the end of the file. Returns
 * how many there are, at most `bytes`. Suspends. */
co_fn static int reader_window(struct manifest_reader *reader, uint64_t offset, uint32_t bytes)
{
    ASSERT(is_aligned(offset, MANIFEST_ALIGN) && bytes <= MANIFEST_RECORD_BYTES_MAX);
    uint64_t window_end = reader->start + reader->bytes;
    bool inside = offset >= reader->start && offset + bytes <= window_end;
    if (!inside) {
        struct manifest *manifest = reader->manifest;
        int got = await_read(manifest->shard, manifest->fd, reader->memory,
                             MANIFEST_RECORD_BYTES_MAX, offset);
        if (got < 0) {
            LOGGER_WARNING("%s at offset %llu: %s", manifest->path, (unsigned long long)offset,
                           error_text(got));
            return got;
        }
        reader->start = offset;
        reader->bytes = (uint32_t)got;
        window_end = offset + (uint32_t)got;
    }
    return (int)min_u64(bytes, window_end - offset);
}

/* Reads the record at reader->offset, which must be `part` of commit `sequence`. */
co_fn static int reader_record(struct manifest_reader *reader, uint64_t sequence, uint32_t part,
                               struct record *ret_record)
{
    *ret_record = (struct record){.state = RECORD_BROKEN};
    uint64_t offset = reader->offset;
    uint32_t got = (uint32_t)TRY(reader_window(reader, offset, MANIFEST_HEADER_BYTES));
    if (got < MANIFEST_HEADER_BYTES) {
        ret_record->state = got == 0 ? RECORD_NONE : RECORD_BROKEN;
        return 0;
    }
    struct manifest_header header;
    int err =
        manifest_header_decode(reader->memory + (offset - reader->start), reader->seed, &header);
    if (err == ERR_VERSION) {
        LOGGER_WARNING("%s at offset %llu: the record is of a newer version",
                       reader->manifest->path, (unsigned long long)offset);
        return err;
    }
    if (err < 0 || header.offset != offset || header.sequence != sequence || header.part != part ||
        header.previous != reader->previous) {
        return 0;
    }
    uint32_t bytes = manifest_record_bytes(header.body_bytes);
    got = (uint32_t)TRY(reader_window(reader, offset, bytes));
    const uint8_t *record = reader->memory + (offset - reader->start);
    if (got < bytes ||
        header.body_checksum != checksum64(record + MANIFEST_HEADER_BYTES,
                                           bytes - MANIFEST_HEADER_BYTES, reader->seed)) {
        return 0;
    }
    ret_record->state = RECORD_WHOLE;
    ret_record->header = header;
    ret_record->body = slice_of(record + MANIFEST_HEADER_BYTES, header.body_bytes);
    return 0;
}

static void reader_advance(struct manifest_reader *reader, const struct record *record)
{
    reader->offset += manifest_record_bytes(record->header.body_bytes);
    reader->previous = record->header.checksum;
}

/*
 * Something at `from` is not the next record of commit `sequence`. An append of that commit that
 * was never finished looks like that; but then nothing behind it can belong to another commit, or
 * have been meant for another place.
 */
co_fn static int reader_check_tail(struct manifest_reader *reader, uint64_t from, uint64_t sequence)
{
    for (uint64_t offset = from;; offset += MANIFEST_ALIGN) {
        int got = TRY(reader_window(reader, offset, MANIFEST_HEADER_BYTES));
        if (got < MANIFEST_HEADER_BYTES) {
            return 0;
        }
        struct manifest_header header;
        int err = manifest_header_decode(reader->memory + (offset - reader->start), reader->seed,
                                         &header);
        if (err == 0 && (header.offset != offset || header.sequence != sequence)) {
            return err_corrupt(reader->manifest->path, from,
                               "damaged, for at offset %llu stands record %llu of offset %llu",
                               (unsigned long long)offset, (unsigned long long)header.sequence,
                               (unsigned long long)header.offset);
        }
        co_yield_if_due();
    }
}

/* All parts of the next snapshot or commit are applied to `map` and state, or, if `map` is NULL,
 * only looked at. *ret_record is the last one looked at. Suspends. */
co_fn static int reader_parts(struct manifest_reader *reader, uint64_t sequence,
                              struct manifest_state *state, struct mapper_change *map,
                              struct record *ret_record)
{
    enum manifest_type type = MANIFEST_SNAPSHOT;
    for (uint32_t part = 0;; part++) {
        TRY(reader_record(reader, sequence, part, ret_record));
        const struct manifest_header *header = &ret_record->header;
        if (ret_record->state != RECORD_WHOLE) {
            return 0;
        }
        if (part > 0 && header->type != type) {
            ret_record->state = RECORD_BROKEN;
            return 0;
        }
        type = header->type;
        if (map != NULL) {
            struct manifest_decoder decoder = {reader->manifest->path, reader->offset, state, map};
            TRY(manifest_body_apply(&decoder, ret_record->body));
        }
        reader_advance(reader, ret_record);
        co_yield_if_due();
        if (header->last) {
            return 0;
        }
    }
}

/* Applies the commit (or snapshot) of which all parts are known to be whole. Suspends. */
co_fn static int reader_apply(struct manifest_reader *reader, uint64_t sequence,
                              struct manifest_state *state)
{
    struct mapper_change map = {0};
    struct record record;
    TRY(mapper_begin(state->mapper, sequence, &map));
    int err = reader_parts(reader, sequence, state, &map, &record);
    if (err == 0 && record.state != RECORD_WHOLE) {
        err = err_corrupt(reader->manifest->path, reader->offset,
                          "reads differently the second time");
    }
    if (err < 0) {
        mapper_abort(&map);
        return err;
    }
    struct list retired;
    list_init(&retired);
    mapper_publish(&map, &retired);
    struct list_node *node;
    while ((node = list_pop_front(&retired)) != NULL) {
        struct retired *part = container_of(node, struct retired, node);
        part->release(part);
    }
    state->applied = (struct lsn){record.header.applied};
    state->files->next_number = max_u64(state->files->next_number, record.header.file_next);
    reader->sequence = sequence;
    reader->manifest->epoch = record.header.epoch;
    reader->manifest->closed = record.header.type == MANIFEST_CLOSE;
    return 0;
}

/* The snapshot at the start, of any sequence; nothing in it can be unfinished. Suspends. */
co_fn static int reader_snapshot(struct manifest_reader *reader, struct manifest_state *state)
{
    const char *path = reader->manifest->path;
    if (TRY(reader_window(reader, 0, MANIFEST_HEADER_BYTES)) < MANIFEST_HEADER_BYTES) {
        return err_corrupt(path, 0, "manifest without a snapshot");
    }
    struct manifest_header header;
    int err = manifest_header_decode(reader->memory, reader->seed, &header);
    if (err < 0 || header.type != MANIFEST_SNAPSHOT || header.sequence == 0) {
        return err_corrupt(path, 0, "no snapshot at the start: %s",
                           err < 0 ? error_text(err) : "another record");
    }
    struct record record;
    TRY(reader_parts(reader, header.sequence, state, NULL, &record));
    if (record.state != RECORD_WHOLE) {
        return err_corrupt(path, reader->offset, "the snapshot is damaged");
    }
    reader->manifest->snapshot_end = reader->offset;
    reader->offset = 0;
    reader->previous = 0;
    return reader_apply(reader, header.sequence, state);
}

/* The next commit: 1, or 0 at the end of the log. Suspends. */
co_fn static int reader_commit(struct manifest_reader *reader, struct manifest_state *state)
{
    struct manifest *manifest = reader->manifest;
    uint64_t offset = reader->offset;
    uint64_t previous = reader->previous;
    uint64_t sequence = reader->sequence + 1;
    struct record record;
    TRY(reader_parts(reader, sequence, state, NULL, &record));
    uint64_t broken = reader->offset;
    reader->offset = offset;
    reader->previous = previous;
    if (record.state == RECORD_WHOLE && record.header.type != MANIFEST_SNAPSHOT) {
        TRY(reader_apply(reader, sequence, state));
        return 1;
    }
    if (record.state == RECORD_NONE && broken == offset) {
        return 0;
    }
    TRY(reader_check_tail(reader, broken, sequence));
    LOGGER_NOTICE("%s: cut an unfinished record at offset %llu", manifest->path,
                  (unsigned long long)offset);
    manifest->suspect = true;
    return 0;
}

co_fn static int reader_run(struct manifest_reader *reader, struct manifest_state *state)
{
    struct manifest *manifest = reader->manifest;
    TRY(reader_snapshot(reader, state));
    int more = 1;
    while (more > 0) {
        more = TRY(reader_commit(reader, state));
    }
    manifest->end = reader->offset;
    manifest->sequence = reader->sequence;
    manifest->previous = reader->previous;
    return 0;
}

co_fn int manifest_load(struct manifest *manifest, uint64_t number, struct manifest_state *state)
{
    ASSERT(manifest->fd < 0);
    int bytes = snprintf(manifest->path, sizeof(manifest->path), "%s/manifest-%llu.man",
                         manifest->dir, (unsigned long long)number);
    if (bytes < 0 || bytes >= (int)sizeof(manifest->path)) {
        return -ENAMETOOLONG;
    }
    int direct = manifest->options->direct ? O_DIRECT : 0;
    int fd = await_open(manifest->shard, manifest->path, O_RDWR | O_CLOEXEC | direct, 0);
    if (fd < 0) {
        LOGGER_WARNING("can't open %s: %s", manifest->path, error_text(fd));
        return fd;
    }
    manifest->fd = fd;
    manifest->number = number;
    manifest->number_next = max_u64(manifest->number_next, number + 1);
    struct manifest_reader reader = {
        .manifest = manifest,
        .seed = manifest_seed(manifest->options->store_id, manifest->partition, number),
        .memory = mem_alloc_aligned(MANIFEST_ALIGN, MANIFEST_RECORD_BYTES_MAX),
    };
    int err = reader.memory == NULL ? ERR_MEMORY : reader_run(&reader, state);
    mem_free(reader.memory);
    if (err < 0) {
        IGNORE(await_close(manifest->shard, manifest->fd), "it was only read");
        manifest->fd = -1;
    }
    return err;
}

/* ---- making durable what was read ---- */

co_fn static int rewrite(struct manifest *manifest, uint8_t *piece)
{
    for (uint64_t at = 0; at < manifest->end; at += MANIFEST_RECORD_BYTES_MAX) {
        uint32_t bytes = (uint32_t)min_u64(manifest->end - at, MANIFEST_RECORD_BYTES_MAX);
        int got = TRY(await_read(manifest->shard, manifest->fd, piece, bytes, at));
        if ((uint32_t)got < bytes) {
            return err_corrupt(manifest->path, at + (uint32_t)got, "the file got shorter");
        }
        TRY(await_write(manifest->shard, manifest->fd, piece, bytes, at));
    }
    return 0;
}

/*
 * A sync alone would not do. If the last process ended because a sync of this file had failed, the
 * kernel may have kept the pages and marked them clean: they can be read, are not on the disk, and
 * no later sync writes them. These are the bytes that stand there: a torn write changes nothing.
 */
co_fn int manifest_settle(struct manifest *manifest)
{
    uint8_t *piece = mem_alloc_aligned(MANIFEST_ALIGN, MANIFEST_RECORD_BYTES_MAX);
    if (piece == NULL) {
        return ERR_MEMORY;
    }
    int err = rewrite(manifest, piece);
    mem_free(piece);
    if (err == 0) {
        err = await_sync_data(manifest->shard, manifest->fd);
        manifest->sync_failed = err < 0;
    }
    return err;
}
