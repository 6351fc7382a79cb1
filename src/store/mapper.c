#include "store/mapper.h"

#include "base/assert.h"
#include "base/mem.h"

/* What a chunk holds for a free id, and for one that was given out and has no position yet. The
 * second is never published; no position has either value. */
static const uint64_t POS_FREE = UINT64_MAX;
static const uint64_t POS_PENDING = UINT64_MAX - 1;

struct mapper_dir {
    struct retired retired;
    struct mapper *mapper;
    struct list_node touched;
    uint32_t index;
    struct mapper_chunk *chunks[MAPPER_DIR_CHUNKS];
};

struct mapper_root {
    struct retired retired;
    struct mapper *mapper;
    uint64_t version;
    uint32_t dir_count;
    struct mapper_dir *dirs[];
};

/* `full` has a bit for each chunk without a free id, in the change set if one is open, else in the
 * current map; all chunks below `full_below` are full. */
struct mapper {
    struct mapper_root *root;
    uint64_t pages;
    uint64_t bytes;
    uint64_t *full;
    uint32_t full_words;
    uint32_t full_below;
    bool changing;
};

static uint32_t chunk_of(struct page_id page)
{
    return page.value / MAPPER_CHUNK_PAGES;
}

static uint32_t slot_of(struct page_id page)
{
    return page.value % MAPPER_CHUNK_PAGES;
}

/* ---- memory ---- */

static size_t root_bytes(uint32_t dir_count)
{
    return sizeof(struct mapper_root) + dir_count * sizeof(struct mapper_dir *);
}

static void chunk_release(struct retired *retired)
{
    struct mapper_chunk *chunk = container_of(retired, struct mapper_chunk, retired);
    chunk->mapper->bytes -= sizeof(*chunk);
    mem_free(chunk);
}

static void dir_release(struct retired *retired)
{
    struct mapper_dir *dir = container_of(retired, struct mapper_dir, retired);
    dir->mapper->bytes -= sizeof(*dir);
    mem_free(dir);
}

static void root_release(struct retired *retired)
{
    struct mapper_root *root = container_of(retired, struct mapper_root, retired);
    root->mapper->bytes -= root_bytes(root->dir_count);
    mem_free(root);
}

/* A copy of `old` (NULL: none) with room for dir_count directories. */
static struct mapper_root *root_copy(struct mapper *mapper, const struct mapper_root *old,
                                     uint64_t version, uint32_t dir_count)
{
    struct mapper_root *root = mem_calloc(1, root_bytes(dir_count));
    if (root == NULL) {
        return NULL;
    }
    root->retired.created = version;
    root->retired.release = root_release;
    root->mapper = mapper;
    root->version = version;
    root->dir_count = dir_count;
    if (old != NULL) {
        ASSERT(old->dir_count <= dir_count);
        memcpy(root->dirs, old->dirs, old->dir_count * sizeof(root->dirs[0]));
    }
    mapper->bytes += root_bytes(dir_count);
    return root;
}

static struct mapper_dir *dir_copy(struct mapper *mapper, const struct mapper_dir *old,
                                   uint64_t version, uint32_t index)
{
    struct mapper_dir *dir = mem_alloc(sizeof(*dir));
    if (dir == NULL) {
        return NULL;
    }
    *dir = (struct mapper_dir){.mapper = mapper, .index = index};
    dir->retired.created = version;
    dir->retired.release = dir_release;
    if (old != NULL) {
        memcpy(dir->chunks, old->chunks, sizeof(dir->chunks));
    }
    mapper->bytes += sizeof(*dir);
    return dir;
}

static struct mapper_chunk *chunk_copy(struct mapper *mapper, const struct mapper_chunk *old,
                                       uint64_t version, uint32_t index)
{
    struct mapper_chunk *chunk = mem_alloc(sizeof(*chunk));
    if (chunk == NULL) {
        return NULL;
    }
    *chunk = (struct mapper_chunk){.mapper = mapper, .index = index};
    chunk->retired.created = version;
    chunk->retired.release = chunk_release;
    if (old != NULL) {
        chunk->used = old->used;
        memcpy(chunk->positions, old->positions, sizeof(chunk->positions));
    } else {
        memset(chunk->positions, 0xff, sizeof(chunk->positions));
    }
    mapper->bytes += sizeof(*chunk);
    return chunk;
}

