/*
 * merge_cut: where one page of a merge ends and the next begins. Private to merge_*.c.
 *
 * A merge pushes its items in key order. They wait in the merger's window until it is full or the
 * merge is at its end; then groups of them, each the content of one page, go to `emit`.
 */
#ifndef STORE_MERGE_CUT_H
#define STORE_MERGE_CUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/merge.h"

/* items[begin..end) of the merger make one page whose keys share prefix_bytes. */
struct merge_group {
    uint32_t begin;
    uint32_t end;
    uint32_t prefix_bytes;
};

struct merge_run {
    struct merger *merger;
    bool keyless_first; /* a branch: the first item of a page is there without its key */
    bool append;        /* fill pages for loads in key order; may change as the merge learns */
    uint32_t pages;     /* emitted */
    void *context;
    int (*emit)(void *context, const struct merge_group *group);
};

void merge_run_init(struct merge_run *run, struct merger *merger);

/* Takes the next item. 0 or what emit returned. */
NODISCARD int merge_push(struct merge_run *run, const struct merge_item *item);

/* No more items: emits what is left. */
NODISCARD int merge_finish(struct merge_run *run);

#endif
