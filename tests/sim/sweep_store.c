#include "sweep_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "disk_damage.h"
#include "process.h"
#include "stage.h"
#include "world.h"

enum {
    KEYS = 240,
    KEYS_AT_ONCE = 60,
    LARGE_EVERY = 40, /* of the keys one has an extent */
    GONE_EVERY = 17,  /* ... and one is deleted in the end */
    VALUE_BYTES_MAX = 6000,
    SHARDS = 2,
    TAIL_STEP = 7, /* so that the keys of the tail lie in many places */
};

static const char conf[] = "port 0\nprotected-mode no\nenable-debug-command yes\ndir /data\n"
                           "appendonly yes\nappendfsync always\nshards 2\npartitions 2\n"
                           "databases 4\nmaxmemory 64mb\nlog-size-max 4mb\ndata-file-size 1mb\n"
                           "log-segment-size 1mb\ncheckpoint-age 0\n";

struct sweep_store sweep_stores[IMAGES];
char sweep_tail_path[SWEEP_PATH_BYTES];
uint64_t sweep_tail_from[SWEEP_TAIL], sweep_tail_to[SWEEP_TAIL];

/* ---- values ---- */

/* What the key holds after so many of its writes. */
static uint32_t value_make(uint32_t key, uint32_t version, uint8_t value[VALUE_BYTES_MAX])
{
    uint32_t bytes = key % LARGE_EVERY == 3 ? VALUE_BYTES_MAX - version : 20 + (key * 7) % 60;
    int head = snprintf((char *)value, VALUE_BYTES_MAX, "key %u version %u ", key, version);
    for (uint32_t i = (uint32_t)head; i < bytes; i++) {
        value[i] = (uint8_t)('a' + (i * 31 + key + version) % 26);
    }
    return (uint32_t)max_u64((uint64_t)head, bytes);
}

static bool is_gone(uint32_t key)
{
    return key % GONE_EVERY == 5;
}

/* ---- the history ---- */

static void must_be_ok(const struct command *command)
{
    struct answer answer = stage_ask(command);
    SIM_CHECK(!answer.lost && answer.type != '-', "simulator: a store can't be made: %s",
              answer.lost ? "no answer" : (const char *)answer.text);
}

static void must_be_ok_words(const char *words)
{
    struct answer answer = stage_ask_words(words);
    SIM_CHECK(!answer.lost && answer.type != '-', "simulator: %s fails", words);
}

static void set(uint32_t key, uint32_t version)
{
    uint8_t value[VALUE_BYTES_MAX];
    char name[16];
    struct command command = {.argc = 0};
    command_add_text(&command, "SET");
    command_add(&command, name, (size_t)snprintf(name, sizeof(name), "k%u", key));
    command_add(&command, value, value_make(key, version, value));
    must_be_ok(&command);
}

static void start(void)
{
    bool ready = stage_start(conf, SHARDS);
    SIM_CHECK(ready, "simulator: a store can't be started");
}

static int read_file(void *context, const char *path, uint64_t bytes)
{
    struct sweep_store *store = context;
    SIM_CHECK(store->count < SWEEP_FILES_MAX, "simulator: the store has too many files");
    struct sweep_file *file = &store->files[store->count++];
    (void)snprintf(file->path, sizeof(file->path), "%s", path);
    file->bytes = bytes;
    file->data = sim_alloc(bytes + 1);
    return bytes == 0 ? 0 : disk_peek(store->disk, path, file->data, bytes, 0);
}

static void keep(enum sweep_image image)
{
    struct sweep_store *store = &sweep_stores[image];
    stage_pause_ms(1000); /* what is in flight lands */
    store->disk = disk_clone(stage_disk());
    int err = disk_each(store->disk, read_file, store);
    SIM_CHECK(err == 0, "simulator: the store's files can't be read");
}

const struct sweep_file *sweep_file_find(enum sweep_image image, const char *path)
{
    struct sweep_store *store = &sweep_stores[image];
    for (uint32_t i = 0; i < store->count; i++) {
        if (strcmp(store->files[i].path, path) == 0) {
            return &store->files[i];
        }
    }
    return NULL;
}

