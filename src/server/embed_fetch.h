/*
 * embed_fetch: a shard's part of a scan: the next keys of a range, in order, over all partitions of
 * the shard.
 *
 * A fetch holds nothing when it is done; the next one goes on behind the last key. So it looks anew
 * at what was changed since the last checkpoint, which costs a walk of the table; the batches of a
 * long scan are therefore large.
 */
#ifndef SERVER_EMBED_FETCH_H
#define SERVER_EMBED_FETCH_H

#include "base/buffer.h"
#include "server/embed.h"

struct embed_fetch {
    /* The range; the bytes are borrowed. */
    struct slice low, high;
    bool has_low, has_high;
    bool low_exclusive, high_inclusive;
    bool reverse, keys_only;
    uint32_t count_max;
    uint64_t bytes_max; /* a batch ends with the entry that reaches it */
    /* What was found: key bytes (4), value bytes (4), key, value, for each entry. */
    struct buffer entries;
    bool more;
};

enum { EMBED_ENTRY_HEAD_BYTES = 8 };

/* A shard_call_fn on an embed_fetch: 0 or an error. Suspends. */
co_fn int embed_fetch_there(struct shard *there, void *argument);

#endif
