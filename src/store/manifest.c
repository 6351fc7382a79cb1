#include "store/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/kill_point.h"
#include "base/logger.h"
#include "base/mem.h"
#include "shard/await.h"
#include "store/manifest_format.h"

void manifest_init(struct manifest *manifest, struct shard *shard,
                   const struct store_options *options, const char *dir, uint32_t partition)
{
    *manifest = (struct manifest){
        .shard = shard,
        .options = options,
        .dir = dir,
        .partition = partition,
        .fd = -1,
        .number_next = 1,
    };
}

/* ---- writing records ---- */

/* The records of one snapshot, commit or close on their way to a file. */
struct manifest_writer {
    struct manifest *manifest;
    int fd;
    uint64_t seed;
    uint8_t *record; /* MANIFEST_RECORD_BYTES_MAX, aligned */
    uint32_t bytes;  /* of the record so far, header included */
    uint64_t position;
    uint64_t end;
    struct manifest_header header;
};

static int writer_init(struct manifest_writer *writer, struct manifest *manifest,
                       enum manifest_type type)
{
    *writer = (struct manifest_writer){.manifest = manifest, .fd = manifest->fd};
    writer->record = mem_alloc_aligned(MANIFEST_ALIGN, MANIFEST_RECORD_BYTES_MAX);
    if (writer->record == NULL) {
        return ERR_MEMORY;
    }
    writer->seed =
        manifest_seed(manifest->options->store_id, manifest->partition, manifest->number);
    writer->bytes = MANIFEST_HEADER_BYTES;
    writer->end = manifest->end;
    writer->header.type = type;
    writer->header.sequence = manifest->sequence + 1;
    writer->header.previous = manifest->previous;
    writer->header.epoch = manifest->options->epoch;
    return 0;
}

/* Writes the record as it stands and begins the next part. Suspends. */
co_fn static int writer_part(struct manifest_writer *writer, bool last)
{
    struct manifest_header *header = &writer->header;
    header->last = last;
    header->body_bytes = writer->bytes - MANIFEST_HEADER_BYTES;
    header->offset = writer->end;
    uint32_t bytes = manifest_record_bytes(header->body_bytes);
    ASSERT(bytes <= MANIFEST_RECORD_BYTES_MAX);
    memset(writer->record + writer->bytes, 0, bytes - writer->bytes);
    manifest_header_encode(writer->record, writer->seed, header);
    TRY(await_write(writer->manifest->shard, writer->fd, writer->record, bytes, writer->end));
    writer->manifest->written_bytes += bytes;
    writer->end += bytes;
    writer->bytes = MANIFEST_HEADER_BYTES;
    writer->position = 0;
    header->previous = header->checksum;
    header->part++;
    return 0;
}

/* Room for an entry of up to `bytes`, in this part or the next. Suspends. */
co_fn static int writer_room(struct manifest_writer *writer, uint32_t bytes, uint8_t **ret_to)
{
    if (writer->bytes + bytes > MANIFEST_RECORD_BYTES_MAX) {
        TRY(writer_part(writer, false));
        co_yield_if_due();
    }
    *ret_to = writer->record + writer->bytes;
    return 0;
}

co_fn static int writer_trees(struct manifest_writer *writer, const struct tree *trees,
                              uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *to;
        TRY(writer_room(writer, MANIFEST_TREE_BYTES_MAX, &to));
        writer->bytes += manifest_encode_tree(to, &trees[i]);
    }
    return 0;
}

co_fn static int writer_file(struct manifest_writer *writer, const struct datafile *file, bool gone)
{
    uint8_t *to;
    TRY(writer_room(writer, MANIFEST_FILE_BYTES_MAX, &to));
    writer->bytes += manifest_encode_file(to, file, gone);
    return 0;
}

co_fn static int writer_chunk(struct manifest_writer *writer, const struct mapper_chunk *chunk,
                              bool changed_only)
{
    uint8_t *to;
    TRY(writer_room(writer, MANIFEST_CHUNK_BYTES_MAX, &to));
    writer->bytes += manifest_encode_chunk(to, chunk, changed_only, &writer->position);
    return 0;
}

/* ---- commits ---- */

