/*
 * manifest: records of several parts, closing, rotation that fails. Damage is in
 * manifest_load_test.c, failing commits in partition_commit_test.c.
 */
#include "stores.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/manifest_format.h"

/* A manifest of its own beside the partition's, with a map and files made up. */
struct making {
    char dir[WORLD_PATH_BYTES];
    struct datafile_pool pool;
    struct datafiles files;
    struct mapper *mapper;
    struct manifest manifest;
    struct manifest_state state;
};

static void making_init(struct making *it, struct world *world)
{
    *it = (struct making){0};
    snprintf(it->dir, sizeof(it->dir), "%.200s/other", world->dir);
    MUST(mkdir(it->dir, 0755) == 0 || errno == EEXIST);
    datafile_pool_init(&it->pool, world->shard, 4);
    datafiles_init(&it->files, &it->pool, &world->options, it->dir);
    MUST_BE(mapper_create(&it->mapper), 0);
    manifest_init(&it->manifest, world->shard, &world->options, it->dir, 9);
    it->state = (struct manifest_state){.mapper = it->mapper, .files = &it->files};
}

co_fn static void making_deinit(struct making *it)
{
    manifest_close(&it->manifest, false, (struct lsn){0}, 0);
    mapper_destroy(it->mapper);
    datafiles_deinit(&it->files);
    mem_free(it->state.trees);
}

enum { PAGES = 150000 };

/* Where commit `number` puts page `i`: differences that need many bytes. */
static struct file_pos place(uint32_t number, uint32_t i)
{
    uint64_t mixed = (uint64_t)(i + 1) * UINT64_C(0x9e3779b97f4a7c15) + number;
    return file_pos_make(1 + (mixed >> 40) % 1000000, (uint32_t)(mixed & 0xfffff));
}

/* A commit of PAGES entries: several parts. */
co_fn static void commit_large(struct making *it, uint32_t number)
{
    struct mapper_change map = {0};
    MUST_BE(mapper_begin(it->mapper, it->manifest.sequence + 1, &map), 0);
    for (uint32_t i = 0; i < PAGES; i++) {
        MUST_BE(mapper_set(&map, (struct page_id){i}, place(number, i)), 0);
    }
    struct tree tree = {.space = 1, .height = 1, .root = {number}, .keys = number};
    struct manifest_change change = {
        .applied = {number}, .map = &map, .files = &it->files, .trees = &tree, .tree_count = 1};
    MUST_BE(manifest_append(&it->manifest, &change), 0);
    struct list retired;
    list_init(&retired);
    mapper_publish(&map, &retired);
    struct list_node *node;
    while ((node = list_pop_front(&retired)) != NULL) {
        struct retired *part = container_of(node, struct retired, node);
        part->release(part);
    }
}

/* Loads it into a fresh state: the number of the commit that it shows, or an error. */
co_fn static int load(struct world *world)
{
    struct making *it = malloc(sizeof(*it));
    making_init(it, world);
    int err = manifest_load(&it->manifest, 1, &it->state);
    if (err == 0) {
        err = (int)it->state.applied.value;
        MUST_BE(it->state.tree_count, err > 0);
        for (uint32_t i = 0; i < PAGES; i++) {
            struct file_pos pos = mapper_get(mapper_root(it->mapper), (struct page_id){i});
            MUST(pos.value == (err == 0 ? FILE_POS_NONE : place((uint32_t)err, i)).value);
        }
    }
    making_deinit(it);
    free(it);
    return err;
}

/* Where the records of the file begin. */
static uint32_t record_starts(const uint8_t *file, size_t bytes, size_t starts[], uint32_t max)
{
    uint32_t count = 0;
    for (size_t at = 0; at < bytes;) {
        MUST(count < max);
        starts[count++] = at;
        uint32_t body;
        memcpy(&body, file + at + 28, sizeof(body));
        at += manifest_record_bytes(body);
    }
    return count;
}

