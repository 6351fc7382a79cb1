#include "data/keyspace.h"

#include <stdatomic.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/slot.h"
#include "data/checkpointer.h"
#include "data/evict.h"
#include "data/expire.h"
#include "data/keyspace_impl.h"
#include "data/latch_impl.h"
#include "data/load.h"
#include "data/spaces.h"

/* A transaction's changes, all in one log record. */
#define GROUP_BYTES_MAX ((size_t)1 << 32)

enum { EVICT_BUCKETS_PER_PASS = 1024 };

/* ---- life ---- */

static int create_shelves(struct keyspace *keyspace)
{
    uint32_t partitions = keyspace->options.partitions;
    uint32_t shards = shard_count(keyspace->shard);
    uint32_t id = shard_id(keyspace->shard);
    uint32_t own = partitions / shards + (id < partitions % shards);
    keyspace->by_partition = mem_calloc(partitions, sizeof(struct shelf *));
    keyspace->shelves = mem_alloc(((size_t)own + 1) * sizeof(*keyspace->shelves));
    if (keyspace->by_partition == NULL || keyspace->shelves == NULL) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < own; i++) {
        uint32_t number = i * shards + id;
        shelf_init(&keyspace->shelves[i], number);
        keyspace->by_partition[number] = &keyspace->shelves[i];
    }
    keyspace->shelf_count = own;
    return 0;
}

static void init(struct keyspace *keyspace)
{
    keyspace->replay_lsn = LSN_NONE;
    keyspace->spaces_low = LSN_NONE;
    keyspace_ready_init(keyspace);
    buffer_init(&keyspace->group, GROUP_BYTES_MAX);
    heap_node_init(&keyspace->tick.heap);
    co_event_init(&keyspace->work);
    co_event_init(&keyspace->ended);
    co_mutex_init(&keyspace->checkpointing);
    co_mutex_init(&keyspace->counting);
    uint64_t seed;
    random_from_os(&seed, sizeof(seed));
    random_seed(&keyspace->random, seed);
    (void)keyspace_now_ms(keyspace);
}

int keyspace_create(struct shard *shard, struct store *store, struct log *log,
                    struct log_writer *writer, const struct keyspace_options *options,
                    struct keyspace **ret_keyspace)
{
    ASSERT(is_power_of_two(options->partitions) && options->partitions <= SLOT_COUNT);
    ASSERT(options->databases > 0 && options->databases <= KEYSPACE_DATABASES_MAX);
    struct keyspace *keyspace = mem_calloc(1, sizeof(*keyspace));
    if (keyspace == NULL) {
        return ERR_MEMORY;
    }
    keyspace->shard = shard;
    keyspace->store = store;
    keyspace->log = log;
    keyspace->writer = writer;
    keyspace->options = *options;
    keyspace->slot_shift = (uint32_t)__builtin_ctz(SLOT_COUNT / options->partitions);
    init(keyspace);
    int err = create_shelves(keyspace);
    if (err == 0) {
        err = latch_table_create(&keyspace->latches);
    }
    if (err != 0) {
        keyspace_destroy(keyspace);
        return err;
    }
    *ret_keyspace = keyspace;
    return 0;
}

void keyspace_destroy(struct keyspace *keyspace)
{
    ASSERT(!keyspace->background && keyspace->background_coros == 0);
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        ASSERT(keyspace->shelves[i].partition == NULL);
        shelf_deinit(keyspace, &keyspace->shelves[i]);
    }
    if (keyspace->latches != NULL) {
        latch_table_destroy(keyspace->latches);
    }
    buffer_deinit(&keyspace->group);
    mem_free(keyspace->shelves);
    mem_free(keyspace->by_partition);
    mem_free(keyspace);
}

co_fn bool keyspace_close(struct keyspace *keyspace)
{
    ASSERT(!keyspace->background);
    bool closed = true;
    while (keyspace->fetchers > 0) {
        co_event_wait(&keyspace->ended);
    }
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        struct shelf *shelf = &keyspace->shelves[i];
        if (shelf->partition != NULL) {
            closed = partition_close(shelf->partition) && closed;
            shelf->partition = NULL;
        }
    }
    /* The ready message belongs to this keyspace and may be on its way. */
    while (keyspace->ready_sent) {
        co_yield ();
    }
    return closed;
}

void keyspace_set_options(struct keyspace *keyspace, const struct keyspace_options *options)
{
    ASSERT(options->partitions == keyspace->options.partitions);
    ASSERT(options->databases == keyspace->options.databases);
    keyspace->options = *options;
    keyspace->evict_barren = 0;
    keyspace_wake_checkpointer(keyspace);
}

/* ---- keys ---- */

/* 0: not chosen yet. */
static _Atomic uint64_t hash_seed;

void keyspace_set_hash_seed(uint64_t seed)
{
    atomic_store(&hash_seed, seed | 1);
}

/* One seed for the process: keys with their hashes travel between shards. */
static uint64_t choose_hash_seed(void)
{
    uint64_t seed;
    random_from_os(&seed, sizeof(seed));
    uint64_t none = 0;
    atomic_compare_exchange_strong(&hash_seed, &none, seed | 1);
    return atomic_load(&hash_seed);
}

struct key keyspace_key(const struct keyspace *keyspace, uint32_t space, struct slice name)
{
    uint64_t seed = atomic_load_explicit(&hash_seed, memory_order_relaxed);
    if (UNLIKELY(seed == 0)) {
        seed = choose_hash_seed();
    }
    return (struct key){
        .name = name,
        .hash = hash64(name.data, name.bytes, seed + space * UINT64_C(0x9e3779b97f4a7c15)),
        .space = space,
        .partition = (uint16_t)(slot_of_key(name) >> keyspace->slot_shift),
    };
}

