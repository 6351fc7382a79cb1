/*
 * Several keys as one, over all shards. The coordinator, on the shard of the first key:
 *
 *   1. latches the keys at their owners, shard after shard in ascending order, so that two batches
 * never wait for each other in a circle, and takes all memory that the changes need
 *   2. appends one log record with all changes and puts it into the stream
 *   3. has every owner apply its changes and release its latches
 *
 * A crash after 2 replays the whole record; before, nothing of it exists. A reader of any of the
 * keys waits for the latch, so once it has seen one change it sees the others. A checkpoint of a
 * partition waits while its keys are latched for such a write (data/latch.h).
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "data/foreign.h"
#include "server/embed.h"
#include "shard/await.h"

enum {
    WRITE_CHANGES_MAX = 65536,
    WRITE_RETRY_NS = 1000000,
};

/* A change as it was given. */
struct given {
    struct slice key, value;
    uint32_t owner;
    uint32_t index;
    bool remove;
};

struct write;

/* One shard's share: changes [first, first + count) of the batch. */
struct write_part {
    struct write *write;
    uint32_t first, count;
    uint32_t reserved; /* of these, from the first: have memory at the owner */
    struct embed_latch latch;
};

struct write {
    uint32_t shards;
    uint32_t count;
    uint64_t bytes;
    struct given *given;      /* owned: distinct keys by owner and key */
    struct change *changes;   /* owned: as the keyspace wants them, in the same order */
    struct latch_key *keys;   /* owned: the same */
    struct write_part *parts; /* owned: one for each shard */
};

/* ---- preparing, on the caller's thread ---- */

static int compare_given(const void *one, const void *other)
{
    const struct given *a = one;
    const struct given *b = other;
    if (a->owner != b->owner) {
        return a->owner < b->owner ? -1 : 1;
    }
    int order = slice_compare(a->key, b->key);
    if (order != 0) {
        return order;
    }
    return a->index < b->index ? -1 : 1;
}

/* Of several changes of one key the last given stays. */
static void drop_repeated(struct write *write)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < write->count; i++) {
        bool repeated =
            i + 1 < write->count && slice_equal(write->given[i].key, write->given[i + 1].key);
        if (!repeated) {
            write->given[kept++] = write->given[i];
        }
    }
    write->count = kept;
}

static void divide(struct write *write)
{
    for (uint32_t s = 0; s < write->shards; s++) {
        write->parts[s].write = write;
    }
    for (uint32_t i = write->count; i-- > 0;) {
        struct write_part *part = &write->parts[write->given[i].owner];
        part->first = i;
        part->count++;
    }
}

static void write_free(struct write *write)
{
    mem_free(write->given);
    mem_free(write->changes);
    mem_free(write->keys);
    mem_free(write->parts);
}

static int write_allocate(struct write *write, uint32_t count, uint32_t shards)
{
    write->shards = shards;
    write->count = count;
    write->given = mem_calloc(count, sizeof(*write->given));
    write->changes = mem_calloc(count, sizeof(*write->changes));
    write->keys = mem_calloc(count, sizeof(*write->keys));
    write->parts = mem_calloc(shards, sizeof(*write->parts));
    if (write->given == NULL || write->changes == NULL || write->keys == NULL ||
        write->parts == NULL) {
        write_free(write);
        return ERR_MEMORY;
    }
    return 0;
}

/* `async` is NULL if the caller's bytes may be borrowed, else they are copied to it. */
static void write_fill(struct write *write, const struct eloq *db,
                       const struct eloq_change *changes, struct embed_async *async)
{
    for (uint32_t i = 0; i < write->count; i++) {
        struct given *given = &write->given[i];
        given->key = slice_of(changes[i].key, changes[i].key_bytes);
        given->remove = changes[i].value == NULL;
        if (!given->remove) {
            given->value = slice_of(changes[i].value, changes[i].value_bytes);
        }
        if (async != NULL) {
            given->key = embed_async_copy(async, given->key);
            given->value = embed_async_copy(async, given->value);
        }
        given->owner = embed_owner(db, given->key);
        given->index = i;
        write->bytes += given->key.bytes + given->value.bytes;
    }
    qsort(write->given, write->count, sizeof(*write->given), compare_given);
    drop_repeated(write);
    divide(write);
}

/* Bytes of all keys and values, or why the batch is refused. */
static int64_t write_check(const struct eloq_change *changes, size_t count)
{
    if (count > WRITE_CHANGES_MAX) {
        return ERR_VALUE_TOO_LARGE;
    }
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (changes[i].key_bytes > STORE_KEY_BYTES_MAX) {
            return ERR_KEY_TOO_LONG;
        }
        size_t value_bytes = changes[i].value != NULL ? changes[i].value_bytes : 0;
        if (value_bytes > STORE_VALUE_BYTES_MAX) {
            return ERR_VALUE_TOO_LARGE;
        }
        bytes += changes[i].key_bytes + value_bytes;
        if (bytes > STORE_VALUE_BYTES_MAX) {
            return ERR_VALUE_TOO_LARGE;
        }
    }
    return (int64_t)bytes;
}

