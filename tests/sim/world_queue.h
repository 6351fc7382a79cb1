/*
 * world_queue: the events to come, as a binary heap by time and, at the same time, by the order in
 * which they were scheduled. In memory of the simulator.
 */
#ifndef SIM_WORLD_QUEUE_H
#define SIM_WORLD_QUEUE_H

#include <stdint.h>

#include "world.h"

struct world_queue {
    struct world_event **events; /* owned array of borrowed events */
    uint32_t count, capacity;
    uint64_t serial_next;
};

void world_queue_push(struct world_queue *queue, struct world_event *event); /* at event->at_ns */
void world_queue_remove(struct world_queue *queue, struct world_event *event);
struct world_event *world_queue_first(struct world_queue *queue); /* NULL: empty */
/* Forgets all and frees. */
void world_queue_clear(struct world_queue *queue);

#endif
