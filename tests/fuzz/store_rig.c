#include "store_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum { DIRECTORY_BYTES = 64, PATH_BYTES = 512, DIRECTORIES_MAX = 4 };

static char directories[DIRECTORIES_MAX][DIRECTORY_BYTES];
static int directory_count;
static struct shard_set *set;
static struct store *store;
static const char *store_directory;

/* ---- directories ---- */

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void remove_directories(void)
{
    for (int i = 0; i < directory_count; i++) {
        (void)nftw(directories[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
}

void rig_directory(char *path)
{
    const char *named = getenv("TMPDIR");
    const char *parent = named != NULL                   ? named
                         : access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                                         : "/tmp";
    (void)snprintf(path, DIRECTORY_BYTES, "%.40s/fuzz-XXXXXX", parent);
    MUST(mkdtemp(path) != NULL);
    MUST(directory_count < DIRECTORIES_MAX);
    if (directory_count == 0) {
        (void)atexit(remove_directories);
    }
    (void)snprintf(directories[directory_count++], DIRECTORY_BYTES, "%s", path);
}

/* ---- the shard ---- */

static void dispose(void *context, const char *path)
{
    (void)context;
    (void)unlink(path);
}

static void on_failure(void *context, int error)
{
    (void)context;
    (void)error;
    abort();
}

static int start_store(struct shard *shard, void *argument)
{
    struct store_options options = {
        .dir = argument,
        .store_id = RIG_STORE_ID,
        .cache_bytes = 1 << 20,
        .data_file_bytes = 1 << 20,
        .reads_in_flight = 4,
        .write_bytes = 64 * 1024,
        .manifest_bytes_min = 64 * 1024,
        .dispose = dispose,
        .on_failure = on_failure,
    };
    return store_create(shard, &options, &store);
}

static void stop_store(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
    store_destroy(store);
}

static void stop(void)
{
    shard_set_stop(set, stop_store, NULL);
}

void rig_start(void)
{
    static char directory[DIRECTORY_BYTES];
    if (set != NULL) {
        return;
    }
    rig_directory(directory);
    store_directory = directory;
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/p%04d", directory, RIG_PARTITION);
    MUST(mkdir(path, 0700) == 0);
    struct shard_options options = shard_options_default();
    options.io.backend = IO_BACKEND_POSIX;
    MUST(shard_set_start(1, &options, start_store, directory, &set) == 0);
    (void)atexit(stop);
}

struct store *rig_store(void)
{
    return store;
}

void rig_run(shard_call_fn *body, void *argument)
{
    MUST(shard_call_from_outside(shard_set_get(set, 0), body, argument) == 0);
}

/* ---- files of the partition ---- */

void rig_path(const char *name, char *path, size_t path_bytes)
{
    (void)snprintf(path, path_bytes, "%s/p%04d/%s", store_directory, RIG_PARTITION, name);
}

void rig_write(const char *name, struct slice bytes, uint64_t bytes_min)
{
    char path[PATH_BYTES];
    rig_path(name, path, sizeof(path));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0);
    MUST(write(fd, bytes.data, bytes.bytes) == (ssize_t)bytes.bytes);
    if (bytes.bytes < bytes_min) {
        MUST(ftruncate(fd, (off_t)bytes_min) == 0);
    }
    MUST(close(fd) == 0);
}

void rig_clear(void)
{
    char path[PATH_BYTES];
    rig_path("", path, sizeof(path));
    DIR *directory = opendir(path);
    MUST(directory != NULL);
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.') {
            rig_path(entry->d_name, path, sizeof(path));
            MUST(unlink(path) == 0);
        }
    }
    (void)closedir(directory);
}
