/*
 * manifest_format: the bytes of a manifest. Integers are little-endian; records begin at multiples
 * of 4096 and are padded to them with zeros.
 *
 *     0  u64  checksum       XXH3-64 of bytes 8..95, seeded by manifest_seed
 *     8  u32  magic          "ESMF"
 *    12  u16  version        1
 *    14  u8   type           1 snapshot, 2 commit, 3 close
 *    15  u8   flags          bit 0: the last part
 *    16  u64  sequence       1, 2, ... one for each commit and close; a snapshot has its state's
 *    24  u32  part           0, 1, ... a snapshot or commit may need several records
 *    28  u32  body bytes     the record has align_up(96 + body bytes, 4096)
 *    32  u64  body checksum  of all from byte 96 to the record's end, same seed
 *    40  u64  previous       the checksum field of the record before, 0 for the first
 *    48  u64  offset         of this record in its file
 *    56  u64  applied lsn
 *    64  u64  next file      no data file has this number or a higher one
 *    72  u32  epoch          of the store's opening in which it was written
 *    76  20 bytes zero
 *    96  body: entries, each beginning with its tag:
 *
 *        1 tree   varints: space, height, and if height > 0: root, keys, extents. Height 0: gone
 *        2 file   varints: number, pages + 1, live. Pages + 1 = 0: gone, without live
 *        3 chunk  varints: chunk (page id / 512), count; then for each entry, ids ascending:
 *                 slots skipped since the last one, and 0 (unmapped) or 1 + zigzag(position - the
 *                 last position named in this record, at first 0)
 *
 * The header's checksum is looked at before anything else of it is believed.
 */
#ifndef STORE_MANIFEST_FORMAT_H
#define STORE_MANIFEST_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/manifest.h"

enum {
    MANIFEST_MAGIC = 0x464d5345,
    MANIFEST_VERSION = 1,
    MANIFEST_HEADER_BYTES = 96,
    MANIFEST_ALIGN = 4096,
    MANIFEST_RECORD_BYTES_MAX = 256 * 1024,
    MANIFEST_BODY_BYTES_MAX = MANIFEST_RECORD_BYTES_MAX - MANIFEST_HEADER_BYTES,
    /* The longest entry of each kind. */
    MANIFEST_TREE_BYTES_MAX = 1 + 3 * 5 + 2 * 10,
    MANIFEST_FILE_BYTES_MAX = 1 + 10 + 5 + 5,
    MANIFEST_CHUNK_BYTES_MAX = 1 + 2 * 5 + MAPPER_CHUNK_PAGES * (2 + 10),
};
static_assert(MANIFEST_CHUNK_BYTES_MAX < MANIFEST_BODY_BYTES_MAX, "an entry fits in a record");

enum manifest_type {
    MANIFEST_SNAPSHOT = 1,
    MANIFEST_COMMIT = 2,
    MANIFEST_CLOSE = 3,
};

enum manifest_tag {
    MANIFEST_TAG_TREE = 1,
    MANIFEST_TAG_FILE = 2,
    MANIFEST_TAG_CHUNK = 3,
};

struct manifest_header {
    enum manifest_type type;
    bool last;
    uint64_t checksum;
    uint64_t sequence;
    uint32_t part;
    uint32_t body_bytes;
    uint64_t body_checksum;
    uint64_t previous;
    uint64_t offset;
    uint64_t applied;
    uint64_t file_next;
    uint32_t epoch;
};

static inline uint32_t manifest_record_bytes(uint32_t body_bytes)
{
    return (uint32_t)align_up(MANIFEST_HEADER_BYTES + body_bytes, MANIFEST_ALIGN);
}

/* Other store, other partition, other manifest: other checksums. */
uint64_t manifest_seed(uint64_t store_id, uint32_t partition, uint64_t number);

/* Finishes the record in `record` (whole, zero-padded): fills in both checksums. */
void manifest_header_encode(uint8_t *record, uint64_t seed, struct manifest_header *header);

/* Reads a header: 0; ERR_CHECKSUM if these bytes are none; ERR_VERSION for a newer one. */
NODISCARD int manifest_header_decode(const uint8_t *from, uint64_t seed,
                                     struct manifest_header *ret_header);

/* Applies a record's entries. `some` names the file and offset for messages. */
struct manifest_decoder {
    const char *path;
    uint64_t offset;
    struct manifest_state *state;
    struct mapper_change *map;
};
NODISCARD int manifest_body_apply(const struct manifest_decoder *decoder, struct slice body);

/* Encoding; `to` has room for the kind's longest entry. Each returns the bytes written. */
uint32_t manifest_encode_tree(uint8_t *to, const struct tree *tree);
/* `gone`: the file leaves the table. */
uint32_t manifest_encode_file(uint8_t *to, const struct datafile *file, bool gone);
/* All used entries, or those that a change set has touched. *position is the last one named. */
uint32_t manifest_encode_chunk(uint8_t *to, const struct mapper_chunk *chunk, bool changed_only,
                               uint64_t *position);

#endif
