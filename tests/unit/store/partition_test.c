/*
 * partition: opening, closing, and the whole against a model.
 */
#include "stores.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int body_fresh(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(partition_applied(world->partition).value, 0);
    MUST_BE(partition_count(world->partition, WORLD_SPACE), 0);
    MUST(world_holds(world, "a", NULL));
    MUST_BE(world_verify(world).keys, 0);
    return 0;
}

Test(partition, a_fresh_one_is_empty)
{
    world_test(body_fresh);
}

static int body_put_get(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(world_put(world, "b", "two"), 0);
    MUST_BE(world_put(world, "a", "one"), 0);
    MUST(world_holds(world, "a", "one") && world_holds(world, "b", "two"));
    MUST(world_holds(world, "c", NULL));
    MUST_BE(partition_applied(world->partition).value, 2);
    world_reopen(world);
    MUST_BE(partition_applied(world->partition).value, 2);
    MUST(world_holds(world, "a", "one") && world_holds(world, "b", "two"));
    MUST_BE(world_remove(world, "a"), 0);
    MUST(world_holds(world, "a", NULL));
    MUST_BE(partition_count(world->partition, WORLD_SPACE), 1);
    MUST_BE(world_remove(world, "b"), 0);
    MUST_BE(partition_count(world->partition, WORLD_SPACE), 0);
    MUST_BE(world_verify(world).leaves, 0);
    world_reopen(world);
    MUST(world_holds(world, "a", NULL) && world_holds(world, "b", NULL));
    return 0;
}

Test(partition, keeps_what_was_committed_over_a_reopening)
{
    world_test(body_put_get);
}

static int body_model(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 3000, 3, 1);
    for (uint32_t round = 0; round < 60; round++) {
        model_commit(&model, world, 1 + (uint32_t)random_below(&model.random, 400));
        if (round % 10 == 9) {
            world_reopen(world);
            world_verify(world);
            model_check(&model, world);
        }
    }
    model_deinit(&model);
    return 0;
}

Test(partition, agrees_with_a_model_over_random_batches_and_reopenings)
{
    world_test(body_model);
}

static int body_many(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 1500, 2, 2);
    model.value_bytes_max = 100000;
    for (uint32_t round = 1; round <= 2000; round++) {
        model_commit(&model, world, 1 + (uint32_t)random_below(&model.random, 12));
        if (round % 200 == 0) {
            world_reopen(world);
            world_verify(world);
            model_check(&model, world);
        }
    }
    model_deinit(&model);
    return 0;
}

Test(partition, agrees_with_a_model_over_thousands_of_small_batches, .timeout = 250)
{
    world_test(body_many);
}

/* ---- files ---- */

/* Puts and replaces one large value, so that whole files die. */
co_fn static void put_large(struct world *world, const char *key, uint8_t fill)
{
    enum { BYTES = 700 * 1024 };
    uint8_t *value = malloc(BYTES);
    memset(value, fill, BYTES);
    struct changes changes = {0};
    changes_put(&changes, WORLD_SPACE, slice_cstr(key), slice_of(value, BYTES));
    MUST_BE(changes_commit(world, &changes), 0);
    changes_deinit(&changes);
    free(value);
}

static int body_dispose(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    world->unlink_disposed = false;
    put_large(world, "a", 1);
    put_large(world, "b", 1); /* data-1 is full now, the last leaf is in data-2 */
    struct store_cursor *cursor;
    struct store_cursor_options options = {.space = WORLD_SPACE, .values = true};
    struct store_entry entry;
    MUST_BE(store_cursor_open(world->partition, &options, &cursor), 0);
    for (uint8_t fill = 2; fill < 8; fill++) {
        put_large(world, "a", fill);
        put_large(world, "b", fill);
    }
    MUST(!world_has_disposed(world, "data-1.dat"));
    MUST(!world_has_disposed(world, "data-2.dat"));
    MUST(world_has_disposed(world, "data-3.dat")); /* made and dead since: nobody needs it */
    for (uint32_t i = 0; i < 2; i++) {
        MUST_BE(store_cursor_next(cursor, &entry), 1);
        MUST(entry.value.bytes == 700 * 1024 && entry.value.data[0] == 1);
    }
    uint32_t disposed = world->disposed_count;
    store_cursor_close(cursor);
    /* Their descriptors may have to be closed first, which takes some passes. */
    for (uint32_t i = 0; i < 100 && world->disposed_count < disposed + 2; i++) {
        MUST_BE(world_put(world, "c", i % 2 == 0 ? "even" : "odd"), 0);
    }
    MUST(world_has_disposed(world, "data-1.dat") && world_has_disposed(world, "data-2.dat"));
    world_verify(world);
    world_reopen(world);
    world_verify(world);
    return 0;
}

Test(partition, a_file_is_disposed_of_when_no_version_needs_it)
{
    world_test(body_dispose);
}