/* ---- which chunks are full ---- */

static bool full_get(const struct mapper *mapper, uint32_t chunk)
{
    return chunk / 64 < mapper->full_words && (mapper->full[chunk / 64] >> (chunk % 64) & 1) != 0;
}

/* Room for the bit of `chunk`. */
static int full_reserve(struct mapper *mapper, uint32_t chunk)
{
    if (chunk / 64 < mapper->full_words) {
        return 0;
    }
    uint32_t words = (chunk / 64 + 1) * 2;
    uint64_t *full = mem_realloc(mapper->full, words * sizeof(*full));
    if (full == NULL) {
        return ERR_MEMORY;
    }
    memset(full + mapper->full_words, 0, (words - mapper->full_words) * sizeof(*full));
    mapper->bytes += (words - mapper->full_words) * sizeof(*full);
    mapper->full = full;
    mapper->full_words = words;
    return 0;
}

static void full_put(struct mapper *mapper, uint32_t chunk, bool is_full)
{
    ASSERT(chunk / 64 < mapper->full_words);
    uint64_t bit = (uint64_t)1 << (chunk % 64);
    if (is_full) {
        mapper->full[chunk / 64] |= bit;
    } else {
        mapper->full[chunk / 64] &= ~bit;
        if (chunk < mapper->full_below) {
            mapper->full_below = chunk;
        }
    }
}

/* The first chunk that has a free id, or does not exist yet. */
static uint32_t full_first_free(struct mapper *mapper)
{
    uint32_t chunk = mapper->full_below;
    while (full_get(mapper, chunk)) {
        chunk++;
    }
    mapper->full_below = chunk;
    return chunk;
}

static bool chunk_is_full(const struct mapper_chunk *chunk)
{
    return chunk->used == MAPPER_CHUNK_PAGES;
}

/* ---- creation ---- */

int mapper_create(struct mapper **ret_mapper)
{
    struct mapper *mapper = mem_calloc(1, sizeof(*mapper));
    if (mapper == NULL) {
        return ERR_MEMORY;
    }
    mapper->bytes = sizeof(*mapper);
    mapper->root = root_copy(mapper, NULL, 0, 0);
    if (mapper->root == NULL) {
        mem_free(mapper);
        return ERR_MEMORY;
    }
    *ret_mapper = mapper;
    return 0;
}

void mapper_destroy(struct mapper *mapper)
{
    if (mapper == NULL) {
        return;
    }
    ASSERT(!mapper->changing);
    struct mapper_root *root = mapper->root;
    for (uint32_t d = 0; d < root->dir_count; d++) {
        struct mapper_dir *dir = root->dirs[d];
        for (uint32_t c = 0; dir != NULL && c < MAPPER_DIR_CHUNKS; c++) {
            if (dir->chunks[c] != NULL) {
                chunk_release(&dir->chunks[c]->retired);
            }
        }
        if (dir != NULL) {
            dir_release(&dir->retired);
        }
    }
    root_release(&root->retired);
    ASSERT(mapper->bytes == sizeof(*mapper) + mapper->full_words * sizeof(uint64_t));
    mem_free(mapper->full);
    mem_free(mapper);
}

/* ---- reading ---- */

struct mapper_root *mapper_root(const struct mapper *mapper)
{
    return mapper->root;
}

uint64_t mapper_pages(const struct mapper *mapper)
{
    return mapper->pages;
}

uint64_t mapper_bytes(const struct mapper *mapper)
{
    return mapper->bytes;
}

static struct mapper_chunk *chunk_find(const struct mapper_root *root, uint32_t chunk)
{
    uint32_t dir = chunk / MAPPER_DIR_CHUNKS;
    if (dir >= root->dir_count || root->dirs[dir] == NULL) {
        return NULL;
    }
    return root->dirs[dir]->chunks[chunk % MAPPER_DIR_CHUNKS];
}

struct file_pos mapper_get(const struct mapper_root *root, struct page_id page)
{
    const struct mapper_chunk *chunk = chunk_find(root, chunk_of(page));
    return (struct file_pos){chunk == NULL ? POS_FREE : chunk->positions[slot_of(page)]};
}

