/*
 * journal: the way of changes into the log. Threads: the shard's. Suspension: none.
 */
#ifndef DATA_JOURNAL_H
#define DATA_JOURNAL_H

#include <stdint.h>

#include "base/error.h"
#include "data/change.h"
#include "data/keyspace.h"
#include "data/record_impl.h"

enum {
    /* Changes of longer values are logged as the change, not as the whole value. */
    JOURNAL_WHOLE_VALUE_BYTES_MAX = 64 << 10,
};

/* Within a group: makes room for a change in its body. ERR_MEMORY or ERR_LIMIT. */
NODISCARD int journal_reserve(struct keyspace *keyspace, const struct key *key,
                              uint64_t value_bytes);
/* Logs a change, for which room was made, unless changes are not logged now. */
void journal_append(struct keyspace *keyspace, const struct change_view *change);
void journal_put(struct keyspace *keyspace, const struct record *record);
void journal_remove(struct keyspace *keyspace, const struct key *key);

#endif
