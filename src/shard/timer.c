#include "shard/shard.h"

#include "base/assert.h"
#include "base/clock.h"
#include "shard/shard_impl.h"

void shard_timer_arm(struct shard *shard, struct shard_timer *timer, int64_t delay_ns,
                     shard_timer_fn *fire)
{
    ASSERT(fire != NULL);
    shard_timer_disarm(shard, timer);

    /* At least one: a timer that arms itself anew as it fires comes in the next pass, not in this
     * one again. */
    int64_t delay = delay_ns > 0 ? delay_ns : 1;
    int64_t at_ns = shard->mono_ns > INT64_MAX - delay ? INT64_MAX : shard->mono_ns + delay;
    timer->fire = fire;
    heap_node_init(&timer->heap);
    int err = heap_push(&shard->timers, &timer->heap, (uint64_t)at_ns);
    ASSERT(err == 0); /* the limit is out of reach, and the memory was reserved at the start */
    timer->armed = true;
}

void shard_timer_disarm(struct shard *shard, struct shard_timer *timer)
{
    if (timer->armed) {
        heap_remove(&shard->timers, &timer->heap);
        timer->armed = false;
    }
}

void timers_fire(struct shard *shard)
{
    struct heap_node *node;
    while ((node = heap_min(&shard->timers)) != NULL && node->key <= (uint64_t)shard->mono_ns) {
        struct shard_timer *timer = container_of(node, struct shard_timer, heap);
        ASSERT(timer->armed);
        shard_timer_disarm(shard, timer);
        timer->fire(shard, timer);
    }
}

int64_t timers_next_ns(const struct shard *shard)
{
    const struct heap_node *node = heap_min(&shard->timers);
    if (node == NULL) {
        return -1;
    }
    int64_t now_ns = clock_mono_ns();
    return (int64_t)node->key > now_ns ? (int64_t)node->key - now_ns : 0;
}
