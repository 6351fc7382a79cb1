/*
 * damage: what a disk does to data that was durable, by hand and between two lives of the server:
 * pages that lie where others belong, as misdirected writes leave them, and bits that have flipped.
 */
#ifndef SIM_DAMAGE_H
#define SIM_DAMAGE_H

#include "disk.h"

enum damage {
    DAMAGE_NONE,
    DAMAGE_PAGES, /* some pages of data files */
    DAMAGE_LOG,   /* one bit of the redo log */
    DAMAGE_COUNT,
};

void damage_do(struct disk *disk, enum damage damage);

#endif
