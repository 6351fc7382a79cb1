/*
 * The embedded library, as a program that uses only include/eloqstore.h sees it. Linked once with
 * the shared and once with the static library.
 */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eloqstore.h"

static char folder[64];

static struct eloq *open_with(uint32_t shards, enum eloq_sync sync)
{
    const char *io = getenv("TEST_IO_BACKEND");
    struct eloq_options options = {
        .shards = shards,
        .partitions = 8,
        .sync = sync,
        .io = io != NULL && strcmp(io, "posix") == 0 ? ELOQ_IO_POSIX : ELOQ_IO_AUTO,
    };
    struct eloq *db = NULL;
    int err = eloq_open(folder, &options, &db);
    if (err != 0) {
        fprintf(stderr, "open: %s\n", eloq_error_text(err));
    }
    assert(err == 0);
    return db;
}

static void begin(void)
{
    snprintf(folder, sizeof(folder), "/tmp/embed-XXXXXX");
    assert(mkdtemp(folder) != NULL);
}

static void end(void)
{
    char command[96];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    assert(system(command) == 0);
}

static void put(struct eloq *db, const char *key, const char *value)
{
    assert(eloq_put(db, key, strlen(key), value, strlen(value)) == 0);
}

static void expect(struct eloq *db, const char *key, const char *value)
{
    void *got = NULL;
    size_t bytes = 0;
    int result = eloq_get(db, key, strlen(key), &got, &bytes);
    if (value == NULL) {
        assert(result == 0);
        return;
    }
    assert(result == 1);
    assert(bytes == strlen(value));
    assert(strcmp(got, value) == 0);
    eloq_free(got);
}

/* ---- one key ---- */

static void test_get_put_delete(void)
{
    struct eloq *db = open_with(2, ELOQ_SYNC_EVERYSEC);
    expect(db, "a", NULL);
    put(db, "a", "1");
    expect(db, "a", "1");
    put(db, "a", "22");
    expect(db, "a", "22");
    assert(eloq_delete(db, "a", 1) == 1);
    assert(eloq_delete(db, "a", 1) == 0);
    expect(db, "a", NULL);
    put(db, "", "the empty key");
    expect(db, "", "the empty key");
    assert(eloq_put(db, "empty", 5, NULL, 0) == 0);
    expect(db, "empty", "");
    assert(eloq_close(db) == 0);
}

static void test_limits(void)
{
    struct eloq *db = open_with(1, ELOQ_SYNC_NO);
    char key[1537];
    memset(key, 'k', sizeof(key));
    assert(eloq_put(db, key, 1536, "v", 1) == 0);
    assert(eloq_put(db, key, 1537, "v", 1) == ELOQ_KEY_TOO_LONG);
    assert(eloq_put(db, "k", 1, "v", ((size_t)512 << 20) + 1) == ELOQ_VALUE_TOO_LARGE);
    struct eloq_change change = {key, 1537, "v", 1};
    assert(eloq_write(db, &change, 1) == ELOQ_KEY_TOO_LONG);
    assert(eloq_write(db, &change, 65537) == ELOQ_VALUE_TOO_LARGE);
    assert(eloq_write(db, NULL, 0) == 0);
    assert(eloq_close(db) == 0);
}

static void test_large_values(void)
{
    struct eloq *db = open_with(2, ELOQ_SYNC_NO);
    static const size_t sizes[] = {2048, 4095, 4096, 4097, 1 << 20, 20 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *value = malloc(sizes[i]);
        assert(value != NULL);
        memset(value, 'a' + (int)i, sizes[i]);
        assert(eloq_put(db, &i, sizeof(i), value, sizes[i]) == 0);
        free(value);
    }
    assert(eloq_close(db) == 0);
    db = open_with(3, ELOQ_SYNC_NO);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *got;
        size_t bytes;
        assert(eloq_get(db, &i, sizeof(i), &got, &bytes) == 1);
        assert(bytes == sizes[i]);
        assert(((char *)got)[0] == 'a' + (char)i && ((char *)got)[bytes - 1] == 'a' + (char)i);
        eloq_free(got);
    }
    assert(eloq_close(db) == 0);
}

