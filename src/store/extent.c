#include "store/extent.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "shard/await.h"

enum {
    PIECE_BYTES = 1 << 20, /* of one read */
    PIECES_MAX = 4,        /* in flight */
    CHECK_BYTES = 1 << 20, /* summed between two chances to yield */
};

/* The extent's file, if it has all of its pages. */
static int extent_locate(struct partition *partition, const struct extent *extent,
                         struct datafile **ret_file)
{
    struct datafile *file = datafiles_find(&partition->files, file_pos_file(extent->pos));
    if (file == NULL) {
        return err_corrupt(partition->dir, 0, "an extent is in data file %llu, which is not there",
                           (unsigned long long)file_pos_file(extent->pos));
    }
    uint32_t first = file_pos_page(extent->pos);
    if (extent->bytes == 0 || extent->bytes > STORE_VALUE_BYTES_MAX || first > file->pages ||
        extent_pages(extent) > file->pages - first) {
        return err_corrupt(file->path, file_pos_offset(extent->pos),
                           "an extent of %llu bytes goes beyond the file",
                           (unsigned long long)extent->bytes);
    }
    *ret_file = file;
    return 0;
}

/* Reads `bytes` (whole pages) by pieces, a few at a time. Suspends. */
co_fn static int extent_transfer(const struct datafile *file, uint8_t *to, uint64_t bytes,
                                 uint64_t offset)
{
    struct shard *shard = file->owner->pool->shard;
    for (uint64_t done = 0; done < bytes;) {
        struct await_op ops[PIECES_MAX];
        struct co_group group;
        co_group_init(&group);
        uint32_t count = 0;
        for (; count < PIECES_MAX && done < bytes; count++) {
            uint32_t piece = (uint32_t)min_u64(bytes - done, PIECE_BYTES);
            io_prep(&ops[count].op, IO_READ, file->fd, NULL);
            io_prep_transfer(&ops[count].op, IO_READ, file->fd, to + done, piece, offset + done);
            await_start(shard, &ops[count], &group);
            done += piece;
        }
        co_group_wait(&group);
        for (uint32_t i = 0; i < count; i++) {
            const struct io_op *op = &ops[i].op;
            if (op->result < 0) {
                return op->result;
            }
            if ((uint32_t)op->result < op->bytes) {
                return err_corrupt(file->path, op->offset + (uint32_t)op->result,
                                   "data file ends within an extent");
            }
        }
    }
    return 0;
}

/* The checksum, in steps. Suspends. */
co_fn static int extent_check(struct partition *partition, const struct extent *extent,
                              const uint8_t *value, const char *path)
{
    uint64_t seed = page_seed(partition->store->options.store_id, partition->number, extent->pos);
    uint64_t checksum;
    if (extent->bytes <= CHECK_BYTES) {
        checksum = checksum64(value, extent->bytes, seed);
    } else {
        struct checksum_stream stream;
        checksum_begin(&stream, seed);
        for (uint64_t done = 0; done < extent->bytes; done += CHECK_BYTES) {
            checksum_add(&stream, value + done, min_u64(CHECK_BYTES, extent->bytes - done));
            co_yield_if_due();
        }
        checksum = checksum_end(&stream);
    }
    if (checksum != extent->checksum) {
        return err_corrupt(path, file_pos_offset(extent->pos),
                           "the checksum of an extent of %llu bytes does not match",
                           (unsigned long long)extent->bytes);
    }
    return 0;
}

co_fn int extent_read(struct partition *partition, const struct extent *extent, uint8_t **ret_value)
{
    struct datafile *file = NULL;
    TRY(extent_locate(partition, extent, &file));
    uint64_t bytes = (uint64_t)extent_pages(extent) * STORE_PAGE_BYTES;
    uint8_t *value = mem_alloc_aligned(STORE_PAGE_BYTES, bytes);
    if (value == NULL) {
        return ERR_MEMORY;
    }
    int err = datafile_open(file);
    if (err == 0) {
        err = extent_transfer(file, value, bytes, file_pos_offset(extent->pos));
        if (err == 0) {
            err = extent_check(partition, extent, value, file->path);
        }
        datafile_release(file);
    }
    if (err < 0) {
        mem_free(value);
        return err;
    }
    partition->store->totals.page_reads += bytes / STORE_PAGE_BYTES;
    partition->store->totals.page_read_bytes += bytes;
    *ret_value = value;
    return 0;
}
