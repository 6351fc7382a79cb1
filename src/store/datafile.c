#include "store/datafile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/logger.h"
#include "base/mem.h"
#include "shard/await.h"

/* ---- the pool of descriptors ---- */

void datafile_pool_init(struct datafile_pool *pool, struct shard *shard, uint32_t open_max)
{
    ASSERT(open_max > 0);
    *pool = (struct datafile_pool){.shard = shard, .open_max = open_max};
    list_init(&pool->idle);
    co_event_init(&pool->moved);
}

static void file_free(struct datafile *file)
{
    ASSERT(file->fd < 0 && file->users == 0 && !file->closing && !file->opening);
    ASSERT(!list_node_linked(&file->touched) && !list_node_linked(&file->idle));
    file->owner->existing--;
    mem_free(file);
}

/* The end of the object, and of the file if it is to be disposed of. */
static void file_end_closed(struct datafile *file)
{
    const struct store_options *options = file->owner->options;
    ASSERT(file->fate != DATAFILE_STAYS);
    if (file->fate == DATAFILE_DISPOSED) {
        options->dispose(options->context, file->path);
    }
    file_free(file);
}

static void close_done(struct io_op *op)
{
    struct datafile *file = container_of(op, struct datafile, close_op);
    struct datafile_pool *pool = file->owner->pool;
    ASSERT(file->closing);
    file->closing = false;
    pool->open--;
    if (file->fate != DATAFILE_STAYS) {
        file_end_closed(file);
    }
    co_event_signal(&pool->moved);
}

static void file_close_start(struct datafile *file)
{
    ASSERT(file->fd >= 0 && file->users == 0 && !file->closing);
    list_remove(&file->idle);
    file->closing = true;
    io_prep(&file->close_op, IO_CLOSE, file->fd, close_done);
    file->fd = -1;
    io_submit(shard_io(file->owner->pool->shard), &file->close_op);
}

/* Ends a file that has left the table, now or with its last user. */
static void file_end(struct datafile *file, enum datafile_fate fate)
{
    ASSERT(file->fate == DATAFILE_STAYS && !file->opening);
    file->fate = fate;
    if (file->fd >= 0) {
        if (file->users == 0) {
            file_close_start(file);
        }
    } else if (!file->closing) {
        file_end_closed(file);
    }
}

bool datafile_hold(struct datafile *file)
{
    if (file->fd < 0) {
        return false;
    }
    if (file->users++ == 0) {
        list_remove(&file->idle);
    }
    return true;
}

void datafile_release(struct datafile *file)
{
    ASSERT(file->users > 0 && file->fd >= 0);
    if (--file->users > 0) {
        return;
    }
    list_push_back(&file->owner->pool->idle, &file->idle);
    if (file->fate != DATAFILE_STAYS) {
        file_close_start(file);
    }
    co_event_signal(&file->owner->pool->moved);
}

/* Opens the descriptor, which nobody else does just now. */
co_fn static int file_open_now(struct datafile *file, int flags)
{
    struct datafile_pool *pool = file->owner->pool;
    pool->open++;
    file->opening = true;
    int direct = file->owner->options->direct ? O_DIRECT : 0;
    int fd = await_open(pool->shard, file->path, O_RDWR | O_CLOEXEC | direct | flags, 0644);
    file->opening = false;
    if (fd >= 0) {
        file->fd = fd;
        io_file_add(shard_io(pool->shard), fd);
        list_push_back(&pool->idle, &file->idle);
    } else {
        LOGGER_WARNING("can't open %s: %s", file->path, error_text(fd));
        pool->open--;
    }
    co_event_signal(&pool->moved);
    return fd < 0 ? fd : 0;
}

/* Waits for room under open_max, closing what is idle. */
co_fn static void pool_wait_room(struct datafile_pool *pool)
{
    struct list_node *node = list_first(&pool->idle);
    if (node != NULL) {
        file_close_start(container_of(node, struct datafile, idle));
    }
    co_event_wait(&pool->moved);
}

co_fn static int file_open_flags(struct datafile *file, int flags)
{
    struct datafile_pool *pool = file->owner->pool;
    while (!datafile_hold(file)) {
        if (file->opening || file->closing) {
            co_event_wait(&pool->moved);
        } else if (pool->open >= pool->open_max) {
            pool_wait_room(pool);
        } else {
            TRY(file_open_now(file, flags));
        }
    }
    return 0;
}

co_fn int datafile_open(struct datafile *file)
{
    return file_open_flags(file, 0);
}

/* ---- the table ---- */

