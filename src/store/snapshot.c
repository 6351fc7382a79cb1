#include "store/snapshot.h"

#include "base/assert.h"
#include "base/plant.h"

void snapshots_init(struct snapshots *snapshots)
{
    list_init(&snapshots->held);
}

struct snapshot *snapshots_current(const struct snapshots *snapshots)
{
    struct list_node *last = list_last(&snapshots->held);
    return last == NULL ? NULL : container_of(last, struct snapshot, node);
}

/* The next older version that is held, or NULL. */
static struct snapshot *snapshot_older(const struct snapshots *snapshots,
                                       const struct snapshot *snapshot)
{
    struct list_node *node = snapshot->node.prev;
    return node == &snapshots->held.root ? NULL : container_of(node, struct snapshot, node);
}

/* Leaves each part with the newest version at or below `at` that needs it. */
static void retire_at(struct snapshot *at, struct list *parts)
{
    struct list_node *node;
    while ((node = list_pop_front(parts)) != NULL) {
        struct retired *part = container_of(node, struct retired, node);
        if (at != NULL && at->version >= part->created && !PLANTED(PAGE_REUSED_EARLY)) {
            list_push_back(&at->retired, &part->node);
        } else {
            part->release(part);
        }
    }
}

void snapshot_hold(struct snapshot *snapshot)
{
    ASSERT(snapshot->holds > 0);
    snapshot->holds++;
}

void snapshot_release(struct snapshots *snapshots, struct snapshot *snapshot)
{
    ASSERT(snapshot->holds > 0);
    if (--snapshot->holds > 0) {
        return;
    }
    struct snapshot *older = snapshot_older(snapshots, snapshot);
    list_remove(&snapshot->node);
    retire_at(older, &snapshot->retired);
    snapshot->free(snapshot);
}

void snapshots_publish(struct snapshots *snapshots, struct snapshot *next, struct list *retired)
{
    struct snapshot *current = snapshots_current(snapshots);
    ASSERT(current == NULL || current->version < next->version);
    next->holds = 1;
    list_init(&next->retired);
    list_push_back(&snapshots->held, &next->node);
    retire_at(current, retired);
    if (current != NULL) {
        snapshot_release(snapshots, current);
    }
}

void snapshots_end(struct snapshots *snapshots)
{
    struct snapshot *current = snapshots_current(snapshots);
    if (current != NULL) {
        snapshot_release(snapshots, current);
    }
}