static int body_parts(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct making *it = malloc(sizeof(*it));
    making_init(it, world);
    MUST_BE(manifest_rotate(&it->manifest, &it->state), 0);
    MUST_BE(load(world), 0);
    commit_large(it, 1);
    MUST_BE(load(world), 1);
    commit_large(it, 2);
    MUST_BE(load(world), 2);
    char path[WORLD_PATH_BYTES * 2];
    snprintf(path, sizeof(path), "%s/manifest-1.man", it->dir);
    size_t bytes;
    uint8_t *whole = file_load(path, &bytes);
    size_t starts[64];
    uint32_t records = record_starts(whole, bytes, starts, 64);
    MUST(records >= 1 + 2 * 3); /* a snapshot and two commits of several parts */
    uint32_t second = 1 + (records - 1) / 2;
    lines_catch();
    for (uint32_t r = 1; r < records; r++) {
        uint8_t *damaged = malloc(bytes);
        memcpy(damaged, whole, bytes);
        damaged[starts[r] + 200] ^= 1;
        file_save(path, damaged, bytes);
        MUST_BE(load(world), r < second ? ERR_CORRUPT : 1);
        file_save(path, whole, starts[r] + 500);
        MUST_BE(load(world), r < second ? 0 : 1);
        file_save(path, whole, starts[r]);
        MUST_BE(load(world), r <= second - 1 ? 0 : 1);
        free(damaged);
    }
    file_save(path, whole, bytes);
    /* The state as a snapshot has several parts too. */
    it->state.trees = mem_calloc(1, sizeof(struct tree));
    it->state.trees[0] = (struct tree){.space = 1, .height = 1, .root = {2}, .keys = 2};
    it->state.tree_count = 1;
    it->state.applied.value = 2;
    MUST_BE(manifest_rotate(&it->manifest, &it->state), 0);
    snprintf(path, sizeof(path), "%s/manifest-2.man", it->dir);
    struct making *other = malloc(sizeof(*other));
    making_init(other, world);
    MUST_BE(manifest_load(&other->manifest, 2, &other->state), 0);
    MUST(other->state.applied.value == 2 && other->state.tree_count == 1);
    MUST(mapper_pages(other->mapper) == PAGES);
    MUST(other->manifest.sequence == it->manifest.sequence);
    making_deinit(other);
    free(other);
    free(whole);
    making_deinit(it);
    free(it);
    return 0;
}

Test(manifest, a_commit_of_several_parts_counts_whole_or_not_at_all)
{
    world_test(body_parts);
}

static int body_close(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(world_put(world, "a", "1"), 0);
    world_reopen(world);
    char path[WORLD_PATH_BYTES * 2];
    world_path(world, "manifest-1.man", path);
    size_t bytes;
    free(file_load(path, &bytes));
    MUST_BE(bytes, 3 * 4096); /* snapshot, commit, close */
    for (uint32_t i = 0; i < 5; i++) {
        world_reopen(world);
    }
    free(file_load(path, &bytes));
    MUST_BE(bytes, 3 * 4096);
    MUST_BE(world_put(world, "b", "2"), 0);
    world_reopen(world);
    free(file_load(path, &bytes));
    MUST_BE(bytes, 5 * 4096);
    MUST(world_holds(world, "a", "1") && world_holds(world, "b", "2"));
    return 0;
}

Test(manifest, closing_is_noted_once)
{
    world_test(body_close);
}

/* Writing it anew fails at every step in turn, while commits succeed all the same. */
static int body_rotate_fails(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    lines_catch();
    enum io_kind kinds[] = {IO_OPEN, IO_WRITE, IO_RENAME};
    uint32_t commits = 0;
    char key[16];
    for (uint32_t i = 0; i < 3; i++) {
        world_break(world, (struct fault){.kinds = 1u << kinds[i],
                                          .nth = 1,
                                          .sticky = true,
                                          .error = -ENOSPC,
                                          .path = ".tmp"});
        while (world->fault.failed < 3) {
            MUST(commits < 1000);
            snprintf(key, sizeof(key), "key%u", commits++);
            MUST_BE(world_put(world, key, key), 0);
        }
        world_heal(world);
    }
    MUST(lines_have("could not be written anew"));
    /* It was tried now and then, not with every commit. */
    MUST(commits > 100);
    MUST_BE(world->failures, 0);
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "key%u", commits++);
        MUST_BE(world_put(world, key, key), 0);
    }
    MUST(world_has_disposed(world, "manifest-1.man"));
    world_reopen(world);
    MUST_BE(partition_count(world->partition, WORLD_SPACE), commits);
    world_verify(world);
    return 0;
}

Test(manifest, one_that_cannot_be_written_anew_goes_on)
{
    world_test(body_rotate_fails);
}
