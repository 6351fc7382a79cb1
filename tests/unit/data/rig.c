#include "rig.h"

#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shard/await.h"

enum { SEGMENT_BYTES = 1 << 20, PARTITIONS = 16 };

/* ---- directories ---- */

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void fresh_directory(char dir[RIG_PATH_BYTES])
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, RIG_PATH_BYTES, "%.200s/dataXXXXXX", tmp != NULL ? tmp : "/tmp");
    MUST(mkdtemp(dir) != NULL);
}

static void log_directory(const struct rig *rig, char path[RIG_PATH_BYTES * 2])
{
    snprintf(path, RIG_PATH_BYTES * 2, "%s/log", rig->dir);
}

/* ---- life ---- */

void rig_init(struct rig *rig, uint32_t shards)
{
    memset(rig, 0, sizeof(*rig));
    fresh_directory(rig->dir);
    rig->shard_count = shards;
    rig->log_enabled = true;
    rig->sync_mode = LOG_SYNC_NO;
    rig->cache_bytes = 4 << 20;
    rig->options = (struct keyspace_options){
        .partitions = PARTITIONS,
        .record_bytes_max = UINT64_C(1) << 40,
        .dirty_bytes_max = UINT64_C(1) << 40,
        .dirty_bytes_target = UINT64_C(1) << 40,
        .log_bytes_target = UINT64_C(1) << 40,
        .databases = RIG_DATABASES,
    };
    for (uint32_t i = 0; i < RIG_DATABASES; i++) {
        rig->spaces[i] = i;
    }
    rig->space_next = RIG_DATABASES;
    char log_dir[RIG_PATH_BYTES * 2];
    log_directory(rig, log_dir);
    MUST_BE(mkdir(log_dir, 0700), 0);
}

