#include "data/latch.h"

#include <string.h>

#include "base/mem.h"
#include "rig.h"

enum { KEYS_MAX = 8 };

struct wish {
    struct latch_request request;
    struct latch_key keys[KEYS_MAX];
    bool held;
};

static void held(struct latch_request *request)
{
    struct wish *wish = container_of(request, struct wish, request);
    MUST(coro_self() == NULL);
    MUST(!wish->held);
    wish->held = true;
}

/* `spec` is like "a! b": keys in space-separated letters, with ! exclusive. Returns what
 * latch_acquire does. */
static int want(struct keyspace *keyspace, struct wish *wish, const char *spec)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    memset(wish, 0, sizeof(*wish));
    uint32_t count = 0;
    for (const char *at = spec; *at != 0; at++) {
        if (*at == '!') {
            wish->keys[count - 1].exclusive = true;
        } else if (*at != ' ') {
            struct slice name = slice_of(&letters[*at - 'a'], 1);
            wish->keys[count++] = (struct latch_key){.key = keyspace_key(keyspace, 0, name)};
        }
    }
    wish->request = (struct latch_request){.done = held, .keys = wish->keys, .count = count};
    int result = latch_acquire(keyspace, &wish->request);
    wish->held = result == 1;
    return result;
}

static co_fn void settle(void)
{
    for (uint32_t i = 0; i < 4; i++) {
        co_yield();
    }
}

static void readers_and_writers(struct keyspace *keyspace, void *argument)
{
    struct wish one;
    struct wish two;
    struct wish three;
    struct wish four;
    (void)argument;
    MUST(!latch_any(keyspace));
    MUST_BE(want(keyspace, &one, "a"), 1);
    MUST_BE(want(keyspace, &two, "a"), 1);
    MUST_BE(want(keyspace, &three, "a!"), 0);
    /* Behind a writer, though the readers before it still hold. */
    MUST_BE(want(keyspace, &four, "a"), 0);
    MUST(latch_any(keyspace));
    latch_release(&one.request);
    settle();
    MUST(!three.held);
    latch_release(&two.request);
    MUST(!three.held); /* not within the release */
    settle();
    MUST(three.held && !four.held);
    latch_release(&three.request);
    settle();
    MUST(four.held);
    latch_release(&four.request);
    MUST(!latch_any(keyspace));
}

Test(latch, serves_first_come_first_served)
{
    rig_test(readers_and_writers);
}

static void all_or_none(struct keyspace *keyspace, void *argument)
{
    struct wish one;
    struct wish two;
    struct wish three;
    (void)argument;
    MUST_BE(want(keyspace, &one, "b!"), 1);
    MUST_BE(want(keyspace, &two, "a! b! c!"), 0);
    /* `two` holds a and c already, in whatever order keys are named. */
    MUST_BE(want(keyspace, &three, "c! a!"), 0);
    latch_release(&one.request);
    settle();
    MUST(two.held && !three.held);
    latch_release(&two.request);
    settle();
    MUST(three.held);
    latch_release(&three.request);
    MUST(!latch_any(keyspace));
}

Test(latch, several_keys_are_held_together_and_without_deadlock)
{
    rig_test(all_or_none);
}

static void blocks(struct keyspace *keyspace, void *argument)
{
    struct wish reader;
    struct wish writer;
    (void)argument;
    struct key a = keyspace_key(keyspace, 0, slice_cstr("a"));
    struct key b = keyspace_key(keyspace, 0, slice_cstr("b"));
    struct key other_space = keyspace_key(keyspace, 1, slice_cstr("a"));
    MUST(!latch_blocks(keyspace, &a, true));
    MUST_BE(want(keyspace, &reader, "a"), 1);
    MUST(latch_blocks(keyspace, &a, true));
    MUST(!latch_blocks(keyspace, &a, false));
    MUST(!latch_blocks(keyspace, &b, true));
    MUST(!latch_blocks(keyspace, &other_space, true));
    MUST_BE(want(keyspace, &writer, "a!"), 0);
    MUST(latch_blocks(keyspace, &a, false));
    latch_release(&reader.request);
    MUST(latch_blocks(keyspace, &a, false));
    latch_release(&writer.request);
    MUST(!latch_blocks(keyspace, &a, true));
}

Test(latch, tells_single_commands_when_to_queue)
{
    rig_test(blocks);
}

