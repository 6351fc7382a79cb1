/*
 * Fetching unknown keys.
 *
 * A key that is in no form in the table gets a loading marker, pinned once for each who waits, and
 * a struct fetch, which a coroutine takes through the store. What may happen meanwhile:
 *
 *     another load of the key   joins the fetch.
 *     a write of the key        replaces the marker, and so ends the wait: whoever waited has the
 *                               key in memory now. The fetch goes on alone, and what it brings is
 *                               thrown away.
 *     the fetch comes back      the marker becomes a clean record or an absent marker; after an
 *                               error it goes away.
 *
 * So what a fetch brings is never put over something newer: the marker is still there only if
 * nothing happened.
 *
 * The callbacks run in the next pass, from a message that the shard sends to itself: then they run
 * outside of coroutines and never inside the call that caused them.
 */
#include "data/load.h"

#include "base/mem.h"
#include "base/plant.h"
#include "data/blob.h"
#include "data/keyspace_impl.h"
#include "data/latch_impl.h"
#include "data/spaces.h"

enum {
    FETCHERS_MAX = 256, /* reads of unknown keys in flight; the device is busy with far fewer */
};

struct fetch {
    struct keyspace *keyspace;
    struct record *marker; /* NULL: it was replaced */
    struct list waiters;   /* key_load.node */
    struct list_node node; /* queued */
    struct key key;
    uint8_t name[]; /* key.name, which outlives the marker */
};

/* ---- callbacks ---- */

static void run_ready(struct shard *shard, struct message *message)
{
    (void)shard;
    struct keyspace *keyspace = container_of(message, struct keyspace, ready_message);
    keyspace->ready_sent = false;
    struct list due;
    list_init(&due);
    list_splice_back(&due, &keyspace->ready_loads);
    struct list_node *node;
    while ((node = list_pop_front(&due)) != NULL) {
        struct key_load *load = container_of(node, struct key_load, node);
        load->done(load, load->result);
    }
    latch_run_ready(keyspace);
}

void keyspace_ready_init(struct keyspace *keyspace)
{
    list_init(&keyspace->ready_loads);
    list_init(&keyspace->ready_latches);
    list_init(&keyspace->fetches_queued);
    keyspace->ready_message.handler = run_ready;
}

void keyspace_ready_kick(struct keyspace *keyspace)
{
    if (!keyspace->ready_sent) {
        keyspace->ready_sent = true;
        shard_send(keyspace->shard, shard_id(keyspace->shard), &keyspace->ready_message);
    }
}

static void load_done(struct key_load *load, int result)
{
    load->result = result;
    list_push_back(&load->keyspace->ready_loads, &load->node);
    keyspace_ready_kick(load->keyspace);
}

static void wake_waiters(struct fetch *fetch, int result)
{
    struct list_node *node;
    while ((node = list_pop_front(&fetch->waiters)) != NULL) {
        load_done(container_of(node, struct key_load, node), result);
    }
}

void fetch_overtaken(struct keyspace *keyspace, struct fetch *fetch)
{
    (void)keyspace;
    fetch->marker = NULL;
    wake_waiters(fetch, 0);
}

/* ---- what came back ---- */

/* A clean record of what the store found. Takes over the extent's memory if there is one. NULL:
 * memory is out. */
static struct record *create_from_found(const struct key *key, struct store_found *found)
{
    const struct store_entry *entry = &found->entry;
    struct record_content content = {
        .hash = table_hash_top(key->hash),
        .space = key->space,
        .key = key->name,
        .value = entry->value,
        .expire_ms = entry->expire_ms,
        .type = entry->type,
        .meta = entry->meta,
    };
    if (entry->value.bytes >= RECORD_BLOB_BYTES_MIN) {
        /* An extent's memory is taken over; the cast gives back what the store handed out
         * read-only. */
        uint8_t *data = (uint8_t *)(uintptr_t)entry->value.data;
        if (found->extent != NULL) {
            if (blob_adopt(found->extent, data, entry->value.bytes, &content.blob) != 0) {
                return NULL;
            }
            found->extent = NULL;
        } else {
            if (blob_create(entry->value.bytes, entry->value.bytes, &content.blob) != 0) {
                return NULL;
            }
            memcpy(blob_data(content.blob), data, entry->value.bytes);
        }
    }
    struct record *record = record_create(&content);
    if (record == NULL && content.blob != NULL) {
        blob_drop(content.blob);
    }
    return record;
}