const struct mapper_chunk *mapper_next_chunk(const struct mapper_root *root, uint32_t from)
{
    for (uint32_t d = from / MAPPER_DIR_CHUNKS; d < root->dir_count; d++) {
        const struct mapper_dir *dir = root->dirs[d];
        uint32_t first = d == from / MAPPER_DIR_CHUNKS ? from % MAPPER_DIR_CHUNKS : 0;
        for (uint32_t c = first; dir != NULL && c < MAPPER_DIR_CHUNKS; c++) {
            if (dir->chunks[c] != NULL) {
                return dir->chunks[c];
            }
        }
    }
    return NULL;
}

bool mapper_next(const struct mapper_root *root, struct page_id from, struct page_id *ret_page,
                 struct file_pos *ret_pos)
{
    uint32_t first = slot_of(from);
    const struct mapper_chunk *chunk = mapper_next_chunk(root, chunk_of(from));
    while (chunk != NULL) {
        if (chunk->index != chunk_of(from)) {
            first = 0;
        }
        for (uint32_t slot = first; slot < MAPPER_CHUNK_PAGES; slot++) {
            if (chunk->positions[slot] != POS_FREE) {
                *ret_page = (struct page_id){chunk->index * MAPPER_CHUNK_PAGES + slot};
                *ret_pos = (struct file_pos){chunk->positions[slot]};
                return true;
            }
        }
        chunk = mapper_next_chunk(root, chunk->index + 1);
    }
    return false;
}

/* ---- changing ---- */

int mapper_begin(struct mapper *mapper, uint64_t version, struct mapper_change *change)
{
    ASSERT(!mapper->changing && change->root == NULL);
    ASSERT(version > mapper->root->version);
    struct mapper_root *root = root_copy(mapper, mapper->root, version, mapper->root->dir_count);
    if (root == NULL) {
        return ERR_MEMORY;
    }
    change->mapper = mapper;
    change->root = root;
    change->pages = 0;
    change->pending = 0;
    list_init(&change->chunks);
    list_init(&change->dirs);
    list_init(&change->retired);
    mapper->changing = true;
    return 0;
}

static int root_grow(struct mapper_change *change, uint32_t dir)
{
    struct mapper_root *old = change->root;
    if (dir < old->dir_count) {
        return 0;
    }
    struct mapper_root *root = root_copy(change->mapper, old, old->version, dir + 1);
    if (root == NULL) {
        return ERR_MEMORY;
    }
    root_release(&old->retired);
    change->root = root;
    return 0;
}

/* The change set's own copy of directory `index`. */
static int dir_touch(struct mapper_change *change, uint32_t index, struct mapper_dir **ret_dir)
{
    TRY(root_grow(change, index));
    struct mapper_root *root = change->root;
    struct mapper_dir *old = root->dirs[index];
    if (old == NULL || old->retired.created != root->version) {
        struct mapper_dir *dir = dir_copy(change->mapper, old, root->version, index);
        if (dir == NULL) {
            return ERR_MEMORY;
        }
        list_push_back(&change->dirs, &dir->touched);
        if (old != NULL) {
            list_push_back(&change->retired, &old->retired.node);
        }
        root->dirs[index] = dir;
    }
    *ret_dir = root->dirs[index];
    return 0;
}

/* The change set's own copy of chunk `index`. */
static int chunk_touch(struct mapper_change *change, uint32_t index,
                       struct mapper_chunk **ret_chunk)
{
    if (index >= MAPPER_CHUNKS_MAX) {
        return ERR_LIMIT;
    }
    struct mapper_chunk *old = chunk_find(change->root, index);
    uint64_t version = change->root->version;
    if (old != NULL && old->retired.created == version) {
        *ret_chunk = old;
        return 0;
    }
    struct mapper_dir *dir;
    TRY(full_reserve(change->mapper, index));
    TRY(dir_touch(change, index / MAPPER_DIR_CHUNKS, &dir));
    struct mapper_chunk *chunk = chunk_copy(change->mapper, old, version, index);
    if (chunk == NULL) {
        return ERR_MEMORY;
    }
    list_push_back(&change->chunks, &chunk->touched);
    if (old != NULL) {
        list_push_back(&change->retired, &old->retired.node);
    }
    dir->chunks[index % MAPPER_DIR_CHUNKS] = chunk;
    *ret_chunk = chunk;
    return 0;
}

