/* The content of files: chunks, images of chunks, and the pieces in which writes come. */
#include <string.h>

#include "base/bytes.h"
#include "disk_impl.h"

/* ---- chunks ---- */

struct chunk *chunk_new(struct disk *disk)
{
    struct chunk *chunk = disk->chunks_free;
    if (chunk != NULL) {
        disk->chunks_free = chunk->next_free;
    } else {
        chunk = sim_alloc(sizeof(*chunk));
    }
    chunk->refs = 1;
    disk->chunks_count++;
    return chunk;
}

void chunk_drop(struct disk *disk, struct chunk *chunk)
{
    if (--chunk->refs == 0) {
        chunk->next_free = disk->chunks_free;
        disk->chunks_free = chunk;
        disk->chunks_count--;
    }
}

static struct chunk *chunk_take(struct chunk *chunk)
{
    if (chunk != NULL) {
        chunk->refs++;
    }
    return chunk;
}

/* ---- images ---- */

struct chunk *chunk_at(const struct image *image, uint64_t index)
{
    return index < image->capacity ? image->chunks[index] : NULL;
}

static void image_reserve(struct image *image, uint64_t count)
{
    if (count <= image->capacity) {
        return;
    }
    uint64_t capacity = max_u64(count, image->capacity * 2);
    image->chunks = sim_realloc(image->chunks, capacity * sizeof(image->chunks[0]));
    memset(image->chunks + image->capacity, 0,
           (capacity - image->capacity) * sizeof(image->chunks[0]));
    image->capacity = capacity;
}

void image_set(struct disk *disk, struct image *image, uint64_t index, struct chunk *chunk)
{
    struct chunk *old = chunk_at(image, index);
    if (chunk == NULL && old == NULL) {
        return;
    }
    image_reserve(image, index + 1);
    image->chunks[index] = chunk;
    image->allocated += (chunk != NULL) - (uint64_t)(old != NULL);
    if (old != NULL) {
        chunk_drop(disk, old);
    }
}

struct chunk *image_own(struct disk *disk, struct image *image, uint64_t index)
{
    struct chunk *old = chunk_at(image, index);
    if (old != NULL && old->refs == 1) {
        return old;
    }
    struct chunk *own = chunk_new(disk);
    memcpy(own->data, old != NULL ? old->data : disk->zero->data, CHUNK_BYTES);
    image_set(disk, image, index, own);
    return own;
}

static void put_part(struct disk *disk, struct image *image, const struct piece *piece,
                     uint8_t sectors)
{
    struct chunk *own = image_own(disk, image, piece->index);
    for (uint32_t sector = 0; sector < CHUNK_SECTORS; sector++) {
        uint64_t from = max_u64((uint64_t)sector * SECTOR_BYTES, piece->from);
        uint64_t to = min_u64((sector + 1) * (uint64_t)SECTOR_BYTES, piece->to);
        if ((sectors >> sector & 1) != 0 && from < to) {
            memcpy(own->data + from, piece->chunk->data + from, to - from);
        }
    }
}

/* Where the sectors of the piece end in the file; 0: none are asked for. */
static uint64_t piece_end(const struct piece *piece, uint8_t sectors)
{
    uint64_t end = 0;
    for (uint32_t sector = 0; sector < CHUNK_SECTORS; sector++) {
        if ((sectors >> sector & 1) != 0 && sector * SECTOR_BYTES < piece->to) {
            end = min_u64((sector + 1) * (uint64_t)SECTOR_BYTES, piece->to);
        }
    }
    return end == 0 ? 0 : piece->index * CHUNK_BYTES + end;
}

void image_put(struct disk *disk, struct image *image, const struct piece *piece, uint8_t sectors)
{
    if (sectors == SECTORS_ALL && piece->from == 0 && piece->to == CHUNK_BYTES) {
        image_set(disk, image, piece->index, chunk_take(piece->chunk));
    } else if (sectors != 0) {
        put_part(disk, image, piece, sectors);
    }
    image_grow(image, piece_end(piece, sectors));
}

void image_share(struct disk *disk, struct image *to, const struct image *from, uint64_t index)
{
    struct chunk *chunk = chunk_at(from, index);
    if (chunk != chunk_at(to, index)) {
        image_set(disk, to, index, chunk_take(chunk));
    }
}

void image_share_all(struct disk *disk, struct image *to, const struct image *from)
{
    for (uint64_t i = 0; i < max_u64(to->capacity, from->capacity); i++) {
        image_share(disk, to, from, i);
    }
    to->bytes = from->bytes;
}

