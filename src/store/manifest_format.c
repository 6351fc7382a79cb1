#include "store/manifest_format.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/varint.h"

/* ---- headers ---- */

enum {
    AT_CHECKSUM = 0,
    AT_MAGIC = 8,
    AT_VERSION = 12,
    AT_TYPE = 14,
    AT_FLAGS = 15,
    AT_SEQUENCE = 16,
    AT_PART = 24,
    AT_BODY_BYTES = 28,
    AT_BODY_CHECKSUM = 32,
    AT_PREVIOUS = 40,
    AT_OFFSET = 48,
    AT_APPLIED = 56,
    AT_FILE_NEXT = 64,
    AT_EPOCH = 72,
    FLAG_LAST = 1,
};

uint64_t manifest_seed(uint64_t store_id, uint32_t partition, uint64_t number)
{
    uint8_t identity[24];
    store_le64(identity, store_id);
    store_le64(identity + 8, partition);
    store_le64(identity + 16, number);
    return checksum64(identity, sizeof(identity), MANIFEST_MAGIC);
}

static uint64_t header_checksum(const uint8_t *record, uint64_t seed)
{
    return checksum64(record + AT_MAGIC, MANIFEST_HEADER_BYTES - AT_MAGIC, seed);
}

void manifest_header_encode(uint8_t *record, uint64_t seed, struct manifest_header *header)
{
    uint32_t bytes = manifest_record_bytes(header->body_bytes);
    header->body_checksum =
        checksum64(record + MANIFEST_HEADER_BYTES, bytes - MANIFEST_HEADER_BYTES, seed);
    memset(record, 0, MANIFEST_HEADER_BYTES);
    store_le32(record + AT_MAGIC, MANIFEST_MAGIC);
    store_le16(record + AT_VERSION, MANIFEST_VERSION);
    record[AT_TYPE] = (uint8_t)header->type;
    record[AT_FLAGS] = header->last ? FLAG_LAST : 0;
    store_le64(record + AT_SEQUENCE, header->sequence);
    store_le32(record + AT_PART, header->part);
    store_le32(record + AT_BODY_BYTES, header->body_bytes);
    store_le64(record + AT_BODY_CHECKSUM, header->body_checksum);
    store_le64(record + AT_PREVIOUS, header->previous);
    store_le64(record + AT_OFFSET, header->offset);
    store_le64(record + AT_APPLIED, header->applied);
    store_le64(record + AT_FILE_NEXT, header->file_next);
    store_le32(record + AT_EPOCH, header->epoch);
    header->checksum = header_checksum(record, seed);
    store_le64(record + AT_CHECKSUM, header->checksum);
}

int manifest_header_decode(const uint8_t *from, uint64_t seed, struct manifest_header *ret_header)
{
    if (load_le32(from + AT_MAGIC) != MANIFEST_MAGIC ||
        load_le64(from + AT_CHECKSUM) != header_checksum(from, seed)) {
        return ERR_CHECKSUM;
    }
    if (load_le16(from + AT_VERSION) != MANIFEST_VERSION) {
        return ERR_VERSION;
    }
    struct manifest_header header = {
        .type = (enum manifest_type)from[AT_TYPE],
        .last = (from[AT_FLAGS] & FLAG_LAST) != 0,
        .checksum = load_le64(from + AT_CHECKSUM),
        .sequence = load_le64(from + AT_SEQUENCE),
        .part = load_le32(from + AT_PART),
        .body_bytes = load_le32(from + AT_BODY_BYTES),
        .body_checksum = load_le64(from + AT_BODY_CHECKSUM),
        .previous = load_le64(from + AT_PREVIOUS),
        .offset = load_le64(from + AT_OFFSET),
        .applied = load_le64(from + AT_APPLIED),
        .file_next = load_le64(from + AT_FILE_NEXT),
        .epoch = load_le32(from + AT_EPOCH),
    };
    if (header.type < MANIFEST_SNAPSHOT || header.type > MANIFEST_CLOSE ||
        header.body_bytes > MANIFEST_BODY_BYTES_MAX) {
        return ERR_VERSION;
    }
    *ret_header = header;
    return 0;
}

