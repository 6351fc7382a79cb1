#include "model.h"

#include <string.h>

#include "data/scan.h"
#include "shard/await.h"

/* Far in the future. */
#define SOME_TIME_MS INT64_C(99000000000000)

/* ---- keys and values ---- */

static uint32_t random_name_bytes(struct model *model, uint32_t index)
{
    static const uint32_t special[] = {0, 1, 2, 3, 8, 15, 16, 17, 300, STORE_KEY_BYTES_MAX};
    if (index < sizeof(special) / sizeof(special[0])) {
        return special[index];
    }
    return 5 + (uint32_t)random_below(&model->random, 30);
}

void model_init(struct model *model, uint32_t count, uint64_t value_bytes_max, uint64_t seed)
{
    *model = (struct model){
        .count = count,
        .value_bytes_max = value_bytes_max,
        .letter = (char)('a' + seed % 26),
    };
    random_seed(&model->random, seed);
    model->keys = calloc(count, sizeof(*model->keys));
    for (uint32_t i = 0; i < count; i++) {
        struct model_key *key = &model->keys[i];
        key->name_bytes = random_name_bytes(model, i);
        key->name = malloc(key->name_bytes + 1);
        memset(key->name, model->letter, key->name_bytes);
        if (key->name_bytes >= 4) {
            store_be32(key->name + key->name_bytes - 4, i);
        }
    }
}

void model_deinit(struct model *model)
{
    for (uint32_t i = 0; i < model->count; i++) {
        free(model->keys[i].name);
        free(model->keys[i].value);
    }
    free(model->keys);
}

static void *copy_bytes(const uint8_t *from, uint64_t bytes)
{
    uint8_t *to = malloc(bytes + 1);
    if (bytes > 0) {
        memcpy(to, from, bytes);
    }
    return to;
}

void model_copy(const struct model *model, struct model *copy)
{
    *copy = *model;
    copy->keys = calloc(model->count, sizeof(*copy->keys));
    for (uint32_t i = 0; i < model->count; i++) {
        const struct model_key *key = &model->keys[i];
        copy->keys[i] = *key;
        copy->keys[i].name = copy_bytes(key->name, key->name_bytes);
        copy->keys[i].value = key->value == NULL ? NULL : copy_bytes(key->value, key->value_bytes);
    }
}

static struct key key_of(const struct keyspace *keyspace, const struct model_key *key)
{
    return keyspace_key(keyspace, keyspace_space(keyspace, 0),
                        slice_of(key->name, key->name_bytes));
}

void model_own(struct model *model, const struct keyspace *keyspace)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < model->count; i++) {
        struct key key = key_of(keyspace, &model->keys[i]);
        if (keyspace->by_partition[key.partition] != NULL) {
            model->keys[kept++] = model->keys[i];
        } else {
            free(model->keys[i].name);
        }
    }
    model->count = kept;
}

static uint64_t random_value_bytes(struct model *model)
{
    uint64_t most;
    switch (random_below(&model->random, 40)) {
    case 0:
        most = model->value_bytes_max;
        break;
    case 1:
    case 2:
        most = 9000;
        break;
    case 3:
    case 4:
    case 5:
        most = 2500;
        break;
    default:
        most = 150;
    }
    return random_below(&model->random, min_u64(most, model->value_bytes_max) + 1);
}

static void set_value(struct model *model, struct model_key *key, uint64_t bytes)
{
    free(key->value);
    key->value = malloc(bytes + 1);
    key->value_bytes = bytes;
    uint64_t pattern = random_u64(&model->random);
    for (uint64_t i = 0; i < bytes; i++) {
        key->value[i] = (uint8_t)(pattern >> (i % 8 * 8)) ^ (uint8_t)(i / 8);
    }
    model->present += !key->present;
    key->present = true;
}

static int64_t random_expire(struct model *model)
{
    return random_below(&model->random, 3) == 0
               ? SOME_TIME_MS + (int64_t)random_below(&model->random, 1000000)
               : 0;
}

/* ---- steps ---- */

static void compare(const struct model_key *expected, int found, const struct record *record)
{
    MUST_BE(found, expected->present);
    if (found == 1) {
        MUST(slice_equal(record_key(record), slice_of(expected->name, expected->name_bytes)));
        MUST_BE(record_value(record).bytes, expected->value_bytes);
        MUST(slice_equal(record_value(record), slice_of(expected->value, expected->value_bytes)));
        MUST_BE(record_expire_ms(record), expected->expire_ms);
    }
}

static co_fn void step_get(struct keyspace *keyspace, const struct model_key *expected)
{
    struct key key = key_of(keyspace, expected);
    struct record *record;
    int found = rig_find(keyspace, &key, &record);
    compare(expected, found, record);
}

static void step_put(struct model *model, struct keyspace *keyspace, struct model_key *expected)
{
    struct key key = key_of(keyspace, expected);
    set_value(model, expected, random_value_bytes(model));
    expected->expire_ms = random_expire(model);
    struct put put = {
        .expire_ms = expected->expire_ms,
        .value = slice_of(expected->value, expected->value_bytes),
    };
    if (random_below(&model->random, 4) == 0) {
        MUST_BE(blob_create(expected->value_bytes, expected->value_bytes, &put.blob), 0);
        memcpy(blob_data(put.blob), expected->value, expected->value_bytes);
        put.value = slice_of(NULL, 0);
    }
    MUST_BE(keyspace_put(keyspace, &key, &put), 0);
}

