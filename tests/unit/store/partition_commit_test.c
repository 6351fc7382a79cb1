/*
 * partition_commit: what is refused, what errors leave behind, what a commit costs and publishes.
 */
#include "stores.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

/* ---- refusals ---- */

co_fn static int commit_two(struct world *world, struct slice a, struct slice b)
{
    struct changes changes = {0};
    changes_put(&changes, WORLD_SPACE, a, slice_cstr("x"));
    changes_put(&changes, WORLD_SPACE, b, slice_cstr("y"));
    int err = changes_commit(world, &changes);
    changes_deinit(&changes);
    return err;
}

static int body_refused(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(world_put(world, "a", "old"), 0);
    struct slice a = slice_cstr("a");
    struct slice b = slice_cstr("b");
    MUST_BE(commit_two(world, b, a), ERR_UNSORTED);
    MUST_BE(commit_two(world, a, a), ERR_UNSORTED);

    static uint8_t long_key[STORE_KEY_BYTES_MAX + 1];
    memset(long_key, 'k', sizeof(long_key));
    MUST_BE(commit_two(world, a, slice_of(long_key, STORE_KEY_BYTES_MAX + 1)), ERR_KEY_TOO_LONG);

    struct changes changes = {0};
    changes_put(&changes, WORLD_SPACE, a, slice_cstr("x"));
    changes_put(&changes, WORLD_SPACE, b, slice_of(long_key, (size_t)STORE_VALUE_BYTES_MAX + 1));
    MUST_BE(changes_commit(world, &changes), ERR_VALUE_TOO_LARGE);

    changes_put(&changes, WORLD_SPACE + 1, a, slice_cstr("x"));
    changes_put(&changes, WORLD_SPACE, b, slice_cstr("x"));
    MUST_BE(changes_commit(world, &changes), ERR_UNSORTED);

    changes_put(&changes, WORLD_SPACE, a, slice_cstr("x"));
    struct store_batch batch = changes_batch(&changes);
    uint32_t drop[] = {WORLD_SPACE};
    batch.drop_spaces = drop;
    batch.drop_count = 1;
    MUST_BE(partition_commit(world->partition, &batch), ERR_UNSORTED);
    changes_deinit(&changes);

    MUST(world_holds(world, "a", "old") && world_holds(world, "b", NULL));
    MUST_BE(partition_applied(world->partition).value, 1);
    world_reopen(world);
    MUST(world_holds(world, "a", "old") && world_holds(world, "b", NULL));

    MUST_BE(commit_two(world, a, slice_of(long_key, STORE_KEY_BYTES_MAX)), 0);
    MUST_BE(world_verify(world).keys, 2);
    return 0;
}

Test(partition_commit, refuses_what_is_unsorted_repeated_too_long_or_too_large_and_changes_nothing)
{
    world_test(body_refused);
}

/* ---- values of all sizes ---- */

static int body_sizes(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    static const uint32_t SIZES[] = {
        0,     1,      100,    1780,   1785,    1786,          1787,     1788,  1792,
        4095,  4096,   4097,   8192,   16383,   16384,         16385,    65535, 65536,
        65537, 100000, 262144, 262145, 1 << 20, (1 << 20) + 1, 20 << 20,
    };
    enum { COUNT = sizeof(SIZES) / sizeof(SIZES[0]) };
    char keys[COUNT][8];
    struct changes changes = {0};
    struct model_value values[COUNT];
    uint8_t *bytes[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "v%04u", i);
        values[i] = (struct model_value){true, SIZES[i], i + 1};
        bytes[i] = model_bytes(&values[i]);
        changes_put(&changes, WORLD_SPACE, slice_cstr(keys[i]), slice_of(bytes[i], SIZES[i]));
    }
    MUST_BE(changes_commit(world, &changes), 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            struct store_found found;
            MUST_BE(store_get(world->partition, WORLD_SPACE, slice_cstr(keys[i]), &found), 1);
            MUST_BE(found.entry.value_bytes, SIZES[i]);
            MUST(slice_equal(found.entry.value, slice_of(bytes[i], SIZES[i])));
            store_found_release(world->partition, &found);
        }
        MUST_BE(world_verify(world).keys, COUNT);
        world_reopen(world);
    }
    /* Removing the large ones leaves no page of theirs live. */
    for (uint32_t i = 1; i < COUNT; i++) {
        changes_remove(&changes, WORLD_SPACE, slice_cstr(keys[i]));
    }
    MUST_BE(changes_commit(world, &changes), 0);
    struct store_report report = world_verify(world);
    MUST(report.extents == 0 && report.keys == 1 && report.pages_live == 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        free(bytes[i]);
    }
    changes_deinit(&changes);
    return 0;
}

