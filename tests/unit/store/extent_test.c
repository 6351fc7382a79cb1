/*
 * extent: large values in pieces, and damage to them.
 */
#include "stores.h"

#include <string.h>

#include "base/mem.h"
#include "store/extent.h"

co_fn static void put_value(struct world *world, uint32_t bytes, uint64_t seed)
{
    struct model_value value = {true, bytes, seed};
    uint8_t *data = model_bytes(&value);
    struct changes changes = {0};
    changes_put(&changes, WORLD_SPACE, slice_cstr("k"), slice_of(data, bytes));
    MUST_BE(changes_commit(world, &changes), 0);
    changes_deinit(&changes);
    free(data);
}

/* The first data file, where the first value stands at the beginning. */
static uint8_t *load_file(struct world *world, char path[], size_t *ret_bytes)
{
    world_path(world, "data-1.dat", path);
    return file_load(path, ret_bytes);
}

co_fn static int get_value(struct world *world, uint32_t bytes, uint64_t seed)
{
    struct store_found found;
    int err = store_get(world->partition, WORLD_SPACE, slice_cstr("k"), &found);
    if (err <= 0) {
        return err;
    }
    struct model_value value = {true, bytes, seed};
    uint8_t *data = model_bytes(&value);
    MUST(slice_equal(found.entry.value, slice_of(data, bytes)));
    /* The value may be taken over. */
    uint8_t *taken = found.extent;
    MUST(taken != NULL && found.frame == NULL);
    found.extent = NULL;
    store_found_release(world->partition, &found);
    MUST(taken[bytes - 1] == data[bytes - 1]);
    mem_free(taken);
    free(data);
    return err;
}

static int body_damage(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    enum { BYTES = 50000 };
    char path[WORLD_PATH_BYTES * 2];
    size_t bytes;
    put_value(world, BYTES, 9);
    uint8_t *file = load_file(world, path, &bytes);
    MUST_BE(get_value(world, BYTES, 9), 1);
    struct random random;
    random_seed(&random, 1);
    lines_catch();
    for (uint32_t i = 0; i < 200; i++) {
        uint64_t bit = random_below(&random, BYTES * 8);
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
        file_save(path, file, bytes);
        MUST_BE(get_value(world, BYTES, 9), ERR_CORRUPT);
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    MUST(lines_have("data-1.dat at offset 0: the checksum of an extent of 50000 bytes"));
    /* What stands behind the value's end is nobody's. */
    file[BYTES] ^= 1;
    file_save(path, file, bytes);
    MUST_BE(get_value(world, BYTES, 9), 1);
    /* A value is not another value, though whole: two pages change places. */
    uint8_t page[STORE_PAGE_BYTES];
    memcpy(page, file, sizeof(page));
    memcpy(file, file + sizeof(page), sizeof(page));
    memcpy(file + sizeof(page), page, sizeof(page));
    file_save(path, file, bytes);
    MUST_BE(get_value(world, BYTES, 9), ERR_CORRUPT);
    free(file);
    return 0;
}

Test(extent, a_flipped_bit_anywhere_in_the_value_is_found)
{
    world_test(body_damage);
}

static int body_large(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    const uint32_t sizes[] = {(1 << 20) - 1, 1 << 20, (4 << 20) + 1, (9 << 20) + 12345};
    for (uint32_t i = 0; i < 4; i++) {
        put_value(world, sizes[i], i + 20);
        MUST_BE(get_value(world, sizes[i], i + 20), 1);
        world_break(world, (struct fault){.kinds = 1 << IO_READ, .nth = 1, .error = -5});
        MUST_BE(get_value(world, sizes[i], i + 20), -5);
        world_heal(world);
    }
    return 0;
}

Test(extent, large_values_are_read_in_pieces)
{
    world_test(body_large);
}

static int body_bounds(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    char path[WORLD_PATH_BYTES * 2];
    size_t bytes;
    put_value(world, 10000, 3);
    free(load_file(world, path, &bytes));
    lines_catch();
    struct extent extents[] = {
        {.pos = file_pos_make(99, 0), .bytes = 10},
        {.pos = file_pos_make(1, 0), .bytes = 0},
        {.pos = file_pos_make(1, 0), .bytes = (uint64_t)STORE_VALUE_BYTES_MAX + 1},
        {.pos = file_pos_make(1, 0), .bytes = bytes + 1},
        {.pos = file_pos_make(1, 1), .bytes = bytes},
        {.pos = file_pos_make(1, FILE_POS_PAGES_MAX - 1), .bytes = 4096},
        {.pos = file_pos_make(1, 0), .bytes = UINT64_MAX},
    };
    uint8_t *value;
    for (uint32_t i = 0; i < sizeof(extents) / sizeof(extents[0]); i++) {
        lines_clear();
        MUST_BE(extent_read(world->partition, &extents[i], &value), ERR_CORRUPT);
        MUST(lines_have(i == 0 ? "not there" : "data-1.dat at offset "));
    }
    return 0;
}

Test(extent, one_that_cannot_be_is_refused_before_anything_is_allocated_for_it)
{
    world_test(body_bounds);
}
