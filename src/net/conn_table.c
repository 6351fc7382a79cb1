#include "net/conn_table.h"

#include "base/mem.h"
#include "net/net_impl.h"

enum { CONN_TABLE_SLOTS_MIN = 64 };

int conn_table_init(struct conn_table *table)
{
    struct conn **slots = mem_calloc(CONN_TABLE_SLOTS_MIN, sizeof(*slots));
    if (slots == NULL) {
        return ERR_MEMORY;
    }
    *table = (struct conn_table){.slots = slots, .slots_count = CONN_TABLE_SLOTS_MIN};
    return 0;
}

void conn_table_deinit(struct conn_table *table)
{
    ASSERT(table->count == 0);
    mem_free(table->slots);
    *table = (struct conn_table){0};
}

/* Ids of one shard may all have the same remainder, so the bits are mixed first. */
static struct conn **table_slot(const struct conn_table *table, uint64_t id)
{
    uint64_t mixed = id * UINT64_C(0x9e3779b97f4a7c15);
    return &table->slots[(mixed >> 32) & (table->slots_count - 1)];
}

static void table_link(struct conn_table *table, struct conn *conn)
{
    struct conn **slot = table_slot(table, conn->id);
    conn->table_next = *slot;
    *slot = conn;
}

static void table_grow(struct conn_table *table)
{
    struct conn_table grown = {.slots_count = table->slots_count * 2, .count = table->count};
    grown.slots = mem_calloc(grown.slots_count, sizeof(*grown.slots));
    if (grown.slots == NULL) {
        return;
    }
    for (uint32_t i = 0; i < table->slots_count; i++) {
        struct conn *conn = table->slots[i];
        while (conn != NULL) {
            struct conn *next = conn->table_next;
            table_link(&grown, conn);
            conn = next;
        }
    }
    mem_free(table->slots);
    *table = grown;
}

void conn_table_add(struct conn_table *table, struct conn *conn)
{
    if (table->count >= table->slots_count && table->slots_count <= UINT32_MAX / 4) {
        table_grow(table);
    }
    table_link(table, conn);
    table->count++;
}

void conn_table_remove(struct conn_table *table, struct conn *conn)
{
    struct conn **link = table_slot(table, conn->id);
    while (*link != conn) {
        ASSERT(*link != NULL);
        link = &(*link)->table_next;
    }
    *link = conn->table_next;
    conn->table_next = NULL;
    table->count--;
}

struct conn *conn_table_find(const struct conn_table *table, uint64_t id)
{
    struct conn *conn = *table_slot(table, id);
    while (conn != NULL && conn->id != id) {
        conn = conn->table_next;
    }
    return conn;
}