Test(partition_commit, takes_values_of_all_sizes)
{
    world_test(body_sizes);
}

static void test_direct(shard_call_fn *body)
{
    struct world *world = malloc(sizeof(*world));
    world_init(world);
    world->options.direct = true;
    world_start(world);
    world_run(world, body, world);
    world_stop(world);
    world_deinit(world);
    free(world);
}

static int body_direct(struct shard *shard, void *argument)
{
    struct world *world = argument;
    int err = world_try_open(world, true);
    if (err == -EINVAL) {
        return 0; /* the file system has no O_DIRECT */
    }
    MUST_BE(err, 0);
    body_sizes(shard, world);
    struct model model;
    model_init(&model, 1000, 2, 5);
    for (uint32_t i = 0; i < 10; i++) {
        model_commit(&model, world, 300);
    }
    world_reopen(world);
    model_check(&model, world);
    model_deinit(&model);
    world_close(world);
    return 0;
}

Test(partition_commit, works_with_direct_io)
{
    test_direct(body_direct);
}

/* ---- only what changes is written ---- */

static struct store_stats stats_of(struct world *world)
{
    struct store_stats stats;
    store_stats(world->store, &stats);
    return stats;
}

co_fn static void put_many(struct world *world, uint32_t count)
{
    struct changes changes = {0};
    char(*keys)[16] = malloc((size_t)count * 16);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(keys[i], 16, "key%08u", i);
        changes_put(&changes, WORLD_SPACE, slice_cstr(keys[i]), slice_cstr("value"));
    }
    MUST_BE(changes_commit(world, &changes), 0);
    changes_deinit(&changes);
    free(keys);
}

static int body_one_key(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    put_many(world, 200000);
    /* A reader keeps the old version, so that what commits copy stays and can be counted. */
    struct store_cursor *cursor;
    struct store_cursor_options options = {.space = WORLD_SPACE};
    MUST_BE(store_cursor_open(world->partition, &options, &cursor), 0);
    struct store_stats before = stats_of(world);
    enum { COMMITS = 15 }; /* before the manifest is written anew */
    char key[16];
    for (uint32_t i = 0; i < COMMITS; i++) {
        snprintf(key, sizeof(key), "key%08u", i * 13003);
        MUST_BE(world_put(world, key, "other"), 0);
        struct store_stats after = stats_of(world);
        MUST_BE(after.page_writes - before.page_writes, i + 1);
        MUST_BE(after.manifest_bytes - before.manifest_bytes, (i + 1) * 4096);
    }
    /* Of the old version: each chunk, directory and root once. Later copies replace each other. */
    struct store_stats after = stats_of(world);
    MUST(after.mapping_bytes - before.mapping_bytes < COMMITS * 5000);
    store_cursor_close(cursor);
    MUST(stats_of(world).mapping_bytes <= before.mapping_bytes + 8192);
    world_verify(world);
    return 0;
}

Test(partition_commit, of_one_key_writes_one_page_and_copies_one_chunk_among_200000)
{
    world_test(body_one_key);
}

static int body_rotation(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    put_many(world, 20000);
    struct store_stats before = stats_of(world);
    struct random random;
    random_seed(&random, 4);
    enum { COMMITS = 2000 };
    char key[16];
    for (uint32_t i = 0; i < COMMITS; i++) {
        snprintf(key, sizeof(key), "key%08u", (uint32_t)random_below(&random, 20000));
        MUST_BE(world_put(world, key, "other"), 0);
    }
    struct store_stats after = stats_of(world);
    MUST(after.manifest_bytes - before.manifest_bytes < COMMITS * 4096 * 3 / 2);
    char names[64][64];
    MUST_BE(world_list(world, "manifest-", names, 64), 1);
    MUST(strcmp(names[0], "manifest-1.man") != 0);
    world_reopen(world);
    MUST_BE(partition_count(world->partition, WORLD_SPACE), 20000);
    world_verify(world);
    return 0;
}

Test(partition_commit, writes_manifests_in_proportion_to_what_changes)
{
    world_test(body_rotation);
}

static int body_empty(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(world_put(world, "a", "1"), 0);
    struct store_stats before = stats_of(world);
    struct store_batch batch = {.applied_lsn = {77}};
    MUST_BE(partition_commit(world->partition, &batch), 0);
    MUST_BE(partition_applied(world->partition).value, 77);
    MUST_BE(partition_commit(world->partition, &batch), 0);
    struct store_stats after = stats_of(world);
    MUST_BE(after.page_writes, before.page_writes);
    MUST_BE(after.manifest_bytes - before.manifest_bytes, 4096);
    world_reopen(world);
    MUST_BE(partition_applied(world->partition).value, 77);
    MUST(world_holds(world, "a", "1"));
    return 0;
}