int record_from_store(struct keyspace *keyspace, const struct key *key, int result,
                      struct store_found *found, struct record **ret_record)
{
    if (result < 0) {
        return result;
    }
    struct record *record;
    if (result == 0 || !keyspace_space_is_live(keyspace, key->space)) {
        record =
            record_create_marker(table_hash_top(key->hash), key->space, key->name, RECORD_ABSENT);
    } else {
        record = create_from_found(key, found);
    }
    if (record == NULL) {
        return ERR_MEMORY;
    }
    record->access_s = (uint32_t)(keyspace->clock_high_ms / 1000);
    *ret_record = record;
    return 0;
}

static void fetch_end(struct fetch *fetch, int result, struct store_found *found)
{
    struct keyspace *keyspace = fetch->keyspace;
    struct shelf *shelf = shelf_of(keyspace, &fetch->key);
    struct table_place place;
    if (PLANTED(STALE_FILL) && fetch->marker == NULL) {
        fetch->marker = shelf_find(shelf, &fetch->key, &place);
    }
    if (fetch->marker == NULL) {
        return;
    }
    place = table_place_of(&shelf->table, fetch->marker);
    struct record *record;
    int err = record_from_store(keyspace, &fetch->key, result, found, &record);
    if (err == 0) {
        /* Tells the waiters, too. */
        shelf_replace(keyspace, shelf, place, record);
        return;
    }
    wake_waiters(fetch, err);
    shelf_remove(keyspace, shelf, place);
}

static co_fn void fetch_run(struct fetch *fetch)
{
    struct partition *partition = shelf_of(fetch->keyspace, &fetch->key)->partition;
    struct store_found found = {.frame = NULL};
    int result = store_get(partition, fetch->key.space, fetch->key.name, &found);
    fetch_end(fetch, result, &found);
    if (result == 1) {
        store_found_release(partition, &found);
    }
    mem_free(fetch);
}

static co_fn void fetcher_main(void *argument)
{
    struct keyspace *keyspace = argument;
    keyspace->fetchers_coming--;
    struct list_node *node;
    while ((node = list_pop_front(&keyspace->fetches_queued)) != NULL) {
        keyspace->fetches_waiting--;
        fetch_run(container_of(node, struct fetch, node));
    }
    keyspace->fetchers--;
    co_event_signal(&keyspace->ended);
}

void keyspace_start_fetches(struct keyspace *keyspace)
{
    while (keyspace->fetches_waiting > keyspace->fetchers_coming &&
           keyspace->fetchers < FETCHERS_MAX) {
        /* Without a coroutine a fetch waits: for a fetcher that is done, or for the next tick. */
        if (coro_start(shard_sched(keyspace->shard), "fetch", CORO_NORMAL, fetcher_main,
                       keyspace) != 0) {
            return;
        }
        keyspace->fetchers++;
        keyspace->fetchers_coming++;
    }
}

/* ---- asking ---- */

