/*
 * mapper: where each logical page is: page id → position in a data file, for one partition.
 *
 * Model. A map is a tree of three levels: a root (array of directories), directories (512 chunks)
 * and chunks (512 positions of 8 bytes). A published map never changes: a change set copies the
 * chunks and directories that it touches, and publishing it yields a new root; so a commit costs
 * what it changed, not what the partition holds. Parts that the new map no longer shares with the
 * old one are handed out as `struct retired`; snapshot.h decides when they go.
 *
 * Page ids: the lowest free id is given out first, so that ids stay dense and equal
 * histories give equal ids, with or without a reopening between. A freed id may be given out again
 * at once: older maps still have their own meaning of it.
 *
 * Who calls: partition.c, tree_*.c, manifest.c. One thread, never suspends. One change set at a
 * time.
 */
#ifndef STORE_MAPPER_H
#define STORE_MAPPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "store/page.h"
#include "store/snapshot.h"

enum {
    MAPPER_CHUNK_PAGES = 512,
    MAPPER_DIR_CHUNKS = 512,
    MAPPER_DIRS_MAX = 16383, /* so that UINT32_MAX, "no page", is out of range */
    MAPPER_CHUNKS_MAX = MAPPER_DIR_CHUNKS * MAPPER_DIRS_MAX,
};

struct mapper;

/* A part of 512 positions. `changed` has a bit for each that the change set has touched. */
struct mapper_chunk {
    struct retired retired;
    struct mapper *mapper;
    struct list_node touched; /* in the change set that made it */
    uint32_t index;           /* its first id is index * MAPPER_CHUNK_PAGES */
    uint32_t used;            /* entries that are not FILE_POS_NONE */
    uint64_t changed[MAPPER_CHUNK_PAGES / 64];
    uint64_t positions[MAPPER_CHUNK_PAGES];
};

/* One version of the map. */
struct mapper_root;

/* A change set: the map to be. Zero it before mapper_begin. */
struct mapper_change {
    struct mapper *mapper;
    struct mapper_root *root; /* NULL: none open */
    struct list chunks;       /* touched, by mapper_chunk.touched, in the order of first touch */
    struct list dirs;
    struct list retired; /* what the old map has and the new one hasn't */
    int64_t pages;       /* added to the count of pages */
    int64_t pending;     /* allocated and not set yet */
};

/* An empty map of version 0. */
NODISCARD int mapper_create(struct mapper **ret_mapper);
/* Frees the current map; every other must have been released, no change set may be open. */
void mapper_destroy(struct mapper *mapper);

/* The current map. Stays valid while a snapshot of its version is held. */
struct mapper_root *mapper_root(const struct mapper *mapper);
uint64_t mapper_pages(const struct mapper *mapper); /* mapped in the current map */
uint64_t mapper_bytes(const struct mapper *mapper); /* memory, all versions together */

/* The position of a page, or FILE_POS_NONE if it is not mapped. */
struct file_pos mapper_get(const struct mapper_root *root, struct page_id page);

/* The first mapped page at or after `from`: true, and its id and position. */
bool mapper_next(const struct mapper_root *root, struct page_id from, struct page_id *ret_page,
                 struct file_pos *ret_pos);

/* The first chunk at or after chunk number `from`, NULL behind the last. */
const struct mapper_chunk *mapper_next_chunk(const struct mapper_root *root, uint32_t from);

/* Opens a change set that will publish `version`, above the current one. ERR_MEMORY. */
NODISCARD int mapper_begin(struct mapper *mapper, uint64_t version, struct mapper_change *change);

/* Gives out the lowest free id; it counts as mapped, to nowhere, until mapper_set. ERR_LIMIT,
 * ERR_MEMORY. */
NODISCARD int mapper_allocate(struct mapper_change *change, struct page_id *ret_page);

/* Puts the page at `pos`; FILE_POS_NONE frees it. The page was allocated or mapped before, but for
 * a replay of a manifest, which may set any id. ERR_LIMIT (id out of range), ERR_MEMORY. */
NODISCARD int mapper_set(struct mapper_change *change, struct page_id page, struct file_pos pos);

/* Frees a mapped id. ERR_MEMORY. */
NODISCARD int mapper_free(struct mapper_change *change, struct page_id page);

/* The position as the change set has it. */
struct file_pos mapper_change_get(const struct mapper_change *change, struct page_id page);

/* Makes the change set the current map and appends to `retired` what only older maps need. */
void mapper_publish(struct mapper_change *change, struct list *retired);

/* Forgets the change set. */
void mapper_abort(struct mapper_change *change);

#endif
