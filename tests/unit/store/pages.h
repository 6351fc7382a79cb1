/*
 * pages: a sink that keeps what a merge hands out, and fails when a test wants it to.
 */
#ifndef TESTS_UNIT_STORE_PAGES_H
#define TESTS_UNIT_STORE_PAGES_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "store/merge.h"

enum { PAGES_MAX = 2048 };

struct pages {
    uint8_t *page[PAGES_MAX]; /* owned */
    struct slice low[PAGES_MAX];
    uint32_t count;
    uint32_t begun;
    uint32_t fail_begin; /* fails when so many were begun; 0: never */
    uint32_t fail_end;
};

static inline int sink_begin(void *context, uint8_t **ret_page)
{
    struct pages *pages = context;
    cr_assert(pages->begun < PAGES_MAX);
    if (++pages->begun == pages->fail_begin) {
        return -ENOSPC;
    }
    *ret_page = mem_must_alloc(STORE_PAGE_BYTES);
    memset(*ret_page, 0xee, STORE_PAGE_BYTES);
    pages->page[pages->count] = *ret_page;
    return 0;
}

static inline int sink_end(void *context, uint8_t *page, struct slice low)
{
    struct pages *pages = context;
    cr_assert_eq(page, pages->page[pages->count]);
    uint8_t *copy = mem_must_alloc(low.bytes + 1);
    if (low.bytes > 0) {
        memcpy(copy, low.data, low.bytes);
    }
    pages->low[pages->count++] = slice_of(copy, low.bytes);
    return pages->count == pages->fail_end ? -EIO : 0;
}

static inline void pages_clear(struct pages *pages)
{
    for (uint32_t i = 0; i < pages->count; i++) {
        mem_free(pages->page[i]);
        mem_free((void *)pages->low[i].data);
    }
    *pages = (struct pages){0};
}

static inline struct merge_sink sink_of(struct pages *pages)
{
    return (struct merge_sink){.context = pages, .begin = sink_begin, .end = sink_end};
}

#endif
