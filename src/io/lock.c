/*
 * file_lock, the lock that says who may touch a store.
 *
 * flock belongs to the open file, not to the process: each ring of the owner holds it too
 * (io_options.lock_fd), so after a kill it stays taken until the dead process's last write has
 * landed. That takes from milliseconds to more than half a second, hence the waiting.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/clock.h"
#include "base/plant.h"
#include "base/thread.h"
#include "io/file_disk.h"

enum {
    LOCK_STEP_MS = 10,
    LOCK_MODE = 0644,
    NS_PER_MS = 1000000,
};

static int lock_wait(int fd, const char *path, uint32_t timeout_ms, void (*waiting)(const char *))
{
    int64_t end_ns = clock_mono_ns() + (int64_t)timeout_ms * NS_PER_MS;
    int err = file_get_disk()->lock(fd);
    if (PLANTED(LOCK_NOT_AWAITED) && err == -EWOULDBLOCK) {
        return 0;
    }
    if (err == -EWOULDBLOCK && timeout_ms > 0 && waiting != NULL) {
        waiting(path);
    }
    while ((err == -EWOULDBLOCK || err == -EINTR) && clock_mono_ns() < end_ns) {
        thread_sleep_ms(LOCK_STEP_MS);
        err = file_get_disk()->lock(fd);
    }
    return err == -EWOULDBLOCK ? ERR_LOCKED : err;
}

int file_lock(const char *path, uint32_t timeout_ms, void (*waiting)(const char *path))
{
    int fd = TRY(file_open(path, O_RDWR | O_CREAT, LOCK_MODE));
    int err = lock_wait(fd, path, timeout_ms, waiting);
    if (err < 0) {
        IGNORE(file_close(fd), "nothing was written");
        return err;
    }
    return fd;
}
