/*
 * snapshot: a part goes when the last version that needs it goes, and no sooner.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "store/snapshot.h"

struct part {
    struct retired retired;
    bool released;
};

static int versions_alive;

static void part_release(struct retired *retired)
{
    struct part *part = container_of(retired, struct part, retired);
    cr_assert(!part->released);
    part->released = true;
}

static void snapshot_free(struct snapshot *snapshot)
{
    versions_alive--;
    free(snapshot);
}

static struct snapshot *publish(struct snapshots *snapshots, uint64_t version, struct part *retires)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    snapshot->version = version;
    snapshot->free = snapshot_free;
    versions_alive++;
    struct list retired;
    list_init(&retired);
    if (retires != NULL) {
        list_push_back(&retired, &retires->retired.node);
    }
    snapshots_publish(snapshots, snapshot, &retired);
    cr_assert(list_empty(&retired));
    return snapshot;
}

static struct part part_of(uint64_t created)
{
    return (struct part){.retired = {.created = created, .release = part_release}};
}

Test(snapshot, without_readers_a_part_goes_at_once)
{
    struct snapshots snapshots;
    snapshots_init(&snapshots);
    struct part part = part_of(1);
    publish(&snapshots, 1, NULL);
    publish(&snapshots, 2, &part);
    cr_assert(part.released);
    snapshots_end(&snapshots);
    cr_assert_eq(versions_alive, 0);
}

Test(snapshot, a_reader_keeps_what_its_version_needs)
{
    struct snapshots snapshots;
    snapshots_init(&snapshots);
    struct part part = part_of(1);
    struct snapshot *reader = publish(&snapshots, 1, NULL);
    snapshot_hold(reader);
    publish(&snapshots, 2, &part);
    publish(&snapshots, 3, NULL);
    cr_assert(!part.released);
    snapshot_release(&snapshots, reader);
    cr_assert(part.released);
    snapshots_end(&snapshots);
    cr_assert_eq(versions_alive, 0);
}

Test(snapshot, an_older_reader_does_not_keep_what_came_later)
{
    struct snapshots snapshots;
    snapshots_init(&snapshots);
    struct snapshot *reader = publish(&snapshots, 1, NULL);
    snapshot_hold(reader);
    publish(&snapshots, 2, NULL);
    struct part part = part_of(2); /* made by version 2, replaced by version 3 */
    publish(&snapshots, 3, &part);
    cr_assert(part.released);
    snapshot_release(&snapshots, reader);
    snapshots_end(&snapshots);
    cr_assert_eq(versions_alive, 0);
}

Test(snapshot, a_part_moves_on_to_the_next_older_reader_that_needs_it)
{
    struct snapshots snapshots;
    snapshots_init(&snapshots);
    struct part old = part_of(1);
    struct part young = part_of(3);
    struct snapshot *first = publish(&snapshots, 1, NULL);
    snapshot_hold(first);
    struct snapshot *second = publish(&snapshots, 2, NULL);
    snapshot_hold(second);
    publish(&snapshots, 3, &old);
    publish(&snapshots, 4, &young);
    cr_assert(young.released, "no version held needs what stood between 3 and 4");

    struct part both = part_of(2);
    struct snapshot *third = snapshots_current(&snapshots);
    snapshot_hold(third);
    publish(&snapshots, 5, &both);
    cr_assert(!old.released && !both.released);
    snapshot_release(&snapshots, third);
    cr_assert(!both.released, "the second version needs it");
    snapshot_release(&snapshots, second);
    cr_assert(both.released && !old.released);
    snapshot_release(&snapshots, first);
    cr_assert(old.released);
    snapshots_end(&snapshots);
    cr_assert_eq(versions_alive, 0);
}

Test(snapshot, the_oldest_going_first_leaves_parts_with_the_younger)
{
    struct snapshots snapshots;
    snapshots_init(&snapshots);
    struct part part = part_of(1);
    struct snapshot *first = publish(&snapshots, 1, NULL);
    snapshot_hold(first);
    struct snapshot *second = publish(&snapshots, 2, NULL);
    snapshot_hold(second);
    publish(&snapshots, 3, &part);
    snapshot_release(&snapshots, first);
    cr_assert(!part.released);
    snapshot_release(&snapshots, second);
    cr_assert(part.released);
    snapshots_end(&snapshots);
}