co_fn static int write_commit(struct manifest_writer *writer, const struct manifest_change *change)
{
    TRY(writer_trees(writer, change->trees, change->tree_count));
    LIST_FOREACH (&change->files->touched, node) {
        const struct datafile *file = container_of(node, struct datafile, touched);
        if (file->committed || !datafile_dies(file)) {
            TRY(writer_file(writer, file, datafile_dies(file)));
        }
    }
    LIST_FOREACH (&change->map->chunks, node) {
        TRY(writer_chunk(writer, container_of(node, struct mapper_chunk, touched), true));
    }
    return writer_part(writer, true);
}

/* Records are written: they count once they are synced. Suspends. */
co_fn static int writer_seal(struct manifest_writer *writer)
{
    struct manifest *manifest = writer->manifest;
    KILL_POINT("manifest-written");
    int err = await_sync_data(manifest->shard, writer->fd);
    if (err < 0) {
        manifest->sync_failed = true;
        return err;
    }
    manifest->end = writer->end;
    manifest->previous = writer->header.previous;
    manifest->sequence = writer->header.sequence;
    manifest->epoch = writer->header.epoch;
    manifest->closed = writer->header.type == MANIFEST_CLOSE;
    return 0;
}

co_fn int manifest_append(struct manifest *manifest, const struct manifest_change *change)
{
    ASSERT(manifest->fd >= 0 && !manifest->suspect && !manifest->sync_failed);
    struct manifest_writer writer;
    TRY(writer_init(&writer, manifest, MANIFEST_COMMIT));
    writer.header.applied = change->applied.value;
    writer.header.file_next = change->files->next_number;
    int err = write_commit(&writer, change);
    if (err == 0) {
        err = writer_seal(&writer);
    }
    manifest->suspect = err < 0;
    mem_free(writer.record);
    return err;
}

/* ---- snapshots ---- */

bool manifest_outgrown(const struct manifest *manifest)
{
    uint64_t limit = max_u64(manifest->options->manifest_bytes_min, 2 * manifest->snapshot_end);
    return manifest->end - max_u64(manifest->snapshot_end, manifest->rotate_tried) > limit;
}

static int manifest_format_path(const struct manifest *manifest, uint64_t number, const char *kind,
                                char *to)
{
    int bytes = snprintf(to, DATAFILE_PATH_BYTES_MAX, "%s/manifest-%llu.%s", manifest->dir,
                         (unsigned long long)number, kind);
    return bytes < 0 || bytes >= DATAFILE_PATH_BYTES_MAX ? -ENAMETOOLONG : 0;
}

co_fn static int write_snapshot(struct manifest_writer *writer, const struct manifest_state *state)
{
    TRY(writer_trees(writer, state->trees, state->tree_count));
    const struct datafiles *files = state->files;
    for (uint32_t i = 0; i < files->count; i++) {
        if (!files->files[i]->dead) {
            TRY(writer_file(writer, files->files[i], false));
        }
    }
    const struct mapper_root *root = mapper_root(state->mapper);
    const struct mapper_chunk *chunk = mapper_next_chunk(root, 0);
    while (chunk != NULL) {
        TRY(writer_chunk(writer, chunk, false));
        chunk = mapper_next_chunk(root, chunk->index + 1);
    }
    return writer_part(writer, true);
}

/* A manifest that is being made beside the one in force. */
struct manifest_new {
    uint64_t number;
    int fd;
    struct manifest_writer writer;
    char path_tmp[DATAFILE_PATH_BYTES_MAX];
    char path[DATAFILE_PATH_BYTES_MAX];
};

/* The file with its snapshot, synced, still under its temporary name. Suspends. */
co_fn static int new_write(struct manifest *manifest, struct manifest_new *new,
                           const struct manifest_state *state)
{
    int direct = manifest->options->direct ? O_DIRECT : 0;
    int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | direct;
    new->fd = TRY(await_open(manifest->shard, new->path_tmp, flags, 0644));
    TRY(writer_init(&new->writer, manifest, MANIFEST_SNAPSHOT));
    struct manifest_writer *writer = &new->writer;
    writer->fd = new->fd;
    writer->end = 0;
    writer->seed = manifest_seed(manifest->options->store_id, manifest->partition, new->number);
    writer->header.sequence = max_u64(manifest->sequence, 1);
    writer->header.previous = 0;
    writer->header.applied = state->applied.value;
    writer->header.file_next = state->files->next_number;
    TRY(write_snapshot(writer, state));
    int err = await_sync_all(manifest->shard, new->fd);
    manifest->sync_failed = err < 0;
    return err;
}

