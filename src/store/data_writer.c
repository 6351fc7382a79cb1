#include "store/data_writer.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/kill_point.h"
#include "base/mem.h"
#include "base/plant.h"

/* An extent of up to this share of a write travels with its neighbours. */
enum { SMALL_EXTENT_SHARE = 4 };

void data_writer_init(struct data_writer *writer, struct datafiles *files, uint32_t partition,
                      uint64_t version)
{
    *writer = (struct data_writer){
        .files = files,
        .options = files->options,
        .partition = partition,
        .version = version,
    };
    co_event_init(&writer->moved);
    for (uint32_t i = 0; i < DATA_WRITER_WRITES; i++) {
        writer->writes[i].writer = writer;
    }
}

static struct shard *writer_shard(const struct data_writer *writer)
{
    return writer->files->pool->shard;
}

/* ---- writes ---- */

static void write_done(struct io_op *op)
{
    struct data_write *write = container_of(op, struct data_write, op);
    struct data_writer *writer = write->writer;
    ASSERT(write->busy);
    write->busy = false;
    writer->busy--;
    if (op->result < 0 && writer->error == 0) {
        writer->error = op->result;
    }
    co_event_signal(&writer->moved);
}

/* Sends `bytes` at `data` on their way; `write` is not reused until they have arrived. */
static void write_submit(struct data_write *write, const uint8_t *data, uint32_t bytes)
{
    struct data_writer *writer = write->writer;
    ASSERT(!write->busy && bytes > 0);
    write->busy = true;
    writer->busy++;
    writer->dirty = true;
    writer->written_bytes += bytes;
    io_prep(&write->op, IO_WRITE, writer->file->fd, write_done);
    /* The operation has one pointer for both directions; an IO_WRITE only reads through it. */
    io_prep_transfer(&write->op, IO_WRITE, writer->file->fd, (void *)(uintptr_t)data, bytes,
                     write->offset);
    io_submit(shard_io(writer_shard(writer)), &write->op);
}

/* Sends the write that is being filled, if it has anything. */
static void writer_flush(struct data_writer *writer)
{
    struct data_write *write = writer->filling;
    writer->filling = NULL;
    if (write != NULL && write->bytes > 0) {
        write_submit(write, write->memory, write->bytes);
    }
}

co_fn static void writer_drain(struct data_writer *writer)
{
    while (writer->busy > 0) {
        co_event_wait(&writer->moved);
    }
}

/* A write that is not on its way; waits for one. Suspends. */
co_fn static struct data_write *writer_free_write(struct data_writer *writer)
{
    for (;;) {
        for (uint32_t i = 0; i < DATA_WRITER_WRITES; i++) {
            if (!writer->writes[i].busy && &writer->writes[i] != writer->filling) {
                return &writer->writes[i];
            }
        }
        co_event_wait(&writer->moved);
    }
}

/* Begins to fill a write at the file's end. Suspends. */
co_fn static int writer_fill_next(struct data_writer *writer)
{
    writer_flush(writer);
    struct data_write *write = writer_free_write(writer);
    TRY(writer->error);
    if (write->memory == NULL) {
        write->memory = mem_alloc_aligned(STORE_PAGE_BYTES, writer->options->write_bytes);
        if (write->memory == NULL) {
            return ERR_MEMORY;
        }
    }
    write->bytes = 0;
    write->offset = (uint64_t)writer->file->pages_next * STORE_PAGE_BYTES;
    writer->filling = write;
    return 0;
}

/* ---- files ---- */

/* Everything written to the file so far is durable afterwards. Suspends. */
co_fn static int writer_sync(struct data_writer *writer)
{
    writer_flush(writer);
    if (!PLANTED(DATA_SYNC_BEFORE_WRITE)) {
        writer_drain(writer);
    }
    TRY(writer->error);
    if (writer->dirty && !PLANTED(MANIFEST_BEFORE_DATA)) {
        KILL_POINT("checkpoint-data-sync");
        int err = await_sync_data(writer_shard(writer), writer->file->fd);
        if (err < 0) {
            writer->error = err;
            writer->sync_failed = true;
            return err;
        }
        writer->dirty = false;
    }
    return 0;
}

/* Leaves the file, which has reached its size. Suspends. */
co_fn static int writer_leave_file(struct data_writer *writer)
{
    TRY(writer_sync(writer));
    datafile_seal(writer->file);
    datafile_release(writer->file);
    writer->file = NULL;
    return 0;
}

/* writer->file is open and may grow. Suspends. */
co_fn static int writer_need_file(struct data_writer *writer)
{
    TRY(writer->error);
    uint32_t pages_max = writer->options->data_file_bytes / STORE_PAGE_BYTES;
    if (writer->file != NULL && writer->file->pages_next >= pages_max) {
        TRY(writer_leave_file(writer));
    }
    if (writer->file != NULL) {
        return 0;
    }
    struct datafiles *files = writer->files;
    if (files->active != NULL && files->active->pages_next >= pages_max) {
        datafile_seal(files->active);
    }
    if (files->active != NULL) {
        TRY(datafile_open(files->active));
    } else {
        TRY(datafiles_create(files, writer->version));
        writer->created = true;
    }
    writer->file = files->active;
    return 0;
}

/* ---- pages ---- */

co_fn int data_writer_page_begin(struct data_writer *writer, uint8_t **ret_page)
{
    TRY(writer_need_file(writer));
    struct data_write *write = writer->filling;
    if (write == NULL || write->bytes + STORE_PAGE_BYTES > writer->options->write_bytes) {
        TRY(writer_fill_next(writer));
        write = writer->filling;
    }
    *ret_page = write->memory + write->bytes;
    return 0;
}

