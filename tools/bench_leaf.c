/*
 * bench_leaf: which search directory a leaf should have. It builds the same records into leaves of
 * two formats and looks random keys up in them, one by one and 16 at a time with the leaves
 * prefetched:
 *
 *   heads         the format of src/store/leaf.h: the first four bytes behind the common prefix of
 * each key in an array, counted by vector compares; the record keeps the rest only fingerprints one
 * byte of a hash of each key in an array, matched by vector compares; the record keeps the whole
 * key behind the prefix. Equality only: an ordered search compares keys. This format lives here
 * alone, to be measured
 *
 * Cold leaves lie all over some GB of memory, hot ones fit the first-level cache. Each figure is
 * the minimum and the median of several passes, in ns of CPU time per lookup, the value copied out.
 *
 *     bench_leaf [keys, default 10000000]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"
#include "store/leaf.h"

enum {
    KEY_BYTES = 16,
    VALUE_BYTES = 100,
    RECORDS = 34, /* of a leaf */
    PASSES = 7,
    BATCH = 16,
    HOT_LEAVES = 6,
    QUERIES = 2000000,
    HUGE_PAGE = 2 << 20,
};

/* ---- the other format: header, prefix at 32, fingerprints at 64 (one line), slots, records ----
 */

enum {
    FP_PREFIX_BYTES_MAX = 32,
    FP_MAX = 48, /* RECORDS, filled up to whole vectors */
    FP_AT = 64,
    FP_SLOTS_AT = FP_AT + FP_MAX,
    FP_RECORDS_AT = FP_SLOTS_AT + 2 * RECORDS,
};

typedef uint8_t fp_vector __attribute__((vector_size(16)));

static uint8_t fp_of(uint64_t hash)
{
    return (uint8_t)(hash >> 56);
}

static void fp_build(uint8_t *page, const uint8_t *keys, uint32_t prefix_bytes,
                     const uint8_t *value)
{
    ASSERT(prefix_bytes <= FP_PREFIX_BYTES_MAX);
    memset(page, 0, STORE_PAGE_BYTES);
    store_le16(page + PAGE_AT_KEYS, RECORDS);
    store_le16(page + PAGE_AT_PREFIX_BYTES, (uint16_t)prefix_bytes);
    memcpy(page + PAGE_HEADER_BYTES, keys, prefix_bytes);
    uint32_t at = FP_RECORDS_AT;
    for (uint32_t i = 0; i < RECORDS; i++) {
        const uint8_t *key = keys + (size_t)KEY_BYTES * i;
        uint32_t suffix = KEY_BYTES - prefix_bytes;
        page[FP_AT + i] = fp_of(hash64(key, KEY_BYTES, 0));
        store_le16(page + FP_SLOTS_AT + 2 * i, (uint16_t)at);
        page[at++] = (uint8_t)suffix;
        memcpy(page + at, key + prefix_bytes, suffix);
        at += suffix;
        memcpy(page + at, value, VALUE_BYTES);
        at += VALUE_BYTES;
    }
    ASSERT(at <= STORE_PAGE_BYTES);
}

/* Equality of runs of at most 16 bytes without a call: two loads that may overlap. */
static inline bool short_equal(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    if (bytes >= 8) {
        return ((load_le64(a) ^ load_le64(b)) |
                (load_le64(a + bytes - 8) ^ load_le64(b + bytes - 8))) == 0;
    }
    if (bytes >= 4) {
        return ((load_le32(a) ^ load_le32(b)) |
                (load_le32(a + bytes - 4) ^ load_le32(b + bytes - 4))) == 0;
    }
    uint8_t difference = 0;
    for (size_t i = 0; i < bytes; i++) {
        difference |= a[i] ^ b[i];
    }
    return difference == 0;
}

/* One bit for each record whose fingerprint matches. */
static inline uint64_t fp_match(const uint8_t *page, uint8_t fp, uint32_t count)
{
    uint64_t mask = 0;
    fp_vector needle = (fp_vector){0} + fp;
    for (uint32_t i = 0; i < FP_MAX; i += sizeof(fp_vector)) {
        fp_vector line;
        memcpy(&line, page + FP_AT + i, sizeof(line));
        fp_vector equal = (fp_vector)(line == needle);
#ifdef __SSE2__
        typedef char signed_vector __attribute__((vector_size(16)));
        mask |= (uint64_t)(uint32_t)__builtin_ia32_pmovmskb128((signed_vector)equal) << i;
#else
        for (uint32_t lane = 0; lane < sizeof(fp_vector); lane++) {
            mask |= (uint64_t)(equal[lane] & 1) << (i + lane);
        }
#endif
    }
    return mask & (UINT64_MAX >> (64 - count));
}