/* Gives it its name. After the rename there is no way back but forward, so everything that may fail
 * without harm comes before. Suspends. */
co_fn static int new_enforce(struct manifest *manifest, const struct manifest_new *new)
{
    struct shard *shard = manifest->shard;
    int dir = TRY(await_open(shard, manifest->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
    KILL_POINT("manifest-rotation");
    int err = await_rename(shard, new->path_tmp, new->path);
    KILL_POINT("manifest-rotation-renamed");
    if (err == 0) {
        err = await_sync_all(shard, dir);
        manifest->sync_failed = err < 0;
    }
    IGNORE(await_close(shard, dir), "it was only synced");
    return err;
}

/* The new manifest is the partition's: the old one goes. Suspends. */
co_fn static void new_replace(struct manifest *manifest, struct manifest_new *new)
{
    int fd_old = manifest->fd;
    char path_old[DATAFILE_PATH_BYTES_MAX];
    memcpy(path_old, manifest->path, sizeof(path_old));
    memcpy(manifest->path, new->path, sizeof(manifest->path));
    manifest->fd = new->fd;
    manifest->number = new->number;
    manifest->end = new->writer.end;
    manifest->snapshot_end = new->writer.end;
    manifest->sequence = new->writer.header.sequence;
    manifest->previous = new->writer.header.previous;
    manifest->epoch = new->writer.header.epoch;
    manifest->rotate_tried = 0;
    manifest->closed = false;
    manifest->suspect = false;
    new->fd = -1;
    if (fd_old >= 0) {
        IGNORE(await_close(manifest->shard, fd_old), "all of it was synced");
        KILL_POINT("manifest-rotation-done");
        manifest->options->dispose(manifest->options->context, path_old);
    }
}

co_fn int manifest_rotate(struct manifest *manifest, const struct manifest_state *state)
{
    ASSERT(!manifest->sync_failed);
    struct manifest_new *new = mem_calloc(1, sizeof(*new));
    if (new == NULL) {
        return ERR_MEMORY;
    }
    new->fd = -1;
    new->number = manifest->number_next++;
    manifest->rotate_tried = manifest->end;
    int err = manifest_format_path(manifest, new->number, "tmp", new->path_tmp);
    if (err == 0) {
        err = manifest_format_path(manifest, new->number, "man", new->path);
    }
    if (err == 0) {
        err = new_write(manifest, new, state);
    }
    if (err == 0) {
        err = new_enforce(manifest, new);
    }
    if (err == 0) {
        new_replace(manifest, new);
    } else if (new->fd >= 0) {
        IGNORE(await_close(manifest->shard, new->fd), "the file is given up");
        manifest->options->dispose(manifest->options->context, new->path_tmp);
    }
    mem_free(new->writer.record);
    mem_free(new);
    return err;
}

/* ---- the end ---- */

bool manifest_is_closed(const struct manifest *manifest)
{
    return manifest->closed && manifest->epoch == manifest->options->epoch;
}

co_fn static int append_close(struct manifest *manifest, struct lsn applied, uint64_t file_next)
{
    struct manifest_writer writer;
    TRY(writer_init(&writer, manifest, MANIFEST_CLOSE));
    writer.header.applied = applied.value;
    writer.header.file_next = file_next;
    int err = writer_part(&writer, true);
    if (err == 0) {
        err = writer_seal(&writer);
    }
    mem_free(writer.record);
    return err;
}

co_fn void manifest_close(struct manifest *manifest, bool clean, struct lsn applied,
                          uint64_t file_next)
{
    if (manifest->fd < 0) {
        return;
    }
    if (clean && !manifest_is_closed(manifest) && !manifest->suspect && !manifest->sync_failed) {
        int err = append_close(manifest, applied, file_next);
        if (err < 0) {
            LOGGER_WARNING("%s: no closing record: %s", manifest->path, error_text(err));
        }
    }
    IGNORE(await_close(manifest->shard, manifest->fd), "all that counts was synced");
    manifest->fd = -1;
}
