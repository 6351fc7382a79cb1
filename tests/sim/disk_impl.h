/*
 * disk_impl: what the parts of the simulated disk share.
 *
 *     disk.c          its life, the plan, damage by hand
 *     disk_image.c    chunks and images: the content of files
 *     disk_file.c     what files do with them: writes, truncation, sync
 *     disk_dir.c      names: current, durable, and the changes between
 *     disk_crash.c    what a power cut and a failed sync leave
 *     disk_call.c     one operation: its faults, its effect, its end; descriptors and locks
 *     disk_fail.c     the operation that is told to fail
 *     disk_names.c    operations on paths
 *     disk_door.c     the synchronous face
 *     disk_flight.c   the asynchronous face
 *
 * Content is held in chunks of 4 KiB, counted by reference and shared by the images of a file and
 * the pending writes that brought it; a chunk that is shared is never changed. NULL is a hole; all
 * whole chunks of zeros are one chunk, so preallocated files cost a pointer for each 4 KiB.
 *
 * Every change of a file or directory is a struct pending in the list of its inode, in the order in
 * which the changes took effect, until it is durable or lost.
 *
 * disk->sequence counts submissions and ends: a sync covers the changes whose end has a lower
 * number than its submission.
 */
#ifndef SIM_DISK_IMPL_H
#define SIM_DISK_IMPL_H

#include "base/list.h"
#include "disk.h"
#include "disk_fail.h"
#include "world.h"

enum {
    CHUNK_BYTES = 4096,
    SECTOR_BYTES = 512,
    CHUNK_SECTORS = CHUNK_BYTES / SECTOR_BYTES,
    SECTORS_ALL = (1 << CHUNK_SECTORS) - 1,
    NAME_BYTES_MAX = 255,
    PATH_BYTES_MAX = 4095,
    FD_FIRST = 1000,
    PENDING_MAX = 2048, /* of one file or directory */
    PER_MILLION = 1000000,
};

struct chunk {
    uint64_t refs;
    struct chunk *next_free;
    uint8_t data[CHUNK_BYTES];
};

/* One content of a file. Bytes of its last chunk above `bytes` are zeros. */
struct image {
    struct chunk **chunks;
    uint64_t capacity;  /* entries of `chunks` */
    uint64_t allocated; /* those not NULL */
    uint64_t bytes;
};

/* A part of a write: bytes [from, to) of the file's chunk `index`, and of `chunk`. */
struct piece {
    struct chunk *chunk; /* a reference */
    uint64_t index;
    uint16_t from, to;
    uint8_t kept; /* sectors, while a crash is decided */
};

enum pending_kind {
    PENDING_WRITE,
    PENDING_ALLOCATE,
    PENDING_TRUNCATE,
    PENDING_LINK,
    PENDING_UNLINK,
    PENDING_RENAME,
};

struct pending {
    struct list_node node;
    enum pending_kind kind;
    uint64_t ended;       /* disk->sequence then; 0: in flight */
    bool taken;           /* by the sync that is running */
    struct call *call;    /* in flight: its call->pending is this */
    uint64_t offset;      /* ALLOCATE */
    uint64_t bytes;       /* TRUNCATE: the file's; WRITE, ALLOCATE: where it ends */
    struct piece *pieces; /* WRITE; owned */
    uint32_t pieces_count;
    struct inode *inode; /* LINK, RENAME: it loses the name that it had; a reference */
    char *name;          /* LINK, UNLINK, RENAME: the new one; owned */
};

struct entry {
    char *name;
    struct inode *inode; /* a reference */
};

/* Sorted by name. */
struct names {
    struct entry *entries;
    uint32_t count, capacity;
};

struct inode {
    struct list_node node; /* disk->inodes, in order of creation */
    uint64_t number;
    bool is_dir;
    uint32_t refs;    /* names of both kinds, pending changes, descriptors, calls */
    uint32_t links;   /* current names */
    uint32_t opens;   /* descriptors */
    uint64_t counted; /* chunks that are in disk->used */
    int lock_fd;      /* 0: not locked; -1: by the dead process */
    bool diverged;    /* after a failed sync: current is not durable + pending */
    struct image current, durable;
    struct names names, names_durable;
    struct list pending; /* struct pending */
    uint32_t pending_count;
};

