#include "shard/await.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "shards.h"

static char dir[] = "/tmp/await-test-XXXXXX";

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(dir));
}

static void tear_down(void)
{
    cr_assert_eq(rmdir(dir), 0); /* each test removes what it made */
}

TestSuite(await, .init = set_up, .fini = tear_down);

static const char *path_in(char *text, size_t bytes, const char *name)
{
    cr_assert_lt((size_t)snprintf(text, bytes, "%s/%s", dir, name), bytes);
    return text;
}

static void run(shard_call_fn *fn)
{
    struct shard_set *set = shards_start(1);
    cr_assert_eq(shards_run(set, 0, fn, NULL), 0);
    shards_stop(set);
}

/* ---- files ---- */

static int round_trip(struct shard *shard, void *argument)
{
    char path[128];
    char text[16] = {0};
    (void)argument;
    int fd = await_open(shard, path_in(path, sizeof(path), "a"), O_RDWR | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(await_write(shard, fd, "hello world", 11, 100), 0);
    cr_assert_eq(await_sync_data(shard, fd), 0);
    cr_assert_eq(await_read(shard, fd, text, 5, 106), 5);
    cr_assert_str_eq(text, "world");
    cr_assert_eq(await_read(shard, fd, text, 16, 106), 5); /* short: the file ends there */
    cr_assert_eq(await_read(shard, fd, text, 16, 111), 0);
    cr_assert_eq(await_allocate(shard, fd, 0, 8192), 0);
    cr_assert_eq(await_sync_all(shard, fd), 0);
    cr_assert_eq(lseek(fd, 0, SEEK_END), 8192);
    cr_assert_eq(await_close(shard, fd), 0);
    cr_assert_eq(await_unlink(shard, path), 0);
    return 0;
}

Test(await, file_operations_return_what_the_kernel_said)
{
    run(round_trip);
}

static int names(struct shard *shard, void *argument)
{
    char sub[128];
    char from[128];
    char to[128];
    (void)argument;
    cr_assert_eq(await_mkdir(shard, path_in(sub, sizeof(sub), "sub"), 0700), 0);
    cr_assert_eq(await_mkdir(shard, sub, 0700), -EEXIST);
    int fd = await_open(shard, path_in(from, sizeof(from), "from"), O_WRONLY | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(await_close(shard, fd), 0);
    cr_assert_eq(await_rename(shard, from, path_in(to, sizeof(to), "sub/to")), 0);
    cr_assert_eq(await_sync_dir(shard, dir), 0);
    cr_assert_eq(await_sync_dir(shard, sub), 0);
    cr_assert_eq(await_unlink(shard, from), -ENOENT);
    cr_assert_eq(await_unlink(shard, to), 0);
    cr_assert_eq(rmdir(sub), 0);
    return 0;
}

Test(await, directories_and_names)
{
    run(names);
}

static int errors(struct shard *shard, void *argument)
{
    char path[128];
    char byte = 0;
    (void)argument;
    path_in(path, sizeof(path), "missing");
    cr_assert_eq(await_open(shard, path, O_RDONLY, 0), -ENOENT);
    cr_assert_eq(await_sync_dir(shard, path), -ENOENT);
    cr_assert_eq(await_rename(shard, path, path), -ENOENT);
    cr_assert_eq(await_unlink(shard, path), -ENOENT);
    cr_assert_eq(await_mkdir(shard, "/proc/self/x", 0700), -ENOENT);
    cr_assert_eq(await_read(shard, -1, &byte, 1, 0), -EBADF);
    cr_assert_eq(await_write(shard, -1, &byte, 1, 0), -EBADF);
    cr_assert_eq(await_sync_data(shard, -1), -EBADF);
    cr_assert_eq(await_sync_all(shard, -1), -EBADF);
    cr_assert_eq(await_allocate(shard, -1, 0, 1), -EBADF);
    cr_assert_eq(await_close(shard, -1), -EBADF);
    return 0;
}

Test(await, errors_come_back_as_results)
{
    run(errors);
}

/* ---- windows ---- */

enum { WINDOW = 32, PAGE = 4096 };

static int window(struct shard *shard, void *argument)
{
    static uint8_t pages[WINDOW][PAGE];
    static uint8_t back[WINDOW][PAGE];
    static struct await_op ops[WINDOW];
    char path[128];
    struct co_group group;
    (void)argument;
    co_group_init(&group);
    int fd = await_open(shard, path_in(path, sizeof(path), "w"), O_RDWR | O_CREAT, 0600);
    cr_assert_geq(fd, 0);

    for (uint32_t i = 0; i < WINDOW; i++) {
        memset(pages[i], (int)i + 1, PAGE);
        io_prep(&ops[i].op, IO_WRITE, fd, NULL);
        io_prep_transfer(&ops[i].op, IO_WRITE, fd, pages[i], PAGE, (uint64_t)i * PAGE);
        await_start(shard, &ops[i], &group);
    }
    co_group_wait(&group);
    for (uint32_t i = 0; i < WINDOW; i++) {
        cr_assert_eq(ops[i].op.result, PAGE);
        io_prep(&ops[i].op, IO_READ, fd, NULL);
        io_prep_transfer(&ops[i].op, IO_READ, fd, back[i], PAGE, (uint64_t)i * PAGE);
        await_start(shard, &ops[i], &group);
    }
    await_sleep_ns(shard, 1000000); /* some end before they are waited for */
    co_group_wait(&group);
    for (uint32_t i = 0; i < WINDOW; i++) {
        cr_assert_eq(ops[i].op.result, PAGE);
    }
    cr_assert_eq(memcmp(pages, back, sizeof(pages)), 0);
    cr_assert_eq(await_close(shard, fd), 0);
    cr_assert_eq(await_unlink(shard, path), 0);
    return 0;
}

Test(await, a_window_of_operations_runs_in_parallel_and_is_waited_for_as_one)
{
    run(window);
}

/* ---- many at once ---- */

struct writer {
    struct shard *shard;
    struct co_group *group;
    int fd;
    uint32_t id;
};

static void write_and_read(void *argument)
{
    struct writer *writer = argument;
    uint64_t offset = (uint64_t)writer->id * sizeof(uint32_t);
    for (uint32_t round = 0; round < 5; round++) {
        uint32_t value = writer->id * 10 + round;
        uint32_t back = 0;
        cr_assert_eq(await_write(writer->shard, writer->fd, &value, sizeof(value), offset), 0);
        cr_assert_eq(await_read(writer->shard, writer->fd, &back, sizeof(back), offset), 4);
        cr_assert_eq(back, value);
    }
    co_group_done(writer->group);
}

static int many(struct shard *shard, void *argument)
{
    static struct writer writers[400];
    char path[128];
    struct co_group group;
    (void)argument;
    co_group_init(&group);
    int fd = await_open(shard, path_in(path, sizeof(path), "m"), O_RDWR | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    for (uint32_t i = 0; i < 400; i++) {
        writers[i] = (struct writer){.shard = shard, .group = &group, .fd = fd, .id = i};
        co_group_add(&group, 1);
        cr_assert_eq(
            coro_start(shard_sched(shard), "writer", CORO_NORMAL, write_and_read, &writers[i]), 0);
    }
    co_group_wait(&group);
    cr_assert_eq(await_close(shard, fd), 0);
    cr_assert_eq(await_unlink(shard, path), 0);
    return 0;
}

Test(await, hundreds_of_coroutines_wait_at_once_and_each_gets_its_own)
{
    run(many);
}

/* ---- sleep ---- */

static int sleep_a_little(struct shard *shard, void *argument)
{
    (void)argument;
    int64_t before_ns = shard_mono_ns(shard);
    await_sleep_ns(shard, 2000000);
    cr_assert_geq(shard_mono_ns(shard) - before_ns, 2000000);
    await_sleep_ns(shard, 0);
    await_sleep_ns(shard, -1);
    return 0;
}

Test(await, sleep_takes_at_least_its_time)
{
    run(sleep_a_little);
}
