#include "shard/shard.h"

#include "base/assert.h"
#include "shard/mailbox.h"
#include "shard/shard_impl.h"

/* Wakes `target` if it sleeps; of several that see it asleep one does. `from`: our own, or NULL. */
static void wake(struct shard *target, struct shard *from)
{
    if (!atomic_load_explicit(&target->sleeping, memory_order_seq_cst)) {
        return;
    }
    if (atomic_exchange_explicit(&target->sleeping, false, memory_order_seq_cst)) {
        io_wake(target->io, from == NULL ? NULL : from->io);
        if (from != NULL) {
            from->stats.wakes++;
        }
    }
}

/* ---- sending ---- */

void shard_send(struct shard *from, uint32_t to, struct message *message)
{
    ASSERT(to < from->set->count);
    ASSERT(message->handler != NULL);

    message->from = from->id;
    mailbox_stage(shard_mailbox(from->set, from->id, to), message);
    from->staged |= UINT64_C(1) << to;
    from->stats.messages_sent++;
}

void mail_publish(struct shard *shard)
{
    uint64_t left = shard->staged;
    while (left != 0) {
        uint32_t to = (uint32_t)__builtin_ctzll(left);
        left &= left - 1;
        struct mailbox *box = shard_mailbox(shard->set, shard->id, to);
        bool news = mailbox_publish(box);
        if (!mailbox_overflows(box)) {
            shard->staged &= ~(UINT64_C(1) << to);
        }
        if (news && to != shard->id) {
            wake(&shard->set->shards[to], shard);
        }
    }
}

void shard_post(struct shard *shard, struct message *message)
{
    ASSERT(message->handler != NULL);
    message->from = UINT32_MAX;
    struct list_node *last = atomic_load_explicit(&shard->posted, memory_order_relaxed);
    do {
        message->node.next = last;
    } while (!atomic_compare_exchange_weak_explicit(&shard->posted, &last, &message->node,
                                                    memory_order_seq_cst, memory_order_relaxed));
    wake(shard, NULL);
}

/* ---- receiving ---- */

static uint32_t receive_posted(struct shard *shard)
{
    if (atomic_load_explicit(&shard->posted, memory_order_relaxed) == NULL) {
        return 0;
    }
    struct list_node *node = atomic_exchange_explicit(&shard->posted, NULL, memory_order_acquire);
    struct list_node *first = NULL; /* the chain turned round: oldest first */
    while (node != NULL) {
        struct list_node *next = node->next;
        node->next = first;
        first = node;
        node = next;
    }
    uint32_t count = 0;
    while (first != NULL) {
        struct message *message = container_of(first, struct message, node);
        first = first->next; /* the handler may free the message */
        message->handler(shard, message);
        count++;
    }
    return count;
}

/* Takes what is there at the start of the call: a peer that keeps sending can't hold us here. */
static uint32_t receive_from(struct shard *shard, uint32_t from)
{
    struct mailbox *box = shard_mailbox(shard->set, from, shard->id);
    uint32_t left = mailbox_count(box);
    uint32_t received = left;
    struct message *messages[SHARD_TAKE_MAX];
    bool blocked = false;

    while (left > 0) {
        uint32_t count = left < SHARD_TAKE_MAX ? left : SHARD_TAKE_MAX;
        uint32_t taken = mailbox_take(box, messages, count, &blocked);
        ASSERT(taken == count);
        for (uint32_t i = 0; i < taken; i++) {
            __builtin_prefetch(messages[i]);
        }
        for (uint32_t i = 0; i < taken; i++) {
            messages[i]->handler(shard, messages[i]);
        }
        left -= taken;
    }
    if (UNLIKELY(blocked) && from != shard->id) {
        wake(&shard->set->shards[from], shard);
    }
    return received;
}

uint32_t mail_receive(struct shard *shard)
{
    uint32_t count = receive_posted(shard);
    uint32_t from_peers = 0;
    for (uint32_t from = 0; from < shard->set->count; from++) {
        uint32_t received = receive_from(shard, from);
        shard->received_from_set += received;
        count += received;
        from_peers += from == shard->id ? 0 : received;
    }
    shard->stats.messages_received += count;
    if (from_peers > 0) {
        wait_spin_mail(&shard->spin, shard->mono_ns);
    }
    return count;
}

/* ---- before sleeping ---- */

static bool mail_waits(struct shard *shard)
{
    if (atomic_load_explicit(&shard->posted, memory_order_seq_cst) != NULL) {
        return true;
    }
    for (uint32_t from = 0; from < shard->set->count; from++) {
        if (mailbox_has_mail(shard_mailbox(shard->set, from, shard->id))) {
            return true;
        }
    }
    return false;
}

bool mail_pending(struct shard *shard)
{
    if (mail_waits(shard)) {
        return true;
    }
    uint64_t left = shard->staged;
    while (left != 0) {
        uint32_t to = (uint32_t)__builtin_ctzll(left);
        left &= left - 1;
        if (mailbox_has_room(shard_mailbox(shard->set, shard->id, to))) {
            return true;
        }
    }
    return false;
}

bool mail_quiet(struct shard *shard)
{
    return shard->staged == 0 && !mail_waits(shard);
}
