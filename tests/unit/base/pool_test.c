#include "base/pool.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

Test(pool, gives_count_max_objects_and_no_more)
{
    struct pool pool;
    uint8_t *objects[100];
    pool_init(&pool, 40, 100);
    for (int i = 0; i < 100; i++) {
        objects[i] = pool_get(&pool);
        cr_assert_neq(objects[i], NULL);
        cr_assert(is_aligned((uintptr_t)objects[i], 16));
        memset(objects[i], i, 40);
    }
    cr_assert_eq(pool_get(&pool), NULL);
    cr_assert_eq(pool.count_used, 100);
    for (int i = 0; i < 100; i++) {
        for (int j = 0; j < 40; j++) {
            cr_assert_eq(objects[i][j], i, "objects overlap");
        }
        pool_put(&pool, objects[i]);
    }
    cr_assert_eq(pool.count_used, 0);
    cr_assert_eq(pool.count_made, 100);
    pool_deinit(&pool);
}

Test(pool, gives_back_what_was_put_without_new_memory)
{
    struct pool pool;
    pool_init(&pool, 1, 1);
    void *object = pool_get(&pool);
    cr_assert_neq(object, NULL);
    cr_assert_eq(pool_get(&pool), NULL);
    mem_fail_after(1, true);
    for (int i = 0; i < 10; i++) {
        pool_put(&pool, object);
        cr_assert_eq(pool_get(&pool), object);
    }
    pool_put(&pool, object);
    mem_fail_after(0, false);
    pool_deinit(&pool);
}

Test(pool, grows_past_large_objects)
{
    struct pool pool;
    void *objects[20];
    pool_init(&pool, 100000, 20);
    for (int i = 0; i < 20; i++) {
        objects[i] = pool_get(&pool);
        memset(objects[i], 1, 100000);
    }
    for (int i = 0; i < 20; i++) {
        pool_put(&pool, objects[i]);
    }
    pool_deinit(&pool);
}

Test(pool, is_null_when_memory_is_out_and_recovers)
{
    struct pool pool;
    pool_init(&pool, 64, 10);
    mem_fail_after(1, false);
    cr_assert_eq(pool_get(&pool), NULL);
    cr_assert_eq(pool.count_used, 0);
    void *object = pool_get(&pool);
    cr_assert_neq(object, NULL);
    pool_put(&pool, object);
    pool_deinit(&pool);
}

Test(pool, must_be_whole_again_at_the_end, .signal = SIGABRT)
{
    struct pool pool;
    pool_init(&pool, 64, 10);
    cr_assert_neq(pool_get(&pool), NULL);
    pool_deinit(&pool);
}

Test(pool, does_not_take_back_more_than_it_gave, .signal = SIGABRT)
{
    struct pool pool;
    pool_init(&pool, 64, 10);
    void *object = pool_get(&pool);
    pool_put(&pool, object);
    pool_put(&pool, object);
}
