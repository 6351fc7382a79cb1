#include "cmd/slot.h"

#include "base/assert.h"
#include "base/mem.h"

void slot_open(struct slot *slot, struct session *session, bool write, slot_release_fn *release)
{
    ASSERT(session->slots_count < SLOTS_MAX);
    ASSERT(!session->slots_write);
    *slot = (struct slot){.session = session, .release = release, .write = write};
    output_init(&slot->output, SIZE_MAX);
    list_push_back(&session->slots, &slot->node);
    session->slots_count++;
    session->slots_write = write;
    conn_hold(session->conn);
}

static void slot_finish(struct slot *slot)
{
    struct session *session = slot->session;
    list_remove(&slot->node);
    ASSERT(session->slots_count > 0);
    session->slots_count--;
    if (slot->write) {
        session->slots_write = false;
    }
    output_move(conn_output(session->conn), &slot->output);
    if (slot->gate > 0) {
        conn_raise_gate(session->conn, slot->gate);
    }
    output_deinit(&slot->output);
    slot->release(slot);
}

void slot_done(struct slot *slot)
{
    struct session *session = slot->session;
    ASSERT(!slot->done);
    slot->done = true;
    uint32_t ended = 0;
    for (;;) {
        struct list_node *first = list_first(&session->slots);
        if (first == NULL) {
            break;
        }
        struct slot *oldest = container_of(first, struct slot, node);
        if (!oldest->done) {
            break;
        }
        slot_finish(oldest);
        ended++;
    }
    if (ended == 0) {
        return;
    }
    struct conn *conn = session->conn;
    conn_output_ready(conn);
    /* Commands that found the barrier or the limit wait as bytes in the connection. */
    if (session->blocked && session->slots_count <= SLOTS_MAX / 2) {
        session->blocked = false;
        conn_resume(conn);
    }
    for (; ended > 0; ended--) {
        conn_drop(conn);
    }
}

static void slot_release_own(struct slot *slot)
{
    mem_free(slot);
}

int slot_add_done(struct session *session, struct output *output)
{
    struct slot *slot = mem_alloc(sizeof(*slot));
    if (slot == NULL) {
        return ERR_MEMORY;
    }
    ASSERT(session->slots_count > 0);
    slot_open(slot, session, false, slot_release_own);
    output_move(&slot->output, output);
    slot_done(slot);
    return 0;
}
