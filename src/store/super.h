/*
 * super: the superblock, the root of the data directory: what the store is and where its log
 * begins.
 *
 * Two copies in separate 4 KiB blocks, written in turn, each with a generation and a checksum, so
 * that a torn write leaves the other one. Read once at start; written by start-up and by the gc
 * thread (blocking calls). Format: super.c.
 */
#ifndef STORE_SUPER_H
#define STORE_SUPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "log/log.h"

enum { SUPER_DATABASES_MAX = 256 };

struct super {
    uint64_t store_id;
    uint64_t generation; /* of this copy */
    uint32_t partitions; /* P: fixed at creation, a power of two <= 16384 */
    uint32_t log_segment_bytes;
    uint32_t epoch;                       /* openings so far */
    uint32_t ended;                       /* the last epoch that ended in order; 0: none has */
    uint32_t databases;                   /* entries of spaces in use */
    uint32_t space_next;                  /* the next unused space id */
    uint32_t spaces[SUPER_DATABASES_MAX]; /* database number → space id */
    struct lsn log_start;                 /* no record below is needed */
    struct lsn log_watermark;             /* durable at least up to here */
    int64_t clock_high_ms;                /* real time never went beyond this, as far as we saw */
    bool clean; /* closed in order: everything up to log_watermark is in the trees */
};

/* A new superblock with a random store id. ERR: -EEXIST if there is one. */
NODISCARD int super_create(const char *dir, uint32_t partitions, uint32_t databases,
                           uint32_t log_segment_bytes, struct super *ret_super);
/* -ENOENT if there is none; ERR_CORRUPT (file and offset logged) if no copy is whole; ERR_VERSION
 * for a newer format. */
NODISCARD int super_read(const char *dir, struct super *ret_super);
/* Makes durable what super_read gave: its copy is written in its place once more, and synced with
 * its name. For the reader that goes on to write: the other copy may be the only durable one. */
NODISCARD int super_settle(const char *dir, const struct super *super);
/* Writes to the older copy, with generation + 1, and syncs. */
NODISCARD int super_write(const char *dir, struct super *super);

#endif