static void test_options_and_errors(void)
{
    struct eloq *db = NULL;
    struct eloq_options bad = {.partitions = 3};
    assert(eloq_open(folder, &bad, &db) == ELOQ_BAD_OPTIONS);
    bad = (struct eloq_options){.shards = 65};
    assert(eloq_open(folder, &bad, &db) == ELOQ_BAD_OPTIONS);
    assert(eloq_open("/no/such/folder", NULL, &db) == -ENOENT);
    assert(strcmp(eloq_error_text(ELOQ_LOCKED), "locked by another process") == 0);
    assert(strcmp(eloq_error_text(1), "ok") == 0);
    db = open_with(1, ELOQ_SYNC_NO);
    struct eloq *other;
    struct eloq_options soon = {.lock_timeout_s = 1};
    assert(eloq_open(folder, &soon, &other) == ELOQ_LOCKED);
    assert(eloq_close(db) == 0);
}

static void test_data_survives(void)
{
    for (uint32_t shards = 1; shards <= 3; shards++) {
        struct eloq *db = open_with(shards, ELOQ_SYNC_ALWAYS);
        for (int i = 0; i < 100; i++) {
            char key[16];
            char value[16];
            snprintf(key, sizeof(key), "key%d", i);
            snprintf(value, sizeof(value), "value%u", shards - 1);
            expect(db, key, shards == 1 ? NULL : value);
            snprintf(value, sizeof(value), "value%u", shards);
            put(db, key, value);
        }
        assert(eloq_close(db) == 0);
    }
}

/* ---- several keys as one ---- */

static void test_write_takes_all(void)
{
    struct eloq *db = open_with(3, ELOQ_SYNC_EVERYSEC);
    put(db, "old", "1");
    const struct eloq_change changes[] = {
        {"a", 1, "1", 1}, {"b", 1, "2", 1}, {"old", 3, NULL, 0},
        {"c", 1, "3", 1}, {"a", 1, "4", 1}, {"never", 5, NULL, 0},
    };
    assert(eloq_write(db, changes, 6) == 0);
    for (int round = 0; round < 2; round++) {
        expect(db, "a", "4");
        expect(db, "b", "2");
        expect(db, "c", "3");
        expect(db, "old", NULL);
        expect(db, "never", NULL);
        assert(eloq_close(db) == 0);
        db = open_with(2, ELOQ_SYNC_EVERYSEC);
    }
    assert(eloq_close(db) == 0);
}

enum { GROUP = 12 };

/* Gives all keys of the group the value `number`. */
static void write_group(struct eloq *db, uint64_t number)
{
    char keys[GROUP][8];
    struct eloq_change changes[GROUP];
    for (int i = 0; i < GROUP; i++) {
        int bytes = snprintf(keys[i], sizeof(keys[i]), "g%d", i);
        changes[i] = (struct eloq_change){keys[i], (size_t)bytes, &number, sizeof(number)};
    }
    assert(eloq_write(db, changes, GROUP) == 0);
}

static uint64_t read_member(struct eloq *db, int i)
{
    char key[8];
    int bytes = snprintf(key, sizeof(key), "g%d", i);
    void *value;
    size_t value_bytes;
    if (eloq_get(db, key, (size_t)bytes, &value, &value_bytes) == 0) {
        return 0;
    }
    uint64_t number;
    assert(value_bytes == sizeof(number));
    memcpy(&number, value, sizeof(number));
    eloq_free(value);
    return number;
}

static atomic_bool stop;

static void *write_groups(void *argument)
{
    for (uint64_t number = 1; !atomic_load(&stop); number++) {
        write_group(argument, number);
    }
    return NULL;
}

/* Whoever has seen a batch at one key sees it, or a later one, at every other. */
static void test_readers_see_batches_whole(void)
{
    struct eloq *db = open_with(3, ELOQ_SYNC_NO);
    pthread_t writer;
    atomic_store(&stop, false);
    assert(pthread_create(&writer, NULL, write_groups, db) == 0);
    for (int round = 0; round < 300; round++) {
        uint64_t seen = 0;
        for (int i = 0; i < GROUP; i++) {
            uint64_t number = read_member(db, i);
            assert(number >= seen);
            seen = number;
        }
    }
    atomic_store(&stop, true);
    assert(pthread_join(writer, NULL) == 0);
    assert(eloq_close(db) == 0);
}

/* A process that is killed in the middle of batches leaves each of them whole or absent, and loses
 * none that was done. */
