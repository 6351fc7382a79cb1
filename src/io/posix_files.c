#include "io/posix_files.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "io/file.h"
#include "io/file_disk.h"

struct posix_files {
    struct mutex mutex;         /* guards the fields up to `stopping` */
    struct condition submitted; /* `waiting` has grown, or `stopping` */
    struct list waiting;
    struct list ended;
    bool stopping;
    int notify_fd;
    uint32_t threads_count; /* started */
    struct thread threads[];
};

static int32_t run_op(const struct io_op *op)
{
    switch (op->kind) {
    case IO_READ:
        return (int32_t)file_read(op->fd, op->data, op->bytes, op->offset);
    case IO_WRITE: {
        int err = file_write(op->fd, op->data, op->bytes, op->offset);
        return err < 0 ? err : (int32_t)op->bytes;
    }
    case IO_SYNC_DATA:
        return file_sync_data(op->fd);
    case IO_SYNC_ALL:
        return file_sync_all(op->fd);
    case IO_OPEN:
        return file_open(op->path, op->flags, op->mode);
    case IO_CLOSE:
        return file_close(op->fd);
    case IO_ALLOCATE:
        return file_allocate(op->fd, op->offset, op->length);
    case IO_RENAME:
        return file_rename(op->path, op->path_to);
    case IO_UNLINK:
        return file_unlink(op->path);
    case IO_MKDIR:
        return file_get_disk()->mkdir(op->path, op->mode);
    case IO_SEND:
    case IO_KIND_COUNT:
        break;
    }
    UNREACHABLE("not a disk operation");
}

/* Waits for an operation; NULL when the threads shall end. Called with the mutex held. */
static struct io_op *next_op(struct posix_files *files)
{
    while (list_empty(&files->waiting) && !files->stopping) {
        condition_wait(&files->submitted, &files->mutex);
    }
    struct list_node *node = list_pop_front(&files->waiting);
    return node == NULL ? NULL : container_of(node, struct io_op, node);
}

static void thread_run(void *arg)
{
    struct posix_files *files = arg;
    struct io_op *op;
    mutex_lock(&files->mutex);
    while ((op = next_op(files)) != NULL) {
        mutex_unlock(&files->mutex);
        op->result = run_op(op);
        mutex_lock(&files->mutex);
        if (list_empty(&files->ended)) {
            /* Later ones are reaped together with this. */
            (void)eventfd_write(files->notify_fd, 1);
        }
        list_push_back(&files->ended, &op->node);
    }
    mutex_unlock(&files->mutex);
}

int posix_files_create(uint32_t threads, int notify_fd, struct posix_files **ret_files)
{
    struct posix_files *files = mem_calloc(1, sizeof(*files) + threads * sizeof(files->threads[0]));
    if (files == NULL) {
        return ERR_MEMORY;
    }
    mutex_init(&files->mutex);
    condition_init(&files->submitted);
    list_init(&files->waiting);
    list_init(&files->ended);
    files->notify_fd = notify_fd;
    for (uint32_t i = 0; i < threads; i++) {
        int err = thread_start(&files->threads[i], "file", thread_run, files);
        if (err < 0) {
            posix_files_destroy(files);
            return err;
        }
        files->threads_count++;
    }
    *ret_files = files;
    return 0;
}

void posix_files_destroy(struct posix_files *files)
{
    if (files == NULL) {
        return;
    }
    mutex_lock(&files->mutex);
    files->stopping = true;
    condition_broadcast(&files->submitted);
    mutex_unlock(&files->mutex);
    for (uint32_t i = 0; i < files->threads_count; i++) {
        thread_join(&files->threads[i]);
    }
    ASSERT(list_empty(&files->waiting));
    ASSERT(list_empty(&files->ended));
    condition_deinit(&files->submitted);
    mutex_deinit(&files->mutex);
    mem_free(files);
}

void posix_files_submit(struct posix_files *files, struct io_op *op)
{
    mutex_lock(&files->mutex);
    ASSERT(!files->stopping);
    list_push_back(&files->waiting, &op->node);
    mutex_unlock(&files->mutex);
    condition_signal(&files->submitted);
}

void posix_files_reap(struct posix_files *files, struct list *ret_ended)
{
    mutex_lock(&files->mutex);
    list_splice_back(ret_ended, &files->ended);
    mutex_unlock(&files->mutex);
}
