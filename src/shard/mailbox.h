/*
 * mailbox: messages from one shard to another: one box for each ordered pair, with one producer and
 * one consumer thread, so a ring of pointers and two indices do.
 *
 *     producer                                          consumer
 *     mailbox_stage   into free slots, or, when there   mailbox_take    all that was published
 *                     is none, into `overflow`          before the call
 *     mailbox_publish once a pass: what was staged,
 *                     then overflow as far as it fits
 *
 * Nothing is lost and order is kept: while `overflow` holds anything, new messages go behind it.
 *
 * Sleeping. Both sides may sleep, and neither may miss the other. Each writes what the other looks
 * for, then looks at what the other writes, all in one order (seq_cst):
 *
 *     consumer about to sleep:  sleeping := true; tail?         producer: tail := n; sleeping?
 *     producer about to sleep:  blocked := true (if overflow is left); sleeping := true; head?
 *                                                               consumer: head := n; blocked?
 *                                                                         then sleeping?
 *
 * One of the two always sees the other. The flag `sleeping` is the shard's, see shard.c.
 */
#ifndef SHARD_MAILBOX_H
#define SHARD_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "shard/shard.h"

enum { MAILBOX_LINE_BYTES = 64, MAILBOX_SLOTS_MAX = 1 << 20 };

struct mailbox {
    /* Both read these. */
    struct message **slots; /* owned */
    uint32_t mask;

    /* Indices run on and wrap at 2^32; their difference counts. */
    _Alignas(MAILBOX_LINE_BYTES) _Atomic uint32_t tail; /* the producer publishes up to here */
    _Atomic bool blocked;                               /* the producer waits for free slots */

    _Alignas(MAILBOX_LINE_BYTES) _Atomic uint32_t head; /* the consumer has taken up to here */

    /* The producer's own. */
    _Alignas(MAILBOX_LINE_BYTES) uint32_t tail_staged;
    uint32_t tail_published; /* what `tail` holds */
    uint32_t head_seen; /* an old value of head: looked up anew only when the ring seems full */
    struct list overflow;

    /* The consumer's own. */
    _Alignas(MAILBOX_LINE_BYTES) uint32_t head_taken; /* what `head` holds */
};

/* slots: a power of two up to MAILBOX_SLOTS_MAX. Returns 0 or ERR_MEMORY. */
NODISCARD int mailbox_init(struct mailbox *box, uint32_t slots);

/* What is left in it is forgotten. */
void mailbox_deinit(struct mailbox *box);

/* ---- producer ---- */

/* Puts the message (borrowed until taken) behind all others. The consumer doesn't see it yet. */
void mailbox_stage(struct mailbox *box, struct message *message);

/* Lets the consumer see what was staged. Returns true if there was anything new to see. */
bool mailbox_publish(struct mailbox *box);

/* Messages are left that found no slot. */
static inline bool mailbox_overflows(const struct mailbox *box)
{
    return !list_empty(&box->overflow);
}

/* There is a free slot. Asked before sleeping by a producer that has overflow left. */
bool mailbox_has_room(struct mailbox *box);

/* ---- consumer ---- */

/* Something is there to take. */
static inline bool mailbox_has_mail(const struct mailbox *box)
{
    return atomic_load_explicit(&box->tail, memory_order_seq_cst) != box->head_taken;
}

/* How many are there now. */
static inline uint32_t mailbox_count(const struct mailbox *box)
{
    return atomic_load_explicit(&box->tail, memory_order_acquire) - box->head_taken;
}

/*
 * Takes up to `count_max` messages in order, returns how many. Their slots are free then;
 * *ret_blocked tells that the producer has been waiting for that and may be asleep.
 */
uint32_t mailbox_take(struct mailbox *box, struct message **messages, uint32_t count_max,
                      bool *ret_blocked);

#endif
