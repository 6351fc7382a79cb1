#include "data/table.h"

#include "base/mem.h"

enum {
    /* A segment is split when it needs another overflow bucket and holds so many records (5 a
       bucket), or ... */
    SPLIT_RECORDS_MIN = 5 * TABLE_SEGMENT_BUCKETS,
    /* ... when a chain would become longer than this and the segment isn't nearly empty: then
       hashes are odd. */
    SPLIT_CHAIN_MAX = 2,
    SPLIT_RECORDS_FLOOR = TABLE_SEGMENT_BUCKETS,

    /* The directory has at most one entry for so many records (or DIRECTORY_MIN): otherwise a few
     * hundred keys whose hashes begin alike could double it to any size. */
    DIRECTORY_RECORDS = 4,
    DIRECTORY_MIN = 64,

    DEPTH_MASK = TABLE_SEGMENT_BYTES - 1,
};

/* The first bucket's place of a page of overflow buckets holds the link to the next page. */
enum { OVERFLOW_PER_PAGE = TABLE_SEGMENT_BUCKETS - 1 };

static struct table_bucket *segment_of(uint64_t entry)
{
    return (struct table_bucket *)(uintptr_t)(entry & ~(uint64_t)DEPTH_MASK);
}

static uint32_t depth_of(uint64_t entry)
{
    return entry & DEPTH_MASK;
}

static struct table_bucket *segment_create(void)
{
    struct table_bucket *segment = mem_alloc_aligned(TABLE_SEGMENT_BYTES, TABLE_SEGMENT_BYTES);
    if (segment != NULL) {
        memset(segment, 0, TABLE_SEGMENT_BYTES);
    }
    return segment;
}

void table_init(struct table *table)
{
    *table = (struct table){0};
}

void table_deinit(struct table *table)
{
    ASSERT(table->reserved == 0);
    if (table->directory != NULL) {
        uint64_t entries = UINT64_C(1) << table->depth;
        for (uint64_t i = 0; i < entries;) {
            uint64_t entry = table->directory[i];
            mem_free(segment_of(entry));
            i += UINT64_C(1) << (table->depth - depth_of(entry));
        }
        mem_free(table->directory);
    }
    for (void *page = table->overflow_pages; page != NULL;) {
        void *next;
        memcpy(&next, page, sizeof(next));
        mem_free(page);
        page = next;
    }
    table_init(table);
}

uint64_t table_memory(const struct table *table)
{
    uint64_t directory = table->directory == NULL ? 0 : sizeof(uint64_t) << table->depth;
    uint64_t pages = (uint64_t)table->segments + table->overflow_page_count;
    return directory + pages * TABLE_SEGMENT_BYTES;
}

uint32_t table_bucket_last(const struct table *table, uint32_t hash)
{
    if (table->directory == NULL) {
        return UINT32_MAX;
    }
    uint32_t local_depth = depth_of(table->directory[(uint64_t)hash >> (32 - table->depth)]);
    /* As 64 bits: the shift may be one by 32. */
    return hash | (uint32_t)((uint64_t)UINT32_MAX >> (local_depth + TABLE_SEGMENT_BITS));
}

struct table_place table_place_of(const struct table *table, const struct record *record)
{
    uint64_t address = (uint64_t)(uintptr_t)record;
    struct table_bucket *bucket = table_bucket(table, record->hash);
    for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
        for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
            if ((bucket->slots[i] & TABLE_ADDRESS_MASK) == address) {
                return (struct table_place){bucket, i};
            }
        }
    }
    UNREACHABLE("the record is not in the table");
}

void table_replace(struct table_place place, struct record *record)
{
    uint64_t address = (uint64_t)(uintptr_t)record;
    ASSERT((address & ~TABLE_ADDRESS_MASK) == 0);
    uint64_t *slot = &place.bucket->slots[place.slot];
    ASSERT(*slot != 0 && table_slot_record(*slot)->hash == record->hash);
    *slot = (*slot & ~TABLE_ADDRESS_MASK) | address;
}

void table_remove(struct table *table, struct table_place place)
{
    ASSERT(place.bucket->slots[place.slot] != 0);
    if (table_is_dirty(place)) {
        table_clear_dirty(table, place);
    }
    table_clear_visited(place);
    place.bucket->slots[place.slot] = 0;
    table->records--;
}

/* ---- overflow buckets ---- */

static int overflow_add_page(struct table *table)
{
    struct table_bucket *page = segment_create();
    if (page == NULL) {
        return ERR_MEMORY;
    }
    memcpy(page, &table->overflow_pages, sizeof(void *));
    table->overflow_pages = page;
    table->overflow_page_count++;
    table->overflow_free_count += OVERFLOW_PER_PAGE;
    for (uint32_t i = 1; i <= OVERFLOW_PER_PAGE; i++) {
        page[i].meta = (uint64_t)(uintptr_t)table->overflow_free;
        table->overflow_free = &page[i];
    }
    return 0;
}