/* ---- at an owner ---- */

static co_fn int part_begin(struct shard *there, void *argument)
{
    struct write_part *part = argument;
    struct latch_request *request = &part->latch.request;
    request->keys = part->write->keys + part->first;
    request->count = part->count;
    request->foreign_write = true;
    struct keyspace *keyspace = embed_here(there)->keyspace;
    TRY(embed_latch_acquire(keyspace, &part->latch));
    for (; part->reserved < part->count; part->reserved++) {
        TRY(keyspace_reserve(keyspace, &request->keys[part->reserved].key));
    }
    return 0;
}

static int part_apply(struct shard *there, void *argument)
{
    struct write_part *part = argument;
    struct keyspace *keyspace = embed_here(there)->keyspace;
    for (uint32_t i = part->first; i < part->first + part->count; i++) {
        keyspace_apply(keyspace, &part->write->changes[i]);
    }
    embed_latch_release(&part->latch);
    return 0;
}

static int part_cancel(struct shard *there, void *argument)
{
    struct write_part *part = argument;
    while (part->reserved > 0) {
        part->reserved--;
        keyspace_unreserve(embed_here(there)->keyspace,
                           &part->latch.request.keys[part->reserved].key);
    }
    embed_latch_release(&part->latch);
    return 0;
}

/* ---- the coordinator ---- */

static void derive_keys(struct write *write, const struct engine_shard *here)
{
    for (uint32_t i = 0; i < write->count; i++) {
        const struct given *given = &write->given[i];
        struct key key = embed_derive(here, given->key);
        write->keys[i] = (struct latch_key){.key = key, .exclusive = true};
        write->changes[i] = (struct change){
            .key = key,
            .remove = given->remove,
            .put = {.type = RECORD_STRING, .value = given->value},
        };
    }
}

static int log_changes(struct write *write, struct keyspace *keyspace)
{
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < write->count; i++) {
        err = keyspace_prepare(&write->changes[i]);
    }
    if (err == 0) {
        err = keyspace_log_changes(keyspace, write->changes, write->count);
    }
    for (uint32_t i = 0; err < 0 && i < write->count; i++) {
        keyspace_discard(&write->changes[i]);
    }
    return err;
}

/* Latches must be given back, however few coroutines the owner has left. Suspends. */
static co_fn void end_parts(struct write *write, struct shard *self, shard_call_fn *fn)
{
    for (uint32_t s = 0; s < write->shards; s++) {
        while (write->parts[s].count > 0 && shard_call(self, s, fn, &write->parts[s]) < 0) {
            await_sleep_ns(self, WRITE_RETRY_NS);
        }
    }
}

static co_fn int write_there(struct shard *there, void *argument)
{
    struct write *write = argument;
    struct engine_shard *here = embed_here(there);
    TRY(embed_admit(here, write->bytes));
    derive_keys(write, here);
    int err = 0;
    for (uint32_t s = 0; err == 0 && s < write->shards; s++) {
        if (write->parts[s].count > 0) {
            err = shard_call(there, s, part_begin, &write->parts[s]);
        }
    }
    if (err == 0) {
        err = log_changes(write, here->keyspace);
    }
    if (err < 0) {
        end_parts(write, there, part_cancel);
        return err;
    }
    /* Before the owners show it: their readers know of the end of their own records only. */
    err = embed_settle(here);
    end_parts(write, there, part_apply);
    return err;
}

int eloq_write(struct eloq *db, const struct eloq_change *changes, size_t count)
{
    TRY(write_check(changes, count));
    if (count == 0) {
        return 0;
    }
    struct write write = {.count = 0};
    TRY(write_allocate(&write, (uint32_t)count, db->shards));
    write_fill(&write, db, changes, NULL);
    int err = embed_call(db, write.given[0].owner, write_there, &write);
    write_free(&write);
    return err;
}

static void write_finish(struct embed_async *async, int result)
{
    write_free(async->argument);
    ((eloq_done_fn *)async->callback)(async->context, result);
}

static co_fn int write_nothing(struct shard *there, void *argument)
{
    (void)there;
    (void)argument;
    return 0;
}

int eloq_write_async(struct eloq *db, const struct eloq_change *changes, size_t count,
                     eloq_done_fn *done, void *context)
{
    int64_t bytes = write_check(changes, count);
    if (bytes < 0) {
        return (int)bytes;
    }
    struct embed_async *async;
    TRY(embed_async_create(db, sizeof(struct write), (size_t)bytes, &async));
    struct write *write = async->argument;
    if (count > 0) {
        int err = write_allocate(write, (uint32_t)count, db->shards);
        if (err < 0) {
            embed_async_discard(async);
            return err;
        }
        write_fill(write, db, changes, async);
    }
    async->fn = count > 0 ? write_there : write_nothing;
    async->finish = write_finish;
    async->callback = (void (*)(void))done;
    async->context = context;
    embed_async_post(async, count > 0 ? write->given[0].owner : 0);
    return 0;
}