static void test_killed_writers_leave_whole_batches(void)
{
    uint64_t done = 0;
    for (uint32_t round = 0; round < 4; round++) {
        int pipe_fds[2];
        assert(pipe(pipe_fds) == 0);
        pid_t child = fork();
        assert(child >= 0);
        if (child == 0) {
            struct eloq *db = open_with(round % 3 + 1, (enum eloq_sync)(round % 3));
            for (uint64_t number = done + 1;; number++) {
                write_group(db, number);
                assert(write(pipe_fds[1], &number, sizeof(number)) == sizeof(number));
            }
        }
        close(pipe_fds[1]);
        for (int i = 0; i < 200; i++) {
            assert(read(pipe_fds[0], &done, sizeof(done)) == sizeof(done));
        }
        assert(kill(child, SIGKILL) == 0);
        while (read(pipe_fds[0], &done, sizeof(done)) == sizeof(done)) {
        }
        close(pipe_fds[0]);
        assert(waitpid(child, NULL, 0) == child);
        struct eloq *db = open_with(2, ELOQ_SYNC_NO);
        uint64_t first = read_member(db, 0);
        assert(first == done || first == done + 1);
        for (int i = 1; i < GROUP; i++) {
            assert(read_member(db, i) == first);
        }
        done = first;
        assert(eloq_close(db) == 0);
    }
}

/* ---- order ---- */

enum { MODEL_KEYS = 3000 };
static bool model[MODEL_KEYS];

static size_t model_key(int i, char key[16])
{
    return (size_t)snprintf(key, 16, "k%05d", i);
}

static void check_scan(struct eloq *db, int from, int to, int flags)
{
    char low[16];
    char high[16];
    bool reverse = (flags & 1) != 0;
    bool keys_only = (flags & 2) != 0;
    struct eloq_range range = {.reverse = reverse, .keys_only = keys_only};
    if (from > 0) {
        range.from = low;
        range.from_bytes = model_key(from, low);
    }
    if (to < MODEL_KEYS) {
        range.to = high;
        range.to_bytes = model_key(to, high);
    }
    struct eloq_scan *scan;
    struct eloq_entry entry;
    assert(eloq_scan_open(db, &range, &scan) == 0);
    assert(eloq_close(db) == ELOQ_BUSY);
    for (int step = 0; step < to - from; step++) {
        int i = reverse ? to - 1 - step : from + step;
        if (!model[i]) {
            continue;
        }
        char key[16];
        size_t bytes = model_key(i, key);
        assert(eloq_scan_next(scan, &entry) == 1);
        assert(entry.key_bytes == bytes && memcmp(entry.key, key, bytes) == 0);
        assert(entry.value_bytes == (keys_only ? 0 : bytes));
        assert(memcmp(entry.value, key, entry.value_bytes) == 0);
    }
    assert(eloq_scan_next(scan, &entry) == 0);
    assert(eloq_scan_next(scan, &entry) == 0);
    eloq_scan_close(scan);
}

static void check_floor(struct eloq *db, int i)
{
    char key[16];
    size_t bytes = model_key(i, key);
    struct eloq_entry entry;
    void *memory = NULL;
    int result = eloq_floor(db, key, bytes, &entry, &memory);
    while (i >= 0 && !model[i]) {
        i--;
    }
    assert(result == (i >= 0));
    if (i >= 0) {
        bytes = model_key(i, key);
        assert(entry.key_bytes == bytes && memcmp(entry.key, key, bytes) == 0);
        assert(entry.value_bytes == bytes && memcmp(entry.value, key, bytes) == 0);
        eloq_free(memory);
    }
}

static void check_order(struct eloq *db)
{
    for (int flags = 0; flags < 4; flags++) {
        check_scan(db, 0, MODEL_KEYS, flags);
        check_scan(db, 17, 1234, flags);
        check_scan(db, 2000, 2001, flags);
        check_scan(db, 700, 700, flags);
        check_scan(db, 2990, MODEL_KEYS, flags);
    }
    for (int i = 0; i < MODEL_KEYS; i += 131) {
        check_floor(db, i);
    }
}

/* Keys in memory only, in trees only, and in both; some deleted. */
static void test_scans_and_floor(void)
{
    unsigned state = 1;
    for (uint32_t round = 0; round < 4; round++) {
        struct eloq *db = open_with(round % 3 + 1, ELOQ_SYNC_NO);
        for (int step = 0; step < MODEL_KEYS; step++) {
            state = state * 1103515245u + 12345u;
            int i = (int)(state >> 8) % MODEL_KEYS;
            char key[16];
            size_t bytes = model_key(i, key);
            if ((state >> 4) % 4 == 0) {
                assert(eloq_delete(db, key, bytes) == (model[i] ? 1 : 0));
                model[i] = false;
            } else {
                assert(eloq_put(db, key, bytes, key, bytes) == 0);
                model[i] = true;
            }
        }
        check_order(db);
        assert(eloq_close(db) == 0);
        db = open_with(2, ELOQ_SYNC_NO);
        check_order(db);
        assert(eloq_close(db) == 0);
    }
}

