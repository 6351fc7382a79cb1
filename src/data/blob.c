/*
 * Blobs: large values by reference. Its face stands in record.h.
 *
 * The bytes lie behind the header, or in memory that was taken over from a read of the store (so
 * that a value of 512 MB is not copied once more).
 */
#include "data/blob.h"

#include <stdatomic.h>

#include "base/mem.h"

struct blob {
    _Atomic uint32_t references;
    uint64_t bytes;
    uint64_t capacity;
    uint8_t *data;
    void *adopted; /* memory that is freed with it; NULL: the bytes lie behind the header */
};

int blob_create(uint64_t bytes, uint64_t capacity, struct blob **ret_blob)
{
    ASSERT(bytes <= capacity);
    if (capacity > SIZE_MAX - sizeof(struct blob)) {
        return ERR_MEMORY;
    }
    struct blob *blob = mem_alloc(sizeof(*blob) + capacity);
    if (blob == NULL) {
        return ERR_MEMORY;
    }
    blob->bytes = bytes;
    blob->capacity = capacity;
    blob->data = (uint8_t *)(blob + 1);
    blob->adopted = NULL;
    atomic_init(&blob->references, 1);
    *ret_blob = blob;
    return 0;
}

int blob_adopt(void *memory, uint8_t *data, uint64_t bytes, struct blob **ret_blob)
{
    struct blob *blob = mem_alloc(sizeof(*blob));
    if (blob == NULL) {
        return ERR_MEMORY;
    }
    blob->bytes = bytes;
    blob->capacity = bytes;
    blob->data = data;
    blob->adopted = memory;
    atomic_init(&blob->references, 1);
    *ret_blob = blob;
    return 0;
}

uint8_t *blob_data(struct blob *blob)
{
    return blob->data;
}

uint64_t blob_bytes(const struct blob *blob)
{
    return blob->bytes;
}

uint64_t blob_capacity(const struct blob *blob)
{
    return blob->capacity;
}

uint64_t blob_memory(const struct blob *blob)
{
    return mem_usable(blob) + (blob->adopted == NULL ? 0 : mem_usable(blob->adopted));
}

void blob_set_bytes(struct blob *blob, uint64_t bytes)
{
    ASSERT(bytes <= blob->capacity);
    ASSERT(!blob_is_shared(blob));
    blob->bytes = bytes;
}

struct blob *blob_hold(struct blob *blob)
{
    uint32_t before = atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
    ASSERT(before > 0 && before < UINT32_MAX);
    return blob;
}

void blob_drop(void *pointer)
{
    struct blob *blob = pointer;
    uint32_t before = atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1) {
        mem_free(blob->adopted);
        mem_free(blob);
    }
}

bool blob_is_shared(const struct blob *blob)
{
    return atomic_load_explicit(&blob->references, memory_order_acquire) > 1;
}