Test(partition_commit, of_nothing_but_an_lsn_is_one_manifest_record)
{
    world_test(body_empty);
}

/* ---- faults ---- */

enum { MODEL_KEYS = 400 };

/* One commit whose nth operation of a kind fails. The model keeps the old state; returns the
 * commit's result. */
co_fn static int broken_commit(struct world *world, struct model *model, struct fault fault)
{
    struct changes changes = {0};
    uint8_t *value = calloc(1, 30000);
    for (uint32_t k = 0; k < model->key_count; k += 3) {
        uint32_t bytes = k % 10 == 0 ? 30000 : 500;
        changes_put(&changes, 0, model->keys[k], slice_of(value, bytes));
    }
    world_break(world, fault);
    int err = changes_commit(world, &changes);
    changes_deinit(&changes);
    free(value);
    return err;
}

/* Each operation of a commit fails in turn, until one commit needs fewer than n: then it succeeds.
 */
co_fn static void fail_each(struct world *world, enum io_kind kind, int error, bool sticky)
{
    struct model model;
    model_init(&model, MODEL_KEYS, 1, 9);
    for (uint32_t i = 0; i < 3; i++) {
        model_commit(&model, world, 300);
    }
    bool done = false;
    for (uint32_t nth = 1; !done; nth++) {
        MUST(nth < 1000);
        world_reopen(world); /* cold: the commit has to read */
        struct fault fault = {.kinds = 1u << kind, .nth = nth, .error = error, .sticky = sticky};
        int err = broken_commit(world, &model, fault);
        done = world->fault.failed == 0;
        world_heal(world);
        MUST_BE(err, done ? 0 : error);
        if (!done) {
            model_check(&model, world);
            world_verify(world);
            model_commit(&model, world, 50); /* and it goes on */
            model_check(&model, world);
            world_verify(world);
        }
    }
    MUST_BE(world->failures, 0);
    world_verify(world);
    model_deinit(&model);
}

static int body_writes_fail(struct shard *shard, void *argument)
{
    (void)shard;
    fail_each(argument, IO_WRITE, -ENOSPC, false);
    return 0;
}

Test(partition_commit, any_failed_write_leaves_the_old_state)
{
    world_test(body_writes_fail);
}

static int body_disk_full(struct shard *shard, void *argument)
{
    (void)shard;
    fail_each(argument, IO_WRITE, -ENOSPC, true);
    return 0;
}

Test(partition_commit, a_full_disk_leaves_the_old_state_until_there_is_room)
{
    world_test(body_disk_full);
}

static int body_reads_fail(struct shard *shard, void *argument)
{
    (void)shard;
    fail_each(argument, IO_READ, -EIO, false);
    return 0;
}

Test(partition_commit, any_failed_read_leaves_the_old_state)
{
    world_test(body_reads_fail);
}

static int body_opens_fail(struct shard *shard, void *argument)
{
    (void)shard;
    fail_each(argument, IO_OPEN, -EMFILE, false);
    return 0;
}

Test(partition_commit, any_failed_open_leaves_the_old_state)
{
    world_test(body_opens_fail);
}

/* The manifest's write fails although the record did reach the file: what it names must survive
 * until a new manifest is in force, for a crash would bring it to light. */
static int body_in_doubt(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(world_put(world, "a", "old"), 0);
    world_reopen(world);
    uint32_t disposed = world->disposed_count;
    world_break(
        world, (struct fault){
                   .kinds = 1 << IO_WRITE, .nth = 1, .error = -EIO, .lands = true, .path = ".man"});
    MUST_BE(world_put(world, "a", "new"), -EIO);
    world_heal(world);
    MUST(world_holds(world, "a", "old"));
    MUST_BE(world->disposed_count, disposed);

    char copy[WORLD_PATH_BYTES];
    world_copy(world, copy);
    MUST_BE(world_put(world, "b", "later"), 0);
    MUST(world_has_disposed(world, "manifest-1.man"));
    MUST(world->disposed_count >= disposed + 2);
    MUST(world_holds(world, "a", "old") && world_holds(world, "b", "later"));
    world_verify(world);
    world_close(world);

    /* The crash in between: the commit is there, whole. */
    char dir[WORLD_PATH_BYTES];
    snprintf(dir, sizeof(dir), "%s", world->dir);
    tree_remove(dir);
    MUST_BE(rename(copy, dir), 0);
    MUST_BE(world_try_open(world, false), 0);
    MUST(world_holds(world, "a", "new") && world_holds(world, "b", NULL));
    world_verify(world);
    return 0;
}

