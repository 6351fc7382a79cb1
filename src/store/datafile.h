/*
 * datafile: the append-only data files of a partition: their names, open descriptors, counters.
 *
 * Model. pNNNN/data-<n>.dat is a run of 4 KiB pages, numbered from 0. A page is written once. A
 * file knows how many pages it has and how many of them are live in the newest version; a commit
 * stages changes of both, and publishing makes them the truth. Only one file, the active one,
 * grows; it is sealed when it has reached its size, and whatever was found at opening is sealed. A
 * sealed file without a live page is dead and retired (snapshot.h); when no version needs it any
 * longer it leaves the table, is closed and handed to `dispose`. Numbers are never used twice.
 *
 * Descriptors are opened when needed. A shard keeps at most open_max of them; beyond that the one
 * that nobody has used for the longest time is closed.
 *
 * Who calls: partition.c, data_writer.c, tree_page.c, extent.c. One thread; co_fn as marked.
 */
#ifndef STORE_DATAFILE_H
#define STORE_DATAFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "io/io.h"
#include "shard/shard.h"
#include "shard/sync.h"
#include "store/page.h"
#include "store/snapshot.h"

/* Bounds the open data files of one shard. */
struct datafile_pool {
    struct shard *shard;
    uint32_t open; /* descriptors, those being opened or closed included */
    uint32_t open_max;
    struct list idle;      /* open files without a user, longest unused first */
    struct co_event moved; /* something was opened, closed or let go */
};

void datafile_pool_init(struct datafile_pool *pool, struct shard *shard, uint32_t open_max);

struct datafiles;

enum datafile_fate {
    DATAFILE_STAYS,     /* it is in the table */
    DATAFILE_DISPOSED,  /* no version needs it: the file goes too */
    DATAFILE_FORGOTTEN, /* only the object goes */
};

struct datafile {
    struct retired retired; /* created: version of the commit that made it */
    struct datafiles *owner;
    uint64_t number;
    uint32_t pages;      /* in the newest version */
    uint32_t live;       /* of them in use */
    uint32_t pages_next; /* the same with the open commit's changes */
    uint32_t live_next;
    bool sealed;
    bool committed; /* some manifest record names it */
    bool dead;      /* not in the newest version; older ones still need it */
    bool opening;
    bool closing;
    enum datafile_fate fate; /* what happens with its last user's end */
    int fd;                  /* -1: closed */
    uint32_t users;
    struct list_node touched; /* in datafiles.touched */
    struct list_node idle;    /* in the pool's */
    struct io_op close_op;
    char path[];
};

/* The files of one partition. */
struct datafiles {
    struct datafile_pool *pool;
    const struct store_options *options; /* borrowed */
    const char *dir;                     /* borrowed */
    struct datafile **files;             /* by number */
    uint32_t count;
    uint32_t capacity;
    uint32_t existing; /* datafile objects, retired ones included */
    uint64_t next_number;
    struct datafile *active; /* grows, or NULL */
    struct list touched;     /* counters changed by the open commit */
    bool recheck;            /* some file may have died outside of a commit */
};

enum { DATAFILE_PATH_BYTES_MAX = 512 };

/* Far beyond use, and small enough for differences of positions to be signed. */
#define DATAFILE_NUMBER_MAX ((UINT64_C(1) << 38) - 1)

void datafiles_init(struct datafiles *files, struct datafile_pool *pool,
                    const struct store_options *options, const char *dir);
/* Frees the table. No version is left. Suspends until the last user has gone and all are closed. */
co_fn void datafiles_deinit(struct datafiles *files);

/* The file, NULL if no version that is held has such a file. */
struct datafile *datafiles_find(const struct datafiles *files, uint64_t number);

/* Adds a sealed file that a manifest record names. ERR_LIMIT (order, number), ERR_MEMORY. */
NODISCARD int datafiles_load(struct datafiles *files, uint64_t number, uint32_t pages,
                             uint32_t live);
/* While a manifest is loaded: sets the counters of a file, or takes it out of the table. */
NODISCARD int datafiles_replay(struct datafiles *files, uint64_t number, uint32_t pages,
                               uint32_t live);
void datafiles_replay_dead(struct datafiles *files, struct datafile *file);

/* Checks that each file is there and as long as it must be: ERR_CORRUPT (file named) or another
 * error. Suspends. */
NODISCARD co_fn int datafiles_check(struct datafiles *files);

/* Pins the file's descriptor: file->fd is valid until datafile_release. datafile_hold succeeds only
 * if it is open already; datafile_open suspends otherwise. */
NODISCARD bool datafile_hold(struct datafile *file);
NODISCARD co_fn int datafile_open(struct datafile *file);
void datafile_release(struct datafile *file);

/* ---- one commit ---- */

/* Makes the next file, the active one, on disk and open: one user, the caller. Suspends. */
NODISCARD co_fn int datafiles_create(struct datafiles *files, uint64_t version);
void datafile_seal(struct datafile *file);

/* Takes the next `pages` pages of the active file: index of the first. */
uint32_t datafile_append(struct datafile *file, uint32_t pages);

/* Pages at `pos` are live, or dead, in the version to come. False if there are no such pages. */
NODISCARD bool datafiles_add_live(struct datafiles *files, struct file_pos pos, uint32_t pages);
NODISCARD bool datafiles_sub_live(struct datafiles *files, struct file_pos pos, uint32_t pages);

/* Whether the file is dead after the open commit. */
static inline bool datafile_dies(const struct datafile *file)
{
    return file->sealed && file->live_next == 0;
}

/* Puts every file that dies on the touched list: before the manifest record is made. */
void datafiles_settle(struct datafiles *files);
/* The staged counters become the truth; dead files go to `retired`. */
void datafiles_publish(struct datafiles *files, struct list *retired);
/* Forgets them, and seals the active file: what was appended is never written again. Files that no
 * record names leave the table; their paths go to `forget`, which disposes of them or keeps them.
 */
typedef void datafile_forget_fn(void *context, const char *path);
void datafiles_abort(struct datafiles *files, datafile_forget_fn *forget, void *context);

#endif
