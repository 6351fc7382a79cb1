/*
 * record: one key with its value in memory, in one allocation; large values in a shared blob.
 *
 * Layout: struct record | expire_ms (8 bytes, only with RECORD_EXPIRES) | key bytes | value bytes
 * or a blob pointer (RECORD_BLOB, 8 bytes, unaligned). Only data/ changes records; cmd reads them
 * through the functions below.
 */
#ifndef DATA_RECORD_H
#define DATA_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

enum record_type { RECORD_STRING = 0 };

/* `meta` of a string: kept on disk, decides OBJECT ENCODING. */
enum { RECORD_META_RAW = 1 }; /* was changed in place (APPEND, SETRANGE): "raw" even if short */

enum { RECORD_BLOB_BYTES_MIN = 4096 }; /* values of this size and more live in a blob */

struct record;
int64_t record_expire_ms(const struct record *record); /* 0: never */
struct slice record_key(const struct record *record);
struct slice record_value(const struct record *record); /* borrowed */
uint8_t record_type(const struct record *record);
uint8_t record_meta(const struct record *record);
uint32_t record_access_s(const struct record *record); /* shard's seconds at the last touch */
uint64_t record_memory(const struct record *record);   /* bytes allocated, blob included */

/* ---- large values, shared by reference between the table, replies under way, checkpoints ---- */

/* The count is atomic: a reply may be sent by another shard. Content is immutable while more than
 * one reference exists. */
struct blob;
NODISCARD int blob_create(uint64_t bytes, uint64_t capacity, struct blob **ret_blob);
uint8_t *blob_data(struct blob *blob);
uint64_t blob_bytes(const struct blob *blob);
struct blob *blob_hold(struct blob *blob);
void blob_drop(void *blob); /* fits output_release_fn */
/* The record's blob, NULL if the value is inline. Borrowed: blob_hold to keep it. */
struct blob *record_blob(const struct record *record);

#endif
