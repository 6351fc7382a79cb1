/*
 * disk_damage: copies of a disk, and what may happen to one while no process uses it: for sweeps
 * over all damages of a store (sweep.c). See disk_poke for single bytes.
 */
#ifndef SIM_DISK_DAMAGE_H
#define SIM_DISK_DAMAGE_H

#include <stdint.h>

#include "disk.h"

/* Another disk with the same files, all durable. Their content is shared, so it costs little; the
 * first one must not be destroyed before. Nothing may be in flight. */
struct disk *disk_clone(struct disk *disk);

/* Cuts a file, or makes it longer. -ENOENT, -EISDIR. */
int disk_cut(struct disk *disk, const char *path, uint64_t bytes);
int disk_remove(struct disk *disk, const char *path);

#endif
