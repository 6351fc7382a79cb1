/*
 * embed: what the bodies of the embedded library (include/eloqstore.h) share.
 *
 * Every operation is a function that runs in a coroutine on one shard (a shard_call_fn), with a
 * plain struct for its arguments and its outcome. The blocking form calls it from outside and
 * waits. The _async form puts a copy of the struct and of the caller's bytes into an embed_async,
 * posts that, and hands the outcome to the callback.
 *
 *     embed.c         opening, closing, the _async plumbing
 *     embed_key.c     get, put, delete
 *     embed_write.c   several keys as one
 *     embed_fetch.c   a shard's part of a scan: a batch of its keys in order
 *     embed_scan.c    scans and floor: the shards' batches merged
 */
#ifndef SERVER_EMBED_H
#define SERVER_EMBED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "data/latch.h"
#include "eloqstore.h"
#include "server/engine.h"

struct eloq {
    struct engine *engine;
    char *dir; /* owned; the engine borrows it */
    uint32_t shards;
    uint32_t partitions;
    _Atomic uint32_t under_way; /* _async operations */
    _Atomic uint32_t scans;     /* open */
};

/* ---- from the outside ---- */

/* Runs fn on shard `owner` and waits. ERR_AGAIN on a thread of a store, which must not wait. */
int embed_call(struct eloq *db, uint32_t owner, shard_call_fn *fn, void *argument);
uint32_t embed_owner(const struct eloq *db, struct slice key);

/* One _async operation; the struct of its arguments and the bytes it borrows stand behind it. */
struct embed_async;
typedef void embed_finish_fn(struct embed_async *async, int result);
struct embed_async {
    struct message message;
    struct eloq *db;
    shard_call_fn *fn;
    embed_finish_fn *finish; /* hands the outcome to the callback, frees what the arguments own */
    void (*callback)(void);  /* as the kind of operation has it */
    void *context;
    void *argument; /* behind the struct */
    uint8_t *bytes; /* behind the argument */
};

/* Counts it, and makes room for an argument and so many bytes. ERR_LIMIT, ERR_MEMORY. */
NODISCARD int embed_async_create(struct eloq *db, size_t argument_bytes, size_t bytes,
                                 struct embed_async **ret_async);
/* Copies to the next free bytes. */
struct slice embed_async_copy(struct embed_async *async, struct slice bytes);
void embed_async_post(struct embed_async *async, uint32_t owner);
/* Of one that was not posted. */
void embed_async_discard(struct embed_async *async);

/* ---- on a shard, in a coroutine ---- */

struct engine_shard *embed_here(struct shard *there);
struct key embed_derive(const struct engine_shard *here, struct slice name);

/* Waits until a write of so many bytes is admitted; a lasting reason against it (-ENOSPC) is
 * returned. Suspends. */
NODISCARD co_fn int embed_admit(struct engine_shard *here, uint64_t bytes);

/* What was written or read here may be told: it is with the kernel, or durable, as the mode wants.
 * Suspends. */
NODISCARD co_fn int embed_settle(struct engine_shard *here);

/* A latch request and the coroutine that waits for it. */
struct embed_latch {
    struct latch_request request; /* keys and count are the caller's to set */
    struct coro *waiter;
    bool held;
};
/* Suspends until all is held. */
NODISCARD co_fn int embed_latch_acquire(struct keyspace *keyspace, struct embed_latch *latch);
void embed_latch_release(struct embed_latch *latch);

#endif
