/*
 * blob: what only the bodies of data/ do with a blob. Its face stands in record.h.
 */
#ifndef DATA_BLOB_H
#define DATA_BLOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "data/record.h"

/* A blob over memory that came from mem_alloc, which it takes over on success: `data` lies within
 * `memory`. */
NODISCARD int blob_adopt(void *memory, uint8_t *data, uint64_t bytes, struct blob **ret_blob);
bool blob_is_shared(const struct blob *blob);
uint64_t blob_capacity(const struct blob *blob);
uint64_t blob_memory(const struct blob *blob);
/* Not shared, bytes <= capacity. */
void blob_set_bytes(struct blob *blob, uint64_t bytes);

#endif