static int count_each(void *context, const struct eloq_entry *entry)
{
    assert(entry->key_bytes > 0);
    return ++*(int *)context == 5 ? 42 : 0;
}

static void test_scan_ends_when_told(void)
{
    struct eloq *db = open_with(2, ELOQ_SYNC_NO);
    int count = 0;
    for (int i = 0; i < 10; i++) {
        char key[16];
        size_t bytes = model_key(i, key);
        assert(eloq_put(db, key, bytes, key, bytes) == 0);
    }
    assert(eloq_scan(db, NULL, count_each, &count) == 42);
    assert(count == 5);
    assert(eloq_close(db) == 0);
}

static void test_the_empty_key_is_the_first(void)
{
    struct eloq *db = open_with(1, ELOQ_SYNC_NO);
    struct eloq_entry entry;
    void *memory;
    for (int round = 0; round < 2; round++) {
        assert(eloq_floor(db, "", 0, &entry, &memory) == round);
        if (round == 1) {
            assert(entry.key_bytes == 0);
            eloq_free(memory);
            assert(eloq_floor(db, "b", 1, &entry, &memory) == 1);
            assert(entry.key_bytes == 1);
            eloq_free(memory);
        }
        put(db, "", "first");
        put(db, "a", "second");
        assert(eloq_close(db) == 0);
        db = open_with(1, ELOQ_SYNC_NO);
    }
    for (int reverse = 0; reverse < 2; reverse++) {
        struct eloq_range range = {.reverse = reverse};
        struct eloq_scan *scan;
        assert(eloq_scan_open(db, &range, &scan) == 0);
        assert(eloq_scan_next(scan, &entry) == 1 && entry.key_bytes == (size_t)reverse);
        assert(eloq_scan_next(scan, &entry) == 1 && entry.key_bytes == (size_t)!reverse);
        assert(eloq_scan_next(scan, &entry) == 0);
        eloq_scan_close(scan);
    }
    assert(eloq_close(db) == 0);
}

/* ---- without blocking ---- */

struct waiting {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    int left;
    int result;
    struct eloq *db;
    char value[32];
};

static struct waiting waiting = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                                 .condition = PTHREAD_COND_INITIALIZER};

static void expect_calls(struct eloq *db, int count)
{
    waiting.db = db;
    waiting.left = count;
    waiting.result = -1;
}

static void called(int result)
{
    pthread_mutex_lock(&waiting.mutex);
    waiting.result = result;
    waiting.left--;
    pthread_cond_signal(&waiting.condition);
    pthread_mutex_unlock(&waiting.mutex);
}

static int wait_for_calls(void)
{
    pthread_mutex_lock(&waiting.mutex);
    while (waiting.left > 0) {
        pthread_cond_wait(&waiting.condition, &waiting.mutex);
    }
    pthread_mutex_unlock(&waiting.mutex);
    return waiting.result;
}

static void on_done(void *context, int result)
{
    assert(context == &waiting);
    called(result);
}

static void on_value(void *context, int result, const void *value, size_t bytes)
{
    struct waiting *self = context;
    void *got;
    size_t got_bytes;
    assert(eloq_get(self->db, "a", 1, &got, &got_bytes) == ELOQ_WOULD_BLOCK);
    assert(eloq_close(self->db) == ELOQ_WOULD_BLOCK);
    if (result == 1) {
        snprintf(self->value, sizeof(self->value), "%.*s", (int)bytes, (const char *)value);
    } else {
        assert(value == NULL);
    }
    called(result);
}

static void on_entry(void *context, int result, const struct eloq_entry *entry)
{
    struct waiting *self = context;
    if (result == 1) {
        snprintf(self->value, sizeof(self->value), "%.*s", (int)entry->key_bytes,
                 (const char *)entry->key);
    }
    called(result);
}

static atomic_int entries;

static int on_each(void *context, const struct eloq_entry *entry)
{
    (void)context;
    assert(entry->key_bytes > 0);
    atomic_fetch_add(&entries, 1);
    return 0;
}

