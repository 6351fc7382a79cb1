#include "shard/mailbox.h"

#include <criterion/criterion.h>

#include "base/mem.h"
#include "base/thread.h"

enum { SLOTS = 8 };

static struct mailbox box;
static struct message messages[SLOTS * 8];
static bool blocked;

static void stage(uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        mailbox_stage(&box, &messages[i]);
    }
}

/* Takes up to count_max and checks that they go on at messages[first]. */
static uint32_t take(uint32_t first, uint32_t count_max)
{
    struct message *taken[SLOTS * 2];
    uint32_t count = mailbox_take(&box, taken, count_max, &blocked);
    cr_assert_leq(count, count_max);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(taken[i], &messages[first + i]);
    }
    return count;
}

static void set_up(void)
{
    cr_assert_eq(mailbox_init(&box, SLOTS), 0);
}

static void tear_down(void)
{
    mailbox_deinit(&box);
}

TestSuite(mailbox, .init = set_up, .fini = tear_down);

Test(mailbox, nothing_is_seen_before_it_is_published)
{
    stage(0, 3);
    cr_assert_not(mailbox_has_mail(&box));
    cr_assert_eq(take(0, SLOTS), 0);
    cr_assert(mailbox_publish(&box));
    cr_assert(mailbox_has_mail(&box));
    cr_assert_eq(mailbox_count(&box), 3);
    cr_assert_eq(take(0, SLOTS), 3);
    cr_assert_not(mailbox_has_mail(&box));
    cr_assert_not(mailbox_publish(&box));
}

Test(mailbox, part_can_be_taken)
{
    stage(0, 5);
    cr_assert(mailbox_publish(&box));
    cr_assert_eq(take(0, 2), 2);
    cr_assert_eq(mailbox_count(&box), 3);
    cr_assert_eq(take(2, 16), 3);
}

Test(mailbox, exactly_its_slots_fit)
{
    stage(0, SLOTS);
    cr_assert_not(mailbox_overflows(&box));
    cr_assert(mailbox_publish(&box));
    cr_assert_eq(take(0, 16), SLOTS);
    cr_assert_not(blocked);
}

Test(mailbox, one_more_than_its_slots_waits_and_keeps_its_place)
{
    stage(0, SLOTS + 1);
    cr_assert(mailbox_overflows(&box));
    cr_assert(mailbox_publish(&box));
    cr_assert(mailbox_overflows(&box));
    cr_assert_not(mailbox_has_room(&box));
    cr_assert_not(mailbox_publish(&box)); /* nothing new: still no room */

    cr_assert_eq(take(0, 1), 1);
    cr_assert(blocked);
    cr_assert(mailbox_has_room(&box));
    stage(SLOTS + 1, 1); /* there is room, but one waits before it */
    cr_assert_eq(mailbox_count(&box), SLOTS - 1);

    cr_assert(mailbox_publish(&box));
    cr_assert(mailbox_overflows(&box));
    cr_assert_eq(take(1, 16), SLOTS);
    cr_assert(blocked);
    cr_assert(mailbox_publish(&box));
    cr_assert_not(mailbox_overflows(&box));
    cr_assert_eq(take(SLOTS + 1, 16), 1);
    cr_assert_not(blocked);
}

Test(mailbox, many_times_its_slots_at_once_come_in_order)
{
    stage(0, SLOTS * 8);
    uint32_t got = 0;
    while (got < SLOTS * 8) {
        mailbox_publish(&box);
        got += take(got, 3);
    }
    cr_assert_eq(got, SLOTS * 8);
    cr_assert_not(mailbox_overflows(&box));
}

Test(mailbox, indices_wrap_round)
{
    uint32_t near_the_end = UINT32_MAX - SLOTS / 2;
    atomic_store(&box.tail, near_the_end);
    atomic_store(&box.head, near_the_end);
    box.tail_staged = box.tail_published = box.head_seen = box.head_taken = near_the_end;
    for (uint32_t round = 0; round < 4; round++) {
        stage(0, SLOTS + 1);
        cr_assert(mailbox_publish(&box));
        cr_assert_eq(mailbox_count(&box), SLOTS);
        cr_assert_eq(take(0, 16), SLOTS);
        cr_assert(mailbox_publish(&box));
        cr_assert_eq(take(SLOTS, 16), 1);
    }
}

Test(mailbox, no_memory_for_slots_is_an_error)
{
    struct mailbox other;
    mem_fail_after(1, false);
    cr_assert_eq(mailbox_init(&other, SLOTS), ERR_MEMORY);
}

/* ---- two threads ---- */

enum { STREAM = 200000 };

struct numbered {
    struct message message;
    uint32_t number;
};

static void produce(void *arg)
{
    struct numbered *stream = arg;
    uint32_t sent = 0;
    while (sent < STREAM || mailbox_overflows(&box)) {
        for (uint32_t i = 0; i < 1 + sent % 13 && sent < STREAM; i++, sent++) {
            stream[sent].number = sent;
            mailbox_stage(&box, &stream[sent].message);
        }
        if (!mailbox_publish(&box)) {
            thread_yield();
        }
    }
}

Test(mailbox, a_stream_between_threads_arrives_whole_and_in_order)
{
    struct numbered *stream = mem_must_calloc(STREAM, sizeof(*stream));
    struct thread producer;
    cr_assert_eq(thread_start(&producer, "producer", produce, stream), 0);

    uint32_t expected = 0;
    while (expected < STREAM) {
        struct message *taken[SLOTS];
        uint32_t count = mailbox_take(&box, taken, SLOTS, &blocked);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert_eq(container_of(taken[i], struct numbered, message)->number, expected++);
        }
        if (count == 0) {
            thread_yield();
        }
    }
    thread_join(&producer);
    cr_assert_not(mailbox_has_mail(&box));
    mem_free(stream);
}
