#include "stores.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/logger.h"
#include "io/io_body.h"

enum { PARTITION = 3 };

/* ---- life ---- */

static void dispose(void *context, const char *path)
{
    struct world *world = context;
    MUST(world->disposed_count < WORLD_DISPOSED_MAX);
    world->disposed[world->disposed_count++] = strdup(path);
    if (world->unlink_disposed) {
        unlink(path);
    }
}

static void on_failure(void *context, int error)
{
    struct world *world = context;
    world->failures++;
    world->failure = error;
}

void world_init(struct world *world)
{
    memset(world, 0, sizeof(*world));
    const char *tmp = getenv("TMPDIR");
    snprintf(world->dir, sizeof(world->dir), "%.200s/storeXXXXXX", tmp != NULL ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(world->dir));
    world->unlink_disposed = true;
    world->options = (struct store_options){
        .dir = world->dir,
        .store_id = UINT64_C(0x1122334455667788),
        .cache_bytes = 4 << 20,
        .data_file_bytes = 1 << 20,
        .reads_in_flight = 16,
        .write_bytes = 64 * 1024,
        .manifest_bytes_min = 64 * 1024,
        .dispose = dispose,
        .context = world,
        .on_failure = on_failure,
    };
}

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void tree_remove(const char *dir)
{
    MUST_BE(nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void world_deinit(struct world *world)
{
    for (uint32_t i = 0; i < world->disposed_count; i++) {
        free(world->disposed[i]);
    }
    tree_remove(world->dir);
}

static int start_nothing(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
    return 0;
}

static void stop_nothing(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
}

/* ---- faults ---- */

static struct io_vtable vtable;
static const struct io_vtable *vtable_below;
static struct world *vtable_world;

/* Operations whose result is replaced once they are done; at most this many at a time. */
enum { LANDING_MAX = 64 };
static struct landing {
    struct io_op *op;
    io_done_fn *done;
} landings[LANDING_MAX];

static bool op_is_on(const struct io_op *op, const char *part)
{
    char path[WORLD_PATH_BYTES * 2] = "";
    if (op->path != NULL) {
        snprintf(path, sizeof(path), "%s", op->path);
    } else {
        char link[64];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", op->fd);
        ssize_t bytes = readlink(link, path, sizeof(path) - 1);
        path[bytes < 0 ? 0 : bytes] = 0;
    }
    return strstr(path, part) != NULL;
}

static void landed(struct io_op *op)
{
    for (uint32_t i = 0; i < LANDING_MAX; i++) {
        if (landings[i].op == op) {
            landings[i].op = NULL;
            op->result = vtable_world->fault.error;
            landings[i].done(op);
            return;
        }
    }
    abort();
}

static void submit_or_fail(struct io *io, struct io_op *op)
{
    struct fault *fault = &vtable_world->fault;
    if (op->kind == IO_WRITE && op->bytes > vtable_world->write_bytes_max) {
        vtable_world->write_bytes_max = op->bytes;
    }
    bool counts = fault->nth != 0 && (fault->kinds >> op->kind & 1) != 0 &&
                  (fault->path == NULL || op_is_on(op, fault->path));
    fault->seen += counts;
    bool fails =
        counts && (fault->seen == fault->nth || (fault->sticky && fault->seen > fault->nth));
    fault->failed += fails;
    if (!fails) {
        vtable_below->submit(io, op);
        return;
    }
    if (!fault->lands) {
        io_op_end_later(io, op, fault->error);
        return;
    }
    uint32_t i = 0;
    while (landings[i].op != NULL) {
        i++;
        MUST(i < LANDING_MAX);
    }
    landings[i] = (struct landing){op, op->done};
    op->done = landed;
    vtable_below->submit(io, op);
}

void world_break(struct world *world, struct fault fault)
{
    world->fault = fault;
}

void world_heal(struct world *world)
{
    world->fault.nth = 0;
}

static int make_store(struct shard *shard, void *argument)
{
    struct world *world = argument;
    struct io *io = shard_io(shard);
    vtable_below = io->vtable;
    vtable = *io->vtable;
    vtable.submit = submit_or_fail;
    vtable_world = world;
    io->vtable = &vtable;
    return store_create(shard, &world->options, &world->store);
}

static int end_store(struct shard *shard, void *argument)
{
    struct world *world = argument;
    shard_io(shard)->vtable = vtable_below;
    store_destroy(world->store);
    world->store = NULL;
    return 0;
}

void world_start(struct world *world)
{
    struct shard_options options = shard_options_default();
    options.coros_max = 4096;
    const char *backend = getenv("TEST_IO_BACKEND");
    if (backend != NULL) {
        options.io.backend = strcmp(backend, "posix") == 0 ? IO_BACKEND_POSIX : IO_BACKEND_URING;
    }
    int err = shard_set_start(1, &options, start_nothing, NULL, &world->set);
    cr_assert_eq(err, 0, "shard_set_start: %s", error_text(err));
    world->shard = shard_set_get(world->set, 0);
    err = shard_call_from_outside(world->shard, make_store, world);
    cr_assert_eq(err, 0, "store_create: %s", error_text(err));
}

void world_stop(struct world *world)
{
    cr_assert_null(world->partition);
    shard_call_from_outside(world->shard, end_store, world);
    shard_set_stop(world->set, stop_nothing, NULL);
    world->set = NULL;
}

void world_run(struct world *world, shard_call_fn *body, void *argument)
{
    int err = shard_call_from_outside(world->shard, body, argument);
    cr_assert_eq(err, 0, "%s", error_text(err));
}

co_fn int world_try_open(struct world *world, bool create)
{
    MUST(world->partition == NULL);
    return partition_open(world->store, PARTITION, create, &world->partition);
}

co_fn void world_open(struct world *world)
{
    MUST_BE(world_try_open(world, true), 0);
    MUST_BE(partition_number(world->partition), PARTITION);
}

co_fn void world_close(struct world *world)
{
    partition_close(world->partition);
    world->partition = NULL;
}

co_fn void world_reopen(struct world *world)
{
    world_close(world);
    MUST_BE(world_try_open(world, false), 0);
}

co_fn struct store_report world_verify(struct world *world)
{
    struct store_report report;
    int err = partition_verify(world->partition, &report);
    if (err != 0) {
        fprintf(stderr, "verify: %s: %s\n", error_text(err), report.error);
        abort();
    }
    return report;
}

static int open_body(struct shard *shard, void *argument)
{
    (void)shard;
    world_open(argument);
    return 0;
}

static int close_body(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    if (world->partition != NULL) {
        world_close(world);
    }
    return 0;
}

void world_test(shard_call_fn *body)
{
    struct world *world = malloc(sizeof(*world));
    world_init(world);
    world_start(world);
    world_run(world, open_body, world);
    world_run(world, body, world);
    world_run(world, close_body, world);
    world_stop(world);
    world_deinit(world);
    free(world);
}

/* ---- files ---- */

void world_path(const struct world *world, const char *name, char path[WORLD_PATH_BYTES * 2])
{
    snprintf(path, WORLD_PATH_BYTES * 2, "%s/p%04d/%s", world->dir, PARTITION, name);
}

bool world_has_disposed(const struct world *world, const char *name)
{
    char path[WORLD_PATH_BYTES * 2];
    world_path(world, name, path);
    for (uint32_t i = 0; i < world->disposed_count; i++) {
        if (strcmp(world->disposed[i], path) == 0) {
            return true;
        }
    }
    return false;
}

void world_copy(const struct world *world, char to[WORLD_PATH_BYTES])
{
    snprintf(to, WORLD_PATH_BYTES, "%.200s-copyXXXXXX", world->dir);
    MUST(mkdtemp(to) != NULL);
    char command[WORLD_PATH_BYTES * 3];
    snprintf(command, sizeof(command), "cp -r %s/. %s", world->dir, to);
    MUST_BE(system(command), 0);
}

uint8_t *file_load(const char *path, size_t *ret_bytes)
{
    FILE *file = fopen(path, "rb");
    MUST(file != NULL);
    MUST_BE(fseek(file, 0, SEEK_END), 0);
    size_t bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(bytes + 1);
    MUST_BE(fread(data, 1, bytes, file), bytes);
    fclose(file);
    *ret_bytes = bytes;
    return data;
}

void file_save(const char *path, const uint8_t *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    MUST(file != NULL);
    MUST(bytes == 0 || fwrite(data, 1, bytes, file) == bytes);
    MUST_BE(fclose(file), 0);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

uint32_t world_list(const struct world *world, const char *part, char names[][64], uint32_t max)
{
    char path[WORLD_PATH_BYTES * 2];
    world_path(world, "", path);
    DIR *dir = opendir(path);
    MUST(dir != NULL);
    uint32_t count = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strstr(entry->d_name, part) != NULL) {
            MUST(count < max);
            snprintf(names[count++], 64, "%.63s", entry->d_name);
        }
    }
    closedir(dir);
    qsort(names, count, 64, compare_names);
    return count;
}

/* ---- what was logged ---- */

enum { LINES_BYTES = 65536 };
static pthread_mutex_t lines_mutex = PTHREAD_MUTEX_INITIALIZER;
static char lines[LINES_BYTES];
static size_t lines_bytes;

static void lines_take(enum logger_level level, const char *line, size_t bytes, void *arg)
{
    (void)level;
    (void)arg;
    pthread_mutex_lock(&lines_mutex);
    if (lines_bytes + bytes + 1 < LINES_BYTES) {
        memcpy(lines + lines_bytes, line, bytes);
        lines_bytes += bytes;
        lines[lines_bytes] = 0;
    }
    pthread_mutex_unlock(&lines_mutex);
}

void lines_catch(void)
{
    lines_clear();
    logger_set_hook(lines_take, NULL);
}

void lines_clear(void)
{
    pthread_mutex_lock(&lines_mutex);
    lines_bytes = 0;
    lines[0] = 0;
    pthread_mutex_unlock(&lines_mutex);
}

bool lines_have(const char *text)
{
    pthread_mutex_lock(&lines_mutex);
    bool found = strstr(lines, text) != NULL;
    pthread_mutex_unlock(&lines_mutex);
    return found;
}

/* ---- batches ---- */

static struct store_change *changes_add(struct changes *changes)
{
    if (changes->count == changes->capacity) {
        changes->capacity = changes->capacity == 0 ? 64 : changes->capacity * 2;
        changes->items = realloc(changes->items, changes->capacity * sizeof(changes->items[0]));
        changes->existed = realloc(changes->existed, changes->capacity);
    }
    struct store_change *change = &changes->items[changes->count++];
    *change = (struct store_change){0};
    return change;
}

void changes_put(struct changes *changes, uint32_t space, struct slice key, struct slice value)
{
    struct store_change *change = changes_add(changes);
    change->space = space;
    change->entry.key = key;
    change->entry.value = value;
}

void changes_remove(struct changes *changes, uint32_t space, struct slice key)
{
    struct store_change *change = changes_add(changes);
    change->space = space;
    change->remove = true;
    change->entry.key = key;
}

void changes_clear(struct changes *changes)
{
    changes->count = 0;
    changes->applied = 0;
}

void changes_deinit(struct changes *changes)
{
    free(changes->items);
    free(changes->existed);
    *changes = (struct changes){0};
}

static void changes_get(void *context, uint32_t index, struct store_change *ret_change)
{
    struct changes *changes = context;
    MUST(index < changes->count);
    *ret_change = changes->items[index];
}

static void changes_applied(void *context, uint32_t index, bool existed)
{
    struct changes *changes = context;
    MUST_BE(index, changes->applied);
    changes->applied++;
    changes->existed[index] = existed;
}

struct store_batch changes_batch(struct changes *changes)
{
    return (struct store_batch){
        .count = changes->count,
        .context = changes,
        .get = changes_get,
        .applied = changes_applied,
    };
}

co_fn int changes_commit(struct world *world, struct changes *changes)
{
    struct store_batch batch = changes_batch(changes);
    batch.applied_lsn.value = partition_applied(world->partition).value + 1;
    int err = partition_commit(world->partition, &batch);
    MUST_BE(changes->applied, err == 0 ? changes->count : 0);
    changes_clear(changes);
    return err;
}

co_fn int world_put(struct world *world, const char *key, const char *value)
{
    struct changes changes = {0};
    changes_put(&changes, WORLD_SPACE, slice_cstr(key), slice_cstr(value));
    int err = changes_commit(world, &changes);
    changes_deinit(&changes);
    return err;
}

co_fn int world_remove(struct world *world, const char *key)
{
    struct changes changes = {0};
    changes_remove(&changes, WORLD_SPACE, slice_cstr(key));
    int err = changes_commit(world, &changes);
    changes_deinit(&changes);
    return err;
}

co_fn bool world_holds(struct world *world, const char *key, const char *value)
{
    struct store_found found;
    int err = store_get(world->partition, WORLD_SPACE, slice_cstr(key), &found);
    MUST(err >= 0);
    if (err == 0) {
        return value == NULL;
    }
    bool equal = value != NULL && slice_equal(found.entry.value, slice_cstr(value));
    store_found_release(world->partition, &found);
    return equal;
}

/* ---- the model ---- */

static int compare_keys(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* Keys of all kinds: short and long, with long common beginnings and none, text and bytes. The
 * number within makes them distinct. */
static uint32_t make_key(uint8_t *to, uint32_t number, struct random *random)
{
    uint32_t bytes = 0;
    uint64_t kind = random_below(random, 10);
    if (kind < 5) {
        bytes = (uint32_t)sprintf((char *)to, "user:%08u", number);
    } else if (kind < 8) {
        bytes = (uint32_t)sprintf((char *)to, "%u", number);
    } else {
        bytes = (uint32_t)random_below(random, kind == 8 ? 40 : STORE_KEY_BYTES_MAX - 8);
        for (uint32_t i = 0; i < bytes; i++) {
            to[i] = kind == 8 ? (uint8_t)random_u64(random) : 'x';
        }
        to[bytes++] = 0;
        memcpy(to + bytes, &number, sizeof(number));
        bytes += sizeof(number);
    }
    return bytes;
}

void model_init(struct model *model, uint32_t keys, uint32_t spaces, uint64_t seed)
{
    *model = (struct model){.key_count = keys, .space_count = spaces, .value_bytes_max = 6000};
    random_seed(&model->random, seed);
    model->keys = calloc(keys, sizeof(model->keys[0]));
    model->key_memory = malloc((size_t)keys * STORE_KEY_BYTES_MAX);
    model->values = calloc((size_t)keys * spaces, sizeof(model->values[0]));
    for (uint32_t i = 0; i < keys; i++) {
        uint8_t *key = model->key_memory + (size_t)i * STORE_KEY_BYTES_MAX;
        model->keys[i] = slice_of(key, make_key(key, i, &model->random));
    }
    qsort(model->keys, keys, sizeof(model->keys[0]), compare_keys);
}

void model_deinit(struct model *model)
{
    free(model->keys);
    free(model->key_memory);
    free(model->values);
}

struct model_value *model_at(struct model *model, uint32_t space, uint32_t key)
{
    return &model->values[(size_t)space * model->key_count + key];
}

uint8_t *model_bytes(const struct model_value *value)
{
    uint8_t *bytes = malloc(value->bytes + 8);
    uint64_t word = value->seed;
    for (uint32_t i = 0; i < value->bytes; i += 8) {
        word = word * UINT64_C(6364136223846793005) + 1442695040888963407u;
        memcpy(bytes + i, &word, 8);
    }
    return bytes;
}

void model_entry(const struct model_value *value, const uint8_t *bytes, struct store_entry *entry)
{
    entry->value = slice_of(bytes, value->bytes);
    entry->value_bytes = value->bytes;
    entry->expire_ms = value->seed % 3 == 0 ? (int64_t)(value->seed >> 20) : 0;
    entry->type = (uint8_t)(value->seed >> 8 & 3);
    entry->meta = (uint8_t)(value->seed >> 16 & 1);
}

void model_compare(struct model *model, uint32_t space, uint32_t key,
                   const struct store_entry *entry, bool values)
{
    const struct model_value *value = model_at(model, space, key);
    uint8_t *bytes = model_bytes(value);
    struct store_entry expected;
    model_entry(value, bytes, &expected);
    MUST(slice_equal(entry->key, model->keys[key]));
    MUST_BE(entry->value_bytes, expected.value_bytes);
    MUST_BE(entry->expire_ms, expected.expire_ms);
    MUST_BE(entry->type, expected.type);
    MUST_BE(entry->meta, expected.meta);
    if (values) {
        MUST(slice_equal(entry->value, expected.value));
    }
    free(bytes);
}

/* Mostly small, some around the limits where a value leaves the leaf, a few large. */
static uint32_t random_value_bytes(struct model *model)
{
    struct random *random = &model->random;
    uint64_t kind = random_below(random, 100);
    if (kind < 3) {
        return 0;
    }
    if (kind < 80) {
        return (uint32_t)random_below(random, 200);
    }
    if (kind < 90) {
        return (uint32_t)random_below(random, STORE_INLINE_BYTES_MAX + 100);
    }
    return (uint32_t)random_below(random, model->value_bytes_max + 1);
}

co_fn void model_commit(struct model *model, struct world *world, uint32_t count)
{
    struct changes changes = {0};
    struct random *random = &model->random;
    uint32_t removes = (uint32_t)random_below(random, 100);
    uint32_t first = (uint32_t)random_below(random, model->key_count);
    bool dense = random_below(random, 4) == 0; /* neighbours, else from all over */
    uint8_t **memory = calloc((size_t)model->key_count * model->space_count, sizeof(*memory));
    uint8_t *was = calloc((size_t)model->key_count * model->space_count, 1);
    for (uint32_t s = 0; s < model->space_count; s++) {
        uint32_t from = dense ? first : 0;
        uint32_t one_in = dense ? 1 : model->key_count / count + 1;
        for (uint32_t k = from; k < model->key_count && k - from < (dense ? count : UINT32_MAX);
             k++) {
            if (random_below(random, one_in) != 0) {
                continue;
            }
            struct model_value *value = model_at(model, s, k);
            was[changes.count] = value->present;
            if (random_below(random, 100) < removes) {
                value->present = false;
                changes_remove(&changes, model_space(s), model->keys[k]);
                continue;
            }
            *value = (struct model_value){true, random_value_bytes(model), random_u64(random)};
            uint8_t *bytes = model_bytes(value);
            memory[changes.count] = bytes;
            changes_put(&changes, model_space(s), model->keys[k], slice_of(NULL, 0));
            model_entry(value, bytes, &changes.items[changes.count - 1].entry);
        }
    }
    uint32_t total = changes.count;
    int err = changes_commit(world, &changes);
    if (err != 0) {
        fprintf(stderr, "commit: %s\n", error_text(err));
        abort();
    }
    for (uint32_t i = 0; i < total; i++) {
        MUST_BE(changes.existed[i], was[i]);
        free(memory[i]);
    }
    free(memory);
    free(was);
    changes_deinit(&changes);
}

co_fn static void check_gets(struct model *model, struct world *world, uint32_t space)
{
    uint64_t count = 0;
    for (uint32_t k = 0; k < model->key_count; k++) {
        bool present = model_at(model, space, k)->present;
        count += present;
        struct store_found found;
        MUST_BE(store_get(world->partition, model_space(space), model->keys[k], &found), present);
        MUST_BE(store_exists(world->partition, model_space(space), model->keys[k]), present);
        if (present) {
            model_compare(model, space, k, &found.entry, true);
            store_found_release(world->partition, &found);
        }
    }
    MUST_BE(partition_count(world->partition, model_space(space)), count);
}

co_fn static void check_cursor(struct model *model, struct world *world, uint32_t space,
                               bool reverse, bool values)
{
    struct store_cursor_options options = {
        .space = model_space(space),
        .reverse = reverse,
        .values = values,
        .read_ahead = (uint32_t)random_below(&model->random, 20),
    };
    struct store_cursor *cursor;
    MUST_BE(store_cursor_open(world->partition, &options, &cursor), 0);
    struct store_entry entry;
    for (uint32_t i = 0; i < model->key_count; i++) {
        uint32_t k = reverse ? model->key_count - 1 - i : i;
        if (model_at(model, space, k)->present) {
            MUST_BE(store_cursor_next(cursor, &entry), 1);
            model_compare(model, space, k, &entry, values);
        }
    }
    MUST_BE(store_cursor_next(cursor, &entry), 0);
    MUST_BE(store_cursor_next(cursor, &entry), 0);
    store_cursor_close(cursor);
}

co_fn void model_check_cursors(struct model *model, struct world *world, bool values)
{
    for (uint32_t s = 0; s < model->space_count; s++) {
        check_cursor(model, world, s, false, values);
        check_cursor(model, world, s, true, values);
    }
}

co_fn void model_check(struct model *model, struct world *world)
{
    for (uint32_t s = 0; s < model->space_count; s++) {
        check_gets(model, world, s);
    }
    model_check_cursors(model, world, true);
}
