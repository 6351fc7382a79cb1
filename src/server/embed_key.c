/*
 * One key: get, put, delete. Each makes sure, without a suspension in between, that the key is
 * resident (if its value counts), that no batch has it latched, and that a write is admitted; then
 * it acts.
 */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "server/embed.h"

/* An operation on one key, and what it holds meanwhile. */
struct embed_access {
    struct engine_shard *here;
    struct key key;
    struct embed_latch latch;
    struct latch_key latch_key;
    struct key_load load;
    struct coro *waiter;
    int result; /* of the load */
    bool pinned;
};

/* The struct stays where it is: it is linked into queues. */
static void access_init(struct embed_access *access, struct shard *there, struct slice name)
{
    memset(access, 0, sizeof(*access));
    access->here = embed_here(there);
    access->key = embed_derive(access->here, name);
}

static void access_end(struct embed_access *access)
{
    if (access->pinned) {
        keyspace_unpin(access->here->keyspace, &access->key);
    }
    embed_latch_release(&access->latch);
}

/* Waits behind a batch that has the key. 1: it had to wait, so look at everything again. Suspends.
 */
static co_fn int access_latch(struct embed_access *access, bool write)
{
    struct keyspace *keyspace = access->here->keyspace;
    if (access->latch.held || !latch_blocks(keyspace, &access->key, write)) {
        return 0;
    }
    access->latch_key = (struct latch_key){.key = access->key, .exclusive = write};
    access->latch.request.keys = &access->latch_key;
    access->latch.request.count = 1;
    TRY(embed_latch_acquire(keyspace, &access->latch));
    return 1;
}

static void access_loaded(struct key_load *load, int result)
{
    struct embed_access *access = container_of(load, struct embed_access, load);
    access->result = result;
    co_ready(access->waiter);
}

/* Makes the key resident and pins it. Suspends. */
static co_fn int access_load(struct embed_access *access)
{
    ASSERT(!access->pinned);
    access->load = (struct key_load){
        .done = access_loaded, .keyspace = access->here->keyspace, .key = access->key};
    access->waiter = coro_self();
    keyspace_load(access->here->keyspace, &access->load);
    co_park();
    access->pinned = access->result == 0;
    return access->result;
}

/* 1: the record is there; 0: the key does not exist. Nothing has been suspended since that was
 * found. Suspends. */
static co_fn int access_find(struct embed_access *access, bool write, struct record **ret_record)
{
    for (;;) {
        if (TRY(access_latch(access, write)) == 1) {
            continue;
        }
        int found = keyspace_find(access->here->keyspace, &access->key, true, ret_record);
        if (found != ERR_AGAIN) {
            return found;
        }
        TRY(access_load(access));
    }
}

/* ---- get ---- */

struct get {
    struct slice key;
    uint8_t *value; /* owned */
    size_t bytes;
};

static int copy_value(const struct record *record, struct get *get)
{
    struct slice value = record_value(record);
    get->value = mem_alloc(value.bytes + 1);
    if (get->value == NULL) {
        return ERR_MEMORY;
    }
    if (value.bytes > 0) {
        memcpy(get->value, value.data, value.bytes);
    }
    get->value[value.bytes] = '\0';
    get->bytes = value.bytes;
    return 1;
}

static co_fn int get_there(struct shard *there, void *argument)
{
    struct get *get = argument;
    struct embed_access access;
    access_init(&access, there, get->key);
    struct record *record;
    int result = access_find(&access, false, &record);
    if (result == 1) {
        result = copy_value(record, get);
    }
    access_end(&access);
    int settled = result >= 0 ? embed_settle(access.here) : result;
    if (settled < 0) {
        mem_free(get->value);
        get->value = NULL;
        return settled;
    }
    return result;
}

int eloq_get(struct eloq *db, const void *key, size_t key_bytes, void **ret_value,
             size_t *ret_bytes)
{
    struct get get = {.key = slice_of(key, key_bytes)};
    int result = embed_call(db, embed_owner(db, get.key), get_there, &get);
    if (result == 1) {
        *ret_value = get.value;
        *ret_bytes = get.bytes;
    }
    return result;
}

static void get_finish(struct embed_async *async, int result)
{
    struct get *get = async->argument;
    ((eloq_value_fn *)async->callback)(async->context, result, get->value, get->bytes);
    mem_free(get->value);
}

