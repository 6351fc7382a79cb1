/*
 * disk: the kernel's disk with faults, behind file.h.
 */
#ifndef TESTS_LOG_DISK_H
#define TESTS_LOG_DISK_H

#include <stdbool.h>
#include <stdint.h>

enum disk_call {
    DISK_OPEN = 1 << 0,
    DISK_READ = 1 << 1,
    DISK_WRITE = 1 << 2,
    DISK_SYNC = 1 << 3, /* of data and of all */
    DISK_ALLOCATE = 1 << 4,
    DISK_RENAME = 1 << 5,
    DISK_UNLINK = 1 << 6,
    DISK_MKDIR = 1 << 7,
    DISK_LIST = 1 << 8,
    DISK_ANY = (1 << 9) - 1,
};

/* The n-th of these calls from now on (n = 1: the next) fails with `error`; if sticky all later
 * ones too. n = 0: none does. The first call puts the faulty disk in place. */
void disk_fail(uint32_t calls, uint64_t n, int error, bool sticky);

/* From now on no file gets more room: allocating fails with `error`. 0: there is room again. Goes
 * along with disk_fail. */
void disk_fill(int error);

/* Whether the fault of disk_fail has happened. */
bool disk_has_failed(void);

#endif
