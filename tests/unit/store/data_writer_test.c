/*
 * data_writer: everything lands where it was said to, in writes no larger than allowed.
 */
#include "stores.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "store/data_writer.h"

enum { PAGE = STORE_PAGE_BYTES };

struct writing {
    struct world *world;
    struct datafile_pool pool;
    struct datafiles files;
    struct data_writer writer;
    char dir[WORLD_PATH_BYTES * 2];
};

static void writing_init(struct writing *it, struct world *world)
{
    it->world = world;
    world_path(world, "", it->dir);
    it->dir[strlen(it->dir) - 1] = 0;
    datafile_pool_init(&it->pool, world->shard, 16);
    datafiles_init(&it->files, &it->pool, &world->options, it->dir);
    data_writer_init(&it->writer, &it->files, 1, 1);
}

static void forget(void *context, const char *path)
{
    (void)context;
    unlink(path);
}

co_fn static void writing_end(struct writing *it, bool publish)
{
    data_writer_deinit(&it->writer);
    struct list retired;
    list_init(&retired);
    if (publish) {
        datafiles_publish(&it->files, &retired);
        MUST(list_empty(&retired));
    } else {
        datafiles_abort(&it->files, forget, NULL);
    }
    datafiles_deinit(&it->files);
}

/* The bytes at a position, as they are on disk. */
static void peek(const struct writing *it, struct file_pos pos, uint8_t *to, size_t bytes)
{
    char path[WORLD_PATH_BYTES * 3];
    snprintf(path, sizeof(path), "%s/data-%llu.dat", it->dir,
             (unsigned long long)file_pos_file(pos));
    size_t total;
    uint8_t *file = file_load(path, &total);
    MUST(file_pos_offset(pos) + bytes <= total && total % PAGE == 0);
    memcpy(to, file + file_pos_offset(pos), bytes);
    free(file);
}

co_fn static struct file_pos write_page(struct writing *it, uint8_t fill)
{
    uint8_t *page;
    MUST_BE(data_writer_page_begin(&it->writer, &page), 0);
    MUST_BE(data_writer_page_begin(&it->writer, &page), 0); /* asking twice takes nothing */
    memset(page, fill, PAGE);
    struct file_pos pos = data_writer_page_pos(&it->writer);
    data_writer_page_end(&it->writer);
    return pos;
}

/* Pages and extents of all sizes, mixed, from memory of any alignment. */
co_fn static void write_mixed(struct world *world)
{
    enum { THINGS = 120, VALUE_MAX = 300000 };
    struct writing *it = malloc(sizeof(*it));
    writing_init(it, world);
    struct random random;
    random_seed(&random, 6);
    struct {
        struct file_pos pos;
        uint32_t bytes;
        uint8_t fill;
        uint64_t checksum;
    } things[THINGS];
    uint8_t *values[THINGS] = {0};
    uint64_t pages = 0;
    for (uint32_t i = 0; i < THINGS; i++) {
        things[i].fill = (uint8_t)(i + 1);
        things[i].bytes = PAGE;
        if (random_below(&random, 2) == 0) {
            things[i].pos = write_page(it, things[i].fill);
            pages++;
            continue;
        }
        uint64_t kind = random_below(&random, 3);
        uint32_t limit = kind == 0 ? 5000 : kind == 1 ? 70000 : VALUE_MAX;
        things[i].bytes = 1 + (uint32_t)random_below(&random, limit);
        MUST_BE(posix_memalign((void **)&values[i], PAGE, VALUE_MAX + 64), 0);
        uint8_t *value = values[i] + (kind == 2 ? 0 : random_below(&random, 64));
        memset(value, things[i].fill, things[i].bytes);
        struct extent extent;
        struct slice slice = slice_of(value, things[i].bytes);
        MUST_BE(data_writer_extent(&it->writer, slice, &extent), 0);
        MUST_BE(extent.bytes, things[i].bytes);
        things[i].pos = extent.pos;
        pages += div_ceil(extent.bytes, PAGE);
        uint64_t seed = page_seed(world->options.store_id, 1, extent.pos);
        MUST(extent.checksum == checksum64(value, things[i].bytes, seed));
    }
    MUST_BE(data_writer_finish(&it->writer), 0);
    MUST(it->writer.created && it->files.count > 2);
    uint8_t *read = malloc(VALUE_MAX);
    for (uint32_t i = 0; i < THINGS; i++) {
        peek(it, things[i].pos, read, things[i].bytes);
        for (uint32_t b = 0; b < things[i].bytes; b++) {
            MUST_BE(read[b], things[i].fill);
        }
        free(values[i]);
    }
    free(read);
    MUST(world->write_bytes_max <= world->options.write_bytes);
    uint64_t live = 0;
    for (uint32_t i = 0; i < it->files.count; i++) {
        struct datafile *file = it->files.files[i];
        MUST(file->live_next == file->pages_next);
        MUST(file->pages_next * PAGE < world->options.data_file_bytes + VALUE_MAX + PAGE);
        live += file->live_next;
    }
    MUST_BE(live, pages);
    writing_end(it, true);
    free(it);
}

static int body_mixed(struct shard *shard, void *argument)
{
    (void)shard;
    write_mixed(argument);
    return 0;
}

Test(data_writer, pages_and_extents_land_where_it_says)
{
    world_test(body_mixed);
}

Test(data_writer, so_they_do_with_direct_io)
{
    struct world *world = malloc(sizeof(*world));
    world_init(world);
    world_start(world);
    world->options.direct = true;
    char path[WORLD_PATH_BYTES * 2];
    world_path(world, "", path);
    cr_assert_eq(mkdir(path, 0755), 0);
    world_run(world, body_mixed, world);
    world_stop(world);
    world_deinit(world);
    free(world);
}

static int body_error(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct writing *it = malloc(sizeof(*it));
    writing_init(it, world);
    world_break(world, (struct fault){.kinds = 1 << IO_WRITE, .nth = 2, .error = -ENOSPC});
    int err = 0;
    uint8_t *page;
    uint32_t pages = 0;
    for (; err == 0; pages++) {
        MUST(pages < 1000);
        err = data_writer_page_begin(&it->writer, &page);
        if (err == 0) {
            data_writer_page_end(&it->writer);
        }
    }
    MUST_BE(err, -ENOSPC);
    world_heal(world);
    struct extent extent;
    MUST_BE(data_writer_page_begin(&it->writer, &page), -ENOSPC); /* it stays broken */
    MUST_BE(data_writer_extent(&it->writer, slice_cstr("x"), &extent), -ENOSPC);
    MUST_BE(data_writer_finish(&it->writer), -ENOSPC);
    MUST(!it->writer.sync_failed);
    writing_end(it, false);
    char names[4][64];
    MUST_BE(world_list(world, "data-", names, 4), 0);
    free(it);
    return 0;
}

Test(data_writer, after_an_error_nothing_more_is_written)
{
    world_test(body_error);
}

static int body_sync(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct writing *it = malloc(sizeof(*it));
    writing_init(it, world);
    write_page(it, 1);
    world_break(world, (struct fault){.kinds = 1 << IO_SYNC_DATA, .nth = 1, .error = -EIO});
    MUST_BE(data_writer_finish(&it->writer), -EIO);
    world_heal(world);
    MUST(it->writer.sync_failed);
    uint8_t *page;
    MUST_BE(data_writer_page_begin(&it->writer, &page), -EIO);
    writing_end(it, false);
    free(it);
    return 0;
}

Test(data_writer, a_failed_sync_is_told_apart_and_not_tried_again)
{
    world_test(body_sync);
}
