#include "log/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/kill_point.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/plant.h"
#include "io/file.h"

enum {
    NAME_DIGITS = 16,
    FILE_MODE = 0640,
    DIR_MODE = 0750,
    FILL_BYTES = 256 << 10,
    LIST_CAPACITY_MIN = 64,
    RESUME_HEAD_BYTES = 64, /* what makes a frame: its header */
};

static const char name_suffix[] = ".log";
static const char prepare_name[] = "prepare.tmp"; /* being zero-filled by the gc thread */
static const char stall_name[] = "stall.tmp";     /* being made by a shard that can't wait */

/* ---- names ---- */

int segments_init(struct segments *segments, const char *dir, uint32_t segment_bytes)
{
    if (strlen(dir) >= sizeof(segments->dir)) {
        return ERR_LIMIT;
    }
    memset(segments, 0, sizeof(*segments));
    memcpy(segments->dir, dir, strlen(dir) + 1);
    segments->segment_bytes = segment_bytes;
    mutex_init(&segments->lock);
    return 0;
}

void segments_deinit(struct segments *segments)
{
    uint64_t next = segments_prepared_next(segments);
    for (uint64_t number = atomic_load(&segments->open_first); number < next; number++) {
        IGNORE(file_close(segments->fds[number % SEGMENTS_OPEN_MAX]), "synced, or not to be");
    }
    atomic_store(&segments->open_first, next);
    mutex_deinit(&segments->lock);
}

void segment_path(const struct segments *segments, uint64_t number, char path[SEGMENT_PATH_BYTES])
{
    int bytes = snprintf(path, SEGMENT_PATH_BYTES, "%s/%016llx%s", segments->dir,
                         (unsigned long long)number, name_suffix);
    ASSERT(bytes > 0 && bytes < SEGMENT_PATH_BYTES);
}

static void scratch_path(const struct segments *segments, const char *name,
                         char path[SEGMENT_PATH_BYTES])
{
    int bytes = snprintf(path, SEGMENT_PATH_BYTES, "%s/%s", segments->dir, name);
    ASSERT(bytes > 0 && bytes < SEGMENT_PATH_BYTES);
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Whether `name` is a segment's. Anything else in the directory is none of ours and is left alone.
 */
static bool name_parse(const char *name, uint64_t *ret_number)
{
    if (strlen(name) != NAME_DIGITS + strlen(name_suffix) ||
        strcmp(name + NAME_DIGITS, name_suffix) != 0) {
        return false;
    }
    uint64_t number = 0;
    for (int i = 0; i < NAME_DIGITS; i++) {
        int value = digit_value(name[i]);
        if (value < 0) {
            return false;
        }
        number = number << 4 | (uint64_t)value;
    }
    *ret_number = number;
    return true;
}

/* ---- what is there ---- */

static int list_add(void *context, const char *name)
{
    struct segment_list *list = context;
    uint64_t number;
    if (!name_parse(name, &number)) {
        return 0;
    }
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? LIST_CAPACITY_MIN : list->capacity * 2;
        if (capacity > SEGMENT_FILES_MAX) {
            return ERR_LIMIT;
        }
        uint64_t *numbers = mem_realloc(list->numbers, capacity * sizeof(numbers[0]));
        if (numbers == NULL) {
            return ERR_MEMORY;
        }
        list->numbers = numbers;
        list->capacity = capacity;
    }
    list->numbers[list->count++] = number;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int segment_list_read(const struct segments *segments, struct segment_list *list)
{
    *list = (struct segment_list){0};
    int err = file_list(segments->dir, list_add, list);
    if (err == -ENOENT) {
        return 0;
    }
    if (err != 0) {
        segment_list_deinit(list);
        return err;
    }
    if (list->count > 0) {
        qsort(list->numbers, list->count, sizeof(list->numbers[0]), compare_numbers);
    }
    return 0;
}

void segment_list_deinit(struct segment_list *list)
{
    mem_free(list->numbers);
    *list = (struct segment_list){0};
}

bool segment_list_has(const struct segment_list *list, uint64_t number)
{
    return list->count > 0 && bsearch(&number, list->numbers, list->count, sizeof(list->numbers[0]),
                                      compare_numbers) != NULL;
}

/* ---- beginning ---- */

static int unlink_if_there(const char *path)
{
    int err = file_unlink(path);
    return err == -ENOENT ? 0 : err;
}

static int unlink_scratch(const struct segments *segments, const char *name)
{
    char path[SEGMENT_PATH_BYTES];
    scratch_path(segments, name, path);
    return unlink_if_there(path);
}

static int unlink_number(const struct segments *segments, uint64_t number)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(segments, number, path);
    return unlink_if_there(path);
}

