/*
 * conn_table: the connections of a net by id. Chained through struct conn; owns only its slots. For
 * net only.
 */
#ifndef NET_CONN_TABLE_H
#define NET_CONN_TABLE_H

#include <stdint.h>

#include "base/error.h"

struct conn;

struct conn_table {
    struct conn **slots;  /* owned */
    uint32_t slots_count; /* a power of two */
    uint32_t count;
};

NODISCARD int conn_table_init(struct conn_table *table);
void conn_table_deinit(struct conn_table *table);
/* Grows when there are as many connections as slots; without memory the chains get longer instead.
 */
void conn_table_add(struct conn_table *table, struct conn *conn);
void conn_table_remove(struct conn_table *table, struct conn *conn);
struct conn *conn_table_find(const struct conn_table *table, uint64_t id);

#endif
