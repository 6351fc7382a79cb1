#include "server/embed.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/logger.h"
#include "base/mem.h"
#include "shard/await.h"

/* The library's users and we have one number for the same error. */
#define SAME(theirs, ours) static_assert((int)(theirs) == (int)(ours), #theirs)
SAME(ELOQ_CORRUPT, ERR_CORRUPT);
SAME(ELOQ_LIMIT, ERR_LIMIT);
SAME(ELOQ_KEY_TOO_LONG, ERR_KEY_TOO_LONG);
SAME(ELOQ_VALUE_TOO_LARGE, ERR_VALUE_TOO_LARGE);
SAME(ELOQ_LOCKED, ERR_LOCKED);
SAME(ELOQ_BUSY, ERR_BUSY);
SAME(ELOQ_BAD_OPTIONS, ERR_CONFIG);
SAME(ELOQ_MEMORY, ERR_MEMORY);
SAME(ELOQ_WOULD_BLOCK, ERR_AGAIN);

enum {
    ADMIT_RETRY_NS = 1000000,
    MEMORY_BYTES_DEFAULT = 256 << 20,
    MEMORY_BYTES_MIN = 32 << 20,
};

const char *eloq_error_text(int result)
{
    return error_text(result < 0 ? result : 0);
}

/* ---- opening and closing ---- */

static int fill_options(const struct eloq_options *given, struct engine_options *options)
{
    static const enum log_sync_mode modes[] = {LOG_SYNC_EVERYSEC, LOG_SYNC_ALWAYS, LOG_SYNC_NO};
    static const enum io_backend backends[] = {IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_POSIX};
    bool partitions_fit =
        given->partitions == 0 || (is_power_of_two(given->partitions) && given->partitions <= 4096);
    if (given->shards > SHARDS_MAX || !partitions_fit || (uint32_t)given->sync > ELOQ_SYNC_NO ||
        (uint32_t)given->io > ELOQ_IO_POSIX || given->lock_timeout_s > 3600) {
        return ERR_CONFIG;
    }
    *options = engine_options_default();
    options->shards = given->shards > 0 ? given->shards : 1;
    options->partitions = given->partitions;
    options->databases = 1;
    options->io_backend = backends[given->io];
    options->sync_mode = modes[given->sync];
    options->memory_bytes = given->memory_bytes > 0 ? max_u64(given->memory_bytes, MEMORY_BYTES_MIN)
                                                    : MEMORY_BYTES_DEFAULT;
    if (given->lock_timeout_s > 0) {
        options->lock_timeout_ms = given->lock_timeout_s * 1000;
    }
    return 0;
}

static int set_logger(const char *path)
{
    logger_set_level(path != NULL ? LOGGER_LEVEL_NOTICE : LOGGER_LEVEL_NOTHING);
    return path != NULL ? logger_set_file(path) : 0;
}

static int open_engine(struct eloq *db, struct engine_options *options)
{
    TRY(engine_open(options, &db->engine));
    db->shards = options->shards;
    db->partitions = engine_partitions(db->engine);
    return 0;
}

int eloq_open(const char *path, const struct eloq_options *given, struct eloq **ret_db)
{
    static const struct eloq_options defaults;
    given = given != NULL ? given : &defaults;
    struct engine_options options;
    TRY(fill_options(given, &options));
    TRY(set_logger(given->log_path));
    clock_init();
    struct eloq *db = mem_calloc(1, sizeof(*db));
    if (db == NULL) {
        return ERR_MEMORY;
    }
    db->dir = mem_dup_cstr(path);
    options.dir = db->dir;
    int err = db->dir != NULL ? open_engine(db, &options) : ERR_MEMORY;
    if (err < 0) {
        mem_free(db->dir);
        mem_free(db);
        return err;
    }
    *ret_db = db;
    return 0;
}

int eloq_close(struct eloq *db)
{
    if (shard_self() != NULL) {
        return ERR_AGAIN;
    }
    if (atomic_load(&db->under_way) > 0 || atomic_load(&db->scans) > 0) {
        return ERR_BUSY;
    }
    engine_close(db->engine, true, NULL, NULL);
    mem_free(db->dir);
    mem_free(db);
    return 0;
}

void eloq_free(void *value)
{
    mem_free(value);
}

/* ---- from the outside ---- */