static int body_leftovers(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(world_put(world, "a", "1"), 0);
    world_close(world);
    const char *left[] = {"data-2.dat", "data-17.dat", "manifest-2.tmp"};
    const char *foreign[] = {"data-x.dat", "data-01.dat", "readme", "data-99999999999999.dat"};
    char path[WORLD_PATH_BYTES * 2];
    for (uint32_t i = 0; i < 3; i++) {
        world_path(world, left[i], path);
        file_save(path, (const uint8_t *)"left over", 9);
    }
    for (uint32_t i = 0; i < 4; i++) {
        world_path(world, foreign[i], path);
        file_save(path, (const uint8_t *)"not ours", 8);
    }
    lines_catch();
    MUST_BE(world_try_open(world, false), 0);
    for (uint32_t i = 0; i < 3; i++) {
        MUST(world_has_disposed(world, left[i]));
    }
    MUST_BE(world->disposed_count, 3);
    for (uint32_t i = 0; i < 4; i++) {
        MUST(lines_have(foreign[i]));
    }
    /* Their removal may still be under way: their numbers are not used again. */
    MUST_BE(world_put(world, "b", "2"), 0);
    char names[8][64];
    MUST_BE(world_list(world, "data-18.dat", names, 8), 1);
    world_reopen(world);
    MUST(world_holds(world, "a", "1") && world_holds(world, "b", "2"));
    return 0;
}

Test(partition, left_over_files_of_a_crash_are_disposed_of_and_others_left_alone)
{
    world_test(body_leftovers);
}

/* The directory as a crash would leave it after every commit. */
static int body_crashes(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 500, 2, 77);
    for (uint32_t i = 0; i < 25; i++) {
        model_commit(&model, world, 200);
        char copy[WORLD_PATH_BYTES];
        world_copy(world, copy);
        uint64_t applied = partition_applied(world->partition).value;
        world_close(world);
        tree_remove(world->dir);
        MUST_BE(rename(copy, world->dir), 0);
        MUST_BE(world_try_open(world, false), 0);
        MUST_BE(partition_applied(world->partition).value, applied);
        world_verify(world);
    }
    model_check(&model, world);
    model_deinit(&model);
    return 0;
}

Test(partition, a_crash_after_a_commit_loses_nothing)
{
    world_test(body_crashes);
}

static int body_create(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    world_close(world);
    struct partition *other;
    lines_catch();
    MUST_BE(partition_open(world->store, 5, false, &other), ERR_CORRUPT);
    MUST(lines_have("p0005"));
    /* A crash while it was made: a directory, maybe with an unfinished manifest. */
    char path[WORLD_PATH_BYTES * 2];
    snprintf(path, sizeof(path), "%s/p0005", world->dir);
    MUST_BE(mkdir(path, 0755), 0);
    MUST_BE(partition_open(world->store, 5, false, &other), ERR_CORRUPT);
    MUST(lines_have("has no manifest"));
    snprintf(path, sizeof(path), "%s/p0005/manifest-1.tmp", world->dir);
    file_save(path, (const uint8_t *)"half", 4);
    MUST_BE(partition_open(world->store, 5, true, &other), 0);
    MUST_BE(partition_number(other), 5);
    partition_close(other);
    MUST_BE(partition_open(world->store, 5, false, &other), 0);
    partition_close(other);
    return 0;
}

Test(partition, only_one_that_may_be_absent_is_created)
{
    world_test(body_create);
}

static int body_create_fails(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    world_close(world);
    lines_catch();
    enum io_kind kinds[] = {IO_MKDIR, IO_OPEN, IO_WRITE, IO_RENAME, IO_SYNC_ALL};
    struct partition *other;
    uint32_t number = 10;
    for (uint32_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (uint32_t nth = 1;; nth++, number++) {
            MUST(nth < 20);
            world_break(world, (struct fault){.kinds = 1u << kinds[i], .nth = nth, .error = -EIO});
            int err = partition_open(world->store, number, true, &other);
            bool failed = world->fault.failed > 0;
            world_heal(world);
            MUST_BE(err, failed ? -EIO : 0);
            if (failed) { /* whatever is there is no obstacle */
                MUST_BE(partition_open(world->store, number, true, &other), 0);
            }
            partition_close(other);
            MUST_BE(partition_open(world->store, number, false, &other), 0);
            partition_close(other);
            if (!failed) {
                break;
            }
        }
        number++;
    }
    return 0;
}

Test(partition, any_failure_while_creating_can_be_followed_by_another_try)
{
    world_test(body_create_fails);
}

/* ---- closing ---- */

struct closer {
    struct world *world;
    struct co_group *group;
    bool closed;
};

static void closer_main(void *argument)
{
    struct closer *closer = argument;
    world_close(closer->world);
    closer->closed = true;
    co_group_done(closer->group);
}

