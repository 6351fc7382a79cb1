#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "io/file.h"

TestSuite(lock, .init = fixture_dir_make, .fini = fixture_dir_remove, .timeout = 60);

enum { WAIT_MS = 30000 };

static uint32_t waits;
static int holder_pipe[2] = {-1, -1}; /* the holder lives until a byte or the end comes */

static void waiting(const char *path)
{
    cr_assert_str_eq(path, fixture_path("LOCK"));
    waits++;
    close(holder_pipe[1]);
}

Test(lock, is_held_until_closed)
{
    int fd = file_lock(fixture_path("LOCK"), 0, waiting);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_lock(fixture_path("LOCK"), 0, NULL), ERR_LOCKED);
    cr_assert_eq(file_lock(fixture_path("LOCK"), 1, NULL), ERR_LOCKED);
    cr_assert_eq(file_close(fd), 0);
    fd = file_lock(fixture_path("LOCK"), 0, waiting);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_close(fd), 0);
    cr_assert_eq(waits, 0);
}

Test(lock, needs_its_directory)
{
    cr_assert_lt(file_lock(fixture_path("none/LOCK"), 0, NULL), 0);
}

/* In a child: takes the lock, says so, and dies when the pipe closes. */
static void hold(int ready_fd)
{
    char byte;
    close(holder_pipe[1]);
    bool held = file_lock(fixture_path("LOCK"), 0, NULL) >= 0;
    bool told = write(ready_fd, held ? "y" : "n", 1) == 1;
    bool ended = read(holder_pipe[0], &byte, 1) == 0;
    _exit(held && told && ended ? 0 : 1);
}

Test(lock, held_by_another_process_is_waited_for)
{
    int ready[2];
    char byte = 0;
    int status;
    cr_assert_eq(pipe(ready), 0);
    cr_assert_eq(pipe(holder_pipe), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        hold(ready[1]);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(byte, 'y');
    int fd = file_lock(fixture_path("LOCK"), WAIT_MS, waiting); /* `waiting` lets the child die */
    cr_assert_geq(fd, 0);
    cr_assert_eq(waits, 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(file_close(fd), 0);
    close(ready[0]);
    close(ready[1]);
    close(holder_pipe[0]);
}