void image_grow(struct image *image, uint64_t bytes)
{
    image->bytes = max_u64(image->bytes, bytes);
}

void image_truncate(struct disk *disk, struct image *image, uint64_t bytes)
{
    if (bytes < image->bytes) {
        for (uint64_t i = chunks_of(bytes); i < image->capacity; i++) {
            image_set(disk, image, i, NULL);
        }
        uint64_t last = bytes / CHUNK_BYTES;
        uint32_t from = (uint32_t)(bytes % CHUNK_BYTES);
        if (from != 0 && chunk_at(image, last) != NULL) {
            memset(image_own(disk, image, last)->data + from, 0, CHUNK_BYTES - from);
        }
    }
    image->bytes = bytes;
}

void image_allocate(struct disk *disk, struct image *image, uint64_t offset, uint64_t bytes)
{
    for (uint64_t i = offset / CHUNK_BYTES; i < chunks_of(offset + bytes); i++) {
        if (chunk_at(image, i) == NULL) {
            image_set(disk, image, i, chunk_take(disk->zero));
        }
    }
    image_grow(image, offset + bytes);
}

uint64_t image_read(const struct image *image, void *data, uint64_t bytes, uint64_t offset)
{
    if (offset >= image->bytes) {
        return 0;
    }
    bytes = min_u64(bytes, image->bytes - offset);
    for (uint64_t done = 0; done < bytes;) {
        uint64_t from = (offset + done) % CHUNK_BYTES;
        uint64_t part = min_u64(bytes - done, CHUNK_BYTES - from);
        const struct chunk *chunk = chunk_at(image, (offset + done) / CHUNK_BYTES);
        if (chunk != NULL) {
            memcpy((uint8_t *)data + done, chunk->data + from, part);
        } else {
            memset((uint8_t *)data + done, 0, part);
        }
        done += part;
    }
    return bytes;
}

void image_clear(struct disk *disk, struct image *image)
{
    for (uint64_t i = 0; i < image->capacity; i++) {
        if (image->chunks[i] != NULL) {
            chunk_drop(disk, image->chunks[i]);
        }
    }
    sim_free(image->chunks);
    *image = (struct image){0};
}

/* ---- pieces ---- */

static bool all_zeros(const uint8_t *data)
{
    return data[0] == 0 && memcmp(data, data + 1, CHUNK_BYTES - 1) == 0;
}

static struct chunk *chunk_of_data(struct disk *disk, const uint8_t *data, uint32_t from,
                                   uint32_t to)
{
    if (to - from == CHUNK_BYTES && all_zeros(data)) {
        return chunk_take(disk->zero);
    }
    struct chunk *chunk = chunk_new(disk);
    memcpy(chunk->data + from, data, to - from);
    return chunk;
}

struct piece *pieces_make(struct disk *disk, const void *data, uint64_t bytes, uint64_t offset,
                          uint32_t *ret_count)
{
    uint32_t count = (uint32_t)(chunks_of(offset + bytes) - offset / CHUNK_BYTES);
    struct piece *pieces = sim_alloc(count * sizeof(pieces[0]) + 1);
    uint64_t done = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = (uint32_t)((offset + done) % CHUNK_BYTES);
        uint32_t to = (uint32_t)min_u64(CHUNK_BYTES, from + (bytes - done));
        pieces[i] = (struct piece){
            .chunk = chunk_of_data(disk, (const uint8_t *)data + done, from, to),
            .index = (offset + done) / CHUNK_BYTES,
            .from = (uint16_t)from,
            .to = (uint16_t)to,
        };
        done += to - from;
    }
    *ret_count = count;
    return pieces;
}

uint64_t pieces_bytes(const struct piece *pieces, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += (uint64_t)(pieces[i].to - pieces[i].from);
    }
    return bytes;
}

void pieces_trim(struct disk *disk, struct piece *pieces, uint32_t *count, uint64_t bytes)
{
    uint64_t done = 0;
    for (uint32_t i = 0; i < *count; i++) {
        uint64_t part = (uint64_t)(pieces[i].to - pieces[i].from);
        if (done >= bytes) {
            for (uint32_t j = i; j < *count; j++) {
                chunk_drop(disk, pieces[j].chunk);
            }
            *count = i;
            return;
        }
        pieces[i].to = (uint16_t)(pieces[i].from + min_u64(part, bytes - done));
        done += part;
    }
}

void pieces_free(struct disk *disk, struct piece *pieces, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        chunk_drop(disk, pieces[i].chunk);
    }
    sim_free(pieces);
}