/* A free bucket, whoever it is reserved for. */
static struct table_bucket *overflow_pop(struct table *table)
{
    ASSERT(table->overflow_free_count > 0);
    struct table_bucket *bucket = table->overflow_free;
    table->overflow_free = table_bucket_next(bucket);
    table->overflow_free_count--;
    memset(bucket, 0, sizeof(*bucket));
    return bucket;
}

static struct table_bucket *overflow_take(struct table *table)
{
    ASSERT(table->overflow_free_count >= table->reserved);
    if (table->overflow_free_count == table->reserved && overflow_add_page(table) != 0) {
        return NULL;
    }
    return overflow_pop(table);
}

static void overflow_give_back(struct table *table, struct table_bucket *bucket)
{
    bucket->meta = (uint64_t)(uintptr_t)table->overflow_free;
    table->overflow_free = bucket;
    table->overflow_free_count++;
}

/* ---- growing ---- */

static int table_start(struct table *table)
{
    uint64_t *directory = mem_alloc(sizeof(*directory));
    struct table_bucket *segment = segment_create();
    if (directory == NULL || segment == NULL) {
        mem_free(directory);
        mem_free(segment);
        return ERR_MEMORY;
    }
    directory[0] = (uint64_t)(uintptr_t)segment;
    table->directory = directory;
    table->depth = 0;
    table->segments = 1;
    return 0;
}

static int directory_double(struct table *table)
{
    uint64_t entries = UINT64_C(1) << table->depth;
    uint64_t *directory = mem_alloc(2 * entries * sizeof(*directory));
    if (directory == NULL) {
        return ERR_MEMORY;
    }
    for (uint64_t i = 0; i < entries; i++) {
        directory[2 * i] = table->directory[i];
        directory[2 * i + 1] = table->directory[i];
    }
    mem_free(table->directory);
    table->directory = directory;
    table->depth++;
    return 0;
}

/* A slot's bits, as they are for the first slot of a bucket. */
#define SLOT_BITS (UINT64_C(1) << TABLE_DIRTY_SHIFT | UINT64_C(1) << TABLE_VISITED_SHIFT)

/* Puts a slot with its bits (and TABLE_EXPIRING) into the chain of `bucket`. Overflow buckets are
 * there, see split_bucket. */
static void chain_push(struct table *table, struct table_bucket *bucket, uint64_t slot,
                       uint64_t bits)
{
    for (;;) {
        for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
            if (bucket->slots[i] == 0) {
                bucket->slots[i] = slot;
                bucket->meta |= (bits & SLOT_BITS) << i | (bits & TABLE_EXPIRING);
                return;
            }
        }
        struct table_bucket *next = table_bucket_next(bucket);
        if (next == NULL) {
            next = overflow_pop(table);
            /* The page of buckets this may have come from is never freed while they are used. */
            bucket->meta |= (uint64_t)(uintptr_t)next;
        }
        bucket = next;
    }
}

/*
 * Takes one chain apart into two. A chain of m buckets holds n <= 7 m records; the two need at most
 * ceil(n1 / 7) + ceil(n2 / 7) <= m + 1 buckets, two of which the new segments have: so the overflow
 * buckets given back on the way are enough, and a split allocates nothing here.
 */
static void split_bucket(struct table *table, const struct table_bucket *home, uint32_t depth,
                         struct table_bucket *lower)
{
    struct table_bucket part = *home;
    for (;;) {
        for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
            if (part.slots[i] == 0) {
                continue;
            }
            uint32_t hash = table_slot_record(part.slots[i])->hash;
            uint32_t upper = (hash << (depth + TABLE_SEGMENT_BITS)) >> 31;
            uint64_t bits = (part.meta >> i & SLOT_BITS) | (part.meta & TABLE_EXPIRING);
            chain_push(table, lower + upper, part.slots[i], bits);
        }
        struct table_bucket *next = table_bucket_next(&part);
        if (next == NULL) {
            return;
        }
        part = *next;
        overflow_give_back(table, next);
    }
}

/* Points all directory entries of a segment's range to its two halves. */
static void directory_set_halves(struct table *table, uint32_t hash, uint32_t depth,
                                 struct table_bucket *const halves[2])
{
    uint64_t span = UINT64_C(1) << (table->depth - depth);
    uint64_t first = (uint64_t)hash >> (32 - table->depth) & ~(span - 1);
    for (uint64_t i = 0; i < span; i++) {
        struct table_bucket *half = halves[i < span / 2 ? 0 : 1];
        table->directory[first + i] = (uint64_t)(uintptr_t)half | (depth + 1);
    }
}

