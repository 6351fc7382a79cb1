/*
 * tree_page: damaged data files. A damaged page is never served, and costs only the keys that need
 * it.
 */
#include "stores.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"

enum { PAGE = STORE_PAGE_BYTES };

struct tally {
    uint32_t right, corrupt, failed;
};

/* Looks every key up: the right value, or ERR_CORRUPT, or -EIO; never anything else. */
co_fn static struct tally look_up_all(struct model *model, struct world *world)
{
    struct tally tally = {0};
    for (uint32_t k = 0; k < model->key_count; k++) {
        bool present = model_at(model, 0, k)->present;
        struct store_found found;
        int err = store_get(world->partition, 0, model->keys[k], &found);
        tally.corrupt += err == ERR_CORRUPT;
        tally.failed += err == -EIO;
        if (err >= 0) {
            MUST_BE(err, present);
            tally.right++;
        } else {
            MUST(err == ERR_CORRUPT || err == -EIO);
        }
        if (err > 0) {
            model_compare(model, 0, k, &found.entry, true);
            store_found_release(world->partition, &found);
        }
    }
    return tally;
}

typedef void damage_fn(uint8_t *file, uint32_t pages, uint32_t page, struct random *random);

static void flip_bit(uint8_t *file, uint32_t pages, uint32_t page, struct random *random)
{
    (void)pages;
    uint64_t bit = random_below(random, PAGE * 8);
    file[page * PAGE + bit / 8] ^= (uint8_t)(1 << bit % 8);
}

static void zero(uint8_t *file, uint32_t pages, uint32_t page, struct random *random)
{
    (void)pages;
    (void)random;
    memset(file + page * PAGE, 0, PAGE);
}

static void ones(uint8_t *file, uint32_t pages, uint32_t page, struct random *random)
{
    (void)pages;
    (void)random;
    memset(file + page * PAGE, 0xff, PAGE);
}

static void half_old(uint8_t *file, uint32_t pages, uint32_t page, struct random *random)
{
    (void)pages;
    (void)random;
    memset(file + page * PAGE + PAGE / 2, 0, PAGE / 2);
}

static void swap_pages(uint8_t *file, uint32_t pages, uint32_t page, struct random *random)
{
    uint8_t memory[PAGE];
    uint8_t *a = file + page * PAGE;
    uint8_t *b = file + (page + 1 + random_below(random, pages - 1)) % pages * PAGE;
    memcpy(memory, a, PAGE);
    memcpy(a, b, PAGE);
    memcpy(b, memory, PAGE);
}

static void copy_over(uint8_t *file, uint32_t pages, uint32_t page, struct random *random)
{
    uint64_t other = (page + 1 + random_below(random, pages - 1)) % pages;
    memcpy(file + page * PAGE, file + other * PAGE, PAGE);
}

static damage_fn *const DAMAGES[] = {flip_bit, zero, ones, half_old, swap_pages, copy_over};
enum { DAMAGE_COUNT = sizeof(DAMAGES) / sizeof(DAMAGES[0]) };

/* One data file with everything; its name. */
co_fn static void fill_one_file(struct model *model, struct world *world, char path[])
{
    model_init(model, 300, 1, 41);
    model->value_bytes_max = 9000;
    model_commit(model, world, 300);
    model_commit(model, world, 300);
    world_close(world);
    char names[4][64];
    MUST_BE(world_list(world, "data-", names, 4), 1);
    world_path(world, names[0], path);
}

static int body_sweep(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    char path[WORLD_PATH_BYTES * 2];
    fill_one_file(&model, world, path);
    size_t bytes;
    uint8_t *whole = file_load(path, &bytes);
    uint8_t *damaged = malloc(bytes);
    uint32_t pages = (uint32_t)(bytes / PAGE);
    uint32_t harmless = 0; /* the page is of the first commit and dead */
    lines_catch();
    for (uint32_t page = 0; page < pages; page++) {
        damage_fn *damage = DAMAGES[page % DAMAGE_COUNT];
        memcpy(damaged, whole, bytes);
        damage(damaged, pages, page, &model.random);
        file_save(path, damaged, bytes);
        lines_clear();
        MUST_BE(world_try_open(world, false), 0);
        struct tally tally = look_up_all(&model, world);
        struct store_report report;
        int verified = partition_verify(world->partition, &report);
        if (tally.corrupt == 0 && verified == 0) {
            harmless++;
        } else {
            MUST_BE(verified, ERR_CORRUPT);
            MUST(report.error[0] != 0);
            MUST(lines_have("data-1.dat at offset "));
        }
        MUST_BE(tally.failed, 0);
        world_close(world);
    }
    MUST(harmless < pages * 2 / 3);
    free(damaged);
    file_save(path, whole, bytes);
    free(whole);
    MUST_BE(world_try_open(world, false), 0);
    model_check(&model, world);
    model_deinit(&model);
    return 0;
}