void rig_deinit(struct rig *rig)
{
    MUST_BE(nftw(rig->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void dispose(void *context, const char *path)
{
    (void)context;
    unlink(path);
}

static void on_failure(void *context, int error)
{
    struct rig *rig = context;
    fprintf(stderr, "a failure: %s\n", error_text(error));
    rig->failures++;
}

static void *housekeep(void *argument)
{
    struct rig *rig = argument;
    while (!atomic_load(&rig->housekeeper_ends)) {
        sem_wait(&rig->housekeeping);
        pthread_mutex_lock(rig->housekeeper_works);
        while (log_housekeep(rig->log)) {
        }
        pthread_mutex_unlock(rig->housekeeper_works);
    }
    return NULL;
}

static void wake_housekeeper(void *context)
{
    struct rig *rig = context;
    sem_post(&rig->housekeeping);
}

static void shard_close_all(struct rig_shard *here)
{
    if (here->keyspace != NULL) {
        keyspace_stop_background(here->keyspace);
        keyspace_close(here->keyspace);
        keyspace_destroy(here->keyspace);
        here->keyspace = NULL;
    }
    if (here->writer != NULL) {
        log_writer_destroy(here->writer);
        here->writer = NULL;
    }
    if (here->store != NULL) {
        store_destroy(here->store);
        here->store = NULL;
    }
}

static int shard_open_all(struct rig_shard *here, struct shard *shard)
{
    struct rig *rig = here->rig;
    struct store_options options = {
        .dir = rig->dir,
        .store_id = 77,
        .cache_bytes = rig->cache_bytes,
        .data_file_bytes = 1 << 20,
        .reads_in_flight = 16,
        .write_bytes = 256 * 1024,
        .manifest_bytes_min = 64 * 1024,
        .dispose = dispose,
        .context = rig,
        .on_failure = on_failure,
    };
    TRY(store_create(shard, &options, &here->store));
    TRY(log_writer_create(rig->log, shard, &here->writer));
    TRY(keyspace_create(shard, here->store, rig->log, here->writer, &rig->options,
                        &here->keyspace));
    return keyspace_open(here->keyspace, rig->spaces, rig->space_next, !rig->created);
}

static int shard_start(struct shard *shard, void *argument)
{
    struct rig *rig = argument;
    struct rig_shard *here = &rig->shards[shard_id(shard)];
    *here = (struct rig_shard){.rig = rig};
    int err = shard_open_all(here, shard);
    if (err != 0) {
        shard_close_all(here);
    }
    return err;
}

static void shard_stop(struct shard *shard, void *argument)
{
    struct rig *rig = argument;
    shard_close_all(&rig->shards[shard_id(shard)]);
}

static int shard_go(struct shard *shard, void *argument)
{
    struct rig *rig = argument;
    struct rig_shard *here = &rig->shards[shard_id(shard)];
    return rig->background ? keyspace_start_background(here->keyspace) : 0;
}

static int log_start(struct rig *rig)
{
    char log_dir[RIG_PATH_BYTES * 2];
    log_directory(rig, log_dir);
    struct log_options options = {
        .dir = log_dir,
        .store_id = 77,
        .segment_bytes = SEGMENT_BYTES,
        .spare_segments = 2,
        .shards = rig->shard_count,
        .sync_mode = rig->sync_mode,
        .enabled = rig->log_enabled,
        .start = rig->log_start,
        .epoch = ++rig->epoch,
        .on_failure = on_failure,
        .context = rig,
    };
    return log_open(&options, &rig->log);
}

int rig_try_open(struct rig *rig)
{
    TRY(log_start(rig));
    struct shard_options options = shard_options_default();
    const char *backend = getenv("TEST_IO_BACKEND");
    if (backend != NULL) {
        options.io.backend = strcmp(backend, "posix") == 0 ? IO_BACKEND_POSIX : IO_BACKEND_URING;
    }
    int err = shard_set_start(rig->shard_count, &options, shard_start, rig, &rig->set);
    if (err != 0) {
        (void)!log_close(rig->log, false);
        return err;
    }
    rig->created = true;
    sem_init(&rig->housekeeping, 0, 0);
    rig->housekeeper_works = malloc(sizeof(*rig->housekeeper_works));
    pthread_mutex_init(rig->housekeeper_works, NULL);
    atomic_store(&rig->housekeeper_ends, false);
    log_set_housekeeper(rig->log, wake_housekeeper, rig);
    MUST_BE(pthread_create(&rig->housekeeper, NULL, housekeep, rig), 0);
    MUST_BE(log_begin(rig->log), 0);
    for (uint32_t i = 0; i < rig->shard_count; i++) {
        MUST_BE(shard_call_from_outside(shard_set_get(rig->set, i), shard_go, rig), 0);
    }
    return 0;
}

void rig_open(struct rig *rig)
{
    int err = rig_try_open(rig);
    cr_assert_eq(err, 0, "opening: %s", error_text(err));
}

static int checkpoint_all(struct shard *shard, void *argument)
{
    struct rig *rig = argument;
    struct keyspace *keyspace = rig->shards[shard_id(shard)].keyspace;
    keyspace_stop_background(keyspace);
    return keyspace_checkpoint_all(keyspace);
}

void rig_close(struct rig *rig, enum rig_close how)
{
    for (uint32_t i = 0; i < rig->shard_count && how == RIG_CLEAN; i++) {
        MUST_BE(shard_call_from_outside(shard_set_get(rig->set, i), checkpoint_all, rig), 0);
    }
    shard_set_stop(rig->set, shard_stop, rig);
    atomic_store(&rig->housekeeper_ends, true);
    sem_post(&rig->housekeeping);
    pthread_join(rig->housekeeper, NULL);
    sem_destroy(&rig->housekeeping);
    pthread_mutex_destroy(rig->housekeeper_works);
    free(rig->housekeeper_works);
    int err = log_close(rig->log, how == RIG_CLEAN);
    cr_assert_eq(err, 0);
    cr_assert_eq(rig->failures, 0);
    rig->set = NULL;
    rig->log = NULL;
}

struct rig_call {
    struct rig *rig;
    rig_body *body;
    void *argument;
};

static int call_body(struct shard *shard, void *argument)
{
    struct rig_call *call = argument;
    call->body(call->rig->shards[shard_id(shard)].keyspace, call->argument);
    return 0;
}

void rig_run(struct rig *rig, uint32_t shard, rig_body *body, void *argument)
{
    struct rig_call call = {.rig = rig, .body = body, .argument = argument};
    MUST_BE(shard_call_from_outside(shard_set_get(rig->set, shard), call_body, &call), 0);
}

void rig_test(rig_body *body)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_run(&rig, 0, body, &rig);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}

void rig_test_restarted(rig_body *before, enum rig_close how, rig_body *after)
{
    struct rig rig;
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_run(&rig, 0, before, &rig);
    rig_close(&rig, how);
    rig_open(&rig);
    rig_run(&rig, 0, after, &rig);
    rig_close(&rig, RIG_CRASH);
    rig_deinit(&rig);
}

void rig_fork(const struct rig *rig, struct rig *copy)
{
    *copy = *rig;
    fresh_directory(copy->dir);
    char command[RIG_PATH_BYTES * 3];
    snprintf(command, sizeof(command), "cp -a %s/. %s", rig->dir, copy->dir);
    pthread_mutex_lock(rig->housekeeper_works);
    MUST_BE(system(command), 0);
    pthread_mutex_unlock(rig->housekeeper_works);
    copy->set = NULL;
    copy->log = NULL;
}

/* ---- on the shard ---- */

struct waiting_load {
    struct key_load load;
    struct coro *waiter;
    int result;
};

static void loaded(struct key_load *load, int result)
{
    struct waiting_load *waiting = container_of(load, struct waiting_load, load);
    MUST(coro_self() == NULL);
    waiting->result = result;
    co_ready(waiting->waiter);
}

co_fn int rig_load(struct keyspace *keyspace, const struct key *key)
{
    struct waiting_load waiting = {
        .load = {.done = loaded, .keyspace = keyspace, .key = *key},
        .waiter = coro_self(),
    };
    keyspace_load(keyspace, &waiting.load);
    co_park();
    return waiting.result;
}

co_fn int rig_find(struct keyspace *keyspace, const struct key *key, struct record **ret_record)
{
    int found = keyspace_find(keyspace, key, true, ret_record);
    if (found != ERR_AGAIN) {
        return found;
    }
    TRY(rig_load(keyspace, key));
    found = keyspace_find(keyspace, key, true, ret_record);
    MUST(found != ERR_AGAIN);
    keyspace_unpin(keyspace, key);
    return found;
}

co_fn void rig_holds(struct keyspace *keyspace, const char *name, const char *value)
{
    struct key key = rig_key(keyspace, name);
    struct record *record;
    int found = rig_find(keyspace, &key, &record);
    if (found != (value != NULL) ||
        (value != NULL && !slice_equal(record_value(record), slice_cstr(value)))) {
        fprintf(stderr, "key %s: found %d, must be %s\n", name, found,
                value != NULL ? value : "absent");
        abort();
    }
}

void rig_put_expiring(struct keyspace *keyspace, const char *name, const char *value,
                      int64_t expire_ms)
{
    struct key key = rig_key(keyspace, name);
    struct put put = {.value = slice_cstr(value), .expire_ms = expire_ms};
    MUST_BE(keyspace_put(keyspace, &key, &put), 0);
}

void rig_put(struct keyspace *keyspace, const char *name, const char *value)
{
    rig_put_expiring(keyspace, name, value, 0);
}

co_fn bool rig_remove(struct keyspace *keyspace, const char *name)
{
    struct key key = rig_key(keyspace, name);
    MUST_BE(rig_load(keyspace, &key), 0);
    int existed = keyspace_remove(keyspace, &key);
    MUST(existed >= 0);
    keyspace_unpin(keyspace, &key);
    return existed == 1;
}

co_fn uint64_t rig_count(struct keyspace *keyspace)
{
    uint64_t count;
    MUST_BE(keyspace_count(keyspace, keyspace_space(keyspace, 0), &count), 0);
    return count;
}

co_fn void rig_checkpoint(struct keyspace *keyspace)
{
    MUST_BE(keyspace_checkpoint_all(keyspace), 0);
}

void rig_evict_all(struct keyspace *keyspace)
{
    struct keyspace_options options = keyspace->options;
    struct keyspace_options none = options;
    none.record_bytes_max = 0;
    keyspace_set_options(keyspace, &none);
    while (!keyspace_evict(keyspace, 1000)) {
    }
    keyspace_set_options(keyspace, &options);
}

co_fn void rig_sleep_ms(struct keyspace *keyspace, int64_t ms)
{
    await_sleep_ns(keyspace->shard, ms * 1000000);
}

/* ---- verification ---- */

struct sums {
    uint64_t record_bytes, dirty_bytes, records, dirty;
    struct {
        uint64_t open, expires;
        int64_t in_tree_or_new; /* what differs from the tree */
    } spaces[64];
};

static void sum_record(struct sums *sums, const struct record *record, bool dirty)
{
    uint64_t bytes = record_memory(record);
    sums->records++;
    sums->record_bytes += bytes;
    sums->dirty += dirty;
    sums->dirty_bytes += dirty ? bytes : 0;
    MUST((record->flags &
          (RECORD_FROZEN | RECORD_ORPHAN | RECORD_SUPERSEDES | RECORD_SUPERSEDES_REMOVAL)) == 0);
    MUST(dirty || (record->flags & (RECORD_TREE_STATE | RECORD_TOMBSTONE)) == 0);
    MUST(record->space < 64);
    bool open = (record->flags & RECORD_OPEN) != 0;
    bool fresh = (record->flags & RECORD_FRESH) != 0;
    MUST(!open || !fresh);
    sums->spaces[record->space].open += open;
    sums->spaces[record->space].expires += (record->flags & RECORD_EXPIRES) != 0;
    if (dirty) {
        bool live = (record->flags & RECORD_NO_VALUE) == 0;
        sums->spaces[record->space].in_tree_or_new += live - (!open && !fresh);
    }
}

static void sum_shelf(struct shelf *shelf, struct sums *sums)
{
    uint32_t hash = 0;
    for (;;) {
        struct table_bucket *bucket = table_bucket(&shelf->table, hash);
        for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
            for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
                const struct record *record = table_slot_record(bucket->slots[i]);
                if (record != NULL) {
                    sum_record(sums, record, table_is_dirty((struct table_place){bucket, i}));
                }
            }
        }
        uint32_t last = table_bucket_last(&shelf->table, hash);
        if (last == UINT32_MAX) {
            return;
        }
        hash = last + 1;
    }
}

