/*
 * store_rig: one shard with a store over a directory in memory (tmpfs where there is one), for
 * targets that read whole files of a partition. Made by the first use, and removed at the exit.
 */
#ifndef TESTS_FUZZ_STORE_RIG_H
#define TESTS_FUZZ_STORE_RIG_H

#include "base/slice.h"
#include "shard/shard.h"
#include "store/store.h"

enum { RIG_PARTITION = 3 };
#define RIG_STORE_ID UINT64_C(0x1122334455667788)

/* A fresh directory that is removed at the exit; `path` has room for 64 bytes. */
void rig_directory(char *path);

void rig_start(void);
struct store *rig_store(void);
/* In a coroutine of the shard. */
void rig_run(shard_call_fn *body, void *argument);

/* Writes a file of the partition's directory; it becomes at least `bytes_min` long. */
void rig_write(const char *name, struct slice bytes, uint64_t bytes_min);
void rig_path(const char *name, char *path, size_t path_bytes);
/* Removes all that is in the partition's directory. */
void rig_clear(void);

#endif
