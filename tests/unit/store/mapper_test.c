/*
 * mapper: change sets, against a plain array as the model; what they cost; what old roots still
 * show.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/random.h"
#include "store/mapper.h"

/* Roots are kept by hand here: `held` gets what a publication retires. */
static void release_all(struct list *held)
{
    struct list_node *node;
    while ((node = list_pop_front(held)) != NULL) {
        struct retired *part = container_of(node, struct retired, node);
        part->release(part);
    }
}

static uint32_t count_all(struct list *held)
{
    uint32_t count = 0;
    LIST_FOREACH (held, node) {
        count++;
    }
    return count;
}

static void begin(struct mapper *mapper, uint64_t version, struct mapper_change *change)
{
    *change = (struct mapper_change){0};
    cr_assert_eq(mapper_begin(mapper, version, change), 0);
}

static struct file_pos pos_of(uint64_t value)
{
    return (struct file_pos){value};
}

static uint32_t allocate_at(struct mapper_change *change, uint64_t pos)
{
    struct page_id id;
    cr_assert_eq(mapper_allocate(change, &id), 0);
    cr_assert_eq(mapper_set(change, id, pos_of(pos)), 0);
    return id.value;
}

static void publish_now(struct mapper_change *change)
{
    struct list retired;
    list_init(&retired);
    mapper_publish(change, &retired);
    release_all(&retired);
}

/* A map of `pages` pages, page i at 100 + i. */
static struct mapper *mapper_of(uint32_t pages)
{
    struct mapper *mapper;
    cr_assert_eq(mapper_create(&mapper), 0);
    struct mapper_change change;
    begin(mapper, 1, &change);
    for (uint32_t i = 0; i < pages; i++) {
        cr_assert_eq(allocate_at(&change, 100 + i), i);
    }
    publish_now(&change);
    cr_assert_eq(mapper_pages(mapper), pages);
    return mapper;
}

Test(mapper, a_fresh_map_has_nothing)
{
    struct mapper *mapper;
    cr_assert_eq(mapper_create(&mapper), 0);
    struct page_id id;
    struct file_pos pos;
    cr_assert(file_pos_is_none(mapper_get(mapper_root(mapper), (struct page_id){0})));
    cr_assert(file_pos_is_none(mapper_get(mapper_root(mapper), (struct page_id){UINT32_MAX})));
    cr_assert(!mapper_next(mapper_root(mapper), (struct page_id){0}, &id, &pos));
    mapper_destroy(mapper);
}

Test(mapper, gives_out_the_lowest_free_id)
{
    struct mapper *mapper = mapper_of(2000);
    struct mapper_change change;
    begin(mapper, 2, &change);
    uint32_t freed[] = {1500, 3, 511, 512, 4};
    for (size_t i = 0; i < sizeof(freed) / sizeof(freed[0]); i++) {
        cr_assert_eq(mapper_free(&change, (struct page_id){freed[i]}), 0);
    }
    uint32_t expected[] = {3, 4, 511, 512, 1500, 2000, 2001};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        cr_assert_eq(allocate_at(&change, 1), expected[i]);
    }
    publish_now(&change);
    cr_assert_eq(mapper_pages(mapper), 2002);
    mapper_destroy(mapper);
}

Test(mapper, an_aborted_change_set_leaves_no_trace)
{
    struct mapper *mapper = mapper_of(1024);
    uint64_t bytes = mapper_bytes(mapper);
    struct mapper_change change;
    begin(mapper, 2, &change);
    for (uint32_t i = 0; i < 5000; i++) {
        allocate_at(&change, 7);
    }
    cr_assert_eq(mapper_free(&change, (struct page_id){10}), 0);
    cr_assert(file_pos_is_none(mapper_change_get(&change, (struct page_id){10})));
    mapper_abort(&change);
    cr_assert_eq(mapper_get(mapper_root(mapper), (struct page_id){10}).value, 110);
    cr_assert_eq(mapper_pages(mapper), 1024);
    cr_assert_leq(mapper_bytes(mapper), bytes + 4096,
                  "only the bits of which chunks are full stay");
    begin(mapper, 3, &change);
    cr_assert_eq(allocate_at(&change, 5), 1024);
    mapper_abort(&change);
    mapper_destroy(mapper);
}

Test(mapper, an_old_root_shows_what_it_showed)
{
    struct mapper *mapper = mapper_of(3000);
    const struct mapper_root *old = mapper_root(mapper);
    struct list retired;
    list_init(&retired);
    for (uint64_t version = 2; version < 20; version++) {
        struct mapper_change change;
        begin(mapper, version, &change);
        for (uint32_t i = 0; i < 3000; i += (uint32_t)version) {
            cr_assert_eq(mapper_set(&change, (struct page_id){i}, pos_of(version << 32 | i)), 0);
        }
        allocate_at(&change, version);
        mapper_publish(&change, &retired);
    }
    for (uint32_t i = 0; i < 3000; i++) {
        cr_assert_eq(mapper_get(old, (struct page_id){i}).value, 100 + i);
    }
    cr_assert(file_pos_is_none(mapper_get(old, (struct page_id){3000})));
    release_all(&retired);
    mapper_destroy(mapper);
}

