/*
 * data_writer: the appending of one commit: pages and extents go to the end of the active data file
 * in writes of at most write_bytes, a few in flight, and are synced before the commit is recorded.
 *
 * Model. Pages are built in place in a write's memory. A write leaves when it is full, when the
 * next thing does not follow it in the file, or at the end. Extents that are large go out straight
 * from the caller's memory where its alignment allows that, else through the writes' memory. A file
 * that is full is synced and left before the next one is made. After the first error nothing more
 * is written, and the commit must be given up.
 *
 * Memory: DATA_WRITER_WRITES * write_bytes at most, for the commit's duration.
 *
 * Who calls: tree_batch.c. One thread; co_fn as marked.
 */
#ifndef STORE_DATA_WRITER_H
#define STORE_DATA_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "shard/await.h"
#include "shard/sync.h"
#include "store/datafile.h"
#include "store/leaf.h"

enum {
    DATA_WRITER_WRITES = 4, /* in flight */
};

struct data_writer;

/* One write, being filled or on its way. */
struct data_write {
    struct io_op op;
    struct data_writer *writer;
    uint8_t *memory; /* write_bytes, aligned; NULL until first used */
    uint32_t bytes;
    uint64_t offset; /* in the active file */
    bool busy;
};

struct data_writer {
    struct datafiles *files;
    const struct store_options *options;
    uint32_t partition;
    uint64_t version;
    struct datafile *file; /* the active one, held; NULL before the first page */
    struct data_write writes[DATA_WRITER_WRITES];
    struct data_write *filling;
    struct co_event moved; /* a write has ended */
    uint32_t busy;
    int error;
    bool dirty;       /* the file has bytes that are not synced */
    bool created;     /* a file was made: its directory must be synced */
    bool sync_failed; /* the error is a failed sync: not to be gone on from */
    uint64_t written_bytes;
};

void data_writer_init(struct data_writer *writer, struct datafiles *files, uint32_t partition,
                      uint64_t version);
/* Waits for the writes in flight and frees the memory. Suspends. */
co_fn void data_writer_deinit(struct data_writer *writer);

/* Memory for the next page, valid until data_writer_page_end; may be asked for again if the page
 * was not needed. Suspends. */
NODISCARD co_fn int data_writer_page_begin(struct data_writer *writer, uint8_t **ret_page);
/* The position it will have: known before the page is sealed. */
struct file_pos data_writer_page_pos(const struct data_writer *writer);
/* The page is complete. */
void data_writer_page_end(struct data_writer *writer);

/* Writes a value as an extent. `value` must stay put until data_writer_finish or _deinit. Suspends.
 */
NODISCARD co_fn int data_writer_extent(struct data_writer *writer, struct slice value,
                                       struct extent *ret_extent);

/* Writes what is left and syncs: everything is durable but the names of new files. Suspends. */
NODISCARD co_fn int data_writer_finish(struct data_writer *writer);

#endif
