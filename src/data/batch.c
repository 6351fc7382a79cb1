#include "data/batch.h"

#include "base/bytes.h"
#include "base/mem.h"

enum {
    BATCH_CAPACITY_MIN = 64,
    RUN_ITEMS = 16,   /* sorted by insertion */
    STEP_ITEMS = 256, /* between two chances to yield */
    SPACE_BYTES = 4,  /* of (space, key), big-endian so that its order is that of numbers */
};

int batch_init(struct batch *batch, uint64_t records)
{
    *batch = (struct batch){.common = UINT32_MAX};
    uint64_t capacity = max_u64(records, BATCH_CAPACITY_MIN);
    if (capacity > BATCH_RECORDS_MAX) {
        return ERR_LIMIT;
    }
    batch->items = mem_alloc(capacity * sizeof(*batch->items));
    if (batch->items == NULL) {
        return ERR_MEMORY;
    }
    batch->capacity = (uint32_t)capacity;
    return 0;
}

void batch_deinit(struct batch *batch)
{
    mem_free(batch->items);
    mem_free(batch->existed);
    *batch = (struct batch){0};
}

/* How many bytes of (space, key) two records have in common, at most `most`. */
static uint32_t common_bytes(const struct record *a, const struct record *b, uint32_t most)
{
    uint32_t difference = a->space ^ b->space;
    if (difference != 0) {
        return (uint32_t)min_u64(most, (uint32_t)__builtin_clz(difference) / 8);
    }
    uint32_t shorter = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
    uint32_t limit = (uint32_t)min_u64(most, SPACE_BYTES + (uint64_t)shorter);
    const uint8_t *key_a = record_key_at(a);
    const uint8_t *key_b = record_key_at(b);
    uint32_t at = SPACE_BYTES;
    while (at < limit && key_a[at - SPACE_BYTES] == key_b[at - SPACE_BYTES]) {
        at++;
    }
    return (uint32_t)min_u64(at, limit);
}

int batch_add(struct batch *batch, struct record *record)
{
    if (batch->count == batch->capacity) {
        if (batch->capacity > BATCH_RECORDS_MAX / 2) {
            return ERR_LIMIT;
        }
        struct batch_item *items =
            mem_realloc(batch->items, 2 * (size_t)batch->capacity * sizeof(*items));
        if (items == NULL) {
            return ERR_MEMORY;
        }
        batch->items = items;
        batch->capacity *= 2;
    }
    if (batch->count > 0) {
        batch->common = common_bytes(batch->items[0].record, record, batch->common);
    }
    batch->items[batch->count++] = (struct batch_item){.record = record};
    return 0;
}

/* Eight bytes of (space, key) from `from` on, zeros behind its end. */
static uint64_t head_of(const struct record *record, uint32_t from)
{
    uint8_t bytes[SPACE_BYTES + 8] = {0};
    store_be32(bytes, record->space);
    if (from < SPACE_BYTES) {
        uint32_t key = (uint32_t)min_u64(record->key_bytes, 8);
        memcpy(bytes + SPACE_BYTES, record_key_at(record), key);
        return load_be64(bytes + from);
    }
    uint8_t head[8] = {0};
    uint32_t skip = from - SPACE_BYTES;
    if (skip < record->key_bytes) {
        uint32_t left = record->key_bytes - skip;
        memcpy(head, record_key_at(record) + skip, min_u64(left, sizeof(head)));
    }
    return load_be64(head);
}

static bool item_before(const struct batch_item *a, const struct batch_item *b)
{
    if (LIKELY(a->head != b->head)) {
        return a->head < b->head;
    }
    if (a->record->space != b->record->space) {
        return a->record->space < b->record->space;
    }
    return slice_compare(record_key(a->record), record_key(b->record)) < 0;
}

static void sort_run(struct batch_item *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct batch_item item = items[i];
        uint32_t at = i;
        for (; at > 0 && item_before(&item, &items[at - 1]); at--) {
            items[at] = items[at - 1];
        }
        items[at] = item;
    }
}

static co_fn void prepare_runs(struct batch *batch)
{
    uint32_t from = batch->count > 1 ? batch->common : 0;
    for (uint32_t i = 0; i < batch->count; i += RUN_ITEMS) {
        uint32_t count = (uint32_t)min_u64(RUN_ITEMS, batch->count - i);
        for (uint32_t j = i; j < i + count; j++) {
            batch->items[j].head = head_of(batch->items[j].record, from);
        }
        sort_run(&batch->items[i], count);
        co_yield_if_due();
    }
}

/* Merges two neighbouring sorted runs, [a, b) and [b, end), into `to`. */
static co_fn void merge_runs(const struct batch_item *items, struct batch_item *to, uint64_t a,
                             uint64_t b, uint64_t end)
{
    uint64_t left = a;
    uint64_t right = b;
    for (uint64_t at = a; at < end; at++) {
        bool take_right = left == b || (right < end && item_before(&items[right], &items[left]));
        to[at] = take_right ? items[right++] : items[left++];
        if (at % STEP_ITEMS == 0) {
            co_yield_if_due();
        }
    }
}

co_fn int batch_sort(struct batch *batch)
{
    uint32_t count = batch->count;
    batch->existed = mem_calloc(count / 8 + 1, 1);
    struct batch_item *spare = mem_alloc(((size_t)count + 1) * sizeof(*spare));
    if (batch->existed == NULL || spare == NULL) {
        mem_free(spare);
        return ERR_MEMORY;
    }
    prepare_runs(batch);
    for (uint64_t run = RUN_ITEMS; run < count; run *= 2) {
        for (uint64_t a = 0; a < count; a += 2 * run) {
            merge_runs(batch->items, spare, a, min_u64(a + run, count),
                       min_u64(a + 2 * run, count));
        }
        struct batch_item *sorted = spare;
        spare = batch->items;
        batch->items = sorted;
    }
    batch->capacity = count + 1;
    mem_free(spare);
    return 0;
}