/* Inserts the marker and queues its fetch. The load waits in it. */
static int fetch_begin(struct keyspace *keyspace, struct shelf *shelf, struct key_load *load)
{
    const struct key *key = &load->key;
    struct fetch *fetch = mem_alloc(sizeof(*fetch) + key->name.bytes);
    struct record *marker =
        record_create_marker(table_hash_top(key->hash), key->space, key->name, RECORD_LOADING);
    struct table_place place;
    if (fetch == NULL || marker == NULL ||
        shelf_insert(keyspace, shelf, key->hash, marker, &place) != 0) {
        mem_free(fetch);
        mem_free(marker);
        return ERR_MEMORY;
    }
    *fetch = (struct fetch){.keyspace = keyspace, .marker = marker, .key = *key};
    if (key->name.bytes > 0) {
        memcpy(fetch->name, key->name.data, key->name.bytes);
    }
    fetch->key.name = slice_of(fetch->name, key->name.bytes);
    list_init(&fetch->waiters);
    list_push_back(&fetch->waiters, &load->node);
    record_set_fetch(marker, fetch);
    marker->pins = 1;
    list_push_back(&keyspace->fetches_queued, &fetch->node);
    keyspace->fetches_waiting++;
    return 0;
}

/* A tree without records needs no fetch: the key is absent. */
static int load_absent(struct keyspace *keyspace, struct shelf *shelf, const struct key *key)
{
    struct record *record;
    TRY(record_from_store(keyspace, key, 0, NULL, &record));
    struct table_place place;
    int err = shelf_insert(keyspace, shelf, key->hash, record, &place);
    if (err != 0) {
        record_destroy(record);
        return err;
    }
    record->pins = 1;
    return 0;
}

void keyspace_load(struct keyspace *keyspace, struct key_load *load)
{
    ASSERT(load->keyspace == keyspace);
    if (UNLIKELY(key_is_too_long(&load->key))) {
        load_done(load, 0);
        return;
    }
    struct shelf *shelf = shelf_of(keyspace, &load->key);
    struct table_place place;
    struct record *record = shelf_find(shelf, &load->key, &place);
    if (record != NULL) {
        if (record->pins == RECORD_PINS_MAX) {
            load_done(load, ERR_LIMIT);
            return;
        }
        record->pins++;
        if ((record->flags & RECORD_LOADING) == 0) {
            load_done(load, 0);
        } else {
            list_push_back(&record_fetch(record)->waiters, &load->node);
        }
        return;
    }
    keyspace->stats.loads++;
    /* Not asked first whether all pages are cached: that would be one more way down the tree for
     * each read, and a fetch that finds them cached doesn't suspend. */
    if (shelf_tree_is_empty(shelf, load->key.space)) {
        load_done(load, load_absent(keyspace, shelf, &load->key));
        return;
    }
    int err = fetch_begin(keyspace, shelf, load);
    if (err != 0) {
        load_done(load, err);
        return;
    }
    keyspace_start_fetches(keyspace);
}

bool keyspace_pin(struct keyspace *keyspace, const struct key *key)
{
    if (UNLIKELY(key_is_too_long(key))) {
        return true;
    }
    struct shelf *shelf = shelf_of(keyspace, key);
    struct table_place place;
    struct record *record = shelf_find(shelf, key, &place);
    if (record == NULL || (record->flags & RECORD_LOADING) != 0 ||
        record->pins == RECORD_PINS_MAX) {
        return false;
    }
    record->pins++;
    return true;
}

void keyspace_drop_if_absent(struct keyspace *keyspace, struct shelf *shelf,
                             struct table_place place)
{
    const struct record *record = table_slot_record(place.bucket->slots[place.slot]);
    if (record->pins == 0 && (record->flags & RECORD_ABSENT) != 0) {
        shelf_remove(keyspace, shelf, place);
    }
}

void keyspace_unpin(struct keyspace *keyspace, const struct key *key)
{
    if (UNLIKELY(key_is_too_long(key))) {
        return;
    }
    struct shelf *shelf = shelf_of(keyspace, key);
    struct table_place place;
    struct record *record = shelf_find(shelf, key, &place);
    ASSERT(record != NULL && record->pins > 0);
    record->pins--;
    keyspace_drop_if_absent(keyspace, shelf, place);
}