Test(partition_commit, a_record_in_doubt_keeps_its_files_until_a_new_manifest)
{
    world_test(body_in_doubt);
}

/* Each sync of a commit fails in turn. Nothing is acknowledged, the failure is told once, and no
 * further commit is taken; what was there can be read. */
static int body_syncs_fail(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, MODEL_KEYS, 1, 9);
    model_commit(&model, world, 300);
    enum io_kind kinds[] = {IO_SYNC_DATA, IO_SYNC_ALL};
    uint32_t failures = 0;
    for (uint32_t i = 0; i < 2; i++) {
        bool done = false;
        for (uint32_t nth = 1; !done; nth++) {
            MUST(nth < 100);
            world_reopen(world);
            char copy[WORLD_PATH_BYTES];
            world_copy(world, copy); /* the state before: a failed sync leaves the files in doubt */
            struct fault fault = {.kinds = 1u << kinds[i], .nth = nth, .error = -EIO};
            int err = broken_commit(world, &model, fault);
            done = world->fault.failed == 0;
            world_heal(world);
            MUST_BE(err, done ? 0 : -EIO);
            if (!done) {
                MUST_BE(world->failures, ++failures);
                MUST_BE(world->failure, -EIO);
                model_check(&model, world);
                MUST_BE(world_put(world, "a", "b"), ERR_CLOSED);
                MUST_BE(world->failures, failures);
            }
            world_close(world);
            tree_remove(world->dir);
            MUST_BE(rename(copy, world->dir), 0);
            MUST_BE(world_try_open(world, false), 0);
        }
    }
    MUST(failures >= 3); /* data, directory, manifest */
    model_check(&model, world);
    model_deinit(&model);
    return 0;
}

Test(partition_commit, a_failed_sync_is_told_and_ends_commits)
{
    world_test(body_syncs_fail);
}

/* The nth allocation of a commit fails: then it was refused, or could do without. */
static int body_no_memory(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    put_many(world, 3000);
    MUST_BE(world_put(world, "key00001500", "0"), 0);
    char before[16] = "0";
    char after[16];
    uint32_t refused = 0;
    for (uint32_t nth = 1; nth < 60; nth++) {
        world_reopen(world);
        snprintf(after, sizeof(after), "%u", nth);
        struct changes changes = {0};
        changes_put(&changes, WORLD_SPACE, slice_cstr("key00001500"), slice_cstr(after));
        mem_fail_after(nth, false);
        int err = changes_commit(world, &changes);
        mem_fail_after(0, false);
        changes_deinit(&changes);
        MUST(err == 0 || err == ERR_MEMORY);
        refused += err != 0;
        MUST(world_holds(world, "key00001500", err == 0 ? after : before));
        world_verify(world);
        if (err == 0) {
            memcpy(before, after, sizeof(before));
        }
    }
    MUST(refused > 5);
    MUST_BE(world->failures, 0);
    return 0;
}

Test(partition_commit, without_memory_it_is_refused_and_nothing_has_changed)
{
    world_test(body_no_memory);
}

/* ---- several at once ---- */

struct committer {
    struct world *world;
    struct co_group *group;
    const char *key;
    int result;
};

static void committer_main(void *argument)
{
    struct committer *committer = argument;
    committer->result = world_put(committer->world, committer->key, committer->key);
    co_group_done(committer->group);
}

static int body_queue(struct shard *shard, void *argument)
{
    struct world *world = argument;
    const char *keys[] = {"a", "b", "c", "d", "e", "f"};
    enum { COUNT = sizeof(keys) / sizeof(keys[0]) };
    struct committer committers[COUNT];
    struct co_group group;
    co_group_init(&group);
    co_group_add(&group, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        committers[i] = (struct committer){world, &group, keys[i], 1};
        MUST_BE(coro_start(shard_sched(shard), "committer", CORO_NORMAL, committer_main,
                           &committers[i]),
                0);
    }
    co_group_wait(&group);
    for (uint32_t i = 0; i < COUNT; i++) {
        MUST_BE(committers[i].result, 0);
        MUST(world_holds(world, keys[i], keys[i]));
    }
    world_verify(world);
    return 0;
}

Test(partition_commit, commits_of_one_partition_wait_for_each_other)
{
    world_test(body_queue);
}