static void verify_shelf(struct shelf *shelf, uint64_t *record_bytes, uint64_t *dirty_bytes)
{
    struct sums *sums = calloc(1, sizeof(*sums));
    sum_shelf(shelf, sums);
    MUST_BE(shelf->phase, SHELF_IDLE);
    MUST_BE(shelf->table.records, sums->records);
    MUST_BE(shelf->table.dirty, sums->dirty);
    MUST_BE(shelf->dirty_bytes, sums->dirty_bytes);
    MUST(shelf->low != LSN_NONE || sums->dirty == 0);
    for (uint32_t i = 0; i < shelf->count_count; i++) {
        const struct space_count *count = &shelf->counts[i];
        MUST_BE(count->tree_keys, partition_count(shelf->partition, count->space));
        MUST_BE(count->open, sums->spaces[count->space].open);
        MUST_BE(count->expires, sums->spaces[count->space].expires);
        MUST_BE(count->keys, (int64_t)count->tree_keys + sums->spaces[count->space].in_tree_or_new);
    }
    *record_bytes += sums->record_bytes;
    *dirty_bytes += sums->dirty_bytes;
    free(sums);
}

co_fn void rig_verify(struct keyspace *keyspace)
{
    uint64_t record_bytes = 0;
    uint64_t dirty_bytes = 0;
    uint64_t table_bytes = 0;
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        struct shelf *shelf = &keyspace->shelves[i];
        verify_shelf(shelf, &record_bytes, &dirty_bytes);
        table_bytes += table_memory(&shelf->table);
        struct store_report report;
        int err = partition_verify(shelf->partition, &report);
        if (err != 0) {
            fprintf(stderr, "verify: %s: %s\n", error_text(err), report.error);
            abort();
        }
    }
    MUST_BE(keyspace->record_bytes, record_bytes);
    MUST_BE(keyspace->dirty_bytes, dirty_bytes);
    MUST_BE(keyspace->table_bytes, table_bytes);
}