static inline const uint8_t *fp_find(const uint8_t *page, const uint8_t *key, uint64_t hash)
{
    uint32_t prefix = page_prefix_bytes(page);
    if (!short_equal(key, page + PAGE_HEADER_BYTES, prefix)) {
        return NULL;
    }
    uint64_t match = fp_match(page, fp_of(hash), page_keys(page));
    for (; match != 0; match &= match - 1) {
        uint32_t index = (uint32_t)__builtin_ctzll(match);
        const uint8_t *record = page + load_le16(page + FP_SLOTS_AT + (size_t)2 * index);
        uint32_t suffix = record[0];
        if (suffix == KEY_BYTES - prefix && short_equal(record + 1, key + prefix, suffix)) {
            return record + 1 + suffix;
        }
    }
    return NULL;
}

/* The first record not below the key: by comparing keys, which is all this format has for it. */
static inline uint32_t fp_lower_bound(const uint8_t *page, const uint8_t *key)
{
    uint32_t prefix = page_prefix_bytes(page);
    uint32_t low = 0;
    uint32_t high = page_keys(page);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const uint8_t *record = page + load_le16(page + FP_SLOTS_AT + (size_t)2 * middle);
        int order = memcmp(record + 1, key + prefix, KEY_BYTES - prefix);
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return low;
}

/* ---- the data ---- */

struct query {
    uint8_t key[KEY_BYTES];
    uint32_t leaf;
    uint64_t hash;
};

static uint8_t *keys;   /* sorted */
static uint8_t *leaves; /* scattered: leaf i is at place[i] */
static uint32_t *place;
static uint64_t key_count;
static uint32_t leaf_count_all;
static struct query *queries;
static uint8_t out[VALUE_BYTES];
static volatile uint64_t sink;
static uint64_t missed;

/* Memory for the whole run, of huge pages where there are any. */
static void *big_alloc(size_t bytes)
{
    void *memory = mem_must_alloc_aligned(HUGE_PAGE, bytes);
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, KEY_BYTES);
}

static void make_keys(struct random *random)
{
    keys = big_alloc(key_count * KEY_BYTES + KEY_BYTES);
    for (uint64_t i = 0; i < key_count; i++) {
        char text[KEY_BYTES + 1];
        unsigned long long number = random_below(random, 1000000000000);
        snprintf(text, sizeof(text), "key:%012llu", number);
        memcpy(keys + i * KEY_BYTES, text, KEY_BYTES);
    }
    qsort(keys, key_count, KEY_BYTES, compare_keys);
    uint64_t kept = 0;
    for (uint64_t i = 0; i < key_count; i++) {
        if (kept == 0 || compare_keys(keys + i * KEY_BYTES, keys + (kept - 1) * KEY_BYTES) != 0) {
            memmove(keys + kept++ * KEY_BYTES, keys + i * KEY_BYTES, KEY_BYTES);
        }
    }
    leaf_count_all = (uint32_t)(kept / RECORDS);
    key_count = (uint64_t)leaf_count_all * RECORDS;
}

static void make_places(struct random *random)
{
    leaves = big_alloc((size_t)leaf_count_all * STORE_PAGE_BYTES);
    place = big_alloc(leaf_count_all * sizeof(place[0]));
    for (uint32_t i = 0; i < leaf_count_all; i++) {
        uint32_t j = (uint32_t)random_below(random, i + 1);
        place[i] = place[j];
        place[j] = i;
    }
}

static inline uint8_t *leaf_at(uint32_t leaf)
{
    return leaves + (size_t)place[leaf] * STORE_PAGE_BYTES;
}