/* From the highest down, so that a crash in between leaves no gap; sets `first`. */
static int unlink_unneeded(struct segments *segments, const struct segment_list *list,
                           uint64_t number)
{
    uint64_t first = number;
    for (uint32_t i = list->count; i-- > 0;) {
        if (list->numbers[i] + 1 == first) {
            first--;
            continue;
        }
        TRY(unlink_number(segments, list->numbers[i]));
    }
    atomic_store(&segments->first, first);
    return 0;
}

/* The directory, and its name in the one above. */
static int make_dir(const struct segments *segments)
{
    char above[SEGMENT_PATH_BYTES];
    scratch_path(segments, "..", above);
    TRY(file_mkdir(segments->dir, DIR_MODE));
    return file_sync_dir(above);
}

int segments_begin(struct segments *segments, uint64_t number)
{
    ASSERT(segments_prepared_next(segments) == 0);
    TRY(make_dir(segments));
    TRY(unlink_scratch(segments, prepare_name));
    TRY(unlink_scratch(segments, stall_name));
    struct segment_list list;
    TRY(segment_list_read(segments, &list));
    int err = unlink_unneeded(segments, &list, number);
    segment_list_deinit(&list);
    TRY(err);
    TRY(file_sync_dir(segments->dir));
    atomic_store(&segments->open_first, number);
    atomic_store(&segments->prepared_next, number);
    return 0;
}

/* ---- preparing ---- */

/* Gives the file at `from`, open as `fd`, the next number. The lock is held. */
static int publish_locked(struct segments *segments, const char *from, int fd)
{
    uint64_t number = segments_prepared_next(segments);
    if (number - atomic_load(&segments->open_first) >= SEGMENTS_OPEN_MAX) {
        return ERR_FULL;
    }
    char path[SEGMENT_PATH_BYTES];
    segment_path(segments, number, path);
    KILL_POINT("log-segment-prepared");
    TRY(file_rename(from, path));
    KILL_POINT("log-segment-renamed");
    int err = PLANTED(LOG_NAME_NOT_SYNCED) ? 0 : file_sync_dir(segments->dir);
    if (err != 0) {
        /* Whether the name is on the disk is unknown for ever; nothing may be built on it. */
        atomic_store(&segments->sync_error, err);
        return err;
    }
    segments->fds[number % SEGMENTS_OPEN_MAX] = fd;
    atomic_store_explicit(&segments->prepared_next, number + 1, memory_order_release);
    return 0;
}

static int publish(struct segments *segments, const char *from, int fd)
{
    mutex_lock(&segments->lock);
    int err = publish_locked(segments, from, fd);
    mutex_unlock(&segments->lock);
    return err;
}

/* Where the file system can't allocate, only the length is set. */
static int allocate(int fd, uint32_t bytes)
{
    int err = file_allocate(fd, 0, bytes);
    return err == -EOPNOTSUPP ? file_truncate(fd, bytes) : err;
}

static int write_zeros(int fd, uint32_t from, uint32_t end)
{
    static const uint8_t zeros[FILL_BYTES];
    while (from < end) {
        uint32_t bytes = end - from < FILL_BYTES ? end - from : FILL_BYTES;
        TRY(file_write(fd, zeros, bytes, from));
        from += bytes;
    }
    return 0;
}

static int fill_with_zeros(int fd, uint32_t bytes)
{
    TRY(allocate(fd, bytes));
    TRY(write_zeros(fd, 0, bytes));
    return file_sync_all(fd);
}

/* Ends what prepare_new and prepare_now_locked began. */
static int scratch_abandon(const char *path, int fd, int err)
{
    IGNORE(file_close(fd), "the file goes");
    IGNORE(unlink_if_there(path), "a left-over is removed by the next opening");
    return err;
}

static int prepare_new(struct segments *segments)
{
    char path[SEGMENT_PATH_BYTES];
    scratch_path(segments, prepare_name, path);
    int fd = TRY(file_open(path, O_RDWR | O_CREAT | O_TRUNC, FILE_MODE));
    int err = fill_with_zeros(fd, segments->segment_bytes);
    if (err == 0) {
        err = publish(segments, path, fd);
    }
    return err == 0 ? 0 : scratch_abandon(path, fd, err);
}

