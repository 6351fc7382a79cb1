/*
 * disk: the simulated file system of the machine: what its processes wrote, what of it is durable,
 * and what a power cut leaves.
 *
 * Files and directories are inodes. Each file has two images: `current`, what a read sees, and
 * `durable`, what survives a power cut for sure; and between them, in order, the operations that
 * are not durable yet (writes, truncate, allocate). A sync that ends makes those durable that had
 * ended before it was submitted; one that was in flight meanwhile may be in or not. A directory has
 * pending entries likewise (create, rename, unlink, mkdir), durable by a sync of the directory.
 *
 * A power cut takes each pending operation by itself: kept, dropped, or torn at 512 bytes. What is
 * left of a sector is a state that it was in: a write that covers it in part brings along what was
 * there before. A file may have grown without its content (zeros, or what lay on the disk).
 * Directory entries: an ordered prefix for each directory (a journalled file system) or any subset,
 * as the plan says; a rename is one entry operation, and none goes to another directory (EXDEV).
 *
 * A sync that fails (EIO): each of the writes that it would have covered is kept, dropped or torn
 * in the durable image, and that is that: a later sync, though it succeeds, saves none of them.
 * Reads then find them still, or what is durable, or either chunk by chunk; a file opened later
 * sees the same. The error is told once, to whoever called.
 *
 * A killed process leaves operations in flight: they land later (a write whole or its first 4 KiB
 * blocks, one on a name or not at all), and until then its lock is held. What it had written stays
 * readable, and isn't durable yet.
 *
 * What is a violation by itself: to use a descriptor that isn't open, and to change the buffer of a
 * write in flight. The buffer of a read in flight is scribbled over.
 *
 * Two faces: the synchronous door (file_set_disk) for file.h, and disk_submit for the io body.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "io/file_disk.h"
#include "io/op.h"

struct disk;

enum { DISK_FDS_MAX = 1024 /* of the process; EMFILE above; they are numbered from 1000 */ };

/* Rates are per million operations; 0 is never. What is drawn comes from STREAM_FAULT. */
struct disk_plan {
    int64_t delay_ns_min, delay_ns_max; /* of an operation in flight */
    int64_t sync_ns_min, sync_ns_max;
    int64_t land_after_kill_ns_max; /* operations of a dead process end within */
    uint32_t short_rate;            /* transfers that move a part: multiples of 512 bytes */
    uint32_t again_rate;            /* EAGAIN, EINTR */
    uint32_t slow_rate;             /* takes a hundred times as long */
    uint32_t read_error_rate;       /* EIO, once */
    uint32_t write_error_rate;      /* EIO */
    uint32_t sync_error_rate;       /* EIO; the file's pending writes are then kept in `current`,
                                       reverted, or mixed; never durable by a later sync */
    uint32_t open_error_rate;       /* EMFILE, ENOMEM */
    uint32_t misdirect_rate;        /* a write lands at another place of its file */
    uint32_t rot_rate;              /* a read finds one bit of durable data flipped, for good */
    uint64_t space_bytes;           /* ENOSPC (or EDQUOT) above; 0: no limit */
    bool quota;                     /* EDQUOT instead of ENOSPC */
    bool entries_unordered;         /* a cut keeps any subset of a directory's pending entries */
    bool direct_refused;            /* O_DIRECT is EINVAL, as on some file systems */
};

struct disk *disk_create(void);
void disk_destroy(struct disk *disk);
/* Faults off, on, or others from now on. */
void disk_set_plan(struct disk *disk, const struct disk_plan *plan);
void disk_set_space(struct disk *disk, uint64_t space_bytes);

/* The door for file.h; of the disk made current by disk_mount. Each call is a point at which other
 * threads may run (threads_preempt). */
extern const struct file_disk disk_door;
void disk_mount(struct disk *disk);

/* For the io body: one attempt at the operation, from transfer_start(op) on; takes effect and ends
 * at a random later time; `ended` then runs as an event, with the attempt's result. The body
 * finishes short transfers by further attempts (transfer_advance). After disk_process_killed no
 * `ended` runs any more, and nothing of the op or its buffers is touched: what it writes was
 * copied. */
typedef void disk_ended_fn(void *context, struct io_op *op, int32_t result);
void disk_submit(struct disk *disk, struct io_op *op, disk_ended_fn *ended, void *context);

/* The process is gone: its descriptors are closed; what is in flight lands later. */
void disk_process_killed(struct disk *disk);
/* The machine lost power, and is on again: nothing is in flight, what was not durable is decided.
 */
void disk_power_cut(struct disk *disk);

/* Descriptors that are open (of the living process), for the leak check. */
uint32_t disk_open_count(const struct disk *disk);
/* Operations in flight, those of a dead process too. */
uint32_t disk_flights_count(const struct disk *disk);
/* Bytes that the files hold, holes not counted. */
uint64_t disk_used_bytes(const struct disk *disk);
/* Times that content was damaged by the plan (bit rot, misdirected writes), ever: an oracle that
 * sees it grow must allow for errors that name the place, and for nothing else. */
uint64_t disk_damage_count(const struct disk *disk);
/* All that is pending becomes durable, as at an orderly shutdown of the machine. */
void disk_flush(struct disk *disk);

struct disk_stats {
    uint64_t reads, writes, syncs, cuts, torn, dropped, errors, shorts, misdirected, rotten;
    uint64_t reverted; /* syncs that failed and took from `current` what they should have saved */
};
void disk_stats(const struct disk *disk, struct disk_stats *ret_stats);

/* For damage by hand between two lives: each file by its path, in order of the path. */
typedef int disk_each_fn(void *context, const char *path, uint64_t bytes);
int disk_each(struct disk *disk, disk_each_fn *each, void *context);
/* Reads and changes both images, inside of the file (else EINVAL). A change isn't counted as
 * damage. */
int disk_peek(struct disk *disk, const char *path, void *data, uint64_t bytes, uint64_t offset);
int disk_poke(struct disk *disk, const char *path, const void *data, uint64_t bytes,
              uint64_t offset);

#endif