static void test_async(void)
{
    struct eloq *db = open_with(2, ELOQ_SYNC_EVERYSEC);
    struct eloq_change change = {"a", 1, "1", 1};
    expect_calls(db, 1);
    assert(eloq_put_async(db, &change, on_done, &waiting) == 0);
    assert(wait_for_calls() == 0);
    expect_calls(db, 1);
    assert(eloq_get_async(db, "a", 1, on_value, &waiting) == 0);
    assert(wait_for_calls() == 1);
    assert(strcmp(waiting.value, "1") == 0);
    expect_calls(db, 1);
    assert(eloq_get_async(db, "b", 1, on_value, &waiting) == 0);
    assert(wait_for_calls() == 0);
    const struct eloq_change batch[] = {{"b", 1, "2", 1}, {"c", 1, "3", 1}, {"a", 1, NULL, 0}};
    expect_calls(db, 2);
    assert(eloq_write_async(db, batch, 3, on_done, &waiting) == 0);
    assert(eloq_write_async(db, NULL, 0, on_done, &waiting) == 0);
    assert(wait_for_calls() == 0);
    expect_calls(db, 1);
    assert(eloq_floor_async(db, "bb", 2, on_entry, &waiting) == 0);
    assert(wait_for_calls() == 1);
    assert(strcmp(waiting.value, "b") == 0);
    expect_calls(db, 1);
    assert(eloq_scan_async(db, NULL, on_each, on_done, &waiting) == 0);
    assert(wait_for_calls() == 0);
    assert(atomic_load(&entries) == 2);
    expect_calls(db, 1);
    assert(eloq_delete_async(db, "b", 1, on_done, &waiting) == 0);
    assert(wait_for_calls() == 1);
    expect(db, "b", NULL);
    while (eloq_close(db) == ELOQ_BUSY) {
        /* The last callback has run, but its operation may not have been counted off yet. */
    }
}

static void test_so_many_async_operations_and_no_more(void)
{
    struct eloq *db = open_with(2, ELOQ_SYNC_EVERYSEC);
    expect_calls(db, 100000);
    int refused = 0;
    for (int i = 0; i < 100000; i++) {
        char key[16];
        struct eloq_change change = {key, model_key(i % 500, key), "x", 1};
        int err;
        while ((err = eloq_put_async(db, &change, on_done, &waiting)) == ELOQ_LIMIT) {
            refused++;
            sched_yield();
        }
        assert(err == 0);
    }
    assert(wait_for_calls() == 0);
    printf("     (%d were refused)\n", refused);
    while (eloq_close(db) == ELOQ_BUSY) {
    }
    db = open_with(1, ELOQ_SYNC_EVERYSEC);
    int count = 0;
    struct eloq_scan *scan;
    struct eloq_entry entry;
    assert(eloq_scan_open(db, NULL, &scan) == 0);
    while (eloq_scan_next(scan, &entry) == 1) {
        count++;
    }
    eloq_scan_close(scan);
    assert(count == 500);
    assert(eloq_close(db) == 0);
}

/* ---- many threads ---- */

static void *use_from_thread(void *argument)
{
    struct eloq *db = argument;
    static atomic_int next;
    int me = atomic_fetch_add(&next, 1);
    for (int i = 0; i < 300; i++) {
        char key[32];
        char value[32];
        snprintf(key, sizeof(key), "t%d:%d", me, i % 50);
        snprintf(value, sizeof(value), "%d", i);
        put(db, key, value);
        expect(db, key, value);
    }
    return NULL;
}

static void test_from_many_threads(void)
{
    struct eloq *db = open_with(2, ELOQ_SYNC_NO);
    pthread_t threads[6];
    for (int i = 0; i < 6; i++) {
        assert(pthread_create(&threads[i], NULL, use_from_thread, db) == 0);
    }
    for (int i = 0; i < 6; i++) {
        assert(pthread_join(threads[i], NULL) == 0);
    }
    assert(eloq_close(db) == 0);
}

#define RUN(test)             \
    do {                      \
        begin();              \
        test();               \
        end();                \
        puts("ok   " #test);  \
        (void)fflush(stdout); \
    } while (0)

int main(void)
{
    RUN(test_killed_writers_leave_whole_batches);
    RUN(test_get_put_delete);
    RUN(test_limits);
    RUN(test_large_values);
    RUN(test_options_and_errors);
    RUN(test_data_survives);
    RUN(test_write_takes_all);
    RUN(test_readers_see_batches_whole);
    RUN(test_scans_and_floor);
    RUN(test_scan_ends_when_told);
    RUN(test_the_empty_key_is_the_first);
    RUN(test_async);
    RUN(test_so_many_async_operations_and_no_more);
    RUN(test_from_many_threads);
    return 0;
}