static int split_segment(struct table *table, uint32_t hash)
{
    uint64_t entry = table->directory[(uint64_t)hash >> (32 - table->depth)];
    uint32_t depth = depth_of(entry);
    ASSERT(depth < TABLE_DEPTH_MAX);
    if (depth == table->depth) {
        TRY(directory_double(table));
    }
    struct table_bucket *halves[2] = {segment_create(), segment_create()};
    if (halves[0] == NULL || halves[1] == NULL) {
        mem_free(halves[0]);
        mem_free(halves[1]);
        return ERR_MEMORY;
    }
    struct table_bucket *segment = segment_of(entry);
    for (uint32_t i = 0; i < TABLE_SEGMENT_BUCKETS; i++) {
        /* Bucket i becomes buckets 2i and 2i + 1 of the two halves laid side by side. */
        uint32_t lower = 2 * i % TABLE_SEGMENT_BUCKETS;
        struct table_bucket *half = halves[2 * i / TABLE_SEGMENT_BUCKETS];
        split_bucket(table, &segment[i], depth, half + lower);
    }
    directory_set_halves(table, hash, depth, halves);
    mem_free(segment);
    table->segments++;
    return 0;
}

static uint32_t segment_records(const struct table_bucket *segment)
{
    uint32_t records = 0;
    for (uint32_t b = 0; b < TABLE_SEGMENT_BUCKETS; b++) {
        const struct table_bucket *bucket = &segment[b];
        for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
            for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
                records += bucket->slots[i] != 0;
            }
        }
    }
    return records;
}

/* Whether to split rather than to add one more overflow bucket to a chain of `chain` of them. */
static bool wants_split(const struct table *table, uint32_t hash, uint32_t chain)
{
    uint64_t entry = table->directory[(uint64_t)hash >> (32 - table->depth)];
    uint32_t depth = depth_of(entry);
    uint64_t entries_max = max_u64(DIRECTORY_MIN, table->records / DIRECTORY_RECORDS);
    if (depth == TABLE_DEPTH_MAX || (depth == table->depth && UINT64_C(2) << depth > entries_max)) {
        return false;
    }
    uint32_t records = segment_records(segment_of(entry));
    return records >= SPLIT_RECORDS_MIN ||
           (chain >= SPLIT_CHAIN_MAX && records >= SPLIT_RECORDS_FLOOR);
}

/* A free slot for the hash, or ERR_FULL: the chain is full and has *ret_chain overflow buckets. */
static int find_free(const struct table *table, uint32_t hash, struct table_place *ret_place,
                     uint32_t *ret_chain)
{
    struct table_bucket *bucket = table_bucket(table, hash);
    for (uint32_t chain = 0;; chain++) {
        for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
            if (bucket->slots[i] == 0) {
                *ret_place = (struct table_place){bucket, i};
                return 0;
            }
        }
        struct table_bucket *next = table_bucket_next(bucket);
        if (next == NULL) {
            *ret_place = (struct table_place){bucket, 0};
            *ret_chain = chain;
            return ERR_FULL;
        }
        bucket = next;
    }
}

/* A free slot, made if need be. */
static int make_free(struct table *table, uint32_t hash, struct table_place *ret_place)
{
    if (table->directory == NULL) {
        TRY(table_start(table));
    }
    uint32_t chain = 0;
    while (find_free(table, hash, ret_place, &chain) != 0) {
        /* Without memory for a split the chain becomes longer: so one bucket is all that an insert
         * can need. */
        if (wants_split(table, hash, chain) && split_segment(table, hash) == 0) {
            continue;
        }
        struct table_bucket *next = overflow_take(table);
        if (next == NULL) {
            return ERR_MEMORY;
        }
        ret_place->bucket->meta |= (uint64_t)(uintptr_t)next;
    }
    return 0;
}

int table_insert(struct table *table, uint64_t hash, struct record *record,
                 struct table_place *ret_place)
{
    uint64_t address = (uint64_t)(uintptr_t)record;
    ASSERT((address & ~TABLE_ADDRESS_MASK) == 0);
    ASSERT(record->hash == table_hash_top(hash));
    struct table_place place;
    TRY(make_free(table, table_hash_top(hash), &place));
    place.bucket->slots[place.slot] = hash << 48 | address;
    table->records++;
    *ret_place = place;
    return 0;
}

int table_reserve(struct table *table)
{
    if (table->directory == NULL) {
        TRY(table_start(table));
    }
    if (table->overflow_free_count == table->reserved) {
        TRY(overflow_add_page(table));
    }
    table->reserved++;
    return 0;
}

void table_unreserve(struct table *table)
{
    ASSERT(table->reserved > 0 && table->overflow_free_count >= table->reserved);
    table->reserved--;
}