uint32_t keyspace_shard_of(struct slice name, uint32_t partitions, uint32_t shards)
{
    return slot_of_key(name) / (SLOT_COUNT / partitions) % shards;
}

struct partition *keyspace_partition(const struct keyspace *keyspace, uint32_t partition)
{
    ASSERT(partition < keyspace->options.partitions);
    const struct shelf *shelf = keyspace->by_partition[partition];
    return shelf == NULL ? NULL : shelf->partition;
}

void keyspace_prefetch_bucket(const struct keyspace *keyspace, const struct key *key)
{
    table_prefetch_bucket(&shelf_of(keyspace, key)->table, key->hash);
}

void keyspace_prefetch_record(const struct keyspace *keyspace, const struct key *key)
{
    table_prefetch_record(&shelf_of(keyspace, key)->table, key->hash);
}

/* A record that is not simply there: 1 if it is after all, 0 or ERR_AGAIN. */
static int find_special(struct keyspace *keyspace, struct shelf *shelf, const struct key *key,
                        struct table_place place)
{
    const struct record *record = table_slot_record(place.bucket->slots[place.slot]);
    if ((record->flags & RECORD_LOADING) != 0) {
        return ERR_AGAIN;
    }
    if ((record->flags & RECORD_NO_VALUE) != 0) {
        return 0;
    }
    if (record_has_expired(record, keyspace_now_ms(keyspace))) {
        keyspace_expire(keyspace, shelf, key, place);
        return 0;
    }
    return 1;
}

int keyspace_find(struct keyspace *keyspace, const struct key *key, bool touch,
                  struct record **ret_record)
{
    struct shelf *shelf = shelf_of(keyspace, key);
    struct table_place place;
    struct record *record = shelf_find(shelf, key, &place);
    int found = 1;
    if (UNLIKELY(record == NULL)) {
        found = key_is_too_long(key) || shelf_tree_is_empty(shelf, key->space) ? 0 : ERR_AGAIN;
    } else if (UNLIKELY((record->flags & (RECORD_NO_VALUE | RECORD_EXPIRES)) != 0)) {
        found = find_special(keyspace, shelf, key, place);
    }
    if (UNLIKELY(found != 1)) {
        keyspace->stats.misses += touch && found == 0;
        return found;
    }
    if (touch) {
        keyspace->stats.hits++;
        table_set_visited(place);
        uint32_t now_s = (uint32_t)(shard_now_ms(keyspace->shard) / 1000);
        if (record->access_s != now_s) {
            record->access_s = now_s;
        }
    }
    *ret_record = record;
    return 1;
}

/* ---- background ---- */

int keyspace_background_start(struct keyspace *keyspace, const char *name, coro_main_fn *main)
{
    TRY(coro_start(shard_sched(keyspace->shard), name, CORO_LOW, main, keyspace));
    keyspace->background_coros++;
    return 0;
}

void keyspace_background_end(struct keyspace *keyspace)
{
    keyspace->background_coros--;
    co_event_signal(&keyspace->ended);
}

static bool evict_hook(struct shard *shard, void *argument)
{
    (void)shard;
    return !keyspace_evict(argument, EVICT_BUCKETS_PER_PASS);
}

static void tick(struct shard *shard, struct shard_timer *timer)
{
    struct keyspace *keyspace = container_of(timer, struct keyspace, tick);
    keyspace->evict_barren = 0;
    keyspace_expire_tick(keyspace);
    keyspace_sweep_spaces(keyspace);
    /* What memory or coroutines were short for. */
    keyspace_start_fetches(keyspace);
    latch_unhold(keyspace);
    keyspace_wake_checkpointer(keyspace);
    shard_timer_arm(shard, timer, KEYSPACE_TICK_MS * INT64_C(1000000), tick);
}

int keyspace_start_background(struct keyspace *keyspace)
{
    ASSERT(!keyspace->background);
    TRY(shard_add_hook(keyspace->shard, SHARD_HOOK_PASS, evict_hook, keyspace));
    keyspace->background = true;
    int err = keyspace_background_start(keyspace, "checkpoints", keyspace_checkpointer_main);
    if (err != 0) {
        keyspace->background = false;
        shard_remove_hook(keyspace->shard, SHARD_HOOK_PASS, evict_hook, keyspace);
        return err;
    }
    tick(keyspace->shard, &keyspace->tick);
    return 0;
}

co_fn void keyspace_stop_background(struct keyspace *keyspace)
{
    if (!keyspace->background) {
        return;
    }
    keyspace->background = false;
    shard_timer_disarm(keyspace->shard, &keyspace->tick);
    shard_remove_hook(keyspace->shard, SHARD_HOOK_PASS, evict_hook, keyspace);
    keyspace_wake_checkpointer(keyspace);
    while (keyspace->background_coros > 0) {
        co_event_wait(&keyspace->ended);
    }
}

/* ---- figures ---- */

void keyspace_stats(const struct keyspace *keyspace, struct keyspace_stats *ret_stats)
{
    *ret_stats = keyspace->stats;
    ret_stats->record_bytes = keyspace->record_bytes;
    ret_stats->dirty_bytes = keyspace->dirty_bytes;
    ret_stats->table_bytes = keyspace->table_bytes;
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        ret_stats->records += keyspace->shelves[i].table.records;
        ret_stats->dirty_records += keyspace->shelves[i].table.dirty;
    }
    ret_stats->changes_since_checkpoint = ret_stats->dirty_records;
}

void keyspace_reset_stats(struct keyspace *keyspace)
{
    struct keyspace_stats *stats = &keyspace->stats;
    stats->hits = 0;
    stats->misses = 0;
    stats->expired = 0;
    stats->evicted_clean = 0;
    stats->loads = 0;
}