static void take_back(struct keyspace *keyspace, void *argument)
{
    struct wish one;
    struct wish two;
    struct wish three;
    (void)argument;
    MUST_BE(want(keyspace, &one, "a!"), 1);
    MUST_BE(want(keyspace, &two, "a!"), 0);
    MUST_BE(want(keyspace, &three, "a!"), 0);
    latch_release(&two.request); /* still waiting */
    latch_release(&one.request);
    latch_release(&three.request); /* about to be told */
    settle();
    MUST(!two.held && !three.held);
    MUST(!latch_any(keyspace));
}

Test(latch, a_request_can_be_taken_back)
{
    rig_test(take_back);
}

static void limits(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    struct latch_request request = {.done = held, .count = 0};
    MUST_BE(latch_acquire(keyspace, &request), ERR_LIMIT);
    request.count = LATCH_KEYS_MAX + 1;
    MUST_BE(latch_acquire(keyspace, &request), ERR_LIMIT);
    request.count = LATCH_KEYS_MAX;
    request.keys = calloc(request.count, sizeof(*request.keys));
    uint32_t *names = calloc(request.count, sizeof(*names));
    for (uint32_t i = 0; i < request.count; i++) {
        names[i] = i;
        request.keys[i].exclusive = true;
        request.keys[i].key = keyspace_key(keyspace, 0, slice_of(&names[i], sizeof(*names)));
    }
    MUST_BE(latch_acquire(keyspace, &request), 1);
    latch_release(&request);
    MUST(!latch_any(keyspace));
    free(names);
    free(request.keys);
}

Test(latch, takes_as_many_keys_as_the_limit_says_and_not_one_more)
{
    rig_test(limits);
}

static void no_memory(struct keyspace *keyspace, void *argument)
{
    struct wish one;
    struct wish two;
    (void)argument;
    MUST_BE(want(keyspace, &one, "b"), 1);
    for (uint64_t n = 1; n <= 2; n++) {
        mem_fail_after(n, false);
        MUST_BE(want(keyspace, &two, "a! b c!"), ERR_MEMORY);
    }
    mem_fail_after(0, false);
    MUST_BE(want(keyspace, &two, "a! b! c!"), 0);
    latch_release(&one.request);
    settle();
    MUST(two.held);
    latch_release(&two.request);
    MUST(!latch_any(keyspace));
}

Test(latch, joins_no_queue_when_memory_is_out)
{
    rig_test(no_memory);
}

enum { WISHES = 40, LETTERS = 6, ROUNDS = 5000 };

static void random_work(struct keyspace *keyspace, void *argument)
{
    struct wish *wishes = calloc(WISHES, sizeof(*wishes));
    bool used[WISHES] = {false};
    struct random random;
    (void)argument;
    random_seed(&random, 3);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t i = (uint32_t)random_below(&random, WISHES);
        if (used[i]) {
            if (wishes[i].held || random_below(&random, 10) == 0) {
                latch_release(&wishes[i].request);
                used[i] = false;
            }
        } else {
            char spec[32] = "";
            for (uint32_t k = 0; k < LETTERS; k++) {
                if (random_below(&random, 3) == 0) {
                    char one[3] = {(char)('a' + k), random_below(&random, 2) == 0 ? '!' : 0, 0};
                    strcat(spec, one);
                }
            }
            if (spec[0] != 0) {
                MUST(want(keyspace, &wishes[i], spec) >= 0);
                used[i] = true;
            }
        }
        if (round % 3 == 0) {
            settle();
        }
        /* Nobody holds a key that another holds exclusively; and somebody always holds. */
        uint32_t holders[LETTERS] = {0};
        bool exclusive[LETTERS] = {false};
        bool any_used = false;
        bool any_held = false;
        for (uint32_t w = 0; w < WISHES; w++) {
            any_used |= used[w];
            any_held |= used[w] && wishes[w].request.missing == 0;
            for (uint32_t k = 0; used[w] && wishes[w].held && k < wishes[w].request.count; k++) {
                uint32_t letter = (uint32_t)(wishes[w].keys[k].key.name.data[0] - 'a');
                holders[letter]++;
                exclusive[letter] |= wishes[w].keys[k].exclusive;
            }
        }
        MUST(any_held || !any_used);
        for (uint32_t k = 0; k < LETTERS; k++) {
            MUST(!exclusive[k] || holders[k] == 1);
        }
    }
    for (uint32_t i = 0; i < WISHES; i++) {
        if (used[i]) {
            latch_release(&wishes[i].request);
        }
    }
    settle();
    MUST(!latch_any(keyspace));
    free(wishes);
}

Test(latch, keeps_its_promise_under_random_work)
{
    rig_test(random_work);
}
