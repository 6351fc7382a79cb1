/*
 * Messages between shards and from foreign threads, and the waking that goes with them.
 */
#include "shards.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "base/thread.h"
#include "shard/shard_impl.h"
#include "shard/sync.h"

/* ---- a ball that goes round ---- */

struct ball {
    struct message message;
    uint32_t hops_left;
    struct co_group *group; /* on shard 0 */
};

static void ball_land(struct shard *shard, struct message *message)
{
    (void)shard;
    co_group_done(container_of(message, struct ball, message)->group);
}

static void ball_hop(struct shard *shard, struct message *message)
{
    struct ball *ball = container_of(message, struct ball, message);
    if (ball->hops_left == 0) {
        ball->message.handler = ball_land;
        shard_send(shard, 0, &ball->message);
        return;
    }
    ball->hops_left--;
    shard_send(shard, (shard_id(shard) + 1) % shard_count(shard), &ball->message);
}

enum { BALLS = 8 };

static int play(struct shard *shard, void *argument)
{
    uint32_t hops = *(uint32_t *)argument;
    struct ball balls[BALLS];
    struct co_group group;
    co_group_init(&group);
    co_group_add(&group, BALLS);
    for (uint32_t i = 0; i < BALLS; i++) {
        balls[i] = (struct ball){
            .message = {.handler = ball_hop}, .hops_left = hops / BALLS, .group = &group};
        shard_send(shard, i % shard_count(shard), &balls[i].message);
    }
    co_group_wait(&group);
    return 0;
}

static void play_on(uint32_t shards)
{
    uint32_t hops = 100000;
    struct shard_set *set = shards_start(shards);
    cr_assert_eq(shards_run(set, 0, play, &hops), 0);
    shards_stop(set);
}

Test(post, a_hundred_thousand_messages_go_round_two_shards)
{
    play_on(2);
}

Test(post, a_hundred_thousand_messages_go_round_three_shards)
{
    play_on(3);
}

Test(post, a_hundred_thousand_messages_go_round_four_shards)
{
    play_on(4);
}

static int play_alone(struct shard *shard, void *argument)
{
    (void)argument;
    struct ball ball = {.message = {.handler = ball_hop}, .hops_left = 20000};
    struct co_group group;
    co_group_init(&group);
    co_group_add(&group, 1);
    ball.group = &group;
    shard_send(shard, 0, &ball.message);
    co_group_wait(&group);
    return 0;
}

Test(post, one_message_at_a_time_never_gets_lost_between_sleeping_shards)
{
    struct shard_set *set = shards_start(2);
    cr_assert_eq(shards_run(set, 0, play_alone, NULL), 0);
    shards_stop(set);
}

/* ---- a full mailbox ---- */

struct numbered {
    struct message message;
    uint32_t number;
};

/* What shard 1 knows; only its thread touches it until the group is done. */
static uint32_t expected;
static uint32_t out_of_order;

static void count_in(struct shard *shard, struct message *message)
{
    (void)shard;
    cr_assert_eq(message->from, 0);
    out_of_order += container_of(message, struct numbered, message)->number != expected;
    expected++;
}

static int all_counted(struct shard *shard, void *argument)
{
    (void)shard;
    return expected >= *(uint32_t *)argument ? 0 : ERR_AGAIN;
}

/* Sends all in one go, much more than the mailbox holds, and waits until they have been handled. */
static int flood(struct shard *shard, void *argument)
{
    uint32_t count = *(uint32_t *)argument;
    struct numbered *messages = mem_must_calloc(count, sizeof(*messages));
    for (uint32_t i = 0; i < count; i++) {
        messages[i] = (struct numbered){.message = {.handler = count_in}, .number = i};
        shard_send(shard, 1, &messages[i].message);
    }
    /* The call goes behind them: in order, so they are done when it arrives. */
    int result = shard_call(shard, 1, all_counted, &count);
    mem_free(messages);
    return result;
}

