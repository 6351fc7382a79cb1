/*
 * seams: limits of the server that no directive sets, drawn by the plan so that reaching them is an
 * ordinary thing.
 */
#ifndef SIM_SEAMS_H
#define SIM_SEAMS_H

#include <stdint.h>

/* Messages in flight from one shard to another: a power of two. Of the processes that start from
 * now on. */
void seams_set_mailbox_slots(uint32_t slots);

#endif