static void chunk_put(struct mapper_change *change, struct mapper_chunk *chunk, uint32_t slot,
                      uint64_t pos)
{
    uint64_t old = chunk->positions[slot];
    int added = (pos != POS_FREE) - (old != POS_FREE);
    chunk->positions[slot] = pos;
    chunk->changed[slot / 64] |= (uint64_t)1 << (slot % 64);
    chunk->used += (uint32_t)added;
    change->pages += added;
    change->pending += (pos == POS_PENDING) - (old == POS_PENDING);
    full_put(change->mapper, chunk->index, chunk_is_full(chunk));
}

int mapper_allocate(struct mapper_change *change, struct page_id *ret_page)
{
    ASSERT(change->root != NULL);
    struct mapper_chunk *chunk;
    TRY(chunk_touch(change, full_first_free(change->mapper), &chunk));
    uint32_t slot = 0;
    while (chunk->positions[slot] != POS_FREE) {
        slot++;
        ASSERT(slot < MAPPER_CHUNK_PAGES);
    }
    chunk_put(change, chunk, slot, POS_PENDING);
    *ret_page = (struct page_id){chunk->index * MAPPER_CHUNK_PAGES + slot};
    return 0;
}

int mapper_set(struct mapper_change *change, struct page_id page, struct file_pos pos)
{
    ASSERT(change->root != NULL && pos.value != POS_PENDING);
    struct mapper_chunk *chunk;
    TRY(chunk_touch(change, chunk_of(page), &chunk));
    chunk_put(change, chunk, slot_of(page), pos.value);
    return 0;
}

int mapper_free(struct mapper_change *change, struct page_id page)
{
    ASSERT(mapper_get(change->root, page).value != POS_FREE);
    return mapper_set(change, page, FILE_POS_NONE);
}

struct file_pos mapper_change_get(const struct mapper_change *change, struct page_id page)
{
    struct file_pos pos = mapper_get(change->root, page);
    return pos.value == POS_PENDING ? FILE_POS_NONE : pos;
}

/* The touched parts leave the change set's lists; a chunk that has become empty goes at once. */
static void change_settle_touched(struct mapper_change *change)
{
    struct list_node *node;
    while ((node = list_pop_front(&change->chunks)) != NULL) {
        struct mapper_chunk *chunk = container_of(node, struct mapper_chunk, touched);
        memset(chunk->changed, 0, sizeof(chunk->changed));
        if (chunk->used == 0) {
            struct mapper_dir *dir = change->root->dirs[chunk->index / MAPPER_DIR_CHUNKS];
            dir->chunks[chunk->index % MAPPER_DIR_CHUNKS] = NULL;
            chunk_release(&chunk->retired);
        }
    }
    while (list_pop_front(&change->dirs) != NULL) {
    }
}

void mapper_publish(struct mapper_change *change, struct list *retired)
{
    struct mapper *mapper = change->mapper;
    ASSERT(mapper->changing && change->root != NULL);
    ASSERT(change->pending == 0);
    change_settle_touched(change);
    list_splice_back(retired, &change->retired);
    list_push_back(retired, &mapper->root->retired.node);
    mapper->root = change->root;
    mapper->pages += (uint64_t)change->pages;
    mapper->changing = false;
    change->root = NULL;
}

/* The bits of `full` as the current map has them. */
static void change_restore_full(struct mapper_change *change)
{
    struct mapper *mapper = change->mapper;
    LIST_FOREACH (&change->chunks, node) {
        const struct mapper_chunk *chunk = container_of(node, struct mapper_chunk, touched);
        const struct mapper_chunk *old = chunk_find(mapper->root, chunk->index);
        full_put(mapper, chunk->index, old != NULL && chunk_is_full(old));
    }
}

void mapper_abort(struct mapper_change *change)
{
    struct mapper *mapper = change->mapper;
    if (change->root == NULL) {
        return;
    }
    change_restore_full(change);
    struct list_node *node;
    while ((node = list_pop_front(&change->chunks)) != NULL) {
        chunk_release(&container_of(node, struct mapper_chunk, touched)->retired);
    }
    while ((node = list_pop_front(&change->dirs)) != NULL) {
        dir_release(&container_of(node, struct mapper_dir, touched)->retired);
    }
    while (list_pop_front(&change->retired) != NULL) {
    }
    root_release(&change->root->retired);
    mapper->changing = false;
    change->root = NULL;
}