static int body_close_waits(struct shard *shard, void *argument)
{
    struct world *world = argument;
    MUST_BE(world_put(world, "a", "1"), 0);
    struct store_cursor *cursor;
    struct store_cursor_options options = {.space = WORLD_SPACE};
    MUST_BE(store_cursor_open(world->partition, &options, &cursor), 0);
    struct co_group group;
    co_group_init(&group);
    co_group_add(&group, 1);
    struct closer closer = {.world = world, .group = &group};
    MUST_BE(coro_start(shard_sched(shard), "closer", CORO_NORMAL, closer_main, &closer), 0);
    for (uint32_t i = 0; i < 50; i++) {
        co_yield ();
    }
    MUST(!closer.closed);
    struct store_entry entry;
    MUST_BE(store_cursor_next(cursor, &entry), 1);
    store_cursor_close(cursor);
    co_group_wait(&group);
    MUST(closer.closed);
    return 0;
}

Test(partition, closing_waits_for_readers)
{
    world_test(body_close_waits);
}

static int body_close_result(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    for (uint32_t i = 0; i < 2; i++) { /* with a new closing record, and with the old one */
        MUST(partition_close(world->partition));
        world->partition = NULL;
        MUST_BE(world_try_open(world, false), 0);
    }
    lines_catch();
    MUST_BE(world_put(world, "a", "1"), 0);
    world_break(world, (struct fault){.kinds = 1u << IO_WRITE, .nth = 1, .error = -ENOSPC});
    MUST(!partition_close(world->partition));
    world->partition = NULL;
    MUST_BE(world->fault.failed, 1);
    world_heal(world);
    MUST(lines_have("no closing record"));
    MUST_BE(world->failures, 0);
    MUST_BE(world_try_open(world, false), 0);
    MUST(world_holds(world, "a", "1"));
    world_break(world, (struct fault){.kinds = 1u << IO_SYNC_DATA, .nth = 1, .error = -EIO});
    MUST_BE(world_put(world, "b", "2"), -EIO);
    world_heal(world);
    MUST_BE(world->failures, 1);
    MUST(!partition_close(world->partition));
    world->partition = NULL;
    return 0;
}

Test(partition, closing_tells_whether_the_manifest_ends_with_a_closing_record)
{
    world_test(body_close_result);
}

/* A process that was killed leaves what it wrote in the page cache. */
static int body_open_syncs(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    lines_catch();
    MUST_BE(world_put(world, "key", "value"), 0);
    world_close(world);
    static const enum io_kind kinds[] = {IO_SYNC_DATA, IO_SYNC_ALL};
    for (uint32_t i = 0; i < 2; i++) {
        world_break(world, (struct fault){.kinds = 1u << kinds[i], .nth = 1, .error = -EIO});
        MUST_BE(world_try_open(world, false), -EIO);
        world_break(world, (struct fault){.kinds = 1u << kinds[i], .nth = 2, .error = -EIO});
        MUST_BE(world_try_open(world, false), 0);
        MUST_BE(world->fault.failed, 0);
        world_heal(world);
        world_close(world);
    }
    MUST_BE(world->failures, 1);
    /* After a failed sync the kernel may have it in memory only, where no sync finds it. */
    world_break(world, (struct fault){.kinds = 1u << IO_WRITE, .nth = 1, .error = -EIO});
    MUST_BE(world_try_open(world, false), -EIO);
    world_heal(world);
    MUST_BE(world->failures, 1);
    world_open(world);
    return 0;
}

Test(partition, what_it_was_opened_with_is_durable)
{
    world_test(body_open_syncs);
}

/* ---- after an orderly end ---- */

/* Takes the last `bytes` bytes from the manifest, or flips a bit of the first of them. */
static void damage_end(const struct world *world, size_t count, bool flip)
{
    char path[WORLD_PATH_BYTES * 2];
    size_t bytes;
    world_path(world, "manifest-1.man", path);
    uint8_t *data = file_load(path, &bytes);
    MUST(count < bytes);
    data[bytes - count] ^= flip;
    file_save(path, data, flip ? bytes : bytes - count);
    free(data);
}

/* Snapshot, a commit, and a closing record, each of one page. */
static int body_make_closed(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(world_try_open(world, true), 0);
    MUST_BE(world_put(world, "a", "1"), 0);
    world_close(world);
    return 0;
}

static int body_open_whole(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(world_try_open(world, false), 0);
    MUST(world_holds(world, "a", "1"));
    world_close(world);
    return 0;
}

static int body_open_refused(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    lines_catch();
    MUST_BE(world_try_open(world, false), ERR_CORRUPT);
    MUST(lines_have("manifest-1.man at offset 8192") && lines_have("closing record"));
    return 0;
}