struct description {
    struct inode *inode; /* NULL: the descriptor is free */
    int flags;
};

/* One operation from its submission to its end. */
struct call {
    struct disk *disk;
    enum io_kind kind;
    int fd;
    int flags;           /* of the descriptor, or of an open */
    struct inode *inode; /* of fd; a reference */
    const char *path, *path_to;
    uint64_t offset, bytes;
    uint8_t *to;          /* IO_READ */
    struct piece *pieces; /* IO_WRITE, until they have become pending; owned */
    uint32_t pieces_count;
    uint64_t submitted;      /* disk->sequence then */
    struct pending *pending; /* what it has changed */
    bool dead;               /* its process is gone */
    int64_t result;
};

/* What disk_fail_at has asked for, and what has come of it. */
struct disk_fail {
    enum disk_fail_class class;
    uint64_t at; /* 0: none fails */
    bool sticky;
    bool happened;
    int error;
    uint64_t counts[DISK_FAIL_CLASSES];
};

struct disk {
    struct disk_plan plan;
    struct disk_fail fail;
    struct disk_stats stats;
    struct inode *root;
    struct list inodes;
    struct list flights; /* struct flight, in order of submission */
    uint32_t dead_count; /* flights of a dead process */
    uint64_t numbers;    /* of inodes, given */
    uint64_t sequence;
    uint64_t used; /* chunks of living files */
    struct chunk *zero;
    struct chunk *chunks_free;
    uint64_t chunks_count; /* in use */
    struct description fds[DISK_FDS_MAX];
    uint32_t fds_count;
};

/* The one that disk_mount has named. */
struct disk *disk_mounted(void);

/* ---- disk_image.c ---- */

struct chunk *chunk_new(struct disk *disk); /* content undefined, one reference */
void chunk_drop(struct disk *disk, struct chunk *chunk);
struct chunk *chunk_at(const struct image *image, uint64_t index); /* NULL: a hole */
/* Takes over the reference. */
void image_set(struct disk *disk, struct image *image, uint64_t index, struct chunk *chunk);
/* A chunk that only this image has, with the content that was there. */
struct chunk *image_own(struct disk *disk, struct image *image, uint64_t index);
void image_put(struct disk *disk, struct image *image, const struct piece *piece, uint8_t sectors);
void image_share(struct disk *disk, struct image *to, const struct image *from, uint64_t index);
void image_share_all(struct disk *disk, struct image *to, const struct image *from);
void image_grow(struct image *image, uint64_t bytes); /* to at least */
void image_truncate(struct disk *disk, struct image *image, uint64_t bytes);
void image_allocate(struct disk *disk, struct image *image, uint64_t offset, uint64_t bytes);
uint64_t image_read(const struct image *image, void *data, uint64_t bytes, uint64_t offset);
void image_clear(struct disk *disk, struct image *image);

struct piece *pieces_make(struct disk *disk, const void *data, uint64_t bytes, uint64_t offset,
                          uint32_t *ret_count);
uint64_t pieces_bytes(const struct piece *pieces, uint32_t count);
/* Cuts what is above `bytes`. */
void pieces_trim(struct disk *disk, struct piece *pieces, uint32_t *count, uint64_t bytes);
void pieces_free(struct disk *disk, struct piece *pieces, uint32_t count);

/* ---- disk_file.c ---- */

struct inode *inode_new(struct disk *disk, bool is_dir); /* one reference */
void inode_drop(struct disk *disk, struct inode *inode);
void inode_count_space(struct disk *disk, struct inode *inode);
bool disk_has_room(const struct disk *disk, uint64_t chunks);