static void heads_build(uint8_t *page, const uint8_t *first, uint32_t prefix_bytes,
                        const uint8_t *value)
{
    struct keys_builder builder;
    struct leaf_entry entry = {.value = slice_of(value, VALUE_BYTES)};
    struct page_key key = page_key_of(slice_of(first, KEY_BYTES));
    int err = leaf_begin(&builder, page, 0, RECORDS, prefix_bytes, &key);
    for (uint32_t i = 0; i < RECORDS && err == 0; i++) {
        key = page_key_of(slice_of(first + (size_t)KEY_BYTES * i, KEY_BYTES));
        err = leaf_add(&builder, &key, &entry);
    }
    ASSERT(err == 0);
    leaf_end(&builder);
}

typedef void build_fn(uint8_t *page, const uint8_t *first, uint32_t prefix_bytes,
                      const uint8_t *value);

static void build_all(build_fn *build)
{
    uint8_t value[VALUE_BYTES];
    memset(value, 'v', sizeof(value));
    for (uint32_t i = 0; i < leaf_count_all; i++) {
        const uint8_t *first = keys + (size_t)i * RECORDS * KEY_BYTES;
        const uint8_t *last = first + (size_t)(RECORDS - 1) * KEY_BYTES;
        struct page_key a = page_key_of(slice_of(first, KEY_BYTES));
        struct page_key b = page_key_of(slice_of(last, KEY_BYTES));
        build(leaf_at(i), first, page_key_common(&a, &b), value);
    }
}

static uint64_t number_of(const uint8_t *key)
{
    char text[KEY_BYTES + 1] = "";
    memcpy(text, key, KEY_BYTES);
    return strtoull(text + 4, NULL, 10);
}

/* Random keys of the first `leaf_limit` leaves; if `absent`, ones half way to the next key. */
static void make_queries(struct random *random, uint32_t leaf_limit, bool absent)
{
    for (uint32_t i = 0; i < QUERIES;) {
        uint64_t at = random_below(random, (uint64_t)leaf_limit * RECORDS - 1);
        uint64_t number = number_of(keys + at * KEY_BYTES);
        uint64_t next = number_of(keys + (at + 1) * KEY_BYTES);
        if (at % RECORDS == RECORDS - 1 || next == number + 1) {
            continue;
        }
        char text[KEY_BYTES + 1];
        number = absent ? (number + next) / 2 : number;
        snprintf(text, sizeof(text), "key:%012llu", (unsigned long long)number);
        memcpy(queries[i].key, text, KEY_BYTES);
        queries[i].leaf = (uint32_t)(at / RECORDS);
        queries[i].hash = hash64(queries[i].key, KEY_BYTES, 0);
        i++;
    }
}

/* ---- the lookups ---- */

static inline void take(const uint8_t *value)
{
    if (value == NULL) {
        missed++;
        sink += missed & 1;
        return;
    }
    memcpy(out, value, VALUE_BYTES);
    sink += out[7];
}

static inline void heads_lookup(const struct query *query)
{
    const uint8_t *page = leaf_at(query->leaf);
    struct leaf_entry entry = {0};
    uint32_t index;
    if (leaf_find(page, slice_of(query->key, KEY_BYTES), &index)) {
        leaf_get(page, index, &entry);
    }
    take(entry.value.data);
}

static inline void fp_lookup(const struct query *query)
{
    take(fp_find(leaf_at(query->leaf), query->key, hash64(query->key, KEY_BYTES, 0)));
}

static inline void fp_hashed_lookup(const struct query *query)
{
    take(fp_find(leaf_at(query->leaf), query->key, query->hash));
}

static inline void heads_bound_lookup(const struct query *query)
{
    uint32_t index;
    leaf_find(leaf_at(query->leaf), slice_of(query->key, KEY_BYTES), &index);
    sink += index;
}

static inline void fp_bound_lookup(const struct query *query)
{
    sink += fp_lower_bound(leaf_at(query->leaf), query->key);
}

/* The lines that a search will read before it knows the record. */
static inline void prefetch(const struct query *query)
{
    const uint8_t *page = leaf_at(query->leaf);
    for (int line = 0; line < 4; line++) {
        __builtin_prefetch(page + 64 * line);
    }
    /* gcc takes a function that only prefetches for one without effect. */
    __asm__ volatile("");
}

/* `chain`: a lookup waits for the result of the one before, as it does where other work lies
 * between two of them. `single`: the CPU overlaps them as far as it can see. `batch`: prefetched.
 */