void datafiles_init(struct datafiles *files, struct datafile_pool *pool,
                    const struct store_options *options, const char *dir)
{
    *files = (struct datafiles){.pool = pool, .options = options, .dir = dir, .next_number = 1};
    list_init(&files->touched);
}

co_fn void datafiles_deinit(struct datafiles *files)
{
    ASSERT(list_empty(&files->touched));
    for (uint32_t i = 0; i < files->count; i++) {
        while (files->files[i]->opening) {
            co_event_wait(&files->pool->moved);
        }
        file_end(files->files[i], DATAFILE_FORGOTTEN);
    }
    while (files->existing > 0) { /* files on their way out */
        co_event_wait(&files->pool->moved);
    }
    mem_free(files->files);
    *files = (struct datafiles){0};
}

/* The index of the first file whose number is not below `number`. */
static uint32_t files_lower_bound(const struct datafiles *files, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = files->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (files->files[middle]->number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct datafile *datafiles_find(const struct datafiles *files, uint64_t number)
{
    uint32_t index = files_lower_bound(files, number);
    if (index == files->count || files->files[index]->number != number) {
        return NULL;
    }
    return files->files[index];
}

static void files_remove(struct datafiles *files, const struct datafile *file)
{
    uint32_t index = files_lower_bound(files, file->number);
    ASSERT(index < files->count && files->files[index] == file);
    files->count--;
    memmove(files->files + index, files->files + index + 1,
            (files->count - index) * sizeof(files->files[0]));
}

static int files_reserve(struct datafiles *files)
{
    if (files->count < files->capacity) {
        return 0;
    }
    uint32_t capacity = files->capacity == 0 ? 8 : files->capacity * 2;
    struct datafile **bigger = mem_realloc(files->files, capacity * sizeof(*bigger));
    if (bigger == NULL) {
        return ERR_MEMORY;
    }
    files->files = bigger;
    files->capacity = capacity;
    return 0;
}

static void file_unneeded(struct retired *retired)
{
    struct datafile *file = container_of(retired, struct datafile, retired);
    ASSERT(file->dead);
    files_remove(file->owner, file);
    file_end(file, DATAFILE_DISPOSED);
}

/* A new last entry of the table. */
static int files_add(struct datafiles *files, uint64_t number, struct datafile **ret_file)
{
    if (number == 0 || number > DATAFILE_NUMBER_MAX ||
        (files->count > 0 && files->files[files->count - 1]->number >= number)) {
        return ERR_LIMIT;
    }
    TRY(files_reserve(files));
    char path[DATAFILE_PATH_BYTES_MAX];
    int bytes =
        snprintf(path, sizeof(path), "%s/data-%llu.dat", files->dir, (unsigned long long)number);
    if (bytes < 0 || bytes >= (int)sizeof(path)) {
        return -ENAMETOOLONG;
    }
    struct datafile *file = mem_calloc(1, sizeof(*file) + (size_t)bytes + 1);
    if (file == NULL) {
        return ERR_MEMORY;
    }
    memcpy(file->path, path, (size_t)bytes + 1);
    file->retired.release = file_unneeded;
    file->owner = files;
    file->number = number;
    file->fd = -1;
    files->files[files->count++] = file;
    files->existing++;
    files->next_number = max_u64(files->next_number, number + 1);
    *ret_file = file;
    return 0;
}

/* ---- loading ---- */

int datafiles_load(struct datafiles *files, uint64_t number, uint32_t pages, uint32_t live)
{
    if (pages > FILE_POS_PAGES_MAX || live > pages) {
        return ERR_LIMIT;
    }
    struct datafile *file;
    TRY(files_add(files, number, &file));
    file->pages = file->pages_next = pages;
    file->live = file->live_next = live;
    file->sealed = true;
    file->committed = true;
    files->recheck = true;
    return 0;
}

int datafiles_replay(struct datafiles *files, uint64_t number, uint32_t pages, uint32_t live)
{
    struct datafile *file = datafiles_find(files, number);
    if (file == NULL) {
        return datafiles_load(files, number, pages, live);
    }
    if (pages > FILE_POS_PAGES_MAX || pages < file->pages || live > pages) {
        return ERR_LIMIT;
    }
    file->pages = file->pages_next = pages;
    file->live = file->live_next = live;
    return 0;
}

void datafiles_replay_dead(struct datafiles *files, struct datafile *file)
{
    files_remove(files, file);
    file_end(file, DATAFILE_FORGOTTEN);
}

/* The last page must be readable: then the file is there and long enough. */
co_fn static int file_check(struct datafile *file, uint8_t *page)
{
    struct shard *shard = file->owner->pool->shard;
    int err = datafile_open(file);
    if (err == -ENOENT) {
        return err_corrupt(file->path, 0, "data file is missing");
    }
    TRY(err);
    if (file->pages > 0) {
        uint64_t offset = (uint64_t)(file->pages - 1) * STORE_PAGE_BYTES;
        err = await_read(shard, file->fd, page, STORE_PAGE_BYTES, offset);
        if (err >= 0 && err < STORE_PAGE_BYTES) {
            err = err_corrupt(file->path, offset + (uint32_t)err,
                              "data file ends early, it should have %u pages", file->pages);
        }
    }
    datafile_release(file);
    /* An unreadable page is that page's trouble, not the partition's. */
    return err == ERR_CORRUPT ? err : 0;
}

co_fn int datafiles_check(struct datafiles *files)
{
    uint8_t *page = mem_alloc_aligned(STORE_PAGE_BYTES, STORE_PAGE_BYTES);
    if (page == NULL) {
        return ERR_MEMORY;
    }
    int err = 0;
    for (uint32_t i = 0; i < files->count && err == 0; i++) {
        err = file_check(files->files[i], page);
    }
    mem_free(page);
    return err;
}

/* ---- one commit ---- */

static void file_touch(struct datafile *file)
{
    if (!list_node_linked(&file->touched)) {
        list_push_back(&file->owner->touched, &file->touched);
    }
}

co_fn int datafiles_create(struct datafiles *files, uint64_t version)
{
    ASSERT(files->active == NULL);
    struct datafile *file;
    TRY(files_add(files, files->next_number, &file));
    file->retired.created = version;
    int err = file_open_flags(file, O_CREAT | O_EXCL);
    if (err < 0) {
        files_remove(files, file);
        file_free(file);
        return err;
    }
    file_touch(file);
    files->active = file;
    return 0;
}

void datafile_seal(struct datafile *file)
{
    ASSERT(!file->sealed && file->owner->active == file);
    file->sealed = true;
    file->owner->active = NULL;
    file_touch(file);
}

uint32_t datafile_append(struct datafile *file, uint32_t pages)
{
    ASSERT(!file->sealed && pages <= FILE_POS_PAGES_MAX - file->pages_next);
    uint32_t first = file->pages_next;
    file->pages_next += pages;
    file_touch(file);
    return first;
}

/* The file that has all of these pages, or NULL. */
static struct datafile *files_of_pages(struct datafiles *files, struct file_pos pos, uint32_t pages)
{
    struct datafile *file = datafiles_find(files, file_pos_file(pos));
    uint32_t first = file_pos_page(pos);
    if (file == NULL || first > file->pages_next || pages > file->pages_next - first) {
        return NULL;
    }
    return file;
}

bool datafiles_add_live(struct datafiles *files, struct file_pos pos, uint32_t pages)
{
    struct datafile *file = files_of_pages(files, pos, pages);
    if (file == NULL || pages > file->pages_next - file->live_next) {
        return false;
    }
    file->live_next += pages;
    file_touch(file);
    return true;
}

bool datafiles_sub_live(struct datafiles *files, struct file_pos pos, uint32_t pages)
{
    struct datafile *file = files_of_pages(files, pos, pages);
    if (file == NULL || pages > file->live_next) {
        return false;
    }
    file->live_next -= pages;
    file_touch(file);
    return true;
}

void datafiles_settle(struct datafiles *files)
{
    for (uint32_t i = 0; files->recheck && i < files->count; i++) {
        if (datafile_dies(files->files[i]) && !files->files[i]->dead) {
            file_touch(files->files[i]);
        }
    }
}

void datafiles_publish(struct datafiles *files, struct list *retired)
{
    struct list_node *node;
    while ((node = list_pop_front(&files->touched)) != NULL) {
        struct datafile *file = container_of(node, struct datafile, touched);
        file->pages = file->pages_next;
        file->live = file->live_next;
        file->committed = true;
        if (datafile_dies(file)) {
            file->dead = true;
            list_push_back(retired, &file->retired.node);
        }
    }
    files->recheck = false;
}

void datafiles_abort(struct datafiles *files, datafile_forget_fn *forget, void *context)
{
    if (files->active != NULL) {
        datafile_seal(files->active);
    }
    struct list_node *node;
    while ((node = list_pop_front(&files->touched)) != NULL) {
        struct datafile *file = container_of(node, struct datafile, touched);
        file->pages_next = file->pages;
        file->live_next = file->live;
        if (!file->committed) {
            forget(context, file->path);
            files_remove(files, file);
            file_end(file, DATAFILE_FORGOTTEN);
        }
    }
    files->recheck = true;
}
