/*
 * change: the bodies of log records: what happened to a key, physically. Formats: change.c.
 *
 * Pure: memory to memory. Any thread; nothing suspends.
 */
#ifndef DATA_CHANGE_H
#define DATA_CHANGE_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "data/keyspace.h"

/* Types of log records; on disk. */
enum change_kind {
    CHANGE_PUT = 1,    /* the key has this value, whatever it had before */
    CHANGE_REMOVE = 2, /* the key is gone */
    CHANGE_EXPIRE = 3, /* only its expiry is another; if it exists */
    CHANGE_RANGE = 4,  /* these bytes stand at this offset of its value; if it exists */
    CHANGE_GROUP = 5,  /* several of the above, whole or not at all */
    CHANGE_SPACES = 6, /* a new map of databases to spaces */
};

/* One change of one key. Slices are borrowed. */
struct change_view {
    enum change_kind kind; /* PUT .. RANGE */
    uint8_t type;          /* PUT */
    uint8_t meta;          /* PUT */
    uint32_t space;
    int64_t expire_ms; /* PUT, EXPIRE; 0: never */
    uint64_t offset;   /* RANGE */
    struct slice key;
    struct slice value; /* PUT; RANGE: the bytes */
};

enum {
    CHANGE_HEAD_BYTES_MAX = 32,   /* what stands before the key of a body */
    CHANGE_GROUP_HEAD_BYTES = 4,  /* what stands before the first member of a group */
    CHANGE_MEMBER_HEAD_BYTES = 5, /* and before each member */
    CHANGE_SPACES_BYTES_MAX = 5 * (2 + KEYSPACE_DATABASES_MAX),
};

/* Writes what stands before the key; returns its length. The body is head, key, value. */
uint32_t change_encode_head(const struct change_view *change, uint8_t *to);

/* A group under way: `body` begins with room for the count, which change_group_close fills in. */
void change_group_open(struct buffer *body);
/* Makes room for a member. ERR_MEMORY or ERR_LIMIT: the group is as before. */
NODISCARD int change_group_reserve(struct buffer *body, uint64_t key_bytes, uint64_t value_bytes);
/* Appends a member for which room was made. */
void change_group_add(struct buffer *body, const struct change_view *change);
void change_group_close(struct buffer *body, uint32_t count);

/* Returns the bytes written to `to` (CHANGE_SPACES_BYTES_MAX). */
uint32_t change_encode_spaces(const uint32_t *spaces, uint32_t databases, uint32_t space_next,
                              uint8_t *to);

/* ---- bytes from a log ---- */

/* A body of kind PUT .. RANGE. Slices point into `body`. 0; ERR_TRUNCATED, ERR_LIMIT or
 * ERR_PROTOCOL: not what change_encode_head can have made. */
NODISCARD int change_check(uint8_t kind, struct slice body, struct change_view *ret_change);

/* The members of a group: begin, then next until it returns 0; 1: a member. Errors as above. */
struct change_group {
    struct slice left;
    uint32_t count; /* members not yet taken */
};
NODISCARD int change_group_check(struct slice body, struct change_group *ret_group);
NODISCARD int change_group_next(struct change_group *group, struct change_view *ret_change);

/* `spaces` has KEYSPACE_DATABASES_MAX entries. */
NODISCARD int change_check_spaces(struct slice body, uint32_t *spaces, uint32_t *ret_databases,
                                  uint32_t *ret_space_next);

#endif