struct pending *pending_new(struct inode *inode, enum pending_kind kind, struct call *call);
void pending_free(struct disk *disk, struct inode *inode, struct pending *pending);
/* Above PENDING_MAX the oldest become durable, as the kernel writes back what has lain about. */
void pending_write_back(struct disk *disk, struct inode *inode);

/* These take effect in `current`. Those with a call leave their pending there. */
void content_write(struct disk *disk, struct inode *inode, struct call *call);
void content_truncate(struct disk *disk, struct inode *inode, uint64_t bytes, struct call *call);
int content_allocate(struct disk *disk, struct inode *inode, struct call *call);
/* Makes durable what ended before `submitted`, by chance more. */
void content_sync(struct disk *disk, struct inode *inode, uint64_t submitted);
void content_apply(struct disk *disk, struct image *image, const struct pending *pending);

/* ---- disk_dir.c ---- */

struct inode *names_find(const struct names *names, const char *name);
void names_clear(struct disk *disk, struct names *names);
/* The first entry above `name`, or the first of all (NULL); NULL: there is none. */
const struct entry *names_after(const struct names *names, const char *name);

/* Resolves all but the last name of a path. */
int path_parent(struct disk *disk, const char *path, struct inode **ret_dir,
                char name[NAME_BYTES_MAX + 1]);
int path_find(struct disk *disk, const char *path, struct inode **ret_inode);

void dir_link(struct disk *disk, struct inode *dir, const char *name, struct inode *inode,
              struct call *call);
void dir_unlink(struct disk *disk, struct inode *dir, const char *name, struct call *call);
void dir_rename(struct disk *disk, struct inode *dir, const char *from, const char *to,
                struct call *call);
void dir_apply(struct disk *disk, struct names *names, const struct pending *pending);
void dir_sync(struct disk *disk, struct inode *dir, uint64_t submitted);
/* `names` are those that are durable from now on. */
void dir_revert(struct disk *disk, struct inode *dir);

/* ---- disk_crash.c ---- */

/* A sync that was submitted then has failed. */
void inode_sync_fails(struct disk *disk, struct inode *inode, uint64_t submitted);

/* ---- disk_call.c ---- */

struct description *fd_get(struct disk *disk, int fd);          /* a violation if it isn't open */
int fd_find_free(const struct disk *disk);                      /* an index, or -EMFILE */
int fd_open(struct disk *disk, struct inode *inode, int flags); /* the fd, or -EMFILE */
void fd_close(struct disk *disk, int fd);
int fd_lock(struct disk *disk, int fd);

/* Takes a reference to the descriptor's file, copies what an IO_WRITE brings; `data` is the buffer
 * of a transfer. Returns 0 or the error that it ends with. To be ended in any case. */
int call_begin(struct disk *disk, struct call *call, const void *data);
/* It takes effect; sets call->result. */
void disk_call_run(struct disk *disk, struct call *call);
void call_end(struct disk *disk, struct call *call);
/* Of a call that is no more; without effect if it had none. */
void call_drop(struct disk *disk, struct call *call);
/* By chance `error`, else 0. */
int call_fault(struct disk *disk, uint32_t rate, int error);
/* What the caller is to try again. */
int call_fault_of_moment(struct disk *disk, bool moves_bytes);
int disk_no_room(const struct disk *disk); /* the error */

/* ---- disk_fail.c ---- */

/* One operation more: 0, or the error that it is to end with. flags: of an open. */
int disk_fail_now(struct disk *disk, enum io_kind kind, int flags);

/* ---- disk_names.c ---- */

int64_t call_open(struct disk *disk, struct call *call);
int call_unlink(struct disk *disk, struct call *call, bool is_dir);
int64_t call_names(struct disk *disk, struct call *call); /* RENAME, UNLINK, MKDIR */

/* ---- disk_flight.c ---- */

void flights_killed(struct disk *disk);
/* Each may have had its effect by now. Then there are none. */
void flights_cut(struct disk *disk);

static inline bool coin(void)
{
    return world_below(STREAM_DISK, 2) == 0;
}

static inline uint64_t chunks_of(uint64_t bytes)
{
    return (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES;
}

#endif
