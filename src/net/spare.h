/*
 * spare: memory that connections need only while they are busy, kept between two uses: output
 * buffers, parcels, parsers. Each kind is bounded; what is above goes back to the allocator. For
 * net only.
 */
#ifndef NET_SPARE_H
#define NET_SPARE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/list.h"
#include "net/resp.h"

enum {
    SPARES_MAX = 128, /* of each kind */
    SPARE_BUFFERS_BYTES_MAX = 4 << 20,
    SPARE_BUFFER_BYTES_MIN = 4096, /* first size of an output buffer */
};

struct parcel;

struct spare_buffer {
    uint8_t *data;
    size_t bytes;
};

struct spares {
    struct spare_buffer buffers[SPARES_MAX];
    uint32_t buffers_count;
    size_t buffers_bytes;
    struct list parcels;
    uint32_t parcels_count;
    struct resp_parser *parsers[SPARES_MAX];
    uint32_t parsers_count;
};

void spares_init(struct spares *spares);
void spares_deinit(struct spares *spares);

/* Gives `buffer`, which has none, memory. Without memory it stays as it is, and what is written to
 * it fails. */
void spare_get_buffer(struct spares *spares, struct buffer *buffer);
/* Takes the memory of `buffer`, whose bytes are dropped. */
void spare_put_buffer(struct spares *spares, struct buffer *buffer);

/* With an empty output without memory; all else is undefined. NULL when memory is out. */
struct parcel *spare_get_parcel(struct spares *spares);
/* The parcel is in no list; its output is dropped. */
void spare_put_parcel(struct spares *spares, struct parcel *parcel);

NODISCARD int spare_get_parser(struct spares *spares, struct resp_parser **ret_parser);
void spare_put_parser(struct spares *spares, struct resp_parser *parser);

#endif
