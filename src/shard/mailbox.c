#include "shard/mailbox.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"

int mailbox_init(struct mailbox *box, uint32_t slots)
{
    ASSERT(slots > 0 && slots <= MAILBOX_SLOTS_MAX);
    ASSERT((slots & (slots - 1)) == 0);

    *box = (struct mailbox){.mask = slots - 1};
    list_init(&box->overflow);
    box->slots = mem_alloc_aligned(MAILBOX_LINE_BYTES, slots * sizeof(struct message *));
    return box->slots == NULL ? ERR_MEMORY : 0;
}

void mailbox_deinit(struct mailbox *box)
{
    mem_free(box->slots);
    box->slots = NULL;
}

/* ---- producer ---- */

/* Acquire: a slot is written anew only after the consumer has read it. */
static bool slot_free(struct mailbox *box)
{
    uint32_t slots = box->mask + 1;
    if (box->tail_staged - box->head_seen < slots) {
        return true;
    }
    box->head_seen = atomic_load_explicit(&box->head, memory_order_acquire);
    ASSERT(box->tail_staged - box->head_seen <= slots);
    return box->tail_staged - box->head_seen < slots;
}

static void slot_fill(struct mailbox *box, struct message *message)
{
    box->slots[box->tail_staged & box->mask] = message;
    box->tail_staged++;
}

void mailbox_stage(struct mailbox *box, struct message *message)
{
    if (UNLIKELY(mailbox_overflows(box) || !slot_free(box))) {
        if (PLANTED(MESSAGE_LOST)) {
            return;
        }
        list_node_init(&message->node);
        list_push_back(&box->overflow, &message->node);
        return;
    }
    slot_fill(box, message);
}

bool mailbox_publish(struct mailbox *box)
{
    while (UNLIKELY(mailbox_overflows(box)) && slot_free(box)) {
        struct list_node *node = list_pop_front(&box->overflow);
        slot_fill(box, container_of(node, struct message, node));
    }
    bool blocked = mailbox_overflows(box);
    if (UNLIKELY(blocked != atomic_load_explicit(&box->blocked, memory_order_relaxed))) {
        atomic_store_explicit(&box->blocked, blocked, memory_order_seq_cst);
    }
    if (box->tail_staged == box->tail_published) {
        return false;
    }
    box->tail_published = box->tail_staged;
    atomic_store_explicit(&box->tail, box->tail_staged, memory_order_seq_cst);
    return true;
}

bool mailbox_has_room(struct mailbox *box)
{
    uint32_t head = atomic_load_explicit(&box->head, memory_order_seq_cst);
    return box->tail_staged - head <= box->mask;
}

/* ---- consumer ---- */

uint32_t mailbox_take(struct mailbox *box, struct message **messages, uint32_t count_max,
                      bool *ret_blocked)
{
    uint32_t count = mailbox_count(box);
    ASSERT(count <= box->mask + 1);

    if (count > count_max) {
        count = count_max;
    }
    for (uint32_t i = 0; i < count; i++) {
        messages[i] = box->slots[(box->head_taken + i) & box->mask];
    }
    if (count > 0) {
        box->head_taken += count;
        atomic_store_explicit(&box->head, box->head_taken, memory_order_seq_cst);
    }
    *ret_blocked = atomic_load_explicit(&box->blocked, memory_order_seq_cst);
    return count;
}
