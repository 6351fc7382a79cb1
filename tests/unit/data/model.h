/*
 * model: random work on one shard's keyspace beside a plain model of it, and comparisons of the
 * two.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "rig.h"

enum { MODEL_NAME_BYTES_MAX = STORE_KEY_BYTES_MAX };

struct model_key {
    uint8_t *name;
    uint32_t name_bytes;
    bool present;
    uint8_t *value;
    uint64_t value_bytes;
    int64_t expire_ms;
};

struct model {
    struct model_key *keys;
    uint32_t count;
    uint64_t present;
    struct random random;
    uint64_t value_bytes_max;
    char letter; /* of the keys: models with different ones have no key in common */
};

/* `count` keys of all lengths. */
void model_init(struct model *model, uint32_t count, uint64_t value_bytes_max, uint64_t seed);
void model_deinit(struct model *model);
/* As it is now. */
void model_copy(const struct model *model, struct model *copy);
/* Forgets the keys of other shards. */
void model_own(struct model *model, const struct keyspace *keyspace);
/* Random changes and reads, each compared. */
co_fn void model_work(struct model *model, struct keyspace *keyspace, uint32_t steps);
/* All keys, the count, and a scan. */
co_fn void model_check(struct model *model, struct keyspace *keyspace);
/* A whole scan in steps of `examine` keys: each present key exactly once. */
co_fn void model_check_scan(struct model *model, struct keyspace *keyspace, uint32_t examine);

#endif