Test(mapper, a_change_of_one_page_copies_one_chunk_whatever_the_size)
{
    struct mapper *mapper = mapper_of(300 * MAPPER_CHUNK_PAGES);
    uint64_t bytes = mapper_bytes(mapper);
    for (uint64_t version = 2; version < 50; version++) {
        struct list retired;
        list_init(&retired);
        struct mapper_change change;
        begin(mapper, version, &change);
        struct page_id id = {(uint32_t)(version * 2999)};
        cr_assert_eq(mapper_set(&change, id, pos_of(version)), 0);
        mapper_publish(&change, &retired);
        cr_assert_eq(count_all(&retired), 3, "a chunk, a directory, a root");
        cr_assert_leq(mapper_bytes(mapper) - bytes, 10000u);
        release_all(&retired);
        cr_assert_eq(mapper_bytes(mapper), bytes);
    }
    mapper_destroy(mapper);
}

Test(mapper, agrees_with_an_array)
{
    enum { IDS = 5000, ROUNDS = 300 };
    struct mapper *mapper;
    cr_assert_eq(mapper_create(&mapper), 0);
    uint64_t *model = calloc(IDS, sizeof(*model));
    uint64_t *staged = calloc(IDS, sizeof(*staged));
    struct random random;
    random_seed(&random, 5);
    for (uint64_t version = 1; version < ROUNDS; version++) {
        struct mapper_change change;
        begin(mapper, version, &change);
        memcpy(staged, model, IDS * sizeof(*model));
        for (uint64_t i = random_below(&random, 200); i > 0; i--) {
            struct page_id id = {(uint32_t)random_below(&random, IDS)};
            if (staged[id.value] == 0) {
                uint32_t lowest = 0;
                while (staged[lowest] != 0) {
                    lowest++;
                }
                staged[lowest] = 1 + random_u64(&random) / 4;
                cr_assert_eq(allocate_at(&change, staged[lowest]), lowest);
            } else if (random_below(&random, 3) == 0) {
                staged[id.value] = 0;
                cr_assert_eq(mapper_free(&change, id), 0);
            } else {
                staged[id.value] = 1 + random_u64(&random) / 4;
                cr_assert_eq(mapper_set(&change, id, pos_of(staged[id.value])), 0);
            }
        }
        if (random_below(&random, 4) == 0) {
            mapper_abort(&change);
        } else {
            publish_now(&change);
            memcpy(model, staged, IDS * sizeof(*model));
        }
        struct page_id id = {0};
        struct file_pos pos;
        uint64_t pages = 0;
        for (uint32_t i = 0; i < IDS; i++) {
            if (model[i] != 0) {
                cr_assert(mapper_next(mapper_root(mapper), id, &id, &pos));
                cr_assert(id.value == i && pos.value == model[i]);
                id.value++;
                pages++;
            }
        }
        cr_assert(!mapper_next(mapper_root(mapper), id, &id, &pos));
        cr_assert_eq(mapper_pages(mapper), pages);
    }
    mapper_destroy(mapper);
    free(model);
    free(staged);
}

Test(mapper, memory_goes_with_the_pages)
{
    struct mapper *mapper = mapper_of(100 * MAPPER_CHUNK_PAGES);
    uint64_t full = mapper_bytes(mapper);
    struct mapper_change change;
    begin(mapper, 2, &change);
    for (uint32_t i = 0; i < 100 * MAPPER_CHUNK_PAGES; i++) {
        cr_assert_eq(mapper_free(&change, (struct page_id){i}), 0);
    }
    publish_now(&change);
    cr_assert_eq(mapper_pages(mapper), 0);
    cr_assert_leq(mapper_bytes(mapper), full - 100 * MAPPER_CHUNK_PAGES * 8);
    mapper_destroy(mapper);
}

Test(mapper, ids_end_where_the_map_ends)
{
    struct mapper *mapper;
    cr_assert_eq(mapper_create(&mapper), 0);
    struct mapper_change change;
    begin(mapper, 1, &change);
    uint32_t limit = (uint32_t)MAPPER_CHUNKS_MAX * MAPPER_CHUNK_PAGES;
    cr_assert_eq(mapper_set(&change, (struct page_id){limit - 1}, pos_of(1)), 0);
    cr_assert_eq(mapper_set(&change, (struct page_id){limit}, pos_of(1)), ERR_LIMIT);
    cr_assert_eq(mapper_set(&change, PAGE_ID_NONE, pos_of(1)), ERR_LIMIT);
    publish_now(&change);
    cr_assert_eq(mapper_get(mapper_root(mapper), (struct page_id){limit - 1}).value, 1);
    mapper_destroy(mapper);
}

Test(mapper, without_memory_a_change_set_fails_and_can_be_aborted)
{
    struct mapper *mapper = mapper_of(2000);
    uint64_t bytes = mapper_bytes(mapper);
    for (uint64_t nth = 1; nth <= 6; nth++) {
        struct mapper_change change = {0};
        mem_fail_after(nth, true);
        int err = mapper_begin(mapper, 2, &change);
        for (uint32_t i = 0; err == 0 && i < 2000; i += 400) {
            err = mapper_set(&change, (struct page_id){i}, pos_of(1));
        }
        mem_fail_after(0, false);
        cr_assert_eq(err, ERR_MEMORY);
        mapper_abort(&change);
        cr_assert_eq(mapper_bytes(mapper), bytes);
        cr_assert_eq(mapper_get(mapper_root(mapper), (struct page_id){0}).value, 100);
    }
    mapper_destroy(mapper);
}