/* Three checkpoints; the first leaves what is then overwritten. */
static void make_trees(void)
{
    start();
    for (uint32_t key = 0; key < KEYS; key++) {
        set(key, 0);
    }
    must_be_ok_words("SAVE");
    for (uint32_t key = 0; key < KEYS; key += 3) {
        set(key, 1);
    }
    must_be_ok_words("SAVE");
    (void)stage_stop();
    keep(IMAGE_OLDER);
    start();
    char words[32];
    for (uint32_t key = 0; key < KEYS; key++) {
        if (is_gone(key)) {
            (void)snprintf(words, sizeof(words), "DEL k%u", key);
            must_be_ok_words(words);
        } else if (key % 3 != 0) {
            set(key, 1);
        }
    }
    must_be_ok_words("SAVE");
    (void)stage_stop();
    keep(IMAGE_STOPPED);
}

/* The bytes that differ, from the first to the last: false: none. */
static bool find_change(const struct sweep_file *old, const struct sweep_file *new,
                        uint64_t *ret_from, uint64_t *ret_to)
{
    uint64_t bytes = min_u64(old->bytes, new->bytes);
    uint64_t from = 0;
    uint64_t to = bytes;
    if (strcmp(old->path, new->path) != 0 || memcmp(old->data, new->data, bytes) == 0) {
        return false;
    }
    while (old->data[from] == new->data[from]) {
        from++;
    }
    while (old->data[to - 1] == new->data[to - 1]) {
        to--;
    }
    *ret_from = from / 64 * 64;
    *ret_to = align_up(to, 64);
    return true;
}

static void store_read(struct sweep_store *store)
{
    store->disk = stage_disk();
    int err = disk_each(store->disk, read_file, store);
    SIM_CHECK(err == 0, "simulator: the store's files can't be read");
}

static void store_forget(struct sweep_store *store)
{
    for (uint32_t i = 0; i < store->count; i++) {
        sim_free(store->files[i].data);
    }
    store->count = 0;
}

/* Frames are written one behind the other, all to one file. */
static void tail_add(uint32_t index, uint32_t key)
{
    static struct sweep_store before, after;
    store_read(&before);
    set(key, 3);
    store_read(&after);
    SIM_CHECK(before.count == after.count, "simulator: the log's tail isn't in one file");
    for (uint32_t i = 0; i < after.count; i++) {
        if (strstr(after.files[i].path, "/log/") != NULL &&
            find_change(&before.files[i], &after.files[i], &sweep_tail_from[index],
                        &sweep_tail_to[index])) {
            (void)snprintf(sweep_tail_path, sizeof(sweep_tail_path), "%s", after.files[i].path);
        }
    }
    store_forget(&before);
    store_forget(&after);
}

static uint32_t tail_key(uint32_t index)
{
    uint32_t key = (index * TAIL_STEP + 1) % KEYS;
    return is_gone(key) ? key + 1 : key;
}

static void make_tail(void)
{
    start();
    for (uint32_t key = 0; key < KEYS; key += 2) {
        if (!is_gone(key)) {
            set(key, 2);
        }
    }
    must_be_ok_words("SAVE");
    for (uint32_t i = 0; i < SWEEP_TAIL; i++) {
        tail_add(i, tail_key(i));
    }
    stage_kill();
    keep(IMAGE_KILLED);
}

void sweep_stores_make(void)
{
    static struct disk *origin; /* lives on: the images share its chunks */
    stage_begin(1);
    make_trees();
    make_tail();
    origin = stage_swap_disk(disk_create());
    SIM_CHECK(disk_open_count(origin) == 0, "simulator: the store is in use");
    stage_end();
}

/* ---- looking ---- */

static struct {
    enum sweep_image image;
    uint64_t errors;
    bool tail_there[SWEEP_TAIL];
} look;

/* The version that must be there but for the tail's. */
static uint32_t version_of(uint32_t key)
{
    return look.image == IMAGE_KILLED && key % 2 == 0 ? 2 : 1;
}

static uint32_t tail_place(uint32_t key)
{
    for (uint32_t i = 0; look.image == IMAGE_KILLED && i < SWEEP_TAIL; i++) {
        if (tail_key(i) == key) {
            return i;
        }
    }
    return SWEEP_TAIL;
}

static bool holds(uint32_t key, uint32_t version, const uint8_t *data, size_t bytes)
{
    uint8_t value[VALUE_BYTES_MAX];
    return value_make(key, version, value) == bytes && memcmp(value, data, bytes) == 0;
}

