/*
 * tree_verify: finds trees that are wrong although every page of theirs is whole.
 */
#include "stores.h"

#include <string.h>

#include "store/branch.h"
#include "store/leaf.h"
#include "store/page.h"

enum { PAGE = STORE_PAGE_BYTES, KEYS = 3000 };

/* The only data file, and changes to its pages that keep their checksums right. */
struct forge {
    struct world *world;
    char path[WORLD_PATH_BYTES * 2];
    uint8_t *file;
    size_t bytes;
};

co_fn static void forge_begin(struct forge *forge, struct world *world)
{
    char(*keys)[16] = malloc(KEYS * 16);
    struct changes changes = {0};
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(keys[i], 16, "key%06u", i);
        changes_put(&changes, WORLD_SPACE, slice_cstr(keys[i]), slice_cstr("some value"));
    }
    MUST_BE(changes_commit(world, &changes), 0);
    changes_deinit(&changes);
    free(keys);
    world_verify(world);
    world_close(world);
    lines_catch();
    forge->world = world;
    world_path(world, "data-1.dat", forge->path);
    forge->file = file_load(forge->path, &forge->bytes);
}

/* The nth page of a kind. */
static uint8_t *forge_page(struct forge *forge, enum page_kind kind, uint32_t nth)
{
    for (uint8_t *page = forge->file; page < forge->file + forge->bytes; page += PAGE) {
        if (page_kind(page) == kind && nth-- == 0) {
            return page;
        }
    }
    MUST(false);
    return NULL;
}

static void forge_seal(struct forge *forge, uint8_t *page)
{
    uint32_t index = (uint32_t)((page - forge->file) / PAGE);
    page_seal(page, page_seed(forge->world->options.store_id, 3, file_pos_make(1, index)));
}

/* Opens what was forged: verify must say `text`. */
co_fn static void forge_end(struct forge *forge, const char *text)
{
    struct world *world = forge->world;
    file_save(forge->path, forge->file, forge->bytes);
    free(forge->file);
    MUST_BE(world_try_open(world, false), 0);
    struct store_report report;
    MUST_BE(partition_verify(world->partition, &report), ERR_CORRUPT);
    if (strstr(report.error, text) == NULL) {
        fprintf(stderr, "verify said: %s\n", report.error);
        abort();
    }
}

static int body_range(struct shard *shard, void *argument)
{
    (void)shard;
    struct forge forge;
    forge_begin(&forge, argument);
    uint8_t *leaf = forge_page(&forge, PAGE_KIND_LEAF, 5);
    MUST(page_prefix_bytes(leaf) > 0);
    leaf[PAGE_HEADER_BYTES] = 'z'; /* the first byte of all its keys */
    forge_seal(&forge, leaf);
    forge_end(&forge, "has a key above its range");
    return 0;
}

Test(tree_verify, finds_keys_above_their_leaf)
{
    world_test(body_range);
}

static int body_below(struct shard *shard, void *argument)
{
    (void)shard;
    struct forge forge;
    forge_begin(&forge, argument);
    uint8_t *leaf = forge_page(&forge, PAGE_KIND_LEAF, 5);
    leaf[PAGE_HEADER_BYTES] = 'a';
    forge_seal(&forge, leaf);
    forge_end(&forge, "has a key below its range");
    return 0;
}

Test(tree_verify, finds_keys_below_their_leaf)
{
    world_test(body_below);
}

/* The children's ids stand behind prefix, heads and slots (branch.h). */
static uint8_t *child_at(uint8_t *branch, uint32_t index)
{
    return branch + PAGE_HEADER_BYTES + page_prefix_bytes(branch) + 6 * page_keys(branch) +
           BRANCH_CHILD_BYTES * index;
}

static int body_twice(struct shard *shard, void *argument)
{
    (void)shard;
    struct forge forge;
    forge_begin(&forge, argument);
    uint8_t *branch = forge_page(&forge, PAGE_KIND_BRANCH, 0);
    MUST_BE(load_le32(child_at(branch, 3)), branch_child(branch, 3).value);
    memcpy(child_at(branch, 3), child_at(branch, 2), BRANCH_CHILD_BYTES);
    forge_seal(&forge, branch);
    forge_end(&forge, "is reached twice");
    return 0;
}

Test(tree_verify, finds_a_page_that_is_reached_twice)
{
    world_test(body_twice);
}

static int body_unmapped(struct shard *shard, void *argument)
{
    (void)shard;
    struct forge forge;
    forge_begin(&forge, argument);
    uint8_t *branch = forge_page(&forge, PAGE_KIND_BRANCH, 0);
    store_le32(child_at(branch, 3), 500000);
    forge_seal(&forge, branch);
    forge_end(&forge, "data is corrupt");
    MUST(lines_have("page 500000 of space 7 is in no data file"));
    return 0;
}

Test(tree_verify, finds_a_child_that_is_not_in_the_map)
{
    world_test(body_unmapped);
}

/* A leaf that has lost a record: whole, in order, and one key short. */
static int body_count(struct shard *shard, void *argument)
{
    (void)shard;
    struct forge forge;
    forge_begin(&forge, argument);
    uint8_t *leaf = forge_page(&forge, PAGE_KIND_LEAF, 5);
    uint8_t old[PAGE];
    memcpy(old, leaf, PAGE);
    struct keys_builder builder;
    struct page_key some = keys_get(old, 0);
    uint32_t count = leaf_count(old) - 1;
    MUST_BE(leaf_begin(&builder, leaf, WORLD_SPACE, count, page_prefix_bytes(old), &some), 0);
    for (uint32_t i = 0; i < count; i++) {
        struct page_key key = keys_get(old, i);
        struct leaf_entry entry;
        leaf_get(old, i, &entry);
        MUST_BE(leaf_add(&builder, &key, &entry), 0);
    }
    leaf_end(&builder);
    page_set_id(leaf, page_id(old));
    forge_seal(&forge, leaf);
    forge_end(&forge, "space 7 has 2999 keys, 0 extents; counted are 3000, 0");
    return 0;
}

Test(tree_verify, finds_a_count_that_is_wrong)
{
    world_test(body_count);
}

static int body_report(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 2000, 2, 61);
    model_commit(&model, world, 1500);
    struct store_report report = world_verify(world);
    uint64_t keys = 0;
    for (uint32_t i = 0; i < 2; i++) {
        keys += partition_count(world->partition, model_space(i));
    }
    MUST_BE(report.keys, keys);
    MUST(report.leaves > 10 && report.branches >= 2 && report.height_max >= 2);
    MUST(report.pages_live >= report.leaves + report.branches + report.extents);
    struct store_stats stats;
    store_stats(world->store, &stats);
    MUST_BE(stats.live_bytes, report.pages_live * STORE_PAGE_BYTES);
    model_deinit(&model);
    return 0;
}

Test(tree_verify, counts_what_there_is)
{
    world_test(body_report);
}