int eloq_get_async(struct eloq *db, const void *key, size_t key_bytes, eloq_value_fn *done,
                   void *context)
{
    struct embed_async *async;
    TRY(embed_async_create(db, sizeof(struct get), key_bytes, &async));
    struct get *get = async->argument;
    get->key = embed_async_copy(async, slice_of(key, key_bytes));
    async->fn = get_there;
    async->finish = get_finish;
    async->callback = (void (*)(void))done;
    async->context = context;
    embed_async_post(async, embed_owner(db, get->key));
    return 0;
}

/* ---- put, delete ---- */

struct put_order {
    struct slice key, value;
};

/* Until nothing stands against the write. Suspends. */
static co_fn int put_wait(struct embed_access *access, uint64_t bytes)
{
    do {
        TRY(embed_admit(access->here, bytes));
    } while (TRY(access_latch(access, true)) == 1);
    return 0;
}

static co_fn int put_there(struct shard *there, void *argument)
{
    const struct put_order *order = argument;
    struct embed_access access;
    access_init(&access, there, order->key);
    int err = put_wait(&access, order->key.bytes + order->value.bytes);
    if (err == 0) {
        struct put put = {.type = RECORD_STRING, .value = order->value};
        err = keyspace_put(access.here->keyspace, &access.key, &put);
    }
    access_end(&access);
    return err < 0 ? err : embed_settle(access.here);
}

static co_fn int delete_there(struct shard *there, void *argument)
{
    const struct put_order *order = argument;
    struct embed_access access;
    access_init(&access, there, order->key);
    struct record *record;
    int result;
    do {
        result = embed_admit(access.here, order->key.bytes);
        if (result == 0) {
            result = access_find(&access, true, &record);
        }
        /* Loading may have taken a while. */
    } while (result >= 0 && !keyspace_admits(access.here->keyspace, order->key.bytes));
    if (result == 1) {
        result = keyspace_remove(access.here->keyspace, &access.key);
    }
    access_end(&access);
    int settled = result >= 0 ? embed_settle(access.here) : result;
    return settled < 0 ? settled : result;
}

static int check(struct slice key, struct slice value)
{
    if (key.bytes > STORE_KEY_BYTES_MAX) {
        return ERR_KEY_TOO_LONG;
    }
    return value.bytes > STORE_VALUE_BYTES_MAX ? ERR_VALUE_TOO_LARGE : 0;
}

int eloq_put(struct eloq *db, const void *key, size_t key_bytes, const void *value,
             size_t value_bytes)
{
    struct put_order order = {slice_of(key, key_bytes), slice_of(value, value_bytes)};
    TRY(check(order.key, order.value));
    return embed_call(db, embed_owner(db, order.key), put_there, &order);
}

int eloq_delete(struct eloq *db, const void *key, size_t key_bytes)
{
    struct put_order order = {.key = slice_of(key, key_bytes)};
    TRY(check(order.key, order.value));
    return embed_call(db, embed_owner(db, order.key), delete_there, &order);
}

static void put_finish(struct embed_async *async, int result)
{
    ((eloq_done_fn *)async->callback)(async->context, result);
}

static int post(struct eloq *db, const struct put_order *given, shard_call_fn *fn,
                eloq_done_fn *done, void *context)
{
    TRY(check(given->key, given->value));
    struct embed_async *async;
    TRY(embed_async_create(db, sizeof(*given), given->key.bytes + given->value.bytes, &async));
    struct put_order *order = async->argument;
    order->key = embed_async_copy(async, given->key);
    order->value = embed_async_copy(async, given->value);
    async->fn = fn;
    async->finish = put_finish;
    async->callback = (void (*)(void))done;
    async->context = context;
    embed_async_post(async, embed_owner(db, order->key));
    return 0;
}

int eloq_put_async(struct eloq *db, const struct eloq_change *change, eloq_done_fn *done,
                   void *context)
{
    if (change->value == NULL) {
        return eloq_delete_async(db, change->key, change->key_bytes, done, context);
    }
    struct put_order order = {slice_of(change->key, change->key_bytes),
                              slice_of(change->value, change->value_bytes)};
    return post(db, &order, put_there, done, context);
}

int eloq_delete_async(struct eloq *db, const void *key, size_t key_bytes, eloq_done_fn *done,
                      void *context)
{
    struct put_order order = {.key = slice_of(key, key_bytes)};
    return post(db, &order, delete_there, done, context);
}