struct file_pos data_writer_page_pos(const struct data_writer *writer)
{
    ASSERT(writer->filling != NULL);
    return file_pos_make(writer->file->number, writer->file->pages_next);
}

/* The pages from the file's end on are live, and part of the write that is being filled. */
static struct file_pos writer_take_pages(struct data_writer *writer, uint32_t pages)
{
    uint32_t first = datafile_append(writer->file, pages);
    struct file_pos pos = file_pos_make(writer->file->number, first);
    bool added = datafiles_add_live(writer->files, pos, pages);
    ASSERT(added);
    return pos;
}

void data_writer_page_end(struct data_writer *writer)
{
    struct data_write *write = writer->filling;
    ASSERT(write != NULL && write->bytes + STORE_PAGE_BYTES <= writer->options->write_bytes);
    writer_take_pages(writer, 1);
    write->bytes += STORE_PAGE_BYTES;
}

/* ---- extents ---- */

/* Copies the rest of an extent into write memory, padded with zeros to the page. */
static void write_copy(struct data_write *write, const uint8_t *data, size_t bytes)
{
    uint32_t padded = (uint32_t)align_up(bytes, STORE_PAGE_BYTES);
    memcpy(write->memory + write->bytes, data, bytes);
    memset(write->memory + write->bytes + bytes, 0, padded - bytes);
    write->bytes += padded;
}

/* Sends one piece of a large extent to `offset`: straight from the value if that is possible. */
co_fn static int writer_piece(struct data_writer *writer, const uint8_t *data, uint32_t bytes,
                              uint64_t offset)
{
    bool aligned = !writer->options->direct || is_aligned((uintptr_t)data, STORE_PAGE_BYTES);
    if (aligned && is_aligned(bytes, STORE_PAGE_BYTES)) {
        struct data_write *write = writer_free_write(writer);
        TRY(writer->error);
        write->offset = offset;
        write_submit(write, data, bytes);
        return 0;
    }
    TRY(writer_fill_next(writer));
    writer->filling->offset = offset;
    write_copy(writer->filling, data, bytes);
    writer_flush(writer);
    return 0;
}

/* The pages are taken already; their bytes go out, and into the checksum, in pieces. Suspends. */
co_fn static int writer_pieces(struct data_writer *writer, struct slice value, uint64_t offset,
                               struct checksum_stream *checksum)
{
    uint32_t piece_max = writer->options->write_bytes;
    size_t whole = align_down(value.bytes, STORE_PAGE_BYTES);
    size_t done = 0;
    while (done < value.bytes) {
        size_t left = done < whole ? whole - done : value.bytes - done;
        uint32_t bytes = (uint32_t)min_u64(left, piece_max);
        TRY(writer_piece(writer, value.data + done, bytes, offset + done));
        checksum_add(checksum, value.data + done, bytes);
        done += bytes;
        co_yield_if_due();
    }
    return 0;
}

/* An extent that shares a write with its neighbours. Suspends. */
co_fn static int writer_extent_small(struct data_writer *writer, struct slice value,
                                     struct extent *ret_extent)
{
    uint32_t pages = (uint32_t)div_ceil(value.bytes, STORE_PAGE_BYTES);
    struct data_write *write = writer->filling;
    if (write == NULL || write->bytes + pages * STORE_PAGE_BYTES > writer->options->write_bytes) {
        TRY(writer_fill_next(writer));
    }
    struct file_pos pos = writer_take_pages(writer, pages);
    write_copy(writer->filling, value.data, value.bytes);
    uint64_t seed = page_seed(writer->options->store_id, writer->partition, pos);
    *ret_extent = (struct extent){
        .pos = pos,
        .bytes = value.bytes,
        .checksum = checksum64(value.data, value.bytes, seed),
    };
    return 0;
}

/* One that has its writes for itself. Suspends. */
co_fn static int writer_extent_large(struct data_writer *writer, struct slice value,
                                     struct extent *ret_extent)
{
    writer_flush(writer);
    uint32_t pages = (uint32_t)div_ceil(value.bytes, STORE_PAGE_BYTES);
    struct file_pos pos = writer_take_pages(writer, pages);
    struct checksum_stream checksum;
    checksum_begin(&checksum, page_seed(writer->options->store_id, writer->partition, pos));
    TRY(writer_pieces(writer, value, file_pos_offset(pos), &checksum));
    *ret_extent = (struct extent){
        .pos = pos,
        .bytes = value.bytes,
        .checksum = checksum_end(&checksum),
    };
    return 0;
}

co_fn int data_writer_extent(struct data_writer *writer, struct slice value,
                             struct extent *ret_extent)
{
    ASSERT(value.bytes > 0 && value.bytes <= STORE_VALUE_BYTES_MAX);
    TRY(writer_need_file(writer));
    if (value.bytes <= writer->options->write_bytes / SMALL_EXTENT_SHARE) {
        return writer_extent_small(writer, value, ret_extent);
    }
    return writer_extent_large(writer, value, ret_extent);
}

/* ---- the end ---- */

co_fn int data_writer_finish(struct data_writer *writer)
{
    if (writer->file == NULL) {
        return writer->error;
    }
    TRY(writer_sync(writer));
    datafile_release(writer->file);
    writer->file = NULL;
    return 0;
}

co_fn void data_writer_deinit(struct data_writer *writer)
{
    writer->filling = NULL;
    writer_drain(writer);
    if (writer->file != NULL) {
        datafile_release(writer->file);
        writer->file = NULL;
    }
    for (uint32_t i = 0; i < DATA_WRITER_WRITES; i++) {
        mem_free(writer->writes[i].memory);
        writer->writes[i].memory = NULL;
    }
}
