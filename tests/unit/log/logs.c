#include "logs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"

/* ---- life ---- */

static void on_failure(void *context, int error)
{
    struct world *world = context;
    atomic_store(&world->failure, error);
    atomic_fetch_add(&world->failures, 1);
}

static void on_wake(void *context)
{
    struct world *world = context;
    atomic_fetch_add(&world->wakes, 1);
}

void world_init(struct world *world, uint32_t shards)
{
    memset(world, 0, sizeof(*world));
    const char *tmp = getenv("TMPDIR");
    snprintf(world->dir, sizeof(world->dir), "%s/logXXXXXX", tmp != NULL ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(world->dir));
    int bytes = snprintf(world->log_dir, sizeof(world->log_dir), "%.200s/log", world->dir);
    cr_assert_lt(bytes, (int)sizeof(world->log_dir));
    world->shards = shards;
    world->options = (struct log_options){
        .dir = world->log_dir,
        .store_id = UINT64_C(0x1122334455667788),
        .segment_bytes = WORLD_SEGMENT_BYTES,
        .spare_segments = 2,
        .shards = shards,
        .sync_mode = LOG_SYNC_NO,
        .enabled = true,
        .epoch = 1,
        .on_failure = on_failure,
        .context = world,
    };
}

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void world_deinit(struct world *world)
{
    cr_assert_null(world->log);
    cr_assert_eq(nftw(world->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int world_open(struct world *world)
{
    cr_assert_null(world->log);
    int err = log_open(&world->options, &world->log);
    if (err == 0) {
        world->options.epoch++;
    }
    return err;
}

static int start_writer(struct shard *shard, void *argument)
{
    struct world *world = argument;
    return log_writer_create(world->log, shard, &world->writers[shard_id(shard)]);
}

void world_begin(struct world *world)
{
    log_set_housekeeper(world->log, on_wake, world);
    struct shard_options options = shard_options_default();
    const char *backend = getenv("TEST_IO_BACKEND");
    if (backend != NULL) {
        options.io.backend = strcmp(backend, "posix") == 0 ? IO_BACKEND_POSIX : IO_BACKEND_URING;
    }
    int err = shard_set_start(world->shards, &options, start_writer, world, &world->set);
    cr_assert_eq(err, 0, "shard_set_start: %s", error_text(err));
    err = log_begin(world->log);
    cr_assert_eq(err, 0, "log_begin: %s", error_text(err));
}

void world_start(struct world *world)
{
    int err = world_open(world);
    cr_assert_eq(err, 0, "log_open: %s", error_text(err));
    world_begin(world);
}

static void stop_writer(struct shard *shard, void *argument)
{
    struct world *world = argument;
    log_writer_destroy(world->writers[shard_id(shard)]);
}

void world_close(struct world *world)
{
    cr_assert_eq(log_close(world->log, false), 0);
    world->log = NULL;
}

void world_stop(struct world *world, bool sync)
{
    shard_set_stop(world->set, stop_writer, world);
    world->set = NULL;
    cr_assert_eq(log_close(world->log, sync), 0);
    world->log = NULL;
}

/* ---- use ---- */

int world_run(struct world *world, uint32_t shard, shard_call_fn *fn, void *argument)
{
    return shard_call_from_outside(shard_set_get(world->set, shard), fn, argument);
}

struct append_call {
    struct log_writer *writer;
    struct slice body;
    uint32_t number;
    uint64_t end;
};

static int append_there(struct shard *shard, void *argument)
{
    (void)shard;
    struct append_call *call = argument;
    log_append(call->writer, (uint8_t)call->number, &call->body, 1);
    log_flush(call->writer);
    call->end = log_writer_end(call->writer).value;
    return 0;
}

uint64_t world_append(struct world *world, uint32_t shard, uint32_t number, size_t bytes)
{
    uint8_t *data = mem_must_alloc(bytes + 1);
    record_fill(data, bytes, shard, number);
    struct append_call call = {
        .writer = world->writers[shard],
        .body = slice_of(data, bytes),
        .number = number,
    };
    cr_assert_eq(world_run(world, shard, append_there, &call), 0);
    mem_free(data);
    return call.end;
}

static int sync_there(struct shard *shard, void *argument)
{
    struct world *world = argument;
    struct log_writer *writer = world->writers[shard_id(shard)];
    return log_wait_durable(writer, log_writer_end(writer));
}

int world_sync(struct world *world, uint32_t shard)
{
    return world_run(world, shard, sync_there, world);
}

void world_housekeep(struct world *world)
{
    for (int i = 0; i < 10000; i++) {
        if (!log_housekeep(world->log)) {
            return;
        }
    }
    cr_assert_fail("log_housekeep does not end");
}

/* ---- records ---- */

void record_fill(uint8_t *to, size_t bytes, uint32_t shard, uint32_t number)
{
    uint32_t mix = number * 2654435761u + shard;
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (uint8_t)((mix >> 8) + i * 7);
    }
    if (bytes >= RECORD_BYTES_MIN) {
        store_le32(to, shard);
        store_le32(to + 4, number);
        store_le32(to + 8, (uint32_t)bytes);
    }
}

static void check_bytes(const struct log_record *record, struct record_seen *seen)
{
    struct slice body = record->body;
    *seen = (struct record_seen){
        .lsn = record->lsn, .type = record->type, .bytes = body.bytes, .number = record->type};
    if (body.bytes < RECORD_BYTES_MIN) {
        return;
    }
    seen->shard = load_le32(body.data);
    seen->number = load_le32(body.data + 4);
    uint8_t *wanted = mem_must_alloc(body.bytes);
    record_fill(wanted, body.bytes, seen->shard, seen->number);
    cr_assert_eq(memcmp(wanted, body.data, body.bytes), 0, "record %u has changed", seen->number);
    cr_assert_eq(seen->type, (uint8_t)seen->number);
    mem_free(wanted);
}

static void seen_add(struct records_seen *seen, const struct log_record *record)
{
    if (seen->count == seen->capacity) {
        seen->capacity = seen->capacity == 0 ? 64 : seen->capacity * 2;
        seen->records = mem_realloc(seen->records, seen->capacity * sizeof(seen->records[0]));
        cr_assert_not_null(seen->records);
    }
    check_bytes(record, &seen->records[seen->count++]);
}

void records_read(struct world *world, uint64_t from, struct records_seen *seen)
{
    *seen = (struct records_seen){0};
    struct log_reader *reader;
    seen->result = log_reader_open(world->log, (struct lsn){from}, &reader);
    if (seen->result != 0) {
        return;
    }
    struct log_record record;
    while ((seen->result = log_reader_next(reader, &record)) == 1) {
        seen_add(seen, &record);
    }
    log_reader_close(reader);
}

void records_deinit(struct records_seen *seen)
{
    mem_free(seen->records);
    *seen = (struct records_seen){0};
}

int world_recover(struct world *world, struct records_seen *seen)
{
    *seen = (struct records_seen){0};
    int err = world_open(world);
    if (err != 0) {
        return err;
    }
    records_read(world, world->options.start.value, seen);
    world_close(world);
    return seen->result;
}

/* ---- files ---- */

void segment_name(const struct world *world, uint64_t number, char path[WORLD_PATH_BYTES])
{
    int bytes = snprintf(path, WORLD_PATH_BYTES, "%.200s/%016llx.log", world->log_dir,
                         (unsigned long long)number);
    cr_assert_lt(bytes, WORLD_PATH_BYTES);
}

bool segment_is_there(const struct world *world, uint64_t number)
{
    char path[WORLD_PATH_BYTES];
    segment_name(world, number, path);
    return access(path, F_OK) == 0;
}

static int segment_open(const struct world *world, uint64_t lsn)
{
    char path[WORLD_PATH_BYTES];
    segment_name(world, lsn / world->options.segment_bytes, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
    return fd;
}

void stream_peek(const struct world *world, uint64_t lsn, void *data, size_t bytes)
{
    int fd = segment_open(world, lsn);
    off_t offset = (off_t)(lsn % world->options.segment_bytes);
    cr_assert_eq(pread(fd, data, bytes, offset), (ssize_t)bytes);
    close(fd);
}

void stream_poke(const struct world *world, uint64_t lsn, const void *data, size_t bytes)
{
    int fd = segment_open(world, lsn);
    off_t offset = (off_t)(lsn % world->options.segment_bytes);
    cr_assert_eq(pwrite(fd, data, bytes, offset), (ssize_t)bytes);
    close(fd);
}

void stream_zero(const struct world *world, uint64_t lsn, size_t bytes)
{
    uint8_t *zeros = mem_calloc(1, bytes);
    cr_assert_not_null(zeros);
    stream_poke(world, lsn, zeros, bytes);
    mem_free(zeros);
}

/* ---- lines ---- */

static char lines[WORLD_LINES_BYTES];
static size_t lines_bytes;
static pthread_mutex_t lines_mutex = PTHREAD_MUTEX_INITIALIZER;

static void take_line(enum logger_level level, const char *line, size_t bytes, void *arg)
{
    (void)level;
    (void)arg;
    pthread_mutex_lock(&lines_mutex);
    if (lines_bytes + bytes + 2 <= sizeof(lines)) {
        memcpy(lines + lines_bytes, line, bytes);
        lines_bytes += bytes;
        lines[lines_bytes++] = '\n';
        lines[lines_bytes] = '\0';
    }
    pthread_mutex_unlock(&lines_mutex);
}

void lines_catch(void)
{
    lines_clear();
    logger_set_hook(take_line, NULL);
}

void lines_clear(void)
{
    pthread_mutex_lock(&lines_mutex);
    lines_bytes = 0;
    lines[0] = '\0';
    pthread_mutex_unlock(&lines_mutex);
}

bool lines_have(const char *text)
{
    pthread_mutex_lock(&lines_mutex);
    bool have = strstr(lines, text) != NULL;
    pthread_mutex_unlock(&lines_mutex);
    return have;
}