static void flood_with(uint32_t slots, uint32_t count)
{
    struct shard_options options = shards_options();
    options.mailbox_slots = slots;
    struct shard_set *set = shards_start_with(2, &options);
    expected = 0;
    cr_assert_eq(shards_run(set, 0, flood, &count), 0);
    shards_stop(set);
    cr_assert_eq(expected, count);
    cr_assert_eq(out_of_order, 0);
}

Test(post, a_mailbox_just_full_loses_nothing)
{
    flood_with(4, 3); /* the call takes the fourth slot */
}

Test(post, a_mailbox_too_full_by_one_loses_nothing)
{
    flood_with(4, 4);
}

Test(post, a_mailbox_of_one_slot_passes_thousands_in_order)
{
    flood_with(1, 3000);
}

Test(post, a_mailbox_overrun_many_times_passes_all_in_order)
{
    flood_with(64, 100000);
}

/* ---- to itself ---- */

static uint64_t handled_in_pass;

static void note_pass(struct shard *shard, struct message *message)
{
    (void)message;
    cr_assert_null(coro_self());
    struct shard_stats stats;
    shard_stats(shard, &stats);
    handled_in_pass = stats.passes;
}

static int send_to_itself(struct shard *shard, void *argument)
{
    uint64_t *sent_in_pass = argument;
    struct message message = {.handler = note_pass};
    struct shard_stats stats;
    shard_stats(shard, &stats);
    *sent_in_pass = stats.passes;
    shard_send(shard, shard_id(shard), &message);
    while (handled_in_pass == 0) {
        co_yield();
    }
    return 0;
}

Test(post, a_message_to_itself_comes_in_the_next_pass)
{
    uint64_t sent_in_pass = 0;
    struct shard_set *set = shards_start(1);
    cr_assert_eq(shards_run(set, 0, send_to_itself, &sent_in_pass), 0);
    shards_stop(set);
    cr_assert_eq(handled_in_pass, sent_in_pass + 1);
}

/* ---- from foreign threads ---- */

enum { POSTERS = 4, POSTS = 5000 };

struct poster {
    struct thread thread;
    struct shard *shard;
    struct numbered *messages;
    uint32_t id;
};

static _Atomic uint32_t posts_handled;
static uint32_t next_of[POSTERS];

/* number: which of which poster's. */
static void post_arrive(struct shard *shard, struct message *message)
{
    (void)shard;
    uint32_t number = container_of(message, struct numbered, message)->number;
    out_of_order += next_of[number / POSTS] != number % POSTS;
    out_of_order += message->from != UINT32_MAX;
    next_of[number / POSTS]++;
    atomic_fetch_add(&posts_handled, 1);
}

static void post_all(void *arg)
{
    struct poster *poster = arg;
    for (uint32_t i = 0; i < POSTS; i++) {
        poster->messages[i] = (struct numbered){.message = {.handler = post_arrive},
                                                .number = poster->id * POSTS + i};
        shard_post(poster->shard, &poster->messages[i].message);
    }
}

Test(post, messages_of_foreign_threads_arrive_whole_and_in_order_of_each)
{
    struct poster posters[POSTERS];
    struct shard_set *set = shards_start(1);
    for (uint32_t i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.shard = shard_set_get(set, 0),
                                     .id = i,
                                     .messages = mem_must_calloc(POSTS, sizeof(struct numbered))};
        cr_assert_eq(thread_start(&posters[i].thread, "poster", post_all, &posters[i]), 0);
    }
    for (uint32_t i = 0; i < POSTERS; i++) {
        thread_join(&posters[i].thread);
    }
    shards_stop(set); /* what was posted before the stop is handled before it ends */
    cr_assert_eq(atomic_load(&posts_handled), POSTERS * POSTS);
    cr_assert_eq(out_of_order, 0);
    for (uint32_t i = 0; i < POSTERS; i++) {
        mem_free(posters[i].messages);
    }
}
