#include "world_queue.h"

#include <string.h>

static bool before(const struct world_event *a, const struct world_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->serial < b->serial;
}

static void put(struct world_queue *queue, uint32_t place, struct world_event *event)
{
    queue->events[place] = event;
    event->place = place;
}

static void rise(struct world_queue *queue, uint32_t place)
{
    struct world_event *event = queue->events[place];
    while (place > 0 && before(event, queue->events[(place - 1) / 2])) {
        put(queue, place, queue->events[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(queue, place, event);
}

static void sink(struct world_queue *queue, uint32_t place)
{
    struct world_event *event = queue->events[place];
    for (;;) {
        uint32_t child = place * 2 + 1;
        if (child + 1 < queue->count && before(queue->events[child + 1], queue->events[child])) {
            child++;
        }
        if (child >= queue->count || !before(queue->events[child], event)) {
            break;
        }
        put(queue, place, queue->events[child]);
        place = child;
    }
    put(queue, place, event);
}

void world_queue_push(struct world_queue *queue, struct world_event *event)
{
    if (queue->count == queue->capacity) {
        queue->capacity = queue->capacity == 0 ? 256 : queue->capacity * 2;
        queue->events = sim_realloc(queue->events, queue->capacity * sizeof(*queue->events));
    }
    event->serial = queue->serial_next++;
    event->scheduled = true;
    put(queue, queue->count++, event);
    rise(queue, queue->count - 1);
}

void world_queue_remove(struct world_queue *queue, struct world_event *event)
{
    uint32_t place = event->place;
    event->scheduled = false;
    struct world_event *last = queue->events[--queue->count];
    if (last != event) {
        put(queue, place, last);
        rise(queue, place);
        sink(queue, last->place);
    }
}

struct world_event *world_queue_first(struct world_queue *queue)
{
    return queue->count == 0 ? NULL : queue->events[0];
}

void world_queue_clear(struct world_queue *queue)
{
    for (uint32_t i = 0; i < queue->count; i++) {
        queue->events[i]->scheduled = false;
    }
    sim_free(queue->events);
    memset(queue, 0, sizeof(*queue));
}
