#include "base/hash.h"

#include "base/assert.h"

void checksum_begin(struct checksum_stream *stream, uint64_t seed)
{
    XXH_errorcode err = XXH3_64bits_reset_withSeed(&stream->state, seed);
    ASSERT(err == XXH_OK);
}

void checksum_add(struct checksum_stream *stream, const void *data, size_t bytes)
{
    if (bytes == 0) {
        return;
    }
    XXH_errorcode err = XXH3_64bits_update(&stream->state, data, bytes);
    ASSERT(err == XXH_OK);
}

uint64_t checksum_end(const struct checksum_stream *stream)
{
    return XXH3_64bits_digest(&stream->state);
}