/* 1: done; 0: the oldest file is of no use and is gone. */
static int prepare_recycled(struct segments *segments)
{
    uint64_t number = atomic_load(&segments->first);
    char path[SEGMENT_PATH_BYTES];
    segment_path(segments, number, path);
    int fd = file_open(path, O_RDWR, 0);
    if (fd < 0 && fd != -ENOENT) {
        return fd;
    }
    int err = 0;
    if (fd >= 0 && file_size(fd) == (int64_t)segments->segment_bytes) {
        err = publish(segments, path, fd);
        if (err != 0) {
            IGNORE(file_close(fd), "nothing was written");
            return err;
        }
        atomic_store(&segments->first, number + 1);
        return 1;
    }
    if (fd >= 0) {
        IGNORE(file_close(fd), "nothing was written");
        err = unlink_if_there(path);
    }
    TRY(err);
    atomic_store(&segments->first, number + 1);
    return 0;
}

int segments_prepare(struct segments *segments, uint64_t needed_first)
{
    ASSERT(needed_first <= segments_prepared_next(segments));
    uint64_t open_count = segments_prepared_next(segments) - atomic_load(&segments->open_first);
    if (open_count >= SEGMENTS_OPEN_MAX) {
        return ERR_FULL;
    }
    uint64_t limit = needed_first < atomic_load(&segments->open_first)
                         ? needed_first
                         : atomic_load(&segments->open_first);
    while (atomic_load(&segments->first) < limit) {
        if (TRY(prepare_recycled(segments)) == 1) {
            return 0;
        }
    }
    return prepare_new(segments);
}

/*
 * What stands at `offset` is taken away first: if it is a frame that a process did not finish, its
 * missing bytes may be zeros, and it must not become whole by ours.
 */
static int clear_from(int fd, uint32_t offset, uint32_t end)
{
    TRY(write_zeros(fd, offset, offset + RESUME_HEAD_BYTES));
    TRY(file_sync_data(fd));
    TRY(write_zeros(fd, offset + RESUME_HEAD_BYTES, end));
    return file_sync_data(fd);
}

int segments_resume(struct segments *segments, uint32_t offset)
{
    uint64_t next = segments_prepared_next(segments);
    ASSERT(offset > 0 && offset + RESUME_HEAD_BYTES <= segments->segment_bytes);
    ASSERT(atomic_load(&segments->open_first) == next);
    if (atomic_load(&segments->first) == next) {
        return -ENOENT;
    }
    char path[SEGMENT_PATH_BYTES];
    segment_path(segments, next - 1, path);
    int fd = TRY(file_open(path, O_RDWR, 0));
    int err = clear_from(fd, offset, segments->segment_bytes);
    if (err != 0) {
        IGNORE(file_close(fd), "all before the offset is as it was");
        return err;
    }
    segments->fds[(next - 1) % SEGMENTS_OPEN_MAX] = fd;
    atomic_store(&segments->open_first, next - 1);
    return 0;
}

/* Allocated but not zero-filled: its first syncs will have metadata to write, and it is here at
 * once. */
static int prepare_now_locked(struct segments *segments)
{
    char path[SEGMENT_PATH_BYTES];
    scratch_path(segments, stall_name, path);
    int fd = TRY(file_open(path, O_RDWR | O_CREAT | O_TRUNC, FILE_MODE));
    int err = allocate(fd, segments->segment_bytes);
    if (err == 0) {
        err = publish_locked(segments, path, fd);
    }
    return err == 0 ? 0 : scratch_abandon(path, fd, err);
}

int segments_prepare_now(struct segments *segments, uint64_t number)
{
    int err = 0;
    mutex_lock(&segments->lock);
    while (err == 0 && segments_prepared_next(segments) <= number) {
        err = prepare_now_locked(segments);
    }
    mutex_unlock(&segments->lock);
    return err;
}

/* ---- use ---- */

int segments_fd(const struct segments *segments, uint64_t number)
{
    if (UNLIKELY(number >= segments_prepared_next(segments))) {
        return -1;
    }
    ASSERT(number >= atomic_load_explicit(&segments->open_first, memory_order_acquire));
    return segments->fds[number % SEGMENTS_OPEN_MAX];
}

bool segments_close_below(struct segments *segments, uint64_t durable)
{
    uint64_t next = segments_prepared_next(segments);
    uint64_t number = atomic_load(&segments->open_first);
    bool closed = false;
    while (number < next && (number + 1) * segments->segment_bytes <= durable) {
        IGNORE(file_close(segments->fds[number % SEGMENTS_OPEN_MAX]), "it is durable");
        atomic_store_explicit(&segments->open_first, ++number, memory_order_release);
        closed = true;
    }
    return closed;
}

int segments_remove_oldest(struct segments *segments, uint64_t needed_first)
{
    uint64_t number = atomic_load(&segments->first);
    if (number >= needed_first || number >= atomic_load(&segments->open_first)) {
        return 0;
    }
    KILL_POINT("log-unlink");
    TRY(unlink_number(segments, number));
    atomic_store(&segments->first, number + 1);
    return 1;
}
