#include "server/gc.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/logger.h"
#include "base/mem.h"

/* The queue of files, without the thread: what is queued is unlinked at the end. */
static struct gc *gc;
static char folder[32];

static void setup(void)
{
    logger_set_level(LOGGER_LEVEL_NOTHING);
    snprintf(folder, sizeof(folder), "/tmp/gc-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(gc_create(NULL, NULL, &gc), 0);
}

static void teardown(void)
{
    (void)rmdir(folder);
}

TestSuite(gc, .init = setup, .fini = teardown);

static void path_of(int number, char path[64])
{
    (void)snprintf(path, 64, "%s/%d", folder, number);
}

static void make_file(int number)
{
    char path[64];
    path_of(number, path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    (void)close(fd);
}

static bool is_there(int number)
{
    char path[64];
    path_of(number, path);
    return access(path, F_OK) == 0;
}

Test(gc, files_are_unlinked)
{
    for (int i = 0; i < 10; i++) {
        char path[64];
        make_file(i);
        path_of(i, path);
        gc_dispose(gc, path);
        path[0] = 'x'; /* the path was copied */
    }
    gc_destroy(gc);
    for (int i = 0; i < 10; i++) {
        cr_expect(!is_there(i));
    }
}

Test(gc, a_file_that_is_gone_already_is_fine)
{
    char path[64];
    path_of(1, path);
    gc_dispose(gc, path);
    gc_destroy(gc);
}

Test(gc, a_full_queue_leaves_files_for_the_next_start)
{
    char path[64];
    path_of(0, path);
    for (int i = 0; i < GC_FILES_MAX - 1; i++) {
        gc_dispose(gc, path);
    }
    make_file(1);
    make_file(2);
    path_of(1, path);
    gc_dispose(gc, path);
    path_of(2, path);
    gc_dispose(gc, path);
    gc_destroy(gc);
    cr_expect(!is_there(1));
    cr_expect(is_there(2));
    cr_expect_eq(unlink(path), 0);
}

Test(gc, without_memory_a_file_is_left)
{
    char path[64];
    make_file(1);
    path_of(1, path);
    mem_fail_after(1, false);
    gc_dispose(gc, path);
    mem_fail_after(0, false);
    gc_destroy(gc);
    cr_expect(is_there(1));
    cr_expect_eq(unlink(path), 0);
}