uint32_t embed_owner(const struct eloq *db, struct slice key)
{
    return keyspace_shard_of(key, db->partitions, db->shards);
}

int embed_call(struct eloq *db, uint32_t owner, shard_call_fn *fn, void *argument)
{
    if (shard_self() != NULL) {
        return ERR_AGAIN;
    }
    return shard_call_from_outside(shard_set_get(engine_shards(db->engine), owner), fn, argument);
}

int embed_async_create(struct eloq *db, size_t argument_bytes, size_t bytes,
                       struct embed_async **ret_async)
{
    if (atomic_fetch_add(&db->under_way, 1) >= ELOQ_ASYNC_MAX) {
        atomic_fetch_sub(&db->under_way, 1);
        return ERR_LIMIT;
    }
    size_t head = align_up(sizeof(struct embed_async), 16);
    size_t before = head + align_up(argument_bytes, 16);
    uint8_t *memory = mem_alloc(before + bytes);
    if (memory == NULL) {
        atomic_fetch_sub(&db->under_way, 1);
        return ERR_MEMORY;
    }
    memset(memory, 0, before);
    struct embed_async *async = (struct embed_async *)memory;
    async->db = db;
    async->argument = memory + head;
    async->bytes = memory + before;
    *ret_async = async;
    return 0;
}

struct slice embed_async_copy(struct embed_async *async, struct slice bytes)
{
    struct slice copy = slice_of(async->bytes, bytes.bytes);
    if (bytes.bytes > 0) {
        memcpy(async->bytes, bytes.data, bytes.bytes);
        async->bytes += bytes.bytes;
    }
    return copy;
}

void embed_async_discard(struct embed_async *async)
{
    atomic_fetch_sub(&async->db->under_way, 1);
    mem_free(async);
}

/* The callback may close the store from another thread as soon as nothing is counted any more. */
static void async_end(struct embed_async *async, int result)
{
    async->finish(async, result);
    embed_async_discard(async);
}

static co_fn void async_main(void *argument)
{
    struct embed_async *async = argument;
    async_end(async, async->fn(shard_self(), async->argument));
}

static void async_arrive(struct shard *there, struct message *message)
{
    struct embed_async *async = container_of(message, struct embed_async, message);
    int err = coro_start(shard_sched(there), "embed", CORO_NORMAL, async_main, async);
    if (err < 0) {
        async_end(async, err);
    }
}

void embed_async_post(struct embed_async *async, uint32_t owner)
{
    async->message.handler = async_arrive;
    shard_post(shard_set_get(engine_shards(async->db->engine), owner), &async->message);
}

/* ---- on a shard ---- */

struct engine_shard *embed_here(struct shard *there)
{
    return engine_shard_of(there);
}

struct key embed_derive(const struct engine_shard *here, struct slice name)
{
    return keyspace_key(here->keyspace, keyspace_space(here->keyspace, 0), name);
}

int embed_admit(struct engine_shard *here, uint64_t bytes)
{
    while (!keyspace_admits(here->keyspace, bytes)) {
        TRY(keyspace_write_error(here->keyspace));
        await_sleep_ns(here->shard, ADMIT_RETRY_NS);
    }
    return 0;
}

int embed_settle(struct engine_shard *here)
{
    struct log *log = engine_log(here->engine);
    log_flush(here->writer);
    struct lsn end = log_writer_end(here->writer);
    while (!log_gate_open(log, end)) {
        if (log_sync_mode(log) == LOG_SYNC_ALWAYS) {
            return log_wait_durable(here->writer, end);
        }
        /* Another shard is just writing what lies before. */
        co_yield ();
    }
    return 0;
}

static void latch_is_held(struct latch_request *request)
{
    co_ready(container_of(request, struct embed_latch, request)->waiter);
}

int embed_latch_acquire(struct keyspace *keyspace, struct embed_latch *latch)
{
    ASSERT(!latch->held);
    latch->request.done = latch_is_held;
    latch->waiter = coro_self();
    if (TRY(latch_acquire(keyspace, &latch->request)) == 0) {
        co_park();
    }
    latch->held = true;
    return 0;
}

void embed_latch_release(struct embed_latch *latch)
{
    if (latch->held) {
        latch->held = false;
        latch_release(&latch->request);
    }
}
