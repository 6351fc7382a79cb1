/*
 * manifest_format: headers and bodies there and back; bodies that nobody wrote.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/logger.h"
#include "base/mem.h"
#include "base/random.h"
#include "store/manifest_format.h"

enum { SEED = 77 };

static uint8_t record[MANIFEST_RECORD_BYTES_MAX];

static struct manifest_header header_of(uint32_t body_bytes)
{
    return (struct manifest_header){
        .type = MANIFEST_COMMIT,
        .last = true,
        .sequence = 9,
        .part = 2,
        .body_bytes = body_bytes,
        .previous = 0x1234,
        .offset = 8192,
        .applied = 555,
        .file_next = 66,
    };
}

Test(manifest_format, a_header_reads_back_and_no_changed_byte_does)
{
    memset(record, 0, sizeof(record));
    memset(record + MANIFEST_HEADER_BYTES, 7, 5000);
    struct manifest_header header = header_of(5000);
    manifest_header_encode(record, SEED, &header);
    struct manifest_header back;
    cr_assert_eq(manifest_header_decode(record, SEED, &back), 0);
    cr_assert(back.type == MANIFEST_COMMIT && back.last && back.sequence == 9 && back.part == 2);
    cr_assert(back.body_bytes == 5000 && back.previous == 0x1234 && back.offset == 8192);
    cr_assert(back.applied == 555 && back.file_next == 66 && back.checksum == header.checksum);
    cr_assert_eq(manifest_header_decode(record, SEED + 1, &back), ERR_CHECKSUM);
    for (uint32_t bit = 0; bit < MANIFEST_HEADER_BYTES * 8; bit++) {
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_eq(manifest_header_decode(record, SEED, &back), ERR_CHECKSUM);
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(manifest_format, other_stores_partitions_and_manifests_have_other_seeds)
{
    uint64_t seed = manifest_seed(1, 2, 3);
    cr_assert_neq(seed, manifest_seed(2, 2, 3));
    cr_assert_neq(seed, manifest_seed(1, 3, 3));
    cr_assert_neq(seed, manifest_seed(1, 2, 4));
    cr_assert_eq(seed, manifest_seed(1, 2, 3));
}

/* ---- bodies ---- */

struct state {
    struct manifest_state state;
    struct datafiles files;
    struct store_options options;
    struct datafile_pool pool;
    struct mapper_change map;
};

static void state_init(struct state *it)
{
    *it = (struct state){0};
    it->pool.open_max = 1;
    datafiles_init(&it->files, &it->pool, &it->options, "dir");
    it->state.files = &it->files;
    cr_assert_eq(mapper_create(&it->state.mapper), 0);
    cr_assert_eq(mapper_begin(it->state.mapper, 1, &it->map), 0);
}

static int apply(struct state *it, const void *body, size_t bytes)
{
    struct manifest_decoder decoder = {"some.man", 4096, &it->state, &it->map};
    return manifest_body_apply(&decoder, slice_of(body, bytes));
}

static void state_deinit(struct state *it)
{
    mapper_abort(&it->map);
    mapper_destroy(it->state.mapper);
    mem_free(it->state.trees);
    datafiles_deinit(&it->files);
}

Test(manifest_format, trees_are_put_replaced_and_taken_out)
{
    struct state it;
    state_init(&it);
    struct tree trees[] = {
        {.space = 5, .height = 2, .root = {70000}, .keys = UINT64_MAX, .extents = 1},
        {.space = UINT32_MAX, .height = 1, .root = {0}, .keys = 1},
        {.space = 0, .height = TREE_HEIGHT_MAX, .root = {1}, .keys = 3},
        {.space = 5, .height = 1, .root = {4}, .keys = 9},
    };
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < 4; i++) {
        bytes += manifest_encode_tree(record + bytes, &trees[i]);
    }
    cr_assert_eq(apply(&it, record, bytes), 0);
    cr_assert_eq(it.state.tree_count, 3);
    cr_assert(it.state.trees[0].space == 0 && it.state.trees[0].height == TREE_HEIGHT_MAX);
    cr_assert(it.state.trees[1].space == 5 && it.state.trees[1].keys == 9);
    cr_assert_eq(it.state.trees[2].space, UINT32_MAX);
    struct tree gone = {.space = 5};
    bytes = manifest_encode_tree(record, &gone);
    cr_assert_eq(apply(&it, record, bytes), 0);
    cr_assert(it.state.tree_count == 2 && it.state.trees[1].space == UINT32_MAX);
    logger_set_level(LOGGER_LEVEL_NOTHING);
    cr_assert_eq(apply(&it, record, bytes), ERR_CORRUPT, "it is gone already");
    struct tree high = {.space = 1, .height = TREE_HEIGHT_MAX + 1};
    cr_assert_eq(apply(&it, record, manifest_encode_tree(record, &high)), ERR_CORRUPT);
    state_deinit(&it);
}

Test(manifest_format, chunks_read_back)
{
    struct state it;
    state_init(&it);
    struct mapper_chunk chunk = {.index = 3};
    struct random random;
    random_seed(&random, 1);
    for (uint32_t slot = 0; slot < MAPPER_CHUNK_PAGES; slot++) {
        bool used = random_below(&random, 3) != 0;
        uint64_t file = 1 + random_below(&random, DATAFILE_NUMBER_MAX);
        chunk.positions[slot] =
            used ? file_pos_make(file, (uint32_t)random_below(&random, FILE_POS_PAGES_MAX)).value
                 : FILE_POS_NONE.value;
        chunk.changed[slot / 64] |= (uint64_t)(slot % 2) << (slot % 64);
    }
    for (uint32_t changed_only = 0; changed_only < 2; changed_only++) {
        uint64_t position = 0;
        uint32_t bytes = manifest_encode_chunk(record, &chunk, changed_only != 0, &position);
        cr_assert_leq(bytes, MANIFEST_CHUNK_BYTES_MAX);
        cr_assert_eq(apply(&it, record, bytes), 0);
        for (uint32_t slot = 0; slot < MAPPER_CHUNK_PAGES; slot++) {
            struct page_id id = {3 * MAPPER_CHUNK_PAGES + slot};
            cr_assert_eq(mapper_change_get(&it.map, id).value, chunk.positions[slot]);
        }
        /* The second round changes odd slots only. */
        for (uint32_t slot = 1; slot < MAPPER_CHUNK_PAGES; slot += 2) {
            chunk.positions[slot] = slot % 3 == 0 ? FILE_POS_NONE.value : slot;
        }
    }
    state_deinit(&it);
}

Test(manifest_format, bodies_that_nobody_wrote_are_refused_or_harmless)
{
    logger_set_level(LOGGER_LEVEL_NOTHING);
    struct random random;
    random_seed(&random, 12);
    for (uint32_t round = 0; round < 3000; round++) {
        struct state it;
        state_init(&it);
        uint32_t bytes = 1 + (uint32_t)random_below(&random, 300);
        for (uint32_t i = 0; i < bytes; i++) {
            uint64_t kind = random_below(&random, 4);
            record[i] = kind == 0   ? (uint8_t)random_u64(&random)
                        : kind == 1 ? (uint8_t)(0x80 | random_u64(&random))
                                    : (uint8_t)random_below(&random, 4);
        }
        int err = apply(&it, record, bytes);
        cr_assert(err == 0 || err == ERR_CORRUPT);
        state_deinit(&it);
    }
}