static co_fn void step_remove(struct model *model, struct keyspace *keyspace,
                              struct model_key *expected)
{
    struct key key = key_of(keyspace, expected);
    MUST_BE(rig_load(keyspace, &key), 0);
    MUST_BE(keyspace_remove(keyspace, &key), expected->present);
    keyspace_unpin(keyspace, &key);
    model->present -= expected->present;
    expected->present = false;
    expected->expire_ms = 0;
}

static co_fn void step_expire(struct model *model, struct keyspace *keyspace,
                              struct model_key *expected)
{
    struct key key = key_of(keyspace, expected);
    MUST_BE(rig_load(keyspace, &key), 0);
    int64_t expire_ms = random_expire(model);
    int err = keyspace_set_expire(keyspace, &key, expire_ms);
    MUST_BE(err, expected->present ? 0 : ERR_NOT_FOUND);
    if (err == 0) {
        expected->expire_ms = expire_ms;
    }
    keyspace_unpin(keyspace, &key);
}

static co_fn void step_range(struct model *model, struct keyspace *keyspace,
                             struct model_key *expected)
{
    struct key key = key_of(keyspace, expected);
    MUST_BE(rig_load(keyspace, &key), 0);
    uint8_t bytes[300];
    uint64_t length = 1 + random_below(&model->random, sizeof(bytes));
    memset(bytes, (int)random_below(&model->random, 256), sizeof(bytes));
    uint64_t old = expected->present ? expected->value_bytes : 0;
    uint64_t offset =
        random_below(&model->random, 2) == 0 ? old : random_below(&model->random, old + 100);
    int err = keyspace_write_range(keyspace, &key, offset, slice_of(bytes, length));
    MUST_BE(err, expected->present ? 0 : ERR_NOT_FOUND);
    if (err == 0) {
        uint64_t new_bytes = max_u64(old, offset + length);
        expected->value = realloc(expected->value, new_bytes + 1);
        memset(expected->value + old, 0, new_bytes - old);
        memcpy(expected->value + offset, bytes, length);
        expected->value_bytes = new_bytes;
    }
    keyspace_unpin(keyspace, &key);
}

static struct model_key *random_key(struct model *model)
{
    return &model->keys[random_below(&model->random, model->count)];
}

static co_fn void step(struct model *model, struct keyspace *keyspace)
{
    struct model_key *key = random_key(model);
    switch (random_below(&model->random, 16)) {
    case 0:
    case 1:
        step_remove(model, keyspace, key);
        break;
    case 2:
        step_expire(model, keyspace, key);
        break;
    case 3:
    case 4:
        step_range(model, keyspace, key);
        break;
    case 5:
        keyspace_group_begin(keyspace);
        for (uint64_t i = random_below(&model->random, 5); i > 0; i--) {
            step_put(model, keyspace, random_key(model));
        }
        keyspace_group_end(keyspace);
        break;
    case 6:
    case 7:
    case 8:
    case 9:
        step_put(model, keyspace, key);
        break;
    default:
        step_get(keyspace, key);
        break;
    }
}

co_fn void model_work(struct model *model, struct keyspace *keyspace, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        while (!keyspace_admits(keyspace, 0)) {
            MUST_BE(keyspace_write_error(keyspace), 0);
            await_sleep_ns(keyspace->shard, 100000);
        }
        step(model, keyspace);
    }
}

/* ---- everything ---- */

struct scanned {
    struct model *model;
    uint8_t *met; /* per key */
};

static bool scan_one(void *context, struct slice name, const struct record *record, uint8_t type)
{
    struct scanned *scanned = context;
    MUST_BE(type, RECORD_STRING);
    MUST(record == NULL || slice_equal(record_key(record), name));
    for (uint32_t i = 0; i < scanned->model->count; i++) {
        const struct model_key *key = &scanned->model->keys[i];
        if (slice_equal(slice_of(key->name, key->name_bytes), name)) {
            MUST(key->present);
            scanned->met[i]++;
            return true;
        }
    }
    MUST(false);
    return false;
}

co_fn void model_check_scan(struct model *model, struct keyspace *keyspace, uint32_t examine)
{
    struct scanned scanned = {.model = model, .met = calloc(model->count + 1, 1)};
    struct scan_position *position = malloc(sizeof(*position));
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        memset(position, 0, sizeof(*position));
        while (true) {
            struct scan_range range = {
                .partition = keyspace->shelves[i].number,
                .space = keyspace_space(keyspace, 0),
                .examine_max = examine,
            };
            int more = scan_partition(keyspace, &range, position, scan_one, &scanned);
            MUST(more >= 0);
            if (more == 0) {
                break;
            }
        }
    }
    for (uint32_t i = 0; i < model->count; i++) {
        MUST_BE(scanned.met[i], model->keys[i].present);
    }
    free(position);
    free(scanned.met);
}

co_fn void model_check(struct model *model, struct keyspace *keyspace)
{
    for (uint32_t i = 0; i < model->count; i++) {
        step_get(keyspace, &model->keys[i]);
    }
    MUST_BE(rig_count(keyspace), model->present);
    model_check_scan(model, keyspace, UINT32_MAX);
}
