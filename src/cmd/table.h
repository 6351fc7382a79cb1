/*
 * table: the rows of the command table, one array for each group (table_*.c). Only command.c reads
 * it.
 */
#ifndef CMD_TABLE_H
#define CMD_TABLE_H

#include <stdint.h>

#include "cmd/command.h"

enum { COMMANDS_MAX = 512 };

struct command_group {
    struct command *rows;
    const uint32_t *count;
};

/* Ends with NULL rows. */
extern const struct command_group command_groups[];

extern struct command commands_connection[];
extern const uint32_t commands_connection_count;
extern struct command commands_server[];
extern const uint32_t commands_server_count;
extern struct command commands_string[];
extern const uint32_t commands_string_count;
extern struct command commands_keys[];
extern const uint32_t commands_keys_count;

#endif
