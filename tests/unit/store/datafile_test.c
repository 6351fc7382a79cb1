/*
 * datafile: counters of a commit, files that die, descriptors.
 */
#include "stores.h"

#include <string.h>
#include <unistd.h>

#include "store/datafile.h"

struct files_world {
    struct datafile_pool pool;
    struct datafiles files;
    char dir[WORLD_PATH_BYTES * 2];
};

static void files_init(struct files_world *it, struct world *world, uint32_t open_max)
{
    world_path(world, "", it->dir);
    it->dir[strlen(it->dir) - 1] = 0;
    datafile_pool_init(&it->pool, world->shard, open_max);
    datafiles_init(&it->files, &it->pool, &world->options, it->dir);
}

static void release_all(struct list *retired)
{
    struct list_node *node;
    while ((node = list_pop_front(retired)) != NULL) {
        struct retired *part = container_of(node, struct retired, node);
        part->release(part);
    }
}

static uint32_t forgotten;

static void forget(void *context, const char *path)
{
    (void)context;
    unlink(path);
    forgotten++;
}

static int body_counters(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct files_world it;
    files_init(&it, world, 8);
    struct datafiles *files = &it.files;
    struct list retired;
    list_init(&retired);

    MUST_BE(datafiles_create(files, 1), 0);
    struct datafile *file = files->active;
    MUST_BE(datafile_append(file, 10), 0);
    MUST_BE(datafile_append(file, 5), 10);
    struct file_pos pos = file_pos_make(file->number, 0);
    MUST(datafiles_add_live(files, pos, 15));
    MUST(!datafiles_add_live(files, pos, 1)); /* more than there are */
    MUST(!datafiles_sub_live(files, pos, 16));
    MUST(!datafiles_sub_live(files, file_pos_make(file->number, 14), 2));    /* behind the end */
    MUST(!datafiles_sub_live(files, file_pos_make(file->number + 1, 0), 1)); /* no such file */
    datafile_seal(file);
    datafile_release(file);
    datafiles_settle(files);
    datafiles_publish(files, &retired);
    MUST(list_empty(&retired) && file->pages == 15 && file->live == 15);

    MUST(datafiles_sub_live(files, pos, 15));
    MUST_BE(file->live, 15);
    datafiles_abort(files, forget, NULL);
    MUST(file->live == 15 && file->live_next == 15 && forgotten == 0);

    MUST(datafiles_sub_live(files, pos, 15));
    MUST(datafile_dies(file));
    datafiles_publish(files, &retired);
    MUST(file->dead &&
         datafiles_find(files, file->number) == file); /* older versions may read it */
    MUST_BE(world->disposed_count, 0);
    release_all(&retired);
    MUST(datafiles_find(files, 1) == NULL);
    datafiles_deinit(files);
    MUST(world_has_disposed(world, "data-1.dat"));
    return 0;
}

Test(datafile, counters_change_with_a_commit_and_a_file_without_live_pages_dies)
{
    world_test(body_counters);
}

static int body_abort(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct files_world it;
    files_init(&it, world, 8);
    struct datafiles *files = &it.files;
    struct list retired;
    list_init(&retired);
    MUST_BE(datafiles_create(files, 1), 0);
    struct datafile *first = files->active;
    MUST(datafile_append(first, 4) == 0 && datafiles_add_live(files, file_pos_make(1, 0), 4));
    datafile_release(first);
    datafiles_publish(files, &retired);

    /* The next commit grows it and makes another, and is given up. */
    MUST_BE(datafile_append(first, 4), 4);
    datafile_seal(first);
    MUST_BE(datafiles_create(files, 2), 0);
    datafile_append(files->active, 1);
    datafile_release(files->active);
    forgotten = 0;
    datafiles_abort(files, forget, NULL);
    MUST_BE(forgotten, 1);
    MUST(files->active == NULL && files->count == 1 && first->pages == 4);
    MUST(first->sealed); /* its tail was written once: never again */

    MUST_BE(datafiles_create(files, 2), 0);
    MUST_BE(files->active->number, 3); /* numbers are not used twice */
    datafile_release(files->active);
    forgotten = 0;
    datafiles_abort(files, forget, NULL);
    MUST_BE(forgotten, 1);
    datafiles_deinit(files);
    return 0;
}

Test(datafile, an_aborted_commit_leaves_no_file_and_reuses_no_page)
{
    world_test(body_abort);
}

static int body_pool(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    enum { FILES = 20, OPEN_MAX = 3 };
    struct files_world it;
    files_init(&it, world, OPEN_MAX);
    struct datafiles *files = &it.files;
    struct list retired;
    list_init(&retired);
    for (uint32_t i = 0; i < FILES; i++) {
        MUST_BE(datafiles_create(files, i + 1), 0);
        struct datafile *file = files->active;
        datafile_append(file, 1);
        MUST(datafiles_add_live(files, file_pos_make(file->number, 0), 1));
        datafile_seal(file);
        datafile_release(file);
        datafiles_publish(files, &retired);
        MUST(it.pool.open <= OPEN_MAX);
    }
    struct random random;
    random_seed(&random, 2);
    for (uint32_t i = 0; i < 300; i++) {
        struct datafile *file = files->files[random_below(&random, FILES)];
        MUST_BE(datafile_open(file), 0);
        MUST(file->fd >= 0 && it.pool.open <= OPEN_MAX);
        struct datafile *other = files->files[random_below(&random, FILES)];
        MUST_BE(datafile_open(other), 0);
        MUST(datafile_hold(file));
        datafile_release(file);
        datafile_release(file);
        datafile_release(other);
        MUST(it.pool.open <= OPEN_MAX);
    }
    datafiles_deinit(files);
    MUST_BE(it.pool.open, 0);
    return 0;
}

Test(datafile, keeps_no_more_files_open_than_allowed)
{
    world_test(body_pool);
}

static int body_load(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct files_world it;
    files_init(&it, world, 8);
    struct datafiles *files = &it.files;
    MUST_BE(datafiles_load(files, 5, 10, 3), 0);
    MUST_BE(datafiles_load(files, 5, 10, 3), ERR_LIMIT);
    MUST_BE(datafiles_load(files, 4, 10, 3), ERR_LIMIT);
    MUST_BE(datafiles_load(files, 6, 10, 11), ERR_LIMIT);
    MUST_BE(datafiles_load(files, 0, 1, 1), ERR_LIMIT);
    MUST_BE(datafiles_load(files, DATAFILE_NUMBER_MAX + 1, 1, 1), ERR_LIMIT);
    MUST_BE(datafiles_load(files, DATAFILE_NUMBER_MAX, FILE_POS_PAGES_MAX, 1), 0);
    MUST_BE(datafiles_replay(files, 5, 9, 3), ERR_LIMIT); /* files don't shrink */
    MUST_BE(datafiles_replay(files, 5, 12, 2), 0);
    MUST(datafiles_find(files, 5)->pages == 12 && datafiles_find(files, 5)->sealed);
    datafiles_replay_dead(files, datafiles_find(files, 5));
    MUST(datafiles_find(files, 5) == NULL && files->count == 1);
    datafiles_deinit(files);
    return 0;
}

Test(datafile, takes_from_a_manifest_only_what_is_possible)
{
    world_test(body_load);
}
