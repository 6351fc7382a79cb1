/*
 * disk_fail: the n-th operation of the disk fails, once or with all that follow it: for the loops
 * that put a failure at one position after the other (nth.c). Beside the rates of disk_plan, which
 * are for faults by chance.
 *
 * What counts is what the failure could meet: an operation is numbered when it takes effect, and
 * only if its class is asked for. Both faces count. Never fail: a close takes effect all the same,
 * a lock and a look at whether a path exists.
 */
#ifndef SIM_DISK_FAIL_H
#define SIM_DISK_FAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "disk.h"

enum disk_fail_class {
    DISK_FAIL_ANY,   /* every operation */
    DISK_FAIL_SPACE, /* what may need room: writes, allocations, new names */
    DISK_FAIL_OPEN,  /* what needs a descriptor */
    DISK_FAIL_CLASSES,
};

/* The n-th (from 1) of the class fails with `error`, negative; sticky: all later ones, too. n 0:
 * none fails any more. The count of each class begins anew. */
void disk_fail_at(struct disk *disk, enum disk_fail_class class, uint64_t n, bool sticky,
                  int error);
/* Operations of the class since disk_fail_at. */
uint64_t disk_fail_count(const struct disk *disk, enum disk_fail_class class);
/* Whether one has failed since disk_fail_at. */
bool disk_fail_happened(const struct disk *disk);

#endif
