#include "memory_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fuzz.h"
#include "io/file_disk.h"

enum { NAME_BYTES = 64, FIRST_FD = 1000 };

static struct memory_file {
    char name[NAME_BYTES]; /* empty: there is none */
    uint8_t *data;
    size_t bytes;
} files[MEMORY_FILES_MAX];

static struct memory_file *file_find(const char *path)
{
    for (int i = 0; i < MEMORY_FILES_MAX; i++) {
        if (files[i].name[0] != '\0' && strcmp(files[i].name, path) == 0) {
            return &files[i];
        }
    }
    return NULL;
}

static struct memory_file *file_make(const char *path)
{
    MUST(strlen(path) < NAME_BYTES);
    for (int i = 0; i < MEMORY_FILES_MAX; i++) {
        if (files[i].name[0] == '\0') {
            strcpy(files[i].name, path);
            return &files[i];
        }
    }
    abort();
}

static void file_remove(struct memory_file *file)
{
    free(file->data);
    *file = (struct memory_file){.data = NULL};
}

static struct memory_file *file_of(int fd)
{
    MUST(fd >= FIRST_FD && fd < FIRST_FD + MEMORY_FILES_MAX);
    return &files[fd - FIRST_FD];
}

static void file_resize(struct memory_file *file, size_t bytes)
{
    MUST(bytes <= MEMORY_FILE_BYTES_MAX);
    uint8_t *data = calloc(1, bytes + 1);
    MUST(data != NULL);
    if (file->bytes > 0) {
        memcpy(data, file->data, file->bytes < bytes ? file->bytes : bytes);
    }
    free(file->data);
    file->data = data;
    file->bytes = bytes;
}

/* ---- the calls ---- */

static int disk_open(const char *path, int flags, uint32_t mode)
{
    (void)mode;
    if ((flags & O_DIRECTORY) != 0 || strchr(path, '/') == NULL) {
        return FIRST_FD; /* a directory: only synced and closed */
    }
    struct memory_file *file = file_find(path);
    if (file == NULL) {
        if ((flags & O_CREAT) == 0) {
            return -ENOENT;
        }
        file = file_make(path);
    }
    if ((flags & O_TRUNC) != 0) {
        file_resize(file, 0);
    }
    return FIRST_FD + (int)(file - files);
}

static int disk_close(int fd)
{
    (void)file_of(fd);
    return 0;
}

static int64_t disk_read(int fd, void *data, size_t bytes, uint64_t offset)
{
    const struct memory_file *file = file_of(fd);
    if (offset >= file->bytes) {
        return 0;
    }
    size_t count = bytes < file->bytes - offset ? bytes : file->bytes - offset;
    memcpy(data, file->data + offset, count);
    return (int64_t)count;
}

static int64_t disk_write(int fd, const void *data, size_t bytes, uint64_t offset)
{
    struct memory_file *file = file_of(fd);
    if (offset + bytes > file->bytes) {
        file_resize(file, offset + bytes);
    }
    memcpy(file->data + offset, data, bytes);
    return (int64_t)bytes;
}

static int disk_sync(int fd)
{
    return disk_close(fd);
}

static int64_t disk_size(int fd)
{
    return (int64_t)file_of(fd)->bytes;
}

static int disk_rename(const char *from, const char *to)
{
    struct memory_file *file = file_find(from);
    struct memory_file *old = file_find(to);
    if (file == NULL) {
        return -ENOENT;
    }
    if (old != NULL) {
        file_remove(old);
    }
    MUST(strlen(to) < NAME_BYTES);
    strcpy(file->name, to);
    return 0;
}

static int disk_exists(const char *path)
{
    return file_find(path) != NULL ? 0 : -ENOENT;
}

/* All files are in all directories. */
static int disk_list(const char *path, file_each_fn *each, void *context)
{
    (void)path;
    for (int i = 0; i < MEMORY_FILES_MAX; i++) {
        const char *slash = strrchr(files[i].name, '/');
        if (files[i].name[0] != '\0') {
            int result = each(context, slash != NULL ? slash + 1 : files[i].name);
            if (result != 0) {
                return result;
            }
        }
    }
    return 0;
}

static const struct file_disk memory_disk = {
    .open = disk_open,
    .close = disk_close,
    .read = disk_read,
    .write = disk_write,
    .sync_data = disk_sync,
    .sync_all = disk_sync,
    .size = disk_size,
    .rename = disk_rename,
    .exists = disk_exists,
    .list = disk_list,
};

/* ---- for the targets ---- */

void memory_disk_clear(void)
{
    for (int i = 0; i < MEMORY_FILES_MAX; i++) {
        file_remove(&files[i]);
    }
    file_set_disk(&memory_disk);
}

void memory_disk_put(const char *path, struct slice bytes)
{
    struct memory_file *file = file_find(path);
    file = file != NULL ? file : file_make(path);
    file_resize(file, bytes.bytes);
    if (bytes.bytes > 0) {
        memcpy(file->data, bytes.data, bytes.bytes);
    }
}

struct slice memory_disk_get(const char *path)
{
    const struct memory_file *file = file_find(path);
    MUST(file != NULL);
    return slice_of(file->data, file->bytes);
}
