/*
 * Cursors: numbers that clients hold for positions that we hold.
 *
 *     number   bits 52..38 partition + 1, 37..0 serial
 *
 * It has 53 bits because there are clients that keep a cursor as a double (node-redis 4): a larger
 * one would come back as another number.
 *
 * Serials go up by one from a random start, and a position lies in the slot serial % cursors_max,
 * so the newest cursors_max are there and an older one's slot has another serial. The bits above
 * the serial's 38 are cut off, and the one that would be 0 then is left out.
 */
#include "base/mem.h"
#include "base/random.h"
#include "data/scan.h"

enum { SERIAL_BITS = 38, FIRST_CHUNK = 64 };

#define SERIAL_MASK ((UINT64_C(1) << SERIAL_BITS) - 1)

static_assert(SCAN_CURSORS_MAX > 0 && (SCAN_CURSORS_MAX & (SCAN_CURSORS_MAX - 1)) == 0,
              "divides 2^SERIAL_BITS: a cut serial leads to the same slot");

struct cursor {
    uint64_t number;
    uint32_t space;
    uint32_t hash_next;
    uint32_t key_bytes;
    bool in_tree;
    bool after_key;
    uint8_t key[];
};

struct scan_cursors {
    uint64_t serial; /* of the last one */
    uint32_t cursors_max;
    uint32_t capacity;
    struct cursor **slots; /* owned, each of them too; grows up to cursors_max */
};

int scan_cursors_create(uint32_t cursors_max, struct scan_cursors **ret_cursors)
{
    ASSERT(cursors_max > 0);
    struct scan_cursors *cursors = mem_calloc(1, sizeof(*cursors));
    if (cursors == NULL) {
        return ERR_MEMORY;
    }
    cursors->cursors_max = cursors_max;
    random_from_os(&cursors->serial, sizeof(cursors->serial));
    cursors->serial &= SERIAL_MASK;
    /* A multiple, so that slots are used from the first on. */
    cursors->serial -= cursors->serial % cursors_max;
    *ret_cursors = cursors;
    return 0;
}

void scan_cursors_destroy(struct scan_cursors *cursors)
{
    for (uint32_t i = 0; i < cursors->capacity; i++) {
        mem_free(cursors->slots[i]);
    }
    mem_free(cursors->slots);
    mem_free(cursors);
}

static int make_slot(struct scan_cursors *cursors, uint32_t slot)
{
    if (slot < cursors->capacity) {
        return 0;
    }
    uint32_t capacity = cursors->capacity == 0 ? FIRST_CHUNK : 2 * cursors->capacity;
    if (capacity > cursors->cursors_max) {
        capacity = cursors->cursors_max;
    }
    ASSERT(slot < capacity);
    struct cursor **slots = mem_calloc(capacity, sizeof(struct cursor *));
    if (slots == NULL) {
        return ERR_MEMORY;
    }
    if (cursors->capacity > 0) {
        memcpy(slots, cursors->slots, cursors->capacity * sizeof(struct cursor *));
    }
    mem_free(cursors->slots);
    cursors->slots = slots;
    cursors->capacity = capacity;
    return 0;
}

int scan_cursors_put(struct scan_cursors *cursors, uint32_t partition, uint32_t space,
                     const struct scan_position *position, uint64_t *ret_number)
{
    uint64_t serial = cursors->serial + 1;
    serial += (serial & SERIAL_MASK) == 0;
    uint32_t slot = (uint32_t)((serial - 1) % cursors->cursors_max);
    TRY(make_slot(cursors, slot));
    uint32_t key_bytes = position->in_tree ? position->key_bytes : 0;
    struct cursor *cursor = mem_alloc(sizeof(*cursor) + key_bytes);
    if (cursor == NULL) {
        return ERR_MEMORY;
    }
    *cursor = (struct cursor){
        .number = ((uint64_t)partition + 1) << SERIAL_BITS | (serial & SERIAL_MASK),
        .space = space,
        .hash_next = position->hash_next,
        .key_bytes = key_bytes,
        .in_tree = position->in_tree,
        .after_key = position->in_tree && position->after_key,
    };
    if (key_bytes > 0) {
        memcpy(cursor->key, position->key, key_bytes);
    }
    mem_free(cursors->slots[slot]);
    cursors->slots[slot] = cursor;
    cursors->serial = serial;
    *ret_number = cursor->number;
    return 0;
}

int scan_cursors_get(const struct scan_cursors *cursors, uint64_t number, uint32_t *ret_space,
                     struct scan_position *ret_position)
{
    uint64_t serial = number & SERIAL_MASK;
    uint32_t slot = (uint32_t)((serial - 1) % cursors->cursors_max);
    if (serial == 0 || slot >= cursors->capacity || cursors->slots[slot] == NULL ||
        cursors->slots[slot]->number != number) {
        return ERR_NOT_FOUND;
    }
    const struct cursor *cursor = cursors->slots[slot];
    *ret_space = cursor->space;
    ret_position->in_tree = cursor->in_tree;
    ret_position->hash_next = cursor->hash_next;
    ret_position->after_key = cursor->after_key;
    ret_position->key_bytes = cursor->key_bytes;
    if (cursor->key_bytes > 0) {
        memcpy(ret_position->key, cursor->key, cursor->key_bytes);
    }
    return 0;
}

uint32_t scan_cursor_partition(uint64_t number)
{
    uint64_t partition = number >> SERIAL_BITS;
    bool can_be = partition > 0 && partition <= 16384 && (number & SERIAL_MASK) != 0;
    return can_be ? (uint32_t)partition - 1 : UINT32_MAX;
}