static int body_open_cut(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    lines_catch();
    MUST_BE(world_try_open(world, false), ERR_CORRUPT);
    MUST(lines_have("manifest-1.man at offset 4096") && lines_have("closing record"));
    return 0;
}

static void start_again(struct world *world, bool ended)
{
    world_stop(world);
    world->options.ended = ended;
    world_start(world);
}

static void test_closed(size_t count, bool flip, shard_call_fn *after_order)
{
    struct world *world = malloc(sizeof(*world));
    world_init(world);
    world->options.ended = true; /* a partition that is new has no such record yet */
    world_start(world);
    world_run(world, body_make_closed, world);
    world_run(world, body_open_whole, world);
    damage_end(world, count, flip);
    world_run(world, after_order, world);
    start_again(world, false);
    if (count <= 4096) { /* without the promise it is like an append that was not finished */
        world_run(world, body_open_whole, world);
    }
    world_stop(world);
    world_deinit(world);
    free(world);
}

Test(partition, one_that_lost_its_closing_record_after_an_orderly_end_is_refused)
{
    test_closed(4096, false, body_open_refused);
}

Test(partition, one_whose_closing_record_is_damaged_after_an_orderly_end_is_refused)
{
    test_closed(4096, true, body_open_refused);
    test_closed(4096 - 20, true, body_open_refused);
}

Test(partition, one_that_lost_its_last_commit_after_an_orderly_end_is_refused)
{
    test_closed(8192, false, body_open_cut);
    test_closed(8192 - 1, false, body_open_cut);
}

/* The same in the next opening, after an orderly end of this one. */
static void start_next(struct world *world, bool ended)
{
    world->options.ended_epoch = world->options.epoch;
    world->options.epoch++;
    start_again(world, ended);
}

static int body_change_and_close(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    MUST_BE(world_try_open(world, false), 0);
    MUST_BE(world_put(world, "a", "1"), 0);
    world_close(world);
    return 0;
}

static int body_open_older(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    lines_catch();
    MUST_BE(world_try_open(world, false), ERR_CORRUPT);
    MUST(lines_have("manifest-1.man at offset ") && lines_have("opening 1") &&
         lines_have("opening 2"));
    return 0;
}

/* Two openings that end in order; then the second one's records are cut off. */
static void test_older_end(bool ended, shard_call_fn *second, size_t count)
{
    struct world *world = malloc(sizeof(*world));
    world_init(world);
    world->options.epoch = 1;
    world_start(world);
    world_run(world, body_make_closed, world);
    start_next(world, true);
    world_run(world, second, world);
    start_next(world, ended);
    damage_end(world, count, false);
    world_run(world, body_open_older, world);
    world_stop(world);
    world_deinit(world);
    free(world);
}

Test(partition, one_that_is_cut_behind_the_closing_record_of_an_earlier_end_is_refused)
{
    test_older_end(true, body_change_and_close, 8192);
    test_older_end(true, body_open_whole, 4096);
}

Test(partition, one_that_is_cut_back_beyond_the_last_orderly_end_is_refused_after_a_crash_too)
{
    test_older_end(false, body_change_and_close, 8192);
    test_older_end(false, body_change_and_close, 4096 * 3);
    test_older_end(false, body_open_whole, 4096);
}

Test(partition, one_without_changes_opens_after_any_number_of_orderly_ends)
{
    struct world *world = malloc(sizeof(*world));
    world_init(world);
    world->options.epoch = 1;
    world_start(world);
    world_run(world, body_make_closed, world);
    for (uint32_t i = 0; i < 5; i++) {
        start_next(world, i % 2 == 0);
        world_run(world, body_open_whole, world);
    }
    world_stop(world);
    world_deinit(world);
    free(world);
}

/* ---- spaces ---- */

static void count_space(void *context, uint32_t space, uint64_t count)
{
    uint64_t *sum = context;
    *sum += space * 1000 + count;
}

static int body_spaces(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct changes changes = {0};
    for (uint32_t space = 0; space < 300; space++) {
        changes_put(&changes, space * 3, slice_cstr("k"), slice_cstr("v"));
    }
    MUST_BE(changes_commit(world, &changes), 0);
    world_reopen(world);
    uint64_t sum = 0;
    partition_each_space(world->partition, count_space, &sum);
    MUST_BE(sum, 300 + 1000ull * 3 * 299 * 300 / 2);
    for (uint32_t space = 0; space < 300; space += 2) {
        changes_remove(&changes, space * 3, slice_cstr("k"));
    }
    MUST_BE(changes_commit(world, &changes), 0);
    for (uint32_t space = 0; space < 900; space++) {
        MUST_BE(partition_count(world->partition, space), space % 6 == 3);
    }
    changes_deinit(&changes);
    MUST_BE(world_verify(world).keys, 150);
    return 0;
}

Test(partition, keeps_many_spaces_apart)
{
    world_test(body_spaces);
}
