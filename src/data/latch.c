/*
 * Latches: a queue for each key that somebody holds or waits for.
 *
 * In a queue, the first is served if it is exclusive; else all shared ones that stand in front are.
 */
#include "data/latch.h"

#include "base/mem.h"
#include "data/keyspace_impl.h"
#include "data/latch_impl.h"
#include "data/load.h"

enum { LATCH_BUCKETS_MIN = 64 };

struct latch {
    struct latch *next; /* in its bucket */
    struct list queue;  /* latch_key.node */
    uint64_t hash;
    uint32_t space;
    uint32_t name_bytes;
    uint8_t name[];
};

struct latch_table {
    struct latch **buckets; /* owned */
    uint32_t mask;
    uint32_t count;
    struct list held_back; /* latch_request.node */
};

int latch_table_create(struct latch_table **ret_latches)
{
    struct latch_table *latches = mem_calloc(1, sizeof(*latches));
    if (latches == NULL) {
        return ERR_MEMORY;
    }
    latches->buckets = mem_calloc(LATCH_BUCKETS_MIN, sizeof(*latches->buckets));
    if (latches->buckets == NULL) {
        mem_free(latches);
        return ERR_MEMORY;
    }
    latches->mask = LATCH_BUCKETS_MIN - 1;
    list_init(&latches->held_back);
    *ret_latches = latches;
    return 0;
}

void latch_table_destroy(struct latch_table *latches)
{
    ASSERT(latches->count == 0 && list_empty(&latches->held_back));
    mem_free(latches->buckets);
    mem_free(latches);
}

/* ---- the table ---- */

static struct latch *latch_find(const struct latch_table *latches, const struct key *key)
{
    struct latch *latch = latches->buckets[key->hash & latches->mask];
    for (; latch != NULL; latch = latch->next) {
        if (latch->hash == key->hash && latch->space == key->space &&
            slice_equal(slice_of(latch->name, latch->name_bytes), key->name)) {
            return latch;
        }
    }
    return NULL;
}

/* Without memory the buckets stay as few as they are. */
static void latch_table_grow(struct latch_table *latches)
{
    uint32_t count = 2 * (latches->mask + 1);
    struct latch **buckets = mem_calloc(count, sizeof(struct latch *));
    if (buckets == NULL) {
        return;
    }
    for (uint32_t i = 0; i <= latches->mask; i++) {
        for (struct latch *latch = latches->buckets[i]; latch != NULL;) {
            struct latch *next = latch->next;
            latch->next = buckets[latch->hash & (count - 1)];
            buckets[latch->hash & (count - 1)] = latch;
            latch = next;
        }
    }
    mem_free(latches->buckets);
    latches->buckets = buckets;
    latches->mask = count - 1;
}

static struct latch *latch_make(struct latch_table *latches, const struct key *key)
{
    struct latch *latch = latch_find(latches, key);
    if (latch != NULL) {
        return latch;
    }
    latch = mem_alloc(sizeof(*latch) + key->name.bytes);
    if (latch == NULL) {
        return NULL;
    }
    if (latches->count > latches->mask) {
        latch_table_grow(latches);
    }
    struct latch **bucket = &latches->buckets[key->hash & latches->mask];
    *latch = (struct latch){
        .next = *bucket,
        .hash = key->hash,
        .space = key->space,
        .name_bytes = (uint32_t)key->name.bytes,
    };
    if (key->name.bytes > 0) {
        memcpy(latch->name, key->name.data, key->name.bytes);
    }
    list_init(&latch->queue);
    *bucket = latch;
    latches->count++;
    return latch;
}

static void latch_drop_if_unused(struct latch_table *latches, struct latch *latch)
{
    if (!list_empty(&latch->queue)) {
        return;
    }
    struct latch **at = &latches->buckets[latch->hash & latches->mask];
    while (*at != latch) {
        at = &(*at)->next;
    }
    *at = latch->next;
    latches->count--;
    mem_free(latch);
}

/* ---- queues ---- */

static struct latch_key *queue_key(struct list_node *node)
{
    return container_of(node, struct latch_key, node);
}

/* Whether one that joins now would be served at once. */
static bool would_serve(const struct latch *latch, bool exclusive)
{
    struct list_node *last = list_last(&latch->queue);
    if (last == NULL) {
        return true;
    }
    return !exclusive && !queue_key(last)->exclusive && queue_key(last)->served;
}

static void key_join(struct latch_request *request, struct latch_key *key, struct latch *latch)
{
    key->request = request;
    key->latch = latch;
    key->served = would_serve(latch, key->exclusive);
    list_node_init(&key->node);
    list_push_back(&latch->queue, &key->node);
    request->missing -= key->served;
}

static void key_serve(struct latch_key *key)
{
    struct latch_request *request = key->request;
    key->served = true;
    ASSERT(request->missing > 0);
    request->missing--;
    if (request->missing == 0) {
        list_push_back(&request->keyspace->ready_latches, &request->node);
        keyspace_ready_kick(request->keyspace);
    }
}