/* ---- encoding ---- */

uint32_t manifest_encode_tree(uint8_t *to, const struct tree *tree)
{
    uint8_t *at = to;
    *at++ = MANIFEST_TAG_TREE;
    at += varint_encode_u32(at, tree->space);
    at += varint_encode_u32(at, tree->height);
    if (tree->height > 0) {
        at += varint_encode_u32(at, tree->root.value);
        at += varint_encode_u64(at, tree->keys);
        at += varint_encode_u64(at, tree->extents);
    }
    return (uint32_t)(at - to);
}

uint32_t manifest_encode_file(uint8_t *to, const struct datafile *file, bool gone)
{
    uint8_t *at = to;
    *at++ = MANIFEST_TAG_FILE;
    at += varint_encode_u64(at, file->number);
    if (gone) {
        at += varint_encode_u32(at, 0);
    } else {
        at += varint_encode_u32(at, file->pages_next + 1);
        at += varint_encode_u32(at, file->live_next);
    }
    return (uint32_t)(at - to);
}

static uint64_t zigzag(uint64_t delta)
{
    return delta << 1 ^ (uint64_t)((int64_t)delta >> 63);
}

static uint64_t zigzag_undo(uint64_t value)
{
    return value >> 1 ^ (0 - (value & 1));
}

/* Whether the entry belongs into the record. */
static bool chunk_entry_wanted(const struct mapper_chunk *chunk, uint32_t slot, bool changed_only)
{
    if (changed_only) {
        return (chunk->changed[slot / 64] >> (slot % 64) & 1) != 0;
    }
    return !file_pos_is_none((struct file_pos){chunk->positions[slot]});
}

uint32_t manifest_encode_chunk(uint8_t *to, const struct mapper_chunk *chunk, bool changed_only,
                               uint64_t *position)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < MAPPER_CHUNK_PAGES; slot++) {
        count += chunk_entry_wanted(chunk, slot, changed_only);
    }
    uint8_t *at = to;
    *at++ = MANIFEST_TAG_CHUNK;
    at += varint_encode_u32(at, chunk->index);
    at += varint_encode_u32(at, count);
    uint32_t next = 0;
    for (uint32_t slot = 0; slot < MAPPER_CHUNK_PAGES; slot++) {
        if (!chunk_entry_wanted(chunk, slot, changed_only)) {
            continue;
        }
        at += varint_encode_u32(at, slot - next);
        next = slot + 1;
        uint64_t pos = chunk->positions[slot];
        if (file_pos_is_none((struct file_pos){pos})) {
            at += varint_encode_u64(at, 0);
        } else {
            at += varint_encode_u64(at, 1 + zigzag(pos - *position));
            *position = pos;
        }
    }
    ASSERT(at - to <= MANIFEST_CHUNK_BYTES_MAX);
    return (uint32_t)(at - to);
}

/* ---- decoding ---- */

/* A record's body, read from the front. After the first error everything reads as 0. */
struct body_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static uint64_t body_u64(struct body_reader *body)
{
    uint64_t value = 0;
    int used = varint_decode_u64(body->at, (size_t)(body->end - body->at), &value);
    if (used < 0) {
        body->failed = true;
        body->at = body->end;
        return 0;
    }
    body->at += used;
    return value;
}

static uint32_t body_u32(struct body_reader *body)
{
    uint64_t value = body_u64(body);
    if (value > UINT32_MAX) {
        body->failed = true;
        return 0;
    }
    return (uint32_t)value;
}