Test(tree_page, no_damage_to_any_page_is_ever_served)
{
    world_test(body_sweep);
}

/* Damage to a leaf in a tree of several hundred leaves. */
static int body_others(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    enum { KEYS = 5000 };
    char(*keys)[16] = malloc(KEYS * 16);
    static uint8_t value[100];
    struct changes changes = {0};
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(keys[i], 16, "key%06u", i);
        changes_put(&changes, WORLD_SPACE, slice_cstr(keys[i]), slice_of(value, 100));
    }
    MUST_BE(changes_commit(world, &changes), 0);
    world_close(world);
    char path[WORLD_PATH_BYTES * 2];
    world_path(world, "data-1.dat", path);
    size_t bytes;
    uint8_t *file = file_load(path, &bytes);
    file[20 * PAGE + 3000] ^= 1; /* a leaf: branches come last in a load */
    file_save(path, file, bytes);
    free(file);
    lines_catch();
    MUST_BE(world_try_open(world, false), 0);
    uint32_t corrupt = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        struct store_found found;
        int err = store_get(world->partition, WORLD_SPACE, slice_cstr(keys[i]), &found);
        if (err > 0) {
            store_found_release(world->partition, &found);
        } else {
            MUST_BE(err, ERR_CORRUPT);
            corrupt++;
        }
    }
    MUST(corrupt > 0 && corrupt < 60);
    MUST(lines_have("data-1.dat at offset 81920"));
    /* A commit that needs the leaf is refused, others work. */
    MUST_BE(world_put(world, "key999999", "x"), 0);
    struct store_cursor *cursor;
    struct store_cursor_options options = {.space = WORLD_SPACE};
    struct store_entry entry;
    MUST_BE(store_cursor_open(world->partition, &options, &cursor), 0);
    int err = 1;
    while (err > 0) {
        err = store_cursor_next(cursor, &entry);
    }
    MUST_BE(err, ERR_CORRUPT);
    store_cursor_close(cursor);
    changes_deinit(&changes);
    free(keys);
    return 0;
}

Test(tree_page, a_damaged_leaf_costs_only_its_own_keys)
{
    world_test(body_others);
}

static int body_files(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    char path[WORLD_PATH_BYTES * 2];
    fill_one_file(&model, world, path);
    size_t bytes;
    uint8_t *whole = file_load(path, &bytes);
    lines_catch();

    MUST_BE(unlink(path), 0);
    MUST_BE(world_try_open(world, false), ERR_CORRUPT);
    MUST(lines_have("data-1.dat at offset 0: data file is missing"));

    lines_clear();
    file_save(path, whole, bytes - PAGE);
    MUST_BE(world_try_open(world, false), ERR_CORRUPT);
    MUST(lines_have("data-1.dat at offset ") && lines_have("ends early"));

    lines_clear();
    file_save(path, whole, bytes - 1);
    MUST_BE(world_try_open(world, false), ERR_CORRUPT);
    MUST(lines_have("ends early"));

    file_save(path, whole, bytes);
    MUST_BE(world_try_open(world, false), 0);
    model_check(&model, world);
    free(whole);
    model_deinit(&model);
    return 0;
}

Test(tree_page, a_missing_or_short_data_file_is_named)
{
    world_test(body_files);
}

/* Each page read fails once; then everything can be read. */
static int body_unreadable(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 300, 1, 42);
    model_commit(&model, world, 300);
    world_reopen(world);
    world_break(world,
                (struct fault){.kinds = 1 << IO_READ, .nth = 1, .error = -EIO, .sticky = true});
    struct tally tally = look_up_all(&model, world);
    MUST_BE(tally.failed, model.key_count);
    world_heal(world);
    tally = look_up_all(&model, world);
    MUST_BE(tally.right, model.key_count);
    model_deinit(&model);
    return 0;
}

Test(tree_page, an_unreadable_page_is_an_error_until_it_can_be_read)
{
    world_test(body_unreadable);
}