/* Serves who may be served after somebody has left. */
static void queue_advance(struct latch *latch)
{
    LIST_FOREACH (&latch->queue, node) {
        struct latch_key *key = queue_key(node);
        bool first = node == list_first(&latch->queue);
        if (key->exclusive && !first) {
            return;
        }
        if (!key->served) {
            key_serve(key);
        }
        if (key->exclusive) {
            return;
        }
    }
}

static void key_leave(struct latch_table *latches, struct latch_key *key)
{
    struct latch *latch = key->latch;
    list_remove(&key->node);
    key->latch = NULL;
    queue_advance(latch);
    latch_drop_if_unused(latches, latch);
}

/* ---- foreign writes ---- */

static bool is_foreign(const struct latch_request *request, uint32_t index)
{
    return request->foreign_write && request->keys[index].exclusive;
}

static void foreign_enter(struct keyspace *keyspace, const struct latch_request *request)
{
    for (uint32_t i = 0; i < request->count; i++) {
        if (!is_foreign(request, i)) {
            continue;
        }
        struct shelf *shelf = shelf_of(keyspace, &request->keys[i].key);
        if (shelf->foreign_writes++ == 0) {
            shelf->foreign_low = log_reserved(keyspace->log).value;
        }
    }
}

static void foreign_leave(struct keyspace *keyspace, const struct latch_request *request)
{
    for (uint32_t i = 0; i < request->count; i++) {
        if (!is_foreign(request, i)) {
            continue;
        }
        struct shelf *shelf = shelf_of(keyspace, &request->keys[i].key);
        ASSERT(shelf->foreign_writes > 0);
        if (--shelf->foreign_writes == 0 && shelf->freeze_wanted) {
            co_event_signal(&shelf->freed);
        }
    }
}

static bool is_held_back(const struct keyspace *keyspace, const struct latch_request *request)
{
    for (uint32_t i = 0; i < request->count; i++) {
        if (is_foreign(request, i) && shelf_of(keyspace, &request->keys[i].key)->freeze_wanted) {
            return true;
        }
    }
    return false;
}

/* ---- requests ---- */

/* Joins all queues, or none. */
static int request_join(struct latch_request *request)
{
    struct latch_table *latches = request->keyspace->latches;
    request->missing = request->count;
    for (uint32_t i = 0; i < request->count; i++) {
        struct latch *latch = latch_make(latches, &request->keys[i].key);
        if (latch == NULL) {
            while (i-- > 0) {
                key_leave(latches, &request->keys[i]);
            }
            return ERR_MEMORY;
        }
        key_join(request, &request->keys[i], latch);
    }
    foreign_enter(request->keyspace, request);
    return 0;
}

int latch_acquire(struct keyspace *keyspace, struct latch_request *request)
{
    if (request->count == 0 || request->count > LATCH_KEYS_MAX) {
        return ERR_LIMIT;
    }
    request->keyspace = keyspace;
    list_node_init(&request->node);
    for (uint32_t i = 0; i < request->count; i++) {
        request->keys[i].latch = NULL;
    }
    if (is_held_back(keyspace, request)) {
        list_push_back(&keyspace->latches->held_back, &request->node);
        return 0;
    }
    TRY(request_join(request));
    return request->missing == 0 ? 1 : 0;
}

void latch_release(struct latch_request *request)
{
    struct keyspace *keyspace = request->keyspace;
    if (list_node_linked(&request->node)) {
        list_remove(&request->node);
    }
    if (request->keys[0].latch == NULL) {
        return; /* it was held back */
    }
    for (uint32_t i = 0; i < request->count; i++) {
        key_leave(keyspace->latches, &request->keys[i]);
    }
    foreign_leave(keyspace, request);
}

void latch_unhold(struct keyspace *keyspace)
{
    struct list waiting;
    list_init(&waiting);
    list_splice_back(&waiting, &keyspace->latches->held_back);
    struct list_node *node;
    while ((node = list_pop_front(&waiting)) != NULL) {
        struct latch_request *request = container_of(node, struct latch_request, node);
        if (is_held_back(keyspace, request) || request_join(request) != 0) {
            list_push_back(&keyspace->latches->held_back, &request->node);
        } else if (request->missing == 0) {
            list_push_back(&keyspace->ready_latches, &request->node);
            keyspace_ready_kick(keyspace);
        }
    }
}

void latch_run_ready(struct keyspace *keyspace)
{
    /* One by one: a callback may release, and so take back, requests that are still in the list. */
    struct list_node *node;
    while ((node = list_pop_front(&keyspace->ready_latches)) != NULL) {
        struct latch_request *request = container_of(node, struct latch_request, node);
        request->done(request);
    }
}

/* ---- asking ---- */

bool latch_blocks(const struct keyspace *keyspace, const struct key *key, bool is_write)
{
    if (LIKELY(keyspace->latches->count == 0)) {
        return false;
    }
    const struct latch *latch = latch_find(keyspace->latches, key);
    return latch != NULL && !would_serve(latch, is_write);
}

bool latch_any(const struct keyspace *keyspace)
{
    return keyspace->latches->count > 0;
}
