/*
 * memory: base/mem.h of the simulated process (memory.c gives all of its functions), so that what a
 * killed process held can be freed, and what a clean end has left behind is found.
 *
 * Blocks that are allocated while a simulated thread runs are the process's; those of events and
 * clients are the simulator's.
 */
#ifndef SIM_MEMORY_H
#define SIM_MEMORY_H

#include <stdint.h>

/* Blocks and stacks of the process that are not freed. */
uint64_t memory_blocks(void);
uint64_t memory_bytes(void);
/* For the report of a leak: the sizes of the first blocks. */
void memory_print(void);

/* All of the process's goes. */
void memory_free_all(void);

/* From now on allocations of the process fail at this rate; 0 ends it. */
void memory_set_fail_rate(uint32_t per_million);

/* Allocations of the process and its stacks, ever; those that failed count, too. Which one fails is
 * said by mem_fail_after, for the life that has not begun yet: its end forgets it. */
uint64_t memory_allocations(void);
uint64_t memory_failures(void);

#endif