/* data NULL: the key isn't there. */
static void check_value(uint32_t key, const uint8_t *data, size_t bytes)
{
    uint32_t place = tail_place(key);
    bool right = data == NULL
                     ? is_gone(key)
                     : !is_gone(key) && (holds(key, version_of(key), data, bytes) ||
                                         (place < SWEEP_TAIL && holds(key, 3, data, bytes)));
    if (!right) {
        process_print_log();
        world_violation("k%u is %s: %.*s", key, data == NULL ? "missing" : "wrong",
                        bytes > 60 ? 60 : (int)bytes, data == NULL ? "" : (const char *)data);
    }
    if (place < SWEEP_TAIL) {
        look.tail_there[place] = holds(key, 3, data, bytes);
    }
}

static void saw_error(const char *what, const struct answer *answer)
{
    look.errors++;
    bool named = !answer->lost && process_said(" at offset ");
    if (!named || stage_is_alive() == false) {
        process_print_log();
        world_violation("%s: an error that doesn't name the place: %s", what,
                        answer->lost ? "no answer" : (const char *)answer->text);
    }
}

static void check_alone(uint32_t key)
{
    char words[32];
    (void)snprintf(words, sizeof(words), "GET k%u", key);
    struct answer answer = stage_ask_words(words);
    if (answer.lost || answer.type == '-') {
        uint32_t place = tail_place(key);
        saw_error(words, &answer);
        if (place < SWEEP_TAIL) {
            look.tail_there[place] = true;
        }
        return;
    }
    check_value(key, answer.type == 'n' ? NULL : answer.text, answer.bytes);
}

/* Elements are "$bytes value" and "n-1 ". */
static void check_many(uint32_t from, const struct answer *answer)
{
    const uint8_t *at = answer->text;
    for (uint32_t i = 0; i < answer->count; i++) {
        const uint8_t *space = (const uint8_t *)strchr((const char *)at, ' ');
        if (at[0] == 'n') {
            check_value(from + i, NULL, 0);
            at = space + 1;
        } else {
            size_t bytes = strtoul((const char *)at + 1, NULL, 10);
            check_value(from + i, space + 1, bytes);
            at = space + 1 + bytes;
        }
    }
}

static void check_keys(uint32_t from)
{
    char names[KEYS_AT_ONCE][16];
    struct command command = {.argc = 0};
    command_add_text(&command, "MGET");
    for (uint32_t i = 0; i < KEYS_AT_ONCE; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "k%u", from + i);
        command_add_text(&command, names[i]);
    }
    struct answer answer = stage_ask(&command);
    if (!answer.lost && answer.type == '*' && answer.count == KEYS_AT_ONCE) {
        check_many(from, &answer);
        return;
    }
    saw_error("MGET", &answer);
    for (uint32_t i = 0; i < KEYS_AT_ONCE; i++) {
        check_alone(from + i);
    }
}

static int64_t keys_there(void)
{
    int64_t count = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        count += !is_gone(key);
    }
    return count;
}

static void check_whole(void)
{
    struct answer answer = stage_ask_words("DBSIZE");
    if (answer.lost || answer.type == '-') {
        saw_error("DBSIZE", &answer);
    } else {
        SIM_CHECK(answer.integer == keys_there(), "DBSIZE says %lld", (long long)answer.integer);
    }
    answer = stage_ask_words("DEBUG CHECK");
    if (answer.lost || answer.type == '-') {
        saw_error("DEBUG CHECK", &answer);
    }
}

/* What is there of the tail is its beginning. */
static uint32_t tail_lost(void)
{
    uint32_t there = 0;
    while (there < SWEEP_TAIL && look.tail_there[there]) {
        there++;
    }
    for (uint32_t i = there; i < SWEEP_TAIL; i++) {
        SIM_CHECK(!look.tail_there[i], "change %u of the tail is there, %u is not", i, there);
    }
    return look.image == IMAGE_KILLED ? SWEEP_TAIL - there : 0;
}

enum sweep_outcome sweep_look(enum sweep_image image, struct disk *copy, uint32_t *ret_tail_lost)
{
    memset(&look, 0, sizeof(look));
    look.image = image;
    *ret_tail_lost = 0;
    disk_destroy(stage_swap_disk(copy));
    if (!stage_start(conf, SHARDS)) {
        int code = stage_reap();
        SIM_CHECK(code == 1, "a start is refused with %d", code);
        return OUTCOME_REFUSED;
    }
    for (uint32_t from = 0; from < KEYS; from += KEYS_AT_ONCE) {
        check_keys(from);
    }
    check_whole();
    stage_kill();
    *ret_tail_lost = tail_lost();
    return look.errors > 0 ? OUTCOME_ERRORS : *ret_tail_lost > 0 ? OUTCOME_PREFIX : OUTCOME_SAME;
}
