/*
 * spaces: which spaces are live, and dropping what is left of the others. Threads: the shard's.
 * Suspension: none.
 */
#ifndef DATA_SPACES_H
#define DATA_SPACES_H

#include <stdbool.h>
#include <stdint.h>

#include "data/keyspace.h"
#include "data/shelf.h"

bool keyspace_space_is_live(const struct keyspace *keyspace, uint32_t space);
void keyspace_sweep_spaces(struct keyspace *keyspace);
/* Trees of a partition that are in no database: at most `max` of them. Returns how many. */
uint32_t keyspace_dead_trees(struct keyspace *keyspace, struct shelf *shelf, uint32_t *spaces,
                             uint32_t max);

#endif