#define LOOKUPS(name)                                            \
    static void name##_chain(void)                               \
    {                                                            \
        uint64_t wait = 0;                                       \
        for (uint32_t i = 0; i < QUERIES; i++) {                 \
            name##_lookup(&queries[i + wait]);                   \
            wait = sink >> 48;                                   \
        }                                                        \
    }                                                            \
    static void name##_single(void)                              \
    {                                                            \
        for (uint32_t i = 0; i < QUERIES; i++) {                 \
            name##_lookup(&queries[i]);                          \
        }                                                        \
    }                                                            \
    static void name##_batch(void)                               \
    {                                                            \
        for (uint32_t i = 0; i + BATCH <= QUERIES; i += BATCH) { \
            for (uint32_t j = 0; j < BATCH; j++) {               \
                prefetch(&queries[i + j]);                       \
            }                                                    \
            for (uint32_t j = 0; j < BATCH; j++) {               \
                name##_lookup(&queries[i + j]);                  \
            }                                                    \
        }                                                        \
    }

LOOKUPS(heads)
LOOKUPS(fp)
LOOKUPS(fp_hashed)
LOOKUPS(heads_bound)
LOOKUPS(fp_bound)

/* ---- measuring ---- */

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(void (*run)(void))
{
    double passes[PASSES];
    for (int i = 0; i < PASSES; i++) {
        double begin = cpu_ns();
        run();
        passes[i] = (cpu_ns() - begin) / QUERIES;
    }
    qsort(passes, PASSES, sizeof(passes[0]), compare_doubles);
    printf(" %.1f...%.1f |", passes[0], passes[PASSES / 2]);
    fflush(stdout);
}

struct row {
    const char *name;
    void (*chain)(void);
    void (*single)(void);
    void (*batch)(void);
    bool absent;
};

static void measure_row(struct random *random, const struct row *row)
{
    printf("| %s |", row->name);
    missed = 0;
    make_queries(random, leaf_count_all, row->absent);
    measure(row->chain);
    measure(row->single);
    measure(row->batch);
    make_queries(random, HOT_LEAVES, row->absent);
    measure(row->chain);
    measure(row->single);
    printf("\n");
    if (row->absent ? missed != (uint64_t)5 * PASSES * QUERIES : missed != 0) {
        printf("%llu lookups missed\n", (unsigned long long)missed);
        exit(1);
    }
}

static void measure_format(struct random *random, build_fn *build, const struct row *rows,
                           int row_count)
{
    double begin = cpu_ns();
    build_all(build);
    double ns = (cpu_ns() - begin) / leaf_count_all;
    for (int i = 0; i < row_count; i++) {
        measure_row(random, &rows[i]);
    }
    fprintf(stderr, "%u leaves built, %.2f us each\n", leaf_count_all, ns / 1000);
}

int main(int argc, char **argv)
{
    static const struct row heads_rows[] = {
        {"heads", heads_chain, heads_single, heads_batch, false},
        {"heads, key absent", heads_chain, heads_single, heads_batch, true},
        {"heads, lower bound", heads_bound_chain, heads_bound_single, heads_bound_batch, false},
    };
    static const struct row fp_rows[] = {
        {"fingerprints", fp_chain, fp_single, fp_batch, false},
        {"fingerprints, hash known", fp_hashed_chain, fp_hashed_single, fp_hashed_batch, false},
        {"fingerprints, key absent", fp_chain, fp_single, fp_batch, true},
        {"fingerprints, lower bound", fp_bound_chain, fp_bound_single, fp_bound_batch, false},
    };
    struct random random;
    random_seed(&random, 1);
    key_count = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    if (key_count < RECORDS * HOT_LEAVES) {
        fprintf(stderr, "usage: bench_leaf [keys, at least %d]\n", RECORDS * HOT_LEAVES);
        return 1;
    }
    make_keys(&random);
    make_places(&random);
    queries = big_alloc(QUERIES * sizeof(queries[0]));
    printf("ns per lookup, minimum...median of %d; %llu keys, %d records a leaf\n\n", PASSES,
           (unsigned long long)key_count, RECORDS);
    printf("| | cold, chained | cold | cold, batches of %d | hot, chained | hot |\n|-|-|-|-|-|-|\n",
           BATCH);
    measure_format(&random, heads_build, heads_rows, 3);
    measure_format(&random, fp_build, fp_rows, 4);
    return 0;
}