/* Puts `tree` in its place by space, or takes the one of its space out. */
static int state_put_tree(struct manifest_state *state, const struct tree *tree)
{
    uint32_t at = 0;
    while (at < state->tree_count && state->trees[at].space < tree->space) {
        at++;
    }
    bool found = at < state->tree_count && state->trees[at].space == tree->space;
    size_t behind = (state->tree_count - at - found) * sizeof(*tree);
    if (tree->height == 0) {
        if (!found) {
            return ERR_NOT_FOUND;
        }
        memmove(state->trees + at, state->trees + at + 1, behind);
        state->tree_count--;
        return 0;
    }
    if (!found) {
        if (state->tree_count == STORE_SPACES_MAX) {
            return ERR_LIMIT;
        }
        size_t bytes = (state->tree_count + 1) * sizeof(*tree);
        struct tree *trees = mem_realloc(state->trees, bytes);
        if (trees == NULL) {
            return ERR_MEMORY;
        }
        state->trees = trees;
        memmove(trees + at + 1, trees + at, behind);
        state->tree_count++;
    }
    state->trees[at] = *tree;
    return 0;
}

static int apply_tree(const struct manifest_decoder *decoder, struct body_reader *body)
{
    struct tree tree = {.space = body_u32(body), .height = body_u32(body)};
    if (tree.height > 0) {
        tree.root = (struct page_id){body_u32(body)};
        tree.keys = body_u64(body);
        tree.extents = body_u64(body);
    }
    if (body->failed || tree.height > TREE_HEIGHT_MAX) {
        return ERR_LIMIT;
    }
    return state_put_tree(decoder->state, &tree);
}

static int apply_file(const struct manifest_decoder *decoder, struct body_reader *body)
{
    struct datafiles *files = decoder->state->files;
    uint64_t number = body_u64(body);
    uint32_t pages = body_u32(body);
    if (pages == 0) {
        struct datafile *file = datafiles_find(files, number);
        if (body->failed || file == NULL) {
            return ERR_NOT_FOUND;
        }
        datafiles_replay_dead(files, file);
        return 0;
    }
    uint32_t live = body_u32(body);
    return body->failed ? ERR_LIMIT : datafiles_replay(files, number, pages - 1, live);
}

static int apply_chunk(const struct manifest_decoder *decoder, struct body_reader *body,
                       uint64_t *position)
{
    uint32_t chunk = body_u32(body);
    uint32_t count = body_u32(body);
    uint32_t slot = 0;
    if (body->failed || chunk >= MAPPER_CHUNKS_MAX || count > MAPPER_CHUNK_PAGES) {
        return ERR_LIMIT;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t gap = body_u32(body);
        uint64_t value = body_u64(body);
        if (body->failed || gap >= MAPPER_CHUNK_PAGES - slot) {
            return ERR_LIMIT;
        }
        slot += gap;
        struct file_pos pos = FILE_POS_NONE;
        if (value > 0) {
            *position += zigzag_undo(value - 1);
            pos.value = *position;
        }
        if (file_pos_file(pos) > DATAFILE_NUMBER_MAX && !file_pos_is_none(pos)) {
            return ERR_LIMIT;
        }
        TRY(mapper_set(decoder->map, (struct page_id){chunk * MAPPER_CHUNK_PAGES + slot}, pos));
        slot++;
    }
    return 0;
}

int manifest_body_apply(const struct manifest_decoder *decoder, struct slice bytes)
{
    struct body_reader body = {.at = bytes.data, .end = bytes.data + bytes.bytes};
    uint64_t position = 0;
    while (body.at < body.end) {
        int err;
        uint8_t tag = *body.at++;
        switch (tag) {
        case MANIFEST_TAG_TREE:
            err = apply_tree(decoder, &body);
            break;
        case MANIFEST_TAG_FILE:
            err = apply_file(decoder, &body);
            break;
        case MANIFEST_TAG_CHUNK:
            err = apply_chunk(decoder, &body, &position);
            break;
        default:
            err = ERR_VERSION;
            break;
        }
        if (err == ERR_MEMORY) {
            return err;
        }
        if (err < 0) {
            return err_corrupt(decoder->path, decoder->offset,
                               "entry of kind %u at byte %zu of the record's body: %s", tag,
                               (size_t)(body.at - bytes.data), error_text(err));
        }
    }
    return 0;
}
